"""Run the tap, as the command or as ``python -m tap_fullstory_imports``."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it in silence while it is being loaded."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the tap handles it
    try:
        from tap_fullstory_imports.tap import TapFullstoryImports  # noqa: PLC0415
    except (AttributeError, ImportError) as error:  # of packages that are too old
        sys.exit(
            f"tap-fullstory-imports can't start: {error}. Another package in this"
            " environment needs older versions of what the tap needs, as target-jsonl"
            " does with jsonschema. Install the tap and each target in an environment"
            " of its own."
        )
    TapFullstoryImports.cli(prog_name=TapFullstoryImports.name)


if __name__ == "__main__":
    main()
