"""A cluster made of manifests: what controllers, kubelets and CoreDNS would make of them when all goes well.

Suites say what a person applies; this gives the World that a healthy cluster would then show (Pods running and ready,
slices as the controller writes them, names that resolve), and lays over it what a suite says was observed instead.
Times are relative to NOW; everything was created an hour before, unless it says otherwise.
"""

from __future__ import annotations

import copy
import fnmatch
import ipaddress
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from svcdoctor.case import Case
from svcdoctor.clients.chosenclient import clients_for
from svcdoctor.clients.connection import OUTCOMES, Connection, Connections, Forwarded, Trials
from svcdoctor.clients.request import Answer, Request
from svcdoctor.cluster.connectlook import requests_in, targets_in
from svcdoctor.cluster.socketlook import unseen
from svcdoctor.endpoints.reconcile import desired_slices, is_ready
from svcdoctor.finding import Gap
from svcdoctor.names.lookup import Lookup, Lookups, ResolvConf, Vantage, outside_name
from svcdoctor.objects import RESOURCE_OF_KIND, RESOURCES, Resource
from svcdoctor.pods.sockets import Listener, Sockets, started_last
from svcdoctor.world import EVERYWHERE, World

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ZONE = "cluster.local"
COREFILE = """.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
"""
CLUSTER = [
    *({"kind": "Namespace", "metadata": {"name": name}} for name in ("default", "kube-system")),
    *(
        {"kind": "Node", "metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        for name in ("control-plane", "worker", "worker2")
    ),
    {
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 6443}]},
    },
    {
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "endpoints": [{"addresses": ["172.18.0.2"], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
    },
    {
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {
            "clusterIP": "10.96.0.10",
            "selector": {"k8s-app": "kube-dns"},
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "targetPort": 53},
                {"name": "metrics", "port": 9153, "targetPort": 9153},
            ],
        },
    },
    {
        "kind": "Deployment",
        "metadata": {"name": "coredns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "spec": {
            "replicas": 2,
            "template": {
                "metadata": {"labels": {"k8s-app": "kube-dns"}},
                "spec": {
                    "dnsPolicy": "Default",
                    "containers": [
                        {
                            "name": "coredns",
                            "image": "registry.k8s.io/coredns/coredns:v1.14.6",
                            "ports": [
                                {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                                {"name": "dns-tcp", "containerPort": 53},
                                {"name": "metrics", "containerPort": 9153},
                            ],
                            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}},
                        }
                    ],
                },
            },
        },
    },
    {"kind": "ConfigMap", "metadata": {"name": "coredns", "namespace": "kube-system"}, "data": {"Corefile": COREFILE}},
]


def moment(seconds_ago: float) -> str:
    """The RFC 3339 time that many seconds before NOW."""
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _connection(address: str, port: int, outcome: str) -> Connection:
    took = {"open": 10, "timeout": 2000}.get(outcome, 0)
    return Connection(address, port, outcome, took, "Connection refused" if outcome == "refused" else "")


def _answer(address: str, port: int, request: Request, words: str) -> Answer:
    """`HTTP 200 OK`, `TLS`, `TLS 200 OK`, `HTTP/2`, `SERVING`, `nothing`."""
    speaks, _, line = words.partition(" ")
    status = int(line.split()[0]) if line[:1].isdigit() else 0
    if speaks == "SERVING":
        return Answer(address, port, request.text, "HTTP/2", health=speaks)
    return Answer(address, port, request.text, speaks, status, secure=speaks == "TLS" and status > 0, words=line)


