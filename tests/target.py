"""A target that loads rows by key over many runs, and keeps STATE."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.invariants import lines_in
from tests.streams import LISTS, STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACES = {stream.name: stream.place for stream in LISTS}
MARKS = {
    **{stream.name: "code" for stream in LISTS if stream.endpoint == "errors"},
    **{stream.name: "status" for stream in STATUSES},
    "imported_events": "name",
    "imported_users": "uid",
}


def marks(job_id, rows):
    """What tells the rows of a job from each other, and from those of other jobs."""
    return [f"{job_id}/{index}" for index in range(rows)]


def imported(kind, job_id, rows, text=""):
    """The imported rows of a job, each with its mark as its name or its `uid`."""
    properties = {"text": text} if text else {}
    name = MARKS[f"imported_{kind}"]
    return [{name: mark, "properties": properties} for mark in marks(job_id, rows)]


events = partial(imported, "events")


def failures(job_id, rows):
    """The failed rows of a job, each with its mark as its code."""
    return [{"code": mark, "message": "no"} for mark in marks(job_id, rows)]


@dataclass
class Target:
    source: Mapping[str, Mapping[str, list[str]]]  # the marks of all rows
    # The marks of the rows that were taken, by stream, job and place.
    loaded: dict[tuple[str, str, int], str] = field(default_factory=dict)
    state: dict[str, Any] | None = None  # the last STATE
    aliases: Mapping[str, str] = field(default_factory=dict)  # of streams
    deselected: frozenset[str] = frozenset()  # fields that no record may have
    seen: set[tuple[str, str]] = field(default_factory=set)  # jobs of the last run

    def take(self, stdout):
        """Take all whole lines of a run, whose order the harness has checked."""
        self.seen = set()
        for line in stdout[: stdout.rfind(b"\n") + 1].splitlines():
            message = json.loads(line)
            kind = message["type"]
            if kind == "RECORD":
                self._load(message["stream"], [message["record"]])
            elif kind == "BATCH":
                lines = lines_in(message["manifest"])
                self._load(message["stream"], map(json.loads, lines))
            elif kind == "STATE":
                self.state = message["value"]

    def rows(self, stream, job_id):
        """The marks of the rows of a job that are loaded, in their order."""
        found = sorted(
            (place, mark)
            for (name, job, place), mark in self.loaded.items()
            if (name, job) == (stream, job_id)
        )
        assert [place for place, _ in found] == list(range(len(found)))
        return [mark for _, mark in found]

    def completed(self, stream):
        """The jobs that STATE names."""
        bookmarks = (self.state or {}).get("bookmarks", {})
        return {*bookmarks.get(stream, {}).get("completed_jobs", [])}

    def _load(self, name, records):
        stream = self.aliases.get(name, name)
        for record in records:
            assert not record.keys() & self.deselected, f"{stream}: {[*record]}"
            job_id, mark = record["job_id"], record[MARKS[stream]]
            place = record[PLACES[stream]] if stream in PLACES else 0
            self.loaded[stream, job_id, place] = mark
            self.seen.add((stream, job_id))
