"""The pace of all requests against limiters, simulated without threads or waiting."""

from __future__ import annotations

import heapq
import itertools
import random
from functools import partial
from typing import Any

import pytest

from tap_fullstory_imports.fullstory.pace import Pace
from tests.limiters import Bucket, FixedWindow, Shared, SlidingWindow

LIMITERS: dict[str, Any] = {
    "20 in any second": partial(SlidingWindow, 20),
    "20 per 5 s": partial(FixedWindow, 20, 5),
    "bucket of 50, 10 a second": partial(Bucket, 10, 50),
}
OTHER_LIMITERS = {
    "5 in any second": partial(SlidingWindow, 5),
    "100 in any second": partial(SlidingWindow, 100),
    "bucket of 20, 20 a second": partial(Bucket, 20),
    "bucket of 100, 100 a second": partial(Bucket, 100, 100),
    "100 per 60 s": partial(FixedWindow, 100, 60),
}
USUAL_LATENCY = 0.05, 0.15


class Unpaced(Pace):
    """Pauses after a 429, and has no rate."""

    def next_start(self, now):
        return now + self.paused(now)


class Simulation:
    """Processes that send requests through one limiter, by a clock that never waits.

    A limiter sees a request halfway between its start and its answer.
    """

    def __init__(
        self, make_limiter, *concurrencies, seed=0, pace=Pace, latency=USUAL_LATENCY
    ):
        self.now = 0.0
        self.limiter = make_limiter(clock=lambda: self.now)
        self.accepted: list[float] = []  # when
        self.refused = 0
        self._processes = [(most, pace(), [0]) for most in concurrencies]
        self._dice = random.Random(seed)  # noqa: S311
        self._latency = latency
        self._events: list[tuple[float, int, partial[None]]] = []
        self._numbers = itertools.count()

    @property
    def used(self):
        """The share of what the limiter would have let through, bursts included."""
        return len(self.accepted) / self.limiter.most(self.now)

    @property
    def refused_share(self):
        return self.refused / (self.refused + len(self.accepted))

    def run(self, requests=10**9, *, until=10.0**9):
        """Go on until so many requests have been accepted, or until a time."""
        while len(self.accepted) < requests and self.now < until:
            starts = [
                pace.next_start(self.now)
                for most, pace, [in_flight] in self._processes
                if in_flight < most
            ]
            ends = [self._events[0][0]] if self._events else []
            self.now = max(self.now, min(starts + ends))
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[-1]()
            for most, pace, in_flight in self._processes:
                while in_flight[0] < most and pace.next_start(self.now) <= self.now:
                    pace.start(self.now)
                    in_flight[0] += 1
                    latency = self._dice.uniform(*self._latency)
                    self._after(
                        latency / 2, self._arrive, pace, in_flight, self.now, latency
                    )
        return self

    def _arrive(self, pace, in_flight, started, latency):
        headers = self.limiter.refuse()
        self._after(latency / 2, self._answer, pace, in_flight, started, headers)

    def _answer(self, pace, in_flight, started, headers):
        in_flight[0] -= 1
        if headers is None:
            self.accepted.append(self.now)
            pace.answered(started)
        else:
            self.refused += 1
            after = headers.get("Retry-After")
            pace.refused(self.now, started, float(after) if after else None)

    def _after(self, seconds, event, *given):
        at = self.now + seconds
        heapq.heappush(self._events, (at, next(self._numbers), partial(event, *given)))


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITERS)
@pytest.mark.parametrize("retry_after", [True, False])
@pytest.mark.parametrize(
    ("concurrencies", "requests", "seeds"),
    [
        *(((one,), 600, 2) for one in (4, 8, 32)),
        *(((one,), 3000, 1) for one in (4, 8, 32)),
        *(((one,) * 4, 3000, 3) for one in (4, 8)),
    ],
)
def test_limit_is_used_and_429_is_rare(
    name, concurrencies, requests, seeds, *, retry_after
):
    """One process, or four that share the limit, each with a pace of its own."""
    make = partial(LIMITERS[name], retry_after=retry_after)
    runs = [
        Simulation(make, *concurrencies, seed=seed).run(requests)
        for seed in range(seeds)
    ]
    used = [run.used for run in runs]
    assert sum(used) / seeds >= 0.85
    assert min(used) >= 0.82
    assert sum(run.refused_share for run in runs) / seeds <= 0.055


@pytest.mark.parametrize("latency", [USUAL_LATENCY, (0.4, 0.6)])
@pytest.mark.parametrize("concurrency", [4, 8, 32])
@pytest.mark.parametrize("seed", range(4))
def test_random_429_costs_at_most_half(seed, concurrency, latency):
    """A process without a rate that makes the same pauses shows what is possible."""
    make = partial(Shared, 0.1, seed)
    took, possible = (
        Simulation(make, concurrency, seed=seed, pace=pace, latency=latency).run(600)
        for pace in (Pace, Unpaced)
    )
    assert took.now <= 2 * possible.now


