"""The example for GitHub Actions, run as GitHub would. Linters: test_workflows.py."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from yaml import safe_load

from tests.examples import JOBS, LATE, expected, loaded, shard_of
from tests.postgres_server import DATABASE, PASSWORD, USER, Postgres
from tests.project import ROOT, TAP, Project, blocks, filled_in
from tests.stand_in import Job, StandIn, make_events, make_failures

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping
    from pathlib import Path

EXAMPLE = ROOT / "examples" / "github-actions"
FILE = EXAMPLE / "fullstory-imports.yml"
WORKFLOW = safe_load(FILE.read_text(encoding="utf-8"))
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
FAILURES = make_failures(3)


@dataclass(frozen=True)
class Done:
    """What a job of the workflow, or one of its steps, has come to."""

    name: str
    is_good: bool
    log: str


class Runner:
    """Runs a workflow's jobs on this machine: each in a folder of its own."""

    def __init__(
        self, path: Path, settings: Mapping[str, str], values: Mapping[str, str]
    ) -> None:
        """Take a folder to work in, variables of the machine, GitHub's own values."""
        self._path = path
        self._settings = settings
        self._values = values
        self._runs = 0
        self._artifacts = path

    def run(self, job_ids: list[str]) -> list[Done]:
        """Run all jobs whose needs are met; those of a matrix side by side."""
        self._runs += 1
        self._artifacts = self._path / f"artifacts-{self._runs}"
        done: dict[str, list[Done]] = {}
        for name, job in WORKFLOW["jobs"].items():
            if needed := job.get("needs"):
                assert all(one.is_good for one in done[needed]), done[needed][0].log
            shards = job.get("strategy", {}).get("matrix", {}).get("shard", [""])
            about = [
                {
                    **self._values,
                    "matrix.shard": str(shard),
                    "strategy.job-total": str(len(shards)),
                }
                for shard in shards
            ]
            with ThreadPoolExecutor() as pool:
                done[name] = [
                    *pool.map(lambda values: self._job(name, values, job_ids), about)  # noqa: B023 - used up at once
                ]
        return [one for name in done for one in done[name]]

    def _job(self, name: str, values: dict[str, str], job_ids: list[str]) -> Done:
        job = WORKFLOW["jobs"][name]
        title = filled(job["name"], values)
        folder = self._path / f"{self._runs}-{name}-{values['matrix.shard']}"
        project = check_out(folder)  # before all steps, so that they have a project
        log = ""
        for step in job["steps"]:
            if "uses" in step:
                self._use(step, folder, job_ids)
                continue
            own = {
                name: filled(text, values) for name, text in step.get("env", {}).items()
            }
            settings = {**self._settings, **WORKFLOW["env"], **own}
            done = bash(step["run"], project, settings)
            log += done.stdout + done.stderr
            if done.returncode:
                return Done(title, is_good=False, log=log)
        return Done(title, is_good=True, log=log)

    def _use(self, step: dict[str, Any], folder: Path, job_ids: list[str]) -> None:
        """Do what an action would do."""
        action = step["uses"].split("@")[0]
        given = step.get("with", {})
        if action == "actions/checkout":
            lines = ["# one on each line", *job_ids, ""]
            (folder / "import-jobs.txt").write_text("\n".join(lines), encoding="utf-8")
        elif action == "actions/upload-artifact":
            store = self._artifacts / given["name"]
            store.mkdir(parents=True)
            for path in folder.glob(given["path"]):
                shutil.copy(path, store)
        elif action == "actions/download-artifact":
            shutil.copytree(self._artifacts / given["name"], folder, dirs_exist_ok=True)
        else:
            assert action == "actions/setup-python"


