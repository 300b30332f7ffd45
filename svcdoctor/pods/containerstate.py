"""Why a container is not ready, or does not stay so: its image, its configuration, its end, its probes.

Each question about a Pod's containers is answered with the state that they put the Pod in, or None where all is well.
"""

from __future__ import annotations

import re
from shlex import quote

from svcdoctor.finding import Evidence, Remedy, Status
from svcdoctor.objects import Container, ContainerStateTerminated, ContainerStatus, PodSpec, Probe
from svcdoctor.pods.bindfailure import cannot_bind
from svcdoctor.pods.podlook import STARTING_SECONDS, Look, PodState
from svcdoctor.text import duration, listing, parse_time, plural, shorten, utc_time

FLAPPING_SECONDS = 600.0  # a restart longer ago than this is history
BURST = 25  # events of one kind about one object that the kubelet sends before it leaves some out

# --- before it starts --------------------------------------------------------------------------------------------

_PULL_REASONS = ("ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable")
_NO_REGISTRY = "the node cannot resolve the registry"
_PULL_WORDS = (
    ("the registry limits how often it may be pulled", ("toomanyrequests", "too many requests")),
    (
        "the registry has no such image, or refuses access",
        ("pull access denied", "unauthorized", "authorization failed"),
    ),
    ("the registry refuses access", ("forbidden", "denied")),
    ("it has no build for the node's platform", ("no match for platform",)),
    ("the registry has no such image or tag", ("not found", "manifest unknown", "does not exist")),
    (_NO_REGISTRY, ("no such host", "server misbehaving")),
    ("the node does not trust the registry", ("x509", "http response to https")),
    ("the node cannot reach the registry", ("dial tcp", "timeout", "deadline", "refused", "eof")),
)
_CREATE_REASONS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreStartHookError")
_RUNTIME_PREFIXES = re.compile(
    "failed to create containerd task: |failed to create shim task: |OCI runtime create failed: |runc create failed: "
    "|unable to start container process: |error during container init: "
)


def image_not_pulled(look: Look) -> PodState | None:
    for container in (*look.init_containers, *look.containers):
        reason, message = _waiting(look.statuses.get(container.name))
        image = container.image
        if reason == "InvalidImageName":
            text = f"the image name {image} is not valid"
        elif reason == "ErrImageNeverPull":
            text = f"imagePullPolicy is Never, and the node does not have {image}"
        elif reason in _PULL_REASONS:
            why = _why_not_pulled(look, container, message)
            text = f"image {image} cannot be pulled" + (f": {why}" if why else "")
        else:
            continue
        evidence = look.of_container(container, "waiting", f"{reason}: {shorten(message or 'no message', 300)}")
        owner = look.owner
        if not owner:
            return look.fails("pods-image-pull", text, evidence, remedies=(look.describe(),))
        # Another tag is no help where it is the name, or the registry in it, that is wrong.
        wanted = "IMAGE" if text.endswith((_NO_REGISTRY, "is not valid")) else f"{_untagged(image)}:TAG"
        command = look.kubectl(f"set image {owner} {quote(f'{container.name}={wanted}')}")
        return look.fails("pods-image-pull", text, evidence, remedies=(Remedy("name an image that is there", command),))
    return None


def _why_not_pulled(look: Look, container: Container, message: str) -> str:
    event = look.said("Failed", container=container.name, word="Failed to pull")
    # The name of the image is in these words too, and may itself hold any sign.
    words = f"{message} {(event and event.message) or ''}".replace(container.image, "").lower()
    return next((why for why, signs in _PULL_WORDS if any(sign in words for sign in signs)), "")


def _untagged(image: str) -> str:
    path, colon, tag = image.partition("@")[0].rpartition(":")
    return path if colon and "/" not in tag else image.partition("@")[0]


def _waiting(status: ContainerStatus | None) -> tuple[str, str]:
    waiting = status.state.waiting if status and status.state else None
    return (waiting.reason or "", waiting.message or "") if waiting else ("", "")


def not_created(look: Look) -> PodState | None:
    for container in (*look.init_containers, *look.containers):
        status = look.statuses.get(container.name)
        reason, message = _waiting(status)
        if reason not in _CREATE_REASONS:
            ended = last_end(status)
            if ended is None or ended.reason not in ("StartError", "ContainerCannotRun"):
                continue
            reason, message = ended.reason, ended.message or ""
        evidence = look.of_container(container, reason, shorten(message or "no message", 300))
        if missing := missing_object(look, message, f"container {container.name} needs", evidence):
            return missing
        words = shorten(_RUNTIME_PREFIXES.sub("", message), 140) or reason
        text = f"container {container.name} cannot be started: {words}"
        return look.fails("pods-config-error", text, evidence, remedies=(look.describe(),))
    return None


