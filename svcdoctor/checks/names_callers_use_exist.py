"""Does every Service that this workload names exist?

svc-missing
    A workload calls a Service by a name that does not exist.
    Why it breaks      Without the Service there is no DNS record: the caller gets NXDOMAIN ("bad address", "Name or
                       service not known") however well the Pods behind it run.
    Confirm by hand    kubectl -n {namespace} get service {name}
    Fix                Create the Service, or correct the name in the caller's settings.
    Not a fault when   The name is answered by something else than a Service: hostAliases, or a search domain of the
                       nodes in which a host of that name exists.

dns-client-wrong-name
    A workload calls a Service by a name that does not exist, and one that is spelled nearly so does.
    Why it breaks      DNS knows only the exact name of the Service and of its namespace. A missing suffix (db for
                       db-svc), two letters swapped or the namespace of another environment end in NXDOMAIN
                       ("bad address", "Name or service not known"), while the Service itself is healthy.
    Confirm by hand    kubectl -n {namespace} get services, and compare with what the caller is told
    Fix                Correct the name in the caller's settings.
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
from collections.abc import Iterator, Mapping
from functools import partial

from svcdoctor.case import SETTLING_SECONDS
from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.clients.callers import TOP_LEVEL, Reference
from svcdoctor.clients.correction import corrected, with_host
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, passed, unknown, warn
from svcdoctor.names.corefile import DEFAULT_ZONE, rule, within
from svcdoctor.objects import Service
from svcdoctor.pods.template import WORKLOAD_RESOURCES, Template
from svcdoctor.text import duration, edit_distance, listing, plural

CHECK = Check(
    step=Step.CALLERS,
    codes={
        "svc-missing": Code(Stage.SERVED, symptom=True),  # why it was never made may be known
        "dns-client-wrong-name": Code(Stage.DNS, symptom=True, settles=False),
        "dns-short-name-cross-ns": Code(Stage.DNS, settles=False),
    },
    reads=(
        "services",
        "configmaps",
        "namespaces",
        "nodes",
        "pods",
        *WORKLOAD_RESOURCES,
    ),
    about="client",
)
_DIGITS = re.compile(r"\d+")
SUFFIXES = ("-svc", "-service", "-headless", "-srv")


def run(case: ClientCase) -> Iterator[Finding]:
    if case.is_idle or not case.asks_cluster_dns:
        return
    faults = [_missing(case, namespace, name, uses) for (namespace, name), uses in case.absent.items()]
    faults += _misspelt_namespaces(case)
    faults += _misshapen(case)
    faults += _no_such_pods(case)
    yield from faults
    there = sum(name in (case.services_of(namespace) or {}) for namespace, name in case.named)
    if there and not faults:
        yield passed(
            case.subject,
            f"names {plural(there, 'Service')}, all exist" if there > 1 else "names 1 Service, and it exists",
        )


def _missing(case: ClientCase, namespace: str, name: str, uses: list[Reference]) -> Finding:
    age = case.age(case.template.owner)
    if age < SETTLING_SECONDS:
        said = f"{case.template.ref} was made {duration(age)} ago; {name}, which it calls, is not in {namespace} yet"
        return unknown("unknown-settling", Subject("Service", namespace, name), said, *_named_by(uses))
    services = case.services_of(namespace) or {}
    workload = _workload(case, namespace, name)
    serving = _serving(workload, services) if workload else []
    source = f"services in namespace {namespace}"
    if workload and serving:
        source = f"service/{serving[0]} selects the Pods of {workload.ref}"
        workload = None  # it has a Service, under another name
    elsewhere, complete = _elsewhere(case, name, namespace)
    is_bare = all("." not in use.host for use in uses)
    if is_bare and len(elsewhere) == 1 and workload is None and not serving:
        return _in_another_namespace(case, name, elsewhere[0], uses)
    near = [*serving, *(other for other in _nearest(name, services) if other not in serving)][:3]
    home = "" if is_bare else f".{namespace}"
    if near and workload is None:
        meant = [f"{other}{home}" for other in near]
        return _wrong_name(case, namespace, name, uses, meant, source)
    if len(elsewhere) == 1 and workload is None:
        meant = [f"{name}.{elsewhere[0]}"]
        return _wrong_name(case, namespace, name, uses, meant, "services in all namespaces")
    return _no_service(case, namespace, name, uses, workload, near, elsewhere, complete)


def _said(case: ClientCase, namespace: str, name: str) -> str:
    exists = bool(case.services_of(namespace)) or namespace in {*case.known_namespaces(), case.namespace}
    where = f"namespace {namespace} has no such Service" if exists else f"there is no namespace {namespace}"
    return f"{name} is called by name, but {where}"


def _wrong_name(
    case: ClientCase, namespace: str, name: str, uses: list[Reference], meant: list[str], source: str
) -> Finding:
    return fail(
        "dns-client-wrong-name",
        Subject("Service", namespace, name),
        f"{_said(case, namespace, name)}; the nearest is {meant[0]}",
        Evidence("nearest", listing(meant), source),
        *_named_by(uses),
        remedies=_corrected(case, uses, meant[0]),
    )


def _no_service(
    case: ClientCase,
    namespace: str,
    name: str,
    uses: list[Reference],
    workload: Template | None,
    near: list[str],
    elsewhere: list[str],
    complete: bool,
) -> Finding:
    evidence = [Evidence("nearest", listing(near) or "none", f"services in namespace {namespace}")]
    if elsewhere:
        evidence.append(Evidence("same name", f"in namespaces {listing(elsewhere)}", "services in all namespaces"))
    elif not complete:
        evidence.append(Evidence("not seen", "Services of other namespaces", "list services in the whole cluster"))
    is_bare = all("." not in use.host for use in uses)
    may_be_a_node = is_bare and workload is None and case.or_without(case.nodes, None) is None
    if may_be_a_node:
        evidence.append(Evidence("unless", f"a node is called {name}", "nodes may not be read"))
    if workload:
        evidence.append(Evidence("without a Service", workload.ref, f"namespace {namespace}"))
        remedy = Remedy(f"create the Service for {workload.ref}", _expose(workload, name, uses))
    else:
        look = f"kubectl -n {namespace} get services"
        remedy = Remedy("create the Service, or correct the name after", look, changes_cluster=False)
    return fail(
        "svc-missing",
        Subject("Service", namespace, name),
        _said(case, namespace, name),
        *evidence,
        *_named_by(uses),
        remedies=(remedy,),
        inferred=may_be_a_node,
    )


def _misspelt_namespaces(case: ClientCase) -> Iterator[Finding]:
    """`cart.shpo`, where there is no namespace shpo, and the Service cart in one that is spelled nearly so."""
    known = case.known_namespaces()
    found: dict[tuple[str, str, str], list[Reference]] = {}
    for setting, host in case.hosts:
        name, _, namespace = host.name.rstrip(".").partition(".")
        if not host.certain or not namespace or "." in namespace or namespace in known or namespace in TOP_LEVEL:
            continue
        meant = [other for other in known if is_close(namespace, other) and name in (case.services_of(other) or {})]
        if len(meant) == 1:
            use = Reference(host.name, host.port, name, namespace, True, setting)
            found.setdefault((namespace, name, meant[0]), []).append(use)
    for (namespace, name, other), uses in found.items():
        yield _wrong_name(case, namespace, name, uses, [f"{name}.{other}"], f"services in namespace {other}")


def _misshapen(case: ClientCase) -> Iterator[Finding]:
    """A Service that is there, by a name that DNS does not give it."""
    found: dict[tuple[str, str, str], list[Reference]] = {}
    for setting, host in case.hosts:
        bare = host.name.rstrip(".")
        for name, namespace in _meant_by(bare, case.namespace, case.zone):
            services = case.services_of(namespace) or {}
            if name in services and "svc" not in services and not _is_given_by_rule(case, bare):
                uses = found.setdefault((bare, name, namespace), [])
                if setting not in [use.setting for use in uses]:
                    uses.append(Reference(host.name, host.port, name, namespace, True, setting))
    doubt = Evidence("unless", "a rule of CoreDNS gives that name", "its Corefile may not be read")
    unseen = (doubt,) if found and case.or_without(case.corefile, None) is None else ()
    for (bare, name, namespace), uses in found.items():
        meant = f"{name}.{namespace}.svc.{case.zone}"
        yield fail(
            "dns-client-wrong-name",
            case.subject,
            f"calls {bare}, which is no name that a Service has; {meant} is one",
            *_named_by(uses),
            Evidence("Service", f"{namespace}/{name}", f"services in namespace {namespace}"),
            *unseen,
            remedies=_corrected(case, uses, meant),
            inferred=bool(unseen),
        )


def _is_given_by_rule(case: ClientCase, host: str) -> bool:
    """Whether the Corefile answers the name by a rule of its own, or asks others for its domain."""
    blocks = case.or_without(case.corefile, [])
    zones = {zone.strip(".") for block in blocks for zone in block.zones} - {"", case.zone}
    files = case.or_without(case.corefile_imports, {})
    return any(within(host, zone) for zone in zones) or rule(blocks, host, ("A", "AAAA"), files) is not None


def _meant_by(host: str, home: str, zone: str) -> list[tuple[str, str]]:
    """(Service, namespace) of `cart.shop.cluster.local`, which lacks svc, of `cart.svc.shop`, and of a slip in the
    cluster's domain; [] for other names."""
    head, ending, rest = host.partition(".svc.")
    # A longer domain, or one beside a domain that somebody chose, is that of another cluster: cluster-b.local.
    is_slip = zone == DEFAULT_ZONE and len(rest) <= len(zone) and is_close(rest, zone)
    if ending and head.count(".") == 1 and is_slip:
        return [(head.split(".")[0], head.split(".")[1])]
    if ending and "." not in f"{head}{rest}":
        return [(head, rest)]
    labels = host.removesuffix(f".{zone}").split(".")
    if ending or not host.endswith(f".{zone}") or "svc" in labels or len(labels) > 2:
        return []
    return [(labels[0], (*labels, home)[1])]


