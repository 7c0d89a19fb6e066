"""A server that sends too much, too slowly or no HTTP fails its job, and no other."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_in import Answer, Job, make_events

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

pytestmark = pytest.mark.slow

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LIMIT = 200_000
TIMEOUT = 0.4
FILLER = b" " * 65_536
TOO_LARGE = {
    "announced": Answer(raw=OK + b"Content-Length: 999999999999\r\n\r\n{"),
    "without end": Answer(raw=OK + b"\r\n{", endless=FILLER),
    "chunks without end": Answer(raw=CHUNKED, endless=b"10000\r\n%b\r\n" % FILLER),
    "one chunk without end": Answer(raw=CHUNKED + b"FFFFFFFFFF\r\n", endless=FILLER),
    "a page": Answer(body=b"%b%b" % (b'{"results": []}', FILLER * 4)),
    "gzip": Answer(
        body=gzip.compress(FILLER * 100), headers={"Content-Encoding": "gzip"}
    ),
    "deflate": Answer(
        body=zlib.compress(FILLER * 100), headers={"Content-Encoding": "deflate"}
    ),
    "gzip twice": Answer(
        body=gzip.compress(gzip.compress(FILLER * 100)),
        headers={"Content-Encoding": "gzip, gzip"},
    ),
}
TOO_SLOW = {
    "headers that trickle": Answer(raw=OK, endless=b"X", trickle=0.02),
    "status that trickles": Answer(raw=b"HTTP/1.1 2", endless=b"0", trickle=0.02),
    "continue without end": Answer(raw=b"", endless=b"HTTP/1.1 100 Go on\r\n\r\n"),
    "trailers without end": Answer(raw=CHUNKED + b"0\r\n", endless=b"X: y\r\n"),
    "body that trickles": Answer(raw=OK + b"\r\n", endless=b" ", trickle=0.02),
    "chunks that trickle": Answer(raw=CHUNKED, endless=b"1\r\n \r\n", trickle=0.02),
    "length of a chunk that trickles": Answer(raw=CHUNKED, endless=b"0", trickle=0.02),
    "empty gzip without end": Answer(
        raw=OK + b"Content-Encoding: gzip\r\n\r\n", endless=gzip.compress(b"")
    ),
    "error that trickles": Answer(
        raw=b"HTTP/1.1 500 Oh\r\n\r\n", endless=b" ", trickle=0.02
    ),
}
NO_HEADERS = {
    "a header without end": Answer(raw=OK + b"X: ", endless=FILLER),
    "headers without end": Answer(raw=OK, endless=b"X: y\r\n"),
    "status without end": Answer(raw=b"HTTP/1.1 200 ", endless=b"O" * 1_000),
    "no HTTP": Answer(raw=b"220 mail.example.com ESMTP\r\n", endless=b"500 What?\r\n"),
    "no status": Answer(raw=b"HTTP/1.1 abc OK\r\n\r\n{}"),
    "two lengths": Answer(raw=OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
}
NO_HEADER = Answer(
    raw=OK + b"Content-Length: 2\r\nperson@example.com\r\nX: y\r\n\r\n{}"
)
BAD_BODIES = {
    "no gzip": Answer(body=b"{}", headers={"Content-Encoding": "gzip"}),
    "half a gzip": Answer(
        body=gzip.compress(b'{"results": []}')[:20],
        headers={"Content-Encoding": "gzip"},
    ),
    "too many encodings": Answer(
        body=b"{}", headers={"Content-Encoding": ", ".join(["gzip"] * 9)}
    ),
    "an unknown encoding": Answer(
        body=b"\x00\x01", headers={"Content-Encoding": "person@example.com"}
    ),
    "a length that is no number": Answer(raw=OK + b"Content-Length: x\r\n\r\n{"),
    "two lengths": Answer(raw=OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
    "a negative length": Answer(raw=OK + b"Content-Length: -1\r\n\r\n{"),
    "no chunk": Answer(raw=CHUNKED + b"person@example.com\r\n"),
    "a negative chunk": Answer(raw=CHUNKED + b"-5\r\n{}"),
}


def run_with(
    tap: Folder,
    api: StandIn,
    answer: Answer,
    *,
    may_hang: bool = False,
    **settings: Any,
) -> tuple[Run, float]:
    """A run in which job `a` gets only this answer; it must harm nothing else.

    Args:
        tap: The command line.
        api: The stand-in.
        answer: Its answer.
        may_hang: Whether a thread may be left behind, as long as the run ends.
        settings: Settings.

    Returns:
        The run, and how many seconds it took.
    """
    before = {*threading.enumerate()}
    api.add(
        Job("a", rows=make_events(2), script={"imports": [answer] * 9}),
        Job("b", rows=make_events(5), page_size=2),
    )
    started = time.monotonic()
    run = tap.run(
        job_ids=["a", "b"],
        **{"max_attempts": 2, "request_timeout": TIMEOUT, **settings},
    )
    seconds = time.monotonic() - started
    assert run.status == 1
    assert run.completed() == {"b": 5}
    assert [record["event_index"] for record in run.records()] == list(range(5))
    assert "person@example.com" not in run.stderr
    [error] = run.errors
    assert error.startswith("Job a failed: ")
    for thread in {*threading.enumerate()} - before if not may_hang else ():
        thread.join(timeout=2)
        assert not thread.is_alive(), "a thread hangs"
    return run, seconds


@pytest.mark.parametrize("answer", TOO_LARGE.values(), ids=TOO_LARGE)
def test_page_that_is_too_large_fails_its_job_at_once(
    tap: Folder, api: StandIn, answer: Answer
) -> None:
    """It would be as large again, and the sentence names the setting."""
    run, seconds = run_with(tap, api, answer, max_page_bytes=LIMIT, request_timeout=20)
    assert "`max_page_bytes` (200,000 bytes)" in run.errors[0]
    assert len(api.asked("a")) == 1
    assert seconds < 5


@pytest.mark.parametrize("answer", TOO_SLOW.values(), ids=TOO_SLOW)
def test_answer_must_be_there_in_time_whatever_trickles_in(
    tap: Folder, api: StandIn, answer: Answer
) -> None:
    """Not only between two bytes. Headers and the rest have three times the limit.

    Newer releases of Python refuse very many headers before that.
    """
    run, seconds = run_with(tap, api, answer, may_hang=True)
    reasons = r"no answer within (0\.4|1\.2) s|can't be read|was cut off"
    assert re.search(reasons, run.errors[0])
    assert seconds < 5


@pytest.mark.parametrize("kind", ["body that trickles", "error that trickles"])
def test_body_that_trickles_is_tried_again(
    tap: Folder, api: StandIn, kind: str
) -> None:
    """After its time limit, and not when the run gives its thread up."""
    run_with(tap, api, TOO_SLOW[kind])
    assert len(api.asked("a")) == 2


@pytest.mark.parametrize("answer", NO_HEADERS.values(), ids=NO_HEADERS)
def test_unreadable_headers_fail_the_job_in_words(
    tap: Folder, api: StandIn, answer: Answer
) -> None:
    """They are not quoted, and they may be right the next time."""
    run, seconds = run_with(tap, api, answer, request_timeout=20)
    assert "the headers of the answer can't be read" in run.errors[0]
    assert len(api.asked("a")) == 2
    assert seconds < 5


def test_unreadable_header_is_not_quoted(tap: Folder, api: StandIn) -> None:
    run_with(tap, api, NO_HEADER)


@pytest.mark.parametrize("answer", BAD_BODIES.values(), ids=BAD_BODIES)
def test_body_that_is_not_what_its_headers_say_fails_the_job(
    tap: Folder, api: StandIn, answer: Answer
) -> None:
    """No row of it is taken."""
    run_with(tap, api, answer, request_timeout=2)
    assert len(api.asked("a")) == 2


@pytest.mark.parametrize("status", [202, 401, 404, 500])
def test_endless_error_is_judged_by_its_status(
    tap: Folder, api: StandIn, status: int
) -> None:
    """A page that is too large has another meaning than a refused key."""
    answer = Answer(raw=b"HTTP/1.1 %d X\r\n\r\n{" % status, endless=FILLER)
    api.add(Job("a", script={"imports": [answer] * 9}))
    run = tap.run(
        job_ids=["a"],
        max_attempts=2,
        max_page_bytes=LIMIT,
        request_timeout=20,
        job_wait_timeout=1,
    )
    assert "max_page_bytes" not in run.stderr
    assert ("still processing" if status == 202 else f"({status})") in run.stderr
    assert run.status == (0 if status == 202 else 1)


@pytest.mark.parametrize("location", ["/x", "http://[", "//person@example.com:x/"])
@pytest.mark.parametrize("status", [301, 307])
def test_redirect_is_not_read(
    tap: Folder, api: StandIn, status: int, location: str
) -> None:
    """Only that it is one."""
    head = f"HTTP/1.1 {status} X\r\nLocation: {location}\r\n\r\n"
    answer = Answer(raw=head.encode(), endless=FILLER)
    run, seconds = run_with(tap, api, answer, request_timeout=20)
    assert f"a redirect ({status})" in run.errors[0]
    assert len(api.asked("a")) == 1
    assert seconds < 5


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
@pytest.mark.parametrize("more", [0, 1])
def test_page_may_be_as_large_as_the_setting_says(
    tap: Folder, api: StandIn, encoding: str, more: int
) -> None:
    """To the byte, as it is after decompression."""
    rows = [{"name": "é" * 500}] * 100
    page = json.dumps({"results": rows}, ensure_ascii=False).encode()
    body, headers = page, {"Content-Encoding": encoding or "identity"}
    if encoding:
        body = gzip.compress(page) if encoding == "gzip" else zlib.compress(page)
    script: dict[str, list[Answer | None]] = {
        "imports": [Answer(body=body, headers=headers)]
    }
    api.add(Job("a", rows=rows, script=script))
    run = tap.run(job_ids=["a"], max_page_bytes=len(page) - more)
    assert run.status == more
    assert len(run.records()) == (0 if more else 100)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_no_cookie_of_the_server_comes_back(
    tap: Folder, api: StandIn, concurrency: int
) -> None:
    """Cookies would pile up from job to job until the server refuses the request."""
    names = [f"job-{number}" for number in range(8)]
    for name in names:
        cookie = Answer(headers={"Set-Cookie": f"{name}={'x' * 2_000}; Path=/"})
        wrong = Answer(status=503, headers=cookie.headers)
        script: dict[str, list[Answer | None]] = {"imports": [cookie, wrong, cookie]}
        api.add(Job(name, rows=make_events(4), page_size=2, script=script))
    run = tap.run(job_ids=names, concurrency=concurrency)
    assert run.status == 0
    assert len(api.requests) == 24
    assert not [request for request in api.requests if "Cookie" in request.headers]


def test_compressed_page_never_takes_much_more_memory_than_allowed(
    tap: Folder, api: StandIn
) -> None:
    """What would decompress to hundreds of megabytes is stopped on the way."""
    bomb = gzip.compress(bytes(300_000_000))
    for body, encoding in ((bomb, "gzip"), (gzip.compress(bomb), "gzip, gzip")):
        api.clear()
        tracemalloc.start()
        try:
            run, _ = run_with(
                tap,
                api,
                Answer(body=body, headers={"Content-Encoding": encoding}),
                max_page_bytes=1_000_000,
                request_timeout=20,
            )
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert "`max_page_bytes`" in run.errors[0]
        assert peak < 20_000_000


def test_answer_that_ends_after_its_job_was_abandoned_is_ignored(
    api: StandIn, tap: Folder
) -> None:
    """The job has failed by then; another one keeps the run going."""
    late = Answer(raw=OK + b"X: " + b"y" * 60 + b"\r\n\r\n{}", trickle=0.02)
    api.add(Job("slow", script={"imports": [late]}), Job("late", processing=-1))

    run = tap.run(
        job_ids=["slow", "late"],
        concurrency=2,
        request_timeout=0.2,
        job_wait_timeout=300,
    )

    assert run.status == 1
    assert run.completed() == {}
    assert len(api.asked("slow")) == 1
    assert run.summary["failed"] == run.summary["deferred"] == 1
    assert "though the server keeps sending" in run.errors[-1]
