"""Do the EndpointSlices hold ready endpoints, and those that the Pods say?

slice-no-ready
    No endpoint of the Service is ready. This is what the walk shows first; why it is so is said by the fault found at
    the labels or at the Pods.
    Why it breaks      kube-proxy forwards to ready endpoints only and refuses connections to a Service that has none;
                       a headless Service without a ready endpoint does not resolve at all (NXDOMAIN).
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o yaml
    Fix                Whatever keeps the Pods from being ready, or from being selected.
    Not a fault when   The workload is scaled to zero on purpose, by an autoscaler that wakes it on demand.

slice-all-terminating
    Every endpoint belongs to a Pod that is shutting down, and no other Pod has taken over yet.
    Why it breaks      Proxies go on with endpoints that terminate and still serve, for want of better ones; with the
                       last of them the Service has none. Scaling down to zero, the strategy Recreate, and deleting all
                       Pods at once do this.
    Confirm by hand    kubectl -n {namespace} get pods -l {selector}
    Fix                Start new Pods before old ones go: strategy RollingUpdate with maxUnavailable 0, a second
                       replica, a PodDisruptionBudget for drains.
    Not a fault when   The Service is being taken down on purpose.

slice-partial-ready
    Some endpoints are ready and others are not, for longer than a rollout explains.
    Why it breaks      Requests are answered, by fewer Pods than were asked for: one more failure may be the last.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o yaml
    Fix                Whatever keeps these Pods from being ready.
    Not a fault when   The Pods that are not ready have just started, or a rollout is under way.

slice-controller-lag
    The EndpointSlices are not what the Pods say: a Pod that is ready for more than 30 s does not stand in them, or
    they still send requests to a Pod that is gone or not ready.
    Why it breaks      Only the EndpointSlice controller of kube-controller-manager writes them. While it is stopped or
                       overloaded, new Pods get no requests and the addresses of old ones keep getting them.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o wide
    Fix                Bring kube-controller-manager back: look at its Pod, its log and its lease in kube-system.
    Not a fault when   The Pods changed a moment ago, or something else than the controller manages the slices.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import SETTLING_SECONDS, Case, last_seen
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import CONTROLLER, MANAGED_BY, is_ready, ready_addresses
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, skipped, warn
from svcdoctor.objects import EndpointSlice, Pod
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.text import duration, listing

LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={
        "slice-no-ready": Code(Stage.SLICES_AGREE, symptom=True),
        "slice-all-terminating": Code(Stage.SLICES_AGREE, symptom=True),
        "slice-partial-ready": Code(Stage.SLICES_AGREE, symptom=True),
        "slice-controller-lag": Code(Stage.SLICES_AGREE),
    },
    reads=(
        "endpointslices",
        "pods",
        "events",
        "nodes",
        *WORKLOAD_RESOURCES,
        "services",
        "configmaps",
    ),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name:
        yield _behind_alias(case)
    elif not case.selector and not case.endpoints:
        yield skipped(case.subject, "nobody writes endpoints for it")
    else:
        lag = list(_lag(case))
        yield from lag
        yield from _readiness(case, lagging=bool(lag))


def _behind_alias(case: Case) -> Finding:
    """An alias has no endpoints of its own; its callers need those of the Service that it leads to."""
    suffix = f".svc.{case.zone}"
    alias = (case.spec.external_name or "").rstrip(".").lower()
    name, _, namespace = alias.removesuffix(suffix).partition(".")
    inside = alias.endswith(suffix) and namespace and "." not in namespace
    if not inside or not case.or_without(lambda: _serves_nobody(case.case_of(namespace, name)), False):
        return skipped(case.subject, "an alias has no endpoints")
    look = Remedy(f"look at service/{name}", f"svcdoctor diagnose {name} -n {namespace}", changes_cluster=False)
    return fail(
        "slice-no-ready",
        case.subject,
        f"it leads to service/{name} in namespace {namespace}, which has no ready endpoint",
        Evidence("externalName", alias, f"service/{case.name} .spec.externalName"),
        Evidence("ready", "0", f"endpointslices labelled kubernetes.io/service-name={name}, namespace {namespace}"),
        remedies=(look,),
    )


def _serves_nobody(target: Case | None) -> bool:
    """Whether a Service has no ready endpoint, and not only for the moment or until it is asked for."""
    if target is None or target.is_external_name or target.is_settling or target.is_deliberately_idle:
        return False
    return not any(view.ready or view.serving for view in target.endpoints) and not target.starting_pods


def _readiness(case: Case, *, lagging: bool) -> Iterator[Finding]:
    views = case.endpoints
    pods = case.or_without(lambda: case.live_pods, [])
    staying = {pod.metadata.name for pod in pods if not pod.metadata.deletion_timestamp}
    staying |= {view.pod or view.address for view in views if not view.terminating and (not view.pod or not pods)}
    ready = {view.pod or view.address for view in views if view.ready}
    total = len(staying | ready)
    count = f"{len(ready)} of {total}"
    origin = f", {case.endpoints_origin}" if case.endpoints_origin else ""
    evidence = Evidence(
        "ready", count, f"endpointslices labelled kubernetes.io/service-name={case.name} .endpoints[].conditions.ready"
    )
    if len(ready) == total > 0:
        yield passed(case.subject, f"{count} ready{origin}", evidence)
        return
    starting = {
        *(case.starting_pods if pods else ()),
        *(pod.metadata.name for pod in pods if is_ready(pod) and _is_fresh(case, pod)),
    }
    late = staying - ready - starting
    if ready and lagging:
        return  # the slices count wrongly, which is said already
    if ready and late:
        yield warn("slice-partial-ready", case.subject, f"{count} ready{origin}", evidence)
    elif ready:
        yield passed(case.subject, f"{count} ready, {len(staying - ready)} starting{origin}", evidence)
    elif case.is_deliberately_idle:
        yield passed(case.subject, "no endpoint: scaled to zero until it is asked for", evidence)
    elif late or not total:
        yield _none_ready(case, f"no ready endpoint, {count}" if total else "no endpoint at all", origin, evidence)
    # Else all of them have only started: pods_become_ready says so.


def _none_ready(case: Case, message: str, origin: str, evidence: Evidence) -> Finding:
    # kube-proxy falls back on endpoints that terminate and still serve (KEP-1669), until their grace period is over.
    draining = {view.pod or view.address for view in case.endpoints if view.terminating and view.serving}
    if case.endpoints and all(view.terminating for view in case.endpoints):
        return _all_terminating(case, draining, evidence)
    if draining:
        return warn(
            "slice-no-ready",
            case.subject,
            f"{message}; still answered by {listing(sorted(draining))}, shutting down{origin}",
            evidence,
        )
    return fail("slice-no-ready", case.subject, message + origin, evidence)


def _all_terminating(case: Case, draining: set[str], evidence: Evidence) -> Finding:
    leaving = sorted({view.pod or view.address for view in case.endpoints})
    say = warn if draining else fail
    state = f"{listing(sorted(draining))} still {'answers' if len(draining) == 1 else 'answer'}"
    return say(
        "slice-all-terminating",
        case.subject,
        f"every endpoint is shutting down, and no other Pod is there; {state if draining else 'none still answers'}",
        evidence,
        Evidence("shutting down", listing(leaving), "endpointslices .endpoints[].conditions.terminating"),
        remedies=(
            Remedy(
                "see what is to come in their place",
                f"kubectl -n {case.namespace} get deployments,statefulsets,daemonsets",
                changes_cluster=False,
            ),
        ),
        pods=tuple(leaving),
    )


def _lag(case: Case) -> Iterator[Finding]:
    """What the slices hold, compared with what the controller would make of the Pods as they are."""
    if not case.selector or case.is_settling or case.endpoints_origin:
        return
    slices = [piece for piece in case.slices if (piece.metadata.labels or {}).get(MANAGED_BY) == CONTROLLER]
    if len(slices) != len(case.slices) or any(_changed_just_now(case, piece) for piece in slices):
        return
    wanted, held = ready_addresses(case.service, case.pods), _ready_addresses(slices)
    if wanted == held:
        return
    pods = {pod.metadata.name: pod for pod in case.pods}
    absent = [
        name
        for name, addresses in wanted.items()
        if addresses - held.get(name, set()) and not _is_fresh(case, pods[name])
    ]
    stale = [name for name, addresses in held.items() if addresses - wanted.get(name, set()) and _is_stale(case, name)]
    if not absent and not stale:
        return
    right = any(addresses & wanted.get(name, set()) for name, addresses in held.items())
    parts = [f"ready but missing: {listing(absent)}"] if absent else []
    parts += [f"gone or not ready but still there: {listing(stale)}"] if stale else []
    evidence = [
        Evidence("ready since", f"{name}, {_since_ready(case, pods[name])}", f"pod/{name} .status.conditions Ready")
        for name in absent[:1]
    ]
    evidence += [
        Evidence(
            "still sent to",
            f"{name} {listing(sorted(address for address, _ in held[name]))}",
            "endpointslices .endpoints[].targetRef",
        )
        for name in stale[:1]
    ]
    say = warn if right else fail
    yield say(
        "slice-controller-lag",
        case.subject,
        f"the EndpointSlices are behind the Pods; {'; '.join(parts)}",
        *evidence,
        Evidence("written by", CONTROLLER, f"endpointslices label {MANAGED_BY}"),
        remedies=(
            Remedy(
                "see whether the controller manager runs",
                "kubectl -n kube-system get pods -l component=kube-controller-manager",
                changes_cluster=False,
            ),
            Remedy(
                "see who leads, and since when",
                "kubectl -n kube-system get lease kube-controller-manager -o yaml",
                changes_cluster=False,
            ),
        ),
        pods=(*absent, *stale),
    )


def _ready_addresses(slices: list[EndpointSlice]) -> dict[str, set[tuple[str, str]]]:
    """By Pod, the addresses that requests are sent to, each with the uid of the Pod that it was given for."""
    found: dict[str, set[tuple[str, str]]] = {}
    for piece in slices:
        for endpoint in piece.endpoints or ():
            pod = endpoint.target_ref
            if pod and pod.kind == "Pod" and not (endpoint.conditions and endpoint.conditions.ready is False):
                addresses = found.setdefault(pod.name, set())
                for address in (endpoint.addresses or ())[:1]:
                    addresses.add((address, pod.uid))
    return found


def _is_fresh(case: Case, pod: Pod) -> bool:
    """Whether the Pod became what it is so recently that the slices may not know yet."""
    moments = [condition.last_transition_time for condition in pod.status.conditions or () if condition.type == "Ready"]
    return any((case.seconds_since(moment) or 0.0) < SETTLING_SECONDS for moment in moments)


def _since_ready(case: Case, pod: Pod) -> str:
    moment = next(
        (condition.last_transition_time for condition in pod.status.conditions or () if condition.type == "Ready"), None
    )
    return duration(case.seconds_since(moment) or 0.0)


def _is_stale(case: Case, name: str) -> bool:
    """Whether a Pod that should get no requests changed, or went, long enough ago."""
    pod = case.listed("pods").get(name)
    if pod is not None:
        return not _is_fresh(case, pod) and case.age(pod) > SETTLING_SECONDS and not _is_leaving(case, pod)
    events = case.events("Pod", name)  # a Pod that is gone has left nothing else that tells when
    return not events or (case.seconds_since(last_seen(events[-1])) or 0.0) > SETTLING_SECONDS


def _is_leaving(case: Case, pod: Pod) -> bool:
    """Deleted so recently: the API server writes down when the grace period ends, not when it began."""
    if not pod.metadata.deletion_timestamp:
        return False
    ends = case.seconds_since(pod.metadata.deletion_timestamp) or 0.0
    return ends + (pod.metadata.deletion_grace_period_seconds or 0) < SETTLING_SECONDS


def _changed_just_now(case: Case, piece: EndpointSlice) -> bool:
    """The controller wrote the slice a moment ago: it is at work, and what differs is still on its way."""
    moments = ((piece.metadata.annotations or {}).get(LAST_CHANGE), piece.metadata.creation_timestamp)
    return any(case.is_younger(moment, SETTLING_SECONDS) for moment in moments)
