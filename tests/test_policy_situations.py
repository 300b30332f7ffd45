"""The evaluator of NetworkPolicies, against the table of each situation in tests/policies: every pair, every port."""

from __future__ import annotations

import pytest

from reachability import EVERYONE, NAMESPACES, PODS, PORTS, Pair, Situation, difference, offline, pairs, party, policies
from svcdoctor.policy import judge

SITUATIONS = offline("networkpolicies.yaml")


@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_every_pair_is_answered_as_the_table_says(situation: Situation) -> None:
    known = policies(situation, {name: name for name in NAMESPACES})
    parties = {name: party(situation, name) for name in EVERYONE}

    def answer(pair: Pair) -> bool:
        source, destination = parties[pair.source], parties[pair.destination]
        return judge(source, destination, pair.number, pair.protocol, known).allowed

    assert difference(situation.expected(pairs()), answer) == []
    itself = [Pair(pod, pod, number, protocol) for pod in PODS for number, protocol in PORTS]
    assert all(answer(pair) for pair in itself)
