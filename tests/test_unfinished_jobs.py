"""A job that is still processing is waited for, and never taken for an empty one."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tap_fullstory_imports.fullstory.retry import poll_waits
from tests.harness import SPEED
from tests.stand_in import Answer, Job, make_events

if TYPE_CHECKING:
    from tests.harness import Folder
    from tests.stand_in import StandIn

ROWS = make_events(4)
NEVER = -1


def waited(api: StandIn, job_id: str = "a") -> list[float]:
    """The tap's seconds between the requests for a job, as the server saw them."""
    times = [request.at for request in api.asked(job_id)]
    return [(after - before) * SPEED for before, after in pairwise(times)]


BODIES = [
    *(b"", b"{}", b"null", b"[]", b"<html>", b"\xff\x00"),
    b'{"results": [], "total_records": "0"}',
    b'{"results": [{"name": "early"}], "total_records": "1"}',
    b'{"code": "processing", "message": "Wait."}',
]


def test_202_with_any_body_waits(api: StandIn, tap: Folder) -> None:
    ready = {f"ready-{number}": body for number, body in enumerate(BODIES)}
    late = {f"late-{number}": body for number, body in enumerate(BODIES)}
    for processing, jobs in ((2, ready), (NEVER, late)):
        for name, body in jobs.items():
            api.add(Job(name, ROWS, processing=processing, processing_body=body))

    run = tap.run(job_ids=[*ready, *late], job_wait_timeout=30)

    assert run.status == 0
    assert run.completed() == dict.fromkeys(ready, 4)
    assert len(run.records()) == 4 * len(ready)
    assert {len(api.asked(name)) for name in ready} == {3}
    assert f"deferred {len(late)}" in run.stderr


def test_poll_waits_grow_to_half_a_minute() -> None:
    assert list(islice(poll_waits(), 8)) == [2, 4, 8, 16, 30, 30, 30, 30]


def test_processing_job_is_polled_ever_more_rarely(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, processing=6))

    run = tap.run(job_ids=["a"], max_attempts=1)  # 202 is no failed attempt

    assert run.status == 0
    assert run.places("a") == [0, 1, 2, 3]
    assert "requests 7, retries 0" in run.stderr
    waits = waited(api)
    assert len(waits) == 6
    for wait, least in zip(waits, (2, 4, 8, 16, 30, 30), strict=True):
        assert least <= wait < least + 10


def test_two_jobs_are_waited_for_at_the_same_time(api: StandIn, tap: Folder) -> None:
    api.add(*(Job(name, rows=ROWS, processing=3) for name in "abcd"))

    run = tap.run(job_ids=list("abcd"), job_wait_timeout=20)

    assert run.status == 0
    assert run.completed() == dict.fromkeys("abcd", 4)


@pytest.mark.parametrize("timeout", [0, 1])
def test_without_time_to_wait_a_job_is_left_for_the_next_run(
    api: StandIn, tap: Folder, timeout: float
) -> None:
    api.add(Job("a", rows=ROWS, processing=NEVER), Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], job_wait_timeout=timeout, speed=1)

    assert run.status == 0
    assert run.places("a") == []
    assert run.places("b") == [0, 1, 2, 3]
    assert run.completed() == {"b": 4}
    assert len(api.asked("a")) <= 1 + timeout
    assert timeout <= run.summary["seconds waited"] <= 2 * timeout


def test_job_wait_timeout_is_kept(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, processing=NEVER))

    run = tap.run(job_ids=["a"], job_wait_timeout=25, speed=20)

    assert run.status == 0
    first, *_, last = (request.at for request in api.asked("a"))
    assert 23 <= (last - first) * 20 < 40
    assert 4 <= len(api.asked("a")) <= 5


def test_job_that_becomes_ready_in_the_last_moment_is_read(
    api: StandIn, tap: Folder
) -> None:
    # Asked for after 0, 2, 6, 14 seconds, and a last time at the timeout.
    api.add(Job("a", rows=ROWS, processing=4))

    run = tap.run(job_ids=["a"], job_wait_timeout=25)

    assert run.status == 0
    assert run.completed() == {"a": 4}
    assert run.places("a") == [0, 1, 2, 3]


def test_all_jobs_share_one_job_wait_timeout(api: StandIn, tap: Folder) -> None:
    api.add(*(Job(name, rows=ROWS, processing=NEVER) for name in "abcdef"))

    run = tap.run(job_ids=list("abcdef"), job_wait_timeout=10, speed=10)

    assert run.status == 0
    first, *_, last = (request.at for request in api.requests)
    assert (last - first) * 10 < 30
    assert "deferred 6" in run.stderr


def test_defer_exits_with_0_and_a_warning(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, processing=NEVER), Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], job_wait_timeout=5, speed=10)

    assert run.status == 0
    assert run.errors == []
    assert run.completed() == {"b": 4}
    [warning] = run.warnings
    for text in ("still processing", "5 s", "next run"):
        assert text in warning
    assert "jobs read 1, already read 0, deferred 1, skipped 0, failed 0" in run.stderr


def test_fail_exits_with_1_and_says_what_to_do(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, processing=NEVER), Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], job_wait_timeout=5, unfinished_jobs="fail")

    assert run.status == 1
    assert run.places("b") == [0, 1, 2, 3]
    assert run.completed() == {"b": 4}
    assert run.lines[-1] == run.errors[-1]
    for text in (
        "Job a failed: ",
        "still processing",
        "`job_wait_timeout`",
        "`unfinished_jobs`",
    ):
        assert text in run.lines[-1]
    assert "jobs read 1, already read 0, deferred 0, skipped 0, failed 1" in run.stderr


