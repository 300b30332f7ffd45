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

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from svcdoctor.case import LONGEST_START_SECONDS, Case, EndpointView
from svcdoctor.check import Check, Code
from svcdoctor.clients.connection import REFUSED, TIMEOUT, Connection
from svcdoctor.clients.statedclient import (
    StatedClient,
    Way,
    chosen_client,
    proxy_of,
    proxy_of_backends,
    stated_client,
    ways,
)
from svcdoctor.clients.witness import inside_of, loopbacks
from svcdoctor.finding import (
    Evidence,
    Finding,
    Remedy,
    Stage,
    Status,
    Step,
    fail,
    passed,
    skipped,
    unknown,
    warn,
)
from svcdoctor.pods.sockets import started_last
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.policies.policy import Direction, isolates, rules_of
from svcdoctor.policies.traffic import Denied, closed_by, enforcement, keeping_out, party_of_pod, policies_in
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
        if finding := _judge(case, client, way):
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


# --- what failed --------------------------------------------------------------------------------------------------


def _judge(case: Case, client: StatedClient, way: Way) -> Finding | None:
    failed = way.failed
    if not failed and any(finding.code == "dp-hairpin" for _, finding in case.said):
        return None
    if way.leads_there and (not failed or len(failed) == len(way.ends)):
        return None
    if not client.said.any_open and not _denied(case, client, failed):
        return _unclear(case, client, way, "nothing else that it tried opened either, so that may be no fault of these")
    if not failed:
        return _behind_nothing(case, client, way)
    if all(end.outcome == REFUSED for _, end in failed):
        return _refused(case, client, way)
    return _held_back(case, client, way)


def _say(
    case: Case,
    client: StatedClient,
    way: Way,
    code: str,
    why: str,
    *evidence: Evidence,
    known: Finding | None = None,
    because: str | None = None,
    inferred: bool = False,
) -> Finding:
    """A fault; where another check has told it already (`known`), what it looks like to this client."""
    partly = len(way.failed) < len(way.ends) and bool(way.failed)
    shown = way.failed[0][1] if partly or not way.own or way.own.is_open else way.own
    code = (known.code if known else None) or code
    return (warn if partly else fail)(
        code,
        case.subject,
        f"{_story(client, way)}{': ' if why else ''}{why}",
        *_evidence(client, way),
        *evidence,
        remedies=(Remedy("see it", client.said.command(shown.address, shown.port), changes_cluster=False),),
        inferred=inferred,
        because=code if known else because,
        pods=tuple(view.pod for view, _ in way.failed if view.pod),
    )


def _story(client: StatedClient, way: Way) -> str:
    """`shop/web-1 cannot connect to 10.96.1.3:80, nor to any of 3 endpoints`."""
    failed, own = len(way.failed), way.own
    if own and not own.is_open and not failed:
        ends = f", but can to {'its endpoint' if len(way.ends) == 1 else f'all {len(way.ends)} endpoints'}"
        return f"{client.name} cannot connect to {own.place} ({own.text}){ends}"
    if failed < len(way.ends):
        return (
            f"{client.name} cannot connect to {failed} of {plural(len(way.ends), 'endpoint')} ({way.failed[0][1].text})"
        )
    ends = plural(failed, "endpoint")
    if own:
        any_of = f"its endpoint {way.failed[0][1].place}" if failed == 1 else f"any of {ends}"
        return f"{client.name} cannot connect to {own.place} ({own.text}), nor to {any_of}"
    return f"{client.name} connects to none of {ends} ({way.failed[0][1].text})"


def _evidence(client: StatedClient, way: Way) -> Iterator[Evidence]:
    source = f"{client.said.tool} {client.said.place}"
    if way.own:
        yield Evidence(way.own.place, way.own.text, source)
    for view, end in sorted(way.ends, key=lambda one: one[1].is_open)[:3]:
        yield Evidence(f"{end.place}{f' ({view.pod})' if view.pod else ''}", end.text, source)
    others = {one.address for one in (way.own, *(end for _, end in way.ends)) if one}
    control = next((one for one in client.said.tried if one.is_open and one.address not in others), None)
    if control:
        yield Evidence("control", f"{control.place} {control.text}", source)


def _unclear(
    case: Case, client: StatedClient, way: Way, why: str, *evidence: Evidence, of_anybody: bool = False
) -> Finding:
    """`of_anybody`: what it met counts, though it may be a bystander."""
    message = "; ".join([f"{_story(client, way)}; {why}", *(loopbacks(case, client) if way.failed else [])])
    if client.is_chosen and not of_anybody:
        return skipped(client.subject, message)
    return unknown("unknown-timeout", case.subject, message, *_evidence(client, way), *evidence)


