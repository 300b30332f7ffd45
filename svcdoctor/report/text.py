"""The report as a person reads it: what is broken first, a healthy Service on one line, the summary last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from svcdoctor.finding import (
    Before,
    Diagnosis,
    EndpointRow,
    Finding,
    Gap,
    PortRow,
    Remedy,
    Role,
    ServiceDiagnosis,
    Status,
    Step,
    worst,
)
from svcdoctor.report.entries import RANK, Entry, entries
from svcdoctor.text import listing, plural


class Style(NamedTuple):
    """How statuses are marked: a glyph that says it without colour, and the colour on top where there is one."""

    ascii: bool = False
    color: bool = False
    wide: bool = False  # healthy Services with all their steps too

    def mark(self, status: Status) -> str:
        glyph = (ASCII if self.ascii else GLYPHS)[status]
        return self.paint(glyph, status)

    def paint(self, value: str, status: Status) -> str:
        return f"\x1b[{COLORS[status]}m{value}\x1b[0m" if self.color else value

    def bold(self, value: str) -> str:
        return f"\x1b[1m{value}\x1b[0m" if self.color else value

    def dim(self, value: str) -> str:
        return f"\x1b[2m{value}\x1b[0m" if self.color else value


# All of neutral width, so that columns hold in CJK terminals too.
GLYPHS = {Status.PASS: "✓", Status.FAIL: "✗", Status.WARN: "!", Status.UNKNOWN: "?", Status.SKIP: "-", Status.NOTE: "i"}
ASCII = {
    Status.PASS: "ok",
    Status.FAIL: "XX",
    Status.WARN: "!!",
    Status.UNKNOWN: "??",
    Status.SKIP: "--",
    Status.NOTE: "ii",
}
COLORS = {
    Status.PASS: "32",
    Status.FAIL: "1;31",
    Status.WARN: "33",
    Status.UNKNOWN: "3;36",
    Status.SKIP: "2",
    Status.NOTE: "2",
}
# What stands before a finding, and before what is said of it; the dashboard uses the same words.
LABELS = {Status.FAIL: "cause", Status.WARN: "warn", Status.UNKNOWN: "unknown", Status.NOTE: "note"}
THEN, NEXT, ALSO, MORE = "then", "next", "also", "more"
EXPOSES = "fixing this exposes "
STEP_WIDTH = 12
LABEL_WIDTH = 8


def render(diagnosis: Diagnosis, style: Style = Style()) -> str:  # noqa: B008
    return page(_blocks(diagnosis, style), summary_lines(diagnosis, style))


def page(blocks: Iterable[list[str]], last: Iterable[str]) -> str:
    """Blocks of lines as a report has them, and its last lines."""
    lines: list[str] = []
    apart = False
    for told in blocks:
        # One line a healthy Service; anything longer stands apart.
        if lines and (apart or len(told) > 1):
            lines.append("")
        lines += told
        apart = len(told) > 1
    if lines:
        lines.append("")
    lines += last
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _blocks(diagnosis: Diagnosis, style: Style) -> Iterator[list[str]]:
    listed = entries(diagnosis)
    width = min(max((len(entry.title) for entry in listed if entry.service), default=0), 44)
    for entry in listed:
        service = entry.service
        if service is None or service.before is None or _is_changed(service) or style.wide:
            yield block(entry, style, width)
        elif service.status in (Status.FAIL, Status.WARN, Status.UNKNOWN):
            yield block(entry, style, width)[:1]


def block(entry: Entry, style: Style, width: int = 0) -> list[str]:
    """Everything that is said of one entry: a line where it is healthy, its walk and its findings where it is not."""
    return _service(entry.service, width, style) if entry.service else _group(entry, style)


def _group(entry: Entry, style: Style) -> list[str]:
    lines = [f"{style.mark(entry.status)} {style.bold(entry.title)}   {entry.about}"]
    for finding in entry.findings:
        if finding.code:
            lines += _verdict(finding, style)
    return lines


def _service(service: ServiceDiagnosis, width: int, style: Style) -> list[str]:
    name = f"{service.namespace}/{service.name}".ljust(width)
    address = ",".join(service.cluster_ips)
    ports = " ".join(port_text(port) for port in service.ports)
    said = (f"{service.type} {address}".strip(), ports, service.headline, _before(service))
    parts = [part for part in said if part]
    head = f"{style.mark(service.status)} {style.bold(name)}   {'   '.join(parts)}"
    troubled = service.status in (Status.FAIL, Status.WARN, Status.UNKNOWN)
    if not troubled and not style.wide:
        return [head]
    lines = [head, *walk(service, style)]
    for finding in service.findings:
        if finding.role is Role.CAUSE:
            lines += _verdict(finding, style)
    for finding in service.findings:
        if finding.role is Role.ALSO:
            lines += _also(finding, service.cause, style)
    for finding in service.findings:
        if finding.status is Status.NOTE:
            lines.append(f"  {'note'.ljust(LABEL_WIDTH)}{finding.code}: {finding.message}")
    if service.cause is None:
        lines += _unknowns(service, style)
    return lines


def _is_changed(service: ServiceDiagnosis) -> bool:
    return service.before is not None and service.before != Before(service.status, service.cause)


def _before(service: ServiceDiagnosis) -> str:
    """What was said of it before manifests were laid over the cluster."""
    if service.before is None:
        return ""
    if not _is_changed(service):
        return "as before"
    status, cause = service.before.status, service.before.cause
    return "new" if status is None else f"was {status} ({cause})" if cause else f"was {status}"


def _effect(diagnosis: Diagnosis, style: Style) -> str:
    """What manifests would change, counted."""
    counted = [service for service in diagnosis.services if service.before is not None]
    words: dict[str, list[Status]] = {"broken": [], "healed": [], "changed": [], "new": [], "as before": []}
    for service in counted:
        words[_effect_on(service)].append(service.status)
    said = [f"{len(found)} {style.paint(word, worst(found))}" for word, found in words.items() if found]
    return f"by these manifests: {', '.join(said)}" if said else ""


def _effect_on(service: ServiceDiagnosis) -> str:
    was = service.before.status if service.before else None
    if was is None:
        return "new"
    if not _is_changed(service):
        return "as before"
    if service.status is Status.FAIL and was is not Status.FAIL:
        return "broken"
    return "healed" if was is Status.FAIL and service.status is not Status.FAIL else "changed"


def walk(service: ServiceDiagnosis, style: Style) -> list[str]:
    """The steps, a line each, with the endpoints that are not good."""
    lines = []
    for number, step in enumerate(service.steps, 1):
        lines.append(f"  {style.mark(step.status)} {f'{number} {step.step}'.ljust(STEP_WIDTH)}  {step.message}")
        if style.wide:
            lines.append(f"      {style.dim('$ ' + step.command)}")
        if style.wide and step.step is Step.DNS:
            lines += _asides(service, style)
        if step.step is Step.ENDPOINTS:
            lines += _endpoints(service, style)
    return lines


def _asides(service: ServiceDiagnosis, style: Style) -> Iterator[str]:
    """What a lookup that went well could not see, and what it costs."""
    for finding in service.findings:
        if finding.step is Step.DNS and finding.status is Status.PASS:
            for item in finding.evidence:
                yield f"      {item.label}: {item.value}   {style.dim(f'[{item.source}]')}"


def port_text(port: PortRow) -> str:
    """`http 80 -> 8080 (node 30080)`."""
    name = f"{port.name} " if port.name else ""
    target = f" -> {port.target_port}" if port.target_port is not None else ""
    node = f" (node {port.node_port})" if port.node_port else ""
    protocol = "" if port.protocol == "TCP" else f"/{port.protocol}"
    return f"{name}{port.port}{protocol}{target}{node}"


def _endpoints(service: ServiceDiagnosis, style: Style) -> Iterator[str]:
    """The endpoints that are not good, equal ones together; all of them when wide."""
    rows = [row for row in service.endpoints if style.wide or row.status is not Status.PASS]
    # A port is repeated for each endpoint; a person counts addresses.
    distinct = {(row.address, row.pod): row for row in reversed(rows)}
    ordered = sorted(distinct.values(), key=lambda row: (RANK[row.status], row.why, row.pod))
    for (status, why), same in groupby(ordered, key=lambda row: (row.status, row.why)):
        group = list(same)
        shown = group if style.wide else group[:1]
        for row in shown:
            yield f"      {style.mark(status)} {address_text(row)}   {row.pod or 'no Pod'}   {why}".rstrip()
        if len(group) > len(shown):
            yield f"      {style.mark(status)} {len(group) - len(shown)} more, the same"


def address_text(row: EndpointRow) -> str:
    if not row.address:
        return "no address"
    return f"{row.address}:{row.port}" if row.port else row.address


def _verdict(finding: Finding, style: Style) -> list[str]:
    hint = " (inferred)" if finding.certainty == "inferred" else ""
    label = THEN if finding.role is Role.CONSEQUENCE else LABELS.get(finding.status, "")
    lead = f"{style.paint(label.ljust(LABEL_WIDTH), finding.status)}{style.bold(finding.code or '')}"
    lines = [f"  {lead}: {finding.message}{hint}"]
    for item in finding.evidence:
        lines.append(f"  {''.ljust(LABEL_WIDTH)}{item.label}: {item.value}   {style.dim(f'[{item.source}]')}")
    for remedy in finding.remedies:
        lines += _remedy(remedy)
    lines.append(f"  {MORE.ljust(LABEL_WIDTH)}{finding.explain}")
    return lines


def remedy_label(remedy: Remedy) -> str:
    """What may be done about it: `fix` changes the cluster, `see` only looks further."""
    return "fix" if remedy.changes_cluster else "see"


def is_masked(finding: Finding, cause: str | None) -> bool:
    """Whether it shows only when the cause is fixed."""
    return finding.role is Role.ALSO and bool(cause) and finding.status is Status.FAIL


def remedy_text(remedy: Remedy) -> str:
    """What to do, what it leads to as far as that could be tried on the objects, and what the server said to it."""
    leads = f"{remedy.do}; then it passes" if remedy.then == "pass" else remedy.do
    return f"{leads} (dry run on the server: {remedy.dry_run})" if remedy.dry_run else leads


def _remedy(remedy: Remedy) -> list[str]:
    lines = [f"  {remedy_label(remedy).ljust(LABEL_WIDTH)}{remedy_text(remedy)}{':' if remedy.command else ''}"]
    return [*lines, f"  {''.ljust(LABEL_WIDTH)}{remedy.command}"] if remedy.command else lines


def _also(finding: Finding, cause: str | None, style: Style) -> list[str]:
    label, lead = lead_of(finding, cause)
    return [f"  {style.paint(label.ljust(LABEL_WIDTH), finding.status)}{lead}{finding.code}: {finding.message}"]


def lead_of(finding: Finding, cause: str | None) -> tuple[str, str]:
    """The label that stands before a finding, and how the sentence begins."""
    if finding.role is Role.CONSEQUENCE:
        return THEN, ""
    if finding.role is Role.ALSO:
        return (NEXT, EXPOSES) if is_masked(finding, cause) else (ALSO, "")
    return LABELS.get(finding.status, ""), ""


def told_findings(entry: Entry) -> list[Finding]:
    """The findings worth telling, for formats that tell all of each: the cause, what else is wrong, notes.

    The symptoms of a Service stand in its walk; what could not be seen matters where no fault was found.
    """
    if entry.service is None:
        return [finding for finding in entry.findings if finding.code]
    told = [finding for role in (Role.CAUSE, Role.ALSO) for finding in entry.findings if finding.role is role]
    if entry.service.cause is None:
        told += [finding for finding in entry.findings if finding.status is Status.UNKNOWN and finding.role is None]
    told += [finding for finding in entry.findings if finding.status is Status.NOTE and finding.role is None]
    # The same may have been unknown at several steps.
    distinct: dict[tuple[str | None, str], Finding] = {}
    for finding in told:
        distinct.setdefault((finding.code, finding.message), finding)
    return list(distinct.values())


def _unknowns(service: ServiceDiagnosis, style: Style) -> list[str]:
    """What could not be seen, where no fault was found: each reason once, with the way to lift it."""
    lines: list[str] = []
    seen: set[tuple[str | None, str]] = set()
    for finding in service.findings:
        if finding.status is not Status.UNKNOWN or (finding.code, finding.message) in seen:
            continue
        seen.add((finding.code, finding.message))
        lines.append(f"  {style.paint('unknown'.ljust(LABEL_WIDTH), Status.UNKNOWN)}{finding.code}: {finding.message}")
        for remedy in finding.remedies:
            lines += _remedy(remedy)
    return lines


def summary_lines(diagnosis: Diagnosis, style: Style = Style()) -> list[str]:  # noqa: B008
    """How many Services there are of each verdict, and what could not be read."""
    summary = diagnosis.summary
    counts = [
        f"{count} {style.paint(word, status)}"
        for count, word, status in (
            (summary.passed, "pass", Status.PASS),
            (summary.fail, "fail", Status.FAIL),
            (summary.warn, "warn", Status.WARN),
            (summary.unknown, "unknown", Status.UNKNOWN),
        )
        if count
    ]
    extra = []
    faults = [finding for finding in diagnosis.cluster.findings if finding.is_fault]
    if faults:
        extra.append(plural(len(faults), "fault") + " of the cluster")
    if diagnosis.missing:
        extra.append(plural(len(diagnosis.missing), "missing Service"))
    wrong = [client for client in diagnosis.clients if any(finding.is_fault for finding in client.findings)]
    if wrong:
        extra.append(plural(len(wrong), "client") + " misconfigured")
    line = f"{plural(summary.services, 'Service')}: {', '.join(counts + extra) or 'none'}"
    if diagnosis.denied:
        line += f" ({'; '.join(_denied(diagnosis.denied))})"
    lines = [line, *filter(None, [_effect(diagnosis, style)])]
    if diagnosis.unreadable:
        names = listing([f"{item.resource} {item.namespace}/{item.name}" for item in diagnosis.unreadable])
        number = len(diagnosis.unreadable)
        were = "was" if number == 1 else "were"
        lines.append(f"{plural(number, 'object')} could not be decoded and {were} left out: {names}")
    return lines


def _denied(gaps: tuple[Gap, ...]) -> Iterator[str]:
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for gap in gaps:
        grouped.setdefault((gap.reason, gap.verb, gap.where), []).append(gap.resource)
    for (reason, verb, where), resources in grouped.items():
        yield f"{reason}: {verb} {listing(sorted(set(resources)), 4)} {where}"
