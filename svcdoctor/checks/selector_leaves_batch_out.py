"""Does the selector leave out the Pods of Jobs, and those that somebody started by hand?

selector-captures-job
    Beside the Pods that serve, the selector finds one of a Job, or a bare Pod that runs something else.
    Why it breaks      A Pod without a readiness probe is ready as soon as it runs, and gets its share of the requests.
                       Nothing listens in it: they are refused for as long as the Job runs or the debug Pod stays.
    Confirm by hand    kubectl -n {namespace} get pods -l {selector} -o wide
    Fix                Give the Pods that serve a label that the others lack and add it to the selector; take the
                       label that the selector asks for off the Job's Pod template.
    Not a fault when   The Pod listens on the Service's port too, or it has run to its end: then it gets no requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.nearmiss import IDENTITY_KEYS
from svcdoctor.endpoints.reconcile import is_ready, serving_containers
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, note, warn
from svcdoctor.objects import Container, Pod
from svcdoctor.pods.template import WORKLOAD_RESOURCES, Template, former_owner, top_owner
from svcdoctor.text import listing, patch_command, selector_text

CHECK = Check(
    step=Step.LABELS,
    codes={"selector-captures-job": Code(Stage.EXPECTED_SET)},
    reads=("services", "pods", *WORKLOAD_RESOURCES),
)
SERVING_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
# What the Job controller puts on its Pods: no Pod that serves has it, and it cannot be taken off.
_OF_JOBS = ("job-name", "controller-uid", "batch.kubernetes.io/job-name", "batch.kubernetes.io/controller-uid")


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        return
    kinds = {kind for kind, _ in case.pods_by_owner}
    staff = [pod for (kind, _), pods in case.pods_by_owner.items() if kind in SERVING_KINDS for pod in pods]
    strays = [] if kinds.issubset(SERVING_KINDS) else [pod for pod in case.live_pods if _is_stray(case, pod, staff)]
    if strays and (staff or _missed(case) or any(item.kind in SERVING_KINDS for item in case.matching_templates)):
        yield _captured(case, strays, staff)
    elif staff:
        yield from _captured_at_times(case)


def _missed(case: Case) -> Template | None:
    """The workload that a selector was surely meant for which finds the Pods of Jobs alone."""
    if {kind for kind, _ in case.pods_by_owner} != {"Job"}:
        return None
    return next(
        (miss.template for miss in case.near_misses if miss.strong and miss.template.kind in SERVING_KINDS), None
    )


def _is_stray(case: Case, pod: Pod, staff: Sequence[Pod]) -> bool:
    """Whether requests reach a Pod that is no part of the application."""
    kind = top_owner(pod)[0]
    if kind not in ("Job", "Pod") or not is_ready(pod) or pod.metadata.deletion_timestamp or _is_probed(case, pod):
        return False
    # A Job often runs the image of the application, with its ports declared, and serves nothing.
    return kind == "Job" or not (former_owner(pod) or _is_alike(case, pod, staff))


def _is_probed(case: Case, pod: Pod) -> bool:
    """Whether the kubelet saw the Pod answer on a port of the Service."""
    targets = {case.target_of(port, pod.spec) for port in case.ports}
    return any(_probed_port(container) in targets for container in serving_containers(pod.spec))


def _probed_port(container: Container) -> int:
    """The number that its readiness probe asks; 0 for none."""
    probe = container.readiness_probe
    action = probe and (probe.http_get or probe.tcp_socket or probe.grpc)
    port = action.port if action else 0
    named = (item.container_port for item in container.ports or () if item.name == port)
    return next(named, 0) if isinstance(port, str) else port


def _is_alike(case: Case, pod: Pod, staff: Sequence[Pod]) -> bool:
    """Whether a bare Pod declares the Service's ports, or runs what the others run."""
    declared = {item.container_port for container in pod.spec.containers or () for item in container.ports or ()}
    images = {container.image for other in staff for container in other.spec.containers or ()}
    serves = all(case.target_of(port, pod.spec) in declared for port in case.ports)
    return serves or any(container.image in images for container in pod.spec.containers or ())


