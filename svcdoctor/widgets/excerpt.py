"""What of the selected row is worth taking elsewhere: its name, the next command, the finding, the code to read of."""

from __future__ import annotations

from msgspec.structs import replace

from svcdoctor.finding import (
    ClientDiagnosis,
    ClusterDiagnosis,
    Diagnosis,
    Finding,
    MissingName,
    Role,
    ServiceDiagnosis,
    Status,
    Summary,
)
from svcdoctor.report import text
from svcdoctor.widgets.entries import Entry, Gaps, Key, scope_flag
from svcdoctor.widgets.verdict import endpoint_of, pods_of


def name(key: Key, entry: Entry) -> str:
    """The name as kubectl takes it."""
    if isinstance(entry.about, ServiceDiagnosis):
        row = endpoint_of(entry.about, key)
        if row is not None:
            return row.pod if key.kind == "pod" or not row.address else row.address
    return key.name or key.namespace


def findings(entry: Entry) -> tuple[Finding, ...]:
    if isinstance(entry.about, Finding):
        return (entry.about,)
    if isinstance(entry.about, ServiceDiagnosis | MissingName | ClientDiagnosis):
        return entry.about.findings
    return ()


def speaking(entry: Entry) -> Finding | None:
    """The finding that says what is wrong: the cause, else the first that says anything."""
    coded = [finding for finding in findings(entry) if finding.code]
    return next((finding for finding in coded if finding.role is Role.CAUSE), coded[0] if coded else None)


def command(key: Key, entry: Entry) -> str:
    """The fix where there is one, else the line that shows what is wrong."""
    finding = speaking(entry)
    for remedy in finding.remedies if finding else ():
        if remedy.command:
            return remedy.command
    if isinstance(entry.about, Gaps):
        return f"svcdoctor rbac {scope_flag(entry.about.namespace)}"
    if isinstance(entry.about, ServiceDiagnosis):
        row = endpoint_of(entry.about, key)
        if row is not None and row.pod:
            return f"kubectl -n {key.namespace} describe pod {row.pod}"
        wrong = (step for step in entry.about.steps if step.status in (Status.FAIL, Status.WARN, Status.UNKNOWN))
        step = next(wrong, entry.about.steps[0] if entry.about.steps else None)
        return step.command if step else f"kubectl -n {key.namespace} get svc {key.name}"
    if key.kind == "namespace":
        return f"svcdoctor diagnose -n {key.namespace}"
    return finding.explain if finding else ""


def finding_text(entry: Entry) -> str:
    finding = speaking(entry)
    if finding is None:
        return ""
    lines = [f"{finding.status} {finding.code}: {finding.message}"]
    lines += [f"  {item.label}: {item.value} [{item.source}]" for item in finding.evidence]
    for remedy in finding.remedies:
        lines.append(f"  {text.remedy_label(remedy)}: {text.remedy_text(remedy)}")
        lines += [f"  {remedy.command}"] if remedy.command else []
    return "\n".join(lines)


def report(diagnosis: Diagnosis, entry: Entry) -> Diagnosis:
    """The report narrowed to one entry."""
    alone = replace(
        diagnosis, services=(), missing=(), clients=(), cluster=ClusterDiagnosis(), denied=(), unreadable=()
    )
    about = entry.about
    if isinstance(about, ServiceDiagnosis):
        count = [about.status is status for status in (Status.FAIL, Status.WARN, Status.PASS, Status.UNKNOWN)]
        return replace(alone, services=(about,), summary=Summary(1, *map(int, count)))
    alone = replace(alone, summary=Summary())
    if isinstance(about, MissingName):
        return replace(alone, missing=(about,))
    if isinstance(about, ClientDiagnosis):
        return replace(alone, clients=(about,))
    if isinstance(about, Finding):
        return replace(alone, cluster=ClusterDiagnosis((about,)))
    return diagnosis


def markdown(diagnosis: Diagnosis, key: Key, entry: Entry) -> str:
    """The diagnosis of one entry, to paste into a ticket."""
    body = text.render(report(diagnosis, entry), text.Style(wide=True)).rstrip()
    fence = "```"
    while fence in body:
        fence += "`"
    return f"### {name(key, entry)}\n\n{fence}text\n{body}\n{fence}\n"


def pod(key: Key, entry: Entry) -> str:
    """The Pod on which a row stands, else the first behind its Service, those in trouble first."""
    if not isinstance(entry.about, ServiceDiagnosis):
        return ""
    row = endpoint_of(entry.about, key)
    return row.pod if row is not None else next(pods_of(entry.about), "")
