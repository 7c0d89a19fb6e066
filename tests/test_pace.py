"""The pace of all requests: how it meets a limit that nobody publishes."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import pytest

from tap_fullstory_imports.pace import Pace


@dataclass
class Outcome:
    """What became of a number of requests against a limit."""

    used: float
    refused: float


def simulate(
    rate: float, burst: int, wanted: int, *, concurrency: int = 8, latency: float = 0.05
) -> Outcome:
    """Send requests to a server with a token bucket, without waiting in real time."""
    pace, now, filled_at, tokens = Pace(), 0.0, 0.0, float(burst)
    under_way: list[tuple[float, float]] = []  # when it ends, seconds to wait or 0
    done = sent = refused = 0
    while done < wanted:
        start = pace.next_start(now)
        room = len(under_way) < concurrency and done + len(under_way) < wanted
        if room and start <= now:
            pace.start(now)
            sent += 1
            tokens, filled_at = min(burst, tokens + (now - filled_at) * rate), now
            wait = 0.0 if tokens >= 1 else max(1, math.ceil((1 - tokens) / rate))
            tokens -= 0 if wait else 1
            heapq.heappush(under_way, (now + latency, wait))
            continue
        next_times = [under_way[0][0]] if under_way else []
        now = max(now, min([*next_times, start] if room else next_times))
        while under_way and under_way[0][0] <= now:
            _, wait = heapq.heappop(under_way)
            if wait:
                refused += 1
                pace.refused(now, wait)
            else:
                done += 1
                pace.answered()
    return Outcome(used=wanted / now / rate, refused=refused / sent)


def test_without_a_429_there_is_no_limit() -> None:
    """A request may always start at once."""
    pace = Pace()
    for number in range(1000):
        assert pace.next_start(number * 1e-6) <= number * 1e-6
        pace.start(number * 1e-6)
        pace.answered()


def test_a_429_pauses_for_as_long_as_it_asks() -> None:
    """And a later, shorter one does not cut the pause short."""
    pace = Pace()
    pace.start(1.0)
    pace.refused(2.0, wait=30)
    pace.refused(2.5, wait=5)
    assert pace.next_start(3.0) == 32
    assert pace.paused(3.0) == 29
    assert pace.paused(32.0) == 0


def test_after_a_429_fewer_requests_follow_and_then_more() -> None:
    """The gap between two requests grows at once, and shrinks with time."""
    pace = Pace()
    for number in range(100):
        pace.start(number * 0.01)
        pace.answered()
    pace.refused(1.0, wait=1)
    gaps = []
    for now in (2.0, 10.0, 30.0):
        pace.start(now)
        gaps.append(pace.next_start(now) - now)
    assert gaps[0] == pytest.approx(1 / 90, rel=0.02)  # nine tenths of 100 a second
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[2] < gaps[0] / 5


@pytest.mark.parametrize("latency", [0.002, 0.05, 0.2])
@pytest.mark.parametrize("burst", [20, 100])
def test_a_limit_is_used_well_and_seldom_met(burst: int, latency: float) -> None:
    """At least 85 % of it is used; at most 5 % of the requests are answered 429."""
    outcome = simulate(20, burst, 1000, latency=latency)
    assert outcome.used >= 0.85
    assert outcome.refused <= 0.05


@pytest.mark.parametrize(("rate", "burst"), [(1, 1), (0.1, 1), (20, 1), (500, 500)])
def test_any_limit_is_lived_with(rate: float, burst: int) -> None:
    """Slower than it could be, perhaps, but without being refused for ever."""
    outcome = simulate(rate, burst, 100)
    assert outcome.used > 0.1
    assert outcome.refused < 0.6


def test_a_429_before_anything_is_known_is_soon_forgotten() -> None:
    """Somebody else had used up the limit: there is none for the rest of the run."""
    pace, now = Pace(), 0.0
    pace.start(now)
    pace.refused(now, wait=1)
    for _ in range(320):
        now = max(now, pace.next_start(now))
        pace.start(now)
        pace.answered()
    assert now < 10


def test_a_time_without_requests_tells_nothing() -> None:
    """After a long wait the rate is that of the requests, not of the wait."""
    pace = Pace()
    pace.start(0.0)
    pace.answered()
    for number in range(100):
        pace.start(300 + number * 0.01)
        pace.answered()
    pace.refused(301.0, wait=1)
    pace.start(302.0)
    assert pace.next_start(302.0) - 302.0 == pytest.approx(1 / 90, rel=0.05)
