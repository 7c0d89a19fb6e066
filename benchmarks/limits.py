"""How much of a rate limit the tap uses, simulated without waiting."""

from __future__ import annotations

import runpy
from functools import partial
from statistics import mean
from typing import TYPE_CHECKING

from benchmarks.page import table
from tests.limiters import Shared
from tests.test_pace import LIMITERS, Simulation, Unpaced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.programs import Program
    from tap_fullstory_imports.fullstory.pace import Pace
    from tests.test_pace import MakeLimiter

_CLIENTS = {"4": (4,), "8": (8,), "16": (16,), "32": (32,), "4 of 8": (8,) * 4}
_REQUESTS, _SEEDS = 3_000, range(3)


def report(taps: Iterable[Program]) -> str:
    """Simulate the pace of each checkout; return the table.

    A cell has the share of the limit that was used, and the share of 429 answers. Where
    429 answers come at random, there is no limit. The first share then compares the
    speed with that of a client that only pauses.
    """
    limits: dict[str, MakeLimiter] = {
        **LIMITERS,
        "10 % at random": partial(Shared, 0.1),
    }
    rows = []
    for name, make in limits.items():
        for asked in ("yes", "no"):
            limiter = partial(make, retry_after=asked == "yes")
            for tap in taps:
                cells = [
                    _cell(limiter, _pace(tap), *each) for each in _CLIENTS.values()
                ]
                rows.append("|".join([name, asked, tap.label, *cells]))
    return table("|".join(["limit|Retry-After|program", *_CLIENTS]), rows, texts=3)


def _pace(tap: Program) -> type[Pace]:
    path = tap.root / "tap_fullstory_imports" / "fullstory" / "pace.py"
    pace: type[Pace] = runpy.run_path(str(path))["Pace"]
    return pace


def _cell(limiter: MakeLimiter, pace: type[Pace], *clients: int) -> str:
    runs, unpaced = (
        [
            Simulation(limiter, *clients, seed=seed, pace=each).run(_REQUESTS)
            for seed in _SEEDS
        ]
        for each in (pace, Unpaced)
    )
    used = mean(run.used for run in runs)
    if not used:  # no limit
        used = sum(run.now for run in unpaced) / sum(run.now for run in runs)
    return f"{used:.0%}, {mean(run.refused_share for run in runs):.1%}"
