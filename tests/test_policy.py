"""What the evaluator of NetworkPolicies says of a connection that they deny: which side does, and what a rule lacks.

Who reaches whom is in tests/policies, and asked by test_policy_situations.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest
import yaml

from svcdoctor.objects import LabelSelector, NetworkPolicy, PodSpec
from svcdoctor.policies.policy import Lack, Party, judge, selects

# Namespaces x, y and z carry ns=<name>; Pods a, b and c in each carry pod=<name>. Each serves 80 (TCP, UDP, SCTP,
# named serve-80-tcp and so on) and 81.
NAMESPACES = {name: {"ns": name} for name in "xyz"}
SPEC = msgspec.convert(
    {
        "containers": [
            {
                "name": f"cont-{number}-{protocol.lower()}",
                "ports": [
                    {
                        "containerPort": number,
                        "protocol": protocol,
                        "name": f"serve-{number}-{protocol.lower()}",
                    }
                ],
            }
            for number in (80, 81)
            for protocol in ("TCP", "UDP", "SCTP")
        ]
    },
    PodSpec,
)
ADDRESSES = {
    f"{namespace}/{pod}": (f"10.244.{row}.{column}", f"fd00:10:244:{row}::{column}")
    for row, namespace in enumerate("xyz", 1)
    for column, pod in enumerate("abc", 1)
}
EXTRA: dict[str, Party] = {
    "outside": Party("203.0.113.9", addresses=("203.0.113.9",)),
    "outside6": Party("2001:db8::9", addresses=("2001:db8::9",)),
    "host": Party(
        "x/host",
        "x",
        {"pod": "a"},
        NAMESPACES["x"],
        ("172.18.0.2",),
        host_network=True,
        nodes=frozenset({"worker"}),
        pod="host",
        spec=SPEC,
    ),
    "x/any": Party("x/any", "x", {"pod": "any"}, NAMESPACES["x"], spec=SPEC),
    "x/nowhere": Party("x/nowhere", "x", {"pod": "nowhere"}, NAMESPACES["x"], spec=SPEC),
}


def party(name: str) -> Party:
    if name in EXTRA:
        return EXTRA[name]
    namespace, pod = name.split("/")
    return Party(
        name,
        namespace,
        {"pod": pod},
        NAMESPACES[namespace],
        ADDRESSES[name],
        nodes=frozenset({"worker" if pod == "a" else "worker2"}),
        pod=pod,
        spec=SPEC,
    )


# Each policy is a spec, in namespace x where its name does not say another one.
POLICIES = {
    name: yaml.safe_load(spec)
    for name, spec in {
        "deny-ingress": "{podSelector: {}, policyTypes: [Ingress]}",
        "deny-ingress-empty-list": "{podSelector: {}, policyTypes: [Ingress], ingress: []}",
        "deny-egress": "{podSelector: {}, policyTypes: [Egress]}",
        "deny-all": "{podSelector: {}, policyTypes: [Ingress, Egress]}",
        "deny-a": "{podSelector: {matchLabels: {pod: a}}}",
        "no-types-egress-rules": "{egress: [{to: [{podSelector: {}}]}]}",
        "no-types-no-rules": "{}",
        "from-pod-b": (
            "{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}"
        ),
        "from-own-namespace": "{ingress: [{from: [{podSelector: {}}]}]}",
        "from-namespace-y": "{ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]}",
        "from-namespace-name-y": (
            "{ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: y}}}]}]}"
        ),
        "from-namespace-not-x": (
            "{ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: [x]}]}}]}]}"
        ),
        "from-any-namespace": "{ingress: [{from: [{namespaceSelector: {}}]}]}",
        "from-y-and-b": (
            "{ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}, podSelector: {matchLabels: {pod: b}}}]}]}"
        ),
        "from-y-or-b": (
            "{ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}, {podSelector: {matchLabels: {pod: b}}}]}]}"
        ),
        "from-block-or-b": (
            "{ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}, {podSelector: {matchLabels: {pod: b}}}]}]}"
        ),
        "from-b-or-c-by-expression": (
            "{ingress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: In, values: [b, c]}]}}]}]}"
        ),
        "port-80": "{ingress: [{ports: [{port: 80}]}]}",
        "port-81-from-y": (
            "{ingress: [{ports: [{port: 81, protocol: TCP}], from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]}"
        ),
        "two-rules": (
            "{ingress: [{ports: [{port: 80}], from: [{namespaceSelector: {matchLabels: {ns: y}}}]},"
            " {ports: [{port: 81}], from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}"
        ),
        "ports-79-to-90": "{ingress: [{ports: [{port: 79, endPort: 90}]}]}",
        "ports-81-to-90": "{ingress: [{ports: [{port: 81, endPort: 90}]}]}",
        "port-by-name": "{ingress: [{ports: [{port: serve-80-tcp}]}]}",
        "port-by-unknown-name": "{ingress: [{ports: [{port: http}]}]}",
        "port-by-name-of-udp": "{ingress: [{ports: [{port: serve-80-udp, protocol: UDP}]}]}",
        "port-by-name-without-its-protocol": "{ingress: [{ports: [{port: serve-80-udp}]}]}",
        "udp-80": "{ingress: [{ports: [{port: 80, protocol: UDP}]}]}",
        "sctp-80": "{ingress: [{ports: [{port: 80, protocol: SCTP}]}]}",
        "every-udp-port": "{ingress: [{ports: [{protocol: UDP}]}]}",
        "block-of-y": "{ingress: [{from: [{ipBlock: {cidr: 10.244.2.0/24}}]}]}",
        "block-except-y-a": "{ingress: [{from: [{ipBlock: {cidr: 10.244.0.0/16, except: [10.244.2.1/32]}}]}]}",
        "block-everything4": "{ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}",
        "block-6": "{ingress: [{from: [{ipBlock: {cidr: 'fd00:10:244:2::/64'}}]}]}",
        "to-y": "{policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: y}}}]}]}",
        "to-port-80": "{policyTypes: [Egress], egress: [{ports: [{port: 80}]}]}",
        "to-port-by-name": "{policyTypes: [Egress], egress: [{ports: [{port: serve-81-tcp}]}]}",
        "to-block-outside": "{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}",
        "to-service-address": "{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.96.0.7/32}}]}]}",
        "y/deny-egress": "{podSelector: {}, policyTypes: [Egress]}",
        "y/to-x": "{policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}",
        "z/deny-ingress": "{podSelector: {}, policyTypes: [Ingress]}",
    }.items()
}


def policy(name: str) -> NetworkPolicy:
    namespace, _, own = name.rpartition("/")
    metadata = {"name": own, "namespace": namespace or "x"}
    return msgspec.convert({"metadata": metadata, "spec": POLICIES[name]}, NetworkPolicy)


class Row(NamedTuple):
    policies: str
    source: str
    destination: str
    answer: str  # "yes", or which side denies it and what the nearest rule lacks
    port: int = 80
    protocol: str = "TCP"

    def __str__(self) -> str:
        return f"{self.policies or 'no policy'}: {self.source} -> {self.destination}:{self.port}/{self.protocol}"


YES = "yes"
NO_RULE_IN, NO_RULE_OUT = "ingress: no rule", "egress: no rule"
TABLE = [
    # default deny
    Row("deny-ingress", "x/b", "x/a", NO_RULE_IN),
    Row("deny-ingress-empty-list", "y/a", "x/a", NO_RULE_IN),
    Row("deny-ingress", "outside", "x/a", NO_RULE_IN),
    Row("deny-egress", "x/a", "y/a", NO_RULE_OUT),
    Row("deny-all", "x/a", "y/a", NO_RULE_OUT),
    Row("deny-all", "y/a", "x/a", NO_RULE_IN),
    Row("deny-a", "x/b", "x/a", NO_RULE_IN),
    # policyTypes left out
    Row("no-types-no-rules", "x/b", "x/a", NO_RULE_IN),
    Row("no-types-egress-rules", "y/a", "x/a", NO_RULE_IN),
    Row("no-types-egress-rules", "x/a", "y/a", "egress: namespace"),
    Row("no-types-egress-rules z/deny-ingress", "x/a", "outside", "egress: address"),
    # peers
    Row("from-pod-b", "x/c", "x/a", "ingress: Pod labels"),
    Row("from-pod-b", "y/b", "x/a", "ingress: namespace"),
    Row("from-pod-b", "y/c", "x/a", "ingress: Pod labels, namespace"),
    Row("from-own-namespace", "y/c", "x/a", "ingress: namespace"),
    Row("from-own-namespace", "outside", "x/a", "ingress: address"),
    Row("from-namespace-y", "x/c", "x/a", "ingress: namespace labels"),
    Row("from-namespace-name-y", "z/c", "x/a", "ingress: namespace labels"),
    Row("from-namespace-not-x", "x/c", "x/a", "ingress: namespace labels"),
    Row("from-any-namespace", "outside", "x/a", "ingress: address"),
    Row("from-y-and-b", "y/c", "x/a", "ingress: Pod labels"),
    Row("from-y-and-b", "x/b", "x/a", "ingress: namespace labels"),
    Row("from-y-or-b", "z/b", "x/a", "ingress: namespace labels"),
    Row("from-block-or-b", "x/c", "x/a", "ingress: Pod labels"),
    Row("from-b-or-c-by-expression", "x/a", "x/b", "ingress: Pod labels"),
    Row("from-pod-b from-namespace-y", "z/a", "x/a", "ingress: namespace labels"),
    # ports, which are those of the Pod
    Row("port-80", "y/a", "x/a", "ingress: port", 81),
    Row("port-80", "y/a", "x/a", "ingress: protocol", 80, "UDP"),
    Row("port-81-from-y", "y/a", "x/a", "ingress: port"),
    Row("port-81-from-y", "z/a", "x/a", "ingress: namespace labels", 81),
    Row("port-81-from-y", "z/a", "x/a", "ingress: namespace labels, port"),
    Row("two-rules", "z/a", "x/a", "ingress: port", 80),
    Row("ports-79-to-90", "y/a", "x/a", "ingress: port", 91),
    Row("ports-81-to-90", "y/a", "x/a", "ingress: port"),
    Row("ports-79-to-90", "y/a", "x/a", "ingress: protocol", 80, "UDP"),
    Row("port-by-name", "y/a", "x/a", "ingress: port", 81),
    Row("port-by-unknown-name", "y/a", "x/a", "ingress: port name"),
    Row("port-by-name-of-udp", "y/a", "x/a", "ingress: protocol", 80, "TCP"),
    Row("port-by-name-without-its-protocol", "y/a", "x/a", "ingress: port name", 80, "UDP"),
    # protocols
    Row("udp-80", "y/a", "x/a", "ingress: protocol"),
    Row("sctp-80", "y/a", "x/a", "ingress: protocol", 80, "TCP"),
    Row("every-udp-port", "y/a", "x/a", "ingress: protocol", 81),
    # blocks
    Row("block-of-y", "z/b", "x/a", "ingress: address"),
    Row("block-except-y-a", "y/a", "x/a", "ingress: except"),
    Row("block-everything4", "outside6", "x/a", "ingress: address"),
    Row("block-6", "outside6", "x/a", "ingress: address"),
    Row("block-of-y", "x/nowhere", "x/a", YES),  # no address is known: it may be there
    # egress
    Row("to-y", "x/a", "z/a", "egress: namespace labels"),
    Row("to-y", "x/a", "outside", "egress: address"),
    Row("to-port-80", "x/a", "y/a", "egress: port", 81),
    Row("to-port-80", "x/a", "y/a", "egress: protocol", 80, "UDP"),
    Row("to-port-by-name", "x/a", "y/a", "egress: port"),
    Row("to-port-by-name", "x/a", "outside", "egress: port name", 81),
    Row("to-block-outside", "x/a", "y/a", "egress: address"),
    Row("to-service-address", "x/a", "y/a", "egress: address"),
    # both sides
    Row("y/deny-egress from-namespace-y", "y/a", "x/a", NO_RULE_OUT),
    Row("y/to-x deny-ingress", "y/a", "x/a", NO_RULE_IN),
    # the host network
    Row("deny-all", "x/b", "host", NO_RULE_OUT),
    Row("from-own-namespace", "host", "x/b", "ingress: host network"),
    Row("deny-ingress", "host", "x/nowhere", NO_RULE_IN),  # of a Pod that runs nowhere, no node is the node
    Row("deny-ingress", "x/any", "x/nowhere", NO_RULE_IN),  # any Pods of two workloads are not the same Pod
]


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_table(row: Row) -> None:
    policies = [policy(name) for name in row.policies.split()]
    verdict = judge(party(row.source), party(row.destination), row.port, row.protocol, policies)
    answer = YES
    for side in (verdict.ingress, verdict.egress):
        if not side.allowed:
            lacks = ", ".join(sorted(side.misses[0].lacks)) if side.misses else "no rule"
            answer = f"{side.direction.lower()}: {lacks}"
    assert answer == row.answer
    assert verdict.allowed is (row.answer == YES)


def test_what_admits_and_what_isolates_is_named() -> None:
    policies = [policy("deny-ingress"), policy("two-rules")]
    side = judge(party("z/a"), party("x/a"), 81, "TCP", policies).ingress
    assert side.rule is not None
    assert side.rule.source == "networkpolicy/two-rules .spec.ingress[1]"
    assert [item.metadata.name for item in side.isolating] == ["deny-ingress", "two-rules"]


def test_the_rule_that_lacks_least_comes_first() -> None:
    policies = [policy("port-81-from-y"), policy("from-pod-b")]
    side = judge(party("x/c"), party("x/a"), 80, "TCP", policies).ingress
    assert [(miss.rule.policy.metadata.name, miss.lacks) for miss in side.misses] == [
        ("from-pod-b", {Lack.POD_LABELS}),
        ("port-81-from-y", {Lack.NAMESPACE_LABELS, Lack.PORT}),
    ]
    assert side.depends_on_namespaces
    assert not judge(party("x/c"), party("x/a"), 80, "TCP", [policy("from-pod-b")]).ingress.depends_on_namespaces


@pytest.mark.parametrize(
    ("selector", "labels", "answer"),
    [
        ("{}", {}, True),
        ("{matchLabels: {a: '1'}}", {"a": "1", "b": "2"}, True),
        ("{matchLabels: {a: '1', b: '3'}}", {"a": "1", "b": "2"}, False),
        ("{matchExpressions: [{key: a, operator: Exists}]}", {"a": ""}, True),
        ("{matchExpressions: [{key: a, operator: Exists}]}", {}, False),
        ("{matchExpressions: [{key: a, operator: DoesNotExist}]}", {}, True),
        ("{matchExpressions: [{key: a, operator: DoesNotExist}]}", {"a": "1"}, False),
        ("{matchExpressions: [{key: a, operator: In, values: ['1', '2']}]}", {"a": "2"}, True),
        ("{matchExpressions: [{key: a, operator: In, values: ['1']}]}", {}, False),
        ("{matchExpressions: [{key: a, operator: NotIn, values: ['1']}]}", {}, True),
        ("{matchExpressions: [{key: a, operator: NotIn, values: ['1']}]}", {"a": "1"}, False),
        ("{matchLabels: {a: '1'}, matchExpressions: [{key: b, operator: Exists}]}", {"a": "1"}, False),
        ("{matchExpressions: [{key: a, operator: Gt, values: ['1']}]}", {"a": "2"}, False),
    ],
)
def test_selectors(selector: str, labels: dict[str, str], answer: bool) -> None:
    written: Any = yaml.safe_load(selector)
    assert selects(msgspec.convert(written, LabelSelector), labels) is answer
