"""Faults of the parts that all Services share, and the rights of the person who asks: one at a time, each undone.

Each test leaves the cluster as it found it, so that the next begins with a healthy one.
"""

from __future__ import annotations

import json
import subprocess
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
def shop(cluster: Cluster, namespace: str, *, image: str = AGNHOST, placement: str = "") -> Iterator[str]:
    """A namespace with one healthy Service `web`, seen healthy, and gone at the end."""
    cluster.kubectl("create", "namespace", namespace)
    try:
        cluster.kubectl("-n", namespace, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        cluster.kubectl("-n", namespace, "apply", "-f", "-", input=SHOP % {"image": image, "placement": placement})
        until(cluster, healthy, "-n", namespace)
        yield namespace
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--timeout=120s")


@pytest.fixture(scope="module")
def healthy_cluster(cluster: Cluster) -> Cluster:
    until(cluster, healthy, "-A")
    return cluster


def test_a_new_cluster_is_silent(healthy_cluster: Cluster) -> None:
    code, report = diagnose(healthy_cluster, "-A")
    assert code == 0 and not faults(report)
    assert {entry["name"] for entry in report["services"]} == {"kubernetes", "kube-dns"}
    assert all(step["status"] in ("pass", "skip") for entry in report["services"] for step in entry["steps"])


def test_dns_is_asked_at_coredns_where_no_pod_has_a_shell(healthy_cluster: Cluster) -> None:
    with shop(healthy_cluster, "f-distroless", image="svcdoctor/agnhost-distroless:2.57") as namespace:
        _, report = diagnose(healthy_cluster, "-n", namespace)
        dns = next(step for step in service(report, namespace, "web")["steps"] if step["step"] == "dns")
        assert dns["status"] == "pass" and "CoreDNS" in dns["message"]


def test_nobody_hands_out_addresses_of_load_balancers(healthy_cluster: Cluster) -> None:
    with shop(healthy_cluster, "f-no-provider") as namespace:
        patch = '{"spec":{"type":"LoadBalancer"}}'
        healthy_cluster.kubectl("-n", namespace, "patch", "service", "web", "-p", patch)
        report = until(
            healthy_cluster,
            lambda _, found: service(found, namespace, "web")["cause"] == "lb-no-provider",
            "-n",
            namespace,
        )
        assert service(report, namespace, "web")["status"] == "warn"


def test_coredns_scaled_to_zero(healthy_cluster: Cluster) -> None:
    kubectl = healthy_cluster.kubectl
    with shop(healthy_cluster, "f-coredns-down") as namespace:
        kubectl("-n", "kube-system", "scale", "deployment/coredns", "--replicas=0")
        try:
            report = until(
                healthy_cluster,
                lambda code, found: code == 1 and "dns-coredns-down" in codes(found["cluster"]["findings"], "fail"),
                "-n",
                namespace,
            )
            assert service(report, namespace, "web")["cause"] is None, "a fault that all share is said once"
        finally:
            kubectl("-n", "kube-system", "scale", "deployment/coredns", "--replicas=2")
            kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
        until(healthy_cluster, healthy, "-n", namespace)


def test_kube_dns_selects_nothing(healthy_cluster: Cluster) -> None:
    kubectl = healthy_cluster.kubectl
    kubectl("-n", "kube-system", "set", "selector", "service", "kube-dns", "k8s-app=coredns")
    try:
        until(
            healthy_cluster,
            lambda code, found: "dns-kubedns-no-endpoints" in codes(found["cluster"]["findings"], "fail"),
            "-A",
        )
    finally:
        kubectl("-n", "kube-system", "set", "selector", "service", "kube-dns", "k8s-app=kube-dns")
    until(healthy_cluster, healthy, "-A")


def test_the_corefile_answers_for_a_service(healthy_cluster: Cluster) -> None:
    kubectl = healthy_cluster.kubectl
    with shop(healthy_cluster, "f-corefile") as namespace:
        config = json.loads(kubectl("-n", "kube-system", "get", "configmap", "coredns", "-o", "json"))["data"][
            "Corefile"
        ]
        rule = f"template ANY ANY web.{namespace}.svc.cluster.local {{\n        rcode NXDOMAIN\n    }}\n    kubernetes "
        try:
            configure_coredns(healthy_cluster, config.replace("kubernetes ", rule, 1))
            report = until(
                healthy_cluster,
                lambda code, found: service(found, namespace, "web")["cause"] == "dns-corefile-override",
                "-n",
                namespace,
            )
            cause = service(report, namespace, "web")["findings"][0]
            assert any("template" in item["value"] for item in cause["evidence"]), "the rule is quoted"
        finally:
            configure_coredns(healthy_cluster, config)
        until(healthy_cluster, healthy, "-A")


def configure_coredns(cluster: Cluster, corefile: str) -> None:
    patch = json.dumps({"data": {"Corefile": corefile}})
    cluster.kubectl("-n", "kube-system", "patch", "configmap", "coredns", "--type=merge", "-p", patch)
    cluster.kubectl("-n", "kube-system", "rollout", "restart", "deployment/coredns")
    cluster.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")


def test_the_endpointslice_controller_is_gone(healthy_cluster: Cluster) -> None:
    """The Pod is replaced while nobody writes slices: they still name the old one."""
    manifest = "/etc/kubernetes/manifests/kube-controller-manager.yaml"
    node = f"{healthy_cluster.name}-control-plane"
    with shop(healthy_cluster, "f-controller") as namespace:
        in_node(node, "mv", manifest, "/root/")
        try:
            until_gone(node, "kube-controller")
            healthy_cluster.kubectl("-n", namespace, "delete", "pod", "web", "--timeout=60s")
            healthy_cluster.kubectl(
                "-n", namespace, "apply", "-f", "-", input=SHOP % {"image": AGNHOST, "placement": ""}
            )
            until(
                healthy_cluster,
                lambda code, found: service(found, namespace, "web")["cause"] == "slice-controller-lag",
                "-n",
                namespace,
            )
        finally:
            in_node(node, "mv", "/root/kube-controller-manager.yaml", manifest)
        until(healthy_cluster, healthy, "-n", namespace)


def test_a_node_does_not_answer(healthy_cluster: Cluster) -> None:
    node = f"{healthy_cluster.name}-worker2"
    with shop(healthy_cluster, "f-node", placement=f"nodeName: {node}") as namespace:
        subprocess.run(["docker", "pause", node], check=True, capture_output=True, timeout=60)
        try:
            until(
                healthy_cluster,
                lambda code, found: service(found, namespace, "web")["cause"] == "pods-node-notready",
                "-n",
                namespace,
            )
        finally:
            subprocess.run(["docker", "unpause", node], check=True, capture_output=True, timeout=60)
            healthy_cluster.kubectl("wait", "--for=condition=Ready", f"node/{node}", "--timeout=120s")
    until(healthy_cluster, healthy, "-A")


def shared_fault(cluster: Cluster, code: str, *statuses: str) -> None:
    """Until the report says it of the cluster."""
    until(cluster, lambda _, found: code in codes(found["cluster"]["findings"], *(statuses or ("fail",))), "-A")


def test_kube_proxy_leaves_a_node(healthy_cluster: Cluster) -> None:
    """The DaemonSet asks for a label that one node lacks. (A label of the kubelet's own would come back by itself.)"""
    kubectl, label = healthy_cluster.kubectl, "example.com/proxy"
    nodes = [f"{healthy_cluster.name}-{role}" for role in ("control-plane", "worker")]
    kubectl("label", "node", *nodes, f"{label}=yes", "--overwrite")

    def ask_for(value: str | None) -> None:
        patch = json.dumps({"spec": {"template": {"spec": {"nodeSelector": {label: value}}}}})
        kubectl("-n", "kube-system", "patch", "daemonset", "kube-proxy", "-p", patch)

    ask_for("yes")
    try:
        shared_fault(healthy_cluster, "dp-kubeproxy-down")
    finally:
        ask_for(None)
        kubectl("-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", "--timeout=120s")
        kubectl("label", "node", *nodes, f"{label}-")
    until(healthy_cluster, healthy, "-A")


def test_kube_proxy_is_told_another_range(healthy_cluster: Cluster) -> None:
    """kube-proxy sees its configuration change a minute later, and by then it is as it was."""
    kubectl = healthy_cluster.kubectl
    get = ("-n", "kube-system", "get", "configmap", "kube-proxy", "-o", "json")
    config = json.loads(kubectl(*get))["data"]["config.conf"]
    assert "clusterCIDR: 10.244.0.0/16" in config

    def write(text: str) -> None:
        patch = json.dumps({"data": {"config.conf": text}})
        kubectl("-n", "kube-system", "patch", "configmap", "kube-proxy", "--type=merge", "-p", patch)

    write(config.replace("clusterCIDR: 10.244.0.0/16", "clusterCIDR: 10.10.0.0/16"))
    try:
        shared_fault(healthy_cluster, "dp-clustercidr-wrong", "warn")
    finally:
        write(config)
    until(healthy_cluster, healthy, "-A")


def test_a_node_has_no_route(healthy_cluster: Cluster) -> None:
    node = f"{healthy_cluster.name}-worker2"

    def say(**condition: str) -> None:
        patch = json.dumps({"status": {"conditions": [{"type": "NetworkUnavailable", **condition}]}})
        healthy_cluster.kubectl("patch", "node", node, "--subresource=status", "--type=strategic", "-p", patch)

    since = "2026-01-01T00:00:00Z"
    say(status="True", reason="NoRouteCreated", message="no route", lastTransitionTime=since)
    try:
        shared_fault(healthy_cluster, "dp-cni-broken")
    finally:
        say(**{"$patch": "delete"})
    until(healthy_cluster, healthy, "-A")


def test_services_may_take_addresses_of_pods(healthy_cluster: Cluster) -> None:
    kubectl = healthy_cluster.kubectl
    node = json.loads(kubectl("get", "node", f"{healthy_cluster.name}-worker2", "-o", "json"))
    inside = node["spec"]["podCIDR"].replace(".0/24", ".248/30")
    manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "f-overlap"},
        "spec": {"cidrs": [inside]},
    }
    kubectl("apply", "-f", "-", input=json.dumps(manifest))
    try:
        shared_fault(healthy_cluster, "dp-cidr-overlap")
    finally:
        kubectl("delete", "servicecidr", "f-overlap", "--timeout=60s")
    until(healthy_cluster, healthy, "-A")


