"""The command line: its options, its catalogs, and the extras of the SDK."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests import harness
from tests.harness import Run, run
from tests.invariants import PREFIX
from tests.stand_in import EXAMPLE_EVENT, Answer, Job, make_events, make_failures
from tests.streams import NAMES

ROOT = Path(__file__).parent.parent
VERSION = version("tap-fullstory-imports")
STREAM = "imported_events"
MODULE = [sys.executable, "-m", "tap_fullstory_imports"]


def state_of(*jobs):
    return {"bookmarks": {STREAM: {"completed_jobs": [*jobs]}}}


def assert_refused(run, *words):
    assert run.status == 1
    assert run.stdout == b""
    [error] = run.errors
    assert all(word in error for word in words), error


def in_shell(*arguments, redirect="", cwd=ROOT, python=(), **variables):
    line = [sys.executable, *python, *MODULE[1:], *map(str, arguments)]
    ours = {name: text for name, text in os.environ.items() if PREFIX not in name}
    done = subprocess.run(  # noqa: S603 - the tap itself
        ["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *line],
        env={**ours, "PYTHONPATH": str(ROOT), **variables},
        cwd=cwd,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return Run(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


# Without any settings

EXAMPLE = "tap-fullstory-imports --config config.json --state state.json | your-target"
EPILOG = (
    f"Example: {EXAMPLE}\n",
    "Documentation: https://github.com/fullstory-imports/tap-fullstory-imports#readme\n",
)
TEXTS = {
    "--about": (
        *("Name: tap-fullstory-imports\n", f"Version: {VERSION}\n", *EPILOG),
        "\napi_key (required)\n  TAP_FULLSTORY_IMPORTS_API_KEY\n  Fullstory API key",
        "\nmax_attempts (default: 8)\n",
    ),
    "--about --format=markdown": ("# `tap-fullstory-imports`\n", "\n| api_key |"),
    "--help": ("--config", "--discover", "--catalog", "--state", "--test", *EPILOG),
    "--version": (f"v{VERSION}",),
    "--discover": (*NAMES,),
}


@pytest.mark.parametrize(("arguments", "texts"), TEXTS.items())
def test_texts_need_no_settings_and_are_alone_on_stdout(arguments, texts):
    done = run(arguments.split())
    assert done.status == 0
    text = done.stdout.decode()
    assert all(part in text for part in texts)
    assert " | INFO" not in text
    assert not done.errors


@pytest.mark.parametrize("arguments", ["--about --format=json", "--discover"])
def test_documents_need_no_usable_settings(tap, arguments):
    done = tap.run(*arguments.split(), api_key=None, job_ids=[".."], max_attempts=0)
    assert done.status == 0
    document = json.loads(done.stdout)
    if arguments == "--discover":
        streams = [one["tap_stream_id"] for one in document["streams"]]
        assert streams == sorted(NAMES)
        return
    assert (document["name"], document["version"]) == ("tap-fullstory-imports", VERSION)
    capabilities = {"catalog", "discover", "state", "about", "batch", "stream-maps"}
    assert capabilities <= {*document["capabilities"]}
    assert "activate-version" not in document["capabilities"]


def test_an_unknown_option_is_a_usage_error():
    done = run(["--no-such-option"])
    assert done.status == 2
    assert done.stdout == b""
    assert "--no-such-option" in done.stderr


# --test


def test_the_connection_test_reads_one_record_of_each_stream(tap, api):
    failures = make_failures(3)
    api.add(Job("a", rows=make_events(300), failures=failures), Job("b"))
    done = tap.run("--test", job_ids=["a", "b"])
    assert done.status == 0
    assert [len(done.records(name)) for name in NAMES] == [1, 1, 1, 0, 0, 0]
    assert not any(done.completed(name) for name in NAMES)
    assert len(api.requests) == 3


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (Answer(401), 1, "401"),
        (Answer(403), 1, "403"),
        (Answer(404), 1, "404"),
        (Answer(202), 0, ""),  # shows that the key works
        (None, 0, ""),  # its first row is filtered, and the others are not looked at
    ],
)
def test_a_connection_test_fails_with_the_reason(tap, api, answer, status, words):
    script = dict.fromkeys(("imports", "errors", "status"), [answer] * 3)
    api.add(Job("a", rows=make_events(3), script=script))
    maps = {STREAM: {"__filter__": "event_index > 0"}}
    done = tap.run("--test", job_ids=["a"], stream_maps=maps)
    assert done.status == status
    assert words in "".join(done.errors[-1:])
    assert not done.completed()
    assert len(api.requests) <= 3


def test_the_schema_test_writes_schemas_and_asks_nothing(tap, api):
    done = tap.run("--test=schema", job_ids=["a"])
    assert done.status == 0
    assert [message["type"] for message in done.messages] == ["SCHEMA"] * len(NAMES)
    assert not api.requests


def test_tests_need_settings():
    for argument in ("--test", "--test=schema"):
        done = run([argument])
        assert done.status == 1
        assert done.stdout == b""
        assert "`api_key`" in done.errors[0]


# As a process


def test_the_tap_is_a_module_and_a_command(tap, api, tmp_path):
    """From any folder; the exit code reaches the shell."""
    api.add(Job("a", rows=make_events(3)))
    done = in_shell(*tap.arguments(job_ids=["a"]), cwd=tmp_path)
    assert done.status == 0
    assert len(done.records()) == 3
    command = Path(sys.executable).with_name("tap-fullstory-imports")
    line = [str(command), *tap.arguments(job_ids=["a", "missing"])]
    left = subprocess.run(  # noqa: S603 - the tap itself
        line, capture_output=True, check=False, timeout=60
    )
    assert left.returncode == 1
    assert left.stdout.count(b'"type":"RECORD"') == 3


def test_a_start_beside_jsonschema_2_says_in_a_sentence_what_to_do(tmp_path):
    """Some targets ask for that version."""
    old = tmp_path / "jsonschema"
    old.mkdir()
    (old / "__init__.py").write_text("__version__ = '2.6.0'\n")
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    done = in_shell("--version", cwd=tmp_path, PYTHONPATH=path)
    assert done.status == 1
    assert done.stdout == b""
    [sentence] = done.stderr.splitlines()
    for text in ("jsonschema", "target", "environment of its own"):
        assert text in sentence


LOG = (
    "tap-fullstory-imports can't set up its log: Unknown level: 'VERBOSE'. Check the"
    " variables TAP_FULLSTORY_IMPORTS_LOGLEVEL, LOGLEVEL and SINGER_SDK_LOG_CONFIG."
)
FULL = "stdout can't be written: No space left on device."


@pytest.mark.parametrize(
    ("arguments", "redirect", "variables", "sentence"),
    [
        (None, ">&-", {}, "stdout is closed: connect it to a target or a file."),
        (None, ">/dev/full", {}, FULL),
        ("--discover", ">/dev/full", {}, FULL),
        ("--about", ">/dev/full", {}, FULL),
        (
            "--version",
            "",
            {"LOGLEVEL": "verbose"},
            LOG,
        ),
    ],
)
def test_an_unusable_stdout_or_log_level_ends_the_tap_in_a_sentence(
    tap, api, arguments, redirect, variables, sentence
):
    api.add(Job("a", rows=make_events(3)))
    line = [arguments] if arguments else tap.arguments(job_ids="a")
    done = in_shell(*line, redirect=redirect, **variables)
    assert done.status == 1
    assert done.lines[-1] == sentence
    assert len(done.errors) == (not arguments)
    assert "Traceback" not in done.stderr


def test_a_closed_stderr_keeps_no_row_back(tap, api):
    """As some daemons start their programs."""
    api.add(Job("a", rows=make_events(3)))
    done = in_shell(*tap.arguments(job_ids="a"), redirect="2>&-")
    assert done.status == 0
    assert len(done.records()) == 3


@pytest.mark.parametrize(
    ("locale", "mark"), [("C", b""), ("en_US.ISO-8859-1", b"\xef\xbb\xbf")]
)
def test_files_are_utf_8_in_every_locale_with_and_without_a_byte_order_mark(
    tap, api, locale, mark
):
    """What a state has of another tap leaves as it came."""
    api.add(Job("größe", rows=make_events(2)))
    foreign = {"bookmarks": {"users": {"since": "größe"}}}
    line = tap.arguments(job_ids=["größe"], state=foreign)
    for path in line[1::2]:
        text = json.dumps(json.loads(Path(path).read_bytes()), ensure_ascii=False)
        Path(path).write_bytes(mark + text.encode())
    variables = {"LC_ALL": locale, "LANG": locale, "PYTHONCOERCECLOCALE": "0"}
    done = in_shell(*line, python=["-X", "utf8=0"], **variables)
    assert done.status == 0, done.stderr
    assert done.completed() == {"größe"}
    assert done.state["bookmarks"]["users"] == foreign["bookmarks"]["users"]


def test_records_are_written_after_a_second_while_the_next_page_hangs(tap, api):
    """The buffer is not full, and STATE follows only at the end of the job."""
    script = {"imports:1": [Answer(hang=True)]}
    api.add(Job("a", rows=make_events(3), page_size=2, script=script))
    process = tap.start(job_ids="a", request_timeout=60, speed=1)
    head = b""
    while head.count(b'"RECORD"') < 2:
        head += os.read(process.out.fileno(), 65_536)
    assert b'"STATE"' not in head
    process.terminate()
    assert process.collect(head).status == 143


# --catalog and --state


def catalog_of(*path, selected=True, **stream):
    catalog = json.loads(run(["--discover"]).stdout)
    [found] = [one for one in catalog["streams"] if one["tap_stream_id"] == STREAM]
    breadcrumb = [step for name in path for step in ("properties", name)]
    [entry] = [one for one in found["metadata"] if one["breadcrumb"] == breadcrumb]
    entry["metadata"]["selected"] = selected
    return {"streams": [{**found, **stream}]}


def test_a_discovered_catalog_changes_nothing(tap, api):
    """Same schema, same records, same state, also beside another tap's stream."""
    api.add(Job("a", rows=[EXAMPLE_EVENT, {"name": "x", "new": {"a": 1}}]))
    plain = tap.run(job_ids=["a"])
    catalog = catalog_of()
    [stream] = catalog["streams"]
    other = {**stream, "tap_stream_id": "users", "stream": "users"}
    done = tap.run(job_ids=["a"], catalog={"streams": [other, stream]})
    assert done.status == 0
    assert done.of_type("SCHEMA") == plain.of_type("SCHEMA")
    assert done.records() == plain.records()
    assert done.state == plain.state == state_of("a")
    assert not done.warnings


