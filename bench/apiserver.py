"""An API server for benchmarks, in a process of its own: lists in gzipped pages, watches with bookmarks, churn.

    python bench/apiserver.py SERVICES        # prints its port when it is ready, stops when its standard input ends

Besides the API it has GET /bench/stats, /bench/churn?rate=N (Pod events a second; 0 stops them) and
/bench/break?service=N and /bench/heal?service=N (a selector that finds nothing, and the right one again). Pages are
made before the port is printed. Churn is rolling restarts: each takes nine Pod events and three of the slice.
"""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import world

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from svcdoctor.objects import RESOURCES

PAGE = 500
COMPRESSED = 128 * 1024  # smaller answers go as they are, as the API server's do
HEAD = "HTTP/1.1 {} OK\r\nContent-Type: application/json\r\n"
Told = tuple[str, str, world.Document]  # resource, kind of event, object
Slots = list[tuple[int, int, bool]]
PATHS = {resource.path(): resource for resource in RESOURCES.values()}


class Server:
    def __init__(self, count: int) -> None:
        self.count = count
        self.pages: dict[str, list[bytes]] = {}
        self.logs: dict[str, list[bytes]] = defaultdict(list)  # the events of each kind, from the start
        self.news = threading.Condition()
        self.version = 1
        self.rate = 0.0
        self.sent: dict[str, tuple[float, int, int]] = {}  # the last page of each kind: when, how often, bytes
        self.watches = 0
        found: dict[str, list[bytes]] = defaultdict(list)
        for resource, document in world.documents(count):
            found[resource].append(msgspec.json.encode(document))
        for resource in RESOURCES:
            items = found.pop(resource, [])
            self.pages[resource] = [self._page(resource, items, start) for start in range(0, max(len(items), 1), PAGE)]

    def _page(self, resource: str, items: list[bytes], start: int) -> bytes:
        kind = RESOURCES[resource].kind
        metadata = {"resourceVersion": "1"}
        if start + PAGE < len(items):
            metadata |= {"continue": str(start // PAGE + 1), "remainingItemCount": str(len(items) - start - PAGE)}
        head = f'{{"kind":"{kind}List","apiVersion":"v1","metadata":{json.dumps(metadata)},"items":['
        body = head.encode() + b",".join(items[start : start + PAGE]) + b"]}\n"
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
        resource = PATHS.get(path)
        if path.startswith("/bench/"):
            body = json.dumps(self._command(path.rpartition("/")[2], query)).encode()
            connection.sendall(f"{HEAD.format(200)}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        elif resource is None:
            connection.sendall(f"{HEAD.format(404)}Content-Length: 2\r\n\r\n{{}}".encode())
        elif query.get("watch") == "true":
            self._watch(connection, resource.name, int(query["resourceVersion"]))
        else:
            page = self.pages[resource.name][int(query.get("continue", 0))]
            connection.sendall(page)
            _, times, size = self.sent.get(resource.name, (0, 0, 0))
            self.sent[resource.name] = (time.monotonic(), times + 1, size + len(page))

    def _watch(self, connection: socket.socket, resource: str, version: int) -> None:
        connection.sendall((HEAD.format(200) + "Transfer-Encoding: chunked\r\n\r\n").encode())
        self.watches += 1
        log = self.logs[resource]
        seen = 0 if version <= 1 else len(log)
        bookmark = time.monotonic() + 60
        while True:
            with self.news:
                if len(log) <= seen:
                    self.news.wait(max(bookmark - time.monotonic(), 0.01))
                lines, seen = log[seen:], len(log)
            if time.monotonic() >= bookmark:
                bookmark = time.monotonic() + 60
                moved = {"kind": RESOURCES[resource].kind, "metadata": {"resourceVersion": str(self.version)}}
                lines = [*lines, msgspec.json.encode({"type": "BOOKMARK", "object": moved}) + b"\n"]
            # The API server sends each event as a chunk of its own.
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines)
            connection.sendall(chunks)

    def _command(self, word: str, query: dict[str, str]) -> object:
        if word == "churn":
            self.rate = float(query["rate"])
        elif word in ("break", "heal"):
            number = int(query["service"])
            self._tell("services", "MODIFIED", world.service(self.count, number, broken=word == "break"))
        sent = self.sent.items()
        return {
            "pages": {name: {"last": at, "pages": times, "bytes": size} for name, (at, times, size) in sent},
            "watches": self.watches,
            "events": {name: len(log) for name, log in self.logs.items()},
            "now": time.monotonic(),
        }

    # --- churn

    def _tell(self, resource: str, kind: str, document: world.Document) -> None:
        with self.news:
            self.version += 1
            document["metadata"]["resourceVersion"] = str(self.version)
            self.logs[resource].append(msgspec.json.encode({"type": kind, "object": document}) + b"\n")
            self.news.notify_all()

    def churn(self) -> None:
        """For ever: as many Pod events a second as are wanted, from forty restarts at a time."""
        steps = [self._restart(start) for start in range(40)]
        due = time.monotonic()
        turn = 0
        while True:
            if not self.rate:
                time.sleep(0.05)
                due = time.monotonic()
                continue
            for resource, kind, document in next(steps[turn % len(steps)]):
                self._tell(resource, kind, document)
            turn += 1
            due += 1 / self.rate
            time.sleep(max(due - time.monotonic(), 0))

    def _restart(self, start: int) -> Iterator[list[Told]]:
        """One Pod after the other is replaced; each step is one event of a Pod and what its slice has to say.

        At the end the first Pod stands there again, so that the world is at any time what it was, but for forty Pods.
        """
        for turn in itertools.count():
            number, slot = (start + turn * 40) * 11 % self.count, turn % world.PODS
            if world.fault(number):
                continue
            others = [(other, 0, True) for other in range(world.PODS) if other != slot]
            old, new = partial(world.pod, self.count, number, slot), partial(world.pod, self.count, number, slot)
            new.keywords["generation"] = 1

            def endpoints(*mine: int, number: int = number, others: Slots = others, slot: int = slot) -> Told:
                slots = [*others, *((slot, generation, True) for generation in mine)]
                return "endpointslices", "MODIFIED", world.endpointslice(self.count, number, slots)

            yield [("pods", "ADDED", new(phase="Pending", ready=False, scheduled=False))]
            yield [("pods", "MODIFIED", new(phase="Pending", ready=False))]
            yield [("pods", "MODIFIED", new(ready=False))]
            yield [("pods", "MODIFIED", new()), endpoints(0, 1)]
            yield [("pods", "MODIFIED", old(deleted=True)), endpoints(1)]
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