def simulate(
    manifests: list[dict[str, Any]],
    observed: list[dict[str, Any]] | None = None,
    probe: dict[str, Any] | None = None,
    *,
    namespace: str = "shop",
) -> World:
    """The World after applying `manifests` to a healthy cluster.

    observed: objects or parts of objects, merged over those of the same kind whose name matches (`cart-*` matches as in
    a shell); where none matches the object is added; `delete: true` removes instead. A time may be given as
    `seconds-ago: N` (the mapping `{secondsAgo: N}`). probe: `off: true` (no probes), `unavailable: {reason, detail}`,
    `namespace: ...`, `answers: {name: outcome or addresses}` laid over what CoreDNS would say, or
    `resolvConf: {nameservers, searches, ndots}` of the Pod that is asked, where it is not the usual one, or
    `sockets: {pod: [":8080", "127.0.0.1:9090"]}`, which no Pod is looked into for without it, or
    `connections: {from: pod, outcomes: {"cart:80": timeout, "cart-*:8080": refused}}`: what the client of --from met,
    by Service and port or by Pod and port; all else opens. `unavailable: {reason, detail}` there too, with
    `forwarded: {"cart-*:8080": HTTP 200 OK}`. `answers: {"cart:80": HTTP 500 Internal Server Error}`: to requests,
    where the readiness probe or `http: /path` makes one. `witnesses`: see there. `trials: {...}`: the same outcomes, of
    the clients that are chosen where nobody named one; without it nobody tries.
    """
    return _Simulation(namespace).run(manifests, observed or [], probe or {})


