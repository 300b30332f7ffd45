"""Requests over connections that open: what answers tell, the script with each tool, port-forwards, who is asked."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from fake_apiserver import CERTIFICATE, KEY
from simulate import simulate
from svcdoctor.case import Case
from svcdoctor.cli import cli
from svcdoctor.clients.connection import Connections, Forwarded
from svcdoctor.clients.request import Request, answer_of, client_hello
from svcdoctor.clients.requestplan import request_for
from svcdoctor.cluster.connectlook import connect, requests_in
from svcdoctor.cluster.connectscript import TOOLS, as_format
from svcdoctor.cluster.forwardlook import forward
from svcdoctor.cluster.fromclient import look_from, plan_from
from svcdoctor.cluster.kube import ReadFailed
from svcdoctor.cluster.podsocket import PortForwardError
from svcdoctor.diagnosis import Scope, diagnose, diagnose_recorded
from svcdoctor.recordings.redact import Redactor
from svcdoctor.world import World
from test_probe import ExecResult
from test_sockets import POD

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
WANTS_TLS = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"  # Go's net/http
# What came back from agnhost's grpc-health-checking, from the API server and from nginx:1.22, on a cluster.
SERVING = bytes.fromhex(
    "0000060400000000000005000040000000000401000000000000040800000000000000000500000806000000000002041010090e070700000e"
    "010400000001885f8b1d75d0620d263d4c4d65640000070000000000010000000002080100001801050000000140889acac8b21234da8f01"
    "3040899acac8b5254207317f00"
)
SERVER_HELLO = bytes.fromhex("16030300320200002e0303bb76391c9200c5ffe4d62be434ea632b2587ce")
ALERT = bytes.fromhex("15030100020250")
NGINX_400 = b"HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\nConnection: close\r\n\r\n<html>"
NGINX_WANTS_TLS = NGINX_400 + b"\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>"


# --- what an answer tells -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parts", "speaks", "text"),
    [
        ("http", {"plain": OK}, "HTTP", "GET /: 200 OK"),
        ("http", {"plain": b"HTTP/1.1 404 Not Found\r\n"}, "HTTP", "GET /: 404 Not Found"),
        ("http", {"plain": b"HTTP/1.1 503\r\n"}, "HTTP", "GET /: 503"),
        ("http", {"plain": NGINX_400, "hello": NGINX_400}, "HTTP", "GET /: 400 Bad Request"),
        ("http", {"plain": WANTS_TLS, "hello": SERVER_HELLO}, "TLS", "GET /: answered with TLS"),
        ("http", {"plain": NGINX_WANTS_TLS}, "TLS", "GET /: answered with TLS"),
        ("http", {"plain": ALERT, "hello": ALERT}, "TLS", "GET /: answered with TLS"),
        ("http", {"plain": b"", "hello": SERVER_HELLO}, "TLS", "GET /: answered with TLS"),
        ("http", {"plain": SERVING[:15]}, "HTTP/2", "GET /: answered with HTTP/2"),
        ("http", {"plain": b"", "hello": SERVING[:15]}, "HTTP/2", "GET /: answered with HTTP/2"),
        ("http", {"plain": b"-ERR unknown command\r\n"}, "something else", "(-ERR unknown command)"),
        ("http", {"plain": b"\x00\xff\x1b[31m"}, "something else", "(00 ff 1b 5b 33 31 6d)"),
        ("http", {"plain": b"", "hello": b""}, "nothing", "GET /: answered with nothing"),
        ("https", {"hello": SERVER_HELLO, "secure": OK}, "TLS", "GET /: 200 OK inside of TLS"),
        (
            "https",
            {"hello": SERVER_HELLO, "secure": b"  HTTP/1.1 404 Not Found\n"},
            "TLS",
            "404 Not Found inside of TLS",
        ),
        ("https", {"hello": SERVER_HELLO, "secure": b""}, "TLS", "GET /: answered with TLS"),
        ("https", {"hello": NGINX_400, "plain": OK}, "HTTP", "GET /: 200 OK"),
        ("grpc", {"grpc": SERVING}, "HTTP/2", "gRPC health: SERVING"),
        ("grpc", {"grpc": SERVING.replace(b"\x08\x01\x00\x00\x18", b"\x08\x02\x00\x00\x18")}, "HTTP/2", "NOT_SERVING"),
        ("grpc", {"grpc": SERVING[:60]}, "HTTP/2", "gRPC health: answered with HTTP/2"),
        ("grpc", {"grpc": NGINX_400}, "HTTP", "gRPC health: 400 Bad Request"),
        ("grpc", {"grpc": b"", "hello": SERVER_HELLO}, "TLS", "gRPC health: answered with TLS"),
    ],
)
def test_what_speaks_there_is_read_off_the_first_bytes(
    kind: str, parts: dict[str, bytes], speaks: str, text: str
) -> None:
    answer = answer_of("10.96.0.9", 80, Request(kind), parts)
    assert answer.speaks == speaks and text in answer.text
    assert "\x1b" not in answer.text


def test_a_port_for_both_is_held_for_what_was_asked() -> None:
    both = {"plain": OK, "hello": SERVER_HELLO}
    assert answer_of("a", 1, Request("http"), both).speaks == "HTTP"
    assert answer_of("a", 1, Request("https"), both).speaks == "TLS"


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_bytes_pass_through_the_shell_as_they_are(shell: str) -> None:
    data = bytes(range(256)) + client_hello() + Request("grpc", host="a.b").payload
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")
    done = subprocess.run([shell, "-c", 'printf "$0"', as_format(data)], capture_output=True)
    assert done.stdout == data


# --- the script, with each tool --------------------------------------------------------------------------------------


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Servers on the loopback, each a port: they read once, answer and close."""
    listeners: list[socket.socket] = []

    def serve(answer: bytes, *, secure: bool = False) -> int:
        context = None
        if secure:
            pair = tmp_path / "pair.pem"
            pair.write_text(KEY + CERTIFICATE)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair)
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def one(connection: socket.socket) -> None:
            with connection:
                connection.settimeout(5)
                try:
                    if not secure or context is None:
                        if connection.recv(4096):
                            connection.sendall(answer)
                        return
                    with context.wrap_socket(connection, server_side=True) as inner:
                        if inner.recv(4096):
                            inner.sendall(answer)
                except OSError:
                    pass

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        threading.Thread(target=run, daemon=True).start()
        return int(listener.getsockname()[1])

    yield serve
    for listener in listeners:
        listener.close()


