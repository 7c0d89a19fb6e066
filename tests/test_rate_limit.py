"""The tap waits as long as the API asks, and holds up no other job for it."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.harness import SPEED
from tests.limiters import Bucket, FixedWindow
from tests.stand_in import Answer, Job, StandIn, make_events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness import Run
    from tests.limiters import Limiter

from tests.harness import Folder

ROWS = make_events(4)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DATE = format_datetime(NOW, usegmt=True)


def limited(
    retry_after: str | None, status: int = 429, date: str | None = None
) -> Answer:
    headers = {"Retry-After": retry_after, "Date": date}
    given = {name: text for name, text in headers.items() if text is not None}
    return Answer(status=status, headers=given)


def in_seconds(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


def waited(api: StandIn, speed: float = SPEED) -> list[float]:
    """The tap's seconds between the requests for job `a`, as the server saw them."""
    times = [request.at for request in api.asked("a")]
    return [(after - before) * speed for before, after in pairwise(times)]


def assert_read(run: Run) -> None:
    assert run.status == 0
    assert [row["event_index"] for row in run.records()] == [0, 1, 2, 3]
    assert run.completed() == {"a": 4}
    assert run.errors == []


@pytest.mark.parametrize(
    ("answer", "least"),
    [
        (limited("7"), 7),
        (limited(" 7 "), 7),
        (limited("1.5"), 1.5),
        (limited("60"), 60),
        *((limited("11", status), 11) for status in (500, 502, 503, 504)),
        (limited(in_seconds(9), date=DATE), 9),
        (limited("Sunday, 01-Mar-26 12:00:09 GMT", date=DATE), 9),
        (limited("Sun Mar  1 12:00:09 2026", date=DATE), 9),
        (limited("Sun, 01 Mar 2026 13:00:09 +0100", date=DATE), 9),
        (limited("Sun, 01 Mar 2026 12:00:09 -0000", date=DATE), 9),
    ],
)
@pytest.mark.parametrize("page", ["imports:0", "imports:1"])
def test_retry_after_is_kept(
    api: StandIn, tap: Folder, answer: Answer, least: float, page: str
) -> None:
    api.add(Job("a", rows=ROWS, page_size=2, script={page: [answer]}))

    run = tap.run(job_ids=["a"])

    assert_read(run)
    assert waited(api)[int(page[-1])] >= least
    assert f"({answer.status}" in run.stderr


def test_date_is_kept_by_the_clock_of_this_machine_without_another(
    api: StandIn, tap: Folder
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=20)
    answer = limited(format_datetime(soon, usegmt=True), date="yesterday")
    api.add(Job("a", rows=ROWS, script={"imports": [answer]}))

    run = tap.run(job_ids=["a"])

    assert_read(run)
    assert waited(api)[0] >= 18


@pytest.mark.parametrize(
    "retry_after",
    [
        None,
        "0",
        "",
        "-5",
        "soon",
        "1,5",
        "0x10",
        "1e3",
        "NaN",
        "inf",
        "\xb2",
        "Sun, 99 Foo 2026 25:61:61 GMT",
        "Sun, 01 Mar 2026 12:00:00 +99999999",
        "Sun, 01 Mar 20261 12:00:00 GMT",
        in_seconds(-3600),
        DATE,
    ],
)
def test_without_a_usable_retry_after_the_waits_are_the_taps_own(
    api: StandIn, tap: Folder, retry_after: str | None
) -> None:
    answer = limited(retry_after, date=DATE)
    api.add(Job("a", rows=ROWS, script={"imports": [answer, answer]}))

    run = tap.run(job_ids=["a"])

    assert_read(run)
    first, second = waited(api)
    assert first >= 1
    assert second >= 2


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept_by_the_check_of_a_job(
    api: StandIn, tap: Folder, status: int
) -> None:
    script: dict[str, list[Answer | None]] = {"status": [limited("8", status)]}
    api.add(Job("a", rows=ROWS, total=None, script=script))

    run = tap.run(job_ids=["a"])

    assert_read(run)
    assert waited(api)[1] >= 8


TOO_LONG = [
    ("6", "6 s"),
    ("5.5", "5.5 s"),
    ("999999999", ""),
    ("99999999999", ""),
    ("9" * 400, ""),
    (in_seconds(7200), "7200 s"),
]


@pytest.mark.parametrize(("retry_after", "said"), TOO_LONG)
def test_503_that_asks_for_a_longer_wait_than_allowed_fails_its_job_only(
    api: StandIn, tap: Folder, retry_after: str, said: str
) -> None:
    script: dict[str, list[Answer | None]] = {
        "imports": [limited(retry_after, 503, DATE)]
    }
    api.add(Job("a", rows=ROWS, script=script), Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], max_retry_wait=5)

    assert run.status == 1
    assert len(api.asked("a")) == 1
    assert run.completed() == {"b": 4}
    [error] = run.errors
    for text in ("Job a failed", "503", "`max_retry_wait` (5 s)", said):
        assert text in error


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize(("retry_after", "said"), TOO_LONG)
def test_429_that_asks_for_a_longer_wait_than_allowed_ends_the_run(
    api: StandIn, tap: Folder, retry_after: str, said: str, concurrency: int
) -> None:
    """It is the API's answer to all; what has been read stays in STATE."""
    names = [f"job-{number}" for number in range(20)]
    script: dict[str, list[Answer | None]] = {
        "imports": [limited(retry_after, date=DATE)] * 9
    }
    api.add(
        Job("b", rows=ROWS), *(Job(name, rows=ROWS, script=script) for name in names)
    )

    run = tap.run(job_ids=["b", *names], concurrency=concurrency, max_retry_wait=5)

    assert run.status == 1
    assert len(api.requests) <= 2 * concurrency
    assert concurrency > 1 or run.completed() == {"b": 4}
    [error] = run.errors
    for text in ("429", "`max_retry_wait`", "5 s", said):
        assert text in error
    assert run.lines[-1] == error


