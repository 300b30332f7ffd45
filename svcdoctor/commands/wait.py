"""`svcdoctor wait`: follow Services until they pass, for pipelines after an apply."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import click

from svcdoctor.commands.asking import Flags, asked, say_that_there_are_none, there_is_a_namespace
from svcdoctor.commands.baseline import baseline_in
from svcdoctor.commands.exits import Exit
from svcdoctor.commands.flags import BASELINE, CONNECTION, OUTPUT, SERVICES, options
from svcdoctor.commands.outputs import Output
from svcdoctor.commands.result import finish
from svcdoctor.commands.waiting import Waiting
from svcdoctor.commands.words import Patience

if TYPE_CHECKING:
    from svcdoctor.live import Update
    from svcdoctor.standing import Standing

LOOK_SECONDS = 120.0  # for a single look, as `diagnose` has


@click.command()
@options(SERVICES)
@click.option(
    "--timeout",
    type=Patience(),
    default="2m",
    show_default=True,
    metavar="DURATION",
    help="Time to wait; 0 looks once, a negative one waits for a week",
)
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr while it waits")
@BASELINE
@options(OUTPUT)
@options(CONNECTION)
def wait(
    names: tuple[str, ...],
    namespace: str | None,
    all_namespaces: bool,
    selector: str | None,
    client: str | None,
    no_probe: bool,
    timeout: float,
    quiet: bool,
    baseline: str | None,
    output: tuple[Output, ...],
    fail_on: str,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    no_color: bool,
    ascii_only: bool,
    **connection: Any,
) -> None:
    """Wait until Services pass; else say why they do not.

    \b
    Exits 0 as soon as every Service asked for passes (a warning is good enough, unless
    --fail-on warn) and has stayed so for two seconds; when the time is up, it prints the
    diagnosis and exits as `diagnose` does. A Service that does not exist yet is waited for.

    \b
    Examples:
      svcdoctor wait cart web --timeout 5m
      kubectl apply -f shop.yaml && svcdoctor wait -n shop
      svcdoctor wait -l app.kubernetes.io/instance=shop
      svcdoctor wait -n shop --fail-on warn
    """
    flags = Flags(names, namespace, all_namespaces, selector, client, no_probe, LOOK_SECONDS)
    flags.check()
    known = baseline_in(baseline)

    from svcdoctor.baseline import compared, marked
    from svcdoctor.cluster.collect import collect
    from svcdoctor.cluster.kube import ReadFailed
    from svcdoctor.standing import standings
    from svcdoctor.wait import HOLD, Waited, wait_until_passing

    cluster, scope, limits = asked(flags, connection)
    scope = scope._replace(only=frozenset(only), skip=frozenset(skip))

    def judge(update: Update) -> list[Standing]:
        return standings(marked(update.diagnosis, known), update.checking, scope, fail_on)

    with Waiting(None if quiet else sys.stderr) as waiting:
        if timeout == 0:
            waited = Waited(collect(cluster, scope, limits, waiting.progress()).diagnosis)
        else:
            with suppress(ReadFailed):  # whoever may not ask for the version is known, and that will do
                cluster.version()
            tell = _ignore if quiet else _on_terminal(waiting) if waiting.is_shown else Story()
            waited = wait_until_passing(cluster, scope, limits.probe, timeout, HOLD, judge, tell)
    code = Exit.INTERRUPTED if waited.interrupted else Exit.OK if waited.passed else None
    if code is None and waited.diagnosis.is_empty:
        there_is_a_namespace(cluster, scope.namespace)
        say_that_there_are_none(scope)
        code = Exit.OK if fail_on == "never" else Exit.FAIL
    result = compared(waited.diagnosis, known, scope)
    finish(waited.diagnosis, output, fail_on, no_color, ascii_only, compared=result, code=code)


class Story:
    """A line on stderr whenever something else is said of a Service: a log tells later how it went."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.said: dict[tuple[str, str], str] = {}

    def __call__(self, found: list[Standing]) -> None:
        from svcdoctor.text import duration

        after = duration(time.monotonic() - self.started)
        for standing in found:
            before = self.said.get(standing.name)
            if not standing.words or standing.words == before:
                continue
            self.said[standing.name] = standing.words
            if before or not standing.passes:  # what is well from the start is no news
                click.echo(f"{after:>6}  {'/'.join(standing.name)}  {standing.words}", err=True)


def _on_terminal(waiting: Waiting) -> Callable[[list[Standing]], None]:
    doing = waiting.progress().doing

    def tell(found: list[Standing]) -> None:
        from svcdoctor.text import plural, shorten

        late = [standing for standing in found if not standing.passes]
        if not found or not late:
            words = f"{plural(len(found), 'Service')} passing, for how long" if found else "no Services yet"
        else:
            more = f" and {plural(len(late) - 1, 'Service')} more" if late[1:] else ""
            words = f"waiting for {'/'.join(late[0].name)} ({late[0].words or 'looking'}){more}"
        doing(shorten(words, max(20, get_terminal_size().columns - 4)))

    return tell


def _ignore(found: list[Standing]) -> None:
    pass
