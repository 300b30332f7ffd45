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
from svcdoctor.policy import NAMESPACE_NAME, Party, holds, selects

ADMIN_KINDS = {
    "adminnetworkpolicies": "AdminNetworkPolicy",
    "baselineadminnetworkpolicies": "BaselineAdminNetworkPolicy",
    "clusternetworkpolicies": "ClusterNetworkPolicy",
}
PLUGIN_KINDS = {
    "ciliumnetworkpolicies": "CiliumNetworkPolicy",
    "ciliumclusterwidenetworkpolicies": "CiliumClusterwideNetworkPolicy",
    "globalnetworkpolicies": "GlobalNetworkPolicy",
}


class AdminRule(NamedTuple):
    """A rule of an admin policy that decides a connection."""

    kind: str
    policy: CustomObject
    place: int
    action: str  # Allow, Accept, Deny or Pass
    name: str

    @property
    def source(self) -> str:
        return f"{self.kind.lower()}/{self.policy.metadata.name} .spec.ingress[{self.place}]"


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
    policies: Iterable[tuple[str, CustomObject]], destination: Party, source: Party | None, number: int, protocol: str
) -> AdminRule | None:
    """The first rule that fits a connection from the source, or from anybody (None: only rules for everybody fit)."""
    for kind, policy in policies:
        spec = policy.spec or {}
        if not _is_subject(mapping(spec.get("subject")), destination):
            continue
        for index, rule in enumerate(items(spec.get("ingress"))):
            if _is_from(items(rule.get("from")), source) and _is_for(rule, number, protocol, destination):
                return AdminRule(kind, policy, index, str(rule.get("action", "")), str(rule.get("name") or ""))
    return None


def _selector(value: Any) -> LabelSelector | None:
    try:
        return msgspec.convert(value or {}, LabelSelector)
    except msgspec.ValidationError:
        return None


def _is_subject(subject: Mapping[str, Any], party: Party) -> bool:
    return not party.host_network and _is_peer(subject, party)


def _is_peer(peer: Mapping[str, Any], party: Party) -> bool:
    labels = {**party.namespace_labels, NAMESPACE_NAME: party.namespace}
    if "namespaces" in peer:
        selector = _selector(peer["namespaces"])
        return selector is not None and selects(selector, labels)
    if "pods" in peer:
        pods = mapping(peer["pods"])
        places, own = _selector(pods.get("namespaceSelector")), _selector(pods.get("podSelector"))
        return bool(places and own) and selects(places, labels) and selects(own, party.labels or {})
    networks = peer.get("networks")
    return isinstance(networks, list) and any(
        holds(str(network), address) for network in networks for address in party.addresses
    )


def _is_from(peers: list[Mapping[str, Any]], source: Party | None) -> bool:
    if source is not None:
        return any(_is_peer(peer, source) for peer in peers)
    return any("namespaces" in peer and not mapping(peer["namespaces"]) for peer in peers)


def _is_for(rule: Mapping[str, Any], number: int, protocol: str, destination: Party) -> bool:
    """Whether a rule is for the port: as `ports` of v1alpha1 say it, or `protocols` of v1alpha2. None is all."""
    ports = [*items(rule.get("ports")), *items(rule.get("protocols"))]
    return not ports or any(_holds_port(port, number, protocol, destination) for port in ports)


def _holds_port(port: Mapping[str, Any], number: int, protocol: str, destination: Party) -> bool:
    if "portNumber" in port:
        one = mapping(port["portNumber"])
        return bool(one.get("port") == number and one.get("protocol", "TCP") == protocol)
    if "portRange" in port:
        span = mapping(port["portRange"])
        return span.get("protocol", "TCP") == protocol and bool(span.get("start", 0) <= number <= span.get("end", 0))
    if "namedPort" in port or "destinationNamedPort" in port:
        wanted = port.get("namedPort") or port.get("destinationNamedPort")
        containers = (destination.spec.containers if destination.spec else None) or ()
        return any(
            item.name == wanted and item.container_port == number for one in containers for item in one.ports or ()
        )
    own = mapping(port.get(protocol.lower()))
    wanted_port = mapping(own.get("destinationPort"))
    if "number" in wanted_port:
        return bool(wanted_port["number"] == number)
    span = mapping(wanted_port.get("range"))
    if span:
        return bool(span.get("start", 0) <= number <= span.get("end", 0))
    return protocol.lower() in port


# --- the kinds of plugins ------------------------------------------------------------------------------------------

_EQUALS = re.compile(r"""\s*([\w./-]+)\s*==\s*['"]([^'"]*)['"]\s*""")
_HAS = re.compile(r"\s*has\(\s*([\w./-]+)\s*\)\s*")


def selects_for_ingress(kind: str, policy: CustomObject, party: Party) -> bool:
    """Whether a policy of Cilium or Calico surely selects a Pod, and may hold back what comes in."""
    spec = policy.spec or {}
    if party.host_network or party.labels is None:
        return False
    if kind == "GlobalNetworkPolicy":
        types = spec.get("types") or (["Ingress"] if "ingress" in spec or "egress" not in spec else ["Egress"])
        own, places = str(spec.get("selector") or "all()"), str(spec.get("namespaceSelector") or "all()")
        labels = {**party.labels, "projectcalico.org/namespace": party.namespace}
        return "Ingress" in types and _holds(own, labels) and _holds(places, party.namespace_labels)
    if "ingress" not in spec and "ingressDeny" not in spec:
        return False
    if "endpointSelector" not in spec or policy.metadata.namespace not in ("", party.namespace):
        return False
    selector = mapping(spec["endpointSelector"])
    if selector.get("matchExpressions"):
        return False
    wanted = {_plain(key): value for key, value in mapping(selector.get("matchLabels")).items()}
    labels = {**party.labels, "io.kubernetes.pod.namespace": party.namespace}
    return all(labels.get(key) == value for key, value in wanted.items())


def _plain(key: str) -> str:
    """A label's key without the source that Cilium writes before it."""
    return re.sub(r"^(k8s|any)[:.]", "", key)


def _holds(selector: str, labels: Mapping[str, str]) -> bool:
    """A selector of Calico's, as far as it is a conjunction of `key == 'value'`, `has(key)` and `all()`."""
    for term in selector.split("&&"):
        if term.strip() in ("all()", ""):
            continue
        if equal := _EQUALS.fullmatch(term):
            if labels.get(equal[1]) != equal[2]:
                return False
        elif has := _HAS.fullmatch(term):
            if has[1] not in labels:
                return False
        else:
            return False
    return True