class Shell:
    """An exec that runs here, with these programs alone."""

    BASE = ("sh", "od", "dd", "tr", "timeout", "sleep", "date", "head", "grep")

    def __init__(self, directory: Path, *tools: str) -> None:
        for tool in (*self.BASE, *tools):
            found = shutil.which(tool)
            if found:
                # A link would not do for the shims of version managers, which ask for their own name.
                (directory / tool).write_text(f'#!/bin/sh\nPATH={Path(found).parent}:/usr/bin:/bin exec {found} "$@"\n')
                (directory / tool).chmod(0o755)
        self.path = directory

    def exec(self, namespace: str, pod: str, argv: list[str], **options: Any) -> ExecResult:
        done = subprocess.run(["/bin/sh", *argv[1:]], capture_output=True, text=True, env={"PATH": str(self.path)})
        return ExecResult(done.stdout, done.stderr, done.returncode)

    def port_forward(self, *_: object, **__: object) -> None:
        raise AssertionError("nothing is forwarded")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("tool", ["bash", "python3", "node", "curl"])
def test_each_tool_tells_open_from_refused(tool: str, tmp_path: Path, serving: Callable[..., int]) -> None:
    if not shutil.which(tool):
        pytest.skip(f"no {tool}")
    said = connect(Shell(tmp_path, tool), POD, [("127.0.0.1", serving(OK)), ("127.0.0.1", closed_port())])
    assert said.tool == tool and tool in TOOLS
    assert [one.outcome for one in said.tried] == ["open", "refused"]
    assert tool.rstrip("3") in said.command("127.0.0.1", 80)


@pytest.mark.parametrize("tool", ["bash", "python3", "node"])
def test_each_tool_carries_requests(tool: str, tmp_path: Path, serving: Callable[..., int]) -> None:
    if not shutil.which(tool):
        pytest.skip(f"no {tool}")
    plain, secure = serving(OK), serving(OK, secure=True)
    requests = {
        ("127.0.0.1", plain): Request("http", "/healthz", "cart.shop"),
        ("127.0.0.1", secure): Request("http", "/healthz", "cart.shop"),
    }
    said = connect(Shell(tmp_path, tool), POD, list(requests), requests)
    assert [(answer.speaks, answer.status) for answer in said.answers] == [("HTTP", 200), ("TLS", 0)]


