"""Timestamps as every target reads them: RFC 3339, in UTC, with a ``Z``."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import msgspec

# 29 February is left out, because it depends on the year.
_CANONICAL = re.compile(
    rb'"(?!0000)\d{4}-'
    rb"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    rb"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    rb"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?Z\""
)
_ISO8601 = re.compile(
    r"(\d{4})(-?)(\d\d)\2(\d\d)"
    r"(?:[Tt ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?"
    r" ?(?:[Zz]|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)?)?",
    re.ASCII,
)


def is_canonical(value: Any) -> bool:
    """Whether a value is JSON that `to_utc` would not change.

    True for nearly all timestamps. False for some that are canonical, such as those of
    29 February.
    """
    return isinstance(value, msgspec.Raw) and bool(_CANONICAL.fullmatch(value))


def to_utc(value: Any) -> str | None:
    """Convert an ISO 8601 timestamp to RFC 3339 in UTC.

    One without an offset is taken as UTC, a date as its midnight. Of the fraction at
    most six digits are kept, as they are written: a database's timestamp holds no more.
    A leap second and 24:00 become the moment that follows.

    Args:
        value: A field of the API's, documented as an ISO 8601 text.

    Returns:
        For example ``2022-03-15T14:23:23.5Z``; None if the value is no timestamp.
    """
    if not isinstance(value, str):
        return None
    match = _ISO8601.fullmatch(value)
    if match is None or not (match[2] or match[5]):
        return None
    year, _, month, day, hour, minute, second, fraction, sign, *offset = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day))  # noqa: DTZ001 - UTC below
        moment += _time_of_day(int(hour or 0), int(minute or 0), int(second or 0))
        if sign:
            shift = timedelta(hours=int(offset[0]), minutes=int(offset[1] or 0))
            moment += shift if sign == "-" else -shift
    except (ValueError, OverflowError):
        return None
    return f"{moment.isoformat()}{f'.{fraction[:6]}' if fraction else ''}Z"


def _time_of_day(hour: int, minute: int, second: int) -> timedelta:
    """The time since midnight.

    Raises:
        ValueError: If there is no such time of day.
    """
    whole_day = (hour, minute, second) == (24, 0, 0)
    if (hour > 23 and not whole_day) or minute > 59 or second > 60:  # noqa: PLR2004
        raise ValueError("no time of day")
    return timedelta(hours=hour, minutes=minute, seconds=second)
