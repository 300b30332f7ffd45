"""The Diagnosis of a cluster while it changes, against an API server that is watched."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simulate import simulate
from svcdoctor.clients.connection import Connection, Connections
from svcdoctor.cluster.fromclient import Plan
from svcdoctor.cluster.kube import Cluster, ConnectOptions
from svcdoctor.cluster.probe import LOOK_UP
from svcdoctor.cluster.questions import Question
from svcdoctor.cluster.reflector import Pace
from svcdoctor.cluster.schedule import Rhythm
from svcdoctor.cluster.tryservices import Job
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.finding import ServiceDiagnosis, Status
from svcdoctor.live import Live, Replayed, Timing, Update, share_with_neighbour
from svcdoctor.names.lookup import Lookup, Lookups, Vantage
from svcdoctor.objects import Pod
from svcdoctor.pods.sockets import Listener, Sockets, started_last
from svcdoctor.world import World
from watched_apiserver import WatchedApiServer

QUICK = Timing(pace=Pace(first_pause=0.02, longest_pause=0.05, denied=0.1), update=0.01, rest=0.01)


def deployment(name: str, namespace: str = "shop") -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "web", "image": f"registry.example/{name}:1", "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"kind": "Deployment", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def service(name: str, namespace: str = "shop") -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def shop() -> World:
    return simulate([item for name in ("cart", "web") for item in (deployment(name), service(name))])


class Screen:
    """Keeps every Update, as a dashboard would show them."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.failures: list[Exception] = []

    @property
    def last(self) -> Update:
        return self.updates[-1]

    def service(self, name: str, namespace: str = "shop") -> ServiceDiagnosis | None:
        if not self.updates:
            return None
        found = (item for item in self.last.diagnosis.services if (item.namespace, item.name) == (namespace, name))
        return next(found, None)

    def status(self, name: str, namespace: str = "shop") -> str | None:
        if self.updates and (namespace, name) in self.last.checking:
            return "checking"
        entry = self.service(name, namespace)
        return entry.status.value if entry else None

    def until(self, condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + 30
        while not condition():
            assert not self.failures, self.failures
            assert time.monotonic() < ends, self.shown()
            time.sleep(0.002)

    def shown(self) -> str:
        if not self.updates:
            return "nothing"
        services = [
            (entry.namespace, entry.name, entry.status, entry.headline) for entry in self.last.diagnosis.services
        ]
        return f"{services} {sorted(self.last.checking)} {[state[:5] for state in self.last.streams]}"


@pytest.fixture
def server() -> Iterator[WatchedApiServer]:
    with WatchedApiServer(shop()) as running:
        yield running


@pytest.fixture
def screen() -> Screen:
    return Screen()


StartLive = Callable[..., Live]


@pytest.fixture
def live(server: WatchedApiServer, screen: Screen, tmp_path: Path) -> Iterator[StartLive]:
    cluster = Cluster.connect(ConnectOptions(kubeconfig=str(server.kubeconfig(tmp_path, namespace="shop"))))
    started: list[Live] = []

    def start(scope: Scope = Scope(), *, probe: bool = False, timing: Timing = QUICK) -> Live:  # noqa: B008
        engine = Live(
            cluster, scope, probe=probe, post=screen.updates.append, failed=screen.failures.append, timing=timing
        )
        started.append(engine)
        engine.start()
        return engine

    yield start
    for engine in started:
        engine.stop()
    names = {"live", *(f"lookups {number}" for number in range(1, 7))}
    screen.until(lambda: not any(thread.name in names for thread in threading.enumerate()))
    assert not screen.failures
    cluster.close()


def test_a_service_that_breaks_and_heals(server: WatchedApiServer, screen: Screen, live: StartLive) -> None:
    live()
    screen.until(lambda: screen.status("cart") == screen.status("web") == "pass")
    web = screen.service("web")
    broken = server.get("services", "shop", "cart")
    broken["spec"]["selector"] = {"app": "kart"}
    server.change("services", "MODIFIED", broken)
    screen.until(lambda: screen.status("cart") == "fail")
    cart = screen.service("cart")
    assert cart and cart.cause == "selector-value-mismatch"
    assert screen.service("web") is web
    server.change("services", "MODIFIED", {**broken, "spec": {**broken["spec"], "selector": {"app": "cart"}}})
    screen.until(lambda: screen.status("cart") == "pass")
    server.change("services", "DELETED", broken)
    screen.until(lambda: screen.status("cart") is None)
    assert any(("shop", "cart") in update.changed for update in screen.updates)
    assert screen.service("web") is web


def test_what_is_said_is_what_a_diagnosis_from_scratch_says(screen: Screen, live: StartLive) -> None:
    engine = live()
    screen.until(lambda: screen.status("cart") == screen.status("web") == "pass")

    def from_scratch() -> tuple[ServiceDiagnosis, ...]:
        return diagnose(World.replay(engine.record()), Scope()).diagnosis.services

    screen.until(lambda: screen.last.diagnosis.services == from_scratch())


def test_services_are_there_before_the_last_kind_has_come(
    server: WatchedApiServer, screen: Screen, live: StartLive
) -> None:
    server.held.add("pods")
    live()
    screen.until(lambda: screen.status("cart") == "checking")
    cart = screen.service("cart")
    assert cart and len(cart.steps) < 5 and cart.type == "ClusterIP"


def test_a_stream_that_stays_broken_makes_verdicts_unknown_until_it_heals(
    server: WatchedApiServer, screen: Screen, live: StartLive
) -> None:
    live(timing=QUICK._replace(lost=0.05))
    screen.until(lambda: screen.status("cart") == "pass")
    server.silence("endpointslices")
    screen.until(lambda: screen.status("cart") == "unknown")
    assert ("endpointslices", "", "broken") in [state[:3] for state in screen.last.streams]
    assert [gap.verb for gap in screen.last.diagnosis.denied] == ["watch"]
    server.speak("endpointslices")
    screen.until(lambda: screen.status("cart") == "pass")
    assert not screen.last.diagnosis.denied


def test_services_that_are_lost_sight_of_stay_and_are_unknown(
    server: WatchedApiServer, screen: Screen, live: StartLive
) -> None:
    live(timing=QUICK._replace(lost=0.05))
    screen.until(lambda: screen.status("cart") == "pass")
    server.silence("services")
    screen.until(lambda: screen.status("cart") == "unknown")
    server.speak("services")
    screen.until(lambda: screen.status("cart") == "pass")


def test_an_api_server_that_cannot_be_reached_is_said_and_not_waited_for(
    server: WatchedApiServer, screen: Screen, live: StartLive
) -> None:
    server.silence("pods")
    live()
    screen.until(lambda: screen.status("cart") == "unknown")
    server.speak("pods")
    screen.until(lambda: screen.status("cart") == "pass")


def test_what_may_not_be_listed_everywhere_is_watched_by_namespace(
    server: WatchedApiServer, screen: Screen, live: StartLive
) -> None:
    server.forbids = lambda resource, namespace: namespace in ("", "kube-system")
    live()
    screen.until(lambda: screen.status("cart") in ("pass", "unknown"))
    # A stream that is refused is tried again now and then, and is `listing` while it is.
    wanted = {("services", "", "denied"), ("services", "shop", "watching")}
    screen.until(lambda: wanted <= {state[:3] for state in screen.last.streams})
    broken = server.get("services", "shop", "cart")
    broken["spec"]["selector"] = {"app": "kart"}
    server.change("services", "MODIFIED", broken)
    screen.until(lambda: screen.status("cart") == "fail")


def test_one_namespace_and_what_its_checks_ask_of_others(screen: Screen, live: StartLive) -> None:
    live(Scope("shop"))
    screen.until(lambda: screen.status("cart") == "pass")
    streams = {state[:2] for state in screen.last.streams}
    assert ("pods", "shop") in streams and ("endpointslices", "kube-system") in streams
    assert ("pods", "") not in streams
    assert {entry.namespace for entry in screen.last.diagnosis.services} == {"shop"}


def test_an_object_that_does_not_decode_is_left_out_and_named(
    server: WatchedApiServer, screen: Screen, live: StartLive
) -> None:
    live()
    screen.until(lambda: screen.status("cart") == "pass")
    whole = server.get("services", "shop", "cart")
    server.change("services", "MODIFIED", {**whole, "spec": {**whole["spec"], "ports": 5}})
    screen.until(lambda: screen.status("cart") is None)
    assert [item.name for item in screen.last.diagnosis.unreadable] == ["cart"]
    server.change("services", "MODIFIED", whole)
    screen.until(lambda: screen.status("cart") == "pass")
    assert not screen.last.diagnosis.unreadable


def test_a_young_service_is_judged_when_its_time_is_up(
    server: WatchedApiServer, screen: Screen, live: StartLive
) -> None:
    live()
    screen.until(lambda: screen.status("cart") == "pass")
    young = server.get("services", "shop", "cart")
    created = datetime.now(UTC) - timedelta(seconds=28)
    young["metadata"] |= {"name": "new", "creationTimestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ")}
    young["spec"] |= {"selector": {"app": "nobody"}, "clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"]}
    server.change("services", "ADDED", young)
    screen.until(lambda: screen.status("new") == "unknown")
    screen.until(lambda: screen.status("new") == "fail")


