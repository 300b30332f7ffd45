"""The first thing a person sees of the dashboard: two lines, long before what draws the rest of it is loaded."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from svcdoctor.text import printable

ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"  # the other screen, without a cursor, empty
LEAVE = "\x1b[?1049l\x1b[?25h"
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"


@contextmanager
def first_paint(context: str) -> Iterator[None]:
    """In it the dashboard is loaded. It then finds the terminal as it was, but for what stands on it.

    Without this nothing is seen for half a second, and keys that are typed meanwhile are echoed into the shell.
    """
    stream = sys.__stderr__  # where Textual paints
    if stream is None or not stream.isatty():
        yield
        return
    before = termios.tcgetattr(stream)
    quiet = [*before]
    quiet[3] &= ~termios.ECHO
    handler = signal.signal(signal.SIGTERM, _stop)
    try:
        termios.tcsetattr(stream, termios.TCSANOW, quiet)
        _write(stream, ENTER + words(context, os.get_terminal_size(stream.fileno()).columns))
        yield
    except BaseException:
        _write(stream, LEAVE)
        raise
    finally:
        termios.tcsetattr(stream, termios.TCSANOW, before)
        signal.signal(signal.SIGTERM, handler)


def words(context: str, width: int) -> str:
    """What stands in these places when the dashboard is there, too."""
    name = printable(context)
    header = f"svcdoctor  ctx {name}"[: width - 2]
    notice = f"connecting to {name or 'the cluster'} .."[: width - 2]
    return f"\x1b[1;2H{BOLD}{header[:9]}{PLAIN}{header[9:]}\x1b[3;2H{notice}"


def _write(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()


def _stop(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)
