"""Selectors as kubectl's `-l` takes them (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcdoctor.labels import parse

CART = {"app": "cart", "tier": "web", "app.kubernetes.io/part-of": "shop", "empty": ""}


@pytest.mark.parametrize(
    "selector",
    [
        "app=cart",
        "app==cart",
        " app = cart , tier = web ",
        "app.kubernetes.io/part-of=shop",
        "empty=",
        "app!=stock",
        "absent!=stock",
        "app in (stock, cart)",
        "app notin (stock)",
        "absent notin (stock)",
        "app",
        "!absent",
        "empty in ()",
    ],
)
def test_selectors_that_hold(selector: str) -> None:
    assert all(term.holds(CART) for term in parse(selector))


@pytest.mark.parametrize(
    "selector", ["app=stock", "app!=cart", "app in (stock)", "app notin (cart,web)", "absent", "!app", "absent="]
)
def test_selectors_that_do_not_hold(selector: str) -> None:
    assert not all(term.holds(CART) for term in parse(selector))


@pytest.mark.parametrize(
    "selector",
    ["", ",", "app=cart,", "app=,,", "=cart", "app=a b", "app in cart", "app in (a", "-app", "app=cart;x", "a/b/c=d"],
)
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(ValueError, match="at "):
        parse(selector)


@given(st.text(alphabet="ab=!,( )in/-.", max_size=12))
def test_any_text_is_a_selector_or_a_clear_error(text: str) -> None:
    try:
        terms = parse(text)
    except ValueError as error:
        assert str(error).startswith("at ")
    else:
        assert terms
