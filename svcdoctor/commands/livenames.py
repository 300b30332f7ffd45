"""Names for a shell to complete, asked of the cluster: in a moment or not at all, and without a word about errors.

Each function is what click calls `shell_complete`: the flags before the word are in `ctx.params`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import click

from svcdoctor.commands.words import SERVICE_NOUNS

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

LIST_SECONDS = 1.5
ALL_SECONDS = 3.0  # with a login plugin, which may have to ask its own server
CONNECTION = ("kubeconfig", "context", "cluster", "user", "as_user", "as_groups", "as_uid")


def services(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Services of the namespace that are not named yet, as NAME or svc/NAME."""
    noun, slash, start = incomplete.rpartition("/")
    if ctx.params.get("all_namespaces") or (slash and noun.lower() not in SERVICE_NOUNS):
        return []
    named = {word.rpartition("/")[2] for word in ctx.params.get("names") or ()}
    return _items(noun + slash, start, set(_listed(ctx, "services", ctx.params.get("namespace"))) - named)


def namespaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _items("", incomplete, _listed(ctx, "namespaces", ""))


def pods(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Pods of the namespace, or of the one that is written before a slash."""
    namespace, slash, start = incomplete.rpartition("/")
    return _items(namespace + slash, start, _listed(ctx, "pods", namespace or ctx.params.get("namespace")))


def contexts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from svcdoctor.cluster.errors import KubeError
    from svcdoctor.cluster.kubeconfig import ConnectOptions, context_names

    try:
        known = context_names(ConnectOptions(kubeconfig=ctx.params.get("kubeconfig")))
    except KubeError:
        return []
    return _items("", incomplete, set(known) - set(ctx.params.get("contexts") or ()))


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The shell knows them itself."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def _items(before: str, start: str, names: Any) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(before + name) for name in sorted(names) if name.startswith(start)]


def _listed(ctx: click.Context, kind: str, namespace: str | None) -> list[str]:
    """Names of a kind in a namespace, None for the context's own; [] where they are not to be had in time."""
    connection = {name: value for name in CONNECTION if (value := ctx.params.get(name))}
    if several := ctx.params.get("contexts"):
        connection["context"] = several[0]
    found: list[str] = []
    reader = threading.Thread(target=_read, args=(connection, kind, namespace, found), daemon=True)
    reader.start()
    reader.join(ALL_SECONDS)
    return list(found)


def _read(connection: dict[str, Any], kind: str, namespace: str | None, found: list[str]) -> None:
    from svcdoctor.cluster.kube import Cluster, ConnectOptions, KubeError
    from svcdoctor.objects import RESOURCES, Resource

    full = RESOURCES[kind]
    names_alone = Resource(
        full.name, full.kind, full.group, full.version, full.type, full.namespaced, metadata_only=True
    )
    try:
        cluster = Cluster.connect(ConnectOptions(**connection))
        where = cluster.namespace if namespace is None else namespace
        found += [item.metadata.name for item in cluster.list(names_alone, where, timeout=LIST_SECONDS).items]
    except KubeError:
        return
