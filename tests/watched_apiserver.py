"""A simulated API server that can be watched: what a test changes goes out to every watch.

with WatchedApiServer(simulate([...])) as server:
    server.change("services", "MODIFIED", document)
    server.silence("pods")          # watches of Pods end, and are refused from now on
"""

from __future__ import annotations

import copy
import json
import threading
from typing import Any

from fake_apiserver import Exchange, failure
from simulated_apiserver import SimulatedApiServer, _place
from svcdoctor.world import World

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


class WatchedApiServer(SimulatedApiServer):
    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.silent: set[str] = set()
        """Kinds whose lists and watches are refused with 503."""
        self.held: set[str] = set()
        """Kinds whose lists get no answer."""
        self._events: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        self._news = threading.Condition()

    def get(self, resource: str, namespace: str, name: str) -> dict[str, Any]:
        """A copy of an object, to be changed."""
        found = (item for item in self.documents(resource, namespace) if item["metadata"]["name"] == name)
        return copy.deepcopy(next(found))

    def change(self, resource: str, kind: str, document: dict[str, Any]) -> None:
        """ADDED, MODIFIED or DELETED."""
        key = (document["metadata"].get("namespace", ""), document["metadata"]["name"])
        with self._news:
            kept = [
                item
                for item in self._documents.get(resource, [])
                if (item["metadata"].get("namespace", ""), item["metadata"]["name"]) != key
            ]
            self._documents[resource] = kept if kind == "DELETED" else [*kept, document]
            self._events.setdefault(resource, []).append((kind, document))
            self._news.notify_all()

    def silence(self, resource: str) -> None:
        with self._news:
            self.silent.add(resource)
            self._news.notify_all()

    def speak(self, resource: str) -> None:
        self.silent.discard(resource)

    def _answer(self, exchange: Exchange) -> None:
        request = exchange.request
        place = _place(request.path)
        if place is None or place.name or request.path in self._answers:
            super()._answer(exchange)
        elif place.resource.name in self.held:
            exchange.hang()
        elif place.resource.name in self.silent:
            exchange.send(failure(503, "the server is not ready", "ServiceUnavailable"))
        elif "watch" in request.query and not self.forbids(place.resource.name, place.namespace):
            self._stream(exchange, place.resource.name, place.namespace)
        else:
            super()._answer(exchange)

    def _stream(self, exchange: Exchange, resource: str, namespace: str) -> None:
        # Versions are those of events, counted from 1; a list has version 1, so that it is followed by all of them.
        seen = int(exchange.request.query["resourceVersion"][0]) - 1
        exchange.send(HEAD)
        while not self.over.is_set() and resource not in self.silent:
            with self._news:
                if len(self._events.get(resource, ())) <= seen and resource not in self.silent:
                    self._news.wait(0.2)
                events = self._events.get(resource, [])[seen:]
            for kind, document in events:
                seen += 1
                if namespace in ("", document["metadata"].get("namespace", "")):
                    item = {**document, "metadata": {**document["metadata"], "resourceVersion": str(seen + 1)}}
                    line = json.dumps({"type": kind, "object": item}).encode() + b"\n"
                    exchange.send(b"%x\r\n%s\r\n" % (len(line), line))
        raise ConnectionAbortedError
