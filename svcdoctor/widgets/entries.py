"""What the outline is made of: entries and the rows that each shows.

An entry is one Service with the rows under it, or a single row: a finding about the cluster, something that may not be
read, a missing name, a client, a namespace. The rows of a Service are made when one of them is looked at.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from svcdoctor.finding import (
    WALK,
    ClientDiagnosis,
    Diagnosis,
    EndpointRow,
    Finding,
    Gap,
    MissingName,
    PortRow,
    Role,
    ServiceDiagnosis,
    Status,
    Step,
    StepResult,
    worst,
)
from svcdoctor.text import listing, printable
from svcdoctor.widgets.source import ServiceName, Stream

TROUBLE = (Status.FAIL, Status.WARN, Status.UNKNOWN)
RANK = {Status.FAIL: 0, Status.WARN: 1, Status.UNKNOWN: 2, None: 3, Status.PASS: 4, Status.NOTE: 4, Status.SKIP: 4}


class Key(NamedTuple):
    """What a row is about. The selection is one of these, never a row's number."""

    kind: str  # notice, cluster, gap, missing, client, namespace, service, port, endpoint, pod
    namespace: str = ""
    name: str = ""
    port: str = ""
    address: str = ""

    @property
    def service(self) -> ServiceName | None:
        return (self.namespace, self.name) if self.kind in ("service", "port", "endpoint", "pod") else None


class Row(NamedTuple):
    key: Key
    depth: int
    status: Status | None  # None: the first walk is under way
    label: str
    tally: str = ""  # `0/3`: ready endpoints of all
    words: str = ""  # a code, or why
    more: str = ""  # where there is room
    open: bool | None = None  # None: nothing under it
    gone: bool = False


class Group(NamedTuple):
    """The endpoints behind one port; the port is None for those that belong to none."""

    port: PortRow | None
    endpoints: list[tuple[str, EndpointRow]]  # with what tells each from the others


class Notice(NamedTuple):
    """Something about the data itself: no answer, nothing found."""

    status: Status
    label: str
    words: str = ""
    text: str = ""


UNWATCHED = "may be listed, not watched"


class Gaps(NamedTuple):
    """What may not or could not be read in one place, for one reason: that of the Gaps, broken, or UNWATCHED."""

    reason: str
    namespace: str
    resources: list[str]
    message: str
    since: str = ""


Subject = Notice | Finding | Gaps | MissingName | ClientDiagnosis | ServiceDiagnosis | None


class Entry:
    """One place in the order: a single row, unless it is a Service."""

    __slots__ = ("about", "gone", "height", "key", "open", "place", "status", "words")

    def __init__(self, key: Key, status: Status | None, about: Subject, words: str = "") -> None:
        self.key = key
        self.status = status
        self.about = about
        self.words = words
        self.height = 1
        self.open = True
        self.gone = False
        self.place = -1

    @property
    def has_trouble(self) -> bool:
        return self.status in TROUBLE

    def haystack(self) -> str:
        return f"{self.label} {self.words}".lower()

    def codes(self) -> list[str]:
        findings: Iterable[Finding] = ()
        if isinstance(self.about, Finding):
            findings = (self.about,)
        elif isinstance(self.about, ServiceDiagnosis | MissingName | ClientDiagnosis):
            findings = self.about.findings
        return [finding.code for finding in findings if finding.code]

    @property
    def label(self) -> str:
        key = self.key
        if isinstance(self.about, Notice):
            return self.about.label
        if key.kind == "cluster":
            return f"cluster: {key.name}"
        if key.kind == "gap":
            return self.words
        if key.kind == "client":
            return f"client {key.namespace}/{key.name}"  # a Service is often called the same
        return f"{key.namespace}/{key.name}" if key.name else key.namespace

    def rows(self) -> list[Row]:
        words = "" if self.key.kind == "gap" else self.words
        more = self.about.message if isinstance(self.about, Finding) else ""
        if isinstance(self.about, MissingName):
            more = "no such Service"
        elif isinstance(self.about, ClientDiagnosis):
            more = self.about.kind
        elif isinstance(self.about, Gaps):
            words = (
                f"svcdoctor rbac {scope_flag(self.about.namespace)}"
                if self.about.reason in ("forbidden", UNWATCHED)
                else ""
            )
        elif isinstance(self.about, Notice):
            more = self.about.text
        return [Row(self.key, 0, self.status, self.label, "", words, more, None, self.gone)]

    def holds(self, key: Key) -> bool:
        return key == self.key


