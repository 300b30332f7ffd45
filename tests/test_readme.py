"""The README and its fellows say what is: screens and codes are generated, and commands run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from svcdoctor.catalogue import pages, title
from svcdoctor.cli import COMMANDS as ALL_COMMANDS
from svcdoctor.cli import cli
from svcdoctor.demo import recorded_world
from svcdoctor.diagnosis import OWN_LIMITS, Scope, diagnose
from svcdoctor.report import json as json_report
from svcdoctor.report import text

README = Path(__file__).parents[1] / "README.md"
CODES_PAGE = README.parent / "docs" / "codes.md"
UPDATE = bool(os.environ.get("SVCDOCTOR_UPDATE"))


def region(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}[^\n]*-->\n)(.*?)(<!-- /{name} -->)", re.DOTALL)


def check_region(name: str, wanted: str, path: Path = README) -> None:
    content = path.read_text(encoding="utf-8")
    found = region(name).search(content)
    assert found, f"{path.name} has no region {name}"
    if UPDATE:
        path.write_text(content[: found.start(2)] + wanted + content[found.end(2) :], encoding="utf-8")
    else:
        assert found[2] == wanted


def test_the_screen_is_what_the_demo_prints() -> None:
    report = text.render(diagnose(recorded_world(), Scope("shop", names=("orders",))).diagnosis)
    check_region("screen", f"```\n$ svcdoctor diagnose orders\n{report}```\n")


def test_what_is_said_of_manifests_is_what_was_said_of_some() -> None:
    lines = (README.parent / "tests/manifests/helm.txt").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  cause "))
    end = next(number for number, line in enumerate(lines) if line.startswith("  fix "))
    check_region("planned", "```text\n" + "\n".join(lines[start : end + 1]) + "\n```\n")


def test_the_picture_is_the_dashboard_on_the_demo() -> None:
    """Not to the byte: how a picture is drawn is Textual's business."""
    (path,) = re.findall(r"!\[[^\]]+\]\((\S+\.svg)\)", README.read_text(encoding="utf-8"))
    drawn = ElementTree.fromstring((README.parent / path).read_text(encoding="utf-8"))
    words = "\n".join(drawn.itertext()).replace("\xa0", " ")
    diagnosis = diagnose(recorded_world(), Scope()).diagnosis
    for service in diagnosis.services:
        assert service.name in words
        assert (service.cause or "") in words
    assert "5 dns" in words and "cause" in words and "fix" in words


def test_the_codes_are_those_of_the_checks() -> None:
    rows = [
        f"| [`{code}`](codes/{page.step or 'any'}.md#{code}) | {page.step or 'any'} | {title(code)} |\n"
        for code, page in pages().items()
    ]
    check_region("codes", "| code | step | what is wrong |\n|---|---|---|\n" + "".join(rows), CODES_PAGE)


ABOUT = "Generated from the docstrings of svcdoctor/checks, as `svcdoctor explain` prints them."


def test_each_step_has_a_page_with_its_codes() -> None:
    by_step: dict[str, list[str]] = {}
    for code, page in pages().items():
        question = f"{page.question}\n\n" if page.question else ""
        by_step.setdefault(page.step or "any", []).append(f"## {code}\n\n{question}```text\n{page.text}\n```\n")
    directory = CODES_PAGE.parent / "codes"
    for step, parts in by_step.items():
        wanted = "\n".join([f"# Codes of the step {step}\n\n{ABOUT}\n", *parts])
        if UPDATE:
            directory.mkdir(exist_ok=True)
            (directory / f"{step}.md").write_text(wanted, encoding="utf-8")
        assert (directory / f"{step}.md").read_text(encoding="utf-8") == wanted
    assert {path.stem for path in directory.iterdir()} == set(by_step)


def test_the_codes_are_counted() -> None:
    steps = Counter(page.step or "any" for page in pages().values())
    examples: dict[str, str] = {}
    for code, page in pages().items():
        examples.setdefault(page.step or "any", code)
    rows = [f"| {step} | {count} | `{examples[step]}` |\n" for step, count in steps.items()]
    check_region("counts", "| step | codes | such as |\n|---|---|---|\n" + "".join(rows))


# --- commands ----------------------------------------------------------------------------------------------------

