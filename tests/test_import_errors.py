"""The stream `import_errors`: the events that failed, and why."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.stand_in import Answer, Job, make_failures

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

STREAM = "import_errors"
FAILURES = make_failures(7)
EXACTLY = json.loads(json.dumps(FAILURES), parse_float=Decimal)


@pytest.fixture
def tap(tap: Folder) -> Folder:
    """The tap with this stream alone."""
    tap.streams = (STREAM,)
    return tap


def assert_read(run: Run, *job_ids: str) -> None:
    """All failures of some jobs have come, and are bookmarked."""
    assert run.status == 0, run.stderr
    assert run.completed(STREAM) == dict.fromkeys(job_ids, len(FAILURES))
    for job_id in job_ids:
        rows = [row for row in run.records(STREAM) if row["job_id"] == job_id]
        assert [row["error_index"] for row in rows] == list(range(len(FAILURES)))
        assert [without_keys(row) for row in rows] == EXACTLY


def without_keys(record: dict[str, Any]) -> dict[str, Any]:
    """A record as the row that it was made of."""
    keys = ("job_id", "error_index")
    return {name: value for name, value in record.items() if name not in keys}


def test_failed_events_arrive_as_they_are(tap: Folder, api: StandIn) -> None:
    """Over several pages, in order, with keys of their own, valid by the schema."""
    api.add(Job("a", failures=FAILURES, page_size=3), Job("b", failures=FAILURES))
    run = tap.run(job_ids=["a", "b"])
    assert_read(run, "a", "b")
    (schema,) = run.of_type("SCHEMA")
    assert schema["key_properties"] == ["job_id", "error_index"]
    validator = Draft202012Validator(schema["schema"])
    for record in run.records(STREAM):
        validator.validate(record)
    keys = [(row["job_id"], row["error_index"]) for row in run.records(STREAM)]
    assert len({*keys}) == len(keys)


def test_the_timestamp_stays_the_text_that_was_sent(tap: Folder, api: StandIn) -> None:
    """It may be the very thing that was wrong."""
    texts = ["yesterday", "2022-03-15T14:23:23+02:00", "", "2022-03-15T14:23:23Z"]
    failures = [{"event": {"name": "x", "timestamp": text}} for text in texts]
    api.add(Job("a", failures=failures))
    run = tap.run(job_ids=["a"])
    assert [row["event"]["timestamp"] for row in run.records(STREAM)] == texts
    assert "can't be read" not in run.stderr


def test_use_most_recent_and_the_shared_context_arrive(
    tap: Folder, api: StandIn
) -> None:
    """These two fields only a failed event has."""
    failure = {
        "event": {"name": "x", "session": {"use_most_recent": True}},
        "shared": {"context": {"location": {"latitude": 1.25}}, "new": [1]},
    }
    api.add(Job("a", failures=[failure]))
    (record,) = tap.run(job_ids=["a"]).records(STREAM)
    assert without_keys(record) == failure


def test_a_job_that_is_processing_is_waited_for(tap: Folder, api: StandIn) -> None:
    """202 is handled as it is for imported events."""
    api.add(Job("a", failures=FAILURES, processing=3))
    run = tap.run(job_ids=["a"])
    assert_read(run, "a")
    assert [request.status for request in api.requests] == [202, 202, 202, 200]


def test_a_job_still_processing_at_the_timeout_is_deferred(
    tap: Folder, api: StandIn
) -> None:
    """It is left for the next run, without a row."""
    api.add(Job("a", processing=-1))
    run = tap.run(job_ids=["a"], job_wait_timeout=5)
    assert (run.status, run.records(STREAM), run.completed(STREAM)) == (0, [], {})
    assert "deferred 1" in run.stderr


def test_the_status_counts_failed_events(tap: Folder, api: StandIn) -> None:
    """A job is complete if its rows agree with the `errors` of its status."""
    cut = '{"results": [{"code": "x"}], "total_records": "2"}'
    api.add(
        Job("agrees", errors=1, script={"errors": [Answer(200, body=cut)]}),
        Job("differs", errors=3, script={"errors": [Answer(200, body=cut)]}),
    )
    run = tap.run(job_ids=["agrees", "differs"])
    assert run.status == 1
    assert run.completed(STREAM) == {"agrees": 1}
    assert "1 row" in run.errors[-1]
    assert "a total of 2" in run.errors[-1]
    assert "3 failed events" in run.errors[-1]


@pytest.mark.parametrize("word", ["QUEUED", "processing", ""])
def test_no_failures_with_an_unfinished_word_defer_the_job(
    tap: Folder, api: StandIn, word: str
) -> None:
    """Only a job that has ended can be without failed events."""
    api.add(Job("a", status=word))
    run = tap.run(job_ids=["a"], job_wait_timeout=5)
    assert (run.status, run.completed(STREAM)) == (0, {})
    assert "deferred 1" in run.stderr


def test_no_failures_of_a_completed_job_are_confirmed_by_its_status(
    tap: Folder, api: StandIn
) -> None:
    """The status may leave `errors` out: the API documents it for failed jobs only."""
    body = {"imports": 5, "job": {"id": "a", "status": "COMPLETED"}}
    api.add(Job("a", script={"status": [Answer(200, body=body)]}))
    run = tap.run(job_ids=["a"])
    assert (run.status, run.completed(STREAM)) == (0, {"a": 0})
    assert len(api.asked("a", "status")) == 1


def test_only_the_endpoint_of_failed_events_is_asked(tap: Folder, api: StandIn) -> None:
    """With the tokens of its own pages, and without `include_schema`."""
    api.add(Job("a", failures=FAILURES, page_size=3))
    tap.run(job_ids=["a"], include_schema=True)
    assert {request.endpoint for request in api.requests} == {"errors"}
    assert [request.query.keys() for request in api.requests] == [
        set(),
        {"page_token"},
        {"page_token"},
    ]
