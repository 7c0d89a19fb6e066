"""The command line: its options, its catalogs, and the extras of the SDK."""

from __future__ import annotations

import copy
import ctypes
import json
import os
import subprocess
import sys
from decimal import Decimal
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from jsonschema import Draft202012Validator

from tests import harness
from tests.harness import Run, run
from tests.invariants import PREFIX
from tests.stand_in import EXAMPLE_EVENT, Answer, Job, make_events, make_failures
from tests.streams import NAMES

if TYPE_CHECKING:
    from tests.harness import Folder
    from tests.stand_in import StandIn

ROOT = Path(__file__).parent.parent
VERSION = version("tap-fullstory-imports")
STREAMS = sorted(NAMES)


def discover() -> dict[str, Any]:
    """The catalog, as a user saves it who wants the imported events only."""
    catalog: dict[str, Any] = json.loads(run(["--discover"]).stdout)
    streams = catalog["streams"]
    wanted = [one for one in streams if one["tap_stream_id"] == "imported_events"]
    return {"streams": wanted}


def selecting(catalog: dict[str, Any], *path: str, selected: bool) -> dict[str, Any]:
    """A catalog with a field selected or not; without a path the stream."""
    changed = copy.deepcopy(catalog)
    breadcrumb = [step for name in path for step in ("properties", name)]
    [stream] = changed["streams"]
    [entry] = [one for one in stream["metadata"] if one["breadcrumb"] == breadcrumb]
    entry["metadata"]["selected"] = selected
    return changed


def assert_refused(run: Run, *words: str) -> None:
    """The run must have ended with a clear error line before it began."""
    assert run.status == 1
    assert run.stdout == b""
    assert all(word in run.errors[0] for word in words), run.errors


# Without any settings


def test_discovery_needs_no_settings_and_prints_only_the_catalog() -> None:
    """Meltano discovers before anything is set."""
    done = run(["--discover"])
    assert done.status == 0
    streams = [one["tap_stream_id"] for one in json.loads(done.stdout)["streams"]]
    assert streams == STREAMS
    assert not done.errors


TEXTS = {
    "--about": (
        "Name: tap-fullstory-imports\n",
        f"Version: {VERSION}\n",
        f"{PREFIX}API_KEY",
    ),
    "--about --format=markdown": (
        "# `tap-fullstory-imports`\n",
        *(f"\n| {name} |" for name in ("api_key", "job_ids", "user_agent")),
    ),
    "--help": ("--config", "--discover", "--catalog", "--state", "--test"),
    "--version": (f"v{VERSION}",),
}


@pytest.mark.parametrize(("arguments", "texts"), TEXTS.items())
def test_texts_need_no_settings(arguments: str, texts: tuple[str, ...]) -> None:
    """Nothing else is on stdout: a user can pipe the text elsewhere."""
    done = run(arguments.split())
    assert done.status == 0
    text = done.stdout.decode()
    assert all(part in text for part in texts)
    assert " | INFO" not in text
    assert not done.errors


def test_about_as_json_is_one_json_document() -> None:
    """It can be piped into another program."""
    done = run(["--about", "--format=json"])
    assert done.status == 0
    about = json.loads(done.stdout)
    assert about["name"] == "tap-fullstory-imports"
    assert about["version"] == VERSION
    capabilities = {"catalog", "discover", "state", "about", "batch", "stream-maps"}
    assert capabilities <= {*about["capabilities"]}
    assert "activate-version" not in about["capabilities"]


@pytest.mark.parametrize(
    "arguments",
    [["--discover"], ["--about"], ["--about", "--format=json"]],
    ids=" ".join,
)
def test_unusable_settings_do_not_stop_discovery(
    tap: Folder, arguments: list[str]
) -> None:
    """They are not needed yet."""
    done = tap.run(*arguments, api_key=None, job_ids=[".."], max_attempts=0)
    assert done.status == 0
    assert done.stdout


