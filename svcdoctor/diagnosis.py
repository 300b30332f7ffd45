"""From a World to a Diagnosis: runs the checks, names one cause, folds what follows from it.

Pure: the same World and scope give the same Diagnosis. What a check could not see becomes `unknown`; what it asked for
and nobody has tried to read comes back as wants, for collect.py to read and call again.
"""

from __future__ import annotations

import difflib
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from functools import partial
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from svcdoctor import __version__
from svcdoctor.case import CALL_NOBODY, Case
from svcdoctor.check import Check
from svcdoctor.checks import ALL
from svcdoctor.clientcase import ClientCase
from svcdoctor.clustercase import ClusterCase
from svcdoctor.entry.entrypoint import ENTRY_RESOURCES, Entry
from svcdoctor.entrycase import EntryCase
from svcdoctor.finding import (
    WORST_FIRST,
    ClientDiagnosis,
    ClusterDiagnosis,
    Diagnosis,
    Evidence,
    Finding,
    Gap,
    MissingName,
    PortRow,
    Remedy,
    Role,
    ServiceDiagnosis,
    Status,
    Step,
    Subject,
    Summary,
    Unreadable,
    fail,
    skipped,
    unknown,
    worst,
)
from svcdoctor.labels import Requirement
from svcdoctor.manifests.given import NOT_GIVEN, in_manifests
from svcdoctor.objects import RESOURCES, Service
from svcdoctor.pods.template import WORKLOAD_RESOURCES, Template
from svcdoctor.remedies.trial import Verdict, tried
from svcdoctor.roles import CODES, confirmed, on_whole_lists, ordered, settled, unsaid, without_unproven_symptoms
from svcdoctor.text import listing, parse_time, printable, typable
from svcdoctor.walk import endpoint_rows, headline, step_result, steps_shown
from svcdoctor.world import EVERYWHERE, NotRead, Want, World

# What the tool could not do: these stand beside any step and are never a cause.
OWN_LIMITS = ("unknown-forbidden", "unknown-timeout", "unknown-settling", "unknown-no-probe-pod")
# What nearly every Service is judged by. Other kinds are read where something that was seen calls for them, and that
# they may not be read is said where it matters.
CORE = (
    "services",
    "endpointslices",
    "pods",
    *WORKLOAD_RESOURCES,
    "namespaces",
    "nodes",
    "events",
    "configmaps",
    "networkpolicies",
    "ingresses",
)
MOST_EVIDENCE = 12  # of one finding about many callers
RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"
CHECKS_ABOUT: dict[str, tuple[tuple[Callable[[Any], Iterator[Finding]], Check], ...]] = {
    about: tuple((module.run, module.CHECK) for module in ALL if about in module.CHECK.about.split())
    for about in ("service", "client", "entry", "cluster")
}
SHARED_CODES = frozenset(code for _, check in CHECKS_ABOUT["cluster"] for code in check.codes)
Caller = Template | Entry
T = TypeVar("T")


class Scope(NamedTuple):
    """Which Services a run is about, and which codes it may report."""

    namespace: str = EVERYWHERE
    names: tuple[str, ...] = ()  # () is every Service of the namespace
    labels: tuple[Requirement, ...] = ()
    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    client: tuple[str, str] | None = None  # (namespace, Pod) given with --from
    given: bool = False  # the World is what manifests say: what they lack, the cluster may have

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


def anew(key: Hashable, about: object, judge: Callable[[set[Want]], T], wants: set[Want]) -> T:
    """A part of the report, judged whether it was before or not."""
    return judge(wants)


