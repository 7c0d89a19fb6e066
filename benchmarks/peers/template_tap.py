"""A tap for the same stream as the SDK's template for REST taps writes it.

A partition for each job, records and tokens by JSONPath, the SDK's own writer. What the
template leaves open is filled in with as little as possible.
"""

from __future__ import annotations

import decimal
from typing import TYPE_CHECKING, Any

from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.helpers.jsonpath import extract_jsonpath
from singer_sdk.pagination import JSONPathPaginator
from singer_sdk.streams import RESTStream
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import requests
    from singer_sdk.streams.rest import HTTPRequest, PageContext

_TEXT = th.StringType()


def _texts(names: str) -> list[th.Property[Any]]:
    return [th.Property(name, _TEXT) for name in names.split()]


def _object(texts: str, numbers: str = "") -> th.ObjectType:
    more = [th.Property(name, th.NumberType()) for name in numbers.split()]
    return th.ObjectType(*_texts(texts), *more)


_CONTEXT = {
    "browser": _object("url user_agent initial_referrer"),
    "mobile": _object("app_id app_version app_name build_variant"),
    "device": _object(
        "manufacturer model",
        "screen_width screen_height viewport_width viewport_height",
    ),
    "location": _object("country region city ip_address", "latitude longitude"),
}


class ImportedEvents(RESTStream[Any]):
    """The events that import jobs have imported."""

    name = "imported_events"
    path = "/v2/events/batch/{job_id}/imports"
    primary_keys = ()
    replication_key = None
    records_jsonpath = "$.results[*]"
    schema = th.PropertiesList(
        *_texts("job_id name"),
        th.Property("user", _object("id uid")),
        th.Property("session", _object("id uid")),
        th.Property(
            "context", th.ObjectType(*(th.Property(*each) for each in _CONTEXT.items()))
        ),
        th.Property("timestamp", th.DateTimeType),
        th.Property("properties", th.ObjectType(additional_properties=True)),
    ).to_dict()

    @property
    @override
    def partitions(self) -> list[dict[str, Any]]:
        return [{"job_id": job_id} for job_id in self.config["job_ids"]]

    @property
    @override
    def url_base(self) -> str:
        return str(self.config["api_url"])

    @property
    @override
    def authenticator(self) -> APIKeyAuthenticator:
        return APIKeyAuthenticator(
            key="Authorization", value=f"Basic {self.config['api_key']}"
        )

    @override
    def get_new_paginator(self) -> JSONPathPaginator:
        return JSONPathPaginator("$.next_page_token")

    @override
    def get_http_request(self, *, page: PageContext[Any]) -> HTTPRequest:
        request = super().get_http_request(page=page)
        if page.next_page_token:
            request.params["page_token"] = page.next_page_token
        return request

    @override
    def parse_response(self, response: requests.Response) -> Iterable[dict[str, Any]]:
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
        return [ImportedEvents(self)]


TemplateTap.cli()
