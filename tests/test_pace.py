"""The pace of all requests against limiters, simulated without threads or waiting."""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tap_fullstory_imports.fullstory.pace import Pace
from tests.limiters import Bucket, FixedWindow, Limiter, SlidingWindow

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeLimiter: TypeAlias = Callable[..., Limiter]

SLIDING = partial(SlidingWindow, 20)
BUCKET = partial(Bucket, 10, 50)
FIXED = partial(FixedWindow, 20, 5)
LIMITERS: dict[str, MakeLimiter] = {
    "20 in any second": SLIDING,
    "20 in any second, no Retry-After": partial(SLIDING, retry_after=False),
    "bucket of 50, 10 a second": BUCKET,
    "bucket of 50, 10 a second, no Retry-After": partial(BUCKET, retry_after=False),
    "20 per 5 s": FIXED,
    "20 per 5 s, no Retry-After": partial(FIXED, retry_after=False),
}
OTHER_LIMITERS: dict[str, MakeLimiter] = {
    "5 in any second": partial(SlidingWindow, 5),
    "100 in any second": partial(SlidingWindow, 100),
    "bucket of 20, 20 a second": partial(Bucket, 20),
    "bucket of 100, 100 a second": partial(Bucket, 100, 100),
    "bucket of 10, 1 a second": partial(Bucket, 1, 10),
    "100 per 60 s": partial(FixedWindow, 100, 60),
    "100 in any 10 s, no Retry-After": partial(
        SlidingWindow, 100, 10, retry_after=False
    ),
}
USUAL_LATENCY = 0.05, 0.15


@dataclass
class Client:
    """A process with several requests at once and a pace of its own."""

    concurrency: int
    pace: Pace = field(default_factory=Pace)
    in_flight: int = 0


class Simulation:
    """Clients that send requests through one limiter, by a clock that never waits.

    Attributes:
        now: The time in seconds.
        limiter: What the requests meet halfway between start and answer.
        accepted: When each accepted request was answered.
        refused: How many requests were answered 429.
    """

    def __init__(
        self,
        make_limiter: MakeLimiter,
        *concurrencies: int,
        seed: int = 0,
        latency: tuple[float, float] = USUAL_LATENCY,
    ) -> None:
        """Start at 0 with a fresh limiter and a client for each concurrency."""
        self.now = 0.0
        self.limiter = make_limiter(clock=lambda: self.now)
        self.accepted: list[float] = []
        self.refused = 0
        self._clients = [Client(concurrency) for concurrency in concurrencies]
        self._dice = random.Random(seed)  # noqa: S311
        self._latency = latency
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    @property
    def used(self) -> float:
        """The share of what the limiter would have let through, bursts included."""
        return len(self.accepted) / self.limiter.most(self.now)

    @property
    def refused_share(self) -> float:
        """The share of answers that are 429."""
        return self.refused / (self.refused + len(self.accepted))

    def rate(self, since: float, until: float) -> float:
        """Return the accepted requests per second of a period."""
        return sum(since <= at < until for at in self.accepted) / (until - since)

    def run(self, requests: int = 10**9, *, until: float = 10**9) -> Simulation:
        """Go on until so many requests have been accepted, or until a time."""
        while len(self.accepted) < requests and self.now < until:
            starts = [
                client.pace.next_start(self.now)
                for client in self._clients
                if client.in_flight < client.concurrency
            ]
            ends = [self._events[0][0]] if self._events else []
            self.now = max(self.now, min(starts + ends))
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[-1]()
            for client in self._clients:
                self._start(client)
        return self

    def _start(self, client: Client) -> None:
        while (
            client.in_flight < client.concurrency
            and client.pace.next_start(self.now) <= self.now
        ):
            client.pace.start(self.now)
            client.in_flight += 1
            latency = self._dice.uniform(*self._latency)
            self._after(latency / 2, partial(self._arrive, client, self.now, latency))

    def _arrive(self, client: Client, started: float, latency: float) -> None:
        headers = self.limiter.refuse()
        self._after(latency / 2, partial(self._answer, client, started, headers))

    def _answer(
        self, client: Client, started: float, headers: dict[str, str] | None
    ) -> None:
        client.in_flight -= 1
        if headers is None:
            self.accepted.append(self.now)
            client.pace.answered(started)
        else:
            self.refused += 1
            after = headers.get("Retry-After")
            client.pace.refused(self.now, started, float(after) if after else None)

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), event))


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITERS)
@pytest.mark.parametrize("concurrency", [4, 8, 16])
@pytest.mark.parametrize(
    ("requests", "seeds", "least_used"), [(400, 8, 0.85), (3000, 2, 0.9)]
)
def test_limit_is_used_and_429_is_rare(
    name: str, concurrency: int, requests: int, seeds: int, least_used: float
) -> None:
    """With latencies of 50 to 150 ms."""
    for seed in range(seeds):
        run = Simulation(LIMITERS[name], concurrency, seed=seed).run(requests)
        assert run.used >= least_used
        assert run.refused_share <= 0.05


