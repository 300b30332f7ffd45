"""Does kube-proxy run on every node, and know which addresses are Pods?

dp-kubeproxy-down
    kube-proxy does not run on some nodes, so the addresses of Services are not kept up to date there.
    Why it breaks      A ClusterIP belongs to no machine: kube-proxy on the client's node turns it into the address of a
                       Pod. Without it the node keeps its last rules, or has none after a restart: new Services time
                       out there, and old ones lead to Pods that are gone. Addresses of Pods work all the same.
    Confirm by hand    kubectl -n kube-system get pods -o wide -l k8s-app=kube-proxy
    Fix                Repair the Pod on that node, or let the DaemonSet's nodeSelector match the node again.
    Not a fault when   Something else serves ClusterIPs on the node (Cilium, OVN-Kubernetes, kube-router), or the node
                       is down as a whole.

dp-clustercidr-wrong
    kube-proxy is told a range of Pod addresses (clusterCIDR) that its Pods are not in.
    Why it breaks      kube-proxy takes whoever is outside of the range for a client from outside of the cluster, and
                       hides its address behind the node's. Policies that admit Pods by label then see a node, and what
                       leaves for a Service may come back another way.
    Confirm by hand    kubectl -n kube-system get configmap kube-proxy -o yaml | grep clusterCIDR
                       kubectl get nodes -o custom-columns=NAME:.metadata.name,PODS:.spec.podCIDRs
    Fix                Write the range of the Pod network to clusterCIDR, and restart kube-proxy.
    Not a fault when   detectLocalMode tells Pods by something else than their range.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.endpoints.reconcile import is_ready, pod_addresses
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, passed, skipped, warn
from svcdoctor.objects import Node, Pod, Workload
from svcdoctor.pods.nodeagents import Lack, are_complete, lacking
from svcdoctor.pods.template import top_owner
from svcdoctor.text import listing, patch_command, plural
from svcdoctor.world import EVERYWHERE

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "dp-kubeproxy-down": Code(Stage.DATA_PLANE),
        "dp-clustercidr-wrong": Code(Stage.DATA_PLANE, settles=False),
    },
    reads=("daemonsets", "nodes", "pods", "configmaps", "services"),
    about="cluster",
)
KUBE_PROXY = Subject("DaemonSet", "kube-system", "kube-proxy")
# Agents that serve ClusterIPs themselves where they run.
REPLACEMENTS = re.compile(r"(cilium|kube-router|ovnkube-node|antrea-agent)")
_CLUSTER_CIDR = re.compile(r"^clusterCIDR:[ \t]*[\"']?([0-9a-fA-F.:/,]+)", re.MULTILINE)
_LOCAL_MODE = re.compile(r"^detectLocalMode:[ \t]*[\"']?(\w+)", re.MULTILINE)


def run(case: ClusterCase) -> Iterator[Finding]:
    daemonsets: Mapping[str, Workload] | None = case.or_without(lambda: case.listed("daemonsets"), None)
    proxies = [item for name, item in (daemonsets or {}).items() if name.startswith("kube-proxy")]
    if daemonsets is not None and not proxies:
        yield skipped(case.subject, "no DaemonSet kube-proxy: something else serves the addresses of Services here")
        return
    if proxies and not case.world.was_read("nodes", EVERYWHERE) and are_complete(proxies):
        yield passed(KUBE_PROXY, "kube-proxy is ready wherever it is placed")
        return
    nodes: Mapping[str, Node] | None = case.or_without(case.nodes, None)
    pods: Mapping[str, Pod] | None = case.or_without(lambda: case.listed("pods"), None)
    if daemonsets is None or nodes is None or pods is None:
        yield skipped(case.subject, "nodes, or DaemonSets and Pods of kube-system, may not be read")
        return
    replaced = {pod.spec.node_name for pod in pods.values() if REPLACEMENTS.match(top_owner(pod)[1]) and is_ready(pod)}
    found = [
        lack
        for lack in lacking(proxies, pods.values(), nodes, case.is_younger)
        if lack.pod or lack.node not in replaced
    ]
    if found:
        yield _down(case, proxies[0], found, len(nodes))
    else:
        yield passed(KUBE_PROXY, f"kube-proxy runs on {plural(len(nodes), 'node')}")
    yield from _range(case, nodes, pods)


def _down(case: ClusterCase, proxy: Workload, found: list[Lack], nodes: int) -> Finding:
    name, broken = proxy.metadata.name, {lack.node for lack in found}
    others, complete = case.everywhere("pods")
    there = [pod for pod in others if pod.spec.node_name in broken and not pod.spec.host_network]
    services = case.everywhere("services")[0]
    where = f"node {found[0].node}" if len(found) == 1 else f"{len(found)} of {plural(nodes, 'node')}"
    return fail(
        "dp-kubeproxy-down",
        Subject("DaemonSet", "kube-system", name),
        f"kube-proxy does not run on {where}: {found[0].why}",
        *(
            Evidence(
                lack.node, lack.why, f"pod/{lack.pod} .status" if lack.pod else f"daemonset/{name}, node/{lack.node}"
            )
            for lack in found[:5]
        ),
        Evidence(
            "affected",
            f"{'' if complete else 'at least '}{plural(len(there), 'Pod')} on {plural(len(found), 'node')},"
            f" as clients of {plural(len(services), 'Service')}",
            "pods .spec.nodeName, services in all namespaces",
        ),
        Evidence("otherwise", "rules written before serve on until a Service or its Pods change", "kube-proxy"),
        remedies=tuple(_remedies(name, found)),
        inferred=True,
    )


def _remedies(name: str, found: list[Lack]) -> Iterator[Remedy]:
    first = found[0]
    if first.pod:
        yield Remedy(
            "read why it is not ready", f"kubectl -n kube-system logs {first.pod} --tail=20", changes_cluster=False
        )
        yield Remedy("start it anew", f"kubectl -n kube-system delete pod {first.pod}")
    elif first.unmatched:
        patch = {"spec": {"template": {"spec": {"nodeSelector": {first.unmatched: None}}}}}
        if first.unmatched == "kubernetes.io/os":
            yield Remedy(
                "label the node as what it is", f"kubectl label node {first.node} kubernetes.io/os=linux --overwrite"
            )
        else:
            yield Remedy("let it run on these nodes too", patch_command("kube-system", f"daemonset {name}", patch))
    else:
        command = f"kubectl -n kube-system describe daemonset {name}"
        yield Remedy("see why it is not placed there", command, changes_cluster=False)


# --- which addresses it takes for Pods -----------------------------------------------------------------------------


def _range(case: ClusterCase, nodes: Mapping[str, Node], pods: Mapping[str, Pod]) -> Iterator[Finding]:
    configs = case.or_without(lambda: case.listed("configmaps"), {})
    config = (configs["kube-proxy"].data or {}).get("config.conf", "") if "kube-proxy" in configs else ""
    mode, written = _LOCAL_MODE.search(config), _CLUSTER_CIDR.search(config)
    if written is None or (mode and mode[1] != "ClusterCIDR"):
        return
    told = written[1]
    outside = {
        f"node/{name} .spec.podCIDRs": cidr
        for name, node in sorted(nodes.items())
        for cidr in node.spec.pod_cidrs or ()
        if not _within(cidr, told)
    }
    seen = {
        pod.metadata.name: address
        for pod in pods.values()
        if not pod.spec.host_network
        for address in pod_addresses(pod)
        if not _within(address, told)
    }
    # Networks that hand out addresses by themselves leave the nodes' ranges unused: what Pods have counts.
    if not seen and (not outside or any(pod_addresses(pod) for pod in pods.values() if not pod.spec.host_network)):
        return
    example = next(iter(seen.values()), None) or next(iter(outside.values()))
    yield warn(
        "dp-clustercidr-wrong",
        KUBE_PROXY,
        f"kube-proxy takes {told} for the Pods' addresses, but Pods have others, such as {example}",
        Evidence("clusterCIDR", told, "configmap/kube-proxy .data[config.conf]"),
        *(
            [Evidence("Pods", listing(list(seen.values())), f"pods {listing(list(seen))} .status.podIPs")]
            if seen
            else []
        ),
        *(Evidence("Pod range", cidr, source) for source, cidr in list(outside.items())[:3]),
        remedies=tuple(_rewrite(told, pods)),
    )


def _within(inner: str, ranges: str) -> bool:
    """Whether an address or a range lies in one of some ranges; True where none is of its family, or it is none."""
    try:
        network = ipaddress.ip_network(inner)
        known = [ipaddress.ip_network(item, strict=False) for item in ranges.split(",")]
    except ValueError:
        return True
    same = [item for item in known if item.version == network.version]
    return not same or any(network.subnet_of(item) for item in same)  # type: ignore[arg-type]


def _rewrite(told: str, pods: Mapping[str, Pod]) -> Iterator[Remedy]:
    """The controller manager knows the range; where it does not run as a Pod, a person must."""
    words = [
        word
        for name, pod in pods.items()
        if name.startswith("kube-controller-manager")
        for container in pod.spec.containers or ()
        for word in (*(container.command or ()), *(container.args or ()))
    ]
    flag = "--cluster-cidr="
    right = next((word.removeprefix(flag) for word in words if word.startswith(flag)), "")
    if right and right != told:
        yield Remedy(
            f"tell it {right}, which the controller manager hands out",
            "kubectl -n kube-system get configmap kube-proxy -o yaml"
            f" | sed 's#clusterCIDR: .*#clusterCIDR: {right}#' | kubectl apply -f -",
        )
    else:
        yield Remedy("write the Pods' range to clusterCIDR", "kubectl -n kube-system edit configmap kube-proxy")
    yield Remedy("restart it with that", "kubectl -n kube-system rollout restart daemonset kube-proxy")
