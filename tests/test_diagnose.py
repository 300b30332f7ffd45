"""What the engine makes of findings: what is held back, what is folded, what is never said of things unseen."""

from __future__ import annotations

import yaml
from msgspec.structs import replace

from simulate import simulate
from svcdoctor.commands.result import exit_code
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.finding import Role, Status, Unreadable
from svcdoctor.names.lookup import Lookup

NOBODY_MATCHES = """
kind: Deployment
metadata: {name: cart}
spec: {template: {metadata: {labels: {app: cart}}, spec: {containers: [{name: web, image: shop/cart:1}]}}}
---
kind: Service
metadata: {name: cart}
spec: {selector: {app: crat}, ports: [{port: 80}]}
"""


def test_no_fault_is_said_that_an_undecodable_object_might_disprove() -> None:
    world = simulate(list(yaml.safe_load_all(NOBODY_MATCHES)))
    assert diagnose(world, Scope("shop")).diagnosis.services[0].cause == "selector-value-mismatch"
    world.unreadable.append(Unreadable("pods", "shop", "cart-0", "$.spec: expected object, got array"))
    service = diagnose(world, Scope("shop")).diagnosis.services[0]
    assert service.cause is None and service.status is Status.UNKNOWN
    assert any("pods cart-0 could not be decoded" in finding.message for finding in service.findings)


def test_only_and_skip_decide_what_is_reported() -> None:
    world = simulate(list(yaml.safe_load_all(NOBODY_MATCHES)))
    without = diagnose(world, Scope("shop", skip=frozenset({"selector-value-mismatch", "slice-no-ready"})))
    assert without.diagnosis.services[0].status is Status.PASS
    alone = diagnose(world, Scope("shop", only=frozenset({"slice-no-ready"})))
    assert [finding.code for finding in alone.diagnosis.services[0].findings if finding.is_fault] == ["slice-no-ready"]


def test_a_name_that_nobody_got_to_ask_for_is_not_called_missing() -> None:
    """Lookups that time out use up the time of an exec, so that the last names are never asked for."""
    world = simulate(list(yaml.safe_load_all(NOBODY_MATCHES.replace("crat", "cart"))))
    said = (world.lookups or {})["shop"]
    unanswered = Lookup(name="kubernetes.default", outcome="timeout")
    world.lookups = {**(world.lookups or {}), "shop": replace(said, lookups=(unanswered,))}
    service = diagnose(world, Scope("shop")).diagnosis.services[0]
    dns = next(step for step in service.steps if step.step == "dns")
    assert service.cause is None and dns.status is Status.UNKNOWN
    assert "not even kubernetes.default" in dns.message


A_WORKER_IS_FOUND_TOO = """
kind: Service
metadata: {name: cart}
spec: {selector: {part-of: shop}, ports: [{port: 80, targetPort: 8080}]}
---
kind: Deployment
metadata: {name: cart}
spec:
  template:
    metadata: {labels: {app: cart, part-of: shop}}
    spec: {containers: [{name: web, image: cart, ports: [{containerPort: 8080}]}]}
---
kind: Deployment
metadata: {name: mailer}
spec:
  template:
    metadata: {labels: {app: mailer, part-of: shop}}
    spec: {containers: [{name: app, image: busybox, command: [sleep, "36000"]}]}
"""


def test_what_follows_from_a_warning_does_not_make_the_run_fail() -> None:
    diagnosis = diagnose(simulate(list(yaml.safe_load_all(A_WORKER_IS_FOUND_TOO))), Scope("shop")).diagnosis
    service = diagnosis.services[0]
    assert service.status is Status.WARN and Role.CONSEQUENCE in {finding.role for finding in service.findings}
    worse = [
        replace(finding, status=Status.FAIL) if finding.role is Role.CONSEQUENCE else finding
        for finding in service.findings
    ]
    diagnosis = replace(diagnosis, services=(replace(service, findings=tuple(worse)),))
    assert exit_code(diagnosis, "fail") == 0
    assert exit_code(diagnosis, "warn") == 1
