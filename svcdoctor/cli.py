"""The command line: flags with kubectl's names and meanings, one result on stdout, everything else on stderr.

Only click is imported here; each command imports what it needs when it runs, so that help, version, explanations and
completion start at once.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn

import click

from svcdoctor import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from svcdoctor.collect import Progress
    from svcdoctor.finding import Diagnosis
    from svcdoctor.kube import Cluster, Request
    from svcdoctor.labels import Requirement
    from svcdoctor.world import World


class Exit(IntEnum):
    OK = 0
    FAIL = 1
    USAGE = 2
    UNREACHABLE = 3
    UNKNOWN = 4
    INTERRUPTED = 130


MEANING = {
    Exit.OK: "Nothing failed (warnings allowed, unless --fail-on warn).",
    Exit.FAIL: "At least one fault that stops traffic, or that --fail-on counts.",
    Exit.USAGE: "The command line is wrong, or names a namespace or Pod that does not exist.",
    Exit.UNREACHABLE: "No kubeconfig, no answer, or credentials that are not accepted: nothing was diagnosed.",
    Exit.UNKNOWN: "Nothing failed, but something needed could not be read or looked up.",
    Exit.INTERRUPTED: "Interrupted by ctrl-C.",
}
FORMATS = ("text", "wide", "json", "yaml", "name")
SHELLS = ("bash", "zsh", "fish")
SERVICE_NOUNS = ("svc", "service", "services")


# --- words on the command line -----------------------------------------------------------------------------------


class Seconds(click.ParamType[float]):
    """kubectl's duration: `5`, `1s`, `2m`, `3h`; 0 means without limit."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", value.strip())
        if not match:
            self.fail(f"{value!r} is no duration; examples are 5, 1s, 2m and 3h", param, ctx)
        return float(match[1]) * {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}[match[2]]


class Codes(click.ParamType[tuple[str, ...]]):
    """A comma-separated list of codes, each of which must exist."""

    name = "codes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        from svcdoctor.catalogue import pages

        codes = tuple(code.strip() for code in value.split(",") if code.strip())
        for code in codes:
            if code not in pages():
                self.fail(f"no such code: {code!r}{_nearest(code, pages())}", param, ctx)
        return codes

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given, comma, last = incomplete.rpartition(",")
        return _completions(last, f"{given}{comma}")


def _completions(incomplete: str, before: str = "") -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from svcdoctor.catalogue import pages

    return [CompletionItem(before + code) for code in pages() if code.startswith(incomplete)]


def _nearest(word: str, known: Any) -> str:
    import difflib

    close = difflib.get_close_matches(word, list(known), n=3)
    return f"; did you mean {', '.join(close)}?" if close else ""


