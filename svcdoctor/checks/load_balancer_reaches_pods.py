"""Do requests from outside get from the load balancer or a node port to a Pod?

lb-no-endpoints
    The load balancer has its address, and no Pod is ready behind it.
    Why it breaks      What comes in is refused, or answered 503 by the load balancer itself. Why no Pod is ready is
                       said where it is found.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name}
    Fix                The cause named beside it.
    Not a fault when   The Service is scaled to zero on purpose.

lb-no-nodeports
    The Service has no node ports, and its load balancer sends to node ports.
    Why it breaks      Most load balancers know nodes, not Pods: they send to a node port, and kube-proxy goes on from
                       there. With allocateLoadBalancerNodePorts false there is none, and every target is unhealthy.
    Confirm by hand    kubectl -n {namespace} get service {name} -o yaml | grep -i nodeport
    Fix                Set allocateLoadBalancerNodePorts to true.
    Not a fault when   The load balancer sends to Pods itself (MetalLB, Cilium, targets of type ip).

lb-health-check
    The load balancer finds no node that it may send to: every ready Pod is on a node that is left out.
    Why it breaks      Nodes with the label node.kubernetes.io/exclude-from-external-load-balancers are no targets;
                       kubeadm labels control planes so. With externalTrafficPolicy Local only nodes with a ready Pod
                       pass the health check. If the two leave no node, nobody answers from outside.
    Confirm by hand    kubectl get nodes -L node.kubernetes.io/exclude-from-external-load-balancers
    Fix                Take the label off the nodes that shall serve, or let the Pods run on others.
    Not a fault when   The load balancer sends to Pods itself, whatever node they are on.

dp-external-local-no-endpoint
    externalTrafficPolicy is Local, and some nodes have no ready Pod: their node port does not answer.
    Why it breaks      With Local a node serves only its own Pods, so that they see the client's address. What comes in
                       at the node port of another node is dropped.
    Confirm by hand    kubectl -n {namespace} get pods -o wide
                       kubectl get nodes -o wide
    Fix                Set externalTrafficPolicy to Cluster, or run the Pods on every node.
    Not a fault when   A load balancer stands before the nodes and asks their health check, or a DaemonSet runs the Pods
                       on the nodes that are dialled.

dp-lb-ip-shortcircuit
    Pods that dial the load balancer's address do not pass the load balancer, and it does more than pass on.
    Why it breaks      kube-proxy knows the address of a load balancer and leads there by itself (ipMode VIP): without
                       the PROXY protocol or the TLS that the load balancer would add, the program takes the request
                       for broken (kubernetes/kubernetes issue 66607).
    Confirm by hand    kubectl -n {namespace} get service {name} -o yaml | grep -A5 ingress
    Fix                Let the controller give a host name, or ipMode Proxy; or let Pods dial the Service's own name.
    Not a fault when   No Pod uses the outside address. Self-checks of certificates do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import given_addresses
from svcdoctor.entry.loadbalancer import TO_NODE_PORTS, WITHOUT_NODE_PORTS, annotations_of, cloud_of, words_of
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.indexes import those
from svcdoctor.objects import Node
from svcdoctor.pods.template import top_owner
from svcdoctor.text import listing, patch_command, plural

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "lb-no-endpoints": Code(Stage.ENTRY, symptom=True),
        "lb-no-nodeports": Code(Stage.ENTRY, settles=False),
        "lb-health-check": Code(Stage.ENTRY),
        "dp-external-local-no-endpoint": Code(Stage.ENTRY),
        "dp-lb-ip-shortcircuit": Code(Stage.ENTRY, settles=False),
    },
    reads=(
        "endpointslices",
        "nodes",
        "pods",
        "deployments",
        "statefulsets",
        "daemonsets",
        "replicasets",
        "jobs",
        "cronjobs",
    ),
)
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
# What a load balancer adds that the Pods then expect.
ADDED = re.compile(r"proxy-?protocol|send-proxy|ssl-cert|tls-ports|certificate", re.IGNORECASE)


def run(case: Case) -> Iterator[Finding]:
    if case.type not in ("LoadBalancer", "NodePort"):
        return
    if case.type == "LoadBalancer":
        yield from _without_node_ports(case)
        yield from _passed_by(case)
    ready = case.or_without(lambda: case.ready_endpoints, None)
    if ready is None:
        return  # the endpoints step says so
    if not ready:
        if given_addresses(case.service) and case.type == "LoadBalancer" and not case.is_deliberately_idle:
            yield _nobody(case)
        return
    nodes: Mapping[str, Node] = case.or_without(case.nodes, {})
    serving = {view.endpoint.node_name for view in ready}
    if not nodes or not serving <= set(nodes):
        return  # endpoints outside of the cluster
    if case.type == "LoadBalancer":
        yield from _without_targets(case, nodes, {name for name in serving if name})
    elif case.spec.external_traffic_policy == "Local":
        yield from _silent_nodes(case, nodes, {name for name in serving if name})


def _nobody(case: Case) -> Finding:
    return fail(
        "lb-no-endpoints",
        case.subject,
        f"the load balancer at {listing(given_addresses(case.service))} leads to no ready endpoint",
        Evidence("address", listing(given_addresses(case.service)), f"service/{case.name} .status.loadBalancer"),
        Evidence("endpoints", f"0 of {len(case.endpoints)} ready", f"endpointslices of service/{case.name}"),
    )


# --- node ports ----------------------------------------------------------------------------------------------------


SENDING_TO_PODS = those(
    "controllers that need no node ports", "pods", lambda pod: any(map(WITHOUT_NODE_PORTS.search, words_of(pod)))
)


def _without_node_ports(case: Case) -> Iterator[Finding]:
    """Who hands out the address decides whether that matters; a class of its own is taken to know what it does."""
    lacking = [str(port.port) for port in case.ports if not port.node_port]
    if case.spec.allocate_load_balancer_node_ports is not False or not lacking or case.spec.load_balancer_class:
        return
    annotations = annotations_of(case.service)
    if any(("target-type" in key and value == "ip") or key.endswith("/neg") for key, value in annotations.items()):
        return
    nodes: Mapping[str, Node] = case.or_without(case.nodes, {})
    cloud = cloud_of(nodes.values())
    if cloud not in TO_NODE_PORTS or case.type != "LoadBalancer":
        return
    case.listed("pods")  # who sees none at all sees no controller either
    if case.found_everywhere(SENDING_TO_PODS):
        return
    patch = {"spec": {"allocateLoadBalancerNodePorts": True}}
    yield fail(
        "lb-no-nodeports",
        case.subject,
        f"port {listing(lacking)} has no node port, and load balancers of {cloud} send to node ports",
        Evidence("allocate", "false", f"service/{case.name} .spec.allocateLoadBalancerNodePorts"),
        Evidence("node port", "<none>", f"service/{case.name} .spec.ports[].nodePort"),
        Evidence("cloud", cloud, "nodes .spec.providerID"),
        Evidence("otherwise", "a controller may send to Pods itself", "none that is known to runs in the cluster"),
        remedies=(Remedy("give it node ports", patch_command(case.namespace, f"service {case.name}", patch)),),
        inferred=True,
    )


# --- nodes ---------------------------------------------------------------------------------------------------------


def _without_targets(case: Case, nodes: Mapping[str, Node], serving: set[str]) -> Iterator[Finding]:
    if not given_addresses(case.service):
        return
    local = case.spec.external_traffic_policy == "Local"
    candidates = sorted(serving) if local else list(nodes)
    left_out = [name for name in candidates if EXCLUDED in (nodes[name].metadata.labels or {})]
    if len(left_out) < len(candidates):
        return
    where = (
        f"every ready Pod is on a node that is no target: {listing(left_out)}"
        if local
        else f"every node is left out: {listing(left_out)}"
    )
    yield fail(
        "lb-health-check",
        case.subject,
        f"the load balancer at {listing(given_addresses(case.service))} has no node to send to; {where}",
        *(Evidence(name, "left out", f"node/{name} .metadata.labels[{EXCLUDED}]") for name in left_out[:3]),
        *([Evidence("policy", "Local", f"service/{case.name} .spec.externalTrafficPolicy")] if local else []),
        Evidence("otherwise", "a load balancer that sends to Pods itself does not mind", "its own configuration"),
        remedies=tuple(_retarget(case, left_out, local)),
        inferred=True,
    )


def _retarget(case: Case, left_out: list[str], local: bool) -> Iterator[Remedy]:
    if local:
        patch = {"spec": {"externalTrafficPolicy": "Cluster"}}
        yield Remedy("let other nodes lead there", patch_command(case.namespace, f"service {case.name}", patch))
    yield Remedy("let the load balancer send to the node", f"kubectl label node {left_out[0]} {EXCLUDED}-")


def _silent_nodes(case: Case, nodes: Mapping[str, Node], serving: set[str]) -> Iterator[Finding]:
    silent = [
        name for name, node in nodes.items() if name not in serving and EXCLUDED not in (node.metadata.labels or {})
    ]
    if not silent or all(top_owner(pod)[0] == "DaemonSet" for pod in case.live_pods):
        return
    without = [name for name in nodes if name not in serving]
    have = "has" if len(without) == 1 else "have"
    ports = listing(list(dict.fromkeys(str(port.node_port) for port in case.ports if port.node_port)))
    patch = {"spec": {"externalTrafficPolicy": "Cluster"}}
    yield warn(
        "dp-external-local-no-endpoint",
        case.subject,
        f"node port {ports} answers on {len(serving)} of {plural(len(nodes), 'node')}:"
        f" externalTrafficPolicy is Local, and {listing(without)} {have} no ready Pod",
        Evidence("policy", "Local", f"service/{case.name} .spec.externalTrafficPolicy"),
        Evidence("ready", listing(sorted(serving)), f"endpointslices of service/{case.name} .endpoints[].nodeName"),
        remedies=(Remedy("let every node lead there", patch_command(case.namespace, f"service {case.name}", patch)),),
    )


# --- the way around it ---------------------------------------------------------------------------------------------


def _passed_by(case: Case) -> Iterator[Finding]:
    balancer = case.service.status.load_balancer if case.service.status else None
    direct = [item.ip for item in (balancer.ingress if balancer else None) or () if item.ip and item.ip_mode != "Proxy"]
    added = [
        (key, value)
        for key, value in sorted(annotations_of(case.service).items())
        if "/" in key
        and ADDED.search(key.rpartition("/")[2])
        and value.lower() not in ("", "false", "disabled", "none")
    ]
    if not direct or not added:
        return
    key, value = added[0]
    yield warn(
        "dp-lb-ip-shortcircuit",
        case.subject,
        f"Pods that dial {listing(direct)} pass by the load balancer, and miss what it adds ({key.rpartition('/')[2]})",
        Evidence("ipMode", "VIP", f"service/{case.name} .status.loadBalancer.ingress[].ipMode"),
        Evidence("annotation", f"{key}={value}", f"service/{case.name} .metadata.annotations"),
        Evidence("otherwise", "no Pod may use the outside address", "clients outside of the cluster are served"),
        remedies=(Remedy("let the controller give a host name instead of the address, or ipMode Proxy"),),
        inferred=True,
    )
