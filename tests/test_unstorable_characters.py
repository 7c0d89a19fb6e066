"""NUL characters and lone surrogates: kept, or replaced for a database's sake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_fullstory_imports.fullstory.characters import replace_unstorable
from tests.stand_in import Job, StandIn

if TYPE_CHECKING:
    from tests.harness import Folder

TEXT = st.text(
    st.characters(exclude_categories=[])
    | st.sampled_from("\x00\ud83d\ude00\ud800\udfff\\u0d8")
)
JSON = st.recursive(
    st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=8,
)


def storable(value: Any) -> Any:
    """The value with U+FFFD for what can't be stored, as Python texts have it."""
    if isinstance(value, str):
        whole = value.encode("utf-16", "surrogatepass").decode(
            "utf-16", "surrogatepass"
        )
        return "".join(
            "\ufffd" if char == "\x00" or "\ud800" <= char <= "\udfff" else char
            for char in whole
        )
    if isinstance(value, list):
        return [storable(one) for one in value]
    if isinstance(value, dict):
        return {storable(name): storable(one) for name, one in value.items()}
    return value


ROW = {
    "name": "a\x00b",
    "user": {"uid": "\x00"},
    "properties": {
        "deep": [{"title": "x\x00\x00y\ud800z\udc00", "na\x00me": None}],
        "kept": "\\u0000 \\\\u0000 \U0001f600 \ufffd \\ud800 \x01",
    },
}


@given(JSON)
def test_every_one_is_replaced_and_nothing_else(value: Any) -> None:
    """In texts and names, wherever a backslash stands before them."""
    body = json.dumps(value).encode()
    assert json.loads(replace_unstorable(body)) == storable(value)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_answer_without_them_stays_byte_by_byte(text: str) -> None:
    """However its characters are escaped."""
    for ascii_only in (True, False):
        body = json.dumps({text: text}, ensure_ascii=ascii_only).encode()
        assert replace_unstorable(body) == body


def test_capital_digits_are_digits() -> None:
    """As other encoders write them."""
    body = rb'"\uD83D\uDE00\uD83D\u0041\uDE00\uD7FF\uE000"'
    assert json.loads(replace_unstorable(body)) == "\U0001f600\ufffdA\ufffd\ud7ff\ue000"


@pytest.mark.parametrize("form", ["\\u%04x ", "\\u%04X "])
def test_every_lone_surrogate_is_replaced(form: str) -> None:
    """From the first to the last one, in small and in capital digits."""
    codes = range(0xD800, 0xE000)
    body = f'"{"".join(form % code for code in codes)}"'.encode()
    assert json.loads(replace_unstorable(body)) == "\ufffd " * len(codes)


@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("stream", ["imported_events", "import_errors"])
def test_replace_replaces_unstorable_characters(
    tap: Folder, api: StandIn, *, stream: str, is_mapped: bool
) -> None:
    """At every depth, by every way that a row can take."""
    api.add(Job("a", rows=[ROW], failures=[{"event": ROW}]))
    tap.streams = (stream,)
    run = tap.run(
        job_ids=["a"],
        unstorable_characters="replace",
        stream_maps={stream: {"more": "1"}} if is_mapped else None,
    )
    assert run.status == 0, run.stderr
    (record,) = run.records(stream)
    row = record["event"] if stream == "import_errors" else record
    for name, value in storable(ROW).items():
        assert row[name] == value


def test_unstorable_characters_are_kept_by_default(tap: Folder, api: StandIn) -> None:
    """A target may well take them, and nothing is changed unasked."""
    api.add(Job("a", rows=[ROW]))
    (record,) = tap.run(job_ids=["a"]).records()
    for name, value in ROW.items():
        assert record[name] == value
