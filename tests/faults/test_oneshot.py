"""`svcdoctor diagnose -A -o json` against a server that fails: the exit code, and no verdict on what was not seen."""

from __future__ import annotations

import json
import os
import random
import re
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fake_apiserver import failure
from faulty_apiserver import BLIND, HARMLESS, Fault, FaultyApiServer, clock, hang_up, makes, says
from honest import lies
from svcdoctor import cli
from svcdoctor.cluster import kube
from svcdoctor.cluster.collect import Options, collect
from svcdoctor.demo import recorded_world
from svcdoctor.diagnosis import Scope
from svcdoctor.report.json import render

SOAK = bool(os.environ.get("SVCDOCTOR_SOAK"))
# What one kind at a time is taken away, or all at once that a Service's endpoints are judged by.
KINDS = (("endpointslices", "endpoints"), ("pods",), ("services",))
READ_BY_ALL = (
    "services",
    "endpointslices",
    "pods",
    "deployments",
    "replicasets",
    "statefulsets",
    "daemonsets",
    "jobs",
    "cronjobs",
    "namespaces",
    "nodes",
    "events",
    "configmaps",
    "networkpolicies",
    "ingresses",
)


class Said(NamedTuple):
    code: int
    out: str
    error: str

    @property
    def report(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


Run = Callable[..., Said]


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyApiServer]:
    with FaultyApiServer(recorded_world()) as running:
        yield running


