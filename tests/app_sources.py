"""Sources for the dashboard's tests: what live.py posts, with nothing behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec.structs import replace

from svcdoctor.finding import (
    ClusterDiagnosis,
    Diagnosis,
    EndpointRow,
    Evidence,
    Finding,
    Gap,
    MissingName,
    PortRow,
    Remedy,
    Role,
    ServiceDiagnosis,
    Status,
    Step,
    StepResult,
    Subject,
    Summary,
    fail,
    unknown,
    warn,
)
from svcdoctor.widgets.source import Post, ServiceName, SourceRequest, Update

NOW = datetime(2026, 3, 1, 12, 0, 4, tzinfo=UTC)
HEARD = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@dataclass(frozen=True)
class StreamState:
    resource: str
    namespace: str = ""
    state: str = "watching"
    since: datetime = HEARD
    message: str = ""
    last_heard: datetime | None = HEARD
    reason: str = ""
    verb: str = "list"


@dataclass(frozen=True)
class LogEntry:
    kind: str
    command: str
    outcome: str
    seconds: float
    at: datetime = HEARD


@dataclass(frozen=True)
class Posted:
    """An Update."""

    diagnosis: Diagnosis
    checking: frozenset[ServiceName] = frozenset()
    streams: tuple[StreamState, ...] = (StreamState("services"), StreamState("pods"))
    log: tuple[LogEntry, ...] = (
        LogEntry("read", "kubectl get services -A -o json", "200, 12 items", 0.041),
        LogEntry("probe", "kubectl -n shop exec front-1 -- nslookup cart", "answered 10.96.1.3", 0.012),
    )
    moment: tuple[int, int] | None = None
    changed: frozenset[ServiceName] = frozenset()


@dataclass
class CannedSource:
    """Posts what it is given; remembers what it was asked."""

    request: SourceRequest
    post: Post
    first: Update | None = None
    asked: list[str] = field(default_factory=list)

    def start(self) -> None:
        self.asked.append("start")
        if self.first is not None:
            self.post(self.first)

    def stop(self) -> None:
        self.asked.append("stop")

    def run_again(self, names: frozenset[ServiceName] | None = None) -> None:
        self.asked.append(f"run_again {sorted(names) if names else 'all'}")

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")


class TellingSource(CannedSource):
    """Also has objects, events and logs."""

    def objects(self, namespace: str, name: str) -> str:
        return f"apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: {namespace}\n"

    def events(self, namespace: str, name: str) -> list[str]:
        return ["12:00:01 Warning Unhealthy pod/cart-1 Readiness probe failed \x1b]52;c;eA==\x07"]

    def logs(self, namespace: str, pod: str, container: str, follow: bool, previous: bool) -> Iterator[str]:
        yield f"{pod} listening on 8080"
        yield "\x1b[2J[red]GET /healthz[/x] 404"


class Opener:
    """Opens canned sources and keeps them."""

    def __init__(self, first: Update | None, kind: Callable[..., CannedSource] = CannedSource) -> None:
        self.first = first
        self.kind = kind
        self.opened: list[CannedSource] = []

    def __call__(self, request: SourceRequest, post: Post) -> CannedSource:
        source = self.kind(request, post, self.first)
        self.opened.append(source)
        return source

    @property
    def last(self) -> CannedSource:
        return self.opened[-1]


# --- diagnoses ---------------------------------------------------------------------------------------------------


def service(
    name: str,
    status: Status = Status.PASS,
    *,
    namespace: str = "shop",
    endpoints: Sequence[EndpointRow] | None = None,
    ports: Sequence[PortRow] = (PortRow("http", "TCP", 80, 8080, None),),
    findings: Sequence[Finding] = (),
    headline: str = "",
    cause: str | None = None,
    walked: int = 5,
) -> ServiceDiagnosis:
    """A Service whose first `walked` steps are done."""
    rows = [endpoint(name, number, status) for number in (1, 2, 3)] if endpoints is None else endpoints
    ready = sum(row.ready for row in rows)
    verdicts = {Step.ENDPOINTS: (status, f"{ready} of {len(rows)} ready")}
    messages = {
        Step.SERVICE: f"exists, selector app={name}",
        Step.LABELS: f"3 Pods match app={name}",
        Step.DESCRIBE: "targetPort 8080 is declared by container web",
        Step.DNS: f"{name}.{namespace}.svc.cluster.local -> 10.96.12.7, asked inside {namespace}/frontend-6c",
    }
    for step in list(Step)[walked:5]:
        verdicts[step] = (Status.SKIP, "does not apply")
    steps = [
        StepResult(step, *verdicts.get(step, (Status.PASS, messages.get(step, ""))), f"kubectl -n {namespace} {step}")
        for step in list(Step)[:5]
    ]
    return ServiceDiagnosis(
        namespace=namespace,
        name=name,
        uid=f"uid-{namespace}-{name}",
        type="ClusterIP",
        cluster_ips=("10.96.12.7",),
        status=status,
        cause=cause,
        headline=headline or f"{ready} of {len(rows)} ready",
        steps=tuple(steps),
        ports=tuple(ports),
        endpoints=tuple(rows),
        findings=tuple(findings),
    )


def endpoint(name: str, number: int, status: Status = Status.PASS, why: str = "") -> EndpointRow:
    good = status is Status.PASS
    if not good and not why:
        why = "readiness probe GET :8080/healthz -> 404, 41 times"
    address = f"10.244.1.{number + sum(map(ord, name)) % 200}"
    return EndpointRow(address, 8080, "http", "worker-1", f"{name}-7d9f-x{number}", good, good, False, status, why)


CART = Subject("Service", "shop", "cart")
PROBE_FINDING = fail(
    "pods-not-ready-probe",
    Subject("Deployment", "shop", "cart"),
    "the readiness probe asks for a path that the container does not serve",
    Evidence("probe", "GET :8080/healthz -> 404, 41 times", "events of pod/cart-7d9f-x1"),
    remedies=(
        Remedy(
            "ask for the path that is served",
            """kubectl -n shop patch deployment cart --type=json -p '[{"op":"replace","path":"/spec/template/spec"""
            """/containers/0/readinessProbe/httpGet/path","value":"/"}]'""",
        ),
    ),
)
SYMPTOM = fail("slice-no-ready", CART, "0 of 3 ready", because="pods-not-ready-probe")
NEXT = fail("netpol-ingress-no-match", CART, "shop/frontend may not connect to port 8080", inferred=True)
FORBIDDEN = unknown(
    "unknown-forbidden",
    Subject("Service", "shop", "front"),
    "cannot list pods in namespace shop (forbidden)",
    Evidence("needs", "list pods", "API group core, in namespace shop"),
    remedies=(Remedy("ask for the rights of a diagnosis", "svcdoctor rbac -n shop", changes_cluster=False),),
)


