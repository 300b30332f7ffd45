"""How a rule of a NetworkPolicy reads, which port it gets wrong, and the commands that change it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from svcdoctor.endpoints.reconcile import serving_containers
from svcdoctor.finding import Evidence, Remedy
from svcdoctor.objects import LabelSelector, NetworkPolicy, NetworkPolicyPort, PodSpec, ServicePort
from svcdoctor.policies.policy import Direction, Lack, Rule, lack_of_port
from svcdoctor.text import listing, patch_command, quoted_json

# --- words ---------------------------------------------------------------------------------------------------------


def shown(selector: LabelSelector | None) -> str:
    """A selector as `kubectl -l` takes it; `all` for an empty one."""
    if selector is None:
        return "all"
    terms = [f"{key}={value}" for key, value in (selector.match_labels or {}).items()]
    for term in selector.match_expressions or ():
        values = f"({','.join(term.values or ())})"
        signs = {"In": f"{term.key} in {values}", "NotIn": f"{term.key} notin {values}", "DoesNotExist": f"!{term.key}"}
        terms.append(signs.get(term.operator, term.key))
    return ",".join(terms) or "all"


def written(selector: LabelSelector | None) -> dict[str, Any]:
    """A selector as it stands in a manifest."""
    if selector is None:
        return {}
    terms = [
        {"key": term.key, "operator": term.operator} | ({"values": term.values} if term.values else {})
        for term in selector.match_expressions or ()
    ]
    return ({"matchLabels": selector.match_labels} if selector.match_labels else {}) | (
        {"matchExpressions": terms} if terms else {}
    )


def peer_text(rule: Rule) -> str:
    """Whom a rule admits."""
    said = []
    for peer in rule.peers:
        if peer.ip_block:
            but = f" except {listing(peer.ip_block.except_)}" if peer.ip_block.except_ else ""
            said.append(f"{peer.ip_block.cidr}{but}")
        elif peer.namespace_selector is None:
            said.append(f"Pods {shown(peer.pod_selector)}")
        elif peer.pod_selector is None:
            said.append(f"namespaces {shown(peer.namespace_selector)}")
        else:
            said.append(f"Pods {shown(peer.pod_selector)} in namespaces {shown(peer.namespace_selector)}")
    return listing(said, 4) or "everyone"


def port_text(rule: Rule) -> str:
    said = []
    for port in rule.ports:
        number = f"{port.port}-{port.end_port}" if port.end_port else "all" if port.port is None else str(port.port)
        said.append(f"{number}/{port.protocol or 'TCP'}")
    return listing(said, 4) or "every port"


def rule_evidence(rule: Rule) -> Evidence:
    return Evidence("admits", f"{peer_text(rule)} on {port_text(rule)}", rule.source)


def isolating_evidence(policies: Sequence[NetworkPolicy], direction: Direction) -> list[Evidence]:
    return [
        Evidence(
            "isolates",
            f"Pods {shown(policy.spec.pod_selector)}",
            f"networkpolicy/{policy.metadata.name} .spec.podSelector, {direction}",
        )
        for policy in policies[:3]
    ]


# --- ports that a rule gets wrong ---------------------------------------------------------------------------------


class PortFault(NamedTuple):
    """A rule that means a port and names another one: the code for it, what it says, and what puts it right."""

    code: str
    said: str
    rule: Rule
    remedy: Remedy


def port_faults(rule: Rule, port: ServicePort, number: int, spec: PodSpec, owner: str) -> Iterator[PortFault]:
    """How a rule that does not admit a Pod's port may have been meant to, the likeliest first."""
    faults = [
        fault
        for index, entry in enumerate(rule.ports)
        if (lack := lack_of_port(entry, number, port.protocol, spec))
        and (fault := _port_fault(rule, index, entry, lack, port, number, spec, owner))
    ]
    if len(faults) and all(lack_of_port(entry, number, port.protocol, spec) for entry in rule.ports):
        yield from sorted(faults, key=lambda fault: _PORT_CODES.index(fault.code))


