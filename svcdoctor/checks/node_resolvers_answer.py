"""Where each node has a DNS cache of its own, does it run on every one?

dns-nodelocal-broken
    A Pod of node-local-dns is not ready.
    Why it breaks      NodeLocal DNSCache takes over the address that the Pods of its node ask (169.254.20.10, or that
                       of kube-dns itself). Where it does not run, they wait for answers until they time out, while
                       CoreDNS and the Pods of all other nodes are well.
    Confirm by hand    kubectl -n kube-system get pods -l k8s-app=node-local-dns -o wide
    Fix                Repair or delete the Pod that is not ready; its DaemonSet makes another.
    Not a fault when   The Pods of that node ask kube-dns, and the cache has given its address back as it ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from svcdoctor.case import SETTLING_SECONDS
from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, passed
from svcdoctor.objects import Node, Pod, Workload
from svcdoctor.pods.template import top_owner
from svcdoctor.text import listing, plural

CHECK = Check(
    step=Step.DNS,
    codes={"dns-nodelocal-broken": Code(Stage.DNS)},
    reads=("daemonsets", "pods", "nodes"),
    about="cluster",
)
NAME = "node-local-dns"


def run(case: ClusterCase) -> Iterator[Finding]:
    caches = [item for item in case.listed("daemonsets").values() if _is_cache(item)]
    for cache in caches:
        subject = Subject("DaemonSet", case.namespace, cache.metadata.name)
        pods = [pod for pod in case.listed("pods").values() if top_owner(pod) == ("DaemonSet", cache.metadata.name)]
        nodes = case.or_without(case.nodes, None)
        broken = [pod for pod in pods if not is_ready(pod) and _is_told_of(case, pod, nodes or {})]
        wanted = (cache.status.desired_number_scheduled or 0) if cache.status else 0
        if broken:
            unseen = Evidence("unless", "the node itself is down", "nodes may not be read")
            yield _broken(subject, cache, broken, wanted, *([unseen] if nodes is None else []))
        elif pods:
            yield passed(subject, f"{cache.metadata.name} is ready on {plural(len(pods), 'node')}")


def _is_cache(item: Workload) -> bool:
    images = [container.image for container in item.spec.template.spec.containers or ()]
    return item.metadata.name == NAME or any("k8s-dns-node-cache" in image for image in images)


def _is_told_of(case: ClusterCase, pod: Pod, nodes: Mapping[str, Node]) -> bool:
    """Not the Pods of a node that is itself gone, nor those that were just made or are about to go."""
    node = nodes.get(pod.spec.node_name or "")
    conditions = (node.status.conditions if node else None) or ()
    node_is_down = any(item.type == "Ready" and item.status != "True" for item in conditions)
    is_new = case.is_younger(pod.metadata.creation_timestamp, SETTLING_SECONDS)
    return not (node_is_down or is_new or pod.metadata.deletion_timestamp or not pod.spec.node_name)


def _broken(subject: Subject, cache: Workload, broken: list[Pod], wanted: int, *doubt: Evidence) -> Finding:
    nodes = sorted({pod.spec.node_name or "" for pod in broken})
    name = cache.metadata.name
    first = broken[0].metadata.name
    return fail(
        "dns-nodelocal-broken",
        subject,
        f"{name} is not ready on {listing(nodes)}: Pods there may resolve no name",
        Evidence("ready", f"{max(wanted - len(broken), 0)} of {plural(wanted, 'node')}", f"daemonset/{name} .status"),
        *(Evidence(pod.metadata.name, _state(pod), f"pod/{pod.metadata.name} .status") for pod in broken[:3]),
        Evidence("unless", "their resolv.conf names kube-dns, and the cache has given its address back", "the node"),
        *doubt,
        remedies=(
            Remedy("start it again", f"kubectl -n {subject.namespace} delete pod {first}"),
            Remedy(
                "read why it ended", f"kubectl -n {subject.namespace} logs {first} --tail=20", changes_cluster=False
            ),
        ),
        inferred=True,
    )


def _state(pod: Pod) -> str:
    for status in pod.status.container_statuses or ():
        waiting = status.state.waiting if status.state else None
        restarts = f", {plural(status.restart_count, 'restart')}" if status.restart_count else ""
        if not status.ready:
            return f"{waiting.reason if waiting and waiting.reason else 'running, not ready'}{restarts}"
    return f"{pod.status.phase or 'Pending'}, not ready"
