"""The checks, one module a question, in the order of the walk. Adding one: write its module and list it here."""

from __future__ import annotations

from types import ModuleType

from svcdoctor.checks import (
    service_has_backends,
    slices_hold_ready_pods,
)

ALL: tuple[ModuleType, ...] = (
    service_has_backends,
    slices_hold_ready_pods,
)
