"""Does the load balancer do what its Service asks of it?

lb-bad-annotation
    An annotation of the load balancer is misspelt, has a value that nobody knows, or belongs to another cloud.
    Why it breaks      Controllers ignore what they do not know, without a word: a load balancer that was to be internal
                       faces the internet, or gets other subnets, another type, another address. spec.loadBalancerIP is
                       deprecated, and many controllers ignore it as well.
    Confirm by hand    kubectl -n {namespace} get service {name} -o yaml
    Fix                Write the annotation as the documentation of this cloud has it.
    Not a fault when   A chart carries the annotations of several clouds, this one's among them.

lb-source-ranges
    loadBalancerSourceRanges admits nobody who could come.
    Why it breaks      Only clients whose address lies in a range get in. Private addresses do not come from the
                       internet, and the ranges that documentation uses as examples come from nowhere.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.loadBalancerSourceRanges}'
    Fix                Write the ranges that clients come from as the load balancer sees them.
    Not a fault when   The ranges are public, or the load balancer is private as its clients are.

lb-stale-dns
    The DNS name that the Service asks for is not kept at its load balancer.
    Why it breaks      external-dns writes a record for the annotated host name. When it does not run, or is told
                       another target, the name keeps leading to an old address.
    Confirm by hand    dig +short NAME
                       kubectl -n {namespace} get service {name} -o wide
    Fix                Start external-dns, or remove the annotation that names another target.
    Not a fault when   A proxy or an address translation stands before the load balancer, at the named target.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from shlex import quote

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.entry.entrypoint import given_addresses
from svcdoctor.entry.loadbalancer import annotations_of, cloud_of, foreign, misspelt, misvalued, name_of
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, warn
from svcdoctor.indexes import those
from svcdoctor.objects import Pod
from svcdoctor.text import listing, patch_command, shorten

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "lb-bad-annotation": Code(Stage.ENTRY, settles=False),
        "lb-source-ranges": Code(Stage.ENTRY, settles=False),
        "lb-stale-dns": Code(Stage.ENTRY),
    },
    reads=("nodes", "pods"),
)
HOSTNAME = "external-dns.alpha.kubernetes.io/hostname"
TARGET = "external-dns.alpha.kubernetes.io/target"
# RFC 5737, 3849 and 2544: examples and benchmarks. Nobody has such an address.
EXAMPLES = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "198.18.0.0/15")
SHARED = ipaddress.ip_network("100.64.0.0/10")  # carriers and clouds
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def run(case: Case) -> Iterator[Finding]:
    if case.type != "LoadBalancer":
        return
    yield from _annotations(case)
    yield from _other_address(case)
    yield from _ranges(case)
    yield from _names(case)


# --- annotations ---------------------------------------------------------------------------------------------------


def _annotations(case: Case) -> Iterator[Finding]:
    annotations = annotations_of(case.service)
    annotate = f"kubectl -n {case.namespace} annotate service {case.name}"
    source = f"service/{case.name} .metadata.annotations"
    for key, meant in misspelt(annotations):
        value = annotations[key]
        yield warn(
            "lb-bad-annotation",
            case.subject,
            f"no controller knows the annotation {key}; {meant} is near",
            Evidence("annotation", f"{key}={shorten(value, 80)}", source),
            remedies=(Remedy("write it as it is known", f"{annotate} {key}- {quote(f'{meant}={value}')} --overwrite"),),
        )
    for key, value, allowed in misvalued(annotations):
        yield warn(
            "lb-bad-annotation",
            case.subject,
            f"the annotation {key} is {shorten(value, 60) or 'empty'}, which is none of {listing(allowed)}",
            Evidence("annotation", f"{key}={shorten(value, 80)}", source),
            remedies=(Remedy(f"set it to {' or '.join(allowed)}"),),
        )
    # Nodes are asked for only where an annotation of some cloud is there to be compared.
    if any(foreign(annotations, cloud) for cloud in ("aws", "azure", "gce")):
        cloud = cloud_of(case.or_without(case.nodes, {}).values())
        if found := foreign(annotations, cloud):
            key, other = found
            yield warn(
                "lb-bad-annotation",
                case.subject,
                f"the annotation {key} is for {other}, and the cluster is on {name_of(cloud)}, which ignores it",
                Evidence("annotation", f"{key}={shorten(annotations[key], 80)}", source),
                Evidence("cloud", cloud, "nodes .spec.providerID"),
                remedies=(Remedy(f"use the annotation of {name_of(cloud)} that means the same"),),
            )


def _other_address(case: Case) -> Iterator[Finding]:
    wanted, given = case.spec.load_balancer_ip, given_addresses(case.service)
    if wanted and given and all(_address(item) for item in given) and wanted not in given:
        yield warn(
            "lb-bad-annotation",
            case.subject,
            f"loadBalancerIP asks for {wanted}, and the load balancer was given {listing(given)}",
            Evidence("asks for", wanted, f"service/{case.name} .spec.loadBalancerIP"),
            Evidence("given", listing(given), f"service/{case.name} .status.loadBalancer"),
            remedies=(Remedy("ask by the annotation of the controller that gave it: the field is deprecated"),),
        )


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


# --- who is let in -------------------------------------------------------------------------------------------------


def _ranges(case: Case) -> Iterator[Finding]:
    written = case.spec.load_balancer_source_ranges or []
    networks = [network for item in written if (network := _network(item))]
    if not networks or len(networks) < len(written):
        return
    public = [item for item in map(_address, given_addresses(case.service)) if item and item.is_global]
    if all(_is_example(network) for network in networks):
        why = "nobody has such an address, they are examples from documentation"
    elif public and all(_is_private(network) for network in networks):
        why = f"private addresses do not come from the internet to {public[0]}"
    else:
        return
    patch = [{"op": "remove", "path": "/spec/loadBalancerSourceRanges"}]
    yield warn(
        "lb-source-ranges",
        case.subject,
        f"loadBalancerSourceRanges lets in only {listing(written)}: {why}",
        Evidence("ranges", listing(written, 5), f"service/{case.name} .spec.loadBalancerSourceRanges"),
        *([Evidence("address", str(public[0]), f"service/{case.name} .status.loadBalancer")] if public else []),
        remedies=(
            Remedy(
                "let everyone in, until the right ranges are known",
                patch_command(case.namespace, f"service {case.name}", patch),
            ),
        ),
    )


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None


def _is_example(network: Network) -> bool:
    return any(_lies_in(network, ipaddress.ip_network(example)) for example in EXAMPLES)


def _is_private(network: Network) -> bool:
    return (network.is_private or _lies_in(network, SHARED)) and network.prefixlen > 0


def _lies_in(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


# --- its name ------------------------------------------------------------------------------------------------------


def _names(case: Case) -> Iterator[Finding]:
    annotations = annotations_of(case.service)
    name, target = annotations.get(HOSTNAME, ""), annotations.get(TARGET, "")
    given = given_addresses(case.service)
    if not name or not given:
        return
    targets = [item.strip() for item in target.split(",") if item.strip()]
    if _elsewhere(targets, given):
        yield _other_target(case, name, targets, given)
        return
    writers = case.found_everywhere(NAME_WRITERS)
    if case.sees_all("pods") and not any(map(is_ready, writers)):
        yield _nobody_writes(case, name, writers)


def _elsewhere(targets: list[str], given: list[str]) -> bool:
    """Whether targets are other addresses than the given. Public ones before private are a proxy or a translation."""
    wanted, known = ([_address(item) for item in items] for items in (targets, given))
    if not targets or not all(wanted) or not all(known) or set(targets) & set(given):
        return False
    translated = any(item and item.is_global for item in wanted) and not any(item and item.is_global for item in known)
    return not translated


def _writes_names(pod: Pod) -> bool:
    return any("external-dns" in container.image.rpartition("/")[2] for container in pod.spec.containers or ())


NAME_WRITERS = those("pods that write names", "pods", _writes_names)


def _other_target(case: Case, name: str, targets: list[str], given: list[str]) -> Finding:
    return warn(
        "lb-stale-dns",
        case.subject,
        f"{name} is kept at {listing(targets)}, and the load balancer is at {listing(given)}",
        Evidence("target", listing(targets), f"service/{case.name} .metadata.annotations[{TARGET}]"),
        Evidence("given", listing(given), f"service/{case.name} .status.loadBalancer"),
        Evidence("otherwise", "a proxy may stand at the target", "nothing in the cluster would show it"),
        remedies=(
            Remedy(
                "let the name follow the load balancer",
                f"kubectl -n {case.namespace} annotate service {case.name} {TARGET}-",
            ),
        ),
        inferred=True,
    )


def _nobody_writes(case: Case, name: str, writers: list[Pod]) -> Finding:
    state = (
        f"none of its Pods is ready: {listing([pod.metadata.name for pod in writers])}"
        if writers
        else "it does not run"
    )
    return warn(
        "lb-stale-dns",
        case.subject,
        f"nobody keeps {name} at {listing(given_addresses(case.service))}: external-dns is asked to, and {state}",
        Evidence("name", name, f"service/{case.name} .metadata.annotations[{HOSTNAME}]"),
        Evidence("external-dns", "not ready" if writers else "no Pod", "pods in all namespaces, by image"),
        Evidence("otherwise", "it may run outside of the cluster", "the record itself was not looked up"),
        remedies=(Remedy("see where the name leads", f"dig +short {quote(name)}", changes_cluster=False),),
        inferred=True,
    )
