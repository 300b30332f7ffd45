"""Manifests before they are applied: what is read, what is said of it, and what is not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from simulate import simulate
from simulated_apiserver import SimulatedApiServer
from suites import OFFLINE_NAMESPACE, SuiteCase, load_suites
from svcdoctor.cli import cli
from svcdoctor.diagnosis import Scope
from svcdoctor.finding import Diagnosis, Role, Status
from svcdoctor.manifests.files import field_of, read
from svcdoctor.manifests.rehearsal import alone
from svcdoctor.objects import RESOURCE_OF_KIND

HERE = Path(__file__).parent
GOLDEN = sorted((HERE / "manifests").glob("*.yaml"))
SHAPES = sorted((HERE / "healthy").glob("*.yaml"))
SCHEMA = Draft202012Validator(json.loads(files("svcdoctor").joinpath("report/schema.json").read_text()))
FAULTS = (Status.FAIL, Status.WARN, Status.UNKNOWN)
CART = """\
apiVersion: v1
kind: Service
metadata: {name: cart}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart}
spec:
  replicas: 2
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      containers:
        - name: web
          image: registry.example/cart:1
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {tcpSocket: {port: http}}
"""
SLIP = CART.replace("selector: {app: cart}", "selector: {app: crat}", 1)

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "cart.yaml") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def run(*arguments: str, stdin: str = "") -> Result:
    """The command, where it has no kubeconfig and no cluster."""
    env = {"KUBECONFIG": "/nonexistent", "HOME": "/nonexistent"}
    return CliRunner().invoke(cli, ["diagnose", *arguments], input=stdin, env=env, terminal_width=200)


# --- what is said -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_report_names_file_and_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    result = run("-f", path.name)
    golden = path.with_suffix(".txt")
    if os.environ.get("SVCDOCTOR_UPDATE"):
        golden.write_text(result.stdout)
    assert result.stdout == golden.read_text(), path
    assert result.exit_code == (4 if path.stem == "nothing_behind" else 1), result.stderr


def test_what_is_sound_is_one_line_and_exit_0(write: Write) -> None:
    result = run("-f", write(CART))
    assert result.stdout == "✓ default/cart   ClusterIP   http 80 -> http   2 of 2 ready\n\n1 Service: 1 pass\n"
    assert (result.exit_code, result.stderr) == (0, "")


def test_json_has_the_lines_as_data_and_nothing_that_was_made_up(write: Write) -> None:
    path = write(SLIP)
    result = run("-f", path, "-o", "json")
    report = json.loads(result.stdout)
    SCHEMA.validate(report)
    (service,) = report["services"]
    assert service["clusterIPs"] == [] and "before" not in service
    cause = service["findings"][0]
    assert (cause["code"], cause["location"]) == ("selector-value-mismatch", {"file": path, "line": 5})
    assert [item["location"]["line"] for item in cause["evidence"]] == [5, 15]
    assert cause["remedies"][0]["do"].endswith(f"{path}:5 .spec.selector.app crat -> cart")
    assert cause["remedies"][0]["command"] == ""
    assert "198.1" not in result.stdout


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("github", "::error file=cart a%2Cb.yaml,line=9,title="), ("sarif", '"uri": "cart%20a%2Cb.yaml"')],
)
def test_tools_that_read_files_are_told_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, wanted: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cart a,b.yaml").write_text((HERE / "manifests" / "selector_and_port.yaml").read_text())
    assert wanted in run("-f", "cart a,b.yaml", "-o", name).stdout


def test_what_the_manifests_do_not_hold_is_not_condemned(write: Write) -> None:
    caller = CART.replace(
        "image: registry", 'env: [{name: DB, value: "db.data.svc.cluster.local:5432"}]\n          image: registry'
    )
    result = run("-f", write(caller))
    assert result.exit_code == 0
    assert "namespace data" in result.stderr and "--with-cluster" in result.stderr


def test_names_labels_and_namespaces_choose_among_the_services(write: Write) -> None:
    path = write(f"{SLIP}---\n{CART.replace('name: cart', 'name: cart, namespace: other, labels: {team: a}')}")
    assert "1 Service: 1 pass" in run("-f", path, "-n", "other").stdout
    assert "1 Service: 1 pass" in run("-f", path, "-l", "team=a").stdout
    assert "1 Service: 1 fail" in run("-f", path, "-n", "shop").stdout  # of objects that name none
    assert "2 Services: 1 pass, 1 fail" in run("-f", path, "cart").stdout
    absent = run("-f", path, "crat")
    assert absent.exit_code == 2 and "no Service 'crat' in these manifests; did you mean cart?" in absent.stderr


# --- what is read -------------------------------------------------------------------------------------------------


def keys(*paths: str, **options: Any) -> list[str]:
    return ["/".join(manifest.key) for manifest in read(paths, **options).objects]


def test_standard_input(write: Write) -> None:
    result = run("-f", "-", stdin=SLIP)
    assert "(stdin:5)" in result.stdout


def test_json_and_lists(write: Write) -> None:
    items = [document for document in yaml.safe_load_all(SLIP)]
    path = write(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1), "list.json")
    manifests = read([path]).objects
    assert [manifest.key for manifest in manifests] == [
        ("services", "default", "cart"),
        ("deployments", "default", "cart"),
    ]
    lines = Path(path).read_text().splitlines()
    assert "crat" in lines[manifests[0].location(field_of(".spec.selector.app")).line - 1]
    assert (
        "containerPort"
        in lines[manifests[1].location(field_of(".spec.template.spec.containers[web].ports[].containerPort")).line - 1]
    )


def test_a_directory_is_read_in_order_and_deeper_where_asked(write: Write, tmp_path: Path) -> None:
    service, deployment = CART.split("---\n")
    write(deployment, "k8s/b.yml")
    write(service, "k8s/a.yaml")
    write(service.replace("cart", "deep"), "k8s/more/c.json")
    write("not a manifest", "k8s/README.md")
    directory = str(tmp_path / "k8s")
    assert keys(directory) == ["services/default/cart", "deployments/default/cart"]
    assert keys(directory, recursive=True)[-1] == "services/default/deep"


def test_of_an_object_given_twice_the_last_one_counts(write: Write) -> None:
    path = write(f"{SLIP}---\n{CART}")
    objects, warnings = read([path])
    assert [manifest.location().line for manifest in objects] == [23, 30]
    assert warnings[0] == f"service/cart is given twice, at {path}:1 and {path}:23; the second one counts"
    assert run("-f", path).exit_code == 0


@pytest.mark.parametrize(
    "document",
    [
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: cart}\n",
        "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: cart}\n",
        "apiVersion: shop.example/v1\nkind: Cart\nspec: {}\n",
        "# nothing\n",
        "---\n---\n",
    ],
)
def test_kinds_that_nothing_depends_on_are_passed_over_in_silence(write: Write, document: str) -> None:
    assert read([write(document)]) == ([], [])


def test_what_is_no_object_is_left_out_with_a_warning(write: Write) -> None:
    path = write("replicaCount: 1\n---\n" + CART)
    objects, (warning,) = read([path])
    assert len(objects) == 2
    assert warning == f"{path}:1: no Kubernetes object, for it has no apiVersion or no kind; it is left out"


def test_anchors_and_merge_keys_and_what_only_looks_like_a_date(write: Write) -> None:
    text = """\
