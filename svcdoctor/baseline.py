"""What is new since an earlier report: its faults are marked as known, and do not count.

A fault is the same where its place in the report (a Service, a client, the cluster), its code and its subject are. Its
words are not compared: they hold numbers that change. Neither are names that a rollout makes anew, such as a Pod's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from svcdoctor.diagnosis import Scope
from svcdoctor.finding import (
    ClientDiagnosis,
    ClusterDiagnosis,
    Diagnosis,
    Finding,
    MissingName,
    Role,
    ServiceDiagnosis,
    Status,
    Step,
    Subject,
    Summary,
)
from svcdoctor.text import listing
from svcdoctor.world import EVERYWHERE

COUNTED = (Status.FAIL, Status.WARN)
GENERATED = ("Pod", "ReplicaSet", "EndpointSlice")  # kinds whose names controllers make up
Entry = TypeVar("Entry", ServiceDiagnosis, MissingName, ClientDiagnosis, ClusterDiagnosis)


class Fault(NamedTuple):
    kind: str  # of what it is said: Service, Cluster, or a client's kind
    namespace: str
    name: str
    code: str
    subject: tuple[str, str, str]

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name} " if self.name else ""
        return f"{place}{self.code}"


class Baseline(NamedTuple):
    path: str
    contexts: Mapping[str, Mapping[Fault, EarlierFinding]]
    several: bool  # whether the report was one of several contexts

    def faults(self, context: str) -> Mapping[Fault, EarlierFinding]:
        """Those of a context. A report of one context is compared whatever its name is: names differ by computer."""
        known = self.contexts if self.several else dict.fromkeys([context], *self.contexts.values())
        return known.get(context, {})


class Compared(NamedTuple):
    """A Diagnosis with `known` on its findings, and the same without them."""

    diagnosis: Diagnosis
    folded: Diagnosis
    path: str = ""
    healed: tuple[Fault, ...] = ()

    def lines(self) -> Iterator[str]:
        known = sum(item.known and item.role is not Role.CONSEQUENCE for item in self.diagnosis.findings())
        if known:
            yield f"{known} known, as in {self.path}"
        if self.healed:
            yield f"{len(self.healed)} healed since {self.path}: {listing(sorted(map(str, self.healed)), 5)}"


# --- reading an earlier report -----------------------------------------------------------------------------------


class _Subject(msgspec.Struct):
    kind: str
    namespace: str
    name: str


class EarlierFinding(msgspec.Struct):
    code: str | None
    status: str
    step: str
    role: str | None
    subject: _Subject | None


class _Place(msgspec.Struct):
    namespace: str
    name: str
    findings: list[EarlierFinding]
    kind: str = "Service"


class _Cluster(msgspec.Struct):
    findings: list[EarlierFinding]


class _Report(msgspec.Struct, rename="camel"):
    """What is needed of a Diagnosis; of a context that could not be diagnosed, only the name."""

    context: str
    services: list[_Place] = []
    missing: list[_Place] = []
    clients: list[_Place] = []
    cluster: _Cluster | None = None


class _Reports(msgspec.Struct):
    items: list[_Report]


class _Head(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""


def read(content: bytes, path: str) -> Baseline:
    """The baseline that a report of `-o json` is. Raises ValueError where it is none, saying what it is instead."""
    try:
        head = msgspec.json.decode(content, type=_Head)
        if head.api_version != "svcdoctor/v1" or head.kind not in ("Diagnosis", "DiagnosisList"):
            raise ValueError(f"its kind is {head.kind or 'not said'}, its apiVersion {head.api_version or 'not said'}")
        several = head.kind == "DiagnosisList"
        if several:
            reports = msgspec.json.decode(content, type=_Reports).items
        else:
            reports = [msgspec.json.decode(content, type=_Report)]
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return Baseline(path, {report.context: dict(_faults_read(report)) for report in reports}, several)


def _faults_read(report: _Report) -> Iterator[tuple[Fault, EarlierFinding]]:
    places = [*report.services, *report.missing, *report.clients]
    if report.cluster:
        places.append(_Place("", "", report.cluster.findings, "Cluster"))
    for place in places:
        for finding in place.findings:
            if finding.code and finding.status in COUNTED:
                subject = _subject(finding.subject)
                yield Fault(place.kind, place.namespace, place.name, finding.code, subject), finding


# --- comparing ---------------------------------------------------------------------------------------------------


def compared(diagnosis: Diagnosis, baseline: Baseline | None, scope: Scope, is_whole: bool = True) -> Compared:
    """`is_whole`: what the scope means and is not in the Diagnosis does not exist, as where a cluster was read."""
    if baseline is None:
        return Compared(diagnosis, diagnosis)
    after = marked(diagnosis, baseline)
    before, now = baseline.faults(diagnosis.context), frozenset(_faults(diagnosis))
    # What only followed from another fault is gone with that one.
    gone = [(fault, was.step) for fault, was in before.items() if fault not in now and was.role != Role.CONSEQUENCE]
    healed = tuple(fault for fault, step in gone if _was_looked_for(fault, step, diagnosis, scope, is_whole))
    return Compared(after, _folded(after), baseline.path, healed)


def marked(diagnosis: Diagnosis, baseline: Baseline | None) -> Diagnosis:
    """The same; a fault that the baseline has is `known`."""
    faults = baseline.faults(diagnosis.context) if baseline else {}
    if not faults:
        return diagnosis

    def mark(entry: Entry) -> Entry:
        place = _place(entry)
        findings = (replace(item, known=_fault(*place, item) in faults) for item in entry.findings)
        return replace(entry, findings=tuple(findings))

    return replace(
        diagnosis,
        services=tuple(map(mark, diagnosis.services)),
        missing=tuple(map(mark, diagnosis.missing)),
        clients=tuple(map(mark, diagnosis.clients)),
        cluster=mark(diagnosis.cluster),
    )


def _folded(diagnosis: Diagnosis) -> Diagnosis:
    """Without what is known. A Service of which anything is new is told whole: only so can it be understood."""
    services = tuple(entry for entry in diagnosis.services if _has_news(entry) or not _has_known(entry))
    statuses = [entry.status for entry in services]
    counts = {status.value: statuses.count(status) for status in (Status.FAIL, Status.WARN, Status.UNKNOWN)}
    passed = len(statuses) - sum(counts.values())
    return replace(
        diagnosis,
        summary=Summary(services=len(services), passed=passed, **counts),
        services=services,
        missing=tuple(filter(_has_news, map(_without_known, diagnosis.missing))),
        clients=tuple(filter(_has_news, map(_without_known, diagnosis.clients))),
        cluster=_without_known(diagnosis.cluster),
    )


def _has_known(entry: Entry) -> bool:
    return any(finding.known for finding in entry.findings)


def _has_news(entry: Entry) -> bool:
    return any(finding.status in (*COUNTED, Status.UNKNOWN) and not finding.known for finding in entry.findings)


def _without_known(entry: Entry) -> Entry:
    return replace(entry, findings=tuple(finding for finding in entry.findings if not finding.known))


def _was_looked_for(fault: Fault, step: str, diagnosis: Diagnosis, scope: Scope, is_whole: bool) -> bool:
    """Whether this run would have reported it: what nobody looked for has not healed."""
    if fault.code in scope.skip or (scope.only and fault.code not in scope.only):
        return False
    if fault.kind == "Cluster":
        return is_whole and _was_seen(diagnosis.cluster, step)
    if fault.kind == "Service":
        for entry in diagnosis.services:
            if (entry.namespace, entry.name) == (fault.namespace, fault.name):
                return _was_seen(entry, step)
    everything = scope.namespace in (EVERYWHERE, fault.namespace) and not scope.names and not scope.labels
    return is_whole and everything and not diagnosis.denied


def _was_seen(entry: Entry, step: str) -> bool:
    """Without probes, dns is skipped, and what a Pod listens on is not looked at either."""
    skipped = {finding.step.value for finding in entry.findings if finding.status is Status.SKIP}
    if Step.DNS in skipped:
        skipped.add(Step.CONNECT)
    return step not in skipped and all(finding.status is not Status.UNKNOWN for finding in entry.findings)


def _faults(diagnosis: Diagnosis) -> Iterator[Fault]:
    entries: list[ServiceDiagnosis | MissingName | ClientDiagnosis | ClusterDiagnosis]
    entries = [*diagnosis.services, *diagnosis.missing, *diagnosis.clients, diagnosis.cluster]
    for entry in entries:
        place = _place(entry)
        yield from (fault for finding in entry.findings if (fault := _fault(*place, finding)))


def _place(entry: ServiceDiagnosis | MissingName | ClientDiagnosis | ClusterDiagnosis) -> tuple[str, str, str]:
    if isinstance(entry, ClusterDiagnosis):
        return "Cluster", "", ""
    kind = entry.kind if isinstance(entry, ClientDiagnosis) else "Service"
    return kind, entry.namespace, entry.name


def _fault(kind: str, namespace: str, name: str, finding: Finding) -> Fault | None:
    if not finding.code or finding.status not in COUNTED:
        return None
    return Fault(kind, namespace, name, finding.code, _subject(finding.subject))


def _subject(subject: Subject | _Subject | None) -> tuple[str, str, str]:
    if subject is None:
        return "", "", ""
    return subject.kind, subject.namespace, "" if subject.kind in GENERATED else subject.name
