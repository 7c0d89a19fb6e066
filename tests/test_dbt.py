"""The dbt package on what the tap has loaded: by real dbt, value by value."""

from __future__ import annotations

import json
import re
import socket
from ast import literal_eval
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest

from scripts import dbt_models
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
FAILURES = make_failures(7)
USERS = make_users(30)
FAILED_USERS = make_failed_users(5)
# Its ID is that of a job of events, too.
USERS_JOB = Job(
    "partly", kind="users", rows=USERS, failures=FAILED_USERS, status="FAILED"
)
# Reserved words, names that differ in case only, signs, and an empty name.
ODD: dict[str, Any] = {
    "select": 1,
    "User": "large",
    "user": "small",
    "timestamp": "2026-03-29T02:30:00+02:00",
    "user_id": 7,
    "a b": None,
    "dot.ted": True,
    "": "no name",
    "1st": 1.5,
    "🧢": "帽子 🧢",
    'quo"te': '"x" \\ \n 🧢',
    "it's": "it's",
    "back\\slash": "a\\b",
    "sl/ash~": [True, None, False],
    "{{ jinja }} {# x #}": "{{ x }}",
    "camelCase": {"deep": [{"🧢": None}, 1.25]},
    "days": ["2026-01-01T00:00:00Z", "2024-02-29"],
    "long" * 30: 9223372036854775807,
    "empty": [],
}
ODD_COLUMNS = {
    "select": ("select", "int"),
    "User": ("user", "str"),
    "user": ("properties_user", "str"),
    "timestamp": ("properties_timestamp", "date"),
    "user_id": ("properties_user_id", "int"),
    "a b": ("a_b", "str"),
    "dot.ted": ("dot_ted", "bool"),
    "": ("property", "str"),
    "1st": ("_1st", "real"),
    "🧢": ("properties_property", "str"),
    'quo"te': ("quo_te", "str"),
    "it's": ("it_s", "str"),
    "back\\slash": ("back_slash", "str"),
    "sl/ash~": ("sl_ash", "bools"),
    "{{ jinja }} {# x #}": ("jinja_x", "str"),
    "camelCase": ("camel_case", "json"),
    "days": ("days", "dates"),
    "long" * 30: (("long" * 30)[:50], "int"),
    "empty": ("empty", "strs"),
}
ODD_NAME = "odd \" 'name' 🧢 {{ x }}"
# One property for each way in which types meet; the proposed type, and if it changes.
CHANGING: list[dict[str, Any]] = [
    {
        "mixed": 1,
        "wider": 1,
        "text": "2026-01-01",
        "list": [1],
        "lists": [1],
        "huge": 1,
    },
    {"mixed": "one", "wider": 1.5, "text": "soon", "list": 2, "lists": [1.5]},
    {"mixed": True, "huge": 2**63, "text": "2026-02-30", "list": None, "lists": []},
    {"text": "2026-01-01T25:00:00Z", "lists": [None]},
]
CHANGED = {
    "mixed": ("str", True),
    "wider": ("real", False),
    "text": ("str", False),
    "list": ("str", True),
    "lists": ("reals", False),
    "huge": ("real", False),
}
JOBS: dict[str, list[dict[str, Any]]] = {
    "whole": make_events(80),
    "partly": make_events(20, seed=5),
    "odd": [
        {"name": ODD_NAME, "timestamp": "2026-01-01T00:00:00Z", "properties": ODD},
        {"name": "only a name"},
        {"name": None, "properties": {"lost": 1}},
        {"name": "", "properties": None},
    ],
    "changing": [{"name": "Changing", "properties": one} for one in CHANGING],
    "empty": [],
}
EVENTS = [
    (job_id, index, event)
    for job_id, rows in JOBS.items()
    for index, event in enumerate(rows)
]
NAMES = {row["name"] for _, _, row in EVENTS if row.get("name")}
STAGING = "stg_fullstory_imports__"
COMPLETE = "fullstory_imports__finished_jobs_are_complete"
# What later rows can be like: a number that is no integer, a job of today, a field that
# the tap leaves out, and a failed event that is missing.
CHANGES = (
    """
    update fullstory.imported_events set properties = '{"level": 2.5}'
    where name = 'Level Finished' and event_index < 20
    """,
    "update fullstory.user_import_jobs set created_at = now() at time zone 'UTC'",
    "alter table fullstory.imported_events drop column context cascade",
    "delete from fullstory.import_errors where error_index = 3",
)
BASE = {
    "user": ("id", "uid"),
    "session": ("id", "uid"),
    "context_browser": ("url", "user_agent", "initial_referrer"),
    "context_mobile": ("app_id", "app_version", "app_name", "build_variant"),
    "context_device": (
        "manufacturer",
        "model",
        "screen_width",
        "screen_height",
        "viewport_width",
        "viewport_height",
    ),
    "context_location": (
        "country",
        "region",
        "city",
        "latitude",
        "longitude",
        "ip_address",
    ),
}


