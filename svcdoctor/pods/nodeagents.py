"""Programs of which every node needs one, such as kube-proxy: the nodes that a DaemonSet leaves without.

Nodes that are down, that have just joined, or on which nothing of the kind is meant to run are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.objects import Node, Pod, Workload
from svcdoctor.pods.template import top_owner
from svcdoctor.text import plural

STARTING_SECONDS = 60.0  # a node that has joined, and an agent that was replaced, are given this long
# (time, seconds) -> whether less has passed since
IsYounger = Callable[[str | None, float], bool]


class Lack(NamedTuple):
    node: str
    why: str
    pod: str = ""  # the one that is there and not ready; "" where there is none
    unmatched: str = ""  # the key of the DaemonSet's nodeSelector that the node does not match


def runs_agents(node: Node) -> bool:
    """Whether a Linux node of its own: not one of Windows, of a cloud's Pod service, or of a simulator."""
    labels, annotations = node.metadata.labels or {}, node.metadata.annotations or {}
    taints = [taint.key for taint in node.spec.taints or ()]
    return not (
        labels.get("kubernetes.io/os") == "windows"
        or labels.get("type") in ("virtual-kubelet", "kwok")
        or "eks.amazonaws.com/compute-type" in labels
        or "kwok.x-k8s.io/node" in annotations
        or any(key.startswith("virtual-kubelet.io/") for key in taints)
    )


def is_up(node: Node) -> bool:
    return any(item.type == "Ready" and item.status == "True" for item in node.status.conditions or ())


def are_complete(daemonsets: Iterable[Workload]) -> bool:
    """Whether each says of itself that it is ready wherever it is placed: cheaper to know than where that is."""
    return all(
        daemonset.status.desired_number_scheduled
        and (daemonset.status.number_ready or 0) >= daemonset.status.desired_number_scheduled
        for daemonset in daemonsets
    )


def lacking(
    daemonsets: list[Workload], pods: Iterable[Pod], nodes: Mapping[str, Node], is_younger: IsYounger
) -> Iterator[Lack]:
    """The nodes without a ready Pod of any of these DaemonSets, by name, and why."""
    names = {daemonset.metadata.name for daemonset in daemonsets}
    placed: dict[str, list[Pod]] = {}
    for pod in pods:
        kind, owner = top_owner(pod)
        if kind == "DaemonSet" and owner in names:
            placed.setdefault(pod.spec.node_name or "", []).append(pod)
    replacing = any(_is_rolling_out(daemonset) for daemonset in daemonsets)
    for name, node in sorted(nodes.items()):
        if not runs_agents(node) or not is_up(node) or is_younger(node.metadata.creation_timestamp, STARTING_SECONDS):
            continue
        own = placed.get(name, [])
        if any(is_ready(pod) or _is_changing(pod, is_younger) for pod in own):
            continue
        if own:
            yield Lack(name, trouble(own[0]), own[0].metadata.name)
        elif not replacing:
            yield _unplaced(daemonsets, node)


def _is_changing(pod: Pod, is_younger: IsYounger) -> bool:
    return pod.metadata.deletion_timestamp is not None or (
        is_younger(pod.metadata.creation_timestamp, STARTING_SECONDS)
        and not any(status.restart_count for status in pod.status.container_statuses or ())
    )


def _is_rolling_out(daemonset: Workload) -> bool:
    status = daemonset.status
    wanted = status.desired_number_scheduled or 0
    updated = wanted if status.updated_number_scheduled is None else status.updated_number_scheduled
    return updated < wanted


def _unplaced(daemonsets: list[Workload], node: Node) -> Lack:
    labels = node.metadata.labels or {}
    for daemonset in daemonsets:
        for key, value in sorted((daemonset.spec.template.spec.node_selector or {}).items()):
            if labels.get(key) != value:
                found = f"{key}={labels[key]}" if key in labels else f"no label {key}"
                return Lack(
                    node.metadata.name, f"its nodeSelector asks for {key}={value}, the node has {found}", "", key
                )
    return Lack(node.metadata.name, "no Pod of it is on the node")


def trouble(pod: Pod) -> str:
    """In what state a Pod that is not ready is: `CrashLoopBackOff, 4 restarts, last exit code 1`."""
    for status in pod.status.container_statuses or ():
        waiting = status.state.waiting if status.state else None
        ended = (status.state.terminated if status.state else None) or (
            status.last_state.terminated if status.last_state else None
        )
        if not status.ready:
            parts = [waiting.reason if waiting and waiting.reason else "not ready"]
            parts += [plural(status.restart_count, "restart")] if status.restart_count else []
            parts += [f"last exit code {ended.exit_code}"] if ended else []
            return ", ".join(parts)
    return f"{pod.status.phase or 'Pending'}, not ready"
