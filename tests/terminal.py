"""svcdoctor in a pseudo-terminal, as a person would start it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parent.parent


class Started(NamedTuple):
    process: int
    terminal: int


@contextmanager
def started(environment: Mapping[str, str], *args: str) -> Iterator[Started]:
    """In a window of 120 x 40 characters, which is taken away at the end."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(REPOSITORY)
        os.execve(sys.executable, [sys.executable, "-m", "svcdoctor", *args], dict(environment))
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        yield Started(process, terminal)
    finally:
        os.close(terminal)


def read_until(terminal: int, mark: bytes, seconds: float = 60.0) -> bytes:
    """What came until the mark did; without a mark, until the end."""
    seen = b""
    ends = time.monotonic() + seconds
    while not mark or mark not in seen:
        assert select.select([terminal], [], [], max(0.0, ends - time.monotonic()))[0], seen[-2000:]
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # Linux says so when nobody has the other end any more
            assert not mark, seen[-2000:]
            break
    return seen
