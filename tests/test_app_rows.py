"""The outline's model: identity, order, what is open, and what a change may not move."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from app_sources import StreamState, cart, endpoint, service, shop, with_services
from svcdoctor.finding import Diagnosis, PortRow, ServiceDiagnosis, Status
from svcdoctor.widgets.entries import Key, grouped
from svcdoctor.widgets.filter import FilterError, parse
from svcdoctor.widgets.rows import Rows

EMPTY = with_services(replace(shop(), missing=(), denied=(), cluster=replace(shop().cluster, findings=())))


def listed(rows: Rows) -> list[str]:
    found = []
    for index in range(len(rows)):
        row = rows.row(index)
        assert row is not None
        assert rows.index_of(row.key) == index
        found.append("  " * row.depth + row.label + (" gone" if row.gone else ""))
    return found


def of(*services: ServiceDiagnosis, diagnosis: Diagnosis = EMPTY) -> Rows:
    rows = Rows()
    rows.update(with_services(diagnosis, *services), (), frozenset())
    return rows


def fed(rows: Rows, *services: ServiceDiagnosis) -> Rows:
    rows.update(with_services(EMPTY, *services), (), frozenset())
    return rows


def test_what_concerns_all_stands_above_the_services_and_faults_come_first() -> None:
    rows = Rows()
    rows.update(shop(), (), frozenset())
    assert listed(rows) == [
        "cluster: coredns-one-replica",
        "cannot list pods in payments (forbidden)",
        "shop/crat",
        "shop/cart",
        "shop/search",
        "shop/front",
        "shop/web",
    ]


def test_namespaces_have_headers_when_there_are_several_and_the_worst_is_first() -> None:
    rows = of(service("a", namespace="alpha"), service("b", Status.FAIL, namespace="beta"))
    assert listed(rows) == ["beta", "  b", "alpha", "  a"]


def test_a_service_opens_to_its_ports_endpoints_and_pods() -> None:
    rows = of(service("web"))
    rows.toggle(Key("service", "shop", "web"))
    assert len(rows) == 5
    address = rows.row(2)
    assert address is not None and address.key.kind == "endpoint"
    rows.toggle(address.key)
    pod = rows.row(3)
    assert pod is not None and pod.key.kind == "pod" and pod.label == "web-7d9f-x1"
    assert rows.parent_of(pod.key) == address.key
    assert rows.parent_of(address.key) == Key("port", "shop", "web", "http 80/TCP")


def test_heights_are_counted_without_making_rows() -> None:
    rows = of(*(service(f"svc-{number}", Status.FAIL) for number in range(50)))
    rows.open_faults()
    assert len(rows) == 50 * 5
    assert listed(rows)


def test_endpoints_stand_under_the_port_that_leads_to_them() -> None:
    ports = (PortRow("http", "TCP", 80, 8080, None), PortRow("admin", "TCP", 81, "admin", None))
    places = ((8080, "http"), (9090, "admin"), (9091, "metrics"), (None, ""))
    mixed = [replace(endpoint("web", number), port=port, port_name=name) for number in (1, 2) for port, name in places]
    groups = grouped(service("web", ports=ports, endpoints=mixed))
    assert [(group.port and group.port.name, len(group.endpoints)) for group in groups] == [
        ("http", 2),
        ("admin", 2),
        (None, 4),
    ]


def test_equal_endpoints_keep_identities_of_their_own() -> None:
    rows = of(service("web", endpoints=[endpoint("web", 1), endpoint("web", 1)]))
    rows.toggle(Key("service", "shop", "web"))
    assert len({rows.row(index) for index in range(len(rows))}) == 4
    assert len(listed(rows)) == 4


@pytest.mark.parametrize("settled", (False, True))
def test_order_is_by_faults_until_a_person_moves(settled: bool) -> None:
    rows = of(service("a"), service("b"), service("c"))
    rows.settled = settled
    fed(rows, service("a"), service("b"), service("c", Status.FAIL))
    assert [line.removeprefix("shop/") for line in listed(rows)] == (["a", "b", "c"] if settled else ["c", "a", "b"])
    assert rows.new_faults == (1 if settled else 0)
    rows.rank()
    rows.lay_out()
    assert listed(rows)[0] == "shop/c"
    assert rows.new_faults == 0


def test_the_selected_service_stays_greyed_when_it_has_gone_until_the_person_moves() -> None:
    rows = of(service("a"), service("b"), service("c"))
    rows.settled = True
    rows.selected = Key("service", "shop", "b")
    fed(rows, service("a"), service("c"))
    assert listed(rows) == ["shop/a", "shop/b gone", "shop/c"]
    assert rows.release(Key("service", "shop", "a"))
    assert listed(rows) == ["shop/a", "shop/c"]


def test_a_service_that_comes_back_is_there_again() -> None:
    rows = of(service("a"), service("b"))
    rows.selected = Key("service", "shop", "b")
    fed(rows, service("a"))
    fed(rows, service("a"), service("b", Status.FAIL))
    assert "shop/b" in listed(rows)
    assert rows.namespaces["shop"].counts[Status.FAIL] == 1


def test_the_selected_endpoint_stays_when_it_has_gone() -> None:
    rows = of(service("web"))
    rows.settled = True
    rows.toggle(Key("service", "shop", "web"))
    row = rows.row(3)
    assert row is not None
    rows.selected = row.key
    fed(rows, service("web", endpoints=[endpoint("web", 1)]))
    assert rows.index_of(row.key) == 3
    assert listed(rows)[3].endswith("gone")
    fed(rows, service("web", endpoints=[endpoint("web", 3)]))
    assert rows.index_of(row.key) == 3
    assert rows.release(Key("service", "shop", "web"))
    assert not any(line.endswith("gone") for line in listed(rows))


def test_the_selected_finding_of_the_cluster_stays_when_it_has_gone() -> None:
    rows = Rows()
    rows.update(shop(), (), frozenset())
    rows.selected = Key("cluster", "", "coredns-one-replica")
    rows.update(replace(shop(), cluster=replace(shop().cluster, findings=())), (), frozenset())
    assert listed(rows)[0] == "cluster: coredns-one-replica gone"
    rows.release(Key("service", "shop", "cart"))
    assert listed(rows)[0].startswith("cannot list")


def test_what_heals_while_selected_stays_in_a_filtered_list() -> None:
    rows = of(service("a", Status.FAIL), service("b", Status.FAIL))
    rows.settled = rows.faults_only = True
    rows.selected = Key("service", "shop", "a")
    fed(rows, service("a"), service("b", Status.FAIL))
    assert listed(rows) == ["shop/a", "shop/b"]
    rows.release(Key("service", "shop", "b"))
    assert listed(rows) == ["shop/b"]


def test_the_next_fault_opens_a_closed_namespace() -> None:
    rows = of(service("a", namespace="alpha"), service("b", Status.FAIL, namespace="beta"))
    rows.toggle(Key("namespace", "beta"))
    assert listed(rows) == ["beta", "alpha", "  a"]
    assert rows.next_fault(Key("service", "alpha", "a"), 1) == Key("service", "beta", "b")
    assert "  b" in listed(rows)


def test_a_service_whose_first_walk_is_under_way_has_no_status() -> None:
    rows = Rows()
    rows.update(with_services(EMPTY, service("young", walked=2)), (), frozenset({("shop", "young"), ("shop", "new")}))
    assert [row and (row.label, row.status) for row in map(rows.row, range(2))] == [
        ("shop/new", None),
        ("shop/young", None),
    ]


def test_a_fault_met_on_the_way_is_a_verdict_already() -> None:
    rows = Rows()
    rows.update(with_services(EMPTY, service("bad", Status.FAIL)), (), frozenset({("shop", "bad")}))
    assert rows.services["shop", "bad"].status is Status.FAIL


def test_denied_and_broken_streams_are_rows() -> None:
    rows = Rows()
    streams = (
        StreamState("pods", "payments", "denied"),
        StreamState("nodes", "", "denied"),
        StreamState("services", "", "denied", verb="watch"),
        StreamState("endpointslices", "", "broken", message="no answer"),
    )
    rows.update(replace(EMPTY, denied=shop().denied), streams, frozenset())
    shown = [rows.row(index) for index in range(len(rows))]
    assert [row and (row.label, row.words) for row in shown] == [
        ("stream of endpointslices broken since 12:00:00", ""),
        ("cannot list nodes in the whole cluster (forbidden)", "svcdoctor rbac -A"),
        ("cannot watch services in the whole cluster (forbidden): listed once a minute", "svcdoctor rbac -A"),
        ("cannot list pods in payments (forbidden)", "svcdoctor rbac -n payments"),
    ]


@pytest.mark.parametrize(
    ("by", "first"), [("status", "b"), ("name", "a"), ("endpoints", "b"), ("changed", "c"), ("namespace", "b")]
)
def test_orders(by: str, first: str) -> None:
    rows = of(service("a"), service("b", Status.FAIL), service("c"))
    fed(rows, *(entry.service for name, entry in rows.services.items() if name[1] != "c"), service("c", Status.WARN))
    rows.sort = by
    rows.rank()
    rows.lay_out()
    assert listed(rows)[0] == f"shop/{first}"


def test_the_youngest_first_and_last_those_of_which_no_age_is_known() -> None:
    created = {"a": None, "b": "2026-02-01T00:00:00Z", "c": "2026-03-01T00:00:00Z"}
    rows = of(*(replace(service(name), created=moment) for name, moment in created.items()))
    rows.sort = "age"
    rows.rank()
    rows.lay_out()
    assert listed(rows) == ["shop/c", "shop/b", "shop/a"]


# --- the filter's language ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "cart front search web"),
        ("ca", "cart"),
        ("!ca", "front search web"),
        ("/!ca", "front search web"),
        ("CART", "cart"),
        ("7d9f-x1 is:pass", "web"),
        ("is:fail", "cart"),
        ("is:fault", "cart search"),
        ("!is:pass", "cart front search"),
        ("is:unk", "front"),
        ("code:slice-", "cart search"),
        ("code:slice- !is:fail", "search"),
        ("ns:shop e", "cart front search web"),
        ("ns:other", ""),
        ("-l app=cart", "cart"),
        ("-l app!=cart is:fail", ""),
        ("!-l app=cart", "front search web"),
        ("[", ""),
    ],
)
def test_filter(text: str, names: str) -> None:
    rows = of(*shop().services)
    rows.matches = parse(text, lambda namespace, name: {"app": name})
    rows.lay_out()
    assert " ".join(sorted(line.removeprefix("shop/") for line in listed(rows))) == names


@pytest.mark.parametrize(
    ("text", "problem"), [("is:broken", "none of"), ("-l a=(", "does not parse"), ("-l app=cart", "not in this data")]
)
def test_filter_says_what_is_wrong(text: str, problem: str) -> None:
    labels = None if problem.startswith("not in") else lambda namespace, name: {"app": name}
    with pytest.raises(FilterError, match=problem):
        parse(text, labels)


def test_a_filter_is_kept_through_updates() -> None:
    rows = of(cart(), service("web"))
    rows.settled = True
    rows.matches = parse("web")
    fed(rows, cart(), service("web"), service("web-2"))
    assert listed(rows) == ["shop/web", "shop/web-2"]
