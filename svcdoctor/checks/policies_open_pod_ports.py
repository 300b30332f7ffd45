"""Do the NetworkPolicies open the port that the Pods serve?

netpol-service-port
    A NetworkPolicy names the Service's port; policies see the port of the Pod.
    Why it breaks      The Service's address and port are rewritten to a Pod's before policies are asked. A rule for
                       port 80 of a Service that leads to 8080 admits nothing that comes through it: callers time out.
    Confirm by hand    kubectl -n {namespace} get networkpolicies -o yaml; kubectl -n {namespace} get service {name}
    Fix                Name the targetPort, as a number or by the name that the Pods declare.
    Not a fault when   The Pods serve that port as well.

netpol-named-port
    A NetworkPolicy names a port that the Pods do not declare by that name, so that the rule admits nothing.
    Why it breaks      A port name in a policy is looked up on each Pod, by name and protocol. On Pods without it the
                       rule has no port at all. The name of the Service's port does not count.
    Confirm by hand    kubectl -n {namespace} get pods -o jsonpath='{.items[*].spec.containers[*].ports}'
    Fix                Declare the port under that name in the Pods, or write its number in the policy.
    Not a fault when   The rule is meant for other Pods, and another one opens the port.

netpol-protocol
    A NetworkPolicy opens the right port for another protocol.
    Why it breaks      Each port of a rule is for one protocol, and without one that is TCP. UDP or SCTP to the same
                       port is dropped.
    Confirm by hand    kubectl -n {namespace} get networkpolicies -o yaml
    Fix                Add the port once more with the protocol that is missing.
    Not a fault when   Nobody uses the port with that protocol.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.finding import Evidence, Finding, Stage, Step, Subject, fail, warn
from svcdoctor.objects import ServicePort
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.policies.policyrule import PortFault, port_faults, rule_evidence
from svcdoctor.policies.traffic import Guard, Refusal, egress_fault, enforcement, guards, opens, refusals
from svcdoctor.text import plural

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "netpol-service-port": Code(Stage.POLICY, settles=False),
        "netpol-named-port": Code(Stage.POLICY, settles=False),
        "netpol-protocol": Code(Stage.POLICY, settles=False),
    },
    reads=("networkpolicies", *OTHER_KINDS, "services", "namespaces", "configmaps", "pods", *WORKLOAD_RESOURCES),
    about="service client",
)


def run(case: Case | ClientCase) -> Iterator[Finding]:
    if isinstance(case, Case):
        guarded = [guard for guard in guards(case) if guard.rules]
        for port in case.ports if guarded else ():
            yield from _closed_to_everyone(case, port, guarded)
    else:
        for refusal in refusals(case):
            if fault := egress_fault(refusal):
                yield _closed_to_client(case, refusal, fault)


def _closed_to_everyone(case: Case, port: ServicePort, guarded: list[Guard]) -> Iterator[Finding]:
    numbers = [(guard, number) for guard in guarded if (number := case.target_of(port, guard.backend.spec))]
    closed = [(guard, number) for guard, number in numbers if not opens(guard, number, port.protocol)]
    faults = [fault for guard, number in closed if (fault := _fault(guard, port, number))]
    if not faults:
        return
    fault, number = faults[0], closed[0][1]
    doubt = enforcement(case)
    everywhere = len(closed) == len(case.backing)
    say = fail if everywhere else warn
    what = f"no caller may use port {port.port}" + (f"/{port.protocol}" if port.protocol != "TCP" else "")
    on = "" if everywhere else f" on {plural(len(closed), 'workload')} of {len(case.backing)}"
    yield say(
        fault.code,
        case.subject,
        f"{what}{on}: {fault.said}",
        rule_evidence(fault.rule),
        _leads_to(case.subject, port, number),
        *doubt.doubt,
        remedies=(fault.remedy,),
        inferred=not doubt.is_certain,
    )


def _fault(guard: Guard, port: ServicePort, number: int) -> PortFault | None:
    found = [
        fault for rule in guard.rules for fault in port_faults(rule, port, number, guard.backend.spec, guard.party.name)
    ]
    return found[0] if found else None


def _closed_to_client(case: ClientCase, refusal: Refusal, fault: PortFault) -> Finding:
    doubt = enforcement(case)
    return fail(
        fault.code,
        case.subject,
        f"may not connect to {refusal.name} on port {refusal.port.port}: {fault.said}",
        rule_evidence(fault.rule),
        _leads_to(refusal.service.subject, refusal.port, refusal.number),
        Evidence("calls it", refusal.reference.host, refusal.reference.source),
        *doubt.doubt,
        remedies=(fault.remedy,),
        inferred=not doubt.is_certain,
    )


def _leads_to(service: Subject, port: ServicePort, number: int) -> Evidence:
    return Evidence("leads to", f"{port.port} -> {number}/{port.protocol}", f"{service} .spec.ports")
