"""The real command, as a subprocess, against an API server that serves a simulated cluster."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fake_apiserver import Exchange, failure, reply
from measured import MEASURED
from signals import as_in_a_terminal
from simulate import simulate
from simulated_apiserver import SimulatedApiServer

ROOT = Path(__file__).parent.parent
FAULT = "svc-no-selector-no-endpoints"
ESCAPE = "\x1b"


def app(name: str, namespace: str, *, replicas: int = 2) -> list[dict[str, Any]]:
    """A Deployment and a Service before it, as they should be."""
    container = {
        "name": "web",
        "image": "registry.example/web:1",
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
    }
    labels = {"app": name}
    return [
        {
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        },
        {
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace, "labels": {**labels, "tier": namespace}},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        },
    ]


def orphan(name: str, namespace: str) -> dict[str, Any]:
    """A Service that nothing stands behind: one `fail` with the code FAULT."""
    metadata = {"name": name, "namespace": namespace, "labels": {"tier": namespace}}
    return {"kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80, "targetPort": 8080}]}}


HEALTHY = [*app("web", "shop"), *app("stock", "store")]
BROKEN = [*HEALTHY, orphan("cart", "shop")]


class Doctor:
    """Runs the command as a person does who has a kubeconfig for this server, and no other."""

    def __init__(self, server: SimulatedApiServer, home: Path) -> None:
        self.server = server
        self.kubeconfig = server.kubeconfig(home, namespace="shop")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "KUBECONFIG": str(self.kubeconfig),
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            "COLUMNS": "80",
            **MEASURED,
        }

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        environment = self.environment | options.pop("env", {})
        for name in ("stdout", "stderr"):
            options.setdefault(name, subprocess.PIPE)
        command = [sys.executable, "-m", "svcdoctor", *arguments]
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, cwd=ROOT, preexec_fn=as_in_a_terminal, **options
        )

    def __call__(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, env=env)
        out, error = process.communicate(timeout=60)
        done = subprocess.CompletedProcess(process.args, process.returncode, out.decode(), error.decode())
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def report(self, *arguments: str, **env: str) -> dict[str, Any]:
        done = self("diagnose", "-o", "json", *arguments, **env)
        assert done.stdout, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document


def serving(manifests: list[dict[str, Any]], observed: list[dict[str, Any]] | None = None) -> SimulatedApiServer:
    return SimulatedApiServer(simulate(manifests, observed))


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[Doctor]:
    with serving(BROKEN) as server:
        yield Doctor(server, tmp_path)


@pytest.fixture
def healthy(tmp_path: Path) -> Iterator[Doctor]:
    with serving(HEALTHY) as server:
        yield Doctor(server, tmp_path)


def names(report: dict[str, Any]) -> list[str]:
    return [f"{entry['namespace']}/{entry['name']}" for entry in report["services"]]


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {f"{entry['namespace']}/{entry['name']}": entry["status"] for entry in report["services"]}


# --- which Services ----------------------------------------------------------------------------------------------


def test_every_service_of_the_cluster(doctor: Doctor) -> None:
    found = statuses(doctor.report("-A", "--no-probe"))
    assert found == {
        "default/kubernetes": "pass",
        "kube-system/kube-dns": "pass",
        "shop/cart": "fail",
        "shop/web": "pass",
        "store/stock": "pass",
    }


def test_without_a_namespace_the_one_of_the_context(doctor: Doctor) -> None:
    assert names(doctor.report("--no-probe")) == ["shop/cart", "shop/web"]


def test_a_namespace(doctor: Doctor) -> None:
    assert names(doctor.report("-n", "store", "--no-probe")) == ["store/stock"]


@pytest.mark.parametrize("name", ["web", "svc/web", "service/web", "services/web"])
def test_a_service_by_name(doctor: Doctor, name: str) -> None:
    assert names(doctor.report(name, "--no-probe")) == ["shop/web"]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("tier=shop", ["shop/cart", "shop/web"]),
        ("tier==shop,app=web", ["shop/web"]),
        ("tier in (shop, store), app notin (web)", ["shop/cart", "store/stock"]),
        ("tier,!app", ["shop/cart"]),
        ("tier,app!=stock", ["shop/cart", "shop/web"]),
    ],
)
def test_services_by_their_labels(doctor: Doctor, selector: str, expected: list[str]) -> None:
    assert names(doctor.report("-A", "-l", selector, "--no-probe")) == expected


def test_a_name_that_is_not_there_brings_the_nearest_and_the_namespace_that_has_it(doctor: Doctor) -> None:
    done = doctor("diagnose", "stock", "weeb", "--no-probe")
    assert done.returncode == 1
    assert "shop/stock   no such Service" in done.stdout
    assert "exists in namespace store" in done.stdout
    assert "svcdoctor diagnose stock -n store" in done.stdout
    assert "svcdoctor diagnose web -n shop" in done.stdout


def test_a_namespace_that_is_not_there_is_an_error_and_no_clean_bill(doctor: Doctor) -> None:
    done = doctor("diagnose", "-n", "shpo", "--no-probe")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no namespace 'shpo'" in done.stderr


def test_a_namespace_without_services_says_so(tmp_path: Path) -> None:
    with serving([{"kind": "Namespace", "metadata": {"name": "empty"}}]) as server:
        done = Doctor(server, tmp_path)("diagnose", "-n", "empty", "--no-probe")
    assert (done.returncode, done.stdout) == (0, "0 Services: none\n")
    assert done.stderr == "svcdoctor: no Services found in namespace empty\n"


def test_svcdoctor_alone_diagnoses(doctor: Doctor) -> None:
    alone = doctor("-n", "shop", "--no-probe")
    assert alone.stdout == doctor("diagnose", "-n", "shop", "--no-probe").stdout
    assert (alone.returncode, alone.stderr) == (1, "")


# --- formats -----------------------------------------------------------------------------------------------------


def test_text_puts_what_is_broken_first_and_the_summary_last(doctor: Doctor) -> None:
    lines = doctor("diagnose", "-A", "--no-probe").stdout.splitlines()
    assert lines[0].startswith("✗ shop/cart")
    assert lines[-1] == "5 Services: 4 pass, 1 fail"
    assert sum(line.startswith("✓") for line in lines) == 4


def test_wide_shows_each_step_of_a_healthy_service_with_its_command(doctor: Doctor) -> None:
    done = doctor("diagnose", "web", "-o", "wide", "--no-probe")
    for command in ("get svc web -o wide", "get endpointslices -l", "get pods --show-labels", "describe svc web"):
        assert f"$ kubectl -n shop {command}" in done.stdout


def test_yaml_says_what_json_says(doctor: Doctor) -> None:
    done = doctor("diagnose", "-o", "yaml", "--no-probe")
    report = doctor.report("--no-probe")
    assert yaml.safe_load(done.stdout) | {"observedAt": None} == report | {"observedAt": None}


def test_name_prints_what_is_not_healthy(doctor: Doctor) -> None:
    assert doctor("diagnose", "-o", "name", "--no-probe").stdout == "service/cart\n"


@pytest.mark.parametrize("output", ["text", "wide", "json", "yaml", "name"])
def test_nothing_but_the_result_is_written_when_nobody_watches(doctor: Doctor, output: str) -> None:
    done = doctor("diagnose", "-A", "-o", output)
    assert done.stderr == ""
    assert ESCAPE not in done.stdout


def test_verbose_says_on_stderr_what_was_asked(doctor: Doctor) -> None:
    done = doctor("diagnose", "-v", "-o", "name", "--no-probe")
    assert done.stdout == "service/cart\n"
    assert "200 GET /api/v1/namespaces/shop/services " in done.stderr


def test_verbose_counts_requests_and_the_bytes_that_came_over_the_wire(doctor: Doctor) -> None:
    services = {"metadata": {"resourceVersion": "1"}, "items": doctor.server.documents("services", "shop")}
    unpacked = json.dumps(services).encode()
    packed = gzip.compress(unpacked)
    doctor.server.on("/api/v1/namespaces/shop/services", reply(packed, content_encoding="gzip"))
    total, *each = doctor("diagnose", "-v", "-o", "name", "--no-probe").stderr.splitlines()
    sizes = [int(size) for size in re.findall(r"(\d+) B$", "\n".join(each), re.MULTILINE)]
    assert len(each) == len(sizes) == len(doctor.server.received)
    more = len(unpacked) - len(packed)
    kilobytes = f"{sum(sizes) / 1000:.1f} kB ({(sum(sizes) + more) / 1000:.1f} kB unpacked)"
    assert total == f"{len(each)} requests, {kilobytes}"
    assert len(packed) in sizes


# --- exit codes --------------------------------------------------------------------------------------------------


def a_pod_of_web_is_not_ready() -> list[dict[str, Any]]:
    unready = {"conditions": [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "False"}]}
    status = {**unready, "containerStatuses": [{"name": "web", "ready": False}]}
    return [{"kind": "Pod", "metadata": {"name": "web-*-bfp", "namespace": "shop"}, "status": status}]


def codes(doctor: Doctor, *arguments: str) -> dict[str, int]:
    return {
        level: doctor("diagnose", "web", "--no-probe", "-o", "name", "--fail-on", level, *arguments).returncode
        for level in ("fail", "warn", "unknown", "never")
    }


def test_exit_codes_of_a_healthy_service(healthy: Doctor) -> None:
    assert codes(healthy) == {"fail": 0, "warn": 0, "unknown": 0, "never": 0}


def test_exit_codes_of_a_fault(doctor: Doctor) -> None:
    assert codes(doctor, "cart") == {"fail": 1, "warn": 1, "unknown": 1, "never": 0}


def test_exit_codes_of_a_warning(tmp_path: Path) -> None:
    with serving(HEALTHY, a_pod_of_web_is_not_ready()) as server:
        assert codes(Doctor(server, tmp_path)) == {"fail": 0, "warn": 1, "unknown": 1, "never": 0}


def test_exit_codes_of_what_could_not_be_seen(healthy: Doctor) -> None:
    healthy.server.forbids = lambda resource, namespace: resource == "endpointslices"
    assert codes(healthy) == {"fail": 4, "warn": 4, "unknown": 1, "never": 0}


def test_a_fault_speaks_louder_than_what_could_not_be_seen(doctor: Doctor) -> None:
    doctor.server.forbids = lambda resource, namespace: resource == "pods"
    assert doctor("diagnose", "--no-probe").returncode == 1


def test_skipped_codes_are_not_reported(doctor: Doctor) -> None:
    done = doctor("diagnose", "cart", "--no-probe", "--skip", FAULT)
    assert done.returncode == 0
    assert FAULT not in done.stdout


def test_only_the_chosen_codes_are_reported(doctor: Doctor) -> None:
    assert doctor("diagnose", "cart", "--no-probe", "--only", "slice-no-ready").returncode == 0
    assert doctor("diagnose", "cart", "--no-probe", "--only", f"slice-no-ready,{FAULT}").returncode == 1


# --- the command line is wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["diagnose", "--only", "slice-no-redy"], "no such code: 'slice-no-redy'; did you mean slice-no-ready"),
        (["diagnose", "--skip", "slice-no-redy"], "no such code: 'slice-no-redy'; did you mean slice-no-ready"),
        (["diagnose", "-l", "app=cart=web"], "--selector 'app=cart=web' does not parse at 'app=cart=web'"),
        (["diagnose", "-l", "app=cart,"], "does not parse at its end, where a term is missing"),
        (["diagnose", "-l", "app in web"], "does not parse at"),
        (["diagnose", "cart", "-A"], "a Service cannot be named together with --all-namespaces"),
        (["diagnose", "deploy/cart"], "'deploy/cart' is no Service; write NAME or svc/NAME"),
        (["diagnose", "svc/"], "'svc/' names no Service"),
        (["diagnose", "--deadline", "soon"], "'soon' is no duration; examples are 5, 1s, 2m and 3h"),
        (["diagnose", "--from", "web-1", "--no-probe"], "--from names the Pod"),
        (["diagnose", "--al-namespaces"], "--all-namespaces"),
        (["diagnos"], "no such command: 'diagnos'; did you mean diagnose?"),
        (["cart"], "no such command: 'cart'; to diagnose a Service: svcdoctor diagnose cart"),
        (["explain", "slice-no-redy"], "no such code: 'slice-no-redy'; did you mean slice-no-ready"),
        (["rbac", "-n", "shop", "-A"], "exclude each other"),
        (["diagnose", "-o", "jsn"], "no such format: 'jsn'; did you mean json"),
        (["diagnose", "-o", "csv"], "no such format: 'csv'; choose from text, wide, json"),
        (["diagnose", "-o", "json="], "'json=' names no file; write json=FILE"),
        (
            ["diagnose", "-o", "json", "-o", "name"],
            "only one of json and name can be printed; write -o json -o name=FILE",
        ),
        (["diagnose", "-o", "json=a", "-o", "yaml=./a"], "a is named for two formats"),
        (["diagnose", "-o", "json=nowhere/a.json"], "nowhere/a.json cannot be written: there is no directory nowhere"),
        (["diagnose", "-o", "json=/"], "/ is a directory; name a file in it"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_answered_with_what_to_write(doctor: Doctor, arguments: list[str], said: str) -> None:
    done = doctor(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert not doctor.server.received


def test_a_pod_to_look_from_that_is_not_there(doctor: Doctor) -> None:
    done = doctor("diagnose", "--from", "store/frontend")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no Pod frontend in namespace store to look from; there is " in done.stderr


# --- no cluster --------------------------------------------------------------------------------------------------


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout) == (3, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("svcdoctor: ")
    assert all(line.startswith("svcdoctor: ") for line in lines)
    return lines[0]


def test_no_kubeconfig_is_said_with_a_hint_at_the_demo(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor("diagnose", KUBECONFIG=str(tmp_path / "nowhere"))
    assert "no kubeconfig found at" in one_sentence(done)
    assert "svcdoctor demo" in done.stderr


def test_nobody_listens_at_the_server(doctor: Doctor) -> None:
    document = yaml.safe_load(doctor.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    doctor.kubeconfig.write_text(yaml.safe_dump(document))
    said = one_sentence(doctor("diagnose"))
    assert "cannot reach http://127.0.0.1:1 (context test): connection refused" in said


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("clusters: [{name: fake}, {", "line "),
        ("current-context: 7", "current-context"),
        ("{current-context: test, contexts: [{name: test, context: [fake]}]}", "contexts[test].context"),
        ("{current-context: test, contexts: [{name: test, context: {cluster: gone}}]}", "contexts[test].context"),
    ],
)
def test_a_malformed_kubeconfig_is_named_with_its_field(doctor: Doctor, content: str, field: str) -> None:
    doctor.kubeconfig.write_text(content)
    said = one_sentence(doctor("diagnose"))
    assert str(doctor.kubeconfig) in said
    assert field in said


def test_a_context_that_is_not_there(doctor: Doctor) -> None:
    said = one_sentence(doctor("diagnose", "--context", "prod"))
    assert "there is no context 'prod'" in said
    assert "known contexts: test" in said


def test_credentials_that_are_not_accepted(doctor: Doctor) -> None:
    refused = failure(401, "Unauthorized", "Unauthorized")
    for path in everything(doctor.server):
        doctor.server.on(path, refused)
    assert "does not accept the credentials of context test" in one_sentence(doctor("diagnose"))


def everything(server: SimulatedApiServer, namespace: str = "shop") -> list[str]:
    from svcdoctor.objects import RESOURCES

    return [resource.path(scope) for resource in RESOURCES.values() for scope in ("", namespace, "kube-system")]


# --- a cluster that does not show everything ---------------------------------------------------------------------


def test_what_may_not_be_listed_everywhere_is_read_in_each_namespace(doctor: Doctor) -> None:
    doctor.server.forbids = lambda resource, namespace: (
        (not namespace and resource not in ("namespaces", "nodes")) or namespace == "store"
    )
    report = doctor.report("-A", "--no-probe")
    assert names(report) == ["default/kubernetes", "kube-system/kube-dns", "shop/cart", "shop/web"]
    assert statuses(report)["shop/cart"] == "fail"
    assert {"services"} <= {gap["resource"] for gap in report["denied"] if gap["namespace"] == "store"}


def test_where_namespaces_may_not_be_listed_the_contexts_own_is_read(doctor: Doctor) -> None:
    doctor.server.forbids = lambda resource, namespace: namespace != "shop"
    done = doctor("diagnose", "-A", "--no-probe")
    assert "✗ shop/cart" in done.stdout
    assert "unknown-forbidden: cannot list services in the whole cluster (forbidden)" in done.stdout
    assert "svcdoctor rbac -A" in done.stdout


def test_services_that_may_not_be_listed_are_unknown(doctor: Doctor) -> None:
    doctor.server.forbids = lambda resource, namespace: resource == "services"
    done = doctor("diagnose", "--no-probe")
    assert done.returncode == 4
    assert "unknown-forbidden: cannot list services in namespace shop (forbidden)" in done.stdout
    assert done.stderr == ""


def test_an_object_that_does_not_decode_is_left_out_and_named(doctor: Doctor) -> None:
    odd = {"metadata": {"name": "odd", "namespace": "shop"}, "spec": {"ports": 80}}
    doctor.server.add("services", odd)
    done = doctor("diagnose", "--no-probe")
    assert "1 object could not be decoded and was left out: services shop/odd" in done.stdout
    assert "2 Services: 1 pass, 1 fail" in done.stdout
    assert doctor("diagnose", "web", "--no-probe").returncode == 4


@pytest.mark.parametrize(
    "broken",
    [
        reply(b"<html>Please log in</html>", content_type="text/html"),
        reply(b'{"kind": "EndpointSliceList", "items": [{"metadata": {"name": "we'),
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"items": [',
        failure(500, "etcdserver: leader changed", "InternalError"),
    ],
    ids=["login page", "truncated JSON", "truncated body", "server error"],
)
def test_no_verdict_on_a_list_that_was_not_read_to_its_end(healthy: Doctor, broken: bytes) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(broken)
        raise ConnectionAbortedError

    healthy.server.on("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices", answer)
    healthy.server.on("/api/v1/namespaces/shop/endpoints", answer)
    report = healthy.report("web", "--no-probe")
    assert statuses(report) == {"shop/web": "unknown"}
    assert {finding["status"] for finding in report["services"][0]["findings"]} <= {"pass", "skip", "unknown"}


def test_without_probes_nothing_is_asked_of_pods(doctor: Doctor) -> None:
    doctor("diagnose", "-A", "--no-probe")
    assert not [request for request in doctor.server.received if request.path.endswith(("/exec", "/portforward"))]
    assert {request.method for request in doctor.server.received} == {"GET"}


def test_names_are_looked_up_from_the_pod_that_was_chosen(doctor: Doctor) -> None:
    pods = [item["metadata"]["name"] for item in doctor.server.documents("pods", "store")]
    doctor("diagnose", "web", "--from", f"store/{pods[0]}")
    asked = [request.path for request in doctor.server.received if request.path.endswith("/exec")]
    assert asked and set(asked) == {f"/api/v1/namespaces/store/pods/{pods[0]}/exec"}


# --- time --------------------------------------------------------------------------------------------------------


def test_the_deadline_ends_a_run_whatever_the_server_does(healthy: Doctor) -> None:
    healthy.server.on("/api/v1/namespaces/shop/pods", lambda exchange: exchange.hang())
    done = healthy("diagnose", "web", "--no-probe", "--deadline", "500ms")
    assert done.returncode == 4
    assert "timeout" in done.stdout


def test_a_request_has_its_own_timeout(healthy: Doctor) -> None:
    healthy.server.on("/api/v1/namespaces/shop/pods", lambda exchange: exchange.hang())
    done = healthy("diagnose", "web", "--no-probe", "--request-timeout", "500ms")
    assert done.returncode == 4
    assert "cannot list pods" in done.stdout


def test_zero_is_without_limit(healthy: Doctor) -> None:
    assert healthy("diagnose", "--no-probe", "--deadline", "0", "--request-timeout", "0").returncode == 0


def test_ctrl_c_ends_a_run_that_waits(healthy: Doctor) -> None:
    asked = threading.Event()

    def hang(exchange: Exchange) -> None:
        asked.set()
        exchange.hang()

    healthy.server.on("/api/v1/namespaces/shop/pods", hang)
    process = healthy.start("diagnose", "--no-probe", start_new_session=True)
    assert asked.wait(60)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == b""
    assert error.strip() == b""


# --- terminals and pipes -----------------------------------------------------------------------------------------


class Terminal:
    """What a terminal would be told: everything written to a pseudo-terminal, and one to hand to a process."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self.said = ""

    def read_until(self, words: str) -> None:
        while words not in self.said:
            self.said += os.read(self._ours, 4096).decode()

    def rest(self) -> str:
        """Everything up to the end; the process must be over."""
        os.close(self.theirs)
        try:
            while data := os.read(self._ours, 4096):
                self.said += data.decode()
        except OSError:
            pass  # how Linux says that nobody holds the other side any more
        os.close(self._ours)
        return self.said


