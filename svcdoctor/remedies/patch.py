"""What a patch makes of an object, as the API server reads it: RFC 6902, RFC 7386 and the strategic merge patch.

Objects are those that msgspec makes of our Structs, in which default values are left out. So an operation on a field
that is not there counts as one on its default.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

# The list fields that a strategic merge patch merges item by item, and the key that tells the items apart
# (the patchMergeKey of k8s.io/api); `ports` has another key in a container than in a Service.
MERGE_KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "ports": ("containerPort", "port"),
    "readinessGates": ("conditionType",),
    "hostAliases": ("ip",),
}


class PatchError(Exception):
    """The patch does not fit the object."""


def json_patch(document: Any, operations: list[dict[str, Any]]) -> Any:
    """RFC 6902. Raises PatchError."""
    result = copy.deepcopy(document)
    for operation in operations:
        keys = [key.replace("~1", "/").replace("~0", "~") for key in operation["path"].split("/")[1:]]
        action = operation["op"]
        if action not in ("add", "replace", "remove", "test"):
            raise PatchError(f"operation {action}")
        if action == "test":
            continue  # the object is the one that the patch was worked out from
        if not keys:
            raise PatchError("a patch of the whole object")
        parent = result
        for key, following in pairwise(keys):
            parent = _child(parent, key, [] if following == "-" or following.isdigit() else {})
        _change(parent, keys[-1], action, operation.get("value"))
    return result


def _child(parent: Any, key: str, empty: Any) -> Any:
    if isinstance(parent, list):
        return parent[_index(parent, key)]
    if isinstance(parent, dict):
        if parent.get(key) is None:
            parent[key] = empty
        return parent[key]
    raise PatchError(f"{key} is looked for in a plain value")


def _index(items: list[Any], key: str) -> int:
    if not key.isdigit() or int(key) >= len(items):
        raise PatchError(f"there is no item {key}")
    return int(key)


def _change(parent: Any, key: str, action: str, value: Any) -> None:
    match parent, action:
        case list(), "add":
            parent.insert(len(parent) if key == "-" else int(key), value)
        case list(), "replace":
            parent[_index(parent, key)] = value
        case list(), "remove":
            del parent[_index(parent, key)]
        case dict(), "remove":
            parent.pop(key, None)
        case dict(), _:
            parent[key] = value
        case _:
            raise PatchError(f"{key} is looked for in a plain value")


def merge_patch(document: Any, patch: Any) -> Any:
    """RFC 7386: mappings are merged, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_patch(document: Any, patch: Any, field: str = "") -> Any:
    """As merge_patch, but lists of named things are merged by their names, as `kubectl patch` does without --type."""
    if isinstance(patch, list):
        return _merged_list(document or [], patch, field)
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif not key.startswith("$"):
            result[key] = strategic_patch(result.get(key), value, key)
    return result


def _merged_list(items: list[Any], patch: list[Any], field: str) -> list[Any]:
    key = next(
        (key for key in MERGE_KEYS.get(field, ()) if any(isinstance(one, dict) and key in one for one in patch)), ""
    )
    if not key or any(isinstance(one, dict) and one.get("$patch") == "replace" for one in patch):
        return [one for one in patch if not (isinstance(one, dict) and one.get("$patch") == "replace")]
    result = list(items)
    for one in patch:
        place = next((index for index, item in enumerate(result) if item.get(key) == one.get(key)), None)
        if one.get("$patch") == "delete":
            result = [item for item in result if item.get(key) != one.get(key)]
        elif place is None:
            result.append(strategic_patch({}, one))
        else:
            result[place] = strategic_patch(result[place], one)
    return result
