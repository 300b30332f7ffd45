"""Ten minutes of chaos (`make soak`): parts of a real cluster die and come back while dashboard and exporter run.

Neither is started again. Each fault is seen by both, a fault that all share is said once, and all is well afterwards;
memory and threads at the end are what they were after the first round.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pyte
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster import REPOSITORY, Cluster
from reported import shop
from test_cluster_faults import in_node, until_gone

MINUTES = float(os.environ.get("SVCDOCTOR_CHAOS_MINUTES", "10"))
PATIENCE = 240.0
"""Seconds: a node counts as lost after 50 s, and a restarted API server needs as long to be believed again."""
COLUMNS, LINES = 120, 40


# --- the two that run ----------------------------------------------------------------------------------------------


class Process(NamedTuple):
    """What the kernel says of one, with its children: the dashboard reads and judges in one of its own."""

    kilobytes: int
    threads: int


def process(pid: int) -> Process:
    place = Path(f"/proc/{pid}")
    status = (place / "status").read_text(encoding="ascii")
    children = (place / "task" / str(pid) / "children").read_text(encoding="ascii").split()
    each = [process(int(child)) for child in children]
    own = [int(re.findall(rf"^{name}:\s+(\d+)", status, re.M)[0]) for name in ("VmRSS", "Threads")]
    return Process(*(sum(column) for column in zip(own, *each, strict=True)))


class Exporter:
    def __init__(self, cluster: Cluster, log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = ["export", "-A", "--listen", f"127.0.0.1:{port}", "--kubeconfig", str(cluster.kubeconfig)]
        with log.open("wb") as stderr:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "svcdoctor", *command],
                cwd=REPOSITORY,
                env=dict(cluster.environment),
                stdin=subprocess.DEVNULL,
                stderr=stderr,
            )
        self.pid = self.child.pid
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20)

    def get(self, path: str) -> httpx.Response | None:
        """None while nobody listens yet."""
        try:
            return self._client.get(path)
        except httpx.ConnectError:
            return None

    @property
    def is_ready(self) -> bool:
        answer = self.get("/readyz")
        return answer is not None and answer.status_code == 200

    def findings(self) -> list[dict[str, str]]:
        """The labels of all that is held against somebody."""
        answer = self.get("/metrics")
        assert answer is not None
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        found = families.get("svcdoctor_finding")
        return [sample.labels for sample in found.samples if sample.labels["status"] != "note"] if found else []

    def shown(self) -> str:
        ready = self.get("/readyz")
        return f"{ready.text if ready else 'nobody listens'}\n" + "\n".join(map(str, self.findings()))

    def stop(self) -> None:
        self._client.close()
        self.child.send_signal(signal.SIGTERM)
        assert self.child.wait(30) == 0


class Dashboard:
    """The command in a terminal, and what stands on it."""

    def __init__(self, cluster: Cluster, state: Path) -> None:
        environment = {**cluster.environment, "TERM": "xterm-256color", "XDG_STATE_HOME": str(state)}
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(REPOSITORY)
            command = [sys.executable, "-m", "svcdoctor", "-A", "--kubeconfig", str(cluster.kubeconfig)]
            os.execve(sys.executable, command, environment)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._terminal, 65536)
            except OSError:  # the other end is closed
                return
            with self._lock:
                self._stream.feed(data)

    def shown(self) -> str:
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display)

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def stop(self) -> None:
        self.press("q")
        self._reader.join(30)
        assert os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) == 0
        os.close(self._terminal)


class Watchers(NamedTuple):
    exporter: Exporter
    dashboard: Dashboard

    def until(self, holds: Callable[[], bool], what: str) -> float:
        """Seconds until it was so."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > PATIENCE:
                seen = f"--- exporter\n{self.exporter.shown()}\n--- dashboard\n{self.dashboard.shown()}"
                pytest.fail(f"{what}: not so within {PATIENCE:.0f} s\n{seen}", pytrace=False)
            time.sleep(1)
        return time.monotonic() - began

    def are_content(self) -> bool:
        return (
            self.exporter.is_ready
            and not self.exporter.findings()
            and re.search(r"\b[1-9]\d* (fail|warn|unknown)", self.dashboard.shown()) is None
            and "broken since" not in self.dashboard.shown()
        )


# --- the faults ----------------------------------------------------------------------------------------------------


@contextmanager
def without_api_server(cluster: Cluster) -> Iterator[None]:
    yield from _without("kube-apiserver", cluster)


@contextmanager
def without_controllers(cluster: Cluster) -> Iterator[None]:
    """Nobody writes EndpointSlices: the Pod that comes for one that is deleted is in none."""
    for _ in _without("kube-controller-manager", cluster):
        pod = ("-n", "f-chaos", "get", "pod", "web", "-o", "json")
        manifest = json.loads(cluster.kubectl(*pod))
        kept = {"metadata": {"name": "web", "labels": manifest["metadata"]["labels"]}, "spec": manifest["spec"]}
        cluster.kubectl("-n", "f-chaos", "delete", "pod", "web", "--timeout=60s")
        again = {"apiVersion": "v1", "kind": "Pod", **kept}
        cluster.kubectl("-n", "f-chaos", "create", "-f", "-", input=json.dumps(again))
        yield


