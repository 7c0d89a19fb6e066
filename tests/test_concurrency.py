"""Many jobs at once: order, the bound on pages, and who waits for whom."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tap_fullstory_imports.fullstory import Client, PageRead
from tap_fullstory_imports.sync import Sync
from tests.stand_in import Answer, Job, make_events

if TYPE_CHECKING:
    from tap_fullstory_imports.fullstory import Event
    from tap_fullstory_imports.fullstory.pages import Page
    from tests.harness import Folder
    from tests.stand_in import StandIn

NAMES = [f"job-{number}" for number in range(6)]


@pytest.fixture
def tap(tap: Folder) -> Folder:
    """The tap with its default concurrency."""
    del tap.settings["concurrency"]
    return tap


def most_at_once(api: StandIn, seconds: float) -> int:
    """The most requests that were under way at once, each taking so many seconds."""
    starts = [request.at for request in api.requests]
    return max(
        sum(start <= other < start + seconds for other in starts) for start in starts
    )


@pytest.mark.parametrize(("concurrency", "expected"), [(None, 4), (1, 1), (3, 3)])
def test_concurrency_bounds_the_jobs_read_at_once(
    tap: Folder, api: StandIn, concurrency: int | None, expected: int
) -> None:
    """Four, unless the setting says otherwise."""
    api.add(*(Job(name, rows=make_events(2), latency=0.08) for name in NAMES))
    run = tap.run(job_ids=NAMES, concurrency=concurrency)
    assert run.status == 0
    assert most_at_once(api, 0.06) == expected


@pytest.mark.parametrize("concurrency", [1, 2, 5, 32])
def test_rows_of_a_job_stay_in_order(
    tap: Folder, api: StandIn, concurrency: int
) -> None:
    """Jobs may mix, a job's pages may not, and nothing comes twice."""
    rows = {name: make_events(25, seed) for seed, name in enumerate(NAMES)}
    api.add(
        *(
            Job(name, rows=rows[name], page_size=size, latency=0.001 * size)
            for size, name in enumerate(NAMES, start=2)
        )
    )
    run = tap.run(job_ids=NAMES, concurrency=concurrency)
    assert run.status == 0
    assert run.completed() == dict.fromkeys(NAMES, 25)
    for name in NAMES:
        records = [row for row in run.records() if row["job_id"] == name]
        assert [row["event_index"] for row in records] == list(range(25))
        assert [row["name"] for row in records] == [row["name"] for row in rows[name]]


def test_no_bookmark_runs_ahead_of_its_records(tap: Folder, api: StandIn) -> None:
    """At no STATE, however the jobs mix."""
    api.add(*(Job(name, rows=make_events(40), page_size=7) for name in NAMES))
    run = tap.run(job_ids=NAMES, speed=10_000)  # time for STATE at every turn
    assert len(run.states) > 3  # the harness has looked at each of them
    assert run.completed() == dict.fromkeys(NAMES, 40)


def test_job_that_waits_holds_no_place(tap: Folder, api: StandIn) -> None:
    """With one place, a job in trouble lets all others go first."""
    trouble: list[Answer | None] = [Answer(503, headers={"Retry-After": "60"})]
    api.add(
        Job("unfinished", rows=make_events(3), processing=4),
        Job("troubled", rows=make_events(3), script={"imports": trouble}),
        *(Job(name, rows=make_events(3), page_size=1) for name in NAMES),
    )
    run = tap.run(job_ids=["unfinished", "troubled", *NAMES], concurrency=1)
    assert run.status == 0
    order = [*dict.fromkeys(row["job_id"] for row in run.records())]
    assert order == [*NAMES, "unfinished", "troubled"]


