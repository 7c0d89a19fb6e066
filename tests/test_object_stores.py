"""The file of job IDs in an object store, read by the tap with its extras.

They have an environment of their own, `.venv/stores`: with the server that stands in
for S3, they need a hundred packages that no other test needs.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests

from tests.harness import Run
from tests.test_jobs_file import Files, add_jobs, asked, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness import Folder
    from tests.stand_in import StandIn
    from tests.test_jobs_file import Handler

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv" / "stores" / "bin" / "python"
SECRET_KEY = "c2VjcmV0LWtleS1vZi1hLXN0b3Jl"  # noqa: S105 - of no account
CSV = 'name,job_id\r\n"x, y",a\r\nz,b\r\n'


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a server that stands in for S3, with the bucket `lists`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(  # noqa: S603 - moto
        [str(PYTHON), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            try:
                requests.put(f"{url}/lists", timeout=10).raise_for_status()
                break
            except requests.ConnectionError:
                time.sleep(0.1)  # until it listens
        yield url
    finally:
        server.terminate()
        server.wait()


def run(tap: Folder, environment: dict[str, str], **settings: Any) -> Run:
    """Run the command line where the extras are; sockets left open are faults."""
    line = [str(PYTHON), "-W", "error::ResourceWarning", "-m", "tap_fullstory_imports"]
    done = subprocess.run(  # noqa: S603 - the tap itself
        [*line, *tap.arguments(**settings)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=tap.path,
        capture_output=True,
        check=False,
        timeout=100,
    )
    log = done.stderr.decode()
    for sign in ("Traceback", "Exception ignored", "Unclosed", SECRET_KEY):
        assert sign not in log
    return Run(done.returncode, done.stdout, log)


def aws(url: str) -> dict[str, str]:
    """The variables that lead to a server of S3."""
    return {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }


@pytest.mark.parametrize("key", ["2026/jobs.csv", "ü #1.csv"])
def test_a_jobs_file_can_be_in_s3(tap: Folder, api: StandIn, s3: str, key: str) -> None:
    """At debug level, too, no log line holds the secret key or a header."""
    add_jobs(api, "a", "b")
    put = requests.put(f"{s3}/lists/{quote(key)}", data=CSV.encode(), timeout=10)
    put.raise_for_status()
    environment = {**aws(s3), "TAP_FULLSTORY_IMPORTS_LOGLEVEL": "DEBUG"}
    done = run(tap, environment, jobs_file=f"s3://lists/{key}")
    assert done.status == 0, done.errors
    assert asked(api) == ["a", "b"]
    assert "authorization" not in done.stderr.lower()


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (-1, "s3://lists/-1 can't be read: there is no such file"),
        (0, "There is no job to read"),
        (64 * 1024 * 1024 + 1, "s3://lists/67108865 is larger than 64 MiB"),
    ],
)
def test_an_object_that_cannot_be_used_is_refused(
    tap: Folder, s3: str, size: int, words: str
) -> None:
    """In a sentence with its address."""
    if size >= 0:
        requests.put(f"{s3}/lists/{size}", data=b"#" * size, timeout=30)
    done = run(tap, aws(s3), jobs_file=f"s3://lists/{size}")
    assert done.status == 1
    assert words in done.errors[0]


def _silent(handler: Handler) -> None:
    handler.server.is_over.wait(60)


def test_a_silent_store_ends_the_run_at_the_time_limit(tap: Folder) -> None:
    """However long its library would wait."""
    with Files() as server:
        server.answers["/lists/jobs"] = _silent
        done = run(
            tap, aws(server.url), jobs_file="s3://lists/jobs", request_timeout=0.5
        )
        server.is_over.set()
        server.shutdown()
    assert refusal(done) == (
        "`jobs_file`: s3://lists/jobs can't be read: no answer within 0.5 s."
    )


def test_a_store_without_credentials_is_refused_in_a_sentence(tap: Folder) -> None:
    """No library finds any."""
    nowhere = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
    }
    sentence = refusal(run(tap, nowhere, jobs_file="s3://lists/jobs"))
    assert "s3://lists/jobs can't be read: Unable to locate credentials" in sentence
    sentence = refusal(run(tap, {}, jobs_file="az://lists/jobs"))
    assert "az://lists/jobs can't be read: " in sentence
    assert "account_name" in sentence


def test_a_jobs_file_can_be_in_google_cloud_storage(tap: Folder, api: StandIn) -> None:
    """Its library asks for the object's size, and for the object."""
    add_jobs(api, "a", "b")

    def details(handler: Handler) -> None:
        handler.start(200, content_type="application/json")
        size = str(len(CSV))
        found = {"name": "jobs.csv", "bucket": "lists", "size": size, "generation": "1"}
        handler.wfile.write(json.dumps(found).encode())

    with Files() as server:
        server.answers["/storage/v1/b/lists/o/jobs.csv"] = details
        server.answers["/download/storage/v1/b/lists/o/jobs.csv"] = CSV
        environment = {"STORAGE_EMULATOR_HOST": server.url, "FSSPEC_GS_TOKEN": "anon"}
        done = run(tap, environment, jobs_file="gs://lists/jobs.csv")
        server.shutdown()
    assert done.status == 0, (done.errors, server.asked)
    assert asked(api) == ["a", "b"]
