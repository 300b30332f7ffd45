"""The forms in which the dashboard writes its report to a file: those of report/, each with its letter."""

from __future__ import annotations

from svcdoctor.finding import Diagnosis
from svcdoctor.report import FORMATS
from svcdoctor.report import rendered as report_rendered

_LETTERS = {
    "text": "t",
    "wide": "w",
    "json": "j",
    "jsonl": "l",
    "yaml": "y",
    "markdown": "m",
    "html": "h",
    "junit": "u",
    "sarif": "s",
    "prometheus": "p",
}


def formats() -> dict[str, tuple[str, str, str]]:
    """Letter, words, extension of the file."""
    return {name: (letter, FORMATS[name].about, FORMATS[name].extension) for name, letter in _LETTERS.items()}


def rendered(diagnosis: Diagnosis, name: str) -> str:
    return report_rendered(diagnosis, name)
