"""Many requests: how many at once, how fast, how often again, what stops the run."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest

from tap_fullstory_imports.fullstory import session
from tap_fullstory_imports.fullstory.answers import asked_wait
from tests.harness import SPEED, Folder
from tests.limiters import FixedWindow
from tests.stand_in import Answer, Job, StandIn
from tests.target import events

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DATE = format_datetime(NOW, usegmt=True)
NAMES = [f"job-{number:02}" for number in range(12)]
STREAMS = ("imported_events", "import_errors", "import_jobs")
REFUSED, SILENT = Answer(401), Answer(drop=True)


def job(job_id, *answers, rows=4, **fields):
    script = {"imports": [*answers], **fields.pop("script", {})}
    fields = {"rows": events(job_id, rows), "page_size": 2, **fields}
    return Job(job_id, script=script, **fields)


def limited(retry_after, status=429, date=DATE):
    headers = {"Retry-After": retry_after, "Date": date}
    return Answer(status, headers={key: text for key, text in headers.items() if text})


def in_seconds(seconds):
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


def waited(api, speed=SPEED):
    """The tap's seconds between the requests for job `a`, as the server saw them."""
    times = [request.at for request in api.asked("a")]
    return [(after - before) * speed for before, after in pairwise(times)]


def assert_read(run, *job_ids):
    assert {*run.completed()} == {*job_ids}
    for job_id in job_ids:
        found = [row["name"] for row in run.records() if row["job_id"] == job_id]
        assert found == [f"{job_id}/{place}" for place in range(len(found))]
        assert found


# Waits that the API asks for


UNUSABLE = [
    *("", "-5", "soon", "1,5", "0x10", "1e3", "NaN", "inf", "\xb2"),
    *("Sun, 99 Foo 2026 25:61:61 GMT", "Sun, 01 Mar 2026 12:00:00 +99999999"),
    "Sun, 01 Mar 20261 12:00:00 GMT",
]
SOON = [
    *(in_seconds(9), "Sunday, 01-Mar-26 12:00:09 GMT", "Sun Mar  1 12:00:09 2026"),
    *("Sun, 01 Mar 2026 13:00:09 +0100", "Sun, 01 Mar 2026 12:00:09 -0000"),
]
RETRY_AFTER = {
    **{text: float(text) for text in ("0", "7", " 7 ", "1.5", "60")},
    DATE: 0,
    in_seconds(-3600): 0,
    **dict.fromkeys(SOON, 9),
    **dict.fromkeys(UNUSABLE),
}


def test_retry_after_is_a_number_or_a_date_after_that_of_the_answer():
    found = {
        text: asked_wait({"Retry-After": text, "Date": DATE}) for text in RETRY_AFTER
    }
    assert found == RETRY_AFTER


def test_date_is_compared_with_this_machine_if_the_answer_has_none():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    for headers in ({}, {"Date": "yesterday"}):
        assert 18 <= asked_wait({"Retry-After": soon, **headers}) <= 20


@pytest.mark.parametrize(
    ("answers", "least"),
    [
        *(([limited("11", code)], [11]) for code in (429, 500, 503)),
        ([limited(in_seconds(60))], [60]),  # not longer than `max_retry_wait`
        ([limited("40"), None, limited("40")], [40, 0, 40]),
        *(([limited(text)] * 2, [1, 2]) for text in (None, "0", "soon", DATE)),
    ],
)
def test_waits_are_those_of_retry_after_or_the_taps_own(api, tap, answers, least):
    api.add(job("a", *answers))

    run = tap.run(job_ids=["a"], max_retry_wait=60)

    assert_read(run, "a")
    for wait, lower in zip(waited(api), least, strict=False):
        assert wait >= lower
    assert str(answers[0].status) in run.warnings[0]
    assert ("attempt" in run.warnings[0]) == (answers[0].status != 429)


TOO_LONG = [
    *(("5.5", "5.5 s"), ("9" * 400, ""), (in_seconds(7200), "7200 s")),
]


