"""What each stream promises, and what they share when one run reads all of them."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.stand_in import Answer, Job
from tests.streams import EVERY, LISTS, NAMES, SETTINGS, STATUSES, job_of

ENDPOINTS = ("imports", "errors", "status")
KINDS = (NAMES[:3], NAMES[3:])


def of(streams):
    names = [stream.name for stream in streams]
    return pytest.mark.parametrize("stream", streams, ids=names)


def read(tap, stream, *job_ids, **settings):
    tap.streams = (stream.name,)
    return tap.run(**{stream.setting: [*job_ids], **settings})


def read_all(tap, *job_ids, **settings):
    tap.streams = NAMES
    return tap.run(job_ids=[*job_ids], user_job_ids=[*job_ids], **settings)


def both(job_id, count=0, **fields):
    return [job_of(kind, job_id, count, **fields) for kind in SETTINGS]


def assert_read(run, stream, *job_ids):
    assert {*run.completed(stream.name)} == {*job_ids}
    for job_id in job_ids:
        rows = [row for row in run.records(stream.name) if row["job_id"] == job_id]
        places = [row[stream.place] if stream.place else 0 for row in rows]
        rows_of = 10 if job_id == "odd" else 5
        assert places == list(range(rows_of if stream.place else 1))


# Each stream alone


@of(EVERY)
def test_all_rows_arrive_once_valid_by_the_schema(api, tap, stream):
    """With columns of other types, too."""
    odd: list[Any] = [5, -0.5, 10**30, True, None, "text", "", [], [{"a": None}], {}]
    job = stream.job("odd", len(odd))
    for row, value in zip(stream.rows(job), odd, strict=False):
        row.update(dict.fromkeys(row, value))
    api.add(stream.job("a"), stream.job("b"), job)

    run = read(tap, stream, "a", "b", "odd")

    assert run.status == 0
    assert_read(run, stream, "a", "b", "odd")
    [schema] = run.of_type("SCHEMA")
    assert (schema["stream"], schema["key_properties"]) == (stream.name, stream.keys)
    assert len(run.records(stream.name)) == (20 if stream.place else 3)
    for record in run.records(stream.name):
        Draft202012Validator(schema["schema"]).validate(record)
    paths = {request.raw_path.partition("?")[0] for request in api.requests}
    assert {stream.path.format(job_id=name) for name in "ab"} <= paths
    assert {request.kind for request in api.requests} == {stream.kind}


@of(LISTS)
def test_rows_leave_as_they_came_with_unknown_fields(api, tap, stream):
    new = {"later": [1, {"a": None}]}
    job = stream.job("a")
    for row in stream.rows(job):
        row |= {"new": new, "properties": new, "user": {"id": "7", **new}}
    api.add(job)

    records = read(tap, stream, "a").records(stream.name)

    rows = [{k: v for k, v in row.items() if k not in stream.keys} for row in records]
    assert rows == json.loads(json.dumps(stream.rows(job)), parse_float=Decimal)


@of(EVERY)
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"processing": -1}, 0),
        ({"script": {end: [Answer(400)] for end in ENDPOINTS}}, 1),
    ],
)
def test_next_run_reads_the_job_that_is_left(api, tap, stream, fields, status):
    api.add(stream.job("a", **fields), stream.job("b"))

    first = read(tap, stream, "a", "b", job_wait_timeout=5)
    api.add(stream.job("a"))
    api.clear()
    second = read(tap, stream, "a", "b", state=first.state)
    asked = {request.job_id for request in api.requests}
    api.clear()
    third = read(tap, stream, "a", "b", state=second.state)

    assert first.status == status
    assert {*first.completed(stream.name)} == {"b"}
    assert (second.status, asked) == (0, {"a"})
    assert {*second.completed(stream.name)} == {"a", "b"}
    assert (third.records(stream.name), api.requests) == ([], [])


@of(LISTS)
def test_miscount_names_the_rows_by_their_kind(api, tap, stream):
    page = Answer(body={"results": [{}], "total_records": "2"})
    api.add(stream.job("a", imports=3, errors=3, script={stream.endpoint: [page] * 2}))

    [error] = read(tap, stream, "a").errors

    word = "imported" if stream.endpoint == "imports" else "failed"
    for text in ("Job a failed", "1 row ", "of 2 ", f" 3 {word} {stream.kind}"):
        assert text in error


@of(EVERY)
@pytest.mark.parametrize("include_schema", [True, False])
def test_only_imports_are_asked_for_the_types_of_properties(
    api, tap, stream, include_schema
):
    api.add(stream.job("a"))

    run = read(tap, stream, "a", include_schema=include_schema)

    is_asked = include_schema and stream.endpoint == "imports"
    asked = api.asked("a", stream.endpoint)
    assert {"include_schema" in request.query for request in asked} == {is_asked}
    assert {"schema" in row for row in run.records(stream.name)} == {is_asked}


@of(EVERY)
def test_missing_job_names_the_setting_for_the_other_kind(api, tap, stream):
    other = {"events": "users", "users": "events"}[stream.kind]
    api.add(stream.job("a"), Job("gone", kind=other))

    run = read(tap, stream, "gone", "a")

    assert_read(run, stream, "a")
    [error] = run.errors
    assert error.startswith("Job gone failed: Fullstory does not know this job (404")
    assert f"imports {other}, list it in `{SETTINGS[other]}` instead" in error


# Failures and statuses


def test_failed_event_keeps_what_was_sent(api, tap):
    """Its timestamp may be the very thing that was wrong."""
    texts = ["yesterday", "2022-03-15T14:23:23+02:00", "", "2022-03-15T14:23:23Z"]
    shared = {"context": {"location": {"latitude": Decimal("1.25")}}, "new": [1]}
    sent = json.loads(json.dumps(shared, default=float))
    session = {"use_most_recent": True}
    events = [{"name": "x", "timestamp": one, "session": session} for one in texts]
    api.add(Job("a", failures=[{"event": event, "shared": sent} for event in events]))

    run = read(tap, EVERY[1], "a")

    assert run.warnings == []
    assert [row["event"] for row in run.records("import_errors")] == events
    assert [row["shared"] for row in run.records("import_errors")] == [shared] * 4


def record(stream, **fields):
    times = {"created_at": None, "finished_at": None}
    counts = {f"imported_{stream.kind}": 0, f"failed_{stream.kind}": 0}
    return {"job_id": "a", "status": "COMPLETED", **times, **counts, **fields}


@of(STATUSES)
def test_job_is_one_record_with_its_times_in_utc_and_its_counts(api, tap, stream):
    created = "2026-01-15T03:30:15.01+02:00"
    api.add(stream.job("a", 3, errors=2, status="FAILED", created=created))

    run = read(tap, stream, "a")

    times = {
        "created_at": "2026-01-15T01:30:15.010000Z",
        "finished_at": "2026-01-15T01:31:15.500000Z",
    }
    counts = {f"imported_{stream.kind}": 3, f"failed_{stream.kind}": 2}
    expected = record(stream, status="FAILED", **times, **counts)
    assert run.records(stream.name) == [expected]


@of(STATUSES)
@pytest.mark.parametrize("word", ["PROCESSING", "UNKNOWN", "completed", "", ["FAILED"]])
def test_unfinished_job_is_recorded_at_the_end_without_a_bookmark(
    api, tap, stream, word
):
    about = {"job": {"status": word}}
    api.add(stream.job("a", script={"status": [Answer(body=about)] * 99}))
    api.add(stream.job("b"))

    run = read(tap, stream, "a", "b", job_wait_timeout=5)

    said = word if isinstance(word, str) else '["FAILED"]'
    assert run.records(stream.name)[-1] == record(stream, status=said)
    assert (run.status, {*run.completed(stream.name)}) == (0, {"b"})


@of(STATUSES)
def test_missing_counts_are_zero_and_new_fields_are_kept(api, tap, stream):
    own = {"job_id": "b", f"imported_{stream.kind}": 9}  # these are the tap's
    job = {"status": "COMPLETED", "owner": {"a": 1}, "created_at": 1}
    about = {"job": job, "warned": 7, **own}
    api.add(stream.job("a", script={"status": [Answer(body=about)]}))

    [found] = read(tap, stream, "a").records(stream.name)

    assert found == record(stream, owner={"a": 1}, warned=7)


# All streams in one run


@of(EVERY)
def test_id_in_both_lists_is_two_jobs(api, tap, stream):
    api.add(*both("a", 5))
    api.add(stream.job("a", script={stream.endpoint: [Answer(400)]}))

    first = read_all(tap, "a")
    api.clear()
    second = read_all(tap, "a", state=first.state)

    [error] = first.errors
    assert error.startswith(f"Job a failed in {stream.name}: ")
    assert (first.summary["jobs read"], first.summary["failed"]) == (1, 1)
    assert [name for name in NAMES if not first.completed(name)] == [stream.name]
    assert second.status == 0
    assert (second.summary["jobs read"], second.summary["already read"]) == (1, 1)
    assert {request.kind for request in api.requests} == {stream.kind}


@pytest.mark.parametrize("kind", SETTINGS)
def test_jobs_of_one_kind_ask_nothing_of_the_other(api, tap, kind):
    api.add(*both("a", 5))
    tap.streams = NAMES

    run = tap.run(**{SETTINGS[kind]: ["a"]})

    assert {request.kind for request in api.requests} == {kind}
    assert {message["stream"] for message in run.of_type("SCHEMA")} == {*NAMES}
    expected = {stream.name for stream in EVERY if stream.kind == kind}
    assert {message["stream"] for message in run.of_type("RECORD")} == expected
    assert {name for name in NAMES if run.completed(name)} == expected


@pytest.mark.parametrize("gone", [["gone"], ["gone", "lost"], ["gone", *"1234"]])
def test_same_failure_in_several_streams_is_one_line_for_each_kind(api, tap, gone):
    api.add(*both("a"))

    run = read_all(tap, *gone, "a")

    start = "Job gone" if len(gone) == 1 else f"{len(gone)} jobs"
    for line, streams in zip(run.errors, KINDS, strict=True):
        assert line.startswith(f"{start} failed in {', '.join(streams)}")
        assert {*re.split(r"\W+", line)} >= {*gone}
        assert " more" not in line


def test_summary_counts_each_job_once_by_its_worst_stream(api, tap):
    """Failed counts before deferred, skipped, read and already read."""
    bad = {"script": {"imports": [Answer(400)]}}
    api.add(*both("new", 5), *both("half", 5), *both("bad", 5, **bad))
    api.add(*both("late", 5, processing=-1))
    old = {"imports": ["old", "half"], "errors": ["old"], "status": ["old"]}
    bookmarks = {
        stream.name: {"completed_jobs": old[stream.endpoint]} for stream in EVERY
    }

    run = read_all(
        *(tap, "old", "new", "half", "late", "gone", "bad"),
        state={"bookmarks": bookmarks},
        missing_jobs="skip",
        job_wait_timeout=0,
    )

    said = {"jobs read": 4, "already read": 2, "deferred": 2, "skipped": 2, "failed": 2}
    said |= {"not read": 0, "rows": 48, "filtered": 0, "refused": 30, "warnings": 4}
    said |= {"requests": len(api.requests), "retries": 0}
    assert run.summary == {**said, "seconds waited": pytest.approx(0, abs=50)}


def test_each_line_about_a_job_names_its_stream(api, tap):
    """Meltano shows a line without the name of its logger."""
    script = {end: [Answer(503)] for end in ENDPOINTS}
    api.add(*both("a", 5, total=6, imports=8), *both("retried", 2, script=script))
    api.add(*both("late", processing=-1), Job("odd", rows=[{"timestamp": "yesterday"}]))

    run = read_all(
        *(tap, "a", "retried", "late", "gone", "odd"),
        missing_jobs="skip",
        count_mismatch="warn",
        job_wait_timeout=3,
    )

    assert run.status == 0
    lines = [line for line in run.lines if re.search(r"\bJob \S", line)]
    assert [line for line in lines if not line.startswith(NAMES)] == []


def test_job_is_read_whole_before_the_next_one(api, tap):
    api.add(*both("a", 2), *both("b", 2))

    read_all(tap, "a", "b")

    asked = [(one.kind, one.job_id, one.endpoint) for one in api.requests]
    order = ("status", "imports", "errors")
    assert asked == [(k, job, end) for k in SETTINGS for job in "ab" for end in order]
