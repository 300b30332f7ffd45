"""`svcdoctor diagnose`: the walk once, over a live cluster or a recording."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import click

from svcdoctor.commands.asking import Flags, Found, asked, asked_of, say_that_there_are_none, there_is_a_namespace
from svcdoctor.commands.baseline import baseline_in
from svcdoctor.commands.consent import PROBE_IMAGE, ProbeImage
from svcdoctor.commands.contexts import contexts_asked, finish_contexts
from svcdoctor.commands.fixes import OPTIONS as FIXES
from svcdoctor.commands.fixes import Fixes
from svcdoctor.commands.flags import BASELINE, CONNECTIONS, OUTPUT, REPLAY, SCOPE, options
from svcdoctor.commands.manifests import OPTIONS as MANIFESTS
from svcdoctor.commands.manifests import Files, diagnose_manifests, laid_over, namespace_of
from svcdoctor.commands.outputs import Output
from svcdoctor.commands.replay import diagnosis_of, refuse_flags_of_a_cluster
from svcdoctor.commands.result import finish, log
from svcdoctor.commands.waiting import Waiting

if TYPE_CHECKING:
    from svcdoctor.baseline import Baseline, Compared
    from svcdoctor.cluster.kube import Cluster
    from svcdoctor.finding import Unseen


@click.command()
@options(SCOPE)
@click.option("--http", metavar="PATH", help="With --from: GET this path, instead of that of the readiness probe")
@options(PROBE_IMAGE)
@options(REPLAY)
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what was asked of the server")
@options(MANIFESTS)
@options(FIXES)
@BASELINE
@options(OUTPUT)
@options(CONNECTIONS)
def diagnose(
    names: tuple[str, ...],
    namespace: str | None,
    all_namespaces: bool,
    selector: str | None,
    client: str | None,
    no_probe: bool,
    deadline: float,
    http: str | None,
    probe_image: str | None,
    probe_pod: bool,
    yes: bool,
    replay: str | None,
    verbose: bool,
    filenames: tuple[str, ...],
    recursive: bool,
    with_cluster: bool,
    diff: bool,
    dry_run: str,
    baseline: str | None,
    output: tuple[Output, ...],
    fail_on: str,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    no_color: bool,
    ascii_only: bool,
    contexts: tuple[str, ...],
    all_contexts: bool,
    **connection: Any,
) -> None:
    """Diagnose Services: all of a namespace, or those named.

    \b
    Examples:
      svcdoctor diagnose cart
      svcdoctor diagnose svc/cart svc/web -n shop
      svcdoctor diagnose cart --from deploy/frontend
      svcdoctor diagnose cart --from deploy/frontend --http /api/cart
      svcdoctor diagnose -l app=cart -n shop
      svcdoctor diagnose cart --probe-image busybox:1.36
      svcdoctor diagnose -A -o json --no-probe
      svcdoctor diagnose -A --baseline yesterday.json
      svcdoctor diagnose -A --context staging --context prod
      svcdoctor diagnose cart --replay world.json.zst
      helm template cart ./chart | svcdoctor diagnose -f -
      svcdoctor diagnose -f k8s/ --with-cluster
      svcdoctor diagnose cart --diff
      svcdoctor diagnose cart --dry-run=server
    """
    gc.disable()  # nearly all that is made is held until the report is out
    click.get_current_context().call_on_close(gc.enable)
    flags = Flags(names, namespace, all_namespaces, selector, client, no_probe, deadline, http)
    files = Files(filenames, recursive, with_cluster)
    adding = ProbeImage(probe_image, probe_pod, yes)
    flags.check()
    are_several = all_contexts or len(set(contexts)) > 1
    files.check(client, replay, several=are_several)
    fixes = Fixes(diff, dry_run)
    fixes.check(manifests=bool(filenames), replay=bool(replay), several=are_several, outputs=output)
    if replay:
        refuse_flags_of_a_cluster()
    adding.check(no_probe=no_probe, files=filenames, several=are_several)
    several = contexts_asked(contexts, all_contexts, output, connection)
    known = baseline_in(baseline)
    if several:
        each = _found_in_each(several, flags, only, skip, verbose, known, fixes, connection)
        finish_contexts(each, output, fail_on, no_color, ascii_only)
    if replay:
        found = diagnosis_of(replay, flags, only, skip)
    elif filenames and not with_cluster:
        found = diagnose_manifests(files, flags, only, skip)
    else:
        connection["context"] = contexts[0] if contexts else None
        found = _found_now(flags, files, adding, only, skip, verbose, fixes, connection)

    from svcdoctor.baseline import compared

    result = compared(found.diagnosis, known, found.scope, found.is_whole)
    instead = fixes.shown(found.world, result.folded, no_color) if found.world else None
    finish(found.diagnosis, output, fail_on, no_color, ascii_only, compared=result, instead=instead)


def _found_now(
    flags: Flags,
    files: Files,
    adding: ProbeImage,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    verbose: bool,
    fixes: Fixes,
    connection: dict[str, Any],
) -> Found:
    from svcdoctor.cluster.collect import collect

    cluster, scope, limits = asked(flags, connection)
    scope = scope._replace(only=frozenset(only), skip=frozenset(skip))
    judge = None
    if files.names:
        given = files.read(flags.namespace or cluster.namespace)
        if not flags.namespace and not flags.all_namespaces:
            scope = scope._replace(namespace=namespace_of(given))
        judge, limits = laid_over(given), limits._replace(probe=False)  # what DNS says now tells nothing of afterwards
    with Waiting(sys.stderr) as waiting, adding.to(cluster, waiting) as second_look:
        collected = collect(cluster, scope, limits, waiting.progress(), judge, second_look)
        diagnosis = fixes.tried(cluster, *collected)
    if verbose:
        log(cluster.requests)
    if diagnosis.is_empty:
        # As good as a mistyped name, unless there is such a namespace.
        there_is_a_namespace(cluster, scope.namespace)
        say_that_there_are_none(scope)
    return Found(diagnosis, scope, collected.world, is_whole=not files.names)


def _found_in_each(
    contexts: list[str],
    flags: Flags,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    verbose: bool,
    known: Baseline | None,
    fixes: Fixes,
    connection: dict[str, Any],
) -> list[Compared | Unseen]:
    from svcdoctor.baseline import compared
    from svcdoctor.cluster.collect import Progress, collect
    from svcdoctor.cluster.contexts import look_at_each
    from svcdoctor.cluster.kube import ConnectOptions

    access = ConnectOptions(**connection)

    def look(cluster: Cluster) -> Compared:
        _, scope, limits = asked_of(cluster, flags, access.request_timeout)
        scope = scope._replace(only=frozenset(only), skip=frozenset(skip))
        diagnosis = fixes.tried(cluster, *collect(cluster, scope, limits, Progress()))
        if verbose:
            log(cluster.requests, cluster.context)
        if diagnosis.is_empty:
            there_is_a_namespace(cluster, scope.namespace)
        return compared(diagnosis, known, scope)

    with Waiting(sys.stderr) as waiting:
        return look_at_each(contexts, access, look, waiting.progress().doing)