class WithoutCommand(click.Group):
    """Without a command it is the dashboard on a terminal; elsewhere, or with flags of a report, `diagnose`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Completion of the first word is about the commands.
        nothing = not args and not ctx.resilient_parsing
        if nothing or (args and args[0].startswith("-") and args[0] not in ("-h", "--help", "--version")):
            replays = any(arg.partition("=")[0] == "--replay" for arg in args)
            shown = replays or (is_interactive() and _are_for_dashboard(args))
            args = ["dashboard" if shown else "diagnose", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args and not args[0].startswith("-"):
                hint = _nearest(args[0], self.commands) or f"; to diagnose a Service: svcdoctor diagnose {args[0]}"
                raise click.UsageError(f"no such command: {args[0]!r}{hint}", ctx) from None
            raise error


CONNECTION = (
    click.option("--kubeconfig", metavar="FILE", help="Path to the kubeconfig file"),
    click.option("--context", metavar="NAME", help="The kubeconfig context to use"),
    click.option("--cluster", metavar="NAME", help="The kubeconfig cluster to use"),
    click.option("--user", metavar="NAME", help="The kubeconfig user to use"),
    click.option("--as", "as_user", metavar="USER", help="User name to impersonate"),
    click.option(
        "--as-group", "as_groups", metavar="GROUP", multiple=True, help="Group to impersonate; may be repeated"
    ),
    click.option("--as-uid", metavar="UID", help="UID to impersonate"),
    click.option(
        "--request-timeout",
        type=Seconds(),
        metavar="DURATION",
        help="Time for one request, such as 5, 1s, 2m; 0 is without limit",
    ),
)
SCREEN = (
    click.option("--no-color", is_flag=True, help="No colours; also with NO_COLOR set"),
    click.option("--ascii", "ascii_only", is_flag=True, help="No character outside ASCII"),
)
OUTPUT = (
    *SCREEN,
    click.option(
        "-o", "--output", type=click.Choice(FORMATS), default="text", show_default=True, help="Format of the report"
    ),
    click.option(
        "--fail-on",
        type=click.Choice(("fail", "warn", "unknown", "never")),
        default="fail",
        show_default=True,
        help="What makes the exit code 1",
    ),
    click.option("--only", type=Codes(), default=(), metavar="CODE,...", help="Report these codes alone"),
    click.option("--skip", type=Codes(), default=(), metavar="CODE,...", help="Do not report these codes"),
)


def is_interactive() -> bool:
    """Whether a full-screen application can be shown: Textual itself would hang without a terminal."""
    # It reads standard input and paints on standard error.
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(stream and stream.isatty() for stream in streams) and os.environ.get("TERM", "") not in ("", "dumb")


def _are_for_dashboard(args: list[str]) -> bool:
    known = {option for parameter in dashboard.params for option in parameter.opts}
    return all(arg.partition("=")[0] in known or arg[:2] in ("-n",) for arg in args if arg.startswith("-"))


def options(group: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(group):
            command = option(command)
        return command

    return add


# --- commands ----------------------------------------------------------------------------------------------------


@click.group(
    cls=WithoutCommand,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
)
@click.version_option(__version__, message="svcdoctor %(version)s")
def cli() -> None:
    """Why does this Service not answer?

    \b
    Walks what a person would type (get svc, get endpoints, get pods --show-labels,
    describe svc, nslookup from inside a Pod), names the one cause, and gives the fix.

    \b
    Examples:
      svcdoctor                            the dashboard, over the current namespace
      svcdoctor diagnose cart              one Service of the current namespace
      svcdoctor diagnose -A                every Service of the cluster
      svcdoctor diagnose -n shop -o json   a namespace, for a program
      svcdoctor explain selector-value-mismatch
      svcdoctor demo                       without a cluster

    Without a command, on a terminal, it opens the dashboard.

    \b
    Exit codes: 0 nothing failed, 1 something did, 2 usage, 3 cluster not reachable,
    4 something could not be seen, 130 interrupted. See: svcdoctor explain exit-codes
    """


@cli.command()
@click.argument("names", nargs=-1, metavar="[NAME | svc/NAME]...")
@click.option("-n", "--namespace", metavar="NAMESPACE", help="The namespace; default is the context's own")
@click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace")
@click.option("-l", "--selector", metavar="LABELS", help="Services with these labels, such as app=cart,tier=web")
@click.option("--from", "client", metavar="POD", help="Look names up from this Pod, POD or NAMESPACE/POD")
@click.option("--no-probe", is_flag=True, help="Read objects only: no exec, no port-forward")
@click.option(
    "--deadline", type=Seconds(), default=120.0, metavar="DURATION", help="Time for the whole run (default 2m)"
)
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what was asked of the server")
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
    verbose: bool,
    output: str,
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
    """
    services = _service_names(names)
    if services and (all_namespaces or selector):
        raise click.UsageError("a Service cannot be named together with --all-namespaces or --selector")
    if client and no_probe:
        raise click.UsageError("--from names the Pod to look names up from, which --no-probe forbids")
    labels = _labels(selector)

    from svcdoctor.collect import Options, collect
    from svcdoctor.diagnose import Scope
    from svcdoctor.kube import Cluster, ConnectOptions
    from svcdoctor.world import EVERYWHERE

    cluster = Cluster.connect(ConnectOptions(**connection))
    where = EVERYWHERE if all_namespaces else namespace or cluster.namespace
    pod = _pod(client, namespace or cluster.namespace)
    scope = Scope(where, services, labels, frozenset(only), frozenset(skip), pod)
    timeout = connection["request_timeout"]
    limits = (deadline or float("inf"), 60.0 if timeout is None else timeout or float("inf"))
    with Waiting(sys.stderr) as waiting:
        diagnosis = collect(cluster, scope, Options(not no_probe, *limits), waiting.progress()).diagnosis
    if verbose:
        _log(cluster.requests)
    unseen = any(gap.resource == "services" for gap in diagnosis.denied)
    if not diagnosis.services and not diagnosis.missing and not unseen:
        _say_that_there_are_none(cluster, where, bool(labels))
    _finish(diagnosis, output, fail_on, no_color, ascii_only)


