"""The pipeline into Snowflake: the real target, with an emulator behind it.

What the emulator does not understand, and what stands in for it, is in
`snowflake_emulator.py`.
"""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from yaml import safe_dump

from tests.odd_rows import NESTED_ROWS, ODD_ROWS
from tests.project import TAP, batches_in, blocks, exact, filled_in, settings_for
from tests.snowflake_project import PROD, TARGET, Snowflake
from tests.stand_in import Answer, Job, StandIn, make_events, make_failures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.stand_in import Request

HEADING = "Into Snowflake"
FAILURES = make_failures(7)
EVENT_STREAMS = ("imported_events", "import_errors", "import_jobs")
OBJECTS = ("user", "session", "context", "properties", "schema")
TYPES = """
    select column_name, data_type from information_schema.columns
    where table_schema = 'FULLSTORY' and table_name = 'IMPORTED_EVENTS'
"""
BATCH_ROWS = 50
HANGING = ("second", "imports")

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def snowflake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snowflake]:
    """One Snowflake for the tests of this file, which follow each other."""
    snowflake = Snowflake(tmp_path_factory.mktemp("snowflake"))
    yield snowflake
    snowflake.close()


@pytest.fixture(scope="module")
def api() -> Iterator[StandIn]:
    """A job that is complete and one that has failed in part."""
    with StandIn(
        Job("whole", rows=make_events(250)),
        Job("partly", rows=make_events(20), failures=FAILURES, status="FAILED"),
        Job("odd", rows=ODD_ROWS + NESTED_ROWS),
        Job("checked", rows=ODD_ROWS),
    ) as stand_in:
        yield stand_in


def loaded_events(snowflake: Snowflake, job_id: str, schema: str = "FULLSTORY") -> Any:
    """The events of a job as they were before they were loaded."""
    rows = snowflake.query(
        f"select * from {schema}.imported_events"  # noqa: S608 - a test's own
        f" where job_id = '{job_id}' order by event_index"
    )
    assert [row["EVENT_INDEX"] for row in rows] == list(range(len(rows)))
    return [
        exact(
            {
                "name": row["NAME"],
                "timestamp": row["TIMESTAMP"],
                **{
                    name: json.loads(row[name.upper()], parse_float=Decimal)
                    for name in OBJECTS
                    if row[name.upper()] is not None
                },
            }
        )
        for row in rows
    ]


def source_events(count: int) -> Any:
    """The same events as the stand-in sends them, times as Snowflake shows them."""
    return as_loaded(make_events(count))


def as_loaded(events: list[dict[str, Any]]) -> Any:
    """Events as `loaded_events` returns them."""
    return [
        exact(
            {
                "name": event["name"],
                "timestamp": shown(event.get("timestamp")),
                **{
                    name: event[name] for name in OBJECTS if event.get(name) is not None
                },
            }
        )
        for event in events
    ]


def shown(text: str | None) -> str | None:
    """A time as a database shows it: without its zone, which is UTC."""
    if text is None or text == "yesterday":
        return None
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


def test_the_commands_of_the_readme_load_all_values(
    snowflake: Snowflake, api: StandIn
) -> None:
    """Staged by PUT and merged by key."""
    (commands,) = blocks(HEADING, "sh")
    done = snowflake.project.run(
        "bash",
        "-euc",
        filled_in(commands, snowflake.settings),
        **settings_for(api, "whole", "partly"),
        **snowflake.place,
    )
    assert done.returncode == 0, done.stderr
    assert loaded_events(snowflake, "whole") == source_events(250)
    assert loaded_events(snowflake, "partly") == source_events(20)
    statements = snowflake.statements()
    assert statements.count("put") == statements.count("merge") == 3
    assert statements.count("remove") == 3
    errors = snowflake.query("select * from import_errors order by error_index")
    assert [row["CODE"] for row in errors] == [one["code"] for one in FAILURES]
    assert [exact(json.loads(row["EVENT"], parse_float=Decimal)) for row in errors] == [
        exact(failure["event"]) for failure in FAILURES
    ]
    jobs = snowflake.query("select * from import_jobs order by job_id")
    names = ("JOB_ID", "STATUS", "IMPORTED_EVENTS", "FAILED_EVENTS", "FINISHED_AT")
    finished = "2026-01-15 01:31:15.500000"
    assert [tuple(job[name] for name in names) for job in jobs] == [
        ("partly", "FAILED", 20, 7, finished),
        ("whole", "COMPLETED", 250, 0, finished),
    ]


