"""Real dbt with its real adapter, and an emulator in place of Snowflake.

Run by the interpreter of ``.venv/dbt-snowflake`` with the arguments of `dbt_runs.py`.
The variable ``SNOWFLAKE_EMULATOR`` names the folder with the databases.

Two functions differ in the emulator, and functions of DuckDB's replace them here:

* ``TYPEOF`` of a VARIANT, which the emulator does not know;
* a column of the type VARIANT cast to text, which keeps the quotes of JSON there.

A temporary table becomes a transient one, because the emulator has no schemas for them.
"""

from __future__ import annotations

import os
import re
import warnings
from typing import Any

warnings.simplefilter("ignore")

import fakesnow  # noqa: E402
from fakesnow.cursor import FakeSnowflakeCursor  # noqa: E402

from tests import dbt_runs  # noqa: E402

_CAST = re.compile(r"cast\(((?:\w+\.)?value) as varchar\)")
_execute = FakeSnowflakeCursor.execute


def execute(cursor: Any, command: str, *args: Any, **kwargs: Any) -> Any:
    """Run a statement."""
    command = command.replace("typeof(", "json_type(").replace("NULL_VALUE", "NULL")
    command = command.replace("temporary table", "transient table")
    command = _CAST.sub(r"json_extract_string(\1, '$')", command)
    return _execute(cursor, command, *args, **kwargs)


def main() -> None:
    """Be dbt."""
    FakeSnowflakeCursor.execute = execute
    with fakesnow.patch(db_path=os.environ["SNOWFLAKE_EMULATOR"]):
        dbt_runs.main()


if __name__ == "__main__":
    main()
