"""How a signal ends the run: at the next whole line, and soon."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from tap_fullstory_imports.fullstory import clock
from tap_fullstory_imports.progress import restore_terminal

if TYPE_CHECKING:
    from types import FrameType

    from tap_fullstory_imports.messages import BufferedWriter

END_SECONDS = 1.2  # for everything but a target that does not read
TARGET_SECONDS = 10.0


class Ending:
    """Ends the run when a signal asks for it."""

    def __init__(self, writer: BufferedWriter) -> None:
        """Watch the writer, which a target can keep waiting."""
        self._writer = writer
        self._signal: int | None = None

    def handle_signals(self) -> None:
        """Handle SIGINT and SIGTERM in the place of the SDK.

        The SDK would write STATE from its handler, perhaps in the middle of a line, and
        end with the exit code 0.
        """
        signal.signal(signal.SIGINT, self._end_soon)
        signal.signal(signal.SIGTERM, self._end_soon)

    def look(self) -> None:
        """End the run if a signal has asked for it.

        Raises:
            SystemExit: With the exit code of the signal.
        """
        if self._signal is not None:
            raise SystemExit(128 + self._signal)

    @property
    def reason(self) -> str:
        """Why the run ends, for the user."""
        name = signal.Signals(self._signal).name if self._signal else "A signal"
        return f"{name} ended the run. The next run reads the jobs that are left."

    def _end_soon(self, signum: int, _frame: FrameType | None) -> None:
        """Ask the run to end at the next whole line, and see that it does."""
        if self._signal is None:
            self._signal = signum
            threading.Thread(target=self._see_the_end, daemon=True).start()

    def _see_the_end(self) -> None:
        """End the process if it does not end by itself.

        A target that does not read gets some time to take what is in the buffer.
        Nothing else gets more than a moment.
        """
        asked, idle_since = clock.now(), time.monotonic()
        while time.monotonic() - idle_since < END_SECONDS:
            time.sleep(END_SECONDS / 50)
            if self._writer.is_writing and clock.now() - asked < TARGET_SECONDS:
                idle_since = time.monotonic()
        # The terminal itself can block, after Ctrl-S for example.
        restoring = threading.Thread(target=restore_terminal, daemon=True)
        restoring.start()
        restoring.join(timeout=END_SECONDS / 50)
        os._exit(128 + (self._signal or 0))
