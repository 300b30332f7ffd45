"""The checks, one module a question, in the order of the walk. Adding one: write its module and list it here."""

from __future__ import annotations

from types import ModuleType

from svcdoctor.checks import (
    client_asks_cluster_dns,
    coredns_answers,
    exposure_is_intended,
    external_name_resolves,
    load_balancer_is_assigned,
    manual_slices_carry_ports,
    name_resolves,
    names_callers_use_exist,
    pods_become_ready,
    ports_resolve_on_pods,
    readiness_probe_exists,
    rollout_completes,
    selector_finds_only_its_pods,
    selector_finds_pods,
    service_has_backends,
    slices_hold_ready_pods,
    statefulset_has_headless_service,
    target_port_is_served,
)

ALL: tuple[ModuleType, ...] = (
    service_has_backends,
    slices_hold_ready_pods,
    manual_slices_carry_ports,
    selector_finds_pods,
    selector_finds_only_its_pods,
    rollout_completes,
    pods_become_ready,
    ports_resolve_on_pods,
    target_port_is_served,
    readiness_probe_exists,
    statefulset_has_headless_service,
    coredns_answers,
    name_resolves,
    client_asks_cluster_dns,
    external_name_resolves,
    load_balancer_is_assigned,
    exposure_is_intended,
    names_callers_use_exist,
)
