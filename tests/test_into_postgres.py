"""The pipeline into a real PostgreSQL, by the target that users install."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.odd_rows import NESTED_ROWS, ODD_ROWS, STORED, UNSTORABLE
from tests.postgres_server import TIME_ZONE, Postgres
from tests.project import (
    TAP,
    Project,
    blocks,
    exact,
    filled_in,
    settings_for,
)
from tests.stand_in import Answer, Job, StandIn, make_events, make_failures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGET = "target-postgres"
HEADING = "Into PostgreSQL"
FAILURES = make_failures(7)
PAGES_WRITTEN = 30
TYPES = """
    select column_name, data_type from information_schema.columns
    where table_schema = 'fullstory' and table_name = '{}'
    and column_name not like '\\_sdc%'
"""
KEY = """
    select pg_get_constraintdef(oid) as key from pg_constraint
    where conrelid = 'fullstory.{}'::regclass and contype = 'p'
"""
ZONE = "select setting from pg_settings where name = 'TimeZone'"
_TIME = "timestamp without time zone"
DOCUMENTED = {
    "imported_events": (
        "job_id, event_index",
        {
            "text": ["job_id", "name"],
            "bigint": ["event_index"],
            _TIME: ["timestamp"],
            "jsonb": ["user", "session", "context", "properties", "schema"],
        },
    ),
    "import_errors": (
        "job_id, error_index",
        {
            "text": ["job_id", "message", "code"],
            "bigint": ["error_index"],
            "jsonb": ["event", "shared"],
        },
    ),
    "import_jobs": (
        "job_id",
        {
            "text": ["job_id", "status"],
            "bigint": ["imported_events", "failed_events"],
            _TIME: ["created_at", "finished_at"],
        },
    ),
}
EVENT = ("user", "session", "context", "name", "properties", "schema")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project for the tests of this file, which follow each other."""
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def api() -> Iterator[StandIn]:
    """A job of many pages that hangs after some, one of odd rows, one partly failed."""
    hang: dict[str, list[Answer | None]]
    hang = {f"imports:{PAGES_WRITTEN}": [Answer(hang=True)]}
    with StandIn(
        Job("large", rows=make_events(8000), page_size=200, script=hang),
        Job("odd", rows=ODD_ROWS + NESTED_ROWS),
        Job("partly", rows=make_events(20), failures=FAILURES, status="FAILED"),
    ) as stand_in:
        yield stand_in


def utc(text: str | None) -> datetime | None:
    """The moment that the source means, without its zone."""
    if text is None or text == "yesterday":
        return None
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None)


def stored_time(text: str | None) -> datetime | None:
    """A moment as PostgreSQL wrote it into JSON."""
    return None if text is None else _parsed(text)


def _parsed(text: str) -> datetime:
    whole, _, fraction = text.partition(".")
    return datetime.fromisoformat(whole).replace(
        microsecond=int(fraction.ljust(6, "0") or 0)
    )


def assert_loaded(
    postgres: Postgres,
    job_id: str,
    rows: list[dict[str, Any]],
    schema: str = "fullstory",
) -> None:
    """The events of a job are these: none more, none less, every value equal."""
    loaded = postgres.query(
        f"select * from {schema}.imported_events where job_id = '{job_id}'"  # noqa: S608
        " order by event_index"
    )
    assert [row["event_index"] for row in loaded] == list(range(len(rows)))
    for row, source in zip(loaded, rows, strict=True):
        assert stored_time(row["timestamp"]) == utc(source.get("timestamp"))
        for name in EVENT:
            assert exact(row[name]) == exact(source.get(name))


