"""kube.py against a server that misbehaves on purpose, and kubeconfigs as people break them."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rrset
import pytest
import yaml

from fake_apiserver import CERTIFICATE, KEY, Exchange, FakeApiServer, failure, reply
from svcdoctor import __version__
from svcdoctor.cluster import configuration, kube, kubeconfig
from svcdoctor.cluster.kube import (
    Cluster,
    ConfigError,
    ConnectOptions,
    KubeError,
    PortForwardError,
    ReadFailed,
    Skipped,
    Unauthenticated,
    Unreachable,
)
from svcdoctor.objects import RESOURCES, Service

SERVICES = RESOURCES["services"]
PATH = "/api/v1/services"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
EXEC = "/api/v1/namespaces/shop/pods/web/exec"
FORWARD = "/api/v1/namespaces/shop/pods/web/portforward"
VERSION = reply({"gitVersion": "v1.37.2"})


@pytest.fixture(autouse=True)
def nobody_elses_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    with FakeApiServer() as fake:
        yield fake


@pytest.fixture
def cluster(server: FakeApiServer, tmp_path: Path) -> Iterator[Cluster]:
    connected = connect(server.kubeconfig(tmp_path))
    yield connected
    connected.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, without making them."""
    made: list[float] = []
    monkeypatch.setattr(kube.time, "sleep", made.append)
    return made


def connect(path: Path | None, **options: Any) -> Cluster:
    return Cluster.connect(ConnectOptions(kubeconfig=str(path) if path else None, **options))


def service(name: str, **spec: object) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def page(*items: object, token: str = "", version: str = "7") -> bytes:
    return reply({"kind": "ServiceList", "metadata": {"resourceVersion": version, "continue": token}, "items": items})


def names(listing: kube.Listing) -> list[str]:
    return [item.metadata.name for item in listing.items]


# --- lists -------------------------------------------------------------------------------------------------------


def test_list_reads_all_pages_of_500(server: FakeApiServer, cluster: Cluster) -> None:
    server.on(PATH, page(service("a"), token="next/+"), page(service("b"), version="8"))
    listing = cluster.list(SERVICES, label_selector="app in (cart,web)")
    assert names(listing) == ["a", "b"]
    assert isinstance(listing.items[0], Service)
    assert listing.resource_version == "7"
    first, second = server.received
    assert first.query == {"limit": ["500"], "labelSelector": ["app in (cart,web)"]}
    assert second.query["continue"] == ["next/+"]
    assert first.header("accept-encoding") == "gzip"
    assert first.header("authorization") == "Bearer sesame"
    assert first.header("user-agent") == f"svcdoctor/{__version__}"


def test_list_in_a_namespace_with_a_field_selector(server: FakeApiServer, cluster: Cluster) -> None:
    server.on("/api/v1/namespaces/shop/services", page(service("a")))
    assert names(cluster.list(SERVICES, "shop", field_selector="metadata.name=a")) == ["a"]
    assert server.received[0].query["fieldSelector"] == ["metadata.name=a"]


def test_list_unpacks_gzip(server: FakeApiServer, cluster: Cluster) -> None:
    body = gzip.compress(json.dumps({"items": [service(f"s{n}") for n in range(2000)]}).encode())
    server.on(PATH, reply(body, content_encoding="gzip"))
    assert len(cluster.list(SERVICES).items) == 2000
    assert (cluster.requests[0].bytes, cluster.requests[0].unpacked > len(body)) == (len(body), True)


def test_list_null_items_is_empty(server: FakeApiServer, cluster: Cluster) -> None:
    server.on(PATH, reply({"metadata": {"resourceVersion": "5"}, "items": None}))
    assert cluster.list(SERVICES) == ([], (), "5")


def test_list_without_items_is_no_list(server: FakeApiServer, cluster: Cluster) -> None:
    server.on(PATH, reply({"kind": "Something"}))
    with pytest.raises(ReadFailed, match="object missing required field items"):
        cluster.list(SERVICES)


def test_expired_continue_starts_over_without_pages(server: FakeApiServer, cluster: Cluster) -> None:
    gone = failure(410, "The provided continue parameter is too old", "Expired")
    server.on(PATH, page(service("a"), token="t"), gone, page(service("a"), service("b"), version="9"))
    listing = cluster.list(SERVICES, label_selector="x")
    assert names(listing) == ["a", "b"]
    assert listing.resource_version == "9"
    assert server.received[2].query == {"labelSelector": ["x"]}


def test_gone_without_continue_is_an_error(server: FakeApiServer, cluster: Cluster) -> None:
    server.on(PATH, failure(410, "too old"))
    with pytest.raises(ReadFailed) as caught:
        cluster.list(SERVICES)
    assert caught.value.reason == "gone"


@pytest.mark.parametrize("tokens", [["t", "t"], ["t", "u", "t"]])
def test_repeated_continue_ends(server: FakeApiServer, cluster: Cluster, tokens: list[str]) -> None:
    server.on(PATH, *(page(service("a"), token=token) for token in tokens))
    with pytest.raises(ReadFailed, match="same page again and again"):
        cluster.list(SERVICES)


def test_undecodable_items_are_skipped_and_named(server: FakeApiServer, cluster: Cluster) -> None:
    nameless = {"metadata": 3}
    server.on(
        PATH, page(service("good"), service("bad\x1b[2J", ports=5), nameless, None, service("fine"), token="t"), page()
    )
    listing = cluster.list(SERVICES)
    assert names(listing) == ["good", "fine"]
    assert listing.skipped == (
        Skipped("shop", "bad\\x1b[2J", "$.spec.ports: expected array, got int"),
        Skipped("", "?", "$.metadata: expected object, got int"),
        Skipped("", "?", "expected object, got null"),
    )


