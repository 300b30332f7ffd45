"""Is anything open to the outside that should not be?

sec-db-public
    A data store is served through a public load balancer or a node port.
    Why it breaks      Whoever reaches the address may talk to the database. Scanners find open ones within hours, and
                       many stores ask for no password inside a private network.
    Confirm by hand    kubectl -n {namespace} get service {name} -o wide
    Fix                Make it ClusterIP. If a load balancer must stay, ask the cloud for an internal one, or name
                       the addresses that may connect in loadBalancerSourceRanges.
    Not a fault when   The load balancer is internal, has a private address, or limits its sources; or another program
                       uses the port of a well-known data store.

sec-admin-public
    A port for administration, debugging or metrics is served through a public load balancer or a node port.
    Why it breaks      Dashboards, profilers and debuggers trust whoever reaches them: they show what the program holds,
                       and some (a Java debugger, the kubelet, Envoy's admin port) run what they are sent.
    Confirm by hand    kubectl -n {namespace} get service {name} -o wide
    Fix                Take the port out of the Service, or make it ClusterIP and use `kubectl port-forward`.
    Not a fault when   The load balancer is internal or limits its sources; or another program uses a port that such a
                       tool is known for, and asks who is there.

sec-nodeport-prod
    A Service of a production namespace is open on a port of every node.
    Why it breaks      Node ports go around the load balancer, its certificates and its filters: whoever reaches a node
                       reaches the program. When a node goes, clients that dialled it fail.
    Confirm by hand    kubectl -n {namespace} get service {name} -o wide
    Fix                Serve it through an Ingress, a Gateway or a load balancer, and make the Service ClusterIP.
    Not a fault when   It is the way in of an ingress controller, or an external load balancer stands before the nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import serving_containers
from svcdoctor.entry.entrypoint import given_addresses
from svcdoctor.entry.exposure import STORE_IMAGES, STORE_PORTS, closed, image_name
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, skipped, warn
from svcdoctor.objects import Container, PodSpec, ServicePort
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.text import listing, patch_command

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "sec-db-public": Code(Stage.ENTRY, settles=False),
        "sec-admin-public": Code(Stage.ENTRY, settles=False),
        "sec-nodeport-prod": Code(Stage.ENTRY, settles=False),
    },
    reads=(
        "services",
        "namespaces",
        "pods",
        *WORKLOAD_RESOURCES,
    ),
)

# Ports that only administration, debugging or metrics use, and those that other programs use as often.
ADMIN_PORTS = {
    5005: "Java debugger",
    5601: "Kibana",
    6060: "Go profiler",
    9090: "Prometheus",
    10250: "kubelet",
    15000: "Envoy admin",
    15672: "RabbitMQ management",
}
SHARED_PORTS = {3000: "Grafana", 8001: "kubectl proxy or Envoy admin"}
ADMIN_NAMES = re.compile(r"(?<![a-z])(admin|debug|metrics|pprof|jmx|jdwp|actuator|management|profiling)(?![a-z])")
ADMIN_PROGRAMS = re.compile(
    r"grafana|prometheus|kibana|alertmanager|kubernetes-dashboard|phpmyadmin|pgadmin|adminer|rabbitmq-management|jaeger"
)
PRODUCTION = re.compile(r"(?<![a-z0-9])(?<!non-)(?<!pre-)(?<!not-)(prod|prd|production)(?![a-z0-9])")
ENVIRONMENT_KEYS = ("env", "environment", "stage", "tier", "deployment-environment")


class Store(NamedTuple):
    """Why a Service port looks like a data store's."""

    port: ServicePort
    place: int
    by_number: int | None
    image: str


