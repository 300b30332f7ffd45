"""The contexts that a command line asks for, and the end of a run over several of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import click

from svcdoctor.commands.exits import Exit
from svcdoctor.commands.outputs import Output
from svcdoctor.commands.result import SAY_WHAT_IS_KNOWN, deliver, exit_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svcdoctor.baseline import Compared
    from svcdoctor.finding import Unseen


def contexts_asked(
    contexts: tuple[str, ...], every: bool, outputs: Sequence[Output], connection: dict[str, Any]
) -> list[str]:
    """The contexts of a run over several; [] where it is one, the kubeconfig's own perhaps.

    Raises ConfigError for a name that the kubeconfig does not have: it is mistyped, and no cluster that is dead.
    """
    names = list(dict.fromkeys(contexts))
    if every and names:
        raise click.UsageError("--context and --all-contexts exclude each other")
    if len(names) < 2 and not every:
        return []
    if connection["cluster"]:
        raise click.UsageError("--cluster names one cluster, which several contexts cannot share")

    from svcdoctor.cluster.errors import ConfigError
    from svcdoctor.cluster.kubeconfig import ConnectOptions, choose, context_names
    from svcdoctor.report.contexts import FORMATS

    for output in outputs:
        if output.format not in FORMATS:
            raise click.UsageError(f"-o {output.format} holds one context; several fit in -o {', '.join(FORMATS)}")
    options = ConnectOptions(**connection)
    known = context_names(options)
    if not known:
        message = "there is no kubeconfig that names a context; give one with --kubeconfig or set KUBECONFIG"
        raise ConfigError(message, missing=True)
    if every:
        return known
    for name in names:
        if name not in known:
            choose(replace(options, context=name))  # says that there is none, and which there are
    return names


def finish_contexts(
    found: Sequence[Compared | Unseen], outputs: Sequence[Output], fail_on: str, no_color: bool, ascii_only: bool
) -> NoReturn:
    from svcdoctor.finding import Unseen
    from svcdoctor.report import contexts

    seen = [item for item in found if not isinstance(item, Unseen)]
    whole = [item if isinstance(item, Unseen) else item.diagnosis for item in found]
    folded = [item if isinstance(item, Unseen) else item.folded for item in found]

    def render(name: str, plain: bool, color: bool) -> str:
        return contexts.render(whole if name in SAY_WHAT_IS_KNOWN else folded, name, ascii_only=plain, color=color)

    remarks = [line for item in seen for line in item.lines()]
    written = deliver(render, outputs, no_color, ascii_only, remarks)
    codes = {exit_code(item.diagnosis, fail_on) for item in seen}
    reasons = {item.reason for item in found if isinstance(item, Unseen)}
    raise SystemExit(_exit_code(codes, reasons, fail_on) if written else Exit.FAIL)


def _exit_code(codes: set[Exit], reasons: set[str], fail_on: str) -> Exit:
    """A fault anywhere is a fault; a context that was not seen is unknown; where none was, nothing was diagnosed."""
    if not codes:
        return Exit.USAGE if reasons == {"not-found"} else Exit.UNREACHABLE
    if fail_on == "never":
        return Exit.OK
    if Exit.FAIL in codes or (reasons and fail_on == "unknown"):
        return Exit.FAIL
    return Exit.UNKNOWN if reasons or Exit.UNKNOWN in codes else Exit.OK
