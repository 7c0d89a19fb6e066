"""Finished jobs in and out of STATE.

A stream's bookmark is a map of its finished jobs to their numbers of rows:
``{"bookmarks": {"imported_events": {"completed_jobs": {"abc123": 1200}}}}``. A map,
because looking a job up must not take longer the more jobs are finished.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container

COMPLETED_JOBS = "completed_jobs"


class Bookmarks:
    """The finished jobs of one stream, written into the tap's state.

    A job that is finished stays out of the state until `commit`: in BATCH mode its last
    rows may lie in a file that no message has named yet.
    """

    def __init__(self, state: Any, stream: str) -> None:
        """Take the stream's part of the tap's state, or make it."""
        bookmark = state.setdefault("bookmarks", {}).setdefault(stream, {})
        self._completed: dict[str, int] = bookmark.setdefault(COMPLETED_JOBS, {})
        self._pending: dict[str, int] = {}

    def __contains__(self, job_id: str) -> bool:
        """Whether a job was finished, in an earlier run or in this one."""
        return job_id in self._completed or job_id in self._pending

    def finish(self, job_id: str, rows: int) -> None:
        """Note that all rows of a job have been handed on."""
        self._pending[job_id] = rows

    def commit(self) -> bool:
        """Put the finished jobs into the state, now that their rows are written.

        Returns:
            Whether there were any.
        """
        pending, self._pending = self._pending, {}
        self._completed.update(pending)
        return bool(pending)


def clean(state: Any, job_ids: Container[str]) -> tuple[dict[str, Any], list[str]]:
    """Keep of a state what this tap has written, for jobs that are still asked for.

    Args:
        state: Any JSON value, as ``--state`` gave it.
        job_ids: The jobs of the settings.

    Returns:
        A state of the right shape, and a sentence for each part that was left out
        because of its shape. Jobs behind such a part are read again.
    """
    faults: list[str] = []
    bookmarks: dict[str, Any] = {}
    found = _mapping(state, "The state", faults).get("bookmarks", {})
    for stream, bookmark in _mapping(found, "`bookmarks` of the state", faults).items():
        where = f"`bookmarks.{stream}` of the state"
        entry = _mapping(bookmark, where, faults)
        if entry and COMPLETED_JOBS not in entry:
            faults.append(f"{where} is not this tap's.")
        if COMPLETED_JOBS not in entry:
            continue
        jobs = _mapping(entry[COMPLETED_JOBS], f"`{COMPLETED_JOBS}` in {where}", faults)
        good = {job: rows for job, rows in jobs.items() if _is_count(rows)}
        if len(good) < len(jobs):
            damaged = len(jobs) - len(good)
            faults.append(f"{where} has {damaged} damaged entries.")
        bookmarks[stream] = {
            COMPLETED_JOBS: {job: good[job] for job in good if job in job_ids}
        }
    return ({"bookmarks": bookmarks} if bookmarks else {}), faults


def _mapping(value: Any, where: str, faults: list[str]) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    faults.append(f"{where} is not an object.")
    return {}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
