"""The report as one JSON document: the contract svcdoctor/v1 (see schema.json, which `svcdoctor schema` prints)."""

from __future__ import annotations

from typing import Any

import msgspec

from svcdoctor.finding import Diagnosis, Finding, ServiceDiagnosis


def document(diagnosis: Diagnosis) -> dict[str, Any]:
    """The report as plain maps and lists, in the contract's order of keys."""
    return {
        "apiVersion": "svcdoctor/v1",
        "kind": "Diagnosis",
        "version": diagnosis.version,
        "context": diagnosis.context,
        "observedAt": diagnosis.observed_at,
        "summary": msgspec.to_builtins(diagnosis.summary),
        "services": [_service(service) for service in diagnosis.services],
        "missing": [
            {
                "namespace": entry.namespace,
                "name": entry.name,
                "findings": [finding_document(finding) for finding in entry.findings],
            }
            for entry in diagnosis.missing
        ],
        "clients": [
            {
                "namespace": entry.namespace,
                "kind": entry.kind,
                "name": entry.name,
                "findings": [finding_document(finding) for finding in entry.findings],
            }
            for entry in diagnosis.clients
        ],
        "cluster": {"findings": [finding_document(finding) for finding in diagnosis.cluster.findings]},
        "denied": [msgspec.to_builtins(gap) for gap in diagnosis.denied],
        "unreadable": [msgspec.to_builtins(item) for item in diagnosis.unreadable],
    }


def _service(service: ServiceDiagnosis) -> dict[str, Any]:
    said = {**msgspec.to_builtins(service), "findings": [finding_document(finding) for finding in service.findings]}
    if service.before is None:
        del said["before"]
    return said


def finding_document(finding: Finding) -> dict[str, Any]:
    said = {
        "code": finding.code,
        "status": finding.status,
        "step": finding.step,
        "role": finding.role,
        "certainty": finding.certainty,
        "subject": msgspec.to_builtins(finding.subject),
        "message": finding.message,
        "evidence": msgspec.to_builtins(finding.evidence),
        "remedies": msgspec.to_builtins(finding.remedies),
        "because": finding.because,
        "explain": finding.explain,
    }
    if finding.location is not None:
        said["location"] = msgspec.to_builtins(finding.location)
    if finding.known:
        said["known"] = True
    return said


def render(diagnosis: Diagnosis) -> str:
    encoded = msgspec.json.format(msgspec.json.encode(document(diagnosis)), indent=2)
    return encoded.decode() + "\n"
