"""The check of every run fails for each kind of broken run, and only for those."""

import json
from contextlib import nullcontext

import pytest

from tests.invariants import Given, check

KEY = "na1.c2VjcmV0.0123456789abcdef"
FIELDS = {"properties": dict.fromkeys(("job_id", "event_index"), True)}
NAMES = {"stream": "imported_events", "key_properties": ["job_id", "event_index"]}
SCHEMA = {"type": "SCHEMA", **NAMES, "schema": FIELDS}
GOOD = "12:00:00 | INFO | tap | Summary: jobs read 1, failed 0; rows 2."
BAD = "12:00:00 | ERROR | tap | Job a failed: 400."


def row(place):
    record = {"job_id": "a", "event_index": place}
    return {"type": "RECORD", "stream": "imported_events", "record": record}


def state(*jobs):
    bookmarks = {"imported_events": {"completed_jobs": [*jobs]}}
    return {"type": "STATE", "value": {"bookmarks": bookmarks}}


def lines(*messages):
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


ONE, TWO, DONE = row(0), row(1), state("a")
WHOLE = lines(SCHEMA, ONE, TWO, DONE)
OLD = Given(state=state("old")["value"])
KNOWN = Given(rows={("imported_events", "a"): 2})
NO_KEY = {**ONE, "record": {"job_id": "a"}}
CRASH = f"{BAD}\nTraceback (most recent call last):"
SOUND = {
    "a job that is read": (WHOLE, GOOD, 0),
    "read again": (lines(SCHEMA, ONE, TWO, ONE, TWO, DONE), GOOD, 0, KNOWN),
    "a state that was given": (lines(SCHEMA, state("old")), GOOD, 0, OLD),
    "a job that failed": (lines(SCHEMA, ONE, state()), BAD, 1),
    "a signal": (lines(SCHEMA, state()), GOOD, 143),
    "a line that SIGKILL cut": (WHOLE[:-5], "", -9, Given(may_be_cut=True)),
    "a text": (b"Name: tap", "", 0, Given(is_sync=False)),
}
BROKEN = {
    "STATE before the last row": (lines(SCHEMA, ONE, DONE), GOOD, 0, KNOWN),
    "STATE and then a row": (lines(SCHEMA, ONE, DONE, TWO), GOOD, 0),
    "STATE too early": (lines(SCHEMA, ONE, TWO, ONE, DONE), GOOD, 0, KNOWN),
    "STATE that loses a job": (lines(SCHEMA, state()), GOOD, 0, OLD),
    "a row twice": (lines(SCHEMA, ONE, TWO, TWO), GOOD, 0),
    "a row left out": (lines(SCHEMA, ONE, row(2)), GOOD, 0),
    "a row before SCHEMA": (lines(ONE, SCHEMA), GOOD, 0),
    "a row without its key": (lines(SCHEMA, NO_KEY), GOOD, 0),
    "half a line": (WHOLE[:-5], GOOD, 0),
    "another text on stdout": (b"Hello\n" + WHOLE, GOOD, 0),
    "another type of message": (lines({"type": "ACTIVATE_VERSION"}), GOOD, 0),
    "exit code 0 with an error": (WHOLE, BAD, 0),
    "exit code 0 with a failed job": (WHOLE, GOOD.replace("d 0", "d 1"), 0),
    "exit code 1 without an error": (WHOLE, GOOD, 1),
    "an unknown exit code": (WHOLE, GOOD, 3),
    "a traceback": (WHOLE, CRASH, 1),
    "the key in the log": (WHOLE, f"{GOOD} {KEY}", 0, Given(keys={KEY})),
}


@pytest.mark.parametrize("name", [*SOUND, *BROKEN])
def test_run_is_sound_or_broken(name):
    stdout, log, status, *given = {**SOUND, **BROKEN}[name]
    broken = pytest.raises((AssertionError, KeyError, ValueError))
    with nullcontext() if name in SOUND else broken:
        check(stdout, log, status, *(given or [Given()]))
