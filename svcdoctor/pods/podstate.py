"""Why a Pod is, or is not, ready: the first thing on its way from being scheduled to being ready that stops it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from shlex import join

from svcdoctor.endpoints.reconcile import is_ready, pod_addresses
from svcdoctor.finding import Evidence, Remedy, Status
from svcdoctor.objects import Event, Node, Pod
from svcdoctor.pods.containerstate import (
    crashing,
    flapping,
    image_not_pulled,
    init_not_done,
    is_begun,
    last_end,
    losing_readiness,
    missing_object,
    not_created,
    probe_fails,
)
from svcdoctor.pods.podlook import STARTING_SECONDS, Look, PodState
from svcdoctor.text import listing, parse_time, quoted_json, selector_text, shorten

__all__ = ["READY", "PodState", "is_plainly_ready", "is_untroubled", "judge"]

PULLING_SECONDS = 600.0  # the kubelet gives no sign while an image is on its way; a large one takes minutes
LATE = timedelta(seconds=60)
_OF_VOLUMES = re.compile("persistentvolumeclaim|volume node affinity|persistent volume", re.IGNORECASE)

READY = PodState(True, Status.PASS, None, "ready")


def judge(pod: Pod, events: Sequence[Event], node: Node | None, now: datetime, serving: str = "") -> PodState:
    """What state the Pod is in, and why. `serving` names the container that answers requests, if not the first."""
    look = Look(pod, events, node, now, serving)
    if pod.metadata.deletion_timestamp:
        return PodState(False, Status.SKIP, None, "terminating")
    if pod.status.phase in ("Succeeded", "Failed"):
        return _finished(look)
    if is_ready(pod):
        return _node_lost(look) or flapping(look) or losing_readiness(look) or READY
    state = next((state for question in _QUESTIONS if (state := question(look))), None) or _unexplained(look)
    if state.status is Status.FAIL and look.age < STARTING_SECONDS:
        return look.starts(state.message)
    return state


def is_untroubled(pod: Pod) -> bool:
    """Whether the Pod's own status says that it is ready and stays so; then only its node can say otherwise."""
    for status in pod.status.container_statuses or ():
        if status.restart_count:
            return False
    return is_ready(pod) and not _became_ready_late(pod)


def is_plainly_ready(pod: Pod, node: Node | None) -> bool:
    """Whether judge() has nothing to look into where no event is told: no container has ended, and the node is well."""
    if pod.metadata.deletion_timestamp or pod.status.phase in ("Succeeded", "Failed"):
        return False
    for status in pod.status.container_statuses or ():
        if status.last_state and status.last_state.terminated:
            return False
    for condition in (node.status.conditions if node else None) or ():
        if condition.type == "Ready" and condition.status != "True":
            return False
    return is_ready(pod)


def _became_ready_late(pod: Pod) -> bool:
    """Whether it turned ready long after its containers had started: slow to start, or ready not for the first time."""
    turned = parse_time(
        next((item.last_transition_time for item in pod.status.conditions or () if item.type == "Ready"), None)
    )
    starts = [
        started
        for status in pod.status.container_statuses or ()
        if status.state and status.state.running and (started := parse_time(status.state.running.started_at))
    ]
    return turned is not None and bool(starts) and turned - max(starts) > LATE


def _node_lost(look: Look) -> PodState | None:
    """The node stopped reporting, or says that it is not ready: then nothing that it said of its Pods holds."""
    conditions = (look.node.status.conditions if look.node else None) or ()
    ready = next((item for item in conditions if item.type == "Ready"), None)
    if ready is None or ready.status == "True":
        return None
    name = look.pod.spec.node_name or ""
    state = "has stopped reporting" if ready.status == "Unknown" else "is not ready"
    words = f"Ready={ready.status} {ready.reason or ''}: {shorten(ready.message or 'no message')}"
    return look.fails(
        "pods-node-notready",
        f"node {name} {state}",
        Evidence("node", words, f"node/{name} .status.conditions"),
        remedies=(Remedy("look at the node", f"kubectl describe node {name}", changes_cluster=False),),
        tally=look.lasting(ready.last_transition_time),
    )


def _left_by_node(look: Look) -> PodState | None:
    """The node cannot be read, and the Pod is not ready though its containers are: the node controller did that."""
    ready, containers = look.condition("Ready"), look.condition("ContainersReady")
    if look.node or look.pod.spec.readiness_gates or containers.status != "True":
        return None
    if look.since(ready.last_transition_time) < STARTING_SECONDS:
        return look.starts("all its containers are ready, and the Pod is about to be")
    words = f"Ready={ready.status or '<none>'} {ready.reason or ''}, ContainersReady=True".replace(" ,", ",")
    text = (
        f"all containers were ready when node {look.pod.spec.node_name or '<none>'} last reported, and the Pod is not"
    )
    other = Evidence("or else", "the kubelet has not reported the Pod ready again yet", look.source)
    evidence = look.of_status("conditions", words, "conditions")
    return look.fails("pods-node-notready", text, evidence, other)._replace(inferred=True)


