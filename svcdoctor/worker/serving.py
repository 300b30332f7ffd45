"""The worker's own side: it opens sources, does what it is asked, and tells what they post, until nobody listens."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import islice
from typing import Any, Protocol

from svcdoctor.finding import ServiceDiagnosis
from svcdoctor.widgets.source import Post, ServiceName, Source, SourceRequest, Update
from svcdoctor.worker import messages
from svcdoctor.worker.messages import (
    Abilities,
    Answer,
    Broke,
    Call,
    Enough,
    Lend,
    Lent,
    Lines,
    Logged,
    Open,
    Pipe,
    Posted,
    Returned,
    Seen,
    Stream,
    Trouble,
)

AT_ONCE = 100  # Services in a message: so many are taken in between two frames


class Opens(Protocol):
    """Opens a source; `failed` and `terminal` are the dashboard's."""

    def __call__(
        self,
        request: SourceRequest,
        post: Post,
        failed: Callable[[Exception], None],
        terminal: Callable[[], AbstractContextManager[object]],
    ) -> Source: ...


def serve(end: socket.socket, opens: Opens) -> None:
    """Until the other side has gone. The terminal stays the dashboard's: nothing is printed here."""
    signal.signal(signal.SIGINT, lambda *_: None)  # of a login that is interrupted; not ignored, so that it ends
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as long as this runs
    Desk(end, opens).run()


class Desk:
    def __init__(self, end: socket.socket, opens: Opens) -> None:
        self._pipe: Pipe[messages.Order] = Pipe(end, messages.Order)
        self._opens = opens
        self._sources: dict[int, Source] = {}
        self._stopped: set[int] = set()  # sources that can still be recorded, until another is opened
        self._tellers: dict[int, Teller] = {}
        self._following: set[int] = set()  # answers whose lines are still wanted
        self._lending = threading.Lock()
        self._lent: Lent | None = None
        self._was_lent = threading.Event()

    def run(self) -> None:
        while (order := self._pipe.receive()) is not None:
            match order:
                case Open():
                    self._aside(self._open, order)
                case Call():
                    self._aside(self._call, order)
                case Enough():
                    self._following.discard(order.number)
                case Seen():
                    if teller := self._tellers.get(order.source):
                        teller.seen()
                case Lent():
                    self._lent = order
                    self._was_lent.set()

    def _aside(self, act: Callable[[Any], None], order: Open | Call) -> None:
        def run() -> None:
            # Whoever asked hears what went wrong; where nobody is there any more, nobody does.
            with suppress(OSError):
                try:
                    act(order)
                except Exception as error:
                    self._pipe.send(Answer(order.number, trouble=Trouble.of(error)))

        threading.Thread(target=run, daemon=True).start()

    def _open(self, order: Open) -> None:
        def failed(error: Exception) -> None:
            with suppress(OSError):
                self._pipe.send(Broke(order.number, Trouble.of(error)))

        teller = self._tellers[order.number] = Teller(order.number, self._pipe.send, failed)

        source = self._opens(order.request, teller.post, failed, self._terminal)
        while self._stopped:
            self._sources.pop(self._stopped.pop(), None)
        teller.labels = getattr(source, "labels", None)
        self._sources[order.number] = source
        methods = [name for name in dir(type(source)) if name[0] != "_" and callable(getattr(type(source), name))]
        abilities = Abilities(getattr(source, "namespace", None), methods)
        self._pipe.send(Answer(order.number, opened=abilities))

    def _call(self, order: Call) -> None:
        source = self._sources[order.source]
        if order.method == "stop":
            self._tellers.pop(order.source).stop()
            self._stopped.add(order.source)
        value = getattr(source, order.method)(*order.arguments)
        if not isinstance(value, Iterator):
            self._pipe.send(Answer(order.number, value))
            return
        self._following.add(order.number)
        self._pipe.send(Answer(order.number, goes_on=True))
        for line in value:
            if order.number not in self._following:
                return
            self._pipe.send(Lines(order.number, [line]))
        self._following.discard(order.number)
        self._pipe.send(Answer(order.number))

    @contextmanager
    def _terminal(self) -> Iterator[None]:
        """The terminal without the dashboard, for a login that asks something; one at a time."""
        with self._lending:
            self._was_lent.clear()
            self._pipe.send(Lend())
            self._was_lent.wait()
            if self._lent and self._lent.refused:
                raise RuntimeError(self._lent.refused)
            try:
                yield
            finally:
                self._pipe.send(Returned())


