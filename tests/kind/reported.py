"""What svcdoctor says of a real cluster, waited for; and a small shop to break."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster import Cluster

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.57"
SECONDS = 180.0

Report = dict[str, Any]


def diagnose(cluster: Cluster, *args: str) -> tuple[int, Report]:
    done = cluster.svcdoctor("diagnose", "-o", "json", *args)
    assert done.returncode in (0, 1, 4), done.stderr
    return done.returncode, json.loads(done.stdout)


def until(cluster: Cluster, holds: Callable[[int, Report], bool], *args: str, seconds: float = SECONDS) -> Report:
    """The first report that is as wanted."""
    ends = time.monotonic() + seconds
    while True:
        code, report = diagnose(cluster, *args)
        if holds(code, report):
            return report
        if time.monotonic() > ends:
            pytest.fail(f"not so within {seconds:.0f} s\n{cluster.svcdoctor('diagnose', *args).stdout}", pytrace=False)
        time.sleep(3)


def codes(findings: list[Report], *statuses: str) -> set[str]:
    return {finding["code"] for finding in findings if finding["status"] in statuses}


def faults(report: Report) -> set[str]:
    """Everything that the report holds against anybody, as `namespace/name code`."""
    groups = [(f"{entry['namespace']}/{entry['name']}", entry["findings"]) for entry in report["services"]]
    groups += [(f"{entry['namespace']}/{entry['name']}", entry["findings"]) for entry in report["missing"]]
    groups += [(f"{entry['namespace']}/{entry['name']}", entry["findings"]) for entry in report["clients"]]
    groups.append(("cluster", report["cluster"]["findings"]))
    return {f"{name} {code}" for name, findings in groups for code in codes(findings, "fail", "warn", "unknown")}


def service(report: Report, namespace: str, name: str) -> Report:
    return next(entry for entry in report["services"] if (entry["namespace"], entry["name"]) == (namespace, name))


def healthy(code: int, report: Report) -> bool:
    return code == 0 and not faults(report)


SHOP = """
kind: Pod
apiVersion: v1
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  %(placement)s
  containers:
    - name: web
      image: %(image)s
      imagePullPolicy: IfNotPresent
      args: [netexec, --http-port=8080]
      ports: [{containerPort: 8080}]
      readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2}
---
kind: Service
apiVersion: v1
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"""


@contextmanager
def shop(
    cluster: Cluster, namespace: str, *, image: str = AGNHOST, placement: str = "", manifest: str = SHOP
) -> Iterator[str]:
    """A namespace with one healthy Service `web`, seen healthy, and gone at the end."""
    cluster.kubectl("create", "namespace", namespace)
    try:
        cluster.kubectl("-n", namespace, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        cluster.kubectl("-n", namespace, "apply", "-f", "-", input=manifest % {"image": image, "placement": placement})
        until(cluster, healthy, "-n", namespace)
        yield namespace
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--timeout=120s")


def shared_fault(cluster: Cluster, code: str, *statuses: str) -> None:
    """Until the report says it of the cluster."""
    until(cluster, lambda _, found: code in codes(found["cluster"]["findings"], *(statuses or ("fail",))), "-A")
