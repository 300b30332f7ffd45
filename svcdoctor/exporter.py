"""The latest Diagnosis of the live engine as metrics for Prometheus, and whether it may be believed.

Nothing is counted up or kept by label: what is scraped is made of the latest Update, so that a Service that is gone has
no series. Of a Service's statuses only the one it has is a series: 20,000 Services are as many series, not five times
that, and Prometheus marks the one before as stale at the next scrape.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from svcdoctor import __version__
from svcdoctor.changes import WELL, Change, Name, changes
from svcdoctor.cluster.reflector import ABSENT, BROKEN, DENIED, LISTING, WATCHING, StreamState
from svcdoctor.finding import Diagnosis, Finding, ServiceDiagnosis, Status
from svcdoctor.live import Update
from svcdoctor.objects import RESOURCES
from svcdoctor.text import listing, parse_time

SILENCE = 120.0
"""Seconds without an Update after which the engine counts as stuck: it posts at least every 30 s."""


class Seen(NamedTuple):
    """One moment of the engine. `services` are those whose walk is finished, as they were last seen finished."""

    diagnosis: Diagnosis
    services: dict[Name, ServiceDiagnosis]
    streams: tuple[StreamState, ...]
    judged: int


class Exporter:
    """Takes Updates from the engine's thread, and is asked from those of the HTTP server."""

    def __init__(self, changed: Callable[[Sequence[Change]], None], looked: Callable[[Diagnosis], None]) -> None:
        """`looked` is told once, of the first whole report; `changed` of what becomes of Services after it."""
        self._changed = changed
        self._looked = looked
        self._streams: tuple[StreamState, ...] = ()
        self._seen: Seen | None = None  # replaced as a whole: who reads it sees one moment
        self._heard = time.monotonic()
        self._stopping = threading.Event()

    def take(self, update: Update) -> None:
        self._heard = time.monotonic()
        self._streams = update.streams
        before = self._seen
        if before is None and not update.is_whole:
            return
        services = {(entry.namespace, entry.name): entry for entry in update.diagnosis.services}
        for name in update.checking:
            # What is said so far may change yet: until it is finished, the last that was.
            known = before.services.get(name) if before else None
            if known:
                services[name] = known
            else:
                services.pop(name, None)
        self._seen = Seen(update.diagnosis, services, update.streams, update.judged)
        if before is None:
            self._looked(update.diagnosis)
        elif news := list(changes(before.services, services)):
            self._changed(news)

    def stop(self) -> None:
        self._stopping.set()

    def why_not_live(self) -> str:
        """Why a restart may help; "" while the engine is at work."""
        silent = time.monotonic() - self._heard
        return f"the engine has said nothing for {silent:.0f}s" if silent > SILENCE else ""

    def why_not_ready(self) -> str:
        """Why the metrics may not be believed; "" when they may."""
        if self._stopping.is_set():
            return "shutting down"
        if self._seen is None:
            reading = [state.resource for state in self._streams if state.state == LISTING]
            first = f"first look is under way; reading {listing(reading)}" if reading else "first look is under way"
            return "; ".join([first, *_complaints(self._streams)])
        return self.why_not_live() or "; ".join(_complaints(self._streams))

    def collect(self) -> Iterator[Metric]:
        build = InfoMetricFamily("svcdoctor_build", "The version of svcdoctor.")
        build.add_metric([], {"version": __version__})
        yield build
        yield from _stream_metrics(self._streams, datetime.now(UTC))
        if seen := self._seen:
            yield from _metrics(seen)

    def application(self) -> Callable[..., Iterable[bytes]]:
        """The WSGI application that answers a scrape: text or OpenMetrics, gzip where it is asked for."""
        registry = CollectorRegistry(support_collectors_without_names=True)
        registry.register(self)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        application: Callable[..., Iterable[bytes]] = make_wsgi_app(registry)
        return application

    def describe(self) -> Iterable[Metric]:
        """Nothing: what is collected depends on what is seen."""
        return ()


