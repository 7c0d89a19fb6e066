"""Answers and files that are huge, deep, slow, odd: read exactly, or refused in words.

A bad answer fails its job, and no other.
"""

from __future__ import annotations

import gc
import gzip
import json
import re
import sys
import threading
import time
import tracemalloc
import zlib
from typing import Any

import pytest

from tests.stand_in import Answer, Job, make_events

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


def is_busy(thread):
    """Whether a thread does anything but wait for its next call."""
    frame = sys._current_frames().get(thread.ident)  # noqa: SLF001 - documented
    return frame is not None and frame.f_code.co_name != "_work"


@pytest.mark.slow
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
    gc.collect()
    for thread in {*threading.enumerate()} - before if said != SLOW else ():
        until = time.monotonic() + 2
        while is_busy(thread):
            assert time.monotonic() < until, "a thread hangs"
            time.sleep(0.01)


@pytest.mark.slow
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


@pytest.mark.slow
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


# Bodies

HUGE = 20_000_000
DEEP = 1_000_000  # Python 3.14 reads 100,000 levels
NO_JSON = "the answer can't be used: it is not JSON: "
NO_UTF8 = "the answer can't be used: it is not text in UTF-8"
NO_OBJECT = "the answer can't be used: it is not a JSON object"
NO_ROWS = "the answer can't be used: its `results` are not a list of objects"
NO_TOKEN = "the answer can't be used: its `next_page_token` "  # noqa: S105
ERROR = "the answer can't be used: it is an error although its status is 200"
TOO_DEEP = "It has a row that is nested too deeply to be read."
ROW = b'{"results":[{"name":"x"}],"total_records":"1"'
DECODED: dict[str, tuple[bytes, Any]] = {
    # What comes out: the names of the rows, or the sentence of the failed job
    "byte order mark": (b"\xef\xbb\xbf" + ROW + b"}", ["x"]),
    "space around": (b" \r\n\t" + ROW + b"\n} \n", ["x"]),
    "last of duplicate keys": (
        b"""{"results":[{"name":"a"}],"total_records":"7","next_page_token":"x",
        "next_page_token":"","total_records":1,"results":[{"name":1,"name":"b"}]}""",
        ["b"],
    ),
    "no such word": (ROW + b',"a":NULL}', NO_JSON),
    "a comma too many": (ROW + b",}", NO_JSON),
    "two bytes for NUL": (ROW + b',"a":"\xc0\x80"}', NO_UTF8),
    "surrogates as bytes": (ROW + b',"a":"\xed\xa0\xbd\xed\xb8\x80"}', NO_UTF8),
    "Latin-1": (ROW + b',"a":"\xe9t\xe9"}', NO_UTF8),
    "half a character": (ROW + b"}\xc3", NO_UTF8),
    "a fault after 100 kB": (
        ROW + b',"a":"%b\xff"}' % ("ü" * 50_000).encode(),
        NO_UTF8,
    ),
    "UTF-16": ((ROW + b"}").decode().encode("utf-16"), NO_UTF8),
    "NaN": (ROW.replace(b'"x"', b"NaN") + b"}", NO_JSON),
    "Infinity": (ROW.replace(b'"x"', b"-Infinity") + b"}", NO_JSON),
    "raw NUL": (ROW.replace(b"x", b"\x00") + b"}", NO_JSON),
    "raw line break in a text": (ROW.replace(b"x", b"a\nb") + b"}", NO_JSON),
    "raw return in a text": (ROW.replace(b"x", b"a\rb") + b"}", NO_JSON),
    "half a page": (ROW, NO_JSON),
    "two pages": (ROW + b"}" + ROW + b"}", NO_JSON),
    "nothing": (b"", NO_JSON),
    "HTML": (b"<html>secret</html>", NO_JSON),
    "an error": (b'{"code":"x","message":"secret"}', ERROR),
    "an error object": (b'{"error":{"x":"secret"}}', ERROR),
    "a message": (b'{"message":"secret"}', ERROR),
    "a text": (b'"secret"', NO_OBJECT),
    "results are a text": (b'{"results":"secret"}', NO_ROWS),
    "a number among results": (b'{"results":[1]}', NO_ROWS),
    "only a byte order mark": (b"\xef\xbb\xbf", NO_JSON),
    "null": (b"null", NO_OBJECT),
    "a list": (b"[" + ROW + b"}]", NO_OBJECT),
    "results are an object": (b'{"results":{}}', NO_ROWS),
    "results of lists": (b'{"results":[[]]}', NO_ROWS),
    "a null among results": (b'{"results":[{},null]}', NO_ROWS),
    "a number as token": (ROW + b',"next_page_token":5}', NO_TOKEN + "is not a text"),
    "NUL in a token": (ROW + b',"next_page_token":"\\u0000"}', NO_TOKEN + "can't be"),
    "deep beside": (ROW + b',"new":' + b"[" * DEEP + b"]" * DEEP + b"}", TOO_DEEP),
    "deep results": (b'{"results":' + b"[" * DEEP + b"]" * DEEP + b"}", NO_ROWS),
    "deep objects": (
        b'{"results":[' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"]}",
        TOO_DEEP,
    ),
}


