"""Sending one request within limits of time and size."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from queue import SimpleQueue
from typing import Any, TypeVar

import requests
from typing_extensions import override
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from tap_fullstory_imports.fullstory.answers import (
    JobError,
    NoAnswerError,
    RetriableError,
    no_answer,
)

CONNECT_SECONDS = 10.0  # for each address of a host: the next one may work
_EXPECTED = (HTTPStatus.OK, HTTPStatus.ACCEPTED)
_CHUNK_BYTES = 256 * 1024
_ERROR_BYTES = 1024 * 1024
T = TypeVar("T")
_Call = tuple[Future[Any], Callable[[], Any]]


class Session(requests.Session):
    """Sends a request once, and reads the answer within the limits.

    It follows no redirect and keeps no cookie. Its answers are whole: nothing is read
    from the network after `send`.
    """

    def __init__(self, url: str, seconds: float, most_bytes: int) -> None:
        """Start without a connection.

        Args:
            url: The address of the API.
            seconds: The time limit: for the headers, for each silence of the server,
                and for the whole body.
            most_bytes: The largest page, decompressed.
        """
        super().__init__()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Plain `http` reaches this machine only, so it needs no proxy.
        self.trust_env = url.startswith("https:")
        self._seconds, self._most = seconds, most_bytes

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Disables redirects; requests reads the body even without following one."""

    @override
    def send(
        self, request: requests.PreparedRequest, **kwargs: Any
    ) -> requests.Response:
        """Send a request; the settings of the session win over those that are given.

        Raises:
            RetriableError: If no answer came, or only a part of it.
            JobError: If a page is larger than allowed.
        """
        deadline = time.monotonic() + self._seconds
        settings = self.merge_environment_settings(
            request.url or "", {}, stream=True, verify=None, cert=None
        )
        is_reusable = has_headers = False
        try:
            response = super().send(
                request,
                timeout=(min(CONNECT_SECONDS, self._seconds), self._seconds),
                allow_redirects=False,
                **settings,
            )
            has_headers = True
            with response:
                body, is_whole = self._body(response, deadline)
            status = response.status_code
            is_expected = status in _EXPECTED or status >= HTTPStatus.BAD_REQUEST
            is_reusable = is_whole and is_expected
        except (OSError, HTTPError) as error:  # all errors of requests are OSErrors
            failure = no_answer(error, self._seconds)
            if has_headers and isinstance(failure, NoAnswerError):
                failure = RetriableError(str(failure))
            raise failure from None
        finally:
            if not is_reusable:
                # A late answer must not pass for the answer to the next request.
                self.close()
        # Kept where requests itself keeps what it has read.
        response._content = body  # noqa: SLF001
        return response

    def _body(self, response: requests.Response, deadline: float) -> tuple[bytes, bool]:
        """Read a decoded body, but not more than allowed; return whether it is whole.

        Raises:
            TimeoutError: If the deadline passes, by `time.monotonic`.
            JobError: If a page is larger than allowed.
        """
        is_page = response.status_code == HTTPStatus.OK
        most = self._most if is_page else _ERROR_BYTES
        raw: HTTPResponse = response.raw
        body = bytearray()
        is_whole = (raw.length_remaining or 0) <= most  # as announced
        while is_whole and (chunk := raw.read1(_CHUNK_BYTES, decode_content=True)):
            body += chunk
            is_whole = len(body) <= most
            if time.monotonic() > deadline:
                raise TimeoutError
        if is_page and not is_whole:
            msg = (
                f"A response from Fullstory exceeds `max_page_bytes` ({most:,}). If"
                " this job really has pages that large, raise the setting."
            )
            raise JobError(msg)
        return bytes(body), is_whole


class Sessions(threading.local):
    """A session for each thread, because threads can't share one."""

    def __init__(self, url: str, seconds: float, most_bytes: int) -> None:
        self.mine = Session(url, seconds, most_bytes)  # Python calls it in each thread


class Thread:
    """Makes one call after the other, until nobody holds this object any more.

    A daemon, so that a call that never ends does not keep the program from ending. The
    threads of the standard library's executors would.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        threading.Thread(target=_work, args=[self._calls], daemon=True).start()
        weakref.finalize(self, self._calls.put, None)

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in the thread; return or raise what it does."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # a call can't be cancelled
        self._calls.put((future, partial(function, *args)))
        return await asyncio.wrap_future(future)


def _work(calls: SimpleQueue[_Call | None]) -> None:
    while made := calls.get():
        future, call = made
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(error)
        del made, future, call  # or arguments and result would stay in memory
