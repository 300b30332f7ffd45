"""An API server for benchmarks, in a process of its own: lists in gzipped pages, watches with bookmarks, churn.

    python bench/apiserver.py SERVICES        # prints its port when it is ready, stops when its standard input ends

Besides the API it has GET /bench/stats, /bench/churn?rate=N (Pod events a second; 0 stops them),
/bench/churn?events=N (at least so many events, as fast as they are taken),
/bench/break?service=N and /bench/heal?service=N (a selector that finds nothing, and the right one again), and
/bench/slow?milliseconds=N&megabits=N (each answer waits, and takes what such a line would; 0 is as fast as it goes).
Pages of all namespaces are made before the port is printed, those of one namespace when they are first asked for.
Churn is rolling restarts: each takes nine Pod events and three of the slice, and brings a Pod that never was before.
Of each kind the latest events are kept, as in a real server's watch cache: who asks for older ones is told 410.
"""

from __future__ import annotations

import gzip
import itertools
import json
import re
import socket
import sys
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import world

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from svcdoctor.objects import RESOURCES, Resource

PAGE = 500
KEPT = 10_000  # events of a kind
AHEAD = 500  # of the slowest watch, when events come as fast as they are taken
RESTARTS, STEPS = 40, 9  # at a time, and of each
COMPRESSED = 128 * 1024  # smaller answers go as they are, as the API server's do
HEAD = "HTTP/1.1 {} OK\r\nContent-Type: application/json\r\n"
Told = tuple[str, str, world.Document]  # resource, kind of event, object
Slots = list[tuple[int, int, bool]]
NAMESPACED = re.compile(r"/namespaces/([^/]+)/")
PATHS = {resource.path(): resource for resource in RESOURCES.values()}


def place_of(path: str) -> tuple[Resource, str] | None:
    """The kind and the namespace ("" is all) that a list's path asks for."""
    resource = PATHS.get(path)
    if resource:
        return resource, ""
    found = NAMESPACED.search(path)
    resource = PATHS.get(NAMESPACED.sub("/", path, count=1)) if found else None
    return (resource, found[1]) if found and resource else None


def discovery() -> bytes:
    """What the server says that it has: the kinds of a cluster without add-ons (an APIGroupDiscoveryList)."""
    groups: dict[tuple[str, str], list[world.Document]] = defaultdict(list)
    for resource in RESOURCES.values():
        if resource.group and (not resource.optional or resource.name in ("servicecidrs", "apiservices")):
            groups[resource.group, resource.version].append({"resource": resource.name})
    items = [
        {"metadata": {"name": group}, "versions": [{"version": version, "resources": resources}]}
        for (group, version), resources in groups.items()
    ]
    return json.dumps({"kind": "APIGroupDiscoveryList", "items": items}).encode()


def chunk(line: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(line), line)


class Log:
    """The latest events of a kind, a line each, and how far each watch has sent them."""

    def __init__(self) -> None:
        self.count = 0  # of all that there were
        self.forgotten = 0  # the version of the last one that is not kept
        self.sent: dict[int, int] = {}  # by connection, the version
        self._versions: list[int] = []
        self._lines: list[bytes] = []

    def add(self, version: int, line: bytes) -> None:
        self.count += 1
        self._versions.append(version)
        self._lines.append(line)
        if len(self._lines) == 2 * KEPT:
            self.forgotten = self._versions[KEPT - 1]
            del self._versions[:KEPT], self._lines[:KEPT]

    def after(self, version: int) -> list[bytes]:
        return self._lines[bisect_right(self._versions, version) :]

    @property
    def waiting(self) -> int:
        """Events that the slowest watch has not sent."""
        sent = list(self.sent.values())
        return len(self._versions) - bisect_right(self._versions, min(sent)) if sent else 0


