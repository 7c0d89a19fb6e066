"""Any input is used or rejected with a clear message: pages, errors, settings, state.

A few hundred inputs each; by `make fuzz` many thousands. What a machine has found once
stands in a test of its own elsewhere.
"""

from __future__ import annotations

import io
import json
import tempfile
from copy import deepcopy
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.singerlib import Catalog

from tap_fullstory_imports.fullstory import answers
from tap_fullstory_imports.fullstory.answers import (
    FullstoryError,
    JobError,
    RetriableError,
)
from tap_fullstory_imports.fullstory.pages import page_of, status_of
from tap_fullstory_imports.settings.command_line import read_state
from tap_fullstory_imports.settings.declaration import SCHEMA
from tap_fullstory_imports.singer.records import Records, record_lines
from tap_fullstory_imports.singer.state import Bookmarks
from tap_fullstory_imports.tap import TapFullstoryImports
from tests.stand_in import DEFAULT_API_KEY as KEY
from tests.test_values import (
    COLUMNS,
    NUMBERS,
    OTHERS,
    TEXTS,
    conformed,
    digitwise,
    select,
    storable,
    texts_decoded,
)

pytestmark = pytest.mark.slow

more = settings(
    max_examples=5 * settings.default.max_examples,  # type: ignore[union-attr]
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# Pages: texts that are nearly JSON

WORDS = [
    *(NUMBERS + TEXTS[:-1] + OTHERS),  # the last text is very long
    *("nul", "NaN", "Infinity", "-Infinity", "-", "01", "+1", "1.", ".5", "NULL"),
    *('"\\x"', '"\n"', '"\x00"', '"\x7f"', '"a', "'a'", '"2022-03-15T14:23:23Z"'),
    *('"2022-03-15T14:23:23+99:99"', '"0001-01-01T00:00:00+14:00"', '"99999-01-01"'),
    *("[" * 20_000 + "]" * 20_000, "[" * 900 + "]" * 900),
]
SPACES = st.sampled_from(["", "", "", "", " ", "\n", "\r\n", "\t", "\x0b", "\u00a0"])
NAMES = st.sampled_from(
    [
        *("name", "timestamp", "job_id", "event_index", "a", "a", "ü"),
        "properties",
        "gone",
    ]
)
TEXT = st.text(
    st.characters(exclude_categories=())
    | st.sampled_from("\x00\ud83d\ude00\ud800\udfff\\u0d8"),
    max_size=8,
)
VALUES = st.recursive(
    st.sampled_from(WORDS)
    | TEXT.map(json.dumps)
    | st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False))
    | st.integers().map(str)
    | st.floats().map(repr)
    | st.decimals().map(str),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
        | st.dictionaries(TEXT.map(json.dumps), inner, max_size=3).map(
            lambda row: "{" + ",".join(map(":".join, row.items())) + "}"
        )
        | st.lists(st.tuples(NAMES, SPACES, inner), max_size=3).map(
            lambda parts: "{" + ",".join(f'"{a}"{b}:{b}{c}' for a, b, c in parts) + "}"
        )
    ),
    max_leaves=6,
)
ROWS = st.lists(
    st.dictionaries(NAMES, VALUES, max_size=4).map(
        lambda row: "{" + ",".join(f'"{name}":{row[name]}' for name in row) + "}"
    )
    | VALUES,
    max_size=4,
).map(lambda rows: f"[{','.join(rows)}]")


# What no encoder writes and a server may send all the same.
ODD = [
    *(b"\x00", b"\n", b"\r", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\\", b'"'),
    *(b"\\u0000", b"\\ud83d", b"\\udca9", b"NaN", b"1e999", b"-0", b"01", b"[" * 2_000),
    *(b"{", b"}", b"[", b"]", b",", b":", b'"results":[{}],', b'"total_records":"7"'),
]


@st.composite
def pages(draw):
    fields = draw(
        st.permutations(
            [
                ("results", draw(ROWS | VALUES)),
                ("total_records", draw(st.just('"1"') | VALUES)),
                ("next_page_token", draw(st.just('""') | VALUES)),
                (draw(NAMES), draw(VALUES)),
            ]
        )
    )[: draw(st.integers(1, 4))]
    space = draw(SPACES)
    text = ",".join(f'{space}"{name}"{space}:{value}{space}' for name, value in fields)
    body = draw(
        st.sampled_from(
            [f"{{{text}}}", f"\ufeff{{{text}}}", f"{space}{{{text}}}{space}", text]
        )
    ).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, len(body)))
        end = place + draw(st.sampled_from([0, 0, 1, 2, 9]))
        odd = draw(st.binary(max_size=3) | st.sampled_from(ODD))
        body = body[:place] + odd + body[end:]
    return body


