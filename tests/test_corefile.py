"""What the Corefile does with a name. Each expectation was seen on CoreDNS 1.14.6 asked for the name of a Service."""

from __future__ import annotations

import pytest

from simulate import COREFILE
from svcdoctor.names import corefile
from svcdoctor.names.corefault import asks_itself, complaints
from svcdoctor.names.corefile import Capture, Target, ignores_empty_services, parse, selects

CART = Target("cart.shop.svc.cluster.local", "shop", {"app": "cart"}, {"team": "shop"})
SHOP_ZONE = "shop.svc.cluster.local"


def capture(text: str, target: Target, types: tuple[str, ...] = ("A",), **files: str) -> Capture | None:
    beside = {name.replace("_", "."): value for name, value in files.items()}
    return corefile.capture(parse(text, beside), target, types, beside)


def zones(text: str) -> list[str]:
    return corefile.cluster_zones(parse(text))


def with_rule(rule: str, options: str = "", blocks: str = "") -> str:
    kubernetes = f"kubernetes cluster.local in-addr.arpa {{\n  fallthrough in-addr.arpa\n  {options}\n }}"
    return f".:53 {{\n errors\n {kubernetes}\n {rule}\n forward . /etc/resolv.conf\n}}\n{blocks}"


def found(text: str, target: Target = CART, **files: str) -> Capture:
    caught = capture(text, target, **files)
    assert caught is not None
    return caught


@pytest.mark.parametrize(
    ("rule", "effect"),
    [
        ("template ANY ANY cart.shop.svc.cluster.local {\n rcode NXDOMAIN\n}", "answers NXDOMAIN"),
        ("template ANY ANY CART.shop.svc.cluster.local. { rcode NXDOMAIN }", "answers NXDOMAIN"),
        ("template IN A shop.svc.cluster.local", "answers without a record"),
        (
            'template IN A {\n match ^cart[.]shop[.]\n answer "{{ .Name }} 60 IN A 192.0.2.9"\n fallthrough\n}',
            "answers {{ .Name }} 60 IN A 192.0.2.9",
        ),
        ("template IN A {\n match ^other\n rcode NXDOMAIN\n}", "answers SERVFAIL to every name"),
        ("hosts {\n 192.0.2.9 cart.shop.svc.cluster.local\n fallthrough\n}", "answers 192.0.2.9"),
        ("hosts {\n 192.0.2.9 other.example\n}", "answers SERVFAIL to every name"),
        (
            "rewrite name cart.shop.svc.cluster.local cart.prod.svc.cluster.local",
            "asks for cart.prod.svc.cluster.local instead",
        ),
        (
            "rewrite stop name suffix .shop.svc.cluster.local .prod.svc.cluster.local",
            "asks for cart.prod.svc.cluster.local instead",
        ),
        ("rewrite name prefix cart. old-cart.", "asks for old-cart.shop.svc.cluster.local instead"),
        ("rewrite name substring .shop. .prod.", "asks for cart.prod.svc.cluster.local instead"),
        (
            r"rewrite name regex (.*)\.shop\.svc\.cluster\.local {1}.prod.svc.cluster.local",
            "asks for cart.prod.svc.cluster.local instead",
        ),
        (
            "rewrite stop {\n name regex (.*)\\.shop\\.(.*) {1}.prod.{2}\n answer name (.*) {1}\n}",
            "asks for cart.prod.svc.cluster.local instead",
        ),
        ("acl shop.svc.cluster.local {\n block type A\n}", "refuses the query"),
    ],
)
def test_a_rule_that_takes_the_name(rule: str, effect: str) -> None:
    caught = found(with_rule(rule))
    assert caught.effect.startswith(effect)
    assert caught.where == "Corefile line 7"


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "# template ANY ANY cart.shop.svc.cluster.local",
        "template ANY ANY cart.shop.svc.cluster.local.example.com { rcode NXDOMAIN }",
        "template ANY ANY t.shop.svc.cluster.local { rcode NXDOMAIN }",
        "template IN AAAA { rcode NOERROR }",
        "template CH ANY { rcode NXDOMAIN }",
        "template IN A {\n match ^other\n rcode NXDOMAIN\n fallthrough\n}",
        "hosts {\n 192.0.2.9 other.example\n fallthrough\n}",
        "hosts /etc/coredns/NodeHosts {\n fallthrough\n}",
        "hosts NodeHosts example.org {\n 192.0.2.9 other.example.org\n}",
        "rewrite name shop.example.com cart.shop.svc.cluster.local",
        "rewrite name suffix .shop.example.com .shop.svc.cluster.local",
        "rewrite type ANY HINFO",
        "rewrite name regex ([ x y",
        "file /etc/coredns/shop.db cart.shop.svc.cluster.local",
        "forward shop.svc.cluster.local 192.0.2.53",
        "acl {\n block net 192.0.2.0/24\n}",
        "acl {\n allow net *\n block\n}",
    ],
)
def test_a_rule_that_lets_the_name_pass(rule: str) -> None:
    assert capture(with_rule(rule), CART) is None


