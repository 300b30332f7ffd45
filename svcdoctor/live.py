"""The Diagnosis of a cluster while it changes: reflectors and lookups feed one thread, which judges and posts.

Everything that happens comes through one queue to one thread, which alone touches the World: it applies what has come,
judges again what that may alter (doctor.py), opens streams for what checks ask for on the way, and posts an Update, at
most ten a second. Lookups are repeated once a minute and on demand, never because of an event.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from svcdoctor.clients.connection import Connections, Trials
from svcdoctor.cluster.collect import AT_ONCE
from svcdoctor.cluster.kube import Cluster, Event, Skipped
from svcdoctor.cluster.reflector import (
    BROKEN,
    WATCHING,
    Changed,
    LogEntry,
    Missed,
    Moved,
    News,
    Pace,
    Reflector,
    Replaced,
    StreamState,
)
from svcdoctor.cluster.schedule import Answered, Rhythm, Schedule, Tried
from svcdoctor.diagnosis import CORE, Scope, diagnose_recorded, keeping, kinds_read
from svcdoctor.doctor import Doctor, Name
from svcdoctor.finding import Diagnosis, Gap, ServiceDiagnosis, Unreadable
from svcdoctor.objectindexes import EVENTS_BY_OBJECT
from svcdoctor.objects import RESOURCES
from svcdoctor.pods.sockets import Sockets
from svcdoctor.reads import Asker
from svcdoctor.recordings.recording import recorded
from svcdoctor.sharing import share
from svcdoctor.text import printable
from svcdoctor.view import last_seen
from svcdoctor.world import EVERYWHERE, NotRead, World

LISTS_AT_ONCE = 3
MOST_STREAMS = 100  # where the cluster may not be listed as a whole: namespaces times kinds
LOG_ENTRIES = 500
# What is there to see first is read first; Pods and events are most of the bytes.
FIRST = ("services", "endpointslices", "nodes", "namespaces")
LAST = ("pods", "events")


class Timing(NamedTuple):
    """In seconds."""

    pace: Pace = Pace()
    update: float = 0.1  # between two Updates
    slice: float = 0.1  # of judging, before what has been judged so far is posted
    rest: float = 0.25  # of what was just judged: a rollout changes a Service and its callers a dozen times a second
    judge: float = 30.0  # after so long everything that tells an age is judged again
    lost: float = 120.0  # a stream broken for so long is not to be judged by any more
    rhythm: Rhythm = Rhythm()


class Update(NamedTuple):
    """All there is to show. A ServiceDiagnosis that did not change is the same object as in the Update before."""

    diagnosis: Diagnosis
    changed: frozenset[Name]  # Services that say something else, have other labels, are new or are gone
    checking: frozenset[Name]  # Services whose walk is not finished: what is said of them may change yet
    streams: tuple[StreamState, ...]
    log: tuple[LogEntry, ...]  # the latest reads and probes, oldest first
    moment: tuple[int, int] | None = None  # of a recording: which one this is, from 1, and how many there are
    is_whole: bool = True  # all that was asked for has been read, or refused, and is judged
    judged: int = 0  # how often a Service was judged since the start


Message: TypeAlias = News | Answered | Sockets | Connections | Tried | Callable[[], None]


class Live:
    """start() it, and it posts, from a thread of its own, until stop(). `failed` is told of what should not happen."""

    def __init__(
        self,
        cluster: Cluster,
        scope: Scope,
        *,
        probe: bool,
        post: Callable[[Update], None],
        failed: Callable[[Exception], None] | None = None,
        timing: Timing = Timing(),  # noqa: B008 - immutable
    ) -> None:
        self._cluster = cluster
        self._scope = scope
        self._post = post
        self._failed = failed
        self._timing = timing
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # around the World, for those who look something up in it from other threads
        self._world = World(context=cluster.context)
        self._doctor = Doctor(self._world, scope)
        self._streams: dict[tuple[str, str], Reflector] = {}
        self._turns = threading.Semaphore(LISTS_AT_ONCE)
        self._lost: set[tuple[str, str]] = set()
        self._forbidden: set[str] = set()  # kinds that may not be listed everywhere
        self._schedule = Schedule(cluster, scope, self._messages.put, timing.rhythm) if probe else None
        if probe:
            self._world.lookups = {}
            self._world.expects_lookups = True
            self._world.look_at_sockets()
            self._world.trials = Trials() if scope.client is None else None
        self._log: deque[LogEntry] = deque(maxlen=LOG_ENTRIES)
        self._rests: dict[Asker, float] = {}  # Services and callers, and when each has rested
        self._doctor.resting = self._rests
        self._news = False
        self._paused = False
        self._posted = self._judged = float("-inf")

    # --- for its owner, from any thread

    def start(self) -> None:
        threading.Thread(target=self._run, name="live", daemon=True).start()

    def stop(self) -> None:
        """Nothing is posted any more. Threads that wait for the server end by themselves."""
        self._stopping.set()
        self._messages.put(lambda: None)

    def run_again(self, names: Collection[Name] | None = None) -> None:
        """Look names up now: in the namespaces of these Services, or in all."""
        if schedule := self._schedule:
            namespaces = None if names is None else {namespace for namespace, _ in names}
            self._messages.put(lambda: schedule.ask_now(namespaces))

    def pause(self) -> None:
        """Post nothing and look nothing up; what happens meanwhile is not missed."""
        self._messages.put(lambda: self._set_paused(True))

    def resume(self) -> None:
        self._messages.put(lambda: self._set_paused(False))

    def labels(self, namespace: str, name: str) -> Mapping[str, str]:
        return self._doctor.labels((namespace, name))

    def namespaces(self) -> list[str]:
        with self._lock:
            return [item.metadata.name for item in self._world.held("namespaces")]

    def events(self, namespace: str, name: str) -> list[str]:
        """Events about a Service and the Pods behind it, oldest first, a line each."""
        with self._lock:
            service = self._doctor.service((namespace, name))
            return event_lines(self._world, namespace, name, service)

    @property
    def world(self) -> World:
        """What is read and judged; it changes at any time."""
        return self._world

    def record(self) -> bytes:
        with self._lock:
            return recorded(self._world, self._scope)

    # --- the thread

    def _run(self) -> None:
        try:
            self._open_scope()
            while not self._stopping.is_set():
                self._listen()
                if self._paused or self._stopping.is_set():
                    continue
                with self._lock:
                    self._let_time_pass()
                self._judge()
                self._follow_wants()
                self._post_news()
        except Exception as error:
            if self._failed is None:
                raise
            if not self._stopping.is_set():
                self._failed(error)
        finally:
            for stream in self._streams.values():
                stream.stop()
            for _ in self._streams:
                self._turns.release()  # whoever waits for a turn sees that it is over
            if self._schedule:
                self._schedule.stop()

    def _listen(self) -> None:
        """Apply what has come; wait for something, where nothing is left to do."""
        try:
            seconds = self._idle_seconds()
            message = self._messages.get(timeout=seconds) if seconds else self._messages.get_nowait()
            with self._lock:
                self._apply(message)
                while True:
                    self._apply(self._messages.get_nowait())
        except queue.Empty:
            pass

    def _idle_seconds(self) -> float:
        now = time.monotonic()
        if self._paused:
            return 3600.0
        if not self._doctor.is_done:
            return 0.0
        waits = [self._judged + self._timing.judge - now]
        waits += [self._rests[asker] - now for asker in self._doctor.put_off]
        if self._news:
            waits.append(self._posted + self._timing.update - now)
        if deadline := self._world.next_deadline():
            waits.append((deadline - self._cluster.now()).total_seconds() + 0.05)
        if any(stream.state.state == BROKEN for stream in self._streams.values()):
            waits.append(min(1.0, self._timing.lost / 4))
        if self._schedule:
            waits.append(self._schedule.idle_seconds(now))
        return max(0.0, min(waits))

    def _set_paused(self, paused: bool) -> None:
        self._paused = paused
        self._news = True

    # --- what came

    def _apply(self, message: Message) -> None:
        self._news = True
        if isinstance(message, LogEntry):
            self._log.append(message)
        elif isinstance(message, Answered):
            self._take_answer(message)
        elif isinstance(message, Sockets):
            self._take_sockets(message)
        elif isinstance(message, Connections):
            self._take_connections(message)
        elif isinstance(message, Tried):
            self._take_tried(message)
        elif isinstance(message, Replaced | Changed | Missed | Moved):
            if self._streams.get((message.stream.resource.name, message.stream.namespace)) is message.stream:
                self._take_news(message)
        else:
            message()

    def _take_news(self, news: Replaced | Changed | Missed | Moved) -> None:
        resource, namespace = news.stream.resource.name, news.stream.namespace
        match news:
            case Replaced():
                self._world.put(resource, namespace, news.items)
                self._lost.discard((resource, namespace))
                self._set_unreadable(resource, namespace, news.skipped)
                if namespace == EVERYWHERE:
                    self._forbidden.discard(resource)
                    self._close_narrower(resource)
            case Changed():
                for event in news.events:
                    self._take_event(resource, event)
            case Missed():
                self._world.lose(news.gap)
                if news.gap.reason == "forbidden" and namespace == EVERYWHERE and news.stream.resource.namespaced:
                    self._forbidden.add(resource)
            case Moved() if news.state.state == WATCHING:
                if (resource, namespace) in self._lost:
                    self._lost.discard((resource, namespace))
                    self._world.find(resource, namespace)
                for stream in self._streams.values():
                    if stream.state.state == BROKEN:
                        stream.hurry()
        if self._forbidden and (resource == "namespaces" or isinstance(news, Missed)):
            self._open_by_namespace()

    def _take_event(self, resource: str, event: Event) -> None:
        if isinstance(event.object, Skipped):
            odd = event.object
            # As in a list: what cannot be read is left out and named.
            self._world.drop(resource, odd.namespace, odd.name)
            self._forget_unreadable(resource, odd.namespace, odd.name)
            self._world.unreadable = [
                *self._world.unreadable,
                Unreadable(resource, odd.namespace, odd.name, odd.error),
            ]
            return
        metadata = event.object.metadata
        if event.type != "DELETED" and self._world.was_read(resource, metadata.namespace):
            share_with_neighbour(event.object, self._world.listed(resource, metadata.namespace))
        self._world.apply(resource, event.type, event.object)
        if self._world.unreadable:
            self._forget_unreadable(resource, metadata.namespace, metadata.name)
        if self._schedule and resource == "services" and event.type == "ADDED":
            self._schedule.has_new_names(metadata.namespace)

    def _set_unreadable(self, resource: str, namespace: str, odd: Iterable[Unreadable]) -> None:
        kept = [
            item
            for item in self._world.unreadable
            if item.resource != resource or namespace not in (EVERYWHERE, item.namespace)
        ]
        self._world.unreadable = [*kept, *odd]

    def _forget_unreadable(self, resource: str, namespace: str, name: str) -> None:
        self._world.unreadable = [
            item
            for item in self._world.unreadable
            if (item.resource, item.namespace, item.name) != (resource, namespace, name)
        ]

    def _take_answer(self, answer: Answered) -> None:
        self._world.learn(answer.namespace, answer.said)
        now = datetime.now(UTC)
        for attempt in answer.said.attempts:
            self._log.append(LogEntry("probe", attempt.command, attempt.outcome, attempt.seconds, now))
        if not answer.said.attempts:
            outcome = answer.said.unavailable or "answered"
            command = f"kubectl -n {answer.namespace} exec POD -- getent ahosts NAME"
            self._log.append(LogEntry("probe", command, outcome, answer.seconds, now))
        if self._schedule:
            self._schedule.done(answer.namespace, answer.said)

    def _take_sockets(self, seen: Sockets) -> None:
        self._world.see(seen)
        outcome = seen.unavailable or f"{len(seen.listeners)} ports listened on"
        self._log.append(LogEntry("probe", seen.command, outcome, seen.seconds, datetime.now(UTC)))
        if self._schedule:
            self._schedule.looked(seen)

    def _take_connections(self, said: Connections) -> None:
        self._world.connections = said
        self._log_connections(said)
        if self._schedule:
            self._schedule.connected(said)

    def _take_tried(self, tried: Tried) -> None:
        self._log_connections(tried.said)
        if self._schedule:
            self._world.trials = self._schedule.heard(self._world.trials or Trials(), tried)

    def _log_connections(self, said: Connections) -> None:
        outcome = said.unavailable or f"{sum(one.is_open for one in said.tried)} of {len(said.tried)} connections open"
        first = next(((one.address, one.port) for one in said.tried), ("ADDRESS", 80))
        self._log.append(LogEntry("probe", said.command(*first), outcome, said.seconds, datetime.now(UTC)))

    # --- streams

    def _open_scope(self) -> None:
        kinds = [kind for kind in kinds_read() if kind in AT_ONCE]
        middle = [kind for kind in kinds if kind not in FIRST + LAST]
        ordered = [kind for kind in FIRST if kind in kinds] + middle + [kind for kind in LAST if kind in kinds]
        for kind in ordered:
            narrow = kind in CORE and RESOURCES[kind].namespaced
            self._open(kind, self._scope.namespace if narrow else EVERYWHERE)

    def _open(self, resource: str, namespace: str) -> None:
        if (resource, namespace) in self._streams:
            return
        if len(self._streams) >= MOST_STREAMS:
            self._world.miss(Gap("list", resource, RESOURCES[resource].group, namespace, "not-read"))
            return
        stream = Reflector(
            self._cluster, RESOURCES[resource], namespace, self._messages.put, self._turns, self._timing.pace
        )
        self._streams[resource, namespace] = stream
        stream.start()

    def _open_by_namespace(self) -> None:
        """What may not be listed everywhere, in each namespace we know of: all we may list, or the context's own."""
        if self._scope.namespace != EVERYWHERE:
            return
        try:
            namespaces = list(self._world.listed("namespaces"))
        except NotRead as missing:
            if missing.gap is None:
                return  # about to be read
            namespaces = []
        own = self._cluster.namespace
        for namespace in [own, *(namespace for namespace in namespaces if namespace != own)]:
            for resource in sorted(self._forbidden):
                self._open(resource, namespace)

    def _close_narrower(self, resource: str) -> None:
        """Streams of single namespaces, now that one brings all of them: two would undo each other's changes."""
        for key in [key for key in self._streams if key[0] == resource and key[1] != EVERYWHERE]:
            self._streams.pop(key).stop()

    def _follow_wants(self) -> None:
        wants = self._doctor.wants | (self._schedule.wants if self._schedule else frozenset())
        if self._schedule:
            with self._lock:
                self._schedule.look(self._world, [want for want in wants if want.resource == "sockets"])
                self._schedule.try_services(self._world, wants)
        for want in sorted(wants):
            if want.resource not in RESOURCES:
                continue  # lookups and looks, which have a schedule
            whole = self._streams.get((want.resource, EVERYWHERE))
            if whole is None or want.resource in self._forbidden:
                everywhere = self._scope.namespace == EVERYWHERE and want.resource not in self._forbidden
                with self._lock:
                    self._open(want.resource, EVERYWHERE if everywhere else want.namespace)

    # --- judging

    def _let_time_pass(self) -> None:
        now = time.monotonic()
        if now - self._judged >= self._timing.judge:
            self._world.now = self._cluster.now()
            self._judged = now
            self._news = True
        else:
            self._world.wait_until(self._cluster.now())
        for key, stream in self._streams.items():
            state = stream.state
            broken = (datetime.now(UTC) - state.since).total_seconds() if state.state == BROKEN else 0.0
            if broken >= self._timing.lost and key not in self._lost and self._world.was_read(*key):
                self._lost.add(key)
                self._world.lose(Gap("watch", *_place(stream), state.reason, state.message))
                self._news = True
        if self._schedule:
            self._schedule.run_due(self._world, now)
            self._schedule.connect_if_due(self._world, now)

    def _judge(self) -> None:
        now = time.monotonic()
        for rested in [asker for asker, ends in self._rests.items() if ends <= now]:
            del self._rests[rested]
        if self._doctor.is_done:
            return
        ends = time.monotonic() + self._timing.slice
        pieces = self._doctor.work()
        while not self._stopping.is_set():
            with self._lock:
                asker: Asker | None = next(pieces, None)
            if asker is None:
                return
            if asker[0] in ("service", "client") and self._timing.rest:
                self._rests[asker] = time.monotonic() + self._timing.rest
            self._news = True
            if time.monotonic() >= ends:
                return
            time.sleep(0)  # the screen's thread may want its turn

    def _post_news(self) -> None:
        now = time.monotonic()
        if not self._news or now - self._posted < self._timing.update or self._stopping.is_set():
            return
        self._news, self._posted = False, now
        streams = tuple(stream.state for stream in self._streams.values())
        self._post(
            Update(
                self._doctor.diagnosis(),
                self._doctor.take_changed(),
                self._doctor.checking,
                streams,
                tuple(self._log),
                is_whole=self._doctor.is_done and not self._doctor.put_off and not self._doctor.wants,
                judged=self._doctor.judged,
            )
        )


