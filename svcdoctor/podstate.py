"""Why a Pod is, or is not, ready: read from its status, its events and its node.

The status comes first: events are gone after an hour, and of a burst the kubelet sends only the first 25 or so. They
are asked for words that no status has, such as what a probe was answered, and what is said holds without them.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from svcdoctor.finding import Evidence, Remedy, Status
from svcdoctor.objects import (
    Condition,
    Container,
    ContainerStateTerminated,
    ContainerStatus,
    Event,
    Node,
    Pod,
    Probe,
)
from svcdoctor.reconcile import is_ready, pod_addresses
from svcdoctor.template import top_owner
from svcdoctor.text import duration, listing, parse_time, plural, selector_text, shorten

STARTING_SECONDS = 30.0  # a Pod or container is given this long, beyond its own initial delay
FLAPPING_SECONDS = 600.0  # a restart longer ago than this is history


class PodState(NamedTuple):
    ready: bool
    status: Status  # FAIL: why it is not ready. WARN: ready, but not for long. UNKNOWN: only started. SKIP: done or going
    code: str | None
    message: str  # the same for Pods that fail alike: without names, addresses and counts of their own
    evidence: tuple[Evidence, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    tally: str = ""  # how often, or how long: what differs between Pods that fail alike


READY = PodState(True, Status.PASS, None, "ready")


def judge(pod: Pod, events: Sequence[Event], node: Node | None, now: datetime, serving: str = "") -> PodState:
    """The first thing on the way from being scheduled to being ready that stops the Pod.

    `serving` names the container that answers requests; the first one, where it is not given.
    """
    look = _Look(pod, events, node, now, serving)
    if pod.metadata.deletion_timestamp:
        return PodState(is_ready(pod), Status.SKIP, None, "terminating")
    if pod.status.phase in ("Succeeded", "Failed"):
        return _finished(look)
    if is_ready(pod):
        return _lost_node(look) or _flapping(look) or READY
    found = next((state for question in _QUESTIONS if (state := question(look))), None)
    if found is None:
        return _unexplained(look)
    if found.status is Status.FAIL and look.age < STARTING_SECONDS and not _is_final(found):
        return found._replace(status=Status.UNKNOWN, code="unknown-settling", remedies=())
    return found


def is_untroubled(pod: Pod) -> bool:
    """Whether a look at the Pod alone tells that it is ready and stays so; only its node may say otherwise."""
    if not is_ready(pod) or pod.metadata.deletion_timestamp:
        return False
    return not any(status.restart_count for status in pod.status.container_statuses or ())


class _Look:
    """One Pod with what is known around it."""

    def __init__(self, pod: Pod, events: Sequence[Event], node: Node | None, now: datetime, serving: str) -> None:
        self.pod = pod
        self.events = events
        self.node = node
        self.now = now
        self.containers = pod.spec.containers or []
        self.init_containers = pod.spec.init_containers or []
        self.serving = serving or (self.containers[0].name if self.containers else "")
        self.source = f"pod/{pod.metadata.name}"

    def since(self, moment: str | None) -> float:
        """Seconds since then; a moment that is not given was long ago."""
        parsed = parse_time(moment)
        return (self.now - parsed).total_seconds() if parsed else float("inf")

    @property
    def age(self) -> float:
        return self.since(self.pod.metadata.creation_timestamp)

    @cached_property
    def statuses(self) -> dict[str, ContainerStatus]:
        return {item.name: item for item in (*(self.pod.status.init_container_statuses or ()), *(self.pod.status.container_statuses or ()))}

    def condition(self, kind: str) -> Condition:
        return next((item for item in self.pod.status.conditions or () if item.type == kind), Condition())

    def said(self, *reasons: str, container: str = "", word: str = "") -> Event | None:
        """The last event with one of these reasons, about this container where one is named, with this word in it."""
        for event in reversed(self.events):
            path = event.involved_object.field_path or ""
            if event.reason in reasons and (not container or path.endswith(f"{{{container}}}")) and word in (event.message or ""):
                return event
        return None

    def fails(self, code: str, message: str, *evidence: Evidence, remedies: tuple[Remedy, ...] = (), tally: str = "") -> PodState:
        return PodState(False, Status.FAIL, code, message, evidence, remedies, tally)

    def starts(self, message: str, *evidence: Evidence) -> PodState:
        return PodState(False, Status.UNKNOWN, "unknown-settling", message, evidence)

    def of_status(self, label: str, value: str, field: str) -> Evidence:
        return Evidence(label, value, f"{self.source} .status.{field}")

    def of_event(self, event: Event) -> Evidence:
        often = f", {event.count} times" if event.count and event.count > 1 else ""
        return Evidence("event", shorten(event.message or "", 300), f"{event.reason} of {self.source}{often}")

    def kubectl(self, verb: str, arguments: str = "") -> str:
        return f"kubectl -n {self.pod.metadata.namespace} {verb} {self.pod.metadata.name} {arguments}".rstrip()

    def logs(self, container: str, *, previous: bool = False) -> Remedy:
        do = "read what it said before it ended" if previous else "read what it says"
        return Remedy(do, self.kubectl("logs", f"-c {container}" + (" --previous" if previous else "")), changes_cluster=False)

    def describe(self) -> Remedy:
        return Remedy("look at its events", self.kubectl("describe pod"), changes_cluster=False)

    def owner(self) -> str:
        """The workload to change, as kubectl takes it; "" where only a new Pod would help."""
        kind, name = top_owner(self.pod)
        return f"{kind.lower()} {name}" if kind in ("Deployment", "StatefulSet", "DaemonSet") else ""

    def patch(self, do: str, container: Container, field: str, value: object) -> tuple[Remedy, ...]:
        """Replace one field of a container in the Pod template; () where there is no template to change."""
        owner = self.owner()
        if not owner or container not in self.containers:
            return ()
        path = f"/spec/template/spec/containers/{self.containers.index(container)}/{field}"
        operations = json.dumps([{"op": "replace", "path": path, "value": value}])
        return (Remedy(do, f"kubectl -n {self.pod.metadata.namespace} patch {owner} --type=json -p {shlex.quote(operations)}"),)


def _is_final(state: PodState) -> bool:
    """What waiting does not change, however young the Pod is."""
    return state.message.startswith(("the image name", "image pull policy"))


# --- where it runs -----------------------------------------------------------------------------------------------


def _lost_node(look: _Look) -> PodState | None:
    """The node stopped reporting, or says that it is not ready: then nothing that it said of its Pods holds."""
    name = look.pod.spec.node_name or ""
    ready = next((item for item in (look.node.status.conditions if look.node else None) or () if item.type == "Ready"), None)
    if ready is None or ready.status == "True":
        return None
    word = "has stopped reporting" if ready.status == "Unknown" else "is not ready"
    reason = f" ({ready.reason})" if ready.reason else ""
    return look.fails(
        "pods-node-notready",
        f"node {name} {word}{reason}",
        Evidence("node", f"Ready={ready.status}: {shorten(ready.message or 'no message')}", f"node/{name} .status.conditions"),
        remedies=(Remedy("look at the node", f"kubectl describe node {name}", changes_cluster=False),),
        tally=f"for {duration(look.since(ready.last_transition_time))}" if ready.last_transition_time else "",
    )


def _left_by_node(look: _Look) -> PodState | None:
    """All containers say ready and the Pod does not: the node controller took that away (the node itself is not seen)."""
    ready, containers = look.condition("Ready"), look.condition("ContainersReady")
    if look.node or look.pod.spec.readiness_gates or containers.status != "True" or ready.status == "True":
        return None
    if look.since(ready.last_transition_time) < STARTING_SECONDS:
        return look.starts("all its containers are ready, the Pod is about to be")
    return look.fails(
        "pods-node-notready",
        f"node {look.pod.spec.node_name or '?'} does not confirm that the Pod is ready, though all its containers were",
        look.of_status("condition", f"Ready={ready.status} {ready.reason or ''}".strip(), "conditions"),
    )


def _volume(look: _Look) -> PodState | None:
    claims = [volume.persistent_volume_claim.claim_name for volume in look.pod.spec.volumes or () if volume.persistent_volume_claim]
    shown = plural(len(claims), "PersistentVolumeClaim") + " " + listing(claims) if claims else "a volume"
    remedy = Remedy("look at the claims", f"kubectl -n {look.pod.metadata.namespace} describe pvc {' '.join(claims)}".rstrip(), changes_cluster=False)
    scheduled = look.condition("PodScheduled")
    if scheduled.status == "False" and re.search(r"persistentvolumeclaim|volume node affinity|persistent volume", scheduled.message or "", re.IGNORECASE):
        evidence = look.of_status("scheduler", shorten(_scheduler_words(scheduled.message or ""), 240), "conditions PodScheduled")
        return look.fails("pods-pending-pvc", f"cannot be scheduled before its volume is there: {shown}", evidence, remedies=(remedy,))
    if look.pod.status.phase != "Pending" or scheduled.status != "True" or any(_is_started(item) for item in look.statuses.values()):
        return None
    event = look.said("FailedAttachVolume", "FailedMount", "FailedMapVolume")
    if event is None:
        return None
    missing = re.search(r"(secret|configmap) \"([^\"]+)\" not found", event.message or "")
    if missing:
        return _config_missing(look, missing[1], missing[2], "a volume of the Pod needs", look.of_event(event))
    verb = "attached to its node" if event.reason == "FailedAttachVolume" else "mounted"
    return look.fails("pods-pending-pvc", f"{shown} cannot be {verb}", look.of_event(event), remedies=(remedy, look.describe()) if claims else (look.describe(),))


def _is_started(status: ContainerStatus) -> bool:
    return bool(status.state and (status.state.running or status.state.terminated)) or status.restart_count > 0


def _scheduler_words(message: str) -> str:
    """What the scheduler says of nodes, without what it tried to evict."""
    return re.split(r"\.? preemption:|\.? no new claims to deallocate", message)[0].strip(" .")


def _unscheduled(look: _Look) -> PodState | None:
    scheduled = look.condition("PodScheduled")
    if look.pod.spec.node_name or scheduled.status == "True":
        return None
    if scheduled.status != "False":
        scheduler = look.pod.spec.scheduler_name or "default-scheduler"
        return look.fails("pods-pending-unschedulable", f"no scheduler has looked at it; it waits for {scheduler}", remedies=(look.describe(),))
    evidence = [look.of_status("scheduler", shorten(_scheduler_words(scheduled.message or "no message"), 300), "conditions PodScheduled")]
    if look.pod.spec.node_selector:
        evidence.append(Evidence("node selector", selector_text(look.pod.spec.node_selector), f"{look.source} .spec.nodeSelector"))
    evidence += [
        Evidence("requests", selector_text({key: str(value) for key, value in item.resources.requests.items()}), f"{look.source} container {item.name}")
        for item in look.containers
        if item.resources and item.resources.requests and "Insufficient" in (scheduled.message or "")
    ]
    if scheduled.reason == "SchedulingGated":
        return look.fails("pods-pending-unschedulable", "held back by a scheduling gate", *evidence, remedies=(look.describe(),))
    words = _scheduler_words(scheduled.message or "").partition(" nodes are available: ")[2]
    message = f"no node fits: {words}" if words else "no node fits"
    tally = f"for {duration(look.since(scheduled.last_transition_time))}" if scheduled.last_transition_time else ""
    return look.fails("pods-pending-unschedulable", shorten(message, 200), *evidence, remedies=(look.describe(),), tally=tally)


def _no_address(look: _Look) -> PodState | None:
    if pod_addresses(look.pod):
        return None
    event = look.said("FailedCreatePodSandBox", "NetworkNotReady")
    if event is None and look.condition("PodReadyToStartContainers").status == "True":
        return None
    if event is None and look.age < STARTING_SECONDS:
        return look.starts("its network and volumes are being set up")
    message = "no IP: its network could not be set up" if event else "no IP: its network or its volumes are not set up, and no event says why"
    evidence = [look.of_event(event)] if event else []
    status = look.of_status("addresses", "<none>", "podIPs")
    return look.fails("pods-no-ip", message, *evidence, status, remedies=(look.describe(),), tally=f"for {duration(look.age)}")


# --- before its containers start ---------------------------------------------------------------------------------

_PULL_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable")
_PULL_WORDS = (
    ("the registry limits how often it may be pulled", ("toomanyrequests", "429")),
    ("the registry refuses access to it", ("unauthorized", "authorization failed", "access denied", "403 forbidden", "401", "denied")),
    ("it has no build for the node's platform", ("no match for platform", "exec format")),
    ("the registry has no such image or tag", ("not found", "manifest unknown", "does not exist")),
    ("the node cannot resolve the registry", ("no such host", "server misbehaving")),
    ("the node does not trust the registry", ("x509", "tls", "http response to https")),
    ("the node cannot reach the registry", ("dial tcp", "timeout", "deadline", "refused", "eof")),
)


def _image(look: _Look) -> PodState | None:
    for container in (*look.init_containers, *look.containers):
        waiting = _waiting(look.statuses.get(container.name))
        if waiting is None or waiting[0] not in _PULL_REASONS:
            continue
        reason, message = waiting
        event = look.said("Failed", container=container.name, word="Failed to pull")
        words = (message + " " + ((event and event.message) or "")).lower()
        image = container.image
        if reason == "InvalidImageName":
            text = f"the image name {image} is not valid"
        elif reason == "ErrImageNeverPull":
            text = f"image pull policy Never, and the node does not have {image}"
        else:
            # The name itself may hold any of these words.
            said = words.replace(image.lower(), "")
            why = next((why for why, signs in _PULL_WORDS if any(sign in said for sign in signs)), "")
            text = f"image {image} cannot be pulled" + (f": {why}" if why else "")
        evidence = look.of_status("waiting", shorten(f"{reason}: {message}" if message else reason, 300), f"containerStatuses {container.name}")
        owner = look.owner()
        fix = Remedy("name an image that is there", f"kubectl -n {look.pod.metadata.namespace} set image {owner} {container.name}={_untagged(image)}:TAG")
        return look.fails("pods-image-pull", text, evidence, remedies=(fix,) if owner else (look.describe(),))
    return None


def _untagged(image: str) -> str:
    path, colon, tag = image.partition("@")[0].rpartition(":")
    return path if colon and "/" not in tag else image.partition("@")[0]


def _waiting(status: ContainerStatus | None) -> tuple[str, str] | None:
    waiting = status.state.waiting if status and status.state else None
    return (waiting.reason or "", waiting.message or "") if waiting else None


def _config(look: _Look) -> PodState | None:
    for container in (*look.init_containers, *look.containers):
        status = look.statuses.get(container.name)
        waiting = _waiting(status)
        if waiting and waiting[0] in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreStartHookError"):
            reason, message = waiting
        elif (ended := _ended(status)) and ended.reason in ("StartError", "ContainerCannotRun"):
            reason, message = ended.reason, ended.message or ""
        else:
            continue
        evidence = look.of_status(reason, shorten(message or "no message", 300), f"containerStatuses {container.name}")
        missing = re.search(r"(secret|configmap) \"([^\"]+)\" not found", message)
        if missing:
            return _config_missing(look, missing[1], missing[2], f"container {container.name} needs", evidence)
        words = re.sub(r"^failed to create containerd task: |failed to create shim task: |OCI runtime create failed: |runc create failed: ", "", message)
        words = re.sub(r"unable to start container process: |error during container init: ", "", words)
        text = f"container {container.name} cannot be started" + (f": {shorten(words, 140)}" if words else f" ({reason})")
        return look.fails("pods-config-error", text, evidence, remedies=(look.describe(),))
    return None


def _config_missing(look: _Look, kind: str, name: str, who: str, evidence: Evidence) -> PodState:
    namespace = name.partition("/")[0] if "/" in name else look.pod.metadata.namespace
    name = name.rpartition("/")[2]
    what = "ConfigMap" if kind == "configmap" else "Secret"
    create = f"create {'configmap' if kind == 'configmap' else 'secret generic'} {name} --from-literal=KEY=VALUE"
    remedy = Remedy(f"create the {what}, or name the one that exists", f"kubectl -n {namespace} {create}")
    return look.fails("pods-config-error", f"{who} {what} {name}, which does not exist", evidence, remedies=(remedy,))


def _init(look: _Look) -> PodState | None:
    for position, container in enumerate(look.init_containers, 1):
        status = look.statuses.get(container.name)
        ended = status.state.terminated if status and status.state else None
        if ended and ended.exit_code == 0 and container.restart_policy != "Always":
            continue
        if container.restart_policy == "Always":
            if status and status.started:
                continue
            return _sidecar_blocked(look, container, status)
        return _init_blocked(look, container, status, f"init container {container.name} ({position} of {len(look.init_containers)})")
    return None


def _init_blocked(look: _Look, container: Container, status: ContainerStatus | None, who: str) -> PodState | None:
    if status is None or not _is_started(status):
        return None  # not begun: its image, its configuration and the network were asked about
    command = " ".join([*(container.command or []), *(container.args or [])])
    evidence = [Evidence("command", shorten(command, 200), f"{look.source} .spec.initContainers {container.name}")] if command else []
    ended = _ended(status)
    if ended:
        evidence.insert(0, look.of_status("last run", _run_words(ended), f"initContainerStatuses {container.name}"))
        message = f"{who} fails with exit code {ended.exit_code}"
        tally = plural(status.restart_count, "restart") if status.restart_count else ""
        previous = not (status.state and status.state.terminated)
        return look.fails("pods-init-blocked", message, *evidence, remedies=(look.logs(container.name, previous=previous),), tally=tally)
    running = status.state.running if status.state else None
    seconds = look.since(running.started_at if running else None)
    if seconds < STARTING_SECONDS:
        return look.starts(f"{who} has just started")
    tally = f"for {duration(seconds)}" if running and running.started_at else ""
    return look.fails("pods-init-blocked", f"{who} has not finished", *evidence, remedies=(look.logs(container.name),), tally=tally)


def _sidecar_blocked(look: _Look, container: Container, status: ContainerStatus | None) -> PodState | None:
    if status is None or not _is_started(status):
        return None
    crash = _crash_of(look, container, status)
    why = crash.message if crash else f"sidecar {container.name} has not started, and the other containers wait for it"
    probe = container.startup_probe
    evidence = crash.evidence if crash else ()
    event = look.said("Unhealthy", container=container.name, word="Startup probe")
    if probe and event and not crash:
        why += f": startup probe {probe_words(probe)} {_answer(event.message or '')}"
        evidence = (look.of_event(event),)
    running = status.state.running if status.state else None
    if running and look.since(running.started_at) < STARTING_SECONDS and not crash:
        return look.starts(f"sidecar {container.name} has just started")
    return look.fails("pods-native-sidecar-blocked", why, *evidence, remedies=(look.logs(container.name),))


# --- containers that do not stay ---------------------------------------------------------------------------------


def _ended(status: ContainerStatus | None) -> ContainerStateTerminated | None:
    """How the container ended, last; None where it runs for the first time."""
    if status is None:
        return None
    return (status.state and status.state.terminated) or (status.last_state and status.last_state.terminated) or None


def _run_words(ended: ContainerStateTerminated) -> str:
    started, finished = parse_time(ended.started_at), parse_time(ended.finished_at)
    ran = f", ran for {duration((finished - started).total_seconds())}" if started and finished else ""
    return f"exit code {ended.exit_code}{f' ({ended.reason})' if ended.reason else ''}{ran}"


def _lifetime(ended: ContainerStateTerminated) -> float:
    started, finished = parse_time(ended.started_at), parse_time(ended.finished_at)
    return (finished - started).total_seconds() if started and finished else 0.0


def _crashes(look: _Look) -> PodState | None:
    sidecars = [container for container in look.init_containers if container.restart_policy == "Always"]
    for container in (*look.containers, *sidecars):
        status = look.statuses.get(container.name)
        if status and not status.ready and (state := _crash_of(look, container, status)):
            return state
    return None


def _crash_of(look: _Look, container: Container, status: ContainerStatus) -> PodState | None:
    ended = _ended(status)
    if ended is None:
        return None
    running = status.state.running if status.state else None
    # A container that runs longer than it did before is judged by its probes, not by its past.
    if running and look.since(running.started_at) > max(STARTING_SECONDS, _lifetime(ended)):
        return None
    evidence = [look.of_status("last run", _run_words(ended), f"containerStatuses {container.name}")]
    tally = plural(status.restart_count, "restart") if status.restart_count else ""
    previous = not (status.state and status.state.terminated)
    logs = look.logs(container.name, previous=previous)
    if ended.reason == "OOMKilled":
        limit = ((container.resources and container.resources.limits) or {}).get("memory")
        if limit is not None:
            evidence.append(Evidence("memory limit", str(limit), f"{look.source} container {container.name} .resources.limits.memory"))
        message = f"container {container.name} is killed for want of memory" + (f", limit {limit}" if limit is not None else "")
        return look.fails("pods-oomkilled", message, *evidence, remedies=_more_memory(look, container), tally=tally)
    for code, kind, probe in (("pods-startup-probe", "startup", container.startup_probe), ("pods-liveness-kill", "liveness", container.liveness_probe)):
        killed = look.said("Killing", container=container.name, word=f"{kind} probe")
        unhealthy = look.said("Unhealthy", container=container.name, word=f"{kind.capitalize()} probe")
        if probe is None or not (killed or unhealthy):
            continue
        answer = f" {_answer(unhealthy.message or '')}" if unhealthy else ""
        message = f"container {container.name} is killed by its {kind} probe {probe_words(probe)}{answer}"
        evidence += [look.of_event(event) for event in (unhealthy or killed,) if event]
        return look.fails(code, message, *evidence, remedies=(*_probe_remedies(look, container, kind, probe, answer), logs), tally=tally)
    how = f"ends with exit code {ended.exit_code}" if ended.exit_code else "runs to its end (exit code 0) instead of staying up"
    message = f"container {container.name} {how}" + _signal_words(ended) + (", and was restarted" if status.restart_count else "")
    suspects = [kind for kind, probe in (("startup", container.startup_probe), ("liveness", container.liveness_probe)) if probe]
    if suspects and ended.exit_code in (0, 137, 143):
        # What a kubelet's kill looks like once the events are gone.
        evidence.append(Evidence("may also be", f"killed by its {' or '.join(suspects)} probe: no event is left to tell", f"{look.source} container {container.name}"))
    return look.fails("pods-crashloop", message, *evidence, remedies=(logs,), tally=tally)


def _signal_words(ended: ContainerStateTerminated) -> str:
    name = {134: "aborted", 137: "SIGKILL", 139: "segmentation fault", 143: "SIGTERM", 127: "command not found", 126: "command not executable"}.get(ended.exit_code)
    return f" ({name})" if name else ""


def _more_memory(look: _Look, container: Container) -> tuple[Remedy, ...]:
    owner = look.owner()
    if not owner:
        return (look.logs(container.name, previous=True),)
    return (Remedy("raise the limit, if it does not leak", f"kubectl -n {look.pod.metadata.namespace} set resources {owner} -c {container.name} --limits=memory=QUANTITY"),)


def _flapping(look: _Look) -> PodState | None:
    """A Pod that is ready for now: its containers ended again and again, minutes ago, and have not yet outlived that."""
    for container in look.containers:
        status = look.statuses.get(container.name)
        ended = status.last_state.terminated if status and status.last_state else None
        running = status.state.running if status and status.state else None
        if status is None or ended is None or running is None or not ended.finished_at:
            continue
        if look.since(ended.finished_at) > FLAPPING_SECONDS or look.since(running.started_at) > max(60.0, 2 * _lifetime(ended)):
            continue
        if status.restart_count < 2 and ended.reason != "OOMKilled":
            continue
        crash = _crash_of(look._outlived(), container, status)
        if crash:
            return crash._replace(ready=True, status=Status.WARN)
    return None


# --- probes and gates --------------------------------------------------------------------------------------------


def probe_words(probe: Probe) -> str:
    """A probe as a person would type it: `GET :8080/healthz`, `TCP :8080`, `exec pg_isready`."""
    if probe.http_get:
        scheme = "https://" if (probe.http_get.scheme or "").upper() == "HTTPS" else ""
        return f"GET {scheme}{probe.http_get.host or ''}:{probe.http_get.port}{probe.http_get.path or '/'}"
    if probe.tcp_socket:
        return f"TCP :{probe.tcp_socket.port}"
    if probe.grpc:
        return f"gRPC :{probe.grpc.port}"
    return f"exec {shorten(' '.join((probe.exec and probe.exec.command) or []), 60)}"


def _answer(message: str) -> str:
    """What a probe was told, from its Unhealthy event: `-> 404`, `-> connection refused`."""
    words = re.sub(r"^\w+ probe (failed|errored)[^:]*: ", "", message).strip()
    status = re.search(r"statuscode: (\d+)", words)
    if status:
        return f"-> {status[1]}"
    for sign, meaning in (
        ("connection refused", "connection refused"),
        ("HTTP response to HTTPS client", "plain HTTP where HTTPS was asked"),
        ("malformed HTTP", "not HTTP: TLS or another protocol"),
        ("x509", "certificate not accepted"),
        ("tls:", "TLS error"),
        ("Client.Timeout", "no answer in time"),
        ("deadline exceeded", "no answer in time"),
        ("i/o timeout", "no answer in time"),
        ("timed out", "no answer in time"),
        ("timeout", "no answer in time"),
        ("no route to host", "no route to host"),
        ("connection reset", "connection reset"),
        ("EOF", "connection closed"),
    ):
        if sign in words:
            return f"-> {meaning}"
    return f"-> {shorten(' '.join(words.split()), 80)}" if words else "fails"


def _not_ready(look: _Look) -> PodState | None:
    """A container that runs and is not ready; the one that serves speaks first."""
    ordered = sorted(look.containers, key=lambda container: container.name != look.serving)
    sidecars = [container for container in look.init_containers if container.restart_policy == "Always"]
    for container in (*ordered, *sidecars):
        status = look.statuses.get(container.name)
        if status is None or status.ready or not (status.state and status.state.running):
            continue
        return _probe_failing(look, container, status)
    return None


def _probe_failing(look: _Look, container: Container, status: ContainerStatus) -> PodState | None:
    running = look.since(status.state.running.started_at if status.state and status.state.running else None)
    startup, probe = container.startup_probe, container.readiness_probe
    if startup and status.started is False:
        budget = startup.initial_delay_seconds + startup.period_seconds * startup.failure_threshold
        if running < budget + startup.period_seconds:
            return look.starts(f"container {container.name} is starting; its startup probe {probe_words(startup)} gives it {duration(budget)}")
        return look.fails(
            "pods-startup-probe",
            f"container {container.name} never passed its startup probe {probe_words(startup)}",
            look.of_status("started", "false", f"containerStatuses {container.name}"),
            remedies=(look.logs(container.name),),
        )
    if probe is None:
        return look.starts(f"container {container.name} runs, and is about to be ready") if running < STARTING_SECONDS else None
    if running < probe.initial_delay_seconds + STARTING_SECONDS:
        return look.starts(f"container {container.name} started {duration(running)} ago and is not ready yet")
    event = look.said("Unhealthy", container=container.name, word="Readiness probe")
    answer = _answer(event.message or "") if event else "does not succeed"
    evidence = [look.of_event(event)] if event else []
    evidence.append(look.of_status("ready", "false" + ("" if event else "; no event is left to say what the probe was told"), f"containerStatuses {container.name}"))
    declared = [f"{port.container_port}{f' ({port.name})' if port.name else ''}" for port in container.ports or ()]
    if declared:
        evidence.append(Evidence("declares", f"port {listing(declared)}", f"{look.source} container {container.name} .ports"))
    remedies = (*_probe_remedies(look, container, "readiness", probe, answer), look.logs(container.name))
    tally = f"{event.count} times" if event and event.count and event.count > 1 else ""
    main = look.statuses.get(look.serving)
    if container.name != look.serving and main and main.ready:
        message = f"container {look.serving} is ready, but {container.name} is not: readiness probe {probe_words(probe)} {answer}"
        return look.fails("pods-sidecar-not-ready", message, *evidence, remedies=remedies, tally=tally)
    return look.fails("pods-not-ready-probe", f"readiness probe {probe_words(probe)} {answer}", *evidence, remedies=remedies, tally=tally)


def _probe_remedies(look: _Look, container: Container, kind: str, probe: Probe, answer: str) -> tuple[Remedy, ...]:
    """The patch where the Pod's own spec makes the right value evident."""
    action, field = (probe.http_get, "httpGet") if probe.http_get else (probe.tcp_socket, "tcpSocket")
    if action is None:
        return ()
    if "refused" in answer and (port := _evident_port(container, probe, action.port)):
        return look.patch(f"probe port {port}, which the container declares", container, f"{kind}Probe/{field}/port", port)
    others = {other.http_get.path for other in (container.readiness_probe, container.liveness_probe, container.startup_probe) if other and other.http_get}
    others -= {probe.http_get.path if probe.http_get else None, None}
    if "-> 404" in answer:
        path = others.pop() if len(others) == 1 else None
        do = f"probe {path}, as its other probe does" if path else "probe a path that it serves"
        return look.patch(do, container, f"{kind}Probe/httpGet/path", path or "/PATH")
    return ()


