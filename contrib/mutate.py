"""Change the checks and the evaluators of policies in small ways, and see whether a test notices.

Usage: python contrib/mutate.py [--each N] [FILE ...] (make mutants). Of a check N mutants are tried, always the same
ones; of an evaluator all. Those that no test notices are listed in tests/mutants.md, each with a judgement that a
person writes there and that stays when the list is made anew; the command ends with 1 where one has none.

Each mutant is a fork of a pytest session that has collected its tests: the code of one function is exchanged, and the
suite of that check runs, then the healthy shapes, until a test fails. Tools for this start Python for every mutant or
rewrite the sources; a fork takes a fraction of a second.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import random
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import pytest
from _pytest.runner import runtestprotocol

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "tests" / "mutants.md"
EVALUATORS = [f"svcdoctor/policies/{name}.py" for name in ("policy", "policyrule", "adminpolicy", "calicoselector")]
CHECKS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "svcdoctor/checks").glob("[a-z]*.py"))
OF_POLICIES = ("policies_", "admin_policies_", "clients_may_")  # suites that ask the evaluators
TESTS = ("tests/test_policy.py", "tests/test_policy_situations.py", "tests/test_checks.py", "tests/test_healthy.py")
UNJUDGED = "**not judged yet**"
MEMORY = 6 << 30

SWAPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


# --- mutants -----------------------------------------------------------------------------------------------------


class Mutant(NamedTuple):
    function: str
    change: str
    """`before` -> `after`, as a person reads it."""
    code: CodeType


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in place of a node: each is one small mistake."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in SWAPS:
            changed = copy.copy(node)
            changed.ops = [SWAPS[type(operator)]()]
            yield changed
        case ast.BoolOp(op=operator, values=values):
            for place in range(len(values)):
                left = values[:place] + values[place + 1 :]
                yield left[0] if len(left) == 1 else ast.BoolOp(operator, left)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.If(test=test) | ast.IfExp(test=test) if not isinstance(test, ast.Compare | ast.UnaryOp):
            changed = copy.copy(node)
            changed.test = ast.UnaryOp(ast.Not(), test)
            yield changed
        case ast.comprehension(ifs=ifs) if ifs:
            for place in range(len(ifs)):
                fewer = copy.copy(node)
                fewer.ifs = ifs[:place] + ifs[place + 1 :]
                yield fewer
        case ast.Return(value=value) if value is not None and ast.unparse(value) not in ("None", "True", "False"):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Yield() | ast.YieldFrom()):
            yield ast.If(ast.Constant(False), [node], [])  # still a generator
        case ast.Continue() | ast.Break():
            yield ast.Pass()


class _Put(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else self.generic_visit(node)


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{one.name}", one) for one in node.body if isinstance(one, ast.FunctionDef))


def mutants(path: str) -> list[Mutant]:
    source = (ROOT / path).read_text(encoding="utf-8")
    found = []
    for name, function in functions(ast.parse(source)):
        for place, node in enumerate(_inside(function)):
            for which, _ in enumerate(changes(node)):
                found.append(_mutant(source, path, name, place, which))
    return found


def _inside(function: ast.FunctionDef) -> list[ast.AST]:
    return [node for statement in function.body for node in ast.walk(statement)]


def _mutant(source: str, path: str, name: str, place: int, which: int) -> Mutant:
    tree = ast.parse(source)
    function = dict(functions(tree))[name]
    node = _inside(function)[place]
    new = list(changes(node))[which]
    text = f"`{_shown(node)}` -> `{_shown(new)}`"
    _Put(node, new).visit(function)
    whole = compile(ast.fix_missing_locations(tree), str(ROOT / path), "exec", dont_inherit=True)
    (code,) = (code for code in _codes(whole) if code.co_qualname == name)
    return Mutant(name, text, code)


def _shown(node: ast.AST) -> str:
    """On one line; of a statement with a body the head."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Constant):
        return "pass"
    text = re.sub(r"\s+", " ", ast.unparse(node).splitlines()[0] if isinstance(node, ast.If) else ast.unparse(node))
    return text if len(text) <= 110 else f"{text[:80]} ... {text[-25:]}"


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def put(module: ModuleType, mutant: Mutant) -> None:
    """From now on the function is the mutant, whoever holds it."""
    value: Any = module
    for part in mutant.function.split("."):
        value = vars(value)[part]
    for inner in ("fget", "_answer", "func", "__func__", "__wrapped__"):
        value = getattr(value, inner, value)
    assert isinstance(value, FunctionType), mutant.function
    value.__code__ = mutant.code


# --- tests -------------------------------------------------------------------------------------------------------


class Run(NamedTuple):
    path: str
    tried: int
    survivors: list[Mutant]


