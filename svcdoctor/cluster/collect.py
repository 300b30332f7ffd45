"""What is read from a cluster, in which order, with which deadline; and the lookups that Pods make for us.

First the kinds that the checks may read, over the scope, at most PARALLEL requests at once; then one client Pod of each
namespace looks up the names of its Services; then, round by round, what a check asked for and nobody had read (objects
of another namespace, mostly) or tried (a connection to a Service in which nothing else is wrong). A read that is
refused or fails is recorded in the World, with its reason.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from msgspec.structs import replace

from svcdoctor.case import Case, ClusterCase
from svcdoctor.clients.clientpod import client_pod, no_such_client
from svcdoctor.clients.connection import Connections, Trials
from svcdoctor.cluster import probe
from svcdoctor.cluster.connectlook import CONNECT_SECONDS, connect_at, requests_in, targets_in
from svcdoctor.cluster.fromclient import look_from
from svcdoctor.cluster.kube import Cluster, KubeError, Listing, ReadFailed, Unauthenticated, Unreachable
from svcdoctor.cluster.socketlook import look_at_sockets, unseen
from svcdoctor.cluster.tryservices import try_services
from svcdoctor.diagnosis import CORE, Outcome, Scope, kinds_read
from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.finding import Diagnosis, Gap, Unreadable
from svcdoctor.names.lookup import CONTROL, Lookups, Vantage, full_control, outside_name, service_name
from svcdoctor.objects import RESOURCES, Pod, Service
from svcdoctor.pods.sockets import Sockets
from svcdoctor.rounds import Rounds
from svcdoctor.text import plural, printable
from svcdoctor.world import EVERYWHERE, NotRead, Want, World

PARALLEL = 8  # requests at once: what a server's fair queuing gives one client without complaint
LOOKUPS_AT_ONCE = 6
LOOKUP_SECONDS = 5.0  # of one Service: a resolver may take twice that, and then its answer is unknown
ALL_LOOKUP_SECONDS = 20.0  # of a namespace with many, in one exec
NAMES_A_SECOND = 5  # that a busy machine manages
SERVERS_AT_ONCE = 4  # CoreDNS Pods that are asked, each by itself
SERVER_SECONDS = 5.0
MOST_NAMES = 100  # that each of them is asked for
MOST_OUTSIDE = 2  # of them outside of the cluster: each may take as long as CoreDNS is waited for
SOCKET_SECONDS = 5.0
CONFIRM_SECONDS = 1.0  # between two looks at a Pod that does not listen
SEEN_INSIDE = (
    "port-target-unlistened",
    "port-target-vs-probe",
    "port-target-swapped",
    "port-bind-localhost",
    "selector-too-broad",
)
LOOKS = ("sockets", "connections")  # what is wanted of a Pod or a Service, and is no list
MOST_SOCKETS = 400  # Pods that a run looks into
CANDIDATES = 6  # Pods of a namespace that are considered for a lookup
# What every cluster is asked for sooner or later: an API that it does not have costs no request.
AT_ONCE = (
    *CORE,
    "validatingwebhookconfigurations",
    "mutatingwebhookconfigurations",
    *(resource.name for resource in RESOURCES.values() if resource.optional),
)
# What DNS and kube-proxy are judged by, whatever the scope is.
SHARED = ("services", "endpointslices", "pods", "deployments", "daemonsets", "configmaps")

# What one Service is judged by, in its namespace; whatever else it takes is read when a check asks for it.
OF_ONE = (
    *("services", "endpointslices", "pods", "deployments", "cronjobs", "events", "networkpolicies", "ingresses"),
    "namespaces",
)
# Kinds that are asked for one after the other, by whoever asks for the first of them that is not there.
TOGETHER = (
    "adminnetworkpolicies",
    "baselineadminnetworkpolicies",
    "clusternetworkpolicies",
    "ciliumclusterwidenetworkpolicies",
    "globalnetworkpolicies",
    "globalnetworkpolicies.projectcalico.org",
)

J = TypeVar("J")
R = TypeVar("R")


class Options(NamedTuple):
    probe: bool = True
    deadline: float = 120.0  # seconds for everything
    request_timeout: float = 60.0  # seconds for one list
    http: str = ""  # the path to ask the Services for, instead of that of their Pods' readiness probes


class Progress(NamedTuple):
    """Told what goes on; both do nothing unless a caller wants to show it."""

    doing: Callable[[str], None] = lambda _: None


class SecondLook(Protocol):
    """From where names are looked up for which no Pod could: something that is added to the cluster, with consent."""

    def plan(self, world: World, asked: Sequence[Question], said: dict[str, Lookups]) -> Any:
        """What to add; a person may be asked, and take their time."""

    def look_up(self, plan: Any, said: dict[str, Lookups], seconds: Callable[[float], float]) -> dict[str, Lookups]:
        """`said` with what is heard there; `seconds` is how much of so many is left."""

    def place_of(self, pod: Pod) -> tuple[str, str, str, Vantage] | None:
        """Namespace, Pod and container of what was added to look as this Pod does."""


class Collected(NamedTuple):
    world: World
    diagnosis: Diagnosis


def collect(
    cluster: Cluster,
    scope: Scope,
    options: Options = Options(),  # noqa: B008 - immutable
    progress: Progress = Progress(),  # noqa: B008 - immutable
    judge: Callable[[World, Scope], Outcome] | None = None,
    second_look: SecondLook | None = None,
) -> Collected:
    """The World over a scope and its Diagnosis, which `judge` makes of it (else `diagnose`, in rounds).

    Nothing is added to the cluster, unless a `second_look` does.

    Raises Unreachable or Unauthenticated where nothing could be read, ReadFailed where the Pod of --from is not there.
    """
    reader = _Reader(cluster, scope, options, progress)
    client = reader.client() if options.probe else None
    reader.read_scope()
    reader.world.now = cluster.now()
    if options.probe:
        progress.doing("looking names up inside Pods" + (", and connecting" if client else ""))
        reader.ask_pods(client, second_look)
        reader.world.look_at_sockets()
        if client is None:
            reader.world.trials = Trials()
    return Collected(reader.world, reader.diagnose(judge or Rounds().diagnose).diagnosis)


class _Reader:
    def __init__(self, cluster: Cluster, scope: Scope, options: Options, progress: Progress) -> None:
        self.cluster = cluster
        self.scope = scope
        self.ends = time.monotonic() + options.deadline
        self.request_timeout = options.request_timeout
        self.http = options.http
        self.progress = progress
        self.world = World(context=cluster.context)
        self.looks: Counter[Want] = Counter()  # into Pods
        self.looked_at = 0.0
        self.second_look: SecondLook | None = None

    # --- objects

    def read_scope(self) -> None:
        """All kinds over the scope; where the whole cluster is forbidden, namespace by namespace.

        For Services that a person named only what each is judged by: the rest is read as checks ask for it.
        """
        scope = self.scope.namespace
        of_one = bool(self.scope.names) and scope != EVERYWHERE
        kinds = [kind for kind in kinds_read() if kind in (OF_ONE if of_one else AT_ONCE)]
        where = "everywhere" if scope == EVERYWHERE else f"in {scope}"
        self.progress.doing(f"reading {len(kinds)} kinds {where}")
        wants = [Want(kind, scope if kind in CORE and RESOURCES[kind].namespaced else EVERYWHERE) for kind in kinds]
        if scope not in (EVERYWHERE, "kube-system") and not of_one:
            wants += [Want(kind, "kube-system") for kind in SHARED]
        self.read(wants, first=True)
        self.read_narrower(kinds)

    def read_narrower(self, kinds: Iterable[str]) -> None:
        """Where the whole cluster was asked for and is forbidden: namespace by namespace."""
        if self.scope.namespace == EVERYWHERE:
            self.read_by_namespace(
                [kind for kind in kinds if RESOURCES[kind].namespaced and (kind, EVERYWHERE) in self.world.gaps]
            )

    def read_by_namespace(self, kinds: list[str]) -> None:
        """What may not be listed everywhere, in each namespace we know of: all we may list, or the context's own."""
        if not kinds:
            return
        names = Want("namespaces", EVERYWHERE)
        if not self.was_tried(names):
            self.read([names])
        try:
            namespaces = sorted(self.world.listed("namespaces"))
        except NotRead:
            namespaces = [self.cluster.namespace]
        self.progress.doing(f"reading {len(kinds)} kinds in {plural(len(namespaces), 'namespace')}")
        self.read(Want(kind, namespace) for kind in kinds for namespace in namespaces)

    def read(self, wants: Iterable[Want], *, first: bool = False) -> None:
        """Each list into the World; what fails is there too, as a gap.

        `first`: nothing was read before. Where the server proves unreachable then, it is not asked to the end.
        """
        jobs = list(wants)
        answered = False
        for number, (want, answer) in enumerate(in_parallel(jobs, self._list, PARALLEL), 1):
            group = RESOURCES[want.resource].group
            if isinstance(answer, KubeError):
                hopeless = first and not answered and number >= min(PARALLEL, len(jobs))
                if hopeless and isinstance(answer, Unreachable | Unauthenticated):
                    raise answer
                self.world.miss(Gap("list", want.resource, group, want.namespace, answer.reason, answer.message))
                continue
            answered = True
            self.world.put(want.resource, want.namespace, answer.items)
            odd = (Unreadable(want.resource, item.namespace, item.name, item.error) for item in answer.skipped)
            known = self.world.unreadable
            self.world.unreadable = [*known, *(item for item in odd if item not in known)]

    def _list(self, want: Want) -> Listing | KubeError:
        left = self.ends - time.monotonic()
        if left <= 0:
            return ReadFailed("the deadline of the run is over", reason="timeout")
        timeout = min(left, self.request_timeout)
        try:
            return self.cluster.list(
                RESOURCES[want.resource], want.namespace, timeout=timeout if timeout < float("inf") else None
            )
        except KubeError as error:
            return error

    def diagnose(self, judge: Callable[[World, Scope], Outcome]) -> Outcome:
        """The Diagnosis, after reading whatever the checks asked for on the way."""
        while True:
            outcome = judge(self.world, self.scope)
            wants = self.all_of(outcome.wants)
            # Each is a list afterwards or a gap, and neither is wanted again.
            if not wants and not (wants := self.doubts(outcome.diagnosis)):
                return outcome
            self.look_at_sockets([want for want in wants if want.resource == "sockets"])
            self.try_services([want for want in wants if want.resource == "connections"])
            wants = [want for want in wants if want.resource not in LOOKS]
            self.progress.doing(f"reading {plural(len(wants), 'list')} more")
            self.read(wants)
            self.read_narrower({want.resource for want in wants})

    def doubts(self, diagnosis: Diagnosis) -> list[Want]:
        """Pods that are said not to listen, to be looked into a second time: a program may just have been restarted."""
        pods = {
            Want("sockets", f"{service.namespace}/{pod}")
            for service in diagnosis.services
            for finding in service.findings
            if finding.code in SEEN_INSIDE
            for pod in finding.pods
        }
        seen = (want for want in pods if self.world.is_answered(*want) and self.looks[want] == 1)
        again = sorted(seen)
        left = CONFIRM_SECONDS - (time.monotonic() - self.looked_at)
        if again and left > 0:
            time.sleep(min(left, self._seconds(CONFIRM_SECONDS)))
        return again

    def look_at_sockets(self, wants: list[Want]) -> None:
        """See what each of these Pods listens on."""
        if not wants:
            return
        self.looks.update(wants)
        self.progress.doing(f"looking at the ports of {plural(len(wants), 'Pod')}")
        pods = [pod for want in wants if (pod := pod_wanted(self.world, want))]
        held = pods[:MOST_SOCKETS]

        # Who may not look names up inside a namespace's Pods may not look into them either.
        asked = (self.world.lookups or {}).items()
        forbidden = {namespace for namespace, said in asked if said.unavailable == "forbidden"}

        def look(pod: Pod) -> Sockets:
            if pod.metadata.namespace in forbidden:
                return unseen(pod, "forbidden", f"create pods/exec in {pod.metadata.namespace}")
            place = self.second_look.place_of(pod) if self.second_look else None
            added = place[2] if place and place[1] == pod.metadata.name else ""
            return look_at_sockets(self.cluster, pod, timeout=self._seconds(SOCKET_SECONDS), added=added)

        for pod, seen in in_parallel(held, look, PARALLEL):
            self.world.see(seen)
            if seen.unavailable == "forbidden":
                forbidden.add(pod.metadata.namespace)
        self.looked_at = time.monotonic()
        for pod in pods[MOST_SOCKETS:]:
            self.world.see(unseen(pod, "timeout", f"only {MOST_SOCKETS} Pods are looked into"))

    def try_services(self, wants: list[Want]) -> None:
        """Have each of these Services tried from inside a Pod that is chosen for it."""
        if not wants:
            return
        self.progress.doing(f"connecting to {plural(len(wants), 'Service')} from inside Pods")
        places = {want.namespace for want in wants}
        cases = [
            Case(self.world, service)
            for service in services_in_scope(self.world, self.scope)
            if f"{service.metadata.namespace}/{service.metadata.name}" in places
        ]
        run = partial(in_parallel, workers=PARALLEL)
        self.world.trials = try_services(self.world, cases, run, self.cluster, self._seconds(float("inf")))

    def all_of(self, wants: Iterable[Want]) -> list[Want]:
        """What is wanted, and what goes with it."""
        wanted = set(wants)
        more = {Want(kind, want.namespace) for want in wanted if want.resource in TOGETHER for kind in TOGETHER}
        untried = {want for want in more | wanted if not self.was_tried(want)}
        if self.scope.namespace != EVERYWHERE:
            return sorted(untried)
        # One list of all namespaces is cheaper than one of each; where it is forbidden each is asked for.
        return sorted({self.widest(want) for want in untried})

    def widest(self, want: Want) -> Want:
        if want.resource in LOOKS:
            return want
        everywhere = Want(want.resource, EVERYWHERE)
        return want if self.was_tried(everywhere) else everywhere

    def was_tried(self, want: Want) -> bool:
        if want.resource in LOOKS:
            return False  # who wants to see them knows that nobody has
        return self.world.was_read(*want) or want in self.world.gaps

    # --- names

    def client(self) -> Pod | Lookups | None:
        """The Pod that a person chose, or why it cannot be used. Raises ReadFailed where there is none."""
        return chosen_client(self.cluster, self.scope, self._seconds(LOOKUP_SECONDS))

    def _seconds(self, most: float) -> float:
        return max(0.0, min(most, self.ends - time.monotonic()))

    def ask_pods(self, client: Pod | Lookups | None, second_look: SecondLook | None) -> None:
        """Names and connections at the same time: neither needs the other."""
        shared = [Want(kind, "kube-system") for kind in ("services", "pods", "configmaps", "endpointslices")]
        self.read([want for want in shared if not self.world.was_read(*want)])
        if client is None:
            self.world.lookups = self.look_up(client)
        else:
            asked: list[Callable[[Pod | Lookups], Any]] = [self.look_up, self.connect]
            said = [answer for _, answer in in_parallel(asked, lambda ask: ask(client), len(asked))]
            self.world.lookups, self.world.connections = said
        if second_look and not isinstance(client, Lookups):
            self.look_again(client, second_look)
            self.second_look = second_look

    def look_again(self, client: Pod | None, second_look: SecondLook) -> None:
        """From what is added to the cluster, for those who could not look themselves."""
        known = dict(self.world.lookups or {})
        began = time.monotonic()
        plan = second_look.plan(self.world, questions(self.world, self.scope, client), known)
        self.ends += time.monotonic() - began
        self.progress.doing("looking names up in what was added for it")
        self.world.lookups = second_look.look_up(plan, known, self._seconds)
        before, place = self.world.connections, second_look.place_of(client) if client else None
        if client and place and before and before.unavailable == "no-tool":
            services = services_in_scope(self.world, self.scope)
            tried = targets_in(self.world, services, client), requests_in(self.world, services, self.http)
            said = connect_at(self.cluster, place[:3], client, *tried, timeout=self._seconds(CONNECT_SECONDS))
            self.world.connections = replace(said, added=place[3].added, image=place[3].image)

    def connect(self, client: Pod | Lookups) -> Connections:
        """What the client that a person chose is answered by the Services in scope."""
        if isinstance(client, Lookups):
            return Connections(*(self.scope.client or ("", "")), unavailable=client.unavailable, detail=client.detail)
        services = services_in_scope(self.world, self.scope)
        seconds = self._seconds(CONNECT_SECONDS)
        return look_from(self.cluster, self.world, services, client, self.http, timeout=seconds)

    def look_up(self, client: Pod | Lookups | None) -> dict[str, Lookups]:
        """For each namespace with Services in scope, what one of its Pods is told for their names."""
        asked = questions(self.world, self.scope, client if isinstance(client, Pod) else None)

        def answer(question: Question) -> Lookups:
            return (
                client if isinstance(client, Lookups) else ask(self.cluster, question, self._seconds(question.seconds))
            )

        found = {question.namespace: said for question, said in in_parallel(asked, answer, LOOKUPS_AT_ONCE)}
        return {**found, **self.ask_servers()}

    def ask_servers(self) -> dict[str, Lookups]:
        """What each CoreDNS Pod says by itself, as NAMESPACE/POD."""
        ends = time.monotonic() + SERVER_SECONDS

        def each(question: Question) -> Lookups:
            return ask(self.cluster, question, self._seconds(max(0.0, ends - time.monotonic())))

        asked = server_questions(self.world, self.scope)
        return {question.namespace: told for question, told in in_parallel(asked, each, SERVERS_AT_ONCE)}


