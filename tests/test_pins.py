"""The pins: complete, the same everywhere, and free of addresses."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from yaml import safe_load

ROOT = Path(__file__).parent.parent
PINS = ROOT / "requirements"
FILES = sorted(PINS.glob("*.txt"))


def pins(file):
    lines = re.findall(r"^([\w.-]+==.*?)(?: \\)?$", file.read_text(), re.MULTILINE)
    found = [Requirement(line) for line in lines]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in found
        if one.marker is None or one.marker.evaluate()
    }


def plugins():
    project = safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    kinds = project["plugins"].values()
    return [(one["name"], one["pip_url"]) for kind in kinds for one in kind]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_pins_name_no_index(file):
    assert "://" not in file.read_text(encoding="utf-8")


def test_every_package_for_development_has_a_hash():
    text = (PINS / "dev.txt").read_text(encoding="utf-8")
    first_lines = re.findall(r"^\S+==.*$", text, re.MULTILINE)
    assert first_lines
    assert all(line.endswith("\\") for line in first_lines)


@pytest.mark.parametrize("name", ["ci.txt", "tap.txt"])
def test_users_get_the_versions_that_the_tests_run_with(name):
    assert pins(PINS / name)
    assert pins(PINS / name).items() <= pins(PINS / "dev.txt").items()


@pytest.mark.parametrize(("name", "pip_url"), plugins())
def test_each_plugin_is_installed_with_its_pins(name, pip_url):
    """Versions without hashes, as hashes would stop the editable tap."""
    arguments = shlex.split(pip_url)
    option = "-r" if "--no-deps" in arguments else "-c"
    path = arguments[arguments.index(option) + 1]
    file = Path(path.replace("$MELTANO_PROJECT_ROOT", str(ROOT)))
    text = file.read_text(encoding="utf-8")
    assert "--hash" not in text
    assert pins(file), name
    for package in arguments[: arguments.index(option)]:
        if "==" in package:
            assert re.search(rf"^{re.escape(package)}\b", text, re.MULTILINE)
