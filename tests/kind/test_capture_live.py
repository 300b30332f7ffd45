"""A capture of a real cluster says the same as the cluster: byte for byte, with Services that are well and broken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import Cluster
from reported import shop, until

BROKEN = """
kind: Service
apiVersion: v1
metadata: {name: typing-error}
spec: {selector: {app: wbe}, ports: [{port: 80, targetPort: 8080}]}
---
kind: Service
apiVersion: v1
metadata: {name: wrong-port}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""
FORMATS = ("text", "wide", "json", "markdown", "junit")


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    with shop(cluster, "f-capture") as made:
        cluster.kubectl("-n", made, "apply", "-f", "-", input=BROKEN)
        # What is young is told with its age, in which two runs differ.
        until(cluster, lambda _, report: report["summary"]["fail"] == 2, "-n", made)
        yield made


@pytest.mark.parametrize("redact", [(), ("--redact",)], ids=["as-it-is", "redacted"])
def test_a_capture_gives_the_report_of_the_cluster(
    cluster: Cluster, namespace: str, tmp_path: Path, redact: tuple[str, ...]
) -> None:
    file = str(tmp_path / "world.json.zst")
    live = cluster.svcdoctor("diagnose", "-n", namespace, "-o", "text")
    captured = cluster.svcdoctor("capture", "-n", namespace, "-o", file, *redact)
    assert captured.returncode == 0, captured.stderr
    replayed = cluster.svcdoctor("diagnose", "--replay", file, "-o", "text")
    assert replayed.returncode == live.returncode == 1, replayed.stderr
    if redact:
        # `capture` is a word of svcdoctor itself, which stays; the Service's name is the cluster's own.
        assert "typing-error" not in replayed.stdout
        assert replayed.stdout.count("slice-ports-empty:") == live.stdout.count("slice-ports-empty:") > 0
    else:
        assert replayed.stdout == live.stdout


def test_a_capture_gives_the_same_bytes_whenever_it_is_replayed(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    file = str(tmp_path / "world.json.zst")
    assert cluster.svcdoctor("capture", "-n", namespace, "-o", file).returncode == 0
    for name in FORMATS:
        first, second = (cluster.svcdoctor("diagnose", "--replay", file, "-o", name).stdout for _ in range(2))
        assert first and first == second