def missing_object(look: Look, message: str, who: str, evidence: Evidence) -> PodState | None:
    """The ConfigMap or Secret that the kubelet says it did not find."""
    missing = re.search(r'(secret|configmap) "(?:[^"/]+/)?([^"/]+)" not found', message)
    if missing is None:
        return None
    kind, create = ("ConfigMap", "configmap") if missing[1] == "configmap" else ("Secret", "secret generic")
    command = look.kubectl(f"create {create} {missing[2]} --from-literal=KEY=VALUE")
    remedy = Remedy(f"create the {kind}, or name the one that exists", command)
    text = f"{who} {kind} {missing[2]}, which does not exist"
    return look.fails("pods-config-error", text, evidence, remedies=(remedy,))


# --- init containers ---------------------------------------------------------------------------------------------


def init_not_done(look: Look) -> PodState | None:
    for position, container in enumerate(look.init_containers, 1):
        status = look.statuses.get(container.name)
        if status is None or not is_begun(status):
            return None  # its image, its configuration and the network are asked about elsewhere
        if container in look.sidecars:
            if not status.started:
                return _sidecar_blocked(look, container, status)
        elif not (status.state and status.state.terminated and status.state.terminated.exit_code == 0):
            who = f"init container {container.name} ({position} of {len(look.init_containers)})"
            return _init_blocked(look, container, status, who)
    return None


def _init_blocked(look: Look, container: Container, status: ContainerStatus, who: str) -> PodState:
    command = " ".join([*(container.command or []), *(container.args or [])]) or "that of the image"
    evidence = [Evidence("command", shorten(command, 200), f"{look.source} .spec.initContainers {container.name}")]
    ended = last_end(status)
    if ended:
        evidence.insert(0, look.of_container(container, "last run", _run(ended)))
        text = f"{who} fails with exit code {ended.exit_code}"
        logs = look.logs(container, previous=_is_past(status))
        return look.fails("pods-init-blocked", text, *evidence, remedies=(logs,), tally=_restarts(status))
    if look.since(_started_at(status)) < STARTING_SECONDS:
        return look.starts(f"{who} has just started")
    text, tally = f"{who} has not finished", look.lasting(_started_at(status))
    return look.fails("pods-init-blocked", text, *evidence, remedies=(look.logs(container),), tally=tally)


def _sidecar_blocked(look: Look, container: Container, status: ContainerStatus) -> PodState:
    logs = look.logs(container, previous=_is_past(status))
    if crash := _crash_unless_outlived(look, container, status):
        return crash._replace(code="pods-native-sidecar-blocked", remedies=(logs,))
    if look.since(_started_at(status)) < STARTING_SECONDS:
        return look.starts(f"sidecar {container.name} has just started")
    text = f"sidecar {container.name} has not started, and the other containers wait for it"
    event = look.said("Unhealthy", container=container.name, word="Startup probe")
    if event and container.startup_probe:
        text += f": startup probe {probe_words(container.startup_probe)} {_answer(event.message or '')}"
    evidence = look.of_event(event) if event else look.of_container(container, "started", "false")
    return look.fails("pods-native-sidecar-blocked", text, evidence, remedies=(logs,))


# --- containers that do not stay ---------------------------------------------------------------------------------

_EXIT_CODES = {
    126: "command not executable",
    127: "command not found",
    134: "aborted",
    137: "SIGKILL",
    139: "segmentation fault",
    143: "SIGTERM",
}


def is_begun(status: ContainerStatus) -> bool:
    return bool(status.state and (status.state.running or status.state.terminated)) or status.restart_count > 0


def last_end(status: ContainerStatus | None) -> ContainerStateTerminated | None:
    """How the container ended, last; None where it runs for the first time."""
    if status is None:
        return None
    return (status.state and status.state.terminated) or (status.last_state and status.last_state.terminated) or None


def crashing(look: Look) -> PodState | None:
    for container in (*look.containers, *look.sidecars):
        status = look.statuses.get(container.name)
        if status and not status.ready and (state := _crash_unless_outlived(look, container, status)):
            return state
    return None


