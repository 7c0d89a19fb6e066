"""The shell lines of the example for GitHub Actions, and those for any other CI."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from yaml import safe_load

from tests.examples import JOBS, LATE, expected, loaded, shard_of
from tests.postgres_server import DATABASE, PASSWORD, USER, Postgres
from tests.project import ROOT, TAP, Project, blocks, filled_in
from tests.stand_in import Job, StandIn, make_events

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = ROOT / "examples" / "github-actions"
WORKFLOW = safe_load((EXAMPLE / "fullstory-imports.yml").read_text(encoding="utf-8"))
STEPS = {
    step["name"]: step for job in WORKFLOW["jobs"].values() for step in job["steps"]
}
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
STATE_ID = f"prod:{TAP}-to-target-postgres"

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def api() -> Iterator[StandIn]:
    with StandIn(*(Job(name, rows=rows) for name, rows in JOBS.items())) as stand_in:
        yield stand_in


class Shell:
    """A checkout, the secrets and variables that the README lists, and a database."""

    def __init__(self, project: Project, api: StandIn, postgres: Postgres) -> None:
        self.project, self.api, self.postgres = project, api, postgres
        shutil.copytree(ROOT / "requirements", project.path / "requirements")
        values = {
            "FULLSTORY_API_KEY": api.api_key,
            "PGDATABASE": DATABASE,
            "PGHOST": "127.0.0.1",
            "PGPASSWORD": PASSWORD,
            "PGPORT": str(postgres.port),
            "PGUSER": USER,
        }
        kinds = dict(re.findall(r"^\| `([A-Z_]+)` \| (\w+) \|", README, re.MULTILINE))
        self._known = {
            f"{'secrets' if kind == 'secret' else 'vars'}.{name}": values[name]
            for name, kind in kinds.items()
        }

    def run(self, commands: str, **settings: str) -> tuple[int, str]:
        """Run commands as `shell: bash` does; no secret may be shown."""
        done = self.project.run(
            *("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", commands),
            **{"TAP_FULLSTORY_IMPORTS_API_URL": self.api.url, **settings},
        )
        log = done.stdout + done.stderr
        assert self.api.api_key not in log
        assert PASSWORD not in log
        return done.returncode, log

    def step(self, name: str, shard: int = 0, shards: int = 0) -> tuple[int, str]:
        """Run a step of the workflow, for one shard of its matrix."""
        known = {"matrix.shard": str(shard), "strategy.job-total": str(shards)}
        return self.run(STEPS[name]["run"], **self.variables(name, known))

    def variables(self, name: str, known: dict[str, str]) -> dict[str, str]:
        known = {**self._known, **known}
        own = {
            name: re.sub(r"\$\{\{ (\S+) \}\}", lambda match: known[match[1]], text)
            for name, text in STEPS[name]["env"].items()
        }
        return {**WORKFLOW["env"], **own}

    def state(self, suffix: str) -> set[str]:
        """The jobs whose events are read, by Meltano's state of a shard."""
        (row,) = self.postgres.query(
            f"select * from state where state_id = '{STATE_ID}:{suffix}'"  # noqa: S608
        )
        kept = [json.loads(row[f"{part}_state"]) for part in ("completed", "partial")]
        return {
            job_id
            for state in kept
            for bookmarks in [state.get("singer_state", {}).get("bookmarks", {})]
            for job_id in bookmarks.get("imported_events", {}).get("completed_jobs", [])
        }


@pytest.fixture(scope="module")
def shell(
    tmp_path_factory: pytest.TempPathFactory, api: StandIn, postgres: Postgres
) -> Shell:
    return Shell(Project(tmp_path_factory.mktemp("github")), api, postgres)


class TestExample:
    """One after the other."""

    def test_failed_shard_stops_no_other(self, shell, api):
        lines = ["# one on each line", *JOBS, *LATE]
        (shell.project.path / "import-jobs.txt").write_text("\n".join(lines))
        code, log = shell.run(STEPS["List the import jobs"]["run"])
        assert code == 0, log
        code, log = shell.step("Make the tables")
        assert code == 0, log
        assert api.requests == []
        bad = shard_of("late", 2) + 1
        for part in (1, 2):
            code, log = shell.step("Load", part, 2)
            assert bool(code) is (part == bad), log
            assert ("Job late failed" in log) is (part == bad)
        assert loaded(shell.postgres) == expected(JOBS)
        states = [*shell.state("1-of-2"), *shell.state("2-of-2")]
        assert sorted(states) == sorted(JOBS)  # each job in one of them

    def test_more_shards_go_on_from_the_merged_states(self, shell, api):
        (commands,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
        known = {"matrix.shard": "3", "strategy.job-total": "3"}
        code, log = shell.run(commands, **shell.variables("Load", known))
        assert code == 0, log
        assert all(shell.state(f"{part}-of-3") == {*JOBS} for part in (1, 2, 3))
        api.add(*(Job(name, rows=rows) for name, rows in LATE.items()))
        api.clear()
        code, log = shell.step("Load", shard_of("late", 3) + 1, 3)
        assert code == 0, log
        assert {request.job_id for request in api.requests} == {*LATE}
        assert loaded(shell.postgres) == expected({**JOBS, **LATE})

    def test_commands_for_any_other_ci_keep_their_state_elsewhere(self, shell, api):
        jobs = {"by-hand": make_events(10)}
        api.add(*(Job(name, rows=rows) for name, rows in jobs.items()))
        (shell.project.path / "job-ids.txt").write_text("by-hand\n", encoding="utf-8")
        port = shell.postgres.port
        address = f"{quote(USER)}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
        values = {
            "MELTANO_DATABASE_URI": f"postgresql+psycopg://{address}/{DATABASE}",
            "TAP_FULLSTORY_IMPORTS_API_KEY": api.api_key,
        }
        (commands,) = blocks("In CI", "sh")
        part = shard_of("by-hand", 8) + 1
        commands = filled_in(commands, values).replace("2/8", f"{part}/8")
        commands = commands.replace("2-of-8", f"{part}-of-8")
        code, log = shell.run(commands, **shell.postgres.settings)
        assert code == 0, log
        assert loaded(shell.postgres) == expected({**jobs, **JOBS, **LATE})
        assert shell.state(f"{part}-of-8") == {"by-hand"}
