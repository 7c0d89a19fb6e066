"""The dbt package on what the tap has loaded: by real dbt, value by value."""

from __future__ import annotations

import json
import re
import shutil
import socket
from ast import literal_eval
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from scripts import dbt_models
from tap_fullstory_imports.schemas import SCHEMAS
from tests.project import DBT, ROOT, Project, blocks, exact
from tests.stand_in import (
    Job,
    StandIn,
    make_events,
    make_failed_users,
    make_failures,
    make_users,
)

if TYPE_CHECKING:
    from tests.postgres_server import Postgres

HEADING = "Query it"
FAILURES, FAILED_USERS = make_failures(7), make_failed_users(5)
USERS = make_users(30)
TEXT = "2026-01-01T00:00:00." + "1" * 130 + "Z"  # no time that a database can hold
# Names that differ in case only, signs, Jinja, and values at the edge of their types:
# the property, its column, type and value.
ODD: list[tuple[str, str, str, Any]] = [
    ("select", "select", "int", 1),
    ("User", "user_b512d97e", "str", "large"),
    ("user", "user_04f8996d", "str", "small"),
    ("timestamp", "properties_timestamp", "date", "2026-03-29T02:30:00+02:00"),
    ("user_id", "properties_user_id", "int", 7),
    ("a b", "a_b", "bool", None),
    ("", "property_e3b0c442", "str", "no name"),
    ("1st", "_1st", "real", 1.5),
    ("🧢", "property_3dc8d6ec", "str", "帽子 🧢"),
    ('quo"te', "quo_te", "str", '"x" \\ \n 🧢'),
    ("it's back\\slash", "it_s_back_slash", "str", "a\\b"),
    ("sl/ash~", "sl_ash", "bools", [True, None, False]),
    ("{{ jinja }} {# x #}", "jinja_x", "str", "{{ x }}"),
    ("camelCase", "camel_case", "json", {"deep": [{"🧢": None}, 1.25]}),
    ("days", "days", "dates", ["2026-01-01T00:00:00Z", "2024-02-29"]),
    ("long" * 30, "long" * 13 + "lo_cc8458d7", "int", 9223372036854775807),
    ("empty", "empty", "strs", []),
    ("largest", "largest", "real", 1.7976931348623157e308),
    ("smallest", "smallest", "real", 5e-324),
    ("text", "text", "str", TEXT),
]
ODD_NAME = "odd \" 'name' 🧢 {{ x }}"
# Properties of changing type: the type of the column, and the values.
CHANGING: dict[str, tuple[str, list[Any]]] = {
    "mixed": ("str", [1, "one", True, None]),
    "wider": ("real", [1, 1.5, 2**63, None]),
    "text": ("str", ["2026-01-01", "soon", "2026-02-30", "2026-01-01T25:00:00Z"]),
    "list": ("str", [[1], 2, None, None]),
    "lists": ("reals", [[1], [1.5], [], [None]]),
}
COLUMNS = {  # of views: each property's column and type
    ODD_NAME: {name: (column, kind) for name, column, kind, _ in ODD},
    "Changing": {name: (name, kind) for name, (kind, _) in CHANGING.items()},
}
JOBS: dict[str, list[dict[str, Any]]] = {
    "whole": make_events(80),
    "partly": make_events(20, seed=5),
    "odd": [
        {
            "name": ODD_NAME,
            "timestamp": "2026-01-01T00:00:00Z",
            "properties": {name: value for name, _, _, value in ODD},
            "schema": {"properties": {"a b": "bool"}},
        },
        {"name": "only a name"},
        {"name": None, "properties": {"lost": 1}},
        {"name": "", "properties": None},
    ],
    "changing": [
        {"name": "Changing", "properties": dict(zip(CHANGING, values, strict=True))}
        for values in zip(*(values for _, values in CHANGING.values()), strict=True)
    ],
    "moving": [{"name": "sign up", "properties": {"plan": "a", "user-name": "b"}}],
    "counted": make_events(103, seed=7),
    "empty": [],
}
LONG = "щ" * 250
CUT = "p" * 60  # the start of two properties
# Loaded later: names that collide with those before, names that are cut, very many
# properties, and properties of changing type.
LATER: dict[str, list[dict[str, Any]]] = {
    "moved": [
        {"name": "Sign Up", "properties": {"plan": 1}},
        {"name": "sign up", "properties": {"Plan": 7, "userName": "x", "plan": "c"}},
    ],
    "cut": [
        {"name": LONG, "properties": {CUT + "1234": 1, CUT + "5678": 2}},
        {"name": f"{LONG}!", "properties": {"щ" * 40: 3}},
        {"name": "x" * 48},
    ],
    "wide": [
        {"name": "wide", "properties": {f"p{n}": value for n in range(1700)}}
        for value in (1, "one")
    ],
    "level": [{"name": "Level Finished", "properties": {"level": 2.5}}],
}
AFTER: dict[str, list[list[Any]]] = {
    "select name, plan from fullstory_event_sign_up_47de2358": [["Sign Up", 1]],
    "select plan as a, plan_fa8ed0bd as b, properties_user_name as c,"
    " properties_user_name_23ac944b as d"
    " from fullstory_event_sign_up order by job_id desc": [
        ["a", None, "b", None],
        ["c", 7, None, "x"],
    ],
    "select name from stg_fullstory_imports__imported_events"
    " where properties is null order by name": [[""], ["only a name"], ["x" * 48]],
}
COLUMNS_OF_VIEWS = """
    select relname as view, attname as column from pg_attribute
    join pg_class on pg_class.oid = attrelid
    where relnamespace = 'fullstory_models'::regnamespace and attnum > 0
    and relname like 'fullstory_event_%'
"""
PROPERTY = re.compile(r"property\(('.*'), '(\w+)', '(\w+)'\)")
FIELDS = [
    (path, dbt_models.word(definition))
    for path, definition in dbt_models.fields(
        "imported_events", SCHEMAS.get_schema("imported_events")
    )
    if path[0] not in {"job_id", "event_index", "schema"}
]
RAW = "fullstory.imported_events"
STAGING = "stg_fullstory_imports__"
UNIT_TEST = """
unit_tests:
- name: ticket
  model: fullstory_event_support_ticket
  given:
  - input: ref('dbt_fullstory_imports', 'fullstory_imports__events')
    rows: [{job_id: a, name: Support Ticket, properties: '{"priority": "High"}'}]
  expect: {rows: [{job_id: a, priority: High}]}
"""


