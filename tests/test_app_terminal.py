"""The dashboard on a real pseudo-terminal: it starts, paints, takes a key, and leaves the terminal as it was."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from svcdoctor.recordings.recording import unpacked

TESTS = Path(__file__).parent
PATIENCE = 60.0
CHILD = """
import os, sys, time
sys.path[:0] = [{root!r}, {tests!r}]
from app_sources import NOW, CannedSource, Opener, Posted, shop
from svcdoctor import app, screen
from svcdoctor.app import Dashboard

def broken(*_):
    raise RuntimeError("broken on purpose, password=hunter2")

app.key_page = broken
class Stubborn(CannedSource):
    def stop(self):
        time.sleep(3600)

    def run_again(self, names=None):
        with dashboard.terminal():
            os.write(2, b"your name?")
            name = os.read(0, 100).decode().strip()
        dashboard._then(lambda: dashboard.notify(f"hello {{name}}"))

    def record(self):
        from svcdoctor.demo import recorded_world
        return recorded_world().record()

dashboard = Dashboard(
    Opener(Posted(shop()), Stubborn), ["kind-suites"], context="kind-suites", namespace="shop", clock=lambda: NOW
)
sys.exit(screen.run(dashboard))
"""


class Terminal:
    def __init__(self, **environment: str) -> None:
        child = CHILD.format(root=str(TESTS.parent), tests=str(TESTS))
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-c", child], os.environ | environment)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        self.seen = b""

    def read_until(self, mark: bytes) -> None:
        deadline = time.monotonic() + PATIENCE
        while mark not in self.seen:
            assert time.monotonic() < deadline, (mark, self.seen[-2000:])
            if not self.read():
                raise AssertionError((mark, self.seen[-2000:]))

    def read(self) -> bool:
        """False at the end."""
        if not select.select([self.fd], [], [], PATIENCE)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def press(self, keys: str) -> None:
        self.seen = b""
        os.write(self.fd, keys.encode())

    def finish(self) -> int:
        while self.read():
            pass
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def terminal(state: Path) -> Iterator[Terminal]:
    found = Terminal(TERM="xterm-256color", XDG_STATE_HOME=str(state), NO_COLOR="")
    yield found
    os.close(found.fd)


def assert_restored(seen: bytes) -> None:
    assert b"\x1b[?1049l" in seen, "still on the alternate screen"
    assert b"\x1b[?25h" in seen, "the cursor is hidden"
    assert b"\x1b[?1000l" in seen, "the mouse still reports"


def test_starts_paints_takes_a_key_and_quits(terminal: Terminal) -> None:
    terminal.read_until(b"shop/search")
    assert b"\x1b[?1049h" in terminal.seen
    terminal.press("jl")
    terminal.read_until(b"10.244.1.27:8080")
    terminal.press("q")
    assert terminal.finish() == 0
    assert_restored(terminal.seen)


def test_copying_reaches_the_clipboard_of_the_terminal(terminal: Terminal) -> None:
    terminal.read_until(b"shop/search")
    terminal.press("jy")
    terminal.read_until(b"Markdown")
    terminal.press("n")
    terminal.read_until(b"\x1b]52;c;Y2FydA==\x07")
    terminal.press("\x03")
    assert terminal.finish() == 0


def test_a_login_that_asks_something_has_the_terminal_and_gives_it_back(terminal: Terminal) -> None:
    terminal.read_until(b"shop/search")
    terminal.press("R")
    terminal.read_until(b"your name?")
    assert_restored(terminal.seen)
    terminal.press("ann\n")
    terminal.read_until(b"hello ann")
    assert b"\x1b[?1049h" in terminal.seen
    terminal.press("q")
    assert terminal.finish() == 0
    assert_restored(terminal.seen)


def test_the_mouse_can_be_released(terminal: Terminal) -> None:
    terminal.read_until(b"shop/search")
    terminal.press("m")
    terminal.read_until(b"\x1b[?1000l")
    terminal.press("m")
    terminal.read_until(b"\x1b[?1000h")
    terminal.press("q")
    assert terminal.finish() == 0


def test_kill_leaves_a_clean_terminal(terminal: Terminal) -> None:
    terminal.read_until(b"shop/search")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.finish() == 128 + signal.SIGTERM
    assert_restored(terminal.seen)


def test_a_crash_leaves_a_clean_terminal_and_says_where_to_look(terminal: Terminal, state: Path) -> None:
    terminal.read_until(b"shop/search")
    terminal.press("?")
    assert terminal.finish() == 1
    assert_restored(terminal.seen)
    words = terminal.seen.decode().rpartition("\x1b[?1049l")[2]
    assert "stopped on an error of its own: RuntimeError: broken on purpose, password=REDACTED" in words
    assert b"Traceback" not in terminal.seen and b"hunter2" not in terminal.seen
    recording, crash = sorted((state / "svcdoctor").iterdir())
    assert "broken on purpose" in crash.read_text() and "hunter2" not in crash.read_text()
    assert str(crash) in words and f"svcdoctor --replay {recording}" in words
    assert {file.stat().st_mode & 0o777 for file in (recording, crash)} == {0o600}
    (world,) = unpacked(recording.read_bytes()).worlds
    assert world.context == "demo"
