"""What is measured: the jobs that the stand-in API has, and who reads them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

CONCURRENCY = 4  # this tap's default
API_KEY = "na1.benchmark"


@dataclass(frozen=True)
class Entry:
    """A program as it takes part in a scenario.

    Attributes:
        program: Its name in `programs.PROGRAMS`.
        jobs: How many of the scenario's jobs it reads.
        concurrency: How many jobs it reads at once, if it can read several.
    """

    program: str
    jobs: int
    concurrency: int = CONCURRENCY


@dataclass(frozen=True)
class Scenario:
    """Jobs of one size, and the entries that read them in turn.

    Attributes:
        about: What the jobs are, in words.
        latency: Seconds before every answer.
        rate_limit: Requests that the API allows in a second; None: any number.
    """

    name: str
    about: str
    entries: tuple[Entry, ...]
    pages: int
    page_size: int
    latency: float = 0.0
    rate_limit: float | None = None

    @cached_property
    def job_ids(self) -> list[str]:
        """The jobs."""
        most = max(entry.jobs for entry in self.entries)
        return [f"job-{number:05}" for number in range(most)]

    @property
    def rows_of_job(self) -> int:
        """How many events each job has."""
        return self.pages * self.page_size

    def for_stand_in(self) -> dict[str, Any]:
        """The scenario as the stand-in API reads it."""
        jobs = [
            {
                "job_id": job_id,
                "generate": self.rows_of_job,
                "page_size": self.page_size,
            }
            for job_id in self.job_ids
        ]
        return {
            "api_key": API_KEY,
            "jobs": jobs,
            "latency": self.latency,
            "limiter": self.rate_limit and {"kind": "bucket", "rate": self.rate_limit},
        }


def _everyone(jobs: int) -> tuple[Entry, ...]:
    names = ("tap", "floor", "plain", "template", "dlt", "airbyte")
    return tuple(Entry(name, jobs) for name in names)


WARM_UP = Scenario(
    name="warm-up",
    about="3 jobs of 2 pages of 10 events",
    entries=(*_everyone(3), Entry("dlt-parallelized", 3)),
    pages=2,
    page_size=10,
)
SCENARIOS = (
    Scenario(
        name="throughput",
        about="10 jobs of 20 pages of 1,000 events, no latency",
        entries=_everyone(10),
        pages=20,
        page_size=1_000,
    ),
    Scenario(
        name="latency",
        about="16 jobs of 20 pages of 100 events, 50 ms before every answer",
        entries=(
            Entry("tap", 16),
            Entry("tap", 16, concurrency=1),
            Entry("tap", 16, concurrency=8),
            *_everyone(16)[1:],
            Entry("dlt-parallelized", 16),
        ),
        pages=20,
        page_size=100,
        latency=0.05,
    ),
    Scenario(
        name="many-jobs",
        about="1,000 and 10,000 jobs of one page of 10 events, no latency",
        entries=(*_everyone(1_000), *_everyone(10_000)),
        pages=1,
        page_size=10,
    ),
    Scenario(
        name="memory",
        about="20,000 and 2,000,000 events, in jobs of 5 pages of 1,000",
        entries=(Entry("tap", 4), Entry("tap", 400)),
        pages=5,
        page_size=1_000,
    ),
    Scenario(
        name="rate-limit",
        about="60 jobs of 20 pages of 10 events, at most 20 requests a second",
        entries=(Entry("tap", 60, concurrency=8),),
        pages=20,
        page_size=10,
        rate_limit=20,
    ),
)
