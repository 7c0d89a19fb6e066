"""A user's own project: the README's commands, from an empty folder to rows.

Then the workflow of GitHub Actions in the same project.
"""

from __future__ import annotations

import json
import os
import re
import sys
from itertools import count
from shutil import which

import pytest
from yaml import safe_load

from scripts.plugin import RAW
from scripts.postgres import PREFIX
from tap_fullstory_imports.settings.declaration import OWN
from tests.examples import (
    JOBS,
    LATE,
    QUIET,
    expected,
    loaded,
    published,
    serving,
    shard_of,
)
from tests.postgres_server import DATABASE, PASSWORD, TIME_ZONE, USER
from tests.project import ROOT, TAP, Project, blocks, exact, filled_in
from tests.stand_in import Job, StandIn
from tests.test_targets import ZONE, moment

EVENTS = {name: JOBS[name] for name in ("job-0", "job-1", "job-2")}
CREATE, BY_CURL = (blocks("Before you start", kind)[0] for kind in ("python", "sh"))
EXAMPLE = ROOT / "examples" / "github-actions"
(LOAD,) = safe_load((EXAMPLE / "fullstory-imports.yml").read_text("utf-8"))[
    "jobs"
].values()
STEPS = {step["name"]: step for step in LOAD["steps"]}
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.e2e


class EmptyFolder(Project):
    """A folder, and one for the programs that uv installs."""

    def __init__(self, path, tools):
        self.path, self.tools = path, tools

    def environment(self, **settings):
        own = {
            "UV_PYTHON": sys.executable,
            "UV_TOOL_BIN_DIR": str(self.tools),
            "UV_TOOL_DIR": str(self.tools / "uv"),
        }
        found = super().environment(**own, **settings)
        return {**found, "PATH": f"{self.tools}{os.pathsep}{found['PATH']}"}


@pytest.fixture(scope="module")
def api():
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def imports(api):
    """Where a program creates an import, which the stand-in then has."""
    numbers = count()

    def create(request):
        assert request.path == "/v2/events/batch"
        assert request.headers["Authorization"] == f"Basic {api.api_key}"
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        job_id = f"job-{next(numbers)}"
        api.add(Job(job_id, rows=body["requests"]))
        return 200, json.dumps({"job": {"id": job_id, "status": "PROCESSING"}}).encode()

    with serving(create) as url:
        yield url


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("own project")


@pytest.fixture(scope="module")
def shell(tmp_path_factory, folder, api, imports):
    """Run commands in one folder, which is empty at first; no secret may be shown."""
    project = EmptyFolder(folder, tmp_path_factory.mktemp("tools"))
    with published(tmp_path_factory.mktemp("dist")) as (github, uv):
        settings = {
            **QUIET,
            **uv,
            "FULLSTORY_API_KEY": api.api_key,
            "FULLSTORY_URL": imports,
            "TAP_FULLSTORY_IMPORTS_API_URL": api.url,
        }

        def run(commands, is_good=True, **more):
            command = ("bash", "-euo", "pipefail", "-c", commands.replace(RAW, github))
            more = {name: text.replace(RAW, github) for name, text in more.items()}
            done = project.run(*command, **{**settings, **more})
            log = done.stdout + done.stderr
            assert (done.returncode == 0) is is_good, log
            assert api.api_key not in log
            assert PASSWORD not in log
            return log

        yield run


@pytest.fixture(scope="module")
def step(shell, folder, postgres, api):
    """Run a step of the workflow in the project, for one shard of its matrix."""
    values = {
        "FULLSTORY_API_KEY": api.api_key,
        "PGDATABASE": DATABASE,
        "PGHOST": "127.0.0.1",
        "PGPASSWORD": PASSWORD,
        "PGPORT": postgres.settings["TARGET_POSTGRES_PORT"],
        "PGUSER": USER,
    }
    kinds = dict(re.findall(r"^\| `([A-Z_]+)` \| (\w+) \|", README, re.MULTILINE))
    secret = {True: "secrets", False: "vars"}
    known = {f"{secret[kinds[one] == 'secret']}.{one}": values[one] for one in kinds}

    def run(name, shard=1, shards=1, commands=None, **options):
        found = {**known, "matrix.shard": shard, "strategy.job-total": shards}
        environment = {
            variable: re.sub(
                r"\$\{\{ (\S+)(?: \|\| '5432')? \}\}", lambda m: str(found[m[1]]), text
            )
            for variable, text in {**LOAD["env"], **STEPS[name].get("env", {})}.items()
        }
        environment["GITHUB_STEP_SUMMARY"] = str(folder / "summary.md")
        commands = commands or STEPS[name]["run"]
        return shell(f"cd warehouse\n{commands}", **environment, **options)

    return run


