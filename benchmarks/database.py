"""From the API into PostgreSQL by the documented commands, beside dlt and PyAirbyte."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, mkdtemp
from urllib.parse import quote

from benchmarks import measure
from benchmarks.measure import RunError, Took, log
from benchmarks.page import table
from benchmarks.programs import PEERS, install, python_of
from tests.postgres_server import DATABASE, PASSWORD, USER, Postgres
from tests.project import TAP, Project, batches_in, blocks, filled_in
from tests.stand_in import Job, StandIn

_JOBS, _PAGE_SIZE, _WARM_UP_ROWS = 10, 1_000, 100
_SHARDED = "Side by side on one machine"  # the heading of the documented commands
_PARALLEL = {
    "EXTRACT__WORKERS": "4",
    "NORMALIZE__WORKERS": "2",
    "LOAD__WORKERS": "20",
    # dlt normalizes and loads only whole files side by side.
    "DATA_WRITER__FILE_MAX_ITEMS": "10000",
}


@dataclass(frozen=True)
class Way:
    """A way into the database.

    Attributes:
        label: Its name in the table.
        environment: The peer's; empty: this tap, by Meltano.
        words: The peer's program and its options.
        settings: Its environment variables.
        jobs: How many jobs it loads; fewer where it is slow.
        shards: How many processes of this tap share the jobs.
        is_batch: The tap writes files and BATCH messages.
    """

    label: str
    environment: str = ""
    words: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict, hash=False)
    jobs: int = _JOBS
    shards: int = 1
    is_batch: bool = False

    @property
    def different(self) -> str:
        """The columns that only one event has in common."""
        job = "_jobs_job_id" if self.environment == "dlt" else "job_id"
        return f'({job}, "timestamp")'


_DLT = ("dlt_rest_api.py", "--database")
_WAYS = (
    Way("This tap"),
    Way("This tap, two shards", shards=2),
    Way("This tap, BATCH", is_batch=True),
    Way("This tap, BATCH, two shards", shards=2, is_batch=True),
    Way("dlt", "dlt", _DLT),
    Way("dlt, parallel", "dlt", (*_DLT[:1], "--parallel", *_DLT[1:]), _PARALLEL),
    Way("PyAirbyte", "pyairbyte", ("pyairbyte_load.py",), jobs=2),
)


def report(events: int, rounds: int) -> str:
    """Load in all ways in turn, after a warm-up; return the table.

    A way that fails is a line in the table.
    """
    took = defaultdict[str, list[Took]](list)
    failures: dict[str, str] = {}
    with TemporaryDirectory() as name, Postgres() as postgres:
        bench = _Bench(Path(name), postgres)
        for number in range(rounds + 1):
            rows = events // _JOBS if number else _WARM_UP_ROWS
            for way in _WAYS:
                if way.label in failures:
                    continue
                try:
                    one = bench.load(way, rows)
                except RunError as error:
                    failures[way.label] = str(error)
                    log(f"{way.label}: {error}")
                else:
                    log(f"{number}/{rounds} {way.label}: {one}")
                    took[way.label] += [one] if number else []
    lines = []
    for way in _WAYS:
        count = way.jobs * (events // _JOBS)
        cells = f"failed: {failures.get(way.label)}||"
        if way.label not in failures:
            seconds, cpu, *_ = map(median, zip(*took[way.label], strict=True))
            cells = f"{seconds:.1f}|{count / seconds:,.0f}|{cpu:.1f}"
        lines.append(f"{way.label}|{count:,}|{cells}")
    return table("program|events|seconds|events a second|CPU seconds", lines, texts=1)


class _Bench:
    """A Meltano project, and the database that all load into."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self._folder, self._postgres = folder, postgres
        self._project = Project(folder / "project")

    def load(self, way: Way, rows: int) -> Took:
        """Load jobs of so many events into a new table; every event must be there once.

        The command that makes the tables for shards runs before the clock starts, as it
        runs once in the life of a pipeline.
        """
        self._postgres.execute("drop schema if exists fullstory cascade")
        ids = [f"job-{number:05}" for number in range(way.jobs)]
        jobs = [Job(each, generate=rows, page_size=_PAGE_SIZE) for each in ids]
        with StandIn(*jobs) as api:
            api.encode()
            if way.shards > 1:
                self._run(blocks(_SHARDED, "sh")[0], way, api, ids)
            if way.environment:
                install(way.environment)
                command = self._peer(way, api, ids)
            else:
                command = self._pipeline(way)
            took = self._run(command, way, api, ids)
        query = (
            f"select count(*) as a, count(distinct {way.different}) as b"  # noqa: S608 - names
            " from fullstory.imported_events"
        )
        (found,) = self._postgres.query(query)
        if set(found.values()) != {len(ids) * rows}:
            raise RunError(f"rows and different rows: {found}")
        return took

    def _run(self, command: str, way: Way, api: StandIn, ids: list[str]) -> Took:
        (self._project.path / "job-ids.txt").write_text("\n".join(ids))
        batches = batches_in(self._new_folder()) if way.is_batch else {}
        environment = self._project.environment(
            TAP_FULLSTORY_IMPORTS_API_KEY=api.api_key,
            TAP_FULLSTORY_IMPORTS_API_URL=api.url,
            TAP_FULLSTORY_IMPORTS_JOBS_FILE="job-ids.txt",
            TAP_FULLSTORY_IMPORTS__SELECT='["imported_events.*"]',
            RUNTIME__DLTHUB_TELEMETRY="false",
            DO_NOT_TRACK="1",
            AIRBYTE_OFFLINE_MODE="1",
            **self._postgres.settings,
            **batches,
            **way.settings,
        )
        shell = ["/bin/sh", "-euc", command]
        return measure.run(shell, self._project.path, self._folder, environment)

    @staticmethod
    def _pipeline(way: Way) -> str:
        """Return the documented command, for one process or for several."""
        again = "--full-refresh --force"
        if way.shards == 1:
            return f"meltano --environment=prod run {again} {TAP} target-postgres"
        command = blocks(_SHARDED, "sh")[1]
        command = filled_in(command, {"SHARDS": str(way.shards)})
        return command.replace(" el ", f" el {again} ")

    def _peer(self, way: Way, api: StandIn, ids: list[str]) -> str:
        program, *options = way.words
        settings = self._folder / "config.json"
        content = {"api_key": api.api_key, "api_url": api.url, "job_ids": ids}
        settings.write_text(json.dumps(content | {"concurrency": 4}), encoding="utf-8")
        place = f"127.0.0.1:{self._postgres.port}/{DATABASE}"
        database = f"postgresql://{USER}:{quote(PASSWORD, safe='')}@{place}"
        words = [python_of(way.environment), PEERS / program, settings]
        return shlex.join([*map(str, [*words, self._new_folder()]), *options, database])

    def _new_folder(self) -> Path:
        return Path(mkdtemp(dir=self._folder))