def test_an_extension_of_the_api_has_no_service(healthy_cluster: Cluster) -> None:
    """No namespace can be deleted meanwhile."""
    manifest = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.f-extension.example"},
        "spec": {
            "group": "f-extension.example",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": "default", "name": "f-extension"},
        },
    }
    healthy_cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    try:
        shared_fault(healthy_cluster, "rdep-apiservice")
    finally:
        healthy_cluster.kubectl("delete", "apiservice", "v1.f-extension.example")
    until(healthy_cluster, healthy, "-A")


def test_the_service_kubernetes_names_a_server_that_is_gone(healthy_cluster: Cluster) -> None:
    """The API server takes the address out again within seconds."""
    dead = {
        "op": "add",
        "path": "/endpoints/-",
        "value": {"addresses": ["198.51.100.9"], "conditions": {"ready": True}},
    }
    for _ in range(5):
        patch = ("--type=json", "-p", json.dumps([dead]))
        healthy_cluster.kubectl("-n", "default", "patch", "endpointslice", "kubernetes", *patch)
        _, report = diagnose(healthy_cluster, "-n", "default")
        if "rdep-kubernetes-svc" in codes(report["cluster"]["findings"], "warn"):
            break
    else:
        pytest.fail("never said")
    until(healthy_cluster, healthy, "-A")


