"""Do the NetworkPolicies of its callers let them out to where an ExternalName leads?

extname-netpol
    An alias leads out of the cluster, and the egress rules of its callers select Pods only.
    Why it breaks      The alias is resolved to an address outside, which belongs to no Pod. Selectors of Pods and
                       namespaces never match it; only an ipBlock, or a rule without peers, lets the connection out.
    Confirm by hand    kubectl -n {namespace} describe networkpolicies
    Fix                Add an egress rule with an ipBlock of the addresses behind the name.
    Not a fault when   The callers go through a proxy or an egress gateway inside the cluster.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.objects import NetworkPolicy
from svcdoctor.pods.template import WORKLOAD_RESOURCES, Template
from svcdoctor.policies.adminpolicy import ADMITTING_KINDS
from svcdoctor.policies.policy import Direction, directions_of, is_empty, rules_of
from svcdoctor.policies.policyrule import isolating_evidence, rule_evidence
from svcdoctor.policies.traffic import Caller, Enforcement, callers_of, egress_policies, enforcement, policies_in
from svcdoctor.text import listing

CHECK = Check(
    step=Step.CONNECT,
    codes={"extname-netpol": Code(Stage.POLICY, settles=False)},
    reads=("networkpolicies", *ADMITTING_KINDS, "namespaces", "configmaps", "pods", *WORKLOAD_RESOURCES),
)


def run(case: Case) -> Iterator[Finding]:
    if not case.is_external_name or _is_inside(case):
        return
    kept: list[tuple[Caller, list[NetworkPolicy]]] = []
    callers = callers_of(case)
    for caller in callers:
        isolating = _isolating(case, caller.template)
        if isolating and not _lets_out(isolating):
            kept.append((caller, isolating))
    if kept:
        yield _blocked(case, kept)
    elif not callers:
        yield from _shut_in(case)


def _is_inside(case: Case) -> bool:
    """Whether it is an alias of another Service: what its Pods admit is told there."""
    target = (case.spec.external_name or "").rstrip(".")
    return target.endswith((".svc", f".svc.{case.zone}"))


def _isolating(case: Case, template: Template) -> list[NetworkPolicy]:
    client = ClientCase(case.world, template)
    client.touched = case.touched
    return case.or_without(lambda: egress_policies(client), [])


def _shut_in(case: Case) -> Iterator[Finding]:
    """Nobody is known to use the alias, and no Pod of its namespace could."""
    wide = [
        policy
        for policy in policies_in(case, case.namespace)
        if is_empty(policy.spec.pod_selector) and Direction.EGRESS in directions_of(policy)
    ]
    everywhere = policies_in(case, case.namespace)
    doubt = enforcement(case) if wide else Enforcement(None)
    if not wide or _lets_out(everywhere) or doubt.enforced is False:
        return
    name = wide[0].metadata.name
    yield warn(
        "extname-netpol",
        case.subject,
        f"no Pod of namespace {case.namespace} may connect to {case.spec.external_name}: it is outside of the cluster, "
        f"and NetworkPolicy {name} isolates them all",
        Evidence("externalName", case.spec.external_name or "", f"service/{case.name} .spec.externalName"),
        *isolating_evidence(wide, Direction.EGRESS),
        Evidence("unless", "Pods of other namespaces use the alias", "no workload is seen to name it"),
        *doubt.doubt,
        remedies=_edit(case.namespace, name),
        inferred=True,
    )


def _edit(namespace: str, policy: str) -> tuple[Remedy, ...]:
    command = f"kubectl -n {namespace} edit networkpolicy {policy}"
    return (Remedy("add an egress rule with an ipBlock of the addresses behind the name", command),)


def _lets_out(policies: list[NetworkPolicy]) -> bool:
    """Whether some rule holds addresses outside of the cluster; whether they are the right ones DNS alone knows."""
    rules = rules_of(policies, Direction.EGRESS)
    # A rule without peers that names ports is one for any address.
    return any(not rule.peers or any(peer.ip_block for peer in rule.peers) for rule in rules if not _is_dns(rule.ports))


def _is_dns(ports: object) -> bool:
    return isinstance(ports, list) and bool(ports) and all(port.port in (53, 5353) for port in ports)


def _blocked(case: Case, kept: list[tuple[Caller, list[NetworkPolicy]]]) -> Finding:
    callers = [caller for caller, _ in kept]
    policies = kept[0][1]
    rules = rules_of(policies, Direction.EGRESS)
    doubt = enforcement(case)
    return fail(
        "extname-netpol",
        case.subject,
        f"{listing([caller.ref for caller in callers])} may not connect to {case.spec.external_name}: it is outside of "
        f"the cluster, and NetworkPolicy {listing([item.metadata.name for item in policies])} lets out to "
        f"{'Pods only' if rules else 'nobody'}",
        Evidence("externalName", case.spec.external_name or "", f"service/{case.name} .spec.externalName"),
        *(map(rule_evidence, rules[:3]) if rules else isolating_evidence(policies, Direction.EGRESS)),
        *(caller.evidence for caller in callers[:3]),
        *doubt.doubt,
        remedies=_edit(callers[0].template.namespace, policies[0].metadata.name),
        inferred=not doubt.is_certain,
    )
