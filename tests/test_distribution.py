"""The source distribution makes the wheel, whose program is complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

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


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(BIN / "python", "-m", "hatchling", "build", "-d", folder, folder=ROOT)
    return folder


def contents(wheel):
    with ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_source_distribution_makes_the_same_wheel(dist):
    (source,) = dist.glob("*.tar.gz")
    built = dist / "built"
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", built)
    run(BIN / "python", "-m", "pip", "wheel", *options, source, folder=dist)
    (wheel,), (made,) = dist.glob("*.whl"), built.glob("*.whl")
    assert contents(made) == contents(wheel)


def test_program_is_complete_and_reads_a_job(dist, tmp_path):
    """In an environment of its own. The schemas are in the package."""
    (wheel,) = dist.glob("*.whl")
    environment, python = tmp_path / "environment", BIN / "python"
    run(BIN / "uv", "venv", "--quiet", "--python", python, environment, folder=dist)
    pip = (python, "-m", "pip", "--python", environment, "install", "--quiet")
    run(*pip, "--constraint", PINS, wheel, folder=dist)
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