def _told(case: Case, way: Way, explains: Callable[[Stage, str], bool]) -> Finding | None:
    """What another check has found that explains it: a fault of this kind, or an earlier one of the same Pods."""
    failed = {view.pod for view, _ in way.failed}
    for stage, finding in case.said:
        if explains(stage, finding.code or "") or (stage < Stage.LISTENING and failed & {*finding.pods}):
            return finding
    return None


# --- refused ------------------------------------------------------------------------------------------------------


def _refused(case: Case, client: StatedClient, way: Way) -> Finding:
    if client.is_chosen and not all(view.pod for view, _ in way.failed):
        return _unclear(case, client, way, "what stands there is no Pod, and may know its clients")
    if denied := _denied(case, client, way.failed):  # some network plugins refuse what others drop
        return _by_policy(case, client, way, denied)
    known = _told(case, way, lambda stage, _: stage in (Stage.LISTENING, Stage.PROTOCOL))
    refusing = {view.pod for view, _ in way.failed}
    numbers = {end.port for _, end in way.failed}
    seen = [
        (sockets, [item for number in numbers for item in sockets.on(number, "TCP")])
        for backend in case.backing
        if any(pod.metadata.name in refusing for pod in backend.pods) and (sockets := case.sockets(backend))
    ]
    listeners = [item for _, found in seen for item in found]
    if any(not item.is_loopback for item in listeners) and not known:
        return _unclear(case, client, way, f"a look inside shows that {listeners[0].text} is listened on")
    inside = inside_of(case, client, way)
    if not listeners and inside and not known:
        if inside.own and inside.own.is_open:
            return _unclear(case, client, way, f"inside {inside.pod} {inside.own.place} opens", *inside.evidence)
        is_local = inside.loopback is not None and inside.loopback.is_open
        code = "port-bind-localhost" if is_local else "port-target-unlistened"
        why = f"inside {inside.pod} {inside.text}"
        if inside.own and inside.loopback and (is_local or inside.loopback.outcome == REFUSED):
            said = _say(case, client, way, code, why, *inside.evidence)
            cure = Remedy(f"let the program listen on 0.0.0.0:{inside.own.port}")
            return replace(said, remedies=(cure, *said.remedies)) if is_local else said
    if not known and (young := _starting(case, refusing)):
        message = f"{_story(client, way)}; {young} may not listen yet"
        return unknown("unknown-settling", case.subject, message, *_evidence(client, way))
    evidence = [
        Evidence("listens on", listing([item.text for item in sockets.listeners], 8) or "no port", f"pod/{sockets.pod}")
        for sockets, _ in seen[:1]
        if not known
    ]
    code = "port-bind-localhost" if listeners else "port-target-unlistened"
    where = f"{listeners[0].text} only" if listeners else ""
    why = f"its Pods listen on {where}" if where else f"nothing listens on {listing(sorted(map(str, numbers)))} there"
    return _say(case, client, way, code, why, *evidence, known=known)


def _starting(case: Case, names: set[str]) -> str:
    """One of these Pods that started so recently that its program may not be there yet."""
    pods = case.listed("pods")
    young = (pods[name] for name in names if name in pods)
    return next((pod.metadata.name for pod in young if case.is_younger(started_last(pod), LONGEST_START_SECONDS)), "")


# --- held back ----------------------------------------------------------------------------------------------------


def _denied(case: Case, client: StatedClient, failed: list[tuple[EndpointView, Connection]]) -> Denied | None:
    """The policies that keep the client from all of these endpoints; None where one of them is not denied."""
    if not failed:
        return None
    pods = case.listed("pods")
    found = []
    for view, end in failed:
        pod = pods.get(view.pod)
        denied = keeping_out(case, client.pod, pod, end.port) if pod else None
        if denied is None:
            return None
        found.append(denied)
    return found[0]


