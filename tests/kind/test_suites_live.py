"""The cases of tests/checks/*.md on a real cluster.

A batch of cases runs when the first of it is asked for; the others of it read their outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from batch import Batch, Outcome, batches, namespace_names
from cluster import Cluster
from suites import SuiteCase, load_suites

CASES = [case for suite in load_suites(Path(__file__).parents[1] / "checks") for case in suite.cases]


def parameter(case: SuiteCase) -> Any:
    marks = [pytest.mark.skip(reason=f"not on a cluster: {case.live.skip}")] if case.live.skip else []
    return pytest.param(case, id=case.id, marks=marks)


@pytest.fixture(scope="session")
def outcome_of(request: pytest.FixtureRequest, cluster: Cluster) -> Callable[[SuiteCase], Outcome]:
    """Asks for the outcome of a case. The batches hold only cases that this session selects."""
    selected = [
        cast(SuiteCase, item.callspec.params["case"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test_case_on_a_cluster.__name__
    ]
    applied = [case for case in selected if not case.live.skip]
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
