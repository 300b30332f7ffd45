"""How far a Service is open: what keeps a load balancer from serving everyone, which addresses are public; and by what
a data store is known, which should not be."""

from __future__ import annotations

import ipaddress
import re

from svcdoctor.objects import Service
from svcdoctor.text import listing

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


def closed(service: Service, addresses: list[str]) -> str:
    """What keeps a load balancer at these addresses from serving everyone; "" if nothing does."""
    annotations = service.metadata.annotations or {}
    ranges = source_ranges(service)
    if ranges and not any(item in EVERYONE for item in ranges):
        return f"source ranges {listing(ranges)}"
    internal = next(
        (f"{key}={value}" for key, value in sorted(annotations.items()) if _asks_for_internal(key, value)), ""
    )
    if internal:
        return f"annotation {internal}"
    if service.spec.load_balancer_class in INTERNAL_CLASSES and "internet-facing" not in annotations.values():
        return f"class {service.spec.load_balancer_class}"
    return f"private address {listing(addresses)}" if addresses and all(map(is_private, addresses)) else ""


def source_ranges(service: Service) -> list[str]:
    """Who may connect to the load balancer, by its spec or by the annotation that came before; [] is everyone."""
    annotated = (service.metadata.annotations or {}).get("service.beta.kubernetes.io/load-balancer-source-ranges", "")
    return service.spec.load_balancer_source_ranges or [item.strip() for item in annotated.split(",") if item.strip()]


def _asks_for_internal(key: str, value: str) -> bool:
    """Each cloud has its own: the key says `internal` and the value does not deny it, or the value says so."""
    said = value.lower()
    return ("internal" in key.lower() and said not in ("", "0", "false")) or said in ("internal", "intranet", "private")


def is_private(value: str) -> bool:
    """Whether an address of a load balancer is reached from private networks alone. AWS says it in the name."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return value.startswith("internal-")
    return any(address in network for network in PRIVATE if network.version == address.version)


def image_name(image: str) -> str:
    return image.rsplit("/", 1)[-1].split("@")[0].split(":")[0].lower()