def flapping(look: Look) -> PodState | None:
    """Ready for now: a container that ended again and again, minutes ago, and has not yet outlived that."""
    for container in look.containers:
        status = look.statuses.get(container.name)
        ended = status.last_state.terminated if status and status.last_state else None
        if status is None or ended is None or not ended.finished_at or not _started_at(status):
            continue
        is_recent = look.since(ended.finished_at) < FLAPPING_SECONDS
        is_outlived = look.since(_started_at(status)) > max(60.0, 2 * _lifetime(ended))
        # One restart alone is what any rollout of a node or of a dependency leaves behind.
        if is_recent and not is_outlived and (status.restart_count > 1 or ended.reason == "OOMKilled"):
            return _crash(look, container, status, ended)._replace(ready=True, status=Status.WARN)
    return None


def losing_readiness(look: Look) -> PodState | None:
    """Ready for now: a container whose readiness probe was passed at first, and has failed again and again since."""
    for container in look.containers:
        probe, started = container.readiness_probe, _started_at(look.statuses.get(container.name) or ContainerStatus())
        event = look.said("Unhealthy", container=container.name, word="Readiness probe")
        first, last = (parse_time(event.first_timestamp), parse_time(event.last_timestamp)) if event else (None, None)
        if (
            not probe
            or not event
            or not started
            or not first
            or not last
            or look.since(event.last_timestamp) > FLAPPING_SECONDS
        ):
            continue
        quiet = look.since(started) - look.since(event.first_timestamp) - probe.initial_delay_seconds
        span = (last - first).total_seconds()
        count = event.count or 1
        # Failures that do not follow one another have successes between them. Of more, not all are reported.
        again = 2 * probe.failure_threshold <= count < BURST and span > 2 * count * probe.period_seconds
        if quiet < STARTING_SECONDS or not again:
            continue
        text = (
            f"ready for now, but container {container.name} fails its readiness probe on and off: {probe_words(probe)}"
        )
        often = f"{count} times from {utc_time(event.first_timestamp)} to {utc_time(event.last_timestamp)}"
        since = look.of_status(
            "ready since", utc_time(look.condition("Ready").last_transition_time), "conditions[Ready]"
        )
        state = look.fails("pods-flapping", text, look.of_event(event), Evidence("failed", often, look.source), since)
        remedies = (look.logs(container),)
        return state._replace(ready=True, status=Status.WARN, remedies=remedies)
    return None


def _crash_unless_outlived(look: Look, container: Container, status: ContainerStatus) -> PodState | None:
    """A container that runs longer than it did before is judged by its probes, not by its past."""
    ended, started = last_end(status), _started_at(status)
    if ended is None or (started and look.since(started) > max(STARTING_SECONDS, _lifetime(ended))):
        return None
    return _crash(look, container, status, ended)


def _crash(look: Look, container: Container, status: ContainerStatus, ended: ContainerStateTerminated) -> PodState:
    evidence = look.of_container(container, "last run", _run(ended))
    state = (
        _out_of_memory(look, container, ended, evidence)
        or _killed_by_probe(look, container, "startup", container.startup_probe, evidence)
        or _killed_by_probe(look, container, "liveness", container.liveness_probe, evidence)
        or cannot_bind(look, container, ended, evidence)
        or _ends_by_itself(look, container, status, ended, evidence)
    )
    logs = look.logs(container, previous=_is_past(status))
    return state._replace(tally=_restarts(status), remedies=state.remedies or (logs,))


def _out_of_memory(
    look: Look, container: Container, ended: ContainerStateTerminated, *evidence: Evidence
) -> PodState | None:
    if ended.reason != "OOMKilled":
        return None
    limit = ((container.resources and container.resources.limits) or {}).get("memory")
    if limit is None:
        text = f"container {container.name} is killed because memory runs out; it has no limit of its own"
        return look.fails("pods-oomkilled", text, *evidence)
    text = f"container {container.name} is killed for using more memory than its limit {limit}"
    source = f"{look.source} container {container.name} .resources.limits.memory"
    owner = look.owner
    command = look.kubectl(f"set resources {owner} -c {container.name} --limits=memory=QUANTITY") if owner else ""
    remedy = Remedy("raise the limit, unless it leaks", command)
    return look.fails(
        "pods-oomkilled", text, *evidence, Evidence("memory limit", str(limit), source), remedies=(remedy,)
    )


