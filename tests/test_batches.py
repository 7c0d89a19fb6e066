"""BATCH messages: the files hold what RECORD messages would have said."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from tests.harness import selecting
from tests.stand_in import EXAMPLE_EVENT, Answer, Job, make_events, make_failures

if TYPE_CHECKING:
    from tests.harness import Folder
    from tests.stand_in import StandIn

BATCH = {"format": "jsonl", "compression": "gzip"}


def config(folder: Path, **more: Any) -> dict[str, Any]:
    """Settings for batches in a folder."""
    return {"encoding": BATCH, "storage": {"root": folder.as_uri()}, **more}


def rows_of(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in the files that BATCH messages name."""
    return [json.loads(line, parse_float=Decimal) for line in lines_of(messages)]


def lines_of(messages: list[dict[str, Any]]) -> list[bytes]:
    """The lines in the files that BATCH messages name."""
    return [
        line
        for message in messages
        for url in message["manifest"]
        for line in gzip.decompress(
            Path(url2pathname(urlsplit(url).path)).read_bytes()
        ).split(b"\n")
        if line
    ]


def test_batches_hold_exactly_the_rows(
    tap: Folder, api: StandIn, tmp_path: Path
) -> None:
    """Compressed files of JSON lines, announced before the STATE that counts them."""
    wide = {
        "name": "x",
        "properties": {"n": 2**70, "text": "ü🧢\u2028\x00"},
        "new": {"a": [1, None]},
    }
    api.add(Job("a", rows=make_events(250)), Job("b", rows=[wide]), Job("c", rows=[]))
    plain = tap.run(job_ids=["a", "b", "c"])
    folder = tmp_path / "batches"
    folder.mkdir()
    done = tap.run(
        job_ids=["a", "b", "c"],
        batch_config=config(folder),
    )
    assert done.status == 0
    assert not done.records()
    assert rows_of(done.of_type("BATCH")) == plain.records()
    assert [message["encoding"] for message in done.of_type("BATCH")] == [BATCH]
    assert done.completed() == {"a": 250, "b": 1, "c": 0}
    kinds = [message["type"] for message in done.messages]
    assert kinds[0] == "SCHEMA"
    assert kinds.index("BATCH") < len(kinds) - 1
    assert kinds[-1] == "STATE"


def test_no_state_runs_ahead_of_the_batch_that_holds_its_rows(
    tap: Folder, api: StandIn, tmp_path: Path
) -> None:
    """Small batches: each STATE names only jobs whose rows have been announced."""
    api.add(*(Job(f"job-{number}", rows=make_events(7)) for number in range(9)))
    job_ids = [f"job-{number}" for number in range(9)]
    done = tap.run(
        job_ids=job_ids,
        batch_config=config(tmp_path, batch_size=10),
    )
    assert done.status == 0
    assert len(done.of_type("BATCH")) > 3  # the harness has looked at each STATE
    assert done.completed() == dict.fromkeys(job_ids, 7)


def test_failed_job_in_batches_is_not_bookmarked(
    tap: Folder, api: StandIn, tmp_path: Path
) -> None:
    """The others are, and their rows lie in the files."""
    script: dict[str, list[Answer | None]] = {"imports:1": [Answer(status=400)]}
    api.add(
        Job("a", rows=make_events(3), page_size=2, script=script),
        Job("b", rows=make_events(2)),
    )
    done = tap.run(
        job_ids=["a", "b"],
        batch_config=config(tmp_path),
    )
    assert done.status == 1
    assert done.completed() == {"b": 2}
    assert done.errors[-1].startswith("Job a failed: ")


def test_run_that_stops_announces_the_rows_that_it_has(
    tap: Folder, api: StandIn, tmp_path: Path
) -> None:
    """The API asks for too long a wait in the middle: what has been read counts."""
    refusal = Answer(status=429, headers={"Retry-After": "9999"})
    script: dict[str, list[Answer | None]] = {"imports": [refusal]}
    api.add(Job("a", rows=make_events(3)), Job("b", script=script))
    done = tap.run(job_ids=["a", "b"], concurrency=1, batch_config=config(tmp_path))
    assert done.status == 1
    assert "`max_retry_wait`" in done.errors[-1]
    assert len(rows_of(done.of_type("BATCH"))) == 3
    assert done.completed() == {"a": 3}