# --- names -------------------------------------------------------------------------------------------------------


class Question(NamedTuple):
    """What is to be looked up for the Services of one namespace, and where; or what one CoreDNS Pod is asked."""

    namespace: str  # or the CoreDNS Pod, as NAMESPACE/POD
    candidates: list[Pod]
    names: list[str]
    coredns_pods: list[tuple[str, str]]
    dns_service_ip: str
    zone: str

    @property
    def is_of_a_server(self) -> bool:
        return "/" in self.namespace

    @property
    def seconds(self) -> float:
        """That the answers may take."""
        return min(ALL_LOOKUP_SECONDS, LOOKUP_SECONDS + len(self.names) / NAMES_A_SECOND)


def servers_to_compare(world: World) -> list[Pod]:
    """The CoreDNS Pods that are asked each by itself: none where there are no two.

    Those that start or end are left out: they may say what the others do not.
    """
    cluster = ClusterCase(world)
    found = [pod for pod in _coredns_pods(world) if cluster.is_steady_server(pod)]
    return found if len(found) > 1 else []


def server_questions(world: World, scope: Scope, only: Container[str] | None = None) -> list[Question]:
    """What each CoreDNS Pod (or only these) is asked: the control, and the Services in scope, the youngest first.

    For an alias its target is asked for, at the end: whoever does not answer there keeps no other name waiting.
    """
    places = [(pod.metadata.namespace, pod.metadata.name) for pod in servers_to_compare(world)]
    asked = [place for place in places if only is None or "/".join(place) in only]
    services = services_in_scope(world, scope) if asked else []
    if not services:
        return []
    zone = ClusterCase(world).zone
    services.sort(key=lambda item: (item.metadata.creation_timestamp or "", item.metadata.name), reverse=True)
    outside = [name for item in services if (name := outside_name(item, zone))][:MOST_OUTSIDE]
    inside = [item.metadata for item in services if not outside_name(item, zone)]
    forms = [service_name(item.name, item.namespace, zone) for item in inside][: MOST_NAMES - 1 - len(outside)]
    names = [*dict.fromkeys([service_name("kubernetes", "default", zone), *forms, *outside])]
    return [Question("/".join(place), [], names, [place], "", zone) for place in asked]


