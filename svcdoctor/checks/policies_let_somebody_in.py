"""Does any NetworkPolicy rule let anybody connect to the Pods?

netpol-default-deny-ingress
    NetworkPolicies select the Pods behind the Service for ingress, and none of them has a rule: nobody may connect.
    Why it breaks      A Pod that some policy selects for ingress takes only what a rule of one of these policies
                       admits. Without any rule every connection is dropped, and callers time out. Probes of the kubelet
                       are exempt, so that the Pods stay ready.
    Confirm by hand    kubectl -n {namespace} get networkpolicies -o yaml
    Fix                Add a policy that admits the callers to the Pods' port; the deny may stay: policies add up.
    Not a fault when   Nobody is to reach these Pods over the network, or the network plugin enforces no policies.

netpol-policytypes-implicit
    A NetworkPolicy was written without policyTypes, or with too few, and does more or less than its rules suggest.
    Why it breaks      Without policyTypes a policy is always one for ingress, and one for egress only if it has egress
                       rules. So a policy with egress rules alone also denies all ingress, one with an empty list of
                       egress rules denies no egress, and rules of a direction that policyTypes leaves out do nothing.
    Confirm by hand    kubectl -n {namespace} get networkpolicies -o yaml
    Fix                Say in policyTypes which directions the policy is for.
    Not a fault when   The other direction was meant to be denied, or left open, as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.objects import NetworkPolicy
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.policies.policy import Direction, directions_of, selects
from svcdoctor.policies.policyrule import isolating_evidence
from svcdoctor.policies.traffic import (
    Guard,
    admit,
    callers_of,
    enforcement,
    guards,
    is_opened_above,
    policies_in,
    targets,
)
from svcdoctor.text import embedded_json, listing, patch_command

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "netpol-default-deny-ingress": Code(Stage.POLICY, settles=False),
        "netpol-policytypes-implicit": Code(Stage.POLICY, settles=False),
    },
    reads=(
        "networkpolicies",
        *OTHER_KINDS,
        "services",
        "endpointslices",
        "namespaces",
        "configmaps",
        "pods",
        *WORKLOAD_RESOURCES,
    ),
)
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def run(case: Case) -> Iterator[Finding]:
    policies = policies_in(case, case.namespace)
    if not policies or not case.backing:
        return
    closed = [guard for guard in guards(case) if not guard.rules and not is_opened_above(case, guard)]
    if closed:
        yield _closed(case, closed)
    yield from (_without_effect(case, policy, *found) for policy in policies if (found := _pointless(case, policy)))


def _closed(case: Case, closed: list[Guard]) -> Finding:
    guard = closed[0]
    everyone = len(closed) == len(case.backing)
    say = fail if everyone else warn
    owners = listing([item.party.name for item in closed])
    whom = "nobody may connect" if everyone else f"nobody may connect to {owners}, one of those behind it"
    doubt = enforcement(case)
    implied = next((policy for policy in guard.isolating if policy.spec.egress and _left_out(policy)), None)
    if implied:
        name = implied.metadata.name
        patch = [{"op": "replace", "path": "/spec/policyTypes", "value": [Direction.EGRESS]}]
        return say(
            "netpol-policytypes-implicit",
            case.subject,
            f"{whom}: NetworkPolicy {name} has egress rules alone, but without policyTypes it denies ingress as well",
            Evidence("policyTypes", "left out, so Ingress and Egress", f"networkpolicy/{name} {APPLIED}"),
            *isolating_evidence(guard.isolating, Direction.INGRESS),
            *doubt.doubt,
            remedies=(
                Remedy(
                    "make it a policy for egress alone",
                    patch_command(case.namespace, f"networkpolicy {name}", patch),
                ),
            ),
            inferred=not doubt.is_certain,
        )
    callers = case.or_without(lambda: callers_of(case), [])
    ports = [(number, port.protocol) for port, number in targets(case, guard.backend)]
    return say(
        "netpol-default-deny-ingress",
        case.subject,
        f"{whom}: NetworkPolicy {guard.names} isolates its Pods, and no policy has a rule that lets anybody in",
        *isolating_evidence(guard.isolating, Direction.INGRESS),
        Evidence("ingress rules", "none", f"networkpolicies that select {owners}"),
        *(caller.evidence for caller in callers[:3]),
        *doubt.doubt,
        remedies=(admit(guard, case, callers, list(dict.fromkeys(ports))),),
        inferred=not doubt.is_certain,
    )


# --- policyTypes -------------------------------------------------------------------------------------------------


def _applied(policy: NetworkPolicy) -> dict[str, Any]:
    """The spec as a file gave it: the API server fills policyTypes in. {} where that is not known."""
    applied = embedded_json((policy.metadata.annotations or {}).get(APPLIED))
    spec = applied.get("spec") if isinstance(applied, dict) else None
    return spec if isinstance(spec, dict) else {}


def _left_out(policy: NetworkPolicy) -> bool:
    applied = _applied(policy)
    return bool(applied) and not applied.get("policyTypes")


def _pointless(case: Case, policy: NetworkPolicy) -> tuple[Direction, str] | None:
    """A direction that a policy has rules for, or an empty list of them, and no effect on; and why."""
    if not any(selects(policy.spec.pod_selector, backend.labels) for backend in case.backing):
        return None
    effective = directions_of(policy)
    for direction, rules in ((Direction.INGRESS, policy.spec.ingress), (Direction.EGRESS, policy.spec.egress)):
        if rules and direction not in effective:
            return direction, f"has {direction.lower()} rules that do nothing"
    if _left_out(policy) and _applied(policy).get("egress") == [] and Direction.EGRESS not in effective:
        return Direction.EGRESS, "has an empty list of egress rules that denies nothing"
    return None


def _without_effect(case: Case, policy: NetworkPolicy, direction: Direction, what: str) -> Finding:
    name = policy.metadata.name
    types = [str(item) for item in Direction if item in directions_of(policy)]
    patch = [{"op": "add", "path": "/spec/policyTypes/-", "value": direction}]
    written = f"{listing(types)}, as it was left out" if _left_out(policy) else listing(types)
    return warn(
        "netpol-policytypes-implicit",
        case.subject,
        f"NetworkPolicy {name} {what}: its policyTypes is {listing(types)}, so {direction.lower()} stays as open as it "
        "was",
        Evidence("policyTypes", written, f"networkpolicy/{name} .spec.policyTypes"),
        remedies=(
            Remedy(
                f"make it a policy for {direction.lower()} too, once its rules admit all that is needed",
                patch_command(case.namespace, f"networkpolicy {name}", patch),
            ),
        ),
    )
