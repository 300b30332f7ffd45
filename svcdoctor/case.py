"""A Service seen with all that a check may look at: the vocabulary that checks are written in.

Case is for one Service, ClientCase for one workload that calls Services, ClusterCase for the parts that all Services
share. Each is a view on a World: it answers questions and changes nothing. A question whose answer is not in the World
raises NotRead, which the engine turns into `unknown`; so ask cheap and certain questions first, and yield what they
prove before asking for more.

`touched` holds the kinds that were asked for; a test compares it with what a check declares in `reads`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from svcdoctor.cachedproperty import cached_property
from svcdoctor.clients.callers import Reference, hosts_of, references
from svcdoctor.clients.hosts import Host
from svcdoctor.clients.mentions import words_in, words_of
from svcdoctor.clients.peers import Peer, is_awaited, peers_of
from svcdoctor.clients.serviceenv import EnvironmentFault, fault_of, has_unready_container
from svcdoctor.clients.settings import Setting, configs_of, settings_of
from svcdoctor.endpoints.nearmiss import NearMiss, nearest
from svcdoctor.endpoints.reconcile import SERVICE_NAME, is_ready, is_truncated, pod_addresses, slices_of, target_port
from svcdoctor.finding import Finding, Stage, Status, Step, Subject
from svcdoctor.indexes import Index, those
from svcdoctor.names.corefault import ROLE, asks_itself, complaints, crashing, lacks
from svcdoctor.names.corefile import DEFAULT_ZONE, Directive, ServerBlock, cluster_zones, parse
from svcdoctor.names.lookup import Lookups
from svcdoctor.objects import (
    RESOURCE_OF_KIND,
    ClusterRole,
    ConfigMap,
    CronJob,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Event,
    Ingress,
    Node,
    Pod,
    PodSpec,
    Route,
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
    POD_NAME,
    TEMPLATE_KINDS,
    WORKLOAD_RESOURCES,
    Template,
    TemplatesByLabel,
    former_owner,
    is_owned,
    is_scaled_on_demand,
    matches,
    template_of,
    templates_in,
    top_owner,
)
from svcdoctor.text import parse_time
from svcdoctor.world import EVERYWHERE, NotRead, Want, World

T = TypeVar("T")
U = TypeVar("U")


def words_of_item(kind: str, item: Any) -> set[str]:
    return set() if is_owned(item) else words_of(template_of(kind, item).spec)


def configs_of_item(kind: str, item: Any) -> set[str]:
    return set() if is_owned(item) else configs_of(template_of(kind, item).spec)


PODS_BY_LABEL = Index("pods by label", "pods", lambda pod: (pod.metadata.labels or {}).items())
# What templates_in leaves out anyway is kept from it: Pods and ReplicaSets change all the time.
# Where a Service could be named; a ConfigMap's words count for whoever takes settings from it.
MENTIONING = {
    resource: Index(f"{resource} by word", resource, partial(words_of_item, kind))
    for resource, kind in TEMPLATE_KINDS.items()
}
CONFIGURED_BY = {
    resource: Index(f"{resource} by configmap", resource, partial(configs_of_item, kind))
    for resource, kind in TEMPLATE_KINDS.items()
}
CONFIGS_MENTIONING = Index("configmaps by word", "configmaps", words_in)
UNOWNED = {
    kind: those(f"unowned {kind}", kind, lambda item: not is_owned(item))
    for kind in (*WORKLOAD_RESOURCES, "pods")
    if kind != "cronjobs"
} | {"cronjobs": those("all cronjobs", "cronjobs", lambda _: True)}
SLICES_BY_SERVICE = Index(
    "slices by service", "endpointslices", lambda item: filter(None, [(item.metadata.labels or {}).get(SERVICE_NAME)])
)
SERVICES_BY_CLUSTER_IP = Index(
    "services by cluster ip",
    "services",
    lambda item: {ip for ip in item.spec.cluster_ips or [item.spec.cluster_ip] if ip and ip != "None"},
)
SERVICES_BY_NAME = Index("services by name", "services", lambda item: (item.metadata.name,))
# What a controller wrote belongs to the object that it was written for, and goes with it.
UNOWNED_SLICES = those("unowned slices", "endpointslices", lambda item: not item.metadata.owner_references)
SERVICES_BY_SELECTOR = Index(
    "services by selector",
    "services",
    lambda item: [frozenset(item.spec.selector.items())] if item.spec.selector else (),
)


def wanted_labels(service: Service) -> Iterable[Hashable]:
    """What a label has to be for the selector to find it; of one that names a Pod by its number also that it does."""
    selector = service.spec.selector or {}
    if service.spec.type == "ExternalName":
        return ()
    return [*selector.items(), *([POD_INDEX] if {POD_NAME, POD_INDEX} & selector.keys() else ())]


SERVICES_BY_WANTED_LABEL = Index("services by wanted label", "services", wanted_labels)
PODS_BY_ADDRESS = Index("pods by address", "pods", pod_addresses)
PODS_LET_GO = Index("pods let go", "pods", lambda pod: filter(None, [former_owner(pod)]))
CRONJOBS_BY_LABEL = Index(
    "cronjobs by label",
    "cronjobs",
    lambda item: (item.spec.job_template.spec.template.metadata.labels or {}).items(),
)
REPLICA_SETS_BY_OWNER = Index(
    "replicasets by owner",
    "replicasets",
    lambda item: [owner.uid for owner in item.metadata.owner_references or () if owner.controller],
)
STATEFULSETS_BY_SERVICE = Index(
    "statefulsets by service", "statefulsets", lambda item: filter(None, [item.spec.service_name])
)
PODS_BY_OWNER = Index("pods by owner", "pods", lambda pod: [top_owner(pod)])
EVENTS_BY_OBJECT = Index(
    "events by object", "events", lambda event: [(event.involved_object.kind, event.involved_object.name)]
)
ENTRY_RESOURCES = {
    "ingresses": "Ingress",
    "httproutes": "HTTPRoute",
    "grpcroutes": "GRPCRoute",
    "tlsroutes": "TLSRoute",
}
ENTRIES_BY_SERVICE = {
    resource: Index(
        f"{resource} by service", resource, lambda item: {(one.namespace, one.name) for one in backends_of(item)}
    )
    for resource in ENTRY_RESOURCES
}
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


def may_be_called_by_api_server(service: Service) -> bool:
    """Whether it could stand behind a webhook or an extension of the API: these are called through TLS alone."""
    words = ("https", "tls", "webhook", "admission")
    return any(port.port % 1000 == 443 or any(word in port.name for word in words) for port in service.spec.ports or ())


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

    def case_of(self, namespace: str, name: str) -> Case | None:
        """Another Service, seen as this one is; None where there is none of the name. Raises NotRead.

        What it touches counts as touched here.
        """
        service = self.listed("services", namespace).get(name)
        if service is None:
            return None
        other = Case(self.world, service)
        other.touched = self.touched
        return other

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


class Case(View):
    """One Service."""

    def __init__(self, world: World, service: Service) -> None:
        super().__init__(world, service.metadata.namespace)
        self.service = service
        self.name = service.metadata.name
        self.spec = spec = service.spec
        self.subject = Subject("Service", self.namespace, self.name)
        self.type = spec.type
        self.selector: dict[str, str] = spec.selector or {}
        self.ports: list[ServicePort] = spec.ports or []
        self.is_headless = spec.cluster_ip == "None"
        self.is_external_name = spec.type == "ExternalName"

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


class ClientCase(View):
    """One workload, as a caller of Services; or of one alone (`to`), which it need not name."""

    def __init__(self, world: World, template: Template, to: Case | None = None) -> None:
        super().__init__(world, template.namespace)
        self.template = template
        self.subject = template.subject
        self.to = to

    @cached_property
    def references(self) -> list[Reference]:
        """Every Service that this workload names in its settings and commands."""
        found = self.references_of(self.template)
        if self.to is None:
            return found
        place = (self.to.name, self.to.namespace)
        named = [item for item in found if item.certain and (item.service, item.namespace) == place]
        return named or [self.to.reference_of_client]

    @cached_property
    def settings(self) -> list[Setting]:
        """Every piece of text in which it may be told of a host."""
        return list(settings_of(self.template, partial(self.config, self.namespace)))

    @cached_property
    def hosts(self) -> list[tuple[Setting, Host]]:
        """Every host that it names, of the cluster or not, with where it does."""
        return list(hosts_of(self.settings))

    def calls(self, namespace: str, names: tuple[str, ...]) -> bool:
        """Whether it names one of these Services; any namespace counts where none is given."""
        if words_of(self.template.spec).isdisjoint(names) and not configs_of(self.template.spec):
            return False
        return any(
            reference.service in names and namespace in ("", reference.namespace) for reference in self.references
        )

    @cached_property
    def named(self) -> dict[tuple[str, str], list[Reference]]:
        """The (namespace, name) of each Service that it surely names, with where it does."""
        found: dict[tuple[str, str], list[Reference]] = defaultdict(list)
        for reference in self.references:
            if reference.certain:
                found[reference.namespace, reference.service].append(reference)
        return found

    @cached_property
    def absent(self) -> dict[tuple[str, str], list[Reference]]:
        """Those of them that do not exist, and that nothing else answers."""
        return {
            (namespace, name): uses
            for (namespace, name), uses in self.named.items()
            if (services := self.services_of(namespace)) is not None
            and name not in services
            and not all(self._has_another_answer(use) for use in uses)
        }

    def services_of(self, namespace: str) -> Mapping[str, Service] | None:
        """The Services of a namespace by name; None where they may not be read: then nothing is said about them."""
        return self.or_without(lambda: self.listed("services", namespace), None)

    def _has_another_answer(self, reference: Reference) -> bool:
        """Whether something else than a Service of that name answers it, or may."""
        labels = reference.host.rstrip(".").split(".")
        config = self.template.spec.dns_config
        if len(labels) < 3 and config and config.searches:
            return True
        if len(labels) == 2 and labels[1] in (self.services_of(self.namespace) or {}):
            return True  # a Pod of a headless Service
        if labels[0] in self.or_without(self.nodes, {}):
            return True  # kube-proxy names the node of the control plane
        asked = (self.world.lookups or {}).get(self.namespace)
        answer = asked.answer(reference.host) if asked else None
        return answer is not None and answer.answered

    def askers_for(self, service: str) -> list[Peer]:
        """Where this workload, or another that was read, names a Service of its own namespace, or Pods of this one."""
        found = peers_of(self.template, service, partial(self.config, self.namespace))
        for resource, kind in TEMPLATE_KINDS.items():
            self.touched.add(resource)
            for item in self.world.found_in_sight(MENTIONING[resource], service):
                other = template_of(kind, item)
                if other.subject != self.subject:
                    read = partial(self.config, other.namespace)
                    found += peers_of(other, service, read, owner=self.template.name)
        return found

    @property
    def is_idle(self) -> bool:
        """Runs nothing now and calls nobody: scaled to zero, or run to its end."""
        owner = self.template.owner
        if self.template.kind == "Pod":
            return owner.status.phase in ("Succeeded", "Failed")
        if self.template.kind == "Job":
            ended = (owner.status.conditions if owner.status else None) or ()
            return any(condition.type in ("Complete", "Failed") and condition.status == "True" for condition in ended)
        return self.template.desired == 0

    @property
    def asks_cluster_dns(self) -> bool:
        """Whether the kubelet gives its Pods the cluster's DNS server; on the host network ClusterFirst does not."""
        policy = self.template.spec.dns_policy
        return policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not self.template.spec.host_network)


