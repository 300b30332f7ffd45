"""Why is a Service absent that callers and Ingresses name: was it refused?

svc-rejected
    The API server refused the Service that is missing, because its manifest is not valid.
    Why it breaks      A protocol that does not exist, several ports without names, a node port out of range or taken, a
                       ClusterIP out of the range: one of them, and nothing is created. The error goes to whoever
                       applied it and is kept nowhere, unless a controller (Argo CD, Flux, an operator) applied it.
    Confirm by hand    kubectl -n {namespace} apply --dry-run=server -f FILE
    Fix                Correct the manifest as the message says, and apply it again.
    Not a fault when   The Service was created since.

svc-quota-exceeded
    A quota of the namespace allows no more Services, and one that is called is missing.
    Why it breaks      Above a ResourceQuota's `services` or `count/services` the API server answers 403 "exceeded
                       quota": the Service is not created. Quotas of one type (services.nodeports,
                       services.loadbalancers) refuse that type alone, so they count only where a message says so.
    Confirm by hand    kubectl -n {namespace} get resourcequota
    Fix                Raise the quota, or delete Services that nobody needs.
    Not a fault when   The quota is used up, and every name that is called exists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from shlex import quote
from typing import Any, NamedTuple

from svcdoctor.case import SETTLING_SECONDS
from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.entrycase import EntryCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail
from svcdoctor.objects import Namespace, ResourceQuota
from svcdoctor.text import listing, patch_command, shorten, whole_number
from svcdoctor.world import EVERYWHERE

CHECK = Check(
    step=Step.CALLERS,
    codes={
        "svc-rejected": Code(Stage.SERVED),
        "svc-quota-exceeded": Code(Stage.SERVED),
    },
    reads=(
        "services",
        "configmaps",
        "namespaces",
        "nodes",
        "resourcequotas",
        "events",
        "applications",
        "kustomizations",
        "helmreleases",
    ),
    about="client entry",
)
COUNTED = ("services", "count/services")
DELIVERED_BY = {"applications": "Application", "kustomizations": "Kustomization", "helmreleases": "HelmRelease"}


class Absent(NamedTuple):
    namespace: str
    name: str
    named: tuple[Evidence, ...]

    @property
    def subject(self) -> Subject:
        return Subject("Service", self.namespace, self.name)


class Refusal(NamedTuple):
    """What somebody was told who tried to create the Service."""

    by_quota: bool
    message: str
    source: str
    look: str  # the command that shows it


def run(case: ClientCase | EntryCase) -> Iterator[Finding]:
    owner = case.template.owner if isinstance(case, ClientCase) else case.entry.owner
    if case.is_younger(owner.metadata.creation_timestamp, SETTLING_SECONDS):
        return
    for absent in _absent(case):
        refusal = next(_refusals(case, absent), None)
        namespaces = case.or_without(lambda: case.listed("namespaces", EVERYWHERE), {})
        home = namespaces.get(absent.namespace)
        if home and home.metadata.deletion_timestamp:
            yield _in_a_dying_namespace(absent, home)
        elif refusal and not refusal.by_quota:
            yield _rejected(absent, refusal)
        elif (full := _full_quota(case, absent.namespace)) or refusal:
            yield _over_quota(absent, full, refusal)


def _absent(case: ClientCase | EntryCase) -> Iterator[Absent]:
    if isinstance(case, ClientCase):
        if not case.is_idle and case.asks_cluster_dns:
            for (namespace, name), uses in case.absent.items():
                yield Absent(namespace, name, tuple(Evidence("named", use.host, use.source) for use in uses[:2]))
        return
    entry = f"{case.entry.kind.lower()}/{case.entry.name}"
    for backend in case.backends:
        place = backend.namespace
        services = case.or_without(lambda place=place: case.listed("services", place), None)  # type: ignore[misc]
        if services is not None and backend.name not in services:
            named = Evidence("named", f"{backend.name}:{backend.port}", f"{entry} {backend.source}")
            yield Absent(place, backend.name, (named,))


# --- what was said -----------------------------------------------------------------------------------------------


def _refusals(case: ClientCase | EntryCase, absent: Absent) -> Iterator[Refusal]:
    invalid = re.compile(rf'Service "{re.escape(absent.name)}" is invalid: .+', re.DOTALL)
    forbidden = re.compile(rf'services? "{re.escape(absent.name)}" is forbidden: exceeded quota: .+', re.DOTALL)
    for text, source, look in _statements(case, absent):
        for pattern, by_quota in ((invalid, False), (forbidden, True)):
            if said := pattern.search(text):
                yield Refusal(by_quota, " ".join(said[0].split()), source, look)


def _statements(case: ClientCase | EntryCase, absent: Absent) -> Iterator[tuple[str, str, str]]:
    """(text, source, command that shows it) of whatever may have tried to create something in the namespace."""
    for event in case.or_without(lambda: case.listed("events", absent.namespace), {}).values():
        about = event.involved_object
        look = f"kubectl -n {absent.namespace} get events --field-selector involvedObject.name={quote(about.name)}"
        yield event.message or "", f"event {event.reason} about {about.kind.lower()}/{about.name}", look
    for resource, kind in DELIVERED_BY.items():
        for item in case.or_without(lambda resource=resource: case.everywhere(resource)[0], []):  # type: ignore[misc]
            if absent.namespace in _targets(item):
                metadata = item.metadata
                look = f"kubectl -n {metadata.namespace} describe {kind.lower()} {metadata.name}"
                source = f"{kind.lower()}/{metadata.name} in namespace {metadata.namespace} .status"
                yield from ((text, source, look) for text in _strings(item.status))


def _targets(item: Any) -> set[str]:
    """The namespaces that a delivery may write to, by its spec and by what its status tells of."""
    spec = item.spec or {}
    destination = spec.get("destination")
    named = {destination.get("namespace")} if isinstance(destination, dict) else set()
    told = re.findall(r'Service/([a-z0-9-]+)/|"namespace": ?"([a-z0-9-]+)"', json.dumps(item.status or {}))
    return {item.metadata.namespace, spec.get("targetNamespace"), *named, *(word for pair in told for word in pair)}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _rejected(absent: Absent, refusal: Refusal) -> Finding:
    return fail(
        "svc-rejected",
        absent.subject,
        f"{absent.name} was refused by the API server: {shorten(refusal.message.partition('is invalid: ')[2])}",
        Evidence("refused", refusal.message, refusal.source),
        *absent.named,
        remedies=(Remedy("read what it said, and correct the manifest", refusal.look, changes_cluster=False),),
    )


# --- quotas ------------------------------------------------------------------------------------------------------


def _full_quota(case: ClientCase | EntryCase, namespace: str) -> tuple[ResourceQuota, str, int, int] | None:
    """A quota that lets no Service in any more: itself, what it counts, used, allowed."""
    for quota in case.or_without(lambda: case.listed("resourcequotas", namespace), {}).values():
        hard, used = quota.status.hard or quota.spec.hard or {}, quota.status.used or {}
        for counted in COUNTED:
            taken, allowed = (whole_number(str(amounts.get(counted, ""))) for amounts in (used, hard))
            if taken is not None and allowed is not None and taken >= allowed:
                return quota, counted, taken, allowed
    return None


def _over_quota(absent: Absent, full: tuple[ResourceQuota, str, int, int] | None, refusal: Refusal | None) -> Finding:
    evidence = [Evidence("refused", refusal.message, refusal.source)] if refusal else []
    remedies: list[Remedy] = []
    said = f"{absent.name} was refused: {refusal.message.partition(' is forbidden: ')[2]}" if refusal else ""
    if full:
        quota, counted, used, hard = full
        name = quota.metadata.name
        said = f"{absent.name} cannot be created: quota {name} of namespace {absent.namespace} allows {hard} Services"
        said += f", and {used} exist" if used else ""
        evidence.append(Evidence(counted, f"{used} of {hard} used", f"resourcequota/{name} .status"))
        raised = {"spec": {"hard": {counted: str(used + 1)}}}
        command = patch_command(absent.namespace, f"resourcequota {name}", raised)
        remedies.append(Remedy("raise the quota, then create the Service", command))
    elif refusal:
        remedies.append(Remedy("see the quota", f"kubectl -n {absent.namespace} get resourcequota", False))
    if not refusal:
        evidence.append(Evidence("otherwise", "nobody may have tried to create it yet", "no object would tell"))
    return fail(
        "svc-quota-exceeded",
        absent.subject,
        said,
        *evidence,
        *absent.named,
        remedies=tuple(remedies),
        inferred=refusal is None,
    )


# --- a namespace on its way out ----------------------------------------------------------------------------------


def _in_a_dying_namespace(absent: Absent, namespace: Namespace) -> Finding:
    left = [item.message or item.type for item in namespace.status.conditions or () if item.status == "True"]
    name = namespace.metadata.name
    return fail(
        "lim-ns-terminating",
        absent.subject,
        f"{absent.name} is gone, and cannot be created: namespace {name} is terminating",
        Evidence(
            "deleted", namespace.metadata.deletion_timestamp or "", f"namespace/{name} .metadata.deletionTimestamp"
        ),
        *([Evidence("left in it", listing(left), f"namespace/{name} .status.conditions")] if left else []),
        *absent.named,
        remedies=(Remedy("see what keeps it", f"kubectl get namespace {name} -o yaml", changes_cluster=False),),
    )
