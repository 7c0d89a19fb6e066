"""How far a run is: few lines for many jobs, and a bar in a terminal."""

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
from typing import TYPE_CHECKING

import pytest

from tests.harness import SPEED
from tests.invariants import assert_no_key_in
from tests.stand_in import Job, make_events

if TYPE_CHECKING:
    from tests.harness import Folder
    from tests.stand_in import StandIn

pytestmark = pytest.mark.slow

ROWS = make_events(5)
PROGRESS = re.compile(
    r"Progress: (\d+) of (\d+) jobs done, ([\d,]+) rows?, ([\d,]+) rows a second"
    r"(?:, about (\d+ (?:s|min)|\d+ h \d+ min) left)?\."
)
STREAMS = (
    "imported_events",
    "import_errors",
    "import_jobs",
)


def names(number: int) -> list[str]:
    return [f"job-{one}" for one in range(number)]


def test_a_run_of_100_jobs_logs_at_most_30_lines(api: StandIn, tap: Folder) -> None:
    api.add(*(Job(name, rows=ROWS) for name in names(100)))
    tap.streams = STREAMS

    run = tap.run(job_ids=names(100), concurrency=4, speed=1)

    assert run.status == 0
    assert run.summary["jobs read"] == 100
    shown = [line for line in run.stderr.splitlines() if " | DEBUG " not in line]
    assert len(shown) <= 30
    assert not run.about("job-1")


@pytest.mark.parametrize(("jobs", "lines"), [(20, 20), (21, 0)])
def test_up_to_20_jobs_have_a_line_each(
    api: StandIn, tap: Folder, jobs: int, lines: int
) -> None:
    api.add(*(Job(name, rows=ROWS) for name in names(jobs)))

    run = tap.run(job_ids=names(jobs), speed=1)

    ended = [line for line in run.lines if re.search(r"5 rows in 1 page", line)]
    assert len(ended) == lines


def test_many_jobs_have_a_progress_line_every_ten_seconds(
    api: StandIn, tap: Folder
) -> None:
    api.add(*(Job(name, rows=ROWS, latency=0.02) for name in names(40)))

    run = tap.run(job_ids=names(40))

    found = [match for line in run.lines if (match := PROGRESS.fullmatch(line))]
    assert 4 <= len(found) <= 40 * 2 * SPEED / 10
    assert {match[2] for match in found} == {"40"}
    done = [int(match[1]) for match in found]
    assert all(earlier <= later for earlier, later in pairwise(done))
    for match in found:  # a line comes also between a page and the end of its job
        assert 0 <= int(match[3]) - 5 * int(match[1]) <= 5
    assert all(match[5] for match in found if 0 < int(match[1]) < 40)


def test_a_large_job_counts_for_the_time_left_by_its_total(
    api: StandIn, tap: Folder
) -> None:
    api.add(*(Job(name, rows=ROWS) for name in names(20)))
    api.add(Job("large", rows=make_events(20), page_size=1, latency=0.05))

    run = tap.run(job_ids=["large", *names(20)], concurrency=2)

    found = [match for line in run.lines if (match := PROGRESS.fullmatch(line))]
    last = [match for match in found if match[1] == "20"][-1]
    assert int(last[5].removesuffix(" s")) < 30


def test_a_run_without_a_terminal_draws_nothing(api: StandIn, tap: Folder) -> None:
    api.add(*(Job(name, rows=ROWS) for name in names(30)))

    run = tap.run(job_ids=names(30))

    assert run.status == 0
    assert not {"\r", "\x1b"} & {*run.stderr}


def in_a_terminal(
    arguments: list[str], stdout: int = subprocess.DEVNULL, *, end_it: bool = False
) -> tuple[int, str]:
    """Run the command line with a terminal as stderr; return what the terminal got.

    Args:
        arguments: The arguments of the tap.
        stdout: Where its stdout goes.
        end_it: Whether to send SIGTERM when the progress bar no longer moves.
    """
    ours, theirs = os.openpty()
    process = subprocess.Popen(  # noqa: S603 - the tap itself
        [sys.executable, "-m", "tests.hurry", "10", *arguments],
        stdout=stdout,
        stderr=theirs,
        cwd=Path(__file__).parent.parent,
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


def test_a_terminal_has_a_bar_that_leaves_log_lines_whole(
    api: StandIn, tap: Folder
) -> None:
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


def test_forced_end_of_a_progress_bar_shows_the_cursor_again(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("large", rows=make_events(2_000), page_size=20))
    reader, writer = os.pipe()  # nobody reads

    status, shown = in_a_terminal(
        tap.arguments(job_ids=["large"]), stdout=writer, end_it=True
    )

    os.close(reader)
    os.close(writer)
    assert status == 128 + signal.SIGTERM
    assert "Summary" not in shown
    assert shown.endswith("\x1b[?25h")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_last_line_names_the_signal_that_ended_the_run(
    api: StandIn, tap: Folder, number: signal.Signals
) -> None:
    api.add(Job("a", rows=ROWS), Job("late", processing=-1))
    process = tap.start(job_ids=["a", "late"])
    assert process.stdout is not None
    while b'"RECORD"' not in process.stdout.readline():
        pass
    process.send_signal(number)

    _, log = process.communicate(timeout=30)

    assert process.returncode == 128 + number
    assert f"{number.name} ended the run" in log.decode().splitlines()[-1]
