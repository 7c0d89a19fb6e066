"""Runs the benchmarks: this tap and its peers in turn, against the stand-in API."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks import programs, results
from benchmarks.measure import Run, failed, measure, stand_in
from benchmarks.programs import HERE, PROGRAMS, ROOT
from benchmarks.scenarios import SCENARIOS, WARM_UP, Scenario

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 5


def main() -> None:
    """Measure, and write the results.

    A peer that can't be installed or run is a line in the table. Only this tap's own
    failure, or this program's, is an error.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [scenario.name for scenario in SCENARIOS]
    peers = [name for name in PROGRAMS if name != "tap"]
    parser.add_argument("--scenario", action="append", choices=names, metavar="NAME")
    parser.add_argument("--peer", action="append", choices=peers, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    chosen = {"tap", *(peers if args.peer is None else args.peer)}
    scenarios = [
        replace(each, entries=tuple(e for e in each.entries if e.program in chosen))
        for each in (WARM_UP, *SCENARIOS)
        if each is WARM_UP or args.scenario is None or each.name in args.scenario
    ]
    runs = _measure_all(scenarios, args.rounds)
    # The results that are kept are those of a whole run.
    is_whole = not sys.argv[1:]
    folder = HERE if is_whole else ROOT / "output" / "benchmarks"
    words = ["make bench"] if is_whole else ["python -m benchmarks", *sys.argv[1:]]
    _write(folder, runs, args.rounds, " ".join(words))
    failures = [run.failure for run in runs if run.program == "tap" and run.failure]
    if failures:
        sys.exit(f"This tap failed: {failures[0]}")


def _measure_all(scenarios: list[Scenario], rounds: int) -> list[Run]:
    """Run all entries; the first scenario only shows which ones can be."""
    warm_up, *scenarios = scenarios
    broken = _install({entry.program for entry in warm_up.entries})
    runs = _measure(warm_up, 1, broken)
    broken |= {run.program: run.failure for run in runs if run.failure}
    return [run for each in scenarios for run in _measure(each, rounds, broken)]


def _install(names: set[str]) -> dict[str, str]:
    """Make the environments; which programs have none, and why."""
    environments = {PROGRAMS[name].environment or "" for name in names} - {""}
    reasons = {each: _fault_of(each) for each in sorted(environments)}
    found = {name: reasons.get(PROGRAMS[name].environment or "", "") for name in names}
    return {name: reason for name, reason in found.items() if reason}


def _fault_of(environment: str) -> str:
    """Make an environment; why that can't be done, empty if it can."""
    _say(f"install {environment}")
    try:
        programs.install(environment)
    except programs.InstallError as error:
        _say(f"  failed: {error}")
        return f"it can't be installed: {error}"
    return ""


def _measure(scenario: Scenario, rounds: int, broken: dict[str, str]) -> list[Run]:
    """Run the entries of a scenario in turn, round by round."""
    runs = [
        failed(scenario, entry, broken[entry.program])
        for entry in scenario.entries
        if entry.program in broken
    ]
    waiting = [entry for entry in scenario.entries if entry.program not in broken]
    _say(f"{scenario.name}: {scenario.about}")
    with stand_in(scenario) as url:
        for number in range(rounds):
            for entry in tuple(waiting):
                run = measure(scenario, entry, url)
                runs.append(run)
                outcome = run.failure or f"{run.seconds:.2f} s"
                name = f"{results.label(entry)}, {entry.jobs:,} jobs"
                _say(f"  {number + 1}/{rounds} {name}: {outcome}")
                if run.failure:
                    waiting.remove(entry)
    return runs


def _write(folder: Path, runs: list[Run], rounds: int, command: str) -> None:
    """Write the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    found = results.Results(runs)
    page = results.to_markdown(found, rounds, command)
    (folder / "results.md").write_text(page, encoding="utf-8")
    _say(page)
    if folder == HERE:
        summary = results.to_summary(found, rounds, command, results.machine())
        results.show_in_readme("make bench", summary)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
