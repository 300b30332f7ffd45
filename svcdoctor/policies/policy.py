"""What NetworkPolicies (networking.k8s.io/v1) say of one connection: pure, and for both of its ends.

Policies only ever allow. An end that some policy selects for a direction is isolated in it: then one rule of one of
these policies has to admit the other end and the port. The port is that of the Pod, as it is after the Service's
address was rewritten. Where nothing admits a connection, the answer names the rules that come nearest and what each
lacks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from svcdoctor.endpoints.reconcile import serving_containers
from svcdoctor.objects import (
    IPBlock,
    LabelSelector,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    PodSpec,
)

NAMESPACE_NAME = "kubernetes.io/metadata.name"  # the API server gives every namespace this label


class Direction(StrEnum):
    INGRESS = "Ingress"
    EGRESS = "Egress"


class Lack(StrEnum):
    """What keeps a rule from admitting a connection."""

    POD_LABELS = "Pod labels"
    NAMESPACE_LABELS = "namespace labels"
    NAMESPACE = "namespace"  # a podSelector alone means Pods of the policy's own namespace
    HOST_NETWORK = "host network"  # a Pod on it has its node's address: no selector finds it
    ADDRESS = "address"
    EXCEPT = "except"  # the block holds the address, its exceptions take it out
    PORT = "port"
    PORT_NAME = "port name"  # the Pod declares no port of that name and protocol
    PROTOCOL = "protocol"


class Party(NamedTuple):
    """One end of a connection: a Pod, any Pod of a workload, or an address outside the cluster."""

    name: str = ""
    namespace: str = ""
    labels: Mapping[str, str] | None = None  # None: not a Pod
    namespace_labels: Mapping[str, str] = {}
    addresses: tuple[str, ...] = ()  # none known: every ipBlock may hold it
    host_network: bool = False
    nodes: frozenset[str] = frozenset()
    pod: str = ""  # where one certain Pod is meant
    spec: PodSpec | None = None

    def is_same_pod(self, other: Party) -> bool:
        return bool(self.pod) and (self.namespace, self.pod) == (other.namespace, other.pod)

    def is_node_of(self, other: Party) -> bool:
        """Whether its traffic comes from the node that the other's Pods run on: that is never held back."""
        return self.host_network and bool(other.nodes) and other.nodes <= self.nodes


class Rule(NamedTuple):
    policy: NetworkPolicy
    direction: Direction
    place: int  # among the rules of its direction
    peers: Sequence[NetworkPolicyPeer]  # none: everyone
    ports: Sequence[NetworkPolicyPort]  # none: every port

    @property
    def path(self) -> str:
        return f".spec.{self.direction.lower()}[{self.place}]"

    @property
    def source(self) -> str:
        return f"networkpolicy/{self.policy.metadata.name} {self.path}"

    def port_lack(self, number: int, protocol: str, spec: PodSpec | None) -> tuple[Lack, NetworkPolicyPort] | None:
        """What the nearest of its ports lacks of this one; None where it admits the port."""
        lacks = [(lack, port) for port in self.ports if (lack := lack_of_port(port, number, protocol, spec))]
        if len(lacks) < len(self.ports) or not self.ports:
            return None
        return min(lacks, key=lambda item: _PORT_LACKS.index(item[0]))

    def peer_lack(self, other: Party) -> tuple[frozenset[Lack], NetworkPolicyPeer] | None:
        """What the nearest of its peers lacks of this party; None where it admits the party."""
        lacks = [(lack, peer) for peer in self.peers if (lack := lacks_of_peer(peer, self.policy, other))]
        if len(lacks) < len(self.peers) or not self.peers:
            return None
        return min(lacks, key=lambda item: (len(item[0]), Lack.ADDRESS in item[0], Lack.NAMESPACE in item[0]))


_PORT_LACKS = (Lack.PROTOCOL, Lack.PORT_NAME, Lack.PORT)


class Miss(NamedTuple):
    """A rule that does not admit a connection, and what it lacks."""

    rule: Rule
    lacks: frozenset[Lack]
    peer: NetworkPolicyPeer | None  # the one that comes nearest; None where some peer does fit
    port: NetworkPolicyPort | None


class Side(NamedTuple):
    """What the policies say that isolate one end in one direction."""

    direction: Direction
    isolating: tuple[NetworkPolicy, ...] = ()
    rule: Rule | None = None  # the one that admits
    misses: tuple[Miss, ...] = ()  # nearest first

    @property
    def allowed(self) -> bool:
        return self.rule is not None or not self.isolating

    @property
    def depends_on_namespaces(self) -> bool:
        """Whether other labels of a namespace might have turned the answer."""
        return not self.allowed and any(Lack.NAMESPACE_LABELS in miss.lacks for miss in self.misses)


class Verdict(NamedTuple):
    egress: Side
    ingress: Side

    @property
    def allowed(self) -> bool:
        return self.egress.allowed and self.ingress.allowed


def judge(source: Party, destination: Party, number: int, protocol: str, policies: Iterable[NetworkPolicy]) -> Verdict:
    """Whether policies let a connection to a port of a Pod through, and which of them."""
    known = list(policies)
    return Verdict(
        judge_side(Direction.EGRESS, source, destination, number, protocol, known),
        judge_side(Direction.INGRESS, destination, source, number, protocol, known),
    )


