"""What a user reads while a run goes on, and after it."""

from __future__ import annotations

import io
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_fullstory_imports.reporting.progress import Progress, is_terminal, terminal
from tap_fullstory_imports.reporting.table import (
    LOG_WIDTH,
    OUTCOMES,
    JobTable,
    Row,
    in_markdown,
)
from tap_fullstory_imports.reporting.words import bounded, many, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping

LINE_SECONDS = 8.0
EQUAL_SECONDS = 60.0
MOST_WARNINGS = 100  # different ones
MOST_REASONS = 20
FIRST_IDS = 6  # one more than a line names
SHOWN_OUTCOMES = ("read", "already read", "deferred", "skipped", "not read", "failed")
HOW_TO_SEARCH = (
    "The run has failed. To find the reasons, also among the lines of a target and of"
    " Meltano, search the log for `| ERROR`."
)


@dataclass
class _Counts:
    """What a run did for one stream."""

    kind: str
    has_jobs: bool
    rows: int = 0
    filtered: int = 0
    is_refused: bool = False
    outcomes: set[str] = field(default_factory=set)


@dataclass
class _Failure:
    """The jobs that failed for the same reason."""

    jobs: int = 0
    jobs_of_no_other: int = 0
    job_ids: list[str] = field(default_factory=list)  # the first ones
    streams: dict[str, None] = field(default_factory=dict)


class _ShardLines(logging.LoggerAdapter[logging.Logger]):
    """Begins each line with the number of the shard."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the number before a line."""
        return f"Shard {(self.extra or {})['shard']}: {msg}", kwargs


