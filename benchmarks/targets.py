"""Measures how fast the rows get into each target, and how fast the tap alone is.

Everything runs as users run it: by Meltano, with the settings of ``meltano.yml``, from
the stand-in API into a new database each time. A time is that of a whole command, with
the start of all programs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import duckdb

from benchmarks.measure import stand_in
from benchmarks.programs import HERE, ROOT
from benchmarks.results import machine
from benchmarks.scenarios import API_KEY, Entry, Scenario
from tests.postgres_server import Postgres
from tests.project import TAP
from tests.snowflake_project import Snowflake

if TYPE_CHECKING:
    from collections.abc import Iterator

MELTANO = str(Path(sys.executable).parent / "meltano")
NOTHING = Path(os.devnull)
JOBS, PAGE_SIZE = 10, 1_000
COUNT = "select count(*) as rows from {}imported_events"


@dataclass(frozen=True)
class Way:
    """A way for the rows to go.

    Attributes:
        label: How the table names it.
        target: The loader; empty: a file takes what the tap writes.
        environment: The environment of the project.
        settings: Settings of the target's.
    """

    label: str
    target: str
    environment: str
    settings: dict[str, str]


class Bench:
    """A project of its own with the databases that it loads into."""

    def __init__(self, folder: Path, url: str, jobs: list[str], rows: int) -> None:
        """Make the project."""
        self.snowflake = Snowflake(folder)
        self.project = self.snowflake.project
        self.postgres = Postgres()
        self._folder = folder
        self.rows = rows
        self._settings = {
            "TAP_FULLSTORY_IMPORTS_API_KEY": API_KEY,
            "TAP_FULLSTORY_IMPORTS_API_URL": url,
            "TAP_FULLSTORY_IMPORTS_JOB_IDS": ",".join(jobs),
            "TAP_FULLSTORY_IMPORTS__SELECT": '["imported_events.*"]',
        }

    def ways(self) -> Iterator[Way]:
        """All that is measured."""
        yield Way("the tap alone, into a file", "", "prod", {})
        yield Way("target-jsonl", "target-jsonl", "prod", {})
        yield Way("target-duckdb", "target-duckdb", "dev", {})
        postgres = self.postgres.settings
        yield Way("target-postgres", "target-postgres", "prod", postgres)
        inserting = {**postgres, "TARGET_POSTGRES_USE_COPY": "false"}
        name = "target-postgres, without COPY"
        yield Way(name, "target-postgres", "prod", inserting)
        if self.snowflake.is_available:
            name = "target-snowflake, into an emulator"
            settings = {**self.snowflake.settings, **self.snowflake.place}
            yield Way(name, "target-snowflake", "prod", settings)

    def seconds(self, way: Way, *, is_fed_by_tap: bool) -> float:
        """Load all rows into a new table, from the tap or from a file of its messages.

        Raises:
            RuntimeError: If the run fails, or not all rows have arrived.
        """
        self._empty()
        if not way.target:
            seconds = self._write_messages(way.environment)
        elif is_fed_by_tap:
            command = ("run", "--full-refresh", "--force", TAP, way.target)
            seconds = self._meltano(way, *command)
        else:
            messages = self._messages(way.environment)
            if not messages.exists():
                self._write_messages(way.environment)
            seconds = self._meltano(way, "invoke", way.target, source=messages)
        if (rows := self._count(way.target)) != self.rows:
            raise RuntimeError(f"{way.label}: {rows:,} rows have arrived.")
        return seconds

    def _messages(self, environment: str) -> Path:
        return self._folder / f"{environment}.jsonl"

    def _write_messages(self, environment: str) -> float:
        """Have the tap alone write its messages into a file; the seconds that took."""
        way = Way(TAP, "", environment, {})
        return self._meltano(way, "invoke", TAP, sink=self._messages(environment))

    def _meltano(
        self, way: Way, *command: str, source: Path = NOTHING, sink: Path = NOTHING
    ) -> float:
        """Run a command of Meltano's; the seconds that it took."""
        log = self._folder / "log"
        with (
            source.open("rb") as stdin,
            sink.open("wb") as stdout,
            log.open("wb") as stderr,
        ):
            started = time.perf_counter()
            done = subprocess.run(  # noqa: S603 - Meltano
                [MELTANO, f"--environment={way.environment}", *command],
                cwd=self.project.path,
                env=self.project.environment(**self._settings, **way.settings),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                check=False,
            )
            seconds = time.perf_counter() - started
        if done.returncode:
            text = log.read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"{way.label} failed:\n{text[-4000:]}")
        return seconds

    def _empty(self) -> None:
        for path in self.project.output.iterdir():
            path.unlink()
        self.postgres.execute("drop schema if exists fullstory cascade")
        self.snowflake.empty()

    def _count(self, target: str) -> int:
        if target == "target-postgres":
            (row,) = self.postgres.query(COUNT.format("fullstory."))
            return int(row["rows"])
        if target == "target-snowflake":
            (row,) = self.snowflake.query(COUNT.format(""))
            return int(row["ROWS"])
        if target == "target-duckdb":
            with duckdb.connect(self.project.database, read_only=True) as database:
                (count,) = database.execute(COUNT.format("")).fetchall()[0]
                return int(count)
        if target == "target-jsonl":
            with (self.project.output / "imported_events.jsonl").open("rb") as lines:
                return sum(1 for _ in lines)
        with self._messages("prod").open("rb") as lines:
            return sum(1 for line in lines if line.startswith(b'{"type":"RECORD"'))


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.targets", description=__doc__
    )
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    pages = max(1, args.events // (JOBS * PAGE_SIZE))
    scenario = Scenario("targets", "", (Entry("tap", JOBS),), pages, PAGE_SIZE)
    rows = JOBS * scenario.rows_of_job
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        url = stack.enter_context(stand_in(scenario))
        bench = Bench(folder, url, scenario.job_ids, rows)
        stack.enter_context(bench.postgres)
        times = _measure(bench, args.rounds)
    command = " ".join(["python -m benchmarks.targets", *sys.argv[1:]])
    table = _table(times, rows)
    is_whole = not sys.argv[1:]
    place = HERE if is_whole else ROOT / "output" / "benchmarks"
    place.mkdir(parents=True, exist_ok=True)
    about = (
        f"# Rows per second into each target\n\n{rows:,} events in {JOBS} jobs; the"
        f" median of {args.rounds}; {machine()}.\nWritten by `{command}`.\n\n"
    )
    (place / "targets.md").write_text(about + table, encoding="utf-8")
    sys.stdout.write(table)


def _measure(bench: Bench, rounds: int) -> dict[str, tuple[float, float | None]]:
    """The seconds of each way, and those of its target alone; in turn, by rounds."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for number in range(rounds):
        for way in bench.ways():
            whole, alone = found.setdefault(way.label, ([], []))
            whole.append(bench.seconds(way, is_fed_by_tap=True))
            if way.target:
                alone.append(bench.seconds(way, is_fed_by_tap=False))
            _say(f"{number + 1}/{rounds} {way.label}: {whole[-1]:.1f} s")
    return {
        label: (median(whole), median(alone) if alone else None)
        for label, (whole, alone) in found.items()
    }


def _table(times: dict[str, tuple[float, float | None]], rows: int) -> str:
    lines = [
        "| rows per second into | `meltano run` | the target alone, from a file |",
        "| --- | ---: | ---: |",
    ]
    for label, (whole, alone) in times.items():
        alone_shown = f"{rows / alone:,.0f}" if alone else ""
        lines.append(f"| {label} | {rows / whole:,.0f} | {alone_shown} |")
    return "\n".join(lines) + "\n"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
