"""The first fix of each cause: what a person would run first, with the commands that go on from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from msgspec.structs import replace

from svcdoctor.finding import Diagnosis, Finding, Remedy, Role
from svcdoctor.remedies.trial import with_its_steps


class Fix(NamedTuple):
    cause: Finding
    remedy: Remedy  # its command has those of the steps in it


def first_fixes(diagnosis: Diagnosis) -> list[Fix]:
    """Each once, in the order of the report: several Services may have one cause."""
    found: dict[str, Fix] = {}
    for finding in diagnosis.findings():
        if is_fixed_first(finding):
            fix = Fix(finding, with_its_steps(finding.remedies))
            found.setdefault(fix.remedy.command, fix)
    return list(found.values())


def is_fixed_first(finding: Finding) -> bool:
    first = finding.remedies[0] if finding.role is Role.CAUSE and finding.remedies else None
    return first is not None and first.changes_cluster and bool(first.command)


def with_findings(diagnosis: Diagnosis, change: Callable[[Finding], Finding]) -> Diagnosis:
    """The report with each finding replaced by what `change` makes of it."""

    def each(entries: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(replace(entry, findings=tuple(map(change, entry.findings))) for entry in entries)

    return replace(
        diagnosis,
        services=each(diagnosis.services),
        missing=each(diagnosis.missing),
        clients=each(diagnosis.clients),
        cluster=replace(diagnosis.cluster, findings=tuple(map(change, diagnosis.cluster.findings))),
    )
