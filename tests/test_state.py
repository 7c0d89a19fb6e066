"""STATE names the finished jobs, never one too many, and spares their requests."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.stand_in import Answer, Job, make_events

ROWS = make_events(5)
STREAM = "imported_events"


def state_of(*completed):
    return {"bookmarks": {STREAM: {"completed_jobs": [*completed]}}}


FOREIGN = {
    "bookmarks": {
        STREAM: {
            "completed_jobs": ["a"],
            "partitions": [{"context": {"job_id": "a"}}],
            "note": None,
        },
        "import_errors": {"completed_jobs": ["z"], "starting_at": "x"},
        "users": {"replication_key_value": "2026-01-01", "completed_jobs": 7},
        "text": "x",
    },
    "currently_syncing": "users",
    "version": 2,
}
USERS = {"bookmarks": {"users": {"since": "2026"}}}
# A state; the finished jobs in it; what else is in it.
STATES = {
    "none": (None, [], {}),
    "empty": ({}, [], {}),
    "no bookmark": ({"bookmarks": {}}, [], {}),
    "no jobs": ({"bookmarks": {STREAM: {}}}, [], {}),
    "empty list": (state_of(), [], {}),
    "of another tap": (USERS, [], USERS),
    "empty, wrapped": ({"singer_state": {}}, [], {}),
    "one job": (state_of("a"), ["a"], {}),
    "as Meltano saves it": ({"singer_state": state_of("a")}, ["a"], {}),
    "as a message": ({"type": "STATE", "value": state_of("a")}, ["a"], {}),
    "a map": (
        {"bookmarks": {STREAM: {"completed_jobs": {"old": 7, "a": 5}}}},
        ["old", "a"],
        {},
    ),
    "all": (state_of("c", "b", "a"), ["c", "b", "a"], {}),
    "a job that has left the settings": (state_of("gone", "a"), ["gone", "a"], {}),
    "foreign parts": (FOREIGN, ["a"], FOREIGN),
}


@pytest.mark.parametrize(("state", "done", "rest"), STATES.values(), ids=STATES)
def test_run_reads_what_is_not_in_the_state_and_keeps_the_rest(
    api, tap, state, done, rest
):
    api.add(*(Job(name, rows=ROWS, page_size=2) for name in "abc"))
    new = [name for name in "abc" if name not in done]

    run = tap.run(job_ids=[*"abc"], state=state)

    assert run.status == 0
    assert not run.warnings
    assert [request.job_id for request in api.requests] == [*"".join(new * 3)] or new
    assert {request.job_id for request in api.requests} == {*new}
    assert {record["job_id"] for record in run.records()} == {*new}
    bookmark = {**rest.get("bookmarks", {}).get(STREAM, {})}
    bookmark["completed_jobs"] = [*done, *new]
    bookmarks = {**rest.get("bookmarks", {}), STREAM: bookmark}
    assert run.state == {**rest, "bookmarks": bookmarks}


WRONG = [["a"], "a", 7, 1.5, True, None]
DAMAGED = [
    *(json.dumps(wrong) for wrong in WRONG),
    *(json.dumps({"bookmarks": wrong}) for wrong in [[], *WRONG]),
    *(json.dumps({"bookmarks": {STREAM: wrong}}) for wrong in [[], *WRONG]),
    *(
        json.dumps({"bookmarks": {STREAM: {"completed_jobs": wrong}}})
        for wrong in (*WRONG[1:], [1], ["a", None], [["a"]])
    ),
    *(json.dumps({"singer_state": wrong}) for wrong in WRONG[-2:]),
    *(json.dumps({"type": "STATE", "value": wrong}) for wrong in WRONG[-2:]),
    *("", " \n", "no JSON", '{"bookmarks": ', "NaN", b"\xff\xfe"),
    pytest.param("[" * 100_000, id="nested deeply"),
    *(
        pytest.param('{"other":' * depth + "[]" + "}" * depth, id=f"{depth} deep")
        for depth in (900, 10_000)
    ),
]


@pytest.mark.parametrize("text", DAMAGED, ids=repr)
def test_damaged_state_is_an_error_before_any_request(api, tap, text):
    path = tap.write("damaged.json", text)

    run = tap.run("--state", str(path), job_ids=["a"])

    assert run.status == 1
    assert api.requests == []
    assert run.of_type("STATE") == []
    (error,) = run.errors
    assert "state" in error
    assert "`meltano state clear`" in error
    assert "without `--state`" in error


SETTINGS_OF_FAILURES = {
    "waits in vain": {"job_ids": ["late"], "job_wait_timeout": 0},
    "is refused": {"job_ids": ["late"], "api_key": "wrong"},
    "asks for a missing job": {"job_ids": ["missing"]},
}


@pytest.mark.parametrize(
    "settings", SETTINGS_OF_FAILURES.values(), ids=SETTINGS_OF_FAILURES
)
def test_run_without_a_job_writes_a_state_with_an_empty_list(api, tap, settings):
    api.add(Job("late", processing=-1))

    run = tap.run(**settings)

    assert run.states
    assert all(state == state_of() for state in run.states)


# When STATE comes

MANY = [f"saved-{number}" for number in range(3_000)]


@pytest.mark.parametrize(
    ("rows", "saved", "seconds", "is_early"),
    [
        pytest.param(5, [], 75, True, id="small, after a minute"),
        pytest.param(5, MANY, 75, True, id="large beside the records, after a minute"),
        pytest.param(1_000, [], 9, True, id="small beside the records, after 5 s"),
        pytest.param(
            5, MANY[:200], 9, False, id="large beside the records, not after 5 s"
        ),
    ],
)
def test_state_names_a_finished_job_while_another_one_is_waited_for(
    api, tap, rows, saved, seconds, is_early
):
    wait = {"Retry-After": str(seconds)}
    api.add(
        Job("a", rows=make_events(rows), page_size=1_000),
        Job("slow", rows=ROWS, script={"imports": [Answer(202, headers=wait)]}),
    )

    run = tap.run(job_ids=["a", "slow"], state=state_of(*saved), speed=2 * seconds)

    assert run.completed() == {*saved, "a", "slow"}
    before = itertools.takewhile(
        lambda message: message.get("record", {}).get("job_id") != "slow", run.messages
    )
    states = [message["value"] for message in before if message["type"] == "STATE"]
    assert (states[-1:] == [state_of(*saved, "a")]) == is_early
    assert len(run.states) <= 3


@pytest.mark.parametrize(("saved", "new"), [(0, 500), (3_000, 200)])
def test_states_of_many_small_jobs_are_few_bytes_beside_their_records(
    api, tap, saved, new
):
    names = [f"job-{number:05}" for number in range(new)]
    api.add(*(Job(name, rows=ROWS[:1]) for name in names))

    run = tap.run(job_ids=names, state=state_of(*MANY[:saved]), concurrency=4, speed=20)

    assert run.status == 0
    assert run.completed() == {*MANY[:saved], *names}
    assert saved or len(run.states) > 1
    sizes: dict[str, list[int]] = {"SCHEMA": [], "RECORD": [], "STATE": []}
    for line in run.stdout.splitlines():
        sizes[json.loads(line)["type"]].append(len(line))
    assert sum(sizes["STATE"][:-1]) < 0.05 * sum(sizes["RECORD"])


def test_only_bytes_since_the_last_state_make_room_for_the_next_one(api, tap):
    saved = MANY[:200]
    waits = [{"Retry-After": str(seconds)} for seconds in (9, 20)]
    api.add(
        Job("a", rows=make_events(1_000), page_size=1_000),
        *(
            Job(name, rows=ROWS, script={"imports": [Answer(202, headers=wait)]})
            for name, wait in zip("bc", waits, strict=True)
        ),
    )

    run = tap.run(job_ids=["a", "b", "c"], state=state_of(*saved), speed=50)

    assert run.states == [state_of(*saved, "a"), state_of(*saved, "a", "b", "c")]