class Report:
    """Counts what happens in a run, and logs what a user should know.

    Attributes:
        progress: How far the run is.
    """

    def __init__(
        self,
        logger: logging.Logger,
        settings: Any,
        now: Callable[[], float],
        *,
        is_test: bool = False,
    ) -> None:
        """Start with nothing to report.

        Args:
            logger: Where the lines go.
            settings: The settings.
            now: A clock that tells seconds.
            is_test: Whether to report what the key may read, and not the jobs.
        """
        self._logger: Any = logger
        if settings.shard:
            self._logger = _ShardLines(logger, {"shard": settings.shard})
        self._settings, self._now, self._is_test = settings, now, is_test
        self._streams: dict[str, _Counts] = {}
        # By stream; the status is asked also where its stream is not selected.
        self._requests, self._retries = Counter[str](), Counter[str]()
        self._warned: dict[tuple[str, str], tuple[float, set[str]]] = {}
        self._warnings = 0
        self._open: dict[tuple[str, str], Row] = {}  # jobs that have not ended
        self._table = JobTable()
        self._failures: dict[tuple[str, str], _Failure] = {}
        self._next_waiting_line = 0.0
        self._has_failed = False
        self.progress = Progress(self._logger, now)

    # While the run goes on

    def start(self, stream: str, kind: str, todo: int, already: int) -> None:
        """Note how many jobs a stream has, and how many earlier runs have read."""
        self._streams[stream] = _Counts(kind, bool(todo + already))
        if todo + already:
            line = "%s: Jobs to read: %d. Already read: %d."
            self._logger.info(line, stream, todo, already)

    def already_read(self, kind: str, job_id: str) -> None:
        """Note a job that earlier runs have read for all streams."""
        self._table.add(Row(kind, job_id))

    def request(self, stream: str) -> None:
        """Count a request."""
        self._requests[stream] += 1

    def retry(
        self, stream: str, job_id: str, text: str, attempt: int, wait: float
    ) -> None:
        """Warn that a request failed and will be made again in so many seconds."""
        self._retries[stream] += 1
        text += f"; attempt {attempt} of {self._settings.max_attempts}"
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

    def settled(self, most: int) -> set[str]:
        """The streams of which so many rows are written, or which the key can't read."""
        return {
            name
            for name, counts in self._streams.items()
            if counts.rows >= most or counts.is_refused
        }

    def page(self, stream: str, job_id: str, rows: int, total: int | None) -> None:
        """Note how many rows of a job have been written for a stream, of how many."""
        if stream.startswith("imported_"):
            self._row(self._streams[stream].kind, job_id).rows = rows
        self.progress.note(job_id, rows, total)

    def refused(self, stream: str) -> None:
        """Note that the key may not read a stream."""
        self._streams[stream].is_refused = True

    def ended(self, stream: str, job_id: str, outcome: str, reason: str = "") -> None:
        """Say how a job ended for a stream; failed jobs have lines at the end."""
        counts = self._streams[stream]
        counts.outcomes.add(outcome)
        row = self._row(counts.kind, job_id)
        row.outcome = min(row.outcome, outcome, key=OUTCOMES.index)
        if outcome == "failed":
            row.reasons.setdefault(reason, []).append(stream)
        elif outcome != "read":
            self.warn(stream, job_id, reason)

    def done(self, kind: str, job_id: str, status: Any = None) -> None:
        """Note that a job has ended for all streams.

        Args:
            kind: What the job imports.
            job_id: Its ID.
            status: Its status, if it was asked for.
        """
        row = self._row(kind, job_id)
        if status:
            row.status = status.word
            row.refused = status.failed if status.is_final else None
        self._close(row)
        self.progress.job_done(job_id)

    def _row(self, kind: str, job_id: str) -> Row:
        return self._open.setdefault((kind, job_id), Row(kind, job_id))

    def _close(self, row: Row) -> None:
        del self._open[row.kind, row.job_id]
        self._table.add(row)
        for reason, streams in row.reasons.items():
            key = row.kind, reason
            if key not in self._failures and len(self._failures) == MOST_REASONS:
                key = row.kind, ""  # the others
            failure = self._failures.setdefault(key, _Failure())
            failure.jobs += 1
            failure.jobs_of_no_other += len(row.reasons) == 1
            failure.streams.update(dict.fromkeys(streams))
            if len(failure.job_ids) < FIRST_IDS:
                failure.job_ids.append(row.job_id)

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
        self._warnings += 1
        if self._warnings > MOST_WARNINGS:
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

    def keep_up(self, pause: float, sleepers: Mapping[str, float]) -> None:
        """Show what is due.

        Args:
            pause: Seconds until the rate limit allows the next request.
            sleepers: When the jobs that wait to try again will do so.
        """
        self._show_repeated(self._now() - EQUAL_SECONDS)
        if pause > 1:
            text = f"Waiting for the rate limit: requests resume in {pause:.0f} s."
            self.waiting(text)
        elif sleepers and self.progress.is_idle:
            job_id, due = min(sleepers.items(), key=lambda item: item[1])
            seconds = max(0.0, due - self._now())
            self.waiting(
                f"Waiting: the next request, for job {job_id}, is due in"
                f" {seconds:.0f} s."
            )
        self.progress.show()

    # After it

    @property
    def exit_code(self) -> int:
        """0 when every job is read, already read, deferred or skipped; otherwise 1."""
        return int(self._has_failed)

    def end(
        self, reason: str, waited: float, left: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Show the table of jobs and the counts, then log why jobs failed.

        Args:
            reason: Why the run ended before its end; empty if it did not. It is the
                last line.
            waited: Seconds in which the run waited for imports.
            left: The kinds and IDs of the jobs that have not ended.
        """
        for kind, job_id in left:
            row = self._row(kind, job_id)
            row.outcome = "failed" if row.reasons else "not read"
            self._close(row)
        for key in [key for key in self._failures if key[1] == reason]:
            self._table.excuse(reason, self._failures.pop(key).jobs_of_no_other)
        self._has_failed = bool(reason or self._failures)
        self._show_repeated(self._now())
        if self._is_test:
            self._show_streams()
        else:
            if self._has_failed and not is_terminal():
                self._logger.info("%s", HOW_TO_SEARCH)
            self._show_jobs(self._summary(waited), reason)
        for (_, text), failure in self._failures.items():
            self._show_failure(text, failure)
        if reason:
            self._logger.error("%s", reason)

    def _summary(self, waited: float) -> str:
        jobs, refused = self._table.jobs, self._table.refused
        return (
            f"Summary: jobs {', '.join(f'{one} {jobs[one]}' for one in SHOWN_OUTCOMES)};"
            f" rows {self.progress.rows},"
            f" refused {'unknown' if refused is None else refused},"
            f" requests {self._requests.total()}, retries {self._retries.total()},"
            f" seconds waited {waited:.1f}."
        )

    def _show_jobs(self, summary: str, reason: str) -> None:
        key = self._settings.api_key
        if is_terminal():
            with suppress(OSError):  # the terminal has gone
                self._table.show(terminal(), key)
        else:
            from rich.console import Console  # noqa: PLC0415 - only where a run reports

            console = Console(file=io.StringIO(), width=LOG_WIDTH, color_system=None)
            self._table.show(console, key)
            for line in console.file.getvalue().splitlines():  # type: ignore[attr-defined]
                self._logger.info("%s", line.rstrip())
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
        if (unshown := self._warnings - MOST_WARNINGS) > 0:
            line = "The log leaves out %s."
            self._logger.warning(line, many(unshown, "more warning"))
        self._logger.info("%s", summary)
        if self._settings.summary_file:
            self._write_markdown(summary, reason)

    def _write_markdown(self, summary: str, reason: str) -> None:
        path, shard = self._settings.summary_file, self._settings.shard
        title = f"### Fullstory imports{f', shard {shard}' if shard else ''}"
        parts = (title, self._table.markdown(self._settings.api_key), summary, reason)
        text = "\n\n".join([*filter(None, (*parts[:3], in_markdown(reason)))])
        try:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(f"{text}\n\n")
        except (OSError, ValueError) as error:
            text = bounded(str(error))
            self._logger.warning("`summary_file` can't be written: %s.", text)

    def _show_streams(self) -> None:
        """Say which streams the key may read."""
        for name, counts in self._streams.items():
            if counts.is_refused:
                verdict = "The key may not read it."
            elif "failed" in counts.outcomes:
                verdict = "No job could be read."
            elif not counts.has_jobs:
                verdict = "Not tried, because the settings name no such job."
            elif not self._requests[name]:
                verdict = "Not tried, because no job has such rows."
            else:
                verdict = "The key may read it."
            self._logger.info("%s: %s", name, verdict)

    def _show_failure(self, text: str, failure: _Failure) -> None:
        where = ", ".join(failure.streams)
        where = f" in {where}" if len(self._streams) > 1 else ""
        text = text or "for other reasons, which the log leaves out."
        if failure.jobs == 1:
            self._logger.error("Job %s failed%s: %s", *failure.job_ids, where, text)
        else:
            jobs = named(failure.job_ids, failure.jobs)
            line = "%d jobs failed%s (%s): %s"
            self._logger.error(line, failure.jobs, where, jobs, text)
