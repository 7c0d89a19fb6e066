"""The catalog: what `--discover` says of the streams, kept as a snapshot.

After an intended change, renew the snapshot and read its difference before committing:

    python -m tests.test_catalog
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.harness import run
from tests.stand_in import EXAMPLE_EVENT, EXAMPLE_USER
from tests.streams import EVERY

SNAPSHOT = Path(__file__).parent / "snapshots" / "catalog.json"


def discovered():
    done = run(["--discover"])
    assert done.status == 0
    return json.loads(done.stdout)


def as_text(catalog):
    for stream in catalog["streams"]:
        stream["metadata"].sort(key=lambda entry: entry["breadcrumb"])
    return json.dumps(catalog, indent=2, ensure_ascii=False) + "\n"


def fields(schema, path=()):
    for name, field in schema.get("properties", {}).items():
        yield (*path, name), field
        yield from fields(field, (*path, name))


def test_catalog_is_that_of_the_snapshot():
    """Whoever changes it changes the tables of all users: see the top of this file."""
    assert as_text(discovered()) == SNAPSHOT.read_text(encoding="utf-8")


@pytest.mark.parametrize("known", EVERY, ids=lambda one: one.name)
def test_fields_are_described_and_only_the_key_is_required(known):
    [stream] = [one for one in discovered()["streams"] if one["stream"] == known.name]
    schema = stream["schema"]
    Draft202012Validator.check_schema(schema)
    assert stream["key_properties"] == schema["required"] == known.keys
    assert schema["additionalProperties"] is True
    metadata = {
        tuple(entry["breadcrumb"][1::2]): entry["metadata"]
        for entry in stream["metadata"]
    }
    assert metadata[()]["selected"] is True
    for path, field in fields(schema):
        is_key = path[-1] in known.keys
        assert field["description"].endswith("."), path
        assert "required" not in field, path
        assert ("null" in field["type"]) is not is_key, path
        assert metadata[path]["inclusion"] == ("automatic" if is_key else "available")
        if "object" in field["type"]:  # fields that the API adds later are kept
            assert field["type"] == ["object", "null"], path
            assert field["additionalProperties"] is True, path


@pytest.mark.parametrize(
    ("name", "example"),
    [("imported_events", EXAMPLE_EVENT), ("imported_users", EXAMPLE_USER)],
)
def test_fields_are_those_of_the_documented_example(name, example):
    def leaves(value, path=()):
        if not isinstance(value, dict) or path in {(one,) for one in free}:
            return {path}
        return {leaf for key in value for leaf in leaves(value[key], (*path, key))}

    [stream] = [one for one in discovered()["streams"] if one["stream"] == name]
    free = {"properties", "schema", "type_conflicts"}
    keys = dict.fromkeys(stream["key_properties"])
    found = {
        path for path, field in fields(stream["schema"]) if not field.get("properties")
    }
    assert found == leaves({**keys, **example})


def test_schema_message_is_that_of_the_catalog():
    environment = {
        "TAP_FULLSTORY_IMPORTS_API_KEY": "x",
        "TAP_FULLSTORY_IMPORTS_JOB_IDS": "a",
    }
    done = run(["--test=schema", "--config=ENV"], environment=environment)
    assert done.status == 0
    for stream, message in zip(
        discovered()["streams"], done.of_type("SCHEMA"), strict=True
    ):
        for name in ("stream", "schema", "key_properties"):
            assert message[name] == stream[name]
        assert not message.get("bookmark_properties")


if __name__ == "__main__":
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text(as_text(discovered()), encoding="utf-8")
