"""What the tap, another checkout of it and the peers read, and what that took."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import measure
from benchmarks.measure import RunError, Took
from benchmarks.programs import LOG, Program, in_turn, lines, write_inputs
from benchmarks.server import Server

_ROW = b"customer-"  # once in each event, and nowhere else


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
    "jobs": Work("10,000 jobs", 10_000, is_common=True),
    "jobs-whole": Work("10,000 jobs, three streams", 10_000, is_whole=True),
    "memory": Work("2,000,000 events", 40, 50, 1_000),
}
_WARM_UP = Work("warm-up", jobs=3, pages=2, page_size=10)


def report(
    works: Iterable[Work], programs: Sequence[Program], rounds: int
) -> list[str]:
    """Measure programs in turn; return the lines of the table."""
    _measure(_WARM_UP, programs, 1)
    return [
        line
        for work in works
        for line in lines(work.label, _measure(work, programs, rounds))
    ]


def _measure(
    work: Work, programs: Sequence[Program], rounds: int
) -> dict[str, list[Took]]:
    LOG.log(work.label)
    with Server(work.pages, work.page_size, work.latency) as api:
        settings = {
            "api_key": "c29tZWtleQ==",
            "api_url": api.url,
            "job_ids": [f"job-{number:05}" for number in range(work.jobs)],
            "concurrency": work.concurrency,
        }
        return in_turn(programs, rounds, partial(_run, work, api, settings))


def _run(
    work: Work, api: Server, settings: dict[str, object], program: Program
) -> Took:
    """Run a program once; every event must be in its output."""
    api.requests = 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, settings, program.root, is_whole=work.is_whole)
        command = program.command(folder)
        took = measure.run(command, program.root, folder, program.settings)
        rows = _rows(folder)
    if rows != work.jobs * api.rows:
        raise RunError(f"it wrote {rows:,} rows")
    return took._replace(requests=api.requests)


def _rows(folder: Path) -> int:
    """Count the events that a program has written."""
    found = 0
    for path in (folder / "stdout", *folder.glob("dlt/**/*.typed-jsonl.gz")):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as lines:
            found += sum(line.count(_ROW) for line in lines)
    return found
