"""The programs that are measured, and how each one is installed and started."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.measure import RunError, log

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Program:
    """A program that reads the jobs of a settings file.

    Attributes:
        label: Its name in the tables.
        words: The arguments of its interpreter. ``{folder}`` is the folder of the run,
            ``{peers}`` that of the peers, ``{bin}`` that of the interpreter.
        environment: Where it is installed; empty: where this program runs.
        root: Where it is started, for this tap the checkout that is measured.
        settings: Its environment variables.
    """

    label: str
    words: tuple[str, ...]
    environment: str = ""
    root: Path = ROOT
    settings: dict[str, str] = field(default_factory=dict, hash=False)

    def command(self, folder: Path) -> list[str]:
        """Return the command line for a run in a folder."""
        python = python_of(self.environment)
        values = {"folder": folder, "peers": PEERS, "bin": python.parent}
        return [str(python), *(each.format(**values) for each in self.words)]


CONFIG = "{folder}/config.json"
DLT = ("{peers}/dlt_rest_api.py", CONFIG, "{folder}/dlt")
TAP = Program(
    "This tap",
    (
        *("-m", "tap_fullstory_imports", "--config", CONFIG),
        *("--catalog", "{folder}/catalog.json"),
    ),
)
ALL_PEERS = {
    "loop": Program(
        "Plain loop, msgspec", ("{peers}/loop.py", CONFIG, "msgspec"), "loops"
    ),
    "loop-json": Program(
        "Plain loop, json", ("{peers}/loop.py", CONFIG, "json"), "loops"
    ),
    "template": Program(
        "Tap of the SDK's template",
        ("{peers}/template_tap.py", "--config", CONFIG),
        "template",
    ),
    "dlt": Program("dlt, extract step", DLT, "dlt"),
    "dlt-parallel": Program(
        "dlt, extract step, parallelized",
        (*DLT, "--parallel"),
        "dlt",
        settings={"EXTRACT__WORKERS": "4"},
    ),
    "airbyte": Program(
        "Airbyte low-code source",
        (
            *("{bin}/source-declarative-manifest", "read", "--config", CONFIG),
            *("--catalog", "{folder}/airbyte.json"),
            *("--manifest-path", "{peers}/airbyte.yaml"),
        ),
        "airbyte",
    ),
}
_AIRBYTE_STREAM = {
    "stream": {
        "name": "imported_events",
        "json_schema": {},
        "supported_sync_modes": ["full_refresh"],
    },
    "sync_mode": "full_refresh",
    "destination_sync_mode": "overwrite",
}


def checkout(path: Path) -> Program:
    """Return the tap of another checkout; its commit is its label."""
    commit = subprocess.check_output(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - the user's own
        cwd=path,
        text=True,
    )
    return replace(TAP, label=commit.strip(), root=path.resolve())


def python_of(environment: str) -> Path:
    """Return the interpreter of an environment."""
    if not environment:
        return Path(sys.executable)
    return ROOT / ".venv" / "bench" / environment / "bin" / "python"


@cache
def install(environment: str) -> None:
    """Make a peer's environment, with the versions in `requirements/pyproject.toml`.

    Raises:
        RunError: If it can't be made.
    """
    text = (ROOT / "requirements" / "pyproject.toml").read_text(encoding="utf-8")
    packages = tomllib.loads(text)["dependency-groups"][f"bench-{environment}"]
    python = python_of(environment)
    folder, wanted = python.parent.parent, f"{sys.version}\n{packages}"
    done = folder / "installed.txt"
    if done.is_file() and done.read_text() == wanted:
        return
    log(f"install {environment}")
    uv = str(Path(sys.executable).parent / "uv")
    for command in (
        [uv, "venv", "--clear", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--python", str(python), *packages],
    ):
        result = subprocess.run(  # noqa: S603 - uv
            command, capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise RunError(f"can't be installed: {result.stderr.strip()[-200:]}")
    done.write_text(wanted)


def write_inputs(
    folder: Path, settings: dict[str, Any], program: Program = TAP, *, is_whole: bool
) -> None:
    """Write the files that programs read.

    Args:
        folder: Where they are written.
        settings: The content of the settings file.
        program: Which checkout's catalog is written.
        is_whole: Keep the default streams; otherwise imported events alone.
    """
    catalog = json.loads(_catalog(program.root))
    for stream in catalog["streams"]:
        if not is_whole and stream["tap_stream_id"] != "imported_events":
            (top,) = (each for each in stream["metadata"] if not each["breadcrumb"])
            top["metadata"]["selected"] = False
    for name, content in {
        "config.json": settings,
        "catalog.json": catalog,
        "airbyte.json": {"streams": [_AIRBYTE_STREAM]},
    }.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


@cache
def _catalog(root: Path) -> bytes:
    command = [sys.executable, "-m", "tap_fullstory_imports", "--discover"]
    return subprocess.check_output(command, cwd=root)  # noqa: S603 - the interpreter
