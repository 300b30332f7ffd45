"""Who may import whom, and what is loaded for which command: a table, and an `ast` walk that holds it."""

from __future__ import annotations

import ast
import builtins
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import svcdoctor
from simulate import simulate
from suites import load_suites
from svcdoctor.diagnosis import Scope, diagnose

HERE = Path(__file__).parent
PACKAGE = Path(svcdoctor.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
PACKAGES = [path.parent for path in FILES if path.name == "__init__.py" and path.parent != PACKAGE]
# Packages that share a row; each module of the others has one of its own, under its name alone.
WHOLE = {"checks", "commands", "report", "widgets"}
SHELVES = {path.name for path in PACKAGES} - WHOLE

# What a module may import of svcdoctor, the deepest layer first. `checks` stands for each of its modules, as do
# `report` and `widgets`, whose modules may import their neighbours.
DATA = "text objects lookup sockets request connection finding labels indexes"
PURE = f"{DATA} check template reconcile reads"
QUESTIONS = (
    "nearmiss ingressrule podports history bindfailure manualslice peers mentions serviceenv exposure "
    "podlook containerstate podstate corefile corefault hosts commandline configfile settings correction "
    "callers nodeagents loadbalancer"
)
CASES = "view case clientcase entrycase clustercase entrypoint objectindexes"
MAY_IMPORT = {
    **dict.fromkeys(SHELVES, ""),
    "text": "",
    "labels": "",
    "reads": "",
    "indexes": "",
    "sharing": "",
    "objects": "text",
    "lookup": "cachedproperty objects text",
    "sockets": "objects text",
    "request": "objects text",
    "connection": "objects request",
    "requestplan": f"{PURE} podports {CASES} request",
    "clientpod": PURE,
    "statedclient": f"{PURE} podports mesh {CASES}",
    "witness": f"{PURE} {CASES} statedclient",
    "failedway": f"{PURE} {CASES} statedclient witness",
    "lostway": f"{PURE} {CASES} failedway policy statedclient traffic witness",
    "chosenclient": f"{PURE} podports mesh {CASES} statedclient traffic world",
    "finding": "objects text",
    "check": "finding",
    "template": "finding objects text",
    "reconcile": "objects template text",
    "nearmiss": PURE,
    "nodeagents": PURE,
    "loadbalancer": "objects text",
    "ingressrule": "objects",
    "manualslice": PURE,
    "peers": f"{PURE} hosts settings podlook",
    "corefile": PURE,
    "corefault": f"{PURE} corefile",
    "hosts": "text",
    "commandline": "hosts text",
    "configfile": "commandline text",
    "settings": f"{PURE} hosts commandline configfile",
    "callers": f"{PURE} hosts settings",
    "correction": f"{PURE} settings",
    "mentions": f"{PURE} configfile settings",
    "patch": "",
    "kubectl": "labels objects patch",
    "trial": f"{PURE} world {CASES} kubectl rollout",
    "rollout": "objects template",
    "firstfix": "finding trial",
    "difference": "finding firstfix kubectl objects text world",
    "dryrun": "parallel finding firstfix kube kubectl world",
    "given": "finding",
    "files": "finding objects text",
    "lines": "finding files",
    "planned": f"{PURE} world given rollout",
    "rehearsal": f"{PURE} world {CASES} diagnosis given kubectl lines files planned rollout trial",
    "podlook": PURE,
    "serviceenv": PURE,
    "exposure": PURE,
    "bindfailure": f"{PURE} podlook",
    "podports": PURE,
    "dependency": f"{PURE} {QUESTIONS} {CASES} traffic",
    "policy": PURE,
    "calicoselector": "",
    "adminpolicy": f"{PURE} policy calicoselector",
    "policyrule": f"{PURE} policy",
    "traffic": f"{PURE} {QUESTIONS} policy policyrule adminpolicy {CASES} world statedclient",
    "podverdict": f"{PURE} {QUESTIONS} {CASES} adminpolicy dependency",
    "containerstate": f"{PURE} podlook bindfailure",
    "history": f"{PURE} podlook containerstate",
    "podstate": f"{PURE} podlook containerstate",
    "world": "connection finding indexes lookup sockets objects reads text sharing",
    "capture": "configfile hosts checks",
    "entrypoint": "finding objects",
    "objectindexes": f"{PURE} entrypoint mentions settings",
    "view": f"{PURE} {QUESTIONS} world cachedproperty entrypoint objectindexes",
    "case": f"{PURE} {QUESTIONS} world cachedproperty entrypoint objectindexes view",
    "clientcase": f"{PURE} {QUESTIONS} world cachedproperty objectindexes view case",
    "entrycase": "world cachedproperty entrypoint view",
    "clustercase": "finding world view",
    "cachedproperty": "",
    "answer": f"lookup {CASES}",
    "nameserver": f"lookup objects {CASES}",
    "searchlist": "lookup corefile",
    "mesh": f"{PURE} world {CASES}",
    "ingressclass": f"{PURE} {CASES} world",
    "gateway": f"{PURE} {CASES} world",
    "gatewayroute": f"{PURE} policy {CASES} world gateway",
    "checks": (
        f"{PURE} {QUESTIONS} {CASES} dependency podverdict "
        "mesh ingressclass gateway gatewayroute policy policyrule adminpolicy requestplan statedclient witness lostway "
        "traffic world answer nameserver searchlist"
    ),
    "catalogue": "checks text",
    "roles": f"{PURE} {CASES} checks given",
    "walk": f"{PURE} world {CASES} roles",
    "diagnosis": f"__init__ {PURE} world {CASES} checks given roles trial walk",
    "doctor": f"{PURE} world {CASES} diagnosis",
    "rounds": "world diagnosis",
    "standing": "diagnosis finding",
    "baseline": "diagnosis finding text world",
    "reflector": "finding kube objects text",
    "live": f"{PURE} recording world {CASES} diagnosis doctor kube probe collect reflector schedule sharing",
    "wait": f"{PURE} world diagnosis kube live reflector standing",
    "contexts": "errors parallel finding kube kubeconfig",
    "schedule": (
        f"{PURE} world {CASES} clientpod deadline diagnosis fromclient kube parallel questions socketlook tryservices"
    ),
    "changes": "finding",
    "exporter": "__init__ changes finding live objects reflector text",
    "eventwriter": "changes finding kube",
    "scrape": "",
    "report": "__init__ finding text report catalogue",
    "errors": "",
    "kubeconfig": "errors text",
    "configuration": "errors kubeconfig",
    "transport": "text",
    "decoding": "objects text",
    "watch": "decoding errors objects podsocket text",
    "podsocket": "text",
    "answerhead": "",
    "kube": (
        "__init__ answerhead configuration decoding errors kubeconfig objects podsocket sharing text transport watch"
    ),
    "shell": "",
    "probe": "kube lookup objects shell text",
    "socketlook": "kube objects probe sockets",
    "connectscript": "shell",
    "connectlook": f"connection connectscript kube objects probe {CASES} request requestplan statedclient world",
    "forwardlook": "connection kube objects podsocket probe request",
    "parallel": "",
    "deadline": "",
    "fromclient": (
        f"{CASES} connection connectlook deadline forwardlook objects parallel probe reconcile request statedclient "
        "world"
    ),
    "tryservices": f"connection objects {CASES} chosenclient connectlook deadline parallel probe world",
    "questions": f"{PURE} world {CASES} clientpod diagnosis kube probe",
    "looks": (
        f"{PURE} world {CASES} connectlook deadline diagnosis fromclient kube parallel questions socketlook tryservices"
    ),
    "collect": f"{PURE} world deadline diagnosis kube looks parallel questions rounds",
    "probepod": "lookup text",
    "additions": "questions parallel kube lookup objects probe probepod template world",
    "rbac": "diagnosis objects",
    "recording": f"{PURE} world diagnosis",
    "vocabulary": "diagnosis",
    "redact": "capture text vocabulary",
    "moments": f"{PURE} world diagnosis kube live reflector",
    "demo": "recording world",
    "widgets": "text finding labels catalogue report widgets",
    "keys": "",
    "firstpaint": "text",
    "crash": "capture",
    "frame": "finding text widgets",
    "feeding": "frame crash finding text widgets",
    "asking": "feeding text widgets",
    "taking": "crash feeding finding text widgets",
    "choosing": "feeding text widgets",
    "app": "asking frame choosing crash finding keys taking text widgets",
    "session": f"{PURE} world diagnosis kube live widgets",
    "messages": "finding widgets",
    "remote": "finding messages widgets",
    "serving": "finding messages widgets",
    "screen": f"{PURE} recording world diagnosis kube kubeconfig live session app firstpaint widgets remote serving",
    "api": f"{PURE} world catalogue diagnosis kube collect",
    "cli": "commands __init__",
    "commands": "* (only inside functions)",
    "__init__": "api",
    "__main__": "__init__ cli commands",
}
# What comes from elsewhere, and who alone may ask for it.
THIRD_PARTY = {
    "kubernetes": {"configuration", "kube"},
    "urllib3": {"answerhead", "configuration", "kube", "transport", "watch"},
    "websocket": {"kube", "podsocket"},
    "dns": {"probe"},
    "httpx": {"forwardlook"},
    "httpcore": {"forwardlook"},
    "prometheus_client": {"exporter"},
    "textual": {"app", "frame", "feeding", "keys", "widgets"},
    "rich": {"app", "widgets"},
    "zstandard": {"recording"},
    "click": {"cli", "commands"},
    "yaml": {"difference", "kubeconfig", "files", "rbac", "report", "session"},
    "msgspec": {
        "decoding",
        "looks",
        "connectlook",
        "tryservices",
        *PURE.split(),
        *QUESTIONS.split(),
        "world",
        "capture",
        "recording",
        "redact",
        "vocabulary",
        "moments",
        "case",
        "checks",
        "lostway",
        "adminpolicy",
        "gatewayroute",
        "baseline",
        "diagnosis",
        "kubectl",
        "firstfix",
        "difference",
        "dryrun",
        "roles",
        "trial",
        "rollout",
        "given",
        "files",
        "lines",
        "planned",
        "rehearsal",
        "report",
        "kube",
        "podsocket",
        "probe",
        "fromclient",
        "additions",
        "session",
        "sharing",
        "widgets",
        "messages",
        "remote",
    },
}
# Who may ask an API server for more than to read, and by which methods; nobody else can.
CHANGES = {
    # Neither changes anything: whether one may do something is asked by a POST, and a PATCH has dryRun=All.
    "kube": {"POST", "PATCH"},
    "eventwriter": {"POST"},  # Events, with `export --events`
    "additions": {"POST", "PATCH", "DELETE"},  # what --probe-image adds, and takes away again
}
# Those who ask a person before they let `additions` do so.
ASK_FIRST = {"svcdoctor/commands/consent.py", "svcdoctor/commands/cleanup.py"}
# Modules that think: the same input gives the same output, so they ask neither a clock nor the system.
THINKING = {
    *PURE.split(),
    *QUESTIONS.split(),
    "probepod",
    "capture",
    "redact",
    "vocabulary",
    "changes",
    "world",
    *CASES.split(),
    "mesh",
    "ingressclass",
    "gatewayroute",
    "policy",
    "policyrule",
    "calicoselector",
    "adminpolicy",
    "traffic",
    "statedclient",
    "clientpod",
    "connectscript",
    "requestplan",
    "witness",
    "failedway",
    "lostway",
    "chosenclient",
    "gateway",
    "checks",
    "catalogue",
    "diagnosis",
    "doctor",
    "standing",
    "baseline",
    "report",
    "patch",
    "kubectl",
    "roles",
    "trial",
    "rollout",
    "given",
    "lines",
    "planned",
    "rehearsal",
    "walk",
}
WORLDLY = {"os", "io", "sys", "time", "socket", "ssl", "subprocess", "threading", "random", "secrets", "pathlib"}
WORLDLY |= {"tempfile", "urllib", "http", "asyncio", "uuid", "locale", "platform", "shutil", "signal"}


def group(path: Path) -> str:
    """The row of the table that a file belongs to."""
    first, *rest = path.relative_to(PACKAGE).with_suffix("").parts
    return rest[0] if first in SHELVES and rest != ["__init__"] else first


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names of what is imported: `svcdoctor.case`, `msgspec.structs`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "svcdoctor" if node.level else ""
            module = ".".join(word for word in (base, node.module or "") if word)
            if module in ("svcdoctor", *(f"svcdoctor.{path.name}" for path in PACKAGES)):
                yield from (f"{module}.{alias.name}" for alias in node.names)
            else:
                yield module


def own(name: str) -> str:
    word, *rest = name.split(".")[1:] or ["__init__"]
    return "__init__" if word == "__version__" else rest[0] if word in SHELVES and rest else word


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in FILES}


