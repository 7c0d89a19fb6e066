"""Parts of sentences; and the API key, which no sentence shows."""

from __future__ import annotations

import base64
import itertools
import logging
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

HIDDEN = "***"
JOBS_NAMED = 5
_SHORTEST = 12  # characters of a key: a shorter text could be a part of any word
# The first one would quote the rest of an answer, the second one is of the SDK.
_LEFT_OUT = "Failed to parse headers", "Skipping parse of env"
_LOGGERS = "tap-fullstory-imports", "urllib3.connection", "urllib3.connectionpool"


def many(number: int, thing: str) -> str:
    """A number of things: ``1 row``, ``1,200 rows``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def named(job_ids: Iterable[str], jobs: int) -> str:
    """The names of a few of the jobs, and the number of the others."""
    names = ", ".join(itertools.islice(job_ids, JOBS_NAMED))
    more = jobs - JOBS_NAMED
    return f"{names} and {more:,} more" if more > 0 else names


def bounded(text: str, length: int = 200) -> str:
    """A text of others, fit to be shown: printable, on one line, not endless."""
    shown = "".join(char if char.isprintable() else " " for char in text[: 4 * length])
    shown = " ".join(shown.split())
    return shown if len(shown) <= length else f"{shown[:length]}…"


def without_key(text: str, key: str) -> str:
    """A text with stars in the place of a key: as it is, percent-encoded or in base64.

    The key can come back from a server whole or cut off after 12 characters, and with
    or without the name of its data centre (``na1.``).
    """
    return _forms(key).sub(HIDDEN, text)


@lru_cache(maxsize=2)
def _forms(key: str) -> re.Pattern[str]:
    key = re.sub(r"^basic\s+", "", key, flags=re.IGNORECASE)
    encoded = base64.b64encode(key.encode()).decode().rstrip("=")
    forms = {key, re.sub(r"^\w{2,4}\.", "", key), encoded}
    forms |= {quote(form, safe="") for form in forms}
    starts = [re.escape(one[:_SHORTEST]) for one in forms if len(one) >= _SHORTEST]
    shape = rf"(?:{'|'.join(starts)})\S*" if starts else r"(?!)"
    return re.compile(shape, re.IGNORECASE)


class _Filter(logging.Filter):
    """Hides the key in each line of a logger, whatever handlers the line reaches."""

    key = start = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide the key in a line; leave out lines that say nothing to users."""
        if str(record.msg).startswith(_LEFT_OUT):
            return False
        text = record.getMessage()
        record.msg, record.args = self.start + without_key(text, self.key), None
        if record.exc_info:
            shown = logging.Formatter().formatException(record.exc_info)
            record.exc_text, record.exc_info = without_key(shown, self.key), None
        return True


_FILTER = _Filter()


def hide(key: str, start: str = "") -> None:
    """Hide a key in all lines of the tap and of urllib3; begin each line as given."""
    _FILTER.key, _FILTER.start = key, start
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
