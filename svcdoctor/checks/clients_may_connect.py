"""Do the NetworkPolicies on a workload let it out to the Services that it names?

netpol-egress-deny
    The workload names a Service, and the NetworkPolicies on its own Pods do not let it connect there.
    Why it breaks      A Pod that some policy selects for egress may only connect where a rule of one of these policies
                       says so. Everything else is dropped on its way out: this client times out, others are served.
    Confirm by hand    kubectl -n {namespace} describe networkpolicies
    Fix                Add an egress rule for the Service's Pods and their port.
    Not a fault when   The workload is to be kept from that Service, or the network plugin enforces no policies.

netpol-ipblock-clusterip
    An ipBlock is meant to hold what a connection goes to or comes from, and never does: it is the Service's address,
    or a range that leaves out the address of the Pod.
    Why it breaks      The ClusterIP is rewritten to a Pod's address before policies are asked, so that a rule for the
                       ClusterIP, or for the range of Services, admits nothing. What stands under `except` is taken out
                       of the block again.
    Confirm by hand    kubectl -n {namespace} describe networkpolicies; kubectl -n {namespace} get pods -o wide
    Fix                Select the Pods and their namespace by labels.
    Not a fault when   The network plugin asks policies before the address is rewritten.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, unknown
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import ADMIN_KINDS, PLUGIN_KINDS
from svcdoctor.policies.policy import NAMESPACE_NAME, Direction, Lack, holds, is_empty, rules_of
from svcdoctor.policies.policyrule import isolating_evidence, opening, peer_text, port_text, rule_evidence
from svcdoctor.policies.traffic import Refusal, egress_fault, egress_policies, enforcement, party_of, refusals, unjudged
from svcdoctor.text import listing

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "netpol-egress-deny": Code(Stage.POLICY, settles=False),
        "netpol-ipblock-clusterip": Code(Stage.POLICY, settles=False),
    },
    reads=(
        "networkpolicies",
        *ADMIN_KINDS,
        *PLUGIN_KINDS,
        "services",
        "namespaces",
        "configmaps",
        "pods",
        *WORKLOAD_RESOURCES,
    ),
    about="client",
)


def run(case: ClientCase) -> Iterator[Finding]:
    found = refusals(case)
    kept: dict[str, list[Refusal]] = {}
    for refusal in found:
        if not egress_fault(refusal):
            kept.setdefault(_code(refusal), []).append(refusal)
    for code, own in kept.items():
        yield _kept_in(case, code, own)
    beyond = []
    if case.named and not case.is_idle:
        beyond = unjudged(case, Direction.EGRESS, lambda: [party_of(case, case.template)])
    if beyond:
        yield unknown(
            "netpol-egress-deny",
            case.subject,
            f"{listing(beyond)} selects its Pods; where it lets them out to is not judged here",
            Evidence("selects", f"Pods of {case.subject}", listing(beyond)),
        )
    elif not found and case.named and egress_policies(case):
        yield passed(case.subject, "its egress policies let it out to the Services that it names")


def _code(refusal: Refusal) -> str:
    if _useless_block(refusal) or any(miss.lacks == {Lack.EXCEPT} for miss in refusal.side.misses):
        return "netpol-ipblock-clusterip"
    return "netpol-egress-deny"


def _useless_block(refusal: Refusal) -> str:
    """A block of some rule that holds the Service's own address."""
    rules = rules_of(refusal.side.isolating, Direction.EGRESS)
    blocks = [peer.ip_block.cidr for rule in rules for peer in rule.peers if peer.ip_block]
    addresses = refusal.service.cluster_ips
    return next((cidr for cidr in blocks if any(holds(cidr, address) for address in addresses)), "")


def _kept_in(case: ClientCase, code: str, found: list[Refusal]) -> Finding:
    first = found[0]
    names = listing(list(dict.fromkeys(f"{refusal.name} (port {refusal.number})" for refusal in found)))
    policies = listing([policy.metadata.name for policy in first.side.isolating])
    rules = rules_of(first.side.isolating, Direction.EGRESS)
    doubt = enforcement(case)
    if code == "netpol-ipblock-clusterip":
        block = _useless_block(first)
        why = (
            f"ipBlock {block} of NetworkPolicy {policies} holds the Service's address, and policies see those of Pods"
            if block
            else "an ipBlock leaves the address of its Pods out"
        )
    elif rules:
        why = f"NetworkPolicy {policies} lets it out only to {_allowed(first)}"
    else:
        why = f"NetworkPolicy {policies} isolates it, and has no egress rule"
    calls = [Evidence("calls it", _named(item), item.reference.source) for item in found[:3]]
    return fail(
        code,
        case.subject,
        f"may not connect to {names}: {why}",
        *(map(rule_evidence, rules[:3]) if rules else isolating_evidence(first.side.isolating, Direction.EGRESS)),
        *calls,
        *doubt.doubt,
        remedies=(_let_out(case, first),),
        inferred=not doubt.is_certain,
    )


def _named(refusal: Refusal) -> str:
    """The host that the caller names; a Service of another name or namespace is behind an alias."""
    named = (refusal.reference.namespace, refusal.reference.service)
    is_alias = named != (refusal.service.namespace, refusal.service.name)
    return f"{refusal.reference.host}, an alias of {refusal.name}" if is_alias else refusal.reference.host


def _allowed(refusal: Refusal) -> str:
    rules = rules_of(refusal.side.isolating, Direction.EGRESS)
    return "; ".join(f"{peer_text(rule)} on {port_text(rule)}" for rule in rules[:3])


def _let_out(case: ClientCase, refusal: Refusal) -> Remedy:
    service = refusal.service
    peer: dict[str, object] = {"podSelector": {"matchLabels": dict(service.selector)}}
    if service.namespace != case.namespace:
        peer["namespaceSelector"] = {"matchLabels": {NAMESPACE_NAME: service.namespace}}
    ports = [(refusal.number, refusal.port.protocol)]
    isolating = refusal.side.isolating
    narrow = next((item for item in isolating if item.spec.egress and not is_empty(item.spec.pod_selector)), None)
    closed = next((item for item in isolating if not item.spec.egress), isolating[0])
    own = {"matchLabels": case.template.own_labels}
    name = f"{case.template.name}-to-{service.name}"
    command = opening(narrow or closed, Direction.EGRESS, [peer], ports, name, own)
    return Remedy(f"let it out to {refusal.name}", command)