apiVersion: v1
kind: Service
metadata:
  name: cart
  labels: &labels {app: cart, since: 2024-01-01, at: 22:22}
spec:
  selector:
    <<: *labels
    app: other
"""
    (service,) = read([write(text)]).objects
    assert service.item.spec.selector == {"app": "other", "since": "2024-01-01", "at": "22:22"}
    assert service.location(["spec", "selector", "app"]).line == 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [1\n", "{path}:3:1: not valid YAML: "),
        ("a:\n\tb: 1\n", "{path}:2:1: not valid YAML: "),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  type: NodePort\n  type: ClusterIP\n",
            "{path}:6:3: the key type is written twice: it stands in line 5 already; keep one of them",
        ),
        ("apiVersion: v1\nkind: Service\nmetadata: {}\n", "{path}:1: this Service has no metadata.name; give it one"),
        (
            CART.replace("port: 80,", "port: '80',"),
            "{path}:6: service/cart .spec.ports[0].port: text, where a number belongs",
        ),
        (
            CART.replace("image: registry.example/cart:1", "env: [{name: A, value: 1}]"),
            "{path}:19: deployment/cart .spec.template.spec.containers[0].env[0].value: "
            "a number, where text (put it in quotes) belongs",
        ),
        ("{{ if .Values.a }}\nkind: Service\n", "{path}:1:"),
        ("kind: \x00\n", "{path}: not valid YAML: it holds characters that are not text"),
    ],
)
def test_an_error_says_where_and_what(write: Write, text: str, said: str) -> None:
    path = write(text)
    result = run("-f", path)
    assert result.exit_code == 2
    assert said.format(path=path) in result.stderr
    assert result.stdout == ""


def test_files_that_are_not_there_and_options_that_do_not_go_together(tmp_path: Path, write: Write) -> None:
    for arguments, said in (
        (["-f", "/nonexistent.yaml"], "/nonexistent.yaml cannot be read: no such file or directory"),
        (["-f", str(tmp_path)], "holds no file that ends in .yaml, .yml, .json; -R looks into its subdirectories"),
        (
            ["-f", "https://shop.example/cart.yaml"],
            "curl -fsSL https://shop.example/cart.yaml | svcdoctor diagnose -f -",
        ),
        (["-R"], "--recursive goes with -f FILE"),
        (["--with-cluster"], "--with-cluster goes with -f FILE"),
        (["-f", "x", "--from", "pod"], "--from looks names up in a cluster as it is"),
    ):
        result = run(*arguments)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


# --- no false alarms ----------------------------------------------------------------------------------------------

# Suites whose cases rest on objects alone: nothing is observed besides, and no name is looked up.
CASES = [
    case
    for suite in load_suites(HERE / "checks")
    for case in suite.cases
    if not any(block.role in ("yaml observed", "probe") for block in case.blocks)
]


def judged(documents: list[dict[str, Any]], tmp_path: Path) -> Diagnosis:
    path = tmp_path / "manifests.json"
    path.write_bytes(b"\n---\n".join(msgspec.json.encode(_complete(document)) for document in documents))
    return alone(read([str(path)]).objects, Scope(), datetime.now(UTC)).diagnosis


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    resource = RESOURCE_OF_KIND.get(document["kind"])
    version = "/".join(filter(None, (resource.group, resource.version))) if resource else "v1"
    return {"apiVersion": version, **document}


def said(diagnosis: Diagnosis) -> list[str]:
    return [
        f"{finding.status} {finding.code} {finding.subject}: {finding.message}"
        for finding in diagnosis.findings()
        if finding.status in FAULTS
    ]


@pytest.mark.parametrize("path", SHAPES, ids=lambda path: path.stem)
def test_healthy_shapes_are_silent(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("{ns}", OFFLINE_NAMESPACE)
    documents = [document for document in yaml.safe_load_all(text) if document]
    for document in documents:
        document["metadata"].setdefault("namespace", OFFLINE_NAMESPACE)
    diagnosis = judged(documents, tmp_path)
    assert said(diagnosis) == []
    assert diagnosis.services


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[SuiteCase, Diagnosis]]:
    place = tmp_path_factory.mktemp("cases")
    return [(case, judged(case.manifests(), place)) for case in CASES]


def test_no_code_is_reported_that_a_suite_does_not_expect(verdicts: list[tuple[SuiteCase, Diagnosis]]) -> None:
    alarms = [
        f"{case.where} {finding.status} {finding.code}: {finding.message}"
        for case, diagnosis in verdicts
        for finding in diagnosis.findings()
        if finding.status in FAULTS and finding.code not in {expected.code for expected in case.findings()}
    ]
    assert not alarms, "\n".join(alarms)
    assert len(verdicts) > 400


# Causes that manifests alone prove, in every case of the suites that rests on them.
PROVEN = HERE / "manifests" / "proven_causes.txt"


def test_the_causes_that_objects_prove_are_found(verdicts: list[tuple[SuiteCase, Diagnosis]]) -> None:
    missed, found = set(), set()
    for case, diagnosis in verdicts:
        causes = {finding.code for finding in diagnosis.findings() if finding.role is Role.CAUSE}
        for expected in case.findings():
            if expected.role == "cause" and expected.status in ("fail", "warn"):
                (found if expected.code in causes else missed).add(expected.code)
    proven = sorted(found - missed)
    if os.environ.get("SVCDOCTOR_UPDATE"):
        PROVEN.write_text("".join(f"{code}\n" for code in proven))
    assert proven == PROVEN.read_text().split()
    assert len(proven) == 83


# --- over a cluster -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The kubeconfig of a cluster where web and api are well, and cart has lost its selector."""
    documents = [document for name in ("web", "api", "cart") for document in app(name)]
    documents[-2]["spec"]["selector"] = {"app": "basket"}
    with SimulatedApiServer(simulate(documents)) as server:
        yield str(server.kubeconfig(tmp_path_factory.mktemp("home"), namespace="shop"))


