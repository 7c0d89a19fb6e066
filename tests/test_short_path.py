"""The short path of a row says the same as the SDK's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_fullstory_imports.replication import JobStream
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
    """A run by the short path and one by the SDK's."""
    short = folder.run(job_ids=["a"], **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobStream, "_is_plain", property(lambda _: False))
        return short, folder.run(job_ids=["a"], **changes)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(pages=PAGES)
def test_both_paths_write_the_same(
    tmp_path: Path, api: StandIn, pages: list[list[dict[str, Any]]]
) -> None:
    """For any page that JSON can hold."""
    folder = Folder(tmp_path, api)
    api.add(Job("a", raw_pages=[json.dumps(page) for page in pages] or ["[]"]))
    short, long = both(folder)
    assert short.status == long.status == 0
    assert without_times(short) == without_times(long)
    warned = [
        [line for line in run.stderr.splitlines() if " | WARNING " in line]
        for run in (short, long)
    ]
    assert len(warned[0]) == len(warned[1])


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
def test_the_short_path_is_left_when_the_sdk_has_work(
    tmp_path: Path, api: StandIn, change: dict[str, Any]
) -> None:
    """Maps and flattening are the SDK's business."""
    api.add(Job("a", rows=make_events(3)))
    short, long = both(Folder(tmp_path, api), **change)
    assert without_times(short) == without_times(long)
    plain = Folder(tmp_path, api).run(job_ids=["a"])
    assert without_times(short) != without_times(plain)
