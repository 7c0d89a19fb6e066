"""What `make plugin` writes, and a Meltano project of a user's own that takes it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from yaml import safe_dump, safe_load

from scripts import plugin
from tests.harness import run
from tests.invariants import PREFIX
from tests.project import ROOT, TAP, Project, exact, plugins, settings_for
from tests.stand_in import Job, StandIn, make_events

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres_server import Postgres

# What the hub of Meltano demands of an extractor's definition.
REQUIRED = {"name", "namespace", "variant", "quality"}
KEYS = REQUIRED | {
    "capabilities",
    "description",
    "docs",
    "domain_url",
    "executable",
    "keywords",
    "label",
    "log_parser",
    "maintenance_status",
    "pip_url",
    "repo",
    "settings",
    "settings_group_validation",
    "supported_python_versions",
}
CAPABILITIES = {
    "about",
    "activate-version",
    "batch",
    "catalog",
    "discover",
    "log-based",
    "properties",
    "schema-flattening",
    "state",
    "stream-maps",
    "structured-logging",
    "test",
}
SETTING_KEYS = {"name", "kind", "label", "description", "options", "sensitive"}
KINDS = {
    "array",
    "boolean",
    "date_iso8601",
    "decimal",
    "email",
    "file",
    "integer",
    "oauth",
    "object",
    "options",
    "string",
}


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    """What the tap says of itself."""
    return plugin.about()


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    """The file that ``meltano add --from-ref`` takes."""
    loaded = safe_load((ROOT / "plugin.yaml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["plugin.yaml", ".env.example", "meltano.yml", "README.md"]
)
def test_a_file_is_as_make_plugin_writes_it(about: dict[str, Any], name: str) -> None:
    """Or one of them has been changed alone; `make plugin` brings them together."""
    path = ROOT / name
    assert plugin.made(about)[path] == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["meltano.yml", "README.md"])
def test_a_changed_setting_changes_each_file(about: dict[str, Any], name: str) -> None:
    """Its description and its default come from the tap."""
    changed = json.loads(json.dumps(about))
    changed["settings"]["properties"]["shard"]["description"] = "Quite another."
    text = plugin.made(changed)[ROOT / name]
    assert "Quite another." in text
    assert text != (ROOT / name).read_text(encoding="utf-8")


def test_the_definition_keeps_the_rules_of_the_hub(definition: dict[str, Any]) -> None:
    """So that it can be listed there as it is."""
    assert definition.keys() >= REQUIRED
    assert definition.keys() <= KEYS
    assert {*definition["capabilities"]} <= CAPABILITIES
    assert definition["maintenance_status"] in {"active", "beta", "development"}
    assert definition["quality"] in {"gold", "silver", "bronze", "unknown"}
    for version in definition["supported_python_versions"]:
        assert re.fullmatch(r"3\.\d+", version)
    for key in ("docs", "domain_url", "repo"):
        assert definition[key].startswith("https://")


def test_the_settings_keep_the_rules_of_the_hub(definition: dict[str, Any]) -> None:
    """Each has a kind that Meltano knows; options have a label and a value."""
    names = [one["name"] for one in definition["settings"]]
    assert len(names) == len({*names})
    for setting in definition["settings"]:
        assert setting.keys() <= SETTING_KEYS
        assert setting["kind"] in KINDS
        assert setting["label"]
        assert setting["description"].endswith((".", ").", "seeding"))
        assert ("options" in setting) is (setting["kind"] == "options")
        for option in setting.get("options", ()):
            assert option.keys() == {"label", "value"}
    assert [one["name"] for one in definition["settings"] if "sensitive" in one] == [
        "api_key"
    ]
    groups = definition["settings_group_validation"]
    assert ["api_key", "user_jobs_file"] in groups
    assert {name for group in groups for name in group} <= {*names}


@pytest.mark.slow
def test_every_line_of_the_example_of_an_environment_is_a_setting(api: StandIn) -> None:
    """With all lines in force and a key and a job filled in, the tap runs."""
    api.add(Job("a", rows=make_events(2)))
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = re.findall(rf"^# ({PREFIX}\w+=.*)$", text, re.MULTILINE)
    environment = dict(shlex.split(line)[0].split("=", 1) for line in lines)
    known = plugin.about()["settings"]["properties"]
    assert {*environment} == {PREFIX + name.upper() for name in known}
    environment |= settings_for(api, "a")
    done = run(["--config=ENV"], environment=environment)
    assert done.status == 0, done.stderr
    assert {*done.completed()} == {"a"}
