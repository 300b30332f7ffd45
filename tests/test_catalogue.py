"""Every code of the fault catalogue is found by a check, or docs/codes.md says why objects cannot show it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from svcdoctor.catalogue import pages
from svcdoctor.checks import ALL

HERE = Path(__file__).parent
CATALOGUE = {
    slug: how
    for line in (HERE / "catalogue.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
    for _, how, slug in [line.split()]
}


def not_shown() -> dict[str, str]:
    """The table of codes that no check has, with the reason."""
    page = (HERE.parent / "docs/codes.md").read_text(encoding="utf-8")
    region = re.search(r"<!-- not shown -->\n(.*?)<!-- /not shown -->", page, re.DOTALL)
    assert region
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", region[1], re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return dict(rows)


def test_every_code_of_the_catalogue_has_a_check_or_a_reason() -> None:
    assert set(pages()) | set(not_shown()) >= set(CATALOGUE)


def test_no_code_has_both() -> None:
    assert not set(pages()) & set(not_shown())


def test_codes_are_those_of_the_catalogue() -> None:
    own = {slug for slug in pages() if slug.startswith("unknown-")}
    assert set(pages()) - own | set(not_shown()) <= set(CATALOGUE)


def test_pages_are_what_the_checks_say_of_themselves() -> None:
    for module in ALL:
        document = inspect.cleandoc(module.__doc__)
        for code in module.CHECK.codes:
            page = pages()[code]
            assert page.text in "\n".join(line[4:] or line for line in document.splitlines())
            assert (page.question, page.step) == (document.splitlines()[0], module.CHECK.step)
    owned = [code for page in pages().values() if page.question for code in [page.code]]
    assert sorted(owned) == sorted(code for module in ALL for code in module.CHECK.codes)
    steps = [module.CHECK.step for module in ALL for _ in module.CHECK.codes]
    assert [pages()[code].step for code in owned] == steps, "in the order of the walk"