def test_text_that_is_not_utf8_costs_one_item(server: FakeApiServer, cluster: Cluster) -> None:
    body = b'{"items":[{"metadata":{"name":"a\xff"}},{"metadata":{"name":"b","namespace":"shop"}}]}'
    server.on(PATH, reply(body))
    listing = cluster.list(SERVICES)
    assert names(listing) == ["b"]
    assert listing.skipped == (Skipped("", "?", "it holds text that is not UTF-8"),)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reply(b"<html>Please log in</html>", content_type="text/html; charset=utf-8"), "it is text/html, not JSON"),
        (reply(b'{"items":[{"metadata":'), "input data was truncated"),
        (reply(b""), "input data was truncated"),
        (reply(b'{"items":5}'), r"\$\.items: expected array, got int"),
        (reply(gzip.compress(b'{"items":[]}')[:-12], content_encoding="gzip"), "truncated"),
        (reply(b"not gzip at all", content_encoding="gzip"), "compressed answer of .* is damaged"),
        (reply(b"", 302, location="https://u:secret@login.test/sso"), "redirects to https://login.test/sso"),
    ],
)
def test_answers_that_are_no_list(server: FakeApiServer, cluster: Cluster, answer: bytes, message: str) -> None:
    server.on(PATH, answer)
    with pytest.raises(ReadFailed, match=message) as caught:
        cluster.list(SERVICES)
    assert caught.value.reason == "malformed"
    assert caught.value.message.startswith("cannot list services: ")
    assert "secret" not in caught.value.message


def test_connection_lost_in_the_middle(server: FakeApiServer, cluster: Cluster) -> None:
    def reset(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        exchange.reset()

    server.on(PATH, reset)
    with pytest.raises(
        ReadFailed, match=r"cannot list services: the answer of http://\S+ (was cut off|ended too early)"
    ):
        cluster.list(SERVICES)


def test_short_body_is_noticed(server: FakeApiServer, cluster: Cluster) -> None:
    def short(exchange: Exchange) -> None:
        exchange.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"items":[]}')
        raise ConnectionAbortedError

    server.on(PATH, short)
    with pytest.raises(ReadFailed) as caught:
        cluster.list(SERVICES)
    assert caught.value.reason == "server-error"


