"""The stream `import_jobs`: the status and the counts of each job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.stand_in import Answer
from tests.streams import STATUSES, Stream

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn


@pytest.fixture(params=STATUSES, ids=[one.name for one in STATUSES])
def stream(request: pytest.FixtureRequest, tap: Folder) -> Stream:
    """The streams of both kinds; the tap has this one alone."""
    chosen: Stream = request.param
    tap.streams = (chosen.name,)
    return chosen


def read(tap: Folder, stream: Stream, *job_ids: str, **settings: Any) -> Run:
    """Run the tap for some jobs of the stream's kind."""
    return tap.run(**{stream.setting: [*job_ids], **settings})


def test_a_job_is_one_record(tap: Folder, api: StandIn, stream: Stream) -> None:
    """With its times in UTC and its counts."""
    api.add(
        stream.job(
            "a",
            3,
            errors=2,
            status="FAILED",
            created="2026-01-15T03:30:15.01+02:00",
        )
    )
    run = read(tap, stream, "a")
    assert run.status == 0
    assert run.records(stream.name) == [
        {
            "job_id": "a",
            "status": "FAILED",
            "created_at": "2026-01-15T01:30:15.01Z",
            "finished_at": "2026-01-15T01:31:15.5Z",
            f"imported_{stream.kind}": 3,
            f"failed_{stream.kind}": 2,
        }
    ]
    assert run.completed(stream.name) == {"a": 1}
    (schema,) = run.of_type("SCHEMA")
    assert schema["key_properties"] == ["job_id"]
    Draft202012Validator(schema["schema"]).validate(run.records(stream.name)[0])
    assert [request.endpoint for request in api.requests] == ["status"]


def test_a_job_that_is_processing_is_recorded_and_read_again(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """Without waiting; it is bookmarked once it has come to its end."""
    api.add(stream.job("a", processing=-1), stream.job("b"))
    first = read(tap, stream, "a", "b")
    assert first.status == 0
    assert first.records(stream.name)[-1] == {
        "job_id": "a",
        "status": "PROCESSING",
        "created_at": "2026-01-15T01:30:15.01Z",
        "finished_at": None,
        f"imported_{stream.kind}": 0,
        f"failed_{stream.kind}": 0,
    }
    assert first.completed(stream.name) == {"b": 1}
    assert first.about("a", stream.name)[-1].startswith("Job a: 1 row in 1 page, ")
    assert first.summary["seconds waited"] < 30

    api.add(stream.job("a"))
    api.clear()
    second = read(tap, stream, "a", "b", state=first.state)
    assert [row["status"] for row in second.records(stream.name)] == ["COMPLETED"]
    assert second.completed(stream.name) == {"a": 1, "b": 1}
    assert [request.job_id for request in api.requests] == ["a"]

    api.clear()
    assert read(tap, stream, "a", "b", state=second.state).records(stream.name) == []
    assert api.requests == []


@pytest.mark.parametrize("status", ["UNKNOWN", "QUEUED", "completed", ""])
def test_a_status_that_is_not_known_is_kept_and_read_again(
    tap: Folder, api: StandIn, stream: Stream, status: str
) -> None:
    """It may become one of those that end a job."""
    api.add(stream.job("a", status=status))
    run = read(tap, stream, "a")
    assert run.records(stream.name)[0]["status"] == status
    assert (run.status, run.completed(stream.name)) == (0, {})


@pytest.mark.parametrize("body", [{}, {"imports": 5}, {"imports": 5, "job": None}])
def test_a_status_without_a_job_is_tried_again(
    tap: Folder, api: StandIn, stream: Stream, body: dict[str, Any]
) -> None:
    """It is not an answer about the job."""
    api.add(stream.job("a", 3, script={"status": [Answer(body=body)] * 2}))
    run = read(tap, stream, "a")
    assert [row[f"imported_{stream.kind}"] for row in run.records(stream.name)] == [3]
    assert (run.status, run.completed(stream.name)) == (0, {"a": 1})
    assert len(api.asked("a", "status")) == 3


def test_counts_that_are_missing_are_zero_and_new_fields_are_kept(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """Default values may be left out; later fields of both levels arrive."""
    body = {"job": {"id": "a", "status": "COMPLETED", "owner": {"a": 1}}, "warned": 7}
    api.add(stream.job("a", script={"status": [Answer(200, body=body)]}))
    run = read(tap, stream, "a")
    assert run.records(stream.name) == [
        {
            "owner": {"a": 1},
            "warned": 7,
            "job_id": "a",
            "status": "COMPLETED",
            "created_at": None,
            "finished_at": None,
            f"imported_{stream.kind}": 0,
            f"failed_{stream.kind}": 0,
        }
    ]


def test_a_status_that_is_no_text_does_not_stop_the_run(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """It is not the status of an ended import."""
    script = {"status": [Answer(body={"job": {"status": ["COMPLETED"]}})] * 99}
    api.add(stream.job("a", script=script), stream.job("b"))
    run = read(tap, stream, "a", "b", job_wait_timeout=1)
    assert run.status == 0
    assert run.completed(stream.name) == {"b": 1}
    assert run.records(stream.name)[-1]["status"] == '["COMPLETED"]'
