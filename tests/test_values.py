"""Values are passed through unchanged: numbers, texts, unknown fields, at any depth."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.harness import selecting
from tests.stand_in import EXAMPLE_EVENT, Answer, Job, make_events

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

KEY = {"job_id": "a", "event_index": 0}
NUMBERS = [
    "0",
    "1",
    "-1",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "-18446744073709551617",
    "1" + "0" * 100,
    "1" * 4_299,
    "1" * 4_301,
    "-" + "9" * 20_000,
    "0.1",
    "-0.0",
    "1.0",
    "1.50",
    "0.30000000000000004",
    "3.14159265358979323846264338327950288419716939937510",
    "12345678901234567890.123456789012345678901234567890",
    "0." + "0" * 50 + "1",
    "0." + "123456789" * 200,
    "1e3",
    "1E3",
    "1e+3",
    "1.0e-7",
    "1e400",
    "-1e400",
    "1e-400",
    "2.5E-1000",
    "1e308",
    "5e-324",
]
TEXTS = {
    "empty": '""',
    "emoji": '"🧢 👩‍👩‍👧‍👦 🇪🇺"',
    "escaped emoji": '"\\ud83e\\udde2"',
    "lone high surrogate": '"a\\ud800b"',
    "lone low surrogate": '"\\udfff"',
    "surrogates in the wrong order": '"\\udde2\\ud83e"',
    "NUL": '"a\\u0000b"',
    "control characters": '"\\u0001\\b\\f\\n\\r\\t\\u001f\\u007f\\u0085"',
    "line separators": '"a\\u2028b\\u2029c"',
    "raw line separators": '"a\u2028b\u2029c\u0085"',
    "quotes and slashes": '"\\"\\\\\\/</script>"',
    "byte order mark": '"\ufeffa\ufeff"',
    "not a character": '"\\uffff\\ufffe\U0010ffff"',
    "combining": '"e\u0301\u00e9"',
    "right to left": '"\u202eabc"',
    "looks like JSON": '"{\\"a\\": 1}"',
    "looks like a number": '"0012"',
    "looks like null": '"null"',
    "spaces": '"  a  "',
    "very long": f'"{"ü" * 3_000_000}"',
}


PATHS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mapped": {"stream_maps": {"imported_events": {"extra": "'x'"}}},
}


def exactly(text: str | bytes) -> Any:
    """Decode JSON so that equal means the same digits: numbers stay texts."""
    return json.loads(
        text,
        parse_int=lambda digits: ("number", Decimal(digits).as_tuple()),
        parse_float=lambda digits: ("number", Decimal(digits).as_tuple()),
    )


def records(run: Run) -> list[dict[str, Any]]:
    """The records of a run, decoded exactly."""
    messages = [exactly(line) for line in run.stdout.split(b"\n")[:-1]]
    return [message["record"] for message in messages if message["type"] == "RECORD"]


def read(
    tap: Folder, api: StandIn, *rows: str, on_pages: bool = False, **settings: Any
) -> list[dict[str, Any]]:
    """The records, decoded exactly, of a job with these rows, or pages of one row."""
    pages = rows if on_pages else (",".join(rows),)
    raw_pages = [f"[{page}]".encode() for page in pages]
    api.add(Job("a", raw_pages=[*raw_pages], total=len(rows)))
    run = tap.run(job_ids=["a"], **settings)
    assert run.status == 0, run.stderr
    return records(run)


def record_of(row: str, index: int = 0) -> Any:
    """What should become of a row without a timestamp, decoded exactly."""
    number = ("number", Decimal(index).as_tuple())
    return {
        **exactly(row),
        "timestamp": None,
        "job_id": "a",
        "event_index": number,
    }


# The documented example


def test_every_value_of_the_documented_example_comes_out_unchanged(
    tap: Folder, api: StandIn
) -> None:
    """Beside them stand the job and the event's place in it, and nothing else."""
    api.add(Job("a", rows=[EXAMPLE_EVENT]))
    run = tap.run(job_ids=["a"], include_schema=True)
    assert run.status == 0
    raw = [line for line in run.stdout.splitlines() if b'"RECORD"' in line]
    [message] = map(json.loads, raw)
    assert message["record"] == {**EXAMPLE_EVENT, **KEY}


