"""Do rollouts behind the Service complete?

workload-rollout-stuck
    A rollout has passed its deadline: Pods of the new version do not become ready, those of the old one still serve.
    Why it breaks      The Service is up, on the version before. A rolling update waits for new Pods before it takes
                       old ones away, so nobody notices; the next node drain or a scale-down takes the rest.
    Confirm by hand    kubectl -n {namespace} rollout status deployment
    Fix                Fix what keeps the new Pods from being ready, or go back: kubectl rollout undo.
    Not a fault when   The rollout is within its progressDeadlineSeconds, or was paused on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, passed, warn
from svcdoctor.objects import Condition, Pod, Workload
from svcdoctor.reconcile import is_ready
from svcdoctor.template import top_owner
from svcdoctor.text import duration, plural, shorten

REVISION = "deployment.kubernetes.io/revision"

CHECK = Check(
    step=Step.LABELS,
    codes={"workload-rollout-stuck": Code(Stage.EXPECTED_SET)},
    reads=("pods", "deployments", "replicasets", "events", "nodes"),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        return
    names = sorted({name for kind, name in map(top_owner, case.live_pods) if kind == "Deployment"})
    if not names:
        return
    deployments = [case.listed("deployments")[name] for name in names if name in case.listed("deployments")]
    stuck = [finding for deployment in deployments if (finding := _stuck(case, deployment))]
    yield from stuck
    if not stuck:
        yield passed(case.subject, f"{plural(len(deployments), 'Deployment')} behind it, no rollout past its deadline")


def _stuck(case: Case, deployment: Workload) -> Finding | None:
    name = deployment.metadata.name
    condition = _past_deadline(deployment)
    new = _newest_replica_set(case, deployment) if condition else None
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
        f"the rollout of deployment/{name} is stuck{_since(case, condition)}; "
        f"{plural(len(old), 'Pod')} of the old version still {'serves' if len(old) == 1 else 'serve'}",
        Evidence(
            "rollout",
            shorten(condition.message or condition.reason or ""),
            f"deployment/{name} .status.conditions[Progressing]",
        ),
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


def _since(case: Case, condition: Condition) -> str:
    seconds = case.seconds_since(condition.last_transition_time)
    return "" if seconds is None else f" for {duration(seconds)}"


def _newest_replica_set(case: Case, deployment: Workload) -> Workload | None:
    """The ReplicaSet of the current template: the one that carries the Deployment's own revision."""
    revision = (deployment.metadata.annotations or {}).get(REVISION)
    for item in case.listed("replicasets").values():
        owned = any(owner.uid == deployment.metadata.uid for owner in item.metadata.owner_references or ())
        if owned and revision and (item.metadata.annotations or {}).get(REVISION) == revision:
            found: Workload = item
            return found
    return None


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
