"""The pipeline into real targets: PostgreSQL, and Snowflake with an emulator behind it.

What the emulator does not understand is in `snowflake_emulator.py`.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from tests.odd_rows import NESTED_ROWS, ODD_ROWS, STORED, UNSTORABLE
from tests.postgres_server import TIME_ZONE
from tests.project import TAP, Project, batches_in, blocks, exact, filled_in
from tests.project import settings_for as reading
from tests.snowflake_project import Snowflake
from tests.stand_in import (
    Answer,
    Job,
    StandIn,
    make_events,
    make_failures,
    make_users,
)

LARGE, FAILURES = make_events(1500), make_failures(7)
PARTLY, USERS = make_events(20, seed=1), make_users(30)
OBJECTS = ("user", "session", "context", "properties", "schema", "event", "shared")
HANGS = {"imports:10": [Answer(hang=True)]}  # after 1,000 rows
SOURCE = {
    "large": LARGE,
    "partly": PARTLY,
    "odd": [*ODD_ROWS, *NESTED_ROWS, STORED],
    "checked": [*ODD_ROWS, STORED],
}
DOCUMENTED = {
    "imported_events": {
        "text": ["job_id", "name"],
        "count": ["event_index"],
        "time": ["timestamp"],
        "object": ["user", "session", "context", "properties", "schema"],
    },
    "import_errors": {
        "text": ["job_id", "message", "code"],
        "count": ["error_index"],
        "object": ["event", "shared"],
    },
    "import_jobs": {
        "text": ["job_id", "status"],
        "count": ["imported_events", "failed_events"],
        "time": ["created_at", "finished_at"],
    },
}
TYPES = """
    select lower(column_name) as name, data_type as kind from information_schema.columns
    where lower(table_schema) = 'fullstory' and lower(table_name) = '{}'
"""
KEY = """
    select pg_get_constraintdef(oid) as key from pg_constraint
    where conrelid = 'fullstory.{}'::regclass and contype = 'p'
"""
LOADED = """
    select min(_sdc_batched_at) as earliest, max(_sdc_batched_at) as latest,
    count(*) - count(_sdc_batched_at) as unknown from {}.import_jobs
