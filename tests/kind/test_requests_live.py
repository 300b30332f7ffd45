"""What is answered on a real cluster: TLS and plain text, errors, gRPC, Pods that nothing can be run in, hairpin."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cluster import Cluster
from fake_apiserver import CERTIFICATE, KEY

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.57"
DISTROLESS = "svcdoctor/agnhost-distroless:2.57"
HERE = "req-shop"
SECONDS = 120.0

Document = dict[str, Any]

NGINX = """
server {
    listen 80;
    location = / { return 200 "shop\\n"; }
    location = /broken { return 500; }
    location / { return 404; }
}
"""

NGINX_SIX = "server { listen [::]:8080; }"  # for IPv6 alone, as nginx has it where nothing else is said


def pod(name: str, image: str = AGNHOST, args: tuple[str, ...] = (), **more: Any) -> Document:
    container = {"name": "app", "image": image, "imagePullPolicy": "IfNotPresent", "args": list(args), **more}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def mounted(document: Document, path: str, **volume: Any) -> Document:
    document["spec"]["volumes"] = [{"name": "files", **volume}]
    document["spec"]["containers"][0]["volumeMounts"] = [{"name": "files", "mountPath": path}]
    return document


def service(name: str, app: str, target: int, port: int = 80) -> Document:
    spec = {"selector": {"app": app}, "ports": [{"port": port, "targetPort": target}]}
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec}


def ready(**probe: Any) -> Document:
    return {"periodSeconds": 2, **probe}


def documents() -> list[Document]:
    files = {"tls.crt": CERTIFICATE, "tls.key": KEY}
    speaks_tls = ("netexec", "--http-port=8443", "--tls-cert-file=/tls/tls.crt", "--tls-private-key-file=/tls/tls.key")
    calls = [{"name": "SAFE_URL", "value": "http://safe"}, {"name": "PLAIN_URL", "value": "https://plain:80"}]
    asks_tls = ready(httpGet={"path": "/healthz", "port": 8443, "scheme": "HTTPS"})
    serves = ("netexec", "--http-port=8080")
    by_path = ready(httpGet={"path": "/healthz", "port": 8080})
    return [
        {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "tls"}, "stringData": files},
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "nginx"}, "data": {"shop.conf": NGINX}},
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "nginx-six"}, "data": {"six.conf": NGINX_SIX}},
        pod("web", args=("pause",), env=calls, securityContext={"readOnlyRootFilesystem": True}),
        mounted(pod("safe", args=speaks_tls, readinessProbe=asks_tls), "/tls", secret={"secretName": "tls"}),
        mounted(
            pod("front", "nginx:1.22", readinessProbe=ready(httpGet={"path": "/", "port": 80})),
            "/etc/nginx/conf.d",
            configMap={"name": "nginx"},
        ),
        pod("local", "busybox:1.36", command=["httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/tmp"]),
        pod("bare", DISTROLESS, serves, readinessProbe=by_path),
        mounted(pod("six", "nginx:1.22"), "/etc/nginx/conf.d", configMap={"name": "nginx-six"}),
        pod("grpc", args=("grpc-health-checking",), readinessProbe=ready(grpc={"port": 5000})),
        pod("alone", args=serves),
        service("safe", "safe", 8443),
        service("plain", "front", 80),
        service("shop", "front", 80, 8080),
        service("local", "local", 8080),
        service("six", "six", 8080),
        service("bare", "bare", 8080),
        service("grpc", "grpc", 5000),
        service("alone", "alone", 8080),
    ]


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Cluster]:
    try:
        cluster.kubectl("create", "namespace", HERE)
        cluster.kubectl("-n", HERE, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        items = {"kind": "List", "apiVersion": "v1", "items": documents()}
        cluster.kubectl("-n", HERE, "apply", "-f", "-", input=json.dumps(items))
        cluster.kubectl("-n", HERE, "wait", "--for=condition=Ready", "pods", "--all", "--timeout=90s")
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", HERE, "--ignore-not-found", "--timeout=120s")


def met(cluster: Cluster, name: str, client: str, status: str, *more: str, words: str = "") -> Document:
    """What is said of one Service from there, as soon as it has this status, and its step `connect` these words.

    New Services have half a minute to settle, and a busy machine may not come to every request in time.
    """
    asked = ("diagnose", name, "-n", HERE, "--from", client, *more)
    ends = time.monotonic() + SECONDS
    while True:
        done = cluster.svcdoctor(*asked, "-o", "json")
        assert done.returncode in (0, 1, 4), done.stderr
        said: Document = json.loads(done.stdout)["services"][0]
        if said["status"] == status and words in connect(said):
            return said
        if time.monotonic() > ends:
            pytest.fail(f"not {status} within {SECONDS:.0f} s\n{cluster.svcdoctor(*asked).stdout}", pytrace=False)
        time.sleep(3)


def connect(said: Document) -> str:
    found: str = next(one["message"] for one in said["steps"] if one["step"] == "connect")
    return found


def test_the_path_of_the_readiness_probe_is_answered(shop: Cluster) -> None:
    met(shop, "shop", "web", "pass", words="; GET /: 200 OK")


def test_a_path_that_is_not_there_is_said_and_is_no_fault(shop: Cluster) -> None:
    met(shop, "shop", "web", "pass", "--http", "/nowhere", words="; GET /nowhere: 404 Not Found")


def test_an_error_of_the_program_is_its_own(shop: Cluster) -> None:
    said = met(shop, "shop", "web", "warn", "--http", "/broken")
    assert said["cause"] == "port-app-5xx"
    assert "GET /broken: 500 Internal Server Error" in said["headline"]


def test_tls_where_plain_text_is_called(shop: Cluster) -> None:
    said = met(shop, "safe", "web", "fail")
    assert said["cause"] == "port-tls-plain-mismatch"
    assert said["headline"] == "pod/web calls port 80 with http://, and what answers there speaks TLS"


def test_plain_text_where_tls_is_called(shop: Cluster) -> None:
    said = met(shop, "plain", "web", "fail")
    assert said["cause"] == "port-tls-plain-mismatch"
    assert said["headline"] == "pod/web calls port 80 with https://, and what answers there speaks plain HTTP"


def test_a_client_with_curl_reads_the_status_inside_of_tls(shop: Cluster) -> None:
    said = met(shop, "safe", "front", "fail")  # web calls it wrongly, whoever looks
    evidence = [item["value"] for item in said["findings"][0]["evidence"]]
    assert "GET /healthz: 200 OK inside of TLS" in evidence


def test_grpc_health_is_asked(shop: Cluster) -> None:
    met(shop, "grpc", "web", "pass", words="; gRPC health: SERVING")
    met(shop, "grpc", "front", "pass", words="; gRPC health: SERVING")


def test_a_program_for_itself_alone_is_told_from_inside(shop: Cluster) -> None:
    said = met(shop, "local", "web", "fail", words="cannot connect to")
    assert said["cause"] == "port-bind-localhost"


def test_a_program_for_another_family_alone_is_told_from_inside(shop: Cluster) -> None:
    said = met(shop, "six", "web", "fail", words="its program takes IPv6 alone on [::]:8080")
    assert said["cause"] == "port-bind-wrong-family"


def test_a_client_without_a_shell_asks_by_a_port_forward_and_passes_nothing(shop: Cluster) -> None:
    words = "port 8080 on the loopback of bare answers GET /healthz: 200 OK, by a port-forward"
    said = met(shop, "bare", "bare", "pass", words=words)
    assert next(one["status"] for one in said["steps"] if one["step"] == "connect") == "skip"
    met(shop, "safe", "bare", "pass", words="answers GET /healthz: 200 OK inside of TLS, by a port-forward")
    met(shop, "grpc", "bare", "pass", words="answers gRPC health: SERVING, by a port-forward")


def test_the_only_endpoint_reaches_itself(shop: Cluster) -> None:
    met(shop, "alone", "alone", "pass", words=f"{HERE}/alone connects to itself through")


def test_a_pod_to_which_the_node_sends_nothing_back_is_told_from_its_neighbours(shop: Cluster) -> None:
    """Each Pod here hangs on a cable of its own and on no bridge, so that there is no hairpin mode to turn off: a rule
    drops what would leave by the cable that it came from, as a bridge without that mode does."""
    place = "jsonpath={.spec.nodeName} {.status.podIP}"
    node, address = shop.kubectl("-n", HERE, "get", "pod", "alone", "-o", place).split()

    def on_the_node(*command: str) -> str:
        done = ["docker", "exec", node, *command]
        return subprocess.run(done, check=True, capture_output=True, timeout=60, encoding="utf-8").stdout

    cable = on_the_node("ip", "-o", "route", "get", address).partition(" dev ")[2].split()[0]
    rule = ("FORWARD", "-i", cable, "-o", cable, "-j", "DROP")
    met(shop, "alone", "alone", "pass", words="connects to itself through")
    on_the_node("iptables", "-I", *rule)
    try:
        said = met(shop, "alone", "alone", "warn", words=f"{HERE}/alone stands behind it and cannot reach itself")
        met(shop, "alone", "web", "pass", words="connects to")
    finally:
        on_the_node("iptables", "-D", *rule)
    assert said["cause"] == "dp-hairpin"
    met(shop, "alone", "alone", "pass", words="connects to itself through")


def test_no_process_stays_behind(shop: Cluster) -> None:
    """Their first processes reap nothing that they have not started: each would be a zombie until the Pod ends."""
    for name in ("web", "safe", "alone", "local"):
        ended = "grep -l '^State:.*Z' /proc/[0-9]*/status || true"
        assert shop.kubectl("-n", HERE, "exec", name, "--", "sh", "-c", ended) == "", name
