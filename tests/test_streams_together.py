"""All streams in one run: what they share and what they don't."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_in import Answer, Job
from tests.streams import EVERY, MAKERS, NAMES

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

ENDPOINTS = ("imports", "errors", "status")


@pytest.fixture
def tap(tap: Folder) -> Folder:
    """The tap with all its streams."""
    tap.streams = NAMES
    return tap


def both(job_id: str, rows: int = 0, failures: int = 0, **fields: Any) -> list[Job]:
    """A job of events and one of users, with the same ID."""
    jobs = []
    for kind, (make, make_failures) in MAKERS.items():
        lists: dict[str, Any] = {
            "rows": make(rows),
            "failures": make_failures(failures),
        }
        jobs.append(Job(job_id, kind=kind, **lists, **fields))
    return jobs


def read(tap: Folder, *job_ids: str, **settings: Any) -> Run:
    """Run the tap for jobs that are in both lists."""
    listed = [*job_ids]
    return tap.run(job_ids=listed, user_job_ids=listed, **settings)


def by_endpoint(numbers: dict[str, int]) -> dict[str, int]:
    """A number for each stream, by the endpoint of its rows."""
    return {stream.name: numbers[stream.endpoint] for stream in EVERY}


@pytest.mark.parametrize(
    ("gone", "start"),
    [(["gone"], "Job gone failed in "), (["gone", "lost"], "2 jobs failed in ")],
)
def test_same_failure_in_several_streams_is_one_line(
    tap: Folder, api: StandIn, gone: list[str], start: str
) -> None:
    """One for each kind: it names the streams, and counts each job once."""
    api.add(*both("a"))
    run = read(tap, *gone, "a")
    assert run.status == 1
    for line, streams in zip(run.errors, (NAMES[:3], NAMES[3:]), strict=True):
        assert line.startswith(start)
        words = {*re.split(r"\W+", line)}
        assert words >= {*streams, *gone}
        assert len(words & {*NAMES}) == len(streams)


def test_jobs_of_both_kinds_that_fail_alike_are_two_lines(
    tap: Folder, api: StandIn
) -> None:
    """Even with the same ID and reason."""
    api.add(*both("a", script={end: [Answer(400)] for end in ENDPOINTS}))
    run = read(tap, "a")
    starts = [
        f"Job a failed in {', '.join(names)}: " for names in (NAMES[:3], NAMES[3:])
    ]
    for line, start in zip(run.errors, starts, strict=True):
        assert line.startswith(start)


def test_summary_counts_each_job_once_by_its_worst_stream(
    tap: Folder, api: StandIn
) -> None:
    """Failed counts before deferred, skipped, read and already read."""
    api.add(
        *both("new", 5, 2),
        *both("half", 5, 2),
        *both("late", processing=-1),
        *both("bad", 0, 2, script={"imports": [Answer(400)]}),
        *both("worst", processing=-1, script={"errors": [Answer(400)]}),
    )
    old = {"imports": ["old", "half"], "errors": ["old"], "status": ["old"]}
    state = {
        "bookmarks": {
            stream.name: {"completed_jobs": dict.fromkeys(old[stream.endpoint], 5)}
            for stream in EVERY
        }
    }
    run = read(
        tap,
        *("old", "new", "half", "late", "gone", "bad", "worst"),
        state=state,
        missing_jobs="skip",
        job_wait_timeout=0,
    )
    assert run.status == 1
    written = {name: len(run.records(name)) for name in NAMES}
    assert written == by_endpoint({"imports": 5, "errors": 6, "status": 5})
    asked = {
        stream.name: len(api.asked(endpoint=stream.endpoint, kind=stream.kind))
        for stream in EVERY
    }
    assert run.counts == {
        name: {
            "rows written": written[name],
            "filtered": 0,
            "requests": asked[name],
            "retries": 0,
        }
        for name in NAMES
    }
    assert run.summary == {
        "jobs read": 4,
        "already read": 2,
        "deferred": 2,
        "skipped": 2,
        "failed": 4,
        "rows": 32,
        "requests": sum(asked.values()),
        "retries": 0,
        "seconds waited": pytest.approx(0, abs=50),
    }


def test_each_line_about_a_job_names_its_stream(tap: Folder, api: StandIn) -> None:
    """Meltano shows a line without the name of its logger."""
    api.add(
        *both("a", 5, 2, total=6, imports=8),
        *both("retried", script={end: [Answer(503)] for end in ENDPOINTS}),
        *both("late", processing=-1),
        Job("odd", rows=[{"timestamp": "yesterday"}]),
    )
    run = read(
        tap,
        *("a", "retried", "late", "gone", "odd"),
        missing_jobs="skip",
        count_mismatch="warn",
        job_wait_timeout=3,
    )
    assert run.status == 0
    lines = [line for line in run.lines if re.search(r"\bJob \S", line)]
    unnamed = [
        line for line in lines if not line.startswith(tuple(f"{s}: " for s in NAMES))
    ]
    assert unnamed == []
    for stream in NAMES:
        assert run.about("a", stream)[-1].startswith("Job a: ")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ({"imports": [Answer(400)]}, ["failed", "succeeded", "succeeded"]),
        ({"errors": [Answer(400)]}, ["succeeded", "failed", "succeeded"]),
        ({end: [Answer(401)] for end in ENDPOINTS}, ["failed"] * 3),
        ({}, ["succeeded"] * 3),
    ],
)
def test_metric_of_a_stream_with_a_failed_job_says_failed(
    tap: Folder, api: StandIn, script: dict[str, list[Answer | None]], status: list[str]
) -> None:
    """A key that is refused stops, and so fails, every stream."""
    api.add(*both("a", 5, script=script))
    run = read(tap, "a")
    assert run.durations == dict(zip(NAMES, status * 2, strict=True))


@pytest.mark.parametrize(
    "trouble",
    [
        {"processing": -1},
        {"script": {"errors": [Answer(503, headers={"Retry-After": "60"})]}},
        {"script": {"imports": [Answer(503, headers={"Retry-After": "60"})]}},
    ],
)
def test_rows_ready_in_any_stream_are_read_before_a_wait(
    tap: Folder, api: StandIn, trouble: dict[str, Any]
) -> None:
    """A job in trouble in one stream does not hold up another stream."""
    api.add(*both("stuck", 5, 2, **trouble), *both("a", 5, 2))
    run = read(tap, "stuck", "a", job_wait_timeout=20)
    assert run.status == 0
    before = list(itertools.takewhile(lambda line: "Waiting" not in line, run.lines))
    assert len(before) < len(run.lines)
    for stream in NAMES:
        assert run.completed(stream)["a"]
        assert any(f"{stream}: Job a: " in line for line in before), stream


def test_events_are_asked_for_first_then_errors_then_jobs_then_users(
    tap: Folder, api: StandIn
) -> None:
    """With one request at once."""
    api.add(*both("a", 5, 2), *both("b", 5, 2))
    assert read(tap, "a", "b").status == 0
    asked = [(one.kind, one.endpoint, one.job_id) for one in api.requests]
    assert asked == [
        (stream.kind, stream.endpoint, job_id) for stream in EVERY for job_id in "ab"
    ]


def test_wait_for_unfinished_jobs_is_shared(tap: Folder, api: StandIn) -> None:
    """One run waits so long in all, not each of its streams."""
    api.add(*both("a", processing=-1))
    run = read(tap, "a", job_wait_timeout=20, speed=20)
    assert run.status == 0
    assert 20 <= run.summary["seconds waited"] < 25
    assert "still processing (2: a, a)" in run.stderr
    # All streams wait at the same time: after 0, 2, 6, 14 and 20 seconds.
    for kind, endpoint in itertools.product(MAKERS, ("imports", "errors")):
        assert 3 <= len(api.asked(endpoint=endpoint, kind=kind)) <= 5


def test_job_that_becomes_ready_is_waited_for_in_all_streams_at_once(
    tap: Folder, api: StandIn
) -> None:
    """One stream after the other would take longer than `job_wait_timeout`."""
    api.add(*both("a", 5, 2, processing=4))
    run = read(tap, "a", job_wait_timeout=40)
    assert run.status == 0
    rows = by_endpoint({"imports": 5, "errors": 2, "status": 1})
    assert {name: run.completed(name)["a"] for name in NAMES} == rows
