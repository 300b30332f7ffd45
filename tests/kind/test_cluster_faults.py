"""Faults of the parts that all Services share, and the rights of the person who asks: one at a time, each undone.

Each test leaves the cluster as it found it, so that the next begins with a healthy one.
"""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from cluster import Cluster
from reported import AGNHOST, SHOP, codes, diagnose, faults, healthy, service, shared_fault, shop, until


def test_a_new_cluster_is_silent(healthy_cluster: Cluster) -> None:
    code, report = diagnose(healthy_cluster, "-A")
    assert code == 0 and not faults(report)
    assert {entry["name"] for entry in report["services"]} == {"kubernetes", "kube-dns"}
    assert all(step["status"] in ("pass", "skip") for entry in report["services"] for step in entry["steps"])


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


def test_every_pod_is_about_to_stop(healthy_cluster: Cluster) -> None:
    """They still serve, and nothing comes after them."""
    kubectl = healthy_cluster.kubectl
    slow = SHOP.replace("terminationGracePeriodSeconds: 0", "terminationGracePeriodSeconds: 300").replace(
        "      ports:", "      lifecycle: {preStop: {sleep: {seconds: 300}}}\n      ports:"
    )
    with shop(healthy_cluster, "f-stopping", manifest=slow) as namespace:
        kubectl("-n", namespace, "delete", "pod", "web", "--wait=false")
        until(
            healthy_cluster,
            lambda _, found: service(found, namespace, "web")["cause"] == "slice-all-terminating",
            "-n",
            namespace,
        )
        kubectl("-n", namespace, "delete", "pod", "web", "--force", "--grace-period=0")


def test_a_namespace_cannot_end(healthy_cluster: Cluster) -> None:
    kubectl = healthy_cluster.kubectl
    hold = ("--type=merge", "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    release = ("--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    with shop(healthy_cluster, "f-ending") as namespace:
        kubectl("-n", namespace, "patch", "service", "web", *hold)
        try:
            kubectl("delete", "namespace", namespace, "--wait=false")
            until(
                healthy_cluster,
                lambda _, found: "lim-ns-terminating" in codes(service(found, namespace, "web")["findings"], "fail"),
                "-n",
                namespace,
            )
        finally:
            kubectl("-n", namespace, "patch", "service", "web", *release)


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
