"""What a user reads during a run and at its end."""

from __future__ import annotations

import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tap_fullstory_imports.reporting.progress import Progress, is_terminal
from tap_fullstory_imports.reporting.table import OUTCOMES, JobTable, Row, in_markdown
from tap_fullstory_imports.reporting.words import JOBS_NAMED, bounded, many, named

LINE_SECONDS = 8.0
EQUAL_SECONDS = 60.0
MOST_WARNINGS = 20  # different ones in a minute
MOST_REASONS = 20
OTHER_REASONS = "The reasons are left out, because there are too many."
SHOWN_OUTCOMES = ("read", "already read", "deferred", "skipped", "not read", "failed")
HOW_TO_SEARCH = (
    "The run has failed. Lines of a target and of Meltano can follow. Search the log"
    " for `Summary:`. The tap's next lines give the reasons."
)


@dataclass
class _Stream:
    """What a run did for one stream."""

    kind: str
    has_jobs: bool
    rows: int = 0
    requests: int = 0
    is_refused: bool = False
    outcomes: set[str] = field(default_factory=set)


class Report:
    """Counts what happens in a run, and logs what a user should know.

    Attributes:
        progress: How far the run is.
    """

    def __init__(
        self, logger: logging.Logger, settings: Any, now: Callable[[], float]
    ) -> None:
        """Start with nothing to report; `now` tells seconds."""
        self._logger, self._settings, self._now = logger, settings, now
        self._streams: dict[str, _Stream] = {}
        self._counts = Counter[str]()
        self._has_unknown = False  # whether nobody asked what Fullstory has refused
        self._warned, self._warned_at = Counter[tuple[str, str]](), now()
        self._open: dict[tuple[str, str], Row] = {}  # jobs that have not ended
        self._table = JobTable(settings.api_key)
        # By kind and reason: the number of jobs, and the first ones.
        self._failed = Counter[tuple[str, str]]()
        self._examples = defaultdict[tuple[str, str], list[Row]](list)
        self._next_waiting_line = 0.0
        self.progress = Progress(logger, now)

    # While the run goes on

    def start(self, stream: str, kind: str, todo: int, already: int) -> None:
        """Note how many jobs a stream has, and how many earlier runs have read."""
        self._streams[stream] = _Stream(kind, bool(todo + already))
        if todo + already:
            line = "%s: Jobs to read: %d. Already read: %d."
            self._logger.info(line, stream, todo, already)

    def already_read(self, kind: str, job_id: str) -> None:
        """Note a job that earlier runs have read for all streams."""
        self._table.add(Row(kind, job_id))

    def request(self, stream: str) -> None:
        """Count a request; the status is asked also where its stream is not read."""
        self._counts["requests"] += 1
        if stream in self._streams:
            self._streams[stream].requests += 1

    def retry(
        self, stream: str, job_id: str, text: str, attempt: int, wait: float
    ) -> None:
        """Warn that a request failed and will be made again in so many seconds."""
        self._counts["retries"] += 1
        text += f"; attempt {attempt} of {self._settings.max_attempts}"
        self.warn(stream, job_id, text, f", the next one in {wait:.1f} s")

    def paused(self, stream: str, job_id: str, text: str, wait: float) -> None:
        """Warn that all requests pause for so many seconds."""
        self._counts["retries"] += 1
        self.warn(stream, job_id, text, f"; requests resume in {wait:.1f} s")

    def written(self, stream: str, rows: int, filtered: int) -> None:
        """Count rows that have been written, and those that a filter left out."""
        self._streams[stream].rows += rows
        self._counts["filtered"] += filtered
        self.progress.rows += rows

    def page(self, stream: str, job_id: str, rows: int, total: int | None) -> None:
        """Note how many rows of a job have been read for a stream, of how many."""
        kind = self._streams[stream].kind
        if stream.startswith("imported_"):
            self._row(kind, job_id).rows = rows
        self.progress.note((kind, job_id), rows, total)

    def refused(self, stream: str) -> None:
        """Note that the key may not read a stream."""
        self._streams[stream].is_refused = True

    def settled(self, most: int) -> set[str]:
        """The streams with so many rows, and those that the key may not read."""
        streams = self._streams.items()
        return {name for name, one in streams if one.rows >= most or one.is_refused}

    def ended(self, stream: str, job_id: str, outcome: str, reason: str = "") -> None:
        """Note how a job ended for a stream; failed jobs have lines at the end."""
        self._streams[stream].outcomes.add(outcome)
        row = self._row(self._streams[stream].kind, job_id)
        row.outcome = min(row.outcome, outcome, key=OUTCOMES.index)
        if outcome == "failed":
            row.reasons.setdefault(reason, []).append(stream)
        elif outcome != "read":
            self.warn(stream, job_id, reason)

    def done(self, kind: str, job_id: str, status: Any) -> None:
        """Note that a job has ended for all streams, and its status, if it is known."""
        row = self._row(kind, job_id)
        if status:
            row.status = status.word
            row.refused = status.failed if status.is_final else None
        self._close(row)
        self.progress.job_done((kind, job_id))

    def _row(self, kind: str, job_id: str) -> Row:
        return self._open.setdefault((kind, job_id), Row(kind, job_id))

    def _close(self, row: Row) -> None:
        del self._open[row.kind, row.job_id]
        self._table.add(row)
        self._counts["refused"] += row.refused or 0
        self._has_unknown |= row.outcome == "read" and row.refused is None
        for reason in row.reasons:
            is_many = len(self._failed) >= MOST_REASONS
            is_other = is_many and (row.kind, reason) not in self._failed
            key = row.kind, OTHER_REASONS if is_other else reason
            self._failed[key] += 1
            if len(self._examples[key]) < JOBS_NAMED:
                self._examples[key].append(row)

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
        self._show_repeated()
        self._counts["warnings"] += 1
        if len(self._warned) >= MOST_WARNINGS and (stream, text) not in self._warned:
            stream, text = "", "other warnings"
        self._warned[stream, text] += 1
        if self._warned[stream, text] == 1 and stream:
            end = "" if (text + wait).endswith((".", "?")) else "."
            self._logger.warning("%s: Job %s: %s%s%s", stream, job_id, text, wait, end)

    def _show_repeated(self, *, is_last: bool = False) -> None:
        """Log once a minute how often the warnings were repeated."""
        if self._now() - self._warned_at < EQUAL_SECONDS and not is_last:
            return
        for (stream, text), times in self._warned.items():
            if not stream:
                self._logger.warning("%s left out.", many(times, "more warning"))
            elif times > 1:
                more = many(times - 1, "more time")
                self._logger.warning("%s: The same %s: %s", stream, more, text)
        self._warned.clear()
        self._warned_at = self._now()

    def waiting(self, text: str) -> None:
        """Say what the run waits for, at once and then every few seconds."""
        if self._now() >= self._next_waiting_line:
            self._next_waiting_line = self._now() + LINE_SECONDS
            self._logger.info("%s", text)

    def keep_up(self, pause: float) -> None:
        """Show what is due; the rate limit allows the next request after a pause."""
        self._show_repeated()
        if pause > 1:
            text = f"Waiting for the rate limit: requests resume in {pause:.0f} s."
            self.waiting(text)
        self.progress.show()

    # After it

    def end(
        self, reason: str, waited: float, left: Iterable[tuple[str, str]], *, test: bool
    ) -> int:
        """Show the jobs, or with `test` the streams; then say why jobs failed.

        Args:
            reason: Why the run ended before its end, which is the last line; or empty.
            waited: Seconds in which the run waited for imports.
            left: The kinds and IDs of the jobs that have not ended.
            test: Whether the run has only tried what the key may read.

        Returns:
            0 when every job is read, already read, deferred or skipped; otherwise 1.
        """
        for kind, job_id in left:
            row = self._row(kind, job_id)
            row.outcome = "failed" if row.reasons else "not read"
            self._close(row)
        for key in [key for key in self._failed if key[1] == reason]:
            self._table.excuse(reason, self._failed.pop(key))
        self._show_repeated(is_last=True)
        has_failed = bool(reason or self._failed)
        if test:
            self._show_streams()
        else:
            if has_failed and not is_terminal():
                self._logger.info("%s", HOW_TO_SEARCH)
            self._show_jobs(waited, reason)
        for key, jobs in self._failed.items():
            names = dict.fromkeys(
                name
                for row in self._examples[key]
                for name in row.reasons.get(key[1], ())
            )
            where = (
                f" in {', '.join(names)}" if names and len(self._streams) > 1 else ""
            )
            job_ids = named([row.job_id for row in self._examples[key]], jobs)
            if jobs == 1:
                self._logger.error("Job %s failed%s: %s", job_ids, where, key[1])
            else:
                line = "%d jobs failed%s (%s): %s"
                self._logger.error(line, jobs, where, job_ids, key[1])
        if reason:
            self._logger.error("%s", reason)
        return int(has_failed)

    def _show_jobs(self, waited: float, reason: str) -> None:
        counts = self._counts
        jobs = [f"{one} {self._table.jobs[one]}" for one in SHOWN_OUTCOMES]
        refused = "unknown" if self._has_unknown else counts["refused"]
        summary = (
            f"Summary: jobs {', '.join(jobs)}; rows {self.progress.rows},"
            f" filtered {counts['filtered']}, refused {refused},"
            f" requests {counts['requests']}, retries {counts['retries']},"
            f" warnings {counts['warnings']}, seconds waited {waited:.1f}."
        )
        if is_terminal():
            with suppress(OSError):  # the terminal has gone
                self._table.show(sys.stderr)
        else:
            for line in self._table.lines():
                self._logger.info("%s", line)
        self._logger.info("%s", summary)
        if not self._settings.summary_file:
            return
        shard = self._settings.shard and f", shard {self._settings.shard}"
        title, last = f"### Fullstory imports{shard}", in_markdown(reason)
        text = f"{title}\n\n{self._table.markdown()}\n\n{summary}\n\n{last}"
        try:
            with Path(self._settings.summary_file).open("a", encoding="utf-8") as file:
                file.write(f"{text.rstrip()}\n\n")
        except (OSError, ValueError) as error:
            text = bounded(str(error))
            self._logger.warning("`summary_file` can't be written: %s.", text)

    def _show_streams(self) -> None:
        for name, stream in self._streams.items():
            if stream.is_refused:
                verdict = "The key may not read it."
            elif "failed" in stream.outcomes:
                verdict = "No job could be read."
            elif not stream.has_jobs:
                verdict = "Not tried, because the settings name no such job."
            elif not stream.requests:
                verdict = "Not tried, because no job has such rows."
            else:
                verdict = "The key may read it."
            self._logger.info("%s: %s", name, verdict)
