"""The table of jobs that ends a run: in a terminal, in a log, in Markdown."""

from __future__ import annotations

import bisect
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TextIO

from tap_fullstory_imports.reporting.redaction import without_key
from tap_fullstory_imports.reporting.words import bounded

MOST_ROWS = 20
LOG_WIDTH = 110
# Worst first: an outcome, its verdict in the table, how a line about the others ends.
VERDICTS = {
    "failed": ("failed", "that failed"),
    "not read": ("not read", "that were not read"),
    "deferred": ("still processing", "that are still processing"),
    "skipped": ("unknown to Fullstory", "that Fullstory does not know"),
    "read": ("read", "that were read"),
    "already read": ("already read", "that were already read"),
}
OUTCOMES = tuple(VERDICTS)
_COLOURS = {"failed": "red", "not read": "red", "deferred": "yellow", "read": "green"}


@dataclass(slots=True)
class Row:
    """One job. A job that is read at several endpoints has the worst outcome."""

    kind: str
    job_id: str
    outcome: str = OUTCOMES[-1]
    status: str = ""
    rows: int = 0
    refused: int | None = None  # by Fullstory; None if nobody has asked
    reasons: dict[str, list[str]] = field(default_factory=dict)  # streams by reason

    @property
    def badness(self) -> tuple[int, bool]:
        """A key that sorts the worst jobs first."""
        return OUTCOMES.index(self.outcome), not self.refused


class JobTable:
    """Counts all jobs by outcome, and keeps the worst ones."""

    def __init__(self, key: str) -> None:
        """Start without jobs; no cell shows the API key."""
        self._key, self._worst = key, list[Row]()
        self.jobs = Counter[str]()

    def add(self, row: Row) -> None:
        """Take a job that has come to its end."""
        self.jobs[row.outcome] += 1
        if len(self._worst) < MOST_ROWS or row.badness < self._worst[-1].badness:
            bisect.insort(self._worst, row, key=lambda one: one.badness)
            del self._worst[MOST_ROWS:]

    def excuse(self, reason: str, jobs: int) -> None:
        """Count as not read the jobs that failed for what ended the run."""
        self.jobs["failed"] -= jobs
        self.jobs["not read"] += jobs
        for row in self._worst:
            row.outcome = "not read" if reason in row.reasons else row.outcome
        self._worst.sort(key=lambda one: one.badness)

    def show(self, terminal: TextIO) -> None:
        """Print the table in colour, as wide as the terminal."""
        self._print(terminal, "SIMPLE_HEAD", force_terminal=True)
        terminal.write(self._others())

    def lines(self) -> list[str]:
        """The table as lines of a log."""
        text = io.StringIO()
        self._print(text, None, width=LOG_WIDTH, color_system=None)
        text.write(self._others())
        return [line.rstrip() for line in text.getvalue().splitlines()]

    def markdown(self) -> str:
        """The table as Markdown."""
        text = io.StringIO()
        self._print(text, "MARKDOWN", width=10_000, color_system=None)
        return f"{text.getvalue().strip()}\n\n{self._others()}"

    def _print(self, file: TextIO, look: str | None, **options: Any) -> None:
        """Print the rows in one of rich's looks; None is a table without lines."""
        from rich import box, console  # noqa: PLC0415 - only where a run reports

        if self._worst:
            table = self._table(look and getattr(box, look))
            console.Console(file=file, **options).print(table)

    def _others(self) -> str:
        """What became of the jobs that have no row; a line, or nothing."""
        left = self.jobs - Counter(row.outcome for row in self._worst)
        said = [
            f"{left[one]:,} more {VERDICTS[one][1]}" for one in OUTCOMES if left[one]
        ]
        return f"and {', '.join(said)}\n" if said else ""

    def _table(self, look: Any) -> Any:
        from rich import box, table, text  # noqa: PLC0415 - only where a run reports

        made = table.Table(box=look, pad_edge=False, header_style="bold")
        made.add_column("kind")
        made.add_column("job", no_wrap=True)
        made.add_column("status")
        made.add_column("rows read", justify="right")
        made.add_column("refused", justify="right")
        made.add_column("verdict", ratio=1 if look is box.SIMPLE_HEAD else None)
        for row in self._worst:
            why = f": {next(iter(row.reasons), '')}" if row.outcome == "failed" else ""
            cells = [
                bounded(without_key(cell, self._key), length) or "-"
                for cell, length in (
                    (row.kind, 6),
                    (row.job_id, 36),
                    (row.status, 20),
                    (f"{row.rows:,}", 20),
                    ("" if row.refused is None else f"{row.refused:,}", 20),
                    (VERDICTS[row.outcome][0] + why, 200),
                )
            ]
            if look is box.MARKDOWN:
                cells = [in_markdown(cell) for cell in cells]
            styles = "", "", "", "", "yellow" if row.refused else ""
            made.add_row(
                *(
                    text.Text(cell, style, no_wrap=True, overflow="ellipsis")
                    for cell, style in zip(
                        cells, (*styles, _COLOURS.get(row.outcome, "")), strict=True
                    )
                )
            )
        return made


def in_markdown(text: str) -> str:
    """A text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|&~#!])", r"\\\1", text)