def questions(world: World, scope: Scope, client: Pod | None, only: Container[str] | None = None) -> list[Question]:
    """For each namespace (or only these) with Services in scope what its Pods, or the client, are to look up."""
    cluster = ClusterCase(world)
    kube_dns = cluster.or_without(cluster.kube_dns, None)
    address = (kube_dns.spec.cluster_ip or "") if kube_dns else ""
    servers = [(pod.metadata.namespace, pod.metadata.name) for pod in _coredns_pods(world)]
    groups: dict[str, list[Service]] = {}
    for service in services_in_scope(world, scope):
        if only is not None and service.metadata.namespace not in only:
            continue
        groups.setdefault(service.metadata.namespace, []).append(service)
    return [
        Question(
            namespace,
            [client] if client else _client_pods(world, namespace),
            _names(services, cluster.zone, short=client is None or client.metadata.namespace == namespace),
            servers,
            address,
            cluster.zone,
        )
        for namespace, services in sorted(groups.items())
    ]


def ask(cluster: Cluster, question: Question, seconds: float) -> Lookups:
    if not seconds:
        return Lookups(vantage=Vantage(kind="exec"), unavailable="timeout", detail="the deadline of the run is over")
    if question.is_of_a_server:
        return probe.ask_server(cluster, question.coredns_pods[0], question.names, timeout=min(seconds, SERVER_SECONDS))
    return probe.look_up(
        cluster,
        question.candidates,
        question.names,
        coredns_pods=question.coredns_pods,
        dns_service_ip=question.dns_service_ip,
        zone=question.zone,
        timeout=seconds,
    )