def shown(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_a_module_imports_only_from_layers_below(path: Path, trees: dict[Path, ast.Module]) -> None:
    assert group(path) in MAY_IMPORT, f"{shown(path)} has no row in the table"
    allowed = set(MAY_IMPORT[group(path)].split())
    for name in imports(trees[path]):
        if name.partition(".")[0] == "svcdoctor" and "*" not in allowed:
            inside = path.name == "__init__.py" and own(name) == group(path)
            assert own(name) in allowed or inside, f"{shown(path)} may not import {name}"


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_what_comes_from_elsewhere_has_one_door(path: Path, trees: dict[Path, ast.Module]) -> None:
    for name in imports(trees[path]):
        root = name.partition(".")[0]
        if root != "svcdoctor" and root not in sys.stdlib_module_names:
            assert group(path) in THIRD_PARTY.get(root, set()), f"{shown(path)} may not import {name}"


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_few_can_change_a_cluster(path: Path, trees: dict[Path, ast.Module]) -> None:
    constants = (node.value for node in ast.walk(trees[path]) if isinstance(node, ast.Constant))
    methods = {value for value in constants if value in ("POST", "PUT", "PATCH", "DELETE")}
    assert methods == CHANGES.get(group(path), set())


def test_nothing_is_created_but_by_commands_that_ask_first(trees: dict[Path, ast.Module]) -> None:
    assert {shown(path) for path, tree in trees.items() if "svcdoctor.cluster.additions" in imports(tree)} == ASK_FIRST


@pytest.mark.parametrize("path", [path for path in FILES if group(path) in THINKING], ids=shown)
def test_what_thinks_asks_neither_system_nor_clock(path: Path, trees: dict[Path, ast.Module]) -> None:
    worldly = [name for name in imports(trees[path]) if name.partition(".")[0] in WORLDLY]
    called = [
        ast.unparse(node.func)
        for node in ast.walk(trees[path])
        if isinstance(node, ast.Call)
        and (ast.unparse(node.func) in ("open", "input", "print", "hash", "id") or _asks_the_clock(node))
    ]
    # A World is made with the time it was read at; it is the only one that looks at a clock for that.
    if group(path) == "world":
        called.remove("datetime.now")
    assert not [*worldly, *called], f"{shown(path)} uses {[*worldly, *called]}"


def _asks_the_clock(node: ast.Call) -> bool:
    return (
        isinstance(node.func, ast.Attribute)
        and node.func.attr in ("now", "utcnow", "today")
        and (ast.unparse(node.func.value) in ("datetime", "date", "datetime.datetime", "datetime.date"))
    )


@pytest.mark.parametrize("path", [path for path in FILES if group(path) in ("cli", "commands")], ids=shown)
def test_the_command_line_imports_at_the_top_only_what_help_needs(path: Path, trees: dict[Path, ast.Module]) -> None:
    top = [node for node in trees[path].body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [name for node in top for name in imports(node) if name.partition(".")[0] not in sys.stdlib_module_names]
    known = ("click", "click.shell_completion", "svcdoctor.__version__")
    assert all(name in known or name.startswith("svcdoctor.commands.") for name in names)


def test_the_version_is_had_for_nothing() -> None:
    """Of the package itself nothing is loaded but its own file, until somebody asks for `diagnose`."""
    code = "import sys; before = set(sys.modules); import svcdoctor; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.stdout == "['svcdoctor']\n", done.stderr


# --- what is loaded ----------------------------------------------------------------------------------------------

LOADED = """
import json, sys
sys.argv = ["svcdoctor", *json.loads(sys.argv[1])]
from svcdoctor.__main__ import main
try:
    main()
except SystemExit as end:
    code = end.code or 0
else:
    code = 0
json.dump([int(code), sorted(sys.modules)], sys.__stderr__)
"""


def loaded(*arguments: str, **environment: str) -> set[str]:
    """The top-level packages that a run of the command has loaded at its end."""
    command = [sys.executable, "-c", LOADED, json.dumps(arguments)]
    inherited = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE.parent), **environment}
    done = subprocess.run(command, env=inherited, cwd="/", capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stderr)
    assert code in (0, 1), done.stderr
    assert done.stdout
    return {name.partition(".")[0] for name in modules}