@pytest.mark.parametrize("retry_after", [None, "2"])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_nothing_but_429_for_longer_than_max_retry_wait_ends_the_run(
    api: StandIn, tap: Folder, retry_after: str | None, concurrency: int
) -> None:
    names = [f"job-{number}" for number in range(20)]
    script: dict[str, list[Answer | None]] = {"imports": [limited(retry_after)] * 999}
    api.add(
        Job("b", rows=ROWS), *(Job(name, rows=ROWS, script=script) for name in names)
    )

    run = tap.run(job_ids=["b", *names], concurrency=concurrency, max_retry_wait=40)

    assert run.status == 1
    assert run.completed() == {"b": 4}
    first, *_, last = (request.at for request in api.requests)
    assert 10 <= (last - first) * SPEED < 120
    [error] = run.errors
    for text in ("429", "`max_retry_wait`"):
        assert text in error


def test_429_between_answers_may_add_up_to_more_than_max_retry_wait(
    api: StandIn, tap: Folder
) -> None:
    script: dict[str, list[Answer | None]] = {
        f"imports:{page}": [limited("4")] for page in range(4)
    }
    api.add(Job("a", rows=ROWS, page_size=1, script=script))

    run = tap.run(job_ids=["a"], max_retry_wait=10)

    assert_read(run)
    assert sum(waited(api)) > 16


@pytest.mark.parametrize("retry_after", ["5", in_seconds(5)])
def test_wait_of_just_the_length_allowed_is_waited(
    api: StandIn, tap: Folder, retry_after: str
) -> None:
    answer = limited(retry_after, date=DATE)
    api.add(Job("a", rows=ROWS, script={"imports": [answer]}))

    run = tap.run(job_ids=["a"], max_retry_wait=5)

    assert_read(run)
    assert waited(api)[0] >= 5


def test_five_minutes_are_allowed_by_default(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, script={"imports": [limited("300")]}))
    api.add(Job("b", rows=ROWS, script={"imports": [limited("301")]}))

    run = tap.run(job_ids=["a", "b"], speed=3000)

    assert run.status == 1
    assert run.completed() == {"a": 4}
    assert waited(api, 3000)[0] >= 300
    for text in ("301 s", "`max_retry_wait`"):
        assert text in run.lines[-1]


@pytest.mark.parametrize("endpoint", ["imports", "imports:1", "status"])
def test_429_costs_no_attempt(api: StandIn, tap: Folder, endpoint: str) -> None:
    """A limit that is shared with others may refuse one request many times."""
    script: dict[str, list[Answer | None]] = {endpoint: [limited("2")] * 20}
    api.add(Job("a", rows=ROWS, page_size=2, total=None, script=script))

    run = tap.run(job_ids=["a"], max_attempts=1)

    assert_read(run)
    assert len([request for request in api.requests if request.status == 429]) == 20


def test_rate_limit_is_logged(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, script={"imports": [limited("30")]}))

    run = tap.run(job_ids=["a"])

    assert_read(run)
    [warning] = run.warnings
    for text in ("rate limit", "429", "30"):
        assert text in warning
    assert "attempt" not in warning
    summary = re.search(r"requests 2, .*seconds waited ([\d.]+\d)", run.stderr)
    assert summary
    assert 25 <= float(summary[1]) < 60


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "speed"),
    [
        (partial(FixedWindow, 20, 5), 50),
        (partial(Bucket, 10, 50, retry_after=False), 20),
    ],
)
def test_limited_api_is_read_in_full_close_to_its_limit(
    tmp_path: Path, make: Callable[..., Limiter], speed: float
) -> None:
    jobs = [Job(f"job-{number}", generate=10, page_size=1) for number in range(40)]
    limiter = make(clock=lambda: time.monotonic() * speed)
    with StandIn(*jobs, limiter=limiter) as api:
        run = Folder(tmp_path, api).run(
            job_ids=[job.job_id for job in jobs],
            concurrency=8,
            max_attempts=1,
            speed=speed,
        )

    assert run.status == 0
    assert run.completed() == {job.job_id: 10 for job in jobs}
    keys = {(record["job_id"], record["event_index"]) for record in run.records()}
    assert len(keys) == len(run.records()) == 400
    refused = sum(request.status == 429 for request in api.requests)
    seconds = (api.requests[-1].at - api.requests[0].at) * speed
    # A busy machine may be slower than the limit: test_pace.py has the aims.
    assert 1 <= refused <= 0.15 * len(api.requests)
    assert len(keys) >= 0.5 * limiter.most(seconds)
