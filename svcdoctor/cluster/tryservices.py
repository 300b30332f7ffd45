"""Having Services tried from inside the Pods that were chosen for it: one exec a Pod for all that it is to try.

What timed out is tried once more, in a second exec, and counts only where it does so again: on a busy node a connection
may take longer than it is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
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
from svcdoctor.cluster.deadline import Deadline
from svcdoctor.cluster.parallel import in_parallel
from svcdoctor.cluster.probe import Cluster
from svcdoctor.objects import Pod
from svcdoctor.world import World

MOST_SERVICES = 400  # that a run tries
MOST_OF_A_CLIENT = 400  # targets
LONGEST_SECONDS = 15.0  # of one exec with many targets
SHORTEST_SECONDS = 1.0  # that are worth an exec
ROUNDS = 2  # of clients: a second one where the first one has nothing to connect with


class Job(NamedTuple):
    """What one client is to try."""

    pod: Pod
    services: list[str]  # as NAMESPACE/NAME
    targets: list[Target]


class Tries:
    """Who tries which Service, and what was learned meanwhile of who can. Whoever has the World plans; the trying
    itself needs none of it.

    `forbidden` are namespaces in whose Pods nothing may be run; those that are found are added.
    """

    def __init__(self, forbidden: set[str] | None = None) -> None:
        self._forbidden = set() if forbidden is None else forbidden
        self._useless: set[str] = set()  # images
        self._rounds: Counter[str] = Counter()

    def plan(self, world: World, cases: Sequence[Case]) -> list[Job]:
        """The clients for those of these Services that had no chance yet; there is none for the others."""
        new = [_place(case) for case in cases if _place(case) not in self._rounds]
        self._rounds.update(dict.fromkeys(new[: MOST_SERVICES - len(self._rounds)], 0))
        waiting = [case for case in cases if self._rounds.get(_place(case), ROUNDS) < ROUNDS]
        self._rounds.update(_place(case) for case in waiting)
        chosen = clients_for(world, waiting, self._useless, self._forbidden)
        return [Job(pod, [_place(case) for case in own], _targets(world, own)) for pod, own in chosen.values()]

    def heard(self, trials: Trials, job: Job, said: Connections) -> Trials:
        """`trials` with what a client met; without, where it met nothing."""
        if not said.unavailable:
            return trials.with_those(job.services, f"{said.namespace}/{said.pod}", said)
        if said.unavailable == "forbidden":
            self._forbidden.add(said.namespace)
        else:
            self._useless |= {container.image for container in job.pod.spec.containers or ()}
        return trials

    def all_of(
        self,
        cluster: Cluster,
        world: World,
        cases: Sequence[Case],
        jobs: list[Job],
        trials: Trials,
        deadline: Deadline,
        turn: AbstractContextManager[Any] = nullcontext(),  # noqa: B008 - does nothing
    ) -> Trials:
        """What all clients met, with what was met before. `jobs` is the first plan for these Services."""

        def answer(job: Job) -> Connections:
            with turn:
                return tried(cluster, job, deadline)

        while jobs:
            for job, said in in_parallel(jobs, answer):
                trials = self.heard(trials, job, said)
            cases = [case for case in cases if _place(case) not in trials.client_of]
            jobs = self.plan(world, cases)
        return trials.with_those([_place(case) for case in cases if _place(case) not in trials.client_of], "")


def tried(cluster: Cluster, job: Job, deadline: Deadline) -> Connections:
    """What one client meets. Never raises."""
    longest = CONNECT_SECONDS if len(job.targets) <= MOST_TARGETS else LONGEST_SECONDS
    left = deadline.left(longest)
    if left < SHORTEST_SECONDS:
        return untried(job.pod, "timeout", "no time was left")
    said = connect(cluster, job.pod, job.targets, timeout=left)
    late = [(one.address, one.port) for one in said.tried if one.outcome == TIMEOUT]
    if not late:
        return said
    left = deadline.left(CONNECT_SECONDS)
    again = connect(cluster, job.pod, late[:MOST_TARGETS], timeout=left) if left > SHORTEST_SECONDS else None
    return with_those_again(said, again.tried if again else ())


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
