"""A Service seen with all that a check may look at: the vocabulary that checks are written in.

Case is for one Service, ClientCase for one workload that calls Services, EntryCase for what leads requests in, and
ClusterCase for the parts that all Services share. Each is a View on a World: it answers questions and changes nothing.
A question whose answer is not in the World raises NotRead, which the engine turns into `unknown`; so ask cheap and
certain questions first, and yield what they prove before asking for more.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import partial
from typing import NamedTuple

from svcdoctor.cachedproperty import cached_property
from svcdoctor.clients.callers import Reference
from svcdoctor.clients.peers import Peer, is_awaited, peers_of
from svcdoctor.clients.serviceenv import EnvironmentFault, fault_of, has_unready_container
from svcdoctor.clients.settings import Setting
from svcdoctor.endpoints.nearmiss import NearMiss, nearest
from svcdoctor.endpoints.reconcile import is_ready, is_truncated, slices_of, target_port
from svcdoctor.entry.entrypoint import ENTRY_RESOURCES, Entry
from svcdoctor.finding import Status, Subject
from svcdoctor.names.lookup import Lookups
from svcdoctor.objectindexes import (
    CONFIGS_MENTIONING,
    CONFIGURED_BY,
    CRONJOBS_BY_LABEL,
    ENTRIES_BY_SERVICE,
    MENTIONING,
    PODS_BY_LABEL,
    PODS_LET_GO,
    REPLICA_SETS_BY_OWNER,
    SERVICES_BY_SELECTOR,
    SERVICES_BY_WANTED_LABEL,
    SLICES_BY_SERVICE,
    STATEFULSETS_BY_SERVICE,
)
from svcdoctor.objects import (
    CronJob,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Event,
    Node,
    Pod,
    PodSpec,
    Service,
    ServicePort,
    Workload,
)
from svcdoctor.pods.history import Change, last_change
from svcdoctor.pods.podports import dials_from_outside, intercepts
from svcdoctor.pods.podstate import READY, PodState, is_plainly_ready, is_untroubled, judge
from svcdoctor.pods.sockets import SEEN_PROTOCOLS, Sockets, started_last
from svcdoctor.pods.template import (
    POD_INDEX,
    TEMPLATE_KINDS,
    Template,
    is_scaled_on_demand,
    matches,
    template_of,
    top_owner,
)
from svcdoctor.view import View
from svcdoctor.world import EVERYWHERE, NotRead, World

ENTRY_POINTS = re.compile(r"ingress|gateway|traefik|haproxy|envoy|contour|kong|istio")
# Kinds of which none calls anybody in a namespace where it has made no Pod: of a Deployment the next version may, and a
# CronJob has Pods while it runs.
CALL_NOBODY = ("statefulsets", "daemonsets", "replicasets", "jobs")
# Those of them that stand there without Pods only when something is wrong with them, or when they are done.
NEVER_IDLE = ("daemonsets", "replicasets", "jobs")
BATCH = ("Job", "CronJob")
SERVING_RESOURCES = ("deployments", "statefulsets", "daemonsets", "replicasets")
# The last part of a label key that tells releases of one application apart.
VERSION_KEYS = frozenset({"version", "color", "colour", "track", "release", "slot", "stage", "revision", "deployment"})
LONGEST_START_SECONDS = 180.0  # a program that takes longer to listen is given up
SETTLING_SECONDS = 30.0  # controllers and kubelets are given this long before what they have not done is a fault


class EndpointView(NamedTuple):
    """One address of one slice, with null conditions read as the API defines them."""

    address: str
    endpoint: Endpoint
    slice: EndpointSlice
    ready: bool
    serving: bool
    terminating: bool
    pod: str  # the name of the Pod behind the address, "" for an address without one

    @property
    def ports(self) -> list[EndpointPort]:
        return self.slice.ports or []


class Backend(NamedTuple):
    """What stands, or would stand, behind a Service: one for each top-level owner."""

    owner: Subject
    labels: Mapping[str, str]
    spec: PodSpec
    pods: tuple[Pod, ...] = ()  # those of the expected set
    guessed: bool = False  # the selector does not match it, but was probably meant to


class Release(NamedTuple):
    """A version of an application that runs, and the key by which its labels tell it from others."""

    key: str
    template: Template
    ready: int  # Pods

    @property
    def value(self) -> str:
        return self.template.labels[self.key]


def may_be_called_by_api_server(service: Service) -> bool:
    """Whether it could stand behind a webhook or an extension of the API: these are called through TLS alone."""
    words = ("https", "tls", "webhook", "admission")
    return any(port.port % 1000 == 443 or any(word in port.name for word in words) for port in service.spec.ports or ())


class Case(View):
    """One Service."""

    def __init__(self, world: World, service: Service) -> None:
        super().__init__(world, service.metadata.namespace)
        self.service = service
        self.name = service.metadata.name
        self.spec = spec = service.spec
        self.subject = Subject("Service", self.namespace, self.name)
        self.type = spec.type
        self.is_external_name = spec.type == "ExternalName"
        # Nobody looks for the Pods of an alias.
        self.selector: dict[str, str] = {} if self.is_external_name else spec.selector or {}
        self.ports: list[ServicePort] = spec.ports or []
        self.is_headless = spec.cluster_ip == "None"

    # --- the Service itself

    @cached_property
    def cluster_ips(self) -> tuple[str, ...]:
        addresses = self.spec.cluster_ips or ([self.spec.cluster_ip] if self.spec.cluster_ip else [])
        return tuple(address for address in addresses if address and address != "None")

    def slices_elsewhere(self) -> list[EndpointSlice]:
        """Slices that carry this Service's name in namespaces that have no such Service. Raises NotRead."""
        self.touched.update(("endpointslices", "services"))
        found: list[EndpointSlice] = []
        for namespace in self.world.namespaces_of("endpointslices")[0]:
            if namespace != self.namespace:
                pieces = self.world.found(SLICES_BY_SERVICE, namespace, self.name)
                found += pieces if pieces and self.name not in self.listed("services", namespace) else []
        return found

    @property
    def is_entry_point(self) -> bool:
        """Whether an ingress controller or a gateway stands behind it: it is there to be reached from outside."""
        labels = self.service.metadata.labels or {}
        return bool(ENTRY_POINTS.search(" ".join((self.name, self.namespace, *labels.values()))))

    @property
    def sharing_cluster_ip(self) -> list[Service]:
        """Other Services, of all namespaces that were read, that have one of its cluster IPs."""
        found = [other for address in self.cluster_ips for other in self.services_at(address)]
        own = (self.namespace, self.name)
        return [other for other in found if (other.metadata.namespace, other.metadata.name) != own]

    @property
    def is_settling(self) -> bool:
        """Created so recently that what controllers have not done yet proves nothing."""
        return self.is_younger(self.service.metadata.creation_timestamp, SETTLING_SECONDS)

    @property
    def fqdn(self) -> str:
        return f"{self.name}.{self.namespace}.svc.{self.zone}"

    # --- the Pods it expects

    @cached_property
    def pods(self) -> list[Pod]:
        """The expected set: Pods of the namespace that the selector matches, by name."""
        self.listed("pods")
        selector = self.selector
        if not selector:
            return []
        likely = self.world.found(PODS_BY_LABEL, self.namespace, *selector.items())
        return [pod for pod in likely if matches(selector, pod.metadata.labels)]

    def replica_sets_of(self, deployment: Workload) -> list[Workload]:
        """The ReplicaSets of a Deployment of the namespace, one for each revision that is kept, by name."""
        self.touched.add("replicasets")
        return self.world.found(REPLICA_SETS_BY_OWNER, self.namespace, deployment.metadata.uid)

    def change_behind(self, pod: Pod) -> Change | None:
        """The last change of the Pod's Deployment; None where there is none to be seen."""
        kind, name = top_owner(pod)
        deployment = self.listed("deployments").get(name) if kind == "Deployment" else None
        return last_change(deployment, self.replica_sets_of(deployment)) if deployment else None

    @cached_property
    def workloads(self) -> list[Template]:
        """The workloads that made the expected Pods that live, by kind and name."""
        owners = sorted(self.pods_by_owner)
        tables = {kind: resource for resource, kind in TEMPLATE_KINDS.items() if resource in SERVING_RESOURCES}
        held = [(kind, self.listed(tables[kind]).get(name)) for kind, name in owners if kind in tables]
        return [template_of(kind, item) for kind, item in held if item is not None]

    @cached_property
    def awaited_peers(self) -> list[Peer]:
        """Where Pods of a headless Service that gives out ready ones only ask for it, or for each other, in what keeps
        them from being ready."""
        if not self.is_headless or self.spec.publish_not_ready_addresses:
            return []
        read = partial(self.config, self.namespace)
        waiting = {owner: self.pod_states[pods[0].metadata.name] for owner, pods in self.pods_by_owner.items()}
        return [
            peer
            for template in self.workloads
            for peer in peers_of(template, self.name, read)
            if is_awaited(peer, template.spec, waiting[template.kind, template.name])
        ]

    @cached_property
    def governed(self) -> list[Workload]:
        """The StatefulSets that name this Service in serviceName, by name: where it is headless or has no Pods, also
        such as have made no Pod."""
        self.touched.add("statefulsets")
        if self.pods and not self.is_headless and "statefulsets" not in self.kinds_there(self.namespace, CALL_NOBODY):
            return []
        return self.world.found(STATEFULSETS_BY_SERVICE, self.namespace, self.name)

    @cached_property
    def live_pods(self) -> list[Pod]:
        """The expected set without Pods that have run to their end."""
        return [pod for pod in self.pods if pod.status.phase not in ("Succeeded", "Failed")]

    @cached_property
    def pods_by_owner(self) -> dict[tuple[str, str], list[Pod]]:
        """The same by (kind, name) of their top-level owner."""
        found: dict[tuple[str, str], list[Pod]] = {}
        for pod in self.live_pods:
            found.setdefault(top_owner(pod), []).append(pod)
        return found

    @cached_property
    def unlikely(self) -> tuple[str, ...]:
        """Kinds of workloads that the selector is not meant for where none of them has made a Pod, since it finds
        something else, or was surely meant for it."""
        if self.live_pods:
            return CALL_NOBODY
        if self.templates_by_label(NEVER_IDLE).selected_by(self.selector):
            return NEVER_IDLE
        return NEVER_IDLE if any(miss.strong for miss in self._near_misses(NEVER_IDLE)) else ()

    @cached_property
    def likely_templates(self) -> list[Template]:
        """The workloads (and bare Pods) of the namespace that the selector could be meant for."""
        return self.templates(besides=self.unlikely)

    @cached_property
    def matching_templates(self) -> list[Template]:
        """Workloads (and bare Pods) whose Pods the selector would match; of batch ones alone none, where the selector
        was surely meant for another: they only share its labels."""
        found = self.templates_by_label(self.unlikely).selected_by(self.selector)
        if found and not self.live_pods and all(template.kind in BATCH for template in found):
            return [] if any(miss.strong for miss in self.near_misses) else found
        return found

    @cached_property
    def matching_cronjobs(self) -> list[CronJob]:
        """CronJobs whose Pods the selector would match, by name."""
        self.touched.add("cronjobs")
        if not self.selector:
            return []
        found = self.world.found(CRONJOBS_BY_LABEL, self.namespace, *self.selector.items())
        return [item for item in found if matches(self.selector, item.spec.job_template.spec.template.metadata.labels)]

    def pods_let_go(self, kind: str, name: str) -> list[Pod]:
        """The Pods that a workload of the namespace made and no longer owns, since their labels were changed."""
        self.touched.add("pods")
        return self.world.found(PODS_LET_GO, self.namespace, (kind, name))

    @cached_property
    def twins(self) -> list[Service]:
        """Other Services of the namespace with the same selector, by name."""
        self.touched.add("services")
        found = self.world.found(SERVICES_BY_SELECTOR, self.namespace, frozenset(self.selector.items()))
        return [service for service in found if service.metadata.name != self.name]

    @cached_property
    def staying_pods(self) -> list[Pod]:
        """The expected set without Pods that have run to their end or are shutting down."""
        return [pod for pod in self.live_pods if pod.metadata.deletion_timestamp is None]

    @cached_property
    def vanished_pods(self) -> list[str]:
        """Where no Pod is expected: names of those that slices still call ready, and that are gone."""
        ready: list[EndpointView] = [] if self.pods else self.or_without(lambda: self.ready_endpoints, [])
        return [view.pod for view in ready if view.pod and view.pod not in self.listed("pods")]

    @cached_property
    def empty_workloads(self) -> list[Template]:
        """Workloads that the selector fits, where no Pod of them stays."""
        if self.staying_pods or self.vanished_pods:
            return []
        return [template for template in self.matching_templates if template.kind not in (*BATCH, "Pod")]

    @cached_property
    def finds_nothing(self) -> bool:
        """Whether the selector fits no Pod, and nothing that would make one."""
        return not self.live_pods and not self.vanished_pods and not self.matching_templates

    @cached_property
    def other_releases(self) -> list[Release]:
        """Ready versions of the selected application that the selector excludes, and that no Service selects."""
        found: list[Release] = []
        for key, pinned in self.selector.items():
            if re.split(r"[./]", key)[-1].lower() not in VERSION_KEYS:
                continue
            others = {name: value for name, value in self.selector.items() if name != key}
            for template in self.likely_templates:
                if not matches(others, template.labels) or template.labels.get(key, pinned) == pinned:
                    continue
                ready = sum(is_ready(pod) for pod in self.pods_of(template))
                if ready and not self.is_selected_by_others(template):
                    found.append(Release(key, template, ready))
        return found

    @cached_property
    def near_misses(self) -> list[NearMiss]:
        """Workloads that the selector was probably meant for, nearest first; [] where none comes near."""
        return self._near_misses(self.unlikely)

    def _near_misses(self, besides: Collection[str]) -> list[NearMiss]:
        def look() -> list[NearMiss]:
            templates = self.templates(besides=besides)
            return nearest(self.name, self.selector, self.ports, templates, self.is_selected_by_others)

        return self.once(f"near misses besides {besides}", look)

    def is_selected_by_others(self, template: Template) -> bool:
        """Whether another Service selects a template of the namespace."""
        self.touched.add("services")
        return any(
            other.metadata.name != self.name and template.is_selected(other.spec.selector)
            for label in (*template.labels.items(), POD_INDEX)
            for other in self.world.found(SERVICES_BY_WANTED_LABEL, self.namespace, label)
        )

    @cached_property
    def backing(self) -> list[Backend]:
        """Who serves, or would: owners of the expected Pods; else matching templates; else the nearest miss.

        So faults that an empty selection masks can still be judged from objects.
        """
        if not self.selector:
            return []
        if self.live_pods:
            return [
                Backend(Subject(kind, self.namespace, name), pods[-1].metadata.labels or {}, pods[-1].spec, tuple(pods))
                for (kind, name), pods in self.pods_by_owner.items()
            ]
        if self.matching_templates:
            return [Backend(template.subject, template.labels, template.spec) for template in self.matching_templates]
        guessed = [miss.template for miss in self.near_misses[:1]]
        return [Backend(template.subject, template.labels, template.spec, guessed=True) for template in guessed]

    @cached_property
    def masked_pods(self) -> list[Pod]:
        """Pods of the workload that a selector without Pods was surely meant for: what ails them comes up next."""
        if self.live_pods or self.matching_templates:
            return []
        meant = [miss.template for miss in self.near_misses[:1] if miss.strong]
        pods = [pod for template in meant for pod in self.pods_of(template)]
        return [pod for pod in pods if pod.status.phase not in ("Succeeded", "Failed")]

    @cached_property
    def backends(self) -> list[PodSpec]:
        """The Pod specs of `backing`: one per top-level owner."""
        return [backend.spec for backend in self.backing]

    def pod_state(self, pod: Pod) -> PodState:
        """Why a Pod is or is not ready. Its own conditions speak also where events and nodes may not be read."""
        node = None
        # The node controller says of the Pods of a lost node that they are not ready.
        if self.world.was_read("nodes", EVERYWHERE) or not is_plainly_ready(pod, None):
            node = self._known_nodes.get(pod.spec.node_name or "")
        events: list[Event] = []
        if not is_untroubled(pod):
            events = self.or_without(lambda: self.events("Pod", pod.metadata.name), [])
        if not events and is_plainly_ready(pod, node):
            return READY
        return judge(pod, events, node, self.world.clock, self.serving_container(pod.spec))

    @cached_property
    def _known_nodes(self) -> Mapping[str, Node]:
        return self.or_without(self.nodes, {})

    def serving_container(self, spec: PodSpec) -> str:
        """The name of the container that declares a port of the Service; of the first one, where none does."""
        targets = {self.target_of(port, spec) for port in self.ports}
        containers = spec.containers or []
        declaring = [item for item in containers if any(port.container_port in targets for port in item.ports or ())]
        return next((item.name for item in (*declaring, *containers)), "")

    @cached_property
    def pod_states(self) -> dict[str, PodState]:
        """The state of each expected Pod that has not run to its end, by name."""
        return {pod.metadata.name: self.pod_state(pod) for pod in self.live_pods}

    @cached_property
    def environment_faults(self) -> dict[str, EnvironmentFault]:
        """The expected Pods, by name, that cannot run because of the variables that Services give them."""
        troubled = [pod for pod in self.live_pods if has_unready_container(pod)]
        services = self.listed("services") if troubled else {}
        found = ((pod.metadata.name, fault_of(pod, services)) for pod in troubled)
        return {name: fault for name, fault in found if fault}

    @cached_property
    def starting_pods(self) -> list[str]:
        """Names of the Pods that are not ready and still have time: just started, or of a version being rolled out."""
        ready = [pod for pod in self.live_pods if self.pod_states[pod.metadata.name].ready]
        serving = {_version(pod) for pod in ready}
        return [
            pod.metadata.name
            for pod in self.live_pods
            if (state := self.pod_states[pod.metadata.name]).code == "unknown-settling"
            # What a Pod of a version that serves elsewhere dies of is no teething trouble; being slow may be.
            or (
                (_version(pod) not in serving or state.code == "pods-not-ready-probe")
                and state.status is Status.FAIL
                and ready
                and self.is_rolling_out(pod)
            )
        ]

    def is_rolling_out(self, pod: Pod) -> bool:
        """Whether the Pod's Deployment is bringing a version up, and has not overrun its progress deadline.

        Raises NotRead.
        """
        kind, name = top_owner(pod)
        deployment: Workload | None = None
        if kind == "Deployment":
            deployment = self.listed("deployments").get(name)
        if deployment is None:
            return False
        progress = next((item for item in deployment.status.conditions or () if item.type == "Progressing"), None)
        if progress is None or progress.status != "True" or progress.reason == "NewReplicaSetAvailable":
            return False
        seconds = self.seconds_since(progress.last_update_time or progress.last_transition_time)
        return seconds is not None and seconds < (deployment.spec.progress_deadline_seconds or 600)

    @cached_property
    def is_deliberately_idle(self) -> bool:
        """Whether every workload behind it is at zero replicas by the hand of something that scales it up on demand.

        Raises NotRead where there are no Pods and workloads may not be read; who has Pods that stay is not idle.
        """
        if self.or_without(lambda: self.staying_pods, []):
            return False
        matching = self.matching_templates
        return bool(matching) and all(template.desired == 0 and is_scaled_on_demand(template) for template in matching)

    # --- what the slices hold

    @cached_property
    def slices(self) -> list[EndpointSlice]:
        """All EndpointSlices that belong to this Service by their label."""
        self.touched.add("endpointslices")
        return self.world.found(SLICES_BY_SERVICE, self.namespace, self.name)

    @cached_property
    def endpoints(self) -> list[EndpointView]:
        """Every address of every slice; nil ready and serving count as true (KEP-1672)."""
        views: list[EndpointView] = []
        for piece in self._slices_or_legacy[0]:
            for endpoint in piece.endpoints or []:
                conditions = endpoint.conditions
                ready = conditions.ready if conditions and conditions.ready is not None else True
                serving = conditions.serving if conditions and conditions.serving is not None else ready
                terminating = bool(conditions and conditions.terminating)
                reference = endpoint.target_ref
                pod = reference.name if reference and reference.kind == "Pod" else ""
                for address in (endpoint.addresses or [])[:1]:
                    views.append(EndpointView(address, endpoint, piece, ready, serving, terminating, pod))
        return views

    @cached_property
    def callers(self) -> list[tuple[Template, Reference]]:
        """Who names this Service: each workload with each of its references, among all that was read; and the client
        that a person named."""
        self.touched.update((*TEMPLATE_KINDS, "configmaps"))
        kinds = self.kinds_there(self.namespace, CALL_NOBODY)
        self.need(kinds, self.namespace)
        for resource in kinds:
            self.world.must_be_read(resource, self.namespace)  # what may not be read here is not taken for nobody
        found: dict[tuple[str, str, str], Template] = {}
        configs = self.world.found_in_sight(CONFIGS_MENTIONING, self.name)
        for resource, kind in TEMPLATE_KINDS.items():
            items = self.world.found_in_sight(MENTIONING[resource], self.name)
            for config in configs:
                place, name = config.metadata.namespace, config.metadata.name
                items += self.or_without(partial(self.world.found, CONFIGURED_BY[resource], place, name), [])
            for item in items:
                found[item.metadata.namespace, kind, item.metadata.name] = template_of(kind, item)
        client = self.or_without(lambda: self.client, None)
        if client:
            found[client[1].namespace, client[1].kind, client[1].name] = client[1]
        named = [
            (template, reference)
            for _, template in sorted(found.items())
            for reference in self.references_of(template)
            if (reference.service, reference.namespace) == (self.name, self.namespace)
        ]
        if client and not any(reference.certain for template, reference in named if template == client[1]):
            named.append((client[1], self.reference_of_client))
        return named

    @property
    def reference_of_client(self) -> Reference:
        """The name for this Service of the client that a person named, as if it stood in its settings."""
        host = f"{self.name}.{self.namespace}"
        return Reference(host, None, self.name, self.namespace, True, Setting("", host, "--from"))

    @cached_property
    def entries(self) -> list[Entry]:
        """The Ingresses and Routes of the namespace that lead to this Service. Routes of other namespaces may as well:
        see ReferenceGrant; they are not looked for here. Routes that may not be listed count as none: the usual roles
        for viewers leave them out."""
        found = []
        for resource, kind in ENTRY_RESOURCES.items():
            self.touched.add(resource)
            leading = partial(
                self.world.found, ENTRIES_BY_SERVICE[resource], self.namespace, (self.namespace, self.name)
            )
            items = leading() if resource == "ingresses" else self.or_without(leading, [])
            found += [Entry(kind, self.namespace, item.metadata.name, item) for item in items]
        return found

    @property
    def endpoints_origin(self) -> str:
        """A remark on where the endpoints were read, where it is not from EndpointSlices; "" else."""
        return self._slices_or_legacy[1]

    @cached_property
    def _slices_or_legacy(self) -> tuple[list[EndpointSlice], str]:
        """The slices, or what the legacy Endpoints object holds where slices may not be read."""
        try:
            return self.slices, ""
        except NotRead as missing:
            # Where a watch was lost it was the server that went away: nothing else could be read from it either.
            if missing.gap is None or missing.gap.verb == "watch":
                raise
            # Asked of the World itself: no check declares this kind, which is read only when it has come to this.
            legacy = self.or_without(lambda: self.world.listed("endpoints", self.namespace), {}).get(self.name)
            if legacy is None or is_truncated(legacy):
                raise
            return slices_of(legacy), "from the legacy Endpoints object: EndpointSlices may not be read"

    @cached_property
    def ready_endpoints(self) -> list[EndpointView]:
        return [view for view in self.endpoints if view.ready]

    def carries(self, view: EndpointView, port: ServicePort) -> EndpointPort | None:
        """The endpoint port that a Service port maps to in this endpoint's slice: linked by name and protocol only."""
        for candidate in view.ports:
            if (candidate.name or "") == port.name and (candidate.protocol or "TCP") == port.protocol:
                return candidate
        return None

    # The number a Service port's targetPort is on such a Pod; None for a name it does not declare.
    target_of = staticmethod(target_port)

    # --- what DNS said

    @property
    def is_probed(self) -> bool:
        return self.world.lookups is not None

    def sockets(self, backend: Backend) -> Sockets | None:
        """What the first ready Pod of a backend listens on; None where nobody looked, or it could not be seen.

        Nor is it told where that may change by itself, or where the Pod turns packets to other ports on their way in.
        """
        seen = self._seen_sockets.get(backend.owner)
        if seen is None or seen.unavailable:
            return None
        # What listens on nothing at all may be starting; what listens elsewhere has started.
        starts = not seen.listeners and self.is_younger(seen.started, LONGEST_START_SECONDS)
        return None if starts else seen

    def hears(self, backend: Backend, port: ServicePort) -> bool | None:
        """Whether something listens where a port leads to in a backend: its kubelet proves it, or it was seen inside.

        None where neither tells.
        """
        number = self.target_of(port, backend.spec)
        if number is None or port.protocol not in SEEN_PROTOCOLS:
            return None
        if port.protocol == "TCP" and dials_from_outside(backend.spec, number) and any(map(is_ready, backend.pods)):
            return True
        seen = self.sockets(backend)
        return None if seen is None else bool(seen.on(number, port.protocol))

    @cached_property
    def _seen_sockets(self) -> dict[Subject, Sockets | None]:
        seen: dict[Subject, Sockets | None] = {}
        missing: list[NotRead] = []
        for backend in self.backing:
            ready = (pod for pod in backend.pods if is_ready(pod) and not pod.metadata.deletion_timestamp)
            pod = next(ready, None)
            if pod is None or intercepts(backend.spec) or self.is_younger(started_last(pod), SETTLING_SECONDS):
                continue
            try:
                seen[backend.owner] = self.world.sockets_of(pod)
            except NotRead as unseen:
                missing.append(unseen)
        if missing:
            raise NotRead("sockets", missing[0].namespace, None, [want for one in missing for want in one.wants])
        return seen

    @property
    def dns(self) -> Lookups | None:
        """What a Pod of the namespace was told for this and other names; None where nobody was asked."""
        said = (self.world.lookups or {}).get(self.namespace)
        if said is None and self.world.expects_lookups:
            raise NotRead("lookups", self.namespace, None)
        return said


def case_of(view: View, namespace: str, name: str) -> Case | None:
    """A Service, as one asks who looks at another; None where there is none of the name. Raises NotRead.

    What it touches counts as touched by who asks.
    """
    service = view.listed("services", namespace).get(name)
    if service is None:
        return None
    other = Case(view.world, service)
    other.touched = view.touched
    return other


def _version(pod: Pod) -> str:
    return (pod.metadata.labels or {}).get("pod-template-hash", "")
