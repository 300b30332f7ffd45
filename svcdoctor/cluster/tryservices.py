"""Having Services tried from inside the Pods that were chosen for it: one exec a Pod for all that it is to try.

What timed out is tried once more, in a second exec, and counts only where it does so again: on a busy node a connection
may take longer than it is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from msgspec.structs import replace

from svcdoctor.case import Case
from svcdoctor.clients.chosenclient import clients_for
from svcdoctor.clients.connection import TIMEOUT, Connection, Connections, Trials
from svcdoctor.cluster.connectlook import (
    CONNECT_SECONDS,
    MOST_ENDPOINTS,
    MOST_TARGETS,
    Target,
    connect,
    targets_in,
    untried,
)
from svcdoctor.cluster.probe import Cluster
from svcdoctor.objects import Pod
from svcdoctor.world import World

MOST_SERVICES = 400  # that a run tries
MOST_OF_A_CLIENT = 400  # targets
LONGEST_SECONDS = 15.0  # of one exec with many targets
ALL_SECONDS = 20.0  # of all of them
SERVICE_SECONDS = 6.0  # of one Service: two attempts, each of which is given 2 s
SHORTEST_SECONDS = 1.0  # that are worth an exec
ROUNDS = 2  # of clients: a second one where the first one has nothing to connect with


class _Job(NamedTuple):
    pod: Pod
    services: list[str]
    targets: list[Target]


def try_services(
    world: World,
    cases: Iterable[Case],
    in_parallel: Callable[..., Iterable[Any]],
    cluster: Cluster,
    seconds: float,
) -> Trials:
    """What they met, with all that was met before, within so many seconds. `in_parallel` does jobs with a function."""
    trials = world.trials or Trials()
    waiting = list(cases)
    trials = trials.with_those([_place(case) for case in waiting[MOST_SERVICES:]], "")
    waiting = waiting[:MOST_SERVICES]
    ends = time.monotonic() + min(seconds, SERVICE_SECONDS if len(waiting) == 1 else ALL_SECONDS)
    forbidden = {place for place, said in (world.lookups or {}).items() if said.unavailable == "forbidden"}
    useless: set[str] = set()

    def answer(job: _Job) -> Connections:
        longest = CONNECT_SECONDS if len(job.targets) <= MOST_TARGETS else LONGEST_SECONDS
        left = min(longest, ends - time.monotonic())
        if left < SHORTEST_SECONDS:
            return untried(job.pod, "timeout", "no time was left")
        said = connect(cluster, job.pod, job.targets, timeout=left)
        late = [(one.address, one.port) for one in said.tried if one.outcome == TIMEOUT]
        left = min(CONNECT_SECONDS, ends - time.monotonic())
        if not late:
            return said
        again = connect(cluster, job.pod, late[:MOST_TARGETS], timeout=left) if left > SHORTEST_SECONDS else None
        return with_those_again(said, again.tried if again else ())

    for _ in range(ROUNDS):
        chosen = clients_for(world, waiting, useless, forbidden)
        jobs = [_Job(pod, [_place(case) for case in own], _targets(world, own)) for pod, own in chosen.values()]
        for job, said in in_parallel(jobs, answer):
            if not said.unavailable:
                trials = trials.with_those(job.services, f"{said.namespace}/{said.pod}", said)
            elif said.unavailable == "forbidden":
                forbidden.add(said.namespace)
            else:
                useless |= {container.image for container in job.pod.spec.containers or ()}
        waiting = [case for case in waiting if _place(case) not in trials.client_of]
        if not jobs or not waiting:
            break
    return trials.with_those([_place(case) for case in waiting], "")


def with_those_again(said: Connections, again: Iterable[Connection]) -> Connections:
    """The same, of those that timed out what became of them at the second attempt; without it they were not tried."""
    found = {(one.address, one.port): one for one in again}
    first = [one if one.outcome != TIMEOUT else found.get((one.address, one.port)) for one in said.tried]
    return replace(said, tried=tuple(filter(None, first)))


def _place(case: Case) -> str:
    return f"{case.namespace}/{case.name}"


def _targets(world: World, cases: list[Case]) -> list[Target]:
    services = [case.service for case in cases]
    if len(services) == 1:
        return targets_in(world, services)
    each = MOST_OF_A_CLIENT // len(services) - 1
    return targets_in(world, services, most=MOST_OF_A_CLIENT, endpoints=max(2, min(MOST_ENDPOINTS, each)))
