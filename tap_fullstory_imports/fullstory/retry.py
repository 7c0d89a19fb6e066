"""How long to wait before a request is tried again, or a job is asked again."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import backoff

from tap_fullstory_imports.fullstory import clock

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from datetime import datetime

_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds that ``Retry-After`` asks for, as a number or as a date.

    A date is compared with the date of the answer where the answer has one, because the
    clock of this machine may be wrong. An unreadable header counts as a missing one.
    """
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until = _date(text)
    if until is None:
        return None
    since = _date(headers.get("Date", "")) or clock.today()
    return max(0.0, (until - since).total_seconds())


def retry_waits() -> Generator[float, Any, None]:
    """Seconds between the attempts of a request: 1, 2, 4 … 60, each with jitter."""
    waits = backoff.expo(base=2, factor=1, max_value=60)
    next(waits)  # starts the generator
    return (backoff.random_jitter(wait) for wait in waits)


def poll_waits() -> Generator[float, Any, None]:
    """Seconds between two questions whether a job is ready: 2, 4, 8, 16, 30, 30 …."""
    waits = backoff.expo(base=2, factor=2, max_value=30)
    next(waits)
    return waits


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
