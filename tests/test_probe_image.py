"""--probe-image: what is added to a cluster, that it is asked about first, and that nothing of it stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fake_apiserver import failure
from simulate import simulate
from svcdoctor.cluster.probepod import Addition, announcement, ephemeral_container, probe_pod, started
from test_cli import HEALTHY, ROOT, Doctor, Terminal
from writable_apiserver import WritableApiServer

IMAGE = "busybox:1.36"
CONTAINER = ("--probe-image", IMAGE)
POD = ("--probe-image", IMAGE, "--probe-pod")
UPDATE = bool(os.environ.get("SVCDOCTOR_UPDATE"))
GOLDENS = Path(__file__).parent / "probepods"


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[Doctor]:
    with WritableApiServer(simulate(HEALTHY)) as server:
        yield Doctor(server, tmp_path)


def server_of(doctor: Doctor) -> WritableApiServer:
    assert isinstance(doctor.server, WritableApiServer)
    return doctor.server


def without_run(text: str) -> str:
    return re.sub(r"svcdoctor-[0-9a-f]{8}", "svcdoctor-RUN", text)


def dns(report: dict[str, Any]) -> dict[str, Any]:
    return next(finding for finding in report["services"][0]["findings"] if finding["step"] == "dns")


def golden(path: Path, text: str) -> None:
    if UPDATE:
        path.write_text(text)
    assert path.read_text() == text


# --- what is created ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["deployment", "daemonset", "nobody"])
def test_the_pod_that_is_created(case: str) -> None:
    client = yaml.safe_load((GOLDENS / f"{case}.client.yaml").read_text()) or {}
    name = client["metadata"]["name"] if client else ""
    pod = probe_pod(Addition("pod", "shop", name, "svcdoctor-RUN", IMAGE), client, "RUN")
    golden(GOLDENS / f"{case}.created.yaml", yaml.safe_dump(pod, sort_keys=False))


def test_the_container_that_is_added() -> None:
    patch = ephemeral_container(Addition("container", "shop", "web-0", "svcdoctor-RUN", IMAGE))
    golden(GOLDENS / "container.created.yaml", yaml.safe_dump(patch, sort_keys=False))


def test_what_is_said_before() -> None:
    clients = (("shop", "web-0"), ("store", "stock-0"))
    containers = [Addition("container", *client, "svcdoctor-RUN", IMAGE) for client in clients]
    pods = [Addition("pod", *client, "svcdoctor-RUN", IMAGE, listed_by=("db",)) for client in clients[:1]]
    pods.append(Addition("pod", "empty", "", "svcdoctor-RUN", IMAGE))
    golden(GOLDENS / "consent.txt", f"{announcement(containers)}\n\n{announcement(pods)}\n")


PULL = {"waiting": {"reason": "ErrImagePull", "message": "no such\nimage"}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, None),
        ({"containerStatuses": [{"name": "other", "state": {"running": {}}}]}, None),
        ({"ephemeralContainerStatuses": [{"name": "probe", "state": {"running": {}}}]}, ""),
        ({"containerStatuses": [{"name": "probe", "state": {"waiting": {"reason": "ContainerCreating"}}}]}, None),
        ({"containerStatuses": [{"name": "probe", "state": PULL}]}, "it does not start: ErrImagePull: no such image"),
        (
            {"containerStatuses": [{"name": "probe", "state": {"terminated": {"reason": "StartError"}}}]},
            "it ended at once: StartError",
        ),
        ({"phase": "Failed", "reason": "OutOfcpu"}, "its Pod has ended: OutOfcpu"),
    ],
)
def test_when_a_container_runs(status: dict[str, Any], expected: str | None) -> None:
    assert started({"metadata": {}, "status": status}, "probe") == expected


# --- a run -------------------------------------------------------------------------------------------------------


def test_a_container_is_added_to_the_client_and_ended(doctor: Doctor) -> None:
    server = server_of(doctor)
    done = doctor("diagnose", "web", *CONTAINER, "--yes")
    ((method, path, _),) = server.created
    pod = path.split("/")[-2]
    assert (method, path) == ("PATCH", f"/api/v1/namespaces/shop/pods/{pod}/ephemeralcontainers")
    assert "✓ shop/web" in done.stdout
    assert f"ephemeral container svcdoctor-RUN in Pod shop/{pod}\n" in without_run(done.stderr)
    assert [without_run(name) for name in server.ended] == [f"shop/{pod}/svcdoctor-RUN"]
    finding = dns(doctor.report("web", *CONTAINER, "-y"))
    assert f"asked inside shop/{pod}, in a container of {IMAGE} with getent" in finding["message"]
    assert finding["evidence"][0]["label"] == "not seen"


def test_a_pod_like_the_client_is_created_and_deleted(doctor: Doctor) -> None:
    server = server_of(doctor)
    finding = dns(doctor.report("web", *POD, "--yes"))
    ((method, path, body),) = server.created
    assert (method, path) == ("POST", "/api/v1/namespaces/shop/pods")
    assert server.deleted == [f"{path}/{body['metadata']['name']}"]
    client = body["metadata"]["ownerReferences"][0]["name"]
    assert f"asked inside a new Pod like shop/{client}, of {IMAGE} with getent" in finding["message"]
    assert finding["status"] == "pass"


def test_one_place_serves_all_namespaces_where_the_client_is_chosen(doctor: Doctor) -> None:
    server = server_of(doctor)
    client = server.documents("pods", "store")[0]["metadata"]["name"]
    doctor("diagnose", "-A", "--from", f"store/{client}", *POD, "--yes")
    assert [path for _, path, _ in server.created] == ["/api/v1/namespaces/store/pods"]
    assert len(server.deleted) == 1


def test_nothing_is_asked_or_created_where_a_pod_can_look_itself(doctor: Doctor) -> None:
    server_of(doctor).has_shells = True
    done = doctor("diagnose", "web", *POD, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert not server_of(doctor).created


def test_services_that_would_list_the_pod_are_named_before(doctor: Doctor) -> None:
    service = next(item for item in doctor.server.documents("services", "shop"))
    service["spec"]["publishNotReadyAddresses"] = True
    done = doctor("diagnose", "web", *POD, "--yes")
    assert "Service shop/web publishes what is not ready: it lists this Pod too\n" in done.stderr


# --- consent -----------------------------------------------------------------------------------------------------


def answered(doctor: Doctor, answer: bytes, *arguments: str) -> tuple[int, str]:
    """The exit code and what a terminal was told by a command whose question is answered."""
    terminal = Terminal()
    command = [sys.executable, "-m", "svcdoctor", *arguments]
    environment = doctor.environment | {"TERM": "xterm"}
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdin=terminal.theirs, stderr=terminal.theirs, stdout=subprocess.DEVNULL
    )
    terminal.read_until("[y/N]: ")
    os.write(terminal._ours, answer + b"\n")
    code = process.wait(60)
    return code, terminal.rest()


@pytest.mark.parametrize(("answer", "created"), [(b"y", 1), (b"n", 0), (b"", 0)], ids=["yes", "no", "enter"])
def test_a_person_is_asked_first(doctor: Doctor, answer: bytes, created: int) -> None:
    _, said = answered(doctor, answer, "diagnose", "web", *POD)
    assert "Create it? [y/N]: " in said
    assert said.index("will be created") < said.index("[y/N]")
    assert ("nothing is created" in said) == (not created)
    assert len(server_of(doctor).created) == len(server_of(doctor).deleted) == created


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (CONTAINER, "there is no terminal to ask on; say --yes to agree"),
        (("--probe-pod", "--yes"), "--probe-pod goes with --probe-image IMAGE"),
        ((*CONTAINER, "--yes", "--no-probe"), "--no-probe forbids"),
        ((*CONTAINER, "--yes", "--replay", "x"), "--probe-image is about a cluster"),
        ((*CONTAINER, "--yes", "-f", "x"), "-f judges what is not applied yet"),
        ((*CONTAINER, "--yes", "--context", "a", "--context", "b"), "one cluster at a time"),
        (("--probe-image", "busybox; rm", "--yes"), "is no image"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_read(doctor: Doctor, arguments: tuple[str, ...], words: str) -> None:
    done = doctor("diagnose", "web", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert not doctor.server.received


# --- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "refused", "right", "ask"),
    [
        (CONTAINER, "PATCH pods/ephemeralcontainers", "patch pods/ephemeralcontainers", "rbac -n shop --probe-image"),
        (POD, "POST pods", "create and delete pods", "rbac -n shop --probe-pod"),
        (POD, "DELETE pods", "create and delete pods", "rbac -n shop --probe-pod"),
    ],
    ids=["container", "create", "delete"],
)
def test_what_is_forbidden_is_unknown_and_names_the_right(
    doctor: Doctor, flags: tuple[str, ...], refused: str, right: str, ask: str
) -> None:
    server_of(doctor).refuses.add(refused)
    done = doctor("diagnose", "web", *flags, "--yes", "-o", "json")
    assert done.returncode == 4
    assert f"forbidden: {right} in shop" in done.stderr
    finding = dns(yaml.safe_load(done.stdout))
    assert (finding["status"], finding["code"]) == ("unknown", "unknown-forbidden")
    assert finding["evidence"][0]["value"] == right
    assert ask in finding["remedies"][0]["command"]
    assert not server_of(doctor).created, "what could not be deleted is not created"


@pytest.mark.parametrize("flags", [CONTAINER, POD], ids=["container", "pod"])
def test_what_admission_denies_is_no_lack_of_rights(doctor: Doctor, flags: tuple[str, ...]) -> None:
    server_of(doctor).denies = 'violates PodSecurity "restricted:latest"'
    finding = dns(doctor.report("web", *flags, "--yes"))
    assert (finding["status"], finding["code"]) == ("unknown", "unknown-timeout")
    assert 'violates PodSecurity "restricted:latest"' in finding["message"]


def test_a_pod_that_does_not_start_is_deleted(doctor: Doctor) -> None:
    server_of(doctor).state = PULL
    done = doctor("diagnose", "web", *POD, "--yes", "-o", "json")
    assert "names could not be looked up" in dns(yaml.safe_load(done.stdout))["message"]
    assert "it does not start: ErrImagePull: no such image\n" in done.stderr
    assert len(server_of(doctor).deleted) == 1


def test_a_pod_that_cannot_be_deleted_is_named(doctor: Doctor) -> None:
    server = server_of(doctor)
    answer = server._delete
    server._delete = lambda *_: failure(403, "no more", "Forbidden")  # type: ignore[method-assign]
    done = doctor("diagnose", "web", *POD, "--yes")
    assert "✓ shop/web" in done.stdout
    assert "Pod shop/svcdoctor-RUN is not deleted" in without_run(done.stderr)
    assert "svcdoctor cleanup -n shop deletes it\n" in done.stderr
    server._delete = answer  # type: ignore[method-assign]
    done = doctor("cleanup", "--yes")
    assert without_run(done.stdout) == "pod/svcdoctor-RUN deleted in namespace shop\n"


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("creating", signal.SIGINT),
        ("creating", signal.SIGTERM),
        ("waiting", signal.SIGTERM),
        ("waiting", signal.SIGHUP),
        ("deleting", signal.SIGINT),
    ],
)
def test_a_signal_leaves_nothing(doctor: Doctor, number: signal.Signals, moment: str) -> None:
    """Also where the server was asked to create the Pod and has not answered yet, and when the signal is repeated."""
    server = server_of(doctor)
    if moment != "deleting":
        server.state = {"waiting": {"reason": "ContainerCreating"}}
    reached, told = threading.Event(), threading.Event()
    said, delete = server._said, server._delete

    def answer(request: Any) -> bytes:
        creating = request.method == "POST" and request.path.endswith("/pods")
        if moment == "creating" and creating:
            reached.set()
            told.wait(30)
        if moment == "waiting" and request.method == "GET" and "svcdoctor-" in request.path:
            reached.set()
        return said(request)

    def slowly(*place: str) -> bytes:
        if moment == "deleting":
            reached.set()
            told.wait(30)
        return delete(*place)

    server._said, server._delete = answer, slowly  # type: ignore[method-assign]
    process = doctor.start("diagnose", "web", *POD, "--yes")
    assert reached.wait(30)
    process.send_signal(number)
    if moment == "waiting":
        process.send_signal(number)
    told.set()
    _, error = process.communicate(timeout=60)
    assert "Traceback" not in error.decode()
    assert process.returncode == {signal.SIGINT: 130}.get(number, 128 + number)
    assert len(server.created) == len(server.deleted) == 1


# --- cleanup -----------------------------------------------------------------------------------------------------


def leave(server: WritableApiServer, namespace: str, name: str, **labels: str) -> None:
    metadata = {"name": name, "namespace": namespace, "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"}
    server.add("pods", {"metadata": metadata, "spec": {}, "status": {"phase": "Failed"}})


OURS = {"app.kubernetes.io/managed-by": "svcdoctor", "svcdoctor.io/probe": "0a"}


@pytest.fixture
def littered(doctor: Doctor) -> Doctor:
    leave(server_of(doctor), "shop", "svcdoctor-0a", **OURS)
    leave(server_of(doctor), "store", "svcdoctor-0a", **OURS)
    leave(server_of(doctor), "store", "theirs", **{"app.kubernetes.io/managed-by": "Helm", "svcdoctor.io/probe": "0a"})
    return doctor


@pytest.mark.parametrize(("where", "count"), [((), 1), (("-n", "store"), 1), (("-A",), 2), (("-n", "empty"), 0)])
def test_cleanup_deletes_what_has_the_labels(littered: Doctor, where: tuple[str, ...], count: int) -> None:
    done = littered("cleanup", *where, "--yes")
    assert done.returncode == 0
    assert len(server_of(littered).deleted) == len(done.stdout.splitlines()) == count
    assert ("Pod shop/svcdoctor-0a, Failed, created" in done.stderr) == (where in ((), ("-A",)))
    assert ("have ended by themselves" in done.stderr) == bool(count)


@pytest.mark.parametrize(("answer", "deleted"), [(b"y", 2), (b"n", 0)])
def test_cleanup_asks(littered: Doctor, answer: bytes, deleted: int) -> None:
    code, said = answered(littered, answer, "cleanup", "-A")
    assert code == 0
    assert "2 Pods of svcdoctor will be deleted:" in said
    assert len(server_of(littered).deleted) == deleted


def test_cleanup_does_not_delete_where_nobody_can_be_asked(littered: Doctor) -> None:
    done = littered("cleanup")
    assert done.returncode == 2
    assert "say --yes to agree" in done.stderr
    assert not littered.server.received


def test_cleanup_that_may_not_delete(littered: Doctor) -> None:
    server_of(littered).refuses.add("DELETE pods")
    done = littered("cleanup", "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert "svcdoctor: cannot delete Pod shop/svcdoctor-0a: pods is forbidden" in done.stderr
