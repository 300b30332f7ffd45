"""Are addresses and node ports left for new Services?

lim-service-cidr-full
    Every address of the cluster's Service ranges is taken.
    Why it breaks      A Service that needs a ClusterIP is refused: "failed to allocate IP: range is full". Those that
                       exist go on working.
    Confirm by hand    kubectl get servicecidrs; kubectl get ipaddresses -o name | wc -l
    Fix                Add a ServiceCIDR (generally available since 1.33), or delete Services that nobody needs.
    Not a fault when   A range was added that is not ready yet.

lim-nodeport-range-full
    Every port of the range for node ports is taken.
    Why it breaks      A Service of type NodePort or LoadBalancer is refused: "failed to allocate a nodePort: range is
                       full". The ones that exist go on working.
    Confirm by hand    kubectl get services -A -o jsonpath='{.items[*].spec.ports[*].nodePort}' | wc -w
    Fix                Set allocateLoadBalancerNodePorts: false where the load balancer goes to Pods itself, or widen
                       --service-node-port-range of the API server.
    Not a fault when   No new Service needs one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from contextlib import suppress

from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, warn
from svcdoctor.indexes import Index
from svcdoctor.objects import Service, ServiceCIDR
from svcdoctor.text import listing, patch_command
from svcdoctor.world import EVERYWHERE

CHECK = Check(
    step=Step.SERVICE,
    codes={
        "lim-service-cidr-full": Code(Stage.SERVED, settles=False),
        "lim-nodeport-range-full": Code(Stage.SERVED, settles=False),
    },
    reads=("services", "pods", "servicecidrs"),
    about="cluster",
    concerns=lambda service: False,
)
NODE_PORTS = (30000, 32767)
RANGE_FLAG = re.compile(r"--service-node-port-range=(\d+)-(\d+)")
ALMOST = 0.99  # of a range: one release more, and it is full

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _cluster_addresses(service: Service) -> Iterator[tuple[int, int]]:
    """Version and number of each of its cluster IPs."""
    for text in service.spec.cluster_ips or [service.spec.cluster_ip or ""]:
        with suppress(ValueError):  # a recording may hold anything
            address = ipaddress.ip_address(text)
            yield address.version, int(address)


def _node_ports_of(service: Service) -> set[int]:
    return {*(port.node_port for port in service.spec.ports or ()), service.spec.health_check_node_port} - {0}


# Their keys alone are asked for: of a Service that keeps its addresses nothing is counted again.
CLUSTER_ADDRESSES = Index("cluster addresses", "services", _cluster_addresses)
NODE_PORTS_TAKEN = Index("node ports", "services", _node_ports_of)


def run(case: ClusterCase) -> Iterator[Finding]:
    if not case.world.was_read("services", EVERYWHERE):
        return  # part of them says nothing about a range, and they are not listed for this alone
    case.touched.add("services")
    yield from _node_ports(case)
    addresses = case.world.keys_in_sight(CLUSTER_ADDRESSES)
    for version in (4, 6):
        taken = {number for known, number in addresses if known == version}
        if _fills_its_block(taken):
            yield from _addresses(case, version, taken)


# --- addresses ---------------------------------------------------------------------------------------------------


def _networks(item: ServiceCIDR) -> Iterator[Network]:
    for text in item.spec.cidrs or ():
        with suppress(ValueError):  # as above
            yield ipaddress.ip_network(text)


def _fills_its_block(taken: set[int]) -> bool:
    """Whether they take half or more of the smallest network around them: else no range can be full of them."""
    return bool(taken) and len(taken) >= 1 << max((min(taken) ^ max(taken)).bit_length() - 1, 0) and len(taken) > 2


def _addresses(case: ClusterCase, version: int, taken: set[int]) -> Iterator[Finding]:
    ranges: list[ServiceCIDR] = [*case.or_without(lambda: case.listed("servicecidrs", EVERYWHERE), {}).values()]
    networks = {
        network: item.metadata.name for item in ranges for network in _networks(item) if network.version == version
    }
    room = sum(_room(network) for network in networks)
    used = sum(any(_holds(network, number) for network in networks) for number in taken)
    if not networks or used < room * ALMOST:
        return
    written = listing([str(network) for network in networks])
    name = next(iter(networks.values()))
    say, said = (fail, "no ClusterIP is left") if used >= room else (warn, f"{room - used} ClusterIPs are left")
    yield say(
        "lim-service-cidr-full",
        Subject("ServiceCIDR", "", name),
        f"{said}: {used} of {room} addresses of {written} are taken",
        Evidence("ranges", written, "servicecidrs .spec.cidrs"),
        Evidence("taken", str(used), "services of all namespaces .spec.clusterIPs"),
        remedies=(
            Remedy("add a ServiceCIDR whose range nothing else in the network uses", "kubectl get servicecidrs", False),
        ),
    )


def _room(network: Network) -> int:
    """The first address is never given out, nor is the last of an IPv4 range."""
    return max(network.num_addresses - (2 if network.version == 4 else 1), 1)


def _holds(network: Network, number: int) -> bool:
    return int(network.network_address) <= number <= int(network.broadcast_address)


# --- node ports --------------------------------------------------------------------------------------------------


def _node_ports(case: ClusterCase) -> Iterator[Finding]:
    ports = case.world.keys_in_sight(NODE_PORTS_TAKEN)
    if not ports:
        return
    low, high, source = _range(case)
    used, room = sum(low <= port <= high for port in ports), high - low + 1
    if used < room * ALMOST:
        return
    services, _ = case.everywhere("services")
    spare = [item for item in services if item.spec.type == "LoadBalancer" and _has_node_ports(item)]
    say, said = (fail, "no node port is left") if used >= room else (warn, f"{room - used} node ports are left")
    yield say(
        "lim-nodeport-range-full",
        case.subject,
        f"{said}: {used} of {room} between {low} and {high} are taken",
        Evidence("range", f"{low}-{high}", source),
        Evidence("taken", str(used), "services of all namespaces .spec.ports[].nodePort"),
        Evidence("of load balancers", str(len(spare)), "services of type LoadBalancer that have node ports"),
        remedies=tuple(_without_node_ports(item) for item in spare[:1]),
    )


def _range(case: ClusterCase) -> tuple[int, int, str]:
    pods = case.or_without(lambda: case.listed("pods"), {})
    for name, pod in pods.items():
        for container in pod.spec.containers or ():
            if name.startswith("kube-apiserver"):
                said = RANGE_FLAG.search(" ".join([*(container.command or ()), *(container.args or ())]))
                if said:
                    return int(said[1]), int(said[2]), f"pod/{name} --service-node-port-range"
    return *NODE_PORTS, "the default of --service-node-port-range"


def _has_node_ports(service: Service) -> bool:
    return any(port.node_port for port in service.spec.ports or ())


def _without_node_ports(service: Service) -> Remedy:
    metadata = service.metadata
    patch = [{"op": "add", "path": "/spec/allocateLoadBalancerNodePorts", "value": False}]
    patch += [
        {"op": "remove", "path": f"/spec/ports/{index}/nodePort"}
        for index, port in enumerate(service.spec.ports or ())
        if port.node_port
    ]
    return Remedy(
        "free those of a load balancer that goes to Pods itself",
        patch_command(metadata.namespace, f"service {metadata.name}", patch),
    )
