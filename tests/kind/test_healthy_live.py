"""The healthy shapes of tests/healthy on a real cluster, all at once: once started, nothing is said of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from suites import CLUSTER_SCOPED
from test_healthy import SHAPES, manifests

FAULTS = ("fail", "warn", "unknown")
SECONDS_TO_START = 240.0


def namespace_of(shape: Path) -> str:
    return f"healthy-{shape.stem.replace('_', '-')}"


@pytest.fixture(scope="module")
def applied(cluster: Cluster) -> Iterator[Cluster]:
    shared: list[dict[str, Any]] = []
    namespaces = [namespace_of(shape) for shape in SHAPES]
    cluster.kubectl("apply", "-f", "-", input=_list([_namespace(name) for name in namespaces]))
    try:
        for shape, namespace in zip(SHAPES, namespaces, strict=True):
            cluster.kubectl("-n", namespace, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
            objects = manifests(shape, namespace)
            shared += [item for item in objects if item["kind"] in CLUSTER_SCOPED]
            cluster.kubectl("-n", namespace, "apply", "-f", "-", input=_list(objects))
            for item in objects:
                # A controller would write it; of built-in kinds it is a subresource, which apply leaves out.
                if item["kind"] == "Ingress" and "status" in item:
                    patch = json.dumps({"status": item["status"]})
                    words = ("--subresource=status", "--type=merge", "-p", patch)
                    cluster.kubectl("-n", namespace, "patch", "ingress", item["metadata"]["name"], *words)
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", "--ignore-not-found", "--timeout=240s", *namespaces, timeout=300)
        if shared:
            cluster.kubectl("delete", "-f", "-", "--ignore-not-found", input=_list(shared))


def test_nothing_is_said_of_healthy_shapes(applied: Cluster) -> None:
    ends = time.monotonic() + SECONDS_TO_START
    while (said := _faults(applied)) and time.monotonic() < ends:
        time.sleep(3)
    assert said == []
    # An alarm that comes a moment later is false all the same.
    assert _faults(applied) == []


def _faults(cluster: Cluster) -> list[str]:
    """Every fault and unknown of the report that is about one of the shapes."""
    done = cluster.svcdoctor("diagnose", "-A", "-o", "json", "--kubeconfig", str(cluster.kubeconfig))
    report = json.loads(done.stdout)
    own = {namespace_of(shape) for shape in SHAPES}
    assert own <= {service["namespace"] for service in report["services"]}
    entries = [*report["services"], *report["missing"], *report["clients"], report["cluster"]]
    return [
        f"{entry.get('namespace', 'cluster')}: {finding['status']} {finding['code']}: {finding['message']}"
        for entry in entries
        for finding in entry["findings"]
        if finding["status"] in FAULTS and (entry.get("namespace") in own or _namespace_in(finding) in own)
    ]


def _namespace_in(finding: dict[str, Any]) -> str:
    return (finding["subject"] or {}).get("namespace", "")


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _list(items: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