def test_silent_and_slow_bodies_time_out(server: FakeApiServer, cluster: Cluster) -> None:
    def drip(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        while not server.over.wait(0.02):
            exchange.send(b" ")

    def stall(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        exchange.hang()

    for answer in (drip, stall, Exchange.hang):
        server.on(PATH, answer)
        with pytest.raises(ReadFailed, match="did not answer in time") as caught:
            cluster.list(SERVICES, timeout=0.2)
        assert caught.value.reason == "timeout"


def test_request_timeout_is_for_each_request(server: FakeApiServer, tmp_path: Path) -> None:
    server.on("/version", Exchange.hang)
    with pytest.raises(ReadFailed, match="--request-timeout"):
        connect(server.kubeconfig(tmp_path), request_timeout=0.2).version()


def test_request_timeout_zero_waits(server: FakeApiServer, tmp_path: Path) -> None:
    server.on("/version", VERSION)
    assert connect(server.kubeconfig(tmp_path), request_timeout=0).version() == "v1.37.2"


# --- single reads and reviews ------------------------------------------------------------------------------------


def test_get(server: FakeApiServer, cluster: Cluster) -> None:
    server.on("/api/v1/namespaces/shop/services/cart", reply(service("cart", clusterIP="10.0.0.1")))
    assert cluster.get(SERVICES, "shop", "cart").spec.cluster_ip == "10.0.0.1"


def test_names_cannot_leave_their_place_in_the_path(server: FakeApiServer, cluster: Cluster) -> None:
    with pytest.raises(ReadFailed):
        cluster.get(SERVICES, "shop", "a/b?watch=true")
    assert server.received[0].path == "/api/v1/namespaces/shop/services/a%2Fb%3Fwatch%3Dtrue"


def test_may_asks_once(server: FakeApiServer, cluster: Cluster) -> None:
    server.on(REVIEWS, reply({"status": {"allowed": True}}, 201), reply({"status": {"denied": True}}, 201))
    assert cluster.may("create", "pods", "shop", subresource="exec")
    assert cluster.may("create", "pods", "shop", subresource="exec")
    assert not cluster.may("get", "routes", group="gateway.networking.k8s.io")
    attributes = [json.loads(request.body)["spec"]["resourceAttributes"] for request in server.received]
    assert attributes == [
        {"verb": "create", "resource": "pods", "namespace": "shop", "subresource": "exec"},
        {"verb": "get", "resource": "routes", "group": "gateway.networking.k8s.io"},
    ]


def test_requests_are_logged(server: FakeApiServer, cluster: Cluster) -> None:
    server.on("/version", VERSION)
    assert cluster.version() == "v1.37.2"
    [request] = cluster.requests
    assert (request.method, request.path, request.status, request.bytes) == ("GET", "/version", 200, 25)
    assert request.seconds > 0


def test_configuration_of_the_pool(cluster: Cluster) -> None:
    configuration = cluster._configuration
    assert configuration.keep_alive
    assert configuration.connection_pool_maxsize == 32
    assert not configuration.retries.respect_retry_after_header


# --- refusals ----------------------------------------------------------------------------------------------------


def test_forbidden_has_the_servers_words(server: FakeApiServer, cluster: Cluster) -> None:
    server.on(PATH, failure(403, 'services is forbidden: User "dev\x1b" cannot list resource "services"', "Forbidden"))
    with pytest.raises(ReadFailed) as caught:
        cluster.list(SERVICES)
    assert (caught.value.reason, caught.value.status) == ("forbidden", 403)
    assert caught.value.message == (
        'cannot list services: services is forbidden: User "dev\\x1b" cannot list resource "services"'
    )


def test_unauthenticated_names_server_and_context(server: FakeApiServer, cluster: Cluster) -> None:
    server.on("/version", failure(401, "Unauthorized"))
    with pytest.raises(Unauthenticated) as caught:
        cluster.version()
    assert caught.value.message.startswith(
        f"{server.url} does not accept the credentials of context test (Unauthorized);"
    )
    assert len(server.received) == 1
    assert "sesame" not in caught.value.message


@pytest.mark.parametrize(
    ("status", "reason"), [(404, "not-found"), (400, "server-error"), (504, "timeout"), (302, "malformed")]
)
def test_statuses(server: FakeApiServer, cluster: Cluster, status: int, reason: str) -> None:
    server.on("/version", failure(status, "no"))
    with pytest.raises(ReadFailed) as caught:
        cluster.version()
    assert (caught.value.reason, caught.value.status) == (reason, status)


def test_html_errors_are_not_quoted(server: FakeApiServer, cluster: Cluster, pauses: list[float]) -> None:
    server.on("/version", reply(b"<html><h1>Bad Gateway</h1></html>", 502, content_type="text/html"))
    with pytest.raises(ReadFailed, match=r"cannot read the server's version: HTTP status 502$"):
        cluster.version()


def test_throttled_waits_as_long_as_asked(server: FakeApiServer, cluster: Cluster, pauses: list[float]) -> None:
    server.on("/version", failure(429, "slow down", retry_after="2"), failure(429, "slow", retry_after="1"), VERSION)
    assert cluster.version() == "v1.37.2"
    assert pauses == [2.0, 1.0]


def test_throttled_for_good(server: FakeApiServer, cluster: Cluster, pauses: list[float]) -> None:
    server.on("/version", failure(429, "slow down", retry_after="1"))
    with pytest.raises(ReadFailed) as caught:
        cluster.version()
    assert (caught.value.reason, caught.value.retry_after) == ("throttled", 1.0)
    assert len(server.received) == 3


def test_throttled_longer_than_there_is_time(server: FakeApiServer, cluster: Cluster, pauses: list[float]) -> None:
    server.on(PATH, failure(429, "slow down", retry_after="9"))
    with pytest.raises(ReadFailed):
        cluster.list(SERVICES, timeout=5)
    assert pauses == []
    assert len(server.received) == 1


def test_a_stumbling_server_is_asked_again(server: FakeApiServer, cluster: Cluster, pauses: list[float]) -> None:
    server.on("/version", failure(503, "apiserver is shutting down"), VERSION)
    assert cluster.version() == "v1.37.2"
    server.on("/version", failure(500, "etcdserver: leader changed"))
    with pytest.raises(ReadFailed, match="leader changed") as caught:
        cluster.version()
    assert caught.value.reason == "server-error"
    assert len(pauses) == 2
    assert len(server.received) == 4


def test_a_dead_pooled_connection_is_replaced(server: FakeApiServer, cluster: Cluster) -> None:
    server.on("/version", VERSION, Exchange.reset, VERSION)
    assert cluster.version() == cluster.version() == "v1.37.2"
    assert [request.status for request in cluster.requests] == [200, 0, 200]


# --- unreachable -------------------------------------------------------------------------------------------------


def offline(tmp_path: Path, url: str, **cluster: Any) -> Cluster:
    fake = FakeApiServer()
    fake._listener.close()
    fake.url = url
    return connect(fake.kubeconfig(tmp_path, **cluster), request_timeout=1)


def test_connection_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    cluster = offline(tmp_path, url)
    for call in (cluster.version, lambda: cluster.exec("shop", "web", ["true"])):
        with pytest.raises(Unreachable) as caught:
            call()
        assert caught.value.message == (
            f"cannot reach {url} (context test): connection refused; "
            "is the cluster running, and is this the right context?"
        )


def test_unknown_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    cluster = offline(tmp_path, "https://api.nowhere.test:6443")
    for call in (cluster.version, lambda: cluster.port_forward("shop", "web", 80)):
        with pytest.raises(Unreachable, match=r"https://api\.nowhere\.test:6443 \(context test\): its name does not"):
            call()


def test_connect_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("urllib3.util.connection.create_connection", silent)
    cluster = offline(tmp_path, "https://10.255.255.1")
    for call in (cluster.version, lambda: cluster.exec("shop", "web", ["true"])):
        with pytest.raises(Unreachable, match=r"no answer in time; check the network, VPN and firewall"):
            call()


def test_untrusted_certificate(tmp_path: Path) -> None:
    with FakeApiServer(tls=True) as server:
        cluster = connect(server.kubeconfig(tmp_path))
        for call in (cluster.version, lambda: cluster.exec("shop", "web", ["true"])):
            with pytest.raises(Unreachable, match=r"its certificate is not trusted: self-signed certificate; check"):
                call()


def test_plain_http_server_behind_https(server: FakeApiServer, tmp_path: Path) -> None:
    server.url = server.url.replace("http:", "https:")
    with pytest.raises(Unreachable, match=r"TLS fails: .*\(does it speak plain HTTP\?\)"):
        connect(server.kubeconfig(tmp_path)).version()


def test_server_that_hangs_up(server: FakeApiServer, cluster: Cluster) -> None:
    server.on("/version", Exchange.reset)
    with pytest.raises(Unreachable, match=r"connection reset by peer|without an answer"):
        cluster.version()


def pem(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "options",
    [
        {"certificate_authority_data": pem(CERTIFICATE), "tls_server_name": "kubernetes.test"},
        {"insecure_skip_tls_verify": True},
    ],
)
def test_tls_settings_hold_for_rest_and_websocket(tmp_path: Path, options: dict[str, Any]) -> None:
    with FakeApiServer(tls=True) as server:
        server.on("/version", VERSION)
        server.on(EXEC, run(stdout=b"hello"))
        cluster = connect(server.kubeconfig(tmp_path, **options))
        assert cluster.version() == "v1.37.2"
        assert cluster.exec("shop", "web", ["hostname"]).stdout == "hello"
        cluster.close()


def test_wrong_server_name_is_refused(tmp_path: Path) -> None:
    with FakeApiServer(tls=True) as server:
        path = server.kubeconfig(tmp_path, certificate_authority_data=pem(CERTIFICATE), tls_server_name="other.test")
        for call in (connect(path).version, lambda: connect(path).exec("shop", "web", ["true"])):
            with pytest.raises(Unreachable, match="ostname mismatch"):
                call()


@pytest.mark.parametrize("tls", [False, True])
def test_proxy_with_password_for_rest_and_websocket(tmp_path: Path, tls: bool) -> None:
    with FakeApiServer() as proxy, FakeApiServer(tls=tls) as server:
        for fake in (proxy, server):
            fake.on("/version", VERSION)
        server.on(EXEC, run(stdout=b"hello"))
        trust = {"certificate_authority_data": pem(CERTIFICATE), "tls_server_name": "kubernetes.test"} if tls else {}
        path = server.kubeconfig(tmp_path, proxy_url=f"http://me:pass%20word@127.0.0.1:{proxy.port}", **trust)
        cluster = connect(path)
        assert cluster.version() == "v1.37.2"
        assert cluster.exec("shop", "web", ["hostname"]).stdout == "hello"
        login = "Basic " + base64.b64encode(b"me:pass word").decode()
        assert [request.header("proxy-authorization") for request in proxy.received] == [login, login]
        assert proxy.received[-1].method == "CONNECT"
        cluster.close()


def test_failing_proxy_is_named_without_its_password(tmp_path: Path) -> None:
    with FakeApiServer() as proxy:
        proxy._tunnel = lambda exchange: exchange.send(reply(b"", 407))  # type: ignore[method-assign]
        url = f"http://me:hunter2@127.0.0.1:{proxy.port}"
        cluster = offline(tmp_path, "https://api.nowhere.test", proxy_url=url)
        for call in (cluster.version, lambda: cluster.exec("shop", "web", ["true"])):
            with pytest.raises(
                Unreachable, match=rf"the proxy http://127\.0\.0\.1:{proxy.port} fails: .*407"
            ) as caught:
                call()
            assert "hunter2" not in caught.value.message


def test_environment_proxy_is_not_for_loopback(
    server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.on("/version", VERSION)
    assert connect(server.kubeconfig(tmp_path)).version() == "v1.37.2"


@pytest.mark.filterwarnings("ignore:.*SOCKS support:Warning")
def test_proxy_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the proxy gopher://127\.0\.0\.1 of context test cannot be used"):
        offline(tmp_path, "https://api.nowhere.test", proxy_url="gopher://me:hunter2@127.0.0.1")


# --- exec and port-forward ---------------------------------------------------------------------------------------


def run(*, stdout: bytes = b"", stderr: bytes = b"", status: dict[str, Any] | None = None) -> Any:
    def answer(exchange: Exchange) -> None:
        exchange.upgrade("v5.channel.k8s.io")
        exchange.message(1, b"")
        for channel, data in ((1, stdout), (2, stderr)):
            for start in range(0, len(data), 4096):
                exchange.message(channel, data[start : start + 4096])
        exchange.message(3, json.dumps(status or {"status": "Success"}).encode())
        exchange.close()

    return answer


def exit_code(code: str) -> dict[str, Any]:
    causes = [{"reason": "ExitCode", "message": code}]
    return {"status": "Failure", "message": "non-zero exit", "reason": "NonZeroExitCode", "details": {"causes": causes}}


def test_exec(server: FakeApiServer, cluster: Cluster) -> None:
    server.on(EXEC, run(stdout=b"out\xff", stderr=b"err", status=exit_code("3")))
    result = cluster.exec("shop", "web", ["sh", "-c", "echo $1; x&y"], container="main")
    assert (result.stdout, result.stderr, result.code, result.error) == ("out\ufffd", "err", 3, "")
    [request] = server.received
    assert request.query == {
        "command": ["sh", "-c", "echo $1; x&y"],
        "container": ["main"],
        "stdout": ["true"],
        "stderr": ["true"],
    }
    assert request.header("sec-websocket-protocol") == "v5.channel.k8s.io,v4.channel.k8s.io"
    assert request.header("authorization") == "Bearer sesame"
    assert request.header("user-agent") == f"svcdoctor/{__version__}"
    assert cluster.requests[0].status == 101


def test_a_handshake_that_drips_in_ends_in_time(server: FakeApiServer, cluster: Cluster) -> None:
    """Each byte alone comes soon enough."""

    def drip(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nX-Slow: ")
        while not server.over.wait(0.02):
            exchange.send(b".")

    server.on(EXEC, drip)
    server.on(FORWARD, drip)
    for call in (
        lambda: cluster.exec("shop", "web", ["true"], timeout=0.3),
        lambda: cluster.port_forward("shop", "web", 80, timeout=0.3),
    ):
        with pytest.raises(ReadFailed, match="did not answer in time") as caught:
            call()
        assert caught.value.reason == "timeout"


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        ({"status": "Success"}, 0, ""),
        ({"status": "Failure", "message": 'exec: "sh": not found\x1b'}, None, 'exec: "sh": not found\\x1b'),
        ({"status": "Failure", "details": None}, None, "the command did not run"),
        (exit_code("many"), None, "non-zero exit"),
        ({"status": 5}, None, "the server's last word on the command cannot be read"),
    ],
)
def test_exec_outcomes(
    server: FakeApiServer, cluster: Cluster, status: dict[str, Any], code: int | None, error: str
) -> None:
    server.on(EXEC, run(status=status))
    result = cluster.exec("shop", "web", ["x"])
    assert (result.code, result.error) == (code, error)


def test_exec_that_never_ends(server: FakeApiServer, cluster: Cluster) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.upgrade("v4.channel.k8s.io")
        exchange.message(1, b"so far")
        exchange.hang()

    server.on(EXEC, answer)
    result = cluster.exec("shop", "web", ["sleep"], timeout=0.3)
    assert (result.timed_out, result.stdout, result.code, result.error) == (True, "so far", None, "")


def test_exec_with_too_much_output(server: FakeApiServer, cluster: Cluster) -> None:
    server.on(EXEC, run(stdout=b"x" * 100_000))
    result = cluster.exec("shop", "web", ["cat"], max_bytes=10_000)
    assert (result.truncated, len(result.stdout), result.code) == (True, 10_000, None)


def test_exec_cut_off(server: FakeApiServer, cluster: Cluster) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.upgrade("v4.channel.k8s.io")
        exchange.reset()

    server.on(EXEC, answer)
    result = cluster.exec("shop", "web", ["cat"])
    assert (result.code, result.error) == (None, "the connection was closed before the command ended")


@pytest.mark.parametrize(("status", "reason"), [(403, "forbidden"), (404, "not-found"), (500, "server-error")])
def test_exec_refused(server: FakeApiServer, cluster: Cluster, status: int, reason: str) -> None:
    server.on(EXEC, failure(status, 'pods "web" says no'))
    with pytest.raises(ReadFailed) as caught:
        cluster.exec("shop", "web", ["true"])
    assert caught.value.reason == reason
    assert caught.value.message == 'cannot exec in pod shop/web: pods "web" says no'
    assert cluster.requests[0].status == status


def test_exec_does_not_follow_redirects(server: FakeApiServer, cluster: Cluster) -> None:
    server.on(EXEC, reply(b"", 302, location=f"{server.url}/elsewhere"))
    with pytest.raises(ReadFailed, match="does not take a WebSocket"):
        cluster.exec("shop", "web", ["true"])
    assert len(server.received) == 1


def test_exec_handshake_without_answer(server: FakeApiServer, cluster: Cluster) -> None:
    server.on(EXEC, Exchange.hang)
    with pytest.raises(ReadFailed) as caught:
        cluster.exec("shop", "web", ["true"], timeout=0.2)
    assert caught.value.reason == "timeout"


def test_exec_and_reads_share_a_client(server: FakeApiServer, cluster: Cluster) -> None:
    server.on("/version", VERSION)
    server.on(EXEC, run(stdout=b"x"))
    wrong: list[object] = []

    def read() -> None:
        wrong.extend(answer for _ in range(10) if (answer := cluster.version()) != "v1.37.2")

    def execute() -> None:
        wrong.extend(answer for _ in range(10) if (answer := cluster.exec("shop", "web", ["x"])).stdout != "x")

    threads = [threading.Thread(target=target) for target in (read, execute, read, execute)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert len(cluster.requests) == 40


def forward(port: int, *messages: tuple[int, bytes]) -> Any:
    """Port-forward as the kubelet speaks it: port frames, the messages, then an echo of what is sent."""

    def answer(exchange: Exchange) -> None:
        exchange.upgrade("v4.channel.k8s.io")
        for channel in (0, 1):
            exchange.message(channel, port.to_bytes(2, "little"))
        for channel, data in messages:
            exchange.message(channel, data)
        while message := exchange.next_message():
            exchange.message(message[0], message[1:])

    return answer


def test_port_forward_carries_data(server: FakeApiServer, cluster: Cluster) -> None:
    server.on(FORWARD, forward(80, (0, b"welcome")))
    with cluster.port_forward("shop", "web", 80) as pod:
        assert pod.connected()
        assert pod.fileno() >= 0
        assert pod.gettimeout() == 5.0
        assert pod.recv(3) + pod.recv(100) == b"welcome"
        pod.sendall(b"ping" * 100)
        received = b""
        while len(received) < 400:
            received += pod.recv(4096)
        assert received == b"ping" * 100
    assert pod.fileno() == -1
    assert server.received[0].query == {"ports": ["80"]}


def test_port_forward_refused(server: FakeApiServer, cluster: Cluster) -> None:
    text = b"error forwarding port 81 to pod x: dial tcp4 127.0.0.1:81: connect: connection refused\x1b"
    server.on(FORWARD, forward(81, (1, text)))
    pod = cluster.port_forward("shop", "web", 81)
    for call in (lambda: pod.connected(5), lambda: pod.recv(1), lambda: pod.send(b"x")):
        with pytest.raises(PortForwardError, match=r"connection refused\\x1b"):
            call()
    pod.close()


def test_port_forward_timeouts(server: FakeApiServer, cluster: Cluster) -> None:
    server.on(FORWARD, forward(80))
    with cluster.port_forward("shop", "web", 80) as pod:
        assert pod.connected(0.05)
        pod.settimeout(0.05)
        with pytest.raises(TimeoutError):
            pod.recv(1)
        pod.setblocking(False)
        with pytest.raises(BlockingIOError):
            pod.recv(1)


def test_port_forward_end_of_stream(server: FakeApiServer, cluster: Cluster) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.upgrade("v4.channel.k8s.io")
        exchange.close()

    server.on(FORWARD, answer)
    with cluster.port_forward("shop", "web", 80) as pod:
        assert pod.recv(1) == b""
        assert not pod.connected(0.05)


def test_port_forward_serves_dnspython(server: FakeApiServer, cluster: Cluster) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.upgrade("v4.channel.k8s.io")
        for channel in (0, 1):
            exchange.message(channel, (53).to_bytes(2, "little"))
        asked = b""
        while len(asked) < 2 or len(asked) < 2 + int.from_bytes(asked[:2], "big"):
            asked += exchange.next_message()[1:]
        response = dns.message.make_response(dns.message.from_wire(asked[2:]))
        response.answer.append(dns.rrset.from_text("cart.shop.svc.cluster.local.", 5, "IN", "A", "10.96.0.7"))
        wire = response.to_wire()
        wire = len(wire).to_bytes(2, "big") + wire
        exchange.message(0, wire[:5])
        exchange.message(0, wire[5:])
        exchange.hang()

    server.on(FORWARD, answer)
    query = dns.message.make_query("cart.shop.svc.cluster.local.", "A")
    with cluster.port_forward("shop", "web", 53) as pod:
        pod.setblocking(False)
        found = dns.query.tcp(query, "pod", sock=pod, timeout=5).answer[0]  # type: ignore[arg-type]
        assert [record.address for record in found] == ["10.96.0.7"]
        with pytest.raises(dns.exception.Timeout):
            dns.query.tcp(query, "pod", sock=pod, timeout=0.1)  # type: ignore[arg-type]


# --- impersonation -----------------------------------------------------------------------------------------------

IMPERSONATING = {
    "token": "sesame",
    "as": "jane",
    "as-groups": ["dev", "ops"],
    "as-uid": "u-1",
    "as-user-extra": {"scopes/x": ["view", "edit"]},
}


def impersonated(server: FakeApiServer, cluster: Cluster) -> list[dict[str, list[str]]]:
    server.on("/version", VERSION)
    server.on(EXEC, run())
    cluster.version()
    cluster.exec("shop", "web", ["true"])
    wanted = ("user", "group", "uid", "extra-scopes%2fx")
    return [{name: request.all(f"impersonate-{name}") for name in wanted} for request in server.received]


def test_kubeconfig_impersonates_over_rest_and_websocket(server: FakeApiServer, tmp_path: Path) -> None:
    seen = {"user": ["jane"], "group": ["dev", "ops"], "uid": ["u-1"], "extra-scopes%2fx": ["view", "edit"]}
    assert impersonated(server, connect(server.kubeconfig(tmp_path, user=IMPERSONATING))) == [seen, seen]


def test_flags_beat_the_kubeconfigs_impersonation(server: FakeApiServer, tmp_path: Path) -> None:
    path = server.kubeconfig(tmp_path, user=IMPERSONATING)
    first, _ = impersonated(server, connect(path, as_user="Zoë", as_groups=("qa",), as_uid="u-2"))
    assert first["user"] == ["Zoë"]
    assert first["group"] == ["qa"]
    assert first["uid"] == ["u-2"]


@pytest.mark.parametrize("options", [{"as_groups": ("dev",)}, {"as_uid": "u"}, {"as_user": "jane\r\nX-Evil: 1"}])
def test_impersonation_that_makes_no_sense(server: FakeApiServer, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        connect(server.kubeconfig(tmp_path), **options)


# --- kubeconfig --------------------------------------------------------------------------------------------------


def write(path: Path, **changes: Any) -> Path:
    document = {
        "current-context": "dev",
        "contexts": [
            {"name": "dev", "context": {"cluster": "one", "user": "me", "namespace": "shop"}},
            {"name": "prod", "context": {"cluster": "two", "user": "me"}},
        ],
        "clusters": [
            {"name": "one", "cluster": {"server": "https://one.test:6443/"}},
            {"name": "two", "cluster": {"server": "https://two.test/base"}},
        ],
        "users": [{"name": "me", "user": {"token": "sesame"}}, {"name": "you", "user": {"token": "other"}}],
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({key: value for key, value in document.items() if value != "absent"}))
    return path


def chosen(cluster: Cluster) -> tuple[str, str, str, str]:
    return cluster.context, cluster.server, cluster.namespace, cluster._configuration.api_key.get("BearerToken", "")


def test_flags_choose_as_in_kubectl(tmp_path: Path) -> None:
    path = write(tmp_path / "config")
    assert chosen(connect(path)) == ("dev", "https://one.test:6443", "shop", "Bearer sesame")
    assert chosen(connect(path, context="prod"))[:3] == ("prod", "https://two.test/base", "default")
    assert chosen(connect(path, cluster="two", user="you")) == ("dev", "https://two.test/base", "shop", "Bearer other")


def test_flag_beats_environment_beats_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "home/.kube/config", **{"current-context": "prod"})
    assert connect(None).context == "prod"
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "env")))
    assert connect(None).context == "dev"
    assert connect(write(tmp_path / "flag", **{"current-context": "prod"})).context == "prod"


