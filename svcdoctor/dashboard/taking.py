"""What a person takes along: copies in the clipboard, pages to read, files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from svcdoctor.dashboard.crash import captured
from svcdoctor.dashboard.feeding import Feeding
from svcdoctor.finding import Diagnosis, Summary
from svcdoctor.widgets import excerpt
from svcdoctor.widgets.choose import Item, Menu
from svcdoctor.widgets.formats import formats, rendered
from svcdoctor.widgets.help import Reading, code_page


class Taking(Feeding):
    """The actions that copy, explain and write."""

    def action_copy(self) -> None:
        rows = self.outline.rows
        key, entry = rows.selected, rows.entry_of(rows.selected)
        if key is None or entry is None:
            self.notify("nothing is selected", markup=False)
            return
        diagnosis = self.update.diagnosis if self.update else Diagnosis("", "", "", Summary())
        finding = excerpt.speaking(entry)
        reason = "" if finding else "this row has no finding"
        texts: dict[str, Callable[[], str]] = {
            "name": lambda: excerpt.name(key, entry),
            "command": lambda: excerpt.command(key, entry),
            "finding": lambda: excerpt.finding_text(entry),
            "Markdown": lambda: excerpt.markdown(diagnosis, key, entry),
            "explanation": lambda: code_page(finding.code).plain if finding and finding.code else "",
        }
        items = [
            Item("n", "name", "name"),
            Item("c", "command", "command", "" if texts["command"]() else "this row has none"),
            Item("f", "finding", "finding", reason),
            Item("m", "Markdown", "Markdown"),
            Item("x", "explanation of the code", "explanation", reason),
        ]

        def copied(what: str | None) -> None:
            if what:
                self._copy(what, texts[what]())

        self.push_screen(Menu("copy", items), copied)

    def _copy(self, what: str, text: str) -> None:
        self.copy_to_clipboard(text)
        self.notify(f"{what} copied", markup=False, timeout=2)

    def action_explain(self) -> None:
        rows = self.outline.rows
        entry = rows.entry_of(rows.selected)
        finding = excerpt.speaking(entry) if entry else None
        if finding is None or finding.code is None:
            self.notify("this row has no code to explain", markup=False)
        else:
            self.push_screen(Reading(finding.code, code_page(finding.code)))

    def action_write(self) -> None:
        if self.update is None:
            self.notify("there is nothing to write yet", markup=False)
            return
        diagnosis = self.update.diagnosis
        record = getattr(self.source, "record", None)
        items = [Item(letter, f"{name}: {words}", name) for name, (letter, words, _) in formats().items()]
        reason = "" if record else "this data cannot be recorded"
        items.append(Item("c", "capture: what was read, without secrets, to replay", "capture", reason))

        def chosen(name: str | None) -> None:
            if name == "capture" and record:
                self._aside(lambda: self._write_file("json", lambda: captured(record)))
            elif name:
                extension = formats()[name][2]
                self._aside(lambda: self._write_file(extension, lambda: rendered(diagnosis, name).encode()))

        self.push_screen(Menu("write", items), chosen)

    def _write_file(self, extension: str, produce: Callable[[], bytes]) -> None:
        context = "".join(c if c.isalnum() or c in "-_." else "-" for c in self.request.context)[:40]
        path = Path.cwd() / f"svcdoctor-{context or 'report'}-{self.clock():%Y%m%dT%H%M%S}.{extension}"
        try:
            with path.open("xb") as file:
                file.write(produce())
            words = f"written: {path}"
        except OSError as error:
            words = f"not written: {error}"
        self._then(lambda: self.notify(words, markup=False))
