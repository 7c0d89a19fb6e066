"""What each answer means: one table, one tree of errors, a sentence for each.

Every sentence here is shown to users. It holds a status, the API's ``code`` and a
bounded ``message``, never a row or a body.

Source: https://developer.fullstory.com/server/error-handling/
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import NamedTuple

import msgspec
import requests
import urllib3
from singer_sdk.exceptions import RetriableAPIError

from tap_fullstory_imports.reporting.words import bounded, without_key

_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_MISSING_PAGES = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


class FullstoryError(Exception):
    """A request brought neither a page nor a status.

    Attributes:
        status: The HTTP status; 0 if there was no answer.
        wait: Seconds that the API asks to wait; None if it does not say.
    """

    def __init__(self, reason: str, status: int = 0, wait: float | None = None) -> None:
        super().__init__(reason)
        self.status, self.wait = status, wait


class NotReadyError(FullstoryError):
    """The job is still processing: ask again later. It says nothing about its rows."""


class RetriableError(FullstoryError, RetriableAPIError):
    """The request failed, perhaps only temporarily."""

    response = None  # of the SDK's class: the sentence says all


class RateLimitError(RetriableError):
    """The rate limit is used up, for all requests."""


class NoAnswerError(RetriableError):
    """No HTTP answer came that can be read."""


class JobError(FullstoryError):
    """The job can't be read in this run. The others can."""

    @property
    def means_expired_token(self) -> bool:
        """Whether this status means that the token of a page has expired."""
        return self.status in _MISSING_PAGES


class MissingJobError(JobError):
    """The API does not know the job."""


class AccessError(JobError):
    """The API refuses the key: for this job, or for all jobs."""


class StopError(FullstoryError):
    """No job can be read: the run stops."""


class _Rule(NamedTuple):
    """What an answer with some status leads to."""

    error: type[FullstoryError]
    sentence: str


_LATER = _Rule(RetriableError, "Fullstory can't answer now ({answer})")
_RULES: dict[int, _Rule] = {  # by status, or else by its first digit
    HTTPStatus.ACCEPTED: _Rule(NotReadyError, "The job is still processing."),
    HTTPStatus.UNAUTHORIZED: _Rule(
        AccessError,
        "Fullstory does not accept the API key ({answer}). Check that `api_key` is"
        " complete and has not been revoked. Imported rows and errors need a key with"
        " Architect or Admin permission.",
    ),
    HTTPStatus.FORBIDDEN: _Rule(
        AccessError,
        "The API key has no permission to read this ({answer}). Imported rows and"
        " errors need a key with Architect or Admin permission; a Standard key reads"
        " only job statuses (the streams `import_jobs` and `user_import_jobs`).",
    ),
    HTTPStatus.NOT_FOUND: _Rule(
        MissingJobError, "Fullstory does not know this job ({answer})."
    ),
    HTTPStatus.REQUEST_TIMEOUT: _LATER,
    HTTPStatus.CONFLICT: _LATER,
    HTTPStatus.MISDIRECTED_REQUEST: _LATER,
    HTTPStatus.LOCKED: _LATER,
    HTTPStatus.TOO_EARLY: _LATER,
    HTTPStatus.TOO_MANY_REQUESTS: _Rule(
        RateLimitError, "Fullstory's rate limit is used up ({answer})"
    ),
    3: _Rule(
        JobError,
        "Fullstory answered with a redirect ({answer}). The tap does not follow"
        " redirects, because the API key must not reach another host. Check `api_url`.",
    ),
    4: _Rule(JobError, "Fullstory refused the request ({answer})."),
}
_OTHER = _Rule(RetriableError, "Fullstory failed ({answer})")


def check(response: requests.Response) -> None:
    """Return for an answer with status 200; raise what any other answer means.

    Raises:
        FullstoryError: As `_RULES` has it; by default one after which to try again.
    """
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    rule = _RULES.get(status) or _RULES.get(status // 100, _OTHER)
    sentence = rule.sentence.format(answer=_described(response))
    raise rule.error(sentence, status, asked_wait(response.headers))


class _Said(msgspec.Struct):
    """The documented body of an error. A field of another type is no text to show."""

    code: object = None
    message: object = None


def _described(response: requests.Response) -> str:
    """Status, code and message of an error answer, bounded and on one line."""
    try:
        said = msgspec.json.decode(response.content, type=_Said)
    except (ValueError, RecursionError):
        said = _Said()
    text = str(response.status_code)
    for part, mark, length in ((said.code, " ", 50), (said.message, ": ", 200)):
        if isinstance(part, str) and part:
            text += mark + bounded(part, length)
    return without_key(text, str(response.request.headers.get("Authorization", "")))


def no_answer(error: Exception, seconds: float) -> FullstoryError:
    """Put a failure to get an answer into words.

    Args:
        error: What requests raised, or urllib3 while the answer was read.
        seconds: The time limit of the request.
    """
    timeouts = requests.Timeout, TimeoutError, urllib3.exceptions.TimeoutError
    cut = (
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
        urllib3.exceptions.HTTPError,
    )
    if isinstance(error, timeouts):
        is_connected = not isinstance(error, requests.ConnectTimeout)
        late = f"no answer within {seconds:g} s"
        return NoAnswerError(late if is_connected else "the connection timed out")
    if isinstance(error, cut):
        return RetriableError("the answer was cut off")
    if isinstance(error, requests.exceptions.InvalidHeader) or any(
        isinstance(cause, HTTPException) and not isinstance(cause, OSError)
        for cause in _causes(error)
    ):
        return NoAnswerError("the headers of the answer can't be read")
    kind, variable = "the connection failed", _proxy_variable()
    if reason := _unusable_proxy(error):
        return StopError(
            f"The proxy of the environment variable `{variable}` can't be used:"
            f" {reason}. Correct the variable, or unset it."
        )
    if isinstance(error, ValueError):  # requests' word for a URL it can't use
        return JobError(f"The request can't be sent ({type(error).__name__}).")
    if isinstance(error, requests.exceptions.ProxyError):
        kind = f"the connection to the proxy of `{variable}` failed"
    elif isinstance(error, requests.exceptions.SSLError):
        kind = "no secure connection could be made"
    return NoAnswerError(f"{kind} ({_root_cause(error)})")


def _unusable_proxy(error: Exception) -> str:
    """Why the proxy can't be used; empty if it can. `api_url` has been checked."""
    if isinstance(error, requests.exceptions.InvalidSchema):
        return "SOCKS needs the package `PySocks`, which is not installed"
    if isinstance(error, requests.exceptions.InvalidURL):
        return "it is not an address such as http://host:port"
    if isinstance(error, requests.exceptions.ProxyError):
        for cause in _causes(error):  # with a text of the proxy's, which is not shown
            if found := re.match(r"Tunnel\D+(4\d\d)\b", str(cause)):
                return f"it refuses the user or the connection ({found[1]})"
    return ""


def _proxy_variable() -> str:
    names = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name)), names[1])


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
    since = _date(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - since).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


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
