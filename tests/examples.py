"""What the tests of the examples share: rows that go into PostgreSQL, in shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from tests.project import exact
from tests.stand_in import make_events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.postgres_server import Postgres

JOBS = {f"job-{number}": make_events(20, seed=number) for number in range(12)}
LATE = {"late": make_events(30, seed=99)}
"""A job that the API does not know in the first run."""


def shard_of(job_id: str, shards: int) -> int:
    """Where a job falls, counted from 0."""
    return crc32(job_id.encode()) % shards


def loaded(postgres: Postgres) -> list[Any]:
    """The events that have been loaded."""
    rows = postgres.query(
        "select job_id, event_index, name, properties from fullstory.imported_events"
        " order by job_id, event_index"
    )
    return [exact(row) for row in rows]


def expected(jobs: Mapping[str, list[dict[str, Any]]]) -> list[Any]:
    """The events of jobs, as they are to be loaded."""
    return [
        exact(
            {
                "job_id": job_id,
                "event_index": index,
                "name": row["name"],
                "properties": row["properties"],
            }
        )
        for job_id in sorted(jobs)
        for index, row in enumerate(jobs[job_id])
    ]
