"""What holds for every run of the tap, whatever its settings and its luck.

The harness checks each run that it makes. Only a signal or a target that has gone may
cut the last line.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import sys
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

import msgspec

from tests.streams import EVERY, LISTS, NAMES

if TYPE_CHECKING:
    from tests.stand_in import StandIn

PREFIX = "TAP_FULLSTORY_IMPORTS_"
PLACES = {stream.name: stream.place for stream in LISTS}
SHORTEST_KEY = 12  # shorter keys are test data such as `x`: every log has them
SHOWN = 16  # so many characters of a key, from its first one, must not be in a log
TEXTS = {"--about", "--discover", "--help", "--version"}
ERROR = re.compile(r"^(.* \| )?(ERROR|CRITICAL) ", re.MULTILINE)
USAGE = "Usage: "
FAILED = re.compile(r"Summary: .*, failed (\d+);")
# Maps with one of these names leave out rows, or what tells them from each other.
UNCOUNTED = {"__filter__", "__else__", "__source__", "job_id", *PLACES.values()}
PARTS: dict[str, dict[str, type]] = {
    "SCHEMA": {"stream": str, "schema": dict, "key_properties": list},
    "RECORD": {"stream": str, "record": dict},
    "BATCH": {"stream": str, "encoding": dict, "manifest": list},
    "STATE": {"value": dict},
}


@dataclass
class Given:
    """What a run was given, and what its test does to it."""

    settings: dict[str, Any] = field(default_factory=dict)
    state: object = None
    keys: set[str] = field(default_factory=set)
    is_sync: bool = True  # it writes messages, and not a text that a user asks for
    may_be_cut: bool = False  # its last line may be a part of one
    may_crash: bool = False  # a traceback may be all that the log says of a failure
    api: StandIn | None = None
    # The number of rows of each job, by stream, as far as it is known.
    rows: dict[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def by(cls, arguments, environment, api=None):
        given, keys = cls(), [environment.get(PREFIX + "API_KEY")]
        given.is_sync = TEXTS.isdisjoint(arguments)
        for option, path in pairwise(arguments):
            content = None
            with suppress(OSError, RecursionError, ValueError):
                content = json.loads(Path(path).read_bytes())
            if option == "--config" and isinstance(content, dict):
                given.settings |= content
                keys.append(content.get("api_key"))
            if option == "--state":
                given.state = content
        given.keys = {
            re.sub(r"^\s*basic\s+", "", key, flags=re.IGNORECASE).strip()
            for key in keys
            if isinstance(key, str)
        }
        if api and given.settings.get("api_url") == api.url:
            given.api, given.rows = api, _rows_of(api)
        return given


def _rows_of(api):
    ends = {(stream.kind, stream.endpoint): stream.name for stream in EVERY}
    return {
        (ends[kind, endpoint], job_id): rows
        for (kind, endpoint, job_id), rows in api.row_counts.items()
    }


def check(stdout, log, status, given):
    """Check what a run has left behind; a negative status is a signal."""
    assert_no_key_in(log, given.keys)
    if given.is_sync:
        check_messages(whole_lines(stdout, may_be_cut=given.may_be_cut), given)
    has_crashed = "Traceback" in log
    assert given.may_crash or not has_crashed, log
    has_failed = has_crashed or USAGE in log or ERROR.search(log) is not None
    if status in {0, 1, 2}:
        assert has_failed == (status != 0), f"exit code {status}:\n{log}"
        for failed in FAILED.findall(log):
            assert status or failed == "0", f"exit code 0 with failed jobs:\n{log}"
    else:
        assert {abs(status), status - 128} & {1, 2, 9, 15}, f"exit code {status}"


def lines_in(manifest):
    """The lines of the files of a BATCH message."""
    for uri in manifest:
        with gzip.open(url2pathname(urlsplit(uri).path)) as file:
            yield from file


def whole_lines(stdout, *, may_be_cut=False):
    lines = stdout.splitlines(keepends=True)
    if may_be_cut and lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    assert not lines or lines[-1].endswith(b"\n"), f"a broken line: {lines[-1][-80:]!r}"
    return lines


def check_messages(lines, given):
    written = _Written(given)
    for line in lines:
        message = _decode(line)
        kind = message.pop("type")
        parts = PARTS[kind]
        for name, type_ in parts.items():
            assert isinstance(message[name], type_), f"{kind} has no {name}: {line!r}"
        getattr(written, f"take_{kind.lower()}")(**message)


def _decode(line):
    """Decode an object, fast unless it is deep or has odd numbers or characters."""
    value, limit = None, sys.getrecursionlimit()
    with suppress(msgspec.DecodeError, RecursionError):
        value = msgspec.json.decode(line)
    if value is None:
        sys.setrecursionlimit(10 * limit)
        try:
            value = json.loads(line, parse_float=str, parse_int=_integer)
        finally:
            sys.setrecursionlimit(limit)
    assert isinstance(value, dict), f"no object: {line[:80]!r}"
    return value


def _integer(text):
    return int(text[:1_000])  # more digits than any count has


class _Written:
    """What has been written so far in a run."""

    def __init__(self, given):
        maps = given.settings.get("stream_maps") or {}
        self._names, self._known = _names_after(maps)
        self._keys: dict[str, list[str]] = {}
        self._rows: dict[tuple[str, str], int] = defaultdict(int)
        self._finished = _finished_in(given.state)
        self._totals = given.rows
        if given.api:  # what the test has changed during the run is not known
            now = _rows_of(given.api)
            self._totals = dict(given.rows.items() & now.items())

    def take_schema(self, stream, key_properties, **schema):
        assert stream not in self._keys, f"two schemas of {stream}"
        assert set(key_properties) <= schema["schema"]["properties"].keys()
        self._keys[stream] = key_properties

    def take_record(self, stream, record, **_):
        assert stream in self._keys, f"a record of {stream} before its schema"
        missing = [name for name in self._keys[stream] if record.get(name) is None]
        assert not missing, f"a record of {stream} without {missing}"
        name = self._names.get(stream, stream)
        if name in self._known:
            self._count(name, record["job_id"], record.get(PLACES.get(name, ""), 0))

    def take_batch(self, stream, manifest, **_):
        for line in lines_in(manifest):
            assert line.endswith(b"\n")
            self.take_record(stream, _decode(line))

    def _count(self, stream, job_id, place):
        """It must be the next one of its job, or its first one again."""
        assert (stream, job_id) not in self._finished, (
            f"{stream}: row {place} of {job_id} follows the STATE that names the job"
        )
        rows = self._rows[stream, job_id]
        assert place in {0, rows}, f"{stream}: row {place} of {job_id} follows {rows}"
        self._rows[stream, job_id] = place + 1

    def take_state(self, value):
        finished = _finished_in(value)
        lost = self._finished - finished
        assert not lost, f"STATE has lost {lost}"
        for job in finished - self._finished:
            rows, total = self._rows[job], self._totals.get(job)
            if job[0] in self._known and total is not None:
                assert rows == total, f"{job} in STATE after {rows} of {total} rows"
        self._finished = finished


def _names_after(maps):
    """The streams by the names that maps give them, and those that keep all rows."""
    names: dict[str, str] = {}
    known = set(NAMES)
    for stream, changes in maps.items() if isinstance(maps, dict) else ():
        if not isinstance(changes, dict) or not UNCOUNTED.isdisjoint(changes):
            known.discard(stream)
        else:
            names[str(changes.get("__alias__", stream))] = stream
    return names, known


def _finished_in(state):
    found: set[tuple[str, str]] = set()
    if isinstance(state, dict):
        state = state.get("value", state.get("singer_state", state))
    with suppress(AttributeError, KeyError, TypeError):
        for stream, entry in state["bookmarks"].items():
            if stream in NAMES:
                found |= {(stream, job_id) for job_id in entry["completed_jobs"]}
    return found


def forms_of(key):

    def in_base64(text):
        return base64.b64encode(text.encode()).decode().rstrip("=")

    def url_safe(encoded):
        return encoded.translate(str.maketrans("+/", "-_"))

    percent, escaped = quote(key, safe=""), json.dumps(key)[1:-1]
    return {
        "raw": key,
        "percent-encoded": percent,
        "percent-encoded, lower case": re.sub(
            "%..", lambda code: code[0].lower(), percent
        ),
        "base64": in_base64(key),
        "base64 of a password": in_base64(f":{key}"),
        "URL-safe base64": url_safe(in_base64(key)),
        "URL-safe base64 of a password": url_safe(in_base64(f":{key}")),
        "base64 of a user": in_base64(f"{key}:"),
        "JSON": escaped,
        "JSON with escaped slashes": escaped.replace("/", "\\/"),
    }


def assert_no_key_in(log, keys):
    shown = [
        name
        for key in keys
        if len(key) >= SHORTEST_KEY
        for name, form in forms_of(key).items()
        if form[:SHOWN] in log
    ]
    assert not shown, f"The log shows the API key: {shown}."
