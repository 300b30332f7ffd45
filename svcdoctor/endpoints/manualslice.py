"""EndpointSlices that no controller of Kubernetes makes of a selector: who writes them, and how to write one."""

from __future__ import annotations

from svcdoctor.endpoints.reconcile import CONTROLLER, MANAGED_BY, MIRRORING_CONTROLLER, SERVICE_NAME
from svcdoctor.objects import EndpointSlice

MOST_ENDPOINTS = 10  # a manifest of more is nothing to paste


def writer(piece: EndpointSlice) -> str:
    """Who says that he manages it; "" for nobody."""
    return (piece.metadata.labels or {}).get(MANAGED_BY, "")


def is_mirrored(piece: EndpointSlice) -> bool:
    """Whether it is a copy of an Endpoints object that somebody wrote."""
    return writer(piece) == MIRRORING_CONTROLLER


def claims_the_controller(piece: EndpointSlice) -> bool:
    """Whether it says that the EndpointSlice controller made it, which owns and points to Pods in all that it makes."""
    made = bool(piece.metadata.owner_references) or any(item.target_ref for item in piece.endpoints or ())
    return writer(piece) == CONTROLLER and not made


def is_by_hand(piece: EndpointSlice) -> bool:
    return writer(piece) != CONTROLLER or claims_the_controller(piece)


def named_service(piece: EndpointSlice) -> str:
    return (piece.metadata.labels or {}).get(SERVICE_NAME, "")


def manifest(piece: EndpointSlice, namespace: str, service: str, name: str) -> dict[str, object] | None:
    """The slice as a person would write it for this Service; None where it is too long for that."""
    endpoints = piece.endpoints or []
    if len(endpoints) > MOST_ENDPOINTS:
        return None
    ports = [
        {**({"name": item.name} if item.name else {}), "port": item.port, "protocol": item.protocol or "TCP"}
        for item in piece.ports or ()
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": {SERVICE_NAME: service}},
        "addressType": piece.address_type,
        "endpoints": [{"addresses": item.addresses or []} for item in endpoints],
        "ports": ports,
    }
