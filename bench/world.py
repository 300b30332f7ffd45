"""A made-up cluster of N Services of five Pods each, as documents that look like an API server's.

Deterministic: the same N gives the same bytes. One Service in fifty is broken, in one of thirty ways in turn. Pods
carry what makes real ones large: managedFields of two managers, probes, env, volumes, conditions. Every namespace has
a policy that admits the Pods of all namespaces, every tenth Service an Ingress.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from faults import BREAK, Group

PODS = 5
NODES = 100
DOMAIN = "svc.cluster.local"
Document = dict[str, Any]
CREATED = "2026-10-01T08:00:00Z"
CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
FAULTS = ("selector", "not-ready", "target-port", "crash", "scaled-to-0", "image", *BREAK)


def place(count: int, number: int) -> tuple[str, str]:
    """Namespace and name of a Service."""
    return f"team-{number % max(count // 50, 4):03}", f"svc-{number:05}"


def fault(number: int) -> str:
    return FAULTS[number // 50 % len(FAULTS)] if number % 50 == 7 else ""


def _hash(*words: object) -> str:
    return hashlib.md5("/".join(map(str, words)).encode()).hexdigest()


def uid(*words: object) -> str:
    digest = _hash(*words)
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))


def _fields(*names: str) -> Document:
    return {f"f:{name}": {} for name in names}


def _managed(manager: str, fields: Document) -> Document:
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": CREATED,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }


def labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": name}


def replicaset_name(name: str) -> str:
    return f"{name}-{_hash(name)[:10]}"


def pod_name(name: str, slot: int, generation: int = 0) -> str:
    return f"{replicaset_name(name)}-{_hash(name, slot, generation)[:5]}"


def node_name(number: int) -> str:
    return f"ip-10-200-0-{number % NODES}.eu-west-1.compute.internal"


def pod_address(number: int, slot: int, generation: int = 0) -> str:
    """Those of later generations are in a range of their own."""
    serial = number * PODS + slot
    if generation:
        serial = (serial + generation * 100_003 & 0x3FFFFF) + 0x400000
    return f"10.{64 + (serial >> 16)}.{serial >> 8 & 255}.{serial & 255}"


def _owner(kind: str, namespace: str, name: str) -> list[Document]:
    return [
        {
            "apiVersion": "apps/v1",
            "kind": kind,
            "name": name,
            "uid": uid(namespace, kind, name),
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def _container(count: int, number: int) -> Document:
    _, name = place(count, number)
    other_namespace, other = place(count, (number * 7 + 1) % count)
    probe = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    return {
        "name": "app",
        "image": f"registry.example.com/team/{name}:2026.11.{number % 28 + 1}-{_hash(name)[:8]}",
        "ports": [
            {"name": "http", "containerPort": 8080, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
        ],
        "env": [
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "UPSTREAM_URL", "value": f"http://{other}.{other_namespace}.{DOMAIN}:80"},
            {"name": "FEATURE_FLAGS", "value": "checkout_v2,new_cart,dark_mode"},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
            {"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": f"{name}-secrets", "key": "api-key"}}},
        ],
        "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "volumeMounts": [
            {"name": "config", "readOnly": True, "mountPath": "/etc/app"},
            {"name": "tmp", "mountPath": "/tmp"},
            {
                "name": "kube-api-access",
                "readOnly": True,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            },
        ],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, **probe},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}, **probe},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "readOnlyRootFilesystem": True},
    }


def _managed_pod() -> list[Document]:
    probe = {".": {}, **_fields("failureThreshold", "periodSeconds", "successThreshold", "timeoutSeconds")}
    container = {
        ".": {},
        **_fields("image", "imagePullPolicy", "name", "terminationMessagePath", "terminationMessagePolicy"),
        "f:env": {
            ".": {},
            **{
                f'k:{{"name":"{name}"}}': {".": {}, **_fields("name", "value")}
                for name in ("LOG_LEVEL", "UPSTREAM_URL", "FEATURE_FLAGS", "POD_IP", "API_KEY")
            },
        },
        "f:ports": {
            f'k:{{"containerPort":{port},"protocol":"TCP"}}': {".": {}, **_fields("containerPort", "name", "protocol")}
            for port in (8080, 9090)
        },
        "f:livenessProbe": {**probe, "f:httpGet": {".": {}, **_fields("path", "port", "scheme")}},
        "f:readinessProbe": {**probe, "f:httpGet": {".": {}, **_fields("path", "port", "scheme")}},
        "f:resources": {".": {}, "f:limits": _fields("cpu", "memory"), "f:requests": _fields("cpu", "memory")},
        "f:volumeMounts": {
            f'k:{{"mountPath":"{path}"}}': {".": {}, **_fields("mountPath", "name", "readOnly")}
            for path in ("/etc/app", "/tmp")
        },
    }
    spec = _fields("dnsPolicy", "enableServiceLinks", "restartPolicy", "schedulerName", "serviceAccountName")
    conditions = {
        f'k:{{"type":"{type}"}}': {".": {}, **_fields("lastProbeTime", "lastTransitionTime", "status", "type")}
        for type in CONDITIONS
    }
    status = _fields("containerStatuses", "hostIP", "hostIPs", "phase", "podIP", "podIPs", "startTime")
    return [
        _managed(
            "kube-controller-manager",
            {
                "f:metadata": {
                    "f:generateName": {},
                    "f:labels": {".": {}, **_fields("app.kubernetes.io/name", "pod-template-hash")},
                },
                "f:spec": {"f:containers": {'k:{"name":"app"}': container}, **spec},
            },
        ),
        _managed("kubelet", {"f:status": {"f:conditions": conditions, **status}}),
    ]


MANAGED_POD = _managed_pod()


def pod(
    count: int,
    number: int,
    slot: int,
    *,
    generation: int = 0,
    version: int = 1,
    phase: str = "Running",
    ready: bool = True,
    scheduled: bool = True,
    deleted: bool = False,
) -> Document:
    namespace, name = place(count, number)
    replicaset = replicaset_name(name)
    own = pod_name(name, slot, generation)
    wrong = fault(number)
    ready = ready and wrong not in ("not-ready", "crash", "image")
    address = pod_address(number, slot, generation) if phase == "Running" else ""
    host = f"10.200.0.{(number + slot) % NODES}"
    container = _container(count, number)
    since = CREATED if generation == 0 else _now()
    state: Document = {"running": {"startedAt": since}}
    if wrong == "crash":
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container=app"}}
    elif wrong == "image":
        state = {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{container["image"]}"'}}
        phase = "Pending"
    elif phase != "Running":
        state = {"waiting": {"reason": "ContainerCreating"}}
    true = {
        "Initialized": scheduled,
        "PodReadyToStartContainers": phase == "Running",
        "PodScheduled": scheduled,
        "Ready": ready and phase == "Running",
        "ContainersReady": ready and phase == "Running",
    }
    metadata: Document = {
        "name": own,
        "generateName": f"{replicaset}-",
        "namespace": namespace,
        "uid": uid(namespace, own),
        "resourceVersion": str(version),
        "creationTimestamp": since,
        "labels": {**labels(name), "app.kubernetes.io/version": "2026.11", "pod-template-hash": replicaset[-10:]},
        "annotations": {
            "kubectl.kubernetes.io/default-container": "app",
            "prometheus.io/port": "9090",
            "prometheus.io/scrape": "true",
            "checksum/config": _hash(name) * 2,
        },
        "ownerReferences": _owner("ReplicaSet", namespace, replicaset),
        "managedFields": MANAGED_POD,
    }
    if deleted:
        metadata |= {"deletionTimestamp": _now(30), "deletionGracePeriodSeconds": 30}
    status: Document = {
        "phase": phase,
        "conditions": [
            {
                "type": type,
                "status": str(true[type]),
                "lastProbeTime": None,
                "lastTransitionTime": since,
                **({} if true[type] else {"reason": "ContainersNotReady", "message": "containers not ready: [app]"}),
            }
            for type in CONDITIONS
        ],
        "startTime": since,
        "qosClass": "Burstable",
    }
    if scheduled:
        status |= {
            "hostIP": host,
            "hostIPs": [{"ip": host}],
            "containerStatuses": [
                {
                    "name": "app",
                    "state": state,
                    "lastState": {},
                    "ready": true["Ready"],
                    "started": phase == "Running",
                    "restartCount": 40 if wrong == "crash" else number % 3,
                    "image": container["image"],
                    "imageID": f"{container['image']}@sha256:{_hash(name) * 2}",
                    "containerID": f"containerd://{_hash(own) * 2}",
                }
            ],
        }
    if address:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    return {
        "metadata": metadata,
        "spec": {
            "volumes": [
                {"name": "config", "configMap": {"name": f"{name}-config", "defaultMode": 420}},
                {"name": "tmp", "emptyDir": {}},
                {
                    "name": "kube-api-access",
                    "projected": {
                        "sources": [
                            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                        ],
                        "defaultMode": 420,
                    },
                },
            ],
            "containers": [container],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": name,
            **({"nodeName": node_name(number + slot)} if scheduled else {}),
            "securityContext": {"runAsUser": 10001, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "schedulerName": "default-scheduler",
            "tolerations": [
                {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute"}
                for key in ("not-ready", "unreachable")
            ],
            "enableServiceLinks": True,
        },
        "status": status,
    }


def _now(seconds: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def service(count: int, number: int, *, version: int = 1, broken: bool = False) -> Document:
    namespace, name = place(count, number)
    address = f"10.96.{number >> 8 & 255}.{number & 255}"
    selector = labels(f"{name}x" if broken or fault(number) == "selector" else name)
    target: int | str = "htpp" if fault(number) == "target-port" else "http"
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid(namespace, name, "service"),
            "resourceVersion": str(version),
            "creationTimestamp": CREATED,
            "labels": {**labels(name), "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": f"{name}-1.4.2"},
            "annotations": {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace},
            "managedFields": [_managed("helm", {"f:spec": _fields("ports", "selector", "sessionAffinity", "type")})],
        },
        "spec": {
            "ports": [
                {"name": "http", "protocol": "TCP", "port": 80, "targetPort": target},
                {"name": "metrics", "protocol": "TCP", "port": 9090, "targetPort": 9090},
            ],
            "selector": selector,
            "clusterIP": address,
            "clusterIPs": [address],
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
        },
        "status": {"loadBalancer": {}},
    }


def replicas(number: int) -> int:
    return 0 if fault(number) == "scaled-to-0" else PODS


def endpointslice(
    count: int, number: int, generations: list[tuple[int, int, bool]] | None = None, *, version: int = 1
) -> Document:
    """`generations` are the Pods in it: slot, generation and whether each is ready."""
    namespace, name = place(count, number)
    wrong = fault(number)
    if generations is None:
        listed = 0 if wrong in ("selector", "image") else replicas(number)
        generations = [(slot, 0, wrong not in ("not-ready", "crash")) for slot in range(listed)]
    ports = [{"name": "http", "protocol": "TCP", "port": 8080}, {"name": "metrics", "protocol": "TCP", "port": 9090}]
    return {
        "metadata": {
            "name": f"{name}-{_hash(name)[:5]}",
            "generateName": f"{name}-",
            "namespace": namespace,
            "uid": uid(namespace, name, "slice"),
            "resourceVersion": str(version),
            "generation": version,
            "creationTimestamp": CREATED,
            "labels": {
                **labels(name),
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": name,
            },
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": CREATED},
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "name": name,
                    "uid": uid(namespace, name, "service"),
                    "controller": True,
                }
            ],
            "managedFields": [_managed("kube-controller-manager", _fields("addressType", "endpoints", "ports"))],
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [pod_address(number, slot, generation)],
                "conditions": {"ready": ready, "serving": ready, "terminating": False},
                "targetRef": {
                    "kind": "Pod",
                    "namespace": namespace,
                    "name": pod_name(name, slot, generation),
                    "uid": uid(namespace, pod_name(name, slot, generation)),
                },
                "nodeName": node_name(number + slot),
                "zone": "eu-west-1a",
            }
            for slot, generation, ready in generations
        ],
        "ports": [] if wrong == "target-port" else ports,
    }


def workload(count: int, number: int, kind: str) -> Document:
    """The Deployment or the ReplicaSet of a Service's Pods."""
    namespace, name = place(count, number)
    own = name if kind == "Deployment" else replicaset_name(name)
    wanted = replicas(number)
    ready = 0 if fault(number) in ("not-ready", "crash", "image") else wanted
    metadata: Document = {
        "name": own,
        "namespace": namespace,
        "uid": uid(namespace, kind, own),
        "resourceVersion": "1",
        "generation": 3,
        "creationTimestamp": CREATED,
        "labels": labels(name),
        "annotations": {"deployment.kubernetes.io/revision": "3"},
        "managedFields": [MANAGED_POD[0]],
    }
    if kind == "ReplicaSet":
        metadata["ownerReferences"] = _owner("Deployment", namespace, name)
    return {
        "metadata": metadata,
        "spec": {
            "replicas": wanted,
            "selector": {"matchLabels": labels(name)},
            "template": {
                "metadata": {"labels": labels(name)},
                "spec": {
                    "containers": [_container(count, number)],
                    "volumes": [{"name": "config", "configMap": {"name": f"{name}-config", "defaultMode": 420}}],
                    "dnsPolicy": "ClusterFirst",
                },
            },
        },
        "status": {
            "observedGeneration": 3,
            "replicas": wanted,
            "updatedReplicas": wanted,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": [{"type": "Available", "status": str(ready == wanted), "lastTransitionTime": CREATED}],
        },
    }


