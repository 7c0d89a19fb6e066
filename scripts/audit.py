"""Asks which pinned packages have known faults, and says so if nobody could tell.

pip-audit counts a package that its source does not know as a package without faults. A
mirror of PyPI does not have that source: the check would pass without having checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def main(*paths: str) -> int:
    """Audit files of pinned requirements; return the exit code."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
    command += ["--format=json", "--progress-spinner=off", "--aliases=on"]
    command += [f"--requirement={path}" for path in paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:  # it has stopped with a traceback or a sentence
        said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()
        sys.stdout.write(f"NOT CHECKED: pip-audit has failed: {said[-1]}\n")
        return 2
    status, lines = judge(packages)
    sys.stdout.write("\n".join([*lines, ""]))
    return status


def judge(packages: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """What pip-audit's answers come to: an exit code and lines for the user."""
    faults = [
        f"{package['name']} {package['version']}: {fault['id']},"
        f" mended in {', '.join(fault['fix_versions']) or 'no version yet'}"
        for package in packages
        for fault in package.get("vulns", ())
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if unknown or not packages:
        sentence = (
            f"NOT CHECKED: {len(unknown)} of {len(packages)} packages: PyPI's own JSON"
            " API, the source of known faults, has told nothing about them."
        )
        return (1 if faults else 2), [*faults, sentence]
    if faults:
        return 1, faults
    return 0, [f"No known faults in {len(packages)} packages."]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
