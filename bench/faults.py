"""Twenty-four more ways in which a made-up Service is broken, each a change to its own documents.

With the six of world.py they are thirty: of selectors, ports, slices, Pods, workloads, policies, entries and callers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


@dataclass
class Group:
    """A Service and all that belongs to it."""

    service: Document
    slices: list[Document]
    deployment: Document
    replicaset: Document
    pods: list[Document]
    others: list[tuple[str, Document]] = field(default_factory=list)  # each with its kind's plural name

    @property
    def name(self) -> str:
        return str(self.service["metadata"]["name"])

    @property
    def containers(self) -> list[Document]:
        """The one of each Pod and of both workloads, as they are made of one template."""
        templates = [workload["spec"]["template"] for workload in (self.deployment, self.replicaset)]
        return [item["spec"]["containers"][0] for item in (*templates, *self.pods)]

    def of_workloads(self) -> list[Document]:
        return [self.deployment, self.replicaset]

    def add(self, resource: str, name: str, **parts: Any) -> None:
        metadata = self.service["metadata"]
        own = {"name": name, "namespace": metadata["namespace"], "uid": f"{metadata['uid']}-{resource}"}
        own |= {"creationTimestamp": metadata["creationTimestamp"], "resourceVersion": "1"}
        self.others.append((resource, {"metadata": own, **parts}))


def _unready(group: Group, state: Document, *, phase: str = "Running", reason: str = "ContainersNotReady") -> None:
    for pod in group.pods:
        pod["status"]["phase"] = phase
        for condition in pod["status"]["conditions"]:
            if condition["type"] in ("Ready", "ContainersReady"):
                condition |= {"status": "False", "reason": reason, "message": "containers not ready: [app]"}
        for status in pod["status"].get("containerStatuses", ()):
            status |= {"ready": False, "state": state}
    for endpointslice in group.slices:
        for endpoint in endpointslice["endpoints"]:
            endpoint["conditions"] = {"ready": False, "serving": False, "terminating": False}
    for workload in group.of_workloads():
        workload["status"] |= {"readyReplicas": 0, "availableReplicas": 0}


def _waiting(reason: str, message: str) -> Document:
    return {"waiting": {"reason": reason, "message": message}}


def _selector_key(group: Group) -> None:
    group.service["spec"]["selector"] |= {"tier": "backend"}
    group.slices[0] |= {"endpoints": [], "ports": []}


def _no_selector(group: Group) -> None:
    del group.service["spec"]["selector"]
    group.slices.clear()


def _target_number(group: Group) -> None:
    group.service["spec"]["ports"][0]["targetPort"] = 8181
    group.slices[0]["ports"][0]["port"] = 8181


def _target_letters(group: Group) -> None:
    group.service["spec"]["ports"][0]["targetPort"] = "HTTP"
    del group.slices[0]["ports"][0]


def _protocol(group: Group) -> None:
    for port in (group.service["spec"]["ports"][0], group.slices[0]["ports"][0]):
        port["protocol"] = "UDP"


def _stale_address(group: Group) -> None:
    group.slices[0]["endpoints"][0]["addresses"] = ["10.63.0.9"]


def _no_slice(group: Group) -> None:
    group.slices.clear()


def _unschedulable(group: Group) -> None:
    for pod in group.pods:
        pod["spec"].pop("nodeName")
        said = {"status": "False", "reason": "Unschedulable", "message": "0/100 nodes are available: Insufficient cpu."}
        pod["status"] = {"phase": "Pending", "qosClass": "Burstable", "conditions": [{"type": "PodScheduled", **said}]}
    _unready(group, {}, phase="Pending")
    group.slices[0]["endpoints"] = []


def _no_config(group: Group) -> None:
    message = f'configmap "{group.name}-settings" not found'
    _unready(group, _waiting("CreateContainerConfigError", message), phase="Pending")


def _out_of_memory(group: Group) -> None:
    _unready(group, _waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container=app"))
    for pod in group.pods:
        ended = {"reason": "OOMKilled", "exitCode": 137, "startedAt": "2026-11-01T08:00:00Z"}
        pod["status"]["containerStatuses"][0] |= {"restartCount": 60, "lastState": {"terminated": ended}}


def _init_fails(group: Group) -> None:
    _unready(group, _waiting("PodInitializing", ""), phase="Pending")
    for pod in group.pods:
        pod["spec"]["initContainers"] = [{"name": "migrate", "image": "registry.example.com/migrate:1"}]
        state = _waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container=migrate")
        status = {"name": "migrate", "ready": False, "restartCount": 30, "state": state, "lastState": {}}
        pod["status"]["initContainerStatuses"] = [status]


def _one_restarts(group: Group) -> None:
    status = group.pods[0]["status"]["containerStatuses"][0]
    ended = {"reason": "Error", "exitCode": 137, "finishedAt": "2026-11-01T08:00:00Z"}
    status |= {"restartCount": 900, "lastState": {"terminated": ended}}


def _quota(group: Group) -> None:
    message = f'pods "{group.name}" is forbidden: exceeded quota: compute'
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    for workload in group.of_workloads():
        workload["status"] |= {"replicas": 0, "readyReplicas": 0, "availableReplicas": 0, "conditions": [failure]}
    group.pods.clear()
    group.slices[0]["endpoints"] = []


def _never_ends(group: Group) -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "has timed out"}
    group.deployment["status"]["conditions"].append(late)
    group.deployment["status"]["updatedReplicas"] = 1


def _deleted_long_ago(group: Group) -> None:
    group.pods[0]["metadata"] |= {"deletionTimestamp": "2026-11-01T08:00:00Z", "deletionGracePeriodSeconds": 30}
    group.slices[0]["endpoints"][0]["conditions"] = {"ready": False, "serving": True, "terminating": True}


def _policy(group: Group, *ingress: Document) -> None:
    selected = {"matchLabels": group.pods[0]["metadata"]["labels"]}
    spec = {"podSelector": selected, "policyTypes": ["Ingress"], "ingress": list(ingress)}
    group.others = [item for item in group.others if item[0] != "networkpolicies"]
    group.add("networkpolicies", f"{group.name}-lockdown", spec=spec)


def _policy_denies(group: Group) -> None:
    _policy(group)


def _policy_port(group: Group) -> None:
    _policy(group, {"ports": [{"port": 80, "protocol": "TCP"}]})


def _policy_label(group: Group) -> None:
    _policy(group, {"from": [{"podSelector": {"matchLabels": {"role": "nobody"}}}]})


def _ingress(group: Group, name: str, port: Document) -> None:
    backend = {"service": {"name": name, "port": port}}
    rule = {"host": f"{group.name}.example.com"}
    rule["http"] = {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}
    group.add("ingresses", group.name, spec={"ingressClassName": "nginx", "rules": [rule]})


def _ingress_port(group: Group) -> None:
    _ingress(group, group.name, {"number": 8080})


def _ingress_service(group: Group) -> None:
    _ingress(group, f"{group.name}-web", {"number": 80})


def _calls(group: Group, host: str) -> None:
    for container in group.containers:
        container["env"][1] = {"name": "UPSTREAM_URL", "value": f"http://{host}"}


def _calls_nobody(group: Group) -> None:
    namespace = group.service["metadata"]["namespace"]
    _calls(group, f"{group.name}-db.{namespace}.svc.cluster.local:5432")


def _calls_wrong_port(group: Group) -> None:
    _calls(group, f"{group.name}.{group.service['metadata']['namespace']}.svc.cluster.local:8443")


def _load_balancer(group: Group) -> None:
    group.service["spec"] |= {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster"}
    for number, port in enumerate(group.service["spec"]["ports"]):
        port["nodePort"] = 30000 + number


def _published_unready(group: Group) -> None:
    _unready(group, {"running": {"startedAt": "2026-11-01T08:00:00Z"}})
    group.service["spec"]["publishNotReadyAddresses"] = True
    for endpoint in group.slices[0]["endpoints"]:
        endpoint["conditions"]["ready"] = True


BREAK: dict[str, Callable[[Group], None]] = {
    "selector-key": _selector_key,
    "no-selector": _no_selector,
    "target-number": _target_number,
    "target-letters": _target_letters,
    "protocol": _protocol,
    "stale-address": _stale_address,
    "no-slice": _no_slice,
    "unschedulable": _unschedulable,
    "no-config": _no_config,
    "out-of-memory": _out_of_memory,
    "init-fails": _init_fails,
    "one-restarts": _one_restarts,
    "quota": _quota,
    "never-ends": _never_ends,
    "deleted-long-ago": _deleted_long_ago,
    "policy-denies": _policy_denies,
    "policy-port": _policy_port,
    "policy-label": _policy_label,
    "ingress-port": _ingress_port,
    "ingress-service": _ingress_service,
    "calls-nobody": _calls_nobody,
    "calls-wrong-port": _calls_wrong_port,
    "load-balancer": _load_balancer,
    "published-unready": _published_unready,
}