def diagnose(world: World, scope: Scope, part: Callable[..., Any] = anew) -> Outcome:
    """The report over a scope. `wants` is empty when every question found its answer or a reason why not.

    `part` is how each Service and each caller is judged, as `anew` or by one who remembers: rounds.py.
    """
    wants: set[Want] = set()
    services = services_in(world, scope, wants)
    cluster = diagnose_cluster(world, scope, wants)
    broken = broken_parts(cluster)

    def judged(service: Service) -> ServiceDiagnosis:
        key = ("service", service.metadata.namespace, service.metadata.name, broken)
        found: ServiceDiagnosis = part(key, service, partial(diagnose_service, world, service, scope, broken), wants)
        return found

    def heard(caller: Caller) -> list[Finding]:
        key = ("caller", caller.kind, caller.namespace, caller.name)
        found: list[Finding] = part(key, caller.owner, partial(diagnose_caller, world, caller, scope), wants)
        return found

    diagnosed = [judged(service) for service in services]
    absent = absent_names(world, scope, wants)
    said = [(caller, heard(caller)) for caller in callers_in(world, scope, wants)]
    return Outcome(assemble(world, diagnosed, Tally(diagnosed), cluster, absent, said), frozenset(wants))


def diagnose_recorded(world: World, scope: Scope) -> Diagnosis:
    """The same of a World to which nothing can be added: what it does not hold and somebody asks for is a gap."""
    complete = world.fork(())
    while wants := (outcome := diagnose(complete, scope)).wants:
        for want in wants:
            complete.miss(_not_recorded(want))
    return outcome.diagnosis


def _not_recorded(want: Want) -> Gap:
    group = RESOURCES[want.resource].group if want.resource in RESOURCES else ""
    return Gap("list", want.resource, group, want.namespace, "not-recorded", "the recording does not hold them")


class Tally:
    """What is counted over all Services of a report; one of thousands that changes is all that is counted again."""

    def __init__(self, services: Iterable[ServiceDiagnosis] = ()) -> None:
        self._statuses: Counter[Status] = Counter()
        self._unseen: Counter[str] = Counter()
        for service in services:
            self.add(service)

    def add(self, service: ServiceDiagnosis, times: int = 1) -> None:
        self._statuses[service.status] += times
        for finding in service.findings:
            if finding.status is Status.UNKNOWN:
                self._unseen[finding.message] += times

    def drop(self, service: ServiceDiagnosis) -> None:
        self.add(service, -1)

    def says(self, message: str) -> bool:
        """Whether a Service is not known for this reason."""
        return self._unseen[message] > 0

    @property
    def summary(self) -> Summary:
        count = self._statuses
        return Summary(
            services=count.total(),
            fail=count[Status.FAIL],
            warn=count[Status.WARN],
            passed=count[Status.PASS] + count[Status.NOTE] + count[Status.SKIP],
            unknown=count[Status.UNKNOWN],
        )


