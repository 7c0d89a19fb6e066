"""Finished jobs in and out of STATE.

The bookmark of a stream is a list of its finished jobs:
``{"bookmarks": {"imported_events": {"completed_jobs": ["abc123"]}}}``. A list, because
Meltano replaces lists but merges maps: a job that a full refresh has not read again
would come back. In memory it is a set.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from singer_sdk.exceptions import ConfigValidationError

from tap_fullstory_imports.settings.command_line import RESTART

COMPLETED_JOBS = "completed_jobs"


class StateError(ConfigValidationError):
    """A state can't be used."""

    def __init__(self, fault: str) -> None:
        sentence = f"The state can't be used: {fault}.{RESTART}"
        super().__init__("Unusable state", errors=[sentence])


class Bookmarks:
    """The finished jobs of each stream, taken from a state.

    Everything else in the state stays as it came: bookmarks of other taps, and of jobs
    that are not in the settings.
    """

    def __init__(self, state: dict[str, Any], streams: Iterable[str]) -> None:
        """Take over a state.

        Raises:
            StateError: If the part of one of the streams is damaged.
        """
        self._state = state
        # Sets that keep their order.
        self._jobs = {stream: _completed(state, stream) for stream in streams}

    def __contains__(self, key: tuple[str, str]) -> bool:
        """Whether a job of a stream is finished, given stream and job ID."""
        stream, job_id = key
        return job_id in self._jobs[stream]

    def finish(self, stream: str, job_id: str) -> None:
        """Note that all rows of a job have been written."""
        self._jobs[stream][job_id] = None

    def state(self, streams: Iterable[str]) -> dict[str, Any]:
        """The state to write, with the finished jobs of these streams."""
        bookmarks = self._state.setdefault("bookmarks", {})
        for stream, jobs in self._jobs.items():
            if jobs or stream in streams:
                bookmarks.setdefault(stream, {})[COMPLETED_JOBS] = list(jobs)
        return self._state


def _completed(state: dict[str, Any], stream: str) -> dict[str, None]:
    """The finished jobs of a stream in a state.

    The tap's first states had a map of jobs to their numbers of rows.
    """
    entry: Any = state
    path = ("bookmarks", stream)
    for depth, name in enumerate(path, start=1):
        entry = entry.get(name, {})
        if not isinstance(entry, dict):
            raise StateError(f"`{'.'.join(path[:depth])}` is not an object")
    jobs = entry.get(COMPLETED_JOBS, [])
    if not isinstance(jobs, list | dict) or not all(type(one) is str for one in jobs):
        name = ".".join((*path, COMPLETED_JOBS))
        raise StateError(f"`{name}` is not a list of job IDs")
    return dict.fromkeys(jobs)
