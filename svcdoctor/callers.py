"""Which Services a workload names: in environment variables, commands, arguments and the ConfigMaps it takes them from.

Pure text work on Pod specs. Settings are free text, so this errs on the side of silence: a reference is `certain` only
where the string can hardly mean anything else than a host (a URL, a full cluster name, a host under a name like
DB_HOST). What is not certain still counts where a Service of that name exists.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from svcdoctor.objects import Container, EnvVar
from svcdoctor.template import Template

LONGEST_SETTING = 8192  # longer ones are documents, not settings
# (name, key) of a ConfigMap in the workload's namespace -> its value, or None where it cannot be read.
ReadConfig = Callable[[str, str], str | None]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


class Setting(NamedTuple):
    """One piece of text that a workload is configured with."""

    name: str  # of the environment variable or flag; empty for the words of a command
    text: str
    source: str  # `deployment/web container app env BACKEND_URL`
    env: str = ""  # the variable that `kubectl set env` changes; empty where it is not written there
    container: str = ""
    config: str = ""  # the ConfigMap that the text comes from
    has_port_beside: bool = False  # BACKEND_SERVICE next to BACKEND_PORT


class Reference(NamedTuple):
    """A Service that a workload names."""

    host: str  # as written
    port: int | None
    service: str
    namespace: str
    certain: bool
    setting: Setting

    @property
    def source(self) -> str:
        return self.setting.source

    @property
    def is_short(self) -> bool:
        """Whether it takes the search list of resolv.conf to resolve."""
        return not self.host.rstrip(".").count(".") > 2


class _Host(NamedTuple):
    name: str
    port: int | None
    certain: bool


def references(template: Template, zone: str, namespaces: Collection[str], read_config: ReadConfig) -> list[Reference]:
    """Every Service that the Pods of this template name, each once a setting.

    `namespaces`: those known to exist; `name.namespace` counts only with one of them.
    """
    found: dict[tuple[str, str, str], Reference] = {}
    own = _own_names(template)
    for setting in _settings(template, read_config):
        for host in _hosts(setting):
            place = _service_of(host.name, template.namespace, zone, namespaces)
            if place is None or own.fullmatch(host.name):
                continue
            service, namespace, is_plain = place
            reference = Reference(host.name, host.port, service, namespace, host.certain and is_plain, setting)
            key = (service, namespace, setting.source)
            if key not in found or (reference.certain and not found[key].certain):
                found[key] = reference
    return list(found.values())


def _own_names(template: Template) -> re.Pattern[str]:
    """Names that mean the Pod itself or its siblings by number, or that its /etc/hosts answers."""
    spec = template.spec
    containers = [*(spec.containers or []), *(spec.init_containers or [])]
    names = [name for alias in spec.host_aliases or [] for name in alias.hostnames or []]
    names += [container.name for container in containers] + [name for name in (spec.hostname, spec.subdomain) if name]
    alternatives = [re.escape(name) for name in names]
    if template.kind == "StatefulSet":
        alternatives.append(re.escape(template.name) + r"-\d+(\..*)?")
    return re.compile("|".join(alternatives) or r"(?!)")


# --- which Service a host is --------------------------------------------------------------------------------------

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_NEVER_SERVICES = _set("localhost kubernetes")
# Words that a setting has for other reasons than that a Service is called so.
_WORDS = _set(
    "none null nil default auto any all true false yes no on off enabled disabled internal external public "
    "private local  example host hostname server test changeme todo unset undefined memory file sqlite"
)
# Endings of public names that are also likely names of namespaces: `grafana.dev` may be either.
_TOP_LEVEL = _set("com org net io dev app ai co cloud info biz xyz me tv local internal lan home corp test")


def _service_of(host: str, home: str, zone: str, namespaces: Collection[str]) -> tuple[str, str, bool] | None:
    """(Service, namespace, whether it can be nothing else) of a host; None for a host that is not of the cluster."""
    bare = host.rstrip(".")
    match bare.split("."):
        case [name] if name not in _NEVER_SERVICES and not name[0].isdigit():
            return name, home, name not in _WORDS
        case [name, namespace] if namespace in namespaces and not name.isdigit():
            # `kafka-0.kafka` is a Pod of the Service kafka as likely as a Service of the namespace kafka.
            return name, namespace, namespace not in _TOP_LEVEL and not re.search(r"-\d+$", name)
        case [*_, name, namespace, "svc"]:
            return name, namespace, True
    head, ending, rest = bare.partition(".svc.")
    if ending and rest == zone and "." in head:
        name, namespace = head.split(".")[-2:]
        return name, namespace, True
    return None


# --- where hosts stand --------------------------------------------------------------------------------------------


def _settings(template: Template, read_config: ReadConfig) -> Iterator[Setting]:
    for container in [*(template.spec.init_containers or []), *(template.spec.containers or [])]:
        source = f"{template.ref} container {container.name}"
        known: dict[str, str] = {}
        names = {entry.name for entry in container.env or []}
        for entry in container.env or []:
            setting = _env(entry, container, source, known, read_config)
            if setting:
                known[entry.name] = setting.text
                stem = entry.name.rpartition("_")[0]
                yield setting._replace(has_port_beside=f"{stem}_PORT" in names or f"{entry.name}_PORT" in names)
        yield from _words(container, source, known)


def _env(
    entry: EnvVar, container: Container, source: str, known: dict[str, str], read_config: ReadConfig
) -> Setting | None:
    where = f"{source} env {entry.name}"
    if entry.value is not None:
        return Setting(entry.name, _expand(entry.value, known), where, entry.name, container.name)
    selected = entry.value_from.config_map_key_ref if entry.value_from else None
    text = read_config(selected.name, selected.key) if selected else None
    if selected is None or text is None:
        return None
    where += f" from configmap/{selected.name} key {selected.key}"
    return Setting(entry.name, text, where, container=container.name, config=selected.name)


def _expand(text: str, known: dict[str, str]) -> str:
    """`$(NAME)` as the kubelet expands it: only what was defined before."""
    if "$(" not in text:
        return text
    return re.sub(r"\$\(([-._A-Za-z0-9]+)\)", lambda match: known.get(match.group(1), match.group()), text)


_SEPARATORS = re.compile(r"[\s|&()<>\"']+")
_COMMANDS = re.compile(r"[;\n]|&&|\|\|?|\\n")
# A word that runs into a command substitution is only part of a name.
_SUBSTITUTION = re.compile(r"\S*(?:\$\(|`)")


def _words(container: Container, source: str, known: dict[str, str]) -> Iterator[Setting]:
    """Flags that read like settings, and what well-known tools are told to connect to."""
    where = f"{source} command"
    scripts: list[list[str]] = []
    line: list[str] = []
    for argument in [*(container.command or []), *(container.args or [])]:
        text = _expand(argument, known)
        if len(text) > LONGEST_SETTING:
            continue
        if any(character in text for character in " \n;"):
            scripts += [_SEPARATORS.split(part.strip()) for part in _COMMANDS.split(_SUBSTITUTION.sub("\n", text))]
        else:
            line.append(text)
    for words in [line, *scripts]:
        yield from _flags(words, where)
        yield from (Setting("", host, where) for host in _told(words))
        yield from (Setting("", word, where) for word in words if "://" in word or ".svc" in word)


def _flags(words: list[str], where: str) -> Iterator[Setting]:
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if not word.startswith("--"):
            continue
        flag, equals, value = word[2:].partition("=")
        if not equals and not following.startswith("-"):
            value = following
        if value:
            yield Setting(flag.replace("-", "_").replace(".", "_").upper(), value, where)


# Tools that take a host as their first operand, and which of their options take a value of their own.
_TOOLS = {
    "nslookup": _set(""),
    "nc": _set("-w -p -s -i -q -x -X"),
    "ping": _set("-c -w -W -i -I -s -t"),
    "telnet": _set(""),
    "wget": _set("-O -T -t -U -o -P --header --post-data --timeout --tries"),
    "curl": _set(
        "-o -m -H -d -X -u -w -A -e -T -b -c -F -x --max-time --connect-timeout --retry --retry-delay --data --header "
        "--request --output --user --write-out --cacert --resolve"
    ),
}
_HOST_OPTION = _set("pg_isready psql redis-cli mysql mysqladmin")  # these take it as -h HOST
_AGNHOST = _set("connect dial")


_LEADING = _set("while until if elif do then else ! exec time sudo")


def _told(words: list[str]) -> Iterator[str]:
    """The host[:port] that a simple command tells a tool to reach."""
    start = 0
    while start < len(words) and (words[start] in _LEADING or words[start] == "" or "=" in words[start]):
        start += 1
    if words[start : start + 1] == ["timeout"]:
        start += 2
    tool = words[start].rpartition("/")[2] if start < len(words) else ""
    rest = words[start + 1 :]
    if tool == "agnhost" and rest:
        tool, *rest = rest
    if tool in _HOST_OPTION:
        yield from rest[rest.index("-h") + 1 :][:1] if "-h" in rest else []
    elif tool in _TOOLS or tool in _AGNHOST:
        yield from _operand(tool, rest)


def _operand(tool: str, words: list[str]) -> Iterator[str]:
    takes_value = _TOOLS.get(tool, frozenset())
    operands: list[str] = []
    skip = False
    for word in words:
        if skip or not word:
            skip = False
        elif word.startswith("-"):
            skip = word in takes_value
        else:
            operands.append(word)
    if operands and "://" not in operands[0]:
        host = operands[0].partition("/")[0]
        port = operands[1] if tool in ("nc", "telnet") and len(operands) > 1 and operands[1].isdigit() else ""
        yield f"{host}:{port}" if port else host


# --- hosts in one setting -----------------------------------------------------------------------------------------

_NETWORK_SCHEMES = _set(
    "http https ws wss tcp udp tls ssl grpc grpcs h2c redis rediss amqp amqps mqtt mqtts postgres postgresql "
    "mysql mariadb mongodb  nats kafka plaintext sasl_plaintext sasl_ssl memcached ldap ldaps smtp smtps ftp "
    "sftp ssh sqlserver clickhouse cassandra  elasticsearch etcd zookeeper bolt neo4j syslog otlp stomp pulsar "
    "fastcgi uwsgi"
)
# What follows is no host, or one that something else than DNS resolves.
_OTHER_SCHEMES = _set(
    "file unix docker oci lb consul s3 gs hdfs jar classpath sqlite mem memory mongodb+srv spiffe vault"
)
_URL = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+._-]*)://([^\s/?#\"'<>;\\`|]+)")
_NEXT_URL = re.compile(r",(?=[a-zA-Z][a-zA-Z0-9+._-]*://)")
_FULL_NAME = re.compile(r"(?<![\w.*-])((?:[a-z0-9_-]+\.)+svc(?:\.[a-z0-9.-]+)?)\.?(?::(\d{1,5}))?(?![\w-])")
_HOST_PORT = re.compile(r"([A-Za-z0-9][-A-Za-z0-9._]*):(\d{1,5})")

_STRONG = _set("HOST HOSTNAME ADDR ADDRESS ENDPOINT URL URI UPSTREAM BROKERS BROKER")
# These name a kind of thing as often as a host (WEB_SERVER=nginx): believed only beside a port of the same name.
_WEAK = _set(
    "SERVER SERVERS SERVICE BACKEND BACKENDS HOSTS ENDPOINTS UPSTREAMS NODES TARGET TARGETS PEERS SEEDS BOOTSTRAP"
)
# Names under which a program says who it is itself, or whom it lets in.
_SELF = _set(
    "BIND LISTEN LISTENER LISTENERS VIRTUAL PUBLIC EXTERNAL ADVERTISED ADVERTISE OWN SELF DOMAIN ALLOWED "
    "TRUSTED CORS ORIGIN ORIGINS  COOKIE ISSUER AUDIENCE REALM CALLBACK REDIRECT"
)
_SELF_NAMES = _set("APP_URL BASE_URL ROOT_URL SITE_URL NO_PROXY")
_NEVER = _set("IMAGE TAG VERSION RATIO TIME SCHEDULE USER OWNER PATH")


def may_name_hosts(name: str, text: str) -> bool:
    """Whether hosts are looked for in the text of a setting of this name."""
    last = name.upper().rpartition("_")[2]
    is_named = not name or last in _STRONG or last in _WEAK or last.endswith("BROKERS")
    hints = "://" in text or ".svc" in text or is_named or ":" in text
    return hints and last not in _NEVER and name.upper() != "NO_PROXY"


def _hosts(setting: Setting) -> Iterator[_Host]:
    text = setting.text
    if not text or len(text) > LONGEST_SETTING:
        return
    name = setting.name.upper()
    words = name.split("_")
    has_url, has_full_name = "://" in text, ".svc" in text
    if not may_name_hosts(setting.name, text):
        return
    plausible = name not in _SELF_NAMES and _SELF.isdisjoint(words)
    if has_url:
        yield from (host._replace(certain=plausible) for host in _in_urls(text))
    if has_full_name:
        yield from (_Host(match.group(1), _port(match.group(2)), plausible) for match in _FULL_NAME.finditer(text))
    if not has_url and "IMAGE" not in words:
        yield from _in_list(setting, words, plausible)


def _in_urls(text: str) -> Iterator[_Host]:
    for piece in _NEXT_URL.split(text):
        for match in _URL.finditer(piece):
            scheme = match.group(1).lower().rpartition(":")[2]
            if scheme in _OTHER_SCHEMES:
                continue
            for part in match.group(2).rpartition("@")[2].split(","):
                name, _, number = part.partition(":")
                if _is_host(name) and (number.isdigit() or (scheme in _NETWORK_SCHEMES and not number)):
                    yield _Host(name, _port(number), True)


def _in_list(setting: Setting, words: list[str], plausible: bool) -> Iterator[_Host]:
    """`host`, `host:port`, or several with commas."""
    told = not setting.name  # what a tool is told to reach: what else could it be
    strong = told or (len(words) > 1 and (words[-1] in _STRONG or words[-1].endswith("BROKERS")))
    weak = len(words) > 1 and words[-1] in _WEAK
    for part in setting.text.strip().split(","):
        match = _HOST_PORT.fullmatch(part.strip())
        if match and _is_host(match.group(1)):
            yield _Host(match.group(1), _port(match.group(2)), plausible and (strong or weak))
        elif (strong or weak) and _is_host(part.strip()):
            yield _Host(part.strip(), None, plausible and (strong or setting.has_port_beside))


def _port(text: str | None) -> int | None:
    return int(text) if text and 0 < int(text) < 65536 else None


def _is_host(name: str) -> bool:
    """A DNS name in lower case that is no address, number or file."""
    bare = name.rstrip(".")
    if not bare or bare != bare.lower() or bare.replace(".", "").isdigit():
        return False
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return all(_LABEL.fullmatch(label) for label in bare.split("."))
    return False
