"""The worker: what a source says and does arrives in the other process as if it were there."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from app_sources import CannedSource, Posted, TellingSource, shop
from svcdoctor.cluster.reflector import LogEntry, StreamState
from svcdoctor.finding import Diagnosis
from svcdoctor.widgets.source import Picture, SourceRequest, Update
from svcdoctor.worker.messages import Logged, Stream
from svcdoctor.worker.remote import Remote, Worker, WorkerEnded, WorkerError
from svcdoctor.worker.serving import AT_ONCE, Desk

SECONDS = 60.0
SHOP = SourceRequest("kind-suites", "shop")


class Talking(TellingSource):
    """Does what a test tells it."""

    namespace = "found"

    label = ""

    def labels(self, namespace: str, name: str) -> dict[str, str]:
        return {"app": self.label or name}

    def record(self) -> bytes:
        return b"all that was read"

    def events(self, namespace: str, name: str) -> list[str]:
        raise OSError(f"no events of {namespace}/{name}")

    def namespaces(self) -> list[str]:
        with self.terminal():
            return ["asked with the terminal"]

    def containers(self, namespace: str, pod: str) -> list[str]:
        self.failed(ValueError("of its own"))
        return []


class Both:
    """A worker in a thread instead of a process, and what arrives from it."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.worker = Worker(ours)
        self.failures = queue.SimpleQueue[Exception]()
        self.worker.failed = self.failures.put
        self.worker.terminal = self.terminal
        self.lent = 0
        self.updates: queue.SimpleQueue[Update] = queue.SimpleQueue()
        self.sources: list[Any] = []
        threading.Thread(target=Desk(self.theirs, self.open).run, daemon=True).start()

    @contextmanager
    def terminal(self) -> Iterator[None]:
        self.lent += 1
        yield

    def open(self, request: SourceRequest, post: Any, failed: Any, terminal: Any) -> Any:
        if request.context == "nowhere":
            raise ConnectionError("nobody answers at nowhere")
        source = Talking(request, post, None)
        source.failed, source.terminal = failed, terminal  # type: ignore[attr-defined]
        self.sources.append(source)
        return source

    def opened(self) -> Remote:
        return self.worker.open(SHOP, self.updates.put)

    def shown(self) -> Update:
        return self.updates.get(timeout=SECONDS)


@pytest.fixture
def both() -> Both:
    return Both()


def test_an_update_arrives_whole_and_what_did_not_change_is_the_same_object(both: Both) -> None:
    source = both.opened()
    whole = shop()
    services = list(whole.services)
    services[1] = replace(services[1], headline="another")
    both.sources[0].post(Posted(whole))
    first = both.shown()
    both.sources[0].post(Posted(replace(whole, services=tuple(services), observed_at="2026-03-01T12:00:30Z")))
    second = both.shown()
    assert first.diagnosis == whole
    assert second.diagnosis == replace(whole, services=tuple(services), observed_at="2026-03-01T12:00:30Z")
    pairs = zip(first.diagnosis.services, second.diagnosis.services, strict=True)
    assert [old is new for old, new in pairs].count(False) == 1
    assert second.diagnosis.missing is first.diagnosis.missing
    assert source.namespace == "found"
    assert source.labels(services[0].namespace, services[0].name) == {"app": services[0].name}


def test_services_that_go_and_come_back_stand_in_the_order_of_the_report(both: Both) -> None:
    both.opened()
    whole = shop()
    first, second, *others = whole.services
    for services in ((second, *others), (first, *others), whole.services, (first,), ()):
        both.sources[0].post(Posted(replace(whole, services=services)))
        assert both.shown().diagnosis.services == services


def test_a_large_cluster_arrives_in_pieces(both: Both) -> None:
    both.opened()
    one = shop().services[0]
    services = tuple(replace(one, name=f"svc-{number:04}") for number in range(AT_ONCE * 2 + 1))
    both.sources[0].post(Posted(replace(shop(), services=services)))
    assert [len(both.shown().diagnosis.services) for _ in range(3)] == [AT_ONCE, AT_ONCE * 2, AT_ONCE * 2 + 1]


