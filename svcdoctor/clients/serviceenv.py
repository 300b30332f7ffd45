"""The environment variables that a Service gives to every Pod of its namespace that starts after it.

As the kubelet makes them (kubernetes/kubernetes pkg/kubelet/envvars/envvars.go) for a Service that has a cluster IP:
NAME_SERVICE_HOST and the like, and in the older form of Docker links NAME_PORT and the like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from svcdoctor.objects import Container, ContainerStateTerminated, ContainerStatus, Pod, Service

# What Linux lets a process begin with, arguments and environment together: a quarter of the stack it may have, which is
# 8 MiB as a rule, and never less than this.
MOST_BYTES = 2 * 1024 * 1024
_LEAST_BYTES = 128 * 1024
_POINTER = 8  # each variable costs one beside its text
_NAMES_HOST = re.compile(r"\b([A-Z][A-Z0-9_]*)_SERVICE_(?:HOST|PORT)\b")


def prefix_of(name: str) -> str:
    """What the variables of a Service of this name begin with."""
    return name.upper().replace("-", "_")


def variables(service: Service) -> dict[str, str]:
    """Every variable of the Service, by name; {} where it has no cluster IP."""
    address, ports = service.spec.cluster_ip, service.spec.ports or []
    if not address or address == "None" or not ports or service.spec.type == "ExternalName":
        return {}
    prefix, host = prefix_of(service.metadata.name), f"[{address}]" if ":" in address else address
    found = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0].port)}
    for port in ports:
        if port.name:
            found[f"{prefix}_SERVICE_PORT_{prefix_of(port.name)}"] = str(port.port)
    for index, port in enumerate(ports):
        url, protocol = f"{port.protocol.lower()}://{host}:{port.port}", port.protocol.lower()
        link = f"{prefix}_PORT_{port.port}_{port.protocol}"
        if index == 0:
            found[f"{prefix}_PORT"] = url
        found |= {link: url, f"{link}_PROTO": protocol, f"{link}_PORT": str(port.port), f"{link}_ADDR": address}
    return found


def size(service: Service) -> int:
    """The bytes that its variables take in the memory of a new process."""
    return sum(len(name) + len(value) + 2 + _POINTER for name, value in variables(service).items())


def text_of(container: Container) -> str:
    """The words of a container's command and of the values it is given, in which variables may be named."""
    values = [entry.value for entry in container.env or () if entry.value]
    return "\n".join([*(container.command or ()), *(container.args or ()), *values])


def services_read(container: Container) -> set[str]:
    """The prefixes of the NAME_SERVICE_HOST and NAME_SERVICE_PORT that the container reads and does not set itself."""
    own = {entry.name for entry in container.env or ()}
    return {match[1] for match in _NAMES_HOST.finditer(text_of(container)) if match[0] not in own}


def own_size(container: Container) -> int:
    """The bytes of arguments and environment that the container's own spec holds."""
    return len(text_of(container)) + sum(len(entry.name) + 2 + _POINTER for entry in container.env or ())


# --- what it does to a container -----------------------------------------------------------------------------------

_PORT_VARIABLE = re.compile(r"\b([A-Z][A-Z0-9_]*)_PORT\b")
_LINK = re.compile(r"(?:tcp|udp|sctp)://(\[[0-9a-f:]+\]|[0-9.]+):\d+")
_TOO_LONG = "argument list too long"


class EnvironmentFault(NamedTuple):
    """What the variables of Services do to a container that ends again and again."""

    code: str
    container: str
    service: str = ""  # whose variable it is
    variable: str = ""
    value: str = ""
    said: str = ""  # the container's own words, where it left some


def has_unready_container(pod: Pod) -> bool:
    """Whether a container of the Pod is not ready: the others have what they need of their environment."""
    return any(not status.ready for status in pod.status.container_statuses or ())


def fault_of(pod: Pod, services: Mapping[str, Service]) -> EnvironmentFault | None:
    """Why the Pod cannot run among these Services, the namespace's own; None where they are not the reason."""
    if pod.spec.enable_service_links is False:
        return None
    statuses = {status.name: status for status in pod.status.container_statuses or ()}
    for container in pod.spec.containers or ():
        ended = _last_end(statuses.get(container.name))
        if ended and (found := _overflow(container, ended, services) or _collision(container, ended, services)):
            return found
    return None


def _last_end(status: ContainerStatus | None) -> ContainerStateTerminated | None:
    """How the container ended last, if it failed and does not run well now."""
    if status is None or status.ready:
        return None
    states = (status.state, status.last_state)
    ended = next((state.terminated for state in states if state and state.terminated), None)
    return ended if ended and ended.exit_code else None


def _collision(
    container: Container, ended: ContainerStateTerminated, services: Mapping[str, Service]
) -> EnvironmentFault | None:
    own = {entry.name for entry in container.env or ()}
    said = _LINK.search(ended.message or "")
    if said:
        address = said[1].strip("[]")
        for service in services.values():
            variable = f"{prefix_of(service.metadata.name)}_PORT"
            if service.spec.cluster_ip == address and variable not in own:
                return _link_collision(container, service, variable, said[0])
    for match in _PORT_VARIABLE.finditer(text_of(container)):
        named = services.get(match[1].lower().replace("_", "-"))
        if named and match[0] not in own and variables(named):
            return _link_collision(container, named, match[0], "")
    return None


def _link_collision(container: Container, service: Service, variable: str, said: str) -> EnvironmentFault:
    value = variables(service).get(variable, "")
    return EnvironmentFault("svc-env-link-collision", container.name, service.metadata.name, variable, value, said)


def _overflow(
    container: Container, ended: ContainerStateTerminated, services: Mapping[str, Service]
) -> EnvironmentFault | None:
    """Container runtimes often leave no word of it, only exit code 1 at once."""
    said = _TOO_LONG if _TOO_LONG in (ended.message or "") else ""
    if not said and ended.started_at != ended.finished_at:
        return None
    if own_size(container) > _LEAST_BYTES // 2:
        return None  # one string alone may not be longer than 128 KiB either; that is the container's own affair
    if sum(map(size, services.values())) < (_LEAST_BYTES if said else MOST_BYTES):
        return None
    return EnvironmentFault("svc-env-links-overflow", container.name, said=said)
