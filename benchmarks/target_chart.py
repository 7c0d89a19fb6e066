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
    """Draw a part for each database."""
    folder = Path(sys.argv[1])
    content = json.loads((folder / "targets.json").read_text(encoding="utf-8"))
    ways = [way for way in content["ways"] if way["loads"] and not way["failure"]]
    places = list(dict.fromkeys(way["where"] for way in ways))
    parts = [[way for way in ways if way["where"] == place] for place in places]
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same file for the same numbers
    heights = [len(part) + 1.2 for part in parts]
    figure, axes = plt.subplots(
        len(parts),
        squeeze=False,
        figsize=(8, 0.3 * sum(heights)),
        height_ratios=heights,
        layout="constrained",
    )
    for axis, place, part in zip(axes[:, 0], places, parts, strict=True):
        _draw(axis, f"API → {place}, events a second", part)
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
