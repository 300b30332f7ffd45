"""Who takes part in a service mesh, and which of Istio's objects speak of a Service.

A Pod takes part by its proxy (the container istio-proxy or linkerd-proxy) or, in Istio's ambient mode, by a label that
makes the ztunnel of its node carry its traffic. Objects of Istio are read only where something hints at a mesh, and
their content is whatever somebody wrote: everything here takes what it does not understand for nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from svcdoctor.case import Case
from svcdoctor.finding import Subject
from svcdoctor.indexes import Index, those
from svcdoctor.objectindexes import PODS_BY_OWNER
from svcdoctor.objects import Container, CustomObject, Metadata, Pod, PodSpec
from svcdoctor.pods.template import Template, matches
from svcdoctor.view import View
from svcdoctor.world import EVERYWHERE

ROOT_NAMESPACE = "istio-system"  # where Istio is installed, and where rules for the whole mesh stand
ISTIO, LINKERD, AMBIENT, PLAIN, DISABLED = "istio-proxy", "linkerd-proxy", "ambient", "", "disabled"
MEMBERS_OF_ISTIO = (ISTIO, AMBIENT)
INJECTION, REVISION, DATAPLANE = "istio-injection", "istio.io/rev", "istio.io/dataplane-mode"
INJECT, LINKERD_INJECT = "sidecar.istio.io/inject", "linkerd.io/inject"
USE_WAYPOINT, WAYPOINT_NAMESPACE = "istio.io/use-waypoint", "istio.io/use-waypoint-namespace"
NAMESPACE_MARKS = (INJECTION, REVISION, DATAPLANE, USE_WAYPOINT, LINKERD_INJECT)


# --- what somebody wrote -----------------------------------------------------------------------------------------


def at(value: Any, *path: str) -> Any:
    """What stands at the path in nested mappings, None where there is nothing."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def parts_at(value: Any, *path: str) -> list[dict[str, Any]]:
    found = at(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def texts_at(value: Any, *path: str) -> list[str]:
    found = at(value, *path)
    return [str(item) for item in found if isinstance(item, str | int)] if isinstance(found, list) else []


def labels_at(value: Any, *path: str) -> dict[str, str]:
    found = at(value, *path)
    return {str(key): str(item) for key, item in found.items()} if isinstance(found, dict) else {}


def json_pointer(path: str) -> str:
    """`.spec.http[0].route` as a JSON pointer (RFC 6901)."""
    return path.replace("[", "/").replace("]", "").replace(".", "/")


# --- who takes part ----------------------------------------------------------------------------------------------


def proxy_of(spec: PodSpec) -> tuple[str, Container | None, bool]:
    """(mesh, the proxy's container, whether it is a native sidecar) of a Pod or a template that already has one."""
    native = [item for item in spec.init_containers or () if item.restart_policy == "Always"]
    for containers, is_native in ((native, True), (spec.containers or [], False)):
        for container in containers:
            if container.name in (ISTIO, LINKERD):
                return container.name, container, is_native
    return PLAIN, None, False


def namespace_of(view: View, name: str) -> Metadata:
    """What a namespace says of itself; nothing where namespaces may not be read."""
    found = view.or_without(lambda: view.listed("namespaces", EVERYWHERE), {}).get(name)
    return found.metadata if found else Metadata(name)


def membership(pod: Metadata, spec: PodSpec, namespace: Metadata) -> str:
    """What carries a Pod's traffic: ISTIO, LINKERD, AMBIENT or, outside of any mesh, PLAIN."""
    proxy = proxy_of(spec)[0]
    if proxy or spec.host_network:
        return proxy
    mode = (pod.labels or {}).get(DATAPLANE, (namespace.labels or {}).get(DATAPLANE))
    redirected = (pod.annotations or {}).get("ambient.istio.io/redirection") == "enabled"
    return AMBIENT if mode == AMBIENT or redirected else PLAIN


def asks_for(pod: Metadata, spec: PodSpec, namespace: Metadata) -> str:
    """The proxy that a new Pod of this kind is meant to be given; the Pod's own word goes before its namespace's.

    DISABLED where it is said that it shall have none.
    """
    labels, annotations, of_namespace = pod.labels or {}, pod.annotations or {}, namespace.labels or {}
    own = labels.get(INJECT, annotations.get(INJECT))
    linkerd = annotations.get(LINKERD_INJECT, (namespace.annotations or {}).get(LINKERD_INJECT))
    injection = of_namespace.get(INJECTION)
    if spec.host_network or own == "false" or annotations.get(LINKERD_INJECT) == "disabled":
        return DISABLED
    if linkerd in ("enabled", "ingress"):
        return LINKERD
    if own == "true" or labels.get(REVISION):
        return ISTIO
    if injection:
        return ISTIO if injection == "enabled" else DISABLED
    return ISTIO if of_namespace.get(REVISION) else PLAIN


def membership_of_pod(view: View, pod: Pod) -> str:
    return membership(pod.metadata, pod.spec, namespace_of(view, pod.metadata.namespace))


def running_pods(view: View, template: Template) -> list[Pod]:
    """The Pods of a workload anywhere that have not run to their end; none where they may not be read."""
    view.touched.add("pods")
    key = (template.kind, template.name)
    found = view.or_without(lambda: view.world.found(PODS_BY_OWNER, template.namespace, key), [])
    return [pod for pod in found if pod.status.phase not in ("Succeeded", "Failed")]


class Caller(NamedTuple):
    """A workload that names a Service, and how it takes part in a mesh."""

    subject: Subject
    mesh: str  # of the Pods, where some are PLAIN: PLAIN
    pods: tuple[Pod, ...]
    account: str  # its ServiceAccount
    source: str  # where it names the Service

    def name_from(self, case: Case) -> str:
        elsewhere = f" in {self.subject.namespace}" if self.subject.namespace != case.namespace else ""
        return f"{self.subject}{elsewhere}"

    @property
    def principal(self) -> str:
        """Its name in certificates, under the trust domain that Istio has by default."""
        return f"cluster.local/ns/{self.subject.namespace}/sa/{self.account}"

    @property
    def told(self) -> str:
        return self.principal if self.mesh in MEMBERS_OF_ISTIO else f"{self.subject}, without a proxy and so a name"

    def identities(self, kind: str) -> tuple[str, ...]:
        """What it is known by in a field of a policy: `principals`, `namespaces` or `serviceaccounts`."""
        match kind:
            case "principals":
                return (self.principal,)
            case "namespaces":
                return (self.subject.namespace,)
        return (self.account, f"{self.subject.namespace}/{self.account}")


def callers_of(case: Case) -> list[Caller]:
    """Who names the Service and runs now, each workload once."""
    found: dict[Subject, Caller] = {}
    for template, reference in case.or_without(lambda: case.callers, []):
        pods = running_pods(case, template)
        if not pods or template.subject in found:
            continue
        meshes = [membership_of_pod(case, pod) for pod in pods]
        mesh = PLAIN if PLAIN in meshes else meshes[0]
        account = template.spec.service_account_name or "default"
        found[template.subject] = Caller(template.subject, mesh, tuple(pods), account, reference.source)
    return list(found.values())


class Server(NamedTuple):
    """A Pod behind a Service, or one that a workload behind it would make."""

    name: str  # "" where there is none yet
    labels: Mapping[str, str]
    spec: PodSpec
    mesh: str


def servers_of(case: Case) -> list[Server]:
    """The Pods that requests go to; where there are none, what their workloads would make of them."""
    namespace = namespace_of(case, case.namespace)
    found = []
    for backend in case.backing:
        for pod in backend.pods:
            mesh = membership_of_pod(case, pod)
            found.append(Server(pod.metadata.name, pod.metadata.labels or {}, pod.spec, mesh))
        if not backend.pods:
            planned = Metadata(labels=dict(backend.labels))
            mesh = membership(planned, backend.spec, namespace) or asks_for(planned, backend.spec, namespace)
            found.append(Server("", backend.labels, backend.spec, mesh))
    return found


def is_hinted_at(case: Case) -> bool:
    """Whether anything in sight hints at a mesh: only then are Istio's objects worth asking for."""
    return case.once("a mesh is hinted at", lambda: _is_hinted_at(case))


def _is_hinted_at(case: Case) -> bool:
    if any(proxy_of(pod.spec)[0] for pod in case.or_without(lambda: case.live_pods, [])):
        return True
    case.touched.add("namespaces")
    return case.or_without(lambda: bool(case.world.found(MARKED_NAMESPACES, EVERYWHERE, True)), False)


def enrolment(view: View, namespace: str) -> str:
    """The label that brings a namespace into the mesh, as this one has it, or else any other."""
    every = view.or_without(lambda: view.listed("namespaces", EVERYWHERE), {})
    for metadata in (namespace_of(view, namespace), *(item.metadata for item in every.values())):
        labels = metadata.labels or {}
        if labels.get(DATAPLANE) == AMBIENT:
            return f"{DATAPLANE}={AMBIENT}"
        if labels.get(REVISION):
            return f"{REVISION}={labels[REVISION]}"
        if labels.get(INJECTION) == "enabled":
            break
    return f"{INJECTION}=enabled"


def _is_marked(namespace: Metadata) -> bool:
    marks = {*(namespace.labels or ()), *(namespace.annotations or ())}
    return namespace.name in (ROOT_NAMESPACE, "linkerd") or not marks.isdisjoint(NAMESPACE_MARKS)


MARKED_NAMESPACES = those("namespaces of a mesh", "namespaces", lambda item: _is_marked(item.metadata))


# --- Istio's objects ---------------------------------------------------------------------------------------------


def host_key(host: Any, namespace: str) -> tuple[str, str] | None:
    """(Service, namespace) of a host as Istio reads it: a name without dots is one of the object's own namespace.

    `*` stands for any. None for a host outside of the cluster.
    """
    if not isinstance(host, str) or not host:
        return None
    match host.rstrip(".").split("."):
        case ["*"] | ["*", "local"]:
            return "*", "*"
        case [name]:
            return name, namespace
        case [name, place, "svc", *_]:
            return name, place
        case ["*", "svc", *_]:
            return "*", "*"
    return None


def routes_in(rule: CustomObject) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """(path, route, whether it is conditional) of each route of a VirtualService."""
    for protocol in ("http", "tls", "tcp"):
        for index, route in enumerate(parts_at(rule.spec, protocol)):
            yield f".spec.{protocol}[{index}]", route, bool(parts_at(route, "match"))


def _keys_of_virtual_service(item: CustomObject) -> set[Hashable]:
    hosts = texts_at(item.spec, "hosts")
    for _, route, _ in routes_in(item):
        hosts += [at(one, "destination", "host") for one in parts_at(route, "route")]
    return {key for host in hosts if (key := host_key(host, item.metadata.namespace))}


VIRTUAL_SERVICES_BY_HOST = Index("virtualservices by host", "virtualservices", _keys_of_virtual_service)
DESTINATION_RULES_BY_HOST = Index(
    "destinationrules by host",
    "destinationrules",
    lambda item: filter(None, [host_key(at(item.spec, "host"), item.metadata.namespace)]),
)


def _of_host(view: View, index: Index, namespace: str, key: tuple[str, str]) -> list[CustomObject]:
    """The objects of a namespace that speak of a host; none where they may not be read."""
    view.touched.add(index.resource)
    return view.or_without(lambda: view.world.found(index, namespace, key), [])


def virtual_services(view: View, service: tuple[str, str]) -> list[CustomObject]:
    """The VirtualServices that are for a Service or lead to it: of its namespace, and what else was read."""
    _of_host(view, VIRTUAL_SERVICES_BY_HOST, service[1], service)  # so that its own namespace is read
    return view.world.found_in_sight(VIRTUAL_SERVICES_BY_HOST, service)


def destination_rules(view: View, service: tuple[str, str], places: Sequence[str]) -> list[CustomObject]:
    """The DestinationRules that hold for calls to a Service: in the first namespace that has any, the most exact."""
    name, namespace = service
    for place in places:
        for key in ((name, namespace), ("*", namespace), ("*", "*")):
            if found := _of_host(view, DESTINATION_RULES_BY_HOST, place, key):
                return [rule for rule in found if not at(rule.spec, "workloadSelector")]
    return []


def policies(view: View, resource: str, labels: Mapping[str, str], namespace: str) -> list[CustomObject]:
    """The policies of a kind that hold for a Pod with these labels: of its namespace, then of the whole mesh."""
    found: list[CustomObject] = []
    for place in dict.fromkeys((namespace, ROOT_NAMESPACE)):
        table = view.or_without(lambda place=place: view.listed(resource, place), {})  # type: ignore[misc]
        found += [item for item in table.values() if _selects(item, labels)]
    return found


def _selects(policy: CustomObject, labels: Mapping[str, str]) -> bool:
    selector = labels_at(policy.spec, "selector", "matchLabels")
    is_for_gateways = at(policy.spec, "targetRef") or at(policy.spec, "targetRefs")
    return not is_for_gateways and (not selector or matches(selector, labels))


def mutual_tls(view: View, server: Server, namespace: str, port: int | None) -> tuple[str, CustomObject | None]:
    """What a Pod's proxy accepts on a port, and the PeerAuthentication that says so; PERMISSIVE where none does.

    The one that selects the Pod goes before its namespace's, which goes before the mesh's.
    """
    found = policies(view, "peerauthentications", server.labels, namespace)
    ranked = sorted(found, key=lambda item: (not _is_narrow(item), item.metadata.namespace != namespace))
    for policy in ranked:
        by_port = at(policy.spec, "portLevelMtls", str(port), "mode") if _is_narrow(policy) else None
        mode = by_port or at(policy.spec, "mtls", "mode")
        if mode and mode != "UNSET":
            return str(mode), policy
    return "PERMISSIVE", None


def _is_narrow(policy: CustomObject) -> bool:
    return bool(labels_at(policy.spec, "selector", "matchLabels"))


def ref(item: CustomObject, kind: str, namespace: str) -> str:
    """How evidence names an object: with its namespace where that is another."""
    elsewhere = f" in {item.metadata.namespace}" if item.metadata.namespace != namespace else ""
    return f"{kind}/{item.metadata.name}{elsewhere}"
