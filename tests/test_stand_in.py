"""The stand-in Fullstory API keeps to the API's documentation and to its scripts."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial
from http.client import HTTPConnection, IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest

from tests.limiters import Bucket, FixedWindow, SlidingWindow
from tests.stand_in import (
    DEFAULT_API_KEY,
    DEMO,
    ENDLESS,
    EXAMPLE_EVENT,
    Answer,
    Job,
    StandIn,
    load,
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


class Response(NamedTuple):
    """What a client sees of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Decodes the body."""
        return json.loads(self.body)


def connect(api: StandIn, timeout: float = 5) -> HTTPConnection:
    """Returns a connection to the server."""
    parts = urlsplit(api.url)
    assert parts.hostname == "127.0.0.1"
    return HTTPConnection(parts.hostname, parts.port, timeout=timeout)


def ask(
    connection: HTTPConnection,
    path: str,
    authorization: str | None = f"Basic {DEFAULT_API_KEY}",
    method: str = "GET",
) -> Response:
    """Sends one request, its path as it is."""
    headers = {} if authorization is None else {"Authorization": authorization}
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    return Response(response.status, dict(response.headers), response.read())


def get(
    api: StandIn,
    path: str,
    authorization: str | None = f"Basic {DEFAULT_API_KEY}",
    method: str = "GET",
    timeout: float = 5,
) -> Response:
    """Sends one request on a connection of its own."""
    with closing(connect(api, timeout)) as connection:
        return ask(connection, f"/v2/events/batch/{path}", authorization, method)


def read(api: StandIn, path: str, query: str = "") -> list[dict[str, Any]]:
    """Reads all pages of a list."""
    pages = [get(api, f"{path}?{query}").json()]
    while token := pages[-1].get("next_page_token"):
        encoded = quote(token, safe="")
        pages.append(get(api, f"{path}?{query}&page_token={encoded}").json())
    return pages


def test_pages_hold_all_rows_in_order() -> None:
    """Tokens lead through all rows; the total is text; the last page has no token."""
    with StandIn(Job("abc123", ROWS, page_size=3)) as api:
        pages = read(api, "abc123/imports")
    assert [row for page in pages for row in page["results"]] == ROWS
    assert [page["total_records"] for page in pages] == ["7", "7", "7"]
    assert ["next_page_token" in page for page in pages] == [True, True, False]
    assert [request.status for request in api.requests] == [200, 200, 200]


def test_job_without_rows_has_one_empty_page() -> None:
    """A finished job may have imported nothing."""
    with StandIn(Job("none"), Job("raw", raw_pages=[]), Job("pages", pages=[])) as api:
        for job in ("none", "raw", "pages"):
            page = {"results": [], "total_records": "0"}
            assert get(api, f"{job}/imports").json() == page


def test_tokens_are_unique_and_must_be_encoded() -> None:
    """Each token is the job's own and has characters that a URL cannot hold bare."""
    one, other = (Job(job_id, ROWS, page_size=1) for job_id in "ab")
    with StandIn(one, other) as api:
        pages = [*read(api, "a/imports"), *read(api, "b/imports")]
        tokens = [page["next_page_token"] for page in pages if len(page) == 3]
        assert len(set(tokens)) == 12
        assert set("=+/&%") <= set("".join(tokens))
        assert all(quote(token, safe="") != token for token in tokens)
        assert all(set(token) & set("+/&%") for token in tokens)
        foreign = get(api, f"b/imports?page_token={quote(tokens[0], safe='')}")
        assert foreign.status == 400


@pytest.mark.parametrize("query", ["page_token=cDE", "include_schema=yes"])
def test_bad_query_is_refused(query: str) -> None:
    """A bad token or a bad truth value answers 400."""
    with StandIn(Job("a", ROWS)) as api:
        response = get(api, f"a/imports?{query}")
    assert response.status == 400
    name = query.partition("=")[0]
    assert response.json() == {"message": f"invalid {name}", "code": "invalid_argument"}


