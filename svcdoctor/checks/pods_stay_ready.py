"""Do the Pods stay, and do those that leave go?

pods-flapping
    Pods are ready for now, and have lost their readiness again and again.
    Why it breaks      Each time a Pod leaves the endpoints, requests go to fewer Pods, or to none; connections that it
                       had are cut by clients and proxies that follow the endpoints.
    Confirm by hand    kubectl -n {namespace} get events --field-selector=reason=Unhealthy
    Fix                Give the probe time enough to be answered under load, or mend what makes it fail.
    Not a fault when   The failures are those of the start: then they end with it.

pods-evicted
    The node put an end to Pods behind the Service: it ran short of memory or disk, or they used more than they may.
    Why it breaks      An evicted Pod is Failed for good. Its workload makes another one, which begins anew and may be
                       evicted as well; a Pod without a workload is not replaced.
    Confirm by hand    kubectl -n {namespace} get pods --field-selector=status.phase=Failed
    Fix                Ask for the memory and ephemeral storage that the Pod uses, or give the node more of it.
    Not a fault when   It happened long ago, and its place was taken: evicted Pods stay until somebody deletes them.

pods-terminating-stuck
    A Pod was deleted, its time to stop is over, and it is still there.
    Why it breaks      A finalizer holds it, or its node does not answer, so that nobody confirms that its containers
                       have ended. A StatefulSet makes no Pod of the same name until it is gone.
    Confirm by hand    kubectl -n {namespace} get pods -o wide
    Fix                The controller of the finalizer, or the node; by force only where the node is surely off.
    Not a fault when   Its grace period is not over yet.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, warn
from svcdoctor.objects import Pod
from svcdoctor.pods.history import readiness
from svcdoctor.pods.podverdict import verdicts
from svcdoctor.pods.template import WORKLOAD_RESOURCES, top_owner
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.text import listing, patch_command, plural, utc_time

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={
        "pods-flapping": Code(Stage.PODS_READY),
        "pods-evicted": Code(Stage.POD_ADDRESSES),
        "pods-terminating-stuck": Code(Stage.PODS_READY),
    },
    reads=(
        "pods",
        "events",
        "nodes",
        *WORKLOAD_RESOURCES,
        "services",
        "endpointslices",
        "configmaps",
        "networkpolicies",
        *OTHER_KINDS,
        "namespaces",
    ),
)
RECENT_SECONDS = 3600.0  # what was put an end to before this is history
OVERDUE_SECONDS = 60.0  # beyond the grace period, which deletionTimestamp is the end of


def run(case: Case) -> Iterator[Finding]:
    if not case.selector or case.is_external_name:
        return
    yield from verdicts(case, CHECK.codes)
    if case.live_pods:
        yield from _evicted(case)
    stuck = [pod for pod in case.pods if _is_overdue(case, pod)]
    if stuck:
        yield _stuck(case, stuck)


def _evicted(case: Case) -> Iterator[Finding]:
    """Those of the last hour, beside Pods that took their place."""
    recent = [
        pod
        for pod in case.pods
        if pod.status.phase == "Failed" and case.is_younger(readiness(pod).last_transition_time, RECENT_SECONDS)
    ]
    evicted = [pod for pod in recent if case.pod_state(pod).code == "pods-evicted"]
    if not evicted:
        return
    state = case.pod_state(evicted[0])
    names = tuple(pod.metadata.name for pod in evicted)
    last = max(readiness(pod).last_transition_time or "" for pod in evicted)
    yield warn(
        "pods-evicted",
        case.subject,
        f"{plural(len(evicted), 'Pod')} {state.message}",
        Evidence("Pods", listing(names), f"pods with phase Failed, beside {len(case.live_pods)} that are not"),
        *state.evidence,
        Evidence("last at", utc_time(last), "pods .status.conditions[Ready].lastTransitionTime"),
        pods=names,
    )


def _is_overdue(case: Case, pod: Pod) -> bool:
    ends = pod.metadata.deletion_timestamp
    return ends is not None and not case.is_younger(ends, OVERDUE_SECONDS)


def _stuck(case: Case, pods: list[Pod]) -> Finding:
    first = pods[0]
    name, finalizers = first.metadata.name, first.metadata.finalizers or []
    nodes = case.or_without(case.nodes, {})
    node = nodes.get(first.spec.node_name or "")
    conditions = (node.status.conditions if node else None) or ()
    down = any(item.type == "Ready" and item.status != "True" for item in conditions)
    gone = bool(nodes) and bool(first.spec.node_name) and node is None
    if finalizers:
        why = f"finalizer {listing(finalizers)} holds it"
        shown = Evidence("finalizers", listing(finalizers, 5), f"pod/{name} .metadata.finalizers")
        command = patch_command(case.namespace, f"pod {name}", {"metadata": {"finalizers": None}})
        remedy = Remedy("where its controller is gone for good, take the finalizer away", command)
    elif down or gone:
        why = f"its node {first.spec.node_name} {'is gone' if gone else 'is not ready'}"
        shown = Evidence("node", first.spec.node_name or "", f"pod/{name} .spec.nodeName")
        command = f"kubectl -n {case.namespace} delete pod {name} --grace-period=0 --force"
        remedy = Remedy("where that node is surely off, delete the Pod by force", command)
    else:
        why = "its node has not said that its containers ended"
        shown = Evidence("node", first.spec.node_name or "<none>", f"pod/{name} .spec.nodeName")
        remedy = Remedy("look at its events", f"kubectl -n {case.namespace} describe pod {name}", changes_cluster=False)
    owners = sorted({name for kind, name in map(top_owner, pods) if kind == "StatefulSet"})
    held = f"; statefulset/{owners[0]} cannot make it anew" if owners else ""
    since = f"since {utc_time(first.metadata.deletion_timestamp)}"
    return warn(
        "pods-terminating-stuck",
        case.subject,
        f"{plural(len(pods), 'deleted Pod')} should be gone {since}: {why}{held}",
        Evidence("Pods", listing([pod.metadata.name for pod in pods]), "pods .metadata.deletionTimestamp"),
        shown,
        remedies=(remedy,),
        pods=tuple(pod.metadata.name for pod in pods),
    )