def _volume_not_there(look: Look) -> PodState | None:
    volumes = look.pod.spec.volumes or []
    claims = [volume.persistent_volume_claim.claim_name for volume in volumes if volume.persistent_volume_claim]
    shown = f"PersistentVolumeClaim {listing(claims)}" if claims else "a volume"
    remedy = (
        Remedy("look at the claim", look.kubectl(f"describe pvc {join(claims)}"), changes_cluster=False)
        if claims
        else look.describe()
    )
    scheduled = look.condition("PodScheduled")
    if scheduled.status == "False" and _OF_VOLUMES.search(scheduled.message or ""):
        evidence = look.of_status("scheduler", _scheduler_words(scheduled.message), "conditions PodScheduled")
        tally = look.lasting(scheduled.last_transition_time)
        return look.fails(
            "pods-pending-pvc", f"waits for its volume: {shown}", evidence, remedies=(remedy,), tally=tally
        )
    event = look.said("FailedAttachVolume", "FailedMount", "FailedMapVolume")
    if event is None or any(is_begun(status) for status in look.statuses.values()):
        return None
    if missing := missing_object(look, event.message or "", "a volume of the Pod needs", look.of_event(event)):
        return missing
    verb = "attached to its node" if event.reason == "FailedAttachVolume" else "mounted"
    return look.fails("pods-pending-pvc", f"{shown} cannot be {verb}", look.of_event(event), remedies=(remedy,))


def _scheduler_words(message: str | None) -> str:
    """What the scheduler says of nodes, without what it thought of evicting."""
    words = re.split(r"\.? (?:preemption|no new claims to deallocate)", message or "no message")[0]
    return shorten(words.replace("node(s) ", "").strip(" .,"), 240)


def _not_scheduled(look: Look) -> PodState | None:
    spec, scheduled = look.pod.spec, look.condition("PodScheduled")
    if spec.node_name or scheduled.status == "True":
        return None
    if scheduled.status != "False":
        text = f"no scheduler has looked at it; it asks for {spec.scheduler_name or 'default-scheduler'}"
        evidence = [look.of_status("condition", "no PodScheduled", "conditions")]
    elif scheduled.reason == "SchedulingGated":
        text = "held back by a scheduling gate"
        evidence = [look.of_status("scheduler", _scheduler_words(scheduled.message), "conditions PodScheduled")]
    else:
        words = _scheduler_words(scheduled.message)
        text = f"no node fits: {words.partition(' nodes are available: ')[2] or words}"
        evidence = [look.of_status("scheduler", words, "conditions PodScheduled"), *_asked_of_nodes(look)]
        if "have free ports" in words:
            return _port_of_node_taken(look, evidence)
    tally = look.lasting(scheduled.last_transition_time)
    remedies = (*_any_node(look), look.describe())
    return look.fails("pods-pending-unschedulable", text, *evidence, remedies=remedies, tally=tally)


def _any_node(look: Look) -> tuple[Remedy, ...]:
    """The patch that drops a nodeSelector, where it is what no node meets."""
    if not (look.owner and look.pod.spec.node_selector):
        return ()
    if "affinity/selector" not in (look.condition("PodScheduled").message or ""):
        return ()
    operations = quoted_json([{"op": "remove", "path": "/spec/template/spec/nodeSelector"}])
    command = look.kubectl(f"patch {look.owner} --type=json -p {operations}")
    return (Remedy("let it run on any node, or give a node that label", command),)


def _port_of_node_taken(look: Look, evidence: list[Evidence]) -> PodState:
    """Ports of the host are taken one Pod a node, by hostPort or by the host network."""
    spec = look.pod.spec
    wanted = {port.host_port for container in look.containers for port in container.ports or () if port.host_port}
    numbers = listing([str(number) for number in sorted(wanted)]) or "it asks for"
    text = f"no node that it may run on has port {numbers} free"
    field = "hostNetwork" if spec.host_network else "containers[].ports[].hostPort"
    shown = Evidence("asks for", f"port {numbers} of its node", f"{look.source} .spec.{field}")
    drops = [
        {"op": "remove", "path": f"/spec/template/spec/containers/{place}/ports/{index}/hostPort"}
        for place, container in enumerate(look.containers)
        for index, port in enumerate(container.ports or ())
        if port.host_port
    ]
    remedies = [look.describe()]
    if look.owner and drops and not spec.host_network:
        command = look.kubectl(f"patch {look.owner} --type=json -p {quoted_json(drops)}")
        remedies.insert(0, Remedy("take no port of the node: the Service needs none", command))
    tally = look.lasting(look.condition("PodScheduled").last_transition_time)
    return look.fails("port-hostport-conflict", text, *evidence, shown, remedies=tuple(remedies), tally=tally)