def _killed_by_probe(
    look: Look, container: Container, kind: str, probe: Probe | None, *evidence: Evidence
) -> PodState | None:
    unhealthy = look.said("Unhealthy", container=container.name, word=f"{kind.capitalize()} probe")
    event = unhealthy or look.said("Killing", container=container.name, word=f"{kind} probe")
    if probe is None or event is None:
        return None
    answer = _answer(unhealthy.message or "") if unhealthy else "fails"
    code = "pods-startup-probe" if kind == "startup" else "pods-liveness-kill"
    text = f"container {container.name} is killed by its {kind} probe {probe_words(probe)} {answer}"
    remedies = _probe_remedies(look, container, kind, probe, answer)
    return look.fails(code, text, *evidence, look.of_event(event), remedies=remedies)


def _ends_by_itself(
    look: Look, container: Container, status: ContainerStatus, ended: ContainerStateTerminated, *evidence: Evidence
) -> PodState:
    again = status.restart_count > 0
    if ended.exit_code == 0:
        how = f"{'keeps running' if again else 'ran'} to its end (exit code 0) instead of staying up"
    else:
        meaning = f" ({_EXIT_CODES[ended.exit_code]})" if ended.exit_code in _EXIT_CODES else ""
        how = f"{'keeps ending' if again else 'ended'} with exit code {ended.exit_code}{meaning}"
    probes = [
        kind for kind, probe in (("startup", container.startup_probe), ("liveness", container.liveness_probe)) if probe
    ]
    text = f"container {container.name} {how}"
    if not probes or ended.exit_code not in (0, 137, 143):
        return look.fails("pods-crashloop", text, *evidence)
    # A kill by the kubelet looks like this once its events are gone.
    other = Evidence("or else", f"killed by its {' or '.join(probes)} probe: no event is left to tell", look.source)
    return look.fails("pods-crashloop", text, *evidence, other)._replace(inferred=True)


def _started_at(status: ContainerStatus) -> str | None:
    return status.state.running.started_at if status.state and status.state.running else None


def _lifetime(ended: ContainerStateTerminated) -> float:
    started, finished = parse_time(ended.started_at), parse_time(ended.finished_at)
    # A container that could not even start has the year 1970 as its start.
    return (finished - started).total_seconds() if started and finished and started.year > 1970 else 0.0


def _run(ended: ContainerStateTerminated) -> str:
    reason = f" ({ended.reason})" if ended.reason else ""
    return f"exit code {ended.exit_code}{reason} after {duration(_lifetime(ended))}"


def _restarts(status: ContainerStatus) -> str:
    return plural(status.restart_count, "restart") if status.restart_count else ""


def _is_past(status: ContainerStatus) -> bool:
    """Whether the run that ended is the one before, for `kubectl logs --previous`."""
    return last_end(status) is not None and not (status.state and status.state.terminated)


# --- probes ------------------------------------------------------------------------------------------------------

_ANSWERS = (
    ("connection refused", "connection refused"),
    ("HTTP response to HTTPS client", "plain HTTP where HTTPS was asked"),
    ("malformed HTTP", "not HTTP: TLS or another protocol"),
    ("x509", "certificate not accepted"),
    ("tls:", "TLS error"),
    ("Client.Timeout", "no answer in time"),
    ("deadline exceeded", "no answer in time"),
    ("i/o timeout", "no answer in time"),
    ("timed out", "no answer in time"),
    ("no route to host", "no route to host"),
    ("connection reset", "connection reset"),
    ("EOF", "connection closed"),
)


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


def asks_the_node(spec: PodSpec, probe: Probe) -> bool:
    """Whether a probe names a loopback address: the kubelet asks it on the node."""
    action = probe.http_get or probe.tcp_socket
    host = (action.host or "") if action else ""
    return (host in ("localhost", "::1") or host.startswith("127.")) and not spec.host_network


def _answer(message: str) -> str:
    """What a probe was told, from its Unhealthy event: `-> 404`, `-> connection refused`, `-> not connected`."""
    message = message.removeprefix("(combined from similar events): ")
    words = " ".join(re.sub(r"^\w+ probe (failed|errored)[^:]*: ?", "", message).split())
    # runc and crun say so at the end of a long line.
    if program := re.search(r'exec: "([^"]+)": (?:executable file not found|stat [^:]+: no such file)', words):
        return f"-> there is no {program[1]} in the container"
    if status := re.search(r"statuscode: (\d+)", words):
        return f"-> {status[1]}"
    return f"-> {next((meaning for sign, meaning in _ANSWERS if sign in words), shorten(words, 80) or 'failure')}"


