"""What a user says.

`Settings.from_config` checks all settings, reads the jobs files, and makes one frozen
object. `declaration` declares each setting; `checks` says what can be wrong with one.
`command_line` reads the files of `--config`, `--state` and `--catalog`.
"""
