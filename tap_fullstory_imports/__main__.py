"""Run the tap, as the command or as ``python -m tap_fullstory_imports``."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
from contextlib import suppress

M_ARENA_MAX = -8  # of glibc's malloc.h


def main() -> None:
    """Run the command line; a signal ends it in silence while it is being loaded."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
            # Linux ignores a signal that process 1 does not handle.
            signal.signal(number, lambda number, _: os._exit(128 + number))
    with suppress(AttributeError, OSError, TypeError):  # without glibc
        # One heap for all threads. Each thread's own would keep what a page needed.
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    try:
        from tap_fullstory_imports.singer.writer import lead_nowhere  # noqa: PLC0415
        from tap_fullstory_imports.tap import TapFullstoryImports  # noqa: PLC0415
    except (AttributeError, ImportError) as error:  # of packages that are too old
        sys.exit(
            f"tap-fullstory-imports can't start: {error}. Another package in this"
            " environment needs older versions of what the tap needs. Install the tap"
            " and each target in an environment of its own."
        )
    try:
        command = TapFullstoryImports.cli
    except ValueError as error:  # of `logging`
        sys.exit(
            f"tap-fullstory-imports can't set up its log: {error}. Check the variables"
            " TAP_FULLSTORY_IMPORTS_LOGLEVEL, LOGLEVEL and SINGER_SDK_LOG_CONFIG."
        )
    try:
        try:
            command(prog_name=TapFullstoryImports.name)
        finally:
            try:
                if sys.stderr is not None:
                    sys.stderr.flush()
            except OSError:  # the terminal has gone
                lead_nowhere(sys.stderr)
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:  # of `--discover` and `--about`
        if error.errno not in (errno.ENOSPC, errno.EPIPE):
            raise
        lead_nowhere(sys.stdout)
        sys.exit(f"stdout can't be written: {error.strerror}.")


if __name__ == "__main__":
    main()
