"""When names are looked up, and the threads that do it: one exec a namespace, never because of an event.

The live thread decides and takes the answers; only the lookups themselves run elsewhere.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from svcdoctor.collect import LOOKUP_SECONDS, LOOKUPS_AT_ONCE, Question, ask, questions
from svcdoctor.diagnosis import Scope
from svcdoctor.kube import Cluster, KubeError
from svcdoctor.lookup import Lookups, Vantage
from svcdoctor.objects import Pod
from svcdoctor.world import EVERYWHERE, NotRead, Want, World


class Rhythm(NamedTuple):
    """Seconds between two lookups in a namespace."""

    lookups: float = 60.0
    unanswered: float = 20.0  # where a name had no answer: whoever mends it wants to see that
    new_names: float = 10.0  # where a Service has come that nobody has asked for yet


class Answered(NamedTuple):
    """What the Pods of a namespace were told."""

    namespace: str
    said: Lookups
    seconds: float


class Schedule:
    """Looks names up, one exec a namespace, in a few threads; when, the live thread decides."""

    def __init__(self, cluster: Cluster, scope: Scope, tell: Callable[[Answered], None], rhythm: Rhythm) -> None:
        self._cluster = cluster
        self._scope = scope
        self._tell = tell
        self._rhythm = rhythm
        self._jobs: queue.SimpleQueue[Question | Lookups | None] = queue.SimpleQueue()
        self._due: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._running: set[str] = set()
        self._blocked: set[str] = set()
        self.wants: frozenset[Want] = frozenset()  # what has to be read before anybody can be asked
        self._threads = 0

    def ask_now(self, namespaces: Collection[str] | None) -> None:
        for namespace in self._due if namespaces is None else namespaces:
            self._due[namespace] = 0.0

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
        return max(0.0, min((self._due[namespace] - now for namespace in waiting), default=3600.0))

    def run_due(self, world: World, now: float) -> None:
        for namespace in _namespaces_of_services(world, self._scope):
            self._due.setdefault(namespace, 0.0)
        due = {namespace for namespace, ends in self._due.items() if ends <= now and namespace not in self._running}
        client = self._client(world) if due else None
        self.wants = self._missing(world) if due else frozenset()
        self._blocked = {namespace for namespace in due if not world.is_answered("pods", namespace)}
        if self.wants:
            self._blocked = due
            return
        due -= self._blocked
        if not due:
            return  # and what a question needs may not have been asked for yet
        for question in questions(world, self._scope, client if isinstance(client, Pod) else None, due):
            self._due[question.namespace] = now + self._rhythm.lookups
            self._running.add(question.namespace)
            self._hand_over(question, client if isinstance(client, Lookups) else None)
        for namespace in due - self._running:
            del self._due[namespace]  # no Services there any more

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
            pod: Pod | None = world.listed("pods", namespace).get(name)
        except NotRead as missing:
            detail = missing.gap.message if missing.gap else ""
            return Lookups(Vantage(kind="exec"), unavailable="forbidden", detail=detail)
        return pod or Lookups(
            Vantage(kind="exec"), unavailable="no-pod", detail=f"there is no Pod {name} in namespace {namespace}"
        )

    def _hand_over(self, question: Question, known: Lookups | None) -> None:
        if known is not None:
            self._tell(Answered(question.namespace, known, 0.0))
            return
        self._jobs.put(question)
        if self._threads < min(LOOKUPS_AT_ONCE, len(self._running)):
            self._threads += 1
            threading.Thread(target=self._work, name=f"lookups {self._threads}", daemon=True).start()

    def _work(self) -> None:
        while isinstance(question := self._jobs.get(), Question):
            started = time.monotonic()
            try:
                said = ask(self._cluster, question, LOOKUP_SECONDS)
            except KubeError as error:
                said = Lookups(Vantage(kind="exec"), unavailable="error", detail=str(error))
            self._tell(Answered(question.namespace, said, time.monotonic() - started))


def _namespaces_of_services(world: World, scope: Scope) -> Sequence[str]:
    if scope.namespace != EVERYWHERE:
        return [scope.namespace] if world.was_read("services", scope.namespace) else []
    try:
        return world.namespaces_of("services")[0]
    except NotRead:
        return []
