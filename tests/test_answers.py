"""What each answer of the API leads to: requests, rows, bookmarks, exit code, words.

Two jobs are read in each case: `a`, which gets odd answers, and `b`, which must be read
whatever happens to `a`.
"""

from __future__ import annotations

import re
from functools import partial
from itertools import chain, pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from tests.harness import SPEED
from tests.stand_in import Answer, Job

EVENTS, ERRORS, JOBS = STREAMS = ("imported_events", "import_errors", "import_jobs")
ROWS = "abcdef"


def rows(names):
    return [{"name": name} for name in names]


SCRIPT = re.compile(r"([ies])(\d?)")
ENDPOINTS = {"i": "imports", "e": "errors", "s": "status"}
SETTINGS = {
    *("count_mismatch", "job_wait_timeout", "max_attempts", "missing_jobs"),
    *("request_timeout", "unfinished_jobs"),
}


def case(name, asked, written=ROWS, outcome="jobs read", *said, **given):
    """A row of the table: settings, fields of job `a`, answers; and what must come.

    Answers are named like the requests: `i` for all pages, `i1` for the second one.

    * asked: the requests for job `a`, a regular expression: `s` is its status, `i` and
      `e` the first page of its events and its failures, `n` a next page;
    * written: the letters of its records in the order of their lines: events `abc`,
      failures `ABC`, a status `*`;
    * outcome: as the summary calls it;
    * said: parts of the error that says why, or of the warnings;
    * words: of the status, before the last one;
    * read: the streams whose bookmarks name the job, if not all or none.
    """
    streams = given.pop("streams", (EVENTS,))
    read = given.pop("read", streams if outcome == "jobs read" else ())
    settings = {key: given.pop(key) for key in SETTINGS & given.keys()}
    if words := given.pop("words", ()):
        given["s"] = [status(0, word) for word in words]
    keys = [key for key in given if SCRIPT.fullmatch(key)]
    job = {
        "script": {":".join([ENDPOINTS[k[0]], *k[1:]]): given.pop(k) for k in keys},
        **given,
    }
    return pytest.param(SimpleNamespace(**locals()), id=name)


reads = partial(case, outcome="jobs read")


def fails(name, asked, written, *said, **given):
    return case(name, asked, written, "failed", *said, **given)


def warns(name, asked, written, *said, **given):
    return case(name, asked, written, "jobs read", *said, **given)


def defers(name, asked, written, *said, **given):
    given = {"job_wait_timeout": 10, **given}
    return case(name, asked, written, "deferred", *said, **given)


def each(make, name, values, *args, **given):
    [field] = [key for key, value in given.items() if value is ...]
    return [
        make(f"{name} {value!r:.60}", *args, **{**given, field: value})
        for value in values
    ]


def later(text):
    return Answer(202, headers={"Retry-After": text})


def body(names, total=None, token=None):
    page = {"results": rows(names), "total_records": total, "next_page_token": token}
    return Answer(body=page)


def status(imports=6, word="COMPLETED", **fields):
    return Answer(body={"imports": imports, "job": {"status": word, **fields}})


def letters(run):
    keys = {EVENTS: "name", ERRORS: "code"}
    return "".join(
        message["record"].get(keys.get(message["stream"]), "*")
        for message in run.of_type("RECORD")
        if message["record"]["job_id"] == "a"
    )


def loaded(run, job_id):
    """The events of a job in a target: a later row replaces an earlier one."""
    records = [row for row in run.records() if row["job_id"] == job_id]
    found = {row["event_index"]: row["name"] for row in records}
    return "".join(found[place] for place in sorted(found))


def check(run, api, case):
    asked = "".join("n" if one.token else one.endpoint[0] for one in api.asked("a"))
    assert re.fullmatch(case.asked, asked), asked
    assert letters(run) == case.written
    assert run.summary[case.outcome] == 1 + (case.outcome == "jobs read")
    assert run.status == (case.outcome == "failed")
    for stream in case.streams:
        assert run.completed(stream) == {"b", *"a" * (stream in case.read)}
    if EVENTS in case.streams:
        assert loaded(run, "b") == "xyz"
    said = " ".join(run.warnings)
    if case.outcome == "failed":
        [said] = run.errors
        assert said == run.lines[-1]
        assert said.startswith("Job a failed")
        assert len(said) < 700
    else:
        assert run.errors == []
        assert bool(run.warnings) >= bool(case.said)
    for part in case.said:
        assert part in said
    assert "secret" not in run.stderr


