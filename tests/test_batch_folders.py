"""Where BATCH files go, and whether a target finds them there."""

import gzip
import json

import pytest
from singer_sdk.helpers._batch import StorageTarget

from tap_fullstory_imports.singer import batches
from tests.harness import selecting
from tests.stand_in import Job, make_events

ENCODING = {"format": "jsonl", "compression": "gzip"}


def config(root, **storage):
    return {"encoding": ENCODING, "storage": {"root": str(root), **storage}}


def as_a_target_reads(url):
    head, tail = StorageTarget.split_url(url)
    with StorageTarget.from_url(head).open(tail, "rb") as file:
        return [json.loads(line) for line in gzip.decompress(file.read()).splitlines()]


@pytest.mark.parametrize("prefix", [None, "part-", "a/b/", "c d/é-"])
@pytest.mark.parametrize("folder", ["plain", "with a space", "Überblick", "50%"])
def test_files_at_a_path_are_found_by_targets(tap, api, tmp_path, folder, prefix):
    api.add(Job("a", rows=make_events(3)))
    storage = config(tmp_path / folder, **({"prefix": prefix} if prefix else {}))

    run = tap.run(
        job_ids=["a"], catalog=selecting("imported_events"), batch_config=storage
    )

    assert run.status == 0
    urls = [url for message in run.of_type("BATCH") for url in message["manifest"]]
    assert [row["event_index"] for url in urls for row in as_a_target_reads(url)] == [
        *range(3)
    ]


def test_files_are_bounded_in_bytes(tap, api, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "MOST_BYTES", 10)
    api.add(Job("a", generate=2_000, page_size=500))

    run = tap.run(
        job_ids=["a"],
        catalog=selecting("imported_events"),
        batch_config=config(tmp_path),
    )

    assert run.status == 0
    urls = [url for message in run.of_type("BATCH") for url in message["manifest"]]
    assert len(urls) > 1
    assert sum(len(as_a_target_reads(url)) for url in urls) == 2_000


def test_a_full_disk_for_temporary_files_is_named(tap, api, tmp_path, monkeypatch):
    api.add(Job("a", rows=make_events(3)))
    (tmp_path / "full").write_text("not a folder")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "full"))

    run = tap.run(
        job_ids=["a"],
        catalog=selecting("imported_events"),
        batch_config=config(tmp_path / "files"),
    )

    assert run.status == 1
    assert "`TMPDIR`" in run.errors[-1]
