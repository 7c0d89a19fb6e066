"""What the tests of the examples share: a user's own project, rows, and shards."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from zlib import crc32

from scripts.plugin import RAW
from tests.project import ROOT, exact
from tests.stand_in import make_events

JOBS = {f"job-{number}": make_events(20, seed=number) for number in range(12)}
LATE = {"late": make_events(30, seed=99)}
"""A job that the API does not know in the first run."""
QUIET = {
    "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
    "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
}


def shard_of(job_id, shards):
    """Where a job falls, counted from 0."""
    return crc32(job_id.encode()) % shards


def loaded(postgres):
    """The events that have been loaded."""
    rows = postgres.query(
        "select job_id, event_index, name, properties from fullstory.imported_events"
        " order by job_id, event_index"
    )
    return [exact(row) for row in rows]


def expected(jobs):
    """The events of jobs, as they are to be loaded."""
    return [
        exact(
            {
                "job_id": job_id,
                "event_index": index,
                "name": row["name"],
                "properties": row["properties"],
            }
        )
        for job_id in sorted(jobs)
        for index, row in enumerate(jobs[job_id])
    ]


@contextmanager
def serving(answer):
    """A server on a loopback address, whose answers a function makes; its address."""

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

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def published(folder):
    """The project as if it were on GitHub and PyPI: its address, and settings of uv."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # noqa: S603

    def answer(request):
        path = ROOT / request.path.removeprefix("/v0.1.0/")
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        return (200 if text else 404), text.replace(RAW, url).encode()

    with serving(answer) as url:
        yield url, {"UV_FIND_LINKS": str(folder)}


def definitions(url):
    """The tap and target-postgres as `meltano add --from-ref` writes them."""
    found = {}
    for kind, name in (("extractors", "tap-*"), ("loaders", "target-postgres*")):
        (lock,) = (ROOT / "plugins" / kind).glob(f"{name}.lock")
        definition = json.loads(lock.read_text(encoding="utf-8").replace(RAW, url))
        del definition["plugin_type"]
        found[kind] = [definition]
    return found