def test_deselected_fields_are_not_in_the_schema(tap, api):
    """What leaves of a row is in the table of `test_values`."""
    api.add(Job("a", rows=[EXAMPLE_EVENT]))
    for path in (("user",), ("context", "location", "ip_address")):
        done = tap.run(job_ids=["a"], catalog=catalog_of(*path, selected=False))
        [schema] = done.of_type("SCHEMA")
        fields = schema["schema"]["properties"]
        for step in path[:-1]:
            fields = fields[step]["properties"]
        assert path[-1] not in fields


@pytest.mark.parametrize(
    "changes",
    [
        {"key_properties": ["job_id"]},
        {"key_properties": [], "replication_key": "timestamp"},
        {
            "schema": {},
            "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}],
        },
        {"schema": {"properties": {"name": {"type": "integer"}, "user": {}}}},
        {"schema": {"type": "string", "properties": {"job_id": {"type": "object"}}}},
        {"stream": "renamed", "stream_alias": "renamed"},
        {"schema": {}, "metadata": []},
        {"metadata": [{"breadcrumb": ["properties", "name"], "metadata": {}}]},
    ],
)
def test_names_keys_and_columns_are_the_taps_own_whatever_a_catalog_says(
    tap, api, changes
):
    api.add(Job("a", rows=make_events(2)))
    plain = tap.run(job_ids=["a"], flattening_max_depth=2)
    catalog = catalog_of(**changes)
    done = tap.run(job_ids=["a"], flattening_max_depth=2, catalog=catalog)
    assert done.status == 0, done.stderr
    assert done.of_type("SCHEMA") == plain.of_type("SCHEMA")
    assert done.records() == plain.records()
    assert "latten" not in done.stderr


