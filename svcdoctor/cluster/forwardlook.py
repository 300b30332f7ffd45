"""Asking a program of a Pod through a port-forward, where nothing can be run inside: httpx over our own WebSocket.

The node connects to the loopback of the Pod: what answers there proves that a program runs, and nothing of the way
through the Service, kube-proxy and NetworkPolicies.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpcore
import httpx

from svcdoctor.clients.connection import ERROR, OPEN, REFUSED, TIMEOUT, Forwarded
from svcdoctor.clients.request import GRPC, HTTPS, Answer, Request, answer_of, client_hello, health_in
from svcdoctor.cluster.kube import KubeError
from svcdoctor.cluster.podsocket import PodSocket, PortForwardError
from svcdoctor.cluster.probe import Cluster, one_line
from svcdoctor.objects import Pod

REQUEST_SECONDS = 2.0
LOOPBACK = "127.0.0.1"
_MOST = 512  # bytes of an answer that are read
_BLOCK = 16384


def forward(cluster: Cluster, pod: Pod, port: int, request: Request | None, *, timeout: float) -> Forwarded:
    """What a program of the Pod answers on its loopback. Never raises."""
    place = (pod.metadata.namespace, pod.metadata.name, port)
    seconds = min(timeout, REQUEST_SECONDS)
    try:
        with cluster.port_forward(*place, timeout=seconds) as connection:
            is_open = connection.connected()
        if not is_open or request is None:
            return Forwarded(*place, OPEN)
        return Forwarded(*place, OPEN, _ask(cluster, place, request, seconds))
    except PortForwardError as error:
        words = str(error)
        return Forwarded(*place, REFUSED if "refused" in words else ERROR, detail=one_line(words))
    except KubeError as error:
        return Forwarded(*place, TIMEOUT if error.reason == "timeout" else ERROR, detail=one_line(error.message))
    except OSError as error:
        return Forwarded(*place, TIMEOUT if isinstance(error, TimeoutError) else ERROR, detail=one_line(str(error)))


def _ask(cluster: Cluster, place: tuple[str, str, int], request: Request, seconds: float) -> Answer:
    if request.kind != GRPC:
        try:
            return _http(cluster, place, request, seconds)
        except (httpx.HTTPError, httpcore.ProtocolError, httpcore.NetworkError, httpcore.TimeoutException):
            pass  # what speaks there is no HTTP, or not as it was asked
    is_grpc = request.kind == GRPC
    said = _bytes(cluster, place, request.payload, seconds, lambda data: not is_grpc or bool(health_in(data)))
    parts = {"grpc" if is_grpc else "plain": said}
    if not (is_grpc and said):
        parts["hello"] = _bytes(cluster, place, client_hello(), seconds)
    return answer_of(LOOPBACK, place[2], request, parts)


def _http(cluster: Cluster, place: tuple[str, str, int], request: Request, seconds: float) -> Answer:
    transport = _Forwarded(_Backend(cluster, place))
    scheme = "https" if request.kind == HTTPS else "http"
    headers = {"User-Agent": "svcdoctor", "Connection": "close"}
    url = f"{scheme}://{request.host}:{place[2]}{request.path}"
    with (
        httpx.Client(transport=transport, timeout=seconds, trust_env=False, headers=headers) as client,
        client.stream("GET", url) as answer,
    ):
        body = next(answer.iter_raw(_MOST), b"") if answer.status_code == 400 else b""
    line = f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}".encode()
    if request.kind == HTTPS:
        return answer_of(LOOPBACK, place[2], request, {"hello": b"\x16\x03\x03", "secure": line})
    return answer_of(LOOPBACK, place[2], request, {"plain": line + b"\r\n\r\n" + body})


def _bytes(
    cluster: Cluster,
    place: tuple[str, str, int],
    data: bytes,
    seconds: float,
    is_enough: Callable[[bytes], bool] = bool,
) -> bytes:
    """The first bytes of the answer; none where the server closes or is silent."""
    ends = time.monotonic() + seconds
    found = b""
    try:
        with cluster.port_forward(*place, timeout=seconds) as connection:
            connection.send(data)
            while not (found and is_enough(found)) and len(found) < _MOST and (left := ends - time.monotonic()) > 0:
                connection.settimeout(left)
                piece = connection.recv(_MOST)
                if not piece:
                    break
                found += piece
    except (OSError, KubeError):
        pass
    return found


# --- httpx over it ---------------------------------------------------------------------------------------------------


class _Stream(httpcore.NetworkStream):
    """A port-forward as httpcore reads and writes it."""

    def __init__(self, connection: PodSocket) -> None:
        self._connection = connection

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._connection.settimeout(timeout)
        try:
            return self._connection.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._connection.settimeout(timeout)
        try:
            self._connection.send(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._connection.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = _SecureStream(self, ssl_context, server_hostname)
        try:
            stream.do(stream.tls.do_handshake, timeout)
        except ssl.SSLError as error:
            self.close()
            raise httpcore.ConnectError(str(error)) from error
        except (httpcore.NetworkError, httpcore.TimeoutException):
            self.close()
            raise
        return stream

    def get_extra_info(self, info: str) -> Any:
        return None


class _SecureStream(httpcore.NetworkStream):
    """TLS inside of it: the port-forward has no socket that the ssl module could wrap."""

    def __init__(self, below: _Stream, context: ssl.SSLContext, host: str | None) -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def do(self, step: Any, timeout: float | None, *arguments: Any) -> Any:
        """One step of TLS, with the reading and writing that it takes."""
        while True:
            try:
                result = step(*arguments)
            except ssl.SSLWantReadError:
                self._flush(timeout)
                data = self._below.read(_BLOCK, timeout)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                self._flush(timeout)
                return result

    def _flush(self, timeout: float | None) -> None:
        if self._outgoing.pending:
            self._below.write(self._outgoing.read(), timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            data: bytes = self.do(self.tls.read, timeout, max_bytes)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""
        except ssl.SSLError as error:
            raise httpcore.ReadError(str(error)) from error
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.do(self.tls.write, timeout, buffer)

    def close(self) -> None:
        self._below.close()

    def get_extra_info(self, info: str) -> Any:
        return self.tls if info == "ssl_object" else None


class _Backend(httpcore.NetworkBackend):
    """Every connection is a port-forward to one port of one Pod; the host of a URL is only its Host header and SNI."""

    def __init__(self, cluster: Cluster, place: tuple[str, str, int]) -> None:
        self._cluster, self._place = cluster, place

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        try:
            return _Stream(self._cluster.port_forward(*self._place, timeout=timeout or REQUEST_SECONDS))
        except KubeError as error:
            raise httpcore.ConnectError(error.message) from error


class _Forwarded(httpx.BaseTransport):
    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # who the certificate is for is not asked
        self._pool = httpcore.ConnectionPool(ssl_context=context, network_backend=backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            extensions=request.extensions,
        )
        answer = self._pool.handle_request(asked)
        stream = _Body(answer)
        return httpx.Response(answer.status, headers=answer.headers, stream=stream, extensions=answer.extensions)

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()
