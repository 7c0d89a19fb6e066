"""Values leave as they came, on every path that a row can take.

Untouched rows stay JSON byte by byte. Maps and flattening decode and encode a row, with
every digit. NUL and unpaired surrogates, which no database stores, become U+FFFD.
"""

from __future__ import annotations

import gzip
import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

import pytest
from jsonschema import Draft202012Validator

from tests.harness import selecting
from tests.stand_in import Answer, Job, make_events

STREAM = "imported_events"
HUGE = "1e1000000000000000000"  # no Decimal holds it
NUMBERS = [
    *("0", "-0", "1", "-1", "9007199254740993", "-9223372036854775809", "1" * 4_299),
    *("18446744073709551616", "1" + "0" * 100, "1" * 4_301, "-" + "9" * 20_000),
    *("0.1", "-0.0", "1.0", "1.50", "0.30000000000000004", "0." + "123456789" * 200),
    *("12345678901234567890.123456789012345678901234567890", "0." + "0" * 50 + "1"),
    *("1e3", "1E3", "1e+3", "1.0e-7", "1e400", "-1e400", "1e-400", "5e-324", "0e7"),
    *(HUGE, f"-{HUGE}", "-1.50E+99999999999999999999", "2e-1000000000000000000"),
    "0e1000000000000000000",
]
TEXTS = [
    *('""', '"🧢 👩‍👩‍👧‍👦 🇪🇺"', '"\\ud83e\\udde2"', '"a\\ud800b"', '"\\udfff"'),
    *('"\\udde2\\ud83e"', '"a\\u0000b"', '"\\\\u0000 \\\\\\u0000 \\\\\\\\ud800"'),
    *('"\\uD83D\\uDE00\\uD83D\\u0041\\uDE00\\uD7FF\\uE000"', '"\\ud83d\\ud83d\\ude00"'),
    *('"\\u0001\\b\\f\\n\\r\\t\\u001f\\u007f\\u0085"', '"a\\u2028b\\u2029c"'),
    *('"a\u2028b\u2029c\u0085"', '"\\"\\\\\\/</script>"', '"\ufeffa\ufeff"'),
    *('"\\uffff\\ufffe\U0010ffff"', '"e\u0301\u00e9\u202e"', '"  a  "'),
    *('"{\\"a\\": 1}"', '"0012"', '"null"', f'"{"ü" * 300_000}"'),
]
OTHERS = [
    *("null", "true", "false", "[]", "{}", "[null,{},[]]", '{"a":\r1}'),
    *('{"a":1,"a":{"b":2,"b":3}}', '{"a":\n1,\r"b":\r\n[\n\t"\\n" ]\r}'),
    *('{"na\\u0000me":null}', "[" * 400 + "]" * 400, '{"a":' * 400 + "1" + "}" * 400),
]
OTHER_TYPES = [
    *("5", "-1.50", "1e400", "true", '"me"', '""', '"{}"', "[]", "null"),
    *('[{"name":"x"},null,1.0]', "{}", '{"deep":[1.10]}'),
]
COLUMNS = {
    **dict.fromkeys(("user", "session", "context", "properties", "schema"), "object"),
    "name": "string",
}
FAILURE_COLUMNS = {"message": "string", "code": "string", "event": "object"}
FAILURE_COLUMNS["shared"] = "object"


def select(choices, *streams):
    catalog = selecting(*(streams or [STREAM]))
    for stream in catalog["streams"]:
        known = {tuple(one["breadcrumb"]): one for one in stream["metadata"]}
        for path, is_selected in choices.items():
            place = tuple(
                part for name in path.split(".") for part in ("properties", name)
            )
            if place not in known:
                known[place] = {"breadcrumb": [*place], "metadata": {}}
                stream["metadata"].append(known[place])
            known[place]["metadata"]["selected"] = is_selected
    return catalog


PATHS = {
    "untouched": lambda _: {},
    "split": lambda _: {"catalog": select({"properties.gone": False, "schema": False})},
    "mapped": lambda _: {"stream_maps": {STREAM: {"more": "job_id"}}},
    "flattened": lambda _: {"flattening_enabled": True, "flattening_max_depth": 1},
    "BATCH": lambda folder: {
        "batch_config": {
            "encoding": {"format": "jsonl", "compression": "gzip"},
            "storage": {"root": folder.as_uri()},
            "batch_size": 7,
        }
    },
}
DECODED = "mapped", "flattened"


def exactly(text):
    def number(digits):
        return "number", digits

    return json.loads(text, parse_int=number, parse_float=number)


def digitwise(text):
    def number(digits):
        try:
            return "number", Decimal("0" if digits == "-0" else digits).as_tuple()
        except InvalidOperation:
            return digits

    return json.loads(text, parse_int=number, parse_float=number)


def decoder(path):
    return digitwise if path in DECODED else exactly


