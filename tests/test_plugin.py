"""What `make plugin` writes, and the plugin definitions."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from scripts import plugin
from tests.harness import run
from tests.invariants import PREFIX
from tests.project import ROOT, settings_for
from tests.stand_in import Job, make_events


@pytest.fixture(scope="module")
def about():
    return plugin.about()


@pytest.mark.slow
def test_files_are_as_make_plugin_writes_them(about):
    for path, text in plugin.made(about).items():
        assert text == path.read_text(encoding="utf-8"), f"make plugin: {path.name}"


def test_changed_setting_and_version_change_each_file(about):
    changed = json.loads(json.dumps(about)) | {"version": "7.8.9"}
    changed["settings"]["properties"]["shard"]["description"] = "Quite another."
    for path, text in plugin.made(changed).items():
        if path.name != ".env.example":
            assert "/v7.8.9/" in text
        if path in {plugin.DEFINITION, plugin.README, ROOT / ".env.example"}:
            assert "Quite another." in text


@pytest.mark.slow
def test_every_line_of_the_example_of_an_environment_is_a_setting(about, api):
    api.add(Job("a", rows=make_events(2)))
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = re.findall(rf"^# ({PREFIX}\w+=.*)$", text, re.MULTILINE)
    environment = dict(shlex.split(line)[0].split("=", 1) for line in lines)
    known = about["settings"]["properties"]
    assert {*environment} == {PREFIX + name.upper() for name in known}
    environment |= settings_for(api, "a")
    done = run(["--config=ENV"], environment=environment)
    assert done.status == 0, done.stderr
    assert {*done.completed()} == {"a"}
