"""`svcdoctor capture`: what a diagnosis reads, as one file."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_bytes
from typing import IO, TYPE_CHECKING, Any

import click

from svcdoctor.commands.asking import (
    Asked,
    Flags,
    asked,
    no_such_namespace,
    say_that_there_are_none,
    there_is_a_namespace,
)
from svcdoctor.commands.exits import Exit
from svcdoctor.commands.flags import CONNECTION, SCOPE, options
from svcdoctor.commands.waiting import Waiting
from svcdoctor.commands.words import Seconds

if TYPE_CHECKING:
    from svcdoctor.cluster.kube import Cluster
    from svcdoctor.recordings.recording import Packed
    from svcdoctor.world import World


@click.command()
@options(SCOPE)
@click.option("-o", "--output", metavar="FILE", help="Write to a file instead of stdout")
@click.option("--redact", is_flag=True, help="Rename namespaces, names, labels, hosts, images and IPs")
@click.option("-w", "--watch", is_flag=True, help="Record each change too, until ctrl-C")
@click.option("--for", "seconds", type=Seconds(), metavar="DURATION", help="Watch for this long, such as 10m")
@options(CONNECTION)
def capture(
    names: tuple[str, ...],
    namespace: str | None,
    all_namespaces: bool,
    selector: str | None,
    client: str | None,
    no_probe: bool,
    deadline: float,
    output: str | None,
    redact: bool,
    watch: bool,
    seconds: float | None,
    **connection: Any,
) -> None:
    """Record what a diagnosis reads, to replay anywhere.

    \b
    The file holds what the checks read and nothing else: never a Secret, and of
    settings only what names hosts. What it holds is said on stderr. --replay FILE
    takes it in the place of a cluster, and gives the same report.

    \b
    Examples:
      svcdoctor capture > world.json.zst
      svcdoctor capture cart -n shop --redact -o bug.json.zst
      svcdoctor capture -A --watch --for 10m -o incident.json.zst
      svcdoctor diagnose --replay world.json.zst
    """
    flags = Flags(names, namespace, all_namespaces, selector, client, no_probe, deadline)
    flags.check()
    if seconds is not None and not watch:
        raise click.UsageError("--for says how long to --watch")
    if output in (None, "-") and sys.stdout.isatty():
        words = "a capture is compressed and not for a terminal: add > world.json.zst, or -o world.json.zst"
        raise click.UsageError(words)
    with _written(output) as file:
        run = asked(flags, connection)
        if watch:
            _watch(run, seconds, redact, file)
        else:
            _once(run, redact, file)
    click.echo(f"svcdoctor: look at it with svcdoctor diagnose --replay {output or 'FILE'}", err=True)


def _once(run: Asked, redact: bool, file: IO[bytes]) -> None:
    from svcdoctor.cluster.collect import collect
    from svcdoctor.recordings.recording import packed, recorded

    cluster, scope, limits = run
    with Waiting(sys.stderr) as waiting:
        world, diagnosis = collect(cluster, scope, limits, waiting.progress())
    if diagnosis.is_empty:
        there_is_a_namespace(cluster, scope.namespace)
        say_that_there_are_none(scope)
    clean = _cleaner(redact)
    size = packed([clean(recorded(world, scope))], file)
    _say_what_it_holds(world, size, redact)


def _watch(run: Asked, seconds: float | None, redact: bool, file: IO[bytes]) -> None:
    from svcdoctor.recordings.moments import Watched
    from svcdoctor.recordings.recording import packed

    def interrupt(*_: object) -> None:
        watched.stop()

    clean = _cleaner(redact)
    cluster, scope, limits = run
    _answers(cluster, scope.namespace)
    watched = Watched(cluster, scope, probe=limits.probe, seconds=seconds)
    before = [signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)]
    until = "until ctrl-C" if seconds is None else f"for {seconds:g} s, or until ctrl-C"
    click.echo(f"svcdoctor: recording changes {until}", err=True)
    try:
        size = packed((clean(moment) for moment in watched.moments()), file)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    _say_what_it_holds(watched.world, size, redact)


def _answers(cluster: Cluster, namespace: str) -> None:
    """Raises where a watch would wait for ever: nobody answers, nobody is let in, or there is no such namespace."""
    from svcdoctor.cluster.kube import ReadFailed
    from svcdoctor.objects import RESOURCES

    try:
        cluster.get(RESOURCES["namespaces"], "", namespace or "default", timeout=10.0)
    except ReadFailed as error:
        if error.reason == "not-found" and namespace:
            raise no_such_namespace(namespace) from None


def _cleaner(redact: bool) -> Callable[[bytes], bytes]:
    from svcdoctor.recordings.capture import without_secrets

    if not redact:
        return without_secrets
    from svcdoctor.recordings.redact import Redactor

    redactor = Redactor(token_bytes(32))
    return lambda moment: redactor.redacted(without_secrets(moment))


def _say_what_it_holds(world: World, size: Packed, redacted: bool) -> None:
    from svcdoctor.recordings.recording import holdings
    from svcdoctor.text import plural

    counts = holdings(world)
    found = [f"{kind} {count}" for kind, count in counts.items() if count]
    what = f"{plural(sum(counts.values()), 'object')} of {plural(len(found), 'kind')}"
    moments = f" in {plural(size.moments, 'moment')}" if size.moments != 1 else ""
    click.echo(f"svcdoctor: captured {what}{moments}, {size.bytes / 1000:.1f} kB", err=True)
    lookups = sum(len(said.lookups) for said in (world.lookups or {}).values())
    lines = {
        "holds": [*found, *([f"DNS lookups {lookups}"] if lookups else [])],
        "none of": [kind for kind, count in counts.items() if not count],
        "not read": sorted({f"{gap.resource} ({gap.reason})" for gap in world.gaps.values()}),
        "left out": ["Secrets (never read)", "settings that name no host", "passwords and tokens in any text"],
        "renamed": ["words that svcdoctor does not look for", "addresses"] if redacted else [],
    }
    for label, words in lines.items():
        if words:
            click.echo(click.wrap_text(", ".join(words), 96, f"  {label:<9} ", " " * 12), err=True)


@contextmanager
def _written(path: str | None) -> Iterator[IO[bytes]]:
    """Standard output, or a file that only its owner may read and that is there whole or not at all."""
    if path in (None, "-"):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    assert path is not None
    if os.path.exists(path) and not os.path.isfile(path):
        # A device or a pipe has nothing to keep and no place to be put into.
        part, flags = path, os.O_WRONLY
    else:
        part, flags = f"{path}.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        with open(os.open(part, flags, 0o600), "wb") as file:
            yield file
        if part != path:
            os.replace(part, path)
    except OSError as error:
        click.echo(f"svcdoctor: {path} cannot be written: {error.strerror}", err=True)
        raise SystemExit(Exit.FAIL) from None
    finally:
        if part != path:
            with suppress(FileNotFoundError):
                os.unlink(part)
