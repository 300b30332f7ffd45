"""What is new since an earlier report, and what of it is said."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

import svcdoctor.report.json as report_json
from simulate import simulate
from svcdoctor.baseline import Baseline, Compared, compared, marked, read
from svcdoctor.cli import cli
from svcdoctor.commands.result import exit_code
from svcdoctor.diagnosis import Scope
from svcdoctor.finding import Diagnosis, Gap, Status, Step, Subject, fail, skipped
from svcdoctor.report import text
from svcdoctor.standing import standings
from test_cli import FAULT, HEALTHY, Doctor, app, doctor, orphan
from test_report import SCHEMA, diagnosed

__all__ = ["doctor"]  # a fixture
CALLER = {
    "kind": "Deployment",
    "metadata": {"name": "till", "namespace": "shop"},
    "spec": {
        "selector": {"matchLabels": {"app": "till"}},
        "template": {
            "metadata": {"labels": {"app": "till"}},
            "spec": {"containers": [{"name": "till", "image": "till", "env": [{"name": "A", "value": "http://gone"}]}]},
        },
    },
}
BEFORE = [*HEALTHY, orphan("cart", "shop"), CALLER]


def said(*manifests: dict[str, Any]) -> Diagnosis:
    return diagnosed(simulate(list(manifests)))


@cache
def before() -> Diagnosis:
    return said(*BEFORE)


def earlier(diagnosis: Diagnosis) -> Baseline:
    return read(report_json.render(diagnosis).encode(), "before.json")


def after(*manifests: dict[str, Any], scope: Scope = Scope()) -> Compared:  # noqa: B008
    return compared(said(*manifests), earlier(before()), scope)


def lines(result: Compared) -> list[str]:
    return text.render(result.folded).splitlines() + list(result.lines())


def test_what_was_there_before_is_told_in_one_line() -> None:
    result = after(*BEFORE)
    assert exit_code(result.diagnosis, "unknown") == 0
    shown = lines(result)
    assert shown[-2:] == ["4 Services: 4 pass", "2 known, as in before.json"]
    assert not [line for line in shown if "cart" in line or "gone" in line]


def test_json_keeps_what_is_known_and_says_so() -> None:
    document = json.loads(report_json.render(after(*BEFORE).diagnosis))
    assert not list(SCHEMA.iter_errors(document))
    (cart,) = [entry for entry in document["services"] if entry["name"] == "cart"]
    assert (cart["status"], cart["cause"]) == ("fail", FAULT)
    assert [finding["code"] for finding in cart["findings"] if finding.get("known")] == [FAULT]
    assert '"known"' not in json.dumps(json.loads(report_json.render(before())))


def test_a_fault_of_another_service_is_new() -> None:
    result = after(*BEFORE, orphan("basket", "shop"))
    assert exit_code(result.diagnosis, "fail") == 1
    shown = lines(result)
    assert shown[0].startswith("✗ shop/basket")
    assert shown[-2:] == ["5 Services: 4 pass, 1 fail", "2 known, as in before.json"]


def test_a_service_with_another_fault_is_told_whole() -> None:
    """What is new is understood only beside what is known."""
    old = before()
    (cart,) = [entry for entry in old.services if entry.name == "cart"]
    other = replace(cart.findings[0], code="slice-no-ready", status=Status.FAIL)
    services = [replace(entry, findings=(*entry.findings, other)) if entry is cart else entry for entry in old.services]
    result = compared(replace(old, services=tuple(services)), earlier(old), Scope())
    assert [entry.name for entry in result.folded.services if entry.status is Status.FAIL] == ["cart"]
    assert exit_code(result.diagnosis, "fail") == 1


def test_a_fault_that_got_worse_in_words_alone_is_known() -> None:
    old = before()
    changed = [
        replace(entry, findings=tuple(replace(finding, message="else") for finding in entry.findings))
        for entry in old.services
    ]
    result = compared(replace(old, services=tuple(changed)), earlier(old), Scope())
    assert exit_code(result.diagnosis, "fail") == 0


def test_a_pod_that_was_made_anew_is_the_same_subject() -> None:
    def about(pod: str) -> Diagnosis:
        old = before()
        services = [
            replace(
                entry,
                findings=tuple(replace(item, subject=Subject("Pod", "shop", pod)) for item in entry.findings),
            )
            for entry in old.services
        ]
        return replace(old, services=tuple(services))

    assert exit_code(marked(about("cart-2"), earlier(about("cart-1"))), "fail") == 0


def test_what_could_not_be_seen_is_never_known() -> None:
    world = simulate(BEFORE)
    world.lose(Gap("list", "endpointslices", "discovery.k8s.io", "", "forbidden"))
    blind = diagnosed(world)
    assert exit_code(compared(blind, earlier(blind), Scope()).diagnosis, "fail") == 4


def test_what_healed_is_said() -> None:
    assert after(*HEALTHY, *app("cart", "shop"), CALLER).healed == (
        ("Service", "shop", "cart", FAULT, ("Service", "shop", "cart")),
    )
    result = after(*HEALTHY)
    assert list(result.lines()) == [f"2 healed since before.json: shop/cart {FAULT}, shop/gone svc-missing"]


@pytest.mark.parametrize(
    "scope",
    [Scope("store"), Scope("shop", names=("web",)), Scope(skip=frozenset({FAULT})), Scope(only=frozenset({"x"}))],
    ids=["namespace", "name", "skip", "only"],
)
def test_what_nobody_looked_for_has_not_healed(scope: Scope) -> None:
    assert not [fault for fault in after(*HEALTHY, scope=scope).healed if fault.name == "cart"]


def test_who_waits_for_a_service_waits_for_nothing_that_is_known() -> None:
    scope = Scope("shop", ("cart",))
    diagnosis = before()
    known = marked(diagnosis, earlier(diagnosis))
    assert [one.passes for one in standings(known, (), scope, "fail") if one.name[1] == "cart"] == [True]
    assert [one.passes for one in standings(diagnosis, (), scope, "fail") if one.name[1] == "cart"] == [False]


def test_a_report_of_one_context_is_compared_whatever_its_name() -> None:
    old = before()
    assert exit_code(marked(replace(old, context="laptop"), earlier(old)), "fail") == 0


def test_a_report_of_several_is_compared_context_by_context() -> None:
    document = {
        "apiVersion": "svcdoctor/v1",
        "kind": "DiagnosisList",
        "items": [
            {**report_json.document(replace(before(), context="prod"))},
            {"kind": "Unseen", "context": "old", "reason": "unreachable", "message": "no"},
        ],
    }
    baseline = read(json.dumps(document).encode(), "before.json")
    codes = {
        context: exit_code(marked(replace(before(), context=context), baseline), "fail")
        for context in ("prod", "old", "new")
    }
    assert codes == {"prod": 0, "old": 1, "new": 1}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "Input data was truncated"),
        ("cart fails", "JSON is malformed"),
        ("[]", "Expected `object`, got `array`"),
        ('{"kind": "List", "apiVersion": "v1"}', "its kind is List, its apiVersion v1"),
        ('{"kind": "World", "apiVersion": "svcdoctor/v1"}', "its kind is World, its apiVersion svcdoctor/v1"),
        ('{"kind": "Diagnosis", "apiVersion": "svcdoctor/v2"}', "its apiVersion svcdoctor/v2"),
        (
            '{"kind": "Diagnosis", "apiVersion": "svcdoctor/v1", "context": 7}',
            "Expected `str`, got `int` - at `$.context`",
        ),
    ],
)
def test_what_is_no_report_is_said(content: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        read(content.encode(), "odd.json")


def test_a_baseline_that_is_no_report_is_named(doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text("[]")
    done = doctor("diagnose", "--baseline", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--baseline {path} is no report of -o json: Expected `object`" in done.stderr
    assert not doctor.server.received


def test_a_baseline_that_is_not_there(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor("diagnose", "--baseline", str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere cannot be read: no such file or directory; make one with: svcdoctor diagnose -o json" in done.stderr


def test_the_command_reports_what_is_new(doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    path.write_text(doctor("diagnose", "-A", "-o", "json", "--no-probe").stdout)
    done = doctor("diagnose", "-A", "--no-probe", "--baseline", str(path), "-o", "name")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"svcdoctor: 1 known, as in {path}\n"


def without_lookups(diagnosis: Diagnosis) -> Diagnosis:
    (cart, *others) = [replace(entry, findings=()) for entry in diagnosis.services]
    step = skipped(Subject("Service", cart.namespace, cart.name), "probes are off (--no-probe)")
    return replace(diagnosis, services=(replace(cart, findings=(replace(step, step=Step.DNS),)), *others))


@pytest.mark.parametrize(("step", "healed"), [(Step.DNS, 0), (Step.CONNECT, 0), (Step.LABELS, 1)])
def test_what_only_a_probe_shows_has_not_healed_where_there_is_none(step: Step, healed: int) -> None:
    old = without_lookups(before())
    cart = old.services[0]
    fault = fail("some-code", Subject("Service", cart.namespace, cart.name), "it is so")
    faulty = replace(old, services=(replace(cart, findings=(replace(fault, step=step),)), *old.services[1:]))
    assert len(compared(old, earlier(faulty), Scope()).healed) == healed


CART = f"""
apiVersion: v1
kind: Service
metadata: {{name: cart, namespace: shop}}
spec: {{selector: {{app: crat}}, ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: cart, namespace: shop}}
spec: {json.dumps(app("cart", "shop")[0]["spec"])}
"""


def test_manifests_are_compared_too_and_heal_only_what_they_hold(tmp_path: Path) -> None:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["diagnose", "-f", str(tmp_path / "cart.yaml"), *arguments])

    manifests, path = tmp_path / "cart.yaml", tmp_path / "before.json"
    manifests.write_text(CART + f"---\n{json.dumps({'apiVersion': 'v1', **orphan('old', 'shop')})}\n")
    assert run("-o", f"json={path}").exit_code == 1
    manifests.write_text(CART)
    again = run("--baseline", str(path))
    assert (again.exit_code, again.stdout.splitlines()[-1]) == (0, f"1 known, as in {path}")
    manifests.write_text(CART.replace("crat", "cart"))
    assert run("--baseline", str(path)).stdout.splitlines()[-1].startswith(f"1 healed since {path}: shop/cart ")


def test_a_recording_is_compared_too(tmp_path: Path) -> None:
    recording, path, text = tmp_path / "all.json", tmp_path / "before.json", tmp_path / "report.txt"
    recording.write_bytes(simulate(BEFORE).record())
    words = ["diagnose", "--replay", str(recording)]
    assert CliRunner().invoke(cli, [*words, "-o", f"json={path}"]).exit_code == 1
    files = ["-o", "jsonl", "-o", f"text={text}"]
    again = CliRunner().invoke(cli, [*words, "--baseline", str(path), *files])
    assert again.exit_code == 0
    assert again.stderr == f"svcdoctor: 2 known, as in {path}\n"
    assert again.stdout.count('"known":true') == 2
    assert text.read_text().endswith(f"2 known, as in {path}\n")