def storable(value):
    if isinstance(value, str):
        whole = value.encode("utf-16", "surrogatepass")
        text = whole.decode("utf-16", "surrogatepass")
        return re.sub("[\0\ud800-\udfff]", "\ufffd", text)
    if isinstance(value, list):
        return [storable(one) for one in value]
    if isinstance(value, dict):
        return {storable(name): storable(one) for name, one in value.items()}
    return value


def records(run, decode=exactly):
    found = []
    for line in run.stdout.split(b"\n")[:-1]:
        message = decode(line)
        if message["type"] == "RECORD":
            found.append(message["record"])
        for uri in message.get("manifest", []):
            with gzip.open(urlsplit(uri).path) as file:
                found += map(decode, file)
    return found


def conformed(row, columns):
    changed = dict(row)
    for name in columns.keys() & row.keys():
        value, kind = row[name], columns[name]
        if kind == "object" and not isinstance(value, dict | None):
            changed[name] = {"value": value}
        elif kind == "string" and not isinstance(value, str | None):
            changed[name] = ("JSON", value)
    return changed


def texts_decoded(record, row, columns, decode=exactly):
    changed = dict(record)
    for name, kind in columns.items():
        if kind == "string" and not isinstance(row.get(name), str | None):
            changed[name] = ("JSON", decode(record[name]))
    return changed


# One value, at three depths


@pytest.mark.parametrize("path", PATHS)
def test_every_value_leaves_as_it_came(tap, api, path):
    values = [*NUMBERS, *TEXTS, *OTHERS]
    rows = [
        f'{{"new":{value},"context":{{"location":{{"latitude":{value}}}}},'
        f'"properties":{{"gone":1,"v":{value},"list":[{value},{{"n":{value}}}]}}}}'
        for value in values
    ]
    api.add(Job("a", pages=[f"[{row}]" for row in rows], total=len(rows)))

    run = tap.run(job_ids=["a"], **PATHS[path](tap.path))

    assert run.status == 0, run.stderr
    decode = decoder(path)
    found = records(run, decode)
    assert len(found) == len(rows)
    for value, record in zip(values, found, strict=True):
        expected = storable(decode(value))
        properties = record["properties"]
        if path == "flattened":
            properties = decode(properties)
            assert decode(record["context__location"]) == {"latitude": expected}
            if not isinstance(expected, dict | list):
                assert record["new"] == expected
        elif path == "split":  # part of the row is deselected: nothing unknown leaves
            assert "new" not in record
            assert "gone" not in properties
            assert record["context"] == {"location": {"latitude": expected}}
        else:
            assert record["new"] == expected
            assert record["context"] == {"location": {"latitude": expected}}
        del record, properties["list"][1:]
        assert properties["v"] == properties["list"][0] == expected, value[:80]
    unstorable = [line for line in run.warnings if "U+FFFD" in line]
    assert len(unstorable) == 1
    assert b"Raw" not in run.stdout


@pytest.mark.parametrize("form", ["\\u%04x ", "\\u%04X "])
def test_every_lone_surrogate_is_replaced(tap, api, form):
    """From the first to the last one, in small and in capital digits."""
    text = "".join(form % code for code in range(0xD800, 0xE000))
    api.add(Job("a", pages=[f'[{{"name":"{text}"}}]'], total=1))
    run = tap.run(job_ids=["a"])
    assert run.records()[0]["name"] == "\ufffd " * 2048
    assert run.about("a")[0].startswith("Job a: 2,048 characters that no database")


def test_replaced_characters_are_counted_in_the_last_reading(tap, api):
    rows = [{"name": "\0"}, {"name": "x"}]
    changes = {"imports": [None, Answer(202)]}
    api.add(Job("a", rows=rows, page_size=1, script=changes))
    run = tap.run(job_ids=["a"])
    assert run.places("a") == [0, 0, 1]
    [warning] = run.warnings
    assert warning.startswith(f"{STREAM}: Job a: 1 character that no database")


# Rows and their schema


