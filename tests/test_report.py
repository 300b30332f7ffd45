"""The report in each format: the contract as a schema holds it, and nothing in it that a terminal would obey."""

from __future__ import annotations

import functools
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator

import svcdoctor.report.json as report_json
import svcdoctor.report.name as report_name
import svcdoctor.report.text as report_text
import svcdoctor.report.yaml as report_yaml
from simulate import simulate
from suites import SuiteCase, load_suites
from svcdoctor.diagnosis import Scope, diagnose_recorded
from svcdoctor.finding import Diagnosis, Status
from svcdoctor.report import FORMATS, rendered
from svcdoctor.text import printable
from svcdoctor.world import World

HERE = Path(__file__).parent
# Two of each suite: what a format does to a finding does not depend on its code.
CASES = [case for suite in load_suites(HERE / "checks") for case in suite.cases[:2]]
SCHEMA = Draft202012Validator(json.loads(files("svcdoctor").joinpath("report/schema.json").read_text()))
WIDE = report_text.Style(wide=True)
COLORED = report_text.Style(color=True, wide=True)
RENDERS = {
    **{name: functools.partial(rendered, name=name) for name in FORMATS},
    "ascii": lambda diagnosis: report_text.render(diagnosis, report_text.Style(ascii=True)),
    "colours": lambda diagnosis: re.sub(r"\x1b\[[0-9;]*m", "", report_text.render(diagnosis, COLORED)),
}


def world_of(case: SuiteCase) -> World:
    return simulate(case.manifests(), case.observed(), case.probe())


def diagnosed(world: World) -> Diagnosis:
    return diagnose_recorded(world, Scope())


@functools.cache
def diagnosis_of(case: SuiteCase) -> Diagnosis:
    return diagnosed(world_of(case))


def assert_valid(diagnosis: Diagnosis) -> None:
    errors = [
        f"{error.json_path}: {error.message}" for error in SCHEMA.iter_errors(json.loads(report_json.render(diagnosis)))
    ]
    assert not errors


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA.schema)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_json_keeps_the_contract(case: SuiteCase) -> None:
    assert_valid(diagnosis_of(case))


def test_a_field_that_the_contract_does_not_have_breaks_it() -> None:
    document = json.loads(report_json.render(diagnosed(simulate([]))))
    assert SCHEMA.is_valid(document)
    assert not SCHEMA.is_valid(document | {"more": 1})
    document["services"][0]["more"] = 1
    assert not SCHEMA.is_valid(document)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_yaml_equals_json(case: SuiteCase) -> None:
    diagnosis = diagnosis_of(case)
    assert yaml.safe_load(report_yaml.render(diagnosis)) == json.loads(report_json.render(diagnosis))


def test_counts_add_up() -> None:
    for case in CASES:
        summary = diagnosis_of(case).summary
        assert summary.services == summary.fail + summary.warn + summary.passed + summary.unknown, case.id


def test_a_service_is_never_better_than_what_is_said_about_it() -> None:
    for case in CASES:
        for service in diagnosis_of(case).services:
            said = {finding.status for finding in service.findings}
            if said & {Status.FAIL, Status.WARN, Status.UNKNOWN}:
                assert service.status is not Status.PASS, f"{case.id}: {service.name}"


def test_names_are_those_of_services_that_are_not_healthy() -> None:
    for case in CASES:
        diagnosis = diagnosis_of(case)
        troubled = [entry.name for entry in diagnosis.services if entry.status is not Status.PASS]
        assert report_name.render(diagnosis).splitlines() == [f"service/{name}" for name in troubled]


def test_wide_shows_every_step_with_its_command() -> None:
    for case in CASES:
        diagnosis = diagnosis_of(case)
        lines = report_text.render(diagnosis, WIDE).splitlines()
        for service in diagnosis.services:
            for step in service.steps:
                assert f"      $ {step.command}".rstrip() in lines


def test_text_has_each_healthy_service_on_one_line() -> None:
    diagnosis = diagnosed(simulate([]))
    lines = report_text.render(diagnosis).splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["✓", "default/kubernetes"], ["✓", "kube-system/kube-dns"]]
    assert lines[2:] == ["", "2 Services: 2 pass"]


def test_lines_of_text_do_not_end_in_blanks() -> None:
    for case in CASES:
        for line in report_text.render(diagnosis_of(case), WIDE).splitlines():
            assert line == line.rstrip(), case.id


# --- a cluster full of hostile words -----------------------------------------------------------------------------

# A new title and a cleared screen for the terminal, an override of the reading direction, line breaks of three kinds,
# markup of rich and textual, NUL, a C1 control, and characters that nobody sees; then what ends an element, a cell, a
# code span, a fence, a label, a placeholder or a workflow command, and what XML cannot hold.
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e\n\r\u2028[red]$(reboot)[/red]\x00\x9b31m\u200b\ufeff\U000e0041"
HOSTILE += (
    "</details><script>alert('1')</script>&lt;-->]]>\"|\\|\\\\|`````\n```\n# {0}[a](b) ::error::%0A%25,@all \ufffe"
)
FREE_TEXT = {"name", "message", "reason", "image", "hostname", "subdomain", "externalName", "serviceName", "value"}
FREE_TEXT |= {
    "namespace",
    "nodeName",
    "detail",
    "canonical",
    "context",
    "uid",
    "path",
    "containerID",
    "storageClassName",
}
FREE_MAPS = {"labels", "annotations", "selector", "matchLabels", "data", "nodeSelector"}


def poisoned(value: Any, key: str = "") -> Any:
    """Every word that a cluster's users are free to choose, with HOSTILE at its end; the same words stay the same."""
    if isinstance(value, dict):
        if key in FREE_MAPS:
            entries = {name: f"{text}{HOSTILE}" for name, text in value.items() if isinstance(text, str)}
            return entries | {f"poison{HOSTILE}": HOSTILE}
        return {name: poisoned(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, key) for item in value]
    free = key in FREE_TEXT or key in ("command", "args", "resourceNames", "addresses", "finalizers", "searches")
    return value + HOSTILE if free and isinstance(value, str) else value


def hostile(case: SuiteCase) -> World:
    recording = json.loads(world_of(case).record())
    for table in recording["objects"].values():
        table["items"] = [poisoned(item) for item in table["items"]]
    reasons = [gap["reason"] for gap in recording["gaps"]]
    for part in ("gaps", "unreadable", "lookups", "context"):
        recording[part] = poisoned(recording[part], part)
    for gap, reason in zip(recording["gaps"], reasons, strict=True):
        gap["reason"] = reason  # a word of ours
    recording["lookups"] = {f"{name}{HOSTILE}": said for name, said in (recording["lookups"] or {}).items()}
    return World.replay(msgspec.json.encode(recording))


@functools.cache
def hostile_diagnosis_of(case: SuiteCase) -> Diagnosis:
    return diagnosed(hostile(case))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_nothing_that_a_terminal_would_obey_is_ever_printed(case: SuiteCase) -> None:
    diagnosis = hostile_diagnosis_of(case)
    for name, render in RENDERS.items():
        for line in render(diagnosis).splitlines():
            assert printable(line) == line, name
    assert_valid(diagnosis)
    assert yaml.safe_load(report_yaml.render(diagnosis)) == json.loads(report_json.render(diagnosis))
