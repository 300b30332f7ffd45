"""The Pods that a workload makes, as they stand when all of them have started.

What no object tells (whether an image starts, whether a probe is answered) is taken for granted here: who uses it says
so, or asks first whether the workload's Pods have become ready so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from msgspec.structs import replace

from svcdoctor.objects import (
    Condition,
    ContainerState,
    ContainerStateRunning,
    ContainerStatus,
    Metadata,
    OwnerReference,
    Pod,
    PodIP,
    PodSpec,
    PodStatus,
    Workload,
)
from svcdoctor.pods.template import POD_INDEX, POD_NAME

Laid: TypeAlias = tuple[str, str, str, Any]  # one object as World.fork takes it: resource, namespace, name, object
MOST_PODS = 50  # more replicas tell nothing more
ADDRESSES = "192.0.2."  # TEST-NET-1: no Pod has them


def pods_afterwards(kind: str, owner: Workload, pods: Sequence[Pod], wanted: int, *, replaced: bool) -> Iterator[Laid]:
    """The Pods of a workload when it has as many as it wants: those it has, or new ones (`replaced`)."""
    namespace = owner.metadata.namespace
    wanted = min(wanted, MOST_PODS)
    kept = [] if replaced else list(pods[:wanted])
    for pod in pods:
        if pod not in kept:
            yield "pods", namespace, pod.metadata.name, None
    for number in range(len(kept), wanted):
        like = pods[number % len(pods)] if pods else None
        node = (like.spec.node_name if like else None) or "node"
        made = started(kind, owner, number, node, [f"{ADDRESSES}{number + 1}"])
        yield "pods", namespace, made.metadata.name, made


def started(kind: str, owner: Workload, number: int, node: str, addresses: list[str]) -> Pod:
    """The Pod of this number that a workload makes; it became ready long enough ago."""
    metadata, template = owner.metadata, owner.spec.template
    name = f"{metadata.name}-{number}" if kind == "StatefulSet" else f"{metadata.name}-then-{number}"
    spec, labels = template.spec, dict(template.metadata.labels or {})
    if kind == "StatefulSet":
        spec = replace(spec, hostname=name, subdomain=owner.spec.service_name)
        labels |= {POD_NAME: name, POD_INDEX: str(number)}
    return running(
        Pod(
            metadata=Metadata(
                name=name,
                namespace=metadata.namespace,
                uid=f"then-{number}",
                creation_timestamp=metadata.creation_timestamp,
                labels=labels,
                annotations=template.metadata.annotations,
                owner_references=[OwnerReference(kind=kind, name=metadata.name, uid=metadata.uid, controller=True)],
            ),
            spec=spec,
        ),
        node,
        addresses,
    )


def running(pod: Pod, node: str, addresses: list[str]) -> Pod:
    """The Pod on a node, with addresses, every container of it started and ready."""
    gates = [gate.condition_type for gate in pod.spec.readiness_gates or ()]
    conditions = [
        Condition(type=condition, status="True")
        for condition in ("PodScheduled", "Initialized", "ContainersReady", "Ready", *gates)
    ]
    return replace(
        pod,
        spec=replace(pod.spec, node_name=pod.spec.node_name or node),
        status=PodStatus(
            phase="Running",
            pod_ip=addresses[0],
            pod_ips=[PodIP(ip=address) for address in addresses],
            conditions=conditions,
            container_statuses=_up(pod.spec),
        ),
    )


def _up(spec: PodSpec) -> list[ContainerStatus]:
    state = ContainerState(running=ContainerStateRunning())
    names = [container.name for container in spec.containers or ()]
    return [ContainerStatus(name, ready=True, started=True, state=state) for name in names]