@pytest.mark.parametrize("name", [*LIMITERS, *OTHER_LIMITERS])
@pytest.mark.parametrize("concurrency", [4, 16])
@pytest.mark.parametrize("latency", [(0.01, 0.01), USUAL_LATENCY, (0.4, 0.6)])
def test_other_limits_and_latencies_are_handled(
    name: str, concurrency: int, latency: tuple[float, float]
) -> None:
    """The share is of what the limit and the latency allow."""
    make = {**LIMITERS, **OTHER_LIMITERS}[name]
    run = Simulation(make, concurrency, latency=latency).run(1000)
    possible = min(1, concurrency / (sum(latency) / 2) / run.limiter.rate)
    assert run.used >= 0.7 * possible
    assert run.refused_share <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITERS)
def test_clients_share_a_limit(name: str) -> None:
    """Four processes, each with a pace of its own, use it up and get all through."""
    run = Simulation(LIMITERS[name], 4, 4, 4, 4).run(3000)
    assert run.used >= 0.6
    assert run.refused_share <= 0.1


@pytest.mark.parametrize("name", LIMITERS)
@pytest.mark.parametrize("factor", [2, 5])
@pytest.mark.parametrize("since", [30, 70])
def test_risen_limit_is_noticed_within_a_minute(
    name: str, factor: int, since: int
) -> None:
    """A minute later, at least half as many requests again are accepted."""
    run = Simulation(LIMITERS[name], 16).run(until=since)
    rate = run.limiter.rate
    run.limiter.rate *= factor
    run.limiter.burst *= factor
    run.run(until=since + 70)
    assert run.rate(since + 60, since + 70) >= 1.5 * rate


@pytest.mark.parametrize("name", LIMITERS)
def test_fallen_limit_is_soon_kept(name: str) -> None:
    """A tenth of the limit: 20 s later at most one answer in four is a 429."""
    run = Simulation(LIMITERS[name], 16).run(until=30)
    run.limiter.rate /= 10
    run.limiter.burst /= 10
    run.run(until=50)
    accepted, refused = len(run.accepted), run.refused
    run.run(until=350)
    accepted, refused = len(run.accepted) - accepted, run.refused - refused
    assert accepted >= 0.7 * 300 * run.limiter.rate
    assert refused <= accepted / 3


@pytest.mark.parametrize(
    ("make", "least_used"),
    [
        (partial(SlidingWindow, 1, 10), 0.5),
        (partial(FixedWindow, 1, 60), 0.5),
        (partial(Bucket, 20, 1), 0.1),  # two requests never come close together
    ],
)
@pytest.mark.parametrize("retry_after", [True, False])
def test_limit_of_one_request_never_stalls(
    make: MakeLimiter, least_used: float, *, retry_after: bool
) -> None:
    """Neither with nor without Retry-After."""
    run = Simulation(partial(make, retry_after=retry_after), 16).run(50)
    assert run.used >= least_used


def test_drained_bucket_slows_no_later_request() -> None:
    """A run that begins with a drained bucket is not slow for it."""

    def make_drained(**options: Callable[[], float]) -> Limiter:
        bucket = Bucket(20, 20, **options)
        while bucket.refuse() is None:
            pass
        return bucket

    assert Simulation(make_drained, 16).run(400).used >= 0.8