def moment(text: str) -> datetime:
    """A time of the source in UTC, as a database holds it."""
    date = datetime.fromisoformat(text)
    return date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date


def base(event: dict[str, Any]) -> dict[str, Any]:
    """What an event gives for the columns that each event has."""
    found: dict[str, Any] = {}
    for place, names in BASE.items():
        value: Any = event
        for name in place.split("_"):
            value = (value or {}).get(name)
        found |= {f"{place}_{name}": (value or {}).get(name) for name in names}
    return found


def expected(value: Any, kind: str) -> Any:
    """What a property's value is as a column of a type."""
    if value is None:
        return None
    if kind == "json" or (kind == "str" and not isinstance(value, str)):
        return exact(value)
    if kind == "date":
        return moment(value)
    if kind == "real":
        return float(value)
    if kind.endswith("s"):
        return [expected(one, kind[:-1]) for one in value]
    return value


def job(job_id: str, rows: list[dict[str, Any]]) -> Job:
    """A job of the stand-in."""
    if job_id == "partly":
        return Job(job_id, rows=rows, failures=FAILURES, status="FAILED")
    return Job(job_id, rows=rows)


def model_of(name: str) -> str:
    """The view of an event name."""
    words = re.sub(r"[\W_]+", "_", name).strip("_").lower()
    return f"fullstory_event_{words}"


def listed(model: str) -> dict[str, tuple[str, str]]:
    """The columns and types of the properties that a proposed model lists."""
    text = re.sub(r"^\{#.*#\}$", "", model, flags=re.MULTILINE)
    _, _, entries = text.partition(", {\n")
    types = literal_eval("{" + entries.rpartition("})")[0] + "}")
    if ODD_NAME in literal_eval(
        text.partition("fullstory_event(")[2].partition(", {")[0]
    ):
        return {key: (ODD_COLUMNS[key][0], kind) for key, kind in types.items()}
    return {key: (key, kind) for key, kind in types.items()}


class Warehouse:
    """A server that target-postgres has loaded into.

    Attributes:
        settings: With which the target and dbt find it.
    """

    def __init__(self, server: Postgres) -> None:
        """Take the settings of target-postgres for dbt, too."""
        self._server = server
        self.execute = server.execute
        self.settings = {
            **server.settings,
            "MELTANO_ENVIRONMENT": "prod",
            "TAP_FULLSTORY_IMPORTS_INCLUDE_SCHEMA": "true",
        }

    def query(self, statement: str) -> list[dict[str, Any]]:
        """The rows that a query of the models gives."""
        return self._server.query(
            re.sub(r"\bfrom ", "from fullstory_models.", statement)
        )

    def rows(self, model: str) -> list[dict[str, Any]]:
        """All rows of a model."""
        return self.query(f"select * from {model}")  # noqa: S608 - a test's own


def time(value: str | None) -> datetime | None:
    """A time of the database."""
    return None if value is None else moment(value)


def column(value: Any, kind: str, source: Any) -> Any:
    """A property's column as `expected` gives it."""
    if value is None:
        return None
    if kind == "json" or (kind == "str" and not isinstance(source, str)):
        return exact(value if kind == "json" else loads(value))
    if kind == "date":
        return moment(value)
    if kind == "real":
        return float(value)
    if kind in {"dates", "reals"}:
        return [column(one, kind[:-1], source) for one in value]
    return value


def loads(text: str) -> Any:
    """JSON with every digit."""
    return json.loads(text, parse_float=Decimal)


def assert_user(row: dict[str, Any], user: dict[str, Any], prefix: str) -> None:
    """The row has the fields of a user of the source."""
    for name in ("id", "uid", "display_name", "email", "properties"):
        assert exact(row[f"{prefix}{name}"]) == exact(user.get(name))


