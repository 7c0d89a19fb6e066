"""Measures how fast events get from the API into a database, beside the peers.

All load into new tables each time, in turn. A time is that of a whole command, with the
start of all programs. A run counts only if the table holds every row once.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import target_results
from benchmarks.loads import FAULTS, Bench, Load, Way, all_ways
from benchmarks.measure import stand_in
from benchmarks.programs import HERE, ROOT, InstallError, install
from benchmarks.results import machine, show_in_readme, versions
from benchmarks.scenarios import Entry, Scenario

JOBS, PAGE_SIZE, ROUNDS = 10, 1_000, 5
WARM_UP_ROWS = 100
PEERS = ("dlt", "pyairbyte")


class Runs:
    """The runs of all ways, by turns.

    Attributes:
        again: What a second load has changed, in sentences.
    """

    def __init__(self, bench: Bench, ways: list[Way], rows_of_job: int) -> None:
        """Take what is to be run."""
        self._bench, self._ways, self._rows_of_job = bench, ways, rows_of_job
        self._loads: dict[Way, list[Load]] = {way: [] for way in ways}
        self._failures: dict[Way, str] = {}
        self.again: list[str] = []

    def warm_up(self, url: str) -> None:
        """Run each way once, on a few rows."""
        for way in self._ways:
            self._try(way, "warm-up", url, WARM_UP_ROWS)

    def round(self, what: str, url: str) -> None:
        """Run each way once."""
        for way in self._ways:
            if took := self._try(way, what, url, self._rows_of_job):
                self._loads[way].append(took)

    def repeat(self, url: str) -> None:
        """Load once more with the state of the last load: nothing may change."""
        for way in self._ways:
            if way.peer or way.settings or way.batch:
                continue
            if self._try(way, "before a second load", url, self._rows_of_job):
                changed = self._bench.load_again(way, url, self._jobs(way))
                verdict = f"CHANGED {changed}" if changed else "changed no row"
                self.again.append(f"{way.label}: a second load {verdict}")

    def found(self) -> list[dict[str, Any]]:
        """All that was measured."""
        return [
            {
                "label": way.label,
                "is_ours": not way.peer,
                "events": self._jobs(way) * self._rows_of_job,
                "loads": [asdict(load) for load in loads],
                "failure": self._failures.get(way, ""),
            }
            for way, loads in self._loads.items()
        ]

    @staticmethod
    def _jobs(way: Way) -> int:
        return round(JOBS * way.share)

    def _try(self, way: Way, what: str, url: str, rows: int) -> Load | None:
        if way in self._failures:
            return None
        what = f"{what}: {way.label}"
        try:
            took = self._bench.load(way, url, self._jobs(way), rows)
        except FAULTS as error:
            self._failures[way] = str(error)
            say(f"{what} FAILED: {error}")
            return None
        say(f"{what}: {took.seconds:.1f} s, CPU {took.cpu_seconds:.1f} s")
        return took


def main() -> None:
    """Measure, and write the table."""
    args = _arguments()
    chosen = {"", *(PEERS if args.peer is None else args.peer)}
    ways = [
        way
        for way in all_ways()
        if way.peer in chosen and (not way.peer or _is_installed(way.peer))
    ]
    pages = max(1, args.events // (JOBS * PAGE_SIZE))
    warm_up = Scenario("warm-up", "", (Entry("tap", JOBS),), 1, WARM_UP_ROWS)
    scenario = Scenario("targets", "", (Entry("tap", JOBS),), pages, PAGE_SIZE)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        first = stack.enter_context(stand_in(warm_up))
        url = stack.enter_context(stand_in(scenario))
        bench = Bench(folder, scenario.job_ids)
        stack.enter_context(bench.postgres)
        bench.prepare(url)
        runs = Runs(bench, ways, scenario.rows_of_job)
        runs.warm_up(first)
        for number in range(args.rounds):
            runs.round(f"{number + 1}/{args.rounds}", url)
        runs.repeat(url)
    _write(runs, args.rounds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.targets", description=__doc__
    )
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peer", action="append", choices=PEERS, metavar="NAME")
    return parser.parse_args()


@cache
def _is_installed(environment: str) -> bool:
    try:
        install(environment)
    except InstallError as error:
        say(f"{environment} can't be installed: {error}")
        return False
    return True


def _write(runs: Runs, rounds: int) -> None:
    # The results that are kept are those of a whole run.
    is_whole = not sys.argv[1:]
    folder = HERE if is_whole else ROOT / "output" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    words = ["python -m benchmarks.targets", *sys.argv[1:]]
    content = {
        "machine": machine(),
        "versions": versions(PEERS),
        "command": "make bench-targets" if is_whole else " ".join(words),
        "rounds": rounds,
        "ways": runs.found(),
        "again": runs.again,
    }
    page = target_results.page(content)
    (folder / "targets.md").write_text(page, encoding="utf-8")
    if is_whole:
        show_in_readme("make bench-targets", target_results.summary(content))
    say(page)


def say(text: str) -> None:
    """Show progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
