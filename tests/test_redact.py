"""A redacted recording names nothing of the cluster, and is diagnosed the same."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from simulate import simulate
from suites import SuiteCase, load_suites
from svcdoctor.diagnosis import Scope, diagnose_recorded
from svcdoctor.finding import Diagnosis, Status
from svcdoctor.recordings.capture import without_secrets
from svcdoctor.recordings.recording import recorded, unpacked
from svcdoctor.recordings.redact import Redactor
from svcdoctor.recordings.vocabulary import WORD, vocabulary
from svcdoctor.world import World
from test_cli import BROKEN, app

KEY = b"of the tests"
# One of each: all of them have been seen to be diagnosed the same.
CASES = [suite.cases[0] for suite in load_suites(Path(__file__).parent / "checks")]


def moment(world: World, scope: Scope = Scope()) -> bytes:  # noqa: B008 - immutable
    return without_secrets(recorded(world, scope))


def redacted(manifests: list[dict[str, Any]], key: bytes = KEY) -> World:
    return unpacked(Redactor(key).redacted(moment(simulate(manifests)))).worlds[0]


def essence(diagnosis: Diagnosis) -> tuple[Counter[Any], Counter[Any]]:
    """What is said of how many Services and other things, whatever they are called."""
    findings = Counter(
        (finding.status, finding.code, finding.role, finding.step, finding.subject and finding.subject.kind)
        for finding in diagnosis.findings()
        if finding.status is not Status.SKIP
    )
    services = Counter(
        (
            service.status,
            service.cause,
            service.type,
            tuple((step.step, step.status) for step in service.steps),
            tuple(sorted((port.port, port.node_port or 0) for port in service.ports)),
        )
        for service in diagnosis.services
    )
    return findings, services


def names_in(text: bytes) -> set[str]:
    """What objects are called, and where."""
    tables = json.loads(text)["objects"].values()
    metadata = [item["metadata"] for table in tables for item in table["items"]]
    return {item[field] for item in metadata for field in ("name", "namespace") if item.get(field)}


def is_private(name: str) -> bool:
    return any(len(word) > 2 and not vocabulary().looks_for(word.lower()) for word in WORD.findall(name))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_redacted_cluster_is_diagnosed_the_same(case: SuiteCase) -> None:
    before = moment(simulate(case.manifests(), case.observed(), case.probe()))
    after = Redactor(KEY).redacted(before)
    found, wanted = (diagnose_recorded(unpacked(text).worlds[0], Scope()) for text in (after, before))
    assert essence(found) == essence(wanted)
    for name in filter(is_private, names_in(before)):
        assert not re.search(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])", after.decode()), name


def test_nothing_of_the_cluster_is_left() -> None:
    private = ("zanzibar", "quokka", "initech", "10.11.12", "10-11-12", "2a02:1234", "jane", "doe")
    deployment, service = app("quokka-api", "zanzibar")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["image"] = "registry.initech.example/initech-payroll/quokka:1.2"
    container["env"] = [
        {"name": "INITECH_URL", "value": "http://quokka-api.zanzibar.svc.cluster.local:80"},
        {"name": "PEERS", "value": "10.11.12.13:80,[2a02:1234::7]:80"},
    ]
    container["args"] = ["--owner=jane.doe", "--from=ip-10-11-12-13.ec2.internal"]
    deployment["metadata"]["annotations"] = {"initech.example/team": "initech-payroll by jane.doe"}
    text = Redactor(KEY).redacted(moment(simulate([deployment, service]), Scope("zanzibar", ("quokka-api",)))).decode()
    assert not [word for word in private if word in text.lower()]
    recording = unpacked(text.encode())
    (found,) = diagnose_recorded(recording.worlds[0], recording.scope).services
    assert found.status == "pass" and found.name.endswith("-api")


def test_what_svcdoctor_looks_for_stays() -> None:
    world = redacted([*app("postgres", "default"), *app("cart", "shop")])
    assert world.was_read("namespaces", "") and {"default", "kube-system"} <= set(world.listed("namespaces"))
    assert "postgres" in world.listed("services", "default")
    assert "shop" not in world.listed("namespaces")
    assert "kube-dns" in world.listed("services", "kube-system")


def test_a_pod_keeps_the_name_of_its_owner_and_a_slip_is_one_still() -> None:
    wrong = json.loads(json.dumps(BROKEN))
    wrong[1]["spec"]["selector"] = {"app": "wharehouse"}
    wrong[0]["spec"]["selector"]["matchLabels"] = {"app": "warehouse"}
    wrong[0]["spec"]["template"]["metadata"]["labels"] = {"app": "warehouse"}
    world = redacted([*wrong, *app("mailer", "shop")])
    deployments = [item for item in world.held("deployments")]
    pods = [item.metadata.name for item in world.held("pods")]
    assert all(any(pod.startswith(f"{item.metadata.name}-") for pod in pods) for item in deployments)
    (found,) = [item for item in diagnose_recorded(world, Scope()).services if item.cause == "selector-value-mismatch"]
    assert "misspelt" in found.findings[0].message


def test_addresses_stay_in_their_blocks() -> None:
    redactor = Redactor(KEY)
    blocks = [
        "10.0.0.0/8",
        "10.244.0.0/16",
        "10.244.3.0/24",
        "10.96.0.0/12",
        "172.20.0.0/16",
        "8.8.0.0/16",
        "2a02:12::/32",
    ]
    addresses = ["10.244.3.17", "10.244.9.17", "10.96.0.10", "172.20.1.1", "8.8.8.8", "93.184.1.2", "2a02:12::5"]
    for block in blocks:
        new = ipaddress.ip_network(redactor._address(block))
        for address in addresses:
            one, other = ipaddress.ip_address(address), ipaddress.ip_address(redactor._address(address))
            assert (one in ipaddress.ip_network(block)) == (other in new), (block, address)
            assert one.is_private == other.is_private
    assert redactor._address("0.0.0.0/0") == "0.0.0.0/0"
    assert redactor._address("127.0.0.1") == "127.0.0.1"
    assert redactor._address("12:30:59") == ""


def test_moments_of_one_recording_have_the_same_names_and_other_recordings_others() -> None:
    redactor = Redactor(KEY)
    first, second = (moment(simulate(manifests)) for manifests in (BROKEN[:2], BROKEN))
    names = [names_in(redactor.redacted(text)) for text in (first, second)]
    assert names[0] < names[1]
    assert names_in(Redactor(KEY).redacted(second)) != names_in(Redactor(b"another key").redacted(second))
    assert Redactor(KEY).redacted(second) == Redactor(KEY).redacted(second)
