"""The stand-in Fullstory API keeps to the API's documentation.

What a test of the tap would notice is not tested here.
"""

from __future__ import annotations

import json
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.limiters import Bucket, FixedWindow, SlidingWindow
from tests.stand_in import (
    DEFAULT_API_KEY,
    EXAMPLE_EVENT,
    Job,
    StandIn,
    make_events,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.limiters import Limiter


def get(url: str, path: str) -> Any:
    """The JSON of an answer."""
    headers = {"Authorization": f"Basic {DEFAULT_API_KEY}"}
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1"
    with closing(HTTPConnection(parts.hostname, parts.port, timeout=5)) as connection:
        connection.request("GET", f"/v2/events/batch/{path}", headers=headers)
        return json.load(connection.getresponse())


def test_schema_is_sent_when_asked_for() -> None:
    """The job's schema, else the row's own, else one derived from its properties."""
    properties = {
        "s": "text",
        "i": 1,
        "r": 1.5,
        "b": True,
        "d": "2022-03-15T14:23:23.5Z",
        "strings": ["a"],
        "dates": ["2022-03-15T14:23:23+01:00"],
        "ints": [1],
        "null": None,
        "empty": [],
        "nested": {"a": 1},
    }
    derived = {"s": "str", "i": "int", "r": "real", "b": "bool", "d": "date"}
    derived |= {"strings": "strs", "dates": "dates", "ints": "ints"}
    own = {"properties": {"id": "str"}}
    plain = {"name": "x", "properties": properties}
    other = {"name": "y", "schema": own}
    rows = [plain, other]
    jobs = Job("a", rows), Job("b", rows, schema={"properties": {}})
    with StandIn(*jobs) as api:
        for query in ("", "?include_schema=false"):
            page = get(api.url, f"a/imports{query}")
            assert page["results"] == [plain, {"name": "y"}]
        page = get(api.url, "a/imports?include_schema=true")
        assert page["results"] == [
            {**plain, "schema": {"properties": derived}},
            rows[1],
        ]
        page = get(api.url, "b/imports?include_schema=true")
        assert [row["schema"] for row in page["results"]] == [{"properties": {}}] * 2


def test_script_for_no_endpoint_is_refused() -> None:
    """A slip in a test does not pass for a normal answer."""
    with pytest.raises(ValueError, match="'import'"):
        StandIn(Job("a", script={"import": []}))


@pytest.mark.parametrize(
    ("make", "answers"),
    [
        (partial(Bucket, 2), {0: None, 0.1: None, 0.2: "1", 0.6: None, 0.7: "1"}),
        (partial(Bucket, 0.1, 1), {0: None, 1: "9", 9.9: "1", 10: None}),
        (partial(SlidingWindow, 2), {0: None, 0.9: None, 0.95: "1", 1: None, 1.1: "1"}),
        (partial(SlidingWindow, 1, 9), {1: None, 2.5: "8", 10: None}),
        (partial(FixedWindow, 2, 5), {4: None, 4.1: None, 4.2: "1", 5: None, 6: None}),
        (partial(FixedWindow, 1, 5), {0: None, 1: "4", 5: None, 6: "4", 23: None}),
    ],
)
@pytest.mark.parametrize("retry_after", [True, False])
def test_limiter_lets_through_and_refuses(
    make: Callable[..., Limiter],
    answers: dict[float, str | None],
    *,
    retry_after: bool,
) -> None:
    """By time: what Retry-After asks for, or None if the request is let through."""
    now = 0.0
    limiter = make(clock=lambda: now, retry_after=retry_after)
    for now, asked in answers.items():  # noqa: B007 - the clock reads it
        headers = {"Retry-After": asked} if asked and retry_after else {}
        assert limiter.refuse() == (headers if asked else None)


def fields_of(value: object, prefix: str = "") -> set[str]:
    """Returns the paths of all fields outside of properties and schema."""
    if not isinstance(value, dict) or prefix in {"properties", "schema"}:
        return {prefix}
    paths = (f"{prefix}.{key}".lstrip(".") for key in value)
    found = (fields_of(value[path.rpartition(".")[2]], path) for path in paths)
    return set().union(*found)


def test_made_events_are_realistic_and_always_the_same() -> None:
    """All documented fields occur, in about 600 bytes an event."""
    events = make_events(1000)
    assert events == make_events(1000)
    assert events[300:305] == make_events(5, first=300)
    assert events[0] != make_events(1, seed=1)[0]
    sizes = [len(json.dumps(event, ensure_ascii=False).encode()) for event in events]
    assert 550 < sum(sizes) / len(sizes) < 750
    assert len({event["name"] for event in events}) == 5
    assert len({event["user"]["uid"] for event in events}) > 20
    seen = set().union(*map(fields_of, events))
    assert seen == fields_of(EXAMPLE_EVENT) - {"schema"}
    values = [v for event in events for v in event["properties"].values()]
    kinds = {type(value) for value in values}
    assert kinds == {str, int, float, bool, type(None), list, dict}