class _Simulation:
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.addresses = (f"10.244.{1 + n // 200}.{5 + n % 200}" for n in itertools.count())
        self.cluster_ips = (f"10.96.1.{n}" for n in itertools.count(1))
        self.node_ports = itertools.count(30080)
        self.workers = itertools.cycle(("worker", "worker2"))

    def run(self, manifests: list[dict[str, Any]], observed: list[dict[str, Any]], probe: dict[str, Any]) -> World:
        for document in (*CLUSTER, {"kind": "Namespace", "metadata": {"name": self.namespace}}, *manifests):
            self.add(copy.deepcopy(document))
        for item in list(self.objects.values()):
            self.control(item)
        gaps = [document for document in observed if document["kind"] == "Gap"]
        observed = [document for document in observed if document["kind"] != "Gap"]
        early = [document for document in observed if document["kind"] != "EndpointSlice"]
        late = [document for document in observed if document["kind"] == "EndpointSlice"]
        for document in early:
            self.observe(document)
        self.write_slices()
        for document in late:
            self.observe(document)
        world = self.world()
        if not probe.get("off"):
            world.lookups = self.lookups(world, probe)
        if "sockets" in probe:
            for pod in world.everywhere("pods")[0]:
                world.see(unseen(pod, "no-tool", "the container has no cat"))
            for pattern, shown in probe["sockets"].items():
                self.listen(world, pattern, shown)
        if "connections" in probe:
            world.connections = self.connections(world, **probe["connections"])
        if "trials" in probe:
            world.trials = self.trials(world, probe["trials"] or {})
        for gap in gaps:
            self.deny(world, gap)
        return world

    def connections(
        self,
        world: World,
        *,
        outcomes: dict[str, str | list[str]] | None = None,
        answers: dict[str, str] | None = None,
        witnesses: dict[str, dict[str, str]] | None = None,
        unavailable: dict[str, str] | None = None,
        forwarded: dict[str, str] | None = None,
        **client: str,
    ) -> Connections:
        """What a Pod of the namespace, or of another one (`namespace`), met."""
        namespace, pattern = client.get("namespace", self.namespace), client["from"]
        pods = [name for name in world.listed("pods", namespace) if fnmatch.fnmatchcase(name, pattern)]
        if unavailable:
            said = Connections(namespace, pods[0], unavailable=unavailable["reason"], detail=unavailable["detail"])
            return replace(said, forwarded=tuple(self.forwarded(world, forwarded or {})))
        services, pod = world.everywhere("services")[0], world.listed("pods", namespace)[pods[0]]
        tried = self.tried(world, targets_in(world, services, pod), outcomes or {})
        requests = requests_in(world, services, client.get("http", ""))
        answered: dict[Any, Answer] = {}
        for one in tried:
            target, place = (one.address, one.port), self.place(world, one.address, one.port)
            said = [words for pattern, words in (answers or {}).items() if fnmatch.fnmatchcase(place, pattern)]
            if target in requests and said and one.is_open:
                answered.setdefault(target, _answer(*target, requests[target], said[-1]))
        found = Connections(namespace, pods[0], client.get("container", "app"), "nc", tried, seconds=2.1)
        return replace(
            found,
            answers=tuple(answered.values()),
            witnesses=tuple(self.witnesses(world, namespace, witnesses or {})),
        )

    def trials(self, world: World, outcomes: dict[str, Any]) -> Trials:
        """What the Pods met that are chosen for the Services of the namespace."""
        services = list(world.listed("services", self.namespace).values())
        known = world.everywhere("services")[0]
        trials = Trials().with_those([f"{item.metadata.namespace}/{item.metadata.name}" for item in known], "")
        chosen = clients_for(world, [Case(world, service) for service in services], (), ())
        for (namespace, name), (pod, cases) in chosen.items():
            tried = self.tried(world, targets_in(world, [case.service for case in cases]), outcomes)
            said = Connections(namespace, name, pod.spec.containers[0].name, "nc", tried, seconds=0.2)
            trials = trials.with_those([f"{case.namespace}/{case.name}" for case in cases], f"{namespace}/{name}", said)
        return trials

    def place(self, world: World, address: str, port: int) -> str:
        """`cart:80` of a Service, `cart-1:8080` of a Pod."""
        names = {pod.status.pod_ip: pod.metadata.name for pod in world.everywhere("pods")[0]}
        names |= {service.spec.cluster_ip: service.metadata.name for service in world.everywhere("services")[0]}
        return f"{names.get(address, address)}:{port}"

    def tried(self, world: World, targets: list[Any], outcomes: dict[str, Any]) -> tuple[Connection, ...]:
        tried = []
        attempts: dict[str, int] = {}
        for target in targets:
            place = self.place(world, *target)
            told = [told for words, told in outcomes.items() if fnmatch.fnmatchcase(place, words)]
            outcome = told[-1] if told else "open"
            if isinstance(outcome, list):  # one for each attempt, over and over
                attempts[place] = attempts.get(place, -1) + 1
                outcome = outcome[attempts[place] % len(outcome)]
            tried.append(_connection(*target, outcome))
        return tuple(tried)

    def witnesses(self, world: World, namespace: str, met: dict[str, dict[str, str]]) -> Iterator[Connections]:
        """`{pod: {"127.0.0.1:8080": open, "self:8080": refused, "cart:80": open}}`: what other Pods met."""
        pods, services = world.listed("pods", namespace), world.listed("services", namespace)
        for pattern, outcomes in met.items():
            name = next(name for name in pods if fnmatch.fnmatchcase(name, pattern))
            tried = []
            for place, outcome in outcomes.items():
                host, _, port = place.rpartition(":")
                own = {"self": pods[name].status.pod_ip}
                address = own.get(host) or (services[host].spec.cluster_ip if host in services else host)
                tried.append(_connection(str(address), int(port), outcome))
            yield Connections(namespace, name, "app", "nc", tuple(tried))

    def forwarded(self, world: World, told: dict[str, str]) -> Iterator[Forwarded]:
        """`{"cart-*:8080": refused}`, or what was answered there: `HTTP 200 OK`."""
        for place, words in told.items():
            pattern, _, port = place.rpartition(":")
            for name in world.listed("pods", self.namespace):
                if fnmatch.fnmatchcase(name, pattern):
                    is_outcome = words in OUTCOMES
                    said = None if is_outcome else _answer("127.0.0.1", int(port), Request("http", "/healthz"), words)
                    yield Forwarded(self.namespace, name, int(port), words if is_outcome else "open", said)

    def deny(self, world: World, gap: dict[str, Any]) -> None:
        """A list that the reader of this cluster may not have."""
        resource = RESOURCES[gap["resource"]]
        scopes = (
            sorted({item.metadata.name for item in world.everywhere("namespaces")[0]}) if resource.namespaced else []
        )
        denied = gap.get("namespaces", [EVERYWHERE, *scopes])
        allowed = {scope: list(world.listed(resource.name, scope).values()) for scope in scopes if scope not in denied}
        world.forget(resource.name)
        for scope, items in allowed.items():
            world.put(resource.name, scope, items)
        for scope in denied:
            world.miss(
                Gap(
                    "list", resource.name, resource.group, scope, gap.get("reason", "forbidden"), gap.get("message", "")
                )
            )

    def add(self, document: dict[str, Any]) -> None:
        kind = document["kind"]
        if kind not in RESOURCE_OF_KIND:
            return
        metadata = document.setdefault("metadata", {})
        if RESOURCE_OF_KIND[kind].namespaced:
            metadata.setdefault("namespace", self.namespace)
            self.objects.setdefault(
                ("Namespace", "", metadata["namespace"]), _named("Namespace", "", metadata["namespace"])
            )
        _complete(kind, metadata)
        if kind == "Service":
            self.allocate(document)
        self.objects[kind, metadata.get("namespace", ""), metadata["name"]] = document

    def allocate(self, service: dict[str, Any]) -> None:
        """What the API server fills in."""
        spec = service.setdefault("spec", {})
        spec.setdefault("type", "ClusterIP")
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            if spec["type"] != "ExternalName":
                port.setdefault("targetPort", port["port"])
            if spec["type"] in ("NodePort", "LoadBalancer"):
                port.setdefault("nodePort", next(self.node_ports))
        if spec["type"] != "ExternalName":
            spec.setdefault("clusterIP", next(self.cluster_ips))
            spec.setdefault("clusterIPs", [spec["clusterIP"]])
            spec.setdefault("ipFamilies", ["IPv4"])
            spec.setdefault("sessionAffinity", "None")

    def control(self, item: dict[str, Any]) -> None:
        """What the workload controllers and kubelets make of one object."""
        kind, metadata, spec = item["kind"], item["metadata"], item.get("spec") or {}
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        if kind == "Deployment":
            revision = f"{name}-6f9c7d{len(name) % 10}b5"
            replicas = spec.get("replicas", 1)
            template = copy.deepcopy(spec.get("template") or {})
            template.setdefault("metadata", {}).setdefault("labels", {})["pod-template-hash"] = revision.removeprefix(
                f"{name}-"
            )
            replica_set = _named("ReplicaSet", namespace, revision) | {
                "spec": {"replicas": replicas, "template": template}
            }
            replica_set["metadata"]["ownerReferences"] = [_owner(item)]
            replica_set["status"] = {"replicas": replicas, "readyReplicas": replicas}
            self.objects["ReplicaSet", namespace, revision] = replica_set
            for suffix in _suffixes(replicas):
                self.start(replica_set, template, f"{revision}-{suffix}")
            conditions = [
                {"type": "Available", "status": "True"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ]
            item.setdefault(
                "status",
                {
                    "replicas": replicas,
                    "readyReplicas": replicas,
                    "updatedReplicas": replicas,
                    "conditions": conditions,
                },
            )
        elif kind == "StatefulSet":
            replicas = spec.get("replicas", 1)
            for ordinal in range(replicas):
                pod = self.start(item, spec.get("template") or {}, f"{name}-{ordinal}")
                pod["metadata"].setdefault("labels", {})["statefulset.kubernetes.io/pod-name"] = f"{name}-{ordinal}"
                pod["spec"] |= {"hostname": f"{name}-{ordinal}", "subdomain": spec.get("serviceName", "")}
            item.setdefault("status", {"replicas": replicas, "readyReplicas": replicas})
        elif kind == "DaemonSet":
            for suffix in _suffixes(2):
                self.start(item, spec.get("template") or {}, f"{name}-{suffix}")
            item.setdefault("status", {"desiredNumberScheduled": 2, "numberReady": 2})
        elif kind == "Job" or (kind == "ReplicaSet" and not metadata.get("ownerReferences")):
            for suffix in _suffixes(spec.get("replicas", 1)):
                self.start(item, spec.get("template") or {}, f"{name}-{suffix}")
        elif kind == "Pod" and "status" not in item:
            self.run_pod(item)

    def start(self, owner: dict[str, Any], template: dict[str, Any], name: str) -> dict[str, Any]:
        pod = _named("Pod", owner["metadata"]["namespace"], name)
        pod["metadata"]["labels"] = dict((template.get("metadata") or {}).get("labels") or {})
        pod["metadata"]["ownerReferences"] = [_owner(owner)]
        pod["spec"] = copy.deepcopy(template.get("spec") or {})
        self.objects["Pod", owner["metadata"]["namespace"], name] = pod
        self.run_pod(pod)
        return pod

    def run_pod(self, pod: dict[str, Any]) -> None:
        """Scheduled, started and ready."""
        spec = pod.setdefault("spec", {})
        spec.setdefault("nodeName", next(self.workers))
        address = "172.18.0.3" if spec.get("hostNetwork") else next(self.addresses)
        since = moment(3500)
        running = {"ready": True, "started": True, "restartCount": 0, "state": {"running": {"startedAt": since}}}
        pod["status"] = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": since,
            "conditions": [
                {"type": condition, "status": "True", "lastTransitionTime": since}
                for condition in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
            ],
            "containerStatuses": [{"name": container["name"], **running} for container in spec.get("containers") or ()],
        }

    def observe(self, document: dict[str, Any]) -> None:
        document = _times(copy.deepcopy(document))
        kind, metadata = document["kind"], document["metadata"]
        namespace = metadata.get("namespace", self.namespace if RESOURCE_OF_KIND[kind].namespaced else "")
        found = [
            key
            for key in self.objects
            if key[:2] == (kind, namespace) and fnmatch.fnmatchcase(key[2], metadata["name"])
        ]
        delete = document.pop("delete", False)
        for key in found:
            if delete:
                del self.objects[key]
            else:
                merged = _merge(self.objects[key], document)
                merged["metadata"]["name"] = key[2]
                self.objects[key] = merged
        if not found and not delete:
            metadata["namespace"] = namespace
            _complete(kind, metadata)
            if kind == "Pod" and "status" not in document:
                self.run_pod(document)
            self.objects[kind, namespace, metadata["name"]] = document

    def write_slices(self) -> None:
        pods = [
            msgspec.convert(item, RESOURCE_OF_KIND["Pod"].type)
            for key, item in sorted(self.objects.items())
            if key[0] == "Pod"
        ]
        for (kind, namespace, _), item in list(self.objects.items()):
            if kind != "Service":
                continue
            service = msgspec.convert(item, RESOURCE_OF_KIND["Service"].type)
            own = [pod for pod in pods if pod.metadata.namespace == namespace]
            for piece in desired_slices(service, own):
                document = {"kind": "EndpointSlice", **msgspec.to_builtins(piece)}
                self.objects["EndpointSlice", namespace, piece.metadata.name] = document

    def world(self) -> World:
        world = World(context="kind-suites", now=NOW)
        for name, resource in RESOURCES.items():
            items = [item for _, item in sorted(self.objects.items()) if _resource_of(item) is resource]
            # An API server writes its objects with sorted keys.
            world.put(name, EVERYWHERE, [msgspec.convert(_sorted(item), resource.type) for item in items])
        return world

    def listen(self, world: World, pattern: str, shown: list[str]) -> None:
        """`:8080`, `127.0.0.1:8080`, `[::]:53/UDP`: what the Pods of a name listen on."""
        listeners = []
        for word in shown:
            place, _, protocol = word.partition("/")
            host, _, port = place.rpartition(":")
            listeners.append(Listener(protocol or "TCP", host.strip("[]") or "0.0.0.0", int(port)))
        for pod in world.listed("pods", self.namespace).values():
            if fnmatch.fnmatchcase(pod.metadata.name, pattern):
                container = pod.spec.containers[0].name
                place = (self.namespace, pod.metadata.name, container)
                world.see(Sockets(*place, tuple(listeners), started=started_last(pod)))

    def lookups(self, world: World, probe: dict[str, Any]) -> dict[str, Lookups]:
        """What a Pod of each namespace would be told; the suite's own answers come first."""
        said: dict[str, Lookups] = {}
        servers = [pod for pod in world.listed("pods", "kube-system").values() if _is_server(pod)]
        served = _has_endpoint(world, "kube-system", "kube-dns")
        for namespace in world.listed("namespaces"):
            clients = [pod for pod in world.listed("pods", namespace).values() if _may_ask(pod)]
            if stated := probe.get("connections"):
                place, pattern = stated.get("namespace", self.namespace), stated["from"]
                pods = world.listed("pods", place)
                clients = [pod for name, pod in pods.items() if fnmatch.fnmatchcase(name, pattern)]
            here = probe if probe.get("namespace", self.namespace) == namespace else {}
            if here.get("unavailable"):
                said[namespace] = _unavailable(here["unavailable"])
                continue
            pod = min(clients, key=lambda candidate: str(candidate.metadata.name), default=None)
            if pod is None and not servers:
                said[namespace] = _unavailable(
                    {"reason": "no-pod", "detail": f"no running Pod in namespace {namespace}"}
                )
            elif pod is None or here.get("kind") == "coredns":
                said[namespace] = self.answers(world, namespace, _beside_coredns(namespace, pod, servers[0]), here)
            else:
                container = pod.spec.containers[0].name
                tool = here.get("tool", "getent")
                place = pod.metadata.namespace
                vantage = Vantage("exec", namespace=place, pod=pod.metadata.name, container=container, tool=tool)
                said[namespace] = self.answers(world, namespace, vantage, here, served)
        return said | self.server_answers(world, [pod.metadata.name for pod in servers], probe.get("servers") or {})

    def server_answers(self, world: World, servers: list[str], told: dict[str, Any]) -> dict[str, Lookups]:
        """What each CoreDNS Pod says by itself. `servers` of a probe says it of some: an outcome, a reason why they
        could not be asked, or what they answer for single names."""
        said: dict[str, Lookups] = {}
        for name in servers if len(servers) > 1 else ():
            vantage = Vantage("coredns", tool="dnspython", server=f"kube-system/{name}")
            own = next((value for pattern, value in told.items() if fnmatch.fnmatchcase(name, pattern)), {})
            if own.get("unavailable"):
                said[f"kube-system/{name}"] = replace(_unavailable(own["unavailable"]), vantage=vantage)
                continue
            truth = {f"kubernetes.default.svc.{ZONE}.": ["10.96.0.1"]}
            for service in world.listed("services", self.namespace).values():
                outside = outside_name(service, ZONE)
                asked = outside or f"{service.metadata.name}.{self.namespace}.svc.{ZONE}."
                truth[asked] = ["198.51.100.7"] if outside else _truth(world, service)
            answers = {**truth, **(own.get("answers") or {})}
            lookups = tuple(_lookup(name, value) for name, value in answers.items())
            said[f"kube-system/{name}"] = Lookups(vantage=vantage, lookups=lookups)
        return said

    def answers(
        self, world: World, namespace: str, vantage: Vantage, probe: dict[str, Any], served: bool = True
    ) -> Lookups:
        lookups = [_lookup("kubernetes.default", ["10.96.0.1"])]
        for service in world.listed("services", namespace).values():
            name = service.metadata.name
            truth = _truth(world, service)
            lookups += [
                _lookup(form, truth) for form in (name, f"{name}.{namespace}", f"{name}.{namespace}.svc.{ZONE}.")
            ]
            lookups += [_lookup(outside, ["198.51.100.7"])] if (outside := outside_name(service, ZONE)) else []
        if not served:
            lookups = [_lookup(item.name, "timeout") for item in lookups]
        answers = {str(name): value for name, value in (probe.get("answers") or {}).items()}
        lookups = [_lookup(item.name, answers.pop(item.name)) if item.name in answers else item for item in lookups]
        lookups += [_lookup(name, value) for name, value in answers.items()]
        searches = (f"{namespace}.svc.{ZONE}", f"svc.{ZONE}", ZONE)
        told = {"nameservers": ["10.96.0.10"], "searches": searches, "ndots": 5, **(probe.get("resolvConf") or {})}
        return Lookups(
            vantage=vantage,
            lookups=tuple(lookups),
            resolv_conf=ResolvConf(tuple(told["nameservers"]), tuple(told["searches"]), told["ndots"]),
        )


