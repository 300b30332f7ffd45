"""Lines of a configuration file that may name hosts: nginx, HAProxy, YAML, JSON, INI, properties, shell scripts.

No format is parsed in full. A line counts when it reads like a setting of a program (`redis.host: cache`,
`proxy_pass http://cart:80;`); its name is made of the keys that it stands under, as an environment variable would be
called, and hosts.py decides what that name makes of the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from svcdoctor.clients.commandline import settings_in_script
from svcdoctor.text import whole_number, words

LONGEST_FILE = 65536
_PROSE = (".md", ".txt", ".html", ".htm", ".css", ".svg", ".crt", ".pem", ".key", ".sql")


class Line(NamedTuple):
    number: int
    name: str  # as an environment variable would be called; empty for what the program is told outright
    text: str
    port_beside: int | None = None


def lines_of(file: str, text: str) -> list[Line]:
    """What of a file may name hosts, in its order."""
    if len(text) > LONGEST_FILE or file.endswith(_PROSE) or text.lstrip().startswith("<!DOCTYPE"):
        return []
    if is_proxy_configuration(text):
        return list(_proxied(text))
    if file.endswith((".sh", ".bash")) or text.startswith(("#!/bin/sh", "#!/bin/bash", "#!/usr/bin/env bash")):
        return list(_script(text))
    return list(_assignments(text))


def without_the_rest(file: str, text: str, kept: Callable[[str, str], str]) -> str:
    """The file with only what names hosts, line by line, so that it reads the same: `kept` says of each name and text
    what stays of it."""
    told: dict[int, list[Line]] = {}
    for line in lines_of(file, text):
        told.setdefault(line.number, []).append(line)
    if not told:
        return ""
    lines = enumerate(text.splitlines(), 1)
    return "\n".join(_without(line, told.get(number, []), kept) for number, line in lines) + "\n"


def _without(line: str, told: list[Line], kept: Callable[[str, str], str]) -> str:
    if told:
        for one in told:
            line = line.replace(one.text, kept(one.name, one.text))
        return line
    if line.startswith("#!") or _DIRECTIVE.search(line) or _FRAME.fullmatch(line):
        return line
    match = _ASSIGNMENT.match(line)
    if match is None or _REMARK.match(line):
        return ""
    is_kept = not _plain(match.group(3)) or match.group(2) in _PORT_KEYS
    return line if is_kept else f"{match.group(1)}{match.group(2)}: -"


# --- proxies: nginx, HAProxy, Caddy --------------------------------------------------------------------------------

_DIRECTIVE = re.compile(
    r"(?:^|[{;])\s*(proxy_pass|grpc_pass|fastcgi_pass|uwsgi_pass|scgi_pass|reverse_proxy)\s+([^\s;{]+)", re.MULTILINE
)
_UPSTREAM = re.compile(r"^\s*upstream\s+(\S+)\s*\{", re.MULTILINE)
# Inside an upstream of nginx, and in a backend of HAProxy, where a name of its own comes first.
_SERVER = re.compile(r"(?:^|[{;])[ \t]*server[ \t]+([A-Za-z0-9][\w.-]*(?::\d{1,5})?)(?=[ \t;])", re.MULTILINE)
_NAMED_SERVER = re.compile(r"^[ \t]*server[ \t]+\S+[ \t]+([A-Za-z0-9][\w.-]*:\d{1,5})(?=\s|$)", re.MULTILINE)
_SET = re.compile(r"(?:^|[{;])\s*set\s+(\$\w+)\s+[\"']?([^\s;\"']+)", re.MULTILINE)
# What holds a configuration together: `upstream shop {`, `}`, `backend shop`, `set $shop cart;`.
_FRAME = re.compile(r"\s*(?:[\w ~/.*^$@-]*\{|[\]})]*[,;]?|backend \S+|set\s+\$\w+\s+\S+;)\s*")
_COMMENT = re.compile(r"^[ \t]*#[^\n]*", re.MULTILINE)


def is_proxy_configuration(text: str) -> bool:
    return bool(_DIRECTIVE.search(text) or _UPSTREAM.search(text) or re.search(r"^backend \S+\s*$", text, re.MULTILINE))


def is_nginx(text: str) -> bool:
    """Whether nginx would look up the names in it once: what stands in a variable it looks up anew."""
    return bool(re.search(r"\b(?:proxy|grpc|fastcgi|uwsgi|scgi)_pass\s", text))


def upstreams_of(text: str) -> dict[str, str]:
    """What stands in nginx's `upstream NAME { ... }`, by name."""
    text = _COMMENT.sub("", text)
    return {match.group(1): text[match.end() :].partition("}")[0] for match in _UPSTREAM.finditer(text)}


