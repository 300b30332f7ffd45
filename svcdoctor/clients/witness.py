"""What tells a connection that failed apart: what the Pod that did not answer meets inside, or by a port-forward."""

from __future__ import annotations

from typing import NamedTuple

from svcdoctor.case import Case
from svcdoctor.clients.connection import OPEN, REFUSED, Connection, Forwarded
from svcdoctor.clients.statedclient import StatedClient, Way
from svcdoctor.finding import Evidence


class Inside(NamedTuple):
    """What a Pod that refuses, or does not answer, meets at its own addresses."""

    pod: str
    source: str
    loopback: Connection | None
    own: Connection | None

    @property
    def text(self) -> str:
        words = {OPEN: "opens", REFUSED: "is refused"}
        met = [f"{one.place} {words.get(one.outcome, one.text)}" for one in (self.loopback, self.own) if one]
        return " and ".join(met)

    @property
    def evidence(self) -> list[Evidence]:
        return [Evidence(one.place, one.text, self.source) for one in (self.loopback, self.own) if one]


def inside_of(case: Case, client: StatedClient, way: Way) -> Inside | None:
    """What the first of the Pods that failed met; None where none was looked into."""
    for view, end in way.failed:
        seen = client.said.witness(case.namespace, view.pod)
        if seen and seen.tried:
            loopback = seen.to("::1" if ":" in end.address else "127.0.0.1", end.port)
            return Inside(view.pod, f"{seen.tool} inside {view.pod}", loopback, seen.to(end.address, end.port))
    return None


def loopbacks(case: Case, client: StatedClient) -> list[str]:
    """What Pods behind the Service answered through a port-forward: that tells nothing of the way to them."""
    told = [one for one in client.said.forwarded if one.outcome in (OPEN, REFUSED)]
    behind = {view.pod for view in case.ready_endpoints} if told else set()
    found = [one for one in told if one.namespace == case.namespace and one.pod in behind]
    past = "by a port-forward, which goes past the Service, kube-proxy and NetworkPolicies"
    return [f"port {one.port} on the loopback of {one.pod} {_loopback(one)}, {past}" for one in found[:1]]


def _loopback(one: Forwarded) -> str:
    if one.answer:
        return f"answers {one.answer.text}"
    return "is open" if one.outcome == OPEN else "is closed"
