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


# Words that are not final: only COMPLETED and FAILED are. None: no word at all.
UNFINISHED = ["PROCESSING", "QUEUED", "UNKNOWN", "processing", "completed", "", None]
# Pages without rows that say as little as the API may say.
SILENT: list[dict[str, Any]] = [
    {},
    {"results": []},
    {"results": [], "total_records": "0"},
]


def status(imports: Any, word: str | None = "COMPLETED") -> Answer:
    about = {"id": "a"} if word is None else {"id": "a", "status": word}
    return Answer(body={"imports": imports, "job": about})


def assert_incomplete(run: Run, *numbers: str) -> None:
    """The job's rows are written, it is not bookmarked, and the last line says why."""
    assert run.status == 1
    assert len(run.records()) == 5
    assert run.completed() == {}
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


@pytest.mark.parametrize(
    ("total", "page_size"),
    [(total, 2) for total in ("6", "4", 4, None, "", "many", "-5", "5.5")]
    + [("0", 5), ("3", 3)],
)
def test_rows_equal_to_the_imports_of_the_status_are_complete(
    api: StandIn, tap: Folder, total: str | int | None, page_size: int
) -> None:
    api.add(Job("a", rows=ROWS, page_size=page_size, total=total))

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


def test_failed_job_with_rows_equal_to_its_imports_is_complete(
    api: StandIn, tap: Folder
) -> None:
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
    assert len(api.asked("a", "status")) == 1


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


@pytest.mark.parametrize("body", SILENT)
@pytest.mark.parametrize("word", UNFINISHED)
def test_empty_answer_with_an_unfinished_word_defers_the_job(
    api: StandIn, tap: Folder, word: str | None, body: dict[str, Any]
) -> None:
    script: dict[str, list[Answer | None]] = {
        "imports": [Answer(body=body)] * 50,
        "status": [status(0, word)] * 50,
    }
    api.add(Job("a", rows=ROWS, script=script))

    run = tap.run(job_ids=["a"], job_wait_timeout=10)

    assert run.status == 0
    assert run.completed() == {}
    assert "deferred 1" in run.stderr


@pytest.mark.parametrize("early", [0, 2])
@pytest.mark.parametrize("word", UNFINISHED)
def test_unfinished_word_is_polled_and_then_the_job_is_read_again(
    api: StandIn, tap: Folder, word: str | None, early: int
) -> None:
    page = {"results": ROWS[1 : 1 + early], "total_records": str(early * 2)}
    script: dict[str, list[Answer | None]] = {
        "imports": [Answer(body=page)],
        "status": [status(early, word)],
    }
    api.add(Job("a", rows=ROWS, page_size=2, script=script))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 5}
    last = {record["event_index"]: record for record in run.records()}
    assert [last[index]["user"] for index in range(5)] == [row["user"] for row in ROWS]
    assert [last[index]["name"] for index in range(5)] == [row["name"] for row in ROWS]
    assert run.errors == []


@pytest.mark.parametrize("body", [*SILENT, {"results": [], "total_records": "5"}])
@pytest.mark.parametrize("word", ["COMPLETED", "FAILED"])
def test_empty_answer_where_the_status_reports_rows_is_tried_again(
    api: StandIn, tap: Folder, word: str, body: dict[str, Any]
) -> None:
    script: dict[str, list[Answer | None]] = {"imports": [Answer(body=body)] * 2}
    api.add(Job("a", rows=ROWS, status=word, script=script))

    run = tap.run(job_ids=["a"], max_attempts=3)

    assert run.status == 0
    assert run.completed() == {"a": 5}
    assert len(run.records()) == 5
    assert len(api.asked("a", "imports")) == 3


@pytest.mark.parametrize("body", SILENT)
def test_empty_answers_where_the_status_reports_rows_fail_after_max_attempts(
    api: StandIn, tap: Folder, body: dict[str, Any]
) -> None:
    script: dict[str, list[Answer | None]] = {"imports": [Answer(body=body)] * 20}
    api.add(Job("a", rows=ROWS, script=script), Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], max_attempts=3)

    assert run.status == 1
    assert run.completed() == {"b": 5}
    assert len(api.asked("a", "imports")) == 3
    assert run.errors[-1].startswith("Job a failed: ")
    assert "incomplete" in run.errors[-1]


@pytest.mark.parametrize(
    "body", [{}, {"imports": 5}, {"imports": 5, "job": None}, {"imports": 5, "job": []}]
)
def test_status_without_a_job_is_tried_again(
    api: StandIn, tap: Folder, body: dict[str, Any]
) -> None:
    script: dict[str, list[Answer | None]] = {"status": [Answer(body=body)] * 2}
    api.add(Job("a", rows=ROWS, total="6", script=script))

    run = tap.run(job_ids=["a"], max_attempts=3)

    assert run.status == 0
    assert run.completed() == {"a": 5}
    assert len(api.asked("a", "status")) == 3


@pytest.mark.parametrize("word", UNFINISHED)
@pytest.mark.parametrize(("choice", "exit_status"), [("defer", 0), ("fail", 1)])
def test_rows_equal_to_the_imports_of_an_unfinished_status_are_not_complete(
    api: StandIn, tap: Folder, choice: str, exit_status: int, word: str | None
) -> None:
    script: dict[str, list[Answer | None]] = {"status": [status(5, word)] * 50}
    api.add(Job("a", rows=ROWS, total="6", script=script))

    run = tap.run(job_ids=["a"], job_wait_timeout=10, unfinished_jobs=choice)

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