def test_explicit_pages_may_be_empty() -> None:
    """The layout is the test's, and the total still counts rows."""
    with StandIn(Job("a", pages=[ROWS[:2], [], ROWS[2:3], []])) as api:
        pages = read(api, "a/imports")
    assert [len(page["results"]) for page in pages] == [2, 0, 1, 0]
    assert {page["total_records"] for page in pages} == {"3"}


def test_raw_pages_are_sent_as_they_are() -> None:
    """What no encoder would write arrives byte by byte, and is counted."""
    deep = "[" * 5000 + "]" * 5000
    texts: list[bytes | str] = [
        '[{"name":"x","n":1e400}, {"name":"],\\"[", "n":1.10}]',
        "[ ]",
        b'[{"name":"\\ud800\\u0000"}]',
        f'[{{"name":"deep","properties":{{"a":{deep}}}}},{{}},null]',
    ]
    with StandIn(Job("a", raw_pages=texts, tokens=["1", "2", "3"])) as api:
        bodies = [get(api, f"a/imports?page_token={n}").body for n in ("", 1, 2, 3)]
    for text, body in zip(texts, bodies, strict=True):
        raw = text if isinstance(text, bytes) else text.encode()
        assert body.startswith(b'{"results":' + raw + b',"total_records":"6"')


def test_repeated_tokens_loop() -> None:
    """A token leads to the page after the first one that sent it."""
    with StandIn(Job("a", pages=[ROWS[:1]] * 3, tokens=["A", "B", "A"])) as api:
        path, tokens = "a/imports", []
        for _ in range(5):
            tokens.append(get(api, path).json()["next_page_token"])
            path = f"a/imports?page_token={tokens[-1]}"
    assert tokens == ["A", "B", "A", "B", "A"]


def test_endless_token_leads_from_empty_page_to_empty_page() -> None:
    with StandIn(Job("a", ROWS)) as api:
        first = get(api, f"a/imports?page_token={quote(ENDLESS)}").json()
        token = quote(first["next_page_token"])
        second = get(api, f"a/imports?page_token={token}").json()
    assert first["results"] == second["results"] == []
    assert first["next_page_token"] != second["next_page_token"]


def test_last_token_may_be_empty_or_lead_nowhere_new() -> None:
    """The last page may carry an empty token, or one that leads to itself."""
    jobs = Job("a", ROWS, tokens=[""]), Job("b", ROWS, tokens=["B"])
    with StandIn(*jobs) as api:
        page = {"results": ROWS, "total_records": "7"}
        assert get(api, "a/imports").json() == {**page, "next_page_token": ""}
        answer = get(api, "b/imports?page_token=B").json()
        assert answer == {**page, "next_page_token": "B"}


@pytest.mark.parametrize("total", ["98", 98, None])
def test_total_is_sent_as_given(total: str | int | None) -> None:
    """The total may be wrong, a number, or left out."""
    with StandIn(Job("a", ROWS, total=total)) as api:
        page = get(api, "a/imports").json()
    assert page.get("total_records") == total
    assert ("total_records" in page) == (total is not None)


def test_total_and_rows_may_change_from_request_to_request() -> None:
    """Each page has its own total, and an import that runs adds rows in between."""
    script: dict[str, list[Answer | None]] = {"imports": [None, Answer(status=500)]}
    job = Job("a", ROWS[:5], page_size=2, earlier=[ROWS[:1], ROWS[:3]], script=script)
    with StandIn(job, Job("b", pages=[[], []], total=["3", None])) as api:
        answers = [get(api, "a/imports") for _ in range(4)]
        totals = [page.json().get("total_records") for page in answers]
        assert totals == ["1", None, "3", "5"]
        assert [len(page.json().get("results", ())) for page in answers] == [1, 0, 2, 2]
        assert get(api, "a").json()["imports"] == 5
        first = get(api, "b/imports").json()
        second = get(api, f"b/imports?page_token={quote(first['next_page_token'])}")
        assert first["total_records"] == "3"
        assert "total_records" not in second.json()


