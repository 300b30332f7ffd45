"""The worker as the dashboard's process sees it: sources that are asked over a pipe.

Reading and judging a large cluster keep an interpreter busy for seconds. A key must not wait for that, so it is done in
a process of its own, which is forked before anything else has begun: it holds the credentials that were fetched. What
it loads for its work it loads when the first source is opened, after the first paint: that has the machine to itself.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from functools import partial
from itertools import count
from typing import Any

import msgspec

from svcdoctor.finding import Diagnosis, ServiceDiagnosis
from svcdoctor.widgets.source import Picture, Post, ServiceName, SourceRequest
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
    Order,
    Pipe,
    Posted,
    Returned,
    Seen,
    Trouble,
)

LOG_ENTRIES = 500
Failed = Callable[[Exception], None]
Terminal = Callable[[], AbstractContextManager[object]]


class WorkerError(Exception):
    """An exception of the worker's; its class is called as the one there was, and its cause holds that traceback."""


class WorkerEnded(Exception):
    def __init__(self) -> None:
        super().__init__("the process that reads the cluster has ended, perhaps because memory ran out")


def raised(trouble: Trouble) -> WorkerError:
    error = type(trouble.name, (WorkerError,), {})(trouble.message)
    error.__cause__ = WorkerError(f"in the worker:\n{trouble.traceback}")
    assert isinstance(error, WorkerError)
    return error


class Worker:
    """`terminal` and `failed` are the dashboard's, and set before anything is opened."""

    terminal: Terminal
    failed: Failed

    def __init__(self, end: socket.socket) -> None:
        self._pipe: Pipe[messages.News] = Pipe(end, messages.News)
        self._numbers = count(1)
        self._answers: dict[int, Future[Answer]] = {}
        self._lines: dict[int, queue.SimpleQueue[list[str] | Answer]] = {}
        self._sources: dict[int, Remote] = {}
        self._returned = threading.Event()
        self._listener: threading.Thread | None = None
        self._starting = threading.Lock()
        self._has_ended = False

    @classmethod
    def fork(cls, serve: Callable[[socket.socket], None]) -> Worker:
        """`serve` runs in the new process until this one has gone. No other thread may be running."""
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            ours.close()
            try:
                serve(theirs)
            finally:
                os._exit(0)
        theirs.close()
        return cls(ours)

    def open(self, request: SourceRequest, post: Post) -> Remote:
        """Raises WorkerError, in the words of what went wrong."""
        with self._starting:
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, name="worker", daemon=True)
                self._listener.start()
        number = next(self._numbers)
        source = self._sources[number] = Remote(self, number, post)
        try:
            answer = self._ask(Open(number, request))
        except Exception:
            self._sources.pop(number, None)
            raise
        source.opened = answer.opened or source.opened
        return source

    def call(self, source: int, method: str, *arguments: Any) -> Any:
        """What the method returns; where that is an iterator, one over the lines as they come."""
        call = Call(next(self._numbers), source, method, list(arguments))
        lines = self._lines[call.number] = queue.SimpleQueue()
        try:
            answer = self._ask(call)
        except Exception:
            self._lines.pop(call.number, None)
            raise
        if answer.goes_on:
            return self._lines_of(call.number, lines)
        self._lines.pop(call.number, None)
        return answer.value

    def seen(self, source: int) -> None:
        self._tell(Seen(source))

    def forget(self, source: int) -> None:
        self._sources.pop(source, None)

    def _tell(self, order: Order) -> None:
        with suppress(OSError):  # that it has gone is said by the thread that listens
            self._pipe.send(order)

    def _ask(self, order: Open | Call) -> Answer:
        future: Future[Answer] = Future()
        self._answers[order.number] = future
        if self._has_ended:
            raise WorkerEnded
        self._tell(order)
        answer = future.result()
        if answer.trouble:
            raise raised(answer.trouble)
        return answer

    def _lines_of(self, number: int, lines: queue.SimpleQueue[list[str] | Answer]) -> Iterator[str]:
        try:
            while isinstance(found := lines.get(), list):
                yield from found
            if found.trouble:
                raise raised(found.trouble)
        finally:
            if self._lines.pop(number, None):
                self._tell(Enough(number))

    # --- the thread that listens

    def _listen(self) -> None:
        while (news := self._pipe.receive()) is not None:
            match news:
                case Posted():
                    if source := self._sources.get(news.source):
                        source.take(news)
                case Answer():
                    if future := self._answers.pop(news.number, None):
                        future.set_result(news)
                    elif lines := self._lines.get(news.number):
                        lines.put(news)
                case Lines():
                    if lines := self._lines.get(news.number):
                        lines.put(news.lines)
                case Broke():
                    if self._sources.pop(news.source, None):
                        self.failed(raised(news.trouble))
                case Lend():
                    threading.Thread(target=self._lend, name="login", daemon=True).start()
                case Returned():
                    self._returned.set()
        self._end()

    def _end(self) -> None:
        self._has_ended = True
        self._returned.set()
        gone = Trouble("WorkerEnded", str(WorkerEnded()), "")
        for lines in list(self._lines.values()):
            lines.put(Answer(0, trouble=gone))
        for future in list(self._answers.values()):
            future.set_exception(WorkerEnded())
        if self._sources:
            self._sources.clear()
            self.failed(WorkerEnded())

    def _lend(self) -> None:
        self._returned.clear()
        try:
            with self.terminal():
                self._tell(Lent())
                self._returned.wait()
        except Exception as error:
            self._tell(Lent(str(error) or type(error).__name__))


