"""Manifests as they are written: the objects of YAML and JSON files, each field with the line that it stands on.

Read as `kubectl apply -f` reads them. What is wrong with a file is a ManifestError that names file, line and column;
what can be left out is a warning.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import yaml
from msgspec.structs import replace

from svcdoctor.finding import Location
from svcdoctor.objects import RESOURCES, Resource
from svcdoctor.text import printable

ENDINGS = (".yaml", ".yml", ".json")
STDIN = "stdin"
HELM_HOOK = "helm.sh/hook"
Field = Sequence[str | int]  # keys, and places in lists; "" is the first item of a list


class ManifestError(Exception):
    """A manifest that cannot be read, in one sentence: where, what, and what to do."""


class Manifest(NamedTuple):
    """An object as it is written."""

    file: str
    resource: Resource
    item: Any  # the object itself
    node: yaml.Node

    @property
    def key(self) -> tuple[str, str, str]:
        return self.resource.name, self.item.metadata.namespace, self.item.metadata.name

    @property
    def ref(self) -> str:
        return f"{self.resource.kind.lower()}/{self.item.metadata.name}"

    def location(self, field: Field = ()) -> Location:
        """Where a field stands, or the nearest one around it that is written."""
        return Location(self.file, _line(self.node, field))


class Manifests(NamedTuple):
    objects: list[Manifest]
    warnings: list[str]


def read(paths: Sequence[str], *, recursive: bool = False, namespace: str = "default") -> Manifests:
    """The objects of these files, directories and standard input (`-`). Raises ManifestError.

    `namespace` is that of objects that name none. Of an object that is given twice the last one counts.
    """
    found: dict[tuple[str, str, str], Manifest] = {}
    warnings: list[str] = []
    for path in paths:
        for file in _files(path, recursive):
            for node, document in _documents(file):
                manifest = _object(file, node, document, namespace, warnings)
                if manifest is None:
                    continue
                before = found.pop(manifest.key, None)
                if before:
                    places = f"{_at(before.location())} and {_at(manifest.location())}"
                    warnings.append(f"{manifest.ref} is given twice, at {places}; the second one counts")
                found[manifest.key] = manifest
    return Manifests(list(found.values()), warnings)


def _at(place: Location) -> str:
    return f"{place.file}:{place.line}"


# --- files --------------------------------------------------------------------------------------------------------


def _files(path: str, recursive: bool) -> Iterator[str]:
    if path == "-":
        yield path
    elif os.path.isdir(path):
        yield from _files_in(path, recursive)
    elif path.startswith(("http://", "https://")):
        raise ManifestError(f"{path} is no file; pipe what it holds: curl -fsSL {path} | svcdoctor diagnose -f -")
    else:
        yield path


def _files_in(directory: str, recursive: bool) -> Iterator[str]:
    found = []
    for place, directories, names in os.walk(directory, onerror=_unreadable):
        found += [os.path.join(place, name) for name in sorted(names) if name.endswith(ENDINGS)]
        directories[:] = sorted(directories) if recursive else []
    if not found:
        hint = "" if recursive else "; -R looks into its subdirectories too"
        raise ManifestError(f"{printable(directory)} holds no file that ends in {', '.join(ENDINGS)}{hint}")
    yield from found


def _unreadable(error: OSError) -> None:
    raise ManifestError(f"{printable(str(error.filename))} cannot be read: {(error.strerror or str(error)).lower()}")


def _content(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ManifestError(f"{printable(path)} cannot be read: {(error.strerror or str(error)).lower()}") from None


# --- YAML ---------------------------------------------------------------------------------------------------------


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as the API's tools read it: no dates, and 22:22 is no number."""


_KEPT = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (*_KEPT, "tag:yaml.org,2002:int")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)


def _documents(path: str) -> Iterator[tuple[yaml.Node, Any]]:
    """Each document of a file with its nodes; of a list, each of its items."""
    file = STDIN if path == "-" else printable(path)
    try:
        loader = _Loader(_content(path))
        while loader.check_node():
            node = loader.get_node()
            _refuse_twice(file, node, set())
            document = loader.construct_document(node)
            if document is not None:
                yield from _items(node, document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        said = printable(": ".join(part for part in (error.context, error.problem) if part))
        raise ManifestError(f"{place}: not valid YAML: {said}{_hint(said)}") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError):
        raise ManifestError(f"{file}: not valid YAML: it holds characters that are not text") from None
    except RecursionError:
        raise ManifestError(f"{file}: no manifest: it is nested too deeply") from None


def _hint(said: str) -> str:
    if "'\\t'" in said or "\t" in said:
        return "; indent with spaces, not with tabs"
    if "'%'" in said or "{{" in said or "unhashable" in said:
        return "; a template has to be rendered first: helm template CHART | svcdoctor diagnose -f -"
    return ""


