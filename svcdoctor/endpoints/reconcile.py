"""What the EndpointSlice controller would make of a Service and its Pods.

A model of kubernetes/kubernetes staging/src/k8s.io/endpointslice (reconciler.go, utils.go): which Pods stand in a
slice, under which conditions, with which ports. Slices are compared with it to tell a lagging controller from a true
state of the Pods, and remedies are tried on it before they are offered.
"""

from __future__ import annotations

from collections.abc import Iterable

from svcdoctor.objects import (
    Container,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    Metadata,
    ObjectReference,
    Pod,
    PodSpec,
    Service,
    ServicePort,
)
from svcdoctor.pods.template import matches

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
MIRRORING_CONTROLLER = "endpointslicemirroring-controller.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"  # annotation of Endpoints


def is_ready(pod: Pod) -> bool:
    for condition in pod.status.conditions or ():  # noqa: SIM110 - asked of every Pod many times: any() takes twice as long
        if condition.type == "Ready" and condition.status == "True":
            return True
    return False


def stands_in_slices(pod: Pod) -> bool:
    """Whether the controller lists the Pod at all: it has an address and has not run to its end."""
    return pod.status.phase not in ("Succeeded", "Failed") and bool(pod_addresses(pod))


def pod_addresses(pod: Pod) -> list[str]:
    status = pod.status
    if status.pod_ips:
        found = [item.ip for item in status.pod_ips if item.ip]
        if found:
            return found
    return [status.pod_ip] if status.pod_ip else []


def target_port(port: ServicePort, spec: PodSpec) -> int | None:
    """The number a Service port's targetPort is on such a Pod; None for a name it does not declare.

    By name and protocol, over containers and then restartable init containers; no targetPort means the port itself
    (FindPort in kubernetes/kubernetes pkg/api/v1/pod/util.go).
    """
    target = port.target_port
    if target is None or target == 0 or target == "":
        return port.port
    if isinstance(target, int):
        return target
    for container in serving_containers(spec):
        for declared in container.ports or []:
            if declared.name == target and declared.protocol == port.protocol:
                return declared.container_port
    return None


def serving_containers(spec: PodSpec) -> list[Container]:
    """Containers that run as long as the Pod does: the main ones, then restartable init containers (sidecars)."""
    containers = spec.containers or []
    if not spec.init_containers:
        return containers
    return [*containers, *(container for container in spec.init_containers if container.restart_policy == "Always")]


def families(service: Service) -> list[str]:
    """The address types of the Service's slices: IPv4, IPv6 or both."""
    if service.spec.ip_families:
        return list(service.spec.ip_families)
    address = service.spec.cluster_ip
    if address == "None":
        return ["IPv4", "IPv6"]
    return ["IPv6"] if ":" in (address or "") else ["IPv4"]


def desired_slices(service: Service, pods: Iterable[Pod]) -> list[EndpointSlice]:
    """The slices of a Service with a selector, one for each family and set of resolved ports; [] where it has none."""
    if not service.spec.selector or service.spec.type == "ExternalName":
        return []
    chosen = [pod for pod in pods if matches(service.spec.selector, pod.metadata.labels) and stands_in_slices(pod)]
    slices: list[EndpointSlice] = []
    for family in families(service):
        groups: dict[tuple[tuple[str, str, int], ...], list[Endpoint]] = {}
        for pod in chosen:
            address = next((item for item in pod_addresses(pod) if (":" in item) == (family == "IPv6")), None)
            if address:
                groups.setdefault(_resolved_ports(service, pod), []).append(_endpoint(service, pod, address))
        for ports, endpoints in groups.items() or {(): []}.items():
            slices.append(_slice(service, family, len(slices), ports, endpoints))
    return slices


def ready_addresses(service: Service, pods: Iterable[Pod]) -> dict[str, set[tuple[str, str]]]:
    """Of the same slices, by Pod, the addresses that requests are sent to, each with the uid of the Pod. `pods` are
    those that the selector finds."""
    if not service.spec.selector or service.spec.type == "ExternalName":
        return {}
    kinds = [family == "IPv6" for family in families(service)]
    found: dict[str, set[tuple[str, str]]] = {}
    for pod in pods:
        is_sent_to = service.spec.publish_not_ready_addresses or (
            pod.metadata.deletion_timestamp is None and is_ready(pod)
        )
        if not is_sent_to or pod.status.phase in ("Succeeded", "Failed"):
            continue
        addresses = pod_addresses(pod)
        for is_ipv6 in kinds:
            for address in addresses:
                if (":" in address) == is_ipv6:
                    found.setdefault(pod.metadata.name, set()).add((address, pod.metadata.uid))
                    break
    return found


def _resolved_ports(service: Service, pod: Pod) -> tuple[tuple[str, str, int], ...]:
    resolved = ((port, target_port(port, pod.spec)) for port in service.spec.ports or ())
    return tuple((port.name, port.protocol, number) for port, number in resolved if number is not None)


def _endpoint(service: Service, pod: Pod, address: str) -> Endpoint:
    terminating = pod.metadata.deletion_timestamp is not None
    serving = is_ready(pod)
    ready = service.spec.publish_not_ready_addresses or (serving and not terminating)
    named = pod.spec.hostname if pod.spec.hostname and pod.spec.subdomain == service.metadata.name else None
    return Endpoint(
        addresses=[address],
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        hostname=named,
        node_name=pod.spec.node_name,
        target_ref=ObjectReference(
            kind="Pod", namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid
        ),
    )


def _slice(
    service: Service, family: str, number: int, ports: tuple[tuple[str, str, int], ...], endpoints: list[Endpoint]
) -> EndpointSlice:
    labels = {SERVICE_NAME: service.metadata.name, MANAGED_BY: CONTROLLER}
    return EndpointSlice(
        metadata=Metadata(
            name=f"{service.metadata.name}-{number}",
            namespace=service.metadata.namespace,
            labels=labels,
            creation_timestamp=service.metadata.creation_timestamp,
        ),
        address_type=family,
        endpoints=endpoints,
        ports=[EndpointPort(name=name, protocol=protocol, port=port) for name, protocol, port in ports],
    )


def slices_of(legacy: Endpoints) -> list[EndpointSlice]:
    """A legacy Endpoints object as slices, one for each subset."""
    labels = {SERVICE_NAME: legacy.metadata.name}
    metadata = Metadata(name=legacy.metadata.name, namespace=legacy.metadata.namespace, labels=labels)
    return [
        EndpointSlice(metadata=metadata, endpoints=_endpoints_in(subset), ports=subset.ports)
        for subset in legacy.subsets or ()
    ]


def is_truncated(legacy: Endpoints) -> bool:
    """Whether its controller left out what went beyond a thousand addresses."""
    return (legacy.metadata.annotations or {}).get(OVER_CAPACITY) == "truncated"


def _endpoints_in(subset: EndpointSubset) -> list[Endpoint]:
    return [
        Endpoint(
            addresses=[address.ip],
            conditions=EndpointConditions(ready=ready, serving=ready, terminating=False),
            hostname=address.hostname,
            node_name=address.node_name,
            target_ref=address.target_ref,
        )
        for addresses, ready in ((subset.addresses, True), (subset.not_ready_addresses, False))
        for address in addresses or ()
    ]