def test_several_files_merge_with_the_first_winning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(
        tmp_path / "a",
        contexts=[{"name": "mine", "context": {"cluster": "one", "user": "me"}}],
        clusters=[{"name": "one", "cluster": {"server": "https://first.test"}}],
        users=None,
        **{"current-context": "mine"},
    )
    monkeypatch.setenv("KUBECONFIG", f":{first}:{tmp_path / 'missing'}:{write(tmp_path / 'b')}:")
    assert chosen(connect(None)) == ("mine", "https://first.test", "default", "Bearer sesame")
    assert connect(None, context="prod").server == "https://two.test/base"


def test_relative_paths_start_at_their_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki/ca.crt").write_text(CERTIFICATE)
    (tmp_path / "pki/me.crt").write_text(CERTIFICATE)
    (tmp_path / "pki/me.key").write_text(KEY)
    path = write(
        tmp_path / "config",
        clusters=[{"name": "one", "cluster": {"server": "one.test:6443", "certificate-authority": "pki/ca.crt"}}],
        users=[{"name": "me", "user": {"client-certificate": "pki/me.crt", "client-key": "pki/me.key"}}],
    )
    monkeypatch.chdir(tmp_path.parent)
    cluster = connect(path)
    assert cluster.server == "https://one.test:6443"
    assert cluster._configuration.ssl_ca_cert == str(tmp_path / "pki/ca.crt")
    assert cluster._configuration.key_file == str(tmp_path / "pki/me.key")