_PORT_CODES = ("netpol-service-port", "netpol-named-port", "netpol-protocol")


def _port_fault(
    rule: Rule,
    index: int,
    entry: NetworkPolicyPort,
    lack: Lack,
    port: ServicePort,
    number: int,
    spec: PodSpec,
    owner: str,
) -> PortFault | None:
    name, path = rule.policy.metadata.name, f"{rule.path.replace('.', '/').replace('[', '/').replace(']', '')}/ports"
    namespace = rule.policy.metadata.namespace
    replaced = [{"op": "replace", "path": f"{path}/{index}/port", "value": number}]
    if lack is Lack.PROTOCOL:
        added = [{"op": "add", "path": f"{path}/-", "value": {"port": number, "protocol": port.protocol}}]
        means = f"{entry.protocol} only" if entry.protocol else "TCP only, as it names no protocol"
        return PortFault(
            "netpol-protocol",
            f"NetworkPolicy {name} opens port {number} for {means}",
            rule,
            Remedy(f"admit {port.protocol} too", patch_command(namespace, f"networkpolicy {name}", added)),
        )
    to_number = Remedy(f"name port {number}", patch_command(namespace, f"networkpolicy {name}", replaced))
    if lack is Lack.PORT_NAME:
        said = f"NetworkPolicy {name} names port {entry.port}, and {owner} declares no port of that name"
        return PortFault("netpol-named-port", said, rule, to_number)
    listens = {item.container_port for container in serving_containers(spec) for item in container.ports or ()}
    if entry.port == port.port != number and not entry.end_port and port.port not in listens:
        said = (
            f"NetworkPolicy {name} names port {entry.port}, the Service's, where policies see the Pods' port {number}"
        )
        return PortFault("netpol-service-port", said, rule, to_number)
    return None


# --- what changes it -----------------------------------------------------------------------------------------------


def _rule(direction: Direction, peers: Sequence[dict[str, Any]], ports: Iterable[tuple[int, str]]) -> dict[str, Any]:
    word = "from" if direction is Direction.INGRESS else "to"
    rule: dict[str, Any] = {word: list(peers)} if peers else {}
    return rule | {"ports": [{"port": number, "protocol": protocol} for number, protocol in ports]}


def opening(
    policy: NetworkPolicy,
    direction: Direction,
    peers: Sequence[dict[str, Any]],
    ports: Iterable[tuple[int, str]],
    name: str,
    selector: dict[str, Any] | None = None,
) -> str:
    """The command that adds a rule to a policy; to a deny without rules it adds a policy beside it.

    The new one is for the Pods of the selector, else for those of the policy.
    """
    namespace = policy.metadata.namespace
    rule = _rule(direction, peers, ports)
    if policy.spec.ingress if direction is Direction.INGRESS else policy.spec.egress:
        patch = [{"op": "add", "path": f"/spec/{direction.lower()}/-", "value": rule}]
        return patch_command(namespace, f"networkpolicy {policy.metadata.name}", patch)
    added = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "podSelector": written(policy.spec.pod_selector) if selector is None else selector,
            "policyTypes": [direction],
            direction.lower(): [rule],
        },
    }
    return f"echo {quoted_json(added)} | kubectl -n {namespace} apply -f -"


def split_peer(rule: Rule, place: int) -> str:
    """The command that makes two items of one with both selectors."""
    path = f"/spec/{rule.direction.lower()}/{rule.place}/{'from' if rule.direction is Direction.INGRESS else 'to'}"
    own = {"podSelector": written(rule.peers[place].pod_selector)}
    patch = [
        {"op": "remove", "path": f"{path}/{place}/podSelector"},
        {"op": "add", "path": f"{path}/-", "value": own},
    ]
    return patch_command(rule.policy.metadata.namespace, f"networkpolicy {rule.policy.metadata.name}", patch)
