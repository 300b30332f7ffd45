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
        ([("Deny", {"pods": {"namespaceSelector": {}, "podSelector": {}}})], None),
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
        ("(app == 'basket' || zone == 'east-1') && has(app)", True),
        ("exists(app)", False),
        ("zone starts with 'west'", False),
        ("zone ends with '2'", False),
        ("tier ends with ''", False),
        ("tier contains ''", True),
        ("tier contains 'e'", False),
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


# --- what somebody wrote who did not read the documentation ---------------------------------------------------------


def deny(**rule: object) -> dict[str, object]:
    return {"subject": EVERYBODY, "ingress": [{"action": "Deny", "from": [EVERYBODY], **rule}]}


def pods(name: object) -> dict[str, object]:
    return {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"pod": name}}}}


def denies(spec: object, number: int = 80, protocol: str = "TCP", source: str = "y/a", **own: object) -> bool:
    situation = Situation("", {}, ())
    above = in_order([("AdminNetworkPolicy", CustomObject(Metadata(name="one"), spec))])  # type: ignore[arg-type]
    ends = party(situation, "x/a")._replace(**own), party(situation, source)  # type: ignore[arg-type]
    rule = deciding(above, Direction.INGRESS, *ends, number, protocol, isolated=False)
    return rule is not None and rule.denies


@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        (deny(), True),
        (None, False),
        ({}, False),
        ({"subject": None, "ingress": None}, False),
        ({"subject": EVERYBODY, "ingress": "all"}, False),
        ({"subject": EVERYBODY, "ingress": [None, "all", *deny()["ingress"]]}, True),  # type: ignore[misc]
        ({**deny(), "subject": {"namespaces": {"matchLabels": 7}}}, False),
        ({**deny(), "subject": pods(7)}, False),
        ({**deny(), "subject": {"pods": {"namespaceSelector": {"matchLabels": 7}, "podSelector": {}}}}, False),
        ({**deny(), "subject": pods("a")}, True),
        ({**deny(), "subject": pods("b")}, False),
        (deny(**{"from": None}), False),
        (deny(**{"from": [{"networks": "10.0.0.0/8"}]}), False),
        (deny(**{"from": [{}]}), False),
    ],
    ids=str,
)
def test_an_admin_policy_that_is_written_oddly_denies_only_what_it_says(spec: object, answer: bool) -> None:
    assert denies(spec) is answer


def test_the_rule_of_an_admin_policy_that_decides_is_named() -> None:
    situation = Situation("", {}, ())
    denying = {"action": "Deny", "name": "shut", "from": [EVERYBODY]}
    spec = {"subject": EVERYBODY, "ingress": [{"action": "Allow"}, denying]}
    above = [("AdminNetworkPolicy", CustomObject(Metadata(name="one"), spec))]
    ends = party(situation, "x/a"), party(situation, "y/a")
    rule = deciding(above, Direction.INGRESS, *ends, 80, "TCP", isolated=False)
    assert rule and (rule.source, rule.name) == ("adminnetworkpolicy/one .spec.ingress[1]", "shut")
    del denying["name"]
    nameless = deciding(above, Direction.INGRESS, *ends, 80, "TCP", isolated=False)
    assert nameless and nameless.name == ""


def test_no_admin_policy_is_about_pods_of_the_host_network_or_addresses() -> None:
    assert not denies(deny(), host_network=True)
    assert not denies(deny(), labels=None)


@pytest.mark.parametrize(
    ("port", "held"),
    [
        ({"portNumber": {"port": 80}}, "80/TCP"),
        ({"portNumber": {"port": 80, "protocol": "UDP"}}, "80/UDP"),
        ({"portNumber": None}, ""),
        ({"portRange": {"start": 80, "end": 81}}, "80/TCP 81/TCP"),
        ({"portRange": {"start": 79, "end": 80}}, "80/TCP"),
        ({"portRange": {"start": 81, "end": 90, "protocol": "UDP"}}, "81/UDP"),
        ({"portRange": {"end": 80}}, "80/TCP"),
        ({"portRange": {"start": 80}}, ""),
        ({"namedPort": "serve-81-udp"}, "81/UDP"),
        ({"namedPort": "serve-80-tcp"}, "80/TCP"),
        ({"destinationNamedPort": "serve-81-tcp"}, "81/TCP"),
        ({"tcp": {"destinationPort": {"number": 81}}}, "81/TCP"),
        ({"udp": {"destinationPort": {"range": {"start": 80, "end": 81}}}}, "80/UDP 81/UDP"),
        ({"tcp": {"destinationPort": {"range": {"start": 81, "end": 81}}}}, "81/TCP"),
        ({"udp": {}}, "80/UDP 81/UDP"),
        ({"tcp": None}, "80/TCP 81/TCP"),
        ({}, ""),
    ],
    ids=str,
)
@pytest.mark.parametrize("word", ["ports", "protocols"])
def test_the_ports_of_an_admin_rule(word: str, port: dict[str, object], held: str) -> None:
    pairs_held = [
        f"{number}/{protocol}"
        for protocol in ("TCP", "UDP")
        for number in (80, 81)
        if denies(deny(**{word: [port]}), number, protocol)
    ]
    assert " ".join(pairs_held) == held


@pytest.mark.parametrize(
    ("above", "first"),
    [
        ([("AdminNetworkPolicy", {"priority": 7}), ("AdminNetworkPolicy", {"priority": 3})], 1),
        ([("BaselineAdminNetworkPolicy", {}), ("AdminNetworkPolicy", {"priority": 1000})], 1),
        ([("ClusterNetworkPolicy", {"tier": "Baseline", "priority": 1}), ("ClusterNetworkPolicy", {"priority": 9})], 1),
        ([("AdminNetworkPolicy", {"priority": 3}), ("AdminNetworkPolicy", {"priority": "1"})], 1),
        ([("AdminNetworkPolicy", {"priority": 1}), ("AdminNetworkPolicy", None)], 1),
    ],
)
def test_the_order_in_which_admin_policies_are_asked(above: list[tuple[str, object]], first: int) -> None:
    known = [(kind, CustomObject(Metadata(name=str(place)), spec)) for place, (kind, spec) in enumerate(above)]  # type: ignore[arg-type]
    assert in_order(known)[0][1].metadata.name == str(first)


def test_a_policy_of_a_plugin_selects_no_pod_of_the_host_network_and_none_of_another_namespace() -> None:
    kind, policy = _custom("CiliumNetworkPolicy", "{endpointSelector: {}, ingress: []}")
    own = party(Situation("", {}, ()), "x/a")
    assert selects_for(Direction.INGRESS, kind, policy, own)
    assert not selects_for(Direction.INGRESS, kind, policy, own._replace(host_network=True))
    assert not selects_for(Direction.INGRESS, kind, policy, own._replace(labels=None))
    assert not selects_for(Direction.INGRESS, kind, CustomObject(Metadata(name="one")), own)
    for namespace, answer in (("x", True), ("y", False)):
        there = CustomObject(Metadata(name="one", namespace=namespace), policy.spec)
        assert selects_for(Direction.INGRESS, kind, there, own) is answer
