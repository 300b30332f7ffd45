"""Recordings that may leave the machine: what may be a password, a token or a key is blanked out of them.

What a diagnosis reads stays, so that a capture gives the report it was taken from: hosts, ports, names, states. Of the
settings of containers only what may name a Service or a port is kept, and of ConfigMaps the keys that such settings
come from.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from svcdoctor.checks.sessions_stay_on_pods import IN_MEMORY, SESSION_STORE
from svcdoctor.clients.configfile import without_the_rest
from svcdoctor.clients.hosts import DSN, may_name_hosts

BLANK = "REDACTED"
# Whole manifests, with all that has been left out of the objects themselves.
MANIFESTS = ("kubectl.kubernetes.io/last-applied-configuration",)
RESOLVER = (("kube-system", "coredns"), ("kube-system", "coredns-custom"))
KUBE_PROXY = ("kube-system", "kube-proxy")

_SECRET = r"passw(?:or)?d|passphrase|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential"
_SECRET_NAME = re.compile(rf"{_SECRET}|(?:^|[-_])(?:key|auth|pass|salt)(?:$|[-_])", re.IGNORECASE)
# TOKEN_SERVICE_URL is no token.
_PLACE_NAME = re.compile(r"(?:URL|URI|HOST|HOSTNAME|ADDR|ADDRESS|ENDPOINT|PORT|SERVICE|SERVER)$", re.IGNORECASE)
_SECRETS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL), BLANK),
    (re.compile(r"://[^\s/@]+@(?:[^\s/@]*@)*"), f"://{BLANK}@"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), BLANK),
    (re.compile(r"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,})"), BLANK),
    (re.compile(r"\b(bearer\s+[\w+/.~=-]{8,}|basic\s+[\w+/=-]{16,})", re.IGNORECASE), BLANK),
    # `password=x`, `"token": "x"`, `--secret-key x`; `token:80` is a host and its port.
    (
        re.compile(
            rf"""((?:{_SECRET})[\w.-]*["']?\s*(?:=|:(?!\d{{1,5}}\b|//))\s*["']?)[^\s"',;&|)]+""",
            re.IGNORECASE,
        ),
        rf"\1{BLANK}",
    ),
    (re.compile(rf"(--?[\w-]*(?:{_SECRET})[\w-]*\s+)(?!-)\S+", re.IGNORECASE), rf"\1{BLANK}"),
    (re.compile(r"(\s(?:-u|--user)[\s=]+)\S+:\S+"), rf"\1{BLANK}"),
    (re.compile(r"(\b(?:mysql|mysqladmin|mysqldump|mariadb)\b[^|;&\n]*?\s-p)\S+"), rf"\1{BLANK}"),
    (re.compile(r"(\bredis-cli\b[^|;&\n]*?\s-a\s+)\S+"), rf"\1{BLANK}"),
)
# Most strings are short and have nothing of the kind: one look tells.
_HINT = re.compile(
    rf"{_SECRET}|private key|@|eyJ|AKIA|gh[pousr]_|glpat|xox|bearer|basic|\s-u|--user|mysql|mariadb|redis-cli",
    re.IGNORECASE,
)
_SECRET_FLAG = re.compile(rf"--?[\w-]*(?:{_SECRET})[\w-]*|-u|--user", re.IGNORECASE)
_LOGIN = re.compile(r"[\w.%+-]+:[^\s@/]+@")
_HOST_PORT = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:]+\])?:\d{1,5}")
_EXCEPTIONS = re.compile(r"NO_?PROXY", re.IGNORECASE)  # hosts that are reached without a proxy
# What stays of other settings: an address, a number by itself, which may be a port, and the name of another setting.
_KEPT = re.compile(
    r"(\$\([^)]*\)|(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])|(?<![\w.%+-])\d{1,5}(?![\w.%+-])|[\s=,;:/\[\]'\"()*]+)"
)


def without_secrets(recording: bytes) -> bytes:
    """A recorded World (world.py) without what it is not for others to read."""
    parts = msgspec.json.decode(recording)
    objects = parts.get("objects", {})
    takers = _takers(objects)
    for name, table in objects.items():
        items = table["items"]
        if name == "configmaps":
            for item in items:
                item["data"] = _config(item, takers)
        table["items"] = [_blanked(item) for item in items]
    parts = {name: value if name == "objects" else _blanked(value) for name, value in parts.items()}
    return msgspec.json.encode(parts)


def blanked(text: str) -> str:
    """A text without the passwords, tokens and keys in it."""
    if not _HINT.search(text):
        return text
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _blanked(value: Any) -> Any:
    if isinstance(value, str):
        return blanked(value)
    if isinstance(value, list):
        return _words(value) if all(isinstance(item, str) for item in value) else [_blanked(item) for item in value]
    if isinstance(value, dict):
        return {key: _manifest(item) if key in MANIFESTS else _field(key, item) for key, item in value.items()}
    return value


def _manifest(text: str) -> str:
    """Of what was applied, the kind and its version; of kinds that hold no settings also the spec."""
    try:
        applied = json.loads(text)
        kept = {key: applied[key] for key in ("apiVersion", "kind") if key in applied}
        if kept.get("kind") in ("Service", "NetworkPolicy"):
            kept["spec"] = applied.get("spec")
    except (ValueError, TypeError, RecursionError):
        return ""
    return json.dumps(kept, sort_keys=True)


def _field(key: str, value: Any) -> Any:
    if key == "env" and isinstance(value, list):
        return [
            {**item, "value": _setting(item["value"], item.get("name", ""))} if item.get("value") else item
            for item in value
        ]
    return _blanked(value)


def _words(words: list[str]) -> list[str]:
    """A command line as a list: a value may stand in the word after its flag."""
    line = [blanked(word) for word in words]
    for place, word in enumerate(words[:-1]):
        following = words[place + 1]
        is_login = word not in ("-u", "--user") or ":" in following
        if _SECRET_FLAG.fullmatch(word) and is_login and not following.startswith("-"):
            line[place + 1] = BLANK
    return line


def _setting(value: str, *names: str) -> str:
    if any(_SECRET_NAME.search(name) and not _PLACE_NAME.search(name) for name in names):
        return BLANK
    if value.lower() in IN_MEMORY and any(SESSION_STORE.fullmatch(name.upper()) for name in names):
        return value
    value = _LOGIN.sub(f"{BLANK}@", value) if "://" not in value else value
    is_place = all(_HOST_PORT.fullmatch(part.strip()) for part in value.split(","))
    # A colon alone makes no place: `user:word` has one too.
    text = value if "://" in value else value.replace(":", " ")
    if (
        is_place
        or DSN.search(value)
        or any(may_name_hosts(name, text) or _EXCEPTIONS.fullmatch(name) for name in names)
    ):
        return blanked(value)
    return "".join(part if at % 2 else "x" if part else "" for at, part in enumerate(_KEPT.split(value)))


def _config(item: dict[str, Any], takers: dict[tuple[str, str, str], list[str]]) -> dict[str, str]:
    data = item.get("data") or {}
    place = (item["metadata"].get("namespace", ""), item["metadata"].get("name", ""))
    if place in RESOLVER:
        return dict(data)
    if place == KUBE_PROXY:
        return {key: text for key, text in data.items() if key == "config.conf"}
    kept = {}
    for key, value in data.items():
        if (*place, _AS_FILE) in takers:
            kept[key] = blanked(without_the_rest(key, value, lambda name, text: _setting(text, name or "URL")))
        elif names := takers.get((*place, key), []) + takers.get((*place, _AS_VARIABLES), []):
            kept[key] = _setting(value, key, *names)
    return kept


# In the place of a key: that all of them are taken.
_AS_FILE, _AS_VARIABLES = "/", "="


def _takers(objects: dict[str, Any]) -> dict[tuple[str, str, str], list[str]]:
    """(namespace, ConfigMap, key): the names of the settings that are taken from it."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for table in objects.values():
        for item in table["items"]:
            namespace = item.get("metadata", {}).get("namespace", "")
            for name, way in _whole(item):
                found[namespace, name, way].append("")
            for setting in _settings(item):
                reference = (setting.get("valueFrom") or {}).get("configMapKeyRef")
                if reference:
                    found[namespace, reference.get("name", ""), reference.get("key", "")].append(setting["name"])
    return found


def _whole(value: Any) -> Iterator[tuple[str, str]]:
    """The ConfigMaps that are taken whole, and as what."""
    if isinstance(value, list):
        for item in value:
            yield from _whole(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "configMapRef":
                yield item.get("name", ""), _AS_VARIABLES
            elif key == "configMap" and isinstance(item, dict):
                yield item.get("name", ""), _AS_FILE
            else:
                yield from _whole(item)


def _settings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _settings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "env" and isinstance(item, list):
                yield from item
            else:
                yield from _settings(item)
