"""A command in a fresh process: how long it took, what it cost the processor, and how large it became."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# What a run of the one-shot diagnosis imports.
IMPORTED = "svcdoctor.commands.diagnose,svcdoctor.cluster.collect,svcdoctor.report.text,svcdoctor.baseline"


class Cost(NamedTuple):
    wall: float  # seconds
    processor: float  # seconds, of the user and the system, with those of its children
    peak: float  # MB that it held at once, of its largest process

    def over(self, other: Cost) -> Cost:
        """How many times the other's."""
        return Cost(self.wall / other.wall, self.processor / other.processor, self.peak / other.peak)


def run(*arguments: str, environment: dict[str, str] | None = None) -> Cost:
    """Python with these arguments; what it prints is thrown away."""
    return command(sys.executable, *arguments, environment=environment)


def command(*arguments: str, environment: dict[str, str] | None = None) -> Cost:
    started = time.perf_counter()
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise SystemExit(f"bench: {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def svcdoctor(*arguments: str, environment: dict[str, str] | None = None) -> Cost:
    return run("-m", "svcdoctor", *arguments, environment=environment)


def alternating(times: int, *jobs: Callable[[], Cost]) -> list[Cost]:
    """The median of each job. They take turns, so that what else the machine does meets all of them."""
    rounds = [[job() for job in jobs] for _ in range(times)]
    return [Cost(*(median(values) for values in zip(*costs, strict=True))) for costs in zip(*rounds, strict=True)]
