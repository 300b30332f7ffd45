"""Signals of processes that tests start."""

from __future__ import annotations

import signal


def as_in_a_terminal() -> None:
    """For preexec_fn: no signal is ignored that whoever started the tests ignores, as nohup and background jobs do."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
