"""A Diagnosis that is kept up to date: only what a change may alter is judged again.

The parts are those of diagnosis.py, in its order; what each asked the World is noted (reads.py), so that after any
changes the result is the one that a diagnosis of the whole World would give.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from typing import TypeVar, cast

from svcdoctor.diagnosis import (
    Caller,
    Scope,
    Tally,
    absent_names,
    assemble,
    broken_parts,
    callers_in,
    diagnose_caller,
    diagnose_cluster,
    diagnose_service,
    services_in,
)
from svcdoctor.finding import Diagnosis, Finding, MissingName, ServiceDiagnosis, Status
from svcdoctor.objects import Service
from svcdoctor.reads import Asker
from svcdoctor.world import Want, World

T = TypeVar("T")
Name = tuple[str, str]

SERVICES, CLUSTER, ABSENT, CALLERS = ("services",), ("cluster",), ("absent",), ("callers",)


class Doctor:
    """`wants` are the lists that checks asked for and nobody tried to read; `checking` the Services that wait for them.

    While a Service waits, what is said of it is all that could be seen so far.
    """

    def __init__(self, world: World, scope: Scope) -> None:
        self.world = world
        self.scope = scope
        self._reads = world.follow()
        self._diagnosed: dict[Name, ServiceDiagnosis] = {}
        # The same in the order of the report, and where each Service stands in it: a report costs what has changed.
        self._report: list[ServiceDiagnosis | None] = []
        self._lines: dict[Name, int] = {}
        self._tally = Tally()
        self._cluster: tuple[Finding, ...] = ()
        self._broken: frozenset[str] = frozenset()
        self._absent: list[MissingName] = []
        self._callers: dict[Asker, Caller] = {}
        self._said: dict[Asker, list[Finding]] = {}
        self._places: dict[Asker, int] = {}  # of the callers, in their order
        self._speaking: set[Asker] = set()  # clients that say more than that they are well
        self._wants: dict[Asker, frozenset[Want]] = {}
        self._labels: dict[Name, dict[str, str] | None] = {}
        self._changed: set[Name] = set()
        self.judged = 0  # how often a Service was judged
        # What is not judged for now, by whoever does not want to hear of each of its changes at once.
        self.resting: Container[Asker] = ()
        self._reads.stale.update((SERVICES, CLUSTER, ABSENT, CALLERS))

    @property
    def wants(self) -> frozenset[Want]:
        return frozenset().union(*self._wants.values())

    @property
    def checking(self) -> frozenset[Name]:
        return frozenset(cast(Name, asker[1:]) for asker in self._wants if asker[0] == "service")

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to judge again now, but for what waits for objects."""
        return not any(asker not in self.resting and self._is_ripe(asker) for asker in self._reads.stale)

    @property
    def put_off(self) -> list[Asker]:
        """What is to be judged again and rests."""
        return [asker for asker in self._reads.stale if asker in self.resting]

    def work(self) -> Iterator[Asker]:
        """Judge again what is stale, a piece at a time, and tell which: a caller may stop between any two."""
        stale = self._reads.stale
        if SERVICES in stale and self._is_ripe(SERVICES):
            self._list_services()
        if CLUSTER in stale and self._is_ripe(CLUSTER):
            self._cluster = self._judge(CLUSTER, lambda wants: diagnose_cluster(self.world, self.scope, wants))
            broken = broken_parts(self._cluster)
            if broken != self._broken:
                self._broken = broken
                stale.update(("service", *name) for name in self._lines)
            yield CLUSTER
        if CALLERS in stale and self._is_ripe(CALLERS):
            self._list_callers()
            yield CALLERS
        if ABSENT in stale and self._is_ripe(ABSENT):
            self._absent = self._judge(ABSENT, lambda wants: absent_names(self.world, self.scope, wants))
        for asker in [asker for asker in stale if asker not in self.resting and self._is_ripe(asker)]:
            if asker[0] == "service":
                self._judge_service(asker)
            elif asker[0] == "client":
                self._judge_client(asker)
            yield asker

    def diagnosis(self) -> Diagnosis:
        """The report as it stands. A Service that says what it said before is the same object as before."""
        services = cast(list[ServiceDiagnosis], self._report)  # where all have been judged, there is no copy to make
        if len(self._diagnosed) < len(services):
            services = [service for service in services if service is not None]
        speaking = sorted(self._speaking, key=self._places.__getitem__)
        said = [(self._callers[asker], self._said[asker]) for asker in speaking]
        return assemble(self.world, services, self._tally, self._cluster, self._absent, said)

    def take_changed(self) -> frozenset[Name]:
        """The Services that say something else, have other labels, are new or are gone since this was asked last."""
        changed = frozenset(self._changed)
        self._changed.clear()
        return changed

    def service(self, name: Name) -> ServiceDiagnosis | None:
        return self._diagnosed.get(name)

    def labels(self, name: Name) -> dict[str, str]:
        return self._labels.get(name) or {}

    def _is_ripe(self, asker: Asker) -> bool:
        """What waits for objects is judged again when all that it asked for is there, or refused."""
        wants = self._wants.get(asker)
        return not wants or all(self.world.is_answered(want.resource, want.namespace) for want in wants)

    def _judge(self, asker: Asker, judge: Callable[[set[Want]], T]) -> T:
        wants: set[Want] = set()
        with self._reads.asking(asker):
            result = judge(wants)
        if wants:
            self._wants[asker] = frozenset(wants)
        else:
            self._wants.pop(asker, None)
        return result

    def _judge_client(self, asker: Asker) -> None:
        caller = self._callers[asker]
        said = self._judge(asker, lambda wants: diagnose_caller(self.world, caller, self.scope, wants))
        self._said[asker] = said
        well = (None, caller.subject)
        if all(finding.status in (Status.PASS, Status.SKIP) and finding.subject in well for finding in said):
            self._speaking.discard(asker)
        else:
            self._speaking.add(asker)

    def _judge_service(self, asker: Asker) -> None:
        name = cast(Name, asker[1:])

        def judge(wants: set[Want]) -> ServiceDiagnosis | None:
            service: Service | None = self.world.kept("services", *name)
            if service is None:
                return None
            if self._labels.get(name) != service.metadata.labels:
                self._labels[name] = service.metadata.labels
                self._changed.add(name)
            return diagnose_service(self.world, service, self.scope, self._broken, wants)

        result = self._judge(asker, judge)
        if result is None:
            return  # gone, which is told where it is known what there is
        self.judged += 1
        before = self._diagnosed.get(name)
        if result != before:
            if before is not None:
                self._tally.drop(before)
            self._tally.add(result)
            self._diagnosed[name] = result
            self._report[self._lines[name]] = result
            self._changed.add(name)

    def _list_services(self) -> None:
        found = self._judge(SERVICES, lambda wants: services_in(self.world, self.scope, wants))
        names = [(service.metadata.namespace, service.metadata.name) for service in found]
        for name in self._lines.keys() - set(names):
            self._forget(("service", *name))
            self._labels.pop(name, None)
            if said := self._diagnosed.pop(name, None):
                self._tally.drop(said)
            self._changed.add(name)
        self._reads.stale.update(("service", *name) for name in names if name not in self._lines)
        self._lines = {name: line for line, name in enumerate(names)}
        self._report = [self._diagnosed.get(name) for name in names]

    def _list_callers(self) -> None:
        found = self._judge(CALLERS, lambda wants: callers_in(self.world, self.scope, wants))
        callers: dict[Asker, Caller] = {
            ("client", caller.namespace, caller.kind, caller.name): caller for caller in found
        }
        for asker in self._callers.keys() - callers.keys():
            self._forget(asker)
            self._said.pop(asker, None)
            self._speaking.discard(asker)
        # A caller is no answer of the World's that could be noted: it comes with the list.
        self._reads.stale.update(
            asker
            for asker, caller in callers.items()
            if asker not in self._callers or caller.owner is not self._callers[asker].owner
        )
        self._callers = callers
        self._places = {asker: place for place, asker in enumerate(callers)}

    def _forget(self, asker: Asker) -> None:
        self._reads.forget(asker)
        self._wants.pop(asker, None)
