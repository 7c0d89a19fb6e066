"""What a user sees on stderr: what is to be read, how it goes, how it ended."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.stand_in import Answer, Job, make_events
from tests.streams import NAMES

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

ROWS = make_events(5)
SUMMARY = re.compile(
    r"Summary: jobs read (\d+), already read (\d+), deferred (\d+), skipped (\d+),"
    r" failed (\d+); rows (\d+), requests (\d+), retries (\d+),"
    r" seconds waited ([\d.]+)\."
)


def summary_of(run: Run) -> list[float]:
    """The nine numbers of the only summary."""
    found = [match for line in run.lines if (match := SUMMARY.fullmatch(line))]
    assert len(found) == 1
    return [float(number) for number in found[0].groups()]


@pytest.mark.parametrize("done", [0, 1, 3])
def test_jobs_to_read_and_those_already_read_are_counted(
    api: StandIn, tap: Folder, done: int
) -> None:
    api.add(*(Job(name, rows=ROWS) for name in "abc"))
    completed = dict.fromkeys("abc"[:done], 5)
    state = {"bookmarks": {"imported_events": {"completed_jobs": completed}}}

    run = tap.run(job_ids=["a", "b", "c"], state=state)

    assert run.status == 0
    assert f"Jobs to read: {3 - done}. Already read: {done}." in run.stderr
    assert summary_of(run)[:2] == [3 - done, done]


def test_run_of_events_alone_logs_nothing_about_users(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", rows=ROWS))
    tap.streams = NAMES

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.summary["jobs read"] == 1
    own = [line for line in run.lines if "METRIC" not in line]
    assert not [line for line in own if "user" in line]


def test_every_finished_job_has_a_line(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, page_size=2), Job("empty"))
    api.add(Job("large", rows=[{"name": "x"}] * 1_234, page_size=1_000))

    run = tap.run(job_ids=["a", "empty", "large"], speed=1)

    for job_id, rows, pages in (
        ("a", "5", 3),
        ("empty", "0", 1),
        ("large", "1,234", 2),
    ):
        [line] = run.about(job_id)
        assert line.startswith(f"Job {job_id}: {rows} rows in {pages} page")
        assert re.search(r", \d+\.\d s\.$", line)


def test_long_job_says_how_far_it_is_every_ten_seconds(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", rows=make_events(12), page_size=1, latency=0.05))

    run = tap.run(job_ids=["a"])

    *progress, end = run.about("a")
    assert end.startswith("Job a: 12 rows in 12 pages, ")
    seconds = float(end.split()[-2])
    assert seconds > 60
    assert len(progress) >= int(seconds / 10) - 1
    counts = []
    for line in progress:
        match = re.fullmatch(r"Job a: (\d+)( of 12)? rows so far\.", line)
        assert match
        # The total is known from the first page on.
        assert match[2] or match[1] == "0"
        counts.append(int(match[1]))
    assert counts == sorted(counts)
    assert counts[-1] >= 8


def test_single_long_answer_leaves_no_silence(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, latency=0.6))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    progress = [line for line in run.about("a") if "so far" in line]
    assert len(progress) >= 5  # over 60 seconds


def test_long_wait_leaves_no_silence(api: StandIn, tap: Folder) -> None:
    limited = Answer(status=429, headers={"Retry-After": "60"})
    api.add(Job("a", rows=ROWS, script={"imports": [limited]}))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    lines = [line for line in run.lines if line.startswith("Waiting")]
    assert len(lines) >= 5
    seconds = [float(re.findall(r"(\d+) s", line)[-1]) for line in lines]
    assert seconds == sorted(seconds, reverse=True)
    assert all("rate limit" in line for line in lines)


def test_waiting_for_a_job_is_said_at_least_every_ten_seconds(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", rows=ROWS, processing=5))

    run = tap.run(job_ids=["a"], job_wait_timeout=100)

    spent = [
        float(found[1])
        for line in run.lines
        if (
            found := re.search(
                r"still processing \(1: a\): (\d+) s of at most 100 s", line
            )
        )
    ]
    assert spent[0] <= 1
    assert spent[-1] >= 48  # of 60 seconds
    for earlier, later in pairwise(spent):
        assert later - earlier < 14  # ten, and what a busy machine adds


def test_summary_of_a_mixed_run_is_right(api: StandIn, tap: Folder) -> None:
    fault = Answer(status=500)
    api.add(
        Job("done", rows=ROWS),
        Job("done too", rows=ROWS),
        Job("a", rows=ROWS, page_size=2, script={"imports:1": [fault, fault]}),
        Job("b", rows=ROWS, total="4"),
        Job("c", rows=ROWS, processing=1),
        Job("late", processing=-1),
        Job("bad", rows=ROWS, page_size=2, script={"imports:1": [Answer(status=400)]}),
        Job("down", script={"imports": [fault] * 3}),
    )
    job_ids = ["done", "a", "b", "c", "missing", "late", "bad", "down", "done too"]
    completed = {"done": 5, "done too": 5}

    run = tap.run(
        job_ids=job_ids,
        state={"bookmarks": {"imported_events": {"completed_jobs": completed}}},
        missing_jobs="skip",
        max_attempts=3,
        job_wait_timeout=20,
    )

    assert run.status == 1
    assert run.completed() == {"done": 5, "done too": 5, "a": 5, "b": 5, "c": 5}
    *numbers, waited = summary_of(run)
    read, already, deferred, skipped, failed, rows, requests, retries = numbers
    assert (read, already, deferred, skipped, failed) == (3, 2, 1, 1, 2)
    assert rows == len(run.records()) == 17
    assert requests == len(api.requests)
    assert retries == 4
    assert 20 <= waited < 60
    assert run.lines[-3].startswith("Summary: ")
    assert {line.split()[1] for line in run.lines[-2:]} == {"bad", "down"}


@pytest.mark.parametrize(
    ("maps", "written"),
    [
        (None, 5),
        ({"imported_events": {"__filter__": "name == 'keep'"}}, 2),
        ({"imported_events": {"__filter__": "name == 'none'"}}, 0),
        ({"imported_events": {"name": "name.upper()"}}, 5),
    ],
)
def test_rows_left_out_by_a_filter_are_counted_as_filtered(
    api: StandIn, tap: Folder, maps: object, written: int
) -> None:
    names = ["keep", "drop", "drop", "keep", "drop"]
    api.add(Job("a", rows=[{"name": name} for name in names]))

    run = tap.run(job_ids=["a"], stream_maps=maps)

    assert run.completed() == {"a": 5}
    assert len(run.records()) == written
    assert "imported_events: rows written" in run.stderr
    counts = run.counts["imported_events"]
    assert (counts["rows written"], counts["filtered"]) == (written, 5 - written)
    assert run.summary["rows"] == written


def test_refused_key_still_logs_the_summary(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS))

    run = tap.run(job_ids=["a"], api_key="wrong")

    assert run.status == 1
    assert summary_of(run)[5:8] == [0, 1, 0]
    assert run.lines[-2].startswith("Summary: ")


def test_messages_hold_no_rows(api: StandIn, tap: Folder) -> None:
    row = {"name": "private-name", "properties": {"x": "private-property"}}
    api.add(Job("a", rows=[row] * 3, total="9", imports=9))

    run = tap.run(job_ids=["a"])

    assert run.status == 1
    assert "private" not in run.stderr