def by_place(rows: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    found = {(row["job_id"], row["event_index"]): row for row in rows}
    assert len(rows) == len(found)
    return found


def at(event: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = event
    for name in path:
        value = (value or {}).get(name)
    return value


def stored(value: Any, kind: str) -> Any:
    """A value as a column of a type holds it."""
    if value is None:
        return None
    if kind.endswith("s"):
        return [stored(one, kind[:-1]) for one in value]
    if kind == "date":
        time = datetime.fromisoformat(value)
        text = (time.astimezone(UTC) if time.tzinfo else time).isoformat()[:26]
        return text.rstrip("0") if "." in text else text[:19]
    if kind == "str" and not isinstance(value, str):
        return json.dumps(value)
    return float(value) if kind == "real" else value


class Warehouse:
    """A project whose rows target-postgres has loaded into a server."""

    def __init__(self, project: Project, server: Postgres) -> None:
        self.project, self._server = project, server
        self.execute, self.raw = server.execute, server.query
        self.settings = {
            **server.settings,
            "MELTANO_ENVIRONMENT": "prod",
            "TAP_FULLSTORY_IMPORTS_INCLUDE_SCHEMA": "true",
            "TAP_FULLSTORY_IMPORTS_USER_JOB_IDS": "partly,second",
            "TARGET_POSTGRES_ADD_RECORD_METADATA": "true",
        }
        self.models = project.path / "transform" / "models"

    def load(self, *jobs: Job) -> None:
        names = [job.job_id for job in jobs if job.kind == "events"]
        with StandIn(*jobs) as api:
            done = self.project.run_pipeline(api, *names, settings=self.settings)
        assert done.returncode == 0, done.stderr

    def query(self, statement: str) -> list[dict[str, Any]]:
        return self.raw(re.sub(r"\bfrom ", "from fullstory_models.", statement))

    def rows(self, model: str) -> list[dict[str, Any]]:
        return self.query(f"select * from {model}")  # noqa: S608 - a test's own

    def dbt(self, *runs: str) -> list[str]:
        """What each run of dbt prints."""
        folder = str(self.models.parent)
        login = {
            name.replace("TARGET_", "DBT_").replace("DATABASE", "DBNAME"): text
            for name, text in self.settings.items()
        }
        places = dict.fromkeys(("DBT_PROJECT_DIR", "DBT_PROFILES_DIR"), folder)
        program = str(ROOT / "tests" / "dbt_runs.py")
        done = self.project.run(
            str(DBT.with_name("python")),
            *(program, *runs),
            **{**login, **places, "DBT_USE_COLORS": "false"},
        )
        return (done.stdout + done.stderr).split("Running with dbt=")[1:]

    def files(self) -> dict[str, str]:
        """What `propose` has written, wherever it is now."""
        paths = self.models.rglob("fullstory_*")
        return {path.name: path.read_text("utf-8") for path in paths if path.suffix}


def test_sources_and_staging_models_agree_with_the_schemas():
    files = {ROOT / path: text for path, text in dbt_models.files().items()}
    assert files.keys() == {*(ROOT / dbt_models.FOLDER).iterdir()}
    for path, text in files.items():
        assert path.read_text(encoding="utf-8") == text, path


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, postgres) -> Warehouse:
    loaded = Warehouse(Project(tmp_path_factory.mktemp("project")), postgres)
    later = {"uid": USERS[0]["uid"], "properties": {"plan": "later"}}
    loaded.load(
        *(
            Job(name, rows=rows, imports=104 if name == "counted" else None)
            for name, rows in JOBS.items()
            if name != "partly"
        ),
        Job("partly", rows=JOBS["partly"], failures=FAILURES, status="FAILED"),
        Job("partly", kind="users", rows=USERS, failures=FAILED_USERS, status="FAILED"),
        Job("second", kind="users", rows=[later], created="2026-02-01T00:00:00Z"),
    )
    return loaded


@pytest.fixture(scope="module")
def printed(warehouse):
    """What the README's commands print, without a network."""
    (commands,) = blocks(HEADING, "sh")
    shell = ("bash", "-euo", "pipefail", "-c")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        outside = {"http_proxy": address, "https_proxy": address}
        done = warehouse.project.run(*shell, commands, **warehouse.settings, **outside)
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):  # nothing has asked for anything
            proxy.accept()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.e2e
