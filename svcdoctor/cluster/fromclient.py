"""Everything that is tried for one client of --from: its own connections, then what tells a failure apart.

One exec in the client. Then, of what failed: one exec in a Pod or two that did not answer, which try their own
addresses, and where the client stands behind the Service itself, one in a neighbour. Where nothing can be run inside,
a port-forward to the Pods asks whether a program answers there at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from svcdoctor.case import Case, EndpointView
from svcdoctor.clients.connection import Connections, Forwarded
from svcdoctor.clients.request import Request
from svcdoctor.clients.statedclient import endpoints_to_try
from svcdoctor.cluster.connectlook import CONNECT_SECONDS, Target, connect, requests_in, targets_in
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


def look_from(
    cluster: Cluster,
    world: World,
    services: Sequence[Service],
    client: Pod,
    path: str = "",
    *,
    timeout: float = CONNECT_SECONDS,
) -> Connections:
    """What this client meets, and what others say of that. Never raises; all of it lasts `timeout` seconds at most."""
    ends = time.monotonic() + timeout
    requests = requests_in(world, services, path)
    said = connect(cluster, client, targets_in(world, services, client), requests, timeout=timeout)
    cases = [Case(world, service) for service in services]
    if said.unavailable in NOTHING_RUNS:
        first = [end for case in cases for end in list(_ends(case))[:1]]
        return replace(said, forwarded=_forwarded(cluster, first, requests, ends))
    if said.unavailable:
        return said
    deaf = [end for case in cases for end in _ends(case) if _is_deaf(said, end)]
    distinct = list({end.pod.metadata.name: end for end in deaf if end.pod is not client}.values())[:MOST_BACKENDS]
    looks = [_inside(cluster, end, ends) for end in distinct]
    looks += [_beside(cluster, *found, ends) for case in cases for found in _neighbours(case, client, said)]
    witnesses = tuple(at_once(looks, ends))
    blind = {one.pod for one in witnesses if one.unavailable in NOTHING_RUNS}
    unseen = [end for end in distinct if end.pod.metadata.name in blind]
    return replace(said, witnesses=witnesses, forwarded=_forwarded(cluster, unseen, requests, ends))


def _ends(case: Case) -> Iterator[End]:
    pods: Mapping[str, Pod] = case.or_without(lambda: case.listed("pods"), {})

    def found() -> list[tuple[EndpointView, int]]:
        return [one for port in case.ports for one in endpoints_to_try(case, port)]

    for view, number in case.or_without(found, []):
        if view.pod in pods:
            yield End(pods[view.pod], view.address, number)


def _is_deaf(said: Connections, end: End) -> bool:
    tried = said.to(*end.target)
    return tried is not None and not tried.is_open


# --- what others meet ----------------------------------------------------------------------------------------------


def _inside(cluster: Cluster, end: End, ends: float) -> Callable[[], Connections]:
    loopback = "::1" if ":" in end.address else "127.0.0.1"
    return _beside(cluster, end.pod, [(loopback, end.port), end.target], ends)


def _beside(cluster: Cluster, pod: Pod, targets: list[Target], ends: float) -> Callable[[], Connections]:
    return lambda: connect(cluster, pod, targets, timeout=max(0.0, ends - time.monotonic()))


def _neighbours(case: Case, client: Pod, said: Connections) -> Iterator[tuple[Pod, list[Target]]]:
    """Who else could reach the Service by its address, where its own Pod does not: first those on the same node."""
    own = [(address, port.port) for address in case.cluster_ips[:1] for port in case.ports if port.protocol == "TCP"]
    failed = [target for target in own if any(not one.is_open for one in said.all_to(*target))]
    ends = list(_ends(case))
    behind = {end.pod.metadata.name for end in ends}
    if not failed or not any(end.pod.metadata == client.metadata for end in ends):
        return
    pods: Mapping[str, Pod] = case.or_without(lambda: case.listed("pods"), {})
    others = [pod for name, pod in pods.items() if name not in behind and is_ready(pod) and not pod.spec.host_network]
    others.sort(key=lambda pod: (pod.spec.node_name != client.spec.node_name, pod.metadata.name))
    for pod in others[:MOST_NEIGHBOURS]:
        yield pod, failed


def _forwarded(
    cluster: Cluster, meant: Sequence[End], requests: Mapping[Target, Request], ends: float
) -> tuple[Forwarded, ...]:
    if not meant:
        return ()
    from svcdoctor.cluster.forwardlook import forward  # takes a tenth of a second, and is seldom needed

    def ask(end: End) -> Callable[[], Forwarded]:
        left = max(0.0, ends - time.monotonic())
        return lambda: forward(cluster, end.pod, end.port, requests.get(end.target), timeout=left)

    return tuple(at_once([ask(end) for end in meant[:MOST_FORWARDS]], ends))


def at_once(asked: Sequence[Callable[[], R]], ends: float) -> Iterator[R]:
    """The answers that come in time, in the order of the questions. Daemon threads: nobody waits for a slow one."""
    answers: dict[int, R] = {}

    def answer(number: int) -> None:
        answers[number] = asked[number]()

    threads = [threading.Thread(target=answer, args=(number,), daemon=True) for number in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    for number in range(len(asked)):
        if number in answers:
            yield answers[number]