"""
ZONE = "select setting from pg_settings where name = 'TimeZone'"

pytestmark = pytest.mark.e2e


class ToPostgres:
    target, heading = "target-postgres", "Into PostgreSQL"
    in_case = staticmethod(str.lower)  # names of schemas
    types = ("text", "bigint", "timestamp without time zone", "jsonb")

    def __init__(self, folder, server):
        self.project, self._server = Project(folder / "project"), server
        self.settings = server.settings
        self.place = {}
        self.while_killed = {"TARGET_POSTGRES_BATCH_SIZE_ROWS": "300"}
        self.checked = {"TARGET_POSTGRES_USE_COPY": "false"}
        self.query = server.query

    def has_loaded(self):
        table = "fullstory.imported_events"
        (found,) = self.query(f"select to_regclass('{table}') is not null as yes")
        return found["yes"] and self.query(f"select 1 from {table} limit 1") != []  # noqa: S608


class ToSnowflake:
    target, heading = "target-snowflake", "Into Snowflake"
    in_case = staticmethod(str.upper)
    types = ("TEXT", "NUMBER", "TIMESTAMP_NTZ", "VARIANT")

    def __init__(self, folder):
        self.snowflake = Snowflake(folder)
        self.project = self.snowflake.project
        self.settings, self.place = self.snowflake.settings, self.snowflake.place
        self.checked = {"TARGET_SNOWFLAKE_LOAD_METHOD": "append-only"}
        self.while_killed = batches_in(folder / "batches", batch_size=50)

    def query(self, statement):
        rows = [
            {name.lower(): value for name, value in row.items()}
            for row in self.snowflake.query(statement)
        ]
        for row in rows:
            for name in {*OBJECTS} & row.keys():
                row[name] = loads(row[name] or "null")
        return rows

    def has_loaded(self):  # one process at a time can open the databases
        return True


loads = partial(json.loads, parse_float=Decimal)


def moment(text):
    """A time in UTC; columns have no zone."""
    if text is None or text == "yesterday":
        return None
    time = datetime.fromisoformat(text)
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


def comparable(event):
    fields = {name: event.get(name) for name in ("name", *OBJECTS[:5])}
    return moment(event.get("timestamp")), exact(fields)


def run(warehouse, api, *job_ids, commands="", options="", **settings):
    """Run the documented commands, which must succeed."""
    *_, shown = blocks(warehouse.heading, "sh")
    commands = commands + filled_in(shown, warehouse.settings)
    done = warehouse.project.run(
        *("bash", "-euc", commands.replace(" run ", f" run --force {options} ")),
        **{**reading(api, *job_ids), **warehouse.place, **settings},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def assert_loaded(warehouse, *job_ids, schema=""):
    """The events of jobs are these: none more, none less, every value equal."""
    table = f"{schema or 'fullstory'}.imported_events"
    for job_id in job_ids:
        loaded = warehouse.query(
            f"select * from {table} where job_id = '{job_id}' order by event_index"  # noqa: S608
        )
        assert [row["event_index"] for row in loaded] == [*range(len(SOURCE[job_id]))]
        for row, source in zip(loaded, SOURCE[job_id], strict=True):
            assert comparable(row) == comparable(source)


def assert_are_recent(loaded):
    (times,) = loaded
    assert times["unknown"] == 0
    now = datetime.now(UTC).replace(tzinfo=None)
    for name in ("earliest", "latest"):
        assert timedelta(0) <= now - moment(times[name]) < timedelta(hours=1)


class Cases:
    """The runs of one project, one after the other."""

    @pytest.fixture(scope="class")
    @classmethod
    def api(cls):
        with StandIn(
            Job("large", rows=LARGE, script=HANGS),
            Job("odd", rows=[*ODD_ROWS, *NESTED_ROWS, UNSTORABLE]),
            Job("partly", rows=PARTLY, failures=FAILURES, status="FAILED"),
        ) as stand_in:
            yield stand_in

    def test_killed_run_is_completed_by_the_next(self, warehouse, api):
        """Meltano, tap and target are killed at once; then by the README's commands."""
        jobs = ("large", "odd", "partly")
        settings = {**warehouse.settings, **warehouse.place, **warehouse.while_killed}
        command = ("meltano", "--environment=prod", "run", TAP, warehouse.target)
        project = warehouse.project
        with project.start(*command, **reading(api, *jobs), **settings) as killed:
            deadline = time.monotonic() + 120
            while len(api.asked("large", "imports")) < 11 or not warehouse.has_loaded():
                assert killed.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            os.killpg(killed.pid, signal.SIGKILL)
        run(warehouse, api, *jobs)
        assert_loaded(warehouse, *jobs)
        total = warehouse.query("select count(*) as n from fullstory.imported_events")
        assert total == [{"n": sum(len(SOURCE[one]) for one in jobs)}]

    def test_other_streams_are_loaded(self, warehouse):
        errors = warehouse.query(
            "select job_id, error_index, message, code, event, shared"
            " from fullstory.import_errors order by error_index"
        )
        assert exact(errors) == exact(
            [
                {"job_id": "partly", "error_index": index, "shared": None, **failure}
                for index, failure in enumerate(FAILURES)
            ]
        )
        times = ("2026-01-15 01:30:15.01", "2026-01-15 01:31:15.5")
        jobs = warehouse.query("select * from fullstory.import_jobs order by job_id")
        for job, expected in zip(
            jobs,
            (
                ("large", "COMPLETED", len(LARGE), 0),
                ("odd", "COMPLETED", len(SOURCE["odd"]), 0),
                ("partly", "FAILED", 20, 7),
            ),
            strict=True,
        ):
            names = ("job_id", "status", "imported_events", "failed_events")
            assert tuple(job[name] for name in names) == expected
            found = moment(job["created_at"]), moment(job["finished_at"])
            assert found == tuple(map(moment, times))

    def test_types_are_as_documented(self, warehouse):
        kinds = dict(
            zip(("text", "count", "time", "object"), warehouse.types, strict=True)
        )
        for table, columns in DOCUMENTED.items():
            found = {
                row["name"]: row["kind"] for row in warehouse.query(TYPES.format(table))
            }
            assert {name: k for name, k in found.items() if name[:4] != "_sdc"} == {
                name: kinds[kind] for kind, names in columns.items() for name in names
            }

    def test_rows_have_the_time_of_their_load(self, warehouse):
        assert_are_recent(warehouse.query(LOADED.format("fullstory")))

    def test_query_of_the_readme_answers(self, warehouse):
        *_, query = blocks(warehouse.heading, "sql")
        assert Counter(
            (row["customer"], row["priority"]) for row in warehouse.query(query)
        ) == Counter(
            (row["user"]["uid"], row["properties"]["priority"])
            for row in [*LARGE, *PARTLY]
            if row["name"] == "Support Ticket"
        )

    def test_only_a_new_job_is_read_in_another_way_with_the_target_s_check(
        self, warehouse, api
    ):
        """By the state that Meltano keeps."""
        api.add(Job("checked", rows=[*ODD_ROWS, UNSTORABLE]))
        api.clear()
        name = warehouse.target.removeprefix("target-")
        prefix = f"TARGET_{name.upper()}"
        schema = warehouse.in_case("checked")
        command = f"meltano --environment=prod run --force {TAP} {warehouse.target}"
        done = warehouse.project.run(
            *command.split(),
            **reading(api, "large", "odd", "partly", "checked"),
            **{f"{prefix}_VALIDATE_RECORDS": "true"},
            **{f"{prefix}_DEFAULT_TARGET_SCHEMA": schema},
            **{**warehouse.settings, **warehouse.place, **warehouse.checked},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert {request.job_id for request in api.requests} == {"checked"}
        assert_loaded(warehouse, "checked", schema=schema)


class TestIntoPostgres(Cases):
    @pytest.fixture(scope="class")
    @classmethod
    def warehouse(cls, tmp_path_factory, postgres):
        return ToPostgres(tmp_path_factory.mktemp("postgres"), postgres)

    def test_keys_and_zone(self, warehouse):
        """Times were UTC, though the server's own zone is another."""
        for table, key in (
            ("imported_events", "job_id, event_index"),
            ("import_errors", "job_id, error_index"),
            ("import_jobs", "job_id"),
        ):
            found = warehouse.query(KEY.format(table))
            assert found == [{"key": f"PRIMARY KEY ({key})"}]
        assert warehouse.query(ZONE) == [{"setting": TIME_ZONE}]

    def test_batches_load_the_same_rows(self, warehouse, api, tmp_path):
        """By the documented setting, in a folder that is gone at the end."""
        (setting,) = blocks("BATCH", "sh")
        run(
            *(warehouse, api, "odd", "partly"),
            commands=f"{setting}\necho $files > $TMPDIR/name\n",
            options="--state-id-suffix=batches",
            TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA="batched",
            TMPDIR=str(tmp_path),
        )
        assert_loaded(warehouse, "odd", "partly", schema="batched")
        assert_are_recent(warehouse.query(LOADED.format("batched")))
        assert not Path((tmp_path / "name").read_text().strip()).exists()


class TestIntoSnowflake(Cases):
    @pytest.fixture(scope="class")
    @classmethod
    def warehouse(cls, tmp_path_factory):
        warehouse = ToSnowflake(tmp_path_factory.mktemp("snowflake"))
        yield warehouse
        warehouse.snowflake.close()

    def test_rows_that_come_again_are_merged(self, warehouse, api, tmp_path):
        """From the tap's own files, of which none is left."""
        words = warehouse.snowflake.statements()
        assert {"put", "copy", "merge", "remove"} <= {*words}
        run(warehouse, api, "partly", options="--full-refresh", TMPDIR=str(tmp_path))
        assert_loaded(warehouse, "partly")
        words = warehouse.snowflake.statements()
        files = [file for word, file in pairwise(words) if word == "put"]
        assert len(files) == 3  # one for each stream
        assert all(file.startswith(f"{TAP}--") for file in files)
        assert words.count("merge") == 3
        assert "copy" not in words
        assert [*tmp_path.glob("tmp.*")] == []  # the folder of the files

    def test_dbt_makes_typed_views_of_events_and_users(self, warehouse, api):
        """By the real adapter: proposed, built, and every value compared."""
        for table in ("imported_events", "import_jobs"):  # names: see test_dbt.py
            warehouse.query(f"delete from fullstory.{table} where job_id = 'odd'")  # noqa: S608
        changed = {"uid": USERS[0]["uid"], "properties": {"plan": "later"}}
        api.add(Job("people", kind="users", rows=USERS))
        api.add(Job("newer", kind="users", rows=[changed], created="2026-02-01T00:00Z"))
        users = {"TAP_FULLSTORY_IMPORTS_USER_JOB_IDS": "people,newer"}
        run(warehouse, api, options="--state-id-suffix=users", **users)
        folder = warehouse.project.path / "transform"
        (folder / "dbt_packages").mkdir()
        package = folder / "dbt_packages" / "dbt_fullstory_imports"
        package.symlink_to(warehouse.project.path / "dbt")
        done = warehouse.snowflake.dbt("propose", "build")
        assert "WARN=0 ERROR=0" in done
        orders = folder / "models" / "fullstory" / "fullstory_event_order_completed.sql"
        assert "'placed_at', 'date'," in orders.read_text("utf-8")
        (query,) = (one for one in blocks("Query it", "sql") if "missing" in one)
        jobs = warehouse.query(query.replace("from ", "from fullstory_models."))
        assert {(job["job_id"], job["loaded"], job["missing"]) for job in jobs} == {
            ("large", len(LARGE), 0),
            ("partly", 20, 0),
            ("people", 30, 0),
            ("newer", 1, 0),
        }
        events = {
            (job_id, index): event
            for job_id in ("large", "partly")
            for index, event in enumerate(SOURCE[job_id])
        }
        for name in {event["name"] for event in events.values()}:
            view = f"fullstory_event_{name.lower().replace(' ', '_')}"
            rows = warehouse.snowflake.query(f"select * from fullstory_models.{view}")  # noqa: S608
            found = {(row["JOB_ID"], row["EVENT_INDEX"]): row for row in rows}
            own = {key: one for key, one in events.items() if one["name"] == name}
            assert len(rows) == len(found)
            assert found.keys() == own.keys()
            for key, event in own.items():
                row = found[key]
                assert row["USER_UID"] == event["user"]["uid"]
                assert row["SESSION_ID"] == event["session"]["id"]
                for field, value in event["properties"].items():
                    column = "PROPERTIES_ID" if field == "id" else field.upper()
                    assert is_same(row[column], value), field
        found = warehouse.snowflake.query(
            "select * from fullstory_models.fullstory_user"
        )
        people = {(row["UID"], row["ID"]): row for row in found}
        assert len(people) == len(found) == len(USERS)
        for user in USERS:
            row = people[user.get("uid"), user.get("id")]
            newer = changed["properties"] if user is USERS[0] else {}
            for field in ("email", "display_name"):
                assert row[field.upper()] == user.get(field)
            for field, value in {**user["properties"], **newer}.items():
                assert is_same(row[field.upper()], value), field


def is_same(loaded, value):
    """Whether a column has a property's value."""
    if isinstance(value, dict | list):
        return bool(exact(loads(loaded)) == exact(value))
    if isinstance(value, str) and loaded != value:
        return moment(loaded) == moment(value)
    return type(loaded) is type(value) and bool(loaded == value)
