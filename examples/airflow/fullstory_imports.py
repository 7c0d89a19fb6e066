"""Reads Fullstory's imports into PostgreSQL every hour, in shards side by side.

README.md, beside this file, says which connections and variables to set.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag, task

# More of them for a longer list. README.md says how to take the state along.
SHARDS = 4
PIPELINE = "tap-fullstory-imports target-postgres"
STATE_ID = "prod:tap-fullstory-imports-to-target-postgres"  # as `meltano run` has it
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
    # the address, the connection uses PGHOST, PGUSER and so on.
    "MELTANO_DATABASE_URI": "postgresql+psycopg://",
    "TARGET_POSTGRES_SQLALCHEMY_URL": "postgresql+psycopg://",
    "PGHOST": "{{ conn.warehouse.host }}",
    "PGPORT": "{{ conn.warehouse.port or 5432 }}",
    "PGUSER": "{{ conn.warehouse.login }}",
    "PGPASSWORD": "{{ conn.warehouse.password }}",
    "PGDATABASE": "{{ conn.warehouse.schema }}",
}


@dag(
    schedule="@hourly",  # or the asset of the list of jobs, if a DAG of yours writes it
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,  # two at once would read the same jobs
    default_args={
        # Meltano has an environment of its own, apart from Airflow's.
        "cwd": "{{ var.value.fullstory_project }}",
        "env": ENVIRONMENT,
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

    # This shard has no jobs. It creates the tables before the shards start, and reports
    # a wrong setting once.
    @task.bash
    def prepare() -> str:
        return (
            "TAP_FULLSTORY_IMPORTS_SHARD=1/999999999 .venv/bin/meltano run"
            f" --no-state-update --state-id-suffix=prepare {PIPELINE}"
        )

    # All shards share Fullstory's rate limit, so only two run at once. If other DAGs
    # read from Fullstory too, put their tasks and these into one pool.
    @task.bash(
        max_active_tis_per_dag=2, map_index_template="{{ task.op_kwargs.shard }}"
    )
    def load(shard: str) -> str:
        # `meltano run` keeps the state and the catalog of all runs in the same files.
        # `meltano el` has files of their own for each run.
        return (
            f"TAP_FULLSTORY_IMPORTS_SHARD={shard} .venv/bin/meltano el"
            f" --state-id={STATE_ID}:{shard.replace('/', '-of-')} {PIPELINE}"
        )

    shards = [f"{part}/{SHARDS}" for part in range(1, SHARDS + 1)]
    prepare() >> load.expand(shard=shards)


fullstory_imports()
