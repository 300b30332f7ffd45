"""An API server that says what a test tells it to, well or badly: real sockets on loopback, no framework between.

    with FakeApiServer() as server:
        server.on("/version", reply({"gitVersion": "v1.37.2"}))
        server.kubeconfig(tmp_path)

A path has a list of answers, given in turn; the last one stays. An answer is bytes to send, or a function that is given
the Exchange and does what it likes: drip, hang, reset, speak WebSocket. What was asked is in `server.received`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import yaml

# A key pair for localhost and kubernetes.test, made for these tests and worth nothing anywhere else.
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg2RPWg7a4t0I+e9eW
JKzbCl9u4sV9Yc8pRLTYnm5LsdShRANCAAQD3PPgDjBhMJKH9hWNPJMfVea9FJZN
WmH6c8MaQ4cjkmCRSifaVtcGuZEn3wKrqn6uf12QtpwJ+cV0FXszT/8a
-----END PRIVATE KEY-----
"""
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBpjCCAUygAwIBAgIUHgFvJKkglNs/iqLGcHFHN9aPE5kwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzAxNDUxOFoYDzIxMjYxMDMw
MDE0NTE4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQD3PPgDjBhMJKH9hWNPJMfVea9FJZNWmH6c8MaQ4cjkmCRSifaVtcG
uZEn3wKrqn6uf12QtpwJ+cV0FXszT/8ao3oweDAdBgNVHQ4EFgQUoCTYPlAORqz8
8A/kcCiwfEn3y0cwHwYDVR0jBBgwFoAUoCTYPlAORqz88A/kcCiwfEn3y0cwDwYD
VR0TAQH/BAUwAwEB/zAlBgNVHREEHjAcgglsb2NhbGhvc3SCD2t1YmVybmV0ZXMu
dGVzdDAKBggqhkjOPQQDAgNIADBFAiBg+3wo9zhaXtzDZ9BZ139uI/hQYpEeWpaX
m6L3gbVsZwIhALtU5Luz1M9agjI+I6POULn1ipBJwtL77BhcO3m/7xck
-----END CERTIFICATE-----
"""


class Received(NamedTuple):
    """A request as it came in. Header names are lower case, and repeated ones are kept."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


class Exchange:
    """One request and the socket to answer it on."""

    def __init__(self, server: FakeApiServer, connection: socket.socket, stream: Any, request: Received) -> None:
        self.server, self.connection, self.stream, self.request = server, connection, stream, request

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def hang(self) -> None:
        """Say nothing more until the test is over."""
        self.server.over.wait(30)
        raise ConnectionAbortedError

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError

    def upgrade(self, protocol: str) -> None:
        accept = self.request.header("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        digest = base64.b64encode(hashlib.sha1(accept.encode()).digest()).decode()
        self.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {digest}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n".encode()
        )

    def message(self, channel: int, data: bytes) -> None:
        self.send(frame(bytes([channel]) + data))

    def close(self) -> None:
        self.send(frame(b"\x03\xe8", opcode=8))

    def next_message(self) -> bytes:
        """The next message of the client, unmasked; b"" at the end."""
        first = self.stream.read(2)
        if len(first) < 2 or first[0] & 15 == 8:
            return b""
        length = first[1] & 127
        if length == 126:
            length = int.from_bytes(self.stream.read(2), "big")
        mask = self.stream.read(4)
        return bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.stream.read(length)))


Answer = bytes | Callable[[Exchange], None]


def frame(payload: bytes, opcode: int = 2) -> bytes:
    """A WebSocket frame as a server sends it."""
    size = len(payload)
    length = (
        bytes([size])
        if size < 126
        else b"\x7e" + size.to_bytes(2, "big")
        if size < 1 << 16
        else b"\x7f" + size.to_bytes(8, "big")
    )
    return bytes([0x80 | opcode]) + length + payload


def reply(body: object, status: int = 200, **headers: str) -> bytes:
    """An HTTP answer; what is not bytes is sent as JSON. `retry_after="1"` becomes `Retry-After: 1`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content_type": "application/json", "content_length": str(len(content)), **headers}
    head = "".join(f"{name.replace('_', '-').title()}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Word\r\n{head}\r\n".encode() + content


def failure(status: int, message: str, reason: str = "", **headers: str) -> bytes:
    """A refusal with a Status, as the API server words it."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status,
    }
    return reply(body, status, **headers)


class FakeApiServer:
    def __init__(self, *, tls: bool = False) -> None:
        self.over = threading.Event()
        self.received: list[Received] = []
        self._answers: dict[str, list[Answer]] = {}
        self._connections: list[socket.socket] = []
        self._context: ssl.SSLContext | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._tls = tls

    def on(self, path: str, *answers: Answer) -> None:
        self._answers[path] = list(answers)

    def kubeconfig(
        self, directory: Path, *, user: dict[str, Any] | None = None, namespace: str = "", **cluster: Any
    ) -> Path:
        """Write a kubeconfig for this server, with one context `test`; returns its path."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "fake", "user": "someone", "namespace": namespace}}],
            "clusters": [
                {
                    "name": "fake",
                    "cluster": {"server": self.url, **{k.replace("_", "-"): v for k, v in cluster.items()}},
                }
            ],
            "users": [{"name": "someone", "user": {"token": "sesame"} if user is None else user}],
        }
        path = directory / "kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path

    def __enter__(self) -> FakeApiServer:
        if self._tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:
                pair.write(KEY + CERTIFICATE)
                pair.flush()
                self._context.load_cert_chain(pair.name)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() alone would leave listening
        self._acceptor.join(5)
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._connections.append(connection)
            with connection, connection.makefile("rb") as stream:
                try:
                    while request := self._read(stream):
                        self.received.append(request)
                        self._answer(Exchange(self, connection, stream, request))
                except UnicodeDecodeError:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # as Go answers TLS on a plain port
        except (OSError, ValueError):
            connection.close()

    @staticmethod
    def _read(stream: Any) -> Received | None:
        line = stream.readline().decode()
        if not line:
            return None
        method, target, _ = line.split()
        headers = []
        while (header := stream.readline()) not in (b"\r\n", b""):
            name, _, value = header.decode().partition(":")
            headers.append((name.lower(), value.strip()))
        body = stream.read(int(dict(headers).get("content-length", "0")))
        parts = urlsplit(target)
        return Received(method, parts.path, parse_qs(parts.query), headers, body)

    def _answer(self, exchange: Exchange) -> None:
        if exchange.request.method == "CONNECT":
            self._tunnel(exchange)
        answers = self._answers.get(exchange.request.path) or [
            failure(404, f"no answer for {exchange.request.path}", "NotFound")
        ]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, bytes):
            exchange.send(answer)
        else:
            answer(exchange)

    def _tunnel(self, exchange: Exchange) -> None:
        """Be an HTTP proxy: pass bytes both ways until one side ends."""
        host, _, port = exchange.request.path.rpartition(":")
        with socket.create_connection((host or "127.0.0.1", int(port)), timeout=5) as target:
            target.settimeout(None)
            exchange.send(b"HTTP/1.1 200 Connected\r\n\r\n")

            def back() -> None:
                try:
                    while data := target.recv(65536):
                        exchange.connection.sendall(data)
                except OSError:
                    pass

            threading.Thread(target=back, daemon=True).start()
            while data := exchange.stream.read1(65536):
                target.sendall(data)
        raise ConnectionAbortedError