@pytest.mark.parametrize("tool", ["python3", "node", "curl"])
def test_some_read_what_is_said_inside_of_tls(tool: str, tmp_path: Path, serving: Callable[..., int]) -> None:
    if not shutil.which(tool) or not shutil.which("bash"):
        pytest.skip(f"no {tool}, or no bash")
    target = ("127.0.0.1", serving(OK, secure=True))
    said = connect(Shell(tmp_path, "bash", tool), POD, [target], {target: Request("https", "/", "localhost")})
    assert [answer.text for answer in said.answers] == ["GET /: 200 OK inside of TLS"]


def test_without_od_nothing_is_sent(tmp_path: Path, serving: Callable[..., int]) -> None:
    if not shutil.which("bash"):
        pytest.skip("no bash")
    shell = Shell(tmp_path, "bash")
    (tmp_path / "od").unlink()
    target = ("127.0.0.1", serving(OK))
    said = connect(shell, POD, [target], {target: Request("http")})
    assert said.any_open and not said.answers


# --- a port-forward --------------------------------------------------------------------------------------------------


class Forwarding:
    """A cluster whose port-forwards lead to the loopback here."""

    def exec(self, *_: object, **__: object) -> ExecResult:
        return ExecResult(error='exec: "sh": executable file not found in $PATH', code=126)

    def port_forward(self, namespace: str, pod: str, port: int, *, timeout: float = 5.0) -> LikePodSocket:
        return LikePodSocket(port, timeout)


class LikePodSocket:
    """A PodSocket's face: that a port is closed comes with the first read."""

    def __init__(self, port: int, timeout: float) -> None:
        self._socket: socket.socket | None = None
        with contextlib.suppress(ConnectionRefusedError):
            self._socket = socket.create_connection(("127.0.0.1", port), timeout)

    def _open(self) -> socket.socket:
        if self._socket is None:
            raise PortForwardError("failed to connect to localhost:80: connection refused")
        return self._socket

    def connected(self, wait: float = 0.3) -> bool:
        return bool(self._open())

    def settimeout(self, timeout: float | None) -> None:
        if self._socket:
            self._socket.settimeout(timeout)

    def recv(self, count: int) -> bytes:
        return self._open().recv(count)

    def send(self, data: bytes) -> int:
        self._open().sendall(data)
        return len(data)

    def close(self) -> None:
        if self._socket:
            self._socket.close()

    def __enter__(self) -> LikePodSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.mark.parametrize(
    ("kind", "answer", "secure", "text"),
    [
        ("http", OK, False, "GET /: 200 OK"),
        (
            "http",
            b"HTTP/1.1 500 Server Error\r\nContent-Length: 0\r\n\r\n",
            False,
            "500 Server Error",
        ),
        ("http", OK, True, "GET /: answered with TLS"),
        ("http", WANTS_TLS, False, "GET /: answered with TLS"),
        ("http", b"+PONG\r\n", False, "something else (+PONG)"),
        ("https", OK, True, "GET /: 200 OK inside of TLS"),
        ("https", OK, False, "GET /: 200 OK"),
        ("grpc", SERVING, False, "gRPC health: SERVING"),
    ],
)
def test_a_program_answers_through_a_port_forward(
    serving: Callable[..., int], kind: str, answer: bytes, secure: bool, text: str
) -> None:
    said = forward(Forwarding(), POD, serving(answer, secure=secure), Request(kind, "/", "localhost"), timeout=5.0)
    assert said.outcome == "open" and said.answer is not None
    assert text in said.answer.text


def test_nobody_listens_on_the_loopback() -> None:
    assert forward(Forwarding(), POD, closed_port(), Request("http"), timeout=5.0).outcome == "refused"


def test_a_port_forward_that_is_forbidden_is_no_answer() -> None:
    class Forbidden(Forwarding):
        def port_forward(self, *_: object, **__: object) -> LikePodSocket:
            raise ReadFailed("no", reason="forbidden")

    said = forward(Forbidden(), POD, 80, Request("http"), timeout=5.0)
    assert (said.outcome, said.answer) == ("error", None)


# --- what is asked, and of whom ---------------------------------------------------------------------------------------