def test_catalog_has_exactly_the_fields_of_the_example(tap: Folder) -> None:
    """And every field of the catalog in the example: neither has gaps."""
    schema = next(
        message["schema"]
        for message in tap.run("--test=schema", job_ids=["a"]).of_type("SCHEMA")
        if message["stream"] == "imported_events"
    )

    def paths(value: Any, path: str = "") -> set[str]:
        if not isinstance(value, dict) or path in {"/properties", "/schema"}:
            return {path}
        return {deep for key in value for deep in paths(value[key], f"{path}/{key}")}

    def described(schema: dict[str, Any], path: str = "") -> set[str]:
        fields = schema.get("properties")
        if not fields:
            return {path}
        return {
            deep for key in fields for deep in described(fields[key], f"{path}/{key}")
        }

    assert described(schema) == paths({**EXAMPLE_EVENT, **KEY})


def test_records_are_valid_against_the_schema_that_went_before(
    tap: Folder, api: StandIn
) -> None:
    """Of jobs of several pages, with all optional fields present or missing."""
    sparse: list[dict[str, Any]] = [
        {"name": "x"},
        {"name": "x", "context": {}},
        EXAMPLE_EVENT,
    ]
    api.add(
        Job("a", rows=make_events(250)),
        Job("b", rows=[*sparse, {"name": "x", "properties": None, "user": None}]),
    )
    run = tap.run(job_ids=["a", "b"], include_schema=True)
    assert run.status == 0
    [schema] = run.of_type("SCHEMA")
    assert run.messages[0] is schema
    assert schema["key_properties"] == ["job_id", "event_index"]
    Draft202012Validator.check_schema(schema["schema"])
    validator = Draft202012Validator(
        schema["schema"], format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    lines = run.stdout.splitlines()
    plain = [json.loads(line) for line in lines if b'"type":"RECORD"' in line]
    assert len(plain) == 254
    for message in plain:
        validator.validate(message["record"])


# Numbers


def test_numbers_keep_every_digit(tap: Folder, api: StandIn) -> None:
    """In a declared field, in the payload, in an unknown field."""
    rows = [
        f'{{"name":"x","context":{{"location":{{"latitude":{number}}}}},'
        f'"properties":{{"n":{number},"list":[{number},{{"n":{number}}}]}},'
        f'"new":{number}}}'
        for number in NUMBERS
    ]
    found = read(tap, api, *rows, on_pages=True)
    for index, row in enumerate(rows):
        assert found[index] == record_of(row, index)


@pytest.mark.parametrize("path", PATHS)
def test_all_numbers_of_one_page_keep_their_digits(
    tap: Folder, api: StandIn, path: str
) -> None:
    """One that the fast decoder refuses does not spoil the others."""
    row = f'{{"properties":{{"all":[{",".join(NUMBERS)}]}}}}'
    [record] = read(tap, api, row, **PATHS[path])
    assert record["properties"] == exactly(row)["properties"]


def test_truth_values_and_null_stay_what_they_are(tap: Folder, api: StandIn) -> None:
    """No 0, no 1, no empty text."""
    row = '{"properties":{"a":true,"b":false,"c":null,"d":[],"e":{},"f":[null,{}]}}'
    assert read(tap, api, row) == [record_of(row)]


def test_explicit_nulls_stay(tap: Folder, api: StandIn) -> None:
    """At the root and below it, in known fields and others."""
    row = (
        '{"name":null,"user":null,"session":{"id":null},"properties":null,"schema":null'
        ',"context":{"browser":null,"new":null},"new":null}'
    )
    assert read(tap, api, row) == [record_of(row)]


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity_never_reach_a_target(
    tap: Folder, api: StandIn, word: str
) -> None:
    """Python's encoder may write it, a target's decoder would stop at it."""
    row = f'{{"name":"x","properties":{{"n":{word},"m":1}}}}'
    api.add(Job("a", raw_pages=[f"[{row}]"]))
    run = tap.run(job_ids=["a"], max_attempts=2)
    assert word.encode() not in run.stdout
    if run.status == 0:
        assert records(run) == [record_of(row.replace(word, "null"))]
    else:
        assert run.completed() == {}


@pytest.mark.parametrize("number", ["1e1000000000000000000", "-1e1000000000000000000"])
def test_number_beyond_all_bounds_leaves_as_it_came(
    tap: Folder, api: StandIn, number: str
) -> None:
    """Nothing need read it, and the other columns get their types all the same."""
    row = f'{{"name":5,"new":{number},"properties":{{"n":{number}}}}}'
    api.add(Job("a", raw_pages=[f"[{row}]"]))
    run = tap.run(job_ids=["a"])
    assert run.status == 0, run.stderr
    left = row.replace('"name":5', '"name":"5"')
    assert left[:-1].encode() in run.stdout


# Texts


@pytest.mark.slow
def test_texts_leave_as_they_came(tap: Folder, api: StandIn) -> None:
    """As values of declared and unknown fields, and most of them as names of fields."""
    rows = []
    for text in TEXTS.values():
        name = text if len(text) < 1_000 else '"x"'
        rows.append(
            f'{{"name":{text},"user":{{"id":{text}}},"new":{text},'
            f'"properties":{{{name}:{text},"list":[{text}]}}}}'
        )
    found = read(tap, api, *rows, on_pages=True)
    for index, row in enumerate(rows):
        assert found[index] == record_of(row, index)


def test_page_with_a_byte_order_mark_is_read(tap: Folder, api: StandIn) -> None:
    """The standard library reads it where a fast decoder refuses."""
    body = b'\xef\xbb\xbf{"results":[{"name":"x"}],"total_records":"1"}'
    api.add(Job("a", script={"imports": [Answer(body=body)]}))
    run = tap.run(job_ids=["a"])
    assert run.status == 0
    assert len(api.requests) == 1
    assert records(run) == [record_of('{"name":"x"}')]


def test_last_of_duplicate_fields_stays(tap: Folder, api: StandIn) -> None:
    """As every decoder of JSON has it, the fast and the slow one alike."""
    row = '{"name":"first","name":"last","properties":{"a":1,"a":2}}'
    slow = '{"name":"first","name":"last","properties":{"a":1,"a":2,"t":"\\ud800"}}'
    found = read(tap, api, row)
    assert found == [record_of('{"name":"last","properties":{"a":2}}')]
    assert read(tap, api, slow) == [record_of(slow)]


# Depth


def nested(depth: int, open_: str, close: str) -> str:
    """A row that is nested so deeply."""
    return f'{{"name":"x","properties":{{"deep":{open_ * depth}1{close * depth}}}}}'


@pytest.mark.parametrize("depth", [10, 100, 500])
@pytest.mark.parametrize("marks", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_nested_values_leave_as_they_came(
    tap: Folder, api: StandIn, depth: int, marks: tuple[str, str]
) -> None:
    """Far deeper than anybody nests."""
    if len(marks[1]) > 1:
        depth //= 2
    row = nested(depth, *marks)
    api.add(Job("a", raw_pages=[f'[{row},{{"name":"next"}}]']))
    run = tap.run(job_ids=["a"])
    assert run.status == 0, run.stderr
    assert row.encode()[:-1] in run.stdout
    assert run.stdout.splitlines()[-1].endswith(b'{"a":2}}}}}')


def deepest(open_: str, close: str) -> int:
    """How deep a page may be for the standard library to read it."""

    def is_read(depth: int) -> bool:
        try:
            json.loads(f'{{"results":[{nested(depth, open_, close)}]}}')
        except RecursionError:
            return False
        return True

    low, high = 1, 200_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_read(middle) else (low, middle)
    return low


@pytest.mark.parametrize("marks", [("[", "]"), ('{"a":', "}")])
def test_deepest_readable_row_leaves_unchanged(
    tap: Folder, api: StandIn, marks: tuple[str, str]
) -> None:
    """Here, with the test's own frames below it, so that there is room to spare."""
    row = nested(deepest(*marks), *marks)
    api.add(Job("a", raw_pages=[f"[{row}]"]), Job("b", rows=make_events(1)))
    run = tap.run(job_ids=["a", "b"])
    assert run.status == 0, run.stderr[-2_000:]
    assert row.encode()[:-1] in run.stdout
    assert run.stdout.splitlines()[-1].endswith(b'{"a":1,"b":1}}}}}')


def test_deep_list_in_a_column_of_texts_becomes_its_json(
    tap: Folder, api: StandIn
) -> None:
    """As deep as a page can be read, though less of the stack is left for writing."""
    texts = {str(depth): "[" * depth + "]" * depth for depth in range(850, 1_000, 5)}
    for job_id, text in texts.items():
        api.add(Job(job_id, raw_pages=[f'[{{"name":{text}}}]']))
    run = tap.run(job_ids=[*texts], max_attempts=1)
    names = {row["job_id"]: row["name"] for row in run.records()}
    assert names == {job_id: texts[job_id] for job_id in run.completed()}
    assert len(names) > 1


@pytest.mark.slow
@pytest.mark.parametrize("maps", [None, {"imported_events": {"more": "name"}}])
@pytest.mark.parametrize(
    "row",
    [
        nested(600, '{"a":', "}").replace('"x"', '"\\ud800"'),
        nested(600, '{"a":', "}")
        .replace('"x","properties":', "")
        .replace("1", '"\\ud800"'),
        nested(900, '{"a":', "}"),
    ],
)
@pytest.mark.parametrize("without", ["", "session"])
def test_row_that_is_too_deep_to_be_written_fails_only_its_job(
    tap: Folder, api: StandIn, row: str, without: str, maps: dict[str, Any] | None
) -> None:
    """Or it is written; the run goes on in any case."""
    api.add(Job("a", raw_pages=[f"[{row}]"]), Job("b", rows=make_events(1)))
    catalog = selecting("imported_events", without=without)
    run = tap.run(job_ids=["a", "b"], catalog=catalog, stream_maps=maps)
    if run.status:
        assert run.completed() == {"b": 1}
        assert "nested too deeply" in run.errors[-1]
    else:
        assert run.completed() == {"a": 1, "b": 1}
        assert run.stdout.count(b'"type":"RECORD"') == 2


@pytest.mark.slow
@pytest.mark.parametrize("depth", [250_000, 1_000_000])
def test_too_deep_row_fails_only_its_job(tap: Folder, api: StandIn, depth: int) -> None:
    """In words, and without a crash of the interpreter. Or the row is written."""
    row = nested(depth, "[", "]")
    api.add(
        Job("a", raw_pages=[f"[{row}]"], total=1),
        Job("b", rows=make_events(1)),
    )
    run = tap.run(job_ids=["a", "b"], max_attempts=2)
    if run.status == 0:
        assert run.stdout.count(b'"type":"RECORD"') == 2
        assert row[len('{"name":"x",') : -1].encode() in run.stdout
        return
    assert run.status == 1
    assert run.completed() == {"b": 1}
    [error] = run.errors
    assert error.startswith("Job a failed: ")
    assert "nested too deeply" in error


# Other types than documented

OTHER_TYPES = [
    "5",
    "-1.50",
    "1e400",
    "true",
    '"me"',
    '""',
    '"{}"',
    '"a\\ud800"',
    "[]",
    '[{"name":"x"},null,1.0]',
    "{}",
    '{"deep":[1.10]}',
]
EVENT_COLUMNS = {
    **dict.fromkeys(("user", "session", "context", "properties", "schema"), "object"),
    "name": "string",
}
ERROR_COLUMNS = {
    **dict.fromkeys(("message", "code"), "string"),
    **dict.fromkeys(("event", "shared"), "object"),
}


COLUMNS = {"imported_events": EVENT_COLUMNS, "import_errors": ERROR_COLUMNS}


def conformed(row: Any, columns: dict[str, str]) -> Any:
    """A decoded row as a record has it, but that its texts of JSON are decoded."""
    changed = dict(row)
    for name in columns.keys() & row.keys():
        value, kind = row[name], columns[name]
        if kind == "object" and not isinstance(value, dict | None):
            changed[name] = {"value": value}
        elif kind == "string" and not isinstance(value, str | None):
            changed[name] = ("JSON", value)
    return changed


def with_texts_decoded(record: Any, row: Any, columns: dict[str, str]) -> Any:
    """A record whose texts of JSON are decoded, where its row has no text."""
    changed = dict(record)
    for name, kind in columns.items():
        if kind == "string" and not isinstance(row.get(name), str | None):
            changed[name] = ("JSON", exactly(record[name]))
    return changed


@pytest.mark.parametrize("path", PATHS)
def test_columns_have_the_documented_types_whatever_comes(
    tap: Folder, api: StandIn, path: str
) -> None:
    """By the short path and by the long one: all records fit the schema before them."""
    sent: dict[tuple[str, str], list[str]] = {}
    body = '{{"results":[{}],"total_records":"{}"}}'
    for job_id, value in enumerate(OTHER_TYPES):
        rows, failures = (
            [f'{{"{name}":{value},"new":{value}}}' for name in (*columns, "timestamp")]
            for columns in COLUMNS.values()
        )
        rows.append(
            f"{{{','.join(f'{json.dumps(name)}:{value}' for name in EVENT_COLUMNS)}}}"
        )
        for stream, texts in zip(COLUMNS, (rows, failures), strict=True):
            sent[stream, str(job_id)] = texts
        script: dict[str, list[Answer | None]] = {
            kind: [Answer(body=body.format(",".join(texts), len(texts)).encode())]
            for kind, texts in (("imports", rows), ("errors", failures))
        }
        api.add(
            Job(
                str(job_id),
                rows=[{}] * len(rows),
                failures=[{}] * len(failures),
                script=script,
            )
        )
    run = tap.run(
        job_ids=[*map(str, range(len(OTHER_TYPES)))],
        catalog=selecting(*COLUMNS),
        **PATHS[path],
    )
    assert run.status == 0, run.stderr
    assert_valid(run)
    found: dict[tuple[str, str], list[Any]] = {key: [] for key in sent}
    for line in run.stdout.splitlines():
        message = exactly(line)
        if message["type"] == "RECORD":
            record = message["record"]
            found[message["stream"], record["job_id"]].append(record)
    for key, texts in sent.items():
        columns = COLUMNS[key[0]]
        for record, text in zip(found[key], texts, strict=True):
            row = exactly(text)
            whole = with_texts_decoded(record, row, columns)
            for name in columns.keys() & row.keys() | {"new"} & row.keys():
                assert whole[name] == conformed(row, columns)[name]


def assert_valid(run: Run) -> None:
    """All records of a run are valid against the schema of their stream."""
    validators = {}
    for schema in run.of_type("SCHEMA"):
        Draft202012Validator.check_schema(schema["schema"])
        validators[schema["stream"]] = Draft202012Validator(
            schema["schema"], format_checker=Draft202012Validator.FORMAT_CHECKER
        )
    for record in run.of_type("RECORD"):
        validators[record["stream"]].validate(record["record"])


def test_values_inside_of_objects_leave_as_they_came(tap: Folder, api: StandIn) -> None:
    """A loader keeps an object as JSON, whatever is in it."""
    row = (
        '{"user":{"id":1},"context":{"device":{"screen_width":"1920"},"location":'
        '{"latitude":"33.7"},"browser":[]},"properties":{"value":[]}}'
    )
    assert read(tap, api, row) == [record_of(row)]


def test_row_cannot_change_its_key(tap: Folder, api: StandIn) -> None:
    """Should the API ever send fields of these names."""
    row = '{"name":"x","job_id":"other","event_index":"7"}'
    assert read(tap, api, row, row) == [record_of(row), record_of(row, 1)]


def test_empty_row_is_a_row(tap: Folder, api: StandIn) -> None:
    """Every default may be left out of the JSON."""
    assert read(tap, api, "{}", "{}") == [record_of("{}"), record_of("{}", 1)]


# Anything


JSON_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
JSON_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**60), max_value=10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | JSON_TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(JSON_TEXT, inner, max_size=4)
    ),
    max_leaves=20,
)
FIELD = st.sampled_from([*EXAMPLE_EVENT, "job_id", "event_index", "new"]) | JSON_TEXT


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rows=st.lists(st.dictionaries(FIELD, JSON_VALUE, max_size=6), min_size=1),
    ensure_ascii=st.booleans(),
)
def test_any_row_leaves_as_it_came(
    tap: Folder, api: StandIn, rows: list[dict[str, Any]], *, ensure_ascii: bool
) -> None:
    """Only the timestamp is made UTC, and the key is added."""
    texts = [json.dumps(row, ensure_ascii=ensure_ascii) for row in rows]
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        texts = [json.dumps(row) for row in rows]
    found = read(tap, api, *texts)
    expected = [
        conformed(record_of(text, index), EVENT_COLUMNS)
        for index, text in enumerate(texts)
    ]
    found = [
        with_texts_decoded(record, exactly(text), EVENT_COLUMNS)
        for record, text in zip(found, texts, strict=True)
    ]
    for record in found:
        assert record["timestamp"] is None or isinstance(record["timestamp"], str)
        record["timestamp"] = None
    assert found == expected
