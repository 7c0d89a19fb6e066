"""Replaces NUL and unpaired surrogates, which some databases reject.

In JSON they only occur as escapes, so the answer is searched without decoding it.
"""

from __future__ import annotations

import re

_REPLACEMENT = b"\\ufffd"
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_HIGH, _LOW = (rb"u[dD][%s][0-9a-fA-F]{2}" % half for half in (b"89abAB", b"c-fC-F"))
# Every escape is matched, for the backslash of the next one may belong to this one.
_ESCAPE = re.compile(
    rb"\\(?:(?P<good>%s\\%s)|(?P<bad>u0000|%s|%s)|.)" % (_HIGH, _LOW, _HIGH, _LOW),
    re.DOTALL,
)


def replace_unstorable(body: bytes) -> bytes:
    """Replace each NUL and each unpaired surrogate in all texts and names of a JSON."""
    if not _SUSPECT.search(body):
        return body
    return _ESCAPE.sub(_replaced, body)


def _replaced(escape: re.Match[bytes]) -> bytes:
    return _REPLACEMENT if escape["bad"] else escape[0]
