"""What is kept of a crash: the traceback and the data of the moment, in files that only their owner may read."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

RECORDING_SECONDS = 20.0  # for the recording after a crash


def state_directory() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(base) / "svcdoctor"


def traceback_text(error: Exception) -> str:
    return without_secrets("".join(traceback.format_exception(error)))


def without_secrets(text: str) -> str:
    from svcdoctor.recordings.capture import blanked

    return blanked(text)


def captured(record: Callable[[], bytes]) -> bytes:
    from svcdoctor.recordings import capture

    return capture.without_secrets(record())


def write_private(path: Path, content: bytes) -> bool:
    """Writes a file that only its owner may read, whole or not at all; whether that worked."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        part.replace(path)
    except OSError:
        return False
    return True


def keep_traceback(error: Exception, now: datetime) -> Path | None:
    """The file that it is kept in, if any could be written."""
    path = state_directory() / f"crash-{now:%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    return path if write_private(path, traceback_text(error).encode()) else None


def keep_recording(record: Callable[[], bytes], path: Path) -> Path | None:
    """The data of the moment beside the traceback; nobody waits long for a source that may be what is broken."""
    kept: list[Path] = []

    def keep() -> None:
        # Whatever goes wrong here must not hide what went wrong before.
        with suppress(Exception):
            if write_private(path, captured(record)):
                kept.append(path)

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    thread.join(RECORDING_SECONDS)
    return kept[0] if kept else None
