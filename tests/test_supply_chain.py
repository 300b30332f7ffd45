"""What is installed is what was locked, its licences are listed, and an audit without an answer is not called clean."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import audit
import licenses

ROOT = Path(__file__).parent.parent
LOCKED = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
UV = {entry["name"]: entry for entry in tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]}
RUNTIME: list[str] = PROJECT["project"]["dependencies"]
WANTED: dict[str, list[str]] = {
    "runtime": RUNTIME,
    "build": PROJECT["build-system"]["requires"],
    "dev": [*RUNTIME, *PROJECT["project"]["optional-dependencies"]["dev"], *PROJECT["build-system"]["requires"]],
    "audit": PROJECT["dependency-groups"]["audit"],
}


def locked(name: str) -> dict[str, str]:
    return licenses.locked((LOCKED / f"{name}.txt").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", WANTED)
def test_what_the_project_asks_for_is_locked(name: str) -> None:
    """After a change of pyproject.toml: make lock."""
    versions = locked(name)
    for requirement in map(Requirement, WANTED[name]):
        package = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert requirement.specifier.contains(versions[package]), requirement


@pytest.mark.parametrize("name", WANTED)
def test_every_package_has_the_hashes_of_uv_lock(name: str) -> None:
    """So that uv, which reads its own file, and pip, which reads these, install the same bytes."""
    text = (LOCKED / f"{name}.txt").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert entries and len(entries) == len(locked(name))
    for entry in entries:
        package = UV[re.split(r"==", entry)[0]]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert f"=={package['version']} " in entry
        assert set(re.findall(r"--hash=(sha256:\w+)", entry)) == {file["hash"] for file in files}


def test_nothing_is_installed_by_make_but_by_hash() -> None:
    """Only svcdoctor itself has none, and comes without what it needs."""
    installs = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("\t$(PIP)")]
    assert installs
    assert all("--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in installs)


def test_the_page_of_licences_is_what_the_packages_say() -> None:
    """make licenses writes it. A package that is not for this Python or platform is not asked."""
    rows = dict(
        re.findall(r"^\| ([\w.-]+) \| (\S+ \| .+) \|$", licenses.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )
    versions = locked("runtime")
    assert set(rows) - {"package"} == set(versions)
    for package, version in versions.items():
        said = licenses.license_of(package)
        stated, _, terms = rows[package].partition(" | ")
        assert stated == version
        assert terms == (said or terms), package
        assert terms not in ("not stated", "not installed here")


def test_no_licence_asks_for_more_than_notice() -> None:
    """A copyleft licence on a whole program would bind who ships svcdoctor: MPL-2.0 binds only its own files."""
    rows = re.findall(r"^\| [\w.-]+ \| \S+ \| (.+) \|$", licenses.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    terms = {term for row in rows[1:] for term in re.split(r" (?:AND|OR) ", row)}
    assert terms <= {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "PSF-2.0"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], 0, "No known vulnerability in any of 1"),
        ([{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "?"}], 2, "1 of 2 packages"),
        ([], 2, "not checked"),
        (
            [
                {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]},
                {"name": "b", "skip_reason": "?"},
            ],
            1,
            "a 1: PYSEC-1, mended in 2",
        ),
    ],
)
def test_what_an_audit_says(packages: list[dict[str, object]], code: int, said: str) -> None:
    assert audit.verdict(packages)[0] == code
    assert said in audit.verdict(packages)[1]