ODD = "bad\r\nERROR forged\x1b[31m\x00\u202e\u2028" + "x" * 100_000
AWAY = {"Location": "https://elsewhere.example.com/x"}
# Answers that fail their job at once, and parts of the sentence.
REFUSED = {
    "400": (Answer(400), "400", "required_field", "uid is required"),
    "405": (Answer(405, {"code": "odd", "message": "No."}), "405 odd: No."),
    "407 odd": (
        Answer(407, {"code": "c" * 9_999, "message": ODD}),
        "ERROR forged [31m",
    ),
    "406 without a body": (Answer(406), "(406)"),
    "410 not JSON": (Answer(410, "<html>Gone</html>"), "(410)"),
    "422 odd types": (Answer(422, {"code": 7, "message": []}), "(422)"),
    "451 not an object": (Answer(451, '["x"]'), "(451)"),
    "401": (Answer(401), "401", "`api_key`", "revoked"),
    "403": (Answer(403), "403", "Architect", "Admin", "Standard", "statuses"),
    **{
        str(code): (Answer(code, headers=AWAY), "redirect", str(code), "`api_url`")
        for code in (301, 302, 303, 307, 308)
    },
    "304": (Answer(304), "redirect"),
    "404": (Answer(404), "404 resource_not_found", "`user_job_ids`", "`missing_jobs`"),
}
# Answers after which the same is asked again; odd bodies are in test_hostile.py.
PASSING = {
    **{str(code): (Answer(code), str(code)) for code in (408, 409, 421, 423, 425)},
    "500": (Answer(500), "500 server_error"),
    "502 not JSON": (Answer(502, "<html>Bad gateway</html>"), "502"),
    "503": (Answer(503), "503"),
    "599": (Answer(599), "599"),
    "201": (Answer(201, {"results": rows("x")}), "201"),
    "103": (Answer(early=103, latency=0.06), "103"),
    "204": (Answer(204), "204"),
    "206": (Answer(206, {"results": rows("x")}), "206"),
    "cut": (Answer(cut=10), "cut off"),
    "cut before the body": (Answer(cut=0), "cut off"),
    "no page": (Answer(body="<html>secret</html>"), "not JSON"),
}
HANG, DROP, ERROR, NONE = Answer(hang=True), Answer(drop=True), Answer(500), Answer(404)
WAIT = Answer(202)
# fmt: off
FAILURES = [
    case("404", "i", "", "skipped", "a: Skipped", "404", i=[NONE], missing_jobs="skip"),
    *(fails(f"{code} between pages", "in", "ab", str(code), i1=[Answer(code)])
      for code in (401, 403, 405, 422)),
    fails("dropped", "iii", "", "connection", "3 attempts", i=[DROP] * 3),
    reads("dropped twice between pages", "innnn", i1=[DROP] * 2),
    fails("1 attempt", "i", "", "1 attempt", i=[ERROR], max_attempts=1),
    fails("4 attempts", "iiii", "", "4 attempts", i=[ERROR] * 4, max_attempts=4),
    reads("attempts of each page", "i{3}n{6}", i0=[ERROR] * 2, i1=[ERROR] * 2,
        i2=[ERROR] * 2),
    fails("hangs", "iii", "", "no answer within 0.2 s", i=[HANG] * 3,
        request_timeout=0.2),
    reads("hangs once", "innn", i1=[HANG], request_timeout=0.2),
    fails("a later page, always", "innnn", "abcd", "500", "3 attempts", i2=[ERROR] * 3),
]

