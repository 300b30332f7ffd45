"""How a Route hangs on its Gateways: what keeps it from being served by them.

As with Gateways, a controller's conditions are believed where there are some.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from svcdoctor.entry.gateway import (
    CONTROLLER_SECONDS,
    condition,
    dead_listener,
    gateway_faults,
    holds,
    listener_fault,
    place,
    said_of,
)
from svcdoctor.finding import Evidence, Finding, Remedy, Status, Subject, fail, unknown
from svcdoctor.objects import (
    BackendReference,
    Gateway,
    Listener,
    Namespace,
    ParentReference,
    ReferenceGrant,
    Route,
    RouteParentStatus,
)
from svcdoctor.policies.policy import selects
from svcdoctor.text import edit_distance, listing, patch_command
from svcdoctor.view import View
from svcdoctor.world import EVERYWHERE

ROUTES_OF = {"HTTP": ("HTTPRoute", "GRPCRoute"), "HTTPS": ("HTTPRoute", "GRPCRoute"), "TLS": ("TLSRoute",)}


class RouteEntry(NamedTuple):
    """A Route, and about whom what is said of it is said."""

    view: View
    kind: str
    route: Route
    subject: Subject

    @property
    def ref(self) -> str:
        return f"{self.kind.lower()}/{self.route.metadata.name}"

    @property
    def item(self) -> str:
        return self.ref.replace("/", " ", 1)

    @property
    def named(self) -> str:
        return f"{self.ref}, which leads here," if self.subject.kind == "Service" else self.ref

    @property
    def through(self) -> str:
        return f"{self.ref} leads here through " if self.subject.kind == "Service" else f"{self.ref} depends on "

    @property
    def namespace(self) -> str:
        return self.route.metadata.namespace


def relevant(gateway: Gateway, parent: ParentReference) -> list[Listener]:
    """The listeners that a parentRef is about: all, or those of the section or port that it names."""
    return [
        listener
        for listener in gateway.spec.listeners or ()
        if parent.section_name in ("", listener.name) and parent.port in (None, listener.port)
    ]


def parents_of(route: Route) -> list[ParentReference]:
    """Its Gateways; a Service as a parent is for meshes."""
    return [parent for parent in route.spec.parent_refs or () if parent.kind == "Gateway"]


def parent_status(route: Route, parent: ParentReference) -> list[RouteParentStatus]:
    """What controllers have said of one parent, each for itself."""
    here = route.metadata.namespace

    def key(ref: ParentReference) -> tuple[str, str, str, int | None]:
        return ref.namespace or here, ref.name, ref.section_name, ref.port

    return [
        item for item in (route.status.parents if route.status else None) or () if key(item.parent_ref) == key(parent)
    ]


def detached(entry: RouteEntry) -> Iterator[Finding]:
    """Why no request reaches a Route; less grave where another of its Gateways leads there."""
    if not entry.route.spec.parent_refs:
        nobody = Evidence("parents", "none", f"{entry.ref} .spec.parentRefs")
        yield _not_accepted(entry, f"{entry.named} names no Gateway", nobody)
    parents = [list(_parent_faults(entry, parent)) for parent in parents_of(entry.route)]
    works = any(not faults for faults in parents)
    said: set[str] = set()
    for finding in (finding for faults in parents for finding in faults):
        if finding.message not in said:
            said.add(finding.message)
            yield as_warning(finding) if works and finding.is_fault else finding


def _parent_faults(entry: RouteEntry, parent: ParentReference) -> Iterator[Finding]:
    view, home = entry.view, parent.namespace or entry.namespace
    gateways: Mapping[str, Gateway] | None = view.or_without(lambda: view.listed("gateways", home), None)
    refused = _refused(entry, parent)
    if gateways is None:
        yield from refused
    elif parent.name not in gateways:
        yield _no_gateway(entry, home, parent, gateways)
    else:
        yield from _through(entry, gateways[parent.name], parent, list(refused))


def as_warning(finding: Finding) -> Finding:
    """The same, said of what hurts nobody yet, or only some."""
    return replace(finding, status=Status.WARN)


def _through(entry: RouteEntry, gateway: Gateway, parent: ParentReference, refused: list[Finding]) -> Iterator[Finding]:
    """Of the Gateway as a whole, of the Route's place at it, then of the listeners that would take it."""
    broken = list(gateway_faults(entry.view, gateway, entry.subject, entry.through + place(gateway)))
    yield from broken
    yield from refused
    taken = any(holds(item.conditions, "Accepted", "True") for item in parent_status(entry.route, parent))
    listeners = relevant(gateway, parent)
    reasons = {listener.name: _turned_away(entry, gateway, listener) for listener in listeners}
    if not refused and not taken:
        if not listeners:
            yield _no_listener(entry, gateway, parent)
        elif all(reasons.values()):
            yield _not_allowed(entry, gateway, listeners, next(filter(None, reasons.values())))
        elif not broken:
            yield from _not_taken_up(entry, gateway)
    open_ = [listener for listener in listeners if taken or not reasons[listener.name]]
    faults = [(listener, fault) for listener in open_ if (fault := listener_fault(entry.view, gateway, listener))]
    for listener, (why, evidence) in faults:
        finding = dead_listener(entry.subject, entry.through, gateway, listener, why, evidence)
        yield finding if len(faults) == len(open_) else as_warning(finding)