def assemble(
    world: World,
    services: Iterable[ServiceDiagnosis],
    tally: Tally,
    cluster: tuple[Finding, ...],
    absent: Iterable[MissingName],
    said: Iterable[tuple[Caller, list[Finding]]],
) -> Diagnosis:
    """The report, of the parts that the functions below make."""
    missing, clients = _gathered(said)
    unseen = {finding.message for finding in cluster}

    def is_said(refusal: str) -> bool:
        return refusal in unseen or tally.says(refusal)

    refused = (gap for gap in world.gaps.values() if gap.reason != NOT_GIVEN)
    gaps = [gap for gap in refused if _is_missed(gap.resource) or is_said(printable(_refusal(gap)))]
    denied = tuple(map(_printable_gap, sorted(gaps, key=lambda gap: (gap.namespace, gap.resource))))
    return Diagnosis(
        version=__version__,
        context=printable(world.context),
        observed_at=world.now.strftime(RFC_3339),
        summary=tally.summary,
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


def _is_missed(resource: str) -> bool:
    """Whether verdicts might be others if it were read: an API that not every cluster has acts on traffic here, and
    classes are asked for where there are Ingresses."""
    beside = resource in RESOURCES and RESOURCES[resource].optional and resource != "apiservices"
    return resource in CORE or beside or resource == "ingressclasses"


def keeping(diagnosis: Diagnosis, before: Mapping[tuple[str, str], ServiceDiagnosis]) -> Diagnosis:
    """The same report; a Service that says what it said before is the same object as before."""
    known = [(before.get((entry.namespace, entry.name)), entry) for entry in diagnosis.services]
    return replace(diagnosis, services=tuple(old if old == new and old else new for old, new in known))


def diagnose_cluster(world: World, scope: Scope, wants: set[Want]) -> tuple[Finding, ...]:
    """What is wrong with the parts that all Services share; of a run about some by name, as far as they hang on it."""
    case = ClusterCase(world)
    unlisted = _unlisted(world, scope, case.subject)
    if not scope.names:
        return tuple(ordered([*_asked(case, "cluster", wants, scope), *unlisted]))
    services = services_in(world, scope, wants)
    own: set[Want] = set()  # what is known of a Service itself comes first
    if all(_stands_alone(diagnose_service(world, service, scope, SHARED_CODES, own)) for service in services) or own:
        return tuple(ordered(unlisted))

    def concerns(check: Check) -> bool:
        return any(map(check.concerns, services))

    return tuple(ordered([*_asked(case, "cluster", wants, scope, concerns), *unlisted]))


def _stands_alone(service: ServiceDiagnosis) -> bool:
    """Whether a Service fails for a cause that no fault of a shared part explains: then these are not asked for."""
    return service.status is Status.FAIL and service.cause is not None


def broken_parts(cluster: Iterable[Finding]) -> frozenset[str]:
    """The codes of shared parts that failed: what they explain is theirs, not a Service's."""
    return frozenset(finding.code for finding in cluster if finding.is_fault and finding.code)


def services_in(world: World, scope: Scope, wants: set[Want]) -> list[Service]:
    """The Services of a scope, in order; those that were seen and are lost sight of among them."""
    try:
        if scope.namespace == EVERYWHERE:
            world.sees_all("services")
        else:
            world.must_be_read("services", scope.namespace)
    except NotRead as missing:
        wants.update(missing.wants)
    # Which there are is all that is asked here, but for labels: what they say is each one's own affair.
    found = world.held("services", scope.namespace, which=not scope.labels)
    return list(filter(scope.holds, found)) if scope.names or scope.labels else found


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


def _asked(
    case: Any, about: str, wants: set[Want], scope: Scope, concerns: Callable[[Check], bool] | None = None
) -> list[Finding]:
    """Every finding about a Case, each with its step, and `unknown` where a check met something it may not see."""
    findings: list[Finding] = []
    odd = case.world.unreadable
    for run, check in CHECKS_ABOUT[about]:
        if concerns and not concerns(check):
            continue
        said: list[Finding] = []
        try:
            for finding in run(case):
                said.append(finding)
        except NotRead as missing:
            if missing.gap:
                said.append(could_not_read(case.subject, missing.gap))
            else:
                wants.update(missing.wants)
                case.waits.add(check.step)
        if not said and odd and check.step not in case.waits:
            said = unsaid(odd, case, check)
        if not said:
            continue
        said = [replace(finding, step=check.step) for finding in said if not finding.code or scope.allows(finding)]
        if scope.given:
            said = [in_manifests(finding) for finding in said]
        if odd:
            said = on_whole_lists(odd, case, check, said)
        case.said += [(CODES[one.code].stage, one) for one in said if one.is_fault and one.code in CODES]
        said = [_printable(finding) for finding in said]
        findings += [_typable(finding, case.world.odd_names) for finding in said] if case.world.odd_names else said
    return _without_repeated_unknowns(findings)


def _without_repeated_unknowns(findings: list[Finding]) -> list[Finding]:
    """Several checks that may not see the same thing say so once."""
    if Status.UNKNOWN not in [finding.status for finding in findings]:
        return findings
    kept: list[Finding] = []
    for index, finding in enumerate(findings):
        if finding.status is not Status.UNKNOWN or not any(_says_as_much(one, finding) for one in findings[:index]):
            kept.append(finding)
    return kept


def _says_as_much(one: Finding, other: Finding) -> bool:
    return (one.step, one.code, one.message) == (other.step, other.code, other.message)


def could_not_read(subject: Subject, gap: Gap) -> Finding:
    """The finding that says which read was refused or failed, and the right that would allow it."""
    if gap.reason == NOT_GIVEN:
        return skipped(subject, f"needs {gap.resource} {gap.where}, which these manifests do not hold")
    code = "unknown-forbidden" if gap.reason == "forbidden" else "unknown-timeout"
    scope = f"-n {gap.namespace}" if gap.namespace else "-A"
    evidence = Evidence("needs", f"{gap.verb} {gap.resource}", f"API group {gap.group or 'core'}, {gap.where}")
    remedies = (
        (Remedy("ask for the rights of a diagnosis", f"svcdoctor rbac {scope}", changes_cluster=False),)
        if code == "unknown-forbidden"
        else ()
    )
    seen = [evidence]
    if gap.reason == "unreachable":
        seen.append(Evidence("error", gap.message, f"asked to {gap.verb} {gap.resource} {gap.where}"))
    return _printable(unknown(code, subject, _refusal(gap), *seen, remedies=remedies))


def _refusal(gap: Gap) -> str:
    if gap.reason == "unreachable":
        return "the API server cannot be reached"  # whatever was to be read: said alike, it is said once
    why = "forbidden" if gap.reason == "forbidden" else f"{gap.reason}: {gap.message}" if gap.message else gap.reason
    return f"cannot {gap.verb} {gap.resource} {gap.where} ({why})"


def _printable(finding: Finding) -> Finding:
    """The gate: nothing that came out of a cluster leaves the core with a character that a terminal would obey."""
    texts = [finding.message]
    for item in finding.evidence:
        texts += (item.label, item.value, item.source)
    for remedy in finding.remedies:
        texts += (remedy.do, remedy.command)
    if finding.subject:
        texts += (finding.subject.namespace, finding.subject.name)
    return finding if "".join(texts).isprintable() else _escaped(finding)


def _escaped(finding: Finding) -> Finding:
    evidence = tuple(
        Evidence(printable(item.label), printable(item.value), printable(item.source)) for item in finding.evidence
    )
    remedies = tuple(replace(item, do=printable(item.do), command=printable(item.command)) for item in finding.remedies)
    subject = finding.subject and Subject(
        finding.subject.kind, printable(finding.subject.namespace), printable(finding.subject.name)
    )
    return replace(finding, message=printable(finding.message), evidence=evidence, remedies=remedies, subject=subject)


def _typable(finding: Finding, odd: Collection[str]) -> Finding:
    remedies = tuple(replace(item, command=typable(item.command, odd)) for item in finding.remedies)
    return replace(finding, remedies=remedies)


def _printable_gap(gap: Gap) -> Gap:
    return replace(gap, namespace=printable(gap.namespace), message=printable(gap.message))


# --- one Service -------------------------------------------------------------------------------------------------


def diagnose_service(
    world: World, service: Service, scope: Scope, broken: Collection[str], wants: set[Want]
) -> ServiceDiagnosis:
    """What is said of one Service. `broken` are the codes of shared parts that failed."""
    case = Case(world, service)
    findings = _with_remedies_tried(case, _found(case, scope, broken, wants), scope, broken, wants)
    status, cause, _ = _verdict(findings, broken)
    steps = tuple(step_result(case, step, findings, wants) for step in steps_shown(findings, case.waits))
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
        headline=headline(case, findings, cause),
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
        endpoints=tuple(endpoint_rows(case, findings, wants)),
        findings=tuple(findings),
    )


