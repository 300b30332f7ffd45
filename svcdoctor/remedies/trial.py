"""What a remedy would lead to: tried on the objects in memory, with what the controllers would make of it.

The command is followed as it is printed, the workloads and the EndpointSlice controller are modelled, and the Service
is judged again. Where the answer depends on what no object tells (whether another image starts), none is given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

from msgspec.structs import replace

from svcdoctor.endpoints.reconcile import (
    CONTROLLER,
    MANAGED_BY,
    MIRRORING_CONTROLLER,
    desired_slices,
    is_ready,
    slices_of,
)
from svcdoctor.finding import Certainty, Finding, Remedy, Role, Status
from svcdoctor.objectindexes import PODS_BY_LABEL, PODS_BY_OWNER, SLICES_BY_SERVICE
from svcdoctor.objects import EndpointSlice, Pod, Probe, Service, Workload
from svcdoctor.pods.rollout import MOST_PODS, Laid, pods_afterwards
from svcdoctor.pods.template import WORKLOAD_RESOURCES, template_of
from svcdoctor.remedies.kubectl import Change, changes
from svcdoctor.world import NotRead, World

REPLACED_BY_ROLLOUT = ("deployments", "statefulsets", "daemonsets", "replicasets")


class _Untold(Exception):
    """No object tells what would come of it."""


class Verdict(NamedTuple):
    """What counts of a judgement on a Service."""

    status: Status
    cause: Finding | None
    findings: list[Finding]


class Trial(NamedTuple):
    """A finding with its remedies tried, and the fault that the first of them would bring to light."""

    finding: Finding
    exposed: Finding | None


def tried(
    world: World,
    service: Service,
    finding: Finding,
    explained: Collection[str | None],
    judge: Callable[[World, Service], Verdict | None],
) -> Trial:
    """`explained` are the codes of what the finding is the reason of: whether these go with it shows only in the
    cluster. `judge` gives the verdict on a Service in another World, or None where it has not all that it takes."""
    remedies: list[Remedy] = []
    exposed: Finding | None = None
    for place, remedy in enumerate(finding.remedies):
        then = afterwards(world, service, with_its_steps(finding.remedies[place:]), judge)
        if then is None or (then.cause and then.cause.code in explained) or _still_holds(finding, then):
            remedies.append(remedy)
            continue
        outcome = (then.cause and then.cause.code) or ("unknown" if then.status is Status.UNKNOWN else "pass")
        remedies.append(replace(remedy, verified=True, then=outcome))
        if remedy is finding.remedies[0]:
            exposed = next(filter(_is_certain, then.findings), None)
    return Trial(replace(finding, remedies=tuple(remedies)), exposed)


def _still_holds(finding: Finding, then: Verdict) -> bool:
    return any(other.code == finding.code and other.is_fault for other in then.findings)


def _is_certain(finding: Finding) -> bool:
    """Whether it would surely come to light: what is inferred, from a missing address, say, may end as well."""
    return finding.role is Role.CAUSE and finding.status is Status.FAIL and finding.certainty is Certainty.OBSERVED


def with_its_steps(remedies: Sequence[Remedy]) -> Remedy:
    """The first of some remedies, with the commands of those that go on from it: their words begin with "then"."""
    first, *others = remedies
    steps = [first.command, *(step.command for step in takewhile(lambda other: other.do.startswith("then "), others))]
    return replace(first, command=" && ".join(steps))


def afterwards(
    world: World, service: Service, remedy: Remedy, judge: Callable[[World, Service], Verdict | None]
) -> Verdict | None:
    """What would be said of the Service when the remedy is applied; None where that cannot be told."""
    if not remedy.changes_cluster or not remedy.command:
        return None
    found = changes(remedy.command, world.listed_or_nothing)
    if not found:
        return None
    namespace, name = service.metadata.namespace, service.metadata.name
    try:
        after = _world_afterwards(world, found, namespace, name)
        changed = after.listed("services", namespace).get(name)
    except (NotRead, _Untold):
        return None
    return judge(after, changed) if changed is not None else None


def _world_afterwards(world: World, found: list[Change], namespace: str, name: str) -> World:
    """The World when the commands are done and the controllers too. Raises _Untold, NotRead."""
    laid: list[Laid] = [(change.resource.name, change.namespace, change.name, change.after) for change in found]
    for change in found:
        if change.resource.name in WORKLOAD_RESOURCES:
            laid += _rolled_out(world, change)
    after = world.fork(laid)
    # An alias is judged by the Service that it leads to, which the commands may have made.
    named = {(namespace, name), *((item.namespace, item.name) for item in found if item.resource.name == "services")}
    services = (after.listed("services", place).get(one) for place, one in sorted(named))
    slices = [laid for service in services if service for laid in slices_afterwards(after, service)]
    # What was looked up before says nothing of afterwards.
    final = after.fork(slices)
    final.expects_lookups = False
    final.lookups = None
    final.trials = None
    final.connections = world.connections and world.connections.untried
    return final


def slices_afterwards(world: World, service: Service) -> Iterator[Laid]:
    """What the controllers of EndpointSlices replace. Those that somebody else writes stay."""
    namespace, name = service.metadata.namespace, service.metadata.name
    held: list[EndpointSlice] = world.found(SLICES_BY_SERVICE, namespace, name)
    legacy = world.listed_or_nothing("endpoints", namespace).get(name)
    if service.spec.selector:
        # The mirroring controller takes its copies away from a Service that has a selector again.
        replaced = {CONTROLLER, MIRRORING_CONTROLLER}
        written = desired_slices(service, world.found(PODS_BY_LABEL, namespace, *service.spec.selector.items()))
    elif legacy is not None:
        replaced, written = {MIRRORING_CONTROLLER}, slices_of(legacy)
    else:
        return
    for piece in held:
        if (piece.metadata.labels or {}).get(MANAGED_BY) in replaced:
            yield "endpointslices", namespace, piece.metadata.name, None
    for number, piece in enumerate(written):
        metadata = replace(piece.metadata, name=f"{name}-then-{number}")
        yield "endpointslices", namespace, metadata.name, replace(piece, metadata=metadata)


# --- workloads ----------------------------------------------------------------------------------------------------


def _rolled_out(world: World, change: Change) -> Iterator[Laid]:
    """The Pods of a workload that was changed: as many as it wants, of its template."""
    resource, namespace, name = change.resource.name, change.namespace, change.name
    before: Workload | None = world.listed(resource, namespace).get(name)
    after: Workload | None = change.after
    if resource not in REPLACED_BY_ROLLOUT or before is None or after is None:
        raise _Untold
    kind = change.resource.kind
    pods: list[Pod] = world.found(PODS_BY_OWNER, namespace, (kind, name))
    template_changed = before.spec.template != after.spec.template
    if not all(is_ready(pod) for pod in pods) or (template_changed and not pods):
        raise _Untold  # whether its Pods become ready by this is more than the objects tell
    if _readiness_probes(before) != _readiness_probes(after):
        raise _Untold  # nor do they tell whether the program answers the other question
    template = template_of(kind, after)
    wanted = len(pods) if template.desired is None else min(template.desired, MOST_PODS)
    yield from pods_afterwards(kind, after, pods, wanted, replaced=template_changed)
    yield (
        resource,
        namespace,
        name,
        replace(after, status=replace(after.status, ready_replicas=wanted, replicas=wanted)),
    )


def _readiness_probes(workload: Workload) -> list[Probe | None]:
    return [container.readiness_probe for container in workload.spec.template.spec.containers or ()]
