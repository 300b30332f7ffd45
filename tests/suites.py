"""Markdown suites: one file a check, read by the offline tests and applied to a real cluster by tests/kind.

A suite is `# <check module name>`, prose, and cases. A case is `## <title>`, prose, and fenced blocks; the info
string of a block says what it is:

yaml            manifests, as kubectl applies them; several documents; the block may come several times
yaml observed   offline: objects or patches for the simulated cluster
sh              live: commands run after the manifests are applied, with $NS and KUBECONFIG set
probe           offline: YAML of canned lookups
findings        what must be found, one a line: STATUS CODE ROLE KIND/NAME; empty: nothing but pass, skip and note
live            live: `skip: reason`, `wait: seconds`, `args: extra arguments`, `expect: a line of findings`
text            offline: the report as text, rewritten by rewrite_golden

`{ns}` in YAML, in expected findings and in `args` stands for the namespace of the case, so `{ns}-other` is a second
one. A namespaced manifest that names no namespace belongs to the case's own.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

OFFLINE_NAMESPACE = "shop"
DEFAULT_WAIT = 120.0
STATUSES = ("fail", "warn", "unknown", "note", "pass", "skip")
ROLES = ("cause", "also", "consequence", "-")

CLUSTER_SCOPED = frozenset(
    {
        "APIService",
        "AdminNetworkPolicy",
        "BaselineAdminNetworkPolicy",
        "CiliumClusterwideNetworkPolicy",
        "ClusterNetworkPolicy",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "GatewayClass",
        "GlobalNetworkPolicy",
        "IPAddress",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "RuntimeClass",
        "ServiceCIDR",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)

Document = dict[str, Any]


class SuiteError(Exception):
    """A suite that breaks the format; the message begins with file and line."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}")


@dataclass(frozen=True, slots=True, order=True)
class ExpectedFinding:
    status: str
    code: str
    role: str
    subject: str

    def __str__(self) -> str:
        return f"{self.status} {self.code} {self.role} {self.subject}"

    def within(self, namespace: str) -> ExpectedFinding:
        return ExpectedFinding(self.status, self.code, self.role, self.subject.replace("{ns}", namespace))


@dataclass(frozen=True, slots=True)
class Block:
    role: str
    line: int
    """Line of the opening fence, counted from 1."""
    end: int
    """Line of the closing fence."""
    text: str
    """The content; ends with a newline unless it is empty."""


@dataclass(frozen=True, slots=True)
class Live:
    skip: str | None = None
    expect: tuple[ExpectedFinding, ...] | None = None
    """None: the case's `findings` hold on a cluster too."""
    wait: float = DEFAULT_WAIT
    args: str = ""

    def arguments(self, namespace: str) -> tuple[str, ...]:
        return tuple(shlex.split(self.args.replace("{ns}", namespace)))


@dataclass(frozen=True, slots=True)
class SuiteCase:
    path: Path
    check: str
    title: str
    line: int
    expected: tuple[ExpectedFinding, ...]
    """As written: `{ns}` is still in place. See `findings`."""
    live: Live
    blocks: tuple[Block, ...]

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    @property
    def id(self) -> str:
        return f"{self.path.stem}/{self.slug}"

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}"

    @property
    def text(self) -> str | None:
        """The golden report; None when the case has no such block yet."""
        return next((block.text for block in self.blocks if block.role == "text"), None)

    @property
    def sh(self) -> str:
        return "".join(block.text for block in self.blocks if block.role == "sh")

    def manifests(self, namespace: str = OFFLINE_NAMESPACE) -> list[Document]:
        """The manifests, each namespaced one with its namespace filled in."""
        manifests = self._documents("yaml", namespace)
        for manifest in manifests:
            if manifest["kind"] not in CLUSTER_SCOPED:
                manifest.setdefault("metadata", {}).setdefault("namespace", namespace)
        return manifests

    def observed(self, namespace: str = OFFLINE_NAMESPACE) -> list[Document]:
        return self._documents("yaml observed", namespace)

    def probe(self, namespace: str = OFFLINE_NAMESPACE) -> Any:
        """The canned lookups, as YAML has them; None without a `probe` block."""
        return next((yaml.safe_load(text) for text in self._texts("probe", namespace)), None)

    def findings(self, namespace: str = OFFLINE_NAMESPACE) -> list[ExpectedFinding]:
        return [finding.within(namespace) for finding in self.expected]

    def live_findings(self, namespace: str) -> list[ExpectedFinding]:
        expected = self.expected if self.live.expect is None else self.live.expect
        return [finding.within(namespace) for finding in expected]

    def _texts(self, role: str, namespace: str) -> Iterator[str]:
        texts = (block.text.replace("{ns}", namespace) for block in self.blocks if block.role == role)
        if namespace == OFFLINE_NAMESPACE:
            return texts
        # On a cluster many cases stand side by side: each has a host of its own.
        return (text.replace("shop.example", f"{namespace}.example") for text in texts)

    def _documents(self, role: str, namespace: str) -> list[Document]:
        documents: list[Document] = []
        for text in self._texts(role, namespace):
            for document in yaml.safe_load_all(text):
                if document is None:
                    continue
                documents.extend(document["items"] if document.get("kind") == "List" else [document])
        return documents


