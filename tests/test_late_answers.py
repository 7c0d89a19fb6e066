"""An answer counts only for the request that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_in import Answer, Job
from tests.target import events

if TYPE_CHECKING:
    from tests.harness import Folder
    from tests.stand_in import StandIn

Script = dict[str, list[Answer | None]]
JOBS = [f"job-{number:02}" for number in range(12)]
ROWS = 3
STREAMS = ("imported_events", "import_errors", "import_jobs")
EARLY = Answer(early=103, latency=0.06)
UNEXPECTED = {
    "101": Answer(early=101, latency=0.06),
    "102": Answer(early=102, latency=0.06),
    "103": EARLY,
    "204": Answer(early=204, latency=0.06),
    "cut": Answer(cut=5),
    "too large": Answer(body=b" " * 300_000),
    "too large an error": Answer(status=500, body=b" " * 3_000_000),
}


def own_id(job_id: str | None) -> dict[str, Any]:
    """The status of a job that has its rows and says this of itself."""
    about = {"status": "COMPLETED", "finished": "2026-01-15T01:31:15Z"}
    named = about if job_id is None else {"id": job_id, **about}
    return {"imports": ROWS, "job": named}


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("status", [102, 103, 204])
def test_late_answer_after_an_early_one_gives_no_other_job_its_rows(
    tap: Folder, api: StandIn, status: int, concurrency: int
) -> None:
    """All jobs have as many rows, so that no count tells them apart."""
    early = Answer(early=status, latency=0.06)
    for number, job_id in enumerate(JOBS):
        script: Script = {"imports": [early]} if number % 3 == 1 else {}
        api.add(Job(job_id, events(job_id, ROWS), page_size=2, script=script))

    run = tap.run(job_ids=JOBS, concurrency=concurrency)

    for record in run.records():
        assert record["name"] == f"{record['job_id']}/{record['event_index']}"
    assert run.status == 0
    assert run.completed() == dict.fromkeys(JOBS, ROWS)
    assert run.errors == []


@pytest.mark.parametrize("answer", UNEXPECTED.values(), ids=UNEXPECTED)
def test_connection_of_an_unexpected_answer_is_not_used_again(
    tap: Folder, api: StandIn, answer: Answer
) -> None:
    script: Script = {"imports": [answer]}
    api.add(Job("a", events("a", ROWS), script=script), Job("b", events("b", ROWS)))

    run = tap.run(job_ids=["a", "b"], max_page_bytes=200_000)

    assert run.completed()["b"] == ROWS
    first, *others = api.requests
    assert first.connection not in {request.connection for request in others}


@pytest.mark.parametrize("endpoint", ["imports", "errors", "status"])
def test_early_answers_cost_attempts_at_every_endpoint(
    tap: Folder, api: StandIn, endpoint: str
) -> None:
    """A server that never sends more than early answers fails the job."""
    script: Script = {endpoint: [EARLY] * 9}
    api.add(Job("a", events("a", ROWS), script=script), Job("b", events("b", ROWS)))
    tap.streams = STREAMS

    run = tap.run(job_ids=["a", "b"], max_attempts=2)

    assert run.status == 1
    [error] = run.errors
    assert "Job a failed" in error
    assert "103" in error
    assert {record["name"] for record in run.records() if record["job_id"] == "b"} == {
        f"b/{index}" for index in range(ROWS)
    }


# The status of another job


def test_status_of_another_job_is_asked_for_again(tap: Folder, api: StandIn) -> None:
    script: Script = {"status": [Answer(body=own_id("b"))] * 2}
    api.add(Job("a", events("a", ROWS), total="7", script=script))

    run = tap.run(job_ids=["a"], max_attempts=3)

    assert run.status == 0
    assert run.completed() == {"a": ROWS}
    assert len(api.asked("a", "status")) == 3


@pytest.mark.parametrize("job_id", ["b", "A", "a ", 7])
def test_status_that_always_names_another_job_fails_the_job(
    tap: Folder, api: StandIn, job_id: Any
) -> None:
    script: Script = {"status": [Answer(body=own_id(job_id))] * 2}
    api.add(Job("a", events("a", ROWS), total="7", script=script), Job("c"))

    run = tap.run(job_ids=["a", "c"], max_attempts=2)

    assert run.status == 1
    assert run.completed() == {"c": 0}
    assert "Job a failed" in run.errors[-1]
    assert "another job" in run.errors[-1]


@pytest.mark.parametrize("body", [own_id("a"), own_id(None)], ids=["own", "missing"])
def test_status_with_its_own_id_or_none_is_taken(
    tap: Folder, api: StandIn, body: dict[str, Any]
) -> None:
    script: Script = {"status": [Answer(body=body)]}
    api.add(Job("a", events("a", ROWS), total="7", script=script))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": ROWS}
    assert len(api.asked("a", "status")) == 1


def test_status_of_another_job_becomes_no_record(tap: Folder, api: StandIn) -> None:
    script: Script = {"status": [Answer(body=own_id("b"))]}
    api.add(Job("a", events("a", 5), script=script))
    tap.streams = ("import_jobs",)

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    [record] = run.records("import_jobs")
    assert (record["job_id"], record["imported_events"]) == ("a", 5)
