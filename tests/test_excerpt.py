"""What is copied of the row on which a person stands, and of which Pod it shows logs: every kind of row once."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from msgspec.structs import replace

from app_sources import StreamState, cart, service, shop
from svcdoctor.finding import ClientDiagnosis, Diagnosis, Subject, fail
from svcdoctor.widgets import excerpt
from svcdoctor.widgets.entries import Entry, Key, NamespaceEntry, ServiceEntry, top_entries


class Here(NamedTuple):
    """A row, and what it stands for."""

    key: Key
    entry: Entry


def whole() -> Diagnosis:
    """The shop, with a client besides."""
    wrong = fail(
        "dns-client-wrong-port", Subject("Deployment", "shop", "web"), "web calls cart:8080; cart has no such port"
    )
    return replace(shop(), clients=(ClientDiagnosis("shop", "Deployment", "web", (wrong,)),))


def top(kind: str) -> Here:
    (entry,) = (entry for entry in top_entries(whole(), (StreamState("services"),)) if entry.key.kind == kind)
    return Here(entry.key, entry)


def of_service(name: str, kind: str = "service") -> Here:
    found = next(found for found in (*shop().services, service("idle", endpoints=())) if found.name == name)
    entry = ServiceEntry(found, False, 0)
    if kind == "service":
        return Here(entry.key, entry)
    row = found.endpoints[1]
    return Here(Key(kind, "shop", name, "http", f"{row.address}:{row.port} {row.pod}"), entry)


NAMESPACE = NamespaceEntry("shop")
ROWS = {
    "service": of_service("cart"),
    "endpoint": of_service("web", "endpoint"),
    "pod": of_service("web", "pod"),
    "healthy": of_service("web"),
    "idle": of_service("idle"),
    "namespace": Here(NAMESPACE.key, NAMESPACE),
    "cluster": top("cluster"),
    "gap": top("gap"),
    "missing": top("missing"),
    "client": top("client"),
}


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("service", "cart"),
        ("endpoint", service("web").endpoints[1].address),
        ("pod", "web-7d9f-x2"),
        ("namespace", "shop"),
        ("missing", "crat"),
        ("client", "web"),
    ],
)
def test_the_name_is_the_one_that_kubectl_takes(row: str, name: str) -> None:
    assert excerpt.name(*ROWS[row]) == name


@pytest.mark.parametrize(
    ("row", "command"),
    [
        ("service", "kubectl -n shop patch deployment cart --type=json"),
        ("endpoint", "kubectl -n shop describe pod web-7d9f-x2"),
        ("healthy", "kubectl -n shop service"),
        ("namespace", "svcdoctor diagnose -n shop"),
        ("gap", "svcdoctor rbac -n payments"),
        ("cluster", "svcdoctor explain coredns-one-replica"),
    ],
)
def test_the_command_mends_or_shows_what_is_wrong(row: str, command: str) -> None:
    assert excerpt.command(*ROWS[row]).startswith(command)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("service", "fail pods-not-ready-probe: the readiness probe asks for a path"),
        ("missing", "fail caller-names-no-service: deployment/web calls crat"),
        ("client", "fail dns-client-wrong-port: web calls cart:8080"),
        ("cluster", "warn coredns-one-replica: CoreDNS has one replica"),
        ("healthy", ""),
        ("namespace", ""),
    ],
)
def test_the_finding_is_told_with_its_evidence_and_its_fix(row: str, said: str) -> None:
    told = excerpt.finding_text(ROWS[row].entry)
    assert told.startswith(said) and bool(told) == bool(said)


def test_evidence_and_fix_stand_under_the_finding() -> None:
    _, evidence, fix, command = excerpt.finding_text(ROWS["service"].entry).splitlines()
    assert evidence == "  probe: GET :8080/healthz -> 404, 41 times [events of pod/cart-7d9f-x1]"
    assert fix == "  fix: ask for the path that is served"
    assert command.startswith("  kubectl -n shop patch deployment cart")


@pytest.mark.parametrize(
    ("row", "kept"),
    [("service", (1, 0, 0, 0)), ("missing", (0, 1, 0, 0)), ("client", (0, 0, 1, 0)), ("cluster", (0, 0, 0, 1))],
)
def test_a_report_of_one_row_is_about_that_alone(row: str, kept: tuple[int, ...]) -> None:
    alone = excerpt.report(whole(), ROWS[row].entry)
    assert (len(alone.services), len(alone.missing), len(alone.clients), len(alone.cluster.findings)) == kept
    assert not alone.denied and alone.summary.services == kept[0]


def test_a_report_of_a_namespace_is_all_of_it() -> None:
    assert excerpt.report(whole(), NAMESPACE) == whole()


def test_markdown_is_fenced_whatever_it_holds() -> None:
    found = replace(cart(), headline="no ```endpoint")
    entry = ServiceEntry(found, False, 0)
    page = excerpt.markdown(whole(), entry.key, entry).splitlines()
    assert page[0] == "### cart" and page[2] == "````text" and page[-1] == "````"


@pytest.mark.parametrize(
    ("row", "pod"), [("pod", "web-7d9f-x2"), ("service", "cart-7d9f-x1"), ("idle", ""), ("namespace", "")]
)
def test_logs_are_those_of_the_pod_of_the_row_or_of_the_first_in_trouble(row: str, pod: str) -> None:
    assert excerpt.pod(*ROWS[row]) == pod
