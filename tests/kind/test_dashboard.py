"""The dashboard over a real cluster: something breaks while it runs, and the row under the cursor says so.

`svcdoctor dashboard` is started as the command line starts it, and driven by Pilot; one test starts the real command
in a pseudo-terminal. Each test heals what it breaks. With -s the seconds until a change was seen are printed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import termios
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from textual.pilot import Pilot

from cluster import Cluster
from svcdoctor import screen
from svcdoctor.app import Dashboard
from svcdoctor.case import SETTLING_SECONDS
from svcdoctor.cluster.kubeconfig import ConnectOptions
from svcdoctor.finding import Status
from svcdoctor.widgets.detail import Body
from svcdoctor.widgets.entries import Key, Row
from svcdoctor.widgets.help import Reading
from terminal import read_until, started

NAMESPACE = "f-dashboard"
WEB = Key("service", NAMESPACE, "web")
SHOP = """
kind: Deployment
apiVersion: apps/v1
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: web
          image: registry.k8s.io/e2e-test-images/agnhost:2.57
          imagePullPolicy: IfNotPresent
          command: [sh, -c, touch /tmp/ready; exec /agnhost netexec --http-port=8080]
          ports: [{containerPort: 8080}]
          readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1, failureThreshold: 1}
---
kind: Service
apiVersion: v1
metadata: {name: api}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
kind: Service
apiVersion: v1
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"""


# --- the cluster -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    cluster.kubectl("create", "namespace", NAMESPACE)
    try:
        cluster.kubectl("-n", NAMESPACE, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        make_healthy(cluster)
        time.sleep(SETTLING_SECONDS + 2)  # a young Service is not called broken
        yield NAMESPACE
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")


def make_healthy(cluster: Cluster) -> None:
    cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", input=SHOP)
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/web", "--timeout=120s")


@pytest.fixture
def shop(cluster: Cluster, namespace: str) -> str:
    """Two healthy Services, `api` and `web`, with one Pod behind both."""
    make_healthy(cluster)
    return namespace


@pytest.fixture
def kubeconfig(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """The cluster's own with the shop's namespace, and contexts whose servers refuse and say nothing."""
    config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    context = config["contexts"][0]["context"]
    context["namespace"] = NAMESPACE
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name, port in {"refused": 1, "silent": silent.getsockname()[1]}.items():
            config["clusters"].append({"name": name, "cluster": {"server": f"https://127.0.0.1:{port}"}})
            config["contexts"].append({"name": name, "context": {**context, "cluster": name}})
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        yield path


# --- the dashboard -----------------------------------------------------------------------------------------------


class Looking:
    """A dashboard that runs, and what a person sees of it."""

    def __init__(self, dashboard: Dashboard, pilot: Pilot[None], cluster: Cluster) -> None:
        self.dashboard = dashboard
        self.pilot = pilot
        self.cluster = cluster
        self.longest_wait = 0.0

    @property
    def row(self) -> Row | None:
        """The selected one."""
        outline = self.dashboard.outline
        return outline.rows.row(outline.cursor)

    @property
    def lines(self) -> list[str]:
        """The outline as it stands on the screen."""
        outline = self.dashboard.outline
        return [outline.render_line(y).text.rstrip() for y in range(outline.size.height)]

    @property
    def line(self) -> str:
        outline = self.dashboard.outline
        return self.lines[outline.cursor - outline.scroll_offset.y]

    @property
    def body(self) -> str:
        return " ".join(self.dashboard.base.query_one(Body).text.split())

    @property
    def streams(self) -> set[str]:
        return {stream.state for stream in self.dashboard.update.streams} if self.dashboard.update else set()

    def is_failing(self, code: str) -> bool:
        row = self.row
        return row is not None and (row.key, row.status) == (WEB, Status.FAIL) and code in row.words

    def is_passing(self) -> bool:
        row = self.row
        return row is not None and (row.key, row.status, row.tally) == (WEB, Status.PASS, "1/1") and not row.gone

    async def kubectl(self, *args: str, input: str | None = None) -> None:
        await asyncio.to_thread(self.cluster.kubectl, "-n", NAMESPACE, *args, input=input)

    async def until(self, what: str, holds: Callable[[], bool], seconds: float = 60.0) -> list[Row]:
        """Waits until it is so; the rows that stood under the cursor meanwhile, each once."""
        started = time.monotonic()
        stood: list[Row] = []
        while not holds():
            if self.row and self.row not in stood[-1:]:
                stood.append(self.row)
            if time.monotonic() - started > seconds:
                lines = [line for line in self.lines if line]
                pytest.fail("\n".join([f"{what}: not within {seconds:.0f} s", *lines, self.body]), pytrace=False)
            await asyncio.sleep(0.05)
        print(f"{what}: {time.monotonic() - started:.2f} s")
        for row in stood:
            print(f"    {row.status} {row.tally} {row.words}")
        return stood

    async def select_web(self) -> None:
        """The last row: from this key on the order and the cursor are the person's."""
        await self.until("both are there", lambda: [line.split()[-1] for line in self.lines if line] == ["1/1", "1/1"])
        await self.pilot.press("G")
        await self.until("web passes", self.is_passing)

    async def choose(self, key: str, name: str) -> None:
        await self.pilot.press(key, *name, "enter")

    async def measure_waits(self) -> None:
        """Runs beside the test: how long the application kept a task waiting that asks for nothing."""
        while True:
            started = time.monotonic()
            await asyncio.sleep(0.02)
            self.longest_wait = max(self.longest_wait, time.monotonic() - started)


