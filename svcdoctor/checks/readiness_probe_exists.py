"""Does the container that answers have a readiness probe, and does the probe ask it?

pods-no-readiness-probe
    The container behind the Service has no readiness probe.
    Why it breaks      Without one a container counts as ready the moment it starts: requests arrive before it listens,
                       so each rollout and restart answers some of them with errors.
    Confirm by hand    kubectl -n {namespace} get pods -o jsonpath='{.items[*].spec.containers[*].readinessProbe}'
    Fix                Give the container a readiness probe on the port that it serves.
    Not a fault when   The process listens as soon as it starts: this is only a note.

pods-ready-but-dead
    The Pods are ready, and nothing shows that they answer: no probe asks the container, and what it runs serves
    nothing; or the probe asks another host.
    Why it breaks      Ready means that the readiness probe succeeds, or that there is none. A command that always
                       succeeds, or a probe of another host (127.0.0.1 is the node), says nothing of the port.
    Confirm by hand    kubectl -n {namespace} exec POD -- cat /proc/net/tcp /proc/net/tcp6
    Fix                Probe the port that the Service sends to, on the Pod itself.
    Not a fault when   Somebody starts the program by hand in a container that only waits, or the command of the probe
                       asks the port in a way that is not seen here: then it is a note, or inferred wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import replace

from svcdoctor.case import Backend, Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import is_ready, serving_containers
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Status, Step, fail, note, passed, skipped, warn
from svcdoctor.objects import Container, Probe
from svcdoctor.pods.containerstate import probe_words
from svcdoctor.pods.podports import PROXIES
from svcdoctor.text import listing, patch_command, shorten

CHECK = Check(
    step=Step.DESCRIBE,
    codes={
        "pods-no-readiness-probe": Code(Stage.PODS_READY),
        "pods-ready-but-dead": Code(Stage.LISTENING, settles=False),
    },
    reads=("endpointslices", "pods"),
)
# Words of a shell that serve nobody.
_IDLE = frozenset({"sleep", "tail", "true", ":", "wait", "trap", "echo", "date", "touch", "mkdir", "cat", "pause"})
_KEYWORDS = frozenset({"while", "until", "do", "done", "exec", "then", "fi", "{", "}"})
_ALWAYS = _IDLE | {"exit", "ls", "hostname", "uname", "whoami", "id"}
_OF_PROCESSES = frozenset({"pgrep", "pidof", "ps", "kill", "grep", "killall"})
_STRAYS = ("selector-captures-job", "selector-too-broad")
_SHELLS = frozenset({"sh", "bash", "ash", "dash"})


def run(case: Case) -> Iterator[Finding]:
    if not case.selector or not case.ready_endpoints or not case.live_pods:
        yield skipped(case.subject, "nothing serves, so that no probe is missed")
        return
    found = [(backend, _dead(case, backend)) for backend in case.backing]
    dead = [finding for _, finding in found if finding]
    # Where others still answer, only a part of the requests fails.
    some_answer = any(not finding and any(map(is_ready, backend.pods)) for backend, finding in found)
    yield from (replace(one, status=Status.WARN) if some_answer and one.is_fault else one for one in dead)
    bare = sorted(
        {
            container.name
            for backend in case.backing
            if (container := _serving(case, backend)) and not container.readiness_probe
        }
    )
    if bare and not dead:
        yield note(
            "pods-no-readiness-probe",
            case.subject,
            f"no readiness probe on container {listing(bare)}: requests come as soon as it starts",
            Evidence(
                "readiness probe", "<none>", f"pod/{case.live_pods[0].metadata.name} .spec.containers[].readinessProbe"
            ),
        )
    elif not dead:
        yield passed(case.subject, "readiness is probed")


def _serving(case: Case, backend: Backend) -> Container | None:
    name = case.serving_container(backend.spec)
    return next((container for container in backend.spec.containers or () if container.name == name), None)


def _dead(case: Case, backend: Backend) -> Finding | None:
    container = _serving(case, backend)
    if container is None:
        return None
    probe = container.readiness_probe
    if probe and (host := _other_host(probe)) and not (backend.spec.host_network and _is_loopback(host)):
        return _asks_elsewhere(case, backend, container, probe, host)
    programs = [item for item in serving_containers(backend.spec) if item.name not in PROXIES]
    asked = probe and not (probe.exec and _commands(probe.exec.command or []) <= _ALWAYS | _OF_PROCESSES)
    if not asked and all(_is_idle(item) for item in programs):
        return _serves_nothing(case, backend, container, probe)
    if probe and not asked:
        return _asks_nothing(case, backend, container, probe)
    return None


# --- what a command does ------------------------------------------------------------------------------------------


def _commands(words: list[str]) -> set[str]:
    """The programs that a command line runs, as far as a shell's words tell; file names without their path."""
    if words and words[0].rpartition("/")[2] in _SHELLS:
        rest = [word for word in words[1:] if not word.startswith("-")]
        parts = re.split(r"[;&|\n]+", rest[0] if rest else "")
    else:
        parts = [" ".join(words)]
    found = set()
    for part in parts:
        kept = [word for word in part.split() if word not in _KEYWORDS]
        if kept:
            found.add(kept[0].rpartition("/")[2])
    return found