class NamespaceEntry(Entry):
    """The header over the Services of one namespace."""

    __slots__ = ("counts",)

    def __init__(self, namespace: str) -> None:
        super().__init__(Key("namespace", namespace), None, None)
        self.counts: Counter[Status | None] = Counter()

    def rows(self) -> list[Row]:
        total = self.counts.total()
        parts = [f"{self.counts[status]} {status}" for status in TROUBLE if self.counts[status]]
        if self.counts[None]:
            parts.append(f"{self.counts[None]} checking")
        words = ", ".join(parts) or ("all pass" if total else "")
        return [Row(self.key, 0, self.status, self.key.namespace, f"{total} svc", words, "", self.open, self.gone)]

    def judge(self) -> None:
        statuses = [status for status, count in self.counts.items() if count and status]
        self.status = worst(statuses) if statuses else None

    @property
    def has_trouble(self) -> bool:
        return False  # its Services are found on their own


class ServiceEntry(Entry):
    """A Service, and what is open under it."""

    __slots__ = ("_haystack", "_rows", "checking", "flat", "ghost", "order", "rank", "sequence", "service", "toggled")

    def __init__(self, service: ServiceDiagnosis, checking: bool, sequence: int) -> None:
        super().__init__(Key("service", service.namespace, service.name), None, service)
        self.open = False
        self.toggled: set[Key] = set()
        self.ghost: tuple[int, Row] | None = None
        self.rank: tuple[object, ...] = ()  # among those of its namespace
        self.order: tuple[object, ...] = ()  # among all
        self.flat = False  # no namespace row stands above: the label names it
        self._rows: list[Row] | None = None
        self.sequence = sequence
        self.set(service, checking)

    def set(self, service: ServiceDiagnosis, checking: bool) -> None:
        self.service = self.about = service
        self.checking = checking
        # A walk that is not finished has no verdict but the faults it met.
        self.status = None if checking and service.status not in TROUBLE else service.status
        # Made as they come: for all of thousands the first letter of a filter would have to wait.
        parts = [f"{service.namespace}/{service.name}", service.type, *service.cluster_ips]
        parts += [f"{row.address} {row.pod}" for row in service.endpoints]
        parts += [finding.code for finding in service.findings if finding.code]
        self._haystack = " ".join(parts).lower()
        self.touch()

    def touch(self) -> None:
        """Something of what is listed or open has changed."""
        self._rows = None
        if not self.open:
            self.height = 1
        elif not self.toggled and not self.ghost:
            self.height = 1 + len(self.service.ports) + len(self.service.endpoints)
        else:
            self.height = len(self.rows())

    def haystack(self) -> str:
        return self._haystack

    @property
    def label(self) -> str:
        return self.key.name if not self.flat else f"{self.key.namespace}/{self.key.name}"

    def is_open(self, key: Key) -> bool:
        """Ports stand open under an open Service, endpoints closed, until a person says otherwise."""
        if key == self.key:
            return self.open
        return (key.kind == "port") != (key in self.toggled)

    def toggle(self, key: Key) -> None:
        if key == self.key:
            self.open = not self.open
        else:
            self.toggled ^= {key}
        self.touch()

    def rows(self) -> list[Row]:
        if self._rows is None:
            rows = list(self._built())
            if self.ghost and self.open:
                place, row = self.ghost
                rows.insert(min(place, len(rows)), row)
            self._rows = rows
        return self._rows

    def holds(self, key: Key) -> bool:
        return any(row.key == key for row in self.rows())

    def _built(self) -> Iterator[Row]:
        service, key, gone = self.service, self.key, self.gone
        under = bool(service.ports or service.endpoints)
        words = service.cause or ""
        more = service.headline
        if not words and service.status is Status.UNKNOWN:
            words = next((item.code for item in service.findings if item.status is Status.UNKNOWN and item.code), "")
        elif not words and service.status in (Status.FAIL, Status.WARN):
            words = next((item.code for item in service.findings if item.is_fault and item.code), "")
        if self.checking:
            done = len(WALK) - len(waiting(service))
            words = f"{words} .." if self.status else f"checking {min(done + 1, len(WALK))} of {len(WALK)}"
        if gone:
            words = "gone"
        depth = 0 if self.flat else 1
        count = ready_count(service)
        yield Row(key, depth, self.status, self.label, count, words, more, self.open if under else None, gone)
        if not self.open:
            return
        for port, endpoints in grouped(service):
            port_open = True
            level = depth + 1
            if port:
                port_key = key._replace(kind="port", port=port_name(port))
                port_open = self.is_open(port_key)
                statuses = [row.status for _, row in endpoints]
                status = worst(statuses) if statuses else Status.SKIP
                count = f"{sum(row.ready for _, row in endpoints)}/{len(endpoints)}"
                opened = port_open if endpoints else None
                words = "" if endpoints else "no endpoint"
                yield Row(port_key, level, status, port_text(port), count, words, "", opened, gone)
                level += 1
            if not port_open:
                continue
            for address, row in endpoints:
                endpoint = Key("endpoint", key.namespace, key.name, port_name(port) if port else "", address)
                opened = self.is_open(endpoint) if row.pod else None
                # The Pod has the row below to itself when that is open.
                words = row.pod if not opened else ""
                label = address_text(row)
                yield Row(endpoint, level, row.status, label, "", words, row.why, opened, gone)
                if opened:
                    place = f"on {row.node}" if row.node else ""
                    pod = endpoint._replace(kind="pod")
                    yield Row(pod, level + 1, row.status, row.pod, "", place, conditions(row), None, gone)


