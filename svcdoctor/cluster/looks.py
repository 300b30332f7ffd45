"""All that one run asks of running Pods: at the same time, MOST_AT_ONCE of them at most, and within one deadline.

Names are looked up, connections tried, listening ports seen. None needs the other and none waits for it, so that an
exec that hangs takes its own time alone. What has no answer at the deadline is unknown, and the reason is said.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from svcdoctor.clients.connection import Connections, Trials
from svcdoctor.cluster.connectlook import CONNECT_SECONDS, connect_at
from svcdoctor.cluster.deadline import Deadline
from svcdoctor.cluster.fromclient import look_from, plan_from
from svcdoctor.cluster.kube import Cluster
from svcdoctor.cluster.parallel import MOST_AT_ONCE, in_parallel
from svcdoctor.cluster.questions import (
    Question,
    ask,
    cases_at,
    probe_seconds,
    questions,
    server_questions,
    services_in_scope,
)
from svcdoctor.cluster.socketlook import SOCKET_SECONDS, look_at_sockets, unseen
from svcdoctor.cluster.tryservices import Tries
from svcdoctor.diagnosis import Scope
from svcdoctor.names.lookup import Lookups, Vantage
from svcdoctor.objects import Pod
from svcdoctor.pods.sockets import Sockets
from svcdoctor.world import Want, World

LOOKS = ("sockets", "connections")  # what is wanted of a Pod or a Service, and is no list
MOST_SOCKETS = 400  # Pods that a run looks into


class SecondLook(Protocol):
    """From where names are looked up for which no Pod could: something that is added to the cluster, with consent."""

    def plan(self, world: World, asked: Sequence[Question], said: dict[str, Lookups]) -> Any:
        """What to add; a person may be asked, and take their time."""

    def look_up(self, plan: Any, said: dict[str, Lookups], seconds: Callable[[float], float]) -> dict[str, Lookups]:
        """`said` with what is heard there; `seconds` is how much of so many is left."""

    def place_of(self, pod: Pod) -> tuple[str, str, str, Vantage] | None:
        """Namespace, Pod and container of what was added to look as this Pod does."""


class Looks:
    """For one run. `client` is the Pod that a person chose, or why it cannot be used; `run` when the run has to end."""

    def __init__(
        self,
        cluster: Cluster,
        world: World,
        scope: Scope,
        client: Pod | Lookups | None,
        run: Deadline,
        *,
        http: str = "",
        second_look: SecondLook | None = None,
    ) -> None:
        self.deadline = Deadline(0.0)  # of all looks; it begins with the first
        self._cluster = cluster
        self._world = world
        self._scope = scope
        self._client = client
        self._run = run
        self._http = http
        self._second_look = None if isinstance(client, Lookups) else second_look
        self._turn = threading.Semaphore(MOST_AT_ONCE)
        self._forbidden: set[str] = set()  # namespaces in which nothing may be run
        self._tries = Tries(self._forbidden)
        self._has_begun = False

    def are_due(self, wants: Sequence[Want]) -> bool:
        return not self._has_begun or bool(wants)

    def take(self, wants: Iterable[Want], doing: Callable[[str], None]) -> None:
        """What these ask for, and the first time the names of all Services, and what the client meets."""
        asked: dict[str, Callable[[], Any]] = {}
        wanted = list(wants)
        if not self._has_begun:
            self._has_begun = True
            self._begin()
            doing("looking names up inside Pods" + (", and connecting" if self._client else ""))
            asked |= self._of_names()
            if self._second_look:
                self._keep(asked)
                self._look_again(self._second_look, doing)
                asked = {}
        elif wanted:
            doing("looking into Pods")
        self._keep(asked | self._of_sockets(wanted) | self._of_services(wanted))

    def _begin(self) -> None:
        services = services_in_scope(self._world, self._scope)
        self.deadline = Deadline(self._run.left(probe_seconds(len(services))))

    def _keep(self, asked: dict[str, Callable[[], Any]]) -> None:
        """Ask all of it at the same time; what is heard goes into the World when nobody reads it any more."""
        said = {what: answer for what, answer in in_parallel(list(asked), lambda what: asked[what](), len(asked))}
        if "lookups" in said:
            self._world.lookups = {**said["lookups"], **said["servers"]}
        if "connections" in said:
            self._world.connections = said["connections"]
        for seen in said.get("sockets", ()):
            self._world.see(seen)
        if "trials" in said:
            self._world.trials = said["trials"]

    # --- names, and the client that a person chose

    def _of_names(self) -> dict[str, Callable[[], Any]]:
        client = self._client if isinstance(self._client, Pod) else None
        asked = questions(self._world, self._scope, client)
        servers = server_questions(self._world, self._scope)
        found: dict[str, Callable[[], Any]] = {
            "lookups": lambda: self._answers(asked),
            "servers": lambda: self._answers(servers),
        }
        if client:
            plan = plan_from(self._world, services_in_scope(self._world, self._scope), client, self._http)
            found["connections"] = lambda: look_from(
                self._cluster, plan, timeout=self.deadline.left(CONNECT_SECONDS), turn=self._turn
            )
        elif isinstance(self._client, Lookups):
            place, why = self._scope.client or ("", ""), self._client
            found["connections"] = lambda: Connections(*place, unavailable=why.unavailable, detail=why.detail)
        return found

    def _answers(self, asked: list[Question]) -> dict[str, Lookups]:
        """What a Pod of each namespace is told for the names of its Services, or what each CoreDNS Pod says."""
        return {question.namespace: said for question, said in in_parallel(asked, self._answer)}

    def _answer(self, question: Question) -> Lookups:
        if isinstance(self._client, Lookups) and not question.is_of_a_server:
            return self._client
        with self._turn:
            said = ask(self._cluster, question, self.deadline.left(question.seconds))
        if said.unavailable == "forbidden" and not question.is_of_a_server:
            self._forbidden.add(question.namespace)
        return said

    def _look_again(self, second_look: SecondLook, doing: Callable[[str], None]) -> None:
        """From what is added to the cluster, for those who could not look themselves. Then the time begins anew."""
        world, client = self._world, self._client if isinstance(self._client, Pod) else None
        known = dict(world.lookups or {})
        began = time.monotonic()
        plan = second_look.plan(world, questions(world, self._scope, client), known)
        self._run.put_off(time.monotonic() - began)
        doing("looking names up in what was added for it")
        world.lookups = second_look.look_up(plan, known, self._run.left)
        self._begin()
        before, place = world.connections, second_look.place_of(client) if client else None
        if client and place and before and before.unavailable == "no-tool":
            tried = plan_from(world, services_in_scope(world, self._scope), client, self._http)
            seconds = self.deadline.left(CONNECT_SECONDS)
            said = connect_at(self._cluster, place[:3], client, tried.targets, tried.requests, timeout=seconds)
            world.connections = replace(said, added=place[3].added, image=place[3].image)

    # --- Pods, and Services

    def _of_sockets(self, wants: Iterable[Want]) -> dict[str, Callable[[], Any]]:
        """See what each of these Pods listens on."""
        pods = [pod for want in wants if want.resource == "sockets" and (pod := pod_wanted(self._world, want))]
        for pod in pods[MOST_SOCKETS:]:
            self._world.see(unseen(pod, "timeout", f"only {MOST_SOCKETS} Pods are looked into"))
        held = pods[:MOST_SOCKETS]
        return {"sockets": lambda: [seen for _, seen in in_parallel(held, self._look_into)]} if held else {}

    def _look_into(self, pod: Pod) -> Sockets:
        namespace = pod.metadata.namespace
        with self._turn:
            # Who may not look names up inside a namespace's Pods may not look into them either.
            if namespace in self._forbidden:
                return unseen(pod, "forbidden", f"create pods/exec in {namespace}")
            place = self._second_look.place_of(pod) if self._second_look else None
            added = place[2] if place and place[1] == pod.metadata.name else ""
            seconds = self.deadline.left(SOCKET_SECONDS)
            if not seconds:
                return unseen(pod, "timeout", "no time was left")
            seen = look_at_sockets(self._cluster, pod, timeout=seconds, added=added)
        if seen.unavailable == "forbidden":
            self._forbidden.add(namespace)
        return seen

    def _of_services(self, wants: Iterable[Want]) -> dict[str, Callable[[], Any]]:
        """Have each of these Services tried from inside a Pod that is chosen for it."""
        places = {want.namespace for want in wants if want.resource == "connections"}
        if not places:
            return {}
        cases = cases_at(self._world, self._scope, places)
        plan, trials = self._tries.plan(self._world, cases), self._world.trials or Trials()
        given = self._cluster, self._world, cases, plan, trials, self.deadline, self._turn
        return {"trials": lambda: self._tries.all_of(*given)}


def pod_wanted(world: World, want: Want) -> Pod | None:
    """The Pod that somebody wants to be looked into; None where it is gone."""
    namespace, _, name = want.namespace.partition("/")
    pod: Pod | None = world.listed_or_nothing("pods", namespace).get(name)
    return pod
