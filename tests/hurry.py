"""Makes the tap's clock run faster: ``python -m tests.hurry SPEED ARGUMENTS...``."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tap_fullstory_imports.__main__ import main
from tap_fullstory_imports.fullstory import clock

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator


@contextmanager
def hurried(speed: float) -> Iterator[None]:
    """Make the tap's clock run faster, its waits as much shorter."""
    real_now, real_wait = clock.now, clock.wait

    def now() -> float:
        return real_now() * speed

    def wait(condition: threading.Condition, seconds: float | None) -> None:
        real_wait(condition, None if seconds is None else seconds / speed)

    clock.now, clock.wait = now, wait
    try:
        yield
    finally:
        clock.now, clock.wait = real_now, real_wait


if __name__ == "__main__":
    with hurried(float(sys.argv.pop(1))):
        main()
