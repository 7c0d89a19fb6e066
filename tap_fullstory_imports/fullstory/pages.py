"""An answer's bytes as a page or a status. The values of rows stay JSON.

A value is JSON, bytes as they came (`msgspec.Raw`), until somebody needs what is in it.
So every number keeps its digits and every text its escapes. There is one exception: NUL
and unpaired surrogates, which no database stores, become U+FFFD.
"""

from __future__ import annotations

import codecs
import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit
from weakref import WeakKeyDictionary

import msgspec
import requests

from tap_fullstory_imports.fullstory.answers import JobError, RetriableError

Row = dict[str, Any]
T = TypeVar("T")

FINAL_STATUSES = ("COMPLETED", "FAILED")
_ERROR_FIELDS = {"code", "error", "message"}
_NO_OBJECT = "it is not a JSON object"
_CHUNK_BYTES = 8 * 1024  # decoding larger pieces fragments the heap permanently
_DIGITS = 4_000  # Python refuses to make an int of more than 4,300 digits


class Page(list[Row]):
    """The rows of a page.

    Attributes:
        total: How many rows the whole job has, by the API's word; None where the
            answer does not say.
        token: What to send for the next page; None on the last one.
        replaced: How many characters have become U+FFFD.
    """

    total: int | None = None
    token: str | None = None
    replaced = 0


class Status(Page):
    """The status of a job: a page with one row.

    Attributes:
        word: ``PROCESSING``, ``COMPLETED``, ``FAILED``, or a word added later.
        imported: How many of its events or users were imported.
        failed: How many of them failed.
    """

    word = "UNKNOWN"
    imported = 0
    failed = 0

    @property
    def is_final(self) -> bool:
        """Whether the import has ended."""
        return self.word in FINAL_STATUSES


class _Answer(msgspec.Struct):
    """A page, or one of the errors that come with the status 200."""

    results: list[dict[str, msgspec.Raw]] | msgspec.UnsetType | None = msgspec.UNSET
    total_records: object = msgspec.UNSET
    next_page_token: object = msgspec.UNSET
    code: object = msgspec.UNSET
    error: object = msgspec.UNSET
    message: object = msgspec.UNSET


_FIELDS = _Answer.__struct_fields__
# In JSON, NUL and surrogates only occur as escapes.
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_HIGH, _LOW = (rb"u[dD][%s][0-9a-fA-F]{2}" % half for half in (b"89abAB", b"c-fC-F"))
# Every escape is matched, for the backslash of the next one may belong to this one.
_ESCAPE = re.compile(
    rb"\\(?:(?P<good>%s\\%s)|(?P<bad>u0000|%s|%s)|.)" % (_HIGH, _LOW, _HIGH, _LOW),
    re.DOTALL,
)

_PAGES = msgspec.json.Decoder(_Answer)
_OBJECTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_pages: WeakKeyDictionary[requests.Response, Page] = WeakKeyDictionary()


def page_of(response: requests.Response) -> Page:
    """The page that an answer holds, read once however often it is asked for.

    Raises:
        RetriableError: If the answer is not a page. The text never quotes it.
        JobError: If a row is nested too deeply.
    """
    page = _pages.get(response)
    if page is None:
        page = _pages[response] = _read_page(response.content)
    return page


def _read_page(content: bytes) -> Page:
    body, replaced = _storable(content)
    answer = _decoded(body, _PAGES)
    said = {name for name in _FIELDS if getattr(answer, name) is not msgspec.UNSET}
    if said and said <= _ERROR_FIELDS:
        raise _unusable("it is an error although its status is 200")
    token = answer.next_page_token or None
    if token is not None and not isinstance(token, str):
        raise _unusable("its `next_page_token` is not a text")
    if token and replaced and "\ufffd" in token:
        raise _unusable("its `next_page_token` can't be sent")
    page = Page(answer.results or ())
    page.total, page.token = count(answer.total_records), token
    page.replaced = replaced
    return page


