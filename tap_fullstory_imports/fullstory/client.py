"""One request: address, key, sending, checking, reading within the limits."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import requests
from typing_extensions import override
from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from tap_fullstory_imports.fullstory import errors
from tap_fullstory_imports.fullstory.characters import replace_unstorable
from tap_fullstory_imports.fullstory.pages import (
    Page,
    UnreadableAnswerError,
    page_of,
    status_of,
)
from tap_fullstory_imports.fullstory.pagination import (
    NextPageTokenPaginator,
    RepeatedTokenError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import HTTPResponse

    from tap_fullstory_imports.fullstory.pages import RowsCheck, Status

API_URL = "https://api.fullstory.com"
_EXPECTED = (HTTPStatus.OK, HTTPStatus.ACCEPTED)
_CHUNK_BYTES = 256 * 1024
_ERROR_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Endpoint:
    """One kind of results of a batch import job.

    Attributes:
        name: What the results are called in events and log lines.
        results: ``imports``, ``errors``, or ``""`` for the status of the job itself.
        kind: What the job imports: ``events`` or ``users``.
        params: What each request for a page carries beside the token.
        split: The check of rows whose values may stay JSON, see `page_of`.

    Source: https://developer.fullstory.com/server/events/create-events-batch/
    """

    name: str
    results: str = ""
    kind: str = "events"
    params: Mapping[str, str] = field(default_factory=dict)
    split: RowsCheck | None = None

    @property
    def is_status(self) -> bool:
        """Whether the only row of a job is its status."""
        return not self.results

    def split_by(self, check: RowsCheck) -> Endpoint:
        """The same endpoint, whose rows stay JSON where they pass the check."""
        return replace(self, split=check)

    def path(self, job_id: str) -> str:
        """The path of a job's results."""
        job = self.status_path(job_id)
        return f"{job}/{self.results}" if self.results else job

    def status_path(self, job_id: str) -> str:
        """The path of a job's status."""
        return f"/v2/{self.kind}/batch/{quote(job_id, safe='')}"

    def page_params(self, token: str | None) -> dict[str, str]:
        """The query for the page with a token; None asks for the first page."""
        return {**self.params, **({"page_token": token} if token else {})}

    def reported(self, status: Status) -> tuple[int, str]:
        """How many rows a job status reports, and what the rows are."""
        if self.results == "imports":
            return status.imported, f"imported {self.kind}"
        return status.failed, f"failed {self.kind}"


