"""`--diff` and `--dry-run=server` on a real API server: it takes what helps, refuses what a policy forbids, and stores
nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster import Cluster
from reported import shop, until

BROKEN = """
kind: Service
apiVersion: v1
metadata: {name: web}
spec: {selector: {app: basket}, ports: [{port: 80, targetPort: 8080}]}
---
kind: Service
apiVersion: v1
metadata: {name: wrong-port}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""
NAMESPACE = "dnsall-dry-run"


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    with shop(cluster, NAMESPACE) as made:
        cluster.kubectl("-n", made, "apply", "-f", "-", input=BROKEN)
        until(cluster, lambda _, report: report["summary"]["fail"] == 2, "-n", made)
        yield made


def specs(cluster: Cluster, namespace: str) -> Any:
    services = json.loads(cluster.kubectl("-n", namespace, "get", "services", "-o", "json"))
    return [(item["metadata"]["resourceVersion"], item["spec"]) for item in services["items"]]


def first_remedies(cluster: Cluster, namespace: str, *args: str) -> dict[str, Any]:
    done = cluster.svcdoctor("diagnose", "-n", namespace, "--no-probe", "-o", "json", "--dry-run=server", *args)
    assert done.returncode == 1, done.stderr
    return {
        service["name"]: finding["remedies"][0]
        for service in json.loads(done.stdout)["services"]
        for finding in service["findings"]
        if finding["role"] == "cause"
    }


def test_the_server_takes_the_fixes_and_stores_nothing(cluster: Cluster, namespace: str) -> None:
    before = specs(cluster, namespace)
    remedies = first_remedies(cluster, namespace)
    assert {name: remedy["dryRun"] for name, remedy in remedies.items()} == {
        "web": "accepted",
        "wrong-port": "accepted",
    }
    assert specs(cluster, namespace) == before


def test_who_may_not_patch_sends_nothing(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "create", "rolebinding", "view", "--clusterrole=view", "--user=auditor")
    for remedy in first_remedies(cluster, namespace, "--as", "auditor").values():
        assert remedy["dryRun"] == f"not tried: needs patch services in namespace {namespace}"


def test_the_diff_is_that_of_kubectl(cluster: Cluster, namespace: str) -> None:
    done = cluster.svcdoctor("diagnose", "-n", namespace, "--no-probe", "--diff")
    changed = {line.strip("+- ") for line in done.stdout.splitlines() if line.startswith(("-  ", "+  "))}
    assert changed == {"app: basket", "app: web", "targetPort: http", "targetPort: 8080"}
