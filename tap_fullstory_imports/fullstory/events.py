"""What the reader hands out while it reads jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tap_fullstory_imports.fullstory.job import Job, Outcome


@dataclass(frozen=True)
class PageRead:
    """A page of a job has arrived.

    Attributes:
        first: The index of its first row among all rows of the job.
    """

    job: Job
    first: int
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class JobEnded:
    """A job has ended for this run. All its pages have been handed out before."""

    job: Job
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Trouble:
    """The reader tries a failed request again, or warns about a job.

    Attributes:
        attempt: The number of the attempt that failed; 0 if attempts are not counted.
        wait: Seconds until the next attempt; 0 for a warning.
    """

    job: Job
    text: str
    attempt: int = 0
    wait: float = 0.0


@dataclass(frozen=True)
class Waiting:
    """Nothing has arrived for a moment.

    Attributes:
        unfinished: All jobs that are left, if the imports of all of them still run.
        waited: Seconds that the run has waited for unfinished jobs.
        pause: Seconds until the rate limit allows the next request.
        retry: The job that is tried again first, and the seconds until then.
        asked: The jobs whose requests are under way.
    """

    unfinished: tuple[str, ...] = ()
    waited: float = 0.0
    pause: float = 0.0
    retry: tuple[Job, float] | None = None
    asked: tuple[Job, ...] = ()


Event = PageRead | JobEnded | Trouble | Waiting
