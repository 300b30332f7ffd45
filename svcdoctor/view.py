"""View: what every Case can ask of a World, about whatever is not its own; above all about the DNS of the cluster.

`touched` holds the kinds that were asked for; a test compares it with what a check declares in `reads`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from svcdoctor.cachedproperty import cached_property
from svcdoctor.clients.callers import Reference, references
from svcdoctor.endpoints.reconcile import SERVICE_NAME, is_ready
from svcdoctor.finding import Finding, Stage, Status, Step
from svcdoctor.indexes import Index
from svcdoctor.names.corefault import ROLE, asks_itself, complaints, crashing, lacks
from svcdoctor.names.corefile import DEFAULT_ZONE, Directive, ServerBlock, cluster_zones, parse
from svcdoctor.names.lookup import Lookups
from svcdoctor.objectindexes import (
    EVENTS_BY_OBJECT,
    PODS_BY_ADDRESS,
    PODS_BY_OWNER,
    SERVICES_BY_CLUSTER_IP,
    SERVICES_BY_NAME,
    UNOWNED,
    UNOWNED_SLICES,
)
from svcdoctor.objects import RESOURCE_OF_KIND, ClusterRole, ConfigMap, EndpointSlice, Event, Node, Pod, Service
from svcdoctor.pods.sockets import started_last
from svcdoctor.pods.template import (
    TEMPLATE_KINDS,
    WORKLOAD_RESOURCES,
    Template,
    TemplatesByLabel,
    matches,
    template_of,
    templates_in,
    top_owner,
)
from svcdoctor.text import parse_time
from svcdoctor.world import EVERYWHERE, NotRead, Want, World

T = TypeVar("T")
U = TypeVar("U")
STEADY_SECONDS = 60.0  # a CoreDNS Pod has read its configuration and all Services by then


class ClusterDNS(NamedTuple):
    """The Service that Pods ask for names, the Pods that could answer, and the addresses that its slices lead to."""

    service: Service
    pods: list[Pod]
    addresses: list[str]

    @property
    def ready_pods(self) -> list[Pod]:
        return [pod for pod in self.pods if is_ready(pod) and pod.metadata.deletion_timestamp is None]

    @property
    def outage(self) -> str | None:
        """The code of the fault that leaves every Pod without names; None where somebody answers."""
        if self.addresses:
            return None
        return "dns-kubedns-no-endpoints" if self.ready_pods else "dns-coredns-down"


def serves_dns(service: Service, pod: Pod) -> bool:
    """Whether a Pod of kube-system is CoreDNS, or is what the Service selects in its stead."""
    labels = pod.metadata.labels or {}
    images = [container.image.rpartition("/")[2].partition(":")[0] for container in pod.spec.containers or []]
    selected = matches(service.spec.selector or {}, labels)
    return selected or labels.get("k8s-app") == "kube-dns" or any(image.startswith("coredns") for image in images)


def _ready_addresses(slices: Iterable[EndpointSlice]) -> list[str]:
    endpoints = [endpoint for item in slices for endpoint in item.endpoints or []]
    ready = [item for item in endpoints if not item.conditions or item.conditions.ready is not False]
    return [address for item in ready for address in item.addresses or []]


class View:
    """What all Cases share: reads of the World, recorded."""

    def __init__(self, world: World, namespace: str) -> None:
        self.world = world
        self.namespace = namespace
        self.touched: set[str] = set()
        self.waits: set[Step] = set()  # steps that a check could not finish, for want of objects
        # The faults that were found of this Case so far, each with its stage: a later check may know what explains it.
        self.said: list[tuple[Stage, Finding]] = []
        self._answers: dict[str, Any] = {}

    @property
    def may_fail_already(self) -> bool:
        """Whether an earlier check has found what stops traffic, or still waits for what may show that."""
        return bool(self.waits) or any(finding.status is Status.FAIL for _, finding in self.said)

    def listed(self, resource: str, namespace: str | None = None) -> Mapping[str, Any]:
        """A kind in this Case's namespace (or another), by name. Raises NotRead."""
        self.touched.add(resource)
        return self.world.listed(resource, self.namespace if namespace is None else namespace)

    def everywhere(self, resource: str) -> tuple[list[Any], bool]:
        """A kind in all namespaces we may read, and whether these are all there are."""
        self.touched.add(resource)
        return self.world.everywhere(resource)

    def found_everywhere(self, index: Index, key: Hashable = True) -> list[Any]:
        """The objects of an index in all namespaces we may read. Raises NotRead where nobody has tried to."""
        self.sees_all(index.resource)
        return self.world.found_in_sight(index, key)

    def sees_all(self, resource: str) -> bool:
        """Whether a kind was read in all namespaces, or only in those that may be. Raises NotRead where neither."""
        self.touched.add(resource)
        return self.world.sees_all(resource)

    def or_without(self, question: Callable[[], T], answer: U) -> T | U:
        """The answer to a question, or this one where what it needs may not be read: for what only adds detail."""
        try:
            return question()
        except NotRead as missing:
            if missing.gap is None:
                raise
            return answer

    def shared(self, key: Hashable, build: Callable[[], T]) -> T:
        """A value worked out once for all who ask for it. What it took to read counts as read by each of them."""

        def noting() -> tuple[T, frozenset[str]]:
            before, self.touched = self.touched, set()
            try:
                return build(), frozenset(self.touched)
            finally:
                self.touched = before

        value, kinds = self.world.shared(key, noting)
        self.touched |= kinds
        return value

    def once(self, question: str, answer: Callable[[], T]) -> T:
        """The answer to a question that several checks ask of this Case, worked out for the first of them."""
        if question not in self._answers:
            self._answers[question] = answer()
        return self._answers[question]  # type: ignore[no-any-return]

    def seconds_since(self, moment: str | None) -> float | None:
        return self.world.seconds_since(moment)

    def is_younger(self, moment: str | None, seconds: float) -> bool:
        """Whether less time has passed since; ask this rather than for seconds where a threshold is all that counts."""
        return self.world.is_younger(moment, seconds)

    def age(self, item: Any) -> float:
        """Seconds since an object was created; an object without a creation time counts as old."""
        seconds = self.world.seconds_since(item.metadata.creation_timestamp)
        return float("inf") if seconds is None else seconds

    def events(self, kind: str, name: str, namespace: str | None = None) -> list[Event]:
        """Events about one object, oldest first. None is no proof: the API server keeps them for an hour or so."""
        where = self.namespace if namespace is None else namespace
        self.touched.add("events")
        return sorted(self.world.found(EVENTS_BY_OBJECT, where, (kind, name)), key=last_seen)

    def unowned_slices(self) -> list[EndpointSlice]:
        """The EndpointSlices of the namespace that were written by hand, or by what does not sign its work."""
        self.touched.add("endpointslices")
        return self.world.found(UNOWNED_SLICES, self.namespace, True)

    def unowned_slices_in_sight(self) -> list[EndpointSlice]:
        """The same of all namespaces that were read."""
        self.touched.add("endpointslices")
        return self.world.found_in_sight(UNOWNED_SLICES, True)

    def services_named(self, name: str) -> list[Service]:
        """The Services of this name, of all namespaces that were read."""
        self.touched.add("services")
        return self.world.found_in_sight(SERVICES_BY_NAME, name)

    def services_at(self, address: str) -> list[Service]:
        """The Services, of all namespaces that were read, that have this cluster IP."""
        self.touched.add("services")
        return self.world.found_in_sight(SERVICES_BY_CLUSTER_IP, address)

    def pods_at(self, address: str) -> tuple[list[Pod], bool]:
        """The Pods that have this address, and whether we could look in all namespaces."""
        self.touched.add("pods")
        complete = self.world.namespaces_of("pods")[1]
        return self.world.found_in_sight(PODS_BY_ADDRESS, address), complete

    def nodes(self) -> Mapping[str, Node]:
        return self.listed("nodes", EVERYWHERE)

    def templates(self, namespace: str | None = None, *, besides: Collection[str] = ()) -> list[Template]:
        """Every Pod template of the namespace with its top-level owner, and the bare Pods; needs all workload kinds,
        `besides` these where no Pod was made by one."""
        where = self.namespace if namespace is None else namespace
        self.touched.update(WORKLOAD_RESOURCES, ("pods",))

        def build() -> list[Template]:
            kinds = self.kinds_there(where, besides)
            self.need(kinds, where)
            tables = {kind: self.world.found(UNOWNED[kind], where, True) for kind in kinds}
            return list(
                templates_in({kind: {item.metadata.name: item for item in found} for kind, found in tables.items()})
            )

        return self.shared(("templates", where, besides), build)

    def kinds_there(self, namespace: str, besides: Collection[str]) -> list[str]:
        """The kinds of workloads, and Pods, `besides` those of these that were not read and by which no Pod of the
        namespace was made."""
        unread = [kind for kind in besides if not self.world.was_read(kind, namespace)]
        makers = (
            {kind for pod in self.world.listed("pods", namespace).values() for kind in [top_owner(pod)[0]]}
            if unread
            else ()
        )
        idle = {kind for kind in unread if TEMPLATE_KINDS[kind] not in makers}
        return [kind for kind in TEMPLATE_KINDS if kind not in idle]

    def need(self, kinds: Iterable[str], namespace: str) -> None:
        """Raises NotRead, which names all of these kinds that nobody has tried to read."""
        missing = [Want(kind, namespace) for kind in kinds if not self.world.is_answered(kind, namespace)]
        if missing:
            raise NotRead(*missing[0], None, missing)

    def templates_selected_by(self, selector: Mapping[str, str]) -> list[Template]:
        """Those of this Case's namespace whose Pods a selector finds."""
        return self.templates_by_label().selected_by(selector)

    def templates_by_label(self, besides: Collection[str] = ()) -> TemplatesByLabel:
        key = ("templates by label", self.namespace, besides)
        return self.shared(key, lambda: TemplatesByLabel(self.templates(besides=besides)))

    def pods_of(self, template: Template) -> list[Pod]:
        """The Pods that a workload of the namespace made, or the bare Pod itself, by name."""
        self.touched.add("pods")
        return self.world.found(PODS_BY_OWNER, self.namespace, (template.kind, template.name))

    def templates_everywhere(self) -> tuple[list[Template], bool]:
        """The same over all namespaces we may read, and whether these are all there are."""
        complete = True
        namespaces: set[str] = set()
        self.need((*WORKLOAD_RESOURCES, "pods"), EVERYWHERE)
        for kind in (*WORKLOAD_RESOURCES, "pods"):
            self.touched.add(kind)
            places, whole = self.world.namespaces_of(kind)
            complete = complete and whole
            namespaces.update(places)
        found: list[Template] = []
        for namespace in sorted(namespaces):
            try:
                found += self.templates(namespace)
            except NotRead:
                complete = False
        return found, complete

    @cached_property
    def client(self) -> tuple[Pod, Template] | None:
        """The client that a person named, and what made it; None where nobody named one, or it is gone."""
        said = self.world.connections
        pod: Pod | None = self.listed("pods", said.namespace).get(said.pod) if said else None
        if said is None or pod is None:
            return None
        made = self.or_without(lambda: self.templates(said.namespace), [])
        template = next((item for item in made if (item.kind, item.name) == top_owner(pod)), None)
        return pod, template or template_of("Pod", pod)

    def references_of(self, template: Template) -> list[Reference]:
        """Every Service that a workload names in its settings and commands."""
        self.touched.update(("configmaps", "namespaces"))
        resource = RESOURCE_OF_KIND[template.kind].name

        def build() -> list[Reference]:
            self.world.listed(resource, template.namespace).get(template.name)  # what it is worked out from
            return references(template, self.zone, self.known_namespaces(), partial(self.config, template.namespace))

        return self.shared(("references", template.kind, template.namespace, template.name), build)

    def config(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """What a ConfigMap holds, or None where there is none or it may not be read."""
        configs: Mapping[str, ConfigMap] = self.or_without(lambda: self.listed("configmaps", namespace), {})
        return (configs[name].data or {}) if name in configs else None

    def known_namespaces(self) -> Collection[str]:
        """The namespaces that exist; where they may not be listed, those that we hold Services of."""
        listed: Mapping[str, Any] | None = self.or_without(lambda: self.listed("namespaces", EVERYWHERE), None)
        if listed is not None:
            return listed
        self.touched.add("services")
        return {*self.or_without(lambda: self.world.namespaces_of("services")[0], []), self.namespace}

    @cached_property
    def zone(self) -> str:
        """The cluster's DNS domain, from the Corefile where it can be read, else the default that kubeadm sets."""
        self.touched.add("configmaps")

        def build() -> str:
            return next(iter(cluster_zones(self.or_without(self.corefile, []))), DEFAULT_ZONE)

        return self.shared("zone", build)

    def corefile(self) -> list[ServerBlock]:
        """CoreDNS's configuration (ConfigMap kube-system/coredns with what it imports); [] where there is none."""
        self.touched.add("configmaps")

        def build() -> list[ServerBlock]:
            return parse(self.corefile_text(), self.corefile_imports())

        return self.shared("corefile", build)

    def corefile_text(self) -> str:
        """The same as it is written; "" where there is none."""
        config: ConfigMap | None = self.listed("configmaps", "kube-system").get("coredns")
        return (config.data or {}).get("Corefile", "") if config else ""

    def corefile_imports(self) -> dict[str, str]:
        """What lies beside the Corefile, by file name: its ConfigMap's other keys, and those of coredns-custom."""
        configs = self.listed("configmaps", "kube-system")
        found = [configs[name].data or {} for name in ("coredns", "coredns-custom") if name in configs]
        return {name: text for data in found for name, text in data.items() if name != "Corefile"}

    def kube_dns(self) -> Service | None:
        """The Service that Pods ask for names: kube-system/kube-dns, whatever serves behind it."""
        service: Service | None = self.listed("services", "kube-system").get("kube-dns")
        return service

    def cluster_dns(self) -> ClusterDNS | None:
        """What answers behind kube-system/kube-dns, or None where the cluster has no such Service."""

        def build() -> ClusterDNS | None:
            service = self.kube_dns()
            if service is None:
                return None
            pods, slices = self.listed("pods", "kube-system"), self.listed("endpointslices", "kube-system")
            serving = [pod for _, pod in sorted(pods.items()) if serves_dns(service, pod)]
            own = [item for item in slices.values() if (item.metadata.labels or {}).get(SERVICE_NAME) == "kube-dns"]
            return ClusterDNS(service, serving, _ready_addresses(own))

        return self.shared("cluster dns", build)

    def served_dns(self) -> list[str]:
        """The ready addresses behind kube-dns where nothing but its slices was read: then no more need be."""
        if any(self.world.was_read(kind, "kube-system") for kind in ("services", "pods")):
            return []
        slices = self.or_without(lambda: self.listed("endpointslices", "kube-system"), {}).values()
        own = [item for item in slices if (item.metadata.labels or {}).get(SERVICE_NAME) == "kube-dns"]
        return _ready_addresses(own)

    def coredns_fault(self) -> str | None:
        """The code of what keeps CoreDNS from starting or from getting ready, where objects tell it."""
        dns = self.cluster_dns()
        if dns is None or not dns.pods:
            return None
        if crashing(dns.pods):
            if complaints(self.corefile_text(), self.corefile_imports()):
                return "dns-corefile-invalid"
            return "dns-loop" if self.coredns_circle() else None
        return "dns-coredns-rbac" if self.coredns_lacks() else None

    def coredns_circle(self) -> tuple[Directive, str] | None:
        """The line with which CoreDNS asks itself, and where that leads."""
        dns = self.cluster_dns()
        if dns is None:
            return None
        addresses = {*(dns.service.spec.cluster_ips or ()), dns.service.spec.cluster_ip or "", *dns.addresses}
        policies = {pod.spec.dns_policy for pod in dns.pods if not pod.spec.host_network}
        return asks_itself(self.corefile(), addresses, policies == {"ClusterFirst"})

    def coredns_lacks(self) -> list[str]:
        """The rights that CoreDNS needs and its ClusterRole does not give; [] also where that may not be read."""
        roles: Mapping[str, ClusterRole] = self.or_without(lambda: self.listed("clusterroles", EVERYWHERE), {})
        return lacks(roles[ROLE]) if ROLE in roles else []

    def is_steady_server(self, pod: Pod) -> bool:
        """Whether a CoreDNS Pod has run for a while and is to go on: during a rollout it may say what others do not."""
        starts = self.is_younger(started_last(pod), STEADY_SECONDS)
        return is_ready(pod) and not pod.metadata.deletion_timestamp and not starts

    def dns_servers(self) -> dict[str, Lookups]:
        """What each CoreDNS Pod behind kube-dns said when it was asked by itself, by name; only of those that are
        steady. {} where nobody asked."""
        said = self.world.lookups or {}
        dns = self.or_without(self.cluster_dns, None) if said else None
        pods = [pod for pod in dns.pods if pod.status.pod_ip in dns.addresses] if dns and said else []
        places = {pod.metadata.name: f"kube-system/{pod.metadata.name}" for pod in pods if self.is_steady_server(pod)}
        return {name: said[place] for name, place in places.items() if place in said}

    def dns_outage(self) -> str | None:
        """The code of the fault that leaves all Pods without names; None while somebody answers, or where unknown."""
        dns = self.or_without(self.cluster_dns, None)
        return dns.outage if dns else None


def last_seen(event: Event) -> str:
    """When an event was last observed, RFC 3339; events of the newer API keep it in their series."""
    series = event.series.last_observed_time if event.series else None
    moment = (
        series or event.last_timestamp or event.event_time or event.first_timestamp or event.metadata.creation_timestamp
    )
    parsed = parse_time(moment)
    return parsed.isoformat() if parsed else ""