def shop(probe: dict[str, Any] | None = None, port: dict[str, Any] | None = None, **connections: Any) -> World:
    container = {"name": "app", "image": "a", "ports": [{"containerPort": 8080}]}
    container |= {"readinessProbe": probe} if probe else {}
    cart = {"kind": "Pod", "metadata": {"name": "cart", "labels": {"app": "cart"}}, "spec": {"containers": [container]}}
    web = {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "app", "image": "a"}]}}
    ports = [{"port": 80, "targetPort": 8080, **(port or {})}]
    service = {"kind": "Service", "metadata": {"name": "cart"}, "spec": {"selector": {"app": "cart"}, "ports": ports}}
    met = {"connections": {"from": "web", **connections}} if connections else {}
    return simulate([cart, web, service], probe=met)


def cart(world: World) -> Case:
    return Case(world, world.listed("services", "shop")["cart"])


@pytest.mark.parametrize(
    ("probe", "port", "path", "asked"),
    [
        (None, {}, "", None),
        ({"tcpSocket": {"port": 8080}}, {}, "", None),
        ({"httpGet": {"port": 9090, "path": "/healthz"}}, {}, "", None),
        ({"httpGet": {"port": 8080, "path": "/healthz", "host": "127.0.0.1"}}, {}, "", None),
        ({"httpGet": {"port": 8080, "path": "/a\r\nX: y"}}, {}, "", None),
        ({"httpGet": {"port": 8080, "path": "/healthz"}}, {}, "", ("http", "/healthz")),
        ({"httpGet": {"port": 8080, "path": "/healthz"}}, {}, "/cart", ("http", "/cart")),
        ({"httpGet": {"port": 8080, "scheme": "HTTPS"}}, {}, "", ("https", "/")),
        ({"grpc": {"port": 8080}}, {}, "", ("grpc", "/")),
        (None, {}, "/cart", ("http", "/cart")),
        (None, {"port": 443}, "/cart", ("https", "/cart")),
        (None, {"port": 443, "appProtocol": "http"}, "/cart", ("http", "/cart")),
        (None, {"name": "https-web"}, "/cart", ("https", "/cart")),
    ],
)
def test_what_the_readiness_probe_asks_is_asked(
    probe: dict[str, Any] | None, port: dict[str, Any], path: str, asked: tuple[str, str] | None
) -> None:
    case = cart(shop(probe, port))
    request = request_for(case, case.ports[0], path)
    assert (request and (request.kind, request.path)) == asked