def chosen_client(cluster: Cluster, scope: Scope, seconds: float) -> Pod | Lookups | None:
    """The Pod that a person chose, or why it cannot be used. Raises ReadFailed where there is none."""
    if scope.client is None:
        return None
    namespace, name = scope.client
    try:
        if "/" not in name:
            pod: Pod = cluster.get(RESOURCES["pods"], namespace, name, timeout=seconds)
            return pod
        pods = cluster.list(RESOURCES["pods"], namespace, timeout=seconds).items
    except ReadFailed as error:
        if error.reason != "not-found":
            reason = error.reason if error.reason in ("forbidden", "timeout") else "error"
            return Lookups(vantage=Vantage(kind="exec"), unavailable=reason, detail=error.message)
        pods = _pods_there(cluster, namespace, seconds)
    found = client_pod(pods, name)
    if found is None:
        hint = f"see kubectl -n {namespace} get pods, and give --from POD, deploy/NAME, sa/NAME or NAMESPACE/POD"
        raise ReadFailed(printable(f"{no_such_client(pods, namespace, name)}; {hint}"), reason="not-found")
    return found


def _pods_there(cluster: Cluster, namespace: str, seconds: float) -> list[Pod]:
    """For whoever named a Pod that is not there; none where they may not be listed."""
    try:
        return list(cluster.list(RESOURCES["pods"], namespace, timeout=seconds).items)
    except ReadFailed:
        return []


