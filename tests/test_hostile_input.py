"""Answers and files that are huge, deep or odd are read exactly or refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stand_in import Answer, Job, make_events

HUGE = 20_000_000
DEEP = 1_000_000  # Python 3.14 reads 100,000 levels
NO_JSON = "the answer can't be used: it is not JSON: "
NO_UTF8 = "the answer can't be used: it is not text in UTF-8"
NO_OBJECT = "the answer can't be used: it is not a JSON object"
NO_ROWS = "the answer can't be used: its `results` are not a list of objects"
NO_TOKEN = "the answer can't be used: its `next_page_token` "  # noqa: S105
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
    api.add(Job("a", raw_pages=[b"[%b]" % row], total=1), Job("b", rows=make_events(1)))
    run = tap.run(job_ids=["a", "b"])
    assert {*run.completed()} == {"a", "b"}
    assert row[:-1] in run.stdout
    assert max(map(len, run.stderr.splitlines())) < 1_000


@pytest.mark.parametrize("form", ['"{}"', "{}", "-{}", "1e{}", "{}.5"])
@pytest.mark.parametrize("place", ["total", "count", "timestamp"])
def test_number_of_very_many_digits_is_compared_or_refused_in_words(
    tap, api, form, place
):
    """As the total of the pages, as a count of the status, as a time."""
    job_ids = [str(digits) for digits in (1_000, 3_990, 4_100, 4_300, 5_000, 100_000)]
    for digits in job_ids:
        said = {"total": "2", "count": "1", "timestamp": "null"}
        said[place] = form.format("9" * int(digits))
        rows = f'[{{"timestamp":{said["timestamp"]}}}]'
        pages = f'{{"results":{rows},"total_records":{said["total"]}}}'
        status = '{{"imports":{count},"job":{{"status":"COMPLETED"}}}}'.format(**said)
        script: dict[str, list[Answer | None]] = {
            "imports": [Answer(body=pages)] * 9,
            "status": [Answer(body=status)] * 9,
        }
        api.add(Job(digits, script=script))
    api.add(Job("b", rows=make_events(1)))
    run = tap.run(job_ids=[*job_ids, "b"], max_attempts=1)
    assert "b" in run.completed()
    failed = {*job_ids} - {*run.completed()}
    assert bool(failed) == bool(run.errors)
    assert max(map(len, run.stderr.splitlines())) < 10_000
    if place == "timestamp":
        assert not failed
        assert {record["timestamp"] for record in run.records()[:6]} == {None}
