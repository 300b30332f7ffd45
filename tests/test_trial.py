"""Remedies, tried on the objects in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from simulate import simulate
from suites import SuiteCase, load_suites
from svcdoctor.diagnosis import Scope, diagnose, verdict_on
from svcdoctor.finding import Finding, Remedy, Role
from svcdoctor.objects import Service
from svcdoctor.remedies.kubectl import changes
from svcdoctor.remedies.trial import Verdict, afterwards, with_its_steps
from svcdoctor.world import World

CASES = [case for suite in load_suites(Path(__file__).parent / "checks") for case in suite.cases]
CART = """
kind: Deployment
metadata: {name: cart, labels: {app: cart}}
spec:
  replicas: 2
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      containers:
      - name: web
        image: shop/cart:1
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {tcpSocket: {port: 8080}}
---
kind: Service
metadata: {name: cart}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: http}]
"""


def world_of(text: str = CART) -> World:
    return simulate([document for document in yaml.safe_load_all(text) if document])


def judge(world: World, service: Service) -> Verdict:
    return verdict_on(world, service, Scope(), (), set())


def after(world: World, command: str, name: str = "cart") -> Verdict | None:
    return afterwards(world, world.listed("services", "shop")[name], Remedy("try", command), judge)


# --- what a line changes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "read"),
    [
        ("kubectl -n shop set selector service cart app=other,tier=web", lambda item: item.spec.selector),
        ('kubectl -n shop patch svc/cart -p \'{"spec":{"selector":{"tier":"web"}}}\'', lambda item: item.spec.selector),
        ("kubectl -n shop scale deployment cart --replicas=5", lambda item: item.spec.replicas),
        ("kubectl label -n shop deploy cart team=a app-", lambda item: item.metadata.labels),
        ("kubectl -n shop set env deployment/cart -c web URL=http://a", lambda item: env_of(item)),
    ],
)
def test_a_command_is_followed(command: str, read: Any) -> None:
    expected = {
        "set": {"app": "other", "tier": "web"},
        "patch": {"app": "cart", "tier": "web"},
        "scale": 5,
        "label": {"team": "a"},
        "env": [("URL", "http://a")],
    }
    (change,) = changes(command, world_of().listed_or_nothing) or []
    verb = next(word for word in ("env", "set", "patch", "scale", "label") if f" {word} " in command)
    assert read(change.after) == expected[verb]


def env_of(item: Any) -> list[tuple[str, str]]:
    return [(entry.name, entry.value) for entry in item.spec.template.spec.containers[0].env]


@pytest.mark.parametrize(
    "command",
    [
        "kubectl -n shop edit service cart",
        "kubectl -n shop set image deployment cart web=busybox:1 | tee log",
        'kubectl -n shop patch svc cart --type=json -p \'[{"op":"replace","path":"/spec/ports/7/port","value":1}]\'',
        "kubectl -n shop patch service nobody -p '{}'",
        "kubectl -n shop scale deployment cart --replicas=N",
        "rm -rf /",
        "kubectl -n shop delete service cart; rm -rf /",
        "",
    ],
)
def test_what_cannot_be_followed_is_not_guessed(command: str) -> None:
    assert changes(command, world_of().listed_or_nothing) is None


def test_a_manifest_is_applied_from_a_pipe() -> None:
    line = (
        """echo '{"apiVersion":"v1","kind":"Service","metadata":{"name":"new"},"spec":{"selector":{"app":"cart"}}}' |"""
    )
    (change,) = changes(f"{line} kubectl -n shop apply -f -", world_of().listed_or_nothing) or []
    assert (change.resource.name, change.namespace, change.name) == ("services", "shop", "new")
    assert change.after.spec.selector == {"app": "cart"}


# --- what comes of it ---------------------------------------------------------------------------------------------


def test_the_world_that_was_asked_stays_as_it_was() -> None:
    world = world_of(CART.replace("  selector: {app: cart}\n  ports", "  selector: {app: kart}\n  ports"))
    before = world.record()
    then = after(world, "kubectl -n shop set selector service cart app=cart")
    assert then and then.cause is None
    assert world.record() == before
    assert judge(world, world.listed("services", "shop")["cart"]).cause.code == "selector-value-mismatch"


def test_a_workload_that_is_scaled_up_gets_pods_that_serve() -> None:
    world = world_of(CART.replace("replicas: 2", "replicas: 0"))
    then = after(world, "kubectl -n shop scale deployment cart --replicas=3")
    assert then and then.cause is None
    assert "3 of 3 ready" in [finding.message for finding in then.findings]


def test_pods_are_replaced_when_their_template_changes() -> None:
    then = after(world_of(), "kubectl -n shop patch deployment cart -p '" + RENAMED + "'")
    assert then and then.cause and then.cause.code == "slice-ports-empty"


RENAMED = '{"spec":{"template":{"spec":{"containers":[{"name":"web","ports":[{"containerPort":8080,"name":"web"}]}]}}}}'


def test_nothing_is_said_of_another_image_where_pods_are_not_ready() -> None:
    world = world_of(CART.replace("replicas: 2", "replicas: 0"))
    assert after(world, "kubectl -n shop set image deployment cart web=shop/cart:2") is None


def test_nothing_is_said_of_another_readiness_probe() -> None:
    path = "/spec/template/spec/containers/0/readinessProbe/tcpSocket/port"
    patch = f'[{{"op":"replace","path":"{path}","value":8081}}]'
    assert after(world_of(), f"kubectl -n shop patch deployment cart --type=json -p '{patch}'") is None


def test_fixing_one_fault_shows_the_next() -> None:
    twice = CART.replace("  selector: {app: cart}\n  ports", "  selector: {app: kart}\n  ports").replace(
        "targetPort: http", "targetPort: htpp"
    )
    diagnosis = diagnose(world_of(twice), Scope("shop")).diagnosis
    (service,) = diagnosis.services
    cause, *others = [finding for finding in service.findings if finding.is_fault and finding.role is not None]
    assert cause.code == "selector-value-mismatch"
    assert cause.remedies[0].verified
    assert cause.remedies[0].then == "slice-ports-empty"
    assert any(finding.code == "slice-ports-empty" and finding.role is Role.ALSO for finding in others)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_remedy_that_can_be_followed_takes_its_fault_away(case: SuiteCase) -> None:
    world = simulate(case.manifests(), case.observed(), case.probe())
    for entry in diagnose(world, Scope()).diagnosis.services:
        service = world.held("services", entry.namespace)
        service = next(item for item in service if item.metadata.name == entry.name)
        for finding in entry.findings:
            if finding.role is Role.CAUSE:
                assert not list(in_vain(world, service, finding)), case.where


# What they are judged by, their controllers write, and these are not modelled.
JUDGED_BY_STATUS = {"gateways", "httproutes", "grpcroutes", "tlsroutes"}


def in_vain(world: World, service: Service, finding: Finding) -> Any:
    """The first remedy is meant to do it alone; the others may be other ways, or later steps."""
    if finding.remedies:
        remedy = with_its_steps(finding.remedies)
        found = changes(remedy.command, world.listed_or_nothing) if remedy.changes_cluster else None
        then = afterwards(world, service, remedy, judge)
        modelled = found and not {change.resource.name for change in found} & JUDGED_BY_STATUS
        if (
            modelled
            and then
            and any((other.code, other.message) == (finding.code, finding.message) for other in then.findings)
        ):
            yield remedy.command
