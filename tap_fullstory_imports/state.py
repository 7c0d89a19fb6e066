"""Finished jobs in and out of STATE.

The bookmark of a stream is a map of its finished jobs to their numbers of rows:
``{"bookmarks": {"imported_events": {"completed_jobs": {"abc123": 1200}}}}``. A map,
because looking a job up must not take longer the more jobs are finished.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

COMPLETED_JOBS = "completed_jobs"
MOST_OTHER_JOBS = 100_000
MOST_LEVELS = 100  # fewer than any writer of JSON refuses
_WAY_ON = (
    "To read all jobs again, run without `--state`, or with `--full-refresh` under"
    " Meltano."
)


class StateError(ValueError):
    """A state can't be used. The text is a sentence for the user."""

    def __init__(self, fault: str) -> None:
        """Say what is wrong, and the way on."""
        super().__init__(f"The state can't be used: {fault}. {_WAY_ON}")


def parse(text: str) -> dict[str, Any]:
    """The state in a file.

    Besides a bare state, it may be a whole STATE message, or what ``meltano state get``
    prints.

    Raises:
        StateError: If it is none of these.
    """
    if not text.strip():
        raise StateError("it is empty")
    try:
        state = json.loads(text)
    except (ValueError, RecursionError):
        raise StateError("it is not JSON") from None
    if isinstance(state, dict) and state.get("type") == "STATE" and "value" in state:
        state = state["value"]
    if isinstance(state, dict) and "singer_state" in state:
        state = state["singer_state"]
    if not isinstance(state, dict):
        raise StateError("it is not a JSON object")
    if _is_deep(state, MOST_LEVELS):
        raise StateError("it is nested too deeply")
    return state


def _is_deep(value: Any, levels: int) -> bool:
    """Whether a JSON value has more levels than these."""
    if not isinstance(value, dict | list):
        return False
    members = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deep(one, levels - 1) for one in members)


class Bookmarks:
    """The finished jobs of each stream, kept in a state.

    Everything else in the state stays as it came: bookmarks of other taps, and of jobs
    that are not in the settings.

    Attributes:
        state: The state: STATE holds it as it is.
    """

    def __init__(self, state: dict[str, Any], streams: Iterable[str]) -> None:
        """Take over a state.

        Raises:
            StateError: If the part of one of the streams is damaged.
        """
        self.state = state
        self._jobs = {stream: _completed(state, stream) for stream in streams}

    def begin(self, stream: str) -> None:
        """Give a stream that is read a part of the state."""
        bookmarks = self.state.setdefault("bookmarks", {})
        bookmarks.setdefault(stream, {})[COMPLETED_JOBS] = self._jobs[stream]

    def __contains__(self, key: tuple[str, str]) -> bool:
        """Whether a job of a stream is finished, given stream and job ID."""
        stream, job_id = key
        return job_id in self._jobs[stream]

    def finish(self, stream: str, job_id: str, rows: int) -> None:
        """Note that all rows of a job have been written."""
        self._jobs[stream][job_id] = rows

    def forget_oldest(self, stream: str, job_ids: Collection[str]) -> None:
        """Bound a stream's jobs that are not in the settings; the oldest leave."""
        jobs = self._jobs[stream]
        others = [job_id for job_id in jobs if job_id not in job_ids]
        for job_id in others[: max(0, len(others) - MOST_OTHER_JOBS)]:
            del jobs[job_id]


def _completed(state: dict[str, Any], stream: str) -> dict[str, int]:
    """The finished jobs of a stream in a state."""
    entry: dict[str, Any] = state
    path = ("bookmarks", stream, COMPLETED_JOBS)
    for depth, name in enumerate(path, start=1):
        entry = entry.get(name, {})
        if not isinstance(entry, dict):
            raise StateError(f"`{'.'.join(path[:depth])}` is not an object")
    if not all(type(rows) is int and rows >= 0 for rows in entry.values()):
        raise StateError(f"`{'.'.join(path)}` has values that are not numbers of rows")
    return entry