def execs(server: WatchedApiServer) -> int:
    """How often a Pod was asked for names."""
    asked = (request for request in server.received if request.path.endswith("/exec"))
    return sum(LOOK_UP in request.query["command"] for request in asked)


def test_names_are_looked_up_at_first_on_demand_and_never_because_of_an_event(
    server: WatchedApiServer, screen: Screen, live: StartLive
) -> None:
    server.forbids = lambda resource, namespace: resource.startswith("pods/")
    engine = live(Scope("shop"), probe=True, timing=QUICK._replace(rhythm=Rhythm(3600.0, 3600.0, 3600.0)))
    screen.until(lambda: screen.status("cart") == "unknown")
    first = execs(server)
    assert first
    changed = server.get("pods", "shop", server.documents("pods", "shop")[0]["metadata"]["name"])
    changed["metadata"]["labels"] = {"app": "other"}
    server.change("pods", "MODIFIED", changed)
    screen.until(lambda: bool(screen.service("cart")) and len(screen.updates) > 3)
    assert execs(server) == first
    engine.run_again()
    screen.until(lambda: execs(server) > first)
    assert any(entry.kind == "probe" for entry in screen.last.log)


def test_names_are_looked_up_on_a_schedule(server: WatchedApiServer, screen: Screen, live: StartLive) -> None:
    server.forbids = lambda resource, namespace: resource.startswith("pods/")
    live(Scope("shop"), probe=True, timing=QUICK._replace(rhythm=Rhythm(lookups=0.05)))
    screen.until(lambda: execs(server) > 3)


