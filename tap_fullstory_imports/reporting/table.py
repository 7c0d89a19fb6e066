"""The table of jobs that ends a run: in a terminal, in a log, in Markdown."""

from __future__ import annotations

import bisect
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

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
        """Lower for a worse one."""
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
        """Count jobs that failed for the reason that ended the run as not read."""
        self.jobs["failed"] -= jobs
        self.jobs["not read"] += jobs
        for row in self._worst:
            row.outcome = "not read" if reason in row.reasons else row.outcome
        self._worst.sort(key=lambda one: one.badness)

    def show(self, file: Any = None) -> str:
        """Print the table in a terminal; or return it as lines without colour."""
        from rich import box, console  # noqa: PLC0415 - only where a run reports

        text, options = io.StringIO(), {"width": LOG_WIDTH, "color_system": None}
        screen = console.Console(
            file=file or text, **({"force_terminal": True} if file else options)
        )
        if self._worst:
            screen.print(self._table(box.SIMPLE_HEAD if file else None))
        screen.print(self._others(), markup=False, highlight=False, end="")
        return text.getvalue()

    def markdown(self) -> str:
        """The table as Markdown."""
        from rich import box, console  # noqa: PLC0415 - only where a run reports

        text = io.StringIO()
        if self._worst:
            screen = console.Console(file=text, width=10_000, color_system=None)
            screen.print(self._table(box.MARKDOWN))
        lines = (line.strip() for line in text.getvalue().splitlines())
        return "\n".join([*filter(None, lines), "", self._others()])

    def _others(self) -> str:
        """What became of the jobs that have no row; a line, or nothing."""
        left = self.jobs - Counter(row.outcome for row in self._worst)
        said = [
            f"{left[one]:,} more {VERDICTS[one][1]}" for one in OUTCOMES if left[one]
        ]
        return f"and {', '.join(said)}\n" if said else ""

    def _table(self, look: Any) -> Table:
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