def node(number: int) -> Document:
    types = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    return {
        "metadata": {
            "name": node_name(number),
            "uid": uid("node", number),
            "resourceVersion": "1",
            "creationTimestamp": CREATED,
            "labels": {"kubernetes.io/hostname": node_name(number), "kubernetes.io/os": "linux"},
            "managedFields": [MANAGED_POD[1]],
        },
        "spec": {"podCIDR": f"10.64.{number}.0/24", "podCIDRs": [f"10.64.{number}.0/24"]},
        "status": {
            "conditions": [
                {"type": type, "status": str(type == "Ready"), "lastTransitionTime": CREATED} for type in types
            ],
            "addresses": [{"type": "InternalIP", "address": f"10.200.0.{number}"}],
            "images": [{"names": [f"registry.example.com/{_hash(n)}:1"], "sizeBytes": 1 << 27} for n in range(20)],
        },
    }


def _simple(namespace: str, name: str, **rest: object) -> Document:
    metadata = {"name": name, "uid": uid(namespace, name, *rest), "resourceVersion": "1", "creationTimestamp": CREATED}
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata, **rest}


def event(count: int, number: int) -> Document:
    namespace, name = place(count, number)
    involved = {"kind": "Pod", "namespace": namespace, "name": pod_name(name, 0)}
    said = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    moment = _now(-60)
    return _simple(
        namespace,
        f"{pod_name(name, 0)}.17",
        involvedObject=involved,
        type="Warning",
        reason="Unhealthy",
        message=said,
        count=12,
        firstTimestamp=moment,
        lastTimestamp=moment,
    )


