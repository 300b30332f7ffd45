"""The live engine, as the dashboard and the exporter run it, while the server fails and when it is well again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_apiserver import Exchange
from faulty_apiserver import BLIND, FaultyApiServer, clock
from honest import NOTHING_LACKS, lies
from svcdoctor.cluster import kube
from svcdoctor.cluster.kube import Cluster, ConnectOptions
from svcdoctor.cluster.reflector import Pace
from svcdoctor.diagnosis import Scope
from svcdoctor.live import Live, Timing
from svcdoctor.report.json import render
from test_live import Screen, shop
from watched_apiserver import HEAD

QUICK = Timing(
    pace=Pace(first_pause=0.02, longest_pause=0.1, denied=0.1, absent=0.1, silence=1.0, short=0.05),
    update=0.02,
    lost=0.3,
)
KINDS = ("endpointslices", "pods", "services", "deployments")


@pytest.fixture
def server() -> Iterator[FaultyApiServer]:
    with FaultyApiServer(shop()) as running:
        yield running


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def start(
    server: FaultyApiServer, screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Live]]:
    # A server that asks for patience is asked again by the stream, whose pauses are short here.
    monkeypatch.setattr(kube, "_LONGEST_PAUSE", 0.05)
    path = server.kubeconfig(tmp_path, namespace="shop")
    cluster = Cluster.connect(ConnectOptions(kubeconfig=str(path), request_timeout=0.5))
    engines: list[Live] = []

    def begin() -> Live:
        engine = Live(
            cluster, Scope(), probe=False, post=screen.updates.append, failed=screen.failures.append, timing=QUICK
        )
        engines.append(engine)
        engine.start()
        return engine

    yield begin
    for engine in engines:
        engine.stop()
    screen.until(lambda: "live" not in {thread.name for thread in threading.enumerate()})
    cluster.close()
    assert not screen.failures


def shown(screen: Screen) -> dict[str, Any]:
    """The last report, of the Services whose walk is finished."""
    update = screen.last
    document: dict[str, Any] = json.loads(render(update.diagnosis))
    entries = document["services"]
    document["services"] = [item for item in entries if (item["namespace"], item["name"]) not in update.checking]
    return document


def engine_threads() -> int:
    """Without those of the server, one for each connection, which have no name."""
    return sum(not thread.name.startswith("Thread-") for thread in threading.enumerate())


def is_well(screen: Screen) -> bool:
    return screen.status("cart") == screen.status("web") == "pass" and screen.last.is_whole


# A server that asks to be left alone for an hour is left alone: it does not come back within a test.
LISTS = [name for name in BLIND if name != "429 for an hour"]


@pytest.mark.parametrize(("name", "kind"), [(name, KINDS[place % len(KINDS)]) for place, name in enumerate(LISTS)])
def test_a_kind_that_fails_from_the_start_and_heals(
    server: FaultyApiServer, screen: Screen, start: Callable[[], Live], name: str, kind: str
) -> None:
    server.ail(BLIND[name][0], kind)
    start()
    screen.until(lambda: bool(screen.updates) and kind in {gap.resource for gap in screen.last.diagnosis.denied})
    if kind != "services":
        screen.until(lambda: screen.status("cart") == "unknown")
    assert not any(entry["status"] == "fail" for entry in shown(screen)["services"])
    server.heal()
    screen.until(lambda: is_well(screen) and not screen.last.diagnosis.denied)


@pytest.mark.parametrize(("name", "kind"), [(name, KINDS[place % len(KINDS)]) for place, name in enumerate(LISTS)])
def test_a_kind_that_fails_later_is_not_shown_as_fresh_and_heals(
    server: FaultyApiServer, screen: Screen, start: Callable[[], Live], name: str, kind: str
) -> None:
    start()
    screen.until(lambda: is_well(screen))
    whole = shown(screen)
    first = len(screen.updates)
    server.ail(BLIND[name][0], kind)
    screen.until(lambda: screen.status("cart") == "unknown")
    server.heal()
    screen.until(lambda: is_well(screen) and not screen.last.diagnosis.denied)
    for update in screen.updates[first:]:
        report = json.loads(render(update.diagnosis))
        checking = {f"{namespace}/{name}" for namespace, name in update.checking}
        found = [lie for lie in lies(report, whole) if lie.split(" ")[0] not in checking]
        if not update.is_whole:  # what nobody lacks any more may stand until its Service's turn comes
            found = [lie for lie in found if lie != NOTHING_LACKS]
        assert not found


def test_nobody_there_and_back_again_with_another_cluster(
    server: FaultyApiServer, screen: Screen, start: Callable[[], Live]
) -> None:
    start()
    screen.until(lambda: is_well(screen))
    threads = engine_threads()
    for _ in range(3):
        server.go_away()
        screen.until(lambda: screen.status("cart") == screen.status("web") == "unknown")
        server.come_back()
        screen.until(lambda: is_well(screen))
    assert engine_threads() <= threads


@pytest.mark.parametrize(("hours", "age", "status"), [(1, 900, "fail"), (-1, -600, "unknown")])
def test_what_is_new_is_told_by_the_clock_of_the_server(
    server: FaultyApiServer, screen: Screen, start: Callable[[], Live], hours: int, age: int, status: str
) -> None:
    """A Service without Pods: broken, or still too young to be called so. By our own clock it is the other way."""

    def without_pods(document: Any) -> Any:
        gone = [] if document.get("kind") == "PodList" else document.get("items")
        emptied = [{**item, "endpoints": []} if "endpoints" in item else item for item in gone or ()]
        return {**document, "items": emptied} if "items" in document else document

    server.ail(clock(hours, age, without_pods))
    start()
    screen.until(lambda: screen.status("cart") == status)
    assert not any(
        entry.name == "cart" and entry.status.value in {"fail", "unknown", "pass"} - {status}
        for update in screen.updates
        for entry in update.diagnosis.services
        if ("shop", entry.name) not in update.checking
    )


# --- what a watch may say ----------------------------------------------------------------------------------------


def line(kind: str, item: Any) -> bytes:
    text = json.dumps({"type": kind, "object": item}).encode() + b"\n"
    return b"%x\r\n%s\r\n" % (len(text), text)


def pod(version: str, **metadata: Any) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": "ghost", "namespace": "shop", "resourceVersion": version, **metadata}}


GONE = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
SAID: dict[str, bytes] = {
    "bookmarks only": b"".join(line("BOOKMARK", {"metadata": {"resourceVersion": str(n)}}) for n in range(2, 200)),
    "a bookmark without a version": line("BOOKMARK", {}),
    "an ERROR of 410": line("ERROR", GONE),
    "an ERROR of 500": line("ERROR", {**GONE, "code": 500, "reason": "InternalError"}),
    "an ERROR that is none": line("ERROR", None),
    "events out of order": line("MODIFIED", pod("9")) + line("ADDED", pod("3")) + line("DELETED", pod("10")),
    "twice the same": line("ADDED", pod("3")) * 2 + line("DELETED", pod("4")) * 2,
    "deleted before it was there": line("DELETED", pod("2")),
    "an event of a type that nobody knows": line("PATCHED", pod("2")) + line("DELETED", pod("3")),
    "an object that is null": line("MODIFIED", None),
    "an object without a name": line("ADDED", {"metadata": {}}),
    "an object nested too deeply": b"%x\r\n%s\r\n" % (100_040, b'{"type":"ADDED","object":' + b"[" * 100_014 + b"\n"),
    "no event": b"4\r\nnull\r\n" + b"1\r\n\n\r\n",
    "HTML": b"d\r\n<html>hello\n\r\n",
    "half an event": b"9\r\n" + b'{"type":"\r\n',
    "not UTF-8": b"3\r\n\xff\xfe\n\r\n",
    "no chunk": b"zz\r\n",
    "30 MB": line("ADDED", pod("2", annotations={"heavy": "x" * 30_000_000})) + line("DELETED", pod("3")),
}


@pytest.mark.parametrize("name", SAID)
def test_whatever_a_watch_says_the_next_change_is_seen(
    server: FaultyApiServer, screen: Screen, start: Callable[[], Live], name: str
) -> None:
    said = threading.Event()

    def once(exchange: Exchange, honest: bytes) -> None:
        """At the first watch; later ones, and lists, are those of a healthy server."""
        if "watch" in exchange.request.query and not said.is_set():
            said.set()
            exchange.send(HEAD + SAID[name])
            exchange.server.over.wait(0.05)
            raise ConnectionAbortedError
        server.ail_no_more(exchange)

    server.ail(once, "pods")
    server.silent.clear()
    start()
    screen.until(lambda: said.is_set() and is_well(screen))
    lost = server.documents("pods", "shop")
    for item in [item for item in lost if item["metadata"]["labels"]["app"] == "cart"]:
        server.change("pods", "DELETED", item)
    for item in server.documents("endpointslices", "shop"):
        if item["metadata"]["labels"]["kubernetes.io/service-name"] == "cart":
            server.change("endpointslices", "MODIFIED", {**item, "endpoints": []})
    screen.until(lambda: screen.status("cart") == "fail")
    assert screen.status("web") == "pass"
    assert not any("ghost" in row.pod for entry in screen.last.diagnosis.services for row in entry.endpoints)
