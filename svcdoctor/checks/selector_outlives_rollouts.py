"""Does the selector keep its Pods through rollouts, and do the Pods keep the labels it asks for?

selector-pins-rollout-hash
    The selector asks for a label that a controller sets anew at each rollout, or that one Pod of a set alone has.
    Why it breaks      pod-template-hash and controller-revision-hash change with the Pod template: after the next
                       rollout no Pod has the old value, and the Service has no endpoint. A Pod's own name or number in
                       the selector of a Service for the whole set leaves the other Pods out.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.selector}'
    Fix                Take the key out of the selector with a JSON patch; a merge would keep it.
    Not a fault when   Something rewrites the selector at each rollout (Argo Rollouts has a key of its own for that),
                       or the Service is meant for one Pod of a StatefulSet.

selector-label-drift
    The labels of a running Pod were changed by hand: its workload made it for this Service, and the Service does not
    find it, or the workload has let go of it.
    Why it breaks      A Pod that its workload still counts is not replaced, so the Service has an endpoint less than
                       there are replicas. One that the workload has let go of runs on: nobody restarts, updates or
                       deletes it; a StatefulSet cannot even make another, because the name is taken.
    Confirm by hand    kubectl -n {namespace} get pods --show-labels -o wide
    Fix                Give the Pod its label back, or delete it.
    Not a fault when   Somebody took the Pod out of service to look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.nearmiss import is_called
from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.objects import Pod
from svcdoctor.pods.template import POD_INDEX, POD_NAME, WORKLOAD_RESOURCES, Template, matches, top_owner
from svcdoctor.text import label_words, listing, patch_command, plural, selector_text

CHECK = Check(
    step=Step.LABELS,
    codes={
        "selector-pins-rollout-hash": Code(Stage.EXPECTED_SET, settles=False),
        "selector-label-drift": Code(Stage.EXPECTED_SET),
    },
    reads=("pods", *WORKLOAD_RESOURCES, "endpointslices", "services"),
)
ROLLOUT_KEYS = ("pod-template-hash", "controller-revision-hash")


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        return
    pinned = _pinned(case)
    if pinned:
        yield pinned
        return
    for template in _workloads(case):
        yield from _drifted(case, template)


# --- what changes with each rollout ------------------------------------------------------------------------------


def _pinned(case: Case) -> Finding | None:
    pins = {key: value for key, value in case.selector.items() if key in ROLLOUT_KEYS}
    if pins:
        return _pinned_to_rollout(case, pins)
    pins = {key: value for key, value in case.selector.items() if key in (POD_NAME, POD_INDEX)}
    return _pinned_to_pod(case, pins) if pins and case.live_pods else None


def _pinned_to_rollout(case: Case, pins: dict[str, str]) -> Finding | None:
    others = {key: value for key, value in case.selector.items() if key not in pins}
    pinned = selector_text(pins)
    if case.live_pods:
        kind, name = top_owner(case.live_pods[0])
        message = f"the selector pins {pinned}, which the Pods of {kind.lower()}/{name} lose at its next rollout"
        return _pin(case, warn, message, pins, f"{kind.lower()}/{name}", case.live_pods[0].metadata.labels or {})
    meant = [
        template for template in case.likely_templates if matches(others, template.labels) and template.kind != "Pod"
    ]
    if not meant:
        return None  # what else keeps it from matching comes first
    template = meant[0]
    message = f"the selector pins {pinned}, which no Pod of {template.ref} has since its last rollout"
    pods = case.pods_of(template)
    return _pin(case, fail, message, pins, template.ref, (pods[0].metadata.labels or {}) if pods else {})


def _pin(
    case: Case, say: Callable[..., Finding], message: str, pins: dict[str, str], owner: str, labels: dict[str, str]
) -> Finding:
    now = [f"{key}={labels[key]}" for key in pins if key in labels]
    return say(
        "selector-pins-rollout-hash",
        case.subject,
        message,
        Evidence("pinned", selector_text(pins), f"service/{case.name} .spec.selector"),
        Evidence("its Pods have", listing(now) or "none of these keys", f"pods of {owner} .metadata.labels"),
        remedies=(_unpin(case, pins, owner),),
    )


def _unpin(case: Case, pins: dict[str, str], owner: str) -> Remedy:
    if len(pins) == len(case.selector):
        command = f"kubectl -n {case.namespace} get pods --show-labels"
        return Remedy(f"select by a label that the Pods of {owner} keep", command, changes_cluster=False)
    paths = [f"/spec/selector/{key.replace('~', '~0').replace('/', '~1')}" for key in pins]
    patch = [{"op": "remove", "path": path} for path in paths]
    return Remedy(
        f"take {listing(list(pins))} out of the selector",
        patch_command(case.namespace, f"service {case.name}", patch),
    )


def _pinned_to_pod(case: Case, pins: dict[str, str]) -> Finding | None:
    """A Service that is the whole set's by its name or by serviceName, and finds one Pod of it."""
    kind, name = top_owner(case.live_pods[0])
    statefulset = case.listed("statefulsets").get(name) if kind == "StatefulSet" else None
    if statefulset is None or statefulset.spec.replicas in (None, 0, 1):
        return None
    if statefulset not in case.governed and not is_called(case.name, name):
        return None
    replicas = plural(statefulset.spec.replicas, "Pod")
    message = f"the selector pins {selector_text(pins)}: of the {replicas} of statefulset/{name} it finds one"
    return _pin(case, warn, message, pins, f"statefulset/{name}", case.live_pods[0].metadata.labels or {})


