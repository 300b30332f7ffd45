"""Are endpoints written by hand found by the Service, and do they stay?

slice-manual-unlabelled
    The Service has no selector and no endpoints; a slice that is meant for it does not carry its name.
    Why it breaks      A slice belongs to the Service that its label kubernetes.io/service-name names, in its own
                       namespace. What the slice itself is called says nothing.
    Confirm by hand    kubectl -n {namespace} get endpointslices --show-labels
    Fix                kubectl -n {namespace} label endpointslice SLICE kubernetes.io/service-name={name}
    Not a fault when   The slice is another program's, which reads it under a label of its own.

slice-manual-reaped
    A slice written by hand says that the EndpointSlice controller manages it.
    Why it breaks      The controller takes it for its own: it rewrites or deletes the slice as soon as the Service has
                       a selector. Until then it stands.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} --show-labels
    Fix                Give the label endpointslice.kubernetes.io/managed-by a value of your own.
    Not a fault when   The controller did make it, and the selector was taken away since.

slice-external-manager
    Something else than Kubernetes' own controllers writes the Service's endpoints.
    Why it breaks      It does not. But what is changed in these slices by hand is soon written over.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} --show-labels
    Fix                Change the endpoints where that program takes them from.
    Not a fault when   Always: this is only a note.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.manualslice import claims_the_controller, is_mirrored, manifest, named_service, writer
from svcdoctor.endpoints.nearmiss import is_called, misspelt
from svcdoctor.endpoints.reconcile import CONTROLLER, MANAGED_BY, SERVICE_NAME
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, note, warn
from svcdoctor.objects import EndpointSlice
from svcdoctor.text import listing, quoted_json

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={
        "slice-manual-unlabelled": Code(Stage.SELECTOR),
        "slice-manual-reaped": Code(Stage.SLICES_AGREE, settles=False),
        "slice-external-manager": Code(Stage.SLICES_AGREE),
    },
    reads=("endpointslices", "services"),
)
# What people write where they say that they write slices themselves.
_PEOPLE = ("", "staff", "cluster-admins", "admin", "kubectl", "manual", "argocd", "flux", "helm", "terraform")


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or case.selector:
        return
    held = [piece for piece in case.slices if piece.endpoints]
    if not held:
        yield from filter(None, [_unlabelled(case)])
        return
    claiming = [piece for piece in held if claims_the_controller(piece)]
    if claiming:
        yield _reaped(case, claiming)
    managers = sorted({writer(piece).lower() for piece in held if not is_mirrored(piece)} - {*_PEOPLE, CONTROLLER})
    if managers:
        yield note(
            "slice-external-manager",
            case.subject,
            f"its endpoints are written by {listing(managers)}: changes by hand do not last",
            Evidence("managed by", listing(managers), f"endpointslices label {MANAGED_BY}"),
        )


# --- a slice that does not carry the name ------------------------------------------------------------------------


def _unlabelled(case: Case) -> Finding | None:
    here = [piece for piece in case.unowned_slices() if piece.endpoints and not _has_its_service(case, piece)]
    named = [piece for piece in here if _is_called_like(case, piece)]
    if named:
        return _not_labelled(case, named[0], certain=True)
    elsewhere = [piece for piece in case.or_without(case.slices_elsewhere, []) if piece.endpoints]
    if elsewhere:
        return _elsewhere(case, elsewhere[0])
    serving = [piece for piece in here if _has_the_ports(case, piece)]
    return _not_labelled(case, serving[0], certain=False) if len(serving) == 1 else None


def _has_its_service(case: Case, piece: EndpointSlice) -> bool:
    return named_service(piece) in case.listed("services")


def _is_called_like(case: Case, piece: EndpointSlice) -> bool:
    """Whether its name, or one of its labels, names the Service."""
    labels = (piece.metadata.labels or {}).values()
    name, label = piece.metadata.name, named_service(piece)
    same = name == case.name or name.startswith(f"{case.name}-") or case.name in labels
    return same or (bool(label) and (misspelt(label, case.name) or is_called(label, case.name)))


def _has_the_ports(case: Case, piece: EndpointSlice) -> bool:
    offered = {item.port for item in piece.ports or ()}
    numbers = [{port.port, port.target_port} for port in case.ports]
    return bool(numbers) and all(offered & wanted for wanted in numbers)


def _not_labelled(case: Case, piece: EndpointSlice, *, certain: bool) -> Finding:
    name, label = piece.metadata.name, named_service(piece)
    said = f"is labelled for {label}, which does not exist" if label else "does not name a Service"
    doubt = () if certain else (Evidence("also possible", "the slice is for something else", f"endpointslice/{name}"),)
    overwrite = " --overwrite" if label else ""
    command = f"kubectl -n {case.namespace} label endpointslice {name} {SERVICE_NAME}={case.name}{overwrite}"
    return fail(
        "slice-manual-unlabelled",
        case.subject,
        f"no slice carries its name; endpointslice/{name} has endpoints and {said}",
        Evidence("wanted", f"{SERVICE_NAME}={case.name}", f"service/{case.name} .metadata.name"),
        Evidence(
            "found",
            f"{SERVICE_NAME}={label}" if label else f"no label {SERVICE_NAME}",
            f"endpointslice/{name} .metadata.labels",
        ),
        *doubt,
        remedies=(Remedy(f"label the slice for {case.name}", command),),
        inferred=not certain,
    )


def _elsewhere(case: Case, piece: EndpointSlice) -> Finding:
    name, namespace = piece.metadata.name, piece.metadata.namespace
    copy = manifest(piece, case.namespace, case.name, name)
    remedy = (
        Remedy(f"write the slice in namespace {case.namespace}", f"echo {quoted_json(copy)} | kubectl apply -f -")
        if copy
        else Remedy(
            f"write the slice in namespace {case.namespace}",
            f"kubectl -n {namespace} get endpointslice {quote(name)} -o yaml",
            changes_cluster=False,
        )
    )
    return fail(
        "slice-manual-unlabelled",
        case.subject,
        f"no slice of namespace {case.namespace} carries its name; "
        f"endpointslice/{name} does, in namespace {namespace}, which has no such Service",
        Evidence("wanted", f"{SERVICE_NAME}={case.name}", f"endpointslices of namespace {case.namespace}"),
        Evidence("found", f"namespace {namespace}", f"endpointslice/{name} .metadata.namespace"),
        remedies=(remedy,),
    )


def _reaped(case: Case, pieces: list[EndpointSlice]) -> Finding:
    names = [piece.metadata.name for piece in pieces]
    command = f"kubectl -n {case.namespace} label endpointslice {names[0]} {MANAGED_BY}=cluster-admins --overwrite"
    return warn(
        "slice-manual-reaped",
        case.subject,
        f"endpointslice/{listing(names)}, written by hand, names {CONTROLLER} as its manager, "
        f"which deletes it once the Service has a selector",
        Evidence("managed by", CONTROLLER, f"endpointslice/{names[0]} label {MANAGED_BY}"),
        Evidence("owner", "<none>", f"endpointslice/{names[0]} .metadata.ownerReferences"),
        remedies=(Remedy("name somebody else as its manager", command),),
    )
