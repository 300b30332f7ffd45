"""A diagnosis as lines for a pane: status, glyph and word first, evidence under what it proves, the fix to copy.

Text from a cluster is only ever the text of a Content, never markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from textwrap import wrap

from rich.cells import cell_len
from textual.content import Content

from svcdoctor.finding import (
    WALK,
    ClientDiagnosis,
    EndpointRow,
    Finding,
    MissingName,
    Role,
    ServiceDiagnosis,
    Status,
    Step,
    StepResult,
    worst,
)
from svcdoctor.report.text import ALSO, EXPOSES, LABELS, MORE, NEXT, THEN, is_masked, remedy_label, remedy_text
from svcdoctor.text import plural, printable
from svcdoctor.widgets import marks
from svcdoctor.widgets.entries import (
    TROUBLE,
    UNWATCHED,
    Gaps,
    Key,
    NamespaceEntry,
    Notice,
    address_text,
    conditions,
    port_text,
    scope_flag,
    waiting,
)
from svcdoctor.widgets.source import Logged

LABEL = 8
STEP = 12
LOG_LINES = 500


class Page:
    """Lines being written for a pane of some width."""

    def __init__(self, width: int, ascii: bool) -> None:
        self.width = max(width, 24)
        self.ascii = ascii
        self.lines: list[Content] = []

    def blank(self) -> None:
        if self.lines and self.lines[-1].plain:
            self.lines.append(Content(""))

    def line(self, *parts: tuple[str, str]) -> None:
        self.lines.append(Content.assemble(*(part for part in parts if part[0])))

    def hang(self, parts: Sequence[tuple[str, str]], text: str, style: str = "") -> None:
        """The text after its lead, its further lines under its first."""
        indent = sum(cell_len(part) for part, _ in parts)
        room = max(self.width - indent, 16)
        first, *rest = wrap(text, room, break_on_hyphens=False) or [""]
        self.line(*parts, (first, style))
        for line in rest:
            self.line((" " * indent, ""), (line, style))

    def mark(self, status: Status | None) -> tuple[str, str]:
        """Glyph and word, in one width for all."""
        glyph = marks.glyph(status, self.ascii).ljust(2)
        return f"{glyph} {marks.word(status)}".ljust(10) + " ", marks.style(status)

    def wrapped(self) -> list[Content]:
        """The lines, those that are longer than the page cut into several."""
        return [
            piece
            for line in self.lines
            for piece in (line.wrap(self.width) if line.cell_length > self.width else [line])
        ]


# --- a Service ---------------------------------------------------------------------------------------------------


def write_service(page: Page, service: ServiceDiagnosis, checking: bool, key: Key) -> None:
    status = None if checking and service.status not in TROUBLE else service.status
    page.line(page.mark(status), (f"{service.namespace}/{service.name}", "bold"))
    address = ", ".join(service.cluster_ips)
    about = [f"{service.type} {address}".strip(), *(port_text(port) for port in service.ports)]
    page.hang([("   ", "")], "   ".join(part for part in about if part), "dim")
    if service.headline:
        page.hang([("   ", "")], service.headline)
    _write_selected(page, service, key)
    page.blank()
    write_steps(page, service, checking)
    for finding in service.findings:
        if finding.role is Role.CAUSE:
            write_finding(page, finding)
    _write_rest(page, service)


def _write_selected(page: Page, service: ServiceDiagnosis, key: Key) -> None:
    """The endpoint or Pod on which the cursor stands, before the walk of its Service."""
    row = endpoint_of(service, key)
    if row is None:
        return
    page.blank()
    page.line(page.mark(row.status), (address_text(row), "bold"), (f"   {row.pod or 'no Pod'}", ""))
    place = f", on node {row.node}" if row.node else ""
    page.line(("   " + conditions(row) + place, "dim"))
    if row.why:
        page.hang([("   ", "")], row.why)


def write_steps(page: Page, service: ServiceDiagnosis, checking: bool) -> None:
    """The walk: what each step found; while it is under way, also the steps that are still to come."""
    to_come = waiting(service) if checking else []
    results = {result.step: result for result in service.steps}
    for number, step in enumerate(dict.fromkeys((*WALK, *results)), 1):
        if step in to_come:
            mark = ".. checking" if step is to_come[0] else "."
            page.line((mark.ljust(11), "dim"), (f"{number} {step}", "dim"))
        elif step in results:
            _write_step(page, service, number, results[step])
    if checking and not to_come:
        page.line((".. checking", "dim"), (" whether this holds", "dim"))


def _write_step(page: Page, service: ServiceDiagnosis, number: int, result: StepResult) -> None:
    lead = [page.mark(result.status), (f"{number} {result.step}".ljust(STEP) + "  ", "")]
    dull = result.status in (Status.SKIP, Status.NOTE)
    page.hang(lead, result.message, "dim" if dull else "")
    if result.step is Step.ENDPOINTS:
        _write_bad_endpoints(page, service)
    if result.status in (Status.FAIL, Status.WARN, Status.UNKNOWN):
        page.line(("   $ " + result.command, "dim"))


def _write_bad_endpoints(page: Page, service: ServiceDiagnosis) -> None:
    """The endpoints that are not good, equal ones together."""
    bad = {(row.address, row.pod): row for row in reversed(service.endpoints) if row.status is not Status.PASS}
    ordered = sorted(bad.values(), key=lambda row: (row.status, row.why, row.pod))
    for (status, why), same in groupby(ordered, key=lambda row: (row.status, row.why)):
        rows = list(same)
        lead = [("   ", ""), page.mark(status), (f"{address_text(rows[0])}  {rows[0].pod or 'no Pod'}  ", "")]
        if sum(cell_len(text) for text, _ in lead) + 20 > page.width:
            page.line(*lead)
            lead = [("      ", "")]
        page.hang(lead, why)
        if len(rows) > 1:
            page.line(("   ", ""), page.mark(status), (f"{len(rows) - 1} more, the same", ""))


def write_finding(page: Page, finding: Finding, label: str = "", lead: str = "") -> None:
    """A finding with its evidence, what to do about it, and where its page is."""
    page.blank()
    label = label or LABELS.get(finding.status, str(finding.status))
    glyph = marks.glyph(finding.status, page.ascii).ljust(3)
    head = [(glyph + label.ljust(LABEL), marks.style(finding.status))]
    page.hang(head, lead + (finding.code or ""), "bold")
    hint = " (inferred: another explanation exists)" if finding.certainty == "inferred" else ""
    indent = " " * (LABEL + 3)
    page.hang([(indent, "")], finding.message + hint)
    for item in finding.evidence:
        page.hang([(indent, ""), (item.label + ": ", "dim")], item.value)
        page.hang([(indent + "  ", "")], f"[{item.source}]", "dim")
    for remedy in finding.remedies:
        page.hang(
            [("   " + remedy_label(remedy).ljust(LABEL), "bold")], remedy_text(remedy) + (":" if remedy.command else "")
        )
        if remedy.command:
            page.line((remedy.command, "$text-accent"))
    if finding.code:
        page.line(("   " + MORE.ljust(LABEL), "dim"), (f"x, or {finding.explain}", "dim"))


def _write_rest(page: Page, service: ServiceDiagnosis) -> None:
    seen: set[tuple[str | None, str]] = set()
    for finding in service.findings:
        if finding.role is Role.CAUSE or not finding.code or (finding.code, finding.message) in seen:
            continue
        seen.add((finding.code, finding.message))
        if finding.role is Role.CONSEQUENCE:
            _write_short(page, THEN, finding, f"because of {finding.because}" if finding.because else "")
        elif is_masked(finding, service.cause):
            write_finding(page, finding, NEXT, EXPOSES)
        elif finding.role is Role.ALSO:
            write_finding(page, finding, ALSO)
        elif finding.status in (Status.UNKNOWN, Status.WARN, Status.FAIL):
            write_finding(page, finding)
        elif finding.status is Status.NOTE:
            _write_short(page, LABELS[Status.NOTE], finding, "")


def _write_short(page: Page, label: str, finding: Finding, why: str) -> None:
    glyph = marks.glyph(finding.status, page.ascii).ljust(3)
    page.blank()
    page.line((glyph + label.ljust(LABEL), marks.style(finding.status)), (finding.code or "", "bold"))
    page.hang([(" " * (LABEL + 3), "")], finding.message + (f" ({why})" if why else ""))


# --- what else stands in the outline -----------------------------------------------------------------------------


def write_findings(page: Page, title: str, about: str, findings: Iterable[Finding]) -> None:
    findings = tuple(findings)
    page.line(page.mark(worst([finding.status for finding in findings])), (title, "bold"))
    page.hang([("   ", "")], about, "dim")
    for finding in findings:
        if finding.code:
            write_finding(page, finding)


def write_missing(page: Page, missing: MissingName) -> None:
    about = "no Service has this name, and callers use it"
    write_findings(page, f"{missing.namespace}/{missing.name}", about, missing.findings)


def write_client(page: Page, client: ClientDiagnosis) -> None:
    write_findings(page, f"{client.namespace}/{client.name}", client.kind, client.findings)


def write_gaps(page: Page, gaps: Gaps) -> None:
    where = f"in namespace {gaps.namespace}" if gaps.namespace else "in the whole cluster"
    is_listed = gaps.reason == UNWATCHED
    page.line(
        page.mark(Status.UNKNOWN), (f"{'may not be watched' if is_listed else 'could not be read'} {where}", "bold")
    )
    page.blank()
    for resource in gaps.resources:
        page.line(("   " + resource, ""), (f"   {gaps.reason}", "dim"))
    if gaps.since:
        page.blank()
        page.hang([("   ", "")], f"no answer since {gaps.since}; it is tried again. What depends on it turns unknown.")
    if gaps.message:
        page.blank()
        page.hang([("   ", "")], gaps.message, "dim")
    page.blank()
    unknown = "Verdicts that need these are unknown: neither healthy nor broken."
    page.hang([("   ", "")], "They are listed once a minute: verdicts are as old." if is_listed else unknown)
    if gaps.reason in ("forbidden", UNWATCHED):
        flag = scope_flag(gaps.namespace)
        page.blank()
        page.line(("   the Role that would allow it", ""))
        page.line((f"svcdoctor rbac {flag}", "$text-accent"))
        page.line(("   what you may do now", ""))
        page.line((f"kubectl auth can-i --list {flag if gaps.namespace else ''}".rstrip(), "$text-accent"))


def write_notice(page: Page, notice: Notice) -> None:
    page.line(page.mark(notice.status), (notice.label, "bold"))
    for text in (notice.words, notice.text):
        if text:
            page.blank()
            page.hang([("   ", "")], text)


def write_namespace(page: Page, header: NamespaceEntry, services: Iterable[ServiceDiagnosis]) -> None:
    page.line(page.mark(header.status), (f"namespace {header.key.namespace}", "bold"))
    page.line((f"   {plural(header.counts.total(), 'Service')}", "dim"))
    page.blank()
    troubled = [service for service in services if service.status in (Status.FAIL, Status.WARN, Status.UNKNOWN)]
    for service in troubled[:50]:
        page.hang([page.mark(service.status), (service.name, "bold"), ("  ", "")], service.cause or service.headline)
    if len(troubled) > 50:
        page.line((f"   {len(troubled) - 50} more", "dim"))
    if not troubled:
        page.line(("   nothing failed", ""))


# --- the other tabs ----------------------------------------------------------------------------------------------


def write_endpoints(page: Page, service: ServiceDiagnosis) -> None:
    """One line an address and port; why it is not good stands under it."""
    rows = sorted(service.endpoints, key=lambda row: (row.status is Status.PASS, row.address, row.port or 0, row.pod))
    if not rows:
        page.line((service.headline or "no endpoint", "dim"))
        return
    columns = [("status", 11), ("address", max(len(address_text(row)) for row in rows))]
    columns += [("pod", max(3, *(len(row.pod) for row in rows))), ("node", max(4, *(len(row.node) for row in rows)))]
    wide = sum(width + 2 for _, width in columns) + 12 <= page.width
    if wide:
        page.line(("  ".join(name.ljust(width) for name, width in [*columns, ("conditions", 10)]), "bold"))
    for row in rows:
        address = address_text(row).ljust(columns[1][1])
        if wide:
            cells = [address, row.pod.ljust(columns[2][1]), row.node.ljust(columns[3][1]), conditions(row)]
            page.line(page.mark(row.status), ("  " + "  ".join(cells), ""))
        else:
            page.line(page.mark(row.status), (f"  {address}  {row.pod}", ""))
            place = f"on {row.node}, " if row.node else ""
            page.line((" " * 13 + place + conditions(row), "dim"))
        if row.why:
            page.hang([(" " * 13, "")], row.why, marks.style(row.status))


def write_log(page: Page, log: Sequence[Logged]) -> None:
    """The newest last, as a shell's history is read."""
    if not log:
        page.line(("nothing was asked yet", "dim"))
    for entry in log[-LOG_LINES:]:
        when = entry.at.strftime("%H:%M:%S")
        took = f"{entry.seconds * 1000:.0f} ms" if entry.seconds < 10 else f"{entry.seconds:.0f} s"
        page.line(
            (f"{when}  ", "dim"),
            (entry.kind.ljust(6), ""),
            (printable(entry.outcome), "bold"),
            (f"  {took}", "dim"),
        )
        page.line(("  $ " + printable(entry.command), "$text-accent"))


def write_text(page: Page, lines: Iterable[str]) -> None:
    for text in lines:
        page.line((printable(text.rstrip("\n").expandtabs(8)) or " ", ""))


def endpoint_of(service: ServiceDiagnosis, key: Key) -> EndpointRow | None:
    """The endpoint on which a row stands."""
    if key.kind not in ("endpoint", "pod"):
        return None
    plain = key.address.rpartition(" #")[0] if " #" in key.address else key.address
    return next((row for row in service.endpoints if f"{row.address}:{row.port} {row.pod}" == plain), None)


def pods_of(service: ServiceDiagnosis) -> Iterator[str]:
    """The Pods behind a Service, those in trouble first."""
    rows = sorted(service.endpoints, key=lambda row: row.status is Status.PASS)
    yield from dict.fromkeys(row.pod for row in rows if row.pod)