def test_aaaa_rules_count_where_both_families_were_asked() -> None:
    assert capture(with_rule("template ANY AAAA { rcode NXDOMAIN }"), CART, ("A", "AAAA"))


@pytest.mark.parametrize(
    ("option", "effect"),
    [
        ("namespaces default prod", "serves no other namespaces than default, prod"),
        ("labels public=yes", "serves only Services labelled public=yes"),
        ("namespace_labels team in (core, infra)", "serves only namespaces labelled team in (core, infra)"),
    ],
)
def test_options_of_the_kubernetes_plugin_that_hide_a_service(option: str, effect: str) -> None:
    caught = found(with_rule("", option))
    assert caught == Capture("Corefile line 5", f"kubernetes {{ {option} }}", effect)


def test_noendpoints_hides_headless_services_only() -> None:
    text = with_rule("", "noendpoints")
    assert capture(text, CART) is None
    assert found(text, CART._replace(is_headless=True)).effect == "serves no headless Services"


def test_the_block_with_the_longest_zone_answers() -> None:
    override = f"{SHOP_ZONE}:53 {{\n template ANY ANY {{\n rcode NXDOMAIN\n }}\n}}"
    assert found(with_rule("", blocks=override)).effect == "answers NXDOMAIN"
    assert "without the kubernetes plugin" in found(with_rule("", blocks=f"{SHOP_ZONE} {{\n errors\n}}")).effect
    assert capture(with_rule("", blocks=override.replace(":53", ":5353")), CART) is None
    assert capture(with_rule("", blocks=override.replace("errors", "view x")), CART) is not None
    assert capture(with_rule("", blocks="example.com {\n template ANY ANY\n}"), CART) is None


def test_imports_of_snippets_and_files_beside_the_corefile() -> None:
    rule = f"template ANY ANY {SHOP_ZONE} {{\n rcode NXDOMAIN\n}}"
    assert found(f"(deny) {{\n{rule}\n}}\n" + with_rule("import deny")).where == "Corefile line 2"
    assert found(with_rule("import /etc/coredns/custom/*.override"), shop_override=rule).where == "shop.override line 1"
    assert (
        found(with_rule("") + "import custom/*.server", shop_server=f"{SHOP_ZONE}:53 {{\n{rule}\n}}").where
        == "shop.server line 2"
    )
    assert capture(with_rule("import custom/*.override"), CART) is None
    assert capture("import x\n" * 3, CART) is None


def test_hosts_of_a_file_that_is_here() -> None:
    text = with_rule("hosts /etc/coredns/NodeHosts {\n fallthrough\n}")
    assert found(text, NodeHosts="192.0.2.9 cart.shop.svc.cluster.local # old").effect == "answers 192.0.2.9"


def test_zones() -> None:
    assert zones(COREFILE) == ["cluster.local"]
    assert zones(COREFILE.replace("cluster.local", "corp.internal")) == ["corp.internal"]
    assert zones("a.example, k8s.example {\n kubernetes\n}") == ["a.example", "k8s.example"]
    assert zones(".:53 {\n forward . 192.0.2.1\n}") == []
    assert zones("") == []