def test_lone_surrogates_and_other_text_survive() -> None:
    """Any text that JSON can hold is sent."""
    rows = [{"name": "\ud800 \x00"}, {"name": "größe 🧢"}]
    with StandIn(Job("a", rows, page_size=1)) as api:
        pages = read(api, "a/imports")
    assert [page["results"][0] for page in pages] == rows


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
    rows = [plain, {"name": "y", "schema": own}]
    with StandIn(Job("a", rows), Job("b", rows, schema={"properties": {}})) as api:
        assert get(api, "a/imports").json()["results"] == [plain, {"name": "y"}]
        assert get(api, "a/imports?include_schema=false").body.count(b"schema") == 0
        asked = get(api, "a/imports?include_schema=true").json()["results"]
        assert asked == [{**plain, "schema": {"properties": derived}}, rows[1]]
        asked = get(api, "b/imports?include_schema=true").json()["results"]
        assert [row["schema"] for row in asked] == [{"properties": {}}] * 2


def test_errors_are_paged_too() -> None:
    """The failed events have pages, tokens and a total of their own."""
    failures = make_failures(5)
    with StandIn(Job("a", ROWS, page_size=2, failures=failures, total="1")) as api:
        pages = read(api, "a/errors")
        token = quote(pages[0]["next_page_token"], safe="")
        assert get(api, f"a/imports?page_token={token}").status == 400
    assert [row for page in pages for row in page["results"]] == failures
    assert [page["total_records"] for page in pages] == ["5"] * 3


def test_status_counts_imports_and_errors() -> None:
    """Counts are integers; a failed job has imports."""
    job = Job("abd123=", ROWS, status="FAILED", failures=make_failures(2))
    with StandIn(job) as api:
        response = get(api, "abd123%3D")
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {
        "imports": 7,
        "errors": 2,
        "job": {
            "id": "abd123=",
            "status": "FAILED",
            "created": "2026-01-15T01:30:15.01Z",
            "finished": "2026-01-15T01:31:15.5Z",
        },
    }


def test_status_may_differ_from_the_pages() -> None:
    """Counts, word and times are the test's if it says so."""
    with StandIn(Job("a", ROWS, imports=8, errors=1, finished=None)) as api:
        answer = get(api, "a").json()
    assert (answer["imports"], answer["errors"]) == (8, 1)
    assert "finished" not in answer["job"]


def test_words_of_the_status_come_one_after_another() -> None:
    """Until the last one the job has no counts and is not finished."""
    with StandIn(Job("a", ROWS, words=["QUEUED", None])) as api:
        answers = [get(api, "a").json() for _ in range(3)]
    words = [answer["job"].get("status") for answer in answers]
    assert words == ["QUEUED", None, "COMPLETED"]
    assert [answer["imports"] for answer in answers] == [0, 0, 7]
    assert "status" not in answers[1]["job"]


def test_processing_for_some_answers() -> None:
    """So many answers of 202 for each list; the status follows."""
    with StandIn(Job("a", ROWS, processing=2, processing_body=b"soon")) as api:
        status = get(api, "a").json()
        assert (status["imports"], status["job"]["status"]) == (0, "PROCESSING")
        assert "finished" not in status["job"]
        answers = [get(api, "a/imports") for _ in range(3)]
        assert [answer.status for answer in answers] == [202, 202, 200]
        assert [answer.body for answer in answers[:2]] == [b"soon", b"soon"]
        assert get(api, "a").json()["job"]["status"] == "COMPLETED"
        assert [get(api, "a/errors").status for _ in range(3)] == [202, 202, 200]


def test_processing_for_ever_or_for_a_time() -> None:
    """A job may never be ready, or after some seconds; the body of a 202 is empty."""
    with StandIn(Job("a", processing=-1), Job("b", processing_seconds=0.5)) as api:
        assert get(api, "b/imports")[::2] == (202, b"")
        assert get(api, "b").json()["job"]["status"] == "PROCESSING"
        assert {get(api, "a/imports").status for _ in range(5)} == {202}
        assert get(api, "a").json()["job"]["status"] == "PROCESSING"
        time.sleep(0.5)
        assert get(api, "b/imports").status == 200
        assert get(api, "b").json()["job"]["status"] == "COMPLETED"


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
def test_only_the_raw_key_after_basic_is_accepted(authorization: str | None) -> None:
    """Everything else answers 401."""
    with StandIn(Job("a", ROWS)) as api:
        response = get(api, "a/imports", authorization)
    assert (response.status, response.json()) == (401, ERRORS[401])


