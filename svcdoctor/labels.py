"""Label selectors as kubectl's `-l` takes them: `app=cart,tier!=cache`, `env in (dev,test)`, `!legacy`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_KEY = r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_TERM = re.compile(
    rf"\s*(?:"
    rf"(?P<absent>!\s*{_KEY})"
    rf"|(?P<key>{_KEY})\s*(?:(?P<sign>==?|!=)\s*(?P<value>{_VALUE})"
    rf"|\s(?P<word>in|notin)\s*\(\s*(?P<values>{_VALUE}(?:\s*,\s*{_VALUE})*)\s*\))?"
    rf")\s*(?P<end>,|$)"
)


class Requirement(NamedTuple):
    """One term: whether the value of a key is among some (`wanted`), or is not; None is the value of an absent key."""

    key: str
    values: frozenset[str | None]
    wanted: bool = True

    def holds(self, labels: Mapping[str, str] | None) -> bool:
        return ((labels or {}).get(self.key) in self.values) is self.wanted


def parse(text: str) -> tuple[Requirement, ...]:
    """The terms of a selector, all of which must hold; ValueError says where it stops being one."""
    found: list[Requirement] = []
    place, more = 0, True
    while more:
        match = _TERM.match(text, place)
        if match is None:
            raise ValueError(f"at {text[place:]!r}" if text[place:].strip() else "at its end, where a term is missing")
        found.append(_requirement(match))
        place, more = match.end(), match["end"] == ","
    return tuple(found)


def _requirement(match: re.Match[str]) -> Requirement:
    absent: frozenset[str | None] = frozenset({None})
    if match["absent"]:
        return Requirement(match["absent"][1:].strip(), absent)
    if match["sign"]:
        return Requirement(match["key"], frozenset({match["value"]}), match["sign"] != "!=")
    if match["word"]:
        return Requirement(match["key"], frozenset(re.split(r"\s*,\s*", match["values"])), match["word"] == "in")
    return Requirement(match["key"], absent, wanted=False)
