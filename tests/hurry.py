"""Makes the tap's clock run faster: ``python -m tests.hurry SPEED ARGUMENTS...``."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import contextmanager
from unittest.mock import patch

from tap_fullstory_imports.__main__ import main
from tap_fullstory_imports.fullstory import api
from tap_fullstory_imports.jobs import run
from tap_fullstory_imports.singer import writer


@contextmanager
def hurried(speed):
    """Make the clock of event loops run faster, their waits as much shorter.

    Threads live in real time, and so does the limit for stuck requests.
    """

    class Loop(asyncio.SelectorEventLoop):
        def time(self):
            return super().time() * speed

        def __init__(self):
            super().__init__()
            select = self._selector.select  # type: ignore[attr-defined]
            self._selector.select = lambda timeout=None: select(  # type: ignore[attr-defined]
                timeout if timeout is None else timeout / speed
            )

    limits = patch.object(api, "STUCK_LIMITS", api.STUCK_LIMITS * speed)
    patience = float(os.environ.get("TESTS_PATIENCE", "1"))  # with a target, at the end
    with (
        limits,
        patch.object(asyncio.events, "new_event_loop", Loop),
        patch.object(writer, "END_SECONDS", writer.END_SECONDS * patience),
        patch.object(run, "END_SECONDS", run.END_SECONDS * patience),
    ):
        yield


if __name__ == "__main__":
    with hurried(float(sys.argv.pop(1))):
        main()
