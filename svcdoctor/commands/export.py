"""`svcdoctor export`: a diagnosis that goes on, as metrics."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import click

from svcdoctor.commands.exits import Exit
from svcdoctor.commands.flags import CONNECTION, options
from svcdoctor.commands.words import requirements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svcdoctor.changes import Change
    from svcdoctor.cluster.kube import Cluster
    from svcdoctor.finding import Diagnosis


class Address(click.ParamType[tuple[str, int]]):
    """What Go programs take: `:9464`, `127.0.0.1:9464`, `[::1]:9464`; port 0 is any that is free."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*)):(\d{1,5})", value)
        if not match or int(match[3]) > 65535:
            self.fail(f"{value!r} is no address; examples are :9464, 127.0.0.1:9464 and [::1]:9464", param, ctx)
        return match[1] or match[2] or "", int(match[3])


@click.command()
@click.option(
    "--listen",
    type=Address(),
    default=":9464",
    show_default=True,
    metavar="[HOST]:PORT",
    help="Where to serve /metrics, /livez and /readyz",
)
@click.option("-n", "--namespace", metavar="NAMESPACE", help="The namespace; default is the context's own")
@click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace")
@click.option("-l", "--selector", metavar="LABELS", help="Services with these labels, such as app=cart,tier=web")
@click.option("--no-probe", is_flag=True, help="Read objects only: no exec, no port-forward")
@click.option(
    "--events", is_flag=True, help="Create a Kubernetes Event when a Service's status changes; needs `create events`"
)
@click.option(
    "--log-format",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="How changes are written on stderr",
)
@options(CONNECTION)
def export(
    listen: tuple[str, int],
    namespace: str | None,
    all_namespaces: bool,
    selector: str | None,
    no_probe: bool,
    events: bool,
    log_format: str,
    **connection: Any,
) -> None:
    """Serve the diagnosis to Prometheus, kept up to date.

    It watches what a diagnosis reads, judges again what changes, and writes a line on
    stderr for each Service whose status or cause changes. In a Pod without a kubeconfig
    it uses the Pod's service account. It ends at SIGTERM.

    Nothing is ever changed, but with --events: then it creates Events, at most one for
    each Service and minute.

    \b
    Examples:
      svcdoctor export -A --no-probe
      svcdoctor export -n shop --listen 127.0.0.1:9464 --log-format json
    """
    if namespace and all_namespaces:
        raise click.UsageError("--namespace and --all-namespaces exclude each other")
    labels = requirements(selector)
    # The first process of a container is not ended by a signal that it does not handle.
    signal.signal(signal.SIGTERM, _end)

    from svcdoctor.cluster.eventwriter import EventWriter
    from svcdoctor.cluster.kube import Cluster, ConnectOptions
    from svcdoctor.diagnosis import Scope
    from svcdoctor.exporter import Exporter
    from svcdoctor.live import Live, Timing
    from svcdoctor.scrape import Server, routes
    from svcdoctor.world import EVERYWHERE

    cluster = Cluster.connect(ConnectOptions(**connection))
    where = EVERYWHERE if all_namespaces else namespace or cluster.namespace
    log = Log(as_json=log_format == "json")
    writer = EventWriter(cluster, os.environ.get("HOSTNAME", ""), log.say) if events else None
    if writer:
        _check_rights(cluster, where)

    def changed(news: Sequence[Change]) -> None:
        for change in news:
            log.tell(change)
        if writer:
            writer.put(news)

    exporter = Exporter(changed, log.introduce)
    failures: queue.SimpleQueue[Exception] = queue.SimpleQueue()
    try:
        server = Server(*listen, routes(exporter.application(), exporter.why_not_live, exporter.why_not_ready))
    except OSError as error:
        shown = f"{listen[0]}:{listen[1]}"
        why = (error.strerror or str(error)).lower()
        raise click.UsageError(f"cannot listen on {shown}: {why}; choose another address with --listen") from None
    # A scrape comes every few seconds: ten reports a second would be made for nobody.
    engine = Live(
        cluster,
        Scope(where, labels=labels),
        probe=not no_probe,
        post=exporter.take,
        failed=failures.put,
        timing=Timing(update=1.0),
    )
    threading.Thread(target=server.serve_forever, args=(0.1,), name="http", daemon=True).start()
    host = f"[{listen[0]}]" if ":" in listen[0] else listen[0] or "localhost"
    log.say(f"serving http://{host}:{server.server_port}/metrics of {cluster.server}")
    engine.start()
    if writer:
        writer.start()
    try:
        raise failures.get()
    finally:
        exporter.stop()
        engine.stop()
        if writer:
            writer.stop()
        server.shutdown()
        server.server_close()


def _end(*_: object) -> NoReturn:
    raise SystemExit(Exit.OK)


def _check_rights(cluster: Cluster, namespace: str) -> None:
    if not cluster.may("create", "events", namespace):
        scope = f"in namespace {namespace}" if namespace else "in all namespaces"
        check = f"kubectl auth can-i create events {f'-n {namespace}' if namespace else '-A'}"
        raise click.UsageError(
            f"--events needs the right to create events {scope}, which {cluster.context} has not; see: {check}"
        )


class Log:
    """A line for each thing on stderr, with its time."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def introduce(self, diagnosis: Diagnosis) -> None:
        """The first whole report: the counts, and each Service that fails."""
        from svcdoctor.changes import change
        from svcdoctor.finding import Status

        summary = diagnosis.summary
        counts = {"fail": summary.fail, "warn": summary.warn, "unknown": summary.unknown, "pass": summary.passed}
        words = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        self.say(f"first look: {summary.services} Services{': ' if words else ''}{words}")
        for entry in diagnosis.services:
            if entry.status is Status.FAIL:
                self.tell(change(None, entry))

    def tell(self, change: Change) -> None:
        self._write(str(change), change.fields())

    def say(self, words: str) -> None:
        self._write(words, {"message": words})

    def _write(self, words: str, fields: dict[str, Any]) -> None:
        from datetime import UTC, datetime

        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        click.echo(json.dumps({"time": now, **fields}) if self._as_json else f"{now} {words}", err=True)
