"""One request: address, key, sending, checking, decoding into a page or a status."""

from __future__ import annotations

import sys
import threading
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.streams.rest import HTTPRequest, PageContext, RESTStream
from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from tap_fullstory_imports import errors
from tap_fullstory_imports.characters import replace_unstorable
from tap_fullstory_imports.pages import UnreadableAnswerError, page_of, status_of
from tap_fullstory_imports.pagination import (
    NextPageTokenPaginator,
    RepeatedTokenError,
)
from tap_fullstory_imports.session import Session

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests
    from urllib3 import HTTPResponse

    from tap_fullstory_imports.pages import Page, Status
    from tap_fullstory_imports.settings import Settings
    from tap_fullstory_imports.tap import TapFullstoryImports

_CHUNK_BYTES = 256 * 1024
_ERROR_BYTES = 1024 * 1024


class FullstoryStream(RESTStream["str | None"]):
    """What is asked of one job at one endpoint.

    Source: https://developer.fullstory.com/server/events/create-events-batch/
    """

    _tap: TapFullstoryImports
    splits: bool = False  # whether the values of rows are left as they came

    @property
    def settings(self) -> Settings:
        """The checked settings of the run."""
        return self._tap.settings

    @property
    @override
    def url_base(self) -> str:
        """The address of all endpoints that know a job."""
        return f"{self.settings.api_url}/v2/events/batch/"

    @cached_property
    @override
    def authenticator(self) -> APIKeyAuthenticator:
        """Sends the key as it is: Fullstory's `Basic` has no user and no base64."""
        return APIKeyAuthenticator(
            key="Authorization", value=f"Basic {self.settings.api_key}"
        )

    @cached_property
    @override
    def user_agent(self) -> str:
        """The `User-Agent` of every request."""
        return self.settings.user_agent

    @cached_property
    def _sessions(self) -> threading.local:
        return threading.local()

    @property
    @override
    def requests_session(self) -> requests.Session:
        """The session of this thread: sessions can't be shared."""
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = self._sessions.session = Session()
            # In clear the key goes to this machine only, so through no proxy.
            session.trust_env = self.settings.api_url.startswith("https:")
        return session

    def get_new_paginator(self) -> NextPageTokenPaginator:
        """A paginator for one job, before its first page."""
        return NextPageTokenPaginator()

    @override
    def get_http_request(self, *, page: PageContext[str | None]) -> HTTPRequest:
        """The request for a page of a job.

        Args:
            page: The job, as ``{"job_id": ...}``, and the token of the page.
        """
        job_id = (page.stream_context or {})["job_id"]
        token = {"page_token": page.next_page_token} if page.next_page_token else {}
        return HTTPRequest(
            url=f"{self._job_url(job_id)}{self.path}",
            params={**self.page_params, **token},
        )

    @property
    def page_params(self) -> dict[str, Any]:
        """What is sent with every request for a page, beside its token."""
        return {}

    def read_page(self, job_id: str, paginator: NextPageTokenPaginator) -> Page:
        """Ask for the page that the paginator is at, and advance it.

        Raises:
            NotReadyError: If the job is still processing.
            RetriableError: If the request may succeed later.
            JobError: If the job can't be read.
            AccessError: If no job can be read.
        """
        context = {"job_id": job_id}
        request = self._prepare_request(context=context, page=paginator)
        response = self._request(request, context)
        try:
            page = self._without_key(self.decode(response, split=self.splits))
            paginator.advance(response)
        except UnreadableAnswerError as error:
            raise _unreadable(error) from None
        except RepeatedTokenError:
            msg = (
                f"Fullstory sent the token of page {paginator.count} for the second"
                " time, so the pages would never end. Run again later; if it stays so,"
                " tell Fullstory's support."
            )
            raise errors.JobError(msg) from None
        return page

    def _without_key(self, page: Page) -> Page:
        """The page, unless its token would put the key into an address.

        Addresses stand in the logs of clients, servers and proxies.
        """
        if self.settings.api_key in (page.next_page_token or ""):
            raise UnreadableAnswerError("its `next_page_token` holds the API key")
        return page

    def decode(self, response: requests.Response, *, split: bool = False) -> Page:
        """The page that an answer of this endpoint holds.

        Args:
            response: The answer.
            split: See `page_of`.

        Raises:
            UnreadableAnswerError: If it holds none.
        """
        return page_of(response, split=split)

    def read_status(self, job_id: str) -> Status:
        """Ask what the API says of the job as a whole.

        Raises:
            RetriableError: If the request may succeed later.
            JobError: If the job can't be read.
            AccessError: If no job can be read.
        """
        request = self.build_prepared_request(method="GET", url=self._job_url(job_id))
        response = self._request(request, {"job_id": job_id})
        try:
            return status_of(response)
        except UnreadableAnswerError as error:
            raise _unreadable(error) from None

    @override
    def validate_response(self, response: requests.Response) -> None:
        """Raise what any answer but 200 means. See `errors.check`."""
        errors.check(response)

    @override
    def _request(
        self,
        prepared_request: requests.PreparedRequest,
        context: Mapping[str, Any] | None,
    ) -> requests.Response:
        """Send a request once, and read its answer within the limits.

        The SDK's own would follow redirects with the key, bound only the silences
        between bytes, and leave out the certificates that the environment names.
        """
        session, seconds = self.requests_session, self.settings.request_timeout
        try:
            response = session.send(
                prepared_request,
                timeout=Timeout(total=seconds),
                allow_redirects=False,
                **session.merge_environment_settings(
                    prepared_request.url or "", {}, stream=True, verify=None, cert=None
                ),
            )
            with response:
                # Kept where requests itself keeps what it has read.
                response._content = self._storable(  # noqa: SLF001
                    self._read_body(response)
                )
        except (OSError, HTTPError) as error:  # all of requests' errors are OSErrors
            raise errors.connection_failed(error, seconds) from None
        self.validate_response(response)
        return response

    def _read_body(self, response: requests.Response) -> bytes:
        """The decoded body of an answer; of an error no more than its beginning.

        Raises:
            JobError: If it is larger than a page may be.
        """
        raw: HTTPResponse = response.raw
        is_page, most = response.status_code == HTTPStatus.OK, _ERROR_BYTES
        if is_page:
            most = self.settings.max_page_bytes
        body = bytearray()
        # What is announced need not be read to be too much.
        is_too_large = (raw.length_remaining or 0) > most
        while not is_too_large and (
            chunk := raw.read1(_CHUNK_BYTES, decode_content=True)
        ):
            body += chunk
            is_too_large = len(body) > most
        if is_page and is_too_large:
            msg = (
                "An answer of Fullstory's is larger than `max_page_bytes`"
                f" ({errors.many(most, 'byte')}) allows. If pages of this job can be so"
                " large, raise it."
            )
            raise errors.JobError(msg)
        return bytes(body)

    def _storable(self, body: bytes) -> bytes:
        if self.settings.unstorable_characters == "keep":
            return body
        return replace_unstorable(body)

    def _job_url(self, job_id: str) -> str:
        return f"{self.url_base}{quote(job_id, safe='')}"


def _unreadable(error: UnreadableAnswerError) -> errors.RetriableError:
    return errors.RetriableError(f"the answer can't be used: {error}")
