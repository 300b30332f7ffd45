"""For a ticket: a table of what is wrong, then each of these folded, with commands that are ready to be copied.

GitHub's flavour, which GitLab, Gitea and most trackers read. What comes from the cluster cannot end a cell, a code
span, a fence or an element, and names nobody whom a tracker would notify.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from svcdoctor.finding import Certainty, Diagnosis, Finding, Remedy, Status
from svcdoctor.report.entries import Entry, faults_first
from svcdoctor.report.text import (
    GLYPHS,
    Style,
    lead_of,
    remedy_label,
    remedy_text,
    summary_lines,
    told_findings,
    walk,
)

# As entities, which no parser of tables or of HTML takes for a mark; the rest as CommonMark's backslash escapes.
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
_MARKS = re.compile(r"[\\`*_{}\[\]~$]")


def render(diagnosis: Diagnosis) -> str:
    told = faults_first(diagnosis)
    troubled = [entry for entry in told if entry.is_troubled]
    counts, *left_out = summary_lines(diagnosis)
    blocks = [
        f"## svcdoctor: {words(counts)}",
        f"Context {code(diagnosis.context)}, observed at {diagnosis.observed_at}, svcdoctor {diagnosis.version}",
    ]
    blocks += [words(line) for line in left_out]
    if troubled:
        blocks.append("\n".join(_table(troubled)))
    blocks += [part for entry in told if entry.is_troubled or _is_noted(entry) for part in _details(entry)]
    healthy = [entry.named for entry in told if entry.service and not entry.is_troubled]
    if healthy:
        blocks += _folded(f"{GLYPHS[Status.PASS]} {len(healthy)} healthy", [", ".join(map(words, healthy))])
    return "\n\n".join(blocks) + "\n"


def words(text: str) -> str:
    """Text that is shown as it is, in a paragraph, a list or a cell."""
    marked = _MARKS.sub(r"\\\g<0>", "".join(_ENTITIES.get(character, character) for character in text))
    # A mention is one only where the name follows at once.
    return marked.replace("@", "@<!-- -->")


def code(text: str) -> str:
    """A code span, which longer runs of backticks than its own cannot end."""
    if not text.strip():
        return words(text)
    ticks = "`" * (_longest_run(text) + 1)
    # One blank on each side is not shown, and keeps backticks of the text apart from those around it.
    apart = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{ticks}{apart}{text}{apart}{ticks}"


def fenced(text: str, language: str = "") -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _table(entries: list[Entry]) -> Iterator[str]:
    yield "| | What | What is wrong | Code |"
    yield "|---|---|---|---|"
    for entry in entries:
        cells = (_mark(entry.status), words(entry.named), words(entry.headline), words(entry.code))
        yield f"| {' | '.join(cells)} |"


def _mark(status: Status) -> str:
    return f"{GLYPHS[status]} {status}"


def _is_noted(entry: Entry) -> bool:
    return any(finding.status is Status.NOTE for finding in entry.findings)


def _details(entry: Entry) -> list[str]:
    cause = entry.service.cause if entry.service else None
    blocks = [block for finding in told_findings(entry) for block in _finding(finding, cause)]
    if entry.service:
        steps = [line.removeprefix("  ").rstrip() for line in walk(entry.service, Style())]
        blocks.append(fenced("\n".join(steps), "text"))
    title = f"{entry.named}: {entry.headline}" if entry.is_troubled else entry.named
    return _folded(f"{GLYPHS[entry.status]} {title}", blocks)


def _folded(title: str, blocks: list[str]) -> list[str]:
    # Blank lines make what is inside Markdown again.
    return [f"<details>\n<summary>{escape(title)}</summary>", *blocks, "</details>"]


def _finding(finding: Finding, cause: str | None) -> Iterator[str]:
    label, lead = lead_of(finding, cause)
    inferred = " (inferred)" if finding.certainty is Certainty.INFERRED else ""
    yield f"**{label}** {lead}{code(finding.code or '')}: {words(finding.message)}{inferred}"
    if finding.evidence:
        facts = (f"- {words(item.label)}: {code(item.value)} ({words(item.source)})" for item in finding.evidence)
        yield "\n".join(facts)
    for remedy in finding.remedies:
        yield from _remedy(remedy)


def _remedy(remedy: Remedy) -> Iterator[str]:
    yield f"**{remedy_label(remedy)}** {words(remedy_text(remedy))}{':' if remedy.command else ''}"
    if remedy.command:
        yield fenced(remedy.command, "sh")
