"""From a World to a Diagnosis: runs the checks, names one cause, folds what follows from it.

Pure: the same World and scope give the same Diagnosis. What a check could not see becomes `unknown`; what it asked for
and nobody has tried to read comes back as wants, for collect.py to read and call again.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from svcdoctor import __version__
from svcdoctor.case import (
    ENTRY_RESOURCES,
    SETTLING_SECONDS,
    Case,
    ClientCase,
    ClusterCase,
    Entry,
    EntryCase,
)
from svcdoctor.check import Check, Code
from svcdoctor.checks import ALL
from svcdoctor.finding import (
    ClientDiagnosis,
    ClusterDiagnosis,
    Diagnosis,
    EndpointRow,
    Evidence,
    Finding,
    Gap,
    MissingName,
    PortRow,
    Remedy,
    Role,
    ServiceDiagnosis,
    Stage,
    Status,
    Step,
    StepResult,
    Subject,
    Summary,
    Unreadable,
    fail,
    unknown,
    worst,
)
from svcdoctor.labels import Requirement
from svcdoctor.objects import RESOURCES, EndpointPort, Service
from svcdoctor.template import Template
from svcdoctor.text import duration, listing, parse_time, printable
from svcdoctor.world import EVERYWHERE, NotRead, World

CODES: dict[str, Code] = {slug: code for module in ALL for slug, code in module.CHECK.codes.items()}
# What the tool could not do: these stand beside any step and are never a cause.
OWN_LIMITS = ("unknown-forbidden", "unknown-timeout", "unknown-settling", "unknown-no-probe-pod")
RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"
Caller = Template | Entry
T = TypeVar("T")
WALK = (Step.SERVICE, Step.ENDPOINTS, Step.LABELS, Step.DESCRIBE, Step.DNS)


class Want(NamedTuple):
    """A list that a check asked for and nobody has tried to read."""

    resource: str
    namespace: str


class Scope(NamedTuple):
    """Which Services a run is about, and which codes it may report."""

    namespace: str = EVERYWHERE
    names: tuple[str, ...] = ()  # () is every Service of the namespace
    labels: tuple[Requirement, ...] = ()
    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    client: tuple[str, str] | None = None  # (namespace, Pod) given with --from

    def holds(self, service: Service) -> bool:
        """Whether a Service of the namespace is among those that were asked for."""
        named = not self.names or service.metadata.name in self.names
        return named and all(term.holds(service.metadata.labels) for term in self.labels)

    def allows(self, finding: Finding) -> bool:
        if not finding.code or finding.code in OWN_LIMITS:
            return True
        return finding.code not in self.skip and (not self.only or finding.code in self.only)


class Outcome(NamedTuple):
    diagnosis: Diagnosis
    wants: frozenset[Want]


def diagnose(world: World, scope: Scope) -> Outcome:
    """The report over a scope. `wants` is empty when every question found its answer or a reason why not."""
    wants: set[Want] = set()
    services = services_in(world, scope, wants)
    cluster = diagnose_cluster(world, scope, wants)
    broken = broken_parts(cluster)
    diagnosed = [diagnose_service(world, service, scope, broken, wants) for service in services]
    absent = absent_names(world, scope, wants)
    said = [(caller, diagnose_caller(world, caller, scope, wants)) for caller in callers_in(world, scope, wants)]
    return Outcome(assemble(world, diagnosed, cluster, absent, said), frozenset(wants))


def assemble(
    world: World,
    services: Sequence[ServiceDiagnosis],
    cluster: tuple[Finding, ...],
    absent: Iterable[MissingName],
    said: Iterable[tuple[Caller, list[Finding]]],
) -> Diagnosis:
    """The report, of the parts that the functions below make."""
    missing, clients = _gathered(said)
    denied = tuple(map(_printable_gap, sorted(world.gaps.values(), key=lambda gap: (gap.namespace, gap.resource))))
    statuses = [entry.status for entry in services]
    summary = Summary(
        services=len(statuses),
        fail=statuses.count(Status.FAIL),
        warn=statuses.count(Status.WARN),
        passed=sum(status in (Status.PASS, Status.NOTE, Status.SKIP) for status in statuses),
        unknown=statuses.count(Status.UNKNOWN),
    )
    return Diagnosis(
        version=__version__,
        context=printable(world.context),
        observed_at=world.now.strftime(RFC_3339),
        summary=summary,
        services=tuple(services),
        missing=(*absent, *missing),
        clients=clients,
        cluster=ClusterDiagnosis(cluster),
        denied=denied,
        unreadable=tuple(
            Unreadable(item.resource, printable(item.namespace), printable(item.name), printable(item.error))
            for item in world.unreadable
        ),
    )


def keeping(diagnosis: Diagnosis, before: Mapping[tuple[str, str], ServiceDiagnosis]) -> Diagnosis:
    """The same report; a Service that says what it said before is the same object as before."""
    known = [(before.get((entry.namespace, entry.name)), entry) for entry in diagnosis.services]
    return replace(diagnosis, services=tuple(old if old == new and old else new for old, new in known))


def diagnose_cluster(world: World, scope: Scope, wants: set[Want]) -> tuple[Finding, ...]:
    """What is wrong with the parts that all Services share."""
    case = ClusterCase(world)
    return tuple(_ordered([*_asked(case, "cluster", wants, scope), *_unlisted(world, scope, case.subject)]))


def broken_parts(cluster: Iterable[Finding]) -> frozenset[str]:
    """The codes of shared parts that failed: what they explain is theirs, not a Service's."""
    return frozenset(finding.code for finding in cluster if finding.is_fault and finding.code)


