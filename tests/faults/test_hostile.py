"""Worlds full of hostile words: nothing crashes, nothing is obeyed, and what is to be typed is quoted.

Some hundred worlds; SVCDOCTOR_SOAK=1 makes it ten thousand.
"""

from __future__ import annotations

import os
import random
import shlex
import subprocess
from pathlib import Path

import pytest
from hostile import hostile

from simulate import simulate
from suites import load_suites
from svcdoctor.diagnosis import Scope, diagnose_recorded
from svcdoctor.finding import Diagnosis
from svcdoctor.report import FORMATS, rendered
from svcdoctor.text import printable
from svcdoctor.world import World
from test_report_formats import READERS

SOAK = bool(os.environ.get("SVCDOCTOR_SOAK"))
WORLDS = 10_000 if SOAK else 240
BATCHES = 8
CASES = [case for suite in load_suites(Path(__file__).parent.parent / "checks") for case in suite.cases]


def world_of(seed: int) -> World:
    chance = random.Random(seed)
    case = chance.choice(CASES)
    world = simulate(case.manifests(), case.observed(), case.probe())
    return hostile(world, chance, chance.choice((0.03, 0.1, 0.4)))


@pytest.mark.parametrize("batch", range(BATCHES))
def test_hostile_worlds(batch: int, tmp_path: Path) -> None:
    commands: set[str] = set()
    for seed in range(batch, WORLDS, BATCHES):
        diagnosis = diagnose_recorded(world_of(seed), Scope())
        for name in FORMATS:
            for line in rendered(diagnosis, name).split("\n"):
                assert printable(line) == line, (seed, name)
        for read in READERS:
            read(diagnosis)
        commands |= commands_of(diagnosis)
    assert_harmless(sorted(commands), tmp_path)


def commands_of(diagnosis: Diagnosis) -> set[str]:
    found = {remedy.command for finding in diagnosis.findings() for remedy in finding.remedies}
    found |= {step.command for service in diagnosis.services for step in service.steps}
    return {command for command in found if command}


def assert_harmless(commands: list[str], directory: Path) -> None:
    """A shell that runs them one after the other, with programs that do nothing, finds words and nothing else."""
    programs = directory / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text("#!/bin/sh\nexit 0\n")
        (programs / name).chmod(0o755)
    work = directory / "work"
    work.mkdir()
    for command in commands:
        assert all(first in PROGRAMS for first in programs_of(command)), command
    script = directory / "script"
    script.write_text("\n".join(commands) + "\n", encoding="utf-8")
    subprocess.run(["sh", "-n", str(script)], check=True)
    subprocess.run(["sh", str(script)], cwd=work, env={"PATH": str(programs)}, stdin=subprocess.DEVNULL, timeout=300)
    assert list(work.iterdir()) == []


PROGRAMS = {"kubectl", "svcdoctor", "helm", "istioctl", "dig", "curl", "nslookup", "docker", "grep", "echo"}


def programs_of(command: str) -> list[str]:
    """The first word of each simple command of a line."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="&|;<>()")
    lexer.whitespace_split = True
    firsts, start = [], True
    for token in lexer:
        if start:
            firsts.append(token)
        start = token in ("|", "&&", ";", "||", "&")
    return firsts