def test_429_pauses_all_requests(tap: Folder, api: StandIn) -> None:
    """Not only the job that met it."""
    limit: list[Answer | None] = [
        None,
        Answer(429, headers={"Retry-After": "40"}),
    ]
    api.add(
        Job("limited", rows=make_events(9), page_size=1, script={"imports": limit}),
        *(Job(name, rows=make_events(9), page_size=1, latency=0.02) for name in NAMES),
    )
    run = tap.run(job_ids=["limited", *NAMES], concurrency=4)
    assert run.status == 0
    assert run.completed() == dict.fromkeys(["limited", *NAMES], 9)
    times = sorted(request.at for request in api.requests)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) >= 0.4 - 0.03  # 40 s of the tap, less those under way
    (refused,) = [request.at for request in api.requests if request.status == 429]
    late = [at for at in times if refused < at < refused + 0.4 - 0.03]
    assert len(late) <= 3  # those of the other threads, which were under way


def test_polls_hold_up_no_job_that_is_ready(tap: Folder, api: StandIn) -> None:
    """Though to ask all unfinished jobs once takes longer than to wait between."""
    slow = [f"slow-{number}" for number in range(10)]
    api.add(*(Job(name, processing=-1, latency=0.05) for name in slow))
    api.add(Job("good", rows=make_events(3), page_size=1))
    run = tap.run(job_ids=[*slow, "good"], concurrency=1, job_wait_timeout=10)
    assert run.status == 0
    assert run.completed() == {"good": 3}
    assert "deferred 10" in run.stderr
    assert "Waiting for jobs that are still processing (10: " in run.stderr
    assert len(api.requests) < 50


class _Kept:
    """Counts the pages that have been asked for and not yet been worked on."""

    def __init__(self) -> None:
        self.fetched = 0
        self.most = 0
        self.worked_on = 0


@pytest.mark.parametrize("concurrency", [1, 3])
def test_memory_holds_two_pages_for_each_job_at_once(
    tap: Folder, api: StandIn, monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    """Fetching is held back by whoever reads the rows."""
    kept = _Kept()
    read_page, handle = Client.page, Sync.handle

    def counted(self: Client, *args: Any) -> Page:
        page = read_page(self, *args)
        kept.fetched += 1
        kept.most = max(kept.most, kept.fetched - kept.worked_on)
        return page

    def slowly(self: Sync, happened: Event) -> None:
        handle(self, happened)
        if isinstance(happened, PageRead):
            time.sleep(0.01)  # a target that is slower than the API
            kept.worked_on += 1

    monkeypatch.setattr(Client, "page", counted)
    monkeypatch.setattr(Sync, "handle", slowly)
    api.add(*(Job(name, rows=make_events(12), page_size=2) for name in NAMES))
    run = tap.run(job_ids=NAMES, concurrency=concurrency)
    assert run.status == 0
    assert kept.fetched == 36
    # The page that has just been worked on gives its place back before it is counted.
    assert concurrency < kept.most <= 2 * concurrency + 1


@pytest.mark.slow
def test_connection_test_does_not_wait_for_other_requests(
    tap: Folder, api: StandIn
) -> None:
    """One record is enough: requests that hang are left to themselves."""
    hangs: list[Answer | None] = [Answer(hang=True)] * 9
    api.add(Job("good", rows=make_events(3)))
    api.add(*(Job(name, script={"imports": hangs}) for name in NAMES))
    tap.streams = ("imported_events",)
    started = time.monotonic()
    process = tap.start("--test", job_ids=["good", *NAMES])
    out, err = process.communicate(timeout=10)
    assert process.returncode == 0, err
    assert out.count(b'"RECORD"') >= 1
    assert time.monotonic() - started < 4  # the start of Python included


def test_one_request_is_under_way_until_the_first_answer(
    tap: Folder, api: StandIn
) -> None:
    """A refused key costs one request, however many jobs could start."""
    api.add(*(Job(name, latency=0.2) for name in NAMES))

    run = tap.run(job_ids=NAMES, concurrency=8, api_key="wrong-but-long-enough")

    assert run.status == 1
    assert len(api.requests) == 1
