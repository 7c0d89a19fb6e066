"""What a user reads while a run goes on, and after it: table, bar, file."""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from tap_fullstory_imports.reporting.progress import Progress
from tests.invariants import assert_no_key_in
from tests.stand_in import Answer, Job, make_events, make_failures
from tests.streams import NAMES, job_of

pytestmark = pytest.mark.timeout(240)
ROOT = Path(__file__).parent.parent
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
PROGRESS = re.compile(
    r"([\d,]+) of ([\d,]+) jobs?, ([\d,]+) rows?, [\d,]+ a second"
    r"(?:, about (\d+):(\d\d):(\d\d) left)?"
)
HEAD = ["kind", "job", "status", "rows", "read", "refused", "verdict"]


def names(number):
    return [f"job-{one}" for one in range(number)]


def jobs_of(number, rows=5, **more):
    """The tenth has refused rows, the eleventh fails, the twelfth is unfinished."""
    odd: dict[int, Any] = {
        9: {"failures": make_failures(12)},
        10: {"script": {"imports": [BAD]}},
    }
    odd[11] = {"processing": -1}
    return [
        Job(name, generate=rows, **more, **odd.get(place, {}))
        for place, name in enumerate(names(number))
    ]


BAD = Answer(422)
ROWS = make_events(5)
STREAM = "imported_events"
REFUSED: dict[str, Any] = {
    "script": dict.fromkeys(("imports", "errors", "status"), [Answer(401)] * 9)
}


def progress_in(text):
    """The jobs that are done, all jobs, the rows, and the seconds that are left."""
    for found in PROGRESS.finditer(text):
        done, jobs, rows = (int(one.replace(",", "")) for one in found.groups()[:3])
        hours, minutes, seconds = map(int, found.groups("0")[3:])
        yield done, jobs, rows, 3600 * hours + 60 * minutes + seconds


def table_of(lines):
    """The rows of the table, and the line below it."""
    end = next(n for n, line in enumerate(lines) if line.startswith("Summary: "))
    heads = (n for n, line in enumerate(lines) if line.split() == HEAD)
    shown = lines[next(heads, end - 2) + 1 : end]
    rows = [re.split(r"  +", line.strip()) for line in shown]
    rows = [row for row in rows if not set(row[0]) <= {"─"}]
    others = rows.pop()[0] if len(rows[-1]) == 1 else ""
    return rows, others


CASES: dict[str, Any] = {
    "mixed": (
        jobs_of(200),
        {"status": 1},
        [
            ("job-10", "COMPLETED", "0", "0", "failed: Fullstory refused the request"),
            ("job-11", "PROCESSING", "0", "-", "still processing"),
            ("job-9", "COMPLETED", "5", "12", "read"),
            ("job-0", "COMPLETED", "5", "0", "read"),
        ],
        20,
        "and 180 more that were read",
        "read 198, already read 0, deferred 1, .* failed 1; .* refused 12,",
    ),
    "a refused key": (
        [Job(name, **REFUSED) for name in names(4)],
        {"status": 1},
        [(name, "-", "0", "-", "not read") for name in names(4)],
        4,
        "",
        "read 0, already read 0, deferred 0, skipped 0, not read 4, failed 0; ",
    ),
    "nothing to read": (
        [],
        {"already": 30},
        [],
        0,
        "30 jobs that were already read",
        "read 0, already read 30, ",
    ),
    "one job": (
        jobs_of(1),
        {},
        [("job-0", "COMPLETED", "5", "0", "read")],
        1,
        "",
        "read 1, ",
    ),
    "1,000 jobs": (
        jobs_of(1_000, 1),
        {"concurrency": 16, "speed": 1, "status": 1},
        [("job-10",), ("job-11",), ("job-9",)],
        20,
        "and 980 more that were read",
        "read 998, ",
    ),
    "unknown jobs": (
        [Job("job-0", rows=make_events(1))],
        {"job_ids": ["job-0", "x|y"], "missing_jobs": "skip"},
        [("x|y", "-", "0", "-", "unknown to Fullstory"), ("job-0",)],
        2,
        "",
        "skipped 1, ",
    ),
}


