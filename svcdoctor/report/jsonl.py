"""A finding a line, each a JSON object that stands alone: for grep, jq and log collectors."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from svcdoctor.finding import Diagnosis, Finding
from svcdoctor.report.json import finding_document


def render(diagnosis: Diagnosis) -> str:
    """Findings of the cluster first, then of names, clients and Services; passes too, as in the JSON document."""
    return b"".join(_lines(diagnosis)).decode()


def _lines(diagnosis: Diagnosis) -> Iterator[bytes]:
    for namespace, service, finding in _placed(diagnosis):
        record = {
            "observedAt": diagnosis.observed_at,
            "context": diagnosis.context,
            "namespace": namespace,
            "service": service,
            **finding_document(finding),
        }
        # A line break inside of a word is escaped by JSON itself.
        yield msgspec.json.encode(record) + b"\n"


def _placed(diagnosis: Diagnosis) -> Iterator[tuple[str, str | None, Finding]]:
    """Findings with the namespace and the Service they are of; no Service for those of clients and of the cluster."""
    for finding in diagnosis.cluster.findings:
        yield "", None, finding
    for name in diagnosis.missing:
        yield from ((name.namespace, name.name, finding) for finding in name.findings)
    for client in diagnosis.clients:
        yield from ((client.namespace, None, finding) for finding in client.findings)
    for service in diagnosis.services:
        yield from ((service.namespace, service.name, finding) for finding in service.findings)
