"""The ports that a Pod's spec tells of: those that containers declare, those that probes dial, those in arguments."""

from __future__ import annotations

import re

from svcdoctor.endpoints.reconcile import serving_containers
from svcdoctor.objects import Container, ContainerPort, PodSpec, Probe

# Containers that a mesh puts into Pods of others: their ports say nothing of the program.
PROXIES = ("istio-proxy", "linkerd-proxy", "queue-proxy", "consul-dataplane", "kuma-sidecar", "envoy-sidecar")
# Ports beside the one a program is there for. Their owners often leave one kind declared and the other not.
BESIDE = re.compile(
    r"(^|[-_.])(metrics?|prom(etheus)?|telemetry|monitoring|admin|debug|jmx|health(z|check)?|probes?|liveness|readiness"
    r"|management|mgmt|status|pprof|profiling|gossip|peers?|cluster|raft|serf|epmd)($|[-_.])"
)


def declared_ports(spec: PodSpec) -> list[tuple[Container, ContainerPort]]:
    return [(container, port) for container in serving_containers(spec) for port in container.ports or []]


def declares(spec: PodSpec, number: int, protocol: str) -> bool:
    return any(port.container_port == number and port.protocol == protocol for _, port in declared_ports(spec))


def probed_ports(container: Container) -> list[tuple[int, Probe]]:
    """Ports that the container's probes dial, with the probe; names looked up among its own ports."""
    found: list[tuple[int, Probe]] = []
    for probe in (container.readiness_probe, container.liveness_probe, container.startup_probe):
        action = probe and (probe.http_get or probe.tcp_socket or probe.grpc)
        if not probe or not action:
            continue
        for declared in container.ports or []:
            if declared.name == action.port:
                found.append((declared.container_port, probe))
        if isinstance(action.port, int):
            found.append((action.port, probe))
    return found


def mentions(container: Container, number: int) -> bool:
    """Whether the container is told of the number as one to listen on: alone, after `=`, or after a local address."""
    told = re.compile(rf"(?:^|[\s=,;'\"(\[/_]|(?:^|[\s=,'\"*\]/]|0\.0\.0\.0|127\.0\.0\.1|localhost):){number}(?![\d.])")
    words = [*(container.command or []), *(container.args or [])]
    words += [word for item in container.env or [] for word in (item.name, item.value or "")]
    return any(told.search(word) for word in words)


def intercepts(spec: PodSpec) -> bool:
    """Whether something may turn packets to another port before a program sees them: a proxy that was put into the Pod,
    a container that may change its firewall, or a sandbox with a network of its own (gVisor, Kata)."""
    containers = [*(spec.init_containers or []), *(spec.containers or [])]
    return spec.runtime_class_name is not None or any(
        container.name in PROXIES or _may_redirect(container) for container in containers
    )


def _may_redirect(container: Container) -> bool:
    context = container.security_context
    added = (context.capabilities.add or [] if context.capabilities else []) if context else []
    return bool(context and (context.privileged or {"NET_ADMIN", "CAP_NET_ADMIN", "ALL"} & set(added)))


def dials_from_outside(spec: PodSpec, number: int) -> bool:
    """Whether a readiness probe asks this TCP port at the Pod's own address, as the kubelet does."""
    for container in serving_containers(spec):
        probe = container.readiness_probe
        action = probe and (probe.http_get or probe.tcp_socket or probe.grpc)
        if action and not getattr(action, "host", None):
            numbers = {item.container_port for item in container.ports or [] if item.name == action.port}
            if number in numbers or action.port == number:
                return True
    return False
