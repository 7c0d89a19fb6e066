"""The README and the longer documents: their links, examples, tables and recipes."""

from __future__ import annotations

import json
import os
import re
import sys
from decimal import Decimal
from pathlib import PurePosixPath

import pytest
from yaml import safe_load

from scripts.plugin import RAW, REPOSITORY
from tap_fullstory_imports.fullstory.stream import JobStream
from tap_fullstory_imports.settings.declaration import SCHEMA
from tap_fullstory_imports.tap import TapFullstoryImports
from tests.harness import run
from tests.invariants import PREFIX
from tests.project import ROOT, Project, blocks, documents, filled_in, settings_for
from tests.stand_in import Job, StandIn, make_events

DOCUMENTS = documents()
TEXT = "\n".join(DOCUMENTS.values())
README, GUARANTEES, TROUBLESHOOTING = (
    DOCUMENTS[name]
    for name in ("README.md", "docs/guarantees.md", "docs/troubleshooting.md")
)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
FENCED = re.compile(
    r"(?:<!-- (?P<mark>[^>\n]*) -->\n)?^```(?P<language>\w*)$.*?^```$",
    re.MULTILINE | re.DOTALL,
)
BLOCKS = [
    pytest.param(match["mark"], id=f"{name}-{number}")
    for name, text in DOCUMENTS.items()
    for number, match in enumerate(FENCED.finditer(text))
    if match["language"] != "mermaid"
]
LINKS = [
    (name, link)
    for name, text in DOCUMENTS.items()
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)
]
SHARDED = ("abc", "def", "one", "two", "four")


def table(text, heading):
    """The rows of the first table below a heading."""
    section = re.split(rf"^##? {heading}\n", text, flags=re.MULTILINE)[1]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.removeprefix("|").rstrip("|").split("|")]


# What the documents name


def test_readme_has_at_most_200_lines():
    assert len(README.splitlines()) <= 200


def test_contributing_names_each_module_and_only_targets_and_tests_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    modules = (ROOT / "tap_fullstory_imports").rglob("*.py")
    names = {path.name for path in modules if path.name != "__init__.py"}
    assert {*re.findall(r"^ {6,}(\w+\.py) ", text, re.MULTILINE)} == names
    for test in re.findall(r"\btest_\w+\.py", text):
        assert (ROOT / "tests" / test).exists(), test
    for target in re.findall(r"`make ([a-z.][\w./-]*)", text):
        assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE), target


@pytest.mark.parametrize("mark", BLOCKS)
def test_block_names_its_test_or_what_it_needs(mark):
    assert mark, "write a comment before the block: a test's path, or `needs …`"
    if not mark.startswith("needs "):
        test = (ROOT / mark).read_text(encoding="utf-8")
        assert "blocks(" in test or "scripts.demo" in test


@pytest.mark.parametrize(("name", "link"), LINKS)
def test_link_leads_to_a_file_and_a_heading(name, link):
    path, _, anchor = link.partition("#")
    target = (ROOT / PurePosixPath(name).parent / path) if path else ROOT / name
    assert target.exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
        assert anchor in {one.lower().replace(" ", "-") for one in headings}


def test_addresses_setting_names_commands_and_tests_exist():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'^Repository = "(.*)"$', project, re.MULTILINE) == [REPOSITORY]
    for path in re.findall(rf"{re.escape(RAW)}/v[\d.]+/([\w./-]+)", TEXT):
        assert (ROOT / path).is_file()
    names = {name.lower() for name in re.findall(rf"\b{PREFIX}([A-Z_]+)\b", TEXT)}
    assert names <= {*SCHEMA["properties"], "batch_config"}
    for target in re.findall(r"`make ([\w-]+)`", TEXT):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
    for promise, tests in table(GUARANTEES, "Guarantees"):
        assert promise.endswith(".")
        for path in re.findall(r"`(tests/\w+\.py)`", tests):
            assert "def test_" in (ROOT / path).read_text(encoding="utf-8")


def test_troubleshooting_explains_messages_that_exist():
    paths = (ROOT / "tap_fullstory_imports").rglob("*.py")
    source = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    source = re.sub(r'"\s*f?"|[`{}]', "", source)
    for cell, _ in table(TROUBLESHOOTING, "Messages"):
        for message in re.findall(r"`(.+?)`(?: |$)", cell):
            parts = re.split(r"…|max_page_bytes", message)
            if not cell.startswith("Meltano: "):
                longest = max(parts, key=len).strip(" .:;,()")
                assert longest in source, message


def test_streams_are_those_of_the_catalog():
    catalog = json.loads(run(["--discover"]).stdout)
    keys = {one["stream"]: one["key_properties"] for one in catalog["streams"]}
    section = README.split("## What arrives\n")[1].split("\n## ")[0]
    rows = re.findall(
        r"^\| `(\w+)` \| .+ \| `GET (\S+)` \| (.+) \| .+ \|$", section, re.MULTILINE
    )
    tap = TapFullstoryImports(validate_config=False, setup_mapper=False)
    assert {name: re.findall(r"`(\w+)`", key) for name, _, key in rows} == keys
    paths = {
        name: stream.path
        for name, stream in tap.streams.items()
        if isinstance(stream, JobStream)
    }
    assert paths == {name: path for name, path, _ in rows}


