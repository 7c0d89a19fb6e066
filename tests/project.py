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
        """Copy what the pipeline and its demo need; pins are those of this folder.

        The arguments of pip stay the same, or Meltano would install the plugins anew.
        """
        self.path = path
        self.output = path / "output"
        self.output.mkdir(parents=True)
        copied = ("scripts", "tests", "tap_fullstory_imports", "dbt", "transform")
        for name in (*copied, "plugins"):
            shutil.copytree(ROOT / name, self.path / name)
        shutil.copy(ROOT / "pyproject.toml", self.path)
        text = (ROOT / "meltano.yml").read_text(encoding="utf-8")
        text = text.replace('"$MELTANO_PROJECT_ROOT', f'"{ROOT}')
        (self.path / "meltano.yml").write_text(text, encoding="utf-8")
        (path / ".meltano").mkdir()
        for name in ("extractors", "loaders"):
            (path / ".meltano" / name).symlink_to(ROOT / ".meltano" / name)
        self.use("dbt-postgres", DBT)

    def use(self, plugin: str, program: Path | str) -> None:
        """Let a plugin be a program that is there, instead of a package."""
        (lock,) = self.path.glob(f"plugins/*/{plugin}--*.lock")
        definition = json.loads(lock.read_text(encoding="utf-8"))
        definition |= {"executable": str(program), "pip_url": None}
        for command in definition.get("commands", {}).values():
            if command.get("executable") == "python":  # that of the environment
                command["executable"] = str(Path(program).with_name("python"))
        lock.write_text(json.dumps(definition), encoding="utf-8")
        path = self.path / "meltano.yml"
        project = safe_load(path.read_text(encoding="utf-8"))
        for kind in project["plugins"].values():
            for one in kind:
                if one["name"] == plugin:
                    del one["pip_url"]
        path.write_text(safe_dump(project, sort_keys=False), encoding="utf-8")

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
            timeout=900,
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
        return self.run("meltano", "run", *options, TAP, target, **own)


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
    below = re.compile(rf"^##? {heading}\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    (section,) = (one for text in documents().values() for one in below.findall(text))
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
