"""Any input is used or rejected with a clear message: pages, errors, settings, state.

A few hundred inputs each; by `make fuzz` many thousands. What a machine has found once
stands in a test of its own elsewhere.
"""

from __future__ import annotations

import io
import json
import tempfile
from contextlib import redirect_stdout
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from singer_sdk.exceptions import ConfigValidationError

from tap_fullstory_imports.conform import row_type
from tap_fullstory_imports.fullstory import errors
from tap_fullstory_imports.fullstory.pages import (
    UnreadableAnswerError,
    page_of,
    rows_check,
    status_of,
)
from tap_fullstory_imports.schemas import SCHEMAS
from tap_fullstory_imports.settings import SCHEMA
from tap_fullstory_imports.state import Bookmarks, StateError, parse
from tap_fullstory_imports.streams import JobStream
from tap_fullstory_imports.tap import TapFullstoryImports
from tests.stand_in import DEFAULT_API_KEY as KEY
from tests.test_values import EVENT_COLUMNS, conformed, with_texts_decoded

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

more = settings(
    max_examples=5 * settings.default.max_examples,  # type: ignore[union-attr]
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# Pages: texts that are nearly JSON

# Left out: exponents beyond 10**18. A page that is split passes them on as they came;
# one that is decoded in full is refused, because no Decimal can hold them.
WORDS = [
    *("null", "true", "false", "nul", "NaN", "Infinity", "-Infinity", "-", "01", "+1"),
    *("0", "-0", "1.", ".5", "1e5", "-1E+400", "0.10"),
    *("9" * 1_000, "-" + "9" * 5_000, "1." + "3" * 2_000, "18446744073709551616"),
    *('""', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83e\\udde2"', '"\\u0000"', '"\\x"'),
    *('"\n"', '"\x00"', '"\x7f"', '"\u2028"', '"\ufeff"', '"\U0010ffff"', '"\\/"'),
    *('"a', "'a'", '"2022-03-15T14:23:23Z"', '"2022-03-15T14:23:23+99:99"'),
    *('"0001-01-01T00:00:00+14:00"', '"99999-01-01"', "[" * 900 + "]" * 900),
    *("[" * 20_000 + "]" * 20_000, '{"a":' * 700 + "1" + "}" * 700),
]
SPACES = st.sampled_from(["", "", "", "", " ", "\n", "\r\n", "\t", "\x0b", "\u00a0"])
NAMES = st.sampled_from(["name", "timestamp", "job_id", "event_index", "a", "a", "ü"])
VALUES = st.recursive(
    st.sampled_from(WORDS)
    | st.text(max_size=8).map(json.dumps)
    | st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False))
    | st.integers().map(str)
    | st.floats().map(repr)
    | st.decimals().map(str),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
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
def pages(draw: st.DrawFn) -> bytes:
    """The body of an answer: a page, more or less."""
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


CHECK = rows_check(row_type(SCHEMAS.fetch_schema("imported_events")))


@cache
def tap() -> TapFullstoryImports:
    """A tap whose streams are called by hand."""
    return TapFullstoryImports(config={"api_key": KEY, "job_ids": ["a"]})


def answering(body: bytes, status: int = 200, **headers: str) -> requests.Response:
    """An answer as it stands when it has been received."""
    response = requests.Response()
    response.status_code = status
    response._content = body  # noqa: SLF001 - where requests keeps it
    response.headers.update(headers)
    response.request = requests.PreparedRequest()
    response.request.headers = requests.structures.CaseInsensitiveDict(
        Authorization=f"Basic {KEY}"
    )
    return response


def plainly(text: str | bytes) -> Any:
    """Decode JSON so that equal means the same digits; -0 is 0 for whole numbers."""

    def number(digits: str) -> tuple[str, Any]:
        return "number", Decimal(digits).as_tuple()

    return json.loads(
        text,
        parse_int=lambda digits: number("0" if digits == "-0" else digits),
        parse_float=number,
        parse_constant=lambda _: None,  # as the tap has it
    )


def strictly(line: bytes) -> Any:
    """A line decoded exactly; NaN, duplicate lines and raw line ends are not JSON."""
    assert b"\r" not in line

    def refuse(word: str) -> None:
        pytest.fail(f"{word} is no JSON")

    json.loads(line, parse_constant=refuse, parse_int=Decimal)
    return plainly(line)


def written(body: bytes, *, split: bool) -> list[Any] | None:
    """The records that are written of a page; None if it is refused."""
    stream = tap().streams["imported_events"]
    assert isinstance(stream, JobStream)
    try:
        page = page_of(answering(body), split=CHECK if split else None)
    except UnreadableAnswerError:
        return None
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stdout(out):
        try:
            records = stream.to_records(page.rows, "a", 0)
            tap().message_writer.write_records(stream.name, records)
        except RecursionError:
            return None
        tap().message_writer.flush()
        lines = out.buffer.getvalue().split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == len(page.rows)
    return [strictly(line)["record"] for line in lines]


@more
@given(pages())
def test_a_page_is_refused_or_its_rows_are_written_as_they_came(body: bytes) -> None:
    """By both ways to decode it, alike; what is written is strict JSON by the line."""
    found = written(body, split=False)
    event("refused" if found is None else f"{len(found)} rows")
    assert written(body, split=True) == found
    if found is None:
        return
    try:
        answer = plainly(body.decode("utf-8-sig"))
    except (ValueError, RecursionError, ArithmeticError):
        return  # the test's own decoder can't tell
    expected = answer.get("results") or []
    for index, (row, record) in enumerate(zip(expected, found, strict=True)):
        number = ("number", Decimal(index).as_tuple())
        stamp = {"timestamp": record["timestamp"]}
        columns = {**row, "job_id": "a", "event_index": number, **stamp}
        whole = with_texts_decoded(record, columns, EVENT_COLUMNS)
        assert whole == conformed(columns, EVENT_COLUMNS)


@more
@given(pages() | st.binary(max_size=40))
def test_a_job_status_is_refused_or_read(body: bytes) -> None:
    """Nothing but the one error that is caught."""
    for text in (body, b'{"imports":%b,"job":{}}' % body, b'{"job":%b}' % body):
        try:
            status = status_of(answering(text), "a")
        except UnreadableAnswerError:
            continue
        assert status.imported >= 0
        assert status.failed >= 0


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
def test_any_error_becomes_a_short_sentence(
    status: int, dates: tuple[str, str], body: bytes
) -> None:
    """Of one of the kinds that are handled, on one line."""
    wait, date = dates
    headers = {"Retry-After": wait, "Date": date}
    try:
        errors.check(answering(body, status, **headers))
    except errors.RetriableError as error:
        asked, sentence = error.asked_wait, str(error)
        assert asked is None or asked >= 0
    except (errors.NotReadyError, errors.JobError) as error:
        sentence = str(error)
    else:
        assert status == 200
        return
    event(str(status // 100))
    assert len(sentence) < 700
    assert sentence.isprintable()


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
    config: dict[str, Any],
    is_complete: bool,  # noqa: FBT001
    jobs: bytes | None,
) -> None:
    """As they stand in a file, and a file of jobs that holds anything."""
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
    JSON,
    lambda inner: st.dictionaries(STATE_KEYS, inner, max_size=3),
    max_leaves=8,
)


@more
@given(STATE, STATE)
def test_any_state_is_refused_in_a_sentence_or_kept_whole(one: Any, two: Any) -> None:
    """Whatever another program has made of it."""
    inner = {"bookmarks": {"imported_events": {"completed_jobs": two, "a": one}}}
    for state in (one, {"bookmarks": one}, inner):
        text = json.dumps(state)
        try:
            kept = Bookmarks(parse(text), ["imported_events"])
        except StateError as error:
            assert "--full-refresh" in str(error)  # noqa: PT017 - both ends are fine
            continue
        if "singer_state" not in text and "STATE" not in text:
            assert json.dumps(kept.state) == text
        kept.begin("imported_events")
        kept.finish("imported_events", "new", 1)
        done = kept.state["bookmarks"]["imported_events"]["completed_jobs"]
        assert all(type(rows) is int and rows >= 0 for rows in done.values())
