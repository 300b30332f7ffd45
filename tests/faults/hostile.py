"""Worlds with hostile words in every string, drawn from the suites: as a hand-made capture may hold them."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec

from svcdoctor.world import World

WORDS = (
    # What a terminal obeys, or a reader's eye: controls, C1, bidirectional overrides, zero width, tags.
    "\x1b]0;owned\x07\x1b[2J",
    "\x9b31m\x00\x7f",
    "\u202eabc\u2066\u200b\ufeff\U000e0041",
    "\r\nInjected: line\n\n",
    "\u2028\u2029\x85",
    # What formats have a meaning for.
    "<script>alert('1')</script>",
    "</details></table>&lt;--> ]]>",
    "\"><img src=x onerror='x'>",
    "| a | b |\n|---|---|",
    "```\n# heading\n[a](javascript:b) ![c](d) **e** _f_ `g`",
    "[red]$(x)[/red][/][link=x]",
    "{0} {name} %s %(x)s ${y} {{ z }}",
    '"} 1\n# HELP x\nx{y="',
    "::error::x%0A%25##[group]",
    "=cmd|' /C calc'!A0,\"b\";c\t",
    "@all <@U0> #1",
    # What a shell or a path has a meaning for.
    "$(touch owned)",
    "`touch owned`",
    "; touch owned #",
    "' ; touch owned '",
    '" ; touch owned "',
    "a b  c",
    "*?[a-z]~!",
    "-rf",
    "--kubeconfig=/dev/null",
    "-",
    "--",
    "../../etc/passwd",
    "/",
    "%2e%2e%2f",
    "\\",
    "a\\'b",
    # What is no text at all, or too much of it.
    "",
    " ",
    "\ufffe\uffff",
    "\U0001f469\u200d\U0001f4bb",
    "e\u0301" * 40,
    "x" * 3000,
    "0",
    "null",
    "NaN",
    "9" * 400,
    "10.96.1.3/33",
    "::ffff:1.2.3.4%eth0",
    "[" * 5000,
)
# Times, quantities and enumerations are drawn over less often: without them most checks look at nothing.
KEPT = {"kind", "apiVersion", "phase", "protocol", "status", "type", "conditionType", "verb", "state"}


def hostile(world: World, chance: random.Random, rate: float) -> World:
    """The same with words exchanged or appended: the same word becomes the same one, so that names go on to match."""
    recording = json.loads(world.record())
    instead: dict[str, str] = {}

    def word(text: str) -> str:
        if text not in instead:
            other = chance.choice(WORDS)
            if chance.random() >= rate:
                instead[text] = text
            else:
                instead[text] = chance.choice((other, text + other, other + text))
        return instead[text]

    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {
                (word(name) if key in ("labels", "annotations", "matchLabels", "selector", "data") else name): poisoned(
                    item, name
                )
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [poisoned(item, key) for item in value]
        if isinstance(value, str) and (key not in KEPT or chance.random() < 0.02):
            return word(value)
        return value

    for name, table in recording["objects"].items():
        items = [poisoned(item) for item in table["items"]]
        recording["objects"][name] = {**table, "items": [_cyclic(item, chance) for item in items]}
        recording["objects"][name]["scopes"] = [word(scope) if scope else "" for scope in table["scopes"]]
    recording["lookups"] = _lookups(recording["lookups"], word)
    recording["context"] = word(recording["context"] or "test")
    return World.replay(msgspec.json.encode(recording))


def _cyclic(item: Any, chance: random.Random) -> Any:
    """Now and then an object that owns itself."""
    if chance.random() < 0.02:
        metadata = item["metadata"]
        owner = {"kind": "ReplicaSet", "name": metadata.get("name", ""), "uid": metadata.get("uid", "")}
        item["metadata"] = {**metadata, "ownerReferences": [{**owner, "controller": True}]}
    return item


def _lookups(lookups: Any, word: Any) -> Any:
    return None if lookups is None else {word(namespace): said for namespace, said in lookups.items()}
