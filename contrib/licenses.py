"""Write docs/licenses.md: what svcdoctor brings along when it is installed, and under which terms.

Usage: python contrib/licenses.py (make licenses). The packages are those of requirements/runtime.txt, and what is said
of their terms is what their own metadata says, as installed here.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCKED = ROOT / "requirements" / "runtime.txt"
PAGE = ROOT / "docs" / "licenses.md"
HEAD = """# Licenses

svcdoctor itself is under the Apache License 2.0. Installed with it come these packages, at these versions
(`requirements/runtime.txt`), under the terms that their own metadata states. `make licenses` writes this page.

| package | version | license |
|---|---|---|
"""
# What metadata of an older kind says of the same terms, and their SPDX identifiers.
SPDX = {"Apache 2.0": "Apache-2.0", "MIT License": "MIT"}


def locked(text: str) -> dict[str, str]:
    """Package to version, of a file of locked requirements."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, flags=re.MULTILINE))


def license_of(package: str) -> str | None:
    """As an SPDX expression where the package says one; None where it is not installed here."""
    try:
        said = metadata(package)
    except PackageNotFoundError:
        return None
    classified = [line.rpartition(" :: ")[2] for line in said.get_all("Classifier", []) if line.startswith("License ")]
    written = said.get("License-Expression") or said.get("License") or " AND ".join(classified) or "not stated"
    return SPDX.get(written, written)


def page(packages: dict[str, str]) -> str:
    rows = [
        f"| {name} | {version} | {license_of(name) or 'not installed here'} |\n" for name, version in packages.items()
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(locked(LOCKED.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} is written")
