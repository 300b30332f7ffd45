"""What is read from a cluster: how often, in which order, and what becomes of a read that fails."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from fake_apiserver import Exchange, failure, reply
from simulate import simulate
from simulated_apiserver import SimulatedApiServer
from svcdoctor.cluster.collect import AT_ONCE, Collected, Options, Progress, collect
from svcdoctor.cluster.kube import Cluster, ConnectOptions, ReadFailed, Unauthenticated, Unreachable
from svcdoctor.cluster.probe import LOOK_UP
from svcdoctor.cluster.questions import server_questions
from svcdoctor.diagnosis import CORE, Scope, kinds_read
from svcdoctor.labels import parse
from svcdoctor.objects import RESOURCES, Pod
from svcdoctor.pods.sockets import Listener, Sockets, started_last
from svcdoctor.world import EVERYWHERE, NotRead
from test_cli import BROKEN, HEALTHY, app

NO_PROBE = Options(probe=False)
PODS = "/api/v1/namespaces/shop/pods"


@pytest.fixture
def server() -> Iterator[SimulatedApiServer]:
    with SimulatedApiServer(simulate(BROKEN)) as server:
        yield server


@pytest.fixture
def connect(tmp_path: Path) -> Callable[[SimulatedApiServer], Cluster]:
    def connect(server: SimulatedApiServer) -> Cluster:
        return Cluster.connect(ConnectOptions(kubeconfig=str(server.kubeconfig(tmp_path, namespace="shop"))))

    return connect


@pytest.fixture
def cluster(server: SimulatedApiServer, connect: Callable[[SimulatedApiServer], Cluster]) -> Cluster:
    return connect(server)


def path(resource: str, namespace: str = EVERYWHERE) -> str:
    return RESOURCES[resource].path(namespace)


def statuses(collected: Collected) -> dict[str, str]:
    return {f"{entry.namespace}/{entry.name}": str(entry.status) for entry in collected.diagnosis.services}


# --- how often ---------------------------------------------------------------------------------------------------


def test_the_whole_cluster_takes_one_list_a_kind(server: SimulatedApiServer, cluster: Cluster) -> None:
    collect(cluster, Scope(), NO_PROBE)
    asked = Counter(server.lists)
    assert set(asked.values()) == {1}
    assert (
        {path(kind) for kind in kinds_read() if kind in AT_ONCE} <= set(asked) <= {path(kind) for kind in kinds_read()}
    )
    discovery = [request for request in server.received if request.path == "/apis"]
    assert len(server.received) == len(server.lists) + len(discovery) <= len(server.lists) + 1


def test_one_namespace_takes_one_list_a_kind_and_what_dns_is_judged_by(
    server: SimulatedApiServer, cluster: Cluster
) -> None:
    collect(cluster, Scope("shop"), NO_PROBE)
    asked = Counter(server.lists)
    assert set(asked.values()) == {1}
    core = {path(kind, "shop" if RESOURCES[kind].namespaced else "") for kind in kinds_read() if kind in CORE}
    assert core <= set(asked)
    # APIs of other projects are few and small objects: they are read as a whole.
    rest = set(asked) - core - {path(kind) for kind in kinds_read() if kind not in CORE}
    rest.discard(path("endpointslices"))  # a Service without any may have some in a wrong namespace
    assert all("/namespaces/kube-system/" in extra for extra in rest), rest


def test_another_namespace_is_read_when_a_selector_may_mean_it(
    connect: Callable[[SimulatedApiServer], Cluster],
) -> None:
    lost = app("cart", "shop")[1]
    with SimulatedApiServer(simulate([*HEALTHY, lost, app("cart", "store")[0]])) as server:
        collected = collect(connect(server), Scope("shop", ("cart",)), NO_PROBE)
        assert Counter(server.lists)[path("pods")] == 1
    assert collected.diagnosis.services[0].cause == "selector-other-namespace"


def test_whether_policies_take_effect_is_asked_of_daemonsets_alone(
    connect: Callable[[SimulatedApiServer], Cluster],
) -> None:
    policy = {
        "kind": "NetworkPolicy",
        "metadata": {"name": "nobody", "namespace": "shop"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    with SimulatedApiServer(simulate([*HEALTHY, policy])) as server:
        collect(connect(server), Scope("shop"), NO_PROBE)
        assert server.lists.count(path("daemonsets")) == 1
        elsewhere = ("calico-system", "kube-flannel", "cilium", "openshift-ovn-kubernetes")
        assert not [item for item in server.lists if any(f"/{place}/" in item for place in elsewhere)]
        server.forbids = lambda resource, namespace: resource == "daemonsets" and not namespace
        collect(connect(server), Scope("shop"), NO_PROBE)
        asked = [item for item in server.lists if any(f"/{place}/" in item for place in elsewhere)]
    assert sorted(asked) == sorted(path("daemonsets", place) for place in elsewhere)


def test_a_name_that_is_not_there_has_services_of_all_namespaces_read(
    server: SimulatedApiServer, cluster: Cluster
) -> None:
    collect(cluster, Scope("shop", ("web",)), NO_PROBE)
    assert path("services") not in server.lists
    collected = collect(cluster, Scope("shop", ("stock",)), NO_PROBE)
    assert server.lists.count(path("services")) == 1
    assert collected.diagnosis.missing[0].name == "stock"


def test_long_lists_are_read_page_by_page(server: SimulatedApiServer, cluster: Cluster) -> None:
    whole = collect(cluster, Scope(), NO_PROBE)
    server.page = 2
    paged = collect(cluster, Scope(), NO_PROBE)
    assert statuses(paged) == statuses(whole)
    assert server.lists.count(path("pods")) > 2


# --- what may not be read ----------------------------------------------------------------------------------------


def test_what_is_forbidden_everywhere_is_read_in_each_namespace(server: SimulatedApiServer, cluster: Cluster) -> None:
    server.forbids = lambda resource, namespace: not namespace and RESOURCES[resource].namespaced
    collected = collect(cluster, Scope(), NO_PROBE)
    assert statuses(collected)["shop/web"] == "pass"
    assert statuses(collected)["shop/cart"] == "fail"
    assert ("services", EVERYWHERE) in collected.world.gaps


def test_without_the_names_of_namespaces_the_contexts_own_is_read(server: SimulatedApiServer, cluster: Cluster) -> None:
    server.forbids = lambda resource, namespace: namespace != "shop"
    assert set(statuses(collect(cluster, Scope(), NO_PROBE))) == {"shop/cart", "shop/web"}


def test_a_refusal_is_a_gap_with_its_reason(server: SimulatedApiServer, cluster: Cluster) -> None:
    server.forbids = lambda resource, namespace: resource == "pods"
    collected = collect(cluster, Scope("shop"), NO_PROBE)
    refused = collected.world.gaps["pods", "shop"]
    assert (refused.verb, refused.reason) == ("list", "forbidden")
    with pytest.raises(NotRead):
        collected.world.listed("pods", "shop")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(b"<html>", content_type="text/html"), "malformed"),
        (failure(500, "etcd"), "server-error"),
        (failure(404, "gone"), "not-found"),
    ],
)
def test_a_list_that_fails_is_a_gap_with_its_reason(
    server: SimulatedApiServer, cluster: Cluster, answer: bytes, reason: str
) -> None:
    server.on(PODS, answer)
    assert collect(cluster, Scope("shop"), NO_PROBE).world.gaps["pods", "shop"].reason == reason


def test_an_odd_object_is_named_once(server: SimulatedApiServer, cluster: Cluster) -> None:
    server.add("services", {"metadata": {"name": "odd", "namespace": "shop"}, "spec": {"ports": 80}})
    collected = collect(cluster, Scope("shop", ("stock",)), NO_PROBE)
    assert [item.name for item in collected.world.unreadable] == ["odd"]


def test_a_server_that_is_not_there(connect: Callable[[SimulatedApiServer], Cluster]) -> None:
    with SimulatedApiServer(simulate([])) as server:
        cluster = connect(server)
    with pytest.raises(Unreachable):
        collect(cluster, Scope(), NO_PROBE)


def test_credentials_that_are_refused(cluster: Cluster, server: SimulatedApiServer) -> None:
    for kind in kinds_read():
        server.on(path(kind), failure(401, "Unauthorized"))
    with pytest.raises(Unauthenticated):
        collect(cluster, Scope(), NO_PROBE)


# --- time --------------------------------------------------------------------------------------------------------


def test_a_list_that_takes_too_long_is_a_gap(server: SimulatedApiServer, cluster: Cluster) -> None:
    server.on(PODS, Exchange.hang)
    collected = collect(cluster, Scope("shop"), Options(probe=False, request_timeout=0.4))
    assert collected.world.gaps["pods", "shop"].reason == "timeout"
    assert statuses(collected)["shop/web"] == "unknown"


def test_after_the_deadline_nothing_is_asked(server: SimulatedApiServer, cluster: Cluster) -> None:
    collected = collect(cluster, Scope("shop"), Options(deadline=0.0))
    assert not server.received
    assert {gap.reason for gap in collected.world.gaps.values()} == {"timeout"}
    assert collected.diagnosis.cluster.findings[0].code == "unknown-timeout"


# --- lookups -----------------------------------------------------------------------------------------------------


def lookup_execs(server: SimulatedApiServer) -> list[str]:
    """The namespaces whose Pods were asked for names, once for each exec."""
    execs = [request for request in server.received if request.path.endswith("/exec")]
    return sorted(request.path.split("/")[4] for request in execs if LOOK_UP in request.query["command"])


def test_one_pod_of_each_namespace_with_services_in_scope_is_asked(
    server: SimulatedApiServer, cluster: Cluster
) -> None:
    server.forbids = lambda resource, namespace: resource in ("pods/exec", "pods/portforward")
    collected = collect(cluster, Scope(), Options())
    lookups = collected.world.lookups or {}
    servers = {f"kube-system/{pod['metadata']['name']}" for pod in server.documents("pods", "kube-system")}
    assert set(lookups) == {"default", "kube-system", "shop", "store"} | servers
    assert {lookups[place].unavailable for place in servers} == {"forbidden"}
    assert lookups["shop"].unavailable == "forbidden"
    assert lookup_execs(server) == ["shop", "store"]


def test_each_coredns_pod_is_asked_by_itself_for_the_control_and_the_youngest_services_first() -> None:
    world = simulate(BROKEN)
    first, second = server_questions(world, Scope("shop"))
    assert first.namespace < second.namespace and first.is_of_a_server
    assert (first.candidates, first.names) == ([], second.names)
    assert first.names[0] == "kubernetes.default.svc.cluster.local."
    assert {name.split(".")[1] for name in first.names[1:]} == {"shop"}
    assert [one.namespace for one in server_questions(world, Scope("shop"), {second.namespace})] == [second.namespace]


def test_one_coredns_pod_alone_has_nothing_to_be_compared_with() -> None:
    away = {"kind": "Pod", "metadata": {"name": "coredns-*-cnv", "namespace": "kube-system"}, "delete": True}
    assert not server_questions(simulate(BROKEN, [away]), Scope("shop"))


def test_labels_narrow_what_is_looked_up(server: SimulatedApiServer, cluster: Cluster) -> None:
    server.forbids = lambda resource, namespace: resource in ("pods/exec", "pods/portforward")
    collected = collect(cluster, Scope(labels=parse("tier=store")), Options())
    assert {place for place in collected.world.lookups or {} if "/" not in place} == {"store"}


def test_the_chosen_pod_is_fetched_once_and_asked_for_every_namespace(
    server: SimulatedApiServer, cluster: Cluster
) -> None:
    server.forbids = lambda resource, namespace: resource in ("pods/exec", "pods/portforward")
    pod = server.documents("pods", "store")[0]["metadata"]["name"]
    collect(cluster, Scope(client=("store", pod)), Options())
    assert [request.path for request in server.received].count(f"/api/v1/namespaces/store/pods/{pod}") == 1
    assert lookup_execs(server) == ["store"] * 4


def test_a_chosen_pod_that_is_not_there_is_said_before_anything_is_read(
    server: SimulatedApiServer, cluster: Cluster
) -> None:
    with pytest.raises(ReadFailed, match="there is no Pod gone in namespace shop to look from; there is web-"):
        collect(cluster, Scope("shop", client=("shop", "gone")), Options())
    assert server.lists == ["/api/v1/namespaces/shop/pods"], "for who is there instead"


def test_a_chosen_pod_that_may_not_be_read_leaves_names_unknown(server: SimulatedApiServer, cluster: Cluster) -> None:
    server.on("/api/v1/namespaces/store/pods/frontend", failure(403, "pods is forbidden", "Forbidden"))
    collected = collect(cluster, Scope("shop", client=("store", "frontend")), Options())
    assert (collected.world.lookups or {})["shop"].unavailable == "forbidden"


def test_what_goes_on_is_told(cluster: Cluster) -> None:
    told: list[str] = []
    collect(cluster, Scope("shop"), NO_PROBE, Progress(told.append))
    assert told[0] == f"reading {len([kind for kind in kinds_read() if kind in AT_ONCE])} kinds in shop"


# --- what Pods listen on -----------------------------------------------------------------------------------------

UNPROVEN = [
    {
        "kind": "Service",
        "metadata": {"name": "cart"},
        "spec": {"selector": {"app": "cart"}, "ports": [{"port": 80, "targetPort": 8080}]},
    },
    {
        "kind": "Pod",
        "metadata": {"name": "cart", "labels": {"app": "cart"}},
        "spec": {"containers": [{"name": "web", "image": "cart:1"}]},
    },
]


@pytest.mark.parametrize(
    ("seen", "cause", "looks"),
    [
        ([[8080]], None, 1),
        ([[9090], [8080]], None, 2),
        ([[9090], [9090]], "port-target-unlistened", 2),
        ([[]], "port-target-unlistened", 2),
    ],
    ids=["listens", "restarted-a-moment-ago", "listens-elsewhere", "listens-on-nothing"],
)
def test_a_pod_is_said_not_to_listen_only_after_a_second_look(
    connect: Callable[[SimulatedApiServer], Cluster],
    monkeypatch: pytest.MonkeyPatch,
    seen: list[list[int]],
    cause: str | None,
    looks: int,
) -> None:
    asked: list[str] = []

    def look(_: object, pod: Pod, **__: object) -> Sockets:
        ports = seen[min(len(asked), len(seen) - 1)]
        asked.append(pod.metadata.name)
        listeners = tuple(Listener("TCP", "0.0.0.0", port) for port in ports)
        return Sockets(pod.metadata.namespace, pod.metadata.name, "web", listeners, started=started_last(pod))

    monkeypatch.setattr("svcdoctor.cluster.looks.look_at_sockets", look)
    monkeypatch.setattr("svcdoctor.cluster.collect.CONFIRM_SECONDS", 0.0)
    with SimulatedApiServer(simulate(UNPROVEN)) as server:
        collected = collect(connect(server), Scope("shop"), Options())
    assert collected.diagnosis.services[0].cause == cause
    assert asked == ["cart"] * looks


# --- kind to the server ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [Scope(), Scope("shop"), Scope("shop", ("web",))], ids=["-A", "-n shop", "web"])
def test_at_most_eight_requests_are_in_flight(
    server: SimulatedApiServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, scope: Scope
) -> None:
    crowd = Crowd(8)
    answer = server._answer
    monkeypatch.setattr(server, "_answer", lambda exchange: crowd.pass_through(partial(answer, exchange)))
    collect(cluster, scope, NO_PROBE)
    assert crowd.most == 8


class Crowd:
    """Counts who is inside at the same time; the first go on when as many as are expected have come."""

    def __init__(self, expected: int) -> None:
        self.inside = self.most = 0
        self.expected = expected
        self.changed = threading.Condition()

    def pass_through(self, work: Callable[[], None]) -> None:
        with self.changed:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.most >= self.expected, timeout=2)
        try:
            work()
        finally:
            with self.changed:
                self.inside -= 1
