"""Do rollouts behind the Service complete?

workload-rollout-stuck
    A rollout has passed its deadline: Pods of the new version do not become ready, those of the old one still serve.
    Why it breaks      The Service is up, on the version before. A rolling update waits for new Pods before it takes
                       old ones away, so nobody notices; the next node drain or a scale-down takes the rest.
    Confirm by hand    kubectl -n {namespace} rollout status deployment
    Fix                Fix what keeps the new Pods from being ready, or go back: kubectl rollout undo.
    Not a fault when   The rollout is within its progressDeadlineSeconds, or was paused on purpose.

workload-paused
    The Deployment behind the Service is paused: what is changed in its template does not reach its Pods.
    Why it breaks      A paused Deployment takes changes and rolls none out, and a rollout that was half done stays so.
    Confirm by hand    kubectl -n {namespace} get deployments -o jsonpath='{.items[*].spec.paused}'
    Fix                kubectl -n {namespace} rollout resume deployment NAME
    Not a fault when   Somebody is collecting changes, or watches the first Pods of a new version: so it is a note.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note, passed, warn
from svcdoctor.objects import Condition, Pod, Workload
from svcdoctor.pods.history import differences, last_change, newest
from svcdoctor.pods.template import top_owner
from svcdoctor.text import listing, plural, shorten, utc_time

CHECK = Check(
    step=Step.LABELS,
    codes={"workload-rollout-stuck": Code(Stage.EXPECTED_SET), "workload-paused": Code(Stage.EXPECTED_SET)},
    reads=("pods", "deployments", "replicasets", "events", "nodes"),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        return
    names = sorted(name for kind, name in case.pods_by_owner if kind == "Deployment")
    if not names:
        return
    deployments = [case.listed("deployments")[name] for name in names if name in case.listed("deployments")]
    stuck = [finding for deployment in deployments if (finding := _stuck(case, deployment))]
    yield from stuck
    yield from (_paused(case, deployment) for deployment in deployments if deployment.spec.paused)
    if not stuck:
        yield passed(case.subject, f"{plural(len(deployments), 'Deployment')} behind it, no rollout past its deadline")


def _paused(case: Case, deployment: Workload) -> Finding:
    name = deployment.metadata.name
    current = case.or_without(lambda: newest(case.replica_sets_of(deployment)), None)
    waiting = tuple(differences(current.spec.template, deployment.spec.template)) if current else ()
    held = f"; what does not reach its Pods: {listing(waiting)}" if waiting else ""
    return note(
        "workload-paused",
        case.subject,
        f"deployment/{name} is paused{held}",
        Evidence("paused", "true", f"deployment/{name} .spec.paused"),
        remedies=(Remedy("let it roll out", f"kubectl -n {case.namespace} rollout resume deployment/{name}"),),
    )


def _stuck(case: Case, deployment: Workload) -> Finding | None:
    name = deployment.metadata.name
    condition = _past_deadline(deployment)
    new = newest(case.replica_sets_of(deployment)) if condition else None
    if condition is None or new is None:
        return None
    pods = [pod for pod in case.live_pods if top_owner(pod) == ("Deployment", name)]
    old = [pod for pod in pods if _replica_set(pod) != new.metadata.name and is_ready(pod)]
    waiting = [pod for pod in pods if _replica_set(pod) == new.metadata.name and not is_ready(pod)]
    if not old:
        return None
    return warn(
        "workload-rollout-stuck",
        case.subject,
        f"the rollout of deployment/{name} is stuck{_since(condition)}; "
        f"{plural(len(old), 'Pod')} of the old version still {'serves' if len(old) == 1 else 'serve'}",
        Evidence(
            "rollout",
            shorten(condition.message or condition.reason or ""),
            f"deployment/{name} .status.conditions[Progressing]",
        ),
        *_change(case, deployment),
        *_why(case, new, waiting),
        remedies=(
            Remedy(
                "see what the new Pods wait for",
                f"kubectl -n {case.namespace} describe pods {_names(waiting)}".strip(),
                False,
            )
            if waiting
            else Remedy(
                "see why no new Pods come",
                f"kubectl -n {case.namespace} describe replicaset {new.metadata.name}",
                False,
            ),
            Remedy(
                "or go back to the version that serves", f"kubectl -n {case.namespace} rollout undo deployment/{name}"
            ),
        ),
    )


def _past_deadline(deployment: Workload) -> Condition | None:
    for condition in deployment.status.conditions or ():
        if (condition.type, condition.status, condition.reason) == ("Progressing", "False", "ProgressDeadlineExceeded"):
            return condition
    return None


def _since(condition: Condition) -> str:
    moment = utc_time(condition.last_transition_time)
    return f" since {moment}" if moment else ""


def _change(case: Case, deployment: Workload) -> Iterator[Evidence]:
    """Which revision it is, since when, and what it changed."""
    change = last_change(deployment, case.replica_sets_of(deployment))
    if change and change.made:
        yield Evidence("change", f"{change}, made at {utc_time(change.made)}", change.source)
    elif change:
        source = f"replicaset/{change.replica_set} .metadata.annotations"
        yield Evidence("change", f"back to what {change} has", source)


def _replica_set(pod: Pod) -> str:
    return next((owner.name for owner in pod.metadata.owner_references or () if owner.controller), "")


def _why(case: Case, new: Workload, waiting: list[Pod]) -> Iterator[Evidence]:
    """What the new Pods wait for, or why there are none."""
    for condition in new.status.conditions or ():
        if condition.type == "ReplicaFailure" and condition.status == "True":
            source = f"replicaset/{new.metadata.name} .status.conditions[ReplicaFailure]"
            yield Evidence("refused", shorten(condition.message or "", 300), source)
    for pod in waiting[:1]:
        state = case.pod_state(pod)
        message = state.message if not state.ready else "not ready"
        yield Evidence(f"{plural(len(waiting), 'new Pod')}", message, f"pod/{pod.metadata.name} .status")


def _names(pods: list[Pod]) -> str:
    return " ".join(pod.metadata.name for pod in pods[:3])
