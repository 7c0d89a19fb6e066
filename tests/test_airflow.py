"""The DAG for Airflow, run by a real Airflow in an environment of its own."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.examples import JOBS, LATE, expected, loaded, shard_of
from tests.postgres_server import DATABASE, PASSWORD, USER, Postgres
from tests.project import ROOT, Project
from tests.stand_in import Answer, Job, StandIn, make_events
from tests.streams import job_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLE = ROOT / "examples" / "airflow"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
SHARDS = 4
FLAKY = {"flaky": make_events(5, seed=98)}  # not known to the API when first asked for
POLICY = """
from datetime import timedelta

def task_policy(task):
    task.retry_delay = timedelta(0)
"""

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(1200)]


@dataclass(frozen=True)
class Task:
    """How a task of a run has ended."""

    name: str
    shard: str | None
    state: str
    tries: int


class Airflow:
    """An Airflow of the test's own: its folder, its database, what it is told."""

    def __init__(self, path: Path, api: StandIn, postgres: Postgres) -> None:
        """Set it up as the example's README says."""
        (path / "project").mkdir(parents=True)
        self.home = path / "home"
        self._project = Project(path / "project")
        (self._project.path / ".venv").symlink_to(ROOT / ".venv")
        self.jobs_file = self._project.path / "job-ids.txt"
        self.user_jobs_file = self._project.path / "user-job-ids.txt"
        (self.home / "config").mkdir(parents=True)
        local = self.home / "config" / "airflow_local_settings.py"
        local.write_text(POLICY, encoding="utf-8")
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
            "AIRFLOW_VAR_FULLSTORY_PROJECT": str(self._project.path),
        }
        listed = re.findall(r"^\| `(\w+)` \| (\w+) \|", README, re.MULTILINE)
        assert {
            f"AIRFLOW_{'CONN' if kind == 'connection' else 'VAR'}_{name.upper()}"
            for name, kind in listed
        } == told.keys()
        self.environment = {
            **told,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLE),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "TAP_FULLSTORY_IMPORTS_API_URL": api.url,
        }
        done = self.run("db", "migrate")
        assert done.returncode == 0, done.stderr

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run its command line."""
        program = str(ROOT / ".venv" / "airflow" / "bin" / "airflow")
        return self._project.run(program, *arguments, **self.environment)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask its database."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as database:
            return database.execute(statement).fetchall()

    def tasks(self) -> list[Task]:
        """The tasks of the last run."""
        rows = self.query(
            "select task_id, rendered_map_index, state, try_number from task_instance"
            " where run_id = (select run_id from dag_run order by id desc limit 1)"
            " order by task_id, map_index"
        )
        return [Task(*row) for row in rows]


@pytest.fixture(scope="module")
def api() -> Iterator[StandIn]:
    """A stand-in with some jobs, one of which it does not know when first asked."""
    unknown: list[Answer | None] = [Answer(status=404)]
    with StandIn(
        *(Job(name, rows=rows) for name, rows in JOBS.items()),
        *(
            Job(name, rows=rows, script={"imports": unknown})
            for name, rows in FLAKY.items()
        ),
        job_of("users", "users", 7),
    ) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, api: StandIn, postgres: Postgres
) -> Airflow:
    """The same Airflow for both runs."""
    return Airflow(tmp_path_factory.mktemp("airflow"), api, postgres)


class TestDag:
    """Two runs of the DAG, one after the other."""

    def test_a_shard_that_fails_fails_no_other(self, airflow, api, postgres):
        """Its task is tried again, and so is one that is better by then."""
        job_ids = [*JOBS, *FLAKY, *LATE]
        airflow.jobs_file.write_text("\n".join(job_ids), encoding="utf-8")
        airflow.user_jobs_file.write_text("users", encoding="utf-8")
        bad, better = shard_of("late", SHARDS), shard_of("flaky", SHARDS)
        assert {shard_of(job_id, SHARDS) for job_id in JOBS} == {*range(SHARDS)}
        assert bad != better
        done = airflow.run("dags", "test", "fullstory_imports")
        assert done.returncode != 0
        assert api.api_key not in done.stdout + done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        prepare, *shards = sorted(
            airflow.tasks(), key=lambda task: task.name != "prepare"
        )
        assert (prepare.state, prepare.tries) == ("success", 1), done.stdout
        tries = Counter({bad: 2, better: 1})
        assert [(task.name, task.state, task.tries) for task in shards] == [
            ("load", "failed" if part == bad else "success", 1 + tries[part])
            for part in range(SHARDS)
        ]
        assert "Job late failed" in done.stdout + done.stderr
        assert loaded(postgres) == expected({**JOBS, **FLAKY})
        users = "select count(*) from fullstory.imported_users where job_id = 'users'"
        assert postgres.query(users) == [{"count": 7}]
        asked = Counter(
            one.job_id for one in api.asked(endpoint="imports", kind="events")
        )
        assert asked == {**dict.fromkeys(JOBS, 1), "flaky": 2, "late": 3}

    def test_a_second_run_reads_what_is_missing(self, airflow, api, postgres):
        """And nothing else; all its tasks are good, each named as its shard.

        Without a list of jobs of users, too.
        """
        del airflow.environment["AIRFLOW_VAR_FULLSTORY_USER_JOBS_FILE"]
        api.add(*(Job(name, rows=rows) for name, rows in LATE.items()))
        api.clear()
        done = airflow.run("dags", "test", "fullstory_imports")
        assert done.returncode == 0, done.stdout
        assert airflow.tasks() == [
            *(
                Task("load", f"{part}/{SHARDS}", "success", 1)
                for part in range(1, SHARDS + 1)
            ),
            Task("prepare", None, "success", 1),
        ]
        assert {request.job_id for request in api.requests} == {*LATE}
        assert loaded(postgres) == expected({**JOBS, **FLAKY, **LATE})
        assert api.api_key not in done.stdout + done.stderr
        assert PASSWORD not in done.stdout + done.stderr

    def test_airflow_keeps_no_secret(self, airflow, api):
        """Neither in the fields that its pages show nor anywhere else."""
        fields = "select rendered_fields from rendered_task_instance_fields"
        shown = [json.loads(text) for (text,) in airflow.query(fields)]
        assert len(shown) == 2 * (1 + SHARDS)
        for one in shown:
            assert one["env"]["TAP_FULLSTORY_IMPORTS_API_KEY"] == "***"
            assert one["env"]["PGPASSWORD"] == "***"
        for file in airflow.home.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert api.api_key.encode() not in content, file
                assert PASSWORD.encode() not in content, file
