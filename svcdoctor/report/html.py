"""One page that needs nothing else: no script, no font, no picture; light and dark, and fit for paper.

A list of what was diagnosed, the worst first, each unfolding to its walk, its findings and the commands that mend them.
A status is a mark, a word and a colour. The policy in the head lets a browser load or run nothing at all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape

from svcdoctor.finding import Certainty, Diagnosis, EndpointRow, Finding, Remedy, ServiceDiagnosis, Status, Step
from svcdoctor.report.entries import RANK, Entry, faults_first
from svcdoctor.report.stylesheet import STYLESHEET
from svcdoctor.report.text import (
    GLYPHS,
    address_text,
    lead_of,
    port_text,
    remedy_label,
    remedy_text,
    summary_lines,
    told_findings,
)
from svcdoctor.text import plural, utc_time

# Only this style sheet: not even a style attribute counts.
_DIGEST = base64.b64encode(hashlib.sha256(STYLESHEET.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'"
_SHOWN_ENDPOINTS = 20  # a Service has a thousand, and the first few say it


def render(diagnosis: Diagnosis) -> str:
    return "\n".join(_page(diagnosis)) + "\n"


def _page(diagnosis: Diagnosis) -> Iterator[str]:
    counts, *left_out = summary_lines(diagnosis)
    yield "<!DOCTYPE html>"
    yield '<html lang="en">'
    yield "<head>"
    yield '<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield '<meta name="referrer" content="no-referrer">'
    yield f"<title>{escape(f'{diagnosis.context}: {counts}')}</title>"
    yield f"<style>{STYLESHEET}</style>"
    yield "</head>"
    yield "<body>"
    yield "<header>"
    yield f"<h1>{escape(diagnosis.context)}</h1>"
    yield f'<p class="counts">{escape(counts)}</p>'
    observed = f'<time datetime="{escape(diagnosis.observed_at)}">{utc_time(diagnosis.observed_at)}</time>'
    yield f'<p class="aside">read at {observed} by svcdoctor {escape(diagnosis.version)}</p>'
    for line in left_out:
        yield f'<p class="aside">{escape(line)}</p>'
    yield "</header>"
    yield "<main>"
    told = faults_first(diagnosis)
    troubled = [entry for entry in told if entry.is_troubled]
    healthy = [entry for entry in told if not entry.is_troubled]
    if troubled:
        yield f'<h2 id="wrong">{plural(len(troubled), "thing")} to look at</h2>'
        for entry in troubled:
            yield from _entry(entry, unfolded=len(troubled) == 1)
    if healthy:
        yield '<h2 id="healthy">Healthy</h2>'
        for entry in healthy:
            yield from _entry(entry)
    yield "</main>"
    yield "</body>"
    yield "</html>"


def _entry(entry: Entry, *, unfolded: bool = False) -> Iterator[str]:
    yield f'<details class="entry"{" open" if unfolded else ""}>'
    shown = "" if entry.code in ("", entry.headline) else f" <code>{escape(entry.code)}</code>"
    name = f'<span class="name">{escape(entry.named)}</span>'
    yield f'<summary>{_mark(entry.status)} {name} <span class="says">{escape(entry.headline)}</span>{shown}</summary>'
    if entry.service:
        yield f'<p class="aside">{escape(_described(entry.service))}</p>'
    for finding in told_findings(entry):
        yield from _finding(finding, entry)
    if entry.service:
        yield from _walk(entry.service)
    yield "</details>"


def _mark(status: Status) -> str:
    glyph = f'<span aria-hidden="true">{GLYPHS[status]}</span>'
    return f'<span class="mark {status.value}">{glyph} {status.value}</span>'


def _described(service: ServiceDiagnosis) -> str:
    address = " ".join((service.type, *service.cluster_ips))
    return "   ".join((address, *(port_text(port) for port in service.ports)))


def _finding(finding: Finding, entry: Entry) -> Iterator[str]:
    label, lead = lead_of(finding, entry.service.cause if entry.service else None)
    yield f'<section class="finding {finding.status.value}">'
    inferred = " (inferred)" if finding.certainty is Certainty.INFERRED else ""
    said = f"{escape(lead)}<code>{escape(finding.code or '')}</code>: {escape(finding.message)}{inferred}"
    yield f'<p><strong class="label">{escape(label)}</strong> {said}</p>'
    if finding.evidence:
        yield "<dl>"
        for item in finding.evidence:
            source = f'<span class="aside">{escape(item.source)}</span>'
            yield f"<dt>{escape(item.label)}</dt><dd><code>{escape(item.value)}</code> {source}</dd>"
        yield "</dl>"
    for remedy in finding.remedies:
        yield from _remedy(remedy)
    yield f'<p class="aside">more: <code>{escape(finding.explain)}</code></p>'
    yield "</section>"


def _remedy(remedy: Remedy) -> Iterator[str]:
    colon = ":" if remedy.command else ""
    yield f'<p><strong class="label">{remedy_label(remedy)}</strong> {escape(remedy_text(remedy))}{colon}</p>'
    if remedy.command:
        yield f"<pre><code>{escape(remedy.command)}</code></pre>"


def _walk(service: ServiceDiagnosis) -> Iterator[str]:
    yield '<ol class="walk">'
    for step in service.steps:
        yield f'<li>{_mark(step.status)} <span class="step">{step.step}</span> {escape(step.message)}'
        yield f'<code class="typed">{escape(step.command)}</code>'
        if step.step is Step.ENDPOINTS and service.endpoints:
            yield from _endpoints(service)
        yield "</li>"
    yield "</ol>"


def _endpoints(service: ServiceDiagnosis) -> Iterator[str]:
    rows = sorted(service.endpoints, key=lambda row: (RANK[row.status], row.why, row.pod, row.address, row.port or 0))
    yield '<ul class="endpoints">'
    for row in rows[:_SHOWN_ENDPOINTS]:
        yield f"<li>{_mark(row.status)} <code>{escape(address_text(row))}</code> {escape(_behind(row))}</li>"
    if len(rows) > _SHOWN_ENDPOINTS:
        rest = rows[_SHOWN_ENDPOINTS:]
        bad = sum(row.status is not Status.PASS for row in rest)
        yield f"<li>{len(rest)} more, {bad} of them not good</li>"
    yield "</ul>"


def _behind(row: EndpointRow) -> str:
    return "   ".join(filter(None, (row.pod or "no Pod", row.node and f"on {row.node}", row.why)))