def test_basic_auth(server: FakeApiServer, tmp_path: Path) -> None:
    server.on("/version", VERSION)
    connect(server.kubeconfig(tmp_path, user={"username": "me", "password": "pw"})).version()
    assert server.received[0].header("authorization") == "Basic " + base64.b64encode(b"me:pw").decode()


def only(section: str, **body: Any) -> dict[str, Any]:
    name = {"contexts": "dev", "clusters": "one", "users": "me"}[section]
    return {section: [{"name": name, section[:-1]: body}]}


BROKEN = [
    ({"contexts": None}, "there is no context 'dev', asked for by current-context; it has no contexts"),
    ({"contexts": {"dev": 1}}, "contexts must be a list, not a map"),
    ({"contexts": ["dev"]}, r"contexts\[0\] must be a map, not a string"),
    ({"clusters": [{"cluster": {}}]}, r"clusters\[0\]\.name is not set"),
    ({"clusters": [{"name": "one"}] * 2}, "clusters has two entries named one"),
    ({"clusters": []}, "there is no cluster 'one', asked for by contexts.dev..context; it has no clusters"),
    ({"users": [{"name": "you"}]}, "there is no user 'me', asked for by contexts.dev..context; known users: you"),
    ({"current-context": "absent"}, "current-context is not set; choose one with --context: dev, prod"),
    ({"current-context": 5}, "current-context must be a string, not a number; put it in quotes"),
    ({"current-context": "gone\x1b"}, r"there is no context 'gone\\+x1b'.*; known contexts: dev, prod"),
    (only("contexts", user="me"), r"contexts\[dev\]\.context\.cluster is not set"),
    (only("contexts", cluster="one", namespace=5), r"context\.namespace must be a string, not a number"),
    (only("clusters"), r"clusters\[one\]\.cluster\.server is not set"),
    (only("clusters", server="ftp://x"), r"cluster\.server is not an http or https URL: ftp://x"),
    (only("clusters", server="https://x:port"), r"cluster\.server is not an http or https URL"),
    (only("clusters", server="https://me:hunter2@x"), r"cluster\.server must be scheme, host, port and path only"),
    (
        only("clusters", server="https://x", **{"certificate-authority": "/nowhere/ca.crt"}),
        r"cluster\.certificate-authority names /nowhere/ca\.crt, which cannot be read: no such file",
    ),
    (
        only("clusters", server="https://x", **{"certificate-authority-data": "hunter2!"}),
        r"cluster\.certificate-authority-data is not base64",
    ),
    (
        only("clusters", server="https://x", **{"certificate-authority-data": pem("hunter2")}),
        "the cluster's certificate-authority is not a PEM certificate",
    ),
    (
        only("clusters", server="https://x", **{"insecure-skip-tls-verify": "no"}),
        "insecure-skip-tls-verify must be true or false, not a string",
    ),
    (only("users", **{"client-certificate-data": pem(CERTIFICATE)}), r"user\.client-key is not set; both or none"),
    (
        only("users", **{"client-certificate-data": pem(CERTIFICATE), "client-key-data": pem("hunter2")}),
        "client-certificate and client-key are not a matching pair",
    ),
    (only("users", token="hunter2\nhunter2"), r"user\.token has spaces, line breaks"),
    (only("users", token=123), r"users\[me\]\.user\.token must be a string, not a number"),
    (only("users", tokenFile="/nowhere/token"), r"user\.tokenFile names /nowhere/token, which cannot be read"),
    (only("users", exec=[]), r"user\.exec must be a map, not a list"),
    (only("users", exec={"apiVersion": "v1"}), r"user\.exec\.command is not set"),
    (only("users", exec={"command": "x", "apiVersion": "v1"}), r"user\.exec\.apiVersion must be client\.auth"),
]


