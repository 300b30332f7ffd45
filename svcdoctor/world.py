"""Every object we hold, indexed, and every read that was refused or failed.

A World is filled by collect.py, live.py or a recording, and asked by Cases. Asking for a kind that was never read, or
whose read was refused, raises NotRead: so no check can take "not seen" for "not there". What was asked for and never
tried is how collect.py learns what to read next.

A World that is followed (live) notes who asks what, and tells from each change whose answers it may alter: reads.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from svcdoctor.clients.connection import Connections, Trials
from svcdoctor.finding import Gap, Unreadable
from svcdoctor.indexes import Buckets, Index
from svcdoctor.names.lookup import Lookups
from svcdoctor.objects import RESOURCES, CronJob, JobTemplateSpec, Pod, PodSpec, Service, Workload
from svcdoctor.pods.sockets import Sockets, started_last
from svcdoctor.reads import Question, Reads
from svcdoctor.sharing import share
from svcdoctor.text import is_word, parse_time, printable

EVERYWHERE = ""  # the scope of a read over all namespaces, and of kinds that have none
T = TypeVar("T")
_OF_TIME = ("now", "clock", "younger")


class Want(NamedTuple):
    """A list that somebody asked for and nobody has tried to read; of `sockets` the Pod, as NAMESPACE/POD."""

    resource: str
    namespace: str


class NotRead(Exception):
    """The answer needs objects that are not here. `gap` says why; None: nobody has tried to read them yet."""

    def __init__(self, resource: str, namespace: str, gap: Gap | None, more: Iterable[Want] = ()) -> None:
        super().__init__(f"{resource} in {namespace or 'all namespaces'}: {gap.reason if gap else 'not read'}")
        self.resource = resource
        self.namespace = namespace
        self.gap = gap
        self.more = frozenset(more)  # what the same question is about to need

    @property
    def wants(self) -> set[Want]:
        """What has to be read for an answer; nothing where it was tried in vain."""
        return set() if self.gap else {Want(self.resource, self.namespace), *self.more}


class World:
    def __init__(self, *, context: str = "", now: datetime | None = None) -> None:
        self.context = context
        self._unreadable: list[Unreadable] = []
        self.odd_names: frozenset[str] = frozenset()
        """Names of objects, namespaces and containers that no API server gives out, as they are shown: those of a
        hand-made recording."""
        self.changes = 0  # how often something else than the time was another, while it is followed
        self._now = now or datetime.now(UTC)
        self._gaps: dict[tuple[str, str], Gap] = {}
        self._lookups: dict[str, Lookups] | None = None
        # Whether namespaces that nobody has asked yet will be: then no answer is not the same as none to be had.
        self.expects_lookups = False
        self._sockets: dict[tuple[str, str], Sockets] | None = None
        self._connections: Connections | None = None
        self._trials: Trials | None = None
        self._under: World | None = None  # what this one is a fork of
        self._laid: dict[tuple[str, str], list[tuple[Any | None, Any | None]]] = {}  # over it: before and after
        self._altered: set[Question] = set()  # whose answers that alters
        self._objects: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._unsorted: set[tuple[str, str]] = set()
        self._scopes: dict[str, set[str]] = defaultdict(set)
        self._indexes: dict[tuple[str, str], dict[Index, Buckets]] = defaultdict(dict)
        self._derived: dict[object, Any] = {}
        self._deadlines: dict[Question, datetime] = {}
        self.news: set[str] = set()  # the kinds of which something has come since somebody emptied this
        self._kinds: list[set[str]] = [set()]  # that were asked about, by those at work, the innermost last
        self._reads: Reads | None = None
        # Where questions are noted; of a fork, with those who follow the World that it is a fork of.
        self._noting: Reads | None = None

    # --- filling it

    def put(self, resource: str, namespace: str, items: Iterable[Any]) -> None:
        """The complete list of a kind in one namespace, or in all (EVERYWHERE)."""
        tables: dict[str, dict[str, Any]] = defaultdict(dict)
        for item in items:
            tables[item.metadata.namespace][item.metadata.name] = item
        held = self._objects[resource]
        replaced = set(held) | set(tables) if namespace == EVERYWHERE else {namespace}
        if self._reads and self.was_read(resource, namespace) and (resource, namespace) not in self._gaps:
            for place in replaced:
                before, after = held.get(place, {}), tables[place]
                for name in (*before, *(name for name in after if name not in before)):
                    self._set(resource, place, name, after.get(name))
            return
        self._indexes.pop((resource, EVERYWHERE), None)
        for place in replaced:
            held.pop(place, None)
            self._indexes.pop((resource, place), None)
            if tables[place]:
                held[place] = tables[place]
                self._unsorted.add((resource, place))
        self._scopes[resource].add(namespace)
        closed = [key for key in self._gaps if key[0] == resource and namespace in (key[1], EVERYWHERE)]
        for key in closed:
            del self._gaps[key]
        self._changed(("scope", resource), ("gaps",))

    def apply(self, resource: str, kind: str, item: Any) -> None:
        """One event of a watch: ADDED, MODIFIED or DELETED."""
        metadata = item.metadata
        self._set(resource, metadata.namespace, metadata.name, None if kind == "DELETED" else item)

    def drop(self, resource: str, namespace: str, name: str) -> None:
        """An object that is gone, or cannot be read any more."""
        self._set(resource, namespace, name, None)

    def miss(self, gap: Gap) -> None:
        """A read that brought nothing."""
        if self._gaps.get((gap.resource, gap.namespace)) != gap:
            self._gaps[gap.resource, gap.namespace] = gap
            self._changed(("scope", gap.resource), ("gaps",))

    def lose(self, gap: Gap) -> None:
        """What is held of a kind is too old to be judged by. It stays here, out of sight, until it is found again."""
        self._scopes[gap.resource].discard(gap.namespace)
        self._indexes.pop((gap.resource, EVERYWHERE), None)
        self.miss(gap)

    def find(self, resource: str, namespace: str) -> None:
        """What was lost is up to date again."""
        self._scopes[resource].add(namespace)
        self._indexes.pop((resource, EVERYWHERE), None)
        self._gaps.pop((resource, namespace), None)
        self._changed(("scope", resource), ("gaps",))

    def forget(self, resource: str) -> None:
        """Everything held of a kind, and that it was ever read."""
        self._indexes.pop((resource, EVERYWHERE), None)
        for place in self._objects.pop(resource, {}):
            self._indexes.pop((resource, place), None)
        self._scopes.pop(resource, None)
        self._changed(("scope", resource))

    def _set(self, resource: str, namespace: str, name: str, item: Any | None) -> None:
        """Hold this object, or None: no longer; and tell whose answers that alters."""
        tables = self._objects[resource]
        table = tables.get(namespace)
        if table is None:
            table = tables[namespace] = {}
        before = table.get(name)
        if item is not None:
            if self._reads and before is not None:
                share(before, item)
            table[name] = item
        elif before is not None:
            del table[name]
        if before is None and item is None:
            return
        if not table:
            del tables[namespace]
        if before is None:
            self._unsorted.add((resource, namespace))
        same = before is not None and item is not None and _says_the_same(before, item)
        questions: list[Question] = []
        for place in self._seen_from(resource, namespace):
            for index, buckets in self._indexes.get((resource, place), {}).items():
                keys, others = buckets.set(before, item)
                questions += [("found", index.name, place, key) for key in keys]
                if others:
                    questions.append(("keys", index.name, place))
        if same:
            return
        questions += (("object", resource, namespace, name), ("table", resource, namespace), ("everywhere", resource))
        if before is None or item is None:
            questions += (("exists", resource, namespace, name), ("names", resource, namespace))
            if namespace:
                questions.append(("names", resource, EVERYWHERE))
            if len(table) == (1 if before is None else 0):
                questions += (("some", resource, namespace), ("namespaces", resource))
        self._changed(*questions)

    def fork(self, changes: Iterable[tuple[str, str, str, Any | None]]) -> World:
        """This World with some objects replaced or gone (None): (resource, namespace, name, object). It is not followed
        itself; who asks it asks this one. It is to be asked before this one changes, and takes no lists of its own.

        What it costs follows from what is laid over: all else, and what was worked out from it, is this World's.
        """
        other = World(context=self.context, now=self._now)
        other._under = self
        other._altered = set(self._altered)
        other._unreadable = self._unreadable
        other.odd_names = self.odd_names
        other._gaps, other._scopes, other._deadlines = dict(self._gaps), self._scopes, self._deadlines
        other._lookups, other.expects_lookups = self._lookups, self.expects_lookups
        other._sockets = self._sockets
        other._connections, other._trials = self._connections, self._trials
        other._noting = self._noting
        other._kinds = self._kinds
        other._unsorted = set(self._unsorted)
        other._objects = defaultdict(dict, self._objects)
        for resource, namespace, name, item in changes:
            other._lay(self, resource, namespace, name, item)
        return other

    def _lay(self, under: World, resource: str, namespace: str, name: str, item: Any | None) -> None:
        theirs = under._objects[resource]
        if self._objects[resource] is theirs:
            self._objects[resource] = dict(theirs)
        mine = self._objects[resource]
        if namespace in theirs and mine.get(namespace) is theirs[namespace]:
            mine[namespace] = dict(theirs[namespace])
        before = mine.get(namespace, {}).get(name)
        for place in self._seen_from(resource, namespace):
            if (resource, place) not in self._indexes:
                known = under._known_indexes(resource, place)
                self._indexes[resource, place] = {index: Buckets(index, under=known[index]) for index in known}
            self._laid.setdefault((resource, place), []).append((before, item))
        self._set(resource, namespace, name, item)

    def _seen_from(self, resource: str, namespace: str) -> list[str]:
        """The scopes of indexes that hold the objects of a namespace."""
        return [namespace, *([EVERYWHERE] if namespace and self._is_in_sight(resource, namespace) else [])]

    def _known_indexes(self, resource: str, place: str) -> dict[Index, Buckets]:
        if self._under is not None and (resource, place) not in self._indexes:
            return self._under._known_indexes(resource, place)
        return self._indexes[resource, place]

    def _index(self, index: Index, place: str) -> Buckets:
        """An index of a namespace or of all that are in sight."""
        scope = (index.resource, place)
        if self._under is not None and scope not in self._laid:
            return self._under._index(index, place)
        indexes = self._indexes[scope]
        if index not in indexes:
            if self._under is None:
                items = self._in_sight(index.resource) if place == EVERYWHERE else self._table(*scope).values()
                indexes[index] = Buckets(index, items, of_all=place == EVERYWHERE)
            else:
                indexes[index] = buckets = Buckets(index, under=self._under._index(index, place))
                for before, after in self._laid[scope]:
                    buckets.set(before, after)
        return indexes[index]

    # --- asking it

    def was_read(self, resource: str, namespace: str) -> bool:
        self._kinds[-1].add(resource)
        if self._noting:
            self._note(_scope(resource))
        return self._is_in_sight(resource, namespace)

    def _is_in_sight(self, resource: str, namespace: str) -> bool:
        scopes = self._scopes[resource]
        return EVERYWHERE in scopes or namespace in scopes

    def is_answered(self, resource: str, namespace: str) -> bool:
        """Whether a list was read, or a reason is known why not; or, of what is looked at, whether somebody looked."""
        if resource == "lookups":
            return namespace in (self._lookups or {})
        if resource == "connections":
            return self._trials is not None and namespace in self._trials.client_of
        if resource == "sockets":
            place, _, pod = namespace.partition("/")
            return (place, pod) in (self._sockets or {})
        return self.was_read(resource, namespace) or self._gap(resource, namespace) is not None

    def must_be_read(self, resource: str, namespace: str) -> None:
        """Raises NotRead where a list was not read."""
        self._kinds[-1].add(resource)
        if self._noting:
            self._note(_scope(resource))
        scopes = self._scopes[resource]
        if EVERYWHERE not in scopes and namespace not in scopes:
            raise NotRead(resource, namespace, self._gap(resource, namespace))

    def _gap(self, resource: str, namespace: str) -> Gap | None:
        # A refusal for the whole cluster says nothing of one namespace: that one is asked for on its own. A watch that
        # was lost was one of all namespaces.
        everywhere = self._gaps.get((resource, EVERYWHERE))
        return everywhere if everywhere and everywhere.verb == "watch" else self._gaps.get((resource, namespace))

    def listed(self, resource: str, namespace: str = EVERYWHERE) -> Mapping[str, Any]:
        """The objects of a namespaced kind in one namespace, or of a cluster-wide kind, by name and in its order."""
        self.must_be_read(resource, namespace)
        table = self._table(resource, namespace)
        return _Noted(table, self._noting, resource, namespace) if self._noting else table

    def listed_or_nothing(self, resource: str, namespace: str = EVERYWHERE) -> Mapping[str, Any]:
        """The same for who looks for an object that was named: a kind that was not read holds none."""
        return self.listed(resource, namespace) if self.was_read(resource, namespace) else {}

    def found(self, index: Index, namespace: str, *keys: Hashable) -> list[Any]:
        """The objects of a namespace that have one of these keys in an index: the one that the fewest have; by name."""
        self.must_be_read(index.resource, namespace)
        buckets = self._index(index, namespace)
        rarest = min(keys, key=buckets.size) if len(keys) > 1 else keys[0]
        if self._noting:
            self._note(("found", index.name, namespace, rarest))
        return buckets.get(rarest)

    def found_in_sight(self, index: Index, key: Hashable) -> list[Any]:
        """The objects that have this key in an index, of all namespaces that were read: others are not asked for."""
        buckets = self._index(index, EVERYWHERE)
        self._kinds[-1].add(index.resource)
        if self._noting:
            self._note(_scope(index.resource), ("found", index.name, EVERYWHERE, key))
        return buckets.get(key)

    def keys_in_sight(self, index: Index) -> Collection[Any]:
        """The keys that some object has, of all namespaces that were read."""
        self._kinds[-1].add(index.resource)
        self._note(_scope(index.resource), ("keys", index.name, EVERYWHERE))
        return self._index(index, EVERYWHERE).keys()

    def everywhere(self, resource: str) -> tuple[list[Any], bool]:
        """All objects of a namespaced kind that we may see, in order, and whether that is all there are."""
        complete = self.sees_all(resource)
        self._note(("everywhere", resource))
        return self._in_sight(resource), complete

    def namespaces_of(self, resource: str) -> tuple[list[str], bool]:
        """The namespaces in which we see an object of the kind, and whether these are all."""
        complete = self.sees_all(resource)
        self._note(("namespaces", resource))
        return self._places(resource), complete

    def kinds(self) -> list[str]:
        """The kinds of which something was read, if only that there are none."""
        return [name for name in RESOURCES if self._scopes[name]]

    def kept(self, resource: str, namespace: str, name: str) -> Any | None:
        """One object, even where its kind is lost."""
        self._kinds[-1].add(resource)
        self._note(_scope(resource), ("object", resource, namespace, name))
        return self._objects[resource].get(namespace, {}).get(name)

    def held(self, resource: str, namespace: str = EVERYWHERE, *, which: bool = False) -> list[Any]:
        """What we hold of a kind, even where it is lost. With `which` the answer is another only when there are others,
        not when one of them says something else."""
        self._kinds[-1].add(resource)
        self._note(_scope(resource), ("names", resource, namespace) if which else ("everywhere", resource))
        places = sorted(self._objects[resource]) if namespace == EVERYWHERE else [namespace]
        return [item for place in places for item in self._table(resource, place).values()]

    def sees_all(self, resource: str) -> bool:
        """Whether a kind was read everywhere, or only where it may be. Raises NotRead where nobody has tried."""
        self._kinds[-1].add(resource)
        self._note(_scope(resource))
        complete = EVERYWHERE in self._scopes[resource]
        if not complete and (resource, EVERYWHERE) not in self._gaps:
            raise NotRead(resource, EVERYWHERE, None)
        return complete

    def _in_sight(self, resource: str) -> list[Any]:
        return [item for place in self._places(resource) for item in self._table(resource, place).values()]

    def _places(self, resource: str) -> list[str]:
        scopes = self._scopes[resource]
        return sorted(place for place in self._objects[resource] if EVERYWHERE in scopes or place in scopes)

    def _table(self, resource: str, namespace: str) -> dict[str, Any]:
        """In the order of names, whatever came last: what is read from it does not depend on what came when."""
        table = self._objects[resource].get(namespace, {})
        if (resource, namespace) in self._unsorted:
            self._unsorted.discard((resource, namespace))
            names = list(table)
            ordered = sorted(names)
            if names != ordered:
                table = self._objects[resource][namespace] = {name: table[name] for name in ordered}
        return table

    @property
    def unreadable(self) -> list[Unreadable]:
        """Objects that did not decode and were left out of their lists."""
        self._kinds[-1].add("unreadable")
        self._note(("unreadable",))
        return self._unreadable

    @unreadable.setter
    def unreadable(self, items: list[Unreadable]) -> None:
        if items != self._unreadable:
            self._unreadable = items
            self._changed(("unreadable",))

    @property
    def gaps(self) -> Mapping[tuple[str, str], Gap]:
        self._kinds[-1].add("gaps")
        self._note(("gaps",))
        return self._gaps

    @property
    def lookups(self) -> Mapping[str, Lookups] | None:
        """What a Pod of each namespace was told by DNS, and, as NAMESPACE/POD, what that CoreDNS Pod says by itself.

        None where probes are off.
        """
        self._kinds[-1].add("lookups")
        self._note(_scope("lookups"))
        if self._lookups is None or self._noting is None:
            return self._lookups
        return _Noted(self._lookups, self._noting, "lookups", EVERYWHERE)

    @lookups.setter
    def lookups(self, said: Mapping[str, Lookups] | None) -> None:
        self._lookups = None if said is None else dict(said)
        self._changed(("scope", "lookups"))

    def look_at_sockets(self) -> None:
        """From now on who asks what a Pod listens on wants somebody to look."""
        self._sockets = self._sockets or {}
        self._changed(("scope", "sockets"))

    def see(self, sockets: Sockets) -> None:
        """What a Pod listens on."""
        self._sockets = self._sockets or {}
        place = (sockets.namespace, sockets.pod)
        before, self._sockets[place] = self._sockets.get(place), sockets
        if before is None or _told_of(before) != _told_of(sockets):
            self._changed(("object", "sockets", *place))

    def sockets_of(self, pod: Pod) -> Sockets | None:
        """What a Pod listens on; None where nobody looks. Raises NotRead where nobody has looked since it started."""
        place = (pod.metadata.namespace, pod.metadata.name)
        self._kinds[-1].update(("pods", "sockets"))
        self._note(_scope("sockets"), ("object", "sockets", *place))
        # A Pod that is only imagined has none to look at.
        real = self
        while real._under is not None:
            real = real._under
        is_real = real is self or real._objects["pods"].get(place[0], {}).get(place[1]) is pod
        if self._sockets is None or not is_real or ("sockets", "/".join(place)) in self._gaps:
            return None
        seen = self._sockets.get(place)
        if seen is None or seen.started != started_last(pod):
            raise NotRead("sockets", "/".join(place), None)
        return seen

    @property
    def connections(self) -> Connections | None:
        """What the client that a person named was answered when it connected; None where nobody named one."""
        self._kinds[-1].add("connections")
        self._note(("scope", "connections"))
        return self._connections

    @connections.setter
    def connections(self, said: Connections | None) -> None:
        self._connections = said
        self._changed(("scope", "connections"))

    @property
    def trials(self) -> Trials | None:
        """What the clients met that were chosen to try Services, where nobody named one; None where nobody tries."""
        return self._trials

    @trials.setter
    def trials(self, said: Trials | None) -> None:
        before, self._trials = self._trials, said
        if before is None or said is None:
            self._changed(("scope", "connections"))
        else:
            self._changed(*(("object", "connections", place) for place in said.other_than(before)))

    def connections_to(self, service: Service) -> Connections | None:
        """What the client that was chosen to try a Service met; None where nobody tries, or nobody could.

        Raises NotRead where nobody has tried yet.
        """
        place = f"{service.metadata.namespace}/{service.metadata.name}"
        self._kinds[-1].add("connections")
        self._note(("scope", "connections"), ("object", "connections", place))
        if self._trials is None or ("connections", place) in self._gaps:
            return None
        if place not in self._trials.client_of:
            raise NotRead("connections", place, None)
        return self._trials.met.get(self._trials.client_of[place])

    def learn(self, namespace: str, said: Lookups) -> None:
        """What a Pod of one namespace was told, instead of what it was told before."""
        if self._lookups is None:
            self.lookups = {}
        self._lookups = self._lookups or {}
        before = self._lookups.get(namespace)
        self._lookups[namespace] = said
        if before is None:
            self._lookups = dict(sorted(self._lookups.items()))
            if len(self._lookups) == 1:
                self._changed(("some", "lookups", EVERYWHERE))
            self._changed(("exists", "lookups", EVERYWHERE, namespace), ("names", "lookups", EVERYWHERE))
        if before != said:
            self._changed(("object", "lookups", EVERYWHERE, namespace), ("table", "lookups", EVERYWHERE))

    # --- time

    @property
    def now(self) -> datetime:
        self._note(("now",))
        return self._now

    @now.setter
    def now(self, moment: datetime) -> None:
        """Time passes for everyone who asked what time it is."""
        if moment < self._now:
            self._changed(("clock",))
        self._now = moment
        self._deadlines_passed()
        self._changed(("now",))

    @property
    def clock(self) -> datetime:
        """`now` for whoever may not need it: only what is subtracted from it counts as asking for the time."""
        if self._noting is None:
            return self._now
        clock = _Clock.combine(self._now.date(), self._now.timetz())
        clock.reads = self._noting
        return clock

    def wait_until(self, moment: datetime) -> None:
        """Time passes for those alone whose moment has come; what tells an age is as old as the last `now`."""
        self._now = max(self._now, moment)
        self._deadlines_passed()

    def next_deadline(self) -> datetime | None:
        """The first moment at which an answer changes by itself."""
        return min(self._deadlines.values(), default=None)

    def _deadlines_passed(self) -> None:
        passed = [question for question, ends in self._deadlines.items() if ends <= self._now]
        for question in passed:
            del self._deadlines[question]
        self._changed(*passed)

    def seconds_since(self, moment: str | None) -> float | None:
        """Seconds between an object's time and this World's, or None where the object has no such time."""
        parsed = parse_time(moment)
        return (self.now - parsed).total_seconds() if parsed else None

    def is_younger(self, moment: str | None, seconds: float) -> bool:
        """Whether less time than this has passed since; cheaper to follow than the time itself."""
        parsed = parse_time(moment)
        if parsed is None:
            return False
        ends = parsed + timedelta(seconds=seconds)
        if self._noting:
            question = ("younger", moment, seconds)
            self._note(question, ("clock",))
            if self._now < ends:
                self._deadlines[question] = ends
        return self._now < ends

    # --- what is worked out from it

    def derived(self, key: object, build: Callable[[], T]) -> T:
        """A value kept while nothing changes. In a World that is followed each asker works it out himself."""
        if self._reads:
            return build()
        if key not in self._derived:
            self._derived[key] = self._inherited(key) or self.asking_of(build)
        value, kinds = self._derived[key]
        self._kinds[-1] |= kinds
        return value  # type: ignore[no-any-return]

    def _inherited(self, key: Hashable) -> tuple[Any, set[str]] | None:
        """A value that the World below this fork has, with the kinds that it took: none where what is laid over it may
        alter it."""
        if self._under is None:
            return None
        if self._noting is None:
            kept = self._under._derived.get(key) or self._under._inherited(key)
            return kept if kept and kept[1].isdisjoint(self.news) else None
        return None if self._noting.is_worked_out_from(key, self._altered) else self._noting.kept(key)

    def asking_of(self, build: Callable[[], T]) -> tuple[T, set[str]]:
        """What a question has for an answer, and the kinds that it asked about: of others it does not depend."""
        self._kinds.append(set())
        try:
            return build(), self._kinds[-1]
        finally:
            kinds = self._kinds.pop()
            self._kinds[-1] |= kinds

    def shared(self, key: Hashable, build: Callable[[], T]) -> T:
        """The same, kept in a World that is followed too: `build` has to ask the World itself for all that it uses."""
        return self._reads.shared(key, build) if self._reads else self.derived(key, build)

    # --- following it

    def follow(self) -> Reads:
        """From now on note who asks what."""
        if self._reads is None:
            self._reads = self._noting = Reads()
            self._derived.clear()
        return self._reads

    def _note(self, *questions: Question) -> None:
        if self._noting:
            self._noting.note(*questions)

    def _changed(self, *questions: Question) -> None:
        # A question about a kind has it in the second place.
        told = (question for question in questions if question[0] not in _OF_TIME)
        self.news.update(str(question[1] if len(question) > 1 else question[0]) for question in told)
        self._derived.clear()
        if self._under is not None:
            self._altered.update(questions)
        if self._reads:
            self.changes += any(question[0] not in _OF_TIME for question in questions)
            self._reads.changed(questions)

    # --- recording and replay

    def record(self, **about: Any) -> bytes:
        """Everything a diagnosis reads, as JSON, and `about` beside it: replayed, it gives the same report."""
        objects = {
            name: {
                "scopes": sorted(self._scopes[name]),
                "items": [item for place in self._places(name) for item in self._table(name, place).values()],
            }
            for name in self.kinds()
        }
        recording = {
            "kind": "World",
            "apiVersion": "svcdoctor/v1",
            "context": self.context,
            "now": self._now,
            "gaps": sorted(self._gaps.values(), key=lambda gap: (gap.resource, gap.namespace)),
            "unreadable": self._unreadable,
            "lookups": self._lookups,
            "sockets": None if self._sockets is None else [self._sockets[place] for place in sorted(self._sockets)],
            "connections": self._connections,
            "trials": self._trials,
            "objects": objects,
            **about,
        }
        return msgspec.json.encode(recording, order="deterministic")

    @classmethod
    def replay(cls, recording: bytes) -> World:
        """The World that `record` wrote. Raises ValueError naming the place where the bytes are not one."""
        try:
            parts = msgspec.json.decode(recording, type=_Recording)
            world = cls(context=parts.context, now=parts.now)
            for name, table in parts.objects.items():
                resource = RESOURCES.get(name)
                if resource is None:
                    continue
                world.put(name, EVERYWHERE, msgspec.json.decode(table.items, type=list[resource.type]))  # type: ignore[name-defined]
                world._scopes[name] = set(table.scopes)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a recorded World: {error}") from error
        for gap in parts.gaps:
            world.miss(gap)
        world.unreadable = parts.unreadable
        world.lookups = parts.lookups
        world.connections, world.trials = parts.connections, parts.trials
        metadata = [item.metadata for name in world._objects for item in world.held(name)]
        names = {*(item.name for item in metadata), *(item.namespace for item in metadata)}
        names |= {owner.name for item in metadata for owner in item.owner_references or ()}
        names.update(*(_container_names(item) for name in world._objects for item in world.held(name)))
        # A workload is also known by what its ReplicaSets and Pods are called after it.
        names |= {name.rsplit("-", cut)[0] for name in names for cut in (1, 2)}
        names |= {gap.namespace for gap in parts.gaps} | set(parts.lookups or ())
        world.odd_names = frozenset(printable(name) for name in names if name and not is_word(name))
        if parts.sockets is not None:
            world._sockets = {(seen.namespace, seen.pod): seen for seen in parts.sockets}
        return world


def _container_names(item: Any) -> Iterator[str]:
    """Of a Pod, or of a workload's template."""
    if isinstance(item, CronJob):
        item = item.spec.job_template
    spec = item.spec.template.spec if isinstance(item, Workload | JobTemplateSpec) else getattr(item, "spec", None)
    if isinstance(spec, PodSpec):
        yield from (container.name for container in (*(spec.containers or ()), *(spec.init_containers or ())))


