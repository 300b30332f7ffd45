"""Ask whether a known vulnerability is in what svcdoctor needs: pip-audit over requirements/runtime.txt.

Usage: python contrib/audit.py (make audit). It ends with 1 where there is one, and with 2 where not every package was
answered for: pip-audit alone would call that "no known vulnerabilities".
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCKED = Path(__file__).parent.parent / "requirements" / "runtime.txt"


def verdict(packages: list[dict[str, Any]]) -> tuple[int, str]:
    """The exit code and what is said; the packages are those of pip-audit's JSON."""
    known = [
        f"{package['name']} {package['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'none'}"
        for package in packages
        for flaw in package.get("vulns", [])
    ]
    unanswered = [package["name"] for package in packages if "skip_reason" in package]
    if known:
        return 1, "\n".join(known)
    if unanswered or not packages:
        return 2, f"The advisory service said nothing of {len(unanswered)} of {len(packages)} packages: not checked"
    return 0, f"No known vulnerability in any of {len(packages)} packages"


def main() -> int:
    options = ["--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCKED), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        print(
            f"pip-audit does not get through to its service; nothing was checked\n{done.stderr[-500:]}", file=sys.stderr
        )
        return 2
    code, said = verdict(packages)
    print(said, file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
