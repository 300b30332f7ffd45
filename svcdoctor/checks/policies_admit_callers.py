"""Do the NetworkPolicies let in the workloads that call the Service?

netpol-ingress-no-match
    A workload names the Service, and no rule of the NetworkPolicies on its Pods admits that workload.
    Why it breaks      The Pods are isolated: only what a rule admits may connect. The caller's labels, its namespace or
                       the port fit none, so its connections are dropped and time out; other callers are served.
    Confirm by hand    kubectl -n {namespace} describe networkpolicies; kubectl get pods --show-labels
    Fix                Add the caller to a rule, or give its Pods the labels that a rule asks for.
    Not a fault when   The caller is kept out on purpose, or the network plugin enforces no policies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, warn
from svcdoctor.objects import ServicePort
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.policies.policy import (
    Direction,
    Lack,
    Miss,
    Party,
)
from svcdoctor.policies.policyrule import peer_text, port_faults, port_text, rule_evidence, split_peer
from svcdoctor.policies.traffic import (
    Caller,
    Guard,
    admit,
    callers_of,
    enforcement,
    guards,
    is_opened_above,
    opens,
    party_of,
    side,
    targets,
)
from svcdoctor.text import label_words, listing, patch_command, selector_text

CHECK = Check(
    step=Step.CONNECT,
    codes={"netpol-ingress-no-match": Code(Stage.POLICY, settles=False)},
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


class Denial(NamedTuple):
    """A caller that is kept from a port of a workload behind the Service."""

    caller: Caller
    party: Party
    guard: Guard
    port: ServicePort
    number: int
    miss: Miss
    everywhere: bool  # on every workload behind the Service


def run(case: Case) -> Iterator[Finding]:
    guarded = [guard for guard in guards(case) if guard.rules]
    if not guarded:
        return
    callers = callers_of(case)
    if _is_shut(case, guarded):
        yield _shut(case, guarded[0], callers)
        return
    denials: dict[str, list[Denial]] = {}
    for caller in callers:
        for denial in _denied(case, caller, guarded):
            denials.setdefault(_code(denial), []).append(denial)
    for code, found in denials.items():
        yield _kept_out(case, code, found)
    if callers and not denials:
        who = listing([_place(caller, case.namespace) for caller in callers])
        yield passed(case.subject, f"NetworkPolicy {guarded[0].names} lets {who} in")


# --- anybody -----------------------------------------------------------------------------------------------------


def _is_shut(case: Case, guarded: list[Guard]) -> bool:
    """Whether no port is open to anybody, and not because a rule names a wrong one."""
    if len(guarded) < len(case.backing) or any(is_opened_above(case, guard) for guard in guarded):
        return False
    ports = [(guard, port, number) for guard in guarded for port, number in targets(case, guard.backend)]
    meant = [
        fault
        for guard, port, number in ports
        for rule in guard.rules
        for fault in port_faults(rule, port, number, guard.backend.spec, guard.party.name)
    ]
    return bool(ports) and not meant and not any(opens(guard, number, port.protocol) for guard, port, number in ports)


def _shut(case: Case, guard: Guard, callers: list[Caller]) -> Finding:
    doubt = enforcement(case)
    ports = list(dict.fromkeys((number, port.protocol) for port, number in targets(case, guard.backend)))
    opened = listing(list(dict.fromkeys(port_text(rule) for rule in guard.rules)))
    return fail(
        "netpol-ingress-no-match",
        case.subject,
        f"nobody may connect to port {listing([str(number) for number, _ in ports])} of its Pods: NetworkPolicy "
        f"{guard.names} opens {opened} only",
        *map(rule_evidence, guard.rules[:3]),
        *(caller.evidence for caller in callers[:3]),
        *doubt.doubt,
        remedies=(admit(guard, case, callers, ports),),
        inferred=not doubt.is_certain,
    )


# --- known callers -----------------------------------------------------------------------------------------------


def _denied(case: Case, caller: Caller, guarded: list[Guard]) -> list[Denial]:
    party = party_of(case, caller.template)
    denied: list[Denial] = []
    ports = caller.ports(case)
    for port in ports:
        found: list[Denial] = []
        for guard in guarded:
            number = case.target_of(port, guard.backend.spec)
            # A port that is open to nobody is told elsewhere, once for all callers.
            if number is None or not opens(guard, number, port.protocol):
                continue
            answer = side(case, Direction.INGRESS, guard.party, party, number, port.protocol, guard.isolating)
            if not answer.allowed:
                found.append(Denial(caller, party, guard, port, number, answer.misses[0], everywhere=False))
        if found:
            denied.append(found[0]._replace(everywhere=len(found) == len(case.backing)))
    return denied if caller.names_port or len(denied) == len(ports) else []


def _code(denial: Denial) -> str:
    miss, party = denial.miss, denial.party
    if miss.peer is None:
        spec, owner = denial.guard.backend.spec, denial.guard.party.name
        fault = next(port_faults(miss.rule, denial.port, denial.number, spec, owner), None)
        return fault.code if fault else "netpol-ingress-no-match"
    if Lack.HOST_NETWORK in miss.lacks:
        return "netpol-hostnetwork"
    if miss.lacks == {Lack.EXCEPT}:
        return "netpol-ipblock-clusterip"
    peer = miss.peer
    if miss.lacks == {Lack.NAMESPACE_LABELS} and peer.namespace_selector:
        if peer.pod_selector and party.namespace == miss.rule.policy.metadata.namespace:
            return "netpol-and-or"
        wanted = peer.namespace_selector.match_labels or {}
        if wanted and not wanted.keys() & party.namespace_labels.keys():
            return "netpol-ns-label-missing"
    return "netpol-ingress-no-match"


def _kept_out(case: Case, code: str, found: list[Denial]) -> Finding:
    first = found[0]
    rule = first.miss.rule
    callers = {denial.caller.template.subject: denial.caller for denial in found}
    who = listing([_place(caller, case.namespace) for caller in callers.values()])
    ports = listing([str(number) for number in dict.fromkeys(denial.number for denial in found)])
    partly = "" if first.everywhere else f" of {first.guard.party.name}"
    doubt = enforcement(case)
    say = fail if first.everywhere and code != "netpol-hostnetwork" else warn
    return say(
        code,
        case.subject,
        f"{who} may not connect to port {ports}{partly}: NetworkPolicy {rule.policy.metadata.name} admits "
        f"{_nearest(first)}",
        rule_evidence(rule),
        *(evidence for caller in list(callers.values())[:3] for evidence in _seen(caller, first)),
        *doubt.doubt,
        remedies=_remedies(case, code, first, list(callers.values())),
        inferred=not doubt.is_certain,
    )


def _place(caller: Caller, home: str) -> str:
    template = caller.template
    return caller.ref if template.namespace == home else f"{caller.ref} of namespace {template.namespace}"


def _nearest(denial: Denial) -> str:
    """Whom the rule that comes nearest admits, and what the caller is instead."""
    miss, template, party = denial.miss, denial.caller.template, denial.party
    if miss.peer is None:
        return f"it on {port_text(miss.rule)} only"
    instead = []
    if Lack.POD_LABELS in miss.lacks:
        instead.append(f"its Pods are {selector_text(dict(template.labels)) or 'without labels'}")
    if Lack.NAMESPACE_LABELS in miss.lacks:
        selector = miss.peer.namespace_selector
        own = {
            key: value
            for key, value in party.namespace_labels.items()
            if key in ((selector and selector.match_labels) or ())
        }
        instead.append(f"namespace {party.namespace} has {selector_text(own) or 'no such label'}")
    if Lack.NAMESPACE in miss.lacks:
        instead.append("a podSelector alone means Pods of the policy's own namespace")
    if Lack.HOST_NETWORK in miss.lacks:
        instead.append("it has the address of its node")
    if miss.lacks & {Lack.ADDRESS, Lack.EXCEPT}:
        instead.append(f"its address is {listing(list(party.addresses), 2)}")
    return f"{peer_text(miss.rule)}, and {' and '.join(instead)}"


def _seen(caller: Caller, denial: Denial) -> Iterator[Evidence]:
    template = caller.template
    pod = {"Pod": "", "CronJob": ".spec.jobTemplate.spec.template"}.get(template.kind, ".spec.template")
    if denial.miss.lacks & {Lack.NAMESPACE_LABELS, Lack.NAMESPACE}:
        labels = selector_text(dict(denial.party.namespace_labels))
        yield Evidence("the caller's namespace", labels, f"namespace/{template.namespace} .metadata.labels")
    elif Lack.HOST_NETWORK in denial.miss.lacks:
        yield Evidence("the caller", "hostNetwork true", f"{template.ref} {pod}.spec.hostNetwork")
    else:
        labels = selector_text(dict(template.labels))
        yield Evidence("the caller has", labels or "no labels", f"{template.ref} {pod}.metadata.labels")
    yield caller.evidence


def _remedies(case: Case, code: str, first: Denial, callers: list[Caller]) -> tuple[Remedy, ...]:
    port = (first.number, first.port.protocol)
    rule, peer = first.miss.rule, first.miss.peer
    let_in = admit(first.guard, case, callers, [port])
    if code == "netpol-hostnetwork":
        return (_admit_nodes(case, first, port),)
    if peer is None or peer.namespace_selector is None:
        fault = next(
            port_faults(rule, first.port, first.number, first.guard.backend.spec, first.guard.party.name), None
        )
        return (fault.remedy,) if fault and peer is None else (let_in,)
    if code == "netpol-ns-label-missing":
        labels = label_words(peer.namespace_selector.match_labels or {})
        place = first.party.namespace
        return Remedy(f"label namespace {place}", f"kubectl label namespace {place} {labels}"), let_in
    if code == "netpol-and-or":
        return Remedy("make it two items: either is enough then", split_peer(rule, rule.peers.index(peer))), let_in
    return (let_in,)


def _admit_nodes(case: Case, denial: Denial, port: tuple[int, str]) -> Remedy:
    addresses = list(dict.fromkeys(denial.party.addresses))
    policy = denial.miss.rule.policy
    blocks = [{"ipBlock": {"cidr": f"{item}/{128 if ':' in item else 32}"}} for item in addresses]
    value = {"from": blocks, "ports": [{"port": port[0], "protocol": port[1]}]}
    patch = [{"op": "add", "path": "/spec/ingress/-", "value": value}]
    if not blocks:
        return Remedy("see the addresses of the nodes, and admit them", "kubectl get nodes -o wide", False)
    return Remedy(
        "admit the nodes that it runs on", patch_command(case.namespace, f"networkpolicy {policy.metadata.name}", patch)
    )
