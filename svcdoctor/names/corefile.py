"""CoreDNS's configuration, as far as it decides how names of the cluster are answered.

A Corefile is a Caddyfile: server blocks, each for some zones on a port, with one plugin a line. Which plugin comes
first is fixed when CoreDNS is built (its plugin.cfg), not by the order of the lines: acl, rewrite, template and hosts
see a query before kubernetes does, file and forward only what kubernetes does not serve. All of it was tried on
CoreDNS 1.14.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from svcdoctor.text import shorten

DEFAULT_ZONE = "cluster.local"
DNS_PORT = "53"
DEFAULT_FILE = "Corefile"


class Directive(NamedTuple):
    name: str
    args: tuple[str, ...]
    body: tuple[Directive, ...]
    file: str
    line: int

    @property
    def text(self) -> str:
        """The directive on one line."""
        words = " ".join((self.name, *self.args))
        return f"{words} {{ {'; '.join(entry.text for entry in self.body)} }}" if self.body else words

    @property
    def where(self) -> str:
        return f"{self.file} line {self.line}"

    def option(self, name: str) -> Directive | None:
        return next((entry for entry in self.body if entry.name == name), None)

    def falls_through(self, name: str) -> bool:
        """Whether a query that this plugin has no answer for goes on to the next one."""
        option = self.option("fallthrough")
        return option is not None and (not option.args or any(within(name, zone) for zone in option.args))


class ServerBlock(NamedTuple):
    zones: tuple[str, ...]
    ports: frozenset[str]
    directives: tuple[Directive, ...]
    file: str
    line: int

    def all(self, name: str) -> list[Directive]:
        return [directive for directive in self.directives if directive.name == name]


class Target(NamedTuple):
    """The Service whose name is asked for, as far as options of the kubernetes plugin look at it."""

    name: str  # absolute, without trailing dot
    namespace: str
    labels: Mapping[str, str]
    namespace_labels: Mapping[str, str] | None = None  # None: not known
    is_headless: bool = False


class Capture(NamedTuple):
    """The line that keeps a name from the Service that has it, and what it does instead."""

    where: str
    rule: str
    effect: str


# --- reading it ---------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r'"((?:\\.|[^"\\])*)"|([^\s"]\S*)|(\n)', re.DOTALL)


class _Token(NamedTuple):
    text: str
    line: int
    first: bool  # of its line
    quoted: bool

    def is_brace(self, brace: str) -> bool:
        return self.text == brace and not self.quoted


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    line, first, position = 1, True, 0
    while match := _TOKEN.search(text, position):
        position = match.end()
        quoted, bare, _ = match.groups()
        if bare is not None and bare.startswith("#"):
            end = text.find("\n", match.start())
            position = end if end >= 0 else len(text)
        elif bare is not None or quoted is not None:
            word = bare if bare is not None else quoted.replace('\\"', '"')
            found.append(_Token(word, line, first, bare is None))
            first = False
            line += (quoted or "").count("\n")
        else:
            line, first = line + 1, True
    return found


class _Reader:
    """Turns the tokens of one file into directives, without regard to what they mean."""

    def __init__(self, text: str, file: str) -> None:
        self.tokens = _tokens(text)
        self.file = file
        self.next = 0

    def done(self) -> bool:
        return self.next >= len(self.tokens)

    def at_brace(self, brace: str) -> bool:
        return not self.done() and self.tokens[self.next].is_brace(brace)

    def directives(self) -> Iterator[Directive]:
        while not self.done() and not self.at_brace("}"):
            yield self.directive()
        self.next += 1

    def directive(self) -> Directive:
        head = self.tokens[self.next]
        self.next += 1
        args: list[str] = []
        while not self.done() and not self.at_brace("{") and not self.at_brace("}") and not self.ends_line():
            args.append(self.tokens[self.next].text)
            self.next += 1
        body: tuple[Directive, ...] = ()
        if self.at_brace("{"):
            self.next += 1
            body = tuple(self.directives())
        return Directive(head.text, tuple(args), body, self.file, head.line)

    def ends_line(self) -> bool:
        # The addresses of a server block may go on after a comma.
        return self.tokens[self.next].first and not self.tokens[self.next - 1].text.endswith(",")


def parse(text: str, files: Mapping[str, str] | None = None) -> list[ServerBlock]:
    """The server blocks, imports put in their place. `files`: what lies beside the Corefile, by base name.

    Never fails: what CoreDNS would refuse is read as far as it goes. Imports of files that are not here are left out.
    """
    tops = list(_Reader(text, DEFAULT_FILE).directives())
    if tops and not any(top.body for top in tops[:1]):
        # A single server block may leave its braces out.
        first, *rest = tops
        tops = [first._replace(body=tuple(rest))]
    snippets = {top.name[1:-1]: top.body for top in tops if top.name.startswith("(") and top.name.endswith(")")}
    importer = _Importer(snippets, files or {})
    blocks = [top for top in importer.expand(tops) if not top.name.startswith("(")]
    return [_server_block(block, importer) for block in blocks]


def unclosed(text: str) -> int:
    """The line of a brace or a quotation mark that is never closed; 0 where there is none."""
    quoted = _unclosed_quote(text)
    open_at: list[int] = []
    for token in _tokens(text):
        if token.is_brace("{"):
            open_at.append(token.line)
        elif token.is_brace("}") and open_at:
            open_at.pop()
    return quoted or next(iter(reversed(open_at)), 0)


def _unclosed_quote(text: str) -> int:
    position = 0
    while match := _TOKEN.search(text, position):
        between = text.find('"', position, match.start())
        if between >= 0:
            return text.count("\n", 0, between) + 1
        is_comment = (match.group(2) or "").startswith("#")
        end = text.find("\n", match.start()) if is_comment else match.end()
        position = end if end >= 0 else len(text)
    return 0


class _Importer:
    def __init__(self, snippets: Mapping[str, tuple[Directive, ...]], files: Mapping[str, str]) -> None:
        self.snippets = snippets
        self.files = files

    def expand(self, directives: Iterable[Directive], depth: int = 0) -> Iterator[Directive]:
        for directive in directives:
            if directive.name != "import" or not directive.args:
                yield directive
            elif depth < 8:
                yield from self.expand(self.imported(directive.args[0]), depth + 1)

    def imported(self, pattern: str) -> Iterator[Directive]:
        if pattern in self.snippets:
            yield from self.snippets[pattern]
            return
        for name in sorted(self.files):
            if fnmatch.fnmatchcase(name, pattern.rpartition("/")[2]):
                yield from _Reader(self.files[name], name).directives()


def _server_block(block: Directive, importer: _Importer) -> ServerBlock:
    keys = [key for word in (block.name, *block.args) for key in word.split(",") if key]
    zones, ports = [], set()
    for key in keys:
        scheme, _, address = key.rpartition("://")
        zone, _, port = address.partition(":")
        zones.append(_bare(zone))
        ports.add(port or DNS_PORT if scheme in ("", "dns") else f"{scheme}:{port}")
    return ServerBlock(tuple(zones), frozenset(ports), tuple(importer.expand(block.body)), block.file, block.line)


def _bare(name: str) -> str:
    return name.lower().rstrip(".")


def within(name: str, zone: str) -> bool:
    bare = _bare(zone)
    return not bare or _bare(name) == bare or _bare(name).endswith(f".{bare}")


def _is_reverse(zone: str) -> bool:
    return zone.endswith((".arpa", "/8", "/16", "/24"))


def _zones_served(directive: Directive, block: ServerBlock) -> tuple[str, ...]:
    return tuple(_bare(zone) for zone in directive.args) or block.zones


def cluster_zones(blocks: Sequence[ServerBlock]) -> list[str]:
    """The zones in which CoreDNS answers for Services, as the kubernetes plugin has them, first its primary one."""
    served = [zone for block in blocks for plugin in block.all("kubernetes") for zone in _zones_served(plugin, block)]
    return [zone for zone in dict.fromkeys(served) if zone and not _is_reverse(zone)]


# --- who answers a name -------------------------------------------------------------------------------------------


def capture(
    blocks: Sequence[ServerBlock], target: Target, types: Sequence[str], files: Mapping[str, str]
) -> Capture | None:
    """What takes the name away from the kubernetes plugin, or hides the Service in it; None where the way is clear.

    Says only what is certain from the text: rules in files that are not here, or behind a `view`, are passed over.
    """
    return _first(blocks, target, types, files, (_acl, _rewrite, _template, _hosts, _kubernetes))


def rule(blocks: Sequence[ServerBlock], name: str, types: Sequence[str], files: Mapping[str, str]) -> Capture | None:
    """The line by which a name that no Service has is answered all the same; None where there is none for sure."""
    return _first(blocks, Target(name, "", {}), types, files, (_rewrite, _template, _hosts))


def _first(
    blocks: Sequence[ServerBlock],
    target: Target,
    types: Sequence[str],
    files: Mapping[str, str],
    judges: Sequence[Callable[[ServerBlock, Target, Sequence[str], Mapping[str, str]], Capture | None]],
) -> Capture | None:
    certain = [block for block in blocks if not block.all("view")]
    ports = {port for block in certain if block.all("kubernetes") for port in block.ports} or {DNS_PORT}
    block = _responsible(certain, target.name, ports)
    return next((found for judge in judges if block and (found := judge(block, target, types, files))), None)


def forwarder(blocks: Sequence[ServerBlock], name: str) -> Directive | None:
    """The line by which a name that the cluster does not have is asked of other servers; None where it is not."""
    block = _responsible([block for block in blocks if not block.all("view")], name, {DNS_PORT})
    lines = [line for line in block.all("forward") if line.args and within(name, line.args[0])] if block else []
    return max(lines, key=lambda line: len(_bare(line.args[0])), default=None)


def _responsible(blocks: list[ServerBlock], name: str, ports: set[str]) -> ServerBlock | None:
    """The block with the longest zone that the name is in."""
    candidates = [
        (len(zone), -number, block)
        for number, block in enumerate(blocks)
        if block.ports & ports
        for zone in block.zones
        if within(name, zone)
    ]
    return max(candidates, key=lambda candidate: candidate[:2])[2] if candidates else None


def _caught(directive: Directive, effect: str) -> Capture:
    return Capture(directive.where, shorten(directive.text, 120), effect)


def _acl(block: ServerBlock, target: Target, types: Sequence[str], _files: Mapping[str, str]) -> Capture | None:
    """Only a rule for everybody: which network a Pod asks from is not known here."""
    for directive in block.all("acl"):
        if not any(within(target.name, zone) for zone in directive.args or block.zones):
            continue
        for rule in directive.body:
            words = list(rule.args)
            sources = words[words.index("net") + 1 :] if "net" in words else ["*"]
            asked = words[words.index("type") + 1 :][:1] if "type" in words else ["*"]
            if not {"*", "0.0.0.0/0"} & set(sources) or not ({"*", "ANY"} | set(types)) & set(asked):
                continue
            if rule.name in ("block", "filter", "drop"):
                return _caught(
                    directive,
                    {"block": "refuses the query", "filter": "answers without a record", "drop": "never answers"}[
                        rule.name
                    ],
                )
            if rule.name == "allow":
                break
    return None


def _rewrite(block: ServerBlock, target: Target, _types: Sequence[str], _files: Mapping[str, str]) -> Capture | None:
    name = f"{_bare(target.name)}."
    for directive in block.all("rewrite"):
        words = [word for word in directive.args if word not in ("stop", "continue")]
        inner = directive.option("name")
        rule = words[1:] if words[:1] == ["name"] else list(inner.args) if inner else []
        renamed = _renamed(name, rule)
        if renamed is not None and _bare(renamed) != _bare(target.name):
            return _caught(directive, f"asks for {renamed.rstrip('.')} instead")
        if renamed is not None and "continue" not in directive.args:
            return None
    return None


def _renamed(name: str, rule: list[str]) -> str | None:
    """What a name rule makes of the name; None where it does not match."""
    kind, *words = rule if rule and rule[0] in ("exact", "prefix", "suffix", "substring", "regex") else ["exact", *rule]
    if len(words) < 2:
        return None
    source, target = words[0].lower(), words[1].lower()
    match kind:
        case "exact":
            return target if _bare(source) == _bare(name) else None
        case "prefix":
            return (
                target.rstrip(".") + "." + name[len(source) :].lstrip(".")
                if name.startswith(source.rstrip(".") + ".")
                else None
            )
        case "suffix":
            ending = source.rstrip(".") + "."
            return name.removesuffix(ending) + target if name.endswith(ending) else None
        case "substring":
            return name.replace(source, target) if source in name else None
    found = _search(words[0], name)
    return re.sub(r"\{(\d+)\}", lambda group: _group(found, int(group.group(1))), words[1]) if found else None


def _group(found: re.Match[str], number: int) -> str:
    return found.group(number) or "" if number <= found.re.groups else ""


def _search(pattern: str, name: str) -> re.Match[str] | None:
    """Go's syntax is Python's for what people write here; a pattern that Python refuses counts as no match."""
    try:
        return re.search(pattern, name)
    except re.error:
        return None


def _template(block: ServerBlock, target: Target, types: Sequence[str], _files: Mapping[str, str]) -> Capture | None:
    name = f"{_bare(target.name)}."
    for directive in block.all("template"):
        kind, asked, *zones = (*directive.args, "", "")[: max(2, len(directive.args))]
        if kind.upper() not in ("IN", "ANY") or asked.upper() not in ("ANY", *types):
            continue
        if not any(within(name, zone) for zone in zones or block.zones):
            continue
        patterns = [pattern for entry in directive.body if entry.name == "match" for pattern in entry.args]
        if patterns and not any(_search(pattern, name) for pattern in patterns):
            if directive.falls_through(name):
                continue
            return _caught(
                directive, "answers SERVFAIL to every name that its match does not cover, as it has no fallthrough"
            )
        code = directive.option("rcode")
        answer = directive.option("answer")
        if answer:
            return _caught(directive, f"answers {shorten(' '.join(answer.args), 80)}")
        return _caught(
            directive, f"answers {code.args[0].upper()}" if code and code.args else "answers without a record"
        )
    return None


def _hosts(block: ServerBlock, target: Target, types: Sequence[str], files: Mapping[str, str]) -> Capture | None:
    name = _bare(target.name)
    for directive in block.all("hosts"):
        file, *zones = directive.args or ("",)
        if not any(within(name, zone) for zone in zones or block.zones):
            continue
        lines = [(entry.name, *entry.args) for entry in directive.body]
        lines += [tuple(line.partition("#")[0].split()) for line in files.get(file.rpartition("/")[2], "").splitlines()]
        addresses = [words[0] for words in lines if words and name in map(_bare, words[1:])]
        if addresses:
            return _caught(directive, f"answers {', '.join(addresses)}")
        if not directive.falls_through(name):
            return _caught(directive, "answers SERVFAIL to every name that it does not hold, as it has no fallthrough")
    return None


def _kubernetes(block: ServerBlock, target: Target, _types: Sequence[str], _files: Mapping[str, str]) -> Capture | None:
    plugin = next(
        (
            plugin
            for plugin in block.all("kubernetes")
            if any(within(target.name, zone) for zone in _zones_served(plugin, block))
        ),
        None,
    )
    if plugin is None:
        zones = ", ".join(zone or "." for zone in block.zones)
        return Capture(
            f"{block.file} line {block.line}", f"{zones} {{ ... }}", f"serves {zones} without the kubernetes plugin"
        )
    for option in plugin.body:
        effect = _hides(option, target)
        if effect:
            return Capture(option.where, f"kubernetes {{ {option.text} }}", effect)
    return None


def _hides(option: Directive, target: Target) -> str:
    expression = " ".join(option.args)
    match option.name:
        case "namespaces" if option.args and target.namespace not in option.args:
            return f"serves no other namespaces than {', '.join(option.args)}"
        case "labels" if selects(expression, target.labels) is False:
            return f"serves only Services labelled {expression}"
        case "namespace_labels" if (
            target.namespace_labels is not None and selects(expression, target.namespace_labels) is False
        ):
            return f"serves only namespaces labelled {expression}"
        case "noendpoints" if target.is_headless:
            return "serves no headless Services"
    return ""


def ignores_empty_services(blocks: Sequence[ServerBlock]) -> Directive | None:
    """The option that makes Services without a ready endpoint have no records."""
    options = (option for block in blocks for plugin in block.all("kubernetes") for option in plugin.body)
    return next((option for option in options if option.name == "ignore" and "empty_service" in option.args), None)


_REQUIREMENT = re.compile(r"(!?)\s*([\w./-]+)\s*(?:(==|=|!=)\s*([\w.-]*)|(in|notin)\s*\(([^)]*)\))?\s*(?:,|$)")


def selects(expression: str, labels: Mapping[str, str]) -> bool | None:
    """Whether a label selector, as kubectl's -l takes it, selects these labels; None where it cannot be read."""
    position = 0
    while position < len(expression):
        match = _REQUIREMENT.match(expression, position)
        if not match:
            return None
        position = match.end()
        negated, key, equals, value, set_based, values = match.groups()
        members = [value] if equals else [item.strip() for item in (values or "").split(",")]
        holds = labels.get(key) in members if equals or set_based else key in labels
        if holds is (negated == "!" or equals == "!=" or set_based == "notin"):
            return False
        while position < len(expression) and expression[position].isspace():
            position += 1
    return True
