"""The stream `import_jobs`: what became of each job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.stand_in import Answer, Job, make_events, make_failures

if TYPE_CHECKING:
    from tests.harness import Folder
    from tests.stand_in import StandIn

STREAM = "import_jobs"


@pytest.fixture
def tap(tap: Folder) -> Folder:
    """The tap with this stream alone."""
    tap.streams = (STREAM,)
    return tap


def test_a_job_is_one_record(tap: Folder, api: StandIn) -> None:
    """With its times in UTC and its counts."""
    api.add(
        Job(
            "a",
            rows=make_events(3),
            failures=make_failures(2),
            status="FAILED",
            created="2026-01-15T03:30:15.01+02:00",
        )
    )
    run = tap.run(job_ids=["a"])
    assert run.status == 0
    assert run.records(STREAM) == [
        {
            "job_id": "a",
            "status": "FAILED",
            "created_at": "2026-01-15T01:30:15.01Z",
            "finished_at": "2026-01-15T01:31:15.5Z",
            "imported_events": 3,
            "failed_events": 2,
        }
    ]
    assert run.completed(STREAM) == {"a": 1}
    (schema,) = run.of_type("SCHEMA")
    assert schema["key_properties"] == ["job_id"]
    Draft202012Validator(schema["schema"]).validate(run.records(STREAM)[0])
    assert [request.endpoint for request in api.requests] == ["status"]


def test_a_job_that_is_processing_is_recorded_and_read_again(
    tap: Folder, api: StandIn
) -> None:
    """Without waiting; it is bookmarked once it has come to its end."""
    api.add(Job("a", rows=make_events(3), processing=-1), Job("b"))
    first = tap.run(job_ids=["a", "b"])
    assert first.status == 0
    assert first.records(STREAM)[-1] == {
        "job_id": "a",
        "status": "PROCESSING",
        "created_at": "2026-01-15T01:30:15.01Z",
        "finished_at": None,
        "imported_events": 0,
        "failed_events": 0,
    }
    assert first.completed(STREAM) == {"b": 1}
    assert first.summary["seconds waited"] < 30

    api.add(Job("a", rows=make_events(3)))
    api.clear()
    second = tap.run(job_ids=["a", "b"], state=first.state)
    assert [row["status"] for row in second.records(STREAM)] == ["COMPLETED"]
    assert second.completed(STREAM) == {"a": 1, "b": 1}
    assert [request.job_id for request in api.requests] == ["a"]

    api.clear()
    assert tap.run(job_ids=["a", "b"], state=second.state).records(STREAM) == []
    assert api.requests == []


@pytest.mark.parametrize("status", ["UNKNOWN", "QUEUED", "completed", ""])
def test_a_status_that_is_not_known_is_kept_and_read_again(
    tap: Folder, api: StandIn, status: str
) -> None:
    """It may become one of those that end a job."""
    api.add(Job("a", status=status))
    run = tap.run(job_ids=["a"])
    assert run.records(STREAM)[0]["status"] == status
    assert (run.status, run.completed(STREAM)) == (0, {})


@pytest.mark.parametrize("body", [{}, {"imports": 5}, {"imports": 5, "job": None}])
def test_a_status_without_a_job_is_tried_again(
    tap: Folder, api: StandIn, body: dict[str, Any]
) -> None:
    """It is not an answer about the job."""
    api.add(Job("a", rows=make_events(3), script={"status": [Answer(body=body)] * 2}))
    run = tap.run(job_ids=["a"])
    assert [row["imported_events"] for row in run.records(STREAM)] == [3]
    assert (run.status, run.completed(STREAM)) == (0, {"a": 1})
    assert len(api.asked("a", "status")) == 3


def test_counts_that_are_missing_are_zero_and_new_fields_are_kept(
    tap: Folder, api: StandIn
) -> None:
    """Default values may be left out; later fields of both levels arrive."""
    body = {"job": {"id": "a", "status": "COMPLETED", "owner": {"a": 1}}, "warned": 7}
    api.add(Job("a", script={"status": [Answer(200, body=body)]}))
    run = tap.run(job_ids=["a"])
    assert run.records(STREAM) == [
        {
            "owner": {"a": 1},
            "warned": 7,
            "job_id": "a",
            "status": "COMPLETED",
            "created_at": None,
            "finished_at": None,
            "imported_events": 0,
            "failed_events": 0,
        }
    ]


def test_a_job_that_is_missing_fails_and_the_others_are_read(
    tap: Folder, api: StandIn
) -> None:
    """The failures of this stream are those of the others."""
    api.add(Job("a"))
    run = tap.run(job_ids=["gone", "a"])
    assert run.status == 1
    assert run.completed(STREAM) == {"a": 1}
    assert run.errors[-1].startswith("Job gone failed: Fullstory does not know")
