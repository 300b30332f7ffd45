"""The Worlds of `svcdoctor demo`: one cluster at several moments, recorded from kind by `make record-demo`."""

from __future__ import annotations

import lzma
from importlib.resources import files

from svcdoctor.world import World


def recorded_world() -> World:
    """The first moment, the one that the report is about."""
    return World.replay(_recordings(_demo())[0])


def recorded_worlds() -> list[World]:
    """All moments, in their order: Services heal and break between them."""
    return worlds_of(_demo())


def worlds_of(recording: bytes) -> list[World]:
    """The Worlds of a recording, one JSON document a line, compressed with xz or not. Raises ValueError."""
    return [World.replay(line) for line in _recordings(recording)]


def _demo() -> bytes:
    return files("svcdoctor").joinpath("demo.jsonl.xz").read_bytes()


def _recordings(recording: bytes) -> list[bytes]:
    # lzma, since each moment differs from the one before in a few objects only.
    try:
        text = lzma.decompress(recording) if recording.startswith(b"\xfd7zXZ") else recording
    except lzma.LZMAError as error:
        raise ValueError(f"not a recording: {error}") from None
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError("not a recording: it is empty")
    return lines
