"""Opens the dashboard, over a cluster or a recording; what only the dashboard loads is loaded from here."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from socket import socket
from typing import TYPE_CHECKING

from svcdoctor.cluster.kubeconfig import Access, ConnectOptions, choose, context_names
from svcdoctor.dashboard.firstpaint import first_paint
from svcdoctor.widgets.source import Post, Source, SourceRequest, Update
from svcdoctor.worker.remote import Terminal, Worker, WorkerEnded

if TYPE_CHECKING:
    from svcdoctor.app import Dashboard
    from svcdoctor.recordings.recording import Recorded
    from svcdoctor.worker.serving import Opens

SWITCH_SECONDS = 0.0005
# When garbage is looked for. Where the cluster is read: seldom. Where keys are answered: a little at a time, 1 ms each.
COLLECTED_BY_WORKER = 50_000, 20, 100
COLLECTED = 2_000, 1_000, 100


def show_recording(recorded: Recorded, ascii_only: bool, namespace: str | None = None) -> int:
    """The dashboard over the moments of a recording; the exit code.

    `namespace`: None is what was asked when it was recorded, "" all of them.
    """
    from svcdoctor.app import Dashboard
    from svcdoctor.diagnosis import Scope

    asked = recorded.scope if namespace is None else Scope(namespace)

    def open_source(request: SourceRequest, post: Post) -> Source:
        from svcdoctor.session import Recording
        from svcdoctor.world import EVERYWHERE

        where = request.namespace or EVERYWHERE
        scope = asked if where == asked.namespace else Scope(where)
        return Recording(recorded.worlds, scope, post=post)

    context = recorded.worlds[0].context
    first = asked.namespace or None
    return run(Dashboard(open_source, [context], context=context, namespace=first, ascii=ascii_only))


def show_cluster(options: ConnectOptions, namespace: str | None, client: str, probe: bool, ascii_only: bool) -> int:
    """The dashboard over a cluster; the exit code. Raises KubeError where there is nothing to connect to.

    Credentials are fetched here, while the terminal is still the login plugin's.
    """
    access = choose(options)
    if access is None:
        from svcdoctor.cluster.kube import Cluster

        Cluster.connect(options)  # in a Pod; anywhere else this says that there is no kubeconfig
    elif access.source:
        access.source.lend = nullcontext
        access.source.current()
    opens = sessions(options, access, probe)
    worker = Worker.fork(partial(serve_sessions, opens))
    with first_paint(access.context if access else ""):
        from svcdoctor.app import Dashboard  # after the fork: the worker has no screen

    def open_source(request: SourceRequest, post: Post) -> Source:
        try:
            return worker.open(request, post)
        except WorkerEnded:  # and was killed, perhaps: what is left is this process
            return opens(request, post, dashboard.source_failed, dashboard.terminal)

    def login(context: str) -> str:
        from svcdoctor.cluster.kube import KubeError

        try:
            again = choose(replace(options, context=context or options.context))
            if again and again.source:
                again.source.lend = nullcontext
                again.source.current()
        except KubeError as error:
            return str(error)
        return ""

    dashboard = Dashboard(
        open_source,
        context_names(options),
        context=access.context if access else "",
        namespace=namespace,
        client=client,
        ascii=ascii_only,
        login=login,
    )
    worker.terminal, worker.failed = dashboard.terminal, dashboard.source_failed
    return run(dashboard)


def sessions(options: ConnectOptions, access: Access | None, probe: bool) -> Opens:
    """What opens sessions with clusters of the kubeconfig, the first with the access that there is already."""
    first: list[Access | None] = [access]

    def open_session(
        request: SourceRequest, post: Post, failed: Callable[[Exception], None], terminal: Terminal
    ) -> Source:
        from svcdoctor.cluster.kube import Cluster
        from svcdoctor.session import Session

        known = first.pop() if first else None
        chosen = options if known and not request.context else replace(options, context=request.context or None)
        access = known or choose(chosen)
        if access and access.source:
            access.source.lend = terminal  # a refresh may need a person, at any time
        cluster = Cluster.connect(chosen, access)
        calm = collect_no_garbage_until_settled(post)
        return Session.open(cluster, request, probe=probe, post=calm, failed=failed)

    return open_session


def serve_sessions(opens: Opens, end: socket) -> None:
    """In the worker, until the dashboard has gone."""
    from svcdoctor.worker.serving import serve

    gc.set_threshold(*COLLECTED_BY_WORKER)
    serve(end, opens)


def collect_no_garbage_until_settled(post: Post) -> Post:
    """While a cluster is read and judged almost nothing that is made is garbage, and to look for it in all that is
    held stops the screen for half a second: so not before the first whole picture, and from then on in what is newer.
    """
    if gc.get_freeze_count():
        # What the last source held may go.
        gc.unfreeze()
        gc.collect()
    gc.disable()

    def posted(update: Update) -> None:
        reading = update.checking or any(stream.state == "listing" for stream in update.streams)
        if not gc.isenabled() and update.streams and not reading:
            gc.freeze()
            gc.enable()
        post(update)

    return posted


def run(dashboard: Dashboard) -> int:
    """The dashboard to its end; the exit code. What made it end is said when the terminal is the shell's again."""
    # The thread that judges must not keep the screen's waiting: a key passes through three threads.
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*COLLECTED)
    gc.freeze()
    gc.enable()
    dashboard.run()
    if words := dashboard.last_words():
        print(words, file=sys.stderr)
    return dashboard.return_code or 0
