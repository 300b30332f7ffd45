"""The dashboard through Pilot: screens at their widths, keys, selection, hostile text, sources that fail."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from rich.color import Color
from rich.style import Style
from textual.pilot import Pilot
from textual.widgets import OptionList

import app_sources
from app_sources import (
    NOW,
    CannedSource,
    Opener,
    Posted,
    StreamState,
    TellingSource,
    cart,
    service,
    shop,
    with_services,
)
from svcdoctor import app as app_module
from svcdoctor.app import Dashboard
from svcdoctor.dashboard.crash import keep_traceback
from svcdoctor.demo import recorded_demo, recorded_world
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.finding import Diagnosis, Evidence, ServiceDiagnosis, Status, Subject, fail
from svcdoctor.objects import Pod
from svcdoctor.report import text as report_text
from svcdoctor.session import Recording, by_trouble
from svcdoctor.text import printable
from svcdoctor.widgets.choose import Menu, Picker
from svcdoctor.widgets.detail import TABS, Body, Detail
from svcdoctor.widgets.entries import Key
from svcdoctor.widgets.filter import FilterInput
from svcdoctor.widgets.help import Reading, key_lines, own_bindings
from svcdoctor.widgets.outline import Outline
from svcdoctor.widgets.source import Post, Source, SourceRequest, Update
from svcdoctor.widgets.themes import THEMES, theme_for

SCREENS = Path(__file__).parent / "screens"


def screen_text(app: Dashboard) -> str:
    """What stands on the screen. The only place that asks Textual's compositor, whose name is private."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips) + "\n"


@asynccontextmanager
async def running(
    first: Update | None = None,
    *,
    size: tuple[int, int] = (120, 30),
    opener: Opener | Callable[[SourceRequest, Post], Source] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Dashboard, Pilot[None]]]:
    dashboard = Dashboard(
        opener or Opener(first or Posted(shop()), TellingSource),
        ["kind-suites", "prod-eu"],
        **{"context": "kind-suites", "namespace": "shop", "clock": lambda: NOW, "theme": "svcdoctor-dark"} | options,
        update_interval=0,
        detail_delay=0,
    )
    async with dashboard.run_test(size=size) as pilot:
        await quiet(pilot)
        yield dashboard, pilot


async def quiet(pilot: Pilot[None]) -> None:
    """Until no thread of the dashboard is at work and no message waits."""
    assert isinstance(pilot.app, Dashboard)
    while any(thread.is_alive() for thread in pilot.app.threads):
        await pilot.pause()
    await pilot.pause()
    await pilot.pause()


def outline(dashboard: Dashboard) -> Outline:
    return dashboard.outline


def body_text(dashboard: Dashboard) -> str:
    return dashboard.detail.query_one(Body).text


def toasts(dashboard: Dashboard) -> list[str]:
    return [notification.message for notification in dashboard._notifications]


def post(dashboard: Dashboard, update: Update) -> None:
    """An update as the source's own thread would bring it."""
    opener = dashboard.open_source
    assert isinstance(opener, Opener)
    opener.last.post(update)


def services_of(diagnosis: Diagnosis, **changed: ServiceDiagnosis | None) -> Posted:
    """The same diagnosis with some Services changed, and some gone."""
    kept = [changed.get(entry.name, entry) for entry in diagnosis.services]
    return Posted(with_services(diagnosis, *(entry for entry in kept if entry)))


# --- screens -----------------------------------------------------------------------------------------------------


WALKING = Posted(
    with_services(shop(), *shop().services, service("young", walked=2, endpoints=())),
    checking=frozenset({("shop", "young")}),
    streams=(StreamState("services"), StreamState("pods", "", "broken", message="no answer from 10.0.0.1:6443")),
)
GOLDENS: dict[str, tuple[tuple[int, int], Update | None, tuple[str, ...], dict[str, Any]]] = {
    "first-60": ((60, 20), None, (), {}),
    "first-80": ((80, 30), None, (), {}),
    "first-120": ((120, 30), None, (), {}),
    "first-200": ((200, 30), None, (), {}),
    "cart-60-open": ((60, 34), None, ("j", "enter"), {}),
    "cart-80-open": ((80, 44), None, ("j", "l"), {}),
    "cart-120-open": ((120, 36), None, ("j", "l", "j", "j", "l"), {}),
    "cart-120-ascii": ((120, 36), None, ("j", "l"), {"ascii": True}),
    "walk-120": ((120, 30), WALKING, ("G", "k"), {}),
    "endpoints-120": ((120, 20), None, ("j", "2"), {}),
    "endpoints-60": ((60, 20), None, ("j", "2"), {}),
    "yaml-120": ((120, 16), None, ("j", "v"), {}),
    "logs-120": ((120, 16), None, ("j", "L"), {}),
    "commands-80": ((80, 30), None, ("at",), {}),
    "denied-120": ((120, 24), None, ("g", "j"), {}),
    "filter-80": ((80, 24), None, ("slash", "i", "s", "colon", "f", "a", "i", "l"), {}),
    "copy-80": ((80, 24), None, ("j", "y"), {}),
    "sort-60": ((60, 20), None, ("s",), {}),
    "help-80": ((80, 44), None, ("question_mark",), {}),
    "too-small": ((52, 20), None, (), {}),
    "too-short": ((80, 12), None, (), {}),
}


