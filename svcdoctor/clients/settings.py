"""What a workload is configured with, piece by piece: environment, commands, probes, and the files of ConfigMaps.

Pure text work on Pod specs. Which of it names a host is for hosts.py to say; which host is a Service, for callers.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct

from svcdoctor.clients import commandline
from svcdoctor.clients.configfile import lines_of
from svcdoctor.clients.hosts import port
from svcdoctor.objects import ConfigMapVolumeSource, Container, EnvVar, PodSpec, Volume
from svcdoctor.pods.template import Template

# The data of a ConfigMap in the workload's namespace, or None where it is not there or may not be read.
ReadConfig = Callable[[str], Mapping[str, str] | None]
# What the kubelet puts into every Pod.
_NOT_THEIR_OWN = ("kube-root-ca.crt",)


class Setting(Struct, frozen=True):
    """One piece of text that a workload is configured with."""

    name: str  # of the environment variable or flag; empty for what a command is told outright
    text: str
    source: str  # `deployment/web container app env BACKEND_URL`
    env: str = ""  # the variable that `kubectl set env` changes; empty where it is not written there
    container: str = ""
    config: str = ""  # the ConfigMap that the text comes from
    key: str = ""  # the key of it whose value the text is; empty where it is a line of a file
    port_beside: int | None = None  # DB_PORT next to DB_HOST
    port_env: str = ""  # the variable that gives it, where `kubectl set env` changes it


class Variable(Struct, frozen=True):
    """An environment variable as a container gets it."""

    name: str
    text: str | None  # None: from a Secret, a field of the Pod, or a ConfigMap that cannot be read
    source: str
    config: str = ""
    key: str = ""
    written: bool = False  # its value stands in the workload itself


def containers_of(spec: PodSpec) -> list[Container]:
    return [*(spec.init_containers or ()), *(spec.containers or ())]


def settings_of(template: Template, read_config: ReadConfig) -> Iterator[Setting]:
    """Every piece of text in which the Pods of this template may be told of a host."""
    for container in containers_of(template.spec):
        where = f"{template.ref} container {container.name}"
        variables = variables_of(container, where, read_config)
        yield from _of_variables(variables, container)
        known = {name: variable.text for name, variable in variables.items() if variable.text is not None}
        yield from _of_commands(container, where, known)
    yield from _of_files(template, read_config)


# --- environment --------------------------------------------------------------------------------------------------


def variables_of(container: Container, where: str, read_config: ReadConfig) -> dict[str, Variable]:
    """The variables of a container by name, as the kubelet makes them: envFrom, then env; the last one wins."""
    found: dict[str, Variable] = {}
    for source in container.env_from or ():
        name = source.config_map_ref.name if source.config_map_ref else ""
        for key, text in sorted((read_config(name) or {}).items()) if name else ():
            place = f"{where} envFrom configmap/{name} key {key}"
            found[source.prefix + key] = Variable(source.prefix + key, text, place, name, key)
    known = {name: variable.text or "" for name, variable in found.items()}
    for entry in container.env or ():
        variable = _variable(entry, where, known, read_config)
        found[entry.name] = variable
        if variable.text is not None:
            known[entry.name] = variable.text
    return found


def _variable(entry: EnvVar, where: str, known: Mapping[str, str], read_config: ReadConfig) -> Variable:
    place = f"{where} env {entry.name}"
    selected = entry.value_from.config_map_key_ref if entry.value_from else None
    if selected:
        text = (read_config(selected.name) or {}).get(selected.key)
        place += f" from configmap/{selected.name} key {selected.key}"
        return Variable(entry.name, text, place, selected.name, selected.key)
    if entry.value_from:
        return Variable(entry.name, None, place)
    return Variable(entry.name, expand(entry.value or "", known), place, written=True)


def is_complete(container: Container, read_config: ReadConfig) -> bool:
    """Whether every variable that the Pod's spec gives the container is known by name."""
    return all(
        source.config_map_ref is not None and read_config(source.config_map_ref.name) is not None
        for source in container.env_from or ()
    )


def expand(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` as the kubelet expands it: only what was defined before."""
    if "$(" not in text:
        return text
    return re.sub(r"\$\(([-._A-Za-z0-9]+)\)", lambda match: known.get(match.group(1), match.group()), text)


def _of_variables(variables: Mapping[str, Variable], container: Container) -> Iterator[Setting]:
    for name, variable in variables.items():
        if not variable.text:
            continue
        beside = _port_beside(name, variables)
        yield Setting(
            name,
            variable.text,
            variable.source,
            name if variable.written else "",
            container.name,
            variable.config,
            variable.key,
            port(beside.text) if beside else None,
            beside.name if beside and beside.written else "",
        )


def _port_beside(name: str, variables: Mapping[str, Variable]) -> Variable | None:
    """DB_PORT next to DB_HOST, or next to DB."""
    stem = name.rpartition("_")[0]
    for beside in (f"{stem}_PORT" if stem else "", f"{name}_PORT"):
        variable = variables.get(beside)
        if variable and variable.text and port(variable.text):
            return variable
    return None


# --- commands and probes ------------------------------------------------------------------------------------------


def _of_commands(container: Container, where: str, known: Mapping[str, str]) -> Iterator[Setting]:
    for line, what in _commands(container):
        for name, text in commandline.settings_in([expand(word, known) for word in line]):
            yield Setting(name, text, f"{where} {what}", container=container.name)


def _commands(container: Container) -> Iterator[tuple[list[str], str]]:
    yield [*(container.command or []), *(container.args or [])], "command"
    for probe, what in (
        (container.readiness_probe, "readinessProbe"),
        (container.liveness_probe, "livenessProbe"),
        (container.startup_probe, "startupProbe"),
    ):
        if probe and probe.exec:
            yield probe.exec.command or [], what


# --- files --------------------------------------------------------------------------------------------------------


class File(NamedTuple):
    """A key of a ConfigMap that the Pods have as a file."""

    config: str
    key: str
    text: str


def files_of(template: Template, read_config: ReadConfig) -> Iterator[File]:
    for source in _mounted(template.spec.volumes or []):
        data = read_config(source.name) or {}
        keys = [item.key for item in source.items] if source.items else sorted(data)
        yield from (File(source.name, key, data[key]) for key in keys if key in data)


def _mounted(volumes: list[Volume]) -> Iterator[ConfigMapVolumeSource]:
    for volume in volumes:
        projected = (volume.projected.sources if volume.projected else None) or []
        for source in (volume.config_map, *(projection.config_map for projection in projected)):
            if source and source.name not in _NOT_THEIR_OWN:
                yield source


def _of_files(template: Template, read_config: ReadConfig) -> Iterator[Setting]:
    for file in files_of(template, read_config):
        for line in lines_of(file.key, file.text):
            where = f"{template.ref} file of configmap/{file.config} key {file.key} line {line.number}"
            yield Setting(line.name, line.text, where, config=file.config, port_beside=line.port_beside)


def configs_of(spec: PodSpec) -> set[str]:
    """The names of the ConfigMaps that Pods take settings or files from."""
    found = {source.name for source in _mounted(spec.volumes or [])}
    for container in containers_of(spec):
        selected = (entry.value_from.config_map_key_ref for entry in container.env or () if entry.value_from)
        found.update(selector.name for selector in selected if selector)
        found.update(source.config_map_ref.name for source in container.env_from or () if source.config_map_ref)
    return found
