"""Do endpoints written by hand carry the Service's ports, under the same names?

slice-manual-portname-mismatch
    The Service has no selector; slices with its endpoints exist, but none carries a port of the Service's name for it.
    Why it breaks      kube-proxy joins a Service port to an endpoint port by name and protocol alone, never by number.
                       A port named `http` on one side and unnamed on the other is two ports: connections are refused
                       although endpoints are there (kubernetes/kubernetes issues 79732 and 123954).
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o yaml
                       Compare `ports[].name` with `.spec.ports[].name` of the Service; no name is a name too.
    Fix                Give both the same name.
    Not a fault when   Only the numbers differ: the slice's port is dialled, the Service's targetPort is not used.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.manualslice import is_by_hand, is_mirrored
from svcdoctor.endpoints.reconcile import MANAGED_BY
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, skipped
from svcdoctor.objects import EndpointPort, EndpointSlice, ServicePort
from svcdoctor.text import listing, patch_command, plural

MIRRORING = "endpointslicemirroring-controller.k8s.io"

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={"slice-manual-portname-mismatch": Code(Stage.PORTS_PRESENT)},
    reads=("endpointslices",),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or case.selector:
        yield skipped(case.subject, "endpoints are not written by hand")
        return
    slices = [piece for piece in case.slices if piece.endpoints and is_by_hand(piece)]
    if not slices or not case.ports:
        return
    dead = [
        (index, port) for index, port in enumerate(case.ports) if not any(_carries(piece, port) for piece in slices)
    ]
    if dead:
        yield _mismatch(case, slices, dead)
    else:
        yield passed(
            case.subject,
            f"{plural(len(slices), 'slice')} written by hand or by an operator, with every port of the Service",
        )


def _manager(piece: EndpointSlice) -> str:
    return (piece.metadata.labels or {}).get(MANAGED_BY, "")


def _carries(piece: EndpointSlice, port: ServicePort) -> bool:
    return any(
        (item.name or "") == port.name and (item.protocol or "TCP") == port.protocol for item in piece.ports or []
    )


def _mismatch(case: Case, slices: list[EndpointSlice], dead: list[tuple[int, ServicePort]]) -> Finding:
    wanted = listing([_shown(port.name, port.protocol) for _, port in dead])
    offered = listing(sorted({_shown(item.name, item.protocol) for piece in slices for item in piece.ports or []}))
    return fail(
        "slice-manual-portname-mismatch",
        case.subject,
        f"no slice has a port {wanted}; they have {offered or 'no ports'}",
        *(
            Evidence(
                "Service port",
                f"{_shown(port.name, port.protocol)}, number {port.port}",
                f"service/{case.name} .spec.ports[{index}]",
            )
            for index, port in dead
        ),
        *(
            Evidence("slice ports", _listed(piece), f"endpointslice/{piece.metadata.name} .ports")
            for piece in slices[:3]
        ),
        remedies=_remedies(case, slices, dead),
    )


def _shown(name: str | None, protocol: str | None) -> str:
    return f"{name or '<unnamed>'}/{protocol or 'TCP'}"


def _listed(piece: EndpointSlice) -> str:
    return (
        listing([f"{_shown(item.name, item.protocol)}, number {item.port}" for item in piece.ports or []]) or "<none>"
    )


# --- what to do --------------------------------------------------------------------------------------------------


def _remedies(case: Case, slices: list[EndpointSlice], dead: list[tuple[int, ServicePort]]) -> tuple[Remedy, ...]:
    return tuple(_remedy(case, piece, dead) for piece in slices[:3])


def _remedy(case: Case, piece: EndpointSlice, dead: list[tuple[int, ServicePort]]) -> Remedy:
    """Names are changed where a person wrote them: in the slice, or in the Endpoints that a mirrored slice copies."""
    target, root = ("endpoints", "/subsets/0/ports") if is_mirrored(piece) else ("endpointslice", "/ports")
    name = case.name if target == "endpoints" else piece.metadata.name
    patch: list[dict[str, object]] = []
    for _, port in dead:
        place = _counterpart(port, piece.ports or [])
        if place is None:
            number = port.target_port if isinstance(port.target_port, int) and port.target_port else port.port
            new = {"name": port.name, "port": number, "protocol": port.protocol}
            patch.append(
                {"op": "add", "path": f"{root}/-" if piece.ports else root, "value": new if piece.ports else [new]}
            )
            continue
        patch.append({"op": "add", "path": f"{root}/{place}/name", "value": port.name})
        if ((piece.ports or [])[place].protocol or "TCP") != port.protocol:
            patch.append({"op": "add", "path": f"{root}/{place}/protocol", "value": port.protocol})
    command = patch_command(case.namespace, f"{target} {name}", patch)
    return Remedy(f"give the port of {target}/{name} the name it has in the Service", command)


def _counterpart(port: ServicePort, offered: list[EndpointPort]) -> int | None:
    """The place of the endpoint port that was meant: the one with this number, or the only one."""
    numbers = (port.target_port, port.port)
    same = [
        place
        for place, item in enumerate(offered)
        if item.port in numbers and (item.protocol or "TCP") == port.protocol
    ]
    if same:
        return same[0]
    return 0 if len(offered) == 1 else None
