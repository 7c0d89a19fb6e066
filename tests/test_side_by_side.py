"""A list in several shards at once on one machine, by the documented commands."""

from __future__ import annotations

from typing import Any

import pytest

from tests.postgres_server import PASSWORD
from tests.project import Project, blocks, filled_in, settings_for
from tests.stand_in import Job, StandIn, make_events

pytestmark = pytest.mark.e2e
JOBS = [f"job-{number}" for number in range(8)]
FIRST, LOAD = blocks("Side by side on one machine", "sh")
COUNTS = """
    select count(*) as rows, count(distinct (job_id, event_index)) as different,
    max(_sdc_batched_at) as last from fullstory.imported_events
"""


def run(project, postgres, api, commands):
    settings: dict[str, Any] = settings_for(api) | postgres.settings
    del settings["TAP_FULLSTORY_IMPORTS_JOB_IDS"]
    settings["TMPDIR"] = str(project.output)
    return project.run("bash", "-euc", commands, **settings)


def test_failed_shard_stops_no_other_and_a_second_load_changes_nothing(
    tmp_path, postgres
):
    project = Project(tmp_path / "project")
    path = project.path / "job-ids.txt"
    load = filled_in(LOAD, {"SHARDS": "2"})
    with StandIn(*(Job(job_id, rows=make_events(50)) for job_id in JOBS)) as api:
        path.write_text("\n".join([*JOBS, "unknown"]))
        done = run(project, postgres, api, FIRST)
        assert done.returncode == 0, done.stderr
        assert api.requests == []
        done = run(project, postgres, api, load)
        assert done.returncode == 123, done.stderr
        assert "Job unknown failed" in done.stderr
        assert api.api_key not in done.stdout + done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        (first,) = postgres.query(COUNTS)
        assert (first["rows"], first["different"]) == (400, 400), done.stderr
        api.clear()
        path.write_text("\n".join(JOBS))
        done = run(project, postgres, api, load)
        assert done.returncode == 0, done.stderr
        assert api.requests == []
        assert postgres.query(COUNTS) == [first]
        assert [*project.output.glob("tmp.*")] == []  # the folders of the files
