"""Does another Service do the same as this one?

selector-overlap-services
    Two Services of a namespace have the same selector, the same ports and the same kind of address.
    Why it breaks      It does not: both serve the same Pods. But what is changed in one is easily forgotten in the
                       other, and a caller may use either.
    Confirm by hand    kubectl -n {namespace} get services -o wide
    Fix                If one of them is left over, delete the one that nobody calls.
    Not a fault when   One is headless, of another type, or set up differently; or the second name is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Stage, Step, note
from svcdoctor.objects import Service, ServiceSpec
from svcdoctor.text import listing, parse_time, selector_text

CHECK = Check(
    step=Step.LABELS,
    codes={"selector-overlap-services": Code(Stage.EXPECTED_SET)},
    reads=("services",),
)
# Controllers that keep Services in pairs and point them to the same Pods for a time.
_PAIRED_BY = ("argo-rollouts.argoproj.io/managed-by-rollouts",)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        return
    same = [other for other in case.twins if _setup(other.spec) == _setup(case.spec) and not _is_paired(other)]
    older = [other.metadata.name for other in same if _age(other) < _age(case.service)]
    if not older or _is_paired(case.service):
        return
    yield note(
        "selector-overlap-services",
        case.subject,
        f"service {listing(older)} has the same selector and the same ports",
        Evidence("selector", selector_text(case.selector), f"service/{case.name} .spec.selector"),
        Evidence("the same", listing(older), f"services of namespace {case.namespace}"),
    )


def _setup(spec: ServiceSpec) -> tuple[Any, ...]:
    """What makes a second Service on the same Pods worth having, if it differs."""
    ports = sorted((port.port, port.protocol, str(port.target_port), port.name) for port in spec.ports or ())
    policies = (spec.external_traffic_policy, spec.internal_traffic_policy, spec.traffic_distribution)
    addresses = (spec.cluster_ip == "None", spec.load_balancer_class, tuple(spec.external_ips or ()))
    affinity = (spec.session_affinity, spec.publish_not_ready_addresses, tuple(spec.ip_families or ()))
    return (spec.type, tuple(ports), policies, addresses, affinity)


def _is_paired(service: Service) -> bool:
    return any(mark in (service.metadata.annotations or {}) for mark in _PAIRED_BY)


def _age(service: Service) -> tuple[str, str]:
    """Orders the two, so that the note is on the later one alone."""
    created = parse_time(service.metadata.creation_timestamp)
    return (created.isoformat() if created else "", service.metadata.name)
