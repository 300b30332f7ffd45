"""SARIF 2.1.0: a result for each finding that has a code, its rule from the page that `svcdoctor explain` shows.

What another finding explains is no result of its own: it goes when its cause does.

Objects of a cluster are logical locations: there is no file to point at. (GitHub's code scanning takes results with
files only; other readers of SARIF take these.) With `-f` a result has the line of the manifest as well. What could not
be read is told as a notification of the run.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import msgspec

from svcdoctor.catalogue import pages, title
from svcdoctor.finding import Diagnosis, Finding, Role, Status
from svcdoctor.report.entries import Entry, faults_first

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
# `kind` says that it was judged, and how; only what failed has a level.
KINDS = {
    Status.FAIL: ("fail", "error"),
    Status.WARN: ("fail", "warning"),
    Status.NOTE: ("informational", "none"),
    Status.UNKNOWN: ("open", "none"),
}


def render(diagnosis: Diagnosis) -> str:
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(diagnosis)]}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _run(diagnosis: Diagnosis) -> dict[str, Any]:
    told = [
        (entry, finding, finding.code)
        for entry in faults_first(diagnosis)
        for finding in entry.findings
        if finding.code and finding.status in KINDS and finding.role is not Role.CONSEQUENCE
    ]
    used = {code for _, _, code in told}
    codes = [code for code in pages() if code in used]  # in the order of the walk
    index = {code: position for position, code in enumerate(codes)}
    seen: Counter[str] = Counter()
    results = []
    for entry, finding, code in told:
        identity = _identity(entry, finding)
        seen[identity] += 1
        results.append(_result(entry, finding, code, index[code], f"{identity}:{seen[identity]}"))
    driver = {"name": "svcdoctor", "semanticVersion": diagnosis.version, "rules": [_rule(code) for code in codes]}
    return {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"svcdoctor/{diagnosis.context}/"},
        "invocations": [
            {
                "executionSuccessful": True,
                "endTimeUtc": diagnosis.observed_at,
                "toolExecutionNotifications": _notifications(diagnosis),
            }
        ],
        "results": results,
    }


def _rule(code: str) -> dict[str, Any]:
    page = pages()[code]
    return {
        "id": code,
        "shortDescription": {"text": _message(title(code))},
        "help": {"text": _message(page.text)},
        "properties": {"step": page.step, "question": page.question},
    }


def _result(entry: Entry, finding: Finding, code: str, index: int, identity: str) -> dict[str, Any]:
    kind, level = KINDS[finding.status]
    first = next((f"\nTo do: {remedy.do}." for remedy in finding.remedies), "")
    return {
        "ruleId": code,
        "ruleIndex": index,
        "kind": kind,
        "level": level,
        "message": {"text": _message(f"{entry.named}: {finding.message}{first}")},
        "locations": [{**_line(finding), "logicalLocations": _objects(entry, finding)}],
        "partialFingerprints": {"svcdoctor/v1": identity},
        "properties": {
            "namespace": entry.namespace,
            "name": entry.name,
            "step": finding.step,
            "role": finding.role,
            "certainty": finding.certainty,
            "because": finding.because,
            "evidence": msgspec.to_builtins(finding.evidence),
            "remedies": msgspec.to_builtins(finding.remedies),
        },
    }


def _line(finding: Finding) -> dict[str, Any]:
    """Where in the manifests it stands, where manifests are judged."""
    if finding.location is None:
        return {}
    artifact = {"uri": _uri(finding.location.file)}
    return {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": finding.location.line}}}


def _uri(path: str) -> str:
    """A path as a relative reference of RFC 3986."""
    return re.sub(
        r"[^\w./~-]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), path, flags=re.ASCII
    )


def _objects(entry: Entry, finding: Finding) -> list[dict[str, str]]:
    """The object that the finding is about, then the one it is told of, where this is another."""
    subject = finding.subject
    named = [(entry.kind, entry.namespace, entry.name)]
    if subject:
        named.insert(0, (subject.kind, subject.namespace, subject.name))
    return [
        {"name": name, "fullyQualifiedName": "/".join(filter(None, (namespace, kind, name))), "kind": "resource"}
        for kind, namespace, name in dict.fromkeys(named)
    ]


def _identity(entry: Entry, finding: Finding) -> str:
    """What stays the same between runs while the fault does: neither words, addresses nor Pods' names in it."""
    subject = finding.subject
    about = (subject.namespace, subject.kind, subject.name) if subject and subject.kind != "Pod" else ()
    return "/".join((entry.namespace, entry.kind, entry.name, finding.code or "", *about))


def _notifications(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    told = [
        f"{gap.reason}: cannot {gap.verb} {gap.resource} {gap.where}{': ' if gap.message else ''}{gap.message}"
        for gap in diagnosis.denied
    ]
    told += [
        f"{item.resource} {item.namespace}/{item.name} could not be decoded and was left out: {item.error}"
        for item in diagnosis.unreadable
    ]
    return [{"level": "warning", "message": {"text": _message(text)}} for text in told]


def _message(text: str) -> str:
    """In messages of SARIF braces are placeholders unless doubled (3.11.5), and `[words](place)` is a link (3.11.6)."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")