class Recorded:
    """A cluster that notes who is asked; nothing opens but what `opens` says."""

    def __init__(self, *, opens: Callable[[str, str], bool], shells: bool = True) -> None:
        self.asked: list[str] = []
        self.forwards: list[str] = []
        self._opens = opens
        self._shells = shells

    def exec(self, namespace: str, pod: str, argv: list[str], **_: Any) -> ExecResult:
        self.asked.append(pod)
        if not self._shells:
            return ExecResult(error='exec: "sh": executable file not found in $PATH', code=126)
        token, requests = argv[4], int(argv[6])
        targets = argv[7 + 4 * requests :]
        lines = [f"{token} tool nc "]
        for number in range(len(targets) // 3):
            code = 0 if self._opens(pod, f"{targets[3 * number]}:{targets[3 * number + 1]}") else 1
            lines.append(f"{token} {number + 1} {code} 1 {'' if code == 0 else 'Connection refused'}")
        return ExecResult("\n".join(lines))

    def port_forward(self, namespace: str, pod: str, port: int, **_: Any) -> LikePodSocket:
        self.forwards.append(f"{pod}:{port}")
        return LikePodSocket(closed_port(), 1.0)


def look(cluster: Recorded, world: World, client: str = "web") -> Connections:
    return look_from(cluster, plan_from(world, [cart(world).service], world.listed("pods", "shop")[client]))


def test_what_opens_is_asked_by_one_exec() -> None:
    cluster = Recorded(opens=lambda pod, place: True)
    said = look(cluster, shop())
    assert cluster.asked == ["web"] and not cluster.forwards
    assert not said.witnesses


def test_a_pod_that_refuses_is_looked_into() -> None:
    cluster = Recorded(opens=lambda pod, place: not place.endswith(":8080") or place.startswith("127."))
    said = look(cluster, shop())
    assert cluster.asked == ["web", "cart"]
    (inside,) = said.witnesses
    assert [(one.address.startswith("127."), one.is_open) for one in inside.tried] == [(True, True), (False, False)]


def test_where_nothing_runs_a_port_forward_asks() -> None:
    cluster = Recorded(opens=lambda pod, place: True, shells=False)
    said = look(cluster, shop())
    assert cluster.asked == ["web"] and cluster.forwards == ["cart:8080"]
    assert said.forwarded == (Forwarded("shop", "cart", 8080, "refused", detail=said.forwarded[0].detail),)


def test_a_neighbour_is_asked_where_a_pod_does_not_reach_itself() -> None:
    own = cart(shop()).cluster_ips[0]
    cluster = Recorded(opens=lambda pod, place: pod == "web" or not place.startswith(own))
    said = look(cluster, shop(), "cart")
    assert cluster.asked == ["cart", "web"]
    assert said.witnesses[0].to(own, 80).is_open  # type: ignore[union-attr]


def test_the_same_request_is_sent_once_to_an_address() -> None:
    world = shop({"httpGet": {"port": 8080, "path": "/healthz"}})
    found = requests_in(world, [cart(world).service])
    assert {port for _, port in found} == {80, 8080} and set(found.values()) == {
        Request("http", "/healthz", "cart.shop")
    }


# --- and a diagnosis ------------------------------------------------------------------------------------------------


def codes(world: World) -> list[str]:
    return [one.code for one in diagnose(world, Scope("shop")).diagnosis.findings() if one.code and one.is_fault]


def test_an_app_protocol_that_the_answer_contradicts() -> None:
    world = shop(None, {"appProtocol": "https"}, http="/", answers={"cart*": "HTTP 200 OK"})
    assert codes(world) == ["port-appprotocol-wrong"]
    assert not codes(shop(None, {"appProtocol": "https"}, http="/", answers={"cart*": "TLS"}))


def test_the_line_that_shows_an_answer_runs_where_it_was_asked() -> None:
    """A named port that says otherwise than what answers there, asked in the client and in a container added to it."""
    world = shop(None, {"name": "https"}, http="/", answers={"cart*": "HTTP 200 OK"})
    met = world.connections
    assert met

    def line() -> str:
        (found,) = [one for one in diagnose(world, Scope("shop")).diagnosis.findings() if one.is_fault]
        return next(remedy.command for remedy in found.remedies if remedy.do == "see it")

    assert line().startswith("kubectl -n shop exec web -c app -- wget ")
    world.connections = replace(met, added="container", image="busybox:1.36")
    assert line().startswith("kubectl -n shop debug web -it --image=busybox:1.36 -- wget ")


def test_a_program_that_takes_no_connections_is_dead() -> None:
    silent = {"cart:80": "timeout", "cart:8080": "timeout"}
    hangs = {"cart": {"127.0.0.1:8080": "timeout", "self:8080": "timeout"}}
    world = shop(outcomes=silent, witnesses=hangs)
    assert codes(world) == ["pods-ready-but-dead"]
    (found,) = [one for one in diagnose(world, Scope("shop")).diagnosis.findings() if one.is_fault]
    assert "its program takes no connections: inside cart 127.0.0.1:8080 timed out" in found.message
    away = {"cart": {"127.0.0.1:8080": "open", "self:8080": "open"}}
    assert not codes(shop(outcomes=silent, witnesses=away))


def test_a_recording_keeps_what_was_answered() -> None:
    world = shop({"httpGet": {"port": 8080}}, answers={"cart*": "HTTP 500 Internal Server Error"})
    assert codes(world) == ["port-app-5xx"]
    recording = world.record()
    for kept in (recording, Redactor(b"x" * 32).redacted(recording)):
        again = diagnose_recorded(World.replay(kept), Scope(""))
        assert "port-app-5xx" in [one.code for one in again.findings()]


# --- the flag -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--http", "/cart"], "add --from POD or deploy/NAME"),
        (["--from", "web", "--http", "cart"], "'cart' is no path; write one such as /healthz"),
        (["--from", "web", "--http", "/a b"], "with %20 for a space"),
    ],
)
def test_what_is_no_path_is_refused(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(cli, ["diagnose", "cart", *arguments])
    assert done.exit_code == 2 and words in done.stderr