@pytest.mark.parametrize("path", ["untouched", "mapped"])
def test_columns_have_their_types_whatever_comes(tap, api, path):
    streams = {STREAM: COLUMNS, "import_errors": FAILURE_COLUMNS}
    sent = {
        name: [
            f'{{"{column}":{value},"new":{value}}}'
            for value in OTHER_TYPES
            for column in (*columns, "timestamp")
        ]
        for name, columns in streams.items()
    }
    bodies = [
        f'{{"results":[{",".join(rows)}],"total_records":"{len(rows)}"}}'
        for rows in sent.values()
    ]
    imported, failed = (Answer(body=body) for body in bodies)
    api.add(
        Job(
            "a",
            errors=len(sent["import_errors"]),
            script={"imports": [imported], "errors": [failed]},
        )
    )

    run = tap.run(job_ids=["a"], catalog=selecting(*streams), **PATHS[path](tap.path))

    assert run.status == 0, run.stderr
    for schema in run.of_type("SCHEMA"):
        validator = Draft202012Validator(
            schema["schema"], format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        for record in run.records(schema["stream"]):
            validator.validate(record)
    for name, columns in streams.items():
        lines = [
            line
            for line in run.stdout.split(b"\n")
            if b'"RECORD","stream":"%b"' % name.encode() in line
        ]
        for text, line in zip(sent[name], lines, strict=True):
            row, record = digitwise(text), digitwise(line)["record"]
            whole = texts_decoded(record, row, columns, digitwise)
            for column in row.keys() - ({"timestamp"} if name == STREAM else set()):
                assert whole[column] == conformed(row, columns)[column]


def test_values_inside_of_objects_and_fields_like_the_key(tap, api):
    """A loader keeps an object as JSON; a row can't change its key."""
    row = (
        '{"user":{"id":1},"context":{"device":{"screen_width":"1920"},"browser":[]},'
        '"properties":{"value":[]},"job_id":"other","event_index":"7"}'
    )
    api.add(Job("a", pages=[f"[{row},{row}]"], total=2))
    for index, record in enumerate(records(tap.run(job_ids=["a"]))):
        key = {"job_id": "a", "event_index": ("number", str(index))}
        assert record == {**exactly(row), **key, "timestamp": None}


# What a catalog leaves out

USER = {"uid": "u", "id": "i", "new": 1}
PLACE = {"city": "c", "country": "k", "postal_code": "p"}
SENT: dict[str, Any] = {
    "name": "x",
    "user": USER,
    "context": {"location": PLACE, "browser": {"url": "u"}, "new": 2},
    "properties": {"phone": 1, "a": {"phone": 2, "b": 3}, "c": [{"phone": 4}]},
    "new": 3,
}
TOP = dict.fromkeys(
    ("name", "timestamp", "user", "session", "context", "properties", "schema"), False
)
SELECTIONS: dict[str, Any] = {
    "everything": ({}, SENT),
    "a child of a free object": (
        {"properties.phone": False},
        {**SENT, "properties": {"a": {"phone": 2, "b": 3}, "c": [{"phone": 4}]}},
    ),
    "a grandchild of a free object": (
        {"properties.a.phone": False},
        {**SENT, "properties": {**SENT["properties"], "a": {"b": 3}}},
    ),
    "a declared child takes unknown ones with it": (
        {"context.location.city": False},
        {
            **SENT,
            "context": {"location": {"country": "k"}, "browser": {"url": "u"}},
        },
    ),
    "a whole object": ({"context": False}, {**SENT, "context": ...}),
    "an object and all that is in it": (
        {"user": False, "user.uid": True},
        {**SENT, "user": ...},
    ),
    "a list of what may leave": (
        {**TOP, "user": True, "user.uid": True, "user.id": False},
        {"user": {"uid": "u"}},
    ),
    "an object alone": (
        {**TOP, "user": True, "user.uid": False, "user.id": False},
        {"user": USER},
    ),
}


@pytest.mark.parametrize("path", ["untouched", "mapped"])
@pytest.mark.parametrize(("choices", "left"), SELECTIONS.values(), ids=SELECTIONS)
def test_what_is_deselected_stays_here(tap, api, path, choices, left):
    """Unknown fields too, unless everything declared beside them is selected."""
    api.add(Job("a", rows=[SENT]))
    run = tap.run(job_ids=["a"], catalog=select(choices), **PATHS[path](tap.path))
    assert run.status == 0, run.stderr
    [record] = records(run, json.loads)
    for name in ("job_id", "event_index", "timestamp", "more"):
        record.pop(name, None)
    left = {name: value for name, value in left.items() if value is not ...}
    if choices:
        left.pop("new", None)
    assert record == left


# Depth


def nested(depth, marks):
    open_, close = marks
    deep = f"{open_ * depth}1{close * depth}"
    return f'{{"name":"x","properties":{{"deep":{deep}}}}}'


@pytest.mark.parametrize("marks", [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("path", PATHS)
def test_deep_row_leaves_as_it_came_or_fails_its_job(tap, api, marks, path):
    depths = [100, 500, 800, 900, *range(940, 1_000, 9), 2_000, 1_000_000]
    rows = {str(depth): nested(depth, marks) for depth in depths}
    api.add(
        *(Job(name, pages=[f"[{row}]"], total=1) for name, row in rows.items()),
        Job("last", rows=make_events(1)),
    )

    run = tap.run(job_ids=[*rows, "last"], max_attempts=1, **PATHS[path](tap.path))

    state = json.loads(run.stdout.splitlines()[-1])["value"]  # the rest may be too deep
    finished = {*state["bookmarks"][STREAM]["completed_jobs"]}
    failed = rows.keys() - finished
    assert "last" in finished
    assert "1000000" in failed  # Python 3.14 reads 100,000 levels
    assert "100" in finished
    assert len(run.errors) >= 1
    assert all("nested too deeply to be" in line for line in run.errors)
    if path == "untouched":
        assert "900" in finished
        for name in finished - {"last"}:
            assert rows[name][:-1].encode() in run.stdout
        for name in failed:
            assert f'"job_id":"{name}"'.encode() not in run.stdout
