"""Jobs that are done at the same time. Daemon threads do them: an interrupt waits for no slow server."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TypeVar

MOST_AT_ONCE = 8  # requests, or probes: what a server's fair queuing gives one client without complaint

J = TypeVar("J")
R = TypeVar("R")


def in_parallel(
    jobs: Sequence[J], work: Callable[[J], R], workers: int = MOST_AT_ONCE, *, ends: float | None = None
) -> Iterator[tuple[J, R]]:
    """Each job with its result, in the order of the jobs; what a job raises is raised where its result is asked for.

    What is not done at `ends` (of time.monotonic) is left out, and nobody waits for it.
    """
    waiting: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Future[R]]] = queue.SimpleQueue()

    def serve() -> None:
        while (index := waiting.get()) is not None:
            result: Future[R] = Future()
            try:
                result.set_result(work(jobs[index]))
            except BaseException as error:  # raised again where the result is asked for
                result.set_exception(error)
            done.put((index, result))

    for index in range(len(jobs)):
        waiting.put(index)
    for _ in range(min(workers, len(jobs))):
        waiting.put(None)
        threading.Thread(target=serve, daemon=True).start()
    finished: dict[int, Future[R]] = {}
    for index, job in enumerate(jobs):
        while index not in finished:
            left = None if ends is None else max(0.0, ends - time.monotonic())
            try:
                place, result = done.get(timeout=left)
            except queue.Empty:
                break
            finished[place] = result
        if index in finished:
            yield job, finished.pop(index).result()
