"""One job, from request to request: what the last answer led to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tap_fullstory_imports.fullstory import errors, retry
from tap_fullstory_imports.fullstory.pages import is_final
from tap_fullstory_imports.fullstory.pagination import NextPageTokenPaginator
from tap_fullstory_imports.fullstory.verdict import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_fullstory_imports.fullstory.client import Client, Endpoint
    from tap_fullstory_imports.fullstory.pages import Page, Status

Outcome = Literal["read", "deferred", "skipped", "failed"]
MOST_READINGS = 4
_QUOTES = "\"'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
MOST_EMPTY_PAGES = 100
_OTHER_KIND = {"events": ("users", "user_job_ids"), "users": ("events", "job_ids")}


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
        page: The page; its rows are those of the job from `first` on.
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
    """How far a job has come at one endpoint.

    Attributes:
        rows: How many rows this reading has handed out.
        total: How many rows the job has, as the pages say.
        attempts: How often the same request has failed.
        is_unfinished: Whether the last word was that the import is still running.
        moved: Whether the import was running while its pages were read.
        readings: How often the job has been read from its first page.
        pending: The status of a job whose import still runs, where the status itself is
            what is read.
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
            return self._is_missing(error, policy)
        except errors.JobError as error:
            return Step(outcome="failed", reason=str(error), error=error)
        return self._took(page)

    def _took(self, page: Page) -> Step:
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
        if self._paginator.finished:
            if judge(self.rows, self.total) is Verdict.READ:
                return self._read(step)
            self._asks_status = True
        elif self.total is not None and self.rows > self.total:
            reason = (
                f"The pages go on after {errors.many(self.rows, 'row')}, more rows than"
                f" their total of {self.total:,}. Run again later. If the error"
                " persists, contact Fullstory's support."
            )
            return Step(outcome="failed", reason=reason)
        elif self._empty_pages > MOST_EMPTY_PAGES:
            reason = (
                f"The pages do not end: the last {self._empty_pages} of them were"
                " empty. Run again later. If the error persists, contact Fullstory's"
                " support."
            )
            return Step(outcome="failed", reason=reason)
        return step

    def _judge(self, status: Status, policy: Policy) -> Step:  # noqa: PLR0911 - a table
        """Decide about a job after its last page, with its status."""
        reported, kind = self.endpoint.reported(status)
        verdict = judge(
            self.rows, self.total, status.status, reported, moved=self.moved
        )
        if verdict is Verdict.WAIT:
            self.moved = True
            return self._wait_for_import(None)
        self.is_unfinished = False
        if verdict is Verdict.READ_AGAIN and self.readings < MOST_READINGS:
            self.readings += 1
            self.attempts, self.moved = 0, False
            self._restart()
            return Step()
        if verdict is Verdict.READ_AGAIN:
            reason = (
                f"It changed while it was read, {self.readings} times. Run again when"
                " the import has ended."
            )
            return Step(outcome="failed", reason=reason)
        if verdict is Verdict.READ:
            return self._read(Step())
        if verdict is Verdict.RETRY and self.readings < policy.max_attempts:
            self.attempts, self.readings = self.readings, self.readings + 1
            self._restart()
            reason = f"the pages have no rows, but the status reports {reported:,}"
            error = errors.RetriableError(reason)
            return Step(wait=next(self._poll_waits), reason=reason, error=error)
        total = "no total" if self.total is None else f"a total of {self.total:,}"
        numbers = (
            f"{errors.many(self.rows, 'row')} were read, but the pages report {total}"
            f" and the status of the job reports {reported:,} {kind}"
        )
        if policy.count_mismatch == "warn":
            warning = f"{numbers}. Accepted, because `count_mismatch` is `warn`."
            return self._read(Step(warning=warning))
        reason = (
            f"It is incomplete: {numbers}. The next run will read it again. To accept"
            " it as it is, set `count_mismatch` to `warn`."
        )
        return Step(outcome="failed", reason=reason)

    def _read(self, last: Step) -> Step:
        """The job has been read in full."""
        warning = last.warning
        if self.rows < self._most_rows:
            warning = (
                f"An earlier reading had {self._most_rows:,} rows, the last one"
                f" {self.rows:,}: rows of the earlier reading may remain in the target."
            )
        return Step(last.page, last.first, outcome="read", warning=warning)

    def _restart(self) -> None:
        """Start over from the first page."""
        self._most_rows = max(self._most_rows, self.rows)
        self.rows = self.pages = self._empty_pages = 0
        self.total, self._asks_status = None, False
        self._paginator = NextPageTokenPaginator()

    def _wait_for_import(self, asked: float | None) -> Step:
        """The job is still processing: when to ask again."""
        self.attempts, self._retry_waits, self.is_unfinished = 0, None, True
        if self.pages:
            self.moved = self._asks_status = True
        wait = next(self._poll_waits)
        return Step(wait=asked or wait)

    def _try_again(self, error: errors.RetriableError, policy: Policy) -> Step:
        """A request failed: when to try it again, or that it has failed for good."""
        self.attempts += 1
        self._retry_waits = self._retry_waits or retry.retry_waits()
        wait = next(self._retry_waits)
        if error.asked_wait is not None and error.asked_wait > policy.max_retry_wait:
            reason = (
                f"{error}, and it asks to wait {error.asked_wait:g} s, longer than"
                f" `max_retry_wait` ({policy.max_retry_wait:g} s) allows. Run again"
                " later, or raise it."
            )
            return Step(outcome="failed", reason=reason, error=error)
        if self.attempts >= policy.max_attempts:
            many = errors.many(self.attempts, "attempt")
            return Step(
                outcome="failed", reason=f"{error}; given up after {many}.", error=error
            )
        return Step(wait=error.asked_wait or wait, reason=str(error), error=error)

    def _is_missing(self, error: errors.MissingJobError, policy: Policy) -> Step:
        """The API does not know the job: whether that is a failure."""
        if policy.missing_jobs == "skip" and not self.pages and self.readings == 1:
            warning = "Skipped, because Fullstory does not know it (404)."
            return Step(outcome="skipped", warning=warning, error=error)
        kind, setting = _OTHER_KIND[self.endpoint.kind]
        reason = (
            f"{error} Check the ID{_looks_wrong(self.job_id)} and that the API key"
            f" belongs to the same organisation. If the job imports {kind}, list it in"
            f" `{setting}` instead. Results may also have expired. To go on without"
            " such jobs, set `missing_jobs` to `skip`."
        )
        return Step(outcome="failed", reason=reason, error=error)


def _looks_wrong(job_id: str) -> str:
    """What looks wrong in a job ID, in brackets; nothing if it looks right."""
    if "://" in job_id:
        hint = "it looks like an address: list the ID alone"
    elif any(char in job_id for char in "{}[]"):
        hint = "it looks like JSON: list the ID alone"
    elif any(char in job_id for char in _QUOTES):
        hint = "it has quotes: leave them out"
    elif "," in job_id:
        hint = "it looks like a line of CSV: list the ID alone"
    elif any(char.isspace() for char in job_id):
        hint = "it has white space: IDs are separated by commas"
    else:
        return ""
    return f" ({hint})"
