"""Which Services a Pod spec names. What must stay silent matters more here than what must be found."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from svcdoctor.clients.callers import Reference, references
from svcdoctor.clients.configfile import without_the_rest
from svcdoctor.objects import PodSpec
from svcdoctor.pods.template import Template

NAMESPACES = {"shop", "pay", "kafka", "dev"}


def template(kind: str = "Deployment", name: str = "web", **spec: Any) -> Template:
    return Template(kind, "shop", name, {}, msgspec.convert(spec, PodSpec), 1, None)


def named(
    config: dict[str, str] | None = None, kind: str = "Deployment", name: str = "web", **spec: Any
) -> list[Reference]:
    return references(template(kind, name, **spec), "cluster.local", NAMESPACES, lambda _: config)


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
    assert places(named(containers=[{"name": "app", "env": env}])) == {("shop", "api", 80)}


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
        (["sh", "-c", "pg_isready -h db -p 5432"], {("shop", "db", 5432)}),
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


# --- environment from whole ConfigMaps, files, probes --------------------------------------------------------------


def from_config(data: dict[str, str], **container: Any) -> list[Reference]:
    container = {"name": "app", "envFrom": [{"configMapRef": {"name": "settings"}}], **container}
    return named(data, containers=[container])


def from_file(key: str, text: str) -> list[Reference]:
    volume = {"name": "conf", "configMap": {"name": "settings"}}
    return named({key: text}, containers=[{"name": "app"}], volumes=[volume])


def test_every_key_of_a_config_map_is_a_variable() -> None:
    [found] = from_config({"API_URL": "http://api:80", "LEVEL": "debug"})
    assert found.source == "deployment/web container app envFrom configmap/settings key API_URL"
    prefixed = [{"prefix": "SHOP_", "configMapRef": {"name": "settings"}}]
    assert places(from_config({"HOST": "api"}, envFrom=prefixed)) == {("shop", "api", None)}


def test_env_counts_more_than_env_from() -> None:
    found = from_config({"API_URL": "http://old:80"}, env=[{"name": "API_URL", "value": "http://new:80"}])
    assert places(found) == {("shop", "new", 80)}


def test_the_port_of_a_host_may_stand_beside_it() -> None:
    env = [{"name": "DB_HOST", "value": "db"}, {"name": "DB_PORT", "value": "5432"}]
    [found] = named(containers=[{"name": "app", "env": env}])
    assert (found.port, found.setting.port_env) == (5432, "DB_PORT")
    env = [{"name": "DB", "value": "http://db:80"}, {"name": "DB_PORT", "value": "tcp://10.96.1.1:5432"}]
    assert places(named(containers=[{"name": "app", "env": env}])) == {("shop", "db", 80)}


def test_what_a_probe_asks_for() -> None:
    probe = {"exec": {"command": ["wget", "-qO-", "http://api:81/healthz"]}}
    [found] = named(containers=[{"name": "app", "readinessProbe": probe}])
    assert (found.service, found.port) == ("api", 81)
    assert found.source == "deployment/web container app readinessProbe"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("shop:x@tcp(db:3306)/shop", {("shop", "db", 3306)}),
        ("host=db port=5432 user=shop dbname=shop", {("shop", "db", 5432)}),
        ("Server=db,1433;Database=shop;User Id=sa", {("shop", "db", 1433)}),
        ("Server=tcp:db.pay,1433;Database=shop", {("pay", "db", 1433)}),
        ("Host=db;Port=5432;Database=shop", {("shop", "db", 5432)}),
        ("Server=localhost;Database=shop", set()),
        ("a=b host=$(HOST)", set()),
        ("shop:x@unix(/var/run/mysql.sock)/shop", set()),
    ],
)
def test_connection_strings(value: str, expected: set[tuple[str, str, int | None]]) -> None:
    assert places(from_env("DSN", value)) == expected


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("nginx.conf", "location / { proxy_pass http://api:81; }", {("shop", "api", 81)}),
        (
            "nginx.conf",
            "upstream u {\n server a:80 weight=2;\n server b;\n}\nproxy_pass http://u;",
            {("shop", "a", 80), ("shop", "b", None)},
        ),
        (
            "nginx.conf",
            "upstream u { server a:80; server b; }\nserver { location / { proxy_pass http://u; } }",
            {("shop", "a", 80), ("shop", "b", None)},
        ),
        ("nginx.conf", "set $up http://api.pay;\nproxy_pass $up/x;", {("pay", "api", None)}),
        ("site.conf", "fastcgi_pass php:9000;", {("shop", "php", 9000)}),
        (
            "haproxy.cfg",
            "backend shop\n  server one a:80 check\n  server two b.pay:81",
            {("shop", "a", 80), ("pay", "b", 81)},
        ),
        ("Caddyfile", ":80 {\n reverse_proxy api:8080\n}", {("shop", "api", 8080)}),
        ("application.properties", "spring.datasource.url=jdbc:postgresql://db:5432/x", {("shop", "db", 5432)}),
        ("application.yaml", "redis:\n  host: cache\n  port: 6379", {("shop", "cache", 6379)}),
        (
            "application.yaml",
            "kafka:\n  bootstrapServers:\n    - k-a:9092\n    - k-b:9092",
            {("shop", "k-a", 9092), ("shop", "k-b", 9092)},
        ),
        (
            "prometheus.yml",
            "static_configs:\n - targets: ['api:8080', \"db:9187\"]",
            {("shop", "api", 8080), ("shop", "db", 9187)},
        ),
        ("envoy.yaml", "socket_address:\n  address: api\n  port_value: 80", {("shop", "api", 80)}),
        ("config.json", '{\n "api": {\n  "url": "http://api:80",\n  "x": 1\n }\n}', {("shop", "api", 80)}),
        ("run.sh", "#!/bin/sh\n# curl http://old\nuntil nc -z db 5432; do sleep 1; done", {("shop", "db", 5432)}),
        ("app.py", 'requests.get("http://api:80/items")', {("shop", "api", 80)}),
        ("any", "see db.pay.svc.cluster.local:5432\nx: db.pay.svc.cluster.local:5432", {("pay", "db", 5432)}),
    ],
)
def test_files(key: str, text: str, expected: set[tuple[str, str, int | None]]) -> None:
    assert places(from_file(key, text)) == expected


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("nginx.conf", "server {\n listen 80;\n server_name web;\n location / { root /www; }\n}"),
        ("nginx.conf", "proxy_pass http://$host;\nproxy_pass http://127.0.0.1:80;\nproxy_pass http://${BACKEND};"),
        ("nginx.conf", "# proxy_pass http://old:80;\nproxy_pass http://unix:/tmp/x.sock;"),
        ("application.yaml", "server:\n  host: web\n  port: 8080"),
        ("application.yaml", "image: redis:7\nuser: app:1000\nschedule: '10:30'\nname: cart"),
        ("application.yaml", "#redis: {url: redis://old:6379}\nlogging:\n  level: info"),
        ("application.yaml", "cors:\n  allowed-origins: http://web:80"),
        ("grafana.ini", "[server]\nroot_url = http://grafana:3000/\ndomain = grafana"),
        ("README.md", "curl http://docs:8080/"),
        ("index.html", "<a href='http://intranet:8080'>"),
        ("schema.sql", "-- http://db:80"),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\nhost: x\n"),
        ("big.yaml", "url: http://api:80\n" * 9000),
        ("users.conf", "host: alice\nhost: bob"),
        ("redis.conf", "bind 0.0.0.0\nport 6379\nmaster-host something"),
    ],
)
def test_files_that_name_nothing_for_certain(key: str, text: str) -> None:
    assert places(from_file(key, text)) == set()


def test_only_the_items_of_a_volume_are_files() -> None:
    volume = {"name": "conf", "configMap": {"name": "settings", "items": [{"key": "a.yaml", "path": "a.yaml"}]}}
    data = {"a.yaml": "url: http://a:80", "b.yaml": "url: http://b:80"}
    assert places(named(data, containers=[{"name": "app"}], volumes=[volume])) == {("shop", "a", 80)}


def test_the_kubelets_own_volume_is_not_read() -> None:
    sources = [{"configMap": {"name": "kube-root-ca.crt"}}]
    volumes = [{"name": "kube-api-access", "projected": {"sources": sources}}]
    assert named({"x": "url: http://x:80"}, containers=[{"name": "app"}], volumes=volumes) == []


def test_what_leaves_the_machine_of_a_file() -> None:
    text = "db:\n  url: postgres://shop:hunter2@db:5432/shop\n  password: hunter2\n  motto: some words\n"
    rest = without_the_rest("app.yaml", text, lambda name, value: value.replace("shop:hunter2@", ""))
    assert rest == "db:\n  url: postgres://db:5432/shop\n  password: -\n  motto: -\n"
    assert without_the_rest("notes", "nothing of the kind", lambda name, value: value) == ""
