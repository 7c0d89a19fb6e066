"""What a user sees on stderr: what is to be read, how it goes, how it ended."""

from __future__ import annotations

import re

import pytest

from tests.stand_in import Answer, Job, make_events
from tests.streams import NAMES

ROWS = make_events(5)
STREAM = "imported_events"
SUMMARY = re.compile(
    r"Summary: jobs read (\d+), already read (\d+), deferred (\d+), skipped (\d+),"
    r" not read (\d+), failed (\d+); rows (\d+), filtered (\d+), refused \w+,"
    r" requests (\d+), retries (\d+), warnings \d+, seconds waited ([\d.]+)\."
)
PROGRESS = re.compile(
    r"Progress: ([\d,]+) of ([\d,]+) jobs?, ([\d,]+) rows?, ([\d,]+) a second"
    r"(?:, about (\d+:\d\d:\d\d) left)?\."
)


def names(number):
    return [f"job-{one}" for one in range(number)]


def summary_of(run):
    """The ten numbers of the only summary."""
    (found,) = filter(None, map(SUMMARY.fullmatch, run.lines))
    return [float(number) for number in found.groups()]


def progress_of(run):
    return [*filter(None, map(PROGRESS.fullmatch, run.lines))]


def test_summary_of_a_mixed_run_is_right(api, tap):
    fault = Answer(500)
    api.add(
        Job("done", rows=ROWS),
        Job("a", rows=ROWS, page_size=2, script={"imports:1": [fault, fault]}),
        Job("b", rows=ROWS, processing=1),
        Job("late", processing=-1),
        Job("bad", rows=ROWS, page_size=2, script={"imports:1": [Answer(422)]}),
        Job("down", script={"imports": [fault] * 3}),
    )
    job_ids = ["done", "a", "b", "missing", "late", "bad", "down", "done too"]
    completed = {"completed_jobs": ["done", "done too"]}

    run = tap.run(
        job_ids=job_ids,
        state={"bookmarks": {STREAM: completed}},
        missing_jobs="skip",
        max_attempts=3,
        job_wait_timeout=20,
    )

    assert run.status == 1
    assert run.completed() == {"done", "done too", "a", "b"}
    *jobs, rows, filtered, requests, retries, waited = summary_of(run)
    assert jobs == [2, 2, 1, 1, 0, 2]
    assert filtered == 0
    assert rows == len(run.records()) == 12
    assert requests == len(api.requests)
    assert retries == 4
    assert 20 <= waited < 60
    assert run.lines[-3].startswith("Summary: ")
    assert {line.split()[1] for line in run.lines[-2:]} == {"bad", "down"}


@pytest.mark.parametrize(
    ("keep", "also", "written"),
    [("keep", None, 2), ("none", None, 0), ("keep", "no", 3), ("keep", "keep", 2)],
)
def test_rows_that_all_filters_leave_out_are_counted(api, tap, keep, also, written):
    """A row counts once, however many maps it goes through."""
    api.add(Job("a", rows=[{"name": name} for name in ("keep", "drop") * 2 + ("no",)]))

    maps = {STREAM: {"__filter__": f"name == '{keep}'"}}
    if also:
        copy = {"__source__": STREAM, "__filter__": f"name == '{also}'"}
        maps["copy"] = copy
    run = tap.run(job_ids=["a"], stream_maps=maps)

    assert run.completed() == {"a"}
    names = [message["record"]["name"] for message in run.of_type("RECORD")]
    assert {*names} == {keep, also} & {"keep", "no"}
    assert (run.summary["rows"], run.summary["filtered"]) == (written, 5 - written)


def test_messages_hold_no_rows(api, tap):
    row = {"name": "private-name", "properties": {"x": "private-property"}}
    user = {"display_name": "private-user", "email": "private@example.com"}
    bad = Answer(body='{"results": [{"name": "private-text"}, 5]}')
    api.add(Job("a", rows=[row] * 3, total="9", imports=9))
    api.add(Job("b", script={"imports": [bad] * 9}))
    api.add(Job("u", kind="users", rows=[user], total="9", imports=8))
    tap.streams = NAMES

    run = tap.run(job_ids=["a", "b"], user_job_ids=["u"])

    assert run.status == 1
    assert run.summary["failed"] == 3
    assert run.records("imported_users")
    assert "private" not in run.stderr


def test_equal_warnings_of_a_minute_are_one_line_and_a_count(api, tap):
    script = {"imports": [Answer(500)]}
    api.add(*(Job(name, rows=ROWS, script=script) for name in names(9)))

    run = tap.run(job_ids=["first", *names(9)], missing_jobs="skip", speed=2)

    first, skipped, last = run.warnings
    assert "first: Skipped" in first + skipped
    assert "Fullstory failed (500" in first + skipped
    assert last == "8 more warnings, equal to these or too many to show."


# No silence


LATER = {"Retry-After": "60"}


@pytest.mark.parametrize(
    ("job", "warning"),
    [
        ({"latency": 1.2}, ""),
        (
            {"script": {"imports": [Answer(429, headers=LATER)]}},
            "requests resume in 60",
        ),
        ({"script": {"imports": [Answer(503, headers=LATER)]}}, "the next one in 60"),
        ({"processing": 5}, ""),
    ],
    ids=["an answer", "a pause", "a retry", "an import"],
)
def test_wait_of_a_minute_has_a_progress_line_every_ten_seconds(api, tap, job, warning):
    api.add(Job("a", rows=ROWS, **job))

    run = tap.run(job_ids=["a"], speed=50)

    assert run.status == 0
    assert 4 <= len(progress_of(run)) <= 8
    assert all(warning in line for line in run.warnings)
    assert len(run.warnings) == bool(warning)
    spent = re.findall(r"unfinished job \(a\): (\d+) of at most", run.stderr)
    assert len(spent) == (5 if "processing" in job else 0)
    assert sorted(spent, key=int) == spent


def test_many_jobs_have_a_progress_line_every_ten_seconds(api, tap):
    api.add(Job("large", rows=make_events(20), page_size=1, latency=0.05))
    api.add(*(Job(name, rows=ROWS, latency=0.01) for name in names(39)))

    run = tap.run(job_ids=["large", *names(39)], concurrency=2, speed=50)

    found = progress_of(run)
    assert 4 <= len(found) <= 60
    assert {match[2] for match in found} == {"40"}
    done = [int(match[1]) for match in found]
    assert done == sorted(done)
    for match in found:  # a line can also come between a page and the end of its job
        assert 0 <= int(match[3]) - 5 * int(match[1]) <= 25
    assert all(match[5] for match in found if 0 < int(match[1]) < 30)
    # The rest of the large job counts by its total, and not as a whole job.
    last = [match for match in found if match[1] == "39"]
    assert not last or not last[-1][5] or last[-1][5] < "0:00:30"