def _refuse_twice(file: str, node: yaml.Node, seen: set[int]) -> None:
    """A key that a mapping has twice: which of the two counts would be anybody's guess."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twice(file, item, seen)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                line = key.start_mark.line + 1
                if key.value in lines:
                    place = f"{file}:{line}:{key.start_mark.column + 1}"
                    name = printable(key.value)
                    first = f"it stands in line {lines[key.value]} already"
                    raise ManifestError(f"{place}: the key {name} is written twice: {first}; keep one of them")
                lines[key.value] = line
            _refuse_twice(file, value, seen)


def _items(node: yaml.Node, document: Any) -> Iterator[tuple[yaml.Node, Any]]:
    is_list = isinstance(document, dict) and str(document.get("kind") or "").endswith("List")
    if not is_list or not isinstance(document.get("items"), list):
        yield node, document
        return
    items = _child(node, "items")
    for place, item in enumerate(document["items"]):
        yield items.value[place], item


# --- objects ------------------------------------------------------------------------------------------------------


def _object(path: str, node: yaml.Node, document: Any, namespace: str, warnings: list[str]) -> Manifest | None:
    file = STDIN if path == "-" else printable(path)
    place = f"{file}:{node.start_mark.line + 1}"
    if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
        warnings.append(f"{place}: no Kubernetes object, for it has no apiVersion or no kind; it is left out")
        return None
    resource = _resource(str(document["apiVersion"]), str(document["kind"]))
    if resource is None:
        return None
    metadata = document.get("metadata")
    name = isinstance(metadata, dict) and (metadata.get("name") or metadata.get("generateName"))
    if not name:
        raise ManifestError(f"{place}: this {resource.kind} has no metadata.name; give it one")
    try:
        item = msgspec.convert(_without_nulls(document), resource.type)
    except msgspec.ValidationError as error:
        said, _, where = str(error).partition(" - at ")
        field = where.strip("`").removeprefix("$")
        line = _line(node, field_of(field))
        raise ManifestError(
            f"{file}:{line}: {resource.kind.lower()}/{printable(str(name))} {field}: {_in_words(said)}"
        ) from None
    if "test" in (item.metadata.annotations or {}).get(HELM_HOOK, ""):
        return None  # helm template prints it, and helm test alone applies it
    home = (item.metadata.namespace or namespace) if resource.namespaced else ""
    metadata = replace(item.metadata, name=str(name), namespace=home)
    return Manifest(file, resource, replace(item, metadata=metadata), node)


def _resource(api_version: str, kind: str) -> Resource | None:
    """The kind as we read it; None for one that nothing here depends on, or of a version that is no more."""
    group, _, version = api_version.rpartition("/")
    for resource in RESOURCES.values():
        if (resource.kind, resource.group) == (kind, group) and (resource.optional or resource.version == version):
            return resource
    return None


def _without_nulls(value: Any) -> Any:
    """A field that is null is as good as one that is not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


_WORDS = {"`str`": "text (put it in quotes)", "`int`": "a number", "`bool`": "true or false", "`array`": "a list"}
_WORDS |= {"`object`": "a mapping", "`null`": "nothing", "`float`": "a number", "`int | str`": "a number or text"}


def _in_words(said: str) -> str:
    """msgspec's `Expected A, got B` as a sentence."""
    match = re.fullmatch(r"Expected (`[^`]+`), got (`[^`]+`)", said)
    if not match:
        return said[:1].lower() + said[1:]
    wanted = match[1].replace(" | null", "")
    return f"{_WORDS.get(match[2], match[2]).partition(' (')[0]}, where {_WORDS.get(wanted, wanted)} belongs"


# --- lines --------------------------------------------------------------------------------------------------------

_STEP = re.compile(r"\.([A-Za-z][A-Za-z0-9]*)|\[([^\]]*)\]")


def field_of(path: str) -> list[str | int]:
    """`.spec.ports[0].name` as its steps; `[]` is the first item, `[web]` the item or key of that name."""
    steps: list[str | int] = []
    end = 0
    while match := _STEP.match(path, end):
        end = match.end()
        inside = match[2]
        steps.append(match[1] if inside is None else int(inside) if inside.isdigit() else inside)
    return steps


def _line(node: yaml.Node, field: Field) -> int:
    line: int = node.start_mark.line
    for step in field:
        child = _child(node, step)
        if child is None:
            break
        line = _key_line(node, step, child)
        node = child
    return line + 1


def _child(node: yaml.Node, step: str | int) -> Any:
    if isinstance(node, yaml.MappingNode):
        # What a merge key brings in stands before the mapping's own keys, which win.
        return next((value for key, value in reversed(node.value) if key.value == str(step)), None)
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        return None
    if isinstance(step, int):
        return node.value[step] if step < len(node.value) else None
    if step == "":
        return node.value[0]
    named = (item for item in node.value for key in [_child(item, "name")] if key is not None and key.value == step)
    return next(named, None)


def _key_line(node: yaml.Node, step: str | int, child: yaml.Node) -> int:
    if isinstance(node, yaml.MappingNode):
        return next(int(key.start_mark.line) for key, value in node.value if value is child)
    return int(child.start_mark.line)
