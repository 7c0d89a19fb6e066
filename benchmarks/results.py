"""From runs to tables: medians, ratios, and whether the aims are reached."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import programs
from benchmarks.programs import PROGRAMS
from benchmarks.scenarios import CONCURRENCY, SCENARIOS, Entry, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.measure import Run

_MEGABYTE = 1e6
_VERSION = re.compile(r"^([\w-]+)(?:\[.*\])?==([\w.]+)")
_VERSIONS_SHOWN = {
    "loops": ("requests", "msgspec"),
    "template": ("singer-sdk",),
    "dlt": ("dlt",),
    "airbyte": ("airbyte-cdk",),
    "pyairbyte": ("airbyte",),
}


@dataclass(frozen=True)
class Medians:
    """The medians of an entry's runs, and the least and the most of its seconds."""

    seconds: float
    least: float
    most: float
    cpu_seconds: float
    peak_bytes: float
    output_bytes: float
    state_bytes: float
    requests: float
    retries: float


@dataclass(frozen=True)
class Aim:
    """Something that must be reached.

    Attributes:
        measured: In words; empty if it was not measured.
    """

    what: str
    must: str
    measured: str = ""
    is_reached: bool = False


class Results:
    """All runs, by scenario and entry."""

    def __init__(self, runs: Iterable[Run]) -> None:
        """Take in the runs, in any order."""
        self._runs: dict[tuple[str, Entry], list[Run]] = {}
        for run in runs:
            self._runs.setdefault((run.scenario, run.entry), []).append(run)

    def failure(self, scenario: str, entry: Entry) -> str:
        """Why an entry has no medians; empty if it has."""
        runs = self._runs.get((scenario, entry), [])
        return next((run.failure for run in runs if run.failure), "")

    def of(self, scenario: str, entry: Entry) -> Medians | None:
        """The medians of an entry; None if it was not run, or has failed."""
        runs = self._runs.get((scenario, entry), [])
        if not runs or self.failure(scenario, entry):
            return None
        seconds = [run.seconds for run in runs]
        return Medians(
            seconds=median(seconds),
            least=min(seconds),
            most=max(seconds),
            cpu_seconds=median(run.cpu_seconds for run in runs),
            peak_bytes=median(run.peak_bytes for run in runs),
            output_bytes=median(run.output_bytes for run in runs),
            state_bytes=median(run.state_bytes for run in runs),
            requests=median(run.requests for run in runs),
            retries=median(run.retries for run in runs),
        )

    def entries(self, scenario: Scenario) -> list[Entry]:
        """The entries of a scenario that were run."""
        return [e for e in scenario.entries if (scenario.name, e) in self._runs]


def machine() -> str:
    """What the runs were made on."""
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()},"
        f" Python {'.'.join(platform.python_version_tuple()[:2])}"
    )


def versions(
    environments: tuple[str, ...] = ("loops", "template", "dlt", "airbyte"),
) -> str:
    """What was measured, in which version."""
    shown = []
    for environment in environments:
        names = _VERSIONS_SHOWN[environment]
        packages = programs.requirements(environment)
        pinned = dict(found[0] for found in map(_VERSION.findall, packages) if found)
        shown += [f"{name} {pinned[name]}" for name in names]
    return ", ".join(shown)


def show_in_readme(mark: str, summary: str) -> None:
    """Put results in short between their marks in the README."""
    readme = programs.ROOT / "docs" / "speed.md"
    start, end = f"<!-- {mark} -->\n", "<!-- end -->"
    before, rest = readme.read_text(encoding="utf-8").split(start)
    _, after = rest.split(end, maxsplit=1)
    text = f"{before}{start}{summary}\n{end}{after}"
    readme.write_text(text, encoding="utf-8")


def label(entry: Entry) -> str:
    """An entry's name in tables."""
    program = PROGRAMS[entry.program]
    at_once = f", {entry.concurrency} at once" if program.is_concurrent else ""
    return f"{program.label}{at_once}"


def to_markdown(results: Results, rounds: int, command: str) -> str:
    """All results as a page."""
    parts = [
        "# Results",
        (
            f"`{command}` on {machine()}, with {versions()}. Medians of {rounds}."
            " *Ratio*: the time as a multiple of this tap's for the same jobs,"
            f" {CONCURRENCY} at once. What is compared, and how: see [here](README.md)."
        ),
        "## Aims",
        _aims_table(aims(results)),
    ]
    for scenario in SCENARIOS:
        if results.entries(scenario):
            title = scenario.name.replace("-", " ").capitalize()
            parts += [f"## {title}", f"{scenario.about}.", _table(results, scenario)]
    return "\n\n".join(parts) + "\n"


def to_summary(results: Results, rounds: int, command: str, where: str) -> str:
    """The results in short, for the project's README: one line for each program."""
    columns = [("throughput", 10), ("latency", 16), ("many-jobs", 10_000)]
    lines = [
        "| program | 200,000 events | 320 pages at 50 ms | 10,000 jobs | memory |",
        "| --- | --: | --: | --: | --: |",
    ]
    for name, program in PROGRAMS.items():
        cells = []
        for scenario, jobs in columns:
            medians = results.of(scenario, Entry(name, jobs))
            tap = results.of(scenario, Entry("tap", jobs))
            if medians is None or tap is None:
                cells.append("")
                continue
            times = medians.seconds / tap.seconds
            ratio = "" if name == "tap" else f" ({times:.1f} times)"
            cells.append(f"{medians.seconds:.1f} s{ratio}")
        peak = results.of("throughput", Entry(name, 10))
        cells.append(f"{peak.peak_bytes / _MEGABYTE:.0f} MB" if peak else "")
        if any(cells):
            lines.append(f"| {program.label} | {' | '.join(cells)} |")
    about = (
        f"`{command}` on {where}; medians of {rounds}, {CONCURRENCY} jobs at once"
        " where a program can do that, whole processes."
    )
    return "\n".join([about, "", *lines])


