"""The HTTP side of the exporter: /metrics, /livez and /readyz."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

SLOWEST = 30.0
"""Seconds that a client may be silent in the middle of a request."""
PAGE = "svcdoctor: /metrics for Prometheus, /livez and /readyz for the kubelet"

Application = Callable[..., Iterable[bytes]]


class Server(ThreadingMixIn, WSGIServer):
    """A thread for each connection: a scrape that hangs keeps no probe waiting. Raises OSError where it cannot bind."""

    daemon_threads = True

    def __init__(self, host: str, port: int, application: Application) -> None:
        """The host "" is every address, of both families where the system has them."""
        everywhere = not host and socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if everywhere or ":" in host else socket.AF_INET
        self._everywhere = everywhere
        super().__init__((host, port), _Handler)
        self.set_app(application)

    def server_bind(self) -> None:
        if self._everywhere:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # The library's own would look up the name of the address, and wait for a DNS server that is not there.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = SLOWEST

    def log_message(self, format: str, *args: Any) -> None:
        """Probes and scrapes come all the time: nobody reads of them."""


def routes(metrics: Application, why_not_live: Callable[[], str], why_not_ready: Callable[[], str]) -> Application:
    """An application of the three paths. What is not live or not ready is 503, and says why."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return metrics(environ, start_response)
        if path == "/livez":
            status, words = _health(why_not_live())
        elif path == "/readyz":
            status, words = _health(why_not_ready())
        else:
            status, words = "200 OK" if path == "/" else "404 Not Found", PAGE
        content = f"{words}\n".encode()
        start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(content)))])
        return [content]

    return answer


def _health(why_not: str) -> tuple[str, str]:
    return ("503 Service Unavailable", why_not) if why_not else ("200 OK", "ok")