class Server:
    def __init__(self, count: int) -> None:
        self.count = count
        self.pages: dict[tuple[str, str], list[bytes]] = {}  # by kind and namespace
        self.logs: dict[str, Log] = defaultdict(Log)
        self.news = threading.Condition()
        self.version = 1
        self.rate = 0.0
        self.left = 0  # events that are yet to come as fast as they are taken
        self.sent: dict[str, tuple[float, int, int]] = {}  # the last page of each kind: when, how often, bytes
        self.asked: list[str] = []  # the paths, since the last stats
        self.watches = 0
        self.delay = 0.0  # seconds before each answer
        self.bandwidth = 0.0  # bytes a second; 0 is no limit
        self.making = threading.Lock()
        for resource, pages in self._all_pages().items():
            self.pages[resource, ""] = pages

    def _all_pages(self) -> dict[str, list[bytes]]:
        """Page by page, so that nothing is held twice."""
        waiting: dict[str, list[bytes]] = defaultdict(list)
        pages: dict[str, list[bytes]] = {resource: [] for resource in RESOURCES}
        for resource, document in world.documents(self.count):
            if len(waiting[resource]) == PAGE:
                pages[resource].append(self._page(resource, waiting.pop(resource), len(pages[resource]) + 1))
            waiting[resource].append(msgspec.json.encode(document))
        for resource in RESOURCES:
            pages[resource].append(self._page(resource, waiting[resource]))
        return pages

    def _pages_of(self, resource: str, namespace: str) -> list[bytes]:
        with self.making:
            if (resource, namespace) not in self.pages:
                found: dict[str, list[bytes]] = defaultdict(list)
                for kind, document in world.documents(self.count, namespace):
                    found[kind].append(msgspec.json.encode(document))
                for kind in RESOURCES:
                    items = found[kind]
                    starts = range(0, max(len(items), 1), PAGE)
                    self.pages[kind, namespace] = [
                        self._page(kind, items[at : at + PAGE], at // PAGE + 1 if at + PAGE < len(items) else 0)
                        for at in starts
                    ]
            return self.pages[resource, namespace]

    def _page(self, resource: str, items: list[bytes], following: int = 0) -> bytes:
        """`following` is the page that comes after this one; 0: none."""
        kind = RESOURCES[resource].kind
        metadata = {"resourceVersion": "1"} | ({"continue": str(following)} if following else {})
        head = f'{{"kind":"{kind}List","apiVersion":"v1","metadata":{json.dumps(metadata)},"items":['
        body = head.encode() + b",".join(items) + b"]}\n"
        lines = HEAD.format(200)
        if len(body) > COMPRESSED:
            body = gzip.compress(body, 1)
            lines += "Content-Encoding: gzip\r\n"
        return f"{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body

    # --- answering

    def serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, connection.makefile("rb") as lines:
            try:
                while line := lines.readline():
                    target = line.split()[1].decode()
                    while lines.readline() not in (b"\r\n", b""):
                        pass
                    parts = urlsplit(target)
                    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                    self._answer(connection, parts.path, query)
            except OSError:
                return

    def _answer(self, connection: socket.socket, path: str, query: dict[str, str]) -> None:
        asked = place_of(path)
        if path.startswith("/bench/"):
            body = json.dumps(self._command(path.rpartition("/")[2], query)).encode()
            connection.sendall(f"{HEAD.format(200)}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return
        self.asked.append(path)
        time.sleep(self.delay)
        if path == "/apis":
            body = discovery()
            connection.sendall(f"{HEAD.format(200)}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        elif asked is None or (query.get("watch") == "true" and "resourceVersion" not in query):
            # Nobody was given a version to watch from of what the discovery does not name.
            connection.sendall(f"{HEAD.format(404)}Content-Length: 2\r\n\r\n{{}}".encode())
        elif query.get("watch") == "true":
            self._watch(connection, asked[0].name, int(query["resourceVersion"]))
        else:
            name = asked[0].name
            page = self._pages_of(name, asked[1])[int(query.get("continue") or 0)]
            self._send(connection, page)
            _, times, size = self.sent.get(name, (0, 0, 0))
            self.sent[name] = (time.monotonic(), times + 1, size + len(page))

    def _send(self, connection: socket.socket, page: bytes) -> None:
        """At once, or as slowly as the line is."""
        step = max(int(self.bandwidth / 100), 1) if self.bandwidth else len(page)
        for start in range(0, len(page), step):
            connection.sendall(page[start : start + step])
            if self.bandwidth:
                time.sleep(step / self.bandwidth)

    def _watch(self, connection: socket.socket, resource: str, version: int) -> None:
        connection.sendall((HEAD.format(200) + "Transfer-Encoding: chunked\r\n\r\n").encode())
        self.watches += 1
        log = self.logs[resource]
        bookmark = time.monotonic() + 60
        try:
            while version >= log.forgotten:
                log.sent[connection.fileno()] = version
                with self.news:
                    if not log.after(version):
                        self.news.wait(max(bookmark - time.monotonic(), 0.01))
                    lines, version = log.after(version), self.version
                if time.monotonic() >= bookmark:
                    bookmark = time.monotonic() + 60
                    moved = {"kind": RESOURCES[resource].kind, "metadata": {"resourceVersion": str(version)}}
                    lines = [*lines, msgspec.json.encode({"type": "BOOKMARK", "object": moved}) + b"\n"]
                # The API server sends each event as a chunk of its own.
                connection.sendall(b"".join(map(chunk, lines)))
            gone = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410}
            connection.sendall(chunk(msgspec.json.encode({"type": "ERROR", "object": gone}) + b"\n") + chunk(b""))
        finally:
            log.sent.pop(connection.fileno(), None)

    def _command(self, word: str, query: dict[str, str]) -> object:
        if word == "churn":
            self.rate = float(query.get("rate", 0))
            self.left = int(query.get("events", 0))
        elif word == "slow":
            self.delay = float(query.get("milliseconds", 0)) / 1000
            self.bandwidth = float(query.get("megabits", 0)) * 125_000
        elif word in ("break", "heal"):
            number = int(query["service"])
            self._tell("services", "MODIFIED", world.service(self.count, number, broken=word == "break"))
        sent = self.sent.items()
        asked, self.asked = self.asked, []
        return {
            "asked": asked,
            "bytes": sum(size for _, _, size in self.sent.values()),
            "pages": {name: {"last": at, "pages": times, "bytes": size} for name, (at, times, size) in sent},
            "watches": self.watches,
            "events": {name: log.count for name, log in self.logs.items()},
            "waiting": {name: log.waiting for name, log in self.logs.items()},
            "now": time.monotonic(),
        }

    # --- churn

    def _tell(self, resource: str, kind: str, document: world.Document) -> None:
        with self.news:
            self.version += 1
            document["metadata"]["resourceVersion"] = str(self.version)
            self.logs[resource].add(self.version, msgspec.json.encode({"type": kind, "object": document}) + b"\n")
            self.news.notify_all()

    def churn(self) -> None:
        """For ever: as many Pod events a second as are wanted, from forty restarts at a time.

        Those that have begun are ended, as fast as they are taken.
        """
        steps = [self._restart(start) for start in range(RESTARTS)]
        due = time.monotonic()
        turn = 0
        while True:
            rate = self.rate  # which another thread may set to 0 at any time
            if not rate and self.left <= 0 and turn % (RESTARTS * STEPS) == 0:
                time.sleep(0.05)
                due = time.monotonic()
                continue
            told = next(steps[turn % len(steps)])
            for resource, kind, document in told:
                self._tell(resource, kind, document)
            turn += 1
            self.left -= len(told)
            due += 1 / rate if rate else 0
            time.sleep(max(due - time.monotonic(), 0))
            while self.logs["pods"].waiting > AHEAD and not self.rate:
                time.sleep(0.001)

    def _restart(self, start: int) -> Iterator[list[Told]]:
        """One Pod after the other is replaced; each step is one event of a Pod and what its slice has to say.

        At the end the first Pod stands there again, so that the world is at any time what it was, but for forty Pods.
        """
        for turn in itertools.count():
            number, slot = (start + turn * RESTARTS) * 11 % self.count, turn % world.PODS
            if world.fault(number):
                continue
            others = [(other, 0, True) for other in range(world.PODS) if other != slot]
            old, new = partial(world.pod, self.count, number, slot), partial(world.pod, self.count, number, slot)
            new.keywords["generation"] = turn + 1

            def endpoints(*mine: int, number: int = number, others: Slots = others, slot: int = slot) -> Told:
                slots = [*others, *((slot, generation, True) for generation in mine)]
                return "endpointslices", "MODIFIED", world.endpointslice(self.count, number, slots)

            yield [("pods", "ADDED", new(phase="Pending", ready=False, scheduled=False))]
            yield [("pods", "MODIFIED", new(phase="Pending", ready=False))]
            yield [("pods", "MODIFIED", new(ready=False))]
            yield [("pods", "MODIFIED", new()), endpoints(0, turn + 1)]
            yield [("pods", "MODIFIED", old(deleted=True)), endpoints(turn + 1)]
            yield [("pods", "MODIFIED", old(ready=False, deleted=True))]
            yield [("pods", "DELETED", old(ready=False, deleted=True))]
            yield [("pods", "ADDED", old()), endpoints(0)]
            yield [("pods", "DELETED", new())]


def main() -> None:
    server = Server(int(sys.argv[1]))
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=server.serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    threading.Thread(target=server.churn, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
