"""What each stream promises, whatever its rows are: every test runs for all of them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.stand_in import Answer, Job
from tests.streams import EVERY, LISTS, NAMES, SETTINGS, Stream, job_of
from tests.test_batches import config, rows_of
from tests.test_concurrency import most_at_once

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

STANDARD_KEY = "na1.c3RhbmRhcmQ.key-of-the-level-standard"


@pytest.fixture(params=EVERY, ids=NAMES)
def stream(request: pytest.FixtureRequest) -> Stream:
    """Each stream in turn, unless a test chooses some of them."""
    chosen: Stream = request.param
    return chosen


@pytest.fixture
def tap(tap: Folder, stream: Stream) -> Folder:
    """The tap with this stream alone."""
    tap.streams = (stream.name,)
    return tap


of_lists = pytest.mark.parametrize(
    "stream", LISTS, indirect=True, ids=[one.name for one in LISTS]
)


def read(
    tap: Folder, stream: Stream, job_ids: list[str] | None = None, **settings: Any
) -> Run:
    """Run the tap for some jobs of the stream's kind."""
    return tap.run(**{stream.setting: job_ids, **settings})


def places(run: Run, stream: Stream, job_id: str) -> list[int]:
    """The places of the records of a job, in their order."""
    records = [row for row in run.records(stream.name) if row["job_id"] == job_id]
    return [row[stream.place] if stream.place else 0 for row in records]


def expected(stream: Stream, job: Job) -> list[int]:
    """The places of all its rows."""
    return list(range(len(stream.rows(job))))


