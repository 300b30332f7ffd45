"""`svcdoctor diagnose`: the walk once, over a live cluster or a recording."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from svcdoctor.commands.asking import Flags, asked, say_that_there_are_none, there_is_a_namespace
from svcdoctor.commands.flags import CONNECTION, OUTPUT, REPLAY, SCOPE, options
from svcdoctor.commands.manifests import OPTIONS as MANIFESTS
from svcdoctor.commands.manifests import Files, diagnose_manifests, laid_over, namespace_of
from svcdoctor.commands.outputs import Output
from svcdoctor.commands.replay import diagnosis_of
from svcdoctor.commands.result import finish, log
from svcdoctor.commands.waiting import Waiting

if TYPE_CHECKING:
    from svcdoctor.finding import Diagnosis


@click.command()
@options(SCOPE)
@options(REPLAY)
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what was asked of the server")
@options(MANIFESTS)
@options(OUTPUT)
@options(CONNECTION)
def diagnose(
    names: tuple[str, ...],
    namespace: str | None,
    all_namespaces: bool,
    selector: str | None,
    client: str | None,
    no_probe: bool,
    deadline: float,
    replay: str | None,
    verbose: bool,
    filenames: tuple[str, ...],
    recursive: bool,
    with_cluster: bool,
    output: tuple[Output, ...],
    fail_on: str,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    no_color: bool,
    ascii_only: bool,
    **connection: Any,
) -> None:
    """Diagnose Services: all of a namespace, or those named.

    \b
    Examples:
      svcdoctor diagnose cart
      svcdoctor diagnose svc/cart svc/web -n shop
      svcdoctor diagnose -l app=cart --from frontend-6c
      svcdoctor diagnose -A -o json --no-probe
      svcdoctor diagnose cart --replay world.json.zst
      helm template cart ./chart | svcdoctor diagnose -f -
      svcdoctor diagnose -f k8s/ --with-cluster
    """
    flags = Flags(names, namespace, all_namespaces, selector, client, no_probe, deadline)
    files = Files(filenames, recursive, with_cluster)
    flags.check()
    files.check(client, replay)
    if replay:
        diagnosis = diagnosis_of(replay, flags, only, skip)
    elif filenames and not with_cluster:
        diagnosis = diagnose_manifests(files, flags, only, skip)
    else:
        diagnosis = _diagnosis_now(flags, files, only, skip, verbose, connection)
    finish(diagnosis, output, fail_on, no_color, ascii_only)


def _diagnosis_now(
    flags: Flags, files: Files, only: tuple[str, ...], skip: tuple[str, ...], verbose: bool, connection: dict[str, Any]
) -> Diagnosis:
    from svcdoctor.collect import collect

    cluster, scope, limits = asked(flags, connection)
    scope = scope._replace(only=frozenset(only), skip=frozenset(skip))
    judge = None
    if files.names:
        given = files.read(flags.namespace or cluster.namespace)
        if not flags.namespace and not flags.all_namespaces:
            scope = scope._replace(namespace=namespace_of(given))
        judge, limits = laid_over(given), limits._replace(probe=False)  # what DNS says now tells nothing of afterwards
    with Waiting(sys.stderr) as waiting:
        diagnosis = collect(cluster, scope, limits, waiting.progress(), judge).diagnosis
    if verbose:
        log(cluster.requests)
    if diagnosis.is_empty:
        # As good as a mistyped name, unless there is such a namespace.
        there_is_a_namespace(cluster, scope.namespace)
        say_that_there_are_none(scope)
    return diagnosis
