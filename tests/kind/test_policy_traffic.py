"""The evaluator of NetworkPolicies against real traffic: nine Pods, each connecting to all others.

The situations are those of tests/policies that say `live: true`. One shell stays open in each Pod; it tries every
other Pod and port at once, as often as it is asked to.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from cluster import Cluster
from reachability import (
    NAMESPACES,
    PODS,
    Pair,
    Situation,
    difference,
    manifests,
    pairs,
    party,
    policies,
    situations,
    spec,
)
from svcdoctor.policies.policy import Party, judge

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.57"
SECONDS = 30.0  # until policies are enforced
REAL = {name: f"pol-{name}" for name in NAMESPACES}
SERVE = "/agnhost netexec --http-port=81 --udp-port=81 & exec /agnhost netexec --http-port=80 --udp-port=80"
# nc costs a tenth of what agnhost does, but has no UDP. A refused connection reached the Pod: no policy held it back.
TRY = {
    "TCP": "nc -w 1 {address} {number}",
    "UDP": "/agnhost connect --protocol=udp --timeout=2s {address}:{number}",
}


@dataclass(frozen=True)
class Pods:
    cluster: Cluster
    addresses: Mapping[str, str]
    nodes: Mapping[str, str]
    shells: Mapping[str, subprocess.Popen[str]]

    def reached(self, asked: list[Pair]) -> dict[Pair, bool]:
        """Which of these connections come about now."""
        own = {pod: [pair for pair in asked if pair.source == pod] for pod in self.shells}
        for pod, shell in self.shells.items():
            assert shell.stdin
            shell.stdin.write("".join(self._attempt(pair) for pair in own[pod]) + "wait; echo end\n")
            shell.stdin.flush()
        return {pair: holds for pod, shell in self.shells.items() for pair, holds in _answers(pod, shell)}

    def _attempt(self, pair: Pair) -> str:
        command = TRY[pair.protocol].format(address=self.addresses[pair.destination], number=pair.number)
        words = f"{pair.destination} {pair.number} {pair.protocol}"
        return f'(said=$({command} 2>&1 </dev/null) && echo "{words} yes" || echo "{words} no $said") &\n'

    def party(self, situation: Situation, name: str) -> Party:
        """The Pod with what is really its: its namespace, its address and its node."""
        own = party(situation, name)
        return own._replace(
            namespace=REAL[own.namespace],
            addresses=(self.addresses[name],),
            nodes=frozenset({self.nodes[name]}),
        )


def _answers(pod: str, shell: subprocess.Popen[str]) -> Iterator[tuple[Pair, bool]]:
    assert shell.stdout
    for line in shell.stdout:
        if line == "end\n":
            return
        destination, number, protocol, answer, *said = line.split()
        if "refused" in " ".join(said).lower():
            pytest.fail(f"{pod} reaches {destination}, and nothing listens there: {line}", pytrace=False)
        yield Pair(pod, destination, int(number), protocol), answer == "yes"
    pytest.fail(f"the shell in {pod} ended", pytrace=False)


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> Iterator[Pods]:
    cluster.kubectl("delete", "namespace", "--ignore-not-found", *REAL.values())
    spaces = [_object("v1", "Namespace", REAL[name], labels={"ns": name}) for name in NAMESPACES]
    cluster.kubectl("apply", "-f", "-", input=_list(spaces))
    try:
        for name in REAL.values():
            cluster.kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        cluster.kubectl("apply", "-f", "-", input=_list([_pod(cluster, name) for name in PODS]))
        for name in REAL.values():
            cluster.kubectl("-n", name, "wait", "--for=condition=Ready", "pods", "--all", "--timeout=120s")
        held = {
            f"{space}/{item['metadata']['name']}": item
            for space, name in REAL.items()
            for item in json.loads(cluster.kubectl("-n", name, "get", "pods", "-o", "json"))["items"]
        }
        with ExitStack() as shells:
            yield Pods(
                cluster,
                {name: item["status"]["podIP"] for name, item in held.items()},
                {name: item["spec"]["nodeName"] for name, item in held.items()},
                {name: shells.enter_context(_shell(cluster, name)) for name in PODS},
            )
    finally:
        cluster.kubectl("delete", "namespace", "--wait=false", *REAL.values())


def test_traffic_is_as_the_evaluator_says(pods: Pods) -> None:
    """In each situation, all Pods: what comes about is what is judged, and what the table of the situation says."""
    live = [item for item in situations("networkpolicies.yaml", REAL, pods.addresses) if item.is_live]
    assert live
    tried, wrong, started = 0, [], time.monotonic()
    for before, situation in zip([None, *live], live, strict=False):
        asked = [pair for pair in pairs(PODS) if _is_tried(pair, situation)]
        expected = situation.expected(asked)
        known = policies(situation, REAL)
        parties = {name: pods.party(situation, name) for name in PODS}

        def judged(pair: Pair, parties: Mapping[str, Party] = parties, known: Any = known) -> bool:
            return judge(parties[pair.source], parties[pair.destination], pair.number, pair.protocol, known).allowed

        assert difference(expected, judged) == [], situation.name
        earlier = before.expected(asked) if before else {}
        new = {pair: holds for pair, holds in expected.items() if earlier.get(pair) is not holds}
        assert new, f"{situation} promises what the one before it does: nothing would tell when it is in force"
        with _in_force(pods.cluster, situation):
            unlike = _unlike(pods, new) or _unlike(pods, expected)
        wrong += [f"{situation}: {line}" for line in unlike]
        tried += len(asked)
    seconds = time.monotonic() - started
    print(f"\n{len(live)} situations, {tried} pairs, {len(wrong)} disagreements, {seconds:.0f} s")
    assert wrong == []


def _is_tried(pair: Pair, situation: Situation) -> bool:
    """TCP; from the Pods called a UDP too, where the table tells the two apart. The nodes know no SCTP."""
    is_udp = pair.protocol == "UDP" and pair.source.endswith("/a") and any("UDP" in line for line in situation.truth)
    return pair.protocol == "TCP" or is_udp


def _unlike(pods: Pods, expected: Mapping[Pair, bool]) -> list[str]:
    """The connections that are not as expected, nor become so: each is tried again until it is, or time is up."""
    ends = time.monotonic() + SECONDS
    left = dict(expected)
    while left:
        found = pods.reached(list(left))
        left = {pair: holds for pair, holds in left.items() if found[pair] is not holds}
        if time.monotonic() > ends:
            break
    return difference(left, lambda pair: not left[pair])


@contextmanager
def _in_force(cluster: Cluster, situation: Situation) -> Iterator[None]:
    """The labels and policies of a situation, and nothing of them afterwards."""
    written = _list(manifests(situation, REAL))
    labelled = [(_words(path), labels) for path, labels in situation.labels.items()]
    labelled += [(["namespace", REAL[name]], labels) for name, labels in situation.namespace_labels.items()]
    for words, labels in labelled:
        cluster.kubectl("label", *words, *(f"{key}={value}" for key, value in labels.items()))
    if situation.policies:
        cluster.kubectl("apply", "-f", "-", input=written)
    try:
        yield
    finally:
        if situation.policies:
            cluster.kubectl("delete", "-f", "-", input=written)
        for words, labels in labelled:
            cluster.kubectl("label", *words, *(f"{key}-" for key in labels))


def _words(path: str) -> list[str]:
    namespace, pod = path.split("/")
    return ["pod", pod, "-n", REAL[namespace]]


@contextmanager
def _shell(cluster: Cluster, name: str) -> Iterator[subprocess.Popen[str]]:
    """A shell in a Pod, which runs what is written to it."""
    namespace, pod = name.split("/")
    command = ["kubectl", "-n", REAL[namespace], "exec", "-i", pod, "--", "sh"]
    shell = subprocess.Popen(
        command, env=dict(cluster.environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    with shell:
        try:
            yield shell
        finally:
            shell.kill()


def _pod(cluster: Cluster, name: str) -> dict[str, Any]:
    namespace, pod = name.split("/")
    ports = json.loads(msgspec.json.encode(spec({})))["containers"][0]["ports"]
    container = {
        "name": "serve",
        "image": AGNHOST,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", SERVE],
        "ports": ports,
    }
    node = f"{cluster.name}-worker{'' if pod == 'a' else '2'}"
    return {
        **_object("v1", "Pod", pod, REAL[namespace], {"pod": pod}),
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [container]},
    }


def _object(version: str, kind: str, name: str, namespace: str = "", labels: Any = None) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels or {}, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _list(items: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
