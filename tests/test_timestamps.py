"""Timestamps become RFC 3339 in UTC with `Z`; what can't be read becomes null."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_fullstory_imports.streams import is_canonical, to_utc
from tests.stand_in import Answer, Job

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
READABLE = {
    # As the API's documentation has them: unchanged
    "2022-03-15T14:23:23Z": "2022-03-15T14:23:23Z",
    "2017-01-15T01:30:15.01Z": "2017-01-15T01:30:15.01Z",
    "2022-03-15T14:23:23.000Z": "2022-03-15T14:23:23.000Z",
    "2022-03-15T14:23:23.123456Z": "2022-03-15T14:23:23.123456Z",
    "9999-12-31T23:59:59.999999Z": "9999-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00Z",
    # Fractions: at most six digits, none rounded
    "2022-03-15T14:23:23.1234567Z": "2022-03-15T14:23:23.123456Z",
    "2022-03-15T14:23:23.9999999+01:00": "2022-03-15T13:23:23.999999Z",
    "2022-03-15T14:23:23,25Z": "2022-03-15T14:23:23.250000Z",
    # Offsets
    "2022-03-15T14:23:23+00:00": "2022-03-15T14:23:23Z",
    "2022-03-15T14:23:23-00:00": "2022-03-15T14:23:23Z",
    "2022-03-15T14:23:23-07:00": "2022-03-15T21:23:23Z",
    "2022-03-15T14:23:23.25-03:30": "2022-03-15T17:53:23.250000Z",
    "2022-03-15T14:23:23+0545": "2022-03-15T08:38:23Z",
    "2022-03-15T14:23:23+02": "2022-03-15T12:23:23Z",
    # Over the ends of days, months, years
    "2022-01-01T00:30:00+01:00": "2021-12-31T23:30:00Z",
    "2021-12-31T23:30:00-01:00": "2022-01-01T00:30:00Z",
    "2024-03-01T00:00:00+00:01": "2024-02-29T23:59:00Z",
    "2024-02-29T12:00:00Z": "2024-02-29T12:00:00Z",
    "0001-01-01T00:00:00-01:00": "0001-01-01T01:00:00Z",
    # Without an offset, or in other forms
    "2022-03-15T14:23:23": "2022-03-15T14:23:23Z",
    "2022-03-15T14:23": "2022-03-15T14:23:00Z",
    "2022-03-15": "2022-03-15T00:00:00Z",
    "2022-03-15t14:23:23z": "2022-03-15T14:23:23Z",
    "2022-03-15 14:23:23+02:00": "2022-03-15T12:23:23Z",
    "20220315T142323Z": "2022-03-15T14:23:23Z",
    " 2022-03-15T14:23:23Z\n": "2022-03-15T14:23:23Z",
}
UNREADABLE: list[Any] = [
    *("", " ", "yesterday", "2022", "2022-03", "1647354203", "1647354203.5"),
    *("2022-13-01T00:00:00Z", "2022-00-01T00:00:00Z", "2022-02-29T00:00:00Z"),
    *("2022-04-31T00:00:00Z", "2022-03-00T00:00:00Z", "2022-03-15T25:00:00Z"),
    *("2022-03-15T24:00:01Z", "2022-03-15T14:60:00Z", "2022-03-15T14:23:60Z"),
    *("0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2022-3-15T14:23:23Z"),
    *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"),
    *("2022-03-15T14:23:23+24:00", "2022-03-15T14:23:23-99:59"),
    *("2022-03-15T14:23:23ZZ", "2022-03-15T14:23:23 GMT", "15.03.2022 14:23"),
    *("03/15/2022", "Tue, 15 Mar 2022 14:23:23 GMT", "2022-03-15T14:23:23Z\x00"),
    *(0, 1_647_354_203, 1_647_354_203.5, 10**30, True, False, [], {}),
    *(["2022-03-15T14:23:23Z"], {"seconds": 1_647_354_203}),
]
MOMENTS = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - the zones come from below
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001
    timezones=st.integers(1 - 24 * 60, 24 * 60 - 1).map(
        lambda minutes: timezone(timedelta(minutes=minutes))
    ),
)


def read(tap, api, *timestamps):
    api.add(Job("a", rows=[{"timestamp": text} for text in timestamps]))
    run = tap.run(job_ids=["a"])
    assert run.status == 0
    found = [record["timestamp"] for record in run.records()]
    return found, [line for line in run.warnings if "timestamp" in line]


def test_readable_timestamps_become_utc_without_a_word(tap, api):
    found, warnings = read(tap, api, *READABLE, *READABLE.values(), None)
    assert found == [*READABLE.values(), *READABLE.values(), None]
    assert not warnings


def test_unreadable_timestamps_become_null_with_a_warning(tap, api):
    found, [warning] = read(tap, api, "line\nbreak\x1b[2J" + "x" * 9_999, *UNREADABLE)
    assert {*found} == {None}
    assert warning.startswith(f"imported_events: Job a: {len(found)} timestamps could ")
    assert "'line break [2Jxxx" in warning
    assert len(warning) < 200


def test_each_job_has_its_own_warning_with_the_number_of_its_last_reading(tap, api):
    bad, good = {"timestamp": "yesterday"}, {"timestamp": "2022-03-15T14:23:23Z"}
    changes: list[Answer | None] = [None, Answer(status=202)]
    api.add(
        Job("a", rows=[bad, good, bad, bad, good], page_size=3),
        Job("b", rows=[{"timestamp": "tomorrow"}]),
        Job("c", rows=[bad, good], page_size=1, script={"imports": changes}),
        Job("d", rows=[good]),
    )
    run = tap.run(job_ids=["a", "b", "c", "d"])
    assert {*run.completed()} == {"a", "b", "c", "d"}
    nulls = {
        (record["job_id"], record["event_index"])
        for record in run.records()
        if record["timestamp"] is None
    }
    assert nulls == {("a", 0), ("a", 2), ("a", 3), ("b", 0), ("c", 0)}
    found = re.findall(r"Job (\w): (\d+) timestamp.*'(\w+)'", "\n".join(run.warnings))
    assert found == [
        ("a", "3", "yesterday"),
        ("b", "1", "tomorrow"),
        ("c", "1", "yesterday"),
    ]


@given(MOMENTS, st.sampled_from("Tt "))
def test_any_moment_with_an_offset_stays_the_same_moment(moment, separator):
    utc = to_utc(moment.isoformat(sep=separator))
    assert utc is not None
    assert RFC_3339.fullmatch(utc)
    assert datetime.fromisoformat(f"{utc[:-1]}+00:00") == moment


@pytest.mark.slow
@given(
    st.text()
    | st.text("0123456789-+:.,TZtz W", max_size=35)
    | st.from_regex(r"\A\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?.{0,7}\Z")
)
@example("9999-99-99T99:99:99Z")
@example("2023-02-29T00:00:00Z")
def test_any_text_becomes_a_moment_or_none(text):
    """Never a form that a target would not read; what is canonical need not change."""
    utc = to_utc(text)
    if utc is not None:
        assert RFC_3339.fullmatch(utc)
        datetime.fromisoformat(f"{utc[:19]}+00:00")
        assert to_utc(utc) == utc
    value = json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if is_canonical(msgspec.Raw(value)):
        assert utc is not None
        assert f"{utc[:-1]}.".split(".")[0] == text[:19]
