"""The one-shot diagnosis and the dashboard on a real API server with real controllers, and simulated Pods.

    kind create cluster --name kwok --kubeconfig FILE --config bench/kwok.yaml
    kwok --kubeconfig FILE --manage-all-nodes=false --manage-nodes-with-label-selector type=kwok --config STAGES &
    python bench/kwok.py --kubeconfig FILE [--services 1000] [--restarts 50] [--only lay,oneshot,single,dashboard]

Lays Deployments of five Pods with a Service each, on nodes that kwok simulates (https://kwok.sigs.k8s.io), waits until
all of them are ready, and prints one table. The controller manager makes some twenty objects a second unless its
--kube-api-qps says more, as kwok.yaml does. Nothing is taken away afterwards: the cluster is for this alone.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import re
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from dashboard import Terminal, megabytes, p95, walk
from measure import ROOT, Cost, alternating, command, svcdoctor

PODS = 5
PODS_OF_A_NODE = 110
SERVICES_OF_A_NAMESPACE = 50
IMAGE = "registry.example.com/app:1.4.2"
PARTS = ("lay", "oneshot", "single", "dashboard")
READS = ("services", "endpointslices", "pods", "networkpolicies", "ingresses")
LONGEST = 1800  # seconds until all Pods are ready
AT_ONCE = 8  # objects that are created
PATHS = {
    "Node": "/api/v1/nodes",
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
}
Document = dict[str, Any]


def place(number: int) -> tuple[str, str]:
    return f"team-{number // SERVICES_OF_A_NAMESPACE:03}", f"svc-{number:05}"


def node(number: int) -> Document:
    capacity = {"cpu": "32", "memory": "256Gi", "pods": str(PODS_OF_A_NODE)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"simulated-{number:03}", "labels": {"type": "kwok"}},
        "spec": {"taints": [{"key": "kwok", "effect": "NoSchedule"}]},
        "status": {"allocatable": capacity, "capacity": capacity},
    }


def service_with_pods(number: int) -> list[Document]:
    namespace, name = place(number)
    metadata = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": name}}
    probe = {"httpGet": {"path": "/ready", "port": "http"}}
    container = {
        "name": "app",
        "image": IMAGE,
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": "UPSTREAM_URL", "value": "http://{1}.{0}:80".format(*place(number // 2))}],
        "readinessProbe": probe,
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }
    pod = {
        "containers": [container],
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"key": "kwok", "operator": "Exists"}],
        "automountServiceAccountToken": False,
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    wanted = {"replicas": PODS, "selector": {"matchLabels": {"app": name}}, "template": template}
    served = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": wanted},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": served},
    ]


class Kubectl:
    def __init__(self, kubeconfig: str) -> None:
        self.kubeconfig = kubeconfig

    def __call__(self, *arguments: str, given: str | None = None) -> str:
        line = ["kubectl", "--kubeconfig", self.kubeconfig, *arguments]
        return subprocess.run(line, input=given, capture_output=True, text=True, check=True).stdout

    def asked(self) -> Counter[str]:
        """What the API server was asked since it runs, of all clients: lists and watches."""
        told = re.findall(r'apiserver_request_total\{.*verb="(LIST|WATCH)".*\} (\S+)', self("get", "--raw", "/metrics"))
        found: Counter[str] = Counter()
        for verb, count in told:
            found[verb] += int(float(count))
        return found

    def ready(self) -> tuple[int, int]:
        """Pods that are ready, and endpoints that are."""
        pods = self("get", "deployments", "-A", "-o", "jsonpath={.items[*].status.readyReplicas}").split()
        path = "jsonpath={.items[*].endpoints[*].conditions.ready}"
        return sum(map(int, pods)), self("get", "endpointslices", "-A", "-o", path).split().count("true")


class Creator:
    """Creates objects, several at a time: kubectl asks what each kind looks like, and then one after the other."""

    def __init__(self, kubectl: Kubectl) -> None:
        config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        self._server = urlsplit(config["clusters"][0]["cluster"]["server"]).netloc
        authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as file:
            for part in ("certificate", "key"):
                file.write(base64.b64decode(config["users"][0]["user"][f"client-{part}-data"]))
            file.flush()
            self._tls.load_cert_chain(file.name)
        self._own = threading.local()

    def create(self, items: list[Document]) -> None:
        """What is there already stays."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for _ in threads.map(self._post, items):
                pass

    def _post(self, item: Document) -> None:
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPSConnection(self._server, context=self._tls)
        path = PATHS[item["kind"]].format(namespace=item["metadata"].get("namespace"))
        self._own.connection.request("POST", path, json.dumps(item), {"Content-Type": "application/json"})
        answer = self._own.connection.getresponse()
        said = answer.read()
        if answer.status not in (201, 409):
            raise SystemExit(f"bench: {path}: {said.decode()}")


def line(what: str, figure: str) -> None:
    print(f"{what:<44}{figure}", flush=True)


