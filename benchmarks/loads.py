"""From the API into a database: the ways that are compared, and a run of each."""

from __future__ import annotations

import json
import resource
import shlex
import subprocess
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import quote
from zlib import crc32

from benchmarks.programs import HERE, python_of
from benchmarks.scenarios import API_KEY, CONCURRENCY
from tests.postgres_server import DATABASE, PASSWORD, USER, Postgres
from tests.project import TAP, Project, batches_in, blocks, filled_in
from tests.stand_in import make_events

LIMIT_SECONDS = 300
SHARDS = 2
FAULTS = (RuntimeError, subprocess.SubprocessError)
# target-postgres's own defaults, which `meltano.yml` had before.
BEFORE = {
    "TARGET_POSTGRES_VALIDATE_RECORDS": "true",
    "TARGET_POSTGRES_BATCH_SIZE_ROWS": "10000",
}
_OURS = """
    select count(*) as rows, max(_sdc_batched_at)::text as last,
    sum(hashtextextended(t::text, 0)) as hash from fullstory.imported_events t
"""


@dataclass(frozen=True)
class Way:
    """A way for the events to go.

    Attributes:
        label: How the table names it.
        peer: The peer's environment; empty: this tap, through Meltano.
        words: Of the peer's command line: its program, and what follows the database.
        shards: How many processes of this tap share the jobs.
        settings: More settings of the target's.
        share: The share of the events that a slow way loads.
        batch: Whether the events go in files, by BATCH messages.
    """

    label: str
    peer: str = ""
    words: tuple[str, ...] = ()
    shards: int = 1
    settings: dict[str, str] = field(default_factory=dict, hash=False)
    share: float = 1.0
    batch: bool = False

    @property
    def job(self) -> str:
        """The column that has the job's ID."""
        return "_jobs_job_id" if self.peer == "dlt" else "job_id"


def all_ways() -> list[Way]:
    """What is compared."""
    return [
        Way("This tap"),
        Way("This tap, two shards", shards=SHARDS),
        Way("dlt", "dlt", ("dlt_load",)),
        Way("dlt, its parallel loading", "dlt", ("dlt_load", "parallel")),
        Way("PyAirbyte", "pyairbyte", ("pyairbyte_load",), share=0.2),
        Way("This tap, BATCH", batch=True),
        Way("This tap, BATCH, two shards", shards=SHARDS, batch=True),
        Way("This tap, checks and batches as before", settings=BEFORE),
    ]


@dataclass(frozen=True)
class Load:
    """What a run took."""

    seconds: float
    cpu_seconds: float


@cache
def _letters(job_id: str, rows: int) -> int:
    """How many letters the names of a job's events have."""
    events = make_events(rows, seed=crc32(job_id.encode()))
    return sum(len(event["name"]) for event in events)


class Bench:
    """A Meltano project, and the databases that all load into."""

    def __init__(self, folder: Path, jobs: list[str]) -> None:
        """Make the project."""
        self.project = Project(folder / "project")
        self.postgres = Postgres()
        self._folder, self._jobs = folder, jobs

    def prepare(self, url: str) -> None:
        """Make Meltano's database, by the documented command."""
        self._run(blocks("Side by side on one machine", "sh")[0], url, self._jobs, {})

    def load(self, way: Way, url: str, jobs: int, rows: int) -> Load:
        """Load the events of so many jobs, of so many rows each, into new tables.

        Raises:
            RuntimeError: If the run fails, or not every row has arrived once.
        """
        self.postgres.execute("drop schema if exists fullstory cascade")
        if way.shards > 1:
            self.prepare(url)
        ids = self._jobs[:jobs]
        command = self._peer(way, url, ids) if way.peer else self._pipeline(way)
        settings = way.settings | (batches_in(self._new_folder()) if way.batch else {})
        took = self._run(command, url, ids, settings)
        letters = sum(_letters(job_id, rows) for job_id in ids)
        expected = (jobs * rows, jobs * rows, letters)
        if (found := self._found(way)) != expected:
            raise RuntimeError(
                f"rows, different rows, letters: {found}, not {expected}"
            )
        return took

    def load_again(self, way: Way, url: str, jobs: int) -> str:
        """Repeat the last load of this tap; what has changed."""
        before = self.postgres.query(_OURS)
        command = self._pipeline(way).replace(" --full-refresh --force", "")
        self._run(command, url, self._jobs[:jobs], way.settings)
        after = self.postgres.query(_OURS)
        return "" if after == before else f"{before} became {after}"

    def _run(
        self, command: str, url: str, ids: list[str], settings: dict[str, str]
    ) -> Load:
        (self.project.path / "job-ids.txt").write_text("\n".join(ids))
        environment = self.project.environment(
            TAP_FULLSTORY_IMPORTS_API_KEY=API_KEY,
            TAP_FULLSTORY_IMPORTS_API_URL=url,
            TAP_FULLSTORY_IMPORTS_JOBS_FILE="job-ids.txt",
            TAP_FULLSTORY_IMPORTS__SELECT='["imported_events.*"]',
            RUNTIME__DLTHUB_TELEMETRY="false",
            DO_NOT_TRACK="1",
            AIRBYTE_OFFLINE_MODE="1",
            **self.postgres.settings,
            **settings,
        )
        log = self._folder / "log"
        with log.open("wb") as output:
            started, cpu = time.perf_counter(), _cpu_seconds()
            status = subprocess.run(  # noqa: S603 - the shell
                ["/bin/sh", "-euc", command],
                cwd=self.project.path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                timeout=LIMIT_SECONDS,
            ).returncode
            took = Load(time.perf_counter() - started, _cpu_seconds() - cpu)
        if status:
            text = log.read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"exit code {status}:\n{text[-2000:]}")
        return took

    def _new_folder(self) -> Path:
        return Path(mkdtemp(dir=self._folder))

    @staticmethod
    def _pipeline(way: Way) -> str:
        """The documented command, for one process or for several."""
        again = "--full-refresh --force"
        if way.shards == 1:
            return f"meltano --environment=prod run {again} {TAP} target-postgres"
        command = blocks("Side by side on one machine", "sh")[1]
        command = filled_in(command, {"SHARDS": str(way.shards)})
        return command.replace(" el ", f" el {again} ")

    def _peer(self, way: Way, url: str, ids: list[str]) -> str:
        script, *options = way.words
        settings = self._folder / "config.json"
        content = {
            "api_key": API_KEY,
            "api_url": url,
            "job_ids": ids,
            "concurrency": CONCURRENCY,
        }
        settings.write_text(json.dumps(content), encoding="utf-8")
        folder = self._new_folder()
        place = f"127.0.0.1:{self.postgres.port}/{DATABASE}"
        database = f"postgresql://{USER}:{quote(PASSWORD, safe='')}@{place}"
        words = [python_of(way.peer), HERE / "peers" / f"{script}.py", settings, folder]
        return shlex.join([*map(str, words), database, *options])

    def _found(self, way: Way) -> tuple[int, int, int]:
        """How many rows and different events there are, and the names' letters.

        The times of a job's events are different.
        """
        query = (
            f'select count(*) as a, count(distinct ({way.job}, "timestamp")) as b,'  # noqa: S608 - names
            " sum(length(name)) as c from fullstory.imported_events"
        )
        (row,) = self.postgres.query(query)
        return int(row["a"]), int(row["b"]), int(row["c"] or 0)


def _cpu_seconds() -> float:
    """The CPU seconds of all programs that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
