"""When something has to end, by the clock that nobody sets."""

from __future__ import annotations

import time


class Deadline:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds

    def left(self, most: float = float("inf")) -> float:
        """Of so many seconds those that are left; never less than 0."""
        return max(0.0, min(most, self.ends - time.monotonic()))

    def put_off(self, seconds: float) -> None:
        self.ends += seconds
