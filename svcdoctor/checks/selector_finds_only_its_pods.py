"""Does the selector find only Pods that belong to the Service?

selector-wrong-workload
    The selector finds Pods, all of another application; the workload named like the Service is selected by nobody.
    Why it breaks      The endpoints are ready and everything looks green, but requests are answered by another
                       program: with its pages, a 404, or a protocol that the client does not speak.
    Confirm by hand    kubectl -n {namespace} get pods -l {selector} -o wide
    Fix                kubectl -n {namespace} set selector service {name} KEY=VALUE
    Not a fault when   The Service is an old name kept for a renamed application, or points to a stand-in on purpose.

selector-too-broad
    The selector finds Pods of several applications, and some of them do not serve the port that requests are sent to,
    or are another program than the one that the Service is named after.
    Why it breaks      Connections are spread over all endpoints alike, so those that reach the wrong program are
                       refused, or answered by it: one request in two or three fails.
    Confirm by hand    kubectl -n {namespace} get pods -l {selector} --show-labels
    Fix                Add a label to the selector that only the right workload has.
    Not a fault when   Both serve the port: declaring it is optional, so it is inferred unless it was seen inside the
                       Pods. A canary of the same image that serves the port is meant to be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import NamedTuple

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.nearmiss import IDENTITY_KEYS, names_relate
from svcdoctor.endpoints.reconcile import is_ready, target_port
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, warn
from svcdoctor.objects import PodSpec, ServicePort
from svcdoctor.pods.template import Template, matches
from svcdoctor.text import listing, plural, selector_text

CHECK = Check(
    step=Step.LABELS,
    codes={
        "selector-wrong-workload": Code(Stage.EXPECTED_SET),
        "selector-too-broad": Code(Stage.EXPECTED_SET),
    },
    reads=("services", "pods", "deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs"),
)


class Backend(NamedTuple):
    """One workload behind the Service: its ready Pods are alike."""

    kind: str
    name: str
    labels: dict[str, str]
    spec: PodSpec
    pods: tuple[str, ...]

    @property
    def ref(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        return
    backends = _backends(case)
    if not backends:
        return
    finding = _wrong_workload(case, backends) or _too_broad(case, backends)
    yield finding or passed(case.subject, f"all Pods are of {listing([backend.ref for backend in backends])}")


def _backends(case: Case) -> list[Backend]:
    """The workloads that requests reach. Batch and debug Pods that share the labels are another question."""
    found: list[Backend] = []
    for (kind, name), owned in case.pods_by_owner.items():
        pods = [pod for pod in owned if is_ready(pod) or case.spec.publish_not_ready_addresses]
        if pods and kind != "Job":
            last = pods[-1]
            names = tuple(pod.metadata.name for pod in pods)
            found.append(Backend(kind, name, dict(last.metadata.labels or {}), last.spec, names))
    found.sort(key=lambda backend: backend.pods[0])
    return [backend for backend in found if backend.kind != "Pod"] or found


# --- the wrong application ---------------------------------------------------------------------------------------


def _wrong_workload(case: Case, backends: list[Backend]) -> Finding | None:
    if any(_belongs(case, backend) for backend in backends):
        return None
    intended = _unselected_namesake(case)
    if intended is None or (_misses_a_port(case, intended.spec) and not _misses_a_port(case, backends[0].spec)):
        return None
    others = listing([backend.ref for backend in backends])
    labels = selector_text(intended.own_labels)
    return fail(
        "selector-wrong-workload",
        case.subject,
        f"selects {others} only; {intended.ref}, named like the Service, is selected by no Service",
        Evidence("selector", selector_text(case.selector), f"service/{case.name} .spec.selector"),
        Evidence(
            "selected",
            f"{plural(sum(len(backend.pods) for backend in backends), 'ready Pod')} of {others}",
            "pods .metadata.ownerReferences",
        ),
        Evidence("named like it", labels, f"{intended.ref} .spec.selector.matchLabels"),
        Evidence(
            "also possible",
            "the name is kept for a renamed application, or this is a stand-in",
            f"service/{case.name} .metadata.name",
        ),
        remedies=(
            Remedy(
                f"select the Pods of {intended.ref}",
                f"kubectl -n {case.namespace} set selector service {case.name} {quote(labels)}",
            ),
        ),
        inferred=True,
    )


def _belongs(case: Case, backend: Backend) -> bool:
    """Whether names or labels connect the Service with what it selects."""
    if names_relate(backend.name, case.name):
        return True
    names = [backend.name, *(backend.labels[key] for key in IDENTITY_KEYS & backend.labels.keys())]
    own = [case.name, *((case.service.metadata.labels or {}).get(key, "") for key in IDENTITY_KEYS)]
    return any(names_relate(one, other) for one in names for other in own)


def _unselected_namesake(case: Case) -> Template | None:
    for template in case.likely_templates:
        if template.name != case.name or template.kind not in ("Deployment", "StatefulSet", "DaemonSet"):
            continue
        is_meant = template.desired != 0 and not matches(case.selector, template.labels)
        if is_meant and not case.is_selected_by_others(template):
            return template
    return None


def _misses_a_port(case: Case, spec: PodSpec) -> bool:
    return any(_declares(spec, port) is False for port in case.ports)


def _declares(spec: PodSpec, port: ServicePort) -> bool | None:
    """Whether such a Pod declares the port that requests are sent to; None where it declares no ports at all."""
    declared = {item.container_port for container in spec.containers or () for item in container.ports or ()}
    number = target_port(port, spec)
    if number is None:
        return False
    return number in declared if declared else None


# --- several applications ----------------------------------------------------------------------------------------


def _too_broad(case: Case, backends: list[Backend]) -> Finding | None:
    if len(backends) < 2:
        return None
    for port in case.ports:
        heard = _heard(case, port)
        serving = [
            one for one in backends if heard.get(one.ref) or (one.ref not in heard and _declares(one.spec, port))
        ]
        deaf = [one for one in backends if heard.get(one.ref) is False]
        if serving and deaf:
            return _mixed(case, port, serving, deaf, seen=True)
        programs = {_program(backend.spec) for backend in serving}
        strangers = [
            backend
            for backend in backends
            if backend not in serving and not _declares(backend.spec, port) and _program(backend.spec) not in programs
        ]
        if serving and strangers:
            return _mixed(case, port, serving, strangers, seen=False)
    return _answering_otherwise(case, backends)


def _answering_otherwise(case: Case, backends: list[Backend]) -> Finding | None:
    """Applications with names of their own beside the one that the Service is called after: all serve the port."""
    own = [backend for backend in backends if _belongs(case, backend)]
    programs = {_program(backend.spec) for backend in own}
    names = {backend.labels[key] for backend in own for key in IDENTITY_KEYS & backend.labels.keys()}
    others = [
        backend
        for backend in backends
        if backend not in own
        and _program(backend.spec) not in programs
        and (called := [backend.labels[key] for key in IDENTITY_KEYS & backend.labels.keys()])
        and names.isdisjoint(called)
    ]
    if not names or not others:
        return None
    astray = sum(len(backend.pods) for backend in others)
    total = sum(len(backend.pods) for backend in backends)
    refs = listing([backend.ref for backend in others])
    return warn(
        "selector-too-broad",
        case.subject,
        f"{astray} of {total} ready Pods {'is' if astray == 1 else 'are'} of {refs}, "
        f"another program than {listing([backend.ref for backend in own])}, which the Service is named after",
        *(_described(backend) for backend in (*own, *others)),
        Evidence("also possible", "all of them answer the same requests", "what the programs do"),
        remedies=_narrow(case, own, others),
        inferred=True,
        pods=tuple(pod for backend in others for pod in backend.pods),
    )


def _heard(case: Case, port: ServicePort) -> dict[str, bool]:
    """Whether each workload listens where the port leads to, as far as that is known for sure."""
    return {str(backend.owner): heard for backend in case.backing if (heard := case.hears(backend, port)) is not None}


def _program(spec: PodSpec) -> str:
    """What the first container runs: its image without registry, tag and digest, which mirrors and canaries change."""
    image = (spec.containers[0].image if spec.containers else "").partition("@")[0]
    return image.rpartition("/")[2].partition(":")[0]


def _mixed(case: Case, port: ServicePort, serving: list[Backend], strangers: list[Backend], *, seen: bool) -> Finding:
    astray = sum(len(backend.pods) for backend in strangers)
    total = astray + sum(len(backend.pods) for backend in serving)
    target = port.target_port if port.target_port is not None else port.port
    others = listing([backend.ref for backend in strangers])
    evidence = [_described(backend) for backend in (*serving, *strangers)]
    if seen:
        refs = {backend.ref for backend in strangers}
        evidence += [
            Evidence("listens on", sockets.shown(port.protocol), sockets.source)
            for backend in case.backing
            if str(backend.owner) in refs and (sockets := case.sockets(backend))
        ]
    else:
        undeclared = f"{others} listens on {target} without declaring it"
        evidence.append(Evidence("also possible", undeclared, "declaring a port is optional"))
    return warn(
        "selector-too-broad",
        case.subject,
        f"{astray} of {total} ready Pods {'is' if astray == 1 else 'are'} of {others}, "
        f"which {'does' if len(strangers) == 1 else 'do'} not {'listen on' if seen else 'declare'} port {target}",
        *evidence,
        remedies=_narrow(case, serving, strangers),
        inferred=not seen,
        pods=tuple(pod for backend in strangers for pod in backend.pods),
    )


def _described(backend: Backend) -> Evidence:
    said = f"{_program(backend.spec)}, ports {_ports_text(backend.spec)}"
    return Evidence(backend.ref, said, f"pod/{backend.pods[0]} .spec.containers")


def _ports_text(spec: PodSpec) -> str:
    declared = [item for container in spec.containers or () for item in container.ports or ()]
    return listing([f"{item.name} {item.container_port}".strip() for item in declared], 6) or "none declared"


def _narrow(case: Case, serving: list[Backend], strangers: list[Backend]) -> tuple[Remedy, ...]:
    """One more label that all the right Pods have and the others do not, if there is one."""
    common = [
        (key, value)
        for key, value in serving[0].labels.items()
        if "hash" not in key
        and all(backend.labels.get(key) == value for backend in serving)
        and all(backend.labels.get(key) != value for backend in strangers)
    ]
    # The label that names the application outlives one that names its version.
    common.sort(key=lambda pair: pair[0] not in IDENTITY_KEYS)
    if not common:
        look = f"kubectl -n {case.namespace} get pods -l {quote(selector_text(case.selector))} --show-labels"
        return (Remedy("label the right Pods apart and add that label to the selector", look, changes_cluster=False),)
    key, value = common[0]
    selector = selector_text({**case.selector, key: value})
    command = f"kubectl -n {case.namespace} set selector service {case.name} {quote(selector)}"
    return (Remedy(f"add {key}={value} to the selector", command),)