def services_in(world: World, scope: Scope, wants: set[Want]) -> list[Service]:
    """The Services of a scope, in order; those that were seen and are lost sight of among them."""
    try:
        if scope.namespace == EVERYWHERE:
            world.everywhere("services")
        else:
            world.listed("services", scope.namespace)
    except NotRead as missing:
        if missing.gap is None:
            wants.add(Want(missing.resource, missing.namespace))
    found = world.held("services", scope.namespace)
    chosen = filter(scope.holds, found)
    return sorted(chosen, key=lambda service: (service.metadata.namespace, service.metadata.name))


def _unlisted(world: World, scope: Scope, subject: Subject) -> list[Finding]:
    """What stands for the Services that the scope may hold and that could not be listed: nothing was seen of them."""
    gap = world.gaps.get(("services", scope.namespace))
    return [could_not_read(subject, gap)] if gap and not world.was_read("services", scope.namespace) else []


def absent_names(world: World, scope: Scope, wants: set[Want]) -> list[MissingName]:
    """Names that the person gave and no Service of the namespace has: with those that come near, here and elsewhere."""
    if not scope.names or not world.was_read("services", scope.namespace):
        return []
    here = world.listed("services", scope.namespace)
    absent = [name for name in scope.names if name not in here]
    if not absent:
        return []
    try:
        visible, complete = world.everywhere("services")
    except NotRead as missing:
        wants.add(Want(missing.resource, missing.namespace))
        return []
    return [
        MissingName(
            printable(scope.namespace),
            printable(name),
            (_no_such_service(scope.namespace, name, sorted(here), visible, complete),),
        )
        for name in absent
    ]


def _no_such_service(namespace: str, name: str, here: list[str], visible: list[Service], complete: bool) -> Finding:
    elsewhere = sorted(service.metadata.namespace for service in visible if service.metadata.name == name)
    near = difflib.get_close_matches(name, here, n=3)
    evidence = [Evidence("Services here", listing(near or here, 5) or "none", f"namespace {namespace}")]
    remedies = [
        Remedy(f"look at {other}", f"svcdoctor diagnose {shlex.quote(other)} -n {namespace}", changes_cluster=False)
        for other in near[:1]
    ]
    if elsewhere:
        evidence.append(
            Evidence("the same name", f"exists in namespace {listing(elsewhere)}", "services of all namespaces")
        )
        remedies.insert(
            0,
            Remedy(
                f"name its namespace: add -n {elsewhere[0]}",
                f"svcdoctor diagnose {shlex.quote(name)} -n {elsewhere[0]}",
                changes_cluster=False,
            ),
        )
    elif not complete:
        evidence.append(Evidence("other namespaces", "may not be read", "list services in the whole cluster"))
    message = f"there is no Service {name} in namespace {namespace}"
    finding = fail("svc-missing", Subject("Service", namespace, name), message, *evidence, remedies=tuple(remedies))
    return _printable(replace(finding, step=Step.SERVICE, role=Role.CAUSE))


# --- running checks ----------------------------------------------------------------------------------------------


