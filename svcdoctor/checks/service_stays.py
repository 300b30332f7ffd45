"""Is the Service, or its namespace, being deleted?

svc-stuck-terminating
    The Service was deleted, and a finalizer that nobody removes keeps it.
    Why it breaks      Until its last finalizer is gone the object stays: it cannot be created anew under its name, its
                       load balancer may go on costing money, and what stands in it cannot be relied on.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.metadata.finalizers}'
    Fix                Bring back the controller that owns the finalizer. Only when it is gone for good, take the
                       finalizer away by hand and clean up what it guarded.
    Not a fault when   It was deleted a moment ago: a cloud needs a minute to release a load balancer.

lim-ns-terminating
    The namespace is being deleted and does not come to its end.
    Why it breaks      The API server refuses to create anything in a namespace that is terminating, Services and Pods
                       too, while what is left in it is taken down. It ends only when every object in it is gone.
    Confirm by hand    kubectl get namespace {namespace} -o jsonpath='{.status.conditions}'
    Fix                Remove the finalizers of the objects that its conditions name, or repair the aggregated API that
                       its conditions say does not answer.
    Not a fault when   It is meant to go, and was deleted a moment ago.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, unknown, warn
from svcdoctor.objects import Namespace
from svcdoctor.text import duration, listing, patch_command, shorten
from svcdoctor.world import EVERYWHERE

CHECK = Check(
    step=Step.SERVICE,
    codes={
        "svc-stuck-terminating": Code(Stage.SERVED, settles=False),
        "lim-ns-terminating": Code(Stage.SERVED, settles=False),
    },
    reads=("namespaces",),
)
LOAD_BALANCER = "service.kubernetes.io/load-balancer-cleanup"
DELETION_SECONDS = 60.0  # controllers are given this long to clean up


def run(case: Case) -> Iterator[Finding]:
    deleted = case.service.metadata.deletion_timestamp
    finalizers = case.service.metadata.finalizers or []
    namespace = case.or_without(lambda: case.listed("namespaces", EVERYWHERE), {}).get(case.namespace)
    ending = namespace.metadata.deletion_timestamp if namespace else None
    if not deleted and not ending:
        return
    if case.is_younger(ending or deleted, DELETION_SECONDS):
        what = f"namespace {case.namespace}" if ending else "the Service"
        yield unknown(
            "unknown-settling", case.subject, f"{what} is being deleted, judged after {DELETION_SECONDS:.0f}s"
        )
        return
    if namespace and ending:
        yield _namespace(case, namespace, ending)
    if deleted and finalizers:
        yield _service(case, deleted, finalizers)


def _since(case: Case, moment: str) -> str:
    return duration(case.seconds_since(moment) or 0)


def _service(case: Case, deleted: str, finalizers: list[str]) -> Finding:
    owner = "the cloud's service controller" if LOAD_BALANCER in finalizers else "the controller that set it"
    return warn(
        "svc-stuck-terminating",
        case.subject,
        f"deleted {_since(case, deleted)} ago, and kept by {listing(finalizers)}",
        Evidence("deleted", deleted, f"service/{case.name} .metadata.deletionTimestamp"),
        Evidence("finalizers", listing(finalizers), f"service/{case.name} .metadata.finalizers"),
        Evidence("removed by", owner, "what the finalizer is called"),
        remedies=(_released(case),),
        because="lim-ns-terminating",
    )


def _namespace(case: Case, namespace: Namespace, ending: str) -> Finding:
    reasons = [item for item in namespace.status.conditions or () if item.status == "True"]
    said = "; ".join(item.message or item.type for item in reasons)
    source = f"namespace/{case.namespace} .status.conditions"
    return fail(
        "lim-ns-terminating",
        case.subject,
        f"namespace {case.namespace} has been terminating for {_since(case, ending)}, and nothing can be created in it",
        Evidence("deleted", ending, f"namespace/{case.namespace} .metadata.deletionTimestamp"),
        *(Evidence(item.reason or item.type, shorten(item.message or "", 200), source) for item in reasons),
        remedies=(
            _released(case)
            if case.service.metadata.finalizers
            else Remedy(
                "see what is left in it",
                "kubectl api-resources --verbs=list --namespaced -o name"
                f" | xargs -n1 kubectl -n {case.namespace} get --ignore-not-found --show-kind",
                changes_cluster=False,
            ),
        ),
        inferred=not said,
    )


def _released(case: Case) -> Remedy:
    patch = patch_command(case.namespace, f"service {case.name}", {"metadata": {"finalizers": None}})
    return Remedy("let it go, once nothing needs its finalizer any more", patch)
