"""The keys that work anywhere, each with its action and the name under which the palette has it."""

from __future__ import annotations

from textual.binding import Binding, BindingType


def bound(key: str, action: str, words: str, id: str, tooltip: str, *, priority: bool = False) -> Binding:
    return Binding(key, action, words, show=False, id=id, tooltip=tooltip, priority=priority)


KEYS: list[BindingType] = [
    bound("slash", "filter", "Filter", "app.filter", "Lists only what matches the words you type"),
    bound("f", "faults_only", "Faults only", "app.faults-only", "Hides what is good; again: everything"),
    bound("F", "sort_now", "Sort faults to the top", "app.sort-now", "Orders the list anew"),
    bound("s", "sort", "Sort by", "app.sort", "Chooses what the list is ordered by"),
    bound("S", "reverse", "Reverse the order", "app.reverse", "Last first"),
    bound("n", "namespace", "Namespace", "app.namespace", "Chooses or types a namespace"),
    bound("0", "all_namespaces", "All namespaces", "app.all-namespaces", "Looks at every namespace"),
    bound("c", "context", "Context", "app.context", "Chooses another cluster of the kubeconfig"),
    bound("C", "client", "Judge from another Pod", "app.client", "Chooses the Pod that looks names up and connects"),
    bound("y", "copy", "Copy", "app.copy", "Copies a name, a command, a finding, Markdown or an explanation"),
    bound("x", "explain", "Explain this code", "app.explain", "Opens the page of the finding's code"),
    bound("r", "run_again", "Run again", "app.run-again", "Diagnoses the selected Service again, lookups too"),
    bound("R", "run_all_again", "Run all again", "app.run-all-again", "Diagnoses everything again"),
    bound("p", "pause", "Pause or resume", "app.pause", "Holds the picture still; again: goes on"),
    bound("full_stop", "moment(1)", "Next moment", "app.next-moment", "Holds a recording, and goes on by one"),
    bound("comma", "moment(-1)", "Previous moment", "app.previous-moment", "Holds a recording, and goes back"),
    bound("w", "write", "Write a report", "app.write", "Writes the report to a file, in a format of your choice"),
    bound("A", "login", "Log in again", "app.login", "Renews credentials in the terminal, then goes on"),
    bound("1,d", "tab('diagnosis')", "Diagnosis", "app.diagnosis", "The walk, the evidence, the cause"),
    bound("2", "tab('endpoints')", "Endpoints", "app.endpoints", "Each address and port with its Pod"),
    bound("3,v", "tab('yaml')", "YAML", "app.yaml", "The Service and its slices as the API server holds them"),
    bound("4,e", "tab('events')", "Events", "app.events", "What was lately said about it"),
    bound(
        "5,L",
        "tab('logs')",
        "Logs",
        "app.logs",
        "The log of the selected Pod; again: of its next container",
    ),
    bound("P", "previous_log", "Log before the restart", "app.previous-log", "Of the run that crashed; and back"),
    bound("6,at", "tab('commands')", "Command log", "app.commands", "Each read and probe, as a line to type"),
    bound("tab", "focus_next", "Other pane", "app.other-pane", "From the list to the details, and back"),
    bound("t", "theme", "Theme", "app.theme", "Chooses the colours"),
    bound("m", "mouse", "Mouse on or off", "app.mouse", "Off lets the terminal select text"),
    bound("colon", "command_palette", "Commands", "app.palette", "Every action by its name"),
    bound("question_mark,f1", "help", "Help", "app.help", "The keys that work where you are"),
    bound("escape", "up", "Up", "app.up", "Clears the filter, goes back to the list"),
    bound("q", "quit_or_up", "Quit, or up", "app.quit-or-up", "Quits from the list, else goes back to it"),
    bound("ctrl+c", "copy_or_quit", "Copy selection, or quit", "app.copy-or-quit", "Copies marked text", priority=True),
    bound("ctrl+z", "suspend_process", "Suspend", "app.suspend", "Back to the shell; fg returns"),
]
