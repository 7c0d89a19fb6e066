"""The table that decides whether a job has been read in full, row by row."""

from __future__ import annotations

import pytest

from tap_fullstory_imports.fullstory.verdict import Verdict, judge


@pytest.mark.parametrize(
    ("rows", "total", "verdict"),
    [
        (5, 5, Verdict.READ),
        (5, 6, Verdict.ASK),
        (5, None, Verdict.ASK),
        (0, 0, Verdict.ASK),
        (0, None, Verdict.ASK),
    ],
)
def test_pages_alone_prove_only_a_total_above_zero(
    rows: int, total: int | None, verdict: Verdict
) -> None:
    assert judge(rows, total) is verdict
    assert judge(rows, total, moved=True) is Verdict.ASK


@pytest.mark.parametrize("word", ["PROCESSING", "UNKNOWN", "QUEUED", "completed", ""])
@pytest.mark.parametrize("moved", [False, True])
def test_any_word_but_two_means_wait(word: str, *, moved: bool) -> None:
    assert judge(5, 5, word, 5, moved=moved) is Verdict.WAIT
    assert judge(0, 0, word, 0, moved=moved) is Verdict.WAIT


@pytest.mark.parametrize("word", ["COMPLETED", "FAILED"])
@pytest.mark.parametrize(
    ("rows", "total", "reported", "verdict"),
    [
        (5, 6, 5, Verdict.READ),
        (5, None, 5, Verdict.READ),
        (0, 0, 0, Verdict.READ),
        (0, None, 0, Verdict.READ),
        (0, 3, 0, Verdict.INCOMPLETE),
        (0, None, 3, Verdict.RETRY),
        (0, 0, 3, Verdict.RETRY),
        (5, 6, 6, Verdict.INCOMPLETE),
        (6, 5, 5, Verdict.INCOMPLETE),
    ],
)
def test_a_final_status_decides(
    word: str, rows: int, total: int | None, reported: int, verdict: Verdict
) -> None:
    assert judge(rows, total, word, reported) is verdict
    assert judge(rows, total, word, reported, moved=True) is Verdict.READ_AGAIN
