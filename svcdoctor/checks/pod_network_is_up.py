"""Is the network between Pods up, and does it have addresses of its own?

dp-cni-broken
    The Pod network of some nodes is down: the node says so, or its network agent is not ready.
    Why it breaks      The agent of the CNI plugin lays the routes between nodes and gives Pods their addresses. Without
                       it requests between nodes time out while those inside a node succeed, and new Pods stay without
                       an address.
    Confirm by hand    kubectl get nodes -o wide
                       kubectl get daemonsets -A
    Fix                Repair the agent on that node; read its log first.
    Not a fault when   The agent was only just replaced, or the node is down as a whole.

dp-cidr-overlap
    Two of these ranges overlap: the Services' addresses, the Pods' addresses, the nodes' own.
    Why it breaks      An address in both ranges means two things: kube-proxy, the routes of the Pod network and the
                       nodes' own network each take it for theirs. Some Services, Pods or hosts cannot be reached, and
                       which ones changes as addresses are given out.
    Confirm by hand    kubectl get servicecidrs
                       kubectl get nodes -o custom-columns=NAME:.metadata.name,PODS:.spec.podCIDRs
    Fix                Give the Pod network or the Services a range that nothing else uses; it takes a new Pod network,
                       or a new ServiceCIDR and Services made anew.
    Not a fault when   The network plugin ignores the nodes' podCIDRs and hands out addresses of another range.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, skipped
from svcdoctor.indexes import those
from svcdoctor.objects import Node, Workload
from svcdoctor.pods.nodeagents import STARTING_SECONDS, Lack, are_complete, lacking
from svcdoctor.text import plural, shorten
from svcdoctor.world import EVERYWHERE

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "dp-cni-broken": Code(Stage.DATA_PLANE),
        "dp-cidr-overlap": Code(Stage.DATA_PLANE, settles=False),
    },
    reads=("nodes", "daemonsets", "pods", "servicecidrs"),
    about="cluster",
)
PLUGIN_CONFIGURATION = "/cni/net.d"  # the directory that every network agent mounts to install its plugin
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_network_agent(daemonset: Workload) -> bool:
    volumes = daemonset.spec.template.spec.volumes or ()
    return any(volume.host_path and PLUGIN_CONFIGURATION in volume.host_path.path for volume in volumes)


NETWORK_AGENTS = those("network agents", "daemonsets", is_network_agent)


def run(case: ClusterCase) -> Iterator[Finding]:
    # They stand in kube-system, or in a namespace of their own that is looked at where it is in scope.
    case.or_without(lambda: case.listed("daemonsets", "kube-system"), {})
    agents = case.world.found_in_sight(NETWORK_AGENTS, True)
    if not case.world.was_read("nodes", EVERYWHERE) and are_complete(agents):
        return
    nodes: Mapping[str, Node] | None = case.or_without(case.nodes, None)
    if nodes is None:
        yield skipped(case.subject, "nodes may not be read")
        return
    down = {name: why for name, node in sorted(nodes.items()) if (why := _says_it_is_down(case, node))}
    for agent in agents:
        missing = [lack for lack in _unready(case, agent, nodes) if lack.node not in down]
        if missing:
            yield _agent_not_ready(case, agent, missing, len(nodes))
    if down:
        yield _down(case, down, len(nodes))
    yield from _overlaps(case, nodes)


def _says_it_is_down(case: ClusterCase, node: Node) -> str:
    """The node's own word for its network being down; "" where it has none."""
    for condition in node.status.conditions or ():
        # Of what the kubelet says, the plugin's own words come last.
        message = (condition.message or condition.reason or "no message").rpartition("message:")[2]
        # The kubelet counts a runtime without a network plugin as not ready.
        plugin = condition.type == "Ready" and condition.status == "False" and "cni" in message.lower()
        routes = condition.type == "NetworkUnavailable" and condition.status == "True"
        if (plugin or routes) and not case.is_younger(condition.last_transition_time, STARTING_SECONDS):
            return f"{'NetworkUnavailable' if routes else 'not Ready'}: {shorten(message)}"
    return ""


def _down(case: ClusterCase, down: dict[str, str], nodes: int) -> Finding:
    first, why = next(iter(down.items()))
    where = f"node {first}" if len(down) == 1 else f"{len(down)} of {plural(nodes, 'node')}"
    return fail(
        "dp-cni-broken",
        Subject("Node", "", first),
        f"the Pod network of {where} is down: {why}",
        *(Evidence(name, said, f"node/{name} .status.conditions") for name, said in list(down.items())[:5]),
        _affected(case, set(down)),
        remedies=(
            Remedy("see the agents of the Pod network", "kubectl get daemonsets -A -o wide", changes_cluster=False),
        ),
    )