def test_all_rows_arrive_once_with_their_keys_and_are_bookmarked(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """Over several pages of several jobs, valid by the schema."""
    jobs = {name: stream.job(name, count) for name, count in (("a", 5), ("b", 4))}
    api.add(*jobs.values())
    run = read(tap, stream, [*jobs])
    assert run.status == 0, run.stderr
    (schema,) = run.of_type("SCHEMA")
    assert (schema["stream"], schema["key_properties"]) == (stream.name, stream.keys)
    for record in run.records(stream.name):
        Draft202012Validator(schema["schema"]).validate(record)
    for name, job in jobs.items():
        assert places(run, stream, name) == expected(stream, job)
    rows = {name: len(stream.rows(job)) for name, job in jobs.items()}
    assert run.completed(stream.name) == rows
    paths = {request.raw_path.partition("?")[0] for request in api.requests}
    assert paths == {stream.path.format(job_id=name) for name in jobs}


@of_lists
def test_rows_leave_as_they_came_with_unknown_fields(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """At every depth; nothing but the key is added."""
    new = {"later": [1, {"a": None}]}
    job = stream.job("a")
    for row in stream.rows(job):
        row |= {"new": new, "properties": new, "user": {"id": "7", **new}}
    api.add(job)
    run = read(tap, stream, ["a"])
    records = [
        {name: value for name, value in row.items() if name not in stream.keys}
        for row in run.records(stream.name)
    ]
    assert records == json.loads(json.dumps(stream.rows(job)), parse_float=Decimal)


@of_lists
def test_columns_of_other_types_are_valid_by_the_schema(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """A target that does not check the rows gets the types that SCHEMA promises."""
    odd: list[Any] = [5, -0.5, 10**30, True, None]
    odd += ["text", "", [], [{"a": None}], {}, {"a": [1]}]
    job = stream.job("a", len(odd))
    for row, value in zip(stream.rows(job), odd, strict=True):
        row.update(dict.fromkeys(row, value))
    api.add(job)
    run = read(tap, stream, ["a"])
    assert run.status == 0, run.stderr
    (schema,) = run.of_type("SCHEMA")
    records = run.records(stream.name)
    assert len(records) == len(odd)
    for record in records:
        Draft202012Validator(schema["schema"]).validate(record)


@of_lists
def test_a_job_that_is_processing_is_waited_for(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """202 never means that there are no rows."""
    job = stream.job("a", 2, processing=3)
    api.add(job)
    run = read(tap, stream, ["a"])
    assert run.status == 0
    assert places(run, stream, "a") == expected(stream, job)
    assert [request.status for request in api.requests] == [202, 202, 202, 200]


def test_a_job_that_stays_unfinished_is_read_by_the_next_run(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """It has no bookmark, and the jobs beside it have theirs."""
    api.add(stream.job("a", processing=-1), stream.job("b"))
    named = ["a", "b"]
    first = read(tap, stream, named, job_wait_timeout=5)
    assert first.status == 0
    assert [*first.completed(stream.name)] == ["b"]
    job = stream.job("a")
    api.add(job)
    api.clear()
    second = read(tap, stream, named, state=first.state)
    assert second.status == 0
    assert places(second, stream, "a") == expected(stream, job)
    assert [*second.completed(stream.name)] == ["b", "a"]
    assert {request.job_id for request in api.requests} == {"a"}


@of_lists
def test_a_job_is_complete_when_its_rows_agree_with_its_total_or_its_status(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """A job that agrees with neither fails by its numbers, and has no bookmark."""
    cut = {"results": [{}], "total_records": "2"}
    script = {stream.endpoint: [Answer(body=cut)]}
    api.add(
        stream.job("whole", 2),
        stream.job("status agrees", imports=1, errors=1, script=script),
        stream.job("neither", imports=3, errors=3, script=script),
    )
    run = read(tap, stream, ["whole", "status agrees", "neither"])
    assert run.status == 1
    assert run.completed(stream.name) == {"whole": 2, "status agrees": 1}
    (error,) = run.errors
    word = "imported" if stream.endpoint == "imports" else "failed"
    for text in ("Job neither failed", "1 row ", "of 2 ", f" 3 {word} {stream.kind}"):
        assert text in error


def test_a_bad_job_stops_no_other_and_is_read_again(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """The others are bookmarked; the next run asks for the bad one only."""
    api.add(*map(stream.job, "abc"))
    api.add(stream.job("b", script={stream.endpoint: [Answer(400)]}))
    named = ["a", "b", "c"]
    first = read(tap, stream, named)
    assert first.status == 1
    assert [*first.completed(stream.name)] == ["a", "c"]
    assert first.errors[-1].startswith("Job b failed: ")
    api.clear()
    second = read(tap, stream, named, state=first.state)
    assert second.status == 0
    assert {request.job_id for request in api.requests} == {"b"}
    api.clear()
    third = read(tap, stream, named, state=second.state)
    assert (third.status, third.records(stream.name), api.requests) == (0, [], [])


@pytest.mark.parametrize("fault", [Answer(503), Answer(429), Answer(cut=9)], ids=str)
def test_a_request_that_fails_is_sent_again(
    tap: Folder, api: StandIn, stream: Stream, fault: Answer
) -> None:
    """On its first page and on its last one."""
    job = stream.job("a", 4, script={stream.endpoint: [fault, None, fault]})
    api.add(job)
    run = read(tap, stream, ["a"])
    assert run.status == 0, run.stderr
    assert places(run, stream, "a") == expected(stream, job)


def test_jobs_are_read_side_by_side(tap: Folder, api: StandIn, stream: Stream) -> None:
    """As many as `concurrency` says; the rows of a job keep their order."""
    jobs = {name: stream.job(name, latency=0.05) for name in "abcdef"}
    api.add(*jobs.values())
    run = read(tap, stream, [*jobs], concurrency=3)
    assert run.status == 0
    assert most_at_once(api, 0.04) == 3
    for name, job in jobs.items():
        assert places(run, stream, name) == expected(stream, job)


def test_shards_are_disjoint_and_together_complete(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """A shard bookmarks no job of another one."""
    names = [f"job-{number}" for number in range(9)]
    api.add(*map(stream.job, names))
    named = names
    runs = [read(tap, stream, named, shard=f"{part}/3") for part in (1, 2, 3)]
    assert [run.status for run in runs] == [0, 0, 0]
    completed = [name for run in runs for name in run.completed(stream.name)]
    assert sorted(completed) == names
    assert {request.job_id for request in api.requests} == {*names}


@pytest.mark.parametrize("include_schema", [True, False])
def test_only_lists_of_imports_are_asked_for_the_types_of_properties(
    tap: Folder, api: StandIn, stream: Stream, *, include_schema: bool
) -> None:
    """With every token; a row then has its `schema`."""
    api.add(stream.job("a"))
    run = read(tap, stream, ["a"], include_schema=include_schema)
    assert run.status == 0
    is_asked = include_schema and stream.endpoint == "imports"
    for request in api.requests:
        assert ("include_schema" in request.query) is is_asked
    for record in run.records(stream.name):
        assert ("schema" in record) is is_asked


def test_batch_files_hold_what_records_would_say(
    tap: Folder, api: StandIn, stream: Stream, tmp_path: Path
) -> None:
    """In the same order, with the same bookmarks."""
    api.add(stream.job("a"), stream.job("b"))
    named = ["a", "b"]
    plain = read(tap, stream, named)
    run = read(tap, stream, named, batch_config=config(tmp_path, batch_size=3))
    assert (run.status, run.records(stream.name)) == (0, [])
    assert rows_of(run.of_type("BATCH")) == plain.records(stream.name)
    assert run.completed(stream.name) == plain.completed(stream.name)


def test_a_missing_job_fails_in_a_sentence_that_names_the_other_setting(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """An ID of the other kind may be answered so. The others are read."""
    other = {"events": "users", "users": "events"}[stream.kind]
    api.add(stream.job("a"), Job("gone", kind=other))
    run = read(tap, stream, ["gone", "a"])
    assert run.status == 1
    assert [*run.completed(stream.name)] == ["a"]
    (error,) = run.errors
    assert error.startswith("Job gone failed: Fullstory does not know this job (404")
    assert f"imports {other}, list it in `{SETTINGS[other]}` instead" in error


def test_a_standard_key_reads_statuses_only(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """Anything else is refused in a sentence that says what the key can read."""
    with type(api)(stream.job("a"), readers=(STANDARD_KEY,)) as limited:
        tap.api = limited
        run = read(tap, stream, ["a"], api_key=STANDARD_KEY)
    assert run.status == int(bool(stream.place))
    assert len(run.records(stream.name)) == int(not stream.place)
    assert all("Architect or Admin" in error for error in run.errors)


def test_an_id_in_both_lists_is_two_jobs(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """Each is read, failed, counted and bookmarked by itself."""
    tap.streams = NAMES
    api.add(*(job_of(kind, "a") for kind in SETTINGS))
    api.add(stream.job("a", script={stream.endpoint: [Answer(400)]}))
    first = tap.run(job_ids=["a"], user_job_ids=["a"])
    assert first.status == 1
    (error,) = first.errors
    assert error.startswith(f"Job a failed in {stream.name}: ")
    assert (first.summary["jobs read"], first.summary["failed"]) == (1, 1)
    assert [name for name in NAMES if not first.completed(name)] == [stream.name]
    api.clear()
    second = tap.run(job_ids=["a"], user_job_ids=["a"], state=first.state)
    assert second.status == 0
    assert (second.summary["jobs read"], second.summary["already read"]) == (1, 1)
    paths = {request.raw_path for request in api.requests}
    assert stream.path.format(job_id="a") in paths
    assert {request.kind for request in api.requests} == {stream.kind}


def test_jobs_of_one_kind_ask_nothing_of_the_other(
    tap: Folder, api: StandIn, stream: Stream
) -> None:
    """The streams of the other kind write their SCHEMA, and a part of STATE."""
    tap.streams = NAMES
    api.add(*(job_of(kind, "a") for kind in SETTINGS))
    run = read(tap, stream, ["a"])
    assert run.status == 0
    assert {request.kind for request in api.requests} == {stream.kind}
    schemas = [message["stream"] for message in run.of_type("SCHEMA")]
    assert sorted(schemas) == sorted(NAMES)
    written = {message["stream"] for message in run.of_type("RECORD")}
    assert written <= {one.name for one in EVERY if one.kind == stream.kind}
    assert {name for name in NAMES if run.completed(name)} == {
        one.name for one in EVERY if one.kind == stream.kind
    }