class Remote:
    """A source (widgets/source.py) of the worker's. What it was not told of, it does not have."""

    def __init__(self, worker: Worker, number: int, post: Post) -> None:
        self.opened = Abilities(None, [])
        self._worker = worker
        self._number = number
        self._post = post
        self._services: dict[ServiceName, ServiceDiagnosis] = {}
        self._labels: dict[ServiceName, dict[str, str]] = {}
        self._checking: frozenset[ServiceName] = frozenset()
        self._rest: Diagnosis | None = None
        self._log: deque[Logged] = deque(maxlen=LOG_ENTRIES)

    @property
    def namespace(self) -> str | None:
        return self.opened.namespace

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self.opened.methods:
            return partial(self._worker.call, self._number, name)
        raise AttributeError(name)

    def start(self) -> None:
        self._worker.call(self._number, "start")

    def stop(self) -> None:
        self._worker.forget(self._number)
        with suppress(WorkerEnded):
            self._worker.call(self._number, "stop")

    def run_again(self, names: AbstractSet[ServiceName] | None = None) -> None:
        self._worker.call(self._number, "run_again", None if names is None else list(names))

    def pause(self) -> None:
        self._worker.call(self._number, "pause")

    def resume(self) -> None:
        self._worker.call(self._number, "resume")

    def labels(self, namespace: str, name: str) -> Mapping[str, str]:
        """At once: a filter asks for those of all Services."""
        return self._labels.get((namespace, name), {})

    def take(self, posted: Posted) -> None:
        """In the thread that listens: the Update is whole again."""
        held = len(self._services)
        self._services.update(((service.namespace, service.name), service) for service in posted.services)
        for name in posted.gone:
            self._services.pop(name, None)
            self._labels.pop(name, None)
        if len(self._services) != held or posted.gone:
            self._services = dict(sorted(self._services.items()))  # the order of a report
        self._labels.update(posted.labels)
        if posted.begun or posted.ended:
            self._checking = self._checking.difference(posted.ended).union(posted.begun)
        if posted.rest or self._rest is None:
            self._rest = messages.rest_from(posted.rest)
        self._log.extend(posted.log)
        diagnosis = msgspec.structs.replace(
            self._rest,
            services=tuple(self._services.values()),
            summary=posted.summary,
            observed_at=posted.observed_at,
        )
        changed = {(service.namespace, service.name) for service in posted.services}.union(posted.gone)
        self._post(Picture(diagnosis, posted.streams, tuple(self._log), self._checking, changed))
        self._worker.seen(self._number)
