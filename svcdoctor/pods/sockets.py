"""Which ports the programs of a Pod listen on, as /proc/net has it: the containers of a Pod share one network.

Data, and the reading of those files; socketlook.py fetches them.
"""

from __future__ import annotations

import ipaddress

from svcdoctor.objects import Object, Pod
from svcdoctor.text import listing

FILES = ("/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6")
SEEN_PROTOCOLS = ("TCP", "UDP")
# Their st column, include/net/tcp_states.h of Linux: listening, and for UDP bound to no peer.
_STATES = {"TCP": "0A", "UDP": "07"}


class Listener(Object, frozen=True):
    """A socket that waits for anybody: TCP in the state LISTEN, or UDP without a peer."""

    protocol: str
    """TCP or UDP."""
    address: str
    """As it is bound: 0.0.0.0 and :: are every address of the Pod, and :: those of IPv4 as well, nearly always."""
    port: int

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback

    def takes(self, address: str) -> bool:
        """Whether what is sent to this address of the Pod reaches it."""
        if self.address == "::":
            return True
        if self.address == "0.0.0.0":
            return ":" not in address
        return ipaddress.ip_address(self.address) == ipaddress.ip_address(address)

    @property
    def text(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}" + ("" if self.protocol == "TCP" else f"/{self.protocol}")


class Sockets(Object, frozen=True):
    """What listens in one Pod, or why that could not be seen."""

    namespace: str
    pod: str
    container: str = ""
    listeners: tuple[Listener, ...] = ()
    unavailable: str = ""
    """One of lookup.UNAVAILABLE where nothing was seen."""
    detail: str = ""
    started: str = ""
    """When the youngest container of the Pod had started: what starts later is another program."""
    seconds: float = 0.0

    def on(self, port: int, protocol: str) -> list[Listener]:
        return [item for item in self.listeners if (item.port, item.protocol) == (port, protocol)]

    @property
    def ports(self) -> list[int]:
        """TCP ports that the Pod's other addresses lead to, in their order."""
        return sorted({item.port for item in self.listeners if item.protocol == "TCP" and not item.is_loopback})

    def shown(self, protocol: str) -> str:
        found = [item.text for item in self.listeners if item.protocol == protocol]
        return listing(found, 8) or f"no {protocol} port"

    @property
    def source(self) -> str:
        return f"/proc/net of pod/{self.pod}, seen inside it"

    @property
    def command(self) -> str:
        """The line that shows the same to a person."""
        container = f" -c {self.container}" if self.container else ""
        return f"kubectl -n {self.namespace} exec {self.pod}{container} -- cat {' '.join(FILES[:2])}"


def started_last(pod: Pod) -> str:
    """When the youngest of the Pod's running containers started; "" where none runs."""
    states = (status.state for status in pod.status.container_statuses or ())
    return max((state.running.started_at or "" for state in states if state and state.running), default="")


def listeners_in(text: str) -> tuple[Listener, ...] | None:
    """What FILES, printed one after the other, tell; None where it is none of them. Of little-endian machines."""
    found: set[tuple[str, str, int]] = set()
    protocol = ""
    for words in map(str.split, text.splitlines()):
        if words[:2] == ["sl", "local_address"]:
            protocol = "UDP" if words[-1] == "drops" else "TCP"
        elif protocol and len(words) > 3 and words[3] == _STATES[protocol]:
            host, _, port = words[1].partition(":")
            try:
                found.add((protocol, _address(host), int(port, 16)))
            except ValueError:
                continue
    if not protocol:
        return None
    return tuple(Listener(*one) for one in sorted(found, key=lambda one: (one[0], one[2], one[1])))


def _address(digits: str) -> str:
    """Words of four bytes, each printed as the number that it is in memory. An IPv4 address in IPv6 is the former."""
    raw = bytes.fromhex(digits)
    if len(raw) not in (4, 16):
        raise ValueError(digits)
    address = ipaddress.ip_address(b"".join(raw[place : place + 4][::-1] for place in range(0, len(raw), 4)))
    return str((isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address)
