"""Shapes that real clusters are full of and nothing is wrong with: no check may find a fault in any of them.

Each file of tests/healthy holds one, as `kubectl apply` takes it; `{ns}` stands for its namespace, as in the suites.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from simulate import simulate
from suites import OFFLINE_NAMESPACE
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.finding import Status

SHAPES = sorted((Path(__file__).parent / "healthy").glob("*.yaml"))
FAULTS = (Status.FAIL, Status.WARN, Status.UNKNOWN)
# What is observed of a shape besides that all of it runs.
OBSERVED: dict[str, list[dict[str, Any]]] = {
    "batch_beside_service": [
        {
            "kind": "Job",
            "metadata": {"name": "shop-api-migrate-7"},
            "status": {"conditions": [{"type": "Complete", "status": "True"}]},
        },
        {
            "kind": "Pod",
            "metadata": {"name": "shop-api-migrate-7-*"},
            "status": {
                "phase": "Succeeded",
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "PodCompleted"},
                    {"type": "ContainersReady", "status": "False", "reason": "PodCompleted"},
                ],
                "containerStatuses": [
                    {
                        "name": "migrate",
                        "ready": False,
                        "started": False,
                        "state": {"running": None, "terminated": {"exitCode": 0, "reason": "Completed"}},
                    }
                ],
            },
        },
    ],
    "rollout_in_progress": [
        {
            "kind": "Deployment",
            "metadata": {"name": "pricing"},
            "status": {
                "updatedReplicas": 1,
                "readyReplicas": 2,
                "replicas": 3,
                "conditions": [
                    {
                        "type": "Progressing",
                        "status": "True",
                        "reason": "ReplicaSetUpdated",
                        "lastUpdateTime": {"secondsAgo": 40},
                    }
                ],
            },
        },
        {
            "kind": "Pod",
            "metadata": {
                "name": "pricing-5c8d9f7b6-new01",
                "labels": {"app": "pricing", "pod-template-hash": "5c8d9f7b6"},
                "ownerReferences": [
                    {"kind": "ReplicaSet", "name": "pricing-5c8d9f7b6", "uid": "r", "controller": True}
                ],
                "creationTimestamp": {"secondsAgo": 40},
            },
            "spec": {
                "nodeName": "worker",
                "containers": [
                    {
                        "name": "pricing",
                        "image": "registry.k8s.io/e2e-test-images/agnhost:2.57",
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "startupProbe": {
                            "httpGet": {"path": "/healthz", "port": "http"},
                            "periodSeconds": 2,
                            "failureThreshold": 150,
                        },
                        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
                    }
                ],
            },
            "status": {
                "phase": "Running",
                "podIP": "10.244.2.77",
                "podIPs": [{"ip": "10.244.2.77"}],
                "startTime": {"secondsAgo": 40},
                "conditions": [
                    {"type": "PodScheduled", "status": "True"},
                    {"type": "Initialized", "status": "True"},
                    {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
                    {"type": "ContainersReady", "status": "False", "reason": "ContainersNotReady"},
                ],
                "containerStatuses": [
                    {
                        "name": "pricing",
                        "ready": False,
                        "started": False,
                        "state": {"running": {"startedAt": {"secondsAgo": 38}}},
                    }
                ],
            },
        },
    ],
}


def manifests(path: Path, namespace: str) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8").replace("{ns}", namespace)
    return [document for document in yaml.safe_load_all(text) if document]


@pytest.mark.parametrize("path", SHAPES, ids=lambda path: path.stem)
def test_nothing_is_wrong_with(path: Path) -> None:
    world = simulate(manifests(path, OFFLINE_NAMESPACE), OBSERVED.get(path.stem))
    outcome = diagnose(world, Scope())
    assert not outcome.wants
    said = [
        f"{finding.status} {finding.code} {finding.subject}: {finding.message}"
        for finding in outcome.diagnosis.findings()
        if finding.status in FAULTS
    ]
    assert said == []
    assert any(entry.namespace == OFFLINE_NAMESPACE for entry in outcome.diagnosis.services)


@pytest.mark.parametrize("path", SHAPES, ids=lambda path: path.stem)
def test_says_what_it_is_and_stays_small(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
    pods = sum(_pods(document) for document in manifests(path, OFFLINE_NAMESPACE))
    assert pods <= 4, "a cluster of two cores runs them all"


def _pods(document: dict[str, Any]) -> int:
    match document["kind"]:
        case "Deployment" | "StatefulSet":
            return int(document["spec"].get("replicas", 1))
        case "DaemonSet":
            return 2
        case "Pod" | "Job":
            return 1
    return 0
