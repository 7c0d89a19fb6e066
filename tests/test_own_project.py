"""A user's own project: the README's commands, from an empty folder to rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread

import pytest

from scripts.plugin import RAW
from tests.postgres_server import DATABASE, PASSWORD, TIME_ZONE, USER
from tests.project import ROOT, TAP, Project, blocks, exact, filled_in
from tests.stand_in import Job, StandIn, make_events
from tests.test_targets import ZONE, moment

EVENTS = {f"job-{number}": make_events(40, seed=number) for number in range(3)}
CREATE, BY_CURL = (blocks("Before you start", kind)[0] for kind in ("python", "sh"))
LOGIN = {
    f"TARGET_POSTGRES_{name}": text
    for name, text in zip(
        ("HOST", "USER", "PASSWORD", "DATABASE"),
        ("127.0.0.1", USER, PASSWORD, DATABASE),
        strict=True,
    )
}


class Server(ThreadingHTTPServer):
    """Answers by a function of the request's handler, on a loopback address."""

    def __init__(self, answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = answer(self)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - as http.server calls it

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        super().__exit__()


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

    with Server(create) as server:
        yield server


@pytest.fixture(scope="module")
def github():
    """The files of this folder, by addresses of their own."""

    def answer(request):
        path = ROOT / request.path.removeprefix("/v0.1.0/")
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        return (200 if text else 404), text.replace(RAW, server.url).encode()

    with Server(answer) as server:
        yield server


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The folder of the tap's package, in the place of PyPI."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # noqa: S603
    return folder


class OwnProject(Project):
    """An empty folder."""

    def __init__(self, path):
        self.path = path


@pytest.fixture(scope="module")
def run(tmp_path_factory, api, github, wheel, imports):
    """Run commands in one folder, which is empty at first."""
    project = OwnProject(tmp_path_factory.mktemp("own project"))
    settings = {
        "FULLSTORY_API_KEY": api.api_key,
        "FULLSTORY_URL": imports.url,
        "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
        "MELTANO_VENV_BACKEND": "virtualenv",  # pip, with its settings
        "PIP_FIND_LINKS": f"{wheel} {os.environ.get('PIP_FIND_LINKS', '')}",
        "TAP_FULLSTORY_IMPORTS_API_URL": api.url,
    }

    def run(commands, **more):
        commands = commands.replace(RAW, github.url)
        return project.run("bash", "-euc", commands, **{**settings, **more})

    run.path = project.path
    return run


@pytest.mark.e2e
class TestOwnProject:
    def test_program_that_creates_imports_saves_their_ids(self, run):
        calls = "".join(f"create_import({rows!r})\n" for rows in EVENTS.values())
        (run.path / "create.py").write_text(f"{CREATE}\n{calls}")
        done = run("python create.py")
        assert done.returncode == 0, done.stderr
        lines = (run.path / "job-ids.csv").read_text().split()
        assert lines == ["job_id", *EVENTS]
        (run.path / "import.json").write_text(json.dumps({"requests": EVENTS["job-0"]}))
        done = run(BY_CURL)
        assert done.returncode == 0, done.stderr
        assert (run.path / "job-ids.txt").read_text() == "job-3\n"

    def test_commands_of_the_readme_load_every_row(self, run, api, postgres):
        (commands,) = blocks("In your own project", "sh")
        assert len(commands.replace("\\\n", "").splitlines()) <= 7
        values = {
            "TAP_FULLSTORY_IMPORTS_API_KEY": api.api_key,
            "TAP_FULLSTORY_IMPORTS_JOBS_FILE": f"{run.path}/job-ids.csv",
            **LOGIN,
        }
        port = {"TARGET_POSTGRES_PORT": postgres.settings["TARGET_POSTGRES_PORT"]}
        done = run(filled_in(commands, values), **port)
        assert done.returncode == 0, done.stdout + done.stderr
        loaded = postgres.query(
            "select * from fullstory.imported_events order by job_id, event_index"
        )
        rows = [
            {"job_id": job_id, "event_index": index, **row}
            for job_id, events in EVENTS.items()
            for index, row in enumerate(events)
        ]
        assert len(loaded) == len(rows)
        for found, row in zip(loaded, rows, strict=True):
            assert moment(found.pop("timestamp")) == moment(row.pop("timestamp"))
            own = {name: found[name] for name in found if name[:4] != "_sdc"}
            assert exact(own) == exact({**dict.fromkeys(own), **row})
        assert postgres.query(ZONE) == [{"setting": TIME_ZONE}]

    def test_settings_are_those_of_the_demo(self, run, tmp_path):
        show = "meltano config print target-postgres"
        own = run(f"cd warehouse; {show}")
        assert own.returncode == 0, own.stderr
        demo = Project(tmp_path / "demo").run(*show.split())
        assert json.loads(own.stdout) == json.loads(demo.stdout)
        assert json.loads(own.stdout)["use_copy"] is True

    def test_second_run_asks_for_nothing(self, run, api, postgres):
        api.clear()
        done = run(
            f"cd warehouse; meltano run {TAP} target-postgres",
            TAP_FULLSTORY_IMPORTS_API_KEY=api.api_key,
            TAP_FULLSTORY_IMPORTS_JOBS_FILE=f"{run.path}/job-ids.csv",
            **postgres.settings,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert api.requests == []
