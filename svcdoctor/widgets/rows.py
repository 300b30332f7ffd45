"""The order of the outline's entries, without a terminal: which are shown, and which row stands at each place.

Only entries are ordered and counted, so a change costs what it touches and one pass over the entries. The selected row
stays whatever the cluster does: also when what it is about has gone, until the person moves.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate, compress, groupby
from operator import attrgetter, is_not

from svcdoctor.finding import Diagnosis, ServiceDiagnosis, Status
from svcdoctor.text import parse_time
from svcdoctor.widgets.entries import (
    RANK,
    Entry,
    Key,
    NamespaceEntry,
    Notice,
    Row,
    ServiceEntry,
    ready_share,
    top_entries,
)
from svcdoctor.widgets.source import ServiceName, Stream

SORTS = ("status", "name", "namespace", "endpoints", "age", "changed")


class Rows:
    """All entries, those shown in their order, and the row that stands at each place."""

    def __init__(self) -> None:
        self.services: dict[ServiceName, ServiceEntry] = {}
        self.namespaces: dict[str, NamespaceEntry] = {}
        self.top: list[Entry] = []
        self.shown: list[Entry] = []
        self.ends: list[int] = []  # the number of rows up to and with each shown entry
        self.selected: Key | None = None
        self.sort = "status"
        self.reverse = False
        self.settled = False  # a person has moved: the order is theirs
        self.faults_only = False
        self.matches: Callable[[Entry], bool] | None = None
        self.label_width = 0
        self._ordered: list[ServiceEntry] = []
        self._namespace_rank: dict[str, tuple[object, ...]] = {}
        self._faults: set[ServiceName] = set()
        self._known_faults: set[ServiceName] = set()
        self._shape = 0  # another number whenever rows come, go, grow or may not be listed any more
        self._sequence = 0
        self._taken: tuple[ServiceDiagnosis, ...] = ()
        self._checking: frozenset[ServiceName] = frozenset()
        self.notices: list[Notice] = []
        self.new_faults = 0  # that came up since the order was made

    # --- what is there

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def row(self, index: int) -> Row | None:
        if not 0 <= index < len(self):
            return None
        place = bisect_right(self.ends, index)
        entry = self.shown[place]
        first = self.ends[place] - entry.height
        return entry.rows()[index - first]

    def entry_at(self, index: int) -> Entry | None:
        return self.shown[bisect_right(self.ends, index)] if 0 <= index < len(self) else None

    def entry_of(self, key: Key | None) -> Entry | None:
        if key is None:
            return None
        name = key.service
        if name:
            return self.services.get(name)
        if key.kind == "namespace":
            return self.namespaces.get(key.namespace)
        return next((entry for entry in self.top if entry.key == key), None)

    def index_of(self, key: Key | None) -> int | None:
        entry = self.entry_of(key)
        if key is None or entry is None or not self._is_shown(entry):
            return None
        first = self.ends[entry.place] - entry.height
        if key == entry.key:
            return first
        return next((first + offset for offset, row in enumerate(entry.rows()) if row.key == key), None)

    def _is_shown(self, entry: Entry) -> bool:
        return 0 <= entry.place < len(self.shown) and self.shown[entry.place] is entry

    # --- what the cluster does to it

    def update(self, diagnosis: Diagnosis, streams: Sequence[Stream], checking: AbstractSet[ServiceName]) -> None:
        """Takes a diagnosis in. The selected row stays, also when what it is about does not."""
        offset = self._offset_of_selection()
        arrived = False
        shape = self._shape
        # A Service that says what it said is the same object: most are passed over without a look.
        before, now = self._taken, diagnosis.services
        if len(now) == len(before):
            differing = list(compress(now, map(is_not, now, before)))
        else:
            known = set(map(id, before))  # which are alive, so that no number stands for another
            differing = [service for service in now if id(service) not in known]
        changed = {(service.namespace, service.name): service for service in differing}
        for name in self._checking ^ checking:
            if name not in changed and (entry := self.services.get(name)) and not entry.gone:
                changed[name] = entry.service
        newly = checking - self._checking if checking else checking
        self._taken, self._checking = now, frozenset(checking)
        for name, service in changed.items():
            arrived |= self._take(service, name in checking)
        seen = len(now)
        for name in newly:
            entry = self.services.get(name)
            if entry is None or entry.gone:
                placeholder = ServiceDiagnosis(*name, uid="", type="", status=Status.SKIP)
                arrived |= self._take(placeholder, True)
        kept = self.entry_of(self.selected)
        present = len(self.services) - (isinstance(kept, ServiceEntry) and kept.gone)
        if present > seen:
            names = {(service.namespace, service.name) for service in diagnosis.services} | set(checking)
            for name in [name for name, entry in self.services.items() if name not in names and not entry.gone]:
                self._lose(self.services[name])
                arrived = True
        self._take_top(top_entries(diagnosis, streams))
        self._keep_selected_row(offset)
        if not self.settled:
            entries = (self.services[name] for name in changed)
            if arrived or any(entry.rank != self._rank_of(entry) for entry in entries):
                self.rank()
                shape = -1
        elif arrived:
            self._order()
        if self.settled and self.sort == "status":
            self.new_faults = len(self._faults - self._known_faults)
        if arrived or shape != self._shape:
            self.lay_out()

    def _take(self, service: ServiceDiagnosis, checking: bool) -> bool:
        """Whether this Service is new here."""
        name = (service.namespace, service.name)
        entry = self.services.get(name)
        if entry is None:
            self._sequence += 1
            entry = self.services[name] = ServiceEntry(service, checking, self._sequence)
            entry.rank = self._rank_of(entry)
            header = self.namespaces.get(service.namespace)
            if header is None:
                header = self.namespaces[service.namespace] = NamespaceEntry(service.namespace)
                self._namespace_rank.setdefault(service.namespace, self._first_rank(entry, service.namespace))
            entry.order = (self._namespace_rank[service.namespace], entry.rank)
            header.gone = False
            header.counts[entry.status] += 1
            header.judge()
            self._note_fault(name, entry)
            return True
        if entry.service is service and entry.checking == checking and not entry.gone:
            return False
        looked = (entry.height, entry.gone)
        header = self.namespaces[service.namespace]
        if not entry.gone:
            header.counts[entry.status] -= 1
        if entry.service is not service:
            self._sequence += 1
            entry.sequence = self._sequence
        entry.gone = False
        entry.set(service, checking)
        header.counts[entry.status] += 1
        header.judge()
        self._note_fault(name, entry)
        if looked != (entry.height, False) or (self.is_filtered and self.passes(entry) is not self._is_shown(entry)):
            self._shape += 1
        return False

    def _note_fault(self, name: ServiceName, entry: ServiceEntry) -> None:
        if entry.status in (Status.FAIL, Status.WARN):
            self._faults.add(name)
        else:
            self._faults.discard(name)

    def _lose(self, entry: ServiceEntry) -> None:
        header = self.namespaces[entry.key.namespace]
        header.counts[entry.status] -= 1
        header.judge()
        selected = self.selected and self.selected.service
        if selected == (entry.key.namespace, entry.key.name):
            entry.gone = True
            entry.touch()
        else:
            self._drop(entry)

    def _drop(self, entry: ServiceEntry) -> None:
        name = (entry.key.namespace, entry.key.name)
        del self.services[name]
        self._faults.discard(name)
        self._known_faults.discard(name)
        header = self.namespaces[entry.key.namespace]
        if not header.counts.total() and not any(key[0] == name[0] for key in self.services):
            if self.selected == header.key:
                header.gone = True
            else:
                del self.namespaces[name[0]]

    def _take_top(self, entries: list[Entry]) -> None:
        notices = [
            Entry(Key("notice", "", notice.label), notice.status, notice, notice.words) for notice in self.notices
        ]
        entries = notices + entries
        selected = self.entry_of(self.selected)
        # A notice is about the data, not in it.
        kept = selected if selected and selected in self.top and not isinstance(selected.about, Notice) else None
        if kept and all(entry.key != kept.key for entry in entries):
            kept.gone = True
            entries.insert(min(self.top.index(kept), len(entries)), kept)
        same = len(entries) == len(self.top) and all(
            old is new or (old.rows() == new.rows() and old.about == new.about)
            for old, new in zip(self.top, entries, strict=True)
        )
        if not same:
            self.top = entries
            self._shape += 1

    def _offset_of_selection(self) -> tuple[int, Row] | None:
        """Where in its Service the selected row stands, before anything changes."""
        entry = self.entry_of(self.selected)
        if not isinstance(entry, ServiceEntry) or self.selected == entry.key:
            return None
        return next(((at, row) for at, row in enumerate(entry.rows()) if row.key == self.selected), None)

    def _keep_selected_row(self, offset: tuple[int, Row] | None) -> None:
        entry = self.entry_of(self.selected)
        if not isinstance(entry, ServiceEntry) or self.selected is None:
            return
        height = entry.height
        entry.ghost = None
        entry.touch()
        if offset and not entry.holds(self.selected):
            at, row = offset
            entry.ghost = (at, row._replace(gone=True, words="gone", more="", open=None))
            entry.touch()
        if entry.height != height:
            self._shape += 1

    def release(self, key: Key) -> bool:
        """The person moves to another row: what was kept for the last one goes. True when rows went."""
        last, self.selected = self.selected, key
        if last is None or last == key:
            return False
        entry = self.entry_of(last)
        if entry is None:
            return False
        changed = False
        if isinstance(entry, ServiceEntry):
            if entry.ghost:
                entry.ghost = None
                entry.touch()
                changed = True
            if entry.gone and key.service != last.service:
                self._drop(entry)
                self._order()
                changed = True
        elif entry.gone:
            if isinstance(entry, NamespaceEntry):
                del self.namespaces[entry.key.namespace]
            else:
                self.top.remove(entry)
            changed = True
        if not changed and key.service != last.service:
            changed = not self.passes(entry)
        if changed:
            self.lay_out()
        return changed

    # --- what the person does to it

    def toggle(self, key: Key) -> None:
        entry = self.entry_of(key)
        if isinstance(entry, ServiceEntry):
            entry.toggle(key)
            self._count()
        elif isinstance(entry, NamespaceEntry):
            entry.open = not entry.open
            self.lay_out()

    def parent_of(self, key: Key) -> Key | None:
        index = self.index_of(key)
        row = self.row(index) if index is not None else None
        while row and index:
            index -= 1
            above = self.row(index)
            if above and above.depth < row.depth:
                return above.key
        return None

    def open_faults(self) -> None:
        for entry in self.services.values():
            if entry.has_trouble and not entry.open:
                entry.open = True
                entry.touch()
            if entry.has_trouble and entry.key.namespace in self.namespaces:
                self.namespaces[entry.key.namespace].open = True
        self.lay_out()

    def close_all(self) -> None:
        for entry in self.services.values():
            if entry.open or entry.toggled:
                entry.open = False
                entry.toggled.clear()
                entry.ghost = None
                entry.touch()
        self._count()

    def next_fault(self, key: Key | None, step: int) -> Key | None:
        """The next entry with a fault in the order of the list, closed namespaces included; around the end."""
        entries = list(self._passing(every=True))
        if not entries:
            return None
        here = self.entry_of(key)
        start = entries.index(here) if here in entries else -1 if step > 0 else 0
        for distance in range(1, len(entries) + 1):
            entry = entries[(start + step * distance) % len(entries)]
            if entry.has_trouble:
                header = self.namespaces.get(entry.key.namespace)
                if header and entry.key.service and not header.open:
                    header.open = True
                    self.lay_out()
                return entry.key
        return None

    # --- order

    def rank(self) -> None:
        """Makes the order anew from how things stand; it holds until this is called again."""
        for entry in self.services.values():
            entry.rank = self._rank_of(entry)
        self._known_faults = set(self._faults)
        self.new_faults = 0
        first: dict[str, object] = {}
        for entry in self.services.values():
            namespace = entry.key.namespace
            if namespace not in first or entry.rank[0] < first[namespace]:  # type: ignore[operator]
                first[namespace] = entry.rank[0]
        alphabetical = self.sort in ("name", "namespace")
        self._namespace_rank = {
            namespace: (namespace,) if alphabetical else (value, namespace) for namespace, value in first.items()
        }
        for entry in self.services.values():
            entry.order = (self._namespace_rank[entry.key.namespace], entry.rank)
        self._order()

    def _rank_of(self, entry: ServiceEntry) -> tuple[object, ...]:
        name = entry.key.name
        if self.sort == "name":
            return (name,)
        if self.sort == "endpoints":
            return (ready_share(entry.service), name)
        if self.sort == "age":
            created = parse_time(entry.service.created)
            return (-created.timestamp() if created else 0.0, name)
        if self.sort == "changed":
            return (-entry.sequence, name)
        return (RANK[entry.status], name)

    def _first_rank(self, entry: ServiceEntry, namespace: str) -> tuple[object, ...]:
        return (namespace,) if self.sort in ("name", "namespace") else (entry.rank[0], namespace)

    def _order(self) -> None:
        self._ordered = sorted(self.services.values(), key=attrgetter("order"), reverse=self.reverse)
        flat = len(self.namespaces) < 2
        widest = max(map(len, {name for _, name in self.services}), default=0)
        prefix = len(next(iter(self.namespaces), "")) + 1 if flat else 0
        self.label_width = min(widest + prefix, 40)

    # --- layout

    @property
    def is_filtered(self) -> bool:
        return self.faults_only or self.matches is not None

    def passes(self, entry: Entry) -> bool:
        if self.faults_only and not entry.has_trouble:
            return False
        return self.matches is None or self.matches(entry)

    def _passing(self, every: bool = False) -> Iterator[Entry]:
        """The entries that are listed; `every` also those of closed namespaces, and no headers."""
        kept = self.entry_of(self.selected)
        filtered = self.is_filtered
        for entry in self.top:
            if not filtered or entry is kept or self.passes(entry):
                yield entry
        flat = len(self.namespaces) < 2
        for namespace, group in groupby(self._ordered, key=lambda entry: entry.key.namespace):
            header = self.namespaces[namespace]
            members: list[ServiceEntry] = list(group)
            if filtered:
                members = [entry for entry in members if entry is kept or self.passes(entry)]
            if not members and header is not kept:
                continue
            if not flat and not every:
                yield header
            if header.open or every or flat:
                yield from members
        if not every:
            yield from (header for header in self.namespaces.values() if header.gone and header is kept)

    def lay_out(self) -> None:
        """Which entries are shown, in which order, after a filter, an order or a set of Services has changed."""
        flat = len(self.namespaces) < 2
        for entry in self._ordered:
            if entry.flat is not flat:
                entry.flat = flat
                entry.touch()
        self.shown = list(self._passing())
        for place, shown in enumerate(self.shown):
            shown.place = place
        self._count()

    def _count(self) -> None:
        self.ends = list(accumulate(entry.height for entry in self.shown))