def status_of(response: requests.Response) -> Status:
    """The status of a job that an answer holds. A missing count is 0, as in protobuf.

    Raises:
        RetriableError: If the answer does not hold the status of the job.
    """
    body, _ = _storable(response.content)
    answer = _decoded(body, _OBJECTS)
    if "job" not in answer and not _ERROR_FIELDS.isdisjoint(answer):
        raise _unusable("it is an error although its status is 200")
    try:
        job = _OBJECTS.decode(answer.get("job", b"null"))
    except msgspec.ValidationError:
        raise _unusable("its `job` is not an object") from None
    path = urlsplit(response.request.url or "").path
    asked, answered = unquote(path.rpartition("/")[2]), decode(job.get("id"))
    if (answered or asked) != asked:
        raise _unusable("it is the status of another job")
    counts = [count(decode(answer.get(name, 0))) for name in ("imports", "errors")]
    if None in counts:
        raise _unusable("its counts are not numbers")
    status = Status([answer])
    status.word = str(decode(job.get("status")) or Status.word)
    status.imported, status.failed = (number or 0 for number in counts)
    return status


def _decoded(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode the body of an answer, the values of its rows not yet.

    Raises:
        RetriableError: If it is not what the API promises.
        JobError: If it is nested too deeply.
    """
    try:
        _check_utf8(body)
        answer = decoder.decode(body)
        if b"\n" in body or b"\r" in body:
            # They are between tokens, or the decoder would have refused them.
            answer = decoder.decode(body.replace(b"\n", b" ").replace(b"\r", b" "))
    except msgspec.ValidationError as error:
        is_rows = "$.results" in str(error)
        wrong = "its `results` are not a list of objects" if is_rows else _NO_OBJECT
        raise _unusable(wrong) from None
    except msgspec.DecodeError as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        raise _unusable(f"it is not JSON: {reason}") from None
    except UnicodeDecodeError:
        raise _unusable("it is not text in UTF-8") from None
    except RecursionError:
        raise JobError("It has a row that is nested too deeply to be read.") from None
    return answer


def _check_utf8(body: bytes) -> None:
    """Raise UnicodeDecodeError unless a body is UTF-8, which msgspec does not check.

    Piece by piece, which saves time and memory.
    """
    if body.isascii():
        return
    start, view = 0, memoryview(body)
    while start < len(body):
        chunk = view[start : start + _CHUNK_BYTES]
        is_last = start + len(chunk) == len(body)
        start += codecs.utf_8_decode(chunk, "strict", is_last)[1]


def _storable(body: bytes) -> tuple[bytes, int]:
    """Replace what no database stores, and leave out what surrounds the JSON.

    Returns:
        The body, and how many characters were replaced.
    """
    body, replaced = body.removeprefix(codecs.BOM_UTF8).strip(), 0
    if not _SUSPECT.search(body):
        return body, replaced

    def fixed(escape: re.Match[bytes]) -> bytes:
        nonlocal replaced
        if not escape["bad"]:
            return escape[0]
        replaced += 1
        return b"\\ufffd"

    return _ESCAPE.sub(fixed, body), replaced


def _unusable(reason: str) -> RetriableError:
    return RetriableError(f"the answer can't be used: {reason}")


# Values


def _number(text: str) -> Decimal | str:
    """A number with every digit; a text if its exponent is beyond all bounds."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


_VALUES = msgspec.json.Decoder(float_hook=_number)


def decode(value: Any) -> Any:
    """A value of a row, decoded if it is still JSON; numbers with all their digits."""
    if not isinstance(value, msgspec.Raw):
        return value
    try:
        return _VALUES.decode(value)
    except msgspec.ValidationError:  # more digits than an int may have
        return json.loads(bytes(value), parse_int=_number, parse_float=_number)


def count(value: Any) -> int | None:
    """A count that the API wrote as a text or as a number; None if it is neither."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value) if len(value) < _DIGITS else None
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count else None
