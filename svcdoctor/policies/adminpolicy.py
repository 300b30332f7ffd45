"""What policies above NetworkPolicy say of a Pod: those of policy.networking.k8s.io judged, those of plugins named.

AdminNetworkPolicy and the Admin tier of ClusterNetworkPolicy are asked before NetworkPolicies, in the order of their
priority; BaselineAdminNetworkPolicy and the Baseline tier only for Pods that no NetworkPolicy isolates. The first rule
that fits decides. Cilium's and Calico's own kinds are only asked whom they select.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from svcdoctor.objects import CustomObject, LabelSelector
from svcdoctor.policies.calicoselector import holds_selector
from svcdoctor.policies.policy import NAMESPACE_NAME, Direction, Party, holds, numbers_of, selects

ADMIN_KINDS = {
    "adminnetworkpolicies": "AdminNetworkPolicy",
    "baselineadminnetworkpolicies": "BaselineAdminNetworkPolicy",
    "clusternetworkpolicies": "ClusterNetworkPolicy",
}
# Those whose policies may admit what a NetworkPolicy refuses.
ADMITTING_KINDS = ("adminnetworkpolicies", "clusternetworkpolicies")
PLUGIN_KINDS = {
    "ciliumnetworkpolicies": "CiliumNetworkPolicy",
    "ciliumclusterwidenetworkpolicies": "CiliumClusterwideNetworkPolicy",
    "globalnetworkpolicies": "GlobalNetworkPolicy",
    "globalnetworkpolicies.projectcalico.org": "GlobalNetworkPolicy",
    "networkpolicies.crd.projectcalico.org": "Calico NetworkPolicy",
    "networkpolicies.projectcalico.org": "Calico NetworkPolicy",
}
OTHER_KINDS = (*ADMIN_KINDS, *PLUGIN_KINDS)  # what else than a NetworkPolicy decides
# Calico's API shows the policies of Kubernetes among its own, under such names: those are judged as what they are.
_COPIED = ("knp.", "kanp.", "kbanp.", "kcnp.")


class AdminRule(NamedTuple):
    """A rule of an admin policy that decides a connection."""

    kind: str
    policy: CustomObject
    direction: Direction
    place: int
    action: str  # Allow, Accept or Deny
    name: str

    @property
    def denies(self) -> bool:
        return self.action == "Deny"

    @property
    def source(self) -> str:
        return f"{self.kind.lower()}/{self.policy.metadata.name} .spec.{self.direction.lower()}[{self.place}]"


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def is_baseline(kind: str, policy: CustomObject) -> bool:
    return kind == "BaselineAdminNetworkPolicy" or (policy.spec or {}).get("tier") == "Baseline"


def in_order(policies: Iterable[tuple[str, CustomObject]]) -> list[tuple[str, CustomObject]]:
    """The lower the priority's number, the sooner it is asked."""

    def order(entry: tuple[str, CustomObject]) -> tuple[bool, int, str]:
        kind, policy = entry
        priority = (policy.spec or {}).get("priority")
        return is_baseline(kind, policy), priority if isinstance(priority, int) else 0, policy.metadata.name

    return sorted(policies, key=order)


def deciding(
    policies: Iterable[tuple[str, CustomObject]],
    direction: Direction,
    own: Party,
    other: Party | None,
    number: int,
    protocol: str,
    isolated: bool,
) -> AdminRule | None:
    """The rule that decides a connection of `own`, the subject of policies that are in order; the port is always the
    destination's. None leaves it to NetworkPolicies, of which some may have isolated `own` in this direction.

    Without an `other`: the rule that decides for everybody, where no rule before it lets some of them through.
    """
    passed = False
    for kind, policy in policies:
        is_base = is_baseline(kind, policy)
        if (passed and not is_base) or (isolated and is_base):
            continue
        spec = policy.spec or {}
        if not _is_peer(mapping(spec.get("subject")), own):
            continue
        for index, rule in enumerate(items(spec.get(direction.lower()))):
            if not _is_for(rule, number, protocol, own if direction is Direction.INGRESS else other):
                continue
            action = str(rule.get("action", ""))
            if not _is_with(items(rule.get("from" if direction is Direction.INGRESS else "to")), other):
                if other is None and action != "Deny":
                    return None
                continue
            if action == "Pass":
                passed = True
                break
            return AdminRule(kind, policy, direction, index, action, str(rule.get("name") or ""))
    return None


def lets_somebody_in(policies: Iterable[tuple[str, CustomObject]], own: Party, number: int, protocol: str) -> bool:
    """Whether the policies that are asked before NetworkPolicies, in order, let anybody in to a port of `own`."""
    for kind, policy in policies:
        spec = policy.spec or {}
        if is_baseline(kind, policy) or not _is_peer(mapping(spec.get("subject")), own):
            continue
        for rule in items(spec.get("ingress")):
            peers = items(rule.get("from"))
            if not peers or not _is_for(rule, number, protocol, own):
                continue
            if rule.get("action") in ("Allow", "Accept"):
                return True
            if _is_with(peers, None):  # nobody is left whom a later rule could let in
                return False
    return False


