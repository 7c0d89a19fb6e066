"""The file of job IDs: as CSV, and at an address."""

from __future__ import annotations

import gzip
import ssl
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.stand_in import Job, make_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness import Folder, Run
    from tests.stand_in import StandIn


def add_jobs(api: StandIn, *job_ids: str) -> None:
    """Put small jobs into the stand-in."""
    api.add(*(Job(job_id, rows=make_events(1)) for job_id in job_ids))


def asked(api: StandIn) -> list[str | None]:
    """The IDs of the jobs that were read, in order."""
    return [request.job_id for request in api.asked(endpoint="imports")]


def refusal(run: Run) -> str:
    """The sentence with which a run was refused."""
    assert run.status == 1
    assert run.stdout == b""
    assert "Traceback" not in run.stderr
    [error] = run.errors
    assert error.startswith("`jobs_file`")
    return error


# CSV

CSV = {
    "one column": ("job_id\na\nb\n", ["a", "b"]),
    "id": ("id,created\na,2026-01-15\nb,2026-01-16", ["a", "b"]),
    "job_id comes before id": ("id,job_id\n1,a\n2,b\n", ["a", "b"]),
    "upper case": ('"NAME","JOB_ID"\n"x","a"\n', ["a"]),
    "BOM and CRLF": ("\ufeffname, job_id\r\nx, a\r\ny,b\r\n", ["a", "b"]),
    "quotes": ('job_id,note\n"a,""1""","x, y"\nb,"two\nlines"\nc,\n', None),
    "comments before the header": ("# May\n\n # June\njob_id\na\n", ["a"]),
    "no comments after it": ("job_id\n#a\nb\n", ["#a", "b"]),
    "blank lines and empty cells": ('job_id,n\n\na,1\n,2\n"",3\n" ",4\n', ["a"]),
    "a long column": (f"note,job_id\n{'x' * 200_000},a\n", ["a"]),
    "a number": ("job_id\n007\n", ["007"]),
}


@pytest.mark.parametrize(("content", "job_ids"), CSV.values(), ids=[*CSV])
def test_csv_with_a_header_gives_the_ids_in_its_column(
    tap: Folder, api: StandIn, content: str, job_ids: list[str] | None
) -> None:
    """As databases and spreadsheets export it."""
    job_ids = job_ids or ['a,"1"', "b", "c"]
    add_jobs(api, *job_ids)
    path = tap.write("jobs.csv", content.encode())
    run = tap.run(jobs_file=str(path))
    assert run.status == 0, run.errors
    assert asked(api) == job_ids


@pytest.mark.parametrize(
    "content",
    ["a,b\nid\n", "ids\nb\n", "job_ids\n", "abc id\n", '"job_id\n', "a\njob_id\nb\n"],
)
def test_a_file_without_such_a_header_has_an_id_on_each_line(
    tap: Folder, api: StandIn, content: str
) -> None:
    """Only the first line decides."""
    job_ids = content.splitlines()
    add_jobs(api, *job_ids)
    run = tap.run(jobs_file=str(tap.write("jobs.txt", content.encode())))
    assert run.status == 0, run.errors
    assert asked(api) == job_ids


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("# May\nid,n\na,1\nb\n", "line 4: this row has 1 columns"),
        ("id,n\na,1,2\n", "line 2: this row has 3 columns"),
        ('id,n\n"a\nb",1\n', "line 3: a job ID can't have control characters"),
        ('id,n\na,"1\n', "line 2: this is not valid CSV"),
        ('id,n\na,"1"x\n', "line 2: this is not valid CSV"),
        ("id,n,ID\na,1,b\n", "more than one column `id`"),
        ("id\n..\n", "line 2: `..` can't be a job ID"),
    ],
)
def test_csv_that_cannot_be_used_is_refused_with_the_line(
    tap: Folder, api: StandIn, content: str, words: str
) -> None:
    """An ID that was read from another column would be another job."""
    path = tap.write("jobs.csv", content.encode())
    assert words in refusal(tap.run(jobs_file=str(path)))
    assert not api.requests


def test_csv_without_rows_has_no_jobs(tap: Folder, api: StandIn) -> None:
    """Its header is no job ID."""
    run = tap.run(jobs_file=str(tap.write("jobs.csv", "job_id\n")))
    assert run.status == 1
    assert "There is no job to read" in run.errors[0]
    assert not api.requests


# Web servers

SIGNATURE = "X-Signature=c2VjcmV0LXNpZ25hdHVyZQ"
MIB = b"#" * 1023 + b"\n"


