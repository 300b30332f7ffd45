"""Load balancers as Services ask for them: who hands addresses out, which cloud this is, and what annotations mean.

Every cloud and every controller has annotations of its own. The tables hold those that decide where a load balancer
stands and whom it serves; an annotation that is not here is nobody's mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from svcdoctor.objects import Event, Node, Pod, Service
from svcdoctor.text import edit_distance

PROVIDERS = re.compile(
    r"metallb|cloud-controller-manager|cloud-provider|kube-vip|svclb-|klipper-lb|openelb|purelb|load-?balancer-controller"
)
# Who writes events on any Service, and assigns no addresses.
_OTHER_SOURCES = re.compile(r"endpoint|allocator|repair|^svcdoctor$")
_DONE = ("EnsuredLoadBalancer", "UpdatedLoadBalancer", "IPAllocated", "SuccessfullyReconciled")
_CILIUM_REQUEST = "cilium.io/IPAMRequestSatisfied"
# Those that lead to Pods, or to every port of a node, and so need no node port.
WITHOUT_NODE_PORTS = re.compile(r"metallb|kube-vip|openelb|purelb|cilium|loxilb")
# Clouds, by the scheme of nodes' providerID, whose load balancers send to node ports.
TO_NODE_PORTS = frozenset(
    {"aws", "digitalocean", "linode", "vultr", "hcloud", "openstack", "oci", "scaleway", "ibm", "kind"}
)

_BETA = "service.beta.kubernetes.io/"
_AWS = (
    "access-log-emit-interval access-log-enabled access-log-s3-bucket-name access-log-s3-bucket-prefix"
    " additional-resource-tags alpn-policy attributes backend-protocol connection-draining-enabled"
    " connection-draining-timeout connection-idle-timeout cross-zone-load-balancing-enabled eip-allocations"
    " extra-security-groups healthcheck-healthy-threshold healthcheck-interval healthcheck-path healthcheck-port"
    " healthcheck-protocol healthcheck-success-codes healthcheck-timeout healthcheck-unhealthy-threshold internal"
    " ip-address-type ipv6-addresses manage-backend-security-group-rules name nlb-target-type private-ipv4-addresses"
    " proxy-protocol scheme security-groups ssl-cert ssl-negotiation-policy ssl-ports subnets target-group-attributes"
    " target-node-labels type"
)
_AZURE = (
    "load-balancer-internal load-balancer-internal-subnet load-balancer-mode load-balancer-resource-group"
    " load-balancer-tcp-idle-timeout load-balancer-ipv4 load-balancer-ipv6 load-balancer-health-probe-interval"
    " load-balancer-health-probe-num-of-probe load-balancer-health-probe-protocol"
    " load-balancer-health-probe-request-path load-balancer-disable-tcp-reset"
    " load-balancer-enable-high-availability-ports load-balancer-configurations dns-label-name allowed-service-tags"
    " allowed-ip-ranges additional-public-ips pip-name pip-name-ipv6 pip-prefix-id pip-tags pip-ip-tags pls-create"
)
_GOOGLE = (
    "networking.gke.io/load-balancer-type cloud.google.com/load-balancer-type cloud.google.com/network-tier"
    " networking.gke.io/internal-load-balancer-allow-global-access networking.gke.io/internal-load-balancer-subnet"
    " networking.gke.io/load-balancer-ip-addresses cloud.google.com/l4-rbs cloud.google.com/neg"
    " cloud.google.com/backend-config cloud.google.com/app-protocols"
)
_METALLB = ("address-pool", "loadBalancerIPs", "allow-shared-ip")
KNOWN = {
    **{f"{_BETA}aws-load-balancer-{word}": "aws" for word in _AWS.split()},
    **{f"{_BETA}azure-{word}": "azure" for word in _AZURE.split()},
    **{word: "gce" for word in _GOOGLE.split()},
    **{f"{domain}/{word}": "metallb" for domain in ("metallb.io", "metallb.universe.tf") for word in _METALLB},
    f"{_BETA}load-balancer-source-ranges": "",
}
_NAMES = {"aws": "AWS", "azure": "Azure", "gce": "Google Cloud"}
# Annotations that decide who reaches the load balancer at all.
_DECISIVE = re.compile(r"internal|scheme|subnet|type|source-ranges|ssl-cert|proxy-protocol|ipv4|ipv6|address|eip|pip")
_VALUES = {
    f"{_BETA}aws-load-balancer-scheme": ("internal", "internet-facing"),
    f"{_BETA}aws-load-balancer-nlb-target-type": ("instance", "ip"),
    f"{_BETA}azure-load-balancer-internal": ("true", "false"),
}
SHARING_KEYS = (
    "metallb.io/allow-shared-ip",
    "metallb.universe.tf/allow-shared-ip",
    "lbipam.cilium.io/sharing-key",
    "io.cilium/lb-ipam-sharing-key",
)
_WANTED_ADDRESSES = (
    "metallb.io/loadBalancerIPs",
    "metallb.universe.tf/loadBalancerIPs",
    "kube-vip.io/loadbalancerIPs",
    "lbipam.cilium.io/ips",
    "io.cilium/lb-ipam-ips",
)


def provides(pod: Pod) -> bool:
    """Whether a Pod looks like one of a controller that hands out addresses."""
    return any(PROVIDERS.search(word) for word in words_of(pod))


def words_of(pod: Pod) -> list[str]:
    return [pod.metadata.name, *(pod.metadata.labels or {}).values()]


class Complaint(NamedTuple):
    reason: str
    message: str
    source: str


def said_by_controllers(events: Sequence[Event]) -> list[Event]:
    """Of the events about a Service, those that a load-balancer controller wrote."""
    return [
        event for event in events if not _OTHER_SOURCES.search((event.source.component if event.source else None) or "")
    ]


def complaint(service: Service, said: Sequence[Event]) -> Complaint | None:
    """What a controller last complained of, in the status or in events, oldest first; None where it is done."""
    name = f"service/{service.metadata.name}"
    for condition in (service.status.conditions if service.status else None) or ():
        if condition.type == _CILIUM_REQUEST and condition.status == "False":
            return Complaint(condition.reason or "", condition.message or "", f"{name} .status.conditions")
    for event in reversed(said):
        if event.reason in _DONE:
            return None
        if event.type == "Warning":
            return Complaint(event.reason or "", event.message or "", f"events about {name}")
    return None


def cloud_of(nodes: Iterable[Node]) -> str:
    """The cloud that the nodes belong to, as their providerID says it (`aws`, `gce`, `kind`); "" where none does."""
    return next((item.spec.provider_id.partition("://")[0] for item in nodes if item.spec.provider_id), "")


def annotations_of(service: Service) -> dict[str, str]:
    return service.metadata.annotations or {}


def wanted_addresses(service: Service) -> list[str]:
    """The addresses that a Service asks for by name."""
    written = [
        service.spec.load_balancer_ip or "",
        *(annotations_of(service).get(key, "") for key in _WANTED_ADDRESSES),
    ]
    return [address.strip() for text in written for address in text.split(",") if address.strip()]


def sharing_key(service: Service) -> str:
    annotations = annotations_of(service)
    return next((annotations[key] for key in SHARING_KEYS if annotations.get(key)), "")


def misspelt(annotations: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Annotations that nobody knows, each with the one that it was meant to be."""
    for key in annotations:
        if key in KNOWN or "/" not in key:
            continue
        word = key.rpartition("/")[2]
        near = [known for known in KNOWN if edit_distance(key, known) <= 2]
        # The right name under another domain, such as service.kubernetes.io.
        near += [known for known in KNOWN if known == _BETA + word and key.endswith("kubernetes.io/" + word)]
        if near:
            yield key, near[0]


def misvalued(annotations: dict[str, str]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Annotations with a value that their cloud does not know: key, value, what it may be."""
    for key, allowed in _VALUES.items():
        if annotations.get(key, allowed[0]).lower() not in allowed:
            yield key, annotations[key], allowed


def foreign(annotations: dict[str, str], cloud: str) -> tuple[str, str] | None:
    """A decisive annotation of another cloud and that cloud, where the Service has none for this one."""
    if cloud not in _NAMES or any(KNOWN.get(key) == cloud for key in annotations):
        return None
    return next(
        (
            (key, _NAMES[KNOWN[key]])
            for key in sorted(annotations)
            if KNOWN.get(key) in _NAMES and _DECISIVE.search(key)
        ),
        None,
    )


def name_of(cloud: str) -> str:
    return _NAMES.get(cloud, cloud)
