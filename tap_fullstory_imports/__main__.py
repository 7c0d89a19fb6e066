"""Run the tap as ``python -m tap_fullstory_imports``."""

from __future__ import annotations

from tap_fullstory_imports.tap import TapFullstoryImports

TapFullstoryImports.cli(prog_name=TapFullstoryImports.name)
