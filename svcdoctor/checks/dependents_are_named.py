"""Who depends on the Service?

rdep-client-config
    The Service answers nobody, and these name it: workloads in their settings, Ingresses and Routes as a backend.
    Why it breaks      What they do with the Service fails as long as it does. It is not their fault.
    Confirm by hand    kubectl -n {namespace} get deployments,ingresses -o yaml | grep -n {name}
    Fix                Repair the Service.
    Not a fault when   Always: it only tells how far the fault reaches. It is said of Services that answer nobody.

rdep-servicemonitor
    A ServiceMonitor was written for the Service, and Prometheus does not find it, or not its port.
    Why it breaks      A ServiceMonitor selects Services by their labels and names the port by its name, not its number.
                       What does not match is not scraped, and nothing says so.
    Confirm by hand    kubectl get servicemonitors -A
                       kubectl -n {namespace} get service {name} --show-labels
    Fix                Give the Service the labels that the ServiceMonitor selects, and its port the name.
    Not a fault when   Nobody looks at its metrics.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import ENTRY_RESOURCES
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note
from svcdoctor.objects import CustomObject
from svcdoctor.pods.template import TEMPLATE_KINDS
from svcdoctor.text import label_words, listing, patch_command, selector_text

CHECK = Check(
    step=Step.CALLERS,
    codes={
        "rdep-client-config": Code(Stage.APPLICATION),
        "rdep-servicemonitor": Code(Stage.APPLICATION, settles=False),
    },
    reads=(
        "endpointslices",
        *TEMPLATE_KINDS,
        "configmaps",
        "namespaces",
        "services",
        *ENTRY_RESOURCES,
        "servicemonitors",
    ),
)
ANY = "*"


class Monitors(NamedTuple):
    """ServiceMonitors by the namespace they look into (ANY: into all) and a label that they select, or their name."""

    by_label: Mapping[tuple[str, tuple[str, str]], list[CustomObject]]
    by_name: Mapping[tuple[str, str], list[CustomObject]]


NONE = Monitors({}, {})


def run(case: Case) -> Iterator[Finding]:
    yield from _monitored(case)
    if case.is_external_name or case.or_without(lambda: case.ready_endpoints, [None]):
        return
    if case.or_without(lambda: case.is_deliberately_idle, False):
        return
    yield from _reach(case)


# --- who names it --------------------------------------------------------------------------------------------------


def _reach(case: Case) -> Iterator[Finding]:
    callers = {(one.namespace, one.ref): reference for one, reference in case.or_without(lambda: case.callers, [])}
    entries = case.or_without(lambda: case.entries, [])
    names = [ref if place == case.namespace else f"{place}/{ref}" for place, ref in callers]
    names += [f"{entry.kind.lower()}/{entry.name}" for entry in entries]
    if not names:
        return
    yield note(
        "rdep-client-config",
        case.subject,
        f"these depend on it: {listing(names, 4)}",
        *(
            Evidence(ref, f"{reference.host}{f':{reference.port}' if reference.port else ''}", reference.source)
            for (_, ref), reference in list(callers.items())[:4]
        ),
        *(Evidence(f"{entry.kind.lower()}/{entry.name}", case.name, "its backends") for entry in entries[:3]),
    )


# --- who scrapes it ------------------------------------------------------------------------------------------------


def _monitored(case: Case) -> Iterator[Finding]:
    monitors = case.or_without(lambda: _monitors(case), NONE)
    labels = case.service.metadata.labels or {}
    places = (case.namespace, ANY)
    looking = {
        (item.metadata.namespace, item.metadata.name): item
        for place in places
        for label in labels.items()
        for item in monitors.by_label.get((place, label), ())
        if _selected(item).items() <= labels.items()
    }
    for monitor in looking.values():
        if wrong := _unknown_port(case, monitor):
            yield wrong
    if not looking:
        yield from _meant(case, monitors)


def _monitors(case: Case) -> Monitors:
    case.touched.add("servicemonitors")

    def build() -> Monitors:
        by_label: dict[tuple[str, tuple[str, str]], list[CustomObject]] = defaultdict(list)
        by_name: dict[tuple[str, str], list[CustomObject]] = defaultdict(list)
        for item in case.world.everywhere("servicemonitors")[0]:
            for label in list(_selected(item).items())[:1]:
                for place in _places(item):
                    by_label[place, label].append(item)
                    by_name[place, item.metadata.name].append(item)
        return Monitors(by_label, by_name)

    return case.shared("monitors", build)


def _selected(monitor: CustomObject) -> dict[str, str]:
    """The labels that it asks for. Expressions are left out: what they leave over is more, not less."""
    selector = _mapping((monitor.spec or {}).get("selector"))
    return {} if selector.get("matchExpressions") else _mapping(selector.get("matchLabels"))


def _places(monitor: CustomObject) -> list[str]:
    selector = _mapping((monitor.spec or {}).get("namespaceSelector"))
    if selector.get("any"):
        return [ANY]
    names = selector.get("matchNames")
    return [str(name) for name in names] if isinstance(names, list) and names else [monitor.metadata.namespace]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _ports(monitor: CustomObject) -> list[str]:
    endpoints = (monitor.spec or {}).get("endpoints")
    return [str(item["port"]) for item in endpoints or () if isinstance(item, dict) and item.get("port")]


def _ref(monitor: CustomObject) -> str:
    return f"servicemonitor/{monitor.metadata.name}"


def _unknown_port(case: Case, monitor: CustomObject) -> Finding | None:
    """Several Services may be meant by one ServiceMonitor, each with one of its ports: none of them is what counts."""
    wanted, named = _ports(monitor), [port.name for port in case.ports]
    if not wanted or set(wanted) & set(named):
        return None
    shown = listing([name or "<unnamed>" for name in named])
    unnamed = len(case.ports) == 1 and not case.ports[0].name
    patch = [{"op": "add", "path": "/spec/ports/0/name", "value": wanted[0]}]
    return note(
        "rdep-servicemonitor",
        case.subject,
        f"{_ref(monitor)} scrapes port {listing(wanted)}, and the Service has {shown}",
        Evidence(
            "scrapes",
            listing(wanted),
            f"{_ref(monitor)} in namespace {monitor.metadata.namespace} .spec.endpoints[].port",
        ),
        Evidence("ports", shown, f"service/{case.name} .spec.ports[].name"),
        remedies=(Remedy("name the port so", patch_command(case.namespace, f"service {case.name}", patch)),)
        if unnamed
        else (),
    )


def _meant(case: Case, monitors: Monitors) -> Iterator[Finding]:
    """A ServiceMonitor called like the Service, which selects neither it nor any other of the namespace."""
    for place in (case.namespace, ANY):
        for monitor in monitors.by_name.get((place, case.name), ()):
            if not _selects_some(case, monitor, place):
                yield _selects_nobody(case, monitor)


def _selects_nobody(case: Case, monitor: CustomObject) -> Finding:
    wanted, labels = _selected(monitor), case.service.metadata.labels or {}
    pairs = label_words(wanted)
    return note(
        "rdep-servicemonitor",
        case.subject,
        f"{_ref(monitor)} selects {selector_text(wanted)}, which no Service has",
        Evidence(
            "selects",
            selector_text(wanted),
            f"{_ref(monitor)} in namespace {monitor.metadata.namespace} .spec.selector",
        ),
        Evidence("labels", selector_text(labels) or "<none>", f"service/{case.name} .metadata.labels"),
        remedies=(
            Remedy(
                "give it these labels", f"kubectl -n {case.namespace} label service {case.name} {pairs} --overwrite"
            ),
        ),
    )


def _selects_some(case: Case, monitor: CustomObject, place: str) -> bool:
    wanted = _selected(monitor).items()
    services = case.everywhere("services")[0] if place == ANY else list(case.listed("services").values())
    return any(wanted <= (item.metadata.labels or {}).items() for item in services)