A, B, EMPTY = rows("a"), rows("b"), rows("")
LAST = {"results": A, "total_records": 1}
PAGES = [
    reads("equal rows", "inn", "aaaaaa", rows="aaaaaa"),
    reads("empty page first", "inn", "ab", pages=[EMPTY, A, B]),
    reads("empty page", "inn", "ab", pages=[A, EMPTY, B]),
    reads("empty page last", "inn", "ab", pages=[A, B, EMPTY]),
    reads("99 empty pages", "in{100}", "ab", pages=[A, *[EMPTY] * 99, B]),
    reads("60 empty pages twice", "in{122}", "abc",
        pages=[A, *[EMPTY] * 60, B, *[EMPTY] * 60, rows("c")]),
    fails("100 empty pages", "in{99}", "", "do not end", "empty",
        pages=[*[EMPTY] * 100, A]),
    reads("no results", "in", "a", pages=[EMPTY, A], tokens=["t"],
        i0=[Answer(body={"next_page_token": "t", "total_records": 1})]),
    reads("empty token", "i", "a", pages=[A],
        i=[Answer(body={**LAST, "next_page_token": ""})]),
    reads("null token", "i", "a", pages=[A],
        i=[Answer(body={**LAST, "next_page_token": None})]),
    fails("tokens AA", "in", "ab", "token", "second time", tokens=[*"AA"]),
    fails("tokens ABCAB", "innn", "aba", "second time", pages=[A, B] * 3,
        tokens=[*"ABCAB"]),
    fails("beyond both counts", "ins", "abcd", "4 rows were read", "3", "2", total="3",
        imports=2),
    reads("beyond the total", "isnn", total="1"),
    reads("beyond the status", "inn", imports=1),
    fails("no total, no end", "isn", "abcd", "no total", "3", total=None, imports=3),
    reads("no total", "isnn", total=None),
    reads("no total, one page", "is", total=None, page_size=6),
    reads("no total, running", "issinn", "ab" + ROWS, total=None, words=["PROCESSING"]),
]

MISCOUNT = ("6 rows were read", "a total of 7", "reports 8 imported events")
TWICE = "innssinn"
NO_STATUSES: list[Any] = [{}, {"imports": 6}, {"job": None}, {"job": []}, {"job": "a"}]
BAD_STATUSES = [
    ("innsss", ERROR, "500 server_error"),
    ("inns", Answer(400), "400 required_field"),
    ("inns", NONE, "404 resource_not_found"),
    ("innsss", Answer(body="<html>"), "not JSON"),
    ("innsss", Answer(body="[]"), "not a JSON object"),
    ("innsss", Answer(body={"code": "x"}), "is an error"),
    ("innsss", DROP, "connection"),
    ("innsss", status("many"), "not numbers"),
    ("innsss", status(True), "its counts are not numbers"),
]
SILENT: list[dict[str, Any]] = [{}, {"results": []}, {"total_records": "0"}]
COUNTS = [
    *each(reads, "total", ("6", 6), "inn", total=..., imports=99),
    *each(reads, "wrong total", ("7", "5", 7), "inns", total=...),
    *each(reads, "unusable total", ("", "many", "-6", "6.5", 6.5, True, {"count": 6}),
        "isnn", total=...),
    reads("FAILED", "inns", total="8", status="FAILED", errors=2),
    *each(reads, "no rows, total", ("0", 0, None), "is", "", rows="", total=...),
    reads("all failed", "is", "", rows="", status="FAILED", generate_failures=3),
    fails("miscount", TWICE, ROWS * 2, "incomplete", *MISCOUNT, total="7", imports=8),
    warns("accepted", TWICE, ROWS * 2, *MISCOUNT, total="7", imports=8,
        count_mismatch="warn"),
    reads("miscount, once", "issinn", "abc" + ROWS, i=[body("abc", "7")]),
    fails("no rows of 5", "issisi", "", "incomplete", "0 rows", rows="", total="5",
        imports=5),
    *(reads(f"no rows of 6 at first {page}", "issisinn", i=[Answer(body=page)] * 2)
        for page in [*SILENT, {"total_records": "6"}]),
    fails("no rows of 6", "issisi", "", "incomplete", i=[Answer(body={})] * 9),
    *each(reads, "status", ([Answer(body=said)] * 2 for said in NO_STATUSES), "innsss",
        total="7", s=...),
    *(fails(f"status {said}", asked, ROWS, said, total="7", s=[answer] * 3)
      for asked, answer, said in BAD_STATUSES),
    *each(fails, "status of", ([status(id=one)] * 3 for one in ("b", "A", 7)), "innsss",
        ROWS, "another job", total="7", s=...),
    reads("status without an ID", "inns", total="7", s=[status(id="")]),
]