DOCUMENTS = [README, README.parent / "CONTRIBUTING.md", *sorted(CODES_PAGE.parent.glob("*.md"))]
LINES = {
    line.split(" #")[0].strip()
    for document in DOCUMENTS
    for block in re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
}
OURS = re.compile(r"(?:source <\()?(?:kubectl )?svcdoctor\b(?P<words>[^|>)]*)(?:\)|> \S+|\| kubectl apply -f -)?")
COMMANDS = sorted(f"svcdoctor{match['words'].rstrip()}" for line in LINES if (match := OURS.fullmatch(line)))
TARGETS = sorted(line for line in LINES if line.startswith("make "))
# Run where it costs less: the first by test_packaging.py (as pip installs it), the others by whoever runs tests.
ELSEWHERE = {
    "pipx install .",
    ".venv/bin/python -m pytest tests/kind --kind-cluster NAME",
    ".venv/bin/python bench/run.py --sizes 1000 --only throughput",
    ".venv/bin/python bench/dashboard.py --services 5000",
    ".venv/bin/python bench/churn.py",
    ".venv/bin/python bench/kind.py --context kind-NAME",
    ".venv/bin/python bench/kwok.py --kubeconfig FILE",
    "SVCDOCTOR_UPDATE=1 .venv/bin/python -m pytest tests/test_checks.py tests/test_readme.py",
}


def test_every_line_to_type_is_one_that_a_test_runs() -> None:
    others = {line for line in LINES if not OURS.fullmatch(line) and line not in TARGETS}
    assert others == ELSEWHERE


# What is behind a pipe reads standard input.
PIPED = sorted(
    f"svcdoctor{match[1].rstrip()}"
    for block in re.findall(r"```console\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
    if (match := re.search(r"(?:^\$|\|) svcdoctor\b([^#]*)", line))
)
MANIFEST = (
    """{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart"}, "spec": {"ports": [{"port": 80}]}}"""
)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which commands run, with the files that they read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process is not the command
    for name in ("bug.json.zst", "incident.json.zst", "capture.json"):
        (tmp_path / name).write_bytes(recorded_world().record())
    (tmp_path / "known.json").write_text(json_report.render(diagnose(recorded_world(), Scope()).diagnosis))
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "cart.yaml").write_text(MANIFEST)
    return tmp_path


@pytest.mark.parametrize("command", sorted({*COMMANDS, *PIPED}))
def test_every_command_is_understood(command: str, files: Path) -> None:
    """Commands that need a cluster get as far as looking for one; the others do what they say."""
    words = shlex.split(command)[1:]
    runner = CliRunner(env={"KUBECONFIG": str(files / "none"), "HOME": str(files)})
    result = runner.invoke(cli, words, input=MANIFEST)
    if words and words[0] in ("explain", "rbac", "completion", "schema"):
        assert result.exit_code == 0 and result.output
    elif "demo" in words or "--replay" in words:
        assert result.exit_code == 1 and result.output
    elif "-f" in words and "--with-cluster" not in words:
        assert "default/cart" in result.output
    elif "cleanup" in words or ("--probe-image" in words and "--yes" not in words):
        assert result.exit_code == 2 and "--yes" in result.output  # there is no terminal to ask on
    else:
        assert type(result.exception).__name__ == "ConfigError", result.output
    if "demo" in words:
        written = {word.partition("=")[2] for word in words if "=" in word}
        assert all((files / name).stat().st_size for name in written)


def test_every_command_has_an_example() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS if " " in command} >= {*ALL_COMMANDS} - {"dashboard"}


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_exists(target: str) -> None:
    done = subprocess.run([*shlex.split(target), "--dry-run"], cwd=README.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"# {shlex.join(shlex.split(target)[:2])} " in (README.parent / "Makefile").read_text()


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_help_shows_examples_first(name: str) -> None:
    text = CliRunner().invoke(cli, [name, "--help"]).output
    assert text.find("Examples:\n    svcdoctor") > 0 or text.find("Examples:\n    source <(svcdoctor") > 0
    assert text.find("Examples:") < text.find("Options:")


# --- what the documents point to ---------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    content = document.read_text(encoding="utf-8")
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#]+)(#[^)]+)?\)", content):
        target = document.parent / link
        assert target.exists(), link
        assert not anchor or f"\n## {anchor[1:]}\n" in target.read_text(encoding="utf-8"), link + anchor


def test_files_that_are_named_exist() -> None:
    content = (README.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:svcdoctor|tests|docs)/[\w/.]*)`", content))
    assert "svcdoctor/case.py" in named
    assert not [name for name in named if not (README.parent / name).exists()]


def test_excerpts_stand_in_the_files_that_they_are_from() -> None:
    content = (README.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    excerpts = re.findall(r"<!-- from (\S+) -->\n```\w+\n(.*?)```", content, re.DOTALL)
    assert len(excerpts) == content.count("<!-- from ")
    for path, excerpt in excerpts:
        assert excerpt in (README.parent / path).read_text(encoding="utf-8")


def test_every_code_of_the_tool_has_a_page() -> None:
    assert set(OWN_LIMITS) <= set(pages())
