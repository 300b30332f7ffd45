"""HTTP answers whose head has to arrive in time, however slowly it drips in.

http.client gives every recv() the time of a whole request, so that a server, or a proxy before it, that sends a byte of
a header now and then holds a request for hours. What comes after the head its reader times by itself.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

__all__ = ["POOLS"]


class _Timed(io.RawIOBase):
    """What a socket receives; TimeoutError where nothing comes within the time that is left, while there is a limit."""

    def __init__(self, received: Any, connection: socket.socket) -> None:
        self._received, self._connection = received, connection
        limit = connection.gettimeout()
        self.ends = None if limit is None else time.monotonic() + limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.ends is not None:
            left = self.ends - time.monotonic()
            if left <= 0:
                raise TimeoutError("the head of the answer takes too long")
            self._connection.settimeout(left)
        size: int | None = self._received.readinto(buffer)
        return size

    def close(self) -> None:
        self._received.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._timed = _Timed(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._timed)

    def begin(self) -> None:
        super().begin()
        self._timed.ends = None


class _Connection(HTTPConnection):
    response_class = _Answer


class _SecureConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS = {"http": _Pool, "https": _SecurePool}
"""For urllib3's PoolManager.pool_classes_by_scheme."""
