"""A cluster while it changes, as the moments of a recording: the first, and one whenever something is different.

The engine of the dashboard (live.py) reads and judges; a moment is taken when nothing waits to be read or judged, and
objects, lookups or the report are not what they were at the last one.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator

from msgspec.structs import replace

from svcdoctor.cluster.kube import Cluster
from svcdoctor.cluster.reflector import LISTING
from svcdoctor.diagnosis import Scope
from svcdoctor.finding import Diagnosis
from svcdoctor.live import Live, Timing, Update
from svcdoctor.world import World

SECONDS = 1.0  # between two moments, at least
LONGEST_WAIT = 3600.0  # what a queue takes for a timeout is not endless


class Watched:
    """The moments of a cluster, until stop() is called, from any thread or signal handler, or the time is over."""

    def __init__(
        self,
        cluster: Cluster,
        scope: Scope,
        *,
        probe: bool,
        seconds: float | None = None,
        between: float = SECONDS,
        timing: Timing = Timing(),  # noqa: B008 - immutable
    ) -> None:
        self._seconds = float("inf") if seconds is None else seconds
        self._between = between
        self._news: queue.SimpleQueue[Update | Exception | None] = queue.SimpleQueue()
        self._live = Live(cluster, scope, probe=probe, post=self._news.put, failed=self._news.put, timing=timing)

    @property
    def world(self) -> World:
        """As it stands; of use when moments() has ended."""
        return self._live.world

    def stop(self) -> None:
        self._news.put(None)

    def moments(self) -> Iterator[bytes]:
        """Each as recording.py writes it; at least one, even where the end comes before everything is read."""
        ends = time.monotonic() + self._seconds
        known: tuple[int, Diagnosis] | None = None
        self._live.start()
        try:
            for diagnosis in self._settled(ends):
                changes = self._live.world.changes
                if known != (changes, diagnosis):
                    known = (changes, diagnosis)
                    yield self._live.record()
            if known is None:
                yield self._live.record()
        finally:
            self._live.stop()

    def _settled(self, ends: float) -> Iterator[Diagnosis]:
        """The reports for which nothing more is to be read or judged, the newest of each `between` seconds."""
        taken = float("-inf")
        waiting: Diagnosis | None = None
        is_over = False
        while not is_over:
            due = min(ends, taken + self._between) if waiting else ends
            try:
                news = self._news.get(timeout=max(0.0, min(due - time.monotonic(), LONGEST_WAIT)))
                if isinstance(news, Exception):
                    raise news
                is_over = news is None
                if news:
                    reading = news.checking or any(stream.state == LISTING for stream in news.streams)
                    # What tells the time alone is no news.
                    waiting = None if reading else replace(news.diagnosis, observed_at="")
            except queue.Empty:
                pass
            now = time.monotonic()
            is_over = is_over or now >= ends
            if waiting and (is_over or now >= taken + self._between):
                yield waiting
                waiting, taken = None, time.monotonic()