def _evident_port(container: Container, probe: Probe, wrong: int | str) -> int | None:
    declared = {port.container_port for port in container.ports or () if port.protocol == "TCP"}
    named = {port.name: port.container_port for port in container.ports or ()}
    declared -= {wrong if isinstance(wrong, int) else named.get(wrong, 0)}
    return declared.pop() if len(declared) == 1 else None


def _gates(look: _Look) -> PodState | None:
    if look.condition("ContainersReady").status != "True":
        return None
    shut = [gate.condition_type for gate in look.pod.spec.readiness_gates or () if look.condition(gate.condition_type).status != "True"]
    if not shut:
        return None
    evidence = [
        look.of_status("condition", f"{gate} {look.condition(gate).status or 'is not there'} {look.condition(gate).reason or ''}".strip(), "conditions") for gate in shut
    ]
    word = "condition" if len(shut) == 1 else "conditions"
    return look.fails(
        "pods-readiness-gate",
        f"all containers are ready, but the Pod waits for {word} {listing(shut)}, which a controller must set",
        *evidence,
        remedies=(look.describe(),),
        tally=f"for {duration(look.age)}",
    )


# --- the rest ----------------------------------------------------------------------------------------------------


def _finished(look: _Look) -> PodState:
    reason = look.pod.status.reason
    ends = [ended for status in look.pod.status.container_statuses or () if (ended := _ended(status))]
    codes = sorted({ended.exit_code for ended in ends})
    how = f"exit code {', '.join(map(str, codes))}" if codes else look.pod.status.phase
    message = f"ran to its end ({reason or how}) and is not restarted: restartPolicy {look.pod.spec.restart_policy}"
    return PodState(False, Status.SKIP, "pods-completed", message, (look.of_status("phase", look.pod.status.phase, "phase"),))


def _unexplained(look: _Look) -> PodState:
    if look.age < STARTING_SECONDS:
        return look.starts("just created")
    waiting = [name for name, status in look.statuses.items() if (words := _waiting(status)) and words[0] in ("ContainerCreating", "PodInitializing")]
    if waiting:
        event = look.said("Pulling")
        return look.starts(f"container {waiting[0]} is being created" + (": its image is being pulled" if event else ""))
    if look.since(look.condition("Ready").last_transition_time) < STARTING_SECONDS:
        return look.starts("all its containers are ready, the Pod is about to be")
    return PodState(False, Status.UNKNOWN, None, "not ready, and neither its status nor an event says why")


_QUESTIONS: tuple[Callable[[_Look], PodState | None], ...] = (
    _lost_node,
    _volume,
    _unscheduled,
    _image,
    _config,
    _init,
    _no_address,
    _crashes,
    _not_ready,
    _gates,
    _left_by_node,
)
