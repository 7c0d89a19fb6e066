"""One job, request by request: what each answer means for the next one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tap_fullstory_imports.fullstory import errors, reasons, retry
from tap_fullstory_imports.fullstory.pages import is_final
from tap_fullstory_imports.fullstory.pagination import NextPageTokenPaginator
from tap_fullstory_imports.fullstory.verdict import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_fullstory_imports.fullstory.client import Client, Endpoint
    from tap_fullstory_imports.fullstory.pages import Page, Status

Outcome = Literal["read", "deferred", "skipped", "failed"]
MOST_READINGS = 4
MOST_EMPTY_PAGES = 100
MOST_ROWS = 50_000  # a job has no more, says Fullstory


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How persistently jobs are read. The README describes each setting.

    Attributes:
        job_wait_timeout: Seconds.
        max_retry_wait: Seconds.
    """

    concurrency: int = 4
    job_wait_timeout: float = 300
    unfinished_jobs: str = "defer"
    missing_jobs: str = "fail"
    count_mismatch: str = "fail"
    max_attempts: int = 8
    max_retry_wait: float = 300


@dataclass(frozen=True)
class Step:
    """What one request for a job led to.

    Attributes:
        page: The page, if one has arrived.
        first: The index of its first row among all rows of the job.
        wait: Seconds until the next request for the job; None if it is due now.
        outcome: How the job ended; None if it goes on.
        reason: Why the job failed, or why the request is tried again.
        warning: A sentence for the user.
        error: What went wrong, if anything did.
    """

    page: Page | None = None
    first: int = 0
    wait: float | None = None
    outcome: Outcome | None = None
    reason: str = ""
    warning: str = ""
    error: errors.FullstoryError | None = None


