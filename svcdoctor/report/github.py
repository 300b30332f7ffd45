"""Annotations of a GitHub Actions run, as workflow commands: a line a finding, the summary last.

A run shows ten annotations of each level for a step, so causes come first and what they explain is left out. With `-f`
they stand at the line of the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.finding import Diagnosis, Finding, Role, Status
from svcdoctor.report.entries import Entry, faults_first
from svcdoctor.report.text import remedy_label, remedy_text, summary_lines

LEVELS = {Status.FAIL: "error", Status.WARN: "warning", Status.UNKNOWN: "warning", Status.NOTE: "notice"}


def render(diagnosis: Diagnosis) -> str:
    told = [
        (entry, finding)
        for entry in faults_first(diagnosis)
        for finding in entry.findings
        if finding.status in LEVELS and finding.role is not Role.CONSEQUENCE
    ]
    told.sort(key=lambda item: item[1].role is not Role.CAUSE)
    # The same may have been unknown at several steps.
    lines = dict.fromkeys(_command(entry, finding) for entry, finding in told)
    # The runner obeys `##[...]` wherever it stands in a line.
    summary = [line.replace("##[", "## [") for line in summary_lines(diagnosis)]
    return "\n".join([*lines, *summary]) + "\n"


def _command(entry: Entry, finding: Finding) -> str:
    title = _property(f"{entry.named}: {finding.code}")
    place = finding.location
    where = f"file={_property(place.file)},line={place.line}," if place else ""
    return f"::{LEVELS[finding.status]} {where}title={title}::{_data(chr(10).join(_message(finding)))}"


def _message(finding: Finding) -> Iterator[str]:
    yield finding.message
    for item in finding.evidence:
        yield f"{item.label}: {item.value} [{item.source}]"
    for remedy in finding.remedies:
        yield f"{remedy_label(remedy)}: {remedy_text(remedy)}{': ' if remedy.command else ''}{remedy.command}"
    if finding.explain:
        yield f"more: {finding.explain}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