@cache
def tap():
    return TapFullstoryImports(config={"api_key": KEY, "job_ids": ["a"]})


@cache
def makers():
    settings = {"api_key": KEY, "job_ids": ["a"]}
    catalog = Catalog.from_dict(select({"properties.gone": False}))
    maps = {"stream_maps": {"imported_events": {"more": "'x'"}}}
    taps = (
        tap(),
        TapFullstoryImports(config=settings, catalog=catalog),
        TapFullstoryImports(config={**settings, **maps}),
    )
    return [Records(one.streams["imported_events"]) for one in taps]


def answering(body, status=200, **headers):
    response = requests.Response()
    response.status_code = status
    response._content = body  # noqa: SLF001 - where requests keeps it
    response.headers.update(headers)
    response.request = requests.PreparedRequest()
    response.request.url = "https://api.fullstory.com/v2/events/batch/a"
    response.request.headers = requests.structures.CaseInsensitiveDict(
        Authorization=f"Basic {KEY}"
    )
    return response


def strictly(line):
    assert b"\r" not in line

    def refuse(word):
        pytest.fail(f"{word} is no JSON")

    json.loads(line, parse_constant=refuse, parse_int=Decimal)
    return digitwise(line)


def written(body, records):
    stream = tap().streams["imported_events"]
    try:
        page = page_of(answering(body))
    except (RetriableError, JobError):
        return None
    try:
        rows = [stream.to_record(row, "a", place) for place, row in enumerate(page)]
        [(name, made)], _ = records.of(rows)
        lines = record_lines(name, made).split(b"\n")
    except RecursionError:
        return None
    assert lines.pop() == b""
    assert len(lines) == len(page)
    return [strictly(line)["record"] for line in lines]


@more
@given(pages())
@example(b'{"results":[{"properties":{"gone":0}}]}')
def test_a_page_is_refused_or_its_rows_are_written_as_they_came(body):
    untouched, split, mapped = (written(body, one) for one in makers())
    event("refused" if untouched is None else f"{len(untouched)} rows")
    if untouched is None:
        return
    if mapped is not None:  # a decoded row may be nested too deeply
        assert mapped == [{**record, "more": "x"} for record in untouched]
    if split is not None:
        known = tap().streams["imported_events"].schema["properties"].keys()
        kept = deepcopy(
            [{name: row[name] for name in row.keys() & known} for row in untouched]
        )
        for row in kept:
            (row.get("properties") or {}).pop("gone", None)
        assert split == kept
    try:
        answer = digitwise(body.decode("utf-8-sig").strip(" \t\r\n\v\f"))
        expected = answer.get("results") or []
        for index, (row, record) in enumerate(zip(expected, untouched, strict=True)):
            stamp = {"timestamp": record["timestamp"]}
            key = {"job_id": "a", "event_index": digitwise(str(index))}
            columns = {**storable(row), **key, **stamp}
            found = texts_decoded(record, columns, COLUMNS, digitwise)
            assert found == conformed(columns, COLUMNS)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return  # the test's own decoder can't tell


@more
@given(pages() | st.binary(max_size=40))
def test_a_job_status_is_refused_or_read(body):
    for text in (body, b'{"imports":%b,"job":{}}' % body, b'{"job":%b}' % body):
        try:
            status = status_of(answering(text))
        except (RetriableError, JobError):
            continue
        assert status.imported >= 0
        assert status.failed >= 0
        tap().streams["import_jobs"].to_record(dict(status[0]), "a", 0)


HEADER = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=40)
WAITS = HEADER | st.sampled_from(
    [
        *("0", "1", "-1", "9" * 400, "1.5", "1e9", "inf", "nan", "\u00b2"),
        *("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 31 Dec 9999 23:59:59 -2359"),
        *("Mon, 01 Jan 0001 00:00:00 +2359", "Sun, 06 Nov 99 99:99:99 GMT"),
        *("1 Jan 99999999999 00:00 GMT", "1 Jan 2000 00:00:00 -9999999999"),
    ]
)
SAID = st.text(max_size=300) | st.just(f"the key {KEY} is wrong")


