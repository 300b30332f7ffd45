"""Connections that a client tries: who the client is, what tools say, and the script itself, run here."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator

import msgspec
import pytest

from simulate import simulate
from svcdoctor.case import Case
from svcdoctor.clients.clientpod import client_named, client_pod, no_such_client
from svcdoctor.clients.connection import outcome_of
from svcdoctor.cluster.connectlook import MOST_ENDPOINTS, MOST_TARGETS, NO_TOOL, connect, read, targets_in
from svcdoctor.cluster.connectscript import CONNECT
from svcdoctor.diagnosis import Scope, diagnose, diagnose_recorded
from svcdoctor.objects import Pod
from svcdoctor.recordings.redact import Redactor
from svcdoctor.world import World
from test_probe import ExecResult, Refused
from test_sockets import NO_CAT, POD, Containers

NO_SHELL = ExecResult(error=NO_CAT.error.replace("cat", "sh"), code=126)


# --- what a tool says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words", "outcome"),
    [
        (0, "", "open"),
        (0, "10.96.0.10 (10.96.0.10:53) open", "open"),  # busybox nc -zvv
        (1, "nc: can't connect to remote host (10.96.0.1): Connection refused", "refused"),  # busybox nc without -z
        (1, "nc: connect to 10.96.0.1 port 80 (tcp) failed: Connection refused", "refused"),  # OpenBSD nc
        (1, "Ncat: Connection refused.", "refused"),
        (
            1,
            "10.96.0.1: connect: Connection refused 10.96.0.1: line 1: /dev/tcp/10.96.0.1/80: Connection refused",
            "refused",
        ),
        (1, "nc: timed out", "timeout"),
        (1, "nc: connect to 10.96.0.1 port 80 (tcp) timed out: Operation now in progress", "timeout"),
        (1, "Ncat: TIMEOUT.", "timeout"),
        (124, "", "timeout"),  # bash under timeout(1) of coreutils
        (143, "Terminated", "timeout"),  # of busybox
        (1, "read(net): Connection reset by peer", "reset"),
        (1, "bash: connect: No route to host", "unreachable"),
        (1, "nc: can't connect to remote host (fd00::1): Network is unreachable", "unreachable"),
        (1, "nc: bad address 'x'", "dns"),
        (7, "curl: (7) Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server", "refused"),
        (28, "curl: (28) Connection timed out after 2004 milliseconds", "timeout"),
        (6, "curl: (6) Could not resolve host: x", "dns"),
        (56, "curl: (56) Recv failure: Connection reset by peer", "reset"),
        (1, "[Errno 111] Connection refused", "refused"),  # python
        (1, "timed out", "timeout"),
        (1, "[Errno -2] Name or service not known", "dns"),
        (1, "ECONNREFUSED", "refused"),  # node
        (1, "ETIMEDOUT", "timeout"),
        (1, "ECONNRESET", "reset"),
        (1, "EHOSTUNREACH", "unreachable"),
        (1, "REFUSED", "refused"),  # agnhost connect
        (1, "TIMEOUT", "timeout"),
        (1, "DNS", "dns"),
        (1, "OTHER", "error"),
        (139, "", "error"),
    ],
)
def test_what_became_of_a_connection_is_read_off_the_tool(code: int, words: str, outcome: str) -> None:
    assert outcome_of(code, words) == outcome


def test_only_lines_of_the_script_are_read() -> None:
    output = "T tool nc -e nc\nT 2 0 1 \nnoise\nX 1 0 1 \nT 1 1 202 nc: \x1b[31mtimed out \nT 9 0 1 \nT done\n"
    tool, tried, _ = read(output, "T", [("10.96.0.1", 80), ("fd00::7", 8080)])
    assert tool == "nc -e"
    assert [(one.place, one.outcome, one.milliseconds) for one in tried] == [
        ("10.96.0.1:80", "timeout", 2020),
        ("[fd00::7]:8080", "open", 10),
    ]
    assert "\x1b" not in tried[0].detail


# --- the script -----------------------------------------------------------------------------------------------------


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Shell:
    """An exec that runs here."""

    def __init__(self, change: Callable[[str], str] = str, path: str = "") -> None:
        self.change, self.path = change, path

    def exec(self, namespace: str, pod: str, argv: list[str], **options: object) -> ExecResult:
        argv = [self.change(word) if word == CONNECT else word for word in argv]
        done = subprocess.run(
            [shutil.which("sh") or "sh", *argv[1:]],
            capture_output=True,
            encoding="utf-8",
            env={"PATH": self.path} if self.path else None,
        )
        return ExecResult(done.stdout, done.stderr, done.returncode)

    def port_forward(self, *_: object, **__: object) -> None:
        raise AssertionError("nothing is forwarded")


@pytest.mark.skipif(not shutil.which("bash"), reason="the script needs nc or bash")
def test_the_script_tells_open_from_refused(listening: int, closed: int) -> None:
    said = connect(Shell(), POD, [("127.0.0.1", listening), ("127.0.0.1", closed)])
    assert said.tool in ("nc", "nc -e", "bash")
    assert [one.outcome for one in said.tried] == ["open", "refused"]


@pytest.mark.skipif(not shutil.which("bash"), reason="the script needs nc or bash")
def test_a_tool_that_takes_nothing_for_refused_is_not_believed(listening: int) -> None:
    said = connect(
        Shell(lambda script: script.replace("127.0.0.1 1)", f"127.0.0.1 {listening})")), POD, [("127.0.0.1", 1)]
    )
    assert said.unavailable == "no-tool" and not said.tried


def test_no_shell_and_no_tool_are_told_apart(tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert connect(Containers(web=NO_SHELL, side=NO_SHELL), POD, []).detail == "the container has no shell"
    assert connect(Shell(path=str(tmp_path)), POD, []).detail == NO_TOOL


def test_a_second_container_may_have_what_the_first_has_not() -> None:
    cluster = Containers(web=NO_SHELL, side=NO_SHELL)
    connect(cluster, POD, [])
    assert cluster.asked == ["web", "side"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Refused("forbidden"), "forbidden"),
        (Refused("timeout", "no answer"), "timeout"),
        (ExecResult(timed_out=True), "timeout"),
    ],
)
def test_what_keeps_it_from_being_tried_is_said(said: ExecResult | Refused, why: str) -> None:
    found = connect(Containers(web=said, side=said), POD, [])
    assert found.unavailable == why and found.detail


# --- what is tried --------------------------------------------------------------------------------------------------


def shop(replicas: int = 1, services: int = 1) -> World:
    documents = []
    for number in range(services):
        name = f"cart{number}"
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": "a"}]}}
        documents.append(
            {"kind": "Deployment", "metadata": {"name": name}, "spec": {"replicas": replicas, "template": template}}
        )
        ports = [{"port": 80, "targetPort": 8080}]
        documents.append(
            {"kind": "Service", "metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": ports}}
        )
    return simulate(documents)


def services(world: World) -> list:  # type: ignore[type-arg]
    return list(world.listed("services", "shop").values())


def test_the_address_endpoints_and_the_cluster_dns_are_tried() -> None:
    world = shop(replicas=2)
    case = Case(world, services(world)[0])
    ends = [(view.address, 8080) for view in case.ready_endpoints]
    found = targets_in(world, [case.service])
    assert found[:3] == [(case.cluster_ips[0], 80), *ends]
    assert ("10.96.0.10", 53) in found and len(found) == 6


def test_of_many_endpoints_some_are_tried() -> None:
    world = shop(replicas=30)
    found = targets_in(world, services(world))
    assert len([place for place in found if place[1] == 8080]) == MOST_ENDPOINTS


def test_what_was_not_tried_is_said() -> None:
    client = {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "app", "image": "a"}]}}
    template = {"metadata": {"labels": {"app": "cart"}}, "spec": {"containers": [{"name": "app", "image": "a"}]}}
    deployment = {"kind": "Deployment", "metadata": {"name": "cart"}, "spec": {"replicas": 30, "template": template}}
    service = {"kind": "Service", "metadata": {"name": "cart"}}
    service["spec"] = {"selector": {"app": "cart"}, "ports": [{"port": 80, "targetPort": 8080}]}
    world = simulate([deployment, service, client], probe={"connections": {"from": "web"}})
    found = diagnose(world, Scope("shop")).diagnosis.services[0]
    assert found.headline.endswith("8 of 8 endpoints (22 more were not tried)")


@pytest.mark.parametrize(("first", "tried"), [("10.96.9.9", "10.244."), ("fd00::9", "fd00:")])
def test_of_two_families_the_one_of_the_first_address_is_tried(first: str, tried: str) -> None:
    other = "fd00::9" if ":" not in first else "10.96.9.9"
    service = {"kind": "Service", "metadata": {"name": "cart"}}
    service["spec"] = {"clusterIP": first, "clusterIPs": [first, other], "ports": [{"port": 80, "targetPort": 8080}]}
    slices = [
        {
            "kind": "EndpointSlice",
            "metadata": {"name": f"cart-{number}", "labels": {"kubernetes.io/service-name": "cart"}},
            "addressType": family,
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        }
        for number, (family, address) in enumerate((("IPv4", "10.244.9.9"), ("IPv6", "fd00::5")))
    ]
    world = simulate([service, *slices])
    own = [address for address, port in targets_in(world, services(world)) if port == 8080]
    assert len(own) == 1 and own[0].startswith(tried)


def test_the_addresses_of_many_services_come_first() -> None:
    world = shop(replicas=3, services=19)
    found = targets_in(world, services(world))
    assert len(found) <= MOST_TARGETS
    assert len([place for place in found if place[1] == 80]) == 19
    assert ("10.96.0.10", 53) in found


# --- who is meant ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("web-1", ("shop", "web-1")),
        ("pod/web-1", ("shop", "web-1")),
        ("store/web-1", ("store", "web-1")),
        ("store/pod/web-1", ("store", "web-1")),
        ("deploy/web", ("shop", "Deployment/web")),
        ("deployment/web", ("shop", "Deployment/web")),
        ("store/sts/db", ("store", "StatefulSet/db")),
        ("DS/agent", ("shop", "DaemonSet/agent")),
        ("sa/robot", ("shop", "ServiceAccount/robot")),
        ("deploy", ("shop", "deploy")),
    ],
)
def test_a_client_is_named_as_kubectl_names_it(words: str, meant: tuple[str, str]) -> None:
    assert client_named(words, "shop") == meant


@pytest.mark.parametrize("words", ["", "/", "deploy/", "/web", "a/b/c", "store/deploy/web/x", "a/deploy/"])
def test_other_words_name_no_client(words: str) -> None:
    with pytest.raises(ValueError, match="names no client"):
        client_named(words, "shop")


def pods(*ready: bool, owner: str = "Deployment", account: str | None = None) -> list[Pod]:
    found = []
    for number, is_ready in enumerate(ready):
        metadata = {"name": f"web-{number}", "namespace": "shop"}
        metadata |= {"ownerReferences": [{"kind": owner, "name": "web", "uid": "1", "controller": True}]}  # type: ignore[dict-item]
        conditions = [{"type": "Ready", "status": str(is_ready)}]
        document = {
            "metadata": metadata,
            "spec": {"containers": []},
            "status": {"phase": "Running", "conditions": conditions},
        }
        document["spec"] |= {"serviceAccountName": account} if account else {}  # type: ignore[operator]
        found.append(msgspec.convert(document, Pod))
    return found


def test_of_a_workload_a_ready_pod_is_taken() -> None:
    meant = client_pod(pods(False, True, True), "Deployment/web")
    assert meant is not None and meant.metadata.name == "web-1"


def test_a_service_account_is_that_of_its_pods() -> None:
    assert client_pod(pods(True, account="robot"), "ServiceAccount/robot")
    assert client_pod(pods(True), "ServiceAccount/default")
    assert not client_pod(pods(True, account="robot"), "ServiceAccount/default")


def test_who_is_not_there_is_answered_with_who_is() -> None:
    there = pods(True, account="robot")
    assert "no Deployment wbe in namespace shop to look from; there is web" in no_such_client(
        there, "shop", "Deployment/wbe"
    )
    assert "no StatefulSet web in namespace shop to look from; no Pod there has a StatefulSet" in no_such_client(
        there, "shop", "StatefulSet/web"
    )
    assert "there is robot" in no_such_client(there, "shop", "ServiceAccount/cart")
    assert no_such_client([], "shop", "web") == "there is no Pod web in namespace shop to look from"


# --- and a diagnosis --------------------------------------------------------------------------------------------------


def test_without_a_client_no_connection_is_spoken_of() -> None:
    world = shop()
    found = diagnose(world, Scope("shop")).diagnosis.services[0]
    assert "connect" not in {step.step for step in found.steps}
    assert world.connections is None


def test_a_remedy_is_tried_without_what_was_met_before() -> None:
    """The connection of before would contradict any cure."""
    document = {"kind": "Pod", "metadata": {"name": "cart", "labels": {"app": "cart"}}}
    document["spec"] = {"containers": [{"name": "app", "image": "a", "ports": [{"containerPort": 8080}]}]}
    client = {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "app", "image": "a"}]}}
    service = {"kind": "Service", "metadata": {"name": "cart"}}
    service["spec"] = {"selector": {"app": "cart"}, "ports": [{"port": 80, "targetPort": 9999}]}
    met = {"from": "web", "outcomes": {"cart:*": "refused"}}
    world = simulate([document, client, service], probe={"sockets": {"cart": [":8080"]}, "connections": met})
    found = diagnose(world, Scope("shop")).diagnosis.services[0].findings[0]
    assert [remedy.then for remedy in found.remedies if remedy.changes_cluster] == ["pass"]


def test_a_recording_keeps_what_was_met_and_for_strangers_too() -> None:
    met = {"from": "web", "outcomes": {"cart0:80": "timeout", "*:8080": "refused"}}
    client = {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "app", "image": "a"}]}}
    template = {"metadata": {"labels": {"app": "cart0"}}, "spec": {"containers": [{"name": "app", "image": "a"}]}}
    service = {"kind": "Service", "metadata": {"name": "cart0"}}
    service["spec"] = {"selector": {"app": "cart0"}, "ports": [{"port": 80, "targetPort": 8080}]}
    deployment = {"kind": "Deployment", "metadata": {"name": "cart0"}, "spec": {"replicas": 2, "template": template}}
    world = simulate([deployment, client, service], probe={"connections": met})
    codes = [finding.code for finding in diagnose(world, Scope("shop")).diagnosis.findings() if finding.code]
    assert "port-target-unlistened" in codes
    recording = world.record()
    again = diagnose_recorded(World.replay(recording), Scope("shop"))
    assert [finding.code for finding in again.findings() if finding.code] == codes
    hidden = World.replay(Redactor(b"x" * 32).redacted(recording))
    (place,) = {item.metadata.namespace for item in hidden.everywhere("services")[0]} - {"default", "kube-system"}
    found = diagnose_recorded(hidden, Scope(place))
    assert [finding.code for finding in found.findings() if finding.code] == codes