@cli.command(hidden=True)
@click.option("-n", "--namespace", metavar="NAMESPACE", help="The namespace; default is the context's own")
@click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace")
@click.option("--from", "client", metavar="POD", help="Look names up from this Pod, POD or NAMESPACE/POD")
@click.option("--no-probe", is_flag=True, help="Read objects only: no exec, no port-forward")
@click.option("--replay", metavar="FILE", help="Open a recording instead of a cluster")
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
    """The live tree of Services, endpoints and verdicts; where no terminal can show it, the report."""
    if replay:
        _replay(_recording(replay), None if all_namespaces else namespace, no_color, ascii_only)
    if not is_interactive():
        flags = {"namespace": namespace, "all_namespaces": all_namespaces, "client": client, "no_probe": no_probe}
        screen_flags = {"no_color": no_color, "ascii_only": ascii_only}
        click.get_current_context().invoke(diagnose, names=(), **flags, **screen_flags, **connection)
    gc.disable()  # what is imported is no garbage; screen.py enables it
    from svcdoctor import screen
    from svcdoctor.kubeconfig import ConnectOptions

    if no_color:
        os.environ["NO_COLOR"] = "1"
    ascii_only = ascii_only or not _has_unicode()
    where = None if all_namespaces else namespace or ""
    raise SystemExit(screen.show_cluster(ConnectOptions(**connection), where, client or "", not no_probe, ascii_only))


def _replay(worlds: list[World], namespace: str | None, no_color: bool, ascii_only: bool) -> NoReturn:
    """A recording in the dashboard, or its first moment as a report."""
    if is_interactive():
        from svcdoctor import screen

        if no_color:
            os.environ["NO_COLOR"] = "1"
        raise SystemExit(screen.show_recording(worlds, ascii_only or not _has_unicode(), namespace))
    from svcdoctor.diagnose import Scope
    from svcdoctor.diagnose import diagnose as diagnose_world

    _finish(diagnose_world(worlds[0], Scope(namespace or "")).diagnosis, "text", "fail", no_color, ascii_only)


def _recording(path: str) -> list[World]:
    from svcdoctor.demo import worlds_of

    try:
        with open(path, "rb") as file:
            return worlds_of(file.read())
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise click.UsageError(f"{path}: {error}") from None


@cli.command()
@options(OUTPUT)
def demo(
    output: str, fail_on: str, only: tuple[str, ...], skip: tuple[str, ...], no_color: bool, ascii_only: bool
) -> None:
    """A recorded cluster: needs none of your own.

    \b
    On a terminal it opens the dashboard, where Services break and heal; with -o,
    or where there is no terminal, it prints the report.

    \b
    Examples:
      svcdoctor demo
      svcdoctor demo -o text
      svcdoctor demo -o json
    """
    from svcdoctor.demo import recorded_world, recorded_worlds
    from svcdoctor.diagnose import Scope
    from svcdoctor.diagnose import diagnose as diagnose_world

    chosen = click.get_current_context().get_parameter_source("output")
    if is_interactive() and chosen is click.core.ParameterSource.DEFAULT:
        _replay(recorded_worlds(), None, no_color, ascii_only)
    scope = Scope(only=frozenset(only), skip=frozenset(skip))
    _finish(diagnose_world(recorded_world(), scope).diagnosis, output, fail_on, no_color, ascii_only)


@cli.command()
@click.argument("code", required=False, shell_complete=lambda ctx, param, incomplete: _completions(incomplete))
def explain(code: str | None) -> None:
    """Explain a code or the exit codes; or list all.

    \b
    Examples:
      svcdoctor explain
      svcdoctor explain selector-value-mismatch
      svcdoctor explain exit-codes
    """
    from svcdoctor.catalogue import pages, title

    if code == "exit-codes":
        for exit_code, meaning in MEANING.items():
            click.echo(f"{exit_code:>3}  {meaning}")
        return
    if code is None:
        width = max(map(len, pages()))
        for slug in pages():
            click.echo(f"{slug.ljust(width)}  {title(slug)}")
        return
    page = pages().get(code)
    if page is None:
        raise click.UsageError(f"no such code: {code!r}{_nearest(code, pages())}; svcdoctor explain lists them all")
    click.echo(f"{page.code}\n")
    click.echo(page.text)
    if page.question:
        click.echo(f"\nStep {page.step}: {page.question}")