@pytest.mark.parametrize(
    ("jobs", "settings", "first", "rows", "others", "summary"),
    CASES.values(),
    ids=CASES,
)
def test_run_ends_with_a_table_of_its_jobs(
    api, tap, tmp_path, jobs, settings, first, rows, others, summary
):
    """In the log and, the same, as Markdown in a file."""
    api.add(*jobs)
    tap.streams = NAMES
    settings = {"job_ids": names(len(jobs)), "job_wait_timeout": 0} | settings
    already = settings.pop("already", 0)
    if already:
        settings["job_ids"] = names(already)
        done = {"completed_jobs": names(already)}
        settings["state"] = {"bookmarks": dict.fromkeys(NAMES[:3], done)}

    status = settings.pop("status", 0)

    run = tap.run(summary_file=str(tmp_path / "summary.md"), **settings)

    assert run.status == status
    shown, said = table_of(run.lines)
    assert (len(shown), said) == (rows, others)
    for row, (job_id, *cells) in zip(shown, first, strict=False):
        assert row[:2] == ["events", job_id]
        assert row[2 : 1 + len(cells)] == cells[:-1]
        assert row[-1].startswith(cells[-1] if cells else "")
    todo = len(settings["job_ids"]) - already
    start = f"Jobs to read: {todo}. Already read: {already}."
    assert f"imported_events: {start}" in run.lines
    assert "user" not in run.stderr
    (line,) = [line for line in run.lines if line.startswith("Summary: ")]
    assert re.search(summary, line)
    assert not {"\r", "\x1b"} & {*run.stderr}
    html = rendered(tmp_path / "summary.md")
    assert html.count("<tr>") == rows + bool(rows)
    for job_id, *_ in first:
        assert f"<td>{job_id}</td>" in html
    assert line in html
    assert others in html


def rendered(path):
    text = path.read_text(encoding="utf-8")
    return MarkdownIt("commonmark").enable("table").render(text)


def test_file_has_no_name_no_key_and_no_markup_of_others(api, tap, tmp_path):
    path, key = tmp_path / "summary.md", api.api_key
    body = f'{{"code": "<b>|*_x", "message": "{key}"}}'
    odd = f"{key}|`<i>"
    api.add(job_of("users", "a", 30), job_of("users", odd, script={"imports": [BAD]}))
    bad = [Answer(422, body=body)]
    api.add(job_of("users", "b", script={"imports": bad}))
    tap.streams = NAMES

    run = tap.run(user_job_ids=["a", "b", odd], summary_file=str(path))

    assert run.status == 1
    text = path.read_text(encoding="utf-8")
    assert_no_key_in(text + run.stderr, {key})
    assert "@" not in text
    html = rendered(path)
    assert "&lt;b&gt;|*_x" in html
    assert "<i>" not in html
    assert html.count("<tr>") == 4


def test_reason_in_the_file_has_no_markup_of_others(api, tap, tmp_path):
    refused = {"imports": [Answer(401, body='{"code": "<b>*x*"}')]}
    api.add(*(Job(name, script=refused) for name in names(3)))
    run = tap.run(job_ids=names(3), summary_file=str(tmp_path / "all.md"))
    assert "401 <b>*x*" in run.errors[-1]
    assert "401 &lt;b&gt;*x*" in rendered(tmp_path / "all.md")


def test_file_that_can_not_be_written_is_a_warning(api, tap, tmp_path):
    api.add(Job("a", rows=make_events(1)))
    run = tap.run(job_ids=["a"], summary_file=str(tmp_path / "no" / "file"))
    assert run.status == 0
    assert "`summary_file` can't be written" in run.warnings[-1]


def test_runs_are_added_to_the_file(api, tap, tmp_path):
    api.add(*(Job(name, rows=make_events(1)) for name in names(4)))
    for part in (1, 2):
        settings = {"job_ids": names(4), "shard": f"{part}/2"}
        tap.run(summary_file=str(tmp_path / "all.md"), **settings)
    html = rendered(tmp_path / "all.md")
    assert re.findall("shard ./2", html) == ["shard 1/2", "shard 2/2"]
    assert sum(f"<td>{name}</td>" in html for name in names(4)) == 4


def test_file_of_a_run_that_sigterm_ends_is_written(api, tap, tmp_path):
    api.add(Job("a", rows=make_events(1)), Job("b", processing=-1))
    path = tmp_path / "summary.md"
    process = tap.start(job_ids=["a", "b"], summary_file=str(path))
    while not api.asked(job_id="b"):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM, log
    html = rendered(path)
    assert "<td>not read</td>" in html
    assert "<p>SIGTERM ended the run." in html


def test_failed_run_says_first_which_lines_to_search_for(api, tap):
    api.add(Job("a", rows=make_events(1)))
    run = tap.run(job_ids=["a", "missing"])
    hint = next(n for n, line in enumerate(run.lines) if "Search the log" in line)
    assert run.lines[hint + 1].split() == HEAD
    summary = next(n for n, line in enumerate(run.lines) if line.startswith("Summary:"))
    assert run.lines[summary + 1 :] == run.errors
    assert "Search" not in tap.run(job_ids=["a"]).stderr


