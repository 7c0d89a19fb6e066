"""The file of job IDs: as CSV, and at an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stand_in import Job, make_events

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn


def add_jobs(api: StandIn, *job_ids: str) -> None:
    """Put small jobs into the stand-in."""
    api.add(*(Job(job_id, rows=make_events(1)) for job_id in job_ids))


def asked(api: StandIn) -> list[str | None]:
    """The IDs of the jobs that were read, in order."""
    return [request.job_id for request in api.asked(endpoint="imports")]


def refusal(run: Run) -> str:
    """The sentence with which a run was refused."""
    assert run.status == 1
    assert run.stdout == b""
    assert "Traceback" not in run.stderr
    [error] = run.errors
    assert error.startswith("`jobs_file`")
    return error


# CSV

CSV = {
    "one column": ("job_id\na\nb\n", ["a", "b"]),
    "id": ("id,created\na,2026-01-15\nb,2026-01-16", ["a", "b"]),
    "job_id comes before id": ("id,job_id\n1,a\n2,b\n", ["a", "b"]),
    "upper case": ('"NAME","JOB_ID"\n"x","a"\n', ["a"]),
    "BOM and CRLF": ("\ufeffname, job_id\r\nx, a\r\ny,b\r\n", ["a", "b"]),
    "quotes": ('job_id,note\n"a,""1""","x, y"\nb,"two\nlines"\nc,\n', None),
    "comments before the header": ("# May\n\n # June\njob_id\na\n", ["a"]),
    "no comments after it": ("job_id\n#a\nb\n", ["#a", "b"]),
    "blank lines and empty cells": ('job_id,n\n\na,1\n,2\n"",3\n" ",4\n', ["a"]),
    "a long column": (f"note,job_id\n{'x' * 200_000},a\n", ["a"]),
    "a number": ("job_id\n007\n", ["007"]),
}


@pytest.mark.parametrize(("content", "job_ids"), CSV.values(), ids=[*CSV])
def test_csv_with_a_header_gives_the_ids_in_its_column(
    tap: Folder, api: StandIn, content: str, job_ids: list[str] | None
) -> None:
    """As databases and spreadsheets export it."""
    job_ids = job_ids or ['a,"1"', "b", "c"]
    add_jobs(api, *job_ids)
    path = tap.write("jobs.csv", content.encode())
    run = tap.run(jobs_file=str(path))
    assert run.status == 0, run.errors
    assert asked(api) == job_ids


@pytest.mark.parametrize(
    "content",
    ["a,b\nid\n", "ids\nb\n", "job_ids\n", "abc id\n", '"job_id\n', "a\njob_id\nb\n"],
)
def test_a_file_without_such_a_header_has_an_id_on_each_line(
    tap: Folder, api: StandIn, content: str
) -> None:
    """Only the first line decides."""
    job_ids = content.splitlines()
    add_jobs(api, *job_ids)
    run = tap.run(jobs_file=str(tap.write("jobs.txt", content.encode())))
    assert run.status == 0, run.errors
    assert asked(api) == job_ids


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("# May\nid,n\na,1\nb\n", "line 4: this row has 1 columns"),
        ("id,n\na,1,2\n", "line 2: this row has 3 columns"),
        ('id,n\n"a\nb",1\n', "line 3: a job ID can't have control characters"),
        ('id,n\na,"1\n', "line 2: this is not valid CSV"),
        ('id,n\na,"1"x\n', "line 2: this is not valid CSV"),
        ("id,n,ID\na,1,b\n", "more than one column `id`"),
        ("id\n..\n", "line 2: `..` can't be a job ID"),
    ],
)
def test_csv_that_cannot_be_used_is_refused_with_the_line(
    tap: Folder, api: StandIn, content: str, words: str
) -> None:
    """An ID that was read from another column would be another job."""
    path = tap.write("jobs.csv", content.encode())
    assert words in refusal(tap.run(jobs_file=str(path)))
    assert not api.requests


def test_csv_without_rows_has_no_jobs(tap: Folder, api: StandIn) -> None:
    """Its header is no job ID."""
    run = tap.run(jobs_file=str(tap.write("jobs.csv", "job_id\n")))
    assert run.status == 1
    assert "There is no job to read" in run.errors[0]
    assert not api.requests
