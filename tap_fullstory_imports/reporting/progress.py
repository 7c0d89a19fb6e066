"""How far a run is: a line every ten seconds or, in a terminal, a bar."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import click

from tap_fullstory_imports.reporting.words import many

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_SECONDS = 10.0
BAR_SECONDS = 0.5
BAR_STEPS = 1_000
ERASE = "\r\x1b[2K\x1b[?25h"  # the line, and show the cursor again
_MINUTE = 60


class Progress:
    """Counts what a run has done of its work, and shows it.

    Attributes:
        jobs: How many jobs the run reads.
        rows: How many rows it has written.
    """

    def __init__(self, logger: logging.Logger, now: Callable[[], float]) -> None:
        """Start with nothing to do; `now` tells seconds."""
        self._logger, self._now, self._started = logger, now, now()
        self.jobs = self.rows = 0
        self._done = 0
        self._open: dict[str, float] = {}  # the share of each job that is being read
        self._bar = _bar() if _is_terminal() else None
        self._next = now() + (BAR_SECONDS if self._bar else LINE_SECONDS)

    def note(self, job_id: str, rows: int, total: int | None) -> None:
        """Note how many rows of a job have been written, of how many."""
        self._open[job_id] = min(1.0, rows / total) if total else 0.0

    def job_done(self, job_id: str) -> None:
        """Note that a job has been read for all its streams."""
        self._open.pop(job_id, None)
        self._done += 1

    def show(self) -> None:
        """Show the progress if that is due."""
        if self._now() < self._next or not self.jobs:
            return
        if self._bar is None:
            self._next = self._now() + LINE_SECONDS
            self._logger.info("Progress: %s.", self._text())
        else:
            self._next = self._now() + BAR_SECONDS
            self._bar.pos = round(self._share * BAR_STEPS)
            self._bar.current_item = self._text()
            self._bar.render_progress()

    def close(self) -> None:
        """Erase the bar for good."""
        if self._bar is not None:
            _erase(None)
            for handler in logging.getLogger().handlers:
                handler.removeFilter(_erase)

    @property
    def _share(self) -> float:
        return (self._done + sum(self._open.values())) / max(1, self.jobs)

    def _text(self) -> str:
        """The jobs, the rows, their rate, and an estimate of the time left."""
        seconds, share = max(0.001, self._now() - self._started), self._share
        text = (
            f"{self._done:,} of {many(self.jobs, 'job')} done,"
            f" {many(self.rows, 'row')}, {self.rows / seconds:,.0f} rows a second"
        )
        if 0 < share < 1:
            text += f", about {_duration(seconds * (1 - share) / share)} left"
        return text


def _bar() -> Any:
    """A bar below the log lines of a terminal, each of which erases it first."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_erase)
    return click.progressbar(
        length=BAR_STEPS,
        show_eta=False,
        show_percent=False,
        item_show_func=lambda text: text,
        bar_template="[%(bar)s] %(info)s",
        width=20,
        file=sys.stderr,
    )


def _erase(_record: logging.LogRecord | None) -> bool:
    click.echo(ERASE, file=sys.stderr, nl=False)
    return True


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _duration(seconds: float) -> str:
    """A time in words, not more exact than an estimate is."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / _MINUTE), _MINUTE)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"
