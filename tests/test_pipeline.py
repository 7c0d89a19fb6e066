"""The pipeline, by real programs: Meltano, the tap, target-postgres; and the demo."""

from __future__ import annotations

import json
import os
import re

import pytest

from scripts.postgres import database, wheel
from tests.project import TAP, Project, settings_for
from tests.stand_in import Job, StandIn, make_events

ROWS = make_events(250)
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """One project for the tests of this file, which follow each other."""
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def api():
    with StandIn(Job("whole", rows=ROWS)) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def load(project, postgres, api):
    """Load jobs into a schema, with a state of its own; return the log's lines."""

    def run(schema, *job_ids, more=(), **settings):
        state = f"--state-id-suffix={schema}"
        done = project.run(
            *("meltano", "run", state, *more, TAP, "target-postgres"),
            **settings_for(api, *job_ids),
            **postgres.settings,
            TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA=schema,
            **settings,
        )
        assert done.returncode == 0, done.stderr
        return (done.stdout + done.stderr).splitlines()

    return run


class TestPipeline:
    def test_job_that_a_full_refresh_could_not_read_is_read_by_the_next_run(
        self, load, postgres, api
    ):
        """Meltano replaces the list in its state, so the job is not in it any more."""
        names = ("first", "late", "last")
        jobs = [Job(name, rows=ROWS[:5]) for name in names]
        counts = "select job_id, count(*) from emptied.imported_events group by 1"

        def asked(*more):
            api.clear()
            wait = {"TAP_FULLSTORY_IMPORTS_JOB_WAIT_TIMEOUT": "0"}
            load("emptied", *names, more=more, **wait)
            return {request.job_id for request in api.requests}

        def loaded():
            return {row["job_id"]: row["count"] for row in postgres.query(counts)}

        api.add(*jobs)
        assert asked() == {*names}
        postgres.execute("delete from emptied.imported_events")
        api.add(Job("late", rows=ROWS[:5], processing=-1))
        assert asked("--full-refresh") == {*names}
        assert loaded() == {"first": 5, "last": 5}
        api.add(*jobs)
        assert asked() == {"late"}
        assert loaded() == dict.fromkeys(names, 5)

    def test_100_jobs_log_at_most_50_lines(self, load, api):
        """Meltano, the tap and the target together, beside warnings and metrics."""
        names = [f"one of many {number}" for number in range(100)]
        api.add(*(Job(name, rows=ROWS[:5]) for name in names))
        lines = load("many", *names)
        assert any("Summary: jobs read 100," in line for line in lines)
        hidden = {"METRIC", "[warning", "Inserting"}
        shown = [line for line in lines if not hidden & {*line.split()}]
        assert len(shown) <= 50, "\n".join(shown)

    def test_stream_map_renames_filters_and_makes_a_typed_column(self, load, postgres):
        """On the way into a new table."""
        shape = {
            "imported_events": {
                "__filter__": "name != 'Support Ticket'",
                "fullstory_user": "user",
                "user": None,
                "seats": "int(properties['seats']) if 'seats' in properties else None",
            }
        }
        maps = {"TAP_FULLSTORY_IMPORTS_STREAM_MAPS": json.dumps(shape)}
        load("shaped", "whole", **maps)
        loaded = postgres.query("select * from shaped.imported_events")
        assert {
            (row["event_index"], row["fullstory_user"]["uid"], row["seats"])
            for row in loaded
        } == {
            (index, event["user"]["uid"], event["properties"].get("seats"))
            for index, event in enumerate(ROWS)
            if event["name"] != "Support Ticket"
        }
        assert not any("user" in row for row in loaded)
        (kind,) = postgres.query(
            "select data_type from information_schema.columns"
            " where table_schema = 'shaped' and column_name = 'seats'"
        )
        assert kind == {"data_type": "bigint"}


DEMO = ("python", "-m", "scripts.demo")
LINE = (
    r"demo-partly-failed +FAILED +{0} +120 +30 *\n"
    r"(?:.*\n)+? demo-users +FAILED +{0} +200 +5 *\n"
)
ASKED, NOT_ASKED = LINE.format(4), LINE.format(0)  # pages of all three streams
VIEW = r"fullstory_event_support_ticket +5,062 rows\n.* properties_id bigint, priority"


class TestDemo:
    """The program of `make demo`, run after run."""

    def test_own_server_gets_what_the_demo_loads(self, project, postgres):
        """In schemas of the demo, and without a server of its own."""
        done = project.run(*DEMO, **postgres.settings)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(ASKED, done.stdout)
        assert re.search(VIEW, done.stdout)
        assert "Account locked out" in done.stdout
        assert not (project.output / "postgres").exists()
        tickets = (
            "select count(*) from fullstory_demo_models.fullstory_event_support_ticket"
        )
        assert postgres.query(tickets) == [{"count": 5062}]

    def test_second_run_asks_for_nothing(self, project, postgres):
        """And says so. No line is one of Singer's own."""
        done = project.run(*DEMO, **postgres.settings)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "the second run" in done.stdout
        assert "Nothing was asked again" in done.stdout
        assert re.search(NOT_ASKED, done.stdout)
        assert re.search(VIEW, done.stdout)
        assert not re.search("METRIC|SCHEMA|Skipping|\\x1b", done.stdout)

    def test_embedded_server_is_loaded_and_stopped(self, project):
        """Then `make psql` starts it for as long as psql runs."""
        done = project.run(*DEMO)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(ASKED, done.stdout)
        data = project.output / "postgres"
        assert not (data / "postmaster.pid").exists()
        query = "select count(*) from fullstory_demo.imported_users"
        psql = ("python", "-m", "scripts.postgres", "psql", "-At", "-c", query)
        done = project.run(*psql)
        assert (done.stdout, done.returncode) == ("200\n", 0), done.stderr

    def test_missing_useradd_gives_one_sentence_with_the_way_on(self, monkeypatch):
        def missing(_):
            raise FileNotFoundError(2, "No such file or directory", "useradd")

        monkeypatch.setattr(wheel(), "ensure_user_exists", missing)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.delenv("TARGET_POSTGRES_HOST", raising=False)
        with pytest.raises(SystemExit) as refused, database():
            pass
        (line,) = str(refused.value.code).splitlines()
        assert "useradd" in line
        assert "TARGET_POSTGRES_HOST" in line
