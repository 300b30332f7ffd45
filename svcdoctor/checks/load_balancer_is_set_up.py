"""Did the controller set the load balancer up as it was asked to?

lb-sync-failed
    A controller tried to set the load balancer up, and says that it could not.
    Why it breaks      A quota, a missing right, a subnet without its tag, an address in use: the cloud refuses, and the
                       controller tries again in vain. A load balancer that exists already keeps serving as it was last
                       set up: new ports and new nodes are missing.
    Confirm by hand    kubectl -n {namespace} describe service {name}
    Fix                What the event says.
    Not a fault when   A later event says that the load balancer is ensured.

lb-pool-exhausted
    The pool of addresses has none left for the Service, or not the one that it asks for.
    Why it breaks      MetalLB, Cilium and kube-vip give each Service an address of a configured range. When all are
                       taken, or the wanted one lies outside, the Service stays pending.
    Confirm by hand    kubectl -n {namespace} describe service {name}
                       kubectl get services -A --field-selector spec.type=LoadBalancer
    Fix                Widen the pool, free an address, or let Services share one.
    Not a fault when   The Service has an address.

lb-sharing-conflict
    The Service asks for an address that another has, and the two may not share it.
    Why it breaks      Services share an address only with the same sharing key, on different ports, and with
                       externalTrafficPolicy Local only if they select the same Pods. The later one stays pending.
    Confirm by hand    kubectl get services -A -o wide | grep LoadBalancer
    Fix                Give both the same key, or different ports, or ask for another address.
    Not a fault when   Only one of them uses the address.

lb-mixed-protocol
    The load balancer does not serve some of the Service's ports.
    Why it breaks      Not every load balancer serves TCP and UDP on one address. It then says so in the Service's
                       status, leaves the port out or refuses all of them.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.status}'
    Fix                Make one Service for each protocol; let them share the address where the controller can.
    Not a fault when   All ports are of one protocol.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import given_addresses
from svcdoctor.entry.loadbalancer import (
    SHARING_KEYS,
    Complaint,
    complaint,
    said_by_controllers,
    sharing_key,
    wanted_addresses,
)
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.indexes import Index
from svcdoctor.objects import Service
from svcdoctor.text import listing, shorten

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "lb-sync-failed": Code(Stage.ENTRY),
        "lb-pool-exhausted": Code(Stage.ENTRY),
        "lb-sharing-conflict": Code(Stage.ENTRY),
        "lb-mixed-protocol": Code(Stage.ENTRY, settles=False),
    },
    reads=("services", "events"),
)
NO_ADDRESS_LEFT = re.compile(
    r"no available (ip|address)|out of (ip|address)|out_of_ips|no_pool|not allowed in config|unknown pool|exhausted"
    r"|no free (ip|address)|ran out of",
    re.IGNORECASE,
)
NOT_SHARED = re.compile(r"sharing key|already in use (on|by)|already_allocated_incompatible", re.IGNORECASE)
PREAMBLE = re.compile(r"^(Error syncing load balancer: )?(failed to ensure load balancer: )?")
MIXED = re.compile(r"mix(ed|ing).{0,20}protocol|mixing tcp and udp|MixedProtocol", re.IGNORECASE)


def run(case: Case) -> Iterator[Finding]:
    if case.type != "LoadBalancer":
        return
    addresses = given_addresses(case.service)
    if refused := _unserved_ports(case):
        yield refused
        return
    if not addresses and (conflict := _conflict(case)):
        yield conflict
        return
    if heard := complaint(case.service, said_by_controllers(case.events("Service", case.name))):
        yield _stale(case, heard, addresses) if addresses else _refused(case, heard)


# --- what a controller said --------------------------------------------------------------------------------------


def _refused(case: Case, heard: Complaint) -> Finding:
    reason, message, source = heard
    text = f"{reason} {message}"
    code, said = "lb-sync-failed", "no address: the load balancer could not be set up"
    if MIXED.search(text):
        code, said = "lb-mixed-protocol", "no address: this load balancer does not serve TCP and UDP together"
    elif NOT_SHARED.search(text):
        code, said = "lb-sharing-conflict", "no address: the wanted one belongs to a Service that does not share it"
    elif NO_ADDRESS_LEFT.search(text):
        code, said = "lb-pool-exhausted", "no address: the pool has none for this Service"
    say = warn if code in ("lb-mixed-protocol", "lb-sharing-conflict") else fail
    return say(
        code,
        case.subject,
        f"{said} ({_essence(heard)})",
        Evidence(reason or "said", shorten(message, 300) or "no message", source),
        *_wanted(case),
        remedies=(_look(case),),
    )


def _essence(heard: Complaint) -> str:
    return shorten(PREAMBLE.sub("", heard.message) or heard.reason, 120)


def _wanted(case: Case) -> Iterator[Evidence]:
    if wanted := wanted_addresses(case.service):
        yield Evidence("asks for", listing(wanted), f"service/{case.name} .spec.loadBalancerIP, .metadata.annotations")


def _look(case: Case) -> Remedy:
    command = f"kubectl -n {case.namespace} describe service {case.name}"
    return Remedy("read what the controller says", command, changes_cluster=False)


def _stale(case: Case, heard: Complaint, addresses: list[str]) -> Finding:
    """It has an address, and what has changed since did not reach the load balancer."""
    reason, message, source = heard
    return warn(
        "lb-sync-failed",
        case.subject,
        f"the load balancer at {listing(addresses)} is not kept up to date: {_essence(heard)}",
        Evidence(reason or "said", shorten(message, 300) or "no message", source),
        remedies=(_look(case),),
    )


def _unserved_ports(case: Case) -> Finding | None:
    status = case.service.status
    given = (status.load_balancer.ingress if status and status.load_balancer else None) or ()
    errors = [port for item in given for port in item.ports or () if port.error]
    refused = next(
        (
            item
            for item in (status.conditions if status else None) or ()
            if item.type == "LoadBalancerPortsError" and item.status == "True"
        ),
        None,
    )
    if not errors and refused is None:
        return None
    protocols = list(dict.fromkeys(port.protocol for port in case.ports))
    ports = [f"{port.port}/{port.protocol}" for port in errors]
    what = f"port {listing(ports)}" if ports else "all of its ports"
    why = errors[0].error if errors else refused and (refused.message or refused.reason)
    return warn(
        "lb-mixed-protocol",
        case.subject,
        f"the load balancer does not serve {what}: {shorten(why or '', 120)}",
        Evidence("protocols", listing(protocols), f"service/{case.name} .spec.ports[].protocol"),
        *(
            [Evidence(refused.reason or "refused", refused.message or "", f"service/{case.name} .status.conditions")]
            if refused
            else []
        ),
        *(
            Evidence(f"port {port.port}", port.error or "", f"service/{case.name} .status.loadBalancer")
            for port in errors[:3]
        ),
        remedies=(Remedy("make one Service for each protocol"),) if len(protocols) > 1 else (_look(case),),
    )


# --- sharing an address --------------------------------------------------------------------------------------------


SERVICES_BY_GIVEN_ADDRESS = Index("services by given address", "services", given_addresses)


def _conflict(case: Case) -> Finding | None:
    wanted = set(wanted_addresses(case.service))
    if not wanted:
        return None
    having = {
        (other.metadata.namespace, other.metadata.name): other
        for address in wanted
        for other in case.found_everywhere(SERVICES_BY_GIVEN_ADDRESS, address)
    }
    for _, other in sorted(having.items()):
        if other.metadata.uid == case.service.metadata.uid:
            continue
        if why := _cannot_share(case.service, other):
            address = listing(sorted(wanted.intersection(given_addresses(other))))
            place = f"{other.metadata.namespace}/{other.metadata.name}"
            return warn(
                "lb-sharing-conflict",
                case.subject,
                f"no address: {address} belongs to {place}, and the two cannot share it: {why}",
                *_wanted(case),
                Evidence("has it", place, f"service/{other.metadata.name} .status.loadBalancer"),
                Evidence(
                    "sharing key", sharing_key(case.service) or "<none>", f"service/{case.name} .metadata.annotations"
                ),
                Evidence(
                    "its key", sharing_key(other) or "<none>", f"service/{other.metadata.name} .metadata.annotations"
                ),
                remedies=_same_key(case, other),
            )
    return None


def _cannot_share(service: Service, other: Service) -> str:
    own = {(port.port, port.protocol) for port in service.spec.ports or ()}
    both = sorted(own & {(port.port, port.protocol) for port in other.spec.ports or ()})
    if both:
        return f"both use port {listing([f'{port}/{protocol}' for port, protocol in both])}"
    if sharing_key(service) != sharing_key(other) or not sharing_key(service):
        return "their sharing keys differ" if sharing_key(service) else "it has no sharing key"
    local = "Local" in (service.spec.external_traffic_policy, other.spec.external_traffic_policy)
    if local and service.spec.selector != other.spec.selector:
        return "with externalTrafficPolicy Local they would have to select the same Pods"
    return ""


def _same_key(case: Case, other: Service) -> tuple[Remedy, ...]:
    """To take on the key of the one that has the address, where the ports allow it."""
    key = sharing_key(other)
    names = [name for name in SHARING_KEYS if name in (other.metadata.annotations or {})]
    if not key or key == sharing_key(case.service) or "port" in _cannot_share(case.service, other):
        return ()
    command = f"kubectl -n {case.namespace} annotate service {case.name} {names[0]}={key} --overwrite"
    return (Remedy("give it the same sharing key", command),)