def probe_fails(look: Look) -> PodState | None:
    """A container that runs and is not ready; the one that serves speaks first."""
    for container in (*sorted(look.containers, key=lambda item: item.name != look.serving), *look.sidecars):
        status = look.statuses.get(container.name)
        if status and not status.ready and status.state and status.state.running:
            return _startup_not_passed(look, container, status) or _readiness_fails(look, container, status)
    return None


def _startup_not_passed(look: Look, container: Container, status: ContainerStatus) -> PodState | None:
    probe = container.startup_probe
    if probe is None or status.started is not False:
        return None
    budget = probe.initial_delay_seconds + probe.period_seconds * probe.failure_threshold
    asked = f"startup probe {probe_words(probe)}"
    if look.since(_started_at(status)) < budget + probe.period_seconds:
        return look.starts(f"container {container.name} is starting; its {asked} gives it {duration(budget)}")
    text = f"container {container.name} does not pass its {asked}"
    started = look.of_container(container, "started", "false")
    return look.fails("pods-startup-probe", text, started, remedies=(look.logs(container),))


def _readiness_fails(look: Look, container: Container, status: ContainerStatus) -> PodState | None:
    seconds, probe = look.since(_started_at(status)), container.readiness_probe
    if seconds < STARTING_SECONDS + (probe.initial_delay_seconds if probe else 0):
        return look.starts(f"container {container.name} started {duration(seconds)} ago and is not ready yet")
    if probe is None:
        return None
    event = look.said("Unhealthy", container=container.name, word="Readiness probe")
    answer = _answer(event.message or "") if event else "does not succeed"
    if event:
        evidence = [look.of_event(event)]
    else:
        evidence = [look.of_container(container, "ready", "false; no event is left to say what the probe was told")]
    ports = [f"{port.container_port}{f' ({port.name})' if port.name else ''}" for port in container.ports or ()]
    if ports and not probe.exec:
        evidence.append(
            Evidence("declares", f"port {listing(ports)}", f"{look.source} container {container.name} .ports")
        )
    node = " (the node, not the Pod)" if asks_the_node(look.pod.spec, probe) else ""
    code, text = "pods-not-ready-probe", f"readiness probe {probe_words(probe)}{node} {answer}"
    main = look.statuses.get(look.serving)
    if container.name != look.serving and main and main.ready:
        code = "pods-sidecar-not-ready"
        text = f"container {look.serving} is ready, but {container.name} is not: {text}"
    remedies = _probe_remedies(look, container, "readiness", probe, answer) or (look.logs(container),)
    tally = f"{event.count} times" if event and event.count and event.count > 1 else ""
    return look.fails(code, text, *evidence, remedies=remedies, tally=tally)._replace(is_vague=event is None)


def _probe_remedies(look: Look, container: Container, kind: str, probe: Probe, answer: str) -> tuple[Remedy, ...]:
    """The patch, where the Pod's own spec makes the right value evident."""
    action, field = (probe.http_get, "httpGet") if probe.http_get else (probe.tcp_socket, "tcpSocket")
    if action is None:
        return ()
    if asks_the_node(look.pod.spec, probe):
        return look.patch("let it ask the Pod", container, f"{kind}Probe/{field}/host", "")
    wrong = "refused" in answer or answer == f'-> port "{action.port}" not found'
    port = _only_other_port(container, action.port) if wrong else None
    if port:
        return look.patch(f"probe port {port}, which it declares", container, f"{kind}Probe/{field}/port", port)
    if "-> 404" not in answer or probe.http_get is None:
        return ()
    probes = (container.readiness_probe, container.liveness_probe, container.startup_probe)
    paths = {other.http_get.path for other in probes if other and other.http_get} - {probe.http_get.path, None}
    path = paths.pop() if len(paths) == 1 else None
    do = f"probe {path}, as its other probe does" if path else "probe a path that it serves"
    return look.patch(do, container, f"{kind}Probe/httpGet/path", path or "/PATH")


def _only_other_port(container: Container, wrong: int | str) -> int | None:
    ports = {
        port.container_port
        for port in container.ports or ()
        if port.protocol == "TCP" and wrong not in (port.name, port.container_port)
    }
    return ports.pop() if len(ports) == 1 else None
