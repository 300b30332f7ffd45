"""Metrics, for node_exporter's textfile collector or a Pushgateway; both Prometheus text 0.0.4 and OpenMetrics.

Every sample is a gauge, and each set of labels occurs once: findings that share theirs are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from svcdoctor.finding import Diagnosis, Finding, Status
from svcdoctor.text import parse_time

VERDICTS = (Status.PASS, Status.FAIL, Status.WARN, Status.UNKNOWN)
Labels = tuple[tuple[str, str], ...]


def render(diagnosis: Diagnosis) -> str:
    # OpenMetrics wants the last line; to Prometheus text it is a comment.
    return "\n".join([*_lines(diagnosis), "# EOF"]) + "\n"


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    observed = parse_time(diagnosis.observed_at)
    if observed:
        about = "When the cluster was read, in seconds since 1970."
        yield from _gauge("svcdoctor_observed_timestamp_seconds", about, [((), int(observed.timestamp()))])
    summary = diagnosis.summary
    counts = dict(zip(VERDICTS, (summary.passed, summary.fail, summary.warn, summary.unknown), strict=True))
    totals = [((("status", str(status)),), count) for status, count in counts.items()]
    yield from _gauge("svcdoctor_services", "Services of each verdict.", totals)
    verdicts = [
        (_labels(namespace=service.namespace, service=service.name, status=status), int(service.status is status))
        for service in diagnosis.services
        for status in VERDICTS
    ]
    yield from _gauge("svcdoctor_service_status", "1 for the verdict of the Service, 0 for the others.", verdicts)
    about = "Findings of this code; service is empty for those of clients and of the cluster."
    yield from _gauge("svcdoctor_finding", about, Counter(_findings(diagnosis)).items())
    denied = Counter(
        _labels(verb=gap.verb, resource=gap.resource, group=gap.group, namespace=gap.namespace, reason=gap.reason)
        for gap in diagnosis.denied
    )
    yield from _gauge("svcdoctor_denied_reads", "Reads that were refused or failed.", denied.items())
    unreadable = [((), len(diagnosis.unreadable))]
    yield from _gauge("svcdoctor_unreadable_objects", "Objects left out, since they could not be decoded.", unreadable)


def _findings(diagnosis: Diagnosis) -> Iterator[Labels]:
    yield from _coded("", "", diagnosis.cluster.findings)
    for client in diagnosis.clients:
        yield from _coded(client.namespace, "", client.findings)
    for name in diagnosis.missing:
        yield from _coded(name.namespace, name.name, name.findings)
    for service in diagnosis.services:
        yield from _coded(service.namespace, service.name, service.findings)


def _coded(namespace: str, service: str, findings: Iterable[Finding]) -> Iterator[Labels]:
    for finding in findings:
        if finding.code:
            told = {"code": finding.code, "status": finding.status, "role": finding.role or ""}
            yield _labels(namespace=namespace, service=service, **told)


def _labels(**labels: str) -> Labels:
    return tuple((name, str(value)) for name, value in labels.items())


def _gauge(name: str, about: str, samples: Iterable[tuple[Labels, int]]) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} gauge"
    for labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
        yield f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
