"""The source distribution makes a wheel whose program is complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.project import ROOT, TAP
from tests.stand_in import Job, StandIn, make_events

BIN = Path(sys.executable).parent
PINS = ROOT / "requirements" / "tap.txt"

pytestmark = pytest.mark.e2e


def run(*command, folder):
    environment = {key: v for key, v in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(  # noqa: S603 - a test's own
        [str(part) for part in command],
        cwd=folder,
        env={**environment, "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_of_the_source_distribution_is_complete_and_reads_a_job(tmp_path):
    """In an environment of its own. The schemas are in the package."""
    environment, python = tmp_path / "environment", BIN / "python"
    build = ("build", "--quiet", "--no-build-isolation", "--out-dir", tmp_path)
    run(BIN / "uv", *build, "--python", python, folder=ROOT)  # make dist
    (wheel,) = tmp_path.glob("*.whl")
    run(BIN / "uv", "venv", "--quiet", "--python", python, environment, folder=ROOT)
    pip = (BIN / "uv", "pip", "install", "--quiet", "--python", environment)
    run(*pip, "--constraint", PINS, wheel, folder=tmp_path)
    tap = environment / "bin" / TAP
    assert f"v{version(TAP)}" in run(tap, "--version", folder=tmp_path)
    here = run(BIN / "python", "-m", "tap_fullstory_imports", "--discover", folder=ROOT)
    assert json.loads(run(tap, "--discover", folder=tmp_path)) == json.loads(here)
    with StandIn(Job("a", rows=make_events(5))) as api:
        settings = {"api_key": api.api_key, "api_url": api.url, "job_ids": ["a"]}
        config = tmp_path / "config.json"
        config.write_text(json.dumps(settings), encoding="utf-8")
        lines = run(tap, "--config", config, folder=tmp_path).splitlines()
    streams = [json.loads(line).get("stream") for line in lines if '"RECORD"' in line]
    assert streams.count("imported_events") == 5
