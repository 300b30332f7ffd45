"""The words in which a workload could name a Service: a quick way to the few workloads worth reading closely.

Every DNS label in what a Pod template is configured with counts, so that no reference is missed; which of them do name
a Service, callers.py says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from svcdoctor.clients.configfile import LONGEST_FILE
from svcdoctor.clients.settings import containers_of
from svcdoctor.objects import ConfigMap, Container, PodSpec

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")


def words_of(spec: PodSpec) -> set[str]:
    """Every word in the environment, commands and probes of a Pod's containers."""
    return _words(text for container in containers_of(spec) for text in _texts(container))


def words_in(config: ConfigMap) -> set[str]:
    return _words((config.data or {}).values())


def _texts(container: Container) -> Iterator[str]:
    yield from (entry.value for entry in container.env or () if entry.value)
    yield from container.command or ()
    yield from container.args or ()
    for probe in (container.readiness_probe, container.liveness_probe, container.startup_probe):
        if probe and probe.exec:
            yield from probe.exec.command or ()


def _words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts if len(text) <= LONGEST_FILE for word in _LABEL.findall(text)}
