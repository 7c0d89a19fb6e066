"""The jobs at the end of a run: a table of the worst ones, and why jobs failed."""

from __future__ import annotations

import bisect
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tap_fullstory_imports.reporting.words import (
    JOBS_NAMED,
    bounded,
    named,
    without_key,
)

MOST_ROWS = 20
MOST_REASONS = 20
OTHER_REASONS = "The reasons are left out, because there are too many."


class _Words(NamedTuple):
    verdict: str
    others: str  # of jobs without a row
    colour: str = ""


OUTCOMES = {  # worst first
    "failed": _Words("failed", "that failed", "red"),
    "not read": _Words("not read", "that were not read", "red"),
    "skipped": _Words("unknown to Fullstory", "that Fullstory does not know"),
    "deferred": _Words("still processing", "that are still processing", "yellow"),
    "already read": _Words("already read", "that were already read"),
    "read": _Words("read", "that were read", "green"),
}
_ORDER = [*OUTCOMES]
_COLUMNS = "kind", "job", "status", "rows read", "refused", "verdict"
_LENGTHS = 6, 36, 20, 20, 20, 200  # of cells
_NUMBERS = "rows read", "refused"


@dataclass(slots=True)
class Row:
    """One job. A job that is read at several endpoints has the worst outcome."""

    kind: str
    job_id: str
    outcome: str = "read"
    status: str = ""
    rows: int = 0
    refused: int | None = None  # by Fullstory; None if nobody has asked
    reasons: dict[str, list[str]] = field(default_factory=dict)  # streams by reason

    @property
    def badness(self) -> tuple[int, bool]:
        """A key that sorts the worst jobs first."""
        return _ORDER.index(self.outcome), not self.refused

    def cells(self, key: str) -> list[str]:
        """What the table shows of the job, without the API key."""
        refused = "-" if self.refused is None else f"{self.refused:,}"
        verdict = OUTCOMES[self.outcome].verdict
        if self.outcome == "failed":
            verdict += f": {next(iter(self.reasons), '')}"
        texts = self.kind, self.job_id, self.status or "-", f"{self.rows:,}", refused
        shown = [without_key(text, key) for text in (*texts, verdict)]
        return [bounded(text, most) for text, most in zip(shown, _LENGTHS, strict=True)]


class JobTable:
    """Counts the jobs by outcome, and keeps the worst ones."""

    def __init__(self, key: str) -> None:
        """Start without jobs; no cell shows the API key."""
        self._key, self._worst = key, list[Row]()
        self.jobs, self.refused = Counter[str](), 0
        self.has_unknown = False  # whether nobody asked what Fullstory has refused
        self.failed = Counter[str]()  # by reason
        self._examples = defaultdict[str, list[Row]](list)

    def add(self, row: Row) -> None:
        """Take a job that has come to its end."""
        self.jobs[row.outcome] += 1
        self.refused += row.refused or 0
        self.has_unknown |= row.outcome == "read" and row.refused is None
        for reason in row.reasons:
            is_new = reason not in self.failed
            is_other = is_new and len(self.failed) >= MOST_REASONS
            key = OTHER_REASONS if is_other else reason
            self.failed[key] += 1
            if len(self._examples[key]) < JOBS_NAMED:
                self._examples[key].append(row)
        if len(self._worst) < MOST_ROWS or row.badness < self._worst[-1].badness:
            bisect.insort(self._worst, row, key=lambda one: one.badness)
            del self._worst[MOST_ROWS:]

    def excuse(self, reason: str) -> None:
        """Count as not read the jobs that failed for what ended the run."""
        jobs = self.failed.pop(reason, 0)
        self.jobs["failed"] -= jobs
        self.jobs["not read"] += jobs
        for row in self._worst:
            row.outcome = "not read" if reason in row.reasons else row.outcome
        self._worst.sort(key=lambda one: one.badness)

    def reasons(self, *, with_streams: bool) -> Iterator[str]:
        """Why jobs failed, a sentence for each reason."""
        for reason, jobs in self.failed.items():
            rows = self._examples[reason]
            names = [name for row in rows for name in row.reasons.get(reason, ())]
            where = ", ".join(dict.fromkeys(names if with_streams else ()))
            failed = f"failed in {where}" if where else "failed"
            job_ids = named([row.job_id for row in rows], jobs)
            many_jobs = f"{jobs:,} jobs {failed} ({job_ids})"
            yield f"{f'Job {job_ids} {failed}' if jobs == 1 else many_jobs}: {reason}"

    def drawn(self, look: str | None, **options: Any) -> str:
        """The worst jobs in one of rich's looks, and a line about the others.

        None is a look without borders. The options are those of the console.
        """
        from rich import box, console, table, text  # noqa: PLC0415 - when a run ends

        border = getattr(box, look) if look else None
        made = table.Table(box=border, pad_edge=False, header_style="bold")
        for name in _COLUMNS:
            made.add_column(name, justify="right" if name in _NUMBERS else "left")
        made.columns[-1].ratio = 1 if look == "SIMPLE_HEAD" else None
        for row in self._worst:
            cells = [
                escaped(one) if look == "MARKDOWN" else one
                for one in row.cells(self._key)
            ]
            drawn = [text.Text(one, no_wrap=True, overflow="ellipsis") for one in cells]
            drawn[-1].style = OUTCOMES[row.outcome].colour
            drawn[-2].style = "yellow" if row.refused else ""
            made.add_row(*drawn)
        shown = io.StringIO()
        if self._worst:
            console.Console(file=shown, **options).print(made)
        parts = shown.getvalue().lstrip("\n").rstrip(), self._others()
        return "\n\n".join(filter(None, parts)) + "\n"

    def _others(self) -> str:
        left = self.jobs - Counter(row.outcome for row in self._worst)
        more = " more" if self._worst else " jobs"
        said = [
            f"{left[one]:,}{more} {words.others}"
            for one, words in OUTCOMES.items()
            if left[one]
        ]
        return f"{'and ' if said and self._worst else ''}{', '.join(said)}"


def escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|&~#!])", r"\\\1", text)
