"""Which workload a selector was meant for: what counts as evidence, and what must never be blamed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcdoctor.endpoints.nearmiss import (
    NearMiss,
    differences_of,
    is_called,
    kind_of,
    misspelt,
    names_relate,
    nearest,
    slip,
)
from svcdoctor.objects import Container, ContainerPort, Metadata, PodSpec, ServicePort, Workload
from svcdoctor.pods.template import Template, matches

PORT = ServicePort(port=80, target_port=8080)


def workload(name: str, *, declares: int | None = None, replicas: int = 1, **labels: str) -> Template:
    ports = [ContainerPort(container_port=declares)] if declares else None
    spec = PodSpec(containers=[Container(name="web", ports=ports)])
    owner = Workload(metadata=Metadata(name=name, namespace="shop"))
    return Template("Deployment", "shop", name, labels, spec, replicas, owner)


def misses(
    service: str, selector: dict[str, str], *templates: Template, claimed: tuple[str, ...] = ()
) -> list[NearMiss]:
    return nearest(service, selector, [PORT], templates, lambda template: template.name in claimed)


def names(found: list[NearMiss]) -> list[str]:
    return [miss.template.name for miss in found]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("frontned", "frontend"),
        ("crat", "cart"),
        ("Cart", "cart"),
        ("shop-cart", "shop_cart"),
        ("order", "orders"),
        ("payment", "paymnt"),
    ],
)
def test_slips_of_the_pen(wanted: str, found: str) -> None:
    assert misspelt(wanted, found)
    assert misspelt(found, wanted)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("v1", "v2"),
        ("web-1", "web-2"),
        ("api", "app"),
        ("blue", "green"),
        ("cart", "cart"),
        ("web", "db"),
        ("redis", "mysql"),
    ],
)
def test_different_things_are_not_misspelt(wanted: str, found: str) -> None:
    assert not misspelt(wanted, found)


@pytest.mark.parametrize(
    ("wanted", "found", "how"),
    [
        ("Cart", "cart", "upper and lower case"),
        ("shop-cart", "shop_cart", "separators"),
        ("carts", "cart", "singular and plural"),
        ("frontned", "frontend", "two letters swapped"),
        ("paymnt", "payment", "1 letter"),
        ("cart", "wallet", ""),
    ],
)
def test_a_slip_says_how_it_came_about(wanted: str, found: str, how: str) -> None:
    assert slip(wanted, found) == how


def test_names_are_compared_by_their_words() -> None:
    assert is_called("cart-svc", "cart")
    assert not is_called("cart", "cart-canary")
    assert names_relate("web", "shop-web")
    assert not names_relate("shop-api", "shop-cart")
    assert not names_relate("svc", "service")


def test_the_workload_called_like_the_service_comes_first() -> None:
    found = misses("cart", {"app": "basket"}, workload("baskets", app="baskets"), workload("cart", app="cart"))
    assert names(found) == ["cart", "baskets"]
    assert all(miss.strong for miss in found)


def test_the_fewest_differences_come_first() -> None:
    one, two = (
        workload("one", app="cart", tier="web", version="v1"),
        workload("two", app="cart", tier="db", version="v1"),
    )
    assert names(misses("entry", {"app": "cart", "tier": "web", "version": "v2"}, two, one)) == ["one", "two"]


def test_a_claimed_workload_is_blamed_only_on_strong_evidence() -> None:
    cart = workload("cart", declares=8080, app="cart")
    assert misses("entry", {"app": "crat"}, cart, claimed=("cart",)) == []
    assert names(misses("cart-public", {"app": "crat"}, cart, claimed=("cart",))) == ["cart"]
    assert misses("cart-canary", {"app": "cart-canary"}, cart, claimed=("cart",)) == []
    assert names(misses("entry", {"app": "crat"}, cart)) == ["cart"]
    assert names(misses("entry", {"app": "cart", "release": "blue"}, cart, claimed=("cart",))) == ["cart"]
    assert names(misses("cart", {"app": "basket"}, cart, claimed=("cart",))) == ["cart"]


def test_a_shared_label_does_not_make_parts_of_one_application_alike() -> None:
    web = workload("blog-web", app="blog", component="web")
    assert misses("blog-db", {"app": "blog", "component": "db"}, web, claimed=("blog-web",)) == []
    found = misses(
        "blog-db", {"app": "blog", "component": "db"}, web, workload("blog-jobs", app="blog", component="jobs")
    )
    assert found == []


def test_weak_evidence_needs_a_workload_that_serves_the_port() -> None:
    web, mailer = workload("storefront", declares=8080, app="storefront"), workload("mailer", app="mailer")
    (miss,) = misses("entry", {"app": "entry"}, web, mailer)
    assert (miss.template.name, miss.kind, miss.strong) == ("storefront", "value-mismatch", False)
    assert misses("entry", {"app": "entry"}, mailer, workload("other", app="other")) == []
    assert names(misses("entry", {"app": "entry"}, mailer)) == ["mailer"]
    assert misses("entry", {"app": "entry"}, workload("db", declares=5432, app="db")) == []


@pytest.mark.parametrize(
    ("selector", "labels", "kind"),
    [
        ({"app": "cart"}, {"app": "basket"}, "value-mismatch"),
        ({"app": "cart"}, {"app.kubernetes.io/name": "cart"}, "key-mismatch"),
        ({"app": "cart"}, {"app": "web", "app.kubernetes.io/name": "cart"}, "key-mismatch"),
        ({"app": "cart"}, {"app": "web", "release": "cart"}, "value-mismatch"),
        ({"app": "cart", "version": "v1"}, {"app": "cart"}, "extra-label"),
        ({"app": "cart", "name": "cart"}, {"app": "cart"}, "extra-label"),
        ({"app": "cart", "Version": "v1"}, {"app": "cart", "version": "v1"}, "key-mismatch"),
        ({"app": "cart", "version": "v1"}, {"app": "basket"}, "value-mismatch"),
        ({"app": "cart"}, {}, "key-mismatch"),
    ],
)
def test_what_the_difference_is_called(selector: dict[str, str], labels: dict[str, str], kind: str) -> None:
    assert kind_of(selector, differences_of(selector, labels)) == kind


LABELS = st.dictionaries(
    st.sampled_from(["app", "name", "app.kubernetes.io/name", "version", "tier"]),
    st.sampled_from(["cart", "crat", "carts", "web", "v1", "v2", ""]),
    max_size=4,
)
WORKLOADS = st.lists(
    st.builds(
        lambda name, labels, port: workload(name, declares=port)._replace(labels=labels),
        st.sampled_from(["cart", "cart-v2", "web", "db"]),
        LABELS,
        st.sampled_from([None, 8080, 5432]),
    ),
    max_size=5,
)


@given(selector=LABELS, templates=WORKLOADS, claimed=st.sets(st.sampled_from(["cart", "web"])))
def test_a_near_miss_is_never_a_match(selector: dict[str, str], templates: list[Template], claimed: set[str]) -> None:
    found = misses("cart", selector, *templates, claimed=tuple(claimed))
    assert not any(matches(selector, miss.template.labels) for miss in found)
    assert all(miss.differences for miss in found)
    assert found == misses("cart", selector, *templates, claimed=tuple(claimed))
    assert len(found) <= 1 or all(miss.strong for miss in found)