def _may_ask(pod: Any) -> bool:
    """Whether collect would look names up inside the Pod: it is up, and is told what Pods usually are."""
    usual = pod.spec.dns_policy == "ClusterFirst" and not pod.spec.dns_config and not pod.spec.host_network
    return pod.status.phase == "Running" and is_ready(pod) and usual


def _is_server(pod: Any) -> bool:
    return (pod.metadata.labels or {}).get("k8s-app") == "kube-dns" and is_ready(pod)


def _beside_coredns(namespace: str, pod: Any, server: Any) -> Vantage:
    name = pod.metadata.name if pod else ""
    return Vantage(
        "coredns", namespace=namespace, pod=name, tool="dnspython", server=f"kube-system/{server.metadata.name}"
    )


def _has_endpoint(world: World, namespace: str, service: str) -> bool:
    return any(
        endpoint.conditions is None or endpoint.conditions.ready is not False
        for piece in world.listed("endpointslices", namespace).values()
        if (piece.metadata.labels or {}).get("kubernetes.io/service-name") == service
        for endpoint in piece.endpoints or ()
    )


def _truth(world: World, service: Any) -> list[str] | str:
    """What CoreDNS answers (plugin/kubernetes): headless without a ready endpoint is NXDOMAIN; an alias is a CNAME."""
    namespace = service.metadata.namespace
    if service.spec.type == "ExternalName":
        target = service.spec.external_name or ""
        try:
            ipaddress.ip_address(target)
        except ValueError:
            return f"canonical {target}"
        return "nxdomain"
    if service.spec.cluster_ip == "None":
        own = [
            piece
            for piece in world.listed("endpointslices", namespace).values()
            if (piece.metadata.labels or {}).get("kubernetes.io/service-name") == service.metadata.name
        ]
        ready = [
            address
            for piece in own
            for endpoint in piece.endpoints or ()
            if not endpoint.conditions or endpoint.conditions.ready in (None, True)
            for address in endpoint.addresses or ()
        ]
        return sorted(ready) or "nxdomain"
    return list(service.spec.cluster_ips or [service.spec.cluster_ip])


