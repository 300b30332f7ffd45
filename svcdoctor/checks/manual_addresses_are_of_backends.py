"""Do addresses written by hand lead to something that answers?

slice-manual-bad-address
    An address in a slice that somebody wrote is no backend: a ClusterIP, the address of a Pod that is gone or of
    another Pod by now, or a host name.
    Why it breaks      Proxies send packets to the address as it stands. A ClusterIP is no machine, so a packet that was
                       already sent on is not sent on again; a Pod's address dies with it and is given to another;
                       slices of type FQDN are ignored.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o yaml
                       kubectl get services,pods -A -o wide | grep ADDRESS
    Fix                Write the address of what answers; for Pods of the cluster use a selector, for a host name or
                       another Service use type ExternalName.
    Not a fault when   The network plugin gives Pods addresses that stay.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from shlex import quote
from typing import NamedTuple

from svcdoctor.case import Case, EndpointView
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.manualslice import is_by_hand, is_mirrored, writer
from svcdoctor.endpoints.reconcile import pod_addresses
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.objects import Node, Pod
from svcdoctor.text import listing, parse_time, patch_command, plural

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={"slice-manual-bad-address": Code(Stage.SLICES_AGREE)},
    reads=("endpointslices", "services", "pods", "nodes", "configmaps"),
)


class Bad(NamedTuple):
    """An address that leads nowhere, and what says so."""

    view: EndpointView
    why: str
    evidence: Evidence
    remedy: Remedy
    inferred: bool = False


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or case.selector or not case.endpoints or case.endpoints_origin:
        return
    if not all(is_by_hand(piece) for piece in case.slices):
        return  # what a selector left behind is another question
    views = [view for view in case.endpoints if view.ready]
    bad = [found for view in views if (found := _judged(case, view))]
    if bad:
        yield _finding(case, bad, len(views))


def _judged(case: Case, view: EndpointView) -> Bad | None:
    if view.slice.address_type == "FQDN":
        return _host_name(case, view)
    reference = view.endpoint.target_ref
    if case.services_at(view.address):
        return _cluster_ip(case, view)
    if reference and reference.kind == "Pod":
        return _of_a_named_pod(case, view)
    network = _pod_network(case, view.address)
    return _of_no_named_pod(case, view, network) if network else None


def _source(view: EndpointView) -> str:
    return f"endpointslice/{view.slice.metadata.name} .endpoints[].addresses"


def _host_name(case: Case, view: EndpointView) -> Bad:
    return Bad(
        view,
        "is a host name, and no proxy looks names up",
        Evidence("address type", "FQDN", f"endpointslice/{view.slice.metadata.name} .addressType"),
        _alias(case, view.address),
    )


def _alias(case: Case, target: str) -> Remedy:
    patch = {
        "spec": {"type": "ExternalName", "externalName": target, "clusterIP": None, "clusterIPs": None, "ports": None},
    }
    command = (
        f"kubectl -n {case.namespace} patch service {case.name} -p {quote(json.dumps(patch, separators=(',', ':')))}"
    )
    return Remedy(f"make the Service an alias of {target}", command)


def _cluster_ip(case: Case, view: EndpointView) -> Bad:
    other = case.services_at(view.address)[0]
    namespace, name = other.metadata.namespace, other.metadata.name
    mine = namespace == case.namespace and name == case.name
    whose = "the Service's own ClusterIP" if mine else f"the ClusterIP of service {namespace}/{name}"
    search = f"kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name}"
    # An alias has no ports of its own.
    same_ports = {port.port for port in case.ports} <= {port.port for port in other.spec.ports or ()}
    remedy = (
        _alias(case, f"{name}.{namespace}.svc.{case.zone}")
        if same_ports and not mine
        else Remedy("write the addresses of what answers", search, changes_cluster=False)
    )
    return Bad(
        view,
        f"is {whose}, which no machine has",
        Evidence("ClusterIP", view.address, f"service/{name} in namespace {namespace} .spec.clusterIP"),
        remedy,
    )


def _of_a_named_pod(case: Case, view: EndpointView) -> Bad | None:
    reference = view.endpoint.target_ref
    namespace = (reference.namespace if reference else "") or case.namespace
    pods = case.or_without(lambda: case.listed("pods", namespace), None)
    if pods is None:
        return None
    pod: Pod | None = pods.get(view.pod)
    if pod is None:
        evidence = Evidence(
            "named Pod", f"{view.pod}, gone", f"endpointslice/{view.slice.metadata.name} .endpoints[].targetRef"
        )
        return Bad(view, f"was that of pod/{view.pod}, which is gone", evidence, _search(view.address))
    now = [address for address in pod_addresses(pod) if (":" in address) == (":" in view.address)]
    if not now or view.address in now:
        return None
    evidence = Evidence("its address now", listing(now), f"pod/{view.pod} .status.podIPs")
    return Bad(view, f"was that of pod/{view.pod}, which has {now[0]} now", evidence, _readdress(case, view, now[0]))


def _of_no_named_pod(case: Case, view: EndpointView, network: str) -> Bad | None:
    pods, complete = case.or_without(lambda: case.pods_at(view.address), ([], False))
    if not pods:
        if not complete:
            return None
        evidence = Evidence("Pods with it", "none", f"pods .status.podIPs; {network} is for Pods alone")
        return Bad(view, "lies in the Pod network, and no Pod has it", evidence, _search(view.address))
    pod = pods[0]
    since = parse_time(pod.metadata.creation_timestamp)
    written = parse_time(view.slice.metadata.creation_timestamp)
    # A slice that was never changed was written for somebody else, if its Pod came later.
    if writer(view.slice) or view.slice.metadata.generation != 1 or not since or not written or since <= written:
        return None
    name, namespace = pod.metadata.name, pod.metadata.namespace
    evidence = Evidence(
        "given to it",
        f"after the slice was written at {view.slice.metadata.creation_timestamp}",
        f"pod/{name} in namespace {namespace} .metadata.creationTimestamp",
    )
    return Bad(view, f"belongs to pod/{name} by now, which came later", evidence, _search(view.address), inferred=True)


def _pod_network(case: Case, address: str) -> str:
    """The Pod network of a node that holds the address; "" for an address of anything else."""
    nodes: dict[str, Node] = dict(case.or_without(case.nodes, {}))
    for node in nodes.values():
        for cidr in node.spec.pod_cidrs or ():
            try:
                number, network = ipaddress.ip_address(address), ipaddress.ip_network(cidr, strict=False)
            except ValueError:
                continue  # what is no address lies in no network
            # The first address is the node's own, on the bridge to its Pods.
            if number in network and number != network[0] + 1:
                return cidr
    return ""


def _search(address: str) -> Remedy:
    command = f"kubectl get pods -A -o wide --field-selector status.podIP={address}"
    return Remedy("see who has the address, then write the right one or give the Service a selector", command, False)


def _place(view: EndpointView) -> int:
    return next(index for index, item in enumerate(view.slice.endpoints or ()) if item is view.endpoint)


def _strike(case: Case, view: EndpointView) -> Remedy:
    path = f"/subsets/0/addresses/{_place(view)}" if is_mirrored(view.slice) else f"/endpoints/{_place(view)}"
    item = f"endpoints {case.name}" if is_mirrored(view.slice) else f"endpointslice {view.slice.metadata.name}"
    return Remedy(f"strike {view.address} out", patch_command(case.namespace, item, [{"op": "remove", "path": path}]))


def _readdress(case: Case, view: EndpointView, address: str) -> Remedy:
    piece = view.slice
    place = _place(view)
    if is_mirrored(piece):
        patch = [{"op": "replace", "path": f"/subsets/0/addresses/{place}/ip", "value": address}]
        return Remedy(f"write {address}", patch_command(case.namespace, f"endpoints {case.name}", patch))
    patch = [{"op": "replace", "path": f"/endpoints/{place}/addresses/0", "value": address}]
    return Remedy(f"write {address}", patch_command(case.namespace, f"endpointslice {piece.metadata.name}", patch))


def _finding(case: Case, bad: list[Bad], total: int) -> Finding:
    first = bad[0]
    more = f"; so are {len(bad) - 1} more of its {plural(total, 'endpoint')}" if len(bad) > 1 else ""
    others = "" if len(bad) == total else f", 1 of {total} endpoints" if len(bad) == 1 else ""
    doubt = (Evidence("also possible", "the network gives this Pod the same address each time", "network plugin"),)
    say = fail if len(bad) == total else warn
    # The last first: each removal moves those behind it.
    strike = (_strike(case, item.view) for item in reversed(bad))
    remedies = tuple(dict.fromkeys(item.remedy for item in bad[:3])) if len(bad) == total else tuple(strike)[:3]
    return say(
        "slice-manual-bad-address",
        case.subject,
        f"{first.view.address}{others}, written by hand, {first.why}{more}",
        *(
            evidence
            for item in bad[:3]
            for evidence in (Evidence("address", item.view.address, _source(item.view)), item.evidence)
        ),
        *(doubt if first.inferred else ()),
        remedies=remedies,
        inferred=first.inferred,
    )
