"""A job counts as read only if its rows are as many as the API says it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_in import Answer, Job, make_events

if TYPE_CHECKING:
    from types import EllipsisType

    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

ROWS = make_events(5)


def status(imports: Any, word: str = "COMPLETED", **more: Any) -> Answer:
    return Answer(body={"imports": imports, "job": {"id": "a", "status": word}, **more})


def assert_incomplete(run: Run, *numbers: str) -> None:
    """The job's rows are written, it is not bookmarked, and the last line says why."""
    assert run.status == 1
    assert len(run.records()) == 5
    assert run.completed() == {}
    assert "Traceback" not in run.stderr
    assert run.lines[-1] == run.errors[-1]
    assert run.lines[-1].startswith("Job a failed: ")
    assert "incomplete" in run.lines[-1]
    for number in numbers:
        assert number in run.lines[-1]


@pytest.mark.parametrize("total", ["5", 5, ...])
def test_a_job_with_the_right_total_is_complete(
    api: StandIn, tap: Folder, total: str | int | EllipsisType
) -> None:
    api.add(Job("a", rows=ROWS, page_size=2, total=total, imports=99))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 5}
    assert api.asked("a", "status") == []


@pytest.mark.parametrize("total", ["6", "4", 4, "0", None, "", "many", "-5", "5.5"])
def test_rows_equal_to_the_imports_of_the_status_are_complete(
    api: StandIn, tap: Folder, total: str | int | None
) -> None:
    api.add(Job("a", rows=ROWS, page_size=2, total=total))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert len(run.records()) == 5
    assert run.completed() == {"a": 5}
    assert len(api.asked("a", "status")) == 1
    assert run.errors == []


@pytest.mark.parametrize("total", [True, 5.5, [5], {"count": 5}])
def test_a_total_of_another_type_counts_as_none(
    api: StandIn, tap: Folder, total: object
) -> None:
    body = {"results": ROWS, "total_records": total}
    api.add(Job("a", rows=ROWS, script={"imports": [Answer(body=body)]}))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 5}
    assert len(api.asked("a", "status")) == 1


def test_the_word_of_the_status_does_not_matter(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, total="7", status="FAILED", errors=2))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 5}


@pytest.mark.parametrize(
    ("total", "said"), [("6", "6"), (7, "7"), ("1200", "1,200"), (None, "no total")]
)
def test_a_job_that_neither_number_agrees_with_is_incomplete(
    api: StandIn, tap: Folder, total: str | int | None, said: str
) -> None:
    api.add(Job("a", rows=ROWS, page_size=2, total=total, imports=8))

    run = tap.run(job_ids=["a"])

    assert_incomplete(run, "5 rows", said, "8 imported", "`count_mismatch`")


