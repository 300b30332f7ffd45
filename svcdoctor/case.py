"""A Service seen with all that a check may look at: the vocabulary that checks are written in.

Case is for one Service, ClientCase for one workload that calls Services, ClusterCase for the parts that all Services
share. Each is a view on a World: it answers questions and changes nothing. A question whose answer is not in the World
raises NotRead, which the engine turns into `unknown`; so ask cheap and certain questions first, and yield what they
prove before asking for more.

`touched` holds the kinds that were asked for; a test compares it with what a check declares in `reads`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from svcdoctor.corefile import cluster_zone
from svcdoctor.finding import Subject
from svcdoctor.lookup import Lookups
from svcdoctor.nearmiss import NearMiss, nearest
from svcdoctor.objects import (
    ConfigMap,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Event,
    Node,
    Pod,
    PodSpec,
    Service,
    ServicePort,
)
from svcdoctor.podstate import PodState, judge
from svcdoctor.reconcile import slices_of, target_port
from svcdoctor.template import WORKLOAD_RESOURCES, Template, is_scaled_on_demand, matches, templates_in, top_owner
from svcdoctor.text import parse_time
from svcdoctor.world import EVERYWHERE, NotRead, World

T = TypeVar("T")
U = TypeVar("U")
SETTLING_SECONDS = 30.0  # controllers and kubelets are given this long before what they have not done is a fault


class EndpointView(NamedTuple):
    """One address of one slice, with null conditions read as the API defines them."""

    address: str
    endpoint: Endpoint
    slice: EndpointSlice
    ready: bool
    serving: bool
    terminating: bool

    @property
    def pod(self) -> str:
        """The name of the Pod behind the address, "" for an address without one."""
        reference = self.endpoint.target_ref
        return reference.name if reference and reference.kind == "Pod" else ""

    @property
    def ports(self) -> list[EndpointPort]:
        return self.slice.ports or []


class View:
    """What all Cases share: reads of the World, recorded."""

    def __init__(self, world: World, namespace: str) -> None:
        self.world = world
        self.namespace = namespace
        self.touched: set[str] = set()

    def listed(self, resource: str, namespace: str | None = None) -> Mapping[str, Any]:
        """A kind in this Case's namespace (or another), by name. Raises NotRead."""
        self.touched.add(resource)
        return self.world.listed(resource, self.namespace if namespace is None else namespace)

    def everywhere(self, resource: str) -> tuple[list[Any], bool]:
        """A kind in all namespaces we may read, and whether these are all there are."""
        self.touched.add(resource)
        return self.world.everywhere(resource)

    def or_without(self, question: Callable[[], T], answer: U) -> T | U:
        """The answer to a question, or this one where the objects it needs may not be read: for what only adds detail."""
        try:
            return question()
        except NotRead as missing:
            if missing.gap is None:
                raise
            return answer

    def seconds_since(self, moment: str | None) -> float | None:
        return self.world.seconds_since(moment)

    def age(self, item: Any) -> float:
        """Seconds since an object was created; an object without a creation time counts as old."""
        seconds = self.world.seconds_since(item.metadata.creation_timestamp)
        return float("inf") if seconds is None else seconds

    def events(self, kind: str, name: str, namespace: str | None = None) -> list[Event]:
        """Events about one object, oldest first. None is no proof: the API server keeps them for an hour or so."""
        where = self.namespace if namespace is None else namespace
        events = self.listed("events", where)

        def build() -> dict[tuple[str, str], list[Event]]:
            index: dict[tuple[str, str], list[Event]] = defaultdict(list)
            for event in events.values():
                index[event.involved_object.kind, event.involved_object.name].append(event)
            for group in index.values():
                group.sort(key=last_seen)
            return index

        return self.world.derived(("events", where), build).get((kind, name), [])

    def nodes(self) -> Mapping[str, Node]:
        return self.listed("nodes", EVERYWHERE)

    def templates(self, namespace: str | None = None) -> list[Template]:
        """Every Pod template of the namespace with its top-level owner, and the bare Pods; needs all workload kinds."""
        where = self.namespace if namespace is None else namespace
        tables = {kind: self.listed(kind, where) for kind in (*WORKLOAD_RESOURCES, "pods")}
        return self.world.derived(("templates", where), lambda: list(templates_in(tables)))

    def templates_everywhere(self) -> tuple[list[Template], bool]:
        """The same over all namespaces we may read, and whether these are all there are."""
        complete = True
        namespaces: set[str] = set()
        for kind in (*WORKLOAD_RESOURCES, "pods"):
            items, whole = self.everywhere(kind)
            complete = complete and whole
            namespaces.update(item.metadata.namespace for item in items)
        found: list[Template] = []
        for namespace in sorted(namespaces):
            try:
                found += self.templates(namespace)
            except NotRead:
                complete = False
        return found, complete

    @cached_property
    def zone(self) -> str:
        """The cluster's DNS domain, from the Corefile where it can be read, else the default that kubeadm sets."""
        config = self.or_without(self.corefile, None)
        return cluster_zone(config) if config else "cluster.local"

    def corefile(self) -> str | None:
        """CoreDNS's configuration (ConfigMap kube-system/coredns), or None where there is none."""
        config: ConfigMap | None = self.listed("configmaps", "kube-system").get("coredns")
        return (config.data or {}).get("Corefile") if config else None

    def kube_dns(self) -> Service | None:
        """The Service that Pods ask for names: kube-system/kube-dns, whatever serves behind it."""
        service: Service | None = self.listed("services", "kube-system").get("kube-dns")
        return service