def waiting(service: ServiceDiagnosis) -> list[Step]:
    """The steps of a walk under way that nothing has been said of yet."""
    said = {result.step for result in service.steps if not says_nothing(result)}
    return [step for step in WALK if step not in said]


def says_nothing(result: StepResult) -> bool:
    return result.status is Status.SKIP and result.message == "does not apply"


def ready_count(service: ServiceDiagnosis) -> str:
    """`0/3`: ready addresses of all; a port is repeated for each address, a person counts addresses."""
    rows = service.endpoints
    if not rows:
        return ""
    if len(service.ports) == 1:
        return f"{sum(row.ready for row in rows)}/{len(rows)}"
    addresses = {(row.address, row.pod): row.ready for row in rows}
    return f"{sum(addresses.values())}/{len(addresses)}"


def ready_share(service: ServiceDiagnosis) -> float:
    rows = service.endpoints
    return sum(row.ready for row in rows) / len(rows) if rows else -1.0


def port_name(port: PortRow) -> str:
    return f"{port.name} {port.port}/{port.protocol}".strip()


def port_text(port: PortRow) -> str:
    """`http 80 -> 8080`."""
    name = f"{port.name} " if port.name else ""
    protocol = "" if port.protocol == "TCP" else f"/{port.protocol}"
    target = f" -> {port.target_port}" if port.target_port is not None else ""
    node = f" (node {port.node_port})" if port.node_port else ""
    return f"{name}{port.port}{protocol}{target}{node}"


def address_text(row: EndpointRow) -> str:
    if not row.address:
        return "no address"
    host = f"[{row.address}]" if row.port and ":" in row.address else row.address
    return f"{host}:{row.port}" if row.port else row.address


def conditions(row: EndpointRow) -> str:
    ready = "ready" if row.ready else "not ready"
    serving = "" if row.serving == row.ready else ", serving" if row.serving else ", not serving"
    return ready + serving + (", terminating" if row.terminating else "")


