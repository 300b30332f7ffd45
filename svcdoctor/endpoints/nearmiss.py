"""Which workload a selector that finds nothing was probably meant for, and in what the two differ.

Two kinds of evidence count. Strong: the names or labels say it (the workload is called like the Service, a label is
misspelt, the value stands under another key, all but an extra label fits). Weak: nothing else in the namespace could
be meant. A workload that another Service already selects is blamed only on strong evidence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from svcdoctor.endpoints.reconcile import target_port
from svcdoctor.objects import PodSpec, ServicePort
from svcdoctor.pods.template import Template, matches
from svcdoctor.text import edit_distance, plural

# Keys that say which application this is. Others (version, tier, environment, release) only tell its variants apart.
IDENTITY_KEYS = frozenset(
    {
        "app",
        "name",
        "run",
        "service",
        "component",
        "k8s-app",
        "app-name",
        "application",
        "app.kubernetes.io/name",
        "app.kubernetes.io/component",
    }
)
# Keys that all workloads of one installation share.
_SHARED_KEYS = frozenset(
    {
        "app.kubernetes.io/instance",
        "app.kubernetes.io/part-of",
        "app.kubernetes.io/managed-by",
        "release",
        "chart",
        "heritage",
    }
)
# Words in a Service's name that say what it is, not what it is for.
_GENERIC = frozenset(
    {"svc", "service", "app", "deployment", "headless", "internal", "external", "public", "lb", "nodeport"}
)
_BATCH = ("Job", "CronJob")
_BETWEEN_WORDS, _SEPARATOR, _NUMBERS = re.compile(r"[-_.]+"), re.compile(r"[-_.\s]"), re.compile(r"\d+")


class Difference(NamedTuple):
    """A pair of the selector that the workload's labels do not hold, and what they hold in its place."""

    key: str
    wanted: str
    found_key: str  # the same key with another value, another key with the same value, or "" for neither
    found: str

    @property
    def slip(self) -> str:
        """In what two spellings of one value differ: `two letters swapped`; "" for two different values."""
        return slip(self.wanted, self.found) if self.found_key == self.key else ""

    @property
    def is_misspelt(self) -> bool:
        return bool(self.slip)

    @property
    def is_renamed(self) -> bool:
        return self.found_key not in ("", self.key)


class NearMiss(NamedTuple):
    template: Template
    kind: str  # "extra-label", "key-mismatch" or "value-mismatch"
    differences: tuple[Difference, ...]
    strong: bool

    @property
    def is_misspelt(self) -> bool:
        return all(difference.is_misspelt for difference in self.differences)


def nearest(
    service_name: str,
    selector: Mapping[str, str],
    ports: Sequence[ServicePort],
    templates: Sequence[Template],
    is_claimed: Callable[[Template], bool],
) -> list[NearMiss]:
    """Workloads that the selector was probably meant for and misses: all strong ones, else a weak one. `is_claimed`
    tells whether another Service selects a workload; it is asked of the few for which that counts."""
    if not selector:
        return []
    candidates = [template for template in templates if _can_serve(template) and not matches(selector, template.labels)]
    misses: list[tuple[tuple[object, ...], NearMiss]] = []
    for template in candidates:
        differences = differences_of(selector, template.labels)
        is_namesake = is_called(service_name, template.name)
        if not is_namesake and not _is_spoken_for(selector, differences):
            continue
        claimed = is_claimed(template)
        if is_namesake or not claimed or _may_be_shared(service_name, template, differences):
            unlike = sum(not difference.is_misspelt for difference in differences)
            order = (template.desired == 0, claimed, template.kind, template.name)
            rank = (template.name != service_name, unlike, len(differences), *order)
            misses.append((rank, NearMiss(template, kind_of(selector, differences), differences, strong=True)))
    if misses:
        return [miss for _, miss in sorted(misses, key=lambda entry: entry[0])]
    weak = _related(service_name, selector, ports, candidates, is_claimed) or _only_choice(
        selector, ports, candidates, templates, is_claimed
    )
    if weak is None:
        return []
    differences = differences_of(selector, weak.labels)
    return [NearMiss(weak, kind_of(selector, differences), differences, strong=False)]


def _can_serve(template: Template) -> bool:
    ended = template.kind == "Pod" and template.owner.status.phase in ("Succeeded", "Failed")
    return template.kind not in _BATCH and not ended


def differences_of(selector: Mapping[str, str], labels: Mapping[str, str]) -> tuple[Difference, ...]:
    differences = []
    for key, wanted in selector.items():
        if labels.get(key) == wanted:
            continue
        renamed = ""
        if wanted in labels.values():
            elsewhere = [other for other, value in labels.items() if value == wanted and other not in selector]
            alike = [other for other in elsewhere if _same_sense(key, other, key in labels)]
            renamed = min(alike, key=_naming_first, default="")
        if renamed:
            differences.append(Difference(key, wanted, renamed, wanted))
        elif key in labels:
            differences.append(Difference(key, wanted, key, labels[key]))
        else:
            differences.append(Difference(key, wanted, "", ""))
    return tuple(differences)


def kind_of(selector: Mapping[str, str], differences: Sequence[Difference]) -> str:
    if any(difference.found_key == difference.key for difference in differences):
        return "value-mismatch"
    if len(differences) < len(selector) and not any(difference.found_key for difference in differences):
        return "extra-label"
    return "key-mismatch"


