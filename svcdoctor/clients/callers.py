"""Which Services a workload names: the hosts in its settings, and what each of them is in the cluster.

A reference is `certain` only where the text can hardly mean anything else than a Service; what is not certain still
counts where a Service of that name exists.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from svcdoctor.clients.hosts import Host, hosts_in
from svcdoctor.clients.settings import ReadConfig, Setting, containers_of, settings_of
from svcdoctor.objects import PodSpec
from svcdoctor.pods.template import Template
from svcdoctor.text import words

_IMPLIED = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Reference(NamedTuple):
    """A Service that a workload names."""

    host: str  # as written
    port: int | None
    service: str
    namespace: str
    certain: bool
    setting: Setting
    scheme: str = ""

    @property
    def source(self) -> str:
        return self.setting.source

    @property
    def is_short(self) -> bool:
        """Whether it takes the search list of resolv.conf to resolve."""
        return not self.host.rstrip(".").count(".") > 2

    @property
    def implied_port(self) -> int | None:
        """The port that its URL means by giving none."""
        return None if self.port or self.setting.port_beside else _IMPLIED.get(self.scheme)


def references(template: Template, zone: str, namespaces: Collection[str], read_config: ReadConfig) -> list[Reference]:
    """Every Service that the Pods of this template name, each once a setting and port.

    `namespaces`: those known to exist; `name.namespace` counts only with one of them.
    """
    found: dict[tuple[str, str, int | None, str], Reference] = {}
    own = _own_names(template.spec)
    for setting, host in named_hosts(template, read_config):
        place = _service_of(host.name, template.namespace, zone, namespaces)
        if place is None or host.name in own or _is_sibling(host.name, template):
            continue
        service, namespace, is_plain = place
        certain = host.certain and is_plain
        reference = Reference(host.name, host.port, service, namespace, certain, setting, host.scheme)
        key = (service, namespace, host.port, setting.source)
        if key not in found or (reference.certain and not found[key].certain):
            found[key] = reference
    return list(found.values())


def named_hosts(template: Template, read_config: ReadConfig) -> Iterator[tuple[Setting, Host]]:
    """Every host in its settings, of the cluster or not."""
    return hosts_of(settings_of(template, read_config))


def hosts_of(settings: Iterable[Setting]) -> Iterator[tuple[Setting, Host]]:
    for setting in settings:
        for host in hosts_in(setting.name, setting.text, setting.port_beside):
            yield setting, host


def _own_names(spec: PodSpec) -> set[str | None]:
    """Names that mean the Pod itself, or that its /etc/hosts answers."""
    aliases = [name for alias in spec.host_aliases or () for name in alias.hostnames or ()]
    return {*aliases, *(container.name for container in containers_of(spec)), spec.hostname, spec.subdomain}


_ORDINAL = re.compile(r"-\d+(\..*)?")


def _is_sibling(host: str, template: Template) -> bool:
    """Whether it is a Pod of the same StatefulSet, by its number."""
    if template.kind != "StatefulSet" or not host.startswith(template.name):
        return False
    return _ORDINAL.fullmatch(host, len(template.name)) is not None


# --- which Service a host is --------------------------------------------------------------------------------------

_NEVER_SERVICES = words("localhost kubernetes")
# Words that a setting has for other reasons than that a Service is called so.
_WORDS = words(
    "none null nil default auto any all true false yes no on off enabled disabled internal external public "
    "private local  example host hostname server test changeme todo unset undefined memory file sqlite unix"
)
# Endings of public names that are also likely names of namespaces: `grafana.dev` may be either.
TOP_LEVEL = words("com org net io dev app ai co cloud info biz xyz me tv local internal lan home corp test")


def _service_of(host: str, home: str, zone: str, namespaces: Collection[str]) -> tuple[str, str, bool] | None:
    """(Service, namespace, whether it can be nothing else) of a host; None for a host that is not of the cluster."""
    bare = host.rstrip(".")
    match bare.split("."):
        case [name] if name not in _NEVER_SERVICES and not name[0].isdigit():
            return name, home, name not in _WORDS
        case [name, namespace] if namespace in namespaces and not name.isdigit():
            # `kafka-0.kafka` is a Pod of the Service kafka as likely as a Service of the namespace kafka.
            return name, namespace, namespace not in TOP_LEVEL and not re.search(r"-\d+$", name)
        case [*_, name, namespace, "svc"]:
            return name, namespace, True
    head, ending, rest = bare.partition(".svc.")
    if ending and rest == zone and "." in head:
        name, namespace = head.split(".")[-2:]
        return name, namespace, True
    return None