def _asked_of_nodes(look: Look) -> list[Evidence]:
    selector = look.pod.spec.node_selector
    asked = (
        [Evidence("node selector", selector_text(selector), f"{look.source} .spec.nodeSelector")] if selector else []
    )
    for container in look.containers:
        requests = container.resources.requests if container.resources else None
        if requests and "Insufficient" in (look.condition("PodScheduled").message or ""):
            amounts = selector_text({name: str(amount) for name, amount in requests.items()})
            asked.append(Evidence("requests", amounts, f"{look.source} container {container.name} .resources.requests"))
    return asked


def _no_address(look: Look) -> PodState | None:
    event = look.said("FailedCreatePodSandBox", "NetworkNotReady")
    if pod_addresses(look.pod) or (event is None and look.condition("PodReadyToStartContainers").status == "True"):
        return None
    text = "no IP: its sandbox could not be made" if event else "no IP: its network or a volume is not set up"
    evidence = look.of_event(event) if event else look.of_status("podIPs", "<none>, and no event says why", "podIPs")
    tally = look.lasting(look.pod.status.start_time)
    return look.fails("pods-no-ip", text, evidence, remedies=(look.describe(),), tally=tally)


def _gate_shut(look: Look) -> PodState | None:
    containers = look.condition("ContainersReady")
    gates = [gate.condition_type for gate in look.pod.spec.readiness_gates or ()]
    shut = [gate for gate in gates if look.condition(gate).status != "True"]
    if containers.status != "True" or not shut:
        return None
    if look.since(containers.last_transition_time) < STARTING_SECONDS:
        return look.starts(f"all its containers are ready, and readiness gate {listing(shut)} is not set yet")
    text = f"all containers are ready, but readiness gate {listing(shut)} is not: a controller must set it"
    evidence = [look.of_status(gate, look.condition(gate).status or "<none>", "conditions") for gate in shut]
    tally = look.lasting(containers.last_transition_time)
    return look.fails("pods-readiness-gate", text, *evidence, remedies=(look.describe(),), tally=tally)


# Reasons of Pods that a node put an end to, or did not take although the scheduler had chosen it.
_ENDED_BY_NODE = ("Evicted", "Preempting", "Terminated", "NodeShutdown", "Shutdown", "NodeLost")
_REFUSED_BY_NODE = ("NodeAffinity", "NodeName", "UnexpectedAdmissionError", "NodePorts")


def _finished(look: Look) -> PodState:
    status = look.pod.status
    reason = status.reason or ""
    words = look.of_status("reason", f"{reason}: {shorten(status.message or 'no message', 300)}", "reason")
    if reason in _ENDED_BY_NODE:
        how = "evicted by its node" if reason == "Evicted" else f"ended by its node ({reason})"
        text = f"{how}: {shorten((status.message or 'no message').partition('. ')[0], 160).strip(' .')}"
        return PodState(False, Status.SKIP, "pods-evicted", text, (words, *_pressure(look)))
    if reason in _REFUSED_BY_NODE or reason.startswith("OutOf"):
        code = "port-hostport-conflict" if reason == "NodePorts" else "pods-pending-unschedulable"
        return PodState(False, Status.SKIP, code, f"refused by its node ({reason})", (words,))
    codes = sorted({ended.exit_code for item in status.container_statuses or () if (ended := last_end(item))})
    how = status.reason or (f"exit code {listing([str(code) for code in codes])}" if codes else status.phase)
    text = f"ran to its end ({how}) and is not restarted: restartPolicy {look.pod.spec.restart_policy}"
    evidence = look.of_status("phase", status.phase, "phase")
    return PodState(False, Status.SKIP, "pods-completed", text, (evidence,))


def _pressure(look: Look) -> list[Evidence]:
    """What the node runs short of now."""
    conditions = (look.node.status.conditions if look.node else None) or ()
    short = [item.type for item in conditions if item.type.endswith("Pressure") and item.status == "True"]
    source = f"node/{look.pod.spec.node_name} .status.conditions"
    return [Evidence("its node", f"{listing(short)}=True", source)] if short else []


def _unexplained(look: Look) -> PodState:
    waiting = [name for name, item in look.statuses.items() if item.state and item.state.waiting]
    if look.age < PULLING_SECONDS and waiting and look.condition("Initialized").status == "True":
        return look.starts(f"container {waiting[0]} is being created; its image may be on its way")
    if look.age < STARTING_SECONDS or look.since(look.condition("Ready").last_transition_time) < STARTING_SECONDS:
        return look.starts("the Pod has just started")
    return PodState(False, Status.UNKNOWN, None, "not ready, and neither its status nor an event says why")


_QUESTIONS: tuple[Callable[[Look], PodState | None], ...] = (
    _node_lost,
    _volume_not_there,
    _not_scheduled,
    image_not_pulled,
    not_created,
    init_not_done,
    _no_address,
    crashing,
    probe_fails,
    _gate_shut,
    _left_by_node,
)