def _held_back(case: Case, client: StatedClient, way: Way) -> Finding:
    failed = [end for end in way.failed if end[1].outcome != REFUSED]
    if denied := _denied(case, client, failed):
        return _by_policy(case, client, way, denied)
    if known := _told(case, way, lambda _, code: code == "netpol-admin-tier"):
        return _say(case, client, way, "", "", known=known)
    away = {view.endpoint.node_name for view, _ in failed}
    near = {view.endpoint.node_name for view, end in way.ends if end.is_open}
    if near and len(failed) > 1 and not near & away and None not in away:
        nodes = listing(sorted(str(node) for node in away))
        why = f"all that stand on node {nodes}" if len(away) == 1 else f"all that stand on nodes {nodes}"
        doubt = Evidence("unless", "a policy of another kind keeps it from these Pods", "no NetworkPolicy does")
        return _say(case, client, way, "dp-partial-partition", why, doubt, inferred=True)
    inside = inside_of(case, client, way)
    if inside and inside.own and not inside.own.is_open and inside.loopback and inside.loopback.outcome == TIMEOUT:
        why = f"its program takes no connections: inside {inside.pod} {inside.text}"
        said = _say(case, client, way, "pods-ready-but-dead", why, *inside.evidence)
        log = Remedy("read what it says", f"kubectl -n {case.namespace} logs {inside.pod} --tail=50", False)
        return replace(said, remedies=(log, *said.remedies))
    met = f", and inside {inside.pod} {inside.text}" if inside else ""
    why = f"no NetworkPolicy keeps it out{met}: a firewall, or a policy that is not read here, may"
    told = inside.evidence if inside else ()
    return _unclear(case, client, way, why, *told, of_anybody=all(view.pod for view, _ in failed))


def _by_policy(case: Case, client: StatedClient, way: Way, denied: Denied) -> Finding:
    is_egress = denied.direction is Direction.EGRESS
    rules = rules_of(denied.side.isolating, denied.direction)
    code = "netpol-ingress-no-match" if rules else "netpol-default-deny-ingress"
    names = listing([policy.metadata.name for policy in denied.side.isolating])
    known = next(
        (
            finding
            for _, finding in case.said
            if (finding.code or "").startswith("netpol-")
            and finding.subject
            and (finding.subject.kind != "Service") == is_egress
        ),
        None,
    )
    why = f"NetworkPolicy {names} does not let {'it out' if is_egress else 'it in'}"
    return _say(case, client, way, "netpol-egress-deny" if is_egress else code, why, known=known)


# --- the Service's own address --------------------------------------------------------------------------------------


def _behind_nothing(case: Case, client: StatedClient, way: Way) -> Finding:
    """Every endpoint answers the client, and the Service's address does not."""
    node = client.pod.spec.node_name or "its node"
    if case.spec.internal_traffic_policy == "Local" and node not in {
        view.endpoint.node_name for view in case.ready_endpoints
    }:
        if client.is_chosen:
            return _unclear(case, client, way, f"internalTrafficPolicy keeps clients on node {node} out")
        known = _told(case, way, lambda _, code: code == "dp-internal-local-no-endpoint")
        why = f"internalTrafficPolicy is Local, and no endpoint stands on node {node}"
        return _say(case, client, way, "dp-internal-local-no-endpoint", why, known=known)
    if way.untried or not way.ends:
        return _unclear(case, client, way, "not every endpoint was tried")
    if any(client.is_behind(case, view) for view in case.ready_endpoints):
        return _unclear(case, client, way, "it may have been led to itself, which not every network allows")
    own = party_of_pod(case, client.pod)
    isolating = [item for item in policies_in(case, own.namespace) if isolates(item, Direction.EGRESS, own)]
    if isolating and enforcement(case).enforced is not False:
        names = listing([policy.metadata.name for policy in isolating])
        return _unclear(case, client, way, f"NetworkPolicy {names} may be asked for the Service's address here")
    others = [one for one in client.said.tried if one.address not in case.cluster_ips and case.services_at(one.address)]
    code, why = "dp-kubeproxy-stale", f"the rules for it on node {node} are missing or old"
    if others and not any(one.is_open for one in others):
        code, why = "dp-kubeproxy-down", f"node {node} leads no ClusterIP anywhere, nor {others[0].place}"
    doubt = Evidence(
        "unless", "a policy that is not read here is asked for the Service's own address", "no NetworkPolicy"
    )
    finding = _say(case, client, way, code, why, doubt, because="dp-kubeproxy-down", inferred=True)
    return replace(finding, remedies=(*finding.remedies, *_proxy_of_node(case, node)))


def _proxy_of_node(case: Case, node: str) -> Iterator[Remedy]:
    pods = case.or_without(lambda: case.listed("pods", "kube-system"), {})
    for name, pod in pods.items():
        if name.startswith("kube-proxy") and pod.spec.node_name == node:
            yield Remedy("read what kube-proxy says there", f"kubectl -n kube-system logs {name} --tail=20", False)
