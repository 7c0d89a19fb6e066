"""What a run has done: counts, the summary at the end, the exit code."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

    from tap_fullstory_imports.fullstory import JobEnded
    from tap_fullstory_imports.outputs import Written

JOBS_NAMED = 5
# Worst first. A job that is read at several endpoints counts by its worst outcome.
OUTCOMES = ("failed", "deferred", "skipped", "read", "already read")
SHOWN_OUTCOMES = ("read", "already read", "deferred", "skipped", "failed")


@dataclass
class _Counts:
    """What a run did for one stream.

    Attributes:
        kind: What the jobs of the stream import.
        has_jobs: Whether the settings list jobs of that kind.
        outcomes: How each job ended, see `OUTCOMES`.
        failures: Why each failed job failed.
    """

    kind: str
    has_jobs: bool
    rows: int = 0
    filtered: int = 0
    retries: int = 0
    outcomes: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class Summary:
    """Counts what happens in a run, and logs it at the end.

    Attributes:
        stopped: Why the run stopped before its end; None if it did not stop.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self.stopped: str | None = None
        self._requests: Counter[str] = Counter()  # by stream
        self._waited = 0.0
        self._streams: dict[str, _Counts] = {}

    def start(
        self, stream: str, kind: str, todo: list[str], already_read: list[str]
    ) -> None:
        """Add a stream of jobs of a kind, and its jobs that earlier runs have read."""
        outcomes = dict.fromkeys(already_read, "already read")
        has_jobs = bool(todo or already_read)
        self._streams[stream] = _Counts(kind, has_jobs, outcomes=outcomes)

    def count(self, stream: str, written: Written) -> None:
        """Count rows of a stream."""
        self._streams[stream].rows += written.rows
        self._streams[stream].filtered += written.filtered

    def count_requests(self, requests: Counter[str], waited: float) -> None:
        """Count the requests of streams, and the seconds of waiting."""
        self._requests += requests
        self._waited += waited

    def count_retry(self, stream: str) -> None:
        """Count a request that is made again."""
        self._streams[stream].retries += 1

    def count_job(self, ended: JobEnded) -> None:
        """Count how a job ended."""
        counts = self._streams[ended.job.endpoint.name]
        counts.outcomes[ended.job.job_id] = ended.outcome
        if ended.outcome == "failed":
            counts.failures[ended.job.job_id] = ended.reason

    @property
    def rows(self) -> int:
        """How many rows have been written."""
        return self.rows_of(self._streams)

    def rows_of(self, streams: Iterable[str]) -> int:
        """Return how many rows of some streams have been written."""
        return sum(self._streams[stream].rows for stream in streams)

    def has_failed(self, stream: str) -> bool:
        """Return whether a job of a stream failed, or the run stopped early."""
        return bool(self.stopped or self._streams[stream].failures)

    @property
    def exit_status(self) -> int:
        """0 when every job is read, already read, deferred or skipped; otherwise 1."""
        return int(any(self.has_failed(stream) for stream in self._streams))

    def write(self, logger: logging.Logger) -> None:
        """Log the counts, then the failures: the last line states the cause."""
        self._write_counts(logger)
        for (_, reason), jobs in self._failures().items():
            streams = {name: None for names in jobs.values() for name in names}
            where = f" in {', '.join(streams)}" if len(self._streams) > 1 else ""
            ids = tuple(jobs)
            if len(ids) == 1:
                logger.error("Job %s failed%s: %s", ids[0], where, reason)
            else:
                line = "%d jobs failed%s (%s): %s"
                logger.error(line, len(ids), where, named(ids), reason)
        if self.stopped:
            logger.error("%s", self.stopped)

    def _write_counts(self, logger: logging.Logger) -> None:
        for name, counts in self._streams.items():
            if not counts.has_jobs:
                continue
            logger.info(
                "%s: rows written %d, filtered %d, requests %d, retries %d.",
                name,
                counts.rows,
                counts.filtered,
                self._requests[name],
                counts.retries,
            )
        jobs = self._jobs()
        logger.info(
            "Summary: jobs %s; rows %d, requests %d, retries %d, seconds waited %.1f.",
            ", ".join(f"{outcome} {jobs[outcome]}" for outcome in SHOWN_OUTCOMES),
            self.rows,
            sum(self._requests.values()),
            sum(counts.retries for counts in self._streams.values()),
            self._waited,
        )

    def _jobs(self) -> Counter[str]:
        """Count the jobs by outcome; a job of several streams by its worst outcome.

        Jobs of events and jobs of users can have the same ID.
        """
        worst: dict[tuple[str, str], str] = {}
        for counts in self._streams.values():
            for job_id, outcome in counts.outcomes.items():
                job = counts.kind, job_id
                worst[job] = min(worst.get(job, outcome), outcome, key=OUTCOMES.index)
        return Counter(worst.values())

    def _failures(self) -> dict[tuple[str, str], dict[str, list[str]]]:
        """Return the failed jobs by kind and reason, and the streams of each job."""
        reasons: dict[tuple[str, str], dict[str, list[str]]] = {}
        for name, counts in self._streams.items():
            for job_id, reason in counts.failures.items():
                jobs = reasons.setdefault((counts.kind, reason), {})
                jobs.setdefault(job_id, []).append(name)
        return reasons


def named(job_ids: tuple[str, ...]) -> str:
    """Name a few jobs, and count the others."""
    names = ", ".join(itertools.islice(job_ids, JOBS_NAMED))
    more = len(job_ids) - JOBS_NAMED
    return f"{names} and {more} more" if more > 0 else names
