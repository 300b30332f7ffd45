"""Connections without --from on a real cluster: who is chosen, and that only what is the Service's fault counts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cluster import Cluster
from test_connections_live import DISTROLESS, SERVES, pod, policy, service, step

HERE = "cli-chosen"
SECONDS = 240.0  # what refuses may be starting for 180 of them
CALLER = pod("web")
CALLER["spec"]["containers"][0]["env"] = [{"name": "CART_URL", "value": "http://cart"}]
DOCUMENTS = [
    pod("aside"),
    CALLER,
    pod("cart", args=SERVES),
    service("cart", "cart", 8080),
    pod("deaf", DISTROLESS, args=SERVES),
    service("deaf", "deaf", 9999),
    pod("closed", args=SERVES),
    service("closed", "closed", 8080),
    policy("invited", "closed", ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "guest"}}}]}]),
]


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Cluster]:
    try:
        cluster.kubectl("create", "namespace", HERE)
        cluster.kubectl("-n", HERE, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        items = {"kind": "List", "apiVersion": "v1", "items": DOCUMENTS}
        cluster.kubectl("-n", HERE, "apply", "-f", "-", input=json.dumps(items))
        cluster.kubectl("-n", HERE, "wait", "--for=condition=Ready", "pods", "--all", "--timeout=90s")
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", HERE, "--ignore-not-found", "--timeout=120s")


def judged(cluster: Cluster, name: str, status: str) -> dict[str, Any]:
    """What is said of one Service, as soon as its status is this: new ones have half a minute to settle."""
    ends = time.monotonic() + SECONDS
    while True:
        done = cluster.svcdoctor("diagnose", name, "-n", HERE, "-o", "json")
        said: dict[str, Any] = json.loads(done.stdout)["services"][0]
        if said["status"] == status:
            return said
        if time.monotonic() > ends:
            text = cluster.svcdoctor("diagnose", name, "-n", HERE).stdout
            pytest.fail(f"not {status} within {SECONDS:.0f} s\n{text}", pytrace=False)
        time.sleep(3)


def test_a_caller_is_chosen_and_named(shop: Cluster) -> None:
    said = judged(shop, "cart", "pass")
    assert step(said, "connect")["message"].startswith(f"{HERE}/web connects to ")


def test_pods_into_which_nobody_can_look_refuse_the_client(shop: Cluster) -> None:
    said = judged(shop, "deaf", "fail")
    assert said["cause"] == "port-target-unlistened"
    assert f"{HERE}/" in said["headline"] and "refused" in said["headline"]


def test_who_is_kept_out_by_design_makes_no_service_fail(shop: Cluster) -> None:
    said = judged(shop, "closed", "pass")
    assert "connects to" not in step(said, "connect")["message"]
