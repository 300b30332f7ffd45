"""What is handed out: the wheel and its commands, the krew plugin, the k9s plugin.

The zipapp itself takes a minute to build and is not built here; `make zipapp` runs what it has built.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import click
import pytest
import yaml

import build_krew
import build_zipapp
import svcdoctor
from test_cli import BROKEN, Doctor, serving

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory), str(ROOT)], check=True
    )
    (built,) = directory.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of the wheel, in an environment that has nothing else of ours."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    # The dependencies are those of the tests: to download them again proves nothing about the wheel.
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return home / "bin"


def run(command: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    return subprocess.run([command, *arguments], env=environment, cwd="/", capture_output=True, text=True)


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = {path for path in (ROOT / "svcdoctor").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert held == {str(path.relative_to(ROOT)) for path in files}
    assert held > {f"svcdoctor/{name}" for name in ("help.txt", "demo.jsonl.xz", "py.typed", "app.tcss")}


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA")]
    assert f"\nVersion: {svcdoctor.__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())


def test_the_commands_of_the_wheel_run(installed: Path) -> None:
    demo = run(installed / "svcdoctor", "demo", "-o", "name")
    assert (demo.returncode, demo.stderr) == (1, "")
    assert "service/orders\n" in demo.stdout
    assert run(installed / "svcdoctor", "--help").stdout == (ROOT / "svcdoctor/help.txt").read_text()
    assert run(installed / "kubectl-svcdoctor", "--version").stdout == f"svcdoctor {svcdoctor.__version__}\n"
    assert run(installed / "kubectl-svcdoctor", "--help").stdout.startswith("Usage: kubectl svcdoctor ")
    completed = run(installed / "kubectl_complete-svcdoctor", "diagnose", "--all-n")
    assert completed.stdout == "--all-namespaces\tEvery namespace\n:4\n"


# --- krew --------------------------------------------------------------------------------------------------------


def built(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).write_bytes(name.encode())
    return directory


def test_the_krew_plugin_has_an_archive_for_each_platform(tmp_path: Path) -> None:
    linux, mac = "svcdoctor-0.1.0-cp312-linux-x86_64.pyz", "svcdoctor-0.1.0-cp313-darwin-arm64.pyz"
    built(tmp_path, "svcdoctor-0.1.0-cp311-linux-x86_64.pyz", linux, mac, "other.pyz")
    plugin = yaml.safe_load(build_krew.build("https://example.com/svcdoctor", tmp_path).read_text())
    assert plugin["metadata"]["name"] == "service-doctor"
    assert plugin["spec"]["version"] == "v0.1.0"
    assert plugin["spec"]["caveats"] == (
        "Needs on the PATH, by platform: python3.12 (linux/amd64), python3.13 (darwin/arm64)."
    )
    platforms = {tuple(entry["selector"]["matchLabels"].values()): entry for entry in plugin["spec"]["platforms"]}
    assert set(platforms) == {("linux", "amd64"), ("darwin", "arm64")}
    for platform, zipapp in ((("linux", "amd64"), linux), (("darwin", "arm64"), mac)):
        entry = platforms[platform]
        name = f"service-doctor_{'_'.join(platform)}.tar.gz"
        assert entry["uri"] == f"https://example.com/svcdoctor/releases/download/v0.1.0/{name}"
        content = (tmp_path / name).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            assert set(archive.getnames()) == {item["from"] for item in entry["files"]} == {entry["bin"], "LICENSE"}
            assert archive.getmember(entry["bin"]).mode & 0o111
            packed = archive.extractfile(entry["bin"])
            assert packed and packed.read() == zipapp.encode()


def test_the_same_zipapp_gives_the_same_archive(tmp_path: Path) -> None:
    (zipapp,) = build_krew.zipapps(built(tmp_path, "svcdoctor-0.1.0-cp311-linux-aarch64.pyz"))
    assert build_krew.archive(zipapp) == build_krew.archive(zipapp)


def test_krew_finds_what_is_built_here() -> None:
    assert build_krew.ZIPAPP.fullmatch(build_zipapp.name())


def test_krew_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run make zipapp on each platform"):
        build_krew.build("https://example.com", tmp_path)
    built(tmp_path, "svcdoctor-0.1.0-cp311-linux-x86_64.pyz", "svcdoctor-0.2.0-cp311-linux-aarch64.pyz")
    with pytest.raises(SystemExit, match="zipapps of several versions"):
        build_krew.build("https://example.com", tmp_path)


@pytest.mark.parametrize("file", ["kubectl-svcdoctor", "kubectl-service_doctor"])
def test_a_plugin_calls_itself_what_is_typed(file: str, tmp_path: Path) -> None:
    script = tmp_path / file
    script.write_text("from svcdoctor.__main__ import main\nmain()\n")
    usage = subprocess.run([sys.executable, script, "rbac", "-h"], env={"PYTHONPATH": str(ROOT)}, capture_output=True)
    assert usage.stdout.decode().startswith(f"Usage: {file.replace('-', ' ', 1).replace('_', '-')} rbac ")


# --- k9s ---------------------------------------------------------------------------------------------------------


def test_the_k9s_plugin_diagnoses_the_service_under_the_cursor(tmp_path: Path) -> None:
    (plugin,) = yaml.safe_load((ROOT / "contrib/k9s/plugins.yaml").read_text())["plugins"].values()
    assert set(plugin) == {"shortCut", "description", "scopes", "command", "background", "args"}
    assert (plugin["scopes"], plugin["background"]) == (["services"], False)
    for name, text in (
        ("svcdoctor", f"#!{sys.executable}\nfrom svcdoctor.__main__ import main\nmain()\n"),
        ("less", '#!/bin/sh\necho "less $*"; cat\n'),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    arguments = plugin["args"]
    for variable, value in (("$NAMESPACE", "shop"), ("$NAME", "cart"), ("$CONTEXT", "test")):
        arguments = [argument.replace(variable, value) for argument in arguments]
    assert not any("$" in argument for argument in arguments)
    with serving(BROKEN) as server:
        environment = Doctor(server, tmp_path).environment
        environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
        done = subprocess.run([plugin["command"], *arguments], env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("less -RK\n")
    assert "shop/cart" in click.unstyle(done.stdout)
    assert "svc-no-selector-no-endpoints" in done.stdout
