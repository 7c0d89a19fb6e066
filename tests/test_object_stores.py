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
from urllib.parse import quote

import pytest
import requests

from tests.harness import Run
from tests.test_jobs_file import add_jobs, asked

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv" / "stores" / "bin" / "python"
SECRET_KEY = "c2VjcmV0LWtleS1vZi1hLXN0b3Jl"  # noqa: S105 - belongs to no account
CSV = 'name,job_id\r\n"x, y",a\r\nz,b\r\n'


@pytest.fixture(scope="module")
def s3():
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


def run(tap, environment, **settings):
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


def aws(url):
    return {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }


def test_a_jobs_file_can_be_in_s3(tap, api, s3):
    """At debug level, too, no log line holds the secret key or a header."""
    add_jobs(api, "a", "b")
    key = "2026/ü #1.csv"
    put = requests.put(f"{s3}/lists/{quote(key)}", data=CSV.encode(), timeout=10)
    put.raise_for_status()
    environment = {**aws(s3), "TAP_FULLSTORY_IMPORTS_LOGLEVEL": "DEBUG"}
    done = run(tap, environment, jobs_file=f"s3://lists/{key}")
    assert done.status == 0, done.errors
    assert asked(api) == ["a", "b"]
    assert "authorization" not in done.stderr.lower()


READ = """
import json, os, sys
from singer_sdk.exceptions import ConfigValidationError
from tap_fullstory_imports.settings import job_ids

job_ids.MOST_BYTES = 1024**2
for environment, address in json.loads(sys.argv[1]):
    os.environ.update(environment)
    try:
        seconds = 0.5 if "slow" in address else 20
        print(json.dumps(job_ids.read_text(address, "`jobs_file`", seconds)))
    except ConfigValidationError as error:
        print(json.dumps(error.errors[0]))
"""


def test_an_object_that_cannot_be_read_is_refused_in_a_sentence(s3):
    """One process reads them all, because the libraries take long to start."""
    requests.put(f"{s3}/lists/empty", data=b"", timeout=10).raise_for_status()
    large = requests.put(f"{s3}/lists/large", data=b"#" * 1024**2 + b"#", timeout=10)
    large.raise_for_status()
    without_credentials = {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
    }
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cases: list[tuple[dict[str, str], str]] = [
            (aws(s3), "s3://lists/missing"),
            ({}, "s3://lists/empty"),
            ({}, "s3://lists/large"),
            (aws(f"http://127.0.0.1:{silent.getsockname()[1]}"), "s3://lists/slow"),
            (without_credentials, "s3://lists/jobs"),
            ({}, "az://lists/jobs"),
        ]
        done = subprocess.run(  # noqa: S603 - the tap's own module
            [str(PYTHON), "-c", READ, json.dumps(cases)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
            timeout=50,
        )
    missing, empty, large_one, slow, s3_jobs, az_jobs = map(
        json.loads, done.stdout.splitlines()
    )
    assert "s3://lists/missing can't be read: " in missing
    assert "FileNotFoundError" in missing
    assert not empty
    assert large_one == "`jobs_file`: s3://lists/large is larger than 64 MiB."
    assert slow == "`jobs_file`: s3://lists/slow can't be read: no answer within 0.5 s."
    assert "s3://lists/jobs can't be read: Unable to locate credentials" in s3_jobs
    assert "az://lists/jobs can't be read: " in az_jobs
    assert "account_name" in az_jobs
    assert SECRET_KEY not in done.stderr.decode()
