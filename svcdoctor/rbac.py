"""The least rights a diagnosis needs, as the YAML of roles: generated from what the checks declare they read."""

from __future__ import annotations

from typing import Any

import yaml

from svcdoctor.diagnosis import kinds_read
from svcdoctor.objects import RESOURCES

PROBES = ("pods/exec", "pods/portforward")
# What DNS and kube-proxy are judged by, whichever namespace is diagnosed.
DNS_NAMESPACE = "kube-system"
DNS_KINDS = ("services", "endpointslices", "pods", "configmaps", "deployments", "daemonsets")


def rights(namespace: str | None, *, probe: bool, containers: bool = False, pods: bool = False) -> str:
    """A ClusterRole for the whole cluster, or Roles for one namespace with the little that lies outside of it.

    `containers` and `pods` are for --probe-image: to add ephemeral containers, to create and delete Pods.
    """
    adding = [_rule("", ["pods/ephemeralcontainers"], "patch")] if containers else []
    adding += [_rule("", ["pods"], "create", "delete")] if pods else []
    # Whether a Secret is there is looked at by those who may list them anyway: nobody is given that for us.
    kinds = [kind for kind in kinds_read() if not RESOURCES[kind].metadata_only]
    namespaced = [kind for kind in kinds if RESOURCES[kind].namespaced]
    shared = [kind for kind in kinds if not RESOURCES[kind].namespaced]
    if namespace is None:
        roles = [_role("ClusterRole", "", _rules(kinds, probe) + adding)]
    else:
        roles = [_role("Role", namespace, _rules(namespaced, probe) + adding)]
        if namespace != DNS_NAMESPACE:
            roles.append(
                _role("Role", DNS_NAMESPACE, _rules([kind for kind in namespaced if kind in DNS_KINDS], probe))
            )
        if shared:
            roles.append(_role("ClusterRole", "", _rules(shared, False)))
    return _how_to_bind(roles, adds=bool(adding)) + "".join(
        f"---\n{yaml.safe_dump(role, sort_keys=False)}" for role in roles
    )


def _rules(kinds: list[str], probe: bool) -> list[dict[str, Any]]:
    groups: dict[str, list[str]] = {}
    for kind in kinds:
        groups.setdefault(RESOURCES[kind].group, []).append(RESOURCES[kind].plural)
    # A report lists; the dashboard watches as well.
    rules = [_rule(group, sorted(names), "get", "list", "watch") for group, names in groups.items()]
    # The API server asks for `get` on these, newer ones for `create` as well.
    return rules + ([_rule("", list(PROBES), "get", "create")] if probe else [])


def _rule(group: str, resources: list[str], *verbs: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}


def _role(kind: str, namespace: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    metadata = {"name": "svcdoctor", **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules}


def _how_to_bind(roles: list[dict[str, Any]], *, adds: bool) -> str:
    changes = "it adds only what --probe-image asks about first" if adds else "it changes nothing"
    lines = [f"# The least rights that svcdoctor needs; {changes}. To give them to a user:"]
    for role in roles:
        if role["kind"] == "ClusterRole":
            lines.append("#   kubectl create clusterrolebinding svcdoctor --clusterrole=svcdoctor --user=NAME")
        else:
            scope = f"-n {role['metadata']['namespace']}"
            lines.append(f"#   kubectl {scope} create rolebinding svcdoctor --role=svcdoctor --user=NAME")
    return "\n".join([*lines, "# or with --group=NAME, or --serviceaccount=NAMESPACE:NAME.", ""])
