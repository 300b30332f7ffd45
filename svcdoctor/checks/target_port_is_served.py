"""Do the Pods serve the port that the Service sends to?

port-target-unlistened
    No program in the Pods listens on the targetPort, as a look at their sockets shows; or, where nobody could look: it
    is declared, probed and mentioned nowhere in the Pods, which serve another port that no Service uses.
    Why it breaks      kube-proxy forwards to the number as it is given, and never asks whether somebody listens: every
                       connection is refused by the Pod itself, although all endpoints are ready.
    Confirm by hand    kubectl -n {namespace} exec POD -- cat /proc/net/tcp /proc/net/tcp6
                       Listening ports have state 0A; numbers are hexadecimal (8080 is 1F90).
    Fix                Set the targetPort to the port that the program listens on.
    Not a fault when   The program listens on it without declaring it: declaring ports is optional. So this is inferred
                       where nobody could look, and then only said where a declared port is left unused or a passing
                       probe uses another one. It is not said within half a minute of a container's start.

port-target-vs-probe
    The readiness probe passes on another port than the one that the Service sends to, and nothing else in the Pods
    shows that the Service's port is served.
    Why it breaks      A passing probe proves that the program listens on the probe's port. Where the targetPort is
                       another one that nothing speaks for, connections to the Service are refused by ready Pods.
    Confirm by hand    kubectl -n {namespace} exec POD -- cat /proc/net/tcp /proc/net/tcp6
    Fix                Set the targetPort to the port that the probe dials.
    Not a fault when   The program serves both, as one with a port for health checks does: then it is inferred wrongly.

port-target-swapped
    The Service's port is the one that the containers declare, and its targetPort is the one that clients expect.
    Why it breaks      `port` is what clients dial, `targetPort` is where the Pods listen. Written the wrong way round,
                       connections to the Service go to a port of the Pods that nobody listens on.
    Confirm by hand    kubectl -n {namespace} describe service {name}
    Fix                Exchange the two, or send to the declared port.
    Not a fault when   The containers declare the targetPort too.

port-protocol-mismatch
    The containers declare the number for another protocol than the Service port has.
    Why it breaks      TCP and UDP ports are apart. A Service port without `protocol` is TCP: packets of a UDP client
                       reach nothing, and TCP connections are refused.
    Confirm by hand    kubectl -n {namespace} get pods -o jsonpath='{.items[*].spec.containers[*].ports}'
    Fix                Set the Service port's protocol to the declared one.
    Not a fault when   The number is declared, or used by the Service, for both protocols.

port-headless-no-translation
    The Service is headless, and one of its ports has another number than its targetPort.
    Why it breaks      Names of a headless Service resolve to the Pods themselves. No proxy stands between, so nothing
                       turns the port into the targetPort: connections to the port are refused.
    Confirm by hand    kubectl -n {namespace} get service {name} -o yaml
    Fix                Give both the same number, and let clients dial that.
    Not a fault when   Clients take the number from SRV records, or the Pods listen on the port as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from svcdoctor.case import Backend, Case
from svcdoctor.check import Check, Code
from svcdoctor.clients.statedclient import is_served
from svcdoctor.endpoints.reconcile import is_ready, serving_containers
from svcdoctor.finding import Certainty, Evidence, Finding, Remedy, Stage, Step, fail, passed, skipped, warn
from svcdoctor.objects import Container, ServicePort
from svcdoctor.pods.podports import (
    BESIDE,
    PROXIES,
    declared_ports,
    declares,
    dials_from_outside,
    mentions,
    probed_ports,
)
from svcdoctor.pods.sockets import SEEN_PROTOCOLS, Sockets
from svcdoctor.pods.template import WORKLOAD_RESOURCES, matches
from svcdoctor.text import listing, patch_command

CHECK = Check(
    step=Step.DESCRIBE,
    codes={
        "port-target-unlistened": Code(Stage.LISTENING, settles=False),
        "port-target-vs-probe": Code(Stage.LISTENING, settles=False),
        "port-target-swapped": Code(Stage.LISTENING, settles=False),
        "port-protocol-mismatch": Code(Stage.PROTOCOL, settles=False),
        "port-headless-no-translation": Code(Stage.LISTENING, settles=False),
    },
    reads=(
        "services",
        "pods",
        "endpointslices",
        "namespaces",
        *WORKLOAD_RESOURCES,
    ),
)

DEDICATED_PROBE = re.compile(r"health|ready|live|actuator|ping|status|metrics", re.IGNORECASE)
FRONT_PORTS = (80, 443)


class Elsewhere(NamedTuple):
    """Where a backend serves, instead of on the targetPort."""

    backend: Backend
    container: Container
    number: int
    declared: bool
    probed: bool


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        yield skipped(case.subject, "no selector, so no Pods to compare ports with")
        return
    if not case.ports:
        yield skipped(case.subject, "the Service has no ports")
        return
    if not case.backing:
        yield skipped(case.subject, "no Pod and no workload to compare ports with")
        return
    faults = [finding for index, port in enumerate(case.ports) if (finding := _judge(case, index, port))]
    yield from faults
    served = [said for port in case.ports if (said := _served(case, port))]
    if served and not faults:
        yield passed(case.subject, listing(served))


def _judge(case: Case, index: int, port: ServicePort) -> Finding | None:
    numbers = {case.target_of(port, backend.spec) for backend in case.backing}
    if None in numbers:  # a name that does not resolve: ports_resolve_on_pods says so
        return None
    if not case.is_headless and case.or_without(lambda: is_served(case, port), False):
        return None
    finding = _judge_by_objects(case, index, port)
    if case.is_headless or port.protocol not in SEEN_PROTOCOLS or (finding is None and _is_proven(case, port)):
        return finding
    return _judge_by_sockets(case, index, port, finding)


def _judge_by_objects(case: Case, index: int, port: ServicePort) -> Finding | None:
    if case.is_headless:
        return _untranslated(case, index, port)
    if isinstance(port.target_port, str):  # a name that resolves is declared, with its protocol
        return None
    number = port.target_port or port.port
    if other := _only_protocol(case, port, number):
        return _other_protocol(case, index, port, number, other)
    elsewhere = [_elsewhere(case, port, number, backend) for backend in case.backing]
    sure = [place for place in elsewhere if place]
    if port.protocol != "TCP":
        return None
    if len(sure) < len(elsewhere):
        return _contradicted(case, index, port, number)
    swapped = number in FRONT_PORTS and all(declares(place.backend.spec, port.port, "TCP") for place in sure)
    return _swapped(case, index, port, number, sure) if swapped else _unlistened(case, index, port, number, sure)


def _is_proven(case: Case, port: ServicePort) -> bool:
    """Whether the kubelet reaches the port on every backend: a look into the Pods would tell nothing new."""
    return port.protocol == "TCP" and all(
        number is not None and dials_from_outside(backend.spec, number)
        for backend in case.backing
        for number in [case.target_of(port, backend.spec)]
    )


def _judge_by_sockets(case: Case, index: int, port: ServicePort, finding: Finding | None) -> Finding | None:
    """What is said when it is seen what the Pods listen on: more surely, no longer, or for the first time."""
    seen = [
        (backend, sockets, case.target_of(port, backend.spec) or 0)
        for backend in case.backing
        if (sockets := case.sockets(backend))
    ]
    deaf = [one for one in seen if not one[1].on(one[2], port.protocol)]
    if not seen:
        return finding
    if len(deaf) < len(case.backing):  # that the selector finds other programs as well is another question
        return None
    heard = tuple(Evidence("listens on", sockets.shown(port.protocol), sockets.source) for _, sockets, _ in deaf[:3])
    unheard = _unheard(case, index, port, deaf, heard)
    if finding is None:
        return unheard
    sure = tuple(item for item in finding.evidence if item.label != "otherwise")
    fixes = tuple(remedy for remedy in finding.remedies if remedy.changes_cluster)
    if finding.code in ("port-target-unlistened", "port-target-vs-probe"):
        return replace(unheard, code=finding.code, remedies=unheard.remedies or fixes)
    return replace(finding, evidence=(*sure, *heard), remedies=fixes, certainty=Certainty.OBSERVED)


def _unheard(
    case: Case,
    index: int,
    port: ServicePort,
    deaf: list[tuple[Backend, Sockets, int]],
    heard: tuple[Evidence, ...],
) -> Finding:
    backend, _, number = deaf[0]
    ports = set.intersection(*({*sockets.ports} for _, sockets, _ in deaf)) if port.protocol == "TCP" else set()
    free = sorted(ports - set().union(*(_taken(case, port, backend) for backend, _, _ in deaf)))
    shown = f"port {number}{'' if port.protocol == 'TCP' else '/' + port.protocol}"
    message = f"nothing listens on {shown} in {backend.owner}" + (
        f", which listens on {listing(_words(free))}" if free else ""
    )
    if free and port.port in free:
        free = [port.port]
    return fail(
        "port-target-unlistened",
        case.subject,
        message,
        Evidence("targetPort", str(number), f"service/{case.name} .spec.ports[{index}].targetPort"),
        *heard,
        remedies=(_send_to(case, index, free[0]),) if len(free) == 1 else (),
        pods=tuple(pod.metadata.name for backend, _, _ in deaf for pod in backend.pods),
    )


def _words(numbers: list[int]) -> list[str]:
    return [str(number) for number in numbers]


def _served(case: Case, port: ServicePort) -> str:
    """What is good about a port, in a few words; "" for one that does not resolve."""
    backend = case.backing[0]
    number = case.target_of(port, backend.spec)
    if number is None:
        return ""
    for container, declared in declared_ports(backend.spec):
        if declared.container_port == number and declared.protocol == port.protocol:
            if isinstance(port.target_port, str):
                return f"targetPort {port.target_port} is port {number} of container {container.name}"
            return f"targetPort {number} is declared by container {container.name}"
    return f"targetPort {number} is not declared by any container, which is optional"


# --- what the Pods tell of their ports ---------------------------------------------------------------------------


def _elsewhere(case: Case, port: ServicePort, number: int, backend: Backend) -> Elsewhere | None:
    """The port that a backend serves instead of this number; None where it may well serve the number."""
    containers = [container for container in serving_containers(backend.spec) if container.name not in PROXIES]
    known = {declared.container_port for _, declared in declared_ports(backend.spec)}
    known |= {probed for container in containers for probed, _ in probed_ports(container)}
    if number in known or any(mentions(container, number) for container in containers) or BESIDE.search(port.name):
        return None
    ready = any(is_ready(pod) for pod in backend.pods)
    free = [
        Elsewhere(
            backend, container, declared.container_port, True, ready and _probes(container, declared.container_port)
        )
        for container in containers
        for declared in container.ports or []
        if declared.protocol == "TCP"
        and not BESIDE.search(declared.name)
        and declared.container_port not in _taken(case, port, backend)
    ]
    free.sort(key=lambda place: (not place.probed, place.number != port.port))
    # A container that declares nothing may be the one that listens, unless another is known to serve.
    if free and (free[0].probed or all(container.ports for container in containers)):
        return free[0]
    if ready and not any(container.ports for container in containers):
        return _only_probed(case, port, backend, containers)
    return None


def _probes(container: Container, number: int) -> bool:
    return any(probed == number for probed, _ in probed_ports(container))


def _only_probed(case: Case, port: ServicePort, backend: Backend, containers: list[Container]) -> Elsewhere | None:
    """A lone container that declares nothing, and whose passing probes all dial one port: the program's own, unless the
    probe looks like one that is served beside the program."""
    if len(containers) != 1:
        return None
    probes = probed_ports(containers[0])
    numbers = {probed for probed, _ in probes}
    if len(numbers) != 1 or numbers & _taken(case, port, backend):
        return None
    number = numbers.pop()
    own = all(
        probe.tcp_socket or (probe.http_get and not DEDICATED_PROBE.search(probe.http_get.path or "/"))
        for _, probe in probes
    )
    return Elsewhere(backend, containers[0], number, False, True) if own or number == port.port else None


def _taken(case: Case, port: ServicePort, backend: Backend) -> set[int]:
    """Numbers that other Service ports send to, unless such a port is plainly the same one under another Service."""
    others = [item for item in case.ports if item != port]
    for service in case.listed("services").values():
        if (
            service.metadata.name != case.name
            and service.spec.cluster_ip != "None"
            and matches(service.spec.selector or {}, backend.labels)
        ):
            others += [
                item
                for item in service.spec.ports or []
                if item.port != port.port and (not item.name or item.name != port.name)
            ]
    return {number for other in others if (number := case.target_of(other, backend.spec)) is not None}


# --- a port that is not served -----------------------------------------------------------------------------------


def _unlistened(case: Case, index: int, port: ServicePort, number: int, places: list[Elsewhere]) -> Finding:
    return fail(
        "port-target-unlistened" if any(place.declared for place in places) else "port-target-vs-probe",
        case.subject,
        f"targetPort {number} is no port that {places[0].backend.owner} is known to serve; {_place(places[0])}",
        *_evidence(case, index, number, places),
        remedies=(_send_to(case, index, places[0].number), *_look(case, places)),
        inferred=True,
        pods=_pods(places),
    )


def _contradicted(case: Case, index: int, port: ServicePort, number: int) -> Finding | None:
    """The number is declared and no more; what passes is a probe of the port that the Service's clients know."""
    places: list[Elsewhere] = []
    for backend in case.backing:
        containers = [container for container in serving_containers(backend.spec) if container.name not in PROXIES]
        dialled = {probed for container in containers for probed, _ in probed_ports(container)}
        if not dialled & ({*FRONT_PORTS, port.port} - {number}):
            return None
        place = _only_probed(case, port, backend, containers) if any(is_ready(pod) for pod in backend.pods) else None
        if not place or place.number not in {*FRONT_PORTS, port.port} - {number} or mentions(place.container, number):
            return None
        if declares(backend.spec, place.number, "TCP"):
            return None
        places.append(place)
    probed = places[0].number
    return warn(
        "port-target-vs-probe",
        case.subject,
        f"targetPort {number} is declared, but the readiness probe of {places[0].backend.owner} passes on {probed}",
        *_evidence(case, index, number, places),
        remedies=(_send_to(case, index, probed), *_look(case, places)),
        inferred=True,
        pods=_pods(places),
    )