def test_script_for_snowflake_grants_what_the_variables_name():
    script, _ = blocks("Into Snowflake", "sql")
    *_, shown = blocks("Into Snowflake", "sh")
    names = dict(re.findall(r"target_snowflake_(\w+)='(\w+)'", shown.lower()))
    role = names["role"]
    for kind in ("role", "user", "warehouse", "database"):
        assert f"create {kind} if not exists {names[kind]}" in script
    for grant in (
        f"role {role} to user {names['user']}",
        f"usage on warehouse {names['warehouse']} to role {role}",
        f"usage, create schema on database {names['database']} to role {role}",
    ):
        assert f"grant {grant};" in script


# What the tap does


def test_example_rows_are_what_the_tap_writes(api, tap):
    (example,) = blocks("What arrives", "json")
    sent = json.loads(example)
    for row in sent:
        del row["job_id"], row["event_index"]
    api.add(Job("abc123", rows=sent))
    run = tap.run(job_ids=["abc123"])
    assert run.records() == json.loads(example, parse_float=Decimal)
    rows = [*table(README, "What arrives")][:2]
    for row, cells in zip(json.loads(example), rows, strict=True):
        for value, cell in zip(row.values(), cells, strict=True):
            shown = json.loads(cell) if isinstance(value, (dict, int)) else cell
            assert shown == value


def test_example_state_is_what_the_tap_writes(api, tap):
    (example,) = blocks("How replication works", "json")
    api.add(Job("abc123", rows=make_events(1200)))
    assert tap.run(job_ids=["abc123"]).state == json.loads(example)


# The script without Meltano

WHOLE = """
for line in sys.stdin:
    if json.loads(line)["type"] == "STATE":
        print(json.dumps(json.loads(line)["value"]))
"""
BROKEN = "print('{\"bookmarks\": {', end='', flush=True); os._exit(3)"
SAVED = {"bookmarks": {"imported_events": {"completed_jobs": ["old"]}}}
# A target, its exit code, and whether its state may be saved.
TARGETS = {
    "takes all": (WHOLE, 0, True),
    "dies before its first state": ("sys.stdin.readline(); sys.exit(3)", 3, False),
    "dies in its first state": (BROKEN, 3, False),
    "dies in its second state": (WHOLE + BROKEN, 3, True),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "before"), [*((kind, SAVED) for kind in TARGETS), ("takes all", None)]
)
def test_script_leaves_a_whole_state_whatever_the_target_does(tap, api, kind, before):
    body, status, is_saved = TARGETS[kind]
    api.add(Job("a", rows=make_events(3)))
    tap.arguments(job_ids=["a"])  # writes the settings
    program = tap.write("your_target.py", f"import json, os, sys\n{body}")
    command = (
        f'#!/bin/sh\nexec "{sys.executable}" "{program}"\n'  # a path can have spaces
    )
    tap.write("your-target", command).chmod(0o755)
    if before is not None:
        tap.write("state.json", json.dumps(before))
    _, script = blocks("Without Meltano", "sh")
    project = Project.__new__(Project)
    project.path = tap.path

    path = os.pathsep.join([str(tap.path), project.environment()["PATH"]])
    done = project.run("bash", "-ec", script, PATH=path, PYTHONPATH=str(ROOT))

    assert done.returncode == status, done.stderr
    state = json.loads((tap.path / "state.json").read_text(encoding="utf-8"))
    if is_saved:
        assert "a" in state["bookmarks"]["imported_events"]["completed_jobs"]
    else:
        assert state == (before or {})


# Recipes, one after the other


@pytest.fixture(scope="module")
def jobs():
    job_ids = ("abc123", "abd123=", "job-0", *SHARDED)
    with StandIn(*(Job(one, rows=make_events(5)) for one in job_ids)) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def recipes(tmp_path_factory, jobs, postgres):
    """Run commands in one project; return which jobs were asked for, and where."""
    project = Project(tmp_path_factory.mktemp("recipes"))

    def run(commands, **settings):
        jobs.clear()
        given = {**settings_for(jobs, "job-0"), **postgres.settings, **settings}
        done = project.run("bash", "-euc", commands, **given)
        assert done.returncode == 0, done.stdout + done.stderr
        return [(one.job_id, one.endpoint) for one in jobs.requests]

    return run


@pytest.mark.e2e
class TestRecipes:
    def test_backfill_and_second_reading_keep_the_state(self, recipes, postgres):
        backfill, again, _ = blocks("Recipes", "sh")
        recipes("meltano run tap-fullstory-imports target-postgres")
        assert {job_id for job_id, _ in recipes(backfill)} == {"abc123"}
        assert {job_id for job_id, _ in recipes(again)} == {"abc123"}
        rows = "select job_id, count(*) from fullstory.imported_events group by 1"
        counts = {row["job_id"]: row["count"] for row in postgres.query(rows)}
        assert counts == {"abc123": 5, "job-0": 5}
        assert not recipes(backfill.replace("abc123", 'abc123", "job-0'))

    def test_new_key_is_tested_by_one_record(self, recipes, jobs):
        *_, rotate = blocks("Recipes", "sh")
        key = {"TAP_FULLSTORY_IMPORTS_API_KEY": jobs.api_key}
        assert recipes(filled_in(rotate, key))

    def test_indexed_job_reads_each_job_in_one_pod(self, recipes, jobs):
        (text,) = blocks("On Kubernetes", "yaml")
        pod = safe_load(text.replace("/8", "/2").replace("-of-8", "-of-2"))
        (container,) = pod["spec"]["template"]["spec"]["containers"]
        (script,) = container["args"]
        settings = settings_for(jobs, *SHARDED)
        first, second = (
            {
                job_id
                for job_id, _ in recipes(
                    script, **settings, JOB_COMPLETION_INDEX=str(index)
                )
            }
            for index in range(2)
        )
        assert first
        assert second
        assert not first & second
        assert first | second == {*SHARDED}
