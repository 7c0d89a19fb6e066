"""How much of a rate limit the tap uses, simulated without waiting."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterable
from functools import partial
from statistics import mean

from benchmarks.page import table
from benchmarks.programs import Program
from tap_fullstory_imports.fullstory.pace import Pace
from tests.limiters import Shared, SlidingWindow
from tests.test_pace import LIMITERS, USUAL_LATENCY, Simulation, Unpaced

_CLIENTS = {"4": (4,), "8": (8,), "16": (16,), "32": (32,), "4 times 8": (8,) * 4}
_REQUESTS, _SEEDS = 3_000, range(3)
_LATENCIES = {"5 in any second, slow": (0.4, 0.6)}
_LIMITERS = LIMITERS | {
    "5 in any second, slow": partial(SlidingWindow, 5),
    "10 % at random": partial(Shared, 0.1),
}


def report(taps: Iterable[Program]) -> str:
    """Simulate the pace of each checkout; return the table.

    A cell has the share of the limit that was used, and the share of 429 answers. Where
    429 answers come at random, there is no limit. The first share then compares the
    speed with that of a client that only pauses.
    """
    rows = []
    path = "tap_fullstory_imports/fullstory/pace.py"
    paces = {tap.label: runpy.run_path(str(tap.root / path))["Pace"] for tap in taps}
    for name, make in _LIMITERS.items():
        latency = _LATENCIES.get(name, USUAL_LATENCY)
        for asked in ("yes", "no"):
            limiter = partial(make, retry_after=asked == "yes")
            for label, pace in paces.items():
                simulated = partial(Simulation, limiter, latency=latency)
                cells = [_cell(simulated, pace, *each) for each in _CLIENTS.values()]
                rows.append("|".join([name, asked, label, *cells]))
    return table("|".join(["limit|Retry-After|program", *_CLIENTS]), rows, texts=3)


def _cell(simulated: Callable[..., Simulation], pace: type[Pace], *clients: int) -> str:
    runs = [simulated(*clients, seed=one, pace=pace).run(_REQUESTS) for one in _SEEDS]
    used = mean(run.used for run in runs)
    if not used:  # no limit
        unpaced = [simulated(*clients, seed=one, pace=Unpaced) for one in _SEEDS]
        possible = sum(one.run(_REQUESTS).now for one in unpaced)
        used = possible / sum(run.now for run in runs)
    return f"{used:.0%}, {mean(run.refused_share for run in runs):.1%}"
