"""An API server for a World that tests/simulate.py made: lists in pages, single objects, refusals, access reviews.

    world = simulate([...])
    with SimulatedApiServer(world) as server:
        server.forbids = lambda resource, namespace: resource == "pods" and not namespace
        server.kubeconfig(tmp_path)

What `on()` sets for a path comes first, as with the server below it. Times are moved so that what is an hour old in the
World is an hour old for a process that asks the clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from fake_apiserver import Exchange, FakeApiServer, Received, failure, reply
from svcdoctor.objects import RESOURCES, Resource
from svcdoctor.world import EVERYWHERE, World

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_SUBRESOURCES = "exec|portforward|ephemeralcontainers"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class SimulatedApiServer(FakeApiServer):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.forbids: Callable[[str, str], bool] = lambda resource, namespace: False
        """Whether a resource (`pods`, `pods/exec`) is refused in a namespace ("" is the whole cluster)."""
        self.page = 500
        """The most objects that one answer holds, whatever is asked for."""
        self._documents: dict[str, list[dict[str, Any]]] = {}
        shift = datetime.now(UTC) - world.now
        for name, resource in RESOURCES.items():
            for item in world.everywhere(name)[0]:
                text = msgspec.json.encode(item).decode()
                moved = _TIME.sub(lambda match: _time(datetime.fromisoformat(match[0]) + shift), text)
                self.add(name, {"kind": resource.kind, **json.loads(moved)})

    def add(self, resource: str, document: dict[str, Any]) -> None:
        """One more object, as it goes over the wire: odd ones too."""
        self._documents.setdefault(resource, []).append(document)

    def documents(self, resource: str, namespace: str = EVERYWHERE) -> list[dict[str, Any]]:
        """The objects of a kind as they are served, in one namespace or in all."""
        found = self._documents.get(resource, [])
        return [item for item in found if namespace in (EVERYWHERE, item["metadata"].get("namespace", ""))]

    @property
    def lists(self) -> list[str]:
        """The paths of the lists that were asked for, each page once, in the order they came."""
        return [
            request.path
            for request in self.received
            if (place := _place(request.path)) and not place.name and request.method == "GET"
        ]

    def _answer(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.path in self._answers or request.method == "CONNECT":
            super()._answer(exchange)
        else:
            exchange.send(self._said(request))

    def _said(self, request: Received) -> bytes:
        if request.path == "/version":
            return reply({"gitVersion": "v1.37.2"})
        if request.path == REVIEWS:
            asked = json.loads(request.body)["spec"]["resourceAttributes"]
            name = "/".join(word for word in (asked["resource"], asked.get("subresource")) if word)
            return reply({"status": {"allowed": not self.forbids(name, asked.get("namespace", ""))}}, 201)
        place = _place(request.path)
        if place is None:
            return failure(404, "the server could not find the requested resource", "NotFound")
        if self.forbids(place.what, place.namespace):
            verb = "create" if place.subresource else "get" if place.name else "list"
            where = f'in the namespace "{place.namespace}"' if place.namespace else "at the cluster scope"
            message = f'{place.what} is forbidden: User "someone" cannot {verb} resource "{place.what}" {where}'
            return failure(403, message, "Forbidden")
        found = self.documents(place.resource.name, place.namespace)
        if not place.name:
            return self._list(place, found, request)
        one = next((document for document in found if document["metadata"]["name"] == place.name), None)
        if one is None or place.subresource:
            return failure(404, f'{place.resource.name} "{place.name}" not found', "NotFound")
        return reply(one)

    def _list(self, place: _Place, found: list[dict[str, Any]], request: Received) -> bytes:
        start = int(request.query.get("continue", ["0"])[0])
        end = start + min(self.page, int(request.query.get("limit", ["500"])[0]))
        more = {"continue": str(end)} if end < len(found) else {}
        kind = f"{place.resource.kind}List"
        return reply({"kind": kind, "metadata": {"resourceVersion": "1", **more}, "items": found[start:end]})


class _Place(msgspec.Struct):
    resource: Resource
    namespace: str
    name: str
    subresource: str

    @property
    def what(self) -> str:
        """As RBAC names it."""
        return f"{self.resource.name}/{self.subresource}" if self.subresource else self.resource.name


def _place(path: str) -> _Place | None:
    """What a path stands for, where it is that of a kind we know."""
    return next(_places(path), None)


def _places(path: str) -> Iterator[_Place]:
    for resource in RESOURCES.values():
        root = re.escape(resource.path().removesuffix(f"/{resource.plural}"))
        scope = r"(?:/namespaces/(?P<namespace>[^/]+))?" if resource.namespaced else "(?P<namespace>)"
        match = re.fullmatch(
            rf"{root}{scope}/{resource.plural}(?:/(?P<name>[^/]+)(?:/(?P<subresource>{_SUBRESOURCES}))?)?", path
        )
        if match:
            yield _Place(resource, match["namespace"] or "", match["name"] or "", match["subresource"] or "")


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
