"""The demo: the real pipeline, twice, from the stand-in Fullstory API into DuckDB.

In the end dbt makes typed views of what has been loaded.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from tests.stand_in import DEFAULT_API_KEY, DEMO, load

if TYPE_CHECKING:
    from tests.stand_in import StandIn

MELTANO = str(Path(sys.executable).parent / "meltano")
TAP = "tap-fullstory-imports"
PIPELINE = f"run {TAP} target-duckdb"
LINE = re.compile(r"\S+ \[(\w+) *\] (\S+) +(.*)")  # time, level, source, message
FOLDER = Path("output", "demo")
STATE = FOLDER / "meltano.db"
DATABASE = FOLDER / "fullstory.duckdb"
LOG = FOLDER / "meltano.log"
JOB_IDS = [job["job_id"] for job in DEMO["jobs"] if "kind" not in job]
USER_JOB_IDS = [job["job_id"] for job in DEMO["jobs"] if "kind" in job]
OF_KIND = """
    SELECT
        job_id,
        status,
        (SELECT count(*) FROM imported_{kind} r WHERE r.job_id = j.job_id),
        (SELECT count(*) FROM {errors} r WHERE r.job_id = j.job_id)
    FROM {jobs} j
"""
JOBS = " UNION ALL ".join(
    (
        OF_KIND.format(kind="events", errors="import_errors", jobs="import_jobs"),
        OF_KIND.format(
            kind="users", errors="user_import_errors", jobs="user_import_jobs"
        ),
    )
)
JOBS += "ORDER BY job_id"
DBT = str(Path(sys.executable).parent.parent / "dbt" / "bin" / "dbt")
TRANSFORM = FOLDER / "transform"
PROPOSED = re.compile(r"^\{# models/(\S+) #\}$(.*?)^$", re.MULTILINE | re.DOTALL)
VIEWS = """
    SELECT
        table_name,
        string_agg(
            column_name || ' ' || lower(data_type), ', ' ORDER BY ordinal_position
        )
    FROM information_schema.columns
    WHERE table_name LIKE 'fullstory_event_%' AND column_name NOT IN (
        SELECT column_name FROM information_schema.columns
        WHERE table_name = 'stg_fullstory_imports__imported_events'
    )
    GROUP BY table_name
    ORDER BY table_name
"""
TICKETS = """
    SELECT strftime("timestamp", '%Y-%m-%d %H:%M'), user_uid, id, priority, title
    FROM fullstory_event_support_ticket
    ORDER BY "timestamp"
    LIMIT 3
"""


def main() -> None:
    """Run the pipeline twice; show what it has asked for and what it has loaded."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not DATABASE.exists():
        STATE.unlink(missing_ok=True)
    try:
        with load(DEMO) as api:
            demonstrate(api)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def demonstrate(api: StandIn) -> None:
    """Tell the story of the demo."""
    settings = {
        "TAP_FULLSTORY_IMPORTS_API_KEY": DEFAULT_API_KEY,
        "TAP_FULLSTORY_IMPORTS_API_URL": api.url,
        "TAP_FULLSTORY_IMPORTS_JOB_IDS": ",".join(JOB_IDS),
        "TAP_FULLSTORY_IMPORTS_USER_JOB_IDS": ",".join(USER_JOB_IDS),
    }
    say(
        "A stand-in Fullstory API is running, with one large import job, one that has",
        "failed in part, one that is still processing and one of users. The pipeline's",
        "settings:",
        "",
    )
    for name, text in settings.items():
        say(f"  {name}={'...' if name.endswith('_KEY') else text}")

    say("", "1. The first run reads what no earlier run has read.", "")
    asked = run_pipeline(api, settings)
    if not asked:
        say("", f"An earlier demo has read it all. To start anew: rm -r {FOLDER}")

    say("", "2. The second run has nothing left to read.", "")
    if run_pipeline(api, settings):
        sys.exit("The second run has asked again for what the first one had read.")

    say(
        "",
        "3. dbt makes a view for each event name, each property in a typed column.",
        "",
    )
    if asked or not query(VIEWS):
        make_views()
    for view, columns in query(VIEWS):
        ((rows,),) = query(f"SELECT count(*) FROM {view}")  # noqa: S608 - our own
        say("", f"  {view:40}{rows:>7,} rows")
        say(
            *textwrap.wrap(columns, 84, initial_indent="    ", subsequent_indent="    ")
        )
    say("", "  The first support tickets:")
    for row in query(TICKETS):
        say("    " + "  ".join(f"{value!s:12}" for value in row).rstrip())
    say("", f"All tables and views are in {DATABASE}.")