class Files(ThreadingHTTPServer):
    """A web server. A context manager: it serves in a thread of its own.

    Attributes:
        answers: What each path gives: a text, or a function that takes the handler.
        asked: The paths of all requests, with their queries.
    """

    daemon_threads = True
    answers: dict[str, str | Callable[[Handler], None]]
    asked: list[str]

    def __init__(self) -> None:
        """Listen on 127.0.0.1."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answers, self.asked, self.is_over = {}, [], threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """A client that goes is no fault of the test."""


class Handler(BaseHTTPRequestHandler):
    """Gives the answers of its server."""

    server: Files

    def do_GET(self) -> None:
        """Answer."""
        self.server.asked.append(self.path)
        answer = self.server.answers.get(self.path.partition("?")[0])
        if answer is None:
            self.start(404)
        elif isinstance(answer, str):
            self.start(200, content_length=len(answer.encode()))
            self.wfile.write(answer.encode())
        else:
            answer(self)

    def start(self, status: int, **headers: object) -> None:
        """Send the status and the headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture
def files() -> Iterator[Files]:
    """A web server without files."""
    with Files() as server:
        yield server
        server.is_over.set()
        server.shutdown()


def redirect(to: str, status: int = 302) -> Callable[[Handler], None]:
    """An answer that leads to another address."""
    return lambda handler: handler.start(status, location=to, content_length=0)


def failing(status: int) -> Callable[[Handler], None]:
    """An answer without a file."""
    return lambda handler: handler.start(status, content_length=0)


@pytest.mark.parametrize("setting", ["jobs_file", "user_jobs_file"])
def test_a_jobs_file_can_be_on_a_web_server(
    tap: Folder, api: StandIn, files: Files, setting: str
) -> None:
    """In every form, and the signature reaches the server as it is."""
    kind = "users" if setting == "user_jobs_file" else "events"
    tap.streams = ("user_import_jobs" if kind == "users" else "import_jobs",)
    api.add(Job("a", kind=kind), Job("b", kind=kind))
    files.answers["/x%2Fy.csv"] = "id,job_id\r\n1,a\r\n2,b\r\n"
    query = f"a=%2B%2F%20&{SIGNATURE}"
    settings: Any = {setting: f"{files.url}/x%2Fy.csv?{query}"}
    run = tap.run(**settings)
    assert run.status == 0, run.errors
    assert [request.job_id for request in api.requests] == ["a", "b"]
    assert files.asked == [f"/x%2Fy.csv?{query}"]
    assert SIGNATURE not in run.stderr


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(
    tap: Folder, api: StandIn, files: Files, status: int
) -> None:
    """To a path or to an address."""
    add_jobs(api, "a")
    files.answers["/1"] = redirect("/2", status)
    files.answers["/2"] = redirect(f"{files.url}/3?{SIGNATURE}", status)
    files.answers["/3"] = "a\n"
    run = tap.run(jobs_file=f"{files.url}/1")
    assert run.status == 0, run.errors
    assert files.asked == ["/1", "/2", f"/3?{SIGNATURE}"]


@pytest.mark.parametrize(
    "target",
    [
        "http://example.com/jobs",
        "file:///etc/passwd",
        "ftp://127.0.0.1/jobs",
        "https://user:word@127.0.0.1/jobs",
        "//example.com/jobs",
        "https://[/jobs",
    ],
)
def test_a_redirect_to_an_unsafe_address_is_refused(
    tap: Folder, files: Files, target: str
) -> None:
    """Without a request there."""
    files.answers["/jobs"] = redirect(target)
    sentence = refusal(tap.run(jobs_file=f"{files.url}/jobs?{SIGNATURE}"))
    assert "redirects to an address that is not https://" in sentence
    assert SIGNATURE not in sentence


@pytest.mark.parametrize("start", ["https:/127.0.0.1", "s3:/bucket", "https:/a..b"])
def test_a_misspelled_address_is_refused_without_its_query(
    tap: Folder, start: str
) -> None:
    """With a slash too few: it is not taken for the path of a file."""
    run = tap.run(jobs_file=f"{start}/jobs?{SIGNATURE}")
    assert "must " in refusal(run)
    assert SIGNATURE not in run.stderr


def test_a_host_that_can_not_exist_is_refused_in_one_sentence(tap: Folder) -> None:
    sentence = refusal(tap.run(jobs_file="https://a..b/jobs"))
    assert "https://a..b/jobs can't be read: " in sentence
    assert not sentence.endswith("..")


def test_redirects_in_a_circle_end(tap: Folder, files: Files) -> None:
    """After five of them."""
    files.answers["/jobs"] = redirect("/jobs")
    sentence = refusal(tap.run(jobs_file=f"{files.url}/jobs"))
    assert "too many redirects" in sentence
    assert len(files.asked) == 6