class TestOwnProject:
    """One after the other: the README's commands, then the workflow in its project."""

    def test_program_that_creates_imports_saves_their_ids(self, shell, folder):
        calls = "".join(f"create_import({rows!r})\n" for rows in EVENTS.values())
        (folder / "create.py").write_text(f"{CREATE}\n{calls}")
        shell("python create.py")
        assert (folder / "job-ids.csv").read_text().split() == ["job_id", *EVENTS]

    @pytest.mark.skipif(not (which("curl") and which("jq")), reason="no curl or no jq")
    def test_curl_and_jq_save_the_id_of_an_import(self, shell, folder):
        (folder / "import.json").write_text(json.dumps({"requests": JOBS["job-3"]}))
        shell(BY_CURL)
        assert (folder / "job-ids.txt").read_text() == "job-3\n"

    def test_commands_load_every_row(self, shell, folder, api, postgres):
        (commands,) = blocks("In your own project", "sh")
        assert len(commands.replace("\\\n", "").splitlines()) <= 7
        values = {
            "TAP_FULLSTORY_IMPORTS_API_KEY": api.api_key,
            "TAP_FULLSTORY_IMPORTS_JOBS_FILE": f"{folder}/job-ids.csv",
            "TARGET_POSTGRES_HOST": "127.0.0.1",
            "TARGET_POSTGRES_USER": USER,
            "TARGET_POSTGRES_PASSWORD": PASSWORD,
            "TARGET_POSTGRES_DATABASE": DATABASE,
        }
        port = postgres.settings["TARGET_POSTGRES_PORT"]
        shell(filled_in(commands, values), TARGET_POSTGRES_PORT=port)
        found = postgres.query(
            "select * from fullstory.imported_events order by job_id, event_index"
        )
        rows = [
            {"job_id": job_id, "event_index": index, **row}
            for job_id, events in EVENTS.items()
            for index, row in enumerate(events)
        ]
        for one, row in zip(found, rows, strict=True):
            assert moment(one.pop("timestamp")) == moment(row.pop("timestamp"))
            own = {name: one[name] for name in one if name[:4] != "_sdc"}
            assert exact(own) == exact({**dict.fromkeys(own), **row})
        assert postgres.query(ZONE) == [{"setting": TIME_ZONE}]

    def test_settings_are_those_of_the_demo(self, shell, folder, tmp_path):
        show = "meltano config print target-postgres"
        shell(f"cd warehouse; {show} > ../settings.json")
        own = json.loads((folder / "settings.json").read_text())
        assert own == json.loads(Project(tmp_path / "demo").run(*show.split()).stdout)
        assert own["use_copy"] is True

    def test_commands_without_meltano_load_the_same(self, shell, folder, api, postgres):
        install, script = blocks("Without Meltano", "sh")
        query = "select * from fullstory.imported_events order by job_id, event_index"
        names = ("job_id", "event_index", "timestamp", "properties")
        before = [[one[name] for name in names] for one in postgres.query(query)]
        postgres.execute("drop schema fullstory cascade")
        settings = {"api_key": api.api_key, "api_url": api.url, "job_ids": [*EVENTS]}
        (folder / "config.json").write_text(json.dumps(settings))
        login = postgres.settings.items()
        target = {name.removeprefix(PREFIX).lower(): text for name, text in login}
        target |= {"port": postgres.port, "default_target_schema": "fullstory"}
        (folder / "target.json").write_text(json.dumps(target))
        script = script.replace("your-target", "target-postgres --config target.json")
        shell(f"{install}{script}", PGTZ="UTC")
        after = [[one[name] for name in names] for one in postgres.query(query)]
        assert exact(after) == exact(before)
        assert {*json.loads((folder / "state.json").read_text())} == {"bookmarks"}

    def test_second_run_asks_for_nothing(self, shell, folder, api, postgres):
        api.clear()
        settings = {
            "TAP_FULLSTORY_IMPORTS_API_KEY": api.api_key,
            "TAP_FULLSTORY_IMPORTS_JOBS_FILE": f"{folder}/job-ids.csv",
            **postgres.settings,
        }
        shell(f"cd warehouse; meltano run {TAP} target-postgres", **settings)
        assert api.requests == []

    def test_failed_job_fails_the_run_and_stops_no_other(
        self, step, folder, api, postgres
    ):
        postgres.execute("create table alembic_version (x int); create table runs ()")
        api.add(*(Job(name, rows=rows) for name, rows in JOBS.items()))
        lines = "\n".join(["job_id", *JOBS, *LATE])
        (folder / "warehouse" / "import-jobs.csv").write_text(lines)
        step("Install")
        step("List the import jobs")
        log = step("Load", is_good=False)
        assert "Job late failed" in log
        assert loaded(postgres) == expected(JOBS)
        (states,) = postgres.query("select count(*) from meltano.state")
        assert states["count"] == 1
        summary = folder / "summary.md"
        assert summary.exists() is ("summary_file" in OWN)

    def test_more_shards_go_on_from_the_merged_state(self, step, api, postgres):
        (commands,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
        step("Load", 3, 3, commands)
        api.add(*(Job(name, rows=rows) for name, rows in LATE.items()))
        api.clear()
        for part in (1, 2, 3):
            step("Load", part, 3)
            is_read = bool(api.asked("late"))
            assert is_read is (part > shard_of("late", 3))
        assert {request.job_id for request in api.requests} == {*LATE}
        assert loaded(postgres) == expected({**JOBS, **LATE})
