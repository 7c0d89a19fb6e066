"""What must not reach the log: the API key, and headers that can't be read."""

from __future__ import annotations

import base64
import json
import logging
import re
from urllib.parse import quote

HIDDEN = "***"
_PREFIX = 12  # characters; also hides a key that was cut off after them


class KeyFilter(logging.Filter):
    """Replaces the API key in each line, in all forms that a program may give it.

    Source of the forms: a key may come back from the API in an address, in JSON, or
    encoded as HTTP does with a user name and a password.
    """

    def __init__(self, key: str) -> None:
        """Prepare the forms of a key."""
        super().__init__()
        if len(key) < _PREFIX:
            key = ""  # no key is so short, and a part of a word must not be hidden
        forms = {key, json.dumps(key)[1:-1], json.dumps(key)[1:-1].replace("/", "\\/")}
        for text in (key, f":{key}"):
            encoded = base64.b64encode(text.encode()).decode().rstrip("=")
            forms |= {encoded, encoded.translate(str.maketrans("+/", "-_"))}
        for _ in range(2):  # a percent-encoded job ID is encoded again in a path
            forms |= {quote(form, safe="") for form in forms}
        longest_first = sorted(forms if key else (), key=len, reverse=True)
        self._forms = re.compile(
            "|".join(
                rf"{re.escape(form[:_PREFIX])}(?:{re.escape(form[_PREFIX:])}|\S*)"
                if len(form) > _PREFIX
                else re.escape(form)
                for form in longest_first
            )
            or r"(?!)",
            re.IGNORECASE,
        )

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide the key in a line; leave out urllib3's word on broken headers."""
        if record.msg.__class__ is str and record.msg.startswith(
            "Failed to parse head"
        ):
            return False  # it would quote the rest of the answer
        text = record.getMessage()
        if self._forms.search(text):
            record.msg, record.args = self._forms.sub(HIDDEN, text), None
        if record.exc_info:
            shown = logging.Formatter().formatException(record.exc_info)
            record.exc_text, record.exc_info = self._forms.sub(HIDDEN, shown), None
        return True


def hide(key: str) -> None:
    """Hide a key in all lines that the root logger's handlers write from now on."""
    key_filter = KeyFilter(key)
    for handler in logging.getLogger().handlers:
        for other in list(handler.filters):
            if isinstance(other, KeyFilter):
                handler.removeFilter(other)
        handler.addFilter(key_filter)
