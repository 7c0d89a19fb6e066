"""Has a job been read in full? This module alone decides it.

Source: https://developer.fullstory.com/server/events/get-batch-import-job-details/
"""

from __future__ import annotations

from enum import Enum

FINAL_STATUSES = ("COMPLETED", "FAILED")  # a status of any type can be looked up


class Verdict(Enum):
    """What to do with a job whose last page has been read."""

    READ = "All rows have been read."
    ASK = "The pages alone do not prove it: ask for the status of the job."
    WAIT = "The import is still running: wait, then read the job again."
    READ_AGAIN = "The import was running while its pages were read."
    RETRY = "The pages had no rows although the status reports some."
    INCOMPLETE = "The number of rows is wrong."


def judge(
    rows: int,
    total: int | None,
    status: str | None = None,
    reported: int = 0,
    *,
    moved: bool = False,
) -> Verdict:
    """Decide about a job whose last page has been read.

    | status | moved | rows | verdict |
    |---|---|---|---|
    | not asked | no | the total of the pages, above 0 | READ |
    | not asked | any | anything else | ASK |
    | neither COMPLETED nor FAILED | any | any | WAIT |
    | final | yes | any | READ_AGAIN |
    | final | no | as reported, above 0 | READ |
    | final | no | 0, as reported and as the pages say | READ |
    | final | no | 0, but more are reported | RETRY |
    | final | no | anything else | INCOMPLETE |

    Args:
        rows: How many rows the pages had.
        total: ``total_records`` of the pages; None if no page had it.
        status: The status word of the job; None if nobody has asked for it.
        reported: How many rows the status reports.
        moved: Whether the import was still running after the first page was read.
    """
    if status is None:
        return Verdict.READ if rows and rows == total and not moved else Verdict.ASK
    if status not in FINAL_STATUSES:
        return Verdict.WAIT
    if moved:
        return Verdict.READ_AGAIN
    if not rows and reported:
        return Verdict.RETRY
    if rows == reported and (rows or not total):
        return Verdict.READ
    return Verdict.INCOMPLETE
