"""What the first fix of each cause changes (--diff), and what the server says to it (--dry-run=server)."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_apiserver import failure, reply
from simulate import simulate
from simulated_apiserver import SimulatedApiServer
from svcdoctor.cluster.collect import Options, collect
from svcdoctor.cluster.kube import Cluster, ConnectOptions
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.finding import Remedy, Role
from svcdoctor.objects import RESOURCES
from svcdoctor.remedies.difference import differences, object_difference
from svcdoctor.remedies.dryrun import tried_on_server
from svcdoctor.remedies.kubectl import patches
from svcdoctor.report import text
from test_cli import HEALTHY, Doctor, app

GOLDEN = Path(__file__).parent / "fixes"
SERVICE = "/api/v1/namespaces/shop/services/cart"


def cart(**spec: Any) -> list[dict[str, Any]]:
    """A Deployment that is well, and its Service with these fields."""
    deployment, service = copy.deepcopy(app("cart", "shop"))
    service["spec"] |= spec
    return [deployment, service]


WRONG_SELECTOR = cart(selector={"app": "basket"})
WRONG_PORT = cart(ports=[{"name": "http", "port": 80, "targetPort": 9090}])
NO_REPLICAS = copy.deepcopy(app("cart", "shop", replicas=0))


# --- the diff ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "manifests"),
    [("selector", WRONG_SELECTOR), ("port", WRONG_PORT), ("replicas", NO_REPLICAS)],
)
def test_the_diff_of_a_fix(name: str, manifests: list[dict[str, Any]]) -> None:
    world = simulate(manifests)
    shown = "".join(f"{line}\n" for line in differences(world, diagnose(world, Scope("shop")).diagnosis))
    golden = GOLDEN / f"{name}.diff"
    if os.environ.get("SVCDOCTOR_UPDATE"):
        golden.write_text(shown, encoding="utf-8")
    assert shown == golden.read_text(encoding="utf-8")


def test_the_healthy_have_none() -> None:
    world = simulate(HEALTHY)
    assert not differences(world, diagnose(world, Scope("shop")).diagnosis)


def test_lines_of_a_text_are_compared_one_by_one() -> None:
    world = simulate([{"kind": "ConfigMap", "metadata": {"name": "web", "namespace": "shop"}, "data": {"a": "1\n2\n"}}])
    before = world.listed("configmaps", "shop")["web"]
    after = simulate(
        [{"kind": "ConfigMap", "metadata": {"name": "web", "namespace": "shop"}, "data": {"a": "1\n3\n"}}]
    ).listed("configmaps", "shop")["web"]
    lines = list(object_difference(RESOURCES["configmaps"], "shop", "web", before, after))
    assert lines[:2] == ["--- live/v1.ConfigMap.shop.web", "+++ fixed/v1.ConfigMap.shop.web"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ["-    2", "+    3"]


def test_what_is_deleted_is_compared_with_nothing() -> None:
    web = simulate(HEALTHY).listed("deployments", "shop")["web"]
    lines = list(object_difference(RESOURCES["deployments"], "shop", "web", web, None))
    assert lines[:2] == ["--- live/apps.v1.Deployment.shop.web", "+++ /dev/null"]


# --- the requests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "style", "body", "subresource"),
    [
        (
            "kubectl -n shop set selector service cart app=web",
            "json",
            [{"op": "add", "path": "/spec/selector", "value": {"app": "web"}}],
            "",
        ),
        (
            "kubectl -n shop scale deployment cart --replicas=2",
            "merge",
            {"spec": {"replicas": 2}},
            "scale",
        ),
        ("kubectl -n shop label service cart a=b c-", "merge", {"metadata": {"labels": {"a": "b", "c": None}}}, ""),
        (
            'kubectl -n shop patch service cart -p \'{"spec": {"type": "NodePort"}}\'',
            "strategic",
            {"spec": {"type": "NodePort"}},
            "",
        ),
    ],
)
def test_what_is_sent_is_what_the_command_sends(command: str, style: str, body: Any, subresource: str) -> None:
    (patch,) = patches(command, simulate(WRONG_SELECTOR).listed_or_nothing)
    assert (patch.namespace, patch.name) == ("shop", "cart")
    assert (patch.style, patch.body, patch.subresource) == (style, body, subresource)


@pytest.mark.parametrize(
    "command",
    [
        "kubectl -n shop edit service cart",
        "kubectl -n shop delete service cart",
        "kubectl -n shop label service cart a=b && kubectl -n shop delete service cart",
    ],
)
def test_nothing_is_sent_of_what_is_more_than_patches(command: str) -> None:
    assert patches(command, simulate(WRONG_SELECTOR).listed_or_nothing) == []


# --- the server --------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[SimulatedApiServer]:
    with SimulatedApiServer(simulate(WRONG_SELECTOR)) as server:
        yield server


def first_fix(server: SimulatedApiServer, home: Path) -> Remedy:
    """The first remedy of the one cause, after the server was asked."""
    cluster = Cluster.connect(ConnectOptions(kubeconfig=str(server.kubeconfig(home, namespace="shop"))))
    collected = collect(cluster, Scope("shop"), Options(probe=False))
    diagnosis = tried_on_server(cluster, *collected)
    assert f"(dry run on the server: {text_of(diagnosis)})" in text.render(diagnosis)
    return causes(diagnosis)[0]


def causes(diagnosis: Any) -> list[Remedy]:
    return [finding.remedies[0] for finding in diagnosis.findings() if finding.role is Role.CAUSE]


def text_of(diagnosis: Any) -> str:
    return causes(diagnosis)[0].dry_run


def patched(server: SimulatedApiServer) -> list[Any]:
    return [request for request in server.received if request.method == "PATCH"]


def test_a_fix_that_the_server_takes(server: SimulatedApiServer, tmp_path: Path) -> None:
    server.on(SERVICE, reply({"kind": "Service"}))
    fix = first_fix(server, tmp_path)
    assert (fix.dry_run, fix.verified, fix.then) == ("accepted", True, "pass")
    (request,) = patched(server)
    assert request.query == {"dryRun": ["All"], "fieldManager": ["svcdoctor"]}
    assert {name.lower(): value for name, value in request.headers}["content-type"] == "application/json-patch+json"
    assert json.loads(request.body)[0]["path"].startswith("/spec/selector")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (422, 'Service "cart" is invalid: spec.clusterIP: Invalid value: field is immutable'),
        (403, 'admission webhook "policy.example" denied the request: selectors are managed by GitOps'),
    ],
)
def test_a_fix_that_the_server_refuses_is_not_told_as_one_that_helps(
    server: SimulatedApiServer, tmp_path: Path, status: int, said: str
) -> None:
    server.on(SERVICE, failure(status, said, "Invalid"))
    fix = first_fix(server, tmp_path)
    assert (fix.dry_run, fix.verified, fix.then) == (f"refused: {said}", False, "")


def test_a_webhook_that_takes_no_dry_run_says_nothing_of_the_fix(server: SimulatedApiServer, tmp_path: Path) -> None:
    said = 'admission webhook "audit.example" does not support dry run'
    server.on(SERVICE, failure(400, said, "BadRequest"))
    fix = first_fix(server, tmp_path)
    assert (fix.dry_run, fix.verified) == (f"not tried: {said}", True)


def test_without_the_right_nothing_is_sent(server: SimulatedApiServer, tmp_path: Path) -> None:
    cluster = Cluster.connect(ConnectOptions(kubeconfig=str(server.kubeconfig(tmp_path, namespace="shop"))))
    collected = collect(cluster, Scope("shop"), Options(probe=False))
    server.forbids = lambda resource, namespace: resource == "services"
    diagnosis = tried_on_server(cluster, *collected)
    assert text_of(diagnosis) == "not tried: needs patch services in namespace shop"
    assert not patched(server)


# --- the command -------------------------------------------------------------------------------------------------


def test_the_command_prints_the_diff_and_writes_the_report(server: SimulatedApiServer, tmp_path: Path) -> None:
    doctor = Doctor(server, tmp_path)
    server.on(SERVICE, reply({"kind": "Service"}))
    done = doctor("diagnose", "--no-probe", "--diff", "--dry-run=server", "-o", f"json={tmp_path}/report.json")
    assert done.returncode == 1
    assert "--- live/v1.Service.shop.cart" in done.stdout.splitlines()
    report = json.loads((tmp_path / "report.json").read_text())
    cause = next(finding for finding in report["services"][0]["findings"] if finding["role"] == "cause")
    assert cause["remedies"][0]["dryRun"] == "accepted"


def test_nothing_is_sent_unless_it_is_asked_for(server: SimulatedApiServer, tmp_path: Path) -> None:
    Doctor(server, tmp_path)("diagnose", "--no-probe", "--diff")
    assert not patched(server)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--diff", "-o", "json"], "write the report to a file: json=FILE"),
        (["--dry-run=server", "-f", "cart.yaml"], "-f judges other ones"),
        (["--dry-run=server", "--replay", "cart.json"], "--replay reads none"),
    ],
)
def test_what_does_not_go_together_is_said(
    server: SimulatedApiServer, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = Doctor(server, tmp_path)("diagnose", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