def test_a_catalog_can_add_columns(tap, api):
    """As the extra `schema` of Meltano does, so that flattening and `select` work."""
    free = {"plan": "x", "phone": 1, "other": 2}
    api.add(Job("a", rows=[{"properties": free, "new": 2}]))
    catalog = catalog_of()
    [stream] = catalog["streams"]
    plan, phone = {"type": ["string", "null"]}, {"type": ["integer", "null"]}
    free = {"properties": {"plan": plan, "phone": phone}}
    stream["schema"] = {"properties": {"properties": free, "new": phone}}
    place = ["properties", "properties", "properties", "phone"]
    out = {"breadcrumb": place, "metadata": {"selected": False}}
    stream["metadata"].append(out)
    done = tap.run(
        job_ids=["a"], catalog=catalog, flattening_enabled=True, flattening_max_depth=1
    )
    fields = done.of_type("SCHEMA")[0]["schema"]["properties"]
    assert fields["properties__plan"] == plan
    assert fields["new"] == phone
    [record] = done.records()
    assert "properties__phone" not in {*fields, *record}
    assert record["properties__plan"] == "x"
    assert record["properties__other"] == 2


@pytest.mark.parametrize(
    ("jobs", "warning"),
    [
        ({"user_job_ids": ["u", "v"]}, "no stream of users. Not read: 2 jobs."),
        ({"job_ids": ["a"]}, "no stream of events. Not read: 1 job."),
    ],
)
def test_jobs_that_no_selected_stream_reads_get_one_warning(tap, api, jobs, warning):
    api.add(Job("a"), Job("u", kind="users"), Job("v", kind="users"))
    tap.streams = ("import_errors",) if "user_job_ids" in jobs else ("imported_users",)
    done = tap.run(**{"job_ids": ["a"], "user_job_ids": ["u"], **jobs})
    assert done.status == 0
    assert done.warnings == [f"The catalog selects {warning}"]


