"""The stand-in Fullstory API keeps to the API's documentation.

What a test of the tap would notice is not tested here.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

from tests.limiters import Bucket, FixedWindow, SlidingWindow
from tests.stand_in import (
    DEFAULT_API_KEY,
    EXAMPLE_EVENT,
    Answer,
    Job,
    StandIn,
    make_events,
    make_failures,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.limiters import Limiter

ROWS = [{"name": f"Event {number}"} for number in range(7)]
ERRORS = {
    400: {"message": "uid is required", "code": "required_field"},
    401: {"message": "access is unauthorized", "code": "unauthorized"},
    403: {"message": "insufficient permissions", "code": "forbidden"},
    404: {
        "message": "Requested resource does not exist",
        "code": "resource_not_found",
    },
    429: {
        "message": "Too many requests. "
        "Client has exceeded the rate limit for this endpoint.",
        "code": "too_many_requests",
    },
    500: {"message": "Server error was encountered", "code": "server_error"},
}


def get(
    url: str,
    path: str,
    authorization: str | None = f"Basic {DEFAULT_API_KEY}",
    method: str = "GET",
) -> tuple[int, Any]:
    """The status and the JSON of an answer; the path is sent as it is."""
    headers = {} if authorization is None else {"Authorization": authorization}
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1"
    with closing(HTTPConnection(parts.hostname, parts.port, timeout=5)) as connection:
        connection.request(method, f"/v2/events/batch/{path}", headers=headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or "null")


def test_tokens_are_unique_and_must_be_encoded() -> None:
    """Each token is the job's own and has characters that a URL cannot hold bare."""
    jobs = [Job(job_id, ROWS, page_size=1) for job_id in "ab"]
    tokens = []
    with StandIn(*jobs) as api:
        for job_id in "ab":
            token = ""
            while token is not None:
                query = f"page_token={quote(token, safe='')}"
                _, page = get(api.url, f"{job_id}/imports?{query}")
                token = page.get("next_page_token")
                tokens.append(token)
        foreign = quote(tokens[0], safe="")
        assert get(api.url, f"b/imports?page_token={foreign}")[0] == 400
    tokens = [token for token in tokens if token is not None]
    assert len(set(tokens)) == 12
    assert all(set(token) & set("+/&%") for token in tokens)
    assert all(quote(token, safe="") != token for token in tokens)


@pytest.mark.parametrize("query", ["page_token=cDE", "include_schema=yes"])
def test_bad_query_answers_400(query: str) -> None:
    with StandIn(Job("a", ROWS)) as api:
        answer = get(api.url, f"a/imports?{query}")
    name = query.partition("=")[0]
    assert answer == (400, {"message": f"invalid {name}", "code": "invalid_argument"})


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
            _, page = get(api.url, f"a/imports{query}")
            assert page["results"] == [plain, {"name": "y"}]
        _, page = get(api.url, "a/imports?include_schema=true")
        assert page["results"] == [
            {**plain, "schema": {"properties": derived}},
            rows[1],
        ]
        _, page = get(api.url, "b/imports?include_schema=true")
        assert [row["schema"] for row in page["results"]] == [{"properties": {}}] * 2


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        DEFAULT_API_KEY,
        f"Bearer {DEFAULT_API_KEY}",
        f"Basic Basic {DEFAULT_API_KEY}",
        f"basic {DEFAULT_API_KEY}",
        "Basic wrong",
    ],
)
def test_all_but_the_raw_key_after_basic_answers_401(authorization: str | None) -> None:
    with StandIn(Job("a", ROWS)) as api:
        assert get(api.url, "a/imports", authorization) == (401, ERRORS[401])


def test_key_of_the_level_standard_reads_statuses_only() -> None:
    with StandIn(Job("a", ROWS), readers=("low",)) as api:
        assert get(api.url, "a", "Basic low")[0] == 200
        assert get(api.url, "a/imports", "Basic low") == (403, ERRORS[403])


@pytest.mark.parametrize(
    "path",
    ["unknown", "unknown/imports", "a/b/imports", "a/rows", "a/", "", "x/../a"],
)
def test_unknown_jobs_and_routes_answer_404(path: str) -> None:
    """Paths are taken as they are: nothing is decoded or normalised before routing."""
    with StandIn(Job("a", ROWS), Job("a/b", ROWS)) as api:
        assert get(api.url, path) == (404, ERRORS[404])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_other_methods_answer_405(method: str) -> None:
    with StandIn(Job("a", ROWS)) as api:
        assert get(api.url, "a/imports", method=method)[0] == 405


def test_script_for_no_endpoint_is_refused() -> None:
    """A slip in a test does not pass for a normal answer."""
    with pytest.raises(ValueError, match="'import'"):
        StandIn(Job("a", script={"import": []}))


@pytest.mark.parametrize("status", sorted(ERRORS))
def test_scripted_errors_have_the_documented_body(status: int) -> None:
    with StandIn(Job("a", script={"status": [Answer(status)]})) as api:
        assert get(api.url, "a") == (status, ERRORS[status])


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


def test_made_failures() -> None:
    """Failed events have the documented fields."""
    failures = make_failures(30)
    assert failures == make_failures(30)
    assert failures[10:] == make_failures(20, first=10)
    assert len({failure["code"] for failure in failures}) == 3
    assert any("shared" in failure for failure in failures)
    assert any("use_most_recent" in f["event"].get("session", {}) for f in failures)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_program_serves_a_scenario_until_it_is_stopped(
    stop: signal.Signals, tmp_path: Path
) -> None:
    """One line when it is ready, and exit status 0."""
    scenario = tmp_path / "scenario.json"
    job = {"job_id": "a", "generate": 5, "script": {"status": [None, {"status": 500}]}}
    limiter = {"kind": "sliding_window", "requests": 100}
    scenario.write_text(json.dumps({"limiter": limiter, "jobs": [job]}))
    command = [sys.executable, "-m", "tests.stand_in", "--scenario", str(scenario)]
    with subprocess.Popen(  # noqa: S603 (the command is this test's)
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().strip()
        assert len(get(url, "a/imports")[1]["results"]) == 5
        assert [get(url, "a")[0] for _ in range(2)] == [200, 500]
        process.send_signal(stop)
        assert process.wait(5) == 0
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


@pytest.mark.parametrize("text", ["{", '{"job": []}', '{"jobs": [{"id": "a"}]}'])
def test_program_refuses_a_bad_scenario(text: str, tmp_path: Path) -> None:
    """One sentence, exit status 2."""
    scenario = tmp_path / "scenario.json"
    scenario.write_text(text)
    command = [sys.executable, "-m", "tests.stand_in", "--scenario", str(scenario)]
    done = subprocess.run(  # noqa: S603 (the command is this test's)
        command, capture_output=True, text=True, check=False, timeout=10
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "scenario.json" in done.stderr
