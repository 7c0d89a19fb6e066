"""A Meltano project that loads into an emulator of Snowflake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from tests.project import ROOT, Project

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stand_in import StandIn

TARGET = "target-snowflake"
PROD = {"MELTANO_ENVIRONMENT": "prod"}
PYTHON = ROOT / ".venv" / "snowflake" / "bin" / "python"
DBT_PYTHON = ROOT / ".venv" / "dbt-snowflake" / "bin" / "python"
NEW_KEY = """
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import *
key = generate_private_key(65537, 2048)
pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
print(pem.decode())
"""


class Snowflake:
    """The emulator's databases, and a project whose target loads into them."""

    def __init__(self, folder: Path) -> None:
        """Put the emulator in the place of the target's program."""
        self.project = Project(folder / "project")
        self.databases = folder / "databases"
        self.databases.mkdir()
        self._queries: subprocess.Popen[str] | None = None
        program = self.project.path / TARGET
        program.write_text(
            f'#!/bin/sh\nexec "{PYTHON}" "{ROOT}/tests/snowflake_emulator.py" "$@"\n'
        )
        program.chmod(0o700)
        self.project.use(TARGET, f"./{TARGET}")
        key = self.project.path / "key.p8"
        self.settings = {
            "TARGET_SNOWFLAKE_ACCOUNT": "myorg-myaccount",
            "TARGET_SNOWFLAKE_USER": "LOADER",
            "TARGET_SNOWFLAKE_PRIVATE_KEY_PATH": str(key),
            "TARGET_SNOWFLAKE_ROLE": "LOADER",
            "TARGET_SNOWFLAKE_WAREHOUSE": "LOADING",
            "TARGET_SNOWFLAKE_DATABASE": "ANALYTICS",
        }
        self.place = {
            "SNOWFLAKE_EMULATOR": str(self.databases),
            "TMPDIR": str(folder),  # the target stages its files in there
        }
        if self.is_available:
            key.write_bytes(self._run("-c", NEW_KEY))

    @property
    def is_available(self) -> bool:
        """Whether there is an emulator for this version of Python."""
        return PYTHON.exists()

    def empty(self) -> None:
        """Forget all that has been loaded."""
        shutil.rmtree(self.databases)
        self.databases.mkdir()

    def query(self, statement: str) -> list[dict[str, Any]]:
        """The rows that a query gives."""
        if self._queries is None:  # one process for all, because it starts slowly
            self._queries = subprocess.Popen(  # noqa: S603 - the emulator
                [str(PYTHON), f"{ROOT}/tests/snowflake_emulator.py", "--queries"],
                env={**os.environ, **self.place},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        assert self._queries.stdin
        assert self._queries.stdout
        self._queries.stdin.write(f"{json.dumps(statement)}\n")
        self._queries.stdin.flush()
        rows: list[dict[str, Any]] = json.loads(self._queries.stdout.readline())
        return rows

    def close(self) -> None:
        """End the process that answers queries."""
        if self._queries:
            self._queries.communicate()

    def dbt(self, *runs: str) -> str:
        """Run dbt in the project's `transform` folder, as `dbt_runs.py` does."""
        folder = self.project.path / "transform"
        settings = {
            name.replace("TARGET_", "DBT_"): text
            for name, text in self.settings.items()
        }
        places = dict.fromkeys(("DBT_PROJECT_DIR", "DBT_PROFILES_DIR"), str(folder))
        program = f"{ROOT}/tests/snowflake_dbt.py"
        settings |= {**places, "DBT_TARGET": "snowflake", "PYTHONPATH": str(ROOT)}
        return self._run(program, *runs, python=DBT_PYTHON, **settings).decode()

    def statements(self) -> list[str]:
        """The first words of the statements since the last call; the staged files."""
        log = self.databases / "statements.log"
        words = log.read_text(encoding="utf-8").split()
        log.unlink()
        return words

    def load(
        self, api: StandIn, *job_ids: str, suffix: str, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the pipeline with a state of its own."""
        return self.project.run_pipeline(
            api,
            *job_ids,
            target=TARGET,
            options=(f"--state-id-suffix={suffix}",),
            settings={**self.settings, **self.place, **PROD, **settings},
        )

    def _run(self, *arguments: str, python: Path = PYTHON, **settings: str) -> bytes:
        done = subprocess.run(  # noqa: S603 - the emulator
            [str(python), *arguments],
            env={**os.environ, **self.place, **settings},
            capture_output=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
        return done.stdout
