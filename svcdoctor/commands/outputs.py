"""Which reports were asked for with `-o FORMAT[=FILE]`, and writing them to files."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from svcdoctor.commands.words import nearest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Output(NamedTuple):
    format: str
    path: str = ""  # "" is standard output


class OutputType(click.ParamType[Output]):
    """A format, or a format and the file that it is written to. `-` is standard output too."""

    name = "output"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Output:
        if isinstance(value, Output):
            return value
        from svcdoctor.report import FORMATS

        name, given, path = value.partition("=")
        if name not in FORMATS:
            close = nearest(name, FORMATS) or f"; choose from {', '.join(FORMATS)}"
            self.fail(f"no such format: {name!r}{close}", param, ctx)
        if given and not path:
            self.fail(f"{value!r} names no file; write {name}=FILE, or {name} for standard output", param, ctx)
        # Said now, and not after minutes of reading a cluster.
        directory = os.path.dirname(path) or "."
        if os.path.isdir(path):
            self.fail(f"{path} is a directory; name a file in it", param, ctx)
        if not os.path.isdir(directory):
            self.fail(f"{path} cannot be written: there is no directory {directory}", param, ctx)
        return Output(name, "" if path == "-" else path)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from svcdoctor.report import FORMATS

        return [CompletionItem(name, help=form.about) for name, form in FORMATS.items() if name.startswith(incomplete)]


def at_most_one_on_stdout(
    ctx: click.Context, param: click.Parameter, outputs: tuple[Output, ...]
) -> tuple[Output, ...]:
    printed = [output.format for output in outputs if not output.path]
    if len(printed) > 1:
        example = f"-o {printed[0]} -o {printed[1]}=FILE"
        raise click.BadParameter(f"only one of {' and '.join(printed)} can be printed; write {example}", ctx, param)
    paths = [os.path.realpath(output.path) for output in outputs if output.path]
    twice = next((output.path for output in outputs if paths.count(os.path.realpath(output.path)) > 1), None)
    if twice:
        raise click.BadParameter(f"{twice} is named for two formats; each needs a file of its own", ctx, param)
    return outputs


def write_file(path: str, content: bytes) -> bool:
    """Whether the file was written; if not, the reason is said and the file is what it was before."""
    try:
        _replace(path, content)
    except OSError as error:
        click.echo(f"svcdoctor: {path} cannot be written: {reason(error)}", err=True)
        return False
    return True


def _replace(path: str, content: bytes) -> None:
    """Beside it first, then in its place at once: a reader sees the old file or the new one."""
    if os.path.exists(path) and not os.path.isfile(path):
        # A device or a pipe has nothing to keep and no place to be put into.
        with open(path, "wb") as sink:
            sink.write(content)
        return
    path = os.path.realpath(path)  # a link stays one
    beside = f"{path}.{os.getpid()}.part"
    try:
        with open(beside, "xb") as file:
            with suppress(FileNotFoundError):  # who might read the old one may read the new one
                os.fchmod(file.fileno(), os.stat(path).st_mode & 0o777)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)


def reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
