"""Timestamps become RFC 3339 in UTC with `Z`; what can't be read becomes null."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from hypothesis import example, given
from hypothesis import strategies as st

from tap_fullstory_imports.timestamps import to_utc
from tests.stand_in import Answer, Job

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
READABLE = {
    # As the API's documentation has them
    "2022-03-15T14:23:23Z": "2022-03-15T14:23:23Z",
    "2017-01-15T01:30:15.01Z": "2017-01-15T01:30:15.01Z",
    # Fractions: at most six digits, none rounded, none added
    "2022-03-15T14:23:23.5Z": "2022-03-15T14:23:23.5Z",
    "2022-03-15T14:23:23.000Z": "2022-03-15T14:23:23.000Z",
    "2022-03-15T14:23:23.123456Z": "2022-03-15T14:23:23.123456Z",
    "2022-03-15T14:23:23.1234567Z": "2022-03-15T14:23:23.123456Z",
    "2022-03-15T14:23:23.999999999Z": "2022-03-15T14:23:23.999999Z",
    "2022-03-15T14:23:23.9999999+01:00": "2022-03-15T13:23:23.999999Z",
    "2022-03-15T14:23:23,25Z": "2022-03-15T14:23:23.25Z",
    # Offsets
    "2022-03-15T14:23:23+00:00": "2022-03-15T14:23:23Z",
    "2022-03-15T14:23:23-00:00": "2022-03-15T14:23:23Z",
    "2022-03-15T14:23:23+02:00": "2022-03-15T12:23:23Z",
    "2022-03-15T14:23:23-07:00": "2022-03-15T21:23:23Z",
    "2022-03-15T14:23:23+05:45": "2022-03-15T08:38:23Z",
    "2022-03-15T14:23:23.25-03:30": "2022-03-15T17:53:23.25Z",
    "2022-03-15T14:23:23+0200": "2022-03-15T12:23:23Z",
    "2022-03-15T14:23:23+02": "2022-03-15T12:23:23Z",
    "2022-03-15T14:23:23+14:00": "2022-03-15T00:23:23Z",
    "2022-03-15T14:23:23-12:00": "2022-03-16T02:23:23Z",
    "2022-03-15T14:23:23+23:59": "2022-03-14T14:24:23Z",
    # Over the ends of days, months, years
    "2022-01-01T00:30:00+01:00": "2021-12-31T23:30:00Z",
    "2021-12-31T23:30:00-01:00": "2022-01-01T00:30:00Z",
    "2024-02-29T00:00:00+00:01": "2024-02-28T23:59:00Z",
    "2023-03-01T00:00:00+00:01": "2023-02-28T23:59:00Z",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00-01:00": "0001-01-01T01:00:00Z",
    "9999-12-31T23:59:59.999999Z": "9999-12-31T23:59:59.999999Z",
    "1969-12-31T23:59:59+00:30": "1969-12-31T23:29:59Z",
    # Without an offset: UTC
    "2022-03-15T14:23:23": "2022-03-15T14:23:23Z",
    "2022-03-15T14:23:23.5": "2022-03-15T14:23:23.5Z",
    "2022-03-15T14:23": "2022-03-15T14:23:00Z",
    "2022-03-15": "2022-03-15T00:00:00Z",
    # Other forms of ISO 8601
    "2022-03-15t14:23:23z": "2022-03-15T14:23:23Z",
    "2022-03-15 14:23:23Z": "2022-03-15T14:23:23Z",
    "2022-03-15 14:23:23 +02:00": "2022-03-15T12:23:23Z",
    "20220315T142323Z": "2022-03-15T14:23:23Z",
    "20220315T142323.5+0200": "2022-03-15T12:23:23.5Z",
    "2022-03-15T14:23Z": "2022-03-15T14:23:00Z",
    "2022-03-15T14Z": "2022-03-15T14:00:00Z",
    # The moment that follows
    "2016-12-31T23:59:60Z": "2017-01-01T00:00:00Z",
    "2016-12-31T23:59:60.5Z": "2017-01-01T00:00:00.5Z",
    "2022-03-15T24:00:00Z": "2022-03-16T00:00:00Z",
}
UNREADABLE: list[Any] = [
    *("", " ", "yesterday", "2022", "2022-03", "20220315", "1647354203"),
    *("1647354203.5", "2022-13-01T00:00:00Z", "2022-00-01T00:00:00Z"),
    *("2022-02-29T00:00:00Z", "2022-04-31T00:00:00Z", "2022-03-00T00:00:00Z"),
    *("2022-03-15T25:00:00Z", "2022-03-15T24:00:01Z", "2022-03-15T14:60:00Z"),
    *("2022-03-15T14:23:61Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z"),
    *("-2022-03-15T14:23:23Z", "+2022-03-15T14:23:23Z", "2022-3-15T14:23:23Z"),
    *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"),
    *("9999-12-31T24:00:00Z", "9999-12-31T23:59:60Z", "2022-03-15T14:23:23+5"),
    *("2022-03-15T14:23:23+5:30", "2022-03-15T14:23:23+02:60"),
    *("2022-03-15T14:23:23+24:00", "2022-03-15T14:23:23-99:59"),
    *("2022-03-15T14:23:23ZZ", "2022-03-15T14:23:23.Z", "2022-03-15T14:23:23 GMT"),
    *("2022-03-15T14:23:23Z\n", "\n2022-03-15T14:23:23Z", "2022-03-15T14:23:23Z\x00"),
    *("15.03.2022 14:23", "03/15/2022", "Tue, 15 Mar 2022 14:23:23 GMT"),
    *("2022-W11-2T14:23:23Z", "2022\u221203\u221215T14:23:23Z"),
    "\uff12\uff10\uff12\uff12-03-15T14:23:23Z",
    *(0, 1_647_354_203, 1_647_354_203.5, True, False, [], {}),
    *(["2022-03-15T14:23:23Z"], {"seconds": 1_647_354_203}),
]


def run_with(tap: Folder, api: StandIn, *timestamps: object) -> Run:
    """Read a job whose rows have these timestamps."""
    api.add(Job("a", rows=[{"name": "x", "timestamp": text} for text in timestamps]))
    run = tap.run(job_ids=["a"])
    assert run.status == 0
    return run


def warnings(run: Run) -> list[str]:
    """The warnings of a run about timestamps."""
    return [line for line in run.warnings if "timestamp" in line]


@given(
    st.datetimes(
        min_value=datetime(2, 1, 1),  # noqa: DTZ001 - the zones come from below
        max_value=datetime(9998, 12, 31),  # noqa: DTZ001
        timezones=st.builds(
            timezone,
            st.integers(-(24 * 60 - 1), 24 * 60 - 1).map(
                lambda minutes: timedelta(minutes=minutes)
            ),
        ),
    ),
    st.sampled_from(["T", "t", " "]),
)
def test_any_moment_with_an_offset_stays_the_same_moment(
    moment: datetime, separator: str
) -> None:
    """As the standard library counts."""
    utc = to_utc(moment.isoformat(sep=separator))
    assert utc is not None
    assert RFC_3339.fullmatch(utc)
    assert datetime.fromisoformat(f"{utc[:-1]}+00:00") == moment


@given(st.datetimes(), st.text("0123456789", max_size=12))
def test_any_fraction_is_cut_and_never_rounded(moment: datetime, digits: str) -> None:
    """So that the moments of two rows never change places."""
    whole = f"{moment:%m-%dT%H:%M:%S}"
    text = f"{moment.year:04}-{whole}"
    fraction = f".{digits}" if digits else ""
    kept = f".{digits[:6]}" if digits else ""
    assert to_utc(f"{text}{fraction}Z") == f"{text}{kept}Z"
    assert to_utc(f"{text}{fraction}+00:00") == f"{text}{kept}Z"
    assert to_utc(f"{text}{fraction}") == f"{text}{kept}Z"


@given(
    st.one_of(
        st.text(),
        st.text("0123456789-+:.,TZtz W", max_size=35),
        st.from_regex(r"\A\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?.{0,7}\Z"),
    )
)
@example("9999-99-99T99:99:99Z")
def test_any_text_becomes_a_moment_or_none(text: str) -> None:
    """And never raises, never yields a form that a target would not read."""
    utc = to_utc(text)
    if utc is not None:
        assert RFC_3339.fullmatch(utc)
        datetime.fromisoformat(f"{utc[:19]}+00:00")
        assert to_utc(utc) == utc


# Through the command line


def test_offsets_are_converted_in_the_records(tap: Folder, api: StandIn) -> None:
    """Without a word, as nothing is lost. A second conversion changes nothing."""
    run = run_with(tap, api, *READABLE, *READABLE.values())
    found = [record["timestamp"] for record in run.records()]
    assert found == [*READABLE.values()] * 2
    assert all(map(RFC_3339.fullmatch, found))
    assert not warnings(run)


def test_missing_timestamp_stays_null_without_a_warning(
    tap: Folder, api: StandIn
) -> None:
    """Left out, or null."""
    api.add(Job("a", rows=[{"name": "x"}, {"name": "x", "timestamp": None}]))
    run = tap.run(job_ids=["a"])
    assert run.status == 0
    assert [record["timestamp"] for record in run.records()] == [None, None]
    assert not warnings(run)


def test_unreadable_timestamps_become_null_with_one_warning_for_each_job(
    tap: Folder, api: StandIn
) -> None:
    """It gives their number and an example, over all pages; the job is read."""
    good: dict[str, Any] = {"timestamp": "2022-03-15T14:23:23Z"}
    bad: list[dict[str, Any]] = [
        {"timestamp": "yesterday"},
        {"timestamp": "15.03.2022"},
        {"timestamp": 5},
    ]
    api.add(
        Job("a", rows=[*bad, good, *bad, good], page_size=3),
        Job("b", rows=[{"timestamp": "tomorrow"}]),
        Job("c", rows=[good]),
    )
    run = tap.run(job_ids=["a", "b", "c"])
    assert run.status == 0
    assert run.completed() == {"a": 8, "b": 1, "c": 1}
    nulls = [
        (record["job_id"], record["event_index"])
        for record in run.records()
        if record["timestamp"] is None
    ]
    assert nulls == [*(("a", index) for index in (0, 1, 2, 4, 5, 6)), ("b", 0)]
    first, second = warnings(run)
    assert first.startswith("imported_events: Job a: 6 ")
    assert "yesterday" in first
    assert "null" in first
    assert second.startswith("imported_events: Job b: 1 ")
    assert "tomorrow" in second


def test_unreadable_values_of_all_types_become_null(tap: Folder, api: StandIn) -> None:
    run = run_with(tap, api, *UNREADABLE)
    assert {record["timestamp"] for record in run.records()} == {None}
    [warning] = warnings(run)
    assert warning.startswith(f"imported_events: Job a: {len(UNREADABLE)} ")


def test_example_in_the_warning_is_bounded_and_on_one_line(
    tap: Folder, api: StandIn
) -> None:
    """It comes from a row: no more of it than helps."""
    run = run_with(tap, api, "line\nbreak\x1b[2J" + "x" * 100_000)
    [warning] = warnings(run)
    assert len(warning) < 200
    assert "\x1b" not in run.stderr


def test_failed_job_warns_of_its_unreadable_timestamps(
    tap: Folder, api: StandIn
) -> None:
    """Its first rows have been written: they are in the target."""
    rows = [{"timestamp": "yesterday"}, {"timestamp": "2022-03-15T14:23:23Z"}]
    script: dict[str, list[Answer | None]] = {"imports:1": [Answer(status=400)]}
    api.add(Job("a", rows=rows, page_size=1, script=script))
    run = tap.run(job_ids=["a"])
    assert run.status == 1
    assert len(run.records()) == 1
    [warning] = warnings(run)
    assert warning.startswith("imported_events: Job a: 1 ")
