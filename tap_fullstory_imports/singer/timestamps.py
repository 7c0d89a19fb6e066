"""Timestamps as every target reads them: RFC 3339, in UTC, with a ``Z``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

# 29 February is left out, because it depends on the year.
_CANONICAL = re.compile(
    rb'"(?!0000)\d{4}-'
    rb"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    rb"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    rb"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?Z\""
)


def is_canonical(value: Any) -> bool:
    """Whether a value is JSON that `to_utc` would not change.

    True for nearly all timestamps. False for some that are canonical, such as those of
    29 February.
    """
    return isinstance(value, msgspec.Raw) and bool(_CANONICAL.fullmatch(value))


def to_utc(value: Any) -> str | None:
    """Convert an ISO 8601 timestamp to RFC 3339 in UTC.

    One without an offset is taken as UTC, a date as its midnight. At most six digits of
    the fraction are kept: a database's timestamp holds no more.

    Args:
        value: A field of the API's, documented as an ISO 8601 text.

    Returns:
        For example ``2022-03-15T14:23:23.500000Z``; None if the value is no timestamp.
    """
    try:
        moment = datetime.fromisoformat(value.strip().upper())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    except (AttributeError, ValueError, OverflowError):
        return None
    return moment.isoformat().replace("+00:00", "Z")