def _asked(case: Any, about: str, wants: set[Want], scope: Scope) -> list[Finding]:
    """Every finding about a Case, each with its step, and `unknown` where a check met something it may not see."""
    findings: list[Finding] = []
    for module in ALL:
        check: Check = module.CHECK
        if check.about == about:
            findings += (
                _printable(replace(finding, step=check.step))
                for finding in _run(module, case, wants)
                if scope.allows(finding)
            )
    seen: set[tuple[Step, str | None, str]] = set()
    kept: list[Finding] = []
    for finding in findings:
        key = (finding.step, finding.code, finding.message)
        if finding.status is Status.UNKNOWN and key in seen:
            continue
        seen.add(key)
        kept.append(finding)
    return kept


def _run(module: ModuleType, case: Any, wants: set[Want]) -> Iterator[Finding]:
    try:
        yield from module.run(case)
    except NotRead as missing:
        if missing.gap is None:
            wants.add(Want(missing.resource, missing.namespace))
            case.waits.add(module.CHECK.step)
        else:
            yield could_not_read(case.subject, missing.gap)


def could_not_read(subject: Subject, gap: Gap) -> Finding:
    """The finding that says which read was refused or failed, and the right that would allow it."""
    code = "unknown-forbidden" if gap.reason == "forbidden" else "unknown-timeout"
    why = "forbidden" if gap.reason == "forbidden" else f"{gap.reason}: {gap.message}" if gap.message else gap.reason
    scope = f"-n {gap.namespace}" if gap.namespace else "-A"
    evidence = Evidence("needs", f"{gap.verb} {gap.resource}", f"API group {gap.group or 'core'}, {gap.where}")
    remedies = (
        (Remedy("ask for the rights of a diagnosis", f"svcdoctor rbac {scope}", changes_cluster=False),)
        if code == "unknown-forbidden"
        else ()
    )
    return _printable(
        unknown(code, subject, f"cannot {gap.verb} {gap.resource} {gap.where} ({why})", evidence, remedies=remedies)
    )


def _printable(finding: Finding) -> Finding:
    """The gate: nothing that came out of a cluster leaves the core with a character that a terminal would obey."""
    evidence = tuple(
        Evidence(printable(item.label), printable(item.value), printable(item.source)) for item in finding.evidence
    )
    remedies = tuple(replace(item, do=printable(item.do), command=printable(item.command)) for item in finding.remedies)
    subject = finding.subject and Subject(
        finding.subject.kind, printable(finding.subject.namespace), printable(finding.subject.name)
    )
    return replace(finding, message=printable(finding.message), evidence=evidence, remedies=remedies, subject=subject)


def _printable_gap(gap: Gap) -> Gap:
    return replace(gap, namespace=printable(gap.namespace), message=printable(gap.message))


# --- one Service -------------------------------------------------------------------------------------------------


def diagnose_service(
    world: World, service: Service, scope: Scope, broken: Collection[str], wants: set[Want]
) -> ServiceDiagnosis:
    """What is said of one Service. `broken` are the codes of shared parts that failed."""
    case = Case(world, service)
    said = [*_asked(case, "service", wants, scope), *_lost(case)]
    findings = _ordered(_settled(case, _on_whole_lists(case, said)), broken)
    # What a fault of the cluster explains is not this Service's fault, but no reason to call it healthy either.
    own = [finding.status for finding in findings if finding.role is not Role.CONSEQUENCE or finding.because in broken]
    status = worst(own)
    if status in (Status.NOTE, Status.SKIP):
        status = Status.PASS
    cause = next((finding for finding in findings if finding.role is Role.CAUSE), None)
    steps = tuple(_step(case, step, findings, wants) for step in _steps_shown(findings, case.waits))
    return ServiceDiagnosis(
        namespace=printable(case.namespace),
        name=printable(case.name),
        uid=printable(case.service.metadata.uid),
        type=printable(case.type),
        created=_moment(case.service.metadata.creation_timestamp),
        cluster_ips=tuple(
            printable(address)
            for address in (case.spec.cluster_ips or ([case.spec.cluster_ip] if case.spec.cluster_ip else []))
        ),
        status=status,
        cause=cause.code if cause else None,
        headline=_headline(findings, cause),
        steps=steps,
        ports=tuple(
            PortRow(
                printable(port.name),
                printable(port.protocol),
                port.port,
                _shown(port.target_port),
                port.node_port or None,
            )
            for port in case.ports
        ),
        endpoints=tuple(_endpoint_rows(case, findings, wants)),
        findings=tuple(findings),
    )


def _lost(case: Case) -> Iterator[Finding]:
    """What is known of the Service itself is too old to rely on."""
    try:
        case.world.listed("services", case.namespace)
    except NotRead as missing:
        if missing.gap:
            yield could_not_read(case.subject, missing.gap)


