"""The stream `import_errors`: the events that failed, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_in import Answer, Job

if TYPE_CHECKING:
    from tests.harness import Folder
    from tests.stand_in import StandIn

STREAM = "import_errors"


@pytest.fixture
def tap(tap: Folder) -> Folder:
    """The tap with this stream alone."""
    tap.streams = (STREAM,)
    return tap


def without_keys(record: dict[str, Any]) -> dict[str, Any]:
    """A record as the row that it was made of."""
    keys = ("job_id", "error_index")
    return {name: value for name, value in record.items() if name not in keys}


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
