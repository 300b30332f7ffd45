"""What manifests alone can prove: of what they lack, and of what had to be made up, nothing is claimed.

A chart is mostly complete in itself, so a name that comes near to one that is there is taken for a slip; a name that
comes near to none may be one of the cluster's.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from svcdoctor.finding import Certainty, Finding, Remedy, Status

NOT_GIVEN = "not-given"  # the reason of a Gap: no manifest says what is there

# What a planned cluster gives out. Nothing real has these: they are kept for tests and examples (RFC 2544, RFC 3849),
# and the last is the highest of its range.
POD_ADDRESSES, POD_ADDRESSES_6 = "198.18.", "2001:db8:18::"
CLUSTER_ADDRESSES, CLUSTER_ADDRESSES_6 = "198.19.", "2001:db8:19::"
OUTER_ADDRESS = "10.255.255.254"
_ADDRESS = re.compile(r"198\.1[89]\.\d+\.\d+|2001:db8:1[89]::[0-9a-f]+|10\.255\.255\.254")

# Findings that something is not there, or not what is there. What an object of the manifests cannot do without is
# unknown then; of what is usually made by somebody else nothing is said.
_ABSENT = {
    "selector-no-workload": Status.UNKNOWN,
    "svc-no-selector-no-endpoints": Status.UNKNOWN,
    "svc-ignored-by-proxy": Status.UNKNOWN,
    "ingress-backend-service-missing": Status.UNKNOWN,
    "gw-backend-unresolved": Status.UNKNOWN,
    "gw-route-not-accepted": Status.UNKNOWN,
    "extname-internal-target-missing": Status.UNKNOWN,
    "svc-missing": Status.SKIP,
    "ingress-class-missing": Status.SKIP,
    "ingress-no-controller": Status.SKIP,
    "ingress-tls-secret": Status.SKIP,
    "netpol-ns-label-missing": Status.SKIP,
    "rdep-kubernetes-svc": Status.SKIP,
    "svc-externalips": Status.SKIP,
    "dns-policy-none-bad-nameserver": Status.SKIP,
}
# Of these codes only those findings that carry this evidence speak of something that is not there.
_ONLY_WITH = {
    "gw-backend-unresolved": ("nearest",),
    "gw-route-not-accepted": ("Gateways",),
    "extname-internal-target-missing": ("Services there",),
}
# Where a selector misses a workload that only might be meant.
_NEAR_MISSES = ("selector-value-mismatch", "selector-key-mismatch", "selector-extra-label")
LOOK = Remedy("see what the cluster has: add --with-cluster", changes_cluster=False)


def is_assumed(address: str) -> bool:
    """Whether an address was made up for a planned cluster."""
    return _ADDRESS.fullmatch(address) is not None


def in_manifests(finding: Finding) -> Finding:
    """The finding as far as manifests prove it."""
    status = Status.SKIP if _rests_on_an_assumed_address(finding) else _status(finding)
    finding = _without_addresses(finding)
    if finding.is_fault and status is Status.SKIP:
        return silenced(finding)
    if finding.is_fault and status is Status.UNKNOWN:
        message = f"{finding.message}; that is as far as these manifests tell"
        return replace(finding, status=status, message=message, remedies=(LOOK,), because=None)
    return finding


def _status(finding: Finding) -> Status:
    code, evidence = finding.code or "", {item.label: item.value for item in finding.evidence}
    if not finding.is_fault:
        return finding.status
    if code in _NEAR_MISSES and finding.certainty is Certainty.INFERRED:
        return Status.UNKNOWN
    if code not in _ABSENT or not all(label in evidence for label in _ONLY_WITH.get(code, ())):
        return finding.status
    is_near = evidence.get("nearest", "none") != "none" or "without a Service" in evidence
    return finding.status if is_near else _ABSENT[code]


def _rests_on_an_assumed_address(finding: Finding) -> bool:
    said = (finding.message, *(item.value for item in finding.evidence))
    return any(address in text for text in said for address in (POD_ADDRESSES, POD_ADDRESSES_6, OUTER_ADDRESS))


def _without_addresses(finding: Finding) -> Finding:
    """That a Service gets a ClusterIP is certain; which one is not."""
    evidence = tuple(replace(item, value=_ADDRESS.sub("<assigned>", item.value)) for item in finding.evidence)
    return replace(finding, message=_ADDRESS.sub("<assigned>", finding.message), evidence=evidence)


def silenced(finding: Finding) -> Finding:
    """Nothing is claimed; what was looked at stays told."""
    return replace(finding, status=Status.SKIP, code=None, remedies=(), because=None)
