"""The tap uses the public names of other packages, and a short list of private ones.

A private name can change with any release, without notice. Each name in the list has
its reason, and the test that fails when the name changes.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import requests
import singer_sdk
from singer_sdk.streams.rest import RESTStream

import tap_fullstory_imports

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


def sources(names=()):
    for path in Path(tap_fullstory_imports.__file__).parent.rglob("*.py"):
        if not names or path.name in names:
            yield ast.parse(path.read_text(encoding="utf-8"))


def names_in(owner):
    yield from vars(owner)
    start = vars(owner).get("__init__")
    if inspect.isfunction(start):
        yield from start.__code__.co_names


def test_no_private_module_of_another_package_is_imported():
    imported = [
        f"{node.module}.{alias.name}"
        for module in sources()
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if not node.module.startswith(("tap_fullstory_imports", "__future__"))
    ]
    assert len(imported) > 30
    assert [name for name in imported if "._" in name] == []


def test_private_names_of_other_packages_are_the_listed_ones():
    theirs = {
        name
        for owner in (singer_sdk.Tap, RESTStream, requests.Response, requests.Session)
        for base in inspect.getmro(owner)
        for name in names_in(base)
        if name.startswith("_") and not name.startswith("__")
    }
    used = {
        name
        for module in sources(NEIGHBOURS)
        for node in ast.walk(module)
        for name in (getattr(node, "attr", None), getattr(node, "name", None))
        if name in theirs
    }
    assert used == PRIVATE
