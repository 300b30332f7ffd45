"""Worlds full of hostile words: nothing crashes, nothing is obeyed, and what is to be typed is quoted.

Some hundred worlds; SVCDOCTOR_SOAK=1 makes it ten thousand.
"""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from hostile import WORDS, hostile
from simulate import simulate
from suites import load_suites
from svcdoctor.diagnosis import Scope, diagnose_recorded
from svcdoctor.finding import Diagnosis
from svcdoctor.report import FORMATS, rendered
from svcdoctor.text import printable
from svcdoctor.world import World
from test_report_formats import READERS

SOAK = bool(os.environ.get("SVCDOCTOR_SOAK"))
WORLDS = 10_000 if SOAK else 120
BATCHES = 8
CASES = [case for suite in load_suites(Path(__file__).parent.parent / "checks") for case in suite.cases]


def world_of(seed: int) -> World:
    chance = random.Random(seed)
    case = chance.choice(CASES)
    world = simulate(case.manifests(), case.observed(), case.probe())
    return hostile(world, chance, chance.choice((0.03, 0.1, 0.4)))


# Worlds that once brought to light what none of the others here does: the name of an image, of an owner and of a
# container in a command, and a namespace without a name.
FOUND = (256, 1667, 4835, 7539)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_hostile_worlds(batch: int, tmp_path: Path) -> None:
    commands: set[str] = set()
    for seed in (*range(batch, WORLDS, BATCHES), *FOUND[batch : batch + 1]):
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
    """A shell finds words in them and nothing else: it runs them with programs that do nothing, and nothing is done."""
    work = directory / "work"
    work.mkdir()
    for command in commands:
        assert all(first in PROGRAMS for first in programs_of(command)) and not substitutes(command), command
    script = directory / "script"
    programs = "".join(f"{name}() {{ :; }}\n" for name in sorted(PROGRAMS))
    script.write_text(programs + "\n".join(commands) + "\n", encoding="utf-8")
    subprocess.run(["/bin/sh", "-n", str(script)], check=True)
    subprocess.run(["/bin/sh", str(script)], cwd=work, env={"PATH": ""}, stdin=subprocess.DEVNULL, timeout=300)
    assert list(work.iterdir()) == []


PROGRAMS = {
    "kubectl",
    "svcdoctor",
    "sed",
    "printf",
    "helm",
    "istioctl",
    "dig",
    "curl",
    "nslookup",
    "docker",
    "grep",
    "echo",
}


def test_a_hostile_label_arrives_as_one_argument(tmp_path: Path) -> None:
    """Labels are what a remedy sets; each word as the value that a Deployment has and its Service misspells."""
    echo = tmp_path / "kubectl"
    echo.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    echo.chmod(0o755)
    shown = [word for word in WORDS if word and printable(word) == word and len(word) < 1000]
    for word in shown:
        labels = {"app": f"cart{word}"}
        container = {"name": "web", "image": "registry.example/web:1", "ports": [{"containerPort": 8080}]}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        service = {"selector": {"app": f"crat{word}"}, "ports": [{"port": 80, "targetPort": 8080}]}
        metadata = {"name": "cart", "namespace": "shop"}
        manifests = [
            {"kind": "Deployment", "metadata": metadata, "spec": deployment},
            {"kind": "Service", "metadata": metadata, "spec": service},
        ]
        diagnosis = diagnose_recorded(simulate(manifests), Scope("shop"))
        (cart,) = diagnosis.services
        commands = [step.command for step in cart.steps if step.step == "labels"]
        commands += [item.command for finding in cart.findings for item in finding.remedies if item.changes_cluster]
        assert len(commands) > 1, word
        for command in commands:
            run = subprocess.run(
                ["/bin/sh", "-c", command], env={"PATH": str(tmp_path)}, capture_output=True, check=True
            )
            arguments = run.stdout.decode().split("\0")
            assert any(f"cart{word}" in unescaped(item) or f"crat{word}" in unescaped(item) for item in arguments), word


def unescaped(argument: str) -> str:
    """The words of a patch as they stand in its JSON; anything else as it is."""
    if not argument.startswith(("{", "[")):
        return argument
    return json.dumps(json.loads(argument), ensure_ascii=False).replace('\\"', '"').replace("\\\\", "\\")


QUOTED = re.compile(r"'[^']*'")


def substitutes(command: str) -> bool:
    """Whether a shell would run a part of it to put its output there."""
    return any(sign in QUOTED.sub("", command) for sign in ("`", "$("))


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
