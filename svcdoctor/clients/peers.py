"""By which names the Pods of one workload look for each other: text work on what they are configured with.

Unlike callers.py this reads shell scripts as they stand: `$(hostname).db` and `db-$i.db` are no host names, and still
say that a Pod of the Service db is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from svcdoctor.clients.hosts import LONGEST_SETTING
from svcdoctor.clients.settings import ReadConfig, configs_of, containers_of
from svcdoctor.objects import Container, PodSpec
from svcdoctor.pods.podlook import PodState
from svcdoctor.pods.template import Template


class Peer(NamedTuple):
    """A Service of the workload's own, or a Pod of it, as its settings name it."""

    name: str  # as written: `db-1.db`, `$(POD_NAME).db`, `db`
    source: str
    container: str  # "" for a file
    what: str  # "env", "command", "file" or the probe
    numbered: bool  # one Pod of the Service, not the Service

    @property
    def is_own_name(self) -> bool:
        """Whether it may be the Pod's own name, which it need not look up."""
        return self.numbered and bool(re.match(r"[$`%]", self.name))


class _Text(NamedTuple):
    name: str  # of the variable; empty for a command
    text: str
    source: str
    container: str
    what: str


def peers_of(template: Template, service: str, read_config: ReadConfig, owner: str = "") -> list[Peer]:
    """Where the settings, commands, probes and files of a workload name this Service, or one Pod of it: of its own set,
    or of the `owner` given."""
    name = owner or template.name
    found = [peer for text in _texts(template, read_config) for peer in _named(text, name, service)]
    return list(dict.fromkeys(found))


def is_awaited(peer: Peer, spec: PodSpec, state: PodState) -> bool:
    """Whether a Pod in this state may be waiting for that peer: in the init container or the probe that names it, or,
    of settings, where the application itself says that it is not ready yet."""
    if peer.is_own_name:
        return False
    if state.code == "pods-init-blocked":
        return peer.container in {container.name for container in spec.init_containers or ()}
    if state.code not in ("pods-not-ready-probe", "pods-startup-probe"):
        return False
    # A path that is not served, or a port where nothing listens, is no answer of the application.
    return peer.what.endswith("Probe") or not re.search(r"\b4\d\d\b|refused", state.message)


def _texts(template: Template, read_config: ReadConfig) -> Iterator[_Text]:
    for container in containers_of(template.spec):
        where = f"{template.ref} container {container.name}"
        for entry in container.env or ():
            yield _Text(entry.name, entry.value or "", f"{where} env {entry.name}", container.name, "env")
        for what, words in _commands(container):
            yield _Text("", " ".join(words), f"{where} {what}", container.name, what)
    for name in sorted(configs_of(template.spec)):
        for key, text in (read_config(name) or {}).items():
            if len(text) <= LONGEST_SETTING:
                yield _Text(key, text, f"configmap/{name} key {key}", "", "file")


def _commands(container: Container) -> Iterator[tuple[str, list[str]]]:
    yield "command", [*(container.command or ()), *(container.args or ())]
    probes = {"readinessProbe": container.readiness_probe, "startupProbe": container.startup_probe}
    for what, probe in probes.items():
        if probe and probe.exec:
            yield what, probe.exec.command or []


def _named(text: _Text, owner: str, service: str) -> Iterator[Peer]:
    name = re.escape(service)
    # A Pod's name may come out of a variable, its number out of a loop.
    pod = rf"(?:{re.escape(owner)}-(?:\d+|\$\S+?)|\$\(?\{{?\w+\}}?\)?|`hostname`|%[sd])"
    for match in re.finditer(rf"(?<![\w.-]){pod}\.{name}(?![\w-])", text.text):
        yield Peer(match.group(), text.source, text.container, text.what, numbered=True)
    for match in re.finditer(rf"(?<![\w.$-]){name}(?![\w-])", text.text):
        if _stands_for_a_host(text, match):
            yield Peer(match.group(), text.source, text.container, text.what, numbered=False)


_LOOKED_UP = re.compile(r"\b(?:nslookup|getent (?:a?hosts\w*)|dig|host|ping|nc|curl|wget|connect|dial)\b[^;&|]*$")
_OF_HOSTS = re.compile(r"HOST|PEER|SEED|ADDR|URL|DISCOVER|JOIN|BOOTSTRAP|MEMBER|CLUSTER|SERVICE|DNS")


def _stands_for_a_host(text: _Text, match: re.Match[str]) -> bool:
    """The name may be a word like any other: it is a host after a lookup, before a port, or in a setting for hosts."""
    before, after = text.text[: match.start()], text.text[match.end() :]
    if before.endswith("//") or re.match(r":\d|\.[\w-]+\.svc", after) or _LOOKED_UP.search(before):
        return True
    return bool(_OF_HOSTS.search(text.name.upper())) and text.text.strip() == match.group()
