"""One module a format; each turns a Diagnosis into text and knows nothing of clusters or checks.

Each has `render(diagnosis) -> str`; text.py takes a Style too. FORMATS lists them for the command line, the dashboard
and the tests. A module is imported when its format is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from svcdoctor.finding import Diagnosis


class Format(NamedTuple):
    about: str  # for whom or what it is, in a few words
    extension: str  # what the name of such a file ends with


FORMATS = {
    "text": Format("as a person reads it", "txt"),
    "wide": Format("the same, with every step of every Service", "wide.txt"),
    "json": Format("one document, versioned; see svcdoctor schema", "json"),
    "jsonl": Format("a finding a line", "jsonl"),
    "yaml": Format("the JSON document as YAML", "yaml"),
    "name": Format("service/NAME of what is not healthy", "names.txt"),
    "markdown": Format("for a ticket", "md"),
    "html": Format("one page, for a browser", "html"),
    "junit": Format("for the test report of a CI server", "junit.xml"),
    "sarif": Format("for a code scanner", "sarif"),
    "prometheus": Format("metrics", "prom"),
    "github": Format("annotations of a GitHub Actions run", "github.txt"),
}
# What a person reads in a terminal: in its encoding, with its colours.
FOR_TERMINALS = ("text", "wide", "name")


def rendered(diagnosis: Diagnosis, name: str, *, ascii_only: bool = False, color: bool = False) -> str:
    """The report in the format of this name. Only text has marks to choose and colours."""
    if name in ("text", "wide"):
        from svcdoctor.report import text

        return text.render(diagnosis, text.Style(ascii=ascii_only, color=color, wide=name == "wide"))
    report: str = import_module(f"svcdoctor.report.{name}").render(diagnosis)
    return report
