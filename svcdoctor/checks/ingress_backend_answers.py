"""Can an Ingress that leads here get an answer from this Service?

ingress-backend-port-missing
    An Ingress names a port that the Service does not have.
    Why it breaks      An Ingress names the Service's own port, by number or by name. The port of the container
                       (targetPort) is often written in its place; the controller then finds no upstream: 503.
    Confirm by hand    kubectl -n {namespace} describe ingress; kubectl -n {namespace} get service {name}
    Fix                Name a port of the Service in the Ingress.
    Not a fault when   An ALB action stands in place of a port (use-annotation).

ingress-backend-no-endpoints
    An Ingress or Route leads to a Service without a ready endpoint.
    Why it breaks      Ingress controllers take addresses from the Service's EndpointSlices; with none they answer 503.
                       Why there are none is what the rest of this Service's diagnosis says.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name}
    Fix                Mend the Service first; nothing is wrong with the Ingress.
    Not a fault when   The workload is scaled to zero until a request comes.

ingress-backend-protocol
    The Pods speak TLS or gRPC, and the Ingress was not told so.
    Why it breaks      Most controllers speak plain HTTP/1.1 to a backend unless an annotation says otherwise. A server
                       that expects TLS or HTTP/2 answers 400 or resets the connection: the client sees 502 or 400.
    Confirm by hand    kubectl -n {namespace} describe ingress
                       Look for backend-protocol among its annotations.
    Fix                Set the annotation, such as nginx.ingress.kubernetes.io/backend-protocol=HTTPS or GRPC.
    Not a fault when   The controller takes the protocol from the port's name or appProtocol, as Traefik does.

ingress-externalname-backend
    An Ingress leads to a Service of type ExternalName.
    Why it breaks      Such a Service has no endpoints; the controller must resolve the name itself. Several do not:
                       Traefik and Contour refuse it unless a flag allows it, the load balancers of clouds cannot.
    Confirm by hand    kubectl -n {namespace} get service {name}
    Fix                Allow it in the controller, or write a Service without a selector and its EndpointSlice.
    Not a fault when   The controller resolves such names, as ingress-nginx does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import serving_containers
from svcdoctor.entry.entrypoint import ENTRY_RESOURCES, Entry, given_addresses
from svcdoctor.entry.ingressclass import controller_of
from svcdoctor.entry.ingressrule import IngressPath, paths_of
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.objects import Container, Ingress, PodSpec, Probe, ServicePort
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.text import edit_distance, listing, patch_command

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "ingress-backend-port-missing": Code(Stage.ENTRY, settles=False),
        "ingress-backend-no-endpoints": Code(Stage.ENTRY, symptom=True),
        "ingress-backend-protocol": Code(Stage.ENTRY, settles=False),
        "ingress-externalname-backend": Code(Stage.ENTRY, settles=False),
    },
    reads=(*ENTRY_RESOURCES, "ingressclasses", "endpointslices", "pods", *WORKLOAD_RESOURCES),
)

# Controllers that look up the name behind an ExternalName Service themselves, without being told to.
RESOLVING = re.compile(r"ingress-nginx|haproxy|kong")
# Annotations, of an Ingress or a Service, that say which protocol the backend speaks, in the words of some controller.
PROTOCOL_SAID = re.compile(
    r"protocol|scheme|ssl-passthrough|secure-backends|server-ssl|server-proto|app-ports|grpc|backend-config|https"
)
# Controllers that speak plain HTTP/1.1 unless an annotation says otherwise.
PLAIN = re.compile(r"nginx|haproxy|kong|alb|gce")
TLS_PORTS = (443, 6443, 8443, 9443)


def run(case: Case) -> Iterator[Finding]:
    entries = case.or_without(lambda: case.entries, [])
    if not entries:
        return
    ingresses = [entry.owner for entry in entries if isinstance(entry.owner, Ingress)]
    if case.is_external_name:
        yield from filter(None, (_alias(case, ingress) for ingress in ingresses))
        return
    for ingress in ingresses:
        leading = [path for path in paths_of(ingress) if path.service == case.name]
        wrong = [path for path in leading if path.port and not _port(case, path)]
        for asked in dict.fromkeys(path.port for path in wrong):
            if asked != "use-annotation":
                yield _no_such_port(case, ingress, [path for path in wrong if path.port == asked])
        named = {port.port: port for path in leading if (port := _port(case, path))}
        yield from filter(None, (_protocol(case, ingress, port) for port in named.values()))
    if not case.ready_endpoints and not case.is_deliberately_idle:
        yield _no_endpoints(case, entries)


def _port(case: Case, path: IngressPath) -> ServicePort | None:
    return next((port for port in case.ports if path.port in (port.port, port.name)), None)


# --- ports -------------------------------------------------------------------------------------------------------


def _no_such_port(case: Case, ingress: Ingress, wrong: list[IngressPath]) -> Finding:
    asked, ref = wrong[0].port, f"ingress/{ingress.metadata.name}"
    target = next((port for port in case.ports if asked in _targets(case, port)), None)
    hint = f": {asked} is the targetPort of port {target.port}" if target else ""
    return fail(
        "ingress-backend-port-missing",
        case.subject,
        f"{ref} leads to port {asked}, which this Service does not have{hint}",
        *(Evidence("port", f"{asked}, for {path.url}", f"{ref} {path.source}.service.port") for path in wrong[:3]),
        Evidence("ports", listing([_shown(port) for port in case.ports], 5), f"service/{case.name} .spec.ports"),
        remedies=_with_port(case, ingress, wrong, target),
    )


def _targets(case: Case, port: ServicePort) -> set[int | str | None]:
    return {port.target_port, *(case.target_of(port, spec) for spec in case.or_without(lambda: case.backends, []))}


def _shown(port: ServicePort) -> str:
    return f"{port.port} ({port.name})" if port.name else str(port.port)


def _with_port(
    case: Case, ingress: Ingress, wrong: list[IngressPath], target: ServicePort | None
) -> tuple[Remedy, ...]:
    asked = str(wrong[0].port)
    near = [port for port in case.ports if port.name and edit_distance(asked, port.name) < 3]
    meant = target or next(iter(near), None) or (case.ports[0] if len(case.ports) == 1 else None)
    item = f"ingress {ingress.metadata.name}"
    if meant is None:
        command = f"kubectl -n {case.namespace} edit {item}"
        return (Remedy("name one of the Service's ports in the Ingress", command),)
    operations = [
        {"op": "replace", "path": f"{path.pointer}/service/port", "value": {"number": meant.port}} for path in wrong
    ]
    return (Remedy(f"lead it to port {meant.port}", patch_command(case.namespace, item, operations)),)


# --- endpoints ---------------------------------------------------------------------------------------------------


def _no_endpoints(case: Case, entries: list[Entry]) -> Finding:
    names = [str(entry.subject) for entry in entries]
    return fail(
        "ingress-backend-no-endpoints",
        case.subject,
        f"{listing(names)} {'leads' if len(names) == 1 else 'lead'} here: requests from outside are answered 503",
        Evidence("endpoints", f"0 ready of {len(case.endpoints)}", f"endpointslices of service/{case.name}"),
    )


# --- protocol ----------------------------------------------------------------------------------------------------


def _protocol(case: Case, ingress: Ingress, port: ServicePort) -> Finding | None:
    """Where the Ingress speaks plain HTTP to Pods that probably expect something else."""
    annotations = {**(ingress.metadata.annotations or {}), **(case.service.metadata.annotations or {})}
    spoken, sign = _spoken(case, port)
    if not spoken or any(PROTOCOL_SAID.search(key.lower()) for key in annotations):
        return None
    controller = controller_of(case, ingress)
    if not PLAIN.search(controller or "nginx"):
        return None
    ref, key = f"ingress/{ingress.metadata.name}", _annotation(controller)
    command = f"kubectl -n {case.namespace} annotate ingress {ingress.metadata.name} {key}={spoken}"
    return fail(
        "ingress-backend-protocol",
        case.subject,
        f"{ref} sends plain HTTP to port {port.port}, whose Pods speak {'TLS' if spoken == 'HTTPS' else 'gRPC'}",
        sign,
        Evidence("annotations", "none that names the backend's protocol", f"{ref} .metadata.annotations"),
        Evidence("otherwise", "the controller may find the protocol out by itself", f"controller {controller or '?'}"),
        remedies=(Remedy(f"tell the controller that the backend speaks {spoken}", command),),
        inferred=True,
    )


def _annotation(controller: str) -> str:
    if "alb" in controller:
        return "alb.ingress.kubernetes.io/backend-protocol"
    if "haproxy" in controller:
        return "haproxy-ingress.github.io/backend-protocol"
    return "nginx.ingress.kubernetes.io/backend-protocol"


def _spoken(case: Case, port: ServicePort) -> tuple[str, Evidence]:
    """HTTPS or GRPC where something says that the port speaks it, and what does; "" where nothing does.

    The probe of the Pods knows best. A port's name counts only where the number agrees with it.
    """
    ref = f"service/{case.name} .spec.ports[{case.ports.index(port)}]"
    none = Evidence("", "", "")
    for backend in case.or_without(lambda: case.backing, []):
        for container, probe in _probes(backend.spec, case.target_of(port, backend.spec)):
            source = f"{backend.owner} container {container.name}"
            if probe.grpc:
                return "GRPC", Evidence("probe", f"gRPC on port {probe.grpc.port}", source)
            if probe.http_get and probe.http_get.scheme == "HTTPS":
                return "HTTPS", Evidence("probe", f"HTTPS on port {probe.http_get.port}", source)
            if probe.http_get:
                return "", none
    said = port.app_protocol or ""
    if said.lower() in ("https", "grpc", "kubernetes.io/h2c", "grpcs"):
        spoken = "HTTPS" if said.lower() == "https" else "GRPCS" if said.lower() == "grpcs" else "GRPC"
        return spoken, Evidence("appProtocol", said, ref)
    if re.match(r"grpc(-|$)", port.name):
        return "GRPC", Evidence("port", f"{port.port} is called {port.name}", ref)
    targets = [case.target_of(port, spec) for spec in case.or_without(lambda: case.backends, [])]
    if re.match(r"https(-|$)", port.name) and any(target in TLS_PORTS for target in [*targets, port.target_port]):
        return "HTTPS", Evidence("port", f"{port.port} is called {port.name}, and leads to a TLS port", ref)
    return "", none


def _probes(spec: PodSpec, target: int | None) -> Iterator[tuple[Container, Probe]]:
    """The probes that ask the port, by its number or by its name."""
    for container in serving_containers(spec):
        names = {port.name for port in container.ports or [] if port.container_port == target}
        for probe in (container.readiness_probe, container.liveness_probe, container.startup_probe):
            asked = probe and (probe.http_get.port if probe.http_get else probe.grpc.port if probe.grpc else None)
            if probe and asked is not None and (asked == target or asked in names):
                yield container, probe


# --- aliases -----------------------------------------------------------------------------------------------------


def _alias(case: Case, ingress: Ingress) -> Finding | None:
    controller, ref = controller_of(case, ingress), f"ingress/{ingress.metadata.name}"
    if RESOLVING.search(controller) and given_addresses(ingress):
        return None
    return warn(
        "ingress-externalname-backend",
        case.subject,
        f"{ref} leads to this Service, an alias of {case.spec.external_name} without endpoints, which many ingress "
        "controllers refuse",
        Evidence("type", "ExternalName", f"service/{case.name} .spec.type"),
        Evidence("controller", controller or "unknown", f"the class of {ref}"),
        Evidence("otherwise", "a controller may be set up to resolve such names", "its own configuration says"),
        remedies=(Remedy("allow ExternalName backends in the controller, or give the Service endpoints of its own"),),
        inferred=True,
    )
