"""What a user says.

`Settings.from_config` checks all settings, reads the jobs files, and makes one frozen
object. `declaration` declares each setting; `checks` says what can be wrong with one.
`command_line` reads the files of `--config`, `--state` and `--catalog`.
"""

from tap_fullstory_imports.settings.checks import check_maps, fault, of_others
from tap_fullstory_imports.settings.declaration import NAME, OWN, PREFIX, SCHEMA
from tap_fullstory_imports.settings.settings import Settings

__all__ = [
    "NAME",
    "OWN",
    "PREFIX",
    "SCHEMA",
    "Settings",
    "check_maps",
    "fault",
    "of_others",
]
