"""What of a recording leaves the machine: no secret of a container's settings, and the whole report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulate import simulate
from suites import load_suites
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.recordings.capture import blanked, without_secrets
from svcdoctor.world import World

# Two of each: all of them have been seen to give the same report.
CASES = [case for suite in load_suites(Path(__file__).parent / "checks") for case in suite.cases[:2]]
SECRET = "hunter2secret"


def test_a_capture_gives_the_report_that_it_was_taken_from() -> None:
    for case in CASES:
        world = simulate(case.manifests(), case.observed(), case.probe())
        again = World.replay(without_secrets(world.record()))
        assert diagnose(again, Scope()).diagnosis == diagnose(world, Scope()).diagnosis, case.id


SETTINGS = {
    "DB_PASSWORD": SECRET,
    "API_KEY": f"key:{SECRET}",
    "auth": SECRET,
    "MOTTO": SECRET,
    "DATABASE_URL": f"postgres://shop:{SECRET}@db:5432/shop",
    "MYSQL_DSN": f"shop:{SECRET}@tcp(db:3306)/shop",
    "SESSION_TOKEN": SECRET,
    "QUERY_URL": f"http://cart/?access_token={SECRET}&page=2",
    "LINE": f"--password={SECRET} --port=8080",
    "CONNECTION": f"Server=db;Password={SECRET};",
}
COMMANDS = (
    ["serve", "--db-password", SECRET, "--port", "8080"],
    ["sh", "-c", f"curl -u admin:{SECRET} http://cart:80/; mysql -h db -p{SECRET}; redis-cli -h cache -a {SECRET}"],
    ["curl", "-H", f"Authorization: Bearer {SECRET}", "http://cart:80/"],
    ["curl", "-u", f"admin:{SECRET}", "http://cart:80/"],
)


def workload(**container: Any) -> list[dict[str, Any]]:
    spec = {"containers": [{"name": "web", "image": "registry.example/web:1", **container}]}
    labels = {"app": "web"}
    metadata = {
        "name": "web",
        "namespace": "shop",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": f'{{"value":"{SECRET}"}}'},
    }
    template = {"metadata": {"labels": labels}, "spec": spec}
    return [
        {
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        }
    ]


def captured(manifests: list[dict[str, Any]]) -> str:
    return without_secrets(simulate(manifests).record()).decode()


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_containers(name: str) -> None:
    said = captured(workload(env=[{"name": name, "value": SETTINGS[name]}]))
    assert SECRET not in said
    assert f'"{name}"' in said


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_commands_of_containers(command: list[str]) -> None:
    assert SECRET not in captured(workload(command=command[:1], args=command[1:]))


def test_of_config_maps_only_what_settings_are_taken_from() -> None:
    data = {"cart": "http://cart:80", "login": SECRET, "other": "spare-words"}
    sources = [
        {"name": name, "valueFrom": {"configMapKeyRef": {"name": "settings", "key": key}}}
        for name, key in (("CART_URL", "cart"), ("DB_PASSWORD", "login"))
    ]
    config = {"kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"}, "data": data}
    said = captured([config, *workload(env=sources)])
    assert "http://cart:80" in said
    assert SECRET not in said and "spare-words" not in said


def test_hosts_and_ports_stay() -> None:
    kept = {
        "TOKEN_SERVICE_URL": "http://token:8080/v1",
        "AUTH_HOST": "auth.shop.svc.cluster.local",
        "PEERS": "secret:7000,token:7001",
        "PORT": "8080",
    }
    said = captured(workload(env=[{"name": name, "value": value} for name, value in kept.items()]))
    for value in kept.values():
        assert f'"{value}"' in said


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("no route to http://u:p@ss@db:80/x", "no route to http://REDACTED@db:80/x"),
        ("password: hunter2", "password: REDACTED"),
        ('{"token":"abc"}', '{"token":"REDACTED"}'),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "REDACTED"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----", "REDACTED"),
        ('secret "db" not found', 'secret "db" not found'),
        ("mongodb://a:1,b:2/db", "mongodb://a:1,b:2/db"),
    ],
)
def test_texts(text: str, instead: str) -> None:
    assert blanked(text) == instead
