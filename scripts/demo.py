"""The demo: the real pipeline, from the stand-in Fullstory API into PostgreSQL.

Then dbt makes typed views. A second run shows that nothing is read twice.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from textwrap import fill
from typing import Any

import psycopg
from rich import box
from rich.console import Console
from rich.table import Table

from scripts.postgres import FOLDER as DATA
from scripts.postgres import LOGIN, PREFIX, database, exit_on_signals
from tests.stand_in import DEFAULT_API_KEY, DEMO, StandIn

BIN = Path(sys.executable).parent
DBT = BIN.parent / "dbt" / "bin" / "python"
TAP = "TAP_FULLSTORY_IMPORTS_"
PIPELINE = ("run", "tap-fullstory-imports", "target-postgres")
FOLDER = Path("output", "demo").absolute()
TRANSFORM = FOLDER / "transform"
SCHEMA = "fullstory_demo"
VIEWS = f"{SCHEMA}_models"
JOBS_OF_EVENTS = ",".join(job.job_id for job in DEMO if job.kind == "events")
JOBS_OF_USERS = ",".join(job.job_id for job in DEMO if job.kind == "users")
JOBS = """
    select job_id, status, loaded, failed_loaded
    from fullstory_imports__jobs order by job_id
"""
EVENT_VIEWS = f"""
    select
        relname,
        string_agg(
            attname || ' ' || format_type(atttypid, null), ', ' order by attnum
        )
    from pg_attribute join pg_class on pg_class.oid = attrelid
    where relnamespace = to_regnamespace('{VIEWS}')
    and relname like 'fullstory_event_%' and attname not in (
        select attname from pg_attribute
        where attrelid = to_regclass('{VIEWS}.fullstory_imports__events')
    )
    group by relname order by relname
"""  # noqa: S608 - our own names
TICKETS = """
    select
        "timestamp"::timestamp(0)::text, user_uid, properties_id::text, priority, title
    from fullstory_event_support_ticket order by "timestamp" limit 3
"""
FIRST = """\
A stand-in for Fullstory's API runs on this machine. It has four import jobs: one is
large, one failed in part, one is still processing, and one is of users. The pipeline
loads them into {}. This takes half a minute.
"""
SECOND = """\
An earlier run has loaded the jobs of the stand-in into {}. The same pipeline runs once
more, and asks the API only for what it has not read yet.
"""
NEXT = f"""\
`make psql` opens the database. Try this query there:

  select * from {VIEWS}.fullstory_event_support_ticket limit 5;

`make load` loads your own jobs, once these variables are set:

  export {TAP}API_KEY='na1.…'
  export {TAP}JOB_IDS='…'       # jobs of events, separated by commas
  export {TAP}USER_JOB_IDS='…'  # jobs of users"""  # noqa: S608
console = Console(
    color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False
)


def main() -> None:
    """Start the API and the database, and tell the story."""
    exit_on_signals()
    FOLDER.mkdir(parents=True, exist_ok=True)
    own = os.environ.get(f"{PREFIX}HOST")
    try:
        with database() as settings, StandIn(*DEMO) as api:
            os.environ.update(settings, PGOPTIONS=f"-c search_path={VIEWS},{SCHEMA}")
            tell(api, settings, f"your server {own}" if own else str(DATA))
    except psycopg.Error as error:
        sys.exit(f"PostgreSQL reports an error: {error}")


def tell(api: StandIn, settings: dict[str, str], place: str) -> None:
    """Run the pipeline and dbt; show what has been asked for, and what has arrived."""
    state = FOLDER / f"{settings['PGHOST']}.db"
    ((table,),) = query("select to_regclass('import_jobs')")
    is_second = table is not None and state.exists()
    if not is_second:
        state.unlink(missing_ok=True)
    heading("Fullstory → PostgreSQL" + (": the second run" if is_second else ""))
    say((SECOND if is_second else FIRST).format(place))

    heading(f"$ meltano {' '.join(PIPELINE)}")
    run("Meltano", [str(BIN / "meltano"), *PIPELINE], pipeline(api, state))
    requests = Counter(request.job_id for request in api.requests)
    if is_second and not requests:
        say("Nothing was asked again, because all jobs have been read.")
    elif is_second:
        say("The earlier run was interrupted. This run has read the rest.")

    heading("dbt: a view for each event name, a typed column for each property")
    if requests or not query(EVENT_VIEWS):
        make_views(settings)
    else:
        console.print("No row is new, so the views are those of the earlier run.\n")
    show_views()

    heading("What has arrived?")
    show(
        ("job", "status", "requests", "imported", "failed"),
        [(job, status, requests[job], *rows) for job, status, *rows in query(JOBS)],
    )
    show(("time", "user", "ticket", "priority", "title"), query(TICKETS))
    heading("What next?")
    console.print(NEXT, markup=False, soft_wrap=True)


