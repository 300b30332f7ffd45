"""Why a way to a Service leads nowhere: nobody listens, packets are held back, or its own address is at fault."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from svcdoctor.case import LONGEST_START_SECONDS, Case, EndpointView
from svcdoctor.clients.connection import REFUSED, TIMEOUT, Connection
from svcdoctor.clients.failedway import evidence_of, say, story, told, unclear
from svcdoctor.clients.statedclient import StatedClient, Way
from svcdoctor.clients.witness import Inside, inside_of
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, unknown
from svcdoctor.pods.sockets import Listener, started_last
from svcdoctor.policies.policy import Direction, isolates, rules_of
from svcdoctor.policies.traffic import Denied, enforcement, keeping_out, party_of_pod, policies_in
from svcdoctor.text import listing


def failure_of(case: Case, client: StatedClient, way: Way) -> Finding | None:
    """None where it leads there, or another check says why it does not. Raises NotRead."""
    failed = way.failed
    if not failed and any(finding.code == "dp-hairpin" for _, finding in case.said):
        return None
    if way.leads_there and (not failed or len(failed) == len(way.ends)):
        return None
    if not client.said.any_open and not _denied(case, client, failed):
        return unclear(case, client, way, "nothing else that it tried opened either, so that may be no fault of these")
    if not failed:
        return _behind_nothing(case, client, way)
    if all(end.outcome == REFUSED for _, end in failed):
        return _refused(case, client, way)
    return _held_back(case, client, way)


# --- refused ------------------------------------------------------------------------------------------------------


def _refused(case: Case, client: StatedClient, way: Way) -> Finding:
    if client.is_chosen and not all(view.pod for view, _ in way.failed):
        return unclear(case, client, way, "what stands there is no Pod, and may know its clients")
    if denied := _denied(case, client, way.failed):  # some network plugins refuse what others drop
        return _by_policy(case, client, way, denied)
    known = told(case, way, lambda stage, _: stage in (Stage.LISTENING, Stage.PROTOCOL))
    refusing = {view.pod for view, _ in way.failed}
    numbers = {end.port for _, end in way.failed}
    seen = [
        (sockets, [item for number in numbers for item in sockets.on(number, "TCP")])
        for backend in case.backing
        if any(pod.metadata.name in refusing for pod in backend.pods) and (sockets := case.sockets(backend))
    ]
    listeners = [item for _, found in seen for item in found]
    inside = inside_of(case, client, way)
    if any(not item.is_loopback for item in listeners) and not known:
        if inside and _is_for_six_alone(listeners, inside):
            return _of_another_family(case, client, way, listeners[0], inside)
        return unclear(case, client, way, f"a look inside shows that {listeners[0].text} is listened on")
    if not listeners and inside and not known:
        if inside.own and inside.own.is_open:
            return unclear(case, client, way, f"inside {inside.pod} {inside.own.place} opens", *inside.evidence)
        is_local = inside.loopback is not None and inside.loopback.is_open
        code = "port-bind-localhost" if is_local else "port-target-unlistened"
        why = f"inside {inside.pod} {inside.text}"
        if inside.own and inside.loopback and (is_local or inside.loopback.outcome == REFUSED):
            said = say(case, client, way, code, why, *inside.evidence)
            cure = Remedy(f"let the program listen on 0.0.0.0:{inside.own.port}")
            return replace(said, remedies=(cure, *said.remedies)) if is_local else said
    if not known and (young := _starting(case, refusing)):
        message = f"{story(client, way)}; {young} may not listen yet"
        return unknown("unknown-settling", case.subject, message, *evidence_of(client, way))
    evidence = [
        Evidence("listens on", listing([item.text for item in sockets.listeners], 8) or "no port", f"pod/{sockets.pod}")
        for sockets, _ in seen[:1]
        if not known
    ]
    code = "port-bind-localhost" if listeners else "port-target-unlistened"
    where = f"{listeners[0].text} only" if listeners else ""
    why = f"its Pods listen on {where}" if where else f"nothing listens on {listing(sorted(map(str, numbers)))} there"
    return say(case, client, way, code, why, *evidence, known=known)


def _is_for_six_alone(listeners: list[Listener], inside: Inside) -> bool:
    """Whether a program takes IPv6 only: that a socket on :: is bound so (IPV6_V6ONLY) stands in no file, but then the
    Pod itself is refused at both of its IPv4 addresses."""
    tried = (inside.loopback, inside.own)
    refused = all(one and one.outcome == REFUSED and ":" not in one.address for one in tried)
    return refused and all(":" in item.address for item in listeners)


def _of_another_family(case: Case, client: StatedClient, way: Way, listener: Listener, inside: Inside) -> Finding:
    why = f"its program takes IPv6 alone on {listener.text}, since inside {inside.pod} {inside.text}"
    said = say(case, client, way, "port-bind-wrong-family", why, *inside.evidence)
    cure = Remedy(f"let the program listen on 0.0.0.0:{listener.port}, or on :: without IPV6_V6ONLY")
    return replace(said, remedies=(cure, *said.remedies))


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
    if known := told(case, way, lambda _, code: code == "netpol-admin-tier"):
        return say(case, client, way, "", "", known=known)
    away = {view.endpoint.node_name for view, _ in failed}
    near = {view.endpoint.node_name for view, end in way.ends if end.is_open}
    if near and len(failed) > 1 and not near & away and None not in away:
        nodes = listing(sorted(str(node) for node in away))
        why = f"all that stand on node {nodes}" if len(away) == 1 else f"all that stand on nodes {nodes}"
        doubt = Evidence("unless", "a policy of another kind keeps it from these Pods", "no NetworkPolicy does")
        return say(case, client, way, "dp-partial-partition", why, doubt, inferred=True)
    inside = inside_of(case, client, way)
    if inside and inside.own and not inside.own.is_open and inside.loopback and inside.loopback.outcome == TIMEOUT:
        why = f"its program takes no connections: inside {inside.pod} {inside.text}"
        said = say(case, client, way, "pods-ready-but-dead", why, *inside.evidence)
        log = Remedy("read what it says", f"kubectl -n {case.namespace} logs {inside.pod} --tail=50", False)
        return replace(said, remedies=(log, *said.remedies))
    met = f", and inside {inside.pod} {inside.text}" if inside else ""
    why = f"no NetworkPolicy keeps it out{met}: a firewall, or a policy that is not read here, may"
    seen = inside.evidence if inside else ()
    return unclear(case, client, way, why, *seen, of_anybody=all(view.pod for view, _ in failed))


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
    return say(case, client, way, "netpol-egress-deny" if is_egress else code, why, known=known)


# --- the Service's own address --------------------------------------------------------------------------------------


def _behind_nothing(case: Case, client: StatedClient, way: Way) -> Finding:
    """Every endpoint answers the client, and the Service's address does not."""
    node = client.pod.spec.node_name or "its node"
    if case.spec.internal_traffic_policy == "Local" and node not in {
        view.endpoint.node_name for view in case.ready_endpoints
    }:
        if client.is_chosen:
            return unclear(case, client, way, f"internalTrafficPolicy keeps clients on node {node} out")
        known = told(case, way, lambda _, code: code == "dp-internal-local-no-endpoint")
        why = f"internalTrafficPolicy is Local, and no endpoint stands on node {node}"
        return say(case, client, way, "dp-internal-local-no-endpoint", why, known=known)
    if way.untried or not way.ends:
        return unclear(case, client, way, "not every endpoint was tried")
    if any(client.is_behind(case, view) for view in case.ready_endpoints):
        return unclear(case, client, way, "it may have been led to itself, which not every network allows")
    own = party_of_pod(case, client.pod)
    isolating = [item for item in policies_in(case, own.namespace) if isolates(item, Direction.EGRESS, own)]
    if isolating and enforcement(case).enforced is not False:
        names = listing([policy.metadata.name for policy in isolating])
        return unclear(case, client, way, f"NetworkPolicy {names} may be asked for the Service's address here")
    others = [one for one in client.said.tried if one.address not in case.cluster_ips and case.services_at(one.address)]
    code, why = "dp-kubeproxy-stale", f"the rules for it on node {node} are missing or old"
    if others and not any(one.is_open for one in others):
        code, why = "dp-kubeproxy-down", f"node {node} leads no ClusterIP anywhere, nor {others[0].place}"
    doubt = Evidence(
        "unless", "a policy that is not read here is asked for the Service's own address", "no NetworkPolicy"
    )
    finding = say(case, client, way, code, why, doubt, because="dp-kubeproxy-down", inferred=True)
    return replace(finding, remedies=(*finding.remedies, *_proxy_of_node(case, node)))


def _proxy_of_node(case: Case, node: str) -> Iterator[Remedy]:
    pods = case.or_without(lambda: case.listed("pods", "kube-system"), {})
    for name, pod in pods.items():
        if name.startswith("kube-proxy") and pod.spec.node_name == node:
            yield Remedy("read what kube-proxy says there", f"kubectl -n kube-system logs {name} --tail=20", False)
