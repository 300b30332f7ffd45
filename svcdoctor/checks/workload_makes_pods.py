"""Do the workloads behind the Service make their Pods?

workload-scaled-zero
    The selector fits a workload that is asked for no Pods.
    Why it breaks      Zero replicas make zero endpoints, and kube-proxy refuses connections.
    Confirm by hand    kubectl -n {namespace} get deployments,statefulsets,daemonsets
    Fix                kubectl -n {namespace} scale deployment NAME --replicas=N
    Not a fault when   Something scales it up on demand (Knative, KEDA).

workload-failed-create
    The selector fits a workload whose Pods the API server refuses to create.
    Why it breaks      The controller asks again and again, and each Pod is rejected at admission: by a ResourceQuota,
                       a LimitRange, PodSecurity, a webhook, or because its ServiceAccount is not there.
    Confirm by hand    kubectl -n {namespace} get events --field-selector reason=FailedCreate
    Fix                What the message names: raise the quota, meet the policy, create the ServiceAccount.
    Not a fault when   The workload was created or scaled a moment ago.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote
from typing import NamedTuple

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, note, unknown
from svcdoctor.pods.template import POD_INDEX, POD_NAME, WORKLOAD_RESOURCES, Template, matches
from svcdoctor.text import duration, selector_text, shorten

CHECK = Check(
    step=Step.LABELS,
    codes={
        "workload-scaled-zero": Code(Stage.EXPECTED_SET),
        "workload-failed-create": Code(Stage.EXPECTED_SET),
    },
    reads=("services", "endpointslices", "pods", *WORKLOAD_RESOURCES, "events"),
)

# A controller has created its Pods long before this; what is missing then will not come by itself.
CREATED_WITHIN = 60.0


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        return
    if case.empty_workloads:
        yield from _without_pods(case, case.empty_workloads)
    elif case.finds_nothing:
        yield from _of_the_missed(case)


def _without_pods(case: Case, wanted: list[Template]) -> Iterator[Finding]:
    asked = [template for template in wanted if template.desired != 0 and not _fits_no_node(template)]
    refused = next((found for template in asked if (found := _refusal(case, template))), None)
    if refused:
        yield refused
    elif asked and not case.live_pods:
        yield from _missing(case, asked[0])
    elif not asked:
        yield from _at_zero(case, wanted)


def _at_zero(case: Case, wanted: list[Template]) -> Iterator[Finding]:
    template = next((template for template in wanted if template.desired == 0), wanted[0])
    if case.is_deliberately_idle:
        message = f"{template.ref} is scaled to zero until it is asked for"
        yield note("workload-scaled-zero", case.subject, message, _replicas(template))
    elif not case.other_releases:  # else the selector stays on a version that was taken out of service
        yield _scaled_zero(case, template)


def _of_the_missed(case: Case) -> Iterator[Finding]:
    """What the right selector would run into next."""
    missed = case.near_misses[0].template if case.near_misses and case.near_misses[0].strong else None
    if missed is None:
        return
    if missed.desired == 0:
        yield _scaled_zero(case, missed)
    elif not case.pods_of(missed):
        yield from filter(None, [_refusal(case, missed)])


def _fits_no_node(template: Template) -> bool:
    return template.kind == "DaemonSet" and template.owner.status.desired_number_scheduled == 0


def _replicas(template: Template) -> Evidence:
    if template.kind == "DaemonSet":
        return Evidence("nodes that fit", "0", f"{template.ref} .status.desiredNumberScheduled")
    return Evidence("replicas", "0", f"{template.ref} .spec.replicas")


def _scaled_zero(case: Case, template: Template) -> Finding:
    if template.kind == "DaemonSet":
        message = f"no node fits {template.ref}, so it runs no Pods"
        fields = "'{.spec.template.spec.nodeSelector} {.spec.template.spec.affinity}'"
        command = f"kubectl -n {case.namespace} get daemonset {template.name} -o jsonpath={fields}"
        remedy = Remedy("compare its nodeSelector and affinity with the nodes' labels", command, changes_cluster=False)
    else:
        message = f"{template.ref} is scaled to 0 replicas"
        command = f"kubectl -n {case.namespace} scale {template.ref} --replicas=1"
        remedy = Remedy(f"scale {template.ref} up", command)
    return fail("workload-scaled-zero", case.subject, message, _replicas(template), remedies=(remedy,))


class Refusal(NamedTuple):
    """What the API server says when it creates no Pod, what that is called, and how to look at it."""

    pattern: re.Pattern[str]
    reason: str
    do: str
    command: str


REFUSALS = (
    Refusal(
        re.compile(r"exceeded quota|failed quota|must specify"),
        "the namespace's ResourceQuota leaves no room",
        "compare what the quota allows with what is used, then raise it or free some",
        "kubectl -n {namespace} describe resourcequota",
    ),
    Refusal(
        re.compile(r"(?:maximum|minimum) \S+ usage per|limit to request ratio"),
        "a LimitRange does not allow its resources",
        "compare the LimitRange with the containers' resources",
        "kubectl -n {namespace} describe limitrange",
    ),
    Refusal(
        re.compile(r"violates PodSecurity"),
        "PodSecurity admission rejects them",
        "see which level the namespace enforces, then meet it in the Pod template's securityContext",
        "kubectl get namespace {namespace} --show-labels",
    ),
    Refusal(
        re.compile(r"failed calling webhook|admission webhook|failed to call webhook"),
        "an admission webhook rejects them or does not answer",
        "find the webhook that the message names, and the Service behind it",
        "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
    ),
    Refusal(
        re.compile(r"service ?account", re.IGNORECASE),
        "their ServiceAccount does not exist",
        "create the ServiceAccount",
        "kubectl -n {namespace} create serviceaccount {account}",
    ),
)


def _refusal(case: Case, template: Template) -> Finding | None:
    evidence = _failed_create(case, template)
    if evidence is None:
        return None
    known = next((refusal for refusal in REFUSALS if refusal.pattern.search(evidence.value)), None)
    reason = known.reason if known else "the API server rejects them"
    return fail(
        "workload-failed-create",
        case.subject,
        f"the Pods of {template.ref} cannot be created: {reason}",
        evidence,
        remedies=(_after_refusal(template, known, evidence.value),),
    )


def _after_refusal(template: Template, known: Refusal | None, message: str) -> Remedy:
    if known is None:
        events = f"kubectl -n {template.namespace} get events --field-selector reason=FailedCreate"
        return Remedy("read why", events, changes_cluster=False)
    account = re.search(r'serviceaccount "([^"]+)" not found', message)
    if "{account}" in known.command and not account:
        return Remedy("see which exist", f"kubectl -n {template.namespace} get serviceaccounts", changes_cluster=False)
    command = known.command.format(namespace=template.namespace, account=quote(account[1]) if account else "")
    return Remedy(known.do, command, changes_cluster=bool(account))


def _failed_create(case: Case, template: Template) -> Evidence | None:
    """The API server's words, from the workload's own condition, its ReplicaSets' or the last event."""
    owned = [
        item
        for item in case.or_without(lambda: case.listed("replicasets"), {}).values()
        if any(
            owner.kind == template.kind and owner.name == template.name
            for owner in item.metadata.owner_references or ()
        )
    ]
    for kind, item in [(template.kind, template.owner), *(("ReplicaSet", item) for item in owned)]:
        for condition in item.status.conditions or ():
            if condition.type == "ReplicaFailure" and condition.status == "True":
                source = f"{kind.lower()}/{item.metadata.name} .status.conditions[ReplicaFailure]"
                return Evidence("refused", shorten(condition.message or condition.reason or "", 300), source)
    names = [(template.kind, template.name), *(("ReplicaSet", item.metadata.name) for item in owned)]
    for kind, name in names:
        events = case.or_without(lambda kind=kind, name=name: case.events(kind, name), [])  # type: ignore[misc]
        refused = [event for event in events if event.reason == "FailedCreate"]
        if refused:
            return Evidence(
                "refused", shorten(refused[-1].message or "", 300), f"event FailedCreate of {kind.lower()}/{name}"
            )
    return None