def check_out(folder: Path) -> Project:
    """Put into a new folder what the steps need. Plugins that are installed stay so."""
    folder.mkdir()
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    return Project(folder)


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its expressions evaluated; fails for one that is not known."""
    return re.sub(r"\$\{\{ (\S+) \}\}", lambda match: values[match[1]], text)


def bash(
    script: str, project: Project, settings: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a script with the options that `shell: bash` stands for."""
    options = ("--noprofile", "--norc", "-eo", "pipefail", "-c")
    return project.run("bash", *options, script, **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of it runs."""
    return tmp_path_factory.mktemp("github")


@pytest.fixture(scope="module")
def connection(postgres: Postgres) -> dict[str, str]:
    """The variables by which libpq finds the server."""
    return {
        "PGDATABASE": DATABASE,
        "PGHOST": "127.0.0.1",
        "PGPASSWORD": PASSWORD,
        "PGPORT": str(postgres.port),
        "PGUSER": USER,
    }


@pytest.fixture(scope="module")
def api() -> Iterator[StandIn]:
    """A stand-in with some jobs, one of which has failed in part."""
    with StandIn(*(Job(name, rows=rows) for name, rows in JOBS.items())) as stand_in:
        stand_in.add(Job("job-0", rows=JOBS["job-0"], failures=FAILURES))
        yield stand_in


@pytest.fixture(scope="module")
def runner(folder: Path, api: StandIn, connection: dict[str, str]) -> Runner:
    """The runner, with the settings that the example's README lists."""
    values = {**connection, "FULLSTORY_API_KEY": api.api_key}
    kinds = dict(re.findall(r"^\| `([A-Z_]+)` \| (\w+) \|", README, re.MULTILINE))
    settings = {
        f"{'secrets' if kind == 'secret' else 'vars'}.{name}": values[name]
        for name, kind in kinds.items()
    }
    return Runner(folder, {"TAP_FULLSTORY_IMPORTS_API_URL": api.url}, settings)


def states(postgres: Postgres, parts: int, only: int | None = None) -> list[set[str]]:
    """The jobs that Meltano's state of each shard holds as read."""
    kept = {
        row["state_id"]: [row["completed_state"], row["partial_state"]]
        for row in postgres.query("select * from state")
    }
    return [
        {
            job_id
            for text in kept[f"prod:{TAP}-to-target-postgres:{part}-of-{parts}"]
            for stream, bookmark in json.loads(text)
            .get("singer_state", {})
            .get("bookmarks", {})
            .items()
            if stream == "imported_events"
            for job_id in bookmark.get("completed_jobs", {})
        }
        for part in ([only] if only else range(1, parts + 1))
    ]


def assert_hidden(done: list[Done], api: StandIn) -> None:
    """Check that no log shows a secret."""
    for one in done:
        assert api.api_key not in one.log
        assert PASSWORD not in one.log


@pytest.mark.e2e
class TestWorkflow:
    """Two runs of one workflow, one after the other."""

    def test_a_failed_shard_stops_no_other(
        self, runner: Runner, api: StandIn, postgres: Postgres
    ) -> None:
        """It makes the workflow red; all rows but those of the failed job arrive."""
        prepare, *shards = done = runner.run([*JOBS, *LATE])
        assert prepare.is_good, prepare.log
        assert_hidden(done, api)
        bad = shard_of("late", 2) + 1
        assert [(shard.name, shard.is_good) for shard in shards] == [
            (f"Load shard {part} of 2", part != bad) for part in (1, 2)
        ]
        assert "Job late failed" in shards[bad - 1].log
        assert loaded(postgres) == expected(JOBS)
        count = "select count(*) from fullstory.import_errors"
        assert postgres.query(count) == [{"count": len(FAILURES)}]

    def test_each_job_was_read_by_one_shard(
        self, api: StandIn, postgres: Postgres
    ) -> None:
        """Once; and each shard has a state of its own, of the jobs that are read."""
        asked = Counter(
            (request.job_id, request.endpoint)
            for request in api.requests
            if request.job_id in JOBS
        )
        assert asked.keys() == {
            (name, endpoint)
            for name in JOBS
            for endpoint in ("imports", "errors", "status")
        }
        # A job without failures is confirmed by its status, so that is asked for twice.
        assert {n for (_, end), n in asked.items() if end != "status"} == {1}
        assert {n for (_, end), n in asked.items() if end == "status"} <= {1, 2}
        first, second = states(postgres, 2)
        assert first
        assert second
        assert sorted([*first, *second]) == sorted(JOBS)

    def test_a_second_run_reads_what_is_missing(
        self, runner: Runner, api: StandIn, postgres: Postgres
    ) -> None:
        """And nothing else."""
        api.add(*(Job(name, rows=rows) for name, rows in LATE.items()))
        api.clear()
        done = runner.run([*JOBS, *LATE])
        assert all(one.is_good for one in done)
        assert {request.job_id for request in api.requests} == {*LATE}
        assert loaded(postgres) == expected({**JOBS, **LATE})
        assert "jobs read 1" in "".join(one.log for one in done)
        assert_hidden(done, api)

    def test_more_shards_go_on_from_the_same_state(
        self,
        folder: Path,
        api: StandIn,
        postgres: Postgres,
        connection: dict[str, str],
    ) -> None:
        """By the commands that the README gives; what is read stays read."""
        (commands,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
        project = check_out(folder / "more-shards")
        job_ids = [*JOBS, *LATE]
        settings = {
            **WORKFLOW["env"],
            **connection,
            "TAP_FULLSTORY_IMPORTS_API_URL": api.url,
            "TAP_FULLSTORY_IMPORTS_API_KEY": api.api_key,
            "TAP_FULLSTORY_IMPORTS_JOBS_FILE": "",
            "TAP_FULLSTORY_IMPORTS_JOB_IDS": json.dumps(job_ids),
            "TAP_FULLSTORY_IMPORTS_SHARD": "3/3",
            "MELTANO_RUN_STATE_ID_SUFFIX": "3-of-3",
        }
        done = bash(commands, project, settings)
        assert done.returncode == 0, done.stdout
        assert states(postgres, 3) == [{*job_ids}] * 3
        api.clear()
        (load,) = [
            step["run"]
            for step in WORKFLOW["jobs"]["load"]["steps"]
            if step["name"] == "Load"
        ]
        done = bash(load, project, settings)
        assert done.returncode == 0, done.stdout
        assert not api.requests
        assert states(postgres, 3) == [{*job_ids}] * 3

    def test_the_commands_of_the_project_s_readme(
        self, folder: Path, api: StandIn, postgres: Postgres
    ) -> None:
        """By hand, as for any other CI: a list in a file, a state elsewhere."""
        project = check_out(folder / "by-hand")
        jobs = {"by-hand": make_events(10)}
        api.add(*(Job(name, rows=rows) for name, rows in jobs.items()))
        (project.path / "job-ids.txt").write_text("by-hand\n", encoding="utf-8")
        address = f"{quote(USER)}:{quote(PASSWORD, safe='')}@127.0.0.1:{postgres.port}"
        (commands,) = blocks("In CI", "sh")
        commands = filled_in(
            commands,
            {
                "MELTANO_DATABASE_URI": f"postgresql+psycopg://{address}/{DATABASE}",
                "TAP_FULLSTORY_IMPORTS_API_KEY": api.api_key,
            },
        )
        part = shard_of("by-hand", 8) + 1
        assert "2/8" in commands
        commands = commands.replace("2/8", f"{part}/8").replace(
            "2-of-8", f"{part}-of-8"
        )
        settings = {**postgres.settings, "TAP_FULLSTORY_IMPORTS_API_URL": api.url}
        done = bash(commands, project, settings)
        assert done.returncode == 0, done.stdout + done.stderr
        assert loaded(postgres) == expected({**jobs, **JOBS, **LATE})
        assert states(postgres, 8, only=part) == [{"by-hand"}]


def test_every_job_of_the_workflow_has_a_timeout() -> None:
    """GitHub's own is six hours."""
    assert all("timeout-minutes" in job for job in WORKFLOW["jobs"].values())


def test_no_expression_stands_in_a_script() -> None:
    """There its text would be run; in `env` it is only a value."""
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    assert not [step for step in steps if "${{" in step.get("run", "")]
