"""A job counts as read only if its rows are as many as the API says it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_in import Answer, Job, make_events

if TYPE_CHECKING:
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


COMPLETE: dict[str, tuple[dict[str, Any], int]] = {
    **{
        f"total {total}": ({"total": total, "page_size": 2, "imports": 99}, 0)
        for total in ("5", 5, ...)
    },
    **{
        f"no use of total {total}": ({"total": total, "page_size": 2}, 1)
        for total in ("6", "4", 4, None, "", "many", "-5", "5.5")
    },
    **{
        f"total of another type {total}": ({"total": total}, 1)
        for total in ("0", True, 5.5, [[5]], {"count": 5})
    },
    "total 3 on each page": ({"total": "3", "page_size": 3}, 1),
    "FAILED": ({"total": "7", "status": "FAILED", "errors": 2}, 1),
    **{
        f"no events, total {total}": ({"rows": [], "total": total}, 1)
        for total in ("0", 0, None)
    },
    "all events failed": ({"rows": [], "status": "FAILED", "generate_failures": 3}, 1),
}
"""Jobs whose rows agree with their total or else their status, and its requests."""


@pytest.mark.parametrize("count_mismatch", ["fail", "warn"])
@pytest.mark.parametrize(("fields", "asked"), COMPLETE.values(), ids=COMPLETE)
def test_rows_that_match_total_or_status_complete_the_job(
    api: StandIn, tap: Folder, fields: dict[str, Any], asked: int, count_mismatch: str
) -> None:
    job = Job("a", **{"rows": ROWS, **fields})
    api.add(job)

    run = tap.run(job_ids=["a"], count_mismatch=count_mismatch)

    assert run.status == 0
    assert len(run.records()) == len(job.rows)
    assert run.completed() == {"a": len(job.rows)}
    assert len(api.asked("a", "status")) == asked
    assert run.warnings == []


@pytest.mark.parametrize(
    ("total", "said"), [("6", "6"), (7, "7"), ("1200", "1,200"), (None, "no total")]
)
def test_rows_that_match_neither_total_nor_status_fail_the_job(
    api: StandIn, tap: Folder, total: str | int | None, said: str
) -> None:
    api.add(Job("a", rows=ROWS, page_size=2, total=total, imports=8))

    run = tap.run(job_ids=["a"])

    assert_incomplete(run, "5 rows", said, "8 imported", "`count_mismatch`")


def test_warn_bookmarks_an_incomplete_job_and_says_both_numbers(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", rows=ROWS, total="6", imports=8))

    run = tap.run(job_ids=["a"], count_mismatch="warn")

    assert run.status == 0
    assert len(run.records()) == 5
    assert run.completed() == {"a": 5}
    assert run.errors == []
    [warning] = run.warnings
    for part in ("Job a", "5 rows", " 6", " 8 "):
        assert part in warning
    assert "attempt" not in warning
    assert run.summary["retries"] == 0


def test_missing_rows_fail_the_job(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", total="5", imports=5))

    run = tap.run(job_ids=["a"])

    assert run.status == 1
    assert run.completed() == {}
    assert "incomplete" in run.lines[-1]


@pytest.mark.parametrize("body", [{}, {"imports": "many", "job": {"id": "a"}}])
def test_status_without_a_count_does_not_confirm_a_job_without_rows(
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


def test_check_is_tried_again_like_any_request(api: StandIn, tap: Folder) -> None:
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
def test_check_that_fails_fails_the_job(
    api: StandIn, tap: Folder, answer: Answer, said: str
) -> None:
    script: dict[str, list[Answer | None]] = {"status": [answer] * 3}
    api.add(Job("a", rows=ROWS, total="6", script=script), Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], max_attempts=3)

    assert run.status == 1
    assert run.completed() == {"b": 5}
    assert run.lines[-1].startswith("Job a failed: ")
    assert said in run.lines[-1]
