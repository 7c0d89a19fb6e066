"""The file of job IDs: its forms, and where it can be."""

from __future__ import annotations

import gzip
import os
import ssl
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme

from tests.harness import run as run_in_this_process
from tests.stand_in import Job, make_events


def add_jobs(api, *job_ids):
    api.add(*(Job(job_id, rows=make_events(1)) for job_id in job_ids))


def asked(api):
    return [request.job_id for request in api.asked(endpoint="imports")]


def refusal(run):
    assert run.status == 1
    assert run.stdout == b""
    assert SIGNATURE not in run.stderr
    [error] = run.errors
    return error


SIGNATURE = "X-Signature=c2VjcmV0LXNpZ25hdHVyZQ"
NO_ID = "a job ID must be text that is not empty, `.` or `..`."
UNEVEN = (
    "this row has more or fewer columns than the header. Quote values that have commas"
    " in them."
)
FORMS: dict[str | bytes, list[str] | str] = {
    # Lines
    "a\nb": ["a", "b"],
    "\n\n a \n\t\nb\t\na\n": ["a", "b"],
    "# jobs of May\na\n  # b\n#c\nd": ["a", "d"],
    "a\r\nb\r\n\r\n# c\r\n": ["a", "b"],
    "\ufeff# first\na": ["a"],
    "a,b": ["a,b"],
    "ü 1\n": ["ü 1"],
    "007\na#b\na\u2028b": ["007", "a#b", "a\u2028b"],
    "a,b\nid\n": ["a,b", "id"],
    "ids\nabc id\njob_id\n": ["ids", "abc id", "job_id"],
    "a\n..\n": f"`jobs_file`, line 2: {NO_ID}",
    "a\n\n.\n": f"`jobs_file`, line 3: {NO_ID}",
    b"caf\xe9\n": "`jobs_file`: {} is not a text file in UTF-8.",
    b"\xff\xfea\x00\n\x00": "`jobs_file`: {} is not a text file in UTF-8.",
    # JSON
    '["a", "b", 7]': ["a", "b", "7"],
    '\ufeff\n[\r\n"a",\r\n"b"]\r\n': ["a", "b"],
    '["a", null]': f"`jobs_file`, entry 2: {NO_ID}",
    "[a]": "`jobs_file` looks like a JSON array but is not valid JSON: Expecting value:"
    " line 1 column 2 (char 1).",
    # CSV
    "job_id\na\nb\n": ["a", "b"],
    "id,created\na,2026-01-15\nb,2026-01-16": ["a", "b"],
    "id,job_id\n1,a\n2,b\n": ["a", "b"],
    '"NAME","JOB_ID"\n"x","a"\n': ["a"],
    "\ufeffname, job_id\r\nx, a\r\ny,b\r\n": ["a", "b"],
    'job_id,note\n"a,""1""","x, y"\nb,"two\nlines"\nc,\n': ['a,"1"', "b", "c"],
    "job_id\n#a\n007\n": ["#a", "007"],
    'job_id,n\n\na,1\n,2\n"",3\n" ",4\n': ["a"],
    f"note,job_id\n{'x' * 200_000},a\n": ["a"],
    "id,n\na,1\nb\n": f"`jobs_file`, line 3: {UNEVEN}",
    "id,n\na,1,2\n": f"`jobs_file`, line 2: {UNEVEN}",
    'id,n\na,"1\n': "`jobs_file`, line 2: this is not valid CSV: unexpected end of"
    " data.",
    '"x,id",y\na,b\n': ['"x,id",y', "a,b"],
    "id\n..\n": f"`jobs_file`, line 2: {NO_ID}",
}


@pytest.mark.parametrize(
    ("content", "result"), FORMS.items(), ids=lambda text: repr(text)[:40]
)
def test_file_gives_its_ids_or_a_sentence(tap, api, content, result):
    content = content.encode() if isinstance(content, str) else content
    path = tap.write("jobs.txt", content)
    add_jobs(api, *(result if isinstance(result, list) else ()))
    run = tap.run(jobs_file=str(path))
    if isinstance(result, list):
        assert run.status == 0, run.errors
        assert asked(api) == result
    else:
        assert refusal(run) == result.format(path)
        assert not api.requests


@pytest.mark.parametrize("content", ["", "\n# nothing\n", "[]", "job_id\n"])
def test_file_without_ids_has_no_job(tap, content):
    run = tap.run(jobs_file=str(tap.write("jobs.txt", content)))
    assert "There is no job to read" in refusal(run)


@pytest.mark.parametrize("kind", ["events", "users"])
def test_file_is_joined_with_the_list(tap, api, kind):
    """The list comes first, and duplicates are dropped over both."""
    api.add(*(Job(job_id, kind=kind) for job_id in "abc"))
    start = "" if kind == "events" else "user_"
    tap.streams = (f"{start}import_jobs",)
    path = tap.write("jobs.txt", "c\na\n")
    given: Any = {f"{start}job_ids": ["b", "a"], f"{start}jobs_file": str(path)}
    assert tap.run(**given).status == 0
    assert [request.job_id for request in api.requests] == ["b", "a", "c"]