def _swapped(case: Case, index: int, port: ServicePort, number: int, places: list[Elsewhere]) -> Finding:
    remedies = [_send_to(case, index, port.port)]
    if number not in {other.port for other in case.ports}:
        exchange = _patch(case, {f"/spec/ports/{index}/port": number, f"/spec/ports/{index}/targetPort": port.port})
        remedies.insert(0, Remedy(f"exchange the two, so that clients dial {number}", exchange))
    return fail(
        "port-target-swapped",
        case.subject,
        f"port {port.port} and targetPort {number} look exchanged: in {places[0].backend.owner}, {_place(places[0])}",
        *_evidence(case, index, number, places),
        remedies=(*remedies, *_look(case, places)),
        inferred=True,
        pods=_pods(places),
    )


def _place(place: Elsewhere) -> str:
    declares = f"declares {_shown_ports(place.container)}" if place.declared else "declares no port"
    probe = f", and its probe passes on {place.number}" if place.probed else ""
    return f"container {place.container.name} {declares}{probe}"


def _shown_ports(container: Container) -> str:
    return listing(
        [
            f"{port.container_port}{'' if port.protocol == 'TCP' else '/' + port.protocol}"
            for port in container.ports or []
        ],
        6,
    )


def _pods(places: list[Elsewhere]) -> tuple[str, ...]:
    return tuple(pod.metadata.name for place in places for pod in place.backend.pods)


