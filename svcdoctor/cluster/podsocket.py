"""What is said to a Pod over a WebSocket through the API server: the framing of exec and of port-forward.

Each binary message begins with a channel number. Of an exec (v4 and v5.channel.k8s.io): 1 stdout, 2 stderr, 3 the final
Status, 255 a channel's end. Of a port-forward (v4.channel.k8s.io): 0 data, 1 error, the first message of each names the
port. Sources: k8s.io/apimachinery pkg/util/remotecommand/constants.go, k8s.io/kubelet
pkg/cri/streaming/portforward/websocket.go.

kube.py opens the WebSocket, with the official client's configuration and credentials.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from types import TracebackType

import msgspec
import websocket

from svcdoctor.text import printable, shorten

_WHOLE_FRAME = 30.0
"""Seconds that a non-blocking socket may spend on sending one frame: half a frame would spoil the stream."""


class Cause(msgspec.Struct):
    reason: str = ""
    message: str = ""


class StatusDetails(msgspec.Struct, rename="camel"):
    causes: list[Cause] | None = None
    retry_after_seconds: int | None = None


class Status(msgspec.Struct):
    """meta/v1 Status, as far as an error message needs it."""

    status: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


def parse_status(body: bytes) -> Status | None:
    """The Status in an answer's body, or None when it is something else, as it is behind a proxy."""
    try:
        return msgspec.json.decode(body, type=Status)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


@dataclass(frozen=True, kw_only=True)
class ExecResult:
    """What a command in a Pod left behind.

    `stdout` and `stderr` are the untouched output (undecodable bytes replaced): pass them through printable() to show
    them. `code` is the exit code, None when the command did not run or did not end. `error` says why it did not run, in
    printable words of the server, such as `... executable file not found in $PATH`. `timed_out` and `truncated`: the
    deadline or the cap on output came first, and the output is what had arrived by then.
    """

    stdout: str = ""
    stderr: str = ""
    code: int | None = None
    error: str = ""
    timed_out: bool = False
    truncated: bool = False


def read_exec(connection: websocket.WebSocket, *, ends: float, max_bytes: int) -> ExecResult:
    """Collect the output of an exec until its Status, the moment `ends` (monotonic), or `max_bytes`; then hang up."""
    output: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
    code: int | None = None
    error = "the connection was closed before the command ended"
    timed_out = truncated = False
    try:
        while True:
            left = ends - time.monotonic()
            if left <= 0:
                raise websocket.WebSocketTimeoutException
            connection.settimeout(left)
            opcode, message = connection.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                break
            if message[:1] == b"\x03":
                code, error = _outcome(message[1:])
                break
            if message and message[0] in output:
                room = max_bytes - sum(map(len, output.values()))
                output[message[0]] += message[1 : 1 + room]
                if len(message) - 1 > room:
                    truncated, error = True, ""
                    break
    except websocket.WebSocketTimeoutException:
        timed_out, error = True, ""
    except (websocket.WebSocketException, OSError):
        pass  # the connection is gone, which `error` says already
    finally:
        # No close handshake: it would be one more thing to wait for.
        connection.shutdown()  # type: ignore[no-untyped-call]
    return ExecResult(
        stdout=output[1].decode("utf-8", "replace"),
        stderr=output[2].decode("utf-8", "replace"),
        code=code,
        error=error,
        timed_out=timed_out,
        truncated=truncated,
    )


def _outcome(body: bytes) -> tuple[int | None, str]:
    """Exit code and error of the Status that ends an exec."""
    status = parse_status(body)
    if status is None:
        return None, "the server's last word on the command cannot be read"
    if status.status == "Success":
        return 0, ""
    for cause in (status.details.causes if status.details else None) or ():
        if cause.reason == "ExitCode" and cause.message.isdecimal():
            return int(cause.message), ""
    return None, printable(shorten(status.message or status.reason or "the command did not run", 400))


class PortForwardError(ConnectionError):
    """The node could not connect to the port inside the Pod, in the kubelet's words (printable)."""


class PodSocket:
    """One TCP connection to a port inside a Pod, with as much of socket.socket as dnspython and httpcore use.

    The node connects to `localhost:port` in the Pod's network namespace: it proves that a process listens, not that a
    Service or a NetworkPolicy lets anyone in. There is no thread behind it. Timeouts are in seconds, None waits for
    ever, 0 does not wait: BlockingIOError then means nothing is there yet, and fileno() says when to ask again.
    Calls raise PortForwardError once the node has refused, TimeoutError when time is up.
    """

    def __init__(self, connection: websocket.WebSocket, timeout: float | None) -> None:
        self._connection = connection
        self._timeout = timeout
        self._buffer = bytearray()
        self._named: set[int] = set()
        self._error = ""
        self._ended = False

    def settimeout(self, timeout: float | None) -> None:
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        self._timeout = None if flag else 0.0

    def fileno(self) -> int:
        """The descriptor to select() on, -1 when closed."""
        underlying = self._connection.sock
        return -1 if underlying is None else int(underlying.fileno())

    def recv(self, count: int, flags: int = 0) -> bytes:
        """Up to `count` bytes, b"" at the end of the stream."""
        self._fill(self._timeout)
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """Send all of `data`, whatever the timeout: its length."""
        if self._error:
            raise PortForwardError(self._error)
        try:
            self._connection.settimeout(self._timeout or _WHOLE_FRAME)
            self._connection.send_binary(b"\x00" + bytes(data))
        except websocket.WebSocketTimeoutException:
            raise TimeoutError("timed out") from None
        except (websocket.WebSocketException, OSError):
            # The node closes after a refusal, and its reason may still be in the pipe.
            self._fill(_WHOLE_FRAME)
            raise BrokenPipeError("the forwarded connection is closed") from None
        return len(data)

    def sendall(self, data: bytes | bytearray | memoryview, flags: int = 0) -> None:
        self.send(data)

    def connected(self, wait: float = 0.3) -> bool:
        """Whether the port inside the Pod took the connection; PortForwardError when it was refused.

        Nobody says that it did: a refusal comes at once, so silence for `wait` seconds means yes. False when the
        connection was taken and closed again.
        """
        try:
            self._fill(wait)
        except TimeoutError:
            return True
        return bool(self._buffer)

    def close(self) -> None:
        self._ended = True
        self._connection.shutdown()  # type: ignore[no-untyped-call]

    def __enter__(self) -> PodSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fill(self, timeout: float | None) -> None:
        """Read frames until there is data, an end or an error to report."""
        ends = None if timeout is None else time.monotonic() + timeout
        while not self._buffer:
            if self._error:
                raise PortForwardError(self._error)
            if self._ended:
                return
            # A frame of which a part has come is kept by the library, so that it is safe to leave off in the middle.
            self._connection.settimeout(None if ends is None else max(0.0, ends - time.monotonic()))
            try:
                opcode, message = self._connection.recv_data()
            except websocket.WebSocketTimeoutException:
                raise TimeoutError("timed out") from None
            except (BlockingIOError, ssl.SSLWantReadError):
                if timeout:
                    raise TimeoutError("timed out") from None
                raise BlockingIOError("nothing has arrived yet") from None
            except (websocket.WebSocketException, OSError):
                self._ended = True
            else:
                self._take(opcode, message)

    def _take(self, opcode: int, message: bytes) -> None:
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            self._ended = True
        elif message:
            channel = message[0]
            if channel not in self._named:
                self._named.add(channel)
            elif channel == 0:
                self._buffer += message[1:]
            elif channel == 1:
                self._error += printable(shorten(message[1:].decode("utf-8", "replace").strip(), 600))
                self._ended = True
