"""Do the cluster's own policies, above NetworkPolicies, let callers in?

netpol-admin-tier
    A policy of the cluster's administrators denies connections to the Pods, whatever NetworkPolicies say.
    Why it breaks      AdminNetworkPolicy, ClusterNetworkPolicy and the global policies of Calico and Cilium are asked
                       before, or beside, the NetworkPolicies of a namespace. Their Deny cannot be undone from inside
                       it: connections time out though every NetworkPolicy is right.
    Confirm by hand    kubectl get adminnetworkpolicies,baselineadminnetworkpolicies,clusternetworkpolicies -o yaml
    Fix                Ask whoever owns the policy to allow the callers, by a rule that stands before the Deny.
    Not a fault when   The callers are kept out on purpose, or the network plugin does not know these kinds.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Backend, Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, unknown
from svcdoctor.objects import CustomObject
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import (
    ADMIN_KINDS,
    PLUGIN_KINDS,
    AdminRule,
    deciding,
    in_order,
    is_baseline,
)
from svcdoctor.policies.policy import Direction, Party, isolates
from svcdoctor.policies.traffic import (
    Caller,
    callers_of,
    party_behind,
    party_of,
    policies_in,
    policies_of,
    targets,
    unjudged,
)
from svcdoctor.text import listing

CHECK = Check(
    step=Step.CONNECT,
    codes={"netpol-admin-tier": Code(Stage.POLICY, settles=False)},
    reads=(
        *ADMIN_KINDS,
        *PLUGIN_KINDS,
        "networkpolicies",
        "namespaces",
        "configmaps",
        "pods",
        *WORKLOAD_RESOURCES,
    ),
)


def run(case: Case) -> Iterator[Finding]:
    if not case.selector:
        return
    policies = in_order(policies_of(case, ADMIN_KINDS))
    if policies:
        for backend in case.backing:
            if finding := _denied(case, backend, policies):
                yield finding
                return
    yield from _not_judged(case)


def _denied(case: Case, backend: Backend, policies: list[tuple[str, CustomObject]]) -> Finding | None:
    party = party_behind(case, backend)
    isolated = any(isolates(policy, Direction.INGRESS, party) for policy in policies_in(case, case.namespace))
    for port, number in targets(case, backend):
        everybody = deciding(policies, Direction.INGRESS, party, None, number, port.protocol, isolated)
        if everybody and everybody.denies:
            return _finding(case, everybody, "nobody may connect", number)
        denied = [
            (caller, rule)
            for caller in callers_of(case)
            if (rule := _denying(case, caller, party, number, port.protocol, policies, isolated))
        ]
        if denied:
            who = listing([caller.ref for caller, _ in denied])
            return _finding(case, denied[0][1], f"{who} may not connect", number, denied[0][0].evidence)
    return None


def _denying(
    case: Case,
    caller: Caller,
    party: Party,
    number: int,
    protocol: str,
    policies: list[tuple[str, CustomObject]],
    isolated: bool,
) -> AdminRule | None:
    """The rule that keeps a caller from such Pods: one on them, or one on its own Pods."""
    own = party_of(case, caller.template)
    into = deciding(policies, Direction.INGRESS, party, own, number, protocol, isolated)
    if into and into.denies:
        return into
    above = case.or_without(lambda: policies_in(case, own.namespace), None)
    # Where its NetworkPolicies may not be read they may exist: then the baseline says nothing.
    held = above is None or any(isolates(policy, Direction.EGRESS, own) for policy in above)
    out = deciding(policies, Direction.EGRESS, own, party, number, protocol, held)
    return out if out and out.denies else None


def _finding(case: Case, rule: AdminRule, who: str, number: int, *evidence: Evidence) -> Finding:
    name = rule.policy.metadata.name
    return fail(
        "netpol-admin-tier",
        case.subject,
        f"{who} to port {number} of its Pods: {rule.kind} {name} denies it, before any NetworkPolicy is asked"
        if not is_baseline(rule.kind, rule.policy)
        else f"{who} to port {number} of its Pods: {rule.kind} {name} denies it, as no NetworkPolicy allows it",
        Evidence("rule", " ".join(filter(None, ("Deny", rule.name))), rule.source),
        *evidence,
        Evidence("unless", f"the network plugin does not know {rule.kind}", "no object tells"),
        remedies=(
            Remedy(
                "see the policy, and ask its owner to allow the callers",
                f"kubectl get {rule.kind.lower()} {name} -o yaml",
                changes_cluster=False,
            ),
        ),
        inferred=True,
    )


def _not_judged(case: Case) -> Iterator[Finding]:
    found = unjudged(case, Direction.INGRESS, lambda: [party_behind(case, backend) for backend in case.backing])
    if found:
        yield unknown(
            "netpol-admin-tier",
            case.subject,
            f"{listing(found)} selects its Pods; whom it lets in is not judged here",
            Evidence("selects", f"Pods of service/{case.name}", listing(found)),
        )