@pytest.mark.parametrize("name", GOLDENS)
async def test_screen(name: str) -> None:
    size, first, keys, options = GOLDENS[name]
    async with running(first, size=size, **options) as (dashboard, pilot):
        await pilot.press(*keys)
        await quiet(pilot)
        text = screen_text(dashboard)
    golden = SCREENS / f"{name}.txt"
    if os.environ.get("SVCDOCTOR_UPDATE"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    if options.get("ascii"):
        assert text.isascii()


@pytest.mark.parametrize(
    ("size", "classes"),
    [((59, 30), "-tiny"), ((79, 30), "-narrow"), ((80, 30), "-stacked"), ((119, 30), "-stacked"), ((120, 30), "-wide")],
)
async def test_widths(size: tuple[int, int], classes: str) -> None:
    async with running(size=size) as (dashboard, _):
        assert dashboard.base.has_class(classes)


async def test_resizing_keeps_what_is_selected() -> None:
    async with running(size=(120, 30)) as (dashboard, pilot):
        await pilot.press("j", "j")
        before = outline(dashboard).rows.selected
        for size in ((60, 20), (80, 24), (40, 10), (200, 50)):
            await pilot.resize_terminal(*size)
            await quiet(pilot)
            assert outline(dashboard).rows.selected == before
            too_small = "needs 60x16, have 40x10" in screen_text(dashboard)
            assert too_small == (size == (40, 10))
        assert "svcdoctor  ctx" in screen_text(dashboard)


# --- selection ---------------------------------------------------------------------------------------------------


MANY = with_services(shop(), *(service(f"svc-{number:03}") for number in range(200)))


async def test_what_the_cluster_does_moves_neither_cursor_nor_scroll() -> None:
    async with running(Posted(MANY)) as (dashboard, pilot):
        await pilot.press("pagedown", "pagedown", "k", "k")
        list_ = outline(dashboard)
        selected, line = list_.rows.selected, list_.cursor - list_.scroll_offset.y
        assert selected is not None
        lines_before = screen_text(dashboard).splitlines()[line + 2]
        # Some arrive above and below, some go, some turn bad: the order would be another.
        changed = [service(f"svc-{number:03}", Status.FAIL if number % 3 else Status.PASS) for number in range(40)]
        later = [service(f"aaa-{number}") for number in range(30)] + list(MANY.services[45:]) + changed[10:]
        post(dashboard, Posted(with_services(MANY, *later)))
        await quiet(pilot)
        assert list_.rows.selected == selected
        assert list_.cursor - list_.scroll_offset.y == line
        row = list_.rows.row(list_.cursor)
        assert row is not None and row.key == selected
        assert screen_text(dashboard).splitlines()[line + 2] == lines_before
        assert "new faults, F to sort" in screen_text(dashboard)
        await pilot.press("F")
        await quiet(pilot)
        assert list_.rows.selected == selected
        assert "new faults" not in screen_text(dashboard)


async def test_a_vanished_service_stays_until_the_person_moves() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("j")
        assert outline(dashboard).rows.selected == Key("service", "shop", "cart")
        post(dashboard, services_of(shop(), cart=None))
        await quiet(pilot)
        assert outline(dashboard).rows.selected == Key("service", "shop", "cart")
        assert "shop/cart" in screen_text(dashboard)
        assert "has gone from the cluster" in body_text(dashboard)
        await pilot.press("j")
        await quiet(pilot)
        assert "shop/cart " not in screen_text(dashboard)
        assert outline(dashboard).rows.selected == Key("service", "shop", "search")


async def test_until_a_person_moves_the_cursor_waits_on_the_worst() -> None:
    healthy = with_services(replace(shop(), missing=(), denied=()), service("a"), service("b"))
    healthy = replace(healthy, cluster=replace(healthy.cluster, findings=()))
    async with running(Posted(healthy)) as (dashboard, pilot):
        post(dashboard, Posted(with_services(healthy, service("a"), service("b"), cart())))
        await quiet(pilot)
        assert outline(dashboard).rows.selected == Key("service", "shop", "cart")
        await pilot.press("j")
        post(dashboard, Posted(with_services(healthy, service("a", Status.FAIL), service("b"), cart())))
        await quiet(pilot)
        assert outline(dashboard).rows.selected == Key("service", "shop", "a")


async def test_the_detail_follows_the_cursor_and_the_cluster() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("j")
        await quiet(pilot)
        assert "readiness probe asks for a path" in body_text(dashboard)
        post(dashboard, services_of(shop(), cart=service("cart")))
        await quiet(pilot)
        assert "readiness probe" not in body_text(dashboard)
        assert "3 of 3 ready" in body_text(dashboard)


async def test_the_mouse_selects_opens_and_scrolls() -> None:
    async with running(Posted(MANY)) as (dashboard, pilot):
        await pilot.click(Outline, offset=(10, 5))
        await quiet(pilot)
        list_ = outline(dashboard)
        assert list_.cursor == 5
        row = list_.rows.row(5)
        await pilot.click(Outline, offset=(10, 5), times=2)
        await quiet(pilot)
        assert row is not None and list_.rows.services[row.key.namespace, row.key.name].open
        await pilot.click(Detail, offset=(16, 0))
        await quiet(pilot)
        assert dashboard.detail.tab == "endpoints"


# --- keys --------------------------------------------------------------------------------------------------------


async def test_the_palette_has_every_key_under_the_same_name() -> None:
    async with running() as (dashboard, _):
        commands = {command.title: command for command in dashboard.get_system_commands(dashboard.screen)}
        nodes = (dashboard, dashboard.outline, dashboard.detail.query_one(Body))
        bindings = [binding for node in nodes for binding in own_bindings(node)]
        assert {binding.description for binding in bindings} == set(commands)
        assert len({binding.id for binding in bindings}) == len(bindings)
        assert all(binding.id and binding.tooltip and binding.description for binding in bindings)
        for node in nodes:
            for binding in own_bindings(node):
                assert hasattr(node, f"action_{binding.action.partition('(')[0]}"), binding
        assert key_lines(dashboard)


async def test_palette_commands_act() -> None:
    async with running() as (dashboard, pilot):
        commands = {command.title: command for command in dashboard.get_system_commands(dashboard.screen)}
        await commands["Faults only"].callback()
        await commands["Next fault"].callback()
        await quiet(pilot)
        assert "shop/web" not in screen_text(dashboard)
        await pilot.press("colon")
        await quiet(pilot)
        assert type(dashboard.screen).__name__ == "CommandPalette"


async def test_faults_only_and_next_fault() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("f")
        await quiet(pilot)
        text = screen_text(dashboard)
        assert "shop/web" not in text and "faults only" in text
        await pilot.press("f", "right_square_bracket")
        assert outline(dashboard).rows.selected == Key("service", "shop", "cart")
        await pilot.press("left_square_bracket", "left_square_bracket")
        assert outline(dashboard).rows.selected == Key("gap", "payments", "forbidden")
        await pilot.press("asterisk")
        assert outline(dashboard).rows.services["shop", "cart"].open
        await pilot.press("minus")
        assert not outline(dashboard).rows.services["shop", "cart"].open


async def test_filter_narrows_with_each_letter_and_escape_clears_it() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("slash", *"web")
        await quiet(pilot)
        assert outline(dashboard).rows.selected == Key("service", "shop", "web")
        assert "shop/cart" not in screen_text(dashboard)
        assert isinstance(dashboard.focused, FilterInput)
        await pilot.press("enter")
        assert dashboard.focused is dashboard.outline
        assert "filter: web" in screen_text(dashboard)
        await pilot.press("escape")
        await quiet(pilot)
        assert "shop/cart" in screen_text(dashboard)
        await pilot.press("slash", *"is:nothing")
        await quiet(pilot)
        assert "is none of" in screen_text(dashboard)


async def test_enter_and_escape_go_in_and_out_of_a_narrow_screen() -> None:
    async with running(size=(60, 20)) as (dashboard, pilot):
        await pilot.press("j", "enter")
        await quiet(pilot)
        assert "1 service" in screen_text(dashboard) and "shop/search" not in screen_text(dashboard)
        await pilot.press("q")
        await quiet(pilot)
        assert "shop/search" in screen_text(dashboard)
        assert dashboard.is_running


@pytest.mark.parametrize("key", ("q", "ctrl+c", "ctrl+q"))
async def test_quitting(key: str) -> None:
    async with running() as (dashboard, pilot):
        await pilot.press(key)
        await pilot.pause()
        assert dashboard._exit


@pytest.mark.parametrize(
    ("letter", "said"),
    [
        ("n", "cart"),
        ("c", "kubectl -n shop patch deployment cart"),
        ("f", "fail pods-not-ready-probe: the readiness probe"),
        ("m", "### cart"),
        ("x", "Fix"),
    ],
)
async def test_copying(letter: str, said: str) -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("j", "y")
        await quiet(pilot)
        assert isinstance(dashboard.screen, Menu)
        await pilot.press(letter)
        await quiet(pilot)
        assert said in dashboard.clipboard


async def test_what_cannot_be_done_says_why() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("g", "j", "y", "f")
        await quiet(pilot)
        assert isinstance(dashboard.screen, Menu)
        assert "this row has no finding" in screen_text(dashboard)


async def test_explain_opens_the_page_of_the_code() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("j", "x")
        await quiet(pilot)
        assert isinstance(dashboard.screen, Reading)
        assert "svcdoctor" not in dashboard.screen.heading
        await pilot.press("escape")
        await quiet(pilot)
        assert dashboard.screen is dashboard.base


async def test_pause_and_run_again_reach_the_source() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("j", "r", "R", "p")
        await quiet(pilot)
        assert "paused" in screen_text(dashboard)
        await pilot.press("p")
        await quiet(pilot)
        opener = dashboard.open_source
        assert isinstance(opener, Opener)
        assert sorted(opener.last.asked) == [
            "pause",
            "resume",
            "run_again [('shop', 'cart')]",
            "run_again all",
            "start",
        ]


@pytest.mark.parametrize(("key", "said"), [("v", "kind: Service"), ("e", "Unhealthy"), ("L", "listening on 8080")])
async def test_tabs_ask_the_source(key: str, said: str) -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("j", key)
        await quiet(pilot)
        assert said in body_text(dashboard)
        assert_clean(screen_text(dashboard))


@pytest.mark.parametrize("tab", ("yaml", "events", "logs"))
async def test_tabs_say_that_the_source_has_nothing(tab: str) -> None:
    async with running(opener=Opener(Posted(shop()), CannedSource)) as (dashboard, pilot):
        await pilot.press("j", str(TABS.index(tab) + 1))
        await quiet(pilot)
        assert f"{tab} cannot be shown here" in body_text(dashboard)


async def test_writing_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with running() as (dashboard, pilot):
        await pilot.press("w", "j")
        await quiet(pilot)
        (written,) = tmp_path.iterdir()
        assert written.name == "svcdoctor-kind-suites-20260301T120004.json"
        assert '"svcdoctor/v1"' in written.read_text()
        assert toasts(dashboard) == [f"written: {written}"]


async def test_a_written_capture_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def open_source(request: SourceRequest, post: Post) -> Source:
        return Recording([recorded_world()], Scope(), post=post)

    async with running(opener=open_source, namespace=None, context="demo") as (dashboard, pilot):
        while dashboard.update is None:
            await pilot.pause(0.05)
        dashboard.outline.select(Key("service", "shop", "catalog"))
        for tab, said in (("v", "app: catalog"), ("e", "Unhealthy  pod/catalog-"), ("L", "this data has none")):
            await pilot.press(tab)
            await quiet(pilot)
            assert " ".join(said.split()) in " ".join(body_text(dashboard).split())
        await pilot.press("w", "c")
        await quiet(pilot)
        written = tmp_path / "svcdoctor-demo-20260301T120004.json"
        assert toasts(dashboard) == [f"written: {written}"]
    root = Path(app_module.__file__).parents[1]
    command = [sys.executable, "-m", "svcdoctor", "--replay", str(written)]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == report_text.render(diagnose(recorded_world(), Scope()).diagnosis)


async def test_the_moments_of_a_recording_are_stepped_through() -> None:
    worlds = recorded_demo().worlds

    def open_source(request: SourceRequest, post: Post) -> Source:
        return Recording(worlds, Scope(), post=post, seconds=3600.0)

    async with running(opener=open_source, namespace=None, context="demo") as (dashboard, pilot):
        for key, moment in (("", 1), ("full_stop", 2), ("full_stop", 3), ("comma", 2), ("comma", 1), ("comma", 6)):
            await pilot.press(*filter(None, [key]))
            while dashboard.update is None or getattr(dashboard.update, "moment", None) != (moment, len(worlds)):
                await pilot.pause(0.05)
            assert f"moment {moment}/6" in screen_text(dashboard)
            assert dashboard.paused is bool(key)
        await pilot.press("p")
        assert not dashboard.paused


async def test_a_cluster_has_no_moments_to_step_through() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("full_stop")
        assert toasts(dashboard) == ["only a recording of several moments can be stepped through"]
        assert not dashboard.paused


async def test_theme_and_mouse() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("t", *"blue-or", "enter")
        await quiet(pilot)
        assert dashboard.theme == "svcdoctor-blue-orange"
        await pilot.press("m")
        await quiet(pilot)
        assert toasts(dashboard) == ["this terminal has no mouse to release"]


# --- sources -----------------------------------------------------------------------------------------------------


async def test_another_namespace_is_another_source() -> None:
    async with running() as (dashboard, pilot):
        opener = dashboard.open_source
        assert isinstance(opener, Opener)
        first = opener.last
        await pilot.press("n", *"hidden", "enter")
        await quiet(pilot)
        assert opener.last.request == SourceRequest("kind-suites", "hidden")
        assert "stop" in first.asked
        await pilot.press("0")
        await quiet(pilot)
        assert opener.last.request.namespace is None
        await pilot.press("c", *"prod", "enter")
        await quiet(pilot)
        assert opener.last.request == SourceRequest("prod-eu", "")


async def test_in_another_place_the_list_starts_anew() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("j", "j")
        opener = dashboard.open_source
        assert isinstance(opener, Opener)
        elsewhere = replace(with_services(shop(), service("ledger", namespace="payments")), missing=())
        opener.first = Posted(elsewhere)
        await pilot.press("n", *"payments", "enter")
        await quiet(pilot)
        text = screen_text(dashboard)
        assert "payments/ledger" in text
        assert "has gone" not in text and "new fault" not in text and "shop/" not in text
        assert not outline(dashboard).rows.settled


async def test_a_filter_by_labels_asks_the_source_of_the_new_place() -> None:
    class Labelled(CannedSource):
        def labels(self, namespace: str, name: str) -> dict[str, str]:
            return {"place": self.request.context}

    async with running(opener=Opener(Posted(shop()), Labelled)) as (dashboard, pilot):
        await pilot.press("slash", *"-l", "space", *"place=prod-eu", "enter")
        await quiet(pilot)
        assert "shop/cart" not in screen_text(dashboard)
        await pilot.press("c", *"prod", "enter")
        await quiet(pilot)
        assert "shop/cart" in screen_text(dashboard)


async def test_a_dead_cluster_is_left_at_once() -> None:
    released = threading.Event()

    class Hanging(CannedSource):
        def stop(self) -> None:
            released.wait(20)

    kinds = iter((Hanging, CannedSource))
    first = Posted(with_services(shop(), service("old")))

    class Mixed(Opener):
        def __call__(self, request: SourceRequest, post: Post) -> CannedSource:
            self.kind = next(kinds)
            return super().__call__(request, post)

    opener = Mixed(first)
    async with running(opener=opener) as (dashboard, pilot):
        opener.first = Posted(with_services(shop(), service("fresh")))
        stale = opener.last
        await pilot.press("c", *"prod", "enter")
        while "fresh" not in screen_text(dashboard):
            await pilot.pause()
        assert any(thread.is_alive() for thread in dashboard.threads)
        # What the old cluster still has to say is not shown.
        stale.post(first)
        await pilot.pause()
        assert "shop/old" not in screen_text(dashboard)
        released.set()


async def test_a_source_that_cannot_be_opened_is_a_row() -> None:
    answers = iter((OSError("connection refused [/x]"), None))

    def open_source(request: SourceRequest, post: Post) -> Source:
        error = next(answers)
        if error:
            raise error
        return CannedSource(request, post, Posted(shop()))

    async with running(opener=open_source, size=(160, 20)) as (dashboard, pilot):
        text = screen_text(dashboard)
        assert "no answer from kind-suites" in text and "connection refused [/x]" in text
        await pilot.press("r")
        await quiet(pilot)
        assert "shop/cart" in screen_text(dashboard)


async def test_nothing_in_scope_says_so() -> None:
    empty = replace(with_services(shop()), missing=(), denied=())
    async with running(Posted(empty)) as (dashboard, _):
        assert "no Service in namespace shop" in screen_text(dashboard)


async def test_names_that_can_be_listed_are_offered() -> None:
    class Naming(CannedSource):
        def namespaces(self) -> list[str]:
            return ["payments", "shop", "[red]"]

    async with running(opener=Opener(Posted(shop()), Naming)) as (dashboard, pilot):
        await pilot.press("n")
        await quiet(pilot)
        assert isinstance(dashboard.screen, Picker)
        assert dashboard.screen.query_one(OptionList).option_count == 4
        assert "[red]" in screen_text(dashboard)


async def test_names_that_cannot_be_listed_may_be_typed_and_it_is_said_why() -> None:
    class Failing(CannedSource):
        def namespaces(self) -> list[str]:
            raise ValueError("no names today")

    async with running(opener=Opener(Posted(shop()), Failing)) as (dashboard, pilot):
        await pilot.press("n")
        await quiet(pilot)
        assert isinstance(dashboard.screen, Picker)
        assert toasts(dashboard) == ["namespaces cannot be listed: no names today"]


async def test_the_order_of_the_list_is_chosen() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("s", "n")
        await quiet(pilot)
        rows = [outline(dashboard).rows.row(place) for place in range(len(outline(dashboard).rows))]
        assert [row.key.name for row in rows if row.key.kind == "service"] == ["cart", "front", "search", "web"]
        assert "by name" in screen_text(dashboard)


async def test_another_pod_is_chosen_to_judge_from() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("C", *"web-7d9f-x2", "enter")
        await quiet(pilot)
        assert isinstance(dashboard.open_source, Opener)
        assert dashboard.open_source.last.request.client == "shop/web-7d9f-x2"


async def test_all_namespaces_are_asked_for_once() -> None:
    async with running() as (dashboard, pilot):
        await pilot.press("0")
        await quiet(pilot)
        assert isinstance(dashboard.open_source, Opener)
        assert dashboard.open_source.last.request.namespace is None
        await pilot.press("0")
        await quiet(pilot)
        assert toasts(dashboard) == ["all namespaces are listed"]


# --- hostile text ------------------------------------------------------------------------------------------------


HOSTILE = (
    "[red]x[/red]",
    "a[/x]b",
    "[@click=app.bell]x[/]",
    "[bold",
    "http://[fd00::1]:80/",
    "[link=https://x]y[/link]",
    "$error",
    "\\[",
    "\x1b]52;c;eA==\x07",
    "\x1b[2J\x9b31m",
    "\u202egnp\u202c",
    "\u200b\ufeff",
    "漢字" * 20,
    "long" * 1000,
)


def assert_clean(text: str) -> None:
    assert all(character.isprintable() for character in text.replace("\n", ""))


def hostile_update() -> Posted:
    """Each payload as every name and message there is. What a Diagnosis holds has passed the core's gate."""
    base = shop()
    services, missing, cluster, denied = [], [], [], []
    for word in map(printable, HOSTILE):
        subject = Subject("Service", word, word)
        wrong = fail("selector-value-mismatch", subject, word, Evidence(word, word, word), inferred=True)
        row = replace(app_sources.endpoint("x", 1, Status.FAIL, word), address=word, pod=word, node=word)
        bad = service(word, Status.FAIL, namespace=word, endpoints=[row], findings=[wrong], headline=word, cause=word)
        services.append(bad)
        missing.append(replace(base.missing[0], namespace=word, name=word, findings=(wrong,)))
        cluster.append(wrong)
        denied.append(replace(base.denied[0], namespace=word, message=word))
    diagnosis = replace(
        with_services(base, *services),
        context=printable(HOSTILE[0]),
        missing=tuple(missing),
        cluster=replace(base.cluster, findings=tuple(cluster)),
        denied=tuple(denied),
    )
    return Posted(
        diagnosis,
        streams=tuple(StreamState("pods", payload, "broken", message=payload) for payload in HOSTILE),
        log=tuple(app_sources.LogEntry("read", payload, payload, 1.0) for payload in HOSTILE),
    )


class HostileSource(TellingSource):
    def objects(self, namespace: str, name: str) -> str:
        return "\n".join(HOSTILE)

    def events(self, namespace: str, name: str) -> list[str]:
        return list(HOSTILE)

    def logs(self, namespace: str, pod: str, container: str, follow: bool, previous: bool) -> Iterator[str]:
        yield from HOSTILE

    def namespaces(self) -> list[str]:
        return list(HOSTILE)


async def test_hostile_text_on_every_widget() -> None:
    opener = Opener(hostile_update(), HostileSource)
    async with running(opener=opener, context=HOSTILE[8], size=(160, 60)) as (dashboard, pilot):
        assert_clean(screen_text(dashboard))
        await pilot.press("asterisk")
        list_ = outline(dashboard)
        kinds = [entry for entry in list_.rows.shown if entry.key.kind in ("service", "gap")]
        for entry in kinds:
            list_.select(entry.key)
            await pilot.pause()
            assert_clean(screen_text(dashboard))
        await pilot.press("right_square_bracket")
        list_.select(next(entry.key for entry in list_.rows.shown if entry.key.kind == "service"))
        for key in ("2", "3", "4", "5", "6", "1", "n"):
            await pilot.press(key)
            await quiet(pilot)
            assert_clean(screen_text(dashboard))
        await pilot.press("escape", "y", "m")
        await quiet(pilot)
        assert_clean(dashboard.clipboard)
        await pilot.press("slash", *"[/x]", "enter", "escape", "question_mark")
        await quiet(pilot)
        assert_clean(screen_text(dashboard))


@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_context(payload: str) -> None:
    async with running(context=payload, namespace=payload, size=(160, 20)) as (dashboard, _):
        assert_clean(screen_text(dashboard))


async def test_what_goes_wrong_in_the_source_is_said_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with running() as (dashboard, pilot):
        dashboard._aside(lambda: [][0])
        await quiet(pilot)
        assert "IndexError" in toasts(dashboard)[0]
        assert dashboard.is_running
    (kept,) = (tmp_path / "svcdoctor").iterdir()
    assert "IndexError" in kept.read_text()


async def test_when_nobody_looks_any_more_all_is_unknown_until_it_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with running() as (dashboard, pilot):
        opener = dashboard.open_source
        assert isinstance(opener, Opener)
        first = opener.last
        dashboard.source_failed(RuntimeError("[/x] unforeseen"))
        await quiet(pilot)
        shown = screen_text(dashboard)
        assert "nothing is watched any more  r starts again" in shown
        assert "4 unknown" in shown and " pass " not in shown and " fail " not in shown
        (kept,) = (tmp_path / "svcdoctor").iterdir()
        assert "unforeseen" in kept.read_text()
        first.post(Posted(shop()))  # too late: what it brings is not looked after
        await quiet(pilot)
        assert "4 unknown" in screen_text(dashboard)
        await pilot.press("g")
        await pilot.pause()
        assert "[/x] unforeseen" in body_text(dashboard) and kept.name in body_text(dashboard).replace("\n", "")
        await pilot.press("r")
        await quiet(pilot)
        assert opener.last is not first
        assert "1 fail" in screen_text(dashboard) and "nothing is watched" not in screen_text(dashboard)


class Containers(TellingSource):
    def containers(self, namespace: str, pod: str) -> list[str]:
        return ["migrate", "web"]

    def logs(self, namespace: str, pod: str, container: str, follow: bool, previous: bool) -> Iterator[str]:
        yield f"{container} speaks {'as it crashed' if previous else 'now'}"


async def test_the_log_of_the_next_container_comes_with_the_same_key() -> None:
    async with running(opener=Opener(Posted(shop()), Containers)) as (dashboard, pilot):
        outline(dashboard).select(Key("service", "shop", "cart"))
        seen = []
        for _ in range(3):
            await pilot.press("L")
            await quiet(pilot)
            seen.append(" ".join(body_text(dashboard).split()))
        assert "container migrate (1 of 2, L: the next)" in seen[0] and "migrate speaks now" in seen[0]
        assert "container web (2 of 2, L: the next)" in seen[1] and "web speaks now" in seen[1]
        assert seen[2] == seen[0]


async def test_the_log_of_the_run_that_crashed_and_back() -> None:
    async with running(opener=Opener(Posted(shop()), Containers)) as (dashboard, pilot):
        outline(dashboard).select(Key("service", "shop", "cart"))
        seen = []
        for key in ("P", "L", "P"):
            await pilot.press(key)
            await quiet(pilot)
            seen.append(" ".join(body_text(dashboard).split()))
        assert "migrate (1 of 2, L: the next): before it was restarted, the last lines (P: this run)" in seen[0]
        assert "migrate speaks as it crashed" in seen[0]
        assert "web speaks as it crashed" in seen[1]
        assert "the last lines, followed (P: before the restart)" in seen[2] and "web speaks now" in seen[2]


@pytest.mark.parametrize(
    ("init", "main", "order"),
    [
        ("", '"state": {"running": {}}, "ready": true', ["web", "migrate"]),
        ('"state": {"waiting": {}}, "restartCount": 4', '"state": {"waiting": {}}', ["migrate", "web"]),
        ('"state": {"terminated": {"exitCode": 0}}', '"state": {"waiting": {}}, "restartCount": 2', ["web", "migrate"]),
    ],
)
def test_the_log_that_says_why_a_pod_does_not_work_comes_first(init: str, main: str, order: list[str]) -> None:
    status = f"""{{"initContainerStatuses": [{{"name": "migrate"{init and ", " + init}}}],
        "containerStatuses": [{{"name": "web", {main}}}]}}"""
    spec = """{"initContainers": [{"name": "migrate"}], "containers": [{"name": "web"}]}"""
    pod = msgspec.json.decode(f'{{"metadata": {{}}, "spec": {spec}, "status": {status}}}', type=Pod)
    assert by_trouble(pod) == order


def test_the_dashboard_starts_without_what_only_a_cluster_needs() -> None:
    heavy = ["kubernetes", "httpx", "dns", "svcdoctor.checks", "svcdoctor.live"]
    heavy += [f"svcdoctor.cluster.{name}" for name in ("kube", "probe", "collect")]
    code = f"import sys, svcdoctor.app; print(*set({heavy!r}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


# --- colours -----------------------------------------------------------------------------------------------------


def contrast(style: Style) -> float:
    def luminance(color: Color | None) -> float:
        assert color is not None and color.triplet is not None
        parts = [part / 255 for part in color.triplet]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(style.color), luminance(style.bgcolor)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
async def test_contrast_of_our_themes(theme: str) -> None:
    async with running(theme=theme) as (dashboard, _):
        names = ("pass", "fail", "warn", "unknown", "skip", "dim", "name", "row", "checking", "gone", "cursor")
        for name in names:
            style = outline(dashboard).get_component_rich_style(f"outline--{name}")
            assert contrast(style) >= 4.5, name


def test_the_theme_that_a_terminal_can_show() -> None:
    assert theme_for({"TERM": "xterm-256color"}) == "svcdoctor-dark"
    assert theme_for({"TERM": "xterm", "COLORTERM": "truecolor"}) == "svcdoctor-dark"
    assert theme_for({"TERM": "linux"}) == "ansi-dark"
    assert theme_for({"TERM": "xterm-256color", "NO_COLOR": "1"}) == "ansi-dark"
    assert theme_for({"TERM": "xterm-256color", "NO_COLOR": ""}) == "svcdoctor-dark"


async def test_no_color_sends_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with running(theme=None) as (dashboard, pilot):
        await pilot.press("j", "l")
        await quiet(pilot)
        strips = dashboard.screen._compositor.render_strips()
        styles = [segment.style for strip in strips for segment in strip if segment.style]
        for style in styles:
            for color in (style.color, style.bgcolor):
                assert color is None or color.is_default or color.triplet is None, style
        assert any(style.reverse for style in styles)


# --- crashes -----------------------------------------------------------------------------------------------------


async def test_a_crash_leaves_its_traceback_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        async with running() as (dashboard, pilot):
            monkeypatch.setattr(app_module, "key_page", broken)
            await pilot.press("question_mark")
            await pilot.pause()
    assert dashboard.crash_file is not None
    assert dashboard.crash_file.parent == tmp_path / "svcdoctor"
    assert "broken on purpose" in dashboard.crash_file.read_text()
    assert str(dashboard.crash_file) in dashboard.last_words()


async def test_a_crash_that_nothing_can_be_written_of_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    async with running() as (dashboard, _):
        dashboard.crash = RuntimeError("broken on purpose, token=abc")
        dashboard.crash_file = keep_traceback(dashboard.crash, NOW)
        assert dashboard.crash_file is None
        assert "RuntimeError: broken on purpose, token=REDACTED" in dashboard.last_words().splitlines()[-1]
