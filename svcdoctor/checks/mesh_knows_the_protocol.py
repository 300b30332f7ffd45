"""Does the mesh know which protocol is spoken on the Service's ports?

mesh-port-name
    Inside Istio a port has neither a name that begins with a protocol nor an appProtocol.
    Why it breaks      Istio guesses the protocol from the first bytes. That costs servers that speak first (MySQL,
                       SMTP) a timeout, and where the guess is TCP there are no retries, routes or HTTP metrics.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.ports}'
    Fix                Name the port PROTOCOL or PROTOCOL-SOMETHING (http, grpc-web, tcp-postgres), or set appProtocol.
    Not a fault when   The guess is right, which for HTTP it is: this is only worth knowing.

mesh-multi-service-conflict
    Two Services lead to the same port of the same Pods, one as HTTP and one as another protocol.
    Why it breaks      A proxy has one listener for the Pod's port, and takes its protocol from one of the Services
                       (`istioctl analyze`: IST0116). Requests through the other are read as what they are not.
    Confirm by hand    kubectl -n {namespace} get services -o wide; istioctl analyze -n {namespace}
    Fix                Name both ports after the same protocol.
    Not a fault when   One of them has no protocol in its name and is only guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from shlex import quote

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import target_port
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note, warn
from svcdoctor.objectindexes import SERVICES_BY_WANTED_LABEL
from svcdoctor.objects import Service, ServicePort
from svcdoctor.pods.template import TEMPLATE_KINDS, matches
from svcdoctor.policies.mesh import ISTIO, Server, is_hinted_at, servers_of
from svcdoctor.text import listing

CHECK = Check(
    step=Step.DESCRIBE,
    codes={
        "mesh-port-name": Code(Stage.PROTOCOL, settles=False),
        "mesh-multi-service-conflict": Code(Stage.ENTRY, settles=False),
    },
    reads=("namespaces", "services", *TEMPLATE_KINDS),
)
HTTP = frozenset(("http", "http2", "grpc", "grpc-web", "h2c", "ws"))
OTHER = frozenset(("https", "mongo", "mysql", "redis", "tcp", "tls", "udp", "wss"))


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector or not is_hinted_at(case):
        return
    server = next((server for server in servers_of(case) if server.mesh == ISTIO), None)
    if server is None:
        return
    yield from _guessed(case)
    yield from _conflicts(case, server)


def _protocol(port: ServicePort) -> str:
    """The protocol that a port is declared to have, in Istio's words; "" where that is left to a guess."""
    if port.app_protocol:
        return port.app_protocol.lower().rpartition("/")[2]
    name = port.name.lower()
    word = "grpc-web" if name.startswith("grpc-web") else name.partition("-")[0]
    return word if word in HTTP | OTHER else ""


def _guessed(case: Case) -> Iterator[Finding]:
    unnamed = [port for port in case.ports if port.protocol == "TCP" and not _protocol(port)]
    if unnamed:
        names = listing([f"{port.name or '<unnamed>'} {port.port}" for port in unnamed])
        yield note(
            "mesh-port-name",
            case.subject,
            f"Istio has to guess the protocol of {'port' if len(unnamed) == 1 else 'ports'} {names}",
            Evidence("names", names, f"service/{case.name} .spec.ports[].name"),
        )


def _conflicts(case: Case, server: Server) -> Iterator[Finding]:
    for port in case.ports:
        for other, theirs in _rivals(case, server, port):
            yield _conflict(case, port, other, theirs, case.target_of(port, server.spec))
            return


def _rivals(case: Case, server: Server, port: ServicePort) -> Iterator[tuple[Service, ServicePort]]:
    """Ports of other Services that lead to the same port of the Pods and are declared to be of the other sort."""
    own, target = _protocol(port), case.target_of(port, server.spec)
    if not own or target is None or port.protocol != "TCP":
        return
    for other in _others(case, server):
        for theirs in other.spec.ports or ():
            same = target_port(theirs, server.spec) == target and theirs.protocol == "TCP"
            if same and _protocol(theirs) and (_protocol(theirs) in HTTP) is not (own in HTTP):
                yield other, theirs


def _others(case: Case, server: Server) -> list[Service]:
    """The other Services that select this Pod."""
    case.touched.add("services")
    found = {
        service.metadata.name: service
        for label in server.labels.items()
        for service in case.world.found(SERVICES_BY_WANTED_LABEL, case.namespace, label)
        if service.metadata.name != case.name and matches(service.spec.selector or {}, server.labels)
    }
    return [service for _, service in sorted(found.items())]


def _conflict(case: Case, port: ServicePort, other: Service, theirs: ServicePort, target: int | None) -> Finding:
    ours, name = _protocol(port), other.metadata.name
    index = next(index for index, one in enumerate(other.spec.ports or ()) if one == theirs)
    patch = [{"op": "add", "path": f"/spec/ports/{index}/appProtocol", "value": ours}]
    if ours not in HTTP:
        name, index = case.name, case.ports.index(port)
        patch = [{"op": "add", "path": f"/spec/ports/{index}/appProtocol", "value": _protocol(theirs)}]
    command = f"kubectl -n {case.namespace} patch service {name} --type=json -p {quote(json.dumps(patch))}"
    return warn(
        "mesh-multi-service-conflict",
        case.subject,
        f"port {target} of its Pods is {ours} here and {_protocol(theirs)} in Service {other.metadata.name}",
        Evidence(case.name, f"{port.name} {port.port} -> {target}", f"service/{case.name} .spec.ports"),
        Evidence(
            other.metadata.name,
            f"{theirs.name} {theirs.port} -> {target}",
            f"service/{other.metadata.name} .spec.ports",
        ),
        remedies=(Remedy(f"declare the same protocol on Service {name}", command),),
    )