def _lookup(name: str, said: list[str] | str) -> Lookup:
    """A list of addresses, `canonical NAME [ADDRESS...]`, `as QUERY ADDRESS...`, `hosts ADDRESS...` of /etc/hosts,
    `silent` (a tool that finds nothing and does not say why), or an outcome."""
    if isinstance(said, list):
        return Lookup(name=name, outcome="answered", addresses=tuple(said))
    word, *rest = said.split()
    if word == "hosts":
        return Lookup(name=name, outcome="answered", addresses=tuple(rest), from_hosts=True)
    if word == "as":
        return Lookup(name=name, outcome="answered", addresses=tuple(rest[1:]), query=rest[0])
    if word == "canonical":
        return Lookup(name=name, outcome="answered", addresses=tuple(rest[1:]) or ("198.51.100.7",), canonical=rest[0])
    if word == "silent":
        return Lookup(name=name, outcome="nxdomain", concluded=True)
    return Lookup(name=name, outcome=word, detail=" ".join(rest))


def _unavailable(said: dict[str, str]) -> Lookups:
    return Lookups(vantage=Vantage(kind="exec"), unavailable=said["reason"], detail=said.get("detail", ""))


def _named(kind: str, namespace: str, name: str) -> dict[str, Any]:
    document: dict[str, Any] = {"kind": kind, "metadata": {"name": name, "namespace": namespace}}
    _complete(kind, document["metadata"])
    return document