@cache
def _scope(resource: str) -> Question:
    """Every Service asks this of every kind: of thousands of equal questions one is kept."""
    return ("scope", resource)


def _told_of(sockets: Sockets) -> object:
    return sockets.listeners, sockets.started, sockets.unavailable


def _says_the_same(before: Any, after: Any) -> bool:
    """Whether two versions of an object differ in nothing that we read: a heartbeat, another manager's field."""
    metadata = replace(after.metadata, resource_version=before.metadata.resource_version)
    return bool(before == replace(after, metadata=metadata))


class _Clock(datetime):
    reads: Reads

    def __sub__(self, other: Any) -> Any:
        self.reads.note(("now",))
        return datetime.combine(self.date(), self.timetz()) - other


class _Noted(Mapping[str, Any]):
    """A table that notes what it is asked for: one object, whether there is one, which there are, or all of them."""

    def __init__(self, table: dict[str, Any], reads: Reads, resource: str, namespace: str) -> None:
        self._table = table
        self._reads = reads
        self._place = (resource, namespace)

    def __getitem__(self, name: str) -> Any:
        self._reads.note(("object", *self._place, name))
        return self._table[name]

    def get(self, name: str, default: Any = None) -> Any:
        self._reads.note(("object", *self._place, name))
        return self._table.get(name, default)

    def __contains__(self, name: object) -> bool:
        self._reads.note(("exists", *self._place, name))
        return name in self._table

    def __bool__(self) -> bool:
        self._reads.note(("some", *self._place))
        return bool(self._table)

    def __iter__(self) -> Iterator[str]:
        self._reads.note(("names", *self._place))
        return iter(self._table)

    def __len__(self) -> int:
        self._reads.note(("names", *self._place))
        return len(self._table)

    def values(self) -> Any:
        self._reads.note(("table", *self._place))
        return self._table.values()

    def items(self) -> Any:
        self._reads.note(("table", *self._place))
        return self._table.items()


class _RecordedTable(msgspec.Struct):
    scopes: list[str]
    items: msgspec.Raw


class _Recording(msgspec.Struct, rename="camel"):
    context: str
    now: Annotated[datetime, msgspec.Meta(tz=True)]
    objects: dict[str, _RecordedTable]
    gaps: list[Gap] = []
    unreadable: list[Unreadable] = []
    lookups: dict[str, Lookups] | None = None
    sockets: list[Sockets] | None = None
    connections: Connections | None = None
    trials: Trials | None = None
