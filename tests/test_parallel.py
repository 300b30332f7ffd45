"""Jobs that are done at the same time."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from svcdoctor.cluster.parallel import in_parallel


def test_results_come_in_the_order_of_the_jobs() -> None:
    last_is_done = threading.Event()

    def work(job: int) -> int:
        if job == 0:
            last_is_done.wait(30)
        if job == 3:
            last_is_done.set()
        return job * job

    assert list(in_parallel([0, 1, 2, 3], work, 2)) == [(0, 0), (1, 1), (2, 4), (3, 9)]


def test_no_more_run_at_once_than_allowed() -> None:
    running: list[int] = []
    most: list[int] = []
    both = threading.Barrier(2)

    def work(job: int) -> None:
        running.append(job)
        both.wait(30)
        most.append(len(running))
        both.wait(30)
        running.remove(job)

    assert len(list(in_parallel(list(range(6)), work, 2))) == 6
    assert max(most) <= 2


def test_an_error_is_raised_where_its_result_is_asked_for() -> None:
    def work(job: int) -> int:
        if job == 1:
            raise ValueError(f"job {job}")
        return job

    results = in_parallel([0, 1, 2], work, 2)
    assert next(results) == (0, 0)
    with pytest.raises(ValueError, match="job 1"):
        next(results)


def test_no_jobs_are_no_results() -> None:
    nothing: list[Any] = []
    assert list(in_parallel(nothing, lambda job: job, 4)) == []


def test_what_hangs_is_left_out_when_the_time_is_up() -> None:
    freed = threading.Event()
    asked = [lambda: "a", lambda: str(freed.wait(60)), lambda: "c"]
    said = in_parallel(asked, lambda ask: ask(), ends=time.monotonic() + 0.2)
    assert [answer for _, answer in said] == ["a", "c"]
    freed.set()
