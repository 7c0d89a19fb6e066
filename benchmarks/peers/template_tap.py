"""A tap for the same stream as the SDK's template for REST taps writes it.

A partition for each job, records and tokens by JSONPath, the SDK's own writer. What the
template leaves open is filled in with as little as possible.
"""

from __future__ import annotations

import decimal
import sys
from typing import TYPE_CHECKING, Any

from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.helpers.jsonpath import extract_jsonpath
from singer_sdk.pagination import JSONPathPaginator
from singer_sdk.streams import RESTStream

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import requests
    from singer_sdk.streams.rest import HTTPRequest, PageContext

_TEXT = th.StringType()
_NUMBER = th.NumberType()
_OBJECT = th.ObjectType(additional_properties=True)


def _texts(*names: str) -> list[th.Property[Any]]:
    return [th.Property(name, _TEXT) for name in names]


def _numbers(*names: str) -> list[th.Property[Any]]:
    return [th.Property(name, _NUMBER) for name in names]


class ImportedEvents(RESTStream[Any]):
    """The events that import jobs have imported."""

    name = "imported_events"
    path = "/v2/events/batch/{job_id}/imports"
    primary_keys = ()
    replication_key = None
    records_jsonpath = "$.results[*]"
    schema = th.PropertiesList(
        th.Property("job_id", _TEXT),
        th.Property("user", th.ObjectType(*_texts("id", "uid"))),
        th.Property("session", th.ObjectType(*_texts("id", "uid"))),
        th.Property(
            "context",
            th.ObjectType(
                th.Property(
                    "browser",
                    th.ObjectType(*_texts("url", "user_agent", "initial_referrer")),
                ),
                th.Property(
                    "mobile",
                    th.ObjectType(
                        *_texts("app_id", "app_version", "app_name", "build_variant")
                    ),
                ),
                th.Property(
                    "device",
                    th.ObjectType(
                        *_texts("manufacturer", "model"),
                        *_numbers("screen_width", "screen_height"),
                        *_numbers("viewport_width", "viewport_height"),
                    ),
                ),
                th.Property(
                    "location",
                    th.ObjectType(
                        *_texts("country", "region", "city", "ip_address"),
                        *_numbers("latitude", "longitude"),
                    ),
                ),
            ),
        ),
        th.Property("name", _TEXT),
        th.Property("timestamp", th.DateTimeType),
        th.Property("properties", _OBJECT),
    ).to_dict()

    @property
    @override
    def partitions(self) -> list[dict[str, Any]]:
        """The jobs."""
        return [{"job_id": job_id} for job_id in self.config["job_ids"]]

    @property
    @override
    def url_base(self) -> str:
        """The address of the API."""
        return str(self.config["api_url"])

    @property
    @override
    def authenticator(self) -> APIKeyAuthenticator:
        """Sends the key."""
        return APIKeyAuthenticator(
            key="Authorization", value=f"Basic {self.config['api_key']}"
        )

    @override
    def get_new_paginator(self) -> JSONPathPaginator:
        """Finds the token of the next page."""
        return JSONPathPaginator("$.next_page_token")

    @override
    def get_http_request(self, *, page: PageContext[Any]) -> HTTPRequest:
        """The request for a page."""
        request = super().get_http_request(page=page)
        if page.next_page_token:
            request.params["page_token"] = page.next_page_token
        return request

    @override
    def parse_response(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        """The events of a page."""
        yield from extract_jsonpath(
            self.records_jsonpath, input=response.json(parse_float=decimal.Decimal)
        )


class TemplateTap(Tap):
    """The tap."""

    name = "template-tap"
    config_jsonschema = th.PropertiesList(
        th.Property("api_key", th.StringType(nullable=False), required=True),
        th.Property("api_url", th.StringType(nullable=False), required=True),
        th.Property("job_ids", th.ArrayType(th.StringType()), required=True),
    ).to_dict()

    @override
    def discover_streams(self) -> Sequence[ImportedEvents]:
        """The stream."""
        return [ImportedEvents(self)]


TemplateTap.cli()