@pytest.mark.parametrize("concurrency", [4, 8, 32])
def test_slow_answers_use_most_of_a_limit(concurrency):
    """5 in any second, with answers after 0.4 to 0.6 s."""
    make = partial(SlidingWindow, 5)
    run = Simulation(make, concurrency, latency=(0.4, 0.6)).run(600)
    assert run.used >= 0.75
    assert run.refused_share <= 0.1


@pytest.mark.parametrize("retry_after", [True, False])
@pytest.mark.parametrize("concurrency", [4, 32])
def test_run_ends_although_most_requests_are_refused(concurrency, *, retry_after):
    """With 60 % of 429 at random, 400 requests are accepted within 3 hours."""
    make = partial(Shared, 0.6, retry_after=retry_after)
    assert Simulation(make, concurrency).run(400).now <= 3 * 3600


@pytest.mark.parametrize("name", OTHER_LIMITERS)
@pytest.mark.parametrize("concurrency", [4, 16])
@pytest.mark.parametrize("latency", [(0.01, 0.01), USUAL_LATENCY])
def test_other_limits_and_latencies_are_handled(name, concurrency, latency):
    """The share is of what the limit and the latency allow."""
    run = Simulation(OTHER_LIMITERS[name], concurrency, latency=latency).run(1000)
    possible = min(1, concurrency / (sum(latency) / 2) / run.limiter.rate)
    assert run.used >= 0.65 * possible
    assert run.refused_share <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITERS)
def test_changed_limit_is_noticed(name):
    """Half as many requests again within 75 s of a rise; few 429 after a fall."""
    run = Simulation(LIMITERS[name], 8).run(until=70)
    rate = run.limiter.rate
    run.limiter.rate *= 5
    run.limiter.burst *= 5
    run.run(until=155)
    assert sum(145 <= at < 155 for at in run.accepted) >= 1.5 * rate * 10
    run.limiter.rate /= 20
    run.limiter.burst /= 20
    run.run(until=185)
    accepted, refused = len(run.accepted), run.refused
    run.run(until=485)
    accepted, refused = len(run.accepted) - accepted, run.refused - refused
    assert accepted >= 0.7 * 300 * run.limiter.rate
    assert refused <= accepted / 3


def go_ahead(pace, now):
    pace.start(now)
    pace.answered(now)


def test_requests_in_flight_double_every_second():
    """8 in the first second, 16 in the next, 32 in the third."""
    pace = Pace()
    for number in range(32):
        start = max(0.0, pace.next_start(0))
        assert start == (0 if number < 8 else 1 if number < 16 else 2)
        pace.start(start)
    assert pace.next_start(2) == 3
    pace.answered(0)
    assert pace.next_start(2) <= 2


def test_429_pauses_as_long_as_it_asks():
    pace = Pace()
    pace.start(1)
    pace.start(1)
    pace.refused(2, 1, 30)
    pace.refused(2.5, 1, 5)
    assert pace.next_start(3) == 32
    assert pace.paused(3) == 29
    assert pace.paused(32) == 0


@pytest.mark.parametrize("asked", [None, 0.0])
def test_429_without_retry_after_pauses_longer_each_time(asked):
    """1, 2, 4 … 60 s, and 1 s again once a request has been accepted."""
    pace, now, pauses = Pace(), 0.0, []
    for _ in range(8):
        pace.start(now)
        pace.refused(now, now, asked)
        pauses.append(pace.paused(now))
        now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pace.refused_for(now) == sum(pauses)
    go_ahead(pace, now)
    assert pace.refused_for(now) == 0
    pace.start(now)
    pace.refused(now, now, asked)
    assert pace.paused(now) == 1


def test_answers_in_flight_at_a_pause_change_little():
    pace = Pace()
    for _ in range(3):
        pace.start(0)
    pace.refused(0.1, 0)
    pace.refused(0.2, 0)
    pace.answered(0)
    assert pace.next_start(0.3) == 1.1
    assert pace.refused_for(1.1) == 1


@pytest.mark.parametrize("idle", [10, 3600, 1e6])
def test_idle_time_does_not_raise_the_rate(idle):
    """Only time counts in which requests had to wait for the pace."""
    pace = Pace()
    for number in range(20):
        go_ahead(pace, number / 20 - 1)
    pace.start(0)
    pace.refused(0, 0, 1)
    go_ahead(pace, 1)
    gap = pace.next_start(1) - 1
    for now in (1 + idle, 1 + 2 * idle):
        go_ahead(pace, now)
        second = max(now, pace.next_start(now))  # may make up for one gap
        go_ahead(pace, second)
        assert pace.next_start(second) - second == pytest.approx(gap, rel=0.06)