def test_an_unknown_option_is_a_usage_error() -> None:
    """With the status that shells know for it."""
    done = run(["--no-such-option"])
    assert done.status == 2
    assert done.stdout == b""
    assert "--no-such-option" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["--discover"], ["--about", "--format=json"]], ids=" ".join
)
def test_the_tap_is_a_module_too(tmp_path: Path, arguments: list[str]) -> None:
    """As `python -m`, from any folder, with an empty environment but for its path."""
    ours = {name: text for name, text in os.environ.items() if PREFIX not in name}
    done = subprocess.run(  # noqa: S603 - the tap itself
        [sys.executable, "-m", "tap_fullstory_imports", *arguments],
        cwd=tmp_path,
        env=ours,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
def test_the_tap_is_a_command_too(tap: Folder, api: StandIn) -> None:
    """Under its own name, and its exit code reaches the shell."""
    command = Path(sys.executable).with_name("tap-fullstory-imports")
    api.add(Job("a", rows=make_events(3)))
    for job_ids, status in ((["a"], 0), (["a", "missing"], 1)):
        done = subprocess.run(  # noqa: S603 - the tap itself
            [str(command), *tap.arguments(job_ids=job_ids)],
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == status
        assert done.stdout.count(b'"type":"RECORD"') == 3


# --test


def test_the_connection_test_reads_one_record(tap: Folder, api: StandIn) -> None:
    """Of each stream. No job whose rows are cut off counts as read."""
    failures = make_failures(3)
    api.add(Job("a", rows=make_events(300), failures=failures), Job("b"))
    done = tap.run("--test", job_ids=["a", "b"])
    assert done.status == 0
    assert [len(done.records(stream)) for stream in STREAMS] == [1, 1, 1, 0, 0, 0]
    assert done.completed("imported_events") == done.completed("import_errors") == {}
    assert "unhandled" not in done.stderr
    requests = {stream: done.counts[stream]["requests"] for stream in STREAMS[:3]}
    assert all(requests.values())
    assert done.summary["requests"] == sum(requests.values())


def test_the_connection_test_bookmarks_no_job_whose_row_is_filtered(
    tap: Folder, api: StandIn
) -> None:
    """Only the first row has been looked at."""
    api.add(Job("a", rows=make_events(3)))
    maps = {"imported_events": {"__filter__": "event_index > 0"}}
    done = tap.run("--test", job_ids=["a"], stream_maps=maps)
    assert done.completed() == {}


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_connection_test_fails_with_the_reason(
    tap: Folder, api: StandIn, status: int
) -> None:
    """As a run would."""
    answers: list[Answer | None] = [Answer(status=status)] * 3
    script = dict.fromkeys(("imports", "errors", "status"), answers)
    api.add(Job("a", rows=make_events(3), script=script))
    done = tap.run("--test", job_ids=["a"])
    assert done.status == 1
    assert str(status) in done.errors[-1]
    assert len(api.requests) == (3 if status == HTTPStatus.NOT_FOUND else 1)


@pytest.mark.slow
def test_a_connection_test_does_not_wait_for_a_job(tap: Folder, api: StandIn) -> None:
    """A job that is still processing shows that the key works."""
    api.add(Job("a", processing=-1))
    done = tap.run("--test", job_ids=["a"])
    assert done.status == 0
    assert len(api.requests) in {3, 4}  # a busy machine can ask once more


def test_the_schema_test_writes_schemas_and_asks_nothing(
    tap: Folder, api: StandIn
) -> None:
    """Not even whether the key works."""
    done = tap.run("--test=schema", job_ids=["a"])
    assert done.status == 0
    assert [message["type"] for message in done.messages] == ["SCHEMA"] * len(STREAMS)
    assert not api.requests


def test_tests_need_settings() -> None:
    """And say which, without a traceback."""
    for argument in ("--test", "--test=schema"):
        assert_refused(run([argument]), "`api_key`")


# Before and after the run


@pytest.mark.parametrize("arguments", [["--version"], ["--discover"], []])
def test_a_start_beside_jsonschema_2_says_in_a_sentence_what_to_do(
    tmp_path: Path, arguments: list[str]
) -> None:
    """Some targets ask for that version."""
    old = tmp_path / "jsonschema"
    old.mkdir()
    (old / "__init__.py").write_text(
        "from jsonschema.validators import Draft3Validator, Draft4Validator, validate\n"
        "from jsonschema.exceptions import ValidationError\n"
        "__version__ = '2.6.0'\n"
    )
    (old / "validators.py").write_text(
        "class Draft3Validator: ...\nclass Draft4Validator: ...\ndef validate(): ...\n"
    )
    (old / "exceptions.py").write_text("class ValidationError(Exception): ...\n")
    done = subprocess.run(  # noqa: S603 - the tap itself
        [sys.executable, "-m", "tap_fullstory_imports", *arguments],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    [sentence] = done.stderr.splitlines()
    for text in ("jsonschema", "target", "environment of its own"):
        assert text in sentence


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX only")
@pytest.mark.parametrize("closed", [">&-", ">/dev/full"])
def test_a_stdout_that_cannot_be_written_ends_the_run_in_a_sentence(
    tap: Folder, api: StandIn, closed: str
) -> None:
    """Closed, or on a disk that is full."""
    api.add(Job("a", rows=make_events(3)))
    line = [sys.executable, "-m", "tap_fullstory_imports", *tap.arguments(job_ids="a")]
    done = subprocess.run(  # noqa: S603 - the tap itself
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *line],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    result = Run(done.returncode, b"", done.stderr)
    assert_refused(result, "stdout")
    assert len(result.errors) == 1


@pytest.mark.skipif(os.name != "posix", reason="POSIX only")
def test_a_closed_stderr_keeps_no_row_back(tap: Folder, api: StandIn) -> None:
    """As some daemons start their programs."""
    api.add(Job("a", rows=make_events(3)))
    line = [sys.executable, "-m", "tap_fullstory_imports", *tap.arguments(job_ids="a")]
    done = subprocess.run(  # noqa: S603 - the tap itself
        ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *line],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.count(b'"type":"RECORD"') == 3


def test_records_are_written_after_a_second_while_the_next_page_hangs(
    tap: Folder, api: StandIn
) -> None:
    """The buffer is not full, and STATE follows only at the end of the job."""
    script: dict[str, list[Answer | None]] = {"imports:1": [Answer(hang=True)]}
    api.add(Job("a", rows=make_events(3), page_size=2, script=script))
    process = tap.start(job_ids="a", request_timeout=2, max_attempts=1, speed=100)
    head = b""
    while head.count(b'"RECORD"') < 2:
        head += os.read(process.out.fileno(), 65_536)
    assert b'"STATE"' not in head
    process.terminate()
    assert process.collect(head).status == 143


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_threads_share_one_heap(
    tap: Folder, api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the memory of thousands of pages would stay with the fetching threads."""
    library = Mock()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    api.add(Job("a", rows=make_events(1)))
    assert tap.run(job_ids=["a"]).status == 0
    library.mallopt.assert_called_once_with(-8, 1)


# --catalog


def test_a_discovered_catalog_changes_nothing(tap: Folder, api: StandIn) -> None:
    """Same schema, same records, same state."""
    api.add(Job("a", rows=[EXAMPLE_EVENT, {"name": "x", "new": {"a": 1}}]))
    plain = tap.run(job_ids=["a"])
    done = tap.run(job_ids=["a"], catalog=discover())
    assert done.status == 0
    assert done.of_type("SCHEMA") == plain.of_type("SCHEMA")
    assert done.records() == plain.records()
    assert done.states == plain.states
    assert not done.warnings


@pytest.mark.parametrize(
    "path", [("user",), ("properties",), ("context", "location", "ip_address")]
)
def test_a_deselected_field_is_in_neither_schema_nor_records(
    tap: Folder, api: StandIn, path: tuple[str, ...]
) -> None:
    """At the root and below; all others stay, unknown ones too."""
    row = copy.deepcopy(EXAMPLE_EVENT)
    row["new"] = {"a": 1}
    row["context"]["location"]["new"] = "x"
    api.add(Job("a", rows=[row]))
    plain = tap.run(job_ids=["a"])
    done = tap.run(job_ids=["a"], catalog=selecting(discover(), *path, selected=False))
    assert done.status == 0
    [expected] = copy.deepcopy(plain.records())
    schema = copy.deepcopy(plain.of_type("SCHEMA")[0]["schema"])
    record, fields = expected, schema["properties"]
    for step in path[:-1]:
        record, fields = record[step], fields[step]["properties"]
    del record[path[-1]]
    del fields[path[-1]]
    assert done.records() == [expected]
    assert done.of_type("SCHEMA")[0]["schema"] == schema
    assert done.completed() == {"a": 1}


@pytest.mark.parametrize("key", ["job_id", "event_index"])
def test_the_key_cannot_be_deselected(tap: Folder, api: StandIn, key: str) -> None:
    """Without it a target could not tell rows apart."""
    api.add(Job("a", rows=make_events(2)))
    done = tap.run(job_ids=["a"], catalog=selecting(discover(), key, selected=False))
    assert done.status == 0
    assert all(key in record for record in done.records())
    assert key in done.of_type("SCHEMA")[0]["schema"]["properties"]


@pytest.mark.parametrize("place", ["replication_method", "metadata", "both"])
def test_a_catalog_of_full_tables_is_still_read_incrementally(
    tap: Folder, api: StandIn, place: str
) -> None:
    """With a warning, and no message that would make a target delete rows."""
    api.add(Job("a", rows=make_events(2)), Job("b", rows=make_events(3)))
    catalog = discover()
    [stream] = catalog["streams"]
    if place != "metadata":
        stream["replication_method"] = "FULL_TABLE"
    if place != "replication_method":
        for entry in stream["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"]["replication-method"] = "FULL_TABLE"
                entry["metadata"]["forced-replication-method"] = "FULL_TABLE"
    saved = {"bookmarks": {"imported_events": {"completed_jobs": {"a": 2}}}}
    done = tap.run(job_ids=["a", "b"], state=saved, catalog=catalog)
    assert done.status == 0
    assert {record["job_id"] for record in done.records()} == {"b"}
    assert done.completed() == {"a": 2, "b": 3}
    assert {message["type"] for message in done.messages} == {
        "SCHEMA",
        "RECORD",
        "STATE",
    }
    assert all("version" not in message for message in done.messages)
    if place == "replication_method":
        [warning] = done.warnings
        assert "FULL_TABLE" in warning


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        '"text"',
        b"\xff\xfe",
        '{"streams": 5}',
        '{"streams": [5]}',
        '{"streams": [{}]}',
        '{"streams": [{"tap_stream_id": "imported_events", "schema": 5}]}',
        '{"streams": [{"tap_stream_id": "imported_events", "metadata": 5}]}',
        '{"streams": [{"tap_stream_id": "imported_events", "metadata": [5]}]}',
        pytest.param("[" * 100_000, id="nested deeply"),
        pytest.param('{"streams":' * 10_000 + "1" + "}" * 10_000, id="deep objects"),
        pytest.param('{"streams": [{"stream": ' + "9" * 5_000 + "}]}", id="digits"),
        {"streams": []},
        {"streams": [{"tap_stream_id": "users", "stream": "users", "schema": {}}]},
        pytest.param(harness.selecting(), id="selects no stream"),
    ],
    ids=repr,
)
def test_catalog_that_selects_nothing_is_refused(
    tap: Folder, api: StandIn, content: object
) -> None:
    """The sentence names the option, and what has been saved is not erased."""
    path = tap.write("broken.json", content)
    saved = {"bookmarks": {"imported_events": {"completed_jobs": {"a": 2}}}}
    done = tap.run("--catalog", str(path), job_ids=["a"], state=saved)
    assert_refused(done, "`--catalog`")
    assert len(done.errors) == 1
    assert not api.requests


def test_catalog_with_another_taps_stream_beside_ours_is_read(
    tap: Folder, api: StandIn
) -> None:
    """Only ours."""
    api.add(Job("a", rows=make_events(2)))
    [stream] = discover()["streams"]
    other = {**stream, "tap_stream_id": "users", "stream": "users"}
    done = tap.run(job_ids=["a"], catalog={"streams": [other, stream]})
    assert done.status == 0
    assert done.completed() == {"a": 2}


@pytest.mark.parametrize("option", ["--catalog", "--state"])
def test_a_file_that_does_not_exist_is_an_error_in_words(option: str) -> None:
    """A mistyped path must not mean that all is read again."""
    done = run([option, "/no/such/file"])
    assert done.status != 0
    assert done.stdout == b""
    assert option in done.stderr
    assert "/no/such/file" in done.stderr


# Stream maps and flattening


def test_stream_maps_change_records_and_schema(tap: Folder, api: StandIn) -> None:
    """Fields made, removed and hashed, rows filtered; the job is still bookmarked."""
    api.add(Job("a", rows=[{"name": "keep", "user": {"id": "1"}}, {"name": "drop"}]))
    maps = {
        "user": None,
        "user_hash": "md5(config['salt'] + user['id']) if user else None",
        "loud": "name.upper()",
        "__filter__": "name == 'keep'",
    }
    done = tap.run(
        job_ids=["a"],
        stream_maps={"imported_events": maps},
        stream_map_config={"salt": "x"},
    )
    assert done.status == 0
    [record] = done.records()
    assert record["loud"] == "KEEP"
    assert record["user_hash"]
    assert "user" not in record
    fields = done.of_type("SCHEMA")[0]["schema"]["properties"]
    assert "user" not in fields
    assert "loud" in fields
    assert done.completed() == {"a": 2}


def test_a_stream_map_can_rename_the_stream(tap: Folder, api: StandIn) -> None:
    """The state keeps the stream's own name."""
    api.add(Job("a", rows=make_events(2)))
    maps = {"imported_events": {"__alias__": "fullstory_events"}}
    done = tap.run(job_ids=["a"], stream_maps=maps)
    assert done.status == 0
    assert len(done.records("fullstory_events")) == 2
    assert [message["stream"] for message in done.of_type("SCHEMA")] == [
        "fullstory_events"
    ]
    assert done.completed() == {"a": 2}
    api.clear()
    again = tap.run(job_ids=["a"], stream_maps=maps, state=done.state)
    assert again.status == 0
    assert not api.requests


@pytest.mark.parametrize(
    ("maps", "name"),
    [
        ({"import_event": {"user": None}}, "import_event"),
        ({"imported_events": {"user": None}, "Import_Errors": {}}, "Import_Errors"),
        ({"users_*": {"user": None}, "__else__": None}, "users_*"),
        ({"mine": {"__source__": "imported_event"}}, "imported_event"),
    ],
)
def test_stream_map_that_names_no_stream_is_refused_by_name(
    tap: Folder, api: StandIn, maps: dict[str, Any], name: str
) -> None:
    """Or all rows would leave unmapped."""
    api.add(Job("a", rows=make_events(2)))
    done = tap.run(job_ids=["a"], stream_maps=maps)
    assert_refused(done, "`stream_maps`", name)
    assert len(done.errors) == 1
    assert not api.requests


@pytest.mark.parametrize(
    ("maps", "name"),
    [
        ({"*_events": {"more": "name"}}, "imported_events"),
        ({"imported_events": {"more": "name"}, "__else__": None}, "imported_events"),
        ({"mine": {"__source__": "imported_events", "more": "name"}}, "mine"),
    ],
)
def test_stream_map_that_names_a_stream_in_any_way_is_applied(
    tap: Folder, api: StandIn, maps: dict[str, Any], name: str
) -> None:
    """By a pattern, as a source, beside the key for all others."""
    api.add(Job("a", rows=make_events(2)))
    done = tap.run(job_ids=["a"], stream_maps=maps)
    assert done.status == 0
    assert [row["more"] for row in done.records(name)] == [
        row["name"] for row in make_events(2)
    ]


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_flattening_makes_columns_of_nested_fields(
    tap: Folder, api: StandIn, depth: int
) -> None:
    """The records fit the flattened schema, and numbers keep their digits."""
    row = copy.deepcopy(EXAMPLE_EVENT)
    api.add(Job("a", rows=[row]))
    done = tap.run(job_ids=["a"], flattening_enabled=True, flattening_max_depth=depth)
    assert done.status == 0
    [schema] = done.of_type("SCHEMA")
    [record] = done.records()
    assert record["job_id"] == "a"
    assert record["event_index"] == 0
    if depth == 3:
        assert record["context__location__latitude"] == Decimal("33.749")
        assert record["user__uid"] == "xyz123"
    if depth == 1:
        assert json.loads(record["context__location"])["latitude"] == 33.749
        assert record["user__uid"] == "xyz123"
    assert {*record} <= {*schema["schema"]["properties"]} | {
        f"properties__{name}" for name in row["properties"]
    }
    plain = json.loads(
        next(line for line in done.stdout.splitlines() if b'"RECORD"' in line)
    )
    if depth:
        Draft202012Validator(schema["schema"]).validate(
            {
                name: value
                for name, value in plain["record"].items()
                if name not in {"properties", "schema"}
            }
        )
    assert done.completed() == {"a": 1}
