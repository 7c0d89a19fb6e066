"""The SDK's standard suite for taps, offline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.testing import get_tap_test_class

from tap_fullstory_imports.tap import TapFullstoryImports
from tests.stand_in import (
    DEFAULT_API_KEY,
    EXAMPLE_EVENT,
    EXAMPLE_USER,
    Job,
    StandIn,
    make_failures,
)
from tests.streams import job_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# The suite makes its class now and reads its settings when it runs: the address of
# the stand-in is put in by the fixture.
SETTINGS: dict[str, Any] = {
    "api_key": DEFAULT_API_KEY,
    "api_url": "http://127.0.0.1",
    "job_ids": ["example", "generated"],
    "user_job_ids": ["example", "generated"],
    "include_schema": True,
}


FAILURE = make_failures(1)[0]


@pytest.fixture(scope="module", autouse=True)
def _api() -> Iterator[None]:
    failure = {**FAILURE, "shared": {"context": EXAMPLE_EVENT["context"]}}
    user_failure = {"message": "no", "code": "invalid_argument", "user": EXAMPLE_USER}
    with StandIn(
        Job("example", rows=[EXAMPLE_EVENT], failures=[failure]),
        Job("example", kind="users", rows=[EXAMPLE_USER], failures=[user_failure]),
        job_of("events", "generated", 40, page_size=15),
        job_of("users", "generated", 40, page_size=15),
    ) as api:
        SETTINGS["api_url"] = api.url
        yield


TestStandardSuite = get_tap_test_class(
    TapFullstoryImports, config=SETTINGS, parse_env_config=False
)