def verdict_on(world: World, service: Service, scope: Scope, broken: Collection[str], wants: set[Want]) -> Verdict:
    """What it comes to: the same without the telling, and with no remedy tried."""
    return _verdict(_found(Case(world, service), scope, broken, wants), broken)


def _found(case: Case, scope: Scope, broken: Collection[str], wants: set[Want]) -> list[Finding]:
    said = [*_of_client(case, wants, scope), *_asked(case, "service", wants, scope), *_lost(case)]
    if scope.given:
        said = without_unproven_symptoms(said)
    return ordered(settled(case, confirmed(said)), broken)


def _verdict(findings: list[Finding], broken: Collection[str]) -> Verdict:
    # What a fault of the cluster explains is not this Service's fault, but no reason to call it healthy either.
    own = [finding.status for finding in findings if finding.role is not Role.CONSEQUENCE or finding.because in broken]
    status = worst(own)
    if status in (Status.NOTE, Status.SKIP):
        status = Status.PASS
    return Verdict(status, next((finding for finding in findings if finding.role is Role.CAUSE), None), findings)


def _with_remedies_tried(
    case: Case, findings: list[Finding], scope: Scope, broken: Collection[str], wants: set[Want]
) -> list[Finding]:
    """The same, the cause with what its remedies lead to, and with the fault that fixing it would bring to light."""
    cause = next((finding for finding in findings if finding.role is Role.CAUSE and finding.remedies), None)
    if cause is None:
        return findings

    def judge(world: World, service: Service) -> Verdict | None:
        missing: set[Want] = set()
        then = verdict_on(world, service, scope, broken, missing)
        wants.update(missing)
        return None if missing else then

    explained = {finding.code for finding in findings if finding.because == cause.code}
    trial = tried(case.world, case.service, cause, explained, judge)
    told = [trial.finding if finding is cause else finding for finding in findings]
    exposed = trial.exposed
    if exposed is None or exposed.code in {finding.code for finding in findings}:
        return told
    place = sum(finding.role in (Role.CAUSE, Role.ALSO) for finding in told)
    return [*told[:place], replace(exposed, role=Role.ALSO), *told[place:]]