_POD = re.compile(
    r"(?P<owner>[a-z0-9-]+)-\d+\.(?P<service>[a-z0-9-]+)(?:\.(?P<namespace>[a-z0-9-]+)(?:\.svc(?:\..+)?)?)?"
)


def _no_such_pods(case: ClientCase) -> Iterator[Finding]:
    """`kafka-3.kafka`, where the StatefulSet has all the Pods that it wants, and that is none of them."""
    found: dict[tuple[str, str], list[Reference]] = {}
    for setting, host in case.hosts:
        named = _POD.fullmatch(host.name.rstrip("."))
        if not named:
            continue
        namespace, service = named["namespace"] or case.namespace, named["service"]
        owner = case.or_without(partial(case.listed, "statefulsets", namespace), {}).get(named["owner"])
        own = case.template.kind == "StatefulSet" and owner is case.template.owner
        if owner is None or own or owner.spec.service_name != service or not owner.spec.replicas:
            continue
        pods = case.or_without(partial(case.listed, "pods", namespace), {})
        there = [name for name in pods if re.fullmatch(rf"{named['owner']}-\d+", name)]
        pod = host.name.partition(".")[0]
        if pod not in there and len(there) == owner.spec.replicas:
            uses = found.setdefault((pod, f"{namespace}/{named['owner']}, which has {listing(sorted(there))}"), [])
            if setting not in [use.setting for use in uses]:
                uses.append(Reference(host.name, host.port, service, namespace, True, setting))
    for (pod, owner_text), uses in found.items():
        yield warn(
            "dns-client-wrong-name",
            case.subject,
            f"calls {pod} of statefulset {owner_text}",
            *_named_by(uses),
            remedies=(Remedy("name the Pods that there are, or scale it up", changes_cluster=False),),
        )


