"""What stands on a terminal before the dashboard is loaded, and that it is given back as it was."""

from __future__ import annotations

import os
import pty
import signal
import sys
import termios
from collections.abc import Iterator

import pytest

from svcdoctor.dashboard.firstpaint import LEAVE, first_paint


class Terminal:
    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        self.stream = os.fdopen(self._slave, "w")
        termios.tcsetwinsize(self._slave, (24, 40))

    def written(self) -> str:
        self.stream.write("|")
        self.stream.flush()
        seen = b""
        while not seen.endswith(b"|"):
            seen += os.read(self._master, 4096)
        return seen[:-1].decode()

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._slave)[3] & termios.ECHO)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    made = Terminal()
    monkeypatch.setattr(sys, "__stderr__", made.stream)
    yield made
    made.stream.close()


def test_the_context_is_named_and_the_terminal_stays_for_the_dashboard(terminal: Terminal) -> None:
    with first_paint("kind-\x1b[31mdev"):
        assert not terminal.echoes()
        seen = terminal.written()
    assert "ctx kind-\\x1b[31mdev" in seen
    assert "connecting to kind-" in seen
    assert terminal.echoes()
    assert LEAVE not in terminal.written()


def test_a_name_that_is_too_long_ends_with_the_line(terminal: Terminal) -> None:
    with first_paint("c" * 100):
        assert "c" * 50 not in terminal.written()


@pytest.mark.parametrize("end", [KeyboardInterrupt(), ImportError("no textual")])
def test_whatever_goes_wrong_before_it_is_there_leaves_the_terminal_as_it_was(
    terminal: Terminal, end: BaseException
) -> None:
    with pytest.raises(type(end)), first_paint("dev"):
        raise end
    assert terminal.echoes()
    assert terminal.written().endswith(LEAVE)


def test_a_termination_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped, first_paint("dev"):
        signal.raise_signal(signal.SIGTERM)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert terminal.written().endswith(LEAVE)
    assert signal.getsignal(signal.SIGTERM) is before


def test_nothing_is_painted_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stderr__", None)
    with first_paint("dev"):
        pass
