"""Does what a port says of its protocol fit what is spoken there, and how it is spread?

port-appprotocol-wrong
    The appProtocol of a Service port is not what the Pods speak on it.
    Why it breaks      Gateways, load balancers and meshes speak to the Pods as appProtocol tells them: TLS to a plain
                       port, or HTTP/1.1 to one for gRPC, is a 502. kube-proxy and plain clients do not look at it.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.ports[*].appProtocol}'
    Fix                Name the protocol that the Pods speak, or remove the field.
    Not a fault when   The port speaks both: a passing probe shows one of them only.

port-grpc-pinning
    A gRPC port with several Pods behind one ClusterIP: each client stays on the Pod that it reached first.
    Why it breaks      A proxy for connections chooses a Pod once for each; gRPC sends all its calls through one. New
                       Pods get nothing until clients connect anew, so that scaling up does not help.
    Confirm by hand    kubectl -n {namespace} top pods -l {selector}
    Fix                A headless Service and balancing in the client, a mesh, or a maximum age of connections.
    Not a fault when   Clients are many and short-lived, or the server ends connections by age.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote

from svcdoctor.case import Backend, Case
from svcdoctor.check import Check, Code
from svcdoctor.clients.request import SPEAKS_HTTP, SPEAKS_HTTP2, SPEAKS_TLS
from svcdoctor.clients.requestplan import TLS
from svcdoctor.clients.statedclient import answer_on
from svcdoctor.endpoints.reconcile import is_ready, serving_containers
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note, warn
from svcdoctor.objects import Container, PodSpec, Probe, ServicePort
from svcdoctor.pods.containerstate import probe_words
from svcdoctor.pods.podports import PROXIES, declared_ports, probed_ports
from svcdoctor.pods.template import TEMPLATE_KINDS, WORKLOAD_RESOURCES
from svcdoctor.text import listing, patch_command, plural, selector_text

CHECK = Check(
    step=Step.DESCRIBE,
    codes={
        "port-appprotocol-wrong": Code(Stage.PROTOCOL, settles=False),
        "port-grpc-pinning": Code(Stage.APPLICATION, settles=False),
    },
    reads=(
        "services",
        "endpointslices",
        "pods",
        *WORKLOAD_RESOURCES,
        *(kind for kind in TEMPLATE_KINDS if kind not in (*WORKLOAD_RESOURCES, "pods")),
        "configmaps",
        "namespaces",
        "horizontalpodautoscalers",
    ),
)
HTTP_1 = frozenset({"http", "ws", "kubernetes.io/ws"})
PLAIN = HTTP_1 | {"h2c", "kubernetes.io/h2c"}
_GRPC = re.compile(r"^grpc(?:-|$)")


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        return
    for index, port in enumerate(case.ports):
        if port.app_protocol and port.protocol == "TCP":
            yield from _told_wrongly(case, index, port)
        if _is_grpc(port):
            yield from _pinned(case, index, port)


# --- what is spoken ------------------------------------------------------------------------------------------------


def _told_wrongly(case: Case, index: int, port: ServicePort) -> Iterator[Finding]:
    told = (port.app_protocol or "").lower()
    for backend in case.backing:
        spoken = _answered(case, port, told) or _proven(case, port, backend, told) or _named(case, port, backend, told)
        if spoken is None:
            continue
        right, evidence, proven = spoken
        other = () if proven else (Evidence("or else", "the name is wrong, and not appProtocol", "names bind nobody"),)
        path = f"/spec/ports/{index}/appProtocol"
        command = patch_command(
            case.namespace, f"service {case.name}", [{"op": "replace", "path": path, "value": right}]
        )
        yield warn(
            "port-appprotocol-wrong",
            case.subject,
            f"appProtocol of port {port.port} is {port.app_protocol}, and {evidence.value}",
            Evidence("appProtocol", port.app_protocol or "", f"service/{case.name} .spec.ports[{index}].appProtocol"),
            evidence,
            *other,
            remedies=(Remedy(f"tell it is {right}", command),),
            inferred=not proven,
            pods=tuple(pod.metadata.name for pod in backend.pods),
        )
        return


def _answered(case: Case, port: ServicePort, told: str) -> tuple[str, Evidence, bool] | None:
    """What a program was seen to speak to the client of --from, where that contradicts what is told."""
    answer = answer_on(case, port)
    if answer is None:
        return None
    right = {
        SPEAKS_HTTP: "http" if told in TLS else "",
        SPEAKS_TLS: "https" if told in PLAIN else "",
        SPEAKS_HTTP2: "kubernetes.io/h2c" if told in TLS | HTTP_1 else "",
    }.get(answer.speaks, "")
    words = {SPEAKS_HTTP: "plain HTTP", SPEAKS_HTTP2: "HTTP/2 without TLS"}.get(answer.speaks, answer.speaks)
    evidence = Evidence(
        "spoken", f"{answer.place} answers in {words}", f"{answer.asked}, asked by the client of --from"
    )
    return (right, evidence, True) if right else None


def _proven(case: Case, port: ServicePort, backend: Backend, told: str) -> tuple[str, Evidence, bool] | None:
    """What a passing probe of the same port speaks, where that contradicts what is told."""
    number = case.target_of(port, backend.spec)
    if not any(is_ready(pod) for pod in backend.pods):
        return None
    for container in serving_containers(backend.spec):
        for dialled, probe in probed_ports(container):
            right = _contradicts(probe, told) if dialled == number and probe is container.readiness_probe else ""
            if right:
                return right, _passing(backend, container, probe), True
    return None


def _contradicts(probe: Probe, told: str) -> str:
    """The protocol to tell instead; "" where the probe and what is told go together."""
    if probe.grpc:
        return "kubernetes.io/h2c" if told in TLS | HTTP_1 else ""
    if probe.http_get is None:
        return ""
    is_tls = (probe.http_get.scheme or "HTTP").upper() == "HTTPS"
    return "https" if is_tls and told in PLAIN else "http" if not is_tls and told in TLS else ""


def _passing(backend: Backend, container: Container, probe: Probe) -> Evidence:
    scheme = "gRPC without TLS" if probe.grpc else "TLS" if "https://" in probe_words(probe) else "plain HTTP"
    source = f"{backend.owner} container {container.name} .readinessProbe"
    return Evidence("spoken", f"readiness probe {probe_words(probe)} passes with {scheme}", source)


def _named(case: Case, port: ServicePort, backend: Backend, told: str) -> tuple[str, Evidence, bool] | None:
    """What the names of the port say, on the Service and on the container, where both contradict what is told."""
    number = case.target_of(port, backend.spec)
    declared = [item.name for _, item in declared_ports(backend.spec) if item.container_port == number and item.name]
    names = [name for name in (port.name, *declared) if name]
    for family, others, right in (("http", TLS, "http"), ("https", PLAIN, "https")):
        if told in others and names and all(re.match(rf"{family}(?:-|$)", name) for name in names):
            text = f"the port is named {listing(list(dict.fromkeys(names)))}"
            return right, Evidence("named", text, f"service/{case.name} and {backend.owner} port names"), False
    return None


# --- how it is spread ----------------------------------------------------------------------------------------------


def _is_grpc(port: ServicePort) -> bool:
    told = (port.app_protocol or "").lower()
    return told == "grpc" or (bool(_GRPC.match(port.name)) and told in ("", "kubernetes.io/h2c", "h2c"))


def _pinned(case: Case, index: int, port: ServicePort) -> Iterator[Finding]:
    ready = case.or_without(lambda: case.ready_endpoints, [])
    addresses = {view.address for view in ready}
    if case.is_headless or len(addresses) < 2 or _balanced(case):
        return
    callers = sorted(
        {template.ref for template, _ in case.or_without(lambda: case.callers, []) if not _has_proxy(template.spec)}
    )
    if not callers:
        return
    scaler = _autoscaler(case)
    message = (
        f"{listing(callers)} call{'s' if len(callers) == 1 else ''} gRPC port {port.port} through one ClusterIP: "
        f"each connection stays on one of {plural(len(addresses), 'Pod')}"
    )
    evidence = (
        Evidence("gRPC", port.app_protocol or port.name, f"service/{case.name} .spec.ports[{index}]"),
        Evidence("callers", listing(callers), "their settings and commands name this Service"),
        Evidence("otherwise", "the server may end connections by age, or clients connect anew", "no object tells"),
    )
    remedies = _headless(case, port)
    if scaler:
        text = f"{message}, so that new Pods of autoscaler {scaler} get no calls"
        yield warn("port-grpc-pinning", case.subject, text, *evidence, remedies=remedies, inferred=True)
    else:
        yield note("port-grpc-pinning", case.subject, message, *evidence, remedies=remedies)


def _headless(case: Case, port: ServicePort) -> tuple[Remedy, ...]:
    """A second Service, whose name leads clients that balance for themselves to every Pod."""
    number = case.target_of(port, case.backing[0].spec)
    kubectl, name, labels = f"kubectl -n {case.namespace}", f"{case.name}-headless", quote(selector_text(case.selector))
    command = (
        f"{kubectl} create service clusterip {name} --clusterip=None --tcp={number}:{number} && "
        f"{kubectl} set selector service {name} {labels}"
    )
    return (Remedy("let clients balance for themselves, by a headless Service", command),)


def _has_proxy(spec: PodSpec) -> bool:
    return any(container.name in PROXIES for container in serving_containers(spec))


def _balanced(case: Case) -> bool:
    """Whether something spreads calls: proxies in its Pods, or a headless Service of the same Pods for its clients."""
    if any(_has_proxy(spec) for spec in case.backends):
        return True
    return any(
        other.spec.cluster_ip == "None" and selector_text(other.spec.selector or {}) == selector_text(case.selector)
        for other in case.listed("services").values()
    )


def _autoscaler(case: Case) -> str:
    """The name of the HorizontalPodAutoscaler of the Pods; "" where there is none, or it may not be read."""
    scalers = case.or_without(lambda: case.listed("horizontalpodautoscalers"), {})
    owners = {(backend.owner.kind, backend.owner.name) for backend in case.backing}
    targets = ((name, scaler.spec.scale_target_ref) for name, scaler in scalers.items())
    return next((name for name, target in targets if (target.kind, target.name) in owners), "")
