"""A row leaves with the same values by the short path and by the SDK's."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_fullstory_imports.conform import row_type
from tap_fullstory_imports.fullstory.pages import page_of, rows_check
from tap_fullstory_imports.schemas import SCHEMAS
from tests.harness import selecting
from tests.stand_in import Job, make_events

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

pytestmark = pytest.mark.slow

NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?")
NUMBERS = ("0", "-0", "-0.0", "0e7", "1.50", "-12", "1e3", "1E+3", "1e400", "5e-324")
BEYOND_BOUNDS = (
    "1e1000000000000000000",
    "-1.50E+99999999999999999999",
    "2e-1000000000000000000",
    "0e1000000000000000000",
    "9" * 5_000,
)
NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
LEAVES = st.sampled_from(
    [*NUMBERS, *BEYOND_BOUNDS, *NO_NUMBERS, "true", "null", '"text"', '"\\ud800"']
)


def lists_of(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """The JSON of lists."""
    return st.lists(values, max_size=3).map(lambda items: f"[{','.join(items)}]")


def objects_of(values: st.SearchStrategy[str], *names: str) -> st.SearchStrategy[str]:
    """The JSON of objects, in which a name may come twice."""
    fields = st.tuples(st.sampled_from(names), values)

    def as_object(pairs: list[tuple[str, str]]) -> str:
        inside = ",".join(f'"{name}":{value}' for name, value in pairs)
        return f"{{{inside}}}"

    return st.lists(fields, max_size=5).map(as_object)


VALUES = st.recursive(
    LEAVES, lambda inner: lists_of(inner) | objects_of(inner, *"abc"), max_leaves=8
)
ROWS = objects_of(VALUES, "name", "timestamp", "properties", "context", "new")


def number(text: str) -> Any:
    """A number, digit by digit: equal numbers are equal in whatever form they are."""
    found = NUMBER.fullmatch(text)
    assert found, f"not a number of JSON: {text}"
    sign, whole, fraction, exponent = found.groups("")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return "number", "", "", 0
    zeros = len(digits) - len(digits.rstrip("0"))
    return (
        "number",
        sign,
        digits.rstrip("0"),
        int(exponent or 0) + zeros - len(fraction),
    )


def records(run: Run) -> list[dict[str, Any]]:
    """The records of a run with every digit of their numbers."""
    messages = [
        json.loads(line, parse_int=number, parse_float=number, parse_constant=number)
        for line in run.stdout.splitlines()
    ]
    return [message["record"] for message in messages if message["type"] == "RECORD"]


def on_all_paths(tap: Folder, api: StandIn, *rows: str) -> list[list[dict[str, Any]]]:
    """The records of a job with these rows: untouched, mapped, a field deselected."""
    api.add(Job("a", raw_pages=[f"[{row}]" for row in rows], total=len(rows)))
    found = [records(run) for run in runs_on_all_paths(tap)]
    for record in found[1]:
        assert record.pop("more") == "a"
    return found


def runs_on_all_paths(tap: Folder) -> list[Run]:
    """Runs that read job `a`: untouched, mapped, a field deselected."""
    catalog = selecting("imported_events", without="schema")
    maps = {"imported_events": {"more": "job_id"}}
    changes: list[dict[str, Any]] = [{}, {"stream_maps": maps}, {"catalog": catalog}]
    runs = [tap.run(job_ids=["a"], max_attempts=2, **change) for change in changes]
    for run in runs:
        assert run.status == 0, run.stderr
    return runs


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(ROWS, min_size=1, max_size=8))
def test_any_row_has_the_same_values_on_all_paths(
    tap: Folder, api: StandIn, rows: list[str]
) -> None:
    plain, mapped, deselected = on_all_paths(tap, api, *rows)

    assert len(plain) == len(rows)
    assert plain == mapped
    assert plain == deselected


@pytest.mark.parametrize(
    ("written", "left"),
    [
        *((text, text) for text in (*NUMBERS, *BEYOND_BOUNDS)),
        *((text, "null") for text in NO_NUMBERS),
        ('{"a":1,"a":{"b":2,"b":3}}', '{"a":{"b":3}}'),
        ('{"a":\n1,\r"b":\r\n[\n]}', '{"a":1,"b":[]}'),
    ],
    ids=lambda text: text[:30],
)
def test_odd_value_leaves_all_paths_as_the_same_json(
    tap: Folder, api: StandIn, written: str, left: str
) -> None:
    """The last of duplicate names counts; what is no number becomes null.

    Line breaks between values do not break the line of the record.
    """
    expected = json.loads(left, parse_int=number, parse_float=number)

    for (record,) in on_all_paths(tap, api, f'{{"properties":{{"n":{written}}}}}'):
        assert record["properties"] == {"n": expected}


def test_state_is_written_as_often_on_all_paths(tap: Folder, api: StandIn) -> None:
    """After every ten thousand records, and at the end."""
    api.add(Job("a", rows=[{"name": "x"}] * 25_000, page_size=3_000))
    for run in runs_on_all_paths(tap):
        kinds = [message["type"] for message in run.messages]
        places = [place for place, kind in enumerate(kinds) if kind == "STATE"]
        assert places == [10_001, 20_002, len(kinds) - 1]


@pytest.mark.parametrize("end", ["", "\n", " \r\n"])
def test_page_on_one_line_takes_the_short_path(end: str) -> None:
    """Also if its line is ended, as many servers do."""
    response = requests.Response()
    body = json.dumps({"results": make_events(3)}) + end
    response._content = body.encode()  # noqa: SLF001 - as the tap does
    check = rows_check(row_type(SCHEMAS.fetch_schema("imported_events")))
    (row, *_) = page_of(response, split=check).rows
    assert {type(value) for value in row.values()} == {msgspec.Raw}
