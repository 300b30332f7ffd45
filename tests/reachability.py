"""Situations of network policies as data (tests/policies), and the tables of who reaches whom that they promise.

The format is described at the top of tests/policies/networkpolicies.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from svcdoctor.objects import CustomObject, Metadata, NetworkPolicy, PodSpec
from svcdoctor.policies.policy import Party

DIRECTORY = Path(__file__).parent / "policies"
NAMESPACES = ("x", "y", "z")
PODS = tuple(f"{namespace}/{pod}" for namespace in NAMESPACES for pod in "abc")
EVERYONE = (*PODS, "node", "outside", "outside6")
PORTS = tuple((number, protocol) for number in (80, 81) for protocol in ("TCP", "UDP", "SCTP"))
ADDRESSES = {
    f"{namespace}/{pod}": (f"10.244.{row}.{column}", f"fd00:10:244:{row}::{column}")
    for row, namespace in enumerate(NAMESPACES, 1)
    for column, pod in enumerate("abc", 1)
}
_LINE = re.compile(r"(yes|no) (\S+) -> (\S+)((?: \S+)*)")


class Pair(NamedTuple):
    source: str
    destination: str
    number: int
    protocol: str

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination} {self.number}/{self.protocol}"


@dataclass(frozen=True)
class Situation:
    name: str
    policies: Mapping[str, Mapping[str, Any]]  # by namespace/name
    truth: tuple[str, ...]
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    namespace_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ports: Mapping[str, Mapping[str, tuple[int, str]]] = field(default_factory=dict)
    admin: tuple[Mapping[str, Any], ...] = ()  # kind and name, and the fields of the spec
    is_live: bool = False

    def __str__(self) -> str:
        return self.name

    def labels_of(self, pod: str) -> dict[str, str]:
        return {"pod": pod.split("/")[1], **self.labels.get(pod, {})}

    def labels_of_namespace(self, namespace: str) -> dict[str, str]:
        return {"ns": namespace, **self.namespace_labels.get(namespace, {})}

    def expected(self, pairs: Iterable[Pair]) -> dict[Pair, bool]:
        """Whether each connection is let through, as the situation's own lines have it."""
        lines = [_parsed(line) for line in self.truth]
        return {pair: _answer(lines, pair) for pair in pairs}


def situations(file: str, namespaces: Mapping[str, str], addresses: Mapping[str, str]) -> list[Situation]:
    """The situations of a file, with the names of the namespaces and the IPv4 addresses of the Pods put in."""
    text = (DIRECTORY / file).read_text(encoding="utf-8")
    for mark, value in {**namespaces, **addresses}.items():
        text = text.replace(f"{{{mark}}}", value)
    return [
        Situation(
            name=item["name"],
            policies=item.get("policies", {}),
            truth=tuple(item["truth"]),
            labels=item.get("labels", {}),
            namespace_labels=item.get("namespaceLabels", {}),
            ports=item.get("ports", {}),
            admin=tuple(item.get("admin", ())),
            is_live=item.get("live", False) is True,
        )
        for item in yaml.safe_load(text)
    ]


def offline(file: str) -> list[Situation]:
    return situations(file, {name: name for name in NAMESPACES}, {pod: held[0] for pod, held in ADDRESSES.items()})


def pairs(names: Iterable[str] = EVERYONE, ports: Iterable[tuple[int, str]] = PORTS) -> Iterator[Pair]:
    """Every connection between these, but not of one of them with itself."""
    known = list(names)
    for source in known:
        for destination in known:
            if source != destination:
                yield from (Pair(source, destination, number, protocol) for number, protocol in ports)


def policies(situation: Situation, namespaces: Mapping[str, str]) -> list[NetworkPolicy]:
    return [msgspec.convert(manifest, NetworkPolicy) for manifest in manifests(situation, namespaces)]


def admin_policies(situation: Situation) -> list[tuple[str, CustomObject]]:
    """The policies of the cluster's administrators with their kinds, in no order."""
    found = []
    for written in situation.admin:
        kind, *_ = written
        own = {key: value for key, value in written.items() if key != kind}
        found.append((kind, CustomObject(Metadata(name=written[kind]), own)))
    return found


def manifests(situation: Situation, namespaces: Mapping[str, str]) -> list[dict[str, Any]]:
    found = []
    for path, spec in situation.policies.items():
        namespace, name = path.split("/")
        metadata = {"name": name, "namespace": namespaces[namespace]}
        found.append(
            {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": dict(spec)}
        )
    return found


def party(situation: Situation, name: str) -> Party:
    """One of EVERYONE, as the evaluator sees it."""
    if name == "outside":
        return Party(name, addresses=("203.0.113.9",))
    if name == "outside6":
        return Party(name, addresses=("2001:db8::9",))
    if name == "node":
        labels, spaces = {"pod": "a"}, situation.labels_of_namespace("x")
        node = frozenset({"node-of-a"})
        addresses = ("172.18.0.2",)
        return Party(name, "x", labels, spaces, addresses, host_network=True, nodes=node, pod=name, spec=spec({}))
    namespace, pod = name.split("/")
    return Party(
        name,
        namespace,
        situation.labels_of(name),
        situation.labels_of_namespace(namespace),
        ADDRESSES[name],
        nodes=frozenset({f"node-of-{pod}"}),
        pod=pod,
        spec=spec(situation.ports.get(name, {})),
    )


def spec(named: Mapping[str, tuple[int, str]]) -> PodSpec:
    """A Pod's, which serves 80 and 81 by each protocol; its ports have the usual names where no others are given."""
    usual = {f"serve-{number}-{protocol.lower()}": (number, protocol) for number, protocol in PORTS}
    ports = [
        {"name": name, "containerPort": number, "protocol": protocol}
        for name, (number, protocol) in (named or usual).items()
    ]
    return msgspec.convert({"containers": [{"name": "serve", "ports": ports}]}, PodSpec)


def difference(expected: Mapping[Pair, bool], answer: Callable[[Pair], bool]) -> list[str]:
    """The connections for which the answers are not those expected, one a line."""
    return [f"{pair}: {'no' if holds else 'yes'}" for pair, holds in expected.items() if answer(pair) is not holds]


class _Line(NamedTuple):
    answer: bool
    sources: list[str]
    destinations: list[str]
    ports: list[str]


def _parsed(line: str) -> _Line:
    held = _LINE.fullmatch(line)
    if held is None:
        raise ValueError(f"`{line}` is not a line of a table")
    return _Line(held[1] == "yes", held[2].split(","), held[3].split(","), held[4].split() or ["*"])


def _answer(lines: list[_Line], pair: Pair) -> bool:
    if pair.source == "node" and pair.destination in ("x/a", "y/a", "z/a"):
        return True
    answer = True
    for line in lines:
        if (
            any(_fits(pattern, pair.source) for pattern in line.sources)
            and any(_fits(pattern, pair.destination) for pattern in line.destinations)
            and any(fnmatchcase(f"{pair.number}/{pair.protocol}", pattern) for pattern in line.ports)
        ):
            answer = line.answer
    return answer


def _fits(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern)
