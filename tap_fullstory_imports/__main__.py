"""Run the tap, as the command or as ``python -m tap_fullstory_imports``."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line; Ctrl-C ends it in silence while it is being loaded."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the tap sees to it
    from tap_fullstory_imports.tap import TapFullstoryImports  # noqa: PLC0415

    TapFullstoryImports.cli(prog_name=TapFullstoryImports.name)


if __name__ == "__main__":
    main()
