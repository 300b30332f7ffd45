"""What a client of a real cluster meets: `--from` on Services that are healthy, deaf or shut off."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster import Cluster

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.57"
DISTROLESS = "svcdoctor/agnhost-distroless:2.57"
HERE, THERE = "conn-shop", "conn-store"
SECONDS = 120.0

Document = dict[str, Any]


def pod(name: str, image: str = AGNHOST, args: tuple[str, ...] = ("pause",), **labels: str) -> Document:
    container = {"name": "app", "image": image, "imagePullPolicy": "IfNotPresent", "args": list(args)}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": labels or {"app": name}},
        "spec": spec,
    }


def service(name: str, app: str, target: int) -> Document:
    spec = {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": target}]}
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec}


def policy(name: str, app: str, **spec: Any) -> Document:
    own = {"podSelector": {"matchLabels": {"app": app}}, **spec}
    metadata = {"name": name}
    return {"kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1", "metadata": metadata, "spec": own}


SERVES = ("netexec", "--http-port=8080")
WEB = pod("web")
WEB["spec"]["serviceAccountName"] = "robot"
LOST = pod("lost")
LOST["spec"]["containers"][0]["env"] = [{"name": "CART_URL", "value": "http://lone:8080"}]
# Its image has a shell and a cat that never come back.
HUNG = pod("hung", "busybox:1.36")
HANGS = """
mkdir /hang
for name in sh cat; do printf '#!/bin/sh\\nexec sleep 600\\n' >/hang/$name; done
chmod +x /hang/*
exec sleep 100000
"""
HUNG["spec"]["containers"][0] |= {
    "command": ["/bin/sh", "-c", HANGS],
    "env": [{"name": "PATH", "value": "/hang:/bin"}],
}
OF_HERE = [
    LOST,
    HUNG,
    {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "robot"}},
    WEB,
    pod("bare", DISTROLESS),
    pod("kept", app="kept"),
    {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "front"},
        "spec": {
            "selector": {"matchLabels": {"app": "front"}},
            "template": {"metadata": {"labels": {"app": "front"}}, "spec": pod("front")["spec"]},
        },
    },
    pod("cart", args=SERVES),
    pod("shut", args=SERVES),
    service("cart", "cart", 8080),
    service("lone", "cart", 8080),
    service("deaf", "cart", 9999),
    service("shut", "shut", 8080),
    policy("nobody", "shut", policyTypes=["Ingress"]),
    policy("names-only", "kept", policyTypes=["Egress"], egress=[{"ports": [{"port": 53, "protocol": "UDP"}]}]),
]


@pytest.fixture(scope="module")
def shops(cluster: Cluster) -> Iterator[Cluster]:
    try:
        for namespace, documents in ((HERE, OF_HERE), (THERE, [pod("web")])):
            cluster.kubectl("create", "namespace", namespace)
            cluster.kubectl("-n", namespace, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
            items = {"kind": "List", "apiVersion": "v1", "items": documents}
            cluster.kubectl("-n", namespace, "apply", "-f", "-", input=json.dumps(items))
        for namespace in (HERE, THERE):
            cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pods", "--all", "--timeout=90s")
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", HERE, THERE, "--ignore-not-found", "--timeout=120s")


def met(cluster: Cluster, name: str, client: str, status: str) -> Document:
    """What is said of one Service from there, as soon as its status is this: new ones have half a minute to settle."""
    ends = time.monotonic() + SECONDS
    while True:
        done = cluster.svcdoctor("diagnose", name, "-n", HERE, "--from", client, "-o", "json")
        assert done.returncode in (0, 1, 4), done.stderr
        said: Document = json.loads(done.stdout)["services"][0]
        if said["status"] == status:
            return said
        if time.monotonic() > ends:
            text = cluster.svcdoctor("diagnose", name, "-n", HERE, "--from", client).stdout
            pytest.fail(f"not {status} within {SECONDS:.0f} s\n{text}", pytrace=False)
        time.sleep(3)


def step(said: Document, name: str) -> Document:
    found: Document = next(one for one in said["steps"] if one["step"] == name)
    return found


@pytest.mark.parametrize("client", ["web", "deploy/front", "sa/robot", f"{THERE}/web"])
def test_a_healthy_service_is_reached(shops: Cluster, client: str) -> None:
    said = met(shops, "cart", client, "pass")
    connect = step(said, "connect")
    assert connect["status"] == "pass"
    assert " connects to " in connect["message"] and connect["message"].endswith("1 of 1 endpoint")
    assert said["headline"] == connect["message"]


def test_a_port_that_nobody_listens_on_is_refused(shops: Cluster) -> None:
    said = met(shops, "deaf", "web", "fail")
    assert said["cause"] == "port-target-unlistened"
    assert "cannot connect to" in step(said, "connect")["message"] and "refused" in step(said, "connect")["message"]


def test_a_policy_that_lets_nobody_in_is_named(shops: Cluster) -> None:
    said = met(shops, "shut", "web", "fail")
    assert said["cause"] == "netpol-default-deny-ingress"
    assert "NetworkPolicy nobody does not let it in" in step(said, "connect")["message"]
    cause = said["findings"][0]
    assert cause["certainty"] == "observed" and any("timed out" in item["value"] for item in cause["evidence"])


def test_a_policy_of_the_client_is_named(shops: Cluster) -> None:
    said = met(shops, "cart", "kept", "fail")
    assert said["cause"] == "netpol-egress-deny"
    assert "NetworkPolicy names-only does not let it out" in step(said, "connect")["message"]


def test_a_port_that_the_service_has_not_is_the_clients_fault(shops: Cluster) -> None:
    said = met(shops, "lone", "lost", "fail")
    assert said["cause"] == "port-client-uses-wrong-port"
    assert step(said, "connect")["status"] == "pass"


def test_a_client_without_a_shell_is_not_asked(shops: Cluster) -> None:
    said = step(met(shops, "cart", "bare", "pass"), "connect")
    assert said["status"] == "skip"
    assert said["message"].startswith(
        f"{HERE}/bare cannot connect: the container has no shell; port 8080 on the loopback"
    )


def test_a_client_in_which_everything_hangs_shows_nothing(shops: Cluster) -> None:
    said = met(shops, "cart", "hung", "unknown")
    assert step(said, "connect")["status"] == step(said, "dns")["status"] == "unknown"
    assert not [finding for finding in said["findings"] if finding["status"] in ("fail", "warn")]


def test_a_client_that_is_its_only_endpoint_speaks_of_itself_alone(shops: Cluster) -> None:
    said = step(met(shops, "cart", "cart", "pass"), "connect")
    assert said["message"].startswith(f"{HERE}/cart connects to itself through ")


# --- a node that some Pods do not reach ------------------------------------------------------------------------------


def placed(name: str, node: str, **of: Any) -> Document:
    document = pod(name, **of)
    document["spec"]["nodeName"] = node
    return document


def test_a_client_does_not_reach_what_stands_on_one_node(cluster: Cluster) -> None:
    """A rule on that node drops what comes from the client: what kube-proxy leads to the other one gets through."""
    namespace, nodes = "conn-cut", [f"{cluster.name}-worker", f"{cluster.name}-worker2"]
    on = [nodes[0], nodes[1], nodes[1]]  # one alone might be deaf itself
    serving = [placed(f"cart-{number}", node, args=SERVES, app="cart") for number, node in enumerate(on)]
    documents = [placed("web", nodes[0]), *serving, service("cart", "cart", 8080)]
    rule: list[str] = []

    def on_the_node(verb: str) -> None:
        subprocess.run(
            ["docker", "exec", nodes[1], "iptables", verb, *rule], check=True, capture_output=True, timeout=60
        )

    def said() -> Document:
        done = cluster.svcdoctor("diagnose", "cart", "-n", namespace, "--from", "web", "-o", "json")
        found: Document = json.loads(done.stdout)["services"][0]
        return found

    def until(holds: Callable[[Document], bool]) -> Document:
        ends = time.monotonic() + SECONDS
        while not holds(found := said()):
            assert time.monotonic() < ends, found
            time.sleep(3)
        return found

    try:
        cluster.kubectl("create", "namespace", namespace)
        cluster.kubectl("-n", namespace, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        items = {"kind": "List", "apiVersion": "v1", "items": documents}
        cluster.kubectl("-n", namespace, "apply", "-f", "-", input=json.dumps(items))
        cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pods", "--all", "--timeout=90s")
        until(lambda found: found["status"] == "pass")
        client = cluster.kubectl("-n", namespace, "get", "pod", "web", "-o", "jsonpath={.status.podIP}")
        rule += ["FORWARD", "-s", client, "-p", "tcp", "--dport", "8080", "-j", "DROP"]
        on_the_node("-I")
        try:
            cut = until(lambda found: found["cause"] == "dp-partial-partition")
        finally:
            on_the_node("-D")
        assert f"node {nodes[1]}" in cut["headline"]
        until(lambda found: found["status"] == "pass")
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--timeout=120s")
