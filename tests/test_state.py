"""STATE names the finished jobs, never one too many, and spares their requests."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tap_fullstory_imports import clock
from tap_fullstory_imports.messages import BufferedWriter
from tests.stand_in import Answer, Job, make_events

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

ROWS = make_events(5)
STREAM = "imported_events"


def state_of(**completed: Any) -> dict[str, Any]:
    return {"bookmarks": {STREAM: {"completed_jobs": completed}}}


def warnings_of(run: Run) -> list[str]:
    return [line for line in run.stderr.splitlines() if " | WARNING " in line]


def assert_never_ahead(run: Run) -> None:
    """Each job that a STATE names has all its records before it."""
    written: Counter[str] = Counter()
    for message in run.messages:
        if message["type"] == "RECORD":
            written[message["record"]["job_id"]] += 1
        elif message["type"] == "STATE":
            completed = message["value"]["bookmarks"][STREAM]["completed_jobs"]
            for job_id, rows in completed.items():
                assert written[job_id] == rows


def test_state_is_a_map_of_the_finished_jobs(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, page_size=2), Job("abd123=", rows=ROWS[:1]), Job("c"))

    run = tap.run(job_ids=["a", "abd123=", "c"])

    assert run.status == 0
    assert run.state == state_of(**{"a": 5, "abd123=": 1, "c": 0})
    assert {type(rows) for rows in run.completed().values()} == {int}
    assert_never_ahead(run)


def test_the_next_run_asks_for_no_finished_job(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, page_size=2), Job("b", rows=ROWS))
    first = tap.run(job_ids=["a", "b"])
    api.clear()

    second = tap.run(job_ids=["a", "b"], state=first.state)

    assert second.status == 0
    assert api.requests == []
    assert second.records() == []
    assert second.state == first.state
    assert "already read 2" in second.stderr


def test_a_job_that_is_added_is_the_only_one_read(api: StandIn, tap: Folder) -> None:
    api.add(*(Job(name, rows=ROWS) for name in "abc"))
    first = tap.run(job_ids=["a", "b"])
    api.clear()

    second = tap.run(job_ids=["a", "c", "b"], state=first.state)

    assert second.status == 0
    assert {request.job_id for request in api.requests} == {"c"}
    assert {record["job_id"] for record in second.records()} == {"c"}
    assert second.state == state_of(a=5, b=5, c=5)


def test_a_job_that_is_no_longer_asked_for_leaves_the_map(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("b", rows=ROWS))

    run = tap.run(job_ids=["b"], state=state_of(a=7, b=5, old=1))

    assert run.status == 0
    assert api.requests == []
    for state in run.states:
        assert state == state_of(b=5)
    assert warnings_of(run) == []


def test_a_state_without_jobs_is_no_damage(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS))
    states: list[dict[str, Any]] = [{}, {"bookmarks": {}}, {"bookmarks": {STREAM: {}}}]
    for state in [*states, state_of()]:
        run = tap.run(job_ids=["a"], state=state)

        assert run.status == 0
        assert warnings_of(run) == []
        assert run.state == state_of(a=5)


WRONG: list[Any] = [[], ["a"], "a", 7, 1.5, True, None]
WRONG_COUNTS: list[Any] = ["5", -1, True, 5.0, 1.5, None, [5], {}]


@pytest.mark.parametrize(
    "state",
    [
        *WRONG,
        *({"bookmarks": wrong} for wrong in WRONG),
        *({"bookmarks": {STREAM: wrong}} for wrong in WRONG),
        *({"bookmarks": {STREAM: {"completed_jobs": wrong}}} for wrong in WRONG),
        *(state_of(a=wrong) for wrong in WRONG_COUNTS),
        {
            "bookmarks": {
                STREAM: {
                    "partitions": [{"context": {"job_id": "a"}, "progress_markers": {}}]
                }
            }
        },
        {"bookmarks": {STREAM: {"replication_key_value": "2026-01-01"}}},
        {"bookmarks": {"users": {"replication_key_value": "2026-01-01"}}},
    ],
    ids=json.dumps,
)
def test_behind_damaged_state_jobs_are_read_again_with_a_warning(
    api: StandIn, tap: Folder, state: object
) -> None:
    api.add(Job("a", rows=ROWS))
    path = tap.write("damaged.json", json.dumps(state))

    run = tap.run("--state", str(path), job_ids=["a"])

    assert run.status == 0
    assert len(run.records()) == 5
    assert run.state == state_of(a=5)
    assert "Traceback" not in run.stderr
    assert len(warnings_of(run)) == 1
    assert "read again" in warnings_of(run)[0]


@pytest.mark.parametrize(
    "state",
    [
        ["a"],
        {"bookmarks": ["a"]},
        {"bookmarks": {STREAM: ["a"]}},
        {"bookmarks": {STREAM: {"completed_jobs": ["a"]}}},
        state_of(a="5"),
    ],
    ids=json.dumps,
)
def test_the_warning_says_that_it_is_about_the_state(
    api: StandIn, tap: Folder, state: object
) -> None:
    api.add(Job("a", rows=ROWS))

    run = tap.run(job_ids=["a"], state=state)

    assert "state" in warnings_of(run)[0].split(" | ")[-1].lower()


@pytest.mark.parametrize(
    "text", ["", "no JSON", '{"bookmarks": ', "NaN", b"\xff\xfe", "[" * 100_000]
)
def test_a_state_that_is_not_json_is_damaged(
    api: StandIn, tap: Folder, text: str | bytes
) -> None:
    api.add(Job("a", rows=ROWS))
    path = tap.write("damaged.json", text)

    run = tap.run("--state", str(path), job_ids=["a"])

    assert run.status == 0
    assert run.state == state_of(a=5)
    assert len(warnings_of(run)) == 1
    assert "Traceback" not in run.stderr


def test_damage_to_one_entry_costs_no_other(api: StandIn, tap: Folder) -> None:
    api.add(*(Job(name, rows=ROWS) for name in "abc"))

    run = tap.run(job_ids=["a", "b", "c"], state=state_of(a=5, b="5", c=-1))

    assert run.status == 0
    assert {request.job_id for request in api.requests} == {"b", "c"}
    assert run.completed() == {"a": 5, "b": 5, "c": 5}
    assert len(warnings_of(run)) == 1
    assert "2 damaged" in warnings_of(run)[0]


def test_a_long_job_writes_state_at_least_every_10_000_records(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", rows=[{"name": "x"}] * 25_000, page_size=5_000))

    run = tap.run(job_ids=["a"])

    assert run.status == 0
    assert run.completed() == {"a": 25_000}
    since = 0
    for message in run.messages:
        since = 0 if message["type"] == "STATE" else since + 1
        # One more for the SDK, which looks before it writes the next record.
        assert since <= 10_001
    assert run.messages[-1]["type"] == "STATE"
    assert_never_ahead(run)


def test_many_small_jobs_write_state_every_10_000_records(
    api: StandIn, tap: Folder
) -> None:
    names = [f"job-{number}" for number in range(12)]
    api.add(*(Job(name, rows=[{"name": "x"}] * 2_000) for name in names))
    for name in names:
        api.add(Job(name, rows=[{"name": "x"}] * 2_000, page_size=2_000))

    run = tap.run(job_ids=names)

    assert run.completed() == dict.fromkeys(names, 2_000)
    assert len(run.states) >= 3
    assert_never_ahead(run)


def test_state_follows_the_end_of_a_job_while_others_are_waited_for(
    api: StandIn, tap: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[tuple[float, dict[str, Any]]] = []
    add = BufferedWriter._add  # noqa: SLF001 - what every message goes through

    def logged(self: BufferedWriter, lines: bytes) -> None:
        log.extend((clock.now(), json.loads(line)) for line in lines.splitlines())
        add(self, lines)

    monkeypatch.setattr(BufferedWriter, "_add", logged)
    api.add(Job("a", rows=ROWS), Job("slow", rows=ROWS, processing=5))

    run = tap.run(job_ids=["a", "slow"])

    assert run.completed() == {"a": 5, "slow": 5}
    ended = max(
        at
        for at, message in log
        if message["type"] == "RECORD" and message["record"]["job_id"] == "a"
    )
    told = min(
        at
        for at, message in log
        if message["type"] == "STATE" and message["value"] == state_of(a=5)
    )
    assert told - ended <= 10
    assert_never_ahead(run)


def test_state_is_written_at_the_end_also_when_jobs_failed(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", rows=ROWS), Job("b", script={"imports": [Answer(status=400)]}))

    run = tap.run(job_ids=["a", "b"])

    assert run.status == 1
    assert run.messages[-1]["type"] == "STATE"
    assert run.state == state_of(a=5)


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_a_run_without_a_finished_job_keeps_the_saved_ones(
    api: StandIn, tap: Folder, status: int
) -> None:
    api.add(Job("a", rows=ROWS), Job("b", script={"imports": [Answer(status=status)]}))

    run = tap.run(job_ids=["a", "b"], state=state_of(a=5))

    assert run.status == 1
    assert run.states
    for state in run.states:
        assert state == state_of(a=5)


def test_no_state_is_ever_empty(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", processing=-1), Job("b", rows=ROWS))

    runs = [
        tap.run(job_ids=["a"], job_wait_timeout=0),
        tap.run(job_ids=["missing"]),
        tap.run(job_ids=["b"], api_key="wrong"),
        tap.run(job_ids=["b"], state={}),
        tap.run(job_ids=["b"], state={"bookmarks": []}),
    ]

    for run in runs:
        for state in run.states:
            assert set(state) == {"bookmarks"}
            assert set(state["bookmarks"]) == {STREAM}
            assert set(state["bookmarks"][STREAM]) == {"completed_jobs"}


def test_a_job_that_was_cut_off_is_read_again_from_its_first_page(
    api: StandIn, tap: Folder
) -> None:
    script: dict[str, list[Answer | None]] = {"imports:1": [Answer(status=500)] * 2}
    api.add(Job("a", rows=ROWS, page_size=2, script=script), Job("b", rows=ROWS))
    first = tap.run(job_ids=["a", "b"], max_attempts=2)
    assert first.status == 1
    assert first.state == state_of(b=5)
    assert_never_ahead(first)
    api.clear()

    second = tap.run(job_ids=["a", "b"], max_attempts=2, state=first.state)

    assert second.status == 0
    assert [request.job_id for request in api.requests] == ["a"] * 3
    assert api.requests[0].token is None
    assert [record["event_index"] for record in second.records()] == list(range(5))
    assert second.state == state_of(a=5, b=5)


def test_a_deselected_stream_keeps_the_saved_state(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS), Job("b", rows=ROWS))
    catalog = json.loads(tap.run("--discover", job_ids=["a"]).stdout)
    for stream in catalog["streams"]:
        stream["selected"] = False
        for entry in stream["metadata"]:
            entry["metadata"]["selected"] = False

    run = tap.run(job_ids=["a", "b"], state=state_of(a=5), catalog=catalog)

    assert run.status == 0
    assert run.records() == []
    assert api.requests == []
    for state in run.states:
        assert state == state_of(a=5)