def _metrics(seen: Seen) -> Iterator[Metric]:
    status = GaugeMetricFamily(
        "svcdoctor_service_status",
        "1 for the status that a Service has: fail, warn, unknown or pass. Its other statuses have no series.",
        labels=("namespace", "service", "status"),
    )
    counts = Counter({word: 0 for word in (Status.FAIL, Status.WARN, Status.UNKNOWN, Status.PASS)})
    for (namespace, name), entry in seen.services.items():
        word = Status.PASS if entry.status in WELL else entry.status
        counts[word] += 1
        status.add_metric((namespace, name, word), 1)
    yield status

    services = GaugeMetricFamily("svcdoctor_services", "Services by status.", labels=("status",))
    for word, count in counts.items():
        services.add_metric((word,), count)
    yield services

    found = GaugeMetricFamily(
        "svcdoctor_finding",
        "1 for each code that is found. Without a service it is about clients of a namespace; without a namespace, "
        "about parts of the cluster that all share.",
        labels=("namespace", "service", "code", "status", "role"),
    )
    for labels in dict.fromkeys(_findings(seen)):
        found.add_metric(labels, 1)
    yield found

    denied = GaugeMetricFamily(
        "svcdoctor_denied",
        "1 for each read that verdicts need and that was refused or failed.",
        labels=("namespace", "resource", "reason"),
    )
    for gap in dict.fromkeys((gap.namespace, gap.resource, gap.reason) for gap in seen.diagnosis.denied):
        denied.add_metric(gap, 1)
    yield denied

    observed = parse_time(seen.diagnosis.observed_at)
    if observed:
        yield GaugeMetricFamily(
            "svcdoctor_observed_timestamp_seconds",
            "The time by which ages were judged last, in seconds since 1970.",
            value=observed.timestamp(),
        )
    yield CounterMetricFamily("svcdoctor_judged", "How often a Service was judged.", value=seen.judged)


def _findings(seen: Seen) -> Iterator[tuple[str, str, str, str, str]]:
    yield from _labels("", "", seen.diagnosis.cluster.findings)
    for missing in seen.diagnosis.missing:
        yield from _labels(missing.namespace, missing.name, missing.findings)
    for client in seen.diagnosis.clients:
        yield from _labels(client.namespace, "", client.findings)
    for (namespace, name), entry in seen.services.items():
        yield from _labels(namespace, name, entry.findings)


def _labels(namespace: str, service: str, findings: Iterable[Finding]) -> Iterator[tuple[str, str, str, str, str]]:
    for finding in findings:
        if finding.code:
            yield namespace, service, finding.code, finding.status, finding.role or ""


# --- streams -----------------------------------------------------------------------------------------------------


def _stream_metrics(streams: Sequence[StreamState], now: datetime) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "svcdoctor_stream_up",
        "Whether a kind is watched now. Without a namespace it is that of the whole cluster.",
        labels=("resource", "namespace"),
    )
    needed = list(_needed(streams))
    for state in needed:
        up.add_metric((state.resource, state.namespace), state.state == WATCHING)
    yield up
    heard = [state.last_heard for state in needed if state.last_heard]
    if heard:
        yield GaugeMetricFamily(
            "svcdoctor_data_age_seconds",
            "Since the stream that is the furthest behind was heard of. A calm server speaks once a minute, so that "
            "up to two minutes are no fault.",
            value=max(0.0, (now - min(heard)).total_seconds()),
        )


def _needed(streams: Sequence[StreamState]) -> Iterator[StreamState]:
    """Without kinds that the cluster does not have, and refusals that nothing depends on."""
    narrow = {state.resource for state in streams if state.namespace}
    for state in streams:
        replaced = not state.namespace and state.resource in narrow  # watched namespace by namespace instead
        # `svcdoctor rbac` gives nobody the right to Secrets, and only says less where they are not seen.
        spared = RESOURCES[state.resource].metadata_only
        if state.state != ABSENT and not (state.state == DENIED and (replaced or spared)):
            yield state


def _complaints(streams: Sequence[StreamState]) -> list[str]:
    """A broken stream is one; a refused one is said in the report, unless nothing is left to report on.

    Streams that failed in the same place for the same reason are one complaint, with the words of the first.
    """
    alike: dict[tuple[str, str, str], list[StreamState]] = {}
    for state in _needed(streams):
        if state.state == BROKEN or (state.state == DENIED and state.resource == "services"):
            alike.setdefault((state.state, state.namespace, state.reason), []).append(state)
    return [_complaint(states) for states in alike.values()]


def _complaint(states: list[StreamState]) -> str:
    first, *others = states
    where = f" in {first.namespace}" if first.namespace else ""
    since: Any = min(state.since for state in states).strftime("%Y-%m-%dT%H:%M:%SZ")
    streams = f"{'streams' if others else 'stream'} of {listing([state.resource for state in states])}"
    return f"the {streams}{where} {'are' if others else 'is'} {first.state} since {since}: {first.message}"
