"""Who writes the Service's EndpointSlices, and how much do they hold?

svc-dual-slice-owners
    Beside the slices of the EndpointSlice controller stand others, with addresses that no Pod of the Service has.
    Why it breaks      Proxies join all slices that carry the Service's name. The controller keeps only its own in step;
                       what the mirroring controller copied from an old Endpoints object, or somebody wrote by hand,
                       stays, and its share of the connections hangs (kubernetes/kubernetes issues 103804 and 105987).
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} --show-labels
    Fix                Delete the foreign slices, and the Endpoints object that mirrored ones were copied from.
    Not a fault when   All slices have the same writer, or a multi-cluster controller adds addresses of other clusters.

lim-slices-large
    The Service has more than a thousand endpoints.
    Why it breaks      It works. But each change of a Pod rewrites a slice that goes to every node, so updates come
                       late while many Pods change; and the legacy Endpoints object holds only the first thousand.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o name | wc -l
    Fix                Keep traffic in the zone (trafficDistribution), or split the Service.
    Not a fault when   Its Pods rarely change.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import CONTROLLER, MANAGED_BY, pod_addresses
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note, warn
from svcdoctor.objects import EndpointSlice
from svcdoctor.text import listing, plural

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={
        "svc-dual-slice-owners": Code(Stage.SLICES_AGREE),
        "lim-slices-large": Code(Stage.SLICES_AGREE),
    },
    reads=("endpointslices", "pods"),
)
MIRRORING = "endpointslicemirroring-controller.k8s.io"
# Their slices hold Pods of other clusters by design.
MULTI_CLUSTER = ("cilium", "submariner", "lighthouse", "karmada", "mcs", "multicluster", "clustermesh")
MANY_ENDPOINTS = 1000


def run(case: Case) -> Iterator[Finding]:
    slices: list[EndpointSlice] = case.or_without(lambda: case.slices, [])  # only adds to what others say
    count = sum(len(piece.endpoints or ()) for piece in slices)
    if count > MANY_ENDPOINTS:
        yield note(
            "lim-slices-large",
            case.subject,
            f"{count} endpoints in {plural(len(slices), 'slice')}: each change of a Pod goes to every node",
            Evidence("endpoints", str(count), f"endpointslices labelled kubernetes.io/service-name={case.name}"),
        )
    foreign = [piece for piece in slices if _writer(piece) != CONTROLLER and not _spans_clusters(piece)]
    if not case.selector or len(foreign) in (0, len(slices)):
        return
    known = {address for pod in case.live_pods for address in pod_addresses(pod)}
    stray = {piece.metadata.name: addresses for piece in foreign if (addresses := _addresses(piece) - known)}
    if stray:
        yield _two_writers(case, foreign, stray)


def _writer(piece: EndpointSlice) -> str:
    return (piece.metadata.labels or {}).get(MANAGED_BY, "")


def _spans_clusters(piece: EndpointSlice) -> bool:
    marks = " ".join([_writer(piece), *(piece.metadata.labels or ())])
    return any(word in marks for word in MULTI_CLUSTER)


def _addresses(piece: EndpointSlice) -> set[str]:
    """Those that a proxy would send requests to."""
    ready = (item for item in piece.endpoints or () if not item.conditions or item.conditions.ready is not False)
    return {address for item in ready for address in item.addresses or ()}


def _two_writers(case: Case, foreign: list[EndpointSlice], stray: dict[str, set[str]]) -> Finding:
    dead = sorted({address for addresses in stray.values() for address in addresses})
    all_ready = {view.address for view in case.ready_endpoints}
    writers = {_writer(piece) or "nobody named" for piece in foreign if piece.metadata.name in stray}
    is_certain = writers <= {MIRRORING, "nobody named"}
    doubt = Evidence("otherwise", "it may add addresses of other clusters on purpose", listing(sorted(writers)))
    mirrored = MIRRORING in writers
    names = " ".join(sorted(stray))
    command = f"kubectl -n {case.namespace} delete endpointslice {names}"
    if mirrored:
        command = f"kubectl -n {case.namespace} delete endpoints {case.name} && {command} --ignore-not-found"
    return warn(
        "svc-dual-slice-owners",
        case.subject,
        f"{len(dead)} of {plural(len(all_ready | set(dead)), 'address', 'addresses')} belong to no Pod of the Service: "
        f"{listing(dead)}, in {'slices' if len(stray) > 1 else 'a slice'} that another than its controller wrote",
        *(
            Evidence("slice", f"{name} holds {listing(sorted(addresses))}", f"endpointslice/{name} .endpoints")
            for name, addresses in sorted(stray.items())[:3]
        ),
        Evidence("written by", listing(sorted(writers)), f"label {MANAGED_BY}"),
        *([] if is_certain else [doubt]),
        remedies=(Remedy("delete what is left behind", command),),
        inferred=not is_certain,
    )
