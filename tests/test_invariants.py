"""The check of every run fails for each kind of broken run."""

from __future__ import annotations

import json

import pytest

from tests.invariants import Given, check

KEY = "na1.c2VjcmV0.0123456789abcdef"
SCHEMA = {
    "type": "SCHEMA",
    "stream": "imported_events",
    "schema": {"properties": {"job_id": {}, "event_index": {}}},
    "key_properties": ["job_id", "event_index"],
}
GOOD = "12:00:00 | INFO | tap | Summary: jobs read 1, failed 0; rows 2."
BAD = "12:00:00 | ERROR | tap | Job a failed: 400."


def row(place, job_id="a"):
    record = {"job_id": job_id, "event_index": place}
    return {"type": "RECORD", "stream": "imported_events", "record": record}


def state(*jobs):
    bookmarks = {"imported_events": {"completed_jobs": [*jobs]}}
    return {"type": "STATE", "value": {"bookmarks": bookmarks}}


def lines(*messages):
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


WHOLE = lines(SCHEMA, row(0), row(1), state("a"))
GIVEN = Given(state=state("old")["value"])
KNOWN = Given(rows={("imported_events", "a"): 2})
SOUND: dict[str, tuple[bytes, str, int, Given]] = {
    "a job that is read": (WHOLE, GOOD, 0, Given()),
    "a job that is read again": (
        lines(SCHEMA, row(0), row(1), row(0), row(1), state("a")),
        GOOD,
        0,
        KNOWN,
    ),
    "a state that was given": (lines(SCHEMA, state("old")), GOOD, 0, GIVEN),
    "a job that failed": (lines(SCHEMA, row(0), state()), BAD, 1, Given()),
    "a signal": (lines(SCHEMA, state()), GOOD, 143, Given()),
    "a line that SIGKILL cut": (WHOLE[:-5], "", -9, Given(may_be_cut=True)),
    "a text": (b"Name: tap", "", 0, Given(is_sync=False)),
}
BROKEN: dict[str, tuple[bytes, str, int, Given]] = {
    "STATE before the last row": (lines(SCHEMA, row(0), state("a")), GOOD, 0, KNOWN),
    "STATE and then a row": (
        lines(SCHEMA, row(0), state("a"), row(1)),
        GOOD,
        0,
        Given(),
    ),
    "STATE before the second reading ends": (
        lines(SCHEMA, row(0), row(1), row(0), state("a")),
        GOOD,
        0,
        KNOWN,
    ),
    "STATE that loses a job": (lines(SCHEMA, state()), GOOD, 0, GIVEN),
    "a row twice": (lines(SCHEMA, row(0), row(1), row(1)), GOOD, 0, Given()),
    "a row left out": (lines(SCHEMA, row(0), row(2)), GOOD, 0, Given()),
    "a row before SCHEMA": (lines(row(0), SCHEMA), GOOD, 0, Given()),
    "a row without its key": (
        lines(SCHEMA, {**row(0), "record": {"job_id": "a"}}),
        GOOD,
        0,
        Given(),
    ),
    "half a line": (WHOLE[:-5], GOOD, 0, Given()),
    "another text on stdout": (b"Hello\n" + WHOLE, GOOD, 0, Given()),
    "another type of message": (lines({"type": "ACTIVATE_VERSION"}), GOOD, 0, Given()),
    "exit code 0 with an error": (WHOLE, BAD, 0, Given()),
    "exit code 0 with a failed job": (WHOLE, GOOD.replace("d 0", "d 1"), 0, Given()),
    "exit code 1 without an error": (WHOLE, GOOD, 1, Given()),
    "an unknown exit code": (WHOLE, GOOD, 3, Given()),
    "a traceback": (WHOLE, f"{BAD}\nTraceback (most recent call last):", 1, Given()),
    "the key in the log": (WHOLE, f"{GOOD} {KEY}", 0, Given(keys={KEY})),
}


@pytest.mark.parametrize("run", SOUND.values(), ids=SOUND)
def test_sound_run_passes(run):
    check(*run)


@pytest.mark.parametrize("run", BROKEN.values(), ids=BROKEN)
def test_broken_run_fails(run):
    with pytest.raises((AssertionError, KeyError, ValueError)):
        check(*run)
