"""Do the programs listen on addresses that others reach?

port-bind-localhost
    The program listens on the targetPort at 127.0.0.1 or ::1 only.
    Why it breaks      Those are addresses of the Pod for itself. Whatever comes from outside, through the Service or
                       straight to the Pod's address, is refused; inside the Pod, and through a port-forward, which ends
                       there, all looks well.
    Confirm by hand    kubectl -n {namespace} exec POD -- cat /proc/net/tcp
                       0100007F is 127.0.0.1; the state 0A is listening; 8080 is 1F90.
    Fix                Let the program listen on 0.0.0.0 or ::, mostly a setting called host, bind or listen.
    Not a fault when   A proxy in the same Pod takes the requests and passes them on: then nothing is said.

port-bind-wrong-family
    The Service has addresses of a family that the program does not listen on.
    Why it breaks      Clients that try the other family first are refused, and some never try the second one.
    Confirm by hand    kubectl -n {namespace} exec POD -- cat /proc/net/tcp /proc/net/tcp6
    Fix                Let the program listen on ::, which takes both, or make the Service SingleStack.
    Not a fault when   No client uses that family. A program that listens on :: for IPv6 alone looks like one for both:
                       with --from it is told apart, by the Pod's own connections.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Backend, Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import families, pod_addresses
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, warn
from svcdoctor.objects import ServicePort
from svcdoctor.pods.podports import dials_from_outside
from svcdoctor.pods.sockets import SEEN_PROTOCOLS, Listener, Sockets
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.text import listing

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "port-bind-localhost": Code(Stage.LISTENING),
        "port-bind-wrong-family": Code(Stage.LISTENING),
    },
    reads=("services", "pods", *WORKLOAD_RESOURCES),
)


def run(case: Case) -> Iterator[Finding]:
    if not case.selector or case.is_external_name:
        return
    seen: dict[str, list[str]] = {}
    faults = 0
    for port in case.ports:
        for backend in case.backing:
            number = case.target_of(port, backend.spec)
            if number is None or port.protocol not in SEEN_PROTOCOLS or _is_reached(case, port, number, backend):
                continue
            sockets = case.sockets(backend)
            listeners = sockets.on(number, port.protocol) if sockets else []
            if not sockets or not listeners:
                continue  # that nobody listens at all is another question
            finding = _judge(case, port, backend, sockets, listeners)
            if finding:
                faults += 1
                yield finding
            else:
                seen.setdefault(sockets.pod, []).append(listeners[0].text)
    if seen and not faults:
        said = [f"{sockets_of} listens on {listing(ports)}" for sockets_of, ports in seen.items()]
        yield passed(case.subject, f"{listing(said)}, as /proc/net shows inside")


def _is_reached(case: Case, port: ServicePort, number: int, backend: Backend) -> bool:
    """Whether the kubelet's probe already proves that others reach it, on the only family there is."""
    return port.protocol == "TCP" and len(families(case.service)) == 1 and dials_from_outside(backend.spec, number)


def _judge(
    case: Case, port: ServicePort, backend: Backend, sockets: Sockets, listeners: list[Listener]
) -> Finding | None:
    shown = Evidence("listens on", listing([item.text for item in listeners]), sockets.source)
    look = Remedy("see it inside the Pod", sockets.command, changes_cluster=False)
    pods = tuple(pod.metadata.name for pod in backend.pods)
    if all(item.is_loopback for item in listeners):
        return fail(
            "port-bind-localhost",
            case.subject,
            f"{backend.owner} listens on {listeners[0].text} only, which nobody reaches from outside of the Pod",
            shown,
            Evidence("readiness", "does not ask that port at the Pod's address", f"{backend.owner} .readinessProbe"),
            remedies=(Remedy(f"let the program listen on 0.0.0.0:{listeners[0].port}"), look),
            pods=pods,
        )
    pod = next(pod for pod in backend.pods if pod.metadata.name == sockets.pod)
    wanted = families(case.service)
    addresses = [one for one in pod_addresses(pod) if ("IPv6" if ":" in one else "IPv4") in wanted]
    missed = [one for one in addresses if not any(item.takes(one) for item in listeners)]
    if not missed or (
        len(missed) == len(addresses) and not any(item.address in ("0.0.0.0", "::") for item in listeners)
    ):
        return None
    family = "IPv6" if ":" in missed[0] else "IPv4"
    say = fail if len(missed) == len(addresses) else warn
    return say(
        "port-bind-wrong-family",
        case.subject,
        f"{backend.owner} listens on {listeners[0].text} and not for {family}, which the Service has addresses of",
        shown,
        Evidence("families", listing(wanted), f"service/{case.name} .spec.ipFamilies"),
        remedies=(Remedy(f"let the program listen on [::]:{listeners[0].port}"), look),
        pods=pods,
    )
