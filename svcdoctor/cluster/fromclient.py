"""Everything that is tried for one client of --from: its own connections, then what tells a failure apart.

One exec in the client. Then, of what failed: one exec in a Pod or two that did not answer, which try their own
addresses, and where the client stands behind the Service itself, one in a neighbour. Where nothing can be run inside,
a port-forward to the Pods asks whether a program answers there at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from svcdoctor.case import Case, EndpointView
from svcdoctor.clients.connection import Connections, Forwarded
from svcdoctor.clients.request import Request
from svcdoctor.clients.statedclient import endpoints_to_try
from svcdoctor.cluster.connectlook import CONNECT_SECONDS, Target, connect, requests_in, targets_in
from svcdoctor.cluster.deadline import Deadline
from svcdoctor.cluster.parallel import in_parallel
from svcdoctor.cluster.probe import Cluster
from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.objects import Pod, Service
from svcdoctor.world import World

MOST_BACKENDS = 2  # Pods that did not answer and are looked into, of all Services
MOST_NEIGHBOURS = 2
MOST_FORWARDS = 4
NOTHING_RUNS = ("no-tool", "forbidden")  # and a port-forward may be allowed all the same
R = TypeVar("R")


class End(NamedTuple):
    """An endpoint of a Service that is a Pod we know, and the number that its port leads to."""

    pod: Pod
    address: str
    port: int

    @property
    def target(self) -> Target:
        return self.address, self.port


class Plan(NamedTuple):
    """What a client is to try, and who may tell what a failure comes from: all that is read of the World for it."""

    client: Pod
    targets: list[Target]
    requests: Mapping[Target, Request]
    ends: list[list[End]]  # of each Service
    neighbours: list[tuple[Pod, list[Target]]]  # and what they try of that which failed


def plan_from(world: World, services: Sequence[Service], client: Pod, path: str = "") -> Plan:
    """`path` is what to ask the Services for, instead of that of their Pods' readiness probes. Raises NotRead."""
    cases = [Case(world, service) for service in services]
    return Plan(
        client,
        targets_in(world, services, client),
        requests_in(world, services, path),
        [list(_ends(case)) for case in cases],
        [found for case in cases for found in _neighbours(case, client)],
    )


def look_from(
    cluster: Cluster,
    plan: Plan,
    *,
    timeout: float = CONNECT_SECONDS,
    turn: AbstractContextManager[Any] = nullcontext(),  # noqa: B008 - does nothing
) -> Connections:
    """What this client meets, and what others say of that. Never raises; all of it lasts `timeout` seconds at most.

    Whoever asks a Pod does so in `turn`, which lets some in at once.
    """
    deadline = Deadline(timeout)
    with turn:
        said = connect(cluster, plan.client, plan.targets, plan.requests, timeout=deadline.left())
    look = _Beside(cluster, plan, deadline, turn)
    if said.unavailable in NOTHING_RUNS:
        return replace(said, forwarded=look.forwarded([end for ends in plan.ends for end in ends[:1]]))
    if said.unavailable:
        return said
    deaf = [end for ends in plan.ends for end in ends if _is_deaf(said, end)]
    distinct = list({end.pod.metadata.name: end for end in deaf if end.pod is not plan.client}.values())[:MOST_BACKENDS]
    looks = [look.inside(end) for end in distinct]
    for pod, own in plan.neighbours:
        if failed := [target for target in own if any(not one.is_open for one in said.all_to(*target))]:
            looks.append(look.beside(pod, failed))
    witnesses = look.in_time(looks)
    blind = {one.pod for one in witnesses if one.unavailable in NOTHING_RUNS}
    unseen = [end for end in distinct if end.pod.metadata.name in blind]
    return replace(said, witnesses=witnesses, forwarded=look.forwarded(unseen))


def _ends(case: Case) -> Iterator[End]:
    pods: Mapping[str, Pod] = case.or_without(lambda: case.listed("pods"), {})

    def found() -> list[tuple[EndpointView, int]]:
        return [one for port in case.ports for one in endpoints_to_try(case, port)]

    for view, number in case.or_without(found, []):
        if view.pod in pods:
            yield End(pods[view.pod], view.address, number)


def _neighbours(case: Case, client: Pod) -> Iterator[tuple[Pod, list[Target]]]:
    """Who else could reach the Service by its address, where its own Pod does not: first those on the same node."""
    own = [(address, port.port) for address in case.cluster_ips[:1] for port in case.ports if port.protocol == "TCP"]
    ends = list(_ends(case))
    if not own or not any(end.pod.metadata == client.metadata for end in ends):
        return
    behind = {end.pod.metadata.name for end in ends}
    pods: Mapping[str, Pod] = case.or_without(lambda: case.listed("pods"), {})
    others = [pod for name, pod in pods.items() if name not in behind and is_ready(pod) and not pod.spec.host_network]
    others.sort(key=lambda pod: (pod.spec.node_name != client.spec.node_name, pod.metadata.name))
    for pod in others[:MOST_NEIGHBOURS]:
        yield pod, own


def _is_deaf(said: Connections, end: End) -> bool:
    tried = said.to(*end.target)
    return tried is not None and not tried.is_open


# --- what others meet ----------------------------------------------------------------------------------------------


class _Beside(NamedTuple):
    cluster: Cluster
    plan: Plan
    deadline: Deadline
    turn: AbstractContextManager[Any]

    def inside(self, end: End) -> Callable[[], Connections]:
        loopback = "::1" if ":" in end.address else "127.0.0.1"
        return self.beside(end.pod, [(loopback, end.port), end.target])

    def beside(self, pod: Pod, targets: list[Target]) -> Callable[[], Connections]:
        return lambda: connect(self.cluster, pod, targets, timeout=self.deadline.left())

    def forwarded(self, meant: Sequence[End]) -> tuple[Forwarded, ...]:
        if not meant:
            return ()
        from svcdoctor.cluster.forwardlook import forward  # takes a tenth of a second, and is seldom needed

        def ask(end: End) -> Forwarded:
            request = self.plan.requests.get(end.target)
            return forward(self.cluster, end.pod, end.port, request, timeout=self.deadline.left())

        return self.in_time([partial(ask, end) for end in meant[:MOST_FORWARDS]])

    def in_time(self, asked: Sequence[Callable[[], R]]) -> tuple[R, ...]:
        """The answers that come before the deadline: nobody waits for a slow one."""

        def ask(one: Callable[[], R]) -> R:
            with self.turn:
                return one()

        return tuple(answer for _, answer in in_parallel(asked, ask, ends=self.deadline.ends))
