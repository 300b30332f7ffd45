"""Patches, as the API server reads them."""

from __future__ import annotations

from typing import Any

import pytest

from svcdoctor.remedies.patch import PatchError, json_patch, merge_patch, strategic_patch

SERVICE = {"spec": {"selector": {"app": "cart", "version": "v2"}, "ports": [{"port": 80, "targetPort": 8080}]}}


@pytest.mark.parametrize(
    ("operation", "selector"),
    [
        ({"op": "replace", "path": "/spec/selector/version", "value": "v1"}, {"app": "cart", "version": "v1"}),
        ({"op": "remove", "path": "/spec/selector/version"}, {"app": "cart"}),
        (
            {"op": "add", "path": "/spec/selector/app.kubernetes.io~1name", "value": "cart"},
            {"app": "cart", "version": "v2", "app.kubernetes.io/name": "cart"},
        ),
    ],
)
def test_an_operation_changes_one_place(operation: dict[str, Any], selector: dict[str, str]) -> None:
    assert json_patch(SERVICE, [operation])["spec"]["selector"] == selector
    assert SERVICE["spec"]["selector"] == {"app": "cart", "version": "v2"}


def test_items_are_added_replaced_and_removed_by_number() -> None:
    added = json_patch(SERVICE, [{"op": "add", "path": "/spec/ports/-", "value": {"port": 443}}])
    assert [port["port"] for port in added["spec"]["ports"]] == [80, 443]
    first = json_patch(added, [{"op": "add", "path": "/spec/ports/0", "value": {"port": 22}}])
    assert [port["port"] for port in first["spec"]["ports"]] == [22, 80, 443]
    assert json_patch(first, [{"op": "remove", "path": "/spec/ports/1"}])["spec"]["ports"][1]["port"] == 443


def test_a_default_that_was_left_out_can_be_replaced_and_filled() -> None:
    assert json_patch({}, [{"op": "replace", "path": "/spec/replicas", "value": 2}]) == {"spec": {"replicas": 2}}
    assert json_patch({}, [{"op": "add", "path": "/spec/ingress/-", "value": {}}]) == {"spec": {"ingress": [{}]}}


@pytest.mark.parametrize("path", ["/spec/ports/3/port", "/spec/ports/x", "/spec/selector/app/deeper"])
def test_what_does_not_fit_is_refused(path: str) -> None:
    with pytest.raises(PatchError):
        json_patch(SERVICE, [{"op": "replace", "path": path, "value": 1}])


def test_a_merge_patch_merges_mappings_and_replaces_lists() -> None:
    patched = merge_patch(SERVICE, {"spec": {"selector": {"version": None}, "ports": [{"port": 81}]}})
    assert patched["spec"] == {"selector": {"app": "cart"}, "ports": [{"port": 81}]}


def test_a_strategic_patch_merges_lists_by_the_names_of_their_items() -> None:
    pod = {"containers": [{"name": "web", "image": "a", "ports": [{"containerPort": 80}]}, {"name": "log"}]}
    patch = {"containers": [{"name": "web", "image": "b", "ports": [{"containerPort": 80, "name": "http"}]}]}
    assert strategic_patch(pod, patch) == {
        "containers": [
            {"name": "web", "image": "b", "ports": [{"containerPort": 80, "name": "http"}]},
            {"name": "log"},
        ]
    }
    assert (
        strategic_patch(pod, {"containers": [{"name": "log", "$patch": "delete"}]})["containers"][-1]["name"] == "web"
    )
    service = strategic_patch(SERVICE, {"spec": {"ports": [{"port": 80, "targetPort": "http"}, {"port": 443}]}})
    assert service["spec"]["ports"] == [{"port": 80, "targetPort": "http"}, {"port": 443}]
