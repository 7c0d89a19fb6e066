"""Real dbt with its real adapter, and an emulator in place of Snowflake.

Run by the interpreter of ``.venv/dbt-snowflake`` with dbt's arguments. The variable
``SNOWFLAKE_EMULATOR`` names the folder with the databases.

The emulator does not understand ``TYPEOF`` of a VARIANT. Here it is the function of
DuckDB's that answers with nearly the same words.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")

import fakesnow  # noqa: E402
from dbt.cli.main import dbtRunner  # noqa: E402
from fakesnow.cursor import FakeSnowflakeCursor  # noqa: E402

_execute = FakeSnowflakeCursor.execute


def execute(cursor: Any, command: str, *args: Any, **kwargs: Any) -> Any:
    """Run a statement."""
    command = command.replace("typeof(", "json_type(").replace("NULL_VALUE", "NULL")
    return _execute(cursor, command, *args, **kwargs)


def main() -> None:
    """Be dbt."""
    FakeSnowflakeCursor.execute = execute
    with fakesnow.patch(db_path=os.environ["SNOWFLAKE_EMULATOR"]):
        sys.exit(not dbtRunner().invoke(sys.argv[1:]).success)


if __name__ == "__main__":
    main()