class Loop:
    """In place of pytest's own: every mutant of some files, each in a process of its own."""

    def __init__(self, paths: list[str], each: int) -> None:
        self.paths, self.each, self.runs = paths, each, list[Run]()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for path in self.paths:
            self.runs.append(self.run(path, session.items))
        return True

    def run(self, path: str, items: list[pytest.Item]) -> Run:
        began, wanted = time.monotonic(), asked_of(path, items)
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        for item in wanted:
            case = item.callspec.params.get("case") if hasattr(item, "callspec") else None
            if case is not None:
                item.module.world_of(case)  # type: ignore[attr-defined]
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        if noticed_by(wanted, lambda: None, 600) is not None:
            raise SystemExit(f"{path}: its tests fail as it is")
        longest = 10 + 5 * int(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
        chosen = mutants(path)
        if path not in EVALUATORS and len(chosen) > self.each:
            places = sorted(random.Random(path).sample(range(len(chosen)), self.each))
            chosen = [chosen[place] for place in places]
        survivors = []
        for one in chosen:
            place = noticed_by(wanted, lambda one=one: put(module, one), longest)  # type: ignore[misc]
            if place is None:
                print(f"    {one.function}: {one.change}", flush=True)
                survivors.append(one)
            elif place:
                wanted.insert(0, wanted.pop(place))  # what noticed this one is the likeliest to notice the next
        print(f"{path}: {len(survivors)} of {len(chosen)} survive, {time.monotonic() - began:.0f} s", flush=True)
        return Run(path, len(chosen), survivors)


def asked_of(path: str, items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests of a module, those first that are the likeliest to fail."""
    if path in EVALUATORS:
        suites = tuple(f"test_suite[{name}" for name in OF_POLICIES)
        direct = [item for item in items if "/test_policy" in item.nodeid]
        return direct + [item for item in items if item.name.startswith(suites)]
    own = [item for item in items if item.name.startswith(f"test_suite[{Path(path).stem}/")]
    return own + [item for item in items if item.name.startswith("test_nothing_is_wrong_with")]


def noticed_by(items: list[pytest.Item], prepare: Callable[[], None], seconds: int) -> int | None:
    """The first test that fails in a process that was prepared, None where all pass; it has so much time to run."""
    told, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        with open(told, encoding="ascii") as said:
            place = said.read()
        return (int(place) if place else 0) if os.waitpid(child, 0)[1] else None
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        prepare()
        for place, item in enumerate(items):
            if any(report.failed for report in runtestprotocol(item, log=False, nextitem=None)):
                os.write(tell, str(place).encode())
                os._exit(1)
        os._exit(0)
    finally:
        os._exit(1)


# --- the page ----------------------------------------------------------------------------------------------------

HEAD = """# Mutants that no test notices

`make mutants` changes the checks and the evaluators of policies in small ways: a comparison turned, a condition left
out, a number one higher, nothing returned, a finding not yielded. Here are those changes that no test of theirs
notices, and what a person thought of each. Of the evaluators every mutant is tried, of each check a sample that is
always the same.

"""


def judgements(text: str) -> dict[tuple[str, str], str]:
    """(file, mutant) -> what was written about it."""
    found, path = {}, ""
    for line in text.splitlines():
        if line.startswith("## "):
            path = line.removeprefix("## ")
        elif said := re.match(r"- (.+ -> `.*?`): (.*)$", line):
            found[path, said[1]] = said[2]
    return found


def page(runs: list[Run], before: str) -> str:
    """The page anew: the files of these runs as they are now, the others as the page before had them."""
    known = judgements(before)
    sections = {part.partition("\n")[0]: part for part in before.split("\n## ")[1:]}
    for run in runs:
        lines = dict.fromkeys(f"{one.function}: {one.change}" for one in run.survivors)
        rows = "".join(f"- {line}: {known.get((run.path, line), UNJUDGED)}\n" for line in lines)
        counts = f"{run.tried - len(run.survivors)} of {run.tried} noticed.\n"
        sections[run.path] = f"{run.path}\n\n{counts}" + (f"\n{rows}" if rows else "")
    counted = [re.search(r"(\d+) of (\d+) noticed", part) for part in sections.values()]
    noticed, tried = (sum(int(found[place]) for found in counted if found) for place in (1, 2))
    parts = [HEAD, f"{tried} mutants of {len(sections)} files; {noticed} are noticed, {tried - noticed} are not.\n"]
    return "".join(
        [*parts, *(f"\n## {sections[path].rstrip()}\n" for path in [*EVALUATORS, *CHECKS] if path in sections)]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=15, metavar="N", help="mutants of each check (15)")
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="only these; tests/mutants.md keeps what it says of others"
    )
    arguments = parser.parse_args()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    loop = Loop(arguments.files or [*EVALUATORS, *CHECKS], arguments.each)
    options = ["-q", "--no-header", "--assert=plain", "-p", "no:cacheprovider", "-W", "ignore"]
    pytest.main([*options, *TESTS], plugins=[loop])
    text = page(loop.runs, PAGE.read_text(encoding="utf-8") if PAGE.exists() else "")
    PAGE.write_text(text, encoding="utf-8")
    return 1 if UNJUDGED in text else 0


if __name__ == "__main__":
    sys.exit(main())
