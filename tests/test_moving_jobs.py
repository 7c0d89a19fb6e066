"""A job whose import goes on while it is read is read again from its first page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_in import Answer, Job
from tests.target import events, failures

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

Script = dict[str, list[Answer | None]]
RUNNING = Answer(status=202)
WAITS = {
    "final": [],
    "processing first": ["PROCESSING", "PROCESSING"],
    "other words first": ["QUEUED", "processing", None, "UNKNOWN"],
}


def rows(names: str) -> list[dict[str, Any]]:
    """One event for each letter."""
    return [{"name": name} for name in names]


def loaded(run: Run, job_id: str = "a") -> str:
    """The letters that a target has in the end: a later record replaces an earlier."""
    records = [record for record in run.records() if record["job_id"] == job_id]
    found = {record["event_index"]: record["name"] for record in records}
    return "".join(found[place] for place in sorted(found))


def readings(api: StandIn, endpoint: str = "imports") -> int:
    """How often job `a` has been read from its first page."""
    asked = api.asked("a", endpoint)
    return sum(request.token is None for request in asked if request.status == 200)


@pytest.mark.parametrize("words", WAITS.values(), ids=WAITS)
@pytest.mark.parametrize("script", [{}, {"imports:1": [RUNNING]}], ids=["total", "202"])
def test_new_total_or_202_between_pages_reads_the_final_job_again(
    tap: Folder, api: StandIn, words: list[str | None], script: Script
) -> None:
    """Without that: `b d d e f` of `a b d e f`, as many as the last total says."""
    job = Job("a", rows("abdef"), page_size=2, script=script, words=words)
    job.earlier = [rows("bdf")]
    api.add(job)

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert loaded(run) == "abdef"
    assert run.completed() == {"a": 5}
    assert readings(api) == 2
    assert len(api.asked("a", "status")) == len(words) + 1


def test_202_between_pages_of_failures_reads_them_again(
    tap: Folder, api: StandIn
) -> None:
    script: Script = {"errors:1": [RUNNING]}
    api.add(Job("a", failures=failures("a", 5), page_size=2, script=script))
    tap.streams = ("import_errors",)

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed("import_errors") == {"a": 5}
    assert readings(api, "errors") == 2
    assert len(api.asked("a", "status")) == 1


@pytest.mark.parametrize(
    "change", ["total", "202"], ids=["a new total each time", "202 each time"]
)
def test_job_that_moves_in_every_reading_fails_after_three_more(
    tap: Folder, api: StandIn, change: str
) -> None:
    job = Job("a", rows("abcdef"), page_size=2)
    if change == "202":
        job.script = {"imports:1": [RUNNING] * 50}
    else:
        job.earlier = [rows("x" * count) for count in range(3, 60)]
    api.add(job, Job("b", rows("xyz")))

    run = tap.run(job_ids=["a", "b"])

    assert run.status == 1
    assert run.completed() == {"b": 3}
    assert readings(api) == 4
    assert "Job a failed" in run.errors[-1]
    assert "changed while it was read" in run.errors[-1]


def test_three_more_readings_are_allowed(tap: Folder, api: StandIn) -> None:
    script: Script = {"imports:1": [RUNNING, RUNNING], "imports:2": [RUNNING]}
    api.add(Job("a", rows("abcdef"), page_size=2, script=script))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert loaded(run) == "abcdef"
    assert run.completed() == {"a": 6}
    assert readings(api) == 4


def test_job_that_moves_and_stays_processing_is_deferred(
    tap: Folder, api: StandIn
) -> None:
    words: list[str | None] = ["PROCESSING"] * 99
    api.add(
        Job("a", rows("abdef"), page_size=2, earlier=[rows("bdf")], words=words),
        Job("b", rows("xyz")),
    )

    run = tap.run(job_ids=["a", "b"], job_wait_timeout=20)

    assert run.status == 0
    assert run.completed() == {"b": 3}
    assert "deferred 1" in run.stderr


@pytest.mark.parametrize(
    "totals",
    [
        ["4", 4, "4", "4"],
        ["4", None, None, None],
        [None, None, None, "4"],
        ["4", "", "4", "many"],
    ],
)
def test_missing_or_differently_written_total_reads_the_job_once(
    tap: Folder, api: StandIn, totals: list[str | int | None]
) -> None:
    pages = [rows(name) for name in "abcd"]
    api.add(Job("a", pages=pages, total=totals))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 4}
    assert len(run.records()) == 4
    assert readings(api) == 1


def test_second_reading_with_fewer_rows_warns_that_old_ones_stay(
    tap: Folder, api: StandIn
) -> None:
    """A target can't be asked to delete them."""
    early = {"results": rows("abcde"), "total_records": "6"}
    script: Script = {"imports": [Answer(body=early)]}
    api.add(Job("a", rows("bcd"), script=script, words=["PROCESSING"]))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 3}
    assert loaded(run) == "bcdde"
    [warning] = [line for line in run.warnings if "target" in line]
    assert "Job a" in warning
    assert re.search(r"\b5\b.*\b3\b|\b3\b.*\b5\b", warning)


def test_last_reading_with_fewer_rows_than_any_warns(tap: Folder, api: StandIn) -> None:
    """Of three readings, the first one had the most rows."""
    early = (("abcdef", "7"), ("abc", "4"))
    script: Script = {
        "imports": [
            Answer(body={"results": rows(names), "total_records": total})
            for names, total in early
        ]
    }
    words: list[str | None] = ["PROCESSING", "COMPLETED", "PROCESSING"]
    api.add(Job("a", rows("bcde"), script=script, words=words))

    run = tap.run(job_ids=["a"])

    assert run.completed() == {"a": 4}
    [warning] = [line for line in run.warnings if "target" in line]
    assert "had 6 rows, the last one 4" in warning


def test_warning_of_fewer_rows_keeps_that_of_a_wrong_number(
    tap: Folder, api: StandIn
) -> None:
    early = {"results": rows("abcde"), "total_records": "6"}
    script: Script = {"imports": [Answer(body=early)]}
    words: list[str | None] = ["PROCESSING"]
    api.add(Job("a", rows("bcd"), script=script, words=words, total=None, imports=9))

    run = tap.run(job_ids=["a"], count_mismatch="warn")

    assert run.completed() == {"a": 3}
    [warning] = [line for line in run.warnings if "target" in line]
    assert "9 imported" in warning


def test_second_reading_with_as_many_rows_or_more_does_not_warn(
    tap: Folder, api: StandIn
) -> None:
    script: Script = {"imports:1": [RUNNING]}
    api.add(Job("a", events("a", 5), page_size=2, script=script))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert " | WARNING " not in run.stderr