def _may_be_shared(service_name: str, template: Template, differences: Sequence[Difference]) -> bool:
    """Whether a workload that another Service selects may be meant here, too.

    Its labels must contradict the selector in nothing; if it is akin to this Service by name, a slip of the pen is no
    contradiction.
    """
    others = [item for item in differences if item.found_key == item.key]
    return not others or (names_relate(service_name, template.name) and all(item.is_misspelt for item in others))


def _is_spoken_for(selector: Mapping[str, str], differences: Sequence[Difference]) -> bool:
    """Whether the labels alone say that this workload is meant."""
    others = [item for item in differences if item.found_key == item.key]
    misspelt_ones = [item for item in others if item.is_misspelt]
    unrelated = [item for item in others if item not in misspelt_ones]
    if any(item.key in IDENTITY_KEYS for item in unrelated):
        return False
    if misspelt_ones or any(item.is_renamed for item in differences):
        return True
    # The application agrees, and only what tells its variants apart does not.
    return bool(IDENTITY_KEYS & (selector.keys() - {item.key for item in differences}))


def _same_sense(key: str, other: str, has_both: bool) -> bool:
    """Whether another key may mean the same, as `app.kubernetes.io/name` does for `app`, `Version` for `version`."""
    if other in IDENTITY_KEYS or misspelt(key.rpartition("/")[2], other.rpartition("/")[2]):
        return True
    return key in IDENTITY_KEYS and other not in _SHARED_KEYS and not has_both


def _naming_first(key: str) -> tuple[bool, str]:
    return key not in IDENTITY_KEYS, key


def _related(
    service_name: str,
    selector: Mapping[str, str],
    ports: Sequence[ServicePort],
    candidates: Sequence[Template],
    is_claimed: Callable[[Template], bool],
) -> Template | None:
    """The one workload whose name or labels share the words of the Service's, if it may serve its ports."""
    wanted = [service_name, *(value for key, value in selector.items() if key in IDENTITY_KEYS)]
    related = [
        template
        for template in candidates
        if any(
            names_relate(one, other)
            for one in wanted
            for other in (template.name, *(value for key, value in template.labels.items() if key in IDENTITY_KEYS))
        )
        and not is_claimed(template)
    ]
    return related[0] if len(related) == 1 and not _contradicts(related[0].spec, ports) else None


def _only_choice(
    selector: Mapping[str, str],
    ports: Sequence[ServicePort],
    candidates: Sequence[Template],
    templates: Sequence[Template],
    is_claimed: Callable[[Template], bool],
) -> Template | None:
    """The one workload that has all the selector's keys and serves the Service's ports."""
    having = [template for template in candidates if all(key in template.labels for key in selector)]
    alike = [template for template in having if not is_claimed(template)]
    serving = [template for template in alike if ports and all(_declares(template.spec, port) for port in ports)]
    if len(serving) == 1:
        return serving[0]
    is_alone = sum(_can_serve(template) for template in templates) == 1
    return alike[0] if alike and is_alone and not _contradicts(alike[0].spec, ports) else None


def _contradicts(spec: PodSpec, ports: Sequence[ServicePort]) -> bool:
    """Whether such a Pod declares ports and not the Service's, or lacks a port that the Service names."""
    return any(target_port(port, spec) is None or (_declared(spec) and not _declares(spec, port)) for port in ports)


def _declares(spec: PodSpec, port: ServicePort) -> bool:
    return target_port(port, spec) in _declared(spec)


def _declared(spec: PodSpec) -> set[int]:
    return {port.container_port for container in spec.containers or () for port in container.ports or ()}


def is_called(service_name: str, name: str) -> bool:
    """Whether two names are one, save generic words: `cart-svc` and `cart`."""
    return service_name == name or (bool(_words(name)) and _words(service_name) == _words(name))


def names_relate(one: str, other: str) -> bool:
    """Whether one name holds all words of the other, save generic ones: `cart-svc` and `cart`, `web` and `shop-web`."""
    left, right = _words(one), _words(other)
    return bool(left and right) and (left <= right or right <= left)


@lru_cache(maxsize=1 << 14)  # each Service that finds nothing is held beside all workloads of its namespace
def _words(name: str) -> frozenset[str]:
    return frozenset(filter(None, _BETWEEN_WORDS.split(name.lower()))) - _GENERIC


@lru_cache(maxsize=1 << 14)
def _numbers(value: str) -> list[str]:
    return _NUMBERS.findall(value)


def misspelt(wanted: str, found: str) -> bool:
    """Whether two different values are one word by a slip."""
    return bool(slip(wanted, found))


@lru_cache(maxsize=1 << 10)  # of one workload several ask
def slip(wanted: str, found: str) -> str:
    """How one value became the other: by case, separators, plural, or a letter or two; "" where they are two words.

    Digits must agree: `v1` and `v2` are two things, not one misspelt.
    """
    if wanted == found or _numbers(wanted) != _numbers(found):
        return ""
    if wanted.lower() == found.lower():
        return "upper and lower case"
    left, right = (_SEPARATOR.sub("", value.lower()) for value in (wanted, found))
    if left == right:
        return "separators"
    if left + "s" == right or right + "s" == left:
        return "singular and plural"
    shorter = min(len(left), len(right))
    distance = edit_distance(left, right)
    if distance == 2 and sorted(left) == sorted(right) and shorter >= 4:
        return "two letters swapped"
    return plural(distance, "letter") if distance <= (2 if shorter >= 6 else 1 if shorter >= 4 else 0) else ""
