"""From the API into PostgreSQL by the documented commands, beside dlt and PyAirbyte."""

from __future__ import annotations

import shlex
import venv
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import quote

from benchmarks import measure, programs
from benchmarks.measure import RunError, Took
from benchmarks.programs import PARALLEL, in_turn, lines, write_inputs
from tests.postgres_server import DATABASE, PASSWORD, USER, Postgres
from tests.project import TAP, Project, batches_in, blocks, filled_in
from tests.stand_in import Job, StandIn

if TYPE_CHECKING:
    from collections.abc import Sequence

_JOBS, _PAGE_SIZE, _WARM_UP_ROWS = 10, 1_000, 100
_SHARDED = "Side by side on one machine"  # the heading of the documented commands
_PARALLEL = PARALLEL | {
    "NORMALIZE__WORKERS": "2",
    "LOAD__WORKERS": "20",
    # dlt normalizes and loads only whole files side by side.
    "DATA_WRITER__FILE_MAX_ITEMS": "10000",
}


@dataclass(frozen=True)
class Way(programs.Program):
    """A way into the database; one without words is this tap, run by Meltano.

    Attributes:
        jobs: How many jobs it loads; fewer where it is slow.
        shards: How many processes of this tap share the jobs.
        is_batch: This tap writes files and BATCH messages.
        script: Shell commands that start on a machine with Python and pip alone.
    """

    jobs: int = _JOBS
    shards: int = 1
    is_batch: bool = False
    script: str = ""


_DLT = f"{programs.DLT} --database {{database}}"
_PYAIRBYTE = "{peers}/pyairbyte_load.py {folder}/config.json {folder}/cache {database}"
_WAYS = (
    Way("This tap", ""),
    Way("This tap, BATCH", "", is_batch=True),
    Way("This tap, two shards by BATCH", "", shards=2),
    Way("dlt", _DLT, "dlt"),
    Way("dlt, parallel", f"{_DLT} --parallel", "dlt", _PARALLEL),
    Way("PyAirbyte, a fifth", _PYAIRBYTE, "pyairbyte", jobs=2),
)


def report(
    events: int, rounds: int, ways: Sequence[Way] = _WAYS, work: str = "into PostgreSQL"
) -> list[str]:
    """Load in all ways in turn, after a warm-up on a few rows; return the lines."""
    rows = events // _JOBS
    with TemporaryDirectory() as name, Postgres() as postgres:
        bench = _Bench(Path(name), postgres)
        if ways is _WAYS:
            in_turn(ways, 1, partial(bench.load, _WARM_UP_ROWS))
        took = in_turn(ways, rounds, partial(bench.load, rows))
    return lines(f"{events:,} events {work}", took)


class _Bench:
    """A Meltano project, and the database that all load into."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self._postgres = postgres
        self._project = Project(folder)
        place = f"127.0.0.1:{postgres.port}/{DATABASE}"
        self._address = f"postgresql://{USER}:{quote(PASSWORD, safe='')}@{place}"

    def load(self, rows: int, way: Way) -> Took:
        """Load jobs of so many events into a new table; each must be there once.

        The command that makes the tables for shards runs before the clock starts, as it
        runs once in the life of a pipeline.
        """
        self._postgres.execute("drop schema if exists fullstory, meltano cascade")
        ids = [f"job-{number:05}" for number in range(way.jobs)]
        jobs = [Job(each, generate=rows, page_size=_PAGE_SIZE) for each in ids]
        with TemporaryDirectory() as name, StandIn(*jobs) as api:
            api.encode()
            folder = Path(name)
            settings = {"api_key": api.api_key, "api_url": api.url, "job_ids": ids}
            write_inputs(folder, settings | {"concurrency": 4})
            (self._project.path / "job-ids.txt").write_text("\n".join(ids))
            if way.script:
                venv.create(folder / "machine", with_pip=True)
            if way.shards > 1:
                self._run(blocks(_SHARDED, "sh")[0], way, folder, api)
            took = self._run(self._command(way, folder), way, folder, api)
        job = "_jobs_job_id" if way.label.startswith("dlt") else "job_id"
        query = (
            f'select count(*) as a, count(distinct ({job}, "timestamp")) as b'  # noqa: S608 - names
            " from fullstory.imported_events"
        )
        (found,) = self._postgres.query(query)
        if set(found.values()) != {len(ids) * rows}:
            raise RunError(f"rows and different rows: {found}")
        return took

    def _command(self, way: Way, folder: Path) -> str:
        """Return a peer's command, or the documented one for so many shards."""
        again = "--full-refresh --force"
        if way.script:
            return way.script
        if way.words:
            return shlex.join(way.command(folder, database=self._address))
        if way.shards == 1:
            return f"meltano --environment=prod run {again} {TAP} target-postgres"
        command = filled_in(blocks(_SHARDED, "sh")[1], {"SHARDS": str(way.shards)})
        return command.replace(" el ", f" el {again} ")

    def _run(self, command: str, way: Way, folder: Path, api: StandIn) -> Took:
        path, login = self._project.path, self._postgres.settings
        environment = self._project.environment(
            TAP_FULLSTORY_IMPORTS_API_KEY=api.api_key,
            TAP_FULLSTORY_IMPORTS_API_URL=api.url,
            TAP_FULLSTORY_IMPORTS_JOBS_FILE=str(path / "job-ids.txt"),
            TAP_FULLSTORY_IMPORTS__SELECT='["imported_events.*"]',
            RUNTIME__DLTHUB_TELEMETRY="false",
            DO_NOT_TRACK="1",
            AIRBYTE_OFFLINE_MODE="1",
            FOLDER=str(folder),
            PEERS=str(programs.ROOT / "benchmarks" / "peers"),
            DATABASE=self._address,
            **login,
            **{name.replace("TARGET_POSTGRES_", "PG"): login[name] for name in login},
            **(batches_in(folder / "batches") if way.is_batch else {}),
            **way.settings,
        )
        return measure.run(["bash", "-euc", command], path, folder, environment)
