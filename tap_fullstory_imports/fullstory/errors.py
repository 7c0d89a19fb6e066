"""What each answer means: wait, try again, fail the job or stop the run, and why.

Every sentence here is shown to users. It holds a status, the API's ``code`` and a
bounded ``message``; never a row or a body.

Source: https://developer.fullstory.com/server/error-handling/
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING

import requests
import urllib3

from tap_fullstory_imports.fullstory.pages import UnreadableAnswerError, decode_object
from tap_fullstory_imports.fullstory.retry import asked_wait

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGE_LENGTH = 200


class FullstoryError(Exception):
    """A request has not given a page or a status."""


class NotReadyError(FullstoryError):
    """The job is still processing: ask again later. It says nothing about its rows.

    Attributes:
        asked_wait: Seconds that the API asks to wait; None if it does not say.
    """

    def __init__(self, wait: float | None = None) -> None:
        """Keep what the API asks for."""
        super().__init__("The job is still processing.")
        self.asked_wait = wait


class RetriableError(FullstoryError):
    """The request failed in a way that may pass.

    Attributes:
        asked_wait: Seconds that the API asks to wait; None if it does not say.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        """Keep what happened, in words, and what the API asks for."""
        super().__init__(reason)
        self.asked_wait = wait


class RateLimitError(RetriableError):
    """The rate limit is used up, for all requests."""


class NoAnswerError(RetriableError):
    """No HTTP answer came that can be read."""


class JobError(FullstoryError):
    """The job can't be read in this run; the others can."""


class MissingJobError(JobError):
    """The API does not know the job."""


class AccessError(JobError):
    """The API refuses the key: for this job or, on the first answer, for all jobs."""


class StopError(FullstoryError):
    """No job can be read: the run stops."""


@dataclass(frozen=True)
class _Rule:
    """What an answer with some status leads to."""

    error: type[FullstoryError]
    sentence: str


_LATER = _Rule(RetriableError, "Fullstory can't answer now ({answer})")
_RULES: dict[int, _Rule] = {
    HTTPStatus.ACCEPTED: _Rule(NotReadyError, ""),
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
}
_REDIRECT = _Rule(
    JobError,
    "Fullstory answered with a redirect ({answer}). The tap does not follow redirects,"
    " because the API key must not reach another host. Check `api_url`.",
)
_REFUSED = _Rule(JobError, "Fullstory refused the request ({answer}).")
_SERVER = _Rule(RetriableError, "Fullstory failed ({answer})")


def check(response: requests.Response) -> None:
    """Return for an answer with status 200; raise what any other answer means.

    Raises:
        NotReadyError: For 202.
        RateLimitError: For 429.
        RetriableError: For 408, 409, 421, 423, 425, 5xx and every status that is
            neither 2xx nor documented, such as 102.
        AccessError: For 401 and 403.
        MissingJobError: For 404.
        JobError: For 3xx and every other 4xx.
    """
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    by_class = {3: _REDIRECT, 4: _REFUSED}
    rule = _RULES.get(status) or by_class.get(status // 100, _SERVER)
    wait = asked_wait(response.headers)
    if rule.error is NotReadyError:
        raise NotReadyError(wait)
    text = rule.sentence.format(answer=_describe(response))
    if issubclass(rule.error, RetriableError):
        raise rule.error(text, wait)
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
        return NoAnswerError(f"no answer within {seconds:g} s")
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
        return NoAnswerError("the headers of the answer can't be read")
    if isinstance(error, ValueError):  # requests' word for a URL it can't use
        return JobError(f"The request can't be sent ({type(error).__name__}).")
    kind = "the connection failed"
    if isinstance(error, requests.exceptions.ProxyError):
        kind = "the connection to the proxy failed"
    elif isinstance(error, requests.exceptions.SSLError):
        kind = "no secure connection could be made"
    return NoAnswerError(f"{kind} ({_root_cause(error)})")


def _describe(response: requests.Response) -> str:
    """Status, code and message of an error answer, bounded and on one line."""
    try:
        answer = decode_object(response.content)
    except UnreadableAnswerError:
        answer = {}
    text = str(response.status_code)
    for name, mark, length in (("code", " ", 50), ("message", ": ", MESSAGE_LENGTH)):
        if isinstance(said := answer.get(name), str) and said:
            text += mark + bounded(said, length)
    return text


def bounded(text: str, length: int = MESSAGE_LENGTH) -> str:
    """A text of others, fit to be shown: printable, on one line, not endless."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    shown = " ".join(shown.split())
    return shown if len(shown) <= length else f"{shown[:length]}…"


def many(number: int, thing: str) -> str:
    """A number of things, in words: ``1 row``, ``1,200 rows``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


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
