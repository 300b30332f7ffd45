"""Objects of a kind by something that they say themselves, kept up to date object by object."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Any, NamedTuple


class Index(NamedTuple):
    """The keys of an object follow from it alone."""

    name: str
    resource: str
    keys: Callable[[Any], Iterable[Hashable]]


def those(name: str, resource: str, holds: Callable[[Any], object]) -> Index:
    """The objects of a kind of which something holds, under the key True."""
    return Index(name, resource, lambda item: (True,) if holds(item) else ())


class Buckets:
    """The objects of one namespace, or of all, by the keys of an index.

    Most keys of a large cluster are those of one object: it stands under its key itself, several in a dict by their
    names, which in a namespace are words that are there anyway. Over another (`under`) these are what differs from it,
    so that to try a change costs no copy.
    """

    __slots__ = ("_buckets", "_keys", "_name", "_under")

    def __init__(
        self, index: Index, items: Iterable[Any] = (), *, of_all: bool = False, under: Buckets | None = None
    ) -> None:
        self._keys = index.keys
        self._name: Callable[[Any], Any] = under._name if under else _place if of_all else _name
        self._under = under
        self._buckets: dict[Hashable, Any] = {}
        for item in items:
            for key in set(index.keys(item)):
                self._put(key, item)

    def set(self, before: Any | None, after: Any | None) -> tuple[set[Hashable], bool]:
        """One object is another now: the keys whose objects changed by it, and whether there are other keys than
        before."""
        old = set(self._keys(before)) if before is not None else set()
        new = set(self._keys(after)) if after is not None else set()
        others = False
        for key in old - new:
            self._drop(key, self._name(before))
            others = others or not self._held(key)
        for key in new:
            others = others or not self._held(key)
            self._put(key, after)
        return old | new, others

    def keys(self) -> Collection[Hashable]:
        if self._under is None:
            return self._buckets.keys()
        return {key for key in {*self._under.keys(), *self._buckets} if self._held(key)}

    def size(self, key: Hashable) -> int:
        found = self._held(key)
        return len(found) if type(found) is dict else found is not None

    def get(self, key: Hashable) -> list[Any]:
        """By namespace and name."""
        found = self._held(key)
        if type(found) is dict:
            return [found[name] for name in sorted(found)]
        return [] if found is None else [found]

    def _held(self, key: Hashable) -> Any:
        """The object, or a dict of some, or of none; None."""
        if self._under is None or key in self._buckets:
            return self._buckets.get(key)
        return self._under._held(key)

    def _put(self, key: Hashable, item: Any) -> None:
        found = self._held(key)
        if type(found) is dict:
            self._own(key, found)[self._name(item)] = item
        elif found is None or self._name(found) == self._name(item):
            self._buckets[key] = item
        else:
            self._buckets[key] = {self._name(found): found, self._name(item): item}

    def _drop(self, key: Hashable, name: Any) -> None:
        found = self._held(key)
        if type(found) is dict:
            found = self._own(key, found)
            del found[name]
            if len(found) == 1:
                self._buckets[key] = next(iter(found.values()))
        elif self._under is None:
            del self._buckets[key]
        else:
            self._buckets[key] = {}

    def _own(self, key: Hashable, found: dict[Any, Any]) -> dict[Any, Any]:
        """The dict under this key, where it is another's a copy of it."""
        if self._under is not None and key not in self._buckets:
            found = self._buckets[key] = dict(found)
        return found


def _name(item: Any) -> str:
    return str(item.metadata.name)


def _place(item: Any) -> tuple[str, str]:
    return item.metadata.namespace, item.metadata.name
