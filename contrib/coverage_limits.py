"""Say how much of svcdoctor/ the tests ran, and fail where that is too little.

Usage: python contrib/coverage_limits.py (make coverage, which measures first). The whole has to reach `fail_under` of
pyproject.toml, and each file EACH, so that no file hides behind the others.
"""

from __future__ import annotations

import sys

from coverage import Coverage

EACH = 85.0


def shares(measured: Coverage) -> dict[str, float]:
    """The lines that ran of each file, in percent."""
    found = {}
    for file in sorted(measured.get_data().measured_files()):
        _, lines, _, missing, _ = measured.analysis2(file)
        found[file] = 100 - 100 * len(missing) / len(lines) if lines else 100.0
    return found


def main() -> int:
    measured = Coverage()
    measured.load()
    whole, least = measured.report(), float(str(measured.get_option("report:fail_under")))
    low = {file: share for file, share in shares(measured).items() if share < EACH}
    for file, share in low.items():
        print(f"{file}: {share:.1f} % of its lines ran, {EACH:.0f} % have to", file=sys.stderr)
    if whole < least:
        print(f"svcdoctor/: {whole:.1f} % of its lines ran, {least:.0f} % have to", file=sys.stderr)
    return 1 if low or whole < least else 0


if __name__ == "__main__":
    sys.exit(main())