class EntryBackend(NamedTuple):
    """A Service as an Ingress or a Route names it."""

    namespace: str
    name: str
    port: int | str | None  # number or name, as written; None where it says none
    weight: int | None
    source: str  # the field: `.spec.rules[0].http.paths[1].backend`


def backends_of(owner: Ingress | Route) -> list[EntryBackend]:
    """Every Service that an Ingress or a Route names, in its order, each once for a port."""
    found: dict[tuple[str, str, int | str | None], EntryBackend] = {}
    written = _ingress_backends(owner) if isinstance(owner, Ingress) else _route_backends(owner)
    for backend in written:
        found.setdefault((backend.namespace, backend.name, backend.port), backend)
    return list(found.values())


def _ingress_backends(ingress: Ingress) -> Iterator[EntryBackend]:
    written = [(ingress.spec.default_backend, ".spec.defaultBackend")]
    for number, rule in enumerate(ingress.spec.rules or ()):
        for index, path in enumerate((rule.http.paths if rule.http else None) or ()):
            written.append((path.backend, f".spec.rules[{number}].http.paths[{index}].backend"))
    for backend, source in written:
        if backend and backend.service:
            port = backend.service.port.name or backend.service.port.number or None
            yield EntryBackend(ingress.metadata.namespace, backend.service.name, port, None, source)


