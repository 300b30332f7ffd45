"""What a Pod's state is, in the shapes that a cluster has and the suites do not: nulls, gaps, many containers, ages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from svcdoctor.finding import Status
from svcdoctor.objects import Event, Node, OwnerReference, Pod
from svcdoctor.pods.podstate import PodState, is_untroubled, judge

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
READY = [{"type": "Ready", "status": "True"}]
NOT_READY = [
    {"type": "PodScheduled", "status": "True"},
    {"type": "Initialized", "status": "True"},
    {"type": "Ready", "status": "False"},
]


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(status: dict[str, Any] | None = None, *, age: float = 3600, **spec: Any) -> Pod:
    containers = spec.pop("containers", [{"name": "web"}])
    document = {
        "metadata": {"name": "cart-0", "namespace": "shop", "creationTimestamp": ago(age)},
        "spec": {"nodeName": "worker", "containers": containers, **spec},
        "status": {"phase": "Running", "podIP": "10.244.1.7", **(status or {})},
    }
    return msgspec.convert(document, Pod)


def event(reason: str, message: str, container: str = "web") -> Event:
    path = f"spec.containers{{{container}}}"
    return msgspec.convert(
        {"metadata": {}, "involvedObject": {"fieldPath": path}, "reason": reason, "message": message}, Event
    )


def container(state: dict[str, Any], *, name: str = "web", restarts: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": name, "ready": False, "started": True, "restartCount": restarts, "state": state, **more}


def running(seconds: float) -> dict[str, Any]:
    return {"running": {"startedAt": ago(seconds)}}


def ended(code: int, seconds: float, *, lived: float = 1, reason: str = "Error") -> dict[str, Any]:
    times = {"startedAt": ago(seconds + lived), "finishedAt": ago(seconds)}
    return {"terminated": {"exitCode": code, "reason": reason, **times}}


def state_of(
    *statuses: dict[str, Any], events: tuple[Event, ...] = (), age: float = 3600, serving: str = "", **spec: Any
) -> PodState:
    return judge(
        pod({"conditions": NOT_READY, "containerStatuses": list(statuses)}, age=age, **spec), events, None, NOW, serving
    )


# --- odd shapes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "", "podIP": None},
        {"conditions": None, "containerStatuses": None, "initContainerStatuses": None},
        {"conditions": [], "containerStatuses": [{"name": "web"}]},
        {"conditions": NOT_READY, "containerStatuses": [{"name": "web", "state": {}, "lastState": {}}]},
        {"conditions": NOT_READY, "containerStatuses": [{"name": "another", "state": {"running": {}}}]},
        {
            "conditions": NOT_READY,
            "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "NeverHeardOf"}}}],
        },
        {"conditions": NOT_READY, "containerStatuses": [{"name": "web", "state": {"terminated": {}}}]},
        {"conditions": NOT_READY, "initContainerStatuses": [{"name": "init", "state": {"running": {}}}]},
        {"conditions": [{"type": "PodScheduled", "status": "False"}]},
        {"conditions": [{"type": "Ready", "status": "Unknown", "lastTransitionTime": "not a time"}]},
        {"phase": "Failed", "reason": "Evicted"},
        {"phase": "Succeeded", "containerStatuses": None},
    ],
)
@pytest.mark.parametrize(
    "containers",
    [None, [], [{"name": "web"}], [{"name": "web", "readinessProbe": {}, "livenessProbe": {}, "startupProbe": {}}]],
)
@pytest.mark.parametrize("age", [5, 3600])
def test_any_status_has_an_answer(status: dict[str, Any], containers: list[dict[str, Any]] | None, age: float) -> None:
    odd = pod(
        status, age=age, containers=containers, initContainers=[{"name": "init"}], volumes=[{}], readinessGates=[{}]
    )
    state = judge(odd, [event("Unhealthy", "")], msgspec.convert({"metadata": {}}, Node), NOW)
    assert state.message
    assert not state.ready


def test_an_unknown_waiting_reason_is_unknown_and_not_a_fault() -> None:
    state = state_of(container({"waiting": {"reason": "NeverHeardOf"}}))
    assert (state.status, state.code) == (Status.UNKNOWN, None)


def test_a_pod_that_is_being_deleted_is_no_fault() -> None:
    leaving = replace(pod(), metadata=replace(pod().metadata, deletion_timestamp=ago(1)))
    assert judge(leaving, (), None, NOW).status is Status.SKIP


def test_the_first_container_that_fails_speaks_for_many() -> None:
    names = [f"c{number}" for number in range(40)]
    statuses = [container(running(600), name=name) | {"ready": name != "c31"} for name in names]
    containers = [{"name": name, "readinessProbe": {"tcpSocket": {"port": 1}}} for name in names]
    state = state_of(*statuses, containers=containers, serving="c3")
    assert state.code == "pods-sidecar-not-ready"
    assert "c3 is ready, but c31 is not" in state.message


# --- time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "code"), [(29, "unknown-settling"), (31, "pods-image-pull")])
def test_a_young_pod_is_given_time(age: float, code: str) -> None:
    state = state_of(container({"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}), age=age)
    assert state.code == code


@pytest.mark.parametrize(
    ("seconds", "code"), [(10, "unknown-settling"), (89, "unknown-settling"), (91, "pods-not-ready-probe")]
)
def test_the_initial_delay_of_a_readiness_probe_is_waited_for(seconds: float, code: str) -> None:
    containers = [{"name": "web", "readinessProbe": {"tcpSocket": {"port": 1}, "initialDelaySeconds": 60}}]
    assert state_of(container(running(seconds)), containers=containers).code == code


@pytest.mark.parametrize(("seconds", "code"), [(300, "unknown-settling"), (320, "pods-startup-probe")])
def test_a_startup_probe_may_use_its_budget(seconds: float, code: str) -> None:
    containers = [
        {"name": "web", "startupProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 10, "failureThreshold": 30}}
    ]
    assert state_of(container(running(seconds), started=False), containers=containers).code == code


def test_an_image_on_its_way_is_given_ten_minutes() -> None:
    waiting = container({"waiting": {"reason": "ContainerCreating"}})
    assert state_of(waiting, age=300).code == "unknown-settling"
    assert state_of(waiting, age=900).code is None


# --- restarts ----------------------------------------------------------------------------------------------------


def flapped(restarts: int, up: float, lived: float, reason: str = "Error") -> PodState:
    last = ended(1, up + 1, lived=lived, reason=reason)
    status = {
        "name": "web",
        "ready": True,
        "started": True,
        "restartCount": restarts,
        "state": running(up),
        "lastState": last,
    }
    return judge(pod({"conditions": READY, "containerStatuses": [status]}), (), None, NOW)


@pytest.mark.parametrize(
    ("restarts", "up", "lived", "reason", "status"),
    [
        (1, 20, 600, "Error", Status.PASS),  # once, whatever it was
        (1, 20, 600, "OOMKilled", Status.WARN),
        (5, 100, 120, "Error", Status.WARN),
        (5, 300, 120, "Error", Status.PASS),  # has outlived its last run by far
        (5, 90, 2, "Error", Status.PASS),  # died at once while something was missing, and stays up now
        (5, 700, 3600, "OOMKilled", Status.PASS),  # long ago
    ],
)
def test_a_ready_pod_is_flapping_only_while_it_is(
    restarts: int, up: float, lived: float, reason: str, status: Status
) -> None:
    state = flapped(restarts, up, lived, reason)
    assert state.ready
    assert state.status is status


def test_a_container_that_outlives_its_crash_is_judged_by_its_probe() -> None:
    containers = [{"name": "web", "readinessProbe": {"tcpSocket": {"port": 1}}}]
    fresh = container(running(10), restarts=4, lastState=ended(1, 20, lived=60))
    grown = container(running(300), restarts=4, lastState=ended(1, 310, lived=60))
    assert state_of(fresh, containers=containers).code == "pods-crashloop"
    assert state_of(grown, containers=containers).code == "pods-not-ready-probe"


@pytest.mark.parametrize("state", [ended(2, 20), {"waiting": {"reason": "CrashLoopBackOff"}}])
def test_a_crash_loop_is_seen_in_either_state(state: dict[str, Any]) -> None:
    found = state_of(container(state, restarts=3, lastState=ended(2, 90)))
    assert found.code == "pods-crashloop"
    assert found.tally == "3 restarts"
    assert ("--previous" in found.remedies[-1].command) == ("waiting" in state)


@pytest.mark.parametrize(("kind", "code"), [("liveness", "pods-liveness-kill"), ("startup", "pods-startup-probe")])
@pytest.mark.parametrize("exit_code", [0, 137, 143])
def test_a_kill_by_a_probe_is_told_by_its_event_whatever_the_exit_code(kind: str, code: str, exit_code: int) -> None:
    containers = [{"name": "web", f"{kind}Probe": {"httpGet": {"port": 9090}}}]
    killing = event("Killing", f"Container web failed {kind} probe, will be restarted")
    status = container({"waiting": {"reason": "CrashLoopBackOff"}}, restarts=3, lastState=ended(exit_code, 30))
    assert state_of(status, containers=containers, events=(killing,)).code == code
    assert (
        state_of(status, containers=containers, events=(event("Killing", killing.message or "", "other"),)).code
        == "pods-crashloop"
    )


# --- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("HTTP probe failed with statuscode: 503", "-> 503"),
        ("dial tcp 10.0.0.1:80: connect: connection refused", "-> connection refused"),
        ('Get "http://10.0.0.1:80/": context deadline exceeded (Client.Timeout exceeded)', "-> no answer in time"),
        ('command timed out: "sleep 20" timed out after 1s', "-> no answer in time"),
        (
            'Get "https://10.0.0.1/": http: server gave HTTP response to HTTPS client',
            "-> plain HTTP where HTTPS was asked",
        ),
        ("queue\n  not connected\n", "-> queue not connected"),
        ("", "-> failure"),
    ],
)
def test_what_a_probe_was_told(message: str, answer: str) -> None:
    containers = [{"name": "web", "readinessProbe": {"httpGet": {"port": 80, "path": "/up"}}}]
    unhealthy = event("Unhealthy", f"Readiness probe failed: {message}")
    assert (
        state_of(container(running(600)), containers=containers, events=(unhealthy,)).message
        == f"readiness probe GET :80/up {answer}"
    )


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("docker.io/library/web:2: not found", "has no such image or tag"),
        ("unexpected status: 401 Unauthorized", "or refuses access"),
        (
            "pull access denied, repository does not exist or may require authorization",
            "has no such image, or refuses access",
        ),
        ("toomanyrequests: You have reached your pull rate limit", "limits how often"),
        ("no match for platform in manifest: not found", "no build for the node's platform"),
        ("dial tcp: lookup registry.example: no such host", "cannot resolve the registry"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "does not trust"),
        ("dial tcp 10.0.0.1:443: i/o timeout", "cannot reach the registry"),
        ("something else", "cannot be pulled"),
    ],
)
def test_why_an_image_was_not_pulled(message: str, why: str) -> None:
    containers = [{"name": "web", "image": "not-found/denied:timeout"}]
    waiting = {
        "waiting": {"reason": "ErrImagePull", "message": f'failed to pull "not-found/denied:timeout": {message}'}
    }
    assert why in state_of(container(waiting), containers=containers).message


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        ("web", "web:TAG"),
        ("web:1", "web:TAG"),
        ("reg.example:5000/a/web", "reg.example:5000/a/web:TAG"),
        ("web:1@sha256:ab", "web:TAG"),
    ],
)
def test_an_image_keeps_its_name_when_its_tag_is_replaced(image: str, shown: str) -> None:
    assert image_remedy(image, "ErrImagePull", "") == f"web={shown}"


def test_no_other_tag_is_advised_where_the_name_or_its_registry_is_wrong() -> None:
    assert image_remedy("Shop/API:1", "InvalidImageName", "repository name must be lowercase") == "web=IMAGE"
    assert image_remedy("reg.example/web:1", "ErrImagePull", "lookup reg.example: no such host") == "web=IMAGE"


def image_remedy(image: str, reason: str, message: str) -> str:
    """What kubectl set image is told of the container."""
    waiting = container({"waiting": {"reason": reason, "message": message}})
    bare = pod({"conditions": NOT_READY, "containerStatuses": [waiting]}, containers=[{"name": "web", "image": image}])
    owner = OwnerReference(kind="StatefulSet", name="cart", controller=True)
    owned = replace(bare, metadata=replace(bare.metadata, owner_references=[owner]))
    command = judge(owned, (), None, NOW).remedies[0].command
    assert command.startswith("kubectl -n shop set image statefulset cart ")
    return command.rpartition(" ")[2]


def test_the_port_that_is_declared_is_offered_for_one_that_is_refused() -> None:
    probes = {"readinessProbe": {"tcpSocket": {"port": 9090}}, "ports": [{"containerPort": 8080}]}
    refused = event("Unhealthy", "Readiness probe failed: dial tcp 10.0.0.1:9090: connect: connection refused")
    bare = state_of(container(running(600)), containers=[{"name": "web", **probes}], events=(refused,))
    assert [remedy.changes_cluster for remedy in bare.remedies] == [False], "a bare Pod has no template to patch"


def test_the_port_that_is_declared_is_offered_for_a_name_that_none_has() -> None:
    web = {"name": "web", "image": "web:1", "ports": [{"name": "web", "containerPort": 8080}]}
    web["readinessProbe"] = {"httpGet": {"port": "http"}}
    lost = event("Unhealthy", 'Readiness probe errored and resulted in unknown state: port "http" not found')
    status = {"conditions": NOT_READY, "containerStatuses": [container(running(600))]}
    bare = pod(status, containers=[web])
    owner = OwnerReference(kind="StatefulSet", name="cart", controller=True)
    owned = replace(bare, metadata=replace(bare.metadata, owner_references=[owner]))
    assert judge(owned, (lost,), None, NOW).remedies[0].do == "probe port 8080, which it declares"


# --- nodes and gates ---------------------------------------------------------------------------------------------


def node(status: str) -> Node:
    return msgspec.convert(
        {"metadata": {"name": "worker"}, "status": {"conditions": [{"type": "Ready", "status": status}]}}, Node
    )


@pytest.mark.parametrize(
    ("status", "code"), [("True", None), ("False", "pods-node-notready"), ("Unknown", "pods-node-notready")]
)
def test_a_lost_node_is_said_also_of_a_pod_that_still_counts_as_ready(status: str, code: str | None) -> None:
    ready = pod({"conditions": READY})
    assert is_untroubled(ready)
    assert judge(ready, (), node(status), NOW).code == code


def test_a_node_that_may_not_be_read_is_inferred_from_the_pod() -> None:
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "ContainersReady", "status": "True"},
        {"type": "Ready", "status": "False"},
    ]
    status = container(running(600)) | {"ready": True}
    assert (
        judge(pod({"conditions": conditions, "containerStatuses": [status]}), (), None, NOW).code
        == "pods-node-notready"
    )
    assert judge(pod({"conditions": conditions, "containerStatuses": [status]}), (), node("True"), NOW).code is None


@pytest.mark.parametrize(
    ("reason", "words"), [("SchedulingGated", "scheduling gate"), ("Unschedulable", "no node fits: 2 Insufficient cpu")]
)
def test_why_a_pod_is_not_scheduled(reason: str, words: str) -> None:
    message = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No victims."
    conditions = [{"type": "PodScheduled", "status": "False", "reason": reason, "message": message}]
    pending = pod({"phase": "Pending", "podIP": None, "conditions": conditions}, nodeName=None)
    state = judge(pending, (), None, NOW)
    assert state.code == "pods-pending-unschedulable"
    assert words in state.message