def test_password_of_the_place_for_the_files_is_not_shown(
    tap: Folder, api: StandIn
) -> None:
    api.add(Job("a", rows=make_events(3)))
    storage = {"root": "sftp://loader:open-sesame@127.0.0.1/files"}
    done = tap.run(job_ids=["a"], batch_config={"encoding": BATCH, "storage": storage})
    assert done.status == 1
    assert "sftp://***@127.0.0.1/files" in done.errors[-1]
    assert "open-sesame" not in done.stderr


@pytest.mark.parametrize(
    ("stream", "path"),
    [
        ("imported_events", ("user",)),
        ("imported_events", ("context", "location", "ip_address")),
        ("imported_events", ("properties",)),
        ("import_errors", ("event", "user")),
        ("import_jobs", ("created_at",)),
    ],
)
def test_deselected_field_is_left_out_of_the_files(
    tap: Folder, api: StandIn, tmp_path: Path, stream: str, path: tuple[str, ...]
) -> None:
    """What a user takes out, for example personal data, lands in no file."""
    rows, failures = [EXAMPLE_EVENT, *make_events(20)], make_failures(7)
    api.add(Job("a", rows=rows, failures=failures, page_size=5))
    catalog = selecting(stream)
    breadcrumb = [step for name in path for step in ("properties", name)]
    for one in catalog["streams"]:
        for entry in one["metadata"]:
            if one["stream"] == stream and [*entry["breadcrumb"]] == breadcrumb:
                entry["metadata"]["selected"] = False
    plain = tap.run(job_ids=["a"], catalog=catalog)

    done = tap.run(job_ids=["a"], catalog=catalog, batch_config=config(tmp_path))

    assert done.status == 0
    assert rows_of(done.of_type("BATCH")) == plain.records(stream)
    assert done.of_type("SCHEMA") == plain.of_type("SCHEMA")
    assert done.completed(stream) == plain.completed(stream)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("stream_maps", {"imported_events": {"user": None}}),
        ("stream_maps", {"imported_events": {"__filter__": "name != 'x'"}}),
        ("stream_maps", {"imported_events": {"__alias__": "events"}}),
        ("flattening_enabled", True),
    ],
)
def test_maps_or_flattening_together_with_batches_are_refused(
    tap: Folder, api: StandIn, tmp_path: Path, setting: str, value: Any
) -> None:
    """The files would hold what a map takes out."""
    api.add(Job("a", rows=make_events(3)))

    settings = {setting: value, "batch_config": config(tmp_path)}
    done = tap.run(job_ids=["a"], flattening_max_depth=2, **settings)

    assert done.status == 1
    (error,) = done.errors
    assert "`batch_config`" in error
    assert f"`{setting}`" in error
    assert not api.requests
    assert done.of_type("BATCH") == []


def test_maps_that_map_nothing_do_not_disturb_batches(
    tap: Folder, api: StandIn, tmp_path: Path
) -> None:
    """Nor does flattening that is off."""
    api.add(Job("a", rows=make_events(3)))

    done = tap.run(
        job_ids=["a"],
        batch_config=config(tmp_path),
        stream_maps={},
        flattening_enabled=False,
    )

    assert done.status == 0
    assert len(rows_of(done.of_type("BATCH"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize("text", ["x", "\\ud800"])
@pytest.mark.parametrize("depth", [500, 980, 5_000, 100_000])
def test_row_nested_too_deeply_for_a_file_fails_its_job_only(
    tap: Folder, api: StandIn, tmp_path: Path, depth: int, text: str
) -> None:
    """Or the row is written in full; there is no third way."""
    deep = '{"a":' * depth + "1" + "}" * depth
    row = f'{{"name":"{text}","properties":{deep}}}'
    api.add(
        Job("a", raw_pages=[f'[{{"name":"before"}},{row}]']),
        Job("b", rows=make_events(2)),
    )

    done = tap.run(job_ids=["a", "b"], batch_config=config(tmp_path))

    # A decoder may refuse the deep row, so the row is not decoded here.
    lines = b"".join(lines_of(done.of_type("BATCH")))
    assert lines.count(b'"job_id":"b"') == 2
    if "a" in done.completed():
        assert done.status == 0
        assert done.completed() == {"a": 2, "b": 2}
        assert lines.count(b'"job_id":"a"') == 2
    else:
        assert done.status == 1
        assert done.completed() == {"b": 2}
        assert done.errors[-1].startswith("Job a failed: ")
