"""How the Services that somebody waits for stand, told from a Diagnosis that may not be finished."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from svcdoctor.diagnosis import Scope
from svcdoctor.finding import Diagnosis, ServiceDiagnosis, Status, worst

Name = tuple[str, str]
# What does not keep a Service from passing, by what `--fail-on` counts.
GOOD_ENOUGH = {
    "fail": frozenset({Status.PASS, Status.WARN}),
    "never": frozenset({Status.PASS, Status.WARN}),
    "warn": frozenset({Status.PASS}),
    "unknown": frozenset({Status.PASS}),
}


class Standing(NamedTuple):
    name: Name
    passes: bool
    words: str  # `fail: no ready endpoint`; "" while nothing is known yet


def standings(diagnosis: Diagnosis, checking: Collection[Name], scope: Scope, fail_on: str) -> list[Standing]:
    """Every Service of the scope, and those that were named and are not there; `checking` are not judged to the end."""
    found = []
    for service in diagnosis.services:
        name = (service.namespace, service.name)
        status = _status(service)
        known = name not in checking
        words = f"{status}: {service.headline}" if known else ""
        found.append(Standing(name, known and status in GOOD_ENOUGH[fail_on], words))
    there = {standing.name for standing in found}
    absent = {(entry.namespace, entry.name) for entry in diagnosis.missing}
    for asked in scope.names:
        name = (scope.namespace, asked)
        if name not in there:
            found.append(Standing(name, False, "does not exist yet" if name in absent else ""))
    return found


def all_pass(found: list[Standing]) -> bool:
    """Whether there is something, and all of it passes."""
    return bool(found) and all(standing.passes for standing in found)


def _status(service: ServiceDiagnosis) -> Status:
    """What a Service is but for its faults that are known."""
    if not any(finding.known for finding in service.findings):
        return service.status
    return worst([Status.PASS, *(finding.status for finding in service.findings if not finding.known)])
