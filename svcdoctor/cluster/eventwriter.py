"""Kubernetes Events about Services that change: what svcdoctor writes without asking first, and only with --events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from svcdoctor.changes import Change, Name, Verdict, event
from svcdoctor.cluster.kube import Cluster, KubeError
from svcdoctor.finding import Status

APART = 60.0
"""Seconds between two Events about one Service."""
PAUSE = 0.05
"""Seconds between any two: when a node fails, thousands of Services change at once."""


class Outbox:
    """Which changes are worth an Event now: of one that flaps, once a minute, what it has come to.

    `unknown` is no news of a Service but of what we see, and is passed over; so is the health of one that nobody heard
    anything else of.
    """

    def __init__(self, apart: float = APART) -> None:
        self._apart = apart
        self._waiting: dict[Name, Change] = {}
        self._said: dict[Name, Verdict | None] = {}
        self._quiet: dict[Name, float] = {}  # until when nothing is said of a Service

    def put(self, changes: Sequence[Change]) -> None:
        for change in changes:
            name = (change.namespace, change.name)
            if change.after is None:
                self._waiting.pop(name, None)
                self._said.pop(name, None)
                continue
            if name not in self._said:
                self._said[name] = change.before if change.before and change.before.status != Status.UNKNOWN else None
            self._waiting[name] = change

    def take(self, now: float) -> list[Change]:
        """Those that are due at a time in seconds; they count as said."""
        self._quiet = {name: until for name, until in self._quiet.items() if until > now}
        due = []
        for name in [name for name in self._waiting if name not in self._quiet]:
            change = self._waiting.pop(name)
            said, after = self._said[name], change.after
            if after is None or after.status == Status.UNKNOWN or after == said:
                continue
            self._said[name] = after
            if not after.is_healthy or (said and not said.is_healthy):
                self._quiet[name] = now + self._apart
                due.append(change)
        return due

    def next_due(self, now: float) -> float | None:
        """Seconds until something may be due; None where nothing waits."""
        return min((max(0.0, self._quiet.get(name, now) - now) for name in self._waiting), default=None)


class EventWriter:
    """A thread that creates them, so that the engine never waits for it. `say` is told of those that fail."""

    def __init__(self, cluster: Cluster, instance: str, say: Callable[[str], None], apart: float = APART) -> None:
        self._cluster = cluster
        self._instance = instance
        self._say = say
        self._outbox = Outbox(apart)
        self._news = threading.Condition()
        self._stopping = False

    def start(self) -> None:
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def stop(self) -> None:
        with self._news:
            self._stopping = True
            self._news.notify()

    def put(self, changes: Sequence[Change]) -> None:
        with self._news:
            self._outbox.put(changes)
            self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                if self._stopping:
                    return
                due = self._outbox.take(time.monotonic())
                if not due:
                    self._news.wait(self._outbox.next_due(time.monotonic()))
            for change in due:
                if self._stopping:
                    return
                self._write(change)
                time.sleep(PAUSE)

    def _write(self, change: Change) -> None:
        document = event(change, self._instance, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        path = f"/api/v1/namespaces/{quote(change.namespace, safe='')}/events"
        what = f"create an Event about service {change.namespace}/{change.name}"
        try:
            # kube.py offers nothing that writes; this request and those of additions.py are all that do.
            self._cluster._read(what, "POST", path, body=document)
        except KubeError as error:
            self._say(error.message)
