"""All streams in one run: what they share and what they don't."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_in import Answer, Job, make_events, make_failures

if TYPE_CHECKING:
    from tests.harness import Folder
    from tests.stand_in import StandIn

STREAMS = ("imported_events", "import_errors", "import_jobs")
ENDPOINTS = {
    "imported_events": "imports",
    "import_errors": "errors",
    "import_jobs": "status",
}


@pytest.fixture
def tap(tap: Folder) -> Folder:
    """The tap with all its streams."""
    tap.streams = STREAMS
    return tap


def test_a_partly_failed_job_is_read_whole(tap: Folder, api: StandIn) -> None:
    """FAILED includes partial failure: its imported events are rows like any others."""
    job = Job("a", rows=make_events(5), failures=make_failures(2), status="FAILED")
    api.add(job)
    run = tap.run(job_ids=["a"])
    assert run.status == 0
    assert {name: len(run.records(name)) for name in STREAMS} == {
        "imported_events": 5,
        "import_errors": 2,
        "import_jobs": 1,
    }
    assert {name: run.completed(name) for name in STREAMS} == {
        "imported_events": {"a": 5},
        "import_errors": {"a": 2},
        "import_jobs": {"a": 1},
    }


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_alone_makes_no_request_for_another(
    tap: Folder, api: StandIn, stream: str
) -> None:
    """What is not selected costs nothing."""
    api.add(Job("a", rows=make_events(5), failures=make_failures(2)))
    tap.streams = (stream,)
    run = tap.run(job_ids=["a"])
    assert {request.endpoint for request in api.requests} == {ENDPOINTS[stream]}
    assert [*run.state["bookmarks"]] == [stream]


def test_each_stream_has_bookmarks_of_its_own(tap: Folder, api: StandIn) -> None:
    """A job that failed in one is read again in that one only."""
    broken: dict[str, list[Answer | None]] = {"errors": [Answer(500)] * 2}
    api.add(Job("a", rows=make_events(5), failures=make_failures(2), script=broken))
    first = tap.run(job_ids=["a"], max_attempts=2)
    assert first.status == 1
    assert first.completed("imported_events") == {"a": 5}
    assert first.completed("import_errors") == {}
    assert first.errors[-1].startswith("Job a failed in import_errors: ")
    api.clear()
    second = tap.run(job_ids=["a"], state=first.state)
    assert second.status == 0
    assert second.completed("import_errors") == {"a": 2}
    assert [request.endpoint for request in api.requests] == ["errors"]


@pytest.mark.parametrize(
    ("gone", "start"),
    [(["gone"], "Job gone failed in "), (["gone", "lost"], "2 jobs failed in ")],
)
def test_the_same_failure_in_several_streams_is_one_line(
    tap: Folder, api: StandIn, gone: list[str], start: str
) -> None:
    """It names the streams, and counts each job once."""
    api.add(Job("a"))
    run = tap.run(job_ids=[*gone, "a"])
    assert run.status == 1
    (line,) = run.errors
    assert line.startswith(start)
    assert {*re.split(r"\W+", line)} >= {*STREAMS, *gone}


def test_summary_counts_each_job_once_by_its_worst_stream(
    tap: Folder, api: StandIn
) -> None:
    """Failed counts before deferred, skipped, read and already read."""
    rows, failures = make_events(5), make_failures(2)
    api.add(
        Job("new", rows=rows, failures=failures),
        Job("half", rows=rows, failures=failures),
        Job("late", processing=-1),
        Job("bad", failures=failures, script={"imports": [Answer(400)]}),
        Job("worst", processing=-1, script={"errors": [Answer(400)]}),
    )
    state = {
        "bookmarks": {
            stream: {"completed_jobs": dict.fromkeys(jobs, 5)}
            for stream, jobs in (
                ("imported_events", ["old", "half"]),
                ("import_errors", ["old"]),
                ("import_jobs", ["old"]),
            )
        }
    }
    run = tap.run(
        job_ids=["old", "new", "half", "late", "gone", "bad", "worst"],
        state=state,
        missing_jobs="skip",
        job_wait_timeout=0,
    )
    assert run.status == 1
    written = {stream: len(run.records(stream)) for stream in STREAMS}
    assert written == {"imported_events": 5, "import_errors": 6, "import_jobs": 5}
    asked = {
        stream: len(api.asked(endpoint=endpoint))
        for stream, endpoint in ENDPOINTS.items()
    }
    assert run.counts == {
        stream: {
            "rows written": written[stream],
            "filtered": 0,
            "requests": asked[stream],
            "retries": 0,
        }
        for stream in STREAMS
    }
    assert run.summary == {
        "jobs read": 2,
        "already read": 1,
        "deferred": 1,
        "skipped": 1,
        "failed": 2,
        "rows": 16,
        "requests": sum(asked.values()),
        "retries": 0,
        "seconds waited": pytest.approx(0, abs=1),
    }


def test_each_line_about_a_job_names_its_stream(tap: Folder, api: StandIn) -> None:
    """Meltano shows a line without the name of its logger."""
    api.add(
        Job("a", rows=make_events(5), failures=make_failures(2), total=6, imports=8),
        Job("retried", script={end: [Answer(503)] for end in ENDPOINTS.values()}),
        Job("late", processing=-1),
        Job("odd", rows=[{"timestamp": "yesterday"}]),
    )
    run = tap.run(
        job_ids=["a", "retried", "late", "gone", "odd"],
        missing_jobs="skip",
        count_mismatch="warn",
        job_wait_timeout=3,
    )
    assert run.status == 0
    lines = [line for line in run.lines if re.search(r"\bJob \S", line)]
    unnamed = [
        line for line in lines if not line.startswith(tuple(f"{s}: " for s in STREAMS))
    ]
    assert unnamed == []
    for stream in STREAMS:
        assert run.about("a", stream)[-1].startswith("Job a: ")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ({"imports": [Answer(400)]}, ["failed", "succeeded", "succeeded"]),
        ({"errors": [Answer(400)]}, ["succeeded", "failed", "succeeded"]),
        ({end: [Answer(401)] for end in ENDPOINTS.values()}, ["failed"] * 3),
        ({}, ["succeeded"] * 3),
    ],
)
def test_the_metric_of_a_stream_with_a_failed_job_says_failed(
    tap: Folder, api: StandIn, script: dict[str, list[Answer | None]], status: list[str]
) -> None:
    """A key that is refused stops, and so fails, every stream."""
    api.add(Job("a", rows=make_events(5), script=script))
    run = tap.run(job_ids=["a"])
    assert run.durations == dict(zip(STREAMS, status, strict=True))


@pytest.mark.parametrize(
    "trouble",
    [
        {"processing": -1},
        {"script": {"errors": [Answer(503, headers={"Retry-After": "60"})]}},
        {"script": {"imports": [Answer(503, headers={"Retry-After": "60"})]}},
    ],
)
def test_rows_ready_in_any_stream_are_read_before_a_wait(
    tap: Folder, api: StandIn, trouble: dict[str, Any]
) -> None:
    """A job in trouble in one stream does not hold up another stream."""
    rows, failures = make_events(5), make_failures(2)
    api.add(
        Job("stuck", rows=rows, failures=failures, **trouble),
        Job("a", rows=rows, failures=failures),
    )
    run = tap.run(job_ids=["stuck", "a"], job_wait_timeout=20)
    assert run.status == 0
    before = list(itertools.takewhile(lambda line: "Waiting" not in line, run.lines))
    assert len(before) < len(run.lines)
    for stream in STREAMS:
        assert run.completed(stream)["a"]
        assert any(f"{stream}: Job a: " in line for line in before), stream


def test_events_are_asked_for_first_then_errors_then_jobs(
    tap: Folder, api: StandIn
) -> None:
    """With one request at once."""
    rows, failures = make_events(5), make_failures(2)
    api.add(*(Job(name, rows=rows, failures=failures) for name in "ab"))
    assert tap.run(job_ids=["a", "b"]).status == 0
    assert [(request.endpoint, request.job_id) for request in api.requests] == [
        (ENDPOINTS[stream], job_id) for stream in STREAMS for job_id in "ab"
    ]


def test_a_key_that_is_refused_stops_all_streams(tap: Folder, api: StandIn) -> None:
    """One request is enough to know."""
    api.add(Job("a"), Job("b"))
    run = tap.run(job_ids=["a", "b"], api_key="wrong")
    assert run.status == 1
    assert len(api.requests) == 1
    assert "Architect or Admin" in run.errors[-1]


def test_the_wait_for_unfinished_jobs_is_shared(tap: Folder, api: StandIn) -> None:
    """One run waits so long in all, not each of its streams."""
    api.add(Job("a", processing=-1))
    run = tap.run(job_ids=["a"], job_wait_timeout=20, speed=20)
    assert run.status == 0
    assert 20 <= run.summary["seconds waited"] < 25
    # Both streams wait at the same time: after 0, 2, 6, 14 and 20 seconds.
    for endpoint in ("imports", "errors"):
        assert 3 <= len(api.asked(endpoint=endpoint)) <= 5


def test_a_job_that_becomes_ready_is_waited_for_in_all_streams_at_once(
    tap: Folder, api: StandIn
) -> None:
    """One stream after the other would take longer than `job_wait_timeout`."""
    api.add(
        Job("a", rows=make_events(5), failures=make_failures(2), processing=4),
    )
    run = tap.run(job_ids=["a"], job_wait_timeout=40)
    assert run.status == 0
    assert run.completed("imported_events") == {"a": 5}
    assert run.completed("import_errors") == {"a": 2}
