"""An API server that can be watched and fails as it is told: some requests, in one way, until it is healed.

    with FaultyApiServer(world) as server:
        server.ail(FAULTS["login page"], "endpointslices", "endpoints")
        server.heal()

A Fault is given the exchange and what a healthy server would answer. `ail` without kinds is about every request.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from fake_apiserver import Exchange, failure, reply
from simulated_apiserver import _place
from svcdoctor.objects import RESOURCES
from watched_apiserver import HEAD, WatchedApiServer

Fault = Callable[[Exchange, bytes], None]

LOGIN = b"<!DOCTYPE html><html><body><form action=/login>Please log in <input name=user></form></body></html>"


class FaultyApiServer(WatchedApiServer):
    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.injected = 0
        """How many requests were answered by a fault."""
        self._fault: Fault | None = None
        self._kinds: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def ail(self, fault: Fault, *kinds: str) -> None:
        """From now on. Watches of these kinds that are under way end, and the next of them fails too."""
        self._fault, self._kinds = fault, frozenset(kinds)
        with self._news:
            self.silent |= self._kinds or set(RESOURCES)
            self._news.notify_all()

    def heal(self) -> None:
        self._fault = None
        self.silent.clear()

    def go_away(self) -> None:
        """Nobody listens any more, and every connection is cut."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(5)
        self._listener.close()
        for connection in list(self._connections):
            shut(connection)
        self._connections.clear()

    def come_back(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __exit__(self, *args: object) -> None:
        if self._listener.fileno() < 0:
            self.come_back()
        super().__exit__(*args)

    def ail_no_more(self, exchange: Exchange) -> None:
        """Answer this one as a healthy server does."""
        super()._answer(exchange)

    def _answer(self, exchange: Exchange) -> None:
        place = _place(exchange.request.path)
        kind = place.resource.name if place else ""
        fault = self._fault
        if fault is None or (self._kinds and kind not in self._kinds):
            super()._answer(exchange)
            return
        with self._lock:
            self.injected += 1
        fault(exchange, HEAD if "watch" in exchange.request.query else self._said(exchange.request))


def shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it ended by itself
        connection.shutdown(socket.SHUT_RDWR)


# --- faults ------------------------------------------------------------------------------------------------------


def says(answer: bytes) -> Fault:
    return lambda exchange, _: exchange.send(answer)


def makes(change: Callable[[Any], Any]) -> Fault:
    """What a healthy server would say, changed: a document in, a document or the bytes of one out."""

    def answer(exchange: Exchange, honest: bytes) -> None:
        if "watch" in exchange.request.query:
            exchange.send(honest)
            exchange.hang()
        head, _, body = honest.partition(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            exchange.send(honest)
        else:
            exchange.send(reply(change(json.loads(body))))

    return answer


def cut(exchange: Exchange, honest: bytes) -> None:
    exchange.send(honest[: len(honest) - 9])
    raise ConnectionAbortedError


def reset(exchange: Exchange, honest: bytes) -> None:
    exchange.send(honest[: len(honest) // 2])
    exchange.reset()


def hang_up(exchange: Exchange, _: bytes) -> None:
    raise ConnectionAbortedError


def hang(exchange: Exchange, _: bytes) -> None:
    exchange.hang()


def drip(exchange: Exchange, honest: bytes) -> None:
    """A byte of the body now and then, so that no single read ever takes long."""
    head, blank, body = honest.partition(b"\r\n\r\n")
    exchange.send(head + blank)
    for index in range(len(body)):
        exchange.send(body[index : index + 1])
        if exchange.server.over.wait(0.05):
            raise ConnectionAbortedError


def drip_in_the_head(exchange: Exchange, _: bytes) -> None:
    """A header that never ends, so that the answer never begins."""
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Slow: ")
    while not exchange.server.over.wait(0.05):
        exchange.send(b".")
    raise ConnectionAbortedError


def half_packed(exchange: Exchange, honest: bytes) -> None:
    body = gzip.compress(honest.partition(b"\r\n\r\n")[2])
    exchange.send(reply(body[: len(body) // 2], content_encoding="gzip"))


def badly_packed(exchange: Exchange, honest: bytes) -> None:
    body = bytearray(gzip.compress(honest.partition(b"\r\n\r\n")[2]))
    body[len(body) // 2] ^= 0xFF
    exchange.send(reply(bytes(body), content_encoding="gzip"))


def not_packed(exchange: Exchange, honest: bytes) -> None:
    exchange.send(reply(honest.partition(b"\r\n\r\n")[2], content_encoding="gzip"))


def endless_pages(exchange: Exchange, honest: bytes) -> None:
    """The first page again and again, each time with a token."""
    _pages(exchange, honest, lambda token: "1")


def gone_in_the_middle(exchange: Exchange, honest: bytes) -> None:
    """Every token is too old at once; and without pages the list is refused, for it is too large."""
    if "continue" in exchange.request.query:
        exchange.send(failure(410, "the provided continue parameter is too old", "Expired"))
    elif "limit" not in exchange.request.query:
        exchange.send(failure(504, "the list took too long", "Timeout"))
    else:
        _pages(exchange, honest, lambda token: "1")


def _pages(exchange: Exchange, honest: bytes, token: Callable[[str], str]) -> None:
    if "watch" in exchange.request.query:
        raise ConnectionAbortedError
    document = json.loads(honest.partition(b"\r\n\r\n")[2])
    if "items" in document:
        document["metadata"]["continue"] = token(exchange.request.query.get("continue", [""])[0])
    exchange.send(reply(document))


def _listed(document: Any, change: Callable[[list[Any]], Any]) -> Any:
    return {**document, "items": change(document["items"])} if "items" in document else document


REFUSED = 'User "someone" cannot do that'
# After any of these nothing is known of a list that was asked for; beside it the reason that is said.
BLIND: dict[str, tuple[Fault, str]] = {
    "cut off": (cut, "server-error"),
    "reset in the body": (reset, "server-error"),
    "truncated gzip": (half_packed, "malformed"),
    "damaged gzip": (badly_packed, "malformed"),
    "gzip that is none": (not_packed, "malformed"),
    "a slow drip": (drip, "timeout"),
    "a slow drip in the head": (drip_in_the_head, "timeout"),
    "no answer": (hang, "timeout"),
    "403": (says(failure(403, REFUSED, "Forbidden")), "forbidden"),
    "409": (says(failure(409, "the object has been modified", "Conflict")), "server-error"),
    "410 in the middle of a list": (gone_in_the_middle, "timeout"),
    "429 for an hour": (says(failure(429, "too many", "TooManyRequests", retry_after="3600")), "throttled"),
    "500": (says(failure(500, "etcdserver: leader changed", "InternalError")), "server-error"),
    "503": (says(reply(b"no healthy upstream", 503, content_type="text/plain")), "server-error"),
    "504": (says(failure(504, "timeout", "Timeout")), "timeout"),
    "an HTML error": (says(reply(b"<h1>502 Bad Gateway</h1>", 502, content_type="text/html")), "server-error"),
    "HTML": (says(reply(b"<html>hello</html>", content_type="text/html")), "malformed"),
    "a login page": (says(reply(LOGIN, content_type="text/html; charset=utf-8")), "malformed"),
    "a login page that claims to be JSON": (says(reply(LOGIN)), "malformed"),
    "a redirect to a login page": (says(reply(b"", 302, location="https://login.example/?next=x")), "malformed"),
    "a continue loop": (endless_pages, "malformed"),
    "no content": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), "malformed"),
    "an empty body": (says(reply(b"")), "malformed"),
    "a Status that says success": (says(reply({"kind": "Status", "status": "Success"})), "malformed"),
    "an empty object": (says(reply({})), "malformed"),
    "null": (says(reply(b"null")), "malformed"),
    "a string": (says(reply(b'"items"')), "malformed"),
    "items that are an object": (makes(lambda it: _listed(it, lambda items: {"0": items})), "malformed"),
    "deeply nested": (says(reply(b'{"items": ' + b"[" * 100_000)), "malformed"),
    "half a document": (says(reply(b'{"kind": "List", "metadata": {}, "items": [{"metadata": {"na')), "malformed"),
    "two documents": (makes(lambda it: json.dumps(it).encode() * 2), "malformed"),
    "NUL bytes": (says(reply(bytes(100))), "malformed"),
}


def clock(hours: int, age: int, change: Callable[[Any], Any] = lambda document: document) -> Fault:
    """A server some hours ahead, for whom everything that has a time is `age` seconds old."""

    def answer(exchange: Exchange, honest: bytes) -> None:
        if "watch" in exchange.request.query:
            exchange.send(honest)
            exchange.hang()
        now = datetime.now(UTC) + timedelta(hours=hours)
        written = (now - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", written, honest.partition(b"\r\n\r\n")[2].decode())
        exchange.send(reply(change(json.loads(body)), int(honest.split()[1]), date=format_datetime(now)))

    return answer


def _throttled_at_first() -> Fault:
    seen: set[str] = set()

    def answer(exchange: Exchange, honest: bytes) -> None:
        key = exchange.request.path
        if "watch" in exchange.request.query:
            exchange.send(honest)
            exchange.hang()
        if key in seen:
            exchange.send(honest)
        else:
            seen.add(key)
            exchange.send(failure(429, "too many requests", "TooManyRequests", retry_after="0"))

    return answer


def _twice(document: Any) -> Any:
    return _listed(document, lambda items: [*items, *items])


def _with_more(value: Any) -> Any:
    """Fields that nobody knows, in every object."""
    if isinstance(value, dict):
        more = {name: _with_more(item) for name, item in value.items()}
        return {**more, "x-unknown": {"deep": [1, None, "two"]}} if "name" in value else more
    return [_with_more(item) for item in value] if isinstance(value, list) else value


# With these the server still says all there is to say, and the verdicts are those of a healthy one.
HARMLESS: dict[str, Callable[[], Fault]] = {
    "429 at first": _throttled_at_first,
    "each object twice": lambda: makes(_twice),
    "unknown fields": lambda: makes(lambda document: _listed(document, _with_more)),
    "packed": lambda: _packed,
    "a byte order of its own": lambda: makes(lambda document: dict(reversed(list(document.items())))),
    "objects of 30 MB": lambda: makes(lambda document: _listed(document, _heavy)),
}


def _packed(exchange: Exchange, honest: bytes) -> None:
    if "watch" in exchange.request.query:
        exchange.send(honest)
        exchange.hang()
    head, _, body = honest.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    exchange.send(reply(gzip.compress(body), status, content_encoding="gzip"))


def _heavy(items: list[Any]) -> list[Any]:
    """The first object of a list with an annotation of 30 MB."""
    if not items:
        return items
    first, *rest = items
    metadata = {**first["metadata"], "annotations": {"example.com/heavy": "x" * 30_000_000}}
    return [{**first, "metadata": metadata}, *rest]
