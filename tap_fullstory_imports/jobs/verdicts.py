"""Has a job been read in full, and what is said if not?

Source: https://developer.fullstory.com/server/events/get-batch-import-job-details/
"""

from __future__ import annotations

from tap_fullstory_imports.fullstory.answers import JobError, MissingJobError
from tap_fullstory_imports.fullstory.pages import Status
from tap_fullstory_imports.fullstory.stream import JobStream
from tap_fullstory_imports.reporting.words import bounded, many

LATER = "Run again later. If the error persists, contact Fullstory's support."
CHANGED = "It changed while it was read. Run again when the import has ended."
_OTHER_KINDS = {"events": ("users", "user_job_ids"), "users": ("events", "job_ids")}


class AgainError(Exception):
    """What was read is not the whole job: a later round reads the job again.

    The text says why, in a sentence for the case that it was the last reading.
    """


class CountsError(AgainError):
    """The pages have ended, but the number of rows is wrong.

    Attributes:
        rows: The number of rows.
        numbers: All numbers, in words.
    """

    def __init__(self, rows: int, numbers: str) -> None:
        super().__init__(
            f"It is incomplete: {numbers}. The next run will read it again. To accept"
            " it as it is, set `count_mismatch` to `warn`."
        )
        self.rows, self.numbers = rows, numbers


def judge(stream: JobStream, rows: int, total: int | None, status: Status) -> None:
    """Decide about a job whose last page has been read, and whose import has ended.

    | rows | verdict |
    |---|---|
    | the total of the pages, above 0 | read: nobody asks for the status |
    | as the total or the status says, above 0 | read |
    | 0, and no count is above 0 | read |
    | anything else | read again, then `count_mismatch` decides |

    Args:
        stream: The stream of the rows.
        rows: How many rows the pages had.
        total: ``total_records`` of the pages; None if no page had it.
        status: The status of the job.

    Raises:
        CountsError: If the number of rows is wrong.
    """
    reported = stream.reported(status)
    if rows not in (total, reported) or (not rows and (total or reported)):
        counted = counts(stream, total, reported)
        raise CountsError(rows, f"{many(rows, 'row')} were read, but {counted}")


def counts(stream: JobStream, total: int | None, reported: int) -> str:
    """What the API says of the number of rows."""
    said = "no total" if total is None else f"a total of {total:,}"
    return (
        f"the pages report {said} and the status of the job reports {reported:,}"
        f" {stream.counted} {stream.kind}"
    )


def expired(error: JobError) -> AgainError:
    """The API no longer knows the token of a page."""
    return AgainError(f"The token of a page has expired: {error} {LATER}")


def endless(reason: str) -> JobError:
    """The pages do not end."""
    return JobError(f"The pages do not end: {reason}. {LATER}")


def fewer_rows(before: int, rows: int) -> str:
    """The last reading of a job has fewer rows than an earlier one."""
    return (
        f"An earlier reading had {before:,} rows, the last one {rows:,}: rows of the"
        " earlier reading may remain in the target."
    )


def unreadable(seen: int, example: str) -> str:
    """Timestamps of a job became null."""
    text = f"{many(seen, 'timestamp')} could not be read and became null"
    return f"{text}, for example '{bounded(example, 40)}'."


def replaced(seen: int) -> str:
    """Characters of a job were replaced."""
    return f"{many(seen, 'character')} that no database stores became U+FFFD."


def failed(kind: str, error: JobError, missing_jobs: str) -> tuple[str, str]:
    """The outcome of a job that can't be read, and why."""
    if not isinstance(error, MissingJobError):
        return "failed", str(error)
    if missing_jobs == "skip":
        return "skipped", "Skipped, because Fullstory does not know it (404)."
    other, setting = _OTHER_KINDS[kind]
    return "failed", (
        f"{error} Check the ID and that the API key belongs to the same organisation."
        f" If the job imports {other}, list it in `{setting}` instead. Results may also"
        " have expired. To go on without such jobs, set `missing_jobs` to `skip`."
    )


def unfinished(
    status: Status | None, seconds: float, unfinished_jobs: str
) -> tuple[str, str]:
    """The outcome of a job whose import still runs, and why.

    Args:
        status: The status of the job, if it was asked for.
        seconds: How long the run has waited.
        unfinished_jobs: The setting.
    """
    is_other = status and not status.is_final and status.word != "PROCESSING"
    word = f" (status {bounded(status.word, 40)})" if status and is_other else ""
    waited = f" after {seconds:.0f} s of waiting" if seconds else ""
    text = f"It is still processing{word}{waited}."
    if unfinished_jobs == "defer":
        return "deferred", f"{text} The next run will read it."
    return "failed", (
        f"{text} Run again later, raise `job_wait_timeout`, or set `unfinished_jobs`"
        " to `defer`."
    )
