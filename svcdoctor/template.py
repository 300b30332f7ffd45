"""Pod templates and who owns them: what a selector is matched against besides the Pods that happen to live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from svcdoctor.finding import Subject
from svcdoctor.objects import CronJob, Pod, PodSpec, Workload

WORKLOAD_RESOURCES = ("deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs")
_KIND_OF = {
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "replicasets": "ReplicaSet",
    "jobs": "Job",
}


class Template(NamedTuple):
    """A Pod template with its top-level owner, or a bare Pod, which is its own."""

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    spec: PodSpec
    desired: int | None  # replicas asked for; None where the kind has no such number
    owner: Any  # the Workload, CronJob or Pod itself

    @property
    def subject(self) -> Subject:
        return Subject(self.kind, self.namespace, self.name)

    @property
    def ref(self) -> str:
        return f"{self.kind.lower()}/{self.name}"

    @property
    def own_labels(self) -> dict[str, str]:
        """What the workload tells its own Pods by; of a bare Pod, all labels."""
        selector = None if self.kind in ("Pod", "CronJob") else self.owner.spec.selector
        return dict((selector and selector.match_labels) or self.labels)


def matches(selector: Mapping[str, str], labels: Mapping[str, str] | None) -> bool:
    """Whether a non-empty equality selector, as Services have it, selects these labels."""
    return bool(selector) and all((labels or {}).get(key) == value for key, value in selector.items())


def top_owner(pod: Pod) -> tuple[str, str]:
    """(kind, name) of the workload a person knows: the Deployment, not its ReplicaSet; the Pod itself if it is bare."""
    for owner in pod.metadata.owner_references or ():
        if not owner.controller:
            continue
        if owner.kind == "ReplicaSet":
            template_hash = (pod.metadata.labels or {}).get("pod-template-hash", "")
            if template_hash and owner.name.endswith(f"-{template_hash}"):
                return "Deployment", owner.name.removesuffix(f"-{template_hash}")
        return owner.kind, owner.name
    return "Pod", pod.metadata.name


# Domains in which what scales to zero, and back on demand or by the clock, marks the workloads it looks after.
_SCALERS = ("knative.dev", "keda.sh", "sablier.enable", "downscaler")


def is_scaled_on_demand(template: Template) -> bool:
    """Whether an autoscaler that goes down to zero has marked the workload."""
    metadata = template.owner.metadata
    marks = [*(metadata.annotations or ()), *(metadata.labels or ()), *template.labels]
    return any(mark.split("/")[0].endswith(_SCALERS) for mark in marks)


def is_owned(item: Any) -> bool:
    """Whether a workload that has a template of its own made it. What an operator's resource made speaks for itself."""
    kinds = {*_KIND_OF.values(), "CronJob"}
    return any(owner.controller and owner.kind in kinds for owner in item.metadata.owner_references or ())


def templates_in(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[Template]:
    """Every template among a namespace's workloads that is not owned by another; bare Pods are their own."""
    for resource, kind in _KIND_OF.items():
        for _, item in sorted(tables[resource].items()):
            if is_owned(item):
                continue
            workload: Workload = item
            desired = None
            if kind in ("Deployment", "StatefulSet", "ReplicaSet"):
                desired = 1 if workload.spec.replicas is None else workload.spec.replicas
            template = workload.spec.template
            labels = template.metadata.labels or {}
            yield Template(kind, item.metadata.namespace, item.metadata.name, labels, template.spec, desired, item)
    for _, item in sorted(tables["cronjobs"].items()):
        cronjob: CronJob = item
        template = cronjob.spec.job_template.spec.template
        labels = template.metadata.labels or {}
        yield Template("CronJob", item.metadata.namespace, item.metadata.name, labels, template.spec, None, item)
    for _, item in sorted(tables["pods"].items()):
        pod: Pod = item
        if not is_owned(pod):
            labels = pod.metadata.labels or {}
            yield Template("Pod", item.metadata.namespace, item.metadata.name, labels, pod.spec, None, item)
