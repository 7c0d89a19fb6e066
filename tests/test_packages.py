"""Other packages: which the tap requires, which versions are pinned, what it uses."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from importlib.metadata import requires
from pathlib import Path

import requests
import singer_sdk
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from singer_sdk.streams.rest import RESTStream
from yaml import safe_load

import tap_fullstory_imports

ROOT = Path(__file__).parent.parent
PINS = ROOT / "requirements"
REQUIRED = [Requirement(text) for text in requires("tap-fullstory-imports") or ()]
# The private names of other packages, which can change with any release.
PRIVATE = {
    # Stream: without a replication key the SDK's own raises in its sync, which its
    # standard tests run (test_core.py).
    "_increment_stream_state",
    # Response: where requests keeps the body that the client has read within the
    # limits; every test of a page reads it from there.
    "_content",
}
# Where classes of other packages are extended, or their objects changed.
NEIGHBOURS = {"pages.py", "session.py", "stream.py", "tap.py", "command_line.py"}
SOURCES = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for path in Path(tap_fullstory_imports.__file__).parent.rglob("*.py")
}


def test_each_dependency_has_a_lower_bound_and_a_reason():
    """The reason is in CONTRIBUTING.md; `make test-oldest` tests the bound."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for one in REQUIRED:
        if "extra ==" not in str(one.marker):
            reason = rf"^\| `{one.name}[`\[]"
            assert re.search(reason, contributing, re.MULTILINE), one.name
            assert ">=" in {part.operator for part in one.specifier}, one.name


def test_ci_runs_the_tests_with_each_python_of_the_classifiers():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    workflow = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    matrix = safe_load(workflow)["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == re.findall(r'"Programming .* :: (3\.\d+)"', project)


def pins(file):
    lines = re.findall(r"^([\w.-]+==.*?)(?: \\)?$", file.read_text(), re.MULTILINE)
    found = [Requirement(line) for line in lines]
    return {
        canonicalize_name(one.name): str(one.specifier)
        for one in found
        if one.marker is None or one.marker.evaluate()
    }


def test_users_get_the_versions_that_the_tests_run_with():
    for name in ("ci.txt", "tap.txt"):
        assert pins(PINS / name)
        assert pins(PINS / name).items() <= pins(PINS / "dev.txt").items()
    for file in PINS.glob("*.txt"):
        assert "://" not in file.read_text(encoding="utf-8"), "an index of packages"


def test_each_plugin_is_installed_with_its_pins():
    """Versions without hashes, as hashes would stop the editable tap."""
    project = safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    for plugin in [one for kind in project["plugins"].values() for one in kind]:
        arguments = shlex.split(plugin["pip_url"])
        option = "-r" if "--no-deps" in arguments else "-c"
        path = arguments[arguments.index(option) + 1]
        file = Path(path.replace("$MELTANO_PROJECT_ROOT", str(ROOT)))
        assert "--hash" not in file.read_text(encoding="utf-8")
        assert pins(file), plugin["name"]
        for package in arguments[: arguments.index(option)]:
            name, _, version = package.partition("==")
            assert not version or pins(file)[name] == f"=={version}"


def test_no_private_module_of_another_package_is_imported():
    imported = [
        f"{node.module}.{alias.name}"
        for module in SOURCES.values()
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if not node.module.startswith(("tap_fullstory_imports", "__future__"))
    ]
    assert len(imported) > 30
    assert [name for name in imported if "._" in name] == []


def test_private_names_of_other_packages_are_the_listed_ones():
    owners = (singer_sdk.Tap, RESTStream, requests.Response, requests.Session)
    bases = [vars(base) for one in owners for base in inspect.getmro(one)]
    starts = [one.get("__init__") for one in bases]
    names = [name for base in bases for name in base]
    names += [
        name
        for start in starts
        if inspect.isfunction(start)
        for name in start.__code__.co_names
    ]
    used = {
        name
        for path, module in SOURCES.items()
        if path.name in NEIGHBOURS
        for node in ast.walk(module)
        for name in (getattr(node, "attr", None), getattr(node, "name", None))
        if name in names and name.startswith("_") and not name.startswith("__")
    }
    assert used == PRIVATE