@cli.command()
@click.option("-n", "--namespace", metavar="NAMESPACE", help="Rights for this namespace alone")
@click.option("-A", "--all-namespaces", is_flag=True, help="Rights for every namespace (default)")
@click.option("--no-probe", is_flag=True, help="Without the rights that lookups inside Pods need")
def rbac(namespace: str | None, all_namespaces: bool, no_probe: bool) -> None:
    """Print the least rights that a diagnosis needs.

    YAML for kubectl apply: roles, and how to bind them.

    \b
    Examples:
      svcdoctor rbac -n shop | kubectl apply -f -
      svcdoctor rbac -A --no-probe
    """
    if namespace and all_namespaces:
        raise click.UsageError("--namespace and --all-namespaces exclude each other")
    from svcdoctor.rbac import rights

    click.echo(rights(namespace, probe=not no_probe), nl=False)


@cli.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      source <(svcdoctor completion bash)
      svcdoctor completion fish > ~/.config/fish/completions/svcdoctor.fish
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    # Bash's own version check of click runs bash; the script is the same for every bash that can use it.
    writer: Any = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell]
    complete = writer(cli, {}, "svcdoctor", "_SVCDOCTOR_COMPLETE")
    click.echo(complete.source_template % complete.source_vars(), nl=False)


# --- from words to a scope ---------------------------------------------------------------------------------------


