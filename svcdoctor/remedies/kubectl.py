"""What a kubectl command line would make of the objects we hold: for the few commands that remedies are written in.

A line that cannot be followed (it opens an editor, has a placeholder in it, or looks only) gives None: then nothing is
said of what it would do.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from svcdoctor import labels
from svcdoctor.objects import RESOURCES, Resource
from svcdoctor.remedies.patch import PatchError, json_patch, merge_patch, strategic_patch

ALIASES = {
    "svc": "services",
    "po": "pods",
    "deploy": "deployments",
    "sts": "statefulsets",
    "ds": "daemonsets",
    "ns": "namespaces",
    "cm": "configmaps",
    "netpol": "networkpolicies",
    "ing": "ingresses",
}
_PLACEHOLDER = re.compile(r"(?<![\w\"'$(.-])[A-Z][A-Z_]{2,}(?![\w(])")


class Change(NamedTuple):
    """One object as it would be afterwards; None: deleted."""

    resource: Resource
    namespace: str
    name: str
    after: Any | None


class Patch(NamedTuple):
    """One PATCH request, as kubectl sends it."""

    resource: Resource
    namespace: str
    name: str
    style: str  # json, merge or strategic
    body: Any
    subresource: str = ""


class _Impossible(Exception):
    """A line that cannot be followed."""


# The objects of a kind in a namespace, as we hold them: (resource, namespace) -> by name.
Held = Callable[[str, str], Mapping[str, Any]]


def changes(line: str, held: Held) -> list[Change] | None:
    """What the line changes, in its order; None where that cannot be told."""
    try:
        return [change for _, done in _followed(line, held) for change in done]
    except _UNFOLLOWED:
        return None


def patches(line: str, held: Held) -> list[Patch]:
    """The PATCH requests that the line consists of; [] where it is something else, or in part."""
    try:
        return [patch for command, _ in _followed(line, held) for patch in command.patches()]
    except _UNFOLLOWED:
        return []


_UNFOLLOWED = (_Impossible, PatchError, KeyError, ValueError, IndexError, TypeError, msgspec.ValidationError)


def _followed(line: str, held: Held) -> Iterator[tuple[_Command, list[Change]]]:
    """Each command of the line and what it changes, the earlier ones done."""
    found: list[Change] = []
    for words, piped in _commands(line):
        command = _Command(words, piped, _laid_over(held, found))
        done = command.run()
        yield command, done
        found += done


def _laid_over(held: Held, found: list[Change]) -> Held:
    def now(resource: str, namespace: str) -> Mapping[str, Any]:
        over = [change for change in found if (change.resource.name, change.namespace) == (resource, namespace)]
        if not over:
            return held(resource, namespace)
        table = dict(held(resource, namespace))
        for change in over:
            table.pop(change.name, None)
            if change.after is not None:
                table[change.name] = change.after
        return table

    return now


def _commands(line: str) -> Iterator[tuple[list[str], str]]:
    """The kubectl commands of a line, each with what an `echo` before it pipes in."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    piped = ""
    for token in [*lexer, "&&"]:
        if token not in ("&&", "|"):
            if token in ("||", ";", "<", ">", "&"):
                raise _Impossible(token)
            words.append(token)
            continue
        if token == "|":
            if words[:1] != ["echo"]:
                raise _Impossible("a pipe from something else than echo")
            piped = words[-1]
        else:
            if words[:1] != ["kubectl"]:
                raise _Impossible(" ".join(words[:1]))
            yield words[1:], piped
            piped = ""
        words = []


