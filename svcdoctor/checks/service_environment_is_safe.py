"""Do the variables that Services give to Pods let the Pods run?

svc-env-link-collision
    A container reads a variable of its own, such as REDIS_PORT, and gets the one that a Service of that name injects.
    Why it breaks      The kubelet gives every Pod the variables of all Services of its namespace. A Service called
                       redis makes REDIS_PORT=tcp://10.96.3.4:6379; a program that expects a number there ends with
                       "invalid literal for int" or the like (kubernetes/kubernetes issue 35189).
    Confirm by hand    kubectl -n {namespace} logs POD --previous | grep tcp://
    Fix                Set enableServiceLinks: false in the Pod template, give the variable a value there, or rename
                       the Service.
    Not a fault when   The program means the link variable and ends for another reason.

svc-env-links-overflow
    The variables of all Services of the namespace are more than Linux lets a process begin with.
    Why it breaks      Each Service adds seven variables or more to every container. Above about 2 MiB (some thousand
                       Services) exec fails with "argument list too long", and the container ends at once with exit
                       code 1 and often without a word in the Pod's status.
    Confirm by hand    kubectl -n {namespace} logs POD --previous; kubectl -n {namespace} get services -o name | wc -l
    Fix                Set enableServiceLinks: false in the Pod template.
    Not a fault when   The container's own arguments or one of its own variables are that long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from svcdoctor.case import Backend, Case
from svcdoctor.check import Check, Code
from svcdoctor.clients.serviceenv import EnvironmentFault, size
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.text import listing, patch_command, plural

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={
        "svc-env-link-collision": Code(Stage.POD_ADDRESSES),
        "svc-env-links-overflow": Code(Stage.POD_ADDRESSES),
    },
    reads=("pods", "services", "endpointslices"),
)
TEMPLATED = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")


def run(case: Case) -> Iterator[Finding]:
    faults = case.environment_faults
    for fault in dict.fromkeys(faults.values()):
        pods = tuple(name for name, other in faults.items() if other == fault)
        say = _collision if fault.code == "svc-env-link-collision" else _overflow
        yield say(case, fault, pods)


def _say(case: Case) -> Callable[..., Finding]:
    return warn if case.ready_endpoints else fail


def _collision(case: Case, fault: EnvironmentFault, pods: tuple[str, ...]) -> Finding:
    doubt = Evidence("otherwise", "it may end for another reason", "its log tells; nothing in its status does")
    evidence = [
        Evidence(
            "injected", f"{fault.variable}={fault.value}", f"service/{fault.service} .spec.clusterIP and .ports[0]"
        ),
        Evidence("service links", "on", f"pod/{pods[0]} .spec.enableServiceLinks"),
        Evidence("said", fault.said, f"pod/{pods[0]} .status.containerStatuses[].lastState.terminated.message")
        if fault.said
        else Evidence("read", fault.variable, f"pod/{pods[0]} container {fault.container}: command, args or env"),
    ]
    return _say(case)(
        fault.code,
        case.subject,
        f"container {fault.container} ends again and again, and reads {fault.variable}, "
        f"which Service {fault.service} sets to {fault.value}",
        *evidence,
        *([] if fault.said else [doubt]),
        remedies=tuple(_remedies(case, pods)),
        inferred=not fault.said,
        pods=pods,
    )


def _overflow(case: Case, fault: EnvironmentFault, pods: tuple[str, ...]) -> Finding:
    services = case.listed("services")
    kibibytes = sum(map(size, services.values())) // 1024
    doubt = Evidence("otherwise", "variables taken from a ConfigMap or Secret (envFrom) may be that long", "not read")
    return _say(case)(
        fault.code,
        case.subject,
        f"container {fault.container} cannot be started: {fault.said or 'exec fails at once'}, "
        f"and {plural(len(services), 'Service')} of the namespace put their variables into it",
        Evidence(
            "variables", f"{kibibytes} KiB; Linux allows 2048 as a rule", f"services of namespace {case.namespace}"
        ),
        Evidence("service links", "on", f"pod/{pods[0]} .spec.enableServiceLinks"),
        doubt,
        remedies=tuple(_remedies(case, pods)),
        inferred=True,
        pods=pods,
    )


def _remedies(case: Case, pods: tuple[str, ...]) -> Iterator[Remedy]:
    for backend in case.backing:
        if _owns(backend, pods) and backend.owner.kind in TEMPLATED:
            patch = {"spec": {"template": {"spec": {"enableServiceLinks": False}}}}
            item = f"{backend.owner.kind.lower()} {backend.owner.name}"
            yield Remedy("keep the variables of Services out of it", patch_command(case.namespace, item, patch))
        elif _owns(backend, pods):
            yield Remedy(f"write enableServiceLinks: false into {listing(pods)}, and create it again")


def _owns(backend: Backend, pods: tuple[str, ...]) -> bool:
    return any(pod.metadata.name in pods for pod in backend.pods)
