"""Stream maps, batches and flattening that would lose rows or crash are refused.

Each in one sentence that names the setting, with exit code 1 and nothing bookmarked.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.stand_in import Job, make_events, make_failures

STREAMS = ("imported_events", "import_errors", "import_jobs")
NOTHING_LEFT = (
    "`stream_maps` leaves nothing of `imported_events`. To leave the stream out,"
    " deselect it."
)
MISSING = "`{}`: '{}' is a required property."
UNKNOWN = "`{}`: Additional properties are not allowed ('{}' was unexpected)."
COMBINED = (
    "`batch_config` can't be combined with `stream_maps` or `flattening_enabled`. Leave"
    " one of them out."
)
SIZE = "`batch_config.batch_size` is less than the minimum of 1."


@pytest.fixture(autouse=True)
def job(api):
    api.add(Job("a", rows=make_events(3), failures=make_failures(2)))


def refusal(run):
    assert run.status == 1
    assert not run.of_type("RECORD")
    assert not run.of_type("BATCH")
    states = [
        bookmark for state in run.states for bookmark in state["bookmarks"].values()
    ]
    assert not any(bookmark.get("completed_jobs") for bookmark in states)
    [sentence] = run.errors
    return sentence


def batches(**changed):
    whole = {
        "encoding": {"format": "jsonl"},
        "storage": {"root": "file:///x"},
        **changed,
    }
    return {key: value for key, value in whole.items() if value is not None}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"stream_maps": {"imported_events": None}}, NOTHING_LEFT),
    ({"stream_maps": {"imported_events": "__NULL__"}}, NOTHING_LEFT),
    ({"stream_maps": {"imported_*": None}}, NOTHING_LEFT),
    ({"stream_maps": {"import_errors": {}, "__else__": None}}, NOTHING_LEFT),
    ({"stream_maps": {"__else__": "x"}}, "`stream_maps` is not of the right form."),
    (
        {"stream_maps": {"imported_events": 5}},
        "`stream_maps.imported_events` is not valid under any of the given schemas.",
    ),
    (
        {"batch_config": batches(storage=None)},
        MISSING.format("batch_config", "storage"),
    ),
    (
        {"batch_config": batches(encoding=None)},
        MISSING.format("batch_config", "encoding"),
    ),
    (
        {"batch_config": batches(storage={})},
        MISSING.format("batch_config.storage", "root"),
    ),
    ({"batch_config": batches(batch_size=0)}, SIZE),
    ({"batch_config": batches(batch_size=-1)}, SIZE),
    (
        {"batch_config": batches(encoding={"format": "parquet"})},
        "`batch_config.encoding.format` is not one of ['jsonl'].",
    ),
    (
        {"batch_config": batches(encoding={"format": "jsonl", "compression": "none"})},
        "`batch_config.encoding.compression` is not one of ['gzip'].",
    ),
    (
        {"batch_config": batches(storage={"root": "x", "prefixx": "y"})},
        UNKNOWN.format("batch_config.storage", "prefixx"),
    ),
    (
        {"batch_config": batches(batch_sizes=5)},
        UNKNOWN.format("batch_config", "batch_sizes"),
    ),
    (
        {"batch_config": batches(), "flattening_enabled": True},
        COMBINED,
    ),
]


@pytest.mark.parametrize(("settings", "sentence"), REFUSED)
def test_extra_that_cannot_be_used_is_refused_before_any_request(
    tap, api, settings, sentence
):
    tap.streams = STREAMS
    assert refusal(tap.run(job_ids=["a"], **settings)) == sentence
    assert not api.requests


@pytest.mark.parametrize(
    "maps",
    [
        {"import_errors": None},
        {"imported_events": {"name": "name.upper()"}, "__else__": None},
    ],
)
def test_map_that_removes_only_streams_that_are_not_selected_is_accepted(tap, maps):
    run = tap.run(job_ids=["a"], stream_maps=maps)
    assert run.status == 0
    assert len(run.records()) == 3


NULLS = (
    " A value in it may be null, such as one of `stream_map_config` whose environment"
    " variable is empty."
)


@pytest.mark.parametrize("place", ["loud", "__filter__"])
@pytest.mark.parametrize(
    ("expression", "kind", "hint"),
    [
        ("1/0", "ZeroDivisionError", ""),
        ("int(name)", "ValueError", ""),
        ("missing", "NameNotDefined", ""),
        ("name + config['salt']", "TypeError", NULLS),
        ("md5(config['salt'] + name)", "TypeError", NULLS),
    ],
)
def test_map_that_fails_on_a_row_is_named_without_the_row(
    tap, api, place, expression, kind, hint
):
    api.add(Job("a", rows=[{"name": "private-name"}]))
    maps = {"imported_events": {"name": "name", place: expression}}
    run = tap.run(job_ids=["a"], stream_maps=maps, stream_map_config={"salt": None})
    assert refusal(run) == (
        f"`stream_maps`: the expression for `{place}` of `imported_events` fails on a"
        f" row ({kind}).{hint} Correct it, and run again."
    )


@pytest.mark.parametrize(
    "maps",
    [
        {name: {"__alias__": "x"} for name in STREAMS[1:]},
        {"import_errors": {"__alias__": "import_jobs"}},
        {"import_jobs": {"__source__": "import_errors"}, "import_errors": {}},
    ],
)
def test_one_name_for_two_streams_is_refused(tap, api, maps):
    """A target would keep only the columns of the last SCHEMA."""
    tap.streams = STREAMS
    sentence = refusal(tap.run(job_ids=["a"], stream_maps=maps))
    assert sentence.startswith("`stream_maps` gives the name `")
    assert sentence.endswith(" Their rows would be mixed: choose two names.")
    assert not api.requests


def test_batches_on_s3_without_s3fs_are_an_error_that_names_the_package(
    tap, monkeypatch
):
    """Whether it is installed on this machine or not."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    config = batches(storage={"root": "s3://bucket/folder"})
    sentence = refusal(tap.run(job_ids=["a"], batch_config=config))
    assert "`batch_config" in sentence
    assert "s3fs" in sentence


@pytest.mark.parametrize("length", [6, 12])
def test_flattening_never_renames_a_key(tap, length):
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
