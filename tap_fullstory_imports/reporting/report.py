"""What happens in a run, and what of it a user should know."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tap_fullstory_imports.reporting.progress import Progress, is_terminal
from tap_fullstory_imports.reporting.table import OUTCOMES, JobTable, Row, escaped
from tap_fullstory_imports.reporting.words import bounded, many

LOG_WIDTH = 110
EQUAL_SECONDS = 60.0
MOST_WARNINGS = 20  # different ones in a minute
HOW_TO_SEARCH = (
    "The run has failed. Search the log for `Summary:`. The tap's lines after it give"
    " the reasons."
)


@dataclass
class _Stream:
    """What a run did for one stream."""

    kind: str
    rows: int = 0
    requests: int = 0
    is_refused: bool = False
    has_failed: bool = False

    @property
    def verdict(self) -> str:
        """What a test of the key has found out."""
        if self.is_refused:
            return "The key may not read it."
        if self.has_failed:
            return "No job could be read."
        if not self.requests:
            return "Not tried, because no job in the settings has such rows."
        return "The key may read it."


class Report:
    """Counts what happens in a run, and logs what a user should know."""

    def __init__(
        self, logger: logging.Logger, settings: Any, now: Callable[[], float]
    ) -> None:
        """Start with nothing to report; `now` tells seconds."""
        self._logger, self._settings, self._now = logger, settings, now
        self._streams: dict[str, _Stream] = {}
        self._counts = Counter[str]()
        self._warned, self._warned_at = set[tuple[str, str]](), now()
        self._left_out = 0  # warnings
        self._open: dict[tuple[str, str], Row] = {}  # jobs that have not ended
        self._table = JobTable(settings.api_key)
        self.progress = Progress(logger, now)

    # While the run goes on

    def start(self, stream: str, kind: str, todo: int, already: int) -> None:
        """Note how many jobs a stream has, and how many earlier runs have read."""
        self._streams[stream] = _Stream(kind)
        if todo + already:
            line = "%s: Jobs to read: %d. Already read: %d."
            self._logger.info(line, stream, todo, already)

    def already_read(self, jobs: int) -> None:
        """Note how many jobs earlier runs have read for all streams."""
        self._table.jobs["already read"] = jobs

    def request(self, stream: str) -> None:
        """Count a request; the status is asked also where its stream is not read."""
        self._counts["requests"] += 1
        if stream in self._streams:
            self._streams[stream].requests += 1

    def retry(self, stream: str, job_id: str, text: str, later: str) -> None:
        """Warn that a request failed, and when it will be made again."""
        self._counts["retries"] += 1
        self.warn(stream, job_id, text, f"{later}.")

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
        """Note that Fullstory has refused the key for a stream."""
        self._streams[stream].is_refused = True

    def settled(self, most: int) -> set[str]:
        """The streams with so many rows, and those that the key may not read."""
        streams = self._streams.items()
        return {name for name, one in streams if one.rows >= most or one.is_refused}

    def ended(self, stream: str, job_id: str, outcome: str, reason: str = "") -> None:
        """Note how a job ended for a stream; failed jobs have lines at the end."""
        row = self._row(self._streams[stream].kind, job_id)
        if outcome == "failed":
            self._streams[stream].has_failed = True
            row.reasons.setdefault(reason, []).append(stream)
        elif outcome not in {"read", row.outcome}:  # once for all streams of the job
            self.warn(stream, job_id, reason)
        row.outcome = min(row.outcome, outcome, key=[*OUTCOMES].index)

    def done(self, kind: str, job_id: str, status: Any) -> None:
        """Note that a job has ended for all streams, and its status, if it is known."""
        row = self._row(kind, job_id)
        if status:
            row.status = status.word
            row.refused = status.failed if status.is_final else None
        self._table.add(self._open.pop((kind, job_id)))
        self.progress.job_done((kind, job_id))

    def _row(self, kind: str, job_id: str) -> Row:
        return self._open.setdefault((kind, job_id), Row(kind, job_id))

    # Warnings

    def warn(self, stream: str, job_id: str, text: str, later: str = "") -> None:
        """Log a warning about a job; equal ones within a minute are only counted."""
        self._renew_warnings()
        self._counts["warnings"] += 1
        if (stream, text) in self._warned or len(self._warned) >= MOST_WARNINGS:
            self._left_out += 1
            return
        self._warned.add((stream, text))
        self._logger.warning("%s: Job %s: %s%s", stream, job_id, text, later)

    def _renew_warnings(self, *, is_last: bool = False) -> None:
        """Say once a minute how many warnings have no line of their own."""
        if self._now() - self._warned_at < EQUAL_SECONDS and not is_last:
            return
        if self._left_out:
            more = many(self._left_out, "more warning")
            self._logger.warning("%s, equal to these or too many to show.", more)
        self._warned.clear()
        self._left_out, self._warned_at = 0, self._now()

    def keep_up(self) -> None:
        """Show what is due."""
        self._renew_warnings()
        self.progress.show()

    # At the end

    def end(
        self, reason: str, waited: float, left: Iterable[tuple[str, str]], *, test: bool
    ) -> int:
        """Show the jobs, or with `test` the streams; then say why jobs failed.

        The last line is the reason why the run ended before its end, if it did. `left`
        has the kinds and IDs of the jobs that have not ended. Returns 0 when every job
        is read, already read, deferred or skipped; otherwise 1.
        """
        for kind, job_id in left:
            row = self._row(kind, job_id)
            row.outcome = "failed" if row.reasons else "not read"
            self._table.add(row)
        self._table.excuse(reason)
        self._renew_warnings(is_last=True)
        has_failed = bool(reason or self._table.failed)
        if test:
            for name, stream in self._streams.items():
                self._logger.info("%s: %s", name, stream.verdict)
        else:
            if has_failed and not is_terminal():
                self._logger.info("%s", HOW_TO_SEARCH)
            self._show_jobs(reason, waited)
        for line in self._table.reasons(with_streams=len(self._streams) > 1):
            self._logger.error("%s", line)
        if reason:
            self._logger.error("%s", reason)
        return int(has_failed)

    def _show_jobs(self, reason: str, waited: float) -> None:
        """Show the table of jobs and the counts; write both into `summary_file`."""
        counts = self._counts
        jobs = [f"{one} {self._table.jobs[one]}" for one in reversed(OUTCOMES)]
        refused = "unknown" if self._table.has_unknown else self._table.refused
        summary = (
            f"Summary: jobs {', '.join(jobs)}; rows {self.progress.rows},"
            f" filtered {counts['filtered']}, refused {refused},"
            f" requests {counts['requests']}, retries {counts['retries']},"
            f" warnings {counts['warnings']}, seconds waited {waited:.1f}."
        )
        if is_terminal():
            with suppress(OSError):  # the terminal has gone
                sys.stderr.write(self._table.drawn("SIMPLE_HEAD", force_terminal=True))
        else:
            plain = self._table.drawn(None, width=LOG_WIDTH, color_system=None)
            for line in filter(None, plain.splitlines()):
                self._logger.info("%s", line.rstrip())
        self._logger.info("%s", summary)
        if self._settings.summary_file:
            shard = self._settings.shard and f", shard {self._settings.shard}"
            table = self._table.drawn("MARKDOWN", width=10_000, color_system=None)
            self._write(
                f"### Fullstory imports{shard}", table, summary, escaped(reason)
            )

    def _write(self, *parts: str) -> None:
        """Append paragraphs to `summary_file`."""
        try:
            with Path(self._settings.summary_file).open("a", encoding="utf-8") as file:
                file.writelines(f"{part.strip()}\n\n" for part in parts if part)
        except (OSError, ValueError) as error:
            text = bounded(str(error))
            self._logger.warning("`summary_file` can't be written: %s.", text)
