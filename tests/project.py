"""A copy of the Meltano project, in which tests run the pipeline as users do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yaml import safe_dump, safe_load

if TYPE_CHECKING:
    from tests.stand_in import StandIn

ROOT = Path(__file__).parent.parent
TAP = "tap-fullstory-imports"
DBT = ROOT / ".venv" / "dbt" / "bin" / "dbt"


class Project:
    """A copy of the Meltano project: its plugins are shared, its state is its own."""

    def __init__(self, path: Path) -> None:
        """Copy what the pipeline and its demo need."""
        self.path = path
        self.output = path / "output"
        self._write()
        self.output.mkdir(parents=True)
        (path / ".meltano").mkdir()
        for name in ("extractors", "loaders"):
            (path / ".meltano" / name).symlink_to(ROOT / ".meltano" / name)

    def _write(self) -> None:
        for name in ("scripts", "tests", "tap_fullstory_imports", "dbt", "transform"):
            shutil.copytree(ROOT / name, self.path / name)
        shutil.copy(ROOT / "pyproject.toml", self.path)
        (self.path / "meltano.yml").write_text(_definition(), encoding="utf-8")

    def run(
        self, *command: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project, with these settings and no others."""
        return subprocess.run(  # noqa: S603 - a test's own
            [_found(command[0]), *command[1:]],
            cwd=self.path,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command as `run` does, as the leader of a group of processes."""
        return subprocess.Popen(  # noqa: S603 - a test's own
            [_found(command[0]), *command[1:]],
            cwd=self.path,
            env=self.environment(**environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment with these settings and no others of Meltano's."""
        ours = ("MELTANO_", "TAP_FULLSTORY_IMPORTS_", "TARGET_", "DBT_")
        kept = {key: v for key, v in os.environ.items() if not key.startswith(ours)}
        return {**kept, "PATH": _programs(), "no_proxy": "127.0.0.1", **settings}

    def run_pipeline(
        self,
        api: StandIn,
        *job_ids: str,
        target: str = "target-postgres",
        options: tuple[str, ...] = (),
        settings: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the pipeline against the stand-in."""
        own = {**settings_for(api, *job_ids), **(settings or {})}
        # A job of the project names its tap itself.
        blocks = (TAP, target) if target.startswith("target-") else (target,)
        return self.run("meltano", "run", *options, *blocks, **own)


class FreshProject(Project):
    """A project of a user's own: it has the plugins of this one and nothing else."""

    def _write(self) -> None:
        copied = {
            "default_environment": "dev",
            "environments": [{"name": "dev"}, {"name": "prod"}],
            "plugins": plugins(),
        }
        text = safe_dump(copied, sort_keys=False)
        (self.path / "meltano.yml").write_text(text, encoding="utf-8")


def plugins() -> Any:
    """The definitions of the project's plugins, to copy into another project."""
    return safe_load(_definition())["plugins"]


def _definition() -> str:
    """The project's `meltano.yml`, whose pins are those of this folder.

    The arguments of pip stay the same, or Meltano would install the plugins anew.
    """
    definition = (ROOT / "meltano.yml").read_text(encoding="utf-8")
    definition = definition.replace('"$MELTANO_PROJECT_ROOT', f'"{ROOT}')
    # The utilities are one program here, which `make test` has installed.
    own = r"    pip_url: >-\n      dbt-core==.*\n .*\n    executable: dbt\n"
    definition = re.sub(own, f"    executable: {DBT}\n", definition)
    own = "        executable: python\n"  # that of the utility's environment
    return definition.replace(own, f"        executable: {DBT.with_name('python')}\n")


def _programs() -> str:
    """Where programs are found: those of this environment first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def _found(program: str) -> str:
    return shutil.which(program, path=_programs()) or program


def settings_for(api: StandIn, *job_ids: str) -> dict[str, str]:
    """The settings with which the tap reads jobs from the stand-in."""
    return {
        "TAP_FULLSTORY_IMPORTS_API_KEY": api.api_key,
        "TAP_FULLSTORY_IMPORTS_API_URL": api.url,
        "TAP_FULLSTORY_IMPORTS_JOB_IDS": json.dumps(job_ids),
    }


def batches_in(folder: Path, **more: int) -> dict[str, str]:
    """The setting that makes the tap write batches into a folder."""
    folder.mkdir(exist_ok=True)
    config = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": folder.as_uri()},
        **more,
    }
    return {"TAP_FULLSTORY_IMPORTS_BATCH_CONFIG": json.dumps(config)}


def documents() -> dict[str, str]:
    """The README and the longer documents, by their paths."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in paths
    }


def blocks(heading: str, language: str) -> list[str]:
    """The documents' blocks of code in a language below a heading."""
    text = "\n## ".join(documents().values())
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def filled_in(commands: str, settings: dict[str, str]) -> str:
    """The README's commands with values of this machine's instead of its own."""
    for name, text in settings.items():
        before, found, rest = commands.partition(f"{name}='")
        assert found, f"the README does not set {name}"
        after = rest.partition("'")[2]
        commands = f"{before}{found}{text}'{after}"
    return commands


def exact(value: Any) -> Any:
    """A JSON value in which 1, 1.0 and 1.00 are the same number, and no text is one."""
    if isinstance(value, dict):
        return {name: exact(one) for name, one in value.items()}
    if isinstance(value, list):
        return [exact(one) for one in value]
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return "number", Decimal(str(value))
    return value
