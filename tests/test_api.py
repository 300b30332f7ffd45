"""`from svcdoctor import diagnose`: a program of somebody else, type-checked and run against an API server."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import svcdoctor
import svcdoctor.api
from simulate import simulate
from simulated_apiserver import SimulatedApiServer
from svcdoctor import KubeError, Status, diagnose

ROOT = Path(__file__).parent.parent
CART = {"kind": "Service", "metadata": {"name": "cart", "namespace": "shop"}, "spec": {"ports": [{"port": 80}]}}
FAULT = "svc-no-selector-no-endpoints"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedApiServer]:
    with SimulatedApiServer(simulate([CART])) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path, namespace="shop")))
        yield server


DOCUMENTED = {
    "module": textwrap.dedent("".join(re.findall(r"^(?: {4}.*)?\n", svcdoctor.api.__doc__ or "", re.MULTILINE))),
    "page": re.findall(r"```python\n(.*?)```", (ROOT / "docs/api.md").read_text(encoding="utf-8"), re.DOTALL)[0],
}


def test_the_documented_programs_type_check(tmp_path: Path) -> None:
    """As strictly as our own code, and with its cache: `make test` has filled it just before."""
    for name, program in DOCUMENTED.items():
        (tmp_path / f"{name}.py").write_text(program)
    checked = subprocess.run([sys.executable, "-m", "mypy", tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert checked.stdout == f"Success: no issues found in {len(DOCUMENTED)} source files\n", checked.stderr


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_documented_programs_run(name: str, server: SimulatedApiServer) -> None:
    done = subprocess.run([sys.executable, "-c", DOCUMENTED[name]], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith(f"cart {FAULT} "), done.stderr


def test_it_is_a_function_whatever_was_imported_before() -> None:
    """A module of the same name in the package would take its place as soon as it is loaded."""
    for name in svcdoctor.__all__:
        assert not (Path(svcdoctor.__file__).parent / f"{name}.py").exists()
    assert callable(svcdoctor.diagnose)
    with pytest.raises(AttributeError, match="module 'svcdoctor' has no attribute 'diagnos'"):
        svcdoctor.__getattr__("diagnos")


def test_a_service_by_name_and_all_of_the_contexts_namespace(server: SimulatedApiServer) -> None:
    for report in (diagnose("cart", namespace="shop", probe=False), diagnose(probe=False)):
        assert [(entry.name, entry.status, entry.cause) for entry in report.services] == [("cart", Status.FAIL, FAULT)]
    assert diagnose("cart", skip=[FAULT], probe=False).services[0].cause is None
    assert {entry.namespace for entry in diagnose(all_namespaces=True, probe=False).services} > {"shop", "default"}


def test_what_may_not_be_read_is_in_the_report(server: SimulatedApiServer) -> None:
    server.forbids = lambda resource, namespace: resource == "services"
    report = diagnose(probe=False)
    assert [gap.resource for gap in report.denied] == ["services", "services"]


def test_errors_have_a_reason_and_a_sentence(server: SimulatedApiServer, tmp_path: Path) -> None:
    with pytest.raises(KubeError, match=r"shpo.*not found") as raised:
        diagnose(namespace="shpo", probe=False)
    assert raised.value.reason == "not-found"
    with pytest.raises(KubeError, match="there is no Pod web in namespace shop") as raised:
        diagnose("cart", client=("shop", "web"))
    assert raised.value.reason == "not-found"
    with pytest.raises(KubeError, match="nowhere") as raised:
        diagnose(kubeconfig=str(tmp_path / "nowhere"))
    assert raised.value.reason == "config"


def test_a_call_that_contradicts_itself(server: SimulatedApiServer) -> None:
    with pytest.raises(ValueError, match="together with all_namespaces or selector"):
        diagnose("cart", all_namespaces=True)
    with pytest.raises(ValueError, match="which probe=False forbids"):
        diagnose("cart", client=("shop", "web"), probe=False)
    with pytest.raises(ValueError, match="selector 'a=b=c' does not parse at"):
        diagnose(selector="a=b=c")
    with pytest.raises(ValueError, match="no such code: slice-no-redy"):
        diagnose("cart", skip=["slice-no-redy"])
    assert not server.received