def share_with_neighbour(item: Any, held: Mapping[str, Any]) -> None:
    """As in a list (sharing.py): what is said as it was before, or as the neighbour by name says it, is held once.

    Else every rollout would leave its Pods larger than they were when they were listed.
    """
    name = item.metadata.name
    like = name if name in held else max((other for other in held if other < name), default="")
    if like:
        share(held[like], item)


def _place(stream: Reflector) -> tuple[str, str, str]:
    return stream.resource.name, stream.resource.group, stream.namespace


def event_lines(world: World, namespace: str, name: str, service: ServiceDiagnosis | None) -> list[str]:
    """Events about a Service and the Pods behind it, oldest first, a line each."""
    pods = dict.fromkeys(row.pod for row in service.endpoints if row.pod) if service else {}
    about = [("Service", name), *(("Pod", pod) for pod in pods)]
    try:
        found = [event for key in about for event in world.found(EVENTS_BY_OBJECT, namespace, key)]
    except NotRead as missing:
        return [printable(str(missing))]
    lines = []
    for event in sorted(found, key=last_seen):
        about_what = f"{event.involved_object.kind.lower()}/{event.involved_object.name}"
        lines.append(printable(f"{last_seen(event)}  {event.type}  {event.reason}  {about_what}  {event.message}"))
    return lines


