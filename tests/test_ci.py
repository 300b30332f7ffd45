"""The GitHub action does what it says, and the snippets for pipelines are understood."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from svcdoctor.cli import cli
from svcdoctor.commands.exits import Exit

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
GUIDE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
STEPS = ACTION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{ *([^} ]+) *\}\}")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_the_action_is_a_composite_one() -> None:
    assert ACTION["name"] and ACTION["description"]
    assert ACTION["runs"]["using"] == "composite"
    assert all(item["description"] for item in [*ACTION["inputs"].values(), *ACTION["outputs"].values()])
    assert all(step["shell"] == "bash" for step in STEPS)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["name"])
def test_a_step_is_bash_and_takes_no_input_into_its_text(step: dict[str, Any]) -> None:
    """What somebody writes into an input is data: it comes by the environment."""
    subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True)
    assert not EXPRESSION.findall(step["run"])


def test_what_is_used_is_declared_and_what_is_declared_is_used() -> None:
    used = {word for step in STEPS for value in step["env"].values() for word in EXPRESSION.findall(value)}
    assert {word.removeprefix("inputs.") for word in used if word.startswith("inputs.")} == set(ACTION["inputs"])
    assert used - {f"inputs.{name}" for name in ACTION["inputs"]} == {"github.action_path"}
    steps = {step.get("id") for step in STEPS}
    for output in ACTION["outputs"].values():
        (word,) = EXPRESSION.findall(output["value"])
        _, step, _, name = word.split(".")
        assert step in steps
        assert f"{name}=" in next(item["run"] for item in STEPS if item.get("id") == step)


class Runner:
    """The step that runs svcdoctor, with one in its place that notes what it was given."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.binaries = directory / "svcdoctor" / "bin"
        self.binaries.mkdir(parents=True)
        (self.binaries / "python").symlink_to(sys.executable)

    def __call__(self, script: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        command = self.binaries / "svcdoctor"
        command.write_text(f"#!/bin/bash\n{script}\n")
        command.chmod(0o755)
        environment = {
            "PATH": os.environ["PATH"],
            "RUNNER_TEMP": str(self.directory),
            "GITHUB_OUTPUT": str(self.directory / "output"),
            "GITHUB_STEP_SUMMARY": str(self.directory / "summary"),
            "COMMAND": "diagnose",
            "ARGS": "",
            "KUBECONFIG_CONTENT": "",
            **inputs,
        }
        (step,) = (step for step in STEPS if step.get("id") == "run")
        bash = shutil.which("bash") or "bash"
        line = [bash, "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]  # as a runner starts it
        return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)

    def read(self, name: str) -> str:
        return (self.directory / name).read_text()


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_words_are_those_of_a_shell_and_nothing_in_them_is_run(runner: Runner) -> None:
    arguments = "cart -l 'app in (a, b)' \"$(touch owned)\" `id` ; *"
    done = runner('printf "%s\\n" "$@"', COMMAND="wait", ARGS=arguments)
    words = done.stdout.splitlines()
    assert words[:-6] == ["wait", "cart", "-l", "app in (a, b)", "$(touch owned)", "`id`", ";", "*"]
    report, summary = runner.directory / "svcdoctor-report.json", runner.directory / "svcdoctor-summary.md"
    assert words[-6:] == ["-o", "github", "-o", f"markdown={summary}", "-o", f"json={report}"]
    assert runner.read("output") == f"report={report}\n"


def test_without_arguments_there_is_no_empty_word(runner: Runner) -> None:
    assert runner('printf "%s\\n" "$@"').stdout.splitlines()[:2] == ["diagnose", "-o"]


@pytest.mark.parametrize("code", [0, 1, 4])
def test_the_step_ends_as_the_command_does_and_the_summary_is_there(runner: Runner, code: int) -> None:
    script = (
        f'for word in "$@"; do case $word in markdown=*) echo "# it is so" > "${{word#*=}}";; esac; done; exit {code}'
    )
    done = runner(script)
    assert done.returncode == code, done.stderr
    assert runner.read("summary") == "# it is so\n"


def test_a_kubeconfig_is_there_for_the_command_alone(runner: Runner) -> None:
    script = (
        'cat "$KUBECONFIG"; ls -l "$KUBECONFIG" | cut -c1-10; echo "$KUBECONFIG" > seen; env | grep -c sesame; exit 3'
    )
    done = runner(f"cd {runner.directory}; {script}", KUBECONFIG_CONTENT="token: sesame")
    assert done.stdout.splitlines() == ["token: sesame", "-rw-------", "0"]
    assert done.returncode == 3
    assert not Path(runner.read("seen").strip()).exists()


@pytest.mark.parametrize("block", blocks("yaml"))
def test_snippets_are_yaml_and_give_the_action_inputs_that_it_has(block: str) -> None:
    document = yaml.safe_load(block)
    for job in document.get("jobs", {}).values():
        for step in job["steps"]:
            if "svcdoctor" in step.get("uses", ""):
                assert set(step["with"]) <= set(ACTION["inputs"])


# Those that stand in a ```sh block are run by test_readme.py.
COMMANDS = re.findall(r"^ *- (svcdoctor .*)", "".join(blocks("yaml")), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood(command: str, tmp_path: Path) -> None:
    runner = CliRunner(env={"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)})
    assert type(runner.invoke(cli, shlex.split(command)[1:]).exception).__name__ == "ConfigError"


def test_the_exit_codes_are_those_of_the_command() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", GUIDE, re.MULTILINE)}
    assert told == {int(code) for code in Exit} - {Exit.INTERRUPTED}
