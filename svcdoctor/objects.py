"""The Kubernetes objects, as far as a diagnosis reads them.

Each Struct has exactly the fields that a check, the report or the walk uses, under the API's own names in snake case
(https://kubernetes.io/docs/reference/kubernetes-api/). Unknown fields are skipped while decoding; every list and map
may be null, as the API allows. Structs are frozen and hold no cycles, so threads share them and the collector does not
walk them (gc=False). Times stay RFC 3339 strings until somebody needs to compare them.

RESOURCES says for each kind where the API serves it.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class Object(Struct, rename="camel", gc=False, frozen=True, omit_defaults=True):
    """What all these Structs are: camel case on the wire, immutable, without their default values when written."""


# --- metadata ---------------------------------------------------------------------------------------------------


class OwnerReference(Object, frozen=True):
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Metadata(Object, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None
    finalizers: list[str] | None = None


class Condition(Object, frozen=True):
    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None
    last_update_time: str | None = None
    observed_generation: int | None = None


class LabelSelectorRequirement(Object, frozen=True):
    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class LabelSelector(Object, frozen=True):
    match_labels: dict[str, str] | None = None
    match_expressions: list[LabelSelectorRequirement] | None = None


# --- Service and what serves it ---------------------------------------------------------------------------------


class ServicePort(Object, frozen=True):
    port: int = 0
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None
    node_port: int = 0
    app_protocol: str | None = None


class ServiceSpec(Object, frozen=True):
    type: str = "ClusterIP"
    selector: dict[str, str] | None = None
    ports: list[ServicePort] | None = None
    cluster_ip: str | None = field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = field(default=None, name="clusterIPs")
    external_ips: list[str] | None = field(default=None, name="externalIPs")
    external_name: str | None = None
    external_traffic_policy: str | None = None
    health_check_node_port: int = 0
    internal_traffic_policy: str | None = None
    session_affinity: str | None = None
    ip_families: list[str] | None = None
    ip_family_policy: str | None = None
    publish_not_ready_addresses: bool = False
    load_balancer_class: str | None = None
    load_balancer_ip: str | None = field(default=None, name="loadBalancerIP")
    load_balancer_source_ranges: list[str] | None = None
    allocate_load_balancer_node_ports: bool | None = None
    traffic_distribution: str | None = None


class LoadBalancerPortStatus(Object, frozen=True):
    port: int = 0
    protocol: str = "TCP"
    error: str | None = None


class LoadBalancerIngress(Object, frozen=True):
    ip: str | None = None
    hostname: str | None = None
    ip_mode: str | None = None
    ports: list[LoadBalancerPortStatus] | None = None


class LoadBalancerStatus(Object, frozen=True):
    ingress: list[LoadBalancerIngress] | None = None


class ServiceStatus(Object, frozen=True):
    load_balancer: LoadBalancerStatus | None = None
    conditions: list[Condition] | None = None


class Service(Object, frozen=True):
    metadata: Metadata
    spec: ServiceSpec = field(default_factory=ServiceSpec)
    status: ServiceStatus | None = None


class EndpointConditions(Object, frozen=True):
    """Null means ready and serving, and not terminating (KEP-1672)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ObjectReference(Object, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    field_path: str | None = None


class EndpointHint(Object, frozen=True):
    name: str = ""


class EndpointHints(Object, frozen=True):
    """The zones, and since v1.34 the nodes, whose clients are to be led to this endpoint (KEP-2433, KEP-3015)."""

    for_zones: list[EndpointHint] | None = None
    for_nodes: list[EndpointHint] | None = None


class Endpoint(Object, frozen=True):
    addresses: list[str] | None = None
    conditions: EndpointConditions | None = None
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointPort(Object, frozen=True):
    port: int | None = None
    name: str | None = None
    protocol: str | None = None
    app_protocol: str | None = None


class EndpointSlice(Object, frozen=True):
    metadata: Metadata
    address_type: str = "IPv4"
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None


class EndpointAddress(Object, frozen=True):
    ip: str = ""
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointSubset(Object, frozen=True):
    addresses: list[EndpointAddress] | None = None
    not_ready_addresses: list[EndpointAddress] | None = None
    ports: list[EndpointPort] | None = None


class Endpoints(Object, frozen=True):
    """The legacy object, deprecated since v1.33 (KEP-4974); read only where EndpointSlices cannot be."""

    metadata: Metadata
    subsets: list[EndpointSubset] | None = None


# --- Pods --------------------------------------------------------------------------------------------------------


class ConfigMapKeySelector(Object, frozen=True):
    name: str = ""
    key: str = ""
    optional: bool | None = None


class EnvVarSource(Object, frozen=True):
    config_map_key_ref: ConfigMapKeySelector | None = None


class EnvVar(Object, frozen=True):
    name: str = ""
    value: str | None = None
    value_from: EnvVarSource | None = None


class LocalReference(Object, frozen=True):
    """An object of the same namespace, by its name."""

    name: str = ""
    optional: bool | None = None


class EnvFromSource(Object, frozen=True):
    """Every key of a ConfigMap or Secret as a variable, with the prefix before its name."""

    prefix: str = ""
    config_map_ref: LocalReference | None = None
    secret_ref: LocalReference | None = None


class HTTPGetAction(Object, frozen=True):
    path: str | None = None
    port: int | str = 0
    scheme: str | None = None
    host: str | None = None


class TCPSocketAction(Object, frozen=True):
    port: int | str = 0
    host: str | None = None


class GRPCAction(Object, frozen=True):
    port: int = 0


class ExecAction(Object, frozen=True):
    command: list[str] | None = None


class Probe(Object, frozen=True):
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    exec: ExecAction | None = None
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3
    initial_delay_seconds: int = 0


class ContainerPort(Object, frozen=True):
    container_port: int = 0
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0


class ResourceRequirements(Object, frozen=True):
    """Quantities as written: `100m`, `16Mi`, or a bare number."""

    requests: dict[str, str | int | float] | None = None
    limits: dict[str, str | int | float] | None = None


class Capabilities(Object, frozen=True):
    add: list[str] | None = None
    drop: list[str] | None = None


class Sysctl(Object, frozen=True):
    name: str = ""
    value: str = ""


class SecurityContext(Object, frozen=True):
    """A container's, or a Pod's: the fields they share by name, and those of one of them."""

    run_as_user: int | None = None
    run_as_non_root: bool | None = None
    privileged: bool | None = None
    capabilities: Capabilities | None = None
    sysctls: list[Sysctl] | None = None


class SleepAction(Object, frozen=True):
    seconds: int = 0


class LifecycleHandler(Object, frozen=True):
    exec: ExecAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(Object, frozen=True):
    pre_stop: LifecycleHandler | None = None


class Container(Object, frozen=True):
    name: str = ""
    image: str = ""
    command: list[str] | None = None
    args: list[str] | None = None
    env: list[EnvVar] | None = None
    env_from: list[EnvFromSource] | None = None
    ports: list[ContainerPort] | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    startup_probe: Probe | None = None
    restart_policy: str | None = None
    resources: ResourceRequirements | None = None
    lifecycle: Lifecycle | None = None
    security_context: SecurityContext | None = None


class PodDNSConfigOption(Object, frozen=True):
    name: str = ""
    value: str | None = None


class PodDNSConfig(Object, frozen=True):
    nameservers: list[str] | None = None
    searches: list[str] | None = None
    options: list[PodDNSConfigOption] | None = None


class ReadinessGate(Object, frozen=True):
    condition_type: str = ""


class HostAlias(Object, frozen=True):
    ip: str = ""
    hostnames: list[str] | None = None


class PersistentVolumeClaimSource(Object, frozen=True):
    claim_name: str = ""


class HostPathVolumeSource(Object, frozen=True):
    path: str = ""


class KeyToPath(Object, frozen=True):
    key: str = ""
    path: str = ""


class ConfigMapVolumeSource(Object, frozen=True):
    """Every key as a file, or those in `items`."""

    name: str = ""
    items: list[KeyToPath] | None = None
    optional: bool | None = None


class VolumeProjection(Object, frozen=True):
    config_map: ConfigMapVolumeSource | None = None


class ProjectedVolumeSource(Object, frozen=True):
    sources: list[VolumeProjection] | None = None


class Volume(Object, frozen=True):
    name: str = ""
    config_map: ConfigMapVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimSource | None = None


class PodSpec(Object, frozen=True):
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    node_name: str | None = None
    host_network: bool = False
    restart_policy: str = "Always"
    dns_policy: str = "ClusterFirst"
    enable_service_links: bool | None = None
    dns_config: PodDNSConfig | None = None
    host_aliases: list[HostAlias] | None = None
    readiness_gates: list[ReadinessGate] | None = None
    hostname: str | None = None
    subdomain: str | None = None
    termination_grace_period_seconds: int | None = None
    security_context: SecurityContext | None = None
    node_selector: dict[str, str] | None = None
    scheduler_name: str | None = None
    runtime_class_name: str | None = None
    volumes: list[Volume] | None = None
    service_account_name: str | None = None


class ContainerStateWaiting(Object, frozen=True):
    reason: str | None = None
    message: str | None = None


class ContainerStateRunning(Object, frozen=True):
    started_at: str | None = None


class ContainerStateTerminated(Object, frozen=True):
    exit_code: int = 0
    signal: int | None = None
    reason: str | None = None
    message: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


class ContainerState(Object, frozen=True):
    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(Object, frozen=True):
    name: str = ""
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    image: str = ""
    state: ContainerState | None = None
    last_state: ContainerState | None = None


class PodIP(Object, frozen=True):
    ip: str = ""


class PodStatus(Object, frozen=True):
    phase: str = ""
    reason: str | None = None
    message: str | None = None
    pod_ip: str | None = field(default=None, name="podIP")
    pod_ips: list[PodIP] | None = field(default=None, name="podIPs")
    host_ip: str | None = field(default=None, name="hostIP")
    start_time: str | None = None
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class Pod(Object, frozen=True):
    metadata: Metadata
    spec: PodSpec = field(default_factory=PodSpec)
    status: PodStatus = field(default_factory=PodStatus)


# --- workloads ---------------------------------------------------------------------------------------------------


class PodTemplateSpec(Object, frozen=True):
    metadata: Metadata = field(default_factory=Metadata)
    spec: PodSpec = field(default_factory=PodSpec)


class RollingUpdate(Object, frozen=True):
    """Numbers of Pods, or percentages of them as text."""

    max_surge: int | str | None = None
    max_unavailable: int | str | None = None


class DeploymentStrategy(Object, frozen=True):
    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class WorkloadSpec(Object, frozen=True):
    """The spec of a Deployment, ReplicaSet, StatefulSet, DaemonSet or Job: the fields they share by name."""

    replicas: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec = field(default_factory=PodTemplateSpec)
    service_name: str | None = None
    paused: bool = False
    progress_deadline_seconds: int | None = None
    pod_management_policy: str | None = None
    strategy: DeploymentStrategy | None = None


class WorkloadStatus(Object, frozen=True):
    observed_generation: int | None = None
    replicas: int | None = None
    ready_replicas: int | None = None
    updated_replicas: int | None = None
    available_replicas: int | None = None
    desired_number_scheduled: int | None = None
    number_ready: int | None = None
    updated_number_scheduled: int | None = None
    conditions: list[Condition] | None = None


class Workload(Object, frozen=True):
    """A Deployment, ReplicaSet, StatefulSet, DaemonSet or Job."""

    metadata: Metadata
    spec: WorkloadSpec = field(default_factory=WorkloadSpec)
    status: WorkloadStatus = field(default_factory=WorkloadStatus)


class JobTemplateSpec(Object, frozen=True):
    spec: WorkloadSpec = field(default_factory=WorkloadSpec)


class CronJobSpec(Object, frozen=True):
    suspend: bool = False
    job_template: JobTemplateSpec = field(default_factory=JobTemplateSpec)


class CronJob(Object, frozen=True):
    metadata: Metadata
    spec: CronJobSpec = field(default_factory=CronJobSpec)


# --- around them -------------------------------------------------------------------------------------------------


class NamespaceStatus(Object, frozen=True):
    phase: str = ""
    conditions: list[Condition] | None = None


class Namespace(Object, frozen=True):
    metadata: Metadata
    status: NamespaceStatus = field(default_factory=NamespaceStatus)


class NodeAddress(Object, frozen=True):
    type: str = ""
    address: str = ""


class Taint(Object, frozen=True):
    key: str = ""
    value: str | None = None
    effect: str = ""
    time_added: str | None = None


class NodeSpec(Object, frozen=True):
    unschedulable: bool = False
    taints: list[Taint] | None = None
    pod_cidrs: list[str] | None = field(default=None, name="podCIDRs")
    provider_id: str | None = field(default=None, name="providerID")


class NodeSystemInfo(Object, frozen=True):
    container_runtime_version: str = ""  # containerd://2.1.3


class NodeStatus(Object, frozen=True):
    node_info: NodeSystemInfo | None = None
    conditions: list[Condition] | None = None
    addresses: list[NodeAddress] | None = None


class Node(Object, frozen=True):
    metadata: Metadata
    spec: NodeSpec = field(default_factory=NodeSpec)
    status: NodeStatus = field(default_factory=NodeStatus)


class EventSource(Object, frozen=True):
    component: str | None = None


class EventSeries(Object, frozen=True):
    count: int | None = None
    last_observed_time: str | None = None


class Event(Object, frozen=True):
    """core/v1 Event. Kept for an hour or so by the API server: a fault may outlive its events."""

    metadata: Metadata
    involved_object: ObjectReference = field(default_factory=ObjectReference)
    type: str | None = None
    reason: str | None = None
    message: str | None = None
    count: int | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    series: EventSeries | None = None
    source: EventSource | None = None


class ConfigMap(Object, frozen=True):
    metadata: Metadata
    data: dict[str, str] | None = None


# --- NetworkPolicy ------------------------------------------------------------------------------------------------


class IPBlock(Object, frozen=True):
    cidr: str = ""
    except_: list[str] | None = field(default=None, name="except")


class NetworkPolicyPeer(Object, frozen=True):
    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class NetworkPolicyPort(Object, frozen=True):
    """No port means every port of the protocol; no protocol means TCP."""

    port: int | str | None = None
    protocol: str | None = None
    end_port: int | None = None


class NetworkPolicyRule(Object, frozen=True):
    """An ingress rule (`from`) or an egress rule (`to`). Missing or empty peers or ports mean all of them."""

    from_: list[NetworkPolicyPeer] | None = field(default=None, name="from")
    to: list[NetworkPolicyPeer] | None = None
    ports: list[NetworkPolicyPort] | None = None


class NetworkPolicySpec(Object, frozen=True):
    pod_selector: LabelSelector | None = None
    policy_types: list[str] | None = None
    ingress: list[NetworkPolicyRule] | None = None
    egress: list[NetworkPolicyRule] | None = None


class NetworkPolicy(Object, frozen=True):
    metadata: Metadata
    spec: NetworkPolicySpec = field(default_factory=NetworkPolicySpec)


# --- Ingress ------------------------------------------------------------------------------------------------------


class ServiceBackendPort(Object, frozen=True):
    name: str = ""
    number: int = 0


class IngressServiceBackend(Object, frozen=True):
    name: str = ""
    port: ServiceBackendPort = field(default_factory=ServiceBackendPort)


class IngressBackend(Object, frozen=True):
    service: IngressServiceBackend | None = None


class HTTPIngressPath(Object, frozen=True):
    path: str = ""
    path_type: str = ""
    backend: IngressBackend = field(default_factory=IngressBackend)


class HTTPIngressRule(Object, frozen=True):
    paths: list[HTTPIngressPath] | None = None


class IngressRule(Object, frozen=True):
    host: str = ""
    http: HTTPIngressRule | None = None


class IngressTLS(Object, frozen=True):
    hosts: list[str] | None = None
    secret_name: str = ""


class IngressSpec(Object, frozen=True):
    ingress_class_name: str | None = None
    default_backend: IngressBackend | None = None
    rules: list[IngressRule] | None = None
    tls: list[IngressTLS] | None = None


class Ingress(Object, frozen=True):
    metadata: Metadata
    spec: IngressSpec = field(default_factory=IngressSpec)
    status: ServiceStatus | None = None  # .loadBalancer.ingress, as a Service has it


class IngressClassSpec(Object, frozen=True):
    controller: str = ""


class IngressClass(Object, frozen=True):
    metadata: Metadata
    spec: IngressClassSpec = field(default_factory=IngressClassSpec)


# --- Gateway API --------------------------------------------------------------------------------------------------


class ConditionsStatus(Object, frozen=True):
    conditions: list[Condition] | None = None


class GatewayClassSpec(Object, frozen=True):
    controller_name: str = ""


class GatewayClass(Object, frozen=True):
    metadata: Metadata
    spec: GatewayClassSpec = field(default_factory=GatewayClassSpec)
    status: ConditionsStatus | None = None


class SecretReference(Object, frozen=True):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class ListenerTLS(Object, frozen=True):
    mode: str = ""
    certificate_refs: list[SecretReference] | None = None


class RouteNamespaces(Object, frozen=True):
    from_: str = field(default="", name="from")
    selector: LabelSelector | None = None


class RouteKind(Object, frozen=True):
    kind: str = ""


class AllowedRoutes(Object, frozen=True):
    namespaces: RouteNamespaces | None = None
    kinds: list[RouteKind] | None = None


class Listener(Object, frozen=True):
    name: str = ""
    port: int = 0
    protocol: str = ""
    hostname: str | None = None
    tls: ListenerTLS | None = None
    allowed_routes: AllowedRoutes | None = None


class GatewaySpec(Object, frozen=True):
    gateway_class_name: str = ""
    listeners: list[Listener] | None = None


class ListenerStatus(Object, frozen=True):
    name: str = ""
    attached_routes: int = 0
    conditions: list[Condition] | None = None


class GatewayAddress(Object, frozen=True):
    value: str = ""


class GatewayStatus(Object, frozen=True):
    addresses: list[GatewayAddress] | None = None
    conditions: list[Condition] | None = None
    listeners: list[ListenerStatus] | None = None


class Gateway(Object, frozen=True):
    metadata: Metadata
    spec: GatewaySpec = field(default_factory=GatewaySpec)
    status: GatewayStatus | None = None


class ParentReference(Object, frozen=True):
    kind: str = "Gateway"
    name: str = ""
    namespace: str = ""
    section_name: str = ""
    port: int | None = None


class BackendReference(Object, frozen=True):
    """`kind` and `group` are those of a Service where they are left out."""

    kind: str = "Service"
    group: str = ""
    name: str = ""
    namespace: str = ""
    port: int | None = None
    weight: int | None = None


class RouteRule(Object, frozen=True):
    backend_refs: list[BackendReference] | None = None


class RouteSpec(Object, frozen=True):
    parent_refs: list[ParentReference] | None = None
    hostnames: list[str] | None = None
    rules: list[RouteRule] | None = None


class RouteParentStatus(Object, frozen=True):
    parent_ref: ParentReference = field(default_factory=ParentReference)
    controller_name: str = ""
    conditions: list[Condition] | None = None


class RouteStatus(Object, frozen=True):
    parents: list[RouteParentStatus] | None = None


class Route(Object, frozen=True):
    """An HTTPRoute, GRPCRoute or TLSRoute: the fields they share by name."""

    metadata: Metadata
    spec: RouteSpec = field(default_factory=RouteSpec)
    status: RouteStatus | None = None


class ReferenceGrantPeer(Object, frozen=True):
    group: str = ""
    kind: str = ""
    namespace: str = ""
    name: str | None = None


class ReferenceGrantSpec(Object, frozen=True):
    from_: list[ReferenceGrantPeer] | None = field(default=None, name="from")
    to: list[ReferenceGrantPeer] | None = None


class ReferenceGrant(Object, frozen=True):
    metadata: Metadata
    spec: ReferenceGrantSpec = field(default_factory=ReferenceGrantSpec)


# --- limits, scaling, and what else depends on a Service -----------------------------------------------------------

Quantity = str | int | float


class ResourceQuotaSpec(Object, frozen=True):
    hard: dict[str, Quantity] | None = None


class ResourceQuotaStatus(Object, frozen=True):
    hard: dict[str, Quantity] | None = None
    used: dict[str, Quantity] | None = None


class ResourceQuota(Object, frozen=True):
    metadata: Metadata
    spec: ResourceQuotaSpec = field(default_factory=ResourceQuotaSpec)
    status: ResourceQuotaStatus = field(default_factory=ResourceQuotaStatus)


class ServiceCIDRSpec(Object, frozen=True):
    cidrs: list[str] | None = None


class ServiceCIDR(Object, frozen=True):
    metadata: Metadata
    spec: ServiceCIDRSpec = field(default_factory=ServiceCIDRSpec)
    status: ConditionsStatus | None = None


class ScaleTargetReference(Object, frozen=True):
    kind: str = ""
    name: str = ""


class HorizontalPodAutoscalerSpec(Object, frozen=True):
    scale_target_ref: ScaleTargetReference = field(default_factory=ScaleTargetReference)
    min_replicas: int | None = None
    max_replicas: int = 0


class HorizontalPodAutoscaler(Object, frozen=True):
    metadata: Metadata
    spec: HorizontalPodAutoscalerSpec = field(default_factory=HorizontalPodAutoscalerSpec)
    status: ConditionsStatus | None = None


class PodDisruptionBudgetSpec(Object, frozen=True):
    selector: LabelSelector | None = None


class PodDisruptionBudget(Object, frozen=True):
    metadata: Metadata
    spec: PodDisruptionBudgetSpec = field(default_factory=PodDisruptionBudgetSpec)


class ServiceReference(Object, frozen=True):
    """The Service that the API server calls; port 443 where none is given."""

    namespace: str = ""
    name: str = ""
    path: str | None = None
    port: int | None = None


class WebhookClientConfig(Object, frozen=True):
    service: ServiceReference | None = None
    url: str | None = None


class WebhookRule(Object, frozen=True):
    api_groups: list[str] | None = None
    resources: list[str] | None = None
    operations: list[str] | None = None


class Webhook(Object, frozen=True):
    name: str = ""
    client_config: WebhookClientConfig = field(default_factory=WebhookClientConfig)
    failure_policy: str = "Fail"
    timeout_seconds: int | None = None
    rules: list[WebhookRule] | None = None
    namespace_selector: LabelSelector | None = None
    object_selector: LabelSelector | None = None


class WebhookConfiguration(Object, frozen=True):
    """A ValidatingWebhookConfiguration or a MutatingWebhookConfiguration."""

    metadata: Metadata
    webhooks: list[Webhook] | None = None


class APIServiceSpec(Object, frozen=True):
    service: ServiceReference | None = None
    group: str = ""
    version: str = ""


class APIService(Object, frozen=True):
    metadata: Metadata
    spec: APIServiceSpec = field(default_factory=APIServiceSpec)
    status: ConditionsStatus | None = None


class PolicyRule(Object, frozen=True):
    api_groups: list[str] | None = None
    resources: list[str] | None = None
    verbs: list[str] | None = None


class ClusterRole(Object, frozen=True):
    metadata: Metadata
    rules: list[PolicyRule] | None = None


class Secret(Object, frozen=True):
    """That there is one, and nothing of what it holds: only its metadata is ever asked for."""

    metadata: Metadata


class CustomObject(Object, frozen=True):
    """An object of another project's API: its spec and status as they are written."""

    metadata: Metadata
    spec: dict[str, Any] | None = None
    specs: Any = None  # of Cilium, which takes a list of specs as well
    status: dict[str, Any] | None = None


# --- where the API serves them -----------------------------------------------------------------------------------


class Resource(Struct, frozen=True):
    """Where the API serves a kind: `/api/v1/namespaces/NS/pods` or `/apis/GROUP/VERSION/...`."""

    name: str  # as `kubectl get` takes it: the plural, or PLURAL.GROUP where another kind has the same plural
    kind: str
    group: str  # "" is the core group
    version: str
    type: Any  # the Struct that its objects decode into
    namespaced: bool = True
    optional: bool = False  # a cluster may not serve it: then there are none
    metadata_only: bool = False  # its content is nobody's business

    @property
    def plural(self) -> str:
        """As in RBAC rules and paths."""
        return self.name.partition(".")[0]

    def path(self, namespace: str = "", name: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")


GATEWAY_API = "gateway.networking.k8s.io"
POLICY_API = "policy.networking.k8s.io"
CALICO, CALICO_API = "crd.projectcalico.org", "projectcalico.org"  # how it is stored, and what its API server serves
RESOURCES: dict[str, Resource] = {
    resource.name: resource
    for resource in (
        Resource("services", "Service", "", "v1", Service),
        Resource("endpointslices", "EndpointSlice", "discovery.k8s.io", "v1", EndpointSlice),
        Resource("endpoints", "Endpoints", "", "v1", Endpoints),
        Resource("pods", "Pod", "", "v1", Pod),
        Resource("deployments", "Deployment", "apps", "v1", Workload),
        Resource("replicasets", "ReplicaSet", "apps", "v1", Workload),
        Resource("statefulsets", "StatefulSet", "apps", "v1", Workload),
        Resource("daemonsets", "DaemonSet", "apps", "v1", Workload),
        Resource("jobs", "Job", "batch", "v1", Workload),
        Resource("cronjobs", "CronJob", "batch", "v1", CronJob),
        Resource("namespaces", "Namespace", "", "v1", Namespace, namespaced=False),
        Resource("nodes", "Node", "", "v1", Node, namespaced=False),
        Resource("events", "Event", "", "v1", Event),
        Resource("configmaps", "ConfigMap", "", "v1", ConfigMap),
        Resource("networkpolicies", "NetworkPolicy", "networking.k8s.io", "v1", NetworkPolicy),
        Resource("ingresses", "Ingress", "networking.k8s.io", "v1", Ingress),
        Resource("ingressclasses", "IngressClass", "networking.k8s.io", "v1", IngressClass, namespaced=False),
        Resource("servicecidrs", "ServiceCIDR", "networking.k8s.io", "v1", ServiceCIDR, False, optional=True),
        Resource("resourcequotas", "ResourceQuota", "", "v1", ResourceQuota),
        Resource("secrets", "Secret", "", "v1", Secret, metadata_only=True),
        Resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", "autoscaling", "v2", HorizontalPodAutoscaler),
        Resource("poddisruptionbudgets", "PodDisruptionBudget", "policy", "v1", PodDisruptionBudget),
        Resource("clusterroles", "ClusterRole", "rbac.authorization.k8s.io", "v1", ClusterRole, namespaced=False),
        *(
            Resource(f"{kind.lower()}s", kind, "admissionregistration.k8s.io", "v1", WebhookConfiguration, False)
            for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
        ),
        Resource("apiservices", "APIService", "apiregistration.k8s.io", "v1", APIService, False, optional=True),
        Resource("gatewayclasses", "GatewayClass", GATEWAY_API, "v1", GatewayClass, False, optional=True),
        Resource("gateways", "Gateway", GATEWAY_API, "v1", Gateway, optional=True),
        *(
            Resource(f"{kind.lower()}s", kind, GATEWAY_API, "v1", Route, optional=True)
            for kind in ("HTTPRoute", "GRPCRoute", "TLSRoute")
        ),
        Resource("referencegrants", "ReferenceGrant", GATEWAY_API, "v1beta1", ReferenceGrant, optional=True),
        *(
            Resource(name, kind, group, version, CustomObject, namespaced, optional=True)
            for name, kind, group, version, namespaced in (
                ("peerauthentications", "PeerAuthentication", "security.istio.io", "v1", True),
                ("authorizationpolicies", "AuthorizationPolicy", "security.istio.io", "v1", True),
                ("destinationrules", "DestinationRule", "networking.istio.io", "v1", True),
                ("virtualservices", "VirtualService", "networking.istio.io", "v1", True),
                ("sidecars", "Sidecar", "networking.istio.io", "v1", True),
                ("applications", "Application", "argoproj.io", "v1alpha1", True),
                ("kustomizations", "Kustomization", "kustomize.toolkit.fluxcd.io", "v1", True),
                ("helmreleases", "HelmRelease", "helm.toolkit.fluxcd.io", "v2", True),
                ("servicemonitors", "ServiceMonitor", "monitoring.coreos.com", "v1", True),
                ("adminnetworkpolicies", "AdminNetworkPolicy", POLICY_API, "v1alpha1", False),
                ("baselineadminnetworkpolicies", "BaselineAdminNetworkPolicy", POLICY_API, "v1alpha1", False),
                ("clusternetworkpolicies", "ClusterNetworkPolicy", POLICY_API, "v1alpha2", False),
                ("ciliumnetworkpolicies", "CiliumNetworkPolicy", "cilium.io", "v2", True),
                ("ciliumclusterwidenetworkpolicies", "CiliumClusterwideNetworkPolicy", "cilium.io", "v2", False),
                ("globalnetworkpolicies", "GlobalNetworkPolicy", CALICO, "v1", False),
                ("networkpolicies.crd.projectcalico.org", "NetworkPolicy", CALICO, "v1", True),
                ("globalnetworkpolicies.projectcalico.org", "GlobalNetworkPolicy", CALICO_API, "v3", False),
                ("networkpolicies.projectcalico.org", "NetworkPolicy", CALICO_API, "v3", True),
            )
        ),
    )
}
# Where two projects have a kind of one name, the first here.
RESOURCE_OF_KIND: dict[str, Resource] = {resource.kind: resource for resource in reversed(RESOURCES.values())}