def run(case: Case) -> Iterator[Finding]:
    if case.type not in ("LoadBalancer", "NodePort"):
        return
    if case.type == "LoadBalancer" and (limits := closed(case.service, given_addresses(case.service))):
        yield skipped(case.subject, f"not open to everyone: {limits}")
        return
    stores = [store for index, port in enumerate(case.ports) if (store := _store(case, index, port))]
    if stores:
        yield _database(case, stores)
    taken = {store.place for store in stores}
    tools = [
        tool
        for index, port in enumerate(case.ports)
        if index not in taken and not case.is_entry_point and (tool := _tool(case, index, port))
    ]
    if tools:
        yield _administration(case, tools)
    production = _production(case) if case.type == "NodePort" else ""
    if production:
        yield _node_port(case, production, because="sec-db-public" if stores else "sec-admin-public")
    if not stores and not tools and not production:
        yield passed(case.subject, f"type {case.type}, neither a data store nor a tool for administration behind it")


# --- data stores -------------------------------------------------------------------------------------------------


def _store(case: Case, index: int, port: ServicePort) -> Store | None:
    """By port or by image; the image counts if its container is the one that would answer."""
    targets = [(spec, case.target_of(port, spec)) for spec in case.backends]
    known = next((number for number in (port.port, *(target for _, target in targets)) if number in STORE_PORTS), None)
    images = [container.image for spec, target in targets for container in _answering(spec, target)]
    image = next((image for image in images if STORE_IMAGES.fullmatch(image_name(image))), "")
    return Store(port, index, known, image) if known or image else None


def _answering(spec: PodSpec, target: int | None) -> list[Container]:
    containers = serving_containers(spec)
    declaring = [item for item in containers if any(port.container_port == target for port in item.ports or [])]
    return declaring or (containers if len(containers) == 1 else [])


def _database(case: Case, stores: list[Store]) -> Finding:
    first = stores[0]
    what = (
        f"{STORE_PORTS[first.by_number]} port {first.by_number}"
        if first.by_number
        else f"port {first.port.port} of image {first.image}"
    )
    way = _way(case, first.port)
    return fail(
        "sec-db-public",
        case.subject,
        f"a data store is open to the outside: {what}, through {way}",
        Evidence("type", case.type, f"service/{case.name} .spec.type"),
        *(_port(case, store) for store in stores),
        *(
            Evidence("image", image, f"Pods of service/{case.name} .spec.containers[].image")
            for image in sorted({item.image for item in stores} - {""})
        ),
        *_source_ranges(case),
        *_doubt(first),
        remedies=_remedies(case),
        inferred=not all(store.by_number and store.image for store in stores),
    )


def _way(case: Case, port: ServicePort) -> str:
    if case.type == "NodePort":
        return f"node port {port.node_port} of every node"
    return f"a public load balancer{'' if given_addresses(case.service) else ' that has no address yet'}"


def _port(case: Case, store: Store) -> Evidence:
    known = f", known for {STORE_PORTS[store.by_number]}" if store.by_number else ""
    return Evidence(
        "port",
        f"{store.port.port} -> {store.port.target_port}{known}",
        _place(case, store.place),
    )


def _place(case: Case, index: int) -> str:
    return f"service/{case.name} .spec.ports[{index}]"


def _source_ranges(case: Case) -> Iterator[Evidence]:
    if case.type == "LoadBalancer":
        ranges = listing(case.spec.load_balancer_source_ranges or []) or "<none>"
        yield Evidence("source ranges", ranges, f"service/{case.name} .spec.loadBalancerSourceRanges")


def _doubt(store: Store) -> Iterator[Evidence]:
    if not store.image:
        yield Evidence("otherwise", "another program may use the port", "no image here is a known data store")
    elif not store.by_number:
        yield Evidence(
            "otherwise", "the port may serve something else than its data", "not a port that data stores are known for"
        )


def _remedies(case: Case) -> tuple[Remedy, ...]:
    close = Remedy("serve it inside the cluster only", _patch(case, {"type": "ClusterIP"}))
    if case.type == "NodePort":
        return (close,)
    restrict = _patch(case, {"loadBalancerSourceRanges": ["10.0.0.0/8"]})
    return close, Remedy("or let only certain addresses in (10.0.0.0/8 is an example)", restrict)


def _patch(case: Case, spec: dict[str, object]) -> str:
    return patch_command(case.namespace, f"service {case.name}", {"spec": spec})