def test_job_that_failed_before_the_run_stopped_counts_as_failed(api, tap):
    late = Answer(429, headers={"Retry-After": "9999"})
    script = {"imports": [BAD], "errors": [late]}
    api.add(Job("a", failures=make_failures(1), script=script), Job("b"))
    tap.streams = NAMES[:3]
    run = tap.run(job_ids=["a", "b"])
    assert (run.summary["failed"], run.summary["not read"]) == (1, 1)
    failed, reason = run.errors
    assert failed.startswith("Job a failed in imported_events: ")
    assert "`max_retry_wait`" in reason


@pytest.mark.parametrize("kind", ["warnings", "failures"])
def test_different_sentences_are_capped(api, tap, kind):
    """The first ones have a line each, and all others are counted."""
    answer = [
        Answer(500 if kind == "warnings" else 422, body=f'{{"code": "{n}"}}')
        for n in range(300)
    ]
    api.add(
        *(Job(f"job-{n}", script={"imports": [one]}) for n, one in enumerate(answer))
    )
    run = tap.run(job_ids=names(300), concurrency=8, speed=5)
    lines = run.warnings if kind == "warnings" else run.errors
    assert len(lines) < 150
    if kind == "warnings":
        assert run.summary["warnings"] == 300
        left_out = [line for line in lines if "too many to show" in line]
        shown = len(lines) - len(left_out)
        assert shown + sum(int(line.split()[0]) for line in left_out) == 300
    else:
        assert run.summary["failed"] == 300
        assert "280 jobs failed (job-" in lines[-1]


# While it runs


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
    said = {"jobs read": 2, "already read": 2, "deferred": 1, "skipped": 1}
    said |= {"not read": 0, "failed": 2, "rows": 12, "filtered": 0, "retries": 4}
    said |= {"requests": len(api.requests), "warnings": 6}
    assert run.summary == {**said, "seconds waited": pytest.approx(40, abs=20)}
    assert len(run.records()) == 12
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
    assert 4 <= len([*progress_in(run.stderr)]) <= 8
    assert all(warning in line for line in run.warnings)
    assert len(run.warnings) == bool(warning)
    spent = re.findall(r"unfinished job \(a\): (\d+) of at most", run.stderr)
    assert len(spent) == (5 if "processing" in job else 0)
    assert sorted(spent, key=int) == spent


def test_many_jobs_have_a_progress_line_every_ten_seconds(api, tap):
    api.add(Job("large", rows=make_events(20), page_size=1, latency=0.05))
    api.add(*(Job(name, rows=ROWS, latency=0.01) for name in names(39)))

    run = tap.run(job_ids=["large", *names(39)], concurrency=2, speed=50)

    found = [*progress_in(run.stderr)]
    assert 4 <= len(found) <= 60
    assert {jobs for _, jobs, *_ in found} == {40}
    assert found == sorted(found, key=lambda one: one[0])
    for done, _, rows, left in found:
        # A line can also come between a page and the end of its job.
        assert 0 <= rows - 5 * done <= 25
        assert left or done in {0, *range(30, 40)}
        # The rest of the large job counts by its total, and not as a whole job.
        assert done < 39 or left < 30


# --test


def test_connection_test_ends_with_a_line_for_each_stream(api, tap):
    rows, failures = make_events(9), make_failures(2)
    script = {end: [Answer(403)] * 9 for end in ("imports", "errors")}
    api.add(Job("a", rows=rows, failures=failures, script=script), Job("b", rows=rows))
    run = tap.run("--test", job_ids=["a", "b"])
    assert run.status == 1
    verdicts = dict(re.findall(r"\| (\w+): ((?:The key|Not tried).*)", run.stderr))
    no = "The key may not read it."
    unnamed = "Not tried, because no job in the settings has such rows."
    yes = "The key may read it."
    assert list(verdicts) == [*NAMES]
    assert [*verdicts.values()] == [no, no, yes, unnamed, unnamed, unnamed]
    assert "Summary" not in run.stderr


def test_connection_test_shows_no_schema_in_a_terminal(api, tap):
    api.add(Job("a", rows=make_events(9)))
    line = tap.arguments("--test", job_ids=["a"])
    screen = Terminal(line, 140, stdout=True)
    assert screen.status == 0
    assert "SCHEMA" not in screen.text
    assert screen.text.count('"type":"RECORD"') == 2
    assert "imported_events: The key may read it." in screen.text


# In a terminal


