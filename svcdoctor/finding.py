"""What a diagnosis says, as data: statuses, steps, findings with their evidence, and the report that holds them.

Nothing here reads a cluster or prints. A check makes findings with `fail`, `warn`, `note`, `unknown`, `passed` and
`skipped`; diagnosis.py gives each its step and role; report/ and widgets/ show them. The report's shape is the public
contract of `-o json` (apiVersion svcdoctor/v1). Structs are frozen and hold no cycles, so the collector does not walk
them (gc=False).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from msgspec import UNSET, Struct, UnsetType, field


class Status(StrEnum):
    FAIL = "fail"  # traffic fails for everyone, or for a named client
    WARN = "warn"  # partial, intermittent, or one event away from failing
    UNKNOWN = "unknown"  # could not look
    PASS = "pass"  # checked and good, with its evidence
    NOTE = "note"  # worth knowing; never counted, never changes an exit code
    SKIP = "skip"  # does not apply


# Which status speaks for a step or a Service that has several: the first of these that occurs.
WORST_FIRST = (Status.FAIL, Status.WARN, Status.UNKNOWN, Status.PASS, Status.NOTE, Status.SKIP)


def worst(statuses: list[Status]) -> Status:
    for status in WORST_FIRST:
        if status in statuses:
            return status
    return Status.SKIP


class Step(StrEnum):
    """The stages of the walk: the five that a person types, in that order, then what follows from them."""

    SERVICE = "service"
    ENDPOINTS = "endpoints"
    LABELS = "labels"
    DESCRIBE = "describe"
    DNS = "dns"
    CONNECT = "connect"
    ENTRY = "entry"
    CALLERS = "callers"


WALK = (Step.SERVICE, Step.ENDPOINTS, Step.LABELS, Step.DESCRIBE, Step.DNS)


class Stage(IntEnum):
    """Where on a request's path a fault sits: of several, the one that comes first here is the cause."""

    SERVED = 1  # the Service exists and a proxy serves it
    SELECTOR = 2  # it has a selector, or endpoints of its own
    EXPECTED_SET = 3  # the selector finds Pods, and those it is meant to find
    POD_ADDRESSES = 4  # they are scheduled, their images and configuration are there, they have IPs
    PODS_READY = 5
    SLICES_AGREE = 6  # EndpointSlices hold what the Pods say
    PORTS_PRESENT = 7  # every Service port is in them
    LISTENING = 8
    PROTOCOL = 9
    POLICY = 10
    DNS = 11
    DATA_PLANE = 12
    ENTRY = 13  # LoadBalancer, NodePort, Ingress, Gateway; also what they expose
    APPLICATION = 14


class Role(StrEnum):
    CAUSE = "cause"  # the one to fix first
    ALSO = "also"  # independent; appears once the cause is fixed
    CONSEQUENCE = "consequence"  # explained by another finding


class Certainty(StrEnum):
    OBSERVED = "observed"  # read or probed
    INFERRED = "inferred"  # follows from objects; another explanation exists and is named


class Subject(Struct, frozen=True, gc=False):
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


class Location(Struct, frozen=True, gc=False):
    """A line of a manifest, counted from 1."""

    file: str
    line: int


class Evidence(Struct, frozen=True, gc=False, omit_defaults=True):
    """One fact and where it stands: an object's field (`deployment/cart .spec.replicas`), or a probe's vantage."""

    label: str
    value: str
    source: str
    location: Location | None = None  # where manifests are judged


class Remedy(Struct, frozen=True, gc=False, rename="camel"):
    """Something a person may do: never run by svcdoctor itself."""

    do: str  # a verb phrase
    command: str = ""
    changes_cluster: bool = True
    verified: bool = False  # tried on the objects in memory: the fault is gone then
    then: str = ""  # what a verified one leads to: `pass`, `unknown`, or the code of what comes next
    # What the server said to it (--dry-run=server): `accepted`, `refused: WHY`, `not tried: WHY`.
    dry_run: str | UnsetType = UNSET


