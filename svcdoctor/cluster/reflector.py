"""One kind of objects, listed once and watched from there: a thread that puts what it learns on a queue.

The behaviour is that of client-go's reflector. Whatever breaks, the stream goes on from the last version it has seen,
after a pause that grows; it lists again only where the server has forgotten that version. After a refusal it asks again
in a minute, for a kind that is not served in five. Nothing here judges or keeps objects: live.py does.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from svcdoctor.cluster.kube import Cluster, Event, KubeError, ReadFailed, Skipped, Unreachable, Watch
from svcdoctor.finding import Gap, Unreadable
from svcdoctor.objects import Resource
from svcdoctor.text import plural, printable

LISTING, WATCHING, BROKEN, DENIED, ABSENT = "listing", "watching", "broken", "denied", "absent"


class Pace(NamedTuple):
    """How long things may take, in seconds."""

    first_pause: float = 0.8
    longest_pause: float = 30.0
    healthy: float = 120.0  # after so long without a failure the pauses begin at the first again
    denied: float = 60.0
    absent: float = 300.0
    silence: float = 70.0  # bookmarks come about every 60 s, and versions are kept for at least 75 s
    watch: tuple[int, int] = (300, 600)  # the server ends a watch after a random time of this range
    short: float = 1.0  # a watch that ends sooner, without a word, is a failure


class StreamState(NamedTuple):
    resource: str
    namespace: str  # "" is the whole cluster
    state: str  # listing, watching, broken, denied or absent
    since: datetime
    message: str = ""
    last_heard: datetime | None = None
    reason: str = ""  # of what is broken, as in Gap
    verb: str = ""  # that is denied: who may list and not watch sees a list once a minute


class LogEntry(NamedTuple):
    """One thing that was asked, as a person would have typed it."""

    kind: str  # read or probe
    command: str
    outcome: str
    seconds: float
    at: datetime


class Replaced(NamedTuple):
    """The whole list."""

    stream: Reflector
    items: list[Any]
    skipped: tuple[Unreadable, ...]


class Changed(NamedTuple):
    """Events, in their order."""

    stream: Reflector
    events: list[Event]


class Missed(NamedTuple):
    """There is no list, and why."""

    stream: Reflector
    gap: Gap


class Moved(NamedTuple):
    """The stream is in another state than before."""

    stream: Reflector
    state: StreamState


News: TypeAlias = Replaced | Changed | Missed | Moved | LogEntry


class Reflector:
    def __init__(
        self,
        cluster: Cluster,
        resource: Resource,
        namespace: str,
        tell: Callable[[News], None],
        turns: threading.Semaphore,
        pace: Pace = Pace(),  # noqa: B008 - immutable
    ) -> None:
        """`turns` is shared by all reflectors, so that only so many list at once."""
        self.resource = resource
        self.namespace = namespace
        self.state = StreamState(resource.name, namespace, LISTING, datetime.now(UTC))
        self._cluster = cluster
        self._tell = tell
        self._turns = turns
        self._pace = pace
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._watch: Watch | None = None
        self._version = ""
        self._was_listed = False
        self._gone = self._refusals = self._silences = 0  # in a row
        self._pause = 0.0
        self._last_failure = float("-inf")
        scope = f"-n {namespace}" if namespace else "-A" if resource.namespaced else ""
        name = f"{resource.plural}.{resource.group}" if resource.group else resource.name
        self._command = " ".join(filter(None, ("kubectl get", name, scope)))

    def start(self) -> None:
        place = self.namespace or "everywhere"
        threading.Thread(target=self._run, name=f"{self.resource.name} {place}", daemon=True).start()

    def stop(self) -> None:
        """It says nothing more; its thread ends as soon as a request under way lets it."""
        self._stopping.set()
        self._hurry.set()
        if watch := self._watch:
            watch.interrupt()

    def hurry(self) -> None:
        """The server is back, as another stream has found: do not wait until the pause is over."""
        self._hurry.set()

    # --- the loop

    def _run(self) -> None:
        needs_list = True
        while not self._stopping.is_set():
            try:
                if needs_list:
                    self._list()
                    needs_list = False
                needs_list = self._follow()
                self._gone = self._refusals = 0
            except ReadFailed as error:
                needs_list = self._failed(error, needs_list)
            except KubeError as error:
                self._broke(error)
            except Exception as error:
                # A thread that dies would leave what it brought looking fresh for ever.
                self._broke(ReadFailed(f"svcdoctor fails: {type(error).__name__}: {error}", reason="error"))

    def _failed(self, error: ReadFailed, listing: bool) -> bool:
        """Say it and wait; whether to list again then."""
        if error.reason in ("forbidden", "not-found"):
            denied = error.reason == "forbidden"
            if listing:
                self._missed(error)
            self._move(DENIED if denied else ABSENT, str(error), verb="list" if listing else "watch")
            self._stopping.wait(self._pace.denied if denied else self._pace.absent)
            return True
        if error.reason == "gone":
            # At once the first time; a server that forgets every version is asked more and more slowly.
            self._gone += 1
            if self._gone > 1:
                self._stopping.wait(self._next_pause(error.retry_after))
            return True
        self._broke(error, error.retry_after)
        # A server that was restored refuses a version that it has not reached yet, in words of its own, every time; and
        # a proxy's login page answers each watch and says nothing. Only a list tells whether what is held is still so.
        self._refusals += 1
        if self._refusals > 2:
            self._refusals = 0
            return True
        return listing

    def _list(self) -> None:
        if self.state.state != BROKEN:
            self._move(LISTING)
        started = time.monotonic()
        with self._turns:
            if self._stopping.is_set():
                return
            try:
                listing = self._cluster.list(self.resource, self.namespace)
            except KubeError as error:
                self._log(error.reason, started)
                raise
        self._log(plural(len(listing.items), "object"), started)
        self._silences = 0
        self._version = listing.resource_version
        self._was_listed = True
        odd = tuple(self._unreadable(item) for item in listing.skipped)
        self._say(Replaced(self, listing.items, odd))

    def _follow(self) -> bool:
        """One watch, to its end; whether to list again then."""
        if self._stopping.is_set():
            return False
        if self.resource.optional and not self._version:  # the server does not have it: nothing could be watched
            raise ReadFailed(f"the server has no {self.resource.name}", reason="not-found")
        started = time.monotonic()
        self._watch = self._cluster.watch(
            self.resource,
            self.namespace,
            resource_version=self._version,
            timeout_seconds=random.randint(*self._pace.watch),
            read_timeout=self._pace.silence,
        )
        if self._stopping.is_set():
            self._watch.interrupt()
        answered = heard = False
        try:
            for batch in self._watch:
                answered = True
                if self.state.state != WATCHING:
                    self._log("opened", started, watch=True)
                self._move(WATCHING)
                heard = heard or bool(batch)
                self._take(batch)
        except ReadFailed as error:
            if not answered or error.reason != "timeout" or error.status:
                raise
            # The next watch will show whether anybody is there; where it is silent too, perhaps a proxy holds it back.
            self._silences += 1
            return self._silences > 1
        finally:
            self._watch = None
        if not heard and not self._stopping.is_set() and time.monotonic() - started < self._pace.short:
            raise ReadFailed(f"the watch of {self.resource.name} ends as soon as it begins", reason="server-error")
        return False

    def _take(self, batch: list[Event]) -> None:
        if batch:
            self._gone = self._refusals = self._silences = 0
        for event in batch:
            self._version = event.resource_version or self._version
        changes = [event for event in batch if event.type != "BOOKMARK"]
        if changes:
            self._say(Changed(self, changes))

    # --- what goes wrong

    def _broke(self, error: KubeError, at_least: float | None = None) -> None:
        if self._stopping.is_set():
            return
        if not self._was_listed:
            self._missed(error)
        if self.state.state == WATCHING:
            self._log(error.reason, time.monotonic(), watch=True)
        self._hurry.clear()
        self._move(BROKEN, str(error), error.reason)
        pause = self._next_pause(at_least)
        # Only who could not connect is helped by another's connection; streams that break would drive each other on.
        if isinstance(error, Unreachable) and not self._stopping.is_set():
            self._hurry.wait(pause)
        else:
            self._stopping.wait(pause)

    def _missed(self, error: KubeError) -> None:
        self._was_listed = False
        # What is forbidden everywhere may be allowed in a namespace; what failed otherwise was meant for all of them.
        verb = "list" if error.reason == "forbidden" else "watch"
        gap = Gap(verb, self.resource.name, self.resource.group, self.namespace, error.reason, str(error))
        self._say(Missed(self, gap))

    def _next_pause(self, at_least: float | None) -> float:
        now = time.monotonic()
        calm = now - self._last_failure > self._pace.healthy
        self._pause = self._pace.first_pause if calm else min(self._pace.longest_pause, self._pause * 2)
        self._last_failure = now
        # Jitter: many clients that lost the same server shall not all come back at once.
        return max(at_least or 0.0, self._pause * (1 + random.random()))

    # --- saying it

    def _move(self, state: str, message: str = "", reason: str = "", verb: str = "") -> None:
        """Another state, or the same one heard of again."""
        now = datetime.now(UTC)
        before = self.state
        heard = now if state == WATCHING else before.last_heard
        since = before.since if before.state == state else now
        place = (self.resource.name, self.namespace)
        self.state = StreamState(*place, state, since, printable(message), heard, reason, verb)
        if before.state != state or before.message != self.state.message:
            self._say(Moved(self, self.state))

    def _log(self, outcome: str, started: float, *, watch: bool = False) -> None:
        command = self._command + (" --watch-only" if watch else "")
        self._say(LogEntry("read", command, outcome, time.monotonic() - started, datetime.now(UTC)))

    def _say(self, news: News) -> None:
        if not self._stopping.is_set():
            self._tell(news)

    def _unreadable(self, item: Skipped) -> Unreadable:
        return Unreadable(self.resource.name, item.namespace, item.name, item.error)
