"""Several clusters in one report, of which one is dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from fake_apiserver import Exchange
from measured import MEASURED
from simulated_apiserver import SimulatedApiServer
from svcdoctor.cli import cli
from svcdoctor.finding import Unseen
from svcdoctor.report import contexts
from test_baseline import said
from test_cli import BROKEN, HEALTHY, ROOT, serving
from test_report import SCHEMA

DEAD = "http://127.0.0.1:1"


def kubeconfig(directory: Path, **servers: str) -> Path:
    """A context for each server, of its name."""
    document: dict[str, Any] = {"current-context": next(iter(servers)), "clusters": [], "contexts": [], "users": []}
    document["users"] = [{"name": "someone", "user": {"token": "sesame"}}]
    for name, url in servers.items():
        context = {"cluster": name, "user": "someone", "namespace": "shop"}
        document["clusters"].append({"name": name, "cluster": {"server": url}})
        document["contexts"].append({"name": name, "context": context})
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


class Fleet:
    def __init__(self, directory: Path, broken: SimulatedApiServer, healthy: SimulatedApiServer) -> None:
        self.broken, self.healthy = broken, healthy
        self.kubeconfig = kubeconfig(directory, prod=broken.url, staging=healthy.url, old=DEAD)

    def __call__(self, *arguments: str) -> Result:
        words = ["diagnose", "--no-probe", *arguments]
        return CliRunner(env={"KUBECONFIG": str(self.kubeconfig)}).invoke(cli, words)

    def codes(self, *names: str) -> int:
        return self(*(word for name in names for word in ("--context", name)), "-o", "name").exit_code


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with serving(BROKEN) as broken, serving(HEALTHY) as healthy:
        yield Fleet(tmp_path, broken, healthy)


def test_each_line_names_its_context_and_the_dead_one_hides_nothing(fleet: Fleet) -> None:
    result = fleet("--all-contexts")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith(
        "? old       cluster   cannot reach http://127.0.0.1:1 (context old): connection refused"
    )
    assert lines[2].startswith("✗ prod      shop/cart   ClusterIP")
    assert [line.split()[1:3] for line in lines if line.startswith("✓")] == [
        ["prod", "shop/web"],
        ["staging", "shop/web"],
    ]
    assert lines[-4:] == [
        "old       not diagnosed",
        "prod      2 Services: 1 pass, 1 fail",
        "staging   1 Service: 1 pass",
        "3 contexts: 1 fail, 1 pass, 1 unknown",
    ]


def test_the_document_is_a_list(fleet: Fleet) -> None:
    result = fleet("--context", "staging", "--context", "old", "-o", "json")
    document = json.loads(result.stdout)
    assert document["kind"] == "DiagnosisList"
    assert document["summary"] == {"contexts": 2, "fail": 0, "warn": 0, "pass": 1, "unknown": 1}
    staging, old = document["items"]
    assert not list(SCHEMA.iter_errors(staging))
    assert staging["context"] == "staging"
    assert (old["kind"], old["context"], old["reason"]) == ("Unseen", "old", "unreachable")
    in_yaml = yaml.safe_load(fleet("--context", "staging", "--context", "old", "-o", "yaml").stdout)
    assert [item["kind"] for item in in_yaml["items"]] == ["Diagnosis", "Unseen"]


def test_the_list_keeps_its_contract(fleet: Fleet) -> None:
    schema = Draft202012Validator(json.loads(files("svcdoctor").joinpath("report/schema-list.json").read_text()))
    schema.check_schema(schema.schema)
    items = [said(*BROKEN), Unseen("old", "unreachable", "no answer")]
    assert not list(schema.iter_errors(contexts.document(items)))
    assert list(schema.iter_errors(contexts.document(items) | {"more": 1}))


def test_one_context_is_reported_as_ever(fleet: Fleet) -> None:
    once, twice = fleet("--context", "prod"), fleet("--context", "prod", "--context", "prod")
    assert once.stdout == twice.stdout
    assert once.stdout.startswith("✗ shop/cart ")
    assert json.loads(fleet("--context", "prod", "-o", "json").stdout)["kind"] == "Diagnosis"


def test_exit_codes(fleet: Fleet) -> None:
    assert fleet.codes("prod", "staging") == 1
    assert fleet.codes("prod", "old") == 1
    assert fleet.codes("staging", "old") == 4
    fleet.kubeconfig = kubeconfig(fleet.kubeconfig.parent, old=DEAD, older=DEAD)
    assert fleet.codes("old", "older") == 3


def test_the_list_goes_to_a_file_beside_the_text(fleet: Fleet, tmp_path: Path) -> None:
    result = fleet("--all-contexts", "-o", f"json={tmp_path / 'all.json'}")
    assert result.stdout.endswith("3 contexts: 1 fail, 1 pass, 1 unknown\n")
    assert json.loads((tmp_path / "all.json").read_text())["kind"] == "DiagnosisList"


def test_names_are_told_with_their_context(fleet: Fleet) -> None:
    assert fleet("--all-contexts", "-o", "name").stdout == "prod service/cart\n"


def test_clusters_are_read_at_the_same_time(fleet: Fleet) -> None:
    """Each answers only when the other has been asked."""
    both = threading.Barrier(2, timeout=30)

    def meet(server: SimulatedApiServer) -> None:
        path = "/api/v1/namespaces/shop/services"

        def answer(exchange: Exchange) -> None:
            both.wait()
            del server._answers[path]
            server._answer(exchange)

        server.on(path, answer)

    meet(fleet.broken)
    meet(fleet.healthy)
    result = fleet("--context", "prod", "--context", "staging")
    assert result.stdout.splitlines()[-1] == "2 contexts: 1 fail, 1 pass"


def test_a_cluster_that_hangs_is_left_at_its_deadline(fleet: Fleet) -> None:
    fleet.broken.on("/api/v1/namespaces/shop/pods", lambda exchange: exchange.hang())
    result = fleet("--context", "prod", "--context", "staging", "--request-timeout", "1s")
    assert "✓ staging   shop/web" in result.stdout
    assert "cannot list pods" in result.stdout


def test_a_namespace_that_one_cluster_does_not_have(fleet: Fleet) -> None:
    fleet.broken.add("namespaces", {"metadata": {"name": "extra"}})
    result = fleet("--context", "prod", "--context", "staging", "-n", "extra")
    assert result.exit_code == 4
    assert "? staging   cluster   there is no namespace 'extra'" in result.stdout


def test_a_login_that_may_ask_a_person_is_never_beside_another(fleet: Fleet, tmp_path: Path) -> None:
    """A plugin that finds another one running fails."""
    lock = tmp_path / "lock"
    plugin = tmp_path / "login"
    credential = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}'
    plugin.write_text(f"#!/bin/sh\nmkdir {lock} || exit 1\nsleep 0.2\nrmdir {lock}\necho '{credential}'\n")
    plugin.chmod(0o755)
    document = yaml.safe_load(fleet.kubeconfig.read_text())
    login = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "IfAvailable"}
    document["users"] = [{"name": "someone", "user": {"exec": login}}]
    fleet.kubeconfig.write_text(yaml.safe_dump(document))
    assert fleet("--context", "prod", "--context", "staging").stdout.splitlines()[-1] == "2 contexts: 1 fail, 1 pass"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--all-contexts", "--context", "prod"], "--context and --all-contexts exclude each other"),
        (["--all-contexts", "--cluster", "prod"], "--cluster names one cluster, which several contexts cannot share"),
        (
            ["--all-contexts", "-o", "json", "-o", "junit=/tmp/not-written"],
            "-o junit holds one context; several fit in -o text",
        ),
        (["--all-contexts", "-f", "cart.yaml"], "-f FILE is judged for one cluster; name one --context"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line(fleet: Fleet, arguments: list[str], said: str) -> None:
    result = fleet(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_baseline_of_several_is_compared_with_each(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    path.write_text(fleet("--context", "prod", "--context", "staging", "-o", "json").stdout)
    result = fleet("--context", "prod", "--context", "staging", "--baseline", str(path))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-2:] == ["2 contexts: 2 pass", f"1 known, as in {path}"]


def test_a_name_that_is_mistyped_is_no_dead_cluster(fleet: Fleet) -> None:
    result = fleet("--context", "prod", "--context", "stagin")
    assert "there is no context 'stagin'" in str(result.exception)
    assert "known contexts: old, prod, staging" in str(result.exception)
    assert not fleet.broken.received


def test_no_kubeconfig_has_no_contexts(tmp_path: Path) -> None:
    runner = CliRunner(env={"KUBECONFIG": str(tmp_path / "nowhere")})
    result = runner.invoke(cli, ["diagnose", "--all-contexts"])
    assert type(result.exception).__name__ == "ConfigError"


@pytest.mark.parametrize("color", [False, True], ids=["ascii", "colours"])
def test_the_context_stands_behind_the_mark_however_that_is_drawn(color: bool) -> None:
    items = [said(*HEALTHY), Unseen("old", "config", "why")]
    lines = contexts.render(items, "text", ascii_only=not color, color=color).splitlines()
    assert lines[0].split()[1:3] == ["old", "\x1b[1mcluster\x1b[0m" if color else "cluster"]


def test_a_context_that_is_not_there_is_said(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig(tmp_path, prod=DEAD)), **MEASURED}
    command = [sys.executable, "-m", "svcdoctor", "diagnose", "--context", "prod", "--context", "other"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("svcdoctor: ") and "there is no context 'other'" in done.stderr