# --- labels changed by hand --------------------------------------------------------------------------------------


def _workloads(case: Case) -> list[Template]:
    """What made the Pods that are found; where none is, what would make Pods that are."""
    return case.workloads if case.live_pods else [item for item in case.empty_workloads if item.desired != 0]


def _drifted(case: Case, template: Template) -> Iterator[Finding]:
    if not template.is_selected(case.selector):
        return  # the Pods that are found have their labels from elsewhere
    made, found = case.pods_of(template), case.pods_by_owner.get((template.kind, template.name), [])
    lost = [pod for pod in made if _has_lost_its_label(case, template, pod)] if len(made) > len(found) else []
    gone = [pod for pod in case.pods_let_go(template.kind, template.name) if _runs(pod)]
    if lost:
        yield _lost(case, template, lost)
    if gone:
        yield _let_go(case, template, gone)


def _runs(pod: Pod) -> bool:
    return pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None


def _has_lost_its_label(case: Case, template: Template, pod: Pod) -> bool:
    """Whether the Pod was made with the labels that the selector asks for: older ones may never have had them."""
    labels = pod.metadata.labels or {}
    if matches(case.selector, labels) or not _runs(pod):
        return False
    if template.kind == "Deployment":
        owner = next((item.name for item in pod.metadata.owner_references or () if item.controller), "")
        made_by = case.listed("replicasets").get(owner)
        return made_by is not None and matches(case.selector, made_by.spec.template.metadata.labels)
    key = "controller-revision-hash"
    alike = (other for other in case.live_pods if top_owner(other) == (template.kind, template.name))
    return matches(case.selector, template.labels) and any(
        (other.metadata.labels or {}).get(key) == labels.get(key) for other in alike
    )


def _difference(case: Case, template: Template, pod: Pod) -> tuple[dict[str, str], str]:
    """What the template says and the Pod does not, and what it says instead."""
    labels = pod.metadata.labels or {}
    wanted = {
        key: value
        for key, value in template.labels.items()
        if labels.get(key) != value and (key in case.selector or key in template.own_labels)
    }
    return wanted, listing([f"{key}={labels[key]}" if key in labels else f"no {key}" for key in wanted])


def _lost(case: Case, template: Template, pods: list[Pod]) -> Finding:
    name = pods[0].metadata.name
    wanted, found = _difference(case, template, pods[0])
    others = sum(is_ready(pod) for pod in case.live_pods)
    made = len(case.pods_of(template))
    count = f"the only Pod of {template.ref}" if made == 1 else f"{len(pods)} of {made} Pods of {template.ref}"
    say = warn if others else fail
    return say(
        "selector-label-drift",
        case.subject,
        f"{count} {'has' if len(pods) == 1 else 'have'} lost {selector_text(wanted)}: no request reaches "
        f"{'it' if len(pods) == 1 else 'them'}, and nothing takes {'its' if len(pods) == 1 else 'their'} place",
        Evidence("template", selector_text(wanted), f"{template.ref} .spec.template.metadata.labels"),
        Evidence("now", found, f"pod/{name} .metadata.labels"),
        remedies=(_relabel(case, wanted, pods),),
    )


def _let_go(case: Case, template: Template, pods: list[Pod]) -> Finding:
    """Taken out of the workload's selector: it has made others instead, or cannot."""
    name = pods[0].metadata.name
    wanted, found = _difference(case, template, pods[0])
    is_blocking = template.kind == "StatefulSet"
    reached = matches(case.selector, pods[0].metadata.labels)
    state = "still gets requests" if reached else "gets no requests"
    then = (
        f"{template.ref} cannot make another of that name"
        if is_blocking
        else f"{template.ref} neither updates nor restarts it"
    )
    doubt = () if is_blocking else (Evidence("also possible", "it was taken out to be looked at", f"pod/{name}"),)
    say = fail if not case.live_pods else warn
    return say(
        "selector-label-drift",
        case.subject,
        f"{listing([pod.metadata.name for pod in pods])} {'was' if len(pods) == 1 else 'were'} relabelled "
        f"({found or 'other labels'}): it {state}, and {then}",
        Evidence("template", selector_text(wanted or dict(template.own_labels)), f"{template.ref} .spec.template"),
        Evidence("now", selector_text(dict(pods[0].metadata.labels or {})), f"pod/{name} .metadata.labels"),
        Evidence("owner", "<none>", f"pod/{name} .metadata.ownerReferences"),
        *doubt,
        remedies=_after_letting_go(case, template, wanted, pods, is_blocking),
        inferred=not is_blocking,
    )


def _after_letting_go(
    case: Case, template: Template, wanted: dict[str, str], pods: list[Pod], is_blocking: bool
) -> tuple[Remedy, ...]:
    back = (_relabel(case, wanted, pods),) if wanted else ()
    if is_blocking and back:
        return back
    names = [pod.metadata.name for pod in pods]
    delete = Remedy(
        f"delete {listing(names)}, once it was looked at", f"kubectl -n {case.namespace} delete pod {names[0]}"
    )
    return (delete, *back)


def _relabel(case: Case, wanted: dict[str, str], pods: list[Pod]) -> Remedy:
    pairs = label_words(wanted)
    name = pods[0].metadata.name
    command = f"kubectl -n {case.namespace} label pod {name} {pairs} --overwrite"
    return Remedy(f"give {name} its label back", command)
