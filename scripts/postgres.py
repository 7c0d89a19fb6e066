"""The database of the demo: a server of the user's own, or one in a folder.

``python -m scripts.postgres psql`` runs psql, or another command, on it; a server in a
folder runs as long as the command.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.server import LOGIN, PREFIX, Server, StartError, wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

FOLDER = Path("output", "postgres")
OWN_SERVER = ", ".join(PREFIX + name for name in LOGIN[:-1]) + f" and {PREFIX}DATABASE"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def database(*, is_shared: bool = False) -> Iterator[dict[str, str]]:
    """The settings of the user's own server, or of one that runs meanwhile.

    They are those of target-postgres and of libpq.
    """
    own = {name: text for name, text in os.environ.items() if name.startswith(PREFIX)}
    if own.get(f"{PREFIX}HOST"):
        for name in LOGIN[2:]:
            if PREFIX + name not in own and name != "PASSWORD":
                sys.exit(f"Set {PREFIX}{name}, too.")
        yield for_all({f"{PREFIX}PORT": "5432", f"{PREFIX}PASSWORD": "", **own})
        return
    try:
        with Server(FOLDER, is_shared=is_shared) as server:
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
    with database(is_shared=True) as settings:
        places = [str(Path(sys.executable).parent), os.environ["PATH"]]
        with suppress(ImportError):
            module = wheel()
            programs = module.POSTGRES_VERSIONS[module.TARGET_POSTGRES_VERSION]
            places.insert(0, str(programs))
        path = os.pathsep.join(places)
        environment = {**os.environ, **settings, "PATH": path}
        program = shutil.which(command[0], path=path)
        if program is None:
            sys.exit(f"{command[0]} is not installed.")
        with subprocess.Popen([program, *command[1:]], env=environment) as process:  # noqa: S603 - the user's own
            signal.signal(signal.SIGINT, lambda *_: None)  # reaches the command itself
            for number in SIGNALS[1:]:
                signal.signal(number, lambda one, _: process.send_signal(one))
            code = process.wait()
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
