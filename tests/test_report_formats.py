"""Each format as those read it who it is for: a parser of its own kind, and a golden report beside the others.

Goldens stand in tests/reports; SVCDOCTOR_UPDATE=1 rewrites them. The schema of SARIF there is the one that the npm
package @microsoft/jest-sarif carries (MIT).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema import Draft4Validator, Draft202012Validator
from markdown_it import MarkdownIt
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from simulate import simulate
from suites import SuiteCase
from svcdoctor.demo import recorded_world
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.finding import Diagnosis, Role, Status
from svcdoctor.report import FORMATS, rendered
from svcdoctor.report.entries import entries
from test_report import CASES, SCHEMA, diagnosis_of, hostile_diagnosis_of

REPORTS = Path(__file__).parent / "reports"
UPDATE = bool(os.environ.get("SVCDOCTOR_UPDATE"))
SARIF = Draft4Validator(json.loads((REPORTS / "sarif-2.1.0.schema.json").read_text()))
LINE = Draft202012Validator({"$ref": "#/$defs/line-of-jsonl", **{k: SCHEMA.schema[k] for k in ("$defs", "properties")}})
GFM = MarkdownIt("commonmark", {"html": True}).enable("table")


# --- goldens -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_the_demo_in_each_format(name: str) -> None:
    # What programs read tells every step of every Service: one is enough to look at.
    scope = Scope("shop", names=("orders",)) if name in ("json", "jsonl", "yaml") else Scope()
    assert_golden("demo", name, diagnose(recorded_world(), scope).diagnosis)


@pytest.mark.parametrize("name", FORMATS)
def test_hostile_labels_in_each_format(name: str) -> None:
    assert_golden("hostile", name, diagnose(simulate(hostile_manifests()), Scope("shop")).diagnosis)


def hostile_manifests() -> list[dict[str, Any]]:
    """A selector that misses its Pods by one letter, with what each of the formats has a meaning for."""
    hostile = "</summary><b>|``[a](b) {0} %0A::error::\n@all\x1b[2J"
    labels = {"app": f"cart{hostile}"}
    container = {"name": "web", "image": "registry.example/web:1", "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    service = {"selector": {"app": f"crat{hostile}"}, "ports": [{"port": 80, "targetPort": 8080}]}
    metadata = {"name": "cart", "namespace": "shop"}
    return [
        {"kind": "Deployment", "metadata": metadata, "spec": deployment},
        {"kind": "Service", "metadata": metadata, "spec": service},
    ]


def assert_golden(world: str, name: str, diagnosis: Diagnosis) -> None:
    path = REPORTS / f"{world}.{FORMATS[name].extension}"
    report = rendered(diagnosis, name)
    if UPDATE:
        path.write_text(report, encoding="utf-8", newline="")
    assert report == path.read_text(encoding="utf-8")


# --- every suite, as its reader sees it --------------------------------------------------------------------------


def read_jsonl(diagnosis: Diagnosis) -> None:
    records = [json.loads(line) for line in rendered(diagnosis, "jsonl").split("\n")[:-1]]
    assert not [error.message for record in records for error in LINE.iter_errors(record)]
    assert [record["message"] for record in records] == [finding.message for finding in diagnosis.findings()]


def read_markdown(diagnosis: Diagnosis) -> None:
    tokens = GFM.parse(rendered(diagnosis, "markdown"))
    troubled = [entry for entry in entries(diagnosis) if entry.is_troubled]
    kinds = Counter(token.type for token in tokens)
    assert kinds["heading_open"] == 1 and kinds["tr_open"] == (len(troubled) + 1 if troubled else 0)
    assert kinds["td_open"] == 4 * len(troubled)
    blocks = [token.content for token in tokens if token.type == "html_block"]
    opened = [block for block in blocks if re.fullmatch(r"<details>\n<summary>[^<>\n]*</summary>\n?", block)]
    assert len(opened) >= len(troubled)
    assert blocks.count("</details>\n") + blocks.count("</details>") == len(opened) == len(blocks) / 2
    within = [child for token in tokens for child in token.children or ()]
    assert not {child.type for child in within} & {"link_open", "image", "em_open"}
    assert {child.content for child in within if child.type == "html_inline"} <= {"<!-- -->"}
    commands = {token.content.removesuffix("\n") for token in tokens if token.type == "fence" and token.info == "sh"}
    findings = diagnosis.findings()
    assert commands <= {remedy.command for finding in findings for remedy in finding.remedies}
    causes = [finding for finding in findings if finding.role in (Role.CAUSE, Role.ALSO)]
    assert commands >= {remedy.command for finding in causes for remedy in finding.remedies if remedy.command}


def read_html(diagnosis: Diagnosis) -> None:
    page = Page()
    page.feed(rendered(diagnosis, "html"))
    page.close()
    assert not page.open and page.tags <= ALLOWED
    words = "".join(page.words)
    for entry in entries(diagnosis):
        assert entry.named in words and entry.headline in words
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page.policy
    assert "url(" not in page.style and "@import" not in page.style


def read_junit(diagnosis: Diagnosis) -> None:
    root = ElementTree.fromstring(rendered(diagnosis, "junit"))
    names = Counter((test.get("classname"), test.get("name")) for test in root.iter("testcase"))
    assert root.tag == "testsuites" and all(names.values())
    assert sum(names.values()) == len(entries(diagnosis)) + len(diagnosis.unreadable) == int(root.get("tests"))
    for suite in root:
        assert suite.tag == "testsuite"
        tests = suite.findall("testcase")
        assert int(suite.get("tests")) == len(tests)
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("errors")) == len(suite.findall("testcase/error"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
        for test in tests:
            (outcome,) = test
            assert outcome.tag in ("failure", "error", "system-out")
            assert outcome.tag == "system-out" or (outcome.get("type") and outcome.get("message"))
    statuses = Counter(entry.status for entry in entries(diagnosis))
    assert int(root.get("failures")) == statuses[Status.FAIL]
    assert int(root.get("errors")) == statuses[Status.UNKNOWN] + len(diagnosis.unreadable)


def read_sarif(diagnosis: Diagnosis) -> None:
    document = json.loads(rendered(diagnosis, "sarif"))
    assert not [f"{error.json_path}: {error.message}" for error in SARIF.iter_errors(document)]
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    coded = [f for f in diagnosis.findings() if f.code and f.role is not Role.CONSEQUENCE]
    assert Counter(result["ruleId"] for result in run["results"]) == Counter(finding.code for finding in coded)
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    # What is not `fail` has no level (SARIF 3.27.10).
    assert all(result["kind"] == "fail" or result["level"] == "none" for result in run["results"])
    identities = [result["partialFingerprints"]["svcdoctor/v1"] for result in run["results"]]
    assert len(identities) == len(set(identities))
    for result in run["results"]:
        # Nothing is a placeholder or a link to somewhere else.
        assert not re.search(r"(?<!{)(?:{{)*{\d+}|\]\(", result["message"]["text"])
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert len(notes) == len(diagnosis.denied) + len(diagnosis.unreadable)


def read_prometheus(diagnosis: Diagnosis) -> None:
    text = rendered(diagnosis, "prometheus")
    samples = [sample for family in parse_prometheus(text) for sample in family.samples]
    assert samples == [sample for family in parse_openmetrics(text) for sample in family.samples]
    keys = [(sample.name, *sorted(sample.labels.items())) for sample in samples]
    assert len(keys) == len(set(keys))
    verdicts = {
        (sample.labels["namespace"], sample.labels["service"]): sample.labels["status"]
        for sample in samples
        if sample.name == "svcdoctor_service_status" and sample.value == 1
    }
    assert verdicts == {(entry.namespace, entry.name): entry.status for entry in diagnosis.services}
    found = sum(sample.value for sample in samples if sample.name == "svcdoctor_finding")
    assert found == sum(1 for finding in diagnosis.findings() if finding.code)


def read_github(diagnosis: Diagnosis) -> None:
    lines = rendered(diagnosis, "github").split("\n")
    commands = [line for line in lines if line.startswith("::")]
    parsed = [re.fullmatch(r"::(error|warning|notice) title=([^:,]+)::(.+)", line) for line in commands]
    assert all(parsed)
    # Nothing else in the log is a command, nor of the older kind, which may stand anywhere in a line.
    assert all("##[" not in line for line in lines if line not in commands)
    told_of = [unescaped(match[3]).split("\n")[0] for match in parsed if match]
    faults = [finding for finding in diagnosis.findings() if finding.is_fault]
    wanted = {finding.message for finding in faults if finding.role is not Role.CONSEQUENCE}
    assert wanted <= set(told_of)
    assert all("\r" not in unescaped(line) for line in lines)


def unescaped(text: str) -> str:
    """As GitHub's runner undoes it: `%25` last."""
    for escape, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escape, character)
    return text


VOID = {"meta"}
ALLOWED = {"html", "head", "meta", "title", "style", "body", "header", "main", "h1", "h2", "p", "time", "details"}
ALLOWED |= {"summary", "span", "code", "section", "strong", "dl", "dt", "dd", "pre", "ol", "ul", "li"}


class Page(HTMLParser):
    """The tags of a page, which must close as they opened, and its words."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.style = self.policy = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attributes)
        assert set(given) <= {"lang", "charset", "name", "content", "http-equiv", "class", "id", "open", "datetime"} | {
            "aria-hidden"
        }
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.words.append(data)


READERS = (read_jsonl, read_markdown, read_html, read_junit, read_sarif, read_prometheus, read_github)


@pytest.mark.parametrize("diagnosis", [diagnosis_of, hostile_diagnosis_of], ids=["plain", "hostile"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_readers_find_what_was_diagnosed(case: SuiteCase, diagnosis: Callable[[SuiteCase], Diagnosis]) -> None:
    for read in READERS:
        read(diagnosis(case))
