"""The README says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from yaml import safe_load

from benchmarks import results
from benchmarks.measure import Run
from tap_fullstory_imports.settings import SCHEMA
from tap_fullstory_imports.tap import TapFullstoryImports
from tests.harness import PREFIX, run

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


def meltano_extractor() -> dict[str, Any]:
    """The tap as the Meltano project defines it."""
    project = safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    (extractor,) = project["plugins"]["extractors"]
    assert isinstance(extractor, dict)
    return extractor


def test_the_settings_are_those_of_the_tap() -> None:
    """Names, defaults and meanings, word for word."""
    rows = {name.strip("`"): rest for name, *rest in table("Settings")}
    assert rows.keys() == SCHEMA["properties"].keys()
    for name, field in SCHEMA["properties"].items():
        default, meaning = rows[name]
        assert meaning == field["description"]
        if name in SCHEMA["required"]:
            assert default == "required"
        elif name == "user_agent":
            assert default == "`tap-fullstory-imports/<version>`"
        elif "default" in field:
            shown = field["default"]
            shown = shown if isinstance(shown, str) else json.dumps(shown)
            assert default == f"`{shown}`"
        else:
            assert default == ""


def test_the_settings_are_those_of_the_meltano_project() -> None:
    """All of them, those of the SDK too, the secret one marked."""
    settings = {one["name"]: one for one in meltano_extractor()["settings"]}
    about = json.loads(run(["--about", "--format=json"]).stdout)["settings"]
    assert {name.split(".")[0] for name in settings} == about["properties"].keys()
    for name, field in SCHEMA["properties"].items():
        setting = settings[name]
        assert " ".join(setting["description"].split()) == field["description"]
        assert setting["label"] == field["title"]
        assert setting.get("sensitive", False) is field.get("secret", False)
        assert "value" not in setting, "defaults stand in the tap alone"


def test_the_capabilities_are_those_of_the_meltano_project() -> None:
    """Meltano does only what it is told that the tap can do."""
    about = json.loads(run(["--about", "--format=json"]).stdout)
    assert meltano_extractor()["capabilities"] == sorted(about["capabilities"])


def test_the_streams_are_those_of_the_catalog() -> None:
    """With their endpoints and keys."""
    catalog = json.loads(run(["--discover"]).stdout)
    keys = {one["stream"]: one["key_properties"] for one in catalog["streams"]}
    rows = {name.strip("`"): rest for name, *rest in table("Streams")}
    assert rows.keys() == keys.keys()
    tap = TapFullstoryImports(validate_config=False, setup_mapper=False)
    for name, (_, endpoint, key, _) in rows.items():
        assert re.findall(r"`(\w+)`", key) == keys[name]
        path = getattr(tap.streams[name], "path", None)
        assert endpoint == f"`GET /v2/events/batch/{{job_id}}{path}`"


def test_the_environment_variables_are_settings() -> None:
    """Every one that it names."""
    names = re.findall(rf"\b{PREFIX}([A-Z_]+)\b", README)
    assert names
    assert {name.lower() for name in names} <= SCHEMA["properties"].keys()


@pytest.mark.parametrize("target", sorted({*re.findall(r"`make (\w+)`", README)}))
def test_the_commands_of_make_exist(target: str) -> None:
    """Every one that it names."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:)([^)#]+)\)", README))
def test_the_files_that_it_links_to_exist(link: str) -> None:
    """Every one of them."""
    assert (ROOT / link).exists()


@pytest.mark.parametrize("path", sorted({*re.findall(r"`(tests/\w+\.py)`", README)}))
def test_the_tests_of_the_guarantees_exist(path: str) -> None:
    """Every one that the table names, with tests in it."""
    assert "\ndef test_" in (ROOT / path).read_text(encoding="utf-8")


def test_each_guarantee_names_a_test() -> None:
    """A promise that nothing tries to break is none."""
    for promise, tests in table("Guarantees"):
        assert promise.endswith(".")
        assert re.match(r"`tests/", tests)


def test_the_figures_are_those_that_were_measured() -> None:
    """By the last whole run of the benchmarks."""
    text = (ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8")
    kept = json.loads(text)
    found = results.Results(Run(**one) for one in kept["runs"])
    facts = (kept["rounds"], kept["command"], kept["machine"])
    summary = results.to_summary(found, *facts)
    assert f"<!-- make bench -->\n{summary}\n<!-- end -->" in README
