"""What a stream asks Fullstory for, by the hooks of the SDK."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote

import requests
from singer_sdk import Tap
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.pagination import BaseAPIPaginator
from singer_sdk.schema.source import StreamSchema
from singer_sdk.singerlib import Catalog
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from singer_sdk.streams.rest import RESTStream
from typing_extensions import override

from tap_fullstory_imports.fullstory import answers
from tap_fullstory_imports.fullstory.answers import JobError
from tap_fullstory_imports.fullstory.pages import Page, Row, Status, decode, page_of
from tap_fullstory_imports.fullstory.session import Sessions
from tap_fullstory_imports.schemas import SCHEMAS
from tap_fullstory_imports.settings.settings import Settings


class JobStream(RESTStream["str | None"]):
    """Rows of many jobs, replicated job by job.

    A job that has been read in full is bookmarked and never asked for again. A job that
    was cut off is read again from its first page: its rows have the same keys then, so
    that a target overwrites what it has.

    Attributes:
        kind: What the jobs import: ``events`` or ``users``.
        counted: Which count of a status counts the rows: ``imported`` or ``failed``.
        place: The field with a row's place in its job; empty if a job is one row.
        skips_without_rows: Whether nothing is asked if the status reports no rows.
        unreadable: How many timestamps of a job became null, with an example.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # JSON comes in, JSON goes out
    schema = StreamSchema(SCHEMAS)
    replication_method = REPLICATION_INCREMENTAL  # by finished job, in any catalog
    emit_activate_version_messages = False  # would delete the rows of finished jobs
    kind = "events"
    counted = "failed"
    place = ""
    skips_without_rows = False

    def __init__(self, tap: Tap, settings: Settings, sessions: Sessions) -> None:
        super().__init__(tap)
        self.forced_replication_method = REPLICATION_INCREMENTAL
        self.settings, self._sessions = settings, sessions
        self.unreadable: dict[str, tuple[int, str]] = {}

    # What to ask

    @property
    @override
    def url_base(self) -> str:
        return self.settings.api_url

    @override
    def get_url(self, context: Mapping[str, Any] | None) -> str:
        """The address of a job's rows.

        Args:
            context: The job, as ``{"job_id": ...}``.
        """
        job_id = quote((context or {})["job_id"], safe="")
        return f"{self.url_base}{self.path.format(job_id=job_id)}"

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: str | None
    ) -> dict[str, Any]:
        return {"page_token": next_page_token} if next_page_token else {}

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept-Encoding": "gzip, deflate"}

    @cached_property
    @override
    def user_agent(self) -> str:
        return self.settings.user_agent

    @cached_property
    @override
    def authenticator(self) -> APIKeyAuthenticator:
        """Sends the key as it is: Fullstory's `Basic` has no user and no base64."""
        return APIKeyAuthenticator(
            key="Authorization", value=f"Basic {self.settings.api_key}"
        )

    @property
    @override
    def requests_session(self) -> requests.Session:
        """The session of the thread that asks; it has the limits of the settings."""
        return self._sessions.mine

    @override
    def validate_response(self, response: requests.Response) -> None:
        """Raise what an answer with another status than 200 means."""
        answers.check(response)

    @override
    def get_new_paginator(self) -> NextPageTokenPaginator:
        """A paginator for one job, before its first page."""
        return NextPageTokenPaginator()

    @override
    def parse_response(self, response: requests.Response) -> Page:
        """The rows of an answer, each a map of its fields to JSON."""
        return page_of(response)

    # For programs that use a stream alone; the command line reads many jobs at once.

    @override
    def get_records(self, context: Mapping[str, Any] | None) -> Iterable[Row]:
        """Read one job, or all jobs of the settings, without bookmarks.

        Args:
            context: The job, as ``{"job_id": ...}``; None for all jobs.

        Raises:
            FullstoryError: If a job can't be read.
        """
        for job_id in [context["job_id"]] if context else self.job_ids:
            for index, row in enumerate(self.request_records({"job_id": job_id})):
                record = self.to_record(row, job_id, index)
                yield {name: decode(value) for name, value in record.items()}

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The jobs of the settings."""
        return self.settings.jobs_of(self.kind)

    @override
    def backoff_wait_generator(self) -> Generator[float, None, None]:
        return self.backoff_runtime(value=lambda error: getattr(error, "wait", 0) or 1)

    # What a row is

    def to_record(self, row: Row, job_id: str, index: int) -> Row:
        """Make a record of a row of a job; the row may be changed for it."""
        row["job_id"] = job_id
        row[self.place] = index
        return row

    def reported(self, status: Status) -> int:
        """How many rows of a job its status reports."""
        rows: int = getattr(status, self.counted)
        return rows

    # Overrides of the SDK

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        super().apply_catalog(catalog)
        if self.forced_replication_method != REPLICATION_INCREMENTAL:
            self.logger.warning(
                "The catalog asks for %s replication. The tap still leaves out the jobs"
                " that the state names as finished. To read all jobs again, run without"
                " a state.",
                self.forced_replication_method,
            )

    @override
    def _increment_stream_state(
        self, latest_record: Any, *, context: Any = None
    ) -> None:
        """Without a replication key the SDK would fail here."""


class NextPageTokenPaginator(BaseAPIPaginator["str | None"]):
    """Goes from page to page of a job by ``next_page_token``.

    Only a page without a token, or with an empty one, is the last. A page without rows
    is not. Tokens are opaque: they are sent back as they came, and compared with all
    those of the same job, because the SDK sees only a loop of length one.
    """

    def __init__(self) -> None:
        super().__init__(None)
        self._seen: set[str] = set()

    @override
    def get_next(self, response: requests.Response) -> str | None:
        """The token for the next page, or None on the last one.

        Raises:
            JobError: If an earlier page had the same token.
        """
        token = page_of(response).token
        if token in self._seen:
            msg = (
                f"Fullstory sent the token of page {self.count} for the second"
                " time, so the pages would never end. Run again later. If the error"
                " persists, contact Fullstory's support."
            )
            raise JobError(msg)
        if token:
            self._seen.add(token)
        return token

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        """An empty page with a token is followed by others."""
        return True
