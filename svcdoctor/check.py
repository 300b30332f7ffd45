"""What a check is: a question, where in the walk it is asked, which codes answer it, which kinds it may read.

A check module holds `CHECK` and `run(case) -> Iterator[Finding]`; its docstring holds one page for each code, which
`svcdoctor explain`, the help pane and the reference show. checks/__init__.py lists the modules in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from svcdoctor.finding import Stage, Step


class Code(Struct, frozen=True):
    """What the engine must know of a code to place it among others."""

    stage: Stage
    # A symptom is folded under any fault that comes before it or beside it; it is a cause only when it stands alone.
    symptom: bool = False
    # Whether controllers may still be about to put it right, so that it is not said of a Service younger than 30 s.
    settles: bool = True


class Check(Struct, frozen=True):
    """`about` says what the question is asked of: each Service (Case), each workload that may call one (ClientCase),
    each Ingress or Route (EntryCase), or the parts that all Services share (ClusterCase). It may be several of them."""

    step: Step
    codes: Mapping[str, Code]
    reads: tuple[str, ...]
    about: str = "service"  # words among: service client entry cluster
    # Of a question about shared parts: the Services that hang on the answer, where a run is about some by name.
    concerns: Callable[[Any], bool] = lambda service: True
