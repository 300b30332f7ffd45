"""What is said of the Pods behind a Service that are not as they should be: one finding for those that fail alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from svcdoctor.case import Case
from svcdoctor.finding import Evidence, Finding, Status, fail, note, unknown, warn
from svcdoctor.objects import Pod
from svcdoctor.pods.dependency import absent_names, awaited_by_init, shared_dependency
from svcdoctor.pods.history import unready_since
from svcdoctor.pods.podstate import PodState
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.text import listing, plural, selector_text, utc_time

SETTLING = "unknown-settling"
# What verdicts() reads, whatever the codes; policies where an init container waits for a Service.
VERDICTS_READ = (
    *("pods", "events", "nodes", *WORKLOAD_RESOURCES, "services", "endpointslices", "configmaps"),
    *("networkpolicies", *OTHER_KINDS, "namespaces"),
)
_RUNNING = ("pods-not-ready-probe", "pods-readiness-dependency", "pods-sidecar-not-ready", "pods-readiness-gate")
# A Pod without a readiness probe is ready for a moment at each restart: its condition tells of the last one only.
_RESTARTING = (
    "pods-crashloop",
    "pods-oomkilled",
    "pods-liveness-kill",
    "pods-startup-probe",
    "port-sidecar-conflict",
    "port-privileged-bind",
)


def verdicts(case: Case, codes: Collection[str]) -> Iterator[Finding]:
    """The findings with these codes, and `unknown-settling` where it is among them."""
    if case.live_pods:
        found = [finding for names in _alike(case.pod_states) for finding in _judged(case, names)]
    else:
        found = _masked(case) or _ended(case)
    yield from (finding for finding in found if finding.code in codes)


def _judged(case: Case, names: tuple[str, ...]) -> Iterator[Finding]:
    """One finding for Pods that fail alike, with the evidence of the first."""
    state = _with_dependency(case, names)
    code, message = state.code or "", f"{state.message}, {state.tally}" if state.tally else state.message
    served = any(other.ready for other in case.pod_states.values())
    if code == SETTLING:
        if not served:
            yield unknown(code, case.subject, f"no ready Pod yet: {message}", pods=names)
    elif served and names[0] in case.starting_pods:
        text = f"a new version is being rolled out and does not start yet: {message}"
        yield note(code, case.subject, text, *state.evidence, remedies=state.remedies)
    else:
        # Addresses of Pods that are not ready get requests where the Service says so, and these Pods do run.
        reached = case.spec.publish_not_ready_addresses and code in _RUNNING
        say = fail if state.status is Status.FAIL and not served and not reached else warn
        awaited = awaited_by_init(case, _pod(case, names[0])) if code == "pods-init-blocked" else None
        waits_for = list(awaited.evidence) if awaited else []
        if code == "pods-crashloop":
            waits_for = case.or_without(lambda: absent_names(case, _pod(case, names[0])), [])[:2]
        evidence = (*_how_many(case, names), *state.evidence, *waits_for, *_since(case, names, code))
        environment = case.environment_faults.get(names[0])
        yield say(
            code,
            case.subject,
            f"{message}: {awaited.message}" if awaited and awaited.message else message,
            *evidence,
            remedies=(*awaited.remedies, *state.remedies) if awaited else state.remedies,
            inferred=state.inferred,
            because=environment.code if environment else "headless-no-ready" if case.awaited_peers else None,
            pods=names,
        )


def _with_dependency(case: Case, names: tuple[str, ...]) -> PodState:
    """The state of the first; of a readiness probe that hangs on something else, with what that is."""
    state = case.pod_states[names[0]]
    if state.code != "pods-not-ready-probe":
        return state
    pods = [_pod(case, name) for name in names]
    found = shared_dependency(case, pods, case.serving_container(pods[0].spec))
    if found is None:
        return state
    return state._replace(
        code="pods-readiness-dependency",
        message=f"{found.message}: {state.message}",
        evidence=(*state.evidence, *found.evidence),
        remedies=(*found.remedies, *state.remedies),
        inferred=found.inferred,
    )


def _pod(case: Case, name: str) -> Pod:
    pod: Pod = case.listed("pods")[name]
    return pod


def _since(case: Case, names: tuple[str, ...], code: str) -> list[Evidence]:
    """Since when, and after which change: of the Pod that was the first."""
    if code in _RESTARTING:
        events = case.or_without(lambda: case.events("Pod", names[0]), [])
        first = next((event for event in events if event.reason == "BackOff" and event.first_timestamp), None)
        source = f"first BackOff event of pod/{names[0]}"
        return [Evidence("keeps ending since", utc_time(first.first_timestamp), source)] if first else []
    pods = [_pod(case, name) for name in names]
    change = case.or_without(lambda: case.change_behind(pods[0]), None)
    since = [evidence for pod in pods if (evidence := unready_since(pod, change))]
    return [min(since, key=lambda evidence: evidence.value)] if since else []


def _masked(case: Case) -> list[Finding]:
    """What keeps the Pods from serving that the selector misses, where none of them could."""
    pods = case.or_without(lambda: case.masked_pods, [])
    states = {pod.metadata.name: case.pod_state(pod) for pod in pods}
    if any(state.ready or state.code == SETTLING for state in states.values()):
        return []
    return [
        fail(
            states[names[0]].code or "",
            case.subject,
            f"the Pods that the selector misses are not ready: {states[names[0]].message}",
            *states[names[0]].evidence,
            remedies=states[names[0]].remedies,
            inferred=states[names[0]].inferred,
        )
        for names in _alike(states)
        if states[names[0]].status is Status.FAIL
    ]


def _alike(states: dict[str, PodState]) -> list[tuple[str, ...]]:
    """The names of Pods that fail in the same way, together; the largest group first."""
    groups: dict[tuple[str, str], list[str]] = {}
    troubled = [(name, state, state.code) for name, state in states.items() if state.code]
    for name, state, code in sorted(troubled, key=lambda entry: entry[1].is_vague):
        telling = next((key for key in groups if key[0] == code and state.is_vague), None)
        groups.setdefault(telling or (code, state.message), []).append(name)
    return sorted(map(tuple, groups.values()), key=len, reverse=True)


def _how_many(case: Case, names: tuple[str, ...]) -> list[Evidence]:
    if len(case.live_pods) == 1:
        return []
    count = f"{len(names)} of {len(case.live_pods)}: {listing(names)}"
    return [Evidence("Pods", count, f"pods with labels {selector_text(case.selector)}")]


def _ended(case: Case) -> list[Finding]:
    """Only Pods that have ended, if any. Those of a Job are meant to end."""
    own = [pod for pod in case.pods if not any(owner.kind == "Job" for owner in pod.metadata.owner_references or ())]
    states = {pod.metadata.name: case.pod_state(pod) for pod in own}
    return [
        fail(
            states[names[0]].code or "",
            case.subject,
            f"{plural(len(names), 'Pod')} {states[names[0]].message}",
            *states[names[0]].evidence,
            pods=names,
        )
        for names in _alike(states)
    ]
