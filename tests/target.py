"""A target that loads rows by key over many runs, and keeps STATE."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tests.streams import LISTS, STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Source = Mapping[str, Mapping[str, list[str]]]

PLACES = {stream.name: stream.place for stream in LISTS}
MARKS = {
    **{stream.name: "code" for stream in LISTS if stream.endpoint == "errors"},
    **{stream.name: "status" for stream in STATUSES},
    "imported_events": "name",
    "imported_users": "uid",
}


def marks(job_id: str, rows: int) -> list[str]:
    """What tells the rows of a job from each other, and from those of other jobs."""
    return [f"{job_id}/{index}" for index in range(rows)]


def imported(kind: str, job_id: str, rows: int, text: str = "") -> list[dict[str, Any]]:
    """The imported rows of a job, each with its mark as its name or its `uid`."""
    properties = {"text": text} if text else {}
    name = MARKS[f"imported_{kind}"]
    return [{name: mark, "properties": properties} for mark in marks(job_id, rows)]


events = partial(imported, "events")


def failures(job_id: str, rows: int) -> list[dict[str, Any]]:
    """The failed rows of a job, each with its mark as its code."""
    return [{"code": mark, "message": "no"} for mark in marks(job_id, rows)]


@dataclass
class Target:
    """Takes the lines of run after run.

    Attributes:
        source: The marks of all rows, by stream and job.
        loaded: The marks of the rows that were taken, by stream, job and place.
        state: The last STATE, which the next run starts from.
        aliases: Streams under the names that the settings give them.
        deselected: Fields that no record may have.
    """

    source: Source
    loaded: dict[tuple[str, str, int], str] = field(default_factory=dict)
    state: dict[str, Any] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    deselected: frozenset[str] = frozenset()
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def take(self, stdout: bytes) -> None:
        """Take all whole lines of a run, whose order the harness has checked."""
        self._seen = set()
        for line in stdout[: stdout.rfind(b"\n") + 1].splitlines():
            message = json.loads(line)
            kind = message["type"]
            if kind == "RECORD":
                self._load(message["stream"], [message["record"]])
            elif kind == "BATCH":
                for uri in message["manifest"]:
                    with gzip.open(url2pathname(urlsplit(uri).path)) as file:
                        self._load(message["stream"], map(json.loads, file))
            elif kind == "STATE":
                self.state = message["value"]

    def rows(self, stream: str, job_id: str) -> list[str]:
        """The marks of the rows of a job that are loaded, in their order."""
        found = sorted(
            (place, mark)
            for (name, job, place), mark in self.loaded.items()
            if (name, job) == (stream, job_id)
        )
        assert [place for place, _ in found] == list(range(len(found)))
        return [mark for _, mark in found]

    def has_seen(self, stream: str, job_id: str) -> bool:
        """Whether the run has written a row of a job."""
        return (stream, job_id) in self._seen

    def completed(self, stream: str) -> set[str]:
        """The jobs that STATE names."""
        return completed_in(self.state).get(stream, set())

    def _load(self, name: str, records: Iterable[dict[str, Any]]) -> None:
        stream = self.aliases.get(name, name)
        for record in records:
            assert not record.keys() & self.deselected, f"{stream}: {[*record]}"
            job_id, mark = record["job_id"], record[MARKS[stream]]
            place = record[PLACES[stream]] if stream in PLACES else 0
            self.loaded[stream, job_id, place] = mark
            self._seen.add((stream, job_id))


def completed_in(state: dict[str, Any] | None) -> dict[str, set[str]]:
    """The finished jobs of each stream in a STATE."""
    bookmarks = (state or {}).get("bookmarks", {})
    return {name: {*entry["completed_jobs"]} for name, entry in bookmarks.items()}