def test_the_types_are_as_documented(snowflake: Snowflake) -> None:
    """Of the events' columns."""
    found = {row["COLUMN_NAME"]: row["DATA_TYPE"] for row in snowflake.query(TYPES)}
    own = {name: kind for name, kind in found.items() if not name.startswith("_SDC")}
    assert own == {
        **dict.fromkeys(("JOB_ID", "NAME"), "TEXT"),
        **dict.fromkeys((name.upper() for name in OBJECTS), "VARIANT"),
        "EVENT_INDEX": "NUMBER",
        "TIMESTAMP": "TIMESTAMP_NTZ",
    }


def test_the_query_of_the_readme_answers(snowflake: Snowflake) -> None:
    """With the column whose name is a reserved word elsewhere."""
    (query,) = blocks(HEADING, "sql")
    events = [*make_events(250), *make_events(20)]
    assert sorted(
        (row["CUSTOMER"], row["PRIORITY"]) for row in snowflake.query(query)
    ) == sorted(
        (event["user"]["uid"], event["properties"]["priority"])
        for event in events
        if event["name"] == "Support Ticket"
    )


def test_dbt_makes_a_typed_view_of_each_event_name(snowflake: Snowflake) -> None:
    """By the real adapter: proposed, built, and every value compared."""
    models = snowflake.project.path / "transform" / "models"
    packages = models.parent / "dbt_packages"
    packages.mkdir()
    (packages / "dbt_fullstory_imports").symlink_to(snowflake.project.path / "dbt")
    only_events = {"fullstory_imports_streams": list(EVENT_STREAMS)}
    definition = models.parent / "dbt_project.yml"
    with definition.open("a", encoding="utf-8") as file:
        file.write(safe_dump({"vars": only_events}))
    done = snowflake.dbt("propose", "build")
    assert "WARN=0 ERROR=0" in done
    assert "user" not in done  # neither a model nor a warning
    orders = (models / "fullstory_event_order_completed.sql").read_text("utf-8")
    assert "'placed_at': 'date'," in orders
    (query,) = (one for one in blocks("Query it", "sql") if "missing" in one)
    jobs = snowflake.query(query.replace("from ", "from fullstory_models."))
    assert {(job["JOB_ID"], job["LOADED"], job["MISSING"]) for job in jobs} == {
        ("whole", 250, 0),
        ("partly", 20, 0),
    }
    events = [("whole", *one) for one in enumerate(make_events(250))]
    events += [("partly", *one) for one in enumerate(make_events(20))]
    for name in {event["name"] for _, _, event in events}:
        view = f"fullstory_event_{name.lower().replace(' ', '_')}"
        rows = snowflake.query(f"select * from fullstory_models.{view}")  # noqa: S608
        found = {(row["JOB_ID"], row["EVENT_INDEX"]): row for row in rows}
        own = [one for one in events if one[2]["name"] == name]
        assert len(rows) == len(found) == len(own)
        for job_id, index, event in own:
            row = found[job_id, index]
            assert row["USER_UID"] == event["user"]["uid"]
            assert row["SESSION_ID"] == event["session"]["id"]
            for key, value in event["properties"].items():
                assert same(row[key.upper()], value), key


def same(loaded: Any, value: Any) -> bool:
    """Whether a column has a property's value."""
    if isinstance(value, (dict, list)):
        return bool(exact(json.loads(loaded, parse_float=Decimal)) == exact(value))
    if isinstance(value, str) and loaded != value:
        return bool(loaded == shown(value))
    return type(loaded) is type(value) and bool(loaded == value)