class Terminal:
    """The tap in a pseudo-terminal of so many columns, and all that it shows."""

    def __init__(self, line, columns, *, stdout=False, leaves=False, **environment):
        ours, theirs = os.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 50, columns, 0, 0))
        blank = {"NO_COLOR", "TERM", "COLUMNS", "FORCE_COLOR"}
        given = {k: v for k, v in os.environ.items() if k not in blank}
        process = subprocess.Popen(  # noqa: S603 - the tap itself
            [sys.executable, "-m", "tap_fullstory_imports", *line],
            stdout=theirs if stdout else subprocess.DEVNULL,
            stderr=theirs,
            cwd=ROOT,
            env={**given, "TERM": "xterm-256color", **environment},
        )
        os.close(theirs)
        self.frames: list[Any] = []  # when, jobs done, jobs, rows, seconds left
        shown = b""
        with suppress(OSError):  # how Linux reports the end
            while piece := os.read(ours, 65536):
                shown += piece
                shown_text = ANSI.sub("", piece.decode(errors="ignore"))
                self.frames += [
                    (time.monotonic(), *one) for one in progress_in(shown_text)
                ]
                if leaves and len(self.frames) >= 2:
                    break
        os.close(ours)
        self.status = process.wait(timeout=120)
        self.ended = time.monotonic()
        self.raw = shown.decode()
        self.text = ANSI.sub("", self.raw)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 140])
def test_bar_tells_the_truth_and_a_table_follows(api, tap, columns):
    api.add(*jobs_of(200, 200, page_size=100, latency=0.05))
    tap.streams = NAMES[:3]

    line = tap.arguments(job_ids=names(200), job_wait_timeout=0, concurrency=4)
    screen = Terminal(line, columns)

    assert screen.status == 1
    began, rows = screen.frames[0][0], 198 * 200
    for when, done, jobs, read, left in screen.frames:
        assert jobs == 200
        assert done / jobs >= read / rows - 0.15
        share = read / rows
        if 0.1 < share < 0.9:
            assert (
                (screen.ended - when) / 2 <= left + 1 <= 2 * (screen.ended - when) + 2
            )
    assert len(screen.frames) >= 4, began
    shown, others = table_of(
        [line.split(" | ")[-1] for line in screen.text.splitlines()]
    )
    assert (len(shown), others) == (20, "and 180 more that were read")
    assert {row[1] for row in shown[:3]} == {"job-10", "job-11", "job-9"}
    assert all(
        len(line) <= columns for line in screen.text.splitlines() if "  job-" in line
    )
    assert "\x1b[31mfailed: " in screen.raw
    assert screen.raw.count("\x1b[?25h") == screen.raw.count("\x1b[?25l") == 1
    assert_no_key_in(screen.raw, {api.api_key})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "has_bar", "has_colour"),
    [
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({}, True, True),
    ],
    ids=["NO_COLOR", "dumb", "colour"],
)
def test_terminal_gets_what_it_can_show(api, tap, environment, has_bar, has_colour):
    api.add(*(Job(name, rows=make_events(5), latency=0.2) for name in names(12)))
    line = tap.arguments(
        job_ids=[*names(12), "missing"], missing_jobs="skip", concurrency=1
    )
    screen = Terminal(line, 80, **environment)
    assert screen.status == 0
    assert bool(screen.frames) == has_bar
    assert bool(re.search(r"\x1b\[3\dm", screen.raw)) == has_colour
    assert ("\x1b[?25l" in screen.raw) == has_bar
    lines = [
        line for line in screen.text.split("\n") if "does not know it (404)." in line
    ]
    assert len(lines) == 1  # longer than the terminal, and not wrapped
    above_the_bar = re.search(r"\r\x1b\[2K\d{4}-[^\r]*Job missing: ", screen.raw)
    assert bool(above_the_bar) == has_bar


@pytest.mark.slow
def test_run_goes_on_when_its_terminal_goes_away(api, tap, tmp_path):
    api.add(*(Job(name, rows=make_events(5), latency=0.2) for name in names(20)))
    path = tmp_path / "summary.md"
    line = tap.arguments(job_ids=names(20), concurrency=1, summary_file=str(path))
    screen = Terminal(line, 80, leaves=True)
    assert screen.status == 0
    assert "jobs read 20," in path.read_text()


def test_progress_survives_a_terminal_that_has_gone(monkeypatch):
    class Gone(io.StringIO):
        def isatty(self):
            return True

        def write(self, _):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Gone())
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(logging.getLogger("gone"), time.monotonic)
    progress.jobs = 1
    for _ in range(3):
        progress.show()
    progress.close()


def test_rich_is_imported_only_where_a_run_reports():
    code = "import sys, tap_fullstory_imports.tap; print('rich' in sys.modules)"
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
