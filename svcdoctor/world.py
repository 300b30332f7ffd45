"""Every object we hold, indexed, and every read that was refused or failed.

A World is filled by collect.py (or by a recording) and asked by Cases. Asking for a kind that was never read, or whose
read was refused, raises NotRead: so no check can take "not seen" for "not there". What was asked for and never tried
is how collect.py learns what to read next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from svcdoctor.finding import Gap, Unreadable
from svcdoctor.lookup import Lookups
from svcdoctor.objects import RESOURCES
from svcdoctor.text import parse_time

EVERYWHERE = ""  # the scope of a read over all namespaces, and of kinds that have none
T = TypeVar("T")


class NotRead(Exception):
    """The answer needs objects that are not here. `gap` says why; None: nobody has tried to read them yet."""

    def __init__(self, resource: str, namespace: str, gap: Gap | None) -> None:
        super().__init__(f"{resource} in {namespace or 'all namespaces'}: {gap.reason if gap else 'not read'}")
        self.resource = resource
        self.namespace = namespace
        self.gap = gap


class World:
    def __init__(self, *, context: str = "", now: datetime | None = None) -> None:
        self.context = context
        self.now = now or datetime.now(UTC)
        self.gaps: dict[tuple[str, str], Gap] = {}
        self.unreadable: list[Unreadable] = []
        # What a Pod of each namespace was told by DNS, asked by collect.py; None where probes are off.
        self.lookups: dict[str, Lookups] | None = None
        self._objects: dict[str, dict[str, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
        self._scopes: dict[str, set[str]] = defaultdict(set)
        self._derived: dict[object, Any] = {}

    # --- filling it

    def put(self, resource: str, namespace: str, items: Iterable[Any]) -> None:
        """The complete list of a kind in one namespace, or in all (EVERYWHERE)."""
        table = self._objects[resource]
        if namespace == EVERYWHERE:
            table.clear()
        else:
            table.pop(namespace, None)
        for item in items:
            table[item.metadata.namespace][item.metadata.name] = item
        self._scopes[resource].add(namespace)
        self.gaps.pop((resource, namespace), None)
        self._derived.clear()

    def miss(self, gap: Gap) -> None:
        """A read that brought nothing."""
        self.gaps[gap.resource, gap.namespace] = gap

    def forget(self, resource: str) -> None:
        """Everything held of a kind, and that it was ever read."""
        self._objects.pop(resource, None)
        self._scopes.pop(resource, None)
        self._derived.clear()

    # --- asking it

    def was_read(self, resource: str, namespace: str) -> bool:
        scopes = self._scopes[resource]
        return EVERYWHERE in scopes or namespace in scopes

    def listed(self, resource: str, namespace: str = EVERYWHERE) -> Mapping[str, Any]:
        """The objects of a namespaced kind in one namespace, or of a cluster-wide kind, by name."""
        if not self.was_read(resource, namespace):
            raise NotRead(resource, namespace, self._gap(resource, namespace))
        return self._objects[resource].get(namespace, {})

    def everywhere(self, resource: str) -> tuple[list[Any], bool]:
        """All objects of a namespaced kind that we may see, and whether that is all there are."""
        complete = EVERYWHERE in self._scopes[resource]
        if not complete and (resource, EVERYWHERE) not in self.gaps:
            raise NotRead(resource, EVERYWHERE, None)
        return [item for table in self._objects[resource].values() for item in table.values()], complete

    def _gap(self, resource: str, namespace: str) -> Gap | None:
        # A refusal for the whole cluster says nothing of one namespace: that one is asked for on its own.
        return self.gaps.get((resource, namespace))

    def seconds_since(self, moment: str | None) -> float | None:
        """Seconds between an object's time and this World's, or None where the object has no such time."""
        parsed = parse_time(moment)
        return (self.now - parsed).total_seconds() if parsed else None

    def derived(self, key: object, build: Callable[[], T]) -> T:
        """An index made once from what is held; forgotten when that changes."""
        if key not in self._derived:
            self._derived[key] = build()
        return self._derived[key]  # type: ignore[no-any-return]

    # --- recording and replay

    def record(self) -> bytes:
        """Everything a diagnosis reads, as JSON: replayed, it gives the same report."""
        objects = {
            name: {
                "scopes": sorted(self._scopes[name]),
                "items": [
                    item for _, table in sorted(self._objects[name].items()) for _, item in sorted(table.items())
                ],
            }
            for name in RESOURCES
            if self._scopes[name]
        }
        recording = {
            "kind": "World",
            "apiVersion": "svcdoctor/v1",
            "context": self.context,
            "now": self.now,
            "gaps": sorted(self.gaps.values(), key=lambda gap: (gap.resource, gap.namespace)),
            "unreadable": self.unreadable,
            "lookups": self.lookups,
            "objects": objects,
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
        return world


class _RecordedTable(msgspec.Struct):
    scopes: list[str]
    items: msgspec.Raw


class _Recording(msgspec.Struct, rename="camel"):
    context: str
    now: datetime
    objects: dict[str, _RecordedTable]
    gaps: list[Gap] = []
    unreadable: list[Unreadable] = []
    lookups: dict[str, Lookups] | None = None