@pytest.mark.parametrize(("changes", "message"), BROKEN)
def test_broken_kubeconfigs(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "config", **changes)
    with pytest.raises(ConfigError, match=message) as caught:
        connect(path)
    assert caught.value.reason == "config"
    assert not caught.value.missing
    assert caught.value.message.startswith((str(path), "context dev:"))
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clusters: [\n  {name: hunter2", r"is not valid YAML at line [23]: "),
        ("\x00\x01", "is not valid YAML"),
        ("- a\n- b", "the document must be a map, not a list"),
        ("", "is empty"),
    ],
)
def test_files_that_are_no_kubeconfig(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        connect(path)
    assert "hunter2" not in caught.value.message


def test_kubeconfig_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "config", tmp_path):
        with pytest.raises(ConfigError, match=r"is not valid YAML|cannot be read: is a directory"):
            connect(path)


def test_kubeconfig_named_by_flag_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope does not exist; check --kubeconfig") as caught:
        connect(tmp_path / "nope")
    assert not caught.value.missing


@pytest.mark.parametrize("context", [None, "dev"])
def test_no_kubeconfig_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: str | None) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match=r"no kubeconfig found at .*missing, and this is not a Pod") as caught:
        connect(None, context=context)
    assert caught.value.missing


def test_in_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, content in (("token", "pod-token\n"), ("ca.crt", CERTIFICATE), ("namespace", "shop")):
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(configuration.incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(configuration.incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert chosen(connect(None)) == ("in-cluster", "https://[fd00::1]:443", "shop", "Bearer pod-token")


def test_token_file_is_read_again_when_refused(server: FakeApiServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    cluster = connect(server.kubeconfig(tmp_path, user={"tokenFile": "token"}))
    token.write_text("new\n")
    server.on("/version", failure(401, "expired"), VERSION)
    assert cluster.version() == "v1.37.2"
    assert [request.header("authorization") for request in server.received] == ["Bearer old", "Bearer new"]


def test_old_auth_providers(tmp_path: Path) -> None:
    def jwt(expires: int) -> str:
        return f"h.{base64.urlsafe_b64encode(json.dumps({'exp': expires}).encode()).decode().rstrip('=')}.s"

    def user(**config: str) -> Path:
        return write(tmp_path / "config", **only("users", **{"auth-provider": {"name": "oidc", "config": config}}))

    valid = jwt(2**33)
    assert chosen(connect(user(**{"id-token": valid})))[3] == f"Bearer {valid}"
    for config in ({"id-token": jwt(1)}, {}):
        with pytest.raises(Unauthenticated, match=r"\(oidc\) (has expired|is missing); run any kubectl command"):
            connect(user(**config))


def test_nothing_secret_in_reprs(tmp_path: Path) -> None:
    path = write(tmp_path / "config")
    access = kubeconfig.choose(ConnectOptions(kubeconfig=str(path)))
    for shown in (repr(access), repr(connect(path)), repr(kubeconfig.Credential(token="sesame", key="sesame"))):
        assert "sesame" not in shown


# --- exec plugins ------------------------------------------------------------------------------------------------

BETA = "client.authentication.k8s.io/v1beta1"


def plugin(directory: Path, script: str, **body: Any) -> dict[str, Any]:
    """A user whose credentials come from a shell script beside the kubeconfig."""
    path = directory / "login"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"apiVersion": BETA, "command": "./login", **body}}


def credential(**status: str) -> str:
    return f"echo '{json.dumps({'apiVersion': BETA, 'kind': 'ExecCredential', 'status': status})}'"


@pytest.fixture
def no_stdin() -> Iterator[None]:
    """Nothing to read for whatever this process starts, however the tests were started themselves."""
    kept, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(nothing)


@pytest.mark.usefixtures("no_stdin")
def test_plugin_gives_a_token(server: FakeApiServer, tmp_path: Path) -> None:
    script = f'cat; echo "$KUBERNETES_EXEC_INFO $1 $EXTRA" >> seen; {credential(token="fresh")}'
    user = plugin(tmp_path, f"cd {tmp_path}; {script}", args=["arg"], env=[{"name": "EXTRA", "value": "set"}])
    user["exec"]["provideClusterInfo"] = True
    server.on("/version", VERSION)
    cluster = connect(server.kubeconfig(tmp_path, user=user))
    cluster.version()
    cluster.version()
    assert [request.header("authorization") for request in server.received] == ["Bearer fresh"] * 2
    [line] = (tmp_path / "seen").read_text().splitlines()
    information, argument, extra = line.rsplit(" ", 2)
    assert (argument, extra) == ("arg", "set")
    assert json.loads(information)["spec"] == {"interactive": False, "cluster": {"server": server.url}}


def test_plugin_runs_once_for_many_threads_and_again_when_due(server: FakeApiServer, tmp_path: Path) -> None:
    user = plugin(
        tmp_path, f"echo >> {tmp_path}/runs; {credential(token='t', expirationTimestamp='2020-01-01T00:00:00Z')}"
    )
    server.on("/version", VERSION)
    cluster = connect(server.kubeconfig(tmp_path, user=user))
    assert cluster._source is not None
    cluster._source._fetched = -1e9
    threads = [threading.Thread(target=cluster.version) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len((tmp_path / "runs").read_text()) == 2


def test_plugin_runs_again_after_401(server: FakeApiServer, tmp_path: Path) -> None:
    user = plugin(tmp_path, f"echo >> {tmp_path}/runs; {credential(token='t')}")
    server.on("/version", failure(401, "expired"), VERSION, failure(401, "expired"))
    server.on(EXEC, failure(401, "expired"), run(stdout=b"x"))
    cluster = connect(server.kubeconfig(tmp_path, user=user))
    assert cluster.version() == "v1.37.2"
    assert cluster.exec("shop", "web", ["x"]).stdout == "x"
    assert len((tmp_path / "runs").read_text()) == 3
    with pytest.raises(Unauthenticated):
        cluster.version()
    assert len((tmp_path / "runs").read_text()) == 4


def test_plugin_gives_a_certificate(tmp_path: Path) -> None:
    with FakeApiServer(tls=True) as server:
        user = plugin(tmp_path, credential(clientCertificateData="CERT", clientKeyData="KEY").replace("'", '"'))
        answer = {"apiVersion": BETA, "status": {"clientCertificateData": CERTIFICATE, "clientKeyData": KEY}}
        (tmp_path / "answer").write_text(json.dumps(answer))
        (tmp_path / "login").write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
        server.on("/version", VERSION)
        trust = {"certificate_authority_data": pem(CERTIFICATE), "tls_server_name": "kubernetes.test"}
        cluster = connect(server.kubeconfig(tmp_path, user=user, **trust))
        assert cluster.version() == "v1.37.2"
        key = Path(cluster._configuration.key_file or "")
        assert key.read_text() == KEY
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("script", "body", "message"),
    [
        (
            "echo; echo 'token expired\x1b' >&2; echo more >&2; exit 3",
            {},
            r"failed with exit code 3: token expired\\x1b$",
        ),
        ("exit 1", {"installHint": "install it"}, r"failed with exit code 1 and said nothing; install it$"),
        ("echo hunter2", {}, "printed something else than an ExecCredential"),
        ("echo '{\"status\": null}'", {}, "printed something else than an ExecCredential"),
        (credential(token="hunter2 hunter2"), {}, "gave a token with spaces"),
        (credential(), {}, "gave neither a token nor a client certificate"),
        (credential(clientCertificateData="hunter2"), {}, "without its key"),
        (credential(token="hunter2"), {"apiVersion": BETA[:-5]}, "answered in another apiVersion than"),
        ("", {"command": "no-such-plugin", "installHint": "get it"}, "is not installed: .* in PATH; get it"),
        ("", {"command": "./missing"}, "cannot be run: no such file or directory"),
        ("", {"interactiveMode": "Always"}, "wants a terminal .interactiveMode: Always."),
    ],
)
def test_plugins_that_fail(
    server: FakeApiServer, tmp_path: Path, script: str, body: dict[str, Any], message: str
) -> None:
    path = server.kubeconfig(tmp_path, user=plugin(tmp_path, script, **body))
    with pytest.raises(Unauthenticated, match=message) as caught:
        connect(path)
    command = body.get("command", "./login")
    assert caught.value.message.startswith(f"the credential plugin {command} ({path}) ")
    assert "hunter2" not in caught.value.message
    assert server.received == []


def test_a_plugin_that_wants_a_terminal_gets_the_one_that_is_lent(
    server: FakeApiServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = f"echo 'open the page' >&2; echo \"$KUBERNETES_EXEC_INFO\" >> {tmp_path}/seen; {credential(token='fresh')}"
    path = server.kubeconfig(tmp_path, user=plugin(tmp_path, script, interactiveMode="Always"))
    access = kubeconfig.choose(kubeconfig.ConnectOptions(kubeconfig=str(path)))
    assert access and access.source
    lent: list[str] = []

    @contextlib.contextmanager
    def lend() -> Iterator[None]:
        lent.append("taken")
        yield
        lent.append("returned")

    access.source.lend = lend
    assert access.source.current().token == "fresh"
    assert lent == ["taken", "returned"]
    assert "open the page" in capfd.readouterr().err
    assert '"interactive": true' in (tmp_path / "seen").read_text()


def test_a_terminal_that_was_lent_in_vain_is_not_taken_again(server: FakeApiServer, tmp_path: Path) -> None:
    path = server.kubeconfig(tmp_path, user=plugin(tmp_path, "exit 1"))
    access = kubeconfig.choose(kubeconfig.ConnectOptions(kubeconfig=str(path)))
    assert access and access.source
    lent: list[str] = []
    access.source.lend = lambda: contextlib.nullcontext(lent.append("taken"))
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            access.source.current()
    assert lent == ["taken"]


def test_plugin_that_hangs(server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfig, "_PLUGIN_TIMEOUT", 0.2)
    with pytest.raises(Unauthenticated, match="did not answer within"):
        connect(server.kubeconfig(tmp_path, user=plugin(tmp_path, "exec sleep 60")))


def test_errors_are_kube_errors() -> None:
    assert issubclass(ConfigError, KubeError)
    assert {ConfigError.reason, Unauthenticated.reason, Unreachable.reason} == {
        "config",
        "unauthenticated",
        "unreachable",
    }