@more
@given(
    st.integers(0, 999),
    st.tuples(WAITS, WAITS),
    pages()
    | st.tuples(SAID, SAID).map(
        lambda said: json.dumps({"code": said[0], "message": said[1]}).encode()
    ),
)
def test_any_error_becomes_a_short_sentence(status, dates, body):
    wait, date = dates
    headers = {"Retry-After": wait, "Date": date}
    try:
        answers.check(answering(body, status, **headers))
    except FullstoryError as error:
        assert error.wait is None or error.wait >= 0  # noqa: PT017 - 200 is fine too
        sentence = str(error)
    else:
        assert status == 200
        return
    event(str(status // 100))
    assert len(sentence) < 700
    assert sentence.isprintable()
    assert KEY not in sentence


# Settings and state: any JSON

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.just(KEY)
    | st.sampled_from(["a,b", '["a"]', "[[", "1/3", "https://[", "http://ü", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)
SETTING = st.sampled_from(sorted(set(SCHEMA["properties"]) - {"jobs_file"}))


@settings(parent=more, max_examples=2 * settings.default.max_examples)  # type: ignore[union-attr]
@given(
    st.dictionaries(SETTING, JSON, max_size=5),
    st.booleans(),
    st.none() | st.binary(max_size=60) | st.text(max_size=30).map(str.encode),
)
def test_settings_are_taken_or_refused_in_sentences_without_the_key(
    config, is_complete, jobs
):
    with tempfile.TemporaryDirectory() as folder:
        if jobs is not None:
            path = Path(folder, "jobs")
            path.write_bytes(jobs)
            config = {**config, "jobs_file": str(path)}
        if is_complete:
            config = {"api_key": KEY, "job_ids": ["a"], **config}
        sentences, taken = [], None
        try:
            taken = TapFullstoryImports(config=config).settings
        except ConfigValidationError as error:
            sentences = error.errors
    event("refused" if taken is None else "taken")
    assert KEY not in str(sentences)
    if taken is None:
        assert sentences
        assert all(sentence.endswith((".", "?")) for sentence in sentences)
        return
    assert taken.job_ids
    assert all(job_id == job_id.strip() != "" for job_id in taken.job_ids)
    assert taken.api_url.startswith(("https://", "http://"))
    assert taken.api_key.isascii()
    assert taken.api_key.isprintable()


STATE_KEYS = st.sampled_from(
    ["bookmarks", "imported_events", "import_jobs", "completed_jobs", "a", "b", ""]
)
STATE = st.recursive(
    JSON, lambda inner: st.dictionaries(STATE_KEYS, inner, max_size=3), max_leaves=8
)


@more
@given(STATE, STATE)
def test_any_state_is_refused_in_a_sentence_or_kept_whole(one, two):
    inner = {"bookmarks": {"imported_events": {"completed_jobs": two, "a": one}}}
    for state in (one, {"bookmarks": one}, inner):
        text = json.dumps(state)
        file = io.BytesIO(text.encode())
        file.name = "state.json"
        try:
            kept = read_state(io.TextIOWrapper(file))
            bookmarks = Bookmarks(kept, ["imported_events"])
        except ConfigValidationError as error:
            assert "--state" in error.errors[0]  # noqa: PT017 - both ends are fine
            continue
        if "singer_state" in text or "STATE" in text:
            continue
        bookmarks.finish("imported_events", "new")
        done = bookmarks.state([])
        entry = done["bookmarks"]["imported_events"]
        before = json.loads(text).get("bookmarks", {}).get("imported_events", {})
        assert {*entry["completed_jobs"]} == {*before.get("completed_jobs", []), "new"}
        assert {**entry, "completed_jobs": 0} == {**before, "completed_jobs": 0}
        others = {**done, "bookmarks": {**done["bookmarks"], "imported_events": 0}}
        was = json.loads(text)
        was["bookmarks"] = {**was.get("bookmarks", {}), "imported_events": 0}
        assert json.dumps(others, sort_keys=True) == json.dumps(was, sort_keys=True)