@pytest.mark.parametrize(("asked", "said"), TOO_LONG)
def test_503_that_asks_for_too_long_a_wait_fails_its_job_only(api, tap, asked, said):
    api.add(job("a", limited(asked, 503)), job("b"))

    run = tap.run(job_ids=["a", "b"], max_retry_wait=5)

    assert run.status == 1
    assert_read(run, "b")
    assert len(api.asked("a")) == 1
    [error] = run.errors
    for text in ("Job a failed", "503", "`max_retry_wait` (5 s)", said):
        assert text in error


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize(
    ("asked", "said"), [*TOO_LONG, (None, "nothing else"), ("2", "nothing else")]
)
def test_429_for_longer_than_max_retry_wait_ends_the_run(
    api, tap, asked, said, concurrency
):
    api.add(job("b"), *(job(name, *[limited(asked)] * 99) for name in NAMES))

    run = tap.run(job_ids=["b", *NAMES], concurrency=concurrency, max_retry_wait=5)

    assert run.status == 1
    assert len(api.requests) <= 4 + 2 * concurrency
    assert concurrency > 1 or {*run.completed()} == {"b"}
    [error] = run.errors
    for text in ("429", "`max_retry_wait` (5 s)", said):
        assert text in error


@pytest.mark.parametrize("place", ["imports", "imports:1", "status"])
def test_429_costs_no_attempt(api, tap, place):
    api.add(job("a", total=None, script={place: [limited("2")] * 20}))

    run = tap.run(job_ids=["a"], max_attempts=1)

    assert_read(run, "a")
    assert sum(request.status == 429 for request in api.requests) == 20
    assert run.summary["retries"] == 20
    assert len({request.connection for request in api.requests}) == 1


def test_429_pauses_all_requests(api, tap):
    api.add(job("a", None, limited("40"), rows=8))
    api.add(*(job(name, rows=8, latency=0.02) for name in NAMES))

    run = tap.run(job_ids=["a", *NAMES], concurrency=4)

    assert_read(run, "a", *NAMES)
    times = sorted(request.at for request in api.requests)
    [refused] = [request.at for request in api.requests if request.status == 429]
    assert sum(refused < at < refused + 0.4 - 0.03 for at in times) <= 3


@pytest.mark.slow
def test_limited_api_is_read_in_full_close_to_its_limit(tmp_path):
    """A busy machine may be slower than the limit: test_pace.py has the aims."""
    names = [f"job-{number}" for number in range(40)]
    jobs = [Job(name, events(name, 10), page_size=1) for name in names]
    limiter = FixedWindow(20, 5, clock=lambda: time.monotonic() * 50)
    with StandIn(*jobs, limiter=limiter) as api:
        folder = Folder(tmp_path, api)
        run = folder.run(job_ids=names, concurrency=8, max_attempts=1, speed=50)

    assert_read(run, *names)
    assert len(run.records()) == 400
    refused = sum(request.status == 429 for request in api.requests)
    seconds = (api.requests[-1].at - api.requests[0].at) * 50
    assert 1 <= refused <= 0.15 * len(api.requests)
    assert limiter.most(seconds) <= 800


# How many at once


def most_at_once(api, seconds):
    starts = [request.at for request in api.requests]
    return max(sum(at <= other < at + seconds for other in starts) for at in starts)


@pytest.mark.parametrize(("concurrency", "expected"), [(None, 4), (1, 1), (3, 3)])
def test_concurrency_bounds_the_jobs_read_at_once(api, tap, concurrency, expected):
    api.add(*(job(name, rows=2, latency=0.08) for name in NAMES))

    run = tap.run(job_ids=NAMES, concurrency=concurrency)

    assert_read(run, *NAMES)
    assert most_at_once(api, 0.06) == expected


def test_job_that_waits_holds_no_place(api, tap):
    trouble = Answer(503, headers={"Retry-After": "60"})
    api.add(job("unfinished", processing=4), job("troubled", trouble))
    api.add(*map(job, NAMES))

    run = tap.run(job_ids=["unfinished", "troubled", *NAMES], concurrency=1)

    order = [*dict.fromkeys(row["job_id"] for row in run.records())]
    assert order[:-2] == NAMES
    assert {*order[-2:]} == {"unfinished", "troubled"}


