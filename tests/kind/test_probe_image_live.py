"""--probe-image on a real cluster: names looked up from the inside of a distroless Pod, and nothing of it stays."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cluster import REPOSITORY, Cluster
from reported import AGNHOST, diagnose, service, shop
from signals import as_in_a_terminal

DISTROLESS = "svcdoctor/agnhost-distroless:2.57"
OURS = "app.kubernetes.io/managed-by=svcdoctor"
CONTAINER = ("--probe-image", AGNHOST, "--yes")
POD = (*CONTAINER, "--probe-pod")
AT_ONCE = 6


@pytest.fixture(scope="module")
def distroless(cluster: Cluster) -> Iterator[str]:
    with shop(cluster, "f-probe-image", image=DISTROLESS) as namespace:
        yield namespace


def left(cluster: Cluster, *where: str) -> list[str]:
    return cluster.kubectl("get", "pods", "-l", OURS, "-o", "name", *where).split()


def test_a_container_in_the_client_looks_names_up(cluster: Cluster, distroless: str) -> None:
    _, report = diagnose(cluster, "-n", distroless, *CONTAINER)
    dns = next(step for step in service(report, distroless, "web")["steps"] if step["step"] == "dns")
    assert dns["status"] == "pass"
    assert f"asked inside {distroless}/web, in a container of {AGNHOST}" in dns["message"]
    ends = time.monotonic() + 30
    while (states := [item["state"] for item in added(cluster, distroless)]) and "terminated" not in states[-1]:
        assert time.monotonic() < ends, states
        time.sleep(0.5)
    assert states[-1]["terminated"]["exitCode"] == 0, "it ended when it was told to"


def added(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    pod = json.loads(cluster.kubectl("-n", namespace, "get", "pod", "web", "-o", "json"))
    statuses: list[dict[str, Any]] = pod["status"].get("ephemeralContainerStatuses", [])
    return statuses


def test_a_pod_like_the_client_looks_names_up_and_gets_no_traffic(cluster: Cluster, distroless: str) -> None:
    label = ("label", "namespace", distroless)
    cluster.kubectl(*label, "pod-security.kubernetes.io/enforce=restricted")
    refused = cluster.svcdoctor("diagnose", "-n", distroless, *CONTAINER)
    assert "violates PodSecurity" in refused.stderr, "since the client itself does"
    _, report = diagnose(cluster, "-n", distroless, *POD)
    cluster.kubectl(*label, "pod-security.kubernetes.io/enforce-")
    dns = next(step for step in service(report, distroless, "web")["steps"] if step["step"] == "dns")
    assert dns["status"] == "pass"
    assert f"asked inside a new Pod like {distroless}/web, of {AGNHOST}" in dns["message"]
    assert not left(cluster, "-n", distroless)


def test_the_pod_is_never_offered_as_an_endpoint(cluster: Cluster, distroless: str) -> None:
    slices = ("-n", distroless, "get", "endpointslices", "-o", "json")
    process = start(cluster, distroless)
    ready: list[bool] = []
    while process.poll() is None:
        endpoints = [entry for item in json.loads(cluster.kubectl(*slices))["items"] for entry in item["endpoints"]]
        ready += [
            entry["conditions"]["ready"] for entry in endpoints if entry["targetRef"]["name"].startswith("svcdoctor-")
        ]
    process.communicate()
    assert not any(ready)


def start(cluster: Cluster, namespace: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "svcdoctor", "diagnose", "-n", namespace, *POD],
        cwd=REPOSITORY,
        env=dict(cluster.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=as_in_a_terminal,
    )


def ended(cluster: Cluster, namespace: str, number: signal.Signals, moment: float) -> int:
    """The exit code of a run that a signal ends so many seconds after it has said what it is about to create."""
    process = start(cluster, namespace)
    assert process.stderr
    process.stderr.readline()
    time.sleep(moment)
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode


def test_ctrl_c_and_sigterm_at_any_moment_leave_nothing(cluster: Cluster, distroless: str) -> None:
    moments = [(number, random.uniform(0, 1.5)) for number in (signal.SIGINT, signal.SIGTERM) for _ in range(5)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        codes = list(pool.map(lambda one: ended(cluster, distroless, *one), moments))
    assert {130, 128 + signal.SIGTERM} & set(codes), "none was too late"
    assert not left(cluster, "-n", distroless), moments


def test_cleanup_deletes_what_sigkill_leaves(cluster: Cluster, distroless: str) -> None:
    moments = [random.uniform(0, 1.2) for _ in range(20)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        codes = list(pool.map(lambda moment: ended(cluster, distroless, signal.SIGKILL, moment), moments))
    assert -signal.SIGKILL in codes
    killed = left(cluster, "-n", distroless)
    assert killed, "a kill in the middle leaves a Pod"
    done = cluster.svcdoctor("cleanup", "-A", "--yes")
    assert done.returncode == 0, done.stderr
    assert not left(cluster, "-A")
    assert len(done.stdout.splitlines()) >= len(killed)


def test_without_the_right_it_is_said_and_nothing_is_created(cluster: Cluster, distroless: str) -> None:
    rights = cluster.svcdoctor("rbac", "-n", distroless, "--probe-image").stdout
    cluster.kubectl("apply", "-f", "-", input=rights)
    cluster.kubectl("-n", distroless, "create", "serviceaccount", "someone")
    who = f"system:serviceaccount:{distroless}:someone"
    cluster.kubectl("-n", distroless, "create", "rolebinding", "someone", "--role=svcdoctor", f"--user={who}")
    before = len(added(cluster, distroless))
    cluster.svcdoctor("diagnose", "-n", distroless, *CONTAINER, "--as", who)
    assert len(added(cluster, distroless)) == before + 1, "the role that rbac prints suffices"
    done = cluster.svcdoctor("diagnose", "-n", distroless, *POD, "--as", who)
    assert f"forbidden: create and delete pods in {distroless}" in done.stderr
