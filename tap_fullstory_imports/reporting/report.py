"""What a user reads while a run goes on, and after it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_fullstory_imports.reporting.progress import Progress
from tap_fullstory_imports.reporting.words import bounded, many, named

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Collection

LINE_SECONDS = 8.0
MOST_JOB_LINES = 20  # a run with more jobs logs its overall progress only
EQUAL_SECONDS = 60.0
# Worst first. A job that is read at several endpoints counts by its worst outcome.
OUTCOMES = ("failed", "deferred", "skipped", "read", "already read")
SHOWN_OUTCOMES = ("read", "already read", "deferred", "skipped", "failed")


@dataclass
class _Counts:
    """What a run did for one stream."""

    kind: str
    has_jobs: bool
    rows: int = 0
    filtered: int = 0
    outcomes: dict[str, str] = field(default_factory=dict)  # by job
    failures: dict[str, str] = field(default_factory=dict)  # why, by job


class Report:
    """Counts what happens in a run, and logs what a user should know.

    Attributes:
        progress: How far the run is.
    """

    def __init__(
        self, logger: logging.Logger, max_attempts: int, now: Callable[[], float]
    ) -> None:
        """Start with nothing to report; `now` tells seconds."""
        self._logger, self._attempts, self._now = logger, max_attempts, now
        self._streams: dict[str, _Counts] = {}
        # By stream; the status is asked also where its stream is not selected.
        self._requests, self._retries = Counter[str](), Counter[str]()
        self._warned: dict[tuple[str, str], tuple[float, set[str]]] = {}
        self._next_waiting_line = 0.0
        self._reason = ""
        self.progress = Progress(logger, now)

    # While the run goes on

    def start(
        self, stream: str, kind: str, job_ids: Collection[str], already: Collection[str]
    ) -> None:
        """Note the jobs of a stream, and those that earlier runs have read."""
        outcomes = dict.fromkeys(already, "already read")
        self._streams[stream] = _Counts(kind, bool(job_ids), outcomes=outcomes)
        if job_ids:
            todo = len(job_ids) - len(already)
            line = "%s: Jobs to read: %d. Already read: %d."
            self._logger.info(line, stream, todo, len(already))

    def request(self, stream: str) -> None:
        """Count a request."""
        self._requests[stream] += 1

    def retry(
        self, stream: str, job_id: str, text: str, attempt: int, wait: float
    ) -> None:
        """Warn that a request failed and will be made again in so many seconds."""
        self._retries[stream] += 1
        text += f"; attempt {attempt} of {self._attempts}"
        self.warn(stream, job_id, text, f", the next one in {wait:.1f} s")

    def paused(self, stream: str, job_id: str, text: str, wait: float) -> None:
        """Warn that all requests pause for so many seconds."""
        self._retries[stream] += 1
        self.warn(stream, job_id, text, f"; requests resume in {wait:.1f} s")

    def written(self, stream: str, rows: int, filtered: int) -> None:
        """Count rows that have been written, and those that a filter left out."""
        counts = self._streams[stream]
        counts.rows += rows
        counts.filtered += filtered
        self.progress.rows += rows

    def rows_of(self, most: int) -> set[str]:
        """The streams of which so many rows have been written."""
        return {name for name, counts in self._streams.items() if counts.rows >= most}

    def ended(
        self, stream: str, job_id: str, outcome: str, reason: str = "", rows: int = 0
    ) -> None:
        """Say how a job ended for a stream; failed jobs have lines at the end."""
        counts = self._streams[stream]
        counts.outcomes[job_id] = outcome
        if outcome == "failed":
            counts.failures[job_id] = reason
        elif outcome != "read":
            self.warn(stream, job_id, reason)
        elif self.progress.jobs <= MOST_JOB_LINES:
            self._logger.info("%s: Job %s: %s.", stream, job_id, many(rows, "row"))

    def unreadable(self, stream: str, job_id: str, seen: int, example: str) -> None:
        """Say that timestamps of a job became null."""
        text = f"{many(seen, 'timestamp')} could not be read and became null"
        self.warn(stream, job_id, f"{text}, for example '{bounded(example, 40)}'")

    def replaced(self, stream: str, job_id: str, seen: int) -> None:
        """Say that characters of a job were replaced."""
        text = f"{many(seen, 'character')} that no database stores became U+FFFD"
        self.warn(stream, job_id, text)

    def warn(self, stream: str, job_id: str, text: str, wait: str = "") -> None:
        """Log a warning about a job; equal ones within a minute become a count."""
        now = self._now()
        self._show_repeated(now - EQUAL_SECONDS)
        if warned := self._warned.get((stream, text)):
            warned[1].add(job_id)
            return
        self._warned[stream, text] = now, set()
        end = "" if (text + wait).endswith((".", "?")) else "."
        self._logger.warning("%s: Job %s: %s%s%s", stream, job_id, text, wait, end)

    def _show_repeated(self, before: float) -> None:
        """Log the counts of the warnings that are older."""
        while self._warned:
            (stream, text), (since, jobs) = next(iter(self._warned.items()))
            if since > before:
                return
            del self._warned[stream, text]
            if jobs:
                more = many(len(jobs), "more job")
                self._logger.warning("%s: The same for %s: %s", stream, more, text)

    def waiting(self, text: str) -> None:
        """Say what the run waits for, at once and then every few seconds."""
        if self._now() >= self._next_waiting_line:
            self._next_waiting_line = self._now() + LINE_SECONDS
            self._logger.info("%s", text)

    def keep_up(self, pause: float) -> None:
        """Show what is due; the rate limit allows the next request after a pause."""
        self._show_repeated(self._now() - EQUAL_SECONDS)
        if pause > 1:
            text = f"Waiting for the rate limit: requests resume in {pause:.0f} s."
            self.waiting(text)
        self.progress.show()

    # After it

    @property
    def exit_code(self) -> int:
        """0 when every job is read, already read, deferred or skipped; otherwise 1."""
        has_failed = any(counts.failures for counts in self._streams.values())
        return int(bool(self._reason) or has_failed)

    def end(self, reason: str, waited: float) -> None:
        """Log the counts, then the failures: the last line states the cause.

        Args:
            reason: Why the run ended before its end; empty if it did not.
            waited: Seconds in which the run waited for imports.
        """
        self._reason = reason
        self._show_repeated(self._now())
        self._show_counts(waited)
        for (_, text), jobs in self._failures().items():
            streams = {name: None for names in jobs.values() for name in names}
            where = f" in {', '.join(streams)}" if len(self._streams) > 1 else ""
            if len(jobs) == 1:
                self._logger.error("Job %s failed%s: %s", *jobs, where, text)
            else:
                line = "%d jobs failed%s (%s): %s"
                self._logger.error(line, len(jobs), where, named(jobs), text)
        if reason:
            self._logger.error("%s", reason)

    def _show_counts(self, waited: float) -> None:
        for name, counts in self._streams.items():
            if counts.has_jobs:
                self._logger.info(
                    "%s: rows written %d, filtered %d, requests %d, retries %d.",
                    name,
                    counts.rows,
                    counts.filtered,
                    self._requests[name],
                    self._retries[name],
                )
        jobs = self._jobs()
        self._logger.info(
            "Summary: jobs %s; rows %d, requests %d, retries %d, seconds waited %.1f.",
            ", ".join(f"{outcome} {jobs[outcome]}" for outcome in SHOWN_OUTCOMES),
            self.progress.rows,
            self._requests.total(),
            self._retries.total(),
            waited,
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
        """The failed jobs by kind and reason, and the streams of each job."""
        failures: dict[tuple[str, str], dict[str, list[str]]] = {}
        for name, counts in self._streams.items():
            for job_id, reason in counts.failures.items():
                jobs = failures.setdefault((counts.kind, reason), {})
                jobs.setdefault(job_id, []).append(name)
        return failures
