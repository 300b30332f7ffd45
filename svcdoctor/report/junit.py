"""JUnit's XML, as CI servers show it: a suite for each namespace, a test for each Service.

A fault that fails is a `failure`. What could not be seen is an `error`, the word of JUnit for a test that did not come
to its end: `skipped` would be shown as good, which nobody knows. A warning passes and says itself in `system-out`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from svcdoctor.finding import Diagnosis, Status
from svcdoctor.report.entries import Entry, entries
from svcdoctor.report.text import Style, block

# Characters that XML 1.0 cannot hold, not even escaped.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OUTCOMES = {Status.FAIL: "failure", Status.UNKNOWN: "error"}


def render(diagnosis: Diagnosis) -> str:
    suites: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries(diagnosis):
        suites[entry.namespace or "cluster"].append(entry)
    root = Element("testsuites", name="svcdoctor")
    for name in sorted(suites):
        _suite(root, name, suites[name], diagnosis)
    lost = diagnosis.unreadable
    if lost:
        suite = SubElement(root, "testsuite", _attributes("left out", len(lost), 0, len(lost), diagnosis))
        for item in lost:
            name = f"{item.resource}/{item.name}"
            case = SubElement(suite, "testcase", classname=_safe(item.namespace), name=_safe(name))
            SubElement(case, "error", message=_safe(f"could not be decoded: {item.error}"), type="unreadable")
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, 0)) for suite in root)))
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _suite(root: Element, name: str, members: list[Entry], diagnosis: Diagnosis) -> None:
    statuses = [entry.status for entry in members]
    counts = (len(members), statuses.count(Status.FAIL), statuses.count(Status.UNKNOWN))
    suite = SubElement(root, "testsuite", _attributes(name, *counts, diagnosis))
    properties = SubElement(suite, "properties")
    for key, value in (("context", diagnosis.context), ("version", diagnosis.version)):
        SubElement(properties, "property", name=key, value=_safe(value))
    for entry in members:
        case = SubElement(suite, "testcase", classname=_safe(name), name=_safe(entry.noun))
        said = _safe("\n".join(line.rstrip() for line in block(entry, Style())))
        outcome = _OUTCOMES.get(entry.status)
        if outcome:
            SubElement(case, outcome, message=_safe(entry.headline), type=_safe(entry.code)).text = said
        else:
            SubElement(case, "system-out").text = said


def _attributes(name: str, tests: int, failures: int, errors: int, diagnosis: Diagnosis) -> dict[str, str]:
    return {
        "name": _safe(name),
        "tests": str(tests),
        "failures": str(failures),
        "errors": str(errors),
        "skipped": "0",
        # In UTC; the schema that most tools check against has no place for the zone.
        "timestamp": diagnosis.observed_at.removesuffix("Z"),
    }


def _safe(text: str) -> str:
    return _NOT_IN_XML.sub("�", text)