def services_in_scope(world: World, scope: Scope) -> list[Service]:
    try:
        if scope.namespace == EVERYWHERE:
            found = world.everywhere("services")[0]
        else:
            found = list(world.listed("services", scope.namespace).values())
    except NotRead:
        return []
    return [service for service in found if scope.holds(service)]


def _coredns_pods(world: World) -> list[Pod]:
    try:
        pods: Iterable[Pod] = world.listed("pods", "kube-system").values()
    except NotRead:
        return []
    return [pod for pod in pods if (pod.metadata.labels or {}).get("k8s-app") == "kube-dns" and is_ready(pod)]


def _client_pods(world: World, namespace: str) -> list[Pod]:
    """Pods that would be told what an application of the namespace is told, most likely to answer first."""
    try:
        pods: Iterable[Pod] = world.listed("pods", namespace).values()
    except NotRead:
        return []
    usable = [
        pod
        for pod in pods
        if pod.status.phase == "Running"
        and not pod.metadata.deletion_timestamp
        and not pod.spec.host_network
        and pod.spec.dns_policy == "ClusterFirst"
        and not pod.spec.dns_config
    ]
    usable.sort(key=lambda pod: (not is_ready(pod), _restarts(pod), pod.metadata.name))
    # One Pod of each image: ten replicas without a shell are no more use than one.
    distinct = {tuple(container.image for container in pod.spec.containers or ()): pod for pod in reversed(usable)}
    return sorted(distinct.values(), key=usable.index)[:CANDIDATES]


