"""The variables of Services: as a container on a real cluster had them, and what they do to one."""

from __future__ import annotations

from typing import Any

from msgspec import convert

from svcdoctor.clients.serviceenv import MOST_BYTES, fault_of, prefix_of, services_read, size, variables
from svcdoctor.objects import Pod, Service


def service(name: str, ports: list[dict[str, Any]], address: str = "10.96.0.1") -> Service:
    return convert({"metadata": {"name": name}, "spec": {"clusterIP": address, "ports": ports}}, Service)


def crashing(command: list[str], exit_code: int = 1, **ended: str) -> Pod:
    state = {"terminated": {"exitCode": exit_code, **ended}}
    return convert(
        {
            "metadata": {"name": "web"},
            "spec": {"containers": [{"name": "app", "command": command}]},
            "status": {"containerStatuses": [{"name": "app", "restartCount": 3, "state": state}]},
        },
        Pod,
    )


def test_they_are_those_of_a_real_container() -> None:
    assert variables(service("kubernetes", [{"name": "https", "port": 443}])) == {
        "KUBERNETES_PORT": "tcp://10.96.0.1:443",
        "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443",
        "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
        "KUBERNETES_PORT_443_TCP_PORT": "443",
        "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    }


def test_a_service_without_an_address_gives_none() -> None:
    assert variables(service("cart", [{"port": 80}], address="None")) == {}
    assert prefix_of("my-cart") == "MY_CART"


def test_what_a_container_reads() -> None:
    spec = crashing(["sh", "-c", "nc $CART_SERVICE_HOST ${MY_DB_SERVICE_PORT}; echo $KUBE_HOST"]).spec
    assert services_read((spec.containers or [])[0]) == {"CART", "MY_DB"}


def test_thousands_of_services_fill_what_linux_allows() -> None:
    pod = crashing(["sleep", "3600"], startedAt="2026-03-01T11:00:00Z", finishedAt="2026-03-01T11:00:00Z")
    one = service("a-service-of-the-shop", [{"port": 80}])
    few = {str(number): one for number in range(100)}
    many = {str(number): one for number in range(MOST_BYTES // size(one) + 1)}
    assert fault_of(pod, few) is None
    fault = fault_of(pod, many)
    assert fault is not None and fault.code == "svc-env-links-overflow"


def test_one_that_ran_for_a_while_ends_for_another_reason() -> None:
    pod = crashing(["sleep", "3600"], startedAt="2026-03-01T11:00:00Z", finishedAt="2026-03-01T11:00:09Z")
    one = service("a-service-of-the-shop", [{"port": 80}])
    assert fault_of(pod, {str(number): one for number in range(MOST_BYTES // size(one) + 1)}) is None


def test_a_container_that_ended_well_is_not_blamed_on_a_variable() -> None:
    redis = {"redis": service("redis", [{"port": 6379}])}
    assert fault_of(crashing(["sh", "-c", "echo $REDIS_PORT"], exit_code=0), redis) is None
    fault = fault_of(crashing(["sh", "-c", "echo $REDIS_PORT"]), redis)
    assert fault is not None and (fault.variable, fault.value) == ("REDIS_PORT", "tcp://10.96.0.1:6379")
