"""Every suite with one thing taken from it: a kind that may not be listed, or an object that does not decode.

What is then said has to be what the whole World bears out, or `unknown`; and what is lacking is named. Of each suite
one case and of each case one kind and one object are drawn, and with SVCDOCTOR_SOAK=1 all of them.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from honest import is_better, lies
from simulate import simulate
from suites import Suite, SuiteCase, load_suites
from svcdoctor.diagnosis import Scope, diagnose_recorded
from svcdoctor.finding import Gap, Unreadable
from svcdoctor.objects import RESOURCES
from svcdoctor.report.json import render
from svcdoctor.world import EVERYWHERE, World

SOAK = bool(os.environ.get("SVCDOCTOR_SOAK"))
SUITES = load_suites(Path(__file__).parent.parent / "checks")


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.check)
def test_a_kind_that_may_not_be_listed(suite: Suite) -> None:
    for case, world, chance in drawn(suite):
        whole = report(world)
        kinds = [kind for kind in RESOURCES if world.was_read(kind, EVERYWHERE) and world.everywhere(kind)[0]]
        for kind in kinds if SOAK else [chance.choice(kinds)]:
            told = report(without_kind(world, kind))
            # What leads to a Service, calls it or works on its traffic beside it may be out of sight while the Service
            # itself is well: then it is said that it is.
            may_pass = RESOURCES[kind].optional or kind in BESIDES
            named = kind in ADDS or (may_pass and kind in {gap["resource"] for gap in told["denied"]})
            found = [lie for lie in lies(told, whole) if not (named and is_better(lie))]
            excused = {code for code in EXCUSED if code[0] == kind and any(f"'{code[1]}'" in lie for lie in found)}
            if named and excused:
                assert all(says_its_doubt(told, code) for kind, code in excused if kind in DOUBTS)
                found = [lie for lie in found if "when all is seen" not in lie]
                found = [lie for lie in found if not any(f"'{code}'" in lie for _, code in excused)]
            assert found == [], f"{case.where} without {kind}"


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.check)
def test_an_object_that_does_not_decode(suite: Suite) -> None:
    for case, world, chance in drawn(suite):
        whole = report(world)
        places = [
            (kind, item.metadata.namespace, item.metadata.name)
            for kind in RESOURCES
            if world.was_read(kind, EVERYWHERE)
            for item in world.everywhere(kind)[0]
        ]
        for kind, namespace, name in places if SOAK else [chance.choice(places)]:
            found = lies(report(without_object(world, kind, namespace, name)), whole)
            # What stands in another namespace is out of sight like what may not be listed.
            beside = kind in (*BESIDE, *ADDS)
            found = [lie for lie in found if not is_better(lie) or not (beside or elsewhere(lie, namespace))]
            assert found == [], f"{case.where} without {kind} {namespace}/{name}"


# Kinds of every cluster that tell what stands beside a Service, or why it is as it is: without them it may pass, and
# `denied` names them. Without any other kind it is unknown.
BESIDES = (
    "nodes",
    "namespaces",
    "endpointslices",
    "deployments",
    "daemonsets",
    "cronjobs",
    "events",
    "ingressclasses",
    "configmaps",
)
# Without these less is said, and nobody is told that they are missing: few may list them.
ADDS = ("endpoints", "horizontalpodautoscalers", "secrets", "servicemonitors", "validatingwebhookconfigurations")
# Faults that hold of most clusters, and that the kind alone could excuse: they are told, and named in `denied` is what
# was not seen. Those of DOUBTS are `inferred` then, and their evidence says under `unless` what nobody could look at.
EXCUSED = {
    # No object tells of most network plugins whether they enforce policies; a policy is taken at its word there too.
    ("daemonsets", "netpol-default-deny-ingress"),
    # A name that no Service has may be that of a node: only a kubeconfig in a ConfigMap says such a thing.
    ("nodes", "svc-missing"),
    # The cache is down on its node, which is so as well where the whole node is.
    ("nodes", "dns-nodelocal-broken"),
    # What a NetworkPolicy refuses the cluster's administrators may admit, where their policies are out of sight.
    ("adminnetworkpolicies", "netpol-ingress-no-match"),
    ("adminnetworkpolicies", "netpol-default-deny-ingress"),
    # Hardly any Corefile gives a Service a name of another shape.
    ("configmaps", "dns-client-wrong-name"),
    # The Gateway itself says that its listeners collide; whether a Route hangs on one that does not is what is unseen.
    ("httproutes", "gw-listener-conflict"),
    # No Pod is there and none is asked for: slices that still hold one are late, and tell only how old that is.
    ("endpointslices", "workload-scaled-zero"),
}
DOUBTS = {
    "configmaps": "its Corefile may not be read",
    "daemonsets": "not all DaemonSets were read",
    "nodes": "nodes may not be read",
    "adminnetworkpolicies": "adminnetworkpolicies may not be read",
}


def says_its_doubt(told: dict[str, Any], code: str) -> bool:
    """Whether every finding of the code that is not observed says what was not seen that could excuse it."""
    places = [*told["services"], *told["missing"], *told["clients"], told["cluster"]]
    findings = [finding for place in places for finding in place["findings"] if finding["code"] == code]
    return bool(findings) and all(
        finding["certainty"] == "inferred"
        and any(item["label"] == "unless" and item["source"] in DOUBTS.values() for item in finding["evidence"])
        for finding in findings
    )


# An object of these is about whoever it names: where it cannot be read, that alone is said.
BESIDE = ("events", "services", "ingresses", "httproutes", "grpcroutes", "tlsroutes", "authorizationpolicies")


def elsewhere(lie: str, namespace: str) -> bool:
    """Whether it is about a Service of another namespace than the object stands in."""
    return not lie.startswith(f"{namespace}/")


def drawn(suite: Suite) -> Iterator[tuple[SuiteCase, World, random.Random]]:
    chance = random.Random(suite.check)
    for case in suite.cases if SOAK else [chance.choice(suite.cases)]:
        yield case, simulate(case.manifests(), case.observed(), case.probe()), chance


def report(world: World) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(render(diagnose_recorded(world, Scope())))
    return document


def without_kind(world: World, kind: str) -> World:
    """As if nobody may list it, neither everywhere nor in any namespace."""
    less = World.replay(world.record())
    namespaces = [item.metadata.name for item in world.held("namespaces")] if RESOURCES[kind].namespaced else []
    less.forget(kind)
    for namespace in (EVERYWHERE, *namespaces):
        less.miss(Gap("list", kind, RESOURCES[kind].group, namespace, "forbidden"))
    return less


def without_object(world: World, kind: str, namespace: str, name: str) -> World:
    less = World.replay(world.record())
    less.drop(kind, namespace, name)
    less.unreadable = [*less.unreadable, Unreadable(kind, namespace, name, "$.spec: expected object, got array")]
    return less