def test_a_coredns_pod_that_gives_no_answer_is_found(
    screen: Screen, live: StartLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_bad = [True]

    def ask(_: object, question: Question, __: float) -> Lookups:
        bad = is_bad[0] and question.namespace.endswith("-cnv")
        answer = Lookup(question.names[0], "timeout" if bad else "answered", ("10.96.0.1",))
        return Lookups(Vantage("coredns", server=question.namespace), (answer,))

    def faults() -> list[str | None]:
        return [finding.code for finding in screen.last.diagnosis.cluster.findings if finding.is_fault]

    monkeypatch.setattr("svcdoctor.cluster.schedule.ask", ask)
    live(Scope("shop"), probe=True, timing=QUICK._replace(rhythm=Rhythm(lookups=0.05, unanswered=0.05)))
    screen.until(lambda: bool(screen.updates) and faults() == ["dns-coredns-throttled"])
    is_bad[0] = False
    screen.until(lambda: not faults())


def test_a_client_that_was_chosen_connects_on_the_schedule_and_on_demand(
    server: WatchedApiServer, screen: Screen, live: StartLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = server.documents("pods", "shop")[0]["metadata"]["name"]
    tried: list[int] = []

    def look(_: object, plan: Plan, **__: object) -> Connections:
        tried.append(len(plan.targets))
        outcome, pod = "open" if len(tried) > 1 else "timeout", plan.client
        said = tuple(Connection(address, port, outcome, 2000) for address, port in plan.targets)
        return Connections(pod.metadata.namespace, pod.metadata.name, "web", "nc", said)

    def met() -> bool:
        service = screen.service("cart")
        return bool(service) and any(f"shop/{client} connects to" in step.message for step in service.steps)

    monkeypatch.setattr("svcdoctor.cluster.schedule.look_from", look)
    scope = Scope("shop", client=("shop", client))
    engine = live(scope, probe=True, timing=QUICK._replace(rhythm=Rhythm(3600.0, 3600.0, 3600.0)))
    screen.until(lambda: len(tried) == 1 and bool(screen.service("cart")))
    server.change("pods", "MODIFIED", server.get("pods", "shop", client))
    assert not met() and len(tried) == 1
    engine.run_again()
    screen.until(met)
    assert len(tried) == 2


def test_who_was_chosen_tries_a_service_until_it_answers(
    screen: Screen, live: StartLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as a run that ends finds, with nobody named."""
    opens = [False]

    def met(_: object, job: Job, __: object) -> Connections:
        outcome = "open" if opens[0] else "refused"
        said = tuple(Connection(address, port, outcome) for address, port in job.targets)
        control = Connection("10.96.0.1", 443, "open")
        return Connections(job.pod.metadata.namespace, job.pod.metadata.name, "web", "nc", (*said, control))

    def unseen(_: object, pod: Pod, **__: object) -> Sockets:
        started = started_last(pod)
        return Sockets(pod.metadata.namespace, pod.metadata.name, "", (), "no-tool", "no cat", started)

    def connects(name: str) -> bool:
        service = screen.service(name)
        return bool(service) and any(" connects to 10.96." in step.message for step in service.steps)

    monkeypatch.setattr("svcdoctor.cluster.schedule.tried", met)
    monkeypatch.setattr("svcdoctor.cluster.schedule.look_at_sockets", unseen)
    live(Scope("shop"), probe=True, timing=QUICK._replace(rhythm=Rhythm(connections=0.05, not_open=0.05)))
    screen.until(lambda: cause(screen, "cart") == "port-target-unlistened")
    assert any("connections open" in entry.outcome for entry in screen.last.log)
    opens[0] = True
    screen.until(lambda: cause(screen, "cart") is None and connects("cart") and connects("web"))


def test_a_service_that_nobody_can_try_is_not_waited_for(
    server: WatchedApiServer, screen: Screen, live: StartLive
) -> None:
    server.forbids = lambda resource, namespace: resource.startswith("pods/")
    live(Scope("shop"), probe=True, timing=QUICK)
    screen.until(lambda: bool(screen.service("cart")) and screen.last.is_whole)
    assert cause(screen, "cart") is None


def test_pods_are_looked_into_again_until_they_listen(
    screen: Screen, live: StartLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = [9999]

    def look(_: object, pod: Pod, **__: object) -> Sockets:
        listener = Listener("TCP", "0.0.0.0", ports[0])
        return Sockets(pod.metadata.namespace, pod.metadata.name, "web", (listener,), started=started_last(pod))

    monkeypatch.setattr("svcdoctor.cluster.schedule.look_at_sockets", look)
    live(Scope("shop"), probe=True, timing=QUICK._replace(rhythm=Rhythm(sockets=0.05, a_look=0.0)))
    screen.until(lambda: cause(screen, "cart") == "port-target-unlistened")
    ports[0] = 8080
    screen.until(lambda: cause(screen, "cart") is None)
    assert any(entry.command.endswith("cat /proc/net/tcp /proc/net/tcp6") for entry in screen.last.log)


def cause(screen: Screen, name: str) -> str | None:
    found = screen.service(name)
    return found.cause if found else ""


def test_while_paused_nothing_is_posted_and_nothing_is_missed(
    server: WatchedApiServer, screen: Screen, live: StartLive
) -> None:
    engine = live()
    screen.until(lambda: screen.status("cart") == "pass")
    engine.pause()
    screen.until(lambda: engine._paused)
    count = len(screen.updates)
    server.change("services", "DELETED", server.get("services", "shop", "cart"))
    world = engine._world
    screen.until(lambda: all(item.metadata.name != "cart" for item in world.held("services", "shop")))
    assert len(screen.updates) == count
    engine.resume()
    screen.until(lambda: screen.status("cart") is None)


def test_a_recording_is_played_from_the_first_world_to_the_last_and_again(screen: Screen) -> None:
    healthy = shop()
    wrong = service("cart")
    wrong["spec"]["selector"] = {"app": "kart"}
    broken = simulate([deployment("cart"), wrong, deployment("web"), service("web")])
    replayed = Replayed([healthy, broken], Scope(), post=screen.updates.append, seconds=0.0)
    replayed.start()
    screen.until(lambda: len(screen.updates) >= 4)
    replayed.stop()
    found = [
        next(entry.status for entry in update.diagnosis.services if entry.name == "cart")
        for update in screen.updates[:4]
    ]
    assert found == [Status.PASS, Status.FAIL, Status.PASS, Status.FAIL]
    assert ("shop", "cart") in screen.updates[1].changed and ("shop", "web") not in screen.updates[1].changed


def test_a_single_recording_is_shown_once(screen: Screen) -> None:
    replayed = Replayed([shop()], Scope(), post=screen.updates.append)
    replayed.start()
    screen.until(lambda: not any(thread.name == "replay" for thread in threading.enumerate()))
    assert len(screen.updates) == 1
    assert replayed.labels("shop", "cart") == {}
    assert "shop" in replayed.namespaces()
    assert isinstance(replayed.events("shop", "cart"), list)
    assert World.replay(replayed.record())


def test_rolling_restarts_leave_nothing_behind_and_call_for_no_second_list(
    server: WatchedApiServer, screen: Screen, live: StartLive
) -> None:
    engine = live()
    break_and_heal(server, screen)
    _, first = all_that_is_kept(engine)
    pods = {name: server.documents("pods", "shop")[number : number + 2] for name, number in (("cart", 0), ("web", 2))}
    for turn in range(12):
        for name, originals in pods.items():
            for number, pod in enumerate(originals):
                replace_pod(server, name, number, pod if turn == 11 else renamed(pod, f"replaced-{turn}-{number}"))
        screen.until(lambda: endpoints_of(screen, "web") == {pod["metadata"]["name"] for pod in running(server, "web")})
    break_and_heal(server, screen)
    kept, last = all_that_is_kept(engine)
    assert "replaced" not in kept
    assert last == first
    listed = [request.path for request in server.received if "limit" in request.query and "watch" not in request.query]
    assert "/api/v1/pods" in listed
    assert len(listed) == len(set(listed))


def break_and_heal(server: WatchedApiServer, screen: Screen) -> None:
    """What is only asked of a Service that fails is kept: it may fail again."""
    screen.until(lambda: screen.status("cart") == screen.status("web") == "pass")
    cart = server.get("services", "shop", "cart")
    server.change("services", "MODIFIED", {**cart, "spec": {**cart["spec"], "selector": {"app": "x"}}})
    screen.until(lambda: screen.status("cart") == "fail")
    server.change("services", "MODIFIED", cart)
    screen.until(lambda: screen.status("cart") == screen.status("web") == "pass")


def running(server: WatchedApiServer, name: str) -> list[dict[str, Any]]:
    return [pod for pod in server.documents("pods", "shop") if pod["metadata"]["labels"]["app"] == name]


def renamed(pod: dict[str, Any], name: str) -> dict[str, Any]:
    before = pod["metadata"]["name"]
    other: dict[str, Any] = json.loads(json.dumps(pod).replace(before, f"{name}-of-{before[:3]}"))
    return other


def replace_pod(server: WatchedApiServer, name: str, number: int, pod: dict[str, Any]) -> None:
    """As controllers do: the new one comes, and is in the slice when it is ready; then the old one goes."""
    server.change("pods", "ADDED", {**pod, "status": {"phase": "Pending"}})
    server.change("pods", "MODIFIED", pod)
    slice = server.get("endpointslices", "shop", f"{name}-0")
    target = slice["endpoints"][number]["targetRef"]
    old = server.get("pods", "shop", target["name"])
    target |= {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    server.change("endpointslices", "MODIFIED", slice)
    server.change("pods", "DELETED", old)


def endpoints_of(screen: Screen, name: str) -> set[str]:
    found = screen.service(name)
    return {row.pod for row in found.endpoints} if found else set()


def all_that_is_kept(engine: Live) -> tuple[str, list[int]]:
    """Everything that the engine knows of objects, as text, and how much of each it is."""
    world, reads = engine.world, engine.world.follow()
    with engine._lock:
        indexes = [buckets._buckets for place in world._indexes.values() for buckets in place.values()]
        parts: list[Any] = [world._objects, reads._asked, reads._askers, reads._shared, world._deadlines]
        objects = [len(table) for tables in world._objects.values() for table in tables.values()]
        return repr([*parts, indexes]), [sum(objects), *map(len, parts[1:])]


def test_a_pod_that_comes_by_an_event_holds_what_its_sibling_holds_once() -> None:
    def pod(name: str, image: str) -> Pod:
        document = {"metadata": {"name": name, "namespace": "shop"}, "spec": {"containers": [{"name": image}]}}
        return msgspec.convert(document, Pod)

    held = {"cart-7d9f-a": pod("cart-7d9f-a", "cart"), "web-5c4f-a": pod("web-5c4f-a", "web")}
    new, other, again = pod("cart-7d9f-b", "cart"), pod("a-1", "cart"), pod("web-5c4f-a", "new")
    for item in (new, other, again):
        share_with_neighbour(item, held)
    assert new.spec is held["cart-7d9f-a"].spec
    assert other.spec is not held["cart-7d9f-a"].spec
    assert again.metadata is held["web-5c4f-a"].metadata
    assert again.spec == pod("", "new").spec
