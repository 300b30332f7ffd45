"""What has become of Services from one report to the next, and the Events that say so: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from svcdoctor.finding import Role, ServiceDiagnosis, Status

Name = tuple[str, str]
COMPONENT = "svcdoctor"
MOST_MESSAGE = 1024  # bytes of an Event's message that an API server takes
WELL = (Status.PASS, Status.NOTE, Status.SKIP)


class Verdict(NamedTuple):
    status: Status
    code: str  # of the cause; "" where there is none

    @property
    def is_healthy(self) -> bool:
        return self.status in WELL

    def __str__(self) -> str:
        return f"{self.status} {self.code}".rstrip()


class Change(NamedTuple):
    """Another status, or another cause. `before` is None for a new Service, `after` for one that is gone."""

    namespace: str
    name: str
    uid: str
    before: Verdict | None
    after: Verdict | None
    message: str

    def __str__(self) -> str:
        steps = [str(verdict or absent) for verdict, absent in ((self.before, "new"), (self.after, "gone"))]
        words = f"{self.namespace}/{self.name} {' -> '.join(steps)}"
        return f"{words}: {self.message}" if self.message else words

    def fields(self) -> dict[str, Any]:
        """The same for a program that reads logs."""
        return {
            "namespace": self.namespace,
            "service": self.name,
            "before": self.before.status if self.before else None,
            "status": self.after.status if self.after else None,
            "code": self.after.code or None if self.after else None,
            "message": self.message,
        }


def verdict(service: ServiceDiagnosis) -> Verdict:
    return Verdict(service.status, service.cause or "")


def change(before: ServiceDiagnosis | None, service: ServiceDiagnosis) -> Change:
    """What a Service has come to: what is seen of it, and why."""
    was = verdict(before) if before else None
    causes = (finding.message for finding in service.findings if finding.role is Role.CAUSE)
    message = ": ".join(dict.fromkeys([service.headline, *causes]))
    return Change(service.namespace, service.name, service.uid, was, verdict(service), message)


def changes(before: Mapping[Name, ServiceDiagnosis], after: Mapping[Name, ServiceDiagnosis]) -> Iterator[Change]:
    """In the order of the reports; a Service that is well when it is first seen is no news."""
    for name, service in after.items():
        old = before.get(name)
        if old is service or (old is None and service.status in WELL):
            continue
        if old is None or verdict(old) != verdict(service):
            yield change(old, service)
    for name, old in before.items():
        if name not in after:
            yield Change(*name, old.uid, verdict(old), None, "")


def reason(code: str) -> str:
    """A code as Events write their reasons: `selector-value-mismatch` is SelectorValueMismatch."""
    return "".join(word[:1].upper() + word[1:] for word in code.split("-"))


def event(news: Change, instance: str, time: str) -> dict[str, Any]:
    """The core/v1 Event about a Service, for a change that has an `after`. `time` in RFC 3339."""
    now = news.after
    assert now is not None, "nothing is written of a Service that is gone"
    fallback = "Healthy" if now.is_healthy else now.status.capitalize()
    message = news.message.encode()[:MOST_MESSAGE].decode(errors="ignore")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{news.name}.", "namespace": news.namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Service",
            "namespace": news.namespace,
            "name": news.name,
            "uid": news.uid,
        },
        "type": "Normal" if now.is_healthy else "Warning",
        "reason": reason(now.code) or fallback,
        "message": message,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
    }
