"""The pipeline into files of JSON lines, and what the tap does to rows on the way."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.project import Project, exact
from tests.stand_in import Job, StandIn, make_events, make_failures

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = "target-jsonl"
FAILURES = make_failures(7)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project for the tests of this file, which follow each other."""
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def api() -> Iterator[StandIn]:
    """A job that is complete and one that has failed in part."""
    with StandIn(
        Job("whole", rows=make_events(250)),
        Job("partly", rows=make_events(20), failures=FAILURES, status="FAILED"),
    ) as stand_in:
        yield stand_in


def test_all_values_arrive(project: Project, api: StandIn) -> None:
    """By the job of the project."""
    done = project.run_pipeline(api, "whole", "partly", target=TARGET)
    assert done.returncode == 0, done.stderr
    assert project.events("whole") == exact(make_events(250))
    assert project.events("partly") == exact(make_events(20))
    errors = project.lines("import_errors")
    assert [row["code"] for row in errors] == [one["code"] for one in FAILURES]
    assert [exact(row["event"]) for row in errors] == [
        exact(failure["event"]) for failure in FAILURES
    ]
    jobs = project.lines("import_jobs")
    counts = {row["job_id"]: (row["status"], row["imported_events"]) for row in jobs}
    assert counts == {"whole": ("COMPLETED", 250), "partly": ("FAILED", 20)}


def test_a_second_run_reads_nothing_twice(project: Project, api: StandIn) -> None:
    """By the state that Meltano keeps: a new job's rows are added, no others."""
    before = len(project.lines("imported_events"))
    api.add(Job("new", rows=make_events(5)))
    api.clear()
    done = project.run_pipeline(
        api, "whole", "partly", "new", target="fullstory-to-jsonl"
    )
    assert done.returncode == 0, done.stderr
    assert {request.job_id for request in api.requests} == {"new"}
    assert len(project.lines("imported_events")) == before + 5


def test_rows_are_flattened(project: Project, api: StandIn) -> None:
    """Into columns of a database: each field with a type of its own."""
    done = project.run_pipeline(
        api,
        "whole",
        options=("--state-id-suffix=flat",),
        settings={
            "TAP_FULLSTORY_IMPORTS_FLATTENING_ENABLED": "true",
            "TAP_FULLSTORY_IMPORTS_FLATTENING_MAX_DEPTH": "3",
        },
    )
    assert done.returncode == 0, done.stderr
    loaded = project.query(
        "SELECT user__uid, session__id, context__device__screen_width,"
        " context__location__latitude, properties FROM imported_events"
        " ORDER BY event_index"
    )
    for row, event in zip(loaded, make_events(250), strict=True):
        *values, properties = row
        context = event["context"]
        assert exact(values) == exact(
            [
                event["user"]["uid"],
                event["session"]["id"],
                context.get("device", {}).get("screen_width"),
                context.get("location", {}).get("latitude"),
            ]
        )
        # An object whose fields the schema does not name stays one.
        assert exact(json.loads(properties, parse_float=Decimal)) == exact(
            event["properties"]
        )


def test_a_stream_map_shapes_the_rows(project: Project, api: StandIn) -> None:
    """It renames a field, leaves out an event by name, and makes a typed column."""
    shape = {
        "imported_events": {
            "__filter__": "name != 'Support Ticket'",
            "fullstory_user": "user",
            "user": None,
            "seats": "int(properties['seats']) if 'seats' in properties else None",
        }
    }
    project.database.unlink()
    done = project.run_pipeline(
        api,
        "whole",
        options=("--state-id-suffix=shaped",),
        settings={"TAP_FULLSTORY_IMPORTS_STREAM_MAPS": json.dumps(shape)},
    )
    assert done.returncode == 0, done.stderr
    columns = dict(
        project.query(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_name = 'imported_events'"
        )
    )
    assert "user" not in columns
    assert columns["seats"] == "HUGEINT"  # the integers of this target
    loaded = project.query(
        "SELECT event_index, fullstory_user, seats FROM imported_events"
        " ORDER BY event_index"
    )
    assert [
        (index, exact(json.loads(user)), seats) for index, user, seats in loaded
    ] == [
        (index, exact(event["user"]), event["properties"].get("seats"))
        for index, event in enumerate(make_events(250))
        if event["name"] != "Support Ticket"
    ]


def test_a_run_of_100_jobs_logs_at_most_30_lines(
    project: Project, api: StandIn
) -> None:
    """Meltano, the tap and the target together, beside warnings and metrics."""
    names = [f"one of many {number}" for number in range(100)]
    api.add(*(Job(name, rows=make_events(5)) for name in names))
    done = project.run_pipeline(api, *names, target=TARGET)
    assert done.returncode == 0, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    assert any("Summary: jobs read 100," in line for line in lines)
    shown = [line for line in lines if not {"METRIC", "[warning"} & {*line.split()}]
    assert len(shown) <= 30, "\n".join(shown)
