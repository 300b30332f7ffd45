"""Does the StatefulSet behind the Service make the Pods it is asked for, and the one that is asked for by number?

sts-ordinal-blocked
    A Pod of the StatefulSet is not ready, and those that come after it do not exist.
    Why it breaks      With podManagementPolicy OrderedReady, the default, each Pod is made when the one before it is
                       ready. A Pod that stays unready stops the set; and one that was made from a broken template is
                       not made anew when the template is mended (kubernetes/kubernetes issue 67250).
    Confirm by hand    kubectl -n {namespace} get pods -l {selector}
    Fix                Mend what keeps that Pod from being ready, then delete it; or create the set with Parallel.
    Not a fault when   The Pod has only started.

sts-per-pod-service
    The Service selects one Pod of a StatefulSet by its number, and the set has no such number.
    Why it breaks      A StatefulSet of three has the Pods 0, 1 and 2. After scaling down the Services of the Pods that
                       went stay behind: whoever connects to one is refused.
    Confirm by hand    kubectl -n {namespace} get statefulsets; kubectl -n {namespace} get pods -l {selector}
    Fix                Scale the set up again, or delete the Service.
    Not a fault when   The set is scaled to zero altogether: then that is what is said.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Status, Step, fail, warn
from svcdoctor.objects import Pod, Workload
from svcdoctor.pods.template import POD_INDEX, POD_NAME, WORKLOAD_RESOURCES, Template, matches, template_of
from svcdoctor.text import plural, selector_text, whole_number

CHECK = Check(
    step=Step.LABELS,
    codes={
        "sts-ordinal-blocked": Code(Stage.PODS_READY),
        "sts-per-pod-service": Code(Stage.EXPECTED_SET),
    },
    reads=("pods", "events", "nodes", *WORKLOAD_RESOURCES, "services"),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        return
    beyond = None if case.live_pods else _beyond(case)
    if beyond:
        yield beyond
        return
    for statefulset in _statefulsets(case):
        yield from filter(None, [_blocked(case, statefulset)])


# --- a Pod that keeps others from being made -----------------------------------------------------------------------


def _statefulsets(case: Case) -> list[Workload]:
    owners = {name for kind, name in case.pods_by_owner if kind == "StatefulSet"}
    if not case.live_pods:
        owners = {template.name for template in case.matching_templates if template.kind == "StatefulSet"}
    held = case.listed("statefulsets") if owners else {}
    return [held[name] for name in sorted(owners) if name in held]


def _blocked(case: Case, statefulset: Workload) -> Finding | None:
    name = statefulset.metadata.name
    replicas = 1 if statefulset.spec.replicas is None else statefulset.spec.replicas
    pods = case.pods_of(template_of("StatefulSet", statefulset))
    missing = replicas - len(pods)
    if missing <= 0 or statefulset.spec.pod_management_policy == "Parallel":
        return None
    unready = [pod for pod in sorted(pods, key=_ordinal) if not is_ready(pod) and not pod.metadata.deletion_timestamp]
    state = case.pod_state(unready[0]) if unready else None
    if not unready or not state or state.status not in (Status.FAIL, Status.WARN):
        return None
    blocking = unready[0].metadata.name
    served = case.spec.publish_not_ready_addresses or any(map(is_ready, case.live_pods))
    say = warn if served else fail
    return say(
        "sts-ordinal-blocked",
        case.subject,
        f"{blocking} is not ready, so statefulset/{name} does not make its other "
        f"{plural(missing, 'Pod') if missing > 1 else 'Pod'}: {len(pods)} of {replicas} exist",
        Evidence("blocking", f"{blocking}: {state.message}", f"pod/{blocking} .status"),
        Evidence("Pods", f"{len(pods)} of {replicas}", f"statefulset/{name} .spec.replicas"),
        Evidence(
            "one after the other",
            statefulset.spec.pod_management_policy or "OrderedReady",
            f"statefulset/{name} .spec.podManagementPolicy",
        ),
        remedies=(
            Remedy(
                f"once its template is mended, delete {blocking}: it is not made anew by itself",
                f"kubectl -n {case.namespace} delete pod {blocking}",
            ),
        ),
        because=state.code,
        pods=(blocking,),
    )


def _ordinal(pod: Pod) -> int:
    return whole_number(pod.metadata.name.rpartition("-")[2]) or 0


# --- a Pod by its number -------------------------------------------------------------------------------------------


def _beyond(case: Case) -> Finding | None:
    """The number that the selector names is none that the set has."""
    pins = {key: case.selector[key] for key in (POD_NAME, POD_INDEX) if key in case.selector}
    if not pins or case.matching_templates:
        return None
    others = {key: value for key, value in case.selector.items() if key not in pins}
    for template in case.likely_templates:
        ordinal = _asked_for(template, pins) if template.kind == "StatefulSet" else None
        if ordinal is not None and (not others or matches(others, template.labels)):
            return _no_such_number(case, template, pins, ordinal)
    return None


def _asked_for(template: Template, pins: dict[str, str]) -> int | None:
    name = pins.get(POD_NAME, f"{template.name}-{pins.get(POD_INDEX, '')}")
    number = name.removeprefix(f"{template.name}-")
    return whole_number(number) if number != name else None


def _no_such_number(case: Case, template: Template, pins: dict[str, str], ordinal: int) -> Finding:
    replicas = template.desired or 0
    return fail(
        "sts-per-pod-service",
        case.subject,
        f"the Service is for {template.name}-{ordinal}, and {template.ref} has "
        + (f"{template.name}-0 alone" if replicas == 1 else f"{template.name}-0 to {template.name}-{replicas - 1}"),
        Evidence("selector", selector_text(pins), f"service/{case.name} .spec.selector"),
        Evidence("replicas", str(replicas), f"{template.ref} .spec.replicas"),
        remedies=(
            Remedy(
                f"scale {template.ref} up to it",
                f"kubectl -n {case.namespace} scale {template.ref} --replicas={ordinal + 1}",
            ),
            Remedy("if that Pod is gone for good", f"kubectl -n {case.namespace} delete service {case.name}"),
        ),
    )
