"""The tap waits as long as the API asks, and holds up no other job for it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.harness import SPEED
from tests.stand_in import Answer, Job, StandIn, make_events

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness import Run

from tests.harness import Folder

ROWS = make_events(4)
NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
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
    assert "429 too_many_requests" in run.stderr


def test_a_date_is_kept_by_the_clock_of_this_machine_without_another(
    api: StandIn, tap: Folder
) -> None:
    soon = datetime.now(timezone.utc) + timedelta(seconds=20)
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
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_retry_after_is_kept_with_any_answer_that_may_pass(
    api: StandIn, tap: Folder, status: int
) -> None:
    api.add(Job("a", rows=ROWS, script={"imports": [limited("11", status)]}))

    run = tap.run(job_ids=["a"])

    assert_read(run)
    assert waited(api)[0] >= 11


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept_by_the_check_of_a_job(
    api: StandIn, tap: Folder, status: int
) -> None:
    script: dict[str, list[Answer | None]] = {"status": [limited("8", status)]}
    api.add(Job("a", rows=ROWS, total=None, script=script))

    run = tap.run(job_ids=["a"])

    assert_read(run)
    assert waited(api)[1] >= 8


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "said"),
    [
        ("6", "6 s"),
        ("5.5", "5.5 s"),
        ("999999999", ""),
        ("99999999999", ""),
        ("9" * 400, ""),
        (in_seconds(7200), "7200 s"),
    ],
)
def test_a_longer_wait_than_allowed_fails_the_job_at_once(
    api: StandIn, tap: Folder, status: int, retry_after: str, said: str
) -> None:
    script: dict[str, list[Answer | None]] = {
        "imports": [limited(retry_after, status, DATE)]
    }
    api.add(Job("a", rows=ROWS, script=script), Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], max_retry_wait=5)

    assert run.status == 1
    assert len(api.asked("a")) == 1
    assert run.completed() == {"b": 4}
    assert run.lines[-1] == run.errors[-1]
    assert run.lines[-1].startswith("Job a failed: ")
    for text in (str(status), "`max_retry_wait` (5 s)", said):
        assert text in run.lines[-1]
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("retry_after", ["5", in_seconds(5)])
def test_a_wait_of_just_the_length_allowed_is_waited(
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
    assert "Job b failed" in run.lines[-1]
    assert "301 s" in run.lines[-1]
    assert "`max_retry_wait`" in run.lines[-1]


def test_a_limit_that_stays_fails_the_job(api: StandIn, tap: Folder) -> None:
    script: dict[str, list[Answer | None]] = {"imports": [limited("2")] * 3}
    api.add(Job("a", rows=ROWS, script=script), Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], max_attempts=3)

    assert run.status == 1
    assert run.completed() == {"b": 4}
    assert len(api.asked("a")) == 3
    assert "rate limit" in run.lines[-1]
    assert "3 attempts" in run.lines[-1]


def test_other_jobs_go_on_while_one_waits(api: StandIn, tap: Folder) -> None:
    api.add(
        Job("a", rows=ROWS, script={"imports": [limited("30", status=503)]}),
        Job("b", rows=ROWS, page_size=1),
        Job("c", rows=ROWS, page_size=1),
    )

    run = tap.run(job_ids=["a", "b", "c"])

    assert run.status == 0
    assert run.completed() == {"a": 4, "b": 4, "c": 4}
    assert waited(api)[0] >= 30
    assert [request.job_id for request in api.requests][-1] == "a"
    assert [record["job_id"] for record in run.records()][-4:] == ["a"] * 4


def test_what_is_waited_for_is_said(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, script={"imports": [limited("30")]}))

    run = tap.run(job_ids=["a"])

    assert_read(run)
    warning = next(line for line in run.stderr.splitlines() if " | WARNING " in line)
    for text in ("Job a", "rate limit", "attempt 1 of 8", "30.0 s"):
        assert text in warning
    summary = re.search(r"requests 2, retries 1, seconds waited ([\d.]+)\.", run.stderr)
    assert summary
    assert 25 <= float(summary[1]) < 60


def test_a_server_with_a_rate_limit_is_read_in_full(tmp_path: Path) -> None:
    jobs = [Job(f"job-{number}", rows=ROWS, page_size=1) for number in range(5)]
    with StandIn(*jobs, rate_limit=40, burst=2) as api:
        run = Folder(tmp_path, api).run(
            job_ids=[job.job_id for job in jobs], max_attempts=20, speed=20
        )

    assert run.status == 0
    assert run.completed() == {job.job_id: 4 for job in jobs}
    keys = {(record["job_id"], record["event_index"]) for record in run.records()}
    assert len(keys) == len(run.records()) == 20
    assert any(request.status == 429 for request in api.requests)


def test_a_429_that_ends_its_job_pauses_the_others(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", script={"imports": [limited("40")]}), Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], max_attempts=1)

    assert run.status == 1
    assert run.completed() == {"b": 4}
    first, second = api.requests
    assert (second.at - first.at) * SPEED >= 40


def test_jobs_are_not_all_thrown_at_an_api_that_is_shut(
    api: StandIn, tap: Folder
) -> None:
    names = [f"job-{number}" for number in range(20)]
    script: dict[str, list[Answer | None]] = {"imports": [limited("3600")]}
    api.add(*(Job(name, script=script) for name in names))

    run = tap.run(job_ids=names, concurrency=4)

    assert run.status == 1
    assert len(run.errors) == len(names)
    assert all("max_retry_wait" in line for line in run.errors)
    assert len(api.requests) == len(names)
    took = api.requests[-1].at - api.requests[0].at
    assert took * SPEED > 4