WORDS = ["PROCESSING", "UNKNOWN", "completed", "", None]
BODIES = [b"", b"null", b"<html>", b"\xff\x00", b'{"results": [{"name": "early"}]}']
LONG = ["3600", "9" * 30, "9" * 400]
PROCESSING, OFTEN = {"processing": -1}, "i{4,9}"
RUNNING = [
    *each(reads, "202, twice", ([Answer(202, body)] * 2 for body in BODIES), "iiinn",
        i=...),
    defers("202", OFTEN, "", "still processing", "next run", **PROCESSING),
    defers("no time to wait", "i", "", **PROCESSING, job_wait_timeout=0),
    fails("too long", OFTEN, "", "still processing", "`job_wait_timeout`", "`defer`",
        **PROCESSING, job_wait_timeout=10, unfinished_jobs="fail"),
    reads("ready in the last moment", "iiiinn", processing=3, job_wait_timeout=12),
    *each(defers, "Retry-After", ([later(text)] * 9 for text in LONG), "i{1,2}", "",
        i=...),
    reads("failures while waiting", "iiiinn", i=[WAIT, ERROR, WAIT]),
    reads("202 resets the attempts", "i{11}nn", i=[ERROR, WAIT] * 5, max_attempts=2),
    *each(defers, "rows, but", WORDS, "inns{2,9}", ROWS, total="7", status=...,
        imports=6),
    *each(defers, "no rows, and", WORDS, "is{2,9}", "", status=..., rows=""),
    *each(defers, "no total, and", WORDS, "is{2,9}", "", status=..., rows="",
        total=None),
    *each(reads, "early rows", ([word] for word in WORDS), "issinn", "bd" + ROWS,
        i=[body("bd", "4")], words=...),
    defers("a new word", "inns+", ROWS, "(status CANCELLED)", "CANCELLED",
        total="7", status="CANCELLED"),
]

THRICE, MOVED = "insinsin", ("changed", "Run again")
FEWER = {"words": ["PROCESSING"], "i": [body("abcde", "6")], "rows": "bcd"}
EARLIER = {"i": [body("bd", "3", "t")], "tokens": [*"tu"]}
HAD = "had 5 rows, the last one 3"
MOVING = [
    reads("202 between pages", "insinn", "ab" + ROWS, i1=[WAIT]),
    reads("202, then QUEUED", "inssinn", "ab" + ROWS, i1=[WAIT], words=["QUEUED"]),
    reads("a new total", "insinn", "bd" + ROWS, **EARLIER),
    reads("a new total, then words", "insssinn", "bd" + ROWS, **EARLIER,
        words=["PROCESSING", None]),
    *each(reads, "token expired", ([Answer(code)] for code in (400, 404, 410)),
        "insinn", "ab" + ROWS, i1=...),
    reads("expired twice", "innsinnsinn", "abcd" * 2 + ROWS, i2=[Answer(410)] * 2),
    fails("always expired", THRICE, "ab" * 3, "token", "400", i1=[Answer(400)] * 9),
    fails("always 202", THRICE, "ab" * 3, *MOVED, i1=[WAIT] * 9),
    fails("always new", THRICE, "x" * 6, *MOVED,
        i=[body("xx", str(n), "tu"[n % 2]) for n in range(3, 9)], tokens=[*"tu"]),
    defers("moves on", "ins+", "bd", **EARLIER, words=["PROCESSING"] * 99),
    *each(reads, "totals", (["6", 6, "6"], ["6", None, None], ["6", "", "many"]), "inn",
        total=...),
    reads("a total at last", "isnn", total=[None, None, "6"]),
    warns("fewer rows at last", "issin", "abcdebcd", HAD, "target", **FEWER),
    warns("fewer than at first", "ississin", "abcdefabcbcde",
        "had 6 rows, the last one 4", i=[body("abcdef", "7"), body("abc", "4")],
        rows="bcde", words=["PROCESSING", "COMPLETED", "PROCESSING"]),
    warns("fewer, and miscounted", "issinsin", "abcdebcdbcd", HAD, "9 imported",
        **FEWER, total=None, imports=9, count_mismatch="warn"),
]

