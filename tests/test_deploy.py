"""deploy/: the manifests hold the least rights, the dashboard asks for metrics that exist, the image is a safe one."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from svcdoctor.cli import cli
from svcdoctor.cluster.reflector import StreamState
from svcdoctor.demo import recorded_world
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.exporter import Exporter
from svcdoctor.live import Update
from svcdoctor.rbac import rights

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UPDATE = bool(os.environ.get("SVCDOCTOR_UPDATE"))


def manifests(directory: str) -> Iterator[dict[str, Any]]:
    """Every object of a kustomization, without its patches."""
    place = DEPLOY / directory
    for name in yaml.safe_load((place / "kustomization.yaml").read_text())["resources"]:
        if (place / name).is_dir():
            yield from manifests(os.path.relpath(place / name, DEPLOY))
        else:
            yield from yaml.safe_load_all((place / name).read_text())


def one(directory: str, kind: str) -> dict[str, Any]:
    (found,) = (item for item in manifests(directory) if item["kind"] == kind)
    return found


def pod(directory: str) -> dict[str, Any]:
    if directory == "base":
        template = one("base", "Deployment")["spec"]["template"]
    else:
        template = one("cronjob", "CronJob")["spec"]["jobTemplate"]["spec"]["template"]
    spec: dict[str, Any] = template["spec"]
    return spec


def test_the_role_is_what_svcdoctor_prints() -> None:
    path, wanted = DEPLOY / "access" / "clusterrole.yaml", rights(None, probe=False)
    if UPDATE:
        path.write_text(wanted)
    assert path.read_text() == wanted


def test_what_writes_is_a_right_of_its_own() -> None:
    (added,) = (
        item for item in manifests("events") if item["metadata"]["name"] == "svcdoctor-events" and "rules" in item
    )
    assert added["rules"] == [{"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}]


@pytest.mark.parametrize("directory", ["base", "cronjob"])
def test_pods_hold_to_the_restricted_standard(directory: str) -> None:
    spec = pod(directory)
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] >= 10000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["serviceAccountName"] == one(directory, "ServiceAccount")["metadata"]["name"]


@pytest.mark.parametrize("directory", ["base", "cronjob"])
def test_arguments_are_understood(directory: str, tmp_path: Path) -> None:
    """As far as looking for a cluster."""
    (container,) = pod(directory)["containers"]
    runner = CliRunner(env={"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)})
    result = runner.invoke(cli, container["args"])
    assert type(result.exception).__name__ == "ConfigError", result.output


def test_the_service_leads_to_the_exporter() -> None:
    labels = one("base", "Deployment")["spec"]["template"]["metadata"]["labels"]
    service = one("base", "Service")
    assert service["spec"]["selector"].items() <= labels.items()
    report = one("cronjob", "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert not service["spec"]["selector"].items() <= report.items()
    (container,) = pod("base")["containers"]
    (port,) = container["ports"]
    assert service["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    assert f"--listen=:{port['containerPort']}" in container["args"]


# --- the dashboard -----------------------------------------------------------------------------------------------


def metrics() -> dict[str, set[str]]:
    """Each metric of a scrape -> the labels that its series have."""
    world = recorded_world()
    exporter = Exporter(lambda changes: None, lambda diagnosis: None)
    streams = (StreamState("pods", "", "watching", world.now, "", world.now),)
    exporter.take(Update(diagnose(world, Scope()).diagnosis, frozenset(), frozenset(), streams, ()))
    found: dict[str, set[str]] = {"process_cpu_seconds_total": {"job"}}
    for family in exporter.collect():
        found.setdefault(family.name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    found["svcdoctor_denied"] |= {"namespace", "resource", "reason"}  # nothing was refused
    return found


def test_the_metrics_that_are_described_exist() -> None:
    described = set(re.findall(r"svcdoctor_\w+", (ROOT / "docs" / "exporter.md").read_text(encoding="utf-8")))
    assert described and described <= metrics().keys()


def test_the_dashboard_asks_for_metrics_and_labels_that_exist() -> None:
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    known = metrics()
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    expressions += [item["query"]["query"] for item in dashboard["templating"]["list"] if item["type"] == "query"]
    asked = set()
    for expression in expressions:
        names = set(re.findall(r"(?:svcdoctor|process)_\w+", expression))
        assert names, expression
        assert names <= known.keys(), expression
        asked |= names
        labels = {label for name in names for label in known[name]}
        matchers = [
            label for braces in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)\s*[=!]", braces)
        ]
        grouped = [label for words in re.findall(r"by \(([^)]*)\)", expression) for label in words.split(", ")]
        assert {*matchers, *grouped} <= labels, expression
    assert {
        "svcdoctor_service_status",
        "svcdoctor_finding",
        "svcdoctor_stream_up",
        "svcdoctor_data_age_seconds",
    } <= asked


def test_panels_do_not_overlap() -> None:
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24


# --- the image ---------------------------------------------------------------------------------------------------


def test_the_image_runs_svcdoctor_as_nobody_in_particular() -> None:
    lines = re.sub(r"\\\n", " ", (DEPLOY / "Containerfile").read_text()).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    (base,) = (rest for word, rest in steps if word == "ARG")
    assert re.search(r":3\.\d+[-.\w]*$", base), "the base is pinned by its tag"
    assert {rest.split()[0] for word, rest in steps if word == "FROM"} == {"${PYTHON}"}
    last = dict((word, rest) for word, rest in steps)
    user = pod("base")["securityContext"]
    assert last["USER"] == f"{user['runAsUser']}:{user['runAsGroup']}"
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert json.loads(last["ENTRYPOINT"])[0] in scripts


def test_what_the_image_copies_is_there_and_let_in() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in (DEPLOY / "Containerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists() and f"!{source}" in ignored