ZONES = """
kind: Service
apiVersion: v1
metadata: {name: zoned}
spec: {trafficDistribution: PreferSameZone, ports: [{port: 80}]}
---
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata: {name: zoned-1, labels: {kubernetes.io/service-name: zoned}}
addressType: IPv4
endpoints:
  - {addresses: [172.18.0.2], conditions: {ready: true}, zone: a, hints: {forZones: [{name: a}]}}
  - {addresses: [172.18.0.3], conditions: {ready: true}, zone: b, hints: {forZones: [{name: b}]}}
  - {addresses: [172.18.0.4], conditions: {ready: true}, zone: b, hints: {forZones: [{name: b}]}}
  - {addresses: [172.18.0.5], conditions: {ready: true}, zone: b, hints: {forZones: [{name: b}]}}
ports: [{port: 6443}]
"""


def test_one_endpoint_serves_the_zone_of_most_nodes(healthy_cluster: Cluster) -> None:
    kubectl, zone = healthy_cluster.kubectl, "topology.kubernetes.io/zone"
    nodes = {"control-plane": "a", "worker": "a", "worker2": "b"}
    with shop(healthy_cluster, "f-zones") as namespace:
        try:
            for name, where in nodes.items():
                kubectl("label", "node", f"{healthy_cluster.name}-{name}", f"{zone}={where}")
            kubectl("-n", namespace, "apply", "-f", "-", input=ZONES)
            until(
                healthy_cluster,
                lambda code, found: service(found, namespace, "zoned")["cause"] == "dp-topology-hints-skew",
                "-n",
                namespace,
            )
        finally:
            for name in nodes:
                kubectl("label", "node", f"{healthy_cluster.name}-{name}", f"{zone}-")
    until(healthy_cluster, healthy, "-A")


