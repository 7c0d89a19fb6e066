"""What `make plugin` writes, and the plugin definitions."""

from __future__ import annotations

import json

import pytest

from scripts import plugin


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
        assert "/v7.8.9/" in text
        if path in {plugin.DEFINITION, plugin.README}:
            assert "Quite another." in text
