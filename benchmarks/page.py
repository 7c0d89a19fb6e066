"""Tables and charts in Markdown, and where they are in `docs/speed.md`."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from benchmarks.programs import ROOT

PAGE = ROOT / "docs" / "speed.md"


def table(head: str, rows: Iterable[str], texts: int) -> str:
    """Make a table of lines with cells between bars; numbers follow the texts."""
    columns = head.count("|") + 1
    rule = "|".join(["---"] * texts + ["--:"] * (columns - texts))
    lines = [head, rule, *rows]
    return "".join(f"| {line.replace('|', ' | ')} |\n" for line in lines)


def chart(lines: list[str]) -> str:
    """A bar of the seconds of each program, for the first work of a table."""
    cells = [line.split("|") for line in lines]
    bars = {one[1]: one[2] for one in cells if one[0] == cells[0][0]}
    names = ", ".join(f'"{name}"' for name in bars)
    return (
        f'\n```mermaid\nxychart-beta horizontal\n  title "Seconds: {cells[0][0]}"\n'
        f"  x-axis [{names}]\n  bar [{', '.join(bars.values())}]\n```\n"
    )


def machine() -> str:
    """Describe the day, the machine, and what else runs on it now."""
    version = ".".join(platform.python_version_tuple()[:2])
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()},"
        f" Python {version}, load average {os.getloadavg()[0]:.1f} at the start"
    )


def show(part: str, text: str) -> None:
    """Replace the figures of a part in the page."""
    page = PAGE.read_text(encoding="utf-8")
    pattern = rf"(<!-- figures: {part} -->\n).*?(?=<!-- end -->)"
    page, count = re.subn(pattern, lambda found: found[1] + text, page, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{PAGE.name} has {count} places for {part}")
    PAGE.write_text(page, encoding="utf-8")
