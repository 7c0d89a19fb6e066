"""What a run did: its counts, its failed jobs, its exit status."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


@dataclass
class Report:
    """Counts of one run over all its streams.

    Attributes:
        failures: Job and reason of each job that failed, in the order of failing.
        stopped: Why the run stopped before its end; None if it did not.
        waited: Seconds in which every job that was left had to wait.
    """

    read: int = 0
    already_read: int = 0
    deferred: int = 0
    skipped: int = 0
    rows: int = 0
    requests: int = 0
    retries: int = 0
    waited: float = 0.0
    failures: list[tuple[str, str]] = field(default_factory=list)
    stopped: str | None = None

    @property
    def exit_status(self) -> int:
        """0 when every job is read, already read, deferred or skipped; otherwise 1."""
        return 1 if self.failures or self.stopped else 0

    def write(self, logger: logging.Logger) -> None:
        """Log the summary, then what failed: the last lines are what a user acts on."""
        logger.info(
            "Summary: jobs read %d, already read %d, deferred %d, skipped %d,"
            " failed %d; rows %d, requests %d, retries %d, seconds waited %.1f.",
            self.read,
            self.already_read,
            self.deferred,
            self.skipped,
            len(self.failures),
            self.rows,
            self.requests,
            self.retries,
            self.waited,
        )
        for job_id, reason in self.failures:
            logger.error("Job %s failed: %s", job_id, reason)
        if self.stopped:
            logger.error("%s", self.stopped)
