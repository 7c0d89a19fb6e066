"""Why a job failed, was skipped or was deferred, in sentences for the user."""

from __future__ import annotations

from tap_fullstory_imports.fullstory.errors import many

LATER = "Run again later. If the error persists, contact Fullstory's support."
SKIPPED = "Skipped, because Fullstory does not know it (404)."
_OTHER_KIND = {"events": ("users", "user_job_ids"), "users": ("events", "job_ids")}
_QUOTES = "\"'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"


def more_than_total(rows: int, total: int) -> str:
    """The pages go on although all rows of their total have been read."""
    return (
        f"The pages go on after {many(rows, 'row')}, more rows than their total of"
        f" {total:,}. {LATER}"
    )


def more_than_reported(rows: int, reported: int, kind: str) -> str:
    """The pages have no total, and go on although all reported rows have been read."""
    return (
        f"The pages have no total and go on after {many(rows, 'row')}, but the status"
        f" of the job reports {reported:,} {kind}. {LATER}"
    )


def only_empty_pages(pages: int) -> str:
    """The pages go on without rows."""
    return f"The pages do not end: the last {pages} of them were empty. {LATER}"


def changed(readings: int) -> str:
    """The import was running each time that the pages were read."""
    return (
        f"It changed while it was read, {readings} times. Run again when the import has"
        " ended."
    )


def counts(rows: int, total: int | None, reported: int, kind: str) -> str:
    """The numbers of rows that do not agree."""
    said = "no total" if total is None else f"a total of {total:,}"
    return (
        f"{many(rows, 'row')} were read, but the pages report {said} and the status of"
        f" the job reports {reported:,} {kind}"
    )


def incomplete(numbers: str) -> str:
    """The number of rows is wrong."""
    return (
        f"It is incomplete: {numbers}. The next run will read it again. To accept it as"
        " it is, set `count_mismatch` to `warn`."
    )


def accepted(numbers: str) -> str:
    """The number of rows is wrong, but the user accepts that."""
    return f"{numbers}. Accepted, because `count_mismatch` is `warn`."


def no_rows_yet(reported: int) -> str:
    """The status reports rows that the pages do not have yet."""
    return f"the pages have no rows, but the status reports {reported:,}"


def fewer_rows(before: int, rows: int) -> str:
    """The last reading of a job has fewer rows than an earlier one."""
    return (
        f"An earlier reading had {before:,} rows, the last one {rows:,}: rows of the"
        " earlier reading may remain in the target."
    )


def long_wait(error: Exception, asked: float, most: float) -> str:
    """The API asks to wait for longer than the settings allow."""
    return (
        f"{error}, and it asks to wait {asked:g} s, longer than `max_retry_wait`"
        f" ({most:g} s) allows. Run again later, or raise it."
    )


def given_up(error: Exception, attempts: int) -> str:
    """A request has failed too often."""
    return f"{error}; given up after {many(attempts, 'attempt')}."


def stuck(seconds: float) -> str:
    """A request did not end within its time limit."""
    return f"no answer within {seconds:g} s, though the server keeps sending"


def deferred(seconds: float) -> str:
    """The import still runs, and the next run will read the job."""
    return f"{_still_processing(seconds)}: the next run will read it."


def unfinished(seconds: float) -> str:
    """The import still runs, which the settings count as a failure."""
    return (
        f"{_still_processing(seconds)}. Run again later, raise `job_wait_timeout`, or"
        " set `unfinished_jobs` to `defer`."
    )


def missing(error: Exception, job_id: str, kind: str) -> str:
    """The API does not know a job of a kind."""
    other, setting = _OTHER_KIND[kind]
    return (
        f"{error} Check the ID{_suspicion(job_id)} and that the API key belongs to the"
        f" same organisation. If the job imports {other}, list it in `{setting}`"
        " instead. Results may also have expired. To go on without such jobs, set"
        " `missing_jobs` to `skip`."
    )


def _still_processing(seconds: float) -> str:
    return f"It is still processing after {seconds:.0f} s of waiting"


def _suspicion(job_id: str) -> str:
    """What looks wrong in a job ID, in brackets; nothing if it looks right."""
    if "://" in job_id:
        hint = "it looks like an address: list the ID alone"
    elif any(char in job_id for char in "{}[]"):
        hint = "it looks like JSON: list the ID alone"
    elif any(char in job_id for char in _QUOTES):
        hint = "it has quotes: leave them out"
    elif "," in job_id or ";" in job_id:
        hint = "it looks like a line of CSV: list the ID alone"
    elif any(char.isspace() for char in job_id):
        hint = "it has white space: IDs are separated by commas"
    else:
        return ""
    return f" ({hint})"