def test_redirects_share_one_time_limit(tap: Folder, files: Files) -> None:
    def lead_on(handler: Handler) -> None:
        handler.server.is_over.wait(0.3)
        redirect("/jobs")(handler)

    files.answers["/jobs"] = lead_on
    sentence = refusal(tap.run(jobs_file=f"{files.url}/jobs", request_timeout=0.5))
    assert "no answer within 0.5 s" in sentence
    assert len(files.asked) <= 2


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "access is denied (401)"),
        (403, "access is denied, or a signed address has expired (403)"),
        (404, "there is no such file (404)"),
        (204, "the server gives no file (204)"),
        (206, "the server gives no file (206)"),
        (500, "the server gives no file (500)"),
        (599, "the server gives no file (599)"),
    ],
)
def test_an_answer_without_a_file_is_refused_in_a_sentence(
    tap: Folder, api: StandIn, files: Files, status: int, words: str
) -> None:
    """With the address, but without its query."""
    files.answers["/jobs"] = failing(status)
    run = tap.run(jobs_file=f"{files.url}/jobs?{SIGNATURE}", job_ids=["a"])
    sentence = refusal(run)
    assert sentence == f"`jobs_file`: {files.url}/jobs can't be read: {words}."
    assert SIGNATURE not in run.stderr
    assert not api.requests


def test_a_login_page_is_no_jobs_file(tap: Folder, files: Files) -> None:
    """Its lines would be taken for job IDs."""

    def page(handler: Handler) -> None:
        handler.start(200, content_type="text/html; charset=utf-8")
        handler.wfile.write(b"<html>\n")

    files.answers["/jobs"] = page
    assert "is a web page" in refusal(tap.run(jobs_file=f"{files.url}/jobs"))


def _endless(handler: Handler) -> None:
    handler.start(200)
    with suppress(OSError):
        while not handler.server.is_over.is_set():
            handler.wfile.write(MIB * 64)


def _bomb(handler: Handler) -> None:
    body = gzip.compress(MIB * 1024 * 65, compresslevel=1)
    handler.start(200, content_encoding="gzip", content_length=len(body))
    with suppress(OSError):
        handler.wfile.write(body)


@pytest.mark.parametrize("answer", [_endless, _bomb])
def test_a_file_of_more_than_64_mib_is_refused_while_it_is_read(
    tap: Folder, files: Files, answer: Callable[[Handler], None]
) -> None:
    """No header says how long it is, or how long when decompressed."""
    files.answers["/jobs"] = answer
    sentence = refusal(tap.run(jobs_file=f"{files.url}/jobs"))
    assert sentence == f"`jobs_file`: {files.url}/jobs is larger than 64 MiB."


def _silent(handler: Handler) -> None:
    handler.server.is_over.wait(20)


def _trickling(handler: Handler) -> None:
    handler.start(200)
    with suppress(OSError):
        while not handler.server.is_over.wait(0.02):
            handler.wfile.write(b"a\n")


@pytest.mark.parametrize("answer", [_silent, _trickling])
def test_a_slow_server_ends_the_run_at_the_time_limit(
    tap: Folder, files: Files, answer: Callable[[Handler], None]
) -> None:
    """Also one that always has something to say."""
    files.answers["/jobs"] = answer
    sentence = refusal(tap.run(jobs_file=f"{files.url}/jobs", request_timeout=0.3))
    assert sentence.endswith("can't be read: no answer within 0.3 s.")


def test_a_file_that_is_cut_off_is_refused(tap: Folder, files: Files) -> None:
    """Jobs would be missing."""

    def cut_off(handler: Handler) -> None:
        handler.start(200, content_length=100)
        handler.wfile.write(b"a\nb\n")

    files.answers["/jobs"] = cut_off
    sentence = refusal(tap.run(jobs_file=f"{files.url}/jobs"))
    assert sentence.endswith("can't be read: the answer was cut off.")


def test_a_server_that_is_not_there_is_named_without_the_query(
    tap: Folder, files: Files
) -> None:
    """The messages of requests hold it."""
    files.shutdown()
    files.server_close()
    sentence = refusal(tap.run(jobs_file=f"{files.url}/jobs?{SIGNATURE}"))
    assert f"{files.url}/jobs can't be read: the connection failed" in sentence
    assert SIGNATURE not in sentence


