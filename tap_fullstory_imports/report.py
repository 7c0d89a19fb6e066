"""What a run did: its counts, its failed jobs, its exit status."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


@dataclass
class Counts:
    """What a run did for one stream, or for all.

    Attributes:
        waited: Seconds in which every job that was left had to wait.
        failures: Job and reason of each job that failed, in the order of failing.
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

    def __add__(self, other: Counts) -> Counts:
        """The counts of both."""
        return Counts(
            **{name: value + vars(other)[name] for name, value in vars(self).items()}
        )

    def __str__(self) -> str:
        """All counts, in words."""
        return (
            f"jobs read {self.read}, already read {self.already_read},"
            f" deferred {self.deferred}, skipped {self.skipped},"
            f" failed {len(self.failures)}; rows {self.rows}, requests {self.requests},"
            f" retries {self.retries}, seconds waited {self.waited:.1f}."
        )


@dataclass
class Report:
    """What a run did.

    Attributes:
        streams: The counts of each stream that was read.
        stopped: Why the run stopped before its end; None if it did not.
    """

    streams: dict[str, Counts] = field(default_factory=dict)
    stopped: str | None = None

    def of(self, stream: str) -> Counts:
        """The counts of a stream."""
        return self.streams.setdefault(stream, Counts())

    @property
    def exit_status(self) -> int:
        """0 when every job is read, already read, deferred or skipped; otherwise 1."""
        failed = any(counts.failures for counts in self.streams.values())
        return 1 if failed or self.stopped else 0

    def write(self, logger: logging.Logger) -> None:
        """Log the summary, then what failed: the last lines are what a user acts on."""
        several = len(self.streams) > 1
        if several:
            for stream, counts in self.streams.items():
                logger.info("%s: %s", stream, counts)
        logger.info("Summary: %s", sum(self.streams.values(), Counts()))
        failed_in: dict[tuple[str, str], list[str]] = {}
        for stream, counts in self.streams.items():
            for failure in counts.failures:
                failed_in.setdefault(failure, []).append(stream)
        for (job_id, reason), streams in failed_in.items():
            where = f" in {', '.join(streams)}" if several else ""
            logger.error("Job %s failed%s: %s", job_id, where, reason)
        if self.stopped:
            logger.error("%s", self.stopped)
