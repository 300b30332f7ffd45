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
            named = kind in ADDS or kind in {gap["resource"] for gap in told["denied"]}
            found = [lie for lie in lies(told, whole) if not (named and is_better(lie))]
            if any(f"'{code}'" in lie for lie in found for code in EXCUSED.get(kind, ())):
                found = [lie for lie in found if "when all is seen" not in lie and not _is_excused(lie, kind)]
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


# Without these less is said, and nobody is told that they are missing: few may list them.
ADDS = ("endpoints", "horizontalpodautoscalers", "secrets", "servicemonitors", "validatingwebhookconfigurations")
# Faults that are still told where the kind cannot be listed in which an excuse for them might stand. The Service's
# other findings say that it cannot.
EXCUSED = {
    "daemonsets": ("netpol-default-deny-ingress",),
    "deployments": ("slice-no-ready", "slice-partial-ready", "pods-image-pull"),
    "destinationrules": ("mesh-subset-missing",),
    "endpointslices": ("slice-no-ready", "workload-scaled-zero"),
    "events": ("slice-controller-lag",),
    "httproutes": ("gw-not-programmed", "gw-listener-conflict"),
    "nodes": ("svc-missing", "dns-nodelocal-broken", "svc-externalips"),
    "replicasets": ("slice-no-ready",),
}


def _is_excused(lie: str, kind: str) -> bool:
    return any(f"'{code}'" in lie for code in EXCUSED.get(kind, ()))


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