def _is_idle(container: Container) -> bool:
    """Whether all it runs is known to serve nobody; the command of an image is not known."""
    words = [*(container.command or ()), *(container.args or ())]
    programs = _commands(words)
    return bool(container.command) and bool(programs) and programs <= _IDLE


def _other_host(probe: Probe) -> str:
    action = probe.http_get or probe.tcp_socket
    return (action.host or "") if action else ""


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


# --- what is said of it -------------------------------------------------------------------------------------------


def _asks_elsewhere(case: Case, backend: Backend, container: Container, probe: Probe, host: str) -> Finding:
    field = "httpGet" if probe.http_get else "tcpSocket"
    where = "the node that the Pod is on" if _is_loopback(host) else "that host"
    place = (backend.spec.containers or []).index(container)
    path = f"/spec/template/spec/containers/{place}/readinessProbe/{field}/host"
    owner = f"{backend.owner.kind.lower()} {backend.owner.name}"
    command = patch_command(case.namespace, owner, [{"op": "remove", "path": path}])
    has_template = backend.owner.kind in ("Deployment", "StatefulSet", "DaemonSet")
    return warn(
        "pods-ready-but-dead",
        case.subject,
        f"the readiness probe of container {container.name} asks {host}, which is {where}, and not the Pod",
        Evidence("probe", probe_words(probe), f"{backend.owner} container {container.name} .readinessProbe"),
        Evidence("otherwise", "the container may serve all the same: nothing tells", "no probe asks it"),
        remedies=(Remedy("let it ask the Pod", command),) if has_template else (),
        inferred=True,
        pods=tuple(pod.metadata.name for pod in backend.pods),
    )


def _serves_nothing(case: Case, backend: Backend, container: Container, probe: Probe | None) -> Finding:
    runs = shorten(" ".join([*(container.command or ()), *(container.args or ())]), 80)
    asked = f"its readiness probe only runs {probe_words(probe)[5:]}" if probe else "no readiness probe asks it"
    pod = backend.pods[0].metadata.name if backend.pods else "POD"
    look = f"kubectl -n {case.namespace} exec {pod} -c {container.name} -- cat /proc/net/tcp /proc/net/tcp6"
    return fail(
        "pods-ready-but-dead",
        case.subject,
        f"container {container.name} of {backend.owner} is ready and runs `{runs}`, which serves no port; {asked}",
        Evidence("command", runs, f"{backend.owner} container {container.name} .command"),
        Evidence("probe", probe_words(probe) if probe else "<none>", f"{backend.owner} container {container.name}"),
        Evidence("otherwise", "somebody may have started a program in it by hand", "kubectl exec"),
        remedies=(Remedy("see whether it listens (state 0A)", look, changes_cluster=False),),
        inferred=True,
        because=_explained_by(case, backend),
        pods=tuple(pod.metadata.name for pod in backend.pods),
    )


def _explained_by(case: Case, backend: Backend) -> str | None:
    """The code that says that the selector should not find these Pods at all."""
    pods = {pod.metadata.name for pod in backend.pods}
    strays = (finding for _, finding in case.said if finding.code in _STRAYS)
    return next((finding.code for finding in strays if pods <= set(finding.pods)), None)


def _asks_nothing(case: Case, backend: Backend, container: Container, probe: Probe) -> Finding:
    programs = _commands((probe.exec and probe.exec.command) or [])
    what = "only sees that a process is there" if programs & _OF_PROCESSES else "always succeeds"
    return note(
        "pods-ready-but-dead",
        case.subject,
        f"readiness probe {probe_words(probe)} of container {container.name} {what}, whether its port answers or not",
        Evidence("probe", probe_words(probe), f"{backend.owner} container {container.name} .readinessProbe"),
    )