def test_the_printed_role_is_all_that_a_diagnosis_needs(healthy_cluster: Cluster) -> None:
    kubectl = healthy_cluster.kubectl
    with shop(healthy_cluster, "f-rights") as namespace:
        code, report = diagnose(healthy_cluster, "-n", namespace, "--as", "ada")
        assert code == 4 and report["denied"], "without rights nothing is called healthy"
        role = healthy_cluster.svcdoctor("rbac", "-n", namespace)
        assert role.returncode == 0
        kubectl("apply", "-f", "-", input=role.stdout)
        try:
            for where in (namespace, "kube-system"):
                kubectl("-n", where, "create", "rolebinding", "svcdoctor-ada", "--role=svcdoctor", "--user=ada")
            kubectl("create", "clusterrolebinding", "svcdoctor-ada", "--clusterrole=svcdoctor", "--user=ada")
            report = until(healthy_cluster, healthy, "-n", namespace, "--as", "ada", seconds=30)
            assert service(report, namespace, "web")["status"] == "pass"
        finally:
            kubectl("-n", "kube-system", "delete", "rolebinding", "svcdoctor-ada", "--ignore-not-found")
            kubectl("delete", "clusterrolebinding", "svcdoctor-ada", "--ignore-not-found")
            kubectl("delete", "-f", "-", "--ignore-not-found", input=role.stdout)


def test_a_user_of_the_view_role_is_told_what_is_missing(healthy_cluster: Cluster) -> None:
    """`view` may read all but nodes, and may not exec: only what needs these is unknown."""
    kubectl = healthy_cluster.kubectl
    with shop(healthy_cluster, "f-view") as namespace:
        kubectl("-n", namespace, "create", "rolebinding", "view-ada", "--clusterrole=view", "--user=ada")
        code, report = diagnose(healthy_cluster, "-n", namespace, "--as", "ada")
        found = service(report, namespace, "web")
        statuses = {step["step"]: step["status"] for step in found["steps"]}
        assert code == 4
        assert statuses["endpoints"] == statuses["labels"] == "pass"
        assert statuses["dns"] == "unknown"
        assert "unknown-forbidden" in codes(found["findings"], "unknown")


def test_a_namespace_without_pods_and_without_rights_to_ask_coredns(healthy_cluster: Cluster) -> None:
    kubectl = healthy_cluster.kubectl
    with shop(healthy_cluster, "f-no-pod") as namespace:
        kubectl("-n", namespace, "delete", "pod", "web", "--timeout=60s")
        kubectl("-n", namespace, "create", "rolebinding", "view-ada", "--clusterrole=view", "--user=ada")
        _, report = diagnose(healthy_cluster, "-n", namespace, "--as", "ada")
        assert "unknown-no-probe-pod" in codes(service(report, namespace, "web")["findings"], "unknown")


def in_node(node: str, *command: str) -> str:
    done = subprocess.run(["docker", "exec", node, *command], capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def until_gone(node: str, process: str, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while subprocess.run(["docker", "exec", node, "pgrep", process], capture_output=True, timeout=60).returncode == 0:
        assert time.monotonic() < ends, f"{process} still runs on {node}"
        time.sleep(1)
