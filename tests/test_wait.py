"""`svcdoctor wait`: against an API server that is watched, and the real command."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from simulate import simulate
from svcdoctor.cli import cli
from svcdoctor.cluster.kube import Cluster, ConnectOptions
from svcdoctor.commands.wait import Story
from svcdoctor.diagnosis import Scope
from svcdoctor.finding import Status
from svcdoctor.labels import parse
from svcdoctor.live import Update
from svcdoctor.standing import Standing, standings
from svcdoctor.wait import Waited, wait_until_passing
from test_cli import BROKEN, FAULT, Doctor
from test_live import QUICK, deployment, service
from watched_apiserver import WatchedApiServer

SOON = 0.05  # seconds that passing has to last, here


def broken_cart(server: WatchedApiServer) -> dict[str, Any]:
    """The Service without Pods; returns it as it should be."""
    good = server.get("services", "shop", "cart")
    server.change("services", "MODIFIED", {**good, "spec": {**good["spec"], "selector": {"app": "kart"}}})
    return good


@pytest.fixture
def server() -> Iterator[WatchedApiServer]:
    with WatchedApiServer(simulate([deployment("cart"), service("cart")])) as running:
        yield running


class Clock:
    """The time that a wait goes by: it is up when a test says so."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def jump(self) -> None:
        self.ahead += 3600.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("svcdoctor.wait.time", clock)
    return clock