@dataclass(frozen=True, slots=True)
class Suite:
    path: Path
    check: str
    prose: str
    """What stands between the title and the first case."""
    cases: tuple[SuiteCase, ...]


def load_suites(path: Path) -> list[Suite]:
    """Every suite of a directory in the order of the file names, or the one of a file."""
    return [load_suite(file) for file in (sorted(path.glob("*.md")) if path.is_dir() else [path])]


def load_suite(path: Path) -> Suite:
    lines = path.read_text(encoding="utf-8").splitlines()
    check = ""
    prose: list[str] = []
    cases: list[SuiteCase] = []
    section: _Section | None = None

    def close_section() -> None:
        if section is not None:
            cases.append(section.case(path, check))

    for number, line, block in _read(path, lines):
        if block is not None:
            if section is None:
                raise SuiteError(path, number, "a block stands before the first case (## title)")
            section.add(path, block)
        elif line.startswith("## "):
            if not check:
                raise SuiteError(path, number, "a case stands before the heading of the suite (# check module name)")
            close_section()
            section = _Section(line[3:].strip(), number)
            if any(case.slug == section.slug for case in cases):
                raise SuiteError(path, number, f"two cases are called {section.title!r}")
        elif line.startswith("# "):
            if check:
                raise SuiteError(path, number, "a second heading of the suite (#)")
            check = line[2:].strip()
        elif section is None and check:
            prose.append(line)
    if not check:
        raise SuiteError(path, 1, "no heading (# check module name)")
    close_section()
    return Suite(path, check, "\n".join(prose).strip(), tuple(cases))


def rewrite_golden(case: SuiteCase, text: str) -> None:
    """Put `text` in place of the case's `text` block; without one, add it at the end of the case.

    The file is read again, so the line numbers of a case that was loaded earlier need not be right any more.
    """
    current = next(one for one in load_suite(case.path).cases if one.title == case.title)
    lines = case.path.read_text(encoding="utf-8").splitlines()
    content = text.removesuffix("\n").split("\n") if text else []
    ticks = max((len(run) for run in re.findall(r"`{3,}", text)), default=2) + 1
    golden = ["`" * ticks + "text", *content, "`" * ticks]
    for block in current.blocks:
        if block.role == "text":
            lines[block.line - 1 : block.end] = golden
            break
    else:
        end = max(block.end for block in current.blocks)
        lines[end:end] = ["", *golden]
    case.path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def reported(report: Document, namespaces: Iterable[str], statuses: Iterable[str]) -> set[ExpectedFinding]:
    """What a report (`-o json`) says about some namespaces, in the words of a `findings` block.

    A finding of a Service has the role `cause` only if the Service names it as its `cause` too.
    """
    within, wanted = set(namespaces), set(statuses)
    found = set()

    def add(findings: list[Document], cause: str | None = None) -> None:
        for finding in findings:
            if finding["status"] not in wanted:
                continue
            role = finding.get("role") or "-"
            if role == "cause" and cause is not None and cause != finding["code"]:
                role = f"cause(but-the-Service-says-{cause})"
            subject = f"{finding['subject']['kind']}/{finding['subject']['name']}"
            found.add(ExpectedFinding(finding["status"], finding["code"], role, subject))

    for service in report["services"]:
        if service["namespace"] in within:
            add(service["findings"], service["cause"] or "none")
    for entry in [*report["missing"], *report["clients"]]:
        if entry["namespace"] in within:
            add(entry["findings"])
    for finding in report["cluster"]["findings"]:
        subject = finding["subject"]
        # What has no namespace is told by its name, which begins with that of the case's.
        if subject.get("namespace") in within or (
            not subject["namespace"] and subject["name"].startswith(tuple(within))
        ):
            add([finding])
    return found


_FENCE = re.compile(r"^(`{3,})\s*([^`]*)$")
_ONCE = ("probe", "findings", "live", "text")
_BLOCK_ROLES = ("yaml", "yaml observed", "sh", *_ONCE)


