"""A capture of a real cluster says the same as the cluster: byte for byte, with Services that are well and broken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import Cluster
from test_cluster_faults import shop

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
        yield made


@pytest.mark.parametrize("redact", [(), ("--redact",)], ids=["as-it-is", "redacted"])
def test_a_capture_gives_the_report_of_the_cluster(
    cluster: Cluster, namespace: str, tmp_path: Path, redact: tuple[str, ...]
) -> None:
    file = str(tmp_path / "world.json.zst")
    # What is young is said to be so; a report and a capture a second apart would differ in that.
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    for _ in range(5):
        live = [cluster.svcdoctor("diagnose", "-n", namespace, "-o", "text").stdout for _ in range(2)]
        captured = cluster.svcdoctor("capture", "-n", namespace, "-o", file, *redact)
        assert captured.returncode == 0, captured.stderr
        replayed = cluster.svcdoctor("diagnose", "--replay", file, "-o", "text")
        if live[0] == live[1] and (redact or replayed.stdout == live[0]):
            break
    assert replayed.returncode == 1, replayed.stderr
    if redact:
        assert namespace not in replayed.stdout and "typing" not in replayed.stdout
        assert replayed.stdout.count("selector-value-mismatch:") == live[0].count("selector-value-mismatch:")
        assert replayed.stdout.count("slice-ports-empty:") == live[0].count("slice-ports-empty:")
    else:
        assert replayed.stdout == live[0]


def test_a_capture_gives_the_same_bytes_whenever_it_is_replayed(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    file = str(tmp_path / "world.json.zst")
    assert cluster.svcdoctor("capture", "-n", namespace, "-o", file).returncode == 0
    for name in FORMATS:
        first, second = (cluster.svcdoctor("diagnose", "--replay", file, "-o", name).stdout for _ in range(2))
        assert first and first == second