def test_keys() -> None:
    """The server has a key of its own; a key of the level Standard reads statuses."""
    with StandIn(Job("a", ROWS), api_key="secret", readers=("low",)) as api:
        assert get(api, "a/imports", "Basic secret").status == 200
        assert get(api, "a", "Basic low").status == 200
        response = get(api, "a/imports", "Basic low")
        assert get(api, "a/imports").status == 401
    assert (response.status, response.json()) == (403, ERRORS[403])


IDS = ["a/b", "a?b#c", "ü 1", "abd123=", "..x", "a%2Fb", "a+b", "x" * 500]


@pytest.mark.parametrize("job_id", IDS)
def test_job_ids_are_decoded_exactly_once(job_id: str) -> None:
    """Any ID works, percent-encoded once."""
    path = f"{quote(job_id, safe='')}/imports?x=1"
    with StandIn(Job(job_id, ROWS)) as api:
        assert get(api, path).json()["results"] == ROWS
        assert get(api, quote(job_id, safe="")).json()["job"]["id"] == job_id
        first, second = api.requests
    assert first.raw_path == f"/v2/events/batch/{path}"
    assert (first.job_id, first.endpoint) == (job_id, "imports")
    assert (second.job_id, second.endpoint) == (job_id, "status")


@pytest.mark.parametrize(
    "path",
    ["unknown", "unknown/imports", "a/b/imports", "a/rows", "a/", "", "x/../a"],
)
def test_unknown_jobs_and_routes_answer_404(path: str) -> None:
    """Paths are taken as they are: nothing is decoded or normalised before routing."""
    with StandIn(Job("a", ROWS), Job("a/b", ROWS)) as api:
        response = get(api, path)
    assert (response.status, response.json()) == (404, ERRORS[404])
    known = path in {"unknown", "unknown/imports"}
    assert bool(api.requests[0].endpoint) == known


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_other_methods_answer_405(method: str) -> None:
    """All endpoints only read."""
    with StandIn(Job("a", ROWS)) as api:
        response = get(api, "a/imports", method=method)
        assert response.status == 405
        assert response.headers["Allow"] == "GET"
        assert api.requests[0].method == method


def test_requests_are_recorded() -> None:
    """Everything about a request is kept in order, until it is cleared."""
    before = time.monotonic()
    with StandIn(Job("a", ROWS), Job("b")) as api:
        get(api, "a/imports?page_token=x%2By%3D&empty=")
        get(api, "b")
        get(api, "c/errors", None)
        first = api.requests[0]
        assert first.token == "x+y="  # noqa: S105 (not a secret)
        assert first.query == {"page_token": "x+y=", "empty": ""}
        assert first.headers["Authorization"] == f"Basic {DEFAULT_API_KEY}"
        assert before < first.at < time.monotonic()
        assert [request.status for request in api.requests] == [400, 200, 401]
        assert [request.job_id for request in api.asked()] == ["a", "b", "c"]
        assert api.asked("a") == api.asked(endpoint="imports") == [first]
        assert api.asked("a", "status") == []
        api.clear()
        assert api.requests == []


def test_jobs_can_be_added_and_replaced_while_serving() -> None:
    """A job added again starts afresh."""
    with StandIn() as api:
        assert get(api, "a").status == 404
        api.add(Job("a", ROWS))
        assert len(read(api, "a/imports")[0]["results"]) == 7
        api.add(Job("a", ROWS[:1], processing=1))
        assert get(api, "a/imports").status == 202
        assert len(read(api, "a/imports")[0]["results"]) == 1


