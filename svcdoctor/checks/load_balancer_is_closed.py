"""Is a load balancer open to more clients than it is meant for?

sec-lb-open-world
    A load balancer lets everyone on the internet connect to a port that is no web port.
    Why it breaks      Without loadBalancerSourceRanges the cloud's firewall lets 0.0.0.0/0 in, day and night, scanners
                       first.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.loadBalancerSourceRanges}'
    Fix                Name the networks that may connect in loadBalancerSourceRanges, or ask for an internal one.
    Not a fault when   It serves the web (80, 443, 8080, 8443), has a private address, or an ingress controller is
                       behind it.

sec-internal-annotation-missing
    The Service is called internal, and its load balancer has a public address.
    Why it breaks      Clouds make a load balancer public unless an annotation of their own asks for an internal one;
                       the name of the Service means nothing to them.
    Confirm by hand    kubectl -n {namespace} get service {name} -o wide
    Fix                Add the annotation of your cloud. Most take it only when the Service is created.
    Not a fault when   The address is private, or the sources are limited.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import given_addresses
from svcdoctor.entry.exposure import closed, is_private
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, warn
from svcdoctor.text import listing, patch_command

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "sec-internal-annotation-missing": Code(Stage.ENTRY, settles=False),
        "sec-lb-open-world": Code(Stage.ENTRY, settles=False),
    },
    reads=(),
)
WEB_PORTS = (80, 443, 8080, 8443)
INTERNAL_NAME = re.compile(r"(?:^|-)(?:internal|private|intern|intranet)(?:-|$)")
# What each cloud wants to hear.
CLOUDS = {
    "AWS": ("service.beta.kubernetes.io/aws-load-balancer-scheme", "internal"),
    "Azure": ("service.beta.kubernetes.io/azure-load-balancer-internal", "true"),
    "GKE": ("networking.gke.io/load-balancer-type", "Internal"),
}


def run(case: Case) -> Iterator[Finding]:
    addresses = given_addresses(case.service)
    if case.type != "LoadBalancer" or not addresses or closed(case.service, addresses):
        return
    public = [address for address in addresses if not is_private(address)]
    internal = INTERNAL_NAME.search(case.name)
    if internal:
        yield _public_after_all(case, public)
    other = [f"{port.port}/{port.protocol}" for port in case.ports if port.port not in WEB_PORTS]
    if other and not case.is_entry_point:
        yield _open(case, public, other)


def _public_after_all(case: Case, public: list[str]) -> Finding:
    is_aws = any("amazonaws" in name for name in public)
    return warn(
        "sec-internal-annotation-missing",
        case.subject,
        f"called {case.name}, but its load balancer has the public address {listing(public)}",
        Evidence("address", listing(public), f"service/{case.name} .status.loadBalancer.ingress"),
        Evidence("asked for", "no annotation of a cloud says internal", f"service/{case.name} .metadata.annotations"),
        remedies=tuple(
            Remedy(
                f"ask for an internal one ({cloud})",
                f"kubectl -n {case.namespace} annotate service {case.name} {key}={value}",
            )
            for cloud, (key, value) in CLOUDS.items()
            if cloud == "AWS" or not is_aws
        ),
    )


def _open(case: Case, public: list[str], ports: list[str]) -> Finding:
    patch = {"spec": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}}
    return warn(
        "sec-lb-open-world",
        case.subject,
        f"everyone may connect to {listing(ports)} at {listing(public)}: the load balancer does not limit its clients",
        Evidence("source ranges", "<none>", f"service/{case.name} .spec.loadBalancerSourceRanges"),
        Evidence("address", listing(public), f"service/{case.name} .status.loadBalancer.ingress"),
        remedies=(
            Remedy(
                "let only certain addresses in (10.0.0.0/8 is an example)",
                patch_command(case.namespace, f"service {case.name}", patch),
            ),
        ),
        because="sec-internal-annotation-missing" if INTERNAL_NAME.search(case.name) else "sec-db-public",
    )