def _selector(value: Any) -> LabelSelector | None:
    try:
        return msgspec.convert(value or {}, LabelSelector)
    except msgspec.ValidationError:
        return None


def _is_peer(peer: Mapping[str, Any], party: Party) -> bool:
    if "namespaces" not in peer and "pods" not in peer:
        networks = peer.get("networks")
        return isinstance(networks, list) and any(
            holds(str(network), address) for network in networks for address in party.addresses
        )
    if party.labels is None or party.host_network:
        return False
    labels = {**party.namespace_labels, NAMESPACE_NAME: party.namespace}
    if "namespaces" in peer:
        selector = _selector(peer["namespaces"])
        return selector is not None and selects(selector, labels)
    pods = mapping(peer["pods"])
    places, own = _selector(pods.get("namespaceSelector")), _selector(pods.get("podSelector"))
    return bool(places and own) and selects(places, labels) and selects(own, party.labels)


def _is_with(peers: list[Mapping[str, Any]], other: Party | None) -> bool:
    if other is not None:
        return any(_is_peer(peer, other) for peer in peers)
    return any("namespaces" in peer and not mapping(peer["namespaces"]) for peer in peers)


def _is_for(rule: Mapping[str, Any], number: int, protocol: str, destination: Party | None) -> bool:
    """Whether a rule is for the port: as `ports` of v1alpha1 say it, or `protocols` of v1alpha2. None is all."""
    ports = [*items(rule.get("ports")), *items(rule.get("protocols"))]
    return not ports or any(_holds_port(port, number, protocol, destination) for port in ports)


def _holds_port(port: Mapping[str, Any], number: int, protocol: str, destination: Party | None) -> bool:
    if "portNumber" in port:
        one = mapping(port["portNumber"])
        return bool(one.get("port") == number and one.get("protocol", "TCP") == protocol)
    if "portRange" in port:
        span = mapping(port["portRange"])
        return span.get("protocol", "TCP") == protocol and bool(span.get("start", 0) <= number <= span.get("end", 0))
    if "namedPort" in port or "destinationNamedPort" in port:
        wanted = port.get("namedPort") or port.get("destinationNamedPort")
        return number in numbers_of(str(wanted), protocol, destination.spec if destination else None)
    own = mapping(port.get(protocol.lower()))
    wanted_port = mapping(own.get("destinationPort"))
    if "number" in wanted_port:
        return bool(wanted_port["number"] == number)
    span = mapping(wanted_port.get("range"))
    if span:
        return bool(span.get("start", 0) <= number <= span.get("end", 0))
    return protocol.lower() in port


# --- the kinds of plugins ------------------------------------------------------------------------------------------


def selects_for(direction: Direction, kind: str, policy: CustomObject, party: Party) -> bool:
    """Whether a policy of Cilium or Calico selects a Pod, and may hold back what it gets, or sends."""
    if party.host_network or party.labels is None or policy.metadata.namespace not in ("", party.namespace):
        return False
    if kind.startswith("Cilium"):
        return any(_is_held_by_cilium(direction, spec, party) for spec in (policy.spec or {}, *items(policy.specs)))
    return not policy.metadata.name.startswith(_COPIED) and _is_held_by_calico(direction, policy.spec or {}, party)


def _is_held_by_calico(direction: Direction, spec: Mapping[str, Any], party: Party) -> bool:
    types = spec.get("types") or [item for item in Direction if item.lower() in spec] or [Direction.INGRESS]
    labels = {**(party.labels or {}), "projectcalico.org/namespace": party.namespace}
    return (
        direction in types
        and holds_selector(str(spec.get("selector") or ""), labels)
        and holds_selector(str(spec.get("namespaceSelector") or ""), party.namespace_labels)
    )


def _is_held_by_cilium(direction: Direction, spec: Mapping[str, Any], party: Party) -> bool:
    own = direction.lower()
    if (own not in spec and f"{own}Deny" not in spec) or "endpointSelector" not in spec:
        return False
    written = mapping(spec["endpointSelector"])
    terms = [{**term, "key": _plain(str(term.get("key")))} for term in items(written.get("matchExpressions"))]
    wanted = {_plain(key): value for key, value in mapping(written.get("matchLabels")).items()}
    selector = _selector({"matchLabels": wanted, "matchExpressions": terms})
    spaces = {f"io.cilium.k8s.namespace.labels.{key}": value for key, value in party.namespace_labels.items()}
    return selector is not None and selects(
        selector, {**(party.labels or {}), **spaces, "io.kubernetes.pod.namespace": party.namespace}
    )


def _plain(key: str) -> str:
    """A label's key without the source that Cilium writes before it."""
    return re.sub(r"^(k8s|any)[:.]", "", key)
