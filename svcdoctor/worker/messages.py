"""What the dashboard's process and its worker tell each other, and the pipe between them.

Each message is MessagePack after its length in four bytes, the highest first.
"""

from __future__ import annotations

import socket
import threading
import traceback
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from svcdoctor.finding import Diagnosis, ServiceDiagnosis, Summary
from svcdoctor.widgets.source import ServiceName, SourceRequest

# --- from the dashboard


class Open(Struct, tag=True):
    """Open a source; Answer says what it can be asked."""

    number: int  # of the answer, and of the source from then on
    request: SourceRequest


class Call(Struct, tag=True):
    """Call a method of a source."""

    number: int  # of the answer
    source: int
    method: str
    arguments: list[Any]


class Enough(Struct, tag=True):
    """Nobody reads the lines of this answer any more."""

    number: int


class Seen(Struct, tag=True):
    """The last Posted of this source was taken in: the next may come."""

    source: int


class Lent(Struct, tag=True):
    """The terminal is the worker's until it says Returned; or it cannot be had, and why."""

    refused: str = ""


# --- from the worker


class Trouble(Struct):
    """An exception."""

    name: str
    message: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> Trouble:
        return cls(type(error).__name__, str(error), "".join(traceback.format_exception(error)))


class Abilities(Struct):
    """What an opened source is: the namespace it found, and its methods."""

    namespace: str | None
    methods: list[str]


class Answer(Struct, tag=True):
    number: int
    value: Any = None
    opened: Abilities | None = None
    goes_on: bool = False  # Lines come, and one more Answer after the last
    trouble: Trouble | None = None


class Lines(Struct, tag=True):
    number: int
    lines: list[str]


class Broke(Struct, tag=True):
    """A source has ended by an error that is no fault of the cluster."""

    source: int
    trouble: Trouble


class Lend(Struct, tag=True):
    """A login needs the terminal."""


class Returned(Struct, tag=True):
    """The terminal is the dashboard's again."""


class Stream(NamedTuple):
    """A StreamState of cluster/reflector.py, field by field: that module loads the client."""

    resource: str
    namespace: str
    state: str
    since: datetime
    message: str
    last_heard: datetime | None
    reason: str
    verb: str


class Logged(NamedTuple):
    """A LogEntry of cluster/reflector.py, field by field."""

    kind: str
    command: str
    outcome: str
    seconds: float
    at: datetime


class Posted(Struct, tag=True):
    """An Update as its difference from the last one that was posted."""

    source: int
    observed_at: str
    summary: Summary
    services: list[ServiceDiagnosis]  # those that are new or say something else
    gone: list[ServiceName]
    labels: list[tuple[ServiceName, dict[str, str]]]  # of Services that are new or have changed
    begun: list[ServiceName]  # whose walk is under way
    ended: list[ServiceName]  # whose walk is not any more
    rest: bytes  # the Diagnosis without all of the above, in MessagePack; b"" is as before
    streams: list[Stream]
    log: list[Logged]  # since the last


Order = Open | Call | Enough | Seen | Lent
News = Answer | Lines | Broke | Lend | Returned | Posted
T = TypeVar("T")


class Pipe(Generic[T]):
    """One end: sends whatever message, from any thread, and receives the other side's."""

    def __init__(self, end: socket.socket, receives: Any) -> None:
        self._end = end
        self._file = end.makefile("rb")
        self._sending = threading.Lock()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(receives)

    def send(self, message: Order | News) -> None:
        """Raises OSError when nobody is there any more."""
        with self._sending:
            content = self._encoder.encode(message)
            self._end.sendall(len(content).to_bytes(4, "big") + content)

    def receive(self) -> T | None:
        """None when the other side has gone."""
        try:
            size = int.from_bytes(self._file.read(4), "big")
            content = self._file.read(size)
        except OSError:
            return None
        return self._decoder.decode(content) if size and len(content) == size else None


def rest_of(diagnosis: Diagnosis) -> bytes:
    """What of a Diagnosis seldom changes."""
    rest = msgspec.structs.replace(diagnosis, services=(), summary=Summary(), observed_at="")
    return msgspec.msgpack.encode(rest)


_REST = msgspec.msgpack.Decoder(Diagnosis)


def rest_from(content: bytes) -> Diagnosis:
    return _REST.decode(content)