def _without(component: str, cluster: Cluster) -> Iterator[None]:
    node = f"{cluster.name}-control-plane"
    in_node(node, "mv", f"/etc/kubernetes/manifests/{component}.yaml", "/root/")
    try:
        until_gone(node, component[:15])
        yield
    finally:
        in_node(node, "mv", f"/root/{component}.yaml", "/etc/kubernetes/manifests/")
        _until_it_answers(cluster)


def _until_it_answers(cluster: Cluster) -> None:
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            cluster.kubectl("get", "--raw", "/readyz", timeout=20)
            return
        except Exception as error:
            if time.monotonic() > ends:
                raise AssertionError(f"the API server does not come back: {error}") from error
            time.sleep(1)


@contextmanager
def without_coredns(cluster: Cluster) -> Iterator[None]:
    cluster.kubectl("-n", "kube-system", "scale", "deployment/coredns", "--replicas=0")
    try:
        yield
    finally:
        cluster.kubectl("-n", "kube-system", "scale", "deployment/coredns", "--replicas=2")


@contextmanager
def without_kube_proxy(cluster: Cluster) -> Iterator[None]:
    def select(value: str | None) -> None:
        patch = {"spec": {"template": {"spec": {"nodeSelector": {"example.com/nowhere": value}}}}}
        cluster.kubectl("-n", "kube-system", "patch", "daemonset", "kube-proxy", "-p", json.dumps(patch))

    select("yes")
    try:
        yield
    finally:
        select(None)


@contextmanager
def frozen_node(cluster: Cluster) -> Iterator[None]:
    node = f"{cluster.name}-worker2"
    subprocess.run(["docker", "pause", node], check=True, capture_output=True, timeout=60)
    try:
        yield
    finally:
        subprocess.run(["docker", "unpause", node], check=True, capture_output=True, timeout=60)


@contextmanager
def partitioned_worker(cluster: Cluster) -> Iterator[None]:
    """It runs, and nobody hears of it."""
    node = f"{cluster.name}-worker2"
    rules = [(chain, way, "eth0", "-j", "DROP") for chain, way in (("INPUT", "-i"), ("OUTPUT", "-o"))]
    for chain, *rule in rules:
        in_node(node, "iptables", "-I", chain, *rule)
    try:
        yield
    finally:
        for chain, *rule in rules:
            in_node(node, "iptables", "-D", chain, *rule)


class Fault(NamedTuple):
    name: str
    inject: Callable[[Cluster], AbstractContextManager[None]]
    code: str
    """What is found; "" where nothing can be, because nobody is there to ask."""
    is_shared: bool = False


FAULTS = [
    Fault("the API server is stopped", without_api_server, ""),
    Fault("CoreDNS is killed", without_coredns, "dns-coredns-down", is_shared=True),
    Fault("kube-proxy is killed", without_kube_proxy, "dp-kubeproxy-down", is_shared=True),
    Fault("a node freezes", frozen_node, "pods-node-notready"),
    Fault("the controllers stop", without_controllers, "slice-controller-lag"),
    Fault("a worker is cut off", partitioned_worker, "pods-node-notready"),
]


# --- the ten minutes -----------------------------------------------------------------------------------------------


@pytest.fixture
def watchers(cluster: Cluster, tmp_path: Path) -> Iterator[Watchers]:
    # Beyond the node that is lost, Pods of the shop are not driven away: they tolerate it.
    with shop(cluster, "f-chaos", placement=f"nodeName: {cluster.name}-worker2"):
        running = Watchers(Exporter(cluster, tmp_path / "export.log"), Dashboard(cluster, tmp_path))
        try:
            running.until(running.are_content, "all is well at the beginning")
            yield running
        finally:
            running.exporter.stop()
            running.dashboard.stop()


def live_through(fault: Fault, watchers: Watchers, cluster: Cluster) -> str:
    exporter, dashboard = watchers

    def is_seen() -> bool:
        if not fault.code:
            return not exporter.is_ready and "broken since" in dashboard.shown()
        return any(labels["code"] == fault.code for labels in exporter.findings()) and fault.code in dashboard.shown()

    with fault.inject(cluster):
        seen = watchers.until(is_seen, f"{fault.name}: it is seen")
        if fault.is_shared:
            said = [labels for labels in exporter.findings() if labels["code"] == fault.code]
            assert [(labels["namespace"], labels["service"]) for labels in said] == [("", "")], said
            own = [labels for labels in exporter.findings() if labels["namespace"] == "f-chaos"]
            assert not [labels for labels in own if labels["role"] == "cause"], own
    healed = watchers.until(watchers.are_content, f"{fault.name}: all is well after it")
    costs = [process(child.pid) for child in watchers]
    sizes = ", ".join(f"{cost.kilobytes // 1024} MB {cost.threads} threads" for cost in costs)
    return f"{fault.name}: seen after {seen:.0f} s, well {healed:.0f} s after the end; {sizes}"


def test_chaos(watchers: Watchers, cluster: Cluster) -> None:
    ends = time.monotonic() + 60 * MINUTES
    first: list[Process] = []
    rounds = 0
    while rounds < 2 or time.monotonic() < ends:
        for fault in FAULTS:
            print(live_through(fault, watchers, cluster), flush=True)
        costs = [process(child.pid) for child in watchers]
        first = first or costs
        rounds += 1
    for before, after in zip(first, costs, strict=True):
        assert after.kilobytes < before.kilobytes * 1.15, (before, after)
        assert after.threads <= before.threads + 2, (before, after)
    print(f"{rounds} rounds, {rounds * len(FAULTS)} faults")
