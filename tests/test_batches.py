"""BATCH messages: the files hold what RECORD messages would have said."""

from __future__ import annotations

import fcntl
import gzip
import itertools
import json
import os
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from tap_fullstory_imports.singer.batches import BatchFiles
from tests.harness import selecting
from tests.stand_in import EXAMPLE_EVENT, Answer, Job, make_events, make_failures
from tests.streams import NAMES, job_of

BATCH = {"format": "jsonl", "compression": "gzip"}


@pytest.fixture(autouse=True)
def batches(tap, tmp_path):
    folder = tmp_path / "batches"
    folder.mkdir()
    config = {"encoding": BATCH, "storage": {"root": folder.as_uri()}}
    tap.settings["batch_config"] = config
    return config


def lines_of(run):
    return [
        line
        for message in run.of_type("BATCH")
        for url in message["manifest"]
        for line in gzip.decompress(
            Path(url2pathname(urlsplit(url).path)).read_bytes()
        ).splitlines()
    ]


def rows_of(run):
    """The records in the files, without the times that a target would add to them."""
    rows = [json.loads(line, parse_float=Decimal) for line in lines_of(run)]
    for row in rows:
        extracted, batched = row.pop("_sdc_extracted_at"), row.pop("_sdc_batched_at")
        assert extracted == batched
        age = datetime.now(UTC) - datetime.fromisoformat(batched)
        assert timedelta(0) <= age < timedelta(minutes=5)
    return rows


WIDE = {
    "name": "x",
    "properties": {"n": 2**70, "text": "ü🧢\u2028\x00", "f": 1.50},
    "new": {"a": [1, None]},
}


@pytest.mark.parametrize(
    ("stream", "path"),
    [
        ("imported_events", None),
        ("imported_events", ("user",)),
        ("imported_events", ("context", "location", "ip_address")),
        ("import_errors", ("event", "user")),
        ("import_jobs", ("created_at",)),
    ],
)
def test_files_hold_the_records_as_selected(tap, api, stream, path):
    rows, failures = [EXAMPLE_EVENT, WIDE, *make_events(250)], make_failures(7)
    api.add(Job("a", rows=rows, failures=failures), Job("b", rows=[WIDE]), Job("c"))
    catalog = selecting(stream)
    breadcrumb = [step for name in path or "" for step in ("properties", name)]
    for one in catalog["streams"]:
        for entry in one["metadata"]:
            if one["stream"] == stream and [*entry["breadcrumb"]] == breadcrumb != []:
                entry["metadata"]["selected"] = False
    job_ids = ["a", "b", "c"]
    plain = tap.run(job_ids=job_ids, catalog=catalog, batch_config=None)

    run = tap.run(job_ids=job_ids, catalog=catalog)

    assert run.status == 0
    assert rows_of(run) == plain.records(stream)
    assert rows_of(run)
    assert [message["encoding"] for message in run.of_type("BATCH")] == [BATCH]
    assert run.of_type("SCHEMA") == plain.of_type("SCHEMA")
    assert run.of_type("RECORD") == []
    assert run.state == plain.state
    assert run.messages[-1]["type"] == "STATE"


def test_state_waits_for_the_batch_of_a_jobs_rows_however_slow_the_storage(
    tap, api, batches, monkeypatch
):
    """The harness looks at each STATE; every other file takes a while."""
    batches["batch_size"] = 10
    store, turns = BatchFiles.store, itertools.count()

    def slow(self, *args):
        time.sleep(0.02 * (next(turns) % 2))
        return store(self, *args)

    monkeypatch.setattr(BatchFiles, "store", slow)
    tap.streams = NAMES
    job_ids = [f"job-{number}" for number in range(20)]
    api.add(*(job_of("events", name, 7, page_size=4) for name in job_ids))

    run = tap.run(job_ids=job_ids, concurrency=8, speed=2_000)

    assert run.status == 0
    assert len(run.of_type("BATCH")) == 14 + 14 + 2
    assert len(run.states) > 1
    for stream in ("imported_events", "import_errors", "import_jobs"):
        assert run.completed(stream) == {*job_ids}


def test_run_killed_between_file_and_message_is_read_again_into_new_files(
    tap, api, tmp_path
):
    """The target, which has not taken a line yet, never hears of the first file."""
    folder = tmp_path / "batches"
    api.add(Job("a", rows=make_events(30)), Job("b", rows=make_events(5)))
    source, sink = os.pipe()
    os.write(sink, b"\n" * fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, 4096))
    with tap.start(job_ids=["a", "b"], stdout=sink) as killed:
        deadline = time.monotonic() + 60
        while not [*folder.glob("*.json.gz")]:
            assert killed.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        killed.kill()
    os.close(sink)
    with os.fdopen(source, "rb") as left_in_the_pipe:
        assert left_in_the_pipe.read().strip() == b""
    (lost,) = folder.iterdir()

    run = tap.run(job_ids=["a", "b"])

    assert run.status == 0
    rows = sorted((row["job_id"], row["event_index"]) for row in rows_of(run))
    assert rows == [("a", n) for n in range(30)] + [("b", n) for n in range(5)]
    assert run.completed() == {"a", "b"}
    assert lost.name not in run.stdout.decode()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(422), "Job b failed: "),
        (Answer(429, headers={"Retry-After": "9999"}), "`max_retry_wait`"),
    ],
)
def test_rows_of_finished_jobs_are_announced_when_others_fail(tap, api, answer, words):
    bad = {"imports:1": [answer]}
    events = make_events(3)
    api.add(Job("a", rows=events), Job("b", rows=events, page_size=2, script=bad))

    run = tap.run(job_ids=["a", "b"])

    assert run.status == 1
    assert words in run.errors[-1]
    assert [row["job_id"] for row in rows_of(run)] == [*"aaabb"]
    assert run.completed() == {"a"}


@pytest.mark.parametrize(
    ("root", "words"),
    [
        (
            "sftp://loader:open-sesame@127.0.0.1/files",
            "be written to sftp://***@127.0.0.1/files",
        ),
        ("file:///dev/null/no", "`storage.root`"),
    ],
)
def test_unusable_storage_stops_the_run_without_showing_a_password(
    tap, api, batches, root, words
):
    batches["storage"]["root"] = root
    api.add(Job("a", rows=make_events(3)))

    run = tap.run(job_ids=["a"])

    assert run.status == 1
    assert words in run.errors[-1]
    assert "open-sesame" not in run.stderr
    assert run.completed() == set()


@pytest.mark.parametrize(
    ("setting", "value", "is_refused"),
    [
        ("stream_maps", {"imported_events": {"user": None}}, True),
        ("stream_maps", {"imported_events": {"__alias__": "events"}}, True),
        ("flattening_enabled", True, True),
        ("stream_maps", {}, False),
        ("flattening_enabled", False, False),
    ],
)
def test_maps_or_flattening_together_with_batches_are_refused(
    tap, api, setting, value, is_refused
):
    api.add(Job("a", rows=make_events(3)))

    run = tap.run(job_ids=["a"], flattening_max_depth=2, **{setting: value})

    assert run.status == is_refused
    if is_refused:
        (error,) = run.errors
        assert "`batch_config`" in error
        assert f"`{setting}`" in error
        assert not api.requests
    else:
        assert len(rows_of(run)) == 3
