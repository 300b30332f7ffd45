"""Does the client that was named, or chosen, reach the Service?

dp-kubeproxy-stale
    The Service's address does not lead a client to endpoints that this client reaches by their own addresses.
    Why it breaks      On the node of each client kube-proxy turns a ClusterIP into the address of an endpoint. Where
                       its rules are old, because it cannot reach the API server or fails to write them, new Services
                       time out or are refused on that node, while others, and Pods by their addresses, work.
    Confirm by hand    kubectl -n kube-system logs -l k8s-app=kube-proxy --tail=20
                       kubectl -n {namespace} exec POD -- nc -zvw 2 {name} PORT
    Fix                Restart kube-proxy on that node when its log shows what keeps it from writing rules.
    Not a fault when   The client is itself behind the Service, or its policies are asked before the address is
                       rewritten: nothing is said then.

dp-partial-partition
    From the client's node the endpoints on some nodes time out, and those on others answer.
    Why it breaks      The Service's address leads to each endpoint in turn. Packets between two nodes are lost (a
                       firewall, a route, an overlay port), so that a part of the requests times out.
    Confirm by hand    kubectl -n {namespace} get pods -o wide
                       kubectl -n {namespace} exec POD -- nc -zvw 2 ADDRESS PORT
    Fix                Let the nodes reach each other's Pods: look at routes, firewalls and the network plugin there.
    Not a fault when   A policy of a kind that is not read here keeps the client from these Pods.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.clients.lostway import failure_of
from svcdoctor.clients.statedclient import (
    StatedClient,
    Way,
    chosen_client,
    proxy_of,
    proxy_of_backends,
    stated_client,
    ways,
)
from svcdoctor.clients.witness import loopbacks
from svcdoctor.finding import Finding, Stage, Status, Step, passed, skipped, unknown
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.policies.traffic import closed_by
from svcdoctor.text import listing, plural

CHECK = Check(
    step=Step.CONNECT,
    codes={"dp-kubeproxy-stale": Code(Stage.DATA_PLANE), "dp-partial-partition": Code(Stage.DATA_PLANE)},
    reads=(
        "services",
        "endpointslices",
        "pods",
        "networkpolicies",
        *OTHER_KINDS,
        "namespaces",
        *WORKLOAD_RESOURCES,
    ),
)
PROXY_NAME = "service.kubernetes.io/service-proxy-name"  # of a Service that kube-proxy leaves to another
LIMITS = {"forbidden": "unknown-forbidden", "no-pod": "unknown-no-probe-pod"}


def run(case: Case) -> Iterator[Finding]:
    client = stated_client(case)
    if client is None:
        yield from _of_chosen(case)
        return
    if why := _why_not(case, client):
        yield why
        return
    found = [way for way in ways(case, client) if way.own or way.ends]
    if not found:
        if client.said.tried:
            yield skipped(client.subject, f"{client.name} did not come to it: name the Service, and fewer at once")
        return
    yield from _judged(case, client, found)


def _judged(case: Case, client: StatedClient, found: list[Way]) -> Iterator[Finding]:
    faults: dict[tuple[Status, str | None], Finding] = {}
    for way in found:
        if finding := failure_of(case, client, way):
            known = faults.setdefault((finding.status, finding.code), finding)
            if known is not finding:  # another port, of which the same is true
                both = dict.fromkeys((*known.evidence, *finding.evidence))
                faults[finding.status, finding.code] = replace(known, evidence=tuple(both))
    yield from faults.values()
    if not faults:
        yield _connects(case, client, found)


def _of_chosen(case: Case) -> Iterator[Finding]:
    """What the client met that was chosen to try a Service in which nothing else is found wrong.

    It may be a bystander. What is by design about it (policies, the traffic policy, a way that leads to itself) is no
    fault of the Service, nor is what it could not tell.
    """
    if any(finding.status is Status.FAIL for _, finding in case.said) or not _is_to_be_tried(case):
        return
    client = chosen_client(case)  # who tries it does so while others look into its Pods
    if client is None or case.may_fail_already or _why_moot(case, client):
        return
    found = [way for way in ways(case, client) if way.own or way.ends]
    if not found:
        return
    if closed := _closed_to(case, client, found):
        yield skipped(client.subject, f"{client.name} is kept from it by {closed}; others may get through")
        return
    yield from _judged(case, client, found)


def _is_to_be_tried(case: Case) -> bool:
    return (
        not case.is_external_name
        and any(port.protocol == "TCP" for port in case.ports)
        and bool(case.ready_endpoints)
        and PROXY_NAME not in (case.service.metadata.labels or {})
    )


def _closed_to(case: Case, client: StatedClient, found: list[Way]) -> str:
    pods = case.listed("pods")
    ends = {(view.pod, end.port) for way in found for view, end in way.failed if view.pod in pods}
    return next((names for pod, port in sorted(ends) if (names := closed_by(case, client.pod, pods[pod], port))), "")


def _why_not(case: Case, client: StatedClient) -> Finding | None:
    """Why no connection of this client tells anything."""
    said, name = client.said, client.name
    if not said.unavailable:
        why = _why_moot(case, client)
        return skipped(client.subject, why) if why else None
    beside = "".join(f"; {one}" for one in loopbacks(case, client))
    if said.unavailable == "no-tool":
        return skipped(client.subject, f"{name} cannot connect: {said.detail}{beside}")
    message = f"{name} was not asked to connect: {said.detail}{beside}"
    return unknown(LIMITS.get(said.unavailable, "unknown-timeout"), case.subject, message)


def _why_moot(case: Case, client: StatedClient) -> str:
    name = client.name
    if case.is_external_name:
        return "an ExternalName has no address of its own to connect to"
    if case.ports and all(port.protocol != "TCP" for port in case.ports):
        return "it has no TCP port, and of others no connection tells whether they answer"
    if proxy := proxy_of(case, client):
        return f"{proxy} of {name} accepts every connection: what opens says nothing of the Service"
    if not case.ready_endpoints:
        return f"there is no ready endpoint that {name} could reach"
    if all(client.is_behind(case, view) for view in case.ready_endpoints):
        return f"{name} is its only endpoint: what it reaches of itself says nothing of other clients"
    proxy = proxy_of_backends(case)
    found = list(ways(case, client)) if proxy else []
    if found and all(way.leads_there and not way.failed for way in found) and not _are_answered(found):
        return f"{proxy} of its Pods accepts every connection: that {name} connects says nothing of the program"
    return ""


def _are_answered(found: list[Way]) -> bool:
    """Whether a program behind a proxy must have spoken: the proxy itself says 503 where none does."""
    return all(any(0 < answer.status < 500 for answer in way.answers) for way in found)


def _connects(case: Case, client: StatedClient, found: list[Way]) -> Finding:
    shown = [f"{way.own.place} within {max(way.own.milliseconds, 10)} ms" for way in found if way.own]
    ends = [end.is_open for way in found for _, end in way.ends]
    if ends:
        reached = f"{sum(ends)} of " if any(ends) else "none of "
        by_themselves = "" if any(ends) else " by their own addresses"
        untried = sum(way.untried for way in found)
        beside = f" ({untried} more were not tried)" if untried else ""
        shown.append(f"{reached}{plural(len(ends), 'endpoint')}{by_themselves}{beside}")
    said = "".join(f"; {words}" for words in dict.fromkeys(answer.text for way in found for answer in way.answers))
    return passed(client.subject, f"{client.name} connects to {listing(shown, 4)}{said}")
