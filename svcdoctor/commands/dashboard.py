"""`svcdoctor` alone: the live tree, where a terminal can show it."""

from __future__ import annotations

import gc
import os
from typing import Any

import click

from svcdoctor.commands import livenames
from svcdoctor.commands.diagnose import diagnose
from svcdoctor.commands.flags import CONNECTION, REPLAY, SCREEN, options
from svcdoctor.commands.replay import recording_in, refuse_flags_of_a_cluster, show
from svcdoctor.commands.terminal import has_unicode, is_interactive


@click.command(hidden=True)
@click.option(
    "-n",
    "--namespace",
    metavar="NAMESPACE",
    shell_complete=livenames.namespaces,
    help="The namespace; default is the context's own",
)
@click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace")
@click.option(
    "--from",
    "client",
    metavar="POD",
    shell_complete=livenames.pods,
    help="Look names up from this Pod, POD or NAMESPACE/POD",
)
@click.option("--no-probe", is_flag=True, help="Read objects only: no exec, no port-forward")
@options(REPLAY)
@options(SCREEN)
@options(CONNECTION)
def dashboard(
    namespace: str | None,
    all_namespaces: bool,
    client: str | None,
    no_probe: bool,
    replay: str | None,
    no_color: bool,
    ascii_only: bool,
    **connection: Any,
) -> None:
    """The live tree of Services, endpoints and verdicts; where no terminal can show it, the report.

    \b
    Examples:
      svcdoctor dashboard
      svcdoctor dashboard -A --no-probe
      svcdoctor dashboard --replay world.json.zst

    `svcdoctor` alone is the same.
    """
    if replay and is_interactive():
        refuse_flags_of_a_cluster()
        show(recording_in(replay), "" if all_namespaces else namespace, no_color, ascii_only)
    if not is_interactive():
        flags = {"namespace": namespace, "all_namespaces": all_namespaces, "client": client, "no_probe": no_probe}
        flags["replay"] = replay
        screen_flags = {"no_color": no_color, "ascii_only": ascii_only}
        context = connection.pop("context")
        connection["contexts"] = (context,) if context else ()
        click.get_current_context().invoke(diagnose, names=(), **flags, **screen_flags, **connection)
    gc.disable()  # what is imported is no garbage; screen.py enables it
    from svcdoctor import screen
    from svcdoctor.cluster.kubeconfig import ConnectOptions

    if no_color:
        os.environ["NO_COLOR"] = "1"
    ascii_only = ascii_only or not has_unicode()
    where = None if all_namespaces else namespace or ""
    raise SystemExit(screen.show_cluster(ConnectOptions(**connection), where, client or "", not no_probe, ascii_only))