class Case(View):
    """One Service."""

    def __init__(self, world: World, service: Service) -> None:
        super().__init__(world, service.metadata.namespace)
        self.service = service
        self.name = service.metadata.name
        self.spec = service.spec
        self.subject = Subject("Service", self.namespace, self.name)

    # --- the Service itself

    @property
    def type(self) -> str:
        return self.spec.type

    @property
    def selector(self) -> dict[str, str]:
        return self.spec.selector or {}

    @property
    def ports(self) -> list[ServicePort]:
        return self.spec.ports or []

    @property
    def is_headless(self) -> bool:
        return self.spec.cluster_ip == "None"

    @property
    def is_external_name(self) -> bool:
        return self.spec.type == "ExternalName"

    @property
    def cluster_ips(self) -> tuple[str, ...]:
        addresses = self.spec.cluster_ips or ([self.spec.cluster_ip] if self.spec.cluster_ip else [])
        return tuple(address for address in addresses if address and address != "None")

    @property
    def is_settling(self) -> bool:
        """Created so recently that what controllers have not done yet proves nothing."""
        return self.age(self.service) < SETTLING_SECONDS

    @property
    def fqdn(self) -> str:
        return f"{self.name}.{self.namespace}.svc.{self.zone}"

    # --- the Pods it expects

    @cached_property
    def pods(self) -> list[Pod]:
        """The expected set: Pods of the namespace that the selector matches, by name."""
        table = self.listed("pods")
        selector = self.selector
        if not selector:
            return []

        def build() -> dict[tuple[str, str], list[Pod]]:
            index: dict[tuple[str, str], list[Pod]] = defaultdict(list)
            for _, pod in sorted(table.items()):
                for pair in (pod.metadata.labels or {}).items():
                    index[pair].append(pod)
            return index

        index = self.world.derived(("pods by label", self.namespace), build)
        rarest = min((index.get(pair, []) for pair in selector.items()), key=len)
        return [pod for pod in rarest if matches(selector, pod.metadata.labels)]

    @cached_property
    def live_pods(self) -> list[Pod]:
        """The expected set without Pods that have run to their end."""
        return [pod for pod in self.pods if pod.status.phase not in ("Succeeded", "Failed")]

    @cached_property
    def matching_templates(self) -> list[Template]:
        """Workloads (and bare Pods) whose Pods the selector would match."""
        return [template for template in self.templates() if matches(self.selector, template.labels)]

    @cached_property
    def near_misses(self) -> list[NearMiss]:
        """Workloads that the selector was probably meant for, nearest first; [] where none comes near."""
        return nearest(self.name, self.selector, self.ports, self.templates(), self.selected_by_others)

    @cached_property
    def selected_by_others(self) -> set[tuple[str, str]]:
        """(kind, name) of the templates in the namespace that another Service selects."""
        services = self.listed("services")
        selectors = [
            other.spec.selector
            for other in services.values()
            if other.spec.selector and other.metadata.name != self.name and other.spec.type != "ExternalName"
        ]
        return {
            (template.kind, template.name)
            for template in self.templates()
            if any(matches(selector, template.labels) for selector in selectors)
        }

    @cached_property
    def backends(self) -> list[PodSpec]:
        """Pod specs that serve, or would: of the expected Pods; else of matching templates; else of the nearest miss.

        So faults that an empty selection masks can still be judged from objects. One spec per top-level owner.
        """
        if not self.selector:
            return []
        if self.live_pods:
            return list({top_owner(pod): pod.spec for pod in self.live_pods}.values())
        if self.matching_templates:
            return [template.spec for template in self.matching_templates]
        return [miss.template.spec for miss in self.near_misses[:1]]

    def pod_state(self, pod: Pod) -> PodState:
        """Why a Pod is or is not ready. Its own conditions speak also where events and nodes may not be read."""
        nodes: Mapping[str, Node] = self.or_without(self.nodes, {})
        events = self.or_without(lambda: self.events("Pod", pod.metadata.name), [])
        return judge(pod, events, nodes.get(pod.spec.node_name or ""), self.world.now)

    @cached_property
    def pod_states(self) -> dict[str, PodState]:
        """The state of each expected Pod that has not run to its end, by name."""
        return {pod.metadata.name: self.pod_state(pod) for pod in self.live_pods}

    @cached_property
    def starting_pods(self) -> list[str]:
        """Names of the Pods that are not ready yet, and nothing but time is to blame."""
        return [name for name, state in self.pod_states.items() if state.code == "unknown-settling"]

    @cached_property
    def is_deliberately_idle(self) -> bool:
        """Whether every workload behind it is at zero replicas by the hand of something that scales it up on demand."""
        matching = self.or_without(lambda: self.matching_templates, [])
        return bool(matching) and all(template.desired == 0 and is_scaled_on_demand(template) for template in matching)

    # --- what the slices hold

    @cached_property
    def slices(self) -> list[EndpointSlice]:
        """All EndpointSlices that belong to this Service by their label."""
        table = self.listed("endpointslices")

        def build() -> dict[str, list[EndpointSlice]]:
            index: dict[str, list[EndpointSlice]] = defaultdict(list)
            for _, item in sorted(table.items()):
                owner = (item.metadata.labels or {}).get("kubernetes.io/service-name")
                if owner:
                    index[owner].append(item)
            return index

        return self.world.derived(("slices by service", self.namespace), build).get(self.name, [])

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
                for address in (endpoint.addresses or [])[:1]:
                    views.append(EndpointView(address, endpoint, piece, ready, serving, terminating))
        return views

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
            if missing.gap is None:
                raise
            # Asked of the World itself: no check declares this kind, which is read only when it has come to this.
            legacy = self.or_without(lambda: self.world.listed("endpoints", self.namespace), {}).get(self.name)
            if legacy is None:
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

    @staticmethod
    def target_of(port: ServicePort, spec: PodSpec) -> int | None:
        """The number a Service port's targetPort is on such a Pod; None for a name it does not declare."""
        return target_port(port, spec)

    # --- what DNS said

    @property
    def is_probed(self) -> bool:
        return self.world.lookups is not None

    @property
    def dns(self) -> Lookups | None:
        """What a Pod of the namespace was told for this and other names; None where nobody was asked."""
        return (self.world.lookups or {}).get(self.namespace)


class ClientCase(View):
    """One workload, as a caller of Services."""

    def __init__(self, world: World, template: Template) -> None:
        super().__init__(world, template.namespace)
        self.template = template
        self.subject = template.subject


class ClusterCase(View):
    """CoreDNS, kube-proxy, controllers and nodes."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "kube-system")
        self.subject = Subject("Cluster", "", world.context or "cluster")


def last_seen(event: Event) -> str:
    """When an event was last observed, RFC 3339; events of the newer API keep it in their series."""
    series = event.series.last_observed_time if event.series else None
    moment = series or event.last_timestamp or event.event_time or event.first_timestamp or event.metadata.creation_timestamp
    parsed = parse_time(moment)
    return parsed.isoformat() if parsed else ""
