"""The client of one Service: who it is, what it tried, what policies say of that.

A person named it (--from), or it was chosen: then what keeps it out by design is no fault of the Service.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from svcdoctor.case import Case, EndpointView
from svcdoctor.clients.connection import Connection, Connections
from svcdoctor.clients.request import Answer
from svcdoctor.finding import Subject
from svcdoctor.objects import Pod, ServicePort
from svcdoctor.pods.podports import PROXIES
from svcdoctor.pods.template import Template, template_of
from svcdoctor.policies.mesh import membership_of_pod
from svcdoctor.view import View


class StatedClient(NamedTuple):
    """A Pod, what made it, and what its connections came to."""

    pod: Pod
    template: Template
    said: Connections
    is_chosen: bool = False

    @property
    def name(self) -> str:
        return f"{self.pod.metadata.namespace}/{self.pod.metadata.name}"

    @property
    def subject(self) -> Subject:
        return Subject("Pod", self.pod.metadata.namespace, self.pod.metadata.name)

    def is_behind(self, case: Case, view: EndpointView) -> bool:
        """Whether an endpoint of the Service is this Pod itself."""
        return (case.namespace, view.pod) == (self.pod.metadata.namespace, self.pod.metadata.name)


class Way(NamedTuple):
    """One TCP port of a Service as the client finds it."""

    port: ServicePort
    own: Connection | None  # to the Service's own address; None where it has none, or it was not tried
    ends: list[tuple[EndpointView, Connection]]  # to ready endpoints that are not the client itself
    untried: int  # of these endpoints
    answers: list[Answer]  # to requests, by the Service's own address first

    @property
    def failed(self) -> list[tuple[EndpointView, Connection]]:
        return [end for end in self.ends if not end[1].is_open]

    @property
    def leads_there(self) -> bool:
        """Whether what the client would do works: by the Service's address, or of a headless one by any endpoint."""
        return self.own.is_open if self.own else len(self.failed) < len(self.ends)


def stated_client(view: View) -> StatedClient | None:
    """None where nobody named one, or its Pod is gone. Raises NotRead."""
    said, found = view.world.connections, view.client
    return StatedClient(*found, said) if said and found else None


def chosen_client(case: Case) -> StatedClient | None:
    """Who was chosen to try the Service; None where nobody could, or the Pod is gone. Raises NotRead."""
    said = case.world.connections_to(case.service)
    if said is None or said.unavailable:
        return None
    pod: Pod | None = case.listed("pods", said.namespace).get(said.pod)
    return StatedClient(pod, template_of("Pod", pod), said, is_chosen=True) if pod else None


def endpoints_to_try(case: Case, port: ServicePort) -> list[tuple[EndpointView, int]]:
    """Each ready endpoint with the number that a TCP port leads to there, of the family that a client tries first."""
    if port.protocol != "TCP":
        return []
    is_six = any(":" in address for address in case.cluster_ips[:1])
    views = [view for view in case.ready_endpoints if case.is_headless or (":" in view.address) is is_six]
    carried = [(view, case.carries(view, port)) for view in views]
    return [(view, one.port) for view, one in carried if one and one.port]


def ways(case: Case, client: StatedClient) -> Iterator[Way]:
    for port in case.ports:
        if port.protocol != "TCP":
            continue
        own = [one for address in case.cluster_ips for one in client.said.all_to(address, port.port)]
        meant = [
            (view, client.said.to(view.address, number))
            for view, number in case.or_without(partial(endpoints_to_try, case, port), [])
            if not client.is_behind(case, view)
        ]
        ends = [(view, tried) for view, tried in meant if tried]
        places = [(one.address, one.port) for one in (*own[:1], *(end for _, end in ends))]
        answers = [answer for place in places if (answer := client.said.answer(*place))]
        # Of several attempts by the same address one that failed tells more.
        shown = next((one for one in own if not one.is_open), own[0] if own else None)
        yield Way(port, shown, ends, len(meant) - len(ends), answers)


def proxy_of(view: View, client: StatedClient) -> str:
    """What takes every connection of the client itself, so that none tells anything; "" for nothing."""
    name = next((item.name for item in client.pod.spec.containers or () if item.name in PROXIES), "")
    return f"the proxy {name}" if name else "the mesh" if membership_of_pod(view, client.pod) else ""


def proxy_of_backends(case: Case) -> str:
    """What takes every connection to the Pods behind the Service: that one opens tells nothing of the program then."""
    for backend in case.or_without(lambda: case.backing, []):
        for pod in backend.pods:
            name = next((item.name for item in pod.spec.containers or () if item.name in PROXIES), "")
            if name or membership_of_pod(case, pod):
                return f"the proxy {name}" if name else "the mesh"
    return ""


def answer_on(case: Case, port: ServicePort) -> Answer | None:
    """What a program behind this port was seen to answer, where nothing else could have."""
    client = case.or_without(lambda: stated_client(case), None)
    if client is None or proxy_of(case, client) or proxy_of_backends(case):
        return None
    found = (way.answers for way in ways(case, client) if way.port == port)
    return next((answers[-1] for answers in found if answers), None)


def is_let_through(case: Case, client: StatedClient) -> bool:
    """Whether it was seen to reach the Service: what policies seem to forbid is not held back then."""
    found = [way for way in ways(case, client) if way.own or way.ends]
    return bool(found) and all(way.leads_there for way in found) and not proxy_of(case, client)


def is_served(case: Case, port: ServicePort) -> bool:
    """Whether a client that a person named was seen to connect to each endpoint of the port that it tried; where
    endpoints may not be read, by the Service's own address."""
    client = case.or_without(lambda: stated_client(case), None)
    if client is None or proxy_of(case, client) or proxy_of_backends(case):
        return False
    sees_endpoints = case.or_without(lambda: case.ready_endpoints is not None, False)
    found = [way for way in ways(case, client) if way.port == port]
    return any(way.ends and not way.failed if sees_endpoints else way.own and way.own.is_open for way in found)