def test_a_file_that_is_not_text_is_refused_without_the_query(
    tap: Folder, files: Files
) -> None:
    """As one on this machine is."""

    def picture(handler: Handler) -> None:
        handler.start(200)
        handler.wfile.write(b"\x89PNG\r\n\x1a\n")

    files.answers["/jobs"] = picture
    sentence = refusal(tap.run(jobs_file=f"{files.url}/jobs?{SIGNATURE}"))
    assert "is not a text file in UTF-8" in sentence
    assert SIGNATURE not in sentence


@pytest.mark.parametrize(
    "address",
    [
        "http://example.com/jobs",
        "http://192.168.0.1/jobs",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "local:///etc/passwd",
        "ftp://127.0.0.1/jobs",
        "sftp://127.0.0.1/jobs",
        "github://a:b@/jobs",
        "memory://jobs",
        "data://text/plain,a",
        "reference://x",
        "gcs://bucket/jobs",
        "s3a://bucket/jobs",
        "simplecache::s3://bucket/jobs",
        "zip://jobs.txt::file:///tmp/jobs.zip",
        "s3://bucket/jobs::file:///etc/passwd",
        "s3://zip::file:///tmp/jobs.zip",
        "az://simplecache::file:///etc/passwd",
        "https://",
        "https:///jobs",
        "https://[::1/jobs",
        "https://localhost:port/jobs",
        "https://local host/jobs",
        "https://localhost/jo\nbs",
        "https://user:word@localhost/jobs",
        "s3://key:word@bucket/jobs",
        "s3://bucket",
        "s3://bucket/",
        "gs://",
        "://",
    ],
)
def test_an_address_that_is_not_allowed_is_refused(
    tap: Folder, api: StandIn, address: str
) -> None:
    """Without a request; and it is not repeated, because it may hold a secret."""
    sentence = refusal(tap.run(jobs_file=address, job_ids=["a"]))
    assert "address" in sentence or "must have the form" in sentence
    assert not any(secret in sentence for secret in ("word@", "passwd", "data:"))
    assert not api.requests


def test_a_path_can_have_colons_and_slashes(tap: Folder, api: StandIn) -> None:
    """A path that begins with `/`, `./` or `~` is never an address."""
    add_jobs(api, "a")
    (tap.path / "s3:").mkdir()
    path = tap.write("s3:/jobs.txt", "a\n")
    assert tap.run(jobs_file=str(path).replace("s3:/", "s3://")).status == 0


@pytest.mark.parametrize("level", ["info", "debug"])
def test_no_log_line_holds_the_query(
    tap: Folder,
    api: StandIn,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    level: str,
) -> None:
    """urllib3 logs each address at the level DEBUG."""
    monkeypatch.setenv("TAP_FULLSTORY_IMPORTS_LOGLEVEL", level)
    monkeypatch.setenv("LOGLEVEL", level)
    add_jobs(api, "a")
    files.answers["/jobs"] = "a\n"
    run = tap.run(jobs_file=f"{files.url}/jobs?{SIGNATURE}")
    assert run.status == 0
    assert SIGNATURE not in run.stderr
    assert SIGNATURE.partition("=")[2] not in run.stderr


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the server's sockets
@pytest.mark.parametrize("redirects", [False, True])
def test_https_is_checked_and_never_left(
    tap: Folder,
    api: StandIn,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    redirects: bool,  # noqa: FBT001
) -> None:
    """A redirect to plain http is refused, also to this machine."""
    add_jobs(api, "a")
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Files() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        files.answers["/jobs"] = "a\n"
        to = f"{files.url}/jobs"
        server.answers["/jobs"] = redirect(to) if redirects else "a\n"
        settings: Any = {
            "jobs_file": f"https://localhost:{server.server_port}/jobs",
            "request_timeout": 5,
        }
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        assert "no secure connection" in refusal(tap.run(**settings))
        bundle = tap.path / "ca.pem"
        authority.cert_pem.write_to_path(str(bundle))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        run = tap.run(**settings)
        server.shutdown()
    if redirects:
        assert "redirects to an address that is not https://" in refusal(run)
        assert not files.asked
    else:
        assert run.status == 0, run.errors


# Object stores


@pytest.mark.parametrize(
    ("address", "extra"),
    [("s3://b/x", "s3"), ("gs://b/x", "gcs"), ("az://b/x", "azure")],
)
def test_a_missing_extra_is_named(
    tap: Folder, monkeypatch: pytest.MonkeyPatch, address: str, extra: str
) -> None:
    """With the command that installs it."""
    for module in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, module, None)
    sentence = refusal(tap.run(jobs_file=f"{address}?{SIGNATURE}"))
    assert address in sentence
    assert f"pip install 'tap-fullstory-imports[{extra}]'" in sentence
    assert SIGNATURE not in sentence
