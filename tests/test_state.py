"""STATE names the finished jobs, never one too many, and spares their requests."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_in import Answer, Job, make_events
from tests.streams import SETTINGS, job_of

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

ROWS = make_events(5)
STREAM = "imported_events"


def state_of(**completed: Any) -> dict[str, Any]:
    return {"bookmarks": {STREAM: {"completed_jobs": completed}}}


def test_state_is_a_map_of_the_finished_jobs(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS, page_size=2), Job("abd123=", rows=ROWS[:1]), Job("c"))

    run = tap.run(job_ids=["a", "abd123=", "c"])

    assert run.status == 0
    assert run.state == state_of(**{"a": 5, "abd123=": 1, "c": 0})
    assert {type(rows) for rows in run.completed().values()} == {int}


def test_job_that_is_added_is_the_only_one_read(api: StandIn, tap: Folder) -> None:
    api.add(*(Job(name, rows=ROWS) for name in "abc"))
    first = tap.run(job_ids=["a", "b"])
    api.clear()

    second = tap.run(job_ids=["a", "c", "b"], state=first.state)

    assert second.status == 0
    assert {request.job_id for request in api.requests} == {"c"}
    assert {record["job_id"] for record in second.records()} == {"c"}
    assert second.state == state_of(a=5, b=5, c=5)


def test_job_that_is_no_longer_in_the_settings_stays_in_the_state(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("b", rows=ROWS))

    run = tap.run(job_ids=["b"], state=state_of(a=7, b=5, old=1))

    assert run.status == 0
    assert api.requests == []
    assert run.states
    for state in run.states:
        assert state == state_of(a=7, b=5, old=1)
    assert run.warnings == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*SETTINGS])
def test_state_keeps_the_newest_100_000_old_jobs(
    api: StandIn, tap: Folder, kind: str
) -> None:
    api.add(job_of(kind, "new"))
    old = {f"old-{number}": 1 for number in range(100_003)}
    stream = f"imported_{kind}"
    tap.streams = (stream,)

    # "kept" is the oldest of all, but it is in the settings. A job of the other kind
    # keeps nothing.
    lists: dict[str, Any] = {setting: ["old-0"] for setting in SETTINGS.values()}
    run = tap.run(
        **{**lists, SETTINGS[kind]: ["kept", "new"]},
        state={"bookmarks": {stream: {"completed_jobs": {"kept": 2, **old}}}},
    )

    assert run.status == 0
    assert {request.job_id for request in api.requests} == {"new"}
    completed = run.completed(stream)
    assert completed.keys() == {"kept", "new", *[*old][3:]}
    assert [job_id for job_id in completed if job_id in old] == [*old][3:]


FOREIGN: dict[str, Any] = {
    "bookmarks": {
        STREAM: {
            "completed_jobs": {"a": 5},
            "partitions": [{"context": {"job_id": "a"}}],
            "note": None,
        },
        "import_errors": {"completed_jobs": {"z": 3}, "starting_at": "x"},
        "users": {"replication_key_value": "2026-01-01", "completed_jobs": 7},
        "text": "x",
    },
    "currently_syncing": "users",
    "version": 2,
}


def test_foreign_parts_of_the_state_stay_unchanged(api: StandIn, tap: Folder) -> None:
    api.add(*(Job(name, rows=[{"name": "x"}] * 6_000) for name in "bc"))

    run = tap.run(job_ids=["a", "b", "c"], state=FOREIGN)

    assert run.status == 0
    assert len(run.states) > 1
    for state in run.states:
        completed = state["bookmarks"][STREAM].pop("completed_jobs")
        assert completed.items() >= {"a": 5}.items()
        state["bookmarks"][STREAM]["completed_jobs"] = {"a": 5}
        assert state == FOREIGN
    assert run.warnings == []


@pytest.mark.parametrize(
    "wrapped",
    [
        {"singer_state": state_of(a=5)},
        {"type": "STATE", "value": state_of(a=5)},
    ],
    ids=json.dumps,
)
def test_state_in_its_usual_wrappings_is_understood(
    api: StandIn, tap: Folder, wrapped: dict[str, Any]
) -> None:
    api.add(Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], state=wrapped)

    assert run.status == 0
    assert {request.job_id for request in api.requests} == {"b"}
    for state in run.states:
        assert state in [state_of(a=5), state_of(a=5, b=5)]


def test_state_without_jobs_is_accepted(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS))
    states: list[dict[str, Any]] = [{}, {"bookmarks": {}}, {"bookmarks": {STREAM: {}}}]
    states += [{"singer_state": {}}, {"bookmarks": {"users": {"since": "2026"}}}]
    for state in [*states, state_of()]:
        run = tap.run(job_ids=["a"], state=state)

        assert run.status == 0
        assert run.warnings == []
        assert run.completed() == {"a": 5}


def assert_damaged(run: Run, api: StandIn) -> None:
    """One sentence names the ways on; nothing is asked for or saved."""
    assert run.status == 1
    assert api.requests == []
    assert run.of_type("STATE") == []
    (error,) = run.errors
    assert "state" in error
    assert "`--full-refresh`" in error
    assert "without `--state`" in error


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
        *({"singer_state": wrong} for wrong in WRONG[-2:]),
        *({"type": "STATE", "value": wrong} for wrong in WRONG[-2:]),
        state_of(a=5, b="5", c=5),
    ],
    ids=json.dumps,
)
def test_damaged_state_is_an_error_before_any_request(
    api: StandIn, tap: Folder, state: object
) -> None:
    api.add(Job("a", rows=ROWS))
    path = tap.write("damaged.json", json.dumps(state))

    run = tap.run("--state", str(path), job_ids=["a"])

    assert_damaged(run, api)


@pytest.mark.parametrize(
    "text",
    [
        *("", " \n", "no JSON", '{"bookmarks": ', "NaN", b"\xff\xfe"),
        pytest.param("[" * 100_000, id="nested deeply"),
        *(
            pytest.param('{"other":' * depth + "[]" + "}" * depth, id=f"{depth} deep")
            for depth in (100, 900, 10_000)
        ),
    ],
)
def test_state_that_is_not_json_or_too_deep_is_an_error_before_any_request(
    api: StandIn, tap: Folder, text: str | bytes
) -> None:
    api.add(Job("a", rows=ROWS))
    path = tap.write("damaged.json", text)

    run = tap.run("--state", str(path), job_ids=["a"])

    assert_damaged(run, api)


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


def timed(
    tap: Folder, speed: float, **settings: Any
) -> list[tuple[float, dict[str, Any]]]:
    """The messages as they reach a target, each with the second of the tap's clock."""
    with tap.start(speed=speed, **settings) as process:
        assert process.stdout
        messages = [
            (time.monotonic() * speed, json.loads(line)) for line in process.stdout
        ]
    assert process.returncode == 0
    return messages