def _moment(value: str | None) -> str | None:
    moment = parse_time(value)
    return moment.astimezone(UTC).strftime(RFC_3339) if moment else None


def _shown(value: int | str | None) -> int | str | None:
    return printable(value) if isinstance(value, str) else value


def _on_whole_lists(case: Case, findings: list[Finding]) -> list[Finding]:
    """Without the faults that an object of the namespace might disprove which could not be decoded."""
    odd = [item for item in case.world.unreadable if item.namespace == case.namespace and item.resource in case.touched]
    if not odd:
        return findings
    lost = f"{odd[0].resource} {odd[0].name} could not be decoded"
    return [
        replace(finding, status=Status.UNKNOWN, code="unknown-timeout", message=f"{lost}; so far: {finding.message}")
        if finding.is_fault and _code(finding).stage <= Stage.PORTS_PRESENT
        else finding
        for finding in findings
    ]


def _settled(case: Case, findings: list[Finding]) -> list[Finding]:
    """Faults of a Service younger than 30 s are held back, where a controller may still be at work."""
    if not case.is_settling:
        return _without_early_symptoms(findings)
    kept: list[Finding] = []
    held: dict[Step, Finding] = {}
    for finding in findings:
        code = CODES.get(finding.code or "")
        if finding.is_fault and code and code.settles:
            young = f"created {duration(case.age(case.service))} ago, judged after {SETTLING_SECONDS:.0f}s"
            message = f"{young}; so far: {finding.message}"
            held.setdefault(
                finding.step,
                replace(finding, status=Status.UNKNOWN, code="unknown-settling", message=message, remedies=()),
            )
        else:
            kept.append(finding)
    return kept + list(held.values())


def _without_early_symptoms(findings: list[Finding]) -> list[Finding]:
    """A symptom that only settling Pods explain is not a fault yet."""
    settling = [finding for finding in findings if finding.code == "unknown-settling" and finding.step in WALK[:3]]
    explained = any(finding.is_fault and not _code(finding).symptom and _reaches_pods(finding) for finding in findings)
    if not settling or explained:
        return findings
    return [
        replace(finding, status=Status.UNKNOWN, code="unknown-settling", remedies=())
        if finding.is_fault and _code(finding).symptom
        else finding
        for finding in findings
    ]


def _reaches_pods(finding: Finding) -> bool:
    return _code(finding).stage <= Stage.PODS_READY


def _ordered(findings: list[Finding], broken: Iterable[str] = ()) -> list[Finding]:
    """Roles given, worst first: the cause, then what is independent of it, then what follows from it, then the rest.

    `broken` are the codes of shared parts that failed: what they explain is theirs, not the Service's.
    """
    faults = [finding for finding in findings if finding.is_fault and finding.code]
    codes = {finding.code for finding in faults}
    explained = codes | set(broken)
    own = [finding for finding in faults if finding.because not in explained]
    roots = [finding for finding in own if not _code(finding).symptom] or own
    cause = min(roots, key=_precedence, default=None)
    ordered: list[Finding] = []
    for finding in findings:
        if finding is cause:
            ordered.append(replace(finding, role=Role.CAUSE))
        elif finding.because in explained:
            ordered.append(replace(finding, role=Role.CONSEQUENCE))
        elif not finding.is_fault or not finding.code:
            ordered.append(replace(finding, because=None))
        elif cause and _code(finding).symptom and _code(cause).stage <= _code(finding).stage:
            ordered.append(replace(finding, role=Role.CONSEQUENCE, because=cause.code))
        else:
            ordered.append(replace(finding, role=Role.ALSO, because=None))
    places = [Role.CAUSE, Role.ALSO, Role.CONSEQUENCE, None]
    return sorted(
        ordered,
        key=lambda finding: (
            places.index(finding.role),
            _precedence(finding) if finding.is_fault else (9, 0),
            list(Step).index(finding.step),
        ),
    )


def _code(finding: Finding) -> Code:
    return CODES[finding.code or ""]


def _precedence(finding: Finding) -> tuple[int, int]:
    """Faults that stop traffic before those that hurt it; of equals, the first on the request's path."""
    return (
        0 if finding.status is Status.FAIL else 1,
        CODES[finding.code].stage if finding.code in CODES else Stage.APPLICATION,
    )


def _steps_shown(findings: list[Finding], waits: Collection[Step]) -> list[Step]:
    """The walk, as far as nothing is left to read for it."""
    later = [step for step in Step if step not in WALK and any(finding.step is step for finding in findings)]
    shown = [*WALK, *later]
    return shown[: next((index for index, step in enumerate(shown) if step in waits), len(shown))]


