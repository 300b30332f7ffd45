"""What `diagnose NAME` asks the server for: what that Service needs, however many others there are."""

from __future__ import annotations

import copy
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from fake_apiserver import reply
from simulate import simulate
from simulated_apiserver import SimulatedApiServer
from svcdoctor.cluster.collect import Collected, Options, collect
from svcdoctor.cluster.kube import Cluster, ConnectOptions
from svcdoctor.diagnosis import Scope
from svcdoctor.objects import RESOURCES
from test_cli import app

Manifests = list[dict[str, Any]]
SERVED = ("servicecidrs", "apiservices")  # of the optional kinds, those that every cluster has
OWN = ("services", "endpointslices", "pods", "deployments", "cronjobs", "events", "networkpolicies", "ingresses")
COREFILE = "/api/v1/namespaces/kube-system/configmaps"
DNS = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices"
NODE_AGENTS = "/apis/apps/v1/namespaces/kube-system/daemonsets"


def own(*more: str) -> set[str]:
    return {RESOURCES[kind].path("shop") for kind in OWN} | {"/apis", "/api/v1/namespaces"} | set(more)


def discovery() -> bytes:
    groups: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for resource in RESOURCES.values():
        if resource.group and (not resource.optional or resource.name in SERVED):
            groups[resource.group, resource.version].append({"resource": resource.name})
    items = [
        {"metadata": {"name": group}, "versions": [{"version": version, "resources": resources}]}
        for (group, version), resources in groups.items()
    ]
    return reply({"kind": "APIGroupDiscoveryList", "items": items})


def policy(*rules: dict[str, Any]) -> dict[str, Any]:
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": list(rules)}
    return {"kind": "NetworkPolicy", "metadata": {"name": "guard", "namespace": "shop"}, "spec": spec}


def changed(**spec: Any) -> Manifests:
    deployment, service = copy.deepcopy(app("web", "shop"))
    service["spec"] |= spec
    return [deployment, service]


def port(**said: Any) -> Manifests:
    return changed(ports=[{"name": "http", "port": 80, **said}])


def diagnosed(manifests: Manifests, observed: Manifests, tmp_path: Path) -> tuple[Collected, list[str]]:
    """Among fifty other Services, of its own namespace and of others."""
    others = [item for number in range(50) for item in app(f"app-{number}", ("shop", "store", "bank")[number % 3])]
    with SimulatedApiServer(simulate([*manifests, *others], observed)) as server:
        server.on("/apis", discovery())
        cluster = Cluster.connect(ConnectOptions(kubeconfig=str(server.kubeconfig(tmp_path, namespace="shop"))))
        collected = collect(cluster, Scope("shop", ("web",)), Options(probe=False))
        return collected, [request.path for request in server.received]


def not_ready() -> Manifests:
    unready = {"conditions": [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "False"}]}
    waiting = {"name": "web", "ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    pods = [pod.metadata.name for pod in simulate(app("web", "shop")).held("pods", "shop")]
    return [
        {
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop"},
            "status": {**unready, "containerStatuses": [waiting]},
        }
        for name in pods
    ]


# What is wrong, what is found, and what is asked for besides what every Service needs.
FAULTS: dict[str, tuple[Manifests, Manifests, str, set[str]]] = {
    "wrong selector": (
        changed(selector={"app": "wbe"}),
        [],
        "selector-value-mismatch",
        {"/apis/apps/v1/namespaces/shop/statefulsets"},
    ),
    "port that nobody listens on": (port(targetPort=8081), [], "port-target-unlistened", set()),
    "name of a port that no Pod has": (port(targetPort="htp"), [], "slice-ports-empty", set()),
    "policy that lets nobody in": (
        [*app("web", "shop"), policy()],
        [],
        "netpol-default-deny-ingress",
        {"/apis/apps/v1/daemonsets"},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_common_fault_takes_twelve_requests_at_most(fault: str, tmp_path: Path) -> None:
    manifests, observed, cause, more = FAULTS[fault]
    collected, asked = diagnosed(manifests, observed, tmp_path)
    assert collected.diagnosis.services[0].cause == cause
    # The Corefile may be read for a rule about the name, where nothing was found before that step.
    assert set(asked) - {COREFILE} == own(*more)
    assert len(asked) == len(set(asked)) <= 12


def test_a_service_that_is_well_has_the_parts_asked_about_that_all_share(tmp_path: Path) -> None:
    collected, asked = diagnosed(app("web", "shop"), [], tmp_path)
    assert collected.diagnosis.services[0].status == "pass"
    assert sorted(asked) == sorted(own(COREFILE, DNS, NODE_AGENTS))


def test_pods_that_are_not_ready_are_looked_up_with_their_nodes_and_what_changed(tmp_path: Path) -> None:
    collected, asked = diagnosed(app("web", "shop"), not_ready(), tmp_path)
    assert collected.diagnosis.services[0].status == "fail"
    assert sorted(asked) == sorted(own("/api/v1/nodes", "/apis/apps/v1/namespaces/shop/replicasets"))
    assert len(asked) == 12


def test_an_ingress_controller_is_looked_for_where_its_service_stands(tmp_path: Path) -> None:
    """Whether a policy lets it in: where it does, the Pods of all namespaces are nobody's business."""
    nginx = app("ingress-nginx-controller", "ingress-nginx")
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    ingress = {
        "kind": "Ingress",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"ingressClassName": "nginx", "rules": [{"http": {"paths": [path]}}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}},
    }
    of_class = {
        "kind": "IngressClass",
        "metadata": {"name": "nginx"},
        "spec": {"controller": "k8s.io/ingress-nginx"},
    }
    admitted = policy({"from": [{"namespaceSelector": {}}]})
    _, asked = diagnosed([*app("web", "shop"), admitted, ingress, of_class, *nginx], [], tmp_path)
    assert "/api/v1/namespaces/ingress-nginx/pods" in asked
    assert "/api/v1/pods" not in asked


def test_the_bill_does_not_grow_with_the_cluster(tmp_path: Path) -> None:
    """A policy that admits everybody in the cluster needs nobody looked for who might be kept out."""
    _, asked = diagnosed([*app("web", "shop"), policy({"from": [{"namespaceSelector": {}}]})], [], tmp_path)
    assert "/api/v1/pods" not in asked
    assert "/api/v1/services" not in asked
    assert len(asked) <= 13