def test_a_corefile_without_braces_and_addresses_over_two_lines() -> None:
    assert zones(".:53\nkubernetes corp.internal\n") == ["corp.internal"]
    [block] = parse("a.example:53,\nb.example:53 {\n errors\n}")
    assert block.zones == ("a.example", "b.example")


@pytest.mark.parametrize(
    "text", ["{", "}", "a {", "a { b {", '"', "}}}{{{", "a b c }", "(x) {\n import x\n}\n. {\n import x\n}", "import\n"]
)
def test_broken_text_is_read_as_far_as_it_goes(text: str) -> None:
    parse(text)
    capture(text, CART)


def test_empty_services_may_be_hidden() -> None:
    option = ignores_empty_services(parse(with_rule("", "ignore empty_service")))
    assert option is not None
    assert option.where == "Corefile line 5"
    assert ignores_empty_services(parse(COREFILE)) is None


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("app=cart", True),
        ("app==cart,tier!=db", True),
        ("app=web", False),
        ("app", True),
        ("!app", False),
        ("app in (web, cart)", True),
        ("app notin (cart)", False),
        ("app ~ 3", None),
    ],
)
def test_selectors(expression: str, selected: bool | None) -> None:
    assert selects(expression, {"app": "cart"}) is selected


# --- what it does not start with -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (with_rule("forwrd . 192.0.2.1"), "there is no plugin forwrd"),
        (with_rule("cache 30").rstrip()[:-1], "it is never closed"),
        (".:53 {\n kubernetes cluster.local {\n pods insecure\n forward . 192.0.2.1\n}\n", "it is never closed"),
        (with_rule('template IN A {\n answer "{{ .Name }} 60 IN A 192.0.2.9\n}'), "it is never closed"),
        (with_rule("", "pod insecure"), "the kubernetes plugin has no option pod"),
        (with_rule("", "pods insecur"), "pods has no mode insecur, only disabled, verified, insecure"),
        (".:53 {\n forward .\n}", "forward names no server"),
        (".:53 {\n forward . 192.0.2.1; cache 30\n}", "192.0.2.1; is no address to forward to"),
        (with_rule("cache 30\n cache 10"), "cache stands twice in one block"),
        (with_rule("", blocks=".:53 {\n errors\n}"), ".:53 is served by line 1 already"),
    ],
)
def test_what_coredns_refuses(text: str, why: str) -> None:
    assert why in [complaint.why for complaint in complaints(text, {})]


@pytest.mark.parametrize(
    "text",
    [
        COREFILE,
        "",
        ".:53\n{\n errors\n forward . 192.0.2.1\n}",
        with_rule("forward example.com 192.0.2.1\n import custom/*.override"),
        with_rule("cache abc\n template IN A {\n rcode NXDOMAIN\n}"),
        with_rule("", blocks="}\n"),
        with_rule("", blocks="example.com:53 {\n forward . 192.0.2.1\n}\n.:5353 {\n errors\n}"),
        with_rule('# "an open quotation in a remark {'),
    ],
)
def test_what_coredns_takes(text: str) -> None:
    assert complaints(text, {}) == []


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("forward . 10.96.0.10", "10.96.0.10, the address of kube-dns"),
        ("forward . 192.0.2.1 127.0.0.1", "127.0.0.1, its own Pod"),
        ("forward . [::1]:53", "[::1]:53, its own Pod"),
    ],
)
def test_where_it_asks_itself(rule: str, said: str) -> None:
    found = asks_itself(parse(f".:53 {{\n {rule}\n}}"), {"10.96.0.10"}, False)
    assert found is not None and found[1] == said


@pytest.mark.parametrize(
    "rule",
    [
        "forward . /etc/resolv.conf",
        "forward . 127.0.0.1:5353",
        "forward . tls://9.9.9.9",
        "forward example.com 10.96.0.10",
        "forward . 10.96.0.10:5353",
    ],
)
def test_where_it_asks_others(rule: str) -> None:
    assert asks_itself(parse(f".:53 {{\n {rule}\n}}"), {"10.96.0.10"}, False) is None
