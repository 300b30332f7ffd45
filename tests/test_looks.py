"""What is asked of Pods in one run: at the same time, within one deadline, and nobody waits for one that hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from simulate import simulate
from simulated_apiserver import SimulatedApiServer
from svcdoctor.cluster.collect import Collected, Options, collect
from svcdoctor.cluster.connectscript import CONNECT
from svcdoctor.cluster.kube import Cluster, ConnectOptions
from svcdoctor.cluster.parallel import MOST_AT_ONCE
from svcdoctor.cluster.probe import LOOK_UP
from svcdoctor.cluster.questions import ALL_SECONDS, SERVICE_SECONDS, probe_seconds
from svcdoctor.diagnosis import Scope
from svcdoctor.finding import Status
from test_probe import ExecResult

CLOCKED = ("deadline", "probe", "connectlook", "socketlook", "collect")  # modules that ask the clock


class Asked(NamedTuple):
    kind: str
    pod: str
    began: float
    ends: float


class Hanging:
    """Execs none of which ever answers; the first `crowd` are asked before the time of any is up. Time passes by
    their deadlines alone."""

    def __init__(self, crowd: int) -> None:
        self.now = 1000.0
        self.asked: list[Asked] = []
        self.inside = self.most = 0
        self._lock = threading.Lock()
        self._crowd = threading.Barrier(crowd)
        self._expected = crowd

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def exec(self, namespace: str, pod: str, argv: list[str], *, timeout: float, **_: Any) -> ExecResult:
        kind = "names" if LOOK_UP in argv else "connections" if CONNECT in argv else "sockets"
        with self._lock:
            self.asked.append(Asked(kind, pod, self.now, self.now + timeout))
            ends, number = self.now + timeout, len(self.asked)
            self.inside += 1
            self.most = max(self.most, self.inside)
        if number <= self._expected:
            self._crowd.wait(30)
        with self._lock:
            self.now = max(self.now, ends)
            self.inside -= 1
        return ExecResult(timed_out=True)


@pytest.fixture
def diagnosed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Collected]]:
    def run(documents: list[dict[str, Any]], hanging: Hanging, scope: Scope) -> Collected:
        with SimulatedApiServer(simulate(documents)) as server:
            cluster = Cluster.connect(ConnectOptions(kubeconfig=str(server.kubeconfig(tmp_path))))
            for module in CLOCKED:
                monkeypatch.setattr(f"svcdoctor.cluster.{module}.time", hanging)
            monkeypatch.setattr(cluster, "exec", hanging.exec)
            return collect(cluster, scope, Options())

    yield run


def shop(services: int) -> list[dict[str, Any]]:
    """Each Service leads to a Pod of its own, of whose port nothing is proved from outside; `web` is nobody's."""
    found: list[dict[str, Any]] = [_pod("web", "web:1")]
    for number in range(services):
        name = f"cart-{number}"
        spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
        found += [_pod(name, "cart:1"), {"kind": "Service", "metadata": {"name": name}, "spec": spec}]
    return found


def _pod(name: str, image: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "app", "image": image}]}
    return {"kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def test_one_that_hangs_holds_up_no_other_and_all_end_after_five_seconds(diagnosed: Callable[..., Collected]) -> None:
    """Three that wait for each other: in a row the first would wait for ever."""
    hanging = Hanging(crowd=3)
    said = diagnosed(shop(1), hanging, Scope("shop", ("cart-0",)))
    assert {one.kind for one in hanging.asked} == {"names", "sockets", "connections"}
    first = min(one.began for one in hanging.asked)
    assert max(one.ends for one in hanging.asked) <= first + SERVICE_SECONDS == first + 5.0
    (service,) = said.diagnosis.services
    assert not [finding.code for finding in service.findings if finding.is_fault]
    assert service.status is Status.UNKNOWN


def test_with_many_services_some_hang_at_once_and_all_of_them_end(diagnosed: Callable[..., Collected]) -> None:
    hanging = Hanging(crowd=MOST_AT_ONCE)
    said = diagnosed(shop(30), hanging, Scope("shop"))
    assert hanging.most == MOST_AT_ONCE
    first = min(one.began for one in hanging.asked)
    assert max(one.ends for one in hanging.asked) <= first + probe_seconds(30)
    assert not [finding for finding in said.diagnosis.findings() if finding.is_fault]


@pytest.mark.parametrize(("services", "seconds"), [(0, 5.0), (1, 5.0), (2, 5.6), (200, ALL_SECONDS)])
def test_many_services_have_more_time_than_one(services: int, seconds: float) -> None:
    assert probe_seconds(services) == pytest.approx(seconds)
