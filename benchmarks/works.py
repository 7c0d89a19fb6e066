"""What the tap, another checkout of it and the peers read, and what that took."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import measure
from benchmarks.measure import RunError, Took
from benchmarks.page import chart, table
from benchmarks.programs import LOG, TAP, Program, in_turn, write_inputs
from tests.stand_in import Job, StandIn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ROW = b"customer-"  # once in each event of the stand-in, and nowhere else


@dataclass(frozen=True)
class Work:
    """Jobs of one size.

    Attributes:
        label: Its name in the tables.
        latency: Seconds before every answer.
        concurrency: How many requests the tap sends at once.
        is_whole: The tap reads its default streams, not imported events alone.
        is_common: The peers read it, too.
    """

    label: str
    jobs: int
    pages: int = 1
    page_size: int = 1
    latency: float = 0.0
    concurrency: int = 4
    is_whole: bool = False
    is_common: bool = False


WORKS = {
    "events": Work("200,000 events", 10, 20, 1_000, is_common=True),
    "latency": Work("16 jobs, 50 ms", 16, 20, 100, 0.05, is_common=True),
    "latency-8": Work("16 jobs, 50 ms, 8 at once", 16, 20, 100, 0.05, concurrency=8),
    "jobs": Work("3,000 jobs", 3_000, is_common=True),
    "jobs-whole": Work("3,000 jobs, three streams", 3_000, is_whole=True),
    "memory": Work("2,000,000 events", 40, 50, 1_000),
}
_WARM_UP = Work("warm-up", jobs=3, pages=2, page_size=10)
_HEAD = "work|program|seconds|from, to|times|CPU seconds|MB|requests"


def report(works: Iterable[Work], programs: Sequence[Program], rounds: int) -> str:
    """Measure programs in turn; return a table, and a chart of the first work.

    A peer that fails is a line in the table.
    """
    failures: dict[str, str] = {}
    _measure(_WARM_UP, programs, 1, failures)
    rows, bars = [], dict[str, float]()
    for work in works:
        found = _measure(work, programs, rounds, failures)
        middles = {key: median(each.seconds for each in found[key]) for key in found}
        bars = bars or middles
        for label, runs in found.items():
            seconds, cpu, peak, requests = map(median, zip(*runs, strict=True))
            cells = f"{seconds:.2f}|{min(runs).seconds:.2f}, {max(runs).seconds:.2f}"
            cells += f"|{seconds / middles[TAP.label]:.2f}|{cpu:.2f}|{peak:.0f}"
            rows.append(f"{work.label}|{label}|{cells}|{requests:,.0f}")
    rows += [f"all|{label}|failed: {failures[label]}|||||" for label in failures]
    return table(_HEAD, rows, texts=2) + chart("Seconds for the first work", bars)


def _measure(
    work: Work, programs: Sequence[Program], rounds: int, failures: dict[str, str]
) -> dict[str, list[Took]]:
    LOG.log(work.label)
    rows = work.pages * work.page_size
    jobs = [
        Job(f"job-{number:05}", generate=rows, page_size=work.page_size)
        for number in range(work.jobs)
    ]
    with StandIn(*jobs, latency=work.latency) as api:
        api.encode()
        settings = {
            "api_key": api.api_key,
            "api_url": api.url,
            "job_ids": [job.job_id for job in jobs],
            "concurrency": work.concurrency,
        }
        run = partial(_run, work, api, settings)
        return in_turn(programs, rounds, failures, run)


def _run(
    work: Work, api: StandIn, settings: dict[str, object], program: Program
) -> Took:
    """Run a program once; every event must be in its output."""
    api.clear()
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, settings, program.root, is_whole=work.is_whole)
        command = program.command(folder)
        took = measure.run(command, program.root, folder, program.settings)
        rows = _rows(folder)
    if rows != work.jobs * work.pages * work.page_size:
        raise RunError(f"it wrote {rows:,} rows")
    return took._replace(requests=len(api.requests))


def _rows(folder: Path) -> int:
    """Count the events that a program has written."""
    found = 0
    for path in (folder / "stdout", *folder.glob("dlt/**/*.typed-jsonl.gz")):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as lines:
            found += sum(line.count(_ROW) for line in lines)
    return found
