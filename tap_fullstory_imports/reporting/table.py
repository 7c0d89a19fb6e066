"""The table of jobs that ends a run: in a terminal, in a log, in Markdown."""

from __future__ import annotations

import bisect
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_fullstory_imports.reporting.redaction import without_key
from tap_fullstory_imports.reporting.words import bounded

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MOST_ROWS = 20
LOG_WIDTH = 110
# Worst first: an outcome, the verdict in the table, and what is said of all the others.
VERDICTS = {
    "failed": ("failed", "that failed"),
    "not read": ("not read", "that were not read"),
    "deferred": ("still processing", "that are still processing"),
    "skipped": ("unknown to Fullstory", "that Fullstory does not know"),
    "read": ("read", "that were read"),
    "already read": ("already read", "that were already read"),
}
OUTCOMES = tuple(VERDICTS)
_COLOURS = dict(
    zip(OUTCOMES, ("red", "red", "yellow", "yellow", "green"), strict=False)
)
_COLUMNS = "kind", "job", "status", "rows read", "refused", "verdict"


@dataclass(slots=True)
class Row:
    """One job. A job that is read at several endpoints has the worst outcome."""

    kind: str
    job_id: str
    outcome: str = OUTCOMES[-1]
    status: str = ""
    rows: int = 0
    refused: int | None = None  # by Fullstory; None if nobody has asked
    reasons: dict[str, list[str]] = field(default_factory=dict)  # the streams by reason

    @property
    def badness(self) -> tuple[int, bool]:
        """Lower for a worse one."""
        return OUTCOMES.index(self.outcome), not self.refused

    def cells(self, job_length: int, key: str) -> list[str]:
        """The texts of the columns, without the API key."""
        verdict = VERDICTS[self.outcome][0]
        if self.outcome == "failed":
            verdict = f"failed: {next(iter(self.reasons), '')}"
        refused = "-" if self.refused is None else f"{self.refused:,}"
        job_id, status, verdict = (
            bounded(without_key(text, key), length)
            for text, length in (
                (self.job_id, job_length),
                (self.status or "-", 20),
                (verdict, 200),
            )
        )
        return [self.kind, job_id, status, f"{self.rows:,}", refused, verdict]


class JobTable:
    """Counts all jobs, and keeps the worst ones.

    Attributes:
        jobs: The number of jobs by outcome.
        refused: How many rows Fullstory has refused; None if nobody has asked about a
            job that was read.
    """

    def __init__(self) -> None:
        """Start without jobs."""
        self.jobs = Counter[str]()
        self.refused: int | None = 0
        self._worst: list[Row] = []

    def add(self, row: Row) -> None:
        """Take a job that has come to its end."""
        self.jobs[row.outcome] += 1
        if row.refused is not None and self.refused is not None:
            self.refused += row.refused
        elif row.outcome == "read":
            self.refused = None
        is_full = len(self._worst) == MOST_ROWS
        if not is_full or row.badness < self._worst[-1].badness:
            bisect.insort(self._worst, row, key=lambda one: one.badness)
            del self._worst[MOST_ROWS:]

    def excuse(self, reason: str, jobs: int) -> None:
        """Count jobs that failed for the reason that ended the run as not read."""
        self.jobs["failed"] -= jobs
        self.jobs["not read"] += jobs
        for row in self._worst:
            if [*row.reasons] == [reason]:
                row.outcome = "not read"
        self._worst.sort(key=lambda one: one.badness)

    def others(self) -> str:
        """What became of the jobs that have no row; empty if all have one."""
        left = self.jobs - Counter(row.outcome for row in self._worst)
        said = [
            f"{left[one]:,} more {VERDICTS[one][1]}" for one in OUTCOMES if left[one]
        ]
        return f"and {', '.join(said)}" if said else ""

    def show(self, console: Console, key: str) -> None:
        """Print the table, in colour if the console has colours."""
        from rich import box  # noqa: PLC0415 - only where a run reports

        if self._worst:
            is_log = not console.is_terminal
            look = None if is_log else box.SIMPLE_HEAD
            console.print(self._table(look, 36, key), soft_wrap=False)
        if others := self.others():
            console.print(others, markup=False, highlight=False)

    def markdown(self, key: str) -> str:
        """The table as Markdown."""
        from rich import box  # noqa: PLC0415
        from rich.console import Console  # noqa: PLC0415

        console = Console(width=10_000, color_system=None)
        with console.capture() as capture:
            console.print(self._table(box.MARKDOWN, 200, key, escape=True))
        lines = [line.strip() for line in capture.get().splitlines()]
        table = "\n".join(line for line in lines if line) if self._worst else ""
        return "\n\n".join(filter(None, (table, self.others())))

    def _table(
        self, look: object, job_length: int, key: str, *, escape: bool = False
    ) -> Table:
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=look, pad_edge=False, header_style="bold")  # type: ignore[arg-type]
        for name in _COLUMNS:
            is_number = name in {"rows read", "refused"}
            justify = "right" if is_number else "left"
            table.add_column(name, justify=justify, no_wrap=name != "verdict")  # type: ignore[arg-type]
        for row in self._worst:
            cells = row.cells(job_length, key)
            if escape:
                cells = [in_markdown(cell) for cell in cells]
            texts = [Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells]
            texts[-1].stylize(_COLOURS.get(row.outcome, ""))
            texts[-2].stylize("yellow" if row.refused else "")
            table.add_row(*texts)
        return table


def in_markdown(text: str) -> str:
    """A text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|&~#!])", r"\\\1", text)