@pytest.mark.parametrize("concurrency", [1, 4])
def test_without_time_to_wait_each_run_brings_a_job_on(
    api: StandIn, tap: Folder, concurrency: int
) -> None:
    """A job is put off no more often than the API puts it off."""
    jobs = {f"job-{answers}": answers for answers in (0, 1, 2, 3, 5)}
    api.add(*(Job(name, rows=ROWS, processing=jobs[name]) for name in jobs))
    state: dict[str, Any] = {}

    for number in range(6):
        run = tap.run(
            job_ids=list(jobs),
            job_wait_timeout=0,
            concurrency=concurrency,
            state=state,
        )
        state = run.state
        assert run.status == 0
        assert set(run.completed()) >= {name for name in jobs if jobs[name] <= number}


def test_failure_while_waiting_is_tried_again(api: StandIn, tap: Folder) -> None:
    script: dict[str, list[Answer | None]] = {
        "imports": [Answer(status=202), Answer(status=500), Answer(status=202)]
    }
    api.add(Job("a", rows=ROWS, script=script))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 4}
    assert "requests 4, retries 1" in run.stderr


def test_202_resets_the_attempts(api: StandIn, tap: Folder) -> None:
    answers: list[Answer | None] = [Answer(status=500), Answer(status=202)] * 5
    api.add(Job("a", rows=ROWS, script={"imports": answers}))

    run = tap.run(job_ids=["a"], max_attempts=2)

    assert run.status == 0
    assert run.completed() == {"a": 4}


@pytest.mark.parametrize(
    ("failure", "choice", "exit_status"),
    [(Answer(status=503), "defer", 0), (Answer(drop=True), "fail", 1)],
)
def test_failures_between_the_answers_202_do_not_prolong_the_wait(
    api: StandIn, tap: Folder, failure: Answer, choice: str, exit_status: int
) -> None:
    """Neither for the job with the failures nor for one that only answers 202."""
    answers: list[Answer | None] = [Answer(status=202), *[failure] * 4] * 30
    api.add(
        Job("a", rows=ROWS, script={"imports": answers}),
        Job("b", rows=ROWS, processing=NEVER),
    )

    run = tap.run(job_ids=["a", "b"], job_wait_timeout=100, unfinished_jobs=choice)

    assert run.status == exit_status
    assert run.completed() == {}
    assert "still processing after" in run.stderr
    assert f"{'deferred' if choice == 'defer' else 'failed'} 2" in run.stderr
    first, *_, last = (request.at for request in api.requests)
    assert (last - first) * SPEED < 200


@pytest.mark.parametrize("retry_after", ["40", "40.5"])
def test_retry_after_of_a_202_is_waited(
    api: StandIn, tap: Folder, retry_after: str
) -> None:
    answer = Answer(status=202, headers={"Retry-After": retry_after})
    api.add(Job("a", rows=ROWS, script={"imports": [answer]}), Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"])

    assert run.status == 0
    assert run.completed() == {"a": 4, "b": 4}
    assert float(retry_after) <= waited(api)[0] < 80


def test_retry_after_of_a_202_may_be_shorter_than_the_taps_own_wait(
    api: StandIn, tap: Folder
) -> None:
    """The own waits for six answers are 2, 4, 8, 16, 30 and 30 seconds."""
    answer = Answer(status=202, headers={"Retry-After": "1"})
    api.add(Job("a", rows=ROWS, script={"imports": [answer] * 6}))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert all(wait >= 1 for wait in waited(api))
    assert sum(waited(api)) < 60


@pytest.mark.parametrize("retry_after", ["0", "soon", "-1"])
def test_unusable_retry_after_of_a_202_leaves_the_taps_own_wait(
    api: StandIn, tap: Folder, retry_after: str
) -> None:
    answer = Answer(status=202, headers={"Retry-After": retry_after})
    api.add(Job("a", rows=ROWS, script={"imports": [answer, answer]}))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    first, second = waited(api)
    assert (first >= 2, second >= 4) == (True, True)


@pytest.mark.parametrize("retry_after", ["3600", "9" * 30, "9" * 400])
def test_retry_after_of_a_202_does_not_prolong_the_wait(
    api: StandIn, tap: Folder, retry_after: str
) -> None:
    """Longer than the time that is left: the job is deferred when that is over."""
    answer = Answer(status=202, headers={"Retry-After": retry_after})
    api.add(Job("a", rows=ROWS, script={"imports": [answer] * 9}))

    run = tap.run(job_ids=["a"], job_wait_timeout=20)

    assert run.status == 0
    assert run.completed() == {}
    assert "deferred 1" in run.stderr
    assert len(api.requests) <= 2


def test_many_unfinished_jobs_make_short_lines(api: StandIn, tap: Folder) -> None:
    names = [f"job-{number:03}" for number in range(60)]  # a line names a few
    api.add(*(Job(name, rows=ROWS, processing=NEVER) for name in names))

    run = tap.run(job_ids=names, job_wait_timeout=60)

    assert run.status == 0
    lines = [line for line in run.lines if line.startswith("Waiting for ")]
    assert "(60: job-" in lines[0]
    assert all(len(line) < 250 for line in lines)
    assert "deferred 60" in run.stderr