def judge_side(
    direction: Direction, own: Party, other: Party, number: int, protocol: str, policies: Iterable[NetworkPolicy]
) -> Side:
    """What `own`, which the policies may isolate, is allowed with `other`; the port is always the destination's."""
    isolating = tuple(policy for policy in policies if isolates(policy, direction, own))
    incoming = direction is Direction.INGRESS
    if not isolating or own.is_same_pod(other) or (incoming and other.is_node_of(own)):
        return Side(direction)
    spec = own.spec if incoming else other.spec
    misses: list[Miss] = []
    for rule in rules_of(isolating, direction):
        peer, port = rule.peer_lack(other), rule.port_lack(number, protocol, spec)
        if peer is None and port is None:
            return Side(direction, isolating, rule)
        lacks = (peer[0] if peer else frozenset()) | ({port[0]} if port else frozenset())
        misses.append(Miss(rule, lacks, peer[1] if peer else None, port[1] if port else None))
    return Side(direction, isolating, misses=tuple(sorted(misses, key=_distance)))


def _distance(miss: Miss) -> tuple[int, bool]:
    # A rule for other addresses is meant for others; one for these Pods on another port is meant for them.
    return (miss.peer is not None) + (miss.port is not None) + len(miss.lacks), miss.peer is not None


# --- what policies select and hold -------------------------------------------------------------------------------


def isolates(policy: NetworkPolicy, direction: Direction, party: Party) -> bool:
    """Whether a policy takes effect on a party. On Pods of the host network none does."""
    if party.labels is None or party.host_network or party.namespace != policy.metadata.namespace:
        return False
    return direction in directions_of(policy) and selects(policy.spec.pod_selector, party.labels)


def directions_of(policy: NetworkPolicy) -> set[str]:
    """Ingress always, and Egress where it has such rules, unless policyTypes says which."""
    if policy.spec.policy_types:
        return set(policy.spec.policy_types)
    return {Direction.INGRESS, Direction.EGRESS} if policy.spec.egress else {Direction.INGRESS}


def rules_of(policies: Iterable[NetworkPolicy], direction: Direction) -> list[Rule]:
    found = []
    for policy in policies:
        written = policy.spec.ingress if direction is Direction.INGRESS else policy.spec.egress
        for index, rule in enumerate(written or ()):
            peers = rule.from_ if direction is Direction.INGRESS else rule.to
            found.append(Rule(policy, direction, index, peers or (), rule.ports or ()))
    return found


def selects(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector holds; an empty one holds for everything."""
    if selector is None:
        return True
    if any(labels.get(key) != value for key, value in (selector.match_labels or {}).items()):
        return False
    for term in selector.match_expressions or ():
        values = term.values or ()
        match term.operator:
            case "In":
                holds = term.key in labels and labels[term.key] in values
            case "NotIn":
                holds = labels.get(term.key) not in values
            case "Exists":
                holds = term.key in labels
            case "DoesNotExist":
                holds = term.key not in labels
            case _:
                holds = False
        if not holds:
            return False
    return True


def is_empty(selector: LabelSelector | None) -> bool:
    return selector is None or not (selector.match_labels or selector.match_expressions)


def lacks_of_peer(peer: NetworkPolicyPeer, policy: NetworkPolicy, other: Party) -> frozenset[Lack]:
    """What keeps a peer from being this party; nothing where it is."""
    if peer.ip_block is not None:
        lack = _lack_of_block(peer.ip_block, other)
        return frozenset({lack}) if lack else frozenset()
    if other.labels is None:
        return frozenset({Lack.ADDRESS})
    lacks = set()
    if peer.namespace_selector is None:
        if other.namespace != policy.metadata.namespace:
            lacks.add(Lack.NAMESPACE)
    elif not selects(peer.namespace_selector, {**other.namespace_labels, NAMESPACE_NAME: other.namespace}):
        lacks.add(Lack.NAMESPACE_LABELS)
    if not selects(peer.pod_selector, other.labels):
        lacks.add(Lack.POD_LABELS)
    if other.host_network:
        lacks.add(Lack.HOST_NETWORK)
    return frozenset(lacks)


def _lack_of_block(block: IPBlock, other: Party) -> Lack | None:
    if not other.addresses:
        return None
    inside = [address for address in other.addresses if holds(block.cidr, address)]
    if not inside:
        return Lack.ADDRESS
    left = [address for address in inside if not any(holds(cidr, address) for cidr in block.except_ or ())]
    return None if left else Lack.EXCEPT


def holds(cidr: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return False


def lack_of_port(port: NetworkPolicyPort, number: int, protocol: str, spec: PodSpec | None) -> Lack | None:
    """What keeps a rule's port from being this one; None where it is."""
    fits = (port.protocol or "TCP") == protocol
    if port.port is None:
        return None if fits else Lack.PROTOCOL
    if isinstance(port.port, str):
        named = numbers_of(port.port, port.protocol or "TCP", spec)
        if not named:
            return Lack.PORT_NAME
        is_covered = number in named
    else:
        is_covered = port.port <= number <= (port.end_port or port.port)
    return None if is_covered and fits else Lack.PROTOCOL if is_covered else Lack.PORT


def numbers_of(name: str, protocol: str, spec: PodSpec | None) -> set[int]:
    """What a port name stands for on the destination Pod."""
    return {
        declared.container_port
        for container in (serving_containers(spec) if spec else ())
        for declared in container.ports or ()
        if declared.name == name and declared.protocol == protocol
    }
