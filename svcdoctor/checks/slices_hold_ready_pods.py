"""Do the EndpointSlices hold ready endpoints, and those that the Pods say?

slice-no-ready
    No endpoint of the Service is ready. This is what the walk shows first; why it is so is said by the fault found at
    the labels or at the Pods.
    Why it breaks      kube-proxy forwards to ready endpoints only and refuses connections to a Service that has none;
                       a headless Service without a ready endpoint does not resolve at all (NXDOMAIN).
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o yaml
    Fix                Whatever keeps the Pods from being ready, or from being selected.
    Not a fault when   The workload is scaled to zero on purpose, by an autoscaler that wakes it on demand.

slice-partial-ready
    Some endpoints are ready and others are not, for longer than a rollout explains.
    Why it breaks      Requests are answered, by fewer Pods than were asked for: one more failure may be the last.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o yaml
    Fix                Whatever keeps these Pods from being ready.
    Not a fault when   The Pods that are not ready have just started, or a rollout is under way.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Stage, Status, Step, fail, passed, skipped, unknown, warn
from svcdoctor.text import plural

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={
        "slice-no-ready": Code(Stage.SLICES_AGREE, symptom=True),
        "slice-partial-ready": Code(Stage.SLICES_AGREE, symptom=True),
    },
    reads=(
        "endpointslices",
        "pods",
        "events",
        "nodes",
        "deployments",
        "replicasets",
        "statefulsets",
        "daemonsets",
        "jobs",
        "cronjobs",
    ),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name:
        yield skipped(case.subject, "an alias has no endpoints")
    elif not case.selector and not case.endpoints:
        yield skipped(case.subject, "nobody writes endpoints for it")
    else:
        yield _readiness(case)


def _readiness(case: Case) -> Finding:
    views = case.endpoints
    pods = case.or_without(lambda: case.live_pods, [])
    staying = {pod.metadata.name for pod in pods if not pod.metadata.deletion_timestamp}
    staying |= {view.pod or view.address for view in views if not view.terminating and (not view.pod or not pods)}
    ready = {view.pod or view.address for view in views if view.ready}
    total = len(staying | ready)
    origin = f", {case.endpoints_origin}" if case.endpoints_origin else ""
    evidence = Evidence(
        "ready",
        f"{len(ready)} of {total}",
        f"endpointslices labelled kubernetes.io/service-name={case.name} .endpoints[].conditions.ready",
    )
    if len(ready) == total > 0:
        return passed(case.subject, f"{total} of {total} ready{origin}", evidence)
    starting = case.or_without(lambda: case.starting_pods, [])
    late = staying - ready - set(starting)
    if not ready and total and not late:
        return unknown(
            "unknown-settling",
            case.subject,
            f"no ready endpoint yet, 0 of {total}; {plural(len(starting), 'Pod')} just started",
            evidence,
        )
    if not ready and case.is_deliberately_idle:
        return passed(case.subject, "no endpoint: scaled to zero until it is asked for", evidence)
    if not ready:
        draining = [view for view in views if view.terminating and view.serving]
        message = f"no ready endpoint, 0 of {total}" if total else "no endpoint at all"
        if draining:
            # kube-proxy falls back on these (KEP-1669): requests are answered until the grace period is over.
            return warn(
                "slice-no-ready",
                case.subject,
                f"{message}; {len(draining)} that is shutting down still answers{origin}",
                evidence,
            )
        return fail("slice-no-ready", case.subject, message + origin, evidence)
    if not late:
        return passed(case.subject, f"{len(ready)} of {total} ready, {len(starting)} starting{origin}", evidence)
    return warn("slice-partial-ready", case.subject, f"{len(ready)} of {total} ready{origin}", evidence)