def _captured(case: Case, strays: list[Pod], staff: list[Pod]) -> Finding:
    ready = sum(is_ready(pod) for pod in staff)
    owners = listing(sorted({_ref(pod) for pod in strays}))
    if len(strays) == 1:
        who = f"1 of {ready + 1} ready Pods is of {owners}" if ready else f"the only ready Pod is of {owners}"
    else:
        who = f"{len(strays)} of {len(strays) + ready} ready Pods are of {owners}"
    missed = _missed(case)
    say = warn if ready else fail
    return say(
        "selector-captures-job",
        case.subject,
        f"{who}, which {'is' if len(strays) == 1 else 'are'} no part of what serves here",
        Evidence("selector", selector_text(case.selector), f"service/{case.name} .spec.selector"),
        *(
            Evidence("captured", f"{pod.metadata.name}, {_program(pod)}", f"pod/{pod.metadata.name} .spec.containers")
            for pod in strays[:3]
        ),
        *(
            [Evidence("not selected", selector_text(missed.own_labels), f"{missed.ref} .spec.selector")]
            if missed
            else ()
        ),
        Evidence("also possible", "it answers on the Service's port as well", "no readiness probe says so"),
        remedies=_remedies(case, strays, staff),
        inferred=True,
        pods=tuple(pod.metadata.name for pod in strays),
    )


def _not_selected(missed: Template | None) -> Iterator[Evidence]:
    if missed:
        yield Evidence("not selected", selector_text(missed.own_labels), f"{missed.ref} .spec.selector")


def _ref(pod: Pod) -> str:
    kind, name = top_owner(pod)
    return f"{kind.lower()}/{name}"


def _program(pod: Pod) -> str:
    container = next(iter(pod.spec.containers or ()), Container())
    command = " ".join([*(container.command or ()), *(container.args or ())][:3])
    return f"{container.image} {command}".strip()


def _remedies(case: Case, strays: list[Pod], staff: list[Pod]) -> tuple[Remedy, ...]:
    if missed := _missed(case):
        labels = quote(selector_text(missed.own_labels))
        command = f"kubectl -n {case.namespace} set selector service {case.name} {labels}"
        return (Remedy(f"select the Pods of {missed.ref}", command),)
    narrowed = _narrowed(strays, staff)
    release = tuple(_take_out(case, pod) for pod in strays[:3])
    if narrowed is None:
        return release
    key, value = narrowed
    selector = selector_text({**case.selector, key: value})
    command = f"kubectl -n {case.namespace} set selector service {case.name} {quote(selector)}"
    return (Remedy(f"add {key}={value} to the selector, which only the Pods that serve have", command), *release)


def _narrowed(strays: list[Pod], staff: list[Pod]) -> tuple[str, str] | None:
    """A label that all who serve have and no other: the one that names the application, if it does."""
    own = [dict(pod.metadata.labels or {}) for pod in staff]
    others = [dict(pod.metadata.labels or {}) for pod in strays]
    common = [
        (key, value)
        for key, value in (own[0].items() if own else ())
        if "hash" not in key and "statefulset.kubernetes.io" not in key and "pod-index" not in key
        if all(labels.get(key) == value for labels in own) and all(labels.get(key) != value for labels in others)
    ]
    return min(common, key=lambda pair: pair[0] not in IDENTITY_KEYS, default=None)


def _take_out(case: Case, pod: Pod) -> Remedy:
    """Off goes the label that names the application, else any that the selector asks for."""
    key = _removable(case)
    command = f"kubectl -n {case.namespace} label pod {pod.metadata.name} {quote(key + '-')}"
    return Remedy(f"take the label {key} off pod/{pod.metadata.name}", command)


def _removable(case: Case) -> str:
    keys = [key for key in case.selector if key not in _OF_JOBS] or list(case.selector)
    return min(keys, key=lambda key: key not in IDENTITY_KEYS)


def _captured_at_times(case: Case) -> Iterator[Finding]:
    """A CronJob that has no Pod now and whose next ones will be found."""
    for cronjob in case.matching_cronjobs:
        name = cronjob.metadata.name
        if cronjob.spec.suspend:
            continue
        key = _removable(case)
        path = f"/spec/jobTemplate/spec/template/metadata/labels/{key.replace('~', '~0').replace('/', '~1')}"
        labels = cronjob.spec.job_template.spec.template.metadata.labels or {}
        yield note(
            "selector-captures-job",
            case.subject,
            f"the Pods of cronjob/{name} match the selector too: they get requests while they run",
            Evidence(
                "labels",
                selector_text({key: labels[key] for key in case.selector}),
                f"cronjob/{name} .spec.jobTemplate.spec.template.metadata.labels",
            ),
            remedies=(
                Remedy(
                    f"take the label {key} off its Pod template",
                    patch_command(case.namespace, f"cronjob {name}", [{"op": "remove", "path": path}]),
                ),
            ),
        )