@pytest.fixture
def run(
    server: FaultyApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """The real command in this process, and what it says; pauses are not made."""
    path = server.kubeconfig(tmp_path, namespace="shop")
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr(kube.time, "sleep", lambda seconds: None)

    def start(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["svcdoctor", "diagnose", "-A", "--no-probe", "-o", "json", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, error = capfd.readouterr()
        assert "Traceback" not in error
        return Said(int(ended.value.code or 0), out, error)

    yield start
    server.heal()


@pytest.fixture(scope="module")
def whole(server: FaultyApiServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is said when all is well."""
    path = server.kubeconfig(tmp_path_factory.mktemp("whole"), namespace="shop")
    cluster = kube.Cluster.connect(kube.ConnectOptions(kubeconfig=str(path)))
    diagnosis = collect(cluster, Scope(), Options(probe=False)).diagnosis
    cluster.close()
    document: dict[str, Any] = json.loads(render(diagnosis))
    return document


# Each fault once, the kinds in turn; all of them with all kinds where there is time.
CASES = [(name, KINDS[place % len(KINDS)]) for place, name in enumerate(BLIND)]
CASES = [(name, kinds) for name in BLIND for kinds in KINDS] if SOAK else CASES


@pytest.mark.parametrize(("name", "kinds"), CASES, ids=lambda value: value if isinstance(value, str) else value[0])
def test_a_list_that_fails(
    server: FaultyApiServer, run: Run, whole: dict[str, Any], name: str, kinds: tuple[str, ...]
) -> None:
    fault, reason = BLIND[name]
    server.ail(fault, *kinds)
    said = run("--request-timeout", "700ms" if reason == "timeout" else "60s")
    assert lies(said.report, whole) == []
    assert said.code == (4 if kinds == ("services",) else 1)
    assert {gap["resource"]: gap["reason"] for gap in said.report["denied"]}[kinds[0]] == reason


@pytest.mark.parametrize("name", HARMLESS)
def test_what_makes_no_difference(server: FaultyApiServer, run: Run, whole: dict[str, Any], name: str) -> None:
    server.ail(HARMLESS[name]())
    said = run()
    assert (said.code, said.error) == (1, "")
    assert without_times(said.report) == without_times(whole)


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    """Ages are told in seconds, and two runs are some apart."""
    text = re.sub(r"\b\d+(m\d+s|s|m)\b", "AGE", json.dumps(report["services"]))
    services: dict[str, Any] = {"services": json.loads(text), "denied": report["denied"]}
    return services


@pytest.mark.parametrize("kind", READ_BY_ALL)
@pytest.mark.parametrize("where", ["everywhere", "one namespace"] if SOAK else ["everywhere"])
def test_a_kind_that_may_not_be_listed(
    server: FaultyApiServer, run: Run, whole: dict[str, Any], kind: str, where: str
) -> None:
    everywhere = where == "everywhere"
    server.forbids = lambda resource, namespace: resource == kind and (everywhere or namespace in ("", "shop"))
    try:
        said = run()
    finally:
        server.forbids = lambda resource, namespace: False
    assert lies(said.report, whole) == []
    assert kind in {gap["resource"] for gap in said.report["denied"] if gap["reason"] == "forbidden"}


@pytest.mark.parametrize("kind", READ_BY_ALL)
def test_a_kind_that_is_not_served(server: FaultyApiServer, run: Run, whole: dict[str, Any], kind: str) -> None:
    """404 as of an API group that is gone: no list of it is not an empty list."""
    server.ail(says(failure(404, "the server could not find the requested resource", "NotFound")), kind)
    said = run()
    assert lies(said.report, whole) == []
    assert (kind, "not-found") in {(gap["resource"], gap["reason"]) for gap in said.report["denied"]}


# Whether anything at all was seen decides between 3 and 4.
SPEAKING = ("403", "500", "503", "a login page", "429 for an hour", "truncated gzip", "null")
AT_ALL: dict[str, tuple[Fault, int, str]] = {
    "401": (says(failure(401, "Unauthorized", "Unauthorized")), 3, "does not accept the credentials"),
    "hangs up": (hang_up, 3, "closed the connection without an answer"),
    **{
        name: (BLIND[name][0], 4, "")
        for name in ("403", "500", "503", "a login page", "429 for an hour", "truncated gzip", "null")
    },
}


@pytest.mark.parametrize("name", AT_ALL)
def test_a_server_that_says_nothing_useful_at_all(server: FaultyApiServer, run: Run, name: str) -> None:
    fault, code, words = AT_ALL[name]
    server.ail(fault)
    said = run()
    assert said.code == code
    assert words in said.error
    if code == 4:
        assert said.report["services"] == []
        assert "services" in {gap["resource"] for gap in said.report["denied"]}
        assert said.report["cluster"]["findings"]


def test_nobody_there_and_back_again(server: FaultyApiServer, run: Run, whole: dict[str, Any]) -> None:
    server.go_away()
    said = run()
    server.come_back()
    assert (said.code, said.out) == (3, "")
    assert said.error.startswith("svcdoctor: cannot reach ") and "connection refused" in said.error
    assert run().code == 1


def test_credentials_that_expire_in_the_middle(server: FaultyApiServer, run: Run, whole: dict[str, Any]) -> None:
    server.ail(says(failure(401, "Unauthorized", "Unauthorized")), "pods", "endpointslices", "endpoints")
    said = run()
    assert lies(said.report, whole) == []
    assert {"pods", "endpointslices"} <= {gap["resource"] for gap in said.report["denied"]}


def test_the_most_memory_is_a_few_times_the_largest_answer(server: FaultyApiServer, run: Run) -> None:
    server.ail(HARMLESS["objects of 30 MB"]())
    tracemalloc.start()
    try:
        run()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1_500_000_000


def test_a_clock_that_is_an_hour_off_changes_nothing(server: FaultyApiServer, run: Run) -> None:
    """Ages are told by the server's clock, whose times the objects have: what is new there is not yet broken."""
    said = {}
    for age in (10, 900):
        for hours in (0, 1, -1):
            server.ail(clock(hours, age))
            said[age, hours] = verdicts(run().report)
        assert said[age, 1] == said[age, 0] and said[age, -1] == said[age, 0]
    assert said[10, 0] != said[900, 0]


def verdicts(report: dict[str, Any]) -> dict[str, list[str]]:
    return {
        entry["name"]: [entry["status"], *(f"{finding['status']} {finding['code']}" for finding in entry["findings"])]
        for entry in report["services"]
    }


@pytest.mark.parametrize("said", ["tomorrow", "", "Mon, 01 Jan 1900 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_date_that_cannot_be_true_is_not_believed(
    server: FaultyApiServer, run: Run, whole: dict[str, Any], said: str
) -> None:
    server.ail(lambda exchange, honest: exchange.send(honest.replace(b"\r\n", b"\r\nDate: %s\r\n" % said.encode(), 1)))
    assert without_times(run().report) == without_times(whole)


NULLED = ("services", "endpointslices", "pods", "deployments", "nodes", "networkpolicies")


def nulls(value: Any, depth: int = 0) -> Iterator[Any]:
    """Copies of an object, each with one field null."""
    if isinstance(value, dict):
        for name, item in value.items():
            if depth or name not in ("metadata", "kind", "apiVersion"):
                yield {**value, name: None}
            yield from ({**value, name: copy} for copy in nulls(item, depth + 1))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from ([*value[:place], copy, *value[place + 1 :]] for copy in nulls(item, depth + 1))


def test_nulls_everywhere(server: FaultyApiServer, run: Run, whole: dict[str, Any]) -> None:
    """One field of each object is null, another one each time."""
    chance = random.Random(1)
    for _ in range(20):
        server.ail(makes(lambda document: _with_nulls(document, chance)))
        said = run()
        assert said.code in (1, 4)
        assert not said.error


def _with_nulls(document: Any, chance: random.Random) -> Any:
    if "items" not in document:
        return document
    return {**document, "items": [chance.choice(list(nulls(item)) or [item]) for item in document["items"]]}