def _step(case: Case, step: Step, findings: list[Finding], wants: set[Want]) -> StepResult:
    own = [finding for finding in findings if finding.step is step]
    status = worst([finding.status for finding in own])
    speaking = [finding for finding in own if finding.status is status]
    # A symptom says what this step shows (`0 of 3 ready`); why it does is said where the cause is.
    symptom = next((finding for finding in speaking if finding.code in CODES and _code(finding).symptom), None)
    speaker = symptom or (speaking[0] if speaking else None)
    return StepResult(step, status, speaker.message if speaker else "does not apply", _command(case, step, wants))


def _command(case: Case, step: Step, wants: set[Want]) -> str:
    """The line that shows a step to a person; it may ask for more, as a check does."""
    try:
        return printable(COMMANDS[step](case))
    except NotRead as missing:
        if missing.gap is None:
            wants.add(Want(missing.resource, missing.namespace))
        return ""


def _headline(findings: list[Finding], cause: Finding | None) -> str:
    """What a person should read first: the symptom, else the cause, else what could not be seen, else what is good."""
    faults = [finding for finding in findings if finding.is_fault]
    symptom = next((finding for finding in faults if finding.code and _code(finding).symptom), None)
    speaker = symptom or cause or next((finding for finding in findings if finding.status is Status.UNKNOWN), None)
    if speaker:
        return speaker.message
    good = [finding for finding in findings if finding.status is Status.PASS]
    return next(
        (finding.message for finding in good if finding.step is Step.ENDPOINTS), good[0].message if good else ""
    )


def _endpoint_rows(case: Case, findings: list[Finding], wants: set[Want]) -> Iterator[EndpointRow]:
    blamed = {
        pod: finding
        for finding in reversed(findings)
        if finding.status in (Status.FAIL, Status.WARN, Status.UNKNOWN)
        for pod in finding.pods
    }
    try:
        views = case.endpoints
    except NotRead:
        return  # the endpoints step says so
    shown: set[str] = set()
    for view in views:
        shown.add(view.pod)
        finding = blamed.get(view.pod)
        good = view.ready and finding is None
        status = Status.PASS if good else finding.status if finding else Status.FAIL
        why = finding.message if finding else "" if view.ready else "terminating" if view.terminating else "not ready"
        for port in view.ports or [EndpointPort()]:
            yield EndpointRow(
                printable(view.address),
                port.port,
                printable(port.name or ""),
                printable(view.endpoint.node_name or ""),
                printable(view.pod),
                view.ready,
                view.serving,
                view.terminating,
                status,
                why,
            )
    try:
        absent = [pod for pod in case.live_pods if pod.metadata.name not in shown]
    except NotRead:
        return
    for pod in absent:
        finding = blamed.get(pod.metadata.name)
        why = finding.message if finding else "not in any EndpointSlice"
        status = finding.status if finding else Status.UNKNOWN
        yield EndpointRow(
            printable(pod.status.pod_ip or ""),
            None,
            "",
            printable(pod.spec.node_name or ""),
            printable(pod.metadata.name),
            False,
            False,
            pod.metadata.deletion_timestamp is not None,
            status,
            why,
        )


def _labels_command(case: Case) -> str:
    selector = ",".join(f"{key}={value}" for key, value in case.selector.items())
    return f"kubectl -n {case.namespace} get pods --show-labels" + (f" -l {selector}" if selector else "")


COMMANDS: dict[Step, Callable[[Case], str]] = {
    Step.SERVICE: lambda case: f"kubectl -n {case.namespace} get svc {case.name} -o wide",
    Step.ENDPOINTS: lambda case: (
        f"kubectl -n {case.namespace} get endpointslices -l kubernetes.io/service-name={case.name} -o yaml"
    ),
    Step.LABELS: _labels_command,
    Step.DESCRIBE: lambda case: f"kubectl -n {case.namespace} describe svc {case.name}",
    Step.DNS: lambda case: f"kubectl -n {case.namespace} exec {_vantage(case)} -- nslookup {case.fqdn}",
    Step.CONNECT: lambda case: f"kubectl -n {case.namespace} exec {_vantage(case)} -- nc -zv {case.name} {_port(case)}",
    Step.ENTRY: lambda case: f"kubectl -n {case.namespace} get svc {case.name} -o jsonpath='{{.status.loadBalancer}}'",
    Step.CALLERS: lambda case: f"kubectl -n {case.namespace} get pods -o yaml | grep -n {case.name}",
}


