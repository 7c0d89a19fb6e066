"""Pins the newest versions that the requirements allow; `make lock` runs it.

The files for development and CI hold hashes. All other files hold exact versions only.
Arguments go to uv: without ``--upgrade`` the present versions stay where they can.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from yaml import safe_load

PINS = Path("requirements")
PEERS = Path("benchmarks", "requirements")
UV = Path(sys.executable).parent / "uv"
COMPILE = ("pip", "compile", "--quiet", "--universal", "--no-annotate")
PYTHON = "3.10"  # the oldest one
# The emulator needs a newer one.
PYTHONS = {"snowflake.txt": "3.11", "dbt-snowflake.txt": "3.11"}
PIN = re.compile(r"^([\w.-]+)==(.*?)(?: \\)?$", re.MULTILINE)


def main(*options: str) -> None:
    """Write every file of pins."""
    with TemporaryDirectory() as folder:
        lock_development(Path(folder), *options)
        lock_oldest(Path(folder), *options)
        lock_loaders(Path(folder), *options)
    extras = (Path("pyproject.toml"), "--all-extras")
    resolve(PINS / "stores.txt", *extras, PINS / "stores.in", *options)
    lock("snowflake", *options, f"--constraint={PINS}/target-snowflake.txt")
    lock("airflow", *options)
    lock("dbt", *options)
    lock("dbt-snowflake", *options)
    for wanted in sorted(PEERS.glob("*.in")):
        resolve(wanted.with_suffix(".txt"), wanted, *options)


def lock(name: str, *options: str) -> None:
    """Pin what a file in the folder of requirements asks for."""
    resolve(PINS / f"{name}.txt", PINS / f"{name}.in", *options)


def lock_development(folder: Path, *options: str) -> None:
    """Resolve CI, development and the tap at once; no package is pinned twice."""
    project, ci, dev = Path("pyproject.toml"), PINS / "ci.txt", PINS / "dev.txt"
    everything, for_ci = folder / "everything.txt", folder / "ci.txt"
    everything.write_text(ci.read_text() + dev.read_text())  # the versions to keep
    resolve(everything, project, PINS / "dev.in", *options)
    same = f"--constraint={everything}"
    resolve(for_ci, PINS / "ci.in", same)
    others = without(everything, for_ci)
    resolve(ci, PINS / "ci.in", same, "--generate-hashes")
    resolve(dev, project, PINS / "dev.in", same, "--generate-hashes", *others)
    resolve(PINS / "tap.txt", project, PINS / "build.in", same)


def without(everything: Path, part: Path) -> list[str]:
    """The options that leave out what a part pins for the same versions of Python."""
    whole, own = (set(PIN.findall(file.read_text())) for file in (everything, part))
    names = {name for name, _ in own} - {name for name, _ in whole - own}
    return [f"--no-emit-package={name}" for name in sorted(names)]


def lock_oldest(folder: Path, *options: str) -> None:
    """Pin the lowest versions that the tap allows, and the tools that test them."""
    project, lowest = Path("pyproject.toml"), folder / "lowest.txt"
    resolve(lowest, project, "--resolution=lowest-direct")
    tools = PINS / "test.in"
    resolve(PINS / "oldest.txt", project, tools, f"--constraint={lowest}", *options)


def lock_loaders(folder: Path, *options: str) -> None:
    """Pin what each loader brings along. Its own version is the one in meltano.yml."""
    project = safe_load(Path("meltano.yml").read_text(encoding="utf-8"))
    for loader in project["plugins"]["loaders"]:
        *packages, _, path = shlex.split(loader["pip_url"])
        wanted = folder / f"{loader['name']}.in"
        wanted.write_text("\n".join(packages))
        resolve(PINS / Path(path).name, wanted, *options)


def resolve(pins: Path, *arguments: str | Path) -> None:
    """Write one file of pins."""
    options = (
        "--no-emit-index-url",
        "--custom-compile-command=make lock",
        f"--output-file={pins}",
        f"--python-version={PYTHONS.get(pins.name, PYTHON)}",
    )
    subprocess.run([UV, *COMPILE, *options, *arguments], check=True)  # noqa: S603 - of this environment


if __name__ == "__main__":
    main(*sys.argv[1:])
