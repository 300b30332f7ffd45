"""Of several findings about one Service, which is the cause, what is independent of it, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from svcdoctor.case import SETTLING_SECONDS, Case
from svcdoctor.check import Check, Code
from svcdoctor.checks import ALL
from svcdoctor.clustercase import ClusterCase
from svcdoctor.finding import WALK, Certainty, Finding, Role, Stage, Status, Step, Unreadable, unknown
from svcdoctor.manifests.given import silenced
from svcdoctor.objects import RESOURCES
from svcdoctor.text import duration
from svcdoctor.view import View

CODES: dict[str, Code] = {slug: code for module in ALL for slug, code in module.CHECK.codes.items()}


def on_whole_lists(odd: Sequence[Unreadable], case: View, check: Check, findings: list[Finding]) -> list[Finding]:
    """What a check has found, without what one of these objects might disprove, which could not be decoded."""
    lost = [item for item in odd if item.resource in check.reads]
    return [_doubted(finding, lost, case, check) for finding in findings] if lost else findings


# Kinds whose objects are named across namespaces, or act on others than their own.
_FAR = ("services", "daemonsets", *(resource.name for resource in RESOURCES.values() if resource.optional))
# Events are never all there, another Service does no harm.
_HARMLESS = ("events", "services")
# What is found of these is about whoever they name, or only adds to what is said: where one cannot be read, that alone
# is said.
_BESIDE = (
    *("ingresses", "httproutes", "grpcroutes", "tlsroutes", "authorizationpolicies", "endpoints"),
    *("horizontalpodautoscalers", "secrets", "servicemonitors"),
    *("validatingwebhookconfigurations", "mutatingwebhookconfigurations"),
)


def _doubted(finding: Finding, lost: list[Unreadable], case: View, check: Check) -> Finding:
    # What leads in from outside stands in a namespace of its own, such as a controller and its Service.
    everywhere = check.step is Step.ENTRY or isinstance(case, ClusterCase)
    item = _near(lost, case, anywhere=finding.is_fault and everywhere)
    if item is None:
        return finding
    why = _not_decoded(item)
    if finding.is_fault:
        message = f"{why}; so far: {finding.message}"
        return replace(finding, status=Status.UNKNOWN, code="unknown-timeout", message=message, remedies=())
    # Of a caller that is well nobody needs to hear.
    spared = item.resource in _HARMLESS or not isinstance(case, Case | ClusterCase)
    if finding.status is Status.PASS and not spared:
        return replace(finding, status=Status.UNKNOWN, code="unknown-timeout", message=why, evidence=())
    return finding


def unsaid(odd: Sequence[Unreadable], case: View, check: Check) -> list[Finding]:
    """A check that has nothing to say might have, of a Service in whose reach an object stands that did not decode."""
    if not isinstance(case, Case):
        return []
    spared = (*_HARMLESS, *_BESIDE)
    item = _near([item for item in odd if item.resource in check.reads and item.resource not in spared], case)
    return [unknown("unknown-timeout", case.subject, _not_decoded(item))] if item else []


def _near(lost: list[Unreadable], case: View, *, anywhere: bool = False) -> Unreadable | None:
    near = (item for item in lost if anywhere or item.resource in _FAR or item.namespace in (case.namespace, ""))
    return next(near, None)


def _not_decoded(item: Unreadable) -> str:
    return f"{item.resource} {item.name} could not be decoded"


def settled(case: Case, findings: list[Finding]) -> list[Finding]:
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
    if not settling:
        return findings
    if any(finding.is_fault and not is_symptom(finding) and _reaches_pods(finding) for finding in findings):
        return findings
    return [
        replace(finding, status=Status.UNKNOWN, code="unknown-settling", remedies=())
        if finding.is_fault and is_symptom(finding)
        else finding
        for finding in findings
    ]


def without_unproven_symptoms(findings: list[Finding]) -> list[Finding]:
    """Where manifests do not prove the fault (given.py), what would follow from it is not claimed either."""
    if not any(finding.status is Status.UNKNOWN and finding.code in CODES for finding in findings):
        return findings
    return [silenced(finding) if finding.is_fault and is_symptom(finding) else finding for finding in findings]


def _reaches_pods(finding: Finding) -> bool:
    return code_of(finding).stage <= Stage.PODS_READY


def confirmed(findings: list[Finding]) -> list[Finding]:
    """What the client of --from was seen to meet makes sure what another check infers: the two have one code."""
    seen = {finding.code: finding for finding in findings if is_seen(finding)}
    kept: list[Finding] = []
    for finding in findings:
        sight = seen.get(finding.code) if finding.is_fault and not is_seen(finding) else None
        if sight:
            del seen[finding.code]
            told = [item for item in finding.evidence if item.label not in ("unless", "otherwise")]
            finding = replace(finding, evidence=(*told, *sight.evidence), certainty=Certainty.OBSERVED)
        kept.append(finding)
    return kept


def is_seen(finding: Finding) -> bool:
    """Whether it says what a fault looks like that is told elsewhere, under the same code."""
    return finding.is_fault and finding.code is not None and finding.because == finding.code


def ordered(findings: list[Finding], broken: Iterable[str] = ()) -> list[Finding]:
    """Roles given, worst first: the cause, then what is independent of it, then what follows from it, then the rest.

    `broken` are the codes of shared parts that failed: what they explain is theirs, not the Service's.
    """
    faults = [finding for finding in findings if finding.code and finding.is_fault]
    # A finding that is explained by its own code shows from another side what another check has told.
    codes = {finding.code for finding in faults if not is_seen(finding)}
    explained = codes | set(broken)
    own = [finding for finding in faults if finding.because not in explained]
    roots = [finding for finding in own if not is_symptom(finding)] or own
    cause = min(roots, key=_precedence, default=None)
    ordered: list[Finding] = []
    for finding in findings:
        if finding is cause:
            ordered.append(replace(finding, role=Role.CAUSE, because=None))
        elif finding.because in explained:
            ordered.append(replace(finding, role=Role.CONSEQUENCE))
        elif not finding.code or not finding.is_fault:
            ordered.append(replace(finding, because=None) if finding.because else finding)
        elif cause and is_symptom(finding) and code_of(cause).stage <= code_of(finding).stage:
            ordered.append(replace(finding, role=Role.CONSEQUENCE, because=cause.code))
        else:
            ordered.append(replace(finding, role=Role.ALSO, because=None))
    return sorted(ordered, key=_place)


_ROLES = tuple(Role)
_STEPS = tuple(Step)


def _place(finding: Finding) -> tuple[int, tuple[int, int], int]:
    """Where it stands in the report of its Service."""
    severity = _precedence(finding) if finding.code and finding.is_fault else (9, 0)
    role = _ROLES.index(finding.role) if finding.role else len(_ROLES)
    return role, severity, _STEPS.index(finding.step)


def code_of(finding: Finding) -> Code:
    return CODES[finding.code or ""]


def _precedence(finding: Finding) -> tuple[int, int]:
    """Faults that stop traffic before those that hurt it; of equals, the first on the request's path."""
    return (
        0 if finding.status is Status.FAIL else 1,
        CODES[finding.code].stage if finding.code in CODES else Stage.APPLICATION,
    )


def is_symptom(finding: Finding) -> bool:
    return finding.code in CODES and code_of(finding).symptom
