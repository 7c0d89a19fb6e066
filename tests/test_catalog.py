"""The catalog: what `--discover` says of the stream, kept as a snapshot.

After an intended change, renew the snapshot and read its difference before committing:

    python -m tests.test_catalog
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.harness import run
from tests.stand_in import EXAMPLE_USER
from tests.streams import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

SNAPSHOT = Path(__file__).parent / "snapshots" / "catalog.json"
KEYS = ("job_id", "event_index")


def discovered() -> dict[str, Any]:
    """The catalog as the command line prints it."""
    done = run(["--discover"])
    assert done.status == 0
    catalog: dict[str, Any] = json.loads(done.stdout)
    return catalog


def as_text(catalog: dict[str, Any]) -> str:
    """A catalog as it stands in the snapshot: metadata in a fixed order."""
    for stream in catalog["streams"]:
        stream["metadata"].sort(key=lambda entry: entry["breadcrumb"])
    return json.dumps(catalog, indent=2, ensure_ascii=False) + "\n"


@pytest.fixture(scope="module", name="stream")
def the_stream() -> dict[str, Any]:
    """The stream of imported events."""
    return of_catalog("imported_events")


def of_catalog(name: str) -> dict[str, Any]:
    """A stream of the catalog."""
    [stream] = [one for one in discovered()["streams"] if one["stream"] == name]
    assert isinstance(stream, dict)
    return stream


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field at every depth, with the path to it."""
    for name, field in schema.get("properties", {}).items():
        yield path + name, field
        yield from fields(field, f"{path}{name}.")


def test_catalog_is_that_of_the_snapshot() -> None:
    """Whoever changes it changes the tables of all users: see the top of this file."""
    assert as_text(discovered()) == SNAPSHOT.read_text(encoding="utf-8")


def test_fields_of_users_are_those_that_the_api_documents() -> None:
    """All may be null: the document's own example leaves out a required one."""
    imported = of_catalog("imported_users")["schema"]["properties"]
    assert imported.keys() == {"job_id", "user_index", *EXAMPLE_USER}
    failed = of_catalog("user_import_errors")["schema"]["properties"]
    assert failed.keys() == {"job_id", "error_index", "message", "code", "user"}
    sent = failed["user"]["properties"]
    assert sent.keys() == EXAMPLE_USER.keys() - {"type_conflicts"}
    for name in ("id", "uid", "display_name", "email"):
        assert imported[name]["type"] == sent[name]["type"] == ["string", "null"]


def test_key_is_required_and_never_null(stream: dict[str, Any]) -> None:
    """And nothing else is required: defaults may be left out of the JSON."""
    schema = stream["schema"]
    assert schema["required"] == [*KEYS]
    assert schema["properties"]["event_index"]["minimum"] == 0
    for path, field in fields(schema):
        assert "required" not in field, path
        assert ("null" in field["type"]) is (path not in KEYS), path


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_described(name: str) -> None:
    """At every depth, in a sentence."""
    stream = of_catalog(name)
    Draft202012Validator.check_schema(stream["schema"])
    assert stream["schema"]["description"].endswith(".")
    for path, field in fields(stream["schema"]):
        assert field["description"].endswith("."), path


@pytest.mark.parametrize(
    ("name", "count"), [*zip(NAMES, (9, 16, 0, 3, 3, 0), strict=True)], ids=NAMES
)
def test_every_object_keeps_fields_that_the_api_adds_later(
    name: str, count: int
) -> None:
    """At the root and at every depth."""
    stream = of_catalog(name)
    assert stream["schema"]["additionalProperties"] is True
    objects = [
        (path, field)
        for path, field in fields(stream["schema"])
        if "object" in field["type"]
    ]
    assert len(objects) == count
    for path, field in objects:
        assert field["type"] == ["object", "null"], path
        assert field["additionalProperties"] is True, path


@pytest.mark.parametrize("name", ["properties", "schema"])
def test_custom_payload_is_any_object(stream: dict[str, Any], name: str) -> None:
    """Exactly this form makes targets store it as JSON."""
    field = dict(stream["schema"]["properties"][name])
    assert field.pop("description")
    assert field == {"type": ["object", "null"], "additionalProperties": True}


def test_everything_is_selected_unless_a_user_deselects_it(
    stream: dict[str, Any],
) -> None:
    """The key can't be deselected."""
    metadata = {
        tuple(entry["breadcrumb"][1::2]): entry["metadata"]
        for entry in stream["metadata"]
    }
    assert metadata[()]["selected"] is True
    for key in KEYS:
        assert metadata[(key,)]["inclusion"] == "automatic"
    for path, _ in fields(stream["schema"]):
        if path not in KEYS:
            assert metadata[tuple(path.split("."))]["inclusion"] == "available", path


def test_schema_message_is_that_of_the_catalog(stream: dict[str, Any]) -> None:
    """Nothing is lost between the two."""
    done = run(
        ["--test=schema", "--config=ENV"],
        environment={
            "TAP_FULLSTORY_IMPORTS_API_KEY": "x",
            "TAP_FULLSTORY_IMPORTS_JOB_IDS": "a",
        },
    )
    assert done.status == 0
    messages = {message["stream"]: message for message in done.of_type("SCHEMA")}
    assert messages.keys() == {*NAMES}
    message = messages["imported_events"]
    assert message["key_properties"] == [*KEYS]
    assert message["schema"] == stream["schema"]
    assert not message.get("bookmark_properties")


if __name__ == "__main__":
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text(as_text(discovered()), encoding="utf-8")