def test_new_labels_of_a_service_that_says_the_same_arrive(both: Both) -> None:
    source = both.opened()
    cart = shop().services[0]
    both.sources[0].post(Posted(shop()))
    both.shown()
    both.sources[0].label = "another"
    both.sources[0].post(Posted(shop(), changed=frozenset({(cart.namespace, cart.name)})))
    both.shown()
    assert source.labels(cart.namespace, cart.name) == {"app": "another"}


def test_what_is_checked_and_what_was_asked_arrive(both: Both) -> None:
    both.opened()
    entries = Posted(shop()).log
    both.sources[0].post(Posted(shop(), checking=frozenset({("shop", "cart")}), log=entries[:1]))
    first = both.shown()
    both.sources[0].post(Posted(shop(), checking=frozenset(), log=entries))
    second = both.shown()
    assert first.checking == {("shop", "cart")}
    assert not second.checking
    assert [(entry.command, entry.at) for entry in second.log] == [(entry.command, entry.at) for entry in entries]
    assert [(stream.resource, stream.last_heard) for stream in second.streams] == [
        (stream.resource, stream.last_heard) for stream in Posted(shop()).streams
    ]


def test_streams_and_log_entries_have_the_fields_that_are_told() -> None:
    assert Stream._fields == StreamState._fields
    assert Logged._fields == LogEntry._fields


def test_a_source_is_told_what_the_person_does(both: Both) -> None:
    source = both.opened()
    source.start()
    source.run_again(frozenset({("shop", "cart")}))
    source.run_again()
    source.pause()
    source.resume()
    source.stop()
    assert [words.partition(" ")[0] for words in both.sources[0].asked] == [
        "start",
        "run_again",
        "run_again",
        "pause",
        "resume",
        "stop",
    ]


def test_texts_and_lines_are_fetched(both: Both) -> None:
    source = both.opened()
    assert "name: cart" in source.objects("shop", "cart")
    assert next(iter(source.logs("shop", "cart-1", "", True, False))) == "cart-1 listening on 8080"
    assert not hasattr(source, "step")


def test_after_a_crash_what_was_watched_can_still_be_recorded(both: Both) -> None:
    source = both.opened()
    source.stop()
    assert source.record() == b"all that was read"


def test_what_goes_wrong_there_is_said_here(both: Both) -> None:
    source = both.opened()
    with pytest.raises(WorkerError, match="no events of shop/cart") as caught:
        source.events("shop", "cart")
    assert type(caught.value).__name__ == "OSError"
    assert "test_worker.py" in str(caught.value.__cause__)
    with pytest.raises(WorkerError, match="nobody answers at nowhere"):
        both.worker.open(SourceRequest("nowhere", ""), both.updates.put)
    source.containers("shop", "cart-1")
    failure = both.failures.get(timeout=SECONDS)
    assert f"{type(failure).__name__}: {failure}" == "ValueError: of its own"


def test_a_login_there_gets_the_terminal_of_here(both: Both) -> None:
    assert both.opened().namespaces() == ["asked with the terminal"]
    assert both.lent == 1


def test_the_end_of_the_worker_is_said_once_and_nobody_waits_for_it(both: Both) -> None:
    source = both.opened()
    both.theirs.shutdown(socket.SHUT_RDWR)
    assert isinstance(both.failures.get(timeout=SECONDS), WorkerEnded)
    with pytest.raises(WorkerEnded):
        source.objects("shop", "cart")
    source.stop()


def test_a_forked_worker_serves_until_the_dashboard_has_gone() -> None:
    def serve(end: socket.socket) -> None:
        Desk(end, lambda request, post, failed, terminal: Talking(request, post, Posted(shop()))).run()

    worker = Worker.fork(serve)
    worker.failed = lambda error: None
    updates: queue.SimpleQueue[Update] = queue.SimpleQueue()
    source = worker.open(SHOP, updates.put)
    source.start()
    shown = updates.get(timeout=SECONDS)
    assert isinstance(shown, Picture)
    assert isinstance(shown.diagnosis, Diagnosis)
    assert shown.diagnosis == shop()
    assert isinstance(source, Remote)
    assert not isinstance(source, CannedSource)
