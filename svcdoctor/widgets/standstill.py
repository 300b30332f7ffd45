"""What is left of a picture when nobody looks any more: the Services by name, and nothing known of them."""

from __future__ import annotations

from msgspec.structs import replace

from svcdoctor.finding import Diagnosis, ServiceDiagnosis, Status, Summary
from svcdoctor.widgets.source import Picture, Update


def standstill(last: Update) -> Picture:
    """The same Services; every verdict of them is unknown, and so is all that stood above them."""
    services = tuple(map(_unknown, last.diagnosis.services))
    diagnosis = Diagnosis(
        last.diagnosis.version,
        last.diagnosis.context,
        last.diagnosis.observed_at,
        Summary(services=len(services), unknown=len(services)),
        services,
    )
    return Picture(diagnosis, last.streams, last.log)


def _unknown(service: ServiceDiagnosis) -> ServiceDiagnosis:
    return replace(
        service,
        status=Status.UNKNOWN,
        cause=None,
        headline="nothing is watched any more: r starts again",
        steps=tuple(replace(step, status=Status.UNKNOWN, message="") for step in service.steps),
        endpoints=tuple(replace(row, status=Status.UNKNOWN, why="") for row in service.endpoints),
        findings=(),
    )
