"""What the first fix of each cause changes, as `kubectl diff` would show it: unified diffs of the objects' YAML.

Of an object only the fields are shown that svcdoctor reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from typing import Any

import msgspec
import yaml

from svcdoctor.finding import Diagnosis
from svcdoctor.objects import Resource
from svcdoctor.remedies.firstfix import Fix, first_fixes
from svcdoctor.remedies.kubectl import changes
from svcdoctor.text import printable
from svcdoctor.world import World

NOTHING = "/dev/null"


def differences(world: World, diagnosis: Diagnosis) -> list[str]:
    """The lines of all diffs, each fix after two lines of comment that say what it is for. [] where none can be told:
    a fix that opens an editor, say."""
    return [line for fix in first_fixes(diagnosis) for line in _of(world, fix)]


def _of(world: World, fix: Fix) -> Iterator[str]:
    # Of several changes of one object the last has the others in it.
    touched = {
        (change.resource.name, change.namespace, change.name): change
        for change in changes(fix.remedy.command, world.listed_or_nothing) or ()
    }
    lines: list[str] = []
    for (resource, namespace, name), change in touched.items():
        before = world.listed_or_nothing(resource, namespace).get(name)
        lines += object_difference(change.resource, namespace, name, before, change.after)
    if not lines:
        return
    cause = fix.cause
    place = f"{cause.subject.namespace}/{cause.subject.name} " if cause.subject else ""
    yield f"# {place}{cause.code}: {cause.message}"
    yield f"# {fix.remedy.do}: {fix.remedy.command}"
    yield from map(printable, lines)


def object_difference(
    resource: Resource, namespace: str, name: str, before: Any | None, after: Any | None
) -> Iterator[str]:
    """A unified diff of one object; None is an object that is not there. Nothing where both are the same."""
    group = f"{resource.group}." if resource.group else ""
    label = ".".join(filter(None, (f"{group}{resource.version}", resource.kind, namespace, name)))
    files = (f"live/{label}" if before is not None else NOTHING, f"fixed/{label}" if after is not None else NOTHING)
    return unified_diff(_lines(resource, before), _lines(resource, after), *files, lineterm="")


def _lines(resource: Resource, item: Any | None) -> list[str]:
    if item is None:
        return []
    version = f"{resource.group}/{resource.version}" if resource.group else resource.version
    document = {"apiVersion": version, "kind": resource.kind, **msgspec.to_builtins(item)}
    text: str = yaml.dump(document, Dumper=_Dumper, allow_unicode=True, default_flow_style=False, width=1000)
    return text.splitlines()


class _Dumper(yaml.SafeDumper):
    """Texts of several lines line by line, as they differ."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _text)
