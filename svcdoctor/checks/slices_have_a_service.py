"""Does every EndpointSlice name a Service that exists?

slice-orphan
    EndpointSlices carry the name of a Service that is not there.
    Why it breaks      Nothing breaks: without a Service nobody reads them. But a Service created under that name later
                       gets these endpoints beside its own.
    Confirm by hand    kubectl get endpointslices -A --show-labels
    Fix                Delete them, or create the Service.
    Not a fault when   The Service is about to be created.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import SETTLING_SECONDS
from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.endpoints.manualslice import named_service
from svcdoctor.endpoints.reconcile import SERVICE_NAME
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, note
from svcdoctor.objects import EndpointSlice
from svcdoctor.text import listing, plural

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={"slice-orphan": Code(Stage.SLICES_AGREE)},
    reads=("endpointslices", "services"),
    about="cluster",
)


def run(case: ClusterCase) -> Iterator[Finding]:
    orphans: dict[tuple[str, str], list[EndpointSlice]] = {}
    # Those with an owner go with it: only what was written by hand outlives its Service.
    for piece in case.unowned_slices_in_sight():
        namespace, service = piece.metadata.namespace, named_service(piece)
        if not service or not case.world.was_read("services", namespace):
            continue  # what lies outside of the scope is not asked for
        if service in case.listed("services", namespace):
            continue
        if not case.is_younger(piece.metadata.creation_timestamp, SETTLING_SECONDS):
            orphans.setdefault((namespace, service), []).append(piece)
    for (namespace, service), pieces in sorted(orphans.items()):
        yield _orphaned(namespace, service, pieces)


def _orphaned(namespace: str, service: str, pieces: list[EndpointSlice]) -> Finding:
    names = [piece.metadata.name for piece in pieces]
    count = sum(len(piece.endpoints or ()) for piece in pieces)
    command = f"kubectl -n {namespace} delete endpointslice {names[0]}"
    return note(
        "slice-orphan",
        Subject("EndpointSlice", namespace, names[0]),
        f"endpointslice {listing(names)} in namespace {namespace} names {service}, and there is no such Service",
        Evidence(SERVICE_NAME, service, f"endpointslice/{names[0]} .metadata.labels"),
        Evidence("holds", plural(count, "endpoint"), f"endpointslice/{names[0]} .endpoints"),
        remedies=(Remedy("delete it, if it was left behind", command),),
    )
