"""How far a run is: a line every ten seconds or, in a terminal, a bar."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from tap_fullstory_imports.fullstory import clock
from tap_fullstory_imports.fullstory.errors import many

if TYPE_CHECKING:
    from tap_fullstory_imports.fullstory import Job

LINE_SECONDS = 10.0
BAR_SECONDS = 0.1
BAR_STEPS = 1_000
ERASE = "\r\x1b[2K\x1b[?25h"  # the line, and show the cursor again
_MINUTE = 60


class Progress:
    """Counts what a run has done of its work."""

    def __init__(self) -> None:
        """Start with nothing to do."""
        self._started = clock.now()
        # A job is read once for each of its streams.
        self._readings = self._ended = 0
        self._left: Counter[tuple[str, str]] = Counter()  # readings of each job
        self._shares: dict[Job, float] = {}  # of the readings under way

    def add(self, kind: str, job_ids: list[str]) -> None:
        """Add the jobs of a stream."""
        self._readings += len(job_ids)
        self._left.update((kind, job_id) for job_id in job_ids)

    def note(self, job: Job, rows: int) -> None:
        """Note how many rows of a job have been written."""
        self._shares[job] = min(1.0, rows / job.total) if job.total else 0.0

    def end(self, job: Job) -> None:
        """Note that the reading of a job has ended."""
        self._shares.pop(job, None)
        self._ended += 1
        self._left[job.endpoint.kind, job.job_id] -= 1

    @property
    def jobs(self) -> int:
        """How many jobs the run reads."""
        return len(self._left)

    @property
    def share(self) -> float:
        """How much has been done, from 0 to 1."""
        return (self._ended + sum(self._shares.values())) / max(1, self._readings)

    def text(self, rows: int) -> str:
        """Return the jobs, the rows, their rate, and an estimate of the time left."""
        seconds = max(0.001, clock.now() - self._started)
        done = sum(left <= 0 for left in self._left.values())
        text = (
            f"{done:,} of {many(self.jobs, 'job')} done, {many(rows, 'row')},"
            f" {rows / seconds:,.0f} rows a second"
        )
        share = self.share
        if 0 < share < 1:
            text += f", about {_duration(seconds * (1 - share) / share)} left"
        return text


class ProgressLines:
    """Logs the progress every ten seconds."""

    def __init__(self, logger: logging.Logger) -> None:
        """Let the first ten seconds pass."""
        self._logger = logger
        self._next = clock.now() + LINE_SECONDS

    def show(self, progress: Progress, rows: int) -> None:
        """Log the progress if a line is due."""
        now = clock.now()
        if now >= self._next:
            self._next = now + LINE_SECONDS
            self._logger.info("Progress: %s.", progress.text(rows))

    def close(self) -> None:
        """Log nothing more: the summary follows."""


class ProgressBar:
    """Draws the progress below the log lines of a terminal."""

    def __init__(self) -> None:
        """Draw nothing yet, but make each log line erase the bar first."""
        self._next = 0.0
        self._bar: Any = click.progressbar(
            length=BAR_STEPS,
            show_eta=False,
            show_percent=False,
            item_show_func=lambda text: text,
            bar_template="[%(bar)s] %(info)s",
            width=20,
            file=sys.stderr,
        )
        self._handlers = list(logging.getLogger().handlers)
        for handler in self._handlers:
            handler.addFilter(self._erase)

    def show(self, progress: Progress, rows: int) -> None:
        """Draw the bar, a few times a second."""
        now = clock.now()
        if now >= self._next:
            self._next = now + BAR_SECONDS
            self._bar.pos = round(progress.share * BAR_STEPS)
            self._bar.current_item = progress.text(rows)
            self._bar.render_progress()

    def close(self) -> None:
        """Erase the bar for good."""
        click.echo(ERASE, file=sys.stderr, nl=False)
        for handler in self._handlers:
            handler.removeFilter(self._erase)

    def _erase(self, _record: logging.LogRecord) -> bool:
        click.echo(ERASE, file=sys.stderr, nl=False)
        return True


def progress_display(logger: logging.Logger) -> ProgressLines | ProgressBar:
    """Return a bar if stderr is a terminal; otherwise, as under Meltano, lines."""
    return ProgressBar() if _is_terminal() else ProgressLines(logger)


def restore_terminal() -> None:
    """Erase the bar and show the cursor before the process ends by force."""
    if _is_terminal():
        os.write(sys.stderr.fileno(), ERASE.encode())


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _duration(seconds: float) -> str:
    """Return a time in words, not more exact than an estimate is."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / _MINUTE), _MINUTE)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"