# --- administration ----------------------------------------------------------------------------------------------


class Tool(NamedTuple):
    """Why a Service port looks like one for administration."""

    port: ServicePort
    place: int
    sign: str
    is_certain: bool  # the port's own name says so, or the program


def _tool(case: Case, index: int, port: ServicePort) -> Tool | None:
    names = [port.name, port.target_port if isinstance(port.target_port, str) else ""]
    if named := next((match[1] for name in names if (match := ADMIN_NAMES.search(name.lower()))), None):
        return Tool(port, index, f"called {named}", True)
    targets = {case.target_of(port, spec) for spec in case.backends}
    programs = (ADMIN_PROGRAMS.search(word) for word in (case.name, *map(image_name, _images(case, port))))
    program = next((match[0] for match in programs if match), None)
    known = next((number for number in (port.port, *targets) if number in ADMIN_PORTS), None)
    if known:
        return Tool(port, index, f"port {known}, known for {ADMIN_PORTS[known]}", program is not None)
    if program:
        return Tool(port, index, f"a port of {program}", True)
    if port.port in SHARED_PORTS and case.type == "LoadBalancer":
        return Tool(port, index, f"port {port.port}, known for {SHARED_PORTS[port.port]}", False)
    return None


def _images(case: Case, port: ServicePort) -> list[str]:
    return [item.image for spec in case.backends for item in _answering(spec, case.target_of(port, spec))]


def _administration(case: Case, tools: list[Tool]) -> Finding:
    first = tools[0]
    doubt = Evidence("otherwise", "another program may use the port", "no name and no image here says more")
    others = [port for index, port in enumerate(case.ports) if index not in {tool.place for tool in tools}]
    patch = [{"op": "remove", "path": f"/spec/ports/{tool.place}"} for tool in reversed(tools)]
    return fail(
        "sec-admin-public",
        case.subject,
        f"a port for administration is open to the outside: {first.sign}, through {_way(case, first.port)}",
        Evidence("type", case.type, f"service/{case.name} .spec.type"),
        *(
            Evidence("port", f"{tool.port.port} -> {tool.port.target_port}: {tool.sign}", _place(case, tool.place))
            for tool in tools
        ),
        *_source_ranges(case),
        *([] if all(tool.is_certain for tool in tools) else [doubt]),
        remedies=(Remedy("take it out of the Service", patch_command(case.namespace, f"service {case.name}", patch)),)
        if others
        else _remedies(case),
        inferred=not all(tool.is_certain for tool in tools),
    )


# --- node ports in production ------------------------------------------------------------------------------------


def _production(case: Case) -> str:
    """What says that the namespace is a production one; "" if nothing does, or if this is the way in."""
    if case.is_entry_point:
        return ""
    if PRODUCTION.search(case.namespace):
        return f"its name is {case.namespace}"
    namespace = case.or_without(lambda: case.listed("namespaces", ""), {}).get(case.namespace)
    for key, value in sorted(((namespace.metadata.labels if namespace else None) or {}).items()):
        if re.split(r"[/.]", key.lower())[-1] in ENVIRONMENT_KEYS and PRODUCTION.fullmatch(value.lower()):
            return f"its label {key} is {value}"
    return ""


def _node_port(case: Case, production: str, because: str | None) -> Finding:
    ports = [str(port.node_port) for port in case.ports if port.node_port]
    return warn(
        "sec-nodeport-prod",
        case.subject,
        f"open on port {listing(ports)} of every node, in a production namespace ({production})",
        Evidence("type", "NodePort", f"service/{case.name} .spec.type"),
        Evidence("node ports", listing(ports), f"service/{case.name} .spec.ports[].nodePort"),
        Evidence(
            "otherwise", "an external load balancer may stand before the nodes", "nothing in the cluster would show it"
        ),
        remedies=(
            Remedy(
                "make it ClusterIP, once an Ingress, a Gateway or a load balancer serves it",
                _patch(case, {"type": "ClusterIP"}),
            ),
        ),
        inferred=True,
        because=because,
    )