def test_sources_and_staging_models_agree_with_the_schemas():
    """Or `make dbt-models` has been forgotten."""
    files = {ROOT / path: text for path, text in dbt_models.files().items()}
    assert files.keys() == {*(ROOT / dbt_models.FOLDER).iterdir()}
    for path, text in files.items():
        assert path.read_text(encoding="utf-8") == text, path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project for the tests of this file, which follow each other."""
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def warehouse(project: Project, postgres: Postgres) -> Warehouse:
    """All jobs; one has failed in part."""
    jobs = [job(name, rows) for name, rows in JOBS.items()]
    users = {"TAP_FULLSTORY_IMPORTS_USER_JOB_IDS": USERS_JOB.job_id}
    loaded = Warehouse(postgres)
    with StandIn(*jobs, USERS_JOB) as api:
        done = project.run_pipeline(api, *JOBS, settings={**loaded.settings, **users})
    assert done.returncode == 0, done.stderr
    return loaded


def make_views(project: Project, warehouse: Warehouse) -> str:
    """Make all models and run all tests, by the README's commands, without a network.

    Returns:
        What dbt prints.
    """
    (commands,) = blocks(HEADING, "sh")
    shell = ("bash", "-euo", "pipefail", "-c")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        outside = {"http_proxy": address, "https_proxy": address}
        done = project.run(*shell, commands, **warehouse.settings, **outside)
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):  # nothing has asked for anything
            proxy.accept()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.e2e
class TestPackage:
    """The runs of one project, one after the other."""

    def test_each_event_name_has_a_view(self, project, warehouse):
        """Sources, staging models and all tests first, then a view for each name."""
        printed = make_views(project, warehouse)
        folder = project.path / "transform" / "models"
        made = {path.stem for path in folder.glob("*.sql")}
        assert made == {model_of(name) for name in NAMES}
        # Properties of changing type are text and named in a warning.
        assert "WARN=1 ERROR=0" in printed
        text = (folder / "fullstory_event_changing.sql").read_text(encoding="utf-8")
        for name, (kind, is_changing) in CHANGED.items():
            assert f"    '{name}': '{kind}'," in text
            noted = f"'{name}' is text, because its type changes" in text
            warned = f"property `{name}` of the event `Changing`" in printed
            assert (noted, warned) == (is_changing, is_changing), name

    def test_every_event_has_its_values_in_typed_columns(self, warehouse):
        """In the staging model."""
        rows = warehouse.rows(f"{STAGING}imported_events")
        found = {(row["job_id"], row["event_index"]): row for row in rows}
        assert len(found) == len(rows) == len(EVENTS)
        for job_id, index, event in EVENTS:
            row = found[job_id, index]
            assert exact({name: row[name] for name in base(event)}) == exact(
                base(event)
            )
            assert row["name"] == event.get("name")
            assert exact(row["properties"]) == exact(event.get("properties"))
            assert time(row["timestamp"]) == (
                moment(event["timestamp"]) if "timestamp" in event else None
            )

    def test_every_view_has_exactly_the_values_of_its_events(self, project, warehouse):
        """Each property in a column of its own."""
        for name in NAMES:
            file = project.path / f"transform/models/{model_of(name)}.sql"
            types = listed(file.read_text(encoding="utf-8"))
            rows = warehouse.rows(model_of(name))
            found = {(row["job_id"], row["event_index"]): row for row in rows}
            own = [one for one in EVENTS if one[2].get("name") == name]
            assert found.keys() == {(job_id, index) for job_id, index, _ in own}
            for job_id, index, event in own:
                row, properties = found[job_id, index], event.get("properties") or {}
                assert properties.keys() <= types.keys()
                assert exact({one: row[one] for one in base(event)}) == exact(
                    base(event)
                )
                for key, (name_of_column, kind) in types.items():
                    source = properties.get(key)
                    loaded = column(row[name_of_column], kind, source)
                    assert loaded == expected(source, kind), key

    def test_odd_names_become_columns_once(self, project):
        """Reserved words, emoji, and names that differ in case only."""
        file = project.path / f"transform/models/{model_of(ODD_NAME)}.sql"
        found = listed(file.read_text(encoding="utf-8"))
        assert {key: kind for key, (_, kind) in found.items()} == {
            key: kind for key, (_, kind) in ODD_COLUMNS.items()
        }

    def test_the_statements_of_the_readme_answer(self, warehouse):
        """All of them."""
        tickets, jobs, failures = map(warehouse.query, blocks(HEADING, "sql"))
        own = [row for _, _, row in EVENTS if row.get("name") == "Support Ticket"]
        assert sorted((row["user_uid"], row["priority"]) for row in tickets) == sorted(
            (row["user"]["uid"], row["properties"]["priority"]) for row in own
        )
        columns = (
            "kind",
            "job_id",
            "status",
            "reported",
            "loaded",
            "missing",
            "failed",
        )
        assert sorted(tuple(row[one] for one in columns) for row in jobs) == sorted(
            [
                ("users", "partly", "FAILED", 30, 30, 0, 5),
                ("events", "partly", "FAILED", 20, 20, 0, 7),
                *(
                    ("events", job_id, "COMPLETED", len(rows), len(rows), 0, 0)
                    for job_id, rows in JOBS.items()
                    if job_id != "partly"
                ),
            ]
        )
        sources = {"events": (FAILURES, "event"), "users": (FAILED_USERS, "user")}
        found = {(row["kind"], row["code"]): row["failures"] for row in failures}
        assert found == Counter(
            (kind, one["code"]) for kind, (rows, _) in sources.items() for one in rows
        )
        for row in failures:
            rows, key = sources[row["kind"]]
            first = next(one for one in rows if one["code"] == row["code"])
            assert row["example_message"] == first["message"]
            assert exact(row["example"]) == exact(first[key])

    def test_every_user_has_its_values(self, warehouse):
        """Also the users that failed."""
        rows = warehouse.rows(f"{STAGING}imported_users")
        rows.sort(key=itemgetter("user_index"))
        for row, user in zip(rows, USERS, strict=True):
            assert_user(row, user, "")
        rows = warehouse.rows(f"{STAGING}user_import_errors")
        rows.sort(key=itemgetter("error_index"))
        for row, failure in zip(rows, FAILED_USERS, strict=True):
            assert_user(row, failure["user"], "user_")

    def test_every_failed_event_has_its_values_in_typed_columns(self, warehouse):
        """In the staging model."""
        rows = warehouse.rows(f"{STAGING}import_errors")
        rows.sort(key=itemgetter("error_index"))
        for row, failure in zip(rows, FAILURES, strict=True):
            event, session = failure["event"], failure["event"]["session"]
            wanted = {f"event_{name}": value for name, value in base(event).items()}
            assert exact({name: row[name] for name in wanted}) == exact(wanted)
            assert row["event_timestamp"] == event["timestamp"]
            most_recent = session.get("use_most_recent")
            assert row["event_session_use_most_recent"] == most_recent
            shared = failure.get("shared", {}).get("context", {}).get("location", {})
            assert row["shared_context_location_country"] == shared.get("country")

    def test_a_finished_job_with_fewer_rows_than_reported_is_found(self, warehouse):
        """In the number of missing rows."""
        warehouse.execute("delete from fullstory.imported_events where event_index = 3")
        (jobs,) = (one for one in blocks(HEADING, "sql") if "missing" in one)
        assert {
            row["job_id"]: row["missing"]
            for row in warehouse.query(jobs)
            if row["kind"] == "events"
        } == {job_id: 1 if len(rows) > 3 else 0 for job_id, rows in JOBS.items()}

    def test_rows_that_change_later_lead_to_warnings(self, project, warehouse):
        """In one process, after the tests above, which need the rows as loaded."""
        for statement in CHANGES:
            warehouse.execute(statement)
        streams = {"fullstory_imports_streams": ["import_jobs", "import_errors"]}
        folder = str(project.path / "transform")
        login = {
            name.replace("TARGET_", "DBT_").replace("DATABASE", "DBNAME"): text
            for name, text in warehouse.settings.items()
        }
        done = project.run(
            str(DBT.with_name("python")),
            str(ROOT / "tests" / "dbt_runs.py"),
            "source freshness",
            "build",
            f"compile --vars '{json.dumps(streams)}'",
            DBT_PROJECT_DIR=folder,
            DBT_PROFILES_DIR=folder,
            DBT_USE_COLORS="false",
            **login,
        )
        freshness, build, compiled = done.stdout.split("Running with dbt=")[1:]
        assert "WARN freshness of fullstory_imports.import_jobs" in freshness
        assert "PASS freshness of fullstory_imports.user_import_jobs" in freshness
        assert re.search(rf"FAIL 4 {COMPLETE}", build), build
        assert (
            "do not all fit the type `int` in the model fullstory_event_level_finished,"
            " which has null for the others. Use `real`." in build
        )
        rows = warehouse.rows(f"{STAGING}imported_events")
        assert all(row["context_device_model"] is None for row in rows)
        assert any(row["user_uid"] for row in rows)
        # Without the stream of the events, their views are disabled.
        assert "Found 4 models" in compiled
        assert not re.search("(?i)warning|error", compiled)
