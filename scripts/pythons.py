"""Runs the tests with several versions of Python, one after the other.

Each version gets a copy of the project in `.pythons/`, and prints one line.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(".pythons")
KEPT = {".venv", ".meltano"}  # what an earlier run has installed
ASK = "import sys; print('{}.{}'.format(*sys.version_info))"
LAST = re.compile(r"^=+ (.*) in [\d.]+s.* =+$", re.MULTILINE)


def main(*wanted: str) -> int:
    """Run the tests with versions or paths of Python; return the exit code."""
    found = {each: find(each) for each in wanted}
    _say(f"{'version':10}{'passed':>8}{'failed':>8}{'seconds':>9}")
    passes = [run(python) for python in found.values() if python]
    missing = [each for each, python in found.items() if not python]
    if missing:
        _say(f"Not found: {', '.join(missing)}")
    return 0 if passes and all(passes) else 1


def find(wanted: str) -> Path | None:
    """The interpreter of a version, or the one at a path, if it runs."""
    if os.sep in wanted:
        return Path(wanted).absolute() if version_of(Path(wanted)) else None
    name = f"python{wanted}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser()
    on_path = shutil.which(name)
    candidates = [Path(on_path)] if on_path else []
    candidates += sorted(pyenv.glob(f"versions/{wanted}*/bin/{name}"))[::-1]
    # A shim of pyenv exists also for a version that is not selected. It does not run.
    runs = (one for one in candidates if version_of(one) == wanted)
    return next(runs, None)


def version_of(python: Path) -> str:
    """The version that an interpreter reports; empty if it does not run."""
    try:
        done = subprocess.run(  # noqa: S603 - that is what the user asks for
            [python, "-c", ASK], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return "" if done.returncode else done.stdout.strip()


def run(python: Path) -> bool:
    """Run the tests in a copy of the project; say how many have passed."""
    version = version_of(python)
    folder, log = FOLDER / version, FOLDER / f"{version}.log"
    copy(folder)
    # The variables of the surrounding make are not those of this one.
    outer = ("MAKE", "MFLAGS")
    own = {name: v for name, v in os.environ.items() if not name.startswith(outer)}
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(  # noqa: S603
            ["make", f"PYTHON={python}", "test"],  # noqa: S607
            cwd=folder,
            env=own,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    seconds = time.monotonic() - start
    is_good = done.returncode == 0
    ends = LAST.findall(log.read_text(encoding="utf-8"))
    told = re.findall(r"(\d+) (\w+)", ends[-1] if ends else "")
    counts = {kind: int(number) for number, kind in told}
    passed = counts.get("passed", 0)
    failed = sum(counts.get(kind, 0) for kind in ("failed", "error", "errors"))
    note = "" if is_good else f"  see {log}"
    _say(f"{version:10}{passed:>8}{failed:>8}{seconds:>9.0f}{note}")
    return is_good


def copy(folder: Path) -> None:
    """Copy the files that git has or would take, and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.name not in KEPT:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.check_output(listed, text=True)  # noqa: S603
    for name in filter(None, names.split("\0")):
        if Path(name).is_file():  # or it has been deleted since
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, folder / name)
    # As a part of this repository the whole copy would be ignored, also by the linters.
    subprocess.check_call(["git", "init", "--quiet", folder])  # noqa: S603, S607


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
