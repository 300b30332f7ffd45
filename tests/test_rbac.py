"""`svcdoctor rbac`: the least rights, no more and no less than what the checks read."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from simulate import simulate
from svcdoctor.checks import ALL
from svcdoctor.diagnosis import kinds_read
from svcdoctor.entry.entrypoint import ENTRY_RESOURCES
from svcdoctor.objects import RESOURCES
from svcdoctor.rbac import rights

PROBES = {("", "pods/exec"), ("", "pods/portforward")}


def roles(namespace: str | None, *, probe: bool = True) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(rights(namespace, probe=probe)))


def granted(role: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    """(group, resource) -> verbs"""
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def place(role: dict[str, Any]) -> tuple[str, str]:
    return role["kind"], role["metadata"].get("namespace", "")


def declared(*, namespaced: bool | None = None) -> set[tuple[str, str]]:
    """What the checks say they read, as (group, resource)."""
    reads = (name for module in ALL for name in module.CHECK.reads if name in RESOURCES)
    kinds = [RESOURCES[name] for name in {"services", *ENTRY_RESOURCES, *reads}]
    listed = (kind for kind in kinds if not kind.metadata_only)
    return {(kind.group, kind.plural) for kind in listed if namespaced in (None, kind.namespaced)}


def test_the_whole_cluster_takes_one_role_with_what_the_checks_read() -> None:
    (role,) = roles(None)
    assert place(role) == ("ClusterRole", "")
    assert set(granted(role)) == declared() | PROBES


def test_a_namespace_takes_roles_there_and_for_dns_and_for_what_has_no_namespace() -> None:
    own, dns, shared = roles("shop")
    assert [place(role) for role in (own, dns, shared)] == [
        ("Role", "shop"),
        ("Role", "kube-system"),
        ("ClusterRole", ""),
    ]
    assert set(granted(own)) == declared(namespaced=True) | PROBES
    assert set(granted(dns)) < declared(namespaced=True) | PROBES
    assert set(granted(shared)) == declared(namespaced=False)


def test_the_namespace_of_dns_has_one_role_not_two_of_a_name() -> None:
    assert [place(role) for role in roles("kube-system")] == [("Role", "kube-system"), ("ClusterRole", "")]


def test_without_probes_nothing_but_reading() -> None:
    for role in (*roles(None, probe=False), *roles("shop", probe=False)):
        for verbs in granted(role).values():
            assert verbs == {"get", "list", "watch"}


def test_nothing_is_ever_changed_and_no_secret_is_read() -> None:
    for role in (*roles(None), *roles("shop")):
        for what, verbs in granted(role).items():
            assert verbs <= ({"get", "create"} if what in PROBES else {"get", "list", "watch"})
            assert what[1] not in ("secrets", "*")


def test_every_role_comes_with_the_line_that_binds_it() -> None:
    for namespace in (None, "shop"):
        text = rights(namespace, probe=True)
        comments = [line for line in text.splitlines() if line.startswith("#   kubectl")]
        assert len(comments) == len(roles(namespace))
        assert "&id" not in text


@pytest.mark.parametrize("kind", list(kinds_read()))
def test_what_is_granted_is_what_a_cluster_knows(kind: str) -> None:
    assert simulate([]).was_read(kind, "")
