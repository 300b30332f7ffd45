"""A Diagnosis in rounds: after each, what a check asked for is read, and only those who asked about it judge again.

What a part of the report asked about is kept by kind alone, which is cheap enough for a run that ends soon. doctor.py
keeps it by question, for Worlds that are followed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from svcdoctor.diagnosis import Outcome, Scope, diagnose
from svcdoctor.world import Want, World

T = TypeVar("T")


class _Kept(NamedTuple):
    about: object
    result: Any
    wants: set[Want]
    kinds: set[str]


class Rounds:
    """For one World and one scope."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept] = {}
        self._known: dict[frozenset[str], set[str]] = {}
        self.judged = 0  # parts, in all rounds

    def diagnose(self, world: World, scope: Scope) -> Outcome:
        """The report, as `diagnose` would give it of the World as it is now."""
        news, world.news = world.news, set()
        self._kept = {key: kept for key, kept in self._kept.items() if kept.kinds.isdisjoint(news)}
        return diagnose(world, scope, partial(self._part, world))

    def _part(self, world: World, key: Hashable, about: object, judge: Callable[[set[Want]], T], wants: set[Want]) -> T:
        kept = self._kept.get(key)
        if kept is None or kept.about is not about:
            self.judged += 1
            missing: set[Want] = set()
            result, kinds = world.asking_of(partial(judge, missing))
            # Most ask about the same kinds: one set serves them all.
            kept = _Kept(about, result, missing, self._known.setdefault(frozenset(kinds), kinds))
            self._kept[key] = kept
        wants |= kept.wants
        return kept.result  # type: ignore[no-any-return]
