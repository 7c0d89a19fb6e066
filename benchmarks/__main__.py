"""Measures the tap against the stand-in API, and shows the figures.

Without `--write` the figures are printed; with it they replace those in docs/speed.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import cold, database, limits, page, works
from benchmarks.programs import ALL_PEERS, HEAD, TAP, checkout
from benchmarks.works import WORKS

USUAL = ("peers", "database", "limits")
PARTS = (*USUAL, "cold", "tap")


def main() -> None:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {PARTS}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checkout", type=Path, help="of this repository, beside it")
    parser.add_argument("--work", action="append", choices=WORKS)
    parser.add_argument("--peer", action="append", choices=ALL_PEERS)
    parser.add_argument("--events", type=int, default=100_000, help="into a database")
    parser.add_argument("--write", action="store_true", help="into docs/speed.md")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"unknown part: {', '.join(unknown)}")
    parts = args.parts or USUAL
    taps = [TAP, *([checkout(args.checkout)] if args.checkout else [])]
    chosen = [WORKS[name] for name in args.work or WORKS]
    common = [work for work in chosen if work.is_common]
    peers = [ALL_PEERS[name] for name in args.peer or ALL_PEERS]
    about, found = f"{page.machine()}; medians of {args.rounds}.\n\n", list[str]()
    if "tap" in parts:
        found += works.report(chosen, taps, args.rounds)
    if "peers" in parts:
        found += works.report(common, [TAP, *peers], args.rounds)
    if "database" in parts:
        found += database.report(args.events, args.rounds)
    texts = {}
    if found:
        texts["speed"] = about + page.table(HEAD, found, texts=2) + page.chart(found)
    if "cold" in parts:
        texts["cold"] = about + page.table(HEAD, cold.report(args.rounds), texts=2)
    if "limits" in parts:
        texts["limits"] = limits.report(taps)
    for part, text in texts.items():
        sys.stdout.write(text)
        if args.write:
            page.show(part, text)


if __name__ == "__main__":
    main()
