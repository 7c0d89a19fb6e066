"""The DAG for Airflow, run by a real Airflow in an environment of its own."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from yaml import safe_dump

from scripts.plugin import RAW
from tests.examples import (
    JOBS,
    LATE,
    QUIET,
    definitions,
    expected,
    loaded,
    published,
    shard_of,
)
from tests.postgres_server import DATABASE, PASSWORD, USER
from tests.project import ROOT, Project
from tests.stand_in import Answer, Job, StandIn, make_events
from tests.streams import job_of

EXAMPLE = ROOT / "examples" / "airflow"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
SHARDS = 4
INSTALLED = "Installed 2/2 plugins"
FLAKY = {"flaky": make_events(5, seed=98)}  # not known to the API when first asked for
POLICY = """
from datetime import timedelta

def task_policy(task):
    task.retry_delay = timedelta(0)
"""

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(1200)]


class Airflow(Project):
    """An Airflow of the test's own: its folder, its database, what it is told."""

    def __init__(self, path, api, postgres, github, uv):
        """Set it up as the example's README says."""
        self.path, self.home, self.dags = path, path / "home", path / "dags"
        self.github = github
        (self.home / "config").mkdir(parents=True)
        local = self.home / "config" / "airflow_local_settings.py"
        local.write_text(POLICY, encoding="utf-8")
        self.dags.mkdir()
        project = {
            "default_environment": "dev",
            "environments": [{"name": "prod"}],
            "plugins": definitions(github),
        }
        (self.dags / "meltano.yml").write_text(safe_dump(project), encoding="utf-8")
        self.jobs_file, self.user_jobs_file = path / "ids.txt", path / "user-ids.txt"
        warehouse = {
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": postgres.port,
            "login": USER,
            "password": PASSWORD,
            "schema": DATABASE,
        }
        told = {
            "AIRFLOW_CONN_FULLSTORY": json.dumps(
                {"conn_type": "generic", "password": api.api_key}
            ),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps(warehouse),
            "AIRFLOW_VAR_FULLSTORY_JOBS_FILE": str(self.jobs_file),
            "AIRFLOW_VAR_FULLSTORY_USER_JOBS_FILE": str(self.user_jobs_file),
        }
        listed = re.findall(r"^\| `(\w+)` \| (\w+) \|", README, re.MULTILINE)
        assert {
            f"AIRFLOW_{'CONN' if kind == 'connection' else 'VAR'}_{name.upper()}"
            for name, kind in listed
        } == told.keys()
        self.settings = {
            **told,
            **QUIET,
            **uv,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "FULLSTORY_FOLDER": str(path / "worker"),
            "TAP_FULLSTORY_IMPORTS_API_URL": api.url,
        }
        done = self.airflow("db", "migrate")
        assert done.returncode == 0, done.stderr

    def airflow(self, *arguments):
        """Run its command line."""
        program = str(ROOT / ".venv" / "airflow" / "bin" / "airflow")
        return self.run(program, *arguments, **self.settings)

    def load(self, shards):
        """Run the DAG with so many shards; how it ended, its log, and its tasks."""
        text = (EXAMPLE / "fullstory_imports.py").read_text(encoding="utf-8")
        text = text.replace("SHARDS = 1\n", f"SHARDS = {shards}\n")
        text = text.replace(RAW, self.github)
        (self.dags / "fullstory_imports.py").write_text(text, encoding="utf-8")
        shutil.rmtree(self.dags / "__pycache__", ignore_errors=True)
        done = self.airflow("dags", "test", "fullstory_imports")
        rows = self.query(
            "select rendered_map_index, state, try_number from task_instance"
            " where run_id = (select run_id from dag_run order by id desc limit 1)"
            " order by map_index"
        )
        return done.returncode, done.stdout + done.stderr, rows

    def query(self, statement):
        """Ask its database."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as database:
            return database.execute(statement).fetchall()


@pytest.fixture(scope="module")
def api():
    with StandIn(job_of("users", "users", 7)) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, api, postgres):
    """The same Airflow for all runs."""
    with published(tmp_path_factory.mktemp("dist")) as (github, uv):
        yield Airflow(tmp_path_factory.mktemp("airflow"), api, postgres, github, uv)


class TestDag:
    """Runs of the DAG, one after the other."""

    def test_worker_installs_meltano_and_loads_by_one_task(
        self, airflow, api, postgres
    ):
        airflow.jobs_file.write_text("first")
        airflow.user_jobs_file.write_text("users")
        api.add(Job("first", rows=JOBS["job-0"]))
        code, log, tasks = airflow.load(1)
        assert (code, tasks) == (0, [("1/1", "success", 1)]), log
        assert INSTALLED in log
        users = "select count(*) from fullstory.imported_users where job_id = 'users'"
        assert postgres.query(users) == [{"count": 7}]
        postgres.execute("delete from fullstory.imported_events")
        assert postgres.query("select 1 from meltano.state")

    def test_shard_that_fails_is_tried_again_and_fails_no_other(
        self, airflow, api, postgres
    ):
        del airflow.settings["AIRFLOW_VAR_FULLSTORY_USER_JOBS_FILE"]
        airflow.jobs_file.write_text("\n".join([*JOBS, *FLAKY, *LATE]))
        unknown = {"imports": [Answer(status=404)]}
        api.add(
            *(Job(name, rows=rows) for name, rows in JOBS.items()),
            Job("flaky", rows=FLAKY["flaky"], script=unknown),
        )
        bad, better = shard_of("late", SHARDS), shard_of("flaky", SHARDS)
        assert bad != better
        code, log, tasks = airflow.load(SHARDS)
        assert code != 0
        tries = Counter({bad: 2, better: 1})
        assert [(state, number) for _, state, number in tasks] == [
            ("failed" if part == bad else "success", 1 + tries[part])
            for part in range(SHARDS)
        ], log
        assert "Job late failed" in log
        assert INSTALLED not in log
        assert loaded(postgres) == expected({**JOBS, **FLAKY})
        asked = Counter(one.job_id for one in api.asked(endpoint="imports"))
        assert {name: asked[name] for name in (*JOBS, "flaky")} == {
            **dict.fromkeys(JOBS, 1),
            "flaky": 2,
        }

    def test_next_run_reads_what_is_missing(self, airflow, api, postgres):
        api.add(*(Job(name, rows=rows) for name, rows in LATE.items()))
        api.clear()
        code, log, tasks = airflow.load(SHARDS)
        assert code == 0, log
        assert [name for name, *_ in tasks] == ["1/4", "2/4", "3/4", "4/4"]
        assert {request.job_id for request in api.requests} == {*LATE}
        assert loaded(postgres) == expected({**JOBS, **FLAKY, **LATE})

    def test_airflow_keeps_no_secret(self, airflow, api):
        fields = "select rendered_fields from rendered_task_instance_fields"
        for (text,) in airflow.query(fields):
            shown = json.loads(text)["env"]
            assert (
                shown["TAP_FULLSTORY_IMPORTS_API_KEY"] == shown["PGPASSWORD"] == "***"
            )
        for file in airflow.home.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert api.api_key.encode() not in content, file
                assert PASSWORD.encode() not in content, file
