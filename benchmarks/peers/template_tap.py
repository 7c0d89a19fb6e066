"""A tap for the same stream as the SDK's template for REST taps writes it.

A partition for each job, records and tokens by JSONPath, the SDK's own writer. The
schema is that of the catalog beside the settings file.
"""

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

from singer_sdk import Tap
from singer_sdk.streams import RESTStream
from singer_sdk.streams.rest import HTTPRequest, PageContext
from typing_extensions import override

CATALOG = json.loads(Path(sys.argv[-1]).with_name("catalog.json").read_bytes())
SCHEMAS = {each["tap_stream_id"]: each["schema"] for each in CATALOG["streams"]}


class ImportedEvents(RESTStream[Any]):
    """The events that import jobs have imported."""

    name = "imported_events"
    path = "/v2/events/batch/{job_id}/imports"
    records_jsonpath = "$.results[*]"
    next_page_token_jsonpath = "$.next_page_token"  # noqa: S105 - no password
    schema = SCHEMAS[name]

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
    def http_headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {self.config['api_key']}"}

    @override
    def get_http_request(self, *, page: PageContext[Any]) -> HTTPRequest:
        request = super().get_http_request(page=page)
        if page.next_page_token:
            request.params["page_token"] = page.next_page_token
        return request


class TemplateTap(Tap):
    """The tap."""

    name = "template-tap"
    config_jsonschema: ClassVar = {
        "properties": {"api_key": {}, "api_url": {}, "job_ids": {}}
    }

    @override
    def discover_streams(self) -> list[ImportedEvents]:
        return [ImportedEvents(self)]


TemplateTap.cli()
