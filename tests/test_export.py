"""`svcdoctor export` on a simulated API server that changes: what Prometheus scrapes, and when it may believe it."""

from __future__ import annotations

import gzip
import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from fake_apiserver import failure, reply
from simulate import simulate
from svcdoctor.changes import Change, Verdict, changes, event
from svcdoctor.cluster.eventwriter import Outbox
from svcdoctor.cluster.kube import Cluster, ConnectOptions
from svcdoctor.cluster.reflector import StreamState
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.exporter import Exporter
from svcdoctor.finding import Status
from svcdoctor.labels import parse
from svcdoctor.live import Live, Update
from svcdoctor.scrape import Server, routes
from svcdoctor.world import World
from test_cli import Doctor
from test_live import QUICK, deployment, service, shop
from watched_apiserver import WatchedApiServer

CAUSE = "selector-value-mismatch"
MISSPELT = "no Pod matches app=kart; deployment/cart has app=cart, misspelt in one of the two (1 letter)"


def until(condition: Callable[[], object], shown: Callable[[], object]) -> None:
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends, shown()
        time.sleep(0.02)


class Served:
    """What a Prometheus and a kubelet ask of an exporter."""

    def __init__(self, port: int) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of the one series that has these labels; None where there is none."""
        found = [
            sample.value
            for family in text_string_to_metric_families(self.client.get("/metrics").text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(found) <= 1, (name, labels, found)
        return found[0] if found else None

    def status(self, name: str) -> str | None:
        for word in ("pass", "fail", "warn", "unknown"):
            if self.metric("svcdoctor_service_status", service=name, status=word):
                return word
        return None

    def until(self, condition: Callable[[], object]) -> None:
        until(condition, lambda: [self.client.get("/readyz").text, self.client.get("/metrics").text])

    def until_ready(self) -> None:
        self.until(lambda: self.client.get("/readyz").status_code == 200)


class Command(Served):
    """The real command."""

    def __init__(self, doctor: Doctor, *arguments: str) -> None:
        self.process = doctor.start("export", "--listen", "127.0.0.1:0", *arguments, stdout=subprocess.DEVNULL)
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until(lambda: "/metrics" in "".join(self.log), lambda: self.log)
        port = re.search(r"127\.0\.0\.1:(\d+)/metrics", self.log[0])
        assert port
        super().__init__(int(port[1]))

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log.append(line.decode())

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        self._reader.join(10)
        return code


Run = Callable[..., Command]
Serve = Callable[..., Served]


@pytest.fixture
def server() -> Iterator[WatchedApiServer]:
    with WatchedApiServer(shop()) as running:
        yield running


@pytest.fixture
def command(server: WatchedApiServer, tmp_path: Path) -> Iterator[Run]:
    started: list[Command] = []

    def start(*arguments: str) -> Command:
        started.append(Command(Doctor(server, tmp_path), *arguments))
        return started[-1]

    yield start
    for running in started:
        running.client.close()
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        assert running.process.stderr
        running.process.stderr.close()


@pytest.fixture
def serve(server: WatchedApiServer, tmp_path: Path) -> Iterator[Serve]:
    """The same in this process, with pauses as short as a test can bear."""
    cluster = Cluster.connect(ConnectOptions(kubeconfig=str(server.kubeconfig(tmp_path))))
    started: list[tuple[Served, Live, Server]] = []
    failures: list[Exception] = []

    def start(scope: Scope = Scope(), *, probe: bool = False) -> Served:  # noqa: B008
        exporter = Exporter(lambda news: None, lambda diagnosis: None)
        routed = routes(exporter.application(), exporter.why_not_live, exporter.why_not_ready)
        http = Server("127.0.0.1", 0, routed)
        engine = Live(cluster, scope, probe=probe, post=exporter.take, failed=failures.append, timing=QUICK)
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        engine.start()
        started.append((Served(http.server_port), engine, http))
        return started[-1][0]

    yield start
    for served, engine, http in started:
        served.client.close()
        engine.stop()
        http.shutdown()
        http.server_close()
    assert not failures
    until(lambda: not any(thread.name == "live" for thread in threading.enumerate()), threading.enumerate)
    cluster.close()


def select(server: WatchedApiServer, app: str) -> None:
    """Point Service cart at Pods of another label."""
    changed = server.get("services", "shop", "cart")
    changed["spec"]["selector"] = {"app": app}
    server.change("services", "MODIFIED", changed)


def test_a_service_breaks_heals_and_goes(server: WatchedApiServer, command: Run) -> None:
    export = command("-A", "--no-probe")
    export.until_ready()
    assert export.status("cart") == export.status("web") == "pass"
    select(server, "kart")
    export.until(lambda: export.status("cart") == "fail")
    labels = {"namespace": "shop", "service": "cart", "code": CAUSE}
    assert export.metric("svcdoctor_finding", **labels, status="fail", role="cause") == 1
    assert export.metric("svcdoctor_services", status="fail") == 1
    select(server, "cart")
    export.until(lambda: export.status("cart") == "pass")
    assert export.metric("svcdoctor_finding", **labels) is None
    server.change("services", "DELETED", server.get("services", "shop", "cart"))
    export.until(lambda: export.status("cart") is None)
    assert 'service="cart"' not in export.client.get("/metrics").text
    assert export.end() == 0
    words = [line.split(" ", 1)[1] for line in export.log]
    assert words[1:] == [
        "first look: 4 Services: 4 pass\n",
        f"shop/cart pass -> fail {CAUSE}: {MISSPELT}\n",
        f"shop/cart fail {CAUSE} -> pass: 2 of 2 ready\n",
        "shop/cart pass -> gone\n",
    ]


def test_a_stream_that_is_down_is_a_metric_and_not_ready(server: WatchedApiServer, serve: Serve) -> None:
    export = serve()
    export.until_ready()
    assert export.metric("svcdoctor_stream_up", resource="endpointslices") == 1
    server.silence("endpointslices")
    export.until(lambda: export.metric("svcdoctor_stream_up", resource="endpointslices") == 0)
    ready = export.client.get("/readyz")
    assert ready.status_code == 503
    assert re.fullmatch(r"the stream of endpointslices is broken since \S+: .*\n", ready.text)
    assert export.client.get("/livez").status_code == 200
    age = export.metric("svcdoctor_data_age_seconds")
    assert age is not None
    export.until(lambda: (export.metric("svcdoctor_data_age_seconds") or 0) > age)
    server.speak("endpointslices")
    export.until_ready()
    assert export.metric("svcdoctor_stream_up", resource="endpointslices") == 1


def test_until_everything_is_read_no_service_has_a_status(server: WatchedApiServer, serve: Serve) -> None:
    server.held.add("pods")
    export = serve()
    export.until(lambda: "pods" in export.client.get("/readyz").text)
    ready = export.client.get("/readyz")
    assert ready.status_code == 503 and ready.text.startswith("first look is under way; reading")
    assert export.status("cart") is None and export.metric("svcdoctor_services", status="pass") is None
    assert export.client.get("/livez").text == "ok\n"
    assert export.client.get("/nothing").status_code == 404


def test_of_one_namespace_those_that_a_selector_finds_in_openmetrics_and_packed(serve: Serve) -> None:
    export = serve(Scope("shop", labels=parse("app in (cart)")))
    export.until_ready()
    assert export.metric("svcdoctor_services", status="pass") == 0
    headers = {"Accept": "application/openmetrics-text; version=1.0.0", "Accept-Encoding": "gzip"}
    with export.client.stream("GET", "/metrics", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        content = gzip.decompress(b"".join(answer.iter_raw())).decode()
    names = {family.name for family in openmetrics(content)}
    assert {"svcdoctor_build", "svcdoctor_judged", "svcdoctor_data_age_seconds", "process_cpu_seconds"} <= names


def test_the_first_look_has_an_end_where_no_name_may_be_looked_up(server: WatchedApiServer, serve: Serve) -> None:
    server.forbids = lambda resource, namespace: resource.startswith("pods/")
    export = serve(Scope("shop"), probe=True)
    export.until_ready()
    assert export.status("cart") == "unknown"
    assert export.metric("svcdoctor_finding", service="cart", code="unknown-forbidden", status="unknown") == 1


def test_events_are_created_when_a_status_changes(server: WatchedApiServer, command: Run) -> None:
    server.on("/api/v1/namespaces/shop/events", failure(403, "no more events", "Forbidden"), reply({}, 201))
    export = command("-A", "--no-probe", "--events", "--log-format", "json")
    export.until_ready()

    def created() -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in server.received if request.path.endswith("/shop/events")]

    select(server, "kart")
    export.until(created)
    broken = created()[0]
    assert broken["involvedObject"] | {"uid": ""} == {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": "shop",
        "name": "cart",
        "uid": "",
    }
    assert (broken["type"], broken["reason"]) == ("Warning", "SelectorValueMismatch")
    assert broken["message"] == MISSPELT and broken["reportingComponent"] == "svcdoctor"
    export.until(lambda: "no more events" in "".join(export.log))
    select(server, "cart")
    export.until(lambda: export.status("cart") == "pass")
    assert len(created()) == 1, "a second within a minute"
    assert export.end() == 0
    told = [json.loads(line) for line in export.log]
    assert [line["code"] for line in told if line.get("service")] == [CAUSE, None]


def test_without_the_right_to_create_events_it_says_so(server: WatchedApiServer, tmp_path: Path) -> None:
    server.forbids = lambda resource, namespace: resource == "events"
    done = Doctor(server, tmp_path)("export", "-A", "--events", "--listen", "127.0.0.1:0")
    assert done.returncode == 2
    assert "--events needs the right to create events in all namespaces" in done.stderr
    assert "kubectl auth can-i create events -A" in done.stderr


def test_an_address_that_is_taken_or_is_none(server: WatchedApiServer, tmp_path: Path) -> None:
    doctor = Doctor(server, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = doctor("export", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 2 and "address already in use; choose another address" in done.stderr
    done = doctor("export", "--listen", "9464")
    assert done.returncode == 2 and "'9464' is no address; examples are :9464" in done.stderr


# --- what is made of Updates -------------------------------------------------------------------------------------

BROKEN = simulate([deployment("cart"), service("cart") | {"spec": {"selector": {"app": "kart"}}}])


def update(world: World, streams: Sequence[StreamState] = (), **fields: Any) -> Update:
    diagnosis = diagnose(world, Scope("shop")).diagnosis
    return Update(diagnosis, frozenset(), fields.pop("checking", frozenset()), tuple(streams), (), **fields)


def series(exporter: Exporter, name: str) -> list[tuple[str, ...]]:
    families = (family for family in exporter.collect() if family.name == name)
    return [tuple(sample.labels.values()) for family in families for sample in family.samples]


def test_a_walk_that_is_not_finished_shows_what_the_last_one_said() -> None:
    told: list[Change] = []
    exporter = Exporter(told.extend, lambda diagnosis: None)
    exporter.take(update(shop(), is_whole=False))
    assert not series(exporter, "svcdoctor_service_status")
    exporter.take(update(shop()))
    exporter.take(update(BROKEN, checking=frozenset({("shop", "cart"), ("shop", "new")})))
    assert series(exporter, "svcdoctor_service_status") == [("shop", "cart", "pass")]
    exporter.take(update(BROKEN))
    assert series(exporter, "svcdoctor_service_status") == [("shop", "cart", "fail")]
    assert [(change.name, change.after and change.after.code) for change in told] == [("web", None), ("cart", CAUSE)]


def test_a_refusal_that_nothing_depends_on_is_not_down() -> None:
    now = World().now

    def stream(resource: str, namespace: str, state: str) -> StreamState:
        return StreamState(resource, namespace, state, now, "forbidden")

    exporter = Exporter(lambda changes: None, lambda diagnosis: None)
    watched = [stream("services", "", "denied"), stream("services", "shop", "watching")]
    exporter.take(update(shop(), [*watched, stream("secrets", "", "denied"), stream("gateways", "", "absent")]))
    assert series(exporter, "svcdoctor_stream_up") == [("services", "shop")]
    assert not exporter.why_not_ready()
    exporter.take(update(shop(), [stream("services", "", "denied"), stream("pods", "", "denied")]))
    assert series(exporter, "svcdoctor_stream_up") == [("services", ""), ("pods", "")]
    assert exporter.why_not_ready().startswith("the stream of services is denied since")


def test_an_engine_that_has_gone_silent_is_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = Exporter(lambda changes: None, lambda diagnosis: None)
    exporter.take(update(shop()))
    assert not exporter.why_not_live() and not exporter.why_not_ready()
    later = time.monotonic() + 500
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert exporter.why_not_live() == exporter.why_not_ready() == "the engine has said nothing for 500s"


# --- which changes are worth an Event ----------------------------------------------------------------------------

PASS, UNKNOWN = Verdict(Status.PASS, ""), Verdict(Status.UNKNOWN, "")
FAIL, OTHER = Verdict(Status.FAIL, CAUSE), Verdict(Status.FAIL, "pods-crashloop")


def said(*steps: tuple[float, Verdict | None, Verdict | None]) -> list[tuple[float, Verdict | None]]:
    """What an Outbox lets out in the course of changes (seconds, before, after), and a minute after the last."""
    outbox, found = Outbox(60.0), []
    for at, before, after in [*steps, (steps[-1][0] + 60, None, None)]:
        if (before, after) != (None, None):
            outbox.put([Change("shop", "cart", "", before, after, "")])
        found += [(at, change.after) for change in outbox.take(at)]
    assert outbox.next_due(steps[-1][0] + 60) is None
    return found


def test_an_event_for_what_breaks_and_one_for_what_heals() -> None:
    assert said((0, PASS, FAIL), (100, FAIL, PASS)) == [(0, FAIL), (100, PASS)]
    assert said((0, None, FAIL), (100, FAIL, OTHER)) == [(0, FAIL), (100, OTHER)]


def test_what_flaps_is_said_once_a_minute_with_what_it_came_to() -> None:
    assert said((0, PASS, FAIL), (5, FAIL, PASS)) == [(0, FAIL), (65, PASS)]
    assert said((0, PASS, FAIL), (5, FAIL, PASS), (9, PASS, FAIL)) == [(0, FAIL)]


def test_what_cannot_be_seen_is_no_news_of_a_service() -> None:
    assert said((0, PASS, UNKNOWN), (70, UNKNOWN, PASS)) == []
    assert said((0, FAIL, UNKNOWN), (70, UNKNOWN, FAIL)) == []
    assert said((0, FAIL, UNKNOWN), (70, UNKNOWN, PASS)) == [(70, PASS)]


def test_a_new_service_is_news_only_when_it_fails() -> None:
    assert said((0, None, UNKNOWN), (70, UNKNOWN, PASS)) == []
    assert said((0, None, UNKNOWN), (70, UNKNOWN, FAIL)) == [(70, FAIL)]
    assert said((0, FAIL, None)) == []


def test_an_event_fits_an_api_server() -> None:
    long = Change("shop", "cart", "u-1", PASS, FAIL, "ä" * 2000)
    assert len(event(long, "pod-1", "2026-11-23T08:00:00Z")["message"].encode()) <= 1024
    healed = event(Change("shop", "cart", "u-1", FAIL, PASS, "2 of 2 ready"), "pod-1", "2026-11-23T08:00:00Z")
    assert (healed["type"], healed["reason"]) == ("Normal", "Healthy")


def test_the_same_verdict_is_no_change() -> None:
    entry = diagnose(shop(), Scope("shop")).diagnosis.services[0]
    assert not list(changes({("shop", "cart"): entry}, {("shop", "cart"): entry}))
    assert not list(changes({}, {("shop", "cart"): entry}))
