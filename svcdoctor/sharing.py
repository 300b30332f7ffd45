"""One copy of what objects have in common: most of what is decoded of a cluster says again what its neighbour said."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec


def share(old: Any, new: Any) -> Any:
    """`new`, or `old` where the two are equal; where they are not, their equal parts are one from here on.

    For objects that nobody else has seen yet: parts of `new` are replaced in place, frozen or not.
    """
    if type(old) is not type(new):
        return new
    if old == new:
        return old
    if isinstance(new, msgspec.Struct):
        for name in new.__struct_fields__:
            before, after = getattr(old, name), getattr(new, name)
            if before is not after and (kept := share(before, after)) is not after:
                msgspec.structs.force_setattr(new, name, kept)
    elif isinstance(new, list):
        for place, (before, after) in enumerate(zip(old, new, strict=False)):
            new[place] = share(before, after)
    elif isinstance(new, dict):
        for key in new:
            if key in old:
                new[key] = share(old[key], new[key])
    return new


def share_neighbours(items: Sequence[Any]) -> None:
    """Lists come in the order of names, so that the Pods of one template stand together: labels, containers and volumes
    are the same again, and of the rest the words are."""
    for before, after in pairwise(items):
        share(before, after)
