"""What Pods listen on: the kernel's words, recorded from a Pod on Kubernetes 1.37, and how they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from simulate import simulate
from svcdoctor.cluster.socketlook import look_at_sockets
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.objects import Pod
from svcdoctor.pods.sockets import Listener, listeners_in
from svcdoctor.world import Want, World
from test_probe import ExecResult, Refused

# busybox httpd on 127.0.0.1:8080, netexec on [::]:9090, a UDP server on 0.0.0.0:8081, and a connection of the first.
PROC_NET = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 90210 1 0000 100 0 0 10 0
   1: 0702F40A:1F90 0102F40A:C350 01 00000000:00000000 00:00000000 00000000     0        0 90211 1 0000 20 4 30 10 -1
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when inode
   0: 00000000000000000000000000000000:2382 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 1
   1: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 1
   2: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 1
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  12: 00000000:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 90215 2 0000000000000000 0
   sl  local_address                         remote_address                        st timeout inode ref pointer drops
"""
POD = msgspec.convert(
    {
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"containers": [{"name": "web", "image": "a"}, {"name": "side", "image": "b"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {"name": "web", "state": {"running": {"startedAt": "2026-03-01T10:00:00Z"}}},
                {"name": "side", "state": {"running": {"startedAt": "2026-03-01T11:00:00Z"}}},
            ],
        },
    },
    Pod,
)
NO_CAT = ExecResult(error='exec: "cat": executable file not found in $PATH', code=126)


class Containers:
    """Answers an exec by the container that it is for."""

    def __init__(self, **said: ExecResult | Refused) -> None:
        self.said = said
        self.asked: list[str] = []

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        container: str = "",
        timeout: float = 10.0,
        max_bytes: int = 1 << 20,
    ) -> ExecResult:
        self.asked.append(container)
        said = self.said[container]
        if isinstance(said, Refused):
            raise said
        return said

    def port_forward(self, namespace: str, pod: str, port: int, *, timeout: float = 5.0) -> None:
        raise AssertionError("nothing is forwarded")


def test_listeners_are_read_with_their_addresses() -> None:
    assert [listener.text for listener in listeners_in(PROC_NET) or ()] == [
        "127.0.0.1:8080",
        "[::1]:8081",
        "127.0.0.1:8082",
        "[::]:9090",
        "0.0.0.0:8081/UDP",
    ]


def test_loopback_is_told_in_all_its_forms() -> None:
    loopback = {listener.port for listener in listeners_in(PROC_NET) or () if listener.is_loopback}
    assert loopback == {8080, 8081, 8082}


@pytest.mark.parametrize("text", ["", "cat: /proc/net/tcp: Permission denied\n", "0: nonsense\n"])
def test_other_words_are_no_answer(text: str) -> None:
    assert listeners_in(text) is None


@pytest.mark.parametrize(
    ("bound", "address", "reached"),
    [
        ("0.0.0.0", "10.244.1.7", True),
        ("0.0.0.0", "fd00::7", False),
        ("::", "10.244.1.7", True),
        ("::", "fd00::7", True),
        ("10.244.1.7", "10.244.1.7", True),
        ("10.244.1.7", "10.244.1.8", False),
        ("127.0.0.1", "10.244.1.7", False),
    ],
)
def test_which_addresses_a_listener_takes(bound: str, address: str, reached: bool) -> None:
    assert Listener("TCP", bound, 8080).takes(address) is reached


def test_a_container_without_cat_leaves_it_to_the_next_one() -> None:
    cluster = Containers(web=NO_CAT, side=ExecResult(stdout=PROC_NET))
    seen = look_at_sockets(cluster, POD)
    assert cluster.asked == ["web", "side"]
    assert seen.on(9090, "TCP") and not seen.unavailable
    assert seen.started == "2026-03-01T11:00:00Z"


def test_a_file_that_is_missing_spoils_nothing() -> None:
    without_ipv6 = PROC_NET.splitlines(keepends=True)[:3]
    said = ExecResult(stdout="".join(without_ipv6), stderr="cat: can't open '/proc/net/tcp6'", code=1)
    assert [item.text for item in look_at_sockets(Containers(web=said), POD).listeners] == ["127.0.0.1:8080"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Refused("forbidden"), "forbidden"),
        (Refused("timeout", "no answer"), "timeout"),
        (ExecResult(timed_out=True), "timeout"),
        (ExecResult(stdout=PROC_NET, truncated=True), "error"),
    ],
)
def test_what_keeps_it_from_being_seen_is_said(said: ExecResult | Refused, why: str) -> None:
    seen = look_at_sockets(Containers(web=said, side=said), POD)
    assert seen.unavailable == why and not seen.listeners and seen.detail


# --- who wants to know --------------------------------------------------------------------------------------------


def world(**container: object) -> World:
    service = {"kind": "Service", "metadata": {"name": "cart"}, "spec": {"selector": {"app": "cart"}}}
    service["spec"] |= {"ports": [{"port": 80, "targetPort": 8080}]}  # type: ignore[operator]
    spec = {"containers": [{"name": "web", "image": "a", **container}]}
    pod = {"kind": "Pod", "metadata": {"name": "cart", "labels": {"app": "cart"}}, "spec": spec}
    found = simulate([service, pod], probe={"off": True})
    found.look_at_sockets()
    return found


def wanted(found: World) -> set[Want]:
    return {want for want in diagnose(found, Scope("shop")).wants if want.resource == "sockets"}


def test_a_pod_is_looked_into_where_nothing_else_proves_its_port() -> None:
    assert wanted(world()) == {Want("sockets", "shop/cart")}


def test_a_pod_whose_readiness_probe_asks_the_port_is_left_alone() -> None:
    assert not wanted(world(readinessProbe={"tcpSocket": {"port": 8080}}))


def test_a_pod_that_may_redirect_packets_is_left_alone() -> None:
    assert not wanted(world(securityContext={"capabilities": {"add": ["NET_ADMIN"]}}))


def test_a_container_that_was_added_sees_what_the_others_cannot() -> None:
    cluster = Containers(web=NO_CAT, side=NO_CAT, added=ExecResult(stdout=PROC_NET))
    seen = look_at_sockets(cluster, POD, added="added")
    assert not seen.unavailable and seen.container == "added" and cluster.asked[-1] == "added"
    seen = look_at_sockets(Containers(web=ExecResult(stdout=PROC_NET)), POD, added="added")
    assert seen.container == "web"
