"""The key leaves by TLS only, to the server whose certificate is right.

The address is Fullstory's own: a proxy on this machine leads it to the stand-in.
"""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme

from tap_fullstory_imports.settings import SCHEMA
from tests.harness import run
from tests.invariants import PREFIX
from tests.stand_in import DEFAULT_API_KEY as KEY
from tests.stand_in import Job, StandIn, make_events
from tests.test_secrets import assert_hidden

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from tests.harness import Folder, Run

HOST = "api.fullstory.com"
# Server and proxy stop before TLS has said goodbye: sockets stay open for a while.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


class Proxy:
    """A proxy on this machine that leads every CONNECT to one server.

    Attributes:
        url: Its address.
        seen: All bytes that clients have sent to it.
    """

    def __init__(self, target: str, answer: bytes = b"", endless: bytes = b"") -> None:
        """Lead to a server, or answer with these bytes and lead nowhere."""
        self._target, self._answer, self._endless = urlsplit(target), answer, endless
        self.seen = bytearray()

    def __enter__(self) -> Self:
        """Listen."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client: socket.socket) -> None:
        with suppress(OSError), closing(client):
            head = bytearray()
            while not head.endswith(b"\r\n\r\n"):
                if not (byte := client.recv(1)):
                    return
                head += byte
            self.seen += head
            if self._answer:
                client.sendall(self._answer)
                while self._endless:
                    client.sendall(self._endless)
                return
            address = (self._target.hostname, self._target.port or 0)
            with socket.create_connection(address) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                threading.Thread(
                    target=_pump, args=(server, client), daemon=True
                ).start()
                while data := client.recv(65_536):
                    self.seen += data
                    server.sendall(data)


def _pump(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Let no later test find what is still open."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the certificates of these tests."""
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    """The path of its own certificate."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def serving(certificate: trustme.LeafCert) -> StandIn:
    """The API with one job, behind a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return StandIn(Job("a", rows=make_events(3), page_size=1), tls=context)


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[StandIn]:
    """The API with the right certificate."""
    with serving(authority.issue_cert(HOST)) as api:
        yield api


def run_by(
    proxy: str,
    tap: Folder,
    *,
    request_timeout: float = 20,
    environment: dict[str, str],
) -> Run:
    """Run against Fullstory's own address, by way of a proxy."""
    no_proxy = dict.fromkeys(("NO_PROXY", "no_proxy"), "")
    names = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy)
    return run(
        tap.arguments(
            job_ids=["a"],
            api_url=f"https://{HOST}",
            max_attempts=2,
            request_timeout=request_timeout,
        ),
        environment={
            PREFIX + "LOGLEVEL": "DEBUG",
            "REQUESTS_CA_BUNDLE": "",
            "CURL_CA_BUNDLE": "",
            **no_proxy,
            **names,
            **environment,
        },
    )


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_proxy_sees_neither_the_key_nor_the_rows(
    tap: Folder, secure: StandIn, bundle: str, variable: str
) -> None:
    """Only whom to connect to; and a .netrc file does not replace the key."""
    netrc = tap.write("netrc", f"machine {HOST} login me password other\n")
    with Proxy(secure.url) as proxy:
        done = run_by(
            proxy.url,
            tap,
            environment={"NETRC": str(netrc), variable: bundle},
        )
        head, _, rest = bytes(proxy.seen).partition(b"\r\n\r\n")
    assert done.status == 0, done.stderr
    assert len(done.records()) == 3
    assert head.startswith(b"CONNECT api.fullstory.com:443 ")
    assert b"uthorization" not in head
    assert rest[:2] == b"\x16\x03", "a TLS handshake"
    assert KEY.encode() not in proxy.seen
    assert [one.headers["Authorization"] for one in secure.requests] == [
        f"Basic {KEY}"
    ] * 3
    assert_hidden(done)


NO_TRUST: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "a stranger's": ({}, {}),
    "another host's": ({"host": "api.example.com"}, {"REQUESTS_CA_BUNDLE": "bundle"}),
    "an expired one": ({"not_after": YESTERDAY}, {"REQUESTS_CA_BUNDLE": "bundle"}),
    "a stranger's, switched off": (
        {},
        {"PYTHONHTTPSVERIFY": "0", "TAP_FULLSTORY_IMPORTS_VERIFY": "false"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("how", "environment"), NO_TRUST.values(), ids=NO_TRUST)
def test_key_is_not_sent_to_a_server_with_a_wrong_certificate(
    tap: Folder,
    authority: trustme.CA,
    bundle: str,
    how: dict[str, Any],
    environment: dict[str, str],
) -> None:
    """Not even a request line."""
    options = {"host": HOST, **how}
    certificate = authority.issue_cert(options.pop("host"), **options)
    environment = {
        name: bundle if text == "bundle" else text for name, text in environment.items()
    }
    with serving(certificate) as api, Proxy(api.url) as proxy:
        done = run_by(proxy.url, tap, environment=environment)
        assert not api.requests
        assert KEY.encode() not in proxy.seen
    assert done.status == 1
    assert "no secure connection could be made" in done.errors[-1]
    assert_hidden(done)


def test_no_setting_switches_the_check_of_certificates_off(tap: Folder) -> None:
    """There is none, and one that somebody makes up is refused."""
    words = ("verify", "tls", "ssl", "insecure", "certificate", "cert")
    assert not [name for name in SCHEMA["properties"] if name.startswith(words)]
    made_up = ("insecure", "ssl_verify", "tls_verify", "verify", "verify_ssl")
    done = run(tap.arguments(job_ids=["a"], **dict.fromkeys(made_up, False)))
    assert done.status == 1
    for name, sentence in zip(made_up, done.errors, strict=True):
        assert f"There is no setting `{name}`." in sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Who is user:pass-word\r\n\r\n",
        b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:9/\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
def test_broken_proxy_gets_neither_key_nor_rows(
    tap: Folder, secure: StandIn, bundle: str, answer: bytes
) -> None:
    """And its own password, a part of its address, is not shown either."""
    with Proxy(secure.url, answer) as proxy:
        url = proxy.url.replace("http://", "http://user:pass-word@")
        done = run_by(url, tap, environment={"REQUESTS_CA_BUNDLE": bundle})
        assert KEY.encode() not in proxy.seen
        assert b"Proxy-Authorization: Basic dXNlcjpwYXNzLXdvcmQ=" in proxy.seen
    assert done.status == 1
    assert "pass-word" not in done.stderr
    assert "dXNlcjpwYXNzLXdvcmQ" not in done.stderr
    assert_hidden(done)


@pytest.mark.slow
def test_proxy_that_talks_without_end_is_given_up(
    tap: Folder, secure: StandIn, bundle: str
) -> None:
    """Its answer has the time limit that every answer has."""
    with Proxy(secure.url, b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100) as proxy:
        started = time.monotonic()
        done = run_by(
            proxy.url,
            tap,
            request_timeout=0.5,
            environment={"REQUESTS_CA_BUNDLE": bundle},
        )
        assert time.monotonic() - started < 5
    assert done.status == 1
    assert len(done.errors) == 1
