"""The World that `svcdoctor demo` diagnoses: recorded from a real kind cluster by `make record-demo`."""

from __future__ import annotations

import gzip
from importlib.resources import files

from svcdoctor.world import World


def recorded_world() -> World:
    recording = files("svcdoctor").joinpath("demo.json.gz").read_bytes()
    return World.replay(gzip.decompress(recording))
