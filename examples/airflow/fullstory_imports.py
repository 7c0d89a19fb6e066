"""Reads Fullstory's imports into PostgreSQL every hour, by a Meltano project.

README.md, beside this file, says which connections and variables to set.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import dag, task

# More of them for a longer list. README.md says what to do before.
SHARDS = 1
# Meltano, in the versions that the tests run with.
PINS = "https://raw.githubusercontent.com/fullstory-imports/tap-fullstory-imports/v0.1.0/requirements/ci.txt"
# A folder of the worker's own. It holds nothing that has to be kept.
FOLDER = "${FULLSTORY_FOLDER:-${TMPDIR:-/tmp}/fullstory-imports}"
# Airflow hides the values in `env` under names that speak of a key or a password.
ENVIRONMENT = {
    "MELTANO_ENVIRONMENT": "prod",
    "NO_COLOR": "1",
    "TAP_FULLSTORY_IMPORTS_API_KEY": "{{ conn.fullstory.password }}",
    "TAP_FULLSTORY_IMPORTS_JOBS_FILE": "{{ var.value.fullstory_jobs_file }}",
    "TAP_FULLSTORY_IMPORTS_USER_JOBS_FILE": (
        "{{ var.value.get('fullstory_user_jobs_file', '') }}"
    ),
    # The rows and Meltano's state go into one PostgreSQL database. Without a host in
    # the address, the connection uses PGHOST, PGUSER and so on. Meltano's own tables
    # get a schema of their own.
    "MELTANO_DATABASE_URI": "postgresql+psycopg://?options=-csearch_path%3Dmeltano",
    "TARGET_POSTGRES_SQLALCHEMY_URL": "postgresql+psycopg://",
    "PGHOST": "{{ conn.warehouse.host }}",
    "PGPORT": "{{ conn.warehouse.port or 5432 }}",
    "PGUSER": "{{ conn.warehouse.login }}",
    "PGPASSWORD": "{{ conn.warehouse.password }}",
    "PGDATABASE": "{{ conn.warehouse.schema }}",
}
# Installs Meltano and the plugins on a worker that has not done so for this
# `meltano.yml`. The lock lets one task of a worker install, and others wait. Meltano
# writes into its copy of the file, so another copy says what has been installed.
SET_UP = f"""
set -eu
folder="{FOLDER}"
mkdir -p "$folder"
cd "$folder"
(
  flock 9
  if ! cmp -s "$PROJECT_FILE" ready.yml; then
    rm -rf ready.yml .meltano plugins
    cp "$PROJECT_FILE" meltano.yml
    python3 -m venv --clear venv
    venv/bin/pip install --quiet --constraint {PINS} uv
    venv/bin/uv pip install --quiet --python venv --no-deps --requirement {PINS}
    venv/bin/python -c 'import psycopg
psycopg.connect(autocommit=True).execute("create schema if not exists meltano")'
    venv/bin/meltano install
    cp "$PROJECT_FILE" ready.yml
  fi
) 9> lock
"""


@dag(
    schedule="@hourly",  # or the asset of the list of jobs, if a DAG of yours writes it
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,  # two at once would read the same jobs
    default_args={
        "env": {
            **ENVIRONMENT,
            "PROJECT_FILE": str(Path(__file__).with_name("meltano.yml")),
        },
        "append_env": True,
        "do_xcom_push": False,
        "skip_on_exit_code": None,
        "retries": 2,  # each after five minutes, Airflow's default
        "execution_timeout": timedelta(hours=1),
    },
    tags=["fullstory", "meltano"],
)
def fullstory_imports() -> None:
    """One pipeline, mapped over the shards, each with a state of its own."""

    # All shards share Fullstory's rate limit, so only two run at once. If other DAGs
    # read from Fullstory too, put their tasks and these into one pool.
    @task.bash(
        max_active_tis_per_dag=2, map_index_template="{{ task.op_kwargs.shard }}"
    )
    def load(shard: str) -> str:
        # `meltano run` keeps the state and the catalog of all runs in the same files.
        # `meltano el` has files of their own for each run.
        return (
            f"{SET_UP}\n"
            f"TAP_FULLSTORY_IMPORTS_SHARD={shard} exec venv/bin/meltano el"
            " --state-id=prod:tap-fullstory-imports-to-target-postgres:"
            f"{shard.replace('/', '-of-')} tap-fullstory-imports target-postgres"
        )

    load.expand(shard=[f"{part}/{SHARDS}" for part in range(1, SHARDS + 1)])


fullstory_imports()
