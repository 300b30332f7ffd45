"""A recording in the place of a cluster."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from svcdoctor.commands.asking import Flags, Found, no_such_namespace, say_that_there_are_none
from svcdoctor.commands.terminal import has_unicode
from svcdoctor.commands.words import requirements, service_names

if TYPE_CHECKING:
    from svcdoctor.diagnosis import Scope
    from svcdoctor.recordings.recording import Recorded
    from svcdoctor.world import World

OF_A_CLUSTER = (
    *("client", "no_probe", "probe_image", "deadline", "verbose", "kubeconfig", "context", "contexts", "all_contexts"),
    *("http", "cluster", "user", "as_user", "as_groups", "as_uid", "request_timeout"),
)


def diagnosis_of(path: str, flags: Flags, only: tuple[str, ...], skip: tuple[str, ...]) -> Found:
    """The report over the first moment of a recording: about what was asked then, or what the flags ask."""
    from svcdoctor.diagnosis import diagnose_recorded

    recorded = recording_in(path)
    world = recorded.worlds[0]
    scope = _scope(flags, recorded.scope, world) if flags.name_a_scope else recorded.scope
    scope = scope._replace(only=frozenset(only), skip=frozenset(skip))
    diagnosis = diagnose_recorded(world, scope)
    if len(recorded.worlds) > 1:
        steps = f"svcdoctor --replay {path}"
        click.echo(f"svcdoctor: the first of {len(recorded.worlds)} moments; on a terminal, all: {steps}", err=True)
    if diagnosis.is_empty:
        if _is_unknown(scope.namespace, world):
            raise no_such_namespace(scope.namespace)
        say_that_there_are_none(scope)
    return Found(diagnosis, scope, world)


def show(recorded: Recorded, namespace: str | None, no_color: bool, ascii_only: bool) -> NoReturn:
    """A recording in the dashboard. `namespace`: None is what was asked when it was recorded, "" all of them."""
    from svcdoctor import screen

    if no_color:
        os.environ["NO_COLOR"] = "1"
    raise SystemExit(screen.show_recording(recorded, ascii_only or not has_unicode(), namespace))


def recording_in(path: str) -> Recorded:
    from svcdoctor.recordings.recording import unpacked

    try:
        if path == "-":
            return unpacked(sys.stdin.buffer.read())
        with open(path, "rb") as file:
            return unpacked(file.read())
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise click.UsageError(f"{path}: {error}") from None


def refuse_flags_of_a_cluster() -> None:
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if given and name in OF_A_CLUSTER:
            raise click.UsageError(f"{parameter.opts[-1]} is about a cluster, and --replay reads none")


def _scope(flags: Flags, recorded: Scope, world: World) -> Scope:
    from svcdoctor.diagnosis import Scope
    from svcdoctor.world import EVERYWHERE

    names = service_names(flags.names)
    namespace = EVERYWHERE if flags.all_namespaces else flags.namespace or recorded.namespace
    if names and namespace == EVERYWHERE:
        namespace = _namespace_of(names, world)
    return Scope(namespace, names, requirements(flags.selector))


def _namespace_of(names: tuple[str, ...], world: World) -> str:
    """The one namespace that has Services of these names: a recording knows no current one."""
    services = world.held("services")
    found = sorted({item.metadata.namespace for item in services if item.metadata.name in names})
    if len(found) == 1:
        return str(found[0])
    if not found:
        raise click.UsageError(f"the recording holds no Service {' or '.join(names)}; -n NAMESPACE names those near it")
    raise click.UsageError(f"{' or '.join(names)} is in namespaces {', '.join(found)}; name one with -n")


def _is_unknown(namespace: str, world: World) -> bool:
    from svcdoctor.world import EVERYWHERE

    if not namespace or not world.was_read("namespaces", EVERYWHERE):
        return False
    return namespace not in world.listed("namespaces")
