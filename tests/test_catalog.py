"""The catalog: what `--discover` says of the streams, kept as a snapshot.

After an intended change, renew the snapshot and read its difference before committing:

    python -m tests.test_catalog
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.harness import run

SNAPSHOT = Path(__file__).parent / "snapshots" / "catalog.json"


def discovered():
    done = run(["--discover"])
    assert done.status == 0
    return json.loads(done.stdout)


def as_text(catalog):
    for stream in catalog["streams"]:
        stream["metadata"].sort(key=lambda entry: entry["breadcrumb"])
    return json.dumps(catalog, indent=2, ensure_ascii=False) + "\n"


def test_catalog_is_that_of_the_snapshot():
    """Whoever changes it changes the tables of all users: see the top of this file."""
    assert as_text(discovered()) == SNAPSHOT.read_text(encoding="utf-8")


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