def _service_names(names: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    for word in names:
        noun, slash, name = word.rpartition("/")
        if slash and noun.lower() not in SERVICE_NOUNS:
            raise click.UsageError(f"{word!r} is no Service; write NAME or svc/NAME, and -n for its namespace")
        if not name:
            raise click.UsageError(f"{word!r} names no Service")
        found.append(name)
    return tuple(dict.fromkeys(found))


def _labels(selector: str | None) -> tuple[Requirement, ...]:
    from svcdoctor.labels import parse

    if not (selector or "").strip():
        return ()
    try:
        return parse(selector or "")
    except ValueError as error:
        raise click.UsageError(
            f"--selector {selector!r} does not parse {error}; write KEY=VALUE, KEY!=VALUE, KEY in (A,B), KEY or !KEY"
        ) from None


def _pod(client: str | None, namespace: str) -> tuple[str, str] | None:
    if client is None:
        return None
    words = client.removeprefix("pod/").removeprefix("pods/")
    own, slash, name = words.partition("/")
    return (own, name) if slash else (namespace, words)


# --- the result --------------------------------------------------------------------------------------------------


def _say_that_there_are_none(cluster: Cluster, namespace: str, labelled: bool) -> None:
    """No Service in scope: as good as a mistyped name, unless there is such a namespace."""
    from svcdoctor.kube import KubeError
    from svcdoctor.objects import RESOURCES

    try:
        if namespace:
            cluster.get(RESOURCES["namespaces"], "", namespace, timeout=5.0)
    except KubeError as error:
        if error.reason == "not-found":
            raise click.UsageError(f"there is no namespace {namespace!r}; see kubectl get namespaces") from None
    where = f" in namespace {namespace}" if namespace else ""
    click.echo(f"svcdoctor: no Services{' with these labels' if labelled else ''} found{where}", err=True)


def _finish(diagnosis: Diagnosis, output: str, fail_on: str, no_color: bool, ascii_only: bool) -> NoReturn:
    report = _rendered(diagnosis, output, no_color, ascii_only)
    # JSON is UTF-8 wherever it is written; text is what the terminal can show.
    encoding = "utf-8" if output in ("json", "yaml") else getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        if sys.stdout is not None:
            sys.stdout.buffer.write(report.encode(encoding, "backslashreplace"))
            sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
    except OSError as error:
        _forget_stdout()
        click.echo(f"svcdoctor: the report cannot be written: {(error.strerror or str(error)).lower()}", err=True)
        raise SystemExit(Exit.FAIL) from None
    raise SystemExit(exit_code(diagnosis, fail_on))


def _forget_stdout() -> None:
    """The reader has gone, as `head` does: what it read was right, and there is nobody left to tell."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _rendered(diagnosis: Diagnosis, output: str, no_color: bool, ascii_only: bool) -> str:
    if output == "json":
        from svcdoctor.report import json

        return json.render(diagnosis)
    if output == "yaml":
        from svcdoctor.report import yaml

        return yaml.render(diagnosis)
    if output == "name":
        from svcdoctor.report import name

        return name.render(diagnosis)
    from svcdoctor.report import text

    style = text.Style(
        ascii=ascii_only or not _has_unicode(),
        color=not no_color and _wants_color(),
        wide=output == "wide",
    )
    return text.render(diagnosis, style)


def _log(requests: Sequence[Request]) -> None:
    click.echo(f"{len(requests)} requests, {sum(request.bytes for request in requests) / 1000:.0f} kB", err=True)
    for request in requests:
        path = request.path.partition("?")[0]
        took = f"{request.seconds * 1000:.0f} ms"
        click.echo(f"  {request.status} {request.method} {path} {took} {request.bytes} B", err=True)


def exit_code(diagnosis: Diagnosis, fail_on: str) -> Exit:
    from svcdoctor.finding import Status

    statuses = {finding.status for finding in diagnosis.findings()}
    if fail_on == "never":
        return Exit.OK
    counted = {
        "fail": {Status.FAIL},
        "warn": {Status.FAIL, Status.WARN},
        "unknown": {Status.FAIL, Status.WARN, Status.UNKNOWN},
    }[fail_on]
    if statuses & counted:
        return Exit.FAIL
    return Exit.UNKNOWN if Status.UNKNOWN in statuses or diagnosis.unreadable else Exit.OK


def _wants_color() -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return os.environ.get("CLICOLOR_FORCE", "") not in ("", "0") or bool(sys.stdout and sys.stdout.isatty())


def _has_unicode() -> bool:
    """Whether standard output can show the marks that statuses have."""
    from svcdoctor.report.text import GLYPHS

    try:
        "".join(GLYPHS.values()).encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


class Waiting:
    """One line on a terminal that says what is going on: shown after half a second, erased at the end."""

    DELAY = 0.5

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.words = ""
        self.shown = False
        self.timer: threading.Timer | None = None
        self.lock = threading.Lock()

    def __enter__(self) -> Waiting:
        if self.stream and self.stream.isatty() and os.environ.get("TERM") != "dumb":
            self.timer = threading.Timer(self.DELAY, self._show)
            self.timer.daemon = True
            self.timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.lock:
            if self.timer:
                self.timer.cancel()
            self.timer = None
            if self.shown:
                self.stream.write("\r\x1b[K")
                self.stream.flush()

    def progress(self) -> Progress:
        from svcdoctor.collect import Progress

        return Progress(self._doing)

    def _doing(self, words: str) -> None:
        with self.lock:
            self.words = words
            if self.shown:
                self._write()

    def _show(self) -> None:
        with self.lock:
            if self.timer:
                self.shown = True
                self._write()

    def _write(self) -> None:
        self.stream.write(f"\r\x1b[K{self.words}...")
        self.stream.flush()


def main() -> NoReturn:
    """The entry point of `svcdoctor`, `kubectl svcdoctor` and `python -m svcdoctor`."""
    program = os.path.basename(sys.argv[0])
    name = "kubectl svcdoctor" if program.startswith("kubectl-") else "svcdoctor"
    try:
        cli.main(prog_name=name, standalone_mode=False, complete_var="_SVCDOCTOR_COMPLETE")
    except click.UsageError as error:
        error.show()
        raise SystemExit(Exit.USAGE) from None
    except (click.Abort, KeyboardInterrupt):
        # Threads that still wait for a server are daemons: nobody waits for them.
        raise SystemExit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        _forget_stdout()
    except Exception as error:
        _explain_failure(error)
    raise SystemExit(Exit.OK)


def _explain_failure(error: Exception) -> NoReturn:
    """An error of the cluster or its configuration in one sentence; anything else is a bug and keeps its traceback."""
    kube = sys.modules.get("svcdoctor.kube")
    if kube is None or not isinstance(error, kube.KubeError):
        raise error
    click.echo(f"svcdoctor: {error.message}", err=True)
    if getattr(error, "missing", False):
        click.echo("svcdoctor: to see what it does without a cluster: svcdoctor demo", err=True)
    raise SystemExit(Exit.USAGE if error.reason == "not-found" else Exit.UNREACHABLE) from None
