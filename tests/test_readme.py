"""The README says what is: its screen and its codes are generated, and its commands run."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from svcdoctor.catalogue import pages, title
from svcdoctor.cli import cli
from svcdoctor.demo import recorded_world
from svcdoctor.diagnosis import OWN_LIMITS, Scope, diagnose
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
    rows = [f"| `{code}` | {page.step or 'any'} | {title(code)} |\n" for code, page in pages().items()]
    check_region("codes", "| code | step | what is wrong |\n|---|---|---|\n" + "".join(rows), CODES_PAGE)


def test_the_codes_are_counted() -> None:
    steps = Counter(page.step or "any" for page in pages().values())
    examples: dict[str, str] = {}
    for code, page in pages().items():
        examples.setdefault(page.step or "any", code)
    rows = [f"| {step} | {count} | `{examples[step]}` |\n" for step, count in steps.items()]
    check_region("counts", "| step | codes | such as |\n|---|---|---|\n" + "".join(rows))


COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("svcdoctor")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood(command: str, tmp_path: Path) -> None:
    """Commands that need a cluster get as far as looking for one; the others do what they say."""
    words = shlex.split(command)[1:]
    runner = CliRunner(env={"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)})
    result = runner.invoke(cli, words)
    if words and words[0] in ("explain", "rbac", "completion"):
        assert result.exit_code == 0 and result.output
    elif words == ["demo"]:
        assert result.exit_code == 1 and " Services: " in result.output
    elif "--replay" in words:
        assert result.exit_code == 2 and "cannot be read: No such file" in result.output
    else:
        assert type(result.exception).__name__ == "ConfigError", result.output


def test_every_code_of_the_tool_has_a_page() -> None:
    assert set(OWN_LIMITS) <= set(pages())
