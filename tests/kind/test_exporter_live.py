"""deploy/ on a real cluster: the exporter in a Pod, scraped while a Service breaks, and the report of a Job."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import image
from cluster import REPOSITORY, Cluster, kind

NAMESPACE = "t-export"
OWN = "svcdoctor"
TAG = "svcdoctor:test"
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
          args: [netexec, --http-port=8080]
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
kind: Service
apiVersion: v1
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"""


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[None]:
    """A Service `web` that is well; made first, so that it has settled when it is broken."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    try:
        cluster.kubectl("-n", NAMESPACE, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", input=SHOP)
        yield
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def deployed(cluster: Cluster, shop: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The exporter with --events, and the CronJob, from an image that one node has."""
    if shutil.which("kubectl") is None:
        pytest.skip("kustomize and port-forward need kubectl on this machine")
    directory = tmp_path_factory.mktemp("deploy")
    workers = ("get", "nodes", "-l", "!node-role.kubernetes.io/control-plane", "-o", "name")
    node = cluster.kubectl(*workers).split()[0].removeprefix("node/")
    image.build(TAG, directory / "image.tar")
    kind("load", "image-archive", str(directory / "image.tar"), "--name", cluster.name, "--nodes", node)
    overlays = [overlay(directory, "events", node), overlay(directory, "cronjob", node)]
    try:
        for path in overlays:
            cluster.kubectl("apply", "-k", str(path))
        cluster.kubectl("-n", OWN, "create", "job", "report", "--from=cronjob/svcdoctor")
        cluster.kubectl("-n", OWN, "rollout", "status", "deployment/svcdoctor", "--timeout=150s")
        yield
    finally:
        for path in overlays:
            cluster.kubectl("delete", "-k", str(path), "--ignore-not-found", "--wait=false")


def overlay(directory: Path, name: str, node: str) -> Path:
    """A directory of deploy/ with the image of this test, on the node that has it."""
    path = directory / name
    path.mkdir()
    workload, template = ("CronJob", "/spec/jobTemplate/spec") if name == "cronjob" else ("Deployment", "/spec")
    place = {"op": "add", "path": f"{template}/template/spec/nodeName", "value": node}
    document = {
        "resources": [os.path.relpath(REPOSITORY / "deploy" / name, path.resolve())],
        "images": [{"name": "svcdoctor", "newTag": TAG.split(":")[1]}],
        "patches": [{"target": {"kind": workload}, "patch": json.dumps([place])}],
    }
    (path / "kustomization.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def prometheus(cluster: Cluster, deployed: None) -> Iterator[httpx.Client]:
    command = ["kubectl", "-n", OWN, "port-forward", "service/svcdoctor", ":9464"]
    forward = subprocess.Popen(command, env=dict(cluster.environment), stdout=subprocess.PIPE, text=True)
    try:
        assert forward.stdout
        port = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
        assert port
        with httpx.Client(base_url=f"http://127.0.0.1:{port[1]}", trust_env=False, timeout=30) as client:
            yield client
    finally:
        forward.kill()
        forward.communicate()


def scraped(client: httpx.Client, name: str, **labels: str) -> list[dict[str, str]]:
    """The labels of the series that have these."""
    return [
        sample.labels
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def until(condition: Callable[[], Any], shown: Callable[[], object]) -> Any:
    ends = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < ends, shown()
        time.sleep(0.3)
    return found


def test_metrics_and_events_follow_a_service_that_breaks_and_heals(cluster: Cluster, prometheus: httpx.Client) -> None:
    web = {"namespace": NAMESPACE, "service": "web"}

    def status() -> list[str]:
        return [labels["status"] for labels in scraped(prometheus, "svcdoctor_service_status", **web)]

    def shown() -> str:
        return cluster.kubectl("-n", OWN, "logs", "deployment/svcdoctor") + prometheus.get("/readyz").text

    until(lambda: status() == ["pass"], shown)
    assert prometheus.get("/readyz").text == "ok\n"
    assert all(labels["resource"] != "secrets" for labels in scraped(prometheus, "svcdoctor_denied"))
    select(cluster, "wbe")
    (finding,) = until(lambda: scraped(prometheus, "svcdoctor_finding", **web, role="cause"), shown)
    assert (finding["code"], finding["status"]) == ("selector-value-mismatch", "fail")
    assert status() == ["fail"]
    event = until(lambda: events(cluster), shown)[0]
    assert (event["reason"], event["type"]) == ("SelectorValueMismatch", "Warning")
    assert event["message"].startswith("no endpoint at all: no Pod matches app=wbe; ")
    select(cluster, "web")
    until(lambda: status() == ["pass"], shown)
    assert not scraped(prometheus, "svcdoctor_finding", **web, status="fail")


def select(cluster: Cluster, app: str) -> None:
    cluster.kubectl("-n", NAMESPACE, "patch", "service", "web", "-p", json.dumps({"spec": {"selector": {"app": app}}}))


def events(cluster: Cluster) -> list[dict[str, Any]]:
    about = "--field-selector=involvedObject.kind=Service,involvedObject.name=web"
    found = json.loads(cluster.kubectl("-n", NAMESPACE, "get", "events", about, "-o", "json"))
    return [item for item in found["items"] if item["reportingComponent"] == "svcdoctor"]


def test_the_report_of_a_job_is_in_its_log(cluster: Cluster, deployed: None) -> None:
    def log() -> str:
        done = json.loads(cluster.kubectl("-n", OWN, "get", "job", "report", "-o", "json"))["status"]
        return cluster.kubectl("-n", OWN, "logs", "job/report") if done.get("succeeded") or done.get("failed") else ""

    report = until(log, lambda: cluster.kubectl("-n", OWN, "describe", "pods"))
    assert re.search(r"^\d+ Services: .*", report, re.MULTILINE), report
    assert f"{NAMESPACE}/web" in report


def test_what_is_deployed_is_well_by_its_own_standards(cluster: Cluster, deployed: None) -> None:
    done = cluster.svcdoctor("diagnose", "svcdoctor", "-n", OWN, "--no-probe", "--fail-on", "warn")
    assert done.returncode == 0, done.stdout + done.stderr
