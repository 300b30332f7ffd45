"""Can clients outside of the cluster reach it as its author expects?

svc-externalips
    The Service claims external addresses that no node has.
    Why it breaks      Proxies accept requests for an address in spec.externalIPs, but nothing brings them to a node:
                       that is up to the network. Inside the cluster the proxy sends whatever is meant for that address
                       to this Service, wherever it belongs (CVE-2020-8554). The field is deprecated since 1.36.
    Confirm by hand    kubectl get nodes -o wide; kubectl -n {namespace} get service {name} -o wide
    Fix                Remove the addresses; use type LoadBalancer, an Ingress or a Gateway.
    Not a fault when   The addresses are those of nodes, or a router sends them to nodes.

svc-type-internal-only
    The Service is meant for clients outside, and only Pods can reach it.
    Why it breaks      A ClusterIP exists on the nodes alone, and the names of cluster DNS resolve nowhere else: it
                       works in the cluster, and not from a laptop.
    Confirm by hand    kubectl -n {namespace} get service,ingress
    Fix                Lead an Ingress or a Route to it, or make it type LoadBalancer.
    Not a fault when   Only Pods are to use it. Said only where an annotation or the name says otherwise, and no Ingress
                       or Route of its namespace leads to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note, warn
from svcdoctor.text import listing, patch_command

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "svc-externalips": Code(Stage.ENTRY, settles=False),
        "svc-type-internal-only": Code(Stage.ENTRY, settles=False),
    },
    reads=("nodes", "services", "ingresses", "httproutes", "grpcroutes", "tlsroutes"),
)
MEANT_OUTSIDE = re.compile(r"(?:^|-)(?:public|external|internet|www|edge)(?:-|$)")
# What only somebody writes who wants a load balancer or a public name.
OUTSIDE_ANNOTATIONS = (
    "external-dns.alpha.kubernetes.io/hostname",
    "service.beta.kubernetes.io/aws-load-balancer-",
    "service.beta.kubernetes.io/azure-load-balancer-",
    "service.beta.kubernetes.io/azure-dns-label-name",
    "networking.gke.io/load-balancer-",
    "cloud.google.com/load-balancer-",
    "load-balancer.hetzner.cloud/",
    "service.beta.kubernetes.io/do-loadbalancer-",
    "metallb.universe.tf/",
    "metallb.io/",
)


def run(case: Case) -> Iterator[Finding]:
    if case.spec.external_ips:
        yield from _external_addresses(case, case.spec.external_ips)
    elif case.type == "ClusterIP" and case.cluster_ips and (sign := _meant_outside(case)):
        yield from _internal(case, sign)


def _external_addresses(case: Case, addresses: list[str]) -> Iterator[Finding]:
    taken = [
        f"{other.metadata.namespace}/{other.metadata.name}"
        for address in addresses
        for other in case.services_at(address)
    ]
    # No node has the ClusterIP of another Service; of other addresses nodes have to be seen.
    nodes = case.or_without(case.nodes, None) if taken else case.nodes()
    owned = {address.address for node in (nodes or {}).values() for address in node.status.addresses or ()}
    foreign = [address for address in addresses if address not in owned]
    if not foreign:
        return
    victims = [
        Evidence("taken from", f"{name} has it as its ClusterIP", "services of all namespaces") for name in taken
    ]
    kept = [address for address in addresses if address in owned]
    said = "no node has it" if len(foreign) == 1 else "no node has them"
    doubt = "a router may send it to a node" if nodes is not None else "a node may have it: nodes may not be read"
    yield warn(
        "svc-externalips",
        case.subject,
        f"claims external IP {listing(foreign)}"
        + (f", and {said}" if nodes is not None else "")
        + (f"; it is the ClusterIP of {listing(taken)}" if taken else ""),
        Evidence("externalIPs", listing(addresses), f"service/{case.name} .spec.externalIPs"),
        Evidence(
            "nodes",
            listing(sorted(owned)) or ("not read" if nodes is None else "no addresses"),
            "nodes .status.addresses",
        ),
        *victims,
        Evidence("otherwise", doubt, "the network outside of the cluster"),
        remedies=(
            Remedy(
                "give the address up",
                patch_command(case.namespace, f"service {case.name}", {"spec": {"externalIPs": kept or None}}),
            ),
        ),
        inferred=True,
    )


def _internal(case: Case, sign: Evidence) -> Iterator[Finding]:
    if case.or_without(lambda: case.entries, [None]):
        return
    yield note(
        "svc-type-internal-only",
        case.subject,
        f"only Pods can reach it: type ClusterIP, and no Ingress or Route of the namespace leads here; "
        f"{sign.value} says that it is meant for clients outside",
        sign,
        Evidence("type", "ClusterIP", f"service/{case.name} .spec.type"),
    )


def _meant_outside(case: Case) -> Evidence | None:
    for key in sorted(case.service.metadata.annotations or ()):
        if key.startswith(OUTSIDE_ANNOTATIONS):
            return Evidence("meant for outside", f"annotation {key}", f"service/{case.name} .metadata.annotations")
    if MEANT_OUTSIDE.search(case.name):
        return Evidence("meant for outside", f"the name {case.name}", f"service/{case.name} .metadata.name")
    return None
