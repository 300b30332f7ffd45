"""Does everything that this ExternalName Service says have an effect?

extname-selector-ignored
    An ExternalName Service has a selector.
    Why it breaks      The type decides: the name becomes an alias, and nobody looks for Pods. Those that the selector
                       matches get no request; callers go to the externalName.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.type} {.spec.selector}'
    Fix                Remove the selector, or make it a ClusterIP Service if its Pods are meant.
    Not a fault when   Nobody expects the Pods to be reached through this Service.

extname-port-ignored
    An ExternalName Service maps a port to another one, or to one that its target does not serve.
    Why it breaks      An alias is a DNS record, which has no ports: clients dial the port that they were told, at the
                       target itself. What .spec.ports says of another port is never applied.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.ports}'
    Fix                Let clients use the port of the target, and say that port in the Service or none.
    Not a fault when   An Ingress controller reads the targetPort and dials it, as ingress-nginx does; then nothing is
                       said.

extname-mesh-portname
    In a namespace of the mesh an ExternalName Service has a port whose name does not say its protocol.
    Why it breaks      Istio takes the protocol of a port from its name or appProtocol. It cannot look into what leaves
                       the cluster, so that such a port is plain TCP, and one for any host: it captures other
                       connections to the same port.
    Confirm by hand    istioctl analyze -n {namespace}
    Fix                Call the port http-..., https-..., or by its protocol; or set appProtocol.
    Not a fault when   The target speaks plain TCP, and no other Service uses that port.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note, warn
from svcdoctor.objects import Service, ServicePort
from svcdoctor.text import listing, patch_command, plural, selector_text, words
from svcdoctor.world import EVERYWHERE

CHECK = Check(
    step=Step.DESCRIBE,
    codes={
        "extname-selector-ignored": Code(Stage.SELECTOR, settles=False),
        "extname-port-ignored": Code(Stage.PORTS_PRESENT, settles=False),
        "extname-mesh-portname": Code(Stage.PROTOCOL, settles=False),
    },
    reads=("services", "configmaps", "namespaces", "ingresses", "httproutes", "grpcroutes", "tlsroutes"),
)
# What Istio takes for a protocol at the beginning of a port's name; `tcp` says nothing of what is spoken.
PROTOCOLS = words("http http2 https grpc grpc-web mongo mysql redis tls udp")


def run(case: Case) -> Iterator[Finding]:
    if not case.is_external_name:
        return
    if case.spec.selector:
        yield _selector(case)
    for index, port in enumerate(case.ports):
        target = _target(case)
        if _maps(port) and not case.entries:
            yield _mapped(case, index, port, target)
        elif target and _serves_others(target, port):
            yield _not_served(case, index, port, target)
    if case.ports and _in_istio(case):
        yield from _unnamed(case)


def _selector(case: Case) -> Finding:
    return warn(
        "extname-selector-ignored",
        case.subject,
        f"the selector has no effect: callers are sent to {case.spec.external_name}, not to Pods",
        Evidence("type", "ExternalName", f"service/{case.name} .spec.type"),
        Evidence("selector", selector_text(case.spec.selector or {}), f"service/{case.name} .spec.selector"),
        remedies=tuple(_choices(case)),
    )


def _choices(case: Case) -> Iterator[Remedy]:
    service = f"service {case.name}"
    without = [{"op": "remove", "path": "/spec/selector"}]
    yield Remedy("remove the selector", patch_command(case.namespace, service, without))
    if case.ports:
        change = {"spec": {"type": "ClusterIP", "externalName": None}}
        yield Remedy("or lead to the Pods instead", patch_command(case.namespace, service, change))


# --- ports ---------------------------------------------------------------------------------------------------------


def _maps(port: ServicePort) -> bool:
    return bool(port.target_port) and port.target_port not in (port.port, str(port.port))


def _mapped(case: Case, index: int, port: ServicePort, target: Service | None) -> Finding:
    meant = port.target_port if isinstance(port.target_port, int) else None
    message = (
        f"port {port.port} -> {port.target_port} has no effect: an alias has no ports, so clients that ask for "
        f"{port.port} reach port {port.port} of {case.spec.external_name}"
    )
    evidence = Evidence(
        "port", f"{port.port} -> {port.target_port}", f"service/{case.name} .spec.ports[{index}].targetPort"
    )
    return warn(
        "extname-port-ignored", case.subject, message, evidence, *_served(target), remedies=_say(case, index, meant)
    )


def _target(case: Case) -> Service | None:
    """The Service of this cluster that it is an alias of, if that may be read."""
    alias = (case.spec.external_name or "").rstrip(".").lower()
    name, _, namespace = alias.removesuffix(f".svc.{case.zone}").partition(".")
    if not alias.endswith(f".svc.{case.zone}") or not namespace or "." in namespace:
        return None
    found: Service | None = case.or_without(lambda: case.listed("services", namespace).get(name), None)
    return found


def _serves_others(target: Service, port: ServicePort) -> bool:
    """Whether the target is sure not to serve the port: a headless one may serve what it does not list."""
    ports = {item.port for item in target.spec.ports or ()}
    return bool(ports) and target.spec.cluster_ip != "None" and port.port not in ports


def _not_served(case: Case, index: int, port: ServicePort, target: Service) -> Finding:
    ports = [item.port for item in target.spec.ports or ()]
    return warn(
        "extname-port-ignored",
        case.subject,
        f"clients that ask for port {port.port} reach {case.spec.external_name}, which serves {_numbers(ports)}",
        Evidence("port", str(port.port), f"service/{case.name} .spec.ports[{index}].port"),
        *_served(target),
        remedies=_say(case, index, ports[0] if len(ports) == 1 else None),
    )


def _served(target: Service | None) -> tuple[Evidence, ...]:
    if target is None:
        return ()
    name, namespace = target.metadata.name, target.metadata.namespace
    ports = [item.port for item in target.spec.ports or ()]
    return (Evidence("target serves", _numbers(ports), f"service/{name} in {namespace} .spec.ports"),)


def _numbers(ports: list[int]) -> str:
    return listing([str(port) for port in ports], 5)


def _say(case: Case, index: int, meant: int | None) -> tuple[Remedy, ...]:
    service = f"service {case.name}"
    if meant is None:
        patch: list[dict[str, object]] = [{"op": "remove", "path": "/spec/ports"}]
        return (
            Remedy(
                "say no ports, and let clients use those of the target", patch_command(case.namespace, service, patch)
            ),
        )
    patch = [
        {"op": "replace", "path": f"/spec/ports/{index}/{field}", "value": meant} for field in ("port", "targetPort")
    ]
    return (Remedy(f"say port {meant}, and let clients use it", patch_command(case.namespace, service, patch)),)


# --- mesh ----------------------------------------------------------------------------------------------------------


def _in_istio(case: Case) -> bool:
    namespace = case.or_without(lambda: case.listed("namespaces", EVERYWHERE).get(case.namespace), None)
    labels = (namespace.metadata.labels or {}) if namespace else {}
    return labels.get("istio-injection") == "enabled" or "istio.io/rev" in labels


def _unnamed(case: Case) -> Iterator[Finding]:
    odd = [
        (index, port)
        for index, port in enumerate(case.ports)
        if not port.app_protocol and port.name.partition("-")[0] not in PROTOCOLS
    ]
    if not odd:
        return
    index, port = odd[0]
    patch = [{"op": "add", "path": f"/spec/ports/{index}/name", "value": f"http-{port.name or port.port}"}]
    shown = [f"{item.name or 'no name'} ({item.port})" for _, item in odd]
    yield note(
        "extname-mesh-portname",
        case.subject,
        f"{plural(len(odd), 'port')} without a protocol in the name, which Istio takes for plain TCP: {listing(shown)}",
        Evidence("port", port.name or "no name", f"service/{case.name} .spec.ports[{index}].name"),
        remedies=(
            Remedy(
                "name it after HTTP, if that is spoken", patch_command(case.namespace, f"service {case.name}", patch)
            ),
        ),
    )