def _affected(case: ClusterCase, nodes: set[str]) -> Evidence:
    pods, complete = case.everywhere("pods")
    there = [pod for pod in pods if pod.spec.node_name in nodes and not pod.spec.host_network]
    count = f"{'' if complete else 'at least '}{plural(len(there), 'Pod')} on {plural(len(nodes), 'node')}"
    return Evidence("affected", count, "pods .spec.nodeName")


# --- its agents ----------------------------------------------------------------------------------------------------


def _unready(case: ClusterCase, agent: Workload, nodes: Mapping[str, Node]) -> list[Lack]:
    """Nodes on which it is placed and not ready; where it is not placed at all, that may well be meant."""
    status = agent.status
    if (status.number_ready or 0) >= (status.desired_number_scheduled or 0):
        return []
    pods = case.or_without(lambda: case.listed("pods", agent.metadata.namespace), {})
    return [lack for lack in lacking([agent], pods.values(), nodes, case.is_younger) if lack.pod]


def _agent_not_ready(case: ClusterCase, agent: Workload, found: list[Lack], nodes: int) -> Finding:
    namespace, name = agent.metadata.namespace, agent.metadata.name
    where = f"node {found[0].node}" if len(found) == 1 else f"{len(found)} of {plural(nodes, 'node')}"
    return fail(
        "dp-cni-broken",
        Subject("DaemonSet", namespace, name),
        f"the agent of the Pod network, {name}, is not ready on {where}: {found[0].why}",
        *(Evidence(lack.node, lack.why, f"pod/{lack.pod} .status") for lack in found[:5]),
        _affected(case, {lack.node for lack in found}),
        Evidence("otherwise", "Pods that already run there may still be reached", "routes laid before stay"),
        remedies=(
            Remedy("read why", f"kubectl -n {namespace} logs {found[0].pod} --tail=20", changes_cluster=False),
            Remedy("start it anew", f"kubectl -n {namespace} delete pod {found[0].pod}"),
        ),
        inferred=True,
    )


# --- addresses -----------------------------------------------------------------------------------------------------


class Range(NamedTuple):
    network: Network
    what: str  # `Pods of node worker`
    source: str
    kind: str  # "services", "pods" or "node"


def _overlaps(case: ClusterCase, nodes: Mapping[str, Node]) -> Iterator[Finding]:
    """One finding, for the first pair; a cluster has one plan of addresses, and it is wrong as a whole."""
    ranges = [*_service_ranges(case), *_node_ranges(nodes)]
    pairs = list(_overlapping(ranges))
    if not pairs:
        return
    one, other = pairs[0]
    involved = list(dict.fromkeys(item for pair in pairs for item in pair))
    yield fail(
        "dp-cidr-overlap",
        case.subject,
        f"addresses mean two things: {one.what} ({one.network}) and {other.what} ({_plain(other)}) overlap",
        *(Evidence(item.what, _plain(item), item.source) for item in involved[:5]),
        Evidence(
            "otherwise",
            "a network plugin may hand out addresses of another range than the nodes' podCIDRs",
            "its own configuration",
        ),
        remedies=(
            Remedy(
                "see which addresses Pods really have",
                "kubectl get pods -A -o wide --field-selector spec.hostNetwork!=true",
                changes_cluster=False,
            ),
        ),
        inferred=True,
    )


def _overlapping(ranges: list[Range]) -> Iterator[tuple[Range, Range]]:
    """Every pair of ranges that overlap and should not, in the order of their addresses."""
    open_: list[Range] = []
    for item in sorted(
        ranges, key=lambda one: (one.network.version, one.network.network_address, one.network.prefixlen)
    ):
        open_ = [
            one
            for one in open_
            if one.network.version == item.network.version and one.network.broadcast_address >= item.network[0]  # type: ignore[operator]
        ]
        yield from ((one, item) for one in open_ if one.kind == "pods" or one.kind != item.kind)
        open_.append(item)


def _plain(item: Range) -> str:
    return str(item.network.network_address) if item.kind == "node" else str(item.network)


def _service_ranges(case: ClusterCase) -> Iterator[Range]:
    known = case.or_without(lambda: case.listed("servicecidrs", EVERYWHERE), {})
    for name, item in known.items():
        for cidr in item.spec.cidrs or ():
            yield from _range(cidr, "Services", f"servicecidr/{name} .spec.cidrs", "services")


def _node_ranges(nodes: Mapping[str, Node]) -> Iterator[Range]:
    for name, node in sorted(nodes.items()):
        for cidr in node.spec.pod_cidrs or ():
            yield from _range(cidr, f"Pods of node {name}", f"node/{name} .spec.podCIDRs", "pods")
    for name, node in sorted(nodes.items()):
        for address in node.status.addresses or ():
            if address.type == "InternalIP":
                yield from _range(address.address, f"node {name} itself", f"node/{name} .status.addresses", "node")


def _range(text: str, what: str, source: str, kind: str) -> Iterator[Range]:
    try:
        yield Range(ipaddress.ip_network(text, strict=False), what, source, kind)
    except ValueError:
        return
