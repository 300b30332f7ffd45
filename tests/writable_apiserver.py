"""The simulated cluster, in which Pods and containers can be added. No container has a shell, but those that are added.

server.refuses.add("POST pods")             as RBAC would
server.state = {"waiting": {...}}           of the containers that are added
server.created, server.deleted              what was asked for: (method, path, body), paths
"""

from __future__ import annotations

import json
from typing import Any

from fake_apiserver import Exchange, Received, failure, reply
from simulated_apiserver import REVIEWS, SimulatedApiServer, _place
from svcdoctor.world import World

NO_SHELL = 'exec: "sh": executable file not found in $PATH'


class WritableApiServer(SimulatedApiServer):
    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.refuses: set[str] = set()
        self.state: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        self.denies = ""
        """What admission says to whatever is added."""
        self.has_shells = False
        self.created: list[tuple[str, str, dict[str, Any]]] = []
        self.deleted: list[str] = []
        self.ended: list[str] = []
        """Containers that were told to end."""
        self._added: dict[tuple[str, str], list[str]] = {}

    def _answer(self, exchange: Exchange) -> None:
        path = exchange.request.path
        if path.endswith("/exec") and path not in self._answers:
            self._exec(exchange)
        else:
            super()._answer(exchange)

    def _exec(self, exchange: Exchange) -> None:
        *_, namespace, _, pod, _ = exchange.request.path.split("/")
        command, container = exchange.request.query["command"], exchange.request.query["container"][0]
        exchange.upgrade("v5.channel.k8s.io")
        if not self.has_shells and container not in self._added.get((namespace, pod), ()):
            exchange.message(3, json.dumps({"status": "Failure", "message": NO_SHELL}).encode())
        else:
            if command[-1].startswith("kill"):
                self.ended.append(f"{namespace}/{pod}/{container}")
            elif len(command) > 3:
                exchange.message(1, self._transcript(command[4], command[7:]).encode())
            exchange.message(3, json.dumps({"status": "Success"}).encode())
        exchange.close()

    def _transcript(self, token: str, names: list[str]) -> str:
        """What the script of probe.py prints where getent finds every Service."""
        lines = [f"{token} 1.0 tool getent"]
        services = {item["metadata"]["name"]: item for item in self.documents("services")}
        for number, name in enumerate(names, 1):
            service = services.get(name.partition(".")[0])
            lines += [f"{token} 1.0 name {number}", f"{token} 1.0 ask getent {name}"]
            if service:
                lines.append(f"{service['spec']['clusterIP']} STREAM {name.rstrip('.')}")
            lines.append(f"{token} 1.0 end {0 if service else 2}")
        search = "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5"
        return "\n".join(["", *lines, f"{token} 1.0 resolv", search, f"{token} 1.0 hosts", f"{token} 1.0 done", ""])

    def _said(self, request: Received) -> bytes:
        if request.path == REVIEWS:
            asked = json.loads(request.body)["spec"]["resourceAttributes"]
            method = {"delete": "DELETE", "create": "POST", "patch": "PATCH"}[asked["verb"]]
            what = "/".join(word for word in (asked["resource"], asked.get("subresource")) if word)
            return reply({"status": {"allowed": f"{method} {what}" not in self.refuses}}, 201)
        place = _place(request.path)
        if place is None or request.method == "GET":
            return super()._said(request) if "labelSelector" not in request.query else self._selected(request)
        if f"{request.method} {place.what}" in self.refuses:
            return failure(403, f'{place.what} is forbidden: User "someone" cannot do that', "Forbidden")
        if request.method == "DELETE":
            return self._delete(request.path, place.namespace, place.name)
        if self.denies:
            return failure(403, f'pods "web" is forbidden: {self.denies}', "Forbidden")
        body = json.loads(request.body)
        self.created.append((request.method, request.path, body))
        if request.method == "PATCH":
            container = body["spec"]["ephemeralContainers"][0]["name"]
            pod = self._pod(place.namespace, place.name)
            pod["status"].setdefault("ephemeralContainerStatuses", []).append({"name": container, "state": self.state})
            self._added.setdefault((place.namespace, place.name), []).append(container)
        else:
            pod, name = body, body["spec"]["containers"][0]["name"]
            phase = "Running" if "running" in self.state else "Pending"
            pod["status"] = {"phase": phase, "containerStatuses": [{"name": name, "state": self.state}]}
            self.add("pods", pod)
            self._added[place.namespace, pod["metadata"]["name"]] = [name]
        return reply(pod, 201)

    def _delete(self, path: str, namespace: str, name: str) -> bytes:
        pod = self._pod(namespace, name)
        if not pod:
            return failure(404, f'pods "{name}" not found', "NotFound")
        self._documents["pods"].remove(pod)
        self.deleted.append(path)
        return reply(pod)

    def _pod(self, namespace: str, name: str) -> dict[str, Any]:
        return next((pod for pod in self.documents("pods", namespace) if pod["metadata"]["name"] == name), {})

    def _selected(self, request: Received) -> bytes:
        """A list, of those alone that have the labels: KEY=VALUE, or KEY."""
        wanted = [item.partition("=")[::2] for item in request.query["labelSelector"][0].split(",")]
        answer = super()._said(request._replace(query={k: v for k, v in request.query.items() if k != "labelSelector"}))
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            return answer
        document = json.loads(body)
        document["items"] = [
            item
            for item in document["items"]
            if all(
                key in (labels := item["metadata"].get("labels") or {}) and value in ("", labels[key])
                for key, value in wanted
            )
        ]
        return reply(document)
