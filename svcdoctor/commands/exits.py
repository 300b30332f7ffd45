"""What the exit code says."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    FAIL = 1
    USAGE = 2
    UNREACHABLE = 3
    UNKNOWN = 4
    INTERRUPTED = 130


MEANING = {
    Exit.OK: "Nothing failed (warnings allowed, unless --fail-on warn).",
    Exit.FAIL: "At least one fault that stops traffic, or that --fail-on counts.",
    Exit.USAGE: "The command line is wrong, or names a namespace or Pod that does not exist.",
    Exit.UNREACHABLE: "No kubeconfig, no answer, or credentials that are not accepted: nothing was diagnosed.",
    Exit.UNKNOWN: "Nothing failed, but something needed could not be read or looked up; or some of several contexts.",
    Exit.INTERRUPTED: "Interrupted by ctrl-C.",
}
