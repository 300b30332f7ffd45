"""Connections to an API server beneath the official client: made as its pool would make them, and read in time."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from urllib3 import PoolManager
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
)

from svcdoctor.text import printable, shorten


def seconds_left(ends: float | None) -> float | None:
    return None if ends is None else max(0.0, ends - time.monotonic())


def read_body(response: Any, ends: float | None) -> bytes:
    """The whole body, unpacked; TimeoutError at `ends`, however slowly the bytes drip in."""
    chunks: list[bytes] = []
    complete = False
    try:
        while True:
            left = seconds_left(ends)
            if left is not None:
                if not left:
                    raise TimeoutError
                connection = response.connection
                if connection is not None and connection.sock is not None:
                    connection.sock.settimeout(left)
            chunk = response.read1(1 << 18, decode_content=True)
            if not chunk:
                complete = True
                return b"".join(chunks)
            chunks.append(chunk)
    finally:
        if complete:
            response.release_conn()
        else:
            response.close()


@contextlib.contextmanager
def hung_up_at(ends: float, connected: socket.socket) -> Iterator[None]:
    """A handshake whose bytes drip in ends in time, too: websocket-client gives each byte the time of all."""

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.01, ends - time.monotonic()), hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def open_connection(pools: PoolManager, url: str, timeout: float) -> Any:
    """A connection of its own, made exactly as the pool would make one."""
    parts = urlsplit(url)
    pool = pools.connection_from_url(f"{parts.scheme}://{parts.netloc}")
    options = dict(pool.conn_kw)
    if pool.scheme == "https":
        for name in ("cert_file", "key_file", "cert_reqs", "ca_certs", "assert_hostname"):
            options[name] = getattr(pool, name)
    proxy = pool.proxy
    connection: Any = pool.ConnectionCls(
        host=(proxy.host if proxy else pool.host) or "",
        port=proxy.port if proxy else pool.port,
        timeout=timeout,
        **options,
    )
    if proxy:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        connection.set_tunnel(parts.hostname or "", port, headers=pool.proxy_headers, scheme=proxy.scheme or "http")
    try:
        connection.connect()
    except (OSError, http.client.HTTPException, HTTPError) as error:
        connection.close()
        if proxy and not isinstance(error, ssl.SSLError):
            raise ProxyError("the proxy fails", error) from error
        raise
    return connection


def is_dropped(error: Exception) -> bool:
    cause = error.reason if isinstance(error, MaxRetryError) else error
    return isinstance(cause, ProtocolError)


def is_connect_timeout(error: BaseException) -> bool:
    """urllib3 counts a refused connection as a timeout too; this does not."""
    return isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError)


def tls_error(error: BaseException) -> ssl.SSLError | None:
    """The error of the TLS library somewhere behind this one."""
    seen: BaseException | None = error
    while seen is not None:
        for candidate in (seen, *seen.args):
            if isinstance(candidate, ssl.SSLError):
                return candidate
        seen = seen.__cause__ or seen.__context__
    return None


def words_of(error: BaseException) -> str:
    """A few words for what a connection failed of: `connection refused`, `its certificate is not trusted: ...`."""
    if isinstance(error, NameResolutionError):
        return "its name does not resolve"
    tls = tls_error(error)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {printable(shorten(tls.verify_message))}"
    if tls is not None:
        text = (tls.reason or "TLS failed").replace("_", " ").lower()
        return f"TLS fails: {text}" + (" (does it speak plain HTTP?)" if "wrong version" in text else "")
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, TimeoutError) or is_connect_timeout(seen):
            return "no answer in time"
        if isinstance(seen, OSError) and seen.errno:
            return os.strerror(seen.errno).lower()
        if isinstance(seen, OSError) and seen.args and isinstance(seen.args[0], str):
            return printable(shorten(seen.args[0]))
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, ProtocolError):
        return "it closed the connection without an answer"
    return printable(shorten(str(error) or type(error).__name__))