@pytest.mark.usefixtures("printed")
class TestPackage:
    """The runs of one project, one after the other."""

    def test_job_that_the_tap_accepts_does_not_fail_the_build(self, printed):
        assert "WARN=1 ERROR=0" in printed
        assert "job_id: counted, reported: 104, loaded: 103, missing: 1" in printed

    def test_events_and_views_have_every_value(self, warehouse):
        source = {(job, n): row for job in JOBS for n, row in enumerate(JOBS[job])}
        found = by_place(warehouse.rows("fullstory_imports__events"))
        assert found.keys() == source.keys()
        for place, event in source.items():
            assert found[place]["_sdc_batched_at"]
            for path, kind in FIELDS:
                value = found[place]["_".join(path)]
                assert exact(value) == exact(stored(at(event, path), kind)), path
        files = warehouse.files()
        for name in {event.get("name") for event in source.values()} - {None, ""}:
            view = f"fullstory_event_{re.sub(r'[^a-z]+', '_', name.lower()).strip('_')}"
            lines = PROPERTY.findall(files[f"{view}.sql"])
            columns = {literal_eval(key): (column, kind) for key, kind, column in lines}
            assert columns == COLUMNS.get(name, columns)
            rows = by_place(warehouse.rows(view))
            own = {k: one for k, one in source.items() if one.get("name") == name}
            assert rows.keys() == own.keys()
            for place, row in rows.items():
                for key, (column, kind) in columns.items():
                    value = stored(at(own[place], ("properties", key)), kind)
                    assert exact(row[column]) == exact(value), key

    def test_users_have_their_newest_values(self, warehouse):
        found = warehouse.rows("fullstory_user")
        rows = {(row["uid"], row["id"]): row for row in found}
        assert len(rows) == len(found) == len(USERS)
        for user in USERS:
            row, is_later = rows[user.get("uid"), user.get("id")], user is USERS[0]
            properties = user.get("properties", {}) | (
                {"plan": "later"} if is_later else {}
            )
            assert exact(row["properties"] or {}) == exact(properties)
            names = ("email", "display_name")
            assert [row[name] for name in names] == [user.get(name) for name in names]
            assert row["plan"] == properties.get("plan")
            assert row["job_id"] == ("second" if is_later else "partly")
        failed = warehouse.rows(f"{STAGING}user_import_errors order by error_index")
        for row, failure in zip(failed, FAILED_USERS, strict=True):
            assert exact(row["user"]) == exact(failure["user"])
            assert row["user_uid"] == failure["user"].get("uid")

    def test_statements_of_the_readme_answer(self, warehouse):
        tickets, jobs, failures = map(warehouse.query, blocks(HEADING, "sql"))
        events = [one for rows in JOBS.values() for one in rows]
        assert Counter(
            (row["user_uid"], row["priority"]) for row in tickets
        ) == Counter(
            (one["user"]["uid"], one["properties"]["priority"])
            for one in events
            if one.get("name") == "Support Ticket"
        )
        found = {(r["kind"], r["job_id"]): (r["loaded"], r["missing"]) for r in jobs}
        assert found == {("users", "partly"): (30, 0), ("users", "second"): (1, 0)} | {
            ("events", name): (len(rows), name == "counted")
            for name, rows in JOBS.items()
        }
        counted = {(row["kind"], row["code"]): row["failures"] for row in failures}
        failed = [("events", one) for one in FAILURES]
        failed += [("users", one) for one in FAILED_USERS]
        assert counted == Counter((kind, one["code"]) for kind, one in failed)

    def test_proposing_again_changes_no_line(self, warehouse):
        before = warehouse.files()
        (warehouse.models / "mine").mkdir()
        for path in warehouse.models.glob("fullstory/fullstory_event_sign_up.*"):
            shutil.move(path, warehouse.models / "mine")
        warehouse.load(*(Job(name, rows=rows) for name, rows in LATER.items()))
        told, built = warehouse.dbt("build", "propose", "build", "propose")
        for line in (
            "kind: events, name: Sign Up, property: , problem: no model",
            "kind: events, name: sign up, property: Plan, problem: no column",
            "property: level, type_in_model: int, type_found: real",
            "mine/fullstory_event_sign_up.sql: 2 new columns",
        ):
            assert line in told, told
        assert re.search(r"WARN=2 ERROR=0", built), built  # level, and the job counted
        assert "new" not in built
        after = warehouse.files()
        for name, text in before.items():
            lines = iter(after[name].splitlines())
            assert all(line in lines for line in text.splitlines()), name

    @pytest.mark.parametrize(("statement", "values"), AFTER.items())
    def test_names_keep_their_meaning_and_json_null_is_null(
        self, warehouse, statement, values
    ):
        assert [[*row.values()] for row in warehouse.query(statement)] == values

    def test_long_and_very_many_names_are_cut(self, warehouse):
        columns = warehouse.raw(COLUMNS_OF_VIEWS)
        names = {name for row in columns for name in row.values()}
        assert max(len(name.encode()) for name in names) == 63
        assert Counter(row["view"] for row in columns)["fullstory_event_wide"] > 1000
        views = [view for view in {row["view"] for row in columns} if "щ" in view]
        rows = [row for view in views for row in warehouse.rows(view)]
        assert {row["name"] for row in rows} == {LONG, f"{LONG}!"}
        (row,) = (row for row in rows if row["name"] == LONG)
        assert {row[name] for name in row if name.startswith("ppp")} == {1, 2}

    def test_rows_that_are_gone_fail_the_build_until_they_are_accepted(self, warehouse):
        warehouse.execute(
            "delete from fullstory.imported_events"
            " where job_id = 'whole' and event_index = 3 or job_id = 'changing'"
        )
        jobs = "{fullstory_imports_accepted_jobs: [whole, changing, counted]}"
        told, accepted = warehouse.dbt("build", f"build --vars '{jobs}'")
        assert "FAIL 2 fullstory_imports__jobs_have_no_gaps" in told, told
        assert "job_id: whole, reported: 80, loaded: 79, gaps: 1" in told
        assert "job_id: changing, reported: 4, loaded: 0, gaps: 0" in told
        assert "WARN=1 ERROR=0" in accepted  # level
        rows = warehouse.rows("fullstory_imports__events")
        counts = Counter(row["job_id"] for row in rows)
        assert (counts["whole"], counts["changing"]) == (79, 0)

    def test_table_that_cannot_be_read_fails_the_run(self, warehouse):
        right, column = "select on {0} {1} current_user", "alter table {0} rename {1}"
        for change, back, sentence in (
            (
                f"revoke {right.format(RAW, 'from')}",
                f"grant {right.format(RAW, 'to')}",
                "permission denied for table imported_events",
            ),
            (
                column.format(RAW, "event_index to place"),
                column.format(RAW, "place to event_index"),
                "has no column `event_index`, which is part of its key",
            ),
        ):
            warehouse.execute(change)
            (told,) = warehouse.dbt(f"run --select {STAGING}imported_events")
            warehouse.execute(back)
            assert sentence in told

    def test_column_that_the_tap_leaves_out_is_null(self, warehouse):
        warehouse.execute(f"alter table {RAW} drop column context cascade")
        select = f"run --full-refresh --select {STAGING}imported_events+1"
        (done,) = warehouse.dbt(select)
        assert "ERROR=0" in done, done
        rows = warehouse.rows("fullstory_imports__events")
        assert all(row["context_device_model"] is None for row in rows)
        assert any(row["user_uid"] for row in rows)

    def test_empty_build_unit_test_and_freshness(self, warehouse):
        (warehouse.models / "unit.yml").write_text(UNIT_TEST, encoding="utf-8")
        warehouse.execute("delete from fullstory.user_import_jobs")
        by_load = "{fullstory_imports_loaded_at_field: _sdc_batched_at}"
        unit, empty, freshness, loaded = warehouse.dbt(
            "test --select test_type:unit",
            "build --empty --exclude test_type:unit",
            "source freshness",
            f"source freshness --vars '{by_load}'",
        )
        assert "PASS fullstory_event_support_ticket::ticket" in unit, unit
        assert "ERROR=0" in empty, empty
        assert warehouse.rows("fullstory_imports__events")
        assert "WARN freshness of fullstory_imports.import_jobs" in freshness
        assert "WARN freshness of fullstory_imports.user_import_jobs" in freshness
        assert "PASS freshness of fullstory_imports.import_jobs" in loaded

    def test_first_day(self, warehouse):
        """Tables without rows, missing tables, and then streams that are not loaded."""
        listing = "ls --resource-type source"
        users = "fullstory.imported_users"
        warehouse.execute("drop schema fullstory_models cascade")
        warehouse.execute(f"truncate {RAW}, {users}")
        (empty,) = warehouse.dbt(listing, "propose")
        assert "No events and no users are loaded yet." in empty
        warehouse.execute(f"drop table {users}, fullstory.user_import_errors cascade")
        (missing,) = warehouse.dbt(listing, "propose")
        assert f'relation "{users}" does not exist' in missing
        loaded = ["imported_events", "import_errors", "import_jobs"]
        scoped = {"dbt_fullstory_imports": {"fullstory_imports_streams": loaded}}
        with (warehouse.models.parent / "dbt_project.yml").open("a") as file:
            file.write(json.dumps({"vars": scoped})[1:-1])
        (built,) = warehouse.dbt("run")
        assert " ERROR=0" in built, built
        assert not warehouse.rows("fullstory_imports__users")
