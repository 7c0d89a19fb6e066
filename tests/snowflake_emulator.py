"""The real target-snowflake, with an emulator in place of Snowflake.

fakesnow takes the statements that the target sends and runs them in DuckDB. Four things
in them it does not understand; here, they are put in words that it does:

* the stage of the user, ``@~``, and its name in quotes: a stage with a name instead;
* ``COPY`` and ``MERGE`` from the files of a stage: the files are first read into a
  table; ``COPY`` is ``INSERT`` from it, ``MERGE`` takes a table with its query's rows;
* ``SEQ8()`` in a window: the number of the row in its file;
* ``REMOVE`` of the files of a stage, and ``DROP FILE FORMAT``: nothing is done.

All else is as it runs for users: what the target stages, which statements it sends and
in which order, the types of the columns, and which row replaces which.

Run by the interpreter of ``.venv/snowflake``, as the target itself or, with
``--queries``, to read what has been loaded: each line of stdin is a query as a JSON
string, each line of stdout its rows. The variable ``SNOWFLAKE_EMULATOR`` names the
folder with the databases.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

warnings.simplefilter("ignore")

import fakesnow  # noqa: E402
import singer_sdk.target_base  # noqa: E402
import snowflake.connector  # noqa: E402
import snowflake.sqlalchemy.snowdialect  # noqa: E402 - before it is patched
from fakesnow.cursor import FakeSnowflakeCursor  # noqa: E402
from fakesnow.transforms.stage import internal_dir  # noqa: E402

FOLDER = Path(os.environ["SNOWFLAKE_EMULATOR"])
NOT_UNDERSTOOD = [r"\s*remove\s", r"\s*drop\s+file\s+format\s"]
_HOME = re.compile(r"'@~/([^']*)'")
_STAGED = re.compile(r"'@~/([^']*)'(?:\(file_format => [^)]*\))?")
_COPY = re.compile(r"copy (into .*? )from \((select .*)\)file_format = .*", re.DOTALL)
_MERGE = re.compile(r"(merge .*? using )\((select .*)\)( s on .*)", re.DOTALL)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_execute = FakeSnowflakeCursor.execute


def execute(cursor: Any, command: str, *args: Any, **kwargs: Any) -> Any:
    """Run a statement; note which one it was, and which file is staged."""
    word = command.split(maxsplit=1)[0].lower() if command.strip() else ""
    file = ""
    if word == "put":
        (parameters,) = (*args, *kwargs.values())
        file = Path(parameters["file_uri"]).name
    with (FOLDER / "statements.log").open("a", encoding="utf-8") as log:
        log.write(f"{word} {file}\n")
    if word in {"put", "copy", "merge"}:
        own = f"{cursor._conn.database}.USERS"  # noqa: SLF001 - it has no other name
        _execute(cursor, f"create schema if not exists {own}")
        _execute(cursor, f"create stage if not exists {own}.HOME")
        if word == "put":
            command = _HOME.sub(rf"@{own}.HOME/\1", command)
        else:
            command = _from_table(cursor, command, own)
        if word == "copy":  # which answers with a row for each file: name, status, rows
            (loaded,) = _execute(cursor, command).fetchone()
            command = f"select '' a, 'LOADED' b, {loaded} c, {loaded} d"
    return _execute(cursor, command, *args, **kwargs)


def _from_table(cursor: Any, command: str, own: str) -> str:
    """A COPY or a MERGE that reads a table instead of the files of a stage."""
    staged = _STAGED.search(command)
    assert staged, command
    folder = internal_dir(f"{own}.HOME", staged[1])
    cursor._duck_conn.execute(  # noqa: SLF001 - DuckDB itself reads the files
        f"create or replace table {own}.STAGED as"  # noqa: S608 - our own names
        " select json as row, row_number() over () as number"
        f" from read_ndjson_objects('{folder}/*')"
    )
    command = command.replace(staged[0], f"{own}.STAGED")
    command = command.replace("$1:", "row:").replace("SEQ8()", "number")
    if copy := _COPY.fullmatch(command):
        return f"insert {copy[1]}{copy[2]}"
    merge = _MERGE.fullmatch(command)
    assert merge, command
    before, query, after = merge.groups()
    _execute(cursor, f"create or replace table {own}.SOURCE as {query}")
    return f"{before}{own}.SOURCE{after}"


def ask(statement: str) -> list[dict[str, Any]]:
    """Return the rows of a query. Only then, the target can open the files again."""
    with (
        emulator(),
        snowflake.connector.connect(database="ANALYTICS", schema="FULLSTORY") as open_,
        open_.cursor(snowflake.connector.DictCursor) as cursor,
    ):
        return list(cursor.execute(statement).fetchall())


def emulator() -> AbstractContextManager[None]:
    """Replace Snowflake, until the context ends."""
    patch: AbstractContextManager[None] = fakesnow.patch(
        db_path=FOLDER, nop_regexes=NOT_UNDERSTOOD
    )
    return patch


def main() -> None:
    """Be the target, or answer queries."""
    FakeSnowflakeCursor.execute = execute
    if sys.argv[1:] == ["--queries"]:
        for line in sys.stdin:
            rows = ask(json.loads(line))
            sys.stdout.write(f"{json.dumps(rows, default=str)}\n")
            sys.stdout.flush()
        return
    # DuckDB refuses to serve two threads at once over one connection.
    singer_sdk.target_base._MAX_PARALLELISM = 1  # noqa: SLF001 - it has no setting
    with emulator():
        from target_snowflake.target import TargetSnowflake  # noqa: PLC0415

        TargetSnowflake.cli(standalone_mode=False)


if __name__ == "__main__":
    main()
