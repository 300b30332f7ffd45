"""Opens the dashboard, over a cluster or a recording; what only the dashboard loads is loaded from here."""

from __future__ import annotations

from dataclasses import replace

from svcdoctor.app import Dashboard
from svcdoctor.kubeconfig import Access, ConnectOptions, choose, context_names
from svcdoctor.widgets.source import Post, Source, SourceRequest
from svcdoctor.world import EVERYWHERE, World


def show_recording(worlds: list[World], ascii_only: bool) -> int:
    """The dashboard over Worlds that follow each other; the exit code."""

    def open_source(request: SourceRequest, post: Post) -> Source:
        from svcdoctor.diagnose import Scope
        from svcdoctor.live import Replayed

        return Replayed(worlds, Scope(request.namespace or EVERYWHERE), post=post)

    context = worlds[0].context
    return _run(Dashboard(open_source, [context], context=context, namespace=None, ascii=ascii_only))


def show_cluster(options: ConnectOptions, namespace: str | None, client: str, probe: bool, ascii_only: bool) -> int:
    """The dashboard over a cluster; the exit code. Raises KubeError where there is nothing to connect to.

    Credentials are fetched here, while the terminal is still the login plugin's.
    """
    access = choose(options)
    if access is None:
        from svcdoctor.kube import Cluster

        Cluster.connect(options)  # in a Pod; anywhere else this says that there is no kubeconfig
    elif access.source:
        access.source.current()
    first: list[Access | None] = [access]

    def open_source(request: SourceRequest, post: Post) -> Source:
        from svcdoctor.kube import Cluster
        from svcdoctor.session import Session

        known = first.pop() if first else None
        chosen = options if known and not request.context else replace(options, context=request.context or None)
        cluster = Cluster.connect(chosen, known)
        return Session.open(cluster, request, probe=probe, post=post, failed=dashboard.source_failed)

    def login(context: str) -> None:
        again = choose(replace(options, context=context or options.context))
        if again and again.source:
            again.source.current()

    dashboard = Dashboard(
        open_source,
        context_names(options),
        context=access.context if access else "",
        namespace=namespace,
        client=client,
        ascii=ascii_only,
        login=login,
    )
    return _run(dashboard)


def _run(dashboard: Dashboard) -> int:
    dashboard.run()
    return dashboard.return_code or 0
