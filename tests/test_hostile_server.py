"""A server that sends too much, too slowly or no HTTP fails its job, and no other."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
import tracemalloc
import zlib

import pytest

from tests.stand_in import Answer, Job, make_events

pytestmark = pytest.mark.slow

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TWO_LENGTHS = OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"
FILLER = b" " * 65_536
PAGE = b'{"results": []}'


def raw(head, endless=b"", **fields):
    return Answer(raw=head, endless=endless, **fields)


def trickling(head, endless):
    return raw(head, endless, trickle=0.02)


def encoded(body, encoding):
    return Answer(body=body, headers={"Content-Encoding": encoding})


TOO_LARGE = {
    "announced": raw(OK + b"Content-Length: 999999999999\r\n\r\n{"),
    "without end": raw(OK + b"\r\n{", FILLER),
    "chunks without end": raw(CHUNKED, b"10000\r\n%b\r\n" % FILLER),
    "one chunk without end": raw(CHUNKED + b"FFFFFFFFFF\r\n", FILLER),
    "a page": Answer(body=PAGE + FILLER * 4),
    "gzip": encoded(gzip.compress(FILLER * 100), "gzip"),
    "deflate": encoded(zlib.compress(FILLER * 100), "deflate"),
    "gzip twice": encoded(gzip.compress(gzip.compress(FILLER * 100)), "gzip, gzip"),
}
TOO_SLOW = {
    "headers that trickle": trickling(OK, b"X"),
    "status that trickles": trickling(b"HTTP/1.1 2", b"0"),
    "continue without end": raw(b"", b"HTTP/1.1 100 Go on\r\n\r\n"),
    "trailers without end": raw(CHUNKED + b"0\r\n", b"X: y\r\n"),
    "body that trickles": trickling(OK + b"\r\n", b" "),
    "chunks that trickle": trickling(CHUNKED, b"1\r\n \r\n"),
    "length of a chunk that trickles": trickling(CHUNKED, b"0"),
    "empty gzip without end": raw(
        OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"")
    ),
    "error that trickles": trickling(b"HTTP/1.1 500 Oh\r\n\r\n", b" "),
}
UNREADABLE = {
    "a header without end": raw(OK + b"X: ", FILLER),
    "headers without end": raw(OK, b"X: y\r\n"),
    "status without end": raw(b"HTTP/1.1 200 ", b"O" * 1_000),
    "no HTTP": raw(b"220 mail.example.com ESMTP\r\n", b"500 What?\r\n"),
    "no status": raw(b"HTTP/1.1 abc OK\r\n\r\n{}"),
    "two lengths": raw(TWO_LENGTHS),
}
BAD_BODIES = {
    "no gzip": encoded(b"{}", "gzip"),
    "half a gzip": encoded(gzip.compress(PAGE)[:20], "gzip"),
    "too many encodings": encoded(b"{}", ", ".join(["gzip"] * 9)),
    "an unknown encoding": encoded(b"\x00\x01", "person@example.com"),
    "a length that is no number": raw(OK + b"Content-Length: x\r\n\r\n{"),
    "a negative length": raw(OK + b"Content-Length: -1\r\n\r\n{"),
    "no chunk": raw(CHUNKED + b"person@example.com\r\n"),
    "a negative chunk": raw(CHUNKED + b"-5\r\n{}"),
}
NO_HEADER = {
    "no header": raw(OK + b"Content-Length: 2\r\nperson@example.com\r\nX: y\r\n\r\n{}")
}
REDIRECTS = {
    f"{status} to {where}": raw(
        f"HTTP/1.1 {status} X\r\nLocation: {where}\r\n\r\n".encode(), FILLER
    )
    for status in (301, 307)
    for where in ("/x", "http://[", "//person@example.com:x/")
}
PATIENT = {"request_timeout": 20}
SLOW = r"no answer within (0\.4|120) s|can't be read|was cut off"
# Answers, how often they are asked for, what the error says, and settings. Newer
# releases of Python refuse very many headers before the time is over.
GROUPS = [
    (
        TOO_LARGE,
        "1",
        "`max_page_bytes` .200,000",
        {**PATIENT, "max_page_bytes": 200_000},
    ),
    (TOO_SLOW, "[12]", SLOW, {}),
    (UNREADABLE, "2", "the headers of the answer can't be read", PATIENT),
    (NO_HEADER, "6", "incomplete", PATIENT),
    (BAD_BODIES, "2", "", {"request_timeout": 2}),
    (REDIRECTS, "1", r"a redirect \(30[17]\)", PATIENT),
]
CASES = [
    pytest.param((answer, *rest), id=name)
    for answers, *rest in GROUPS
    for name, answer in answers.items()
]


@pytest.mark.parametrize("case", CASES)
def test_bad_answer_fails_its_job_and_harms_nothing_else(api, tap, case):
    answer, asked, said, settings = case
    before, started = {*threading.enumerate()}, time.monotonic()
    api.add(
        Job("a", rows=make_events(2), script={"imports": [answer] * 9}),
        Job("b", rows=make_events(5), page_size=2),
    )

    limits = {"max_attempts": 2, "request_timeout": 0.4}
    run = tap.run(job_ids=["a", "b"], **{**limits, **settings})

    assert time.monotonic() - started < 5
    assert run.status == 1
    assert {*run.completed()} == {"b"}
    assert len(run.records()) == 5
    [error] = run.errors
    assert error.startswith("Job a failed: ")
    assert re.search(said, error)
    assert re.fullmatch(asked, str(len(api.asked("a"))))
    assert "person@example.com" not in run.stderr
    for thread in {*threading.enumerate()} - before if said != SLOW else ():
        thread.join(timeout=2)
        assert not thread.is_alive(), "a thread hangs"


@pytest.mark.parametrize("kind", ["body that trickles", "error that trickles"])
def test_body_that_trickles_is_tried_again(api, tap, kind):
    """After its time limit, and not when the run gives its thread up."""
    api.add(Job("a", script={"imports": [TOO_SLOW[kind]] * 2}))

    run = tap.run(job_ids=["a"], request_timeout=0.4)

    assert (run.status, len(api.asked("a", "imports"))) == (0, 3)


@pytest.mark.parametrize(
    ("status", "said"),
    [(202, "still processing"), (401, "(401)"), (404, "(404)"), (500, "(500)")],
)
def test_endless_error_is_judged_by_its_status(api, tap, status, said):
    answer = raw(b"HTTP/1.1 %d X\r\n\r\n{" % status, FILLER)
    api.add(Job("a", script={"imports": [answer] * 9}))

    settings = {**PATIENT, "max_page_bytes": 200_000, "job_wait_timeout": 1}
    run = tap.run(job_ids=["a"], max_attempts=2, **settings)

    assert "max_page_bytes" not in run.stderr
    assert said in run.stderr
    assert run.status == (status != 202)


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
@pytest.mark.parametrize("more", [0, 1])
def test_page_may_be_as_large_as_the_setting_says(api, tap, encoding, more):
    """To the byte, as it is after decompression."""
    page = json.dumps({"results": [{"name": "é" * 500}] * 100}).encode()
    forms = {"gzip": gzip.compress(page), "deflate": zlib.compress(page)}
    answer = encoded(forms.get(encoding, page), encoding)
    api.add(Job("a", imports=100, script={"imports": [answer]}))

    run = tap.run(job_ids=["a"], max_page_bytes=len(page) - more)

    assert (run.status, len(run.records())) == ((1, 0) if more else (0, 100))


def test_compressed_page_never_takes_much_more_memory_than_allowed(api, tap):
    bomb = gzip.compress(bytes(300_000_000))
    for body, encoding in ((bomb, "gzip"), (gzip.compress(bomb), "gzip, gzip")):
        api.add(Job("a", script={"imports": [encoded(body, encoding)]}))
        tracemalloc.start()
        try:
            run = tap.run(job_ids=["a"], max_page_bytes=1_000_000, **PATIENT)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert "`max_page_bytes`" in run.errors[0]
        assert peak < 20_000_000