def _refused(entry: RouteEntry, parent: ParentReference) -> Iterator[Finding]:
    statuses = parent_status(entry.route, parent)
    accepted = [found for item in statuses if (found := condition(item.conditions, "Accepted"))]
    if accepted and all(item.status == "False" for item in accepted):
        gateway = f"{parent.namespace or entry.namespace}/{parent.name}"
        yield _not_accepted(
            entry,
            f"Gateway {gateway} does not accept {entry.named.rstrip(',')}: {accepted[0].reason or 'no reason given'}",
            Evidence("Accepted=False", said_of(accepted[0]), f"{entry.ref} .status.parents[]"),
        )


def _not_accepted(entry: RouteEntry, message: str, *evidence: Evidence, remedy: Remedy | None = None) -> Finding:
    command = f"kubectl -n {entry.namespace} describe {entry.item}"
    look = Remedy("compare the Route with its Gateway's listeners", command, changes_cluster=False)
    return fail("gw-route-not-accepted", entry.subject, message, *evidence, remedies=(remedy or look,))


def _no_gateway(entry: RouteEntry, home: str, parent: ParentReference, gateways: Mapping[str, Gateway]) -> Finding:
    near = [name for name in sorted(gateways) if edit_distance(name, parent.name) < 3] or (
        list(gateways) if len(gateways) == 1 else []
    )
    remedy = None
    if near:
        index = (entry.route.spec.parent_refs or []).index(parent)
        patch = [{"op": "replace", "path": f"/spec/parentRefs/{index}/name", "value": near[0]}]
        remedy = Remedy(f"name Gateway {near[0]}", patch_command(entry.namespace, entry.item, patch))
    return _not_accepted(
        entry,
        f"{entry.named} names Gateway {home}/{parent.name}, which does not exist",
        Evidence("parent", f"{home}/{parent.name}", f"{entry.ref} .spec.parentRefs"),
        Evidence("Gateways", listing(sorted(gateways)) or "none", f"gateways of namespace {home}"),
        remedy=remedy,
    )


def _no_listener(entry: RouteEntry, gateway: Gateway, parent: ParentReference) -> Finding:
    wanted = parent.section_name or f"port {parent.port}"
    listeners = gateway.spec.listeners or []
    meant = [item for item in listeners if edit_distance(item.name, parent.section_name) < 3] or (
        listeners if len(listeners) == 1 else []
    )
    remedy = None
    if parent.section_name and meant:
        index = (entry.route.spec.parent_refs or []).index(parent)
        patch = [{"op": "replace", "path": f"/spec/parentRefs/{index}/sectionName", "value": meant[0].name}]
        remedy = Remedy(f"name listener {meant[0].name}", patch_command(entry.namespace, entry.item, patch))
    names = [f"{item.name} ({item.protocol} {item.port})" for item in listeners]
    return _not_accepted(
        entry,
        f"{entry.named} names listener {wanted} of {place(gateway)}, which has none of it",
        Evidence("parent", wanted, f"{entry.ref} .spec.parentRefs"),
        Evidence("listeners", listing(names, 5) or "none", f"gateway/{gateway.metadata.name} .spec.listeners"),
        remedy=remedy,
    )


