"""`make test-pythons` runs the tests with each Python and prints a line for each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKEFILE = """
test:
	@test -f kept.txt && test ! -e ignored.txt
	@$(PYTHON) -c "print('===== {} in 61.20s (0:01:01) =====')"
	@{}
"""


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("last_line", "command", "numbers"),
    [
        ("7 passed, 2 skipped", "true", ["7", "0"]),
        ("1 failed, 6 passed, 2 errors", "false", ["6", "3"]),
    ],
)
def test_each_python_prints_one_line(
    tmp_path: Path, last_line: str, command: str, numbers: list[str]
) -> None:
    """What passed and failed in a copy of the project, and which Python is missing."""
    makefile = MAKEFILE.format(last_line, command)
    (tmp_path / "Makefile").write_text(makefile, encoding="utf-8")
    (tmp_path / ".gitignore").write_text(".pythons/\nignored.txt\n", encoding="utf-8")
    (tmp_path / "kept.txt").touch()
    (tmp_path / "ignored.txt").touch()
    subprocess.check_call(["git", "init", "--quiet", tmp_path])  # noqa: S603, S607
    shim = tmp_path / "python3.99"  # as of pyenv for a version that is not selected
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o700)
    done = subprocess.run(  # noqa: S603
        [sys.executable, ROOT / "scripts" / "pythons.py", sys.executable, "3.99"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYENV_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    _, line, missing = done.stdout.splitlines()
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert line.split()[:3] == [version, *numbers]
    assert missing == "Not found: 3.99"
    assert done.returncode == int(command == "false")
