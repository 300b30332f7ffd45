"""Why a container that ends cannot have its port: another one of the Pod holds it, or its user may not take it."""

from __future__ import annotations

import re

from svcdoctor.finding import Evidence, Remedy
from svcdoctor.objects import Container, ContainerStateTerminated, SecurityContext
from svcdoctor.pods.podlook import Look, PodState
from svcdoctor.text import listing, quoted_json, shorten, whole_number

_TAKEN = re.compile(r"address (?:is )?(?:already )?in use|EADDRINUSE|errno 98", re.IGNORECASE)
_FORBIDDEN = re.compile(r"(?:bind|listen|socket).{0,120}permission denied|EACCES.{0,80}:\d", re.IGNORECASE | re.DOTALL)
_TOLD = re.compile(r"(?:port|listen|addr|address|bind|http|grpc|server)[\w.-]*[=: ](?:[\w.*\[\]]*:)?(\d{2,5})(?![\d.])")
_BARE = re.compile(r"(?:[\w.*\[\]-]*:)?(\d{2,5})")
LOW = 1024
UNPRIVILEGED_START = "net.ipv4.ip_unprivileged_port_start"
# Ends that have a meaning of their own: to the end, killed, not found, crashed.
_OTHER_ENDS = (0, 126, 127, 134, 137, 139, 143)


def cannot_bind(look: Look, container: Container, ended: ContainerStateTerminated, ran: Evidence) -> PodState | None:
    """What the last words of its log prove; else what the spec suggests of a container that ends by itself."""
    said = shorten((ended.message or "").strip().rpartition("\n")[2], 200)
    words = (look.of_container(container, "last words", said),) if said else ()
    return _taken(look, container, ended, (ran, *words)) or _forbidden(look, container, ended, (ran, *words))


def _taken(
    look: Look, container: Container, ended: ContainerStateTerminated, evidence: tuple[Evidence, ...]
) -> PodState | None:
    proven = bool(_TAKEN.search(ended.message or ""))
    if not proven and ended.exit_code in _OTHER_ENDS:
        return None
    if look.pod.spec.host_network:
        return _taken_on_node(look, container, evidence) if proven else None
    rival, port = _rival(look, container)
    if rival is None or not (proven or _runs(look, rival)):
        return None
    text = f"containers {rival.name} and {container.name} both want port {port}, and {container.name} ends each time"
    shown = Evidence("wanted by both", str(port), f"{look.source} .spec.containers {rival.name} and {container.name}")
    other = () if proven else (Evidence("or else", "it ends for another reason: its log says", look.source),)
    state = look.fails("port-sidecar-conflict", text, *evidence, shown, *other)
    return state._replace(inferred=not proven)


def _taken_on_node(look: Look, container: Container, evidence: tuple[Evidence, ...]) -> PodState:
    text = f"container {container.name} ends: on the host network, its port is taken by another process of the node"
    shown = Evidence("host network", "true", f"{look.source} .spec.hostNetwork")
    return look.fails("port-hostport-conflict", text, *evidence, shown)


def _rival(look: Look, container: Container) -> tuple[Container | None, int]:
    """Another container of the Pod that is told to listen on a port of this one, and that port."""
    own = ports_of(container)
    for other in (*look.containers, *look.sidecars):
        if other is not container and (shared := own & ports_of(other)):
            return other, min(shared)
    return None, 0


def ports_of(container: Container) -> set[int]:
    """The TCP ports that a container declares, or is told of in its arguments and variables."""
    told = {port.container_port for port in container.ports or () if port.protocol == "TCP"}
    words = [*(container.command or ()), *(container.args or ())]
    for index, word in enumerate(words):
        told |= {int(number) for number in _TOLD.findall(word)}
        before = words[index - 1] if index else ""
        if (bare := _BARE.fullmatch(word)) and re.fullmatch(r"-p|--?[\w-]*(?:port|listen|addr|bind)[\w-]*", before):
            told.add(int(bare[1]))
    for item in container.env or ():
        if re.search(r"(?:^|_)(?:PORT|LISTEN|BIND)$", item.name) and (bare := _BARE.fullmatch(item.value or "")):
            told.add(int(bare[1]))
    return told


def _runs(look: Look, container: Container) -> bool:
    status = look.statuses.get(container.name)
    return bool(status and status.state and status.state.running)


# --- ports below 1024 --------------------------------------------------------------------------------------------


def _forbidden(
    look: Look, container: Container, ended: ContainerStateTerminated, evidence: tuple[Evidence, ...]
) -> PodState | None:
    low = sorted(port for port in ports_of(container) if port < LOW)
    proven = bool(_FORBIDDEN.search(ended.message or ""))
    why = _lacks_privilege(look, container)
    if (
        not low
        or not why
        or not (proven or _is_enforced(look, low[0]))
        or (not proven and ended.exit_code in _OTHER_ENDS)
    ):
        return None
    text = (
        f"container {container.name} ends each time: it wants port {listing([str(port) for port in low])} {why.value}"
    )
    other = () if proven else (Evidence("or else", "it ends for another reason: its log says", look.source),)
    setting = {"sysctls": [{"name": UNPRIVILEGED_START, "value": "0"}]}
    command = look.kubectl(
        f"patch {look.owner} -p {quoted_json({'spec': {'template': {'spec': {'securityContext': setting}}}})}"
    )
    remedies = (Remedy("let any user of the Pod take low ports", command),) if look.owner else ()
    state = look.fails(
        "port-privileged-bind", text, *evidence, why, *other, remedies=(*remedies, look.logs(container, previous=True))
    )
    return state._replace(inferred=not proven)


def _lacks_privilege(look: Look, container: Container) -> Evidence | None:
    """What keeps the container from ports below 1024; None where it may have them."""
    own, pod = container.security_context or SecurityContext(), look.pod.spec.security_context or SecurityContext()
    capabilities = own.capabilities
    added = {name.upper() for name in (capabilities and capabilities.add) or ()}
    dropped = {name.upper() for name in (capabilities and capabilities.drop) or ()}
    user = own.run_as_user if own.run_as_user is not None else pod.run_as_user
    non_root = own.run_as_non_root if own.run_as_non_root is not None else pod.run_as_non_root
    source = f"{look.source} container {container.name} .securityContext"
    if own.privileged or added & {"NET_BIND_SERVICE", "ALL"}:
        return None
    if user:
        return Evidence("user", f"as user {user}", source)
    if non_root:
        return Evidence("user", "and must not run as root", source)
    if dropped & {"NET_BIND_SERVICE", "ALL"}:
        return Evidence("capabilities", "without the capability NET_BIND_SERVICE", source)
    return None


def _is_enforced(look: Look, port: int) -> bool:
    """Whether low ports are guarded on the Pod: by its own setting, else unless containerd 2 opens them to all."""
    context = look.pod.spec.security_context
    for item in (context.sysctls if context else None) or ():
        if item.name == UNPRIVILEGED_START and (first := whole_number(item.value)) is not None:
            return first > port
    info = look.node.status.node_info if look.node else None
    return not re.match(r"containerd://(?:[2-9]|\d\d)", info.container_runtime_version if info else "")