@pytest.mark.e2e
class TestIntoPostgres:
    """The runs of one project, one after the other."""

    def test_a_run_is_killed_in_the_middle(
        self, project: Project, postgres: Postgres, api: StandIn
    ) -> None:
        """Meltano, tap and target at once, after some of the rows have been loaded."""
        settings = {
            **settings_for(api, "large", "odd", "partly"),
            **postgres.settings,
            "TARGET_POSTGRES_BATCH_SIZE_ROWS": "1000",
        }
        count = "select count(*) from fullstory.imported_events"
        exists = "select to_regclass('fullstory.imported_events') is not null as yes"
        command = ("meltano", "--environment=prod", "run", TAP, TARGET)
        with project.start(*command, **settings) as run:
            deadline = time.monotonic() + 120
            loaded = 0
            while loaded < 1000:
                assert run.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
                if postgres.query(exists)[0]["yes"]:
                    loaded = postgres.query(count)[0]["count"]
            os.killpg(run.pid, signal.SIGKILL)
        assert 0 < loaded < 8020

    def test_the_next_run_completes_it(
        self, project: Project, postgres: Postgres, api: StandIn
    ) -> None:
        """By the README's commands; the table holds exactly the rows of the jobs."""
        (commands,) = blocks(HEADING, "sh")
        commands = filled_in(commands, postgres.settings)
        # Meltano takes a killed run for a running one, as the README says.
        commands = commands.replace(" run ", " run --force ")
        done = project.run(
            "bash", "-euc", commands, **settings_for(api, "large", "odd", "partly")
        )
        assert done.returncode == 0, done.stderr
        assert_loaded(postgres, "large", make_events(8000))
        assert_loaded(postgres, "odd", ODD_ROWS + NESTED_ROWS)
        assert_loaded(postgres, "partly", make_events(20))
        total = postgres.query("select count(*) from fullstory.imported_events")
        assert total == [{"count": 8020 + len(ODD_ROWS + NESTED_ROWS)}]

    def test_the_other_streams_are_loaded(self, postgres: Postgres) -> None:
        """The failed events, and the jobs with their times."""
        errors = postgres.query(
            "select job_id, error_index, message, code, event, shared"
            " from fullstory.import_errors order by error_index"
        )
        assert exact(errors) == exact(
            [
                {"job_id": "partly", "error_index": index, "shared": None, **failure}
                for index, failure in enumerate(FAILURES)
            ]
        )
        jobs = postgres.query(
            "select job_id, status, created_at, finished_at, imported_events,"
            " failed_events from fullstory.import_jobs order by job_id"
        )
        times = {
            "created_at": "2026-01-15T01:30:15.01",
            "finished_at": "2026-01-15T01:31:15.5",
        }
        assert jobs == [
            {"job_id": job_id, "status": status, **times, **counts(*numbers)}
            for job_id, status, *numbers in (
                ("large", "COMPLETED", 8000, 0),
                ("odd", "COMPLETED", len(ODD_ROWS + NESTED_ROWS), 0),
                ("partly", "FAILED", 20, 7),
            )
        ]

    def test_the_types_are_as_documented(self, postgres: Postgres) -> None:
        """And the primary keys are in place."""
        for table, (key, types) in DOCUMENTED.items():
            found = postgres.query(TYPES.format(table))
            assert {row["column_name"]: row["data_type"] for row in found} == {
                column: kind for kind, columns in types.items() for column in columns
            }
            found = postgres.query(KEY.format(table))
            assert found == [{"key": f"PRIMARY KEY ({key})"}]

    def test_the_query_of_the_readme_answers(self, postgres: Postgres) -> None:
        """With the reserved word."""
        (query,) = blocks(HEADING, "sql")
        tickets = [row for row in make_events(8000) if row["name"] == "Support Ticket"]
        tickets += [row for row in make_events(20) if row["name"] == "Support Ticket"]
        found = postgres.query(query)
        assert sorted((row["customer"], row["priority"]) for row in found) == sorted(
            (row["user"]["uid"], row["properties"]["priority"]) for row in tickets
        )

    def test_only_a_new_job_is_read_with_the_check_and_without_copy(
        self, project: Project, postgres: Postgres, api: StandIn
    ) -> None:
        """By the job of the project and the state that Meltano keeps.

        Values are the same. Times are UTC, though the server's time zone is another.
        """
        assert postgres.query(ZONE) == [{"setting": TIME_ZONE}]
        api.add(Job("inserted", rows=ODD_ROWS))
        api.clear()
        done = project.run(
            "meltano",
            "--environment=prod",
            "run",
            "--force",
            "fullstory-to-postgres",
            TARGET_POSTGRES_USE_COPY="false",
            TARGET_POSTGRES_VALIDATE_RECORDS="true",
            **settings_for(api, "large", "odd", "partly", "inserted"),
            **postgres.settings,
        )
        assert done.returncode == 0, done.stderr
        assert {request.job_id for request in api.requests} == {"inserted"}
        assert_loaded(postgres, "inserted", ODD_ROWS)

    def test_batches_load_the_same_rows(
        self, project: Project, postgres: Postgres, api: StandIn, tmp_path: Path
    ) -> None:
        """By the documented setting; the files stay, as the documentation says."""
        (setting,) = blocks("BATCH", "sh")
        setting = setting.replace("/path/to/files", str(tmp_path))
        command = f"meltano --environment=prod run --state-id-suffix=b {TAP} {TARGET}"
        done = project.run(
            *("bash", "-euc", setting + command),
            TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA="batched",
            **settings_for(api, "odd", "partly"),
            **postgres.settings,
        )
        assert done.returncode == 0, done.stderr
        assert_loaded(postgres, "odd", ODD_ROWS + NESTED_ROWS, "batched")
        assert_loaded(postgres, "partly", make_events(20), "batched")
        assert len([*tmp_path.iterdir()]) == 3  # one for each stream

    def test_a_row_that_can_not_be_stored_fails_the_run(
        self, project: Project, postgres: Postgres, api: StandIn
    ) -> None:
        """As the README says; nothing is lost, and nothing is marked as read."""
        api.add(Job("nul", rows=[{"name": "before"}, UNSTORABLE]))
        done = self.run_nul(project, postgres, api)
        assert done.returncode != 0
        assert "NUL" in done.stderr + done.stdout
        assert_loaded(postgres, "nul", [])

    def test_and_loads_once_the_setting_is_set(
        self, project: Project, postgres: Postgres, api: StandIn
    ) -> None:
        """Every row of the job, with U+FFFD in place of what can't be stored."""
        done = self.run_nul(
            project,
            postgres,
            api,
            TAP_FULLSTORY_IMPORTS_UNSTORABLE_CHARACTERS="replace",
            TARGET_POSTGRES_VALIDATE_RECORDS="true",
        )
        assert done.returncode == 0, done.stderr
        assert_loaded(postgres, "nul", [{"name": "before"}, STORED])

    @staticmethod
    def run_nul(
        project: Project, postgres: Postgres, api: StandIn, **settings: str
    ) -> Any:
        """Run the pipeline for the job that has the row."""
        return project.run_pipeline(
            api,
            "nul",
            target=TARGET,
            options=("--state-id-suffix=nul",),
            settings={**postgres.settings, "MELTANO_ENVIRONMENT": "prod", **settings},
        )


def counts(imported: int, failed: int) -> dict[str, int]:
    """The counts of a job."""
    return {"imported_events": imported, "failed_events": failed}
