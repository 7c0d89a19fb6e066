"""What a user sees on stderr: what is to be read, how it goes, how it ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from select import select

import pytest

from tests.invariants import assert_no_key_in
from tests.stand_in import Answer, Job, make_events
from tests.streams import NAMES

ROWS = make_events(5)
STREAM = "imported_events"
SUMMARY = re.compile(
    r"Summary: jobs read (\d+), already read (\d+), deferred (\d+), skipped (\d+),"
    r" failed (\d+); rows (\d+), requests (\d+), retries (\d+),"
    r" seconds waited ([\d.]+)\."
)
PROGRESS = re.compile(
    r"Progress: ([\d,]+) of ([\d,]+) jobs? done, ([\d,]+) rows?, ([\d,]+) rows a second"
    r"(?:, about (\d+ (?:s|min)|\d+ h \d+ min) left)?\."
)


def names(number):
    return [f"job-{one}" for one in range(number)]


def summary_of(run):
    (found,) = filter(None, map(SUMMARY.fullmatch, run.lines))
    return [float(number) for number in found.groups()]


def progress_of(run):
    return [*filter(None, map(PROGRESS.fullmatch, run.lines))]


@pytest.mark.parametrize("done", [0, 1, 3])
def test_log_of_a_good_run_is_these_lines(api, tap, done):
    """Nothing about users; a line for each finished job."""
    api.add(Job("a", rows=ROWS, page_size=2), Job("empty"))
    api.add(Job("large", rows=[{"name": "x"}] * 1_234, page_size=1_000))
    tap.streams = NAMES
    job_ids = ["a", "empty", "large"]
    completed = {"completed_jobs": job_ids[:done]}
    state = {"bookmarks": dict.fromkeys(NAMES[:3], completed)}

    run = tap.run(job_ids=job_ids, state=state, speed=1)

    assert run.status == 0
    assert f"{STREAM}: Jobs to read: {3 - done}. Already read: {done}." in run.lines
    lines = {"a": "5 rows", "empty": "0 rows", "large": "1,234 rows"}
    for job_id in job_ids:
        said = [f"Job {job_id}: {lines[job_id]}."] * (job_id in job_ids[done:])
        assert run.about(job_id) == said
    assert summary_of(run)[:2] == [3 - done, done]
    assert "user" not in run.stderr
    assert run.lines[-1].startswith("Summary: ")


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
    *jobs, rows, requests, retries, waited = summary_of(run)
    assert jobs == [2, 2, 1, 1, 2]
    assert rows == len(run.records()) == 12
    assert requests == len(api.requests)
    assert retries == 4
    assert 20 <= waited < 60
    assert run.lines[-3].startswith("Summary: ")
    assert {line.split()[1] for line in run.lines[-2:]} == {"bad", "down"}
    counts = run.counts[STREAM]
    assert (counts["rows written"], counts["filtered"]) == (12, 0)


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
    counts = run.counts[STREAM]
    assert (counts["rows written"], counts["filtered"]) == (written, 5 - written)
    assert run.summary["rows"] == written


def test_refused_key_still_logs_the_summary(api, tap):
    api.add(Job("a", rows=ROWS))

    run = tap.run(job_ids=["a"], api_key="wrong")

    assert run.status == 1
    assert summary_of(run)[5:8] == [0, 1, 0]
    assert run.lines[-2].startswith("Summary: ")


def test_messages_hold_no_rows(api, tap):
    row = {"name": "private-name", "properties": {"x": "private-property"}}
    bad = Answer(body='{"results": [{"name": "private-text"}, 5]}')
    api.add(Job("a", rows=[row] * 3, total="9", imports=9))
    api.add(Job("b", script={"imports": [bad] * 9}))

    run = tap.run(job_ids=["a", "b"])

    assert run.status == 1
    assert run.summary["failed"] == 2
    assert "private" not in run.stderr


def test_equal_warnings_of_a_minute_are_one_line_and_a_count(api, tap):
    script = {"imports": [Answer(500)]}
    api.add(*(Job(name, rows=ROWS, script=script) for name in names(9)))

    run = tap.run(job_ids=["first", *names(9)], missing_jobs="skip")

    warnings = [line for line in run.warnings if "attempt 1" in line]
    assert len(warnings) == 2
    assert "for 8 more jobs: Fullstory failed (500" in warnings[1]


# No silence


@pytest.mark.parametrize(
    ("job", "words", "seconds"),
    [
        ({"latency": 1.2}, "Progress: 0 of 1 job done, 0 rows", 60),
        (
            {"script": {"imports": [Answer(429, headers={"Retry-After": "60"})]}},
            "rate limit: requests resume in",
            60,
        ),
        (
            {"script": {"imports": [Answer(503, headers={"Retry-After": "60"})]}},
            "Progress: 0 of 1 job done, 0 rows",
            60,
        ),
        ({"processing": 5}, "still processing (1: a): ", 62),
    ],
    ids=["an answer", "a pause", "a retry", "an import"],
)
def test_long_wait_is_told_at_least_every_ten_seconds(api, tap, job, words, seconds):
    api.add(Job("a", rows=ROWS, **job))

    run = tap.run(job_ids=["a"], speed=50)

    assert run.status == 0
    told = [line for line in run.lines if words in line]
    assert seconds / 16 <= len(told) <= seconds / 6
    if "processing" in job:
        spent = [int(re.findall(r"(\d+) s of at most", line)[0]) for line in told]
        assert spent[0] <= 1
        assert all(later - earlier < 20 for earlier, later in pairwise(spent))


@pytest.mark.parametrize(("jobs", "lines"), [(20, 20), (21, 0), (100, 0)])
def test_up_to_20_jobs_have_a_line_each(api, tap, jobs, lines):
    api.add(*(Job(name, rows=ROWS) for name in names(jobs)))
    tap.streams = NAMES[:3]

    run = tap.run(job_ids=names(jobs), concurrency=4, speed=1)

    assert run.status == 0
    assert run.summary["jobs read"] == jobs
    assert sum(line.endswith(": 5 rows.") for line in run.lines) == lines
    shown = [line for line in run.stderr.splitlines() if "| DEBUG " not in line]
    assert len(shown) <= 15 + 3 * lines
    assert not {"\r", "\x1b"} & {*run.stderr}  # it is not a terminal


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
    assert all(match[5] for match in found if 0 < int(match[1]) < 40)
    # The rest of the large job counts by its total, and not as a whole job.
    last = [match for match in found if match[1] == "39"]
    assert not last or int(last[-1][5].removesuffix(" s")) < 30


# In a terminal


def in_a_terminal(arguments, stdout=subprocess.DEVNULL, *, end_it=False):
    ours, theirs = os.openpty()
    process = subprocess.Popen(  # noqa: S603 - the tap itself
        [sys.executable, "-m", "tests.hurry", "10", *arguments],
        stdout=stdout,
        stderr=theirs,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "TESTS_PATIENCE": "0.1"},
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # how Linux reports the end
        while True:
            if end_it and b" done, " in shown and not select([ours], [], [], 1)[0]:
                process.send_signal(signal.SIGTERM)  # nothing goes on
                end_it = False
            piece = os.read(ours, 4096)
            shown += piece
            if not piece:
                break
    os.close(ours)
    return process.wait(), shown.decode()


@pytest.mark.slow
def test_a_terminal_has_a_bar_that_leaves_log_lines_whole(api, tap):
    jobs = names(30)
    api.add(*(Job(name, rows=ROWS, latency=0.02) for name in jobs[:-1]))

    status, shown = in_a_terminal(tap.arguments(job_ids=jobs, missing_jobs="skip"))

    assert status == 0
    assert_no_key_in(shown, {api.api_key})
    bars = re.findall(r"\[([#-]{20})\] (\d+) of 30 jobs done, \d+ rows?", shown)
    assert len(bars) >= 3
    done = [int(number) for _, number in bars]
    assert done == sorted(done)
    assert bars[-1][0].count("#") > bars[0][0].count("#")
    assert "Progress:" not in shown
    # What a terminal shows at last: everything after the last return of each line.
    lines = [line.rpartition("\x1b[?25h")[2] for line in shown.split("\r\n")]
    assert not any("jobs done" in line or "\x1b" in line for line in lines)
    assert any(line.endswith("does not know it (404).") for line in lines)
    assert all(re.match(r"\d{4}-\d\d-\d\d ", line) for line in lines if line)
    assert "Summary: jobs read 29" in lines[-2]
    assert lines[-1] == ""  # the cursor is back, and the bar has gone


@pytest.mark.slow
def test_forced_end_of_a_progress_bar_shows_the_cursor_again(api, tap):
    api.add(Job("large", rows=make_events(2_000), page_size=20))
    reader, writer = os.pipe()  # nobody reads

    line = tap.arguments(job_ids=["large"])
    status, shown = in_a_terminal(line, stdout=writer, end_it=True)

    os.close(reader)
    os.close(writer)
    assert status == 128 + signal.SIGTERM
    assert "Summary" not in shown
    assert shown.endswith("\x1b[?25h")