class _Command:
    def __init__(self, words: list[str], piped: str, held: Held) -> None:
        self.held = held
        self.piped = piped
        self.namespace = ""
        self.options: dict[str, str] = {}
        self.operands: list[str] = []
        self._sort(words)

    # Options that stand alone; every other one takes the next word where it has no `=`.
    ALONE = ("--overwrite", "--force", "-A", "--all-namespaces", "--all", "--server-side", "--force-conflicts")

    def _sort(self, words: list[str]) -> None:
        rest = iter(words)
        for word in rest:
            if not word.startswith("-") or word == "-":
                self.operands.append(word)
                continue
            name, equals, value = word.partition("=")
            if name in self.ALONE:
                self.options[name] = "true"
            else:
                self.options[name] = value if equals else next(rest, "")
        self.namespace = self.options.get("-n", self.options.get("--namespace", ""))

    def run(self) -> list[Change]:
        match self.operands:
            case ["delete", *target]:
                resource, name = self._target(target)
                self._before(resource, name)
                return [Change(resource, self._place(resource), name, None)]
            case ["apply" | "replace", *_] if self.options.get("-f") == "-" and self.piped:
                return [self._applied(json.loads(self.piped))]
        return [self._patched(patch) for patch in self.patches()]

    def patches(self) -> list[Patch]:
        verb, *rest = self.operands
        match verb, rest:
            case "patch", _:
                return [self._given(*self._target(rest))]
            case "scale", _:
                replicas = int(self.options["--replicas"])
                return [
                    self._merge(*self._target(rest), {"spec": {"replicas": replicas}})._replace(subresource="scale")
                ]
            case "label" | "annotate", _:
                return self._marked(verb, rest)
            case "set", ["selector", *target, selector]:
                pairs = dict(pair.split("=", 1) for pair in selector.split(","))
                body = [{"op": "add", "path": "/spec/selector", "value": pairs}]
                return [self._merge(*self._target(target), body)._replace(style="json")]
            case "set", ["image", *target, assignment]:
                container, image = assignment.split("=", 1)
                return [self._containers(*self._target(target), [{"name": container, "image": image}])]
            case "set", ["env", *target, assignment]:
                return [self._environment(*self._target(target), assignment)]
            case "rollout", ["resume", *target]:
                return [self._merge(*self._target(target), {"spec": {"paused": None}})]
        raise _Impossible(verb)

    # --- what it is about

    def _target(self, words: list[str]) -> tuple[Resource, str]:
        if len(words) == 1 and "/" in words[0]:
            words = words[0].split("/", 1)
        kind, name = words
        if _PLACEHOLDER.fullmatch(name):
            raise _Impossible(name)
        return self._resource(kind), name

    def _resource(self, kind: str) -> Resource:
        plain = kind.lower().partition(".")[0]
        for resource in RESOURCES.values():
            if plain in (resource.name, resource.kind.lower()) or ALIASES.get(plain) == resource.name:
                return resource
        raise _Impossible(kind)

    def _place(self, resource: Resource) -> str:
        return (self.namespace or "default") if resource.namespaced else ""

    def _before(self, resource: Resource, name: str) -> Any:
        return msgspec.to_builtins(self.held(resource.name, self._place(resource))[name])

    def _change(self, resource: Resource, name: str, after: Any) -> Change:
        changed = msgspec.convert(after, resource.type)
        # What is being deleted and held by nobody any more is gone at once.
        gone = changed.metadata.deletion_timestamp is not None and not changed.metadata.finalizers
        return Change(resource, self._place(resource), name, None if gone else changed)

    # --- what it does

    def _patched(self, patch: Patch) -> Change:
        lay: dict[str, Callable[[Any, Any], Any]]
        lay = {"json": json_patch, "merge": merge_patch, "strategic": strategic_patch}
        before = self._before(patch.resource, patch.name)
        return self._change(patch.resource, patch.name, lay[patch.style](before, patch.body))

    def _merge(self, resource: Resource, name: str, body: Any) -> Patch:
        return Patch(resource, self._place(resource), name, "merge", body)

    def _given(self, resource: Resource, name: str) -> Patch:
        text = self.options.get("-p") or self.options["--patch"]
        if _PLACEHOLDER.search(re.sub(r'"(TCP|UDP|SCTP)"', "", text)):
            raise _Impossible(text)
        style = self.options.get("--type", "strategic")
        return self._merge(resource, name, json.loads(text))._replace(style=style)

    def _marked(self, verb: str, words: list[str]) -> list[Patch]:
        field = "labels" if verb == "label" else "annotations"
        marks = [word for word in words if "=" in word or (word.endswith("-") and word is not words[0])]
        body = {"metadata": {field: dict(_mark(word) for word in marks)}}
        target = [word for word in words if word not in marks]
        selector = self.options.get("-l") or self.options.get("--selector")
        if selector is None and not self.options.get("--all"):
            return [self._merge(*self._target(target), body)]
        resource = self._resource(target[0])
        terms = labels.parse(selector or "")
        names = [
            name
            for name, item in self.held(resource.name, self._place(resource)).items()
            if all(term.holds(item.metadata.labels) for term in terms)
        ]
        return [self._merge(resource, name, body) for name in names]

    def _containers(self, resource: Resource, name: str, containers: list[dict[str, Any]]) -> Patch:
        body = {"spec": {"template": {"spec": {"containers": containers}}}}
        return self._merge(resource, name, body)._replace(style="strategic")

    def _environment(self, resource: Resource, name: str, assignment: str) -> Patch:
        before = self._before(resource, name)
        chosen = self.options.get("-c")
        named = [item["name"] for item in before["spec"]["template"]["spec"]["containers"]]
        variable, equals, value = assignment.partition("=")
        entry = {"name": variable, "value": value} if equals else {"name": variable.rstrip("-"), "$patch": "delete"}
        return self._containers(
            resource, name, [{"name": one, "env": [entry]} for one in named if chosen in (None, one)]
        )

    def _applied(self, manifest: dict[str, Any]) -> Change:
        resource = self._resource(manifest["kind"])
        metadata = manifest["metadata"]
        self.namespace = metadata.get("namespace") or self.namespace
        if resource.namespaced:
            metadata.setdefault("namespace", self._place(resource))
        before = self.held(resource.name, self._place(resource)).get(metadata["name"])
        # What the server had filled in stays, as far as the manifest says nothing of it.
        after = merge_patch(msgspec.to_builtins(before), manifest) if before is not None else manifest
        return self._change(resource, metadata["name"], after)


def _mark(word: str) -> tuple[str, str | None]:
    key, equals, value = word.partition("=")
    return (key, value) if equals else (key.removesuffix("-"), None)