def limited(rate: float = 20) -> Pace:
    """Return a pace that has met a limit at 0; its pause ends at 1."""
    pace = Pace()
    for number in range(int(rate)):
        go_ahead(pace, (number + 0.5) / rate - 1)
    pace.start(0)
    pace.refused(0, 0, 1)
    return pace


def go_ahead(pace: Pace, now: float) -> None:
    """Let a request start and be accepted."""
    pace.start(now)
    pace.answered(now)


def test_no_limit_before_the_first_429() -> None:
    """A request may always start at once."""
    pace = Pace()
    for number in range(1000):
        now = number * 1e-6
        assert pace.next_start(now) <= now
        pace.start(now)
        pace.answered(now)


def test_requests_in_flight_double_every_second() -> None:
    """8 in the first second, 16 in the next, 32 in the third."""
    pace = Pace()
    for number in range(32):
        start = max(0.0, pace.next_start(0))
        assert start == (0 if number < 8 else 1 if number < 16 else 2)
        pace.start(start)
    assert pace.next_start(2) == 3
    pace.answered(0)
    assert pace.next_start(2) <= 2


def test_429_pauses_as_long_as_it_asks() -> None:
    """A later, shorter pause does not cut it short."""
    pace = Pace()
    pace.start(1)
    pace.start(1)
    pace.refused(2, 1, 30)
    pace.refused(2.5, 1, 5)
    assert pace.next_start(3) == 32
    assert pace.paused(3) == 29
    assert pace.paused(32) == 0


@pytest.mark.parametrize("asked", [None, 0.0])
def test_429_without_retry_after_pauses_longer_each_time(asked: float | None) -> None:
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


def test_one_request_goes_ahead_after_a_pause() -> None:
    """The others follow its answer, or a second later."""
    pace = limited()
    assert pace.next_start(1) == 1
    pace.start(1)
    assert pace.next_start(1) == 2
    pace.answered(1)
    assert pace.next_start(1) < 1.1


def test_answers_in_flight_at_a_pause_change_little() -> None:
    """Neither a 429 nor another answer to an earlier request ends the pause."""
    pace = Pace()
    for _ in range(3):
        pace.start(0)
    pace.refused(0.1, 0)
    pace.refused(0.2, 0)
    pace.answered(0)
    assert pace.next_start(0.3) == 1.1
    assert pace.refused_for(1.1) == 1


def test_rate_falls_then_stays_then_doubles() -> None:
    """95 % of the limit within 3 % for 40 s, twice as much after a minute."""
    pace = limited(20)
    go_ahead(pace, 1)
    rates = {}
    now = 1.0
    while now < 62:
        start = pace.next_start(now)
        rates[round(now)] = 1 / (start - now)
        now = start
        go_ahead(pace, now)
    for second in (2, 20, 40):
        assert rates[second] == pytest.approx(19, rel=0.04)
    assert rates[61] == pytest.approx(38, rel=0.1)


@pytest.mark.parametrize("idle", [10, 3600, 1e6])
def test_idle_time_does_not_raise_the_rate(idle: float) -> None:
    """Only time counts in which requests had to wait for the pace."""
    pace = limited()
    go_ahead(pace, 1)
    gap = pace.next_start(1) - 1
    for now in (1 + idle, 1 + 2 * idle):
        go_ahead(pace, now)
        second = max(now, pace.next_start(now))  # may make up for one gap
        go_ahead(pace, second)
        assert pace.next_start(second) - second == pytest.approx(gap, rel=0.05)


def test_429_while_few_requests_are_made_keeps_a_quarter_of_the_rate() -> None:
    """Others may have used up the limit: that says little about its height."""
    pace = limited(20)
    for now in (1, 10, 20):
        go_ahead(pace, now)
    pace.start(30)
    pace.refused(30, 30, 1)
    go_ahead(pace, 31)
    assert pace.next_start(31) - 31 < 0.3