def _evidence(case: Case, index: int, number: int, places: list[Elsewhere]) -> Iterator[Evidence]:
    yield Evidence("targetPort", str(number), f"service/{case.name} .spec.ports[{index}].targetPort")
    for place in places[:3]:
        owner = f"{place.backend.owner} container {place.container.name}"
        if place.declared:
            yield Evidence("declared", _shown_ports(place.container), f"{owner} .ports")
        if place.probed:
            yield Evidence("probed", f"{place.number}, and the Pod is ready", f"{owner} probes")
    yield Evidence("otherwise", f"a program may listen on {number} without declaring it", "declaring ports is optional")


def _send_to(case: Case, index: int, number: int) -> Remedy:
    return Remedy(f"send to port {number}", _patch(case, {f"/spec/ports/{index}/targetPort": number}))


def _look(case: Case, places: list[Elsewhere]) -> Iterator[Remedy]:
    for pod in _pods(places)[:1]:
        command = (
            f"kubectl -n {case.namespace} exec {pod} -c {places[0].container.name} -- cat /proc/net/tcp /proc/net/tcp6"
        )
        yield Remedy("see what it listens on (state 0A, ports in hexadecimal)", command, changes_cluster=False)


def _patch(case: Case, changes: dict[str, int | str]) -> str:
    patch = [{"op": "replace", "path": path, "value": value} for path, value in changes.items()]
    return patch_command(case.namespace, f"service {case.name}", patch)


