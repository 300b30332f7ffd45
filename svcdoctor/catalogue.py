"""Codes and their pages: gathered from the checks' docstrings, with the few that no check owns.

The sources are read, not imported: who wants a page, or the names of codes, does not wait for eighty modules.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from textwrap import dedent
from typing import NamedTuple

# Codes of the tool's own limits. They are not faults of a Service, so no check owns them.
OWN_PAGES = {
    "unknown-forbidden": """
    Something that the verdict needs may not be read, or no lookup may be made, with the rights of this user.
    Why it matters     What was not seen is not judged: neither healthy nor broken. Exit code 4 says so.
    Confirm by hand    kubectl auth can-i --list -n {namespace}
    Fix                Ask for the Role that `svcdoctor rbac` prints. Lookups need get and create on pods/exec.
    Not a fault when   It never is one: it is a limit of this run.
""",
    "unknown-timeout": """
    A read or a lookup brought no answer in time, or broke off.
    Why it matters     What was not seen is not judged. The reason that the server or the Pod gave stands beside it.
    Confirm by hand    Run the command of the step with kubectl --v=6 and watch where it stops.
    Fix                Run again; raise --request-timeout or --deadline where the server is slow.
    Not a fault when   It never is one: it is a limit of this run.
""",
    "unknown-settling": """
    The Service or its Pods are so young that controllers and kubelets may still be at work.
    Why it matters     A verdict within the first 30 seconds would often be wrong a moment later.
    Confirm by hand    kubectl -n {namespace} get pods -w
    Fix                Wait, and run again.
    Not a fault when   It never is one: it is judged again when the time is up.
""",
    "unknown-no-probe-pod": """
    No Pod could be found from which to look names up, and CoreDNS could not be asked in its stead.
    Why it matters     What applications of this namespace are told by DNS is not known.
    Confirm by hand    kubectl -n {namespace} run lookup -it --rm --restart=Never --image=busybox -- nslookup {name}
    Fix                Name a Pod with --from, or accept that DNS was not looked at with --no-probe.
    Not a fault when   It never is one: it is a limit of this run.
""",
}


class Page(NamedTuple):
    code: str
    text: str
    question: str  # the check that it answers, "" for the tool's own limits
    step: str


@cache
def pages() -> dict[str, Page]:
    """Every code with its page, in the order of the walk."""
    found: dict[str, Page] = {}
    for document, step in _documents():
        question, _, rest = document.partition("\n")
        parts = re.split(r"^([a-z0-9-]+)$", dedent(rest), flags=re.MULTILINE)
        for code, text in zip(parts[1::2], parts[2::2], strict=True):
            found[code] = Page(code, _cleaned(text), question, step)
    for code, text in OWN_PAGES.items():
        found[code] = Page(code, _cleaned(text), "", "")
    return found


def _documents() -> Iterator[tuple[str, str]]:
    """The docstring of each check and the step of its question, in the order of checks.ALL."""
    listed = _source("__init__").rpartition("\nALL")[2]
    for name in re.findall(r"^    (\w+),$", listed, flags=re.MULTILINE):
        _, document, code = _source(name).split('"""', 2)
        step = re.search(r"\bstep=Step\.(\w+)", code)
        yield document, step[1].lower() if step else ""


def _source(module: str) -> str:
    return (pkgutil.get_data("svcdoctor", f"checks/{module}.py") or b"").decode()


def _cleaned(text: str) -> str:
    return dedent(text).strip()


def title(code: str) -> str:
    """The first sentence of a code's page."""
    return (
        " ".join(pages()[code].text.split("\n    ")[0].split(". ")[0].split()).split("Why it")[0].strip().rstrip(".:")
    )