ALONE, BAD = {"streams": (ERRORS,)}, {"failures": [{"code": code} for code in "ABC"]}
ALL = {"streams": STREAMS, **BAD}
STATUS, TWO = {"streams": (JOBS,)}, "ABABC"
MORE = Answer(body={"results": BAD["failures"], "total_records": 5})
OTHERS = [
    # A clean job of one page: one request for events alone, two for all streams.
    reads("events, one page", "i", page_size=6),
    reads("all streams, one page", "si", "*" + ROWS, page_size=6, streams=STREAMS),
    reads("all streams, failures", "sinnen", f"*{ROWS}ABC", **ALL),
    reads("events and errors", "sinn", streams=STREAMS[:2]),
    reads("errors, none", "s", "", **ALONE),
    reads("errors, no count", "s", "", **ALONE,
        s=[Answer(body={"job": {"status": "COMPLETED"}})]),
    reads("errors", "sen", "ABC", **ALONE, **BAD),
    reads("jobs", "s", "*", **STATUS),
    reads("processing", "sssinnen", f"*{ROWS}ABC", processing=2, **ALL),
    defers("all, processing", "s{4,9}", "*", "still processing", processing=-1, **ALL),
    *each(case, "status", WORDS, "s+", "*", **STATUS, read=(), status=...,
        job_wait_timeout=5),
    *each(defers, "errors,", WORDS, "s+", "", **ALONE, status=...),
    reads("202 between pages of errors", "sensen", TWO, **ALONE, **BAD, e1=[WAIT]),
    reads("token of errors expired", "sensen", TWO, **ALONE, **BAD, e1=[NONE]),
    fails("too few errors", "sese", "ABC" * 2, "5 and", "4 failed events", **ALONE,
        errors=4, e=[MORE] * 2),
    *each(fails, "errors refused", ([Answer(code)] for code in (400, 401, 403)),
        "sinne", f"*{ROWS}", ERRORS, read=(EVENTS, JOBS), e=..., **ALL),
    fails("events refused", "sien", "*ABC", "403", EVENTS, read=(ERRORS, JOBS),
        i=[Answer(403)], **ALL),
    fails("status refused", "sinnen", f"{ROWS}ABC", "403", JOBS, read=(EVENTS, ERRORS),
        s=[Answer(403)], **ALL),
    fails("status refused, then processing", "sissinnen", f"{ROWS}ABC", "403", JOBS,
        read=(EVENTS, ERRORS), s=[Answer(403), status(0, "PROCESSING")],
        i=[Answer(body={})], **ALL),
    fails("missing", "s", "", "404", *STREAMS, s=[NONE], **ALL),
    reads("status of another job at first", "ss", "*", **STATUS, s=[status(id="b")]),
]
# fmt: on


@pytest.mark.parametrize(
    "case", [*FAILURES, *PAGES, *COUNTS, *RUNNING, *MOVING, *OTHERS]
)
def test_answers_lead_to(tap, api, case):
    job = {"rows": ROWS, "page_size": 2, **case.job}
    if isinstance(job["rows"], str):
        job["rows"] = rows(job["rows"])
    api.add(Job("a", **job))
    api.add(Job("b", pages=[rows("xy"), rows("z")], tokens=["A"]))
    tap.streams = case.streams

    run = tap.run(job_ids=["a", "b"], **{"max_attempts": 3, **case.settings})

    check(run, api, case)
    if EVENTS in case.streams and "a" in run.completed():
        truth = chain(*job.get("pages", [job["rows"]]))
        assert loaded(run, "a").startswith("".join(row["name"] for row in truth))


