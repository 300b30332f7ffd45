"""One line a Service, `service/NAME`, as kubectl prints with `-o name`; only those that are not healthy."""

from __future__ import annotations

from svcdoctor.finding import Diagnosis, Status


def render(diagnosis: Diagnosis) -> str:
    troubled = (service for service in diagnosis.services if service.status is not Status.PASS)
    return "".join(f"service/{service.name}\n" for service in troubled)
