"""Hosts in one piece of text that a program is configured with, read in the light of the name it stands under.

Settings are free text, so this errs on the side of silence: a host is `certain` only where the string can hardly mean
anything else (a URL, a full cluster name, a host under a name like DB_HOST).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from svcdoctor.text import whole_number, words

LONGEST_SETTING = 8192  # longer ones are documents, not settings


class Host(NamedTuple):
    name: str
    port: int | None
    certain: bool
    scheme: str = ""


_NETWORK_SCHEMES = words(
    "http https ws wss tcp udp tls ssl grpc grpcs h2c redis rediss amqp amqps mqtt mqtts postgres postgresql "
    "mysql mariadb mongodb  nats kafka plaintext sasl_plaintext sasl_ssl memcached ldap ldaps smtp smtps ftp "
    "sftp ssh sqlserver clickhouse cassandra  elasticsearch etcd zookeeper bolt neo4j syslog otlp stomp pulsar "
    "fastcgi uwsgi"
)
# What follows is no host, or one that something else than DNS resolves.
_OTHER_SCHEMES = words(
    "file unix docker oci lb consul s3 gs hdfs jar classpath sqlite mem memory mongodb+srv spiffe vault"
)
_URL = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+._-]*)://([^\s/?#\"'<>;\\`|]+)")
_NEXT_URL = re.compile(r",(?=[a-zA-Z][a-zA-Z0-9+._-]*://)")
_FULL_NAME = re.compile(r"(?<![\w.*-])((?:[a-z0-9_-]+\.)+svc(?:\.[a-z0-9.-]+)?)\.?(?::(\d{1,5}))?(?![\w-])")
_HOST_PORT = re.compile(r"([A-Za-z0-9][-A-Za-z0-9._]*):(\d{1,5})")
# `user:password@tcp(db:3306)/shop`, as the MySQL driver of Go takes it.
DSN = re.compile(r"@(tcp|udp)\(([^()\s]+)\)")
# `host=db port=5432 user=shop`, as libpq takes it; `Server=db,1433;Database=shop` and `Host=db;Port=5432` in ADO.NET.
_KEYWORDS = re.compile(
    r"(?i)(?:^|[\s;])(host|server|data source)\s*=\s*(?:tcp:)?([\w.-]+)(?:[,:](\d{1,5}))?(?=[\s;]|$)"
)
_KEYWORD_PORT = re.compile(r"(?i)(?:^|[\s;])port\s*=\s*(\d{1,5})(?=[\s;]|$)")
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")

_STRONG = words("HOST HOSTNAME ADDR ADDRESS ENDPOINT URL URI UPSTREAM BROKERS BROKER")
# These name a kind of thing as often as a host (WEB_SERVER=nginx): believed only beside a port of the same name.
_WEAK = words(
    "SERVER SERVERS SERVICE BACKEND BACKENDS HOSTS ENDPOINTS UPSTREAMS NODES TARGET TARGETS PEERS SEEDS BOOTSTRAP"
)
# Names under which a program says who it is itself, or whom it lets in.
_SELF = words(
    "BIND LISTEN LISTENER LISTENERS VIRTUAL PUBLIC EXTERNAL ADVERTISED ADVERTISE OWN SELF DOMAIN ALLOWED "
    "TRUSTED CORS ORIGIN ORIGINS  COOKIE ISSUER AUDIENCE REALM CALLBACK REDIRECT"
)
_SELF_NAMES = words("APP_URL BASE_URL ROOT_URL SITE_URL NO_PROXY")
_NEVER = words("IMAGE TAG VERSION RATIO TIME SCHEDULE USER OWNER PATH")


def may_name_hosts(name: str, text: str) -> bool:
    """Whether hosts are looked for in the text of a setting of this name."""
    last = name.upper().rpartition("_")[2]
    is_named = not name or last in _STRONG or last in _WEAK or last.endswith("BROKERS")
    hints = "://" in text or ".svc" in text or is_named or ":" in text or bool(_KEYWORDS.search(text))
    return hints and last not in _NEVER and name.upper() != "NO_PROXY"


def hosts_in(name: str, text: str, port_beside: int | None = None) -> Iterator[Host]:
    """The hosts in the text of a setting. Without a name it is what a tool is told to reach.

    `port_beside`: the port that a setting of the same name gives (DB_PORT next to DB_HOST).
    """
    if not text or len(text) > LONGEST_SETTING:
        return
    name = name.upper()
    parts = name.split("_")
    if not may_name_hosts(name, text):
        return
    plausible = name not in _SELF_NAMES and _SELF.isdisjoint(parts)
    has_url = "://" in text
    if has_url:
        yield from _in_urls(text, plausible)
    if ".svc" in text:
        yield from (Host(match.group(1), port(match.group(2)), plausible) for match in _FULL_NAME.finditer(text))
    if not has_url and "IMAGE" not in parts:
        yield from _in_list(parts if name else [], text, plausible, port_beside)
        yield from (host for host in _in_connection_string(text) if plausible)


def _in_urls(text: str, plausible: bool) -> Iterator[Host]:
    for piece in _NEXT_URL.split(text):
        for match in _URL.finditer(piece):
            scheme = match.group(1).lower().rpartition(":")[2]
            if scheme in _OTHER_SCHEMES:
                continue
            for part in match.group(2).rpartition("@")[2].split(","):
                name, _, number = part.partition(":")
                if is_host(name) and (number.isdigit() or (scheme in _NETWORK_SCHEMES and not number)):
                    yield Host(name, port(number), plausible, scheme)


def _in_list(parts: list[str], text: str, plausible: bool, port_beside: int | None) -> Iterator[Host]:
    """`host`, `host:port`, or several with commas."""
    told = not parts  # what a tool is told to reach: what else could it be
    strong = told or (len(parts) > 1 and (parts[-1] in _STRONG or parts[-1].endswith("BROKERS")))
    weak = len(parts) > 1 and parts[-1] in _WEAK
    for part in text.strip().split(","):
        match = _HOST_PORT.fullmatch(part.strip())
        if match and is_host(match.group(1)):
            yield Host(match.group(1), port(match.group(2)), plausible and (strong or weak))
        elif (strong or weak) and is_host(part.strip()):
            yield Host(part.strip(), port_beside, plausible and (strong or port_beside is not None))


def _in_connection_string(text: str) -> Iterator[Host]:
    for match in DSN.finditer(text):
        name, _, number = match.group(2).partition(":")
        if is_host(name):
            yield Host(name, port(number), True)
    if "=" not in text:
        return
    beside = _KEYWORD_PORT.search(text)
    for match in _KEYWORDS.finditer(text):
        if is_host(match.group(2)):
            yield Host(match.group(2), port(match.group(3) or (beside.group(1) if beside else None)), True)


def port(text: str | None) -> int | None:
    number = whole_number(text or "")
    return number if number and number < 65536 else None


def is_host(name: str) -> bool:
    """A DNS name in lower case that is no address, number or file."""
    bare = name.rstrip(".")
    return bool(_NAME.fullmatch(bare)) and not bare.replace(".", "").isdigit()
