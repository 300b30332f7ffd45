"""When names are looked up, Services tried and Pods looked into, and the threads that do it: never because of an event.

Names by one exec a namespace, and by one port-forward a CoreDNS Pod; of Pods those whose ports nothing else proves.
Services by the client that a person chose, else by those that are chosen for them, as often as names: one more exec a
client. What is tried and seen is what a run that ends looks at (looks.py), by the same functions.
The live thread decides and takes the answers; only the looking itself runs elsewhere.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from svcdoctor.clients.clientpod import client_pod, no_such_client
from svcdoctor.clients.connection import Connections, Trials
from svcdoctor.cluster.deadline import Deadline
from svcdoctor.cluster.fromclient import Plan, look_from, plan_from
from svcdoctor.cluster.kube import Cluster, KubeError
from svcdoctor.cluster.parallel import MOST_AT_ONCE
from svcdoctor.cluster.questions import (
    Question,
    ask,
    cases_at,
    probe_seconds,
    questions,
    server_questions,
    servers_to_compare,
    services_in_scope,
)
from svcdoctor.cluster.socketlook import SOCKET_SECONDS, look_at_sockets
from svcdoctor.cluster.tryservices import Job, Tries, tried
from svcdoctor.diagnosis import Scope
from svcdoctor.names.lookup import Lookups, Vantage
from svcdoctor.objects import RESOURCES, Pod
from svcdoctor.pods.sockets import Sockets
from svcdoctor.world import EVERYWHERE, NotRead, Want, World

LOOKUPS_AT_ONCE = 6


class Rhythm(NamedTuple):
    """Seconds between two lookups in a namespace, and two looks into a Pod."""

    lookups: float = 60.0
    unanswered: float = 20.0  # where a name had no answer: whoever mends it wants to see that
    new_names: float = 10.0  # where a Service has come that nobody has asked for yet
    sockets: float = 60.0
    a_look: float = 2.0  # for each Pod that is looked into again and again: many of them come round later
    connections: float = 60.0  # of every client
    not_open: float = 10.0  # where a client did not get through


class Answered(NamedTuple):
    """What the Pods of a namespace were told, or what one CoreDNS Pod says."""

    namespace: str  # or the CoreDNS Pod, as NAMESPACE/POD
    said: Lookups
    seconds: float


class Tried(NamedTuple):
    """What a client met that was chosen to try Services."""

    job: Job
    said: Connections


class Schedule:
    """Looks names up and into Pods, in a few threads; when, the live thread decides."""

    def __init__(
        self,
        cluster: Cluster,
        scope: Scope,
        tell: Callable[[Answered | Sockets | Connections | Tried], None],
        rhythm: Rhythm,
    ) -> None:
        self._cluster = cluster
        self._scope = scope
        self._tell = tell
        self._rhythm = rhythm
        self._jobs: queue.SimpleQueue[Question | Pod | Plan | Job | None] = queue.SimpleQueue()
        self._due: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._running: set[str] = set()
        self._blocked: set[str] = set()
        self._looked: dict[tuple[str, str], float] = {}  # Pods that were looked into, and when
        self._looking: set[tuple[str, str]] = set()
        self._connects_at: float | None = 0.0 if scope.client else None  # None while it does, and where nobody is named
        self._tries = Tries()
        self._tried: dict[str, float] = {}  # Services as NAMESPACE/NAME, and when they are to be tried again
        self._trying: set[str] = set()
        self._tries_wait = False  # for objects, whose coming wakes the live thread anyway
        self._in_turn = threading.Semaphore(MOST_AT_ONCE)
        self.wants: frozenset[Want] = frozenset()  # what has to be read before anybody can be asked
        self._threads = 0

    def ask_now(self, namespaces: Collection[str] | None) -> None:
        if self._connects_at is not None:
            self._connects_at = 0.0
        for namespace in self._due:
            if namespaces is None or namespace in namespaces or "/" in namespace:
                self._due[namespace] = 0.0
        for namespace in namespaces or ():
            self._due[namespace] = 0.0
        for place in self._looked:
            if namespaces is None or place[0] in namespaces:
                self._looked[place] = float("-inf")
        for service in self._tried:
            if namespaces is None or service.partition("/")[0] in namespaces:
                self._tried[service] = float("-inf")

    def has_new_names(self, namespace: str) -> None:
        if namespace in self._asked:
            soon = self._asked[namespace] + self._rhythm.new_names
            self._due[namespace] = min(self._due.get(namespace, soon), soon)

    def done(self, namespace: str, said: Lookups) -> None:
        self._running.discard(namespace)
        self._asked[namespace] = time.monotonic()
        if said.unavailable == "no-pod":
            self.has_new_names(namespace)  # its Pods may be about to start
        elif not all(lookup.answered for lookup in said.lookups):
            self._due[namespace] = min(self._due.get(namespace, 0.0), self._asked[namespace] + self._rhythm.unanswered)

    def idle_seconds(self, now: float) -> float:
        # What is due and cannot be asked yet waits for objects, whose coming wakes the live thread anyway.
        waiting = self._due.keys() - self._running - self._blocked
        ends = [self._due[namespace] for namespace in waiting]
        ends += [at + self._turn for place, at in self._looked.items() if place not in self._looking]
        if not self._tries_wait:
            ends += [at for service, at in self._tried.items() if service not in self._trying]
        ends += [self._connects_at] if self._connects_at and not self.wants else []
        return max(0.0, min(ends, default=now + 3600.0) - now)

    @property
    def _turn(self) -> float:
        """Seconds after which a Pod is looked into again."""
        return max(self._rhythm.sockets, self._rhythm.a_look * len(self._looked))

    def look(self, world: World, wants: Iterable[Want]) -> None:
        """Look into the Pods that somebody wants to know about, and again into those whose turn it is."""
        now, turn = time.monotonic(), self._turn
        again = [place for place, at in self._looked.items() if now - at >= turn]
        wanted = [(want.namespace.partition("/")[0], want.namespace.partition("/")[2]) for want in wants]
        for namespace, name in (*wanted, *again):
            pod: Pod | None = world.listed_or_nothing("pods", namespace).get(name)
            if pod is None:
                self._looked.pop((namespace, name), None)
            elif (namespace, name) not in self._looking:
                self._looking.add((namespace, name))
                self._start(pod)

    def looked(self, seen: Sockets) -> None:
        place = (seen.namespace, seen.pod)
        self._looking.discard(place)
        # Rights do not come by asking every minute.
        later = 600.0 if seen.unavailable in ("forbidden", "no-tool") else 0.0
        self._looked[place] = time.monotonic() + later

    def run_due(self, world: World, now: float) -> None:
        servers = [f"{pod.metadata.namespace}/{pod.metadata.name}" for pod in servers_to_compare(world)]
        for namespace in (*_namespaces_of_services(world, self._scope), *servers):
            self._due.setdefault(namespace, 0.0)
        due = {namespace for namespace, ends in self._due.items() if ends <= now and namespace not in self._running}
        client = self._client(world) if due else None
        self.wants = self._missing(world) if due else frozenset()
        self._blocked = {namespace for namespace in due if not world.is_answered("pods", namespace.partition("/")[0])}
        if self.wants:
            self._blocked = due
            return
        due -= self._blocked
        if not due:
            return  # and what a question needs may not have been asked for yet
        asked = questions(world, self._scope, client if isinstance(client, Pod) else None, due)
        for question in (*asked, *server_questions(world, self._scope, due)):
            self._due[question.namespace] = now + self._rhythm.lookups
            self._running.add(question.namespace)
            known = client if isinstance(client, Lookups) and not question.is_of_a_server else None
            self._hand_over(question, known)
        for namespace in due - self._running:
            del self._due[namespace]  # no Services there any more

    def connect_if_due(self, world: World, now: float) -> None:
        """Have the client that a person chose connect to every Service in scope, once their endpoints are known."""
        if self._connects_at is None or self._connects_at > now or self.wants:
            return
        services = services_in_scope(world, self._scope)
        kinds = ("services", "endpointslices", "pods")
        if not services or not all(world.is_answered(kind, self._scope.namespace) for kind in kinds):
            return
        client = self._client(world)
        if isinstance(client, Pod):
            try:
                plan = plan_from(world, services, client)
            except NotRead as missing:
                self.wants |= set(missing.wants)
                return
            self._connects_at = None
            self._start(plan)
        elif client and self._scope.client:
            self._connects_at = None
            self._tell(Connections(*self._scope.client, unavailable=client.unavailable, detail=client.detail))

    def connected(self, said: Connections) -> None:
        self._connects_at = time.monotonic() + self._next_connection(said)

    def _next_connection(self, said: Connections) -> float:
        failed = bool(said.tried) and not all(one.is_open for one in said.tried)
        return min(self._rhythm.connections, self._rhythm.not_open if failed else float("inf"))

    def try_services(self, world: World, wants: Collection[Want]) -> None:
        """Have clients try the Services that somebody wants to know about, and again those whose turn it is."""
        now = time.monotonic()
        again = {place for place, at in self._tried.items() if at <= now}
        untried = (want for want in wants if want.resource == "connections" and not world.is_answered(*want))
        places = ({want.namespace for want in untried} | again) - self._trying
        # What is not read yet may tell who is to try a Service, or that nobody need.
        self._tries_wait = not all(world.is_answered(*want) for want in wants if want.resource in RESOURCES)
        if not places or world.trials is None or self._tries_wait:
            return
        if again:
            self._tries = Tries()  # who had no tool, or no right, may have it now
        cases = cases_at(world, self._scope, places)
        for place in again:
            del self._tried[place]
        jobs = self._tries.plan(world, cases)
        planned = {place for job in jobs for place in job.services}
        if nobody := {f"{case.namespace}/{case.name}" for case in cases} - planned:
            world.trials = world.trials.with_those(nobody, "")
            self._tried |= dict.fromkeys(nobody, now + self._rhythm.connections)
        self._trying |= planned
        for job in jobs:
            self._start(job)

    def heard(self, trials: Trials, told: Tried) -> Trials:
        """`trials` with what a client met. Who met nothing leaves its Services to another."""
        self._trying -= set(told.job.services)
        at = time.monotonic() + self._next_connection(told.said)
        self._tried |= dict.fromkeys(told.job.services, at)
        return self._tries.heard(trials, told.job, told.said)

    def _missing(self, world: World) -> frozenset[Want]:
        """What has to be read before anybody can be asked."""
        needs = [Want(kind, "kube-system") for kind in ("services", "pods", "configmaps")]
        if self._scope.client:
            needs.append(Want("pods", self._scope.client[0]))
        return frozenset(want for want in needs if not world.is_answered(want.resource, want.namespace))

    def stop(self) -> None:
        for _ in range(self._threads):
            self._jobs.put(None)

    def _client(self, world: World) -> Pod | Lookups | None:
        """The Pod that a person chose, or why it cannot be used."""
        if self._scope.client is None:
            return None
        namespace, name = self._scope.client
        try:
            pod = client_pod(world.listed("pods", namespace).values(), name)
        except NotRead as missing:
            detail = missing.gap.message if missing.gap else ""
            return Lookups(Vantage(kind="exec"), unavailable="forbidden", detail=detail)
        known = Lookups(
            Vantage(kind="exec"),
            unavailable="no-pod",
            detail=no_such_client(world.listed("pods", namespace).values(), namespace, name),
        )
        return pod or known

    def _hand_over(self, question: Question, known: Lookups | None) -> None:
        if known is not None:
            self._tell(Answered(question.namespace, known, 0.0))
            return
        self._start(question)

    def _start(self, job: Question | Pod | Plan | Job) -> None:
        self._jobs.put(job)
        connecting = self._scope.client is not None and self._connects_at is None
        due = len(self._running) + len(self._looking) + len(self._trying) + connecting
        if self._threads < min(LOOKUPS_AT_ONCE, due):
            self._threads += 1
            threading.Thread(target=self._work, name=f"lookups {self._threads}", daemon=True).start()

    def _work(self) -> None:
        while job := self._jobs.get():
            if isinstance(job, Plan):
                self._tell(look_from(self._cluster, job, turn=self._in_turn))
                continue
            with self._in_turn:
                self._tell(self._look(job))

    def _look(self, job: Question | Pod | Job) -> Answered | Sockets | Tried:
        if isinstance(job, Pod):
            return look_at_sockets(self._cluster, job, timeout=SOCKET_SECONDS)
        if isinstance(job, Job):
            return Tried(job, tried(self._cluster, job, Deadline(probe_seconds(len(job.services)))))
        started = time.monotonic()
        try:
            said = ask(self._cluster, job, job.seconds)
        except KubeError as error:
            said = Lookups(Vantage(kind="exec"), unavailable="error", detail=str(error))
        return Answered(job.namespace, said, time.monotonic() - started)


def _namespaces_of_services(world: World, scope: Scope) -> Sequence[str]:
    if scope.namespace != EVERYWHERE:
        return [scope.namespace] if world.was_read("services", scope.namespace) else []
    try:
        return world.namespaces_of("services")[0]
    except NotRead:
        return []