def _read(path: Path, lines: list[str]) -> Iterator[tuple[int, str, Block | None]]:
    """Line by line; a fenced block comes as one, with the number of its opening fence."""
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        fence = _FENCE.match(line)
        if fence is None:
            yield number, line, None
            continue
        content: list[str] = []
        for end, inner in numbered:
            if inner.rstrip() == fence[1]:
                role = " ".join(fence[2].split())
                yield number, line, Block(role, number, end, "".join(f"{one}\n" for one in content))
                break
            content.append(inner)
        else:
            raise SuiteError(path, number, "the block is not closed")


@dataclass(slots=True)
class _Section:
    title: str
    line: int
    blocks: list[Block] = field(default_factory=list)

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    def add(self, path: Path, block: Block) -> None:
        if block.role not in _BLOCK_ROLES:
            known = ", ".join(_BLOCK_ROLES)
            raise SuiteError(path, block.line, f"a block is called {block.role!r}; known are {known}")
        if block.role in _ONCE and any(one.role == block.role for one in self.blocks):
            raise SuiteError(path, block.line, f"a second `{block.role}` block in {self.title!r}")
        if block.role in ("yaml", "yaml observed", "probe"):
            _check_yaml(path, block)
        self.blocks.append(block)

    def case(self, path: Path, check: str) -> SuiteCase:
        blocks = {block.role: block for block in self.blocks}
        if "findings" not in blocks:
            raise SuiteError(path, self.line, f"{self.title!r} has no `findings` block (it may be empty)")
        if not blocks.keys() & {"yaml", "yaml observed"}:
            raise SuiteError(path, self.line, f"{self.title!r} has no `yaml` block")
        expected = tuple(
            _finding(path, number, line)
            for number, line in enumerate(blocks["findings"].text.splitlines(), blocks["findings"].line + 1)
            if line.strip()
        )
        live = _live(path, blocks["live"]) if "live" in blocks else Live()
        return SuiteCase(path, check, self.title, self.line, expected, live, tuple(self.blocks))


def _check_yaml(path: Path, block: Block) -> None:
    """Refuse what cannot be parsed, naming the line in the suite, when the suite is loaded and not when it is used."""
    try:
        documents = list(yaml.safe_load_all(block.text.replace("{ns}", OFFLINE_NAMESPACE)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = block.line + 1 + (mark.line if mark else 0)
        raise SuiteError(path, line, f"not YAML: {error.problem or error}") from error
    if block.role == "probe":
        if len(documents) > 1:
            raise SuiteError(path, block.line, "a `probe` block is one document")
        return
    for document in documents:
        if document is not None and (not isinstance(document, dict) or "kind" not in document):
            raise SuiteError(path, block.line, "a document is not a Kubernetes object: it has no `kind`")


def _finding(path: Path, number: int, line: str) -> ExpectedFinding:
    words = line.split()
    if len(words) != 4:
        raise SuiteError(path, number, f"not STATUS CODE ROLE KIND/NAME: {line.strip()!r}")
    finding = ExpectedFinding(*words)
    if finding.status not in STATUSES:
        raise SuiteError(path, number, f"unknown status {finding.status!r}; known are {', '.join(STATUSES)}")
    if finding.role not in ROLES:
        raise SuiteError(path, number, f"unknown role {finding.role!r}; known are {', '.join(ROLES)}")
    if not re.fullmatch(r"[^/]+/[^/]+", finding.subject):
        raise SuiteError(path, number, f"not KIND/NAME: {finding.subject!r}")
    return finding


def _live(path: Path, block: Block) -> Live:
    """`key: value` lines; `expect` comes once a finding, and once without a value for "nothing"."""
    values: dict[str, str] = {}
    expect: list[ExpectedFinding] | None = None
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if not line.strip():
            continue
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or key not in ("skip", "expect", "wait", "args"):
            raise SuiteError(path, number, f"not `skip:`, `expect:`, `wait:` or `args:`: {line.strip()!r}")
        if key == "expect":
            expect = [*(expect or []), *([_finding(path, number, value)] if value else [])]
        elif key in values:
            raise SuiteError(path, number, f"a second `{key}:`")
        elif not value:
            raise SuiteError(path, number, f"`{key}:` says nothing")
        elif key == "wait" and not re.fullmatch(r"\d+", value):
            raise SuiteError(path, number, f"`wait:` is not a number of seconds: {value!r}")
        else:
            values[key] = value
    return Live(
        skip=values.get("skip"),
        expect=None if expect is None else tuple(expect),
        wait=float(values.get("wait", DEFAULT_WAIT)),
        args=values.get("args", ""),
    )