class Waiter:
    """Waits in the test's own thread, keeps what it is told, and does what a test wants done then."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.story: list[str] = []
        self.then: dict[str, Callable[[], object]] = {}

    def __call__(self, scope: Scope, *, hold: float = SOON, fail_on: str = "fail") -> Waited:
        def judge(update: Update) -> list[Standing]:
            return standings(update.diagnosis, update.checking, scope, fail_on)

        return wait_until_passing(self.cluster, scope, False, 30.0, hold, judge, self._tell, timing=QUICK)

    def _tell(self, found: list[Standing]) -> None:
        for standing in found:
            line = f"{'/'.join(standing.name)} {standing.words}".rstrip()
            if line not in self.story:
                self.story.append(line)
            for act in [self.then.pop(word) for word in list(self.then) if line.startswith(word)]:
                act()


@pytest.fixture
def wait(server: WatchedApiServer, tmp_path: Path) -> Iterator[Waiter]:
    cluster = Cluster.connect(ConnectOptions(kubeconfig=str(server.kubeconfig(tmp_path, namespace="shop"))))
    yield Waiter(cluster)
    ends = time.monotonic() + 30
    while any(thread.name == "live" for thread in threading.enumerate()):
        assert time.monotonic() < ends
        time.sleep(0.002)
    cluster.close()


CART = Scope("shop", ("cart",))


def test_what_passes_is_not_waited_for(wait: Waiter) -> None:
    waited = wait(CART)
    assert waited.passed
    assert [entry.status for entry in waited.diagnosis.services] == [Status.PASS]


def test_a_service_that_heals(server: WatchedApiServer, wait: Waiter) -> None:
    good = broken_cart(server)
    wait.then["shop/cart fail: "] = lambda: server.change("services", "MODIFIED", good)
    assert wait(CART).passed
    assert wait.story[-1].startswith("shop/cart pass: ")


def test_one_that_stays_broken_is_diagnosed_when_the_time_is_up(
    server: WatchedApiServer, wait: Waiter, clock: Clock
) -> None:
    broken_cart(server)
    wait.then["shop/cart fail: "] = clock.jump
    waited = wait(CART)
    assert not waited.passed
    assert [entry.cause for entry in waited.diagnosis.services] == ["selector-value-mismatch"]


def test_a_service_that_does_not_exist_yet(server: WatchedApiServer, wait: Waiter) -> None:
    late = server.get("services", "shop", "cart")
    server.change("services", "DELETED", late)
    wait.then["shop/cart does not exist yet"] = lambda: server.change("services", "ADDED", late)
    assert wait(CART).passed


def test_a_service_that_never_comes_is_named(wait: Waiter, clock: Clock) -> None:
    wait.then["shop/cat does not exist yet"] = clock.jump
    waited = wait(Scope("shop", ("cart", "cat")))
    assert not waited.passed
    assert [(entry.name, entry.findings[0].code) for entry in waited.diagnosis.missing] == [("cat", "svc-missing")]


def test_labels_that_no_service_has_yet_are_waited_for(server: WatchedApiServer, wait: Waiter) -> None:
    new = server.get("services", "shop", "cart")
    new["metadata"]["labels"] = {"release": "2"}
    timer = threading.Timer(0.1, lambda: server.change("services", "MODIFIED", new))
    timer.start()
    assert wait(Scope("shop", labels=parse("release=2"))).passed
    timer.join()


def test_passing_has_to_last(server: WatchedApiServer, wait: Waiter, clock: Clock) -> None:
    """It passes, breaks before that has lasted, and is broken when the time is up."""
    wait.then["shop/cart pass: "] = lambda: broken_cart(server)
    wait.then["shop/cart fail: "] = clock.jump
    assert not wait(CART, hold=20.0).passed


def test_while_a_watch_is_refused_nothing_passes(server: WatchedApiServer, wait: Waiter, clock: Clock) -> None:
    server.silence("endpointslices")
    wait.then["shop/cart unknown: "] = clock.jump
    waited = wait(CART)
    assert not waited.passed
    assert [entry.status for entry in waited.diagnosis.services] == [Status.UNKNOWN]


def test_what_was_not_read_in_time_is_unknown(server: WatchedApiServer, wait: Waiter, clock: Clock) -> None:
    server.held.add("pods")
    wait.then["shop/cart"] = clock.jump
    waited = wait(Scope("shop"))
    assert not waited.passed
    assert [entry.status for entry in waited.diagnosis.services] == [Status.UNKNOWN]
    assert "the time is up" in waited.diagnosis.services[0].headline


@pytest.mark.parametrize(("fail_on", "passes"), [("fail", True), ("warn", False), ("unknown", False), ("never", True)])
def test_a_warning_is_good_enough_unless_it_counts(
    server: WatchedApiServer, wait: Waiter, clock: Clock, fail_on: str, passes: bool
) -> None:
    pod = server.documents("pods", "shop")[0]
    unready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    server.change("pods", "MODIFIED", {**pod, "status": {**pod["status"], "conditions": [unready]}})
    (slice_,) = [
        item
        for item in server.documents("endpointslices", "shop")
        if item["metadata"]["labels"]["kubernetes.io/service-name"] == "cart"
    ]
    first, *others = slice_["endpoints"]
    conditions = {"ready": False, "serving": False, "terminating": False}
    endpoints = [{**first, "conditions": conditions}, *others]
    server.change("endpointslices", "MODIFIED", {**slice_, "endpoints": endpoints})
    if not passes:
        wait.then["shop/cart warn: "] = clock.jump
    waited = wait(CART, fail_on=fail_on)
    assert [entry.status for entry in waited.diagnosis.services] == [Status.WARN]
    assert waited.passed is passes


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[Doctor]:
    with WatchedApiServer(simulate(BROKEN)) as running:
        yield Doctor(running, tmp_path)


def test_the_command_tells_how_it_went_and_ends_when_all_pass(doctor: Doctor) -> None:
    process = doctor.start("wait", "cart", "web", "--no-probe")
    assert process.stderr and process.stdout
    first = process.stderr.readline().decode()
    assert re.fullmatch(r" +\d+s  shop/cart  fail: no selector, .*\n", first)
    server = doctor.server
    assert isinstance(server, WatchedApiServer)
    healed = server.get("services", "shop", "cart")
    server.change("services", "MODIFIED", {**healed, "spec": {**healed["spec"], "selector": {"app": "web"}}})
    slice_ = next(item for item in server.documents("endpointslices", "shop"))
    labels = {**slice_["metadata"]["labels"], "kubernetes.io/service-name": "cart"}
    server.change(
        "endpointslices", "ADDED", {**slice_, "metadata": {**slice_["metadata"], "name": "cart-1", "labels": labels}}
    )
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.decode().endswith("2 Services: 2 pass\n")
    assert "shop/cart  pass: 2 of 2 ready" in error.decode()
    assert "shop/web" not in error.decode()


def invoke(doctor: Doctor, *arguments: str) -> Result:
    return CliRunner(env={"KUBECONFIG": str(doctor.kubeconfig)}).invoke(cli, ["wait", "--no-probe", *arguments])


def test_the_command_says_why_when_the_time_is_up(
    doctor: Doctor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(story: Story, found: list[Standing], before: Any = Story.__call__) -> None:
        before(story, found)
        if len(story.said) == 2:
            clock.jump()

    monkeypatch.setattr(Story, "__call__", tell)
    result = invoke(doctor, "cart", "cat", "-o", "json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert [entry["cause"] for entry in report["services"]] == [FAULT]
    assert [entry["name"] for entry in report["missing"]] == ["cat"]


def test_no_time_is_one_look(doctor: Doctor) -> None:
    assert invoke(doctor, "cart", "--timeout", "0").exit_code == 1
    assert not [request for request in doctor.server.received if "watch" in request.query]


def test_nothing_to_wait_for_is_no_success(doctor: Doctor) -> None:
    result = invoke(doctor, "-l", "app=none", "--timeout", "0")
    assert result.exit_code == 1
    assert result.stderr == "svcdoctor: no Services with these labels found in namespace shop\n"


def test_a_server_that_does_not_answer_is_not_waited_for(doctor: Doctor) -> None:
    text = doctor.kubeconfig.read_text().replace(doctor.server.url, "http://127.0.0.1:1")
    doctor.kubeconfig.write_text(text)
    assert type(invoke(doctor, "cart").exception).__name__ == "Unreachable"


def test_ctrl_c_prints_what_is_known(doctor: Doctor) -> None:
    process = doctor.start("wait", "cart", "--no-probe", "--timeout", "-1s", start_new_session=True)
    assert process.stderr
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert FAULT in out.decode()
    assert error == b""