def make_views() -> None:
    """Let dbt propose a model for each event name, and make all views."""
    shutil.rmtree(TRANSFORM, ignore_errors=True)
    (TRANSFORM / "models").mkdir(parents=True)
    (TRANSFORM / "dbt_packages").mkdir()
    package = TRANSFORM / "dbt_packages" / "dbt_fullstory_imports"
    package.symlink_to(Path("dbt").absolute())  # as `dbt deps` would do
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(Path("transform", name), TRANSFORM)
    proposed = dbt("--quiet run-operation propose_fullstory_events")
    for name, text in PROPOSED.findall(proposed):
        (TRANSFORM / "models" / name).write_text(text, encoding="utf-8")
    say(f"  {dbt('build --no-use-colors').splitlines()[-1]}")


def dbt(arguments: str) -> str:
    """Run dbt in the demo's project; return what it prints, or end the demo."""
    say(f"$ dbt {arguments}")
    environment = {
        "DBT_PROJECT_DIR": str(TRANSFORM),
        "DBT_PROFILES_DIR": str(TRANSFORM),
        "DBT_TARGET": "duckdb",
        "DBT_DUCKDB_PATH": str(DATABASE.absolute()),
    }
    done = subprocess.run(  # noqa: S603 - our own
        [DBT, *arguments.split()],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        say("", "dbt has failed:", "", done.stdout)
        sys.exit(1)
    return done.stdout


def run_pipeline(api: StandIn, settings: dict[str, str]) -> int:
    """Run the pipeline, show the requests and rows of each job, count the requests."""
    api.clear()
    say(f"$ meltano {PIPELINE}")
    meltano(PIPELINE, settings)
    requests = Counter(request.job_id for request in api.requests)
    say("", f"  {'job':20}{'status':11}{'requests':>10}{'imported':>10}{'failed':>10}")
    for job_id, status, imported, failed in query(JOBS):
        counts = f"{requests[job_id]:>10,}{imported:>10,}{failed:>10,}"
        say(f"  {job_id:20}{status:11}{counts}")
    return requests.total()


def meltano(arguments: str, settings: dict[str, str]) -> None:
    """Run Meltano with no settings but these; end the demo if it fails."""
    other = ("MELTANO_", "TAP_FULLSTORY_IMPORTS_", "TARGET_DUCKDB_")
    kept = {
        name: text for name, text in os.environ.items() if not name.startswith(other)
    }
    environment = {
        **kept,
        **settings,
        "TAP_FULLSTORY_IMPORTS_JOBS_FILE": "",  # or .env could name one
        "TAP_FULLSTORY_IMPORTS_USER_JOBS_FILE": "",
        "TARGET_DUCKDB_PATH": str(DATABASE.absolute()),
        "TARGET_DUCKDB_TEMP_DIR": str(FOLDER.absolute()),
        "MELTANO_DATABASE_URI": f"sqlite:///{STATE.absolute()}",
        "MELTANO_ENVIRONMENT": "dev",
        "NO_COLOR": "1",
        "no_proxy": "127.0.0.1",
    }
    command = [MELTANO, *arguments.split()]
    with (
        LOG.open("w", encoding="utf-8") as log,
        subprocess.Popen(  # noqa: S603 - our own
            command,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        ) as process,
    ):
        try:
            for line in process.stderr or ():
                log.write(line)
                if told := as_told(line):
                    say(told)
        except BaseException:
            process.terminate()
            process.communicate()
            raise
    if process.returncode:
        say("", f"The pipeline has failed. Its whole log, from {LOG}:", "")
        say(LOG.read_text(encoding="utf-8"))
        sys.exit(1)


def as_told(line: str) -> str:
    """What the demo shows of a line of the log; empty if it is not worth telling."""
    match = LINE.match(line)
    if not match:
        return ""
    level, source, message = match.groups()
    is_told = source == TAP and not message.startswith(("METRIC", "Skipping parse"))
    return f"  {message}" if is_told or level in {"warning", "error"} else ""


def query(statement: str) -> list[tuple[Any, ...]]:
    """Ask the database that the pipeline has loaded into."""
    with duckdb.connect(DATABASE, read_only=True) as database:
        return database.execute(statement).fetchall()


def say(*lines: str) -> None:
    """Write lines before whatever the pipeline writes next."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