@pytest.mark.parametrize("key", ["job_id", "event_index"])
def test_the_key_cannot_be_deselected(tap, api, key):
    api.add(Job("a", rows=make_events(2)))
    done = tap.run(job_ids=["a"], catalog=catalog_of(key, selected=False))
    assert done.status == 0
    assert all(key in record for record in done.records())
    assert key in done.of_type("SCHEMA")[0]["schema"]["properties"]


@pytest.mark.parametrize("place", ["replication_method", "metadata"])
def test_a_catalog_of_full_tables_is_still_read_incrementally(tap, api, place):
    """With a warning, and no message that would make a target delete rows."""
    api.add(Job("a", rows=make_events(2)), Job("b", rows=make_events(3)))
    catalog = catalog_of(replication_method="FULL_TABLE")
    if place == "metadata":
        catalog = catalog_of()
        for entry in catalog["streams"][0]["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"]["replication-method"] = "FULL_TABLE"
                entry["metadata"]["forced-replication-method"] = "FULL_TABLE"
    done = tap.run(job_ids=["a", "b"], state=state_of("a"), catalog=catalog)
    assert done.status == 0
    assert {record["job_id"] for record in done.records()} == {"b"}
    assert done.completed() == {"a", "b"}
    kinds = {message["type"] for message in done.messages}
    assert kinds == {"SCHEMA", "RECORD", "STATE"}
    assert all("version" not in message for message in done.messages)
    if place == "replication_method":
        [warning] = done.warnings
        assert "FULL_TABLE" in warning


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "null", "5", '"text"', b"\xff\xfe", '{"streams": 5}'),
        *('{"streams": [5]}', '{"streams": [{}]}'),
        f'{{"streams": [{{"tap_stream_id": "{STREAM}", "schema": 5}}]}}',
        f'{{"streams": [{{"tap_stream_id": "{STREAM}", "metadata": 5}}]}}',
        f'{{"streams": [{{"tap_stream_id": "{STREAM}", "metadata": [5]}}]}}',
        pytest.param("[" * 100_000, id="nested deeply"),
        pytest.param('{"streams":' * 10_000 + "1" + "}" * 10_000, id="deep objects"),
        pytest.param('{"streams": [{"stream": ' + "9" * 5_000 + "}]}", id="digits"),
        {"streams": []},
        {"streams": [{"tap_stream_id": "users", "stream": "users", "schema": {}}]},
        pytest.param(harness.selecting(), id="selects no stream"),
    ],
    ids=repr,
)
def test_catalog_that_selects_nothing_is_refused(tap, api, content):
    """The sentence names the option, and what has been saved is not erased."""
    path = tap.write("broken.json", content)
    done = tap.run("--catalog", str(path), job_ids=["a"], state=state_of("a"))
    assert_refused(done, "`--catalog`")
    assert not api.requests