Look = Callable[..., AbstractAsyncContextManager[Looking]]


@pytest.fixture
def look(cluster: Cluster, shop: str, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Opens what the command line would open, without taking the terminal."""
    made: list[Dashboard] = []
    monkeypatch.setenv("XDG_STATE_HOME", str(kubeconfig.parent))
    monkeypatch.setattr(Dashboard, "run", lambda dashboard: made.append(dashboard))

    @asynccontextmanager
    async def looking(namespace: str | None = "", **options: Any) -> AsyncIterator[Looking]:
        connect = ConnectOptions(kubeconfig=str(kubeconfig), **options)
        screen.show_cluster(connect, namespace, "", True, False)
        dashboard = made.pop()
        async with dashboard.run_test(size=(120, 40)) as pilot:
            found = Looking(dashboard, pilot, cluster)
            measuring = asyncio.create_task(found.measure_waits())
            try:
                yield found
            finally:
                measuring.cancel()
                # Pilot takes the screens away while messages still come.
                if dashboard.source:
                    dashboard.source.stop()
                await pilot.pause(0.2)

    return looking


# --- what breaks while it runs -----------------------------------------------------------------------------------


class Break(NamedTuple):
    act: tuple[str, ...]
    heal: tuple[str, ...]
    code: str
    seconds: float = 10.0


# The Pod is old enough to be judged by its readiness before it is replaced.
BREAKS = {
    "readiness": Break(
        ("exec", "deployment/web", "--", "rm", "/tmp/ready"),
        ("exec", "deployment/web", "--", "touch", "/tmp/ready"),
        "ready",
        20.0,
    ),
    "selector": Break(
        ("set", "selector", "service", "web", "app=wbe"), ("set", "selector", "service", "web", "app=web"), "selector"
    ),
    "scale": Break(("scale", "deployment/web", "--replicas=0"), ("scale", "deployment/web", "--replicas=1"), "zero"),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_a_service_breaks_and_heals(name: str, look: Look) -> None:
    broken = BREAKS[name]
    async with look() as seen:
        await seen.select_web()
        place = seen.dashboard.outline.cursor
        try:
            await seen.kubectl(*broken.act)
            await seen.until(f"{name} breaks", lambda: seen.is_failing(broken.code), broken.seconds)
            assert seen.dashboard.outline.cursor == place
        finally:
            await seen.kubectl(*broken.heal)
        await seen.until(f"{name} heals", seen.is_passing)
        assert seen.dashboard.outline.cursor == place


async def test_a_service_is_deleted_and_comes_again(look: Look) -> None:
    async with look() as seen:
        await seen.select_web()
        place = seen.dashboard.outline.cursor
        await seen.kubectl("delete", "service", "web")
        await seen.until("deletion", lambda: seen.row is not None and seen.row.gone, 10)
        assert seen.row and seen.row.key == WEB and seen.dashboard.outline.cursor == place
        await seen.until("the detail says so", lambda: "this has gone from the cluster" in seen.body, 5)
        await seen.kubectl("apply", "-f", "-", input=SHOP)
        stood = await seen.until("it comes again", seen.is_passing)
        assert all(row.key == WEB and row.status is not Status.FAIL for row in stood), "new is not broken"
        assert seen.dashboard.outline.cursor == place


# --- servers that do not answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("context", ["refused", "silent"])
async def test_away_to_a_cluster_that_does_not_answer_and_back(context: str, look: Look) -> None:
    async with look() as seen:
        await seen.select_web()
        here = seen.dashboard.request.context
        seen.longest_wait = 0.0
        await seen.choose("c", context)
        await seen.pilot.press("question_mark")
        assert isinstance(seen.dashboard.screen, Reading), "keys work while nobody answers"
        await seen.pilot.press("escape")
        await seen.until("no answer is said", lambda: "no answer" in seen.body, 30)
        assert seen.row and (seen.row.key.kind, seen.row.status) == ("gap", Status.UNKNOWN)
        assert not any("f-dashboard/web" in line for line in seen.lines), "nothing of the cluster that was left"
        await seen.choose("c", here)
        await seen.select_web()
        print(f"longest wait: {seen.longest_wait:.2f} s")
        assert seen.longest_wait < 2


async def test_the_api_server_dies_and_comes_again(look: Look, cluster: Cluster) -> None:
    node = f"{cluster.name}-control-plane"
    async with look() as seen:
        await seen.select_web()
        await seen.until("all streams run", lambda: seen.streams == {"watching"})
        # SIGTERM would let the watches go on for a minute.
        kill = ["docker", "exec", node, "pkill", "-9", "kube-apiserver"]
        await asyncio.to_thread(subprocess.run, kill, check=True, capture_output=True, timeout=60)
        await seen.until("streams break", lambda: "broken" in seen.streams, 30)
        await seen.until("a row says so", lambda: any("stream of" in line for line in seen.lines), 5)
        assert seen.row and seen.row.key == WEB
        await seen.until("streams recover", lambda: seen.streams == {"watching"}, 180)
        await seen.until("the row goes", lambda: not any("stream of" in line for line in seen.lines), 5)
        try:
            await seen.kubectl("set", "selector", "service", "web", "app=wbe")
            await seen.until("selector breaks", lambda: seen.is_failing("selector"), 10)
        finally:
            await seen.kubectl("set", "selector", "service", "web", "app=web")
        await seen.until("selector heals", seen.is_passing, 180)


# --- rights in one namespace -------------------------------------------------------------------------------------


@pytest.fixture
def ada(cluster: Cluster, shop: str) -> Iterator[str]:
    """May view the shop, and nothing else."""
    cluster.kubectl("-n", shop, "create", "rolebinding", "view-ada", "--clusterrole=view", "--user=ada")
    try:
        yield "ada"
    finally:
        cluster.kubectl("-n", shop, "delete", "rolebinding", "view-ada")


@pytest.mark.parametrize("where", ["", None], ids=["the-namespace", "all-namespaces"])
async def test_rights_in_one_namespace(where: str | None, look: Look, ada: str) -> None:
    async with look(where, as_user=ada) as seen:
        await seen.until("Services", lambda: sum(" 1/1 " in line for line in seen.lines) == 2)
        await seen.pilot.press("g")
        await seen.until("what is missing is said", lambda: "the Role that would allow it" in seen.body)
        assert seen.row and seen.row.key.kind == "gap" and seen.row.words.startswith("svcdoctor rbac")
        assert "nodes forbidden" in seen.body and "svcdoctor rbac" in seen.body
        await seen.pilot.press("G")
        await seen.until("web is judged as far as it goes", lambda: "unknown-forbidden" in seen.line)
        assert seen.row and seen.row.key == WEB
        await seen.until("its endpoints are seen", lambda: "1 of 1 ready" in seen.body)


# --- what kubectl would show of it -------------------------------------------------------------------------------


async def test_the_tabs_have_what_kubectl_shows(look: Look) -> None:
    async with look() as seen:
        await seen.select_web()
        for key, *words in (
            ("2", ":8080", "ready"),
            ("3", "kind: Service ", "kind: EndpointSlice ", "app: web"),
            ("4", "Normal Started pod/web-"),
            ("5", "followed", "Started HTTP server on port 8080"),
            ("at", "kubectl get services -n f-dashboard --watch-only", "getent"),
        ):
            await seen.pilot.press(key)
            await seen.until(f"tab {key}", lambda words=words: all(word in seen.body for word in words), 20)  # type: ignore[misc]
        await seen.pilot.press("5")
        await seen.kubectl("exec", "deployment/web", "--", "sh", "-c", "echo said just now >/proc/1/fd/1")
        await seen.until("the log goes on", lambda: "said just now" in seen.body, 20)


# --- a terminal --------------------------------------------------------------------------------------------------


def test_the_command_in_a_terminal(cluster: Cluster, shop: str, tmp_path: Path) -> None:
    environment = {**cluster.environment, "TERM": "xterm-256color", "NO_COLOR": "", "XDG_STATE_HOME": str(tmp_path)}
    began = time.monotonic()
    with started(environment, "-n", shop, "--kubeconfig", str(cluster.kubeconfig)) as (child, terminal):
        before = termios.tcgetattr(terminal)
        seen = read_until(terminal, b"f-dashboard/web")
        print(f"first Service in a terminal: {time.monotonic() - began:.2f} s")
        assert b"\x1b[?1049h" in seen
        assert termios.tcgetattr(terminal) != before, "keys come one by one"
        os.write(terminal, b"q")
        seen = read_until(terminal, b"")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        for mode in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l"):
            assert mode in seen, "screen, cursor or mouse is not given back"
        assert termios.tcgetattr(terminal) == before
