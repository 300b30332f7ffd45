"""A request that is sent over a connection, as bytes, and what its answer tells of the protocol spoken there.

Whatever tool a container has only carries bytes; what they mean is read here. An HTTP request is a GET. Sources: RFC
9112 (HTTP/1.1), RFC 9113 and 7541 (HTTP/2), RFC 8446 (TLS records), grpc/health/v1/health.proto.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from svcdoctor.objects import Object
from svcdoctor.text import printable, shorten

HTTP, HTTPS, GRPC = "http", "https", "grpc"  # what is asked, and with HTTPS inside of TLS
# What speaks there.
SPEAKS_HTTP, SPEAKS_TLS, SPEAKS_HTTP2, SPEAKS_ELSE, SAYS_NOTHING = "HTTP", "TLS", "HTTP/2", "something else", "nothing"
_STATUS_LINE = re.compile(r"HTTP/1\.[01] (([1-5]\d\d)[^\r\n]*)")
# What servers say to plain text on a port for TLS: Go, nginx, Apache.
_WANTS_TLS = re.compile(
    "HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS port|plain HTTP to an SSL-enabled server",
    re.IGNORECASE,
)
_HEALTH = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_SETTINGS, _GOAWAY, _HEADERS, _DATA = 4, 7, 1, 0  # types of HTTP/2 frames


class Request(NamedTuple):
    kind: str  # HTTP, HTTPS or GRPC
    path: str = "/"
    host: str = ""

    @property
    def text(self) -> str:
        return "gRPC health" if self.kind == GRPC else f"GET {self.path}"

    @property
    def payload(self) -> bytes:
        """What is sent, inside of TLS for HTTPS."""
        if self.kind == GRPC:
            return _health_request(self.host)
        words = f"GET {self.path} HTTP/1.1\r\nHost: {self.host}\r\nUser-Agent: svcdoctor\r\nConnection: close\r\n\r\n"
        return words.encode("ascii", "replace")


class Answer(Object, frozen=True):
    """What came back for one request."""

    address: str
    port: int
    asked: str
    """`GET /healthz`, or `gRPC health`."""
    speaks: str
    """HTTP, TLS, HTTP/2, `something else` or `nothing`."""
    status: int = 0
    """Of HTTP; 0 where none was seen."""
    health: str = ""
    """Of gRPC: SERVING, NOT_SERVING, ..."""
    secure: bool = False
    """The status was read inside of TLS."""
    words: str = ""
    """What the server said first, on one printable line."""
    milliseconds: int = 0

    @property
    def place(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def is_good(self) -> bool:
        return self.health == "SERVING" or 0 < self.status < 400

    @property
    def text(self) -> str:
        """What came back, in words."""
        if self.status:
            return f"{self.asked}: {self.words or self.status}{' inside of TLS' if self.secure else ''}"
        if self.health:
            return f"{self.asked}: {self.health}"
        said = f" ({self.words})" if self.words and self.speaks == SPEAKS_ELSE else ""
        return f"{self.asked}: answered with {self.speaks}{said}"


def answer_of(address: str, port: int, request: Request, parts: Mapping[str, bytes], milliseconds: int = 0) -> Answer:
    """What the server's first bytes tell. `parts`: to the request in plain text (`plain`), to a TLS greeting (`hello`),
    to the request inside of TLS (`secure`), to a gRPC request (`grpc`); what was not asked is missing."""
    hello, plain = parts.get("hello", b""), parts.get("plain", b"") or parts.get("grpc", b"")
    text = plain.decode("latin-1")
    line = _STATUS_LINE.match(text)
    wants_tls = _is_tls(hello) and (line is None or line[2] == "400" or request.kind == HTTPS)
    speaks, status, health, words = SAYS_NOTHING, 0, "", ""
    if wants_tls or _is_tls(plain) or (line and _WANTS_TLS.search(text)):
        speaks, line = SPEAKS_TLS, _STATUS_LINE.search(parts.get("secure", b"").decode("latin-1"))
    elif line:
        speaks = SPEAKS_HTTP
    elif _frames(plain) or _frames(hello):
        speaks, health = SPEAKS_HTTP2, health_in(plain)
    elif plain or hello:
        speaks, words = SPEAKS_ELSE, _shown(plain or hello)
    if line:
        status, words = int(line[2]), printable(line[1].strip())
    secure = speaks == SPEAKS_TLS and bool(status)
    return Answer(address, port, request.text, speaks, status, health, secure, shorten(words, 60), milliseconds)


def _is_tls(data: bytes) -> bool:
    """Whether it begins with a record of TLS: an alert, or a handshake."""
    return len(data) > 2 and data[0] in (0x15, 0x16) and data[1] == 3


def _shown(data: bytes) -> str:
    text = data.split(b"\n")[0].decode("ascii", "replace").strip()
    return shorten(printable(text), 40) if text.isprintable() else data[:8].hex(" ")


def client_hello() -> bytes:
    """A greeting of TLS 1.2 that every server for TLS answers, with its own or with an alert."""
    suites = bytes.fromhex("c02bc02fc02cc030cca9cca8c013c014009c009d002f0035")
    groups = bytes.fromhex("000a0008" + "0006001d00170018") + bytes.fromhex("000b0002" + "0100")
    signatures = bytes.fromhex("000d0010" + "000e" + "0403080404010503080505010601")
    extensions = groups + signatures
    body = b"\x03\x03" + bytes(range(32, 64)) + b"\x00" + len(suites).to_bytes(2) + suites + b"\x01\x00"
    body += len(extensions).to_bytes(2) + extensions
    handshake = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(handshake).to_bytes(2) + handshake


# --- HTTP/2, as far as one call takes it ---------------------------------------------------------------------------


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def _health_request(host: str) -> bytes:
    """grpc.health.v1.Health/Check of the whole server, without TLS. Headers stand as they are: no table is filled."""

    def word(text: str) -> bytes:
        return bytes((len(text),)) + text.encode("ascii", "replace")

    headers = b"\x83\x86\x04" + word("/grpc.health.v1.Health/Check") + b"\x01" + word(host[:120])
    headers += b"\x0f\x10" + word("application/grpc") + b"\x00" + word("te") + word("trailers")
    call = _frame(_HEADERS, 0x4, 1, headers) + _frame(_DATA, 0x1, 1, bytes(5))
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b"") + call


def _frames(data: bytes) -> list[tuple[int, int, bytes]]:
    """(type, stream, payload) of each whole frame; nothing where the first is not one that a server begins with."""
    found: list[tuple[int, int, bytes]] = []
    while len(data) >= 9:
        size, kind, stream = int.from_bytes(data[:3]), data[3], int.from_bytes(data[5:9])
        if not found and (kind not in (_SETTINGS, _GOAWAY) or stream or size > 256):
            return []
        found.append((kind, stream, data[9 : 9 + size]))
        data = data[9 + size :]
    return found


def health_in(data: bytes) -> str:
    """The status in a HealthCheckResponse; "" where the server gave none, as one without that service does."""
    for kind, stream, payload in _frames(data):
        if (kind, stream) == (_DATA, 1) and len(payload) >= 5:
            message = payload[5:]
            return _HEALTH.get(message[1] if message[:1] == b"\x08" and len(message) > 1 else 0, "UNKNOWN")
    return ""
