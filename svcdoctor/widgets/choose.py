"""Screens that ask one question: a list that narrows as one types, and a menu of single letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.cells import set_cell_size
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.fuzzy import Matcher
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from svcdoctor.text import printable


class Choice(NamedTuple):
    value: str
    words: str = ""


class Picker(ModalScreen[str]):
    """Chooses from names, best match first; what was typed may be chosen too, where names cannot all be listed."""

    HELP = "Type a part of the name; enter takes the marked one, esc leaves things as they are."

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave as it is", id="picker.leave", tooltip="Changes nothing"),
        Binding("down", "mark(1)", "Next", id="picker.next", tooltip="To the next name", show=False),
        Binding("up", "mark(-1)", "Previous", id="picker.previous", tooltip="To the name above", show=False),
    ]

    def __init__(self, title: str, choices: Sequence[Choice], *, typed: bool = False, note: str = "") -> None:
        super().__init__()
        self.question = title
        self.choices = list(choices)
        self.typed = typed
        self.note = note
        self._values: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self.question), classes="dialog-title")
            yield Input(compact=True, id="picker-input")
            yield OptionList(id="picker-list", compact=True, markup=False)
            yield Static(Content(self.note), classes="dialog-note")

    def on_mount(self) -> None:
        self.query_one("#picker-list").can_focus = False
        self.query_one(Input).focus()
        self._fill("")

    def offer(self, choices: Sequence[Choice]) -> None:
        """More names came while the person was looking."""
        known = {choice.value for choice in self.choices}
        self.choices += [choice for choice in choices if choice.value not in known]
        if self.is_mounted:
            self._fill(self.query_one(Input).value)

    def _fill(self, query: str) -> None:
        chosen = self.choices
        if query:
            matcher = Matcher(query)
            scored = [(matcher.match(choice.value), choice) for choice in self.choices]
            chosen = [choice for score, choice in sorted(scored, key=lambda pair: -pair[0]) if score > 0]
        options = [(choice.value, f"{choice.value}   {choice.words}".rstrip()) for choice in chosen[:200]]
        if self.typed and query and query not in [choice.value for choice in self.choices]:
            options.append((query, f"{query}   as typed"))
        listed = self.query_one(OptionList)
        listed.clear_options()
        listed.add_options([Option(Content(printable(text))) for _, text in options])
        self._values = [value for value, _ in options]
        listed.highlighted = 0 if options else None

    def on_input_changed(self, event: Input.Changed) -> None:
        self._fill(event.value.strip())

    def on_input_submitted(self) -> None:
        place = self.query_one(OptionList).highlighted
        if place is not None and place < len(self._values):
            self.dismiss(self._values[place])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._values[event.option_index])

    def action_mark(self, step: int) -> None:
        listed = self.query_one(OptionList)
        if listed.highlighted is not None:
            listed.highlighted = max(0, min(listed.highlighted + step, len(self._values) - 1))

    def action_leave(self) -> None:
        self.dismiss(None)


class Item(NamedTuple):
    """A line of a menu; with a reason, it stands there and cannot be chosen."""

    key: str
    words: str
    value: str
    reason: str = ""


class Menu(ModalScreen[str]):
    """A few things that one letter chooses."""

    HELP = "Press the letter of what you want, or move with the arrows and press enter; esc leaves."

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "Leave", id="menu.leave", tooltip="Changes nothing"),
        Binding("down", "mark(1)", "Next", id="menu.next", tooltip="To the next line", show=False),
        Binding("up", "mark(-1)", "Previous", id="menu.previous", tooltip="To the line above", show=False),
        Binding("enter", "take", "Take", id="menu.take", tooltip="Takes the marked line"),
    ]

    def __init__(self, title: str, items: Sequence[Item]) -> None:
        super().__init__()
        self.question = title
        self.items = items
        self.marked = next((place for place, item in enumerate(items) if not item.reason), 0)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog menu"):
            yield Static(Content(self.question), classes="dialog-title")
            for place, item in enumerate(self.items):
                yield MenuLine(place, item)

    def on_mount(self) -> None:
        self._paint()

    def _paint(self) -> None:
        for line in self.query(MenuLine):
            line.set_class(line.place == self.marked, "-marked")

    def on_key(self, event: events.Key) -> None:
        for item in self.items:
            if item.key == event.character:
                event.stop()
                self._choose(item)

    def _choose(self, item: Item) -> None:
        if item.reason:
            self.app.notify(item.reason, markup=False)
        else:
            self.dismiss(item.value)

    def on_menu_line_pressed(self, event: MenuLine.Pressed) -> None:
        self._choose(event.item)

    def action_mark(self, step: int) -> None:
        self.marked = max(0, min(self.marked + step, len(self.items) - 1))
        self._paint()

    def action_take(self) -> None:
        self._choose(self.items[self.marked])

    def action_leave(self) -> None:
        self.dismiss(None)


class MenuLine(Static):
    class Pressed(Message):
        def __init__(self, item: Item) -> None:
            super().__init__()
            self.item = item

    def __init__(self, place: int, item: Item) -> None:
        style = "dim" if item.reason else ""
        reason = f"   ({item.reason})" if item.reason else ""
        super().__init__(Content.assemble((set_cell_size(item.key, 3), "bold"), (item.words + reason, style)))
        self.place = place
        self.item = item

    def on_click(self) -> None:
        self.post_message(self.Pressed(self.item))