def _table(results: Results, scenario: Scenario) -> str:
    lines = [
        "| program | jobs | time | from, to | ratio | CPU | memory | output | STATE |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for entry in results.entries(scenario):
        start = f"| {label(entry)} | {entry.jobs:,} |"
        medians = results.of(scenario.name, entry)
        if medians is None:
            reason = results.failure(scenario.name, entry).replace("|", "\\|")
            lines.append(f"{start} failed: {reason} | | | | | | |")
            continue
        tap = results.of(scenario.name, Entry("tap", entry.jobs))
        ratio = f"{medians.seconds / tap.seconds:.2f}" if tap else ""
        lines.append(
            f"{start} {medians.seconds:.2f} s"
            f" | {medians.least:.2f}, {medians.most:.2f} | {ratio}"
            f" | {medians.cpu_seconds:.2f} s"
            f" | {medians.peak_bytes / _MEGABYTE:.0f} MB"
            f" | {medians.output_bytes / _MEGABYTE:.1f} MB"
            f" | {medians.state_bytes / 1e3:.1f} kB |"
        )
    return "\n".join(lines)


def _aims_table(all_aims: list[Aim]) -> str:
    lines = ["| what | must reach | measured | |", "| --- | --- | --- | --- |"]
    for aim in all_aims:
        verdict = "reached" if aim.is_reached else "**not reached**"
        lines.append(
            f"| {aim.what} | {aim.must} | {aim.measured or 'not measured'}"
            f" | {verdict if aim.measured else ''} |"
        )
    return "\n".join(lines)


def aims(results: Results) -> list[Aim]:
    """What must be reached, and what was."""
    rows, slow = ("throughput", 10), ("latency", 16)
    return [
        _faster(
            "throughput, against the SDK template's tap",
            results.of(rows[0], Entry("template", rows[1])),
            results.of(rows[0], Entry("tap", rows[1])),
            least=7,
        ),
        _throughput_against_floor(results),
        _faster(
            "latency, 8 jobs at once against 1",
            results.of(slow[0], Entry("tap", slow[1], concurrency=1)),
            results.of(slow[0], Entry("tap", slow[1], concurrency=8)),
            least=6,
        ),
        _faster(
            f"latency, against the Airbyte source, both {CONCURRENCY} at once",
            results.of(slow[0], Entry("airbyte", slow[1])),
            results.of(slow[0], Entry("tap", slow[1])),
            least=1.7,
        ),
        *_many_jobs(results),
        _memory(results),
        _rate_limit(results),
    ]


def _faster(what: str, slow: Medians | None, fast: Medians | None, least: float) -> Aim:
    must = f"≥ {least:g} times faster"
    if slow is None or fast is None:
        return Aim(what, must)
    ratio = slow.seconds / fast.seconds
    return Aim(what, must, f"{ratio:.2f} times", ratio >= least)


def _throughput_against_floor(results: Results) -> Aim:
    what, must, most = "throughput, against the floor", "≤ 1.8 times its time", 1.8
    floor = results.of("throughput", Entry("floor", 10))
    tap = results.of("throughput", Entry("tap", 10))
    if floor is None or tap is None:
        return Aim(what, must)
    ratio = tap.seconds / floor.seconds
    return Aim(what, must, f"{ratio:.2f} times", ratio <= most)


def _many_jobs(results: Results) -> list[Aim]:
    time = Aim("10,000 jobs against 1,000: time", "≤ 11 times")
    state = Aim("10,000 jobs: STATE", "≤ 3 % of the output")
    most_time, most_state = 11, 0.03
    few = results.of("many-jobs", Entry("tap", 1_000))
    many = results.of("many-jobs", Entry("tap", 10_000))
    if few and many:
        ratio = many.seconds / few.seconds
        share = many.state_bytes / many.output_bytes
        time = Aim(time.what, time.must, f"{ratio:.2f} times", ratio <= most_time)
        state = Aim(state.what, state.must, f"{share:.2%}", share <= most_state)
    return [time, state]


def _memory(results: Results) -> Aim:
    what = "memory, 2,000,000 events against 20,000"
    must = "peak within 15 %, and under 150 MB"
    most_growth, most = 0.15, 150 * _MEGABYTE
    few = results.of("memory", Entry("tap", 4))
    many = results.of("memory", Entry("tap", 400))
    if few is None or many is None:
        return Aim(what, must)
    growth = many.peak_bytes / few.peak_bytes - 1
    return Aim(
        what,
        must,
        f"{growth:+.1%}: {many.peak_bytes / _MEGABYTE:.0f} MB against"
        f" {few.peak_bytes / _MEGABYTE:.0f} MB",
        growth <= most_growth and many.peak_bytes < most,
    )


def _rate_limit(results: Results) -> Aim:
    """Each 429 is one retry, as the stand-in answers nothing else that is retried."""
    what = "limit of 20 requests/s, 8 jobs at once"
    must = "≥ 85 % of the limit used, ≤ 5 % of requests answered 429"
    least_used, most_refused = 0.85, 0.05
    (scenario,) = (each for each in SCENARIOS if each.rate_limit)
    medians = results.of(scenario.name, scenario.entries[0])
    if medians is None or not scenario.rate_limit:
        return Aim(what, must)
    # Beside its rate the API lets one second's worth through at once.
    allowed = scenario.rate_limit * (medians.seconds + 1)
    used = (medians.requests - medians.retries) / allowed
    refused = medians.retries / medians.requests
    return Aim(
        what,
        must,
        f"{used:.1%} used, {refused:.1%} answered 429",
        used >= least_used and refused <= most_refused,
    )
