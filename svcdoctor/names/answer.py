"""Is what DNS answered for a Service's name right?"""

from __future__ import annotations

import ipaddress

from svcdoctor.case import Case
from svcdoctor.names.lookup import Lookup

CHURN_SECONDS = 60.0
TRUNCATED = 30  # addresses beyond which an answer over UDP may be a part


def is_right(case: Case, answer: Lookup) -> bool:
    """Whether the name of a Service resolved to the Service itself."""
    if not answer.answered:
        return False
    if case.is_external_name:
        return True
    told = {_normal(address) for address in answer.addresses}
    if case.is_headless:
        return _is_right_headless(case, told)
    return bool(told) and told <= {_normal(address) for address in case.cluster_ips}


def _is_right_headless(case: Case, told: set[str]) -> bool:
    """One known address will do: Pods come and go while we ask, and caches and truncation leave some out."""
    known = {_normal(address) for view in case.endpoints for address in view.endpoint.addresses or ()}
    if told & known or len(known) > TRUNCATED:
        return True
    ages = [case.age(pod) for pod in case.pods]
    changes = [
        case.seconds_since(condition.last_transition_time)
        for pod in case.pods
        for condition in pod.status.conditions or ()
    ]
    recent = [seconds for seconds in (*ages, *changes) if seconds is not None and seconds < CHURN_SECONDS]
    return bool(recent) or not known


def _normal(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address
