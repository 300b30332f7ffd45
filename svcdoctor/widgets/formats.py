"""The forms in which the dashboard writes its report to a file: those of report/."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from svcdoctor.finding import Diagnosis
from svcdoctor.report import text

_FORMATS = {
    "text": ("t", "as svcdoctor prints it", "txt"),
    "wide": ("w", "with every step of every Service", "wide.txt"),
    "json": ("j", "one document, versioned", "json"),
    "yaml": ("y", "the same as YAML", "yaml"),
    "markdown": ("m", "for a ticket", "md"),
    "html": ("h", "one page", "html"),
    "junit": ("u", "for a CI server", "xml"),
    "sarif": ("s", "for a code scanner", "sarif"),
    "prometheus": ("p", "metrics", "prom"),
}


def formats() -> dict[str, tuple[str, str, str]]:
    """The formats that are there: letter, words, extension of the file."""
    return {name: about for name, about in _FORMATS.items() if name == "wide" or find_spec(f"svcdoctor.report.{name}")}


def rendered(diagnosis: Diagnosis, name: str) -> str:
    if name == "wide":
        return text.render(diagnosis, text.Style(wide=True))
    return str(import_module(f"svcdoctor.report.{name}").render(diagnosis))
