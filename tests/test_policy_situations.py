"""The evaluators of policies, against the table of each situation in tests/policies: every pair, every port."""

from __future__ import annotations

import pytest
import yaml

from reachability import (
    EVERYONE,
    NAMESPACES,
    PODS,
    PORTS,
    Pair,
    Situation,
    admin_policies,
    difference,
    offline,
    pairs,
    party,
    policies,
)
from svcdoctor.objects import CustomObject, Metadata
from svcdoctor.policies.adminpolicy import deciding, in_order, selects_for
from svcdoctor.policies.calicoselector import holds_selector
from svcdoctor.policies.policy import Direction, judge

REAL = {name: name for name in NAMESPACES}


@pytest.mark.parametrize("situation", offline("networkpolicies.yaml"), ids=str)
def test_networkpolicies_answer_as_the_table_says(situation: Situation) -> None:
    known = policies(situation, REAL)
    parties = {name: party(situation, name) for name in EVERYONE}

    def answer(pair: Pair) -> bool:
        source, destination = parties[pair.source], parties[pair.destination]
        return judge(source, destination, pair.number, pair.protocol, known).allowed

    assert difference(situation.expected(pairs()), answer) == []
    itself = [Pair(pod, pod, number, protocol) for pod in PODS for number, protocol in PORTS]
    assert all(answer(pair) for pair in itself)


@pytest.mark.parametrize("situation", offline("adminpolicies.yaml"), ids=str)
def test_admin_policies_answer_as_the_table_says(situation: Situation) -> None:
    known, above = policies(situation, REAL), in_order(admin_policies(situation))
    parties = {name: party(situation, name) for name in EVERYONE}

    def answer(pair: Pair) -> bool:
        source, destination = parties[pair.source], parties[pair.destination]
        verdict = judge(source, destination, pair.number, pair.protocol, known)
        for side, own, other in ((verdict.egress, source, destination), (verdict.ingress, destination, source)):
            isolated = bool(side.isolating)
            rule = deciding(above, side.direction, own, other, pair.number, pair.protocol, isolated)
            if rule.denies if rule else not side.allowed:
                return False
        return True

    assert difference(situation.expected(pairs()), answer) == []


EVERYBODY = {"namespaces": {}}
FRONT = {"namespaces": {"matchLabels": {"ns": "y"}}}


@pytest.mark.parametrize(
    ("rules", "answer"),
    [
        ([("Deny", EVERYBODY)], "Deny"),
        ([("Allow", EVERYBODY), ("Deny", EVERYBODY)], "Allow"),
        ([("Deny", FRONT)], None),
        ([("Deny", FRONT), ("Deny", EVERYBODY)], "Deny"),
        ([("Allow", FRONT), ("Deny", EVERYBODY)], None),  # some come in before all are kept out
        ([("Pass", FRONT), ("Deny", EVERYBODY)], None),
        ([("Pass", EVERYBODY), ("Deny", EVERYBODY)], None),
    ],
    ids=str,
)
def test_what_is_decided_for_everybody(rules: list[tuple[str, dict[str, object]]], answer: str | None) -> None:
    ingress = [{"action": action, "from": [peer]} for action, peer in rules]
    admin = {"AdminNetworkPolicy": "one", "priority": 1, "subject": {"namespaces": {}}, "ingress": ingress}
    situation = Situation("", {}, (), admin=(admin,))
    above = admin_policies(situation)
    rule = deciding(above, Direction.INGRESS, party(situation, "x/a"), None, 80, "TCP", isolated=False)
    assert (rule.action if rule else None) == answer


LABELS = {"app": "cart", "projectcalico.org/namespace": "shop", "zone": "east-1"}


@pytest.mark.parametrize(
    ("selector", "answer"),
    [
        ("", True),
        ("all()", True),
        ("global()", False),
        ("app == 'cart'", True),
        ('app=="cart"&&zone != "west"', True),
        ("app == 'cart' && zone == 'west'", False),
        ("app == 'basket' || zone == 'east-1'", True),
        ("app == 'basket' || zone == 'west' && has(app)", False),
        ("app == 'cart' || has(nothing) && has(neither)", True),
        ("!has(app)", False),
        ("!(has(app) && has(tier))", True),
        ("tier != 'web'", True),
        ("tier == ''", False),
        ("app in {'basket', 'cart'}", True),
        ("app in {}", False),
        ("app not in {'cart'}", False),
        ("tier not in {'web'}", True),
        ("zone contains 'st-'", True),
        ("zone starts with 'east' && zone ends with '1'", True),
        ("tier starts with ''", False),
        ("projectcalico.org/namespace == 'shop'", True),
        ("app == 'it''s", False),
        ("app = 'cart'", False),
        ("app == cart", False),
        ("(app == 'cart'", False),
        ("app == 'cart' zone", False),
    ],
)
def test_calico_selectors(selector: str, answer: bool) -> None:
    assert holds_selector(selector, LABELS) is answer


def _custom(kind: str, spec: str) -> tuple[str, CustomObject]:
    return kind, CustomObject(Metadata(name="one"), yaml.safe_load(spec))


@pytest.mark.parametrize(
    ("kind", "spec", "directions"),
    [
        ("CiliumClusterwideNetworkPolicy", "{endpointSelector: {}, ingress: []}", "Ingress"),
        ("CiliumClusterwideNetworkPolicy", "{endpointSelector: {}, egressDeny: [{toEntities: [world]}]}", "Egress"),
        ("CiliumClusterwideNetworkPolicy", "{nodeSelector: {}, ingress: [], egress: []}", ""),
        ("CiliumClusterwideNetworkPolicy", "{endpointSelector: {matchLabels: {'k8s:pod': a}}, egress: []}", "Egress"),
        ("CiliumClusterwideNetworkPolicy", "{endpointSelector: {matchLabels: {'any:pod': b}}, egress: []}", ""),
        (
            "CiliumClusterwideNetworkPolicy",
            "{endpointSelector: {matchExpressions: [{key: 'k8s:pod', operator: In, values: [a]}]}, ingress: []}",
            "Ingress",
        ),
        (
            "CiliumClusterwideNetworkPolicy",
            "{endpointSelector: {matchLabels: {'k8s:io.cilium.k8s.namespace.labels.ns': x}}, ingress: []}",
            "Ingress",
        ),
        (
            "CiliumClusterwideNetworkPolicy",
            "{endpointSelector: {matchLabels: {'k8s:io.kubernetes.pod.namespace': y}}, ingress: []}",
            "",
        ),
        ("GlobalNetworkPolicy", "{selector: all()}", "Ingress"),
        ("GlobalNetworkPolicy", "{egress: []}", "Egress"),
        ("GlobalNetworkPolicy", "{ingress: [], egress: []}", "Ingress Egress"),
        ("GlobalNetworkPolicy", "{types: [Egress], ingress: []}", "Egress"),
        ("GlobalNetworkPolicy", "{selector: pod == 'b', ingress: []}", ""),
        ("GlobalNetworkPolicy", "{namespaceSelector: \"ns in {'x', 'z'}\", ingress: []}", "Ingress"),
    ],
)
def test_whom_policies_of_plugins_select(kind: str, spec: str, directions: str) -> None:
    own = party(Situation("", {}, ()), "x/a")
    found = [item for item in Direction if selects_for(item, *_custom(kind, spec), own)]
    assert " ".join(found) == directions
