"""What must not be shown: the API key."""

from __future__ import annotations

import base64
import logging
import re
from functools import lru_cache
from urllib.parse import quote

HIDDEN = "***"
_SHORTEST = 12  # characters of a key: a shorter text could be a part of any word
# The first one would quote the rest of an answer, the second one is of the SDK.
_LEFT_OUT = "Failed to parse headers", "Skipping parse of env"
_LOGGERS = "tap-fullstory-imports", "urllib3.connection", "urllib3.connectionpool"


def without_key(text: str, key: str) -> str:
    """A text with stars in the place of a key: as it is, percent-encoded or in base64.

    The key can come back from a server whole or cut off after 12 characters, and with
    or without the name of its data centre (``na1.``).
    """
    return _forms(key).sub(HIDDEN, text)


@lru_cache(maxsize=2)
def _forms(key: str) -> re.Pattern[str]:
    key = re.sub(r"^basic\s+", "", key, flags=re.IGNORECASE)
    forms = {key, re.sub(r"^\w{2,4}\.", "", key)}
    for text in (key, f":{key}"):
        encoded = base64.b64encode(text.encode()).decode().rstrip("=")
        forms |= {encoded, encoded.translate(str.maketrans("+/", "-_"))}
    for _ in range(2):  # a percent-encoded job ID is encoded again in a path
        forms |= {quote(form, safe="") for form in forms}
    shapes = [
        rf"{re.escape(form[:_SHORTEST])}(?:{re.escape(form[_SHORTEST:])}|\S*)"
        for form in sorted(forms, key=len, reverse=True)
        if len(form) >= _SHORTEST
    ]
    return re.compile("|".join(shapes) or r"(?!)", re.IGNORECASE)


class KeyFilter(logging.Filter):
    """Hides the key in each line of a logger, whatever handlers the line reaches."""

    def __init__(self, key: str, start: str) -> None:
        """Take the key to hide, and how each line begins."""
        super().__init__()
        self._key, self._start = key, start

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide the key in a line; leave out lines that say nothing to users."""
        if str(record.msg).startswith(_LEFT_OUT):
            return False
        text = record.getMessage()
        record.msg, record.args = self._start + without_key(text, self._key), None
        if record.exc_info:
            shown = logging.Formatter().formatException(record.exc_info)
            record.exc_text, record.exc_info = without_key(shown, self._key), None
        return True


def hide(key: str, start: str = "") -> None:
    """Hide a key in all lines of the tap's logger and of urllib3's from now on."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        for other in [one for one in logger.filters if isinstance(one, KeyFilter)]:
            logger.removeFilter(other)
        logger.addFilter(KeyFilter(key, start))