def app(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(CART.replace("cart", name)))


def over(cluster: str, text: str, *arguments: str) -> Result:
    env = {"KUBECONFIG": cluster, "HOME": "/nonexistent"}
    return CliRunner().invoke(cli, ["diagnose", "-f", "-", "--with-cluster", *arguments], input=text, env=env)


def test_what_breaks_heals_and_is_new(cluster: str) -> None:
    web, cart, new = (CART.replace("cart", name) for name in ("web", "cart", "new"))
    result = over(cluster, "---\n".join([web.replace("{app: web}", "{app: wbe}", 1), cart, new]))
    assert result.exit_code == 1, result.stderr
    heads = [line.split("   ") for line in result.stdout.splitlines() if line.startswith(("✗", "✓", "?", "!"))]
    assert [(head[0].split()[1], head[-1]) for head in heads] == [
        ("shop/web", "was pass"),
        ("shop/cart", "was fail (selector-value-mismatch)"),
        ("shop/new", "new"),
    ]
    assert "(stdin:5)" in result.stdout and "stdin:5 .spec.selector.app wbe -> web; then it passes" in result.stdout
    assert result.stdout.endswith("by these manifests: 1 broken, 1 healed, 1 new, 1 as before\n")


def test_applying_what_is_there_changes_nothing(cluster: str) -> None:
    report = json.loads(over(cluster, CART.replace("cart", "web"), "-o", "json").stdout)
    SCHEMA.validate(report)
    assert all(entry["before"] == {"status": entry["status"], "cause": entry["cause"]} for entry in report["services"])
    assert {entry["name"]: entry["status"] for entry in report["services"]} == {
        "api": "pass",
        "cart": "fail",
        "web": "pass",
    }


def test_a_label_that_a_rollout_takes_away_breaks_the_service_that_is_not_in_the_manifests(cluster: str) -> None:
    deployment = CART.replace("cart", "web").split("---\n")[1].replace("{app: web}", "{app: website}")
    result = over(cluster, deployment, "web")
    assert result.exit_code == 1
    assert "was pass" in result.stdout and "deployment/web has app=website" in result.stdout


def test_more_replicas_need_no_new_pods_for_those_that_are_there(cluster: str) -> None:
    result = over(cluster, CART.replace("cart", "web").replace("replicas: 2", "replicas: 5"), "web", "-o", "json")
    (service,) = json.loads(result.stdout)["services"]
    pods = [endpoint["pod"] for endpoint in service["endpoints"]]
    assert len(pods) == 5 and sum("-then-" in pod for pod in pods) == 3
