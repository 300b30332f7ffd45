"""`-o FORMAT[=FILE]`: what goes to which file, and that no file is lost on the way."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from measured import MEASURED
from signals import as_in_a_terminal
from svcdoctor.report import FORMATS

ROOT = Path(__file__).parent.parent
UMASK = os.umask(0o022)
os.umask(UMASK)


def run(directory: Path, *arguments: str, limit: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "COLUMNS": "200"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"} | ({} if limit else MEASURED)
    command = [sys.executable, "-m", "svcdoctor", *arguments]
    options = {"cwd": directory, "env": environment, "stdin": subprocess.DEVNULL, "capture_output": True}
    done = subprocess.run(command, **options, text=True, preexec_fn=limit)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_files_are_written_beside_the_text_on_stdout(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", "-o", "json=report.json", "-o", "junit=tests.xml", "--no-color")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith("1 client misconfigured\n") and "✗ shop/cart" in done.stdout
    assert json.loads((tmp_path / "report.json").read_text())["kind"] == "Diagnosis"
    assert (tmp_path / "tests.xml").read_text().startswith("<?xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "tests.xml"]


def test_one_format_may_be_printed_and_others_written(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", "-o", "name", "-o", "json=report.json", "-o", "text=report.txt")
    assert done.stdout.splitlines()[0] == "service/cart"
    assert "✗ shop/cart" in (tmp_path / "report.txt").read_text(encoding="utf-8")
    assert run(tmp_path, "demo", "-o", "name=-").stdout == done.stdout


def test_a_file_is_never_coloured_and_always_utf8(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "CLICOLOR_FORCE": "1",
        "PYTHONIOENCODING": "ascii",
        **MEASURED,
    }
    command = [sys.executable, "-m", "svcdoctor", "demo", "-o", "text", "-o", "wide=wide.txt"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    written = (tmp_path / "wide.txt").read_bytes()
    assert b"\x1b[" in done.stdout and b"\x1b" not in written
    assert "✗ shop/cart" in written.decode("utf-8")


def test_a_file_that_cannot_be_written_is_named_and_the_old_one_stays(tmp_path: Path) -> None:
    old = tmp_path / "report.json"
    old.write_text("what was there")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = run(
        tmp_path, "demo", "-o", "json=report.json", "-o", "name=names.txt", "--fail-on", "never", limit=small_files
    )
    assert done.returncode == 1
    assert done.stderr == "svcdoctor: report.json cannot be written: file too large\n"
    assert "✗ shop/cart" in done.stdout
    assert old.read_text() == "what was there"
    # What could be written was.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["names.txt", "report.json"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", "-o", "json=/dev/full", "--fail-on", "never")
    assert done.returncode == 1
    assert done.stderr == "svcdoctor: /dev/full cannot be written: no space left on device\n"
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    assert run(tmp_path, "demo", "-o", "json=/dev/stderr", "-o", "name").stderr.startswith('{\n  "apiVersion"')


def test_a_file_that_others_may_not_read_stays_so(tmp_path: Path) -> None:
    (tmp_path / "report.json").touch(mode=0o600)
    run(tmp_path, "demo", "-o", "json=report.json", "-o", "name=names.txt")
    assert stat.S_IMODE((tmp_path / "report.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "names.txt").stat().st_mode) == 0o666 & ~UMASK


@pytest.mark.parametrize("sign", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL])
def test_an_old_file_outlives_a_run_that_is_ended(tmp_path: Path, sign: int) -> None:
    """A pipe that nobody reads holds the run up between two of its files."""
    old = tmp_path / "report.json"
    old.write_text("what was there")
    os.mkfifo(tmp_path / "pipe")
    arguments = ("demo", "-o", "json=pipe", "-o", "yaml=report.json")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **MEASURED}
    command = [sys.executable, "-m", "svcdoctor", *arguments]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, preexec_fn=as_in_a_terminal)
    with open(tmp_path / "pipe", "rb") as pipe:
        assert pipe.read(1) == b"{"
        process.send_signal(sign)
        assert process.wait(20) == -sign
    assert old.read_text() == "what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "report.json"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "latest.json").symlink_to("real.json")
    run(tmp_path, "demo", "-o", "json=latest.json")
    assert (tmp_path / "latest.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["kind"] == "Diagnosis"


@pytest.mark.parametrize("command", ["demo", "diagnose"])
def test_the_help_names_every_format(command: str, tmp_path: Path) -> None:
    text = " ".join(run(tmp_path, command, "--help").stdout.split())
    assert all(f"{name}," in text or f"{name}." in text or f"{name} (default)" in text for name in FORMATS)


@pytest.mark.parametrize(("arguments", "name"), [([], "schema.json"), (["list"], "schema-list.json")])
def test_the_schema_is_the_one_of_the_package(tmp_path: Path, arguments: list[str], name: str) -> None:
    done = run(tmp_path, "schema", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == files("svcdoctor").joinpath(f"report/{name}").read_text(encoding="utf-8")
    assert json.loads(done.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