@pytest.mark.parametrize("cases", [REFUSED, PASSING], ids=["refused", "passing"])
def test_each_answer_fails_its_own_job_only(tap, api, cases):
    """All of them in one run, with a good job after each."""
    for name, (answer, *_) in cases.items():
        api.add(Job(name, script={"imports": [answer] * 9}))
        api.add(Job(f"{name}, good", rows("x")))
    job_ids = [job_id for name in cases for job_id in (name, f"{name}, good")]

    run = tap.run(job_ids=job_ids, max_attempts=2)

    assert run.status == 1
    assert {*run.completed()} == {f"{name}, good" for name in cases}
    assert run.summary["failed"] == len(cases)
    again = "given up after 2 attempts"
    for name, (_, *said) in cases.items():
        assert len(api.asked(name)) == 1 + (cases is PASSING), name
        words = [*said, again] if cases is PASSING else said
        assert any(all(word in line for word in words) for line in run.errors), name
    assert max(map(len, run.errors)) < 700
    for word in ("secret", *"\r\x1b\x00\u202e\u2028"):
        assert word not in run.stderr


def test_answer_that_passes_between_pages_is_asked_for_again(tap, api):
    for name, (answer, *_) in PASSING.items():
        script = {"imports:1": [answer] * 2}
        api.add(Job(name, rows(ROWS), page_size=2, script=script))

    run = tap.run(job_ids=[*PASSING], max_attempts=3)

    assert (run.status, {*run.completed()}) == (0, {*PASSING})
    for name in PASSING:
        assert (loaded(run, name), len(api.asked(name))) == (ROWS, 5)


# When a job is asked again


@pytest.mark.parametrize(
    ("answers", "least", "most"),
    [
        ([WAIT] * 6, [2, 4, 8, 16, 30, 30], 120),
        ([later("40")], [40], 70),
        ([later("40.5")], [40.5], 70),
        ([later("1")] * 6, [1] * 6, 60),
        ([later("40"), body("a", "9")], [40, 0, 4, 0], 70),  # asks once, not for ever
        ([later("soon")] * 2, [2, 4], 40),
        ([later("-1")] * 2, [2, 4], 40),
        ([ERROR] * 5, [1, 2, 4, 8, 16], 90),
    ],
)
def test_waits_between_requests(api, tap, answers, least, most):
    api.add(Job("a", rows(ROWS), script={"imports": answers}))

    run = tap.run(job_ids=["a"], max_attempts=6)

    assert {*run.completed()} == {"a"}
    times = [request.at for request in api.asked("a")]
    waits = [(after - before) * SPEED for before, after in pairwise(times)]
    assert all(wait >= 0.99 * one for wait, one in zip(waits, least, strict=True))
    assert sum(waits) < most


@pytest.mark.parametrize("failure", [Answer(503), Answer(drop=True)])
def test_jobs_share_one_job_wait_timeout_whatever_fails_in_between(api, tap, failure):
    script = {"imports": [WAIT, *[failure] * 4] * 30}
    api.add(Job("a", script=script), Job("b", processing=-1), Job("c", processing=-1))

    run = tap.run(job_ids=["a", "b", "c"], job_wait_timeout=100)

    assert (run.status, run.summary["deferred"]) == (0, 3)
    start, *_, end = (request.at for request in api.requests)
    assert (end - start) * SPEED < 200


def test_without_time_to_wait_each_run_brings_a_job_on(api, tap):
    api.add(*(Job(str(number), rows(ROWS), processing=number) for number in range(3)))
    state: dict[str, Any] = {}

    for number in range(3):
        run = tap.run(job_ids=["0", "1", "2"], job_wait_timeout=0, state=state)
        state = run.state
        assert run.status == 0
        assert {*run.completed()} == {*map(str, range(number + 1))}


# The same for many jobs


def test_equal_failures_are_one_line_that_counts_them(api, tap):
    names = [f"job-{number:02}" for number in range(20)]
    api.add(Job("good", rows(ROWS)), Job("odd", script={"imports": [Answer(302)]}))
    api.add(*(Job(name, script={"imports": [Answer(503)] * 2}) for name in names))

    run = tap.run(job_ids=["good", "odd", "gone", "lost", *names], max_attempts=2)

    assert {*run.completed()} == {"good"}
    assert run.summary["failed"] == 23
    assert sorted(run.lines[-3:]) == sorted(run.errors)
    [many, two, odd] = sorted(run.errors)
    assert re.match(r"2 jobs failed \((gone, lost|lost, gone)\): .*404", many)
    assert re.match(
        r"20 jobs failed \((job-\d\d, ){4}job-\d\d and 15 more\): .*503", two
    )
    assert odd.startswith("Job odd failed: ")
