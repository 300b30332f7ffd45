"""Does each named targetPort name a port of the Pods?

slice-ports-empty
    The targetPort is a name, and no container of any selected Pod declares a port of that name and protocol.
    Why it breaks      The EndpointSlice controller looks the name up in each Pod. Where it finds none it writes the
                       address without that port, and kube-proxy has nothing to forward to: connections are refused
                       although every Pod is Ready. `kubectl describe service` shows bare addresses, as if all were
                       well (kubernetes/kubernetes issue 109627).
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o yaml
                       The `ports` are null or lack the Service port.
    Fix                Use the name that the container declares, or the number.
    Not a fault when   The targetPort is a number: it needs no declaration.

slice-port-partial
    One of several Service ports resolves on no Pod, or a port resolves on some workloads and not on others.
    Why it breaks      The controller writes one slice for each set of ports that Pods resolve. A port that is in no
                       slice refuses connections while its neighbours work; a port that is in some of them is served by
                       fewer Pods than the selector finds.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o yaml
    Fix                Declare the name in every workload, or use the number.
    Not a fault when   The name is another number on each Pod, which is what names are for; or each workload behind the
                       Service is meant to serve ports of its own.

port-named-differs-per-pod
    One name leads to a program's own port on some Pods, and on others to a port beside it, such as metrics.
    Why it breaks      A name may be another number on each workload, and requests follow it: those that reach the
                       odd workload are answered by what happens to have the name there.
    Confirm by hand    kubectl -n {namespace} get pods -o jsonpath='{.items[*].spec.containers[*].ports}'
    Fix                Give the name to the same port of every workload, or use the number.
    Not a fault when   The programs serve the same on both numbers: names are for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from svcdoctor.case import Backend, Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import serving_containers
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, skipped, warn
from svcdoctor.objects import ContainerPort, Pod, PodSpec, ServicePort
from svcdoctor.pods.podports import BESIDE, declares
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.text import edit_distance, listing, patch_command, plural

CHECK = Check(
    step=Step.DESCRIBE,
    codes={
        "slice-ports-empty": Code(Stage.PORTS_PRESENT, settles=False),
        "slice-port-partial": Code(Stage.PORTS_PRESENT, settles=False),
        "port-named-differs-per-pod": Code(Stage.PROTOCOL, settles=False),
    },
    reads=(
        "services",
        "endpointslices",
        "pods",
        *WORKLOAD_RESOURCES,
    ),
)


class NamedPort(NamedTuple):
    """A Service port whose targetPort is a name, and its place among the ports."""

    place: int
    port: ServicePort
    target: str


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        yield skipped(case.subject, "no selector, so no targetPort is looked up in Pods")
        return
    named = [
        NamedPort(index, port, port.target_port)
        for index, port in enumerate(case.ports)
        if isinstance(port.target_port, str) and port.target_port
    ]
    if not named:
        yield skipped(case.subject, "no targetPort is a name")
        return
    if not case.backing:
        yield skipped(case.subject, "no Pod and no workload to look targetPorts up in")
        return
    dead = [item for item in named if not _resolves_anywhere(case, item)]
    if dead:
        yield _dead(case, dead)
    partial = [item for item in named if item not in dead and _lacking(case, item)]
    for item in partial:
        yield _partial(case, item)
    odd = [finding for item in named if item not in (*dead, *partial) for finding in _odd(case, item)]
    yield from odd
    good = [] if odd else [item for item in named if item not in dead and item not in partial]
    if good:
        yield passed(case.subject, "; ".join(_resolved(case, item) for item in good))


# --- which Pods resolve a port -----------------------------------------------------------------------------------


def _resolves_anywhere(case: Case, item: NamedPort) -> bool:
    specs = [pod.spec for pod in case.live_pods] or case.backends
    if any(case.target_of(item.port, spec) is not None for spec in specs):
        return True
    # Slices of another manager than the controller may carry what the Pods do not declare.
    return any(case.carries(view, item.port) for view in case.or_without(lambda: case.ready_endpoints, []))


def _lacking(case: Case, item: NamedPort) -> list[Backend]:
    """Workloads whose newest Pod does not resolve the port: older ones are about to be replaced. Jobs never serve."""
    return [
        backend
        for backend in case.backing
        if backend.owner.kind not in ("Job", "CronJob") and case.target_of(item.port, _newest(backend)) is None
    ]


def _newest(backend: Backend) -> PodSpec:
    return max(backend.pods, key=_created).spec if backend.pods else backend.spec


def _created(pod: Pod) -> str:
    return pod.metadata.creation_timestamp or ""


def _resolved(case: Case, item: NamedPort) -> str:
    numbers = " or ".join(map(str, _numbers(case, item.port)))
    return f"targetPort {item.target} is port {numbers} of {_owners(case.backing)}"


def _numbers(case: Case, port: ServicePort) -> list[int]:
    return sorted({number for spec in case.backends if (number := case.target_of(port, spec)) is not None})


# Ports that programs have beside their own, whatever they are called: Prometheus and its exporters, proxies' admin
# ports, profilers and debuggers.
SIDE_PORTS = frozenset(
    {2112, 5005, 6060, 8125, 9090, 9091, 9100, 9102, 9113, 9121, 9153, 9187, 9901, 15000, 15020, 15090}
)


def _odd(case: Case, item: NamedPort) -> Iterator[Finding]:
    """Workloads where the name is a port beside the one that it is elsewhere."""
    numbers = [case.target_of(item.port, _newest(backend)) for backend in case.backing]
    if len(set(numbers)) < 2 or BESIDE.search(item.target) or BESIDE.search(item.port.name):
        return
    for backend, number in zip(case.backing, numbers, strict=True):
        others = {other for other in numbers if other is not None and other not in (number, *SIDE_PORTS)}
        own = [declared for declared in _ports_of([backend]) if declared.container_port in others]
        if number not in SIDE_PORTS or not own:
            continue
        text = f"targetPort {item.target} is port {number} on {backend.owner}, which is a port for metrics or debugging"
        yield warn(
            "port-named-differs-per-pod",
            case.subject,
            f"{text}; elsewhere it is {listing([str(other) for other in sorted(others)])}",
            _asked(case, item),
            *_declared(case.backing),
            Evidence("otherwise", f"the program of {backend.owner} may serve on {number}", "names may differ per Pod"),
            remedies=_by_number(case, item, own[0].container_port) if own else (),
            inferred=True,
            pods=tuple(pod.metadata.name for pod in backend.pods),
        )


def _by_number(case: Case, item: NamedPort, number: int) -> tuple[Remedy, ...]:
    """The number, where every workload declares it."""
    if not all(declares(_newest(backend), number, item.port.protocol) for backend in case.backing):
        return ()
    patch = [{"op": "replace", "path": f"/spec/ports/{item.place}/targetPort", "value": number}]
    return (Remedy(f"use targetPort {number}", patch_command(case.namespace, f"service {case.name}", patch)),)


# --- what is said of those that do not ---------------------------------------------------------------------------


def _dead(case: Case, dead: list[NamedPort]) -> Finding:
    alive = len(case.ports) - len(dead)
    names = listing([item.target for item in dead])
    subject = f"targetPort {names} names" if len(dead) == 1 else f"targetPorts {names} name"
    rest = f"; {plural(alive, 'other port')} of the Service resolve{'s' if alive == 1 else ''}" if alive else ""
    return fail(
        "slice-port-partial" if alive else "slice-ports-empty",
        case.subject,
        f"{subject} no port of {_owners(case.backing)}{_other_protocol(case, dead) or _known(case.backing)}{rest}",
        *(_asked(case, item) for item in dead),
        *_declared(case.backing),
        *_slices(case, dead),
        remedies=_remedies(case, dead),
        inferred=case.backing[0].guessed,
        pods=tuple(pod.metadata.name for pod in case.live_pods),
    )


def _partial(case: Case, item: NamedPort) -> Finding:
    lacking = _lacking(case, item)
    pods = [pod.metadata.name for backend in lacking for pod in backend.pods]
    serving = len(case.live_pods) - len(pods)
    share = f"{serving} of {len(case.live_pods)} Pods serve" if pods else "some Pods would not serve"
    return warn(
        "slice-port-partial",
        case.subject,
        f"only {share} port {item.port.port}: targetPort {item.target} names no port of {_owners(lacking)}",
        _asked(case, item),
        *_declared(case.backing),
        Evidence(
            "otherwise",
            "intended, if each workload is to serve ports of its own",
            f"service/{case.name} .spec.selector",
        ),
        remedies=_remedies(case, [item]),
        inferred=True,
        pods=tuple(pods),
    )


def _owners(backing: list[Backend]) -> str:
    return listing([str(backend.owner) for backend in backing])


def _known(backing: list[Backend]) -> str:
    ports = [_shown(declared) for declared in _ports_of(backing)] if len(backing) == 1 else []
    return f", which declares {listing(ports)}" if ports else ""


def _other_protocol(case: Case, dead: list[NamedPort]) -> str:
    """The name exists, for another protocol than the Service port has."""
    for item in dead:
        for declared in _ports_of(case.backing):
            if declared.name == item.target and declared.protocol != item.port.protocol:
                return f" for {item.port.protocol}, only for {declared.protocol}"
    return ""


def _asked(case: Case, item: NamedPort) -> Evidence:
    return Evidence(
        "targetPort",
        f"{item.target} ({item.port.protocol})",
        f"service/{case.name} .spec.ports[{item.place}].targetPort",
    )


def _declared(backing: list[Backend]) -> Iterator[Evidence]:
    for backend in backing[:3]:
        ports = [_shown(declared) for declared in _ports_of([backend])]
        yield Evidence("declared", listing(ports, 6) or "<none>", f"{backend.owner} .containers[].ports")


def _shown(declared: ContainerPort) -> str:
    protocol = "" if declared.protocol == "TCP" else f"/{declared.protocol}"
    return f"{declared.name} {declared.container_port}{protocol}".strip()


def _ports_of(backing: list[Backend]) -> list[ContainerPort]:
    return [
        declared
        for backend in backing
        for container in serving_containers(backend.spec)
        for declared in container.ports or []
    ]


def _slices(case: Case, dead: list[NamedPort]) -> Iterator[Evidence]:
    """What the controller made of it: ready addresses without the port."""
    views = case.or_without(lambda: case.ready_endpoints, [])
    if views:
        carried = [f"{port.name or '<unnamed>'} {port.port}" for port in views[0].ports]
        yield Evidence(
            "slice",
            f"{plural(len(views), 'ready endpoint')}, ports {listing(carried) or '<none>'}",
            f"endpointslice/{views[0].slice.metadata.name} .ports",
        )


# --- what to do --------------------------------------------------------------------------------------------------


def _remedies(case: Case, items: list[NamedPort]) -> tuple[Remedy, ...]:
    changes = [(item, change) for item in items if (change := _change(case, item))]
    if len(changes) < len(items):
        show = f"kubectl -n {case.namespace} get pods -o jsonpath='{{.items[*].spec.containers[*].ports}}'"
        return (Remedy("declare the port in the container, or use its number", show, changes_cluster=False),)
    patch = [
        {"op": "replace", "path": f"/spec/ports/{item.place}/{field}", "value": value}
        for item, (field, value) in changes
    ]
    what = ", ".join(f"{field} {value}" for _, (field, value) in changes)
    return (Remedy(f"use {what}", patch_command(case.namespace, f"service {case.name}", patch)),)


def _change(case: Case, item: NamedPort) -> tuple[str, int | str] | None:
    """The field to change and its value: the protocol that has the name, else the nearest name, else a number that
    every workload declares."""
    ports = _ports_of(case.backing)
    protocols = {declared.protocol for declared in ports if declared.name == item.target}
    if protocols and item.port.protocol not in protocols:
        number = _heard(case, item)
        return ("targetPort", number) if number else ("protocol", min(protocols))
    used = {number for other in case.ports if other != item.port for number in _numbers(case, other)}
    candidates = [
        declared
        for declared in ports
        if declared.protocol == item.port.protocol and declared.container_port not in used
    ]
    if item.target not in {declared.name for declared in candidates}:
        name = _nearest_name(item, [declared.name for declared in candidates if declared.name])
        if name:
            return "targetPort", name
        if BESIDE.search(item.target):  # the program's own port is not what is asked for
            return None
    numbers = {declared.container_port for declared in candidates}
    named_number = {declared.container_port for declared in candidates if declared.name == item.target}
    only = named_number if len(named_number) == 1 else numbers
    return ("targetPort", min(only)) if len(only) == 1 else None


def _heard(case: Case, item: NamedPort) -> int | None:
    """The number that the name has for another protocol, where all workloads are seen to listen on it for this one."""
    named = {declared.container_port for declared in _ports_of(case.backing) if declared.name == item.target}
    number = min(named)
    looks = [case.or_without(partial(case.sockets, backend), None) for backend in case.backing]
    return number if all(sockets and sockets.on(number, item.port.protocol) for sockets in looks) else None


def _nearest_name(item: NamedPort, names: list[str]) -> str | None:
    if item.port.name in names:
        return item.port.name
    near = min(names, key=lambda name: edit_distance(item.target, name), default=None)
    if near and edit_distance(item.target, near) < 3:
        return near
    return names[0] if len(set(names)) == 1 and not BESIDE.search(item.target) else None
