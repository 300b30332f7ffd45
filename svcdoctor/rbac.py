"""The least rights a diagnosis needs, as the YAML of roles: generated from what the checks declare they read."""

from __future__ import annotations

from typing import Any

import yaml

from svcdoctor.diagnose import kinds_read
from svcdoctor.objects import RESOURCES

READ = ["get", "list"]
PROBES = [{"apiGroups": [""], "resources": ["pods/exec", "pods/portforward"], "verbs": ["get", "create"]}]
# What DNS is judged by: CoreDNS's Pods, Service, slices and configuration, whichever namespace is diagnosed.
DNS_KINDS = ("services", "endpointslices", "pods", "configmaps", "deployments")


def rights(namespace: str | None, *, probe: bool) -> str:
    """A ClusterRole for the whole cluster, or Roles for one namespace with the little that lies outside of it."""
    kinds = list(kinds_read())
    namespaced = [kind for kind in kinds if RESOURCES[kind].namespaced]
    shared = [kind for kind in kinds if not RESOURCES[kind].namespaced]
    probes = PROBES if probe else []
    if namespace is None:
        roles = [_role("ClusterRole", "", rules(kinds) + probes)]
    else:
        roles = [
            _role("Role", namespace, rules(namespaced) + probes),
            _role("Role", "kube-system", rules([kind for kind in namespaced if kind in DNS_KINDS]) + probes[:1]),
            _role("ClusterRole", "", rules(shared)),
        ]
    return "".join(f"---\n{yaml.safe_dump(role, sort_keys=False)}" for role in roles)


def rules(kinds: list[str]) -> list[dict[str, Any]]:
    groups: dict[str, list[str]] = {}
    for kind in kinds:
        groups.setdefault(RESOURCES[kind].group, []).append(kind)
    return [{"apiGroups": [group], "resources": sorted(names), "verbs": READ} for group, names in groups.items()]


def _role(kind: str, namespace: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    metadata = {"name": "svcdoctor", **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules}
