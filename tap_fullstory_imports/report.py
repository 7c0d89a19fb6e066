"""Everything that a user reads of a run: progress, failures, counts, exit status."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_fullstory_imports.fullstory import Reader, Trouble, Waiting, clock
from tap_fullstory_imports.fullstory.errors import many

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

    from tap_fullstory_imports.fullstory import Job, JobEnded, Policy
    from tap_fullstory_imports.outputs import Written

LINE_SECONDS = 8.0
EQUAL_SECONDS = 60.0
JOBS_NAMED = 5
# The worst outcome first: it counts for a job that is read at several endpoints.
OUTCOMES = ("failed", "deferred", "skipped", "read", "already read")


@dataclass
class _Counts:
    """What a run did for one stream.

    Attributes:
        kind: What the jobs of the stream import.
        outcomes: How each job ended, see `OUTCOMES`.
        failures: Why each failed job failed.
    """

    kind: str
    rows: int = 0
    filtered: int = 0
    retries: int = 0
    outcomes: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass
class _Repeated:
    """A line that was logged, and the jobs for which it has come again since."""

    since: float
    jobs: set[str] = field(default_factory=set)


class Report:
    """Logs what happens in a run, and sums it up at the end.

    Attributes:
        reader: Where the numbers of requests and seconds are.
        stopped: Why the run stopped before its end; None if it did not.
    """

    def __init__(self, logger: logging.Logger, policy: Policy) -> None:
        """Start without anything to report."""
        self.reader: Reader | None = None
        self.stopped: str | None = None
        self._logger, self._policy = logger, policy
        self._streams: dict[str, _Counts] = {}
        self._requests: Counter[str] = Counter()
        self._next_line: dict[Job, float] = {}
        self._next_waiting_line = 0.0
        self._repeated: dict[tuple[str, str], _Repeated] = {}

    # While the run goes on

    def start(
        self, stream: str, kind: str, todo: list[str], already_read: list[str]
    ) -> None:
        """A stream of jobs of some kind begins."""
        outcomes = dict.fromkeys(already_read, "already read")
        self._streams[stream] = _Counts(kind, outcomes=outcomes)
        self._logger.info(
            "%s: Jobs to read: %d. Already read: %d.",
            stream,
            len(todo),
            len(already_read),
        )

    def count(self, stream: str, written: Written) -> None:
        """Count rows of a stream."""
        self._streams[stream].rows += written.rows
        self._streams[stream].filtered += written.filtered

    def rows_of(self, streams: Iterable[str]) -> int:
        """How many rows of some streams have been written."""
        return sum(self._streams[stream].rows for stream in streams)

    def show(self, event: Trouble | Waiting) -> None:
        """Log what keeps the run from going on."""
        if isinstance(event, Waiting):
            self._show_waiting(event)
            return
        job, name = event.job, event.job.endpoint.name
        text = event.text
        if event.attempt:
            self._streams[name].retries += 1
            text += f"; attempt {event.attempt} of {self._policy.max_attempts}"
        wait = f", the next one in {event.wait:.1f} s" if event.attempt else ""
        if event.wait and not event.attempt:
            self._streams[name].retries += 1
            wait = f"; requests resume in {event.wait:.1f} s"
        self._warn(name, job.job_id, text, wait)

    def _warn(self, stream: str, job_id: str, text: str, wait: str = "") -> None:
        """Log a warning; equal ones within a minute become one line with a count."""
        now = clock.now()
        self._show_repeated(now)
        if repeated := self._repeated.get((stream, text)):
            repeated.jobs.add(job_id)
            return
        self._repeated[stream, text] = _Repeated(now)
        end = "" if (text + wait).endswith((".", "?")) else "."
        self._logger.warning("%s: Job %s: %s%s%s", stream, job_id, text, wait, end)

    def _show_repeated(self, now: float | None = None) -> None:
        """Log how often equal warnings came in the last minute; without `now`, all."""
        for (stream, text), repeated in list(self._repeated.items()):
            if now is not None and now - repeated.since < EQUAL_SECONDS:
                continue
            del self._repeated[stream, text]
            if repeated.jobs:
                jobs = many(len(repeated.jobs), "more job")
                self._logger.warning("%s: The same for %s: %s", stream, jobs, text)

    def show_progress(self, job: Job, rows: int) -> None:
        """Say how far a job is, if that has not been said for a while."""
        now = clock.now()
        due = self._next_line.setdefault(job, (job.started or now) + LINE_SECONDS)
        if now < due or rows == job.total:
            return
        self._next_line[job] = now + LINE_SECONDS
        of_total = f" of {job.total:,}" if job.total is not None else ""
        name = job.endpoint.name
        self._logger.info(
            "%s: Job %s: %s%s rows so far.", name, job.job_id, f"{rows:,}", of_total
        )

    def show_unreadable(self, job: Job, seen: int, example: str) -> None:
        """Say that timestamps of a job became null."""
        self._logger.warning(
            "%s: Job %s: %s could not be read and became null, for example %r.",
            job.endpoint.name,
            job.job_id,
            many(seen, "timestamp"),
            example,
        )

    def end(self, ended: JobEnded) -> None:
        """Count how a job ended, and say so."""
        job, name = ended.job, ended.job.endpoint.name
        self._next_line.pop(job, None)
        counts = self._streams[name]
        counts.outcomes[job.job_id] = ended.outcome
        if ended.outcome == "failed":
            counts.failures[job.job_id] = ended.reason
        elif ended.outcome == "deferred":
            self._warn(name, job.job_id, ended.reason)
        elif ended.outcome == "read":
            self._logger.info(
                "%s: Job %s: %s in %s, %.1f s.",
                name,
                job.job_id,
                many(job.rows, "row"),
                many(job.pages, "page"),
                clock.now() - (job.started or 0),
            )

    def _show_waiting(self, waiting: Waiting) -> None:
        """Say what the run waits for, at once and then every few seconds."""
        now = clock.now()
        self._show_repeated(now)
        for job in waiting.asked:
            self.show_progress(job, job.rows)
        if now < self._next_waiting_line:
            return
        if waiting.unfinished:
            self._logger.info(
                "Waiting for jobs that are still processing (%d: %s): %.0f s of at"
                " most %g s.",
                len(waiting.unfinished),
                _named(waiting.unfinished),
                waiting.waited,
                self._policy.job_wait_timeout,
            )
        elif waiting.pause:
            self._logger.info(
                "Waiting for the rate limit: requests resume in %.0f s.", waiting.pause
            )
        elif waiting.retry:
            job, seconds = waiting.retry
            self._logger.info(
                "Waiting: the next request, for job %s, is due in %.0f s.",
                job.job_id,
                seconds,
            )
        else:
            return
        self._next_waiting_line = now + LINE_SECONDS

    # At the end

    def has_failed(self, stream: str) -> bool:
        """Whether a job of a stream failed, or the run stopped before its end."""
        return bool(self.stopped or self._streams[stream].failures)

    @property
    def exit_status(self) -> int:
        """0 when every job is read, already read, deferred or skipped; otherwise 1."""
        return int(any(self.has_failed(stream) for stream in self._streams))

    def write(self) -> None:
        """Log the summary, then what failed: users act on the last lines."""
        self._show_repeated()
        requests = self.reader.requests if self.reader else Counter()
        for name, counts in self._streams.items():
            self._logger.info(
                "%s: rows written %d, filtered %d, requests %d, retries %d.",
                name,
                counts.rows,
                counts.filtered,
                requests[name],
                counts.retries,
            )
        all_counts = self._streams.values()
        self._logger.info(
            "Summary: %s; rows %d, requests %d, retries %d, seconds waited %.1f.",
            ", ".join(
                f"jobs {o} {n}" if o == "read" else f"{o} {n}" for o, n in self._jobs()
            ),
            sum(counts.rows for counts in all_counts),
            sum(requests.values()),
            sum(counts.retries for counts in all_counts),
            self.reader.waited if self.reader else 0,
        )
        for (_, reason), jobs in self._failures().items():
            streams = {name: None for names in jobs.values() for name in names}
            where = f" in {', '.join(streams)}" if len(self._streams) > 1 else ""
            ids = tuple(jobs)
            if len(ids) == 1:
                self._logger.error("Job %s failed%s: %s", ids[0], where, reason)
            else:
                line = "%d jobs failed%s (%s): %s"
                self._logger.error(line, len(ids), where, _named(ids), reason)
        if self.stopped:
            self._logger.error("%s", self.stopped)

    def _jobs(self) -> list[tuple[str, int]]:
        """How many jobs ended in which way; a job of several streams in the worst.

        Jobs of events and of users can have the same ID.
        """
        worst: dict[tuple[str, str], str] = {}
        for counts in self._streams.values():
            for job_id, outcome in counts.outcomes.items():
                job = counts.kind, job_id
                worst[job] = min(worst.get(job, outcome), outcome, key=OUTCOMES.index)
        tally = Counter(worst.values())
        order = ("read", "already read", "deferred", "skipped", "failed")
        return [(outcome, tally[outcome]) for outcome in order]

    def _failures(self) -> dict[tuple[str, str], dict[str, list[str]]]:
        """For each kind and reason the jobs that failed by it, and in which streams."""
        reasons: dict[tuple[str, str], dict[str, list[str]]] = {}
        for name, counts in self._streams.items():
            for job_id, reason in counts.failures.items():
                jobs = reasons.setdefault((counts.kind, reason), {})
                jobs.setdefault(job_id, []).append(name)
        return reasons


def _named(job_ids: tuple[str, ...]) -> str:
    """A few of some jobs by name, and the number of the others."""
    names = ", ".join(itertools.islice(job_ids, JOBS_NAMED))
    more = len(job_ids) - JOBS_NAMED
    return f"{names} and {more} more" if more > 0 else names