def grouped(service: ServiceDiagnosis) -> list[Group]:
    """The endpoints under the Service port that leads to them, which is the one of the same name."""
    groups = [Group(port, []) for port in service.ports]
    by_name = {port.name: group for port, group in zip(service.ports, groups, strict=True)}
    loose = Group(None, [])
    seen: Counter[str] = Counter()
    for row in service.endpoints:
        identity = f"{row.address}:{row.port} {row.pod}"
        seen[identity] += 1
        if seen[identity] > 1:
            identity += f" #{seen[identity]}"
        group = loose if row.port is None else by_name.get(row.port_name, loose)
        group.endpoints.append((identity, row))
    return [*groups, loose] if loose.endpoints else groups


def scope_flag(namespace: str) -> str:
    return f"-n {namespace}" if namespace else "-A"


def gap_entries(denied: Sequence[Gap], streams: Sequence[Stream]) -> list[Entry]:
    """One row for all that is missing in one place for one reason; a stream and a list of the same kind are one."""
    missing: dict[tuple[str, str], dict[str, tuple[str, str]]] = defaultdict(dict)
    for gap in denied:
        missing[gap.namespace, gap.reason][gap.resource] = (gap.message, "")
    for stream in streams:
        if stream.state not in ("denied", "broken"):
            continue
        resource, namespace = printable(stream.resource), printable(stream.namespace)
        if stream.state == "denied":
            reason = UNWATCHED if stream.verb == "watch" else "forbidden"
            missing[namespace, reason].setdefault(resource, (stream.message, ""))
            continue
        for (place, reason), found in missing.items():
            if place == namespace and reason not in ("forbidden", UNWATCHED):
                found.pop(resource, None)  # what was never read because of it
        missing[namespace, "broken"][resource] = (stream.message, stream.since.strftime("%H:%M:%S"))
    entries = []
    for (namespace, reason), found in sorted(item for item in missing.items() if item[1]):
        resources = sorted(found)
        message, since = next(iter(found.values()))
        where = f"in {namespace}" if namespace else "in the whole cluster"
        if reason == "broken":
            place = f" in {namespace}" if namespace else ""
            one = len(resources) == 1
            words = f"{'stream of ' + resources[0] if one else f'{len(resources)} streams'}{place} broken since {since}"
            words += "" if one else f": {listing(resources)}"
        elif reason == UNWATCHED:
            words = f"cannot watch {listing(resources)} {where} (forbidden): listed once a minute"
        else:
            words = f"cannot list {listing(resources)} {where} ({reason})"
        gaps = Gaps(reason, namespace, resources, printable(message), since)
        entries.append(Entry(Key("gap", namespace, reason), Status.UNKNOWN, gaps, words))
    return entries


def top_entries(diagnosis: Diagnosis, streams: Sequence[Stream]) -> list[Entry]:
    """What stands above the Services: the cluster, what could not be seen, missing names, clients."""
    entries = []
    seen: Counter[str] = Counter()
    for finding in diagnosis.cluster.findings:
        # What could not be read has rows of its own.
        is_gap = finding.status is Status.UNKNOWN and any(item.label == "needs" for item in finding.evidence)
        if not finding.code or (is_gap and diagnosis.denied):
            continue
        seen[finding.code] += 1
        key = Key("cluster", "", finding.code, address=str(seen[finding.code]) if seen[finding.code] > 1 else "")
        entries.append(Entry(key, finding.status, finding))
    entries += gap_entries(diagnosis.denied, streams)
    for missing in diagnosis.missing:
        entries.append(_grouped_entry(Key("missing", missing.namespace, missing.name), missing))
    for client in diagnosis.clients:
        if any(finding.status is not Status.PASS for finding in client.findings):
            entries.append(_grouped_entry(Key("client", client.namespace, client.name, address=client.kind), client))
    return entries


def _grouped_entry(key: Key, about: MissingName | ClientDiagnosis) -> Entry:
    status = worst([finding.status for finding in about.findings])
    cause = next((finding for finding in about.findings if finding.role is Role.CAUSE), None)
    words = cause.code if cause and cause.code else next((item.code for item in about.findings if item.code), "")
    return Entry(key, status, about, words or "")
