"""Does anything depend on the legacy Endpoints object of the Service?

endpoints-truncated
    The legacy Endpoints object does not hold all endpoints: it ends at a thousand.
    Why it breaks      Proxies read EndpointSlices, which are complete. What still reads Endpoints (old ingress
                       controllers, service discovery of monitoring, scripts) sees a thousand addresses and no more.
    Confirm by hand    kubectl -n {namespace} get endpoints {name} -o jsonpath='{.metadata.annotations}'
    Fix                Let those readers read EndpointSlices.
    Not a fault when   Nobody reads Endpoints any more.

endpoints-api-deprecated
    Somebody writes an Endpoints object for this Service, which Kubernetes copies into slices.
    Why it breaks      It works. The API is deprecated since v1.33: it knows one address family, and neither
                       terminating endpoints nor more than a thousand addresses.
    Confirm by hand    kubectl -n {namespace} get endpoints {name} -o yaml
    Fix                Write an EndpointSlice labelled kubernetes.io/service-name={name}, then delete the Endpoints.
    Not a fault when   Always: this is only a note.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.manualslice import is_by_hand, is_mirrored, manifest
from svcdoctor.endpoints.reconcile import OVER_CAPACITY
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note, warn
from svcdoctor.objects import Endpoints, EndpointSlice
from svcdoctor.text import plural, quoted_json

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={
        "endpoints-truncated": Code(Stage.SLICES_AGREE),
        "endpoints-api-deprecated": Code(Stage.SLICES_AGREE),
    },
    reads=("endpointslices", "endpoints"),
)
MOST_ADDRESSES = 1000  # what the Endpoints controller writes into one object


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name:
        return
    slices: list[EndpointSlice] = case.or_without(lambda: case.slices, [])
    mirrored = [piece for piece in slices if is_mirrored(piece)]
    total = len({view.address for view in case.or_without(lambda: case.endpoints, [])})
    # The mirroring controller copies annotations as well; elsewhere the object itself is worth reading only there.
    marked = [(piece.metadata.annotations or {}).get(OVER_CAPACITY) for piece in mirrored]
    if total > MOST_ADDRESSES:
        legacy: Endpoints | None = case.or_without(lambda: case.listed("endpoints").get(case.name), None)
        marked += [(legacy.metadata.annotations or {}).get(OVER_CAPACITY)] if legacy else []
    if "truncated" in marked:
        yield _truncated(case, total)
    if mirrored and not case.selector and all(is_by_hand(piece) for piece in slices):
        yield _written_as_endpoints(case, mirrored)


def _truncated(case: Case, total: int) -> Finding:
    command = f"kubectl -n {case.namespace} get endpointslices -l kubernetes.io/service-name={case.name}"
    return warn(
        "endpoints-truncated",
        case.subject,
        f"endpoints/{case.name} is cut at {MOST_ADDRESSES} addresses; whoever reads it misses the rest",
        Evidence("over capacity", "truncated", f"endpoints/{case.name} annotation {OVER_CAPACITY}"),
        Evidence("in the slices", plural(total, "address", "addresses"), "endpointslices .endpoints"),
        remedies=(Remedy("read the slices instead", command, changes_cluster=False),),
    )


def _written_as_endpoints(case: Case, mirrored: list[EndpointSlice]) -> Finding:
    piece = mirrored[0]
    copy = manifest(piece, case.namespace, case.name, f"{case.name}-1") if len(mirrored) == 1 else None
    look = f"kubectl -n {case.namespace} get endpoints {case.name} -o yaml"
    command = (
        f"echo {quoted_json(copy)} | kubectl apply -f - && kubectl -n {case.namespace} delete endpoints {case.name}"
    )
    remedy = (
        Remedy("write the slice itself, then delete the Endpoints", command)
        if copy
        else Remedy("write slices of what it holds", look, changes_cluster=False)
    )
    return note(
        "endpoints-api-deprecated",
        case.subject,
        f"its endpoints are written as endpoints/{case.name}, an API that is deprecated since v1.33",
        Evidence("copied into", piece.metadata.name, "endpointslices label endpointslice.kubernetes.io/managed-by"),
        remedies=(remedy,),
    )