# --- a port of another protocol ----------------------------------------------------------------------------------


def _only_protocol(case: Case, port: ServicePort, number: int) -> str | None:
    """The protocol that every backend declares the number for, where it is never the Service port's."""
    declared = [
        {item.protocol for _, item in declared_ports(backend.spec) if item.container_port == number}
        for backend in case.backing
    ]
    common = set.intersection(*declared) if declared else set()
    if not common or any(port.protocol in protocols for protocols in declared):
        return None
    # Both protocols through one Service, as DNS has it: the author knows that the program speaks both.
    targets = {
        other.protocol
        for other in case.ports
        for backend in case.backing
        if case.target_of(other, backend.spec) == number
    }
    dialled = any(
        probed == number
        for backend in case.backing
        for container in serving_containers(backend.spec)
        for probed, _ in probed_ports(container)
    )
    if len(targets) > 1 or (port.protocol == "TCP" and dialled):
        return None
    return min(common)


def _other_protocol(case: Case, index: int, port: ServicePort, number: int, other: str) -> Finding:
    owner, container = next(
        (backend.owner, container)
        for backend in case.backing
        for container, item in declared_ports(backend.spec)
        if item.container_port == number
    )
    declared = f"container {container.name} of {owner} declares {number} only for {other}"
    return fail(
        "port-protocol-mismatch",
        case.subject,
        f"port {port.port} is {port.protocol}, and {declared}",
        Evidence("protocol", port.protocol, f"service/{case.name} .spec.ports[{index}].protocol"),
        Evidence("declared", _shown_ports(container), f"{owner} container {container.name} .ports"),
        Evidence(
            "otherwise",
            f"a program may serve {number}/{port.protocol} without declaring it",
            "declaring ports is optional",
        ),
        remedies=(Remedy(f"make the Service port {other}", _patch(case, {f"/spec/ports/{index}/protocol": other})),),
        inferred=True,
    )


# --- a headless Service ------------------------------------------------------------------------------------------


def _untranslated(case: Case, index: int, port: ServicePort) -> Finding | None:
    numbers = sorted({number for spec in case.backends if (number := case.target_of(port, spec)) is not None})
    if numbers == [port.port] or all(declares(backend.spec, port.port, port.protocol) for backend in case.backing):
        return None
    shown = listing([str(number) for number in numbers])
    remedy = Remedy(f"make the port {numbers[0]} too", _patch(case, {f"/spec/ports/{index}/port": numbers[0]}))
    return warn(
        "port-headless-no-translation",
        case.subject,
        f"headless, so nothing turns port {port.port} into {shown}; names resolve to Pods, which serve {shown}",
        Evidence("clusterIP", "None", f"service/{case.name} .spec.clusterIP"),
        Evidence(
            "port",
            f"{port.port} -> {port.target_port if port.target_port is not None else port.port}",
            f"service/{case.name} .spec.ports[{index}]",
        ),
        remedies=(remedy,) if len(numbers) == 1 else (),
    )
