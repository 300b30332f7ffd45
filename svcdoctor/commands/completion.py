"""`svcdoctor completion`: the script of a shell, and what it is answered."""

from __future__ import annotations

import os
import sys

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

VARIABLE = "_SVCDOCTOR_COMPLETE"
# What kubectl is told to do when there is nothing to offer: complete a file (cobra's default), or leave it at that.
FILES, NO_FILES = 0, 4


class Bash(BashComplete):
    """Words are parted as Bash parts them. click takes those of Readline, which also breaks at colons, so that no
    flag behind a context named `arn:aws:eks:...` could be completed; Readline then wants what stands behind the colon.
    """

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' line=${COMP_LINE:0:COMP_POINT} item word
    word=${line##*[[:space:]]}
    word=${word#--*=}
    COMPREPLY=()
    for item in $(COMP_LINE=$line %(complete_var)s=bash_complete "$1"); do
        case $item in
            plain,*) item=${item#plain,}; COMPREPLY+=("${item#"${word%%"${word##*:}"}"}") ;;
            file,*) compopt -o default ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def source(self) -> str:
        # Without the version check of click, which runs bash; the script is the same for every bash that can use it.
        return self.source_template % self.source_vars()

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)[1:]
        ends = not words or line[-1].isspace()
        return (words, "") if ends else (words[:-1], words[-1])


class Kubectl(ShellComplete):
    """kubectl's protocol for plugins: the words come as arguments; each line is a value, a tab and what it means; the
    last one is a directive of cobra.
    """

    def get_completion_args(self) -> tuple[list[str], str]:
        *words, incomplete = sys.argv[1:] or [""]
        return words, incomplete

    def complete(self) -> str:
        items = self.get_completions(*self.get_completion_args())
        plain = [self.format_completion(item) for item in items if item.type == "plain"]
        return "\n".join([*plain, f":{NO_FILES if len(plain) == len(items) else FILES}"])

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.value}\t{item.help}" if item.help else item.value


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": ZshComplete, "fish": FishComplete}


@click.command()
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      source <(svcdoctor completion bash)
      source <(svcdoctor completion zsh)
      svcdoctor completion fish > ~/.config/fish/completions/svcdoctor.fish

    kubectl completes `kubectl svcdoctor` by itself, where the package is installed.
    """
    click.echo(SHELLS[shell](click.Group(), {}, "svcdoctor", VARIABLE).source(), nl=False)


def prepare() -> None:
    """Before click answers a shell: with our own Bash, and nothing on standard error, where a prompt stands."""
    add_completion_class(Bash)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends


def answer_kubectl() -> None:
    from svcdoctor.cli import cli

    prepare()
    click.echo(Kubectl(cli, {}, "kubectl svcdoctor", VARIABLE).complete())