@pytest.mark.slow
def test_connection_test_does_not_wait_for_requests_that_hang(api, tap):
    hangs = [Answer(hang=True)] * 9
    api.add(job("good"), *(job(name, *hangs) for name in NAMES))

    process = tap.start("--test", job_ids=["good", *NAMES], concurrency=4)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 0, err
    assert b'"RECORD"' in out


# An address that is silent


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "Connection refused"),
        (SILENT, "connection"),
        (Answer(hang=True), "0.1 s"),
        (Answer(raw=b"SSH-2.0-OpenSSH\r\n"), ""),
    ],
)
def test_silent_address_ends_the_run_in_one_sentence(
    api, tap, answer, said, concurrency
):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
    always = {end: [answer] * 9 for end in ("imports", "errors", "status")}
    api.add(*(job(name, script=always) for name in NAMES))
    tap.streams = STREAMS

    run = tap.run(
        job_ids=NAMES,
        api_url=api.url if answer else closed,
        concurrency=concurrency,
        max_attempts=2,
        request_timeout=0.1,
    )

    assert run.status == 1
    assert run.of_type("RECORD") == []
    [error] = run.errors
    assert run.lines[-1] == error
    for text in (said, "`api_url`", "2 attempts"):
        assert text in error
    assert len(api.requests) <= 2
    assert len(run.warnings) <= 2


