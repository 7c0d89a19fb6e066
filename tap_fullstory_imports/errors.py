"""What each answer means: wait, try again, fail the job or stop the run, and why.

Every text here is shown to users. It holds a status, the API's ``code`` and a bounded
``message``; never a key, a row or a body.

Source: https://developer.fullstory.com/server/error-handling/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

import backoff
import requests
import urllib3

from tap_fullstory_imports import clock
from tap_fullstory_imports.pages import UnreadableAnswerError, decode_object

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from datetime import datetime

MESSAGE_LENGTH = 200
_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


class NotReadyError(Exception):
    """The job is still processing: ask again later. It says nothing about its rows."""


class RetriableError(Exception):
    """The request failed in a way that may pass.

    Attributes:
        asked_wait: Seconds that the server asks to wait, at the least; None if it
            does not say.
        is_for_all: Whether other requests would fail in the same way.
    """

    def __init__(
        self, reason: str, asked_wait: float | None = None, *, is_for_all: bool = False
    ) -> None:
        """Keep what happened, in words, and what the server asks for."""
        super().__init__(reason)
        self.asked_wait = asked_wait
        self.is_for_all = is_for_all


class JobError(Exception):
    """The job can't be read in this run; the others can."""


class MissingJobError(JobError):
    """The API does not know the job."""


class AccessError(Exception):
    """The API refuses the key: no job can be read."""


@dataclass(frozen=True)
class _Rule:
    """What an answer with some status leads to."""

    error: type[Exception]
    sentence: str


_RULES: dict[int, _Rule] = {
    HTTPStatus.ACCEPTED: _Rule(NotReadyError, "still processing"),
    HTTPStatus.UNAUTHORIZED: _Rule(
        AccessError,
        "Fullstory does not accept the API key ({answer}). Check that `api_key` is"
        " complete and not revoked; reading import results needs a key of the level"
        " Architect or Admin.",
    ),
    HTTPStatus.FORBIDDEN: _Rule(
        AccessError,
        "The API key may not read import results ({answer}). Set `api_key` to a key of"
        " the level Architect or Admin.",
    ),
    HTTPStatus.NOT_FOUND: _Rule(
        MissingJobError,
        "Fullstory does not know this job ({answer}). Check its ID and that the API key"
        " belongs to the same organisation; results may also have expired. To go on"
        " without such jobs set `missing_jobs` to `skip`.",
    ),
    HTTPStatus.TOO_MANY_REQUESTS: _Rule(
        RetriableError, "Fullstory's rate limit is used up ({answer})"
    ),
}
_REDIRECT = _Rule(
    JobError,
    "Fullstory answered with a redirect ({answer}), which is not followed: the API key"
    " must not reach another host. Check `api_url`.",
)
_REFUSED = _Rule(JobError, "Fullstory refused the request ({answer}).")
_SERVER = _Rule(RetriableError, "Fullstory failed ({answer})")


def check(response: requests.Response) -> None:
    """Return for an answer with status 200, raise what any other one means.

    Raises:
        NotReadyError: For 202.
        RetriableError: For 429, 5xx and every status that the API does not document.
        AccessError: For 401 and 403.
        MissingJobError: For 404.
        JobError: For 3xx and every other 4xx.
    """
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    by_class = {3: _REDIRECT, 4: _REFUSED}
    rule = _RULES.get(status) or by_class.get(status // 100, _SERVER)
    text = rule.sentence.format(answer=_describe(response))
    if rule.error is RetriableError:
        is_for_all = status == HTTPStatus.TOO_MANY_REQUESTS
        raise RetriableError(text, asked_wait(response), is_for_all=is_for_all)
    raise rule.error(text)


def connection_failed(error: Exception, seconds: float) -> RetriableError | JobError:
    """Put a failure to get an answer into words.

    Args:
        error: What requests raised, or urllib3 while the answer was read.
        seconds: The time limit of the request.
    """
    if isinstance(
        error, (requests.Timeout, TimeoutError, urllib3.exceptions.TimeoutError)
    ):
        return RetriableError(f"no answer within {seconds:g} s")
    if isinstance(
        error,
        (
            requests.exceptions.ChunkedEncodingError,
            requests.exceptions.ContentDecodingError,
            urllib3.exceptions.HTTPError,
        ),
    ):
        return RetriableError("the answer was cut off")
    if isinstance(error, requests.exceptions.InvalidHeader) or any(
        isinstance(cause, HTTPException) and not isinstance(cause, OSError)
        for cause in _causes(error)
    ):
        return RetriableError("the headers of the answer can't be read")
    if isinstance(error, ValueError):  # requests' word for a URL it can't use
        return JobError(f"The request can't be sent ({type(error).__name__}).")
    kind = "the connection failed"
    if isinstance(error, requests.exceptions.ProxyError):
        kind = "the connection to the proxy failed"
    elif isinstance(error, requests.exceptions.SSLError):
        kind = "no secure connection could be made"
    return RetriableError(f"{kind} ({_root_cause(error)})")


def asked_wait(response: requests.Response) -> float | None:
    """The seconds that ``Retry-After`` asks for, as a number or as a date.

    A date is compared with the date of the answer where it has one: the clock of this
    machine may be wrong. A header that can't be read counts as none.
    """
    text = response.headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until = _date(text)
    if until is None:
        return None
    since = _date(response.headers.get("Date", "")) or clock.today()
    return max(0.0, (until - since).total_seconds())


def retry_waits() -> Generator[float, Any, None]:
    """Seconds between the attempts of a request: 1, 2, 4 … 60, each with jitter."""
    waits = backoff.expo(base=2, factor=1, max_value=60)
    next(waits)  # the generator's first value starts it
    return (backoff.random_jitter(wait) for wait in waits)


def poll_waits() -> Generator[float, Any, None]:
    """Seconds between the questions whether a job is ready: 2, 4, 8, 16, 30, 30 …."""
    waits = backoff.expo(base=2, factor=2, max_value=30)
    next(waits)
    return waits


def _describe(response: requests.Response) -> str:
    """Status, code and message of an error answer, bounded and on one line."""
    try:
        answer = decode_object(response.content)
    except UnreadableAnswerError:
        answer = {}
    text = str(response.status_code)
    for name, mark, length in (("code", " ", 50), ("message", ": ", MESSAGE_LENGTH)):
        if isinstance(said := answer.get(name), str) and said:
            text += mark + bounded(_without_key(said, response), length)
    return text


def _without_key(text: str, response: requests.Response) -> str:
    """Leave the API key out of a text, should a server or a proxy repeat it."""
    header = str(response.request.headers.get("Authorization", ""))
    key = header.removeprefix("Basic ")
    return text.replace(key, "***") if key else text


def bounded(text: str, length: int = MESSAGE_LENGTH) -> str:
    """A text of others, made fit to be shown: printable, on one line, not endless."""
    shown = "".join(char if char.isprintable() else " " for char in text[: 2 * length])
    shown = " ".join(shown.split())
    return shown if len(shown) <= length else f"{shown[:length]}…"


def many(number: int, thing: str) -> str:
    """A number of things, in words: ``1 row``, ``1,200 rows``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, down to the first one."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _root_cause(error: BaseException) -> str:
    """What the operating system or the TLS library said, below requests' wrappers."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.strerror:
            return bounded(cause.strerror)
        error = cause
    return type(error).__name__
