"""The README and the longer documents: their links, examples and recipes."""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from yaml import safe_load

from tests.harness import selecting
from tests.project import ROOT, Project, blocks, documents, filled_in, settings_for
from tests.stand_in import Job, StandIn, make_events, make_failures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres_server import Postgres

DOCUMENTS = documents()
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
STREAMS = ("imported_events", "import_errors", "import_jobs")


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
        headings = re.findall(
            r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE
        )
        assert anchor in {one.lower().replace(" ", "-") for one in headings}


def test_repository_is_the_same_everywhere():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (repository,) = re.findall(r'^Repository = "(.*)"$', project, re.MULTILINE)
    raw = repository.replace("//github.com", "//raw.githubusercontent.com")
    for text in DOCUMENTS.values():
        for address in re.findall(r"https://github\.com/\S+?/tap-fullstory\w*", text):
            assert repository.startswith(address)
        for address in re.findall(r"https://raw\.\S+", text):
            assert address == f"{raw}/main/plugin.yaml"


def test_example_rows_are_what_the_tap_writes(api, tap):
    (example,) = blocks("What arrives", "json")
    sent = json.loads(example)
    for row in sent:
        del row["job_id"], row["event_index"]
    api.add(Job("abc123", rows=sent))
    run = tap.run(job_ids=["abc123"])
    assert run.records() == json.loads(example, parse_float=Decimal)


def test_example_table_has_the_example_rows():
    (example,) = blocks("What arrives", "json")
    section = DOCUMENTS["README.md"].split("## What arrives\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    header, _, *body = [
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines
    ]
    for row, cells in zip(json.loads(example), body, strict=True):
        for name, cell in zip(header, cells, strict=True):
            shown = json.loads(cell) if isinstance(row[name], (dict, int)) else cell
            assert shown == row[name]


def test_example_state_is_what_the_tap_writes(api, tap):
    (example,) = blocks("How replication works", "json")
    api.add(Job("abc123", rows=make_events(1200)))
    assert tap.run(job_ids=["abc123"]).state == json.loads(example)


@pytest.mark.parametrize(
    ("streams", "costs"),
    [
        (STREAMS, ({"status": 1, "imports": 3, "errors": 2},
                   {"status": 1, "imports": 3}, {"status": 1, "imports": 1})),
        (STREAMS[:1], ({"imports": 3}, {"imports": 3}, {"status": 1, "imports": 1})),
        (STREAMS[1:2], ({"status": 1, "errors": 2}, {"status": 1}, {"status": 1})),
        (STREAMS[2:], ({"status": 1},) * 3),
    ],
)  # fmt: skip
def test_load_costs_as_many_requests_as_documented(api, tap, streams, costs):
    rows, failures = make_events(25), make_failures(11)
    api.add(Job("mixed", rows=rows, failures=failures, page_size=10))
    api.add(Job("whole", rows=rows, page_size=10), Job("empty"))
    catalog, job_ids = selecting(*streams), ["mixed", "whole", "empty"]

    run = tap.run(job_ids=job_ids, catalog=catalog)

    assert run.status == 0
    asked = Counter((one.job_id, one.endpoint) for one in api.requests)
    assert asked == {
        (job_id, endpoint): number
        for job_id, cost in zip(job_ids, costs, strict=True)
        for endpoint, number in cost.items()
    }
    api.clear()
    tap.run(job_ids=job_ids, catalog=catalog, state=run.state)
    assert api.requests == []


def test_image_copies_files_that_exist():
    (image,) = blocks("In a container", "dockerfile")
    copied = re.findall(r"^COPY (.*) \S+$", image, re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert "pyproject.toml" in names
    assert all((ROOT / name).exists() for name in names)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project for the recipes, which follow each other."""
    return Project(tmp_path_factory.mktemp("recipes"))


@pytest.fixture(scope="module")
def jobs() -> Iterator[StandIn]:
    """A stand-in with the jobs of the documents."""
    job_ids = ("abc123", "abd123=", "job-0", *SHARDED)
    with StandIn(*(Job(one, rows=make_events(5)) for one in job_ids)) as stand_in:
        yield stand_in


class Recipes:
    """The commands of the documents in one project, with one server."""

    def __init__(self, project: Project, jobs: StandIn, postgres: Postgres) -> None:
        """Take what all runs share."""
        self._project, self._jobs, self._postgres = project, jobs, postgres
        self.values = postgres.settings
        self.key = {"TAP_FULLSTORY_IMPORTS_API_KEY": jobs.api_key}

    def run(self, commands: str, **settings: str) -> list[tuple[str, str]]:
        """Run commands; return which jobs were asked for at which endpoints."""
        self._jobs.clear()
        given = {**settings_for(self._jobs, "job-0"), **self.values, **settings}
        done = self._project.run("bash", "-euc", commands, **given)
        assert done.returncode == 0, done.stdout + done.stderr
        return [(one.job_id, one.endpoint) for one in self._jobs.requests]

    def count(self) -> dict[str, int]:
        """The loaded rows of each job."""
        rows = "select job_id, count(*) from fullstory.imported_events group by 1"
        return {row["job_id"]: row["count"] for row in self._postgres.query(rows)}


@pytest.fixture(scope="module")
def recipes(project: Project, jobs: StandIn, postgres: Postgres) -> Recipes:
    """The recipes, which follow each other."""
    return Recipes(project, jobs, postgres)


@pytest.mark.e2e
class TestRecipes:
    """By the commands of the documents, one after the other."""

    def test_first_run_loads_all_jobs(self, recipes):
        """As after the first installation."""
        _, commands = blocks("Use with Meltano", "sh")
        recipes.run(filled_in(commands, {**recipes.key, **recipes.values}))
        assert recipes.count() == {"abc123": 5, "abd123=": 5}

    def test_backfill_reads_a_job_that_is_not_in_the_state(self, recipes):
        """And nothing else."""
        backfill, *_ = blocks("Recipes", "sh")
        other = backfill.replace("abc123", "job-0")
        assert {job_id for job_id, _ in recipes.run(other)} == {"job-0"}

    def test_read_again_reads_one_job_and_keeps_the_state(self, recipes):
        """All jobs stay finished."""
        backfill, again, _ = blocks("Recipes", "sh")
        asked = recipes.run(again)
        assert ("abc123", "imports") in asked
        assert {job_id for job_id, _ in asked} == {"abc123"}
        assert recipes.count() == {"abc123": 5, "abd123=": 5, "job-0": 5}
        everything = backfill.replace("abc123", 'abc123", "abd123=", "job-0')
        assert not recipes.run(everything)

    def test_new_key_is_tested_by_one_record(self, recipes):
        """Without a change of the state."""
        *_, rotate = blocks("Recipes", "sh")
        assert recipes.run(filled_in(rotate, recipes.key))

    def test_indexed_job_reads_each_job_in_one_pod(self, recipes, jobs):
        """Two shards in place of eight."""
        (text,) = blocks("On Kubernetes", "yaml")
        pod = safe_load(text.replace("/8", "/2").replace("-of-8", "-of-2"))
        (container,) = pod["spec"]["template"]["spec"]["containers"]
        (script,) = container["args"]
        settings = settings_for(jobs, *SHARDED)
        first, second = (
            {
                job_id
                for job_id, _ in recipes.run(
                    script, **settings, JOB_COMPLETION_INDEX=str(index)
                )
            }
            for index in range(2)
        )
        assert first
        assert second
        assert not first & second
        assert first | second == {*SHARDED}