def test_connection_that_is_never_made_has_a_short_limit(tap, monkeypatch):
    """Longer than `request_timeout` nobody waits for it, however long that is."""
    monkeypatch.setattr(session, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as kept:
        for _ in range(2):  # now the server's queue is full
            client = kept.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        started = time.monotonic()

        run = tap.run(
            job_ids=["a"],
            api_url=f"http://127.0.0.1:{full.getsockname()[1]}",
            max_attempts=2,
            request_timeout=30,
        )

    assert run.status == 1
    assert time.monotonic() - started < 5
    assert "the connection timed out" in run.errors[0]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_host_that_falls_silent_later_ends_the_run(api, tap, concurrency):
    api.add(*map(job, NAMES[:6]), *(job(name, *[SILENT] * 9) for name in NAMES[6:]))

    run = tap.run(job_ids=NAMES, concurrency=concurrency, max_attempts=3)

    assert run.status == 1
    assert_read(run, *NAMES[:6])
    assert "can't be reached" in run.errors[-1]
    assert sum(request.status == 0 for request in api.requests) <= 12


@pytest.mark.parametrize("answer", [SILENT, Answer(hang=True)], ids=["drop", "hang"])
def test_one_job_that_never_answers_fails_alone(api, tap, answer):
    api.add(job("a", *[answer] * 9))
    api.add(*(job(name, rows=15, page_size=1, latency=0.01) for name in NAMES))

    run = tap.run(
        job_ids=[NAMES[0], "a", *NAMES[1:]],
        concurrency=2,
        max_attempts=3,
        request_timeout=0.3,
        speed=20,
    )

    assert run.status == 1
    assert_read(run, *NAMES)
    assert len(api.asked("a")) == 3
    assert run.errors[-1].startswith("Job a failed: ")


# A key that is refused


@pytest.mark.parametrize("concurrency", [1, 8])
def test_wrong_key_costs_three_requests(api, tap, concurrency):
    api.add(*(job(name, latency=0.05) for name in NAMES))

    run = tap.run(job_ids=NAMES, concurrency=concurrency, api_key="na1.wrong-key")

    assert (run.status, run.records()) == (1, [])
    assert len(api.requests) == 3
    assert "401 unauthorized: access is unauthorized" in run.lines[-1]


@pytest.mark.parametrize("code", [401, 403])
@pytest.mark.parametrize(
    ("refused", "concurrency"), [(NAMES[:1], 4), (NAMES[:2], 4), (NAMES[1::2], 1)]
)
def test_refused_jobs_beside_accepted_ones_stop_no_other(
    api, tap, code, refused, concurrency
):
    """The first ones, or every other one."""
    api.add(*(job(name, *[Answer(code)] * (name in refused)) for name in NAMES))

    run = tap.run(job_ids=NAMES, concurrency=concurrency)

    assert (run.status, run.summary["failed"]) == (1, len(refused))
    assert_read(run, *(name for name in NAMES if name not in refused))
    assert len(api.requests) == 2 * len(NAMES) - len(refused)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_key_revoked_in_the_middle_costs_a_few_requests(api, tap, concurrency):
    names = [f"job-{number:02}" for number in range(60)]
    api.add(*map(job, names[:9]), *(job(name, REFUSED) for name in names[9:]))

    run = tap.run(job_ids=names, concurrency=concurrency)

    assert run.status == 1
    assert {*names[:9]} >= {*run.completed()} >= {*names[:3]}
    assert sum(request.status == 401 for request in api.requests) <= 3 + 2 * concurrency
    assert "`api_key`" in run.lines[-1]


def test_refusals_are_counted_for_each_stream(api, tap):
    """A Standard key reads statuses, so only the events stop the run."""
    refused = {"errors": [Answer(403)]}
    api.add(*(job(name, script=refused, errors=1) for name in NAMES[:2]), job(NAMES[2]))
    tap.streams = STREAMS

    run = tap.run(job_ids=NAMES[:3])

    assert run.status == 1
    assert_read(run, *NAMES[:3])
    assert {*run.completed("import_errors")} == {NAMES[2]}


# An answer counts only for its request


UNEXPECTED = {
    **{str(code): Answer(early=code, latency=0.06) for code in (101, 204)},
    "cut": Answer(cut=5),
    "too large": Answer(body=b" " * 300_000),
    "too large an error": Answer(500, b" " * 3_000_000),
}


@pytest.mark.parametrize("answer", UNEXPECTED.values(), ids=UNEXPECTED)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_late_answer_gives_no_other_job_its_rows(api, tap, answer, concurrency):
    """All jobs have as many rows, so that no count tells them apart."""
    api.add(*(job(name, *[answer] * (n % 3 == 1)) for n, name in enumerate(NAMES)))

    run = tap.run(job_ids=NAMES, concurrency=concurrency, max_page_bytes=200_000)

    too_large = NAMES[1::3] if answer is UNEXPECTED["too large"] else ()
    assert_read(run, *(name for name in NAMES if name not in too_large))
    disturbed, seen = set[int](), set[str]()
    for request in api.requests:
        assert request.connection not in disturbed
        if request.job_id in {*NAMES[1::3]} - seen:
            disturbed.add(request.connection)
        seen.add(request.job_id)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_no_cookie_of_the_server_comes_back(api, tap, concurrency):
    for name in NAMES:
        headers = {"Set-Cookie": f"{name}={'x' * 2_000}; Path=/"}
        cookie, wrong = Answer(headers=headers), Answer(503, headers=headers)
        api.add(job(name, cookie, wrong, cookie))

    run = tap.run(job_ids=NAMES, concurrency=concurrency)

    assert_read(run, *NAMES)
    assert len(api.requests) == 36
    assert not [request for request in api.requests if "Cookie" in request.headers]


def test_answer_that_ends_after_its_request_was_given_up_is_ignored(api, tap):
    """The job has failed by then; another one keeps the run going."""
    late = b"HTTP/1.1 200 OK\r\nX: " + b"y" * 60 + b"\r\n\r\n{}"
    settings: dict[str, Any] = {"request_timeout": 0.2, "job_wait_timeout": 300}
    api.add(job("slow", Answer(raw=late, trickle=0.02)), job("late", processing=-1))

    run = tap.run(job_ids=["slow", "late"], concurrency=2, max_attempts=1, **settings)

    assert (run.status, {*run.completed()}) == (1, set())
    assert len(api.asked("slow")) == 1
