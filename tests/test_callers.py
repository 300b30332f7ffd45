"""Which Services a Pod spec names. What must stay silent matters more here than what must be found."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from svcdoctor.callers import Reference, references
from svcdoctor.objects import PodSpec
from svcdoctor.template import Template

NAMESPACES = {"shop", "pay", "kafka", "dev"}


def template(kind: str = "Deployment", name: str = "web", **spec: Any) -> Template:
    return Template(kind, "shop", name, {}, msgspec.convert(spec, PodSpec), 1, None)


def named(
    config: dict[str, str] | None = None, kind: str = "Deployment", name: str = "web", **spec: Any
) -> list[Reference]:
    return references(template(kind, name, **spec), "cluster.local", NAMESPACES, lambda _, key: (config or {}).get(key))


def from_env(name: str, value: str, **spec: Any) -> list[Reference]:
    return named(containers=[{"name": "app", "env": [{"name": name, "value": value}]}], **spec)


def from_command(*words: str) -> list[Reference]:
    return named(containers=[{"name": "app", "command": list(words)}])


def places(found: list[Reference]) -> set[tuple[str, str, int | None]]:
    return {(reference.namespace, reference.service, reference.port) for reference in found if reference.certain}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("BACKEND_URL", "http://backend", {("shop", "backend", None)}),
        ("ANYTHING", "http://backend:8080/api?x=1", {("shop", "backend", 8080)}),
        ("X", "https://user:p%40ss@backend.pay:8443/", {("pay", "backend", 8443)}),
        ("SPRING_DATASOURCE_URL", "jdbc:postgresql://db:5432/shop", {("shop", "db", 5432)}),
        ("REDIS_URL", "redis://:secret@cache:6379/0", {("shop", "cache", 6379)}),
        (
            "MONGO",
            "mongodb://a:b@m-a:27017,m-b:27017/x?replicaSet=rs",
            {("shop", "m-a", 27017), ("shop", "m-b", 27017)},
        ),
        ("KAFKA_BROKERS", "k-a:9092,k-b.pay:9092", {("shop", "k-a", 9092), ("pay", "k-b", 9092)}),
        (
            "KAFKA_BOOTSTRAP_SERVERS",
            "PLAINTEXT://k-a:9092,SSL://k-b:9093",
            {("shop", "k-a", 9092), ("shop", "k-b", 9093)},
        ),
        ("DB_HOST", "db", {("shop", "db", None)}),
        ("API_ADDR", "api:9090", {("shop", "api", 9090)}),
        ("USER_SERVICE_URL", "http://user-service", {("shop", "user-service", None)}),
        ("WHATEVER", "db.pay.svc", {("pay", "db", None)}),
        ("WHATEVER", "db.pay.svc.cluster.local.", {("pay", "db", None)}),
        ("WHATEVER", "db-0.db.pay.svc.cluster.local:5432", {("pay", "db", 5432)}),
        ("WHATEVER", "_http._tcp.api.gone.svc.cluster.local", {("gone", "api", None)}),
    ],
)
def test_environment(name: str, value: str, expected: set[tuple[str, str, int | None]]) -> None:
    assert places(from_env(name, value)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "info"),
        ("DB_NAME", "shop"),
        ("SERVER", "nginx"),
        ("WEB_SERVER", "nginx"),
        ("STORAGE_BACKEND", "redis"),
        ("DD_SERVICE", "cart"),
        ("NODE_ENV", "production"),
        ("IMAGE", "redis:7"),
        ("SIDECAR_IMAGE", "registry:5000"),
        ("IMAGE_URL", "redis:7"),
        ("CACHE", "redis:7"),
        ("START_AT", "10:30"),
        ("RUN_AS_USER", "app:1000"),
        ("OWNER", "app:1000"),
        ("DB_HOST", "localhost"),
        ("DB_HOST", "127.0.0.1"),
        ("DB_HOST", "::1"),
        ("DB_HOST", "true"),
        ("DB_HOST", "5432"),
        ("DB_HOST", "*"),
        ("DB_HOST", "/var/run/postgresql"),
        ("DB_HOST", "config.yaml"),
        ("DB_HOST", "db.example.com"),
        ("DB_HOST", "$(UNDEFINED)"),
        ("DB_HOST", "My Database"),
        ("LISTEN_ADDR", "web:8080"),
        ("BIND_HOST", "web"),
        ("ALLOWED_ORIGINS", "http://web,http://admin"),
        ("APP_URL", "http://laravel"),
        ("HTTP_ADDR", ":8080"),
        ("NO_PROXY", "localhost,.svc,db.shop.svc.cluster.local,backend:80"),
        ("DASHBOARD", "grafana.dev"),
        ("TRACING", "https://grafana.dev/x"),
        ("BUCKET", "s3://backups"),
        ("ROUTE", "lb://orders"),
        ("SOCKET", "unix:///var/run/app.sock"),
        ("ATLAS", "mongodb+srv://cluster0/x"),
        ("KUBERNETES_SERVICE_HOST", "kubernetes"),
        ("REDIS_PORT", "tcp://10.96.3.4:6379"),
        ("OTHER_CLUSTER", "db.pay.svc.other.example"),
        ("GLOBAL", "db.pay.svc.clusterset.local"),
        ("BROKER_LIST", "kafka-0.kafka:9092"),
        ("KAFKA_BROKERS", "kafka-0.kafka:9092"),
        ("SANS", "*.shop.svc.cluster.local"),
        ("DOC", "see http://<host>:<port>/"),
        ("LONG", "http://backend " * 1000),
        ("MODULE", "std:string"),
        ("CRON", "0 10 * * *"),
        ("DB_HOST", ""),
    ],
)
def test_environment_that_names_nothing_for_certain(name: str, value: str) -> None:
    assert places(from_env(name, value)) == set()


def test_a_weak_name_is_believed_beside_its_port() -> None:
    env = [{"name": "BACKEND_SERVICE", "value": "api"}, {"name": "BACKEND_PORT", "value": "80"}]
    assert places(named(containers=[{"name": "app", "env": env}])) == {("shop", "api", None)}


def test_doubtful_references_are_kept_as_such() -> None:
    assert [(found.service, found.certain) for found in from_env("CACHE", "redis:6379")] == [("redis", False)]


def test_variables_are_expanded_as_the_kubelet_does() -> None:
    env = [
        {"name": "PLACE", "value": "backend.pay"},
        {"name": "BACKEND", "value": "http://$(PLACE):80"},
        {"name": "L", "value": "http://$(LATER)/"},
    ]
    found = named(containers=[{"name": "app", "env": env, "args": ["--upstream=http://$(PLACE):81"]}])
    assert places(found) == {("pay", "backend", 80), ("pay", "backend", 81)}


def test_a_value_from_a_config_map() -> None:
    entry = {"name": "API_URL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "api"}}}
    spec: dict[str, Any] = {"containers": [{"name": "app", "env": [entry]}]}
    [found] = named({"api": "http://api:80"}, **spec)
    assert found.source == "deployment/web container app env API_URL from configmap/settings key api"
    assert named({}, **spec) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["wget", "-qO-", "-T", "2", "http://backend:80"], {("shop", "backend", 80)}),
        (["sh", "-c", "while true; do wget -T2 -qO- http://backend; sleep 1; done"], {("shop", "backend", None)}),
        (["sh", "-c", "until nc -zv -w 2 db 5432; do sleep 1; done"], {("shop", "db", 5432)}),
        (
            ["sh", "-c", "nslookup api.pay && curl -s --max-time 2 cache:6379/x >/dev/null 2>&1"],
            {("pay", "api", None), ("shop", "cache", 6379)},
        ),
        (["sh", "-c", "timeout 5 ping -c 1 backend || exit 1"], {("shop", "backend", None)}),
        (["sh", "-c", "pg_isready -h db -p 5432"], {("shop", "db", None)}),
        (["/agnhost", "connect", "--timeout=2s", "backend:80"], {("shop", "backend", 80)}),
        (["connect", "--timeout=2s", "backend:80"], {("shop", "backend", 80)}),
        (["app", "--db-host", "db", "--cache-addr=cache:6379"], {("shop", "db", None), ("shop", "cache", 6379)}),
        (["app", "--peer", "x.pay.svc.cluster.local"], {("pay", "x", None)}),
        (["nginx", "-c", "upstream { server http://api:81; }"], {("shop", "api", 81)}),
        (
            [
                "sh",
                "-c",
                'echo ping me; echo nc; wget -qO- $URL; curl "$HOST"; nslookup db-$(hostname); nslookup db$(hostname)',
            ],
            set(),
        ),
        (["app", "--host", "web", "--listen-address=web:80", "--log-level", "info", "--image=redis:7"], set()),
        (["sh", "-c", "until nslookup db.$(cat /namespace).svc.cluster.local; do sleep 2; done"], set()),
        (["curl", "-o", "out", "https://example.com", "-H", "Host: web"], set()),
        (["nslookup", "kubernetes.default"], set()),
        (["netexec", "--http-port=8080"], set()),
    ],
)
def test_commands(words: list[str], expected: set[tuple[str, str, int | None]]) -> None:
    assert places(from_command(*words)) == expected


def test_names_of_the_pod_itself() -> None:
    assert from_env("PEER_HOST", "app") == []
    assert from_env("PEER_HOST", "web-a", hostname="web-a", subdomain="web") == []
    assert from_env("DB_HOST", "legacy-db", hostAliases=[{"ip": "192.0.2.1", "hostnames": ["legacy-db"]}]) == []
    peers = {"containers": [{"name": "app", "env": [{"name": "PEER_HOST", "value": "kafka-1.kafka,kafka-2"}]}]}
    assert named(kind="StatefulSet", name="kafka", **peers) == []


def test_where_it_stands_and_how_it_may_be_changed() -> None:
    [found] = from_env("BACKEND_URL", "http://backend:80")
    assert (found.source, found.setting.env, found.host) == (
        "deployment/web container app env BACKEND_URL",
        "BACKEND_URL",
        "backend",
    )
    assert found.is_short
    assert not from_env("B", "http://b.pay.svc.cluster.local")[0].is_short
