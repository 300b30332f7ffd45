"""The model of the EndpointSlice controller, case by case as reconciler.go and utils.go have it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from svcdoctor.endpoints.reconcile import desired_slices, families, slices_of, target_port
from svcdoctor.objects import Endpoint, Endpoints, Pod, Service


def service(**spec: Any) -> Service:
    spec = {"selector": {"app": "cart"}, "ports": [{"port": 80, "targetPort": 8080}], "ipFamilies": ["IPv4"], **spec}
    return msgspec.convert({"metadata": {"name": "cart", "namespace": "shop"}, "spec": spec}, Service)


def pod(
    name: str = "cart-0",
    *,
    ready: bool = True,
    metadata: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> Pod:
    document = {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "labels": {"app": "cart"},
            **(metadata or {}),
        },
        "spec": spec,
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": "10.244.1.7"}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
            **(status or {}),
        },
    }
    return msgspec.convert(document, Pod)


def endpoints(*pods: Pod, **spec: Any) -> list[Endpoint]:
    return [endpoint for piece in desired_slices(service(**spec), pods) for endpoint in piece.endpoints or ()]


def conditions(endpoint: Endpoint) -> tuple[bool | None, bool | None, bool | None]:
    assert endpoint.conditions
    return endpoint.conditions.ready, endpoint.conditions.serving, endpoint.conditions.terminating


@pytest.mark.parametrize(
    ("ready", "deleted", "publish", "expected"),
    [
        (True, False, False, (True, True, False)),
        (False, False, False, (False, False, False)),
        (True, True, False, (False, True, True)),
        (False, True, False, (False, False, True)),
        (False, False, True, (True, False, False)),
        (True, True, True, (True, True, True)),
    ],
)
def test_conditions(ready: bool, deleted: bool, publish: bool, expected: tuple[bool, bool, bool]) -> None:
    metadata = {"deletionTimestamp": "2026-03-01T12:00:00Z"} if deleted else {}
    (endpoint,) = endpoints(pod(ready=ready, metadata=metadata), publishNotReadyAddresses=publish)
    assert conditions(endpoint) == expected


@pytest.mark.parametrize(
    "status",
    [{"phase": "Succeeded"}, {"phase": "Failed"}, {"podIPs": None}, {"podIPs": []}],
)
def test_pods_that_stand_in_no_slice(status: dict[str, Any]) -> None:
    assert endpoints(pod(status=status)) == []


def test_a_pending_pod_with_an_address_stands_in_a_slice() -> None:
    assert len(endpoints(pod(ready=False, status={"phase": "Pending"}))) == 1


def test_a_service_without_pods_has_one_empty_slice() -> None:
    (piece,) = desired_slices(service(), [pod(metadata={"labels": {"app": "ledger"}})])
    assert (piece.endpoints, piece.ports) == ([], [])


@pytest.mark.parametrize("spec", [{"selector": None}, {"selector": {}}, {"type": "ExternalName"}])
def test_services_that_get_no_slices(spec: dict[str, Any]) -> None:
    assert desired_slices(service(**spec), [pod()]) == []


def test_an_endpoint_names_its_pod_its_node_and_its_host() -> None:
    (endpoint,) = endpoints(pod(nodeName="worker", hostname="cart-0", subdomain="cart"))
    assert endpoint.target_ref
    assert (endpoint.target_ref.name, endpoint.target_ref.uid) == ("cart-0", "uid-cart-0")
    assert (endpoint.node_name, endpoint.hostname) == ("worker", "cart-0")
    (other,) = endpoints(pod(hostname="cart-0", subdomain="ledger"))
    assert other.hostname is None


def test_pods_whose_named_port_differs_stand_in_slices_of_their_own() -> None:
    def with_port(name: str, number: int) -> Pod:
        return pod(name, containers=[{"name": "web", "ports": [{"name": "http", "containerPort": number}]}])

    pods = [with_port("a", 8080), with_port("b", 8080), with_port("c", 9090), pod("d", containers=[{"name": "web"}])]
    slices = desired_slices(service(ports=[{"name": "http", "port": 80, "targetPort": "http"}]), pods)
    found = {
        tuple(port.port for port in piece.ports or ()): [
            item.target_ref.name for item in piece.endpoints or () if item.target_ref
        ]
        for piece in slices
    }
    assert found == {(8080,): ["a", "b"], (9090,): ["c"], (): ["d"]}


def test_each_family_has_the_addresses_of_its_kind() -> None:
    dual = pod(status={"podIPs": [{"ip": "10.244.1.7"}, {"ip": "fd00::7"}]})
    slices = desired_slices(service(ipFamilies=["IPv4", "IPv6"]), [dual, pod("old")])
    found = {piece.address_type: [item.addresses for item in piece.endpoints or ()] for piece in slices}
    assert found == {"IPv4": [["10.244.1.7"], ["10.244.1.7"]], "IPv6": [["fd00::7"]]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ipFamilies": ["IPv6"]}, ["IPv6"]),
        ({"ipFamilies": None, "clusterIP": "10.96.0.1"}, ["IPv4"]),
        ({"ipFamilies": None, "clusterIP": "fd00::1"}, ["IPv6"]),
        ({"ipFamilies": None, "clusterIP": "None"}, ["IPv4", "IPv6"]),
        ({"ipFamilies": None}, ["IPv4"]),
    ],
)
def test_families(spec: dict[str, Any], expected: list[str]) -> None:
    assert families(service(**spec)) == expected


@pytest.mark.parametrize(
    ("target", "protocol", "number"),
    [
        (9090, "TCP", 9090),
        (None, "TCP", 80),
        ("http", "TCP", 8080),
        ("http", "UDP", 8081),
        ("admin", "TCP", 15000),  # of a sidecar: an init container that is restarted
        ("once", "TCP", None),  # of an init container that ends
        ("nosuch", "TCP", None),
    ],
)
def test_target_port(target: int | str | None, protocol: str, number: int | None) -> None:
    web = [{"name": "http", "containerPort": 8080}, {"name": "http", "containerPort": 8081, "protocol": "UDP"}]
    sidecar = {"name": "proxy", "restartPolicy": "Always", "ports": [{"name": "admin", "containerPort": 15000}]}
    migrate = {"name": "migrate", "ports": [{"name": "once", "containerPort": 1}]}
    spec = pod(containers=[{"name": "web", "ports": web}], initContainers=[migrate, sidecar]).spec
    (port,) = service(ports=[{"port": 80, "protocol": protocol, "targetPort": target}]).spec.ports or ()
    assert target_port(port, spec) == number


def test_legacy_endpoints_as_slices() -> None:
    document = {
        "metadata": {"name": "cart", "namespace": "shop"},
        "subsets": [
            {
                "addresses": [{"ip": "10.0.0.1", "targetRef": {"kind": "Pod", "name": "a"}}],
                "notReadyAddresses": [{"ip": "10.0.0.2"}],
                "ports": [{"port": 8080}],
            },
            {"addresses": None, "notReadyAddresses": None, "ports": None},
        ],
    }
    first, second = slices_of(msgspec.convert(document, Endpoints))
    assert [(item.addresses, conditions(item)[0]) for item in first.endpoints or ()] == [
        (["10.0.0.1"], True),
        (["10.0.0.2"], False),
    ]
    assert [port.port for port in first.ports or ()] == [8080]
    assert second.endpoints == []
