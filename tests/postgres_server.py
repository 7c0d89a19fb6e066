"""A real PostgreSQL server in a temporary folder, as a user's would be.

It asks for a password, its time zone is not UTC, and it is reached over the loopback
interface only.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from typing_extensions import override

from scripts.postgres import Server, StartError

USER, PASSWORD, DATABASE = "loader", "a pass/word", "analytics"
TIME_ZONE = "Asia/Tokyo"


class Postgres(Server):
    """A server that lives as long as its context, as its data do."""

    def __init__(self) -> None:
        """Choose the folder; skip the test where no server can run.

        For root the server runs as another user, who may not look into the temporary
        folders of pytest: this one is none of them.
        """
        self._temporary = TemporaryDirectory(
            prefix="postgres-", ignore_cleanup_errors=True
        )
        folder = Path(self._temporary.name, "data")
        login = (USER, PASSWORD, DATABASE)
        try:
            super().__init__(folder, login, timezone=TIME_ZONE, fsync="off")
        except StartError as error:
            self._temporary.cleanup()
            pytest.skip(f"PostgreSQL can't start here: {error}")

    @override
    def __exit__(self, *arguments: object) -> None:
        super().__exit__(*arguments)
        self._temporary.cleanup()

    def query(self, statement: str) -> list[dict[str, Any]]:
        """The rows that a query gives, numbers kept digit by digit."""
        as_json = f"select to_jsonb(t)::text from ({statement}) t"  # noqa: S608 - a test's own
        with self.connect(USER, DATABASE) as connection:
            rows = connection.execute(as_json.encode()).fetchall()
        return [json.loads(text, parse_float=Decimal) for (text,) in rows]

    def execute(self, statements: str) -> None:
        """Run statements as the role that loads."""
        with self.connect(USER, DATABASE) as connection:
            connection.execute(statements.encode())