def _complete(kind: str, metadata: dict[str, Any]) -> None:
    metadata.setdefault("uid", f"{kind}-{metadata.get('namespace', '')}-{metadata['name']}".lower())
    metadata.setdefault("creationTimestamp", moment(3600))


def _owner(item: dict[str, Any]) -> dict[str, Any]:
    return {"kind": item["kind"], "name": item["metadata"]["name"], "uid": item["metadata"]["uid"], "controller": True}


def _suffixes(count: int) -> Iterator[str]:
    letters = "bcdfghjklmnpqrstvwxz2456789"
    first = (f"{letters[n % 27]}{letters[(7 * n + 3) % 27]}{letters[(5 * n + 11) % 27]}" for n in range(count))
    return (f"{suffix}{n // 27 or ''}" for n, suffix in enumerate(first))


def _merge(old: Any, new: Any) -> Any:
    """A JSON merge patch (RFC 7396), except that lists of named or typed items are merged by that key."""
    if isinstance(old, dict) and isinstance(new, dict):
        merged = dict(old)
        for key, value in new.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = _merge(old[key], value) if key in old else value
        return merged
    if isinstance(old, list) and isinstance(new, list):
        for key in ("name", "type"):
            if new and all(isinstance(item, dict) and key in item for item in (*old, *new)):
                known = {item[key]: item for item in old}
                for item in new:
                    known[item[key]] = _merge(known.get(item[key], {}), item)
                return list(known.values())
    return new


def _times(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"secondsAgo"}:
            return moment(value["secondsAgo"])
        return {key: _times(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_times(item) for item in value]
    return value


def _resource_of(item: dict[str, Any]) -> Resource:
    group = str(item.get("apiVersion", "")).rpartition("/")[0]
    alike = (resource for resource in RESOURCES.values() if (resource.kind, resource.group) == (item["kind"], group))
    return next(alike, RESOURCE_OF_KIND[item["kind"]])


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