@dataclass
class Client:
    """Sends requests to Fullstory's API. Threads may share a client.

    Attributes:
        api_key: The API key, as Fullstory shows it.
        url: The address of the API, without a path.
        timeout: Time limit for a request, in seconds. It holds for the headers, for
            each silence of the server, and for the whole answer, so a request can take
            longer. The reader abandons a request after three times this time.
        max_page_bytes: The largest answer, decompressed.
        replace_unstorable: Whether U+FFFD replaces NUL and unpaired surrogates.
    """

    api_key: str = field(repr=False)
    url: str = API_URL
    user_agent: str = "tap-fullstory-imports"
    timeout: float = 60
    max_page_bytes: int = 256 * 1024 * 1024
    replace_unstorable: bool = False
    _sessions: threading.local = field(default_factory=threading.local, repr=False)

    @property
    def authorization(self) -> str:
        """The header `Authorization`: the key as it is, without base64."""
        return f"Basic {self.api_key}"

    def page(
        self, endpoint: Endpoint, job_id: str, paginator: NextPageTokenPaginator
    ) -> Page:
        """Ask for the page that the paginator is at, and advance the paginator.

        Raises:
            NotReadyError: If the job is still processing.
            RetriableError: If the request may succeed later.
            JobError: If the job can't be read.
        """
        token = paginator.current_value
        response = self._get(endpoint.path(job_id), endpoint.page_params(token))
        try:
            if endpoint.is_status:
                page = Page([status_of(response, job_id).answer], 1, None)
                vars(response)["page"] = page  # where the paginator finds the page
            else:
                page = page_of(response, split=endpoint.split)
            paginator.advance(response)
        except UnreadableAnswerError as error:
            raise _unreadable(error) from None
        except RepeatedTokenError:
            msg = (
                f"Fullstory sent the token of page {paginator.count} for the second"
                " time, so the pages would never end. Run again later. If the error"
                " persists, contact Fullstory's support."
            )
            raise errors.JobError(msg) from None
        return page

    def close(self) -> None:
        """Close the connections of this thread."""
        self._session().close()

    def status(self, endpoint: Endpoint, job_id: str) -> Status:
        """Ask for the status of a job.

        Raises:
            NotReadyError, RetriableError, JobError: As `page` does.
        """
        response = self._get(endpoint.status_path(job_id), {})
        try:
            return status_of(response, job_id)
        except UnreadableAnswerError as error:
            raise _unreadable(error) from None

    def _get(self, path: str, params: Mapping[str, str]) -> requests.Response:
        """Send a request once, and read the answer within the limits."""
        session = self._session()
        query = f"?{urlencode(params)}" if params else ""
        request = requests.Request("GET", f"{self.url}{path}{query}").prepare()
        request.headers["Authorization"] = self.authorization
        request.headers["User-Agent"] = self.user_agent
        request.headers["Accept-Encoding"] = "gzip, deflate"
        deadline = time.monotonic() + self.timeout
        is_reusable = has_headers = False
        try:
            response = session.send(
                request,
                timeout=Timeout(total=self.timeout),
                allow_redirects=False,
                **session.merge_environment_settings(
                    request.url or "", {}, stream=True, verify=None, cert=None
                ),
            )
            has_headers = True
            with response:
                body, is_whole = self._read(response, deadline)
            status = response.status_code
            is_expected = status in _EXPECTED or status >= HTTPStatus.BAD_REQUEST
            is_reusable = is_whole and is_expected
        except (OSError, HTTPError) as error:  # all errors of requests are OSErrors
            failure = errors.connection_failed(error, self.timeout)
            if has_headers and isinstance(failure, errors.NoAnswerError):
                failure = errors.RetriableError(str(failure))
            raise failure from None
        finally:
            if not is_reusable:
                # A late answer must not pass for the answer to the next request.
                session.close()
        # Kept where requests itself keeps what it has read.
        response._content = (  # noqa: SLF001
            replace_unstorable(body) if self.replace_unstorable else body
        )
        errors.check(response)
        return response

    def _read(self, response: requests.Response, deadline: float) -> tuple[bytes, bool]:
        """Read the body of an answer; of an error, no more than the beginning.

        Returns:
            The decoded body, and whether the body is whole.

        Raises:
            JobError: If a page is larger than allowed.
            TimeoutError: If the deadline passes.
        """
        is_page = response.status_code == HTTPStatus.OK
        most = self.max_page_bytes if is_page else _ERROR_BYTES
        body, is_whole = read_body(response, most, deadline)
        if is_page and not is_whole:
            msg = (
                "An answer of Fullstory's is larger than `max_page_bytes`"
                f" ({errors.many(most, 'byte')}) allows. If pages of this job can be so"
                " large, raise it."
            )
            raise errors.JobError(msg)
        return body, is_whole

    def _session(self) -> requests.Session:
        """The session of this thread, because threads can't share a session."""
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = self._sessions.session = Session()
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            # Plain `http` reaches this machine only, so it needs no proxy.
            session.trust_env = self.url.startswith("https:")
        return session


class Session(requests.Session):
    """A session that follows no redirect."""

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Disables redirects; requests reads the body even without following one."""


def read_body(
    response: requests.Response, most: int, deadline: float
) -> tuple[bytes, bool]:
    """Read the decoded body of an answer, but stop where it is larger than allowed.

    Returns:
        The body, and whether the body is whole.

    Raises:
        TimeoutError: If the deadline passes.
    """
    raw: HTTPResponse = response.raw
    body = bytearray()
    is_too_large = (raw.length_remaining or 0) > most  # as announced
    while not is_too_large and (chunk := raw.read1(_CHUNK_BYTES, decode_content=True)):
        body += chunk
        is_too_large = len(body) > most
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body), not is_too_large


def _unreadable(error: UnreadableAnswerError) -> errors.RetriableError:
    return errors.RetriableError(f"the answer can't be used: {error}")