def _in_another_namespace(case: ClientCase, name: str, other: str, uses: list[Reference]) -> Finding:
    return fail(
        "dns-short-name-cross-ns",
        case.subject,
        f"names {name} without its namespace: there is none in {case.namespace}, only {name}.{other}",
        *_named_by(uses),
        Evidence("Service", f"{other}/{name}", f"services in namespace {other}"),
        remedies=_corrected(case, uses, f"{name}.{other}"),
    )


def _named_by(uses: list[Reference]) -> list[Evidence]:
    """Where the name stands; never the value around it, which may hold a password."""
    ports = [f":{use.port}" if use.port else "" for use in uses]
    return [Evidence("named", f"{use.host}{port}", use.source) for use, port in zip(uses, ports, strict=True)][:4]


def _elsewhere(case: ClientCase, name: str, namespace: str) -> tuple[list[str], bool]:
    """Other namespaces with a Service of that name, and whether we could look in all."""
    complete = case.sees_all("services")
    found = [service.metadata.namespace for service in case.services_named(name)]
    return [other for other in found if other != namespace], complete


def _nearest(name: str, services: Mapping[str, Service]) -> list[str]:
    """Names that a person may have meant: the same but for a suffix, then those with a typing error."""

    def stem(value: str) -> str:
        return next((value.removesuffix(suffix) for suffix in SUFFIXES if value.endswith(suffix)), value)

    same = [other for other in services if stem(other) == stem(name)]
    close = [other for other in services if other not in same and is_close(name, other)]
    longer = [other for other in services if other not in same + close and other.startswith(f"{name}-")]
    return [*sorted(same), *sorted(close, key=lambda other: (edit_distance(name, other), other)), *sorted(longer)][:3]


def is_close(name: str, other: str) -> bool:
    """Whether one may be a slip of the other: a letter more, less or else, or two that changed places."""
    if len(name) < 4 or _DIGITS.sub("0", name) == _DIGITS.sub("0", other):
        return False  # db-1 is no slip of db-2
    distance = edit_distance(name, other)
    return distance == 1 or (distance == 2 and (len(name) > 5 or sorted(name) == sorted(other)))


def _workload(case: ClientCase, namespace: str, name: str) -> Template | None:
    """The workload that the Service was probably to stand before."""
    if namespace != case.namespace:
        return None
    templates: list[Template] = case.or_without(case.templates, [])
    return next(
        (template for template in templates if template.name == name and template.kind not in ("Job", "CronJob")), None
    )


def _serving(workload: Template, services: Mapping[str, Service]) -> list[str]:
    """The Services that find its Pods."""
    return sorted(
        name
        for name, service in services.items()
        if service.spec.type != "ExternalName" and workload.is_selected(service.spec.selector or {})
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


def _corrected(case: ClientCase, uses: list[Reference], host: str) -> tuple[Remedy, ...]:
    """Each setting of the caller with the right host."""
    return tuple(corrected(case.template, use.setting, with_host(use.host, host), f"name {host}") for use in uses)
