"""The suites' own format: what is read, what is refused, and how a golden is rewritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from suites import ExpectedFinding, Suite, SuiteError, load_suite, load_suites, reported, rewrite_golden

SUITE = """\
# selector_finds_pods

Why this question is asked.

## Another value

The Service asks for `app: cart`.

```yaml
apiVersion: v1
kind: Service
metadata: {name: cart}
---
apiVersion: v1
kind: Namespace
metadata: {name: {ns}-other}
---
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: {ns}-other, annotations: {url: "http://cart.{ns}.svc"}}
```

```yaml observed
kind: Pod
metadata: {name: cart-1, namespace: {ns}}
```

```sh
# not a heading
kubectl -n $NS get services
```

```probe
cart.{ns}.svc.cluster.local: NXDOMAIN
```

```findings
fail selector-value-mismatch cause Service/cart
warn dns-short-name - Namespace/{ns}-other
```

```live
wait: 40
args: --as system:serviceaccount:{ns}:viewer -n {ns}
```

```text
✗ shop/cart
```

## Nothing wrong

```yaml
kind: Service
metadata: {name: cart}
```

```findings
```
"""


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    path = tmp_path / "selector_finds_pods.md"
    path.write_text(SUITE, encoding="utf-8")
    return path


def load(tmp_path: Path, text: str) -> Suite:
    path = tmp_path / "suite.md"
    path.write_text(text, encoding="utf-8")
    return load_suite(path)


def test_suite_and_cases_are_read(suite_file: Path) -> None:
    suite = load_suite(suite_file)
    assert suite.check == "selector_finds_pods"
    assert suite.prose == "Why this question is asked."
    assert [case.title for case in suite.cases] == ["Another value", "Nothing wrong"]
    assert [case.id for case in suite.cases] == [
        "selector_finds_pods/another-value",
        "selector_finds_pods/nothing-wrong",
    ]
    assert suite.cases[0].where == f"{suite_file}:5"


def test_directory_is_read_in_the_order_of_file_names(suite_file: Path) -> None:
    (suite_file.parent / "name_resolves.md").write_text("# name_resolves\n", encoding="utf-8")
    assert [suite.check for suite in load_suites(suite_file.parent)] == ["name_resolves", "selector_finds_pods"]


def test_namespace_is_filled_in_and_replaced(suite_file: Path) -> None:
    service, namespace, pod = load_suite(suite_file).cases[0].manifests("t-1")
    assert service["metadata"] == {"name": "cart", "namespace": "t-1"}
    assert namespace["metadata"] == {"name": "t-1-other"}
    assert pod["metadata"]["namespace"] == "t-1-other"
    assert pod["metadata"]["annotations"] == {"url": "http://cart.t-1.svc"}


def test_manifests_are_not_shared_between_calls(suite_file: Path) -> None:
    case = load_suite(suite_file).cases[0]
    case.manifests()[0]["metadata"]["name"] = "changed"
    assert case.manifests()[0]["metadata"]["name"] == "cart"


def test_offline_blocks(suite_file: Path) -> None:
    case, healthy = load_suite(suite_file).cases
    assert case.observed() == [{"kind": "Pod", "metadata": {"name": "cart-1", "namespace": "shop"}}]
    assert case.probe() == {"cart.shop.svc.cluster.local": "NXDOMAIN"}
    assert case.text == "✗ shop/cart\n"
    assert (healthy.observed(), healthy.probe(), healthy.text) == ([], None, None)


def test_shell_comment_is_not_a_heading(suite_file: Path) -> None:
    assert load_suite(suite_file).cases[0].sh == "# not a heading\nkubectl -n $NS get services\n"


def test_findings_keep_their_order(suite_file: Path) -> None:
    case, healthy = load_suite(suite_file).cases
    assert case.findings("t-1") == [
        ExpectedFinding("fail", "selector-value-mismatch", "cause", "Service/cart"),
        ExpectedFinding("warn", "dns-short-name", "-", "Namespace/t-1-other"),
    ]
    assert healthy.findings() == []


def test_live_block(suite_file: Path) -> None:
    case, healthy = load_suite(suite_file).cases
    assert case.live.wait == 40
    assert case.live.arguments("t-1") == ("--as", "system:serviceaccount:t-1:viewer", "-n", "t-1")
    assert case.live_findings("shop") == case.findings("shop")
    assert (healthy.live.skip, healthy.live.wait, healthy.live.arguments("t-1")) == (None, 120, ())


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        ("expect:", []),
        (
            "expect: warn a-b also Pod/x\nexpect: fail c-d cause Service/{ns}",
            ["warn a-b also Pod/x", "fail c-d cause Service/t"],
        ),
    ],
)
def test_live_expectation_replaces_the_findings(tmp_path: Path, live: str, expected: list[str]) -> None:
    text = f"# c\n## t\n```yaml\nkind: Pod\n```\n```findings\nfail e-f cause Service/x\n```\n```live\n{live}\n```\n"
    assert [str(finding) for finding in load(tmp_path, text).cases[0].live_findings("t")] == expected


def test_list_is_unfolded(tmp_path: Path) -> None:
    text = "# c\n## t\n```yaml\nkind: List\nitems: [{kind: Service}, {kind: Node}]\n```\n```findings\n```\n"
    assert load(tmp_path, text).cases[0].manifests("t") == [
        {"kind": "Service", "metadata": {"namespace": "t"}},
        {"kind": "Node"},
    ]


CASE = "# c\n\n## t\n```yaml\nkind: Pod\n```\n"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("prose only\n", 1, "no heading"),
        ("## t\n", 1, "before the heading of the suite"),
        ("# c\n# d\n", 2, "second heading"),
        ("# c\n```yaml\n```\n", 2, "before the first case"),
        ("# c\n## t\n```findings\n```\n", 2, "no `yaml` block"),
        (CASE, 3, "no `findings` block"),
        (CASE + "```findings\n", 7, "not closed"),
        (CASE + "```finding\n```\n", 7, "'finding'"),
        (CASE + "```findings\n```\n```findings\n```\n", 9, "second `findings`"),
        (CASE + "```findings\n```\n## T!\n", 9, "two cases"),
        (CASE + "```findings\nfail a-b cause\n```\n", 8, "not STATUS CODE ROLE KIND/NAME"),
        (CASE + "```findings\nbad a-b cause Pod/x\n```\n", 8, "unknown status 'bad'"),
        (CASE + "```findings\nfail a-b main Pod/x\n```\n", 8, "unknown role 'main'"),
        (CASE + "```findings\nfail a-b also x\n```\n", 8, "not KIND/NAME"),
        (CASE + "```findings\n```\n```live\nwait: long\n```\n", 10, "not a number of seconds"),
        (CASE + "```findings\n```\n```live\nskip:\n```\n", 10, "says nothing"),
        (CASE + "```findings\n```\n```live\nslip: x\n```\n", 10, "not `skip:`"),
        ("# c\n## t\n```yaml\nkind: Pod\na: [\n```\n", 6, "not YAML"),
        ("# c\n## t\n```yaml\nname: Pod\n```\n", 3, "no `kind`"),
    ],
)
def test_malformed_suite_names_file_and_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'suite.md'}:{line}: ")
    assert problem in str(caught.value)


def test_golden_is_replaced_in_place(suite_file: Path) -> None:
    rewrite_golden(load_suite(suite_file).cases[0], "first\n\nlast\n")
    assert suite_file.read_text(encoding="utf-8") == SUITE.replace("✗ shop/cart", "first\n\nlast")


def test_golden_is_added_at_the_end_of_its_case(suite_file: Path) -> None:
    case, healthy = load_suite(suite_file).cases
    rewrite_golden(case, "one\ntwo\nthree\n")
    rewrite_golden(healthy, "✓ shop/cart\n")
    assert [one.text for one in load_suite(suite_file).cases] == ["one\ntwo\nthree\n", "✓ shop/cart\n"]
    assert suite_file.read_text(encoding="utf-8").endswith("```findings\n```\n\n```text\n✓ shop/cart\n```\n")


def test_golden_may_contain_a_fence(suite_file: Path) -> None:
    text = "```\n✓ shop/cart\n```\n"
    rewrite_golden(load_suite(suite_file).cases[0], text)
    assert load_suite(suite_file).cases[0].text == text
    assert len(load_suite(suite_file).cases) == 2


def finding(status: str, code: str, role: str | None, kind: str, namespace: str, name: str) -> dict[str, Any]:
    subject = {"kind": kind, "namespace": namespace, "name": name}
    return {"status": status, "code": code, "role": role, "subject": subject}


def test_report_is_read_in_the_words_of_a_findings_block() -> None:
    report = {
        "services": [
            {
                "namespace": "t-1",
                "cause": "a",
                "findings": [
                    finding("fail", "a", "cause", "Service", "t-1", "cart"),
                    finding("pass", "b", None, "Service", "t-1", "cart"),
                ],
            },
            {"namespace": "t-2", "cause": "a", "findings": [finding("fail", "a", "cause", "Service", "t-2", "cart")]},
        ],
        "missing": [{"namespace": "t-1", "findings": [finding("fail", "c", "cause", "Service", "t-1", "carts")]}],
        "clients": [{"namespace": "t-1", "findings": [finding("warn", "d", None, "Deployment", "t-1", "front")]}],
        "cluster": {"findings": [finding("fail", "e", "cause", "Deployment", "kube-system", "coredns")]},
    }
    found = reported(report, ["t-1"], ["fail", "warn"])
    assert sorted(str(one) for one in found) == [
        "fail a cause Service/cart",
        "fail c cause Service/carts",
        "warn d - Deployment/front",
    ]


def test_cause_that_the_service_does_not_name_is_not_a_cause() -> None:
    service = {"namespace": "t-1", "cause": "b", "findings": [finding("fail", "a", "cause", "Service", "t-1", "cart")]}
    report = {"services": [service], "missing": [], "clients": [], "cluster": {"findings": []}}
    (found,) = reported(report, ["t-1"], ["fail"])
    assert found.role != "cause"