class Replayed:
    """Recorded Worlds, one after the other and from the start again: the same to its owner as Live."""

    def __init__(
        self, worlds: Sequence[World], scope: Scope, *, post: Callable[[Update], None], seconds: float = 4.0
    ) -> None:
        """Each is shown for `seconds`; a single one stays."""
        self._worlds = worlds
        self._scope = scope
        self._post = post
        self._seconds = seconds
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._plays = True
        self._is_over = len(worlds) == 1
        self._place = 0
        self._diagnoses: dict[int, Diagnosis] = {}
        self._shown: dict[Name, ServiceDiagnosis] = {}

    @property
    def _world(self) -> World:
        return self._worlds[self._place]

    def start(self) -> None:
        threading.Thread(target=self._run, name="replay", daemon=True).start()

    def stop(self) -> None:
        self._orders.put(lambda: setattr(self, "_is_over", True))

    def run_again(self, names: Collection[Name] | None = None) -> None:
        """What was recorded stays as it was."""

    def pause(self) -> None:
        self._orders.put(lambda: setattr(self, "_plays", False))

    def resume(self) -> None:
        self._orders.put(lambda: setattr(self, "_plays", True))

    def step(self, by: int) -> None:
        """So many moments on, or back; from the last one to the first. Nothing plays after that until resume()."""
        self.pause()
        self._orders.put(lambda: self._show(self._place + by))

    @property
    def moments(self) -> int:
        return len(self._worlds)

    def record(self) -> bytes:
        return recorded(self._world, self._scope)

    def namespaces(self) -> list[str]:
        return [item.metadata.name for item in self._world.held("namespaces")]

    def labels(self, namespace: str, name: str) -> Mapping[str, str]:
        found = (item for item in self._world.held("services", namespace) if item.metadata.name == name)
        return next((item.metadata.labels or {} for item in found), {})

    def events(self, namespace: str, name: str) -> list[str]:
        return event_lines(self._world, namespace, name, self._shown.get((namespace, name)))

    def _run(self) -> None:
        self._show(0)
        while not self._is_over:
            try:
                order = self._orders.get(timeout=self._seconds if self._plays else None)
            except queue.Empty:
                self._show(self._place + 1)
            else:
                order()

    def _show(self, place: int) -> None:
        self._place = place % len(self._worlds)
        world, before = self._world, self._shown
        if self._place not in self._diagnoses:
            self._diagnoses[self._place] = diagnose_recorded(world, self._scope)
        diagnosis = keeping(self._diagnoses[self._place], before)
        self._shown = services = {(entry.namespace, entry.name): entry for entry in diagnosis.services}
        changed = {name for name in before.keys() | services.keys() if before.get(name) is not services.get(name)}
        streams = tuple(
            StreamState(kind, EVERYWHERE, WATCHING, world.now, "a recording", world.now)
            for kind in kinds_read()
            if world.was_read(kind, EVERYWHERE)
        )
        moment = (self._place + 1, len(self._worlds))
        self._post(Update(diagnosis, frozenset(changed), frozenset(), streams, _probes(world), moment))


def _probes(world: World) -> tuple[LogEntry, ...]:
    return tuple(
        LogEntry("probe", attempt.command, attempt.outcome, attempt.seconds, world.now)
        for said in (world.lookups or {}).values()
        for attempt in said.attempts
    )