def group(count: int, number: int) -> Group:
    """A Service with all that belongs to it, broken where it is one of those that are."""
    found = Group(
        service(count, number),
        [endpointslice(count, number)],
        workload(count, number, "Deployment"),
        workload(count, number, "ReplicaSet"),
        [pod(count, number, slot) for slot in range(replicas(number))],
        [("configmaps", configmap(count, number))],
    )
    if number % 10 == 0:
        found.others.append(("ingresses", ingress(count, number)))
    wrong = fault(number)
    if wrong in ("not-ready", "crash", "image"):
        found.others.append(("events", event(count, number)))
    if wrong in BREAK:
        BREAK[wrong](found)
    return found


def configmap(count: int, number: int) -> Document:
    namespace, name = place(count, number)
    return _simple(namespace, f"{name}-config", data={"app.properties": "a=b\n" * 20})


def policy(namespace: str) -> Document:
    admitted = {"from": [{"namespaceSelector": {}}], "ports": [{"port": "http"}, {"port": "metrics"}]}
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [admitted]}
    return _simple(namespace, "from-the-cluster", spec=spec)


def ingress(count: int, number: int) -> Document:
    namespace, name = place(count, number)
    backend = {"service": {"name": name, "port": {"name": "http"}}}
    rule = {
        "host": f"{name}.example.com",
        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
    }
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}}
    return _simple(namespace, name, spec={"ingressClassName": "nginx", "rules": [rule]}, status=status)


