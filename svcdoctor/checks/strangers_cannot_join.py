"""Could a Pod that has nothing to do with the Service join it by accident?

sec-capture-risk
    The selector names no application, only a tier, a team or an environment.
    Why it breaks      It works as long as nobody else uses that label. The next Pod in the namespace that carries it,
                       whoever creates it, is given a share of the requests, and of what is in them.
    Confirm by hand    kubectl -n {namespace} get pods --show-labels
    Fix                Add a label that only this application's Pods carry, to their template and to the selector.
    Not a fault when   Selecting everything of that kind is the purpose. Other Pods that join already are told by
                       selector-too-broad.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Stage, Step, note
from svcdoctor.text import selector_text

CHECK = Check(
    step=Step.LABELS,
    codes={"sec-capture-risk": Code(Stage.SELECTOR, settles=False)},
    reads=(),
)
# The last part of a label's key, where it is shared by many applications by its meaning.
SHARED_KEYS = (
    *("tier", "layer", "env", "environment", "stage", "team", "owner", "part-of", "managed-by", "project", "group"),
    *("type", "kind", "exposed", "expose", "public", "version", "track", "release-channel", "region", "zone"),
)


def run(case: Case) -> Iterator[Finding]:
    keys = [key.rpartition("/")[2] for key in case.selector]
    if keys and all(key in SHARED_KEYS for key in keys):
        yield note(
            "sec-capture-risk",
            case.subject,
            f"any Pod of namespace {case.namespace} that carries {selector_text(case.selector)} joins this Service: "
            "the selector names no application",
            Evidence("selector", selector_text(case.selector), f"service/{case.name} .spec.selector"),
        )
