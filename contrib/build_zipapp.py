"""Build dist/svcdoctor-VERSION-PYTHON-PLATFORM.pyz: svcdoctor and all it needs in one file.

Usage: python contrib/build_zipapp.py (make zipapp). Some dependencies hold compiled code, so a file is for the Python
version and the platform that it was built with; its first run unpacks it to ~/.cache/svcdoctor. The dependencies are
those of requirements/runtime.txt, by hash. The file is run once before its name is printed.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
LOCKED = ROOT / "requirements" / "runtime.txt"

sys.path.insert(0, str(ROOT))
from svcdoctor import __version__  # noqa: E402

PYTHON = "{}.{}".format(*sys.version_info)


def name() -> str:
    return f"svcdoctor-{__version__}-cp{PYTHON.replace('.', '')}-{platform.system().lower()}-{platform.machine()}.pyz"


def build() -> Path:
    DIST.mkdir(exist_ok=True)
    file = DIST / name()
    shiv = [sys.executable, "-m", "shiv", "--entry-point", "svcdoctor.__main__:main", "--output-file", str(file)]
    options = ["--python", f"/usr/bin/env python{PYTHON}", "--root", "~/.cache/svcdoctor", "--reproducible"]
    with tempfile.TemporaryDirectory() as packages:
        pip = [sys.executable, "-m", "pip", "--quiet", "install", "--no-compile", "--target", packages]
        subprocess.run([*pip, "--require-hashes", "--requirement", str(LOCKED)], check=True)
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", str(ROOT)], check=True)
        subprocess.run([*shiv, *options, "--compressed", "--no-compile", "--site-packages", packages], check=True)
    return file


def try_out(file: Path) -> None:
    """Raises SystemExit where the demo does not say what it should."""
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ["PATH"], "HOME": home}
        demo = [sys.executable, str(file), "demo", "-o", "name", "--fail-on", "never"]
        done = subprocess.run(demo, env=environment, cwd=home, capture_output=True, text=True)
    if done.returncode or "service/orders" not in done.stdout:
        raise SystemExit(f"{file.name} does not run:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    built = build()
    try_out(built)
    print(f"{built.relative_to(ROOT)}   {built.stat().st_size / 1e6:.0f} MB, for Python {PYTHON}")
