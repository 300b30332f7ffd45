"""Do the Gateways serve the Routes that lead here?

gw-not-programmed
    A Route leads here through a Gateway that no controller serves, or that its controller refuses.
    Why it breaks      A Gateway becomes an address when the controller of its GatewayClass has accepted and programmed
                       it. A class that does not exist, or whose controller does not run, leaves it without one.
    Confirm by hand    kubectl get gatewayclasses; kubectl -n {namespace} describe gateway
    Fix                Name a class that is accepted, install its controller, or do what the condition's message says.
    Not a fault when   The Gateway was made within the last minute.

gw-listener-conflict
    The listener that a Route hangs on serves nobody.
    Why it breaks      Listeners of one port must differ in their hostnames and agree in their protocol; a listener for
                       TLS needs a certificate that exists and that it may read. Otherwise the controller leaves it out.
    Confirm by hand    kubectl -n {namespace} get gateway -o yaml
                       Read .status.listeners[].conditions.
    Fix                Change the port, protocol or hostname of one of the two; create the Secret or the ReferenceGrant.
    Not a fault when   The Route hangs on another listener that works as well.

gw-route-not-accepted
    The Gateway of a Route does not take it.
    Why it breaks      A listener takes Routes of the kinds, namespaces and hostnames that it says; by default those of
                       its own namespace alone. A Route that no listener takes is not served: 404.
    Confirm by hand    kubectl -n {namespace} get httproute -o yaml
                       Read .status.parents[].conditions.
    Fix                Correct parentRefs or hostnames, or let the listener take the namespace (allowedRoutes).
    Not a fault when   Another of the Route's Gateways takes it.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.entry.entrypoint import ENTRY_RESOURCES
from svcdoctor.entry.gateway import dead_listeners, gateway_faults, place
from svcdoctor.entry.gatewayroute import RouteEntry, as_warning, detached, parents_of
from svcdoctor.entrycase import EntryCase
from svcdoctor.finding import Evidence, Finding, Stage, Step, Subject, passed
from svcdoctor.objects import Gateway, Route
from svcdoctor.text import listing

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "gw-not-programmed": Code(Stage.ENTRY, settles=False),
        "gw-listener-conflict": Code(Stage.ENTRY, settles=False),
        "gw-route-not-accepted": Code(Stage.ENTRY, settles=False),
    },
    reads=(*ENTRY_RESOURCES, "gateways", "gatewayclasses", "namespaces", "secrets", "services"),
    about="service entry cluster",
)


def run(case: Case | EntryCase | ClusterCase) -> Iterator[Finding]:
    if isinstance(case, Case):
        yield from _leading_here(case)
    elif isinstance(case, ClusterCase):
        yield from _without_routes(case)
    elif isinstance(case.entry.owner, Route) and not case.is_told_of_services:
        yield from detached(RouteEntry(case, case.entry.kind, case.entry.owner, case.subject))


def _leading_here(case: Case) -> Iterator[Finding]:
    for entry in case.or_without(lambda: case.entries, []):
        if not isinstance(entry.owner, Route):
            continue
        route = RouteEntry(case, entry.kind, entry.owner, case.subject)
        faults = list(detached(route))
        yield from faults
        gateways = [f"{parent.namespace or case.namespace}/{parent.name}" for parent in parents_of(entry.owner)]
        if gateways and not faults:
            parents = Evidence("Gateways", listing(gateways), f"{route.ref} .spec.parentRefs")
            yield passed(case.subject, f"{route.ref} leads here", parents)


# --- Gateways that no Route hangs on -----------------------------------------------------------------------------


def _without_routes(case: ClusterCase) -> Iterator[Finding]:
    """What nobody's requests go through yet, said once."""
    gateways: list[Gateway] = case.everywhere("gateways")[0]
    used, complete = _used(case) if gateways else (set(), True)
    unused_by = "which no Route uses yet" if complete else "whose Routes may not all be read"
    for gateway in gateways:
        namespace, name = gateway.metadata.namespace, gateway.metadata.name
        if (namespace, name) not in used:
            subject, unused = Subject("Gateway", namespace, name), f"{place(gateway)}, {unused_by}"
            faults = [item for item in gateway_faults(case, gateway, subject, unused) if item.is_fault]
            for fault in faults or dead_listeners(case, gateway, subject):
                yield fault if _has_other_routes(gateway) else as_warning(fault)


def _used(case: ClusterCase) -> tuple[set[tuple[str, str]], bool]:
    """The Gateways that Routes name, and whether all Routes were read."""
    tables = [case.everywhere(resource) for resource in ENTRY_RESOURCES if resource != "ingresses"]
    routes: list[Route] = [route for table, _ in tables for route in table]
    named = {
        (parent.namespace or route.metadata.namespace, parent.name) for route in routes for parent in parents_of(route)
    }
    return named, all(complete for _, complete in tables)


def _has_other_routes(gateway: Gateway) -> bool:
    """Whether Routes of a kind that is not read here hang on it."""
    return any(item.attached_routes for item in (gateway.status.listeners if gateway.status else None) or ())