# On this machine


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX only")
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no/such/file", "No such file or directory"),
        ("a\x00b", ""),
        ("~nobody-here/x", ""),
        *((path, "it is not a regular file") for path in ("/", "/dev/zero", "pipe")),
    ],
)
def test_file_that_cannot_be_read_is_refused_beside_a_list_too(
    tap, api, monkeypatch, path, reason
):
    """A pipe would wait for a writer, a device might not end."""
    monkeypatch.chdir(tap.path)
    os.mkfifo("pipe")
    run = tap.run(job_ids=["a"], jobs_file=path)
    assert refusal(run).startswith(f"`jobs_file`: {path} can't be read: {reason}")
    assert not api.requests


def test_faults_of_both_files_are_reported_at_once(tap):
    errors = tap.run(jobs_file="no", user_jobs_file="no").errors
    assert [error.split(":")[0] for error in errors] == [
        "`jobs_file`",
        "`user_jobs_file`",
    ]


def test_path_can_have_colons_and_a_home_folder(tap, api, monkeypatch):
    add_jobs(api, "a")
    (tap.path / "s3:").mkdir()
    path = tap.write("s3:/jobs.txt", "a\n")
    assert tap.run(jobs_file=str(path).replace("s3:/", "s3://")).status == 0
    monkeypatch.setenv("HOME", str(tap.path))
    assert tap.run(jobs_file="~/s3:/jobs.txt").status == 0


def test_file_of_more_than_64_mib_is_refused(tap):
    path = tap.write("jobs.txt", "a\n#")
    with path.open("ab") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    sentence = refusal(tap.run(jobs_file=str(path)))
    assert sentence == f"`jobs_file`: {path} is larger than 64 MiB."


# Web servers


class Files(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answers, self.asked, self.is_over = {}, [], threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_):
        pass


