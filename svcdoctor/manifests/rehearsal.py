"""Manifests, diagnosed before they are applied: on their own, or laid over a cluster.

Both judge as if every Pod that the manifests start becomes ready: that is as far as objects tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from svcdoctor.diagnosis import Outcome, Scope, diagnose
from svcdoctor.endpoints.reconcile import desired_slices
from svcdoctor.finding import Before, Diagnosis, Finding, Remedy, ServiceDiagnosis, Status, Step, Summary
from svcdoctor.manifests.files import Manifest
from svcdoctor.manifests.given import is_assumed
from svcdoctor.manifests.lines import located
from svcdoctor.manifests.planned import NODES, SYSTEM, allocated, by_resource, not_given, planned, rolled_out
from svcdoctor.objectindexes import PODS_BY_OWNER
from svcdoctor.objects import PodSpec, Probe, SecurityContext, Service, Workload, WorkloadStatus
from svcdoctor.pods.rollout import Laid, pods_afterwards
from svcdoctor.pods.template import template_of
from svcdoctor.remedies.kubectl import changes
from svcdoctor.remedies.trial import slices_afterwards
from svcdoctor.world import EVERYWHERE, NotRead, Want, World

MAKERS = ("deployments", "statefulsets", "daemonsets", "replicasets", "jobs")
MOST_EDITS = 4  # that are told of one remedy
Key = tuple[str, str, str]  # resource, namespace, name


class Rehearsal(NamedTuple):
    diagnosis: Diagnosis
    unseen: list[str]  # what the manifests name and do not hold: `Service NAMESPACE/NAME`, `namespace NAMESPACE`


# --- on their own -------------------------------------------------------------------------------------------------


def alone(manifests: Sequence[Manifest], scope: Scope, now: datetime) -> Rehearsal:
    """The report of what the manifests show by themselves."""
    world = planned(by_resource((manifest.resource.name, manifest.item) for manifest in manifests), now)
    given = {manifest.key: manifest for manifest in manifests}
    scope = scope._replace(given=True)
    unseen: set[str] = set()
    while (outcome := diagnose(world, scope)).wants:
        for want in outcome.wants:
            world.miss(not_given(want))
            if want.resource == "services" and want.namespace not in (EVERYWHERE, SYSTEM):
                unseen.add(f"namespace {want.namespace}")
    said = outcome.diagnosis
    unseen |= {f"Service {one.namespace}/{one.name}" for one in said.missing if not _says_something(one.findings)}
    written = (one for one in said.services if ("services", one.namespace, one.name) in given)
    edits = _Edits(world, given, alone=True)
    report = replace(
        said,
        services=tuple(_as_written(one, given["services", one.namespace, one.name].item) for one in written),
        missing=tuple(one for one in said.missing if _says_something(one.findings)),
        clients=tuple(one for one in said.clients if _says_something(one.findings)),
    )
    return Rehearsal(located(_counted(edits.of(report)), manifests), sorted(unseen))


def _says_something(findings: Iterable[Finding]) -> bool:
    return any(finding.code for finding in findings)


def _unasked(said: ServiceDiagnosis) -> ServiceDiagnosis:
    """No name is looked up of what is not applied yet."""
    message = "not looked up: nothing of this runs yet"
    steps = (
        replace(step, message=message) if step.step is Step.DNS and step.status is Status.SKIP else step
        for step in said.steps
    )
    return replace(said, steps=tuple(steps))


def _as_written(said: ServiceDiagnosis, service: Service) -> ServiceDiagnosis:
    """Without the addresses and node ports that were made up."""
    written = {(port.port, port.protocol): port.node_port or None for port in service.spec.ports or ()}
    return replace(
        _unasked(said),
        cluster_ips=tuple(address for address in said.cluster_ips if not is_assumed(address)),
        ports=tuple(replace(port, node_port=written.get((port.port, port.protocol))) for port in said.ports),
        endpoints=tuple(
            replace(row, address="" if is_assumed(row.address) else row.address, node="") for row in said.endpoints
        ),
    )


def _counted(diagnosis: Diagnosis) -> Diagnosis:
    statuses = [entry.status for entry in diagnosis.services]
    summary = Summary(
        services=len(statuses),
        fail=statuses.count(Status.FAIL),
        warn=statuses.count(Status.WARN),
        passed=statuses.count(Status.PASS),
        unknown=statuses.count(Status.UNKNOWN),
    )
    return replace(diagnosis, summary=summary)


# --- over a cluster -----------------------------------------------------------------------------------------------


def over(world: World, manifests: Sequence[Manifest], scope: Scope) -> Outcome:
    """The report of the cluster with the manifests applied, each Service with what is said of it now.

    What takes more objects to tell comes back as wants, as from `diagnose`.
    """
    now = diagnose(world, scope)
    laid, wants = _laid(world, manifests)
    if wants:
        return Outcome(now.diagnosis, now.wants | wants)
    after = world.fork(laid)
    namespaces = {manifest.item.metadata.namespace for manifest in manifests if manifest.resource.namespaced}
    try:
        after = after.fork([piece for namespace in sorted(namespaces) for piece in _slices(world, after, namespace)])
    except NotRead as missing:
        return Outcome(now.diagnosis, now.wants | missing.wants)
    then = diagnose(after, scope)
    before = {(entry.namespace, entry.name): entry for entry in now.diagnosis.services}
    told = (_compared(entry, before.get((entry.namespace, entry.name))) for entry in then.diagnosis.services)
    shown = tuple(entry for entry in told if entry.namespace in namespaces or changed(entry))
    given = {manifest.key: manifest for manifest in manifests}
    shown = tuple(
        _as_written(entry, given[key].item)
        if (key := ("services", entry.namespace, entry.name)) in given and key[1:] not in before
        else entry
        for entry in shown
    )
    report = _Edits(after, given, alone=False).of(_counted(replace(then.diagnosis, services=shown)))
    return Outcome(located(report, manifests), now.wants | then.wants)


def changed(entry: ServiceDiagnosis) -> bool:
    """Whether the manifests would change what is said of the Service."""
    return entry.before is not None and entry.before != Before(entry.status, entry.cause)


def _compared(entry: ServiceDiagnosis, before: ServiceDiagnosis | None) -> ServiceDiagnosis:
    return replace(_unasked(entry), before=Before(before.status, before.cause) if before else Before())


def _laid(world: World, manifests: Sequence[Manifest]) -> tuple[list[Laid], frozenset[Want]]:
    laid: list[Laid] = []
    wants: set[Want] = set()
    number = count(1)
    for manifest in manifests:
        resource, namespace, name = manifest.key
        try:
            before = world.listed(resource, namespace if manifest.resource.namespaced else EVERYWHERE).get(name)
            item = _merged(before, manifest.item)
            if resource == "services":
                item = allocated(_with_allocations(before, item), number)
            if resource in MAKERS:
                item, pods = _made(world, manifest.resource.kind, before, item)
                laid += pods
            laid.append((resource, namespace, name, item))
        except NotRead as missing:
            # Where it may not be read it is taken for new: the diagnosis says that it could not look.
            wants |= missing.wants
            if not missing.wants:
                laid.append((resource, namespace, name, manifest.item))
    return laid, frozenset(wants)


def _merged(before: Any | None, item: Any) -> Any:
    """What applying leaves of an object that is there: its identity, its status, and marks that others have set."""
    if before is None:
        return item
    metadata = replace(
        before.metadata,
        labels={**(before.metadata.labels or {}), **(item.metadata.labels or {})} or None,
        annotations={**(before.metadata.annotations or {}), **(item.metadata.annotations or {})} or None,
    )
    kept = {"status": before.status} if hasattr(before, "status") else {}
    return replace(item, metadata=metadata, **kept)


def _with_allocations(before: Service | None, service: Service) -> Service:
    """The addresses and node ports that a Service has already, as far as its manifest leaves them open."""
    if before is None or service.spec.type == "ExternalName":
        return service
    old, spec = before.spec, service.spec
    node_ports = {(port.port, port.protocol): port.node_port for port in old.ports or ()}
    is_exposed = spec.type in ("NodePort", "LoadBalancer")
    ports = [
        replace(port, node_port=port.node_port or (node_ports.get((port.port, port.protocol), 0) if is_exposed else 0))
        for port in spec.ports or ()
    ]
    same_kind = spec.cluster_ip in (None, old.cluster_ip)
    return replace(
        service,
        spec=replace(
            spec,
            ports=ports,
            cluster_ip=old.cluster_ip if same_kind else spec.cluster_ip,
            cluster_ips=spec.cluster_ips or (old.cluster_ips if same_kind else None),
            ip_families=spec.ip_families or old.ip_families,
            ip_family_policy=spec.ip_family_policy or old.ip_family_policy,
            health_check_node_port=old.health_check_node_port,
        ),
    )


def _made(world: World, kind: str, before: Workload | None, after: Workload) -> tuple[Workload, list[Laid]]:
    """A workload and the Pods that it makes of its template, when it has rolled out."""
    namespace, name = after.metadata.namespace, after.metadata.name
    pods = world.found(PODS_BY_OWNER, namespace, (kind, name))
    replicas = after.spec.replicas
    if replicas is None and before is not None:
        after = replace(after, spec=replace(after.spec, replicas=before.spec.replicas))  # an autoscaler's, perhaps
    replaced = before is None or _as_stored(before.spec.template.spec) != _as_stored(after.spec.template.spec)
    replaced = replaced or (before is not None and _labels(before) != _labels(after))
    desired = template_of(kind, after).desired
    wanted = desired if desired is not None else len(pods) or (1 if kind == "Job" else len(NODES))
    was = len(pods) if before is None else template_of(kind, before).desired
    if not replaced and desired in (None, was):
        return after, []
    settled = rolled_out(kind, replace(after, status=WorkloadStatus()), wanted) if replaced else after
    return settled, list(pods_afterwards(kind, after, pods, wanted, replaced=replaced))


def _labels(workload: Workload) -> Mapping[str, str]:
    return workload.spec.template.metadata.labels or {}


def _as_stored(spec: PodSpec) -> PodSpec:
    """The spec as the API server keeps it: what it fills in, or leaves as {}, is no difference."""

    def probe(value: Probe | None) -> Probe | None:
        if value is None or value.http_get is None:
            return value
        return replace(value, http_get=replace(value.http_get, scheme=value.http_get.scheme or "HTTP"))

    def containers(items: list[Any] | None) -> list[Any]:
        return [
            replace(
                item,
                readiness_probe=probe(item.readiness_probe),
                liveness_probe=probe(item.liveness_probe),
                startup_probe=probe(item.startup_probe),
                resources=None,
            )
            for item in items or ()
        ]

    empty = SecurityContext()
    return replace(
        spec,
        containers=containers(spec.containers),
        init_containers=containers(spec.init_containers),
        termination_grace_period_seconds=spec.termination_grace_period_seconds or 30,
        security_context=None if spec.security_context == empty else spec.security_context,
        scheduler_name=spec.scheduler_name or "default-scheduler",
        volumes=spec.volumes or None,
    )


def _slices(world: World, after: World, namespace: str) -> Iterator[Laid]:
    """The slices of every Service of the namespace whose Pods or ports are others than before."""
    services = world.listed("services", namespace)
    old, new = world.listed("pods", namespace).values(), after.listed("pods", namespace).values()
    for name, service in after.listed("services", namespace).items():
        before = services.get(name)
        if before is None or desired_slices(before, old) != desired_slices(service, new):
            yield from slices_afterwards(after, service)


# --- remedies -----------------------------------------------------------------------------------------------------


class _Edits:
    """Remedies as changes of manifests, instead of the cluster that these are not applied to yet."""

    def __init__(self, world: World, given: Mapping[Key, Manifest], *, alone: bool) -> None:
        self.world = world
        self.given = given
        self.alone = alone

    def of(self, diagnosis: Diagnosis) -> Diagnosis:
        def each(entries: Iterable[Any]) -> tuple[Any, ...]:
            return tuple(replace(entry, findings=self.all(entry.findings)) for entry in entries)

        return replace(
            diagnosis,
            services=each(diagnosis.services),
            missing=each(diagnosis.missing),
            clients=each(diagnosis.clients),
            cluster=replace(diagnosis.cluster, findings=self.all(diagnosis.cluster.findings)),
        )

    def all(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        return tuple(
            replace(finding, remedies=tuple(filter(None, map(self.remedy, finding.remedies))))
            if finding.remedies
            else finding
            for finding in findings
        )

    def remedy(self, remedy: Remedy) -> Remedy | None:
        if not remedy.command or remedy.command.startswith("svcdoctor "):
            return remedy
        if not remedy.changes_cluster:
            return None if self.alone else remedy
        edits = self.edits(remedy.command)
        if edits:
            return replace(remedy, do=f"{remedy.do}: {', '.join(edits)}", command="")
        return replace(remedy, command="") if self.alone else remedy

    def edits(self, command: str) -> list[str]:
        """What the command would change, as far as it stands in the manifests: `cart.yaml:9 .spec.selector.app ...`."""
        found: list[str] = []
        for change in changes(command, self.world.listed_or_nothing) or ():
            manifest = self.given.get((change.resource.name, change.namespace, change.name))
            held = self.world.listed_or_nothing(change.resource.name, change.namespace).get(change.name)
            if manifest is None or held is None or change.after is None:
                return []
            for path, old, new in _differences(msgspec.to_builtins(held), msgspec.to_builtins(change.after)):
                place = manifest.location(path)
                found.append(f"{place.file}:{place.line} {_shown(path)} {_value(old)} -> {_value(new)}")
        return found if len(found) <= MOST_EDITS else []


_NONE = object()


_Difference: TypeAlias = tuple[tuple[str | int, ...], Any, Any]  # path, old, new


def _differences(old: Any, new: Any, path: tuple[str | int, ...] = ()) -> Iterator[_Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (*old, *(key for key in new if key not in old)):
            yield from _differences(old.get(key, _NONE), new.get(key, _NONE), (*path, key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) <= len(new):
        for place, other in enumerate(new):
            yield from _differences(old[place] if place < len(old) else _NONE, other, (*path, place))
    elif old != new:
        yield path, old, new


def _shown(path: Sequence[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) or "." in step else f".{step}" for step in path)


def _value(value: Any) -> str:
    if value is _NONE:
        return "<none>"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