class Finding(Struct, frozen=True, gc=False, rename="camel"):
    status: Status
    message: str
    code: str | None = None  # a slug of the catalogue; passes and skips have none
    subject: Subject | None = None
    evidence: tuple[Evidence, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    certainty: Certainty = Certainty.OBSERVED
    because: str | None = None  # the code of the finding that explains this one
    step: Step = Step.SERVICE  # given by the check that yields it
    role: Role | None = None  # given by diagnosis.py
    # Names of the Pods concerned, for the endpoints they stand behind.
    pods: tuple[str, ...] = ()
    location: Location | None = None  # where manifests are judged: the line to look at first
    known: bool = False  # it is in the report that this one is compared with (--baseline)

    @property
    def explain(self) -> str:
        return f"svcdoctor explain {self.code}" if self.code else ""

    @property
    def is_fault(self) -> bool:
        return self.status in (Status.FAIL, Status.WARN)


def fail(
    code: str,
    subject: Subject,
    message: str,
    *evidence: Evidence,
    remedies: tuple[Remedy, ...] = (),
    inferred: bool = False,
    because: str | None = None,
    pods: tuple[str, ...] = (),
) -> Finding:
    certainty = Certainty.INFERRED if inferred else Certainty.OBSERVED
    return Finding(Status.FAIL, message, code, subject, evidence, remedies, certainty, because, pods=pods)


def warn(
    code: str,
    subject: Subject,
    message: str,
    *evidence: Evidence,
    remedies: tuple[Remedy, ...] = (),
    inferred: bool = False,
    because: str | None = None,
    pods: tuple[str, ...] = (),
) -> Finding:
    certainty = Certainty.INFERRED if inferred else Certainty.OBSERVED
    return Finding(Status.WARN, message, code, subject, evidence, remedies, certainty, because, pods=pods)


def note(
    code: str,
    subject: Subject,
    message: str,
    *evidence: Evidence,
    remedies: tuple[Remedy, ...] = (),
    pods: tuple[str, ...] = (),
) -> Finding:
    return Finding(Status.NOTE, message, code, subject, evidence, remedies, pods=pods)


def unknown(
    code: str,
    subject: Subject,
    message: str,
    *evidence: Evidence,
    remedies: tuple[Remedy, ...] = (),
    because: str | None = None,
    pods: tuple[str, ...] = (),
) -> Finding:
    return Finding(Status.UNKNOWN, message, code, subject, evidence, remedies, because=because, pods=pods)


def passed(subject: Subject, message: str, *evidence: Evidence) -> Finding:
    return Finding(Status.PASS, message, None, subject, evidence)


def skipped(subject: Subject, message: str) -> Finding:
    return Finding(Status.SKIP, message, None, subject)


# --- what a report is made of ------------------------------------------------------------------------------------


class StepResult(Struct, frozen=True, gc=False):
    step: Step
    status: Status
    message: str  # one line: what was found, or what was checked and good
    command: str  # the kubectl line that shows the same to a person


class PortRow(Struct, frozen=True, gc=False, rename="camel"):
    name: str
    protocol: str
    port: int
    target_port: int | str | None
    node_port: int | None


class EndpointRow(Struct, frozen=True, gc=False, rename="camel"):
    """One address and port as the EndpointSlices hold it, or a selected Pod that they do not hold (port null)."""

    address: str
    port: int | None
    port_name: str  # the Service port that leads here is the one of this name; "" is a name too
    node: str
    pod: str
    ready: bool
    serving: bool
    terminating: bool
    status: Status
    why: str


class Before(Struct, frozen=True, gc=False):
    """What was said of a Service before manifests were laid over the cluster. No status: there was no such Service."""

    status: Status | None = None
    cause: str | None = None


class ServiceDiagnosis(Struct, frozen=True, gc=False, rename="camel"):
    namespace: str
    name: str
    uid: str
    type: str
    created: str | None = None  # RFC 3339
    cluster_ips: tuple[str, ...] = field(default=(), name="clusterIPs")
    status: Status = Status.PASS
    cause: str | None = None
    headline: str = ""
    steps: tuple[StepResult, ...] = ()
    ports: tuple[PortRow, ...] = ()
    endpoints: tuple[EndpointRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    before: Before | None = None  # where manifests are laid over a cluster


class MissingName(Struct, frozen=True, gc=False):
    """A Service name that callers use and nothing serves."""

    namespace: str
    name: str
    findings: tuple[Finding, ...]


class ClientDiagnosis(Struct, frozen=True, gc=False):
    """A workload whose own configuration keeps it from reaching Services."""

    namespace: str
    kind: str
    name: str
    findings: tuple[Finding, ...]


class ClusterDiagnosis(Struct, frozen=True, gc=False):
    """Parts that all Services share: CoreDNS, kube-proxy, controllers, nodes."""

    findings: tuple[Finding, ...] = ()


class Gap(Struct, frozen=True, gc=False):
    """A read that was refused or failed, so that what depends on it is unknown."""

    verb: str
    resource: str
    group: str
    namespace: str  # "" is the whole cluster
    reason: str  # forbidden, timeout, unreachable, server-error, malformed, throttled, gone, not-found, not-recorded
    message: str = ""

    @property
    def where(self) -> str:
        return f"in namespace {self.namespace}" if self.namespace else "in the whole cluster"


class Unreadable(Struct, frozen=True, gc=False):
    """One object that did not decode; it was left out of its list."""

    resource: str
    namespace: str
    name: str
    error: str


class Summary(Struct, frozen=True, gc=False):
    services: int = 0
    fail: int = 0
    warn: int = 0
    passed: int = field(default=0, name="pass")
    unknown: int = 0


class Diagnosis(Struct, frozen=True, gc=False, rename="camel"):
    """The whole report: what `-o json` prints."""

    version: str
    context: str
    observed_at: str
    summary: Summary
    services: tuple[ServiceDiagnosis, ...] = ()
    missing: tuple[MissingName, ...] = ()
    clients: tuple[ClientDiagnosis, ...] = ()
    cluster: ClusterDiagnosis = ClusterDiagnosis()
    denied: tuple[Gap, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is no Service to speak of, and that was seen."""
        unseen = any(gap.resource == "services" for gap in self.denied)
        return not self.services and not self.missing and not unseen

    def findings(self) -> list[Finding]:
        """Every finding of the report, cluster first, then names, clients and Services."""
        groups: list[tuple[Finding, ...]] = [self.cluster.findings]
        groups += [entry.findings for entry in self.missing]
        groups += [entry.findings for entry in self.clients]
        groups += [entry.findings for entry in self.services]
        return [finding for group in groups for finding in group]


class Unseen(Struct, frozen=True):
    """What stands for a Diagnosis where several contexts were asked for and this one cannot be used."""

    context: str
    reason: str  # unreachable, unauthenticated, config, not-found, ...
    message: str
