"""Do the requests of one client go where its session is, and those of all clients to all Pods?

svc-affinity-skew
    sessionAffinity is ClientIP, and all requests come from one address: one Pod gets them all.
    Why it breaks      The proxy remembers the Pod of each client address for three hours. Behind an ingress controller
                       or another proxy every user has the proxy's address, so one Pod carries everybody and the others
                       idle; when it goes, all sessions go with it.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.sessionAffinity}'
    Fix                Set sessionAffinity to None, and keep sessions by a cookie at the proxy.
    Not a fault when   Other clients come too, which no object names.

svc-affinity-missing
    The program keeps sessions in its own memory, and requests of one user go to several Pods.
    Why it breaks      Each connection may reach another Pod, which does not know the session: users are logged out at
                       random.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.sessionAffinity}'
    Fix                Keep sessions in a store that all Pods share, or set sessionAffinity: ClientIP.
    Not a fault when   The ingress controller keeps users on their Pod by a cookie. Said only where a setting of the
                       Pods names a store in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note, warn
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.text import patch_command, plural

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "svc-affinity-skew": Code(Stage.DATA_PLANE, settles=False),
        "svc-affinity-missing": Code(Stage.APPLICATION, settles=False),
    },
    reads=(
        "endpointslices",
        "pods",
        *WORKLOAD_RESOURCES,
        "configmaps",
        "namespaces",
        "ingresses",
        "httproutes",
        "grpcroutes",
        "tlsroutes",
    ),
)
# Ingress controllers go to the Pods themselves, unless they are told to use the Service.
THROUGH_SERVICE = "nginx.ingress.kubernetes.io/service-upstream"
COOKIE_AFFINITY = ("nginx.ingress.kubernetes.io/affinity", "traefik.ingress.kubernetes.io/service.sticky.cookie")
SESSION_STORE = re.compile(r"(?:.+_)?SESSIONS?_(?:STORE|DRIVER|BACKEND|STORAGE|HANDLER)(?:_TYPE)?")
IN_MEMORY = ("memory", "in-memory", "in_memory", "inmemory", "memorystore", "array", "local")


def run(case: Case) -> Iterator[Finding]:
    if case.is_headless or case.is_external_name:
        return
    ready = len({view.address for view in case.ready_endpoints})
    if ready < 2:
        return
    if case.spec.session_affinity == "ClientIP":
        if source := _only_source(case):
            yield _skew(case, ready, source)
    elif (setting := _session_in_memory(case)) and not _has_cookie(case):
        yield note(
            "svc-affinity-missing",
            case.subject,
            f"{plural(ready, 'Pod')} share the requests, and each keeps sessions in its own memory ({setting.value})",
            setting,
            Evidence("sessionAffinity", "None", f"service/{case.name} .spec.sessionAffinity"),
        )


def _only_source(case: Case) -> Evidence | None:
    """What makes all requests come from one address, or a few; None where nothing shows it."""
    entries = case.or_without(lambda: case.entries, [])
    for entry in entries:
        if (entry.owner.metadata.annotations or {}).get(THROUGH_SERVICE) == "true":
            what = f"the Pods of the ingress controller, told by {THROUGH_SERVICE} to use the Service"
            return Evidence("clients", what, f"{entry.kind.lower()}/{entry.name} .metadata.annotations")
    if entries or case.type != "ClusterIP":
        return None
    callers = {(caller.namespace, caller.ref): (caller, reference) for caller, reference in case.callers}
    if len(callers) != 1:
        return None
    caller, reference = next(iter(callers.values()))
    is_single = caller.kind == "Pod" or (caller.kind in ("Deployment", "StatefulSet") and caller.desired == 1)
    what = f"one Pod, of {caller.ref} in namespace {caller.namespace}"
    return Evidence("clients", what, reference.source) if is_single and reference.certain else None


def _skew(case: Case, ready: int, source: Evidence) -> Finding:
    patch = {"spec": {"sessionAffinity": "None", "sessionAffinityConfig": None}}
    return warn(
        "svc-affinity-skew",
        case.subject,
        f"one of {ready} Pods gets all requests: sessionAffinity is ClientIP, and they come from {source.value}",
        Evidence("sessionAffinity", "ClientIP", f"service/{case.name} .spec.sessionAffinity"),
        source,
        Evidence("otherwise", "clients that no object names may come too", "settings and commands of workloads"),
        remedies=(
            Remedy("let each connection choose its Pod", patch_command(case.namespace, f"service {case.name}", patch)),
        ),
        inferred=True,
    )


def _session_in_memory(case: Case) -> Evidence | None:
    for backend in case.backing:
        for container in backend.spec.containers or ():
            for entry in container.env or ():
                if SESSION_STORE.fullmatch(entry.name.upper()) and (entry.value or "").lower() in IN_MEMORY:
                    source = f"{backend.owner} container {container.name} env {entry.name}"
                    return Evidence("sessions", f"{entry.name}={entry.value}", source)
    return None


def _has_cookie(case: Case) -> bool:
    entries = case.or_without(lambda: case.entries, [])
    return any(key in COOKIE_AFFINITY for entry in entries for key in entry.owner.metadata.annotations or ())
