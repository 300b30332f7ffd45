"""What changed in a Deployment, and when: its revisions are its ReplicaSets, each with the template it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from svcdoctor.finding import Evidence
from svcdoctor.objects import Condition, Container, Pod, PodTemplateSpec, Probe, Workload
from svcdoctor.pods.containerstate import probe_words
from svcdoctor.text import duration, listing, parse_time, selector_text, utc_time, whole_number

REVISION = "deployment.kubernetes.io/revision"
# Revisions that the ReplicaSet had before, where the Deployment went back to it.
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
HASH = "pod-template-hash"
# What happens to a Pod this long after a revision was made has hardly to do with it.
RELATED_SECONDS = 600.0
# The kubelet's first word on a Pod comes within this; a later change of Ready is from the other state.
FIRST_WORD_SECONDS = 30.0


class Change(NamedTuple):
    """The step of a Deployment to its newest revision from the one before."""

    deployment: str
    revision: int
    replica_set: str
    made: str | None  # when the ReplicaSet was made; None: earlier, and the Deployment has gone back to it
    differences: tuple[str, ...]  # () where the two differ in nothing that is read here

    def __str__(self) -> str:
        what = f" ({listing(self.differences)})" if self.differences else ""
        return f"revision {self.revision} of deployment/{self.deployment}{what}"

    @property
    def source(self) -> str:
        return f"replicaset/{self.replica_set} .metadata.creationTimestamp"


def revision_of(item: Workload) -> int:
    return whole_number((item.metadata.annotations or {}).get(REVISION, "")) or 0


def newest(replica_sets: Sequence[Workload]) -> Workload | None:
    """The ReplicaSet of the current template."""
    numbered = [item for item in replica_sets if revision_of(item)]
    return max(numbered, key=revision_of, default=None)


def last_change(deployment: Workload, replica_sets: Sequence[Workload]) -> Change | None:
    """What the newest revision changed; None where there is no other to compare it with."""
    numbered = sorted((item for item in replica_sets if revision_of(item)), key=revision_of)
    if len(numbered) < 2:
        return None
    before, after = numbered[-2:]
    is_old = REVISION_HISTORY in (after.metadata.annotations or {})
    return Change(
        deployment.metadata.name,
        revision_of(after),
        after.metadata.name,
        None if is_old else after.metadata.creation_timestamp,
        tuple(differences(before.spec.template, after.spec.template)),
    )


# --- what differs between two templates --------------------------------------------------------------------------


def differences(before: PodTemplateSpec, after: PodTemplateSpec) -> Iterator[str]:
    """In a few words each, the gravest first. Values of variables and arguments stay out: they may be secret."""
    old, new = _containers(before), _containers(after)
    for name in new:
        if name in old:
            yield from _of_container(old[name], new[name])
        else:
            yield f"container {name} is new"
    yield from (f"container {name} is gone" for name in old if name not in new)
    if _labels(before) != _labels(after):
        yield f"labels {selector_text(_labels(before)) or '<none>'} -> {selector_text(_labels(after)) or '<none>'}"
    if _annotation(before, RESTARTED) != _annotation(after, RESTARTED):
        yield "restarted with kubectl rollout restart"


def _containers(template: PodTemplateSpec) -> dict[str, Container]:
    return {item.name: item for item in (*(template.spec.init_containers or ()), *(template.spec.containers or ()))}


def _labels(template: PodTemplateSpec) -> dict[str, str]:
    return {key: value for key, value in (template.metadata.labels or {}).items() if key != HASH}


def _annotation(template: PodTemplateSpec, key: str) -> str | None:
    return (template.metadata.annotations or {}).get(key)


def _of_container(before: Container, after: Container) -> Iterator[str]:
    name = after.name
    if before.image != after.image:
        yield f"image of {name} {before.image} -> {after.image}"
    if (before.command, before.args) != (after.command, after.args):
        yield f"command of {name}"
    if variables := _changed_variables(before, after):
        yield f"variable {listing(variables)} of {name}"
    for kind in ("readiness", "liveness", "startup"):
        old: Probe | None = getattr(before, f"{kind}_probe")
        new: Probe | None = getattr(after, f"{kind}_probe")
        if old != new:
            yield f"{kind} probe of {name} {_probe(old)} -> {_probe(new)}"
    if _ports(before) != _ports(after):
        yield f"ports of {name} {_ports(before)} -> {_ports(after)}"
    if before.resources != after.resources:
        yield f"resources of {name}"


def _changed_variables(before: Container, after: Container) -> list[str]:
    old, new = ({item.name: item for item in container.env or ()} for container in (before, after))
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def _probe(probe: Probe | None) -> str:
    return probe_words(probe) if probe else "<none>"


def _ports(container: Container) -> str:
    return listing([f"{port.name} {port.container_port}".strip() for port in container.ports or ()]) or "<none>"


# --- since when --------------------------------------------------------------------------------------------------


def readiness(pod: Pod) -> Condition:
    return next((item for item in pod.status.conditions or () if item.type == "Ready"), Condition())


def was_ready(pod: Pod) -> bool:
    """Whether a Pod that is not ready once was: its condition changed after the kubelet had first set it."""
    seconds = _between(pod.status.start_time, readiness(pod).last_transition_time)
    return readiness(pod).status != "True" and seconds is not None and seconds > FIRST_WORD_SECONDS


def unready_since(pod: Pod, change: Change | None) -> Evidence | None:
    """Since when a Pod is not ready, and shortly after which change; None where its conditions do not say."""
    since = readiness(pod).last_transition_time
    source = f"pod/{pod.metadata.name} .status.conditions[Ready].lastTransitionTime"
    if readiness(pod).status == "True":
        return None
    if since is None:  # no kubelet has spoken of it yet
        since, source = pod.metadata.creation_timestamp, f"pod/{pod.metadata.name} .metadata.creationTimestamp"
    if parse_time(since) is None:
        return None
    words = f"{utc_time(since)} ({'ready before' if was_ready(pod) else 'its start'})"
    made = change.made if change and _is_of(pod, change) else None
    seconds = _between(made, since)
    if change and seconds is not None and 0 <= seconds <= RELATED_SECONDS:
        return Evidence("not ready since", f"{words}, {duration(seconds)} after {change}", f"{source}, {change.source}")
    return Evidence("not ready since", words, source)


def _is_of(pod: Pod, change: Change) -> bool:
    return any(owner.controller and owner.name == change.replica_set for owner in pod.metadata.owner_references or ())


def _between(start: str | None, end: str | None) -> float | None:
    first, last = parse_time(start), parse_time(end)
    return (last - first).total_seconds() if first and last else None
