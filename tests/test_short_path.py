"""The short path of a row says the same as the SDK's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_fullstory_imports import sync
from tap_fullstory_imports.conform import row_type
from tap_fullstory_imports.fullstory.pages import (
    UnreadableAnswerError,
    decode_value,
    page_of,
    rows_check,
)
from tap_fullstory_imports.outputs import MappedRecords
from tap_fullstory_imports.schemas import SCHEMAS
from tests.harness import Folder
from tests.stand_in import Job, StandIn, make_events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness import Run

TEXT = st.text() | st.sampled_from(["", "2022-03-15T14:23:23Z", "\ud800", "\x00"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=12,
)
NAMES = TEXT | st.sampled_from(["timestamp", "job_id", "event_index", "properties"])
PAGES = st.lists(st.lists(st.dictionaries(NAMES, JSON), max_size=4), max_size=4)
FORMS = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, None, 1, "\r", "\t"]),
        "separators": st.sampled_from([None, (",", ":"), (" , ", "\t:")]),
    }
)
# What no encoder writes and a server may send all the same.
ODD = st.sampled_from(
    [
        *(b"\x00", b"\x1f", b"\n", b"\r", b"\xff", b"\xc0\x80", b"\xed\xa0\x80"),
        *(
            b"\xf0\x9f",
            "\u2028".encode(),
            b"\\",
            b'"',
            b"\\u0000",
            b"\\ud83d",
            b"\\udca9",
        ),
        *(b"NaN", b"-Infinity", b"null", b"1e999", b"-0", b"1E+05", b"01", b"0.10"),
        *(b"[" * 2000, b"9" * 5000, b"{", b"}", b"[", b"]", b",", b":", b" ", b""),
        *(
            b'"timestamp":',
            b'"job_id":"b",',
            b'"results":[{}],',
            b'"total_records":"7"',
        ),
    ]
)
EVENTS = make_events(3)
CHECK = rows_check(row_type(SCHEMAS.fetch_schema("imported_events")))


@pytest.fixture(scope="module")
def api() -> Iterator[StandIn]:
    """One stand-in for all examples."""
    with StandIn() as stand_in:
        yield stand_in


def without_times(run: Run) -> list[dict[str, Any]]:
    """The messages but for the time at which a row was read."""
    for message in run.messages:
        message.pop("time_extracted", None)
    return run.messages


def both(folder: Folder, **changes: Any) -> tuple[Run, Run]:
    """A run by the short path and one by the stream maps."""
    short = folder.run(job_ids=["a"], **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync, "output_of", MappedRecords)
        return short, folder.run(job_ids=["a"], **changes)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(pages=PAGES, form=FORMS)
def test_both_paths_write_the_same(
    tmp_path: Path,
    api: StandIn,
    pages: list[list[dict[str, Any]]],
    form: dict[str, Any],
) -> None:
    """For any page that JSON can hold, in any form."""
    folder = Folder(tmp_path, api)
    texts = [json.dumps(page, **form) for page in pages]
    raw = [text.encode(errors="surrogatepass") for text in texts]
    if any("\ud800" in text for text in texts):
        raw = [json.dumps(page).encode() for page in pages]
    api.add(Job("a", raw_pages=[*raw] or ["[]"]))
    short, long = both(folder)
    assert short.status == long.status == 0
    assert without_times(short) == without_times(long)
    assert len(short.warnings) == len(long.warnings)


def rows_of(body: bytes, *, split: bool) -> tuple[Any, ...] | str:
    """What a page holds, or why it can't be used."""
    response = requests.Response()
    response._content = body  # noqa: SLF001 - as the tap does
    try:
        page = page_of(response, split=CHECK if split else None)
        rows = [
            {name: decode_value(value) for name, value in row.items()}
            for row in page.rows
        ]
    except UnreadableAnswerError as error:
        return str(error)
    return rows, page.total, page.next_page_token


@settings(max_examples=2_000)
@given(
    places=st.lists(st.tuples(st.integers(0, 4_000), ODD), max_size=3),
    ascii_only=st.booleans(),
)
def test_damaged_page_is_read_alike(
    places: list[tuple[int, bytes]],
    ascii_only: bool,  # noqa: FBT001 - Hypothesis names it
) -> None:
    """Wherever something odd is put into it: what is split has been checked in full."""
    content = {"results": EVENTS, "total_records": "3", "next_page_token": "b="}
    body = json.dumps(content, ensure_ascii=ascii_only, separators=(",", ":")).encode()
    for place, odd in places:
        start = place % len(body)
        body = body[:start] + odd + body[start:]
    split, whole = rows_of(body, split=True), rows_of(body, split=False)
    assert split == whole or "exponent" in whole


@pytest.mark.parametrize("end", ["", "\n", " \r\n"])
def test_page_on_one_line_is_split(end: str) -> None:
    """Also if its line is ended, as many servers do."""
    response = requests.Response()
    body = json.dumps({"results": EVENTS}) + end
    response._content = body.encode()  # noqa: SLF001 - as the tap does
    (row, *_) = page_of(response, split=CHECK).rows
    assert {type(value) for value in row.values()} == {msgspec.Raw}


def test_both_paths_write_state_as_often(tmp_path: Path, api: StandIn) -> None:
    """After every ten thousand records, and at the end."""
    api.add(Job("a", generate=25_000, page_size=3_000))
    short, long = both(Folder(tmp_path, api))
    for run in (short, long):
        kinds = [message["type"] for message in run.messages]
        places = [place for place, kind in enumerate(kinds) if kind == "STATE"]
        assert places == [10_001, 20_002, len(kinds) - 1]
    assert without_times(short) == without_times(long)


@pytest.mark.parametrize(
    "change",
    [
        {"stream_maps": {"imported_events": {"__alias__": "renamed"}}},
        {"stream_maps": {"imported_events": {"name": "name.upper()"}}},
        {"stream_maps": {"imported_events": None, "__else__": None}},
        {"flattening_enabled": True, "flattening_max_depth": 1},
    ],
)
def test_short_path_is_left_when_the_sdk_has_work(
    tmp_path: Path, api: StandIn, change: dict[str, Any]
) -> None:
    """Maps and flattening are the SDK's business."""
    api.add(Job("a", rows=make_events(3)))
    short, long = both(Folder(tmp_path, api), **change)
    assert without_times(short) == without_times(long)
    plain = Folder(tmp_path, api).run(job_ids=["a"])
    assert without_times(short) != without_times(plain)
