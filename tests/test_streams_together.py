"""All streams in one run: what they share and what they don't."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def test_the_same_failure_in_several_streams_is_one_line(
    tap: Folder, api: StandIn
) -> None:
    """And names the streams."""
    api.add(Job("a"))
    run = tap.run(job_ids=["gone", "a"])
    assert run.status == 1
    (line,) = run.errors
    where = "import_errors, import_jobs, imported_events"
    assert line.startswith(f"Job gone failed in {where}: ")


def test_the_summary_covers_all_streams(tap: Folder, api: StandIn) -> None:
    """A line for each stream, and one for all."""
    api.add(Job("a", rows=make_events(5), failures=make_failures(2)))
    run = tap.run(job_ids=["a", "gone"], missing_jobs="skip")
    counts = "already read 0, deferred 0, skipped {}, failed 0; rows {}, requests {}"
    assert [
        line.removesuffix(", retries 0, seconds waited 0.0.")
        for line in run.lines
        if "jobs read" in line
    ] == [
        f"import_errors: jobs read 1, {counts.format(1, 2, 2)}",
        f"import_jobs: jobs read 1, {counts.format(1, 1, 2)}",
        f"imported_events: jobs read 1, {counts.format(1, 5, 2)}",
        f"Summary: jobs read 3, {counts.format(3, 8, 6)}",
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
    run = tap.run(job_ids=["a"], job_wait_timeout=20)
    assert run.status == 0
    waited = float(run.lines[-1].split()[-1].rstrip("."))
    assert 20 <= waited < 25
    statuses = [request.status for request in api.asked(endpoint="imports")]
    assert 1 <= len(statuses) <= 2


def test_a_job_that_is_ready_for_one_stream_is_ready_for_the_other(
    tap: Folder, api: StandIn
) -> None:
    """The second does not wait for it again."""
    rows, failures = make_events(5), make_failures(2)
    api.add(Job("a", rows=rows, failures=failures, processing_seconds=0.2))
    run = tap.run(job_ids=["a"])
    assert run.status == 0
    assert run.completed("imported_events") == {"a": 5}
    assert [request.status for request in api.asked(endpoint="imports")] == [200]
    assert len(api.asked(endpoint="errors")) > 1
