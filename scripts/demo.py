"""The demo: the real pipeline, twice, from the stand-in Fullstory API into DuckDB."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from tests.stand_in import DEFAULT_API_KEY, DEMO, load

if TYPE_CHECKING:
    from tests.stand_in import StandIn

MELTANO = str(Path(sys.executable).parent / "meltano")
PIPELINE = "run tap-fullstory-imports target-duckdb"
FORGET = (
    "--log-level=warning state clear --force dev:tap-fullstory-imports-to-target-duckdb"
)
DATABASE = Path("output", "dev.duckdb")
TABLES = ("imported_events", "import_errors", "import_jobs")
PARTLY_FAILED = """
    SELECT
        job_id,
        import_jobs.status,
        import_jobs.imported_events,
        (SELECT count(*) FROM imported_events AS e WHERE e.job_id = import_jobs.job_id),
        import_errors.code,
        count(*)
    FROM import_jobs
    JOIN import_errors USING (job_id)
    GROUP BY ALL
"""
JOB_IDS = [job["job_id"] for job in DEMO["jobs"]]


def main() -> None:
    """Run the pipeline twice; show what it has asked for and what it has loaded."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        if not DATABASE.exists():
            meltano(FORGET, clean_environment())
        with load(DEMO) as api:
            demonstrate(api)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def demonstrate(api: StandIn) -> None:
    """Tell the story of the demo."""
    job_ids = ",".join(JOB_IDS)
    environment = {
        **clean_environment(),
        "TAP_FULLSTORY_IMPORTS_API_KEY": DEFAULT_API_KEY,
        "TAP_FULLSTORY_IMPORTS_API_URL": api.url,
        "TAP_FULLSTORY_IMPORTS_JOB_IDS": job_ids,
        "TAP_FULLSTORY_IMPORTS_JOBS_FILE": "",  # or .env could add one
        "no_proxy": "127.0.0.1",
    }
    say(
        "A stand-in Fullstory API is running, with one large import job, one that has",
        "failed in part and one that is still processing. The pipeline's settings are:",
        "",
        "  TAP_FULLSTORY_IMPORTS_API_KEY=...",
        f"  TAP_FULLSTORY_IMPORTS_API_URL={api.url}",
        f"  TAP_FULLSTORY_IMPORTS_JOB_IDS={job_ids}",
    )
    say("", "1. The first run reads what no earlier run has read.", "")
    if not run_pipeline(api, environment):
        say("", f"All was read by an earlier demo. To start anew: rm {DATABASE}")

    say("", "2. The second run has nothing left to read.", "")
    if run_pipeline(api, environment):
        sys.exit("The second run has read jobs that the first one had finished.")

    say("", "3. The imported events in DuckDB by their name:", "")
    for name, rows in query("SELECT name, count(*) FROM imported_events GROUP BY 1"):
        say(f"  {name:24}{rows:>10,}")

    say("", "4. The three tables together, for the job that has failed in part:", "")
    for job_id, status, said, loaded, code, failed in query(PARTLY_FAILED):
        imported = f"{loaded} of {said} imported events"
        say(f"  {job_id}: {status}, {imported}, {failed} events failed: {code}")
    say("", f"They are in the tables {', '.join(TABLES)} of {DATABASE}")


def run_pipeline(api: StandIn, environment: dict[str, str]) -> int:
    """Run the pipeline, show requests and rows per job, and return the requests."""
    api.clear()
    say(f"$ meltano {PIPELINE}")
    meltano(PIPELINE, environment)
    requests = Counter(request.job_id for request in api.requests)
    rows = dict(query("SELECT job_id, count(*) FROM imported_events GROUP BY 1"))
    say("", f"  {'job':24}{'requests':>10}{'rows in DuckDB':>20}")
    for job_id in JOB_IDS:
        say(f"  {job_id:24}{requests[job_id]:>10,}{rows.get(job_id, 0):>20,}")
    return len(api.requests)


def meltano(arguments: str, environment: dict[str, str]) -> None:
    """Run a command of Meltano; end the demo if it fails."""
    command = [MELTANO, *arguments.split()]
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603
        try:
            process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode:
        sys.exit("The pipeline has failed: the lines above say why.")


def clean_environment() -> dict[str, str]:
    """Make an environment without settings of other pipelines."""
    other = ("MELTANO_", "TAP_FULLSTORY_IMPORTS_", "TARGET_DUCKDB_")
    kept = {key: text for key, text in os.environ.items() if not key.startswith(other)}
    return {**kept, "MELTANO_ENVIRONMENT": "dev"}


def query(statement: str) -> list[tuple[Any, ...]]:
    """Ask the database that the pipeline has loaded into."""
    with duckdb.connect(DATABASE, read_only=True) as database:
        return database.execute(f"{statement} ORDER BY 1").fetchall()


def say(*lines: str) -> None:
    """Write lines before whatever the pipeline writes next."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
