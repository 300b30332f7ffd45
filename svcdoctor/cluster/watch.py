"""One watch, as batches of events."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode

from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from svcdoctor.cluster.decoding import (
    JSON,
    METADATA,
    NAMELESS,
    NOT_DECODED,
    RawEvent,
    Skipped,
    decoder,
    decoding_error,
    is_nameless,
    name_of,
    version_of,
)
from svcdoctor.cluster.errors import KubeError, ReadFailed
from svcdoctor.cluster.podsocket import parse_status
from svcdoctor.objects import Resource
from svcdoctor.text import printable


class Server(Protocol):
    """What of kube.Cluster a Watch needs."""

    def open_watch(
        self, what: str, target: str, read_timeout: float, connected: Callable[[Any], None], accept: str
    ) -> tuple[Any, HTTPResponse]: ...

    def failure(self, what: str, status: int, headers: Any, body: bytes) -> KubeError: ...

    def transport_failure(self, what: str, error: Exception, *, answering: bool) -> KubeError: ...


class Event(NamedTuple):
    """What happened to an object: ADDED, MODIFIED or DELETED; or a BOOKMARK, which has a version and no object.

    SKIPPED is a change to an object that does not decode: it names it, and says why.
    """

    type: str
    object: Any
    resource_version: str


class Watch:
    """One watch: iterate over it for batches of events, as they come off the wire.

    It ends when the server ends it, or at once when another thread calls interrupt(). Raises KubeError: ReadFailed with
    reason `gone` where the version is too old, and where the stream breaks off.
    """

    def __init__(
        self,
        server: Server,
        resource: Resource,
        namespace: str,
        resource_version: str,
        timeout_seconds: int,
        read_timeout: float,
    ) -> None:
        self._server = server
        self._resource = resource
        self._read_timeout = read_timeout
        self._accept = METADATA if resource.metadata_only else JSON
        self._what = f"watch {resource.name}" + (f" in namespace {printable(namespace)}" if namespace else "")
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_seconds),
        }
        self._target = f"{resource.path(quote(namespace, safe=''))}?{urlencode(query)}"
        self._lock = threading.Lock()
        self._socket: Any = None
        self._interrupted = False

    def interrupt(self) -> None:
        """End it from another thread, whatever it waits for."""
        with self._lock:
            self._interrupted = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _connected(self, connection: Any) -> None:
        with self._lock:
            self._socket = connection
        if self._interrupted:
            self.interrupt()

    def __iter__(self) -> Iterator[list[Event]]:
        """Batches of at least one event, but for the first, which is empty and says that the server has answered."""
        try:
            connection, response = self._server.open_watch(
                self._what, self._target, self._read_timeout, self._connected, self._accept
            )
        except KubeError:
            if self._interrupted:
                return
            raise
        try:
            yield []
            yield from self._batches(response)
        except (HTTPError, OSError) as error:
            if not self._interrupted:
                raise self._server.transport_failure(self._what, error, answering=True) from None
        finally:
            with self._lock:
                self._socket = None
            response.close()
            connection.close()

    def _batches(self, response: HTTPResponse) -> Iterator[list[Event]]:
        rest = b""
        # read1: what one recv() brought, so that a lone event is not held back until a buffer is full.
        while chunk := response.read1(1 << 18):
            *lines, rest = (rest + chunk).split(b"\n")
            batch: list[Event] = []
            for line in filter(None, lines):
                try:
                    batch.append(self._event(line))
                except KubeError:
                    if batch:
                        yield batch
                    raise
            if batch:
                yield batch
        if rest.strip():
            raise ReadFailed(f"cannot {self._what}: it ends in the middle of an event", reason="malformed")

    def _event(self, line: bytes) -> Event:
        """Raises the KubeError that an ERROR event stands for, and ReadFailed for a line that is no event."""
        try:
            event = decoder(RawEvent).decode(line)
        except NOT_DECODED as error:
            why = f"cannot {self._what}: a line of it cannot be read: {decoding_error(error)}"
            raise ReadFailed(why, reason="malformed") from None
        if event.type == "ERROR":
            status = parse_status(event.object)
            raise self._server.failure(self._what, status.code if status else 0, {}, bytes(event.object))
        if event.type == "BOOKMARK":
            return Event("BOOKMARK", None, version_of(event.object))
        try:
            item = decoder(self._resource.type).decode(event.object)
        except NOT_DECODED as error:
            return Event("SKIPPED", Skipped(*name_of(event.object), decoding_error(error)), version_of(event.object))
        if is_nameless(self._resource, item):  # whom it changes nobody can tell
            raise ReadFailed(f"cannot {self._what}: {NAMELESS}", reason="malformed")
        return Event(event.type, item, item.metadata.resource_version)
