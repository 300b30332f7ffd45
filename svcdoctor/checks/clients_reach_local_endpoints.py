"""Do clients on every node find an endpoint where the Service sends them?

dp-internal-local-no-endpoint
    internalTrafficPolicy is Local, and on some nodes with clients no Pod of the Service is ready.
    Why it breaks      With Local, kube-proxy leads the clients on a node only to endpoints on that same node. Where
                       there is none it drops their packets: they time out, while the Service looks healthy and clients
                       on other nodes are served.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o wide
                       kubectl -n {namespace} get pods -o wide
    Fix                Set internalTrafficPolicy to Cluster, or run the Pods on every node with clients (a DaemonSet).
    Not a fault when   Every client runs beside an endpoint.

dp-topology-hints-skew
    Clients are led to endpoints of their own zone or node, and some zone has too few of them.
    Why it breaks      trafficDistribution (or topology-mode Auto) keeps requests in the client's zone: the endpoints
                       there take all of its requests, however few they are, while others stand idle.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o yaml
    Fix                Spread the Pods over the zones (topologySpreadConstraints), add replicas, or unset
                       trafficDistribution.
    Not a fault when   The clients stand in the zones as the Pods do: only nodes are counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, warn
from svcdoctor.objects import EndpointHint, Node, Pod
from svcdoctor.pods.template import TEMPLATE_KINDS, top_owner
from svcdoctor.text import listing, patch_command, plural

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "dp-internal-local-no-endpoint": Code(Stage.DATA_PLANE),
        "dp-topology-hints-skew": Code(Stage.DATA_PLANE),
    },
    reads=("endpointslices", "pods", "nodes", *TEMPLATE_KINDS, "configmaps", "namespaces"),
)
ZONE = "topology.kubernetes.io/zone"
TOPOLOGY_MODE = ("service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints")
TOO_MUCH = 2.0  # times the load that an even share would be


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or case.is_headless or not case.or_without(lambda: case.ready_endpoints, []):
        return
    if case.spec.internal_traffic_policy == "Local":
        yield from _local(case)
    elif _prefers_near(case):
        yield from _skewed(case)


# --- internalTrafficPolicy ---------------------------------------------------------------------------------------


def _local(case: Case) -> Iterator[Finding]:
    ready = Counter(view.endpoint.node_name for view in case.ready_endpoints)
    if None in ready:
        return  # endpoints outside of the cluster stand on no node
    # Where nobody else is left, kube-proxy leads to Pods that are leaving and still serve.
    served = {view.endpoint.node_name for view in case.endpoints if view.ready or (view.serving and view.terminating)}
    others = case.everywhere("pods")[0]
    occupied = Counter(
        pod.spec.node_name
        for pod in others
        if pod.spec.node_name and pod.metadata.namespace != "kube-system" and _is_up(pod)
    )
    callers = _callers(case, others)
    stranded = sorted({pod.spec.node_name or "" for pod in callers} - served)
    empty = sorted(node for node in occupied if node not in served)
    if stranded:
        yield _times_out(case, ready, [pod for pod in callers if pod.spec.node_name in stranded], stranded)
    elif empty and not callers and not _on_every_node(case):
        yield _would_time_out(case, ready, occupied, empty)
    elif not empty or callers:
        yield passed(case.subject, f"internalTrafficPolicy Local: a ready endpoint on {plural(len(ready), 'node')}")


def _is_up(pod: Pod) -> bool:
    return pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None


def _callers(case: Case, pods: list[Pod]) -> list[Pod]:
    """The running Pods of those who name the Service."""
    named = {
        (template.namespace, template.kind, template.name) for template, _ in case.or_without(lambda: case.callers, [])
    }
    return [pod for pod in pods if named and _is_up(pod) and (pod.metadata.namespace, *top_owner(pod)) in named]


def _on_every_node(case: Case) -> bool:
    """Whether its Pods are meant to be on every node: then where they are not, no client is meant to be either."""
    return bool(case.live_pods) and all(top_owner(pod)[0] == "DaemonSet" and is_ready(pod) for pod in case.live_pods)


def _times_out(case: Case, ready: Counter[str | None], callers: list[Pod], stranded: list[str]) -> Finding:
    names = sorted({top_owner(pod)[1] for pod in callers})
    return fail(
        "dp-internal-local-no-endpoint",
        case.subject,
        f"{listing(names)} on {_nodes(stranded)} times out: internalTrafficPolicy is Local, and no Pod is ready there",
        *_policy(case, ready),
        *(
            Evidence(
                "client",
                f"on node {pod.spec.node_name}",
                f"pod/{pod.metadata.name} in namespace {pod.metadata.namespace}",
            )
            for pod in callers[:3]
        ),
        remedies=(_cluster_wide(case),),
    )


def _would_time_out(
    case: Case, ready: Counter[str | None], occupied: Counter[str | None], empty: list[str | None]
) -> Finding:
    nodes = [node or "" for node in empty]
    return warn(
        "dp-internal-local-no-endpoint",
        case.subject,
        f"clients on {_nodes(nodes)} time out: internalTrafficPolicy is Local, and no Pod is ready there",
        *_policy(case, ready),
        *(Evidence(node, plural(occupied[node], "Pod"), "pods .spec.nodeName") for node in nodes[:3]),
        Evidence("otherwise", "none of these Pods may ever call it", "no workload names it in its settings"),
        remedies=(_cluster_wide(case),),
        inferred=True,
    )


def _nodes(names: list[str]) -> str:
    return f"node {names[0]}" if len(names) == 1 else f"nodes {listing(names)}"


def _policy(case: Case, ready: Counter[str | None]) -> Iterator[Evidence]:
    yield Evidence("policy", "Local", f"service/{case.name} .spec.internalTrafficPolicy")
    spread = listing([f"{count} on {node}" for node, count in sorted(ready.items(), key=str)])
    yield Evidence("ready", spread, f"endpointslices of service/{case.name} .endpoints[].nodeName")


def _cluster_wide(case: Case) -> Remedy:
    patch = {"spec": {"internalTrafficPolicy": "Cluster"}}
    return Remedy("lead clients to every node", patch_command(case.namespace, f"service {case.name}", patch))


# --- hints ---------------------------------------------------------------------------------------------------------


def _prefers_near(case: Case) -> str:
    """The setting that asks for near endpoints, as it is written; "" where none does."""
    if case.spec.traffic_distribution:
        return f"trafficDistribution {case.spec.traffic_distribution}"
    annotations = case.service.metadata.annotations or {}
    return next(
        (f"{key}={annotations[key]}" for key in TOPOLOGY_MODE if annotations.get(key, "").lower() == "auto"), ""
    )


def _skewed(case: Case) -> Iterator[Finding]:
    """Requests are taken to come from all nodes alike; where a zone has no endpoint, they go to all of them."""
    hints = [view.endpoint.hints for view in case.ready_endpoints]
    if len(hints) < 2 or not all(hints):
        return  # kube-proxy ignores hints unless every endpoint has one
    nodes: Mapping[str, Node] = case.or_without(case.nodes, {})
    by_node = all(hint and hint.for_nodes for hint in hints)
    clients = Counter(name if by_node else (node.metadata.labels or {}).get(ZONE, "") for name, node in nodes.items())
    endpoints = Counter(
        name for hint in hints for name in _names((hint.for_nodes if by_node else hint.for_zones) if hint else None)
    )
    if "" in clients or not endpoints:
        return
    elsewhere = sum(count for place, count in clients.items() if place not in endpoints) / len(hints)
    even = sum(clients.values()) / len(hints)
    load = {place: (clients[place] / count + elsewhere) / even for place, count in endpoints.items()} if even else {}
    place, most = max(load.items(), key=lambda item: item[1], default=("", 0.0))
    if most < TOO_MUCH:
        return
    kind = "node" if by_node else "zone"
    own = plural(endpoints[place], "endpoint")
    yield warn(
        "dp-topology-hints-skew",
        case.subject,
        f"{kind} {place} has {own} of {len(hints)} for its clients: {most:.1f} times the load of an even share",
        Evidence("asked for", _prefers_near(case), f"service/{case.name}"),
        Evidence(
            "endpoints",
            listing([f"{count} for {kind} {name}" for name, count in sorted(endpoints.items())], 5),
            f"endpointslices of service/{case.name} .endpoints[].hints",
        ),
        Evidence(
            "nodes",
            listing([f"{count} in {name}" for name, count in sorted(clients.items())], 5),
            f"nodes {'by name' if by_node else 'by label ' + ZONE}",
        ),
        Evidence("otherwise", "the clients may stand elsewhere than the nodes do", "requests are not counted"),
        remedies=_evened_out(case),
        inferred=True,
    )


def _names(hints: list[EndpointHint] | None) -> list[str]:
    return [hint.name for hint in hints or ()]


def _evened_out(case: Case) -> tuple[Remedy, ...]:
    if not case.spec.traffic_distribution:
        key = next(key for key in TOPOLOGY_MODE if key in (case.service.metadata.annotations or {}))
        return (Remedy("serve all zones alike", f"kubectl -n {case.namespace} annotate service {case.name} {key}-"),)
    patch = {"spec": {"trafficDistribution": None}}
    return (Remedy("serve all zones alike", patch_command(case.namespace, f"service {case.name}", patch)),)