def _restarts(pod: Pod) -> int:
    return sum(status.restart_count for status in pod.status.container_statuses or ())


def _names(services: list[Service], zone: str, *, short: bool) -> list[str]:
    """The control first, then each Service as a person would type it, from the shortest form to the absolute one.

    Last what may have to wait for servers outside: what aliases stand for, as of an alias whose target is not found
    CoreDNS does not say why; and a full name as people write it, which a search domain may take for its own.
    """
    names = [CONTROL]
    for service in services:
        name, namespace = service.metadata.name, service.metadata.namespace
        names += [name] if short else []
        names += [f"{name}.{namespace}", service_name(name, namespace, zone)]
    outside = dict.fromkeys(name for service in services if (name := outside_name(service, zone)))
    return [*names, *outside, full_control(zone)]


def pod_wanted(world: World, want: Want) -> Pod | None:
    """The Pod that somebody wants to be looked into; None where it is gone."""
    namespace, _, name = want.namespace.partition("/")
    pod: Pod | None = world.listed_or_nothing("pods", namespace).get(name)
    return pod


def in_parallel(jobs: list[J], work: Callable[[J], R], workers: int) -> Iterator[tuple[J, R]]:
    """Each job with its result, in the order of the jobs. Daemon threads: an interrupt waits for no slow server."""
    waiting: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Future[R]]] = queue.SimpleQueue()

    def serve() -> None:
        while (index := waiting.get()) is not None:
            result: Future[R] = Future()
            try:
                result.set_result(work(jobs[index]))
            except BaseException as error:  # raised again where the result is asked for
                result.set_exception(error)
            done.put((index, result))

    for index in range(len(jobs)):
        waiting.put(index)
    for _ in range(min(workers, len(jobs))):
        waiting.put(None)
        threading.Thread(target=serve, daemon=True).start()
    finished: dict[int, Future[R]] = {}
    for index, job in enumerate(jobs):
        while index not in finished:
            place, result = done.get()
            finished[place] = result
        yield job, finished.pop(index).result()
