"""Pages to read: the keys that work where the person is, and what a code means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class KeyLine(NamedTuple):
    """A key that works, or the reason why it does not."""

    keys: str
    words: str
    tooltip: str
    reason: str = ""


class Reading(ModalScreen[None]):
    """A page over the dashboard; scrolls, and any way back closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,question_mark,f1,x", "leave", "Close", id="reading.leave", tooltip="Back"),
        Binding("j,down", "scroll(1)", "Down", id="reading.down", tooltip="A line on", show=False),
        Binding("k,up", "scroll(-1)", "Up", id="reading.up", tooltip="A line back", show=False),
        Binding("pagedown,space,ctrl+f", "scroll(10)", "Page down", id="reading.page-down", tooltip="On", show=False),
        Binding("pageup,ctrl+b", "scroll(-10)", "Page up", id="reading.page-up", tooltip="Back", show=False),
    ]

    def __init__(self, title: str, content: Content) -> None:
        super().__init__()
        self.heading = title
        self.content = content

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog page"):
            yield Static(Content(self.heading), classes="dialog-title")
            with VerticalScroll(id="reading-body", can_focus=False):
                yield Static(self.content)
            yield Static("esc closes", classes="dialog-note")

    def action_scroll(self, step: int) -> None:
        self.query_one("#reading-body").scroll_relative(y=step, animate=False)

    def action_leave(self) -> None:
        self.dismiss(None)


def key_page(about: str, groups: Iterable[tuple[str, Sequence[KeyLine]]]) -> Content:
    """What the focused part is for, and the keys that work in it, those of the part first."""
    lines = [Content(flowing(about)), Content("")]
    for title, keys in groups:
        if not keys:
            continue
        lines.append(Content.assemble((title, "bold")))
        width = max(len(line.keys) for line in keys)
        for line in keys:
            style = "dim" if line.reason else ""
            words = f"{line.words}: {line.reason}" if line.reason else line.words
            lines.append(Content.assemble((f"  {line.keys.ljust(width)}  ", "bold"), (words, style)))
        lines.append(Content(""))
    return Content("\n").join(lines)


def own_bindings(node: object) -> list[Binding]:
    """A class's own keys, without those that Textual gives it."""
    return [binding for binding in type(node).__dict__.get("BINDINGS", ()) if isinstance(binding, Binding)]


def key_lines(node: object) -> list[KeyLine]:
    return [
        KeyLine(" ".join(key_name(key) for key in binding.key.split(",")), binding.description, binding.tooltip)
        for binding in own_bindings(node)
    ]


_KEY_NAMES = {
    "slash": "/",
    "full_stop": ".",
    "comma": ",",
    "asterisk": "*",
    "minus": "-",
    "right_square_bracket": "]",
    "left_square_bracket": "[",
    "colon": ":",
    "question_mark": "?",
    "at": "@",
    "escape": "esc",
    "pagedown": "PgDn",
    "pageup": "PgUp",
}


def key_name(key: str) -> str:
    return _KEY_NAMES.get(key, key)


def flowing(text: str) -> str:
    """Paragraphs as one line each, to be broken where the page ends; lines that are indented stay as they are."""
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(part if "\n  " in f"\n{part}" else " ".join(part.split()) for part in paragraphs)


def code_page(code: str) -> Content:
    """The page that `svcdoctor explain CODE` prints."""
    from svcdoctor.catalogue import pages

    page = pages().get(code)
    if page is None:
        return Content(f"there is no page for {code}")
    question = f"\n\nStep {page.step}: {page.question}" if page.question else ""
    return Content(page.text + question)
