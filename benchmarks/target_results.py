"""From loads to the table, the ratios and the README's part."""

from __future__ import annotations

from statistics import median
from typing import Any

AIMS = (
    ("This tap", "dlt", 1.0),
    ("This tap, two shards", "dlt, its parallel loading", 1.5),
    ("This tap", "This tap, checks and batches as before", 2.5),
)
_HEAD = """\
| program | events | seconds | events a second | CPU seconds |
| --- | --: | --: | --: | --: |
"""


def medians(way: dict[str, Any]) -> tuple[float, float]:
    """The medians of a way's seconds and of its CPU seconds."""
    loads = way["loads"]
    return median(one["seconds"] for one in loads), median(
        one["cpu_seconds"] for one in loads
    )


def measured(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The ways whose runs all count."""
    return [way for way in content["ways"] if way["loads"] and not way["failure"]]


def table(content: dict[str, Any]) -> str:
    """What each way took."""
    lines = ""
    for way in content["ways"]:
        start = f"| {way['label']} | {way['events']:,} |"
        if way["failure"]:
            reason = way["failure"].splitlines()[0][:60].replace("|", "\\|")
            lines += f"{start} failed: {reason} | | |\n"
        elif way["loads"]:
            took, cpu = medians(way)
            rate = way["events"] / took
            lines += f"{start} {took:.1f} | {rate:,.0f} | {cpu:.1f} |\n"
    return _HEAD + lines


def ratios(content: dict[str, Any]) -> str:
    """The ratios that must be reached, and the second loads, one to a line."""
    rates = {way["label"]: way["events"] / medians(way)[0] for way in measured(content)}
    lines = []
    for ours, other, must in AIMS:
        if ours in rates and other in rates:
            ratio = rates[ours] / rates[other]
            verdict = "reached" if ratio >= must else "**not reached**"
            lines.append(
                f"- {ours}, against {other}: {ratio:.2f} times"
                f" (at least {must}: {verdict})\n"
            )
    return "".join(lines + [f"- {line}\n" for line in content["again"]])


def page(content: dict[str, Any]) -> str:
    """All of it, as a document."""
    return (
        "# From the API into a database\n\n"
        f"Written by `{content['command']}` on {content['machine']}; medians of"
        f" {content['rounds']}. {content['versions']}.\n\n"
        f"{table(content)}\n{ratios(content)}"
    )


def summary(content: dict[str, Any]) -> str:
    """The README's part."""
    return (
        f"`{content['command']}` on {content['machine']}; medians of"
        f" {content['rounds']}, whole commands, events of about 600 bytes.\n\n"
        f"{table(content)}"
    )