class Handler(BaseHTTPRequestHandler):
    server: Files

    def do_GET(self):
        self.server.asked.append(self.path)
        answer = self.server.answers.get(self.path.partition("?")[0])
        if answer is None:
            self.start(404)
        elif isinstance(answer, str):
            self.start(200, content_length=len(answer.encode()))
            self.wfile.write(answer.encode())
        else:
            answer(self)

    def start(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def files():
    with Files() as server:
        yield server
        server.is_over.set()
        server.shutdown()


def redirect(to, status=302):
    return lambda handler: handler.start(status, location=to, content_length=0)


def failing(status, **headers):
    return lambda handler: handler.start(status, content_length=0, **headers)


def sending(body, **headers):
    def answer(handler):
        handler.start(200, **headers)
        with suppress(OSError):
            handler.wfile.write(body)

    return answer


def repeating(text, seconds=0, *, headers=True):
    """An answer that never ends."""

    def answer(handler):
        with suppress(OSError):
            if headers:
                handler.start(200)
            while not handler.server.is_over.wait(seconds):
                handler.wfile.write(text)

    return answer


UNSAFE = "can't be read: the server redirects to an address that is not https://."
LATE = "can't be read: no answer within 0.5 s."
LARGE = "is larger than 64 MiB."
ADDRESSES = [
    *("http://example.com/jobs", "file:///etc/passwd", "ftp://127.0.0.1/jobs"),
    "//example.com/jobs",
]
BOMB = gzip.compress(b"#\n" * 1024 * 1024 * 33, compresslevel=1)
ANSWERS = [
    *(
        (
            failing(status),
            f"can't be read: the server answers with the status {status}.",
        )
        for status in (204, 206, 401, 403, 404, 500, 599)
    ),
    *((redirect(to), UNSAFE) for to in ADDRESSES),
    (redirect("/jobs"), "can't be read: the connection failed (TooManyRedirects)."),
    (redirect("https://[/x"), "can't be read: Invalid IPv6 URL (ValueError)."),
    (
        failing(200, content_type="text/html; charset=utf-8"),
        "can't be read: it is a web page; use an address that needs no login.",
    ),
    (repeating(b"#\n" * 32_768), LARGE),
    (sending(BOMB, content_encoding="gzip", content_length=len(BOMB)), LARGE),
    (repeating(b"", 20, headers=False), LATE),
    (repeating(b"H", 0.02, headers=False), LATE),
    (repeating(b"a\n", 0.02), LATE),
    (
        sending(b"a\nb\n", content_length=100),
        "can't be read: the connection failed (ProtocolError).",
    ),
    (sending(b"\x89PNG"), "is not a text file in UTF-8."),
]


@pytest.mark.parametrize(("answer", "words"), ANSWERS)
def test_answer_without_a_file_is_refused_with_the_address_but_no_query(
    tap, api, files, answer, words
):
    files.answers["/jobs"] = answer
    limit = 0.5 if words == LATE else 60
    url = f"{files.url}/jobs"
    run = tap.run(jobs_file=f"{url}?{SIGNATURE}", job_ids=["a"], request_timeout=limit)
    assert refusal(run) == f"`jobs_file`: {url} {words}"
    assert len(files.asked) <= 6
    assert not api.requests


@pytest.mark.parametrize("setting", ["jobs_file", "user_jobs_file"])
def test_file_on_a_web_server_is_read_through_redirects(tap, api, files, setting):
    """The query reaches the server as it is, and no log line, even for debugging."""
    kind = "users" if setting == "user_jobs_file" else "events"
    tap.streams = ("user_import_jobs" if kind == "users" else "import_jobs",)
    api.add(Job("a", kind=kind), Job("b", kind=kind))
    query = f"a=%2B%2F%20&{SIGNATURE}"
    for number, status in enumerate((301, 302, 303, 307, 308), start=1):
        to = f"/{number}" if number < 5 else f"{files.url}/x%2Fy.csv?{query}"
        files.answers[f"/{number - 1}"] = redirect(to, status)
    files.answers["/x%2Fy.csv"] = "id,job_id\r\n1,a\r\n2,b\r\n"
    settings: Any = {setting: f"{files.url}/0?{query}"}
    debug = {"TAP_FULLSTORY_IMPORTS_LOGLEVEL": "DEBUG"}
    run = run_in_this_process(tap.arguments(**settings), environment=debug)
    assert run.status == 0, run.errors
    assert "| DEBUG " in run.stderr
    assert [request.job_id for request in api.requests] == ["a", "b"]
    assert files.asked == [f"/0?{query}", "/1", "/2", "/3", "/4", f"/x%2Fy.csv?{query}"]
    assert SIGNATURE.partition("=")[2] not in run.stderr


def test_no_proxy_sees_a_file_on_this_machine(tap, api, files):
    add_jobs(api, "a")
    files.answers["/jobs"] = "a\n"
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    line = tap.arguments(jobs_file=f"{files.url}/jobs")
    assert run_in_this_process(line, environment=proxy).status == 0


def test_server_that_is_not_there_is_named_without_the_query(tap, files):
    files.shutdown()
    files.server_close()
    sentence = refusal(tap.run(jobs_file=f"{files.url}/jobs?{SIGNATURE}"))
    assert f"{files.url}/jobs can't be read: Connection refused" in sentence


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the server's sockets
@pytest.mark.parametrize("redirects", [False, True])
def test_https_is_verified_and_never_left(tap, api, files, monkeypatch, redirects):
    """A redirect to plain http is refused, also to this machine."""
    add_jobs(api, "a")
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Files() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        files.answers["/jobs"] = "a\n"
        to = f"{files.url}/jobs"
        server.answers["/jobs"] = redirect(to) if redirects else "a\n"
        settings: Any = {"jobs_file": f"https://localhost:{server.server_port}/jobs"}
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        assert "certificate verify failed" in refusal(tap.run(**settings))
        bundle = tap.path / "ca.pem"
        authority.cert_pem.write_to_path(str(bundle))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        run = tap.run(**settings)
        server.shutdown()
    if redirects:
        assert refusal(run).endswith(UNSAFE)
        assert not files.asked
    else:
        assert run.status == 0, run.errors


@pytest.mark.parametrize(
    "address",
    [
        *("http://example.com/jobs", "http://192.168.0.1/jobs", "file:///etc/passwd"),
        *("FILE:///etc/passwd", "local:///etc/passwd", "ftp://127.0.0.1/jobs"),
        *("sftp://127.0.0.1/jobs", "github://a:b@/jobs", "memory://jobs", "://"),
        *("data://text/plain,a", "gcs://bucket/jobs", "s3a://bucket/jobs"),
        *("simplecache::s3://bucket/jobs", "zip://jobs.txt::file:///tmp/jobs.zip"),
        *("s3://bucket/jobs::file:///etc/passwd", "s3://zip::file:///tmp/jobs.zip"),
        *("https://", "https:///jobs", "https://[::1/jobs", "https://localhost:x/jobs"),
        *("https://local host/jobs", "https://localhost/jo\nbs", "https:/127.0.0.1/x"),
        *("https://user:word@localhost/jobs", "s3://key:word@bucket/jobs", "s3:/b/x"),
        *("s3://bucket", "s3://bucket/", "gs://", f"s3:/bucket/jobs?{SIGNATURE}"),
    ],
)
def test_address_that_is_not_allowed_is_refused_and_not_shown(tap, api, address):
    assert refusal(tap.run(jobs_file=address, job_ids=["a"])) == (
        "`jobs_file` must be a path, or an address such as https://host/path,"
        " s3://bucket/key, gs://bucket/key or az://container/key, without a user name"
        " or a password."
    )
    assert not api.requests


@pytest.mark.parametrize(
    ("address", "extra"),
    [("s3://b/x", "s3"), ("gs://b/x", "gcs"), ("az://b/x", "azure")],
)
def test_missing_extra_is_named_with_the_command_that_installs_it(
    tap, monkeypatch, address, extra
):
    for module in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, module, None)
    assert refusal(tap.run(jobs_file=f"{address}?{SIGNATURE}")) == (
        f"`jobs_file`: {address} can't be read, because an extra of the tap is missing."
        f" Install it by `pip install 'tap-fullstory-imports[{extra}]'`."
    )
