"""The cluster that manifests would make, if all that they describe starts and becomes ready.

The objects are the manifests' own, with what an API server fills in, what controllers make of workloads and Services,
and a status as good as it can be. What manifests cannot show is taken to be well: nodes, events, DNS, kube-proxy.
Lists of other namespaces are not given: who asks for one is told so, and judges nothing by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import count
from typing import Any

from msgspec.structs import replace

from svcdoctor.endpoints.reconcile import (
    CONTROLLER,
    MANAGED_BY,
    MIRRORING_CONTROLLER,
    SERVICE_NAME,
    desired_slices,
    slices_of,
)
from svcdoctor.finding import Gap
from svcdoctor.manifests.given import (
    CLUSTER_ADDRESSES,
    CLUSTER_ADDRESSES_6,
    NOT_GIVEN,
    OUTER_ADDRESS,
    POD_ADDRESSES,
    POD_ADDRESSES_6,
)
from svcdoctor.objects import (
    RESOURCES,
    Condition,
    ConditionsStatus,
    Gateway,
    GatewayStatus,
    ListenerStatus,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Metadata,
    Namespace,
    Node,
    NodeStatus,
    Pod,
    Route,
    RouteParentStatus,
    RouteStatus,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    Workload,
    WorkloadStatus,
)
from svcdoctor.pods.rollout import MOST_PODS, running, started
from svcdoctor.pods.template import top_owner
from svcdoctor.world import EVERYWHERE, Want, World

NODES = ("node-1", "node-2")
SYSTEM = "kube-system"
_SHARED = {(SYSTEM, "services"), (SYSTEM, "pods"), (SYSTEM, "endpointslices")}
_MANY = {"Deployment": "deployments", "StatefulSet": "statefulsets", "ReplicaSet": "replicasets", "Job": "jobs"}

Objects = dict[str, list[Any]]  # by resource


def planned(given: Objects, now: datetime) -> World:
    """The World of these objects, by resource. Each namespaced one has its namespace."""
    world = World(now=now)
    held: Objects = defaultdict(list, {resource: list(items) for resource, items in given.items()})
    namespaces = {item.metadata.namespace for items in held.values() for item in items} - {""}
    held["events"] = []  # of what has happened somewhere else
    _add_cluster(held, namespaces)
    _add_dns(held)
    _start(held)
    for kind, settle in _SETTLED.items():
        held[kind] = [settle(item) for item in held[kind]]
    number = count(1)
    held["services"] = [allocated(service, number) for service in held["services"]]
    held["endpointslices"] = list(_slices(held))
    for name, resource in RESOURCES.items():
        if not resource.namespaced:
            world.put(name, EVERYWHERE, held[name])
            continue
        for namespace in {*namespaces, EVERYWHERE, SYSTEM}:
            if namespace in namespaces or (namespace, name) in _SHARED:
                world.put(name, namespace, [item for item in held[name] if item.metadata.namespace == namespace])
            else:
                world.miss(not_given(Want(name, namespace)))
    return world


def _add_dns(held: Objects) -> None:
    """What Pods ask for names, as kubeadm and others set it up: for policies that may keep them from it."""
    name = Metadata(name="kube-dns", namespace=SYSTEM)
    if any((item.metadata.namespace, item.metadata.name) == (SYSTEM, name.name) for item in held["services"]):
        return
    labels = {"k8s-app": "kube-dns"}
    ports = [ServicePort(name="dns", port=53, protocol="UDP"), ServicePort(name="dns-tcp", port=53)]
    held["services"].append(Service(metadata=name, spec=ServiceSpec(selector=labels, ports=ports)))
    held["pods"].append(Pod(metadata=Metadata(name="coredns-0", namespace=SYSTEM, labels=labels)))


def not_given(want: Want) -> Gap:
    return Gap("list", want.resource, RESOURCES[want.resource].group, want.namespace, NOT_GIVEN)


# --- what a cluster adds ------------------------------------------------------------------------------------------


def _add_cluster(held: Objects, namespaces: set[str]) -> None:
    there = {item.metadata.name for item in held["namespaces"]}
    held["namespaces"] = [
        replace(item, metadata=replace(item.metadata, labels=_named(item.metadata)))
        for item in (
            *held["namespaces"],
            *(Namespace(metadata=Metadata(name=name)) for name in sorted({*namespaces, SYSTEM} - there)),
        )
    ]
    ready = NodeStatus(conditions=[Condition(type="Ready", status="True")])
    held["nodes"] = held["nodes"] or [Node(metadata=Metadata(name=name), status=ready) for name in NODES]


def _named(metadata: Metadata) -> dict[str, str]:
    return {"kubernetes.io/metadata.name": metadata.name, **(metadata.labels or {})}


def _start(held: Objects) -> None:
    """Every Pod that the workloads make, and those that are given."""
    number = count(1)
    pods: list[Pod] = [
        running(pod, NODES[0], _pod_addresses(next(number))) if not pod.status.phase else pod for pod in held["pods"]
    ]
    owned = {(pod.metadata.namespace, *top_owner(pod)) for pod in pods}
    for kind, resource in (*_MANY.items(), ("DaemonSet", "daemonsets")):
        told = []
        for workload in held[resource]:
            metadata = workload.metadata
            if any(owner.controller for owner in metadata.owner_references or ()):
                told.append(workload)
                continue
            wanted = len(NODES) if kind == "DaemonSet" else _replicas(workload)
            if (metadata.namespace, kind, metadata.name) not in owned:
                pods += [
                    started(kind, workload, place, NODES[place % len(NODES)], _pod_addresses(next(number)))
                    for place in range(min(wanted, MOST_PODS))
                ]
            told.append(rolled_out(kind, workload, wanted))
        held[resource] = told
    held["pods"] = pods


def _replicas(workload: Workload) -> int:
    return 1 if workload.spec.replicas is None else workload.spec.replicas


def rolled_out(kind: str, workload: Workload, wanted: int) -> Workload:
    """The workload with all its Pods ready; as it is where it comes with a status of its own."""
    if workload.status != WorkloadStatus():
        return workload
    if kind == "DaemonSet":
        return replace(workload, status=WorkloadStatus(desired_number_scheduled=wanted, number_ready=wanted))
    conditions = [
        Condition(type="Available", status="True"),
        Condition(type="Progressing", status="True", reason="NewReplicaSetAvailable"),
    ]
    status = WorkloadStatus(
        replicas=wanted,
        ready_replicas=wanted,
        updated_replicas=wanted,
        available_replicas=wanted,
        conditions=conditions if kind == "Deployment" else None,
    )
    return replace(workload, status=status)


def _pod_addresses(number: int) -> list[str]:
    return [f"{POD_ADDRESSES}{number >> 8 & 255}.{number & 255}", f"{POD_ADDRESSES_6}{number:x}"]


def allocated(service: Service, number: Iterator[int]) -> Service:
    """What an API server, and a provider of load balancers, fill in."""
    spec = service.spec
    if spec.type == "ExternalName":
        return service
    exposed = spec.type in ("NodePort", "LoadBalancer")
    place = next(number)
    ports = [
        replace(
            port,
            target_port=port.port if port.target_port in (None, 0, "") else port.target_port,
            node_port=port.node_port or (30000 + (place * 16 + index) % 2768 if exposed else 0),
        )
        for index, port in enumerate(spec.ports or ())
    ]
    families = spec.ip_families or ["IPv4"]
    if len(families) == 1 and spec.ip_family_policy == "RequireDualStack":
        families = [*families, "IPv6" if families == ["IPv4"] else "IPv4"]
    own = spec.cluster_ips or ([spec.cluster_ip] if spec.cluster_ip else [])
    own = own or [_cluster_address(family, place) for family in families]
    filled = replace(
        spec,
        ports=ports,
        cluster_ip=own[0],
        cluster_ips=own,
        ip_families=families,
        session_affinity=spec.session_affinity or "None",
        internal_traffic_policy=spec.internal_traffic_policy or "Cluster",
        external_traffic_policy=spec.external_traffic_policy or ("Cluster" if exposed else None),
    )
    if spec.type != "LoadBalancer" or (service.status and service.status.load_balancer):
        return replace(service, spec=filled)
    outer = LoadBalancerIngress(ip=spec.load_balancer_ip or OUTER_ADDRESS)
    assigned = ServiceStatus(load_balancer=LoadBalancerStatus(ingress=[outer]))
    return replace(service, spec=filled, status=assigned)


def _cluster_address(family: str, number: int) -> str:
    if family == "IPv6":
        return f"{CLUSTER_ADDRESSES_6}{number:x}"
    return f"{CLUSTER_ADDRESSES}{number >> 8 & 255}.{number & 255}"


def _slices(held: Objects) -> Iterator[Any]:
    """Those that are given, and those that the controllers write instead of what they have written before."""
    selecting = {
        (service.metadata.namespace, service.metadata.name) for service in held["services"] if service.spec.selector
    }
    for piece in held["endpointslices"]:
        labels = piece.metadata.labels or {}
        written_by_controller = labels.get(MANAGED_BY) in (CONTROLLER, MIRRORING_CONTROLLER)
        if not written_by_controller or (piece.metadata.namespace, labels.get(SERVICE_NAME)) not in selecting:
            yield piece
    pods: dict[str, list[Pod]] = defaultdict(list)
    for pod in held["pods"]:
        pods[pod.metadata.namespace].append(pod)
    for service in held["services"]:
        yield from desired_slices(service, pods[service.metadata.namespace])
    for legacy in held["endpoints"]:
        if (legacy.metadata.namespace, legacy.metadata.name) not in selecting:
            for place, piece in enumerate(slices_of(legacy)):
                labels = {**(piece.metadata.labels or {}), MANAGED_BY: MIRRORING_CONTROLLER}
                metadata = replace(piece.metadata, name=f"{legacy.metadata.name}-{place}", labels=labels)
                yield replace(piece, metadata=metadata)


# --- statuses -----------------------------------------------------------------------------------------------------


def _true(*types: str) -> list[Condition]:
    return [Condition(type=one, status="True") for one in types]


def _gateway_programmed(gateway: Gateway) -> Gateway:
    listeners = [
        ListenerStatus(name=listener.name, conditions=_true("Accepted", "Programmed", "ResolvedRefs"))
        for listener in gateway.spec.listeners or ()
    ]
    status = GatewayStatus(conditions=_true("Accepted", "Programmed"), listeners=listeners)
    return gateway if gateway.status else replace(gateway, status=status)


def _route_accepted(route: Route) -> Route:
    parents = [
        RouteParentStatus(parent_ref=parent, conditions=_true("Accepted", "ResolvedRefs"))
        for parent in route.spec.parent_refs or ()
    ]
    return route if route.status else replace(route, status=RouteStatus(parents=parents))


def _with_conditions(*types: str) -> Callable[[Any], Any]:
    def settle(item: Any) -> Any:
        return item if item.status else replace(item, status=ConditionsStatus(conditions=_true(*types)))

    return settle


_SETTLED: dict[str, Callable[[Any], Any]] = {
    "gateways": _gateway_programmed,
    "httproutes": _route_accepted,
    "grpcroutes": _route_accepted,
    "tlsroutes": _route_accepted,
    "gatewayclasses": _with_conditions("Accepted"),
    "apiservices": _with_conditions("Available"),
}


def by_resource(objects: Iterable[tuple[str, Any]]) -> Objects:
    """(resource, object) pairs as `planned` takes them."""
    found: Objects = defaultdict(list)
    for resource, item in objects:
        found[resource].append(item)
    return found