CLIENTS = {"kubernetes", "urllib3", "websocket", "dns", "httpx"}
SCREENS = {"textual", "rich"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["diagnose", "--help"],
        ["explain"],
        ["explain", "unknown-forbidden"],
        ["rbac"],
        ["schema"],
    ]
    + [["completion", shell] for shell in ("bash", "zsh", "fish")],
    ids=" ".join,
)
def test_what_needs_no_cluster_loads_no_client_and_no_screen(arguments: list[str]) -> None:
    assert not loaded(*arguments) & (CLIENTS | SCREENS)


def test_completion_loads_no_client_and_no_screen() -> None:
    assert not loaded(_SVCDOCTOR_COMPLETE="bash_complete", COMP_LINE="svcdoctor explain ") & (CLIENTS | SCREENS)


def test_no_two_modules_on_the_search_path_of_the_tests_share_a_name() -> None:
    """In a run of all tests one of them would be imported for both."""
    places = [HERE, HERE / "kind", HERE / "faults", HERE.parent / "contrib"]
    names = [path.name for place in places for path in place.glob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def test_explanations_load_no_check() -> None:
    assert "msgspec" not in loaded("explain", "selector-value-mismatch")


def test_version_loads_not_even_click() -> None:
    assert not loaded("--version") & {"click", "msgspec"}


@pytest.mark.parametrize("output", ["json", "text", "html", "sarif"])
def test_the_demo_loads_no_client_and_no_screen(output: str) -> None:
    assert not loaded("demo", "-o", output) & (CLIENTS | SCREENS)


def test_a_diagnosis_touches_neither_network_nor_files_nor_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = [
        simulate(case.manifests(), case.observed(), case.probe())
        for suite in load_suites(HERE / "checks")
        for case in suite.cases
    ]
    expected = [diagnose(world, Scope()) for world in worlds]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a check reached for the world")

    for module, name in (
        (socket, "socket"),
        (socket, "create_connection"),
        (socket, "getaddrinfo"),
        (builtins, "open"),
        (os, "open"),
        (os, "system"),
        (subprocess, "Popen"),
        (time, "time"),
        (time, "monotonic"),
        (time, "sleep"),
    ):
        monkeypatch.setattr(module, name, refuse)
    again = [diagnose(world, Scope()) for world in worlds]
    monkeypatch.undo()
    assert again == expected
