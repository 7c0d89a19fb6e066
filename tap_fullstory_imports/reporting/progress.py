"""How far a run is: a line every ten seconds or, in a terminal, a bar."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from tap_fullstory_imports.reporting.words import many

LINE_SECONDS = 10.0


class Progress:
    """Counts what a run has done of its work, and shows it.

    Attributes:
        jobs: How many jobs the run reads.
        rows: How many rows it has written.
    """

    def __init__(self, logger: logging.Logger, now: Callable[[], float]) -> None:
        """Start with nothing to do; `now` tells seconds."""
        self._logger, self._now, self._started = logger, now, now()
        self.jobs = self.rows = self._done = 0
        # The share of each job that is being read, by its kind and its ID.
        self._open: dict[tuple[str, str], float] = {}
        self._next = now() + LINE_SECONDS
        self._has_bar = is_terminal() and os.environ.get("TERM") != "dumb"
        self._bar: Any = None  # of rich

    def note(self, job: tuple[str, str], rows: int, total: int | None) -> None:
        """Note how many rows of a job have been written, of how many."""
        share = min(1.0, rows / total) if total else 0.0
        self._open[job] = max(share, self._open.get(job, 0.0))

    def job_done(self, job: tuple[str, str]) -> None:
        """Note that a job has been read for all its streams."""
        self._open.pop(job, None)
        self._done += 1

    def show(self) -> None:
        """Show the progress if that is due."""
        share = (self._done + sum(self._open.values())) / max(1, self.jobs)
        if self._has_bar and self.jobs:
            try:
                self._draw(share)
            except OSError:  # the terminal has gone
                self._has_bar = False
                self.close()
        elif self._now() >= self._next and self.jobs:
            self._next = self._now() + LINE_SECONDS
            self._logger.info("Progress: %s.", self._text(share))

    def _draw(self, share: float) -> None:
        if self._bar is None:
            from rich import console, progress  # noqa: PLC0415 - only for a bar

            self._bar = progress.Progress(
                progress.BarColumn(bar_width=None),
                progress.TextColumn("{task.description}", markup=False),
                # Log lines are not wrapped.
                console=console.Console(
                    file=sys.stderr, force_terminal=True, soft_wrap=True
                ),
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                expand=True,
            )
            self._bar.add_task(self._text(share), total=1.0)
            _redirecting_the_log(self._bar.start)
        self._bar.update(0, completed=share, description=self._text(share))
        self._bar.refresh()

    def close(self) -> None:
        """Erase the bar for good."""
        bar, self._bar = self._bar, None
        if bar is not None:
            with suppress(OSError):
                _redirecting_the_log(bar.stop)

    def _text(self, share: float) -> str:
        """The jobs, the rows, their rate, and an estimate of the time left."""
        seconds = max(0.001, self._now() - self._started)
        text = (
            f"{self._done:,} of {many(self.jobs, 'job')}, {many(self.rows, 'row')},"
            f" {self.rows / seconds:,.0f} a second"
        )
        left = seconds * (1 - share) / share if share else 0
        return (
            f"{text}, about {timedelta(seconds=int(left))} left" if left >= 1 else text
        )


def is_terminal() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def _redirecting_the_log(change: Callable[[], None]) -> None:
    """Start or stop the bar: log lines go through it meanwhile."""
    before = sys.stderr
    try:
        change()
    finally:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                handler.setStream(sys.stderr)
