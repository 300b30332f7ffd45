"""How cases share a cluster: the parts that need none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batch import CASES_A_BATCH, Batch, Outcome, batches, namespace_names, outsiders, pods_of, shorten_grace
from cluster import Cluster, CommandError
from suites import ExpectedFinding, SuiteCase, load_suite


def suite(path: Path, *manifests: tuple[str, str]) -> tuple[SuiteCase, ...]:
    cases = [f"## {title}\n```yaml\n{manifest}\n```\n```findings\n```\n" for title, manifest in manifests]
    path.write_text("\n".join(["# check", *cases]), encoding="utf-8")
    return load_suite(path).cases


def deployment(replicas: int) -> str:
    return f"{{kind: Deployment, metadata: {{name: cart}}, spec: {{replicas: {replicas}}}}}"


def test_batch_holds_no_more_pods_than_fit(tmp_path: Path) -> None:
    cases = suite(tmp_path / "check.md", *((f"{pods} Pods", deployment(pods)) for pods in (40, 20, 1, 70, 2)))
    titles = [[case.title for case in batch] for batch in batches(cases)]
    assert titles == [["40 Pods", "20 Pods"], ["1 Pods"], ["70 Pods"], ["2 Pods"]]


def test_batch_holds_no_more_cases_than_fit(tmp_path: Path) -> None:
    cases = suite(tmp_path / "check.md", *((f"case {number}", deployment(0)) for number in range(CASES_A_BATCH + 1)))
    assert [len(batch) for batch in batches(cases)] == [CASES_A_BATCH, 1]


@pytest.mark.parametrize(
    ("manifest", "pods"),
    [
        ({"kind": "Pod"}, 1),
        ({"kind": "Deployment", "spec": {}}, 1),
        ({"kind": "StatefulSet", "spec": {"replicas": 3}}, 3),
        ({"kind": "DaemonSet"}, 2),
        ({"kind": "Job", "spec": {"parallelism": 2}}, 2),
        ({"kind": "Service", "spec": {}}, 0),
    ],
)
def test_pods_of_a_manifest(manifest: dict[str, Any], pods: int) -> None:
    assert pods_of(manifest) == pods


def test_namespaces_of_cases_differ_also_from_second_ones(tmp_path: Path) -> None:
    first = suite(tmp_path / "first.md", ("Ready", deployment(1)), ("Ready other", deployment(1)))
    second = suite(tmp_path / "second.md", ("Ready!", deployment(1)), (f"{'long ' * 20}", deployment(1)))
    names = namespace_names([*first, *second])
    assert names["first/ready"] == "t-ready"
    assert names["first/ready-other"] == "t-ready-other-2"
    assert names["second/ready"] == "t-ready-2"
    assert max(len(f"{name}-other") for name in names.values()) < 63


def test_grace_is_shortened_and_never_lengthened() -> None:
    template: dict[str, Any] = {"spec": {"containers": []}}
    slow = {"kind": "Deployment", "spec": {"template": template}}
    quick: dict[str, Any] = {"kind": "Pod", "spec": {"containers": [], "terminationGracePeriodSeconds": 0}}
    service = {"kind": "Service", "spec": {"ports": []}}
    shorten_grace([slow, quick, service])
    assert template["spec"] == {"containers": [], "terminationGracePeriodSeconds": 1}
    assert quick["spec"]["terminationGracePeriodSeconds"] == 0
    assert service["spec"] == {"ports": []}


@pytest.mark.parametrize(
    ("kind", "name", "namespace", "outside"),
    [
        ("Service", "cart", "t-ready", False),
        ("Service", "cart", "t-ready-other", False),
        ("Namespace", "t-ready-other", None, False),
        ("IngressClass", "internal", None, False),
        ("ConfigMap", "coredns", "kube-system", True),
        ("Namespace", "default", None, True),
        ("Node", "dev-worker", None, True),
    ],
)
def test_case_may_not_change_what_is_not_its_own(kind: str, name: str, namespace: str | None, outside: bool) -> None:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    assert outsiders([{"kind": kind, "metadata": metadata}], "t-ready") == ([f"{kind}/{name}"] if outside else [])


def test_failure_shows_what_was_expected_and_what_was_found(tmp_path: Path) -> None:
    (case,) = suite(tmp_path / "check.md", ("Ready", deployment(1)))
    expected = ExpectedFinding("fail", "a-b", "cause", "Service/cart")
    found = ExpectedFinding("warn", "c-d", "-", "Pod/cart-1")
    outcome = Outcome(case, "t-ready", {expected}, {found}, waited=120, text="svcdoctor says: …")
    assert outcome.explain() == (
        f"{case.where}: Ready, in namespace t-ready, after 120 s\n\n"
        "expected, but not found:\n  fail a-b cause Service/cart\n\n"
        "found, but not expected:\n  warn c-d - Pod/cart-1\n\n"
        "svcdoctor says: …"
    )


class Unreachable(Cluster):
    def kubectl(self, *args: str, input: str | None = None, timeout: float = 180) -> str:
        raise CommandError("connection refused")


def test_cluster_that_fails_is_told_by_each_case(tmp_path: Path) -> None:
    cases = suite(tmp_path / "check.md", ("Ready", deployment(1)), ("Not ready", deployment(1)))
    cluster = Unreachable("gone", tmp_path / "kubeconfig", {})
    outcomes = Batch(cluster, list(cases), namespace_names(cases)).run()
    assert [(one.met, one.error) for one in outcomes.values()] == [(False, "the batch failed: connection refused")] * 2