def cart() -> ServiceDiagnosis:
    findings = (
        replace(PROBE_FINDING, role=Role.CAUSE, step=Step.ENDPOINTS),
        replace(NEXT, role=Role.ALSO),
        replace(SYMPTOM, role=Role.CONSEQUENCE, step=Step.ENDPOINTS),
    )
    return service("cart", Status.FAIL, findings=findings, cause="pods-not-ready-probe", headline="no ready endpoint")


def shop() -> Diagnosis:
    """A small cluster with something of everything."""
    search_rows = [endpoint("search", number) for number in (1, 2)] + [endpoint("search", 3, Status.WARN)]
    partial = warn("slice-partial-ready", Subject("Service", "shop", "search"), "2 of 3 ready")
    search = service(
        "search",
        Status.WARN,
        endpoints=search_rows,
        findings=(replace(partial, role=Role.CAUSE),),
        cause="slice-partial-ready",
    )
    front = service("front", Status.UNKNOWN, endpoints=(), findings=(FORBIDDEN,), headline=FORBIDDEN.message)
    missing = fail(
        "caller-names-no-service",
        Subject("Service", "shop", "crat"),
        "deployment/web calls crat, which no Service is named",
        Evidence("environment", "CART_URL=http://crat:80", "deployment/web .spec.template.spec.containers[0].env"),
    )
    resolver = warn("coredns-one-replica", Subject("Deployment", "kube-system", "coredns"), "CoreDNS has one replica")
    return summarised(
        Diagnosis(
            version="0",
            context="kind-suites",
            observed_at="2026-03-01T12:00:00Z",
            summary=Summary(),
            services=(cart(), front, search, service("web")),
            missing=(MissingName("shop", "crat", (replace(missing, role=Role.CAUSE),)),),
            cluster=ClusterDiagnosis((replace(resolver, role=Role.CAUSE),)),
            denied=(Gap("list", "pods", "", "payments", "forbidden", 'pods is forbidden: User "ann" cannot list'),),
        )
    )


def summarised(diagnosis: Diagnosis) -> Diagnosis:
    counts = [entry.status for entry in diagnosis.services]
    numbers = [counts.count(status) for status in (Status.FAIL, Status.WARN, Status.PASS, Status.UNKNOWN)]
    return replace(diagnosis, summary=Summary(len(counts), *numbers))


def with_services(diagnosis: Diagnosis, *services: ServiceDiagnosis) -> Diagnosis:
    return summarised(replace(diagnosis, services=services))