@dataclass(eq=False)
class Job:
    """How far the reading of one job at one endpoint has come.

    Attributes:
        rows: How many rows this reading has handed out.
        total: How many rows the job has, according to the pages.
        attempts: How often the same request has failed.
        is_unfinished: Whether the import was still running at the last answer.
        moved: Whether the import was running while its pages were read.
        readings: How often the job has been read from its first page.
        pending: The status of an unfinished import, where the status is what is read.
    """

    endpoint: Endpoint
    job_id: str
    rows: int = 0
    pages: int = 0
    total: int | None = None
    attempts: int = 0
    is_unfinished: bool = False
    moved: bool = False
    readings: int = 1
    pending: Page | None = None
    started: float | None = None
    asked: float = 0.0
    _paginator: NextPageTokenPaginator = field(default_factory=NextPageTokenPaginator)
    _asks_status: bool = False
    _bound: tuple[int, str] | None = None  # the count in the status, and of what
    _empty_pages: int = 0
    _most_rows: int = 0
    _retry_waits: Iterator[float] | None = None
    _poll_waits: Iterator[float] = field(default_factory=retry.poll_waits)

    def step(self, client: Client, policy: Policy) -> Step:  # noqa: PLR0911 - a table
        """Make one request for the job."""
        try:
            if self._asks_status:
                return self._judge(client.status(self.endpoint, self.job_id), policy)
            page = client.page(self.endpoint, self.job_id, self._paginator)
        except errors.NotReadyError as error:
            return self._wait_for_import(error.asked_wait)
        except errors.RateLimitError as error:
            return Step(error=error)
        except errors.RetriableError as error:
            return self._try_again(error, policy)
        except errors.MissingJobError as error:
            return self._miss(error, policy)
        except errors.JobError as error:
            return _failed(str(error), error)
        return self._take(page)

    def _take(self, page: Page) -> Step:
        """Take a page, and decide whether it was the last one."""
        if self.endpoint.is_status and not is_final(page):
            self.pending = page
            return self._wait_for_import(None)
        self.attempts, self._retry_waits, self.is_unfinished = 0, None, False
        if None not in (page.total, self.total) and page.total != self.total:
            self.moved = self._asks_status = True
            return Step()
        first, self.rows = self.rows, self.rows + len(page.rows)
        self.pages += 1
        self.total = self.total if page.total is None else page.total
        self._empty_pages = 0 if page.rows else self._empty_pages + 1
        step = Step(page=page, first=first)
        if not self._paginator.finished:
            return self._check_bounds(step)
        if judge(self.rows, self.total) is Verdict.READ:
            return self._read(step)
        self._asks_status = True
        return step

    def _check_bounds(self, step: Step) -> Step:
        """Fail the job if its pages would go on without end."""
        if self._empty_pages > MOST_EMPTY_PAGES:
            return _failed(reasons.only_empty_pages(self._empty_pages))
        if self.total is not None:
            if self.rows > self.total:
                return _failed(reasons.more_than_total(self.rows, self.total))
        elif self._bound is not None:
            if self.rows > self._bound[0]:
                return _failed(reasons.more_than_reported(self.rows, *self._bound))
        else:
            self._asks_status = self.rows > MOST_ROWS
        return step

    def _judge(self, status: Status, policy: Policy) -> Step:  # noqa: PLR0911 - a table
        """Decide with the status of the job whether the job has been read in full."""
        reported, kind = self.endpoint.reported(status)
        verdict = judge(
            self.rows, self.total, status.status, reported, moved=self.moved
        )
        if verdict is Verdict.WAIT:
            self.moved = True
            return self._wait_for_import(None)
        self.is_unfinished = False
        if verdict is Verdict.READ_AGAIN:
            return self._read_again()
        if not self._paginator.finished:
            self._bound, self._asks_status = (reported, kind), False
            return self._check_bounds(Step())
        if verdict is Verdict.READ:
            return self._read(Step())
        if verdict is Verdict.RETRY and self.readings < policy.max_attempts:
            self.attempts = self.readings
            self._restart()
            reason = reasons.no_rows_yet(reported)
            error = errors.RetriableError(reason)
            return Step(wait=next(self._poll_waits), reason=reason, error=error)
        numbers = reasons.counts(self.rows, self.total, reported, kind)
        if policy.count_mismatch == "warn":
            return self._read(Step(warning=reasons.accepted(numbers)))
        return _failed(reasons.incomplete(numbers))

    def _read(self, last: Step) -> Step:
        """End the job, which has been read in full."""
        warning = last.warning
        if self.rows < self._most_rows:
            fewer = reasons.fewer_rows(self._most_rows, self.rows)
            warning = f"{warning} {fewer}" if warning else fewer
        return Step(last.page, last.first, outcome="read", warning=warning)

    def _read_again(self) -> Step:
        """Start over, because the import was running; not for ever."""
        if self.readings >= MOST_READINGS:
            return _failed(reasons.changed(self.readings))
        self.attempts, self.moved = 0, False
        self._restart()
        return Step()

    def _restart(self) -> None:
        """Start over from the first page."""
        self.readings += 1
        self._most_rows = max(self._most_rows, self.rows)
        self.rows = self.pages = self._empty_pages = 0
        self.total = self._bound = None
        self._asks_status = False
        self._paginator = NextPageTokenPaginator()

    def _wait_for_import(self, asked: float | None) -> Step:
        """Ask for the job later, because its import is still running."""
        self.attempts, self._retry_waits, self.is_unfinished = 0, None, True
        if self.pages:
            self.moved = self._asks_status = True
        wait = next(self._poll_waits)
        return Step(wait=asked or wait)

    def _try_again(self, error: errors.RetriableError, policy: Policy) -> Step:
        """Try a failed request again, or fail the job after too many attempts."""
        self.attempts += 1
        self._retry_waits = self._retry_waits or retry.retry_waits()
        wait, asked = next(self._retry_waits), error.asked_wait
        if asked is not None and asked > policy.max_retry_wait:
            reason = reasons.long_wait(error, asked, policy.max_retry_wait)
            return _failed(reason, error)
        if self.attempts >= policy.max_attempts:
            return _failed(reasons.given_up(error, self.attempts), error)
        return Step(wait=asked or wait, reason=str(error), error=error)

    def _miss(self, error: errors.MissingJobError, policy: Policy) -> Step:
        """Skip or fail the job, because the API does not know it."""
        if policy.missing_jobs == "skip" and not self.pages and self.readings == 1:
            return Step(outcome="skipped", warning=reasons.SKIPPED, error=error)
        return _failed(reasons.missing(error, self.job_id, self.endpoint.kind), error)


def _failed(reason: str, error: errors.FullstoryError | None = None) -> Step:
    return Step(outcome="failed", reason=reason, error=error)
