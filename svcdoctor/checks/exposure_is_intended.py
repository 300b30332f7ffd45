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

sec-nodeport-prod
    A Service of a production namespace is open on a port of every node.
    Why it breaks      Node ports go around the load balancer, its certificates and its filters: whoever reaches a node
                       reaches the program. When a node goes, clients that dialled it fail.
    Confirm by hand    kubectl -n {namespace} get service {name} -o wide
    Fix                Serve it through an Ingress, a Gateway or a load balancer, and make the Service ClusterIP.
    Not a fault when   It is the way in of an ingress controller, or an external load balancer stands before the nodes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import NamedTuple

from svcdoctor.case import Case, given_addresses
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, skipped, warn
from svcdoctor.objects import Container, PodSpec, ServicePort
from svcdoctor.reconcile import serving_containers
from svcdoctor.template import WORKLOAD_RESOURCES
from svcdoctor.text import listing, patch_command

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "sec-db-public": Code(Stage.ENTRY, settles=False),
        "sec-nodeport-prod": Code(Stage.ENTRY, settles=False),
    },
    reads=(
        "services",
        "namespaces",
        "pods",
        *WORKLOAD_RESOURCES,
    ),
)

STORE_PORTS = {
    3306: "MySQL",
    5432: "PostgreSQL",
    6379: "Redis",
    27017: "MongoDB",
    9200: "Elasticsearch",
    9042: "Cassandra",
    11211: "memcached",
    2379: "etcd",
    5672: "RabbitMQ",
    9092: "Kafka",
}
# The last part of an image's name. Whole names only: postgres-exporter and kafka-ui are no data stores.
STORE_IMAGES = re.compile(
    r"(mysql|percona)(-server)?|mariadb(-galera)?|postgres(ql)?|postgis|timescaledb|redis(-stack(-server)?)?|valkey|keydb"
    r"|mongo(db(-community-server)?)?|elasticsearch|opensearch|cassandra|scylla|memcached|etcd|rabbitmq|(cp-)?kafka"
    r"|redpanda|clickhouse(-server)?|couchdb|couchbase|influxdb|neo4j"
)
PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
)
# Classes whose load balancers are internal unless they are asked to face the internet.
INTERNAL_CLASSES = ("tailscale", "service.k8s.aws/nlb", "eks.amazonaws.com/nlb")
EVERYONE = ("0.0.0.0/0", "::/0")
PRODUCTION = re.compile(r"(?<![a-z0-9])(?<!non-)(?<!pre-)(?<!not-)(prod|prd|production)(?![a-z0-9])")
ENVIRONMENT_KEYS = ("env", "environment", "stage", "tier", "deployment-environment")
ENTRY_POINTS = re.compile(r"ingress|gateway|traefik|haproxy|envoy|contour|kong|istio")


class Store(NamedTuple):
    """Why a Service port looks like a data store's."""

    port: ServicePort
    place: int
    by_number: int | None
    image: str


def run(case: Case) -> Iterator[Finding]:
    if case.type not in ("LoadBalancer", "NodePort"):
        return
    if case.type == "LoadBalancer" and (closed := _closed(case)):
        yield skipped(case.subject, f"not open to everyone: {closed}")
        return
    stores = [store for index, port in enumerate(case.ports) if (store := _store(case, index, port))]
    if stores:
        yield _database(case, stores)
    production = _production(case) if case.type == "NodePort" else ""
    if production:
        yield _node_port(case, production, because="sec-db-public" if stores else None)
    if not stores and not production:
        yield passed(case.subject, f"type {case.type}, no data store behind it")


# --- how far it is open ------------------------------------------------------------------------------------------


def _closed(case: Case) -> str:
    """What keeps a load balancer from serving everyone; "" if nothing does."""
    annotations = case.service.metadata.annotations or {}
    ranges = case.spec.load_balancer_source_ranges or [
        item.strip()
        for item in annotations.get("service.beta.kubernetes.io/load-balancer-source-ranges", "").split(",")
        if item.strip()
    ]
    if ranges and not any(item in EVERYONE for item in ranges):
        return f"source ranges {listing(ranges)}"
    internal = next(
        (f"{key}={value}" for key, value in sorted(annotations.items()) if _asks_for_internal(key, value)), ""
    )
    if internal:
        return f"annotation {internal}"
    if case.spec.load_balancer_class in INTERNAL_CLASSES and "internet-facing" not in annotations.values():
        return f"class {case.spec.load_balancer_class}"
    addresses = given_addresses(case.service)
    return f"private address {listing(addresses)}" if addresses and all(map(_is_private, addresses)) else ""


def _asks_for_internal(key: str, value: str) -> bool:
    """Each cloud has its own: the key says `internal` and the value does not deny it, or the value says so."""
    said = value.lower()
    return ("internal" in key.lower() and said not in ("", "0", "false")) or said in ("internal", "intranet", "private")


def _is_private(value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return any(address in network for network in PRIVATE if network.version == address.version)


# --- data stores -------------------------------------------------------------------------------------------------


def _store(case: Case, index: int, port: ServicePort) -> Store | None:
    """By port or by image; the image counts if its container is the one that would answer."""
    targets = [(spec, case.target_of(port, spec)) for spec in case.backends]
    known = next((number for number in (port.port, *(target for _, target in targets)) if number in STORE_PORTS), None)
    images = [container.image for spec, target in targets for container in _answering(spec, target)]
    image = next((image for image in images if STORE_IMAGES.fullmatch(_image_name(image))), "")
    return Store(port, index, known, image) if known or image else None


def _answering(spec: PodSpec, target: int | None) -> list[Container]:
    containers = serving_containers(spec)
    declaring = [item for item in containers if any(port.container_port == target for port in item.ports or [])]
    return declaring or (containers if len(containers) == 1 else [])


def _image_name(image: str) -> str:
    return image.rsplit("/", 1)[-1].split("@")[0].split(":")[0].lower()


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
        f"service/{case.name} .spec.ports[{store.place}]",
    )


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


# --- node ports in production ------------------------------------------------------------------------------------


def _production(case: Case) -> str:
    """What says that the namespace is a production one; "" if nothing does, or if this is the way in."""
    labels = case.service.metadata.labels or {}
    if ENTRY_POINTS.search(" ".join((case.name, case.namespace, *labels.values()))):
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
