"""Which search domain has answered a name."""

from __future__ import annotations

from svcdoctor.names.corefile import within
from svcdoctor.names.lookup import Lookup, Lookups


def strange_domains(said: Lookups, zone: str) -> list[str]:
    """The search domains that are not the cluster's."""
    searches = said.resolv_conf.searches if said.resolv_conf else ()
    return [domain.rstrip(".") for domain in searches if domain.strip(".") and not within(domain, zone)]


def answered_by(said: Lookups, answer: Lookup, zone: str) -> str:
    """The search domain outside of the cluster under which the name was found; "" where it is none, or not known."""
    found = [domain for domain in strange_domains(said, zone) if answer.query == f"{answer.name}.{domain}."]
    return found[0] if found and answer.answered and not answer.from_hosts else ""
