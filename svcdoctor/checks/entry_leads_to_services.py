"""Do the Services exist that an Ingress or a Route leads to?

ingress-backend-service-missing
    An Ingress leads to a Service that its namespace does not have.
    Why it breaks      An Ingress leads to Services of its own namespace only, by name. Where there is none the
                       controller has no upstream and answers 503.
    Confirm by hand    kubectl -n {namespace} describe ingress; kubectl -n {namespace} get service {name}
    Fix                Correct the name, create the Service, or move the Ingress beside the Service.
    Not a fault when   The controller answers by itself: a redirect, or an ALB action (port use-annotation).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from svcdoctor.case import SETTLING_SECONDS
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import EntryBackend
from svcdoctor.entry.ingressrule import paths_of
from svcdoctor.entrycase import EntryCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, unknown
from svcdoctor.objects import Ingress, Route, Service
from svcdoctor.text import edit_distance, listing, patch_command

CHECK = Check(
    step=Step.ENTRY,
    codes={"ingress-backend-service-missing": Code(Stage.ENTRY, symptom=True, settles=False)},
    reads=("services",),
    about="entry",
)
# Annotations with which a controller answers by itself, so that the backend is for show.
ANSWERED = re.compile(r"permanent-redirect|temporal-redirect|alb\.ingress\.kubernetes\.io/actions")


def run(case: EntryCase) -> Iterator[Finding]:
    for (namespace, name), backends in _named(case).items():
        services: Mapping[str, Service] | None = case.or_without(
            lambda place=namespace: case.listed("services", place),  # type: ignore[misc]
            None,
        )
        if services is not None and name not in services:
            yield _missing(case, namespace, name, services, backends)


def _named(case: EntryCase) -> dict[tuple[str, str], list[EntryBackend]]:
    owner = case.entry.owner
    found: dict[tuple[str, str], list[EntryBackend]] = {}
    if isinstance(owner, Ingress) and any(ANSWERED.search(key) for key in owner.metadata.annotations or {}):
        return found
    for backend in case.backends:
        if backend.port != "use-annotation":
            found.setdefault((backend.namespace, backend.name), []).append(backend)
    return found


# --- Services that do not exist ----------------------------------------------------------------------------------


def _missing(
    case: EntryCase, namespace: str, name: str, services: Mapping[str, Service], backends: list[EntryBackend]
) -> Finding:
    subject, ref = Subject("Service", namespace, name), str(case.subject)
    fields = [Evidence("named", f"{name}:{one.port}" if one.port else name, f"{ref} {one.source}") for one in backends]
    if case.is_younger(case.entry.owner.metadata.creation_timestamp, SETTLING_SECONDS):
        said = f"{ref} was made a moment ago; {name}, which it leads to, is not in {namespace} yet"
        return unknown("unknown-settling", subject, said, *fields)
    near = _nearest(name, services)
    elsewhere = [place for place in _elsewhere(case, name) if place != namespace]
    evidence = [*fields, Evidence("nearest", listing(near) or "none", f"services in namespace {namespace}")]
    if elsewhere:
        evidence.append(Evidence("same name", f"in namespace {listing(elsewhere)}", "services of all namespaces"))
    is_ingress = isinstance(case.entry.owner, Ingress)
    return fail(
        "ingress-backend-service-missing" if is_ingress else "gw-backend-unresolved",
        subject,
        f"{ref} leads to {name}, but namespace {namespace} has no such Service: requests are answered "
        f"{503 if is_ingress else 500}",
        *evidence,
        remedies=_remedies(case, namespace, name, near, elsewhere),
    )


def _elsewhere(case: EntryCase, name: str) -> list[str]:
    case.sees_all("services")
    return [service.metadata.namespace for service in case.services_named(name)]


def _nearest(name: str, services: Mapping[str, Service]) -> list[str]:
    """Names that may have been meant: the same but for a suffix, or but for a typing error."""

    def stem(value: str) -> str:
        return re.sub(r"-(svc|service)$", "", value)

    near = [
        other for other in services if stem(other) == stem(name) or (len(name) > 3 and edit_distance(name, other) < 3)
    ]
    return sorted(near, key=lambda other: (stem(other) != stem(name), edit_distance(name, other), other))[:3]


def _remedies(case: EntryCase, namespace: str, name: str, near: list[str], elsewhere: list[str]) -> tuple[Remedy, ...]:
    item = str(case.subject).replace("/", " ", 1)
    if near:
        changes = [{"op": "replace", "path": path, "value": near[0]} for path in _places(case, namespace, name)]
        return (Remedy(f"lead it to {near[0]}", patch_command(case.namespace, item, changes)),)
    look = Remedy(
        "create the Service, or correct the name after", f"kubectl -n {namespace} get services", changes_cluster=False
    )
    if not elsewhere or not isinstance(case.entry.owner, Route):
        return (look,)
    changes = [
        {"op": "add", "path": f"{path.removesuffix('/name')}/namespace", "value": elsewhere[0]}
        for path in _places(case, namespace, name)
    ]
    do = f"lead it to {elsewhere[0]}/{name}, which then has to be granted there"
    return (Remedy(do, patch_command(case.namespace, item, changes)),)


def _places(case: EntryCase, namespace: str, name: str) -> list[str]:
    """Where a JSON patch finds the name, everywhere it is written."""
    owner = case.entry.owner
    if isinstance(owner, Ingress):
        return [f"{path.pointer}/service/name" for path in paths_of(owner) if path.service == name]
    return [
        f"/spec/rules/{number}/backendRefs/{index}/name"
        for number, rule in enumerate(owner.spec.rules or ())
        for index, ref in enumerate(rule.backend_refs or ())
        if (ref.namespace or case.namespace, ref.name) == (namespace, name)
    ]
