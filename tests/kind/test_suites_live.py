"""The cases of tests/checks/*.md on a real cluster.

A batch of cases runs when the first of it is asked for; the others of it read their outcome.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from batch import Batch, Outcome, batches, namespace_names
from cluster import Cluster
from simulate import simulate
from suites import SuiteCase, load_suites
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.finding import Role

SUITES = load_suites(Path(__file__).parents[1] / "checks")


def chosen() -> list[SuiteCase]:
    """The cases of cases.txt; with SVCDOCTOR_LIVE=all every case, which takes more than an hour on two cores.

    Offline all of them always run.
    """
    every = [case for suite in SUITES for case in suite.cases]
    listed = set((Path(__file__).parent / "cases.txt").read_text(encoding="utf-8").split())
    unknown = listed - {case.id for case in every}
    assert not unknown, f"cases.txt names cases that do not exist: {sorted(unknown)}"
    return every if os.environ.get("SVCDOCTOR_LIVE") == "all" else [case for case in every if case.id in listed]


CASES = chosen()


def parameter(case: SuiteCase) -> Any:
    marks = [pytest.mark.skip(reason=f"not on a cluster: {case.live.skip}")] if case.live.skip else []
    return pytest.param(case, id=case.id, marks=marks)


@pytest.fixture(scope="session")
def outcome_of(request: pytest.FixtureRequest, cluster: Cluster) -> Callable[[SuiteCase], Outcome]:
    """Asks for the outcome of a case. The batches hold only cases that this session selects."""
    selected = [
        cast(SuiteCase, item.callspec.params["case"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == Path(__file__)
    ]
    applied = [case for case in {case.id: case for case in selected}.values() if not case.live.skip]
    applied.sort(key=lambda case: case.live.wait)  # so that those which take long wait for each other
    names = namespace_names(applied)
    waiting = {case.id: batch for batch in batches(applied) for case in batch}
    outcomes: dict[str, Outcome] = {}
    again: set[str] = set()

    def outcome(case: SuiteCase) -> Outcome:
        if case.id not in outcomes:
            outcomes.update(Batch(cluster, waiting[case.id], names).run())
        if not outcomes[case.id].met and case.id not in again:
            # Twenty cases share two cores: one that the crowd kept from its state is tried once more, alone.
            again.add(case.id)
            outcomes.update(Batch(cluster, [case], names).run())
        return outcomes[case.id]

    return outcome


@pytest.mark.parametrize("case", [parameter(case) for case in CASES])
def test_case_on_a_cluster(case: SuiteCase, outcome_of: Callable[[SuiteCase], Outcome]) -> None:
    outcome = outcome_of(case)
    if not outcome.met:
        pytest.fail(outcome.explain(), pytrace=False)


@pytest.mark.parametrize("case", [parameter(case) for case in CASES])
def test_slices_are_what_the_model_of_their_controller_says(
    case: SuiteCase, outcome_of: Callable[[SuiteCase], Outcome]
) -> None:
    outcome = outcome_of(case)
    if outcome.slices:
        pytest.fail("\n".join([f"{case.where}: in namespace {outcome.namespace}", *outcome.slices]), pytrace=False)


def has_a_tried_remedy(case: SuiteCase) -> bool:
    diagnosis = diagnose(simulate(case.manifests(), case.observed(), case.probe()), Scope()).diagnosis
    causes = (finding for entry in diagnosis.services for finding in entry.findings if finding.role is Role.CAUSE)
    return any(finding.remedies and finding.remedies[0].verified for finding in causes)


@pytest.mark.parametrize("case", [parameter(case) for case in CASES if not case.live.skip and has_a_tried_remedy(case)])
def test_the_remedy_does_what_it_is_said_to_do(case: SuiteCase, outcome_of: Callable[[SuiteCase], Outcome]) -> None:
    outcome = outcome_of(case)
    assert outcome.remedied, f"{case.where}: no remedy of its cause could be tried on the cluster"
    for remedied in outcome.remedied:
        assert not remedied.error, remedied.command
        assert remedied.found == remedied.then, f"{case.where}: in namespace {outcome.namespace}: {remedied.command}"