def _system() -> Iterator[tuple[str, Document]]:
    """What every cluster runs: names, connections, a network that enforces policies, a way in."""
    ports = [{"name": "dns", "protocol": "UDP", "port": 53}, {"name": "dns-tcp", "protocol": "TCP", "port": 53}]
    yield from _served("kube-system", "kube-dns", {"k8s-app": "kube-dns"}, "coredns", ports, "10.97.0.10")
    web = [{"name": "http", "protocol": "TCP", "port": 80}]
    label = {"app.kubernetes.io/name": "ingress-nginx"}
    yield from _served("ingress-nginx", "ingress-nginx-controller", label, "ingress-nginx", web, "10.97.0.11")
    agent = {"k8s-app": "kindnet"}
    status = {"desiredNumberScheduled": NODES, "currentNumberScheduled": NODES, "numberReady": NODES}
    template = {"metadata": {"labels": agent}, "spec": {"containers": [{"name": "agent", "image": "kindnetd"}]}}
    spec = {"selector": {"matchLabels": agent}, "template": template}
    yield "daemonsets", _simple("kube-system", "kindnet", spec=spec, status=status)


def _served(
    namespace: str, name: str, label: dict[str, str], own: str, ports: list[Document], address: str
) -> Iterator[tuple[str, Document]]:
    """A Service of the system with two Pods of a Deployment."""
    bound = [{"name": port["name"], "containerPort": port["port"], "protocol": port["protocol"]} for port in ports]
    policy = "Default" if name == "kube-dns" else "ClusterFirst"  # or CoreDNS would be told to ask itself
    pods = {"dnsPolicy": policy, "containers": [{"name": own, "image": own, "ports": bound}]}
    template = {"metadata": {"labels": label}, "spec": pods}
    spec = {"replicas": 2, "selector": {"matchLabels": label}, "template": template}
    counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), 2)
    yield "deployments", _simple(namespace, own, spec=spec, status=counts)
    hash = f"{own}-5d8f"
    replicaset = _simple(namespace, hash, spec=spec, status=counts)
    replicaset["metadata"] |= {"ownerReferences": _owner("Deployment", namespace, own), "labels": label}
    yield "replicasets", replicaset
    endpoints = []
    for number in range(2):
        pod = _simple(namespace, f"{hash}-{number}", spec={**template["spec"], "nodeName": node_name(number)})
        pod["metadata"] |= {"labels": label, "ownerReferences": _owner("ReplicaSet", namespace, hash)}
        ip = f"10.63.{address.rpartition('.')[2]}.{number}"
        true = [{"type": type, "status": "True", "lastTransitionTime": CREATED} for type in CONDITIONS]
        container = {"name": own, "ready": True, "restartCount": 0, "state": {"running": {"startedAt": CREATED}}}
        pod["status"] = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": true}
        pod["status"]["containerStatuses"] = [container]
        yield "pods", pod
        target = {"kind": "Pod", "namespace": namespace, "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        good = {"ready": True, "serving": True, "terminating": False}
        endpoints.append({"addresses": [ip], "conditions": good, "targetRef": target, "nodeName": node_name(number)})
    served = [{**port, "targetPort": port["name"]} for port in ports]
    service = _simple(
        namespace,
        name,
        spec={"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "selector": label, "ports": served},
        status={"loadBalancer": {}},
    )
    service["metadata"]["labels"] = label
    yield "services", service
    endpointslice = _simple(namespace, f"{name}-1", addressType="IPv4", endpoints=endpoints, ports=ports)
    endpointslice["metadata"]["labels"] = {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    yield "endpointslices", endpointslice


def _shared(count: int) -> Iterator[tuple[str, Document]]:
    """What belongs to no Service of a team."""
    for number in range(NODES):
        yield "nodes", node(number)
    yield "ingressclasses", _simple("", "nginx", spec={"controller": "k8s.io/ingress-nginx"})
    yield from _system()
    corefile = ".:53 {\n  errors\n  ready\n  kubernetes cluster.local\n  forward . /etc/resolv.conf\n}\n"
    yield "configmaps", _simple("kube-system", "coredns", data={"Corefile": corefile})
    for name in ("kube-system", "ingress-nginx"):
        yield "namespaces", _simple("", name)
    for name in sorted({place(count, number)[0] for number in range(count)}):
        yield "namespaces", _simple("", name)
        yield "networkpolicies", policy(name)


def documents(count: int, namespace: str = "") -> Iterator[tuple[str, Document]]:
    """Everything there is (in one namespace), each with its kind's plural name."""
    shared = _shared(count)
    yield from (item for item in shared if namespace in ("", item[1]["metadata"].get("namespace")))
    for number in range(count):
        if namespace not in ("", place(count, number)[0]):
            continue
        found = group(count, number)
        yield "services", found.service
        yield from (("endpointslices", item) for item in found.slices)
        yield "deployments", found.deployment
        yield "replicasets", found.replicaset
        yield from (("pods", item) for item in found.pods)
        yield from found.others