@pytest.mark.parametrize("option", ["--catalog", "--state"])
def test_a_file_that_does_not_exist_is_an_error_in_words(option):
    """A mistyped path must not mean that all is read again."""
    done = run([option, "/no/such/file"])
    assert done.status != 0
    assert done.stdout == b""
    assert option in done.stderr
    assert "/no/such/file" in done.stderr


# Stream maps and flattening

MAPS: dict[str, tuple[dict[str, Any], str]] = {
    "its name": ({STREAM: {"more": "name"}}, STREAM),
    "a pattern": ({"*_events": {"more": "name"}}, STREAM),
    "beside the key for all others": (
        {STREAM: {"more": "name"}, "__else__": None},
        STREAM,
    ),
    "a source": ({"mine": {"__source__": STREAM, "more": "name"}}, "mine"),
    "an alias": ({STREAM: {"__alias__": "mine", "more": "name"}}, "mine"),
}


@pytest.mark.parametrize(("maps", "name"), MAPS.values(), ids=MAPS)
def test_stream_map_that_names_a_stream_in_any_way_is_applied(tap, api, maps, name):
    """The state keeps the stream's own name."""
    api.add(Job("a", rows=make_events(2)))
    done = tap.run(job_ids=["a"], stream_maps=maps)
    assert done.status == 0
    rows = done.records(name)
    assert [row["more"] for row in rows] == [row["name"] for row in make_events(2)]
    schemas = {one["stream"]: one["schema"] for one in done.of_type("SCHEMA")}
    assert "more" in schemas[name]["properties"]
    assert done.state == state_of("a")


@pytest.mark.parametrize(
    ("maps", "name"),
    [
        ({"import_event": {"user": None}}, "import_event"),
        ({STREAM: {"user": None}, "Import_Errors": {}}, "Import_Errors"),
        ({"users_*": {"user": None}, "__else__": None}, "users_*"),
        ({"mine": {"__source__": "imported_event"}}, "imported_event"),
    ],
)
def test_stream_map_that_names_no_stream_is_refused_by_name(tap, api, maps, name):
    """Or all rows would leave unmapped."""
    done = tap.run(job_ids=["a"], stream_maps=maps)
    assert_refused(done, "`stream_maps`", name)
    assert not api.requests


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_flattening_makes_columns_of_nested_fields(tap, api, depth):
    """Numbers keep their digits."""
    api.add(Job("a", rows=[EXAMPLE_EVENT]))
    done = tap.run(job_ids=["a"], flattening_enabled=True, flattening_max_depth=depth)
    assert done.status == 0
    [record] = done.records()
    assert (record["job_id"], record["event_index"]) == ("a", 0)
    latitude = EXAMPLE_EVENT["context"]["location"]["latitude"]
    found = {
        0: lambda: record["context"]["location"]["latitude"],
        1: lambda: json.loads(record["context__location"])["latitude"],
        3: lambda: record["context__location__latitude"],
    }[depth]()
    assert str(found) == str(latitude)
    free = {f"properties__{name}" for name in EXAMPLE_EVENT["properties"]}
    [schema] = done.of_type("SCHEMA")
    assert {*record} <= {*schema["schema"]["properties"]} | free
