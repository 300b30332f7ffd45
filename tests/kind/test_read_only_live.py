"""Nothing is written, and with --no-probe nobody's Pod is entered: the API server's own log says so.

Each run is that of a user of its own who may do everything, so that nothing is missing from the log because it was
refused, and nobody else's requests are in it.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from auditlog import PROBES, Audited, Request, audited
from cluster import Cluster
from reported import shop
from terminal import read_until, started

BROKEN = """
kind: Service
apiVersion: v1
metadata: {name: typing-error}
spec: {selector: {app: wbe}, ports: [{port: 80, targetPort: 8080}]}
---
kind: Service
apiVersion: v1
metadata: {name: wrong-port}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8081}]}
---
kind: Pod
apiVersion: v1
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: client
      image: busybox:1.36
      imagePullPolicy: IfNotPresent
      command: [sleep, "86400"]
"""
# No shell in it: what cannot be asked inside the Pod is asked of CoreDNS by port-forward.
IMAGE = "svcdoctor/agnhost-distroless:2.57"


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    with shop(cluster, "rights-audit", image=IMAGE) as made:
        cluster.kubectl("-n", made, "apply", "-f", "-", input=BROKEN)
        cluster.kubectl("-n", made, "wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
        yield made


@pytest.fixture
def anna(cluster: Cluster, tmp_path: Path) -> Audited:
    return audited(cluster, tmp_path)


def flags(probes: bool) -> list[str]:
    return [] if probes else ["--no-probe"]


def only_reads(requests: list[Request], *, probes: bool) -> None:
    """Nothing else is in the log; and what shows that it was a whole run is."""
    entered = {one.what for one in requests if one.probes}
    assert {(one.verb, one.what) for one in requests if not one.reads and not one.probes} == set()
    assert entered == (set(PROBES) if probes else set())
    assert {"services", "endpointslices", "pods"} <= {one.what for one in requests}


# --- one command after the other ---------------------------------------------------------------------------------


@pytest.mark.parametrize("probes", [True, False], ids=["probes", "no-probe"])
@pytest.mark.parametrize("command", ["diagnose", "capture -o /dev/null", "wait web --timeout=60s"])
def test_a_command_only_reads(command: str, probes: bool, anna: Audited, namespace: str) -> None:
    done = anna.cluster.svcdoctor(*command.split(), "-n", namespace, *flags(probes))
    assert done.returncode in (0, 1), done.stderr
    only_reads(anna.requests(), probes=probes)


def test_the_dry_run_sends_patches_that_store_nothing(anna: Audited, namespace: str) -> None:
    done = anna.cluster.svcdoctor("diagnose", "-n", namespace, "--no-probe", "--dry-run=server")
    assert "accepted" in done.stdout, done.stderr
    written = [one for one in anna.requests() if not one.reads and not one.asks_for_rights]
    assert {one.verb for one in written} == {"patch"}
    assert all("dryRun=All" in one.uri for one in written)


def test_the_demo_asks_nobody(anna: Audited) -> None:
    done = anna.cluster.svcdoctor("demo")
    assert done.returncode == 1, done.stderr
    assert anna.requests() == []


# --- the dashboard -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probes", [True, False], ids=["probes", "no-probe"])
def test_a_session_of_the_dashboard_only_reads(probes: bool, anna: Audited, namespace: str, tmp_path: Path) -> None:
    environment = {**anna.cluster.environment, "TERM": "xterm-256color", "XDG_STATE_HOME": str(tmp_path)}
    with started(environment, "-n", namespace, *flags(probes)) as (child, terminal):
        read_until(terminal, b"typing-error")
        # A healthy Service, its raw objects, the log of its Pod, and everything judged again.
        os.write(terminal, b"G35R")
        shown = {"watch", "pods/log", *(PROBES if probes else ())}
        until_seen(terminal, lambda: shown <= {word for one in anna.requests() for word in one})
        os.write(terminal, b"qq")
        read_until(terminal, b"")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    only_reads(anna.requests(), probes=probes)


def test_the_demo_in_a_terminal_asks_nobody(anna: Audited, tmp_path: Path) -> None:
    environment = {**anna.cluster.environment, "TERM": "xterm-256color", "XDG_STATE_HOME": str(tmp_path)}
    with started(environment, "demo") as (child, terminal):
        read_until(terminal, b"cart")
        os.write(terminal, b"q")
        read_until(terminal, b"")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert anna.requests() == []


# --- the log itself ----------------------------------------------------------------------------------------------


def test_what_is_written_would_be_seen(anna: Audited, namespace: str) -> None:
    anna.cluster.kubectl("-n", namespace, "label", "service", "web", "seen=yes")
    assert ("patch", "services") in {(one.verb, one.what) for one in anna.requests()}


def until_seen(terminal: int, holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Reads what is drawn, which else would keep the dashboard waiting."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        while select.select([terminal], [], [], 0.5)[0]:
            os.read(terminal, 65536)
