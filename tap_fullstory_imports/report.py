"""What a user reads while a run goes on: progress, waits, warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_fullstory_imports.fullstory import Trouble, Waiting, clock
from tap_fullstory_imports.fullstory.errors import many
from tap_fullstory_imports.progress import (
    Progress,
    ProgressBar,
    progress_display,
)
from tap_fullstory_imports.summary import Summary, named

if TYPE_CHECKING:
    import logging

    from tap_fullstory_imports.fullstory import Job, JobEnded, Policy

LINE_SECONDS = 8.0
MOST_JOB_LINES = 20  # a run with more jobs logs its overall progress instead
EQUAL_SECONDS = 60.0


@dataclass
class _Repeated:
    """A warning that was logged, and the jobs that it has concerned since."""

    since: float
    jobs: set[str] = field(default_factory=set)


class Warnings:
    """Logs warnings; equal ones within a minute become one line with a count."""

    def __init__(self, logger: logging.Logger) -> None:
        """Start without any warning."""
        self._logger = logger
        self._repeated: dict[tuple[str, str], _Repeated] = {}

    def warn(self, stream: str, job_id: str, text: str, wait: str = "") -> None:
        """Log a warning about a job, or count it.

        Args:
            stream: The stream.
            job_id: The job.
            text: What happened. Warnings with the same text are equal.
            wait: What the tap does next.
        """
        now = clock.now()
        self.show_repeated(now)
        if repeated := self._repeated.get((stream, text)):
            repeated.jobs.add(job_id)
            return
        self._repeated[stream, text] = _Repeated(now)
        end = "" if (text + wait).endswith((".", "?")) else "."
        self._logger.warning("%s: Job %s: %s%s%s", stream, job_id, text, wait, end)

    def show_repeated(self, now: float | None = None) -> None:
        """Log the counts of the last minute; without `now`, all counts."""
        for (stream, text), repeated in list(self._repeated.items()):
            if now is not None and now - repeated.since < EQUAL_SECONDS:
                continue
            del self._repeated[stream, text]
            if repeated.jobs:
                jobs = many(len(repeated.jobs), "more job")
                self._logger.warning("%s: The same for %s: %s", stream, jobs, text)


class Report:
    """Logs what happens in a run.

    Attributes:
        summary: Counts it.
    """

    def __init__(self, logger: logging.Logger, policy: Policy) -> None:
        """Start without anything to report."""
        self.summary = Summary()
        self._logger, self._policy = logger, policy
        self._warnings = Warnings(logger)
        self._progress, self._display = Progress(), progress_display(logger)
        self._next_line: dict[Job, float] = {}
        self._next_waiting_line = 0.0

    def start(
        self, stream: str, kind: str, todo: list[str], already_read: list[str]
    ) -> None:
        """Say how many jobs of a stream are read now, if there are any."""
        self.summary.start(stream, kind, todo, already_read)
        self._progress.add(kind, todo)
        if todo or already_read:
            self._logger.info(
                "%s: Jobs to read: %d. Already read: %d.",
                stream,
                len(todo),
                len(already_read),
            )

    def show(self, event: Trouble | Waiting) -> None:
        """Log what keeps the run from going on."""
        if isinstance(event, Waiting):
            self._show_waiting(event)
            return
        name, text, wait = event.job.endpoint.name, event.text, ""
        if event.attempt:
            text += f"; attempt {event.attempt} of {self._policy.max_attempts}"
            wait = f", the next one in {event.wait:.1f} s"
        elif event.wait:
            wait = f"; requests resume in {event.wait:.1f} s"
        if wait:
            self.summary.count_retry(name)
        self._warnings.warn(name, event.job.job_id, text, wait)

    def show_progress(self, job: Job, rows: int) -> None:
        """Show how far a job, or a run of many jobs, is."""
        self._progress.note(job, rows)
        if self._has_job_lines and not isinstance(self._display, ProgressBar):
            self._show_job(job, rows)
        else:
            self._display.show(self._progress, self.summary.rows)

    @property
    def _has_job_lines(self) -> bool:
        return self._progress.jobs <= MOST_JOB_LINES

    def _show_job(self, job: Job, rows: int) -> None:
        """Say every few seconds how far a job is."""
        now = clock.now()
        due = self._next_line.setdefault(job, (job.started or now) + LINE_SECONDS)
        if now < due:
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
            "%s: Job %s: %s could not be read and became null, for example '%s'.",
            job.endpoint.name,
            job.job_id,
            many(seen, "timestamp"),
            example,
        )

    def end(self, ended: JobEnded) -> None:
        """Say how a job ended; the failed jobs have their lines at the end."""
        self.summary.count_job(ended)
        self._progress.end(ended.job)
        job, name = ended.job, ended.job.endpoint.name
        self._next_line.pop(job, None)
        if ended.outcome == "deferred":
            self._warnings.warn(name, job.job_id, ended.reason)
        elif ended.outcome == "read" and self._has_job_lines:
            self._logger.info(
                "%s: Job %s: %s in %s, %.1f s.",
                name,
                job.job_id,
                many(job.rows, "row"),
                many(job.pages, "page"),
                clock.now() - (job.started or 0),
            )
        if not self._has_job_lines:
            self._display.show(self._progress, self.summary.rows)

    def write_summary(self) -> None:
        """Log the summary and the failures: users act on the last lines."""
        self._display.close()
        self._warnings.show_repeated()
        self.summary.write(self._logger)

    def _show_waiting(self, waiting: Waiting) -> None:
        """Say what the run waits for, at once and then every few seconds."""
        now = clock.now()
        self._warnings.show_repeated(now)
        for job in waiting.asked:
            self.show_progress(job, job.rows)
        if now < self._next_waiting_line:
            return
        if waiting.unfinished:
            self._logger.info(
                "Waiting for jobs that are still processing (%d: %s): %.0f s of at"
                " most %g s.",
                len(waiting.unfinished),
                named(waiting.unfinished),
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