def lay(kubectl: Kubectl, count: int) -> None:
    started = time.monotonic()
    creator = Creator(kubectl)
    creator.create([node(number) for number in range(-(-count * PODS // PODS_OF_A_NODE) + 1)])
    names = sorted({place(number)[0] for number in range(count)})
    creator.create([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names])
    creator.create([item for number in range(count) for item in service_with_pods(number)])
    line("created", f"{count:,} Services and Deployments, {time.monotonic() - started:.0f} s")
    until(kubectl, count, LONGEST)
    pods, endpoints = kubectl.ready()
    line("laid", f"{pods:,} Pods and {endpoints:,} endpoints ready, {time.monotonic() - started:.0f} s")


def until(kubectl: Kubectl, count: int, seconds: float) -> None:
    """Until all are ready, or so long."""
    ends = time.monotonic() + seconds
    while min(ready := kubectl.ready()) < count * PODS and time.monotonic() < ends:
        print("  {:,} Pods and {:,} endpoints ready".format(*ready), file=sys.stderr)
        time.sleep(5)


def requests(kubeconfig: str, *arguments: str) -> str:
    """How many a run makes, and how large the answers are."""
    run = [sys.executable, "-m", "svcdoctor", "diagnose", *arguments, "-v", "-o", "name", "--kubeconfig", kubeconfig]
    told = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False).stderr
    return next(line for line in told.splitlines() if " requests, " in line)


def compared(what: str, kubeconfig: str, arguments: list[str], yardstick: list[str], times: int) -> None:
    """A run of ours and one of kubectl's, in turns."""
    ours, theirs = alternating(
        times,
        lambda: svcdoctor("diagnose", *arguments, "-o", "json", "--no-probe", "--kubeconfig", kubeconfig),
        lambda: command("kubectl", "get", *yardstick, "-o", "json", "--kubeconfig", kubeconfig),
    )
    line(what, f"{said(ours)}, {requests(kubeconfig, *arguments, '--no-probe')}")
    line(f"  kubectl get {' '.join(yardstick)}"[:43], said(theirs))
    line("  ratio of wall, processor, peak", "{:.2f}, {:.2f}, {:.2f}".format(*ours.over(theirs)))


def said(cost: Cost) -> str:
    return f"{cost.wall:.2f} s, {cost.processor:.2f} s of processor, {cost.peak:.0f} MB"


def dashboard(kubectl: Kubectl, count: int, restarts: int) -> None:
    before = kubectl.asked()
    terminal = Terminal(kubectl.kubeconfig)
    try:
        shown = terminal.until(lambda: terminal.has("svc-0"))
        terminal.settle(60)
        whole = time.monotonic() - terminal.started
        after = kubectl.asked()
        line("dashboard, first Services", f"{shown:.0f} ms, nothing new after {whole:.0f} s")
        line("  asked the server for", f"{lists_and_watches(after - before)}")
        line("  resident, processor", f"{megabytes(terminal.memory())}, {terminal.all_processors():.1f} s")
        for name, act in (
            ("keys alone", lambda: None),
            (f"{restarts} rolling restarts", lambda: restart(kubectl, count, restarts)),
        ):
            watched(terminal, kubectl, name, act)
        line("  resident at the end", f"{megabytes(terminal.memory())}, peak {megabytes(terminal.memory('VmHWM'))}")
    finally:
        terminal.quit()


def watched(terminal: Terminal, kubectl: Kubectl, name: str, act: Callable[[], object]) -> None:
    """Keys typed while something goes on, for a minute."""
    before, used, started = kubectl.asked(), terminal.all_processors(), time.monotonic()
    memory = sum(terminal.memory())
    act()
    took = walk(terminal, 60.0)
    keys, worked = [key.wall for key in took], [key.processor for key in took]
    share = (terminal.all_processors() - used) / (time.monotonic() - started)
    waited = (
        f"key to paint p50 {statistics.median(keys):.1f}, p95 {p95(keys):.1f} ms (p95 {p95(worked):.1f} of processor)"
    )
    figures = f"{waited}, {share * 100:.0f} % of a core"
    grown = f"{sum(terminal.memory()) - memory:+.0f} MB, {lists_and_watches(kubectl.asked() - before)}"
    line(f"  {name}", f"{figures}, {grown}")


def lists_and_watches(asked: Counter[str]) -> str:
    return f"{asked['LIST']} lists and {asked['WATCH']} watches of all clients"


def restart(kubectl: Kubectl, count: int, restarts: int) -> None:
    for number in range(restarts):
        namespace, name = place(number * 17 % count)
        line = ["kubectl", "--kubeconfig", kubectl.kubeconfig, "rollout", "restart", "-n", namespace, f"deploy/{name}"]
        subprocess.Popen(line, stdout=subprocess.DEVNULL)
        if number % 10 == 9:
            time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--restarts", type=int, default=50)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    kubectl, parts = Kubectl(options.kubeconfig), options.only.split(",")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if "lay" in parts:
        lay(kubectl, options.services)
    if "oneshot" in parts:
        compared("diagnose -A", options.kubeconfig, ["-A"], [",".join(READS), "-A"], options.times)
    if "single" in parts:
        namespace, name = place(options.services // 2)
        asked = [name, "-n", namespace]
        compared("diagnose NAME", options.kubeconfig, asked, [",".join(READS), "-n", namespace], options.times)
    if "dashboard" in parts:
        dashboard(kubectl, options.services, options.restarts)


if __name__ == "__main__":
    main()
