"""Does a Pod reach itself through its own Service?

dp-hairpin
    A Pod that stands behind the Service cannot reach itself through it, while others reach it.
    Why it breaks      The Service leads a Pod back to itself at times, always where it is the only one. The packet has
                       to leave by the interface that it came from (hairpin), and some bridges and network plugins drop
                       it. A share of the Pod's own calls to its Service times out, one in as many as there are Pods.
    Confirm by hand    kubectl -n {namespace} exec POD -- nc -zvw 2 {name} PORT
                       Several times over, from a Pod behind the Service, and from one that is not.
    Fix                Turn hairpin mode on in the network plugin (hairpinMode of the bridge plugin), or let the Pod
                       call itself by its own address.
    Not a fault when   A policy keeps the node's address from the Pod: such packets come with that; nothing is said
                       then.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.clients.connection import OPEN, TIMEOUT, Connection
from svcdoctor.clients.statedclient import StatedClient, endpoints_to_try, proxy_of, stated_client, ways
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, passed, unknown, warn
from svcdoctor.objects import ServicePort
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import ADMITTING_KINDS
from svcdoctor.policies.policy import Direction, isolates
from svcdoctor.policies.traffic import enforcement, party_of_pod, policies_in
from svcdoctor.text import listing, plural

CHECK = Check(
    step=Step.CONNECT,
    codes={"dp-hairpin": Code(Stage.DATA_PLANE)},
    reads=("endpointslices", "pods", "networkpolicies", *ADMITTING_KINDS, "namespaces", *WORKLOAD_RESOURCES),
)


def run(case: Case) -> Iterator[Finding]:
    client = stated_client(case)
    if client is None or client.said.unavailable or proxy_of(case, client):
        return
    for port in case.ports:
        tried = [one for address in case.cluster_ips for one in client.said.all_to(address, port.port)]
        own = [end for end in endpoints_to_try(case, port) if client.is_behind(case, end[0])]
        if not tried or not own:
            continue
        direct = client.said.to(own[0][0].address, own[0][1])
        if direct is None or not direct.is_open:
            continue  # what it does not reach by its own address is no question of the Service
        is_alone = len({view.pod for view in case.ready_endpoints}) == 1
        if all(one.is_open for one in tried):
            if is_alone:
                yield passed(client.subject, f"{client.name} connects to itself through {tried[0].place}")
        elif finding := _lost(case, client, port, tried, direct, is_alone):
            yield finding


def _lost(
    case: Case, client: StatedClient, port: ServicePort, tried: list[Connection], direct: Connection, is_alone: bool
) -> Finding | None:
    """It does not come back to itself; None where something else may keep it, or others fail as well."""
    failed = [one for one in tried if not one.is_open]
    if any(one.outcome != TIMEOUT for one in failed) or _is_isolated(case, client):
        return None
    shown = [Evidence(direct.place, f"{direct.text} (its own address)", f"{client.said.tool} inside {client.name}")]
    if is_alone:
        witness = next((one for one in client.said.witnesses if _opens(one.to(failed[0].address, port.port))), None)
        if witness is None:
            return _for_nobody(case, client, failed[0], direct)
        who = f"{witness.namespace}/{witness.pod}"
        why = f", and {who} can"
        shown.append(Evidence(failed[0].place, OPEN, f"{witness.tool} inside {who}"))
        neighbour = case.listed("pods").get(witness.pod)
        inferred = neighbour is None or neighbour.spec.node_name != client.pod.spec.node_name
    else:
        way = next(way for way in ways(case, client) if way.port == port)
        if len(failed) == len(tried) or way.failed or way.untried or not way.ends:
            return None
        why = (
            f": {len(failed)} of {plural(len(tried), 'attempt')} timed out, and each endpoint opens by its own address"
        )
        inferred = True
    doubt = (Evidence("unless", "rules on its node lead to an address that is gone", "no slice holds one"),)
    return warn(
        "dp-hairpin",
        case.subject,
        f"{client.name} stands behind it and cannot reach itself through {failed[0].place}{why}",
        Evidence(failed[0].place, failed[0].text, f"{client.said.tool} inside {client.name}"),
        *shown,
        *(doubt if inferred else ()),
        remedies=(Remedy("see it", client.said.command(failed[0].address, port.port), changes_cluster=False),),
        inferred=inferred,
        pods=(client.pod.metadata.name,),
    )


def _for_nobody(case: Case, client: StatedClient, failed: Connection, direct: Connection) -> Finding | None:
    """Its neighbours do not connect either, so that it is not the way back to itself."""
    found = [(one, said) for one in client.said.witnesses if (said := one.to(failed.address, failed.port))]
    if not found:
        return None
    who = listing([f"{one.namespace}/{one.pod}" for one, _ in found])
    message = f"neither {client.name}, its only endpoint, nor {who} connects to {failed.place}; {direct.place} opens"
    shown = [Evidence(failed.place, said.text, f"{one.tool} inside {one.namespace}/{one.pod}") for one, said in found]
    return unknown("unknown-timeout", case.subject, message, *shown)


def _opens(tried: Connection | None) -> bool:
    return tried is not None and tried.is_open


def _is_isolated(case: Case, client: StatedClient) -> bool:
    """Whether policies judge what comes to it: such packets may come with the node's address."""
    own = party_of_pod(case, client.pod)
    directions = (Direction.INGRESS, Direction.EGRESS)
    isolating = [one for one in policies_in(case, own.namespace) if any(isolates(one, way, own) for way in directions)]
    return bool(isolating) and enforcement(case).enforced is not False
