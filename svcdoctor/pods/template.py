"""Pod templates and who owns them: what a selector is matched against besides the Pods that happen to live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from svcdoctor.finding import Subject
from svcdoctor.objects import Pod, PodSpec
from svcdoctor.text import whole_number

WORKLOAD_RESOURCES = ("deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs")
TEMPLATE_KINDS = {
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "replicasets": "ReplicaSet",
    "jobs": "Job",
    "cronjobs": "CronJob",
    "pods": "Pod",
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

    def is_selected(self, selector: Mapping[str, str]) -> bool:
        """Whether the selector finds its Pods, or, of a StatefulSet, the Pod whose number it names."""
        return matches(selector, self.labels) or (
            self.kind == "StatefulSet" and matches(selector, {**self.labels, **self._numbered(selector)})
        )

    def _numbered(self, selector: Mapping[str, str]) -> dict[str, str]:
        """What the controller adds to the labels of the Pod that the selector names, if there is to be such a Pod."""
        name = selector.get(POD_NAME) or f"{self.name}-{selector.get(POD_INDEX, '')}"
        ordinal = name.removeprefix(f"{self.name}-")
        number = whole_number(ordinal)
        there = number is not None and (not self.desired or number < self.desired)
        return {POD_NAME: name, POD_INDEX: ordinal} if there else {}


# What the StatefulSet controller labels each Pod with.
POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


def matches(selector: Mapping[str, str], labels: Mapping[str, str] | None) -> bool:
    """Whether a non-empty equality selector, as Services have it, selects these labels."""
    if not selector or not labels:
        return False
    return selector.items() <= labels.items()


def top_owner(pod: Pod) -> tuple[str, str]:
    """(kind, name) of the workload a person knows: the Deployment, not its ReplicaSet; the Pod itself if it is bare."""
    for owner in pod.metadata.owner_references or ():
        if not owner.controller:
            continue
        if owner.kind == "ReplicaSet":
            template_hash = (pod.metadata.labels or {}).get("pod-template-hash", "")
            stem = owner.name.removesuffix(f"-{template_hash}")
            if template_hash and stem != owner.name:
                return "Deployment", stem
        return owner.kind, owner.name
    return "Pod", pod.metadata.name


def former_owner(pod: Pod) -> tuple[str, str] | None:
    """(kind, name) of the workload that made a Pod and has let it go, told by what it named and labelled it."""
    labels, name = pod.metadata.labels or {}, pod.metadata.name
    for owner in pod.metadata.owner_references or ():
        if owner.controller:
            return None
    if POD_NAME in labels:
        return "StatefulSet", name.rpartition("-")[0]
    if "controller-revision-hash" in labels:
        return "DaemonSet", name.rpartition("-")[0]
    replica_set, dash, _ = name.rpartition("-")
    if "pod-template-hash" in labels and dash:
        return "Deployment", replica_set.rpartition("-")[0]
    return None


# Domains in which what scales to zero, and back on demand or by the clock, marks the workloads it looks after.
_SCALERS = ("knative.dev", "keda.sh", "sablier.enable", "downscaler")


def is_scaled_on_demand(template: Template) -> bool:
    """Whether an autoscaler that goes down to zero has marked the workload."""
    metadata = template.owner.metadata
    marks = [*(metadata.annotations or ()), *(metadata.labels or ()), *template.labels]
    return any(mark.split("/")[0].endswith(_SCALERS) for mark in marks)


_OWNERS = frozenset(TEMPLATE_KINDS.values()) - {"Pod"}


def is_owned(item: Any) -> bool:
    """Whether a workload that has a template of its own made it. What an operator's resource made speaks for itself."""
    for owner in item.metadata.owner_references or ():  # noqa: SIM110 - asked of every Pod for each index
        if owner.controller and owner.kind in _OWNERS:
            return True
    return False


def template_of(kind: str, item: Any) -> Template:
    """The template of a workload, or of a bare Pod."""
    spec, desired = item.spec, None
    if kind == "Pod":
        return Template(
            kind, item.metadata.namespace, item.metadata.name, item.metadata.labels or {}, spec, desired, item
        )
    template = spec.job_template.spec.template if kind == "CronJob" else spec.template
    if kind in ("Deployment", "StatefulSet", "ReplicaSet"):
        desired = 1 if spec.replicas is None else spec.replicas
    labels = template.metadata.labels or {}
    return Template(kind, item.metadata.namespace, item.metadata.name, labels, template.spec, desired, item)


class TemplatesByLabel:
    """The templates of a namespace by what a selector may ask for."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._templates = list(templates)
        self._places: dict[tuple[str, str], list[int]] = {}
        for place, template in enumerate(self._templates):
            for label in template.labels.items():
                self._places.setdefault(label, []).append(place)

    def selected_by(self, selector: Mapping[str, str]) -> list[Template]:
        """Those whose Pods the selector finds, in the order that they were given in."""
        if POD_NAME in selector or POD_INDEX in selector:  # which no template says of its Pods
            return [template for template in self._templates if template.is_selected(selector)]
        rarest: Sequence[int] = min((self._places.get(label, ()) for label in selector.items()), key=len, default=())
        return [self._templates[place] for place in rarest if matches(selector, self._templates[place].labels)]


def templates_in(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[Template]:
    """Every template among a namespace's workloads that is not owned by another; bare Pods are their own."""
    for resource, kind in TEMPLATE_KINDS.items():
        for _, item in sorted(tables.get(resource, {}).items()):
            if not is_owned(item):
                yield template_of(kind, item)
