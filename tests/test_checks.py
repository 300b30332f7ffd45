"""The suites in tests/checks, run offline; and what must hold for every check and code."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
from collections import defaultdict
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from msgspec.structs import replace

import svcdoctor.checks
import svcdoctor.report.json as report_json
from simulate import simulate
from suites import SuiteCase, load_suites, rewrite_golden
from svcdoctor.case import Case
from svcdoctor.checks import ALL
from svcdoctor.clientcase import ClientCase
from svcdoctor.clustercase import ClusterCase
from svcdoctor.diagnosis import OWN_LIMITS, Outcome, Scope, callers_in, diagnose
from svcdoctor.entry.entrypoint import Entry
from svcdoctor.entrycase import EntryCase
from svcdoctor.finding import Diagnosis, Status, Summary
from svcdoctor.report import text
from svcdoctor.roles import CODES
from svcdoctor.view import View
from svcdoctor.world import NotRead, World

SUITES = load_suites(Path(__file__).parent / "checks")
CASES = [case for suite in SUITES for case in suite.cases]
SHOWN = {Status.FAIL, Status.WARN, Status.UNKNOWN}


@functools.cache
def world_of(case: SuiteCase) -> World:
    return simulate(case.manifests(), case.observed(), case.probe())


@functools.cache
def outcome_of(case: SuiteCase) -> Outcome:
    return diagnose(world_of(case), Scope())


def of_the_case(namespace: str) -> bool:
    return namespace.startswith("shop") or namespace in ("", "kube-system", "default")


def narrowed(diagnosis: Diagnosis) -> Diagnosis:
    """The report without the Services that every cluster has."""
    services = tuple(entry for entry in diagnosis.services if entry.namespace.startswith("shop"))
    counts = [entry.status for entry in services]
    summary = Summary(
        len(services),
        counts.count(Status.FAIL),
        counts.count(Status.WARN),
        counts.count(Status.PASS),
        counts.count(Status.UNKNOWN),
    )
    return replace(diagnosis, services=services, summary=summary)


def shown(diagnosis: Diagnosis, notes: set[str]) -> list[str]:
    """Findings as a suite writes them; notes only where the suite expects some of that code."""
    return [
        f"{finding.status} {finding.code} {finding.role or '-'} {finding.subject.kind}/{finding.subject.name}"
        for finding in diagnosis.findings()
        if finding.subject
        and of_the_case(finding.subject.namespace)
        and (finding.status in SHOWN or (finding.status is Status.NOTE and finding.code in notes))
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_suite(case: SuiteCase) -> None:
    outcome = outcome_of(case)
    assert not outcome.wants
    report = text.render(narrowed(outcome.diagnosis))
    updating = bool(os.environ.get("SVCDOCTOR_UPDATE"))
    if updating:
        rewrite_golden(case, report)
    expected = [str(finding) for finding in case.findings()]
    notes = {finding.code for finding in case.findings() if finding.status == "note"}
    assert sorted(shown(outcome.diagnosis, notes)) == sorted(expected), f"{case.where}\n{report}"
    assert updating or report == case.text


def test_json_of_every_case_keeps_the_contract() -> None:
    schema = Draft202012Validator(json.loads(files("svcdoctor").joinpath("report/schema.json").read_text()))
    errors = [
        f"{case.id}: {error.json_path}: {error.message}"
        for case in CASES
        for error in schema.iter_errors(json.loads(report_json.render(outcome_of(case).diagnosis)))
    ]
    assert errors == []


# --- what must hold for every check and code ---------------------------------------------------------------------


def test_every_module_in_checks_is_listed() -> None:
    here = Path(svcdoctor.checks.__file__).parent
    assert {module.__name__.rpartition(".")[2] for module in ALL} == {path.stem for path in here.glob("*.py")} - {
        "__init__"
    }


def test_every_check_has_its_suite() -> None:
    names = {module.__name__.rpartition(".")[2] for module in ALL}
    assert names == {suite.check for suite in SUITES}
    assert all(suite.check == suite.path.stem for suite in SUITES)


def test_no_code_belongs_to_two_checks() -> None:
    codes = [code for module in ALL for code in module.CHECK.codes]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("code", [*CODES, *OWN_LIMITS])
def test_every_code_has_a_case_where_it_fires_and_one_where_it_does_not(code: str) -> None:
    firing = {case.id for case in CASES if any(finding.code == code for finding in case.findings())}
    suite = next(
        (
            suite
            for suite in SUITES
            for module in ALL
            if code in module.CHECK.codes and module.__name__.endswith(f".{suite.check}")
        ),
        None,
    )
    assert firing, f"no case expects {code}"
    assert suite is None or any(case.id not in firing for case in suite.cases), (
        f"no case of {suite.check} is silent about {code}"
    )


def test_suites_expect_only_codes_that_exist() -> None:
    expected = {finding.code for case in CASES for finding in (*case.expected, *(case.live.expect or ()))}
    assert expected <= {*CODES, *OWN_LIMITS}


@pytest.mark.parametrize("module", ALL, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_code_has_a_page_with_all_its_parts(module) -> None:  # type: ignore[no-untyped-def]
    question = (module.__doc__ or "").splitlines()[0]
    assert question.endswith("?"), "the first line is the question"
    pages = re.split(r"^([a-z0-9-]+)$", module.__doc__, flags=re.MULTILINE)[1:]
    written = dict(zip(pages[::2], pages[1::2], strict=True))
    assert set(written) == set(module.CHECK.codes)
    for code, page in written.items():
        for part in ("Why it breaks", "Confirm by hand", "Fix", "Not a fault when"):
            assert part in page, f"{code} does not say: {part}"


@pytest.fixture(scope="module")
def touched() -> dict[str, set[str]]:
    """The kinds that each check asked for, over the cases of all suites."""
    found: dict[str, set[str]] = defaultdict(set)
    for case in CASES:
        world = world_of(case)
        for module in ALL:
            name = module.__name__.rpartition(".")[2]
            for view in [view for about in module.CHECK.about.split() for view in views(world, about)]:
                with contextlib.suppress(NotRead):
                    list(module.run(view))
                found[name] |= view.touched
    return found


@pytest.mark.parametrize("module", ALL, ids=lambda module: module.__name__.rpartition(".")[2])
def test_reads_are_what_the_check_really_reads(module, touched: dict[str, set[str]]) -> None:  # type: ignore[no-untyped-def]
    assert touched[module.__name__.rpartition(".")[2]] == set(module.CHECK.reads)


def views(world: World, about: str) -> list[View]:
    if about == "cluster":
        return [ClusterCase(world)]
    if about == "client":
        return [ClientCase(world, template) for template in ClusterCase(world).templates_everywhere()[0]]
    if about == "entry":
        return [EntryCase(world, caller) for caller in callers_in(world, Scope(), set()) if isinstance(caller, Entry)]
    return [Case(world, service) for service in world.everywhere("services")[0]]


def test_a_recorded_world_gives_the_same_report() -> None:
    for case in CASES:
        world = world_of(case)
        again = World.replay(world.record())
        assert diagnose(again, Scope()).diagnosis == diagnose(world, Scope()).diagnosis, case.id


PROBED = [case for case in CASES if (said := case.probe()) is not None and "off" not in said]


@pytest.mark.parametrize("case", PROBED, ids=lambda case: case.id)
def test_what_is_looked_up_after_a_first_diagnosis_counts(case: SuiteCase) -> None:
    """As a run does it: a first diagnosis says what is worth asking of Pods, a later one judges by the answers."""
    whole = World.replay(world_of(case).record())
    before = json.loads(world_of(case).record())
    asked = {"lookups": {}, "sockets": None, "connections": None, "trials": None}
    world = World.replay(json.dumps(before | asked).encode())
    diagnose(world, Scope())
    for place, said in (whole.lookups or {}).items():
        world.learn(place, said)
    for seen in (whole._sockets or {}).values():
        world.see(seen)
    world.connections, world.trials = whole.connections, whole.trials
    assert diagnose(world, Scope()) == diagnose(whole, Scope())
