"""Does every Service that this workload names exist?

svc-missing
    A workload calls a Service by a name that does not exist.
    Why it breaks      Without the Service there is no DNS record: the caller gets NXDOMAIN ("bad address", "Name or
                       service not known") however well the Pods behind it run.
    Confirm by hand    kubectl -n {namespace} get service {name}
    Fix                Create the Service, or correct the name in the caller's settings.
    Not a fault when   The name is answered by something else than a Service: hostAliases, or a search domain of the
                       nodes in which a host of that name exists.

dns-short-name-cross-ns
    A workload calls a Service of another namespace by its bare name.
    Why it breaks      The search list of a Pod completes a bare name with its own namespace only: `cart` asked in
                       namespace web is cart.web.svc.cluster.local. In another namespace it takes `cart.shop`.
    Confirm by hand    kubectl get services -A --field-selector metadata.name=SERVICE
    Fix                Write name.namespace, or create a Service of that name beside the caller.
    Not a fault when   The Pods have a search domain of their own (dnsConfig) that leads to the other namespace.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

from svcdoctor.callers import Reference
from svcdoctor.case import SETTLING_SECONDS, ClientCase
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, passed, unknown
from svcdoctor.objects import Service
from svcdoctor.template import WORKLOAD_RESOURCES, Template
from svcdoctor.text import duration, edit_distance, listing, plural

CHECK = Check(
    step=Step.CALLERS,
    codes={
        "svc-missing": Code(Stage.SERVED),
        "dns-short-name-cross-ns": Code(Stage.DNS, settles=False),
    },
    reads=(
        "services",
        "configmaps",
        "namespaces",
        "pods",
        *WORKLOAD_RESOURCES,
    ),
    about="client",
)
SUFFIXES = ("-svc", "-service", "-headless", "-srv")


def run(case: ClientCase) -> Iterator[Finding]:
    if case.is_idle or not case.asks_cluster_dns:
        return
    named: dict[tuple[str, str], list[Reference]] = {}
    for reference in case.references:
        if reference.certain:
            named.setdefault((reference.namespace, reference.service), []).append(reference)
    there = 0
    faults: list[Finding] = []
    for (namespace, name), uses in named.items():
        services = _services(case, namespace)
        if services is None:
            continue
        if name in services:
            there += 1
        elif not all(_has_another_answer(case, use) for use in uses):
            faults.append(_missing(case, namespace, name, services, uses))
    yield from faults
    if there and not faults:
        yield passed(
            case.subject,
            f"names {plural(there, 'Service')}, all exist" if there > 1 else "names 1 Service, and it exists",
        )


def _services(case: ClientCase, namespace: str) -> Mapping[str, Service] | None:
    """The Services of a namespace by name; None where they may not be read: then nothing is said about them."""
    return case.or_without(lambda: case.listed("services", namespace), None)


def _has_another_answer(case: ClientCase, reference: Reference) -> bool:
    """Whether something else than a Service of that name answers it, or may."""
    labels = reference.host.rstrip(".").split(".")
    config = case.template.spec.dns_config
    if len(labels) < 3 and config and config.searches:
        return True
    if len(labels) == 2 and labels[1] in (_services(case, case.namespace) or {}):
        return True  # a Pod of a headless Service
    asked = (case.world.lookups or {}).get(case.namespace)
    answer = asked.answer(reference.host) if asked else None
    return answer is not None and answer.answered


def _missing(
    case: ClientCase, namespace: str, name: str, services: Mapping[str, Service], uses: list[Reference]
) -> Finding:
    subject = Subject("Service", namespace, name)
    age = case.age(case.template.owner)
    if age < SETTLING_SECONDS:
        said = f"{case.template.ref} was made {duration(age)} ago; {name}, which it calls, is not in {namespace} yet"
        return unknown("unknown-settling", subject, said, *_named_by(uses))
    workload = _workload(case, namespace, name)
    bare = all("." not in use.host for use in uses)
    elsewhere, complete = _elsewhere(case, name) if bare else ([], True)
    if len(elsewhere) == 1 and workload is None:
        return _in_another_namespace(case, name, elsewhere[0], uses)
    near = _nearest(name, services)
    evidence = [Evidence("nearest", listing(near) or "none", f"services in namespace {namespace}")]
    if elsewhere:
        evidence.append(Evidence("same name", f"in namespaces {listing(elsewhere)}", "services in all namespaces"))
    elif bare and not complete:
        evidence.append(Evidence("not seen", "Services of other namespaces", "list services in the whole cluster"))
    if workload:
        evidence.append(Evidence("without a Service", workload.ref, f"namespace {namespace}"))
    exists = namespace == case.namespace or bool(services) or namespace in case.known_namespaces()
    said = f"namespace {namespace} has no such Service" if exists else f"there is no namespace {namespace}"
    return fail(
        "svc-missing",
        subject,
        f"{name} is called by name, but {said}",
        *evidence,
        *_named_by(uses),
        remedies=tuple(_remedies(case, namespace, name, near, workload, uses)),
    )


def _in_another_namespace(case: ClientCase, name: str, other: str, uses: list[Reference]) -> Finding:
    return fail(
        "dns-short-name-cross-ns",
        case.subject,
        f"names {name} without its namespace: there is none in {case.namespace}, only {name}.{other}",
        *_named_by(uses),
        Evidence("Service", f"{other}/{name}", f"services in namespace {other}"),
        remedies=tuple(_corrected(case, uses, f"{name}.{other}")),
    )


def _named_by(uses: list[Reference]) -> list[Evidence]:
    """Where the name stands; never the value around it, which may hold a password."""
    ports = [f":{use.port}" if use.port else "" for use in uses]
    return [Evidence("named", f"{use.host}{port}", use.source) for use, port in zip(uses, ports, strict=True)][:4]


def _elsewhere(case: ClientCase, name: str) -> tuple[list[str], bool]:
    """Other namespaces with a Service of that name, and whether we could look in all."""
    services, complete = case.everywhere("services")

    def build() -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for service in services:
            index.setdefault(service.metadata.name, []).append(service.metadata.namespace)
        return index

    found = case.world.derived("namespaces by service name", build).get(name, [])
    return sorted(namespace for namespace in found if namespace != case.namespace), complete


def _nearest(name: str, services: Mapping[str, Service]) -> list[str]:
    """Names that a person may have meant: the same but for a suffix, then those with a typing error."""

    def stem(value: str) -> str:
        return next((value.removesuffix(suffix) for suffix in SUFFIXES if value.endswith(suffix)), value)

    same = [other for other in services if stem(other) == stem(name)]
    close = [other for other in services if other not in same and len(name) > 3 and edit_distance(name, other) < 3]
    longer = [other for other in services if other not in same + close and other.startswith(f"{name}-")]
    return [*sorted(same), *sorted(close, key=lambda other: (edit_distance(name, other), other)), *sorted(longer)][:3]


def _workload(case: ClientCase, namespace: str, name: str) -> Template | None:
    """The workload that the Service was probably to stand before."""
    if namespace != case.namespace:
        return None
    templates: list[Template] = case.or_without(case.templates, [])
    return next(
        (template for template in templates if template.name == name and template.kind not in ("Job", "CronJob")), None
    )


def _remedies(
    case: ClientCase, namespace: str, name: str, near: list[str], workload: Template | None, uses: list[Reference]
) -> Iterator[Remedy]:
    if workload:
        yield Remedy(f"create the Service for {workload.ref}", _expose(workload, name, uses))
    elif near:
        home = "" if namespace == case.namespace else f".{namespace}"
        yield from _corrected(case, uses, f"{near[0]}{home}")
    else:
        yield Remedy(
            "create the Service, or correct the name after",
            f"kubectl -n {namespace} get services",
            changes_cluster=False,
        )


def _expose(workload: Template, name: str, uses: list[Reference]) -> str:
    declared = [port.container_port for container in workload.spec.containers or [] for port in container.ports or []]
    asked = next((use.port for use in uses if use.port), None)
    port = asked or next(iter(declared), None) or "PORT"
    target = asked if asked in declared else next(iter(declared), asked) or port
    if workload.kind in ("Deployment", "ReplicaSet", "Pod"):
        kind = workload.kind.lower()
        return f"kubectl -n {workload.namespace} expose {kind} {name} --port={port} --target-port={target}"
    # expose does not take a StatefulSet or DaemonSet; and the selector that create gives is app=NAME.
    selector = ",".join(f"{key}={value}" for key, value in workload.labels.items())
    create = f"kubectl -n {workload.namespace} create service clusterip {name} --tcp={port}:{target}"
    return f"{create} && kubectl -n {workload.namespace} set selector service {name} {selector}"


def _corrected(case: ClientCase, uses: list[Reference], host: str) -> Iterator[Remedy]:
    """The caller's setting with the right host; by hand where it is not an environment variable of its own."""
    kind, name = case.template.kind.lower(), case.template.name
    for use in uses:
        setting = use.setting
        value = _with_host(setting.text, use.host, host)
        if setting.env and value and kind not in ("pod", "job") and "@" not in setting.text:
            assignment = shlex.quote(f"{setting.env}={value}")
            command = f"kubectl -n {case.namespace} set env {kind}/{name} -c {setting.container} {assignment}"
            yield Remedy(f"name {host} in {setting.env}", command)
        elif setting.config:
            yield Remedy(f"name {host} in it", f"kubectl -n {case.namespace} edit configmap {setting.config}")
        else:
            yield Remedy(f"name {host} instead of {use.host}", f"kubectl -n {case.namespace} edit {kind} {name}")


def _with_host(text: str, old: str, new: str) -> str | None:
    """The setting with its host replaced, where a host stands in it; user names and paths are left alone."""
    pattern = rf"(^|//|,){re.escape(old)}(?=[:/,?;]|$)(?!://)"
    changed = re.sub(pattern, lambda match: match.group(1) + new, text)
    return changed if changed != text else None