def show(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Show a table; what failed is yellow."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name, one in zip(names, rows[0], strict=True):
        table.add_column(name, justify="right" if isinstance(one, int) else "left")
    for row in rows:
        style = "yellow" if "FAILED" in row else None
        texts = [f"{one:,}" if isinstance(one, int) else one for one in row]
        table.add_row(*texts, style=style)
    console.print(table)


def show_views() -> None:
    """Show the event views with their columns."""
    for view, columns in query(EVENT_VIEWS):
        ((rows,),) = query(f"select count(*) from {view}")  # noqa: S608 - our own
        console.print(f"[cyan]{view}[/]  {rows:,} rows")
        say(columns, indent="    ", style="dim")


def pipeline(api: StandIn, state: Path) -> dict[str, str]:
    """The settings of the pipeline, which win over those in `.env`."""
    return {
        f"{TAP}API_KEY": DEFAULT_API_KEY,
        f"{TAP}API_URL": api.url,
        f"{TAP}JOB_IDS": JOBS_OF_EVENTS,
        f"{TAP}USER_JOB_IDS": JOBS_OF_USERS,
        f"{TAP}JOBS_FILE": "",
        f"{TAP}USER_JOBS_FILE": "",
        f"{PREFIX}DEFAULT_TARGET_SCHEMA": SCHEMA,
        "MELTANO_DATABASE_URI": f"sqlite:///{state}",
        "MELTANO_ENVIRONMENT": "dev",
        "NO_COLOR": "1",
        "no_proxy": "127.0.0.1",
    }


def make_views(settings: dict[str, str]) -> None:
    """Let dbt propose a model for each event name, and make all views."""
    shutil.rmtree(TRANSFORM, ignore_errors=True)
    own = shutil.ignore_patterns("dbt_packages", "logs", "models", "target")
    shutil.copytree("transform", TRANSFORM, ignore=own)
    package = TRANSFORM / "dbt_packages" / "dbt_fullstory_imports"
    package.parent.mkdir()
    package.symlink_to(Path("dbt").absolute())  # as `dbt deps` would do
    with (TRANSFORM / "dbt_project.yml").open("a", encoding="utf-8") as project:
        project.write(f"\nvars:\n  fullstory_imports_schema: {SCHEMA}\n")
    environment = dict.fromkeys(("DBT_PROJECT_DIR", "DBT_PROFILES_DIR"), str(TRANSFORM))
    environment |= {"DBT_TARGET": "postgres", "DBT_POSTGRES_SCHEMA": VIEWS}
    for name in LOGIN:
        variable = name.replace("DATABASE", "DBNAME")
        environment[f"DBT_POSTGRES_{variable}"] = settings[PREFIX + name]
    run("dbt", [str(DBT), "tests/dbt_runs.py", "propose", "build"], environment)


def run(name: str, command: list[str], settings: dict[str, str]) -> None:
    """Run a program with these settings; end the demo if it fails."""
    others = ("MELTANO_", TAP, "DBT_")
    kept = {key: v for key, v in os.environ.items() if not key.startswith(others)}
    log = FOLDER / f"{name.lower()}.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - our own
            command,
            env={**kept, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            process.wait()
        except SystemExit:  # a signal
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        console.print("\n".join(lines[-20:]), markup=False, soft_wrap=True)
        sys.exit(f"{name} has failed. Its whole log: {log}")


def query(statement: str) -> list[tuple[Any, ...]]:
    """Ask the database that the pipeline loads into."""
    with psycopg.connect() as connection:
        return connection.execute(statement.encode()).fetchall()


def heading(text: str) -> None:
    """Begin a part."""
    console.print(f"\n[bold blue]{text}[/]\n", soft_wrap=True)


def say(text: str, indent: str = "", style: str = "") -> None:
    """Write a paragraph."""
    width = min(console.width, 88)
    text = fill(text, width, initial_indent=indent, subsequent_indent=indent)
    console.print(text, style=style, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