def _missing(case: Case, template: Template) -> Iterator[Finding]:
    """Pods are asked for, none matches, and nothing says that they were refused."""
    owner = template.owner
    pinned = POD_NAME in case.selector or POD_INDEX in case.selector
    if not pinned and any(not matches(case.selector, pod.metadata.labels) for pod in case.pods_of(template)):
        return  # it has made Pods, and their labels are another question
    if owner.spec.paused:
        yield fail(
            "workload-failed-create",
            case.subject,
            f"{template.ref} was paused before it made any Pods",
            Evidence("paused", "true", f"{template.ref} .spec.paused"),
            remedies=(Remedy("let it run", f"kubectl -n {case.namespace} rollout resume {template.ref}"),),
        )
        return
    waited = _missing_for(case, template)
    if waited < CREATED_WITHIN:
        message = f"{template.ref} has no Pods yet, {duration(waited)} after they were asked for"
        yield unknown("unknown-settling", case.subject, message, _desired(template))
        return
    case.listed("replicasets")  # where a refusal would stand
    seen = owner.status.observed_generation
    behind = seen is None or seen < owner.metadata.generation
    why = "its controller has not seen it" if behind else "nothing says why (events are kept for an hour)"
    events = f"kubectl -n {case.namespace} describe {template.ref}"
    what = f"the Pod with {selector_text(case.selector)}" if pinned else "Pods"
    yield fail(
        "workload-failed-create",
        case.subject,
        f"{template.ref} has no {what}; {why}" if not pinned else f"{template.ref} has not made {what}; {why}",
        _desired(template),
        Evidence(
            "seen by its controller",
            f"generation {seen or 'none'} of {owner.metadata.generation}",
            f"{template.ref} .status.observedGeneration",
        ),
        remedies=(Remedy("read its conditions and events", events, changes_cluster=False),),
        inferred=True,
        because="sts-ordinal-blocked" if pinned else "selector-label-drift",
    )


def _desired(template: Template) -> Evidence:
    if template.desired is None:
        return Evidence("Pods", "0", f"{template.ref} .status")
    return Evidence("Pods", f"0 of {template.desired}", f"{template.ref} .spec.replicas")


def _missing_for(case: Case, template: Template) -> float:
    """Seconds since the workload had its Pods or was created, as far as objects say."""
    unavailable = [
        case.seconds_since(condition.last_transition_time)
        for condition in template.owner.status.conditions or ()
        if condition.type == "Available" and condition.status == "False"
    ]
    return min([case.age(template.owner), *(seconds for seconds in unavailable if seconds is not None)])
