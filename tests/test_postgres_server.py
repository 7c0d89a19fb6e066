"""What the tests and the demo say where the machine can't run PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGIN = """
import os, pwd
from scripts import postgres

def getpwnam(name):
    raise KeyError(name)

postgres.ADMIN_FOLDERS = ()
os.environ["PATH"] = "/nowhere"
os.geteuid = lambda: 0
pwd.getpwnam = getpwnam
"""
TESTS = """
def test_with_postgres(postgres):
    assert False

def test_with_the_same(postgres):
    assert False

def test_without():
    pass
"""


@pytest.mark.e2e
def test_missing_useradd_gives_one_reason(tmp_path: Path) -> None:
    """Two modules are skipped in one line; the other tests pass without a warning."""
    (tmp_path / "no_useradd.py").write_text(PLUGIN, encoding="utf-8")
    for name in ("test_first.py", "test_second.py"):
        (tmp_path / name).write_text(TESTS, encoding="utf-8")
    done = subprocess.run(  # noqa: S603
        [
            *(sys.executable, "-m", "pytest", "-W", "error", "-ra", str(tmp_path)),
            *("-p", "tests.conftest", "-p", "no_useradd", "-p", "no:cacheprovider"),
        ],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed, 4 skipped" in done.stdout
    (line,) = [one for one in done.stdout.splitlines() if one.startswith("SKIPPED")]
    assert line.startswith("SKIPPED [4]")
    assert "useradd" in line


@pytest.mark.e2e
def test_missing_useradd_gives_one_sentence_with_the_way_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The demo can load into a server of the user's own."""
    from scripts import postgres  # noqa: PLC0415 - needs what the demo needs

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(postgres, "SYSTEM_USER", "nobody-has-this-name")
    monkeypatch.setattr(postgres, "ADMIN_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("TARGET_POSTGRES_HOST", raising=False)
    with pytest.raises(SystemExit) as refused, postgres.database():
        pass
    (line,) = str(refused.value.code).splitlines()
    assert "useradd" in line
    assert "TARGET_POSTGRES_HOST" in line