def test_rows_that_come_again_are_merged(snowflake: Snowflake, api: StandIn) -> None:
    """A second run asks for nothing; one that reads again doubles nothing."""
    api.clear()
    settings = {**settings_for(api, "whole", "partly"), **snowflake.settings}
    command = ("meltano", "--environment=prod", "run")
    job = (*command, "fullstory-to-snowflake")
    done = snowflake.project.run(*job, **settings, **snowflake.place)
    assert done.returncode == 0, done.stderr
    assert api.requests == []
    again = (*command, "--full-refresh", "fullstory-to-snowflake")
    settings |= settings_for(api, "whole", "odd")
    done = snowflake.project.run(*again, **settings, **snowflake.place)
    assert done.returncode == 0, done.stderr
    assert {request.job_id for request in api.requests} == {"whole", "odd"}
    assert loaded_events(snowflake, "whole") == source_events(250)
    assert loaded_events(snowflake, "odd") == as_loaded(ODD_ROWS + NESTED_ROWS)
    assert "merge" in snowflake.statements()


def test_rows_are_appended_by_copy_if_so_set(
    snowflake: Snowflake, api: StandIn
) -> None:
    """The target's other way, and with its check the same values."""
    done = snowflake.load(
        api,
        "whole",
        "checked",
        suffix="copy",
        TARGET_SNOWFLAKE_VALIDATE_RECORDS="true",
        TARGET_SNOWFLAKE_LOAD_METHOD="append-only",
        TARGET_SNOWFLAKE_DEFAULT_TARGET_SCHEMA="APPENDED",
    )
    assert done.returncode == 0, done.stderr
    assert loaded_events(snowflake, "whole", "APPENDED") == source_events(250)
    assert loaded_events(snowflake, "checked", "APPENDED") == as_loaded(ODD_ROWS)
    statements = snowflake.statements()
    assert "copy" in statements
    assert "merge" not in statements


# BATCH


def test_batches_load_the_same_rows(
    snowflake: Snowflake, api: StandIn, tmp_path: Path
) -> None:
    """As without, and the target removes the files once they are loaded."""
    folder = tmp_path / "batches"
    done = snowflake.load(
        api,
        "whole",
        "partly",
        suffix="batch",
        TARGET_SNOWFLAKE_DEFAULT_TARGET_SCHEMA="BATCHED",
        **batches_in(folder, batch_size=BATCH_ROWS),
    )
    assert done.returncode == 0, done.stderr
    assert loaded_events(snowflake, "whole", "BATCHED") == source_events(250)
    assert loaded_events(snowflake, "partly", "BATCHED") == source_events(20)
    assert not list(folder.iterdir())


def test_a_kill_between_batches_loses_nothing(
    snowflake: Snowflake, tmp_path: Path
) -> None:
    """The next run loads what the killed one has not, from where the state is."""
    folder = tmp_path / "batches"
    schema = {"TARGET_SNOWFLAKE_DEFAULT_TARGET_SCHEMA": "KILLED"}
    hang: dict[str, list[Answer | None]] = {"imports:2": [Answer(hang=True)]}
    jobs = ("first", "second", "third")
    with StandIn(
        Job("first", rows=make_events(120)),
        Job("second", rows=make_events(250), script=hang),
        Job("third", rows=make_events(60)),
    ) as api:
        settings = {
            **settings_for(api, *jobs),
            "TAP_FULLSTORY_IMPORTS_CONCURRENCY": "1",
            **schema,
            **PROD,
            **snowflake.settings,
            **snowflake.place,
            **batches_in(folder, batch_size=BATCH_ROWS),
        }
        options = ("--state-id-suffix=killed", "--force", TAP, TARGET)
        with snowflake.project.start("meltano", "run", *options, **settings) as run:
            deadline = time.monotonic() + 120
            while not hanging(api.requests):
                assert run.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert list(folder.iterdir()), "a batch is under way"
            os.killpg(run.pid, signal.SIGKILL)
        done = snowflake.project.run("meltano", "run", *options, **settings)
    assert done.returncode == 0, done.stderr
    for job_id, count in zip(jobs, (120, 250, 60), strict=True):
        assert loaded_events(snowflake, job_id, "KILLED") == source_events(count)


def hanging(requests: list[Request]) -> bool:
    """Whether the third page of the job that hangs has been asked for."""
    asked = [one for one in requests if (one.job_id, one.endpoint) == HANGING]
    return len(asked) == 3
