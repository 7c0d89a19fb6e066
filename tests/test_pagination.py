"""Every page of a job is read, in order, and paging ends for the right reason only."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import pytest

from tap_fullstory_imports.fullstory import job
from tests.stand_in import Answer, Job, make_events

if TYPE_CHECKING:
    from tests.harness import Folder
    from tests.stand_in import StandIn

Rows = list[dict[str, Any]]
ONE: Rows = [{"name": "one"}]
TWO: Rows = [{"name": "two"}]


def test_equal_rows_are_all_kept_and_have_keys_of_their_own(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", rows=make_events(1) * 6, page_size=4))

    run = tap.run(job_ids=["a"])

    keys = {(record["job_id"], record["event_index"]) for record in run.records()}
    assert keys == {("a", index) for index in range(6)}
    assert len(run.records()) == 6


@pytest.mark.parametrize(
    "pages",
    [
        [[], ONE, TWO],
        [ONE, [], TWO],
        [ONE, TWO, []],
        [[], [], ONE, [], [], TWO, [], []],
    ],
    ids=["first", "middle", "last", "many"],
)
def test_empty_pages_do_not_end_a_job(
    api: StandIn, tap: Folder, pages: list[Rows]
) -> None:
    api.add(Job("a", pages=pages))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert [record["name"] for record in run.records()] == ["one", "two"]
    assert [record["event_index"] for record in run.records()] == [0, 1]
    assert run.completed() == {"a": 2}
    assert len(api.asked("a", "imports")) == len(pages)


def test_answer_without_results_continues(api: StandIn, tap: Folder) -> None:
    first = Answer(body={"next_page_token": "t", "total_records": "1"})
    api.add(Job("a", pages=[[], ONE], tokens=["t"], script={"imports": [first]}))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert [record["name"] for record in run.records()] == ["one"]
    assert run.completed() == {"a": 1}


@pytest.mark.parametrize(
    "token",
    [{}, {"next_page_token": ""}, {"next_page_token": None}],
    ids=["absent", "empty", "null"],
)
def test_page_without_token_ends_the_job(
    api: StandIn, tap: Folder, token: dict[str, Any]
) -> None:
    body = {"results": ONE, "total_records": "1", **token}
    api.add(Job("a", script={"imports": [Answer(body=body)]}))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 1}
    assert len(api.asked("a")) == 1


@pytest.mark.parametrize(
    "tokens",
    [["A", "A"], ["A", "B", "A", "B"], ["A", "B", "C", "D", "B"], [*"ABCDEFGA"]],
)
def test_repeated_token_fails_only_its_job(
    api: StandIn, tap: Folder, tokens: list[str]
) -> None:
    pages = list(islice(cycle([ONE]), len(tokens) + 1))
    api.add(Job("loop", pages=pages, tokens=tokens), Job("b", rows=TWO))

    run = tap.run(job_ids=["loop", "b"])

    assert run.status == 1
    assert "Job loop failed: " in run.stderr.splitlines()[-1]
    assert "second time" in run.lines[-1]
    assert "token" in run.lines[-1]
    assert run.completed() == {"b": 1}
    assert [row["name"] for row in run.records() if row["job_id"] == "b"] == ["two"]
    assert len(api.asked("loop", "imports")) <= len(tokens)


@pytest.mark.parametrize("total", ["10", 3, "1"])
def test_more_rows_than_the_total_and_still_a_token_fail_the_job(
    api: StandIn, tap: Folder, total: str | int
) -> None:
    """They would never end, though each has a fresh token."""
    api.add(Job("endless", pages=[ONE * 10] * 300, total=total), Job("b", rows=TWO))

    run = tap.run(job_ids=["endless", "b"])

    assert run.status == 1
    assert run.completed() == {"b": 1}
    assert len(api.asked("endless", "imports")) <= 2
    assert "Job endless failed" in run.errors[-1]
    assert "more rows" in run.errors[-1]


def test_as_many_rows_as_the_total_may_be_followed_by_an_empty_page(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", pages=[ONE, TWO, [], []]))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 2}


@pytest.mark.parametrize("before", [[], [ONE]], ids=["from the start", "after a row"])
def test_more_than_a_hundred_empty_pages_in_a_row_fail_the_job(
    api: StandIn, tap: Folder, before: list[Rows]
) -> None:
    pages = [*before, *[[]] * 300, TWO]
    api.add(Job("endless", pages=pages), Job("b", rows=TWO))

    run = tap.run(job_ids=["endless", "b"])

    assert run.status == 1
    assert run.completed() == {"b": 1}
    assert 101 <= len(api.asked("endless", "imports")) <= 102
    assert "Job endless failed" in run.errors[-1]
    assert "empty" in run.errors[-1]


def test_hundred_empty_pages_in_a_row_are_read(api: StandIn, tap: Folder) -> None:
    """Each row starts the count anew."""
    api.add(Job("a", pages=[*[[]] * 100, ONE, *[[]] * 100, TWO]))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 2}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job has at most 500 rows, in place of 50,000."""
    monkeypatch.setattr(job, "MOST_ROWS", 500)


@pytest.mark.usefixtures("few")
def test_pages_without_a_total_end_where_the_status_says(
    api: StandIn, tap: Folder
) -> None:
    """Beyond the rows that a job can have, its status is the bound."""
    endless = Job("endless", pages=[ONE * 100] * 9, total=None, imports=400)
    api.add(endless, Job("b", rows=TWO))
    api.add(Job("large", pages=[ONE * 100] * 7, total=None))

    run = tap.run(job_ids=["endless", "large", "b"])

    assert run.status == 1
    assert run.completed() == {"b": 1, "large": 700}
    assert len(api.asked("endless", "imports")) == 6
    assert len(api.asked("endless", "status")) == 1
    assert len(api.asked("large", "status")) == 2  # beyond the bound, and at the end
    assert "Job endless failed" in run.errors[-1]
    assert "600 rows" in run.errors[-1]
    assert "400" in run.errors[-1]


def test_status_is_asked_once_for_the_bound_of_pages_without_a_total(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", pages=[ONE * 25_000] * 5, total=None, imports=70_000))

    run = tap.run(job_ids=["a"])

    assert run.status == 1
    assert [request.endpoint for request in api.requests] == [
        *["imports"] * 3,
        "status",
    ]


@pytest.mark.usefixtures("few")
def test_pages_without_a_total_of_a_running_import_are_read_again(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", pages=[ONE * 100] * 6, total=None, words=["PROCESSING"]))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 600}
    assert len(api.asked("a", "imports")) == 12


def test_jobs_may_use_the_same_tokens(api: StandIn, tap: Folder) -> None:
    for name in ("a", "b"):
        api.add(Job(name, pages=[ONE, TWO], tokens=["same"]))

    run = tap.run(job_ids=["a", "b"])

    assert run.status == 0
    assert run.completed() == {"a": 2, "b": 2}
