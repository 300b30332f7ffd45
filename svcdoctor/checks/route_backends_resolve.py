"""Does a Route that leads here find this Service, and send it requests?

gw-backend-unresolved
    A Route names a backend that it cannot use: a port or Service that does not exist, another namespace that has not
    agreed to it, a kind or protocol that the controller does not know.
    Why it breaks      Requests for such a backend are answered 500. A Service of another namespace may be named only
                       where a ReferenceGrant of that namespace allows it.
    Confirm by hand    kubectl -n {namespace} get httproute -o yaml
                       Read the condition ResolvedRefs in .status.parents[].
    Fix                Name a port that the Service has, or write the ReferenceGrant.
    Not a fault when   The Route is served by a mesh that needs no grant.

gw-weight-zero
    The backends of a rule all have weight 0.
    Why it breaks      The weights say which share of the requests each backend gets. Where all are 0 nobody gets any:
                       the Gateway answers 500. A single 0 beside other weights is a backend taken out of service; that
                       is only noted.
    Confirm by hand    kubectl -n {namespace} get httproute -o yaml
    Fix                Give a backend a weight: kubectl -n {namespace} patch httproute NAME --type=json -p '[...]'
    Not a fault when   A tool that shifts traffic (Argo Rollouts, Flagger) has the other colour in service.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import ENTRY_RESOURCES, Entry, EntryBackend
from svcdoctor.entry.gateway import condition
from svcdoctor.entry.gatewayroute import is_granted
from svcdoctor.entrycase import EntryCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, note, warn
from svcdoctor.objects import BackendReference, Condition, Route, Service
from svcdoctor.text import listing, patch_command, quoted_json, shorten

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "gw-backend-unresolved": Code(Stage.ENTRY, settles=False),
        "gw-weight-zero": Code(Stage.ENTRY, settles=False),
    },
    reads=(*ENTRY_RESOURCES, "services", "referencegrants"),
    about="service entry",
)


class _Ref(NamedTuple):
    rule: int
    place: int
    item: BackendReference

    @property
    def field(self) -> str:
        return f".spec.rules[{self.rule}].backendRefs[{self.place}]"

    @property
    def pointer(self) -> str:
        return f"/spec/rules/{self.rule}/backendRefs/{self.place}"


def run(case: Case | EntryCase) -> Iterator[Finding]:
    if isinstance(case, Case):
        yield from _leading_here(case)
    elif isinstance(case.entry.owner, Route):
        for backend in case.backends:
            if backend.namespace != case.namespace:
                yield from _across(case, case.entry.owner, backend)
        yield from _invalid_kinds(case, case.entry.owner)


def _leading_here(case: Case) -> Iterator[Finding]:
    for entry in case.or_without(lambda: case.entries, []):
        if isinstance(entry.owner, Route):
            refs = _refs(entry.owner)
            own = [ref for ref in refs if _is_service(entry.owner, ref, case.namespace) and ref.item.name == case.name]
            wrong = [ref for ref in own if ref.item.port not in {port.port for port in case.ports}]
            if wrong and not case.is_external_name:
                yield _no_such_port(case, entry, wrong[0])
            elif said := _unresolved(entry.owner):
                yield from _blamed(case, entry, refs, said)
            yield from _weights(case, entry, refs, own)


def _refs(route: Route) -> list[_Ref]:
    return [
        _Ref(number, place, item)
        for number, rule in enumerate(route.spec.rules or ())
        for place, item in enumerate(rule.backend_refs or ())
    ]


def _is_service(route: Route, ref: _Ref, namespace: str) -> bool:
    home = ref.item.namespace or route.metadata.namespace
    return ref.item.kind == "Service" and not ref.item.group and home == namespace


# --- references --------------------------------------------------------------------------------------------------


def _no_such_port(case: Case, entry: Entry, ref: _Ref) -> Finding:
    asked = ref.item.port
    target = next((port for port in case.ports if asked is not None and port.target_port == asked), None)
    hint = f": {asked} is the targetPort of port {target.port}" if target else ""
    meant = target or (case.ports[0] if len(case.ports) == 1 else None)
    item = str(entry.subject).replace("/", " ", 1)
    remedy = Remedy("name one of the Service's ports in the Route", f"kubectl -n {case.namespace} edit {item}")
    if meant:
        patch = [{"op": "add", "path": f"{ref.pointer}/port", "value": meant.port}]
        remedy = Remedy(f"lead it to port {meant.port}", patch_command(case.namespace, item, patch))
    message = (
        f"{entry.subject} leads to port {asked}, which this Service does not have{hint}"
        if asked is not None
        else f"{entry.subject} leads here and names no port"
    )
    return fail(
        "gw-backend-unresolved",
        case.subject,
        message,
        Evidence("port", str(asked or "<none>"), f"{entry.subject} {ref.field}.port"),
        Evidence("ports", listing([str(port.port) for port in case.ports], 5), f"service/{case.name} .spec.ports"),
        remedies=(remedy,),
    )


def _unresolved(route: Route) -> Condition | None:
    """What a controller says of references that it could not resolve."""
    said = [
        condition(item.conditions, "ResolvedRefs") for item in (route.status.parents if route.status else None) or ()
    ]
    return next((item for item in said if item and item.status == "False"), None)


def _blamed(case: Case, entry: Entry, refs: list[_Ref], said: Condition) -> Iterator[Finding]:
    """The condition is one for the whole Route: whether it is about this Service, its message or the objects say."""
    others = [
        ref.item for ref in refs if (ref.item.name, ref.item.namespace or case.namespace) != (case.name, case.namespace)
    ]
    named = re.search(rf"(?<![\w-]){re.escape(case.name)}(?![\w-])", said.message or "")
    if named or not others:
        command = f"kubectl -n {case.namespace} describe {str(entry.subject).replace('/', ' ', 1)}"
        yield fail(
            "gw-backend-unresolved",
            case.subject,
            f"{entry.subject} leads here, and its controller cannot use the backend: {said.reason}",
            Evidence(
                "ResolvedRefs=False", shorten(said.message or said.reason or ""), f"{entry.subject} .status.parents[]"
            ),
            remedies=(Remedy("see what the controller says", command, changes_cluster=False),),
        )


# --- weights -----------------------------------------------------------------------------------------------------


def _weights(case: Case, entry: Entry, refs: list[_Ref], own: list[_Ref]) -> Iterator[Finding]:
    if not own or any(_weight(ref) for ref in own):
        return
    ref = own[0]
    beside = [other for other in refs if other.rule == ref.rule]
    total = sum(map(_weight, beside))
    evidence = [
        Evidence("weight", f"{_weight(other)}, {other.item.name}", f"{entry.subject} {other.field}.weight")
        for other in beside
    ]
    if total:
        said = f"{entry.subject} leads here with weight 0: this Service gets none of its requests"
        yield note("gw-weight-zero", case.subject, said, *evidence)
        return
    patch = [{"op": "replace", "path": f"{ref.pointer}/weight", "value": 1}]
    command = patch_command(case.namespace, str(entry.subject).replace("/", " ", 1), patch)
    yield warn(
        "gw-weight-zero",
        case.subject,
        f"{entry.subject} leads here with weight 0, as to every backend of the rule: its requests are answered 500",
        *evidence,
        remedies=(Remedy("let this Service have the requests", command),),
    )


def _weight(ref: _Ref) -> int:
    return 1 if ref.item.weight is None else ref.item.weight


# --- backends that a Route may not use ---------------------------------------------------------------------------


def _across(case: EntryCase, route: Route, backend: EntryBackend) -> Iterator[Finding]:
    """A Service of another namespace: whether that namespace agrees, and has the port."""
    ref, there = str(case.subject), f"{backend.namespace}/{backend.name}"
    reference = BackendReference(name=backend.name, namespace=backend.namespace)
    services = case.or_without(lambda: case.listed("services", backend.namespace), {})
    service: Service | None = services.get(backend.name)
    refused = _unresolved(route)
    if not is_granted(case, case.entry.kind, case.namespace, reference):
        said = f"{refused.reason}: {shorten(refused.message or '')}" if refused else "not said by any controller"
        yield fail(
            "gw-backend-unresolved",
            case.subject,
            f"{ref} leads to Service {there}, and no ReferenceGrant of namespace {backend.namespace} allows it",
            Evidence("backend", there, f"{ref} {backend.source}"),
            Evidence("grants", "none for it", f"referencegrants of namespace {backend.namespace}"),
            Evidence("ResolvedRefs", said, f"{ref} .status.parents[]"),
            remedies=(Remedy("let the Route lead there", _grant(case, backend)),),
        )
    elif service and backend.port not in {port.port for port in service.spec.ports or ()}:
        ports = listing([str(port.port) for port in service.spec.ports or ()], 5)
        yield fail(
            "gw-backend-unresolved",
            case.subject,
            f"{ref} leads to port {backend.port} of Service {there}, which does not have it",
            Evidence("backend", f"{there}:{backend.port}", f"{ref} {backend.source}"),
            Evidence("ports", ports, f"service/{backend.name} .spec.ports"),
            remedies=_with_port(case, backend, service),
        )


def _with_port(case: EntryCase, backend: EntryBackend, service: Service) -> tuple[Remedy, ...]:
    ports = [port.port for port in service.spec.ports or ()]
    if len(ports) != 1:
        return ()
    patch = [{"op": "add", "path": re.sub(r"[.\[]", "/", backend.source.replace("]", "")) + "/port", "value": ports[0]}]
    command = patch_command(case.namespace, str(case.subject).replace("/", " ", 1), patch)
    return (Remedy(f"lead it to port {ports[0]}", command),)


def _grant(case: EntryCase, backend: EntryBackend) -> str:
    grant = {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": f"{case.namespace}-to-{backend.name}", "namespace": backend.namespace},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": case.entry.kind, "namespace": case.namespace}],
            "to": [{"group": "", "kind": "Service", "name": backend.name}],
        },
    }
    return f"printf %s {quoted_json(grant)} | kubectl apply -f -"


def _invalid_kinds(case: EntryCase, route: Route) -> Iterator[Finding]:
    """A backend that is no Service, and that the controller does not know."""
    others = [ref for rule in route.spec.rules or () for ref in rule.backend_refs or () if ref.kind != "Service"]
    said = _unresolved(route)
    if others and said and said.reason == "InvalidKind":
        yield fail(
            "gw-backend-unresolved",
            case.subject,
            f"{case.subject} leads to {others[0].kind} {others[0].name}, a kind that its controller does not know",
            Evidence(
                "ResolvedRefs=False", f"InvalidKind: {shorten(said.message or '')}", f"{case.subject} .status.parents[]"
            ),
        )