def test_a_run_that_takes_long_says_on_a_terminal_what_it_does_and_erases_it(healthy: Doctor) -> None:
    shown = threading.Event()

    def wait(exchange: Exchange) -> None:
        shown.wait(30)
        del healthy.server._answers[PODS]
        healthy.server._answer(exchange)

    PODS = "/api/v1/namespaces/shop/pods"
    healthy.server.on(PODS, wait)
    terminal = Terminal()
    process = healthy.start("diagnose", "--no-probe", "-o", "name", stderr=terminal.theirs, env={"TERM": "xterm"})
    terminal.read_until("...")
    assert re.search(r"reading \d+ kinds in shop\.\.\.", terminal.said)
    shown.set()
    out, _ = process.communicate(timeout=60)
    assert out == b""
    assert terminal.rest().endswith("\r\x1b[K")


def test_colours_are_for_terminals(doctor: Doctor) -> None:
    terminal = Terminal()
    process = doctor.start("diagnose", "cart", "--no-probe", stdout=terminal.theirs, env={"TERM": "xterm"})
    process.communicate(timeout=60)
    assert f"{ESCAPE}[1;31m✗" in terminal.rest()


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_a_terminal_that_wants_no_colours_gets_none(doctor: Doctor, setting: dict[str, str]) -> None:
    terminal = Terminal()
    process = doctor.start("diagnose", "cart", "--no-probe", stdout=terminal.theirs, env={"TERM": "xterm", **setting})
    process.communicate(timeout=60)
    assert ESCAPE not in terminal.rest()


