"""Connections that were tried from one Pod, and what became of each: data, and the reading of what a tool says.

connectlook.py tries them. A tool is believed only where it calls a connection refused that surely is: one to a port of
the Pod's own loopback that nobody listens on.
"""

from __future__ import annotations

import re

from svcdoctor.objects import Object

OPEN, REFUSED, TIMEOUT, RESET, UNREACHABLE, ERROR = "open", "refused", "timeout", "reset", "unreachable", "error"
OUTCOMES = (OPEN, REFUSED, TIMEOUT, RESET, UNREACHABLE, ERROR)
# What the C library's messages, and those of nc and bash, have in common; ncat shouts.
_WORDS = (
    (REFUSED, re.compile(r"refused", re.IGNORECASE)),
    (TIMEOUT, re.compile(r"timed? ?out", re.IGNORECASE)),
    (RESET, re.compile(r"reset by peer", re.IGNORECASE)),
    (UNREACHABLE, re.compile(r"unreachable|no route to host", re.IGNORECASE)),
)
_KILLED = (124, 143)  # what timeout(1) returns, of coreutils and of busybox


class Connection(Object, frozen=True):
    """A TCP connection that was tried, and closed at once where it opened."""

    address: str
    port: int
    outcome: str
    """One of OUTCOMES."""
    milliseconds: int = 0
    """How long it took, the start of the tool included."""
    detail: str = ""
    """The tool's own words where it failed, on one printable line."""

    @property
    def is_open(self) -> bool:
        return self.outcome == OPEN

    @property
    def place(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def text(self) -> str:
        """What became of it, in words."""
        if self.outcome == TIMEOUT:
            return f"timed out after {self.milliseconds / 1000:.0f} s"
        if self.is_open:
            return f"open after {self.milliseconds} ms" if self.milliseconds else "open at once"
        return f"{self.outcome}: {self.detail}" if self.outcome == ERROR and self.detail else self.outcome


class Connections(Object, frozen=True):
    """What was tried from the client that a person named. What is missing was not tried."""

    namespace: str
    pod: str
    container: str = ""
    tool: str = ""
    """nc, or bash; empty where nothing could be tried."""
    tried: tuple[Connection, ...] = ()
    unavailable: str = ""
    """One of lookup.UNAVAILABLE where nothing could be tried."""
    detail: str = ""
    seconds: float = 0.0

    def to(self, address: str, port: int | None) -> Connection | None:
        return next((one for one in self.tried if (one.address, one.port) == (address, port)), None)

    @property
    def untried(self) -> Connections:
        """The same client, before it tried."""
        return Connections(self.namespace, self.pod)

    @property
    def any_open(self) -> bool:
        return any(one.is_open for one in self.tried)

    def command(self, address: str, port: int) -> str:
        """The line that lets a person see the same."""
        container = f" -c {self.container}" if self.container else ""
        tool = f"timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/{port}'"
        if self.tool != "bash":
            tool = f"nc -w 2 {address} {port} -e true" if self.tool == "nc -e" else f"nc -zvw 2 {address} {port}"
        return f"kubectl -n {self.namespace} exec {self.pod}{container} -- {tool}"


def outcome_of(code: int, words: str) -> str:
    """What became of a connection, by the exit code of the tool and what it said."""
    if code == 0:
        return OPEN
    for outcome, pattern in _WORDS:
        if pattern.search(words):
            return outcome
    return TIMEOUT if code in _KILLED else ERROR