def _proxied(text: str) -> Iterator[Line]:
    text = _COMMENT.sub("", text)
    own = upstreams_of(text)
    blocks = [(match.end(), match.end() + len(own[match.group(1)])) for match in _UPSTREAM.finditer(text)]
    variables = {match.group(1): match.group(2) for match in _SET.finditer(text)}
    for match in _DIRECTIVE.finditer(text):
        target = re.sub(r"\$\w+", lambda name: variables.get(name.group(), name.group()), match.group(2))
        host = re.split(r"[:/]", target.rpartition("://")[2])[0]
        if host not in own and "$" not in host:
            # What stands in a variable nginx looks up anew; it is told the rest outright.
            name = "PROXY_PASS_URL" if target != match.group(2) else ""
            value = target if "://" in target else target.partition("/")[0]
            yield Line(_number(text, match.start(2)), name, value)
    if not own and not is_nginx(text):
        servers = list(_NAMED_SERVER.finditer(text))
    else:
        servers = [
            match for match in _SERVER.finditer(text) if any(start <= match.start(1) < end for start, end in blocks)
        ]
    for match in servers:
        yield Line(_number(text, match.start(1)), "", match.group(1))


def _number(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


# --- scripts and assignments ---------------------------------------------------------------------------------------


def _script(text: str) -> Iterator[Line]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith("#"):
            yield from (Line(number, name, value) for name, value in settings_in_script(line))


_ASSIGNMENT = re.compile(r"^(\s*(?:-\s+)*)[\"']?([A-Za-z_][\w.-]*)[\"']?\s*(?::(?=\s|$)|=)\s*(.*)$")
_ITEM = re.compile(r"^(\s*(?:-\s+)+)[\"']?([^\s\"'#]+)[\"']?\s*,?\s*(?:#.*)?$")
_REMARK = re.compile(r"^\s*(?:#|//|;|<!--|\*|/\*)")
_TRAILING = re.compile(r"\s+#.*$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_URL_WITH_PORT = re.compile(r"\b[a-z][a-z0-9+:]*://(?:[^\s/@\"'<>]*@)?[a-z0-9][a-z0-9.-]*:\d{1,5}(?![\w-])")
_OWN = words("SERVER_HOST SERVER_HOSTNAME SERVER_ADDRESS HTTP_HOST HTTP_ADDRESS WEB_HOST MANAGEMENT_SERVER_ADDRESS")
_PORT_KEYS = ("port", "port_value")


class _Key(NamedTuple):
    indent: int
    name: str
    value: str
    line: int
    path: tuple[str, ...]


def _assignments(text: str) -> Iterator[Line]:
    keys = list(_keys(text))
    ports = {(key.path[:-1], _block(keys, at)): key.value for at, key in enumerate(keys) if key.name in _PORT_KEYS}
    covered = set()
    for at, key in enumerate(keys):
        if not key.value:
            continue
        covered.add(key.line)
        beside = whole_number(ports.get((key.path[:-1], _block(keys, at)), ""))
        name = _variable(key.path)
        # A bare word may be anything: only a port beside it makes it a host, if not that of the program itself.
        if ":" in key.value or ".svc" in key.value or "=" in key.value or (beside is not None and name not in _OWN):
            yield Line(key.line, name, key.value, beside)
    for number, line in enumerate(text.splitlines(), 1):
        if number not in covered and not _REMARK.match(line):
            yield from (Line(number, "", match.group()) for match in _URL_WITH_PORT.finditer(line))


def _block(keys: list[_Key], at: int) -> int:
    """The line of the key that a run of neighbours of one depth begins with: list items are told apart by it."""
    while at and keys[at - 1].path[:-1] == keys[at].path[:-1] and keys[at].line - keys[at - 1].line == 1:
        at -= 1
    return keys[at].line


def _keys(text: str) -> Iterator[_Key]:
    """Every `key: value` and `- value`, each with the keys that it is indented under."""
    above: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if _REMARK.match(line):
            continue
        match = _ASSIGNMENT.match(line)
        item = None if match else _ITEM.match(line)
        if match:
            indent, name = len(match.group(1)), match.group(2)
            while above and above[-1][0] >= indent:
                above.pop()
            path = (*(key for _, key in above), name)
            value = _plain(match.group(3))
            if value:
                yield _Key(indent, name, value, number, path)
            else:
                above.append((indent, name))
        elif item and above:
            path = tuple(key for depth, key in above if depth < len(item.group(1)))
            if path:
                yield _Key(len(item.group(1)), path[-1], _plain(item.group(2)), number, path)


def _plain(value: str) -> str:
    """A value without quotes, brackets and remarks; a list with commas alone; "" for what only opens a block."""
    value = _TRAILING.sub("", value).rstrip().rstrip(",;").strip()
    if value in ("{", "[", "|", ">", "|-", ">-", "&"):
        return ""
    if value.startswith("[") and value.endswith("]"):
        value = ",".join(part.strip().strip("\"'") for part in value[1:-1].split(","))
    if value.startswith("{{"):
        return ""
    return value.strip("\"'")


def _variable(path: tuple[str, ...]) -> str:
    """`spring.redis.host` and `redis: {bootstrapServers}` as an environment variable would be called."""
    return re.sub(r"[^A-Za-z0-9]+", "_", _CAMEL.sub("_", "_".join(path))).upper()