def _port(case: Case) -> int:
    return case.ports[0].port if case.ports else 80


def _vantage(case: Case) -> str:
    answers = case.dns
    return answers.vantage.pod if answers and answers.vantage and answers.vantage.pod else "POD"


# --- callers -----------------------------------------------------------------------------------------------------


def diagnose_caller(world: World, caller: Caller, scope: Scope, wants: set[Want]) -> list[Finding]:
    """What is said of one caller of Services; nothing, where it calls none of those asked for."""
    if isinstance(caller, Entry):
        entry = EntryCase(world, caller)
        return [] if scope.names and not _calls(entry, scope, wants) else _asked(entry, "entry", wants, scope)
    client = ClientCase(world, caller)
    return [] if scope.names and not _calls(client, scope, wants) else _asked(client, "client", wants, scope)


def _gathered(
    said: Iterable[tuple[Caller, list[Finding]]],
) -> tuple[tuple[MissingName, ...], tuple[ClientDiagnosis, ...]]:
    """Findings about callers, by what they are about: a name that nothing serves, or a workload's own configuration."""
    missing: dict[tuple[str, str], list[Finding]] = {}
    clients: dict[tuple[str, str, str], list[Finding]] = {}
    for caller, findings in said:
        for finding in findings:
            subject = finding.subject or caller.subject
            if subject.kind == "Service":
                missing.setdefault((subject.namespace, subject.name), []).append(finding)
            else:
                clients.setdefault((subject.namespace, subject.kind, subject.name), []).append(finding)
    names = tuple(
        MissingName(namespace, name, tuple(_ordered(_merged(group))))
        for (namespace, name), group in sorted(missing.items())
    )
    workloads = tuple(
        ClientDiagnosis(namespace, kind, name, tuple(_ordered(group)))
        for (namespace, kind, name), group in sorted(clients.items())
        if any(finding.status not in (Status.PASS, Status.SKIP) for finding in group)
    )
    return names, workloads


def _calls(case: ClientCase | EntryCase, scope: Scope, wants: set[Want]) -> bool:
    """Whether a caller names a Service of the scope; not yet, while what it takes to know has not been read."""
    try:
        return case.calls(scope.namespace, scope.names)
    except NotRead as missing:
        if missing.gap is None:
            wants.add(Want(missing.resource, missing.namespace))
        return False


def _merged(group: list[Finding]) -> list[Finding]:
    """Several callers of one missing name are one finding with the evidence of each."""
    first: dict[str | None, Finding] = {}
    for finding in group:
        known = first.get(finding.code)
        evidence = (
            (*known.evidence, *(item for item in finding.evidence if item not in known.evidence))
            if known
            else finding.evidence
        )
        first[finding.code] = replace(known or finding, evidence=evidence)
    return list(first.values())


def callers_in(world: World, scope: Scope, wants: set[Want]) -> list[Caller]:
    """What may call Services of a scope: its workloads, its Ingresses and its Routes."""
    view = ClusterCase(world)
    found: list[Caller] = []

    def templates() -> list[Template]:
        return view.templates_everywhere()[0] if scope.namespace == EVERYWHERE else view.templates(scope.namespace)

    found += _or_wanted(templates, wants)
    for resource in ENTRY_RESOURCES:
        found += _or_wanted(partial(_entries, world, resource, scope), wants)
    return found


def _entries(world: World, resource: str, scope: Scope) -> list[Entry]:
    if scope.namespace == EVERYWHERE:
        items = world.everywhere(resource)[0]
    else:
        items = list(world.listed(resource, scope.namespace).values())
    kind = ENTRY_RESOURCES[resource]
    return [Entry(kind, item.metadata.namespace, item.metadata.name, item) for item in items]


def _or_wanted(question: Callable[[], Sequence[T]], wants: set[Want]) -> Sequence[T]:
    """The answer, or nothing while what it takes is not read."""
    try:
        return question()
    except NotRead as missing:
        if missing.gap is None:
            wants.add(Want(missing.resource, missing.namespace))
        return []


def kinds_read() -> dict[str, None]:
    """Every kind that some check may read, in the order of the walk: what `collect` lists and `rbac` grants."""
    kinds = ["services", *(kind for module in ALL for kind in module.CHECK.reads), *ENTRY_RESOURCES]
    return {kind: None for kind in kinds if kind in RESOURCES}
