"""Is what was applied what the API server holds, and would it take it again?

svc-port-lost-in-merge
    A port was applied beside one of the same number, and the API server does not hold it as it was applied.
    Why it breaks      `kubectl apply` merges the list of ports by number alone: of 53/UDP and 53/TCP the second change
                       lands on the first entry, or nowhere. The command says "configured", and that half never works
                       (kubernetes/kubernetes issues 39188 and 105610).
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.ports}'
    Fix                Replace the list of ports, or use `kubectl apply --server-side`, which merges by number and
                       protocol.
    Not a fault when   Somebody took the port away by hand afterwards.

lim-deprecated-api
    An object of this Service was last applied in a version of its API that no server serves any more.
    Why it breaks      What is stored goes on working: it was converted. But the file it came from is refused the next
                       time it is applied ("no matches for kind"), so a release or a repair from it fails.
    Confirm by hand    kubectl -n {namespace} get KIND NAME -o yaml | grep last-applied -A1
    Fix                Write the current apiVersion into the file (Ingress: also pathType and the form of backends), and
                       apply it.
    Not a fault when   Nobody applies that file any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, warn
from svcdoctor.objects import Metadata
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.text import embedded_json, listing, patch_command

CHECK = Check(
    step=Step.SERVICE,
    codes={
        "svc-port-lost-in-merge": Code(Stage.PORTS_PRESENT, settles=False),
        "lim-deprecated-api": Code(Stage.APPLICATION, settles=False),
    },
    reads=(
        "pods",
        *WORKLOAD_RESOURCES,
        "endpointslices",
        "ingresses",
        "httproutes",
        "grpcroutes",
        "tlsroutes",
        "services",
    ),
)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Of each kind the version that is served, and the release of Kubernetes that took the last beta one away.
SERVED = {
    "Ingress": ("networking.k8s.io/v1", "1.22"),
    "EndpointSlice": ("discovery.k8s.io/v1", "1.25"),
    "CronJob": ("batch/v1", "1.25"),
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"), ("apps/v1", "1.16")),
}


def run(case: Case) -> Iterator[Finding]:
    applied = _applied(case.service.metadata)
    lost = [entry for entry in _twins(applied) if not _is_held(case, entry)]
    if lost:
        yield _merged_away(case, lost)
    yield from _outdated(case)


def _applied(metadata: Metadata) -> dict[str, Any]:
    """The object as `kubectl apply` was last given it; {} where it was not, or what is noted is not readable."""
    found = embedded_json((metadata.annotations or {}).get(LAST_APPLIED))
    return found if isinstance(found, dict) else {}


# --- ports -------------------------------------------------------------------------------------------------------


def _twins(applied: dict[str, Any]) -> list[dict[str, Any]]:
    """The applied ports whose number another one has too."""
    spec = applied.get("spec")
    ports = spec.get("ports") if isinstance(spec, dict) else None
    entries = [port for port in ports or () if isinstance(port, dict)]
    numbers = [port.get("port") for port in entries]
    return [port for port in entries if numbers.count(port.get("port")) > 1]


def _is_held(case: Case, entry: dict[str, Any]) -> bool:
    protocol = entry.get("protocol", "TCP")
    same = [port for port in case.ports if (port.port, port.protocol) == (entry.get("port"), protocol)]
    target = entry.get("targetPort", entry.get("port"))
    return any((port.target_port or port.port) == target for port in same)


def _merged_away(case: Case, lost: list[dict[str, Any]]) -> Finding:
    names = [_shown(entry) for entry in lost]
    held = [f"{port.port}/{port.protocol} -> {port.target_port or port.port}" for port in case.ports]
    applied = _applied(case.service.metadata)["spec"]["ports"]
    # A JSON patch: the merge that kubectl would do by itself is what lost the port.
    patch = [{"op": "replace", "path": "/spec/ports", "value": applied}]
    return warn(
        "svc-port-lost-in-merge",
        case.subject,
        f"{listing(names)} was applied, but the Service has only {listing(held)}",
        Evidence(
            "applied",
            listing([_shown(entry) for entry in applied], 6),
            f"service/{case.name} annotation {LAST_APPLIED}",
        ),
        Evidence("held", listing(held, 6), f"service/{case.name} .spec.ports"),
        Evidence("otherwise", "it may have been changed by hand since", "the annotation keeps what was applied"),
        remedies=(Remedy("replace the list of ports", patch_command(case.namespace, f"service {case.name}", patch)),),
        inferred=True,
    )


def _shown(entry: dict[str, Any]) -> str:
    number = entry.get("port")
    return f"{number}/{entry.get('protocol', 'TCP')} -> {entry.get('targetPort', number)}"


# --- versions ----------------------------------------------------------------------------------------------------


def _outdated(case: Case) -> Iterator[Finding]:
    for item, metadata in _objects(case):
        if "beta" not in (metadata.annotations or {}).get(LAST_APPLIED, ""):
            continue
        applied = _applied(metadata)
        version, kind = str(applied.get("apiVersion", "")), str(applied.get("kind", ""))
        if "beta" not in version or kind not in SERVED:
            continue
        now, release = SERVED[kind]
        yield warn(
            "lim-deprecated-api",
            case.subject,
            f"{item} was last applied as {version}, which no API server serves since {release}",
            Evidence("apiVersion", version, f"{item} annotation {LAST_APPLIED}"),
            Evidence("now", now, f"the file that {item} comes from"),
            remedies=(
                Remedy(
                    "see it as it has to be written now",
                    f"kubectl -n {case.namespace} get {item} -o yaml",
                    changes_cluster=False,
                ),
            ),
        )


def _objects(case: Case) -> Iterator[tuple[str, Metadata]]:
    """What a file may have brought for this Service, besides itself."""
    for entry in case.or_without(lambda: case.entries, []):
        yield f"{entry.kind.lower()}/{entry.name}", entry.owner.metadata
    for piece in case.or_without(lambda: case.slices, []):
        yield f"endpointslice/{piece.metadata.name}", piece.metadata
    for template in case.or_without(lambda: case.workloads if case.pods else case.matching_templates, []):
        yield template.ref, template.owner.metadata