def _of_client(case: Case, wants: set[Want], scope: Scope) -> list[Finding]:
    """What the client that a person named meets on its own side, on its way to this Service."""
    try:
        found = case.client
    except NotRead as missing:  # its Pod may not be read: the check of its connections says so
        wants.update(missing.wants)
        return []
    if found is None:
        return []
    client = ClientCase(case.world, found[1], to=case)
    said = [one for one in _asked(client, "client", wants, scope) if one.step in (Step.DNS, Step.CONNECT)]
    case.said += client.said
    case.waits |= client.waits
    # Among what is said of the Service, who is meant has to stand in the sentence.
    return [replace(one, message=f"{client.template.ref}: {one.message}") for one in said]


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
        MissingName(namespace, name, tuple(ordered(_merged(group))))
        for (namespace, name), group in sorted(missing.items())
    )
    workloads = tuple(
        # What a policy does to all the Pods that it selects is said once.
        ClientDiagnosis(namespace, kind, name, tuple(ordered(_merged(group) if kind == "NetworkPolicy" else group)))
        for (namespace, kind, name), group in sorted(clients.items())
        if any(finding.status not in (Status.PASS, Status.SKIP) for finding in group)
    )
    return names, workloads


def _calls(case: ClientCase | EntryCase, scope: Scope, wants: set[Want]) -> bool:
    """Whether a caller names a Service of the scope; not yet, while what it takes to know has not been read."""
    try:
        return case.calls(scope.namespace, scope.names)
    except NotRead as missing:
        wants.update(missing.wants)
        return False


def _merged(group: list[Finding]) -> list[Finding]:
    """Several callers of one missing name are one finding with the evidence of each."""
    first: dict[str | None, Finding] = {}
    for finding in sorted(group, key=lambda one: WORST_FIRST.index(one.status)):
        known = first.get(finding.code)
        if known and known.status is not finding.status:
            continue
        evidence = (
            (*known.evidence, *(item for item in finding.evidence if item not in known.evidence))
            if known
            else finding.evidence
        )
        first[finding.code] = replace(known or finding, evidence=evidence[:MOST_EVIDENCE])
    return list(first.values())


def callers_in(world: World, scope: Scope, wants: set[Want]) -> list[Caller]:
    """What may call Services of a scope: its workloads, its Ingresses and its Routes."""
    view = ClusterCase(world)
    found: list[Caller] = []

    def templates() -> list[Template]:
        if scope.namespace == EVERYWHERE:
            return view.templates_everywhere()[0]
        return view.templates(scope.namespace, besides=CALL_NOBODY if scope.names else ())

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
        wants.update(missing.wants)
        return []


def kinds_read() -> dict[str, None]:
    """Every kind that some check may read, in the order of the walk: what `collect` lists and `rbac` grants."""
    kinds = ["services", *(kind for module in ALL for kind in module.CHECK.reads), *ENTRY_RESOURCES]
    return {kind: None for kind in kinds if kind in RESOURCES}
