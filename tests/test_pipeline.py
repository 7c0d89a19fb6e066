"""The pipeline, by real programs: Meltano, the tap and a DuckDB target."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
from yaml import safe_load

from tests.harness import run
from tests.project import ROOT, Project, blocks
from tests.stand_in import Job, StandIn, make_events, make_failures

if TYPE_CHECKING:
    from collections.abc import Iterator

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
            assert (name, timestamp) == (source["name"], source["timestamp"])
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

    def test_the_queries_of_the_readme_answer(self, project: Project) -> None:
        """As they stand there, on what has been loaded."""
        by_code, incomplete = blocks("Streams", "sql")
        codes = Counter(failure["code"] for failure in FAILURES)
        assert {code: count for code, count, _ in project.query(by_code)} == codes
        assert project.query(incomplete) == []
        with duckdb.connect(self.copy_of(project)) as database:
            database.execute("DELETE FROM imported_events WHERE event_index = 3")
            short = {
                job_id: rows for job_id, *rows in database.sql(incomplete).fetchall()
            }
        assert short == {
            "partly": ["FAILED", 20, 19],
            "whole": ["COMPLETED", 250, 249],
            "new": ["COMPLETED", 5, 4],
        }

    @staticmethod
    def copy_of(project: Project) -> Path:
        """The database again, to change it."""
        return Path(shutil.copy(project.database, project.path / "copy.duckdb"))

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
        line = r"demo-partly-failed +FAILED +{} +120 +30\n"
        asked, not_asked = line.format(4), line.format(0)  # pages of all three streams
        assert re.search(asked, first.stdout)
        assert re.search(not_asked, first.stdout)
        second = project.run("python", "-m", "scripts.demo")
        assert second.returncode == 0, second.stderr
        assert "An earlier demo has read it all" in second.stdout
        assert len(re.findall(not_asked, second.stdout)) == 2
        assert not re.search(asked, second.stdout)


def test_no_time_reaches_the_duckdb_target_as_one() -> None:
    """Its release loses the first row of a batch over it, so all are overridden."""
    project = safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    (dev,) = [one for one in project["environments"] if one["name"] == "dev"]
    (extractor,) = dev["config"]["plugins"]["extractors"]
    catalog = json.loads(run(["--discover"]).stdout)
    times = {
        (stream["stream"], name)
        for stream in catalog["streams"]
        for name, field in stream["schema"]["properties"].items()
        if field.get("format") == "date-time"
    }
    overridden = {
        (stream, name)
        for stream, fields in extractor["schema"].items()
        for name, field in fields.items()
        if field == {"type": ["string", "null"]}
    }
    assert overridden == times


def test_the_database_is_of_one_version() -> None:
    """Where it is loaded and where it is read."""
    (version,) = re.findall(r"duckdb==(\d\S+)\n", (ROOT / "meltano.yml").read_text())
    pins = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    assert f"\nduckdb=={version} " in pins
