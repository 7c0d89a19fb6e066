"""An answer's bytes as a page: read once, its numbers and texts as they came."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

from tap_fullstory_imports.fullstory.verdict import FINAL_STATUSES

if TYPE_CHECKING:
    import requests

_CHUNK_BYTES = 8 * 1024  # the texts of larger ones leave holes in the heap for good
_RESULT_FIELDS = {"results", "total_records", "next_page_token", "imports", "job"}
_ERROR_FIELDS = {"code", "error", "message"}
_REFUSALS = (ValueError, RecursionError)
_DIGITS = 4_000  # Python refuses to make an int of more than 4,300 digits


def _number(text: str) -> Decimal | msgspec.Raw:
    """A number with every digit; as JSON where its exponent is beyond all bounds."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return msgspec.Raw(text.encode())


_DECODER = msgspec.json.Decoder(float_hook=_number)


class UnreadableAnswerError(ValueError):
    """The body of an answer is not what the API promises."""


@dataclass(frozen=True)
class Page:
    """One page of a job's results.

    Attributes:
        rows: The rows. An answer may leave them out when it has none. Their values are
            decoded or, in a page that is only split, `msgspec.Raw`: JSON as it came.
        total: How many rows the whole job has, by the API's word; None where the
            answer does not say.
        next_page_token: What to send for the next page; None on the last one.
    """

    rows: list[dict[str, Any]]
    total: int | None
    next_page_token: str | None


class _SplitAnswer(msgspec.Struct):
    """A page whose rows are split into fields only."""

    results: list[dict[str, msgspec.Raw]] | None = None
    total_records: Any = None
    next_page_token: Any = None


RowsCheck = msgspec.json.Decoder[Any]
_SPLITTER = msgspec.json.Decoder(_SplitAnswer)


@dataclass(frozen=True)
class Status:
    """What the API says of a job as a whole.

    Attributes:
        status: ``PROCESSING``, ``COMPLETED``, ``FAILED``, or a word added later.
        imported: How many of its events were imported.
        failed: How many of its events failed.
        answer: All that the API says, as decoded.
    """

    status: str
    imported: int
    failed: int
    answer: dict[str, Any]


def rows_check(row: type[msgspec.Struct]) -> RowsCheck:
    """A check that all rows of an answer are of a type."""
    field = ("results", list[row] | None, None)  # type: ignore[valid-type]
    return msgspec.json.Decoder(msgspec.defstruct("Answer", [field], gc=False))


def page_of(response: requests.Response, *, split: RowsCheck | None = None) -> Page:
    """The page that an answer holds; decoded at the first call, kept for the next.

    Args:
        response: The answer.
        split: The check of the rows' types if the values of rows that pass it may stay
            JSON: it takes a third of the time.

    Raises:
        UnreadableAnswerError: If the answer does not hold a page.
    """
    kept = vars(response)
    if "page" not in kept:
        answer = _split(response.content, split) if split else None
        kept["page"] = _read_page(answer or _decode_answer(response.content))
    page: Page = kept["page"]
    return page


def status_of(response: requests.Response, job_id: str) -> Status:
    """The status of a job that an answer holds. A missing count is 0, as in protobuf.

    Raises:
        UnreadableAnswerError: If the answer does not hold the status of this job.
    """
    answer = _decode_answer(response.content)
    job = answer.get("job")
    if not isinstance(job, dict):
        raise UnreadableAnswerError("its `job` is not an object")
    if (job.get("id") or job_id) != job_id:
        raise UnreadableAnswerError("it is the status of another job")
    imported, failed = (count(answer.get(name, 0)) for name in ("imports", "errors"))
    if imported is None or failed is None:
        raise UnreadableAnswerError("its counts are not numbers")
    return Status(
        status=str(job.get("status") or "UNKNOWN"),
        imported=imported,
        failed=failed,
        answer=answer,
    )


def is_final(page: Page) -> bool:
    """Whether the status that is the only row of a page is that of an ended import."""
    return page.rows[0]["job"].get("status") in FINAL_STATUSES


def decode_object(body: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Whole numbers become int of any size, others Decimal: both keep every digit. What
    the fast decoder refuses and the standard library reads (lone surrogates, a byte
    order mark) is read by the standard library.

    Raises:
        UnreadableAnswerError: If the body is not a JSON object. The text says why and
            never quotes the body.
    """
    try:
        answer = _DECODER.decode(body)
    except _REFUSALS:
        answer = _decode_slowly(body)
    if not isinstance(answer, dict):
        raise UnreadableAnswerError("it is not a JSON object")
    return answer


def decode_value(value: Any) -> Any:
    """A value of a row, decoded if it is still JSON.

    Raises:
        UnreadableAnswerError: If the full decoder would have refused its page.
    """
    if not isinstance(value, msgspec.Raw):
        return value
    try:
        return _DECODER.decode(value)
    except _REFUSALS:
        return _decode_slowly(bytes(value))


def _split(body: bytes, check: RowsCheck) -> dict[str, Any] | None:
    """Take a page apart down to the fields of its rows, whose values stay JSON.

    Returns:
        The answer; None if the page needs full decoding: it has no rows, spans several
        lines, has a value of an undocumented type, or is faulty. The splitter finds the
        same faults as the decoder, except invalid UTF-8, which `_check_utf8` finds.
    """
    if b"\n" in body.rstrip() or b"\r" in body.rstrip():
        return None
    try:
        answer = _SPLITTER.decode(body)
        check.decode(body)
        _check_utf8(body)
    except _REFUSALS:
        return None
    return msgspec.structs.asdict(answer) if answer.results else None


def _check_utf8(body: bytes) -> None:
    """Raise ValueError unless a body is text in UTF-8; piece by piece, to save time."""
    if body.isascii():
        return
    start, view = 0, memoryview(body)
    while start < len(body):
        chunk = view[start : start + _CHUNK_BYTES]
        is_last = start + len(chunk) == len(body)
        start += codecs.utf_8_decode(chunk, "strict", is_last)[1]


def _decode_answer(body: bytes) -> dict[str, Any]:
    answer = decode_object(body)
    if answer.keys() & _ERROR_FIELDS and not answer.keys() & _RESULT_FIELDS:
        raise UnreadableAnswerError("it is an error in spite of its status 200")
    return answer


def _decode_slowly(body: bytes) -> Any:
    try:
        return json.loads(
            body,
            parse_float=_number,
            parse_int=lambda text: int(text) if len(text) < _DIGITS else Decimal(text),
            parse_constant=lambda _: None,  # NaN and Infinity: JSON has no such number
        )
    except RecursionError:
        reason = "it is nested too deeply"
    except json.JSONDecodeError as error:
        reason = f"it is not JSON: {error.msg}, character {error.pos:,}"
    except UnicodeDecodeError:
        reason = "it is not text in UTF-8"
    raise UnreadableAnswerError(reason)


def _read_page(answer: dict[str, Any]) -> Page:
    rows = answer.get("results")
    if rows is None:
        rows = []
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise UnreadableAnswerError("its `results` are not a list of objects")
    token = answer.get("next_page_token") or None
    if token is not None and not isinstance(token, str):
        raise UnreadableAnswerError("its `next_page_token` is not a text")
    if token is not None and any("\ud800" <= char <= "\udfff" for char in token):
        raise UnreadableAnswerError("its `next_page_token` is no text that can be sent")
    return Page(rows, count(answer.get("total_records")), token)


def count(value: Any) -> int | None:
    """A count that the API wrote as a text or as a number; None if it is neither."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value) if len(value) < _DIGITS else None
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count else None
