"""The pipeline, by real programs: Meltano, the tap and a DuckDB target."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.project import FreshProject, Project
from tests.stand_in import Job, StandIn, make_events, make_failures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = make_events(250)
FAILURES = make_failures(7)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project for the tests of this file, which follow each other."""
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def api() -> Iterator[StandIn]:
    """A stand-in with a job that is complete and one that has failed in part."""
    with StandIn(
        Job("whole", rows=ROWS),
        Job("partly", rows=ROWS[:20], failures=FAILURES, status="FAILED"),
    ) as stand_in:
        yield stand_in


def moment(text: str) -> datetime:
    """A time in UTC as DuckDB hands it out."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    whole = datetime.fromisoformat(seconds)
    return whole + timedelta(seconds=float(f"0.{fraction}")) if fraction else whole


def plain(value: object) -> object:
    """A JSON value as it is, numbers as they are read back."""
    return json.loads(value) if isinstance(value, str) else value


@pytest.mark.e2e
class TestPipeline:
    """The runs of one project, one after the other."""

    def test_all_values_arrive(self, project: Project, api: StandIn) -> None:
        """Not only as many rows: the values of all of them."""
        done = project.run_pipeline(api, "whole", "partly")
        assert done.returncode == 0, done.stderr
        loaded = project.query(
            'SELECT "user", session, context, name, timestamp, properties'
            " FROM imported_events WHERE job_id = 'whole' ORDER BY event_index"
        )
        assert len(loaded) == len(ROWS)
        for row, source in zip(loaded, ROWS, strict=True):
            user, session, context, name, timestamp, properties = row
            assert plain(user) == source.get("user")
            assert plain(session) == source.get("session")
            assert plain(context) == source.get("context")
            assert name == source["name"]
            assert timestamp == moment(source["timestamp"])
            assert plain(properties) == source.get("properties")
        errors = project.query("SELECT code FROM import_errors ORDER BY error_index")
        assert [code for (code,) in errors] == [one["code"] for one in FAILURES]
        jobs = "SELECT job_id, status, imported_events, failed_events FROM import_jobs"
        assert project.query(f"{jobs} ORDER BY job_id") == [
            ("partly", "FAILED", 20, 7),
            ("whole", "COMPLETED", 250, 0),
        ]

    def test_a_second_run_reads_nothing_twice(
        self, project: Project, api: StandIn
    ) -> None:
        """By the state that Meltano keeps; a new job is read alone."""
        api.add(Job("new", rows=ROWS[:5]))
        api.clear()
        done = project.run_pipeline(api, "whole", "partly", "new")
        assert done.returncode == 0, done.stderr
        assert {request.job_id for request in api.requests} == {"new"}
        counts = "SELECT job_id, count(*) FROM imported_events GROUP BY 1 ORDER BY 1"
        assert project.query(counts) == [("new", 5), ("partly", 20), ("whole", 250)]

    def test_a_failed_job_fails_the_pipeline(
        self, project: Project, api: StandIn
    ) -> None:
        """And says which job, while the others have arrived."""
        api.add(Job("good", rows=ROWS[:3]))
        done = project.run_pipeline(api, "gone", "good")
        assert done.returncode != 0
        assert "Job gone failed" in done.stdout + done.stderr
        count = "SELECT count(*) FROM imported_events WHERE job_id = 'good'"
        assert project.query(count) == [(3,)]

    def test_a_full_refresh_reads_all_again(
        self, project: Project, api: StandIn
    ) -> None:
        """The rows are overwritten, not doubled."""
        api.clear()
        done = project.run_pipeline(api, "whole", options=("--full-refresh",))
        assert done.returncode == 0, done.stderr
        assert len(api.asked("whole", "imports")) == 3
        count = "SELECT count(*) FROM imported_events WHERE job_id = 'whole'"
        assert project.query(count) == [(250,)]

    def test_the_demo_tells_its_story(self, project: Project) -> None:
        """Twice, as for whoever runs it again."""
        first = project.run("python", "-m", "scripts.demo")
        assert first.returncode == 0, first.stderr
        line = (
            r"demo-partly-failed +FAILED +{0} +120 +30\n"
            r"(?:.*\n)+?  demo-users +FAILED +{0} +200 +5\n"
        )
        asked, not_asked = line.format(4), line.format(0)  # pages of all three streams
        assert re.search(asked, first.stdout)
        assert re.search(not_asked, first.stdout)
        views = r"fullstory_event_support_ticket +5,062 rows\n.* id bigint, priority"
        assert re.search(views, first.stdout)
        assert "Account locked out" in first.stdout
        second = project.run("python", "-m", "scripts.demo")
        assert second.returncode == 0, second.stderr
        assert "An earlier demo has read it all" in second.stdout
        assert len(re.findall(not_asked, second.stdout)) == 2
        assert not re.search(asked, second.stdout)


@pytest.mark.e2e
@pytest.mark.parametrize("kind", [FreshProject, Project])
def test_no_batch_loses_a_row(tmp_path: Path, kind: type[Project]) -> None:
    """Neither in a project that has only copied the plugins, nor in production."""
    project, names = kind(tmp_path), [f"job-{number}" for number in range(7)]
    jobs = (Job(name, rows=ROWS[:5], failures=FAILURES[:2]) for name in names)
    with StandIn(*jobs) as api:
        done = project.run_pipeline(
            api,
            *names,
            settings={
                "MELTANO_ENVIRONMENT": "prod",
                "TARGET_DUCKDB_BATCH_SIZE_ROWS": "3",
            },
        )
    assert done.returncode == 0, done.stderr
    times = "SELECT job_id, created_at < finished_at FROM import_jobs ORDER BY 1"
    assert project.query(times) == [(name, True) for name in names]
    events = "SELECT job_id, event_index FROM imported_events ORDER BY ALL"
    assert project.query(events) == [(name, n) for name in names for n in range(5)]
    errors = "SELECT job_id, error_index FROM import_errors ORDER BY ALL"
    assert project.query(errors) == [(name, n) for name in names for n in range(2)]
    (columns,) = project.query(
        "SELECT list(DISTINCT data_type) FROM information_schema.columns"
        " WHERE column_name IN ('timestamp', 'created_at', 'finished_at')"
    )
    assert columns == (["TIMESTAMP"],)