def test_colours_can_be_forced_and_refused(doctor: Doctor) -> None:
    assert ESCAPE in doctor("diagnose", "cart", "--no-probe", CLICOLOR_FORCE="1").stdout
    assert ESCAPE not in doctor("diagnose", "cart", "--no-probe", "--no-color", CLICOLOR_FORCE="1").stdout
    assert ESCAPE not in doctor("diagnose", "cart", "--no-probe", CLICOLOR_FORCE="1", NO_COLOR="1").stdout
    assert ESCAPE not in doctor("diagnose", "cart", "--no-probe", CLICOLOR_FORCE="0").stdout


def test_a_terminal_without_unicode_gets_marks_it_can_show(doctor: Doctor) -> None:
    done = doctor("diagnose", "--no-probe", LANG="C", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.stdout.isascii()
    assert done.stdout.startswith("XX shop/cart")
    assert doctor("diagnose", "--no-probe", "--ascii").stdout == done.stdout


@pytest.mark.parametrize("output", ["text", "json", "yaml"])
def test_a_cluster_with_words_that_the_terminal_cannot_show(tmp_path: Path, output: str) -> None:
    with serving([]) as server:
        alias = {"type": "ExternalName", "externalName": "bücher.example"}
        server.add("services", {"metadata": {"name": "books", "namespace": "shop"}, "spec": alias})
        done = Doctor(server, tmp_path)("diagnose", "--no-probe", "-o", output, PYTHONIOENCODING="ascii")
    assert ("b\\xfccher" if output == "text" else "bücher") in done.stdout


@pytest.mark.parametrize("arguments", [(), ("-n", "shop"), ("dashboard",), ("dashboard", "-A")], ids=" ".join)
def test_without_a_terminal_it_is_the_report(doctor: Doctor, arguments: tuple[str, ...]) -> None:
    done = doctor(*arguments)
    assert done.returncode == 1
    assert "✗ shop/cart" in done.stdout
    assert ESCAPE not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("elsewhere", "term"),
    [("stdin", "xterm"), ("stdout", "xterm"), ("stderr", "xterm"), ("", "dumb"), ("", "")],
    ids=["no stdin", "no stdout", "no stderr", "dumb", "no TERM"],
)
@pytest.mark.parametrize("arguments", [("--no-probe",), ("demo",)], ids=" ".join)
def test_what_cannot_show_a_dashboard_gets_the_report(
    doctor: Doctor, elsewhere: str, term: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """The dashboard paints on standard error and reads standard input: where one is missing it would hang."""
    terminal = Terminal()
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
    if elsewhere:
        streams[elsewhere] = (tmp_path / "file").open("w+b")
    command = [sys.executable, "-m", "svcdoctor", *arguments]
    process = subprocess.Popen(command, env=doctor.environment | {"TERM": term}, cwd=ROOT, **streams)
    if elsewhere:
        streams[elsewhere].close()
    assert process.wait(60) == 1
    said = terminal.rest() + (tmp_path / "file").read_text() if elsewhere else terminal.rest()
    assert "shop/cart" in said
    assert f"{ESCAPE}[?1049h" not in said


# --- recordings --------------------------------------------------------------------------------------------------


def test_a_recording_is_reported_where_there_is_no_terminal(doctor: Doctor) -> None:
    demo = str(ROOT / "svcdoctor" / "demo.jsonl.xz")
    assert doctor("--replay", demo).stdout == doctor("demo").stdout
    assert doctor("-n", "shop-prod", f"--replay={demo}").stdout.endswith("1 Service: 1 fail\n")
    assert not doctor.server.received


GARBAGE = {
    "empty": b"",
    "text": b"apiVersion: v1\n",
    "binary": b"\x7fELF\x00\xff",
    "another document": b"{}",
    "another World": b'{"context": 7, "now": "2026-01-01T00:00:00Z", "objects": {}}',
    "no time zone": b'{"context": "x", "now": "2026-01-01T00:00:00", "objects": {}}',
    "odd objects": b'{"context":"x","now":"2026-01-01T00:00:00Z","objects":{"pods":{"scopes":[""],"items":[7]}}}',
    "cut": b"\xfd7zXZ\x00\x00",
    "report": b'{"apiVersion": "svcdoctor/v1", "kind": "Diagnosis"}',
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_recording_is_said(doctor: Doctor, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(content)
    done = doctor("--replay", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{path}: not a record" in done.stderr


def test_a_recording_that_cannot_be_read(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor("--replay", str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere cannot be read: No such file or directory" in done.stderr


def test_a_reader_that_goes_away_is_no_error(doctor: Doctor) -> None:
    reader, writer = os.pipe()
    process = doctor.start("diagnose", "-A", "--no-probe", "-o", "wide", stdout=writer)
    os.close(reader)
    os.close(writer)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (1, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_a_full_disk_is_said(doctor: Doctor) -> None:
    with open("/dev/full", "wb") as full:
        process = doctor.start("diagnose", "--no-probe", stdout=full)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert error.decode() == "svcdoctor: the report cannot be written: no space left on device\n"


# --- commands that need no cluster -------------------------------------------------------------------------------


def test_explain_shows_a_page(doctor: Doctor) -> None:
    done = doctor("explain", FAULT)
    assert done.stdout.startswith(f"{FAULT}\n")
    for part in ("Why it breaks", "Confirm by hand", "Fix", "Not a fault when"):
        assert part in done.stdout


def test_explain_lists_all_codes_with_a_title_each(doctor: Doctor) -> None:
    lines = doctor("explain").stdout.splitlines()
    listed = dict(line.split(maxsplit=1) for line in lines)
    assert {FAULT, "unknown-forbidden", "unknown-timeout"} <= set(listed)


def test_explain_exit_codes(doctor: Doctor) -> None:
    lines = doctor("explain", "exit-codes").stdout.splitlines()
    assert [int(line.split()[0]) for line in lines] == [0, 1, 2, 3, 4, 130]


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["diagnose", "--help"], ["rbac", "-h"]], ids=" ".join)
def test_help_fits_a_terminal_and_names_the_way_it_was_called(
    doctor: Doctor, arguments: list[str], tmp_path: Path
) -> None:
    done = doctor(*arguments)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: svcdoctor ")
    assert max(map(len, done.stdout.splitlines())) <= 100
    plugin = as_plugin(doctor, tmp_path, *arguments)
    assert plugin.startswith("Usage: kubectl svcdoctor ")
    assert plugin.partition("\n")[2].replace("kubectl svcdoctor", "svcdoctor") == done.stdout.partition("\n")[2]


def as_plugin(doctor: Doctor, directory: Path, *arguments: str) -> str:
    """The command as kubectl starts it: a file of another name that calls the same function."""
    script = directory / "kubectl-svcdoctor"
    script.write_text("from svcdoctor.__main__ import main\nmain()\n")
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, env=doctor.environment, capture_output=True, check=True, text=True).stdout


def test_the_help_that_is_printed_at_once_is_the_one_of_the_commands(doctor: Doctor) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; sys.argv = ['svcdoctor', '-h']; from svcdoctor.cli import main; main()",
    ]
    done = subprocess.run(command, env=doctor.environment, capture_output=True, check=True, text=True)
    assert doctor("-h").stdout == done.stdout
