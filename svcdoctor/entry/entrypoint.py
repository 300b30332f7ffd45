"""What leads requests from outside to Services: Ingresses and Routes, and which Services they name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from svcdoctor.finding import Subject
from svcdoctor.objects import Ingress, Route, Service

ENTRY_RESOURCES = {
    "ingresses": "Ingress",
    "httproutes": "HTTPRoute",
    "grpcroutes": "GRPCRoute",
    "tlsroutes": "TLSRoute",
}


class EntryBackend(NamedTuple):
    """A Service as an Ingress or a Route names it."""

    namespace: str
    name: str
    port: int | str | None  # number or name, as written; None where it says none
    weight: int | None
    source: str  # the field: `.spec.rules[0].http.paths[1].backend`


def backends_of(owner: Ingress | Route) -> list[EntryBackend]:
    """Every Service that an Ingress or a Route names, in its order, each once for a port."""
    found: dict[tuple[str, str, int | str | None], EntryBackend] = {}
    written = _ingress_backends(owner) if isinstance(owner, Ingress) else _route_backends(owner)
    for backend in written:
        found.setdefault((backend.namespace, backend.name, backend.port), backend)
    return list(found.values())


def _ingress_backends(ingress: Ingress) -> Iterator[EntryBackend]:
    written = [(ingress.spec.default_backend, ".spec.defaultBackend")]
    for number, rule in enumerate(ingress.spec.rules or ()):
        for index, path in enumerate((rule.http.paths if rule.http else None) or ()):
            written.append((path.backend, f".spec.rules[{number}].http.paths[{index}].backend"))
    for backend, source in written:
        if backend and backend.service:
            port = backend.service.port.name or backend.service.port.number or None
            yield EntryBackend(ingress.metadata.namespace, backend.service.name, port, None, source)


def _route_backends(route: Route) -> Iterator[EntryBackend]:
    for number, rule in enumerate(route.spec.rules or ()):
        for index, ref in enumerate(rule.backend_refs or ()):
            if ref.kind == "Service" and not ref.group:
                source = f".spec.rules[{number}].backendRefs[{index}]"
                namespace = ref.namespace or route.metadata.namespace
                yield EntryBackend(namespace, ref.name, ref.port, ref.weight, source)


class Entry(NamedTuple):
    """An object that leads requests from outside to Services: an Ingress or a Route of the Gateway API."""

    kind: str
    namespace: str
    name: str
    owner: Ingress | Route

    @property
    def subject(self) -> Subject:
        return Subject(self.kind, self.namespace, self.name)


def given_addresses(item: Service | Ingress) -> list[str]:
    """The addresses or names that a load balancer, or an ingress controller, has been given for it."""
    balancer = item.status.load_balancer if item.status else None
    return [item.ip or item.hostname or "" for item in (balancer.ingress if balancer else None) or []]
