"""Personal data: the README's example leaves fields out and hashes one."""

from __future__ import annotations

import hashlib
import json

import pytest
from yaml import safe_load

from tests.project import Project, blocks
from tests.stand_in import StandIn, make_failed_users, make_users
from tests.streams import job_of

SALT = "a secret"
USERS, FAILED = make_users(30), make_failed_users(30)


def check(imported, failed):
    hashes = [
        hashlib.sha256(f"{SALT}{row['email']}".encode()).hexdigest()
        if "email" in row
        else None
        for row in USERS
    ]
    assert [row["email"] for row in imported] == hashes
    assert len({*hashes}) > 10
    assert [row.get("uid") for row in imported] == [row.get("uid") for row in USERS]
    assert [row["code"] for row in failed] == [row["code"] for row in FAILED]
    for row in imported:
        assert "display_name" not in row
        assert "company" not in row["properties"]
        assert row["properties"].keys() == USERS[0]["properties"].keys() - {"company"}
    for row in failed:
        assert "user" not in row


@pytest.mark.e2e
def test_readme_example_works_in_meltano(tmp_path, postgres):
    """As it is, in the tap's definition."""
    project = Project(tmp_path / "project")
    streams = ("imported_users order by user_index", "user_import_errors order by 1, 2")
    path = project.path / "meltano.yml"
    definition = safe_load(path.read_text(encoding="utf-8"))
    (extractor,) = definition["plugins"]["extractors"]
    extractor |= safe_load(blocks("Personal data", "yaml")[0])
    path.write_text(json.dumps(definition), encoding="utf-8")
    own = {"TAP_FULLSTORY_IMPORTS_USER_JOB_IDS": "a", "EMAIL_SALT": SALT}
    with StandIn(job_of("users", "a", 30)) as api:
        done = project.run_pipeline(api, settings={**postgres.settings, **own})
    assert done.returncode == 0, done.stderr
    imported, failed = (
        postgres.query(f"select * from fullstory.{stream}")  # noqa: S608
        for stream in streams
    )
    check(imported, failed)
