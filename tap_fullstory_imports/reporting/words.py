"""Parts of sentences for the user."""

from __future__ import annotations

import itertools
from collections.abc import Collection

JOBS_NAMED = 5


def many(number: int, thing: str) -> str:
    """A number of things: ``1 row``, ``1,200 rows``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def named(job_ids: Collection[str], jobs: int) -> str:
    """The names of a few of the jobs, and the number of the others."""
    names = ", ".join(itertools.islice(job_ids, JOBS_NAMED))
    more = jobs - JOBS_NAMED
    return f"{names} and {more} more" if more > 0 else names


def bounded(text: str, length: int = 200) -> str:
    """A text of others, fit to be shown: printable, on one line, not endless."""
    shown = "".join(char if char.isprintable() else " " for char in text[: 4 * length])
    shown = " ".join(shown.split())
    return shown if len(shown) <= length else f"{shown[:length]}…"
