"""The entry point of `svcdoctor`, `kubectl svcdoctor` and `python -m svcdoctor`.

Help and version are asked for most often and by people who wait: they are printed before anything is imported. The text
of help.txt is what cli.py would print; a test keeps them equal.
"""

import sys


def main() -> None:
    match sys.argv[1:]:
        case ["--version"]:
            from svcdoctor import __version__

            print(f"svcdoctor {__version__}")
        case ["-h" | "--help"] if not _is_kubectl_plugin():
            with open(f"{__file__.rpartition('/')[0]}/help.txt", encoding="utf-8") as text:
                sys.stdout.write(text.read())
        case _:
            from svcdoctor import cli

            cli.main()


def complete_for_kubectl() -> None:
    """The entry point of `kubectl_complete-svcdoctor`, which kubectl runs when tab is pressed."""
    from svcdoctor.commands.completion import answer_kubectl

    answer_kubectl()


def _is_kubectl_plugin() -> bool:
    return "kubectl-" in sys.argv[0]


if __name__ == "__main__":
    main()
