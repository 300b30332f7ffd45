"""What a shell offers when tab is pressed: driven as bash, zsh, fish and kubectl do, against an API server."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from fake_apiserver import Exchange
from svcdoctor.cli import cli
from svcdoctor.commands.completion import VARIABLE, Bash
from test_cli import BROKEN, FAULT, Doctor, serving

ARN = "arn:aws:eks:eu-central-1:111122223333:cluster/shop"
SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[Doctor]:
    with serving(BROKEN) as server:
        yield Doctor(server, tmp_path)


Offered = Callable[[str], set[str]]


@pytest.fixture
def offered(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> Offered:
    """What our bash script is answered for a line; in this process, for there are many."""
    monkeypatch.setenv("KUBECONFIG", str(doctor.kubeconfig))

    def answer(line: str) -> set[str]:
        monkeypatch.setenv("COMP_LINE", line)
        return {row.partition(",")[2] for row in Bash(cli, {}, "svcdoctor", VARIABLE).complete().splitlines()}

    return answer


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_the_one_that_click_would_print(doctor: Doctor, shell: str) -> None:
    done = doctor("completion", shell)
    assert "_SVCDOCTOR_COMPLETE" in done.stdout
    assert done.stdout == doctor(_SVCDOCTOR_COMPLETE=f"{shell}_source").stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("svcdoctor exp", {"explain", "export"}),
        ("svcdoctor explain slice-no-r", {"slice-no-ready"}),
        (f"svcdoctor diagnose --skip {FAULT},slice-no-r", {f"{FAULT},slice-no-ready"}),
        ("svcdoctor -o j", {"json", "jsonl", "junit"}),
        ("svcdoctor diagnose --kubeconfig /etc/ku", {"/etc/ku"}),
    ],
)
def test_what_needs_no_cluster_asks_none(doctor: Doctor, offered: Offered, line: str, expected: set[str]) -> None:
    assert offered(line) == expected
    assert not doctor.server.received


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("svcdoctor diagnose ", {"cart", "web"}),
        ("svcdoctor diagnose c", {"cart"}),
        ("svcdoctor diagnose web ", {"cart"}),
        ("svcdoctor diagnose svc/", {"svc/cart", "svc/web"}),
        ("svcdoctor diagnose deploy/", set()),
        ("svcdoctor diagnose -n store ", {"stock"}),
        ("svcdoctor diagnose --namespace=store s", {"stock"}),
        ("svcdoctor diagnose -A ", set()),
        ("svcdoctor diagnose -n s", {"shop", "store"}),
        ("svcdoctor -n s", {"shop", "store"}),
        ("svcdoctor rbac --namespace=sh", {"shop"}),
        ("svcdoctor diagnose --context ", {"test", ARN}),
        (f"svcdoctor diagnose --context {ARN} w", {"web"}),
        ("svcdoctor diagnose --context nowhere ", set()),
        ("svcdoctor diagnose --context test --context ", {ARN}),
        ("svcdoctor wait -n store ", {"stock"}),
    ],
)
def test_names_of_the_cluster(doctor: Doctor, offered: Offered, line: str, expected: set[str]) -> None:
    add_context(doctor, ARN)
    assert offered(line) == expected


def test_pods_to_look_names_up_from(doctor: Doctor, offered: Offered) -> None:
    def pods(namespace: str) -> set[str]:
        return {pod["metadata"]["name"] for pod in doctor.server.documents("pods", namespace)}

    assert offered("svcdoctor diagnose web --from ") == pods("shop")
    assert offered("svcdoctor --from store/stock") == {f"store/{name}" for name in pods("store")}


def test_one_list_and_no_more_of_an_object_than_its_name(doctor: Doctor, offered: Offered) -> None:
    offered("svcdoctor diagnose -n store ")
    (request,) = doctor.server.received
    assert request.path == "/api/v1/namespaces/store/services"
    assert "PartialObjectMetadataList" in request.header("accept")


def test_a_server_that_refuses_or_does_not_answer_offers_nothing(doctor: Doctor, offered: Offered) -> None:
    doctor.server.forbids = lambda resource, namespace: resource == "services"
    assert offered("svcdoctor diagnose ") == set()
    doctor.server.on("/api/v1/namespaces", Exchange.hang)
    assert offered("svcdoctor diagnose -n ") == set()
    doctor.kubeconfig.write_text("contexts: 7")
    assert offered("svcdoctor diagnose --context ") == set()
    assert offered("svcdoctor diagnose ") == set()


def test_nothing_is_said_between_the_words_of_a_prompt(doctor: Doctor) -> None:
    """Not even when the command is asked by a script that is not its own."""
    for line in ({"COMP_LINE": "svcdoctor diagnose --context nowhere "}, {}):
        process = doctor.start(env={"_SVCDOCTOR_COMPLETE": "bash_complete", **line})
        assert process.communicate(timeout=60) == (b"\n" if line else b"", b"")


# --- as the shells do it -----------------------------------------------------------------------------------------


def command(doctor: Doctor, directory: Path, name: str = "svcdoctor", function: str = "main") -> str:
    """An executable as an installation makes it; the PATH that finds it."""
    script = directory / name
    script.write_text(f"#!{sys.executable}\nfrom svcdoctor.__main__ import {function}\n{function}()\n")
    script.chmod(0o755)
    return f"{directory}:{doctor.environment['PATH']}"


PRESS_TAB = """
source <(svcdoctor completion bash)
compopt() { printf "compopt %s %s\n" "$@"; }  # it works only while the shell completes
COMP_LINE=$1 COMP_POINT=${#1}
_svcdoctor_completion svcdoctor
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("svcdoctor diagnose ", "cart\nweb\n"),
        (f"svcdoctor diagnose --context {ARN} w", "web\n"),
        # What stands before the last colon is no part of the word that bash replaces.
        ("svcdoctor diagnose --context arn:aws:e", "eks:eu-central-1:111122223333:cluster/shop\n"),
        ("svcdoctor diagnose --context=arn:aws:e", "eks:eu-central-1:111122223333:cluster/shop\n"),
        ("svcdoctor diagnose --kubeconfig ~/.k", "compopt -o default\n\n"),
    ],
)
def test_bash(doctor: Doctor, tmp_path: Path, line: str, expected: str) -> None:
    add_context(doctor, ARN)
    environment = doctor.environment | {"PATH": command(doctor, tmp_path)}
    bash = ["bash", "--norc", "-c", PRESS_TAB, "bash", line]
    done = subprocess.run(bash, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (expected, "")


@pytest.mark.parametrize(
    ("shell", "words", "position", "expected"),
    [
        ("zsh", "svcdoctor diagnose -n store s", "4", "plain\nstock\n_\n"),
        ("fish", "svcdoctor diagnose -n store s", "s", "plain,stock\n"),
    ],
)
def test_zsh_and_fish(doctor: Doctor, shell: str, words: str, position: str, expected: str) -> None:
    """By the protocol between click's scripts and the command."""
    done = doctor(_SVCDOCTOR_COMPLETE=f"{shell}_complete", COMP_WORDS=words, COMP_CWORD=position)
    assert (done.stdout, done.stderr) == (expected, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["diagnose", ""], "cart\nweb\n:4\n"),
        (["diagnose", "-n", "store", ""], "stock\n:4\n"),
        (["diagnose", "--all-n"], "--all-namespaces\tEvery namespace\n:4\n"),
        (["diagnose", "--kubeconfig", ""], ":0\n"),
        (["diagnose", "--context", "nowhere", ""], ":4\n"),
    ],
    ids=shlex.join,
)
def test_kubectl_asks_for_words(doctor: Doctor, tmp_path: Path, words: list[str], expected: str) -> None:
    command(doctor, tmp_path, "kubectl_complete-svcdoctor", "complete_for_kubectl")
    asked = [tmp_path / "kubectl_complete-svcdoctor", *words]
    done = subprocess.run(asked, env=doctor.environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (expected, "")


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl")
def test_kubectl_finds_the_plugin_and_its_completion(doctor: Doctor, tmp_path: Path) -> None:
    command(doctor, tmp_path, "kubectl-svcdoctor")
    path = command(doctor, tmp_path, "kubectl_complete-svcdoctor", "complete_for_kubectl")
    kubectl = ["kubectl", "__complete", "svcdoctor", "diagnose", "-n", "store", ""]
    done = subprocess.run(
        kubectl, env={**os.environ, **doctor.environment, "PATH": path}, capture_output=True, text=True
    )
    assert done.stdout == "stock\n:4\n", done.stderr


def add_context(doctor: Doctor, name: str) -> None:
    """One more context for the same server: of a name with colons, as EKS gives them."""
    document = yaml.safe_load(doctor.kubeconfig.read_text())
    document["contexts"].append(document["contexts"][0] | {"name": name})
    doctor.kubeconfig.write_text(yaml.safe_dump(document))
