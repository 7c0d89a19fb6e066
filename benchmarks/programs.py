"""The programs that are measured: what they are called, and how each is started."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
ENVIRONMENTS = ROOT / ".venv" / "bench"

_AIRBYTE_CATALOG = {
    "streams": [
        {
            "stream": {
                "name": "imported_events",
                "json_schema": {},
                "supported_sync_modes": ["full_refresh"],
            },
            "sync_mode": "full_refresh",
            "destination_sync_mode": "overwrite",
        }
    ]
}


class InstallError(Exception):
    """An environment could not be made."""


@dataclass(frozen=True)
class Program:
    """A program that reads the jobs of a file of settings.

    Attributes:
        label: Its name in the tables.
        environment: Where it is installed; None: where this program runs.
        arguments: Of the interpreter there. ``{folder}`` is the folder of the run,
            which holds its settings; ``{here}`` is this one, ``{bin}`` the one of the
            environment's programs.
        is_concurrent: Whether it reads as many jobs at once as it is told to.
    """

    label: str
    environment: str | None
    arguments: tuple[str, ...]
    is_concurrent: bool = False

    def command(self, folder: Path) -> list[str]:
        """The command line for a run in a folder."""
        python = python_of(self.environment) if self.environment else sys.executable
        values = {"folder": folder, "here": HERE, "bin": Path(python).parent}
        return [str(python), *(each.format(**values) for each in self.arguments)]


_SETTINGS = "{folder}/config.json"
_DLT = ("{here}/peers/dlt_rest_api.py", _SETTINGS, "{folder}/dlt")
PROGRAMS = {
    "tap": Program(
        "This tap",
        None,
        (
            *("-m", "tap_fullstory_imports", "--config", _SETTINGS),
            *("--catalog", "{folder}/catalog.json"),
        ),
        is_concurrent=True,
    ),
    "floor": Program(
        "Plain loop, msgspec (the floor)",
        "loops",
        ("{here}/peers/floor.py", _SETTINGS),
    ),
    "plain": Program("Plain loop, json", "loops", ("{here}/peers/plain.py", _SETTINGS)),
    "template": Program(
        "Tap as the SDK's template writes it",
        "template",
        ("{here}/peers/template_tap.py", "--config", _SETTINGS),
    ),
    "dlt": Program("dlt `rest_api`, extract step", "dlt", _DLT),
    "dlt-parallelized": Program(
        "dlt `rest_api`, `parallelized`",
        "dlt",
        (*_DLT, "parallelized"),
        is_concurrent=True,
    ),
    "airbyte": Program(
        "Airbyte low-code source",
        "airbyte",
        (
            *("{bin}/source-declarative-manifest", "read"),
            *("--config", _SETTINGS, "--catalog", "{folder}/airbyte-catalog.json"),
            *("--manifest-path", "{here}/peers/airbyte.yaml"),
        ),
        is_concurrent=True,
    ),
}


def requirements(environment: str) -> list[str]:
    """The packages of an environment, in exact versions."""
    text = (ROOT / "requirements" / "pyproject.toml").read_text(encoding="utf-8")
    groups: dict[str, list[str]] = tomllib.loads(text)["dependency-groups"]
    return groups[f"bench-{environment}"]


def python_of(environment: str) -> Path:
    """The interpreter of an environment."""
    return ENVIRONMENTS / environment / "bin" / "python"


def install(environment: str) -> None:
    """Make an environment, unless it is there and as its requirements say.

    Raises:
        InstallError: If it can't be made.
    """
    folder, python = ENVIRONMENTS / environment, python_of(environment)
    packages, done = requirements(environment), folder / "installed.txt"
    wanted = f"{sys.version}\n{packages}"
    if not done.is_file() or done.read_text() != wanted:
        uv = str(Path(sys.executable).parent / "uv")
        for command in (
            [uv, "venv", "--clear", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--python", str(python), *packages],
        ):
            result = subprocess.run(  # noqa: S603 - our own
                command, capture_output=True, text=True, check=False
            )
            if result.returncode:
                output = result.stdout + result.stderr
                last = output.strip().splitlines()[-1:] or ["no output"]
                raise InstallError(f"{command[1]}: {last[0]}")
        done.write_text(wanted)


@cache
def _catalog() -> dict[str, Any]:
    """This tap's catalog with imported events only, as the others read no more."""
    result = subprocess.run(
        [sys.executable, "-m", "tap_fullstory_imports", "--discover"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    catalog: dict[str, Any] = json.loads(result.stdout)
    for stream in catalog["streams"]:
        if stream["tap_stream_id"] != "imported_events":
            (whole,) = (part for part in stream["metadata"] if not part["breadcrumb"])
            whole["metadata"]["selected"] = False
    return catalog


def write_inputs(folder: Path, settings: dict[str, Any]) -> None:
    """Write the files that programs read."""
    for name, content in {
        "config.json": settings,
        "catalog.json": _catalog(),
        "airbyte-catalog.json": _AIRBYTE_CATALOG,
    }.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
