"""Stream maps, batches and flattening that would lose rows or crash are refused.

Each in one sentence that names the setting, with exit code 1 and nothing bookmarked.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_in import Job, make_events, make_failures

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

JSONL = {"format": "jsonl", "compression": "gzip"}
STREAMS = ("imported_events", "import_errors", "import_jobs")


@pytest.fixture(autouse=True)
def job(api: StandIn) -> None:
    """One job with rows for every stream."""
    api.add(Job("a", rows=make_events(3), failures=make_failures(2)))


def refusal(run: Run) -> str:
    """The only error of a run that wrote no record and bookmarked nothing."""
    assert run.status == 1
    assert not run.of_type("RECORD")
    assert not run.of_type("BATCH")
    assert not any(
        bookmark.get("completed_jobs")
        for state in run.states
        for bookmark in state.get("bookmarks", {}).values()
    )
    [sentence] = run.errors
    return sentence


# Stream maps


@pytest.mark.parametrize(
    ("streams", "maps"),
    [
        (("imported_events",), {"imported_events": None}),
        (STREAMS, {"imported_events": None}),
        (STREAMS, {"imported_events": "__NULL__"}),
        (STREAMS, {"imported_*": None}),
        (STREAMS, {"import_errors": {}, "import_jobs": {}, "__else__": None}),
    ],
)
def test_map_that_removes_a_selected_stream_is_refused(
    tap: Folder, api: StandIn, streams: tuple[str, ...], maps: dict[str, Any]
) -> None:
    """It would write nothing and bookmark everything; deselecting does not."""
    tap.streams = streams
    sentence = refusal(tap.run(job_ids=["a"], stream_maps=maps))
    for text in ("`stream_maps`", "imported_events", "deselect"):
        assert text in sentence
    assert not api.requests


@pytest.mark.parametrize(
    "maps",
    [
        {"import_errors": None},
        {"imported_events": {"name": "name.upper()"}, "__else__": None},
    ],
)
def test_map_that_removes_only_streams_that_are_not_selected_is_accepted(
    tap: Folder, maps: dict[str, Any]
) -> None:
    """Nothing is lost."""
    run = tap.run(job_ids=["a"], stream_maps=maps)
    assert run.status == 0
    assert len(run.records()) == 3


@pytest.mark.parametrize("place", ["loud", "__filter__"])
@pytest.mark.parametrize("expression", ["1/0", "int(name)", "name + 1", "missing"])
def test_map_that_fails_on_a_row_is_an_error_without_the_row(
    tap: Folder, api: StandIn, place: str, expression: str
) -> None:
    """The sentence names the stream, and holds none of the row's values."""
    api.add(Job("a", rows=[{"name": "private-name"}]))
    maps = {"imported_events": {place: expression}}
    sentence = refusal(tap.run(job_ids=["a"], stream_maps=maps))
    assert "`stream_maps`" in sentence
    assert "imported_events" in sentence
    assert "private-name" not in sentence


# Batches


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": -1}, "batch_size"),
        ({"batch_size": "many"}, "batch_size"),
        ({"encoding": {"format": "parquet"}}, "jsonl"),
        ({"storage": None}, "storage"),
        ({"encoding": None}, "encoding"),
        ({"storage": {}}, "root"),
        ({"storage": {"root": "x", "prefixx": "y"}}, "`prefixx`"),
        ({"batch_sizes": 5}, "`batch_sizes`"),
    ],
)
def test_batch_config_that_cannot_be_used_is_refused_by_its_part(
    tap: Folder, api: StandIn, changed: dict[str, Any], name: str
) -> None:
    """Before any request."""
    whole = {"encoding": JSONL, "storage": {"root": tap.path.as_uri()}, **changed}
    config = {key: value for key, value in whole.items() if value is not None}
    sentence = refusal(tap.run(job_ids=["a"], batch_config=config))
    assert "`batch_config" in sentence
    assert name in sentence
    assert not api.requests


def test_batch_folder_that_cannot_be_made_is_an_error_with_its_path(
    tap: Folder,
) -> None:
    """For example below a file."""
    root = (tap.write("file", "") / "folder").as_uri()
    config = {"encoding": JSONL, "storage": {"root": root}}
    sentence = refusal(tap.run(job_ids=["a"], batch_config=config))
    assert "`batch_config" in sentence
    assert "file/folder" in sentence


def test_batches_on_s3_without_s3fs_are_an_error_that_names_the_package(
    tap: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is installed on this machine or not."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    config = {"encoding": JSONL, "storage": {"root": "s3://bucket/folder"}}
    sentence = refusal(tap.run(job_ids=["a"], batch_config=config))
    assert "`batch_config" in sentence
    assert "s3fs" in sentence


# Flattening


@pytest.mark.parametrize("length", [1, 6, 7, 11, 12])
def test_flattening_never_renames_a_key(tap: Folder, length: int) -> None:
    """Short names are refused where they would rename `job_id` or `event_index`."""
    run = tap.run(
        job_ids=["a"],
        flattening_enabled=True,
        flattening_max_depth=2,
        flattening_max_key_length=length,
    )
    if run.status:
        assert "`flattening_max_key_length`" in refusal(run)
        return
    [schema] = run.of_type("SCHEMA")
    assert {*schema["key_properties"]} <= {*schema["schema"]["properties"]}
    keys = [(record["job_id"], record["event_index"]) for record in run.records()]
    assert keys == [("a", 0), ("a", 1), ("a", 2)]