def _not_allowed(
    entry: RouteEntry, gateway: Gateway, listeners: list[Listener], reason: tuple[str, Evidence]
) -> Finding:
    remedy = None
    if all(not _takes_namespace(entry, gateway, listener) for listener in listeners):
        index = (gateway.spec.listeners or []).index(listeners[0])
        allowed = {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": entry.namespace}}}
        patch = [{"op": "add", "path": f"/spec/listeners/{index}/allowedRoutes", "value": {"namespaces": allowed}}]
        command = patch_command(gateway.metadata.namespace, f"gateway {gateway.metadata.name}", patch)
        remedy = Remedy(f"let listener {listeners[0].name} take Routes of namespace {entry.namespace}", command)
    message = f"no listener of {place(gateway)} takes {entry.named.rstrip(',')}: {reason[0]}"
    return _not_accepted(entry, message, reason[1], remedy=remedy)


def _not_taken_up(entry: RouteEntry, gateway: Gateway) -> Iterator[Finding]:
    if entry.view.is_younger(entry.route.metadata.creation_timestamp, CONTROLLER_SECONDS):
        said = f"{entry.ref} has not been accepted yet; judged {CONTROLLER_SECONDS:.0f}s after it was made"
        yield unknown("unknown-settling", entry.subject, said)
    else:
        yield _not_accepted(
            entry,
            f"{entry.named} has not been taken up by the controller of {place(gateway)}",
            Evidence("Accepted", "not said by any controller", f"{entry.ref} .status.parents"),
        )


# --- which listeners take a Route, as far as the objects say ------------------------------------------------------


def _turned_away(entry: RouteEntry, gateway: Gateway, listener: Listener) -> tuple[str, Evidence] | None:
    source = f"gateway/{gateway.metadata.name} .spec.listeners[name={listener.name}]"
    allowed = listener.allowed_routes
    kinds = [item.kind for item in (allowed.kinds if allowed else None) or ()] or ROUTES_OF.get(listener.protocol, ())
    if listener.protocol in ROUTES_OF and entry.kind not in kinds:
        return f"it takes {listing(list(kinds))} only", Evidence(
            "kinds", listing(list(kinds)), f"{source}.allowedRoutes.kinds"
        )
    if not _takes_namespace(entry, gateway, listener):
        who = allowed.namespaces if allowed else None
        rule = (who.from_ if who else "") or "Same"
        return f"it takes no Routes of namespace {entry.namespace}", Evidence(
            "namespaces", f"from {rule}", f"{source}.allowedRoutes.namespaces"
        )
    wanted = entry.route.spec.hostnames or []
    if listener.hostname and wanted and not any(_overlap(listener.hostname, host) for host in wanted):
        return f"its hostname is {listener.hostname}, and the Route is for {listing(wanted)}", Evidence(
            "hostname", listener.hostname, f"{source}.hostname"
        )
    return None


def _takes_namespace(entry: RouteEntry, gateway: Gateway, listener: Listener) -> bool:
    rule = listener.allowed_routes.namespaces if listener.allowed_routes else None
    match (rule.from_ if rule else "") or "Same":
        case "Same":
            return entry.namespace == gateway.metadata.namespace
        case "Selector":
            spaces: Mapping[str, Namespace] = entry.view.or_without(
                lambda: entry.view.listed("namespaces", EVERYWHERE), {}
            )
            space = spaces.get(entry.namespace)
            selector = rule.selector if rule else None
            return space is None or (selector is not None and selects(selector, space.metadata.labels or {}))
        case "None":
            return False
    return True


def _overlap(one: str, other: str) -> bool:
    """Whether some host is of both; `*.example.com` is every host below example.com."""
    if one == other:
        return True
    return any(
        wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:])
        for wide, narrow in ((one, other), (other, one))
    )


# --- backends in other namespaces --------------------------------------------------------------------------------


def is_granted(view: View, kind: str, namespace: str, ref: BackendReference) -> bool:
    """Whether the backend's namespace lets Routes of this one lead there; yes, where that may not be read."""
    grants: Mapping[str, ReferenceGrant] | None = view.or_without(
        lambda: view.listed("referencegrants", ref.namespace), None
    )
    return grants is None or any(
        any(peer.kind == kind and peer.namespace == namespace for peer in grant.spec.from_ or ())
        and any(peer.kind == "Service" and peer.name in (None, "", ref.name) for peer in grant.spec.to or ())
        for grant in grants.values()
    )
