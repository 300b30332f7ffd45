"""The one-shot diagnosis beside kubectl on a small real cluster.

    python bench/kind.py --context kind-dev [--services 40] [--pods 120] [--image IMAGE] [--prefix bench-] [--times 5]

Lays Services with running Pods in namespaces of its own, runs `svcdoctor diagnose -A --no-probe` and `kubectl get` of
what it mainly reads in turns, prints one table, and deletes the namespaces. What a Python pays before its first
request is told apart: it is the same in a cluster of any size.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from typing import Any

from measure import IMPORTED, Cost, alternating, command, run, svcdoctor

NAMESPACES = 4
IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.57"
READS = "svc,endpointslices,pods,networkpolicies,ingresses"
Document = dict[str, Any]


def service_with_pods(namespace: str, name: str, pods: int, image: str) -> list[Document]:
    metadata = {"name": name, "namespace": namespace}
    container = {
        "name": "app",
        "image": image,
        "args": ["netexec", "--http-port=8080"],
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 60},
        "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}},
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False},
    }
    wanted = {"replicas": pods, "selector": {"matchLabels": {"app": name}}, "template": template}
    served = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": wanted},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": served},
    ]


class Kubectl:
    def __init__(self, context: str) -> None:
        self.context = context

    def __call__(self, *arguments: str, given: str | None = None) -> str:
        line = ["kubectl", "--context", self.context, *arguments]
        return subprocess.run(line, input=given, capture_output=True, text=True, check=True).stdout


def lay(kubectl: Kubectl, namespaces: list[str], options: argparse.Namespace) -> None:
    items: list[Document] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces
    ]
    each, more = divmod(options.pods, options.services)
    for number in range(options.services):
        namespace = namespaces[number % len(namespaces)]
        items += service_with_pods(namespace, f"svc-{number:02}", each + (number < more), options.image)
    kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    ends = time.monotonic() + options.wait
    while time.monotonic() < ends:
        path = "jsonpath={.items[*].status.readyReplicas}"
        ready = sum(sum(map(int, kubectl("get", "deploy", "-n", name, "-o", path).split())) for name in namespaces)
        if ready == options.pods:
            break
        time.sleep(2)
    line("laid", f"{options.services} Services, {ready} of {options.pods} Pods ready")


def line(what: str, figure: str, target: str = "") -> None:
    print(f"{what:<44}{figure:<48}{target}", flush=True)


def said(cost: Cost) -> str:
    return f"{cost.wall:.2f} s, {cost.processor:.2f} s of processor, {cost.peak:.0f} MB"


def measure(context: str, times: int) -> None:
    ours, theirs, imports, bare = alternating(
        times,
        lambda: svcdoctor("diagnose", "-A", "--no-probe", "--context", context),
        lambda: command("kubectl", "--context", context, "get", READS, "-A", "-o", "json"),
        lambda: run("-c", f"import {IMPORTED}"),
        lambda: run("-c", "pass"),
    )
    line("svcdoctor diagnose -A --no-probe", said(ours))
    line("  of that Python and all imports", said(imports))
    line("  of that python -c pass", said(bare))
    line(f"kubectl get {READS}"[:43], said(theirs))
    ratio = ours.over(theirs)
    line("ratio of wall, processor, peak", "{:.2f}, {:.2f}, {:.2f}".format(*ratio), "0.5, -, 1.0")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--context", required=True)
    parser.add_argument("--services", type=int, default=40)
    parser.add_argument("--pods", type=int, default=120)
    parser.add_argument("--image", default=IMAGE)
    parser.add_argument("--prefix", default="bench-")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--wait", type=float, default=300, help="seconds until what runs then is measured")
    options = parser.parse_args()
    kubectl = Kubectl(options.context)
    namespaces = [f"{options.prefix}{number}" for number in range(NAMESPACES)]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    try:
        lay(kubectl, namespaces, options)
        measure(options.context, options.times)
    finally:
        kubectl("delete", "namespace", *namespaces, "--wait=false", "--ignore-not-found")


if __name__ == "__main__":
    main()
