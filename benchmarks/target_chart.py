"""Draws `targets.svg` from `targets.json`; runs where matplotlib is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt

OURS, OTHERS = "#2f6fd6", "#b4bbc6"


def main() -> None:
    """Draw a bar for each way."""
    folder = Path(sys.argv[1])
    content = json.loads((folder / "targets.json").read_text(encoding="utf-8"))
    ways = [way for way in content["ways"] if way["loads"] and not way["failure"]]
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same file for the same numbers
    figure, axis = plt.subplots(
        figsize=(8, 0.3 * (len(ways) + 1.2)), layout="constrained"
    )
    _draw(axis, "API → PostgreSQL, events a second", ways)
    figure.savefig(folder / "targets.svg", facecolor="white", metadata={"Date": None})


def _rate(way: dict[str, Any]) -> float:
    seconds = median(load["seconds"] for load in way["loads"])
    return float(way["events"]) / float(seconds)


def _draw(axis: Any, title: str, ways: list[dict[str, Any]]) -> None:
    ways = sorted(ways, key=_rate)
    colours = [OURS if way["is_ours"] else OTHERS for way in ways]
    names = [way["label"] for way in ways]
    bars = axis.barh(names, [_rate(way) for way in ways], color=colours)
    axis.bar_label(bars, fmt="{:,.0f}", padding=4, fontsize=9)
    axis.set_title(title, loc="left", fontsize=11)
    axis.margins(x=0.1)
    axis.xaxis.set_visible(False)
    axis.spines[:].set_visible(False)
    axis.tick_params(left=False, labelsize=9)


main()
