"""By which names Pods look for each other, and which words are none."""

from __future__ import annotations

import pytest

from svcdoctor.clients.peers import peers_of
from svcdoctor.objects import Container, EnvVar, ExecAction, Metadata, PodSpec, Probe, Workload
from svcdoctor.pods.template import Template


def template(**fields: object) -> Template:
    container = Container(name="web", **fields)  # type: ignore[arg-type]
    owner = Workload(metadata=Metadata(name="db", namespace="shop"))
    return Template("StatefulSet", "shop", "db", {}, PodSpec(containers=[container]), 2, owner)


def names(service: str, **fields: object) -> list[str]:
    return [peer.name for peer in peers_of(template(**fields), service, lambda _: None)]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("db-0.db:7000,db-1.db:7000", ["db-0.db", "db-1.db"]),
        ("http://$(POD_NAME).db:2380", ["$(POD_NAME).db"]),
        ("db-0.db.shop.svc.cluster.local", ["db-0.db"]),
        ("tcp://db:7000", ["db"]),
        ("/var/lib/data.db", []),
        ("sqlite.db", []),
        ("other-0.db", []),
        ("db-0.dbs", []),
        ("the db is here", []),
    ],
)
def test_what_a_variable_names(value: str, found: list[str]) -> None:
    assert names("db", env=[EnvVar(name="SETTING", value=value)]) == found


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("until nslookup db; do sleep 2; done", ["db"]),
        ("until nslookup db-peers; do sleep 2; done", []),
        ("for i in 0 1; do nc -z db-$i.db 7000; done", ["db-$i.db"]),
        ("ping -c1 `hostname`.db", ["`hostname`.db"]),
        ("exec db --data=/db", []),
    ],
)
def test_what_a_script_names(script: str, found: list[str]) -> None:
    assert names("db", command=["sh", "-c", script]) == found


def test_a_bare_name_is_a_host_in_a_setting_for_hosts() -> None:
    assert names("db", env=[EnvVar(name="SEED_HOST", value="db")]) == ["db"]
    assert names("db", env=[EnvVar(name="MODE", value="db")]) == []


def test_a_probe_is_told_from_a_setting() -> None:
    probe = Probe(exec=ExecAction(command=["nc", "-z", "db-1.db", "7000"]))
    (peer,) = peers_of(template(readiness_probe=probe), "db", lambda _: None)
    assert (peer.what, peer.name, peer.is_own_name) == ("readinessProbe", "db-1.db", False)
