"""The README says what is so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tap_fullstory_imports.fullstory import JobStream
from tap_fullstory_imports.settings.declaration import SCHEMA
from tap_fullstory_imports.tap import TapFullstoryImports
from tests.harness import run
from tests.invariants import PREFIX
from tests.project import blocks
from tests.stand_in import Job, make_events

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def table(heading: str) -> Iterator[list[str]]:
    """The rows of the first table below a heading, without marks of code."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.removeprefix("|").rstrip("|").split("|")]


def test_the_streams_are_those_of_the_catalog():
    """With their endpoints and keys."""
    catalog = json.loads(run(["--discover"]).stdout)
    keys = {one["stream"]: one["key_properties"] for one in catalog["streams"]}
    rows = {name.strip("`"): rest for name, *rest in table("Streams")}
    assert rows.keys() == keys.keys()
    tap = TapFullstoryImports(validate_config=False, setup_mapper=False)
    for name, (_, endpoint, key, _) in rows.items():
        assert re.findall(r"`(\w+)`", key) == keys[name]
        stream = tap.streams[name]
        assert isinstance(stream, JobStream)
        assert endpoint == f"`GET {stream.path}`"


def test_the_environment_variables_are_settings():
    """Every one that it names."""
    names = re.findall(rf"\b{PREFIX}([A-Z_]+)\b", README)
    assert names
    assert {name.lower() for name in names} <= SCHEMA["properties"].keys()


@pytest.mark.parametrize("target", sorted({*re.findall(r"`make (\w+)`", README)}))
def test_the_commands_of_make_exist(target):
    """Every one that it names."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("path", sorted({*re.findall(r"`(tests/\w+\.py)`", README)}))
def test_the_tests_of_the_guarantees_exist(path):
    """Every one that the table names, with tests in it."""
    assert "\ndef test_" in (ROOT / path).read_text(encoding="utf-8")


def test_each_guarantee_names_a_test():
    """A promise that nothing tries to break is none."""
    for promise, tests in table("Guarantees"):
        assert promise.endswith(".")
        assert re.match(r"`tests/", tests)


WHOLE = """
for line in sys.stdin:
    if json.loads(line)["type"] == "STATE":
        print(json.dumps(json.loads(line)["value"]))
"""
SAVED = {"bookmarks": {"imported_events": {"completed_jobs": ["old"]}}}
# A target, its exit code, and whether its state may be saved.
TARGETS = {
    "takes all": (WHOLE, 0, True),
    "dies at once": ("sys.exit(3)", 3, False),
    "dies before its first state": ("sys.stdin.readline(); sys.exit(3)", 3, False),
    "dies in its first state": (
        "print('{\"bookmarks\": {}', end='', flush=True); os._exit(3)",
        3,
        False,
    ),
    "dies in its second state": (
        WHOLE + "print('{\"bookmarks\": {', end='', flush=True); os._exit(3)",
        3,
        True,
    ),
}


def in_shell(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in bash, with the programs of the folder and of the tap."""
    ours = [str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]
    return subprocess.run(  # noqa: S603 - the README's own
        ["/bin/bash", "-c", script],
        cwd=folder,
        env={
            **os.environ,
            "PATH": os.pathsep.join(ours),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "before", "errexit"),
    [
        *((kind, SAVED, "set -e\n") for kind in TARGETS),
        *((kind, None, "") for kind in ("takes all", "dies before its first state")),
    ],
)
def test_the_recipe_leaves_a_whole_state_whatever_the_target_does(
    tap, api, kind, before, errexit
):
    """Without Meltano, with any target."""
    body, status, is_saved = TARGETS[kind]
    api.add(Job("a", rows=make_events(3)))
    tap.arguments(job_ids=["a"])  # writes the settings
    target = tap.write(
        "your-target", f"#!{sys.executable}\nimport json, os, sys\n{body}"
    )
    target.chmod(0o755)
    if before is not None:
        tap.write("state.json", before)
    (recipe,) = blocks("Without Meltano", "sh")

    done = in_shell(tap.path, errexit + recipe)

    assert done.returncode == status, done.stderr
    state = json.loads((tap.path / "state.json").read_text(encoding="utf-8"))
    if is_saved:
        assert "a" in state["bookmarks"]["imported_events"]["completed_jobs"]
    else:
        assert state == (before or {})
