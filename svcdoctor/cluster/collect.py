"""What is read from a cluster, in which order, with which deadline.

First the kinds that the checks may read, over the scope, some requests at once; then, round by round, what a check
asked for and nobody had read (objects of another namespace, mostly). When all objects are there, running Pods are asked
(looks.py). A read that is refused or fails is recorded in the World, with its reason.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from svcdoctor.clients.connection import Trials
from svcdoctor.cluster.deadline import Deadline
from svcdoctor.cluster.kube import Cluster, KubeError, Listing, ReadFailed, Unauthenticated, Unreachable
from svcdoctor.cluster.looks import LOOKS, Looks, SecondLook
from svcdoctor.cluster.parallel import MOST_AT_ONCE, in_parallel
from svcdoctor.cluster.questions import SERVICE_SECONDS, chosen_client
from svcdoctor.diagnosis import CORE, Outcome, Scope, kinds_read
from svcdoctor.finding import Diagnosis, Gap, Unreadable
from svcdoctor.names.lookup import Lookups
from svcdoctor.objects import RESOURCES, Pod
from svcdoctor.rounds import Rounds
from svcdoctor.text import plural
from svcdoctor.world import EVERYWHERE, NotRead, Want, World

CONFIRM_SECONDS = 1.0  # between two looks at a Pod that does not listen
SEEN_INSIDE = (
    "port-target-unlistened",
    "port-target-vs-probe",
    "port-target-swapped",
    "port-bind-localhost",
    "selector-too-broad",
)
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


class Options(NamedTuple):
    probe: bool = True
    deadline: float = 120.0  # seconds for everything
    request_timeout: float = 60.0  # seconds for one list
    http: str = ""  # the path to ask the Services for, instead of that of their Pods' readiness probes


class Progress(NamedTuple):
    """Told what goes on; both do nothing unless a caller wants to show it."""

    doing: Callable[[str], None] = lambda _: None


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
    client = chosen_client(cluster, scope, reader.run.left(SERVICE_SECONDS)) if options.probe else None
    reader.read_scope()
    reader.world.now = cluster.now()
    if options.probe:
        reader.expect_looks(client, second_look, options.http)
    return Collected(reader.world, reader.diagnose(judge or Rounds().diagnose).diagnosis)


class _Reader:
    def __init__(self, cluster: Cluster, scope: Scope, options: Options, progress: Progress) -> None:
        self.cluster = cluster
        self.scope = scope
        self.run = Deadline(options.deadline)
        self.request_timeout = options.request_timeout
        self.progress = progress
        self.world = World(context=cluster.context)
        self.looks: Looks | None = None
        self.looked: Counter[Want] = Counter()  # into Pods
        self.looked_at = 0.0

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
        for number, (want, answer) in enumerate(in_parallel(jobs, self._list), 1):
            group = RESOURCES[want.resource].group
            if isinstance(answer, KubeError):
                hopeless = first and not answered and number >= min(MOST_AT_ONCE, len(jobs))
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
        left = self.run.left()
        if not left:
            return ReadFailed("the deadline of the run is over", reason="timeout")
        timeout = min(left, self.request_timeout)
        try:
            return self.cluster.list(
                RESOURCES[want.resource], want.namespace, timeout=timeout if timeout < float("inf") else None
            )
        except KubeError as error:
            return error

    def expect_looks(self, client: Pod | Lookups | None, second_look: SecondLook | None, http: str) -> None:
        """Running Pods are to be asked, once it is known of whom and for what."""
        shared = [Want(kind, "kube-system") for kind in ("services", "pods", "configmaps", "endpointslices")]
        self.read([want for want in shared if not self.world.was_read(*want)])
        self.looks = Looks(self.cluster, self.world, self.scope, client, self.run, http=http, second_look=second_look)
        self.world.look_at_sockets()
        if client is None:
            self.world.trials = Trials()

    def diagnose(self, judge: Callable[[World, Scope], Outcome]) -> Outcome:
        """The Diagnosis, after reading whatever the checks asked for on the way, and then looking."""
        while True:
            outcome = judge(self.world, self.scope)
            wants = self.all_of(outcome.wants)
            # Each is a list afterwards or a gap, and neither is wanted again.
            if lists := [want for want in wants if want.resource not in LOOKS]:
                self.progress.doing(f"reading {plural(len(lists), 'list')} more")
                self.read(lists)
                self.read_narrower({want.resource for want in lists})
            elif self.looks and (self.looks.are_due(wants) or (wants := self.doubts(outcome.diagnosis))):
                self.looks.take(wants, self.progress.doing)
                self.looked.update(want for want in wants if want.resource == "sockets")
                self.looked_at = time.monotonic()
            else:
                return outcome

    def doubts(self, diagnosis: Diagnosis) -> list[Want]:
        """Pods that are said not to listen, to be looked into a second time: a program may just have been restarted."""
        pods = {
            Want("sockets", f"{service.namespace}/{pod}")
            for service in diagnosis.services
            for finding in service.findings
            if finding.code in SEEN_INSIDE
            for pod in finding.pods
        }
        seen = (want for want in pods if self.world.is_answered(*want) and self.looked[want] == 1)
        again = sorted(seen)
        left = CONFIRM_SECONDS - (time.monotonic() - self.looked_at)
        if again and left > 0:
            time.sleep(self.run.left(left))
        return again

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
