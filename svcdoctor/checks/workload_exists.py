"""Is the workload there that others still count on?

workload-missing
    Nothing carries the labels that the Service selects, and what is left shows that a workload did: an autoscaler, a
    disruption budget or an event of it.
    Why it breaks      A Service, a HorizontalPodAutoscaler or a PodDisruptionBudget outlives the Deployment that it
                       was made for. Without Pods there are no endpoints, and connections are refused.
    Confirm by hand    kubectl -n {namespace} get deployments,statefulsets,daemonsets
    Fix                Deploy it again; or delete what is left of it.
    Not a fault when   It is being deployed for the first time, and comes after its Service and autoscaler.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail
from svcdoctor.pods.template import WORKLOAD_RESOURCES, matches
from svcdoctor.policies.policy import is_empty, selects
from svcdoctor.text import selector_text, shorten, utc_time
from svcdoctor.view import last_seen

CHECK = Check(
    step=Step.LABELS,
    codes={"workload-missing": Code(Stage.EXPECTED_SET)},
    reads=(
        "services",
        "pods",
        *WORKLOAD_RESOURCES,
        "horizontalpodautoscalers",
        "poddisruptionbudgets",
        "events",
    ),
)
RESOURCE_OF = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
# What controllers say of a workload when they make its Pods.
OF_WORKLOADS = ("ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete", "SuccessfulRescale")


class Trace(NamedTuple):
    """What a workload left behind."""

    workload: str  # as kubectl names it; "" where the trace does not say
    says: str
    evidence: Evidence


def run(case: Case) -> Iterator[Finding]:
    if not case.selector or case.is_external_name or case.pods or case.matching_templates or case.near_misses:
        return
    traces = [*_of_autoscalers(case), *_of_budgets(case), *_of_events(case)]
    if not traces or _lives_elsewhere(case):
        return
    name = next((trace.workload for trace in traces if trace.workload), "the workload")
    search = f"kubectl -n {case.namespace} get deployments,statefulsets,daemonsets"
    yield fail(
        "workload-missing",
        case.subject,
        f"no Pod and no workload has {selector_text(case.selector)}: {traces[0].says}",
        Evidence("selector", selector_text(case.selector), f"service/{case.name} .spec.selector"),
        *(trace.evidence for trace in traces),
        remedies=(
            Remedy(f"deploy {name} again from where its manifest is kept"),
            Remedy("see what is left in the namespace", search, changes_cluster=False),
        ),
    )


def _names(case: Case) -> list[str]:
    """What the workload was probably called: as the Service, or as what it selects."""
    return list(dict.fromkeys([case.name, *case.selector.values()]))


def _is_gone(case: Case, kind: str, name: str) -> bool:
    return kind in RESOURCE_OF and name not in case.listed(RESOURCE_OF[kind])


def _of_autoscalers(case: Case) -> Iterator[Trace]:
    scalers = case.or_without(lambda: case.listed("horizontalpodautoscalers"), {})
    for name, scaler in scalers.items():
        target = scaler.spec.scale_target_ref
        if target.name in _names(case) and _is_gone(case, target.kind, target.name):
            workload = f"{target.kind.lower()}/{target.name}"
            source = f"horizontalpodautoscaler/{name} .spec.scaleTargetRef"
            says = f"{workload} does not exist, and autoscaler {name} still scales it"
            yield Trace(workload, says, Evidence("autoscaler", f"scales {workload}", source))


def _of_budgets(case: Case) -> Iterator[Trace]:
    budgets = case.or_without(lambda: case.listed("poddisruptionbudgets"), {})
    for name, budget in budgets.items():
        if not is_empty(budget.spec.selector) and selects(budget.spec.selector, case.selector):
            source = f"poddisruptionbudget/{name} .spec.selector"
            says = f"disruption budget {name} still covers such Pods"
            yield Trace("", says, Evidence("budget", selector_text(budget.spec.selector.match_labels or {}), source))


def _of_events(case: Case) -> Iterator[Trace]:
    for kind in RESOURCE_OF:
        for name in _names(case):
            events = case.or_without(partial(case.events, kind, name), [])
            said = [event for event in events if event.reason in OF_WORKLOADS]
            if said and _is_gone(case, kind, name):
                workload = f"{kind.lower()}/{name}"
                seen = utc_time(last_seen(said[-1]))
                words = f"{seen}: {shorten(said[-1].message or '', 120)}"
                says = f"{workload} was there at {seen}, and is gone"
                yield Trace(workload, says, Evidence("event", words, f"{said[-1].reason} of {workload}"))


def _lives_elsewhere(case: Case) -> bool:
    """Whether it is in one other namespace: then it was put there, and selector_finds_pods says so."""
    found = {
        template.namespace
        for template in case.templates_everywhere()[0]
        if template.namespace != case.namespace and matches(case.selector, template.labels)
    }
    return len(found) == 1