class Teller:
    """Tells the latest Update as soon as the last one was taken in: whatever happens in between is one change."""

    def __init__(self, source: int, send: Callable[[Posted], None], failed: Callable[[Exception], None]) -> None:
        self.labels: Callable[[str, str], Any] | None = None
        self._source = source
        self._send = send
        self._failed = failed
        self._latest: Update | None = None
        self._is_free = True
        self._is_over = False
        self._changed = threading.Condition()
        self._told: dict[ServiceName, ServiceDiagnosis] = {}
        self._changed_since: set[ServiceName] = set()  # the last that was told
        self._checking: AbstractSet[ServiceName] = frozenset()
        self._rest = b""
        self._logged: object = None
        threading.Thread(target=self._run, name=f"tells {source}", daemon=True).start()

    def post(self, update: Update) -> None:
        with self._changed:
            self._latest = update
            self._changed_since |= update.changed
            self._changed.notify()

    def seen(self) -> None:
        with self._changed:
            self._is_free = True
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify()

    def _run(self) -> None:
        try:
            while update := self._next():
                posted, is_all = self.difference(update)
                if not is_all:
                    with self._changed:
                        self._latest = self._latest or update
                self._send(posted)
        except Exception as error:
            self._failed(error)  # a picture that stands still must not look fresh

    def _next(self) -> Update | None:
        """The latest Update, when there is one and the other side is free to take it; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or (self._is_free and self._latest))
            update, self._latest, self._is_free = self._latest, None, False
            return None if self._is_over else update

    def difference(self, update: Update) -> tuple[Posted, bool]:
        """What to tell of an Update, and whether that is all there is to tell of it."""
        diagnosis = update.diagnosis
        held = set(map(id, self._told.values()))
        new = [service for service in diagnosis.services if id(service) not in held]
        named = {(service.namespace, service.name): service for service in new}
        told = dict(islice(named.items(), AT_ONCE))
        gone: list[ServiceName] = []
        unchanged = len(diagnosis.services) - len(named)
        if len(self._told) - len(self._told.keys() & named) != unchanged:
            gone = list(self._told.keys() - {(service.namespace, service.name) for service in diagnosis.services})
            for name in gone:
                del self._told[name]
        self._told.update(told)
        posted = Posted(
            source=self._source,
            observed_at=diagnosis.observed_at,
            summary=diagnosis.summary,
            services=list(told.values()),
            gone=gone,
            labels=self._labels_of(told),
            begun=list(update.checking - self._checking),
            ended=list(self._checking - update.checking),
            rest=b"",
            streams=[Stream(*(getattr(of, name) for name in Stream._fields)) for of in update.streams],
            log=[],
        )
        self._checking = update.checking
        rest = messages.rest_of(diagnosis)
        if rest != self._rest:
            self._rest = posted.rest = rest
        for entry in reversed(update.log):
            if entry is self._logged:
                break
            posted.log.insert(0, Logged(entry.kind, entry.command, entry.outcome, entry.seconds, entry.at))
        self._logged = update.log[-1] if update.log else None
        return posted, len(told) == len(new)

    def _labels_of(self, told: Iterable[ServiceName]) -> list[tuple[ServiceName, dict[str, str]]]:
        """Of those that are told, and of those that were told before and may have others since."""
        with self._changed:
            changed, self._changed_since = self._changed_since, set()
        if self.labels is None:
            return []
        return [(name, dict(self.labels(*name))) for name in {*told, *changed} if name in self._told]