def test_script_is_taken_request_by_request() -> None:
    """None, and a list that has ended, are the normal answer."""
    script = {"imports": [Answer(500), None, Answer(429, headers={"Retry-After": "2"})]}
    with StandIn(Job("a", ROWS, script=script)) as api:
        answers = [get(api, "a/imports") for _ in range(4)]
        assert get(api, "a/errors").status == get(api, "a").status == 200
        assert [request.status for request in api.asked(endpoint="imports")] == [
            500,
            200,
            429,
            200,
        ]
    assert [answer.status for answer in answers] == [500, 200, 429, 200]
    assert answers[2].headers["Retry-After"] == "2"
    assert "Retry-After" not in answers[0].headers


def test_script_for_a_page() -> None:
    """The answer by page wins over the one by endpoint; both lists move on."""
    script: dict[str, list[Answer | None]] = {
        "imports:1": [Answer(503), None],
        "imports": [None, Answer(500), Answer(400)],
    }
    job = Job("a", ROWS, page_size=4, tokens=["B"], script=script)
    with StandIn(job) as api:
        paths = [f"a/imports?page_token={token}" for token in ("", "B", "B", "B")]
        assert [get(api, path).status for path in paths] == [200, 503, 400, 200]


def test_script_for_no_endpoint_is_refused() -> None:
    """A slip in a test does not pass for a normal answer."""
    with pytest.raises(ValueError, match="'import'"):
        StandIn(Job("a", script={"import": []}))


@pytest.mark.parametrize("status", sorted(ERRORS))
def test_scripted_errors_have_the_documented_body(status: int) -> None:
    """The body need not be given."""
    with StandIn(Job("a", script={"status": [Answer(status)]})) as api:
        response = get(api, "a")
    assert (response.status, response.json()) == (status, ERRORS[status])


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (Answer(503), 503, b""),
        (
            Answer(400, {"message": "m", "code": "c"}),
            400,
            b'{"message":"m","code":"c"}',
        ),
        (Answer(502, "<h1>ü</h1>"), 502, "<h1>ü</h1>".encode()),
        (Answer(200, b""), 200, b""),
        (Answer(200, b"[]"), 200, b"[]"),
        (Answer(body="not JSON"), 200, b"not JSON"),
        (Answer(202), 202, b"wait"),
        (Answer(202, b"{}"), 202, b"{}"),
        (Answer(200), 200, b'{"results":[],"total_records":"0"}'),
        (Answer(), 200, b'{"results":[],"total_records":"0"}'),
    ],
)
def test_scripted_bodies(answer: Answer, status: int, body: bytes) -> None:
    """A body is sent as it is; without one it is the normal one of that status."""
    job = Job("a", script={"imports": [answer]}, processing_body=b"wait")
    with StandIn(job) as api:
        assert get(api, "a/imports")[::2] == (status, body)


def test_scripted_headers_win() -> None:
    """A redirect, or another content type, is sent as given."""
    headers = {"Location": "https://other.example/", "content-type": "text/html"}
    with StandIn(Job("a", script={"imports": [Answer(302, headers=headers)]})) as api:
        response = get(api, "a/imports")
    assert response.status == 302
    assert response.headers["Location"] == "https://other.example/"
    types = [v for k, v in response.headers.items() if k.lower() == "content-type"]
    assert types == ["text/html"]


@pytest.mark.parametrize("cut", [0, 10])
def test_cut_body(cut: int) -> None:
    """The whole length is announced and less of it sent."""
    with StandIn(Job("a", ROWS, script={"imports": [Answer(cut=cut)]})) as api:
        with pytest.raises(IncompleteRead) as caught:
            get(api, "a/imports")
        assert get(api, "a/imports").json()["results"] == ROWS
        assert [request.status for request in api.requests] == [200, 200]
    assert len(caught.value.partial) == cut


def test_dropped_connection(capfd: pytest.CaptureFixture[str]) -> None:
    """The connection ends without a byte, and nobody complains about it."""
    with StandIn(Job("a", ROWS, script={"imports": [Answer(drop=True)]})) as api:
        with pytest.raises(RemoteDisconnected):
            get(api, "a/imports")
        assert get(api, "a/imports").status == 200
        assert [request.status for request in api.requests] == [0, 200]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "answer", [Answer(drop=True, reset=True), Answer(cut=9, reset=True)]
)
def test_reset_connection(answer: Answer) -> None:
    """The connection is reset, where a closed one would just end."""
    with StandIn(Job("a", ROWS, script={"imports": [answer]})) as api:
        with pytest.raises(ConnectionResetError):
            get(api, "a/imports")
        assert get(api, "a/imports").status == 200


