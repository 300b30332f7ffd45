"""The Worlds of `svcdoctor demo`: one cluster at several moments, recorded from kind by `make record-demo`."""

from __future__ import annotations

from importlib.resources import files

from svcdoctor.recordings.recording import Recorded, unpacked
from svcdoctor.world import World


def recorded_demo() -> Recorded:
    """All moments, in their order: Services heal and break between them."""
    return unpacked(files("svcdoctor").joinpath("demo.jsonl.xz").read_bytes())


def recorded_world() -> World:
    """The first moment, the one that the report is about."""
    return recorded_demo().worlds[0]
