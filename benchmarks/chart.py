"""Draws `results.svg` from `results.json`; runs where matplotlib is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt

OURS, OTHERS = "#2f6fd6", "#b4bbc6"
TITLES = {
    "throughput": "Throughput: 200,000 events, no latency",
    "latency": "Latency: 320 pages, 50 ms before every answer",
    "many-jobs": "10,000 jobs of one page of 10 events",
}
MANY = 10_000


def main() -> None:
    """Draw the scenarios that have several programs."""
    folder = Path(sys.argv[1])
    chart = json.loads((folder / "results.json").read_text(encoding="utf-8"))["chart"]
    bars = {
        name: [bar for bar in chart[name] if name != "many-jobs" or bar["jobs"] == MANY]
        for name in TITLES
    }
    drawn = {name: rows for name, rows in bars.items() if rows}
    if not drawn:
        return
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same file for the same numbers
    heights = [len(rows) + 1.2 for rows in drawn.values()]
    figure, axes = plt.subplots(
        len(drawn),
        squeeze=False,
        figsize=(8, 0.3 * sum(heights)),
        height_ratios=heights,
        layout="constrained",
    )
    for axis, (name, rows) in zip(axes[:, 0], drawn.items(), strict=True):
        _draw(axis, TITLES[name], rows)
    figure.savefig(folder / "results.svg", facecolor="white", metadata={"Date": None})


def _draw(axis: Any, title: str, rows: list[dict[str, Any]]) -> None:
    rows = sorted(rows, key=lambda row: -row["seconds"])
    names = [row["label"].replace("`", "") for row in rows]
    colours = [OURS if row["program"] == "tap" else OTHERS for row in rows]
    bars = axis.barh(names, [row["seconds"] for row in rows], color=colours)
    axis.bar_label(bars, fmt="%.1f s", padding=4, fontsize=9)
    axis.set_title(title, loc="left", fontsize=11)
    axis.margins(x=0.1)
    axis.xaxis.set_visible(False)
    axis.spines[:].set_visible(False)
    axis.tick_params(left=False, labelsize=9)


main()