def test_an_incomplete_job_fails_no_other_and_is_read_again(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", rows=ROWS, total="6", imports=6), Job("b", rows=ROWS))
    first = tap.run(job_ids=["a", "b"])
    assert first.status == 1
    assert first.completed() == {"b": 5}

    api.add(Job("a", rows=make_events(6)))
    api.clear()
    second = tap.run(job_ids=["a", "b"], state=first.state)

    assert second.status == 0
    assert second.completed() == {"a": 6, "b": 5}
    assert [record["event_index"] for record in second.records()] == list(range(6))
    assert api.asked("b") == []


def test_warn_bookmarks_an_incomplete_job_and_says_both_numbers(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", rows=ROWS, total="6", imports=8))

    run = tap.run(job_ids=["a"], count_mismatch="warn")

    assert run.status == 0
    assert len(run.records()) == 5
    assert run.completed() == {"a": 5}
    assert run.errors == []
    warning = next(line for line in run.stderr.splitlines() if " | WARNING " in line)
    for part in ("Job a", "5 rows", " 6", " 8 "):
        assert part in warning


@pytest.mark.parametrize("count_mismatch", ["fail", "warn"])
def test_a_complete_job_needs_no_warning(
    api: StandIn, tap: Folder, count_mismatch: str
) -> None:
    api.add(Job("a", rows=ROWS))

    run = tap.run(job_ids=["a"], count_mismatch=count_mismatch)

    assert run.status == 0
    assert " | WARNING " not in run.stderr


@pytest.mark.parametrize("total", ["0", 0, None])
def test_a_job_without_events_is_complete(
    api: StandIn, tap: Folder, total: str | int | None
) -> None:
    api.add(Job("a", total=total))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.records() == []
    assert run.completed() == {"a": 0}


def test_a_job_whose_events_all_failed_is_complete(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", status="FAILED", generate_failures=3))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 0}


def test_no_rows_where_some_were_promised_are_not_complete(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", total="5", imports=5))

    run = tap.run(job_ids=["a"])

    assert run.status == 1
    assert run.completed() == {}
    assert "incomplete" in run.lines[-1]


@pytest.mark.parametrize("body", [{}, {"imports": "many", "job": {"id": "a"}}])
def test_a_status_without_a_count_does_not_confirm_a_job_without_rows(
    api: StandIn, tap: Folder, body: dict[str, Any]
) -> None:
    script: dict[str, list[Answer | None]] = {"status": [Answer(body=body)] * 3}
    api.add(Job("a", total="5", script=script))

    run = tap.run(job_ids=["a"], max_attempts=3)

    assert run.status == 1
    assert run.completed() == {}


@pytest.mark.parametrize("body", [{"job": {}}, {"job": {"status": "UNKNOWN"}}])
def test_answers_that_say_nothing_are_not_a_job_without_rows(
    api: StandIn, tap: Folder, body: dict[str, Any]
) -> None:
    script: dict[str, list[Answer | None]] = {
        "imports": [Answer(body={})],
        "status": [Answer(body=body)],
    }
    api.add(Job("a", rows=ROWS, script=script))

    first = tap.run(job_ids=["a"])
    second = tap.run(job_ids=["a"], state=first.state)

    assert first.status == 1
    assert first.completed() == {}
    assert "It is incomplete: 0 rows were read" in first.errors[-1]
    assert "the pages report no total and the job's status nothing" in first.errors[-1]
    assert second.status == 0
    assert second.completed() == {"a": 5}


def test_a_job_that_is_processing_again_is_not_decided_yet(
    api: StandIn, tap: Folder
) -> None:
    early = {"results": ROWS[:2], "total_records": "4"}
    script: dict[str, list[Answer | None]] = {
        "imports": [Answer(body=early), Answer(status=202)],
        "status": [status(2, "PROCESSING")],
    }
    api.add(Job("a", rows=ROWS, page_size=2, script=script))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 5}
    last = {record["event_index"]: record for record in run.records()}
    assert [last[index]["user"] for index in range(5)] == [row["user"] for row in ROWS]
    assert [last[index]["name"] for index in range(5)] == [row["name"] for row in ROWS]
    assert run.errors == []


@pytest.mark.parametrize(("choice", "exit_status"), [("defer", 0), ("fail", 1)])
def test_a_job_that_stays_processing_at_the_check_is_unfinished(
    api: StandIn, tap: Folder, choice: str, exit_status: int
) -> None:
    script: dict[str, list[Answer | None]] = {"status": [status(5, "PROCESSING")] * 50}
    api.add(Job("a", rows=ROWS, total="6", script=script))

    run = tap.run(job_ids=["a"], job_wait_timeout=20, unfinished_jobs=choice)

    assert run.status == exit_status
    assert run.completed() == {}
    assert "still processing" in run.stderr
    assert "incomplete" not in run.stderr


def test_the_check_is_tried_again_like_any_request(api: StandIn, tap: Folder) -> None:
    script: dict[str, list[Answer | None]] = {
        "status": [Answer(status=500), Answer(drop=True), Answer(status=200, body="")]
    }
    api.add(Job("a", rows=ROWS, total="6", script=script))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 5}
    assert len(run.records()) == 5
    assert len(api.asked("a", "imports")) == 1
    assert len(api.asked("a", "status")) == 4


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(status=500), "500 server_error"),
        (Answer(status=400), "400 required_field"),
        (Answer(status=404), "404 resource_not_found"),
        (Answer(body="no JSON"), "not JSON"),
        (Answer(body="[]"), "not a JSON object"),
        (Answer(body={"code": "server_error", "message": "x"}), "status 200"),
        (Answer(body={"imports": 5, "job": "a"}), "job"),
        (Answer(drop=True), "connection"),
    ],
)
def test_a_check_that_fails_fails_the_job(
    api: StandIn, tap: Folder, answer: Answer, said: str
) -> None:
    script: dict[str, list[Answer | None]] = {"status": [answer] * 3}
    api.add(Job("a", rows=ROWS, total="6", script=script), Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], max_attempts=3)

    assert run.status == 1
    assert run.completed() == {"b": 5}
    assert run.lines[-1].startswith("Job a failed: ")
    assert said in run.lines[-1]
    assert "Traceback" not in run.stderr
