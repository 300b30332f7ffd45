"""What a command line tells a program to connect to: flags that read like settings, and the operands of known tools."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

from svcdoctor.clients.hosts import LONGEST_SETTING
from svcdoctor.text import words

_SEPARATORS = re.compile(r"[\s|&()<>\"']+")
_COMMANDS = re.compile(r"[;\n]|&&|\|\|?|\\n")
# A word that runs into a command substitution is only part of a name.
_SUBSTITUTION = re.compile(r"\S*(?:\$\(|`)")

# Tools that take a host as their first operand, and which of their options take a value of their own.
_TOOLS = {
    "nslookup": words(""),
    "nc": words("-w -p -s -i -q -x -X"),
    "ping": words("-c -w -W -i -I -s -t"),
    "telnet": words(""),
    "wget": words("-O -T -t -U -o -P --header --post-data --timeout --tries"),
    "curl": words(
        "-o -m -H -d -X -u -w -A -e -T -b -c -F -x --max-time --connect-timeout --retry --retry-delay --data --header "
        "--request --output --user --write-out --cacert --resolve"
    ),
}
# These take it as -h HOST, and the port as the option that follows here.
_HOST_OPTION = {"pg_isready": "-p", "psql": "-p", "redis-cli": "-p", "mysql": "-P", "mysqladmin": "-P"}
_AGNHOST = words("connect dial")
_HTTP = words("curl wget")
_LEADING = words("while until if elif do then else ! exec time sudo")


def settings_in(line: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name, text) of what a command and its arguments say about hosts; the name is empty where there is no flag."""
    scripts: list[list[str]] = []
    plain: list[str] = []
    for argument in line:
        if len(argument) > LONGEST_SETTING:
            continue
        if any(character in argument for character in " \n;"):
            scripts += _lines(argument)
        else:
            plain.append(argument)
    for command in [plain, *scripts]:
        yield from _flags(command)
        yield from (("", host) for host in _told(command))
        yield from (("", word) for word in command if "://" in word or ".svc" in word)


def settings_in_script(text: str) -> Iterator[tuple[str, str]]:
    """The same of a shell script."""
    for command in _lines(text):
        yield from settings_in(command)


def _lines(script: str) -> list[list[str]]:
    return [_SEPARATORS.split(part.strip()) for part in _COMMANDS.split(_SUBSTITUTION.sub("\n", script))]


def _flags(command: list[str]) -> Iterator[tuple[str, str]]:
    for word, following in zip(command, [*command[1:], ""], strict=False):
        if not word.startswith("--"):
            continue
        flag, equals, value = word[2:].partition("=")
        if not equals and not following.startswith("-"):
            value = following
        if value:
            yield flag.replace("-", "_").replace(".", "_").upper(), value


def _told(command: list[str]) -> Iterator[str]:
    """The host[:port] that a simple command tells a tool to reach."""
    start = 0
    while start < len(command) and (command[start] in _LEADING or command[start] == "" or "=" in command[start]):
        start += 1
    if command[start : start + 1] == ["timeout"]:
        start += 2
    tool = command[start].rpartition("/")[2] if start < len(command) else ""
    rest = command[start + 1 :]
    if tool == "agnhost" and rest:
        tool, *rest = rest
    if tool in _HOST_OPTION:
        host, port = _option(rest, "-h"), _option(rest, _HOST_OPTION[tool])
        yield from [f"{host}:{port}" if port.isdigit() and ":" not in host else host] if host else []
    elif tool in _TOOLS or tool in _AGNHOST:
        yield from _operand(tool, rest)


def _option(arguments: list[str], option: str) -> str:
    return "".join(arguments[arguments.index(option) + 1 :][:1]) if option in arguments else ""


def _operand(tool: str, arguments: list[str]) -> Iterator[str]:
    takes_value = _TOOLS.get(tool, frozenset())
    operands: list[str] = []
    skip = False
    if tool == "nc":
        # What follows is another program's command line; and who listens reaches nobody.
        arguments = list(takewhile(lambda word: word not in ("-e", "-c"), arguments))
        if any(re.fullmatch(r"-\w*l\w*", word) for word in arguments):
            return
    for word in arguments:
        if skip or not word:
            skip = False
        elif word.startswith("-"):
            skip = word in takes_value
        else:
            operands.append(word)
    if operands and "://" not in operands[0]:
        host = operands[0].partition("/")[0]
        port = operands[1] if tool in ("nc", "telnet") and len(operands) > 1 and operands[1].isdigit() else ""
        if tool in _HTTP and host:
            yield f"http://{host}"
        else:
            yield f"{host}:{port}" if port else host
