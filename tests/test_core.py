"""The SDK's standard suite, offline; and a program that reads a stream alone."""

from __future__ import annotations

from typing import Any

import pytest
from singer_sdk.testing import get_tap_test_class

from tap_fullstory_imports.fullstory.answers import FullstoryError
from tap_fullstory_imports.tap import TapFullstoryImports
from tests.stand_in import (
    DEFAULT_API_KEY,
    EXAMPLE_EVENT,
    EXAMPLE_USER,
    Answer,
    Job,
    StandIn,
    make_failures,
)
from tests.streams import EVERY, job_of

# The suite makes its class now and reads its settings when it runs: the address of
# the stand-in is put in by the fixture.
SETTINGS: dict[str, Any] = {
    "api_key": DEFAULT_API_KEY,
    "api_url": "http://127.0.0.1",
    "job_ids": ["example", "generated"],
    "user_job_ids": ["example", "generated"],
    "include_schema": True,
}
FAILURE = {**make_failures(1)[0], "shared": {"context": EXAMPLE_EVENT["context"]}}
USER_FAILURE = {"message": "no", "code": "invalid_argument", "user": EXAMPLE_USER}


@pytest.fixture(scope="module", autouse=True)
def _api():
    with StandIn(
        Job("example", rows=[EXAMPLE_EVENT], failures=[FAILURE]),
        Job("example", kind="users", rows=[EXAMPLE_USER], failures=[USER_FAILURE]),
        job_of("events", "generated", 40, page_size=15),
        job_of("users", "generated", 40, page_size=15),
    ) as api:
        SETTINGS["api_url"] = api.url
        yield


TestStandardSuite = get_tap_test_class(
    TapFullstoryImports, config=SETTINGS, parse_env_config=False
)


@pytest.mark.parametrize("stream", EVERY, ids=lambda stream: stream.name)
def test_get_records_gives_a_program_what_the_command_line_writes(tap, api, stream):
    api.add(stream.job("a", 5), stream.job("b", 3))
    tap.streams = (stream.name,)
    written = tap.run(**{stream.setting: ["a", "b"]}).records(stream.name)
    config = {"api_key": api.api_key, "api_url": api.url, stream.setting: ["a", "b"]}
    program = TapFullstoryImports(config=config).streams[stream.name]

    def read(context):
        return [*program.get_records(context)]

    assert read({"job_id": "b"}) == [row for row in written if row["job_id"] == "b"]
    assert read(None) == written


@pytest.mark.parametrize(
    ("status", "requests"),
    [(404, 1), (202, 1), pytest.param(503, 5, marks=pytest.mark.slow)],
)
def test_get_records_raises_what_keeps_a_job_from_being_read(api, status, requests):
    """What may pass has been tried again by the SDK."""
    answer = Answer(status, headers={"Retry-After": "0.001"})
    api.add(Job("a", script={"imports": [answer] * 9}))
    config = {"api_key": api.api_key, "api_url": api.url, "job_ids": ["a"]}
    program = TapFullstoryImports(config=config).streams["imported_events"]

    with pytest.raises(FullstoryError) as caught:
        next(iter(program.get_records(None)))

    assert caught.value.status == status
    assert len(api.requests) == requests
