"""The filter: its language, and the line in which it is typed.

Words stand side by side and must all hold: text; `!text` or `/!text` what must not be there; `is:fail`, `is:fault`;
`code:selector-` a code's beginning; `ns:shop`; `-l app=cart` labels as kubectl takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from svcdoctor.finding import Status
from svcdoctor.labels import parse as parse_labels
from svcdoctor.widgets.entries import Entry
from svcdoctor.widgets.marks import CHECKING

Matches = Callable[[Entry], bool]
Labels = Callable[[str, str], Mapping[str, str]]
STATES = (*(str(status) for status in Status), CHECKING, "fault")


class FilterError(ValueError):
    """The words are no filter; the message says which and why."""


def parse(text: str, labels: Labels | None = None) -> Matches | None:
    """What a filter's words ask for, or None where they ask for nothing."""
    terms = [_term(word, labels) for word in _words(text)]
    if not terms:
        return None
    if len(terms) == 1:
        return terms[0]
    return lambda entry: all(term(entry) for term in terms)


def _words(text: str) -> list[str]:
    """`-l` takes the word after it along."""
    words: list[str] = []
    for word in text.lower().split() if " -l" not in f" {text}" else text.split():
        if words and words[-1] in ("-l", "!-l"):
            words[-1] += f" {word}"
        else:
            words.append(word)
    return words


def _term(word: str, labels: Labels | None) -> Matches:
    word = word.removeprefix("/")
    if word.startswith("!") and len(word) > 1:
        inner = _term(word[1:], labels)
        return lambda entry: not inner(entry)
    if word.startswith("-l"):
        return _labelled(word[2:].strip(), labels)
    name, colon, value = word.partition(":")
    value = value.lower()
    if colon and name == "is":
        return _state(value)
    if colon and name == "code":
        return lambda entry: any(code.startswith(value) for code in entry.codes())
    if colon and name == "ns":
        return lambda entry: entry.key.namespace == value
    needle = word.lower()
    return lambda entry: needle in entry.haystack()


def _state(value: str) -> Matches:
    if value not in STATES:
        # While it is being typed, the beginning of a word is no error yet.
        if any(state.startswith(value) for state in STATES):
            return lambda entry: any(_is(entry, state) for state in STATES if state.startswith(value))
        raise FilterError(f"is:{value} is none of {', '.join(STATES)}")
    return lambda entry: _is(entry, value)


def _is(entry: Entry, state: str) -> bool:
    if state == "fault":
        return entry.status in (Status.FAIL, Status.WARN)
    if state == CHECKING:
        return entry.status is None
    return entry.status == state


def _labelled(selector: str, labels: Labels | None) -> Matches:
    if labels is None:
        raise FilterError("labels are not in this data, so -l finds nothing")
    try:
        terms = parse_labels(selector) if selector else ()
    except ValueError as error:
        raise FilterError(f"-l {selector} does not parse {error}") from None
    found = labels

    def matches(entry: Entry) -> bool:
        name = entry.key.service
        return name is not None and all(term.holds(found(*name)) for term in terms)

    return matches


class FilterBar(Horizontal):
    """One line to type in; the list follows each letter."""

    class Changed(Message):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Done(Message):
        """The person goes back to the list; the filter stays."""

    def compose(self) -> ComposeResult:
        yield Static("/", id="filter-slash")
        yield FilterInput(id="filter-input", compact=True, select_on_focus=False)
        yield Static(id="filter-problem")

    def say(self, problem: str) -> None:
        said = self.query_one("#filter-problem", Static)
        if said.content != problem:  # each update has the screen arranged anew
            said.update(Content(problem))

    @property
    def text(self) -> str:
        return self.query_one(FilterInput).value

    @text.setter
    def text(self, value: str) -> None:
        self.query_one(FilterInput).value = value

    def edit(self) -> None:
        self.display = True
        self.query_one(FilterInput).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Done())

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        self.display = bool(self.text)


class FilterInput(Input):
    HELP = """\
Words that must all hold, matched against names, addresses, Pods and codes:

  text         what must be there
  !text        what must not
  is:fail      a status: fail, warn, unknown, pass, checking; is:fault is fail or warn
  code:slice-  the beginning of a code
  ns:shop      a namespace
  -l app=cart  labels, as kubectl takes them

enter goes to the list and keeps the filter, esc clears it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.up", "Clear the filter", id="filter.clear", tooltip="Everything again", show=False),
        Binding("down", "app.focus_list", "To the list", id="filter.list", tooltip="Keeps the filter", show=False),
    ]
