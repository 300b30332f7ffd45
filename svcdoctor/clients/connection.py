"""Connections that were tried from one Pod, and what became of each: data, and the reading of what a tool says.

connectlook.py tries them. A tool is believed only where it calls a connection refused that surely is: one to a port of
the Pod's own loopback that nobody listens on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import field
from msgspec.structs import replace

from svcdoctor.clients.request import Answer
from svcdoctor.objects import Object

OPEN, REFUSED, TIMEOUT, RESET, UNREACHABLE, ERROR = "open", "refused", "timeout", "reset", "unreachable", "error"
DNS = "dns"  # the tool did not take the address for one
OUTCOMES = (OPEN, REFUSED, TIMEOUT, RESET, UNREACHABLE, DNS, ERROR)
# What the C library's messages, and those of nc and bash, have in common; ncat and agnhost shout, node has the names of
# errno, and curl puts its exit code before its words.
_WORDS = (
    (REFUSED, re.compile(r"refused|curl: \(7\)", re.IGNORECASE)),
    (TIMEOUT, re.compile(r"timed? ?out|time-out|curl: \(28\)", re.IGNORECASE)),
    (RESET, re.compile(r"reset by peer|connreset", re.IGNORECASE)),
    (UNREACHABLE, re.compile(r"unreach|no route to host", re.IGNORECASE)),
    (DNS, re.compile(r"bad address|not known|name resolution|notfound|eai_again|curl: \(6\)|^DNS\b", re.IGNORECASE)),
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
    """One of connectscript.TOOLS; empty where nothing could be tried."""
    tried: tuple[Connection, ...] = ()
    unavailable: str = ""
    """One of lookup.UNAVAILABLE where nothing could be tried."""
    detail: str = ""
    seconds: float = 0.0
    answers: tuple[Answer, ...] = ()
    """What was answered to requests, over connections that opened."""
    witnesses: tuple[Connections, ...] = ()
    """What other Pods met afterwards: those behind the Service that did not answer, inside, or a neighbour."""
    forwarded: tuple[Forwarded, ...] = ()
    """What Pods answered through a port-forward, where nothing can be run inside."""
    added: str = ""
    """What was added to the cluster to try from: "container" to the Pod, or a "pod" like it."""
    image: str = ""
    """That of what was added."""

    @property
    def place(self) -> str:
        """Where the tool ran, in words."""
        pod = f"{self.namespace}/{self.pod}"
        if self.added == "container":
            return f"inside {pod}, in a container of {self.image}"
        return f"inside a new Pod like {pod}, of {self.image}" if self.added else f"inside {pod}"

    def to(self, address: str, port: int | None) -> Connection | None:
        return next((one for one in self.tried if (one.address, one.port) == (address, port)), None)

    def all_to(self, address: str, port: int | None) -> list[Connection]:
        """Each attempt: the Service of a Pod that is behind it itself is tried several times."""
        return [one for one in self.tried if (one.address, one.port) == (address, port)]

    def answer(self, address: str, port: int | None) -> Answer | None:
        return next((one for one in self.answers if (one.address, one.port) == (address, port)), None)

    def witness(self, namespace: str, pod: str) -> Connections | None:
        return next((one for one in self.witnesses if (one.namespace, one.pod) == (namespace, pod)), None)

    @property
    def untried(self) -> Connections:
        """The same client, before it tried."""
        return Connections(self.namespace, self.pod)

    @property
    def any_open(self) -> bool:
        return any(one.is_open for one in self.tried)

    def command(self, address: str, port: int) -> str:
        """The line that lets a person see the same."""
        host = f"[{address}]" if ":" in address else address
        tool = {
            "nc -e": f"nc -w 2 {address} {port} -e true",
            "bash": f"timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/{port}'",
            "python3": f"python3 -c 'import socket; socket.create_connection((\"{address}\", {port}), 2)'",
            "node": f'node -e \'require("net").connect({port}, "{address}", () => process.exit())\'',
            "curl": f"curl -v -m 2 telnet://{host}:{port}",
            "agnhost": f"/agnhost connect --timeout=2s {host}:{port}",
        }.get(self.tool, f"nc -zvw 2 {address} {port}")
        return self.running(tool)

    def running(self, command: str) -> str:
        """The line with which a person runs a command in the same place."""
        if self.added:
            return f"kubectl -n {self.namespace} debug {self.pod} -it --image={self.image} -- {command}"
        container = f" -c {self.container}" if self.container else ""
        return f"kubectl -n {self.namespace} exec {self.pod}{container} -- {command}"


class Forwarded(Object, frozen=True):
    """What a program answered to a request through a port-forward, which ends at the loopback of its Pod: it goes past
    the Service, kube-proxy and NetworkPolicies, and says nothing of the way there."""

    namespace: str
    pod: str
    port: int
    outcome: str
    """OPEN, REFUSED: nobody listens on the loopback, TIMEOUT or ERROR."""
    answer: Answer | None = None
    detail: str = ""


class Trials(Object, frozen=True):
    """What the clients met that were chosen to try Services; several Services have one client."""

    client_of: dict[str, str] = field(default_factory=dict)
    """The client, as NAMESPACE/POD, of each Service, as NAMESPACE/NAME; "" where none could be found."""
    met: dict[str, Connections] = field(default_factory=dict)

    def with_those(self, services: Iterable[str], client: str, said: Connections | None = None) -> Trials:
        """These as well, which one client tried, or ("") nobody; what was met before at the same places is forgotten,
        and with it clients that are nobody's any more."""
        tried = set(services)
        client_of = {**self.client_of, **dict.fromkeys(tried, client)}
        met = {one: before for one, before in self.met.items() if one in client_of.values()}
        if said:
            others = {place for place, one in client_of.items() if one == client} - tried
            places = {(one.address, one.port) for one in said.tried}
            known = self.met[client].tried if others and client in self.met else ()
            kept = (one for one in known if (one.address, one.port) not in places)
            met[client] = replace(said, tried=(*kept, *said.tried))
        return Trials(client_of, met)

    def other_than(self, before: Trials) -> list[str]:
        """The Services of which something else is said here, be it nothing any more."""

        def told(trials: Trials, place: str) -> object:
            client = trials.client_of.get(place)
            return client, trials.met.get(client or "")

        places = dict.fromkeys((*before.client_of, *self.client_of))
        return [place for place in places if told(self, place) != told(before, place)]


def outcome_of(code: int, words: str) -> str:
    """What became of a connection, by the exit code of the tool and what it said."""
    if code == 0:
        return OPEN
    for outcome, pattern in _WORDS:
        if pattern.search(words):
            return outcome
    return TIMEOUT if code in _KILLED else ERROR