def test_answer_is_read_exactly_or_refused_in_words(tap, api):
    """In one run: a bad answer fails its own job only."""
    for job_id, (body, _) in DECODED.items():
        api.add(Job(job_id, script={"imports": [Answer(body=body)]}))
    run = tap.run(job_ids=[*DECODED], max_attempts=1, concurrency=4)
    names: dict[str, list[str]] = {}
    for record in run.records():
        names.setdefault(record["job_id"], []).append(record["name"])
    read = {job for job, (_, out) in DECODED.items() if isinstance(out, list)}
    assert {*run.completed()} == read
    assert {job: names[job] for job in read} == {job: DECODED[job][1] for job in read}
    # Equal failures share a line, which names five jobs at most.
    for job_id in DECODED.keys() - read:
        assert job_id not in names
        sentence = DECODED[job_id][1]
        assert any(sentence in line for line in run.errors), job_id
    assert max(map(len, run.stderr.splitlines())) < 400
    assert "secret" not in run.stderr


def test_jobs_file_of_100_000_lines_is_read_to_its_last_one(tap, api):
    """With a byte order mark, the line ends of Windows and most jobs finished."""
    job_ids = [f"job-{number:06}" for number in range(100_000)]
    unread = [job_ids[0], job_ids[50_000], job_ids[-1]]
    api.add(*(Job(job_id, rows=make_events(1)) for job_id in unread))
    text = "\r\n".join(["# all jobs of a year", "", *job_ids, "", ""])
    path = tap.write("jobs.txt", b"\xef\xbb\xbf" + text.encode())
    done = {job_id: 1 for job_id in job_ids if job_id not in unread}  # as first written
    state = {"bookmarks": {"imported_events": {"completed_jobs": done}}}
    run = tap.run(jobs_file=str(path), state=state)
    assert run.status == 0, run.stderr[-2_000:]
    assert [request.job_id for request in api.requests] == unread
    assert {*run.completed()} == {*job_ids}


def test_text_of_20_megabytes_leaves_as_it_came(tap, api):
    row = b'{"name":"%b","properties":{"n":1}}' % (b"x" * HUGE)
    api.add(Job("a", pages=[b"[%b]" % row], total=1))
    run = tap.run(job_ids=["a"])
    assert {*run.completed()} == {"a"}
    assert row[:-1] in run.stdout
    assert max(map(len, run.stderr.splitlines())) < 1_000


@pytest.mark.parametrize("place", ["total", "count", "timestamp"])
def test_number_of_very_many_digits_is_compared_or_refused_in_words(tap, api, place):
    """As the total of the pages, as a count of the status, as a time."""
    said = {"total": "2", "count": "1", "timestamp": "null"}
    for form in ('"{}"', "{}", "-{}", "1e{}", "{}.5"):
        for digits in (1_000, 3_990, 4_100, 4_300, 5_000, 100_000):
            said[place] = form.format("9" * digits)
            page = (
                f'{{"results":[{{"timestamp":{said["timestamp"]}}}],'
                f'"total_records":{said["total"]}}}'
            )
            status = f'{{"imports":{said["count"]},"job":{{"status":"COMPLETED"}}}}'
            answers = {"imports": page, "status": status}
            script = {end: [Answer(body=body)] * 9 for end, body in answers.items()}
            api.add(Job(f"{form} {digits}", script=script))

    job_ids = [job_id for _, job_id in api.jobs]
    run = tap.run(job_ids=job_ids, max_attempts=1, concurrency=4)

    assert bool(run.summary["failed"]) == bool(run.errors)
    assert max(map(len, run.stderr.splitlines())) < 10_000
    if place == "timestamp":
        assert not run.errors
        assert {record["timestamp"] for record in run.records()} == {None}
