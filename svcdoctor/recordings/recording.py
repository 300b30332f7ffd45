"""Recordings: Worlds written down, one JSON document a line, each with what was asked when it was read.

A recording that is replayed without further words gives the report that the run gave which it was taken from. Several
lines are moments of one cluster, in their order. It is compressed with zstd; xz, gzip and plain text are read too, told
by their first bytes.
"""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Iterable
from typing import IO, Any, NamedTuple

import msgspec
import zstandard

from svcdoctor.diagnosis import Scope
from svcdoctor.labels import Requirement
from svcdoctor.text import plural
from svcdoctor.world import World

MOST_BYTES = 1 << 30  # of a recording when it is unpacked; of a large cluster it has a tenth of that
# Moments differ in a few objects: what stands far back in the file is found again.
_WINDOW = 25
_LEVEL = 6
_NO_RECORDING = "not a recording"


class Recorded(NamedTuple):
    """What a recording holds: its moments, and what was asked."""

    worlds: list[World]
    scope: Scope


class _Asked(msgspec.Struct):
    """A Scope without the codes to report: those are about the report, not about what was read."""

    namespace: str
    names: tuple[str, ...] = ()
    labels: tuple[Requirement, ...] = ()
    client: tuple[str, str] | None = None


class _Moment(msgspec.Struct):
    scope: _Asked | None = None


def recorded(world: World, scope: Scope) -> bytes:
    """One moment: the World, and what was asked of it."""
    return world.record(scope=_Asked(scope.namespace, scope.names, scope.labels, scope.client))


def unpacked(data: bytes, most: int = MOST_BYTES) -> Recorded:
    """The recording that a file holds. Raises ValueError, in one sentence, where it holds none."""
    moments = _documents(_decompressed(data, most))
    worlds = [_replayed(moment, number, len(moments)) for number, moment in enumerate(moments, 1)]
    try:
        asked = msgspec.json.decode(moments[0], type=_Moment).scope
    except msgspec.MsgspecError as error:
        raise ValueError(f"{_NO_RECORDING}: {error}") from None
    return Recorded(
        worlds, Scope(asked.namespace, asked.names, asked.labels, client=asked.client) if asked else Scope()
    )


class Packed(NamedTuple):
    moments: int
    bytes: int


def packed(moments: Iterable[bytes], to: IO[bytes]) -> Packed:
    """Write moments to a file, each as it comes; how many there were, and how long the file is."""
    parameters = zstandard.ZstdCompressionParameters.from_level(_LEVEL, window_log=_WINDOW, enable_ldm=True)
    count = 0
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(to, closefd=False) as file:
        for moment in moments:
            count += 1
            file.write(moment + b"\n")
            file.flush()
    return Packed(count, file.tell())


def holdings(world: World) -> dict[str, int]:
    """How many objects of each kind a World holds, most of them first; kinds that were read and have none come last."""
    counts = {kind: len(world.held(kind)) for kind in world.kinds()}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _decompressed(data: bytes, most: int) -> bytes:
    try:
        text: bytes = _opened(data).read(most + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise ValueError(f"{_NO_RECORDING}: {str(error) or 'it does not unpack'}") from None
    if len(text) > most:
        raise ValueError(f"{_NO_RECORDING}: it unpacks to more than {most >> 20} MiB")
    return text


def _opened(data: bytes) -> Any:
    source = io.BytesIO(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
    if data.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(source)
    if data.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=source)
    return source


def _documents(text: bytes) -> list[bytes]:
    """A line each; a text whose lines are not documents by themselves is one that somebody has laid out."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{_NO_RECORDING}: it is empty")
    return lines if all(line.lstrip()[:1] == b"{" and len(line.strip()) > 1 for line in lines) else [text]


def _replayed(moment: bytes, number: int, of: int) -> World:
    try:
        return World.replay(moment)
    except (ValueError, RecursionError) as error:
        where = f" (moment {number} of {plural(of, 'moment')})" if of > 1 else ""
        raise ValueError(f"{error or 'it is nested too deeply'}{where}") from None