def _route_backends(route: Route) -> Iterator[EntryBackend]:
    for number, rule in enumerate(route.spec.rules or ()):
        for index, ref in enumerate(rule.backend_refs or ()):
            if ref.kind == "Service" and not ref.group:
                source = f".spec.rules[{number}].backendRefs[{index}]"
                namespace = ref.namespace or route.metadata.namespace
                yield EntryBackend(namespace, ref.name, ref.port, ref.weight, source)


class ClusterCase(View):
    """CoreDNS, kube-proxy, controllers and nodes."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "kube-system")
        self.subject = Subject("Cluster", "", world.context or "cluster")


class Entry(NamedTuple):
    """An object that leads requests from outside to Services: an Ingress or a Route of the Gateway API."""

    kind: str
    namespace: str
    name: str
    owner: Ingress | Route

    @property
    def subject(self) -> Subject:
        return Subject(self.kind, self.namespace, self.name)


class EntryCase(View):
    """One Ingress or Route, and the Services that it leads to."""

    def __init__(self, world: World, entry: Entry) -> None:
        super().__init__(world, entry.namespace)
        self.entry = entry
        self.subject = entry.subject

    @cached_property
    def backends(self) -> list[EntryBackend]:
        """Every Service that it names, once for each port."""
        return backends_of(self.entry.owner)

    @cached_property
    def is_told_of_services(self) -> bool:
        """Whether it leads to a Service of its own namespace that exists: what ails it is said of that Service."""
        services = self.or_without(lambda: self.listed("services"), None)
        here = [backend.name for backend in self.backends if backend.namespace == self.namespace]
        return any(services is None or name in services for name in here)

    def calls(self, namespace: str, names: tuple[str, ...]) -> bool:
        """Whether it leads to one of these Services; any namespace counts where none is given."""
        return any(backend.name in names and namespace in ("", backend.namespace) for backend in self.backends)


def _version(pod: Pod) -> str:
    return (pod.metadata.labels or {}).get("pod-template-hash", "")


def given_addresses(item: Service | Ingress) -> list[str]:
    """The addresses or names that a load balancer, or an ingress controller, has been given for it."""
    balancer = item.status.load_balancer if item.status else None
    return [item.ip or item.hostname or "" for item in (balancer.ingress if balancer else None) or []]


def last_seen(event: Event) -> str:
    """When an event was last observed, RFC 3339; events of the newer API keep it in their series."""
    series = event.series.last_observed_time if event.series else None
    moment = (
        series or event.last_timestamp or event.event_time or event.first_timestamp or event.metadata.creation_timestamp
    )
    parsed = parse_time(moment)
    return parsed.isoformat() if parsed else ""