def delays(messages: list[tuple[float, dict[str, Any]]]) -> dict[str, float]:
    """The seconds from the last record of each job to the first STATE that names it."""
    ended: dict[str, float] = {}
    found: dict[str, float] = {}
    for at, message in messages:
        if message["type"] == "RECORD":
            ended[message["record"]["job_id"]] = at
        elif message["type"] == "STATE":
            completed = message["value"]["bookmarks"][STREAM]["completed_jobs"]
            for job_id in completed.keys() & ended.keys():
                found.setdefault(job_id, at - ended[job_id])
    assert found.keys() == ended.keys()
    return found


def test_state_follows_the_end_of_a_job_while_others_are_waited_for(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", rows=ROWS), Job("slow", rows=ROWS, processing=8))

    waited = delays(timed(tap, 100, job_ids=["a", "slow"]))

    assert waited["a"] <= 70


def test_large_state_follows_each_of_a_few_slow_jobs_within_a_minute(
    api: StandIn, tap: Folder
) -> None:
    """However much larger it is than what has been written since the last one."""
    saved = {f"saved-{number}": 1 for number in range(3_000)}
    slow = [f"slow-{number}" for number in range(8)]
    api.add(*(Job(name, rows=ROWS[:1], latency=0.3) for name in slow))

    messages = timed(tap, 50, job_ids=[*saved, *slow], state=state_of(**saved))

    assert max(delays(messages).values()) <= 70


def test_large_state_follows_the_last_jobs_while_one_is_waited_for(
    api: StandIn, tap: Folder
) -> None:
    """Jobs that ended fast, and then none for minutes."""
    saved = {f"saved-{number}": 1 for number in range(3_000)}
    fast = [f"fast-{number}" for number in range(8)]
    api.add(*(Job(name, rows=ROWS[:1]) for name in fast), Job("slow", processing=-1))

    messages = timed(
        tap,
        100,
        job_ids=[*saved, *fast, "slow"],
        state=state_of(**saved),
        job_wait_timeout=200,
    )

    assert max(delays(messages).values()) <= 110


@pytest.mark.slow
@pytest.mark.parametrize(("saved", "new"), [(0, 2_000), (5_000, 300)])
def test_states_of_many_small_jobs_are_few_bytes_beside_their_records(
    api: StandIn, tap: Folder, saved: int, new: int
) -> None:
    before = {f"saved-{number:05}": 1 for number in range(saved)}
    names = [f"job-{number:05}" for number in range(new)]
    api.add(*(Job(name, rows=ROWS[:1]) for name in names))

    run = tap.run(job_ids=[*before, *names], state=state_of(**before), concurrency=4)

    assert run.status == 0
    assert len(run.completed()) == saved + new
    lines: dict[str, list[int]] = {"SCHEMA": [], "RECORD": [], "STATE": []}
    for line in run.stdout.splitlines():
        lines[json.loads(line)["type"]].append(len(line))
    *states, _ = lines["STATE"]
    assert sum(states) < 0.05 * sum(lines["RECORD"])


def test_state_is_written_at_the_end_also_when_jobs_failed(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("a", rows=ROWS), Job("b", script={"imports": [Answer(status=400)]}))

    run = tap.run(job_ids=["a", "b"])

    assert run.status == 1
    assert run.messages[-1]["type"] == "STATE"
    assert run.state == state_of(a=5)


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_run_without_a_finished_job_keeps_the_saved_ones(
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
    ]

    for run in runs:
        for state in run.states:
            assert set(state) == {"bookmarks"}
            assert set(state["bookmarks"]) == {STREAM}
            assert set(state["bookmarks"][STREAM]) == {"completed_jobs"}


def test_job_that_was_cut_off_is_read_again_from_its_first_page(
    api: StandIn, tap: Folder
) -> None:
    script: dict[str, list[Answer | None]] = {"imports:1": [Answer(status=500)] * 2}
    api.add(Job("a", rows=ROWS, page_size=2, script=script), Job("b", rows=ROWS))
    first = tap.run(job_ids=["a", "b"], max_attempts=2)
    assert first.status == 1
    assert first.state == state_of(b=5)
    api.clear()

    second = tap.run(job_ids=["a", "b"], max_attempts=2, state=first.state)

    assert second.status == 0
    assert [request.job_id for request in api.requests] == ["a"] * 3
    assert api.requests[0].token is None
    assert [record["event_index"] for record in second.records()] == list(range(5))
    assert second.state == state_of(a=5, b=5)