def test_hanging_answer_and_quick_stop(capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is answered, others are served meanwhile, and the server still stops."""
    script: dict[str, list[Answer | None]] = {
        "imports": [Answer(hang=True)] * 2,
        "errors": [Answer(latency=60)],
        "status": [Answer(trickle=60)],
    }
    with StandIn(Job("a", ROWS, script=script)) as api:
        with pytest.raises(TimeoutError):
            get(api, "a/imports", timeout=0.1)
        pending = [connect(api) for _ in range(3)]
        for connection, path in zip(pending, ("/imports", "/errors", ""), strict=True):
            connection.request(
                "GET",
                f"/v2/events/batch/a{path}",
                headers={"Authorization": f"Basic {DEFAULT_API_KEY}"},
            )
        while len(api.requests) < 4:
            time.sleep(0.01)
        assert get(api, "a/imports").status == 200
        assert [request.status for request in api.asked("a", "imports")] == [0, 0, 200]
        before = time.monotonic()
    assert time.monotonic() - before < 1
    for connection in pending:
        connection.close()
    assert capfd.readouterr() == ("", "")


def test_trickling_body() -> None:
    """The body comes byte by byte."""
    script: dict[str, list[Answer | None]] = {
        "imports": [Answer(200, b"0123456789", trickle=0.01)],
        "errors": [Answer(200, b"0123456789", trickle=0.001, cut=5)],
    }
    with StandIn(Job("a", script=script)) as api:
        before = time.monotonic()
        assert get(api, "a/imports").body == b"0123456789"
        assert time.monotonic() - before > 0.08
        with pytest.raises(IncompleteRead) as caught:
            get(api, "a/errors")
        assert caught.value.partial == b"01234"


def test_raw_bytes_instead_of_an_answer() -> None:
    """What is sent need not be HTTP; without an end it ends with the client."""
    script: dict[str, list[Answer | None]] = {
        "imports": [Answer(raw=b"HTTP/1.0 299 X\r\n\r\nabc")],
        "errors": [Answer(raw=b"HTTP/1.0 200 X\r\n\r\n", endless=b"x" * 1_000)],
    }
    with StandIn(Job("a", script=script)) as api:
        response = get(api, "a/imports")
        assert (response.status, response.body) == (299, b"abc")
        with closing(connect(api)) as connection:
            headers = {"Authorization": f"Basic {DEFAULT_API_KEY}"}
            connection.request("GET", "/v2/events/batch/a/errors", headers=headers)
            body = connection.getresponse().read(3_000_000)
        assert body == b"x" * 3_000_000


def test_early_answer_is_followed_by_the_real_one_on_the_same_connection() -> None:
    """A client that takes it for the whole answer reads the real one next time."""
    answer = Answer(early=103, latency=0.1)
    job = Job("a", ROWS, script={"status": [answer]})
    with StandIn(job) as api, closing(connect(api)) as connection:
        early = ask(connection, "/v2/events/batch/a")
        late = ask(connection, "/v2/events/batch/a/imports")
    assert (early.status, early.body) == (103, b"")
    assert late.json()["job"]["id"] == "a"


def test_latencies_add_up_and_do_not_block_others() -> None:
    """The server's, the job's and the answer's; requests wait at the same time."""
    job = Job("a", ROWS, latency=0.1, script={"status": [Answer(latency=0.1)]})
    with StandIn(job, Job("b"), latency=0.05) as api:

        def timed(path: str) -> float:
            before = time.monotonic()
            get(api, path)
            return time.monotonic() - before

        assert timed("b") >= 0.05
        assert timed("a") >= 0.25
        threads = [threading.Thread(target=timed, args=("a/errors",)) for _ in range(9)]
        before = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - before < 9 * 0.15


def test_rate_limit_over_all_requests() -> None:
    """So many at once, then 429 with Retry-After in whole seconds."""
    with StandIn(Job("a", ROWS), limiter=Bucket(0.1, 2)) as api:
        answers = [get(api, path) for path in ("a", "a/imports", "a/errors", "b")]
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
    assert [answer.headers.get("Retry-After") for answer in answers[1:3]] == [
        None,
        "10",
    ]
    assert answers[2].json() == ERRORS[429]


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


def test_connections_are_kept_alive() -> None:
    """Many requests, good and bad, share one connection."""
    script: dict[str, list[Answer | None]] = {
        "imports": [Answer(500), Answer(trickle=0)],
    }
    with (
        StandIn(Job("a", ROWS, script=script)) as api,
        closing(connect(api)) as connection,
    ):
        ask(connection, "/v2/events/batch/a")
        held = connection.sock
        assert isinstance(held, socket.socket)
        for path in ("a/imports", "a/imports", "a/imports", "b", "a?page_token=x"):
            ask(connection, f"/v2/events/batch/{path}")
            assert connection.sock is held


def test_taken_port_is_an_error() -> None:
    """Two servers cannot have one port."""
    with StandIn() as api:
        port = urlsplit(api.url).port or 0
        with pytest.raises(OSError, match="address"), StandIn(port=port):
            pass


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


def test_generated_rows_are_paged_like_given_ones() -> None:
    """Rows can be made page by page."""
    with StandIn(Job("a", generate=250, generate_failures=3)) as api:
        pages = read(api, "a/imports", "include_schema=true")
        failures = read(api, "a/errors")[0]["results"]
        assert get(api, "a").json()["imports"] == 250
    rows = [row for page in pages for row in page["results"]]
    assert [len(page["results"]) for page in pages] == [100, 100, 50]
    assert all(row.pop("schema")["properties"] for row in rows)
    assert rows == make_events(250, seed=0xE8B7BE43)  # crc32 of "a"
    assert len(failures) == 3


def test_demo_scenario() -> None:
    """The demo has a large job, one that partly failed and one that is slow."""
    with load(DEMO) as api:
        large = get(api, "demo-large/imports").json()
        assert (len(large["results"]), large["total_records"]) == (1000, "25000")
        failed = get(api, "demo-partly-failed").json()
        assert (failed["imports"], failed["errors"]) == (120, 30)
        assert failed["job"]["status"] == "FAILED"
        assert get(api, "demo-partly-failed/errors").json()["total_records"] == "30"
        assert get(api, "demo-slow/imports").status == 202


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_program_serves_a_scenario_until_it_is_stopped(
    stop: signal.Signals, tmp_path: Path
) -> None:
    """One line when it is ready, and exit status 0, even while a request hangs."""
    scenario = tmp_path / "scenario.json"
    text = {
        "api_key": "other",
        "limiter": {"kind": "sliding_window", "requests": 100},
        "jobs": [
            {
                "job_id": "a",
                "generate": 5,
                "total": None,
                "processing": 1,
                "processing_body": "soon",
                "script": {
                    "status": [None, {"status": 500}],
                    "errors": [{"hang": True}],
                },
            },
        ],
    }
    scenario.write_text(json.dumps(text))
    command = [sys.executable, "-m", "tests.stand_in", "--scenario", str(scenario)]
    with subprocess.Popen(  # noqa: S603 (the command is this test's)
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        api = StandIn()
        api.url = process.stdout.readline().strip()
        key = "Basic other"
        assert get(api, "a/imports", key)[::2] == (202, b"soon")
        page = get(api, "a/imports", key).json()
        assert set(page) == {"results"}
        assert len(page["results"]) == 5
        assert [get(api, "a", key).status for _ in range(2)] == [200, 500]
        with pytest.raises(TimeoutError):
            get(api, "a/errors", key, timeout=0.1)
        before = time.monotonic()
        process.send_signal(stop)
        assert process.wait(5) == 0
        assert time.monotonic() - before < 2
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
